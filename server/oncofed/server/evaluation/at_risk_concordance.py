"""How well do the groups of risk order patients of whom some came late? Harrell's C of a noised table of time at risk.

A pair is comparable when one patient has the event while the other is under observation (and so has come, and has had
no event yet). Of the events of a group in a time, and another group's time at risk there, the product is the number of
such pairs: on average so many patients were at risk when each event came. A pair within one group counts one half, so
that C here is that of the groups and not that of the model's continuous risk.

Numerator and denominator are sums of products of different cells, whose noise is independent, so that both are unbiased
whatever the noise. (An event is also compared with the patient's own time at risk: of n patients that moves C towards
one half by about 1/n of its distance.)

The interval is by inversion as in `concordance`, with T(c) = concordant - c comparable. A patient is in several cells,
so T's variance is a sum over pairs of cells: of times at risk k < l, who was at risk in both; of a time at risk and an
event in l, who was at risk in k and had the event in l. The table does not tell who was in both. At most so many as
were at risk in each time from k to l can have been, and so many they are where patients come early: that is taken, of
events the same share. Then the noise of each cell.

Sources: Harrell et al., JAMA 247 (1982); Fieller, JRSS B 16 (1954).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from oncofed.server.evaluation.concordance import Estimate
from oncofed.server.evaluation.held_out_table import EndpointTimes

FloatArray = NDArray[np.float64]

_NORMAL_95 = 1.959964


def concordance_at_risk(table: EndpointTimes) -> Estimate:
    """C of the table. NaN, with the interval [0, 1], where no pair is comparable."""
    group = np.arange(len(table.patients))
    higher = (group[:, None] > group[None, :]) + 0.5 * (group[:, None] == group[None, :])
    forms = (higher, np.ones_like(higher))  # concordant, comparable
    agreeing, pairs = (float(np.sum(table.events * (form @ table.at_risk))) for form in forms)
    if pairs == 0:
        return Estimate(float("nan"), 0.0, 1.0)
    asked = np.linspace(0.0, 1.0, 2001)
    off = agreeing - asked * pairs
    kept = asked[off**2 <= _NORMAL_95**2 * _variance(table, *forms, asked)]
    value = agreeing / pairs
    if not len(kept):
        return Estimate(value, 0.0, 1.0)
    return Estimate(value, float(kept[0]), float(kept[-1]))


def _variance(table: EndpointTimes, concordant: FloatArray, comparable: FloatArray, asked: FloatArray) -> FloatArray:
    """(asked,): of T(c), a quadratic polynomial in c. As in `concordance`, what is linear in the cells' errors is too
    large by twice what is quadratic in them, when it is computed from the cells.
    """
    of_times, shared, of_events = _covariances(table)

    def linear(first: FloatArray, second: FloatArray) -> float:
        (t_1, e_1), (t_2, e_2) = ((form.T @ table.events, form @ table.at_risk) for form in (first, second))
        of = np.einsum("gk,gkl,gl->", t_1, of_times, t_2) + np.sum(e_1 * of_events * e_2)
        return float(of + np.einsum("gk,gkl,gl->", t_1, shared, e_2) + np.einsum("gk,gkl,gl->", t_2, shared, e_1))

    def quadratic(first: FloatArray, second: FloatArray) -> float:
        alone = np.einsum("hkk,gk->gh", of_times, of_events)
        crossed = np.einsum("hkl,glk->gh", shared, shared)
        return float(np.sum(first * second * alone) + np.sum(first * second.T * crossed))

    pairs = ((concordant, concordant), (concordant, comparable), (comparable, comparable))
    line, square = ([of(*pair) for pair in pairs] for of in (linear, quadratic))
    at_linear, at_quadratic = (part[0] - 2 * asked * part[1] + asked**2 * part[2] for part in (line, square))
    return np.asarray(np.maximum(at_linear - at_quadratic, at_quadratic))


def _covariances(table: EndpointTimes) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(groups, times, times) of times at risk, the same of a time at risk with events, (groups, times) of events."""
    at_risk, events = np.maximum(table.at_risk, 0.0), np.maximum(table.events, 0.0)
    groups, times = at_risk.shape
    of_times, shared = np.zeros((groups, times, times)), np.zeros((groups, times, times))
    for first in range(times):
        for last in range(first, times):
            both = at_risk[:, first : last + 1].min(axis=1)
            of_times[:, first, last] = of_times[:, last, first] = both
            share = np.divide(both, at_risk[:, last], out=np.zeros(groups), where=at_risk[:, last] > 0)
            # Who has the event in a time has seen half of it.
            shared[:, first, last] = events[:, last] * (0.5 if first == last else share)
    of_times += table.at_risk_sd**2 * np.eye(times)
    return of_times, shared, events + table.events_sd**2
