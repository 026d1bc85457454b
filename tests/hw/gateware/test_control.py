"""Run control: how runs begin and end, what halts them, and what a reset leaves."""

from collections.abc import Awaitable, Callable

import pytest

from hw.contract.registers import ErrorCause
from hw.gateware.control import FAULTS, RunControl
from tests.hw.gateware.helpers.simulate import Bench, simulate

QUIET_AFTER = 3
"""Cycles that bursts under way take, in these benches."""


class Run:
    """The block by cycles: inputs are pulses, set for one cycle."""

    def __init__(self, bench: Bench, block: RunControl) -> None:
        self.bench, self.block = bench, block

    def get(self, *names: str) -> tuple[int, ...]:
        return tuple(int(self.bench.get(getattr(self.block, name))) for name in names)

    async def cycle(self, **inputs: int) -> tuple[int, ...]:
        """One cycle with these inputs; (busy, halt, clear) in it."""
        for name, value in inputs.items():
            self.bench.set(getattr(self.block, name), value)
        shown = self.get("busy", "halt", "clear")
        await self.bench.tick()
        for name in inputs:
            self.bench.set(getattr(self.block, name), 0)
        return shown

    async def begin(self) -> None:
        """A start; everything is cleared in the cycle before the run's first, which is the next one."""
        assert await self.cycle(start=1) == (0, 0, 0)
        assert await self.cycle() == (0, 0, 1)

    async def fault(self, *causes: ErrorCause) -> tuple[int, ...]:
        """One cycle with these errors; the address of each is its number."""
        ports = [self.block.faults[FAULTS.index(cause)] for cause in causes]
        for cause, port in zip(causes, ports, strict=True):
            self.bench.set(port, {"valid": 1, "address": int(cause)})
        shown = await self.cycle()
        for port in ports:
            self.bench.set(port, {"valid": 0, "address": 0})
        return shown

    def outcome(self) -> tuple[int, ...]:
        return self.get("done", "error", "cause", "address")

    def interrupts(self) -> tuple[int, int]:
        found = self.bench.get(self.block.interrupts)
        return found.done, found.error


def control(bench: Callable[[Run], Awaitable[None]]) -> None:
    block = RunControl()

    async def run(context: Bench) -> None:
        await bench(Run(context, block))

    simulate(block, run)


def test_a_run_begins_and_ends() -> None:
    async def bench(run: Run) -> None:
        assert await run.cycle() == (0, 0, 0)
        await run.begin()
        for _ in range(5):
            assert await run.cycle() == (1, 0, 0)
        assert await run.cycle(finished=1, quiet=1) == (1, 0, 0)
        assert await run.cycle() == (1, 0, 0)
        assert await run.cycle() == (0, 0, 0)
        assert (run.outcome(), run.interrupts()) == ((1, 0, ErrorCause.NONE, 0), (1, 0))
        await run.begin()
        await run.cycle()
        assert run.outcome() == (0, 0, ErrorCause.NONE, 0)  # done is of the last run

    control(bench)


@pytest.mark.parametrize("cause", FAULTS)
def test_an_error_halts_and_ends_when_the_port_is_quiet(cause: ErrorCause) -> None:
    async def bench(run: Run) -> None:
        await run.begin()
        assert await run.fault(cause) == (1, 0, 0)
        for _ in range(QUIET_AFTER):
            assert await run.cycle(finished=1) == (1, 1, 0)  # finished or not
        assert await run.fault(ErrorCause.READ_BUS) == (1, 1, 0)  # later ones are not recorded
        assert await run.cycle(quiet=1) == (1, 1, 0)
        assert await run.cycle() == (0, 1, 0)
        assert (run.outcome(), run.interrupts()) == ((0, 1, cause, cause), (0, 1))
        assert await run.cycle(start=1) == (0, 1, 0)  # no start before a reset
        assert await run.cycle() == (0, 1, 0)

    control(bench)


@pytest.mark.parametrize("cause", FAULTS)
def test_of_several_errors_the_lowest_cause_is_recorded(cause: ErrorCause) -> None:
    assert list(FAULTS) == sorted(FAULTS)

    async def bench(run: Run) -> None:
        await run.begin()
        await run.fault(*(other for other in FAULTS if other >= cause))
        await run.cycle()
        await run.cycle()
        assert run.get("cause", "address") == (cause, cause)

    control(bench)


def test_the_first_error_is_kept() -> None:
    async def bench(run: Run) -> None:
        await run.begin()
        await run.fault(ErrorCause.WATCHDOG)
        await run.fault(ErrorCause.READ_BUS)
        await run.fault(*FAULTS)
        assert run.get("cause", "address") == (ErrorCause.WATCHDOG, ErrorCause.WATCHDOG)

    control(bench)


@pytest.mark.parametrize("cause", FAULTS)
def test_the_watchdog_ends_what_bursts_do_not(cause: ErrorCause) -> None:
    """Whatever the error was; a reset then waits for the bursts all the same."""

    async def bench(run: Run) -> None:
        await run.begin()
        await run.fault(cause)
        for _ in range(QUIET_AFTER):
            assert await run.cycle() == (1, 1, 0)
        await run.fault(ErrorCause.WATCHDOG)
        assert await run.cycle() == (0, 1, 0)
        assert (run.outcome(), run.interrupts()) == ((0, 1, cause, cause), (0, 1))
        await run.cycle(reset=1)
        for _ in range(QUIET_AFTER):
            assert await run.cycle(start=1) == (0, 1, 0)
        assert await run.cycle(quiet=1) == (0, 1, 0)
        assert await run.cycle() == (0, 1, 1)
        await run.begin()

    control(bench)


