"""How good is the final model on the patients set aside, and what would each hospital alone, or pooling, have given?

A simulation may look at everybody; none of these figures is privately released, and the report says so.

Of an endpoint that competes with others, risks are cumulative incidences. Its C-index asks who has the event first by
the risk of having had it by the horizon, and whoever has had another event never has this one, and is compared as still
without it (Wolbers et al., Epidemiology 20, 2009). Observed risks are those of Aalen and Johansen; the slope, and
observed over expected events, are of its own hazard, exactly.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from oncofed.cohort.cohort import Cohort
from oncofed.cohort.encoding import encode
from oncofed.cohort.schema import StudySchema
from oncofed.simulations.partition import Consortium
from oncofed.simulations.predicted import predicted_risk, predicted_survival
from oncofed.simulations.results import Baselines, EndpointResult, ExpectedByWindow
from oncofed.simulations.ridge_cox import cross_validated_penalty, fit_ridge_cox
from oncofed.simulations.study import EvaluationSpec
from oncofed.survival.aalen_johansen import aalen_johansen
from oncofed.survival.auc_over_time import AucOverTime, auc_over_time
from oncofed.survival.bootstrap import bootstrap_interval
from oncofed.survival.brier import integrated_brier_score
from oncofed.survival.calibration import calibration_at
from oncofed.survival.censoring import censoring_by_hospital
from oncofed.survival.concordance import (
    concordance,
    concordance_index,
    concordance_index_of_rows,
    uno_concordance_index,
)
from oncofed.survival.curves import risk_at
from oncofed.survival.decision_curve import Outcomes, decision_curve
from oncofed.survival.expected_events import ExpectedOfGroup, expected_events
from oncofed.survival.kaplan_meier import censoring_distribution, kaplan_meier
from oncofed.survival.status_by import status_by
from oncofed.words.names import plain_name

FloatArray = NDArray[np.float64]

FEWEST_FOLLOWED_SHARE = 0.1
"""Of patients: the Brier score ends where fewer are still followed, each of whom would stand for many."""

TIMES_OF_AUC = 8
"""At even distances, up to the same time."""


class Prognosis(Protocol):
    """What is measured: any network whose output is a log hazard ratio against the reference patient."""

    def log_baseline_hazard(self, x: torch.Tensor) -> FloatArray:
        """(patients, columns) -> (patients, endpoints, intervals): log cumulative hazard where the ratio is 1."""
        ...

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """(patients, columns) -> (patients, endpoints)."""
        ...


PENALTIES = (3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
"""Of a ridge Cox on public scales; chosen by cross-validation inside the data it is fitted on."""


def entity_codes(cohort: Cohort) -> FloatArray | None:
    """(patients,) the tumour entity's code, -1 where unknown; None when the schema names no such marker."""
    if cohort.schema.tumour_entity is None:
        return None
    return np.nan_to_num(cohort.marker_values(cohort.schema.tumour_entity), nan=-1.0)


def entity_names(schema: StudySchema) -> tuple[str, ...]:
    """By code; empty when the schema names no such marker."""
    return next((marker.categories for marker in schema.markers if marker.name == schema.tumour_entity), ())


def test_c_index(network: Prognosis, x: torch.Tensor, test: Cohort) -> float:
    """Harrell's C of the first endpoint: the training curve's one number. If it competes, by its ratio, too."""
    with torch.no_grad():
        risk = np.asarray(network(x)[:, 0].numpy())
    return concordance_index(
        risk=risk, time=compared_until(test, 0), observed=test.observed[:, 0], entry=entry_of(test, 0)
    )


