"""Does [explanations] of a study file become summaries that fit the schema, the model and the budget?"""

from __future__ import annotations

from pathlib import Path

import pytest

from oncofed.cohort.encoding import columns
from oncofed.errors import InvalidInput
from oncofed.privacy.releases import release_of_summary
from oncofed.protocol.plan import Bounding, Member, StudyPlan
from oncofed.protocol.plan_words import cost_of, plan_in_words
from oncofed.protocol.summary_spec import SummaryKind
from oncofed.protocol.vote_layout import vote_faults
from oncofed.server.deployment.consortium_file import plan_for, read_consortium

SCHEMA = """
[schema]
name = "small"
patient_id = "id"
tumour_entity = "entity"
[time]
unit = "months"
interval_bounds = [0, 12, 24]
[[endpoint]]
name = "os"
time = "months"
event = "died"
baseline_hazard = 0.02
[modality.rna_expression]
missing_flags = "modality"
[[marker]]
name = "entity"
modality = "clinical"
kind = "categorical"
categories = ["lung", "skin", "colon"]
reference_category = "skin"
[[marker]]
names = ["a", "b", "c"]
modality = "rna_expression"
kind = "continuous"
unit = "z"
plausible_range = [-9, 9]
centre = 0
scale = 1
"""
STUDY = """
[study]
name = "small"
[data]
schema = "schema.toml"
[model]
hidden_units = {hidden}
[training]
rounds = 30
[privacy]
{privacy}
{more}
"""
LOCAL = 'mode = "local"\nepsilon = 2\nl2_norm_bound = 1\nreserve_rounds = 2'
SHARED = LOCAL.replace("local", "distributed") + "\ndropouts = 1\ncolluding = 1"
EXPLAINED = "[explanations]\nbudget_share = 0.2\nmost_votes = 3\n"
MEMBERS = tuple(Member(name, f"key {name}", f"{number:064x}") for number, name in enumerate("abcd"))


def plan_of(
    folder: Path, more: str = EXPLAINED, *, privacy: str = LOCAL, hidden: str = "[4]", schema: str = SCHEMA
) -> StudyPlan:
    (folder / "schema.toml").write_text(schema)
    (folder / "study.toml").write_text(STUDY.format(hidden=hidden, privacy=privacy, more=more))
    consortium = read_consortium(folder / "study.toml")
    return plan_for(consortium, members=MEMBERS, coordinator_public_key=b"", bundle_sha256="")


def share_of(plan: StudyPlan, *names: str) -> float:
    """Of the sum of 1 / noise_multiplier^2 over all that may be released."""
    by_name = {each.name: each.attempts / each.noise_multiplier**2 for each in plan.summaries}
    rounds = plan.charged_rounds / plan.privacy.noise_multiplier**2
    return sum(by_name[name] for name in names) / (rounds + sum(by_name.values()))


@pytest.mark.parametrize("privacy", [LOCAL, SHARED])
def test_key_markers_get_their_share_within_the_studys_epsilon(privacy: str, tmp_path: Path) -> None:
    plan = plan_of(tmp_path, privacy=privacy)
    (spec,) = plan.summaries
    assert (spec.name, spec.kind, spec.smallest_shown) == ("key_markers", SummaryKind.KEY_MARKERS, 500.0)
    assert vote_faults(spec, columns=plan.model.columns) == []
    assert spec.votes is not None
    assert (spec.votes.most_votes, spec.votes.entities, spec.votes.markers) == (3, 3, 5)  # a, b, c, entity, no RNA
    cost = cost_of(plan)
    assert cost is not None
    assert cost.largest == pytest.approx(2.0, abs=0.02)
    assert cost.largest <= 2.0
    assert share_of(plan, "key_markers") == pytest.approx(0.2, rel=0.02)
    assert plan.held_out_fraction == 0.0  # nobody is set aside for it
    release = release_of_summary(plan, spec)
    assert release.needs_everybody is (privacy == SHARED)
    assert release.numbers == spec.cells


def test_a_study_is_calibrated_where_it_says_so(tmp_path: Path) -> None:
    def rounds(training: str = "") -> int:
        (tmp_path / "schema.toml").write_text(SCHEMA)
        text = STUDY.format(hidden="[4]", privacy=LOCAL, more="").replace("rounds = 30", f"rounds = 30\n{training}")
        (tmp_path / "study.toml").write_text(text)
        return read_consortium(tmp_path / "study.toml").settings.training.calibration_rounds

    assert rounds() == 0
    assert rounds("calibration_rounds = 7") == 7


