"""How does a coordinator change what its hospitals have pinned: its address, its authority, the key that signs plans?

Each is made while the server is down, and each member then gets an acceptance anew, which answers the request that it
made when it enrolled. New keys are made whole in a folder of their own, which then takes the place of keys/; the former
one stays beside it.

Promises: a kill leaves the former keys or the new ones, and the same command goes on from there. Refuses while the
server runs: it has the former keys in memory, and a study may be at work with them.
"""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path

from oncofed.durable import replace_durably, sync_folder
from oncofed.errors import Fault, InvalidInput
from oncofed.protocol.enrolment import Acceptance, acceptance_of
from oncofed.running import is_running
from oncofed.secret_files import private_folder, read_signing_key
from oncofed.server.deployment.certificates import create_authority, create_signing_key, renew_server_certificate
from oncofed.server.deployment.enrolment import own_authority
from oncofed.server.deployment.folder import CoordinatorFolder, CoordinatorSettings, read_settings, usable_text
from oncofed.server.deployment.member_files import read_members


def refuse_while_running(folder: CoordinatorFolder) -> None:
    """Raises InvalidInput when a part of the server runs."""
    if any(is_running(lock) is not False for lock in folder.locks.values()):
        remedy = "Stop it first: systemctl stop oncofed-coordinator"
        raise InvalidInput([Fault(str(folder.root), "its server is running", remedy)])


def moved(
    before: CoordinatorSettings, *, address: str, listen: str | None, also: tuple[str, ...]
) -> CoordinatorSettings:
    """The settings at another address. The certificate keeps its former names, so that a name may lead to both.

    listen  None: as before, at the address' port where it was so before.
    """
    host, _, port = address.rpartition(":")
    if listen is None:
        here, _, own_port = before.listen.rpartition(":")
        # All interfaces, as for a new folder; the gate lets hospitals reach their own routes only.
        here = "[::]" if host.startswith("[") and here == "0.0.0.0" else here  # noqa: S104
        listen = f"{here}:{port if own_port == before.address.rpartition(':')[2] else own_port}"
    names = tuple(dict.fromkeys((host.strip("[]"), *also, *before.names)))
    return CoordinatorSettings(before.name, address, listen, names)


def move(folder: CoordinatorFolder, after: CoordinatorSettings, *, now: datetime) -> None:
    """Another address: settings, and a server certificate of the same authority for its names. Raises InvalidInput."""
    refuse_while_running(folder)
    replace_durably(folder.settings, usable_text(after).encode())
    renew_server_certificate(folder, after, now=now)


def renew_keys(folder: CoordinatorFolder, *, authority: bool, signing_key: bool, now: datetime) -> Path:
    """A new authority with a new server certificate, a new key that signs plans, or both; where the former ones are.

    Raises InvalidInput.
    """
    refuse_while_running(folder)
    made, before = CoordinatorFolder(folder.root / "changing"), folder.root / f"keys.before-{now:%Y%m%dT%H%M%SZ}"
    if not (folder.keys.exists() or made.keys.exists()):
        raise InvalidInput([Fault(str(folder.keys), "is missing", "Restore it from a backup.")])
    if folder.keys.exists():  # else a kill came between the two renames, and what was made is whole
        shutil.rmtree(made.root, ignore_errors=True)
        _make(folder, made, authority=authority, signing_key=signing_key, now=now)
        folder.keys.rename(before)
    made.keys.rename(folder.keys)
    made.root.rmdir()
    sync_folder(folder.root)
    return before


def _make(
    folder: CoordinatorFolder, made: CoordinatorFolder, *, authority: bool, signing_key: bool, now: datetime
) -> None:
    private_folder(made.root)
    private_folder(made.keys)
    for path in folder.keys.iterdir():
        shutil.copy2(path, made.keys)
    if authority:
        made.ca_key.unlink()
        settings = read_settings(folder)
        create_authority(made, settings, now=now)
        renew_server_certificate(made, settings, now=now)
    if signing_key:
        made.signing_key.unlink()
        create_signing_key(made)
    sync_folder(made.keys)


def acceptances(folder: CoordinatorFolder) -> dict[str, Acceptance]:
    """What to send to each member, by name: what it pins now."""
    settings, authority = read_settings(folder), own_authority(folder)
    key = read_signing_key(folder.signing_key)
    return {
        name: acceptance_of(
            name,
            site.request_fingerprint,
            coordinator_address=settings.address,
            ca_certificate=authority,
            signing_key=key,
        )
        for name, site in read_members(folder).items()
    }
