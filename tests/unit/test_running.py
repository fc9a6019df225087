"""Does a lock tell whether a part runs, however it ends, and is a second one refused?"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.end_to_end.flower_processes import until
from tests.running_parts import held_by_another

from oncofed.errors import InvalidInput
from oncofed.running import hold_while_running, is_running


def test_a_part_runs_until_it_is_killed(tmp_path: Path) -> None:
    lock = tmp_path / "part.lock"
    assert is_running(lock) is False, "it never ran"
    with held_by_another(lock):
        assert is_running(lock) is True
        assert is_running(lock) is True, "to look changes nothing"
    until(lambda: is_running(lock) is False, seconds=10, what="it is gone")


def test_a_second_one_is_refused_in_words(tmp_path: Path) -> None:
    moments = iter((0.0, 1.0, 3.0))
    with held_by_another(tmp_path / "part.lock"), pytest.raises(InvalidInput, match="the relay: runs already"):
        hold_while_running(tmp_path / "part.lock", what="the relay", sleep=lambda _: None, clock=lambda: next(moments))


def test_what_another_user_laid_in_its_place_is_no_part_and_nobody_waits_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    assert is_running(tmp_path / "pipe") is False
    with pytest.raises(OSError, match="symbolic"):
        hold_while_running(tmp_path / "link", what="a part")
    assert not (tmp_path / "elsewhere").exists()
    with held_by_another(tmp_path / "elsewhere"):
        assert is_running(tmp_path / "link") is False


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: a lock that may not be seen. Run as root to test it.")
def test_who_may_not_look_is_told_so_and_not_that_it_is_down(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with held_by_another(closed / "part.lock"):
        for above in (tmp_path, *tmp_path.parents):
            if above != Path("/"):
                above.chmod(above.stat().st_mode | 0o011)
        child = os.fork()
        if child == 0:
            os.setgid(65534)
            os.setuid(65534)
            os._exit(0 if is_running(closed / "part.lock") is None else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
