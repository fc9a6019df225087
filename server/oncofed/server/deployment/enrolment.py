"""Which hospitals may connect, and which node of Flower's is which hospital?

One file a hospital, sites/<name>.json, written when a request is approved, and changed by `membership` as long as the
hospital is known. The SuperLink learns of the keys while it runs: `settle_nodes` makes it know those of members and no
others, and the file then holds the node id too.

Refuses: other keys under a name in use, one key under two names, a key that was replaced by another one.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
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
    is_node_key,
    member_of,
    new_acceptance,
    read_request,
    request_bytes,
)
from oncofed.protocol.plan import Member
from oncofed.secret_files import read_secret
from oncofed.server.deployment.folder import CoordinatorFolder, read_settings


class Standing(StrEnum):
    """MEMBER  its key may speak to the SuperLink, and plans may name it. SUSPENDED: neither, until it is readmitted.

    REMOVED  neither, until a request of its is approved anew.
    """

    MEMBER = "member"
    SUSPENDED = "suspended"
    REMOVED = "removed"


@dataclass(frozen=True)
class ApprovedSite:
    """node_id  Flower's, None unless the key is registered with the SuperLink.

    former_keys  node keys that it had before: nobody's, for good.
    """

    site: str
    node_public_key: str
    answer_public_key: str
    request_fingerprint: str
    node_id: int | None = None
    standing: Standing = Standing.MEMBER
    former_keys: tuple[str, ...] = ()

    @property
    def member(self) -> Member:
        """As plans name it."""
        return Member(self.site, self.node_public_key, self.answer_public_key)

    @property
    def is_member(self) -> bool:
        return self.standing is Standing.MEMBER


class NodeRegistry(Protocol):
    """The part of `control.Control` that enrolment needs."""

    def node_ids(self) -> Mapping[bytes, int]:
        """Node ids by public key (PEM)."""

    def register_node(self, public_key: bytes) -> int:
        """Let the holder of this key (PEM) connect."""

    def unregister_node(self, node_id: int) -> None:
        """Let it connect no longer; fine where it could not."""


def approve(folder: CoordinatorFolder, request_content: bytes) -> Acceptance:
    """Verify a request, note the hospital, and answer. The same request twice gives the same answer.

    Who approves has compared `fingerprint` of the request with the hospital, by telephone. A hospital that was removed
    is a member again, with the keys that it asks with.
    """
    request = read_request(request_content)
    with changing(folder):
        known = read_sites(folder)
        faults = key_faults(request, known)
        before = known.get(request.site)
        where = f"sites/{request.site}.json"
        if before is not None and before.standing is Standing.SUSPENDED:
            remedy = f"oncofed coordinator readmit COORD {request.site}"
            faults.append(Fault(where, "the hospital is suspended", remedy))
        elif before is not None and before.is_member and before.member != member_of(request):
            what = "other keys are approved under this name"
            remedy = (
                "Ask the hospital by telephone; if its keys are new: "
                f"oncofed coordinator rotate COORD {request.site} REQUEST"
            )
            faults.append(Fault(where, what, remedy))
        if faults:
            raise InvalidInput(faults)
        settings = read_settings(folder)
        acceptance = new_acceptance(
            request,
            coordinator_address=settings.address,
            ca_certificate=folder.ca_certificate.read_text(),
            signing_key=read_secret(folder.signing_key),
        )
        if before is None or not before.is_member:
            write_site(folder, of_request(request, before=before))
    return acceptance


def key_faults(request: EnrolmentRequest, known: Mapping[str, ApprovedSite]) -> list[Fault]:
    """Whether the node key is another hospital's, or was replaced before."""
    key, remedy = request.node_public_key, "Ask for a request with a new key."
    faults = [
        Fault(f"sites/{other.site}.json", "this key belongs to another name already", remedy)
        for other in known.values()
        if other.site != request.site and key in (other.node_public_key, *other.former_keys)
    ]
    own = known.get(request.site)
    if own is not None and key in own.former_keys:
        faults.append(Fault(f"sites/{request.site}.json", "this key was replaced by another one", remedy))
    return faults


def of_request(request: EnrolmentRequest, *, before: ApprovedSite | None) -> ApprovedSite:
    """A member with the keys of its request. before: what was known of it."""
    former = () if before is None else before.former_keys
    if before is not None and before.node_public_key != request.node_public_key:
        former = (*former, before.node_public_key)
    return ApprovedSite(
        request.site,
        request.node_public_key,
        request.answer_public_key,
        fingerprint(request_bytes(request)),
        former_keys=former,
    )


