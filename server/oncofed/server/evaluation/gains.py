"""What does the final model add to its comparators, and what is each layer of data worth? Of noised sums, with limits.

The sums are of gains in log likelihood of single patients, stopped and held (`protocol.gain_layout`): with U the sum of
a gain over n patients and Q that of its square, the mean is U / n, in nats a patient, and its variance

    (Q / n - (U / n)^2) / n  +  noise(U)^2 / n^2  +  (U / n)^2 noise(n)^2 / n^2:

who happened to be set aside, and what noise does to both sides of the ratio. Noise is known. Q has noise, too: 2 b / (w
s) of the noise's own part in standard deviations, s the noise on a unit row, so where it counts, the noise's part is
larger. A spread that comes out below 0 is taken as 0.

Limits of the comparators of an endpoint, and of the layers in one column of the table, hold all at once (Bonferroni's,
which of five independent figures are by 0.3 % wider than those of the largest of them). They are of the network that is
held as the plan says, on the patients who have what is compared; how many these are, and how many are held, is told.

Shown is what at least as many patients as the plan says are compared by, of whom the noise is less than a fourth.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from oncofed.privacy.releases import release_of_summary
from oncofed.protocol.gain_layout import LARGEST_RATIO, OF_GROUP, GainLayout, gain_layout
from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.summary_spec import SummaryKind, SummarySpec
from oncofed.server.rounds.state import ReleasedSummary
from oncofed.survival.layer_values import LayerValue, LayerValues, Value

FloatArray = NDArray[np.float64]

MOST_NOISE = 0.25
"""Of the number of patients, in its noise's standard deviations."""
LEVEL = 0.95


@dataclass(frozen=True)
class Sums:
    """Of one endpoint, with noise.

    gains, squares  (gains,), of u_j in nats, and of u_j^2. counts: of patients, see the layout.
    noise_of_gains, noise_of_counts: standard deviations, of each.
    """

    gains: FloatArray
    squares: FloatArray
    counts: FloatArray
    noise_of_gains: FloatArray
    noise_of_counts: FloatArray


@dataclass(frozen=True)
class GainOver:
    """patients  of whom the comparator is recorded, with noise. gain: of the network over it; None: suppressed."""

    name: str
    patients: float
    gain: Value | None


@dataclass(frozen=True)
class EndpointGains:
    """patients  set aside, with noise. held: the part of them who are held."""

    patients: float
    held: float
    over: tuple[GainOver, ...]


@dataclass(frozen=True)
class Selected:
    """Who has all layers, or who has not; with noise. None: suppressed.

    events            the part of them whose event came before their follow-up was stopped.
    log_hazard_ratio  their mean, by what is always known; each cut to LARGEST_RATIO.
    """

    patients: float
    events: float | None
    log_hazard_ratio: float | None


@dataclass(frozen=True)
class EndpointValues:
    """values: None, suppressed. held: the part of those compared who are held."""

    values: LayerValues | None
    held: float
    compared: Selected
    others: Selected


@dataclass(frozen=True)
class _Measured:
    """spec: of the plan. hospitals: whose patients are in it. within, kept_until: the plan's bound, in nats, and cap.

    noise_sd  on a sum of gains over comparators, or of shares, in nats.
    """

    spec: SummarySpec
    hospitals: tuple[str, ...]
    noise_sd: float
    within: float
    kept_until: float


@dataclass(frozen=True)
class MeasuredGains(_Measured):
    endpoints: Mapping[str, EndpointGains]


@dataclass(frozen=True)
class MeasuredValues(_Measured):
    endpoints: Mapping[str, EndpointValues]


@dataclass(frozen=True)
class ReleasedGains:
    """over: comparators. values: of layers. None where the plan does not ask, or nothing was released."""

    over: MeasuredGains | None
    values: MeasuredValues | None


def released_gains(plan: StudyPlan, summaries: Mapping[str, ReleasedSummary]) -> ReleasedGains | None:
    """Both; None where there is neither."""
    found = ReleasedGains(measured_gains(plan, summaries), measured_values(plan, summaries))
    return found if found.over is not None or found.values is not None else None


def gains_in(plan: StudyPlan, kind: SummaryKind) -> SummarySpec | None:
    """The plan's summary of this kind, `comparison` or `value`."""
    return next((each for each in plan.summaries if each.kind is kind), None)


def measured_gains(plan: StudyPlan, summaries: Mapping[str, ReleasedSummary]) -> MeasuredGains | None:
    """Over each comparator; None when the plan asks for it not, or it was not released."""
    found = _found(plan, summaries, SummaryKind.COMPARISON)
    if found is None:
        return None
    of_all, sums = found
    names = [each.name for each in plan.model.comparators]
    endpoints = {
        endpoint: endpoint_gains(each, names, fewest=of_all.spec.smallest_shown)
        for endpoint, each in zip(plan.model.endpoints, sums, strict=True)
    }
    return MeasuredGains(*_fields(of_all), endpoints)


