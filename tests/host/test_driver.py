"""The driver, against registers emulated in Python with the program executor behind them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from host.compiler import compile_network
from host.driver import Driver, EngineError
from host.transport import run_sync
from hw.contract.config import INSTRUCTION_BYTES, preset
from hw.contract.isa import Opcode
from hw.contract.program import Program
from hw.contract.registers import (
    COUNTERS,
    STATUS_ERROR,
    ErrorCause,
)
from quant.base.errors import BadInput
from quant.ir.window import Window
from tests.host.fake_engine import BASE, SIZE, FakeEngine
from tests.host.networks import Builder, expected, image
from tests.sim.programs import first


@pytest.fixture
def program(rng: np.random.Generator) -> Program:
    b = Builder(rng, (3, 10, 10))
    b.pool(b.conv("x", 20), "max", Window((2, 2), (2, 2)))
    b.conv("x", 5, bits=16)
    return compile_network(b.network("t0"), preset("small"))


def loaded(program: Program) -> tuple[Driver, FakeEngine]:
    engine = FakeEngine(preset("small"), program)
    driver = Driver(engine, BASE, SIZE)
    run_sync(driver.connect())
    run_sync(driver.load(program))
    return driver, engine


def test_runs_images_one_after_the_other(rng: np.random.Generator) -> None:
    b = Builder(rng, (3, 10, 10))
    b.conv(b.conv("x", 20), 5, bits=16)
    network = b.network()
    driver, _ = loaded(compile_network(network, preset("small")))
    for _ in range(2):
        x = image(network, rng)
        run_sync(driver.run(x))
        counters = run_sync(driver.counters())
        assert set(counters) == set(COUNTERS) and counters["CYCLES"] == 1234 and counters["BYTES_READ"] == 99
        for name, values in expected(network, x).items():
            if name != "x":
                np.testing.assert_array_equal(run_sync(driver.read_tensor(name)), values)
        outputs = run_sync(driver.read_outputs())
        assert list(outputs) == list(network.outputs)
        assert all(np.array_equal(array[0], expected(network, x)[name]) for name, array in outputs.items())


def test_runs_several_images_at_a_time(rng: np.random.Generator) -> None:
    b = Builder(rng, (3, 10, 10))
    b.conv(b.conv("x", 20), 5, Window((10, 10)), bits=16)
    network = b.network()
    driver, _ = loaded(compile_network(network, preset("small"), batch=3))
    images = np.stack([image(network, rng) for _ in range(3)])
    run_sync(driver.run_batch(images))
    wanted = [expected(network, x) for x in images]
    for name in ("t0", "t1"):
        np.testing.assert_array_equal(run_sync(driver.read_batch(name)), [found[name] for found in wanted])
        np.testing.assert_array_equal(run_sync(driver.read_tensor(name, 2)), wanted[2][name])
    (outputs,) = run_sync(driver.read_outputs()).values()
    np.testing.assert_array_equal(outputs, [found["t1"] for found in wanted])
    run_sync(driver.run_batch(images[:2]))
    np.testing.assert_array_equal(run_sync(driver.read_tensor("t1", 1)), wanted[1]["t1"])


def test_connect_tells_the_window(program: Program) -> None:
    _, engine = loaded(program)
    assert (engine.values["WINDOW_BASE"], engine.values["WINDOW_LIMIT"]) == (BASE, SIZE)
    assert engine.values["INTERRUPT_ENABLE"] == 3


def test_load_connects_if_nobody_has(program: Program) -> None:
    driver = Driver(FakeEngine(preset("small"), program), BASE, SIZE)
    run_sync(driver.load(program))
    assert driver.engine == preset("small").word


def test_a_memory_that_does_not_hold_the_image(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing runs afterwards, what was loaded before neither: it is written over."""
    driver, engine = loaded(program)
    written = engine.write_memory

    async def with_a_stuck_bit(address: int, data: bytes) -> None:
        await written(address, data)
        engine.memory[BASE + 100] ^= 4

    monkeypatch.setattr(engine, "write_memory", with_a_stuck_bit)
    byte = program.image[100]
    assert refused(driver, program) == (
        f"program of net: the window does not hold its image: byte 0x10064 reads as {byte ^ 4:#04x}, not {byte:#04x}: "
        "bad memory, or caches that are not kept"
    )
    with pytest.raises(BadInput, match="^no program is loaded$"):
        run_sync(driver.run(np.zeros((3, 10, 10), np.int64)))


