"""Can anybody who waits for a hospital's answers tell from their times how many patients it has?

Two installed nodes, of 1,000 and of 4,000 patients, each behind its real socket, are asked for 200 rounds, in turns, so
that the machine's other work meets both alike. Their times pass a Kolmogorov-Smirnov test; without the wait the same
test tells them apart. So do those of questions which a coordinator makes long, so that an answer is near its time; the
same test tells them apart where the wait counts from the question's arrival.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import ks_2samp
from tests.installed_node import InstalledNode, installed_node, table
from tests.node_guards import ANSWER_KEY, COORDINATOR_PUBLIC, TOKEN, Asker

from oncofed.client.guard.guard_server import serving
from oncofed.client.guard.node_guard import NodeGuard
from oncofed.client.guard.public_times import PublicTimes
from oncofed.client.guard.token import token_sha256
from oncofed.client.relay.guard_channel import GuardChannel
from oncofed.privacy.policy import calibrated_together
from oncofed.protocol.messages import ContributeRequest, Contribution
from oncofed.protocol.plan import StudyPlan

ROUNDS = 200
SECONDS = 0.4
SIZES = (1_000, 4_000)


def plan_of(node: InstalledNode) -> StudyPlan:
    plan = node.plan()
    plan = replace(
        plan,
        answer_seconds=SECONDS,
        training=replace(plan.training, rounds=ROUNDS),
        model=replace(plan.model, hidden_units=(128,)),  # the larger one needs 40 ms more
    )
    privacy, _ = calibrated_together(plan.training, plan.privacy, (), parameters=plan.model.parameters)
    return replace(plan, privacy=privacy)


@dataclass
class Padding:
    """Seconds by which a question is longer to read, or the ledger before it."""

    seconds: float = 0.0


class Padded:
    """A guard whose questions take so much longer before anybody is looked at."""

    def __init__(self, guard: NodeGuard, padding: Padding) -> None:
        self._guard = guard
        self._padding = padding

    def __getattr__(self, name: str) -> Any:
        return getattr(self._guard, name)

    def contribute(self, request: ContributeRequest) -> Contribution:
        time.sleep(self._padding.seconds)
        return self._guard.contribute(request)


@contextmanager
def hospital(patients: int, *, times: PublicTimes | None, padding: Padding) -> Iterator[tuple[InstalledNode, Asker]]:
    """A node that has answered one request, so that its patients are read."""
    with installed_node() as node:
        table(patients).to_csv(node.table_path, index=False)
        guard, plan = node.guard(pace=times), plan_of(node)
        guard.offer_plan(node.offer(plan))
        node.approve(plan)
        with serving(
            Padded(guard, padding),
            socket=node.folder.socket,
            token_sha256=token_sha256(TOKEN),
            site="Bonn",
            audit=node.audit_log,
            answer_key=ANSWER_KEY,
            asker_key=COORDINATOR_PUBLIC,
            times=times,
        ):
            channel = Asker(GuardChannel(socket=node.folder.socket, token=TOKEN))
            channel.contribute(node.request(plan, round_=1))
            yield node, channel
            channel.close()


def answer_times(
    times: Callable[[], PublicTimes | None], *, padded: bool = False, rounds: int = ROUNDS
) -> tuple[np.ndarray, np.ndarray]:
    """Seconds until the answer was there: of the smaller hospital, and of the larger one. Without the padding."""
    with ExitStack() as stack:
        padding = Padding()
        both = [stack.enter_context(hospital(patients, times=times(), padding=padding)) for patients in SIZES]
        plan = plan_of(both[0][0])
        found: tuple[list[float], list[float]] = ([], [])
        for round_ in range(2, rounds + 1):
            padding.seconds = SECONDS * (0.6 + 0.4 * round_ / rounds) if padded else 0.0
            for place in (0, 1) if round_ % 2 else (1, 0):
                node, channel = both[place]
                request = node.request(plan, round_=round_)
                began = time.perf_counter()
                channel.contribute(request)
                found[place].append(time.perf_counter() - began - padding.seconds)
        return np.array(found[0]), np.array(found[1])


class FromArrival(PublicTimes):
    """As they were: what is done before anybody is looked at counts into the answer's time."""

    def begins(self, seconds: float) -> None:
        self._seconds = seconds


@pytest.mark.slow
def test_times_of_a_small_and_a_large_hospital_are_not_told_apart() -> None:
    small, large = answer_times(PublicTimes)
    assert min(small.min(), large.min()) >= SECONDS
    assert np.median(np.concatenate([small, large])) < 1.2 * SECONDS  # most leave after the first multiple
    assert ks_2samp(small, large).pvalue > 0.001


@pytest.mark.slow
def test_without_the_wait_the_same_test_tells_them_apart() -> None:
    small, large = answer_times(lambda: None)
    assert np.median(small) < np.median(large)
    assert ks_2samp(small, large).pvalue < 1e-6


@pytest.mark.slow
def test_long_questions_do_not_bring_an_answer_near_its_time() -> None:
    small, large = answer_times(PublicTimes, padded=True)
    assert np.median(np.concatenate([small, large])) < 1.2 * SECONDS
    assert ks_2samp(small, large).pvalue > 0.001


@pytest.mark.slow
def test_where_the_wait_counts_from_arrival_they_do() -> None:
    small, large = answer_times(FromArrival, padded=True)
    assert ks_2samp(small, large).pvalue < 1e-3
