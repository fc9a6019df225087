"""What leaves a hospital: what bounds it, what is added, what it costs, how it looks, how it is read, in words?

A release is one object, made of the plan's public numbers alone, and all of this follows from it. The guard makes with
it what leaves, the ledger charges its event, admission checks with it what comes back, the server opens it, and the
plan's words and budget are told by it. So what is charged cannot be another thing than what is computed.

There are three:

| release       | leaves                                                         | means something            |
|---------------|----------------------------------------------------------------|----------------------------|
| `Unprotected` | the sum itself (mode `none`)                                   | by itself, and gives away  |
| `Local`       | the rounded sum and all of the noise, in whole steps           | by itself                  |
| `Masked`      | the rounded sum and a share of the noise, under pairwise masks | with everybody else's only |

Of training mode `epochs` the steps are such sums, and what leaves is the weights that follow from them (`of_steps`).

Laws: `opened` of what `sealed` gave, noise aside, is the sum to half a step a number; it is the same in any order of
the parts. No float is added to a number made from patients: a sum is rounded to integers, and noise is integers
(`integer_noise`, `shared_noise`). A float that leaves is a whole number of steps of 2**-scale_bits, which is exact, and
has one zero. Imports no torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oncofed.errors import PrivacyRefusal
from oncofed.privacy.accounting import GaussianRelease, PrivacyEvent
from oncofed.privacy.bounded_sum import BoundedSum
from oncofed.privacy.integer_noise import largest_entry, refuse_unless_it_fits, rounded
from oncofed.privacy.masking import Attempt, MaskedVector, refuse_roster, unmasked_sum
from oncofed.privacy.noise import NoiseSource
from oncofed.privacy.release import Mask, Part, Release
from oncofed.privacy.shared_noise import LARGEST_PATIENTS, SampledIntegerRelease, SharedIntegerRelease
from oncofed.protocol.plan import PrivacyMode, PrivacySpec, StudyPlan, TrainingMode, TrainingSpec
from oncofed.protocol.summary_spec import SummarySpec
from oncofed.protocol.weights import are_as_released
from oncofed.words.language import ENGLISH, Language
from oncofed.words.numbers import plainly

FloatArray = NDArray[np.float64]
NO_NOISE = GaussianRelease(0.0)
"""What a release without protection would be charged as: epsilon is infinite."""

SUMMARY_L2_NORM_BOUND = 1.0
"""Of one patient's row, in every summary."""

_NOISE_TAIL = 6.0
"""Standard deviations by which a noise vector's length exceeds the square root of its size at most: all but exp(-18) of
the time (Gaussian concentration; Boucheron, Lugosi and Massart, Concentration Inequalities, 2013, theorem 5.6)."""
_LARGEST_EXACT = 2**53
"""Whole numbers up to here are float64s."""


@dataclass(frozen=True)
class Unprotected:
    """Mode `none`: nothing is hidden. l2_norm_bound: infinity where nothing is clipped."""

    numbers: int
    l2_norm_bound: float
    of_steps: bool = False

    event = NO_NOISE
    is_protected = False
    needs_everybody = False

    def noise_words(self, say: Language = ENGLISH) -> str:
        """There is none."""
        return say("without any noise")

    def refuse_unless_sound(self) -> None:
        """Nothing is promised."""

    def refuse_roster(self, roster: Sequence[str], *, plan_roster: Sequence[str], own: str) -> None:
        """A part means something by itself, so any roster will do that holds this hospital."""
        _refuse_without(own, roster)

    def noised(self, total: BoundedSum, noise: NoiseSource) -> FloatArray:
        """As it is."""
        _refuse_another(total, numbers=self.numbers, l2_norm_bound=self.l2_norm_bound)
        return total.vector / (self.l2_norm_bound if math.isfinite(self.l2_norm_bound) else 1.0)

    def sealed(self, total: BoundedSum, *, noise: NoiseSource, mask: Mask | None = None) -> NDArray[Any]:
        """As it is."""
        return self.noised(total, noise)

    def sealed_without_patients(self, *, noise: NoiseSource, mask: Mask | None = None) -> NDArray[Any]:
        """Zeros."""
        return np.zeros(self.numbers)

    def fault_of(self, vector: NDArray[Any]) -> str:
        """Any finite numbers can be."""
        return _fault_of_floats(vector, numbers=self.numbers)

    def implausibility_of(self, vector: NDArray[Any]) -> str:
        """Nothing is known of what honest hospitals send."""
        return ""

    def opened(self, parts: Sequence[Part], *, attempt: Attempt) -> tuple[FloatArray, ...]:
        """Each by itself."""
        return tuple(vector for _, vector in parts)

    def noise_of_sum(self, *, hospitals: int) -> float:
        """None."""
        return 0.0


