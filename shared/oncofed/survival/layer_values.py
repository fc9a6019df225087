"""What is each layer of the patients' data worth to a prognosis: by itself, beside all others, and fairly shared?

The value of a set S of layers is what the model gains by it over a model of what is always known: v(S), the mean over
patients of l(S) - l(nothing), in natural logarithms ("nats") a patient. l(S) is the log likelihood of what happened to
the patient under the model from which all layers but those of S are taken away (`survival.layers`). The log likelihood
is a proper score: where the model is right, v(S) is the information about the outcome that is in S and not in what is
always known; delayed entry and censoring are in it exactly.

That something was measured is not what it says. Who is sent to sequencing is fitter, or sicker, than others, and a
model of patients who were not sent gives them all one level. So each set gets the level by which it expects as many
events among the patients that are compared as they had (`level_of`), and a layer of noise that only the fit have is
worth nothing. Its cost is about a thousandth of a nat at 500 patients, and the same for all sets.

Bounded. A patient's follow-up ends where the cumulative hazard since entry, as the model of what is always known has
it, reaches `hazard_cap`. That is one public rule for all S, so what is compared is always the same follow-up, and it is
a stopping time, so the score stays a proper one (`survival.stopped_residuals`). Were each S stopped by its own hazard,
a model that expects more would be asked about less, and the difference of two would be no gain. What is left is cut at
plus and minus `largest_gain`; with a cap of 1 hardly anybody has so much.

Of M layers a table tells 3 M + 1 numbers, each a weighted sum of the 2^M values, and so the mean of the same weighted
sum of each patient's gains:

    alone   v({j})
    last    v(all) - v(all but j)
    share   Shapley's: the mean over all orders of layers of what j adds to those before it. Shares add up to v(all).

Layers that say the same have a large value alone, and none as the last; their shares divide it.

Intervals are of the mean over patients, each patient's numbers paired, for the model as it is. Those of one column hold
all at once: their half-width is the quantile of the largest of M correlated t-distributed errors (max-t), so that a
layer is not found by looking at many.

Sources: Shapley, Contributions to the Theory of Games II (1953), 307-317; Covert, Lundberg, Lee, NeurIPS 2020
("Understanding global feature contributions with additive importance measures"); Hothorn, Bretz, Westfall, Biometrical
Journal 50 (2008), on max-t.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oncofed.survival.follow_up import FloatArray

MOST_LAYERS = 7
"""2^7 sets are looked at, each on all patients."""

HAZARD_CAP = 1.0
LARGEST_GAIN = 2.0

_DRAWS = 40_000
"""Of the largest error: its 95 % quantile is then right to about 0.01."""


def coalitions(layers: int) -> tuple[tuple[int, ...], ...]:
    """All sets of layers, as their numbers. The first is empty, the last has all; set k has j where bit j of k is 1."""
    return tuple(tuple(j for j in range(layers) if k >> j & 1) for k in range(2**layers))


def contrasts(layers: int) -> FloatArray:
    """(2^M, 3 M + 1): the weights of the sets in each number: shares, alone, last, and all together."""
    found = np.zeros((2**layers, 3 * layers + 1))
    everything = 2**layers - 1
    for j in range(layers):
        for k in range(2**layers):
            if not k >> j & 1:
                before = k.bit_count()
                weight = math.factorial(before) * math.factorial(layers - before - 1) / math.factorial(layers)
                found[k | 1 << j, j] += weight
                found[k, j] -= weight
        found[1 << j, layers + j] += 1
        found[0, layers + j] -= 1
        found[everything, 2 * layers + j] += 1
        found[everything & ~(1 << j), 2 * layers + j] -= 1
    found[everything, -1] += 1
    found[0, -1] -= 1
    return found


@dataclass(frozen=True)
class Stopped:
    """Outcomes up to the public end of follow-up. events, at_risk: (patients, intervals), d_k and p_k."""

    events: FloatArray
    at_risk: FloatArray


def stopped(log_hazard: FloatArray, events: FloatArray, at_risk: FloatArray, *, hazard_cap: float) -> Stopped:
    """Follow-up ends where the hazard since entry reaches the cap: inside an interval, where the hazard is constant.

    log_hazard  (patients, intervals), over whole intervals, of the model by which it is stopped.
    """
    expected = at_risk * np.exp(log_hazard)
    before = np.cumsum(expected, axis=1) - expected
    counted = np.clip(hazard_cap - before, 0.0, expected)
    share = np.divide(counted, expected, out=np.zeros_like(expected), where=expected > 0)
    within = expected.sum(axis=1) <= hazard_cap
    return Stopped(events * within[:, None], at_risk * share)


def gains_of_each(
    log_hazard_of: Callable[[tuple[int, ...]], FloatArray],
    events: FloatArray,
    at_risk: FloatArray,
    *,
    layers: int,
    hazard_cap: float = HAZARD_CAP,
    largest_gain: float = LARGEST_GAIN,
) -> FloatArray:
    """(patients, 2^M): what each patient gains by each set of layers, in the order of `coalitions`; 0 by the first.

    log_hazard_of    of the numbers of the layers that are kept: (patients, intervals), log hazards over intervals.
    events, at_risk  (patients, intervals), d_k and p_k.
    """
    sets = map(log_hazard_of, coalitions(layers))
    return gains_over_first(sets, events, at_risk, hazard_cap=hazard_cap, largest_gain=largest_gain)


def gains_over_first(
    log_hazards: Iterable[FloatArray],
    events: FloatArray,
    at_risk: FloatArray,
    *,
    hazard_cap: float = HAZARD_CAP,
    largest_gain: float = LARGEST_GAIN,
) -> FloatArray:
    """(patients, sets): what each patient gains by what each set of data lets a model say, over the first set.

    Each set at its own level (see the top of this module), by which the log hazards of one differ by one number.

    log_hazards      by set, (patients, intervals) each: log hazards over intervals. At least one.
    events, at_risk  (patients, intervals), d_k and p_k.
    """
    several = iter(log_hazards)
    nothing = next(several)
    seen = stopped(nothing, events, at_risk, hazard_cap=hazard_cap)
    nothing = nothing + level_of(nothing, seen)
    found = [np.zeros(len(events))]
    for hazard in several:
        levelled = hazard + level_of(hazard, seen)
        gained = seen.events * (levelled - nothing) - seen.at_risk * (np.exp(levelled) - np.exp(nothing))
        found.append(np.clip(gained.sum(axis=1), -largest_gain, largest_gain))
    return np.stack(found, axis=1)


def level_of(log_hazard: FloatArray, seen: Stopped) -> float:
    """The log of events over expected ones of all these patients; 0 where there are none."""
    observed, expected = float(seen.events.sum()), float((seen.at_risk * np.exp(log_hazard)).sum())
    return math.log(observed / expected) if observed and expected else 0.0


@dataclass(frozen=True)
class Value:
    """In nats a patient. low, high: limits that hold together with those of the other layers in the same column."""

    mean: float
    standard_error: float
    low: float
    high: float


@dataclass(frozen=True)
class LayerValue:
    """One layer's numbers; see the top of this module."""

    name: str
    share: Value
    alone: Value
    last: Value


