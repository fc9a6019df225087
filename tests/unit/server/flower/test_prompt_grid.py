"""Does the Grid wait as long as it was told, and no longer than it must?"""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from flwr.app import Message, RecordDict
from flwr.serverapp import Grid
from flwr.supercore.inflatable.inflatable_utils import ObjectPushError
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from oncofed.server.flower.prompt_grid import PromptGrid


class SlowGrid(Grid):
    """Each message is answered when it has been asked for `after` times."""

    def __init__(self, after: int) -> None:
        self.after = after
        self.pulled: list[set[str]] = []
        self.sent: dict[str, Message] = {}

    def set_run(self, run: Run) -> None:
        raise NotImplementedError

    @property
    def run(self) -> Run:
        raise NotImplementedError

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        raise NotImplementedError

    def get_node_ids(self) -> Iterable[int]:
        return [7, 8]

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        assert list(messages) == list(messages), "Flower's goes through them twice"
        for number, message in enumerate(messages):
            message.metadata.__dict__["_message_id"] = f"id {number}"
            self.sent[f"id {number}"] = message
        return list(self.sent)

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        self.pulled.append(set(message_ids))
        ready = {name for name in self.pulled[-1] if name == "id 0" or len(self.pulled) >= self.after}
        return [Message(RecordDict(), reply_to=self.sent[name]) for name in sorted(ready)]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        raise AssertionError("Flower's own waiting")


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def now(self) -> float:
        return self.seconds


@pytest.fixture(autouse=True)
def task() -> None:
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 2, 3


def questions() -> list[Message]:
    return [Message(RecordDict(), dst_node_id=node, message_type="train") for node in (7, 8)]


def test_it_asks_until_all_have_answered_and_only_for_those_that_have_not() -> None:
    clock, inner = Clock(), SlowGrid(after=4)
    replies = PromptGrid(inner, poll_seconds=0.25, sleep=clock.sleep, monotonic=clock.now).send_and_receive(questions())
    assert len(list(replies)) == 2
    assert inner.pulled == [{"id 0", "id 1"}, {"id 1"}, {"id 1"}, {"id 1"}]
    assert clock.seconds == 0.75


def test_it_gives_up_after_the_timeout_with_what_has_come() -> None:
    clock, inner = Clock(), SlowGrid(after=10**9)
    grid = PromptGrid(inner, poll_seconds=0.25, sleep=clock.sleep, monotonic=clock.now)
    assert len(list(grid.send_and_receive(questions(), timeout=2.0))) == 1
    assert clock.seconds == 2.0


def test_nothing_to_ask_is_answered_at_once() -> None:
    clock, inner = Clock(), SlowGrid(after=1)
    assert list(PromptGrid(inner, sleep=clock.sleep, monotonic=clock.now).send_and_receive([])) == []
    assert (inner.pulled, clock.seconds) == ([], 0.0)


class CutOffGrid(SlowGrid):
    """The SuperLink is killed while it is told the content of the messages."""

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        super().push_messages(messages)
        raise ObjectPushError("id 0", 1, "a session that the new SuperLink does not know")


def test_questions_that_a_restart_cut_off_are_unanswered_and_can_be_told_apart() -> None:
    clock, inner, asked = Clock(), CutOffGrid(after=1), questions()
    assert list(PromptGrid(inner, sleep=clock.sleep, monotonic=clock.now).send_and_receive(asked)) == []
    assert [message.metadata.message_id for message in asked] == ["id 0", "id 1"]
    assert clock.seconds == 0.0
