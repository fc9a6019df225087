"""Does a hospital pin one coordinator: the one it heard on the telephone, for the request it sent?"""

from __future__ import annotations

import fcntl
import json
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from tests.at_once import at_once, meeting
from tests.end_to_end.flower_processes import new_coordinator, new_node

from oncofed.client.install import enrolment
from oncofed.client.install.enrolment import accept, make_request
from oncofed.client.install.folder import NodeFolder, read_site
from oncofed.errors import InvalidInput, SignatureInvalid
from oncofed.protocol.enrolment import acceptance_bytes, request_bytes
from oncofed.server.deployment import pinned_by_hospitals
from oncofed.server.deployment.certificates import create_keys, renew_server_certificate
from oncofed.server.deployment.enrolment import approve, own_fingerprint, settle_nodes
from oncofed.server.deployment.folder import CoordinatorFolder, CoordinatorSettings, read_settings
from oncofed.server.deployment.member_files import look_at, read_sites
from oncofed.server.deployment.pinned_by_hospitals import acceptances, move, moved, renew_keys

NOW = datetime.now(UTC)


@pytest.fixture
def coordinator(tmp_path: Path) -> CoordinatorFolder:
    return new_coordinator(tmp_path / "coordinator")


@pytest.fixture
def bonn(tmp_path: Path) -> NodeFolder:
    return new_node(tmp_path / "Bonn", "Bonn")


def test_both_ends_know_each_other_afterwards(coordinator: CoordinatorFolder, bonn: NodeFolder) -> None:
    request = make_request(bonn)
    answer = approve(coordinator, request_bytes(request))
    accept(bonn, acceptance_bytes(answer), heard_fingerprint=own_fingerprint(coordinator))
    pinned = read_site(bonn).enrolled
    assert pinned.public_key == coordinator.public_key.read_text().strip()
    assert bonn.ca_certificate.read_bytes() == coordinator.ca_certificate.read_bytes()
    assert read_sites(coordinator)["Bonn"].node_public_key == bonn.node_public_key.read_text().strip()


def test_secrets_are_their_owners_alone(coordinator: CoordinatorFolder, bonn: NodeFolder) -> None:
    make_request(bonn)
    secrets = [
        *(bonn.node_key, bonn.node_secret, bonn.relay_secret),
        *(coordinator.ca_key, coordinator.server_key, coordinator.signing_key),
        *(coordinator.superexec_secret, coordinator.admin_token),
    ]
    assert [path for path in secrets if stat.S_IMODE(path.stat().st_mode) & 0o077] == []
    assert [path for path in (bonn.node, bonn.relay, coordinator.keys) if path.stat().st_mode & 0o077] == []


def test_asking_twice_makes_one_key_and_one_request(bonn: NodeFolder) -> None:
    assert make_request(bonn) == make_request(bonn)


def test_the_private_key_is_in_no_file_that_travels(coordinator: CoordinatorFolder, bonn: NodeFolder) -> None:
    request = request_bytes(make_request(bonn))
    answer = acceptance_bytes(approve(coordinator, request))
    private = b"".join(bonn.node_key.read_bytes().splitlines()[1:-1])
    assert len(private) > 200
    for line in bonn.node_key.read_bytes().splitlines()[2:-1]:
        assert line not in request
        assert line not in answer


def test_another_hospitals_acceptance_is_refused(
    coordinator: CoordinatorFolder, bonn: NodeFolder, tmp_path: Path
) -> None:
    essen = new_node(tmp_path / "Essen", "Essen")
    answer = approve(coordinator, request_bytes(make_request(essen)))
    make_request(bonn)
    with pytest.raises(InvalidInput, match="another request"):
        accept(bonn, acceptance_bytes(answer), heard_fingerprint=own_fingerprint(coordinator))
    assert not bonn.ca_certificate.exists()
    assert read_site(bonn).coordinator is None


def test_another_coordinators_acceptance_is_refused(
    coordinator: CoordinatorFolder, bonn: NodeFolder, tmp_path: Path
) -> None:
    somebody = new_coordinator(tmp_path / "somebody")
    answer = approve(somebody, request_bytes(make_request(bonn)))
    with pytest.raises(InvalidInput, match="not the one you heard"):
        accept(bonn, acceptance_bytes(answer), heard_fingerprint=own_fingerprint(coordinator))
    assert not bonn.ca_certificate.exists()


