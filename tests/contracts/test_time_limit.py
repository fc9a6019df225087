"""Does a test that hangs fail by its name, and does the next one run?"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests import time_limit

REPOSITORY = Path(__file__).resolve().parents[2]
HANGING = """
import threading
import time

import pytest


@pytest.fixture
def never() -> None:
    threading.Event().wait()


def test_that_waits() -> None:
    try:
        time.sleep(1000)
    except Exception:  # as code may, which is tested
        time.sleep(1000)


def test_whose_fixture_waits(never: None) -> None:
    pass


def test_that_is_quick() -> None:
    pass
"""


def test_a_test_that_hangs_fails_by_its_name_and_the_next_one_runs(tmp_path: Path) -> None:
    (tmp_path / "test_hanging.py").write_text(HANGING)
    command = [sys.executable, "-m", "pytest", "-p", "tests.time_limit", "-p", "no:cacheprovider", "-q", str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), time_limit.VARIABLE: "0.5"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert "1 passed" in done.stdout, done.stdout + done.stderr
    assert "test_that_waits took longer than 0.5 s" in done.stdout
    assert "test_whose_fixture_waits took longer than 0.5 s" in done.stdout
    assert "time.sleep(1000)" in done.stdout, "where it hung"


def test_this_very_test_has_a_limit(request: pytest.FixtureRequest) -> None:
    assert request.config.pluginmanager.hasplugin("tests.time_limit")
    assert time_limit.limit_of(request.node) <= time_limit.QUICK_SECONDS


@pytest.mark.slow
def test_a_slow_one_has_a_longer_limit(request: pytest.FixtureRequest) -> None:
    assert time_limit.limit_of(request.node) > time_limit.QUICK_SECONDS
