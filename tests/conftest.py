"""What do tests share?

A limit to their time, hardly any waiting for the disk, and the way to the two real cohorts, which are no part of the
project.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("any machine", deadline=None)  # one example in a busy second proves nothing
settings.load_profile("any machine")

pytest_plugins = ("tests.time_limit", "tests.storage")
REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture
def studies() -> Path:
    """Folder of the studies that come with the project."""
    return REPOSITORY / "simulations" / "studies"


@pytest.fixture
def real_cohorts() -> Path:
    """Folder of the real cohorts; the test is skipped, saying so, where they are absent."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real cohorts in ../shared/data are not on this machine")
    return folder
