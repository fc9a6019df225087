"""What do a hospital and the coordinator exchange before the first connection, so that each knows the other's keys?

Like a certificate request. The hospital makes its node key, which never leaves it, and sends a **request**: its name,
the public key, that of its guard, and a signature that proves it holds the private one. The coordinator approves and
sends back an **acceptance**: its address, its CA certificate, its Ed25519 public key, and the fingerprint of the
request it answers, signed. Both are one canonical JSON object; neither holds a secret, so both may travel by mail.

Promises: a fingerprint is SHA-256 of the canonical bytes, cut to 128 bits and grouped for reading out on the telephone.
`coordinator_fingerprint` covers what the hospital pins (name aside) and is the same for every hospital.

Refuses, with InvalidInput: anything that is not the canonical form, keys other than ECDSA P-384 (Flower's SuperNode
takes elliptic curves only), names that could not be a file name. With SignatureInvalid: a proof or a signature that
does not fit. Imports no torch.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_ssh_private_key,
    load_ssh_public_key,
)

from oncofed.errors import Fault, InvalidInput, SignatureInvalid
from oncofed.protocol.plan import Member
from oncofed.protocol.signing import public_key_of, sign, verify
from oncofed.texts import text_faults

LARGEST_BYTES = 64 * 1024
_LARGEST_PORT = 65535
ADDRESS = re.compile(r"(?P<host>[A-Za-z0-9][A-Za-z0-9.-]{0,252}|\[[0-9A-Fa-f:.]{2,45}\]):(?P<port>[1-9][0-9]{0,4})")

"""Of IPv6 in brackets: [2001:db8::7]:9443. Whether it is one `is_address` says."""

_REQUEST_FORMAT = "oncofed-enrolment-request-3"
_ACCEPTANCE_FORMAT = "oncofed-enrolment-acceptance-1"
_PROOF_CONTEXT = b"oncofed enrolment request 3\n"
_ACCEPTANCE_CONTEXT = "enrolment acceptance"


def is_address(text: str) -> bool:
    """Whether it is `host:port`: a name, an IPv4 address, or an IPv6 address in brackets."""
    match = ADDRESS.fullmatch(text)
    if match is None or int(match["port"]) > _LARGEST_PORT:
        return False
    if not match["host"].startswith("["):
        return True
    try:
        ipaddress.IPv6Address(match["host"].strip("[]"))
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class EnrolmentRequest:
    """site                the name the hospital will have in every roster.
    node_public_key     one line, OpenSSH, without comment.
    answer_public_key   Ed25519 of the hospital's guard, hexadecimal: signs every answer of the hospital's.
    proof               ECDSA-SHA384 with the node's private key over the others, hexadecimal.
    """

    site: str
    node_public_key: str
    answer_public_key: str
    proof: str


@dataclass(frozen=True)
class Acceptance:
    """coordinator_address      host:port that hospitals connect to.
    ca_certificate           PEM; the only authority the node will trust.
    coordinator_public_key   Ed25519, hexadecimal: signs study plans and models.
    request_fingerprint      of the request this answers.
    signature                with the coordinator's key over all the others, hexadecimal.
    """

    site: str
    coordinator_address: str
    ca_certificate: str
    coordinator_public_key: str
    request_fingerprint: str
    signature: str


def new_request(site: str, *, node_private_key: bytes, answer_public_key: bytes) -> EnrolmentRequest:
    """The request of the holder of an OpenSSH private key. Raises InvalidInput for an unusable name or key."""
    key = load_node_key(node_private_key)
    unproved = EnrolmentRequest(
        site=site,
        node_public_key=openssh_line(key.public_key()),
        answer_public_key=answer_public_key.hex(),
        proof="",
    )
    proof = key.sign(_proved(unproved), ec.ECDSA(hashes.SHA384())).hex()
    return read_request(request_bytes(replace(unproved, proof=proof)))


def member_of(request: EnrolmentRequest) -> Member:
    """The hospital as plans name it."""
    return Member(request.site, request.node_public_key, request.answer_public_key)


def request_bytes(request: EnrolmentRequest) -> bytes:
    """The canonical form."""
    return _canonical({"format": _REQUEST_FORMAT, **asdict(request)})


def read_request(content: bytes) -> EnrolmentRequest:
    """A request whose sender holds the private key. Raises InvalidInput and SignatureInvalid."""
    fields = _read(content, format_=_REQUEST_FORMAT, keys=EnrolmentRequest.__dataclass_fields__)
    request = EnrolmentRequest(**fields)
    faults = text_faults(request, where="request")
    key = _public_key(request.node_public_key)
    if key is None or openssh_line(key) != request.node_public_key:
        faults.append(
            Fault("request, node_public_key", "is not an ECDSA P-384 key in OpenSSH form", "Make the request anew.")
        )
    if faults:
        raise InvalidInput(faults)
    assert key is not None
    try:
        key.verify(bytes.fromhex(request.proof), _proved(request), ec.ECDSA(hashes.SHA384()))
    except (InvalidSignature, ValueError):
        raise SignatureInvalid("the request's proof does not fit its key: it was changed on its way") from None
    return request


def new_acceptance(
    request: EnrolmentRequest, *, coordinator_address: str, ca_certificate: str, signing_key: bytes
) -> Acceptance:
    """The coordinator's answer to a request it approves."""
    return acceptance_of(
        request.site,
        fingerprint(request_bytes(request)),
        coordinator_address=coordinator_address,
        ca_certificate=ca_certificate,
        signing_key=signing_key,
    )


