"""Do figures of groups stay what they were until enough have come, and is what was told before never forgotten?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.pages_hospital import ENTITY, hospital

from oncofed.client.pages.published import (
    Published,
    read_published,
    refuse_other_floor,
    renewal,
    write_published,
)
from oncofed.client.pages.units import REST
from oncofed.cohort.cohort import Cohort
from oncofed.errors import InvalidInput, RecordDamaged

TABLE = hospital(460, seed=3).cohort


def of_tumours(counts: dict[int, int], *, begin: int = 0, shift: int = 0) -> Cohort:
    """So many patients with each tumour; identifiers and values follow from their place in the table."""
    values = np.array(TABLE.values)
    rows = []
    for tumour, count in counts.items():
        chosen = range(begin + 150 * tumour, begin + 150 * tumour + count)
        rows += list(chosen)
        values[list(chosen), ENTITY] = tumour
    exits = np.array(TABLE.exit)
    exits[rows[:shift]] += 0.5
    table = Cohort(TABLE.schema, TABLE.patient_ids, values, TABLE.entry.copy(), exits, TABLE.observed.copy())
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


@pytest.mark.parametrize(("changed", "followed"), [(0, ()), (1, ()), (9, ()), (10, (0,)), (100, (0,))])
def test_follow_up_is_taken_when_that_of_enough_has_changed(changed: int, followed: tuple[int, ...]) -> None:
    first = renewal(None, of_tumours({0: 100}), floor=10).published
    found = renewal(first, of_tumours({0: 100}, shift=changed), floor=10)
    assert found.followed == followed
    differ = (found.published.units.cohort.exit != first.units.cohort.exit).any(axis=1).sum()
    assert differ == (changed if followed else 0)
    assert found.waiting == ((0,) if changed and not followed else ())


def test_the_file_is_its_owners_alone_holds_no_identifier_and_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "published.zip"
    assert read_published(path, TABLE.schema) is None
    written = renewal(None, of_tumours({0: 100, 1: 30}), floor=10).published
    write_published(path, written)
    assert path.stat().st_mode & 0o077 == 0
    assert b"MRN" not in path.read_bytes()
    assert not any("MRN" in patient for patient in written.units.cohort.patient_ids)
    read = read_published(path, TABLE.schema)
    assert read is not None
    assert (read.floor, read.key, read.versions) == (10, written.key, 1)
    assert read.units.cohort.content_hash == written.units.cohort.content_hash
    np.testing.assert_array_equal(read.units.strata, written.units.strata)
    assert counted(renewal(read, of_tumours({0: 101, 1: 30}), floor=10).published) == {0: 100, 1: 30}


def test_a_changed_file_or_another_floor_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "published.zip"
    written = renewal(None, of_tumours({0: 100}), floor=10).published
    write_published(path, written)
    content = bytearray(path.read_bytes())
    for place in (3, len(content) // 2, len(content) - 1):
        changed = bytearray(content)
        changed[place] ^= 1
        path.write_bytes(changed)
        with pytest.raises(RecordDamaged):
            read_published(path, TABLE.schema)
    path.write_bytes(content)
    path.chmod(0o640)
    with pytest.raises(InvalidInput, match="others than its owner"):
        read_published(path, TABLE.schema)
    refuse_other_floor(written, None)
    refuse_other_floor(written, 10)
    with pytest.raises(InvalidInput, match="is not 10"):
        refuse_other_floor(written, 5)
