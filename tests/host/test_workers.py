"""The same jobs here, on cores and on a cluster; workers that die on the way."""

from __future__ import annotations

import builtins
import gc
import multiprocessing
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from host.workers import Cluster, begun, workers
from quant.base.errors import BadInput
from tests.host import jobs


@pytest.mark.parametrize("number", [1, 2])
def test_jobs_are_performed_with_what_they_have_in_common(number: int) -> None:
    with workers(jobs.echo, b"common", number, None) as taken:
        for asked in (["a", "b", "c"], ["d"]):
            found = dict(taken.run(asked))
            assert [found[place][:2] for place in range(len(asked))] == [("common", job) for job in asked]
            assert all((process == os.getpid()) == (number == 1) for _, _, process in found.values())
        assert not dict(taken.run([]))
    assert not multiprocessing.active_children()


def test_what_a_job_raises_is_raised_and_processes_end() -> None:
    with pytest.raises(BadInput, match="^this cannot be$"), workers(jobs.refuse, b"", 2, None) as taken:
        list(taken.run(["this"]))
    assert not multiprocessing.active_children()


def test_a_process_that_is_killed_is_one_line() -> None:
    with pytest.raises(BadInput) as caught, workers(jobs.die, b"", 2, None) as taken:
        list(taken.run(["this"]))
    assert str(caught.value).startswith("a process that worked on a job was killed, perhaps for its memory; what was")
    assert not multiprocessing.active_children()


def test_without_dask(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def absent(name: str, *rest: Any) -> Any:
        if name == "distributed":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(BadInput) as caught:
        Cluster(jobs.echo, b"", "127.0.0.1:1")
    assert str(caught.value) == "--scheduler needs Dask: pip install 'shiftpoint[dask]'"


@pytest.mark.parametrize("address", ["127.0.0.1:1", "no such place", "tcp://"])
def test_a_scheduler_that_does_not_answer(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr("host.workers.PATIENCE", 1)
    with pytest.raises(BadInput) as caught:
        Cluster(jobs.echo, b"", address)
    assert str(caught.value).startswith(f"--scheduler {address}: ") and "\n" not in str(caught.value)


def test_dask_that_does_not_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("distributed")

    def busy(self: Any, **_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(distributed.Client, "start", busy)
    with pytest.raises(BadInput) as caught:
        Cluster(jobs.echo, b"", "tcp://127.0.0.1:1")
    assert str(caught.value) == "--scheduler tcp://127.0.0.1:1: this machine is too busy to begin the connection"


def test_dask_that_begins_late() -> None:
    tries: list[int] = []

    def late() -> str:
        tries.append(0)
        assert len(tries) == 3
        return "begun"

    assert begun(late) == "begun"


class _Client:
    """In a cycle, so that it is collected late; what does that is what Dask's clients do."""

    def __init__(self, making: list[bool], collected: list[bool]) -> None:
        self.itself, self.making, self.collected = self, making, collected
        raise AssertionError

    def __del__(self) -> None:
        self.collected.append(any(self.making))


def test_clients_that_did_not_begin_are_collected_before_another_begins() -> None:
    making, collected = [False], list[bool]()

    def late() -> str:
        making[0] = True
        gc.collect()
        making[0] = False
        if len(collected) < 2:
            _Client(making, collected)
        return "begun"

    with pytest.raises(AssertionError):
        _Client(making, collected)
    assert begun(late) == "begun" and collected == [False, False]


@pytest.fixture
def cluster() -> Iterator[str]:
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None, "silence_logs": 60}
    with begun(lambda: distributed.LocalCluster(**options)) as found:
        yield found.scheduler_address


def test_a_cluster_of_two_workers_one_of_which_is_killed_on_the_way(cluster: str, tmp_path: Path) -> None:
    flag = tmp_path / "killed"
    with workers(jobs.die_once, str(flag).encode(), None, cluster) as taken:
        assert dict(taken.run(range(6))) == {place: place for place in range(6)}
    assert flag.exists()


@pytest.mark.verify
def test_jobs_that_kill_every_worker_are_one_line(cluster: str) -> None:
    with pytest.raises(BadInput) as caught, workers(jobs.die, b"", None, cluster) as taken:
        list(taken.run(["this"]))
    assert str(caught.value).startswith(f"--scheduler {cluster}: KilledWorker: ")
    with pytest.raises(BadInput, match="^this cannot be$"), workers(jobs.refuse, b"", None, cluster) as taken:
        list(taken.run(["this"]))
