"""Between real processes: one study of values, calibration, gains, a panel and options, of which one hospital refuses.

Three plans share the study's epsilon: the prognosis with all that is measured of it, its panel, and the options. The
third hospital's policy allows no options: it is told so in words, declines that plan, and answers the others. What is
released is held against each hospital's own table, what is charged against the plans, what left against the tables.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from tests.captured_answers import answers_in, hashes_of, noted_hashes
from tests.end_to_end.flower_processes import SITES
from tests.end_to_end.installed_consortium import Installed, cli, installed
from tests.installed_node import SOURCE
from tests.leaks import Planted, fractions_in, leaks_in

from oncofed.cli import oncofed
from oncofed.client.guard.policy_file import read_policy
from oncofed.client.patients.held_out_split import parted
from oncofed.client.patients.options_sums import options_kind
from oncofed.client.patients.sources import read_source_cohort
from oncofed.client.patients.summaries import KINDS, bounded_sum
from oncofed.cohort.expected_effects import expected_weights
from oncofed.cohort.schema_writing import schema_as_toml
from oncofed.explanation.panels import ranked_markers
from oncofed.privacy.accounting import epsilon_of
from oncofed.privacy.policy import planned_releases_of
from oncofed.privacy.releases import release_of_summary
from oncofed.protocol.options_layout import question_of
from oncofed.protocol.study_document import StudyDocument, schema_of
from oncofed.protocol.summary_spec import SummaryKind
from oncofed.server.card.of_study import metrics_of_study
from oncofed.server.deployment.runs import take_in
from oncofed.server.report.reading import read_deployed_study
from oncofed.server.rounds.checkpoint import load_checkpoint
from oncofed.simulations.synthetic.treated import generate_treated, treated_schema
from oncofed.survival.likelihood import tensors_of
from oncofed.survival.network import network_with

pytestmark = pytest.mark.slow

COMPARING, REFUSING = SITES[:2], SITES[2]
PATIENTS = dict(zip(SITES[:3], (1237, 1361, 1489), strict=True))
MEASURED = ("albumin", "log10_crp", "followed_months")
"""Of these no patient's value is like any other number."""
EPSILON = 3.0
STUDY = f"""
[study]
name = "all"
seed = 3
[data]
schema = "schema.toml"
[model]
hidden_units = []
[training]
rounds = 2
[privacy]
mode = "local"
epsilon = {EPSILON}
delta = 1e-5
l2_norm_bound = 1
[held_out]
fraction = 0.3
horizon = 24
budget_share = 0.1
calibration_share = 0.2
comparison_share = 0.15
value_share = 0.15
[value]
layers = ["laboratory", "dna_mutation"]
[[comparator]]
name = "stage"
markers = ["uicc_stage", "ecog_performance_status"]
[panel]
markers = 4
share = 0.2
rounds = 2
[target_trial]
treatment = "second_option"
first = "the first option"
second = "the second option"
time_zero = "first day of systemic treatment"
outcomes = ["death_of_cancer", "death_of_other_causes"]
horizon = 24
adjust_for = ["age_years", "ecog_performance_status", "uicc_stage", "albumin", "biomarker_positive"]
required = ["age_years", "uicc_stage"]
modifiers = ["biomarker_positive"]
negative_outcome = "death_of_other_causes"
budget_share = 0.4
rounds = 2
[consortium]
quorum = 2
round_timeout_seconds = 60
patience_seconds = 120
answer_seconds = 0.5
summary_answer_seconds = 3
"""


def tables() -> dict[str, tuple[pd.DataFrame, Planted]]:
    """Of one invented consortium; identifiers, exact counts and whole values of patients must not leave."""
    made, begins = generate_treated(patients=sum(PATIENTS.values()), hospitals=3, seed=7).table, 0
    found: dict[str, tuple[pd.DataFrame, Planted]] = {}
    for number, (site, patients) in enumerate(PATIENTS.items()):
        own = made.iloc[begins : begins + patients].drop(columns="hospital").reset_index(drop=True)
        prefix, begins = f"MRN-{4711 + number}", begins + patients
        own["patient_id"] = [f"{prefix}-{row:05d}" for row in range(patients)]
        own[list(MEASURED)] += np.random.default_rng(number).uniform(0, 0.01, (patients, len(MEASURED)))
        second = int(own["second_option"].sum())
        counts = (patients, *(count for count in (second, patients - second) if count >= 1000))
        found[site] = (own, Planted((own["patient_id"].iloc[0], own["patient_id"].iloc[-1], prefix), counts))
    return found


