"""What test_compute.py runs: random programs of SETUP and CONV against NumPy, and every cycle against the timing."""

from __future__ import annotations

import random
from dataclasses import replace

import cocotb
import numpy as np

from hw.contract import timing
from hw.contract.depthwise import meets
from hw.contract.isa import ConvInstruction, Instruction, Mode, Opcode, SetupInstruction
from hw.contract.weights import FORMATS
from tests.hw.gateware.helpers.build import settings
from tests.hw.gateware.helpers.compute_reference import (
    CONFIG,
    PAIRS,
    SIZES,
    WEIGHTS,
    WHOLE,
    Buffers,
    M,
    N,
    Reference,
    at_once,
)
from tests.hw.gateware.helpers.cycles import Cycles


def clear_unused(buffers: Buffers, program: list[Instruction]) -> None:
    """Depthwise blocks have no weights for rows and columns that their passes do not take, nor behind the last tap."""
    setup = SetupInstruction()
    size = WEIGHTS.block_beats(CONFIG, 1) * SIZES.beat_bytes
    for i in program:
        if i.opcode == Opcode.SETUP:
            setup = i
        elif setup.mode == Mode.DEPTHWISE:
            high, wide = at_once(setup)
            unused = np.ones((3, 3, N), bool)
            unused[3 - high :, :wide] = False
            unused = np.repeat(unused.reshape(-1), SIZES.lane_bytes)
            unused = np.concatenate([unused, np.ones(size - len(unused), bool)])
            base = i.weight_base * SIZES.beat_bytes + (8 * M if i.first or i.reload else 0)
            for k in range(i.input_groups * -(-setup.kernel_rows // high) * -(-setup.kernel_columns // wide)):
                where = (base + k * size + np.arange(size)) % buffers.weight.size
                buffers.weight[where[unused]] = 0


def some_setup(rng: random.Random, kernel: int) -> Instruction:
    wide = rng.random() < 0.3 and CONFIG.data_bits < SIZES.wide_bits
    low, high = rng.choice([(-128, 127), (0, 255), (0, 6), (-3, 100), (-(2**17), 2**17 - 1)])
    if wide or CONFIG.data_bits == SIZES.wide_bits:
        low, high = rng.choice([(-32768, 32767), (0, 65535), (0, 1000), (-(2**17), 2**17 - 1)])
    mode = rng.choice([0, 1, 2] if N > 1 else [0, 1])
    formats = [WHOLE, *[1, 1, 2] * CONFIG.codebooks, *[PAIRS] * 3 * CONFIG.packed]
    setup = SetupInstruction(
        mode=mode,
        kernel_rows=rng.randint(1, kernel + 4 * (mode == Mode.DEPTHWISE)),
        kernel_columns=rng.randint(1, kernel + 4 * (mode != Mode.DENSE)),
        stride_rows=rng.randint(0, 4),
        stride_columns=rng.randint(0, 4),
        dilation_rows=rng.choice([0, 1, 1, 2, 3]),
        dilation_columns=1 if mode == Mode.PAIRED else rng.choice([0, 1, 1, 2, 3]),
        row_step=rng.getrandbits(16),
        tap_row_step=rng.getrandbits(16),
        in_columns=rng.choice([1, 3, 8, 4095]),
        pad_value=rng.choice([0, 0, 255, 127, rng.getrandbits(16)]),
        input_signed=rng.getrandbits(1),
        residual_signed=rng.getrandbits(1),
        wide=wide,
        product=mode == Mode.DEPTHWISE and rng.random() < 0.3,
        broadcast=rng.random() < 0.3,
        low=low,
        high=high,
        table=CONFIG.tables and rng.random() < 0.6,
        table_load=CONFIG.tables and rng.random() < 0.5,
        table_base=rng.getrandbits(16),
        weight_format=rng.choice(formats) if mode != Mode.DEPTHWISE else WHOLE,
    )
    if at_once(setup)[0] == 1:
        return setup
    stride = rng.randint(1, 4)
    return replace(setup, stride_rows=stride, row_step=stride * setup.tap_row_step % (1 << 16))


def some_tiles(rng: random.Random, buffers: Buffers, setup: Instruction, again: bool) -> list[Instruction]:
    """Up to three tiles whose CONVs come in any order of tiles, each with partial sums of its own.

    again: there is no codebook yet."""
    count = rng.choice([1, 1, 2, 3])
    base = rng.getrandbits(16)
    waiting, program, loaded = [], [], -1
    for _ in range(count):
        tile = [replace(conv, partial_base=base) for conv in some_tile(rng, buffers, setup, count)]
        base = (base + tile[0].out_rows * tile[0].out_columns) % (1 << 16)
        waiting.append(tile)
    while any(waiting):
        number = rng.choice([k for k, tile in enumerate(waiting) if tile])
        conv = waiting[number].pop(0)
        if not conv.first and (rng.random() < 0.1 or (conv.last and loaded != number)):
            conv = replace(conv, reload=1)
            put_parameters(rng, buffers, conv.weight_base)
        loaded = number if conv.first or conv.reload else loaded
        if setup.weight_format in (1, 2) and (again or rng.random() < 0.2):
            conv, again = replace(conv, codebook=1), False
        program.append(conv)
        if setup.weight_format == PAIRS and conv.last:
            program += seconds(rng, buffers, conv)
            loaded = -1
    return program


def seconds(rng: random.Random, buffers: Buffers, conv: Instruction) -> list[Instruction]:
    """Behind the last CONV of a tile whose weights are those of two output groups that of the second one, if any."""
    if rng.random() < 0.1:
        return []
    weight_base = rng.randrange(0, 1 << 16, max(1, 8 // SIZES.beat_bytes))
    put_parameters(rng, buffers, weight_base)
    bases = {f"{name}_base": rng.getrandbits(16) for name in ("residual", "output", "pool", "activation")}
    changes = {"weight_base": weight_base, "residual": rng.getrandbits(1), "signal": rng.getrandbits(4), **bases}
    return [replace(conv, first=1, reload=0, input_groups=0, blocks=0, **changes)]


def some_tile(rng: random.Random, buffers: Buffers, setup: Instruction, among: int = 1) -> list[Instruction]:
    """One to three CONVs that together make the results of a tile, one of `among` whose sums are kept at once; puts its
    parameters into the buffer."""
    longest = (16 if rng.random() < 0.6 else CONFIG.partial_sum_depth) // among
    rows = rng.randint(1, min(longest, 9))
    columns = rng.randint(1, longest // rows)
    chunks = rng.choice([1, 1, 1, 2, 3])
    lane_beats = max(1, 8 // SIZES.beat_bytes)
    program = []
    for k in range(chunks):
        first, last = k == 0, k == chunks - 1
        weight_base = rng.randrange(0, 1 << 16, lane_beats)
        if first:
            put_parameters(rng, buffers, weight_base)
        to_output = rng.random() < 0.8
        in_rows, row_offset = rng.choice([1, 3, 8, 4095]), rng.randint(-4, 3)
        padded = meets(setup.kernel_rows, row_offset, rows, setup.stride_rows, in_rows)
        program.append(
            ConvInstruction(
                signal=rng.getrandbits(4),
                layer=rng.getrandbits(12),
                activation_base=rng.getrandbits(16),
                group_step=rng.getrandbits(16),
                in_rows=in_rows,
                row_offset=row_offset,
                column_offset=rng.randint(-4, 3),
                out_rows=rows,
                out_columns=columns,
                input_groups=rng.randint(1, M // N) if setup.mode == Mode.DEPTHWISE else rng.choice([1, 1, 2, 3]),
                weight_base=weight_base,
                residual_base=rng.getrandbits(16),
                output_base=rng.getrandbits(16),
                pool_base=rng.getrandbits(16),
                first=first,
                last=last,
                residual=rng.getrandbits(1),
                to_output=to_output,
                to_pool=not setup.wide and (not to_output or rng.random() < 0.3),
                meet=at_once(setup)[0] > 1 and padded and rng.random() < 0.7,
                blocks=rng.randint(1, 20) if CONFIG.skip_blocks and not setup.mode and rng.random() < 0.5 else 0,
            )
        )
    return program


def put_parameters(rng: random.Random, buffers: Buffers, weight_base: int) -> None:
    for lane in range(M):
        at = weight_base * SIZES.beat_bytes + 8 * lane
        bias = rng.randint(-(1 << 16), 1 << 16) if rng.random() < 0.7 else rng.randint(-(1 << 47), (1 << 47) - 1)
        shift = rng.randint(-15, 48) if rng.random() < 0.3 else rng.randint(0, 2 * CONFIG.data_bits - 2)
        block = (bias & (1 << 48) - 1).to_bytes(6, "little") + bytes([shift & 255, rng.randrange(16)])
        buffers.weight[(at + np.arange(8)) % buffers.weight.size] = np.frombuffer(block, np.uint8)


async def fill(bench: Cycles, buffers: Buffers) -> None:
    """Write all buffers through the ports of the load unit."""
    beat = SIZES.beat_bytes
    activation = buffers.activation.view(np.uint8).reshape(-1, beat)
    weight = buffers.weight.reshape(-1, beat)
    planes = buffers.residual.reshape(-1, SIZES.planes, N).transpose(1, 0, 2)
    planes = np.ascontiguousarray(planes).view(np.uint8).reshape(SIZES.planes, -1, beat)
    if SIZES.words_per_beat > 1:
        bench.set(activation_write__strobe=-1 % (1 << SIZES.words_per_beat))
        bench.set(residual_write__strobe=-1 % (1 << SIZES.words_per_beat))
    residual = [(p, a, planes[p, a]) for p in range(SIZES.planes) for a in range(planes.shape[1])]
    for i in range(max(len(activation), len(weight), len(residual))):
        for name, data in (("activation", activation), ("weight", weight)):
            bench.set(**{f"{name}_write__enable": i < len(data)})
            if i < len(data):
                value = int.from_bytes(data[i].tobytes(), "little")
                bench.set(**{f"{name}_write__address": i, f"{name}_write__data": value})
        bench.set(residual_write__enable=i < len(residual))
        if i < len(residual):
            plane, address, data = residual[i]
            bench.set(residual_write__address=address, residual_write__data=int.from_bytes(data.tobytes(), "little"))
            if SIZES.planes > 1:
                bench.set(residual_write__plane=plane)
        await bench.step()
    bench.set(activation_write__enable=0, weight_write__enable=0, residual_write__enable=0)


async def prepare(dut, buffers: Buffers) -> Cycles:
    bench = Cycles(dut)
    bench.set(front__valid=0, front__instruction=0)
    await bench.reset()
    await fill(bench, buffers)
    bench.now = 0
    return bench


async def compare(bench: Cycles, program: list[Instruction], offered: list[int], reference: Reference) -> None:
    """Offer the program and hold every cycle to the reference."""
    expected = reference.run(program, offered)
    occupied = {cycle for start, end in reference.occupied for cycle in range(start + 1, end)}
    words = [int.from_bytes(instruction.encode(), "little") for instruction in program]
    head, start, place = 0, -timing.QUEUE_INTERVAL, True  # of the head, of the one before, in the cycle before
    for cycle, flight in enumerate(expected.in_flight()):
        offer = head < len(program) and cycle >= max(offered[head], start + timing.QUEUE_INTERVAL)
        bench.set(front__valid=offer, front__instruction=words[min(head - (cycle == start + 1), len(words) - 1)])
        await bench.settle()
        bench.expect("in_flight", flight, bench.get("front__in_flight"))
        bench.expect("ready", int(place and cycle != start + 1), bench.get("front__ready"))
        place = flight < 2 and cycle not in occupied
        done = bench.get("front__done")
        bench.expect("done", int(cycle in expected.done), done)
        if done:
            bench.expect("signal", expected.done[cycle], bench.get("front__signal"))
        for name, writes in (("output_write", expected.outputs), ("pool_write", expected.pools)):
            actual = None
            if bench.get(f"{name}__enable"):
                actual = (bench.get(f"{name}__address"), bench.get(f"{name}__data"))
            bench.expect(f"{name} (address, data)", writes.get(cycle), actual)
        bench.expect("illegal", 0, bench.get("front__illegal"))
        if offer and bench.get("front__ready"):
            bench.expect(f"start of instruction {head}, {program[head]}", expected.starts[head], cycle)
            head, start = head + 1, cycle
        await bench.clock()
    bench.expect("instructions taken", len(program), head)


def some_program(rng: random.Random, buffers: Buffers, tiles: int) -> list[Instruction]:
    program: list[Instruction] = []
    known = False
    for _ in range(tiles):
        if not program or rng.random() < 0.4:
            for _ in range(rng.choice([1, 1, 2])):
                setup = some_setup(rng, 3)
                if CONFIG.tables and not program:  # before that nobody knows what a table has
                    setup = replace(setup, table_load=1)
                program.append(setup)
        program += some_tiles(rng, buffers, setup, not known)
        known = any(head.opcode == Opcode.CONV and head.codebook for head in program)
    clear_unused(buffers, program)
    return program


@cocotb.test()
async def random_programs(dut):
    """Overlapping instructions, with and without gaps between them."""
    rng = random.Random(cocotb.RANDOM_SEED)
    for gap in (0, 5, 60):
        buffers = Buffers.randomized(np.random.default_rng(rng.getrandbits(32)))
        program = some_program(rng, buffers, settings()["tiles"])
        bench = await prepare(dut, buffers)
        offered, at = [], 3
        for _ in program:
            at += rng.randint(0, gap)
            offered.append(at)
        await compare(bench, program, offered, Reference(buffers))


def bad_instructions(setup: Instruction, conv: Instruction) -> list[tuple[str, int]]:
    def number(head: Instruction, **changes: int) -> int:
        return int.from_bytes(replace(head, **changes).encode(), "little")

    limit = CONFIG.partial_sum_depth
    sizes = ((0, 1), (1, 0), (limit + 1, 1), (1, limit + 1), (limit, 2), (4095, 4095))
    bad = [(f"tile of {r} x {c}", number(conv, out_rows=r, out_columns=c)) for r, c in sizes]
    bad.append(("no input group", number(conv, input_groups=0, blocks=0, last=int(setup.weight_format != PAIRS))))
    bad.append(("no input group, and listed blocks", number(conv, input_groups=0, blocks=1)))
    if setup.weight_format == PAIRS:
        bad.append(("a second output group that is not first", number(conv, input_groups=0, first=0)))
    for name in ("kernel_rows", "kernel_columns"):
        bad.append((f"{name} 0", number(setup, **{name: 0})))
    for name, least in (("mode", max(Mode) + 1), ("weight_format", len(FORMATS)), ("data_format", 1), ("signal", 1)):
        bad.append((f"SETUP with {name}", number(setup, **{name: least})))
    bad.append(("indices in depthwise passes", number(setup, mode=Mode.DEPTHWISE, weight_format=1)))
    other = next(found.number for found in FORMATS if not found.indexed and found.number != WHOLE)
    bad.append(("weights of another width", number(setup, weight_format=other)))
    bad.append(("weights that share multipliers in depthwise passes", number(setup, mode=1, weight_format=PAIRS)))
    if not CONFIG.packed:
        bad.append(("weights that share multipliers", number(setup, mode=0, weight_format=PAIRS)))
    if CONFIG.data_bits == SIZES.wide_bits:
        bad.append(("wide results", number(setup, wide=1)))
    if setup.weight_format in (WHOLE, PAIRS):
        bad.append(("a codebook for weights that are no indices", number(conv, codebook=1)))
    if not CONFIG.codebooks:
        bad += [(f"indices {k} without codebooks", number(setup, mode=0, weight_format=k)) for k in (1, 2)]
    if not CONFIG.skip_blocks:
        bad.append(("listed blocks without them", number(conv, blocks=1)))
    if not CONFIG.tables:
        bad += [(f"{name} without tables", number(setup, **{name: 1})) for name in ("table", "table_load")]
    opcodes = [code for code in range(16) if code not in (Opcode.SETUP, Opcode.CONV)]
    return bad + [(f"opcode {code}", number(conv) & ~15 | code) for code in opcodes]


@cocotb.test()
async def illegal_instructions(dut):
    """They have no effect and stop the unit until a reset; what came before ends as it should."""
    rng = random.Random(cocotb.RANDOM_SEED)
    buffers = Buffers.randomized(np.random.default_rng(rng.getrandbits(32)))
    setups = [some_setup(rng, 2)]
    if CONFIG.packed:  # whether a CONV may have no input groups is a matter of the format
        dense = replace(setups[0], mode=Mode.DENSE, product=False)
        setups = [replace(dense, weight_format=weights) for weights in (WHOLE, PAIRS)]
    cases = []
    for setup in setups:
        conv = some_tile(rng, buffers, setup)[0]
        program = [setup, replace(conv, codebook=int(setup.weight_format in (1, 2)))]
        clear_unused(buffers, program)
        cases += [(program, *one) for one in bad_instructions(*program)]
    bench = await prepare(dut, buffers)
    for program, what, bad in cases:
        await bench.reset()
        expected = Reference(buffers).run(program, [1, 1])
        words = [int.from_bytes(head.encode(), "little") for head in program] + [bad]
        head, start, taken, pulses = 0, -2, None, []
        for cycle in range(max(expected.ends) + 40):
            offer = cycle >= start + timing.QUEUE_INTERVAL
            bench.set(front__valid=offer, front__instruction=words[min(head - (cycle == start + 1), len(words) - 1)])
            await bench.settle()
            if bench.get("front__illegal"):
                pulses.append(cycle)
            bench.expect(f"{what}: done", int(cycle in expected.done), bench.get("front__done"))
            for name, writes in (("output_write", expected.outputs), ("pool_write", expected.pools)):
                bench.expect(f"{what}: {name}", int(cycle in writes), bench.get(f"{name}__enable"))
            if bench.get("front__ready") and offer:
                bench.expect(f"{what}: nothing is taken after it", None, taken)
                taken = cycle if head == len(program) else None
                head, start = head + 1, cycle
            await bench.clock()
        bench.expect(f"{what}: pulses after it was taken", True, len(pulses) == 1 and 1 <= pulses[0] - taken <= 3)
        bench.expect(f"{what}: in_flight", 0, bench.get("front__in_flight"))


@cocotb.test()
async def a_conv_needs_a_setup(dut):
    bench = Cycles(dut)
    await bench.reset()
    conv = ConvInstruction(out_rows=1, out_columns=1, input_groups=1, first=1, last=1, to_output=1)
    bench.set(front__valid=0, front__instruction=int.from_bytes(conv.encode(), "little"))
    await bench.step()
    bench.set(front__valid=1)
    for cycle in range(40):
        await bench.settle()
        names = ("front__ready", "front__illegal", "front__in_flight", "output_write__enable")
        actual = tuple(bench.get(name) for name in names)
        bench.expect(f"{names}", (int(cycle == 0), int(cycle == 1), 0, 0), actual)
        await bench.clock()


async def refuses(bench, setup, conv):
    """A CONV is illegal after a SETUP that is not."""
    for head, illegal in ((setup, 0), (conv, 1)):
        bench.set(front__valid=0, front__instruction=int.from_bytes(head.encode(), "little"))
        await bench.step()
        bench.set(front__valid=1)
        await bench.step()
        bench.set(front__valid=0)
        await bench.settle()
        bench.expect(f"illegal after {head}", illegal, bench.get("front__illegal"))
        await bench.step(timing.QUEUE_INTERVAL - 2)


@cocotb.test()
async def a_depthwise_conv_has_no_more_input_groups_than_results_have_planes(dut):
    bench = Cycles(dut)
    await bench.reset()
    setup = SetupInstruction(kernel_rows=1, kernel_columns=1, mode=1, weight_format=WHOLE)
    conv = ConvInstruction(out_rows=1, out_columns=1, input_groups=M // N + 1, first=1, last=1, to_output=1)
    await refuses(bench, setup, conv)


@cocotb.test(skip=CONFIG.data_bits == SIZES.wide_bits)
async def wide_results_do_not_go_to_the_pool(dut):
    bench = Cycles(dut)
    await bench.reset()
    setup = SetupInstruction(kernel_rows=1, kernel_columns=1, wide=1, weight_format=WHOLE)
    conv = ConvInstruction(out_rows=1, out_columns=1, input_groups=1, first=1, last=1, to_pool=1)
    await refuses(bench, setup, conv)


@cocotb.test()
async def depthwise_passes_have_all_their_blocks(dut):
    bench = Cycles(dut)
    await bench.reset()
    setup = SetupInstruction(kernel_rows=1, kernel_columns=1, mode=1, weight_format=WHOLE)
    conv = ConvInstruction(out_rows=1, out_columns=1, input_groups=1, first=1, last=1, to_output=1, blocks=1)
    await refuses(bench, setup, conv)
