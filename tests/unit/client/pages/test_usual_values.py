"""Is what is usual in a group told of every kind of marker?"""

from __future__ import annotations

import numpy as np
import pytest

from oncofed.client.pages.disclosure import Disclosure
from oncofed.client.pages.usual_values import usual
from oncofed.cohort.schema import Kind, Marker, Modality


@pytest.mark.parametrize("first", [-2.0, 0.0, 1.0, 300.0])
def test_levels_of_an_ordinal_marker_begin_anywhere(first: float) -> None:
    marker = Marker("ecog", Modality.CLINICAL, Kind.ORDINAL, "", (first, first + 9), first, 1.0)
    values = np.repeat([first, first + 1, first + 3, np.nan], [50, 100, 150, 20])
    found = usual(marker, values, np.zeros(len(values), dtype=np.intp), Disclosure(10))
    for level, patients in ((first, 50), (first + 1, 100), (first + 3, 150), (first + 2, 0), (first + 99, 0)):
        share = found.share_of(level)
        assert share is not None
        assert share.low <= patients / len(values) <= share.high
        assert share.high - share.low < 0.2


def test_of_whole_numbers_a_range_is_told_in_whole_numbers() -> None:
    """A performance status is no 2.3: an end is somebody's value, not a mean of neighbours."""
    marker = Marker("ecog", Modality.CLINICAL, Kind.CONTINUOUS, "", (0.0, 5.0), 1.0, 1.0)
    values = np.repeat([0.0, 1.0, 2.0, 3.0], [60, 100, 60, 12])
    assert np.quantile(values, 0.9487) % 1 > 0, "a mean of neighbours would be no whole number"
    found = usual(marker, values, np.zeros(len(values), dtype=np.intp), Disclosure(10))
    assert found.spread is not None
    assert (found.spread.low, found.spread.high) == (0.0, 3.0)


def test_a_share_of_all_is_never_written_as_all() -> None:
    """Higher than 100 % of 39 patients is what nobody can be told to be."""
    for having in range(40):
        said = str(Disclosure(10).share(having, 39))
        assert said.replace("\N{NO-BREAK SPACE}", " ") != "more than 100 %"
        assert "to 100" not in said
