"""How good is a model, and what would hospitals have had without each other?

The figures are exact and of pooled patients: a simulation may look at everybody. None is privately released.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from oncofed.cohort.cohort import Cohort
from oncofed.errors import Fault, InvalidInput
from oncofed.simulations import evaluation
from oncofed.simulations.lab.arguments import a_text, maybe, number, refuse_wrong, several
from oncofed.simulations.lab.model import MODEL, Model
from oncofed.simulations.lab.patients import SEED, Patients, by_hospital, same_schema, somebody
from oncofed.simulations.partition import Consortium, pooled
from oncofed.simulations.report.wrong_risks import warnings
from oncofed.simulations.results import EndpointResult, ExpectedByWindow, WithLimits
from oncofed.simulations.study import EvaluationSpec, Split
from oncofed.simulations.subgroups import subgroups as in_groups
from oncofed.toml_file import closest


def evaluate(
    model: Model,
    test: Patients,
    *,
    hospitals: Mapping[str, Patients] | None = None,
    at: float | None = None,
    seed: int = 1,
) -> pd.DataFrame:
    """The measures of `oncofed simulate`, one row an endpoint: the C-index, and beside it whether risks are right.

    test       patients who were not trained on.
    hospitals  whose follow-up gives the censoring weights of Uno's C and the Brier score; None: that of `test`.
    at         the time, in the schema's unit, at which risks are compared; None: the bound in the middle of the grid.
    seed       of the bootstrap interval.
    returns    `c_index` with its 95 % interval `low`, `high`; of the calibration at `at`, `slope` (1 is right, below it
               risks are too extreme) with `slope_low`, `slope_high`, and `expected_to_observed`; `events` of all
               follow-up, and how many the model `expected` in it; `within_type`, the C-index inside tumour entities;
               `uno`; `brier` (integrated; lower is better) and `brier_gain` over one curve for everybody; `patients`;
               `pairs` of the C-index; `wrong`, what of the risks is wrong beyond chance, in words; `notes`. NaN where
               a measure is not defined; `notes` says why.
    raises     InvalidInput.

    A C-index says who is at higher risk, and nothing of how high the risks are. `calibration` has more.

    >>> import oncofed.lab as of
    >>> hospitals, test = of.split(of.synthetic(patients=300, hospitals=3), test=0.3)
    >>> run = of.train(hospitals, privacy=of.no_privacy(), rounds=20, progress=False)
    >>> figures = of.evaluate(run.model, test).loc["overall_survival"]
    >>> bool(figures["c_index"] > 0.6), bool(figures["slope_low"] < figures["slope"] < figures["slope_high"])
    (True, True)
    """
    found = _measured(model, test, hospitals=hospitals, at=at, seed=seed)
    rows = {name: _row(each, test) for name, each in found.items()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("endpoint")


def calibration(
    model: Model,
    test: Patients,
    *,
    hospitals: Mapping[str, Patients] | None = None,
    at: float | None = None,
) -> pd.DataFrame:
    """For whom and when are the risks right? Events that came, against those that the model expected.

    test, hospitals, at  as in `evaluate`; windows of time end at a third of `at`, at `at`, and at the grid's end.
    returns              one row an endpoint, group and window: `observed` events, how many were `expected` in the same
                         follow-up, their `ratio` (1 is right; above it the model is too hopeful) with its exact 95 %
                         interval `low`, `high`, and `p`, that the model is right. Groups are all patients, each tumour
                         entity, and each hospital where `split` has said who was treated where. Rows of one patient or
                         few are theirs: keep them as the table is kept.
    raises               InvalidInput.

    >>> import oncofed.lab as of
    >>> hospitals, test = of.split(of.synthetic(patients=300, hospitals=3), test=0.3)
    >>> run = of.train(hospitals, privacy=of.no_privacy(), rounds=20, progress=False)
    >>> found = of.calibration(run.model, test, at=24).query("endpoint == 'overall_survival' and by == 'all'")
    >>> found[["begin", "end"]].values.tolist()
    [[0.0, 8.0], [8.0, 24.0], [24.0, 120.0]]
    """
    found = _measured(model, test, hospitals=hospitals, at=at, seed=1)
    rows = [row for name, each in found.items() if each.expected is not None for row in _windows(name, each.expected)]
    return pd.DataFrame(rows)


def _measured(
    model: Model, test: Patients, *, hospitals: Mapping[str, Patients] | None, at: float | None, seed: int
) -> dict[str, EndpointResult]:
    patients, asked = _asked(model, test, hospitals=hospitals, at=at, seed=seed)
    return evaluation.endpoint_results(model.network, patients=patients, evaluation=asked, seed=int(seed))


def _asked(
    model: Model,
    test: Patients,
    *,
    hospitals: Mapping[str, Patients] | None,
    at: float | None,
    seed: int,
    by: Sequence[str] | None = None,
) -> tuple[Consortium, EvaluationSpec]:
    """Of whom, and what. Raises InvalidInput."""
    refuse_wrong(
        model=(model, MODEL),
        test=(test, somebody),
        hospitals=(hospitals, maybe(by_hospital)),
        at=(at, maybe(number("EvaluationSpec.horizon"))),
        seed=(seed, SEED),
        by=(
            by,
            maybe(several(a_text, words="a list of markers", remedy="Name markers of the schema, or leave it out.")),
        ),
    )
    known = [marker.name for marker in test.schema.markers]
    if unknown := [name for name in (() if by is None else by) if name not in known]:
        raise InvalidInput(
            [Fault("by", f'"{name}" is no marker of the schema', closest(name, known)) for name in unknown]
        )
    grid = test.schema.grid
    at = grid.bounds[len(grid.bounds) // 2] if at is None else at
    if at > grid.bounds[-1]:
        what = f"lies beyond {grid.bounds[-1]:g} {grid.unit}"
        raise InvalidInput([Fault("at", what, "The model says nothing of it.")])
    same_schema(model.metadata["schema_hash"], hospitals=hospitals, test=test)
    followed = {name: each.cohort for name, each in sorted((hospitals or {"": test}).items())}
    return _consortium(followed, test), EvaluationSpec(
        float(at), Split.RANDOM, subgroups=None if by is None else tuple(by)
    )


def _consortium(followed: Mapping[str, Cohort], test: Patients) -> Consortium:
    """Whose follow-up weighs whom: a hospital's that of its own patients, where it is known who they are."""
    if test.sites is None:
        sites, followed = np.full(len(test), ""), {"": pooled(followed)}
    elif list(followed) == [""]:
        sites = test.sites
        followed = {str(name): test.cohort.subset(np.flatnonzero(sites == name)) for name in np.unique(sites)}
    else:
        sites = test.sites
    return Consortium(followed, test.cohort, held_out={}, left_out=0, test_sites=sites)


