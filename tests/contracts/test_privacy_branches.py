"""Does the code ask in ever more places which privacy mode it is in?"""

from __future__ import annotations

from pathlib import Path

from tests.contracts.privacy_branches import all_branches, branches

REPOSITORY = Path(__file__).resolve().parents[2]

MOST = 60
"""As many as there are. One that goes makes this number smaller; one that comes belongs into `privacy.releases`."""


def test_there_are_no_more_of_them() -> None:
    counted = all_branches(REPOSITORY)
    assert sum(map(len, counted.values())) <= MOST, counted


def test_what_counts_as_one(tmp_path: Path) -> None:
    path = tmp_path / "some.py"
    path.write_text(
        "if plan.privacy.mode is PrivacyMode.NONE:\n    pass\n"  # 1
        "x = 1 if shares is None else 2\n"  # 3
        "assert isinstance(release, Local | Masked)\n"  # 4
        "y = [each for each in z if release.needs_everybody]\n"  # 5
        "while plan.privacy.shares is not None:\n    pass\n"  # 6
        "if plan.training.mode is TrainingMode.EPOCHS:\n    pass\n"  # not one
        "w = release.needs_everybody\n"  # nor is this
    )
    assert branches(path) == [1, 3, 4, 5, 6]
