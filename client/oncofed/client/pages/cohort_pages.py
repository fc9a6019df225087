"""Which page shows a hospital's patients as a whole, and which files can be taken from it?

Every figure on it has gone through `disclosure`. Each download is an entry of the audit log.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, cast

import numpy as np
from fastapi import APIRouter, Depends, Response

from oncofed.client.pages.accounts import Role
from oncofed.client.pages.cohort_view import (
    Dependence,
    MarkerStrength,
    dependence,
    in_language,
    risk_groups,
    strongest_markers,
)
from oncofed.client.pages.csv_export import csv_text
from oncofed.client.pages.desk import Visit, refusal, visit_of
from oncofed.client.pages.figures import groups_figure
from oncofed.client.pages.group_outcome import GroupOutcome
from oncofed.client.pages.hospital import EndpointPrognosis, HospitalPrognosis, Peers
from oncofed.client.pages.interaction_view import TOGETHER_WORDS, Interaction, strongest_interactions
from oncofed.client.pages.interaction_view import in_language as pairs_in_language
from oncofed.client.pages.marker_figures import dependence_figure, network_figure, strength_figure
from oncofed.client.pages.outcome_parts import fewest_for_parts, told_times
from oncofed.client.pages.patient_pages import endpoint_number
from oncofed.client.pages.patient_words import decided_on
from oncofed.client.pages.recalibration import Fitted
from oncofed.client.pages.rendering import page
from oncofed.client.pages.viewing_record import COHORT, EXPORT, UNKNOWN_PAGE
from oncofed.client.pages.wording import time
from oncofed.survival.grid import TimeGrid
from oncofed.words.language import ENGLISH, Language, later
from oncofed.words.markers import category_label, endpoint_label, marker_label
from oncofed.words.numbers import decimals, percent

router = APIRouter()

_LISTED = 20
_NORMAL_95 = 1.96

Anyone = Annotated[Visit, Depends(visit_of(Role.CLINICIAN, Role.ANALYST))]


@dataclass(frozen=True, eq=False)
class Choice:
    """What was asked for: an endpoint, whom it is about, and a marker. entity: its number, or None for all."""

    visit: Visit
    endpoint: EndpointPrognosis
    peers: Peers
    entity: int | None
    marker: str

    def strongest(self) -> tuple[MarkerStrength, ...]:
        """The direction of those that the page lists alone."""
        return kept_strongest(self.visit.desk.hospital, self.endpoint, self.peers)

    def dependence(self, say: Language = ENGLISH) -> Dependence | None:
        hospital = self.visit.desk.hospital
        return dependence(hospital, self.endpoint, self.peers, source=self.marker, say=say)

    def interactions(self) -> tuple[Interaction, ...] | None:
        return kept_interactions(self.visit.desk.hospital, self.endpoint, self.peers)

    def groups(self) -> tuple[GroupOutcome, ...]:
        return risk_groups(self.visit.desk.hospital, self.endpoint, self.peers)


def kept_strongest(
    hospital: HospitalPrognosis, endpoint: EndpointPrognosis, peers: Peers
) -> tuple[MarkerStrength, ...]:
    """Computed once for each endpoint and group."""
    key = ("strongest", endpoint.number, peers.unit)
    found = hospital.kept(key, lambda: strongest_markers(hospital, endpoint, peers, with_direction=_LISTED))
    return cast("tuple[MarkerStrength, ...]", found)


def kept_interactions(
    hospital: HospitalPrognosis, endpoint: EndpointPrognosis, peers: Peers
) -> tuple[Interaction, ...] | None:
    """Computed once for each endpoint and group."""
    key = ("interactions", endpoint.number, peers.unit)
    found = hospital.kept(key, lambda: strongest_interactions(hospital, endpoint, peers) or ())
    return cast("tuple[Interaction, ...]", found) or None


def choice_of(visit: Anyone, endpoint: str = "0", entity: str = "", marker: str = "") -> Choice:
    """Raises PageRefused for what the study does not have, or for an entity that has too few patients."""
    hospital = visit.desk.hospital
    number = endpoint_number(visit, endpoint)
    shown = hospital.entities_shown()
    if entity and entity not in [str(each) for each in shown]:
        raise refusal(visit, UNKNOWN_PAGE, 404, later("There is no such group here, or it has too few patients."))
    if marker and hospital.marker(marker) is None:
        raise refusal(visit, UNKNOWN_PAGE, 404, later("The study has no such marker."))
    peers = hospital.of_entity(int(entity)) if entity else hospital.everybody
    prognosis = hospital.endpoint(number)
    return Choice(visit, prognosis, peers, int(entity) if entity else None, marker)


Chosen = Annotated[Choice, Depends(choice_of)]


@router.get("/cohort")
def cohort(choice: Chosen) -> Response:
    """Strongest markers, one marker's dependence, risk groups, and how the model fits here."""
    visit, hospital, say = choice.visit, choice.visit.desk.hospital, choice.visit.say
    schema = hospital.schema
    visit.desk.record.viewed(visit.by, COHORT)
    strongest, groups = in_language(hospital, choice.strongest(), say), choice.groups()
    markers = sorted((marker_label(each, say=say), each.name) for each in schema.markers)
    if not choice.marker:
        first = next((each.source for each in strongest if hospital.marker(each.source) is not None), markers[0][1])
        choice = Choice(visit, choice.endpoint, choice.peers, choice.entity, first)
    found, interactions = choice.dependence(say), pairs_in_language(hospital, choice.interactions(), say)
    names, among = [endpoint_label(each, say=say) for each in schema.endpoints], choice.peers.words(say)
    name = names[choice.endpoint.number]
    content = {
        "here": "/cohort",
        "name": name,
        "endpoints": names,
        "noise_in_model": hospital.noise_in_model,
        "endpoint": choice.endpoint,
        "entities": _entities(hospital, say),
        "entity": choice.entity,
        "marker": choice.marker,
        "marker_name": next(label for label, each in markers if each == choice.marker),
        "markers": markers,
        "among": among,
        "patients": hospital.at_least(choice.peers),
        "strongest": strongest[:_LISTED],
        "carrying": _carrying(strongest),
        "told": len(strongest),
        "markers_of_study": len(hospital.schema.markers),
        "kinds_that_may_be_missing": len(choice.endpoint.sources) - len(hospital.schema.markers),
        "strength": strength_figure(strongest, say=say) if strongest else None,
        "dependence": found,
        "dependence_figure": None if found is None else dependence_figure(found, say=say),
        "interactions": interactions,
        "together_words": TOGETHER_WORDS,
        "network": None if interactions is None else network_figure(interactions, say=say),
        "groups": groups,
        "competes": bool(hospital.schema.competing(choice.endpoint.number)),
        "groups_figure": groups_figure(groups, hospital.grid, endpoint=name, say=say) if groups else None,
        "group_medians": [group.median_words(hospital.grid.unit, say=say) for group in groups],
        "risk_times": _risk_table(groups, hospital.grid, say),
        "recalibration": choice.endpoint.fitted,
        "decided": hospital.decided,
        "decided_on": decided_on(hospital, say),
        "adopted": choice.endpoint.recalibration is not None,
        "treatments": hospital.treatments,
        "fitted": _fitted(choice.endpoint, hospital),
        "slope": _slope(choice.endpoint, say),
        "floor": hospital.smallest_group,
        "as_of": [say.date(day) for day in hospital.follow_up_as_of(choice.peers, choice.endpoint.number)],
        "crowd": hospital.disclosure.crowd,
        "fewest_for_parts": fewest_for_parts(hospital.disclosure),
    }
    return page("cohort.html.j2", visit, content)


