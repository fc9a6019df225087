"""Does anything of a patient, an exact count or an exception's text leave the guard? And would the search notice?

privacy.md, test 7, at the guard's exit: a proxy that records sits on the unix socket between relay and guard. The same
search looks through what it recorded of an honest guard, of guards that fail in every way, and of guards that leak on
purpose past a barrier that was taken out. (What leaves the relay is searched in the end-to-end test.)
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import grpc
import numpy as np
import pytest
from tests.installed_node import InstalledNode, installed_node, planted, table
from tests.leaks import Planted, fractions_in, leaks_in
from tests.node_guards import (
    ANSWER_KEY,
    COORDINATOR_PUBLIC,
    REQUEST,
    TOKEN,
    Asker,
    HostileGuard,
    Served,
    raising,
    served,
)
from tests.recording_proxy import RecordingProxy

from oncofed.client.guard import egress, guard_server
from oncofed.client.guard import guard as guard_module
from oncofed.client.guard.guard_server import serving
from oncofed.client.guard.token import token_sha256
from oncofed.client.relay.guard_channel import GuardChannel
from oncofed.errors import RequestRefused
from oncofed.protocol import guard_pb2 as pb
from oncofed.protocol.messages import Contribution, NodeDescription
from oncofed.protocol.model_file import signed_model
from oncofed.survival.network import parameter_count

RECORD, PATIENTS = "MRN-0047-01236", 1237
HIDDEN = Planted(texts=(RECORD,), numbers=(PATIENTS,))


@pytest.fixture
def node() -> Iterator[InstalledNode]:
    with installed_node() as here:
        yield here


def ask_everything(channel: Any, questions: tuple[Callable[[Any], object], ...]) -> int:
    """Asks, and returns how many questions were refused."""
    refused = 0
    for ask in questions:
        try:
            ask(channel)
        except RequestRefused:
            refused += 1
    return refused


EVERY_QUESTION: tuple[Callable[[Any], object], ...] = (
    lambda channel: channel.contribute(REQUEST),
    lambda channel: channel.offer_plan(b"a plan"),
    lambda channel: channel.plan_status(REQUEST.plan_hash),
    lambda channel: channel.deliver_model(b"a model", b"", REQUEST.plan_hash),
    lambda channel: channel.describe(),
)


def recorded(here: Served, questions: tuple[Callable[[Any], object], ...] = EVERY_QUESTION) -> tuple[list[bytes], int]:
    """What left the guard while it was asked, and how many questions it refused."""
    outside = here.folder / "outside.sock"
    with RecordingProxy(listen=outside, forward=here.socket) as proxy:
        channel = here.asker(socket=outside)
        refused = ask_everything(channel, questions)
        channel.close()
    return proxy.answers(), refused


# An honest guard, with patients


def test_in_a_whole_study_nothing_planted_leaves_the_guard(
    node: InstalledNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, outside = node.plan(), node.folder.run / "outside.sock"
    model = signed_model(np.ones(parameter_count(plan.model)), plan_hash=plan.hash, signing_key=node.signing_key)

    def quoting(*_: object, **__: object) -> NoReturn:
        raise RuntimeError(f"patient {table()['record_number'].iloc[-1]} of {PATIENTS} has no stage")

    with (
        serving(
            node.guard(),
            socket=node.folder.socket,
            token_sha256=token_sha256(TOKEN),
            site="Bonn",
            audit=node.audit_log,
            answer_key=ANSWER_KEY,
            asker_key=COORDINATOR_PUBLIC,
        ),
        RecordingProxy(listen=outside, forward=node.folder.socket) as proxy,
    ):
        channel = Asker(GuardChannel(socket=outside, token=TOKEN, answer_seconds=20, start_seconds=1))
        channel.offer_plan(node.offer())
        node.approve()
        for round_ in (1, 2):
            channel.contribute(node.request(round_=round_))
            channel.contribute(node.request(round_=round_))
        channel.deliver_model(model.content, model.signature, plan.hash)
        channel.describe()
        refused = [node.request(node.weaker()), node.request(round_=9), replace(node.request(), site="Essen")]
        for request in refused:
            with pytest.raises(RequestRefused):
                channel.contribute(request)
        monkeypatch.setattr(guard_module, "ascent_sum", quoting)
        channel.contribute(node.request(round_=3))  # noise alone, and nothing of what was quoted
        # Others are approved, so that they are read again.
        table().iloc[:-1].to_csv(node.table_path, index=False)
        node.approvals.patients_file(node.approve()).write_text(RECORD)
        with pytest.raises(RequestRefused, match="not_ready"):
            channel.contribute(node.request(round_=3, attempt=1))
        channel.close()
    answers = proxy.answers()
    size = 8 * parameter_count(plan.model)
    assert sum(len(piece) > size for piece in answers) >= 4, "the recorder saw the vectors"
    assert leaks_in(answers, planted(table())) == []
    assert leaks_in([node.folder.audit_log.read_bytes()], planted(table())) == []


def test_the_search_sees_these_patients_where_they_are(node: InstalledNode) -> None:
    found = leaks_in([node.table_path.read_bytes(), str(PATIENTS).encode()], planted(table()))
    assert len(found) == 4


# Guards that do what they may not


def longer(text: str) -> bytes:
    return (text.encode() + b" " * 40)[:40]


class Quoting(RequestRefused):
    def __init__(self) -> None:
        Exception.__init__(self, RECORD)
        self.code = RECORD  # type: ignore[assignment]  # that is the attack


HOSTILE: dict[str, Callable[[], Any]] = {
    "an exception": raising(ValueError(f"{RECORD}: one of {PATIENTS}")),
    "a refusal in words": raising(Quoting()),
    "an exit": raising(SystemExit(RECORD)),
    "an error of gRPC": raising(grpc.RpcError(RECORD)),
    "a text": lambda: RECORD,
    "a longer vector": lambda: Contribution(np.concatenate([REQUEST.weights, [float(PATIENTS)]])),
    "integers": lambda: Contribution(np.full(5, PATIENTS)),
    "integers seen as float64": lambda: Contribution(np.full(5, PATIENTS).view(np.float64)),
    "counts as float64": lambda: Contribution(np.full(5, float(PATIENTS))),
    "texts": lambda: Contribution(np.array([RECORD] * 5, dtype=object)),
    "a description": lambda: NodeDescription(RECORD),
    "another version": lambda: NodeDescription("Bonn", PATIENTS),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_planted_leaves_a_guard_that_misbehaves(name: str) -> None:
    with served(HostileGuard(HOSTILE[name])) as here:
        answers, refused = recorded(here)
    assert refused == len(EVERY_QUESTION)
    assert answers
    assert leaks_in(answers, HIDDEN) == []


# The search finds what is planted on purpose


LEAKS: dict[str, Callable[[], np.ndarray]] = {
    "text packed as float64 bytes": lambda: np.frombuffer(longer(RECORD)),
    "characters as float64": lambda: np.array([float(byte) for byte in RECORD.encode()]),
    "a count as float64": lambda: np.array([0.1, 0.2, float(PATIENTS), 0.3, 0.4]),
    "a count as big-endian float64": lambda: np.frombuffer(struct.pack(">d", PATIENTS)),
    "a count as an integer's bytes": lambda: np.full(5, PATIENTS).view(np.float64),
    "a count in decimal text": lambda: np.frombuffer(longer(f"n={PATIENTS} ")),
    "a count with a fraction": lambda: np.frombuffer(longer(f"{PATIENTS}.000")),
    "UTF-16": lambda: np.frombuffer(RECORD.encode("utf-16-le") + b"    "),
    "hexadecimal": lambda: np.frombuffer(longer(RECORD.encode().hex())),
    "far behind, over the edge of a frame": lambda: np.concatenate(
        [np.random.default_rng(0).normal(size=20_000)] + [np.frombuffer(longer(RECORD))] * 500
    ),
}


@pytest.mark.parametrize("name", LEAKS)
def test_the_search_finds_a_leak_that_is_planted_on_purpose(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def anything(contribution: Contribution) -> pb.ContributeReply:
        return pb.ContributeReply(vector=np.asarray(contribution.vector).tobytes())

    monkeypatch.setattr(egress, "only_a_vector", anything)
    monkeypatch.setattr(egress, "contribution_of", lambda _: lambda content: egress.Leaving(content, "vector", 1))
    with served(HostileGuard(lambda: Contribution(LEAKS[name]()))) as here:
        answers, _ = recorded(here, EVERY_QUESTION[:1])
    assert leaks_in(answers, HIDDEN)


def test_the_search_finds_an_exceptions_text_in_grpcs_details(monkeypatch: pytest.MonkeyPatch) -> None:
    """gRPC's own habit, were it not kept from ever seeing an exception."""
    guard = HostileGuard(raising(ValueError(f"patient {RECORD}, one of {PATIENTS} of us")))
    monkeypatch.setattr(guard_server, "_answering", lambda *_: lambda content, _: guard.contribute(REQUEST))
    with served(guard) as here:
        answers, _ = recorded(here, EVERY_QUESTION[:1])
    assert leaks_in(answers, HIDDEN) == [f"'{RECORD}' as text", f"{PATIENTS} as decimal text"]


