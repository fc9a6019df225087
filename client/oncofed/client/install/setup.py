"""What must stand on a hospital's disk before its node can start, and whose is it?

`create` lays the folder out with a policy that allows nothing yet; `hand_over` gives every part to the user it belongs
to, and takes it from all others. Both may be repeated: what exists is kept, and rights are set again; of two halves of
the relay's token that do not fit, neither is of use, and both are made anew. Of several at once one makes the node.

Refuses: an existing node of another name; names and users that could not work later, before anything is made; to make a
new ledger where an old one must have been; to go on as somebody who is neither root nor the part's own user.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from oncofed.client.guard.token import fits, new_token, read_digits, token_sha256
from oncofed.client.install.folder import NodeFolder, NodeUsers, SiteSettings, read_site
from oncofed.client.install.set_up_alone import set_up_alone
from oncofed.client.records.sqlite_ledger import create_ledger
from oncofed.durable import create_durably, replace_durably
from oncofed.errors import Fault, InvalidInput
from oncofed.secret_files import write_secret
from oncofed.texts import text_of

PRIVATE, SHOWN = 0o700, 0o755
SOCKETS = 0o2750
"""With the set-group-ID bit: the guard's socket gets the relay's group, of which the guard is no member."""


@dataclass(frozen=True)
class Place:
    """A folder of the node. owner: guard, node or relay; group: of another user, where one may enter. mode: rights."""

    path: Path
    owner: str
    mode: int
    group: str | None = None


def places(folder: NodeFolder) -> tuple[Place, ...]:
    """Every folder below the node's root, and who may enter it."""
    return (
        *(Place(path, "guard", PRIVATE) for path in _of_the_guard(folder)),
        Place(folder.bundles.parent, "guard", SHOWN),
        Place(folder.run, "guard", SOCKETS, group="relay"),
        Place(folder.node, "node", PRIVATE),
        Place(folder.relay, "relay", PRIVATE),
    )


def _of_the_guard(folder: NodeFolder) -> tuple[Path, ...]:
    return (
        folder.guard,
        folder.plans,
        folder.approvals,
        folder.patients,
        folder.masking,
        folder.answers,
        folder.models,
    )


def create(folder: NodeFolder, settings: SiteSettings) -> bool:
    """Lay out a new node, or complete one of the same name; whether it is new.

    A ledger is made with the node and never again.
    """
    if not folder.settings.exists():
        _refuse_unusable(folder, settings)
    folder.root.mkdir(mode=SHOWN, parents=True, exist_ok=True)
    with set_up_alone(folder):
        return _create(folder, settings)


def _create(folder: NodeFolder, settings: SiteSettings) -> bool:
    fresh = not folder.settings.exists()
    if not fresh:
        before = read_site(folder)
        if before.name != settings.name:
            remedy = "Choose another folder, or edit site.toml before the node is enrolled."
            raise InvalidInput([Fault(str(folder.settings), f"is the node of {before.name} already", remedy)])
        settings = before
    for place in places(folder):
        place.path.mkdir(mode=place.mode, exist_ok=True)
    if not folder.policy.exists():
        template = files("oncofed.client").joinpath("templates", "policy.toml").read_text("utf-8")
        create_durably(folder.policy, template.encode(), mode=0o640)
    if not tokens_fit(folder):
        token = new_token()
        folder.token_sha256.unlink(missing_ok=True)
        folder.token.unlink(missing_ok=True)
        write_secret(folder.token_sha256, token_sha256(token).encode())
        write_secret(folder.token, token.encode(), mode=0o400)
    # An old node without a ledger has lost it, and an empty one would forget what was spent.
    if fresh and not folder.ledger.exists():
        create_ledger(folder.ledger)
    folder.bundles.touch()
    if fresh:  # last: a node that was not finished is begun again
        replace_durably(folder.settings, settings_text(settings).encode(), mode=0o644)
    hand_over(folder, settings.users)
    return fresh


