"""How good is a model, and what would hospitals have had without each other?

The figures are exact and of pooled patients: a simulation may look at everybody. None is privately released.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from oncofed.errors import Fault, InvalidInput
from oncofed.simulations import evaluation
from oncofed.simulations.lab.model import Model
from oncofed.simulations.lab.numbers import number_faults
from oncofed.simulations.lab.patients import Patients, same_schema
from oncofed.simulations.run import pooled
from oncofed.simulations.study import EvaluationSpec, Split, Study


def evaluate(
    model: Model,
    test: Patients,
    *,
    hospitals: Mapping[str, Patients] | None = None,
    at: float | None = None,
    seed: int = 1,
) -> pd.DataFrame:
    """The measures of `oncofed simulate`, one row an endpoint.

    test       patients who were not trained on.
    hospitals  whose follow-up gives the censoring weights of Uno's C and the Brier score; None: that of `test`.
    at         the time, in the schema's unit, at which risks are compared; None: the bound in the middle of the grid.
    seed       of the bootstrap interval.
    returns    `c_index` with its 95 % interval `low`, `high`; `within_type` (NaN without a tumour entity), `uno`,
               `brier` (integrated; lower is better), `slope` and `expected_to_observed` of the calibration at `at`,
               `patients`, `events`, `pairs`, `notes`. NaN where a measure is not defined; `notes` says why.
    raises     InvalidInput.

    >>> import oncofed.lab as of
    >>> hospitals, test = of.split(of.synthetic(patients=300, hospitals=3), test=0.3)
    >>> run = of.train(hospitals, privacy=of.no_privacy(), rounds=20, progress=False)
    >>> bool(of.evaluate(run.model, test)["c_index"]["overall_survival"] > 0.6)
    True
    """
    grid = test.schema.grid
    at = grid.bounds[len(grid.bounds) // 2] if at is None else at
    faults = [
        *number_faults({"at": at}, owner=EvaluationSpec.__name__, names={"at": "horizon"}),
        *number_faults({"seed": seed}, owner=Study.__name__),
    ]
    if not faults and at > grid.bounds[-1]:
        faults.append(Fault("at", f"lies beyond {grid.bounds[-1]:g} {grid.unit}", "The model says nothing of it."))
    if len(test) == 0:
        faults.append(Fault("test", "is nobody", "Set somebody aside."))
    if faults:
        raise InvalidInput(faults)
    followed = {"test": test} if hospitals is None else dict(hospitals)
    same_schema({"test": test, **followed}, model.metadata["schema_hash"])
    found = evaluation.endpoint_results(
        model.network,
        train=pooled({name: patients.cohort for name, patients in followed.items()}),
        test=test.cohort,
        evaluation=EvaluationSpec(Split.RANDOM, horizon=float(at)),
        seed=int(seed),
    )
    rows = {
        name: {
            "c_index": each.c_index,
            "low": each.c_index_ci95.low,
            "high": each.c_index_ci95.high,
            "within_type": each.c_index_within_type,
            "uno": each.uno_c_index,
            "brier": each.integrated_brier,
            "slope": math.nan if each.calibration is None else each.calibration.slope,
            "expected_to_observed": math.nan if each.calibration is None else each.calibration.expected_to_observed,
            "patients": len(test),
            "events": each.events,
            "pairs": each.comparable_pairs,
            "notes": " ".join(each.notes),
        }
        for name, each in found.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("endpoint")


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
    cohorts = {name: patients.cohort for name, patients in sorted(hospitals.items())}
    if not cohorts:
        raise InvalidInput([Fault("hospitals", "are none", "Give at least one.")])
    same_schema({**hospitals, "test": test}, test.schema.hash)
    found = evaluation.baselines(cohorts, train=pooled(cohorts), test=test.cohort)
    return pd.DataFrame(
        {
            "trained_on": ["pooled", *["alone"] * len(cohorts)],
            "hospital": ["", *cohorts],
            "c_index": [found.pooled_ridge_cox, *found.local_only],
        }
    )
