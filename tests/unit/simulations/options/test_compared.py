"""Is a comparison part of a run: charged with everything else, told in the report, refused by who does not allow it?"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from tests.options_asked import ASKED, STUDY

from oncofed.client.patients.options_sums import options_kind, refuse_unless_asked
from oncofed.client.patients.summaries import refuse_unknown
from oncofed.errors import FederationFailure, PrivacyRefusal
from oncofed.privacy.accounting import epsilon_of
from oncofed.privacy.ledger import Charge
from oncofed.privacy.policy import planned_releases_of
from oncofed.protocol.options_layout import OPTIONS
from oncofed.protocol.plan_words import plan_in_words
from oncofed.protocol.summary_spec import SummaryKind
from oncofed.simulations.federation import Earlier
from oncofed.simulations.options.compared import compared_options
from oncofed.simulations.progress import no_progress
from oncofed.simulations.results import RunResult
from oncofed.simulations.run import run_study
from oncofed.simulations.site_policy import site_policy
from oncofed.simulations.study import Study, read_study
from oncofed.simulations.synthetic.treated import generate_treated
from oncofed.simulations.synthetic.treated_files import write_treated


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in `run`, of a study beside it."""
    folder = tmp_path_factory.mktemp("options")
    write_treated(generate_treated(patients=240, hospitals=3, seed=1), folder, population=100)
    table = '[data]\ntable = "patients.parquet"\nschema = "schema.toml"\n'
    study = STUDY.replace("[data.synthetic]\npatients = 400\nhospitals = 3\n", table)
    (folder / "study.toml").write_text(f"{study}{ASKED}rounds = 2\n")
    return folder


@pytest.fixture(scope="module")
def study(folder: Path) -> Study:
    return read_study(folder / "study.toml")


@pytest.fixture(scope="module")
def result(study: Study, folder: Path) -> RunResult:
    return run_study(study, folder / "run")


def test_every_charge_of_both_plans_is_in_the_epsilon_that_is_told(result: RunResult, folder: Path) -> None:
    assert result.options is not None
    both = [*planned_releases_of(result.plan), *planned_releases_of(result.options.plan)]
    assert len(both) == 2 + 2 + 1
    told = json.loads((folder / "run" / "privacy.json").read_text())
    assert told["epsilon"] == pytest.approx(epsilon_of(both, delta=1e-5))
    assert told["releases"] == len(both)
    assert 2.99 < told["epsilon"] <= told["epsilon_planned"] == 3.0
    of_prognosis = epsilon_of(planned_releases_of(result.plan), delta=1e-5)
    assert of_prognosis < 1.6  # a quarter of what the noise lets through
    assert told["epsilon_of_a_patient_in_two_hospitals"] > told["epsilon"]


def test_a_panel_beside_it_goes_on_from_what_both_spent_within_the_epsilon_of_the_study(folder: Path) -> None:
    asked = read_study(folder / "study.toml", overrides=("panel.markers=3", "panel.share=0.1", "panel.rounds=2"))
    result = run_study(asked, folder / "both", report=False)
    assert result.options is not None
    assert result.panel is not None
    plans = (result.plan, result.options.plan, result.panel.plan)
    everything = [event for plan in plans for event in planned_releases_of(plan)]
    for charged in result.releases.values():
        assert sorted(map(repr, charged)) == sorted(map(repr, everything))
    told = json.loads((folder / "both" / "privacy.json").read_text())
    assert told["epsilon"] == pytest.approx(epsilon_of(everything, delta=1e-5))
    assert 2.98 < told["epsilon"] <= 3.0
    assert {each["plan_hash"] for each in told["plans"]} == {plan.hash for plan in plans}


