"""Where two causes of death exclude each other: is each measured by itself, and is what is wrong seen to be wrong?

The truth is in how patients are drawn: hazards of each cause are known multiples of the model's, with log hazard ratios
that pull in opposite directions, so that who is at risk of one is spared the other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.calibration_cohorts import GRID, NOISE
from tests.doubles import model_spec, study_plan
from tests.pages_hospital import with_causes
from tests.summaries import calibration_of

from oncofed.client.patients.summaries import KINDS, cut
from oncofed.cohort.encoding import encode
from oncofed.privacy.policy import without_privacy
from oncofed.protocol.expected_layout import expected_layout
from oncofed.server.evaluation.calibration import EndpointCalibration, calibration_figures, sums_of
from oncofed.simulations.evaluation import endpoint_results
from oncofed.simulations.partition import Consortium
from oncofed.simulations.results import EndpointResult
from oncofed.simulations.study import EvaluationSpec, Split
from oncofed.survival.brier import brier_score
from oncofed.survival.calibration import calibration_at
from oncofed.survival.kaplan_meier import censoring_distribution
from oncofed.survival.likelihood import PatientTensors

FloatArray = NDArray[np.float64]
HAZARDS = (0.02, 0.03)
SPREADS = (0.7, -0.5)


@dataclass(frozen=True, eq=False)
class Drawn:
    """x: (patients,). cause: 0 censored. The hazard of each is constant: `levels` times the model's."""

    x: FloatArray
    entry: FloatArray
    time: FloatArray
    cause: NDArray[np.int64]

    @property
    def hazards(self) -> FloatArray:
        """(patients, 2), a month, by the model."""
        return np.asarray(np.array(HAZARDS) * np.exp(self.x[:, None] * np.array(SPREADS)))


def drawn(
    patients: int, *, seed: int, levels: tuple[float, float] = (1.0, 1.0), late: float = 0.0, until: float = 100.0
) -> Drawn:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=4 * patients)
    rates = np.array(levels) * np.array(HAZARDS) * np.exp(x[:, None] * np.array(SPREADS))
    comes = rng.exponential(size=rates.shape) / rates
    lost = np.minimum(rng.exponential(100.0 * np.exp(-0.4 * x)), rng.uniform(10, until, len(x)))
    end = np.minimum(comes.min(axis=1), lost)
    enters = rng.exponential(late, len(x)) if late else np.zeros(len(x))
    seen = np.flatnonzero(end > enters)[:patients]
    cause = np.where(comes.min(axis=1) <= lost, 1 + comes.argmin(axis=1), 0)
    return Drawn(x[seen], enters[seen], end[seen], cause[seen])


def incidence(of: Drawn, cause: int, month: float) -> FloatArray:
    """Of constant hazards: h_j / h (1 - exp(-h t))."""
    together = of.hazards.sum(axis=1)
    return np.asarray(of.hazards[:, cause - 1] / together * -np.expm1(-together * month))


def released(levels: tuple[float, float], count: int = 60, patients: int = 1144) -> list[list[EndpointCalibration]]:
    """So many releases of two endpoints, as charged and noised, of patients who enter late."""
    model = replace(model_spec(columns=1, endpoints=2, hidden_units=(), grid=GRID), baseline_hazard=HAZARDS)
    plan = study_plan(model=model, privacy=without_privacy(l2_norm_bound=None))
    spec = calibration_of(plan, windows=(0.0, 12.0, 36.0, 120.0))
    weights = np.concatenate([np.zeros(plan.model.baseline_parameters), SPREADS])
    layout, rng, found = expected_layout(plan, spec), np.random.default_rng(7), []
    for number in range(count):
        of = drawn(patients, seed=number, levels=levels, late=5.0)
        events = np.stack([GRID.events(of.time, of.cause == cause) for cause in (1, 2)], axis=1)
        at_risk = np.repeat(GRID.at_risk(of.entry, of.time)[:, None], 2, axis=1)
        tensors = PatientTensors.of(*(torch.as_tensor(each) for each in (of.x[:, None], events, at_risk)))
        rows = cut(torch.as_tensor(KINDS[spec.kind].rows(plan, spec, weights, tensors)), usable=tensors.usable)
        total = rows.numpy().sum(axis=0) + NOISE * rng.standard_normal(spec.cells)
        of_each = sums_of(layout, total, noise_of_sum=NOISE)
        found.append([calibration_figures(sums, spread=layout.spread, smallest_expected=10.0) for sums in of_each])
    return found


def test_charged_counts_of_events_against_expected_ones_are_exact_by_cause() -> None:
    """One cause comes more often than the model says and the other less; both ratios are covered, and unbiased."""
    levels = (1.3, 0.7)
    found = released(levels)
    for cause, level in enumerate(levels):
        ratios = [each[cause].overall.ratio for each in found]
        values = [each.value for each in ratios if each is not None]
        assert len(values) == len(found)
        assert np.mean(values) == pytest.approx(level, abs=4 * float(np.std(values)) / len(values) ** 0.5)
        assert np.mean([each is not None and each.low <= level <= each.high for each in ratios]) > 0.87
        slopes = [each[cause].slope for each in found if each[cause].slope is not None]
        assert len(slopes) > 5, "some are shown under this noise"
        assert np.mean([each is not None and each.low <= 1 <= each.high for each in slopes]) > 0.87


