"""The bootstrap interval: coverage, undefined resamples, and that chance is the caller's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from oncofed.survival.bootstrap import BootstrapInterval, bootstrap_interval


def mean_of(sample: NDArray[np.float64]) -> Callable[[NDArray[np.int64]], float]:
    return lambda rows: float(sample[rows].mean())


def test_interval_of_a_mean_covers_it_as_often_as_promised() -> None:
    rng = np.random.default_rng(11)
    covered = {0.95: 0, 0.5: 0}
    for _ in range(200):
        mean = mean_of(rng.normal(size=100))
        for level in covered:
            interval = bootstrap_interval(mean, 100, rng, resamples=200, level=level)
            covered[level] += interval.low <= 0 <= interval.high
    assert 0.90 <= covered[0.95] / 200 <= 0.985
    assert 0.40 <= covered[0.5] / 200 <= 0.60


def test_the_same_generator_gives_the_same_interval() -> None:
    mean = mean_of(np.random.default_rng(0).normal(size=50))

    def interval(seed: int) -> BootstrapInterval:
        return bootstrap_interval(mean, 50, np.random.default_rng(seed), resamples=50)

    assert interval(1) == interval(1)
    assert interval(1) != interval(2)


def test_undefined_resamples_are_left_out_and_counted() -> None:
    values = iter([1.0, float("nan"), 2.0, 3.0])
    interval = bootstrap_interval(lambda rows: next(values), 3, np.random.default_rng(0), resamples=4)
    assert interval.undefined == 1
    assert 1.0 <= interval.low <= interval.high <= 3.0
    mostly = iter([1.0, float("nan"), float("nan"), 3.0, float("nan")])
    rarely = bootstrap_interval(lambda rows: next(mostly), 3, np.random.default_rng(0), resamples=5)
    assert np.isnan([rarely.low, rarely.high]).all(), "three of five are more than half"
    half = iter([1.0, float("nan"), float("nan"), 3.0])
    assert bootstrap_interval(lambda rows: next(half), 3, np.random.default_rng(0), resamples=4).high <= 3.0
    never = bootstrap_interval(lambda rows: float("nan"), 3, np.random.default_rng(0), resamples=4)
    assert np.isnan([never.low, never.high]).all()


@pytest.mark.parametrize("wrong", [{"n": 0}, {"resamples": 0}, {"level": 95.0}])
def test_malformed_settings_are_refused(wrong: dict[str, float]) -> None:
    settings = {"n": 3, "resamples": 10, "level": 0.9, **wrong}
    with pytest.raises(ValueError):
        bootstrap_interval(
            lambda rows: 0.0,
            int(settings["n"]),
            np.random.default_rng(0),
            resamples=int(settings["resamples"]),
            level=settings["level"],
        )
