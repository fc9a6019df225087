"""How do many independent computations run side by side, so that none can take another down?

Each place in the queue has a worker process of its own, started afresh ("spawn"). A call that ends its process, be it a
crash or the kernel short of memory, costs that call alone: its place gets a new process and goes on.

Promises: the cores are shared out, so that the calls do not fight over them; Ctrl-C in the parent ends the workers at
once; so does the parent's own death, however it died. A worker is used again: what it imported and cached stays.

Refuses nothing. A call must be picklable, and so must what it returns.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Generic, TypeVar

Value = TypeVar("Value")

_THREAD_SETTINGS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Outcome(Generic[Value]):
    """What became of a call: its value, or in words why there is none."""

    value: Value | None
    failure: str | None = None


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))


def run_in_processes(
    calls: Mapping[str, Callable[[], Value]],
    *,
    processes: int,
    on_outcome: Callable[[str, Outcome[Value]], None],
) -> None:
    """Make every call, at most `processes` at a time, in the mapping's order.

    on_outcome  is told, in the calling thread, as each call ends.
    """
    places: SimpleQueue[_Place] = SimpleQueue()
    threads_each = max(1, cores() // processes)
    for _ in range(processes):
        places.put(_Place(threads_each))
    strangers = set(multiprocessing.active_children())
    giving_up = threading.Event()

    def call_in_a_free_place(call: Callable[[], Value]) -> Outcome[Value]:
        if giving_up.is_set():
            return Outcome(None, "not begun")
        place = places.get()
        try:
            return place.outcome_of(call)
        finally:
            places.put(place)

    with _environment({name: str(threads_each) for name in _THREAD_SETTINGS}):
        waiting = ThreadPoolExecutor(processes)
        names: dict[Future[Outcome[Value]], str] = {}
        try:
            for name, call in calls.items():
                names[waiting.submit(call_in_a_free_place, call)] = name
            for done in as_completed(names):
                on_outcome(names[done], done.result())
        finally:
            giving_up.set()
            while not all(future.done() for future in names):
                for worker in set(multiprocessing.active_children()) - strangers:
                    worker.terminate()
                wait(names, timeout=0.1)
            waiting.shutdown()
            for _ in range(processes):
                places.get().close()


class _Place:
    """One worker process, replaced when it breaks."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._worker = self._new_worker()

    def _new_worker(self) -> ProcessPoolExecutor:
        # "spawn": a forked child would inherit torch's and BLAS' threads in an undefined state.
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(1, context, initializer=_begin_worker, initargs=(self._threads,))

    def outcome_of(self, call: Callable[[], Value]) -> Outcome[Value]:
        try:
            return Outcome(self._worker.submit(call).result())
        except BrokenProcessPool:
            self.close()
            self._worker = self._new_worker()
            return Outcome(None, "its process ended before its time: killed, crashed, or out of memory")
        except Exception as error:  # of the call, brought here from its process
            return Outcome(None, f"{type(error).__name__}: {error}")

    def close(self) -> None:
        self._worker.shutdown(cancel_futures=True)


def _begin_worker(threads: int) -> None:
    # Ctrl-C goes to the whole process group; it is the parent that decides what to end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import torch  # noqa: PLC0415 - in the worker, not in the parent that only waits

    torch.set_num_threads(threads)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _environment(settings: Mapping[str, str]) -> Iterator[None]:
    """BLAS libraries read their number of threads when they are loaded: the workers must inherit it."""
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
