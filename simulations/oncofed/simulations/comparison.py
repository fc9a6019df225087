"""What does the network add to each of the study's comparators, on the same patients set aside?

Each comparator is compared on patients of whom all its markers are recorded, since nobody uses a score that is not
there, and the network is measured anew on just those. Nothing of it is privately released.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from oncofed.cohort.encoding import columns, encode
from oncofed.simulations.evaluation import (
    compared_until,
    entity_codes,
    entry_of,
    outcomes_of,
    weighted_measures,
)
from oncofed.simulations.partition import Consortium
from oncofed.simulations.results import Compared, ModelFigures
from oncofed.simulations.study import EvaluationSpec
from oncofed.simulations.told import Told
from oncofed.survival.bootstrap import bootstrap_interval
from oncofed.survival.comparators import Comparator
from oncofed.survival.concordance import concordance_index
from oncofed.survival.decision_curve import benefit_above, decision_curve
from oncofed.survival.encoded_patients import encoded_patients
from oncofed.survival.likelihood_gain import gain_of_each, likelihood_gain
from oncofed.survival.network import ComparatorHead, PrognosisNetwork

FloatArray = NDArray[np.float64]


def compared(
    network: PrognosisNetwork, *, patients: Consortium, evaluation: EvaluationSpec, seed: int
) -> dict[str, tuple[Compared, ...]]:
    """By endpoint, in the plan's order; empty without comparators. One that is recorded of nobody is left out."""
    found: dict[str, list[Compared]] = {}
    for place, (spec, head) in enumerate(zip(network.spec.comparators, network.heads, strict=True)):
        some = _with_scores(patients, spec)
        if len(some.test) == 0:
            continue
        for index, endpoint in enumerate(some.test.schema.endpoints):
            rng = np.random.default_rng([seed, index, place])
            both = _both(network, head, index, some, evaluation, rng)
            found.setdefault(endpoint.name, []).append(replace(both, name=spec.name))
    return {name: tuple(several) for name, several in found.items()}


def _with_scores(patients: Consortium, spec: Comparator) -> Consortium:
    """The same with those test patients of whom all the comparator's markers are recorded."""
    test = patients.test
    inputs, named = columns(test.schema), {marker.name for marker in test.schema.markers}
    markers = {inputs[column].source for column in spec.columns} & named
    rows = np.flatnonzero(~np.isnan([test.marker_values(name) for name in sorted(markers)]).any(axis=0))
    return replace(patients, test=test.subset(rows), test_sites=patients.test_sites[rows])


def _both(
    network: PrognosisNetwork,
    head: ComparatorHead,
    index: int,
    patients: Consortium,
    evaluation: EvaluationSpec,
    rng: np.random.Generator,
) -> Compared:
    test = patients.test
    time, observed, entry = compared_until(test, index), test.observed[:, index], entry_of(test, index)
    x, encoded, horizon = torch.as_tensor(encode(test)), encoded_patients(test), horizon_of(patients, evaluation)
    models = [Told.of(each, x) for each in (network, head)]
    orders = [each.order(test, index, horizon) for each in models]

    def difference(rows: NDArray[np.int64]) -> float:
        mine, theirs = (
            concordance_index(
                risk=order[rows],
                time=time[rows],
                observed=observed[rows],
                entry=None if entry is None else entry[rows],
            )
            for order in orders
        )
        return mine - theirs

    mine, theirs = (each.baselines[:, index] + each.ratios[:, index, None] for each in models)
    gains = gain_of_each(mine, theirs, encoded.events[:, index], encoded.at_risk[:, index])
    figures = [_figures(each, index, patients, horizon) for each in models]
    of_network, of_score = (each.risk(test, index, horizon) for each in models)
    outcomes = outcomes_of(test, index)
    return Compared(
        name="",
        patients=len(test),
        events=int(observed.sum()),
        network=figures[0],
        comparator=figures[1],
        gain=likelihood_gain(gains),
        c_index_gain=bootstrap_interval(difference, len(test), rng, resamples=evaluation.bootstrap_resamples),
        decisions=decision_curve(of_score, horizon, outcomes=outcomes),
        benefit_gain=benefit_above(of_network, of_score, horizon, outcomes=outcomes),
    )


def horizon_of(patients: Consortium, evaluation: EvaluationSpec) -> float:
    """Where risks are compared: no later than the grid's end."""
    return min(evaluation.horizon, patients.test.schema.grid.bounds[-1])


def _figures(model: Told, index: int, patients: Consortium, horizon: float) -> ModelFigures:
    test = patients.test
    codes, order = entity_codes(test), model.order(test, index, horizon)

    def c_index(group: FloatArray | None) -> float:
        return concordance_index(
            risk=order,
            time=compared_until(test, index),
            observed=test.observed[:, index],
            entry=entry_of(test, index),
            group=group,
        )

    return ModelFigures(
        c_index=c_index(None),
        c_index_within_type=float("nan") if codes is None else c_index(codes),
        brier_gain=_brier_gain(model, index, patients, horizon),
        calibration_slope=model.calibration(test, index, horizon).slope,
        observed_to_expected=model.events(test, index).ratio,
    )


def _brier_gain(model: Told, index: int, patients: Consortium, horizon: float) -> float:
    if entry_of(patients.test, index) is not None:
        return float("nan")
    try:
        return weighted_measures(index, model.ratios, model.baselines, patients=patients, horizon=horizon).brier_gain
    except ValueError:  # not defined on this follow-up; the endpoint's own notes say why
        return float("nan")
