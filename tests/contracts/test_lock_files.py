"""Does pip take exactly what was tested, and a hospital no more than it runs?"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest
from tests.contracts.lock_files import DEV, RUN, TORCH, locked, needed_beside, needed_to_run


def test_what_runs_and_what_is_needed_beside_it_is_locked_and_no_more() -> None:
    assert set(locked(RUN)) == needed_to_run()
    assert set(locked(DEV)) == needed_beside()
    assert set(locked(TORCH)) == {"torch"}


def test_nothing_a_hospital_installs_is_there_for_tests_alone() -> None:
    assert not {"pytest", "hypothesis", "mypy", "ray", "grpcio-tools", "lifelines", "playwright"} & set(locked(RUN))


def test_the_tests_run_with_the_locked_versions() -> None:
    pinned = {name: version for path in (RUN, DEV) for name, (version, _) in locked(path).items()}
    assert {name: metadata.version(name) for name in pinned} == pinned


def test_a_line_without_version_or_hash_is_found(tmp_path: Path) -> None:
    for line in ("click==8.5.1", "click --hash=sha256:" + "0" * 64, "click==8.5.1 --hash=md5:00"):
        path = tmp_path / "a.lock"
        path.write_text(line + "\n")
        with pytest.raises(ValueError, match="click"):
            locked(path)