def _row(found: EndpointResult, test: Patients) -> dict[str, object]:
    at, expected = found.calibration, found.expected
    return {
        "c_index": found.c_index,
        "low": found.c_index_ci95.low,
        "high": found.c_index_ci95.high,
        "slope": math.nan if at is None else at.slope,
        "slope_low": math.nan if at is None else at.slope_low,
        "slope_high": math.nan if at is None else at.slope_high,
        "expected_to_observed": math.nan if at is None else at.expected_to_observed,
        "events": found.events,
        "expected": math.nan if expected is None else expected.everybody.all_along.expected,
        "within_type": found.c_index_within_type,
        "uno": found.uno_c_index,
        "brier": found.integrated_brier,
        "brier_gain": found.brier_gain,
        "patients": len(test),
        "pairs": found.comparable_pairs,
        "wrong": " ".join(warnings(found, test.schema.grid.unit, rest_in="of.calibration")),
        "notes": " ".join(found.notes),
    }


def _windows(endpoint: str, found: ExpectedByWindow) -> Iterator[dict[str, object]]:
    by_kind = {"all": (found.everybody,), "entity": found.entities, "hospital": found.hospitals}
    for kind, groups in by_kind.items():
        for group in groups:
            if not group.name:  # nobody has said who was treated where
                continue
            for (begin, end), each in zip(pairwise(found.bounds), group.windows, strict=True):
                low, high = each.interval()
                yield {
                    "endpoint": endpoint,
                    "by": kind,
                    "group": group.name,
                    "patients": group.patients,
                    "begin": begin,
                    "end": end,
                    "observed": each.observed,
                    "expected": each.expected,
                    "ratio": each.ratio,
                    "low": low,
                    "high": high,
                    "p": each.p_value,
                }


def subgroups(
    model: Model,
    test: Patients,
    *,
    by: Sequence[str] | None = None,
    at: float | None = None,
    seed: int = 1,
) -> pd.DataFrame:
    """Is the model as right for women as for men, for the old, for each tumour and hospital, for whom much is missing?

    test, at  as in `evaluate`.
    by        markers whose values make groups; None: those that are called sex, gender or age. Tumour entities,
              hospitals where `split` has said who was treated where, and what is missing are always looked at.
    seed      of the simultaneous intervals.
    returns   one row an endpoint and group: `by`, `group`, `patients`, `events`; `c_index`, `ratio` (events over those
              that the model expects; 1 is right) and the calibration `slope`, each with `_low` and `_high`. For each of
              the three, the intervals of all groups together hold the truth with 95 %. Groups of fewer than 30 patients
              are left out; of fewer than 20 events there is no interval.
    raises    InvalidInput.

    C-indices of groups are not to be compared: among patients who are alike it is harder to tell who is worse.

    >>> import oncofed.lab as of
    >>> hospitals, test = of.split(of.synthetic(patients=600, hospitals=2), test=0.3)
    >>> run = of.train(hospitals, privacy=of.no_privacy(), rounds=20, progress=False)
    >>> of.subgroups(run.model, test, at=24).query("by == 'sex_male'")["group"].unique().tolist()
    ['no', 'yes']
    """
    patients, asked = _asked(model, test, hospitals=None, at=at, seed=seed, by=by)
    found = in_groups(model.network, patients=patients, evaluation=asked, seed=int(seed))
    rows = [
        {
            "endpoint": endpoint,
            "by": each.by,
            "group": each.name,
            "patients": each.patients,
            "events": each.events,
            **_with_limits("c_index", each.c_index),
            **_with_limits("ratio", each.observed_to_expected),
            **_with_limits("slope", each.slope),
        }
        for endpoint, several in found.items()
        for each in several.groups
    ]
    return pd.DataFrame(rows)


