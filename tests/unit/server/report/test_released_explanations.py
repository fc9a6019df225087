"""Do page, terminal and file tell what hospitals released of key markers, with noise, and nothing below the floor?"""

from __future__ import annotations

import io
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.command_line import oncofed
from tests.unit.server.report.fake_studies import fake_plan, fake_schema, fake_study

from oncofed.cohort.schema import Kind, Marker, Modality, StudySchema
from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.summary_spec import SummaryKind
from oncofed.protocol.vote_layout import VoteLayout
from oncofed.server.deployment import runs
from oncofed.server.deployment.folder import CoordinatorFolder
from oncofed.server.report import reading
from oncofed.server.report.page import render_report
from oncofed.server.report.released_explanations import (
    explanation_lines,
    explanation_table,
    marker_rows,
    page_of_markers,
)
from oncofed.server.report.study import DeployedStudy
from oncofed.server.rounds.explanation_votes import (
    ReleasedExplanations,
    read_pairs,
    released_explanations,
    summary_of,
)
from oncofed.server.rounds.state import ReleasedSummary
from oncofed.study.explanation_settings import (
    INTERACTIONS,
    KEY_MARKERS,
    ExplanationRequest,
    entity_names,
    vote_summaries,
    voted_names,
)

ENTITY = Marker(
    "entity", Modality.CLINICAL, Kind.CATEGORICAL, categories=("lung", "skin", "colon"), reference_category="lung"
)
SCHEMA: StudySchema = replace(fake_schema(extra_markers=(ENTITY,)), tumour_entity="entity")
VOTERS = {"age": 1500.0, "female_sex": 900.0, "smoking": 700.0, "albumin": 20.0, "entity": 0.0}
EFFECTS = {"age": 0.3, "female_sex": -0.2, "smoking": 0.1, "albumin": 0.1, "entity": 0.0}
PATIENTS = {"lung": 900.0, "skin": 600.0, "colon": 60.0}
"""Their votes, two each, are those of VOTERS."""


def explained_plan(*, private: bool = True, pairs: bool = True, sd: float = 4.0) -> StudyPlan:
    plan = fake_plan(SCHEMA, private=private)
    specs = vote_summaries(SCHEMA, ExplanationRequest(budget_share=0.2, pairs=pairs, most_votes=2, attempts=2))
    return replace(plan, summaries=tuple(replace(each, noise_multiplier=sd if private else 0.0) for each in specs))


def released(plan: StudyPlan, *, patients: float = 1.0) -> dict[str, ReleasedSummary]:
    """Sums of VOTERS and EFFECTS without any noise, all shares of a part in proportion. patients: a factor."""
    spec = summary_of(plan, SummaryKind.KEY_MARKERS)
    assert spec is not None
    votes = spec.votes
    assert votes is not None
    layout, names, vector = VoteLayout.of(votes), voted_names(SCHEMA), np.zeros(spec.cells)
    assert entity_names(SCHEMA) == tuple(PATIENTS)
    share = np.array(list(PATIENTS.values())) / sum(PATIENTS.values())
    voters = np.array([VOTERS[name] for name in names]) * patients
    effects = voters * np.array([EFFECTS[name] for name in names]) / votes.largest_effect
    each = 1 / math.sqrt(votes.most_votes)
    counts = [sum(PATIENTS.values()), *PATIENTS.values()]
    vector[layout.count] = 0.2 * np.array(counts) * patients
    vector[layout.votes] = 0.7 * each * voters
    vector[layout.effects] = 0.4 * each * effects
    vector[layout.own] = (0.42 * each * np.outer(share, voters)).ravel()
    vector[layout.own_effects] = (0.3 * each * np.outer(share, effects)).ravel()
    found = {KEY_MARKERS: ReleasedSummary(vector, plan.roster[:3])}
    of_pairs = summary_of(plan, SummaryKind.INTERACTIONS)
    if of_pairs is not None:
        net = np.zeros(of_pairs.cells)
        net[[0, 3]] = [-400 * each, 300 * each]  # age with female_sex, age with entity
        found[INTERACTIONS] = ReleasedSummary(net * patients, plan.roster)
    return found


def told(plan: StudyPlan, *, patients: float = 1.0) -> ReleasedExplanations:
    found = released_explanations(plan, SCHEMA, released(plan, patients=patients))
    assert found is not None
    return found