def endpoint_results(
    network: Prognosis, *, patients: Consortium, evaluation: EvaluationSpec, seed: int
) -> dict[str, EndpointResult]:
    """Every measure for every endpoint, on the patients set aside. Hospitals' training patients weigh the censored."""
    test = patients.test
    x = torch.as_tensor(encode(test))
    with torch.no_grad():
        ratios = np.asarray(network(x).numpy())
        baseline = network.log_baseline_hazard(x)
    results = {}
    for index, endpoint in enumerate(test.schema.endpoints):
        results[endpoint.name] = _endpoint_result(
            endpoint.name,
            index,
            ratios,
            baseline,
            patients=patients,
            evaluation=evaluation,
            rng=np.random.default_rng([seed, index]),
        )
    return results


def entry_of(cohort: Cohort, endpoint: int) -> FloatArray | None:
    """(patients,); None where everybody was under observation from the start."""
    entry = cohort.entry[:, endpoint]
    return entry if bool(entry.any()) else None


def rival_of(cohort: Cohort, endpoint: int) -> NDArray[np.bool_] | None:
    """(patients,), whether follow-up ended with an event that competes; None for an endpoint that does not."""
    others = list(cohort.schema.competing(endpoint))
    return np.asarray(cohort.observed[:, others].any(axis=1)) if others else None


def compared_until(cohort: Cohort, endpoint: int) -> FloatArray:
    """(patients,), until when each is without the event: whoever has had one that competes, longer than anybody."""
    time, rival = cohort.exit[:, endpoint], rival_of(cohort, endpoint)
    return time if rival is None else np.where(rival, time.max(initial=0.0) + 1, time)


def outcomes_of(cohort: Cohort, endpoint: int) -> Outcomes:
    """Follow-up as a decision curve takes it."""
    return Outcomes(
        cohort.exit[:, endpoint],
        cohort.observed[:, endpoint],
        entry_of(cohort, endpoint),
        rival_of(cohort, endpoint),
    )


def _endpoint_result(
    name: str,
    index: int,
    ratios: FloatArray,
    baselines: FloatArray,
    *,
    patients: Consortium,
    evaluation: EvaluationSpec,
    rng: np.random.Generator,
) -> EndpointResult:
    test = patients.test
    grid = test.schema.grid
    time, observed, entry = test.exit[:, index], test.observed[:, index], entry_of(test, index)
    codes, rival, risk, log_baseline = entity_codes(test), rival_of(test, index), ratios[:, index], baselines[:, index]
    horizon, until = min(evaluation.horizon, grid.bounds[-1]), compared_until(test, index)
    risk_by_horizon = predicted_risk(horizon, ratios, baselines, schema=test.schema, endpoint=index)
    order = risk if rival is None else risk_by_horizon

    c_index = concordance_index_of_rows(risk=order, time=until, observed=observed, entry=entry)
    pairs = concordance(risk=order, time=until, observed=observed, entry=entry)
    followed = min(float(time.max()), grid.bounds[-1])
    times = np.linspace(0, followed, 62)[1:-1]
    survival = predicted_survival(ratios, baselines, schema=test.schema, endpoint=index, times=times)
    notes: list[str] = []
    if rival is not None:
        others = " and ".join(plain_name(test.schema.endpoints[each].name) for each in test.schema.competing(index))
        notes.append(
            f"It competes with {others}: risks are shares who will have had it, with that counted. Who has had that "
            "never has this, for the C-index as well. The calibration slope and expected events are of the hazard of "
            "this endpoint among those who have had neither. Uno's C is not computed."
        )
    if not pairs.comparable:
        notes.append(
            f"No C-index is defined on these patients: of {len(risk)} with {int(observed.sum())} events no two can be "
            "compared, which takes one who has the event while the other is still followed."
        )
    weighted = _Weighted(float("nan"), float("nan"), float("nan"), float("nan"), None)
    if entry is not None:
        notes.append(
            "Uno's C, the Brier score and the area over time are not defined with delayed entry: they weigh by when "
            "patients would be censored, which is bound to when they entered. Harrell's C and the calibration take it "
            "into account; a decision curve takes the risk of those treated from time zero on, and their share from "
            "those who came."
        )
    else:
        try:
            weighted = weighted_measures(index, ratios, baselines, patients=patients, horizon=horizon)
        except ValueError as undefined:
            notes.append(f"Not every measure is defined on these patients: {undefined}")
    return EndpointResult(
        name=name,
        log_hazard_ratio=risk,
        risk_at_horizon=risk_by_horizon,
        survival_times=times,
        survival=survival,
        c_index=pairs.index,
        c_index_ci95=bootstrap_interval(c_index, len(risk), rng, resamples=evaluation.bootstrap_resamples),
        c_index_within_type=float("nan")
        if codes is None
        else concordance_index(risk=order, time=until, observed=observed, entry=entry, group=codes),
        uno_c_index=weighted.uno_c_index,
        integrated_brier=weighted.integrated_brier,
        expected=_expected(index, risk, log_baseline, patients=patients, horizon=horizon),
        brier_gain=weighted.brier_gain,
        brier_until=weighted.until,
        auc=weighted.auc,
        decisions=decision_curve(risk_by_horizon, horizon, outcomes=outcomes_of(test, index)),
        calibration=calibration_at(
            horizon,
            predicted_risk=risk_by_horizon,
            time=time,
            observed=observed,
            entry=entry,
            competing=rival,
            cumulative_hazard=None
            if rival is None
            else -np.log1p(-risk_at(horizon, risk, log_baseline_hazard=log_baseline, grid=grid)),
        ),
        notes=tuple(notes),
        events=int(observed.sum()),
        comparable_pairs=pairs.comparable,
    )


