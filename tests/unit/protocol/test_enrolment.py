"""Do the enrolment files say who holds which key, and refuse everything that was changed on its way?"""

from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.end_to_end.flower_processes import new_coordinator

from oncofed.errors import InvalidInput, SignatureInvalid
from oncofed.protocol.enrolment import (
    Acceptance,
    EnrolmentRequest,
    acceptance_bytes,
    fingerprint,
    new_acceptance,
    new_request,
    read_acceptance,
    read_request,
    request_bytes,
    same_fingerprint,
)
from oncofed.protocol.signing import new_signing_key, public_key_of

NODE_KEY = ec.generate_private_key(ec.SECP384R1()).private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
SIGNING_KEY = new_signing_key()
ANSWER_KEY = public_key_of(new_signing_key())


@pytest.fixture(scope="module")
def request_file() -> EnrolmentRequest:
    return new_request("Bonn", node_private_key=NODE_KEY, answer_public_key=ANSWER_KEY)


@pytest.fixture(scope="module")
def acceptance(request_file: EnrolmentRequest, certificate: str) -> Acceptance:
    return new_acceptance(
        request_file, coordinator_address="c.example:9443", ca_certificate=certificate, signing_key=SIGNING_KEY
    )


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> str:
    return new_coordinator(tmp_path_factory.mktemp("c") / "c").ca_certificate.read_text()


def changed(content: bytes, key: str, value: object) -> bytes:
    fields = json.loads(content)
    fields[key] = value
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()


def test_a_request_comes_back(request_file: EnrolmentRequest) -> None:
    assert read_request(request_bytes(request_file)) == request_file
    assert read_request(request_bytes(request_file) + b"\r\n") == request_file


def test_a_request_under_another_name_has_no_proof(request_file: EnrolmentRequest) -> None:
    with pytest.raises(SignatureInvalid):
        read_request(changed(request_bytes(request_file), "site", "Essen"))


def test_a_request_for_anothers_answer_key_has_no_proof(request_file: EnrolmentRequest) -> None:
    """Or its answers would be signed by somebody else."""
    other = public_key_of(new_signing_key()).hex()
    with pytest.raises(SignatureInvalid):
        read_request(changed(request_bytes(request_file), "answer_public_key", other))
    with pytest.raises(InvalidInput, match="answer_public_key"):
        read_request(changed(request_bytes(request_file), "answer_public_key", "4711"))


def test_a_request_for_anothers_key_has_no_proof(request_file: EnrolmentRequest) -> None:
    other = new_request(
        "Bonn",
        node_private_key=ec.generate_private_key(ec.SECP384R1()).private_bytes(
            Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()
        ),
        answer_public_key=ANSWER_KEY,
    )
    with pytest.raises(SignatureInvalid):
        read_request(changed(request_bytes(request_file), "node_public_key", other.node_public_key))


@pytest.mark.parametrize("name", ["", "../x", "a/b", "-x", "a b", "x" * 65, "Köln"])
def test_names_that_are_no_file_names_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="site"):
        new_request(name, node_private_key=NODE_KEY, answer_public_key=ANSWER_KEY)


def test_other_kinds_of_keys_are_refused() -> None:
    for key in (ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1())):
        private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
        with pytest.raises(InvalidInput, match="P-384"):
            new_request("Bonn", node_private_key=private, answer_public_key=ANSWER_KEY)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"null", b"[" * 10_000, b"x" * 100_000])
def test_other_files_are_refused(content: bytes) -> None:
    for read in (read_request, read_acceptance):
        with pytest.raises(InvalidInput):
            read(content)


def test_only_the_canonical_form_is_read(request_file: EnrolmentRequest) -> None:
    content = request_bytes(request_file)
    for other in (b" " + content, json.dumps(json.loads(content)).encode(), changed(content, "extra", "1")):
        with pytest.raises(InvalidInput):
            read_request(other)


def test_an_acceptance_comes_back(acceptance: Acceptance, request_file: EnrolmentRequest) -> None:
    assert read_acceptance(acceptance_bytes(acceptance)) == acceptance
    assert acceptance.request_fingerprint == fingerprint(request_bytes(request_file))


@pytest.mark.parametrize("key", ["site", "coordinator_address", "coordinator_public_key", "request_fingerprint"])
def test_a_changed_acceptance_is_refused(acceptance: Acceptance, key: str) -> None:
    value = {"coordinator_public_key": "00" * 32, "coordinator_address": "evil.example:9443"}.get(key, "Essen")
    with pytest.raises(SignatureInvalid):
        read_acceptance(changed(acceptance_bytes(acceptance), key, value))


@pytest.mark.parametrize("address", ["evil", "evil:0", "evil:99999", "https://evil:1", "evil:1\n[users]"])
def test_an_address_is_host_and_port(request_file: EnrolmentRequest, certificate: str, address: str) -> None:
    with pytest.raises(InvalidInput, match="host:port"):
        new_acceptance(request_file, coordinator_address=address, ca_certificate=certificate, signing_key=SIGNING_KEY)


def test_fingerprints_are_compared_as_they_are_said() -> None:
    told = fingerprint(b"x")
    assert len(told.split()) == 8
    assert same_fingerprint(told, told.upper().replace(" ", "-"))
    assert not same_fingerprint(told, told[:-1])
    assert not same_fingerprint(told, fingerprint(b"y"))
    assert not same_fingerprint("", "")