def test_a_transport_that_reads_back_is_believed(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """A serial line is slow: it is asked once."""
    engine = FakeEngine(preset("small"), program)
    monkeypatch.setattr(engine, "reads_back", True)
    monkeypatch.delattr(FakeEngine, "read_memory")
    run_sync(Driver(engine, BASE, SIZE).load(program))


def refused(driver: Driver, program: Program) -> str:
    with pytest.raises(BadInput) as caught:
        run_sync(driver.load(program))
    return str(caught.value)


def test_no_engine() -> None:
    engine = FakeEngine(preset("small"))
    engine.values["ID"] = 0xFFFFFFFF
    with pytest.raises(BadInput, match="^no engine answers: ID reads 0xffffffff, not 0x53504831$"):
        run_sync(Driver(engine, BASE, SIZE).connect())


def test_a_program_that_no_engine_runs(program: Program) -> None:
    driver, _ = loaded(program)
    message = refused(driver, first(program, Opcode.CONV, input_groups=0))
    assert message == "instruction 9 (CONV, layer layer0): has no input group"


def test_a_program_for_another_configuration(program: Program) -> None:
    driver = Driver(FakeEngine(preset("large")), BASE, SIZE)
    small, large = (f"{preset(name).word:08x}" for name in ("small", "large"))
    assert refused(driver, program) == (
        f"program of net: made for configuration 'small' ({small}), the engine is 'large' ({large})"
    )


def test_a_program_for_an_unknown_configuration(program: Program) -> None:
    driver = Driver(FakeEngine(dataclasses.replace(preset("small"), queue_depth=2)), BASE, SIZE)
    assert "the engine is another one (" in refused(driver, program)


def test_a_program_larger_than_the_window(program: Program) -> None:
    driver = Driver(FakeEngine(preset("small")), BASE, 4096)
    assert refused(driver, program) == (
        f"program of net: needs {program.memory_bytes} bytes of memory, the window has 4096"
    )


@pytest.mark.parametrize(("base", "size", "what"), [(100, 4096, "base"), (0, 5000, "size"), (-4096, 4096, "base")])
def test_windows(base: int, size: int, what: str) -> None:
    with pytest.raises(BadInput, match=f"the memory window's {what} must be a multiple of 4096, not"):
        Driver(FakeEngine(preset("small")), base, size)


@pytest.mark.parametrize(("base", "size"), [(0, 1 << 32), (1 << 31, (1 << 31) + 4096), (1 << 32, 4096)])
def test_windows_end_within_four_gib(base: int, size: int) -> None:
    with pytest.raises(
        BadInput, match=f"^the memory window must have 4294963200 bytes .*, not have {size} at byte {base}$"
    ):
        Driver(FakeEngine(preset("small")), base, size)
    Driver(FakeEngine(preset("small")), base - 4096 if base else 4096, size - 4096)


def test_without_a_program() -> None:
    driver = Driver(FakeEngine(preset("small")), BASE, SIZE)
    with pytest.raises(BadInput, match="^no program is loaded$"):
        run_sync(driver.run(np.zeros((3, 10, 10), np.int64)))


def test_a_tensor_that_is_not_there(program: Program) -> None:
    driver, _ = loaded(program)
    with pytest.raises(BadInput, match="^program of net: leaves no tensor 'y' in memory$"):
        run_sync(driver.read_tensor("y"))


@pytest.mark.parametrize(
    ("cause", "message"),
    [
        (ErrorCause.READ_BUS, "engine: read bus error at address 0x12340, in tensor x (READ_BUS)"),
        (ErrorCause.WRITE_BUS, "engine: write bus error at address 0x12340, in tensor x (WRITE_BUS)"),
        (ErrorCause.ILLEGAL_INSTRUCTION, "engine: illegal instruction 74560 (ILLEGAL_INSTRUCTION)"),
        (ErrorCause.OUTSIDE_WINDOW, "engine: access outside the memory window at address 0x7f12340 (OUTSIDE_WINDOW)"),
        (ErrorCause.TOKEN_OVERFLOW, "engine: more tokens pending than a semaphore holds (TOKEN_OVERFLOW)"),
        (
            ErrorCause.WATCHDOG,
            "engine: nothing moved for as long as WATCHDOG allows, no token came for instruction 74560 (WATCHDOG)",
        ),
    ],
)
def test_errors(program: Program, rng: np.random.Generator, cause: ErrorCause, message: str) -> None:
    driver, engine = loaded(program)
    x = rng.integers(-128, 128, (3, 10, 10))
    address = 0x7F12340 if cause == ErrorCause.OUTSIDE_WINDOW else 0x12340
    engine.failure = cause, address
    with pytest.raises(EngineError) as caught:
        run_sync(driver.run(x))
    assert str(caught.value) == message
    assert (caught.value.cause, caught.value.address) == (cause, address)
    engine.failure = None
    run_sync(driver.run(x))
    assert run_sync(driver.counters())["CYCLES"] == 1234, "the next run resets the engine first"


def test_an_error_says_where_it_is_in_the_program(program: Program) -> None:
    def said(cause: ErrorCause, address: int) -> str:
        return str(EngineError(cause, address, program, BASE, Path("sim.log")))

    layer, first = program.layers[0].name, next(i for i in program.decode()).opcode.name
    assert said(ErrorCause.ILLEGAL_INSTRUCTION, 0) == (
        f"engine: illegal instruction 0, a {first} of layer {layer} (ILLEGAL_INSTRUCTION); the whole log: sim.log"
    )
    tensor = program.tensors[-1]
    for offset, place in (
        (program.program_base, ", among the instructions"),
        (program.program_base + program.instructions * INSTRUCTION_BYTES, ", among the weights"),
        (program.inputs[0].address, f", in tensor {program.inputs[0].tensor}"),
        (tensor.address + 4, f", in tensor {tensor.tensor}"),
        (program.memory_bytes, ""),
        (-BASE, ""),
    ):
        assert said(ErrorCause.READ_BUS, BASE + offset) == (
            f"engine: read bus error at address {BASE + offset:#x}{place} (READ_BUS); the whole log: sim.log"
        )


def test_a_memory_that_does_not_answer() -> None:
    error = EngineError(ErrorCause.WATCHDOG, 0xFFFFFFFF)
    assert str(error) == ("engine: nothing moved for as long as WATCHDOG allows, the memory does not answer (WATCHDOG)")


@pytest.mark.parametrize("watchdog", [-1, 1 << 32])
def test_watchdogs(watchdog: int) -> None:
    with pytest.raises(BadInput, match=f"^the watchdog must be 0 to 4294967295 cycles, not {watchdog}$"):
        Driver(FakeEngine(preset("small")), BASE, SIZE, watchdog)


def test_connect_tells_the_watchdog(program: Program) -> None:
    """Also that there is none: an engine keeps what the driver before has told it."""
    engine = FakeEngine(preset("small"), program)
    for watchdog in (5000, 0):
        run_sync(Driver(engine, BASE, SIZE, watchdog).connect())
        assert engine.values["WATCHDOG"] == watchdog


def test_an_engine_that_does_not_reset() -> None:
    engine = FakeEngine(preset("small"))

    async def stuck(offset: int, value: int) -> None:
        engine.values["STATUS"] = STATUS_ERROR

    engine.write = stuck  # type: ignore[method-assign]
    with pytest.raises(BadInput, match="^the engine does not come out of its reset: STATUS reads 4$"):
        run_sync(Driver(engine, BASE, SIZE).connect())


def test_a_transport_that_waits_needs_its_scheduler() -> None:
    class Waiting:
        def __await__(self):  # type: ignore[no-untyped-def]
            yield None

    async def wait() -> None:
        await Waiting()

    with pytest.raises(RuntimeError, match="await the driver there"):
        run_sync(wait())
