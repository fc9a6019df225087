"""Is the right row taken, whatever the order of rows? Compared with a slow twin that looks at one patient at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oncofed.client.importing.follow_up import follow_up
from oncofed.client.importing.mapping_choices import SameDay, Take
from oncofed.client.importing.rows_of_patients import pick

Row = tuple[int, float, float]
"""Patient, value, day."""

ROWS = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from([1.0, 2.0, 3.0]), st.sampled_from([10.0, 11.0])), max_size=9
)


def one(rows: list[Row], take: Take | None, same_day: SameDay) -> tuple[float, bool]:
    """The value of one patient's rows, and whether they disagree."""
    values = [value for _, value, _ in rows]
    if not values:
        return np.nan, False
    if take in (Take.MAX, Take.ANY):
        return max(values), False
    if take is Take.MIN:
        return min(values), False
    if take is not None:
        wanted = (min if take is Take.FIRST else max)(day for _, _, day in rows)
        values = [value for _, value, day in rows if day == wanted]
        if same_day is SameDay.HIGHEST:
            return max(values), False
        if same_day is SameDay.LOWEST:
            return min(values), False
    return (values[0], False) if len(set(values)) == 1 else (np.nan, True)


@given(ROWS, st.sampled_from([None, *Take]), st.sampled_from(SameDay), st.randoms(use_true_random=False))
def test_a_value_is_that_of_the_slow_twin_in_any_order(rows, take, same_day, random) -> None:  # type: ignore[no-untyped-def]
    shuffled = list(rows)
    random.shuffle(shuffled)
    for order in (rows, shuffled):
        patient = np.array([row[0] for row in order], dtype=np.int64)
        values, days = (np.array([row[place] for row in order], dtype=float) for place in (1, 2))
        found = pick(patient, values, patients=4, days=days, take=take, same_day=same_day)
        wanted = [one([row for row in rows if row[0] == number], take, same_day) for number in range(4)]
        np.testing.assert_array_equal(found.values, [value for value, _ in wanted])
        np.testing.assert_array_equal(found.disagreeing, [differ for _, differ in wanted])
        assert found.several == sum(sum(row[0] == number for row in rows) > 1 for number in range(4))


NAN = float("nan")


@pytest.mark.parametrize(
    ("words", "event", "last", "cut", "end", "observed", "flags"),
    [
        (1, 10, 8, None, 10, 1, ""),
        (1, 10, 12, None, 10, 1, "seen_after"),
        (1, 10, 10, None, 10, 1, ""),
        (0, NAN, 12, None, 12, 0, ""),
        (1, NAN, 12, None, 12, 0, "without_date"),
        (0, 10, 12, None, 12, 0, "contradicted"),
        (NAN, NAN, 12, None, NAN, NAN, ""),
        (None, 10, 12, None, 10, 1, "seen_after"),
        (None, NAN, 12, None, 12, 0, ""),
        (None, NAN, NAN, None, NAN, 0, ""),
        (1, 10, 8, 9, 9, 0, "ended_at_cut"),
        (1, 10, 12, 11, 10, 1, "seen_after"),
        (0, NAN, 12, 9, 9, 0, "ended_at_cut"),
        (0, NAN, 9, 9, 9, 0, ""),
    ],
)
def test_follow_up_ends_where_it_did(
    words: float | None, event: float, last: float, cut: float | None, end: float, observed: float, flags: str
) -> None:
    told = None if words is None else np.array([float(words)])
    found = follow_up(told, np.array([float(event)]), np.array([float(last)]), cut=cut)
    np.testing.assert_array_equal(found.end, [end])
    np.testing.assert_array_equal(found.observed, [observed])
    raised = [
        name for name in ("without_date", "contradicted", "ended_at_cut", "seen_after") if getattr(found, name)[0]
    ]
    assert raised == flags.split()