def measured_values(plan: StudyPlan, summaries: Mapping[str, ReleasedSummary]) -> MeasuredValues | None:
    """Of each layer; None when the plan asks for it not, or it was not released."""
    found = _found(plan, summaries, SummaryKind.VALUE)
    if found is None:
        return None
    of_all, sums = found
    names = [each.name for each in plan.model.layers]
    endpoints = {
        endpoint: endpoint_values(each, names, fewest=of_all.spec.smallest_shown)
        for endpoint, each in zip(plan.model.endpoints, sums, strict=True)
    }
    return MeasuredValues(*_fields(of_all), endpoints)


def _fields(found: _Measured) -> tuple[SummarySpec, tuple[str, ...], float, float, float]:
    return found.spec, found.hospitals, found.noise_sd, found.within, found.kept_until


def _found(
    plan: StudyPlan, summaries: Mapping[str, ReleasedSummary], kind: SummaryKind
) -> tuple[_Measured, tuple[Sums, ...]] | None:
    spec = gains_in(plan, kind)
    released = None if spec is None else summaries.get(spec.name)
    if spec is None or released is None:
        return None
    layout = gain_layout(plan, spec)
    noise = release_of_summary(plan, spec).noise_of_sum(hospitals=len(released.answered))
    sums = sums_of(layout, released.vector, noise_of_sum=noise)
    of_gain = float(sums[0].noise_of_gains[0])
    return _Measured(spec, released.answered, of_gain, layout.within, layout.cap), sums


def sums_of(layout: GainLayout, vector: FloatArray, *, noise_of_sum: float) -> tuple[Sums, ...]:
    """Of each endpoint. vector: (cells,), in units of the bound, as noise_of_sum is."""
    weights = np.array(layout.weights)
    noise, cuts = noise_of_sum / weights, [layout.gains, 2 * layout.gains]
    of_gains, _, of_counts = np.split(noise, cuts)
    found = []
    for numbers in vector.reshape(layout.endpoints, layout.numbers) / weights:
        gains, squares, counts = np.split(numbers, cuts)
        found.append(Sums(gains, squares, counts, of_gains, of_counts))
    return tuple(found)


def endpoint_gains(sums: Sums, names: Sequence[str], *, fewest: float) -> EndpointGains:
    """names: of the comparators."""
    *compared, held, everybody = map(float, sums.counts)
    over = [
        GainOver(name, count, _one(sums, place, count, float(sums.noise_of_counts[place]), len(names), fewest))
        for place, (name, count) in enumerate(zip(names, compared, strict=True))
    ]
    return EndpointGains(everybody, _part(held, everybody), tuple(over))


def endpoint_values(sums: Sums, names: Sequence[str], *, fewest: float) -> EndpointValues:
    """names: of the layers."""
    held, *both = map(float, sums.counts)
    noise, layers = float(sums.noise_of_counts[0]), len(names)
    compared, others = (
        _selected(numbers, noise=noise, fewest=fewest) for numbers in (both[:OF_GROUP], both[OF_GROUP:])
    )
    families = [layers] * (3 * layers) + [1]
    found = [_one(sums, place, compared.patients, noise, looked_at, fewest) for place, looked_at in enumerate(families)]
    values = [each for each in found if each is not None]
    if len(values) < len(found):
        return EndpointValues(None, _part(held, compared.patients), compared, others)
    of_layers = [
        LayerValue(name, *(values[kind * layers + place] for kind in range(3))) for place, name in enumerate(names)
    ]
    table = LayerValues(max(0, round(compared.patients)), tuple(of_layers), values[-1])
    return EndpointValues(table, _part(held, compared.patients), compared, others)


def _one(sums: Sums, place: int, patients: float, noise_of_count: float, looked_at: int, fewest: float) -> Value | None:
    """Of one gain. looked_at: how many limits are to hold at once."""
    if not _are_enough(patients, noise_of_count, fewest):
        return None
    mean = float(sums.gains[place]) / patients
    spread = max(float(sums.squares[place]) / patients - mean**2, 0.0)
    noise = math.hypot(float(sums.noise_of_gains[place]), mean * noise_of_count) / patients
    error = math.sqrt(spread / patients + noise**2)
    half = float(ndtri(1 - (1 - LEVEL) / (2 * looked_at))) * error
    return Value(mean, error, mean - half, mean + half)


def _selected(numbers: Sequence[float], *, noise: float, fewest: float) -> Selected:
    patients, events, ratio = numbers
    if not _are_enough(patients, noise, fewest):
        return Selected(patients, None, None)
    return Selected(patients, events / patients, LARGEST_RATIO * ratio / patients)


def _are_enough(patients: float, noise: float, fewest: float) -> bool:
    return patients >= max(fewest, noise / MOST_NOISE) and patients > 0


def _part(some: float, everybody: float) -> float:
    """Both have noise; NaN where there is nobody."""
    return min(1.0, max(0.0, some / everybody)) if everybody > 0 else math.nan