def _with_limits(name: str, told: WithLimits) -> dict[str, float]:
    return {name: told.value, f"{name}_low": told.low, f"{name}_high": told.high}


def auc_over_time(
    model: Model,
    test: Patients,
    *,
    hospitals: Mapping[str, Patients] | None = None,
    at: float | None = None,
) -> pd.DataFrame:
    """Does the model order early and late events alike? Area under the curve at eight times up to `at`.

    test, hospitals, at  as in `evaluate`.
    returns              one row an endpoint and `time`: `auc`, the chance that who has had the event by then was told a
                         higher risk by then than who has not (0.5 is chance), its 95 % interval `low`, `high`, and
                         `cases`, who have had it. No row where it is not defined, as with delayed entry; NaN at a time
                         by which nobody has had the event.
    raises               InvalidInput.

    It says nothing of how high risks are: look at `calibration` beside it.

    >>> import oncofed.lab as of
    >>> hospitals, test = of.split(of.synthetic(patients=300, hospitals=3), test=0.3)
    >>> run = of.train(hospitals, privacy=of.no_privacy(), rounds=20, progress=False)
    >>> of.auc_over_time(run.model, test, at=24).columns.tolist()
    ['endpoint', 'time', 'auc', 'low', 'high', 'cases']
    """
    found = _measured(model, test, hospitals=hospitals, at=at, seed=1)
    columns = ("time", "auc", "low", "high", "cases")
    rows = [
        dict(zip(("endpoint", *columns), (name, *row), strict=True))
        for name, each in found.items()
        if each.auc is not None
        for row in zip(each.auc.times, each.auc.auc, each.auc.low, each.auc.high, each.auc.cases, strict=True)
    ]
    return pd.DataFrame(rows, columns=["endpoint", *columns])


def decision_curve(model: Model, test: Patients, *, at: float | None = None) -> pd.DataFrame:
    """Would treating whoever is told a high risk do more good than treating all, or nobody?

    test, at  as in `evaluate`.
    returns   one row an endpoint and `threshold` of risk by `at`: who is `treated`, as a share; the net `benefit` of
              treating them, with its 95 % interval `low`, `high`; that of treating all (`benefit_of_all`; of treating
              nobody it is 0); and what the model is above treating all (`above_all`), with `above_all_low`,
              `above_all_high`, paired by patient. NaN where not known.
    raises    InvalidInput.

    A threshold of 20 % says that treating one who needs it is worth four who are treated for nothing. Which thresholds
    matter is for those to say who decide.

    >>> import oncofed.lab as of
    >>> hospitals, test = of.split(of.synthetic(patients=300, hospitals=3), test=0.3)
    >>> run = of.train(hospitals, privacy=of.no_privacy(), rounds=20, progress=False)
    >>> found = of.decision_curve(run.model, test, at=24).query("endpoint == 'overall_survival'")
    >>> found["threshold"].head(3).tolist()
    [0.05, 0.1, 0.15]
    """
    found = _measured(model, test, hospitals=None, at=at, seed=1)
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "endpoint": name,
                    "threshold": each.decisions.thresholds,
                    "treated": each.decisions.treated,
                    "benefit": each.decisions.model.value,
                    "low": each.decisions.model.low,
                    "high": each.decisions.model.high,
                    "benefit_of_all": each.decisions.everybody.value,
                    "above_all": each.decisions.above_everybody.value,
                    "above_all_low": each.decisions.above_everybody.low,
                    "above_all_high": each.decisions.above_everybody.high,
                }
            )
            for name, each in found.items()
            if each.decisions is not None
        ],
        ignore_index=True,
    )


def baselines(hospitals: Mapping[str, Patients], test: Patients) -> pd.DataFrame:
    """C-index (first endpoint) of ridge Cox regressions: of all patients pooled, and of each hospital alone.

    returns  one row each, named `pooled` or `alone`; no federation has the first, every hospital has the second.
    raises   InvalidInput for patients of different schemas.

    >>> import oncofed.lab as of
    >>> of.baselines({}, of.synthetic(patients=100, hospitals=2))
    Traceback (most recent call last):
    oncofed.errors.InvalidInput: 1 fault
      - hospitals: are none. Give at least one.
    """
    refuse_wrong(hospitals=(hospitals, by_hospital), test=(test, somebody))
    cohorts = {name: patients.cohort for name, patients in sorted(hospitals.items())}
    same_schema(test.schema.hash, hospitals=hospitals)
    found = evaluation.baselines(cohorts, train=pooled(cohorts), test=test.cohort)
    return pd.DataFrame(
        {
            "trained_on": ["pooled", *["alone"] * len(cohorts)],
            "hospital": ["", *cohorts],
            "c_index": [found.pooled_ridge_cox, *found.local_only],
        }
    )
