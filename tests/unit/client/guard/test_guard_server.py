"""Do only checked answers leave the socket, and only to whoever holds the token?"""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc
import numpy as np
import pytest
from tests.node_guards import (
    ANSWER_KEY,
    COORDINATOR_PUBLIC,
    REQUEST,
    SITE,
    SUMMARY,
    TOKEN,
    Asker,
    HonestGuard,
    HostileGuard,
    Served,
    raising,
    served,
    signed,
)

from oncofed.client.guard import egress
from oncofed.client.guard.guard_server import WRONG_TOKEN, serving
from oncofed.client.guard.token import token_sha256
from oncofed.client.records.audit_entries import HELD_BACK, Released
from oncofed.client.records.audit_log import AuditLog
from oncofed.client.records.repeats import MOST, NOT_NOTED
from oncofed.errors import InvalidInput, RefusalCode, RequestRefused
from oncofed.protocol import guard_pb2 as pb
from oncofed.protocol.answer import answer_to
from oncofed.protocol.masking_keys import SignedMaskingKey
from oncofed.protocol.messages import Contribution, DeliveryState, NodeDescription, PlanState
from oncofed.protocol.signing import new_signing_key
from oncofed.protocol.wire_form import LARGEST_MESSAGE, SERVICE, Method, question_of, serialised

PLANTED = "MRN-0047-11"
HASH = REQUEST.plan_hash
GOOD = question_of(REQUEST)


def called(here: Served, method: str, content: bytes, metadata: tuple[tuple[str, str | bytes], ...]) -> bytes:
    with grpc.insecure_channel(f"unix:{here.socket}") as channel:
        answer = channel.unary_unary(f"/{method}")(content, timeout=5, metadata=metadata)
    assert isinstance(answer, bytes)
    return answer


BEARER = (("authorization", f"Bearer {TOKEN}"),)


# What is asked and answered


def test_each_question_reaches_the_guard_and_its_answer_comes_back() -> None:
    guard = HonestGuard()
    with served(guard) as here:
        channel = here.asker()
        contribution = channel.contribute(REQUEST)
        assert contribution.vector.tobytes() == (0.5 * REQUEST.weights).tobytes()
        summary = channel.summarise(SUMMARY)
        assert summary.vector.tolist() == np.linspace(0.25, 0.75, 5).tolist()
        assert channel.offer_plan(b"a document") is PlanState.OFFERED
        assert channel.plan_status(HASH) is PlanState.APPROVED
        assert channel.deliver_model(b"model", b"signature", HASH) is DeliveryState.ACCEPTED
        assert channel.describe() == NodeDescription(SITE)
    request, summary_request, *others = guard.asked
    assert request.hash == REQUEST.hash  # type: ignore[attr-defined]  # the list holds any object
    assert summary_request.hash == SUMMARY.hash  # type: ignore[attr-defined]  # as above
    assert others == [b"a document", HASH, (b"model", b"signature", HASH)]


def test_every_answer_is_in_the_audit_log_with_what_left() -> None:
    with served(HonestGuard()) as here:
        answer = here.channel().ask(Method.CONTRIBUTE, signed(GOOD))
        here.asker().plan_status("no hash at all")
        first, second = here.audit()
    assert (first.event, first.plan_hash, first.round, first.attempt) == ("contribute", HASH, 3, 1)
    assert first.left == (Released("vector", (5,), "float64", 40, hashlib.sha256(answer).hexdigest()),)
    assert (second.event, second.plan_hash, second.code, second.left) == ("plan_status", "malformed", "approved", ())


def test_nothing_leaves_when_the_audit_log_cannot_be_written() -> None:
    with served(HonestGuard()) as here:
        (here.folder / "audit.jsonl").mkdir()
        with pytest.raises(RequestRefused) as refusal:
            here.asker().contribute(REQUEST)
    assert refusal.value.code is RefusalCode.NOT_READY


@pytest.mark.parametrize("code", list(RefusalCode))
def test_a_refusal_arrives_as_its_code(code: RefusalCode) -> None:
    with served(HostileGuard(raising(RequestRefused(code)))) as here:
        channel = here.asker()
        for ask in asks(channel):
            with pytest.raises(RequestRefused) as refusal:
                ask()
            assert refusal.value.code is code
        assert {entry.code for entry in here.audit()} == {code.value}


