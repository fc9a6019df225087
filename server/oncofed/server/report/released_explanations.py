"""How is what hospitals released of a model's key markers put before a reader: rows for page, terminal and CSV file.

Only noised numbers go in (`rounds.explanation_votes`); intervals are of the privacy noise alone, at 95 %.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import pandas as pd

from oncofed.cohort.schema import Kind, StudySchema
from oncofed.protocol.plan import StudyPlan
from oncofed.server.rounds.explanation_votes import KeyMarker, ReleasedExplanations, ReleasedPart
from oncofed.words.language import ENGLISH, Language
from oncofed.words.markers import source_label
from oncofed.words.names import capital, plain_name
from oncofed.words.numbers import counted, hazard_ratio, percent, whole

NORMAL_95 = 1.96
SHOWN = 20
SHOWN_OF_ENTITY = 5
_EVERYBODY = "all"
NOT_KNOWN: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class MarkerRow:
    """voters, low, high: noised number of patients, and its interval. share: of the patients, and its interval.

    direction  1: a higher value (or being unmeasured) raises the hazard; -1: lowers it; 0: not known, or by category.
    effect     the direction in words. size: the mean hazard ratio of the voters, in words, and what the noise of the
               count leaves of it; the noise of training is not in that, so it is called no interval.
    noise      whether a weight of the marker stands out of the noise of training; empty where nobody knows.
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
    noise: str = ""


def marker_rows(
    part: ReleasedPart, schema: StudySchema, noise: Mapping[str, str] = NOT_KNOWN, *, say: Language = ENGLISH
) -> tuple[MarkerRow, ...]:
    """Of the markers that may be shown, most voters first. noise: of `linear_effects.against_noise`, by marker."""
    return tuple(_row(marker, part, schema, noise.get(marker.name, ""), say) for marker in part.markers)


def _row(marker: KeyMarker, part: ReleasedPart, schema: StudySchema, noise: str, say: Language) -> MarkerRow:
    share = marker.voters / part.patients
    share_sd = math.hypot(marker.voters_sd, share * part.patients_sd) / part.patients
    low, middle, high = (min(max(share + step * NORMAL_95 * share_sd, 0.0), 1.0) for step in (-1, 0, 1))
    return MarkerRow(
        name=_shown(marker.name, schema, say),
        voters=marker.voters,
        low=marker.voters - NORMAL_95 * marker.voters_sd,
        high=marker.voters + NORMAL_95 * marker.voters_sd,
        share=middle,
        share_low=low,
        share_high=high,
        direction=0 if _kind(marker.name, schema) is Kind.CATEGORICAL else marker.direction,
        effect=_effect(marker, schema, say),
        size=_size(marker, schema, say),
        noise=say(noise),
    )


def _kind(name: str, schema: StudySchema) -> Kind | None:
    """None for the flag of a modality that is missing as a whole."""
    return next((marker.kind for marker in schema.markers if marker.name == name), None)


def _shown(name: str, schema: StudySchema, say: Language) -> str:
    return source_label(schema, name, say=say)


def _effect(marker: KeyMarker, schema: StudySchema, say: Language) -> str:
    kind = _kind(marker.name, schema)
    if kind is Kind.CATEGORICAL:
        return say("by category")
    if marker.direction == 0:
        return say("lost in the noise")
    if kind is None:
        return say("higher hazard") if marker.direction > 0 else say("lower hazard")
    if kind is Kind.BINARY:
        return say("yes: higher hazard") if marker.direction > 0 else say("yes: lower hazard")
    return say("higher value: higher hazard") if marker.direction > 0 else say("higher value: lower hazard")


def _size(marker: KeyMarker, schema: StudySchema, say: Language) -> str:
    if _kind(marker.name, schema) is Kind.CATEGORICAL:
        return say("by category")
    ends = (marker.effect + sign * NORMAL_95 * marker.effect_sd for sign in (-1, 1))
    value, low, high = (hazard_ratio(each, say=say) for each in (marker.effect, *ends))
    return say("%(value)s (%(low)s to %(high)s)", value=value, low=low, high=high)


@dataclass(frozen=True)
class PairRow:
    """share: of the patients, without a sign. together: what higher values of both do, in words."""

    first: str
    second: str
    net_voters: float
    share: float
    together: str


