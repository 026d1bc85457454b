"""Configurations: what follows from one, what JSON may hold, and the limits of every field, each in one line."""

from __future__ import annotations

from dataclasses import fields, replace
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


@pytest.mark.parametrize("config", PRESETS.values(), ids=PRESETS)
def test_sizes_agree(config: AcceleratorConfig) -> None:
    d = config.derived
    assert d.word_bytes == config.ic_lanes * d.lane_bytes
    assert d.words_per_beat * d.word_bytes == d.beats_per_word * d.beat_bytes
    assert d.planes * config.ic_lanes == config.oc_lanes
    assert d.wide_bits == 16 and d.lane_bits == config.data_bits + 1


@pytest.mark.parametrize(
    ("axi_bits", "max_burst", "instructions", "beats"),
    [
        (64, 128, 8, 128),
        (64, 31, 4, 31),
        (64, 16, 4, 16),
        (64, 11, 2, 11),
        (64, 3, 1, 4),
        (32, 1, 1, 8),
        (256, 1, 1, 1),
    ],
)
def test_fetches_keep_to_the_longest_burst(axi_bits: int, max_burst: int, instructions: int, beats: int) -> None:
    d = replace(preset("small"), axi_bits=axi_bits, max_burst=max_burst, skip_blocks=False, codebooks=False).derived
    assert (d.fetch_burst, d.longest_read) == (instructions, beats)


def test_name_and_clock_are_not_in_the_hash() -> None:
    config = preset("tiny")
    assert replace(config, name="mine", clock_mhz=50.0).hash == config.hash
    assert replace(config, queue_depth=8).hash != config.hash


@pytest.mark.parametrize(
    ("name", "word"), [("tiny", "b3dc06f0"), ("small", "74e6dc19"), ("medium", "6921cef6"), ("large", "d328f936")]
)
def test_hashes_of_the_presets_stay(name: str, word: str) -> None:
    """Engines that are built and programs that are compiled know each other by them."""
    assert preset(name).hash[:8] == word


def test_what_came_later_counts_where_it_is_on() -> None:
    config = preset("tiny")
    assert "packed" not in config.to_json() and replace(config, packed=True).to_json()["packed"] is True
    assert replace(config, packed=True).hash != config.hash
    assert AcceleratorConfig.from_json({**config.to_json(), "packed": False}) == config


def test_a_clock_is_measured_for_the_preset_itself_alone() -> None:
    tiny = preset("tiny")
    assert tiny.clock_source == PRESETS["medium"].clock_source and tiny.clock_source.startswith("nextpnr-ecp5")
    for other in (
        preset("large"),
        replace(tiny, clock_mhz=50.0),
        replace(tiny, queue_depth=8),
        replace(tiny, name="x"),
    ):
        assert other.clock_source == "assumed"


def test_fields_left_out_have_their_defaults() -> None:
    given = {"name": "mine", "ic_lanes": 8, "oc_lanes": 8, "axi_bits": 64}
    assert AcceleratorConfig.from_json(dict(given)) == AcceleratorConfig(**given)  # type: ignore[arg-type]
    del given["axi_bits"]
    with pytest.raises(ConfigError, match="^configuration field axi_bits is missing$"):
        AcceleratorConfig.from_json(dict(given))


@pytest.mark.parametrize("field", [f.name for f in fields(AcceleratorConfig)])
@pytest.mark.parametrize("value", [True, None, "8", [8], {"bits": 8}, 8.5, 1e400])
def test_values_of_another_type(field: str, value: Any) -> None:
    if (field, value) in (
        ("name", "8"),
        ("clock_mhz", 8.5),
        ("tables", True),
        ("skip_blocks", True),
        ("codebooks", True),
        ("packed", True),
    ):
        return
    message = refusal(**{field: value})
    assert message.startswith(f"{field} must be ") and "\n" not in message


@pytest.mark.parametrize("field", [f.name for f in fields(AcceleratorConfig) if f.name != "name"])
@pytest.mark.parametrize("value", [0, -8, 1 << 40])
def test_values_beyond_any_engine(field: str, value: int) -> None:
    message = refusal(**{field: value})
    assert field in message and (str(value) in message or "in beats" in message), message


WIDE = {"ic_lanes": 256, "oc_lanes": 256, "activation_depth": 128, "residual_depth": 128}