def asks(channel: Any) -> tuple[Callable[[], object], ...]:
    return (
        lambda: channel.contribute(REQUEST),
        lambda: channel.summarise(SUMMARY),
        lambda: channel.offer_plan(b""),
        lambda: channel.plan_status(HASH),
        lambda: channel.deliver_model(b"", b"", HASH),
        channel.describe,
    )


# A guard's object that does what it may not


class TalkativeRefusal(RequestRefused):
    def __init__(self) -> None:
        super().__init__(RefusalCode.INTERNAL)
        self.code = PLANTED  # type: ignore[assignment]


class TalkativeArray(np.ndarray):
    def tobytes(self, *_: Any) -> bytes:
        return PLANTED.encode() * 8


class MoreThanAContribution(Contribution):
    patients = 4711


HOSTILE: dict[str, Callable[[], Any]] = {
    "a text": lambda: PLANTED,
    "bytes": PLANTED.encode,
    "nothing": lambda: None,
    "a text in the vector's place": lambda: Contribution(PLANTED),  # type: ignore[arg-type]
    "texts in a vector": lambda: Contribution(np.array([PLANTED] * 5, dtype=object)),
    "longer": lambda: Contribution(np.full(6, 0.3)),
    "shorter": lambda: Contribution(np.full(4, 0.3)),
    "empty": lambda: Contribution(np.zeros(0)),
    "a column": lambda: Contribution(np.full((5, 1), 0.3)),
    "float32": lambda: Contribution(np.full(5, 0.3, dtype=np.float32)),
    "counts": lambda: Contribution(np.full(5, 4711)),
    "counts as float64": lambda: Contribution(np.full(5, 4711.0)),
    "one count, else zero": lambda: Contribution(np.array([0.0, 0.0, 4711.0, 0.0, 0.0])),
    "a view of counts": lambda: Contribution(np.full(5, 4711).view(np.float64)),
    "one number of a view of counts": lambda: Contribution(
        np.concatenate([np.full(4, 0.3), np.array([4711]).view(np.float64)])
    ),
    "complex": lambda: Contribution(np.full(5, 0.3 + 1j)),
    "NaN": lambda: Contribution(np.array([0.3, np.nan, 0.3, 0.3, 0.3])),
    "infinite": lambda: Contribution(np.array([0.3, np.inf, 0.3, 0.3, 0.3])),
    "an array with words of its own": lambda: Contribution(np.full(5, 0.3).view(TalkativeArray)),
    "a masked array": lambda: Contribution(np.ma.array(np.full(5, 0.3), mask=[True] + [False] * 4)),
    "more attributes": lambda: MoreThanAContribution(np.full(5, 0.3)),
    "a vector without its contribution": lambda: np.full(5, 0.3),
    "a message of its own": lambda: pb.ContributeReply(vector=b"0" * 40),
    "an exception": raising(RuntimeError(f"patient {PLANTED} has no stage")),
    "a chain of exceptions": raising(ExceptionGroup(PLANTED, [KeyError(PLANTED)])),
    "a refusal in words": raising(TalkativeRefusal()),
    "an exit": raising(SystemExit(PLANTED)),
    "an interruption": raising(KeyboardInterrupt(PLANTED)),
    "an error of gRPC": raising(grpc.RpcError(PLANTED)),
    "another state": lambda: "approved by Dr. Mabuse",
    "a state's text": lambda: "approved",
    "another site": lambda: NodeDescription(PLANTED),
    "another version": lambda: NodeDescription(SITE, 4711),
}
HELD = {name for name, act in HOSTILE.items() if not act.__qualname__.startswith("raising") and name != "nothing"}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_guard_that_misbehaves_gets_no_word_out(name: str) -> None:
    with served(HostileGuard(HOSTILE[name])) as here:
        for ask in asks(here.asker()):
            with pytest.raises(RequestRefused) as refusal:
                ask()
            assert refusal.value.code is RefusalCode.INTERNAL
        entries = here.audit()
        assert all(not entry.left for entry in entries)
        assert {entry.event for entry in entries} == {HELD_BACK} or name not in HELD
        assert PLANTED not in (here.folder / "audit.jsonl").read_text()