@dataclass(frozen=True)
class LayerValues:
    """patients: over how many. together: v of all layers."""

    patients: int
    layers: tuple[LayerValue, ...]
    together: Value


def layer_values(
    gains: FloatArray, names: Sequence[str], *, rng: np.random.Generator, level: float = 0.95
) -> LayerValues:
    """The table of a cohort.

    gains  (patients, 2^M), as `gains_of_each` has them. names: of the M layers.
    rng    of the quantiles of max-t, which are simulated. Limits are NaN for fewer than two patients.
    """
    count = len(names)
    numbers = gains @ contrasts(count)
    shares, alone, last = (
        values_together(numbers[:, kind * count : (kind + 1) * count], rng=rng, level=level) for kind in range(3)
    )
    (together,) = values_together(numbers[:, -1:], rng=rng, level=level)
    found = [LayerValue(name, *each) for name, *each in zip(names, shares, alone, last, strict=True)]
    return LayerValues(len(gains), tuple(found), together)


def values_together(numbers: FloatArray, *, rng: np.random.Generator, level: float = 0.95) -> tuple[Value, ...]:
    """Means of the columns of (patients, columns), with limits that hold at once. The rest is as in `layer_values`."""
    patients = len(numbers)
    means = numbers.mean(axis=0) if patients else np.full(numbers.shape[1], np.nan)
    if patients < 2:
        return tuple(Value(float(mean), *[float("nan")] * 3) for mean in means)
    errors = numbers.std(axis=0, ddof=1) / math.sqrt(patients)
    half = _largest_error(numbers[:, errors > 0], rng=rng, level=level) * errors
    return tuple(
        Value(float(mean), float(error), float(mean - each), float(mean + each))
        for mean, error, each in zip(means, errors, half, strict=True)
    )


def _largest_error(numbers: FloatArray, *, rng: np.random.Generator, level: float) -> float:
    """The quantile of the largest of the columns' errors, in standard errors."""
    patients, columns = numbers.shape
    if not columns:
        return 0.0
    correlation: NDArray[np.float64] = np.atleast_2d(np.corrcoef(numbers, rowvar=False))
    drawn = rng.multivariate_normal(np.zeros(columns), correlation, size=_DRAWS, method="eigh")
    drawn /= np.sqrt(rng.chisquare(patients - 1, size=(_DRAWS, 1)) / (patients - 1))
    return float(np.quantile(np.abs(drawn).max(axis=1), level))
