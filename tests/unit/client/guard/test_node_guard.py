"""Does a hospital keep only what its coordinator signed, and answer only for what its people approved?"""

from __future__ import annotations

import contextlib
import errno
import gc
import hashlib
import json
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.installed_node import (
    ANSWER_PUBLIC_KEY,
    NODE_KEY,
    SITE,
    InstalledNode,
    installed_node,
    table,
)
from tests.node_guards import ANSWER_KEY, COORDINATOR_PUBLIC, signed

from oncofed.client.guard import guard as guard_module
from oncofed.client.guard import plan_offers, trust
from oncofed.client.guard.desk import Desk, questions_to_node
from oncofed.client.guard.node_guard import NodeGuard
from oncofed.client.install.inbox import looked_at, offered_plans, offers_of
from oncofed.client.patients import approved_patients
from oncofed.client.patients.training import ascent_sum
from oncofed.client.records import offers, repeats
from oncofed.client.records.audit_log import AuditLog
from oncofed.client.records.offers import MOST_WAITING
from oncofed.errors import InvalidInput, PrivacyRefusal, RecordUnwritable, RefusalCode, RequestRefused
from oncofed.protocol.messages import ContributeRequest, DeliveryState, NodeDescription, PlanState
from oncofed.protocol.model_file import signed_model
from oncofed.protocol.plan import Member, StudyPlan
from oncofed.protocol.signing import new_signing_key, sign
from oncofed.protocol.study_document import StudyDocument, document_bytes, read_document
from oncofed.protocol.wire_form import ASKED_FROM_OUTSIDE, Method, offer_question, question_of
from oncofed.survival.encoded_patients import EncodedPatients
from oncofed.survival.likelihood import PatientTensors, tensors_of
from oncofed.survival.network import parameter_count


@pytest.fixture
def node() -> Iterator[InstalledNode]:
    with installed_node() as here:
        here.enrol()
        yield here


@pytest.fixture
def approved(node: InstalledNode) -> InstalledNode:
    assert node.guard().offer_plan(node.offer()) is PlanState.OFFERED
    node.approve()
    return node


def refusal_of(guard: NodeGuard, request: ContributeRequest) -> RefusalCode:
    with pytest.raises(RequestRefused) as refusal:
        guard.contribute(request)
    return refusal.value.code


# Offers


def test_an_offer_is_kept_and_then_waits_for_a_person(node: InstalledNode) -> None:
    guard, plan_hash = node.guard(), node.plan().hash
    assert guard.plan_status(plan_hash) is PlanState.REFUSED
    for _ in range(2):
        assert guard.offer_plan(node.offer()) is PlanState.OFFERED
    assert (node.folder.plans / f"{plan_hash}.json").read_bytes() == node.offer()
    node.approve()
    assert guard.offer_plan(node.offer()) is PlanState.APPROVED
    assert guard.plan_status(plan_hash) is PlanState.APPROVED
    node.approvals.decline(node.plan().hash, declined_by="Dr. Example", now=datetime.now(UTC))
    assert guard.plan_status(plan_hash) is PlanState.DECLINED
    assert node.events() == [("plan_kept", ""), ("approved", ""), ("declined", "")]


def another_coordinator(node: InstalledNode) -> bytes:
    return InstalledNode(node.folder, new_signing_key()).offer()


def another_signature(node: InstalledNode) -> bytes:
    """The pinned coordinator's name with somebody else's signature."""
    document, forged = node.document(), bytearray(node.document().signature)
    forged[0] ^= 1
    return document_bytes(replace(document, signature=bytes(forged)))


def a_changed_number(node: InstalledNode) -> bytes:
    return document_bytes(replace(node.document(), plan=node.weaker()))


def with_members(*members: Member) -> Callable[[InstalledNode], bytes]:
    def offer(node: InstalledNode) -> bytes:
        roster = tuple(member.site for member in members)
        return node.offer(replace(node.plan(), members=members, roster=roster, quorum=1))

    return offer


OFFERS: dict[str, tuple[Callable[[InstalledNode], bytes], str]] = {
    "no document": (lambda _: b"{}", "another_form"),
    "nothing": (lambda _: b"", "another_form"),
    "too large": (lambda _: b" " * 4_000_001, "another_form"),
    "another coordinator": (another_coordinator, "another_signature"),
    "another signature": (another_signature, "another_signature"),
    "a changed number": (a_changed_number, "another_signature"),
    "far outside of the ranges": (
        lambda node: node.offer(replace(node.plan(), training=replace(node.plan().training, rounds=10**12))),
        "outside_ranges",
    ),
    "another hospital": (
        with_members(Member("Essen", NODE_KEY, ANSWER_PUBLIC_KEY)),
        "not_a_member",
    ),
    "another key for us": (
        with_members(Member(SITE, "ecdsa-sha2-nistp384 AAAA-of-Essen", ANSWER_PUBLIC_KEY)),
        "not_a_member",
    ),
    "another answer key for us": (with_members(Member(SITE, NODE_KEY, "1" * 64)), "not_a_member"),
    "no answer key for us": (with_members(Member(SITE, NODE_KEY)), "not_a_member"),
}