def signed(three: Installed, *options: str) -> StudyDocument:
    folder, coordinator = three.root / "all", three.base.coordinator
    folder.mkdir(exist_ok=True)
    (folder / "study.toml").write_text(STUDY)
    (folder / "schema.toml").write_text(schema_as_toml(treated_schema()).replace('site_column = "hospital"\n', ""))
    out = folder / "plan.json"
    cli(
        "study", "sign", str(folder / "study.toml"), *options, "--coordinator", str(coordinator.root), "--out", str(out)
    )
    return take_in(coordinator, out.read_bytes())


def said(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(oncofed, arguments)
    return result.exit_code, " ".join(f"{result.output} {result.exception or ''}".split())


def exact_sums(three: Installed, document: StudyDocument, weights: np.ndarray, *, of: str) -> np.ndarray:
    """Without any noise, from each answering hospital's own table and secret."""
    plan, schema = document.plan, schema_of(document)
    spec, question = plan.summary(of), question_of(plan, schema)
    assert spec is not None
    total = np.zeros(spec.cells)
    kinds = KINDS if question is None else {SummaryKind.OPTIONS: options_kind(question)}
    for site in plan.roster if question is None else COMPARING:
        folder = three.hospitals[site].folder
        cohort = read_source_cohort(read_policy(folder.policy).source(SOURCE).source, schema)
        secret = folder.held_out_secret.read_bytes()
        groups = parted(cohort, plan, site=site, secret=secret, data_source=SOURCE)
        asked = tensors_of(groups[1 if kinds[spec.kind].held_out else 0])
        total += bounded_sum(plan, spec, weights, asked, kinds=kinds).vector
    return total


def page_of(three: Installed, document: StudyDocument, path: Path) -> str:
    cli("coordinator", "report", str(three.base.coordinator.root), document.plan.hash, "--out", str(path))
    return " ".join(re.sub("<[^>]+>", " ", path.read_text()).split())


def test_one_study_of_values_calibration_gains_panel_and_options_of_which_one_hospital_refuses_the_options(
    tmp_path: Path,
) -> None:
    with installed(sites=SITES[:3], tables=tables()) as three:
        for site in COMPARING:
            policy = three.hospitals[site].folder.policy
            allowed = "allow_no_privacy = true\nshow_treatment_comparison = true"
            policy.write_text(policy.read_text().replace("allow_no_privacy = true", allowed))
        three.start()
        coordinator = three.base.coordinator
        prognosis, options = signed(three), signed(three, "--options")
        assert three.run(prognosis, seconds=600).finished
        code, told = said("study", "package", str(coordinator.root), options.plan.hash, "--out", str(tmp_path / "none"))
        assert code != 0
        assert "hands out no model" in told
        panel = signed(three, "--panel", prognosis.plan.hash[:12])
        assert three.run(panel, seconds=600).finished

        # The third hospital is told why, in words, before and when somebody there wants to approve; it declines.
        plan_file = coordinator.study(options.plan.hash) / "plan.json"
        refusing = three.hospitals[REFUSING].folder
        cli("site", "plans", str(refusing.root), "--add", str(plan_file))
        code, told = said("site", "approve", str(refusing.root), options.plan.hash[:12], "--source", SOURCE, "--yes")
        assert code != 0
        assert "it compares two treatment options, and show_treatment_comparison is not set" in told
        cli("site", "decline", str(refusing.root), options.plan.hash[:12], "--reason", "purpose")
        for site in COMPARING:
            folder = three.hospitals[site].folder
            cli("site", "plans", str(folder.root), "--add", str(plan_file))
            cli("site", "approve", str(folder.root), options.plan.hash[:12], "--source", SOURCE, "--yes")
        three.begin(options)
        assert three.finish(options, seconds=600).finished
        status = cli("coordinator", "status", str(coordinator.root), options.plan.hash)
        assert "the comparison of options is released" in status
        assert f"{REFUSING}" in status

        # Each part is released, and is what the tables say but for the noise.
        names = {"evaluation": SITES[:3], "calibration": SITES[:3], "comparison": SITES[:3], "value": SITES[:3]}
        for document, wanted in ((prognosis, names), (options, {"options": COMPARING})):
            state = load_checkpoint(coordinator.study(document.plan.hash), plan_hash=document.plan.hash).state
            assert {name: each.answered for name, each in state.summaries.items()} == wanted
            for name, answered in wanted.items():
                spec = document.plan.summary(name)
                assert spec is not None
                sd = release_of_summary(document.plan, spec).noise_of_sum(hospitals=len(answered))
                off = np.abs(state.summaries[name].vector - exact_sums(three, document, state.weights, of=name)).max()
                assert 0.1 * sd < off < 6 * sd, name

        # The panel is of the markers with the largest released weights, starts there, and sets the same patients aside.
        first = load_checkpoint(coordinator.study(prognosis.plan.hash), plan_hash=prognosis.plan.hash).state.weights
        network, few = network_with(prognosis.plan.model, first), schema_of(panel)
        ranked = ranked_markers(network, schema_of(prognosis))
        assert {marker.name for marker in few.markers} == set(ranked[:4])
        assert panel.plan.model.expected_weights == expected_weights(few)
        assert any(panel.plan.model.expected_weights)
        assert panel.plan.held_out_fraction == prognosis.plan.held_out_fraction == 0.3

        # Everything is charged, once, and comes to the study's epsilon where all plans were answered.
        without = [*planned_releases_of(prognosis.plan), *planned_releases_of(panel.plan)]
        everything = [*without, *planned_releases_of(options.plan)]
        assert EPSILON - 0.03 < epsilon_of(everything, delta=1e-5) <= EPSILON
        for site, hospital in three.hospitals.items():
            planned = without if site == REFUSING else everything
            charged = [entry.charge.event for entry in hospital.charges()]
            assert sorted(map(repr, charged)) == sorted(map(repr, planned)), site
            assert epsilon_of(charged, delta=1e-5) == epsilon_of(planned, delta=1e-5)

        # The coordinator's report and figures have each part, and only models of a prognosis are handed out.
        page = page_of(three, prognosis, tmp_path / "prognosis.html")
        parts = ("are the predicted risks right?", "what does the model add?", "what is each layer of data worth?")
        for words in ("All of it is privately released", "C-index of the groups of risk", *parts):
            assert words in page, words
        figures = metrics_of_study(read_deployed_study(coordinator.study(prognosis.plan.hash)))
        for name in ("privately_released", "calibration_privately_released", "gains_privately_released"):
            assert figures[name] is not None, name
        gains = figures["gains_privately_released"]
        assert list(gains["over_comparators"]["endpoints"]["death_of_cancer"]["gains"]) == ["stage"]
        assert gains["values_of_layers"]["endpoints"]["death_of_cancer"]["compared"]["patients"] > 500
        page = page_of(three, options, tmp_path / "options.html")
        for words in ("Two options compared", "first day of systemic treatment", "uicc stage", "none is handed out"):
            assert words in page, words
        figures = metrics_of_study(read_deployed_study(coordinator.study(options.plan.hash)))
        assert next(iter(figures["options_privately_released"]["groups"])) == "all"
        for hospital in three.hospitals.values():
            models = {path.stem for path in hospital.folder.models.glob("*.safetensors")}
            assert models == {prognosis.plan.hash, panel.plan.hash}

        # Nothing of a patient left.
        lengths = {
            number
            for document in (prognosis, panel, options)
            for number in (document.plan.model.parameters, *(each.cells for each in document.plan.summaries))
        }
        for hospital in three.hospitals.values():
            values = hospital.patients[list(MEASURED)].to_numpy().ravel()
            for pieces in (hospital.left_guard(), hospital.left_relay()):
                assert leaks_in(pieces, hospital.planted) == []
                assert fractions_in(pieces, values) == []
                captured = {one for numbers in lengths for one in answers_in(pieces, numbers=numbers)}
                assert hashes_of(captured) == noted_hashes(hospital.audit())
