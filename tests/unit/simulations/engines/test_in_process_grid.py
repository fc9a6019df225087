"""Does the grid in one process keep its nodes as far apart as Flower's would?"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import cast

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAvg

from oncofed.errors import FederationFailure
from oncofed.simulations.engines.in_process_grid import InProcessGrid
from oncofed.simulations.engines.node_directory import answer_partition_queries, find_nodes, partition_of

Behaviour = Callable[[Message, Context], Message]


def app_of(behaviour: Behaviour) -> ClientApp:
    app = ClientApp()
    app.train()(behaviour)
    return app


def echo(message: Message, context: Context) -> Message:
    return Message(message.content, reply_to=message)


def content() -> RecordDict:
    return RecordDict(
        {
            "arrays": ArrayRecord([np.arange(3.0)]),
            "config": ConfigRecord({"round": 1, "names": ["a", "b"]}),
            "metrics": MetricRecord({"values": [1.0, 2.0]}),
        }
    )


def messages(grid: InProcessGrid, shared: RecordDict) -> list[Message]:
    """One for each node, all with the same content object, as Flower's strategies do it."""
    return [Message(shared, dst_node_id=node_id, message_type="train") for node_id in grid.get_node_ids()]


def test_a_reply_names_the_question_the_node_and_itself() -> None:
    grid = InProcessGrid(app_of(echo), node_count=3)
    sent = messages(grid, content())
    replies = grid.send_and_receive(sent, timeout=10)
    assert [reply.metadata.reply_to_message_id for reply in replies] == [one.metadata.message_id for one in sent]
    assert [reply.metadata.src_node_id for reply in replies] == grid.get_node_ids()
    ids = {one.metadata.message_id for one in [*sent, *replies]}
    assert len(ids) == 6
    assert "" not in ids


def test_nothing_a_node_does_to_its_message_reaches_another_or_the_sender() -> None:
    seen: list[tuple[object, ...]] = []

    def vandal(message: Message, context: Context) -> Message:
        arrays, config = message.content.array_records["arrays"], message.content.config_records["config"]
        names = cast(list[str], config["names"])
        values = cast(list[float], message.content.metric_records["metrics"]["values"])
        vector = arrays["0"].numpy().tolist()
        seen.append((vector, config["round"], names.copy(), values.copy(), message.metadata.group_id))
        reply = Message(RecordDict(), reply_to=message)
        arrays["0"].data = b"changed"
        arrays["more"] = arrays["0"]
        names.append("c")
        config["round"] = 2
        values.append(3.0)
        message.metadata.group_id = "changed"
        message.content["new"] = ConfigRecord()
        del message.content["arrays"]
        return reply

    grid = InProcessGrid(app_of(vandal), node_count=3)
    shared = content()
    sent = messages(grid, shared)
    grid.send_and_receive(sent)
    assert seen == [([0.0, 1.0, 2.0], 1, ["a", "b"], [1.0, 2.0], "")] * 3
    assert shared == content()
    assert [one.metadata.group_id for one in sent] == ["", "", ""]


def test_a_record_without_lists_is_a_nodes_own_too() -> None:
    """Which is how a request travels; records with lists are copied in another way."""
    seen: list[object] = []

    def vandal(message: Message, context: Context) -> Message:
        asked = message.content.config_records["request"]
        seen.append(asked["site"])
        asked["site"] = "changed"
        return Message(RecordDict(), reply_to=message)

    grid = InProcessGrid(app_of(vandal), node_count=3)
    shared = RecordDict({"request": ConfigRecord({"site": "Bonn", "round": 1})})
    grid.send_and_receive(messages(grid, shared))
    assert seen == ["Bonn"] * 3
    assert shared.config_records["request"]["site"] == "Bonn"


def test_the_bytes_of_arrays_are_shared_and_not_copied() -> None:
    seen: list[bytes] = []

    def remember(message: Message, context: Context) -> Message:
        seen.append(message.content.array_records["arrays"]["0"].data)
        return Message(RecordDict(), reply_to=message)

    grid = InProcessGrid(app_of(remember), node_count=2)
    shared = content()
    grid.send_and_receive(messages(grid, shared))
    assert all(data is shared.array_records["arrays"]["0"].data for data in seen)


