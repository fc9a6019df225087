"""Do the sections [[comparator]] of a study file become models of the columns of their markers and no others?"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.study.test_explanation_settings import plan_of

from oncofed.errors import InvalidInput
from oncofed.protocol.plan import StudyPlan
from oncofed.survival.comparators import Comparator

ONE = '[[comparator]]\nname = "entity"\nmarkers = ["entity"]\n'
TWO = ONE + '[[comparator]]\nname = "sum"\nmarkers = ["c", "entity"]\n'


def asked(folder: Path, more: str, *, weight: str = "") -> StudyPlan:
    return plan_of(folder, more, hidden=f"[4]\n{weight}")


def test_each_looks_at_the_columns_of_its_markers_and_knows_which_say_that_one_is_missing(tmp_path: Path) -> None:
    plain, plan = asked(tmp_path, ""), asked(tmp_path, TWO, weight="comparator_weight = 0.25")
    # Columns: two categories and the missing flag of the entity, a, b, c, and one flag of their modality.
    assert plan.model.comparators == (
        Comparator("entity", (0, 1, 2), (2,), 0.25),
        Comparator("sum", (0, 1, 2, 5), (2,), 0.25),
    )
    assert plan.model.parameters == plain.model.parameters + (2 + 3) + (2 + 4)
    assert plan.privacy.noise_multiplier == plain.privacy.noise_multiplier
    assert plain.model.comparators == ()
    assert asked(tmp_path, ONE).model.comparators[0].weight == 0.5


FAULTS = {
    ONE.replace('["entity"]', '["entiti", "zzz"]'): (
        r'"entity", markers: "entiti" is no marker of the schema\. Did you mean "entity"\?(.|\n)*'
        r'"zzz" is no marker of the schema\. Name markers of the schema\.'
    ),
    ONE + ONE: r'comparator: has "entity" more than once',
    ONE.replace('["entity"]', "[]"): "markers",
    ONE.replace('"entity"\n', '"Entity!"\n'): "name: is not a name of a to z",
    ONE.replace("markers", "marker"): "marker: is not a known field",
}


@pytest.mark.parametrize(("more", "words"), FAULTS.items(), ids=range(len(FAULTS)))
def test_what_does_not_fit_is_a_fault(more: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=words):
        asked(tmp_path, more)


def test_a_weight_outside_its_range_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="comparator_weight"):
        asked(tmp_path, ONE, weight="comparator_weight = 0")
