"""What stands at the top of a patient's page, in words: the answer first, then how sure it is and what is missing?

Three scenarios tell a time better than one middle (Kiely, Soon and Stockler, J Clin Oncol 29 (2011)): the worst tenth,
the half between, the best tenth. Promises: a count of a hundred is never 0 or 100 where the curve is not; a time beyond
what the model looks at is "more than" that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date

import numpy as np

from oncofed.client.pages.cause_words import FEWER_THAN_ONE, MORE_THAN_99, FirstWords, cause_words, first_sentence
from oncofed.client.pages.competing import Competing
from oncofed.client.pages.hospital import HospitalPrognosis
from oncofed.client.pages.missing_markers import Completeness
from oncofed.client.pages.patient_view import Curve, PatientView, Status, death_of
from oncofed.client.pages.wording import DATIVE, marker_value, moment_number, range_words, time
from oncofed.cohort.schema import Endpoint, Kind, Modality, StudySchema, TimeUnit
from oncofed.survival.curves import NOT_REACHED
from oncofed.survival.grid import TimeGrid
from oncofed.words.language import ENGLISH, Language
from oncofed.words.markers import endpoint_label, marker_label, shown_unit, shown_value
from oncofed.words.names import plain_name
from oncofed.words.numbers import hazard_ratio

_YEAR = {TimeUnit.DAYS.value: 365.25, TimeUnit.WEEKS.value: 52.0, TimeUnit.MONTHS.value: 12.0}
_MOST_TIMES = 4
_ASKED_YEARS = 3
_OF_DEATH = frozenset({"death", "dead", "died", "deceased", "os"})
_WORST, _LOWER, _UPPER, _BEST = 0.9, 0.75, 0.25, 0.1
_HEADLINES = ("stage", "ecog", "age")
HELD_TOGETHER = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True)
class EventWords:
    """Of an endpoint. without: "alive", or "without the event". had: what happened, in the past. they: of many."""

    without: str
    had: str
    they: str


def event_words(endpoint: Endpoint, *, say: Language = ENGLISH) -> EventWords:
    """Of death where the endpoint's name or its event's column says so."""
    words = {*plain_name(endpoint.name).lower().split(), *plain_name(endpoint.event_column).lower().split()}
    is_death = endpoint.death_event_column is None and (words & _OF_DEATH or {"overall", "survival"} <= words)
    if is_death:
        return EventWords(say("alive"), say("died"), say("live"))
    return EventWords(say("without the event"), say("had the event"), say("stay without the event"))


def told_times(grid: TimeGrid) -> list[float]:
    """A few bounds of the grid, whole years where there are any."""
    among = _whole_years(grid) or list(grid.bounds[1:])
    places = np.linspace(0, len(among) - 1, min(_MOST_TIMES, len(among))).round().astype(int)
    return [among[place] for place in places]


def _whole_years(grid: TimeGrid) -> list[float]:
    year = _YEAR.get(grid.unit, 1.0)
    return [bound for bound in grid.bounds[1:] if abs(bound / year - round(bound / year)) < 0.01]


def in_years(moment: float, unit: str, *, say: Language = ENGLISH, case: str = "") -> str:
    """Whole years where it is that."""
    years = moment / _YEAR.get(unit, 1.0)
    if years < 0.5 or abs(years - round(years)) >= 0.01:
        return time(moment, unit, say=say, case=case)
    whole = round(years)
    return f"{whole}\N{NO-BREAK SPACE}{say('year', context=case) if whole == 1 else say('years', context=case)}"


def starts(view: PatientView, grid: TimeGrid) -> list[float]:
    """From when on a curve may be asked for: time zero, and told times; nothing else where others may come first."""
    return [0.0] if view.may_come_first else starts_of(grid)


def starts_of(grid: TimeGrid) -> list[float]:
    return [0.0, *told_times(grid)[:-1]]


def asked_moment(grid: TimeGrid, *, since: float = 0.0) -> float:
    """Three years on, or as near as the grid has a year."""
    later = [bound for bound in _whole_years(grid) if bound > since] or [
        bound for bound in grid.bounds if bound > since
    ]
    asked = _ASKED_YEARS * _YEAR.get(grid.unit, 1.0)
    return min(later, key=lambda bound: abs(bound - asked))


def sentence(curve: Curve, words: EventWords, grid: TimeGrid, *, say: Language = ENGLISH) -> str:
    """Of a hundred such patients."""
    moment = asked_moment(grid, since=curve.since)
    count, when = say(of_a_hundred(curve.at(moment))), in_years(moment, grid.unit, say=say, case=DATIVE)
    if not curve.since:
        return say(
            "Of 100 such patients, about %(count)s are %(without)s after %(when)s.", **_named(count, words, when)
        )
    since = in_years(curve.since, grid.unit, say=say, case=DATIVE)
    return say(
        "Of 100 such patients %(without)s at %(since)s, about %(count)s are %(without)s after %(when)s.",
        since=since,
        **_named(count, words, when),
    )


def _named(count: str, words: EventWords, when: str) -> dict[str, str]:
    return {"count": count, "without": words.without, "when": when}


@dataclass(frozen=True)
class Answer:
    """sentence: of a hundred such patients. scenarios: three times. words: of the endpoint.

    first  of all that may come first; None for an endpoint that competes with none.
    """

    sentence: str
    scenarios: str
    words: EventWords
    first: FirstWords | None


def answer(
    schema: StudySchema, endpoint: int, curve: Curve, competing: Competing | None, *, say: Language = ENGLISH
) -> Answer:
    """What stands first on a page. competing: of the endpoint, where it does; its curve begins at time zero."""
    grid, asked = schema.grid, schema.endpoints[endpoint]
    if competing is None:
        words = event_words(asked, say=say)
        return Answer(sentence(curve, words, grid, say=say), scenarios(curve, words, grid, say=say), words, None)
    first = FirstWords.of(schema, competing, say=say)
    without = say("without %(event)s", event=endpoint_label(asked, say=say))
    words = EventWords(without, first.causes[0].came, first.spared)
    moment = asked_moment(grid)
    free = Curve(competing.times, competing.free, None)
    return Answer(
        first_sentence(competing, first, moment, in_years(moment, grid.unit, say=say, case=DATIVE), say=say),
        scenarios(free, EventWords(first.without, "", first.spared), grid, say=say),
        words,
        first,
    )


def of_a_hundred(share: float) -> str:
    """How many of a hundred, in English where it is no number."""
    count = round(100 * share)
    if count in (0, 100) and 0 < share < 1:
        return FEWER_THAN_ONE if count == 0 else MORE_THAN_99
    return str(count)


def scenarios(curve: Curve, words: EventWords, grid: TimeGrid, *, say: Language = ENGLISH) -> str:
    """The half between, the worst and the best tenth."""
    last = say("more than %(number)s", number=moment_number(grid.bounds[-1], say=say))
    moments = [curve.when(share) for share in (_WORST, _LOWER, 0.5, _UPPER, _BEST)]
    numbers = [last if each == NOT_REACHED else moment_number(each, say=say) for each in moments]
    worst, lower, middle, upper, best = numbers
    unit = f"\N{NO-BREAK SPACE}{say(grid.unit)}"
    if moments[1] == NOT_REACHED:
        typical = say("Typical: three in four of them %(live)s for %(time)s.", live=words.they, time=f"{lower}{unit}")
    else:
        typical = say(
            "Typical: half of them %(live)s for %(times)s (middle: %(middle)s).",
            live=words.they,
            times=f"{range_words(lower, upper, say=say)}{unit}",
            middle=middle,
        )
    below = worst if moments[0] == NOT_REACHED else say("less than %(number)s", number=worst)
    beyond = best if moments[-1] == NOT_REACHED else say("more than %(number)s", number=best)
    tenths = say("Worst tenth: %(worst)s. Best tenth: %(best)s.", worst=f"{below}{unit}", best=f"{beyond}{unit}")
    return f"{typical} {tenths}"


def known_course(schema: StudySchema, view: PatientView, words: EventWords, *, say: Language = ENGLISH) -> str:
    """What the table as it is now has of the event."""
    return course_words(schema, view.endpoint.number, view.status, words, say=say)


def course_words(
    schema: StudySchema, number: int, status: Status, words: EventWords, *, say: Language = ENGLISH
) -> str:
    """The same of a status alone. number: of the endpoint."""
    first = status.instead
    if first is None:
        instead = ""
    elif first == death_of(schema, number):
        instead = say("died")
    else:
        instead = cause_words(schema.endpoints[first], say=say).came
    return status_words(status, words, schema.grid, instead=instead, say=say)


def status_words(
    status: Status, words: EventWords, grid: TimeGrid, *, instead: str = "", say: Language = ENGLISH
) -> str:
    """instead: what came first, in the past, if anything did."""
    when = time(status.time, grid.unit, say=say, case=DATIVE)
    if instead or status.event:
        return say("%(happened)s after %(when)s", happened=instead or words.had, when=when)
    return say("%(without)s when last seen, after %(when)s", without=words.without, when=when)


def completeness_words(found: Completeness, *, say: Language = ENGLISH) -> str:
    """How many markers are known, and how far the others could move the hazard."""
    missing = found.markers - found.known
    if not missing:
        return say("All %(markers)s markers are known.", markers=found.markers)
    said = [say("%(known)s of %(markers)s markers are known.", known=found.known, markers=found.markers)]
    if found.change is not None:
        said.append(
            say.several(
                "If the other one was measured, the hazard could be %(low)s to %(high)s times what it is here"
                " (%(share)s of such patients).",
                "If the others were measured, the hazard could be %(low)s to %(high)s times what it is here"
                " (%(share)s of such patients).",
                missing,
                low=hazard_ratio(found.change.low, say=say),
                high=hazard_ratio(found.change.high, say=say),
                share=say(found.change.holds),
            )
        )
    if found.not_told:
        few = say(
            "For %(few)s of these %(missing)s too few other patients have a value to say.",
            few=found.not_told,
            missing=missing,
        )
        said.append(few)
    return " ".join(said)


def headline(hospital: HospitalPrognosis, row: int, *, between: str = " ", say: Language = ENGLISH) -> str:
    """Tumour, stage, performance status and age as far as the schema has them and they are known.

    between: a name or a unit and its value; on a page HELD_TOGETHER, so that no line ends there.
    """
    schema, values, found = hospital.schema, hospital.cohort.values[row], []
    for name in (schema.tumour_entity, *_HEADLINES):
        for marker, value in zip(schema.markers, values, strict=True):
            label = marker_label(marker)
            is_entity = marker.name == schema.tumour_entity
            asked = is_entity if name == schema.tumour_entity else _is_headline(label, marker.modality, str(name))
            if not asked or math.isnan(value) or (marker.kind is Kind.CATEGORICAL and not is_entity):
                continue
            said = marker_value(marker, float(value), say=say)
            short = "ECOG" if name == "ecog" else marker_label(marker, say=say)
            years = f"{shown_value(marker, float(value)):.0f} {shown_unit(marker, say=say)}".rstrip().replace(
                " ", between
            )
            found.append(said if is_entity else years if name == "age" else f"{short} {said}".replace(" ", between))
            break
    return ", ".join(found)


def _is_headline(label: str, modality: Modality, name: str) -> bool:
    words = label.lower().split()
    return modality is Modality.CLINICAL and (words == [name] if name == "age" else name in words)


def decided_on(hospital: HospitalPrognosis, say: Language) -> str:
    """The day; empty where nobody has decided."""
    on = "" if hospital.decided is None else hospital.decided.on
    return say.date(date.fromisoformat(on)) if on else ""
