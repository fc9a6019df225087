"""What does a machine do to a program that it should survive? A full disk, and other processes at the same moment."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def no_file_longer_than(size_bytes: int) -> Iterator[None]:
    """The operating system refuses every byte beyond it, as a full disk does (the signal is ignored by Python)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def in_children(count: int, work: Callable[[int], None]) -> None:
    """Run `work(number)` in so many forked processes at once; each must end by itself."""
    ready, go = os.pipe()
    children = []
    for number in range(count):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.close(go)
                os.read(ready, 1)  # until the parent closes its end
                work(number)
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    os.close(go)
    os.close(ready)
    for child in children:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
