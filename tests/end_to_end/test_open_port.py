"""What can strangers at the coordinator's open port take from the hospitals, and how soon is one off that was removed?

Real processes. Hospitals come from 127.0.0.4, through a proxy that passes bytes on, so that they have no privilege of
the coordinator's own machine; strangers come from 127.0.0.2.
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.command_line import oncofed
from tests.end_to_end.flower_processes import (
    SITES,
    Consortium,
    consortium,
    free_port,
    signed_plan,
    until,
)
from tests.end_to_end.strangers import STRANGER
from tests.recording_proxy import RecordingProxy

from oncofed.client.install.enrolment import make_request, own_request
from oncofed.protocol.bundle import build_bundle
from oncofed.protocol.enrolment import fingerprint, flower_public_key, load_node_key, request_bytes
from oncofed.server.deployment.folder import read_settings
from oncofed.server.deployment.member_files import read_sites
from oncofed.server.flower.control import Control, ControlRefused

HOSPITALS = "127.0.0.4"
GIB = 1024**3
MIB = 1024**2


@contextmanager
def from_elsewhere(one: Consortium) -> Iterator[None]:
    """The hospitals reach the coordinator from `HOSPITALS` inside."""
    port, way = read_settings(one.coordinator).listen_port, free_port()
    for node in one.nodes.values():
        node.settings.write_text(node.settings.read_text().replace(f"127.0.0.1:{port}", f"127.0.0.1:{way}"))
    with RecordingProxy(listen=("127.0.0.1", way), forward=("127.0.0.1", port), come_from=HOSPITALS):
        yield


def memory(one: Consortium, name: str) -> int:
    """Bytes of the SuperLink's process: VmRSS now, VmHWM the most since it was last forgotten."""
    status = Path(f"/proc/{one.processes.running['superlink'].pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


def tls_to(one: Consortium, address: str = STRANGER) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=str(one.coordinator.ca_certificate))
    port = read_settings(one.coordinator).listen_port
    plain = socket.create_connection(("127.0.0.1", port), timeout=20, source_address=(address, 0))
    return context.wrap_socket(plain, server_hostname="127.0.0.1")


def signed_headers(key: ec.EllipticCurvePrivateKey, claimed: ec.EllipticCurvePrivateKey) -> str:
    now = datetime.now(UTC).isoformat()
    pem = claimed.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signature = key.sign(now.encode(), ec.ECDSA(hashes.SHA256()))
    return (
        f"flwr-public-key: {b64encode(pem).decode()}\r\nflwr-timestamp: {now}\r\n"
        f"flwr-signature: {b64encode(signature).decode()}\r\n"
    )


def pour(one: Consortium, path: str, headers: str, size: int, told: list[bytes]) -> None:
    """Send a request of so many bytes; what the server said, if anything of it arrived."""
    with suppress(OSError), tls_to(one) as connection:
        connection.sendall(
            f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/protobuf\r\n{headers}\r\n".encode()
        )
        piece, poured = b"\0" * MIB, 0
        if "chunked" in headers:
            piece = b"%x\r\n%s\r\n" % (MIB, piece)
        with suppress(OSError):
            while poured < size:
                connection.sendall(piece)
                poured += len(piece)
        told.append(connection.recv(16))


@pytest.mark.slow
@pytest.mark.parametrize("who", ["nobody", "nobody, chunked", "a forger", "a member"])
def test_two_gib_cost_less_than_50_mb_of_the_superlinks_memory(who: str, tmp_path: Path) -> None:
    """Four at a time. Before there was a bound, one of them took it from 160 MB to 4.35 GB."""
    with consortium(tmp_path / "c", sites=("Bonn",)) as one:
        one.start_superlink()
        bonn, stranger = load_node_key(one.nodes["Bonn"].node_key.read_bytes()), ec.generate_private_key(ec.SECP384R1())
        signing = {"a forger": stranger, "a member": bonn}
        process = one.processes.running["superlink"].pid
        told: list[bytes] = []
        pour(one, "/v1/fleet/push-object", "content-length: 5\r\n", 5, told)  # what is loaded at the first request is
        Path(f"/proc/{process}/clear_refs").write_text("5")
        before = memory(one, "VmRSS")
        pouring = []
        for path in ("/v1/fleet/push-object", "/v1/fleet/pull-messages", "/health", "/v1/runtime/push-object"):
            headers = "transfer-encoding: chunked\r\n" if "chunked" in who else f"content-length: {2 * GIB}\r\n"
            headers += signed_headers(signing[who], bonn) if who in signing else ""
            pouring.append(threading.Thread(target=pour, args=(one, path, headers, 2 * GIB, told)))
        for thread in pouring:
            thread.start()
        for thread in pouring:
            thread.join(120)
            assert not thread.is_alive()
        cost = memory(one, "VmHWM") - before
        print(f"{who}: {cost / MIB:.1f} MiB, told {told}")
        assert cost < 50 * MIB
        assert told
        assert {int(answer.split()[1]) for answer in told} <= {401, 403, 411, 413}
        assert one.registered()  # and it answers


