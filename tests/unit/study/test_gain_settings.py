"""Do [held_out] comparison_share and value_share of a study file become summaries that fit the model and the budget?"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from tests.statistical.test_gain_release import World, gains_told
from tests.unit.study.test_explanation_settings import LOCAL, SCHEMA, SHARED, plan_of, share_of

from oncofed.client.patients.summaries import refuse_unknown
from oncofed.cohort.schema_file import parse_schema
from oncofed.errors import InvalidInput
from oncofed.privacy.releases import release_of_summary
from oncofed.protocol.gain_layout import gain_layout
from oncofed.protocol.plan_file import plan_from_json
from oncofed.protocol.plan_words import cost_of, plan_in_words
from oncofed.protocol.summary_spec import SummaryKind
from oncofed.server.deployment.study_commands import study
from oncofed.study.budget import gains_bought

COMPARED = (
    '[[comparator]]\nname = "entity"\nmarkers = ["entity"]\n[[comparator]]\nname = "a"\nmarkers = ["entity", "a"]\n'
)
LAYERS = '[value]\nlayers = ["rna_expression"]\n'
ASKED = f"[held_out]\ncomparison_share = 0.2\nvalue_share = 0.1\n{COMPARED}{LAYERS}"


@pytest.mark.parametrize("privacy", [LOCAL, SHARED], ids=["local", "distributed"])
def test_they_take_their_shares_are_charged_and_set_patients_aside(privacy: str, tmp_path: Path) -> None:
    plan = plan_of(tmp_path, ASKED, privacy=privacy)
    over, value = plan.summaries
    assert (over.name, over.kind, over.smallest_shown) == ("comparison", SummaryKind.COMPARISON, 50.0)
    assert (value.name, value.kind, value.edges) == ("value", SummaryKind.VALUE, (1.5,))
    # Gains and squares of two comparators; who has each, who is held, who is there.
    assert over.cells == 2 * 2 + 2 + 2
    # Share, alone, last, together, and squares; who is held; patients, events and ratio of two groups.
    assert value.cells == 2 * 4 + 1 + 6
    assert (share_of(plan, "comparison"), share_of(plan, "value")) == pytest.approx((0.2, 0.1), abs=1e-3)
    cost = cost_of(plan)
    assert cost is not None
    assert 1.99 < cost.largest <= 2.0
    assert plan.held_out_fraction == 0.2
    refuse_unknown(plan)
    assert plan_from_json(json.loads(plan.canonical)) == plan


def test_a_bound_of_ones_own_stands_in_the_plan_and_no_share_is_no_release(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, ASKED.replace("value_share = 0.1", "value_share = 0.1\ngains_within = 0.75"))
    assert {gain_layout(plan, each).within for each in plan.summaries} == {0.75}
    bare = plan_of(tmp_path, f"{COMPARED}{LAYERS}")
    named = plan_of(tmp_path, f"[held_out]\ngains_within = 3.0\n{COMPARED}{LAYERS}")
    assert bare.summaries == ()
    assert bare.hash == named.hash


FAULTS = {
    f"comparison_share = 0.2\n{LAYERS}": "comparison_share: asks what the network adds to comparators, of which there",
    f"value_share = 0.2\n{COMPARED}": "value_share: asks what layers of data are worth, and rounds take none away",
    f"value_share = 0.2\n{LAYERS}dropout = false\n": "value_share: asks what layers of data are worth",
    "calibration_share = 0.4\nhorizon = 12\ncomparison_share = 0.3\nvalue_share = 0.3": (
        "value_share: leaves, with calibration_share and comparison_share, nothing for training"
    ),
    f'comparison_share = 0.2\n{COMPARED}[[comparator]]\nname = "rna"\nmarkers = ["a", "b"]': (
        r'comparison_share: nothing says of any marker of the comparator "rna" that it is missing\. '
        r'Give their modality missing_flags of "marker"'
    ),
    f"value_share = 0.2\ngains_within = 0\n{LAYERS}": "gains_within: is below 0.01",
}


@pytest.mark.parametrize(("text", "words"), FAULTS.items(), ids=range(len(FAULTS)))
def test_faults_are_told_with_their_remedy(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=words):
        plan_of(tmp_path, f"[held_out]\n{text}\n")


def test_the_plan_tells_a_hospital_in_words_what_leaves(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, ASKED, privacy=SHARED)
    told = " ".join(
        plan_in_words(plan, parse_schema(SCHEMA, where="schema.toml"), parameters=plan.model.parameters).split()
    )
    over, value = plan.summaries
    assert f'as "comparison", one list of {over.cells} numbers: of the patients set aside, how much likelier' in told
    assert "under each of the simpler models" in told
    assert f'as "value", one list of {value.cells} numbers' in told
    assert "of whom all of these were measured (rna expression)" in told
    assert told.count("held within 1.5 natural logarithms, by the markers and not by the outcome") == 2


def test_it_is_told_of_which_markers_nobody_knows_who_lacks_them(tmp_path: Path) -> None:
    """By a flag for the whole modality, by none, and by one that weighs nothing: then nobody differs."""
    unknown = "Nothing tells of these markers that one is missing, so who lacks it counts as recorded: a of a."
    for flags in ('"modality"', '"none"', '"marker"\nmissing_weight = 0', '"marker"'):
        text = SCHEMA.replace('"modality"', flags)
        plan = plan_of(tmp_path, ASKED.replace("value_share = 0.1\n", "").replace(LAYERS, ""), schema=text)
        schema = parse_schema(text, where="schema.toml")
        told = " ".join(plan_in_words(plan, schema, parameters=plan.model.parameters).split())
        assert "have their scores recorded, as far as the schema's missing flags tell, how many are held" in told
        assert (unknown in told) == (flags != '"marker"')
        said = CliRunner().invoke(study, ["validate", str(tmp_path / "study.toml")], catch_exceptions=False).output
        assert (f'{unknown} Give their modality missing_flags of "marker"' in said) == (flags != '"marker"')


def test_half_widths_are_told_and_are_about_what_releases_have(tmp_path: Path) -> None:
    """Oracle: releases of patients who were drawn, with the noise of that very plan."""
    plan = plan_of(tmp_path, ASKED, privacy=SHARED)
    found = gains_bought(plan, patients=1144)
    assert found is not None
    assert found.over is not None
    noise = release_of_summary(plan, plan.summaries[0]).noise_of_sum(hospitals=len(plan.roster))
    seen = gains_told(World(), 40, noise=noise, within=1.5)[0]
    assert float(np.mean([(each.high - each.low) / 2 for each in seen])) == pytest.approx(found.over, rel=0.25)
    assert gains_bought(plan_of(tmp_path, f"{COMPARED}{LAYERS}"), patients=1144) is None
    more = gains_bought(plan, patients=4 * 1144)
    assert more is not None
    assert more.share is not None
    assert found.share is not None
    assert more.share < found.share / 2