def test_no_text_reaches_grpcs_details() -> None:
    """Not with a status of gRPC's own either: a call always ends well, with a reply."""
    with served(HostileGuard(raising(RuntimeError(PLANTED)))) as here:
        answer = called(here, f"{SERVICE}/Contribute", signed(GOOD), BEARER)
    reply = serialised(pb.ContributeReply(refusal=pb.REFUSAL_INTERNAL))
    assert answer == answer_to(GOOD, reply, method="Contribute", signing_key=ANSWER_KEY)


# A question of another form


def _nested(reply: bytes) -> bytes:
    return reply + b"\x7a\x03abc"  # an unknown field 15


MALFORMED = {
    "no message": b"\xff\xff\xff",
    "an unknown field": _nested(GOOD),
    "half a number": serialised(pb.ContributeRequest(plan_hash=HASH, weights=b"1234567")),
    "NaN": serialised(pb.ContributeRequest(plan_hash=HASH, weights=np.array([np.nan]).tobytes())),
    "a field twice": GOOD + serialised(pb.ContributeRequest(round=3)),
}


@pytest.mark.parametrize("content", MALFORMED.values(), ids=MALFORMED)
def test_a_question_of_another_form_never_reaches_the_guard(content: bytes) -> None:
    guard = HonestGuard()
    with served(guard) as here:
        answer = called(here, f"{SERVICE}/Contribute", signed(content), BEARER)
    reply = serialised(pb.ContributeReply(refusal=pb.REFUSAL_MALFORMED_WEIGHTS))
    assert answer == answer_to(content, reply, method="Contribute", signing_key=ANSWER_KEY)
    assert not guard.asked


def test_a_question_that_the_coordinator_did_not_sign_never_reaches_the_guard() -> None:
    """Whoever carries questions could ask for rounds of his own, and each would be charged to patients."""
    guard = HonestGuard()
    with served(guard) as here:
        stranger = Asker(here.channel(), signing_key=new_signing_key())
        for ask in (
            lambda: stranger.contribute(REQUEST),
            lambda: stranger.summarise(SUMMARY),
            lambda: stranger.offer_plan(b"a document"),
            lambda: stranger.deliver_model(b"model", b"signature", HASH),
        ):
            for _ in range(3):
                with pytest.raises(RequestRefused) as refusal:
                    ask()
                assert refusal.value.code is RefusalCode.NOT_SIGNED
            called(here, f"{SERVICE}/Contribute", GOOD, BEARER)
        assert here.asker().contribute(REQUEST).vector.size == REQUEST.weights.size, "the coordinator is still answered"
        noted = [(entry.event, entry.code) for entry in here.audit()]
    assert len(guard.asked) == 1
    assert noted == [("unsigned_question", "not_signed"), ("contribute", "")], "once, however often"


def test_words_that_leave_again_and_again_fill_no_log() -> None:
    """A relay may call as often as it likes; what needs no patient waits for nothing."""
    with served(HonestGuard()) as here:
        channel = here.asker()
        for number in range(5):
            channel.describe()
            channel.plan_status(f"{number:064x}")
            channel.deliver_model(b"model", b"signature", HASH)
            with pytest.raises(grpc.RpcError):
                called(here, f"{SERVICE}/List{number}", b"", BEARER)
        events = [entry.event for entry in here.audit()]
    assert sorted(events) == ["deliver_model", "describe", "plan_status", "unknown_method"]


def test_what_egress_checked_is_what_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Byte for byte, with its question's hash and the signature around it, and nothing beside."""
    checked: list[bytes] = []
    contribution_of = egress.contribution_of

    def watching(numbers: int) -> egress.Check:
        def check(content: bytes) -> egress.Leaving:
            checked.append(content)
            return contribution_of(numbers)(content)

        return check

    monkeypatch.setattr(egress, "contribution_of", watching)
    with served(HonestGuard()) as here:
        answer = here.channel().ask(Method.CONTRIBUTE, signed(GOOD))
    left = pb.Answer()
    left.ParseFromString(answer)
    assert [left.content] == checked
    assert answer == answer_to(GOOD, checked[0], method="Contribute", signing_key=ANSWER_KEY)


