"""Are the final model's risks right? Observed over expected events and the slope, of noised sums, with intervals.

The sums are of stopped follow-up (`protocol.expected_layout`): with O events that came, E that the model expected, and
hazards that are theta times the model's, O - theta E is 0 on average, with variance theta E. Delayed entry and
censoring, also where it depends on the model's risk, take nothing from that.

- *Observed over expected*, overall, by window of time and by group: all theta are kept at which O - theta E lies within
  1.96 standard deviations, of who happened to be there and of the noise (Fieller, JRSS B 16, 1954). Where the
  denominator is mostly noise, nothing is excluded, and nothing is shown.
- *Slope*: the factor by which log hazard ratios should be multiplied, of a Poisson model with the expected events as
  its offset: hazards are the model's times exp(a + b z), z the log hazard ratio between public limits, slope = 1 + b /
  spread. Its solution takes sums of exp(b z), which are not released. It follows from those that are, if z is spread
  over the expected events as a normal distribution of their mean m and variance v: then exp(a + b z) times these is one
  of mean m + b v and variance v, and b solves sum (z - m - b v) over events = 0, whatever a is. At b = 0 this is
  Newton's step, with the events that came in place of those expected; it stays right where the level is wrong. The
  interval is by inversion again, with the noise of all five sums.

Shown is a figure of which the noise alone moves a ratio or a slope by less than MOST_NOISE (a standard deviation), and
of at least as many expected events as the plan says. The first is judged by the expected events, not by how the figure
came out.

Sources: Andersen, Borgan, Gill, Keiding, Statistical Models Based on Counting Processes (1993), II.3; Crowson, Atkinson
and Therneau, Stat. Methods Med. Res. 25 (2016), the offset model; Cox, Biometrika 45 (1958), the slope.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from oncofed.privacy.releases import release_of_summary
from oncofed.protocol.expected_layout import BLOCK_WEIGHTS, OVERALL, OVERALL_WEIGHTS, ExpectedLayout, expected_layout
from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.summary_spec import SummaryKind, SummarySpec
from oncofed.server.evaluation.concordance import Estimate
from oncofed.server.rounds.state import ReleasedSummary

FloatArray = NDArray[np.float64]

MOST_NOISE = 0.25
"""Standard deviation that noise alone may put on a ratio, or a slope, that is shown."""
RIGHT_SLOPE = (0.85, 1.15)
RIGHT_RATIO = (0.75, 4 / 3)
"""Outside of which a figure matters at the bedside."""
CHANCE = 0.05
MORE_ON_EXPECTED = BLOCK_WEIGHTS[0] / BLOCK_WEIGHTS[1]
"""Noise on expected events by that on observed less expected; the same overall."""
assert OVERALL_WEIGHTS[0] / OVERALL_WEIGHTS[2] == MORE_ON_EXPECTED


@dataclass(frozen=True)
class Sums:
    """Of one endpoint, in events, with noise.

    overall   (OVERALL,): O - E, the sum of z over these, E, and the sums of z and of z^2 over expected events.
    windows   (windows, 2): O - E and E of everybody; nothing where there is one window.
    groups    (groups, windows, 2): the same of groups; none where there is one.
    noise_sd  on a number of weight 1, such as O - E; divided by its weight on others.
    """

    overall: FloatArray
    windows: FloatArray
    groups: FloatArray
    noise_sd: float

    @property
    def noise_of_overall(self) -> FloatArray:
        """(OVERALL,)."""
        return self.noise_sd / np.array(OVERALL_WEIGHTS)


@dataclass(frozen=True)
class Ratio:
    """expected  events, with noise. ratio: observed over expected; None: suppressed. wrong: see `ratio_of`."""

    expected: float
    ratio: Estimate | None
    wrong: bool = False


@dataclass(frozen=True)
class EndpointCalibration:
    """Of one endpoint.

    overall  all windows and groups.
    slope    None: suppressed. 1 is right, below 1 risks are too extreme, above 1 too timid. slope_wrong: outside
             RIGHT_SLOPE with an interval that leaves 1 out.
    windows  of everybody, in order; empty where there is one, which is the overall.
    groups   in the plan's order, each with its windows and then all along; empty where the plan has no groups.
    """

    overall: Ratio
    slope: Estimate | None
    slope_wrong: bool
    windows: tuple[Ratio, ...]
    groups: tuple[tuple[Ratio, ...], ...]


@dataclass(frozen=True)
class MeasuredCalibration:
    """spec: of the plan. hospitals: whose patients are in it. noise_sd: on each count of observed less expected events.

    kept_until  expected events at which a patient's follow-up was stopped.
    """

    spec: SummarySpec
    hospitals: tuple[str, ...]
    noise_sd: float
    kept_until: float
    endpoints: Mapping[str, EndpointCalibration]


def calibration_in(plan: StudyPlan) -> SummarySpec | None:
    """The summary of the plan that measures whether its model's risks are right."""
    return next((each for each in plan.summaries if each.kind is SummaryKind.CALIBRATION), None)


