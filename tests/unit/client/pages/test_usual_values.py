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
