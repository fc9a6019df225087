"""Does the relay get a clear code, in bounded time, whatever became of the guard?"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc
import numpy as np
import pytest
from tests.node_guards import (
    ANSWER_KEY,
    COORDINATOR_PUBLIC,
    REQUEST,
    SITE,
    TOKEN,
    Asker,
    HonestGuard,
    HostileGuard,
    Served,
    served,
)

from oncofed.client.guard.guard_server import serving
from oncofed.client.guard.token import token_sha256
from oncofed.client.records.audit_log import AuditLog
from oncofed.client.relay.guard_channel import (
    SOCKET_VARIABLE,
    TOKEN_FILE_VARIABLE,
    GuardChannel,
    channel_from_environment,
)
from oncofed.errors import RefusalCode, RequestRefused
from oncofed.protocol.messages import Contribution, NodeDescription
from oncofed.protocol.wire_form import SERVICE


def refusal_of(ask: Callable[[], object]) -> RefusalCode:
    with pytest.raises(RequestRefused) as refusal:
        ask()
    return refusal.value.code


def test_a_guard_that_is_down_is_not_ready_within_its_time(tmp_path: Path) -> None:
    channel = GuardChannel(socket=tmp_path / "none", token=TOKEN, start_seconds=0.3)
    began = time.monotonic()
    assert refusal_of(lambda: channel.ask("Describe", b"")) is RefusalCode.NOT_READY
    assert 0.2 < time.monotonic() - began < 5


def test_a_guard_that_is_just_starting_is_waited_for() -> None:
    with TemporaryDirectory(prefix="oncofed-") as name, ThreadPoolExecutor(max_workers=1) as pool:
        here, audit = Served(Path(name)), AuditLog(Path(name) / "audit.jsonl")
        channel = Asker(GuardChannel(socket=here.socket, token=TOKEN, answer_seconds=5, start_seconds=20))
        answer = pool.submit(channel.describe)
        time.sleep(0.3)
        assert not answer.done()
        with serving(
            HonestGuard(),
            socket=here.socket,
            token_sha256=token_sha256(TOKEN),
            site=SITE,
            audit=audit,
            answer_key=ANSWER_KEY,
            asker_key=COORDINATOR_PUBLIC,
        ):
            assert answer.result(timeout=20) == NodeDescription(SITE)
        channel.close()


def test_a_guard_that_takes_too_long_is_not_ready() -> None:
    done = threading.Event()

    def act() -> Contribution:
        done.wait(10)
        return Contribution(np.full(5, 0.3))

    with served(HostileGuard(act)) as here:
        channel = here.asker(answer_seconds=0.3)
        began = time.monotonic()
        assert refusal_of(lambda: channel.contribute(REQUEST)) is RefusalCode.NOT_READY
        assert time.monotonic() - began < 5
        done.set()


def test_a_guard_that_ends_waits_for_the_answer_that_it_is_making() -> None:
    """Nobody waits for it any more, but its charge and its line in the log belong together."""
    made = threading.Event()

    def act() -> Contribution:
        time.sleep(1)
        made.set()
        return Contribution(np.full(5, 0.3))

    with served(HostileGuard(act)) as here:
        assert refusal_of(lambda: here.asker(answer_seconds=0.2).contribute(REQUEST)) is RefusalCode.NOT_READY
    assert made.is_set()


def test_a_question_whose_sender_has_gone_is_not_put_to_the_guard() -> None:
    """It would be charged for an answer that nobody waits for. gRPC sees to it, and we rely on that."""
    first, done = threading.Event(), threading.Event()
    asked: list[int] = []

    def act() -> Contribution:
        asked.append(1)
        first.set()
        done.wait(10)
        return Contribution(np.full(5, 0.3))

    with served(HostileGuard(act)) as here, ThreadPoolExecutor(max_workers=1) as pool:
        patient = pool.submit(here.asker().contribute, REQUEST)
        assert first.wait(5)
        assert refusal_of(lambda: here.asker(answer_seconds=0.2).contribute(REQUEST)) is RefusalCode.NOT_READY
        time.sleep(0.2)
        done.set()
        patient.result(timeout=5)
        with contextlib.suppress(RequestRefused):
            here.asker().describe()  # behind the one that gave up
    assert len(asked) == 2


def test_a_wrong_token_is_not_ready_and_told_locally(caplog: pytest.LogCaptureFixture) -> None:
    with served(HonestGuard()) as here, caplog.at_level(logging.ERROR):
        assert refusal_of(here.asker(token="0" * 64).describe) is RefusalCode.NOT_READY
    assert "UNAUTHENTICATED" in caplog.text
    assert TOKEN not in caplog.text


def test_bytes_go_and_come_as_they_are() -> None:
    """Whatever they are: what they mean is for the two ends."""
    seen: list[bytes] = []

    def answer(question: bytes, _: object) -> bytes:
        seen.append(question)
        return b"\xff\x00no message"

    methods = {"Contribute": grpc.unary_unary_rpc_method_handler(answer)}
    handler = grpc.method_handlers_generic_handler(SERVICE, methods)
    server = grpc.server(ThreadPoolExecutor(max_workers=1), handlers=[handler])
    with TemporaryDirectory(prefix="oncofed-") as name:
        server.add_insecure_port(f"unix:{name}/sock")
        server.start()
        channel = GuardChannel(socket=Path(name) / "sock", token=TOKEN, answer_seconds=5, start_seconds=1)
        assert channel.ask("Contribute", b"\x00\xffneither") == b"\xff\x00no message"
        assert seen == [b"\x00\xffneither"]
        assert refusal_of(lambda: channel.ask("Summarise", b"")) is RefusalCode.INTERNAL, "nobody answers this"
        channel.close()
        server.stop(None).wait()


def test_the_environment_names_the_guard_and_the_token() -> None:
    with served(HonestGuard()) as here:
        token_file = here.folder / "token"
        token_file.write_text(TOKEN + "\n")
        environment = {SOCKET_VARIABLE: str(here.socket), TOKEN_FILE_VARIABLE: str(token_file)}
        channel = Asker(channel_from_environment(environment))
        assert channel.describe() == NodeDescription(SITE)
        channel.close()


@pytest.mark.parametrize("content", [None, "", "a short one", "0" * 63, "Z" * 64])
def test_an_environment_that_is_not_set_up_is_not_ready(
    tmp_path: Path, content: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    assert refusal_of(lambda: channel_from_environment({})) is RefusalCode.NOT_READY
    assert f"{SOCKET_VARIABLE} and {TOKEN_FILE_VARIABLE}" in caplog.text
    if content is not None:
        (tmp_path / "token").write_text(content)
    environment = {SOCKET_VARIABLE: "/run/none", TOKEN_FILE_VARIABLE: str(tmp_path / "token")}
    assert refusal_of(lambda: channel_from_environment(environment)) is RefusalCode.NOT_READY