def test_the_same_question_gets_the_same_bytes() -> None:
    with served(HonestGuard()) as here:
        channel = here.channel()
        assert channel.ask(Method.CONTRIBUTE, signed(GOOD)) == channel.ask(Method.CONTRIBUTE, signed(GOOD))


# Token and services

SHOWN: dict[str, tuple[tuple[str, str | bytes], ...]] = {
    "none": (),
    "wrong": (("authorization", "Bearer " + "0" * 64),),
    "empty": (("authorization", "Bearer "),),
    "another scheme": (("authorization", TOKEN),),
    "its hash": (("authorization", f"Bearer {token_sha256(TOKEN)}"),),
    "a longer one": (("authorization", f"Bearer {TOKEN}0"),),
    "twice": (("authorization", f"Bearer {TOKEN}"), ("authorization", f"Bearer {TOKEN}")),
    "under another name": (("x-authorization", f"Bearer {TOKEN}"),),
    "as bytes": (("authorization-bin", f"Bearer {TOKEN}".encode()),),
}


@pytest.mark.parametrize("metadata", SHOWN.values(), ids=SHOWN)
def test_without_the_token_there_is_no_answer_and_no_text(metadata: tuple[tuple[str, str | bytes], ...]) -> None:
    guard = HonestGuard()
    with served(guard) as here:
        for method in ("Contribute", "OfferPlan", "PlanStatus", "DeliverModel", "Describe", "Other"):
            with pytest.raises(grpc.RpcError) as error:
                called(here, f"{SERVICE}/{method}", GOOD, metadata)
            assert error.value.code() is grpc.StatusCode.UNAUTHENTICATED
            assert error.value.details() == ""
    assert not guard.asked


def test_a_wrong_token_is_noted_once_however_often_it_comes() -> None:
    with served(HonestGuard()) as here:
        for shown in (SHOWN["wrong"], SHOWN["none"], SHOWN["wrong"], BEARER):
            with suppress(grpc.RpcError):
                called(here, f"{SERVICE}/Describe", b"", shown)
        assert [entry.event for entry in here.audit()] == [WRONG_TOKEN, "describe"]


def test_a_wrong_token_is_refused_without_a_word_when_it_cannot_be_noted() -> None:
    with served(HonestGuard()) as here:
        (here.folder / "audit.jsonl").mkdir()
        with pytest.raises(grpc.RpcError) as error:
            called(here, f"{SERVICE}/Describe", b"", SHOWN["wrong"])
        assert (error.value.code(), error.value.details()) == (grpc.StatusCode.UNAUTHENTICATED, "")


def test_there_is_no_other_method_and_no_other_service() -> None:
    others = (
        f"{SERVICE}/Evaluate",
        f"{SERVICE}/contribute",
        "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        "grpc.health.v1.Health/Check",
    )
    with served(HonestGuard()) as here:
        for method in others:
            with pytest.raises(grpc.RpcError) as error:
                called(here, method, b"", BEARER)
            assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_message_above_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oncofed.client.guard.guard_server.OPTIONS", (("grpc.max_receive_message_length", 1000),))
    guard = HonestGuard()
    with served(guard) as here, pytest.raises(grpc.RpcError) as error:
        called(here, f"{SERVICE}/OfferPlan", serialised(pb.OfferPlanRequest(document=b"0" * 1001)), BEARER)
    assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert not guard.asked


def test_the_limit_of_a_message_is_the_products() -> None:
    """Nobody can make a guard hold more than it needs for the largest model; what is a little smaller arrives."""
    with served(HonestGuard()) as here:
        for size, refused in ((LARGEST_MESSAGE - 200, False), (LARGEST_MESSAGE + 1, True)):
            question = signed(serialised(pb.OfferPlanRequest(document=bytes(size))), Method.OFFER_PLAN)
            code = None
            try:
                called(here, f"{SERVICE}/OfferPlan", question, BEARER)
            except grpc.RpcError as error:
                code = error.code()
            assert (code is grpc.StatusCode.RESOURCE_EXHAUSTED) is refused, (size, code)
        assert here.asker().describe() == NodeDescription(SITE), "it goes on working"
        assert [entry.event for entry in here.audit()] == ["offer_plan", "describe"]