def _carrying(strongest: tuple[MarkerStrength, ...]) -> int:
    """How many markers make up nine tenths of the strength."""
    if not strongest:
        return 0
    return int(np.searchsorted(np.cumsum([each.share for each in strongest]), 0.9 - 1e-12)) + 1


def _slope(endpoint: EndpointPrognosis, say: Language) -> tuple[str, str, str]:
    """The slope that fits, and its 95 % limits."""
    found = endpoint.fitted
    if found is None:
        return ("", "", "")
    reach = _NORMAL_95 * float(np.sqrt(found.covariance[-1, -1]))
    value, low, high = (decimals(each, 2, say=say) for each in (found.slope, found.slope - reach, found.slope + reach))
    return value, low, high


def _entities(hospital: HospitalPrognosis, say: Language) -> list[tuple[int, str]]:
    marker = None if hospital.schema.tumour_entity is None else hospital.marker(hospital.schema.tumour_entity)
    if marker is None:
        return []
    return [(each, category_label(marker, marker.categories[each], say=say)) for each in hospital.entities_shown()]


def _fitted(endpoint: EndpointPrognosis, hospital: HospitalPrognosis) -> Fitted | None:
    found = endpoint.fitted
    return None if found is None else Fitted.of(found, hospital.disclosure)


def _risk_table(groups: tuple[GroupOutcome, ...], grid: TimeGrid, say: Language) -> list[tuple[str, list[str]]]:
    """The curves at the times of the picture's axis, as they are drawn."""
    found = []
    for moment in told_times(grid):
        shares = [group.at(moment) for group in groups]
        if any(share is not None for share in shares):
            told = [say("not known") if share is None else percent(share, say=say) for share in shares]
            found.append((time(moment, grid.unit, say=say), told))
    return found


