"""What do hospitals' own noised sums say of a model that others trained, of one more hospital, and of whose patients?

Truth: sums written down by hand, or patients drawn with known hazards, each hospital's a multiple of the model's.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from tests.calibration_cohorts import World, drawn, plan_of, weights_of
from tests.doubles import local_privacy
from tests.summaries import released_model

from oncofed.client.patients.summaries import KINDS, cut
from oncofed.protocol.expected_layout import OVERALL_WEIGHTS, expected_layout
from oncofed.protocol.plan import StudyPlan, TrainingSpec
from oncofed.server.evaluation.calibration import Sums
from oncofed.server.evaluation.validation import Validated, validated, validated_endpoint
from oncofed.server.rounds.state import ReleasedSummary

PLAN, SPEC = plan_of(windows=(0.0, 120.0))
LAYOUT = expected_layout(PLAN, SPEC)


def sums(*, ratio: float, expected: float = 200.0, mean: float = 0.1, noise_sd: float = 2.0) -> Sums:
    """z with this mean and variance 0.2, over expected events and over those that came."""
    less = (ratio - 1) * expected
    overall = np.array([less, less * mean, expected, expected * mean, expected * (0.2 + mean**2)])
    return Sums(overall, np.zeros((0, 2)), np.zeros((0, 1, 2)), noise_sd)


def of(hospitals: dict[str, Sums]) -> Validated:
    return validated_endpoint(hospitals, LAYOUT, replace(SPEC, smallest_shown=10.0))


def test_hospitals_differ_by_what_their_sums_say_and_the_next_by_as_much() -> None:
    levels = {"Aachen": 0.7, "Bonn": 0.9, "Celle": 1.0, "Essen": 1.2, "Fulda": 1.5}
    found = of({name: sums(ratio=level) for name, level in levels.items()})
    assert [each.value for each in found.ratio.hospitals] == pytest.approx(list(levels.values()))
    assert found.ratio.mean == pytest.approx(math.exp(np.mean(np.log(list(levels.values())))), rel=0.01)
    low, high = found.ratio.prediction
    assert low < 0.65 < 1.6 < high
    assert all(each.low < each.value < each.high for each in (*found.ratio.hospitals, *found.slope.hospitals))
    assert all(each.value == pytest.approx(1.0) for each in found.slope.hospitals)
    assert found.slope.counted == 5


def test_noise_widens_a_hospitals_interval_and_is_in_its_variance() -> None:
    def variance(noise_sd: float) -> float:
        compared = of({"Aachen": sums(ratio=1.0, noise_sd=noise_sd)}).ratio.hospitals[0].compared
        assert compared is not None
        return compared.variance

    assert variance(0.0) == pytest.approx(1 / 200, rel=0.01)
    assert variance(20.0) == pytest.approx(1 / 200 + (20 / 200) ** 2, rel=0.01)


def test_a_hospital_with_too_few_events_for_the_noise_is_not_told_and_does_not_count() -> None:
    found = of(
        {
            "Aachen": sums(ratio=1.0),
            "Bonn": sums(ratio=1.1),
            "Celle": sums(ratio=1.7, expected=30.0, noise_sd=9.0),
            "Essen": sums(ratio=0.4, expected=8.0, noise_sd=0.0),
        }
    )
    assert [math.isnan(each.value) for each in found.ratio.hospitals] == [False, False, True, True]
    assert [math.isnan(each.mean) for each in found.case_mix] == [False, False, True, True]
    assert (found.ratio.counted, found.slope.counted) == (2, 2)
    assert found.ratio.effects is not None
    assert len(found.ratio.effects.estimates) == 2


def test_the_case_mix_is_the_mean_and_spread_of_the_log_hazard_ratio_with_the_noise_on_it() -> None:
    (found,) = of({"Aachen": sums(ratio=1.4, mean=-0.3, noise_sd=5.0)}).case_mix
    assert found.mean == pytest.approx(LAYOUT.centre - 0.3 * LAYOUT.spread)
    assert found.spread == pytest.approx(LAYOUT.spread * math.sqrt(0.2))
    # The quotient of two noised sums, drawn many times.
    rng = np.random.default_rng(1)
    of_expected, of_first = 5.0 / OVERALL_WEIGHTS[2], 5.0 / OVERALL_WEIGHTS[3]
    drawn_means = (200 * -0.3 + of_first * rng.standard_normal(20_000)) / (
        200 + of_expected * rng.standard_normal(20_000)
    )
    assert found.high - found.low == pytest.approx(2 * 1.96 * LAYOUT.spread * drawn_means.std(), rel=0.03)


def test_the_case_mix_is_told_about_the_middle_of_the_log_hazard_ratios_asked_for() -> None:
    """Between -1 and 2 the middle is 0.5, and z is in halves of that span."""
    asked = replace(SPEC, edges=(-1.0, 2.0), smallest_shown=10.0)
    (found,) = validated_endpoint({"Aachen": sums(ratio=1.0, mean=0.0)}, expected_layout(PLAN, asked), asked).case_mix
    assert found.mean == pytest.approx(0.5)


@cache
def own_rows(level: float, slope: float, *, seed: int) -> np.ndarray:
    """One hospital's exact sum: 800 patients, many of whom come late."""
    patients = drawn(World(level=level, slope=slope), 800, np.random.default_rng(seed))
    rows = cut(torch.as_tensor(KINDS[SPEC.kind].rows(PLAN, SPEC, weights_of(PLAN), patients)), usable=patients.usable)
    return np.asarray(rows.numpy().sum(axis=0))


