"""An engine as software sees it: registers and memory in Python, with the program executor behind them."""

from __future__ import annotations

import numpy as np

from hw.contract.config import AcceleratorConfig
from hw.contract.program import Program
from hw.contract.registers import (
    BY_NAME,
    CONTROL_RESET,
    CONTROL_START,
    IDENTIFICATION,
    STATUS_BUSY,
    STATUS_DONE,
    STATUS_ERROR,
    ErrorCause,
)
from sim.executor import ProgramExecutor

BASE, SIZE = 0x10000, 1 << 20


class FakeEngine:
    """An engine as its transport shows it.  Runs `program` where the registers say that one is started.

    failure: with which a run ends, so many `failures` times.  hangs: so many runs do not end.  stuck: no reset does.
    """

    reads_back = False

    def __init__(self, config: AcceleratorConfig, program: Program | None = None) -> None:
        self.program = program
        self.memory = np.zeros(BASE + SIZE, np.uint8)
        self.values = dict.fromkeys(BY_NAME, 0)
        self.values |= {"ID": IDENTIFICATION, "CONFIG_HASH": config.word}
        self.names = {register.offset: name for name, register in BY_NAME.items()}
        self.failure: tuple[ErrorCause, int] | None = None
        self.failures = 1 << 30
        self.hangs = 0
        self.stuck = False
        self.resets = 0

    async def read(self, offset: int) -> int:
        return self.values[self.names[offset]]

    async def write(self, offset: int, value: int) -> None:
        name = self.names[offset]
        if name == "CONTROL" and value & CONTROL_RESET:
            if self.stuck:
                return
            self.values |= {"STATUS": 0, "INTERRUPT": 0, "ERROR_CAUSE": 0, "ERROR_ADDRESS": 0}
            self.resets += 1
        elif name == "CONTROL" and value & CONTROL_START:
            self._start()
        elif name == "INTERRUPT":
            self.values[name] &= ~value
        else:
            assert BY_NAME[name].access == "rw"
            self.values[name] = value

    def _start(self) -> None:
        assert self.values["STATUS"] & STATUS_ERROR == 0 and self.values["INTERRUPT"] == 0
        if self.hangs:
            self.hangs -= 1
            self.values["STATUS"] = STATUS_BUSY
            return
        if self.failure is not None and self.failures:
            self.failures -= 1
            cause, address = self.failure
            self.values |= {"STATUS": STATUS_ERROR, "INTERRUPT": 2, "ERROR_CAUSE": int(cause), "ERROR_ADDRESS": address}
            return
        assert self.program is not None
        assert self.values["PROGRAM_LENGTH"] == self.program.instructions
        assert self.values["PROGRAM_BASE"] == self.program.program_base
        base = self.values["WINDOW_BASE"]
        ProgramExecutor(self.program).run_memory(self.memory[base : base + self.program.memory_bytes])
        self.values |= {"STATUS": STATUS_DONE, "INTERRUPT": 1, "CYCLES": 1234, "BYTES_READ": 99}

    async def read_memory(self, address: int, size: int) -> bytes:
        assert address >= BASE and address + size <= BASE + SIZE
        return self.memory[address : address + size].tobytes()

    async def write_memory(self, address: int, data: bytes) -> None:
        assert address >= BASE and address + len(data) <= BASE + SIZE, "nothing outside the window is written"
        self.memory[address : address + len(data)] = np.frombuffer(data, np.uint8)

    async def wait_interrupt(self) -> None:
        assert self.values["INTERRUPT"] & self.values["INTERRUPT_ENABLE"], "would wait for ever"
