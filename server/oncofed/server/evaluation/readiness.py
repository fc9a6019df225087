"""Is the study possible with what the hospitals have? From their noised counts, before anything is trained.

`counted` reads the release of kind `readiness`: patients, events and measured shares over all hospitals that answered,
each with the half-width of a 95 % interval for the noise (everybody is counted, so nothing else is uncertain). `judged`
compares them with what the study's own plan would need, by the arithmetic of `study.budget`: of a marker that is
measured in a share m of the patients, E m events teach something; the study's noise leaves E m s^2 / (E m s^2 +
noise^2) of what they could teach. Both ends of the intervals of E and m are tried, so that a marker is possible, is
not, or the count is too noisy to say.

A share is a ratio of two noised numbers. Its interval is by the delta method, from noise that is Gaussian and
independent in both, and is cut to [0, 1]. No share is shown where fewer patients than the plan's floor, or than twice
their noise, are counted. Arithmetic on what was released costs no privacy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from oncofed.cohort.encoding import columns
from oncofed.cohort.schema import StudySchema
from oncofed.privacy.releases import release_of_summary
from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.readiness_layout import PATIENTS_WEIGHT, readiness_layout
from oncofed.protocol.summary_spec import SummaryKind, SummarySpec
from oncofed.server.rounds.state import ReleasedSummary
from oncofed.study.budget import AFFORDABLE, hazard_ratio_found, marker_spreads, noise_of_all_rounds

_TWO_SIDED = 1.96


@dataclass(frozen=True)
class Counted:
    """A noised number. half_width: of the 95 % interval of its noise."""

    value: float
    half_width: float

    @property
    def least(self) -> float:
        return max(self.value - self.half_width, 0.0)

    @property
    def most(self) -> float:
        return max(self.value + self.half_width, 0.0)


@dataclass(frozen=True)
class Readiness:
    """hospitals: who answered, in roster order. events: by endpoint.

    measured  share of the patients by marker, or by modality where the schema's flag is the modality's; empty below the
              floor. Its half-width is the same for all but by a little.
    """

    spec: SummarySpec
    hospitals: tuple[str, ...]
    patients: Counted
    events: Mapping[str, Counted]
    measured: Mapping[str, Counted]


def readiness_in(plan: StudyPlan) -> SummarySpec | None:
    """The summary of the plan that counts who is there."""
    return next((each for each in plan.summaries if each.kind is SummaryKind.READINESS), None)


def counted(plan: StudyPlan, schema: StudySchema, summaries: Mapping[str, ReleasedSummary]) -> Readiness | None:
    """None when the plan asks for no count, or it was not released."""
    spec = readiness_in(plan)
    released = None if spec is None else summaries.get(spec.name)
    if spec is None or released is None:
        return None
    layout, vector = readiness_layout(plan, spec), released.vector
    sd = release_of_summary(plan, spec).noise_of_sum(hospitals=len(released.answered))
    patients, patients_sd = float(vector[0]) / PATIENTS_WEIGHT, sd / PATIENTS_WEIGHT
    names = columns(schema)
    shares = {}
    if patients >= max(spec.smallest_shown, 2 * patients_sd) and patients > 0:
        for column, less in zip(spec.group_columns, vector[layout.measured].tolist(), strict=True):
            ratio = less / layout.flag / patients
            spread = math.hypot(sd / layout.flag, ratio * patients_sd) / patients
            shares[names[column].source] = Counted(min(max((1 + ratio) / 2, 0.0), 1.0), _TWO_SIDED * spread / 2)
    return Readiness(
        spec=spec,
        hospitals=released.answered,
        patients=Counted(patients, _TWO_SIDED * patients_sd),
        events={
            endpoint: Counted(float(number) / layout.event, _TWO_SIDED * sd / layout.event)
            for endpoint, number in zip(plan.model.endpoints, vector[layout.events].tolist(), strict=True)
        },
        measured=shares,
    )


class Verdict(StrEnum):
    """Of a marker at an endpoint: whether the study's noise leaves enough of what its events could teach."""

    POSSIBLE = "possible"
    OPEN = "open"
    """The count is too noisy to say."""
    NOT_POSSIBLE = "not possible"


@dataclass(frozen=True)
class Judged:
    """One marker at one endpoint.

    measured  None where the schema shows no flag of it: then it is taken as measured in everybody.
    left      the share of information that the study's noise leaves, at the counts as they are.
    hazard_ratio  the smallest that is found per step, as in `study.budget`; infinite without any event.
    """

    marker: str
    modality: str
    measured: Counted | None
    left: float
    hazard_ratio: float
    verdict: Verdict


def judged(found: Readiness, schema: StudySchema, study: StudyPlan, *, endpoint: str) -> tuple[Judged, ...]:
    """Each marker of the schema, in its order. study: the plan that would train."""
    noise = noise_of_all_rounds(study) if study.privacy.mode.private else 0.0
    events = found.events[endpoint]
    rows = []
    for marker, spread in marker_spreads(schema).items():
        modality = next(each.modality.value for each in schema.markers if each.name == marker)
        share = found.measured.get(marker, found.measured.get(modality))
        low, middle, high = (
            _left(count * part, spread, noise)
            for count, part in (
                (events.least, 1.0 if share is None else share.least),
                (max(events.value, 0.0), 1.0 if share is None else share.value),
                (events.most, 1.0 if share is None else min(share.most, 1.0)),
            )
        )
        teaching = max(events.value, 0.0) * (1.0 if share is None else share.value)
        verdict = (
            Verdict.POSSIBLE if low >= AFFORDABLE else Verdict.OPEN if high >= AFFORDABLE else Verdict.NOT_POSSIBLE
        )
        rows.append(Judged(marker, modality, share, middle, hazard_ratio_found(teaching, middle), verdict))
    return tuple(rows)


def _left(events: float, spread: float, noise: float) -> float:
    """The share of information that the noise leaves; 0 where there is nothing to learn from."""
    information = events * spread**2
    return information / (information + noise**2) if information > 0 else 0.0