def study(plan: StudyPlan, summaries: dict[str, ReleasedSummary] | None = None) -> DeployedStudy:
    return replace(fake_study(plan=plan), schema=SCHEMA, summaries=released(plan) if summaries is None else summaries)


def words(found: DeployedStudy) -> str:
    return " ".join(re.sub("<[^>]+>", " ", render_report(found)).replace("&nbsp;", " ").split())


def test_rows_are_what_was_released_with_the_interval_of_its_noise() -> None:
    plan = explained_plan()
    rows = {row.name: row for row in marker_rows(told(plan).markers.everybody, SCHEMA)}
    sd = 4.0 * math.sqrt(3) / (0.7 / math.sqrt(2))  # three hospitals, each with its noise in full
    age = rows["age"]
    assert (age.direction, age.effect) == (1, "higher value: higher hazard")
    assert [age.low, age.voters, age.high] == pytest.approx([1500 - 1.96 * sd, 1500, 1500 + 1.96 * sd])
    assert age.share == pytest.approx(1500 / 1560)
    patients_sd = 4.0 * math.sqrt(3) / 0.2
    share_sd = math.sqrt((sd / 1560) ** 2 + (1500 * patients_sd / 1560**2) ** 2)
    smoking = rows["smoking"]
    assert smoking.share_high - smoking.share < age.share - age.share_low  # less of the patients' noise is in it
    assert age.share - age.share_low == pytest.approx(1.96 * share_sd)
    assert age.share_high == pytest.approx(min(1.0, age.share + 1.96 * share_sd))
    effect_sd = 4.0 * math.sqrt(3) / (0.4 / math.sqrt(2)) * 0.5 / 1500
    low, high = math.exp(0.3 - 1.96 * effect_sd), math.exp(0.3 + 1.96 * effect_sd)
    assert age.size == f"1.35 ({low:.3g} to {high:.3g})"
    assert (rows["female sex"].direction, rows["female sex"].effect) == (-1, "yes: lower hazard")
    assert (rows["smoking"].direction, rows["smoking"].effect, rows["smoking"].size) == (0, *["by category"] * 2)
    assert set(rows) == {"age", "female sex", "smoking"}  # 20 voters do not stand out, 0 neither


def test_of_fewer_patients_than_twice_the_noise_of_their_count_nothing_is_told() -> None:
    """Of 546 patients, above the floor of 500: 525 vote for one marker, which stands out of the noise of votes."""
    quiet, noisy = (told(explained_plan(sd=sd), patients=0.35).markers.everybody for sd in (31.0, 32.0))
    assert [2 * each.patients_sd for each in (quiet, noisy)] == pytest.approx([537, 554], abs=1)
    assert [marker.name for marker in quiet.markers] == ["age", "female_sex"]
    assert noisy.markers == ()


def test_a_pair_stands_out_of_the_noise_of_all_pairs_in_either_direction() -> None:
    """Ten pairs: one in 400 on either side is beyond 2.807 standard deviations."""
    plan = explained_plan()
    spec = summary_of(plan, SummaryKind.INTERACTIONS)
    assert spec is not None
    assert spec.cells == 10
    net = np.zeros(10)
    net[:4] = [2.85, -2.85, 2.75, -2.75]
    pairs = read_pairs(net * 5.0, told(plan).markers, spec=spec, schema=SCHEMA, noise_sd=5.0)
    assert [round(pair.net_voters / pair.noise_sd, 2) for pair in pairs] == [2.85, -2.85]


def test_the_page_shows_markers_entities_and_pairs_and_what_it_holds_back() -> None:
    page = words(study(explained_plan()))
    assert "Each patient of 3 hospitals votes for the 2 markers that move" in page
    assert "The votes are counted with noise, charged to each hospital" in page
    assert "Of 1,560 patients, as counted with noise, 3 markers hold 90 % of all votes" in page
    assert "age 1,500 (1,473 to 1,527) 96" in page
    assert "lung, 900 patients" in page
    assert "skin, 600 patients" in page
    assert "nothing above" not in page
    assert "Not shown, because too few patients or no marker stands out of the noise: colon." in page
    assert "age female sex −400" in page.replace("-400", "−400")
    assert "better than their sum" in page
    assert "worse than their sum" in page


