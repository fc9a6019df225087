"""How is what hospitals released of a model's key markers put before a reader: rows for page, terminal and CSV file.

Only noised numbers go in (`rounds.explanation_votes`); intervals are of the privacy noise alone, at 95 %.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pandas as pd

from oncofed.cohort.schema import Kind, StudySchema
from oncofed.protocol.plan import StudyPlan
from oncofed.server.rounds.explanation_votes import KeyMarker, ReleasedExplanations, ReleasedPart
from oncofed.words.names import plain_name
from oncofed.words.numbers import counted, hazard_ratio, percent, whole

NORMAL_95 = 1.96
SHOWN = 20
SHOWN_OF_ENTITY = 5
_EVERYBODY = "all"


@dataclass(frozen=True)
class MarkerRow:
    """voters, low, high: noised number of patients, and its interval. share: of the patients, and its interval.

    direction  1: a higher value (or being unmeasured) raises the hazard; -1: lowers it; 0: not known, or by category.
    effect     the direction in words. size: the mean hazard ratio of the voters and its interval, in words.
    """

    name: str
    voters: float
    low: float
    high: float
    share: float
    share_low: float
    share_high: float
    direction: int
    effect: str
    size: str


def marker_rows(part: ReleasedPart, schema: StudySchema) -> tuple[MarkerRow, ...]:
    """Of the markers that may be shown, most voters first."""
    return tuple(_row(marker, part, schema) for marker in part.markers)


def _row(marker: KeyMarker, part: ReleasedPart, schema: StudySchema) -> MarkerRow:
    share = marker.voters / part.patients
    share_sd = math.hypot(marker.voters_sd, share * part.patients_sd) / part.patients
    low, middle, high = (min(max(share + step * NORMAL_95 * share_sd, 0.0), 1.0) for step in (-1, 0, 1))
    return MarkerRow(
        name=_shown(marker.name, schema),
        voters=marker.voters,
        low=marker.voters - NORMAL_95 * marker.voters_sd,
        high=marker.voters + NORMAL_95 * marker.voters_sd,
        share=middle,
        share_low=low,
        share_high=high,
        direction=0 if _kind(marker.name, schema) is Kind.CATEGORICAL else marker.direction,
        effect=_effect(marker, schema),
        size=_size(marker, schema),
    )


def _kind(name: str, schema: StudySchema) -> Kind | None:
    """None for the flag of a modality that is missing as a whole."""
    return next((marker.kind for marker in schema.markers if marker.name == name), None)


def _shown(name: str, schema: StudySchema) -> str:
    return plain_name(name) if _kind(name, schema) is not None else f"{plain_name(name)}, not measured at all"


def _effect(marker: KeyMarker, schema: StudySchema) -> str:
    kind = _kind(marker.name, schema)
    if kind is Kind.CATEGORICAL:
        return "by category"
    if marker.direction == 0:
        return "lost in the noise"
    what = {Kind.BINARY: "yes: ", None: ""}.get(kind, "higher value: ")
    return f"{what}{'higher' if marker.direction > 0 else 'lower'} hazard"


def _size(marker: KeyMarker, schema: StudySchema) -> str:
    if _kind(marker.name, schema) is Kind.CATEGORICAL:
        return "by category"
    low, high = (marker.effect + sign * NORMAL_95 * marker.effect_sd for sign in (-1, 1))
    return f"{hazard_ratio(marker.effect)} ({hazard_ratio(low)} to {hazard_ratio(high)})"


@dataclass(frozen=True)
class PairRow:
    """share: of the patients, without a sign. together: what higher values of both do, in words."""

    first: str
    second: str
    net_voters: float
    share: float
    together: str


def pair_rows(found: ReleasedExplanations, schema: StudySchema) -> tuple[PairRow, ...]:
    """Of the pairs that may be shown, most net voters first."""
    patients = found.markers.everybody.patients
    return tuple(
        PairRow(
            first=_shown(pair.first, schema),
            second=_shown(pair.second, schema),
            net_voters=pair.net_voters,
            share=min(abs(pair.net_voters) / patients, 1.0),
            together="worse than their sum" if pair.net_voters > 0 else "better than their sum",
        )
        for pair in found.pairs or ()
    )


def shown_entities(found: ReleasedExplanations) -> Mapping[str, ReleasedPart]:
    """Those of which something may be told, most patients first."""
    above = [(entity, part) for entity, part in found.markers.by_entity.items() if part.markers]
    return dict(sorted(above, key=lambda item: -item[1].patients))


def shown_parts(found: ReleasedExplanations) -> Mapping[str, ReleasedPart]:
    """The same behind everybody, who are called "all"."""
    return {_EVERYBODY: found.markers.everybody, **shown_entities(found)}


def carrying_in_words(part: ReleasedPart) -> str:
    """How many markers hold 90 % of the votes."""
    if part.carry_most is not None:
        return f"{counted(part.carry_most, 'marker holds', 'markers hold')} 90 % of all votes"
    return (
        f"{counted(len(part.markers), 'marker stands', 'markers stand')} out of the noise and "
        f"{'holds' if len(part.markers) == 1 else 'hold'} {percent(part.share_of_votes)} of all votes"
    )


def how_in_words(found: ReleasedExplanations, plan: StudyPlan) -> str:
    """What was counted, of whom, and with which noise."""
    votes = found.spec.votes
    assert votes is not None
    noised = (
        "without any noise"
        if not plan.privacy.mode.private
        else "with noise, charged to each hospital's budget; intervals (95 %) cover that noise and nothing else"
    )
    return (
        f"Each patient of {counted(len(found.hospitals), 'hospital', 'hospitals')} votes for the "
        f"{counted(votes.most_votes, 'marker', 'markers')} that move the model's prognosis for that patient most. The "
        f"votes are counted {noised}. Shown is what stands out of the noise, of at least "
        f"{whole(found.spec.smallest_shown)} patients as counted so."
    )


def explanation_lines(found: ReleasedExplanations, plan: StudyPlan, schema: StudySchema, *, most: int) -> Iterator[str]:
    """For a terminal. most: markers and pairs, at most."""
    yield how_in_words(found, plan)
    everybody = found.markers.everybody
    if not everybody.markers:
        yield f"Nothing may be shown: about {whole(everybody.patients)} patients, or no marker stands out of the noise."
        return
    yield ""
    spread = f" (noise: ±{whole(NORMAL_95 * everybody.patients_sd)})" if everybody.patients_sd else ""
    yield f"All {whole(everybody.patients)} patients{spread}: {carrying_in_words(everybody)}."
    yield from _table(everybody, schema, most=most)
    for entity, part in shown_entities(found).items():
        yield ""
        yield f"{plain_name(entity)}, {whole(part.patients)} patients: {carrying_in_words(part)}."
        yield from _table(part, schema, most=min(most, SHOWN_OF_ENTITY))
    hidden = len(found.markers.by_entity) - len(shown_entities(found))
    if hidden:
        yield ""
        yield f"Not shown, too few patients or nothing above the noise: {counted(hidden, 'entity', 'entities')}."
    if found.pairs is not None:
        yield ""
        yield from _pairs(found, schema, most=most)


def _table(part: ReleasedPart, schema: StudySchema, *, most: int) -> Iterator[str]:
    rows = marker_rows(part, schema)[:most]
    width = max(len("marker"), *(len(row.name) for row in rows))
    yield f"  {'marker':{width}s}  {'of patients':>22s}  {'hazard ratio (95 %)':24s}  effect"
    for row in rows:
        share = f"{row.share:.0%} ({row.share_low:.0%} to {row.share_high:.0%})"
        yield f"  {row.name:{width}s}  {share:>22s}  {row.size:24s}  {row.effect}"


def _pairs(found: ReleasedExplanations, schema: StudySchema, *, most: int) -> Iterator[str]:
    rows = pair_rows(found, schema)
    yield f"{counted(len(rows), 'pair of markers stands', 'pairs of markers stand')} out of the noise."
    for row in rows[:most]:
        yield f"  {row.first} x {row.second}: {row.share:.0%} of patients; both high: {row.together}"


def explanation_table(found: ReleasedExplanations) -> pd.DataFrame:
    """Everything that may be shown, a row for each marker of each part, then for each pair; for a CSV file."""
    rows: list[dict[str, object]] = [
        {
            "patients_of": entity,
            "patients": round(part.patients, 1),
            "patients_noise_sd": round(part.patients_sd, 1),
            "marker": marker.name,
            "second_marker": "",
            "voters": round(marker.voters, 1),
            "voters_noise_sd": round(marker.voters_sd, 1),
            "mean_log_hazard_ratio": round(marker.effect, 4),
            "mean_log_hazard_ratio_noise_sd": round(marker.effect_sd, 4),
        }
        for entity, part in shown_parts(found).items()
        for marker in part.markers
    ]
    rows += [
        {
            "patients_of": _EVERYBODY,
            "patients": round(found.markers.everybody.patients, 1),
            "patients_noise_sd": round(found.markers.everybody.patients_sd, 1),
            "marker": pair.first,
            "second_marker": pair.second,
            "voters": round(pair.net_voters, 1),
            "voters_noise_sd": round(pair.noise_sd, 1),
            "mean_log_hazard_ratio": math.nan,
            "mean_log_hazard_ratio_noise_sd": math.nan,
        }
        for pair in found.pairs or ()
    ]
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class PageOfMarkers:
    """What a page shows. cut_at: the largest hazard ratio that a patient counts with, in words.

    entities      (name, how many carry most, rows). hidden: names of entities of which nothing is shown.
    pairs         None where none were asked for. pairs_beyond: how many more may be shown than are.
    alternative   the text of the picture.
    """

    how: str
    patients: float
    carrying: str
    cut_at: str
    rows: tuple[MarkerRow, ...]
    entities: tuple[tuple[str, str, tuple[MarkerRow, ...]], ...]
    hidden: tuple[str, ...]
    pairs: tuple[PairRow, ...] | None
    pairs_beyond: int
    alternative: str


def page_of_markers(found: ReleasedExplanations, plan: StudyPlan, schema: StudySchema) -> PageOfMarkers:
    """The strongest of everybody and of each entity."""
    everybody, entities, votes = found.markers.everybody, shown_entities(found), found.spec.votes
    assert votes is not None
    pairs = pair_rows(found, schema)
    return PageOfMarkers(
        how=how_in_words(found, plan),
        patients=everybody.patients,
        carrying=carrying_in_words(everybody),
        cut_at=f"{hazard_ratio(votes.largest_effect)} or {hazard_ratio(-votes.largest_effect)}",
        rows=marker_rows(everybody, schema)[:SHOWN],
        entities=tuple(
            (
                f"{plain_name(entity)}, {whole(part.patients)} patients",
                carrying_in_words(part).capitalize(),
                marker_rows(part, schema)[:SHOWN_OF_ENTITY],
            )
            for entity, part in entities.items()
        ),
        hidden=tuple(plain_name(entity) for entity in found.markers.by_entity if entity not in entities),
        pairs=None if found.pairs is None else pairs[:SHOWN],
        pairs_beyond=max(len(pairs) - SHOWN, 0),
        alternative=picture_words(everybody, schema),
    )


def picture_words(part: ReleasedPart, schema: StudySchema) -> str:
    """The alternative text of the picture."""
    rows = marker_rows(part, schema)[:3]
    return f"Bars of the {counted(len(part.markers[:SHOWN]), 'marker', 'markers')} with most votes. " + " ".join(
        f"{row.name}: {percent(row.share)} of patients, {row.effect}." for row in rows
    )
