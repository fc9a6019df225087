"""Is a patient's part of the release never longer than 1, and is what is read from the sum what the rows say?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.options_asked import ASKED, BENCHMARK, STUDY

from oncofed.cohort.validation import validate
from oncofed.simulations.study import read_study
from oncofed.simulations.synthetic.treated import generate_treated, treated_schema
from oncofed.survival.encoded_patients import EncodedPatients
from oncofed.survival.likelihood import tensors_of
from oncofed.treatment.estimate import compare
from oncofed.treatment.heads import Heads, as_vector, first_heads, from_vector, gradient_rows
from oncofed.treatment.question import Question
from oncofed.treatment.release import cells_of, options_of, parts_of, release_rows
from oncofed.treatment.rows import rows

MADE = generate_treated(patients=300, hospitals=1, seed=5)
COHORT = validate(MADE.table, MADE.schema, "a table")


@pytest.fixture
def about(tmp_path: Path) -> Question:
    path = tmp_path / "study.toml"
    path.write_text(STUDY + ASKED + BENCHMARK)
    asked = read_study(path).target_trial
    assert asked is not None
    return Question(asked.trial, treated_schema(), ("here", "there"))


@pytest.fixture
def patients(about: Question) -> EncodedPatients:
    """As a guard has them."""
    kept = tensors_of(about.patients(COHORT, hospital="there"))
    return EncodedPatients(kept.x.numpy(), kept.events.numpy(), kept.at_risk.numpy())


def some_of(patients: EncodedPatients, who: Any) -> EncodedPatients:
    return EncodedPatients(patients.x[who], patients.events[who], patients.at_risk[who])


def some_heads(about: Question, size: float, seed: int) -> Heads:
    rng, first = np.random.default_rng(seed), first_heads(about)
    return Heads(
        *(part + size * rng.standard_normal(part.shape) for part in (first.propensity, first.baseline, first.slopes))
    )


@pytest.mark.parametrize("size", [0.0, 0.3, 3.0])
def test_neither_a_row_of_the_release_nor_a_gradient_is_longer_than_1(
    about: Question, patients: EncodedPatients, size: float
) -> None:
    heads = some_heads(about, size, seed=2)
    found = release_rows(about, as_vector(heads), patients)
    assert found.shape == (300, cells_of(about))
    lengths = np.linalg.norm(found, axis=1)
    assert lengths.max() <= 1 + 1e-9
    assert lengths.max() > 0.5
    each = gradient_rows(heads, about.observed(patients))
    assert each.shape == (300, about.numbers)
    assert np.linalg.norm(each, axis=1).max() <= 1 + 1e-9


@pytest.mark.parametrize("size", [0.3, 30.0, 1e4])
def test_what_a_patient_adds_is_the_same_bits_whoever_else_is_there(
    about: Question, patients: EncodedPatients, size: float
) -> None:
    vector = as_vector(some_heads(about, size, seed=4))
    vector.setflags(write=False)  # as the weights of a question are
    heads = from_vector(vector, first_heads(about))
    order = np.random.default_rng(5).permutation(300)
    of_both: tuple[Callable[[EncodedPatients], np.ndarray], ...] = (
        lambda some: release_rows(about, as_vector(heads), some),
        lambda some: gradient_rows(heads, about.observed(some)),
    )
    for rows_of in of_both:
        everybody = rows_of(patients)
        for who in (slice(0, 1), slice(17, 18), slice(3, 10), slice(1, 300), order):
            np.testing.assert_array_equal(rows_of(some_of(patients, who)), everybody[who])


def test_shares_of_the_parts_are_all_of_the_release(about: Question) -> None:
    assert set(parts_of(about)) == {"comparison", "balance", "negative", "trial_like", "recorded"}
    assert sum(part.weight**2 for part in parts_of(about).values()) == pytest.approx(1)


def test_what_is_read_is_what_the_rows_say_and_its_noise_is_the_parts(
    about: Question, patients: EncodedPatients
) -> None:
    heads, seen = some_heads(about, 0.1, seed=3), about.observed(patients)
    sums = release_rows(about, as_vector(heads), patients).sum(axis=0)
    found = options_of(about, sums, noise=2.0)

    def plain(causes: tuple[int, ...], who: np.ndarray) -> np.ndarray:
        nuisances = heads.nuisances(seen.z, outcomes=causes, hospital=seen.hospital)
        events = seen.events[list(causes)].sum(axis=0)
        return np.asarray(rows(nuisances, seen.second, events, seen.at_risk, about.grid.widths)[who].sum(axis=0))

    everybody, young = np.ones(300, np.bool_), COHORT.marker_values("age_years") <= 70
    # Four groups' noise adds up, and a part of weight w has the noise of the release over w.
    noise = 2 * 2.0 / parts_of(about)["comparison"].weight
    told, by_hand = found.everybody.compared, compare(plain((0, 1), everybody), noise=noise)
    assert told.difference.value == pytest.approx(by_hand.difference.value)
    assert told.difference.standard_error == pytest.approx(by_hand.difference.standard_error)
    assert found.checks.negative is not None
    assert found.checks.negative.difference.value == pytest.approx(
        compare(plain((1,), everybody), noise=0).difference.value
    )
    assert found.checks.trial_like is not None
    assert found.checks.trial_like.difference.value == pytest.approx(
        compare(plain((0, 1), young), noise=0).difference.value
    )
    positive = COHORT.marker_values("biomarker_positive") == 1
    assert [group.name for group in found.by_modifier[:2]] == ["without biomarker_positive", "with biomarker_positive"]
    for group, who in zip(found.by_modifier, (~positive, positive), strict=False):
        expected = compare(plain((0, 1), who), noise=0).difference.value
        assert group.compared.difference.value == pytest.approx(expected)
    assert found.checks.recorded == pytest.approx(dict.fromkeys(about.trial.required, 1.0))
    assert [each.confounder for each in found.checks.balance] == list(about.balanced_names)


def test_a_hospital_that_gives_everybody_one_option_moves_its_own_intercept_alone(
    about: Question, patients: EncodedPatients
) -> None:
    first = first_heads(about)
    treated = some_of(patients, patients.x[:, 0] == 1)
    found = gradient_rows(first, about.observed(treated)).sum(axis=0)
    here, there = found[len(first.propensity) - 2 : len(first.propensity)]
    assert here == 0
    assert there == pytest.approx(found[0])  # as the common intercept
    assert there < 0  # downhill: the second option becomes likelier there
    moved = Heads(first.propensity.copy(), first.baseline, first.slopes)
    moved.propensity[-1] = 2.0
    chance = moved.chance(np.zeros((2, first.slopes.shape[2])), np.eye(2))
    np.testing.assert_allclose(chance, [0.5, 1 / (1 + np.exp(-2.0))])