def measured_calibration(plan: StudyPlan, summaries: Mapping[str, ReleasedSummary]) -> MeasuredCalibration | None:
    """The figures; None when the plan asks for none, or they were not released."""
    spec = calibration_in(plan)
    released = None if spec is None else summaries.get(spec.name)
    if spec is None or released is None:
        return None
    layout = expected_layout(plan, spec)
    of_sum = release_of_summary(plan, spec).noise_of_sum(hospitals=len(released.answered))
    found = sums_of(layout, released.vector, noise_of_sum=of_sum)
    return MeasuredCalibration(
        spec=spec,
        hospitals=released.answered,
        noise_sd=found[0].noise_sd,
        kept_until=layout.cap,
        endpoints={
            endpoint: calibration_figures(sums, spread=layout.spread, smallest_expected=spec.smallest_shown)
            for endpoint, sums in zip(plan.model.endpoints, found, strict=True)
        },
    )


def sums_of(layout: ExpectedLayout, vector: FloatArray, *, noise_of_sum: float) -> tuple[Sums, ...]:
    """Of each endpoint. vector: (cells,), in units of the bound, as noise_of_sum is."""
    found = []
    for numbers in vector.reshape(layout.endpoints, layout.numbers) / layout.weight:
        overall = numbers[:OVERALL] / np.array(OVERALL_WEIGHTS)
        block = numbers[OVERALL:].reshape(layout.block) / np.array(BLOCK_WEIGHTS)
        windows, groups = np.split(block, [layout.rows_of_everybody])
        found.append(Sums(overall, windows.reshape(-1, 2), groups, noise_of_sum / layout.weight))
    return tuple(found)


def calibration_figures(sums: Sums, *, spread: float, smallest_expected: float) -> EndpointCalibration:
    """spread  in log hazard ratio, of one unit of z. smallest_expected: floor of the expected events."""
    # Of each group its windows and all along: Bonferroni over all that is looked at beside the overall.
    tests = max(1, len(sums.windows) + len(sums.groups) * (sums.groups.shape[1] + 1))

    def ratio(pair: FloatArray, *, summed: int = 1, of: int = tests) -> Ratio:
        """summed: how many noised numbers were added up. of: figures that are looked at together."""
        return ratio_of(
            float(pair[0]),
            float(pair[1]),
            noise_sd=sums.noise_sd * math.sqrt(summed),
            smallest_expected=smallest_expected,
            looked_at=of,
        )

    slope = slope_of(sums, spread=spread, smallest_expected=smallest_expected)
    return EndpointCalibration(
        overall=ratio(sums.overall[[0, 2]], of=1),
        slope=slope,
        slope_wrong=slope is not None and _is_wrong(slope, slope, RIGHT_SLOPE),
        windows=tuple(ratio(each) for each in sums.windows),
        groups=tuple(
            (*(ratio(each) for each in group), ratio(group.sum(axis=0), summed=len(group))) for group in sums.groups
        ),
    )


