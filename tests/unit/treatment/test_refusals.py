"""Is the first failed check the answer, in words, and is nothing refused where all is well?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from oncofed.treatment.balance import Imbalance
from oncofed.treatment.estimate import Comparison, Figure
from oncofed.treatment.refusals import Checks, Reason, first_refusal, groups_refused
from oncofed.treatment.target_trial import Benchmark, TargetTrial

TRIAL = TargetTrial(
    treatment="second_line",
    options=("A", "B"),
    outcomes=("death",),
    horizon=24.0,
    adjust_for=("age", "stage"),
    required=("stage",),
    negative_outcome="accident",
    benchmark=Benchmark(0.10, 0.02, 0.18, "A trial, 2001"),
)


def comparison(difference: float, error: float = 0.02, *, predicted: float = 0.0) -> Comparison:
    nothing = Figure(0.0, 0.1)
    return Comparison(
        patients=(500.0, 400.0),
        survival=(nothing, nothing),
        difference=Figure(difference, error),
        mean_time=nothing,
        log_risk_ratio=nothing,
        predicted=predicted,
        effective=700.0,
        overlap_noise=0.02,
    )


GOOD = comparison(0.1)
ALIKE = (Imbalance("age", Figure(0.02, 0.03)), Imbalance("stage", Figure(-0.05, 0.03)))
WELL = Checks(ALIKE, {"stage": 0.95}, negative=comparison(0.01), trial_like=comparison(0.08))


def test_nothing_is_refused_where_all_is_well() -> None:
    assert first_refusal(TRIAL, GOOD, WELL, propensity=0.4) is None
    assert (
        first_refusal(replace(TRIAL, negative_outcome=None, benchmark=None), GOOD, Checks(ALIKE, {"stage": 1})) is None
    )


FAILING = [
    (Reason.POSITIVITY, GOOD, WELL, 0.05, "Patients like this one hardly ever"),
    (Reason.POSITIVITY, GOOD, WELL, 0.93, "Patients like this one hardly ever"),
    (Reason.POSITIVITY, replace(GOOD, patients=(900.0, 80.0)), WELL, None, "hardly anybody"),
    (Reason.POSITIVITY, replace(GOOD, patients=(-3.0, 900.0)), WELL, None, "hardly anybody"),
    (Reason.POSITIVITY, replace(GOOD, effective=150.0), WELL, None, "as much as 150 patients"),
    (Reason.POSITIVITY, replace(GOOD, overlap_noise=0.11), WELL, None, "noise"),
    (Reason.POSITIVITY, replace(GOOD, effective=float("nan")), WELL, None, "Too few"),
    (Reason.BALANCE, GOOD, replace(WELL, balance=(Imbalance("age", Figure(0.11, 0.01)),)), None, "age"),
    (Reason.BALANCE, GOOD, replace(WELL, balance=(Imbalance("age", Figure(-0.05, 0.09)),)), None, "age"),
    (Reason.BALANCE, GOOD, replace(WELL, balance=(Imbalance("age", Figure(float("nan"), 0.0)),)), None, "age"),
    (Reason.CONFOUNDERS, GOOD, replace(WELL, recorded={"stage": 0.79}), None, "stage"),
    (Reason.CONFOUNDERS, GOOD, replace(WELL, recorded={}), None, "stage"),
    (Reason.NEGATIVE_OUTCOME, GOOD, replace(WELL, negative=comparison(0.05)), None, "accident"),
    (Reason.NEGATIVE_OUTCOME, GOOD, replace(WELL, negative=None), None, "accident"),
    (Reason.BENCHMARK, GOOD, replace(WELL, trial_like=comparison(0.19)), None, "A trial, 2001"),
    (Reason.BENCHMARK, GOOD, replace(WELL, trial_like=comparison(0.0)), None, "A trial, 2001"),
    (Reason.BENCHMARK, GOOD, replace(WELL, trial_like=None), None, "A trial, 2001"),
]


@pytest.mark.parametrize(("reason", "group", "checks", "propensity", "words"), FAILING)
def test_what_fails_is_said(
    reason: Reason, group: Comparison, checks: Checks, propensity: float | None, words: str
) -> None:
    found = first_refusal(TRIAL, group, checks, propensity=propensity)
    assert found is not None
    assert found.reason is reason
    assert words in found.words
    assert found.words.endswith(".")


def test_names_are_said_as_words() -> None:
    trial = replace(TRIAL, required=("ecog_status",), negative_outcome="other_death")
    apart = replace(WELL, balance=(Imbalance("uicc_stage III", Figure(0.5, 0.1)),))
    for checks, words in (
        (apart, "uicc stage III"),
        (replace(WELL, recorded={}), "ecog status"),
        (replace(WELL, recorded={"ecog_status": 1.0}, negative=None), "other death"),
    ):
        found = first_refusal(trial, GOOD, checks)
        assert found is not None
        assert words in found.words


def test_the_first_failed_check_is_the_answer() -> None:
    """All fail; one after the other is put right."""
    group, checks = replace(GOOD, effective=10.0), Checks((Imbalance("age", Figure(0.5, 0.1)),), {}, None, None)
    seen = []
    for repair in ("effective", "balance", "recorded", "negative", "trial_like"):
        refusal = first_refusal(TRIAL, group, checks)
        assert refusal is not None
        seen.append(refusal.reason)
        if repair == "effective":
            group = GOOD
        else:
            checks = replace(checks, **{repair: getattr(WELL, repair)})
    assert seen == list(Reason)
    assert first_refusal(TRIAL, group, checks) is None


def test_a_trial_that_is_known_exactly_is_missed_by_chance_alone() -> None:
    """Within its limits, and yet further off than both uncertainties allow."""
    narrow = replace(TRIAL, benchmark=Benchmark(0.10, 0.02, 0.18, "A trial, 2001"))
    far = replace(WELL, trial_like=comparison(0.178, 0.0))
    assert first_refusal(narrow, GOOD, far) is None  # 0.078 of 0.080
    skewed = replace(TRIAL, benchmark=Benchmark(0.03, 0.02, 0.18, "A trial, 2001"))
    found = first_refusal(skewed, GOOD, far)
    assert found is not None
    assert found.reason is Reason.BENCHMARK


def test_outside_of_the_trials_limits_the_comparison_is_missed_however_unsure_it_is() -> None:
    """Of 0.02 to 0.18. Chance alone would explain 0.088: 1.96 times the root of 0.0408 squared and 0.02 squared."""
    for difference, is_missed in ((0.179, False), (0.185, True), (0.015, True)):
        found = first_refusal(TRIAL, GOOD, replace(WELL, trial_like=comparison(difference)))
        assert (found is not None) is is_missed


def test_two_uncertainties_are_added_up_as_those_of_what_is_drawn_apart() -> None:
    """A trial of 0.03 (0.02 to 0.18): 1.96 times the root of 0.0408 squared and 0.02 squared is 0.089, not 0.119."""
    skewed = replace(TRIAL, benchmark=Benchmark(0.03, 0.02, 0.18, "A trial, 2001"))
    for difference, is_missed in ((0.115, False), (0.13, True)):
        found = first_refusal(skewed, GOOD, replace(WELL, trial_like=comparison(difference)))
        assert (found is not None) is is_missed


def test_groups_are_shown_apart_only_where_their_effects_follow_the_foretold() -> None:
    foretold = (0.02, 0.06, 0.1, 0.14)
    follow = [comparison(each + 0.01, predicted=each) for each in foretold]
    against = [comparison(0.14 - each, predicted=each) for each in foretold]
    by_chance = [comparison(each, 0.2, predicted=each) for each in foretold]
    alike = [comparison(each, predicted=0.1) for each in foretold]
    assert groups_refused(follow) == ""
    for refused in (against, by_chance, alike, follow[:1], [*follow[:3], replace(GOOD, predicted=float("nan"))]):
        assert "only all together" in groups_refused(refused)


def test_groups_are_weighted_by_how_sure_each_is() -> None:
    """Against numpy's weighted straight line: its slope is above 0 at 90 %, so beyond 1.2816 standard errors."""
    rng = np.random.default_rng(8)
    seen = set()
    for _ in range(200):
        foretold, errors = rng.uniform(-0.1, 0.2, 4), rng.choice([0.01, 0.05, 0.2], 4)
        effects = 0.5 * foretold + errors * rng.standard_normal(4)
        (slope, _), covariance = np.polyfit(foretold, effects, 1, w=1 / errors, cov="unscaled")
        follow = slope / np.sqrt(covariance[0, 0]) > 1.2815516
        groups = [
            comparison(*each, predicted=of_model)
            for *each, of_model in zip(effects.tolist(), errors.tolist(), foretold.tolist(), strict=True)
        ]
        assert (groups_refused(groups) == "") == follow
        seen.add(bool(follow))
    assert seen == {True, False}


def test_no_words_rank_or_recommend() -> None:
    for _, group, checks, propensity, _ in FAILING:
        found = first_refusal(TRIAL, group, checks, propensity=propensity)
        assert found is not None
        assert not {"best", "better", "recommend", "should", "superior"} & set(found.words.lower().split())
