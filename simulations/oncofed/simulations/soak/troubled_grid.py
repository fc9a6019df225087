"""How do questions and answers travel where much goes wrong? A Grid between the real ServerApp and real guards.

Time is a number that this Grid moves on: by what answers take, or by the round's limit when one is missing. What
happens to a question is drawn when it is sent, in the order of the roster, so that a seed says all of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
from flwr.app import Message

from oncofed.client.relay.relay import build_client_app
from oncofed.errors import RefusalCode, RequestRefused
from oncofed.protocol.answer import content_of
from oncofed.protocol.codec import decode_question
from oncofed.protocol.question import request_in
from oncofed.protocol.wire_form import Method, contribute_request, contribution_in
from oncofed.simulations.engines.in_process_grid import InProcessGrid
from oncofed.simulations.soak.faults import NO_FAULT, Fault, Kind, of_a_question
from oncofed.simulations.soak.hospital_process import HospitalProcess
from oncofed.simulations.soak.witness import Seen, Which

_SMALLEST_WRONG_SECONDS = 10.0
"""A clock that is wrong by more keeps a node off: what it signs counts for seconds only."""
_LONGEST_ANSWER_SECONDS = 240.0
_RESTART_SECONDS = 60.0
"""At most, until a supervisor has started a guard again."""


@dataclass
class Clock:
    """Simulated, in seconds."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        """Moves it on."""
        self.now += seconds


@dataclass
class Hospital:
    """One that is asked. off_until, down_until, full_until: when it can be reached, runs, has room again.

    held     questions that somebody on the way keeps, each with the time when it is delivered.
    outcome  of the last question: "vector", "answer" (of another kind), a refusal's code, "down", "dead", "fault".
    last     what the last answer with a vector was to.
    """

    site: str
    process: HospitalProcess
    seen: Seen
    answer_key: bytes
    coordinator_key: bytes
    clock: Clock
    off_until: float = 0.0
    down_until: float = 0.0
    full_until: float = 0.0
    fault: Fault = NO_FAULT
    held: list[tuple[float, str, bytes]] = field(default_factory=list)
    outcome: str = ""
    last: Which | None = None

    def ask(self, method: str, question: bytes) -> bytes:
        """As a relay does; what left is told to the witness. Raises RequestRefused where there is no answer."""
        answer: bytes | str = ""
        self.outcome, self.last = "down", None
        if self.down_until <= self.clock.now:
            self.outcome, answer = self.process.ask(method, question, self.fault)
        self.fault = NO_FAULT
        if not isinstance(answer, bytes):
            raise RequestRefused(RefusalCode.NOT_READY)
        if method == Method.CONTRIBUTE:
            self._tell(question, answer)
        return answer

    def catch_up(self) -> None:
        """What has passed by now: a full disk, a wrong clock, the way of a question that was held back."""
        if self.full_until <= self.clock.now:
            self.process.disk_full = False
        if self.process.clock_seconds and self.off_until <= self.clock.now:
            self.process.kill()
            self.process.clock_seconds = 0.0
        due = [each for each in self.held if each[0] <= self.clock.now]
        self.held = [each for each in self.held if each[0] > self.clock.now]
        for _, method, question in due:
            with suppress(RequestRefused):
                self.ask(method, question)

    def _tell(self, question: bytes, answer: bytes) -> None:
        request = request_in(question, method=Method.CONTRIBUTE, public_key=self.coordinator_key)
        sha256 = hashlib.sha256(request).digest()
        content = content_of(answer, question_sha256=sha256, method=Method.CONTRIBUTE, public_key=self.answer_key)
        try:
            vector = contribution_in(content).vector
        except RequestRefused as refusal:
            self.outcome = refusal.code.value
            return
        asked = contribute_request(request)
        which = (asked.plan_hash, asked.round, asked.attempt)
        self.seen.left(which, answer, vector)
        self.outcome, self.last = "vector", which


class TroubledGrid(InProcessGrid):
    """hospitals: by node id. told: whatever happened."""

    def __init__(
        self, hospitals: Mapping[int, Hospital], clock: Clock, rng: np.random.Generator, told: Callable[[str], None]
    ) -> None:
        self._hospitals, self._clock, self._rng, self._told = hospitals, clock, rng, told
        super().__init__(build_client_app(lambda context: hospitals[context.node_id]), node_count=len(hospitals))

    def get_node_ids(self) -> list[int]:
        """Those that can be reached now."""
        return [node for node, hospital in self._hospitals.items() if hospital.off_until <= self._clock.now]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """What arrives in time. Raises Broken."""
        assert timeout is not None
        listed, replies, longest = list(messages), [], 0.0
        self.push_messages(listed)
        for message in listed:
            seconds = float(self._rng.uniform(5.0, _LONGEST_ANSWER_SECONDS))
            fault = of_a_question(self._rng)
            reply = self._delivered(message, self._hospitals[message.metadata.dst_node_id], fault)
            if reply is not None:
                replies.append(reply)
            longest = max(longest, timeout if reply is None else seconds)
        self._clock.sleep(longest)
        return replies

    def _delivered(self, message: Message, hospital: Hospital, fault: Fault) -> Message | None:
        """The answer, if it arrives in time."""
        hospital.catch_up()
        now, until = self._clock.now, self._clock.now + 60 * fault.minutes
        if hospital.off_until > now:
            return None
        method, question = decode_question(message.content)
        hospital.fault = fault
        match fault.kind:
            case Kind.PARTITION:
                hospital.off_until = until
            case Kind.HELD_BACK:
                hospital.held.append((until, method, question))
            case Kind.IDLE_KILL:
                hospital.process.kill()
                hospital.down_until = min(until, now + _RESTART_SECONDS)
            case Kind.CLOCK:
                hospital.process.kill()
                hospital.process.clock_seconds = fault.seconds
        if fault.kind in (Kind.PARTITION, Kind.HELD_BACK):
            self._note(hospital, fault, "")
            return None
        (reply,) = self._replies([message.metadata.message_id], timeout=None)
        outcome, which = hospital.outcome, hospital.last
        match fault.kind:
            case Kind.KILLED if outcome == "dead":
                hospital.down_until = min(until, now + _RESTART_SECONDS)
            case Kind.DISK_FULL:
                hospital.process.disk_full, hospital.full_until = True, until
            case Kind.CLOCK:
                hospital.off_until = until if abs(fault.seconds) > _SMALLEST_WRONG_SECONDS else now
            case Kind.TWICE if which is not None:
                hospital.ask(method, question)
        self._note(hospital, fault, outcome)
        if fault.kind in (Kind.ANSWER_LOST, Kind.SLOW) or hospital.off_until > now:
            return None
        if which is not None:
            hospital.seen.reached[which] = reply
        return reply

    def _note(self, hospital: Hospital, fault: Fault, outcome: str) -> None:
        if fault.kind is not Kind.NONE or outcome not in ("vector", "answer"):
            step = f" {fault.step}" if fault.kind in (Kind.KILLED, Kind.DISK_FULL) else ""
            self._told(f"{hospital.site}: {fault.kind.value}{step}; {outcome or 'not asked'}")