def ratio_of(
    observed_less: float, expected: float, *, noise_sd: float, smallest_expected: float, looked_at: int = 1
) -> Ratio:
    """Observed over expected events.

    noise_sd   on observed less expected events; that on expected ones follows from their weights.
    looked_at  figures among which this one is: it is wrong where it is outside RIGHT_RATIO by more than chance would do
               in one study of twenty for all of them together (Bonferroni).
    """
    if not (expected >= max(smallest_expected, noise_sd / MOST_NOISE) and expected > 0):
        return Ratio(expected, None)
    found, strict = (
        _ratio_within(observed_less, expected, noise_sd=noise_sd, chance=chance)
        for chance in (CHANCE, CHANCE / looked_at)
    )
    return Ratio(expected, found, wrong=found is not None and _is_wrong(found, strict, RIGHT_RATIO))


def _ratio_within(observed_less: float, expected: float, *, noise_sd: float, chance: float) -> Estimate | None:
    """(R + (1 - theta) E)^2 <= q^2 (theta E + s^2 + (1 - theta)^2 t^2), a parabola in theta; None where unbounded."""
    q, of_expected = _deviations(chance), noise_sd * MORE_ON_EXPECTED
    observed = observed_less + expected
    second = expected**2 - q**2 * of_expected**2
    first = -2 * observed * expected - q**2 * expected + 2 * q**2 * of_expected**2
    constant = observed**2 - q**2 * (noise_sd**2 + of_expected**2)
    limits = _between(second, first, constant)
    return None if limits is None else Estimate(observed / expected, max(0.0, limits[0]), max(0.0, limits[1]))


def slope_of(sums: Sums, *, spread: float, smallest_expected: float) -> Estimate | None:
    """None: suppressed."""
    less, less_z, expected, first, second = (float(number) for number in sums.overall)
    if not (expected >= max(smallest_expected, sums.noise_sd / MOST_NOISE) and expected > 0):
        return None
    observed, mean = less + expected, first / expected
    variance = second / expected - mean**2
    information = observed * variance
    if not (observed > 0 and variance > 0 and _noise_at(0.0, sums) <= MOST_NOISE * information * spread):
        return None
    off = less_z - mean * less  # sum of z - m over events, less what is expected of it
    q = _deviations(CHANCE)
    # The noise's variance is a parabola in b: its gradient is linear.
    ahead, here, behind = (_noise_at(b, sums) ** 2 for b in (1.0, 0.0, -1.0))
    limits = _between(
        information**2 - q**2 * ((ahead + behind) / 2 - here),
        -2 * off * information - q**2 * (ahead - behind) / 2,
        off**2 - q**2 * (here + information),
    )
    if limits is None:
        return None
    value, low, high = (1 + each / spread for each in (off / information, *limits))
    return Estimate(value, low, high)


def _noise_at(b: float, sums: Sums) -> float:
    """Standard deviation that the noise of the five sums puts on `off - b * information` (the delta method)."""
    less, _, expected, first, second = (float(number) for number in sums.overall)
    mean = first / expected
    variance, observed = second / expected - mean**2, less + expected
    # Of mean and variance by the sums of E, E z and E z^2.
    of_mean = np.array([-mean, 1.0, 0.0]) / expected
    of_variance = np.array([2 * mean**2 - second / expected, -2 * mean, 1.0]) / expected
    by_moments = -less * of_mean - b * observed * of_variance - np.array([b * variance, 0.0, 0.0])
    gradient = np.array([-mean - b * variance, 1.0, *by_moments])
    return float(np.linalg.norm(gradient * sums.noise_of_overall))


def _deviations(chance: float) -> float:
    return float(-ndtri(chance / 2))


def _between(second: float, first: float, constant: float) -> tuple[float, float] | None:
    """Where second x^2 + first x + constant <= 0; None unless that is an interval."""
    inside = first**2 - 4 * second * constant
    if not (second > 0 and inside >= 0):
        return None
    low, high = sorted((-first + sign * math.sqrt(inside)) / (2 * second) for sign in (-1, 1))
    return low, high


def _is_wrong(found: Estimate, strict: Estimate | None, right: tuple[float, float]) -> bool:
    """Outside of what is right, and `strict`, its interval at a stricter level, leaves 1 out."""
    outside = not right[0] <= found.value <= right[1]
    return outside and strict is not None and not strict.low <= 1 <= strict.high
