"""A round without quorum is asked again for a bounded time, and a new attempt is the exception."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.server.rounds.test_rounds import START, Behaviour, hospitals

from oncofed.errors import QuorumLost, RefusalCode, RequestRefused
from oncofed.protocol.messages import ContributeRequest, Contribution
from oncofed.protocol.plan import StudyPlan
from oncofed.server.flower.app import build_server_app
from oncofed.server.rounds.rounds import Patience, RoundReport
from oncofed.server.rounds.state import FederationState, initial_state
from oncofed.simulations.engines.in_process_grid import run_in_process
from oncofed.simulations.engines.node_directory import find_nodes
from oncofed.simulations.engines.parabola_hospital import ParabolaHospital


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


def patient_run(
    plan: StudyPlan, behaviours: dict[str, Behaviour], *, seconds: float
) -> tuple[list[RoundReport], list[QuorumLost], Clock]:
    clock, lost = Clock(), list[QuorumLost]()
    reports: list[RoundReport] = []

    def observe(state: FederationState, report: RoundReport) -> None:
        reports.append(report)

    server = build_server_app(
        plan=plan,
        nodes=lambda grid: find_nodes(grid, roster=plan.roster),
        start=initial_state(START),
        checkpoint_folder=None,
        observer=observe,
        patience=Patience(seconds=seconds, pause_seconds=10.0, told=lost.append, clock=clock.now, sleep=clock.sleep),
    )
    run_in_process(server, hospitals(plan, behaviours), node_count=len(plan.roster))
    return reports, lost, clock


class Ailing:
    """Refuses the first `times` questions of round 2 with `code`, and remembers what it was asked."""

    def __init__(self, plan: StudyPlan, *, times: int, code: RefusalCode, partition: int = 0) -> None:
        self.plan, self.times, self.code, self.partition = plan, times, code, partition
        self.asked: list[ContributeRequest] = []

    def __call__(self, request: ContributeRequest) -> Contribution:
        if request.round == 2:
            self.asked.append(request)
            if len(self.asked) <= self.times:
                raise RequestRefused(self.code)
        return ParabolaHospital(self.plan, self.partition).contribute(request)


@pytest.fixture
def everybody(plan: StudyPlan) -> StudyPlan:
    return replace(plan, quorum=5, training=replace(plan.training, rounds=3))


def test_a_hospital_that_comes_back_is_asked_the_very_same_again(everybody: StudyPlan) -> None:
    ailing = Ailing(everybody, times=3, code=RefusalCode.INTERNAL)
    reports, lost, clock = patient_run(everybody, {"Aachen": ailing}, seconds=60.0)
    assert [report.round for report in reports] == [1, 2, 3]
    assert [report.attempt for report in reports] == [0, 0, 0]
    assert len({request.hash for request in ailing.asked}) == 1
    assert (len(lost), clock.seconds) == (3, 30.0)
    assert [report.seconds for report in reports[:3]] == [0.0, 30.0, 0.0], "all askings of a round together"
    assert "Aachen" in str(lost[0])


def test_a_lost_answer_makes_one_new_attempt_for_all(everybody: StudyPlan) -> None:
    ailing = Ailing(everybody, times=1, code=RefusalCode.REQUEST_CONFLICT)
    other = Ailing(everybody, times=0, code=RefusalCode.INTERNAL, partition=1)
    reports, _, _ = patient_run(everybody, {"Aachen": ailing, "Bonn": other}, seconds=60.0)
    assert [(report.round, report.attempt) for report in reports] == [(1, 0), (2, 1), (3, 0)]
    assert [request.attempt for request in other.asked] == [0, 1]


def test_one_hospital_costs_the_others_one_attempt_and_no_more(everybody: StudyPlan) -> None:
    """One that says at each asking that its answer is lost would spend the budget of all the others."""
    hostile = Ailing(everybody, times=100, code=RefusalCode.REQUEST_CONFLICT)
    other = Ailing(everybody, times=0, code=RefusalCode.INTERNAL, partition=1)
    with pytest.raises(QuorumLost, match="Aachen"):
        patient_run(everybody, {"Aachen": hostile, "Bonn": other}, seconds=60.0)
    assert len(other.asked) > 3
    assert {request.attempt for request in other.asked} == {0, 1}


def test_nor_where_nobody_else_answers(everybody: StudyPlan) -> None:
    """It would be no free attempt: the others were not charged, and it is, for each."""
    hostile = Ailing(everybody, times=6, code=RefusalCode.REQUEST_CONFLICT)
    others = {
        site: Ailing(everybody, times=6, code=RefusalCode.INTERNAL, partition=number)
        for number, site in enumerate(everybody.roster)
        if number
    }
    patient_run(everybody, {everybody.roster[0]: hostile, **others}, seconds=90.0)
    assert [request.attempt for request in hostile.asked] == [0, *[1] * 6]


def test_nor_in_a_later_round(everybody: StudyPlan) -> None:
    class LosesEach(Ailing):
        def __call__(self, request: ContributeRequest) -> Contribution:
            self.asked.append(request)
            if request.attempt == 0:
                raise RequestRefused(self.code)
            return ParabolaHospital(self.plan, self.partition).contribute(request)

    hostile = LosesEach(everybody, times=0, code=RefusalCode.REQUEST_CONFLICT)
    with pytest.raises(QuorumLost, match="round 2"):
        patient_run(everybody, {"Aachen": hostile}, seconds=60.0)
    assert {(request.round, request.attempt) for request in hostile.asked} == {(1, 0), (1, 1), (2, 0)}


def test_two_hospitals_may_each_lose_an_answer(everybody: StudyPlan) -> None:
    first = Ailing(everybody, times=1, code=RefusalCode.REQUEST_CONFLICT)
    second = Ailing(everybody, times=2, code=RefusalCode.REQUEST_CONFLICT, partition=1)
    reports, _, _ = patient_run(everybody, {"Aachen": first, "Bonn": second}, seconds=60.0)
    assert [(report.round, report.attempt) for report in reports] == [(1, 0), (2, 1), (3, 0)]


def test_patience_ends(everybody: StudyPlan) -> None:
    ailing = Ailing(everybody, times=100, code=RefusalCode.INTERNAL)
    with pytest.raises(QuorumLost, match="round 2"):
        patient_run(everybody, {"Aachen": ailing}, seconds=60.0)
    assert len(ailing.asked) == 7


def test_nobody_waits_for_a_hospital_that_is_not_needed(everybody: StudyPlan) -> None:
    four_will_do = replace(everybody, quorum=4)
    ailing = Ailing(four_will_do, times=1, code=RefusalCode.REQUEST_CONFLICT)
    reports, lost, _ = patient_run(four_will_do, {"Aachen": ailing}, seconds=60.0)
    assert lost == []
    assert [len(report.answered) for report in reports] == [5, 4, 5]
