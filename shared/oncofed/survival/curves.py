"""What do a log hazard ratio and the baseline say about a patient's survival over time?

With the hazard constant inside each interval, the baseline's cumulative hazard H0(t) runs straight from bound to
bound and a patient's is exp(f) H0(t), so survival at any time, risk at a horizon and the time at which a given share
has had the event are closed formulas, exact between the bounds too.

Everywhere: `log_hazard_ratio` (patients,) is f(x) of one endpoint, positive = worse; `log_baseline_hazard`
(intervals,) is b_k, the log of the cumulative hazard that the reference patient (f = 0) gathers over the whole
interval k, -inf allowed (no hazard there), or (patients, intervals) where hazards of several courses are asked for,
each patient's own; times are in the grid's unit. Beyond the last bound the model says
nothing: such times raise ValueError, and a median that lies there is infinite, "not reached".

Source: Friedman, Annals of Statistics 10 (1982).
"""

from __future__ import annotations

import numpy as np

from oncofed.survival.follow_up import FloatArray
from oncofed.survival.grid import TimeGrid

NOT_REACHED = float("inf")
"""A time that does not come before the grid ends. Infinity, not NaN: it sorts after every time and is never a mean."""


def survival_curves(
    log_hazard_ratio: FloatArray, *, log_baseline_hazard: FloatArray, grid: TimeGrid, times: FloatArray
) -> FloatArray:
    """Probability of being event-free at each time.

    times    (times,), any order, each between 0 and the last bound.
    returns  (patients, times), in [0, 1]; 1 at time 0, non-increasing in time and in the log hazard ratio.
    """
    ratio, cumulative = _checked(log_hazard_ratio, log_baseline_hazard, grid)
    asked = np.asarray(times, dtype=np.float64)
    if asked.ndim != 1 or not ((asked >= 0) & (asked <= grid.bounds[-1])).all():
        raise ValueError(f"times must lie between 0 and {grid.bounds[-1]:g} {grid.unit}, the grid's last bound")
    # added as logarithms, so that a huge ratio at time 0 is 0 and not 0 * inf
    with np.errstate(divide="ignore", over="ignore"):
        log_cumulative = np.log(_at(asked, cumulative, grid))
        curves: FloatArray = np.exp(-np.exp(ratio[:, None] + log_cumulative))
    return curves


def risk_at(
    horizon: float, log_hazard_ratio: FloatArray, *, log_baseline_hazard: FloatArray, grid: TimeGrid
) -> FloatArray:
    """(patients,): probability of the event by `horizon`. Small risks keep their relative precision."""
    ratio, cumulative = _checked(log_hazard_ratio, log_baseline_hazard, grid)
    if not 0 <= horizon <= grid.bounds[-1]:
        raise ValueError(f"the horizon must lie between 0 and {grid.bounds[-1]:g} {grid.unit}, the grid's last bound")
    with np.errstate(divide="ignore", over="ignore"):
        risk: FloatArray = -np.expm1(-np.exp(ratio + np.log(_at(np.array([horizon]), cumulative, grid)[:, 0])))
    return risk


def time_to_survival(
    survival: float, log_hazard_ratio: FloatArray, *, log_baseline_hazard: FloatArray, grid: TimeGrid
) -> FloatArray:
    """The first time at which a patient's survival has fallen to `survival`; NOT_REACHED if it stays above.

    survival  in (0, 1); 0.5 gives the median, 0.75 the time by which one quarter have had the event.
    returns   (patients,), in the grid's unit, in (0, last bound] or NOT_REACHED.
    """
    if not 0 < survival < 1:
        raise ValueError("survival must lie between 0 and 1")
    ratio, cumulative = _checked(log_hazard_ratio, log_baseline_hazard, grid)
    with np.errstate(over="ignore"):
        needed = np.exp(np.log(-np.log(survival)) - ratio)  # H0 at which exp(f) H0 = -log(survival)
    # the first bound with at least that much: its interval is the one crossed, and it gathers something
    interval = np.clip((cumulative < needed[:, None]).sum(axis=1), 1, grid.intervals) - 1
    bounds = np.asarray(grid.bounds)
    reached = needed <= cumulative[:, -1]
    before, after = (np.take_along_axis(cumulative, place[:, None], axis=1)[:, 0] for place in (interval, interval + 1))
    share = np.divide(needed - before, after - before, out=np.zeros_like(needed), where=reached)
    return np.where(reached, bounds[interval] + share * grid.widths[interval], NOT_REACHED)


