"""What do the noised counts of one endpoint say about the model, each figure with an interval?

- C of the groups of risk (`concordance`).
- Calibration at a horizon: in each group the risk that was observed (`observed_risk`), beside the risks that the
  model gives at the group's edges: where it is well calibrated, the observed one lies between them.
- The Brier score, integrated to the horizon, weighted by the inverse probability of censoring (Graf et al., Statistics
  in Medicine 18, 1999), with one prediction a group: the model's risk in the group's middle.

The interval of the Brier score: the counts are drawn again around what they are, with the variance of a Poisson number
and that of the noise, and the figure's spread is laid around it. Suppressed (None) is every figure of fewer patients,
as counted with their noise, than the plan's floor or than twice the noise of that very count, an observed risk that
noise alone would move by more than a tenth, and a C of which nothing is known: of those the noise would speak.

Of an endpoint that competes with others, a group's risk follows from hazards by which it was not made, and the counts
do not tell what came first from the end of follow-up. So risks and the Brier score are suppressed, and C is of the
hazard of this cause alone; whether its level and spread are right is exact in `calibration`.

Of a model with time shapes a group's log hazard ratio is of all of the time up to the horizon, so that its predicted
risk by the horizon is right; how it is spread over earlier times, which the Brier score and the observed risk look at,
is taken from the reference patient's tumour.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oncofed.server.evaluation.concordance import Estimate, concordance_of, told_concordance
from oncofed.server.evaluation.held_out_table import EndpointCounts
from oncofed.server.evaluation.observed_risk import conditional_risks, observed_risk_with_interval
from oncofed.survival.curves import risk_at
from oncofed.survival.grid import TimeGrid

FloatArray = NDArray[np.float64]

_DRAWS = 400
_NORMAL_95 = 1.959964
_DEVIATIONS_SHOWN = 2.0


@dataclass(frozen=True)
class GroupFigures:
    """One group of risk, its log hazard ratios above `above` and up to `up_to` (None: no limit).

    patients   with noise; interval of the noise alone.
    predicted  the model's risks by the horizon at the two edges; at one edge the other is 0 or 1.
    observed   risk by the horizon, which noise may carry below 0 or above 1, and its interval, which it may not; None:
               suppressed.
    """

    above: float | None
    up_to: float | None
    patients: Estimate
    predicted: tuple[float, float]
    observed: Estimate | None


@dataclass(frozen=True)
class EndpointFigures:
    """Everything that is told of one endpoint. None: suppressed.

    patients   held out and counted, with noise; interval of the noise alone.
    competes   whether other events may come first: then there are no groups, and no Brier score.
    late_entry whether patients may come under observation late: then there is no Brier score (`at_risk_figures`).
    """

    patients: Estimate
    c_index: Estimate | None
    integrated_brier: Estimate | None
    groups: tuple[GroupFigures, ...]
    horizon: float
    competes: bool = False
    late_entry: bool = False


def figures_of(
    table: EndpointCounts,
    *,
    log_baseline_hazard: FloatArray,
    grid: TimeGrid,
    horizon: float,
    smallest_shown: float,
    rng: np.random.Generator,
    competes: bool = False,
) -> EndpointFigures:
    """log_baseline_hazard: (intervals,) of the final model. horizon: one of the table's times. rng: of intervals.

    competes  whether other endpoints may come first, whose events are counted as the end of follow-up here.
    """
    model = Model(log_baseline_hazard, grid, horizon)
    centres = group_centres(table.edges)
    shown = is_shown(_total(table.counts, table.noise_sd), smallest_shown, table.noise_sd * table.counts.size**0.5)

    def spread(figure: Callable[[FloatArray], float]) -> Estimate:
        return _spread(figure, table, rng)

    if competes:
        patients = _total(table.counts, table.noise_sd)
        c_index = told_concordance(concordance_of(table)) if shown else None
        return EndpointFigures(patients, c_index, None, (), horizon, competes=True)
    return EndpointFigures(
        patients=_total(table.counts, table.noise_sd),
        c_index=told_concordance(concordance_of(table)) if shown else None,
        integrated_brier=spread(lambda n: integrated_brier(n, table.time_bounds, centres, model)) if shown else None,
        groups=tuple(_group(table, number, model, smallest_shown=smallest_shown) for number in range(len(centres))),
        horizon=horizon,
    )


@dataclass(frozen=True, eq=False)
class Model:
    """Of one endpoint, for the reference patient's tumour."""

    log_baseline_hazard: FloatArray
    grid: TimeGrid
    horizon: float

    def risk(self, time: float, log_hazard_ratio: FloatArray) -> FloatArray:
        return risk_at(time, log_hazard_ratio, log_baseline_hazard=self.log_baseline_hazard, grid=self.grid)

    def risks_between(self, above: float | None, up_to: float | None) -> tuple[float, float]:
        """By the horizon, at the edges of a group; 0 or 1 where it has none."""
        return (
            0.0 if above is None else float(self.risk(self.horizon, np.array([above]))[0]),
            1.0 if up_to is None else float(self.risk(self.horizon, np.array([up_to]))[0]),
        )

    def spread_of_hazard(self, bounds: tuple[float, ...]) -> FloatArray:
        """(bounds - 1,): which part of the baseline's cumulative hazard falls between two bounds; all add up to 1."""
        gathered = np.concatenate(([0.0], np.cumsum(np.exp(self.log_baseline_hazard))))
        parts = np.diff(np.interp(bounds, self.grid.bounds, gathered))
        # Of a model without any hazard: evenly, as nothing is known.
        return np.asarray(parts / parts.sum() if parts.sum() > 0 else np.full(len(parts), 1 / len(parts)))