@router.get("/cohort/strongest.csv")
def strongest_csv(choice: Chosen) -> Response:
    """All markers, strongest first."""
    heading = ("marker", "modality", "unit", "mean_absolute_log_hazard_ratio", "share", "direction")
    strongest = strongest_markers(choice.visit.desk.hospital, choice.endpoint, choice.peers)
    rows = [(each.label, each.modality, each.unit, each.strength, each.share, each.direction) for each in strongest]
    return _file(choice, "strongest-markers", csv_text(heading, rows))


@router.get("/cohort/dependence.csv")
def dependence_csv(choice: Chosen) -> Response:
    """Bins of one marker's values."""
    found = choice.dependence()
    heading = (
        "value",
        "unit",
        "log_hazard_ratio_middle",
        "log_hazard_ratio_low",
        "log_hazard_ratio_high",
        "low_to_high",
    )
    rows = (
        []
        if found is None
        else [
            (
                found.labels[place] if found.labels else float(at),
                found.unit,
                float(middle),
                *((math.nan, math.nan, "") if spread is None else (spread.low, spread.high, spread.holds)),
            )
            for place, (at, middle, spread) in enumerate(zip(found.at, found.middle, found.spreads, strict=True))
        ]
    )
    return _file(choice, "dependence", csv_text(heading, rows))


@router.get("/cohort/interactions.csv")
def interactions_csv(choice: Chosen) -> Response:
    """The strongest pairs of markers."""
    heading = ("marker", "other_marker", "strength_log_hazard_ratio", "together")
    rows = [
        (each.first, each.second, each.strength, TOGETHER_WORDS[each.worse_together])
        for each in choice.interactions() or ()
    ]
    return _file(choice, "interactions", csv_text(heading, rows))


@router.get("/cohort/risk-groups.csv")
def groups_csv(choice: Chosen) -> Response:
    """Observed courses of the risk groups."""
    hospital = choice.visit.desk.hospital
    share = "without_the_event" if hospital.schema.competing(choice.endpoint.number) else "survival"
    heading = ("group", f"time_{hospital.grid.unit}", share, "low_95", "high_95")
    rows = [
        (group.name, float(when), float(share), float(low), float(high))
        for group in choice.groups()
        for when, share, low, high in zip(group.times, group.survival, group.low, group.high, strict=True)
    ]
    return _file(choice, "risk-groups", csv_text(heading, rows))


def _file(choice: Choice, name: str, text: str) -> Response:
    visit = choice.visit
    visit.desk.record.viewed(visit.by, EXPORT, name.replace("-", "_"))
    return Response(
        text,
        media_type="text/csv; charset=utf-8",
        headers={"content-disposition": f'attachment; filename="{name}.csv"'},
    )
