"""Do a coordinator and four hospitals work together as real processes, and is everybody else refused?

TLS, node keys, the gate, the pinned bundle: all the product's. Only the guards are fakes.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.proto.control_pb2 import ListNodesRequest, RegisterNodeRequest
from flwr.proto.fleet_pb2 import ActivateNodeRequest, PullMessagesRequest, RegisterNodeFleetRequest
from flwr.proto.node_pb2 import Node
from flwr.proto.runtime_pb2 import AcquireTaskRequest, GetNodesRequest
from flwr.supercore.control.control_http_client import ControlHttpClient
from flwr.supercore.interceptors import RuntimeTokenHttpInterceptor, SuperExecAuthHttpInterceptor
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.supercore.protobuf.client import ProtobufCall, ProtobufRequestContext
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor
from tests.end_to_end.flower_processes import Consortium, consortium, new_coordinator, signed_plan, until

from oncofed.protocol.bundle import build_bundle, bundle_hash
from oncofed.protocol.enrolment import load_node_key
from oncofed.server.deployment.folder import read_settings
from oncofed.server.deployment.member_files import read_sites
from oncofed.server.flower.control import Control, ControlRefused

Keys = tuple[ec.EllipticCurvePrivateKey, ec.EllipticCurvePublicKey]


@pytest.fixture(scope="module")
def bonn_alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consortium]:
    """A SuperLink that knows one hospital, none of whose processes run."""
    with consortium(tmp_path_factory.mktemp("refusals") / "c", sites=("Bonn",)) as one:
        one.start_superlink()
        yield one


class Recorder:
    """Stands where somebody stands who reads the wire."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []

    def intercept(self, context: ProtobufRequestContext, call_next: ProtobufCall) -> httpx.Response:
        self.requests.append(context.request)
        return call_next(context)


def new_keys() -> Keys:
    key = ec.generate_private_key(ec.SECP384R1())
    return key, key.public_key()


def keys_of(one: Consortium, site: str) -> Keys:
    key = load_node_key(one.nodes[site].node_key.read_bytes())
    return key, key.public_key()


def fleet(one: Consortium, keys: Keys, *, ca: bytes | None = None, recorder: Recorder | None = None) -> FleetHttpClient:
    return FleetHttpClient.from_server_address(
        read_settings(one.coordinator).address,
        False,
        one.coordinator.ca_certificate.read_bytes() if ca is None else ca,
        [NodeAuthHttpInterceptor(*keys), *([recorder] if recorder else [])],
    )


def activate(client: FleetHttpClient, keys: Keys) -> int:
    request = ActivateNodeRequest(public_key=public_key_to_bytes(keys[1]), heartbeat_interval=30)
    return int(client.ActivateNode(request).node_id)


def test_an_unregistered_key_is_refused_and_cannot_register_itself(bonn_alone: Consortium) -> None:
    keys = new_keys()
    with fleet(bonn_alone, keys) as client:
        with pytest.raises(httpx.HTTPStatusError):
            activate(client, keys)
        with pytest.raises(httpx.HTTPStatusError):
            client.RegisterNode(RegisterNodeFleetRequest(public_key=public_key_to_bytes(keys[1])))
        bonn = read_sites(bonn_alone.coordinator)["Bonn"].node_id
        assert bonn is not None
        with pytest.raises(httpx.HTTPStatusError) as refusal:
            client.PullMessages(PullMessagesRequest(node=Node(node_id=bonn)))
    assert refusal.value.response.status_code == 401


def test_plaintext_is_refused(bonn_alone: Consortium) -> None:
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://{read_settings(bonn_alone.coordinator).address}/health")


