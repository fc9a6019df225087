"""Do calls in processes of their own leave each other, and the parent, alone?"""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from oncofed.simulations.sweep.separate_processes import Outcome, cores, run_in_processes

# The calls are functions of the standard library: a fresh process can import those wherever the test file lies.


def test_a_call_that_ends_its_process_or_raises_costs_only_itself() -> None:
    calls: dict[str, Callable[[], object]] = {
        "before": partial(math.factorial, 5),
        "dies": partial(os._exit, 9),
        "raises": partial(math.factorial, -1),
        "environment": partial(os.getenv, "OMP_NUM_THREADS"),
        "after": partial(os.getpid),
    }
    outcomes: dict[str, Outcome[object]] = {}
    run_in_processes(calls, processes=1, on_outcome=outcomes.__setitem__)
    assert outcomes["before"] == Outcome(120)
    assert outcomes["dies"].value is None
    assert "ended before its time" in str(outcomes["dies"].failure)
    assert "ValueError" in str(outcomes["raises"].failure)
    assert outcomes["environment"] == Outcome(str(cores()))
    assert isinstance(outcomes["after"].value, int)
    assert outcomes["after"].value != os.getpid()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_their_parent(tmp_path: Path, how: signal.Signals) -> None:
    sleep = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(99)"
    script = tmp_path / "parent.py"
    script.write_text(
        "from functools import partial\n"
        "from oncofed.simulations.sweep.separate_processes import run_in_processes\n"
        "if __name__ == '__main__':\n"
        # A shell's background job ignores Ctrl-C, and so would what it starts.
        "    import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"    run_in_processes({{'sleep': partial(exec, {sleep!r})}}, processes=1, on_outcome=print)\n"
    )
    with subprocess.Popen([sys.executable, str(script)], stderr=subprocess.DEVNULL) as parent:
        try:
            worker = int(_content(tmp_path / "pid"))
            parent.send_signal(how)
            assert parent.wait(timeout=30) != 0
        finally:
            parent.kill()
    for _ in range(300):
        if not _alive(worker):
            break
        time.sleep(0.1)
    assert not _alive(worker)


def _content(path: Path) -> str:
    for _ in range(600):
        if path.exists() and path.read_text():  # made, then written
            return path.read_text()
        time.sleep(0.1)
    raise AssertionError(f"{path.name} was not written")


def _alive(process: int) -> bool:
    status = Path(f"/proc/{process}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"