def test_below_the_floor_the_page_shows_nothing() -> None:
    plan = explained_plan()
    page = words(study(plan, released(plan, patients=0.2)))
    assert "Nothing may be shown" in page
    assert "better than their sum" not in page
    assert not told(plan, patients=0.2).pairs


def test_the_page_says_what_was_not_asked_for_and_what_is_not_there_yet() -> None:
    assert "which this study did not ask for ( [explanations] of a study file)" in words(fake_study())
    plan = explained_plan()
    assert "Hospitals are asked for it once, after the last round" in words(study(plan, {}))
    assert "better than their sum" not in words(study(explained_plan(pairs=False)))
    unreleased = replace(study(plan), weights=None)
    assert "Each patient of 3 hospitals" not in words(unreleased)
    assert "without any noise" in words(study(explained_plan(private=False)))


def test_a_name_cannot_be_markup() -> None:
    evil = Marker("<script>x</script>", Modality.CLINICAL, Kind.BINARY)
    schema = replace(SCHEMA, markers=(evil, *SCHEMA.markers[1:]))
    plan = explained_plan()
    page = render_report(replace(study(plan), schema=schema))
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_a_terminal_gets_the_same() -> None:
    plan = explained_plan()
    text = "\n".join(explanation_lines(told(plan), plan, SCHEMA, most=2))
    assert "All 1,560 patients (noise: ±" in text
    assert re.search(r"age +96% \(92% to 100%\) +1\.35 \(.*higher hazard", text)
    assert "smoking" not in text  # at most two
    assert "lung, 900 patients" in text
    assert "colon" not in text
    assert "Not shown, too few patients or nothing above the noise: 1 entity." in text
    assert "2 pairs of markers stand out of the noise." in text
    assert "age x female sex: 26% of patients; both high: better than their sum" in text
    few = "\n".join(explanation_lines(told(plan, patients=0.2), plan, SCHEMA, most=2))
    assert "Nothing may be shown" in few
    assert "age" not in few.replace("average", "")


def test_a_file_holds_every_figure_with_its_noise() -> None:
    plan = explained_plan()
    found = told(plan)
    table = pd.read_csv(io.StringIO(explanation_table(found).to_csv(index=False)))
    of_all = table[(table.patients_of == "all") & table.second_marker.isna()]
    assert of_all.marker.tolist() == ["age", "female_sex", "smoking"]
    assert of_all.voters.tolist() == [1500, 900, 700]
    np.testing.assert_allclose(of_all.mean_log_hazard_ratio, [0.3, -0.2, 0.1])
    assert (table.voters_noise_sd > 0).all()
    assert set(table.patients_of) == {"all", "lung", "skin"}
    pairs = table[table.second_marker.notna()]
    assert pairs.voters.tolist() == [-400, 300]


def test_a_page_names_as_many_as_it_can_and_counts_the_rest() -> None:
    page = page_of_markers(told(explained_plan()), explained_plan(), SCHEMA)
    assert page.hidden == ("colon",)
    assert page.pairs_beyond == 0
    assert page.cut_at == "1.65 or 0.61"


def test_the_command_says_what_a_study_released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = explained_plan()
    current = {"study": study(plan)}
    monkeypatch.setattr(reading, "read_deployed_study", lambda folder: current["study"])
    monkeypatch.setattr(runs, "find_study", lambda folder, beginning: plan.hash)
    folder = CoordinatorFolder(tmp_path)
    made = oncofed("coordinator", "init", tmp_path / "c", "--name", "try", "--address", "127.0.0.1:9443")
    assert made.code == 0, made.text
    assert folder.root == tmp_path
    said = oncofed("study", "explain", tmp_path / "c", "--csv", tmp_path / "markers.csv")
    assert said.code == 0, said.text
    assert "higher value: higher hazard" in said.text
    assert "voters_noise_sd" in (tmp_path / "markers.csv").read_text()
    current["study"] = study(plan, {})
    said = oncofed("study", "explain", tmp_path / "c")
    assert said.code == 2
    assert "has not released its explanations" in said.text
    current["study"] = fake_study()
    said = oncofed("study", "explain", tmp_path / "c")
    assert said.code == 2
    assert "asked for no explanations" in said.text
    assert oncofed("study", "explain", tmp_path).code == 2  # no coordinator's folder
