"""What do models of treatment, death and loss say of a patient, and what does one patient add to their training?

Linear heads: the log odds of the second option, and of each option's patients the log hazards of each cause of an end
of follow-up (constant within intervals). Each round the patients' gradients over all heads together, each of length 1
at most (`gradient_rows`), are summed, noise is added, and the coordinator's Adam takes a step.

Gradients are bounded by stopping, not by cutting (`survival.stopped_residuals`): follow-up ends where the hazard of all
causes together, as the current weights predict it, reaches a cap, and a patient counts by a weight of covariates alone.
With l_e >= 0 the hazards of the causes, of sum c at most, and one event at most, the residuals' squares add up to no
more than 1 + c^2, of slopes and of baselines. Cut gradients exaggerate log odds and log hazard ratios alike, and an
error of both is what a doubly robust estimate cannot mend.

All is computed as `survival.one_by_one` says, so a patient's row is the same bits whoever else is there. That it is no
longer than 1 whatever the weights, numbers that overflow included, whoever adds rows up must see to once more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oncofed.survival.one_by_one import exponentials, totals
from oncofed.treatment.question import HAZARD_CAP, Observed, Question
from oncofed.treatment.rows import Nuisances

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Heads:
    """propensity  (1 + markers + hospitals,), intercept first. baseline: (2 options, causes, intervals), log hazards
    over whole intervals at z = 0. slopes: (2, causes, markers).
    """

    propensity: FloatArray
    baseline: FloatArray
    slopes: FloatArray

    def chance(self, z: FloatArray, hospital: FloatArray | None = None) -> FloatArray:
        """(patients,): of the second option. hospital: as `Observed` has it; None: one that prefers neither."""
        of_markers = 1 + z.shape[1]
        log_odds = self.propensity[0] + totals(z * self.propensity[1:of_markers])
        if hospital is not None:
            log_odds = log_odds + totals(hospital * self.propensity[of_markers:])
        found: FloatArray = 1 / (1 + exponentials(-log_odds))
        return found

    def hazards(self, z: FloatArray) -> FloatArray:
        """(2, causes, patients, intervals)."""
        log_ratios = [[totals(z * slopes) for slopes in of_option] for of_option in self.slopes]
        found: FloatArray = exponentials(np.array(log_ratios))[..., None] * exponentials(self.baseline)[:, :, None, :]
        return found

    def nuisances(self, z: FloatArray, *, outcomes: tuple[int, ...], hospital: FloatArray | None = None) -> Nuisances:
        """For a comparison in which survival ends with these causes; all others are ways of being lost."""
        hazards = self.hazards(z)
        others = [cause for cause in range(hazards.shape[1]) if cause not in outcomes]
        of_outcomes, of_others = (totals(np.moveaxis(hazards[:, causes], 1, -1)) for causes in (list(outcomes), others))
        return Nuisances(self.chance(z, hospital), of_outcomes, of_others)


@dataclass(frozen=True, eq=False)
class Arm:
    """Patients of one option. place: of the option, 0 or 1. length: 1 + |z|^2. who: (causes, patients), whose follow-up
    ended with it.
    """

    place: int
    z: FloatArray
    hospital: FloatArray
    length: FloatArray
    events: FloatArray
    who: FloatArray
    at_risk: FloatArray

    @staticmethod
    def of(patients: Observed, second: bool) -> Arm:
        rows = patients.second == second
        z, events = patients.z[rows], patients.events[:, rows]
        hospital = np.zeros((len(z), 0)) if patients.hospital is None else patients.hospital[rows]
        length = 1 + totals(np.square(z))
        return Arm(int(second), z, hospital, length, events, events.sum(axis=2), patients.at_risk[rows])

    @property
    def of_propensity(self) -> FloatArray:
        """(patients,): the squared length of what the propensity is made of."""
        found: FloatArray = self.length + totals(np.square(self.hospital))
        return found


@dataclass(frozen=True, eq=False)
class Parts:
    """Of each patient's gradient: surprise (patients,), residual (causes, patients), of_baseline (causes, patients,
    intervals). Not finite where exponentials overflow.
    """

    surprise: FloatArray
    residual: FloatArray
    of_baseline: FloatArray


def bounded_parts(heads: Heads, arm: Arm) -> Parts:
    """Weighted to a length of 1 at most."""
    chance = heads.chance(arm.z, arm.hospital)
    hazard = exponentials(heads.baseline[arm.place])  # (causes, intervals)
    ratio = exponentials(np.array([totals(arm.z * slopes) for slopes in heads.slopes[arm.place]]))  # (causes, patients)
    of_causes = ratio[:, :, None] * hazard[:, None, :]
    foretold = totals(np.moveaxis(of_causes, 0, -1))  # (patients, intervals), of all causes together
    spent = foretold * arm.at_risk
    # One interval after the other, as `survival.stopped_residuals` does: a difference of sums would cancel.
    since, counted = np.zeros(len(arm.z)), np.zeros_like(spent)
    for interval in range(spent.shape[1]):
        left = np.maximum(HAZARD_CAP - since, 0.0)
        counted[:, interval] = arm.at_risk[:, interval] * np.minimum(left / np.maximum(spent[:, interval], 1e-12), 1.0)
        since = since + spent[:, interval]
    counts = since <= HAZARD_CAP
    of_hazards = 1 + np.square(np.minimum(totals(foretold), HAZARD_CAP))
    longest = np.sqrt(arm.of_propensity * np.square(np.maximum(chance, 1 - chance)) + arm.length * of_hazards)
    weight = 1 / np.maximum(longest, 1.0)
    expected = of_causes * counted
    return Parts(
        surprise=weight * (chance - arm.place),
        residual=weight * (totals(expected) - arm.who * counts),
        of_baseline=weight[:, None] * (expected - counts[:, None] * arm.events),
    )


def gradient_rows(heads: Heads, patients: Observed) -> FloatArray:
    """(patients, numbers): what each adds, in the order of `as_vector`, downhill. Not finite where numbers overflow."""
    rows = np.zeros((len(patients.z), as_vector(heads).size))
    # Weights are the server's; what overflows tells of itself.
    with np.errstate(all="ignore"):
        for second in (False, True):
            arm = Arm.of(patients, second)
            parts = bounded_parts(heads, arm)
            baseline, slopes = (np.zeros((len(arm.z), *part.shape)) for part in (heads.baseline, heads.slopes))
            baseline[:, arm.place] = parts.of_baseline.swapaxes(0, 1)
            slopes[:, arm.place] = parts.residual.T[:, :, None] * arm.z[:, None, :]
            surprise = parts.surprise[:, None]
            made = (surprise, surprise * arm.z, surprise * arm.hospital, baseline, slopes)
            flat = [part.reshape(len(arm.z), int(np.prod(part.shape[1:]))) for part in made]
            rows[patients.second == second] = np.concatenate(flat, axis=1)
    return rows


def first_heads(question: Question) -> Heads:
    """Where training starts: an even chance, and hazards of the schema; that of being lost is their mean."""
    public = [question.schema.baseline_hazard[cause] for cause in question.causes]
    hazard = np.outer([*public, np.mean(public)], question.grid.widths)
    markers = len(question.confounders)
    return Heads(
        np.zeros(1 + markers + len(question.hospitals)),
        np.log(np.broadcast_to(hazard, (2, *hazard.shape))),
        np.zeros((2, len(hazard), markers)),
    )


def as_vector(heads: Heads) -> FloatArray:
    """All numbers, propensity, then baselines, then slopes, flat."""
    return np.concatenate([heads.propensity, heads.baseline.ravel(), heads.slopes.ravel()])


def from_vector(numbers: FloatArray, like: Heads) -> Heads:
    """The other way. like: of the same sizes."""
    markers, size = like.propensity.size, like.propensity.size + like.baseline.size
    return Heads(
        numbers[:markers], numbers[markers:size].reshape(like.baseline.shape), numbers[size:].reshape(like.slopes.shape)
    )
