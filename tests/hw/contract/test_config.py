"""Configurations: what JSON may hold, and the limits of every field, each in one line."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from hw.contract.config import PRESETS, AcceleratorConfig, ConfigError, preset

TINY = preset("tiny").to_json()


def refusal(**changes: Any) -> str:
    """Why a configuration cannot be built."""
    with pytest.raises(ConfigError) as caught:
        _ = AcceleratorConfig.from_json({**TINY, **changes}).derived
    return str(caught.value)


@pytest.mark.parametrize("config", PRESETS.values(), ids=PRESETS)
def test_presets_are_what_json_gives(config: AcceleratorConfig) -> None:
    assert AcceleratorConfig.from_json(config.to_json()) == config
    assert config.derived.multipliers == config.ic_lanes * config.oc_lanes


def test_fields_left_out_have_their_defaults() -> None:
    given = {"name": "mine", "ic_lanes": 8, "oc_lanes": 8, "axi_bits": 64}
    assert AcceleratorConfig.from_json(dict(given)) == AcceleratorConfig(**given)  # type: ignore[arg-type]
    del given["axi_bits"]
    with pytest.raises(ConfigError, match="^configuration field axi_bits is missing$"):
        AcceleratorConfig.from_json(dict(given))


@pytest.mark.parametrize("field", [f.name for f in fields(AcceleratorConfig)])
@pytest.mark.parametrize("value", [True, None, "8", [8], {"bits": 8}, 8.5, 1e400])
def test_values_of_another_type(field: str, value: Any) -> None:
    if (field == "name" and value == "8") or (field == "clock_mhz" and value == 8.5):
        return
    message = refusal(**{field: value})
    assert message.startswith(f"{field} must be ") and "\n" not in message


@pytest.mark.parametrize("field", [f.name for f in fields(AcceleratorConfig) if f.name != "name"])
@pytest.mark.parametrize("value", [0, -8, 1 << 40])
def test_values_beyond_any_engine(field: str, value: int) -> None:
    message = refusal(**{field: value})
    assert (field.removesuffix("_depth") in message and str(value) in message) or "_beats must be" in message, message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ic_lanes": 3}, "ic_lanes must be a power of two, not 3"),
        ({"ic_lanes": True}, "ic_lanes must be a whole number, not true"),
        ({"ic_lanes": 8, "oc_lanes": 4}, "oc_lanes (4) must be at least ic_lanes (8)"),
        ({"max_burst": 0}, "max_burst must be 1 to 256 beats, not 0"),
        ({"queue_depth": 512}, "queue_depth must be 1 to 256, not 512"),
        ({"data_bits": 16}, "data_bits must be 8, not 16"),
        ({"acc_bits": 40}, "acc_bits must be 32 or 48, not 40"),
        ({"clock_mhz": "fast"}, 'clock_mhz must be a number, not "fast"'),
        ({"name": "../mine"}, 'name must be up to 64 letters, digits, _ . -, not "../mine"'),
        ({"lanes": 8}, "unknown configuration field 'lanes'"),
    ],
)
def test_messages(changes: dict[str, Any], message: str) -> None:
    assert refusal(**changes) == message
