"""Is the difference to the best told with what luck there is in it?"""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd
import pytest

from oncofed.simulations.settings_study.variants import LEFT_OPEN
from oncofed.simulations.settings_study.verdict import table_of, verdict_of

FIGURES = {LEFT_OPEN: (0.70, 0.72, 0.71), "steady": (0.71, 0.72, 0.71), "lucky": (0.70, 0.69, 0.80)}
"""By part: the best of all is the one that was lucky in the last part, which the others do not tell."""


def table(figures: Mapping[str, tuple[float, ...]]) -> pd.DataFrame:
    rows = [
        {"variant": name, "seed": 11 + part, "part": part, "c_index": value, "slope": 1.0 + part, "judged": 50}
        for part in range(3)
        for name, values in figures.items()
        for value in values[part : part + 1]
    ]
    return pd.DataFrame(rows).assign(events=30, expected=40.0)


def test_the_best_of_all_and_what_tuning_on_the_others_would_have_given() -> None:
    found = verdict_of(table(FIGURES))
    assert found.best == "lucky"
    assert found.to_best == pytest.approx((0.00 + 0.03 - 0.09) / 3)
    # Chosen on the two other parts: lucky (0.745), lucky (0.75), steady (0.715).
    differences = (0.70 - 0.70, 0.72 - 0.69, 0.71 - 0.71)
    assert found.to_tuned == pytest.approx(sum(differences) / 3)
    mean = sum(differences) / 3
    assert found.to_tuned_error == pytest.approx(math.sqrt(sum((each - mean) ** 2 for each in differences) / 2 / 3))
    assert "MISSED" in found.words
    assert "lucky" in found.words


def test_nobody_tunes_on_the_part_on_which_it_is_judged() -> None:
    """Two seeds of the same part: what the one tells is not used for the other."""
    twice = table({LEFT_OPEN: (0.70, 0.70, 0.70), "lucky": (0.69, 0.69, 0.90)})
    again = twice[twice["part"] == 2].assign(seed=14)
    found = verdict_of(pd.concat([twice, again]))
    assert found.to_tuned == pytest.approx((0.70 - 0.69 + 0.70 - 0.69 + 0.70 - 0.70 + 0.70 - 0.70) / 4)


def test_reached_is_within_the_hair_that_is_wanted() -> None:
    assert "reached" in verdict_of(table({LEFT_OPEN: (0.70, 0.71, 0.72), "other": (0.703, 0.713, 0.723)})).words
    assert "MISSED" in verdict_of(table({LEFT_OPEN: (0.70, 0.71, 0.72), "other": (0.705, 0.715, 0.725)})).words


def test_the_table_has_calibration_beside_the_order() -> None:
    shown = table_of(table(FIGURES), title="small")
    assert shown.rows[0] == (LEFT_OPEN, "0.710 ± 0.010", "", "2.00 ± 1.00", "0.75 ± 0.00")
    assert shown.rows[2][:3] == ("lucky", "0.730 ± 0.061", "+0.020 (0.036)")
    assert "50 a seed with 30 events" in shown.notes[0]
