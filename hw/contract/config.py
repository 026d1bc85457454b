"""The configuration of an accelerator: the user's choices, what follows from them, and presets.

`AcceleratorConfig` holds choices and nothing else; `Derived` computes every dependent size and
refuses what cannot be built, with the value and the limit.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from hw.contract.depthwise import BANKS
from hw.contract.parameters import PARAMETER_BYTES
from hw.contract.version import CONTRACT_VERSION
from hw.contract.widths import bytes_of
from quant.base.errors import BadInput
from quant.ir.fixedpoint import ACCUMULATORS


class ConfigError(BadInput):
    """A configuration that cannot be built: one line with the value and the limit."""


@dataclass(frozen=True)
class AcceleratorConfig:
    """The user's choices.  Depths are powers of two; every on-chip buffer is a ring.

    ic_lanes (N), oc_lanes (M): input and output channels a cycle; M is a multiple of N.
    data_bits, weight_bits: widths in the datapath, one of WIDTHS, the same for both; of a network's tensors and weights
    each can have fewer.  acc_bits: accumulator width.
    axi_bits: width of the memory port.  max_burst: longest burst, in beats.
    partial_sum_depth: output pixels of one tile.  activation_depth: words of N channels.
    weight_depth: beats.  residual_depth, output_depth, pool_depth, pooled_depth: words of M channels.
    queue_depth: instructions waiting at each unit.  fetch_depth: instructions fetched ahead.
    read_outstanding, write_outstanding: bursts under way.
    tables: whether the output stage can look results up.
    skip_blocks: whether a CONV can leave out weight blocks that are zeros.
    codebooks: whether weights can be stored as indices into a codebook.
    packed: whether a multiplier can take two weights of 4 bits at once.
    clock_mhz: at which frames a second are counted; `clock_source` says how it is known.
    """

    name: str
    ic_lanes: int
    oc_lanes: int
    axi_bits: int
    data_bits: int = 8
    weight_bits: int = 8
    acc_bits: int = 32
    max_burst: int = 256
    partial_sum_depth: int = 1024
    activation_depth: int = 8192
    weight_depth: int = 2048
    residual_depth: int = 2048
    output_depth: int = 2048
    pool_depth: int = 2048
    pooled_depth: int = 512
    queue_depth: int = 8
    fetch_depth: int = 16
    read_outstanding: int = 8
    write_outstanding: int = 4
    tables: bool = True
    skip_blocks: bool = False
    codebooks: bool = False
    packed: bool = False
    clock_mhz: float = 100.0

    @cached_property
    def derived(self) -> Derived:
        """Everything that follows; raises ConfigError."""
        return Derived(self)

    @cached_property
    def hash(self) -> str:
        """SHA-256 (hex) of what hardware and programs must agree on: all but name and clock."""
        facts = {k: v for k, v in self.to_json().items() if k not in ("name", "clock_mhz")}
        facts["contract"] = CONTRACT_VERSION
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    @property
    def word(self) -> int:
        """What the CONFIG_HASH register of an engine of this configuration reads as."""
        return int(self.hash[:8], 16)

    @property
    def clock_source(self) -> str:
        """How `clock_mhz` is known: what measured it, or `assumed`."""
        own = self == PRESETS.get(self.name)
        return PLACED_BY if own and self.name in PLACED else "assumed"

    def to_json(self) -> dict[str, object]:
        """Field by field, as JSON values; what `_LATER` names only where it is not the default."""
        defaults = {f.name: f.default for f in dataclasses.fields(self) if f.name in _LATER}
        return {k: v for k, v in dataclasses.asdict(self).items() if k not in defaults or v != defaults[k]}

    @staticmethod
    def from_json(values: dict[str, object]) -> AcceleratorConfig:
        """Inverse of to_json; fields that are left out have their defaults.

        Raises ConfigError for unknown and missing fields, and for values of another type; `derived` judges the rest.
        """
        known = {f.name: f for f in dataclasses.fields(AcceleratorConfig)}
        for name, value in values.items():
            _require(name in known, f"unknown configuration field {name!r:.80}")
            types, words = _TYPES[str(known[name].type)]
            fits = isinstance(value, types) and isinstance(value, bool) == (types is bool)
            _require(fits, f"{name} must be {words}, not {_shown(value)}")
            _require(
                not isinstance(value, int) or abs(value) < _FAR, f"{name} must be nearer to 0, not {_shown(value)}"
            )
        for name, field in known.items():
            _require(
                name in values or field.default is not dataclasses.MISSING, f"configuration field {name} is missing"
            )
        return AcceleratorConfig(**values)  # type: ignore[arg-type]


_TYPES: dict[str, tuple[type | tuple[type, ...], str]] = {
    "str": (str, "a text"),
    "int": (int, "a whole number"),
    "float": ((int, float), "a number"),
    "bool": (bool, "true or false"),
}
"""By the annotation of a field: what JSON may give for it, and in words."""
_LATER = ("packed",)
"""Fields that the contract's present version got after it was made: engines without them keep their hash."""
_FAR = 1 << 63
"""No number of a configuration comes near it; messages show what is."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
"""Names become names of folders."""
WIDTHS = 8, 16
"""Bits of data and weights; network outputs have as many as the last says, whatever the data have."""
BUFFER_ADDRESS_BITS = 16
"""Of a place in a buffer, in instructions: of beats for what is loaded, of words for what is read and written."""
_ADDRESSABLE = 1 << BUFFER_ADDRESS_BITS
_RANGES = {
    "ic_lanes": (1, 256),
    "oc_lanes": (1, 256),
    "queue_depth": (1, 256),
    "fetch_depth": (1, 256),
    "read_outstanding": (1, 64),
    "write_outstanding": (1, 64),
    "partial_sum_depth": (1, 1 << 16),
    "pool_depth": (1, _ADDRESSABLE),
    "pooled_depth": (1, _ADDRESSABLE),
}
"""Lowest and highest value of what no other rule bounds."""


def _shown(value: object) -> str:
    """A JSON value that is refused; of a long one the beginning."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:80]}..."