def test_a_reset_beside_nothing_is_waited_for() -> None:
    """No start before it has taken effect, even where there was no run and no error."""

    async def bench(run: Run) -> None:
        assert await run.cycle(reset=1, start=1) == (0, 0, 0)
        for _ in range(QUIET_AFTER):
            assert await run.cycle(start=1) == (0, 1, 0)
        assert await run.cycle(quiet=1, start=1) == (0, 1, 0)
        assert await run.cycle(start=1) == (0, 1, 1)
        assert await run.cycle() == (0, 0, 0)

    control(bench)


def test_without_a_run_there_is_no_error() -> None:
    async def bench(run: Run) -> None:
        await run.fault(*FAULTS)
        await run.begin()
        assert await run.cycle() == (1, 0, 0)
        assert run.outcome() == (0, 0, ErrorCause.NONE, 0)

    control(bench)


def test_a_late_start_is_forgotten_with_the_run() -> None:
    async def bench(run: Run) -> None:
        await run.begin()
        await run.cycle(start=1)
        await run.fault(ErrorCause.READ_BUS)
        await run.cycle(quiet=1)
        await run.cycle()
        assert run.outcome() == (0, 1, ErrorCause.READ_BUS, ErrorCause.READ_BUS)
        await run.cycle(reset=1)
        await run.cycle(quiet=1)
        await run.cycle()
        await run.begin()
        await run.cycle(finished=1, quiet=1)
        await run.cycle()
        assert run.outcome() == (1, 0, ErrorCause.NONE, 0)

    control(bench)


def test_an_error_in_the_last_cycle_counts() -> None:
    async def bench(run: Run) -> None:
        run.bench.set(run.block.finished, 1)
        await run.begin()
        await run.cycle()
        await run.fault(ErrorCause.WRITE_BUS)
        await run.cycle(quiet=1)
        await run.cycle()
        assert run.outcome() == (0, 1, ErrorCause.WRITE_BUS, ErrorCause.WRITE_BUS)

    control(bench)


def test_a_start_while_busy_is_an_error_at_the_end() -> None:
    async def bench(run: Run) -> None:
        await run.begin()
        assert await run.cycle(start=1) == (1, 0, 0)
        assert await run.cycle() == (1, 0, 0)
        await run.cycle(finished=1, quiet=1)
        await run.cycle()
        assert (run.outcome(), run.interrupts()) == ((1, 1, ErrorCause.START_WHILE_BUSY, 0), (1, 1))

    control(bench)


def test_a_start_while_everything_is_cleared_is_one_while_busy() -> None:
    async def bench(run: Run) -> None:
        await run.cycle(start=1)
        assert await run.cycle(start=1) == (0, 0, 1)
        assert await run.cycle() == (1, 0, 0)
        await run.cycle(finished=1, quiet=1)
        await run.cycle()
        assert (run.outcome(), run.interrupts()) == ((1, 1, ErrorCause.START_WHILE_BUSY, 0), (1, 1))

    control(bench)


def test_a_reset_waits_for_bursts_and_leaves_nothing() -> None:
    async def bench(run: Run) -> None:
        await run.begin()
        await run.fault(ErrorCause.OUTSIDE_WINDOW)
        assert await run.cycle(reset=1, start=1) == (1, 1, 0)  # a start beside it is ignored
        for _ in range(QUIET_AFTER):
            assert await run.cycle(start=1) == (1, 1, 0)  # and before it takes effect
        assert await run.cycle(quiet=1) == (1, 1, 0)
        assert await run.cycle() == (1, 1, 1)
        assert await run.cycle() == (0, 0, 0)
        assert (run.outcome(), run.interrupts()) == ((0, 0, ErrorCause.NONE, 0), (0, 0))
        await run.begin()
        assert await run.cycle() == (1, 0, 0)

    control(bench)


@pytest.mark.parametrize("cycles", [0, 1])
def test_an_error_just_before_everything_is_cleared_leaves_nothing(cycles: int) -> None:
    """Which one it was is found out in the cycles in which a reset takes effect."""

    async def bench(run: Run) -> None:
        await run.begin()
        await run.cycle(reset=1)
        run.bench.set(run.block.quiet, 1)
        for _ in range(cycles):
            await run.cycle()
        await run.fault(ErrorCause.ILLEGAL_INSTRUCTION)
        for _ in range(4):
            await run.cycle()
        assert (run.get("busy", "halt"), run.outcome()) == ((0, 0), (0, 0, ErrorCause.NONE, 0))

    control(bench)


def test_interrupts_stay_until_they_are_acknowledged_one_by_one() -> None:
    async def bench(run: Run) -> None:
        await run.begin()
        await run.cycle(start=1)
        await run.cycle(finished=1, quiet=1)
        await run.cycle()
        for bits, left in (({"done": 0, "error": 1}, (1, 0)), ({"done": 1, "error": 0}, (0, 0))):
            run.bench.set(run.block.acknowledge, bits)
            await run.cycle()
            run.bench.set(run.block.acknowledge, {"done": 0, "error": 0})
            assert run.interrupts() == left

    control(bench)


def test_what_happens_in_the_cycle_of_its_acknowledgement_is_kept() -> None:
    async def bench(run: Run) -> None:
        await run.begin()
        run.bench.set(run.block.acknowledge, {"done": 1, "error": 1})
        await run.cycle(finished=1, quiet=1)
        await run.cycle()
        assert run.interrupts() == (1, 0)

    control(bench)
