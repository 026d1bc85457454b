"""Mutants that change nothing that could be seen, each with the reason.

By file, the lines as they are, and the lines altered, both with single spaces.
"""

from __future__ import annotations

EQUIVALENT: dict[tuple[str, str, str], str] = {
    (
        "sim/cycles/units.py",
        "self._setup, self._group_passes = SetupInstruction(), 1",
        "self._setup, self._group_passes = SetupInstruction(), 2",
    ): "the SETUP without which no CONV is valid overwrites it",
    (
        "sim/cycles/units.py",
        "self._setup, self._group_passes = SetupInstruction(), 1",
        "self._setup, self._group_passes = SetupInstruction(), 0",
    ): "the SETUP without which no CONV is valid overwrites it",
    (
        "hw/gateware/average.py",
        "m.d.sync += ones.eq(((1 << len(ones)) - 1) << self.sum_bits)",
        "m.d.sync += ones.eq(((0 << len(ones)) - 1) << self.sum_bits)",
    ): "-1 shifted to the left, cut to the register's bits, is what as many ones are",
    (
        "hw/gateware/store_walk.py",
        'row_bits = _STORE["words"].shape.width + 1 + exact_log2(self.config.derived.beats_per_word)',
        'row_bits = _STORE["words"].shape.width + 2 + exact_log2(self.config.derived.beats_per_word)',
    ): "the splitter's registers only have a bit more, which is always 0",
    (
        "hw/gateware/axi_write.py",
        'return data.StructLayout({"data": config.axi_bits, "strobe": config.derived.beat_bytes, "last": 1})',
        'return data.StructLayout({"data": config.axi_bits, "strobe": config.derived.beat_bytes, "last": 2})',
    ): "the queue of beats has a bit more, which is always 0, and WLAST takes the lowest",
    (
        "quant/search/placed.py",
        "weight = self.layer.weight.astype(np.float64, copy=False)",
        "weight = self.layer.weight.astype(np.float64, copy=True)",
    ): "nobody writes into these weights, so that a copy of them serves as well",
    (
        "hw/contract/validator.py",
        "0 < memory <= LARGEST_WINDOW and memory % PAGE_BYTES == 0,",
        "1 < memory <= LARGEST_WINDOW and memory % PAGE_BYTES == 0,",
    ): "1 is no multiple of a page, so that the other condition refuses it",
}