def test_a_second_coordinator_is_refused(coordinator: CoordinatorFolder, bonn: NodeFolder, tmp_path: Path) -> None:
    answer = approve(coordinator, request_bytes(make_request(bonn)))
    accept(bonn, acceptance_bytes(answer), heard_fingerprint=own_fingerprint(coordinator))
    other = new_coordinator(tmp_path / "other")
    again = approve(other, request_bytes(make_request(bonn)))
    with pytest.raises(InvalidInput, match="pinned already"):
        accept(bonn, acceptance_bytes(again), heard_fingerprint=own_fingerprint(other))


def changed(coordinator: CoordinatorFolder, site: str, **keys: bool) -> bytes:
    """What it sends to a member once its keys, or its address, are others."""
    if keys:
        renew_keys(
            coordinator, authority=keys.get("authority", False), signing_key=keys.get("signing_key", False), now=NOW
        )
    else:
        move(coordinator, moved(read_settings(coordinator), address="127.0.0.9:9443", listen=None, also=()), now=NOW)
    return acceptance_bytes(acceptances(coordinator)[site])


@pytest.fixture
def pinned(coordinator: CoordinatorFolder, bonn: NodeFolder) -> NodeFolder:
    """With a word of hospital IT in site.toml."""
    answer = approve(coordinator, request_bytes(make_request(bonn)))
    accept(bonn, acceptance_bytes(answer), heard_fingerprint=own_fingerprint(coordinator))
    text = bonn.settings.read_text()
    sockets = text[text.index("[sockets]") : text.index("[coordinator]")]
    bonn.settings.write_text(f"# ours\n{text.replace(sockets, '')}\n{sockets}")
    return bonn


def test_another_address_is_followed_without_a_call(coordinator: CoordinatorFolder, pinned: NodeFolder) -> None:
    before = read_site(pinned)
    told = accept(pinned, changed(coordinator, "Bonn"), heard_fingerprint=None)
    after = read_site(pinned)
    assert after.enrolled.address == "127.0.0.9:9443"
    assert (after.enrolled.keys, after.runtime) == (before.enrolled.keys, before.runtime)
    assert "# ours\n" in pinned.settings.read_text()
    assert [before.enrolled.address in each for each in told] == [True]


def test_an_address_that_the_pinned_coordinator_did_not_sign_is_not_followed(
    coordinator: CoordinatorFolder, pinned: NodeFolder, tmp_path: Path
) -> None:
    answer = json.loads(changed(coordinator, "Bonn"))
    forged = json.dumps({**answer, "coordinator_address": "127.0.0.6:9443"}, sort_keys=True, separators=(",", ":"))
    with pytest.raises(SignatureInvalid):
        accept(pinned, forged.encode(), heard_fingerprint=None)


@pytest.mark.parametrize("key", ["authority", "signing_key"])
def test_other_keys_are_a_decision_that_was_heard(key: str, coordinator: CoordinatorFolder, pinned: NodeFolder) -> None:
    before, former = own_fingerprint(coordinator), read_site(pinned).enrolled
    content = changed(coordinator, "Bonn", **{key: True})
    text, heard = pinned.settings.read_text(), own_fingerprint(coordinator)
    assert heard != before
    for fingerprint, change, said in (
        (None, True, "not the one you heard"),
        ("", True, "not the one you heard"),
        (before, True, "not the one you heard"),
        (heard, False, "--change"),
    ):
        with pytest.raises(InvalidInput, match=said):
            accept(pinned, content, heard_fingerprint=fingerprint, change=change)
    assert pinned.settings.read_text() == text
    accept(pinned, content, heard_fingerprint=heard, change=True)
    after = read_site(pinned).enrolled
    assert after.public_key == coordinator.public_key.read_text().strip()
    assert after.former_keys == (() if key == "authority" else (former.key,))
    assert pinned.ca_certificate.read_bytes() == coordinator.ca_certificate.read_bytes()


def test_of_two_changes_of_the_key_both_former_ones_are_known(
    coordinator: CoordinatorFolder, pinned: NodeFolder
) -> None:
    """Whoever holds any of them may have signed a plan that lies here."""
    former = []
    for day in (1, 2):
        former.append(read_site(pinned).enrolled.key)
        renew_keys(coordinator, authority=False, signing_key=True, now=NOW + timedelta(days=day))
        content = acceptance_bytes(acceptances(coordinator)["Bonn"])
        accept(pinned, content, heard_fingerprint=own_fingerprint(coordinator), change=True)
    assert set(read_site(pinned).enrolled.former_keys) == set(former)
    assert len(set(former)) == 2


