"""Runs golden vectors through the driver's distribution, on an engine that plays back the memory of each run.

    python playback.py FOLDER [--alone]     # NAME.program, NAME.vectors, NAME.memory.npy: uint8 (runs, bytes)

It imports nothing but NumPy, the standard library and `shiftpoint_driver`; with --alone nothing else can be imported.
"""

import sys
from pathlib import Path


class Alone:
    """Refuses to import anything else."""

    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in sys.stdlib_module_names | {"numpy", "shiftpoint_driver"}:
            raise ImportError(f"{name} is imported")


if "--alone" in sys.argv:
    sys.meta_path.insert(0, Alone())

import numpy as np  # noqa: E402
import shiftpoint_driver as sd  # noqa: E402
from shiftpoint_driver.hw.contract.registers import BY_NAME, CONTROL_START, IDENTIFICATION, STATUS_DONE  # noqa: E402

BASE = 0x10000


class Playback:
    """Registers as a run needs them; a start leaves the memory that the run left."""

    reads_back = False

    def __init__(self, program, memories):
        self.memories = list(memories)
        self.memory = np.zeros(len(self.memories[0]), np.uint8)
        self.values = {register.offset: 0 for register in BY_NAME.values()}
        self.values[BY_NAME["ID"].offset] = IDENTIFICATION
        self.values[BY_NAME["CONFIG_HASH"].offset] = int(program.config.hash[:8], 16)

    async def read(self, offset):
        return self.values[offset]

    async def write(self, offset, value):
        if offset == BY_NAME["CONTROL"].offset and value == CONTROL_START:
            self.values[BY_NAME["STATUS"].offset] = STATUS_DONE
            self.memory[:] = self.memories.pop(0)

    async def read_memory(self, address, size):
        return self.memory[address - BASE :][:size].tobytes()

    async def write_memory(self, address, data):
        self.memory[address - BASE :][: len(data)] = np.frombuffer(data, np.uint8)

    async def wait_interrupt(self):
        pass


def main(folder):
    for path in sorted(folder.glob("*.program")):
        program = sd.load(path)
        engine = Playback(program, np.load(path.with_suffix(".memory.npy")))
        runs = sd.read_vectors(path.with_suffix(".vectors").read_bytes(), program, path.name)
        driver = sd.Driver(engine, BASE, len(engine.memory))
        compared = sd.run_sync(sd.check_vectors(driver, program, runs))
        counters = sd.run_sync(driver.counters())
        print(f"{path.stem}: {len(runs)} runs, {compared} values equal, {len(counters)} counters")
    print(f"python {sys.version_info[0]}.{sys.version_info[1]}, numpy {np.__version__}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
