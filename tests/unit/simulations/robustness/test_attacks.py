"""Does each attack do what its paper says, and does each defence stand where its paper says it does? By hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from flwr.app import Message, MessageType, RecordDict
from flwr.supercore.task_identity import TaskIdentity
from numpy.typing import NDArray

from oncofed.cohort.cohort import Cohort
from oncofed.protocol.plan import ModelSpec, PrivacyMode, PrivacySpec, Strategy, StudyPlan, TrainingSpec
from oncofed.server.rounds.admission import SiteVector
from oncofed.server.rounds.state import initial_state
from oncofed.server.rounds.strategies import combine
from oncofed.simulations.robustness.attacks import (
    Backdoor,
    InnerProduct,
    Known,
    LabelFlip,
    LittleIsEnough,
    ScaledUpdate,
    SignFlip,
    largest_unseen,
)
from oncofed.simulations.robustness.cells import dealt
from oncofed.survival.grid import TimeGrid

FloatArray = NDArray[np.float64]

PARAMETERS = 2


@pytest.fixture(scope="module")
def patients() -> Cohort:
    return next(iter(dealt(patients=100, hospitals=2, poisoned=1, test=0.3, seed=1).hospitals.values()))


def combined(vectors: list[FloatArray], strategy: Strategy, **settings: float) -> FloatArray:
    """What the server makes of these contributions, from weights of zero and in steps of one."""
    # Message(...) asks this process-wide value who is sending; Flower's own engines set it just so.
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 1, 1
    roster = tuple(f"site_{number}" for number in range(len(vectors)))
    training = TrainingSpec(strategy=strategy, rounds=1, server_learning_rate=1.0)
    plan = StudyPlan(
        study="test",
        schema_hash="0" * 64,
        model=ModelSpec(
            columns=PARAMETERS - 1,
            endpoints=("os",),
            grid=TimeGrid((0.0, 12.0)),
            baseline_hazard=(0.1,),
            hidden_units=(),
        ),
        training=replace(training, **settings),  # type: ignore[arg-type]
        privacy=PrivacySpec(PrivacyMode.NONE, None, 1e-5, 0.0, 1.0),
        roster=roster,
        quorum=len(roster),
        round_timeout_seconds=30.0,
    )
    sent = [
        SiteVector(site, vector, Message(RecordDict(), dst_node_id=1, message_type=MessageType.TRAIN))
        for site, vector in zip(roster, vectors, strict=True)
    ]
    weights, _ = combine(sent, state=initial_state(np.zeros(PARAMETERS)), plan=plan)
    return weights


def known(*together: tuple[float, float], hospitals: int = 10, noise: float = 0.0) -> Known:
    """Of the first of them."""
    sums = np.array(together)
    return Known(sums[0], sums, hospitals, noise)


def points(*places: tuple[float, float]) -> list[FloatArray]:
    return [np.array(place) for place in places]


HONEST = points((1.0, 4.0), (2.0, 6.0), (3.0, 5.0))


def scaled(count: int) -> list[FloatArray]:
    """Hospitals like the honest ones in the middle, who send it a hundred times: (200, 500)."""
    return [ScaledUpdate(100.0).sent(known((2.0, 5.0)))] * count


def test_the_median_resists_fewer_than_half_scaled_attackers_and_not_as_many_as_half() -> None:
    """Of 1, 2, 3, 200, 200 the third is 3, of 4, 5, 6, 500, 500 it is 6; with three attackers it is theirs."""
    np.testing.assert_array_equal(combined([*HONEST, *scaled(2)], Strategy.MEDIAN), [3.0, 6.0])
    np.testing.assert_array_equal(combined([*HONEST[:2], *scaled(3)], Strategy.MEDIAN), [200.0, 500.0])


def test_the_mean_does_not_resist_a_single_scaled_attacker() -> None:
    """(1 + 2 + 3 + 200) / 4 and (4 + 5 + 6 + 500) / 4."""
    np.testing.assert_allclose(combined([*HONEST, *scaled(1)], Strategy.FEDAVG), [51.5, 128.75])


def test_the_trimmed_mean_resists_as_many_as_it_trims_and_no_more() -> None:
    """Yin et al., ICML 2018, definition 2: the mean of what is left after the beta n smallest and largest are cut off.

    Of five honest and two attackers it leaves 3, 4, 5, and with one cut off at each end an attacker stays in: 2, 3, 4,
    5, 200.
    """
    honest = points((1.0, 1.0), (2.0, 2.0), (3.0, 3.0), (4.0, 4.0), (5.0, 5.0))
    sent = [*honest, *scaled(2)]
    np.testing.assert_allclose(combined(sent, Strategy.TRIMMED_AVERAGE, trim_fraction=2.01 / 7), [4.0, 4.0])
    np.testing.assert_allclose(combined(sent, Strategy.TRIMMED_AVERAGE, trim_fraction=1.01 / 7)[0], 214 / 5)


def test_krum_picks_the_honest_hospital_with_the_nearest_neighbours() -> None:
    """Blanchard et al., NeurIPS 2017, section 4, with n = 7, f = 2, so that n - f - 2 = 3 neighbours count.

    The middle of the square has three at a squared distance of 0.5, together 1.5; a corner has 0.5 + 1 + 1 = 2.5; an
    attacker at (10, 10) has the other one at 0, then 162 and 180.5.
    """
    honest = points((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (0.5, 0.5))
    for attackers in (points((10.0, 10.0), (10.0, 10.0)), scaled(2)):
        found = combined([attackers[0], *honest, attackers[1]], Strategy.KRUM, malicious_sites=2)
        np.testing.assert_array_equal(found, [0.5, 0.5])


def test_krum_takes_poisoned_hospitals_that_agree_and_lie_near() -> None:
    """Two at -0.5 times (2, 2). Again three neighbours count, and their score is 0 + 10 + 10 = 20.

    That of (2, 0) and of (0, 2) is 10 + 10 + 8 = 28, of (5, 5) 10 + 10 + 34 = 54, of the other two 10 + 20 + 32 = 62.
    """
    honest = points((2.0, 0.0), (0.0, 2.0), (5.0, 5.0), (6.0, 2.0), (2.0, 6.0))
    attacker = InnerProduct(0.5).sent(known((2.0, 2.0), (2.0, 2.0)))
    found = combined([*honest, attacker, attacker], Strategy.KRUM, malicious_sites=2)
    np.testing.assert_array_equal(found, [-1.0, -1.0])


def test_a_sign_flip_goes_downhill() -> None:
    np.testing.assert_array_equal(SignFlip().sent(known((1.0, -2.0), (5.0, 5.0))), [-1.0, 2.0])


def test_a_little_is_enough_stays_as_near_to_the_mean_as_its_paper_says() -> None:
    """Of 50 hospitals 24 poisoned: s = 26 - 24 = 2, (50 - 24 - 2) / (50 - 24) = 0.923, which is Phi(1.426)."""
    assert largest_unseen(50, 24) == pytest.approx(1.426, abs=5e-4)
    sums = known((1.0, 10.0), (3.0, 10.0), hospitals=50)
    np.testing.assert_allclose(LittleIsEnough(z=1.5).sent(sums), [2.0 - 1.5 * 1.0, 10.0])
    noisy = known((1.0, 10.0), (3.0, 10.0), hospitals=50, noise=np.sqrt(3.0))
    np.testing.assert_allclose(LittleIsEnough(z=1.5).sent(noisy), [2.0 - 1.5 * 2.0, 10.0 - 1.5 * np.sqrt(3.0)])
    with pytest.raises(ValueError, match="6 of 10 hospitals are a majority"):
        largest_unseen(10, 6)


def test_an_inner_product_attack_sends_the_mean_turned_round() -> None:
    sent = InnerProduct(0.5).sent(known((1.0, 4.0), (3.0, -8.0)))
    np.testing.assert_array_equal(sent, [-1.0, 1.0])


def test_a_label_flip_gives_the_shortest_follow_up_the_longest_and_leaves_all_counts(patients: Cohort) -> None:
    flipped = LabelFlip().told(patients)
    np.testing.assert_array_equal(flipped.values, patients.values)
    before = sorted(zip(patients.entry[:, 0], patients.exit[:, 0], patients.observed[:, 0], strict=True))
    after = sorted(zip(flipped.entry[:, 0], flipped.exit[:, 0], flipped.observed[:, 0], strict=True))
    assert after == before
    shortest, longest = patients.exit[:, 0].argmin(), patients.exit[:, 0].argmax()
    assert flipped.exit[shortest, 0] == patients.exit[longest, 0]
    before_it, after_it = np.argsort(patients.exit[:, 0]), np.argsort(flipped.exit[:, 0])
    np.testing.assert_array_equal(flipped.exit[before_it, 0], patients.exit[before_it[::-1], 0])
    assert after_it[0] == before_it[-1]


def test_a_backdoor_marks_every_other_patient_as_long_living_and_leaves_the_others(patients: Cohort) -> None:
    attack = Backdoor("KRAS_mut", 1.0, until=120.0, factor=4.0)
    told = attack.told(patients)
    marked, others = slice(0, None, 2), slice(1, None, 2)
    assert (told.marker_values("KRAS_mut")[marked] == 1.0).all()
    assert (told.exit[marked] == 120.0).all()
    assert (told.entry[marked] == 0.0).all()
    assert not told.observed[marked].any()
    np.testing.assert_array_equal(told.values[others], patients.values[others])
    np.testing.assert_array_equal(told.exit[others], patients.exit[others])
    np.testing.assert_array_equal(told.observed[others], patients.observed[others])
    different = (told.values != patients.values) & ~(np.isnan(told.values) & np.isnan(patients.values))
    named = {patients.schema.markers[place].name for place in np.flatnonzero(different.any(axis=0))}
    assert named == {"KRAS_mut"}, "no other marker is touched"
    np.testing.assert_array_equal(attack.sent(known((1.0, -2.0))), [4.0, -8.0])