def test_each_node_keeps_a_context_of_its_own() -> None:
    def count(message: Message, context: Context) -> Message:
        before = context.state.metric_records.get("rounds", MetricRecord({"count": 0}))["count"]
        context.state["rounds"] = MetricRecord({"count": int(str(before)) + 1 + partition_of(context)})
        return Message(RecordDict({"state": context.state["rounds"]}), reply_to=message)

    grid = InProcessGrid(app_of(count), node_count=3)
    for _ in range(2):
        replies = grid.send_and_receive(messages(grid, content()))
    assert [reply.content.metric_records["state"]["count"] for reply in replies] == [2, 4, 6]


def test_an_exception_becomes_an_error_reply_of_that_node_alone() -> None:
    def fail_at_one(message: Message, context: Context) -> Message:
        if partition_of(context) == 1:
            raise RuntimeError
        return echo(message, context)

    grid = InProcessGrid(app_of(fail_at_one), node_count=3)
    sent = messages(grid, content())
    replies = grid.send_and_receive(sent)
    assert [reply.has_error() for reply in replies] == [False, True, False]
    assert replies[1].metadata.reply_to_message_id == sent[1].metadata.message_id


def test_a_node_cannot_answer_anothers_question() -> None:
    questions: list[Message] = []

    def answer_the_first(message: Message, context: Context) -> Message:
        questions.append(message)
        return Message(RecordDict(), reply_to=questions[0])

    grid = InProcessGrid(app_of(answer_the_first), node_count=2)
    sent = messages(grid, content())
    replies = grid.send_and_receive(sent)
    assert [reply.has_error() for reply in replies] == [False, True]
    assert [reply.metadata.reply_to_message_id for reply in replies] == [one.metadata.message_id for one in sent]


def test_the_timeout_is_each_nodes_own_and_not_that_of_all_together() -> None:
    def work(message: Message, context: Context) -> Message:
        time.sleep(0.3 if partition_of(context) == 2 else 0.06)
        return echo(message, context)

    grid = InProcessGrid(app_of(work), node_count=4)
    sent = messages(grid, content())
    replies = grid.send_and_receive(sent, timeout=0.15)
    late = sent[2].metadata.message_id
    assert [reply.metadata.reply_to_message_id for reply in replies] == [
        one.metadata.message_id for one in sent if one.metadata.message_id != late
    ]


def test_messages_can_be_pushed_first_and_their_replies_pulled_once() -> None:
    grid = InProcessGrid(app_of(echo), node_count=2)
    message_ids = grid.push_messages(messages(grid, content()))
    assert len(grid.pull_messages(message_ids[1:])) == 1
    assert len(grid.pull_messages(message_ids)) == 1
    assert grid.pull_messages(message_ids) == []


def test_flowers_own_fedavg_runs_on_it_unchanged() -> None:
    def train(message: Message, context: Context) -> Message:
        received = message.content.array_records["arrays"]["0"].numpy()
        update = RecordDict(
            {
                "arrays": ArrayRecord([received + partition_of(context)]),
                "metrics": MetricRecord({"public-site-weight": 1.0}),
            }
        )
        return Message(update, reply_to=message)

    grid = InProcessGrid(app_of(train), node_count=3)
    strategy = FedAvg(fraction_evaluate=0.0, weighted_by_key="public-site-weight")
    result = strategy.start(grid, initial_arrays=ArrayRecord([np.zeros(2)]), num_rounds=2)
    # Flower adds the replies in the order they came, which it takes from a set: the last bit may differ.
    assert result.arrays["0"].numpy() == pytest.approx([2.0, 2.0], rel=1e-12)


def test_nodes_say_which_hospital_they_are() -> None:
    class BackwardsGrid(InProcessGrid):
        def get_node_ids(self) -> list[int]:
            return super().get_node_ids()[::-1]

    roster = ("Aachen", "Bonn", "Coburg")
    grid = BackwardsGrid(answer_partition_queries(ClientApp()), node_count=3)
    assert find_nodes(grid, roster=roster) == {"Aachen": 1000, "Bonn": 1001, "Coburg": 1002}


@pytest.mark.parametrize("node_count", [2, 4])
def test_a_roster_of_another_size_is_refused(node_count: int) -> None:
    grid = InProcessGrid(answer_partition_queries(ClientApp()), node_count=node_count)
    with pytest.raises(FederationFailure, match="3 hospitals need a simulated node each"):
        find_nodes(grid, roster=("Aachen", "Bonn", "Coburg"))


def test_nodes_that_do_not_answer_are_noticed() -> None:
    grid = InProcessGrid(ClientApp(), node_count=1)
    with pytest.raises(FederationFailure, match="0 said who they are"):
        find_nodes(grid, roster=("Aachen",))
