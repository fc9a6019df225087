"""Does anything that is served of outcomes tell more than rounded numbers of parts, or one death between two versions?

What the pages must be a function of is counted here by itself, patient by patient: two tables of which these numbers
are equal must be served alike, to the last letter, pixel and digit.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.pages_hospital import ENTITY, PLAN_HASH, hospital, network, served

from oncofed.client.pages import outcome_parts
from oncofed.client.pages.accounts import Role
from oncofed.client.pages.disclosure import Disclosure
from oncofed.client.pages.hospital import HospitalPrognosis
from oncofed.client.pages.published import Published, renewal
from oncofed.client.pages.units import Units
from oncofed.cohort.cohort import Cohort

FloatArray = NDArray[np.float64]

TABLE = hospital(400, seed=3).cohort
FLOOR = 10
ROW = next(row for row in range(400) if TABLE.values[row, ENTITY] == 0)


def published_of(cohort: Cohort) -> Published:
    return renewal(None, cohort, floor=FLOOR, key=b"k" * 32).published


def everything_of_outcomes(published: Published, folder: Path) -> list[str]:
    """Pages with their pictures, and exports, of all and of each tumour, and what one patient's page says of others."""
    folder.mkdir()
    shown = HospitalPrognosis(
        "Bonn", "lung", PLAN_HASH, network(), TABLE, published=published.units, as_of=published.as_of
    )
    found = []
    with served(folder, shown=shown) as here, here.signed_in(Role.CLINICIAN) as client:
        for endpoint in ("0", "1"):
            for entity in ("", *(str(unit) for unit in shown.entities_shown())):
                for file in ("", "/risk-groups.csv", "/strongest.csv"):
                    asked = {"entity": entity, "marker": "smoker", "endpoint": endpoint}
                    found.append(client.get(f"/cohort{file}", params=asked).text)
            page = here.opened(client, ROW)
            for each in (page, f"{page}/twin"):
                found.append(client.get(each, params={"endpoint": endpoint}).text.replace(page, ""))
    return [re.sub(r'form_secret" value="[^"]+"|\d\d:\d\d', "", text) for text in found]


