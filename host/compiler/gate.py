"""A map of one word a plane in the place of weights: what multiplies each channel of another map by a number.

Such a layer runs depthwise: a word of N lanes of the gate is what the first tap of a pass of one row is multiplied by.
So it is loaded into the weight buffer over the zeros that the layer's blocks have there.  It comes in whole beats, and
what follows the word in its beat is of nobody: these are the weights of the taps to the right of the first one, so the
layer has a kernel of one beat's words over a map of one column, of which all but the first see padding, zeros.
"""

from __future__ import annotations

import numpy as np

from host.compiler.engine_layer import EngineLayer
from host.compiler.errors import CannotCompile
from host.compiler.geometry import Rows
from hw.contract.config import AcceleratorConfig
from hw.contract.depthwise import TAP_COLUMNS, TAPS
from hw.contract.isa import Mode
from hw.contract.layout import Placement
from hw.contract.weights import WeightFormat


def gate_columns(config: AcceleratorConfig) -> int:
    """Columns of the kernel: taps whose weights come with a word of the gate."""
    return config.derived.words_per_beat


def check_gates(name: str, config: AcceleratorConfig) -> None:
    """Raise CannotCompile where words of a gate cannot be loaded as weights, for the layer of that name."""
    words, most = gate_columns(config), TAP_COLUMNS
    if words > most:
        reason = f"a gate's word comes in beats of {words}, and a row of taps has {most}"
        raise CannotCompile(name, reason, "take a configuration with more ic_lanes or a narrower axi_bits")


def check_lanes(layer: EngineLayer, gate: Placement, source: Placement) -> None:
    """Raise CannotCompile where the gate's channels are not in the lanes of those that they multiply."""
    if gate.lanes != source.lanes:
        reason = f"multiplies channels of {source.tensor} by those of {gate.tensor}, which lie in other lanes"
        raise CannotCompile(layer.name, reason, "multiply before tensors are joined")


def gate_rows(gate: Placement, weights: WeightFormat, planes: tuple[int, int], config: AcceleratorConfig) -> Rows:
    """The LOAD of some planes of the gate, each to the first tap of a block; offset: from the first block."""
    beat, pitch = config.derived.beat_bytes, gate.plane_bytes(config)
    count = planes[1] - planes[0]
    return Rows(
        offset=_first_tap(weights, config) // beat,
        address=gate.address + planes[0] * pitch,
        beats=pitch // beat,
        rows=count,
        pitch=pitch if count > 1 else 0,
        destination_pitch=weights.block_beats(config, Mode.DEPTHWISE) if count > 1 else 0,
    )


def _first_tap(weights: WeightFormat, config: AcceleratorConfig) -> int:
    """Where the bytes of a gate's beats go in a block."""
    taps = np.zeros((TAPS, config.ic_lanes), weights.integers.dtype)
    taps[TAPS - TAP_COLUMNS :][: gate_columns(config)] = 1  # of a pass of one row
    found = np.flatnonzero(np.frombuffer(weights.encode(taps, config, Mode.DEPTHWISE), np.uint8))
    first = int(found[0])
    whole = gate_columns(config) * config.derived.word_bytes
    if first % config.derived.beat_bytes or not np.array_equal(found, first + np.arange(whole)):
        raise AssertionError("the first taps of a block are not whole beats of bytes")
    return first
