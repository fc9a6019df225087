"""What does a clinician see of one patient's prognosis? Values only; `figures` draws them and a template lays them out.

There is one hazard ratio. Curve, scenarios, contributions and what measuring could change are all of one basis: the
model with baseline hazard and spread adjusted to this hospital's outcomes (`recalibration`) where these are enough,
else the model as released; the page says which. Contributions are against the reference patient and multiply up to the
patient's own. The patient's own values are exact; what is said of others goes through `disclosure`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from oncofed.client.pages.competing import Competing, competing_of
from oncofed.client.pages.disclosure import Share
from oncofed.client.pages.hospital import EndpointPrognosis, HospitalPrognosis, OwnPrognosis, Peers
from oncofed.client.pages.marker_rows import MarkerRow, ModalityTotal, Reason, marker_rows, modality_totals, reasons_of
from oncofed.client.pages.missing_markers import Completeness, CouldChange, completeness, could_change
from oncofed.client.pages.recalibration import Band, band, fallen_to
from oncofed.client.pages.similar import NobodySimilar, SimilarPatients, similar_patients
from oncofed.cohort.schema import DeathPolicy, Endpoint, StudySchema
from oncofed.survival.curves import cumulative_incidence, survival_curves
from oncofed.words.language import ENGLISH, Language

FloatArray = NDArray[np.float64]

_POINTS = 241


@dataclass(frozen=True, eq=False)
class Curve:
    """times, released  (times,): survival by the released model. adjusted: to this hospital, or None.

    Of an endpoint that competes with others, `survival` is the share who have not had it, whatever came first.

    since  of those who have lived so long without the event: times and curves begin there. 0 for everybody.
    """

    times: FloatArray
    released: FloatArray
    adjusted: Band | None
    since: float = 0.0

    @property
    def survival(self) -> FloatArray:
        """The one that is shown as the patient's."""
        return self.released if self.adjusted is None else self.adjusted.survival

    @property
    def median(self) -> float:
        return self.when(0.5)

    def when(self, share: float) -> float:
        """The time at which so many are left, or NOT_REACHED."""
        return fallen_to(share, self.times, self.survival)

    def at(self, moment: float) -> float:
        """The share that is left."""
        return float(np.interp(moment, self.times, self.survival))


@dataclass(frozen=True, eq=False)
class Incidence:
    """Of an endpoint for which death ends the follow-up: (times,) of the curve, the share who have had the event by
    then, and who died before they had it. None: the study has no endpoint for death, so neither is known.
    """

    event: FloatArray | None
    died_before: FloatArray | None


@dataclass(frozen=True)
class Status:
    """What became of the patient, by the table as it is now. time: in the grid's unit, since time zero.

    instead  the number of the endpoint that came first, and rules the event out: one that competes, or death.
    """

    event: bool
    time: float
    instead: int | None = None

    @property
    def is_over(self) -> bool:
        """Whether the prognosis is of what has been decided already."""
        return self.event or self.instead is not None


@dataclass(frozen=True, eq=False)
class Outlook:
    """What the model says will come, and nothing of anybody else.

    own        with the spread that is right here, as far as it is known.
    released   as the model has it.
    competing  None for an endpoint that competes with none.
    """

    endpoint: EndpointPrognosis
    own: OwnPrognosis
    released: OwnPrognosis
    curve: Curve
    competing: Competing | None

    @property
    def log_hazard_ratio(self) -> float:
        return self.own.log_hazard_ratio


@dataclass(frozen=True, eq=False)
class PatientView:
    """percentile  share of the peers with a lower log hazard ratio; None when they are too few.

    log_hazard_ratio  with the spread that is right here, as far as it is known.
    markers      all that contribute, strongest first; those that were not measured are among them.
    reasons      the few lines that say most, which add up to the whole.
    incidence    None for an endpoint whose curve is of everything that may happen, as of overall survival.
    competing    None for an endpoint that competes with none.
    """

    patient_id: str
    endpoint: EndpointPrognosis
    peers: Peers
    log_hazard_ratio: float
    curve: Curve
    status: Status
    percentile: Share | None
    markers: tuple[MarkerRow, ...]
    reasons: tuple[Reason, ...]
    modalities: tuple[ModalityTotal, ...]
    missing: tuple[CouldChange, ...]
    complete: Completeness
    comparison: SimilarPatients | NobodySimilar
    incidence: Incidence | None
    competing: Competing | None = None

    @property
    def may_come_first(self) -> bool:
        """Whether something else may that is counted apart: there is no curve of those who have lived so long."""
        return self.incidence is not None or self.competing is not None

    @property
    def similar(self) -> SimilarPatients | None:
        return self.comparison if isinstance(self.comparison, SimilarPatients) else None