def median_survival(log_hazard_ratio: FloatArray, *, log_baseline_hazard: FloatArray, grid: TimeGrid) -> FloatArray:
    """(patients,): median time to the event, or NOT_REACHED."""
    return time_to_survival(0.5, log_hazard_ratio, log_baseline_hazard=log_baseline_hazard, grid=grid)


def cumulative_incidence(cumulative_hazards: FloatArray, *, grid: TimeGrid, times: FloatArray) -> FloatArray:
    """Probability of having had each of several events that exclude each other, by each time.

    One minus the exponential of an event's own hazard is its probability in a world without the others: with a hazard
    of 0.02 a month and one of 0.03 for death before it, 0.51 by 36 months where 0.33 is true.

    cumulative_hazards  (..., causes, intervals), what each gathers over the whole interval: exp(b_k + f), finite.
                        Of one patient, or of many.
    times               (times,), each between 0 and the last bound.
    returns             (..., causes, times); the sum over causes is one minus the probability of none of them. Exact
                        for hazards that are constant inside each interval.

    Source: Kalbfleisch and Prentice, The Statistical Analysis of Failure Time Data (2002), chapter 8.
    """
    hazards, asked = np.asarray(cumulative_hazards, dtype=np.float64), np.asarray(times, dtype=np.float64)
    finite = bool(((hazards >= 0) & (hazards < np.inf)).all())
    if hazards.ndim < 2 or hazards.shape[-1] != grid.intervals or not finite:
        raise ValueError("cumulative_hazards must have one value a cause and interval, finite and none negative")
    if asked.ndim != 1 or not ((asked >= 0) & (asked <= grid.bounds[-1])).all():
        raise ValueError(f"times must lie between 0 and {grid.bounds[-1]:g} {grid.unit}, the grid's last bound")
    lived = np.clip((asked[:, None] - np.asarray(grid.bounds[:-1])) / grid.widths, 0.0, 1.0)
    together = hazards.sum(axis=-2, keepdims=True)  # (..., 1, intervals)
    gathered = np.concatenate((np.zeros_like(together[..., :1]), np.cumsum(together, axis=-1)[..., :-1]), axis=-1)
    free_before = np.exp(-gathered)
    ended = free_before * -np.expm1(-lived * together)  # (..., times, intervals), with any of the events
    share = np.divide(hazards, together, out=np.zeros_like(hazards), where=together > 0)
    return np.asarray(share @ np.swapaxes(ended, -1, -2))


def _checked(
    log_hazard_ratio: FloatArray, log_baseline_hazard: FloatArray, grid: TimeGrid
) -> tuple[FloatArray, FloatArray]:
    """Ratios, and H0 at the bounds: (patients or 1, intervals + 1), from 0."""
    ratio = np.asarray(log_hazard_ratio, dtype=np.float64)
    baseline = np.asarray(log_baseline_hazard, dtype=np.float64)
    if ratio.ndim != 1 or not np.isfinite(ratio).all():
        raise ValueError("log_hazard_ratio must be one-dimensional and finite")
    shapes = ((grid.intervals,), (len(ratio), grid.intervals))
    if baseline.shape not in shapes or np.isnan(baseline).any() or (baseline == np.inf).any():
        raise ValueError("log_baseline_hazard must have one value an interval, finite or -inf")
    with np.errstate(over="ignore"):
        gathered = np.cumsum(np.exp(np.atleast_2d(baseline)), axis=1)
    return ratio, np.concatenate((np.zeros((len(gathered), 1)), gathered), axis=1)


def _at(times: FloatArray, cumulative: FloatArray, grid: TimeGrid) -> FloatArray:
    """(patients or 1, times)."""
    found = np.empty((len(cumulative), len(times)))
    for row, each in enumerate(cumulative):
        found[row] = np.interp(times, grid.bounds, each)
    return found