def test_a_hospital_goes_on_from_what_the_prognosis_spent_and_refuses_what_passes_the_study(
    result: RunResult, tmp_path: Path
) -> None:
    assert result.options is not None
    compare = partial(
        compared_options,
        result.options.plan,
        result.hospitals,
        resume=False,
        progress=no_progress,
        unsummarised=lambda failure: None,
    )
    spent = [Charge(f"first/{n}", "", event) for n, event in enumerate(planned_releases_of(result.plan))]

    def after(charges: list[Charge], folder: Path) -> int:
        folder.mkdir()
        earlier = Earlier(dict.fromkeys(result.plan.roster, charges), epsilon=3.0)
        return len(compare(earlier=earlier, run_folder=folder).releases[result.plan.roster[0]])

    assert after(spent, tmp_path / "planned") == len(spent) + 3
    again = [replace(each, identity=f"again_{each.identity}") for each in spent]
    with pytest.raises(FederationFailure):
        after([*spent, *again], tmp_path / "more")


def test_the_report_says_why_a_study_of_few_patients_shows_nothing_and_no_figure(
    result: RunResult, folder: Path
) -> None:
    assert result.options is not None
    assert result.options.released is not None
    refusal = result.options.released.everybody.refusal
    assert refusal is not None
    page = (folder / "run" / "report.html").read_text()
    assert "Two options compared" in page
    assert "first day of systemic treatment" in page
    assert refusal.words[:40] in page
    assert "Got the first" not in page
    told = json.loads((folder / "run" / "metrics.json").read_text())["options_privately_released"]
    assert told["groups"] == {"all": {"refused": refusal.reason.value, "words": refusal.words}}


def test_a_finished_comparison_is_not_asked_again(result: RunResult, study: Study, folder: Path) -> None:
    again = run_study(study, folder / "run", resume=True, report=False)
    assert again.options is not None
    assert result.options is not None
    assert again.releases == result.releases
    assert again.options.released is not None
    assert result.options.released is not None
    assert again.options.released.everybody.compared == result.options.released.everybody.compared


def test_a_policy_that_does_not_allow_it_refuses_the_plan_and_so_does_a_guard_without_its_question(
    result: RunResult,
) -> None:
    assert result.options is not None
    plan = result.options.plan
    site = plan.roster[0]
    site_policy(plan, site).refuse_unless_allowed(plan, site=site)
    closed = replace(site_policy(plan, site), show_treatment_comparison=False)
    with pytest.raises(PrivacyRefusal, match="show_treatment_comparison is not set"):
        closed.refuse_unless_allowed(plan, site=site)
    closed.refuse_unless_allowed(result.plan, site=site)  # the prognosis is another matter
    with pytest.raises(PrivacyRefusal, match="options is not computed here"):
        refuse_unknown(plan)
    question = result.options.question
    for given in (None, replace(question, trial=replace(question.trial, horizon=12.0))):
        with pytest.raises(PrivacyRefusal, match="another question about options"):
            refuse_unless_asked(plan, given)
    with pytest.raises(PrivacyRefusal, match="another question about options"):
        refuse_unless_asked(result.plan, question)
    longer = replace(plan, model=replace(plan.model, columns=plan.model.columns + 1))
    with pytest.raises(PrivacyRefusal, match="other numbers than its target trial"):
        refuse_unless_asked(longer, question)
    (spec,) = plan.summaries
    fewer = replace(plan, summaries=(replace(spec, cells=spec.cells - 1),))
    with pytest.raises(PrivacyRefusal, match="numbers and not"):
        refuse_unknown(fewer, {SummaryKind.OPTIONS: options_kind(question)})
    words = plan_in_words(plan, result.test.schema, parameters=plan.model.parameters)
    words = words.replace("\n  ", " ")
    for said in ("show_treatment_comparison = true", "second option says who got which", "handed to nobody"):
        assert said in words, said
    assert "to predict" not in words
    assert plan.summary(OPTIONS) is not None


def test_its_models_are_bounded_by_stopping_whatever_the_prognosis_is(result: RunResult) -> None:
    assert result.options is not None
    assert result.options.plan.privacy.bounding.value == "stopped"
    assert result.options.plan.privacy.l2_norm_bound == 1.0
