"""What must stand on a hospital's disk before its node can start, and whose is it?

`create` lays the folder out with a policy that allows nothing yet, and gives every part to the user it belongs to
(`rights`). It may be repeated: what exists is kept, rights are set again, and what a kill left is put right; halves of
a secret that do not fit are made anew (`halves`). Of several at once one makes the node.

Refuses: a folder that holds something else than a node; an existing node of another name; names and users that could
not work later, before anything is made; to make a new ledger where an old one must have been; to go on as somebody who
is neither root nor the part's own user.
"""

from __future__ import annotations

import os
import stat
from importlib.resources import files
from pathlib import Path

from oncofed.client.install.folder import NodeFolder, NodeUsers, SiteSettings, owner_of, read_site
from oncofed.client.install.halves import fit_halves
from oncofed.client.install.rights import SHOWN, hand_over, places, refuse_other_kinds
from oncofed.client.install.set_up_alone import set_up_alone
from oncofed.client.records.sqlite_ledger import create_ledger
from oncofed.durable import UNFINISHED, create_durably, replace_durably
from oncofed.errors import Fault, InvalidInput
from oncofed.texts import text_of

_PARTS = frozenset(
    ("site.toml", "policy.toml", "node.pub", "guard", "node", "relay", "approved", "run", "logs", "status.json")
)
_OF_A_KILL = (UNFINISHED, ".lock")
"""How the names end that begin with a dot and that an `init` left which was killed."""
_MOST_NAMED = 5
_OF_THE_DISK = "lost+found"
"""In a folder that is a volume of its own."""


def create(folder: NodeFolder, settings: SiteSettings) -> bool:
    """Lay out a new node, or complete one of the same name; whether it is new.

    A ledger is made with the node and never again.
    """
    if not folder.settings.exists():
        _refuse_another_folder(folder)
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
    refuse_other_kinds(folder)
    for place in places(folder):
        place.path.mkdir(mode=place.mode, exist_ok=True)
    if not folder.policy.exists():
        template = files("oncofed.client").joinpath("templates", "policy.toml").read_text("utf-8")
        create_durably(folder.policy, template.encode(), mode=0o640)
    fit_halves(folder, settings.users)
    for left in folder.guard.glob(f"{folder.ledger.name}{UNFINISHED}*"):  # of a kill, by versions that wrote it here
        left.unlink()
    # An old node without a ledger has lost it, and an empty one would forget what was spent.
    if fresh and not folder.ledger.exists():
        create_ledger(folder.ledger, owner=owner_of("guard", settings.users))
    create_durably(folder.bundles, b"", mode=0o644, owner=owner_of("guard", settings.users))
    if fresh:  # last: a node that was not finished is begun again
        replace_durably(folder.settings, settings_text(settings).encode(), mode=0o644)
    hand_over(folder, settings.users)
    return fresh


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
    left = () if folder.ledger.exists() else _left_of_a_node(folder)
    if left:
        named = f"{', '.join(str(path.relative_to(folder.root)) for path in left[:_MOST_NAMED])}"
        more = f" and {len(left) - _MOST_NAMED} more" if len(left) > _MOST_NAMED else ""
        remedy = (
            "An empty ledger would forget what was spent, and so would an older copy. docs/install-hospital.md, "
            "section 8, says what may be put back; site.toml may come from any backup."
        )
        what = f"was a node before (there are {named}{more}), and its ledger is lost"
        faults.append(Fault(str(folder.root), what, remedy))
    if faults:
        raise InvalidInput(faults)


def _left_of_a_node(folder: NodeFolder) -> tuple[Path, ...]:
    """What only a node has that was finished once, by name: its ledger may have held charges.

    An `init` that was killed leaves folders, a token, a secret, rules, an empty list of bundles, and no more than that.
    """
    of_init = {folder.token_sha256, folder.node_secret}
    found = [path for part in (folder.guard, folder.node) if part.is_dir() for path in part.rglob("*")]
    left = [path for path in found if not path.is_dir() and path not in of_init and not path.name.endswith(UNFINISHED)]
    left += [path for path in (folder.node_public_key,) if path.exists()]
    left += [path for path in (folder.bundles,) if path.is_file() and path.stat().st_size]
    return tuple(sorted(left))


def _refuse_another_folder(folder: NodeFolder) -> None:
    """Its rights would be set to a node's: no home, no /tmp, no current folder by a variable that is not set."""
    if not os.path.lexists(folder.root):
        return
    if not folder.root.is_dir():
        raise InvalidInput([Fault(str(folder.root), "is no folder", "Choose a folder of its own for the node.")])
    names = {path.name for path in folder.root.iterdir()} - {_OF_THE_DISK}
    others = sorted(name for name in names - _PARTS if not (name.startswith(".") and name.endswith(_OF_A_KILL)))
    is_node = all(part.is_dir() for part in (folder.guard, folder.node, folder.relay))
    # `init` makes guard/ first, so without it no other part of a node was made here; rules may have been put there.
    others += sorted(names & _PARTS - {folder.policy.name}) if not folder.guard.is_dir() else []
    what = ""
    if others and not is_node:
        what = f"is not empty, and no node (there is {others[0]})"
    elif not names and folder.root.stat().st_mode & (stat.S_ISVTX | stat.S_IWOTH):
        what = "is a folder in which every user may write, and a node's is not"
    if what:
        remedy = "Choose a folder of its own for the node, which need not exist; its rights are set for the node."
        raise InvalidInput([Fault(str(folder.root), what, remedy)])


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


def refuse_unless_root(users: NodeUsers | None) -> None:
    """Raises InvalidInput for somebody who may not look into the folders of a node's three users."""
    if users is not None and os.geteuid() != 0:
        raise InvalidInput([Fault("this command", "is for root: the folder belongs to three users", "Use sudo.")])


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