def left_out_of(patients: Consortium) -> tuple[str, ...]:
    """Hospitals that are measured on and did not train."""
    return tuple(sorted({str(site) for site in patients.test_sites} - set(patients.hospitals)))


def _expected(
    index: int, risk: FloatArray, log_baseline: FloatArray, *, patients: Consortium, horizon: float
) -> ExpectedByWindow:
    """In three windows: a third of the horizon, the rest of it, and what comes after."""
    test, last = patients.test, patients.test.schema.grid.bounds[-1]
    bounds = (0.0, horizon / 3, horizon, *((last,) if last > horizon else ()))
    names = entity_names(test.schema)
    codes = entity_codes(test)

    def of(groups: dict[str, NDArray[np.bool_]]) -> tuple[ExpectedOfGroup, ...]:
        return expected_events(
            risk,
            log_baseline_hazard=log_baseline,
            grid=test.schema.grid,
            bounds=bounds,
            entry=test.entry[:, index],
            exit_=test.exit[:, index],
            observed=test.observed[:, index],
            groups={name: rows for name, rows in groups.items() if rows.any()},
        )

    everybody = of({"all": np.ones(len(test), dtype=np.bool_)}) or (ExpectedOfGroup("all", 0, ()),)
    return ExpectedByWindow(
        bounds,
        everybody[0],
        () if codes is None else of({name: codes == code for code, name in enumerate(names)}),
        of(
            {site: patients.test_sites == site for site in dict.fromkeys([*patients.hospitals, *left_out_of(patients)])}
        ),
    )


@dataclass(frozen=True)
class _Weighted:
    """Measures that weigh by the inverse probability of being followed. See `EndpointResult`."""

    uno_c_index: float
    integrated_brier: float
    brier_gain: float
    until: float
    auc: AucOverTime | None