@pytest.mark.parametrize(("offer", "reason"), OFFERS.values(), ids=OFFERS)
def test_other_offers_are_not_kept(node: InstalledNode, offer: Callable[[InstalledNode], bytes], reason: str) -> None:
    assert node.guard().offer_plan(offer(node)) is PlanState.REFUSED
    assert list(node.folder.plans.iterdir()) == []
    assert node.events() == [("plan_not_kept", reason)]


def plans(node: InstalledNode, count: int) -> list[StudyPlan]:
    return [replace(node.plan(), study=f"flood {number}") for number in range(count)]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> int:
    """For so many waiting plans there is room."""
    monkeypatch.setattr(offers, "MOST_WAITING", 4)
    return 4


def kept(node: InstalledNode) -> set[str]:
    return {path.stem for path in node.folder.plans.glob("*.json")}


@pytest.mark.parametrize(("number", "most"), [(30, 5), pytest.param(1000, MOST_WAITING, marks=pytest.mark.slow)])
def test_of_many_offers_the_oldest_give_way_and_an_honest_one_is_approved_before_and_after(
    number: int, most: int, node: InstalledNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk and the log stay bounded."""
    monkeypatch.setattr(offers, "MOST_WAITING", most)
    guard, honest, later = node.guard(), node.plan(), replace(node.plan(), study="later")
    assert guard.offer_plan(node.offer(honest)) is PlanState.OFFERED
    looked_at(node.folder, honest.hash[:12])
    flood = plans(node, number)
    for plan in flood:
        assert guard.offer_plan(node.offer(plan)) is PlanState.OFFERED
    assert kept(node) == {honest.hash} | {plan.hash for plan in flood[-most:]}
    assert guard.offer_plan(node.offer(later)) is PlanState.OFFERED
    for plan in (honest, later):
        node.approve(plan)
        assert guard.offer_plan(node.offer(plan)) is PlanState.APPROVED
    for plan in flood:
        guard.offer_plan(node.offer(plan))
    guard.contribute(node.request(honest))
    assert {honest.hash, later.hash} <= kept(node)
    assert len(kept(node)) == most + 2
    events = [event for event, _ in node.events()]
    assert events.count("plan_gave_way") == 1
    assert events.count("plan_kept") <= most + 2


def a_large_plan(node: InstalledNode, *, members: int) -> StudyPlan:
    """About 500 bytes a member."""
    keys = tuple(f"of-nobody-{number:04d}" for number in range(members))
    padding = tuple(Member(site, "k" * 400, "1" * 64) for site in keys)
    of_all = tuple(sorted((*node.plan().members, *padding), key=lambda member: member.site))
    return replace(node.plan(), members=of_all, roster=tuple(member.site for member in of_all))


@pytest.mark.parametrize("again", [True, False], ids=["the same by a relay", "ever new ones by a coordinator"])
def test_offers_that_make_room_for_one_another_do_not_fill_the_log(
    again: bool, node: InstalledNode, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repeats, "MOST", 10)
    monkeypatch.setattr(offers, "MOST_WAITING_BYTES", 2 * len(node.offer(a_large_plan(node, members=40))))
    guard, kept_anew = node.guard(), 0
    for cycle in range(12):
        name = "" if again else f" {cycle}"
        large = [replace(a_large_plan(node, members=60), study=f"large {number}{name}") for number in range(2)]
        small = [replace(node.plan(), study=f"small {number}{name}") for number in range(few)]
        for plan in (*small, *large):
            kept_anew += plan.hash not in kept(node)
            assert guard.offer_plan(node.offer(plan)) is PlanState.OFFERED
    assert kept_anew > 40
    events = [event for event, _ in node.events()]
    assert events.count("plan_kept") <= 11
    assert len(events) < 20
    assert ("not_noted" in events) is not again  # what there is more is told by its number


def test_large_offers_give_way_before_they_fill_the_room_of_many(node: InstalledNode) -> None:
    """However large each of them is, the honest one that comes last is there."""
    guard, honest = node.guard(), replace(node.plan(), study="honest")
    large = a_large_plan(node, members=1_500)
    sizes = []
    for number in range(5):
        document = node.offer(replace(large, study=f"large {number}"))
        sizes.append(len(document))
        assert guard.offer_plan(document) is PlanState.OFFERED
    assert sum(sizes) > offers.MOST_WAITING_BYTES > max(sizes)
    assert guard.offer_plan(node.offer(honest)) is PlanState.OFFERED
    lying = list(node.folder.plans.glob("*.json"))
    assert sum(path.stat().st_size for path in lying) <= offers.MOST_WAITING_BYTES
    assert honest.hash in kept(node)
    assert len(lying) > 2  # no more of them go than must
    assert looked_at(node.folder, honest.hash).document.plan == honest


def test_an_offer_that_comes_again_is_not_parsed_again(node: InstalledNode, monkeypatch: pytest.MonkeyPatch) -> None:
    guard, offer, other = node.guard(), node.offer(), node.offer(replace(node.plan(), study="other"))
    assert guard.offer_plan(offer) is PlanState.OFFERED
    node.approve()
    read: list[bytes] = []

    def reads(content: bytes, *, where: str) -> StudyDocument:
        read.append(content)
        return read_document(content, where=where)

    monkeypatch.setattr(trust, "read_document", reads)
    assert guard.offer_plan(offer) is PlanState.APPROVED
    assert read == []
    assert guard.offer_plan(other) is PlanState.OFFERED
    assert read == [other]
    own = replace(node.keys, node="ecdsa-sha2-nistp384 another-key-of-Bonn")
    changed = NodeGuard(node.folder, site=SITE, keys=own)
    assert changed.offer_plan(offer) is PlanState.REFUSED  # the keys of who looked at it were others


def test_a_refused_document_that_comes_again_is_not_parsed_again(
    node: InstalledNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To read one that is within all limits may take seconds; a relay can deliver the coordinator's for ever."""
    parsed: list[bytes] = []

    def reads(content: bytes, *, where: str) -> StudyDocument:
        parsed.append(content)
        return read_document(content, where=where)

    monkeypatch.setattr(trust, "read_document", reads)
    monkeypatch.setattr(plan_offers, "_MOST_TAKEN", 2)
    guard = node.guard()
    far = [replace(node.plan().training, rounds=10**number) for number in (12, 13, 14)]
    first, second, third = (node.offer(replace(node.plan(), training=each)) for each in far)
    for offer in (first, first, second, first, second):
        assert guard.offer_plan(offer) is PlanState.REFUSED
    assert parsed == [first, second]
    guard.offer_plan(b"{")  # what nobody signed takes no place
    guard.offer_plan(third)
    for offer in (third, second):
        guard.offer_plan(offer)
    assert parsed == [first, second, third]
    guard.offer_plan(first)
    assert parsed == [first, second, third, first], "no more than two are remembered"
    assert node.events() == [("plan_not_kept", "outside_ranges")] * 2 + [
        ("plan_not_kept", "another_form"),
        ("plan_not_kept", "outside_ranges"),
    ]
    assert guard.offer_plan(node.offer()) is PlanState.OFFERED


def test_a_refused_document_has_no_other_forms_that_are_signed(
    node: InstalledNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever carries offers could else have one read 2^64 times, by other letters of its signature."""
    parsed: list[bytes] = []

    def reads(content: bytes, *, where: str) -> StudyDocument:
        parsed.append(content)
        return read_document(content, where=where)

    monkeypatch.setattr(trust, "read_document", reads)
    guard = node.guard()
    refused = node.offer(replace(node.plan(), training=replace(node.plan().training, rounds=10**12)))
    for offer in (refused, node.offer()):
        guard.offer_plan(offer)
        signature = json.loads(offer)["signature"]
        for form in (signature.upper(), f"{signature[:2]} {signature[2:]}", f"{signature} ", f"\u0009{signature}"):
            other = offer.replace(signature.encode(), form.encode())
            assert other != offer
            assert guard.offer_plan(other) is PlanState.REFUSED
    assert parsed == [refused, node.offer()]
    assert [code for event, code in node.events() if event == "plan_not_kept"] == [
        "outside_ranges",
        *["another_signature"] * 8,
    ]


@pytest.mark.parametrize("restarted", [False, True])
def test_a_plan_whose_arrival_could_not_be_noted_is_noted_when_it_is_offered_again(
    restarted: bool, node: InstalledNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = node.guard()
    with monkeypatch.context() as full:
        full.setattr(AuditLog, "append", disk_full)
        for _ in range(2):
            with pytest.raises(RecordUnwritable):
                guard.offer_plan(node.offer())
    assert node.events() == []
    guard = node.guard() if restarted else guard
    for _ in range(3):
        assert guard.offer_plan(node.offer()) is PlanState.OFFERED
    assert node.events() == [("plan_kept", "")]
    assert sorted(path.suffix for path in node.folder.plans.iterdir()) == ["", ".json"]  # and the lock


def disk_full(*_: object, **__: object) -> None:
    raise RecordUnwritable("disk full")


def test_what_another_signed_is_not_parsed(node: InstalledNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "read_document", lambda *_, **__: pytest.fail("it was parsed"))
    for offer in (another_coordinator, another_signature, a_changed_number):
        assert node.guard().offer_plan(offer(node)) is PlanState.REFUSED
    assert {code for _, code in node.events()} == {"another_signature"}


def test_a_list_of_plans_parses_none_and_whoever_reads_one_parses_it_once(
    node: InstalledNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = node.guard()
    for plan in plans(node, 5):
        guard.offer_plan(node.offer(plan))
    read: list[bytes] = []

    def reads(content: bytes, *, where: str) -> StudyDocument:
        read.append(content)
        return read_document(content, where=where)

    monkeypatch.setattr(trust, "read_document", reads)
    listed = offered_plans(node.folder).read
    assert {plan.study: plan.plan_hash for plan in listed} == {plan.study: plan.hash for plan in plans(node, 5)}
    assert read == []
    for _ in range(3):
        assert [plan.document.plan.hash for plan in listed] == [plan.plan_hash for plan in listed]
    assert len(read) == len(set(read)) == 5


def test_a_plan_that_was_changed_is_refused_unparsed(node: InstalledNode, monkeypatch: pytest.MonkeyPatch) -> None:
    path = node.folder.plans / f"{node.plan().hash}.json"
    monkeypatch.setattr(trust, "read_document", lambda *_, **__: pytest.fail("it was parsed"))
    for content, told in (
        (a_changed_number(node), "does not fit: it was changed"),
        (node.offer(replace(node.plan(), study="other")), "holds another plan than its name says"),
        (b" " * 5_000_000, "is larger than 1,000,000 bytes"),
        (b"{", "is no document of the form"),
    ):
        path.write_bytes(content)
        (unread,) = offered_plans(node.folder).unread
        assert told in unread.what
    path.unlink()
    os.mkfifo(path)
    (unread,) = offered_plans(node.folder).unread
    assert "named pipe" in unread.what


def test_what_gave_way_comes_back_when_it_is_offered_again(node: InstalledNode, few: int) -> None:
    guard = node.guard()
    assert guard.offer_plan(node.offer()) is PlanState.OFFERED
    for plan in plans(node, few):
        guard.offer_plan(node.offer(plan))
    assert guard.plan_status(node.plan().hash) is PlanState.REFUSED
    with pytest.raises(InvalidInput, match="offers the plan again"):
        looked_at(node.folder, node.plan().hash)
    assert guard.offer_plan(node.offer()) is PlanState.OFFERED
    assert looked_at(node.folder, node.plan().hash).document.plan == node.plan()


def test_decided_plans_take_no_room(node: InstalledNode, few: int) -> None:
    guard = node.guard()
    decided = plans(node, 3)
    for plan in decided:
        guard.offer_plan(node.offer(plan))
        node.approvals.decline(plan.hash, declined_by="Dr. Example", now=datetime.now(UTC))
    for number in range(few):
        guard.offer_plan(node.offer(replace(node.plan(), study=f"other {number}")))
    assert len(kept(node)) == few + 3
    assert "plan_gave_way" not in [event for event, _ in node.events()]
    assert guard.plan_status(decided[0].hash) is PlanState.DECLINED


def test_a_decision_that_cannot_be_read_keeps_its_plan_and_no_other_one_out(node: InstalledNode, few: int) -> None:
    guard = node.guard()
    guard.offer_plan(node.offer())
    node.folder.approvals.mkdir(exist_ok=True)
    (node.folder.approvals / f"{node.plan().hash}.json").write_text("{")
    for plan in plans(node, few + 5):
        assert guard.offer_plan(node.offer(plan)) is PlanState.OFFERED
    assert node.plan().hash in kept(node)


def test_who_looks_while_plans_give_way_keeps_what_was_shown(node: InstalledNode) -> None:
    """At whatever instant: what `looked_at` returned lies there for good, and its marks belong to plans that do."""
    guard, shown, over = node.guard(), set[str](), threading.Event()

    def look() -> None:
        while not over.is_set():
            for plan_hash in sorted(kept(node))[:3]:
                with contextlib.suppress(InvalidInput):
                    looked_at(node.folder, plan_hash)
                    shown.add(plan_hash)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(offers, "MOST_WAITING", 2)
        person = threading.Thread(target=look)
        person.start()
        for plan in plans(node, 40):
            guard.offer_plan(node.offer(plan))
        over.set()
        person.join()
    assert shown
    assert shown <= kept(node)


def test_forgotten_offers_leave_room_and_an_approved_plan_is_not_forgotten(node: InstalledNode) -> None:
    guard = node.guard()
    for plan in (first := plans(node, 2)):
        guard.offer_plan(node.offer(plan))
    node.approve(first[0])
    lying = offers_of(node.folder)
    assert [lying.forget(plan.hash) for plan in first] == [False, True]
    assert kept(node) == {first[0].hash}
    node.approvals.decline(first[0].hash, declined_by="Dr. Example", now=datetime.now(UTC))
    assert lying.forget(first[0].hash)
    assert guard.offer_plan(node.offer(first[0])) is PlanState.DECLINED  # what was decided stays so
    assert not list(node.folder.plans.glob("*.shown"))


@pytest.mark.parametrize("calls", [1_000, pytest.param(10_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("relay_only", [True, False])
def test_calls_that_are_nothing_cost_less_than_100_kb_of_log_however_many_they_are(
    relay_only: bool, calls: int, node: InstalledNode
) -> None:
    """Each of another content: of a relay, which signs nothing, and of a coordinator that means harm."""
    guard, rng = node.guard(), np.random.default_rng(0)
    desk = Desk(
        questions_to_node(guard, site=SITE), audit=node.audit_log, answer_key=ANSWER_KEY, asker_key=COORDINATOR_PUBLIC
    )
    methods = [*Method]
    before = node.folder.audit_log.stat().st_size if node.folder.audit_log.exists() else 0
    for number in range(calls):
        content, method = rng.bytes(1 + number % 60), methods[number % len(methods)]
        if not relay_only and number % 2:
            content = offer_question(content, nonce=rng.bytes(16)) if number % 4 == 1 else content
            method = Method.OFFER_PLAN if number % 4 == 1 else method
            content = signed(content, method) if method in ASKED_FROM_OUTSIDE else content
        desk.ask(method, content)
    assert node.folder.audit_log.stat().st_size - before < 100_000


@pytest.mark.parametrize("name", ["", "../" * 5 + "etc/passwd", "0" * 63, "A" * 64, "0" * 64, "\0"])
def test_a_hash_that_is_none_is_no_path(node: InstalledNode, name: str) -> None:
    guard = node.guard()
    assert guard.plan_status(name) is PlanState.REFUSED
    assert guard.deliver_model(b"", b"", name) is DeliveryState.REFUSED
    assert refusal_of(guard, replace(node.request(), plan_hash=name)) is RefusalCode.NOT_APPROVED


def test_a_hash_does_not_lead_out_of_the_folder_of_plans(node: InstalledNode) -> None:
    (node.folder.guard / "other.json").write_text("{}")
    assert (node.folder.plans / "../other.json").exists()
    assert node.guard().plan_status("../other") is PlanState.REFUSED


# Contributions


def test_an_approved_plan_is_answered_and_charged_to_its_source(approved: InstalledNode) -> None:
    guard, request = approved.guard(), approved.request()
    vector = guard.contribute(request).vector
    assert vector.shape == request.weights.shape
    assert [charge.identity for charge in approved.charges()] == [f"{approved.plan().hash}/{SITE}/1/0"]
    again = approved.guard().contribute(request).vector  # a guard that was started anew
    assert again.tobytes() == vector.tobytes()
    assert len(approved.charges()) == 1


def test_without_approval_no_patient_is_read(node: InstalledNode) -> None:
    guard = node.guard()
    guard.offer_plan(node.offer())
    node.table_path.unlink()
    assert refusal_of(guard, node.request()) is RefusalCode.NOT_APPROVED
    assert node.charges() == ()


def test_a_plan_that_is_declined_later_is_refused_at_once(approved: InstalledNode) -> None:
    guard = approved.guard()
    guard.contribute(approved.request())
    approved.approvals.decline(approved.plan().hash, declined_by="Dr. Example", now=datetime.now(UTC))
    assert refusal_of(guard, approved.request(round_=2)) is RefusalCode.NOT_APPROVED
    assert refusal_of(guard, approved.request()) is RefusalCode.NOT_APPROVED


@dataclass
class Pace:
    """What a guard said of its work with patients, with seconds. looks: called at each beginning of an answer."""

    told: list[tuple[str, float]] = field(default_factory=list)
    looks: Callable[[], None] = lambda: None

    @property
    def readings(self) -> int:
        return [word for word, _ in self.told].count("reading")

    @contextmanager
    def reading(self, seconds: float) -> Iterator[None]:
        self.told.append(("reading", seconds))
        yield
        self.told.append(("read", 0.0))

    def begins(self, seconds: float) -> None:
        self.told.append(("begins", seconds))
        self.looks()


class Memory:
    """The patients that were read and that anything still holds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._read: list[weakref.ref[PatientTensors]] = []

        def tensors(patients: EncodedPatients) -> PatientTensors:
            found = tensors_of(patients)
            self._read.append(weakref.ref(found))
            return found

        monkeypatch.setattr(approved_patients, "tensors_of", tensors)

    def __len__(self) -> int:
        gc.collect()
        return sum(one() is not None for one in self._read)


def decline(node: InstalledNode) -> None:
    node.approvals.decline(node.plan().hash, declined_by="Dr. Example", now=datetime.now(UTC))


def damage(node: InstalledNode) -> None:
    (node.folder.approvals / f"{node.plan().hash}.json").write_text("a damaged decision")


def approve_others(node: InstalledNode) -> None:
    table(100).to_csv(node.table_path, index=False)
    node.approve()


WITHDRAWN: dict[str, Callable[[InstalledNode], object]] = {
    "declined": decline,
    "approved anew": approve_others,
    "damaged": damage,
}


@pytest.mark.parametrize("withdraw", WITHDRAWN.values(), ids=WITHDRAWN)
def test_patients_whose_approval_is_withdrawn_leave_the_memory_without_a_question(
    approved: InstalledNode, withdraw: Callable[[InstalledNode], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    memory, pace = Memory(monkeypatch), Pace()
    guard = approved.guard(pace=pace)
    guard.contribute(approved.request())
    guard.forget_unapproved()
    assert len(memory) == 2, "trained on, and set aside"
    guard.contribute(approved.request(round_=2))
    assert pace.readings == 1
    withdraw(approved)
    assert len(memory) == 2
    guard.forget_unapproved()
    assert len(memory) == 0


def test_what_a_kill_left_frozen_is_removed_when_the_guard_starts(approved: InstalledNode) -> None:
    (named,) = approved.folder.patients.iterdir()
    for left in (f"{'0' * 64}.{'0' * 64}.safetensors", f"{named.name}.unfinished"):
        (approved.folder.patients / left).write_bytes(b"patients")
    approved.guard()
    assert list(approved.folder.patients.iterdir()) == [named]


def test_a_guard_that_cannot_tidy_starts_all_the_same(
    approved: InstalledNode, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = approved.folder.patients / f"{'0' * 64}.{'0' * 64}.safetensors"
    left.write_bytes(b"patients")
    unlink = Path.unlink

    def refused(path: Path, missing_ok: bool = False) -> None:
        if path == left:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refused)
    approved.guard().contribute(approved.request())
    assert "cannot be removed" in caplog.text


TIGHTER = {
    "less epsilon": ("largest_epsilon = 1.5", "largest_epsilon = 0.5"),
    "more noise": ("smallest_noise_multiplier = 5.0", "smallest_noise_multiplier = 50.0"),
    "smaller models": ("largest_parameters = 1000", "largest_parameters = 2"),
    "other plans": ('allowed_plans = ["any"]', f'allowed_plans = ["{"0" * 64}"]'),
    "another source": ('name = "registry"', 'name = "other"'),
}


@pytest.mark.parametrize(("before", "after"), TIGHTER.values(), ids=TIGHTER)
def test_a_policy_that_is_tightened_counts_at_once(approved: InstalledNode, before: str, after: str) -> None:
    guard = approved.guard()
    guard.contribute(approved.request())
    charged = len(approved.charges())
    approved.set_policy(before, after)
    assert refusal_of(guard, approved.request(round_=2)) is RefusalCode.NOT_APPROVED
    approved.set_policy(after, before)
    assert len(approved.charges()) == charged
    guard.contribute(approved.request(round_=2))


@pytest.mark.parametrize("text", ["[node]\nsmallest_cohrt = 1\n", "", "no toml"])
def test_a_policy_that_cannot_be_read_stops_everything(approved: InstalledNode, text: str) -> None:
    guard = approved.guard()
    guard.contribute(approved.request())
    before = approved.folder.policy.read_text()
    approved.folder.policy.write_text(text)
    assert refusal_of(guard, approved.request(round_=2)) is RefusalCode.NOT_READY
    approved.folder.policy.unlink()
    assert refusal_of(guard, approved.request(round_=2)) is RefusalCode.NOT_READY
    approved.folder.policy.write_text(before)
    assert len(approved.charges()) == 1


def test_the_guard_says_when_it_reads_patients_and_when_it_begins_an_answer_from_them(approved: InstalledNode) -> None:
    plan = replace(approved.plan(), answer_seconds=0.07)
    pace = Pace()
    guard = approved.guard(pace=pace)
    guard.offer_plan(approved.offer(plan))
    approved.approve(plan)
    assert pace.told == []
    guard.contribute(approved.request(plan))
    assert pace.told == [("reading", 4 * 0.07), ("read", 0.0), ("begins", 0.07)]
    assert refusal_of(guard, replace(approved.request(plan), round=99)) is RefusalCode.ROUND_OUT_OF_RANGE
    guard.contribute(approved.request(plan, round_=2))
    assert pace.told[3:] == [("begins", 0.07)]
    guard.contribute(approved.request(plan, round_=2))
    assert len(pace.told) == 4, "a repetition looks at nobody"


def test_an_answer_begins_when_it_is_charged_and_before_anybody_is_looked_at(
    approved: InstalledNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is charged takes as long as the ledger before it; counted in, it would say what the patients' part does."""
    found: list[tuple[int, str, int]] = []
    computed: list[object] = []
    pace = Pace(looks=lambda: found.append((len(approved.charges()), approved.events()[-1][0], len(computed))))
    guard = approved.guard(pace=pace)

    def counted(*given: Any) -> Any:
        computed.append(None)
        return ascent_sum(*given)

    monkeypatch.setattr(guard_module, "ascent_sum", counted)
    guard.contribute(approved.request())
    assert found == [(1, "to_be_charged", 0)]
    assert len(computed) == 1


def test_a_long_question_is_hashed_before_an_answer_begins(
    approved: InstalledNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    guard = approved.guard(pace=Pace(looks=lambda: order.append("begins")))
    desk = Desk(
        questions_to_node(guard, site=SITE),
        audit=approved.audit_log,
        answer_key=ANSWER_KEY,
        asker_key=COORDINATOR_PUBLIC,
    )

    def hashed(request: bytes) -> bytes:
        order.append("hashed")
        return hashlib.sha256(request).digest()

    monkeypatch.setattr("oncofed.client.guard.desk.question_hash", hashed)
    desk.ask(Method.CONTRIBUTE, signed(question_of(approved.request())))
    assert order == ["hashed", "begins"]


def test_nobody_outside_can_have_patients_read_twice_and_a_policy_that_is_written_again_does_not(
    approved: InstalledNode,
) -> None:
    """Reading takes longer with more patients."""
    pace = Pace()
    guard = approved.guard(pace=pace)
    plans = [replace(approved.plan(), study=f"study {number}") for number in range(9)]
    for plan in plans:
        guard.offer_plan(approved.offer(plan))
        approved.approve(plan)
    for _ in range(2):
        for plan in plans:  # those that do not fit into the budget read nobody
            with contextlib.suppress(RequestRefused):
                guard.contribute(approved.request(plan))
    assert pace.readings == len(plans)
    approved.set_policy("[node]", "[node]  # written again")
    guard.contribute(approved.request(plans[0], round_=2))
    for before, after in TIGHTER.values():
        approved.set_policy(before, after)
        assert refusal_of(guard, approved.request(plans[0], round_=3)) is RefusalCode.NOT_APPROVED
        approved.set_policy(after, before)
    guard.contribute(approved.request(plans[0], round_=3))
    assert pace.readings == len(plans)
    table().iloc[:-1].to_csv(approved.table_path, index=False)
    approved.approve(plans[0])
    guard.contribute(approved.request(plans[0], round_=1, attempt=1))
    assert pace.readings == len(plans) + 1


def test_a_larger_smallest_cohort_is_for_approvals_to_come(approved: InstalledNode) -> None:
    """Asked at each request it would tell of the table; who wants it declines, or approves again."""
    guard = approved.guard()
    guard.contribute(approved.request())
    approved.set_policy("smallest_cohort = 50", "smallest_cohort = 5000")
    guard.contribute(approved.request(round_=2))
    with pytest.raises(PrivacyRefusal, match="fewer patients"):
        approved.approve()
    guard.contribute(approved.request(round_=3))  # an approval that was refused takes nothing back


def test_a_document_that_was_changed_on_the_disk_is_refused(approved: InstalledNode) -> None:
    path = approved.folder.plans / f"{approved.plan().hash}.json"
    for content in (
        approved.offer(approved.weaker()),  # signed, and another plan
        another_signature(approved),
        b"",
    ):
        path.write_bytes(content)
        assert refusal_of(approved.guard(), approved.request()) is RefusalCode.NOT_APPROVED
    path.unlink()
    assert refusal_of(approved.guard(), approved.request()) is RefusalCode.NOT_APPROVED
    assert approved.charges() == ()


def test_a_plan_is_charged_no_oftener_than_its_rounds_and_reserve(approved: InstalledNode) -> None:
    """The policy would pay for more attempts; the patients were promised the plan's own epsilon."""
    guard = approved.guard()
    asked = [approved.request(round_=round_) for round_ in (1, 2, 3)] + [approved.request(round_=3, attempt=1)]
    vectors = [guard.contribute(request).vector.tobytes() for request in asked]
    assert refusal_of(guard, approved.request(round_=3, attempt=2)) is RefusalCode.BUDGET_EXCEEDED
    assert len(approved.charges()) == 4 == approved.plan().charged_rounds
    assert guard.contribute(asked[-1]).vector.tobytes() == vectors[-1]  # what it had before it still gets


def test_all_studies_on_a_source_add_up(approved: InstalledNode) -> None:
    other = replace(approved.plan(), study="another")
    guard = approved.guard()
    guard.offer_plan(approved.offer(other))
    approved.set_policy("largest_epsilon = 1.5", "largest_epsilon = 3.0")
    approved.approve(other)
    approved.set_policy("largest_epsilon = 3.0", "largest_epsilon = 1.0")
    for round_ in (1, 2, 3):
        guard.contribute(approved.request(round_=round_))
    codes = []
    for round_ in (1, 2, 3):
        try:
            guard.contribute(approved.request(other, round_=round_))
        except RequestRefused as refusal:
            codes.append(refusal.code)
    assert codes
    assert set(codes) == {RefusalCode.BUDGET_EXCEEDED}


# Models


def model_of(
    node: InstalledNode, *, plan: StudyPlan | None = None, seed: int = 0, key: bytes | None = None
) -> tuple[bytes, bytes]:
    plan = plan or node.plan()
    weights = np.random.default_rng(seed).normal(size=parameter_count(plan.model))
    signed = signed_model(weights, plan_hash=plan.hash, signing_key=key or node.signing_key)
    return signed.content, signed.signature


def test_the_final_model_is_kept_with_its_signature(approved: InstalledNode) -> None:
    guard, plan_hash = approved.guard(), approved.plan().hash
    content, signature = model_of(approved)
    for _ in range(2):
        assert guard.deliver_model(content, signature, plan_hash) is DeliveryState.ACCEPTED
    assert (approved.folder.models / f"{plan_hash}.safetensors").read_bytes() == content
    assert (approved.folder.models / f"{plan_hash}.signature").read_bytes() == signature
    assert [event for event, _ in approved.events()].count("model_kept") == 1


def test_the_same_model_written_in_another_order_is_accepted_again(approved: InstalledNode) -> None:
    """safetensors keeps no order of its metadata, so a resumed coordinator may send other bytes."""
    guard, plan_hash = approved.guard(), approved.plan().hash
    content, signature = model_of(approved)
    guard.deliver_model(content, signature, plan_hash)
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"] = dict(reversed(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode().ljust(length)
    other = content[:8] + text + content[8 + length :]
    assert other != content
    key = approved.signing_key
    assert guard.deliver_model(other, sign(key, context="oncofed model 1", message=other), plan_hash) is (
        DeliveryState.ACCEPTED
    )
    assert (approved.folder.models / f"{plan_hash}.safetensors").read_bytes() == content


def test_another_model_of_the_same_plan_does_not_replace_the_first(approved: InstalledNode) -> None:
    guard, plan_hash = approved.guard(), approved.plan().hash
    first = model_of(approved)
    guard.deliver_model(*first, plan_hash)
    assert guard.deliver_model(*model_of(approved, seed=1), plan_hash) is DeliveryState.REFUSED
    assert (approved.folder.models / f"{plan_hash}.safetensors").read_bytes() == first[0]
    assert (approved.folder.models / f"{plan_hash}.signature").read_bytes() == first[1]


MODELS: dict[str, tuple[Callable[[InstalledNode], tuple[bytes, bytes]], str]] = {
    "another signer": (lambda node: model_of(node, key=new_signing_key()), "another_signature"),
    "no signature": (lambda node: (model_of(node)[0], b""), "another_signature"),
    "a changed byte": (lambda node: (model_of(node)[0][:-1] + b"\0", model_of(node)[1]), "another_signature"),
    "too large": (lambda node: (b"0" * 100_000, b"0" * 64), "too_large"),
    "another plan's": (lambda node: model_of(node, plan=replace(node.plan(), version=2)), "another_form"),
    "another network": (
        lambda node: (
            signed := signed_model(np.ones(3), plan_hash=node.plan().hash, signing_key=node.signing_key),
            (signed.content, signed.signature),
        )[1],
        "another_form",
    ),
}


@pytest.mark.parametrize(("model", "reason"), MODELS.values(), ids=MODELS)
def test_other_models_are_not_kept(
    approved: InstalledNode, model: Callable[[InstalledNode], tuple[bytes, bytes]], reason: str
) -> None:
    content, signature = model(approved)
    assert approved.guard().deliver_model(content, signature, approved.plan().hash) is DeliveryState.REFUSED
    assert list(approved.folder.models.iterdir()) == []
    assert approved.events()[-1] == ("model_not_kept", reason)


def test_a_model_of_a_plan_nobody_approved_is_not_kept(node: InstalledNode) -> None:
    guard = node.guard()
    guard.offer_plan(node.offer())
    assert guard.deliver_model(*model_of(node), node.plan().hash) is DeliveryState.REFUSED
    assert list(node.folder.models.iterdir()) == []


def test_the_description_holds_the_name_and_no_more(node: InstalledNode) -> None:
    assert node.guard().describe() == NodeDescription(SITE)


def test_a_model_for_a_plan_whose_name_is_no_hash_is_refused_and_leaves_nothing_in_memory(
    approved: InstalledNode,
) -> None:
    guard = approved.guard()
    for plan_hash in ("x" * 5_000_000, "../" + "a" * 61, "", "A" * 64):
        assert guard.deliver_model(b"", b"", plan_hash) is DeliveryState.REFUSED
    kept = [entry for entry in approved.entries() if entry.event == "model_not_kept"]
    assert [(entry.plan_hash, entry.code) for entry in kept] == [("malformed", "not_approved")]


def test_a_copy_beside_a_plan_is_no_plan(approved: InstalledNode) -> None:
    plan = approved.plan().hash
    for name in (f"{plan} (copy).json", f"{plan}~.json", "notes.json"):
        (approved.folder.plans / name).write_bytes(b"{}")
    assert looked_at(approved.folder, plan[:8]).document.plan.hash == plan
    assert offers_of(approved.folder).hashes() == [plan]


def test_a_pipe_or_folder_in_place_of_the_policy_is_not_ready_and_nobody_waits(approved: InstalledNode) -> None:
    guard = approved.guard()
    for make in (os.mkfifo, Path.mkdir):
        approved.folder.policy.unlink()
        make(approved.folder.policy)
        assert refusal_of(guard, approved.request()) is RefusalCode.NOT_READY