def _either(values: Iterable[int]) -> str:
    return " or ".join(map(str, values))


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)


class Derived:
    """What follows from a configuration.  Attributes are plain integers; construction validates."""

    def __init__(self, config: AcceleratorConfig) -> None:
        c = config
        _require(
            _NAME.fullmatch(c.name) is not None,
            f"name must be up to 64 letters, digits, _ . -, not {_shown(c.name)}",
        )
        _require(0 < c.clock_mhz < 1e5, f"clock_mhz must be above 0 and below 100000, not {c.clock_mhz}")
        for field in dataclasses.fields(c):
            value = getattr(c, field.name)
            if field.name.endswith(("_depth", "_lanes", "_bits")) and field.name != "acc_bits":
                _require(
                    isinstance(value, int) and value > 0 and value & (value - 1) == 0,
                    f"{field.name} must be a power of two, not {value}",
                )
        for name, (low, high) in _RANGES.items():
            value = getattr(c, name)
            _require(low <= value <= high, f"{name} must be {low} to {high}, not {value}")
        _require(c.data_bits in WIDTHS, f"data_bits must be {_either(WIDTHS)}, not {c.data_bits}")
        _require(
            c.weight_bits == c.data_bits, f"weight_bits must be data_bits, which is {c.data_bits}, not {c.weight_bits}"
        )
        accumulators = [bits for bits in ACCUMULATORS if bits > 2 * c.data_bits]
        _require(
            c.acc_bits in accumulators,
            f"acc_bits must be {_either(accumulators)} where data have {c.data_bits} bits, not {c.acc_bits}",
        )
        for name in ("tables", "codebooks", "packed"):
            _require(not getattr(c, name) or c.data_bits == WIDTHS[0], f"{name} must be false where data have 16 bits")
        _require(c.axi_bits in (32, 64, 128, 256), f"axi_bits must be 32, 64, 128 or 256, not {c.axi_bits}")
        _require(c.oc_lanes >= c.ic_lanes, f"oc_lanes ({c.oc_lanes}) must be at least ic_lanes ({c.ic_lanes})")
        _require(1 <= c.max_burst <= 256, f"max_burst must be 1 to 256 beats, not {c.max_burst}")
        _require(c.fetch_depth >= FETCH_BURST, f"fetch_depth must be at least {FETCH_BURST}, not {c.fetch_depth}")

        self.multipliers = c.ic_lanes * c.oc_lanes
        self.beat_bytes = bytes_of(c.axi_bits)
        self.lane_bytes = bytes_of(c.data_bits)
        """One channel of one pixel in a buffer or in memory."""
        self.wide_bits = WIDTHS[-1]
        """Of the widest results, which take two words a pixel where data have less: the low data_bits, then the high
        ones."""
        self.word_bytes = c.ic_lanes * self.lane_bytes
        """One activation word: N channels of one pixel."""
        self.words_per_beat = max(1, self.beat_bytes // self.word_bytes)
        self.beats_per_word = max(1, self.word_bytes // self.beat_bytes)
        self.planes = c.oc_lanes // c.ic_lanes
        """Channel groups of N that one M-wide result holds."""
        self.banks = max(BANKS, self.words_per_beat)
        """Memories of the activation buffer: word w is in memory w % banks."""
        self.instruction_beats = INSTRUCTION_BYTES // self.beat_bytes
        self.fetch_burst = min(FETCH_BURST, 1 << max(1, c.max_burst // self.instruction_beats).bit_length() - 1)
        """Instructions of one fetch burst: a power of two, so that none crosses 4 KiB, and one at least."""
        self.longest_read = max(c.max_burst, self.fetch_burst * self.instruction_beats)
        """Beats: more than max_burst only where that is less than an instruction."""
        block_bytes = bytes_of(c.ic_lanes * c.oc_lanes * c.weight_bits)
        parameter_bytes = c.oc_lanes * PARAMETER_BYTES
        for what, size in (("weights", block_bytes), ("parameters", parameter_bytes)):
            _require(
                size % self.beat_bytes == 0,
                f"ic_lanes {c.ic_lanes}, oc_lanes {c.oc_lanes}: a block of {what} has {size} bytes, no whole number of "
                f"beats of {self.beat_bytes} bytes (axi_bits {c.axi_bits})",
            )
        for name in ("skip_blocks", "codebooks"):
            _require(
                not getattr(c, name) or block_bytes >= SHORTEST_BLOCK * self.beat_bytes,
                f"{name}: a block of weights must have {SHORTEST_BLOCK} beats, not {block_bytes // self.beat_bytes}",
            )
        self.parameter_beats = parameter_bytes // self.beat_bytes
        self.codebook_beats = -(-CODEBOOK_ENTRIES * bytes_of(c.weight_bits) // self.beat_bytes)
        """Of a codebook (hw/contract/weights/codebook.py)."""
        self.table_entries = 1 << c.data_bits
        self.table_bytes = self.table_entries * bytes_of(self.wide_bits)
        self.table_beats = self.table_bytes // self.beat_bytes
        """Of a table (hw/contract/table.py), which has an entry for each code of a result."""
        self.average_sum_bits = c.data_bits + 12
        """Width of |sum| in an average: of 4096 elements."""
        self.lane_bits = c.data_bits + 1
        """Width inside the datapath: signed and unsigned data alike."""
        self.activation_beats = c.activation_depth * self.word_bytes // self.beat_bytes
        self.residual_beats = c.residual_depth * self.word_bytes // self.beat_bytes
        """Beats of each of the `planes` residual memories."""
        addressed = {name: getattr(c, name) for name in ("activation_depth", "weight_depth", "residual_depth")}
        addressed["activation_depth in beats"] = self.activation_beats
        addressed["residual_depth in beats"] = self.residual_beats
        addressed["output_depth"] = c.output_depth
        for name, value in addressed.items():
            low = self.banks if name == "activation_depth" else 1
            _require(low <= value <= _ADDRESSABLE, f"{name} must be {low} to {_ADDRESSABLE}, not {value}")
        for name in ("output_depth", "pooled_depth"):
            whole, value = self.words_per_beat, getattr(c, name)
            _require(value >= whole, f"{name} must be at least the {whole} words of a beat, not {value}")


SHORTEST_BLOCK = 4
"""Least beats of a weight block where a CONV can leave blocks out: while one is read, the next one's place is found.
And where weights can be indices into a codebook: then those of a block are whole beats, and come to the array in pairs
of beats."""
CODEBOOK_ENTRIES = 16
"""Weights of a codebook."""
INSTRUCTION_BYTES = 32
"""Size of every instruction."""
FETCH_BURST = 8
"""Instructions of one fetch burst, where `max_burst` has room for them.  Programs are aligned to it, so that no fetch
crosses 4 KiB."""
PAGE_BYTES = 4096
"""No burst crosses a multiple of it (AXI), so the memory window is made of whole pages."""

_MEDIUM = AcceleratorConfig(
    name="medium",
    ic_lanes=8,
    oc_lanes=16,
    axi_bits=128,
    max_burst=256,
    skip_blocks=True,
    codebooks=True,
    clock_mhz=93.8,
)
PRESETS = {
    config.name: config
    for config in (
        AcceleratorConfig(
            name="tiny",
            ic_lanes=4,
            oc_lanes=4,
            axi_bits=32,
            max_burst=64,
            partial_sum_depth=256,
            activation_depth=4096,
            weight_depth=1024,
            residual_depth=512,
            output_depth=512,
            pool_depth=1024,
            pooled_depth=256,
            queue_depth=4,
            skip_blocks=True,
            codebooks=True,
            clock_mhz=109.5,
        ),
        AcceleratorConfig(
            name="small",
            ic_lanes=8,
            oc_lanes=8,
            axi_bits=64,
            max_burst=128,
            skip_blocks=True,
            codebooks=True,
            clock_mhz=104.7,
        ),
        _MEDIUM,
        dataclasses.replace(_MEDIUM, name="packed", packed=True),  # its multipliers take two weights of 4 bits
        AcceleratorConfig(
            name="large",
            ic_lanes=32,
            oc_lanes=32,
            axi_bits=128,
            max_burst=256,
            weight_depth=8192,
            skip_blocks=True,
            codebooks=True,
            clock_mhz=150.0,
        ),
        # small with data and weights of 16 bits, and room for as many weights.
        AcceleratorConfig(
            name="small16",
            ic_lanes=8,
            oc_lanes=8,
            axi_bits=64,
            data_bits=16,
            weight_bits=16,
            acc_bits=48,
            max_burst=128,
            weight_depth=4096,
            tables=False,
            skip_blocks=True,
        ),
        # For the AXI3 ports of a Zynq-7000, which have 64 bits and bursts of 16 beats.
        AcceleratorConfig(name="zynq-hp", ic_lanes=8, oc_lanes=8, axi_bits=64, max_burst=16),
    )
}

PLACED = ("tiny", "small", "medium")
"""Presets whose clock is the one that benchmarks/place.py found."""
PLACED_BY = "nextpnr-ecp5, LFE5U-85F, CABGA381, speed 6"
"""What it places them with, and on what."""


def preset(name: str) -> AcceleratorConfig:
    """A preset by name; raises ConfigError that lists them."""
    if name not in PRESETS:
        raise ConfigError(f"no configuration {name!r}; there are {', '.join(PRESETS)}")
    return PRESETS[name]
