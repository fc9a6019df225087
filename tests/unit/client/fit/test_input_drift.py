"""Is a marker that changed found, and one that did not left alone?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import chi2_contingency, norm

from oncofed.client.fit.input_drift import FEWEST_PATIENTS, input_drift
from oncofed.cohort.schema import Kind, Marker, Modality

FloatArray = NDArray[np.float64]

MARKERS = (
    Marker("albumin", Modality.LABORATORY, Kind.CONTINUOUS, "g/l", (0.0, 100.0), 40.0, 5.0),
    Marker("stage", Modality.CLINICAL, Kind.CATEGORICAL, categories=("I", "II", "III"), reference_category="I"),
    Marker("smoker", Modality.CLINICAL, Kind.BINARY),
    Marker("ecog", Modality.CLINICAL, Kind.ORDINAL, "", (0.0, 4.0), 1.0, 1.0),
)


def patients(rng: np.random.Generator, count: int) -> FloatArray:
    drawn = np.column_stack(
        [
            rng.normal(40, 5, count),
            rng.choice(3, count, p=[0.5, 0.3, 0.2]),
            rng.random(count) < 0.3,
            rng.choice(5, count, p=[0.4, 0.3, 0.2, 0.08, 0.02]),
        ]
    ).astype(float)
    drawn[rng.random(drawn.shape) < 0.1] = np.nan
    return drawn


def test_a_unit_that_changed_is_first_and_far() -> None:
    rng = np.random.default_rng(0)
    before, since = patients(rng, 500), patients(rng, 120)
    since[:, 0] /= 10
    first, *others = input_drift(before, since, MARKERS)
    assert (first.marker, first.values_drifted, first.missing_drifted) == ("albumin", True, False)
    assert first.index > 4
    assert first.middle_before == pytest.approx(10 * first.middle_since, rel=0.1)
    assert not any(each.drifted for each in others)


def test_a_marker_that_is_no_longer_measured_is_found_and_its_values_are_not_judged() -> None:
    rng = np.random.default_rng(1)
    before, since = patients(rng, 500), patients(rng, 200)
    since[30:, 1] = np.nan
    first, *_ = input_drift(before, since, MARKERS)
    assert (first.marker, first.missing_drifted, first.values_drifted) == ("stage", True, False)
    assert np.isnan(first.index)
    assert np.isnan(first.middle_before), "categories have no middle"
    assert first.missing_since == pytest.approx(np.isnan(since[:, 1]).mean())


def test_categories_are_compared_one_by_one() -> None:
    rng = np.random.default_rng(2)
    before, since = patients(rng, 600), patients(rng, 300)
    since[:, 1] = 2 - since[:, 1]
    (first, *others) = input_drift(before, since, MARKERS)
    assert (first.marker, first.values_drifted) == ("stage", True)
    shares = [np.bincount(each[~np.isnan(each)].astype(int)) + 0.5 for each in (before[:, 1], since[:, 1])]
    old, new = (each / each.sum() for each in shares)
    assert first.index == pytest.approx(sum((n - o) * np.log(n / o) for o, n in zip(old, new, strict=True)))
    assert not any(each.drifted for each in others)


def test_where_nothing_changed_a_look_finds_something_once_in_twenty_times_at_most() -> None:
    """Over all markers and both tests together; a level that is not divided among them would be seen."""
    rng = np.random.default_rng(3)
    looks = [input_drift(patients(rng, 500), patients(rng, 250), MARKERS) for _ in range(400)]
    small = [min(min(each.p_missing, each.p_values) for each in look) for look in looks]
    assert np.mean(np.array(small) < 0.05 / 8) <= 0.05 + 3 * (0.05 * 0.95 / 400) ** 0.5
    assert np.mean(np.array(small) < 0.05) > 0.2
    assert np.mean([any(each.drifted for each in look) for look in looks]) <= 0.02, "and far enough is asked, too"


@pytest.mark.parametrize(("smokers", "drifted"), [(40, False), (42, True)])
def test_the_level_is_divided_among_both_tests_of_a_marker(smokers: int, drifted: bool) -> None:
    """Half of 100 before, and these of 60: Pearson's test by hand has p = 0.040 and 0.014, and 0.025 is the level."""
    before, since = (np.arange(float(of))[:, None] < some for of, some in ((100, 50), (60, smokers)))
    (found,) = input_drift(before.astype(float), since.astype(float), MARKERS[2:3])
    share = (50 + smokers) / 160
    z = abs(smokers / 60 - 0.5) / np.sqrt(share * (1 - share) * (1 / 100 + 1 / 60))
    assert found.p_values == pytest.approx(2 * float(norm.sf(z)), rel=1e-6)
    assert (found.p_values < 0.05, found.index > 0.1) == (True, True)
    assert found.drifted is drifted


def test_categories_of_which_few_are_expected_on_the_smaller_side_are_taken_together() -> None:
    """Of 14 in 560, 1.5 are expected among 60, and 12.5 among 500: too few for Pearson's approximation."""
    stage = replace(MARKERS[1], categories=("I", "II", "III", "IV"))
    counts = ((300, 180, 10, 10), (36, 20, 4, 0))
    before, since = (np.repeat(np.arange(4.0), each)[:, None] for each in counts)
    (found,) = input_drift(before, since, (stage,))
    together = [[one, two, three + four] for one, two, three, four in counts]
    assert found.p_values == pytest.approx(float(chi2_contingency(together, correction=False).pvalue), rel=1e-9)


def test_a_shift_beyond_chance_that_matters_to_nobody_is_left_alone() -> None:
    rng = np.random.default_rng(4)
    before, since = patients(rng, 20_000), patients(rng, 20_000)
    since[:, 0] += 0.8
    found = {each.marker: each for each in input_drift(before, since, MARKERS)}
    assert found["albumin"].p_values < 1e-6
    assert not found["albumin"].drifted


def test_of_few_patients_nothing_is_told() -> None:
    rng = np.random.default_rng(5)
    assert input_drift(patients(rng, 500), patients(rng, FEWEST_PATIENTS - 1), MARKERS) == ()
    assert len(input_drift(patients(rng, 500), patients(rng, FEWEST_PATIENTS), MARKERS)) == len(MARKERS)
