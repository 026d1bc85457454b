"""What every test may use: one seed for all randomness, and the labelled data that lies outside the repository."""

from __future__ import annotations

import json
import os
import random
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from tests import counting

ROOT = Path(__file__).resolve().parent.parent
DEFAULT_SEED = 1
LONG = ("tests/host/test_faults.py", "tests/hw", "tests/sim/bench", "tests/formal", "tests/fuzz", "tests/mutants")
"""Where the long tests are: what makes its module wait first, then what builds simulators and starts processes."""
COUNTED: dict[str, Counter[str]] = {}
"""How much was compared, by the room whose tests did."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--counted", type=Path, help="file for how much was compared, as JSON")
    parser.addoption("--seed", default=str(DEFAULT_SEED), help="seed of all randomness: a number, or `random`")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    text = str(config.option.seed)
    if text == "random":
        text = str(random.SystemRandom().randrange(2**31))
    elif not text.isdecimal():
        raise pytest.UsageError(f"--seed takes a number or `random`, not {text!r}")
    config.option.seed = text  # workers of pytest-xdist take the number over
    os.environ["SHIFTPOINT_SEED"] = text  # cocotb's simulations too
    if config.getoption("hypothesis_seed", None) is None:
        config.option.hypothesis_seed = text
    # Machines are busy now and then; what takes too long is seen by the clock of the whole run.
    settings.register_profile("whatever the load", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("whatever the load")
    counting.count_arrays()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Long tests first on pytest-xdist's workers: the short ones are what is left to share out in the end.

    A worker without work steals from the end of another's, so a module that begins early stays whole.
    """
    if hasattr(config, "workerinput"):
        ranks = {folder: rank for rank, folder in enumerate(LONG)}
        items.sort(key=lambda item: min((ranks[f] for f in ranks if item.nodeid.startswith(f)), default=len(LONG)))


def pytest_report_header(config: pytest.Config) -> str:
    return f"seed: {config.option.seed} (repeat with --seed {config.option.seed})"


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "teardown":
        room = "/".join(Path(report.nodeid.partition("::")[0]).parts[:2])
        for what, number in dict(report.user_properties).get("counted", {}).items():
            COUNTED.setdefault(room, Counter())[what] += number


def pytest_sessionfinish(session: pytest.Session) -> None:
    if (file := session.config.option.counted) and not hasattr(session.config, "workerinput"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(COUNTED, indent=1, sort_keys=True) + "\n")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if terminalreporter.stats.get("failed") or terminalreporter.stats.get("error"):
        terminalreporter.write_line(f"seed: {config.option.seed}; repeat with: make test SEED={config.option.seed}")
    total = sum(counted[counting.VALUES] for counted in COUNTED.values())
    terminalreporter.write_line(f"{counting.VALUES}: {total:,}")


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """The seed of this run."""
    return int(request.config.option.seed)


@pytest.fixture
def rng(request: pytest.FixtureRequest, seed: int) -> np.random.Generator:
    """A generator of its own for each test: the same numbers whatever runs before it."""
    return np.random.default_rng([seed, zlib.crc32(request.node.nodeid.encode())])


@pytest.fixture(autouse=True)
def _seed_globals(request: pytest.FixtureRequest, seed: int) -> None:
    mixed = zlib.crc32(f"{seed} {request.node.nodeid}".encode())
    random.seed(mixed)
    np.random.seed(mixed)


@pytest.fixture(autouse=True)
def _counted(request: pytest.FixtureRequest) -> Iterator[None]:
    """What this test compares, as a property of its report: so it comes from pytest-xdist's workers, too."""
    before = Counter(counting.counts)
    yield
    request.node.user_properties.append(("counted", dict(counting.counts - before)))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of labelled images and trained networks; a test that asks for it is skipped where there is none.

    SHIFTPOINT_DATA names it; without that variable it is ../shared/data beside the repository.
    """
    named = os.environ.get("SHIFTPOINT_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no labelled data: {folder} is not a folder (the variable SHIFTPOINT_DATA names another)")
    return folder