def rounded(published: Published) -> list[int]:
    """Of each part, endpoint and time: how many had an event by then, and were under observation, in tens."""
    cohort = published.units.cohort
    shown = HospitalPrognosis("Bonn", "lung", PLAN_HASH, network(), TABLE, published=published.units)
    times = [*range(0, 61, 6)]
    assert outcome_parts.public_axis(shown.grid).tolist() == times
    found = []
    for number in range(2):
        for part in shown.endpoint(number).parts:
            for moment in times:
                events = at_risk = 0
                for row in part.rows.tolist():
                    end, entry = cohort.exit[row, number], cohort.entry[row, number]
                    events += bool(cohort.observed[row, number] and end <= min(moment, 60))
                    at_risk += bool(end >= moment and (entry < moment or entry == 0))
                found += [events // FLOOR, min(at_risk // FLOOR, len(part.rows) // FLOOR)]
    return found


def with_outcomes_of(rows: list[int], *, events: bool, seed: int) -> Cohort:
    """Some have had an event, or not, after all; or were observed for another time."""
    exits, observed = np.array(TABLE.exit), np.array(TABLE.observed)
    if events:
        observed[rows, 0] ^= True
    else:
        exits[rows, 0] += np.random.default_rng(seed).uniform(-0.4, 0.4, len(rows))
        exits[rows, 0] = np.maximum(exits[rows, 0], 0.01)
    return Cohort(TABLE.schema, TABLE.patient_ids, TABLE.values.copy(), TABLE.entry.copy(), exits, observed)


def worlds() -> list[Published]:
    """Tables that differ from the first in the outcomes of one patient or of a few."""
    rng = np.random.default_rng(5)
    found = [published_of(TABLE)]
    for number in range(12):
        rows = rng.choice(400, [1, 3][number % 2], replace=False).tolist()
        found.append(published_of(with_outcomes_of(rows, events=number % 4 < 3, seed=number)))
    return found


def test_tables_with_the_same_rounded_numbers_are_served_alike(tmp_path: Path) -> None:
    first, *others = worlds()
    seen, numbers = everything_of_outcomes(first, tmp_path / "first"), rounded(first)
    alike = 0
    for place, other in enumerate(others):
        if rounded(other) == numbers:
            alike += 1
            assert everything_of_outcomes(other, tmp_path / str(place)) == seen
    assert 3 <= alike < len(others), "some of them, and not all"


def test_without_rounding_one_outcome_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check can fail: it does when parts tell exact numbers."""
    first, *others = worlds()
    chosen = next(other for other in others if rounded(other) == rounded(first))
    rounding, axis = outcome_parts.parts_of, outcome_parts.public_axis(network().spec.grid)

    def unrounded(units: Units, relevance: FloatArray, *, endpoint: int, **rest: Any) -> tuple[outcome_parts.Part, ...]:
        cohort, found = units.cohort, []
        for part in rounding(units, relevance, endpoint=endpoint, **rest):
            ends, observed = cohort.exit[part.rows, endpoint], cohort.observed[part.rows, endpoint]
            events = np.array([int((observed & (ends <= moment)).sum()) for moment in axis])
            found.append(replace(part, events=events))
        return tuple(found)

    monkeypatch.setattr("oncofed.client.pages.hospital.parts_of", unrounded)
    assert everything_of_outcomes(first, tmp_path / "a") != everything_of_outcomes(chosen, tmp_path / "b")


def next_night(*, deaths: int) -> Cohort:
    """Sixty patients with one tumour were observed for longer, and so many of them have died."""
    alive = np.flatnonzero(~TABLE.observed[:, 0] & (TABLE.values[:, ENTITY] == 0))[:60]
    exits, observed = np.array(TABLE.exit), np.array(TABLE.observed)
    exits[alive, 0] += 0.3
    observed[alive[:deaths], 0] = True
    return Cohort(TABLE.schema, TABLE.patient_ids, TABLE.values.copy(), TABLE.entry.copy(), exits, observed)


@pytest.mark.parametrize("deaths", [1, 9])
def test_few_deaths_among_many_changes_are_in_no_version_that_is_served(deaths: int, tmp_path: Path) -> None:
    first = published_of(TABLE)
    before = everything_of_outcomes(first, tmp_path / "first")
    second = renewal(first, next_night(deaths=deaths), floor=FLOOR).published
    assert everything_of_outcomes(second, tmp_path / "second") == before
    third = renewal(second, next_night(deaths=40), floor=FLOOR).published
    assert everything_of_outcomes(third, tmp_path / "third") != before, "the check must be able to fail"


@pytest.mark.parametrize("patients", range(60, 140, 7))
def test_sizes_of_parts_say_no_more_than_the_rounded_number_of_patients(patients: int) -> None:
    """Thirds of an exact number would: 30, 30 and 29 are 89 and nothing else."""
    sizes = []
    for more in range(FLOOR):
        of = patients // FLOOR * FLOOR + more
        values = np.array(TABLE.values[:of])
        values[:, ENTITY] = 0.0
        cohort = Cohort(
            TABLE.schema, TABLE.patient_ids[:of], values, TABLE.entry[:of], TABLE.exit[:of], TABLE.observed[:of]
        )
        units = published_of(cohort).units
        parts = outcome_parts.parts_of(
            units,
            np.random.default_rng(0).normal(size=of),
            set_aside=np.zeros(of, dtype=np.bool_),
            endpoint=0,
            grid=network().spec.grid,
            disclosure=Disclosure(FLOOR),
        )
        assert sum(len(part.rows) for part in parts) == of
        assert all(part.at_risk.max() <= part.patients for part in parts)
        sizes.append([(part.third, part.patients) for part in parts])
    assert all(each == sizes[0] for each in sizes)
    assert sum(size for _, size in sizes[0]) == patients // FLOOR * FLOOR


@pytest.mark.parametrize(
    ("aside", "apart"), [(0, False), (55, False), (60, True), (69, True), (149, True), (150, False)]
)
def test_who_was_set_aside_is_in_parts_of_their_own_where_both_sides_are_many_and_nobody_is_in_two(
    aside: int, apart: bool
) -> None:
    """Of 210 patients. Were the two kinds of parts to overlap, their difference could be told."""
    of = 210
    values = np.array(TABLE.values[:of])
    values[:, ENTITY] = 0.0
    cohort = Cohort(
        TABLE.schema, TABLE.patient_ids[:of], values, TABLE.entry[:of], TABLE.exit[:of], TABLE.observed[:of]
    )
    set_aside = np.arange(of) < aside
    parts = outcome_parts.parts_of(
        published_of(cohort).units,
        np.random.default_rng(0).normal(size=of),
        set_aside=set_aside,
        endpoint=0,
        grid=network().spec.grid,
        disclosure=Disclosure(FLOOR),
    )
    assert sorted(np.concatenate([part.rows for part in parts]).tolist()) == list(range(of))
    assert any(part.unseen for part in parts) is apart
    for part in parts:
        assert not apart or set_aside[part.rows].all() == part.unseen
        assert not apart or set_aside[part.rows].any() == part.unseen
        assert part.patients % FLOOR == 0
    unseen = sum(part.patients for part in parts if part.unseen)
    assert unseen == (aside // FLOOR * FLOOR if apart else 0)


def parts_of_batches(patients: int, *, batches: int, aside: int, dead: int = 0) -> tuple[outcome_parts.Part, ...]:
    """Of one tumour; the last so many have died early, and are the most at risk."""
    shape = (patients, TABLE.exit.shape[1])
    observed, exits = np.zeros(shape, dtype=np.bool_), np.full(shape, 70.0)
    observed[patients - dead :], exits[patients - dead :] = True, 3.0
    of = TABLE.subset(range(patients))
    cohort = Cohort(TABLE.schema, of.patient_ids, of.values.copy(), np.zeros(shape), exits, observed)
    units = Units(cohort, np.zeros(patients, dtype=np.intp), np.arange(patients) % batches)
    return outcome_parts.parts_of(
        units,
        np.arange(patients, dtype=np.float64),
        set_aside=np.arange(patients) // batches < aside / batches,
        endpoint=0,
        grid=network().spec.grid,
        disclosure=Disclosure(FLOOR),
    )


@pytest.mark.parametrize("batches", [1, 2])
def test_sizes_of_both_kinds_of_parts_agree_with_as_many_counts_as_the_floor(batches: int) -> None:
    """Three rounded numbers, of all, of some and of the others, would leave fewer."""
    agreeing: dict[tuple[object, ...], set[tuple[int, int]]] = {}
    for each in range(150, 170):
        for aside in range(50, 90):
            parts = parts_of_batches(each * batches, batches=batches, aside=aside * batches)
            told = (each // FLOOR, *((part.unseen, part.third, part.patients) for part in parts))
            agreeing.setdefault(told, set()).add((each, aside))
    assert len(agreeing) > 2, "where they are cut apart, too"
    for told, counts in agreeing.items():
        assert len({each for each, _ in counts}) >= FLOOR, told
        assert len({aside for _, aside in counts}) >= FLOOR, told


def test_of_a_part_no_more_events_are_told_than_patients() -> None:
    """More would tell of those left over: nine batches of 29 are told as 20 each, and 81 are in the last part."""
    parts = parts_of_batches(9 * 29, batches=9, aside=0, dead=141)
    assert len(parts[-1].rows) == 141
    assert all(part.events.max() <= part.patients and part.at_risk.max() <= part.patients for part in parts)