def pair_rows(found: ReleasedExplanations, schema: StudySchema, *, say: Language = ENGLISH) -> tuple[PairRow, ...]:
    """Of the pairs that may be shown, most net voters first."""
    patients = found.markers.everybody.patients
    return tuple(
        PairRow(
            first=_shown(pair.first, schema, say),
            second=_shown(pair.second, schema, say),
            net_voters=pair.net_voters,
            share=min(abs(pair.net_voters) / patients, 1.0),
            together=say("worse than their sum") if pair.net_voters > 0 else say("better than their sum"),
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


def carrying_in_words(part: ReleasedPart, *, say: Language = ENGLISH) -> str:
    """How many markers hold 90 % of the votes."""
    if part.carry_most is not None:
        return say.several(
            "%(count)s marker holds 90 %% of all votes", "%(count)s markers hold 90 %% of all votes", part.carry_most
        )
    return say.several(
        "%(count)s marker stands out of the noise and holds %(share)s of all votes",
        "%(count)s markers stand out of the noise and hold %(share)s of all votes",
        len(part.markers),
        share=percent(part.share_of_votes, say=say),
    )


def how_in_words(found: ReleasedExplanations, plan: StudyPlan, *, say: Language = ENGLISH) -> str:
    """What was counted, of whom, and with which noise."""
    votes = found.spec.votes
    assert votes is not None
    noised = (
        say("The votes are counted without any noise.")
        if not plan.privacy.mode.private
        else say(
            "The votes are counted with noise, charged to each hospital's budget; ranges (95 %) are of that noise "
            "alone, and leave out the noise of training."
        )
    )
    vote = say.several(
        "Each patient of %(count)s hospital votes for the %(most)s that move the model's prognosis for that patient "
        "most.",
        "Each patient of %(count)s hospitals votes for the %(most)s that move the model's prognosis for that patient "
        "most.",
        len(found.hospitals),
        most=say.several("%(count)s marker", "%(count)s markers", votes.most_votes),
    )
    shown = say(
        "Shown is what stands out of the noise, of at least %(fewest)s patients as counted so.",
        fewest=whole(found.spec.smallest_shown, say=say),
    )
    return f"{vote} {noised} {shown}"


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
    yield f"  {'marker':{width}s}  {'of patients':>22s}  {'hazard ratio (count)':24s}  effect"
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


def page_of_markers(
    found: ReleasedExplanations,
    plan: StudyPlan,
    schema: StudySchema,
    noise: Mapping[str, str] = NOT_KNOWN,
    *,
    say: Language = ENGLISH,
) -> PageOfMarkers:
    """The strongest of everybody and of each entity. noise: of `linear_effects.against_noise`."""
    everybody, entities, votes = found.markers.everybody, shown_entities(found), found.spec.votes
    assert votes is not None
    pairs = pair_rows(found, schema, say=say)
    largest = votes.largest_effect
    return PageOfMarkers(
        how=how_in_words(found, plan, say=say),
        patients=everybody.patients,
        carrying=carrying_in_words(everybody, say=say),
        cut_at=say("%(high)s or %(low)s", high=hazard_ratio(largest, say=say), low=hazard_ratio(-largest, say=say)),
        rows=marker_rows(everybody, schema, noise, say=say)[:SHOWN],
        entities=tuple(
            (
                say("%(name)s, %(patients)s patients", name=plain_name(entity), patients=whole(part.patients, say=say)),
                capital(carrying_in_words(part, say=say)),
                marker_rows(part, schema, noise, say=say)[:SHOWN_OF_ENTITY],
            )
            for entity, part in entities.items()
        ),
        hidden=tuple(plain_name(entity) for entity in found.markers.by_entity if entity not in entities),
        pairs=None if found.pairs is None else pairs[:SHOWN],
        pairs_beyond=max(len(pairs) - SHOWN, 0),
        alternative=picture_words(everybody, schema, say=say),
    )


def picture_words(part: ReleasedPart, schema: StudySchema, *, say: Language = ENGLISH) -> str:
    """The alternative text of the picture."""
    rows = marker_rows(part, schema, say=say)[:3]
    bars = say.several(
        "Bars of the %(count)s marker with most votes.",
        "Bars of the %(count)s markers with most votes.",
        len(part.markers[:SHOWN]),
    )
    return f"{bars} " + " ".join(
        say(
            "%(name)s: %(share)s of patients, %(effect)s.",
            name=row.name,
            share=percent(row.share, say=say),
            effect=row.effect,
        )
        for row in rows
    )
