"""Benches run: what they leave, and what is said when they fail."""

from __future__ import annotations

import pytest

from sim.bench import toolchain
from sim.bench.runner import BenchFailure, build_and_run
from tests.sim.bench.counter import TESTS, design


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """A counter, built once for the tests that only run it."""
    arguments = design(tmp_path_factory.mktemp("counter"))
    assert build_and_run(**arguments).rebuilt
    return arguments


def test_a_built_design_is_not_built_again(built):
    run = build_and_run(**built)
    assert run.tests == (f"{TESTS}.counts",)
    assert not run.rebuilt
    assert run.waves is None
    assert run.log.exists() and run.results.exists()


def test_the_seed_is_that_of_the_run(built, seed):
    run = build_and_run(**built)
    assert run.seed == seed
    assert f'name="random_seed" value="{seed}"' in run.results.read_text()
    assert build_and_run(**built, seed=77).seed == 77


def test_failed_tests_are_named_with_all_that_repeats_them(built):
    with pytest.raises(BenchFailure) as caught:
        build_and_run(**(built | {"env": {"STEP": "3", "FAIL": "1"}}), seed=5)
    assert caught.value.failed == (f"{TESTS}.fails",)
    assert str(caught.value) == (
        f"1 of 2 bench tests failed: {TESTS}.fails: cycle 4: expected 7, got 6; the whole log: {caught.value.log}"
    )
    message = "\n".join(caught.value.__notes__)
    assert f"seed 5; log {caught.value.log}" in message
    assert "--seed 5" in message and "test_failed_tests_are_named" in message
    assert caught.value.log.exists()


def test_one_test_runs_alone(built):
    failing = built | {"env": {"STEP": "3", "FAIL": "1"}}
    assert build_and_run(**failing, testcase="counts").tests == (f"{TESTS}.counts",)
    with pytest.raises(BenchFailure, match="no test ran: .* named absent"):
        build_and_run(**failing, testcase="absent")


def test_a_module_that_cannot_be_imported_is_a_failure(built):
    with pytest.raises(BenchFailure, match="broke off(.|\n)*absent_module"):
        build_and_run(**(built | {"test_module": "absent_module"}))


def test_signals_inside_are_seen_on_request(tmp_path):
    arguments = design(tmp_path)
    arguments["env"]["INTERNALS"] = "1"
    assert build_and_run(**arguments, internals=True).tests == (f"{TESTS}.counts", f"{TESTS}.sees_an_internal_signal")
    with pytest.raises(BenchFailure, match="following"):
        build_and_run(**arguments)


def test_an_assertion_in_verilog_fails_the_bench(tmp_path):
    extra = 'always @(posedge clk) if (!rst && count == 9) $error("count is 9");'
    with pytest.raises(BenchFailure, match="count is 9"):
        build_and_run(**design(tmp_path, extra=extra))


def test_a_waveform_is_recorded_on_request(tmp_path):
    run = build_and_run(**design(tmp_path), waves=True)
    assert run.waves is not None and run.waves.stat().st_size > 100
    assert run.waves.suffix == (".fst" if toolchain.fst_available() else ".vcd")