@dataclass(frozen=True)
class _Integers:
    """What `Local` and `Masked` have in common: a sum that is rounded, and a share of integer noise.

    sum_event         of one sum, in units of the bound.
    l2_norm_bound     of one patient's part, in the sum's own unit.
    largest_patients  public: the promise holds for hospitals of so many.
    """

    sum_event: SharedIntegerRelease
    l2_norm_bound: float
    largest_patients: int

    is_protected = True

    @property
    def numbers(self) -> int:
        return self.sum_event.parameters

    @property
    def largest_entry(self) -> int:
        """In steps: no noised entry is larger, but for a probability of 1e-346."""
        return largest_entry(self.sum_event, largest_patients=self.largest_patients)

    def refuse_unless_sound(self) -> None:
        """Raises PrivacyRefusal unless the integers fit, at a hospital and in the sum of all."""
        refuse_unless_it_fits(self.sum_event, largest_patients=self.largest_patients)

    def noise_of_sum(self, *, hospitals: int) -> float:
        """Rounding adds 1/12 of a squared step a hospital, which is nothing beside a share."""
        return self.sum_event.share_standard_deviation / self.sum_event.scale * math.sqrt(hospitals)

    def noised_integers(self, total: BoundedSum, noise: NoiseSource) -> NDArray[np.int64]:
        """(numbers,): the rounded sum plus a fresh share of the noise."""
        _refuse_another(total, numbers=self.numbers, l2_norm_bound=self.l2_norm_bound)
        unit = rounded(
            total.vector / self.l2_norm_bound, release=self.sum_event, largest_patients=self.largest_patients
        )
        return unit + noise.discrete_gaussian(self.numbers, standard_deviation=self.sum_event.share_standard_deviation)

    def noised(self, total: BoundedSum, noise: NoiseSource) -> FloatArray:
        """The same in units of the bound. A power of two divides exactly, and a whole number has one zero."""
        return self.noised_integers(total, noise) / self.sum_event.scale

    @property
    def _nobody(self) -> BoundedSum:
        return BoundedSum.of_nobody(self.numbers, l2_norm_bound=self.l2_norm_bound)

    def _limit_words(self, say: Language) -> str:
        return say("each patient's part limited to length %(length)s", length=plainly(self.l2_norm_bound, say=say))


