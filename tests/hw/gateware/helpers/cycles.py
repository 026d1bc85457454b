"""A design cycle by cycle: set inputs, look at outputs, clock."""

from __future__ import annotations

from cocotb.triggers import Timer


def unsigned(handle) -> int:
    """The value of a signal.  By cocotb's `value`, which makes logic or an array of it, it takes four times as long."""
    return int(handle._handle.get_signal_val_binstr(), 2)


class Cycles:
    """One clock domain of a design, driven by hand.

    In each cycle: set inputs with `set`, `await settle()`, look with `get`, `await clock()`.
    Ports of nested signatures are joined by two underscores.  What is set stays: nothing else drives it.
    """

    def __init__(self, dut) -> None:
        self.dut = dut
        self.now = 0
        self._handles: dict[str, object] = {}
        self._driven: dict[str, int] = {}
        self._nanosecond = Timer(1, "ns")

    def handle(self, name: str):
        if name not in self._handles:
            self._handles[name] = getattr(self.dut, name)
        return self._handles[name]

    def set(self, **values: int) -> None:
        for name, value in values.items():
            if self._driven.get(name) != value:
                self.handle(name).value = self._driven[name] = int(value)

    def get(self, name: str) -> int:
        return unsigned(self.handle(name))

    async def settle(self) -> None:
        await self._nanosecond

    async def clock(self) -> None:
        clk = self.handle("clk")
        clk.value = 1
        await self._nanosecond
        clk.value = 0
        self.now += 1

    async def step(self, cycles: int = 1) -> None:
        for _ in range(cycles):
            await self.settle()
            await self.clock()

    async def reset(self) -> None:
        """Reset; the next cycle is cycle 0."""
        self.dut.clk.value = 0
        self.set(rst=1)
        await self.step(2)
        self.set(rst=0)
        self.now = 0

    def expect(self, what: str, expected: object, actual: object) -> None:
        """Fail unless the two are equal; the toolchain adds the seed and the command that repeats it."""
        if expected != actual:
            raise AssertionError(f"cycle {self.now}: {what}: expected {expected!r}, actual {actual!r}")
