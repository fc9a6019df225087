"""Does a hospital's SuperNode take the bundles approved here and no others, through Flower's own code?"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.app import Message, RecordDict
from flwr.common.serde import fab_to_proto
from flwr.proto.fleet_pb2 import PullMessagesRequest
from flwr.proto.message_pb2 import ObjectTree
from flwr.supercore.fab import Fab
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.supercore.protobuf.client import ProtobufRequestContext
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity
from flwr.supernode import fleet_http_connection, start_client_internal
from flwr.supernode.nodestate import NodeStateFactory
from tests.end_to_end.flower_processes import new_coordinator
from tests.flower_databases import databases_closed

from oncofed.client.install.folder import NodeFolder
from oncofed.client.relay import supernode
from oncofed.plain_file import OtherKind
from oncofed.protocol.bundle import build_bundle, bundle_hash
from oncofed.server.deployment.folder import read_settings

QUESTION = "ab" * 32
KEY = ec.generate_private_key(ec.SECP384R1())


@pytest.fixture(autouse=True)
def flower_as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What the functions under test replace comes back after each test, and what Flower opened is closed."""
    for module, name in (
        (fleet_http_connection, "fab_from_proto"),
        (start_client_internal, "_verify_fab"),
        (start_client_internal, "time"),
        (start_client_internal, "http_request_response"),
    ):
        monkeypatch.setattr(module, name, getattr(module, name))
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 2, 1
    with databases_closed():
        yield


def offered(bundle: bytes, *, called: str | None = None) -> Any:
    """What Flower's own loop makes of a message of a run with this bundle; the node's state afterwards."""
    objects = ObjectStoreFactory()
    state = NodeStateFactory(objectstore_factory=objects).state()
    state.set_node_id(7)
    message = Message(RecordDict(), dst_node_id=7, message_type="train")
    message.metadata.__dict__["_message_id"] = QUESTION
    sent = fab_to_proto(Fab(called or bundle_hash(bundle), bundle, {}))
    run = Run.create_empty(2)
    run.fab_hash = called or bundle_hash(bundle)
    start_client_internal._pull_and_store_message(
        state=state,
        object_store=objects.store(),
        node_config={},
        receive=lambda: (message, ObjectTree(object_id=QUESTION)),
        get_run=lambda run_id: run,
        get_fab=lambda fab_hash, run_id: fleet_http_connection.fab_from_proto(sent),  # type: ignore[attr-defined]  # Flower's
        pull_object=lambda run_id, object_id: b"",
        confirm_message_received=lambda run_id, object_id: None,
        trusted_entities={"this hospital": "NODE/bundles"},
    )
    return state


def test_an_approved_bundle_is_stored_and_gets_work() -> None:
    bundle = build_bundle()
    supernode.pin_bundles(lambda: frozenset({bundle_hash(bundle)}))
    state = offered(bundle)
    assert state.get_fab(bundle_hash(bundle)) is not None


@pytest.mark.parametrize("called", [None, bundle_hash(build_bundle())])
def test_one_other_byte_is_refused_whatever_it_is_called(called: str | None) -> None:
    supernode.pin_bundles(lambda: frozenset({bundle_hash(build_bundle())}))
    other = build_bundle(version="0.1.1")
    state = offered(other, called=called)
    assert state.get_fab(bundle_hash(other)) is None
    (reply,) = state.get_messages_legacy(is_reply=True)
    assert reply.error.code == 7
    assert state.get_tasks() == []


def test_the_list_is_read_anew_each_time() -> None:
    allowed: set[str] = set()
    supernode.pin_bundles(lambda: frozenset(allowed))
    bundle = build_bundle()
    assert offered(bundle).get_fab(bundle_hash(bundle)) is None
    allowed.add(bundle_hash(bundle))
    assert offered(bundle).get_fab(bundle_hash(bundle)) is not None
    allowed.clear()
    assert offered(bundle).get_fab(bundle_hash(bundle)) is None


