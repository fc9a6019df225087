"""How good is the model in hospitals that took no part in training, and what does that say of the next one?

Where a study leaves whole hospitals out (`split = "hospitals"`), each of them is measured by itself: order and
calibration. Over all of them: a mean, how much they differ, and an interval for one more hospital
(`survival.across_hospitals`). Computed exactly, and not privately released.

A hospital's C-index counts where ten of its patients had the event.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from oncofed.cohort.cohort import Cohort
from oncofed.cohort.encoding import encode
from oncofed.simulations.comparison import horizon_of
from oncofed.simulations.evaluation import compared_until, entry_of, left_out_of
from oncofed.simulations.partition import Consortium
from oncofed.simulations.results import LeftOut, LeftOutHospital
from oncofed.simulations.study import EvaluationSpec
from oncofed.simulations.told import Told
from oncofed.survival.across_hospitals import (
    FEWEST_EXPECTED,
    AcrossHospitals,
    Counts,
    Scale,
    ratios_across,
    with_interval,
)
from oncofed.survival.bootstrap import bootstrap_interval
from oncofed.survival.concordance import concordance_index
from oncofed.survival.network import PrognosisNetwork


def left_out_hospitals(
    network: PrognosisNetwork, *, patients: Consortium, evaluation: EvaluationSpec, seed: int
) -> dict[str, LeftOut]:
    """By endpoint; empty where every hospital that is measured on trained."""
    sites, horizon = left_out_of(patients), horizon_of(patients, evaluation)
    if not sites:
        return {}
    cohorts = {site: patients.test.subset(np.flatnonzero(patients.test_sites == site)) for site in sites}
    told = {site: Told.of(network, torch.as_tensor(encode(cohort))) for site, cohort in cohorts.items()}
    return {
        endpoint.name: across_left_out(
            [
                _measured(
                    site,
                    cohort,
                    told[site],
                    index,
                    horizon,
                    resamples=evaluation.bootstrap_resamples,
                    rng=np.random.default_rng([seed, index, place]),
                )
                for place, (site, cohort) in enumerate(cohorts.items())
            ]
        )
        for index, endpoint in enumerate(patients.test.schema.endpoints)
    }


def across_left_out(hospitals: list[LeftOutHospital]) -> LeftOut:
    """Of one run, or of several runs that each left others out: their models differ, and so do the hospitals."""

    def of(figure: str, scale: Scale) -> AcrossHospitals:
        return AcrossHospitals.of(
            scale,
            [
                with_interval(
                    scale,
                    each.name,
                    *getattr(each, figure),
                    counts=min(each.expected, each.events) >= FEWEST_EXPECTED
                    if figure == "c_index"
                    else each.expected >= FEWEST_EXPECTED,
                )
                for each in hospitals
            ],
        )

    ratios = [Counts(each.name, each.events, each.expected, *each.ratio_limits) for each in hospitals]
    return LeftOut(tuple(hospitals), ratios_across(ratios), of("slope", Scale.PLAIN), of("c_index", Scale.LOGIT))


def _measured(
    site: str, test: Cohort, told: Told, index: int, horizon: float, *, resamples: int, rng: np.random.Generator
) -> LeftOutHospital:
    order, time, entry = told.order(test, index, horizon), compared_until(test, index), entry_of(test, index)
    observed = test.observed[:, index]

    def c_index(rows: NDArray[np.int64]) -> float:
        return concordance_index(
            risk=order[rows], time=time[rows], observed=observed[rows], entry=None if entry is None else entry[rows]
        )

    calibration, expected = told.calibration(test, index, horizon), told.events(test, index)
    spread = bootstrap_interval(c_index, len(test), rng, resamples=resamples)
    return LeftOutHospital(
        name=site,
        patients=len(test),
        events=expected.observed,
        expected=expected.expected,
        ratio_limits=expected.interval(),
        slope=(calibration.slope, calibration.slope_low, calibration.slope_high),
        c_index=(c_index(np.arange(len(test))), spread.low, spread.high),
    )
