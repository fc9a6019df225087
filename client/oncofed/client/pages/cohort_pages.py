"""Which page shows a hospital's patients as a whole, and which files can be taken from it?

Everything on it is about groups of at least the floor's patients. Each download is an entry of the audit log.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, cast

import numpy as np
from fastapi import APIRouter, Depends, Response

from oncofed.client.pages.accounts import Role
from oncofed.client.pages.cohort_view import (
    Dependence,
    MarkerStrength,
    dependence,
    risk_groups,
    strongest_markers,
)
from oncofed.client.pages.csv_export import csv_text
from oncofed.client.pages.desk import Visit, refusal, visit_of
from oncofed.client.pages.figures import groups_figure, told_times
from oncofed.client.pages.group_outcome import GroupOutcome
from oncofed.client.pages.hospital import EndpointPrognosis, HospitalPrognosis, Peers
from oncofed.client.pages.interaction_view import TOGETHER_WORDS, Interaction, strongest_interactions
from oncofed.client.pages.marker_figures import dependence_figure, network_figure, strength_figure
from oncofed.client.pages.patient_pages import endpoint_number
from oncofed.client.pages.rendering import page
from oncofed.client.pages.viewing_record import COHORT, EXPORT, UNKNOWN_PAGE
from oncofed.client.pages.wording import marker_label, time, words
from oncofed.survival.grid import TimeGrid

router = APIRouter()

_LISTED = 20

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
        return strongest_markers(self.visit.desk.hospital, self.endpoint, self.peers.rows)

    def dependence(self) -> Dependence | None:
        hospital = self.visit.desk.hospital
        return dependence(hospital, self.endpoint, self.peers.rows, source=self.marker)

    def interactions(self) -> tuple[Interaction, ...] | None:
        return kept_interactions(self.visit.desk.hospital, self.endpoint, self.peers, entity=self.entity)

    def groups(self) -> tuple[GroupOutcome, ...]:
        return risk_groups(self.visit.desk.hospital, self.endpoint, self.peers.rows)


def kept_interactions(
    hospital: HospitalPrognosis, endpoint: EndpointPrognosis, peers: Peers, *, entity: int | None
) -> tuple[Interaction, ...] | None:
    """Computed once for each endpoint and entity. peers: of that entity, or everybody."""
    key = ("interactions", endpoint.number, entity)
    found = hospital.kept(key, lambda: strongest_interactions(hospital, endpoint, peers.rows) or ())
    return cast("tuple[Interaction, ...]", found) or None


def choice_of(visit: Anyone, endpoint: str = "0", entity: str = "", marker: str = "") -> Choice:
    """Raises PageRefused for what the study does not have, or for an entity that has too few patients."""
    hospital = visit.desk.hospital
    number = endpoint_number(visit, endpoint)
    shown = hospital.entities_shown()
    if entity and entity not in [str(each) for each in shown]:
        raise refusal(visit, UNKNOWN_PAGE, 404, "There is no such group here, or it has too few patients.")
    if marker and hospital.marker(marker) is None:
        raise refusal(visit, UNKNOWN_PAGE, 404, "The study has no such marker.")
    peers = hospital.of_entity(int(entity)) if entity else hospital.everybody
    prognosis = hospital.endpoint(number)
    return Choice(visit, prognosis, peers, int(entity) if entity else None, marker)


Chosen = Annotated[Choice, Depends(choice_of)]


@router.get("/cohort")
def cohort(choice: Chosen) -> Response:
    """Strongest markers, one marker's dependence, risk groups, and how the model fits here."""
    visit, hospital = choice.visit, choice.visit.desk.hospital
    visit.desk.record.viewed(visit.by, COHORT)
    strongest, groups = choice.strongest(), choice.groups()
    if not choice.marker:
        first = next((each.source for each in strongest if hospital.marker(each.source) is not None), "")
        choice = Choice(visit, choice.endpoint, choice.peers, choice.entity, first)
    found, interactions = choice.dependence(), choice.interactions()
    content = {
        "here": "/cohort",
        "endpoints": hospital.endpoint_names,
        "noise_in_model": hospital.noise_in_model,
        "endpoint": choice.endpoint,
        "entities": [(number, words(hospital.entity_names[number])) for number in hospital.entities_shown()],
        "entity": choice.entity,
        "marker": choice.marker,
        "marker_name": next(marker_label(each) for each in hospital.schema.markers if each.name == choice.marker)
        if choice.marker
        else "",
        "markers": sorted((marker_label(each), each.name) for each in hospital.schema.markers),
        "among": choice.peers.label,
        "patients": len(choice.peers),
        "strongest": strongest[:_LISTED],
        "carrying": _carrying(strongest),
        "total": len(strongest),
        "strength": strength_figure(strongest) if strongest else None,
        "dependence": found,
        "dependence_figure": None if found is None else dependence_figure(found),
        "interactions": interactions,
        "network": None if interactions is None else network_figure(interactions),
        "groups": groups,
        "groups_figure": groups_figure(groups, hospital.grid, endpoint=choice.endpoint.name) if groups else None,
        "group_medians": [group.median_words(hospital.grid.unit) for group in groups],
        "risk_times": _risk_table(groups, hospital.grid),
        "recalibration": choice.endpoint.recalibration,
        "slope_deviation": _slope_deviation(choice.endpoint),
        "floor": hospital.smallest_group,
    }
    return page("cohort.html.j2", visit, content)