def test_waits_are_shortened_and_never_lengthened(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    supernode.wait_less(0.5)
    start_client_internal.time.sleep(3)  # type: ignore[attr-defined]  # Flower's
    start_client_internal.time.sleep(0.1)  # type: ignore[attr-defined]  # Flower's
    assert slept == [0.5, 0.1]


class Connections:
    """Stands for Flower's connection: notes that it was opened, and gives node 42."""

    def __init__(self) -> None:
        self.opened: list[float] = []

    @contextmanager
    def __call__(self, *args: object) -> Iterator[tuple[int, str]]:
        self.opened.append(time.monotonic())
        yield 42, "callbacks"


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], tuple[int, str]]:
    (tmp_path / "node").mkdir(exist_ok=True)
    monkeypatch.setattr(fleet_http_connection, "http_request_response", Connections())
    monkeypatch.setattr(supernode, "SEEN_OFFLINE_SECONDS", 0.0)
    supernode.end_former_session(NodeFolder(tmp_path))

    def open_it() -> tuple[int, str]:
        # `vars`, because Flower's module does not offer the name to others.
        opened = vars(start_client_internal)["http_request_response"](
            "c:1", False, b"", (KEY, KEY.public_key()), None, None
        )
        with opened as (node_id, callbacks, *_):
            return node_id, callbacks

    return open_it


def test_the_first_start_ends_no_session_and_notes_its_node(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, connect: Callable[[], tuple[int, str]]
) -> None:
    monkeypatch.setattr(supernode, "_ended", lambda *_: pytest.fail("there was none"))
    assert connect() == (42, "callbacks")
    assert NodeFolder(tmp_path).node_id.read_text() == "42"


@pytest.mark.parametrize("reachable", [True, False])
def test_a_later_start_first_ends_the_former_session(
    monkeypatch: pytest.MonkeyPatch, connect: Callable[[], tuple[int, str]], *, reachable: bool
) -> None:
    ended: list[int] = []

    def end(node_id: int, *_: object) -> bool:
        ended.append(node_id)
        return reachable

    monkeypatch.setattr(supernode, "_ended", end)
    connect()
    assert ended == []
    assert connect() == (42, "callbacks")
    assert ended == [42]


def test_the_supernode_waits_for_no_pipe(tmp_path: Path, connect: Callable[[], tuple[int, str]]) -> None:
    """A limit of time of the tests' own ends one that hangs."""
    os.mkfifo(NodeFolder(tmp_path).node_id)
    with pytest.raises(OtherKind, match="is a named pipe"):
        connect()


def test_a_coordinator_that_is_away_is_no_reason_to_fail(tmp_path: Path) -> None:
    coordinator = new_coordinator(tmp_path / "c")
    ca, keys = coordinator.ca_certificate.read_bytes(), (KEY, KEY.public_key())
    assert supernode._ended(42, read_settings(coordinator).address, ca, keys) is False


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(600, "differs from the coordinator's by 600 s"), (-600, "by 600 s"), (2, "the clock is right: it does not know")],
)
def test_a_refusal_is_logged_with_the_clock_when_that_is_why(
    seconds: int, told: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Flower ends the process upon a 401, and says nothing of the cause."""
    flower = logging.getLogger("flwr")
    monkeypatch.setattr(flower, "propagate", True)
    here = datetime.now(UTC).replace(microsecond=0)
    moved = type("Moved", (datetime,), {"now": classmethod(lambda cls, zone: here)})
    monkeypatch.setattr(supernode, "datetime", moved)
    date = format_datetime(here + timedelta(seconds=seconds), usegmt=True)

    def answered(status: int) -> list[str]:
        caplog.clear()
        context = ProtobufRequestContext("PullMessages", PullMessagesRequest(), httpx.Request("POST", "https://h:1"))
        response = httpx.Response(status, headers={"date": date})
        assert supernode.SaysWhyRefused(KEY, KEY.public_key()).intercept(context, lambda _: response) is response
        assert context.request.headers["flwr-signature"]
        return [record.getMessage() for record in caplog.records]

    (line,) = answered(401)
    assert told in line
    assert ("systemd-timesyncd" in line) == (abs(seconds) > 5)
    assert answered(200) == []
