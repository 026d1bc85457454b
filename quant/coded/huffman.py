"""Canonical Huffman codes: the length of each symbol's code says the code."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quant.base.errors import BadInput
from quant.coded.bits import pack, require_end

LONGEST = 24
"""Most bits of a code: what a table of 32-bit words at any bit of a stream shows in full."""

AT_ONCE = 1 << 14
"""Bytes of a stream looked at together."""


@dataclass(frozen=True, eq=False)
class Code:
    """A prefix code.  lengths: uint8 (symbols,), bits of each symbol's code; 0 for one that does not occur.

    Codes are given out from the shortest on, of one length by symbol, counting up.  A lone symbol has one bit.  Raises
    BadInput for lengths that leave a code unused, or give one out twice.
    """

    lengths: np.ndarray

    def __post_init__(self) -> None:
        used = self.lengths[self.lengths > 0].astype(np.int64)
        lone = len(used) == 1 and used[0] == 1
        if used.size and used.max() > LONGEST:
            raise BadInput(f"a code has {used.max()} bits, more than {LONGEST}")
        if not lone and np.sum(1 << (LONGEST - used)) != 1 << LONGEST:
            raise BadInput("the lengths of codes are those of no complete prefix code")

    @property
    def symbols(self) -> np.ndarray:
        """Symbols that occur, in the order of their codes."""
        order = np.argsort(self.lengths, kind="stable")
        return order[self.lengths[order] > 0]

    @property
    def starts(self) -> np.ndarray:
        """int64, of `symbols`: the code, followed by zeros up to the longest."""
        widths = 1 << (LONGEST - self.lengths[self.symbols].astype(np.int64))
        return np.cumsum(widths) - widths

    def encode(self, symbols: np.ndarray) -> bytes:
        """The codes of symbols, each of which must have one."""
        codes = np.zeros(len(self.lengths), np.uint64)
        used = self.symbols
        codes[used] = self.starts >> (LONGEST - self.lengths[used].astype(np.int64))
        return pack(codes[symbols], self.lengths[symbols])

    def decode(self, content: bytes, count: int) -> np.ndarray:
        """int64 (count,), the symbols of which the content is the codes.  Raises BadInput for any other content.

        Where a code begins depends on all before it, how long one would be at any bit does not: that is looked up for
        all bits together, and what is left is to hop.
        """
        if count > 8 * len(content):
            raise BadInput(f"{len(content)} bytes cannot hold {count} codes")
        symbols, starts = self.symbols, self.starts
        lengths = self.lengths[symbols].astype(np.int64)
        at, taken = 0, 0
        found: list[np.ndarray] = []
        padded = np.frombuffer(content + bytes(3), np.uint8).astype(np.int64)
        while taken < count:
            first = at // 8
            if first >= len(content):
                raise BadInput("a stream ends within its codes")
            octets = padded[first : first + AT_ONCE + 3]
            words = octets[:-3] << 24 | octets[1:-2] << 16 | octets[2:-1] << 8 | octets[3:]
            windows = (words[:, None] >> (8 - np.arange(8))).reshape(-1) & ((1 << LONGEST) - 1)
            ranks = np.searchsorted(starts, windows, "right") - 1
            sizes = lengths[ranks].tolist()
            place, end, most = at - 8 * first, len(sizes), count - taken
            places: list[int] = []
            while place < end and len(places) < most:
                places.append(place)
                place += sizes[place]
            taken, at = taken + len(places), 8 * first + place
            found.append(ranks[places])
            if len(symbols) == 1 and windows[places].max() >> (LONGEST - 1):
                raise BadInput("a stream holds a code that no symbol has")
        if at > 8 * len(content):
            raise BadInput("a stream ends within its codes")
        require_end(content, at)
        return symbols[np.concatenate(found)] if found else np.zeros(0, np.int64)


def code_of(counts: np.ndarray) -> Code:
    """The code with the fewest bits for symbols that occur so often, int (symbols,), of those up to the longest.

    Where a code would be longer, the counts are halved (as bzip2 does) until none is.  At least one symbol occurs.
    """
    used = np.flatnonzero(counts)
    lengths = np.zeros(len(counts), np.uint8)
    weights = counts[used].astype(np.int64)
    found = _depths(weights)
    while found.max() > LONGEST:
        weights = (weights + 1) // 2
        found = _depths(weights)
    lengths[used] = found
    return Code(lengths)


def _depths(weights: np.ndarray) -> np.ndarray:
    """How deep in Huffman's tree each of these leaves is, 1 at least."""
    order = np.argsort(weights, kind="stable")
    nodes = weights[order].tolist()  # leaves, then inner nodes; both lists are in order
    leaves = len(nodes)
    if leaves == 1:
        return np.ones(1, np.int64)
    parents = [0] * (2 * leaves - 1)
    leaf, inner = 0, leaves
    for number in range(leaves, 2 * leaves - 1):
        total = 0
        for _ in range(2):
            if leaf < leaves and (inner == number or nodes[leaf] <= nodes[inner]):
                child, leaf = leaf, leaf + 1
            else:
                child, inner = inner, inner + 1
            parents[child] = number
            total += nodes[child]
        nodes.append(total)
    depths = [0] * (2 * leaves - 1)
    for number in range(2 * leaves - 3, -1, -1):
        depths[number] = depths[parents[number]] + 1
    found = np.empty(leaves, np.int64)
    found[order] = depths[:leaves]
    return found


def entropy(counts: np.ndarray) -> float:
    """Bits that no code of symbols that occur so often goes below."""
    used = counts[counts > 0].astype(np.float64)
    return float((used * np.log2(used.sum() / used)).sum())


def bits(counts: np.ndarray) -> int:
    """Bits that their code takes; 0 where nothing occurs."""
    return 0 if not counts.any() else int((code_of(counts).lengths * counts.astype(np.int64)).sum())
