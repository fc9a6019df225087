"""Do figures of groups stay what they were until enough have come, and is what was told before never forgotten?"""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from tests.pages_hospital import ENTITY, hospital

from oncofed.client.pages.published import (
    Published,
    begun_anew,
    content_of,
    members_of,
    published_of,
    renewal,
)
from oncofed.client.pages.units import REST
from oncofed.cohort.cohort import Cohort
from oncofed.errors import InvalidInput, RecordDamaged

TABLE = hospital(460, seed=3).cohort


def of_tumours(counts: dict[int, int], *, begin: int = 0) -> Cohort:
    """So many patients with each tumour; identifiers and values follow from their place in the table."""
    values = np.array(TABLE.values)
    rows = []
    for tumour, count in counts.items():
        chosen = range(begin + 150 * tumour, begin + 150 * tumour + count)
        rows += list(chosen)
        values[list(chosen), ENTITY] = tumour
    arrays = TABLE.entry.copy(), TABLE.exit.copy(), TABLE.observed.copy()
    table = Cohort(TABLE.schema, TABLE.patient_ids, values, *arrays)
    return table.subset(rows)


def counted(published: Published) -> dict[int, int]:
    return {int(unit): int((published.units.of == unit).sum()) for unit in np.unique(published.units.of)}


@pytest.mark.parametrize(
    ("counts", "shown"),
    [
        ({0: 100, 1: 20}, {0: 100, 1: 20}),
        ({0: 100, 1: 19}, {0: 100, REST: 19}),
        ({0: 100, 1: 20, 2: 9}, {0: 100, 1: 20}),  # all minus both would be nine patients
        ({0: 100, 1: 20, 2: 10}, {0: 100, 1: 20, REST: 10}),
        ({0: 9}, {}),
    ],
)
def test_units_are_large_and_a_small_rest_is_in_no_figure(counts: dict[int, int], shown: dict[int, int]) -> None:
    assert counted(renewal(None, of_tumours(counts), floor=10).published) == shown


def test_new_patients_wait_until_there_are_enough_and_are_then_counted_apart() -> None:
    first = renewal(None, of_tumours({0: 100, 1: 30}), floor=10).published
    waits = renewal(first, of_tumours({0: 119, 1: 49}), floor=10)
    assert (counted(waits.published), waits.grown, waits.waiting) == ({0: 100, 1: 30}, (), (0, 1))
    later = renewal(waits.published, of_tumours({0: 120, 1: 49}), floor=10)
    assert (counted(later.published), later.grown, later.waiting) == ({0: 120, 1: 30}, (0,), (1,))
    lung = later.published.units.of == 0
    assert np.unique(later.published.units.batch[lung], return_counts=True)[1].tolist() == [100, 20]
    strata = later.published.units.strata
    assert np.unique(strata, return_counts=True)[1].tolist() == [100, 20, 30]


def test_nobody_is_published_twice_and_who_has_left_stays() -> None:
    first = renewal(None, of_tumours({0: 100}), floor=10).published
    other_tumour = renewal(first, of_tumours({0: 60, 1: 30}), floor=10).published
    assert counted(other_tumour) == {0: 100, 1: 30}
    lung = of_tumours({0: 100})
    values = np.where(np.arange(len(TABLE.schema.markers)) == ENTITY, 1.0, lung.values)
    corrected = Cohort(lung.schema, lung.patient_ids, values, lung.entry, lung.exit, lung.observed)
    again = renewal(other_tumour, corrected, floor=10).published
    np.testing.assert_array_equal(again.units.cohort.values, other_tumour.units.cohort.values)


def followed_up(of: Cohort, *, events: int = 0, longer: int = 0, undone: int = 0) -> Cohort:
    """Of the first endpoint: so many who lived have had an event, so many live on, and so many had none after all."""
    exits, observed = np.array(of.exit), np.array(of.observed)
    alive, dead = np.flatnonzero(~observed[:, 0]), np.flatnonzero(observed[:, 0])
    exits[alive[: events + longer], 0] += 0.5
    observed[alive[:events], 0] = True
    observed[dead[:undone], 0] = False
    return Cohort(of.schema, of.patient_ids, of.values.copy(), of.entry.copy(), exits, observed)