def group_centres(edges: tuple[float, ...]) -> FloatArray:
    """(groups,): the log hazard ratio that stands for a group; an open one is taken to be as wide as its neighbour."""
    if not edges:
        return np.zeros(1)
    widths = np.diff(edges) if len(edges) > 1 else np.ones(1)
    bounds = np.array([edges[0] - widths[0], *edges, edges[-1] + widths[-1]])
    return np.asarray((bounds[:-1] + bounds[1:]) / 2)


def integrated_brier(n: FloatArray, time_bounds: tuple[float, ...], centres: FloatArray, model: Model) -> float:
    """Mean over time up to the horizon of the Brier score at the table's bounds, joined by straight lines from 0."""
    last = time_bounds.index(model.horizon)
    # Censored and events change places: half of those with the event are at risk of being censored in that time, and an
    # event in the middle of a time has seen half of its censoring.
    staying = 1 - np.nan_to_num(conditional_risks(n.sum(axis=0)[..., ::-1]))
    after = np.cumprod(staying)
    during = np.concatenate(([1.0], after[:-1])) * (1 + staying) / 2
    patients = n.sum()
    # Of counts with noise there may be nobody, or nobody left to stand for those who were censored.
    if patients <= 0 or not (np.minimum(after, during)[:last] > 0).all():
        return float("nan")
    scores = [0.0]
    for number, time in enumerate(time_bounds[1 : last + 1]):
        survival = 1 - model.risk(float(time), centres)
        had = (n[:, : number + 1, 1] / during[: number + 1]).sum(axis=1)
        free = n[:, number + 1 :].sum(axis=(1, 2)) / after[number]
        scores.append(float((survival**2 * had + (1 - survival) ** 2 * free).sum() / patients))
    widths = np.diff(time_bounds[: last + 1])
    return float((widths * (np.array(scores[:-1]) + np.array(scores[1:])) / 2).sum() / model.horizon)


def _group(table: EndpointCounts, number: int, model: Model, *, smallest_shown: float) -> GroupFigures:
    own = EndpointCounts(table.counts[number][None], table.noise_sd, (), table.time_bounds)
    above = table.edges[number - 1] if number else None
    up_to = table.edges[number] if number < len(table.edges) else None
    patients = _total(own.counts, own.noise_sd)
    last = table.time_bounds.index(model.horizon) - 1
    at_risk = _total(own.counts[:, last:], own.noise_sd)  # when the last time before the horizon begins
    shown = all(
        is_shown(each, smallest_shown, own.noise_sd * size**0.5)
        for each, size in ((patients, own.counts.size), (at_risk, own.counts[:, last:].size))
    )
    return GroupFigures(
        above=above,
        up_to=up_to,
        patients=patients,
        predicted=model.risks_between(above, up_to),
        observed=observed_risk_with_interval(
            own.counts[0],
            noise_sd=own.noise_sd,
            predicted=float(model.risk(model.horizon, group_centres(table.edges)[[number]])[0]),
            spread_of_hazard=model.spread_of_hazard(table.time_bounds[: last + 2]),
        )
        if shown
        else None,
    )


def _total(counts: FloatArray, noise_sd: float) -> Estimate:
    value, half = float(counts.sum()), _NORMAL_95 * noise_sd * counts.size**0.5
    return Estimate(value, value - half, value + half)


def is_shown(patients: Estimate, smallest_shown: float, noise_sd: float) -> bool:
    return patients.value >= max(smallest_shown, _DEVIATIONS_SHOWN * noise_sd)


def _spread(figure: Callable[[FloatArray], float], table: EndpointCounts, rng: np.random.Generator) -> Estimate:
    """The figure, and its spread when counts are drawn again around what they are, laid around it."""
    value = figure(table.counts)
    expected = np.maximum(table.counts, 0.0)
    # Poisson around what can be expected; what is negative is noise, and stays.
    drawn = [
        figure(table.counts - expected + rng.poisson(expected) + table.noise_sd * rng.standard_normal(expected.shape))
        for _ in range(_DRAWS)
    ]
    found = np.array([each for each in drawn if np.isfinite(each)])
    if not np.isfinite(value) or len(found) < 0.9 * _DRAWS:
        return Estimate(float("nan"), float("-inf"), float("inf"))
    half = _NORMAL_95 * float(np.median(np.abs(found - np.median(found)))) * 1.4826
    return Estimate(value, value - half, value + half)
