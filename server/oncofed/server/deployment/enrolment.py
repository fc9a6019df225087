"""Which hospitals may connect, and which node of Flower's is which hospital?

One file a hospital, sites/<name>.json, written when a request is approved; the SuperLink learns of the key when it
runs (`register_approved`), and the file then holds the node id too.

Refuses: a second key under a name in use, one key under two names. Taking a hospital off, or replacing its key, is the
removal of its file by hand and a word with the hospital.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol

from oncofed.durable import replace_durably
from oncofed.errors import Fault, InvalidInput
from oncofed.protocol.enrolment import (
    Acceptance,
    EnrolmentRequest,
    coordinator_fingerprint,
    fingerprint,
    flower_public_key,
    new_acceptance,
    read_request,
    request_bytes,
)
from oncofed.protocol.plan import Member
from oncofed.secret_files import read_secret
from oncofed.server.deployment.folder import CoordinatorFolder, read_settings


@dataclass(frozen=True)
class ApprovedSite:
    """node_id  Flower's, None until the key is registered with the SuperLink."""

    site: str
    node_public_key: str
    answer_public_key: str
    request_fingerprint: str
    node_id: int | None = None

    @property
    def member(self) -> Member:
        """As plans name it."""
        return Member(self.site, self.node_public_key, self.answer_public_key)


class NodeRegistry(Protocol):
    """The part of `control.Control` that enrolment needs."""

    def node_ids(self) -> Mapping[bytes, int]:
        """Node ids by public key (PEM)."""

    def register_node(self, public_key: bytes) -> int:
        """Let the holder of this key (PEM) connect."""


def approve(folder: CoordinatorFolder, request_content: bytes) -> Acceptance:
    """Verify a request, note the hospital, and answer. The same request twice gives the same answer.

    Who approves has compared `fingerprint` of the request with the hospital, by telephone.
    """
    request = read_request(request_content)
    known = read_sites(folder)
    faults = [
        Fault(f"sites/{other.site}.json", "this key belongs to another name already", "Ask for a new key.")
        for other in known.values()
        if other.node_public_key == request.node_public_key and other.site != request.site
    ]
    before = known.get(request.site)
    if before is not None and before.node_public_key != request.node_public_key:
        faults.append(
            Fault(
                f"sites/{request.site}.json",
                "another key is approved under this name",
                "Ask the hospital by telephone; if it has a new key, remove the file and approve again.",
            )
        )
    if faults:
        raise InvalidInput(faults)
    settings = read_settings(folder)
    acceptance = new_acceptance(
        request,
        coordinator_address=settings.address,
        ca_certificate=folder.ca_certificate.read_text(),
        signing_key=read_secret(folder.signing_key),
    )
    if before is None:
        _write_site(folder, _approved(request))
    return acceptance


def _approved(request: EnrolmentRequest) -> ApprovedSite:
    return ApprovedSite(
        request.site,
        request.node_public_key,
        request.answer_public_key,
        fingerprint(request_bytes(request)),
    )


def own_fingerprint(folder: CoordinatorFolder) -> str:
    """What a hospital compares before it accepts."""
    return coordinator_fingerprint(
        ca_certificate=folder.ca_certificate.read_text(), coordinator_public_key=folder.public_key.read_text().strip()
    )


def read_sites(folder: CoordinatorFolder) -> dict[str, ApprovedSite]:
    """All approved hospitals by name, in the order of their names."""
    sites = {}
    for path in sorted(folder.sites.glob("*.json")):
        site = _read_site(path)
        if site.site != path.stem:
            raise InvalidInput([Fault(str(path), "holds another hospital's name", "Restore the file's own name.")])
        sites[site.site] = site
    return sites


def register_approved(folder: CoordinatorFolder, registry: NodeRegistry) -> dict[str, ApprovedSite]:
    """Make the SuperLink know each approved key, and note the node ids. Safe to repeat, also by two at once."""
    folder.sites.mkdir(parents=True, exist_ok=True)
    with _one_at_a_time(folder.sites):
        known = registry.node_ids()
        sites = {}
        for name, site in read_sites(folder).items():
            key = flower_public_key(site.node_public_key)
            node_id = known[key] if key in known else registry.register_node(key)
            sites[name] = replace(site, node_id=node_id)
            if sites[name] != site:
                _write_site(folder, sites[name])
        return sites


@contextmanager
def _one_at_a_time(sites: Path) -> Iterator[None]:
    """`coordinator start` and `coordinator run` register at the same moment, and both write the same files."""
    descriptor = os.open(sites, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write_site(folder: CoordinatorFolder, site: ApprovedSite) -> None:
    folder.sites.mkdir(parents=True, exist_ok=True)
    path = folder.sites / f"{site.site}.json"
    replace_durably(path, json.dumps(asdict(site), indent=2, sort_keys=True).encode() + b"\n")


def _read_site(path: Path) -> ApprovedSite:
    try:
        site = ApprovedSite(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        raise InvalidInput([Fault(str(path), "cannot be read", "Remove it and approve the hospital anew.")]) from None
    return site