def test_a_move_with_new_keys_is_told_whole(coordinator: CoordinatorFolder, pinned: NodeFolder) -> None:
    before = read_site(pinned).enrolled.address
    changed(coordinator, "Bonn")
    content = changed(coordinator, "Bonn", authority=True, signing_key=True)
    told = accept(pinned, content, heard_fingerprint=own_fingerprint(coordinator), change=True)
    assert [("certificate" in each, "signs its plans" in each, before in each) for each in told] == [
        (True, False, False),
        (False, True, False),
        (False, False, True),
    ]


def test_a_new_authority_vouches_for_the_server_s_certificate_and_the_former_does_not(
    coordinator: CoordinatorFolder, bonn: NodeFolder
) -> None:
    former = x509.load_pem_x509_certificate(coordinator.ca_certificate.read_bytes())
    kept = renew_keys(coordinator, authority=True, signing_key=False, now=NOW)
    server, authority = (
        x509.load_pem_x509_certificates(path.read_bytes())[0]
        for path in (coordinator.server_certificate, coordinator.ca_certificate)
    )
    server.verify_directly_issued_by(authority)
    with pytest.raises(InvalidSignature):
        server.verify_directly_issued_by(former)
    assert (kept / coordinator.ca_certificate.name).read_bytes() != coordinator.ca_certificate.read_bytes()


def test_nothing_is_changed_while_nobody_can_tell_whether_the_server_runs(
    coordinator: CoordinatorFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pinned_by_hospitals, "is_running", lambda lock: None)
    with pytest.raises(InvalidInput, match="is running"):
        renew_keys(coordinator, authority=False, signing_key=True, now=NOW)


@pytest.mark.parametrize(
    ("address", "listen", "asked", "found"),
    [
        ("old.example:9443", "0.0.0.0:9443", None, "0.0.0.0:8443"),  # the same port within and without, as before
        ("old.example:443", "127.0.0.1:9443", None, "127.0.0.1:9443"),  # somebody passes 443 on to 9443
        ("old.example:9443", "127.0.0.1:9443", "10.0.0.7:9000", "10.0.0.7:9000"),
    ],
)
def test_another_address_is_listened_to_as_the_former_one_was(
    address: str, listen: str, asked: str | None, found: str
) -> None:
    before = CoordinatorSettings("c", address, listen, ("old.example", "10.0.0.7"))
    after = moved(before, address="new.example:8443", listen=asked, also=("both.example",))
    assert (after.address, after.listen) == ("new.example:8443", found)
    assert after.names == ("new.example", "both.example", "old.example", "10.0.0.7"), "a name may lead to both"