def test_the_study_says_how_a_patient_is_bounded_and_local_steps_know_the_clip_alone(tmp_path: Path) -> None:
    stopped = f'{LOCAL}\nbounding = "stopped"\nhazard_cap = 1.5'
    privacy = plan_of(tmp_path, "", privacy=stopped).privacy
    assert (privacy.bounding, privacy.hazard_cap) == (Bounding.STOPPED, 1.5)
    assert plan_of(tmp_path, "", privacy=f'{LOCAL}\nbounding = "clip"').privacy.bounding is Bounding.CLIP
    none = 'mode = "none"\nclip_without_noise = true\nl2_norm_bound = 1\nbounding = "stopped"'
    assert plan_of(tmp_path, "", privacy=none).privacy.bounding is Bounding.STOPPED
    by_steps = STUDY.format(hidden="[4]", privacy=stopped, more="").replace("rounds = 30", 'mode = "epochs"')
    (tmp_path / "study.toml").write_text(by_steps)
    with pytest.raises(InvalidInput, match="knows no bounding but clip"):
        read_consortium(tmp_path / "study.toml")
    with pytest.raises(InvalidInput, match="hazard_cap"):
        plan_of(tmp_path, "", privacy=stopped.replace("1.5", "0"))


def test_pairs_take_half_of_the_share(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, EXPLAINED + "pairs = true\nattempts = 2\n")
    markers, pairs = plan.summaries
    assert (pairs.name, pairs.kind, pairs.cells) == ("interactions", SummaryKind.INTERACTIONS, 6)
    assert vote_faults(pairs, columns=plan.model.columns) == []
    assert (markers.attempts, pairs.attempts) == (2, 2)
    assert share_of(plan, "key_markers") == pytest.approx(0.1, rel=0.02)
    assert share_of(plan, "interactions") == pytest.approx(0.1, rel=0.02)


def test_it_stands_beside_figures_of_held_out_patients(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, EXPLAINED + "[held_out]\nbudget_share = 0.3\nhorizon = 12\n")
    assert [each.name for each in plan.summaries] == ["evaluation", "key_markers"]
    assert plan.held_out_fraction == 0.2
    assert share_of(plan, "evaluation") == pytest.approx(0.3, rel=0.02)
    assert share_of(plan, "key_markers") == pytest.approx(0.2, rel=0.02)


def test_a_data_protection_officer_reads_what_leaves(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, EXPLAINED + "pairs = true\n")
    schema = read_consortium(tmp_path / "study.toml").schema
    words = " ".join(plan_in_words(plan, schema, parameters=plan.model.parameters).split())
    assert "for how many of your patients each marker is among those that move the model's prognosis most" in words
    assert "each pair of markers" in words
    assert "Set aside" not in words


def test_without_the_section_nothing_is_asked_for(tmp_path: Path) -> None:
    assert plan_of(tmp_path, "").summaries == ()
    assert plan_of(tmp_path, "[explanations]\npairs = true\n").summaries == ()
    (spec,) = plan_of(tmp_path, EXPLAINED, privacy='mode = "none"').summaries
    assert spec.noise_multiplier == 0


FAULTS = {
    "budget_share = 1.0": "budget_share: is above 0.99",
    "budget_share = 0.4\n[held_out]\nhorizon = 12\nbudget_share = 0.3\ncalibration_share = 0.3": (
        r"with what \[held_out\] takes"
    ),
    "budget_share = 0.7\n[held_out]\nhorizon = 12\nbudget_share = 0.3": r"with what \[held_out\] takes",
    "budget_share = 0.1\nmost_votes = 5": "above the 4 markers",
    "most_votes = 0": "most_votes",
    "largest_effect = 0": "largest_effect",
    "attempts = 0": "attempts",
    "budget_shore = 0.1": "budget_share",
}


@pytest.mark.parametrize(("text", "words"), FAULTS.items(), ids=FAULTS)
def test_faults_are_told_with_their_remedy(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=words):
        plan_of(tmp_path, f"[explanations]\n{text}\n")


@pytest.mark.parametrize("hidden", ["[]", "[4, 3]"])
def test_pairs_need_one_hidden_layer(hidden: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="one hidden layer"):
        plan_of(tmp_path, EXPLAINED + "pairs = true\n", hidden=hidden)
    assert len(plan_of(tmp_path, EXPLAINED, hidden=hidden).summaries) == 1


def test_the_votes_know_the_columns_of_the_schema(tmp_path: Path) -> None:
    (spec,) = plan_of(tmp_path).summaries
    schema = read_consortium(tmp_path / "study.toml").schema
    assert spec.votes is not None
    sources = [column.source for column in columns(schema)]
    assert sources.index("entity") in spec.votes.entity_columns
    assert len(spec.votes.column_markers) == len(sources)
