"""What is a figure of a model over hospitals, on the scale on which hospitals are spread as a normal distribution?

Observed over expected events go by their logarithm, a C-index by its logit, a calibration slope as it is (Snell and
others found these scales to be the ones that fit; a slope may also be below 0, where it has no logarithm).

A hospital counts by how many events were expected there, not by how many came: where by chance few came, it would weigh
too little otherwise. Those with fewer than FEWEST_EXPECTED expected events are shown and do not count, and with them
those where noise alone would move the ratio by more than MOST_NOISE.

Sources: Snell and others, Stat. Methods Med. Res. 27 (2018); Debray and others, Stat. Methods Med. Res. 28 (2019).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from scipy.special import expit, logit, ndtri

from oncofed.survival.random_effects import RandomEffects, random_effects

FEWEST_EXPECTED = 10.0
"""Events, of a hospital that counts."""
MOST_NOISE = 0.25
"""Standard deviation that noise alone may put on a ratio."""
_FEWEST_CAME = 0.5
"""Events: noise may leave fewer than none, of which there is no logarithm."""


class Scale(StrEnum):
    """On which hospitals are compared."""

    LOG = "log"
    LOGIT = "logit"
    PLAIN = "plain"

    def to(self, value: float) -> float:
        """Not finite, or ValueError, where the value has no place on the scale."""
        match self:
            case Scale.LOG:
                return math.log(value)
            case Scale.LOGIT:
                return float(logit(value))
        return value

    def back(self, value: float) -> float:
        match self:
            case Scale.LOG:
                return math.exp(value)
            case Scale.LOGIT:
                return float(expit(value))
        return value


@dataclass(frozen=True)
class OnScale:
    """estimate, variance  on the scale."""

    estimate: float
    variance: float


@dataclass(frozen=True)
class OfHospital:
    """value, low, high  of the figure with its 95 % interval, NaN where it is not known.

    compared  None: it does not count among the others.
    """

    name: str
    value: float
    low: float
    high: float
    compared: OnScale | None


@dataclass(frozen=True)
class AcrossHospitals:
    """hospitals  in the order in which they came. effects: on the scale; None where fewer than two count."""

    scale: Scale
    hospitals: tuple[OfHospital, ...]
    effects: RandomEffects | None

    @staticmethod
    def of(scale: Scale, hospitals: Sequence[OfHospital]) -> AcrossHospitals:
        counted = [each.compared for each in hospitals if each.compared is not None]
        effects = None
        if len(counted) > 1:
            effects = random_effects([each.estimate for each in counted], [each.variance for each in counted])
        return AcrossHospitals(scale, tuple(hospitals), effects)

    @property
    def counted(self) -> int:
        """How many hospitals count."""
        return sum(each.compared is not None for each in self.hospitals)

    @property
    def mean(self) -> float:
        """NaN where fewer than two count."""
        return float("nan") if self.effects is None else self.scale.back(self.effects.mean)

    @property
    def interval(self) -> tuple[float, float]:
        """Of the mean, 95 %."""
        return self._back(None if self.effects is None else self.effects.interval())

    @property
    def prediction(self) -> tuple[float, float]:
        """For one more hospital, 95 %; NaN where fewer than three count."""
        return self._back(None if self.effects is None else self.effects.prediction())

    def _back(self, limits: tuple[float, float] | None) -> tuple[float, float]:
        if limits is None:
            return float("nan"), float("nan")
        return self.scale.back(limits[0]), self.scale.back(limits[1])

    def foretold(self) -> tuple[bool, ...]:
        """Of each hospital that counts: does the prediction from the others hold what was estimated there?

        The estimate's own variance is added to the prediction. Empty where the others would be too few.
        """
        counted = [each for each in self.hospitals if each.compared is not None]
        found = []
        for left in counted:
            others = AcrossHospitals.of(self.scale, [each for each in counted if each is not left]).effects
            assert left.compared is not None
            if others is None or math.isnan(others.prediction()[0]):
                return ()
            low, high = others.prediction(variance=left.compared.variance)
            found.append(low <= left.compared.estimate <= high)
        return tuple(found)


def with_interval(scale: Scale, name: str, value: float, low: float, high: float, *, counts: bool) -> OfHospital:
    """A figure whose variance follows from its 95 % interval. counts: unless that has no place on the scale."""
    compared = None
    if counts:
        try:
            below, estimate, above = (scale.to(each) for each in (low, value, high))
        except ValueError:
            below = estimate = above = float("nan")
        deviation = (above - below) / (2 * float(ndtri(0.975)))
        if math.isfinite(estimate) and math.isfinite(deviation) and deviation > 0:
            compared = OnScale(estimate, deviation**2)
    return OfHospital(name, value, low, high, compared)


@dataclass(frozen=True)
class Counts:
    """Events of one hospital. low, high: of observed over expected, as they are shown.

    noise_sd, noise_of_expected  standard deviations on observed less expected events, and on expected events; both 0
                                 where counts are exact.
    """

    name: str
    observed: float
    expected: float
    low: float
    high: float
    noise_sd: float = 0.0
    noise_of_expected: float = 0.0

    @property
    def count(self) -> bool:
        """Judged by what was expected alone."""
        return self.expected >= max(FEWEST_EXPECTED, self.noise_sd / MOST_NOISE)

    def compared(self, theta: float) -> OnScale:
        """On the log scale. theta: the ratio of all together.

        By chance its variance is 1 / (theta E); noise r on observed less expected and t on expected events add
        (r^2 + (1 - theta)^2 t^2) / (theta E)^2. Half an event more came, so that the logarithm is right on average
        where they are few.
        """
        events = theta * self.expected
        noise = self.noise_sd**2 + (1 - theta) ** 2 * self.noise_of_expected**2
        came = max(self.observed + 0.5, _FEWEST_CAME)
        return OnScale(math.log(came / self.expected), 1 / events + noise / events**2)


def ratios_across(hospitals: Sequence[Counts]) -> AcrossHospitals:
    """Observed over expected events."""
    some = [each for each in hospitals if each.count]
    observed, expected = sum(each.observed for each in some), sum(each.expected for each in some)
    theta = max(observed, _FEWEST_CAME) / expected if some else 1.0
    return AcrossHospitals.of(
        Scale.LOG,
        [
            OfHospital(
                each.name,
                each.observed / each.expected if each.expected > 0 else float("nan"),
                each.low,
                each.high,
                each.compared(theta) if each.count else None,
            )
            for each in hospitals
        ],
    )