def validating_plan() -> StudyPlan:
    return replace(
        PLAN,
        training=TrainingSpec(rounds=0),
        summaries=(replace(SPEC, smallest_shown=10.0),),
        validates=released_model(weights_of(PLAN)),
    )


def test_patients_of_hospitals_whose_hazards_are_known_multiples_give_these_back() -> None:
    levels = {"Aachen": 0.6, "Bonn": 0.9, "Celle": 1.0, "Dessau": 1.2, "Essen": 1.8}
    parts = {site: own_rows(level, 0.6, seed=number) for number, (site, level) in enumerate(levels.items())}
    released = ReleasedSummary(np.sum(list(parts.values()), axis=0), tuple(levels), parts=parts)
    (found,) = validated(validating_plan(), {SPEC.name: released}).values()
    for each, level in zip(found.ratio.hospitals, levels.values(), strict=True):
        # A slope of 0.6 makes fewer events than the level alone; of 1 as many as expected times the level.
        assert each.value == pytest.approx(level, rel=0.3)
        assert each.high - each.low < 0.5
    ratios = [each.value for each in found.ratio.hospitals]
    assert ratios == sorted(ratios)
    assert found.slope.interval[1] < 0.8
    assert found.slope.interval[0] < 0.6 < found.slope.interval[1]
    assert found.ratio.prediction[0] < 0.6 < 1.6 < found.ratio.prediction[1]


def test_nothing_is_told_of_a_hospital_where_sums_came_under_masks_or_nothing_is_validated() -> None:
    vector = own_rows(1.0, 1.0, seed=1)
    masked = ReleasedSummary(vector, ("Aachen", "Bonn"))
    assert validated(validating_plan(), {SPEC.name: masked}) == {}
    own = ReleasedSummary(vector, ("Aachen",), parts={"Aachen": vector})
    assert validated(replace(PLAN, summaries=(SPEC,)), {SPEC.name: own}) == {}
    assert validated(validating_plan(), {}) == {}


def test_the_noise_of_a_hospitals_own_sums_is_that_of_one_however_many_answer() -> None:
    plan = replace(validating_plan(), privacy=local_privacy())
    plan = replace(plan, summaries=(replace(plan.summaries[0], noise_multiplier=2.0),))
    own = own_rows(1.0, 1.0, seed=1)

    def width(sites: tuple[str, ...]) -> float:
        released = ReleasedSummary(own * len(sites), sites, parts=dict.fromkeys(sites, own))
        (found,) = validated(replace(plan, roster=sites), {SPEC.name: released}).values()
        return found.case_mix[0].high - found.case_mix[0].low

    alone = width(("Aachen",))
    assert alone > 0
    assert width(("Aachen", "Bonn", "Celle", "Essen")) == pytest.approx(alone)
