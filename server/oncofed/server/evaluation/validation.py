"""How good is a released model in hospitals that did not train it, and what may the next hospital expect?

Only noised sums go in (`evaluation.calibration`), each hospital's own where each answered by itself. A hospital counts
among the others where enough events are expected there against the noise (`survival.across_hospitals`); the noise is in
each figure's variance, so it is not taken for a difference between hospitals. Where noise is shared under masks only
the sum of all can be read, and nothing is said of one hospital, or of the next.

*Case mix*: mean and standard deviation of the log hazard ratio, each patient weighted by the events that the model
expects in the follow-up. It says whether a hospital's patients are the model's: where a mean is far from the others',
observed over expected events says as much of the patients as of the model. Its interval holds the noise alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from oncofed.privacy.releases import release_of_summary
from oncofed.protocol.expected_layout import ExpectedLayout, expected_layout
from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.summary_spec import SummarySpec
from oncofed.server.evaluation.calibration import MORE_ON_EXPECTED, Sums, calibration_figures, calibration_in, sums_of
from oncofed.server.rounds.state import ReleasedSummary
from oncofed.survival.across_hospitals import (
    AcrossHospitals,
    Counts,
    OfHospital,
    Scale,
    ratios_across,
    with_interval,
)

_TWO_SIDED = 1.959964


@dataclass(frozen=True)
class CaseMix:
    """Of one hospital's log hazard ratios. NaN where too few events are expected. low, high: of the mean, by the noise.

    expected  events, with noise.
    """

    name: str
    expected: float
    mean: float
    low: float
    high: float
    spread: float


@dataclass(frozen=True)
class Validated:
    """Of one endpoint, over the hospitals that answered, in the plan's order."""

    ratio: AcrossHospitals
    slope: AcrossHospitals
    case_mix: tuple[CaseMix, ...]


def validated(plan: StudyPlan, summaries: Mapping[str, ReleasedSummary]) -> Mapping[str, Validated]:
    """By endpoint; empty where the plan validates nothing, or no hospital's own sums were released."""
    spec = calibration_in(plan)
    released = None if spec is None else summaries.get(spec.name)
    if plan.validates is None or spec is None or released is None or not released.parts:
        return {}
    layout = expected_layout(plan, spec)
    of_one = release_of_summary(plan, spec).noise_of_sum(hospitals=1)
    sums = {site: sums_of(layout, part, noise_of_sum=of_one) for site, part in released.parts.items()}
    return {
        endpoint: validated_endpoint({site: each[number] for site, each in sums.items()}, layout, spec)
        for number, endpoint in enumerate(plan.model.endpoints)
    }


def validated_endpoint(sums: Mapping[str, Sums], layout: ExpectedLayout, spec: SummarySpec) -> Validated:
    """sums: of each hospital."""
    ratios, slopes, mixes = [], [], []
    for site, own in sums.items():
        found = calibration_figures(own, spread=layout.spread, smallest_expected=spec.smallest_shown)
        less, _, expected, *_ = (float(each) for each in own.overall)
        ratio, slope, nothing = found.overall.ratio, found.slope, float("nan")
        shown = (nothing, nothing) if ratio is None else (ratio.low, ratio.high)
        counts = Counts(site, less + expected, expected, *shown, own.noise_sd, MORE_ON_EXPECTED * own.noise_sd)
        ratios.append((counts, ratio is not None))
        slopes.append(
            OfHospital(site, nothing, nothing, nothing, None)
            if slope is None
            else with_interval(Scale.PLAIN, site, slope.value, slope.low, slope.high, counts=counts.count)
        )
        mixes.append(_case_mix(site, own, layout, told=ratio is not None))
    return Validated(
        _only_shown(ratios_across([counts for counts, _ in ratios]), {each.name for each, shown in ratios if shown}),
        AcrossHospitals.of(Scale.PLAIN, slopes),
        tuple(mixes),
    )


def _only_shown(found: AcrossHospitals, shown: set[str]) -> AcrossHospitals:
    """What is suppressed of a hospital neither is told nor counts."""
    nothing = float("nan")
    hospitals = [
        each if each.name in shown else OfHospital(each.name, nothing, nothing, nothing, None)
        for each in found.hospitals
    ]
    return AcrossHospitals.of(found.scale, hospitals)


def _case_mix(site: str, own: Sums, layout: ExpectedLayout, *, told: bool) -> CaseMix:
    _, _, expected, first, second = (float(each) for each in own.overall)
    if not (told and expected > 0):
        nothing = float("nan")
        return CaseMix(site, expected, nothing, nothing, nothing, nothing)
    _, _, of_expected, of_first, _ = (float(each) for each in own.noise_of_overall)
    mean = first / expected
    half = _TWO_SIDED * layout.spread * math.hypot(of_first, mean * of_expected) / expected
    centre = layout.centre + layout.spread * mean
    variance = max(second / expected - mean**2, 0.0)
    return CaseMix(site, expected, centre, centre - half, centre + half, layout.spread * math.sqrt(variance))