def own_fingerprint(folder: CoordinatorFolder) -> str:
    """What a hospital compares before it accepts."""
    return coordinator_fingerprint(
        ca_certificate=folder.ca_certificate.read_text(), coordinator_public_key=folder.public_key.read_text().strip()
    )


def read_sites(folder: CoordinatorFolder) -> dict[str, ApprovedSite]:
    """All hospitals that were ever approved, by name, in the order of their names. Raises InvalidInput."""
    sites = {}
    for path in sorted(folder.sites.glob("*.json")):
        site = read_site(path)
        if site.site != path.stem:
            raise InvalidInput([Fault(str(path), "holds another hospital's name", "Restore the file's own name.")])
        sites[site.site] = site
    return sites


def read_members(folder: CoordinatorFolder) -> dict[str, ApprovedSite]:
    """Those that may take part. Raises InvalidInput."""
    return {name: site for name, site in read_sites(folder).items() if site.is_member}


def last_change(folder: CoordinatorFolder) -> int:
    """Differs after each change of a membership."""
    return folder.sites.stat().st_mtime_ns if folder.sites.exists() else 0


def member_fault(member: Member, sites: Mapping[str, ApprovedSite]) -> Fault | None:
    """Why a study of a plan that names this member cannot go on; None when it can."""
    name, site = member.site, sites.get(member.site)
    sign_anew = "sign the study again without it."
    if site is None:
        return Fault("plan", f"{name} is not enrolled", f"Approve its request, or {sign_anew}")
    if site.standing is Standing.REMOVED:
        return Fault("plan", f"{name} was removed", f"Approve its request anew, or {sign_anew}")
    if site.standing is Standing.SUSPENDED:
        return Fault("plan", f"{name} is suspended", f"oncofed coordinator readmit COORD {name}, or {sign_anew}")
    if site.member != member:
        return Fault("plan", f"{name} is not enrolled with the keys that the plan names", "Sign the study again.")
    return None


def settle_nodes(folder: CoordinatorFolder, registry: NodeRegistry) -> dict[str, ApprovedSite]:
    """Make the SuperLink know the key of each member and no other, and note the node ids; the members.

    Safe to repeat, also by two at once.
    """
    with _one_at_a_time(folder):
        known = dict(registry.node_ids())
        keys = {name: flower_public_key(site.node_public_key) for name, site in read_members(folder).items()}
        for key in known.keys() - set(keys.values()):
            registry.unregister_node(known[key])
        for key in set(keys.values()) - known.keys():
            known[key] = registry.register_node(key)
        with changing(folder):  # while the SuperLink answered, somebody may have changed a membership
            for name, site in read_sites(folder).items():
                key = flower_public_key(site.node_public_key)
                node_id = known.get(key) if site.is_member and keys.get(name) == key else None
                if node_id != site.node_id:
                    write_site(folder, replace(site, node_id=node_id))
            return read_members(folder)


def _one_at_a_time(folder: CoordinatorFolder) -> AbstractContextManager[None]:
    """`coordinator start` and `coordinator run` settle at the same moment."""
    return _locked(folder.sites / ".settling")


def changing(folder: CoordinatorFolder) -> AbstractContextManager[None]:
    """Whoever reads what stands in sites/ to change it does so inside; never for long."""
    return _locked(folder.sites / ".changing")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write_site(folder: CoordinatorFolder, site: ApprovedSite) -> None:
    """Inside `changing`."""
    path = folder.sites / f"{site.site}.json"
    replace_durably(path, json.dumps(asdict(site), indent=2, sort_keys=True).encode() + b"\n")


def read_site(path: Path) -> ApprovedSite:
    """One hospital's file. Raises InvalidInput."""
    try:
        entries = json.loads(path.read_bytes())
        site = ApprovedSite(
            **{
                **entries,
                "standing": Standing(entries.get("standing", Standing.MEMBER)),
                "former_keys": tuple(entries.get("former_keys", ())),
            }
        )
        texts = [getattr(site, name) for name in _TEXTS]
        sound = all(type(text) is str for text in (*texts, *site.former_keys))
        sound = sound and (site.node_id is None or type(site.node_id) is int) and is_node_key(site.node_public_key)
    except (OSError, ValueError, TypeError, AttributeError):
        sound = False
    if not sound:
        remedy = "Restore it from a backup; without one, take it out of the folder and approve the hospital anew."
        raise InvalidInput([Fault(str(path), "cannot be read", remedy)])
    return site


_TEXTS = [field.name for field in fields(ApprovedSite) if field.type == "str"]