def test_calibration_by_cause_is_right_of_incidences_and_notices_a_world_without_the_other() -> None:
    of = drawn(20_000, seed=1)
    for cause in (1, 2):
        risk, own = incidence(of, cause, 36.0), 36.0 * of.hazards[:, cause - 1]
        measured = {"time": of.time, "observed": of.cause == cause, "competing": of.cause == 3 - cause}
        right = calibration_at(36.0, predicted_risk=risk, cumulative_hazard=own, **measured)
        assert right.expected_to_observed == pytest.approx(1.0, abs=0.03)
        assert right.slope == pytest.approx(1.0, abs=0.06)
        for group in right.groups:
            assert group.observed == pytest.approx(group.predicted, abs=0.04)
        wrong = calibration_at(36.0, predicted_risk=-np.expm1(-own), cumulative_hazard=own, **measured)
        assert wrong.expected_to_observed > 1.2
        # The observed risk with the other cause censored agrees with the wrong prediction, not with the right one.
        without = calibration_at(36.0, predicted_risk=risk, time=of.time, observed=of.cause == cause)
        assert without.expected_to_observed < 0.85


def test_the_brier_score_by_cause_is_that_of_patients_who_are_never_lost() -> None:
    of = drawn(40_000, seed=2)
    never = drawn(40_000, seed=3, until=1e6)
    horizons = np.array([24.0])
    for cause in (1, 2):

        def score(patients: Drawn, *, rival: bool = True, cause: int = cause) -> float:
            other = patients.cause == 3 - cause
            found = brier_score(
                survival=1 - incidence(patients, cause, 24.0)[:, None],
                horizons=horizons,
                time=patients.time,
                observed=patients.cause == cause,
                competing=other if rival else None,
                censoring=censoring_distribution(time=patients.time, observed=patients.cause > 0),
            )
            return float(found[0])

        kept = never.cause > 0
        had = (never.cause == cause) & (never.time <= 24.0)
        exact = float(((had - incidence(never, cause, 24.0)) ** 2)[kept].mean())
        assert score(of) == pytest.approx(exact, abs=0.008)
        assert abs(score(of, rival=False) - exact) > 0.015, "the check must be able to fail"


def test_who_may_not_have_both_is_refused() -> None:
    both = np.array([True, False])
    with pytest.raises(ValueError, match="nobody may have both"):
        brier_score(
            survival=np.full((2, 1), 0.5),
            horizons=np.array([1.0]),
            time=np.array([1.0, 2.0]),
            observed=both,
            competing=both,
            censoring=censoring_distribution(time=np.array([1.0, 2.0]), observed=both),
        )
    with pytest.raises(ValueError, match="belong together"):
        calibration_at(1.0, predicted_risk=np.array([0.5]), time=np.ones(1), observed=both[:1], competing=both[1:])


EVERYBODY = with_causes(900, seed=3)


def results() -> dict[str, EndpointResult]:
    cohort, rows = EVERYBODY.cohort, np.arange(900)
    sites = np.where(rows % 3 == 0, "Bonn", "Essen")
    patients = Consortium(
        hospitals={name: cohort.subset(rows[:600][sites[:600] == name]) for name in ("Bonn", "Essen")},
        test=cohort.subset(rows[600:]),
        held_out={},
        left_out=0,
        test_sites=sites[600:],
    )
    evaluation = EvaluationSpec(24.0, Split.RANDOM, bootstrap_resamples=2)
    return endpoint_results(EVERYBODY.network, patients=patients, evaluation=evaluation, seed=1)


def test_a_runs_figures_of_a_cause_are_of_its_incidence_and_pairs_are_those_of_wolbers() -> None:
    """Risks by a sum over patients' own intervals; the C-index pair by pair."""
    found = results()
    test = EVERYBODY.cohort.subset(np.arange(600, 900))
    risks = np.stack([each.risk_at_horizon for each in found.values()])
    x = torch.as_tensor(encode(test))
    hazards = np.exp(EVERYBODY.network.log_hazard(x).detach().numpy())[:, :, :3]  # to 24 months
    np.testing.assert_allclose(risks.sum(axis=0), 1 - np.exp(-hazards.sum(axis=(1, 2))), atol=1e-9)
    alone = 1 - np.exp(-hazards.sum(axis=2))
    assert (risks[0] < alone[:, 0]).all()
    for cause, (name, each) in enumerate(found.items()):
        time, own, rival = test.exit[:, 0], test.observed[:, cause], test.observed[:, 1 - cause]
        concordant = comparable = 0.0
        for i in np.flatnonzero(own):
            later = rival | (time > time[i]) | ((time == time[i]) & ~own & ~rival)
            later[i] = False
            comparable += later.sum()
            lower = risks[cause][later]
            concordant += (lower < risks[cause][i] - 1e-8).sum() + 0.5 * (abs(lower - risks[cause][i]) <= 1e-8).sum()
        assert each.c_index == pytest.approx(concordant / comparable), name
        assert each.comparable_pairs == comparable
        assert np.isnan(each.uno_c_index)
        assert any("competes with" in note for note in each.notes)
        assert each.calibration is not None
        assert each.calibration.expected_to_observed == pytest.approx(1.0, abs=0.35)
        assert each.brier_gain > 0
        np.testing.assert_allclose(each.survival[:, 0], 1.0, atol=0.1)
