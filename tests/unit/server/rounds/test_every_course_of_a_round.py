"""Whatever happens to three hospitals at the first askings of a round: is each answer counted once, does the round end,
and what is charged for nothing?

Every course is tried, not a sample. What can befall a hospital at an asking is one of `BEFALLS`, and hospitals are
alike: so 816 courses are all there are of two askings. In 4,352 more, one hospital is killed again and again for five
while others are away for up to four. Then everybody answers. Hospitals keep their own records here, in ten lines,
so that a charge is theirs to count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations_with_replacement, count, product
from typing import Any

import numpy as np
import pytest
from flwr.app import Message
from flwr.app.message.message import make_message
from flwr.app.metadata import Metadata
from flwr.supercore.task_identity import TaskIdentity
from tests.doubles import calibrated_privacy, members_of, model_spec, no_privacy, study_plan

from oncofed.errors import QuorumLost, RefusalCode
from oncofed.privacy.releases import release_of_round
from oncofed.protocol import guard_pb2 as pb
from oncofed.protocol.answer import answer_to
from oncofed.protocol.codec import decode_question, encode_answer
from oncofed.protocol.messages import ContributeRequest
from oncofed.protocol.plan import SharedNoise, StudyPlan, TrainingSpec
from oncofed.protocol.wire_form import REFUSALS, contribute_request, serialised
from oncofed.server.rounds.admission import Question
from oncofed.server.rounds.rounds import Patience, RoundReport, admitted_quorum, asked_until_answered, questions_of
from oncofed.server.rounds.state import FederationState, initial_state

SITES = ("Bonn", "Essen", "Hof")
NODES = {site: 1000 + place for place, site in enumerate(SITES)}
ANSWERS, IS_AWAY, REPLY_IS_LOST, IS_KILLED = "answers", "is away", "reply is lost", "is killed after its charge"
BEFALLS = (ANSWERS, IS_AWAY, REPLY_IS_LOST, IS_KILLED)
OF_TWO = tuple(combinations_with_replacement(product(BEFALLS, repeat=2), 3))
LONGER = tuple(
    (longer, *others)
    for longer in product((ANSWERS, IS_KILLED), repeat=5)
    for others in combinations_with_replacement(product((ANSWERS, IS_AWAY), repeat=4), 2)
)
COURSES = OF_TWO + LONGER
MODEL = model_spec()
TRAINING = TrainingSpec(rounds=2)


def plain() -> StudyPlan:
    """Two of three must answer."""
    plan = study_plan(model=MODEL, training=TRAINING, privacy=no_privacy())
    return replace(plan, roster=SITES, quorum=2, members=members_of(SITES), round_timeout_seconds=30.0)


def masked() -> StudyPlan:
    """All who are asked must answer, and one of three may be away."""
    shares = SharedNoise(sites=3, dropouts=1, colluding=0)
    privacy = calibrated_privacy(
        TRAINING,
        epsilon=3.0,
        delta=1e-5,
        l2_norm_bound=1.0,
        reserve_rounds=4,
        shares=shares,
        parameters=MODEL.parameters,
        scale_bits=30,
    )
    return replace(plain(), privacy=privacy)


@dataclass
class Hospitals:
    """One Flower Grid with three hospitals behind it; course: what befalls each at its first askings."""

    plan: StudyPlan
    course: Mapping[str, tuple[str, ...]]
    moment: int = 0
    charged: dict[str, list[tuple[Any, ...]]] = field(default_factory=lambda: {site: [] for site in SITES})
    kept: set[tuple[Any, ...]] = field(default_factory=set)
    names: Iterable[int] = field(default_factory=count)

    def befalls(self, site: str) -> str:
        course = self.course[site]
        return course[self.moment] if self.moment < len(course) else ANSWERS

    def get_node_ids(self) -> list[int]:
        return [NODES[site] for site in SITES if self.befalls(site) != IS_AWAY]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        return [reply for message in messages if (reply := self._replied(message)) is not None]

    def _replied(self, message: Message) -> Message | None:
        message.metadata.__dict__["_message_id"] = f"question {next(iter(self.names))}"
        site = next(site for site in SITES if NODES[site] == message.metadata.dst_node_id)
        befalls, (method, question) = self.befalls(site), decode_question(message.content)
        if befalls == IS_AWAY:
            return None
        asked = contribute_request(question)
        identity = (site, asked.round, asked.attempt, asked.roster)
        other_roster = any(each[1:3] == identity[1:3] and each != identity for each in self.charged[site])
        if identity not in self.charged[site] and not other_roster:
            self.charged[site].append(identity)
            if befalls != IS_KILLED:
                self.kept.add(identity)
        if befalls in {REPLY_IS_LOST, IS_KILLED}:  # and it says next time that it was charged, and has no answer
            return None
        if identity in self.kept:
            masks = release_of_round(self.plan).needs_everybody
            numbers = np.zeros(MODEL.parameters, dtype=np.uint64 if masks else np.float64).tobytes()
            reply = pb.ContributeReply(masked=numbers) if masks else pb.ContributeReply(vector=numbers)
            content = serialised(reply)
        else:
            content = serialised(pb.PlanReply(refusal=REFUSALS[RefusalCode.REQUEST_CONFLICT]))
        metadata = Metadata(
            1, f"to {message.metadata.message_id}", NODES[site], 1, message.metadata.message_id, "1", 0.0, 60.0, "query"
        )
        return make_message(metadata, encode_answer(answer_to(question, content, method=method, signing_key=None)))


@dataclass
class Ended:
    """counted: whose answers to which attempt; None: the round had no quorum when patience ended."""

    hospitals: Hospitals
    counted: tuple[tuple[Any, ...], ...] | None

    def wasted(self, sites: Iterable[str] = SITES) -> int:
        """The most charges that one of these hospitals has for nothing."""
        return max((len(set(self.hospitals.charged[site]) - set(self.counted or ())) for site in sites), default=0)


def course_of(plan: StudyPlan, course: tuple[tuple[str, ...], ...]) -> Ended:
    hospitals, seconds, counted = Hospitals(plan, dict(zip(SITES, course, strict=True))), 0.0, []

    def sleep(pause: float) -> None:
        nonlocal seconds
        seconds += pause
        hospitals.moment += 1

    def close(
        state: FederationState, replies: Iterable[Message], *, plan: StudyPlan, questions: Mapping[str, Question]
    ) -> tuple[FederationState, RoundReport]:
        release = release_of_round(plan)
        admission = admitted_quorum(replies, plan=plan, questions=questions, what="round 1", release=release)
        requests = {question.request.site: question.request for question in questions.values()}
        for each in admission.admitted:
            request = requests[each.site]
            assert isinstance(request, ContributeRequest)
            counted.append((each.site, request.round, request.attempt, request.roster))
        sites = tuple(each.site for each in admission.admitted)
        report = RoundReport(1, state.attempt, sites, admission.rejected, 0.0, 0, 0)
        return replace(state, round=1), report

    patience = Patience(seconds=100.0, pause_seconds=10.0, clock=lambda: seconds, sleep=sleep)
    start = initial_state(np.zeros(MODEL.parameters))
    grid: Any = hospitals
    try:
        asked_until_answered(grid, start, questions_of, close, plan=plan, nodes=NODES, patience=patience)
    except QuorumLost:
        return Ended(hospitals, None)
    return Ended(hospitals, tuple(counted))


@pytest.fixture(scope="module", autouse=True)
def _a_task() -> None:
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 2, 3


def always_answer(course: tuple[tuple[str, ...], ...]) -> list[str]:
    return [site for site, befallen in zip(SITES, course, strict=True) if set(befallen) == {ANSWERS}]


BOTH = pytest.mark.parametrize("plan", [plain(), masked()], ids=["plain", "masked"])


@BOTH
def test_every_answer_counts_once_and_all_are_of_one_attempt(plan: StudyPlan) -> None:
    assert (len(OF_TWO), len(LONGER)) == (816, 4352)
    for course in COURSES:
        ended = course_of(plan, course)
        if ended.counted is None:
            continue
        assert len({identity[1:] for identity in ended.counted}) == 1, course
        sites = Counter(identity[0] for identity in ended.counted)
        assert max(sites.values()) == 1, course
        roster = ended.counted[0][3]
        needed = len(roster) if release_of_round(plan).needs_everybody else plan.quorum
        assert len(sites) >= max(needed, 2), course
        for site, charges in ended.hospitals.charged.items():
            assert len(set(charges)) == len(charges), course
            assert site not in sites or any(identity in charges for identity in ended.counted), course


@BOTH
def test_a_round_ends_unless_hospitals_are_killed_again_and_again(plan: StudyPlan) -> None:
    """A hospital causes one fresh attempt, and is waited for after that, until a person resumes the study.

    A masked attempt stays with whom it began: where one of two is killed twice, a third that is back is not asked.
    """
    masks = release_of_round(plan).needs_everybody
    for course in COURSES:
        if course_of(plan, course).counted is None:
            kills = [befallen.count(IS_KILLED) for befallen in course]
            somebody_was_away = any(IS_AWAY in befallen for befallen in course)
            assert sum(map(bool, kills)) > 1 or (masks and max(kills) > 1 and somebody_was_away), course


@BOTH
def test_a_charge_for_nothing_has_a_cause(plan: StudyPlan) -> None:
    """One for each hospital that was killed; of masked sums one more, where the others go on without who is away."""
    more = int(release_of_round(plan).needs_everybody)
    for course in COURSES:
        ended, kills = course_of(plan, course), sum(IS_KILLED in befallen for befallen in course)
        if ended.counted is None:  # all are for nothing until a person resumes
            continue
        assert ended.wasted() <= kills + any(set(befallen) != {ANSWERS} for befallen in course), course
        somebody_was_missed = any(IS_AWAY in befallen or REPLY_IS_LOST in befallen for befallen in course)
        assert ended.wasted(always_answer(course)) <= kills + (more if somebody_was_missed or kills else 0), course


def test_who_is_missed_once_is_asked_again_before_the_others_go_on_without_it() -> None:
    for course in OF_TWO:
        if all(first != IS_KILLED and second == ANSWERS for first, second in course):
            assert course_of(masked(), course).wasted() == 0, course