@dataclass(frozen=True)
class Local(_Integers):
    """Mode `local`: one hospital, one share. of_steps: the steps of mode `epochs`, where what leaves is weights."""

    of_steps: SampledIntegerRelease | None = None

    needs_everybody = False

    @property
    def event(self) -> PrivacyEvent:
        """Of the one sum, or of all steps."""
        return self.sum_event if self.of_steps is None else self.of_steps

    def noise_words(self, say: Language = ENGLISH) -> str:
        """Of each sum."""
        return say(
            "%(limited)s, with random noise of standard deviation %(times)s times that limit on each number",
            limited=self._limit_words(say),
            times=say.figures(f"{self.sum_event.noise_multiplier:.3g}"),
        )

    def refuse_unless_sound(self) -> None:
        """Raises PrivacyRefusal; a sum's numbers travel as float64s, so they must be exact there."""
        super().refuse_unless_sound()
        if self.largest_entry >= _LARGEST_EXACT:
            raise PrivacyRefusal(
                "the plan's integers are refused: a float64 does not hold them; fewer scale bits, please"
            )

    def refuse_roster(self, roster: Sequence[str], *, plan_roster: Sequence[str], own: str) -> None:
        """A part means something by itself, so any roster will do that holds this hospital."""
        _refuse_without(own, roster)

    def sealed(self, total: BoundedSum, *, noise: NoiseSource, mask: Mask | None = None) -> NDArray[Any]:
        """The noised sum."""
        return self.noised(total, noise)

    def sealed_without_patients(self, *, noise: NoiseSource, mask: Mask | None = None) -> NDArray[Any]:
        """The noise."""
        return self.sealed(self._nobody, noise=noise)

    def fault_of(self, vector: NDArray[Any]) -> str:
        """A sum is in whole steps, no entry beyond the most, and has one zero; weights are `weights.as_released`."""
        fault = _fault_of_floats(vector, numbers=self.numbers)
        if fault:
            return fault
        if self.of_steps is not None:
            return "" if are_as_released(vector) else "sent weights that no local steps lead to"
        with np.errstate(over="ignore"):  # huge numbers: an infinite one is rightly too large
            steps = vector * self.sum_event.scale
        if not (steps == np.rint(steps)).all() or np.signbit(vector[vector == 0]).any():
            return "sent numbers that are no whole steps of the plan's noise"
        if (np.abs(steps) > self.largest_entry).any():
            return "sent a number larger than any hospital's can be"
        return ""

    def implausibility_of(self, vector: NDArray[Any]) -> str:
        """Longer than as many patients as the promise holds for and the noise can make it."""
        if self.of_steps is not None:
            return ""
        spread = self.noise_of_sum(hospitals=1)
        longest = self.largest_patients + spread * (math.sqrt(self.numbers) + _NOISE_TAIL)
        with np.errstate(over="ignore"):
            length = np.linalg.norm(vector)
        if length > longest:
            return f"sent a vector longer than any honest one can be ({longest:.0f} clip norms)"
        return ""

    def opened(self, parts: Sequence[Part], *, attempt: Attempt) -> tuple[FloatArray, ...]:
        """Each by itself."""
        return tuple(vector for _, vector in parts)


@dataclass(frozen=True)
class Masked(_Integers):
    """Mode `distributed`: a share of the noise, under masks that only the sum over the attempt's roster takes off."""

    needs_everybody = True

    @property
    def event(self) -> PrivacyEvent:
        return self.sum_event

    def noise_words(self, say: Language = ENGLISH) -> str:
        """Of a part, and of the sum."""
        return say(
            "%(limited)s, with a share of random noise, under a mask that only the sum over the hospitals takes off; "
            "the noise of the sum is at least %(times)s times that limit on each number",
            limited=self._limit_words(say),
            times=say.figures(f"{self.sum_event.noise_multiplier:.3g}"),
        )

    def refuse_roster(self, roster: Sequence[str], *, plan_roster: Sequence[str], own: str) -> None:
        """A sum of too few hospitals would open one of them."""
        refuse_roster(roster, plan_roster=plan_roster, own=own, dropouts=self.sum_event.dropouts)

    def sealed(self, total: BoundedSum, *, noise: NoiseSource, mask: Mask | None = None) -> NDArray[Any]:
        """The noised integers, masked."""
        if mask is None:
            raise PrivacyRefusal("a share of the noise leaves under a mask only")
        return mask(self.noised_integers(total, noise), self.largest_entry)

    def sealed_without_patients(self, *, noise: NoiseSource, mask: Mask | None = None) -> NDArray[Any]:
        """A share of the noise, masked: the sum over the roster opens all the same."""
        return self.sealed(self._nobody, noise=noise, mask=mask)

    def fault_of(self, vector: NDArray[Any]) -> str:
        """Of uniform words nothing can be said."""
        if vector.shape != (self.numbers,):
            return _other_length(vector, self.numbers)
        return "" if vector.dtype == np.uint64 else "sent unmasked numbers"

    def implausibility_of(self, vector: NDArray[Any]) -> str:
        """Of a masked part nothing is known."""
        return ""

    def opened(self, parts: Sequence[Part], *, attempt: Attempt) -> tuple[FloatArray, ...]:
        """One sum, over the attempt's roster."""
        masked = [MaskedVector(site, attempt, vector) for site, vector in parts]
        return (unmasked_sum(masked, largest_entry=self.largest_entry) / self.sum_event.scale,)


