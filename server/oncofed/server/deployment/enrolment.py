"""Which hospitals may connect, and which node of Flower's is which hospital?

`member_files` keeps what was decided about each; it is written when a request is approved, and changed by `membership`
as long as the hospital is known. The SuperLink learns of the keys while it runs: `settle_nodes` makes it know those of
members and no others, and sites/<name>.json then holds the node id too.

Refuses: other keys under a name in use, one key under two names, a key that was replaced by another one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Protocol

from oncofed.errors import Fault, InvalidInput
from oncofed.protocol.enrolment import (
    Acceptance,
    EnrolmentRequest,
    coordinator_fingerprint,
    fingerprint,
    flower_public_key,
    member_of,
    new_acceptance,
    read_request,
    request_bytes,
)
from oncofed.protocol.plan import Member
from oncofed.secret_files import read_signing_key
from oncofed.server.deployment.folder import CoordinatorFolder, coordinator_public_key, public_text, read_settings
from oncofed.server.deployment.member_files import (
    ApprovedSite,
    Hospitals,
    Standing,
    changing,
    decide,
    look_at,
    mend,
    read_members,
    settling,
)


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
        hospitals = look_at(folder)
        faults = key_faults(request, hospitals.copies)
        if request.site in hospitals.damaged:
            faults.append(hospitals.damaged[request.site])
        before = hospitals.known.get(request.site)
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
            ca_certificate=own_authority(folder),
            signing_key=read_signing_key(folder.signing_key),
        )
        if before is None or not before.is_member:
            decide(folder, of_request(request, before=before))
    return acceptance


def key_faults(request: EnrolmentRequest, copies: Iterable[ApprovedSite]) -> list[Fault]:
    """Whether the node key is another hospital's, or was replaced before."""
    key, remedy = request.node_public_key, "Ask for a request with a new key."
    found = set()
    for copy in copies:
        if copy.site != request.site and key in (copy.node_public_key, *copy.former_keys):
            found.add(Fault(f"sites/{copy.site}.json", "this key belongs to another name already", remedy))
        if copy.site == request.site and key in copy.former_keys:
            found.add(Fault(f"sites/{copy.site}.json", "this key was replaced by another one", remedy))
    return sorted(found)


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
        ca_certificate=own_authority(folder), coordinator_public_key=coordinator_public_key(folder).hex()
    )


def own_authority(folder: CoordinatorFolder) -> str:
    """As it was written, with the newline at its end: fingerprints are of exactly this text."""
    return public_text(folder.ca_certificate) + "\n"


def member_fault(member: Member, hospitals: Hospitals) -> Fault | None:
    """Why a study of a plan that names this member cannot go on; None when it can."""
    name, site = member.site, hospitals.known.get(member.site)
    sign_anew = "sign the study again without it."
    if name in hospitals.damaged:
        return hospitals.damaged[name]
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

    A copy of a decision that is older, or that an earlier version did not keep, is written again.

    Safe to repeat, also by two at once.
    """
    with settling(folder):
        known = dict(registry.node_ids())
        keys = {name: flower_public_key(site.node_public_key) for name, site in read_members(folder).items()}
        for key in known.keys() - set(keys.values()):
            registry.unregister_node(known[key])
        for key in set(keys.values()) - known.keys():
            known[key] = registry.register_node(key)
        with changing(folder):  # while the SuperLink answered, somebody may have changed a membership
            for name, site in look_at(folder).known.items():
                key = flower_public_key(site.node_public_key)
                node_id = known.get(key) if site.is_member and keys.get(name) == key else None
                mend(folder, replace(site, node_id=node_id))
            return read_members(folder)
