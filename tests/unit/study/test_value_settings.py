"""Does the section [value] of a study file become layers of the columns of its modalities, or a fault in words?"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.study.test_explanation_settings import SCHEMA, plan_of

from oncofed.errors import InvalidInput
from oncofed.protocol.plan import StudyPlan
from oncofed.survival.layers import Layer

ASKED = '[value]\nlayers = ["rna_expression"]\n'


def asked(folder: Path, more: str) -> StudyPlan:
    return plan_of(folder, more, hidden="[4]\n")


def test_a_layer_has_the_columns_of_its_modality_and_knows_which_say_that_it_is_missing(tmp_path: Path) -> None:
    plain, plan = asked(tmp_path, ""), asked(tmp_path, ASKED)
    # Columns: two categories and the missing flag of the entity, a, b, c, and one flag of their modality.
    assert plan.model.layers == (Layer("rna_expression", (3, 4, 5, 6), (6,), 0.03),)
    assert plan.model.parameters == plain.model.parameters
    assert plan.privacy == plain.privacy
    assert plain.model.layers == ()
    assert asked(tmp_path, ASKED + "dropout = false\n").hash == plain.hash


FAULTS = {
    ASKED.replace(
        "rna", "protein"
    ): r'"protein_expression" has no marker in the schema\. The schema has: clinical, rna_expression\.',
    ASKED.replace("rna_expression", "genes"): "layers",
    ASKED.replace('"]', '", "rna_expression"]'): 'layers: has "rna_expression" more than once',
    ASKED.replace('"]', '", "clinical"]'): "leave nothing that is always known",
}


@pytest.mark.parametrize(("more", "words"), FAULTS.items(), ids=range(len(FAULTS)))
def test_what_does_not_fit_is_a_fault(more: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=words):
        asked(tmp_path, more)


@pytest.mark.parametrize("flags", ['missing_flags = "none"', 'missing_flags = "modality"\nmissing_weight = 0'])
def test_a_layer_that_nothing_says_is_missing_is_a_fault(flags: str, tmp_path: Path) -> None:
    schema = SCHEMA.replace('missing_flags = "modality"', flags)
    with pytest.raises(InvalidInput, match='nothing says of "rna_expression" that it was not measured'):
        plan_of(tmp_path, ASKED, schema=schema)
