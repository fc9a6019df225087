"""What stands at the top of a patient's page, in words: the answer first, then how sure it is and what is missing?

Three scenarios tell a time better than one middle (Kiely, Soon and Stockler, J Clin Oncol 29 (2011)): the worst tenth,
the half between, the best tenth. Promises: a count of a hundred is never 0 or 100 where the curve is not; a time beyond
what the model looks at is "more than" that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from oncofed.client.pages.cause_words import FirstWords, first_sentence
from oncofed.client.pages.competing import Competing
from oncofed.client.pages.hospital import HospitalPrognosis
from oncofed.client.pages.missing_markers import Completeness
from oncofed.client.pages.patient_view import Curve, PatientView, Status
from oncofed.client.pages.wording import marker_value, time
from oncofed.cohort.schema import Endpoint, Kind, Modality, StudySchema, TimeUnit
from oncofed.survival.curves import NOT_REACHED
from oncofed.survival.grid import TimeGrid
from oncofed.words.markers import marker_label, shown_unit, shown_value
from oncofed.words.names import plain_name
from oncofed.words.numbers import hazard_ratio

_YEAR = {TimeUnit.DAYS.value: 365.25, TimeUnit.WEEKS.value: 52.0, TimeUnit.MONTHS.value: 12.0}
_MOST_TIMES = 4
_ASKED_YEARS = 3
_OF_DEATH = frozenset({"death", "dead", "died", "deceased", "os"})
_WORST, _LOWER, _UPPER, _BEST = 0.9, 0.75, 0.25, 0.1
_HEADLINES = ("stage", "ecog", "age")


@dataclass(frozen=True)
class EventWords:
    """Of an endpoint. without: "alive", or "without the event". had: what happened, in the past. they: of many."""

    without: str
    had: str
    they: str


def event_words(endpoint: Endpoint) -> EventWords:
    """Of death where the endpoint's name or its event's column says so."""
    words = {*plain_name(endpoint.name).lower().split(), *plain_name(endpoint.event_column).lower().split()}
    is_death = endpoint.death_event_column is None and (words & _OF_DEATH or {"overall", "survival"} <= words)
    if is_death:
        return EventWords("alive", "died", "live")
    return EventWords("without the event", "had the event", "stay without the event")


def told_times(grid: TimeGrid) -> list[float]:
    """A few bounds of the grid, whole years where there are any."""
    among = _whole_years(grid) or list(grid.bounds[1:])
    places = np.linspace(0, len(among) - 1, min(_MOST_TIMES, len(among))).round().astype(int)
    return [among[place] for place in places]


def _whole_years(grid: TimeGrid) -> list[float]:
    year = _YEAR.get(grid.unit, 1.0)
    return [bound for bound in grid.bounds[1:] if abs(bound / year - round(bound / year)) < 0.01]


def in_years(moment: float, unit: str) -> str:
    """Whole years where it is that."""
    years = moment / _YEAR.get(unit, 1.0)
    if years < 0.5 or abs(years - round(years)) >= 0.01:
        return time(moment, unit)
    return f"{round(years)}\N{NO-BREAK SPACE}{'year' if round(years) == 1 else 'years'}"


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


def sentence(curve: Curve, words: EventWords, grid: TimeGrid) -> str:
    """Of a hundred such patients."""
    moment = asked_moment(grid, since=curve.since)
    such = f" {words.without} at {in_years(curve.since, grid.unit)}" if curve.since else ""
    count, when = _of_hundred(curve.at(moment)), in_years(moment, grid.unit)
    return f"Of 100 such patients{such}, about {count} are {words.without} after {when}."


@dataclass(frozen=True)
class Answer:
    """sentence: of a hundred such patients. scenarios: three times. words: of the endpoint.

    first  of all that may come first; None for an endpoint that competes with none.
    """

    sentence: str
    scenarios: str
    words: EventWords
    first: FirstWords | None


def answer(schema: StudySchema, endpoint: int, curve: Curve, competing: Competing | None) -> Answer:
    """What stands first on a page. competing: of the endpoint, where it does; its curve begins at time zero."""
    grid, asked = schema.grid, schema.endpoints[endpoint]
    if competing is None:
        words = event_words(asked)
        return Answer(sentence(curve, words, grid), scenarios(curve, words, grid), words, None)
    first = FirstWords.of(schema, competing)
    words = EventWords(f"without {plain_name(asked.name)}", first.causes[0].came, first.spared)
    moment = asked_moment(grid)
    return Answer(
        first_sentence(competing, first, moment, in_years(moment, grid.unit)),
        scenarios(Curve(competing.times, competing.free, None), EventWords(first.without, "", first.spared), grid),
        words,
        first,
    )


def _of_hundred(share: float) -> str:
    count = round(100 * share)
    if count in (0, 100) and 0 < share < 1:
        return "fewer than 1" if count == 0 else "more than 99"
    return str(count)


def scenarios(curve: Curve, words: EventWords, grid: TimeGrid) -> str:
    """The half between, the worst and the best tenth."""
    worst, lower, middle, upper, best = (_when(curve, share, grid) for share in (_WORST, _LOWER, 0.5, _UPPER, _BEST))
    unit = f"\N{NO-BREAK SPACE}{grid.unit}"
    if lower.startswith("more"):
        typical = f"Typical: three in four of them {words.they} for {lower}{unit}."
    else:
        typical = f"Typical: half of them {words.they} for {lower} to {upper}{unit} (middle: {middle})."
    below = worst if worst.startswith("more") else f"less than {worst}"
    beyond = best if best.startswith("more") else f"more than {best}"
    return f"{typical} Worst tenth: {below}{unit}. Best tenth: {beyond}{unit}."


def _when(curve: Curve, share: float, grid: TimeGrid) -> str:
    moment = curve.when(share)
    if moment == NOT_REACHED:
        return f"more than {_number(grid.bounds[-1])}"
    return _number(moment)


def _number(moment: float) -> str:
    return f"{moment:.2g}" if moment < 10 else f"{moment:.0f}"


def status_words(status: Status, words: EventWords, grid: TimeGrid, *, instead: str = "") -> str:
    """By the table as it is now. instead: what came first, in the past, if anything did."""
    when = time(status.time, grid.unit)
    if instead:
        return f"{instead} after {when}"
    return f"{words.had} after {when}" if status.event else f"{words.without} when last seen, after {when}"


def completeness_words(found: Completeness) -> str:
    """How many markers are known, and how far the others could move the hazard."""
    missing = found.markers - found.known
    if not missing:
        return f"All {found.markers} markers are known."
    said = f"{found.known} of {found.markers} markers are known."
    if found.change is not None:
        low, high = hazard_ratio(found.change.low), hazard_ratio(found.change.high)
        others = "the other one" if missing == 1 else "the others"
        were = "was" if missing == 1 else "were"
        said += f" If {others} {were} measured, the hazard could be {low} to {high} times what it is here"
        said += f" ({found.change.holds} of such patients)."
    if found.not_told:
        said += f" For {found.not_told} of these {missing} too few other patients have a value to say."
    return said


def headline(hospital: HospitalPrognosis, row: int) -> str:
    """Tumour, stage, performance status and age as far as the schema has them and they are known."""
    schema, values, found = hospital.schema, hospital.cohort.values[row], []
    for name in (schema.tumour_entity, *_HEADLINES):
        for marker, value in zip(schema.markers, values, strict=True):
            label = marker_label(marker)
            is_entity = marker.name == schema.tumour_entity
            asked = is_entity if name == schema.tumour_entity else _is_headline(label, marker.modality, str(name))
            if not asked or math.isnan(value) or (marker.kind is Kind.CATEGORICAL and not is_entity):
                continue
            said, short = marker_value(marker, float(value)), "ECOG" if name == "ecog" else label
            years = f"{shown_value(marker, float(value)):.0f} {shown_unit(marker)}".rstrip()
            found.append(said if is_entity else years if name == "age" else f"{short} {said}")
            break
    return ", ".join(found)


def _is_headline(label: str, modality: Modality, name: str) -> bool:
    words = label.lower().split()
    return modality is Modality.CLINICAL and (words == [name] if name == "age" else name in words)
