"""Which engine: a preset by name, or a configuration of one's own in a JSON file."""

from __future__ import annotations

from pathlib import Path

from host.artefacts import read_json
from hw.contract.config import PRESETS, AcceleratorConfig, ConfigError, preset


def configuration(value: str | AcceleratorConfig) -> AcceleratorConfig:
    """The configuration that a user names; a default is one already.

    value: a preset's name, or a file that ends in .json: the fields that `shiftpoint config` prints, or the
    engine.json that stands beside Verilog.  Raises ConfigError, in one line, for what does not exist or cannot be
    built.
    """
    if isinstance(value, AcceleratorConfig):
        return value
    if value in PRESETS or Path(value).suffix != ".json":
        return preset(value)
    held = read_json(Path(value))
    if isinstance(held, dict) and isinstance(held.get("config"), dict):
        held = held["config"]
    if not isinstance(held, dict):
        raise ConfigError(f"{value}: not a configuration: an object with its fields is needed")
    try:
        config = AcceleratorConfig.from_json(held)
        _ = config.derived
    except ConfigError as error:
        raise ConfigError(f"{value}: {error}") from None
    return config
