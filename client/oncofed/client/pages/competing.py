"""What will come first to a patient, of endpoints that exclude each other, and how sure is that?

Cumulative incidences, from the hazards of all causes together (`survival.curves.cumulative_incidence`), never one minus
the exponential of one hazard. Hazards are adjusted to this hospital where each cause's are (`hospital`), else as
released: incidences of one patient add up, with those who had none, to one on each endpoint's page.

The band is of the same adjustments: what is known of each cause's baseline hazard and spread, which come of separate
likelihoods, carried over to the log of the cumulative hazard that would give this incidence alone, where it is
symmetric (`recalibration.band` is the same of one cause).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from oncofed.client.pages.hospital import HospitalPrognosis, OwnPrognosis
from oncofed.client.pages.recalibration import LEVEL, Band, Recalibration, fallen_to
from oncofed.survival.curves import cumulative_incidence
from oncofed.survival.grid import TimeGrid

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Competing:
    """causes    endpoints by their number, the one whose page it is first.

    shares    (causes, times), who have had each by then. released: (times,), of the first, by the model as released.
    low, high (times,), the band of the first; None where nothing is adjusted.
    """

    causes: tuple[int, ...]
    times: FloatArray
    shares: FloatArray
    released: FloatArray
    low: FloatArray | None
    high: FloatArray | None

    @property
    def free(self) -> FloatArray:
        """(times,), who have had none of them."""
        return np.asarray(1 - self.shares.sum(axis=0))

    def at(self, moment: float) -> list[float]:
        """The shares at a time."""
        return [float(np.interp(moment, self.times, each)) for each in self.shares]

    @property
    def band(self) -> Band | None:
        """Of those who have not had the first."""
        if self.low is None or self.high is None:
            return None
        without = 1 - self.shares[0], 1 - self.high, 1 - self.low
        return Band(self.times, *without, *(fallen_to(0.5, self.times, each) for each in without))


def competing_of(hospital: HospitalPrognosis, number: int, row: int, times: FloatArray) -> Competing | None:
    """Of one patient of the table as it is now; None for an endpoint that competes with none."""
    others = hospital.schema.competing(number)
    if not others:
        return None
    causes = (number, *others)
    own = [hospital.own(each, row) for each in causes]
    adjustments = [hospital.endpoint(each).recalibration for each in causes]
    adjusted = [each for each in adjustments if each is not None]
    released = np.stack([_log_hazards(each, None) for each in own])
    hazards = np.stack([_log_hazards(each, fit) for each, fit in zip(own, adjustments, strict=True)])
    low, high = (
        (None, None) if len(adjusted) < len(causes) else incidence_band(hazards, own, adjusted, hospital.grid, times)
    )
    return Competing(
        causes,
        times,
        cumulative_incidence(_hazards(hazards), grid=hospital.grid, times=times),
        cumulative_incidence(_hazards(released), grid=hospital.grid, times=times)[0],
        low,
        high,
    )


def _log_hazards(own: OwnPrognosis, adjusted: Recalibration | None) -> FloatArray:
    """(intervals,)"""
    if adjusted is None:
        return np.asarray(own.log_baseline_hazard + own.log_hazard_ratio)
    return np.asarray(own.log_baseline_hazard + adjusted.corrections + adjusted.slope * own.log_hazard_ratio)


_LARGEST = 50.0
"""Of a log hazard: nobody lives through an interval with that many events."""


def _hazards(log_hazards: FloatArray) -> FloatArray:
    return np.asarray(np.exp(np.minimum(log_hazards, _LARGEST)))


def incidence_band(
    log_hazards: FloatArray,
    own: list[OwnPrognosis],
    adjusted: list[Recalibration],
    grid: TimeGrid,
    times: FloatArray,
    *,
    level: float = LEVEL,
) -> tuple[FloatArray, FloatArray]:
    """Limits of the first cause's incidence, (times,) each. log_hazards: (causes, intervals), as adjusted."""
    hazards = _hazards(log_hazards)
    incidence = cumulative_incidence(hazards, grid=grid, times=times)[0]
    variance = np.zeros(len(times))
    for by_hazard, patient, fit in zip(slopes(hazards, grid, times), own, adjusted, strict=True):
        direction = np.column_stack((by_hazard, by_hazard.sum(axis=1) * patient.log_hazard_ratio))
        variance += ((direction @ fit.covariance) * direction).sum(axis=1)
    gathered = -np.log1p(-np.minimum(incidence, 1 - 1e-15))
    scale = (1 - incidence) * gathered
    deviation = np.divide(np.sqrt(variance), scale, out=np.zeros_like(scale), where=scale > 0)
    factor = np.exp(ndtri((1 + level) / 2) * deviation)
    return -np.expm1(-gathered / factor), -np.expm1(-gathered * factor)


def slopes(hazards: FloatArray, grid: TimeGrid, times: FloatArray) -> FloatArray:
    """(causes, times, intervals): of the first cause's incidence by the log hazard of each cause in each interval.

    hazards  (causes, intervals), gathered over whole intervals.

    A hazard acts in its own interval, by how many have any event and whose it is, and later, by how many are left.
    """
    lived = np.clip((times[:, None] - np.asarray(grid.bounds[:-1])) / grid.widths, 0.0, 1.0)
    together = hazards.sum(axis=0)
    gathered = np.concatenate(([0.0], np.cumsum(together)[:-1]))
    before, staying = np.exp(-gathered), np.exp(-lived * together)
    share = np.divide(hazards, together, out=np.zeros_like(hazards), where=together > 0)
    gained = before * share[0] * (1 - staying)  # (times, intervals)
    later = np.cumsum(gained[:, ::-1], axis=1)[:, ::-1] - gained
    found = np.empty((len(hazards), *lived.shape))
    for cause, hazard in enumerate(hazards):
        whose = (share[0] if cause == 0 else 0.0) - share[0] * share[cause]
        found[cause] = before * (whose * (1 - staying) + share[0] * lived * hazard * staying) - hazard * later
    return found
