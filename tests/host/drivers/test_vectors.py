"""Golden vectors: the file, and the driver in Python on an engine with the executor behind it."""

from __future__ import annotations

import dataclasses

import pytest

from host.driver import Driver
from host.drivers import vectors
from host.transport import run_sync
from quant.base.errors import BadInput, VerificationError
from tests.host.drivers.golden import PROGRAMS, golden
from tests.host.fake_engine import BASE, SIZE, FakeEngine


@pytest.mark.parametrize("name", PROGRAMS)
def test_golden_vectors(name: str) -> None:
    found = golden(name)
    program, runs = found.program, vectors.from_bytes(found.data, found.program)
    assert vectors.to_bytes(program, runs) == found.data
    driver = Driver(FakeEngine(program.config, program), BASE, SIZE)
    size = sum(array.size for run in runs for array in run.outputs.values())
    assert run_sync(vectors.check(driver, program, runs)) == size > 0


def test_a_wrong_value_and_a_wrong_place() -> None:
    found = golden("folded")
    program = found.program
    driver = Driver(FakeEngine(program.config, program), BASE, SIZE)
    run = found.runs[0]
    wrong = {name: array.copy() for name, array in run.outputs.items()}
    name = next(iter(wrong))
    value = wrong[name][0, 1, 2, 3]
    wrong[name][0, 1, 2, 3] = value ^ 1
    message = (
        rf"run 0, output {name}: image, channel, row, column \(0, 1, 2, 3\): expected {value ^ 1}, got {value}; 1 of"
    )
    with pytest.raises(VerificationError, match=message):
        run_sync(vectors.check(driver, program, [dataclasses.replace(run, outputs=wrong)]))
    (offset, data), *others = run.pieces
    moved = dataclasses.replace(run, pieces=((offset + 8, data), *others))
    with pytest.raises(VerificationError, match=f"^run 0: other bytes of the input at byte {offset} of the window$"):
        run_sync(vectors.check(driver, program, [moved]))


def test_files_that_are_none() -> None:
    found = golden("folded")
    program, data = found.program, found.data
    no_image = data[:20] + (0).to_bytes(4, "little") + data[24:]
    huge = data[:20] + (1 << 31).to_bytes(4, "little") + data[24:]
    for bad, message in (
        (b"", "x: no golden vectors"),
        (data[:8], "x: truncated"),
        (data[:-1], "x: truncated"),
        (data + b"\0", "x: 1 bytes too many"),
        (golden("batch").data, f"x: of another program than {program.name}"),
        (no_image, "x: a run of 0 images, and 1 are possible"),
        (huge, "x: a run of 2147483648 images, and 1 are possible"),
    ):
        with pytest.raises(BadInput) as caught:
            vectors.from_bytes(bad, program, "x")
        assert str(caught.value) == message


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert golden("several").data == golden("several").data != golden("several", 2).data