def patient_view(
    hospital: HospitalPrognosis, row: int, *, endpoint: int, since: float = 0.0, say: Language = ENGLISH
) -> PatientView:
    """since: the curve of those who have lived so long. say: the language of its words.

    Raises IndexError for an endpoint that does not exist.
    """
    found, peers = outlook(hospital, row, endpoint=endpoint, since=since), hospital.peers(row)
    prognosis, own, slope = found.endpoint, found.own, found.endpoint.slope
    lower = slope * prognosis.log_hazard_ratio[peers.rows] < own.log_hazard_ratio
    rows = marker_rows(hospital, prognosis, own, row, peers, say=say)
    missing = could_change(hospital, row, peers, endpoint=endpoint, slope=slope, say=say)
    return PatientView(
        patient_id=hospital.cohort.patient_ids[row],
        endpoint=prognosis,
        peers=peers,
        log_hazard_ratio=own.log_hazard_ratio,
        curve=found.curve,
        status=status_of(hospital, row, endpoint),
        percentile=hospital.disclosure.share_of_strata(lower, hospital.units.strata[peers.rows]),
        markers=rows,
        reasons=reasons_of(rows, whole=own.log_hazard_ratio, say=say),
        modalities=modality_totals(hospital, prognosis, own, row, say=say),
        missing=missing,
        complete=completeness(hospital, row, peers, endpoint=endpoint, slope=slope),
        comparison=similar_patients(hospital, prognosis, row, found.released, say=say),
        incidence=_incidence(hospital, prognosis, found.released, row),
        competing=found.competing,
    )


def outlook(hospital: HospitalPrognosis, row: int, *, endpoint: int, since: float = 0.0) -> Outlook:
    """since: the curve of those who have lived so long. Raises IndexError for an endpoint that does not exist."""
    prognosis, released = hospital.endpoint(endpoint), hospital.own(endpoint, row)
    slope = prognosis.slope
    own = replace(released, relevance=slope * released.relevance, log_hazard_ratio=slope * released.log_hazard_ratio)
    competing = competing_of(hospital, endpoint, row, np.linspace(0.0, hospital.grid.bounds[-1], _POINTS))
    if competing is None:
        curve = _curve(hospital, prognosis, released, since)
    else:
        curve = Curve(competing.times, 1 - competing.released, competing.band)
    return Outlook(prognosis, own, released, curve, competing)


def status_of(hospital: HospitalPrognosis, row: int, endpoint: int) -> Status:
    """By the table as it is now."""
    cohort = hospital.cohort
    instead = next((each for each in hospital.schema.competing(endpoint) if cohort.observed[row, each]), None)
    death, event = death_of(hospital.schema, endpoint), bool(cohort.observed[row, endpoint])
    if death is not None and cohort.observed[row, death] and not event:
        return Status(event, float(cohort.exit[row, death]), death)
    return Status(event, float(cohort.exit[row, endpoint]), instead)


def death_of(schema: StudySchema, number: int) -> int | None:
    """The endpoint of the study whose event is the death before this one's; None where none is."""
    column = schema.endpoints[number].death_event_column
    if column is None:
        return None
    return next((place for place, each in enumerate(schema.endpoints) if each.event_column == column), None)


def _curve(hospital: HospitalPrognosis, prognosis: EndpointPrognosis, own: OwnPrognosis, since: float) -> Curve:
    """own: by the released model."""
    grid, baseline, ratio = hospital.grid, own.log_baseline_hazard, own.log_hazard_ratio
    times = np.linspace(since, grid.bounds[-1], _POINTS)
    released = survival_curves(np.array([ratio]), log_baseline_hazard=baseline, grid=grid, times=times)[0]
    adjusted = None
    if prognosis.recalibration is not None:
        adjusted = band(
            prognosis.recalibration, ratio, log_baseline_hazard=baseline, grid=grid, times=times, since=since
        )
    # Of whom the model expects nobody to have lived so long, all are there when the curve begins, and none later.
    left = released[0]
    conditional = released / left if left > 0 else np.where(times > since, 0.0, 1.0)
    return Curve(times, conditional, adjusted, since)


def leaves_out_deaths(endpoint: Endpoint) -> bool:
    """Whether its curve is of a world in which nobody dies before the event."""
    return endpoint.death_event_column is not None and endpoint.death is DeathPolicy.CENSORING


def _incidence(
    hospital: HospitalPrognosis, prognosis: EndpointPrognosis, own: OwnPrognosis, row: int
) -> Incidence | None:
    """From the two hazards that the model has, each adjusted to this hospital as far as its curve is."""
    endpoint = hospital.schema.endpoints[prognosis.number]
    if not leaves_out_deaths(endpoint):
        return None
    death = death_of(hospital.schema, prognosis.number)
    if death is None:
        return Incidence(None, None)
    of_death = hospital.endpoint(death)
    hazards = np.stack(
        [
            _cumulative_hazards(prognosis, own),
            _cumulative_hazards(of_death, hospital.own(death, row)),
        ]
    )
    times = np.linspace(0.0, hospital.grid.bounds[-1], _POINTS)
    return Incidence(*cumulative_incidence(hazards, grid=hospital.grid, times=times))


def _cumulative_hazards(prognosis: EndpointPrognosis, own: OwnPrognosis) -> FloatArray:
    """(intervals,)"""
    adjusted, ratio = prognosis.recalibration, own.log_hazard_ratio
    if adjusted is None:
        return np.asarray(np.exp(own.log_baseline_hazard + ratio))
    return np.asarray(np.exp(own.log_baseline_hazard + adjusted.corrections + adjusted.slope * ratio))