def _carrying(strongest: tuple[MarkerStrength, ...]) -> int:
    """How many markers make up nine tenths of the strength."""
    if not strongest:
        return 0
    return int(np.searchsorted(np.cumsum([each.share for each in strongest]), 0.9 - 1e-12)) + 1


def _slope_deviation(endpoint: EndpointPrognosis) -> float:
    found = endpoint.recalibration
    return 0.0 if found is None else float(np.sqrt(found.covariance[-1, -1]))


def _risk_table(groups: tuple[GroupOutcome, ...], grid: TimeGrid) -> list[tuple[str, list[str]]]:
    """Numbers at risk at the times of the picture's axis; what is below the floor is not shown."""
    found = []
    for moment in told_times(grid):
        counts = [
            f"{int(group.at_risk[int(abs(group.times - moment).argmin())]):,}"
            if group.times[0] <= moment <= group.times[-1]
            else "few"
            for group in groups
        ]
        if set(counts) != {"few"}:
            found.append((time(moment, grid.unit), counts))
    return found


@router.get("/cohort/strongest.csv")
def strongest_csv(choice: Chosen) -> Response:
    """All markers, strongest first."""
    heading = ("marker", "modality", "unit", "mean_absolute_log_hazard_ratio", "share", "direction")
    rows = [
        (each.label, each.modality, each.unit, each.strength, each.share, each.direction) for each in choice.strongest()
    ]
    return _file(choice, "strongest-markers", csv_text(heading, rows))


@router.get("/cohort/dependence.csv")
def dependence_csv(choice: Chosen) -> Response:
    """Bins of one marker's values."""
    found = choice.dependence()
    heading = ("value", "unit", "patients", "log_hazard_ratio_10th", "log_hazard_ratio_median", "log_hazard_ratio_90th")
    rows = (
        []
        if found is None
        else [
            (found.labels[place] if found.labels else float(at), found.unit, count, float(low), float(mid), float(high))
            for place, (at, count, low, mid, high) in enumerate(
                zip(found.at, found.counts, found.low, found.median, found.high, strict=True)
            )
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
    """Kaplan-Meier curves of the risk groups."""
    unit = choice.visit.desk.hospital.grid.unit
    heading = ("group", f"time_{unit}", "survival", "low_95", "high_95", "at_risk")
    rows = [
        (group.name, float(when), float(share), float(low), float(high), int(at_risk))
        for group in choice.groups()
        for when, share, low, high, at_risk in zip(
            group.times, group.survival, group.low, group.high, group.at_risk, strict=True
        )
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
