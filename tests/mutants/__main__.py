"""Does any test notice when one line is wrong? `make mutants`, or of some areas: `python -m tests.mutants pictures`.

`mutants.toml` beside this file lists lines, what each becomes, and the quick test files that ought to fail then. Each
mutant is made in a copy of the working tree, never in the tree itself, and its tests run there to the first failure.

Promises: the same tests are first seen to pass on the copy without any mutant, or nothing is counted. A mutant is
caught when a test fails, or when a module cannot even be imported; one that hangs beyond the limit counts as caught and
is named. Ends with 1 when more than MOST_SURVIVORS are left, or when the list does not fit the tree.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import NoReturn

import pytest
from tests.mutants.listed import REPOSITORY, Mutant, faults_of, listed

MOST_SURVIVORS = 3
_SECONDS = 180.0
"""For the tests of one mutant, which take seconds where nothing hangs."""
_BASELINE_SECONDS = 1800.0
_ROOTS = ("shared", "client", "server", "simulations", "")
_SAID = "said.txt"
_SLOW_TO_IMPORT = ("torch", "flwr.app", "flwr.serverapp", "flwr.clientapp", "pandas", "scipy.stats")
_OPTIONS = ("-p", "no:cacheprovider", "-m", "not slow", "-W", "ignore::pytest.PytestAssertRewriteWarning")
"""Modules of pytest's plugins may have been imported already."""


class End(StrEnum):
    """What became of a mutant."""

    CAUGHT = "caught"
    HUNG = "hung"
    SURVIVED = "SURVIVED"


def main(areas: Sequence[str]) -> int:
    """Says of each mutant how it ended, and ends as the module says."""
    wanted = [mutant for mutant in listed() if not areas or mutant.area in areas]
    faults = [fault for mutant in wanted for fault in faults_of(mutant, REPOSITORY)]
    if faults or not wanted:
        print(*faults or [f"no mutant is of {', '.join(areas)}"], sep="\n")
        return 1
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy = Path(folder)
        _copy_tree(copy)
        for name in _SLOW_TO_IMPORT:
            import_module(name)
        files = sorted({test for mutant in wanted for test in mutant.tests})
        if _tests(copy, files, seconds=_BASELINE_SECONDS) is not End.SURVIVED:
            print("The tests fail, or hang, without any mutant. Mend that first.", (copy / _SAID).read_text(), sep="\n")
            return 1
        began = time.monotonic()
        ends = {number: _end_of(mutant, copy, number, len(wanted)) for number, mutant in enumerate(wanted, start=1)}
    survived = [wanted[number - 1] for number, end in ends.items() if end is End.SURVIVED]
    hung = [wanted[number - 1] for number, end in ends.items() if end is End.HUNG]
    print(f"{len(wanted)} mutants in {time.monotonic() - began:.0f} s; {len(hung)} hung, {len(survived)} survived.")
    for mutant in survived:
        print(f"  {mutant.file}\n    - {mutant.line}\n    + {mutant.becomes}")
    return int(len(survived) > MOST_SURVIVORS)


def _copy_tree(copy: Path) -> None:
    """Tracked files, and new ones that git does not ignore."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, names.split("\0")):
        source, target = REPOSITORY / name, copy / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


def _end_of(mutant: Mutant, copy: Path, number: int, count: int) -> End:
    path = copy / mutant.file
    whole = path.read_text(encoding="utf-8")
    began = time.monotonic()
    try:
        path.write_text(mutant.in_text(whole), encoding="utf-8")
        end = _tests(copy, mutant.tests, seconds=_SECONDS)
    finally:
        path.write_text(whole, encoding="utf-8")
    took = time.monotonic() - began
    print(f"{number:3d}/{count} {end:9s} {took:4.0f} s  {mutant.area}: {mutant.becomes}", flush=True)
    return end


def _tests(copy: Path, files: Sequence[str], *, seconds: float) -> End:
    """SURVIVED when all pass. They run in a fork of this process, which has imported what takes seconds."""
    child = os.fork()
    if child == 0:
        _run_and_leave(copy, files)
    until = time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        if time.monotonic() > until:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return End.HUNG
        time.sleep(0.05)
    code = os.waitstatus_to_exitcode(status)
    if code not in (0, 1, 2):  # 1: a test failed; 2: a file could not be read
        raise RuntimeError(f"pytest ended with {code}: {(copy / _SAID).read_text()}")
    return End.CAUGHT if code else End.SURVIVED


def _run_and_leave(copy: Path, files: Sequence[str]) -> NoReturn:
    """In the fork. Its own session, so that what its tests have started is ended with it."""
    code: int = 3
    try:
        os.setsid()
        os.chdir(copy)
        roots = [str(copy / root) for root in _ROOTS]
        own = {(REPOSITORY / root).resolve() for root in _ROOTS}
        os.environ |= {"PYTHONPATH": os.pathsep.join(roots), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
        # The environment may lie in the tree, and stays.
        sys.path[:] = [*roots, *(path for path in sys.path if Path(path or ".").resolve() not in own)]
        sys.dont_write_bytecode = True
        for name in [name for name in sys.modules if name.partition(".")[0] in ("tests", "oncofed")]:
            del sys.modules[name]
        said = os.open(copy / _SAID, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(said, stream)
        code = int(pytest.main(["-x", "-q", *_OPTIONS, *files]))
    finally:
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
