"""Can what `make smoke` runs under another Python be read where no torch is installed?

The gate has torch, so a test of those folders that needs it would be noticed by `make smoke` alone, last in CI.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def folders_without_torch() -> list[str]:
    """The folders of tests that the Makefile names for it."""
    (line,) = re.findall(r"^\t\$\(SMOKE\)/pytest .*$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    return [each for each in line.split() if each.startswith("tests/")]


def test_what_runs_without_torch_imports_none() -> None:
    folders = folders_without_torch()
    assert folders
    assert all((ROOT / each).is_dir() for each in folders)
    program = "import sys, pytest; sys.modules['torch'] = None; sys.exit(pytest.main(sys.argv[1:]))"
    ran = subprocess.run(
        [sys.executable, "-c", program, "--collect-only", "-q", "-p", "no:cacheprovider", *folders],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-1000:]
