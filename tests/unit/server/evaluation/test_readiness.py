"""Do the noised counts say what there is, with half-widths that hold, and is a study judged by what it would buy?"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.unit.client.patients.test_who_is_there import SCHEMA, drawn_cohort, plan_of
from tests.unit.study.test_budget import settings

from oncofed.client.patients.summaries import bounded_sum
from oncofed.cohort.schema_file import parse_schema
from oncofed.privacy.releases import release_of_summary
from oncofed.protocol.plan import StudyPlan
from oncofed.server.evaluation.readiness import Counted, Readiness, Verdict, counted, judged
from oncofed.server.rounds.state import ReleasedSummary
from oncofed.study.budget import bought_by, noise_of_all_rounds
from oncofed.study.plan_settings import plan_from
from oncofed.survival.likelihood import patient_tensors

PARSED = parse_schema(SCHEMA, where="schema.toml")
COHORT = drawn_cohort(PARSED, 1500)
PLAN = plan_of(PARSED)
SPEC = PLAN.summaries[0]
EXACT = bounded_sum(PLAN, SPEC, np.zeros(PLAN.model.parameters), patient_tensors(COHORT)).vector
THERE = ~np.isnan(COHORT.values)
TRUTH = {
    "age": THERE[:, 0].mean(),
    "grade": THERE[:, 1].mean(),
    "dna_mutation": (THERE[:, 2] | THERE[:, 3]).mean(),
}
EVENTS = dict(zip(PLAN.model.endpoints, (COHORT.observed & (COHORT.exit <= 60)).sum(axis=0).tolist(), strict=True))


def read(vector: NDArray[np.float64], plan: StudyPlan = PLAN, *, hospitals: tuple[str, ...] = ("Bonn",)) -> Readiness:
    found = counted(plan, PARSED, {SPEC.name: ReleasedSummary(vector, hospitals)})
    assert found is not None
    return found


def test_without_noise_it_tells_the_truth() -> None:
    found = read(EXACT)
    assert found.patients.value == pytest.approx(1500)
    assert {name: events.value for name, events in found.events.items()} == pytest.approx(EVENTS)
    assert {name: share.value for name, share in found.measured.items()} == pytest.approx(TRUTH)


def test_half_widths_cover_the_truth_in_95_of_100_and_half_of_them_do_not() -> None:
    """Binomial, 2,000 releases of six numbers: 0.95 to three standard deviations of 0.005."""
    sd = release_of_summary(PLAN, SPEC).noise_of_sum(hospitals=1)
    rng = np.random.default_rng(5)
    covered: list[list[bool]] = []
    half: list[list[bool]] = []
    for _ in range(2000):
        found = read(EXACT + rng.normal(scale=sd, size=SPEC.cells))
        told = [found.patients, *found.events.values(), *found.measured.values()]
        truth = [1500, *EVENTS.values(), *TRUTH.values()]
        off = [abs(each.value - true) / each.half_width for each, true in zip(told, truth, strict=True)]
        covered.append([each <= 1 for each in off])
        half.append([each <= 0.5 for each in off])
    np.testing.assert_allclose(np.mean(covered, axis=0), 0.95, atol=0.016)
    assert (np.mean(half, axis=0) < 0.75).all()


def test_each_hospital_that_adds_noise_in_full_makes_them_wider() -> None:
    one, four = (read(EXACT, hospitals=tuple("abcd"[:count])).patients.half_width for count in (1, 4))
    assert four == pytest.approx(2 * one)
    assert one == pytest.approx(1.96 * PLAN.privacy.noise_multiplier / 0.3, rel=1e-3)


def test_no_share_is_told_of_fewer_patients_than_the_floor_or_twice_their_noise() -> None:
    sd = release_of_summary(PLAN, SPEC).noise_of_sum(hospitals=1) / 0.3
    assert 2 * sd > 50
    for patients, shown in ((2.2 * sd, True), (1.8 * sd, False), (-5.0, False)):
        vector = EXACT.copy()
        vector[0] = 0.3 * patients
        assert bool(read(vector).measured) is shown
    floor = replace(PLAN, summaries=(replace(SPEC, smallest_shown=1501.0),))
    assert not read(EXACT, floor).measured
    assert read(EXACT, floor).events


def test_a_plan_that_counts_nothing_or_has_not_yet_has_no_counts() -> None:
    assert counted(PLAN, PARSED, {}) is None
    assert counted(replace(PLAN, summaries=()), PARSED, {}) is None


def study(epsilon: float) -> StudyPlan:
    asked = settings(epsilon=epsilon)
    return plan_from(asked, PARSED, study="who", roster=("Bonn",), quorum=None, initialisation_seed=0)


def sharp(**measured: float) -> Readiness:
    """Counts without any noise."""
    shares = {name: Counted(share, 0.0) for name, share in measured.items()}
    return Readiness(SPEC, ("Bonn",), Counted(1500, 0.0), {"overall_survival": Counted(400, 0.0)}, shares)


def test_a_marker_that_is_measured_in_everybody_is_worth_what_the_budget_says_and_one_in_half_half_the_events() -> None:
    plan = study(3.0)
    noise = noise_of_all_rounds(plan)
    rows = {row.marker: row for row in judged(sharp(age=1.0, grade=0.5), PARSED, plan, endpoint="overall_survival")}
    by_modality = {each.modality: each for each in bought_by(PARSED, events=400, noise=noise)}
    assert rows["age"].left == pytest.approx(by_modality["clinical"].information_left)
    assert rows["age"].hazard_ratio == pytest.approx(by_modality["clinical"].hazard_ratio)
    half = {each.modality: each for each in bought_by(PARSED, events=200, noise=noise)}["laboratory"]
    assert (rows["grade"].left, rows["grade"].hazard_ratio) == pytest.approx((half.information_left, half.hazard_ratio))
    assert rows["chemotherapy"].measured is None  # the schema shows no flag of it: as if measured in everybody


def test_a_gene_has_the_share_of_its_modality_s_flag() -> None:
    rows = {
        row.marker: row for row in judged(sharp(dna_mutation=0.25), PARSED, study(3.0), endpoint="overall_survival")
    }
    assert rows["kras"].measured == rows["tp53"].measured == Counted(0.25, 0.0)


def test_between_both_ends_of_the_count_a_marker_is_open() -> None:
    """Of 5 % of the information: E / (E + noise^2) = 0.05 at E = noise^2 / 19 events."""
    plan = study(1.0)
    needed = noise_of_all_rounds(plan) ** 2 / 19
    for events, verdict in (
        (Counted(1.2 * needed, 0.1 * needed), Verdict.POSSIBLE),
        (Counted(1.2 * needed, 0.3 * needed), Verdict.OPEN),
        (Counted(0.8 * needed, 0.3 * needed), Verdict.OPEN),
        (Counted(0.8 * needed, 0.1 * needed), Verdict.NOT_POSSIBLE),
    ):
        found = replace(sharp(age=1.0), events={"overall_survival": events})
        assert judged(found, PARSED, plan, endpoint="overall_survival")[0].verdict is verdict


def test_where_no_event_is_counted_nothing_is_found() -> None:
    found = replace(sharp(age=1.0), events={"overall_survival": Counted(-30.0, 5.0)})
    row = judged(found, PARSED, study(3.0), endpoint="overall_survival")[0]
    assert (row.left, row.hazard_ratio, row.verdict) == (0.0, math.inf, Verdict.NOT_POSSIBLE)


def test_noise_below_nothing_counts_for_nothing_and_a_share_is_no_more_than_all() -> None:
    """Two ends below 0 would multiply to events that nobody had; a share above 1 would make more than there are."""
    assert (Counted(3.0, 10.0).least, Counted(-30.0, 10.0).most) == (0.0, 0.0)
    plan = study(1.0)
    needed = noise_of_all_rounds(plan) ** 2 / 19
    found = replace(
        sharp(), events={"overall_survival": Counted(0.8 * needed, 0.0)}, measured={"age": Counted(0.9, 0.6)}
    )
    assert judged(found, PARSED, plan, endpoint="overall_survival")[0].verdict is Verdict.NOT_POSSIBLE
