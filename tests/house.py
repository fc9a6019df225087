"""What does this house weigh? `python -m tests.house [TREE]`, for this tree or another one of its history.

Source lines, branches on the privacy mode, what a hospital's wheel holds and needs, what one small run enters, and what
a guard's process costs before it has read anything. docs/decisions.md has the figures, before and after.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.contracts.lock_files import RUN, locked

_ROOTS = ("shared", "client", "server", "simulations")
_PATIENTS = 300
_HERE = Path(__file__).resolve().parents[1]
_GUARD = {"client/oncofed/client/guard/process.py": "oncofed.client.guard.process"}
_GUARD_BEFORE_ITS_ROOM = "oncofed.client.service.process"

# Counts the files of a run's own threads, and how often a call goes from one root folder to another.
_TRACER = """
import sys, threading
from pathlib import Path
tree, files, state = sys.argv.pop(1), set(), threading.local()
ours = tuple(f"{tree}/{root}/oncofed/" for root in ("shared", "client", "server", "simulations"))
changes = [0]
def enters(frame, event, _):
    if event != "call" or not frame.f_code.co_filename.startswith(ours):
        return
    name = frame.f_code.co_filename[len(tree) + 1:]
    files.add(name)
    root = name.split("/")[0]
    changes[0] += root != getattr(state, "root", root)
    state.root = root
import oncofed.cli
threading.setprofile(enters)
sys.setprofile(enters)
try:
    oncofed.cli.main()
except SystemExit as end:
    assert not end.code, end.code
finally:
    sys.setprofile(None)
    threading.setprofile(None)
    print("ENTERED", len(files), changes[0])
"""
_START = """
import importlib, resource, sys, time
began = time.perf_counter()
importlib.import_module(sys.argv[1])
print(time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def sources(tree: Path) -> list[Path]:
    """What is written by hand: not what protoc makes."""
    found = (path for root in _ROOTS for path in (tree / root).rglob("*.py"))
    return [path for path in found if "_pb2" not in path.name]


def branches_on_the_privacy_mode(path: Path) -> int:
    """Comparisons with a member of PrivacyMode, and keys and entries of tables by mode."""
    return sum(
        isinstance(node, ast.Compare | ast.Dict | ast.Tuple)
        and any(_is_a_mode(each) for each in ast.iter_child_nodes(node))
        for node in ast.walk(ast.parse(path.read_text()))
    )


def _is_a_mode(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "PrivacyMode"


def run_of_few_patients(tree: Path, scratch: Path) -> tuple[int, int]:
    """Files entered, and changes of root folder, in one run of 300 patients and two rounds."""
    for name in ("schema.toml", "study.toml"):
        (scratch / name).write_text((tree / "simulations/studies/own_table" / name).read_text())
    table = (tree / "simulations/studies/own_table/patients.csv").read_text().splitlines(keepends=True)
    (scratch / "patients.csv").write_text("".join(table[: _PATIENTS + 1]))
    asked = ["simulate", str(scratch / "study.toml"), "--out", str(scratch / "run"), "--set", "training.rounds=2"]
    told = _python(tree, _TRACER, str(tree), *asked)
    files, changes = next(line for line in told.splitlines() if line.startswith("ENTERED")).split()[1:]
    return int(files), int(changes)


def guard_start(tree: Path) -> tuple[float, float]:
    """Seconds and MiB (the most at once) until a guard's program is there; the best of three."""
    module = next((name for path, name in _GUARD.items() if (tree / path).exists()), _GUARD_BEFORE_ITS_ROOM)
    tries = [_python(tree, _START, module).split() for _ in range(3)]
    return min(float(seconds) for seconds, _ in tries), min(float(mebibytes) for _, mebibytes in tries)


def _python(tree: Path, program: str, *arguments: str) -> str:
    roots = os.pathsep.join(str(tree / root) for root in _ROOTS)
    environment = {**os.environ, "PYTHONPATH": roots, "FLWR_TELEMETRY_ENABLED": "0", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


def lines(tree: Path, scratch: Path) -> Iterator[str]:
    found = sources(tree)
    yield f"source lines: {sum(len(path.read_text().splitlines()) for path in found):,} in {len(found)} files"
    hospital = [path for path in found if path.relative_to(tree).parts[0] in ("shared", "client")]
    yield f"of these in shared/ and client/: {sum(len(path.read_text().splitlines()) for path in hospital):,}"
    branches = {path: count for path in found if (count := branches_on_the_privacy_mode(path))}
    yield f"branches on the privacy mode: {sum(branches.values())} in {len(branches)} files"
    yield f"packages in requirements.lock (this tree's): {len(locked(RUN))}"
    files, changes = run_of_few_patients(tree, scratch)
    yield f"a run of {_PATIENTS} patients: {files} files entered, {changes:,} changes of root folder"
    seconds, mebibytes = guard_start(tree)
    yield f"a guard's program: {seconds:.1f} s, {mebibytes:.0f} MiB"


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        for line in lines(Path(sys.argv[1] if len(sys.argv) > 1 else _HERE).resolve(), Path(name)):
            print(line, flush=True)