def tokens_fit(folder: NodeFolder) -> bool:
    """Whether the guard would know the relay by its token; else no question reaches it."""
    try:
        return fits(read_digits(folder.token), sha256=read_digits(folder.token_sha256))
    except InvalidInput:  # one of them is lost, or is none
        return False


def _refuse_unusable(folder: NodeFolder, settings: SiteSettings) -> None:
    faults = []
    if settings.name not in text_of(SiteSettings, "name"):
        remedy = "Use 1 to 64 letters, digits, - and _ (a letter or digit first)."
        faults.append(Fault("--name", "is not a usable name", remedy))
    for role in ("guard", "node", "relay") if settings.users is not None else ():
        try:
            NodeUsers.ids(getattr(settings.users, role))
        except InvalidInput as unknown:
            faults += [Fault("--users", fault.what, fault.remedy) for fault in unknown.faults]
    if folder.audit_log.exists() and not folder.ledger.exists():
        remedy = (
            "An empty ledger would forget what was spent, and so would an older copy. docs/install-hospital.md, "
            "section 8, says what may be put back; site.toml may come from any backup."
        )
        faults.append(Fault(str(folder.root), "was a node before, and its ledger is lost", remedy))
    if faults:
        raise InvalidInput(faults)


def hand_over(folder: NodeFolder, users: NodeUsers | None) -> None:
    """Give every file to its user. Without users, or not as root, only the rights are set."""
    os.chmod(folder.root, SHOWN)  # whatever the umask of who made it
    for place in places(folder):
        os.chmod(place.path, place.mode)
    for public in (folder.settings, folder.node_public_key, folder.bundles):
        if public.exists():
            os.chmod(public, 0o644)
    os.chmod(folder.policy, 0o640)
    if users is None or os.geteuid() != 0:
        return
    for place in places(folder):
        uid, gid = users.ids(getattr(users, place.owner))
        if place.group is not None:
            gid = users.ids(getattr(users, place.group))[1]
        _give(place.path, uid=uid, gid=gid)
    os.chown(folder.policy, 0, users.ids(users.guard)[1])  # the guard reads its rules and cannot loosen them


def _give(root: Path, *, uid: int, gid: int) -> None:
    """A folder with all that is in it, to one user.

    The user it belongs to may be at work in it, and of ill will: so it is walked by open folders, never by names that
    could be made to lead elsewhere meanwhile, and a file that has a second name somewhere else is left alone.
    """
    for _, folders, names, folder in os.fwalk(root):
        os.chown(folder, uid, gid)
        for name in (*folders, *names):
            with suppress(FileNotFoundError):  # the guard may be at work, and its files come and go
                found = os.stat(name, dir_fd=folder, follow_symlinks=False)
                if found.st_nlink == 1 and not stat.S_ISDIR(found.st_mode):
                    os.chown(name, uid, gid, dir_fd=folder, follow_symlinks=False)


def settings_text(settings: SiteSettings) -> str:
    """A site.toml with these settings, before enrolment."""
    lines = ["[site]", f'name = "{settings.name}"', "", "[sockets]"]
    lines += [f'runtime = "{settings.runtime}"  # on loopback: where the SuperNode hands messages to the relay', ""]
    if settings.users is not None:
        lines += [
            "[users]",
            f'guard = "{settings.users.guard}"  # patients, policy, ledger',
            f'node = "{settings.users.node}"  # the key that the coordinator knows',
            f'relay = "{settings.users.relay}"  # runs the program that the coordinator names',
            "",
        ]
    return "\n".join(lines)


def become(name: str, users: NodeUsers | None) -> None:
    """Work as the node's guard, node or relay from here on, when the node has users of its own.

    Raises InvalidInput for somebody who is neither root nor that user: what they may not read would look like nothing.
    """
    if users is None:
        return
    user = getattr(users, name)
    uid, gid = users.ids(user)
    if os.geteuid() == uid:
        return
    if os.geteuid() != 0:
        raise InvalidInput([Fault("this command", f"is for root or the user {user}", "Run it with sudo.")])
    os.initgroups(user, gid)
    os.setgid(gid)
    os.setuid(uid)
    os.environ.pop("HOME", None)  # root's
