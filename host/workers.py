"""Where jobs run: in this process, in one on each core, or on a Dask cluster.

Nothing heavy is imported before a process has its core: libraries count the cores when they are loaded.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Protocol, TypeVar

from quant.base.errors import BadInput, ShiftpointError, first_line

PATIENCE = 20
"""Seconds in which a scheduler must answer."""

Function = Callable[[bytes, Any], Any]
"""Of what all jobs have in common, packed, and a job; importable by its name wherever it runs."""

GONE = "what was measured is kept: the same command goes on from there"


class Workers(Protocol):
    """Whoever takes jobs."""

    def run(self, jobs: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """The place of each job and its result, as they come.  What a job raises is raised."""


class Here:
    """This process, a job after the other."""

    def __init__(self, function: Function, content: bytes) -> None:
        self.function, self.content = function, content

    def run(self, jobs: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """As of `Workers`."""
        for place, job in enumerate(jobs):
            yield place, self.function(self.content, job)


class Cores:
    """Processes of this machine, which end with this one, however that ends."""

    def __init__(self, function: Function, content: bytes, number: int) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would copy the threads of libraries as they stand
        self._others = set(multiprocessing.active_children())
        given = (function, content, context.Value("i", 0))
        self._pool = ProcessPoolExecutor(number, context, _begin, given)

    def run(self, jobs: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """As of `Workers`."""
        try:
            futures = {self._pool.submit(_perform, job): place for place, job in enumerate(jobs)}
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool:
            raise BadInput(f"a process that worked on a job was killed, perhaps for its memory; {GONE}") from None

    def end(self) -> None:
        """End the processes: what they are at is of no use any more."""
        for child in set(multiprocessing.active_children()) - self._others:
            child.terminate()
        self._pool.shutdown(cancel_futures=True)


_given: tuple[Function, bytes] | None = None
"""Of a process of `Cores`: what it was started for."""


def _begin(function: Function, content: bytes, number: Any) -> None:
    """The first that a process does.  number: how many have begun."""
    global _given
    _given = function, content
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; the process that started this one ends it
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        with number.get_lock():
            own = cores[number.value % len(cores)]
            number.value += 1
        os.sched_setaffinity(0, {own})


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


def _perform(job: Any) -> Any:
    assert _given is not None
    function, content = _given
    return function(content, job)


Begun = TypeVar("Begun")


def begun(make: Callable[[], Begun]) -> Begun:
    """What Dask makes with a thread of its own.

    Dask asserts that the thread begins within ten seconds. On a busy machine it does not always: so two times more.
    Clients that did not begin are collected first: each then takes the lock that beginning another one holds, and where
    it is collected meanwhile, in the same thread, that is for ever.
    """
    for _ in range(2):
        gc.collect()
        with contextlib.suppress(AssertionError):
            return make()
    gc.collect()
    return make()


class Cluster:
    """A Dask cluster.  It runs jobs of workers that die again on others.

    Raises BadInput without Dask, and where no scheduler answers.
    """

    def __init__(self, function: Function, content: bytes, address: str) -> None:
        try:
            from distributed import Client
        except ImportError:
            raise BadInput("--scheduler needs Dask: pip install 'shiftpoint[dask]'") from None
        logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what goes wrong is one line, of this command's
        self.function, self.address = function, address
        try:
            self.client = begun(lambda: Client(address, timeout=PATIENCE, set_as_default=False))
        except (OSError, ValueError, TimeoutError) as error:
            raise BadInput(f"--scheduler {address}: {first_line(error)}") from None
        except AssertionError:
            raise BadInput(f"--scheduler {address}: this machine is too busy to begin the connection") from None
        # A task, not data that are scattered: where the worker that holds it dies, the scheduler makes it again.
        self._common = self.client.submit(bytes, content, pure=False)

    def run(self, jobs: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """As of `Workers`."""
        from distributed import as_completed as completed

        submitted = [self.client.submit(self.function, self._common, job, pure=False) for job in jobs]
        futures = {future.key: place for place, future in enumerate(submitted)}
        for future in completed(submitted, loop=self.client.loop):
            yield futures[future.key], self._result(future)

    def end(self) -> None:
        """Leave the cluster, which drops what nobody waits for."""
        with contextlib.suppress(Exception):  # the connection may be what failed
            self.client.close(timeout=PATIENCE)

    def _result(self, future: Any) -> Any:
        try:
            return future.result()
        except ShiftpointError:
            raise
        except Exception as error:  # of Dask's own, such as KilledWorker and lost connections
            kind = type(error)
            if not kind.__module__.startswith(("distributed", "concurrent", "asyncio")):
                raise
            raise BadInput(f"--scheduler {self.address}: {kind.__name__}: {first_line(error)}; {GONE}") from None


@contextlib.contextmanager
def workers(function: Function, content: bytes, number: int | None, scheduler: str | None) -> Iterator[Workers]:
    """Whoever performs a function.  number: of processes, None for one on each core; one is this one.  scheduler: a
    Dask scheduler's address instead.  Errors as of `Cluster`.
    """
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    number = number or available
    if scheduler is None and number == 1:
        yield Here(function, content)
        return
    others = Cores(function, content, number) if scheduler is None else Cluster(function, content, scheduler)
    try:
        yield others
    finally:
        others.end()
