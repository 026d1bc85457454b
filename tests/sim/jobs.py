"""Jobs for the engine's Verilog: programs, images, memories, and the tensors that must come out."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np

from host.compiler import CannotCompile, KeepLayers, compile_network
from hw.contract.config import AcceleratorConfig, preset
from hw.contract.isa import ConvInstruction, Target
from hw.contract.memory import Memory
from hw.contract.program import Program
from quant.base.errors import UnsupportedNetwork
from quant.ir.network import Network
from quant.ir.well_formed import Malformed
from quant.kinds.table import Table
from quant.run.execute import execute
from sim.bench.engine_bench import RtlJob
from tests.host.extremes import extreme_network
from tests.host.networks import compressed, image, narrowed, widened
from tests.sim.banded import banded_network, by_bands, on_memory
from tests.sim.blocked import blocked_network, in_blocks
from tests.sim.by_channel import by_channel, by_channel_network
from tests.sim.depthwise import depthwise_network
from tests.sim.handmade import CASES, build
from tests.sim.in_part import in_part, in_part_network
from tests.sim.networks import random_images, random_inputs, random_network
from tests.sim.programs import with_copies

ODD = [
    # as little of everything as there can be, and bursts that no power of two divides
    replace(preset("tiny"), name="meagre", max_burst=3, queue_depth=1, fetch_depth=8, read_outstanding=1,
            write_outstanding=1),
    # two beats a word, two planes, 48 bits
    replace(preset("tiny"), name="slow_port", ic_lanes=8, oc_lanes=16, acc_bits=48, residual_depth=1024,
            weight_depth=2048),
    # four words a beat, a weight block of one beat, four planes
    replace(preset("tiny"), name="fast_port", ic_lanes=2, oc_lanes=8, axi_bits=128, fetch_depth=32,
            skip_blocks=False, codebooks=False),
    # multipliers that take two weights of 4 bits, a weight block of two beats, two planes
    replace(preset("tiny"), name="packed_port", oc_lanes=8, axi_bits=128, acc_bits=48, skip_blocks=False,
            codebooks=False, packed=True),
    # 16 bits, two words a beat, two planes
    replace(preset("small16"), name="sixteen", ic_lanes=4, axi_bits=128, max_burst=5),
]  # fmt: skip

MANY = 1 << 20
"""More than a program has instructions."""

Jobs = dict[str, tuple[RtlJob, dict[str, np.ndarray]]]
"""Jobs by name, each with the tensors (N, C, H, W) that must come out."""


def fitted(network: Network, config: AcceleratorConfig, rng: np.random.Generator) -> Network:
    """A network of 8 bits as it is, but most often one that has some of 16 for an engine of these, and one with weights
    of 4 for an engine whose multipliers take two; draws for such engines alone."""
    if config.packed and rng.integers(4):
        return narrowed(network)
    has_tables = any(isinstance(layer, Table) for layer in network.layers)
    return widened(network, rng) if config.data_bits > 8 and not has_tables and rng.integers(4) else network


def handmade_jobs(config: AcceleratorConfig, points: list[Memory]) -> Jobs:
    jobs: Jobs = {}
    for name, case in CASES.items():
        made = build(config, case)
        expected = {tensor: values[None] for tensor, values in made.expected.items()}
        for memory in points:
            jobs[f"{name} {memory}"] = (RtlJob(made.program, made.x[None], memory), expected)
        target = Target.RESIDUAL if case.pool else Target.ACTIVATION
        copied = with_copies(made.program, target, before=not case.tile_rows)
        jobs[f"{name}, on the chip too"] = (RtlJob(copied, made.x[None], points[0]), expected)
    return jobs


def network_jobs(config: AcceleratorConfig, seed: int, count: int) -> Jobs:
    """Random networks through the real compiler, each on a memory of its own: two images each, one after the other; of
    every third network two in one run, and another one in a second."""
    jobs: Jobs = {}
    for number in itertools.count():
        if len(jobs) == count:
            break
        rng = np.random.default_rng([seed, number])
        network = random_network(
            int(rng.integers(1 << 30)), layers=int(rng.integers(2, 7)), inputs=1 + (number % 4 == 3)
        )
        network = fitted(network, config, rng)
        memory = Memory(int(rng.integers(1, 250)), int(rng.integers(1, 9)), shared=bool(rng.integers(2)))
        keep, batch = [*KeepLayers][number % 2], 2 if number % 3 == 1 else 1
        try:
            program = compile_network(network, config, memory=memory, keep_layers=keep, batch=batch)
        except CannotCompile:
            continue
        images = random_inputs(network, 3 if batch > 1 else 2, number)
        expected = execute(network, images, list(program.placements))
        base = 4096 * int(rng.integers(1 << 18))
        jobs[f"network {number} of seed {seed}, {memory}"] = (RtlJob(program, images, memory, base), expected)
    return jobs


def packed_jobs(config: AcceleratorConfig, seed: int, count: int) -> Jobs:
    """Random networks with weights of 4 bits and layers of several output groups, two of which share multipliers: an
    image each, each on a memory of its own."""
    jobs: Jobs = {}
    for number in itertools.count():
        if len(jobs) == count:
            break
        rng = np.random.default_rng([seed, number])
        network = narrowed(random_network(int(rng.integers(1 << 30)), layers=int(rng.integers(2, 7))))
        memory = Memory(int(rng.integers(1, 250)), int(rng.integers(1, 9)), shared=bool(rng.integers(2)))
        program = compile_network(network, config, memory=memory, keep_layers=[*KeepLayers][number % 2])
        if not packs(program):
            continue
        images = random_images(network, 1, number)
        expected = execute(network, images, [p.tensor for p in program.tensors])
        jobs[f"packed network {number} of seed {seed}, {memory}"] = (RtlJob(program, images, memory), expected)
    return jobs


def packs(program: Program) -> bool:
    """Whether output groups of a program share multipliers."""
    return any(isinstance(i, ConvInstruction) and i.second for i in program.decode())


def depthwise_jobs(config: AcceleratorConfig, seed: int, count: int) -> Jobs:
    """Chains of depthwise layers, an image each, each on a memory of its own."""
    jobs: Jobs = {}
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        network = fitted(depthwise_network(int(rng.integers(1 << 30))), config, rng)
        memory = Memory(int(rng.integers(1, 250)), int(rng.integers(1, 9)), shared=bool(rng.integers(2)))
        program = compile_network(network, config, memory=memory, keep_layers=[*KeepLayers][number % 2])
        images = random_images(network, 1, number)
        expected = execute(network, images, list(program.placements))
        jobs[f"depthwise chain {number} of seed {seed}, {memory}"] = (RtlJob(program, images, memory), expected)
    return jobs


def banded_jobs(config: AcceleratorConfig, seed: int, count: int) -> Jobs:
    """Networks that run band by band, an image each, each on a memory of its own."""
    jobs: Jobs = {}
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        network = banded_network(number, rng)
        network = compressed(network) if number % 2 else network
        memory = Memory(int(rng.integers(1, 250)), int(rng.integers(1, 5)))
        program = compile_network(network, config, memory=memory, keep_layers=KeepLayers.NONE, cycles=on_memory)
        assert by_bands(program)
        images = random_images(network, 1, number)
        expected = execute(network, images, [p.tensor for p in program.tensors])
        jobs[f"bands {number} of seed {seed}, {memory}"] = (RtlJob(program, images, memory), expected)
    return jobs


def blocked_jobs(config: AcceleratorConfig, seed: int, count: int) -> Jobs:
    """Networks whose layers run in blocks of output groups, an image each, each on a memory of its own."""
    jobs: Jobs = {}
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        network = blocked_network(number, rng)
        memory = Memory(int(rng.integers(1, 250)), int(rng.integers(3, 7)))
        program = compile_network(network, config, memory=memory, keep_layers=[*KeepLayers][number % 2])
        images = random_images(network, 1, number)
        expected = execute(network, images, [p.tensor for p in program.tensors])
        jobs[f"blocks {number} of seed {seed}, {memory}"] = (RtlJob(program, images, memory), expected)
    assert 2 * sum(in_blocks(job.program) for job, _ in jobs.values()) > count  # where it takes less time
    return jobs


def by_channel_jobs(config: AcceleratorConfig, seed: int, count: int) -> Jobs:
    """Networks with layers that read a map some channels at a time, an image each, each on a memory of its own."""

    def wanted(program: Program) -> int:
        return on_memory(program) + (0 if by_channel(program) else MANY)

    jobs: Jobs = {}
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        network = by_channel_network((0, 1, 2, 4)[number % 4], rng)
        memory, keep = Memory(int(rng.integers(1, 250)), int(rng.integers(1, 5))), [*KeepLayers][number // 4 % 2]
        network = narrowed(network) if number % 2 else network
        program = compile_network(network, config, memory=memory, keep_layers=keep, cycles=wanted)
        assert by_channel(program)
        images = random_images(network, 1, number)
        expected = execute(network, images, [p.tensor for p in program.tensors])
        jobs[f"by channel {number} of seed {seed}, {memory}"] = (RtlJob(program, images, memory), expected)
    return jobs


def in_part_jobs(config: AcceleratorConfig, seed: int, count: int) -> Jobs:
    """Networks with a map whose last planes wait as results, an image each, each on a memory of its own."""

    def wanted(program: Program) -> int:
        return on_memory(program) + (0 if in_part(program) else MANY)

    jobs: Jobs = {}
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        network = in_part_network(number, rng)
        memory, keep = Memory(int(rng.integers(1, 250)), int(rng.integers(1, 5))), [*KeepLayers][number // 4 % 2]
        program = compile_network(network, config, memory=memory, keep_layers=keep, cycles=wanted)
        assert in_part(program)
        images = random_images(network, 1, number)
        expected = execute(network, images, [p.tensor for p in program.tensors])
        jobs[f"in part {number} of seed {seed}, {memory}"] = (RtlJob(program, images, memory), expected)
    return jobs


def extreme_jobs(config: AcceleratorConfig, seed: int, count: int) -> Jobs:
    """Networks at the ends of what the compiler accepts, among many that it does not."""
    jobs: Jobs = {}
    for number in range(100 * count):
        if len(jobs) == count:
            return jobs
        rng = np.random.default_rng([seed, number])
        network = extreme_network(rng)
        try:
            program = compile_network(network, config)
        except (CannotCompile, UnsupportedNetwork, Malformed):
            continue
        images = image(network, rng)[None]
        expected = execute(network, images, list(program.placements))
        jobs[f"extreme network {number} of seed {seed}"] = (RtlJob(program, images), expected)
    raise AssertionError("hardly any extreme network is accepted")
