"""Does the lock of a study know a process at work from one that is gone, however it went?"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from oncofed.errors import FederationFailure, InvalidInput
from oncofed.server.deployment.at_work import at_work, is_at_work

HOLDER = """
import pathlib, sys
from oncofed.server.deployment.at_work import at_work
with at_work(pathlib.Path(sys.argv[1])):
    print("holds", flush=True)
    sys.stdin.read()
"""


class Clock:
    """Time that passes only when somebody sleeps. then: happens at the first sleep."""

    def __init__(self, then: object = None) -> None:
        self.seconds, self.then = 0.0, then

    def now(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        if isinstance(self.then, subprocess.Popen):
            self.then.send_signal(signal.SIGKILL)
            self.then.wait()


@pytest.fixture
def holder(tmp_path: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        (sys.executable, "-c", HOLDER, str(tmp_path)), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"holds\n"
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()


def test_nobody_is_at_work_before_the_first_and_after_the_last(tmp_path: Path) -> None:
    assert not is_at_work(tmp_path)
    with at_work(tmp_path):
        assert is_at_work(tmp_path)
        assert is_at_work(tmp_path), "to look changes nothing"
    assert not is_at_work(tmp_path)


def test_a_killed_process_is_gone_at_once(tmp_path: Path, holder: subprocess.Popen[bytes]) -> None:
    assert is_at_work(tmp_path)
    end(holder)
    assert not is_at_work(tmp_path)


def test_a_second_one_waits_for_the_first_and_then_works(tmp_path: Path, holder: subprocess.Popen[bytes]) -> None:
    clock = Clock(then=holder)
    with at_work(tmp_path, monotonic=clock.now, sleep=clock.sleep):
        assert 0 < clock.seconds < 1
    end(holder)


def test_a_first_one_that_does_not_end_is_told(tmp_path: Path, holder: subprocess.Popen[bytes]) -> None:
    clock = Clock()
    with (
        pytest.raises(FederationFailure, match="another run works on this study"),
        at_work(tmp_path, patience_seconds=5, monotonic=clock.now, sleep=clock.sleep),
    ):
        raise AssertionError("two at once")
    assert 5 <= clock.seconds < 6
    end(holder)


def test_a_study_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="does not exist"), at_work(tmp_path / "none"):
        pass
