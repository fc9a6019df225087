"""Why does no test wait long for the disk? None cuts the power, so none could tell what was written through.

A plugin of pytest, which tests/conftest.py brings in. That something is to be written through, and before what, tests
see by a double of `os.fsync` of their own; processes that a test starts wait as anybody does. For a thousandth of a
second others run, as they do while a disk is at work: what happens between two who write is met all the same.
"""

from __future__ import annotations

import os
from time import sleep  # the true one, whatever clock a test makes up
from typing import Protocol

import pytest


class HasFileno(Protocol):
    """An open file."""

    def fileno(self) -> int: ...


_WAITING, _SECONDS = os.fsync, 0.001


def _hardly_waiting(fd: int | HasFileno) -> None:
    """Still refuses what is no open file."""
    sleep(_SECONDS)
    os.fstat(fd if isinstance(fd, int) else fd.fileno())


def pytest_configure(config: pytest.Config) -> None:
    """For the whole session."""
    os.fsync = _hardly_waiting


def pytest_unconfigure(config: pytest.Config) -> None:
    """As it was."""
    os.fsync = _WAITING
