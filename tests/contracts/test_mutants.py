"""Does the list of mutants (`make mutants`) still fit the tree, and is it about all that it should be?"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.mutants.listed import REPOSITORY, Mutant, faults_of, listed

AREAS = {
    "rounds",
    "admission",
    "codec",
    "schema",
    "files",
    "figures",
    "pictures",
    "pages",
    "budget",
    "doctor",
    "lab",
    "masks",
} | {"coordinator"}


def test_every_mutant_can_be_made() -> None:
    assert [fault for mutant in listed() for fault in faults_of(mutant, REPOSITORY)] == []


def test_there_are_enough_of_every_area() -> None:
    counts = Counter(mutant.area for mutant in listed())
    assert set(counts) == AREAS
    assert min(counts.values()) >= 5
    assert sum(counts.values()) >= 60
    assert len(set(listed())) == len(listed())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"file": "gone.py"}, "there is no such file"),
        ({"line": "nowhere = 1"}, "the line stands there 0 times"),
        ({"line": "b = 2"}, "the line stands there 2 times"),
        ({"becomes": "a = 1"}, "nothing is wrong about it"),
        ({"becomes": "a = ("}, "no Python"),
        ({"tests": ("test_gone.py",)}, "there is no test_gone.py"),
    ],
)
def test_a_mutant_that_does_not_fit_is_told_of(change: dict[str, Any], told: str, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("a = 1\nb = 2\nif a:\n    b = 2\n")
    (tmp_path / "test_a.py").write_text("")
    fits = Mutant("rounds", "a.py", "a = 1", "a = 2", ("test_a.py",))
    assert list(faults_of(fits, tmp_path)) == []
    assert fits.in_text("a = 1\nb = 2\n") == "a = 2\nb = 2\n"
    (fault,) = faults_of(replace(fits, **change), tmp_path)
    assert told in fault
