"""With which page does a hospital's console tell how good the data are, for a plan that was offered?

The table of a data source is held against the plan's schema, as `oncofed cohort quality` does it; what is told of it is
rounded, suppressed and kept (`quality_view`, `quality_record`), since neither an approver nor `it` may know counts of
few patients. Each view is an entry of the audit log, and so is each new picture.
"""

from __future__ import annotations

from itertools import pairwise

from fastapi import APIRouter, Response

from oncofed.client.install.inbox import OfferedPlan
from oncofed.client.pages.console_pages import Reader, console_of
from oncofed.client.pages.desk import Visit, refusal
from oncofed.client.pages.quality_record import Picture
from oncofed.client.pages.quality_view import OF_ENDPOINT, OF_MARKER, ToldFinding, ToldMissing
from oncofed.client.pages.rendering import page
from oncofed.client.pages.viewing_record import QUALITY, QUALITY_MADE, UNKNOWN_PAGE
from oncofed.client.pages.wording import DATIVE, time
from oncofed.client.quality.findings import Level
from oncofed.client.quality.report import HEADINGS
from oncofed.cohort.schema import StudySchema
from oncofed.errors import InvalidInput
from oncofed.protocol.study_document import schema_of
from oncofed.words.language import Language, later
from oncofed.words.markers import category_label, endpoint_label, marker_label
from oncofed.words.names import capital, modality_name
from oncofed.words.numbers import number

router = APIRouter()

_UNKNOWN = later("No such plan or data source can be looked at here.")


@router.get("/quality")
def quality_page(visit: Reader, plan: str = "", source: str = "") -> Response:
    """plan: its whole hash; empty for one that is approved, or waits first. source: its name; empty for the plan's."""
    console = console_of(visit)
    _, offered = console.inbox()
    content: dict[str, object] = {"here": "/quality", "plans": offered.read, "sources": (), "unread": offered.unread}
    content |= {"chosen": None, "source": "", "shown": None, "unreadable": ""}
    try:
        sources = console.quality.sources()
    except InvalidInput as failed:
        sources, content["unreadable"] = (), str(failed)
    chosen = _chosen(visit, offered.read, plan)
    if chosen is not None and sources:
        name = _source(visit, chosen, sources, source)
        content |= {"chosen": chosen, "sources": sources, "source": name}
        content |= _picture(visit, chosen, name)
    visit.desk.record.viewed(visit.by, QUALITY, plan_hash="" if chosen is None else chosen.plan_hash)
    return page("quality.html.j2", visit, content)


def _chosen(visit: Visit, plans: tuple[OfferedPlan, ...], plan_hash: str) -> OfferedPlan | None:
    """Raises PageRefused."""
    if plan_hash:
        found = next((each for each in plans if each.plan_hash == plan_hash), None)
        if found is None:
            raise refusal(visit, UNKNOWN_PAGE, 404, _UNKNOWN)
        return found
    return next((each for each in plans if _source_of(each)), plans[0] if plans else None)


def _source_of(plan: OfferedPlan) -> str:
    return "" if plan.decision is None else plan.decision.data_source


def _source(visit: Visit, plan: OfferedPlan, sources: tuple[str, ...], asked: str) -> str:
    """Raises PageRefused."""
    if asked and asked not in sources:
        raise refusal(visit, UNKNOWN_PAGE, 404, _UNKNOWN)
    return asked or (_source_of(plan) if _source_of(plan) in sources else sources[0])


def _picture(visit: Visit, plan: OfferedPlan, source: str) -> dict[str, object]:
    """What the template is told of it; why it cannot be had, in the node's words."""

    def made() -> None:
        visit.desk.record.viewed(visit.by, QUALITY_MADE, plan_hash=plan.plan_hash)

    try:
        schema = schema_of(plan.document)
        found = console_of(visit).quality.picture(source, schema, made=made)
    except InvalidInput as failed:
        return {"unreadable": str(failed)}
    return {"shown": found} | _content(found, schema, visit.say)


def _content(picture: Picture, schema: StudySchema, say: Language) -> dict[str, object]:
    told = picture.told
    markers = {each.name: each for each in schema.markers}
    entity = markers.get(schema.tumour_entity or "")
    kinds: dict[str, list[tuple[str, ToldMissing]]] = {}
    for each in told.missing:
        marker = markers[each.marker]
        label = marker_label(marker, say=say)
        kinds.setdefault(modality_name(marker.modality, say=say), []).append((label, each))
    endpoints = {each.name: endpoint_label(each, say=say) for each in schema.endpoints}

    def about(finding: ToldFinding) -> str:
        if finding.of == OF_ENDPOINT:
            return endpoints[finding.about]
        return marker_label(markers[finding.about], say=say) if finding.of == OF_MARKER else finding.about

    return {
        "levels": [(level, HEADINGS[level], told.of(level)) for level in Level],
        "fault": Level.FAULT,
        "about": about,
        "times": [(capital(endpoints[each.name]), each) for each in told.endpoints],
        "groups": [category_label(entity, each, say=say) for each in told.groups] if entity is not None else [],
        "kinds": [
            (kind, sorted(rows, key=lambda row: (row[1].of_all is None, -row[1].of_all.high if row[1].of_all else 0)))
            for kind, rows in kinds.items()
        ],
        "intervals": _intervals(schema, say),
        "floor": picture.floor,
        "crowd": 2 * picture.floor,
        "made_on": say.date(picture.made_on),
    }


def _intervals(schema: StudySchema, say: Language) -> list[str]:
    """Of the time grid, and what lies beyond."""
    bounds, unit = schema.grid.bounds, schema.grid.unit
    between = [
        say("%(low)s to %(high)s", low=number(low, say=say), high=time(high, unit, say=say))
        for low, high in pairwise(bounds)
    ]
    return [*between, say("after %(time)s", time=time(bounds[-1], unit, say=say, case=DATIVE))]