@pytest.mark.parametrize(
    ("field", "low", "high", "beside"),
    [
        ("ic_lanes", 1, 256, {**WIDE, "axi_bits": 256}),
        ("oc_lanes", 4, 256, {}),
        ("queue_depth", 1, 256, {}),
        ("fetch_depth", 8, 256, {}),
        ("read_outstanding", 1, 64, {}),
        ("write_outstanding", 1, 64, {}),
        ("partial_sum_depth", 1, 1 << 16, {}),
        ("pool_depth", 1, 1 << 16, {}),
        ("pooled_depth", 1, 1 << 16, {}),
        ("output_depth", 1, 1 << 16, {}),
        ("weight_depth", 1, 1 << 16, {}),
        ("activation_depth", 4, 1 << 16, {}),
        ("residual_depth", 1, 1 << 16, {}),
        ("max_burst", 1, 256, {}),
    ],
)
def test_both_ends_of_a_range(field: str, low: int, high: int, beside: dict[str, int]) -> None:
    for value in (low, high):
        _ = AcceleratorConfig.from_json({**TINY, **beside, field: value}).derived
    message = refusal(**{**beside, field: 2 * high})
    assert message.startswith(f"{field} must be ") and f" to {high}" in message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ic_lanes": 3}, "ic_lanes must be a power of two, not 3"),
        ({"ic_lanes": True}, "ic_lanes must be a whole number, not true"),
        ({"ic_lanes": {"bits": 8}}, "ic_lanes must be a whole number, not an object"),
        ({"ic_lanes": [8]}, "ic_lanes must be a whole number, not a list"),
        ({"ic_lanes": "8" * 90}, f'ic_lanes must be a whole number, not "{"8" * 79}...'),
        ({"ic_lanes": 8, "oc_lanes": 4}, "oc_lanes (4) must be at least ic_lanes (8)"),
        ({"max_burst": 0}, "max_burst must be 1 to 256 beats, not 0"),
        ({"queue_depth": 512}, "queue_depth must be 1 to 256, not 512"),
        ({"data_bits": 32}, "data_bits must be 8 or 16, not 32"),
        ({"data_bits": 16}, "weight_bits must be data_bits, which is 16, not 8"),
        ({"data_bits": 16, "weight_bits": 16}, "acc_bits must be 48 where data have 16 bits, not 32"),
        (
            {"data_bits": 16, "weight_bits": 16, "acc_bits": 48, "codebooks": False},
            "tables must be false where data have 16 bits",
        ),
        (
            {"data_bits": 16, "weight_bits": 16, "acc_bits": 48, "tables": False},
            "codebooks must be false where data have 16 bits",
        ),
        ({"acc_bits": 40}, "acc_bits must be 32 or 48 where data have 8 bits, not 40"),
        ({"clock_mhz": "fast"}, 'clock_mhz must be a number, not "fast"'),
        ({"name": "../mine"}, 'name must be up to 64 letters, digits, _ . -, not "../mine"'),
        (
            {"axi_bits": 256},
            "ic_lanes 4, oc_lanes 4: a block of weights has 16 bytes, no whole number of beats of 32 bytes "
            "(axi_bits 256)",
        ),
        (
            {"ic_lanes": 1, "axi_bits": 256, "oc_lanes": 1},
            "ic_lanes 1, oc_lanes 1: a block of weights has 1 bytes, no whole number of beats of 32 bytes "
            "(axi_bits 256)",
        ),
        ({"activation_depth": 1 << 17}, "activation_depth must be 4 to 65536, not 131072"),
        ({"activation_depth": 2}, "activation_depth must be 4 to 65536, not 2"),
        (
            {"ic_lanes": 1, "residual_depth": 2, "skip_blocks": False, "codebooks": False},
            "residual_depth in beats must be 1 to 65536, not 0",
        ),
        ({"ic_lanes": 2}, "skip_blocks: a block of weights must have 4 beats, not 2"),
        ({"ic_lanes": 2, "skip_blocks": False}, "codebooks: a block of weights must have 4 beats, not 2"),
        ({"lanes": 8}, "unknown configuration field 'lanes'"),
    ],
)
def test_messages(changes: dict[str, Any], message: str) -> None:
    assert refusal(**changes) == message


@pytest.mark.parametrize("field", ["output_depth", "pooled_depth"])
def test_buffers_hold_a_beat(field: str) -> None:
    changes = {"axi_bits": 256, "oc_lanes": 8, "skip_blocks": False, "codebooks": False}
    assert refusal(**changes, **{field: 4}) == f"{field} must be at least the 8 words of a beat, not 4"
    _ = AcceleratorConfig.from_json({**TINY, **changes, field: 8}).derived
