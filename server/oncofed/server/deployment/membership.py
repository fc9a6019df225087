"""How does a hospital's membership change after it was approved? Suspended, readmitted, removed, with new keys.

Each is one change of the hospital's file, whole or not at all, and may be repeated. The gate looks at these files at
every request, so that a key counts no longer from that instant; the SuperLink takes the node off its list when
`enrolment.settle_nodes` runs next: at once when it is up, else at its start.

| from \\ to | suspend     | readmit | remove      | approve | rotate           |
|-----------|-------------|---------|-------------|---------|------------------|
| member    | suspended   | as it is | removed    | as it is | member, new keys |
| suspended | as it is    | member  | removed     | refused | member, new keys |
| removed   | refused     | refused | as it is    | member  | refused          |

Refuses to remove a hospital, or to replace its keys, while a study that names it is running: that study could not be
resumed. In an emergency `suspend` it, which works at any time: also when files of other hospitals are damaged.

Of a hospital whose own files are damaged nobody knows what was decided last, nor which keys it has: its key is refused
already, `suspend` and `remove` both make it removed, and the only way in again is a request of its, approved anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from oncofed.errors import Fault, InvalidInput
from oncofed.protocol.enrolment import EnrolmentRequest, member_of
from oncofed.server.deployment.enrolment import key_faults, of_request
from oncofed.server.deployment.folder import CoordinatorFolder
from oncofed.server.deployment.member_files import ApprovedSite, Standing, changing, decide, look_at
from oncofed.server.deployment.runs import shown, studies_at_work


def suspend(folder: CoordinatorFolder, name: str) -> ApprovedSite:
    """Its key counts for nothing until `readmit`; one whose own files are damaged is removed. Raises InvalidInput."""
    return _changed(folder, name, _to(Standing.SUSPENDED, refused=Standing.REMOVED), lets_in=False)


def readmit(folder: CoordinatorFolder, name: str) -> ApprovedSite:
    """A suspended hospital is a member again, with the keys it had. Raises InvalidInput."""
    return _changed(folder, name, _to(Standing.MEMBER, refused=Standing.REMOVED), lets_in=True)


def remove(folder: CoordinatorFolder, name: str) -> ApprovedSite:
    """Its key counts for nothing; a request of its may be approved anew. Raises InvalidInput."""

    def removed(site: ApprovedSite) -> ApprovedSite:
        if site.standing is not Standing.REMOVED:
            _refuse_while_running(folder, name)
        return replace(site, standing=Standing.REMOVED)

    return _changed(folder, name, removed, lets_in=False)


def rotate(folder: CoordinatorFolder, name: str, request: EnrolmentRequest) -> ApprovedSite:
    """The keys of this request count in place of the former ones. Raises InvalidInput.

    Who does this has compared the request's fingerprint with the hospital, by telephone, as for `enrolment.approve`.
    """

    def rotated(site: ApprovedSite) -> ApprovedSite:
        if request.site != name:
            raise InvalidInput([Fault("request", f"is of {request.site}, not of {name}", "Ask for the right file.")])
        if faults := key_faults(request, look_at(folder).copies):
            raise InvalidInput(faults)
        if site.standing is Standing.REMOVED:
            raise InvalidInput([_removed(name)])
        if site.member == member_of(request):
            return replace(site, standing=Standing.MEMBER)
        _refuse_while_running(folder, name)
        return of_request(request, before=site)

    return _changed(folder, name, rotated, lets_in=True)


def _changed(
    folder: CoordinatorFolder, name: str, change: Callable[[ApprovedSite], ApprovedSite], *, lets_in: bool
) -> ApprovedSite:
    with changing(folder):
        hospitals = look_at(folder)
        before = hospitals.known.get(name)
        if before is None and name in hospitals.damaged:
            copy = None if lets_in else hospitals.newest_copy(name)
            if copy is None:
                raise InvalidInput([hospitals.damaged[name]])
            former = {key for other in hospitals.copies if other.site == name for key in other.former_keys}
            removed = replace(change(copy), standing=Standing.REMOVED, former_keys=tuple(sorted(former)))
            return decide(folder, removed)
        if before is None:
            remedy = f"Known: {', '.join(sorted({*hospitals.known, *hospitals.damaged})) or 'none'}."
            raise InvalidInput([Fault("HOSPITAL", f'no hospital "{name}" was ever approved', remedy)])
        after = change(before)
        return before if after == before else decide(folder, after)


def _to(standing: Standing, *, refused: Standing) -> Callable[[ApprovedSite], ApprovedSite]:
    def changed(site: ApprovedSite) -> ApprovedSite:
        if site.standing is refused:
            raise InvalidInput([_removed(site.site)])
        return replace(site, standing=standing)

    return changed


def _removed(name: str) -> Fault:
    remedy = "Let it send a request, and approve it: oncofed coordinator approve COORD REQUEST --out ACCEPTANCE"
    return Fault(f"sites/{name}.json", "the hospital was removed", remedy)


def _refuse_while_running(folder: CoordinatorFolder, name: str) -> None:
    faults = [
        Fault(
            f"study {shown(folder, plan_hash)}",
            f"is running, and {name} is in it",
            f"Stop it first (oncofed coordinator stop COORD {shown(folder, plan_hash)}). It cannot be resumed "
            f"afterwards: sign a new plan. To take the hospital off at once: oncofed coordinator suspend COORD {name}",
        )
        for plan_hash in studies_at_work(folder, name)
    ]
    if faults:
        raise InvalidInput(faults)