def test_a_kill_between_former_and_new_keys_is_made_good_by_the_same_command(
    coordinator: CoordinatorFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = sorted(path.name for path in coordinator.keys.iterdir())
    signer = coordinator.public_key.read_bytes()
    rename = Path.rename

    def killed(path: Path, target: Path) -> Path:
        if path.parent.name == "changing":
            raise KeyboardInterrupt
        return rename(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            renew_keys(coordinator, authority=True, signing_key=True, now=NOW)
    assert not coordinator.keys.exists()
    renew_keys(coordinator, authority=True, signing_key=True, now=NOW)
    assert sorted(path.name for path in coordinator.keys.iterdir()) == files
    assert coordinator.public_key.read_bytes() != signer
    (before,) = coordinator.root.glob("keys.before-*")
    assert (before / "signing.pub").read_bytes() == signer


def test_nothing_is_changed_while_the_server_runs(coordinator: CoordinatorFolder) -> None:
    signer = coordinator.public_key.read_bytes()
    with coordinator.locks["superlink"].open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        for keys in ({}, {"signing_key": True}):
            with pytest.raises(InvalidInput, match="is running"):
                changed(coordinator, "Bonn", **keys)
    assert coordinator.public_key.read_bytes() == signer


def test_of_two_acceptances_at_once_one_is_pinned(
    coordinator: CoordinatorFolder, bonn: NodeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = acceptance_bytes(approve(coordinator, request_bytes(make_request(bonn))))
    heard = own_fingerprint(coordinator)
    with meeting(monkeypatch, enrolment, "read_site", 2, after=True):
        told = at_once(*[partial(accept, bonn, answer, heard_fingerprint=heard)] * 2)
    assert ["pinned already" in str(each) for each in told].count(True) == 1
    assert read_site(bonn).coordinator is not None


def test_a_second_key_under_one_name_is_refused(
    coordinator: CoordinatorFolder, bonn: NodeFolder, tmp_path: Path
) -> None:
    approve(coordinator, request_bytes(make_request(bonn)))
    impostor = make_request(new_node(tmp_path / "impostor", "Bonn"))
    with pytest.raises(InvalidInput, match="other keys are approved"):
        approve(coordinator, request_bytes(impostor))


def test_one_key_under_two_names_is_refused(coordinator: CoordinatorFolder, bonn: NodeFolder) -> None:
    approve(coordinator, request_bytes(make_request(bonn)))
    (bonn.node / "request.json").unlink()
    bonn.settings.write_text(bonn.settings.read_text().replace('"Bonn"', '"Essen"'))
    with pytest.raises(InvalidInput, match="another name"):
        approve(coordinator, request_bytes(make_request(bonn)))


def test_approving_twice_is_the_same_answer(coordinator: CoordinatorFolder, bonn: NodeFolder) -> None:
    request = request_bytes(make_request(bonn))
    assert approve(coordinator, request) == approve(coordinator, request)


class Registry:
    def __init__(self) -> None:
        self.nodes: dict[bytes, int] = {}

    def node_ids(self) -> dict[bytes, int]:
        return dict(self.nodes)

    def register_node(self, public_key: bytes) -> int:
        assert public_key not in self.nodes
        self.nodes[public_key] = 2**64 - 1 - len(self.nodes)
        return self.nodes[public_key]

    def unregister_node(self, node_id: int) -> None:
        self.nodes = {key: known for key, known in self.nodes.items() if known != node_id}


def test_registration_may_be_repeated_and_follows_a_new_database(
    coordinator: CoordinatorFolder, bonn: NodeFolder
) -> None:
    approve(coordinator, request_bytes(make_request(bonn)))
    registry = Registry()
    first = settle_nodes(coordinator, registry)
    assert settle_nodes(coordinator, registry) == first == read_sites(coordinator)
    assert first["Bonn"].node_id == 2**64 - 1
    fresh = Registry()
    fresh.nodes[b"somebody"] = 1
    assert settle_nodes(coordinator, fresh)["Bonn"].node_id == 2**64 - 1
    assert b"somebody" not in fresh.nodes  # who is no member is no node


def test_two_that_register_at_once_wait_for_each_other(coordinator: CoordinatorFolder, bonn: NodeFolder) -> None:
    """`coordinator start` and `coordinator run`: both ask who is known before either has registered anybody."""
    approve(coordinator, request_bytes(make_request(bonn)))

    class Slow(Registry):
        def node_ids(self) -> dict[bytes, int]:
            found = super().node_ids()
            time.sleep(0.2)
            return found

    registry = Slow()
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(settle_nodes, coordinator, registry) for _ in range(2)]
        first, second = (each.result(timeout=10) for each in both)
    assert first == second == read_sites(coordinator)


def test_a_renamed_site_file_is_refused(coordinator: CoordinatorFolder, bonn: NodeFolder) -> None:
    approve(coordinator, request_bytes(make_request(bonn)))
    (coordinator.sites / "Bonn.json").rename(coordinator.sites / "Essen.json")
    hospitals = look_at(coordinator)
    assert (dict(hospitals.known), set(hospitals.damaged)) == ({}, {"Bonn", "Essen"})


def test_an_existing_key_is_never_replaced(coordinator: CoordinatorFolder) -> None:
    before = coordinator.ca_key.read_bytes()
    with pytest.raises(InvalidInput, match="exists already"):
        create_keys(coordinator, read_settings(coordinator), now=datetime.now(UTC))
    assert coordinator.ca_key.read_bytes() == before
    certificate = coordinator.server_certificate.read_bytes()
    renew_server_certificate(coordinator, read_settings(coordinator), now=datetime.now(UTC))
    assert coordinator.server_certificate.read_bytes() != certificate
    assert coordinator.ca_key.read_bytes() == before


def test_site_file_is_json_an_operator_can_read(coordinator: CoordinatorFolder, bonn: NodeFolder) -> None:
    approve(coordinator, request_bytes(make_request(bonn)))
    fields = json.loads((coordinator.sites / "Bonn.json").read_text())
    assert fields["site"] == "Bonn"
    assert fields["node_id"] is None
