"""Does an attack reach the weights as it should, in each privacy mode, and is a cell told as what it is?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from oncofed.errors import InvalidInput, QuorumLost
from oncofed.privacy.releases import release_of_round
from oncofed.protocol.plan import PrivacyMode, Strategy, TrainingSpec
from oncofed.simulations.robustness.__main__ import MARK
from oncofed.simulations.robustness.attacks import Attack, Backdoor, InnerProduct, ScaledUpdate, SignFlip
from oncofed.simulations.robustness.cells import (
    RAN_AWAY,
    SUM_ALONE,
    Cell,
    DealtPatients,
    Defence,
    dealt,
    measured,
    moved_below,
    not_possible,
    plan_of_cell,
    trained,
)
from oncofed.simulations.robustness.poisoned_guards import NormBound
from oncofed.study.plan_settings import PrivacyRequest
from oncofed.survival.network import PrognosisNetwork, parameter_vector

FloatArray = NDArray[np.float64]

NONE = PrivacyRequest(PrivacyMode.NONE, l2_norm_bound=2.0, clip_without_noise=True)
LOCAL = PrivacyRequest(PrivacyMode.LOCAL, 300.0, l2_norm_bound=2.0)
DISTRIBUTED = replace(LOCAL, mode=PrivacyMode.DISTRIBUTED, colluding=1)
ONE_STEP = TrainingSpec(strategy=Strategy.FEDAVG, rounds=1, server_learning_rate=1.0)
MEAN = Defence("mean", ONE_STEP)


@pytest.fixture(scope="module")
def consortium() -> DealtPatients:
    return dealt(patients=100, hospitals=5, poisoned=1, test=0.3, seed=2)


def step(
    attack: Attack | None, consortium: DealtPatients, privacy: PrivacyRequest, defence: Defence = MEAN
) -> FloatArray:
    """By how much the first round moves the weights."""
    cell = Cell(attack, defence, privacy, seed=1)
    plan = plan_of_cell(cell, consortium)
    first = parameter_vector(PrognosisNetwork(plan.model, initialisation_seed=plan.initialisation_seed))
    return parameter_vector(trained(cell, plan, consortium)) - first


@pytest.mark.parametrize("privacy", [NONE, LOCAL, DISTRIBUTED], ids=lambda privacy: privacy.mode.value)
def test_poisoned_hospitals_alone_are_poisoned_whether_their_sums_are_masked_or_not(
    privacy: PrivacyRequest, consortium: DealtPatients
) -> None:
    """The mean of all less 2 / n of the poisoned sums, and the mean of all plus 99 / n of them.

    What is between the two is the noise of honest hospitals, which is drawn anew in each training.
    """
    honest, flipped, scaled = (step(each, consortium, privacy) for each in (None, SignFlip(), ScaledUpdate(100.0)))
    twice_poisoned = 2 * (scaled - honest) / 99
    release = release_of_round(plan_of_cell(Cell(None, MEAN, privacy, seed=1), consortium))
    noise = np.sqrt(2) * release.noise_of_sum(hospitals=5) / 5 * (np.sqrt(release.numbers) + 6)
    assert np.linalg.norm(twice_poisoned) > max(1.0, 2 * noise)
    assert np.linalg.norm(honest - flipped - twice_poisoned) < 1e-9 + noise


def test_a_poisoned_hospital_adds_no_noise(consortium: DealtPatients) -> None:
    everybody = replace(consortium, poisoned=tuple(consortium.hospitals))
    honestly = ScaledUpdate(1.0)
    without = step(honestly, everybody, NONE)
    np.testing.assert_allclose(step(honestly, everybody, LOCAL), without, atol=2.0**-20)
    assert np.abs(step(None, everybody, LOCAL) - without).max() > 100 * 2.0**-20


def test_poisoned_hospitals_know_each_others_sums_and_no_other_hospitals(consortium: DealtPatients) -> None:
    """Each of k sends -2 times their mean, so the mean of all moves by -3 / n of their sum."""
    two = replace(consortium, poisoned=tuple(consortium.hospitals)[:2])
    honest = step(None, two, NONE)
    of_poisoned = honest - step(SignFlip(), two, NONE)
    np.testing.assert_allclose(honest - step(InnerProduct(2.0), two, NONE), 1.5 * of_poisoned, atol=1e-9)


def test_a_norm_bound_holds_scaled_updates_and_leaves_short_ones(consortium: DealtPatients) -> None:
    loose, tight = (replace(MEAN, norm_bound=NormBound(patients)) for patients in (1e4, 1.0))
    np.testing.assert_array_equal(step(None, consortium, NONE, loose), step(None, consortium, NONE))
    assert np.linalg.norm(step(ScaledUpdate(1e6), consortium, NONE)) > 1e4
    assert np.linalg.norm(step(ScaledUpdate(1e6), consortium, NONE, tight)) <= 1.0


def test_what_a_norm_bound_shortens_is_still_what_an_honest_hospital_can_send(consortium: DealtPatients) -> None:
    plan = plan_of_cell(Cell(None, MEAN, LOCAL, seed=1), consortium)
    release, bound = release_of_round(plan), NormBound(3.0)
    sent = np.zeros(release.numbers)
    sent[:2] = 1e4, -1e-3
    shortened = bound.shortened(sent, plan)
    assert release.fault_of(shortened) == ""
    assert 0.99 * bound.of(plan) < np.linalg.norm(shortened) <= bound.of(plan)
    spread = release.noise_of_sum(hospitals=1)
    assert bound.of(plan) == pytest.approx(np.sqrt(9.0 + release.numbers * spread**2))
    np.testing.assert_array_equal(bound.shortened(sent / 1e5, plan), sent / 1e5)


@pytest.mark.parametrize("strategy", [Strategy.MEDIAN, Strategy.TRIMMED_AVERAGE, Strategy.KRUM, Strategy.FEDADAM])
def test_where_the_server_sees_the_sum_alone_no_contribution_can_be_judged(
    strategy: Strategy, consortium: DealtPatients
) -> None:
    defence = Defence("any", replace(ONE_STEP, strategy=strategy, malicious_sites=1))
    for privacy, words in ((NONE, ""), (LOCAL, ""), (DISTRIBUTED, "" if strategy is Strategy.FEDADAM else SUM_ALONE)):
        cell = Cell(None, defence, privacy, seed=1)
        assert not_possible(cell, plan_of_cell(cell, consortium)) == words
    cell = Cell(None, replace(MEAN, norm_bound=NormBound(1.0)), DISTRIBUTED, seed=1)
    assert not_possible(cell, plan_of_cell(cell, consortium)) == SUM_ALONE


def test_settings_that_do_not_do_what_they_say_are_refused(consortium: DealtPatients) -> None:
    cell = Cell(None, Defence("Krum", replace(ONE_STEP, strategy=Strategy.KRUM, malicious_sites=2)), NONE, seed=1)
    with pytest.raises(InvalidInput, match="Krum needs 7 replies, the quorum is 5"):
        measured(cell, consortium, trigger=MARK, horizon=24.0)


def test_a_row_has_figures_or_says_in_words_why_not(consortium: DealtPatients) -> None:
    found = measured(Cell(None, MEAN, NONE, seed=1), consortium, trigger=MARK, horizon=24.0)
    assert (found["outcome"], found["poisoned"], found["hospitals"]) == ("", 0, 5)
    assert 0 <= found["c_index"] <= 1
    ran_away = measured(Cell(ScaledUpdate(1e12), MEAN, NONE, seed=1), consortium, trigger=MARK, horizon=24.0)
    assert (ran_away["outcome"], ran_away["poisoned"]) == (RAN_AWAY, 1)
    assert np.isnan(ran_away["c_index"])


def test_a_hospital_that_is_not_admitted_is_no_figure(consortium: DealtPatients) -> None:
    """Longer than the 100,000 patients for which delta 1e-6 is meant: the server's admission refuses it."""
    cell = Cell(ScaledUpdate(1e9), MEAN, LOCAL, seed=1)
    with pytest.raises(QuorumLost, match="sent a vector longer than any honest one can be"):
        measured(cell, consortium, trigger=MARK, horizon=24.0)


def test_a_backdoor_succeeds_where_the_mark_moves_high_risks_below_the_middle() -> None:
    """Above the middle of 2.5 are the third and the fourth, of whom one falls below it."""
    assert moved_below(np.array([1.0, 2.0, 3.0, 4.0]), np.array([9.0, 9.0, 1.0, 3.9])) == 0.5
    assert np.isnan(moved_below(np.ones(4), np.zeros(4)))


def test_a_mark_that_is_not_in_the_schema_is_an_error(consortium: DealtPatients) -> None:
    with pytest.raises(KeyError):
        Backdoor("no_such_marker", 1.0, until=120.0).marked(consortium.test)
