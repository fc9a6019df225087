"""What does a noised table of time at risk say about the model, where patients came under observation late?

As `figures`, from another table: C of the groups (`at_risk_concordance`), and in each group the risk that was observed.
Events over time at risk is the hazard of a time, from entry on and to the end of follow-up, whoever came when; one less
the exponential of their sum is the risk by the horizon. Within a time the hazard is taken to be one.

- One over a number E with noise of deviation s is too large on average, by about (s / E)^2; E / (E^2 + s^2) is nearly
  right. Not shown is a group of which any time's E is below three deviations.
- Its interval is by inversion, as in `observed_risk`: of the summed hazard, at each risk asked, with the Poisson
  variance of events that this risk would mean, and the noise of both. How the hazard is spread over the times decides
  how large that is, where few are at risk in some. The model's spread may be wrong, so it is the one that was seen,
  with half an event more in each time.
- What is observed by the horizon rests on who is at risk in each time. Where that is below the floor in one, nobody
  knows that time's hazard, and no risk is told.
- No Brier score: with delayed entry the weights for censoring are no estimates of anything.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oncofed.server.evaluation.at_risk_concordance import concordance_at_risk
from oncofed.server.evaluation.concordance import Estimate, told_concordance
from oncofed.server.evaluation.figures import EndpointFigures, GroupFigures, Model, group_centres, is_shown
from oncofed.server.evaluation.held_out_table import EndpointTimes
from oncofed.server.evaluation.observed_risk import MOST_NOISE
from oncofed.survival.grid import TimeGrid

FloatArray = NDArray[np.float64]

_NORMAL_95 = 1.959964
_ASKED = np.linspace(0.0, 1.0, 2001)[:-1]
_LEAST_OVER_NOISE = 3.0


@dataclass(frozen=True, eq=False)
class GroupTimes:
    """One group's times to the horizon: at_risk and events, (times,), with the noise on each."""

    at_risk: FloatArray
    events: FloatArray
    at_risk_sd: float
    events_sd: float

    @property
    def summed_hazard(self) -> float:
        """Over all of them; NaN where nobody is at risk."""
        if not (self.at_risk > 0).all():
            return float("nan")
        return float((self.events * self.at_risk / (self.at_risk**2 + self.at_risk_sd**2)).sum())

    @property
    def is_told_from_noise(self) -> bool:
        return bool((self.at_risk > 0).all() and (self.at_risk >= _LEAST_OVER_NOISE * self.at_risk_sd).all())


def figures_at_risk(
    table: EndpointTimes,
    *,
    log_baseline_hazard: FloatArray,
    grid: TimeGrid,
    horizon: float,
    smallest_shown: float,
    competes: bool = False,
) -> EndpointFigures:
    """Arguments as of `figures.figures_of`."""
    model = Model(log_baseline_hazard, grid, horizon)
    patients = _with_noise(table.patients.sum(), table.patients_sd * len(table.patients) ** 0.5)
    shown = is_shown(patients, smallest_shown, table.patients_sd * len(table.patients) ** 0.5)
    groups = (
        () if competes else tuple(_group(table, number, model, smallest_shown) for number in range(len(table.patients)))
    )
    c_index = told_concordance(concordance_at_risk(table)) if shown else None
    return EndpointFigures(patients, c_index, None, groups, horizon, competes=competes, late_entry=True)


def observed_risk_at_risk(own: GroupTimes, *, predicted: float) -> Estimate | None:
    """The risk of one group by the end of its times. predicted: as of `observed_risk.observed_risk_with_interval`.

    None: noise alone would move the risk by more than MOST_NOISE, or leaves nobody at risk.
    """
    if not own.is_told_from_noise:
        return None
    seen = (np.maximum(own.events, 0.0) + 0.5) / own.at_risk
    hazard = -np.log1p(-_ASKED)[:, None] * seen / seen.sum()
    sampling = (hazard / own.at_risk).sum(axis=1)
    noise = ((own.events_sd**2 + (hazard * own.at_risk_sd) ** 2) / own.at_risk**2).sum(axis=1)
    if np.interp(predicted, _ASKED, (1 - _ASKED) ** 2 * noise) > MOST_NOISE**2:
        return None
    found = own.summed_hazard
    value = float(-np.expm1(-found))
    kept = _ASKED[(found - hazard.sum(axis=1)) ** 2 <= _NORMAL_95**2 * (sampling + noise)]
    if not len(kept):  # an estimate far outside of what a risk can be
        edge = min(max(value, 0.0), 1.0)
        return Estimate(value, edge, edge)
    return Estimate(value, float(kept[0]), float(kept[-1]) if kept[-1] < _ASKED[-1] else 1.0)


def _group(table: EndpointTimes, number: int, model: Model, smallest_shown: float) -> GroupFigures:
    times = table.time_bounds.index(model.horizon)
    own = GroupTimes(table.at_risk[number, :times], table.events[number, :times], table.at_risk_sd, table.events_sd)
    patients = _with_noise(table.patients[number], table.patients_sd)
    shown = is_shown(patients, smallest_shown, table.patients_sd) and own.at_risk.min() >= smallest_shown
    above = table.edges[number - 1] if number else None
    up_to = table.edges[number] if number < len(table.edges) else None
    return GroupFigures(
        above=above,
        up_to=up_to,
        patients=patients,
        predicted=model.risks_between(above, up_to),
        observed=observed_risk_at_risk(
            own,
            predicted=float(model.risk(model.horizon, group_centres(table.edges)[[number]])[0]),
        )
        if shown
        else None,
    )


def _with_noise(value: float, noise_sd: float) -> Estimate:
    half = _NORMAL_95 * noise_sd
    return Estimate(float(value), float(value - half), float(value + half))