@pytest.mark.slow
def test_five_thousand_half_sent_connections_leave_hospitals_their_rounds(tmp_path: Path) -> None:
    """Two minutes or more. Before there was a bound, 977 of them used up the SuperLink's open files, for good."""
    with consortium(tmp_path / "c") as four, from_elsewhere(four):
        four.start_all()
        began = time.monotonic()
        four.processes.start(
            "strangers", "tests.end_to_end.strangers", str(read_settings(four.coordinator).listen_port), "5000"
        )
        until(lambda: strangers(four)["tried"] >= 5000, seconds=120, what="the strangers are there")
        plan = signed_plan(four.coordinator, rounds=1)
        status = four.run(build_bundle(), plan, seconds=300)
        took = time.monotonic() - began
        assert (status.status, status.outcome) == ("finished", "completed"), status.details
        (only,) = (four.coordinator.study(plan.hash) / "rounds.jsonl").read_text().splitlines()
        assert json.loads(only)["answered"] == list(plan.roster)
        time.sleep(max(0.0, 120 - took))
        report = strangers(four)
        assert four.processes.running["strangers"].poll() is None
        print(f"{report}; a round took {json.loads(only)['seconds']} s; {memory(four, 'VmHWM') / MIB:.0f} MiB")
        files = list(Path(f"/proc/{four.processes.running['superlink'].pid}/fd").iterdir())
        print(f"{len(files)} open files of the SuperLink")
        assert len(files) < 400  # of which 256 are the strangers'
        assert four.online() == len(SITES)


def strangers(one: Consortium) -> dict[str, int]:
    """What they said last."""
    lines = one.processes.text("strangers").splitlines()
    return {"tried": 0} if not lines else dict(json.loads(lines[-1]))


@pytest.mark.slow
def test_a_removed_hospital_is_offline_within_a_minute_and_back_when_it_is_approved(tmp_path: Path) -> None:
    with consortium(tmp_path / "c", sites=("Bonn", "Essen")) as two:
        two.processes.start("coordinator", "oncofed.cli", "coordinator", "start", str(two.coordinator.root))
        until(two.registered, seconds=240, what="the SuperLink answers")
        for site in two.nodes:
            two.start_supernode(site)
        two.wait_online(2)
        began = time.monotonic()
        assert oncofed("coordinator", "remove", two.coordinator.root, "Bonn").code == 0
        until(lambda: two.online() == 1, seconds=60, what="Bonn is off")
        two.processes.running["Bonn-supernode"].wait(120)  # a 401 ends it
        print(f"off after {time.monotonic() - began:.1f} s")
        two.start_supernode("Bonn")
        two.processes.running["Bonn-supernode"].wait(120)
        assert two.online() == 1

        request = tmp_path / "bonn.request.json"
        request.write_bytes(request_bytes(own_request(two.nodes["Bonn"])))
        heard = fingerprint(request.read_bytes())
        approving = ("coordinator", "approve", two.coordinator.root, request, "--out", tmp_path / "answer.json")
        assert oncofed(*approving, "--fingerprint", heard).code == 0
        two.start_supernode("Bonn")
        two.wait_online(2)
        two.processes.end()

        # While nothing runs; then the server learns of it from `coordinator start`, which nobody tells anything.
        assert "when it starts" in oncofed("coordinator", "suspend", two.coordinator.root, "Essen").text
        bonn = two.nodes["Bonn"]
        for path in (bonn.node_key, bonn.node / "request.json"):
            path.unlink()
        request.write_bytes(request_bytes(make_request(bonn)))
        rotating = ("coordinator", "rotate", two.coordinator.root, "Bonn", request)
        assert oncofed(*rotating, "--fingerprint", fingerprint(request.read_bytes())).code == 0
        two.processes.start("coordinator", "oncofed.cli", "coordinator", "start", str(two.coordinator.root))
        until(lambda: known_keys(two) == {members_key(two, "Bonn")}, seconds=240, what="only Bonn's new key is known")
        two.start_supernode("Bonn")
        two.wait_online(1)
        # And of what is changed while it runs, without a word to it.
        path = two.coordinator.sites / "Bonn.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "standing": "suspended"}))
        path.rename(path.with_suffix(".other"))
        path.with_suffix(".other").rename(path)
        until(lambda: known_keys(two) == set(), seconds=60, what="nobody is known")


def known_keys(one: Consortium) -> set[bytes] | None:
    """What the SuperLink has registered, asked without changing it."""
    try:
        with Control.of(one.coordinator) as control:
            return set(control.node_ids())
    except ControlRefused:
        return None


def members_key(one: Consortium, site: str) -> bytes:
    return flower_public_key(read_sites(one.coordinator)[site].node_public_key)