def test_a_round_or_summary_that_is_refused_again_is_noted_once_and_each_that_is_answered_is_noted() -> None:
    """Whoever carries questions may deliver one that the coordinator signed without end."""
    refusing = HostileGuard(raising(RequestRefused(RefusalCode.REQUEST_CONFLICT)))
    with served(refusing) as here:
        asker = here.asker()
        for attempt in (1, 2):
            for _ in range(5):
                with pytest.raises(RequestRefused):
                    asker.contribute(replace(REQUEST, attempt=attempt))
                with pytest.raises(RequestRefused):
                    asker.summarise(replace(SUMMARY, attempt=attempt))
        found = [(entry.event, entry.attempt, entry.code) for entry in here.audit()]
    assert sorted(found, key=str) == sorted(
        ((event, attempt, "request_conflict") for event in ("contribute", "summarise") for attempt in (1, 2)), key=str
    )
    with served(HonestGuard()) as here:
        channel = here.channel()
        for number in range(2 * MOST):  # a flood, and still each that is answered for the first time is told
            channel.ask(
                Method.OFFER_PLAN,
                signed(serialised(pb.OfferPlanRequest(document=number.to_bytes(4))), Method.OFFER_PLAN),
            )
        answers = [
            channel.ask(Method.CONTRIBUTE, signed(question_of(replace(REQUEST, attempt=attempt))))
            for attempt in (1, 2)
            for _ in range(5)
        ]
        left = [entry.left[0].sha256 for entry in here.audit() if entry.left]
    assert left == [hashlib.sha256(answer).hexdigest() for answer in answers]


def test_a_masking_key_that_is_asked_for_in_ever_new_words_fills_no_log() -> None:
    """Of twenty hospitals' keys there are a million sets to ask with."""
    with served(HonestGuard()) as here:
        asker = here.asker()
        for number in range(3 * MOST):
            asker.masking_keys(HASH, (SignedMaskingKey(f"Site {number}", b"k" * 32, b"s" * 64),))
        lines = [entry for entry in here.audit() if entry.code == "masking_key"]
    assert len(lines) == 1 + MOST


def test_an_answer_that_is_asked_for_without_end_fills_no_log() -> None:
    """Whoever carries questions needs no key for that."""
    with served(HonestGuard()) as here:
        channel, question = here.channel(), signed(question_of(REQUEST))
        for _ in range(3 * MOST):
            channel.ask(Method.CONTRIBUTE, question)
        other = channel.ask(Method.CONTRIBUTE, signed(question_of(replace(REQUEST, attempt=9))))
        left = [entry.left[0].sha256 for entry in here.audit() if entry.left]
        counts = [int(entry.facts["times"]) for entry in here.audit() if entry.event == NOT_NOTED]
    assert len(left) == 1 + MOST + 1
    assert left[-1] == hashlib.sha256(other).hexdigest(), "what leaves for the first time has its line"
    assert counts == sorted(counts)
    assert max(counts) > MOST


def test_what_is_no_question_is_noted_once_however_often_it_comes() -> None:
    with served(HonestGuard()) as here:
        for content in (*MALFORMED.values(), *MALFORMED.values()):
            called(here, f"{SERVICE}/Contribute", signed(content), BEARER)
        events = [entry.event for entry in here.audit()]
    assert events.count("malformed_message") == 1
    assert set(events) == {"malformed_message", "contribute"}, "weights that are not finite are a question"


def test_the_same_offer_is_noted_once_and_whatever_differs_at_once() -> None:
    guard = TalkingGuard()
    with served(guard) as here:
        channel = here.asker()
        for state, document in (
            *[(PlanState.OFFERED, b"one")] * 20,
            (PlanState.OFFERED, b"two"),
            (PlanState.APPROVED, b"one"),
            *[(PlanState.OFFERED, b"one")] * 5,
        ):
            guard.state = state
            assert channel.offer_plan(document) is state
        channel.contribute(REQUEST)
        channel.contribute(REQUEST)
        told = [(entry.event, entry.code) for entry in here.audit()]
    offers = [("offer_plan", "offered"), ("offer_plan", "offered"), ("offer_plan", "approved")]
    assert told == [*offers, ("contribute", ""), ("contribute", "")], "what leaves is noted each time"


