"""Is what a patient's page says of a median and its limits true of the curve that it shows?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.pages_hospital import hospital

from oncofed.client.pages.patient_times import median_limits
from oncofed.client.pages.patient_view import patient_view

VIEW = patient_view(hospital(), 4, endpoint=0)


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (12.0, 30.0, "12 months to 30 months"),
        (12.0, np.inf, "from 12 months, upper end not reached"),
        (np.inf, np.inf, "not reached"),
    ],
)
def test_the_limits_of_a_median_in_words(low: float, high: float, said: str) -> None:
    assert VIEW.curve.adjusted is not None
    band = replace(VIEW.curve.adjusted, median_low=low, median_high=high)
    view = replace(VIEW, curve=replace(VIEW.curve, adjusted=band))
    assert median_limits(view, "months").replace("\N{NO-BREAK SPACE}", " ") == said
