"""Which keys does a coordinator have, and how does a hospital know its server?

A certificate authority of the coordinator's own signs one server certificate; hospitals pin the authority when they
enrol, so neither the public authorities nor the operating system's list matter. Both are ECDSA P-256.

Promises: every private file is 0600 from its first byte, in a folder that is 0700. `create_keys` never replaces a key;
`renew_server_certificate` leaves the authority as it is, so that hospitals notice nothing.
"""

from __future__ import annotations

import ipaddress
import secrets
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from oncofed.errors import Fault, InvalidInput
from oncofed.protocol.signing import new_signing_key, public_key_of
from oncofed.secret_files import private_folder, read_secret, write_secret
from oncofed.server.deployment.folder import LOOPBACK, CoordinatorFolder, CoordinatorSettings, public_text

AUTHORITY_DAYS = 3650
SERVER_DAYS = 825
_CLOCK_SKEW = timedelta(hours=1)  # a hospital's clock may be behind


def create_keys(folder: CoordinatorFolder, settings: CoordinatorSettings, *, now: datetime) -> None:
    """Everything in keys/. Raises InvalidInput where a file exists."""
    private_folder(folder.keys)
    create_authority(folder, settings, now=now)
    _write_server_certificate(folder, settings, now=now)
    create_signing_key(folder)
    write_secret(folder.superexec_secret, secrets.token_bytes(32))
    write_secret(folder.admin_token, secrets.token_hex(32).encode())


def create_authority(folder: CoordinatorFolder, settings: CoordinatorSettings, *, now: datetime) -> None:
    """Its key, and the certificate that hospitals pin. Raises InvalidInput where there is a key."""
    key = ec.generate_private_key(ec.SECP256R1())
    write_secret(folder.ca_key, _private_pem(key))
    folder.ca_certificate.write_bytes(_authority(key, settings.name, now=now).public_bytes(Encoding.PEM))


def create_signing_key(folder: CoordinatorFolder) -> None:
    """What signs plans, questions and models. Raises InvalidInput where there is one."""
    signing_key = new_signing_key()
    write_secret(folder.signing_key, signing_key)
    folder.public_key.write_text(public_key_of(signing_key).hex() + "\n")


def authority_certificate(folder: CoordinatorFolder) -> bytes:
    """In PEM: by it the coordinator's own commands know their server. Raises InvalidInput."""
    content = public_text(folder.ca_certificate).encode()
    try:
        x509.load_pem_x509_certificate(content)
    except ValueError:
        remedy = "Restore it from a backup of keys/."
        raise InvalidInput([Fault(str(folder.ca_certificate), "is no certificate", remedy)]) from None
    return content


def renew_server_certificate(folder: CoordinatorFolder, settings: CoordinatorSettings, *, now: datetime) -> None:
    """A new server key and certificate of the same authority, for new names or a new period."""
    folder.server_key.unlink(missing_ok=True)
    _write_server_certificate(folder, settings, now=now)


def _write_server_certificate(folder: CoordinatorFolder, settings: CoordinatorSettings, *, now: datetime) -> None:
    try:
        authority_key = load_pem_private_key(read_secret(folder.ca_key), password=None)
    except ValueError:
        raise InvalidInput([Fault(str(folder.ca_key), "is no key", "Restore it from a backup of keys/.")]) from None
    assert isinstance(authority_key, ec.EllipticCurvePrivateKey)
    authority = x509.load_pem_x509_certificate(authority_certificate(folder))
    key = ec.generate_private_key(ec.SECP256R1())
    names = list(dict.fromkeys((*settings.names, "localhost", LOOPBACK)))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_name(settings.names[0] if settings.names else "localhost"))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + timedelta(days=SERVER_DAYS))
        .add_extension(x509.SubjectAlternativeName([_alternative(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    write_secret(folder.server_key, _private_pem(key))
    folder.server_certificate.write_bytes(certificate.public_bytes(Encoding.PEM))


def _authority(key: ec.EllipticCurvePrivateKey, name: str, *, now: datetime) -> x509.Certificate:
    subject = _name(f"oncofed {name}"[:64])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + timedelta(days=AUTHORITY_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
