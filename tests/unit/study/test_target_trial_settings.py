"""Is a question about two options read whole, with every fault, and made into a plan of its own form and budget?"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.options_asked import ASKED, BENCHMARK, STUDY

from oncofed.client.guard import trust
from oncofed.client.records.objections import of_the_plan
from oncofed.errors import InvalidInput, PrivacyRefusal
from oncofed.privacy.accounting import epsilon_of, part_of_epsilon
from oncofed.privacy.policy import releases_of
from oncofed.protocol.messages import PlanState
from oncofed.protocol.model_file import signed_model
from oncofed.protocol.options_layout import form_faults
from oncofed.protocol.plan import Bounding, Member, StudyPlan
from oncofed.protocol.plan_file import plan_from_json
from oncofed.protocol.plan_words import plan_in_words
from oncofed.protocol.signing import new_signing_key, public_key_of
from oncofed.protocol.summary_spec import SummaryKind
from oncofed.server.deployment.consortium_file import plan_for, read_consortium
from oncofed.simulations.site_policy import site_policy
from oncofed.simulations.study import Study, read_study
from oncofed.simulations.synthetic.treated import TRIAL, generate_treated, treated_schema
from oncofed.simulations.synthetic.treated_files import write_treated
from oncofed.study.options_plan import options_plan_from
from oncofed.treatment.conditions import Condition


def study_of(folder: Path, *overrides: str, section: str = ASKED) -> Study:
    path = folder / "study.toml"
    path.write_text(STUDY + section)
    return read_study(path, overrides=overrides)


def test_the_section_is_the_trial_that_it_names(tmp_path: Path) -> None:
    found = study_of(tmp_path).target_trial
    assert found is not None
    assert replace(found.trial, options=TRIAL.options) == TRIAL
    found.trial.refuse_unless_it_fits(treated_schema())
    assert found.trial.causes == ("death_of_cancer", "death_of_other_causes")


def test_a_study_with_the_section_leaves_the_prognosis_the_rest_and_has_a_hash_of_its_own(tmp_path: Path) -> None:
    asked, without = study_of(tmp_path), study_of(tmp_path, section="")
    rest = part_of_epsilon(0.25, epsilon=3.0, delta=1e-5)
    assert (asked.first_settings.privacy.epsilon, without.first_settings.privacy.epsilon) == (rest, 3.0)
    other = study_of(tmp_path, "target_trial.horizon=12")
    assert len({each.hash for each in (asked, without, other)}) == 3


def test_every_fault_of_the_section_is_told_at_once(tmp_path: Path) -> None:
    wrong = (
        "[target_trial]\n"
        'treatment = "second_option"\nfirst = "A"\nsecond = ""\noutcomes = []\nhorizon = 24\nlandmark = 30\n'
        'adjust_for = ["age_years", "age_years"]\nmodifiers = ["a", "b", "c"]\neligible = ["age_years > 18"]\n'
        'budget_share = 1.0\nbest = "B"\n'
        "[target_trial.benchmark]\ndifference = 2.0\nlow = 0.0\nhigh = 0.1\n"
    )
    with pytest.raises(InvalidInput) as refused:
        study_of(tmp_path, section=wrong)
    told = str(refused.value)
    for said in (
        "[target_trial], second",
        "[target_trial], time_zero: is missing",
        "[target_trial], outcomes",
        "[target_trial], landmark: is not before the horizon",
        '"age_years" more than once',
        "[target_trial], modifiers",
        "[target_trial], eligible: holds a text that is no condition",
        "[target_trial], budget_share",
        "[target_trial], best: is not a known field",
        "[target_trial.benchmark], difference",
        "[target_trial.benchmark], source: is missing",
    ):
        assert said in told, said
    assert len(refused.value.faults) == 11


def test_patients_drawn_by_lot_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match='mode "full_batch"'):
        study_of(tmp_path, "training.mode=epochs", "privacy.mode=local")


def test_a_panel_beside_it_has_its_own_part_and_must_say_how_many_markers(tmp_path: Path) -> None:
    both = study_of(tmp_path, "panel.markers=3", "panel.share=0.2", "target_trial.budget_share=0.5")
    rest = part_of_epsilon(0.3, epsilon=3.0, delta=1e-5)
    assert both.first_settings.privacy.epsilon == pytest.approx(rest)
    for wrong, said in (("panel.auto=true", r"\[panel\], auto"), ("panel.markers=3", "too little is left")):
        with pytest.raises(InvalidInput, match=said):
            study_of(tmp_path, wrong, "panel.share=0.5")


def test_what_the_schema_does_not_have_is_told_together(tmp_path: Path) -> None:
    found = study_of(
        tmp_path,
        "target_trial.eligible=['weight <= 100']",
        "target_trial.landmark=1",
        "target_trial.treatment=dose",
        "target_trial.negative_outcome=accident",
    ).target_trial
    assert found is not None
    with pytest.raises(InvalidInput) as refused:
        found.trial.refuse_unless_it_fits(treated_schema())
    assert [fault.where for fault in refused.value.faults] == [
        "[target_trial], treatment",
        "[target_trial], negative_outcome",
        "[target_trial], landmark",
        "[target_trial], eligible",
    ]


def test_a_coordinator_draws_two_plans_of_one_budget_and_none_of_options_that_the_file_does_not_name(
    tmp_path: Path,
) -> None:
    write_treated(generate_treated(patients=10, hospitals=1, seed=1), tmp_path / "made", population=10)
    (tmp_path / "schema.toml").write_text((tmp_path / "made" / "schema.toml").read_text())
    path = tmp_path / "study.toml"
    text = STUDY.replace("[data.synthetic]\npatients = 400\nhospitals = 3\n", '[data]\nschema = "schema.toml"\n')
    path.write_text(text + ASKED)
    members = tuple(Member(f"hospital-{number}", "") for number in range(3))

    def plan(options: bool) -> StudyPlan:
        consortium = read_consortium(path)
        return plan_for(consortium, members=members, coordinator_public_key=b"", bundle_sha256="", options=options)

    prognosis, options = plan(False), plan(True)
    assert (prognosis.target_trial, [each.kind for each in options.summaries]) == (None, [SummaryKind.OPTIONS])
    assert options.makes_model is False
    assert plan_from_json(json.loads(options.canonical)) == options
    both = [event for each in (prognosis, options) for event in releases_of(each)]
    assert 2.98 < epsilon_of(both, delta=1e-5) <= 3
    path.write_text(text)
    with pytest.raises(InvalidInput, match="options are to be compared"):
        plan(True)
    path.write_text(text + ASKED.replace("age_years", "height"))
    with pytest.raises(InvalidInput, match='"height" is no marker of the schema'):
        read_consortium(path)


def test_a_hospital_holds_the_question_against_the_schema_that_came_with_it(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    assert plan.target_trial is not None
    assert of_the_plan(plan, treated_schema(), site="a") == []
    of_another = replace(plan, target_trial=replace(plan.target_trial, treatment="dose"))
    longer = replace(plan, model=replace(plan.model, columns=plan.model.columns + 1))
    for wrong, said in ((of_another, '"dose" is no binary marker'), (longer, "other numbers than its target trial")):
        (objection,) = of_the_plan(wrong, treated_schema(), site="a")
        assert said in objection


def plan_of(folder: Path, *overrides: str, section: str = ASKED) -> StudyPlan:
    study = study_of(folder, *overrides, section=section)
    assert study.target_trial is not None
    return options_plan_from(
        study.target_trial, study.settings, treated_schema(), study="s", roster=("a", "b", "c"), quorum=None, seed=1
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"summaries": ()}, "releases something else"),
        ({"held_out_fraction": 0.2}, "sets patients aside"),
        ({"target_trial": None}, "names no target trial"),
        ({"l2_norm_bound": 2.0}, "otherwise than by 1"),
        ({"bounding": Bounding.CLIP}, "otherwise than by 1"),
        ({"hazard_cap": 2.0}, "elsewhere than at 1"),
        ({"calibration_rounds": 1}, "calibration rounds"),
    ],
)
def test_a_plan_of_options_in_another_form_is_none_and_no_policy_allows_it(
    change: dict[str, Any], said: str, tmp_path: Path
) -> None:
    plan = plan_of(tmp_path)
    policy = replace(site_policy(plan, "a"), verified_cards=frozenset())
    assert form_faults(plan) == []
    parts = {name: change[name] for name in ("l2_norm_bound", "bounding", "hazard_cap") if name in change}
    rest = {name: value for name, value in change.items() if name not in (*parts, "calibration_rounds")}
    training = replace(plan.training, calibration_rounds=change.get("calibration_rounds", 0))
    other = replace(plan, privacy=replace(plan.privacy, **parts), training=training, **rest)
    assert any(said in fault for fault in form_faults(other))
    with pytest.raises(PrivacyRefusal, match=said):
        policy.refuse_unless_allowed(other, site="a")
    with pytest.raises(InvalidInput, match=said):
        plan_from_json(json.loads(other.canonical))


def test_no_hospital_keeps_a_model_of_a_plan_of_options(tmp_path: Path) -> None:
    """It would be shown as a prognosis."""
    plan, key = plan_of(tmp_path), new_signing_key()
    sent = signed_model(np.zeros(plan.model.parameters), plan_hash=plan.hash, signing_key=key)
    standing, pinned = trust.Standing(plan, PlanState.APPROVED), trust.Pinned(public_key_of(key), Member("a", ""))
    with pytest.raises(trust.Untrusted) as refused:
        trust.delivered(standing, sent, pinned=pinned)
    assert refused.value.reason is trust.Reason.NO_MODEL


def test_whoever_approves_is_told_of_whom_and_of_what_the_list_is(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, section=ASKED + BENCHMARK)
    words = plan_in_words(plan, treated_schema(), parameters=plan.model.parameters).replace("\n  ", " ").split()
    for said in (
        "Compared are patients of whom second option and biomarker positive and liver metastases are recorded, and who "
        "were under observation from time zero on",
        "how many got each option, and how many lived without the event, and how long, with each",
        "each by biomarker positive and liver metastases",
        "how alike patients of both options are",
        "the same of death of other causes alone",
        "the same of whom the randomised trial would have taken (age_years <= 70)",
        "of how many each of these is recorded: age years, ecog performance status, uicc stage",
    ):
        assert said in " ".join(words), said
    plain = plan_of(tmp_path)
    assert plain.target_trial is not None
    bare = replace(plain.target_trial, negative_outcome=None, modifiers=(), required=(), landmark=3.0)
    told = plan_in_words(replace(plain, target_trial=bare), treated_schema(), parameters=1).replace("\n  ", " ")
    told = " ".join(told.split())
    assert "of whom second option is recorded, and who were under observation from the landmark on" in told
    for none in ("the same of", "is recorded:", "each by"):
        assert none not in told, none


@pytest.mark.parametrize(
    ("text", "who"),
    [
        ("age >= 18", [False, True, True, False]),
        ("age <= 18", [True, True, False, False]),
        ("age = 18", [False, True, False, False]),
    ],
)
def test_a_condition_holds_for_whom_it_says_and_for_nobody_not_recorded(text: str, who: list[bool]) -> None:
    condition = Condition.of(text)
    assert condition is not None
    np.testing.assert_array_equal(condition.holds(np.array([17.0, 18.0, 60.5, np.nan])), who)


@pytest.mark.parametrize("text", ["age > 18", "age>=18", ">= 18", "age >= many", "age >= 1e5", "age"])
def test_no_other_text_is_a_condition(text: str) -> None:
    assert Condition.of(text) is None
