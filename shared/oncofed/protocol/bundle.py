"""What does a coordinator send to run at a hospital? A bundle (FAB) of one pyproject.toml that names installed code.

Promises: the same bytes on every machine that has the same version of oncofed: fixed dates, no compression (its
bytes differ between versions of zlib), no paths. Its SHA-256 stands in the study plan, and hospitals list it in
NODE/bundles.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import zipfile

RELAY_APP = "oncofed.client.relay.app:app"
SERVER_APP = "oncofed.server.flower.server_app:app"
PLAN_HASH = "plan-hash"
"""The one key of the run's configuration."""

_DATE = (2024, 10, 1, 0, 0, 0)
_UNIX = 3


def build_bundle(*, version: str | None = None, server_app: str = SERVER_APP, client_app: str = RELAY_APP) -> bytes:
    """The bundle of this version of oncofed; the others are for tests that bring apps of their own."""
    content = _PYPROJECT.format(
        version=version or importlib.metadata.version("oncofed"), server_app=server_app, client_app=client_app
    ).encode()
    manifest = f"pyproject.toml,{hashlib.sha256(content).hexdigest()},{len(content) * 8}".encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in (("pyproject.toml", content), (".info/CONTENT", manifest)):
            entry = zipfile.ZipInfo(name, _DATE)
            entry.create_system = _UNIX
            entry.external_attr = 0o600 << 16
            archive.writestr(entry, data)
    return buffer.getvalue()


def bundle_hash(bundle: bytes) -> str:
    """SHA-256, hexadecimal."""
    return hashlib.sha256(bundle).hexdigest()


def bundle_sha256() -> str:
    """Of this version's bundle; goes into the study plan."""
    return bundle_hash(build_bundle())


_PYPROJECT = """\
[project]
name = "oncofed"
version = "{version}"
description = "Names code that each hospital has installed itself; brings none."
license = "Apache-2.0"

[tool.flwr.app]
publisher = "oncofed"

[tool.flwr.app.components]
serverapp = "{server_app}"
clientapp = "{client_app}"

[tool.flwr.app.config]
plan-hash = ""
"""
