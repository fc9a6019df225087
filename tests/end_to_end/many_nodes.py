"""What does one coordinator do with a hundred hospitals? ``python -m tests.end_to_end.many_nodes [hospitals ...]``.

The coordinator is the product's: gate, SuperLink, ServerApp in processes of their own, TLS, SQLite. The hospitals are
thin: a thread each that speaks by Flower's own SuperNode code, with a key, an enrolment and a connection of its own,
and whose guard has no patients and answers at once. So what is measured is the coordinator, on a machine that it
shares with all its hospitals. For each count it prints rounds a minute, seconds of a round, and each process' memory
and processor time.
"""

from __future__ import annotations

import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.supercore.inflatable.inflatable_object import iterate_object_tree
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.supernode import start_client_internal as supernode_steps
from flwr.supernode.nodestate import NodeStateFactory
from tests.end_to_end.fake_relay_app import EchoGuard
from tests.end_to_end.flower_processes import Consortium, consortium, signed_plan

from oncofed.client.guard.desk import Desk, questions_to_node
from oncofed.client.install.folder import NodeFolder, read_site
from oncofed.client.relay.relay import build_client_app
from oncofed.client.relay.supernode import LONGEST_WAIT_SECONDS, pin_bundles, supernode_config, wait_less
from oncofed.protocol.bundle import build_bundle, bundle_sha256
from oncofed.protocol.prompt_transfer import ask_again_soon
from oncofed.secret_files import read_secret

THREADS_A_PROCESS = 50
"""Python runs one thread at a time: the hospitals of one process wait for one another."""


@dataclass(frozen=True)
class Used:
    """Of one process and its children: the most memory in MiB, and seconds of processor time."""

    peak_mib: float
    seconds: float


def thin_hospital(folder: NodeFolder) -> None:
    """Answer whatever is asked, until the process ends."""
    config = supernode_config(folder)
    factory = NodeStateFactory(objectstore_factory=ObjectStoreFactory())
    state, store = factory.state(), factory.objectstore_factory.store()
    app = _relay_of(folder)
    with supernode_steps._init_connection(
        config.server_address, False, config.root_certificates, config.authentication_keys
    ) as (node_id, receive, send, get_run, get_fab, pull_object, push_object, confirm):
        state.set_node_id(node_id)
        context = Context(0, node_id, {}, RecordDict(), {}, 0)
        while True:
            run = supernode_steps._pull_and_store_message(
                state=state,
                object_store=store,
                node_config={},
                receive=receive,
                get_run=get_run,
                get_fab=get_fab,
                pull_object=pull_object,
                confirm_message_received=confirm,
                trusted_entities=config.trusted_entities,
            )
            if run is None:
                time.sleep(LONGEST_WAIT_SECONDS)
                continue
            for asked in state.get_messages_legacy(is_reply=False):
                name = asked.metadata.message_id
                trees = iterate_object_tree(store.get_object_tree(name))
                contents = {tree.object_id: store.get(tree.object_id) or b"" for tree in trees}
                whole = inflate_object_from_contents(name, contents)
                assert isinstance(whole, Message)
                whole.metadata.__dict__["_message_id"] = name
                supernode_steps._insert_message(app(whole, context), state, store)
                store.delete(name)
            supernode_steps._push_messages(state=state, object_store=store, send=send, push_object=push_object)


def _relay_of(folder: NodeFolder) -> ClientApp:
    key, coordinator = read_secret(folder.answer_key), bytes.fromhex(read_site(folder).enrolled.public_key)
    desk = Desk(questions_to_node(EchoGuard(), site=""), audit=None, answer_key=key, asker_key=coordinator)
    return build_client_app(lambda _: desk)


def thin_hospitals(folders: list[Path]) -> None:
    """The process of some hospitals."""
    logging.getLogger("flwr").setLevel(logging.WARNING)
    pin_bundles(lambda: frozenset({bundle_sha256()}))
    wait_less(LONGEST_WAIT_SECONDS)
    ask_again_soon()
    threads = [Thread(target=thin_hospital, args=(NodeFolder(folder),), daemon=True) for folder in folders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def measure(root: Path, *, count: int, rounds: int) -> str:
    """A line of the table, for so many hospitals."""
    sites = tuple(f"hospital_{place:03d}" for place in range(count))
    with consortium(root, sites=sites) as all_of_them:
        all_of_them.start_superlink()
        all_of_them.start_superexec()
        began = time.monotonic()
        for first in range(0, count, THREADS_A_PROCESS):
            folders = [str(all_of_them.nodes[site].root) for site in sites[first : first + THREADS_A_PROCESS]]
            all_of_them.processes.start(f"thin-{first:03d}", "tests.end_to_end.many_nodes", "--as", *folders)
        all_of_them.wait_online(count)
        online = time.monotonic() - began
        plan = signed_plan(all_of_them.coordinator, rounds=rounds)
        status = all_of_them.run(build_bundle(), plan, seconds=300 + 60 * rounds)
        used = {name: used_by(process) for name, process in all_of_them.processes.running.items()}
        if status.outcome != "completed":
            return f"| {count} | {status.outcome}: {status.details} |"
        return line_of(count, online, rounds_of(all_of_them, plan.hash), used)


def rounds_of(all_of_them: Consortium, plan_hash: str) -> list[float]:
    """Seconds of each round after the first, in which the bundle is fetched."""
    lines = (all_of_them.coordinator.study(plan_hash) / "rounds.jsonl").read_text().splitlines()
    return [float(json.loads(line)["seconds"]) for line in lines][1:]


def used_by(process: subprocess.Popen[bytes]) -> Used:
    """Of the process and all that it has started and that still run or were waited for."""
    pids, peak, ticks = [process.pid], 0.0, 0
    for pid in pids:
        status = Path(f"/proc/{pid}/status").read_text()
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        peak += sum(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024
        ticks += sum(int(each) for each in fields[11:15])
        pids.extend(int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    return Used(peak, ticks / os.sysconf("SC_CLK_TCK"))


def line_of(count: int, online: float, seconds: list[float], used: dict[str, Used]) -> str:
    """One line of the table."""
    thin = [each for name, each in used.items() if name.startswith("thin")]
    median = statistics.median(seconds)
    return (
        f"| {count} | {online:.0f} | {60 * len(seconds) / sum(seconds):.1f} | {median:.1f} | {max(seconds):.1f} "
        f"| {used['superlink'].peak_mib:.0f} | {used['superlink'].seconds:.0f} | {used['superexec'].peak_mib:.0f} "
        f"| {used['superexec'].seconds:.0f} | {sum(each.peak_mib for each in thin):.0f} "
        f"| {sum(each.seconds for each in thin):.0f} |"
    )


HEAD = (
    "| hospitals | all online, s | rounds a minute | median round, s | longest, s | SuperLink, MiB | its processor, s "
    "| SuperExec and ServerApp, MiB | their processor, s | all hospitals, MiB | their processor, s |\n"
    + "|---" * 11
    + "|"
)


def main(arguments: list[str]) -> None:
    """Measure, or be some of the hospitals."""
    if arguments[:1] == ["--as"]:
        thin_hospitals([Path(each) for each in arguments[1:]])
        return
    print(HEAD, flush=True)
    for count in [int(each) for each in arguments] or [4, 25, 50, 100]:
        with tempfile.TemporaryDirectory() as folder:
            print(measure(Path(folder) / "c", count=count, rounds=6), flush=True)
    print(f"load average now: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main(sys.argv[1:])