def acceptance_of(
    site: str, request_fingerprint: str, *, coordinator_address: str, ca_certificate: str, signing_key: bytes
) -> Acceptance:
    """The same for a request of which the fingerprint is known: a hospital's that is a member."""
    unsigned = Acceptance(
        site=site,
        coordinator_address=coordinator_address,
        ca_certificate=ca_certificate,
        coordinator_public_key=public_key_of(signing_key).hex(),
        request_fingerprint=request_fingerprint,
        signature="",
    )
    signature = sign(signing_key, context=_ACCEPTANCE_CONTEXT, message=_signed(unsigned)).hex()
    return read_acceptance(acceptance_bytes(Acceptance(**{**asdict(unsigned), "signature": signature})))


def acceptance_bytes(acceptance: Acceptance) -> bytes:
    """The canonical form."""
    return _canonical({"format": _ACCEPTANCE_FORMAT, **asdict(acceptance)})


def read_acceptance(content: bytes) -> Acceptance:
    """An acceptance signed with the key it names. That this key is the coordinator's is for its fingerprint to say.

    Raises InvalidInput and SignatureInvalid.
    """
    acceptance = Acceptance(**_read(content, format_=_ACCEPTANCE_FORMAT, keys=Acceptance.__dataclass_fields__))
    faults = text_faults(acceptance, where="acceptance")
    if not is_address(acceptance.coordinator_address):
        faults.append(Fault("acceptance, coordinator_address", "is not host:port", "Ask for a new acceptance."))
    try:
        x509.load_pem_x509_certificate(acceptance.ca_certificate.encode())
    except ValueError:
        faults.append(Fault("acceptance, ca_certificate", "is not a PEM certificate", "Ask for a new acceptance."))
    if not re.fullmatch(r"[0-9a-f]{128}", acceptance.signature):
        faults.append(Fault("acceptance, signature", "is not a signature", "Ask for a new acceptance."))
    if faults:
        raise InvalidInput(faults)
    verify(
        bytes.fromhex(acceptance.coordinator_public_key),
        context=_ACCEPTANCE_CONTEXT,
        message=_signed(acceptance),
        signature=bytes.fromhex(acceptance.signature),
    )
    return acceptance


def fingerprint(content: bytes) -> str:
    """For the telephone: eight groups of four hexadecimal digits."""
    digits = hashlib.sha256(content).hexdigest()[:32]
    return in_groups(digits)


def in_groups(digits: str) -> str:
    """For reading out: groups of four."""
    return " ".join(digits[start : start + 4] for start in range(0, len(digits), 4))


def coordinator_fingerprint(*, ca_certificate: str, coordinator_public_key: str) -> str:
    """Of what a hospital pins; the coordinator may publish it."""
    return fingerprint(_canonical({"ca": ca_certificate, "public_key": coordinator_public_key}))


def same_fingerprint(one: str, other: str) -> bool:
    """Whether two fingerprints are the same, however they were typed."""
    return _digits(one) == _digits(other) and len(_digits(one)) == 32


def load_node_key(content: bytes) -> ec.EllipticCurvePrivateKey:
    """The node's private key. Raises InvalidInput when it is not an unencrypted OpenSSH ECDSA P-384 key."""
    try:
        key = load_ssh_private_key(content, password=None)
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP384R1):
        raise InvalidInput(
            [Fault("node key", "is not an unencrypted OpenSSH ECDSA P-384 key", "Let `oncofed site request` make one.")]
        )
    return key


def openssh_line(key: ec.EllipticCurvePublicKey) -> str:
    """The public key on one line, without comment."""
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def is_node_key(line: str) -> bool:
    """Whether `flower_public_key` can read it."""
    return _public_key(line) is not None


def flower_public_key(openssh: str) -> bytes:
    """The same public key as Flower's SuperLink stores it: PEM, SubjectPublicKeyInfo."""
    key = _public_key(openssh)
    assert key is not None, "only keys that read_request let through get here"
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _public_key(line: str) -> ec.EllipticCurvePublicKey | None:
    try:
        key = load_ssh_public_key(line.encode())
    except (ValueError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP384R1) else None


def _proved(request: EnrolmentRequest) -> bytes:
    return _PROOF_CONTEXT + _canonical({key: value for key, value in asdict(request).items() if key != "proof"})


def _signed(acceptance: Acceptance) -> bytes:
    return _canonical({key: value for key, value in asdict(acceptance).items() if key != "signature"})


def _canonical(fields: Mapping[str, str]) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def _read(content: bytes, *, format_: str, keys: Mapping[str, object]) -> dict[str, str]:
    fields: object = None
    if len(content) <= LARGEST_BYTES:
        try:
            fields = json.loads(content)
        except (ValueError, RecursionError):
            fields = None
    if (
        not isinstance(fields, dict)
        or fields.keys() != {"format", *keys}
        or fields["format"] != format_
        or not all(type(value) is str for value in fields.values())
        # A mail program may have added the line's end; nothing else may differ.
        or _canonical(fields) != content.rstrip(b"\r\n")
    ):
        raise InvalidInput(
            [Fault("enrolment file", f"is not an {format_} file", "Ask for it again, as an attachment.")]
        )
    return {key: value for key, value in fields.items() if key != "format"}


def _digits(text: str) -> str:
    return "".join(character for character in text.lower() if character in "0123456789abcdef")