def weighted_measures(
    index: int, ratios: FloatArray, baselines: FloatArray, *, patients: Consortium, horizon: float
) -> _Weighted:
    """Up to the horizon, or to where a tenth is still followed. ValueError where the follow-up gives no answer."""
    test, rival = patients.test, rival_of(patients.test, index)
    time, observed = test.exit[:, index], test.observed[:, index]
    training = {site: (cohort.exit[:, index], _ended(cohort, index)) for site, cohort in patients.hospitals.items()}
    train_time, train_ended = (np.concatenate([each[part] for each in training.values()]) for part in (0, 1))
    uno = float("nan")
    if rival is None:
        pooled_censoring = censoring_distribution(time=train_time, observed=train_ended)
        uno = uno_concordance_index(
            risk=ratios[:, index], time=time, observed=observed, censoring=pooled_censoring, tau=horizon
        )
    until = min(horizon, *(float(np.quantile(each, 1 - FEWEST_FOLLOWED_SHARE)) for each in (time, train_time)))
    times = np.linspace(0, until, 62)[1:]
    times[-1] *= 1 - 1e-12  # strictly before the last follow-up, where everybody was followed for as long
    censoring = censoring_by_hospital(training, patients.test_sites, until=until)

    def brier(survival: FloatArray) -> float:
        return integrated_brier_score(
            survival=survival, horizons=times, time=time, observed=observed, censoring=censoring, competing=rival
        )

    survival = predicted_survival(ratios, baselines, schema=test.schema, endpoint=index, times=times)
    score = brier(survival)
    train_observed = np.concatenate([cohort.observed[:, index] for cohort in patients.hospitals.values()])
    if rival is None:
        nothing_known = kaplan_meier(time=train_time, observed=train_observed)
    else:
        train_rival = train_ended & ~train_observed
        nothing_known = aalen_johansen(time=train_time, observed=train_observed, competing=train_rival)
    null = brier(np.tile(nothing_known.at(times), (len(time), 1)))
    asked = np.linspace(0, len(times), TIMES_OF_AUC + 1).round().astype(np.int64)[1:] - 1
    known = status_by(times[asked], time=time, observed=observed, censoring=censoring, competing=rival)
    auc = auc_over_time(1 - survival[:, asked], times[asked], known=known)
    return _Weighted(uno, score, 1 - score / null if null > 0 else float("nan"), until, auc)


def _ended(cohort: Cohort, endpoint: int) -> NDArray[np.bool_]:
    """(patients,), whether follow-up ended with the event, or with one that competes: else it was censored."""
    rival = rival_of(cohort, endpoint)
    return cohort.observed[:, endpoint] if rival is None else cohort.observed[:, endpoint] | rival


def baselines(hospitals: Mapping[str, Cohort], *, train: Cohort, test: Cohort) -> Baselines:
    """Ridge Cox on the same public scales, pooled and for each hospital alone; penalty by cross-validation inside.

    Of a first endpoint that competes: of its own hazard, and compared as the federation is.
    """
    time, observed, entry = compared_until(test, 0), test.observed[:, 0], entry_of(test, 0)
    codes, x_test = entity_codes(test), encode(test)

    def risk_of(cohort: Cohort, name: str) -> FloatArray:
        x = encode(cohort)
        months, events, entered = cohort.exit[:, 0], cohort.observed[:, 0], entry_of(cohort, 0)
        # The folds follow from the name alone, so that a figure does not depend on which others were computed.
        rng = np.random.default_rng(int(hashlib.sha256(name.encode()).hexdigest()[:8], 16))
        penalty = cross_validated_penalty(
            x, time=months, observed=events, entry=entered, penalties=PENALTIES, folds=5, rng=rng
        )
        fitted = fit_ridge_cox(x, time=months, observed=events, entry=entered, penalty=penalty)
        return fitted.log_hazard_ratio(x_test)

    pooled = risk_of(train, "pooled")
    alone = []
    for site, cohort in hospitals.items():
        alone.append(concordance_index(risk=risk_of(cohort, site), time=time, observed=observed, entry=entry))
    within = float("nan")
    if codes is not None:
        within = concordance_index(risk=pooled, time=time, observed=observed, entry=entry, group=codes)
    return Baselines(
        pooled_ridge_cox=concordance_index(risk=pooled, time=time, observed=observed, entry=entry),
        pooled_ridge_cox_within_type=within,
        local_only=tuple(alone),
    )