def release_of_round(plan: StudyPlan) -> Release:
    """What one hospital releases in one attempt at a round."""
    return round_release(plan.training, plan.privacy, parameters=plan.model.parameters)


def release_of_summary(plan: StudyPlan, summary: SummarySpec) -> Release:
    """What one hospital releases in one attempt at a summary."""
    return summary_release(summary, plan.privacy)


def round_release(training: TrainingSpec, privacy: PrivacySpec, *, parameters: int) -> Release:
    """The same from the parts of a plan that is still to be made. Raises PrivacyRefusal for a private sum unbounded."""
    bound = math.inf if privacy.l2_norm_bound is None else privacy.l2_norm_bound
    in_steps = training.mode is TrainingMode.EPOCHS
    return _release(privacy, bound, privacy.noise_multiplier, parameters, training if in_steps else None)


def summary_release(summary: SummarySpec, privacy: PrivacySpec) -> Release:
    """The same of a summary."""
    return _release(privacy, SUMMARY_L2_NORM_BOUND, summary.noise_multiplier, summary.cells, None)


def largest_patients(delta: float) -> int:
    """Up to how many patients of a hospital the promise holds: delta suits them, and so does float64."""
    return max(1, math.floor(min(1 / (10 * delta) + 1e-9, LARGEST_PATIENTS)))


def _release(
    privacy: PrivacySpec, l2_norm_bound: float, noise_multiplier: float, numbers: int, steps: TrainingSpec | None
) -> Release:
    if not privacy.mode.private:
        return Unprotected(numbers, l2_norm_bound, of_steps=steps is not None)
    if not 0 < l2_norm_bound < math.inf or not 0 < privacy.delta < 1:
        raise PrivacyRefusal("a private sum needs a finite clip norm and a delta between 0 and 1")
    patients = largest_patients(privacy.delta)
    # In units of the bound, so that every sum of a plan has the same steps.
    event = SharedIntegerRelease(noise_multiplier, numbers, privacy.scale_bits, 1.0, 1, 0, 0)
    if privacy.mode is PrivacyMode.DISTRIBUTED:
        shares = privacy.shares
        if shares is None:
            raise PrivacyRefusal("a plan of mode distributed says how its noise is shared")
        event = SharedIntegerRelease(
            noise_multiplier, numbers, privacy.scale_bits, 1.0, shares.sites, shares.dropouts, shares.colluding
        )
        return Masked(event, l2_norm_bound, patients)
    sampled = None
    if steps is not None:
        rate, count = steps.sampling_rate, steps.local_steps
        sampled = SampledIntegerRelease(noise_multiplier, numbers, privacy.scale_bits, 1.0, rate, count)
    return Local(event, l2_norm_bound, patients, sampled)


def _refuse_without(own: str, roster: Sequence[str]) -> None:
    if own not in roster:
        raise PrivacyRefusal("this attempt is refused: its roster does not hold this hospital")


def _refuse_another(total: BoundedSum, *, numbers: int, l2_norm_bound: float) -> None:
    if total.l2_norm_bound != l2_norm_bound:
        raise PrivacyRefusal("the sum was clipped to another bound than the noise is scaled to")
    if total.vector.shape != (numbers,):
        raise PrivacyRefusal("the sum is of another length than the release")


def _fault_of_floats(vector: NDArray[Any], *, numbers: int) -> str:
    if vector.shape != (numbers,):
        return _other_length(vector, numbers)
    if vector.dtype != np.float64:
        return "sent masked numbers where the plan has none"
    return "" if np.isfinite(vector).all() else "sent numbers that are not finite"


def _other_length(vector: NDArray[Any], numbers: int) -> str:
    return f"sent {vector.size} numbers where {numbers} were asked for"
