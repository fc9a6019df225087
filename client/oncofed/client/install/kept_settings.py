"""Which settings does a node have after a restore: those that are here, or the backup's?

Those that are here. Rules may be stricter by now, an account shut out, a key replaced because it was stolen, and no
record compares them. So a file that is here stays; where the backup's is another, it lies beside it as
`<name>.of-backup`, for a person to compare. The backup's comes where there is none, or nobody's: an empty file, the
rules that `site init` lays out, a site.toml that cannot be read or has no coordinator yet, accounts that cannot be
read. If the audit log that is here tells that accounts were changed since, the backup's are all disabled: who was shut
out is let in by a person only.

Of offered plans and delivered models, which are checked whenever they are read, those that are here are added.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from oncofed.client.install.backup_file import OF_BACKUP, copy_files
from oncofed.client.install.folder import NodeFolder, read_site
from oncofed.client.pages.accounts import accounts_in, disable_all
from oncofed.client.pages.viewing_record import ACCOUNTS
from oncofed.client.records.audit_entries import AuditEntry
from oncofed.errors import InvalidInput, RecordFailure
from oncofed.plain_file import OtherKind, opened

_ACCOUNTS = "guard/pages-accounts.json"
_ADDED = ("guard/plans/", "guard/models/")
_SETTINGS = ("site.toml", "policy.toml", "node.pub", "node/", "relay/")
_SETTINGS_OF_THE_GUARD = ("guard/answer.key", "guard/held_out.key", "guard/token.sha256", "guard/pages.key", _ACCOUNTS)
_TOLD = ("site.toml", "policy.toml", "node.pub", "node/node.key", "node/ca.crt", *_SETTINGS_OF_THE_GUARD)
"""What a person decides on. The rest is made by the program for itself, and needs no comparing."""
_UNTOLD = "guard/token.sha256"


@dataclass(frozen=True)
class Kept:
    """Names below the node's folder.

    stayed    differ from the backup's, which lies beside.
    came      from the backup, because there was none here that could be used.
    disabled  whether all accounts of the pages were disabled.
    """

    stayed: tuple[str, ...]
    came: tuple[str, ...]
    disabled: bool


def accounts_of(folder: NodeFolder) -> Path:
    """The accounts of the pages."""
    return folder.root / _ACCOUNTS


def keep_settings(folder: NodeFolder, copy: NodeFolder, *, since: Sequence[AuditEntry]) -> Kept:
    """Settle what `copy`, an unpacked backup that is to take the folder's place, has of settings.

    since  what the audit log that is here tells and the backup's does not.
    """
    held = {name: (copy.root / name).read_bytes() for name in _names(copy) if name in _TOLD}
    modes = {name: (copy.root / name).stat().st_mode for name in held}
    known = set(_names(copy))
    if folder.root.is_dir():
        copy_files(
            folder, copy, of=lambda name: _stays(folder, name) or (name.startswith(_ADDED) and name not in known)
        )
    stayed, came = [], []
    for name, content in sorted(held.items()):
        here = copy.root / name
        if not _stays(folder, name):
            came.append(name)
        elif here.read_bytes() != content and name != _UNTOLD:
            stayed.append(name)
            beside = here.with_name(here.name + OF_BACKUP)
            beside.touch(mode=0o600)
            beside.write_bytes(content)
            beside.chmod(modes[name])
    disabled = _ACCOUNTS in came and any(entry.event == ACCOUNTS and entry.code for entry in since)
    if disabled:
        disable_all(accounts_of(copy))
    return Kept(tuple(stayed), tuple(came), disabled)


def _names(folder: NodeFolder) -> Iterator[str]:
    return (str(path.relative_to(folder.root)) for path in folder.root.rglob("*") if path.is_file())


def _stays(folder: NodeFolder, name: str) -> bool:
    """Whether it is a setting, and somebody's who is here."""
    path = folder.root / name
    is_setting = name.startswith(_SETTINGS) or name in _SETTINGS_OF_THE_GUARD
    if not is_setting or not path.exists() or path.stat().st_size == 0:
        return False
    try:
        match name:
            case "node.pub":  # of the key that stays
                return _stays(folder, "node/node.key")
            case "policy.toml":
                unchanged = files("oncofed.client").joinpath("templates", "policy.toml").read_bytes()
                with opened(path) as rules:
                    return rules.read(len(unchanged) + 1) != unchanged
            case "site.toml":
                return read_site(folder).coordinator is not None
            case _ if name == _ACCOUNTS:
                accounts_in(path)
    except (InvalidInput, RecordFailure, OtherKind):
        return False
    return True
