"""Corners of the gateware and the models that random draws miss."""

from __future__ import annotations

from collections.abc import Iterator

Entry = tuple[str, str, str, tuple[str, ...], str | None]
Change = tuple[str, str] | tuple[str, str, str]
"""Text that stands in the file once, text in its place, and why it is equivalent, if it is."""


def _gateware(block: str, changes: tuple[Change, ...], tests: tuple[str, ...] = ()) -> Iterator[Entry]:
    """Changes of a block; its own tests see them, unless others are named, all in the gateware's folder."""
    seen_by = tuple(f"tests/hw/gateware/test_{test}.py" for test in tests or (block,))
    for old, new, *reason in changes:
        yield f"hw/gateware/{block}.py", old, new, seen_by, reason[0] if reason else None


DIRECTED: tuple[Entry, ...] = (
    *_gateware(
        "control",
        (
            ("~seen[:i].any()", "~seen[i + 1 :].any()"),
            ("f.valid & self.busy & ~failed & ~wipe", "f.valid & self.busy & ~wipe"),
            ("f.valid & self.busy & ~failed & ~wipe", "f.valid & ~failed & ~wipe"),
            ("f.valid & self.busy & ~failed & ~wipe", "f.valid & self.busy & ~failed"),
            ("~seen[:i].any() & ~wipe", "~seen[:i].any()"),
            ("with m.If(~failed):", "with m.If(1):"),
            ("with m.If(fault & self.busy & ~failed):", "with m.If(fault & ~failed):"),
            ("self.busy & ~self.halt & ~fault & over", "self.busy & ~self.halt & over"),
            ("~self.busy & ~starting & ~self.error & ~resetting", "~self.busy & ~starting & ~self.error"),
            ("~self.busy & ~starting & ~self.error & ~resetting", "~self.busy & ~starting & ~resetting"),
            ("~self.busy & ~starting & ~self.error & ~resetting", "~self.busy & ~self.error & ~resetting"),
            ("self.start & ~self.reset & ~self.busy", "self.start & ~self.busy"),
            ("self.start & (self.busy | starting)", "self.start & self.busy"),
            ("stop | (complete & tardy)", "stop"),
            ("                late.eq(0),\n", ""),
            (
                "((self.quiet & ~resetting) | self.faults[FAULTS.index(ErrorCause.WATCHDOG)].valid)",
                "(self.quiet & ~resetting)",
            ),
            ("(self.quiet & ~resetting)", "self.quiet"),
            ("failed | (fault & self.busy) | resetting", "failed | resetting"),
        ),
    ),
    *_gateware(
        "engine",
        (
            ("control.quiet.eq((parts.read_port.outstanding == 0) & (", "control.quiet.eq(("),
            ("outstanding == 0) & (parts.write_port.outstanding == 0))", "outstanding == 0))"),
            ("                & Cat(queue.empty for queue in parts.queues).all()\n", ""),
            ("                & Cat(front.in_flight == 0 for front in parts.fronts).all()\n", ""),
            (
                "                & control.quiet\n            ),",
                "            ),",
                "every burst under way is of instructions yet to arrive or of one in flight, which the other terms ask",
            ),
            (
                "with m.If(parts.write_port.outside.valid):",
                "with m.If(parts.write_port.outside.valid & ~parts.read_port.outside.valid):",
            ),
            ("with m.If(queue.valid & queue.ready):\n", "with m.If(queue.valid):\n"),
            (".valid.eq(parts.semaphores.overflow)", ".valid.eq(0)"),
            ("for queue in reversed(parts.queues):", "for queue in parts.queues:"),
            ("with m.If(parts.control.quiet):", "with m.If(1):"),
            ("for unit in (Unit.COMPUTE, Unit.POOL)]", "for unit in (Unit.COMPUTE,)]"),
        ),
    ),
    *_gateware(
        "watchdog",
        (
            ("over.eq(left[1:] == 0)", "over.eq(left[1:16] == 0)"),
            ("~moved & over & left[0]", "~moved & over"),
            ("moved.eq(self.moved | ~self.run)", "moved.eq(self.moved)"),
        ),
    ),
    *_gateware(
        "counters",
        (
            ("stalls = self.waiting[unit] & ~self.halted", "stalls = self.waiting[unit]"),
            ("first = missing[other] & ~missing[:other].any()", "first = missing[other]"),
            ("now.eq(Mux(self.busy, amount, 0))", "now.eq(amount)"),
        ),
    ),
    *_gateware(
        "tokens",
        (
            ("some.eq(Mux(takes, tokens != 1, ~full))", "some.eq(Mux(takes, tokens != 1, 1))"),
            ("full.eq(tokens[: self.bits].all() | tokens[self.bits])", "full.eq(tokens[: self.bits].all())"),
            ("beyond.append(tokens[self.bits])", "beyond.append(tokens[self.bits - 1])"),
        ),
    ),
    ("hw/contract/isa.py", "TOKEN_BITS = 12", "TOKEN_BITS = 11", ("tests/hw/gateware/test_tokens.py",), None),
    *_gateware(
        "axi_read",
        (
            ("fetch.payload.offset[PAGE_BITS:] < self", "fetch.payload.offset[PAGE_BITS:] <= self"),
            ("load.payload.offset[PAGE_BITS:] < self", "load.payload.offset[PAGE_BITS:] <= self"),
            ("self.outside.address.eq(incoming.address)", "self.outside.address.eq(offset)"),
            ("axi.arburst.eq(BURST_INCR)", "axi.arburst.eq(0)"),
            ("(axi.rresp != 0)", "axi.rresp[1]"),
            ("(axi.rresp != 0)", "axi.rresp[0]"),
        ),
    ),
    *_gateware(
        "axi_write",
        (
            ("offset[PAGE_BITS:] < self.window_pages", "offset[PAGE_BITS:] <= self.window_pages"),
            ("self.outside.address.eq(incoming.address)", "self.outside.address.eq(request.offset)"),
            ("axi.awburst.eq(BURST_INCR)", "axi.awburst.eq(0)"),
            ("(axi.bresp != 0)", "axi.bresp[1]"),
        ),
    ),
    *_gateware(
        "interfaces",
        (("CACHE = 0b0011", "CACHE = 0b0010"), ("exact_log2(PAGE_BYTES)", "exact_log2(PAGE_BYTES) + 1")),
        ("axi_read", "axi_write"),
    ),
    *_gateware(
        "requantize",
        (
            ("LARGEST_LEFT_SHIFT = -min(SHIFTS)", "LARGEST_LEFT_SHIFT = -min(SHIFTS) - 1"),
            ('LAYOUTS[Opcode.SETUP]["low"][0].bits', 'LAYOUTS[Opcode.SETUP]["low"][0].bits - 1'),
            ("width = BOUND_BITS + unit - 1", "width = BOUND_BITS + unit - 2"),
            ("quotient >= self.high", "quotient > self.high"),
        ),
        ("requantize", "compute"),
    ),
    *_gateware(
        "array",
        (
            ("ceil_log2(max(config.ic_lanes, TAPS))\n", "ceil_log2(max(config.ic_lanes, TAPS)) - 1\n"),
            ("with m.If(self.product & self.step):", "with m.If(self.product):"),
            ("with m.If(self.product & self.step):", "with m.If(self.step):"),
            ("high[-1] | (high[:-1].all() & low[-1])", "high[-1]"),
            ("Cat(product[PRODUCT_BITS - 1], Const(0, 1))", "Const(0, 2)"),
            (
                "            with m.If(self.step):\n                m.d.sync += packed.eq(self.packed)",
                "            m.d.sync += packed.eq(self.packed)",
            ),
        ),
    ),
    *_gateware(
        "pipeline",
        (
            ("job.conv.residual & ~job.setup.product", "job.conv.residual"),
            ("job.conv.partial_base + pixel.index", "pixel.index"),
            ("self._shares(jobs[_SUMS - 1])", "self._shares(jobs[_SUMS])"),
        ),
        ("compute",),
    ),
    *_gateware(
        "accumulator",
        (
            ('"amount": AMOUNT_BITS', '"amount": AMOUNT_BITS - 1'),
            ("residual_shifts(config.acc_bits)}", "residual_shifts(config.acc_bits)[: config.acc_bits // 2]}"),
            ("memory.write.enable.eq(stages[5].pairs)", "memory.write.enable.eq(1)"),
            ("Mux(stages[4].first, 0, kept[i]) + self.seconds[i]", "kept[i] + self.seconds[i]"),
            ("beside[i], self.sums[i])", "beside[i] + self.sums[i], self.sums[i])"),
        ),
        ("accumulator", "compute"),
    ),
    *_gateware("window", (("COORDINATE_BITS = 18", "COORDINATE_BITS = 13"),), ("window", "compute")),
    *_gateware(
        "compute",
        (
            ("w.conv.first | w.conv.reload", "w.conv.first"),
            ("w.pixels > self.config.partial_sum_depth", "w.pixels >= self.config.partial_sum_depth"),
            ("                & ~(next_conv.last & next_conv.to_pool & w.setup.wide)\n", ""),
            ("next_setup.data_format, next_setup.signal)", "next_setup.data_format)"),
            ("with m.If(illegal):", "with m.If(0):"),
            ("            indexed &= ~shared\n", ""),
            ("shared & next_conv.first & next_conv.last", "next_conv.first & next_conv.last"),
            ("shared & next_conv.first & next_conv.last", "shared & next_conv.last"),
            ("shared & next_conv.first & next_conv.last", "shared & next_conv.first"),
        ),
    ),
    *_gateware(
        "store",
        (
            ("front.illegal.eq(walk.start & ~walk.legal)", "front.illegal.eq(0)"),
            ("                & (i.planes <= self.config.derived.planes)\n", ""),
            ("                & self._in_step(i.address, i.base)\n", ""),
            ("((i.rows == 1) | self._in_step(i.row_pitch, i.source_pitch))", "(i.rows != 0)"),
            ("(i.rows == 1) | self", "self"),
            ("(i.planes == 1) | self", "self"),
        ),
    ),
    *_gateware("store_walk", (("self.busy.eq(self.legal)", "self.busy.eq(1)"),)),
    *_gateware(
        "load",
        (
            ("                & (i.beats != 0)\n", ""),
            ("Cat(i.address[:size], i.pitch[:size]) == 0", "i.address[:size] == 0"),
            ("Cat(i.address[:size], i.pitch[:size]) == 0", "i.pitch[:size] == 0"),
            ("(i.rows <= planes)", "(i.rows <= 2 * planes)"),
            ("row.busy.eq(legal)", "row.busy.eq(1)"),
        ),
    ),
    *_gateware(
        "fetch",
        (
            ("illegal.address.eq(incoming.numbered.index)", "illegal.address.eq(incoming.numbered.index + 1)"),
            ("own = header.wait | header.signal", "own = header.wait"),
        ),
    ),
    *_gateware("registers", (("bus.awaddr[_BYTE_ADDRESS:]", "bus.awaddr[_BYTE_ADDRESS:7]"),)),
    *_gateware(
        "weight_reader",
        (
            ("with m.If(early | late):", "with m.If(late):"),
            ("(tags if shortest >= _LONG_ENOUGH else Mux(late, beat, tags))", "tags"),
            ("part.eq(first),", "part.eq(parts),"),
            ("with m.Elif(part.as_value().any()):", "with m.Else():"),
            ("listed, ~self.without_blocks if config.packed else 1)", "listed, 1)"),
            ("part.block | (part.parameters & self.without_blocks) if config.packed else part.block", "part.block"),
        ),
    ),
    *_gateware(
        "pool",
        (
            ("            m.d.sync += stopped.eq(1)\n", "            pass\n"),
            ("size = Signal(len(kept.out_rows) + len(kept.out_columns)", "size = Signal(12"),
            ("Mux(kept.low > most, most + 1, kept.low)", "Mux(kept.low > most, most, kept.low)"),
            ("Mux(kept.high > most, most, kept.high)", "kept.high"),
            ("(~now.inside | _above(low, there)) & ~none_low", "(~now.inside | _above(low, there))"),
            ("(now.inside & _above(there, high)) | all_high", "(now.inside & _above(there, high))"),
        ),
    ),
    *_gateware(
        "burst",
        (
            (
                "min(self.config.max_burst, LONGEST, page)",
                "min(self.config.max_burst, LONGEST)",
                "what is left of a page bounds a burst anyhow; only the register is wider",
            ),
        ),
    ),
    *_gateware("memory", (("_when_read(m, self.read_address[:split_read])", "self.read_address[:split_read]"),)),
    (
        "quant/search/convolution.py",
        "if before is not None and (ceiling is None or before.frac.max() <= ceiling):",
        "if before is not None:",
        ("tests/quant/search/test_convolution.py",),
        None,
    ),
)
"""File, text that stands in it once, text in its place, tests that see it, and why it is equivalent, if it is."""