@pytest.mark.parametrize(
    ("changed", "taken", "waits"),
    [
        ({}, 0, False),
        ({"events": 10}, 10, False),
        ({"longer": 10}, 10, False),
        ({"events": 10, "longer": 15}, 25, False),
        ({"longer": 9}, 0, True),
        ({"events": 9}, 0, True),
        ({"events": 1, "longer": 24}, 0, True),  # or one death could be read off the difference
        ({"events": 10, "longer": 9}, 0, True),
        ({"undone": 1}, 0, True),
        ({"undone": 10}, 10, False),
        ({"events": 10, "longer": 15, "undone": 3}, 25, True),
    ],
)
def test_follow_up_is_taken_when_of_each_kind_of_change_there_is_none_or_are_enough(
    changed: dict[str, int], taken: int, waits: bool
) -> None:
    table = of_tumours({0: 100})
    first = renewal(None, table, floor=10, today=date(2026, 1, 1)).published
    found = renewal(first, followed_up(table, **changed), floor=10, today=date(2026, 2, 1))
    before, after = first.units.cohort, found.published.units.cohort
    differ = (before.exit != after.exit) | (before.observed != after.observed)
    assert differ.sum() == taken
    assert (found.followed, found.waiting) == ((0,) if taken else (), (0,) if waits else ())
    days = np.where(differ, date(2026, 2, 1).toordinal(), date(2026, 1, 1).toordinal())
    np.testing.assert_array_equal(found.published.as_of, days)


def test_who_waits_counts_when_more_have_come() -> None:
    """Nine deaths wait; with the tenth all ten are taken, because it is counted from what was told."""
    table = of_tumours({0: 100})
    first = renewal(None, table, floor=10).published
    second = renewal(first, followed_up(table, events=9), floor=10).published
    third = renewal(second, followed_up(table, events=10), floor=10).published
    deaths = [int(each.units.cohort.observed[:, 0].sum()) for each in (first, second, third)]
    assert deaths == [deaths[0], deaths[0], deaths[0] + 10]


def test_beginning_anew_needs_enough_who_have_come_or_left_in_each_tumour() -> None:
    first = renewal(None, of_tumours({0: 100, 1: 30}), floor=10).published
    for counts in ({0: 100, 1: 30}, {0: 130, 1: 49}, {0: 119, 1: 50}):
        with pytest.raises(InvalidInput, match="too few patients have come or left"):
            begun_anew(first, of_tumours(counts), floor=10, today=date(2026, 2, 1))
    with pytest.raises(InvalidInput, match="at least 30"):
        begun_anew(first, of_tumours({0: 120, 1: 50}), floor=15, today=date(2026, 2, 1))
    coarse = renewal(None, of_tumours({0: 100, 1: 45}), floor=15).published
    with pytest.raises(InvalidInput, match="at least 30"):  # under a lower floor, too, what was told is of fifteens
        begun_anew(coarse, of_tumours({0: 125, 1: 70}), floor=10, today=date(2026, 2, 1))
    anew = begun_anew(first, of_tumours({0: 130, 1: 60}), floor=15, today=date(2026, 2, 1))
    assert (counted(anew), anew.floor, anew.versions) == ({0: 130, 1: 60}, 15, 2)
    left = begun_anew(first, of_tumours({0: 70, 1: 10}), floor=10, today=date(2026, 2, 1))
    assert counted(left) == {0: 70, REST: 10}


def test_the_file_holds_no_identifier_and_is_read_as_it_was_written() -> None:
    written = renewal(None, of_tumours({0: 100, 1: 30}), floor=10).published
    content = content_of(written)
    assert b"MRN" not in content
    assert not any("MRN" in patient for patient in written.units.cohort.patient_ids)
    read = published_of(content, TABLE.schema, name="published.zip")
    assert (read.floor, read.key, read.versions) == (10, written.key, 1)
    assert read.units.cohort.content_hash == written.units.cohort.content_hash
    np.testing.assert_array_equal(read.units.strata, written.units.strata)
    np.testing.assert_array_equal(read.as_of, written.as_of)
    assert counted(renewal(read, of_tumours({0: 101, 1: 30}), floor=10).published) == {0: 100, 1: 30}


def test_a_changed_file_is_refused() -> None:
    content = bytearray(content_of(renewal(None, of_tumours({0: 100}), floor=10).published))
    for place in (3, len(content) // 2, len(content) - 1):
        changed = bytearray(content)
        changed[place] ^= 1
        with pytest.raises(RecordDamaged):
            published_of(bytes(changed), TABLE.schema, name="published.zip")
        with pytest.raises(RecordDamaged):
            members_of(bytes(changed), name="published.zip")
