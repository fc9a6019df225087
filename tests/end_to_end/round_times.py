"""Where do the seconds of a deployed round go? ``python -m tests.end_to_end.round_times [rounds]`` prints the table.

Runs four hospitals with fake guards (so: no data, no noise, nothing charged) as real processes on this machine, each
through `timed`, which notes the time around Flower's steps and changes nothing else. All are medians over rounds and
hospitals, the first round left out; the steps of one hospital follow one another, the hospitals' overlap.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from flwr.app import Message, MessageType
from flwr.serverapp import ServerApp
from flwr.superlink.grid import HttpGrid
from tests.end_to_end.flower_processes import consortium, signed_plan
from tests.end_to_end.round_times_node import SITE, TIMES, note

from oncofed.protocol.bundle import build_bundle, bundle_hash
from oncofed.server.flower import server_app
from oncofed.server.flower.prompt_grid import PromptGrid

STEPS = (
    ("the SuperNode has heard of the question", "asked", "received"),
    ("the SuperExec has heard of the work", "received", "launched"),
    ("a relay process is there", "launched", "relay begins"),
    ("the relay has the weights", "relay begins", "app begins"),
    ("the relay has its guard's answer", "app begins", "app ends"),
    ("the SuperNode has seen the reply", "app ends", "reply seen"),
    ("the reply is with the SuperLink", "reply seen", "sent"),
    ("the ServerApp has all replies", "sent", "all replies"),
    ("(meanwhile: all questions are pushed)", "asked", "pushed"),
)


class TimedGrid(PromptGrid):
    """Notes when questions of a round are pushed and when the last reply is there."""

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        sent = list(messages)
        if sent[0].metadata.message_type != MessageType.TRAIN:
            return super().send_and_receive(sent, timeout=timeout)
        note("asked")
        replies = super().send_and_receive(sent, timeout=timeout)
        note("all replies")
        return replies


def timed_server_app() -> ServerApp:
    setattr(server_app, "PromptGrid", TimedGrid)  # noqa: B010 - mypy is right that it is not ours to set
    inner = HttpGrid._try_push_messages

    def push(self: HttpGrid, run_id: int, messages: Iterable[Message]) -> list[str]:
        ids = inner(self, run_id, messages)
        note("pushed")
        return ids

    HttpGrid._try_push_messages = push  # type: ignore[method-assign]  # a test's stand-in
    return server_app.app


if __name__ == "tests.end_to_end.round_times":
    app = timed_server_app()


def measure(folder: Path, rounds: int) -> None:
    times = folder / "times.jsonl"
    os.environ[TIMES] = str(times)
    bundle = build_bundle(server_app="tests.end_to_end.round_times:app")
    with consortium(folder / "c", bundles=(bundle_hash(bundle),)) as four:
        four.start_superlink()
        four.start_superexec()
        for site, node in four.nodes.items():
            for role in ("supernode", "superexec"):
                environment = {SITE: site}
                four.processes.start(
                    f"{site}-{role}",
                    "tests.end_to_end.round_times_node",
                    str(node.root),
                    role,
                    environment=environment,
                )
        four.wait_online(4)
        plan = signed_plan(four.coordinator, rounds=rounds)
        status = four.run(bundle, plan, seconds=60 + 20 * rounds)
        assert status.outcome == "completed", status.details
        lines = (four.coordinator.study(plan.hash) / "rounds.jsonl").read_text().splitlines()
    whole = [json.loads(line)["seconds"] for line in lines][1:]
    print_table([json.loads(line) for line in times.read_text().splitlines()], whole)


def print_table(events: list[dict[str, Any]], whole: list[float]) -> None:
    opened = [event["at"] for event in events if event["event"] == "asked"]
    seconds: dict[tuple[int, str, str], float] = {}
    for event in events:
        number = sum(at <= event["at"] for at in opened)
        seconds.setdefault((number, event.get("site", ""), event["event"]), event["at"])
    found = defaultdict(list)
    for number in range(2, len(opened) + 1):
        sites = {site for of, site, _ in seconds if of == number and site}
        for words, first, last in STEPS:
            for site in sites:
                begin = seconds.get((number, site, first), seconds.get((number, "", first)))
                end = seconds.get((number, site, last), seconds.get((number, "", last)))
                if begin is not None and end is not None:
                    found[words].append(end - begin)
    print(f"{'until':45}  median s   longest s")
    for words, _, _ in STEPS:
        if found[words]:
            print(f"{words:45}  {statistics.median(found[words]):8.2f}  {max(found[words]):9.2f}")
    print(f"{'a whole round':45}  {statistics.median(whole):8.2f}  {max(whole):9.2f}   ({len(whole)} rounds)")
    print(f"load average now: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), int(sys.argv[1]) if len(sys.argv) > 1 else 8)
