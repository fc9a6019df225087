"""Has nobody who is counted after an adjustment been seen by it, and do the parts of a figure add up?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from oncofed.client.fit import before_after as module
from oncofed.client.fit.before_after import Predicted, adjustment, before_and_after, figures_of
from oncofed.client.fit.closed_testing import Choice, Degree, LevelAndSlope, Outcomes, choose, level_and_slope
from oncofed.simulations.model_here.measuring import predicted, set_aside
from oncofed.simulations.model_here.true_hospital import ADVANCED, GRID


def here(seed: int = 0, *, patients: int = 300, level: float = 1.0, slope: float = 1.0) -> Predicted:
    hospital = replace(ADVANCED, level=level, slope=slope)
    return predicted(hospital, set_aside(hospital, patients, np.random.default_rng(seed)))


def test_each_patient_is_counted_once_and_never_by_what_was_found_from_that_patient(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held, used, chosen = list[set[float]](), list[set[float]](), list[set[float]]()
    whole = Predicted.adjusted

    def counted(self: Predicted, by: LevelAndSlope) -> Predicted:
        held.append(set(self.log_hazard_ratio))
        return whole(self, by)

    def found_from(found: Outcomes, degree: Degree) -> LevelAndSlope:
        used.append(set(found.log_hazard_ratio))
        return adjustment(found, degree)

    def chosen_from(causes: Sequence[Outcomes], *, alpha: float) -> Choice:
        chosen.append(set(causes[0].log_hazard_ratio))
        return choose(causes, alpha=alpha)

    monkeypatch.setattr(Predicted, "adjusted", counted)
    monkeypatch.setattr(module, "adjustment", found_from)
    monkeypatch.setattr(module, "choose", chosen_from)
    found = before_and_after([here(level=1.5)], np.random.default_rng(1))
    everybody = set(here(level=1.5).log_hazard_ratio)
    assert used.pop() == everybody, "what is proposed is of all of them"
    assert len(held) == len(used) == found.parts == 10
    assert all(others == everybody - those for those, others in zip(held, used, strict=True))
    assert sorted(each for those in held for each in those) == sorted(everybody)
    assert chosen == [everybody, *used], "how often the same would be proposed is asked of the others, too"
    assert found.after[0].whole.observed == found.before[0].whole.observed


def test_an_adjustment_brings_a_wrong_level_and_slope_near_one() -> None:
    found = before_and_after([here(3, patients=2000, level=1.8, slope=0.6)], np.random.default_rng(2))
    assert found.choice.degree is Degree.LEVEL_AND_SLOPE
    assert found.chosen_again == found.parts
    before, after = found.before[0], found.after[0]
    assert before.whole.ratio > 1.5
    assert before.slope < 0.75
    assert after.whole.ratio == pytest.approx(1.0, abs=0.05)
    assert after.slope == pytest.approx(1.0, abs=0.1)
    assert before.thirds[0].ratio > before.thirds[2].ratio + 0.5, "the spread of risks was too wide"


def test_limits_of_the_slope_after_are_those_before_over_the_adopted_slope() -> None:
    """So they hold the truth whatever was chosen, and whoever chose it."""
    causes = [here(4, level=1.4, slope=0.5), here(5)]
    found = before_and_after(causes, np.random.default_rng(3))
    assert found.choice.degree is Degree.LEVEL_AND_SLOPE
    for cause, before, after in zip(causes, found.before, found.after, strict=True):
        slope = level_and_slope(cause.outcomes).slope
        assert after.slope_low == pytest.approx(before.slope_low / slope)
        assert after.slope_high == pytest.approx(before.slope_high / slope)
        assert after.slope_low < after.slope < after.slope_high


def test_where_nothing_is_adjusted_after_is_before() -> None:
    of = here(5)
    found = before_and_after([of], np.random.default_rng(0), alpha=0.0)
    assert found.choice.degree is Degree.NONE
    assert found.after[0].whole.expected == pytest.approx(found.before[0].whole.expected)
    assert found.after[0].slope == pytest.approx(found.before[0].slope)


def test_figures_add_up_over_windows_and_over_thirds() -> None:
    found = figures_of(here(7))
    for parts in ([each for *_, each in found.windows], found.thirds):
        assert sum(each.observed for each in parts) == found.whole.observed
        assert sum(each.expected for each in parts) == pytest.approx(found.whole.expected)
    assert [(first, last) for first, last, _ in found.windows] == [(0, 1), (2, 3), (4, GRID.intervals - 1)]
    slowly = sum(
        here(7).at_risk[row, k] * np.exp(here(7).log_baseline_hazard[row, k] + here(7).log_hazard_ratio[row])
        for row in range(300)
        for k in range(GRID.intervals)
    )
    assert found.whole.expected == pytest.approx(slowly)