def test_a_hospital_refuses_a_server_of_another_authority(bonn_alone: Consortium, tmp_path: Path) -> None:
    other = new_coordinator(tmp_path / "other")
    keys = keys_of(bonn_alone, "Bonn")
    with (
        fleet(bonn_alone, keys, ca=other.ca_certificate.read_bytes()) as client,
        pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        activate(client, keys)


def test_the_certificate_names_the_coordinator(bonn_alone: Consortium) -> None:
    context = ssl.create_default_context(cafile=str(bonn_alone.coordinator.ca_certificate))
    port = read_settings(bonn_alone.coordinator).listen_port
    for name, fits in (("127.0.0.1", True), ("localhost", True), ("127.0.0.2", False)):
        try:
            answer = httpx.get(f"https://{name}:{port}/health", verify=context).status_code == 200
        except httpx.ConnectError:
            answer = False
        assert answer is fits, name


def test_a_request_that_was_seen_before_is_refused(bonn_alone: Consortium) -> None:
    """Flower itself accepts it, with any other body too, for five minutes."""
    keys = keys_of(bonn_alone, "Bonn")
    seen = Recorder()
    with fleet(bonn_alone, keys, recorder=seen) as client:
        node = Node(node_id=activate(client, keys))
        client.PullMessages(PullMessagesRequest(node=node))
    again = seen.requests[-1]
    context = ssl.create_default_context(cafile=str(bonn_alone.coordinator.ca_certificate))
    with httpx.Client(verify=context) as somebody:
        assert somebody.send(again).status_code == 401
        other_body = somebody.build_request("POST", again.url, headers=again.headers, content=again.content)
        assert somebody.send(other_body).status_code == 401


def test_administration_needs_the_token_even_on_loopback(bonn_alone: Consortium) -> None:
    folder = bonn_alone.coordinator
    address, ca = read_settings(folder).local_address, folder.ca_certificate.read_bytes()
    with ControlHttpClient.from_server_address(address, False, ca, []) as nobody:
        for call in (
            lambda: nobody.ListNodes(ListNodesRequest()),
            lambda: nobody.RegisterNode(RegisterNodeRequest(public_key=public_key_to_bytes(new_keys()[1]))),
        ):
            with pytest.raises(httpx.HTTPStatusError) as refusal:
                call()
            assert refusal.value.response.status_code == 401
    with (
        Control(address=address, ca_certificate=ca, admin_token=b"guessed") as guesser,
        pytest.raises(ControlRefused, match="401"),
    ):
        guesser.list_nodes()
    with Control.of(folder) as control:
        assert len(control.list_nodes()) == 1


def test_work_of_the_coordinator_needs_its_secret(bonn_alone: Consortium) -> None:
    folder = bonn_alone.coordinator
    address, ca = read_settings(folder).local_address, folder.ca_certificate.read_bytes()
    wrong = SuperExecAuthHttpInterceptor(master_secret=b"x" * 32, protected_methods={"/flwr.proto.Runtime/AcquireTask"})
    for interceptors in ([], [wrong]):
        with (
            RuntimeHttpClient.from_server_address(address, False, ca, interceptors) as client,
            pytest.raises(httpx.HTTPStatusError),
        ):
            client.AcquireTask(AcquireTaskRequest())
    token = RuntimeTokenHttpInterceptor(token="0" * 64)
    with (
        RuntimeHttpClient.from_server_address(address, False, ca, [token]) as client,
        pytest.raises(httpx.HTTPStatusError),
    ):
        client.GetNodes(GetNodesRequest())


@pytest.mark.slow
def test_four_hospitals_run_the_approved_bundle_and_no_other(tmp_path: Path) -> None:
    # One byte more; a zip checks its own bytes, so somebody who changes it on purpose makes it anew.
    other = build_bundle(version=f"{version('oncofed')}1")
    with consortium(tmp_path / "c") as four:
        four.start_all()
        plan = signed_plan(four.coordinator, rounds=2)
        status = four.run(build_bundle(), plan, seconds=90)
        assert (status.status, status.outcome) == ("finished", "completed"), status.details
        study = four.coordinator.study(plan.hash)
        rounds = [json.loads(line) for line in (study / "rounds.jsonl").read_text().splitlines()]
        assert [line["round"] for line in rounds] == [1, 2]
        assert all(line["answered"] == list(plan.roster) and line["rejected"] == [] for line in rounds)

        forged = signed_plan(four.coordinator, rounds=1)
        status = four.run(other, forged, seconds=90)
        assert (status.status, status.outcome) == ("finished", "failed")
        for site in four.nodes:
            assert f"{bundle_hash(other)} is NOT approved here" in four.processes.text(f"{site}-supernode")
            assert site in status.details


@pytest.mark.slow
def test_a_killed_supernode_and_a_killed_superlink_cost_a_run_seconds(tmp_path: Path) -> None:
    """Flower itself refuses the SuperNode for up to 60 s; with the SuperLink's default isolation the run dies.

    Flower notes that a question is delivered before it delivers it. One that is killed in that instant loses it: then
    the round waits for its time (120 s here), the run says so and ends, and the next one goes on from there.
    """
    with consortium(tmp_path / "c") as four:
        four.start_all()
        plan = signed_plan(four.coordinator, rounds=6)
        study = four.coordinator.study(plan.hash)
        with Control.of(four.coordinator) as control:
            run_id = control.start_run(build_bundle(), {"plan-hash": plan.hash})

        def finished_rounds() -> int:
            rounds = study / "rounds.jsonl"
            return len(rounds.read_text().splitlines()) if rounds.exists() else 0

        until(lambda: finished_rounds() >= 1, seconds=60, what="the first round")
        four.processes.kill("Essen-supernode")
        four.start_supernode("Essen")
        until(lambda: finished_rounds() >= 3, seconds=50, what="two rounds after the SuperNode's kill")
        assert "ended the session of a former process" in four.processes.text("Essen-supernode")
        four.processes.kill("superlink")
        four.start_superlink()
        with Control.of(four.coordinator) as control:
            until(lambda: control.run_status(run_id).finished, seconds=180, what="the run ends")
            if control.run_status(run_id).outcome != "completed":
                assert "a restart lost the question" in (study / "events.jsonl").read_text()
                again = control.start_run(build_bundle(), {"plan-hash": plan.hash})
                until(lambda: control.run_status(again).finished, seconds=90, what="the next run ends")
                assert control.run_status(again).outcome == "completed"
        lines = [json.loads(line) for line in (study / "rounds.jsonl").read_text().splitlines()]
        assert [line["round"] for line in lines] == [1, 2, 3, 4, 5, 6]
        assert {line["attempt"] for line in lines} == {0}  # the same questions, charged once


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="NOT TESTED: IPv6, which this machine has not.")
def test_a_hospital_comes_over_ipv6_and_the_coordinators_own_processes_over_ipv4(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    root = tmp_path_factory.mktemp("ipv6") / "c"
    with consortium(root, sites=("Bonn",), host="[::1]", listen="[::]") as one:
        one.start_superlink()
        one.start_supernode("Bonn")
        one.wait_online(1)
        settings = read_settings(one.coordinator)
        context = ssl.create_default_context(cafile=str(one.coordinator.ca_certificate))
        for host in ("[::1]", "127.0.0.1"):
            assert httpx.get(f"https://{host}:{settings.listen_port}/health", verify=context).status_code == 200
        # Administration is from 127.0.0.1 alone, also where IPv6 is listened for.
        strange = f"https://[::1]:{settings.listen_port}/v1/control/list-nodes"
        assert httpx.post(strange, verify=context).status_code == 403


@pytest.mark.slow
def test_a_node_whose_clock_is_wrong_is_told_so_at_both_ends_in_one_line(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with consortium(tmp_path_factory.mktemp("clock") / "c", sites=("Bonn",)) as one:
        one.start_superlink()
        one.processes.start("fast", "tests.end_to_end.fast_supernode", str(one.nodes["Bonn"].root))
        here = "this machine's clock differs from the coordinator's by "
        until(lambda: here in one.processes.text("fast"), seconds=60, what="the node says why it is refused")
        (line,) = (line for line in one.processes.text("fast").splitlines() if here in line)
        assert 595 < float(line.split(here)[1].split()[0]) < 660
        until(
            lambda: "Bonn is refused: what it sent was signed in " in one.processes.text("superlink"),
            seconds=20,
            what="the coordinator names it",
        )