@pytest.mark.parametrize(
    "content",
    [
        b"4712375",  # inside a longer number
        b"a hash 91237ab",
        b"12.1237",
        struct.pack("<d", PATIENTS + 1e-9),
        struct.pack("<d", 0.1) + struct.pack("<i", PATIENTS) + b"1234",
    ],
)
def test_the_search_is_not_alarmed_by_what_only_looks_alike(content: bytes) -> None:
    assert leaks_in([content], HIDDEN) == []


def test_noise_does_not_alarm_the_search() -> None:
    """A whole study's worth of vectors: 60 rounds of 40,000 numbers."""
    noise = np.random.default_rng(0).normal(scale=29, size=60 * 40_000).tobytes()
    assert leaks_in([noise], HIDDEN) == []


def test_no_socket_of_a_test_is_left_behind(tmp_path: Path) -> None:
    with RecordingProxy(listen=tmp_path / "a", forward=tmp_path / "b"):
        assert (tmp_path / "a").exists()
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("order", ["<d", ">d"])
def test_the_search_finds_a_relevance_whose_last_bits_are_others(order: str) -> None:
    """A library's product of one patient and of many differs there."""
    of_many = [0.0311120931039394721, -0.019105798760159907]
    of_one = [float(np.nextafter(value, 1.0)) for value in of_many]
    captured = b"abc" + b"".join(struct.pack(order, value) for value in of_one)
    assert fractions_in([captured], of_many) == sorted(of_many)
    assert fractions_in([captured], [value * (1 + 1e-9) for value in of_many]) == []
