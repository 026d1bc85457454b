"""Which engine: a preset by name, or a configuration of one's own in a JSON file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hw.contract.config import PRESETS, AcceleratorConfig, ConfigError, preset
from hw.contract.typed import RepeatedKey, once

MOST_BYTES = 1 << 20
"""Of a configuration's file; an engine.json has some thousands."""


def file_of(value: str | AcceleratorConfig) -> Path | None:
    """The file that names a configuration; None for a preset."""
    if isinstance(value, AcceleratorConfig) or value in PRESETS or Path(value).suffix != ".json":
        return None
    return Path(value)


def configuration(value: str | AcceleratorConfig) -> AcceleratorConfig:
    """The configuration that a user names; a default is one already.

    value: a preset's name, or a file that ends in .json: the fields that `shiftpoint config` prints, or the
    engine.json that stands beside Verilog.  Raises ConfigError, in one line, for what does not exist, says a thing
    twice, or cannot be built.
    """
    if isinstance(value, AcceleratorConfig):
        return value
    file = file_of(value)
    if file is None:
        return preset(value)
    try:
        held = _read(file)
        if isinstance(held, dict) and isinstance(held.get("config"), dict):
            held = held["config"]
        if not isinstance(held, dict):
            raise ConfigError("not a configuration: an object with its fields is needed")
        config = AcceleratorConfig.from_json(held)
        _ = config.derived
    except ConfigError as error:
        raise ConfigError(f"{value}: {error}") from None
    return config


def _read(path: Path) -> Any:
    """The JSON value of a user's file, which may begin with a byte order mark.  Raises ConfigError."""
    try:
        if not path.is_file():
            raise ConfigError("no such file" if not path.exists() else "not a file")
        if path.stat().st_size > MOST_BYTES:
            raise ConfigError(f"too long for a configuration, {path.stat().st_size} bytes")
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise ConfigError(str(error.strerror)) from None
    except ValueError:
        raise ConfigError("not text in UTF-8") from None
    try:
        return json.loads(text, object_pairs_hook=once)
    except RecursionError:
        raise ConfigError("nested too deeply for a configuration") from None
    except RepeatedKey as error:
        raise ConfigError(str(error)) from None
    except ValueError:
        raise ConfigError("truncated or not JSON") from None