class TalkingGuard(HonestGuard):
    """Says of a plan what it is told to say."""

    state = PlanState.OFFERED

    def offer_plan(self, document: bytes) -> PlanState:
        return self.state


def test_one_question_at_a_time() -> None:
    inside, most = 0, 0
    lock, together = threading.Lock(), threading.Barrier(3)

    def act() -> Contribution:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        threading.Event().wait(0.05)
        with lock:
            inside -= 1
        return Contribution(np.full(5, 0.3))

    def ask(channel: Any) -> None:
        together.wait()
        channel.contribute(REQUEST)

    with served(HostileGuard(act)) as here:
        threads = [threading.Thread(target=ask, args=(here.asker(),)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(here.audit()) == 3
    assert most == 1


# The place of the socket


def rights(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def serve_at(socket: Path) -> Any:
    return serving(
        HonestGuard(),
        socket=socket,
        token_sha256=token_sha256(TOKEN),
        site=SITE,
        audit=AuditLog(socket.parent.parent / "audit.jsonl"),
        answer_key=ANSWER_KEY,
        asker_key=COORDINATOR_PUBLIC,
    )


def test_folder_and_socket_have_their_rights_before_anybody_can_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []
    start = grpc._server._Server.start

    with TemporaryDirectory(prefix="oncofed-") as name:
        socket = Path(name) / "run" / "guard.sock"

        def look_and_start(self: Any) -> None:
            seen.append((rights(socket.parent), rights(socket)))
            start(self)

        monkeypatch.setattr(grpc._server._Server, "start", look_and_start)
        before = os.umask(0o000)
        try:
            with serve_at(socket):
                pass
            assert os.umask(0o000) == 0o000
        finally:
            os.umask(before)
    assert seen == [(0o750, 0o660)]


def test_a_folder_that_is_too_open_is_closed() -> None:
    with TemporaryDirectory(prefix="oncofed-") as name:
        socket = Path(name) / "run" / "guard.sock"
        socket.parent.mkdir()
        socket.parent.chmod(0o2777)
        with serve_at(socket):
            assert rights(socket.parent) == 0o2750


def test_the_socket_of_a_dead_guard_is_replaced() -> None:
    with TemporaryDirectory(prefix="oncofed-") as name:
        here = Served(Path(name))
        here.socket.parent.mkdir()
        bind = "import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])"
        subprocess.run([sys.executable, "-c", bind, str(here.socket)], check=True)
        assert stat.S_ISSOCK(here.socket.stat().st_mode)
        with serve_at(here.socket):
            assert here.asker().describe() == NodeDescription(SITE)


def test_the_socket_of_a_living_guard_is_refused_and_goes_on_working() -> None:
    with served(HonestGuard()) as here:
        with pytest.raises(InvalidInput, match="guard that is running"), serve_at(here.socket):
            pass
        assert here.asker().describe() == NodeDescription(SITE)


def test_a_living_guard_is_noticed_even_when_its_lock_file_was_deleted() -> None:
    with served(HonestGuard()) as here:
        here.socket.with_suffix(".lock").unlink()
        with pytest.raises(InvalidInput, match="guard that is running"), serve_at(here.socket):
            pass
        assert here.asker().describe() == NodeDescription(SITE)


def test_a_guard_that_is_about_to_start_is_noticed_by_its_lock() -> None:
    with served(HonestGuard()) as here:
        here.socket.unlink()
        with pytest.raises(InvalidInput, match="guard that is running"), serve_at(here.socket):
            pass


@pytest.mark.parametrize("length", [108, 200])
def test_a_path_too_long_for_a_socket_is_told_so(length: int) -> None:
    with pytest.raises(InvalidInput, match="107 bytes"), serve_at(Path("/tmp") / ("x" * (length - 5))):
        pass


def test_something_that_is_no_socket_is_left_alone() -> None:
    with TemporaryDirectory(prefix="oncofed-") as name:
        socket = Path(name) / "run" / "guard.sock"
        socket.parent.mkdir()
        socket.write_text("a note")
        with pytest.raises(InvalidInput, match="no socket"), serve_at(socket):
            pass
        assert socket.read_text() == "a note"
