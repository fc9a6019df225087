"""What was decided last about each hospital, and does its file in sites/ still say so?

Each decision (approved, suspended, readmitted, removed, new keys) is written twice: first decisions/<name>.json, then
sites/<name>.json, with the time of the decision in both. So an older copy of one of the two folders is found by the
other, and revives nobody:

| sites/      | decisions/  | then                                                              |
|-------------|-------------|-------------------------------------------------------------------|
| the same    | the same    | that counts                                                       |
| older       | newer       | the newer counts, and the other is told (`Hospitals.older`)       |
| another, under the same time | | the hospital is off, and both are named (`Hospitals.damaged`)     |
| one is lost or cannot be read || likewise; others are not concerned                                |
| of a version that kept no decisions | none | it counts, and `enrolment.settle_nodes` writes the decision |

The SuperLink's node id stands in sites/ alone: it is no decision.

Promises: a file that is damaged or older takes nobody off but its own hospital, and lets nobody in. Refuses a folder
that is no coordinator's, and makes nothing there. What it cannot find: older copies of both folders put back together,
as when the whole coordinator is restored from a backup.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from pathlib import Path

from oncofed.durable import replace_durably, unwritable
from oncofed.errors import Fault
from oncofed.plain_file import plain_bytes
from oncofed.protocol.enrolment import is_node_key
from oncofed.protocol.plan import Member
from oncofed.server.deployment.folder import CoordinatorFolder, refuse_other_folder

_LARGEST_BYTES = 1_000_000
"""Of a hospital's file: with the keys of some thousand rotations."""


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
    decided_ms   when this was decided, in milliseconds since 1970, and later than the decision before; 0 in files of a
                 version that kept no decisions.
    """

    site: str
    node_public_key: str
    answer_public_key: str
    request_fingerprint: str
    node_id: int | None = None
    standing: Standing = Standing.MEMBER
    former_keys: tuple[str, ...] = ()
    decided_ms: int = 0

    @property
    def member(self) -> Member:
        """As plans name it."""
        return Member(self.site, self.node_public_key, self.answer_public_key)

    @property
    def is_member(self) -> bool:
        return self.standing is Standing.MEMBER

    @property
    def is_removed(self) -> bool:
        return self.standing is Standing.REMOVED


@dataclass(frozen=True)
class Hospitals:
    """All that were ever approved, by name, in the order of their names.

    known    those of which it is sure what was decided.
    damaged  why it is not sure, of each other one: its key is nobody's, and it is in no study.
    older    what is to be told of `known` ones, of which a file is an older copy.
    copies   whatever could be read of anybody, older ones too: no key in them may become another hospital's.
    """

    known: Mapping[str, ApprovedSite]
    damaged: Mapping[str, Fault]
    older: tuple[str, ...]
    copies: tuple[ApprovedSite, ...]

    @property
    def told(self) -> tuple[str, ...]:
        """What a coordinator should read, one a line."""
        return (*(str(fault) for fault in self.damaged.values()), *self.older)

    def newest_copy(self, name: str) -> ApprovedSite | None:
        """Of a hospital, damaged or not; None where nothing of it can be read."""
        copies = [copy for copy in self.copies if copy.site == name]
        return max(copies, key=lambda copy: copy.decided_ms, default=None)


def look_at(folder: CoordinatorFolder) -> Hospitals:
    """What the two folders say now. Raises InvalidInput for a folder that is no coordinator's."""
    refuse_other_folder(folder)
    known: dict[str, ApprovedSite] = {}
    damaged: dict[str, Fault] = {}
    older: list[str] = []
    copies: list[ApprovedSite] = []
    for name, (in_sites, in_decisions) in contents(folder).items():
        readable = [read_copy(content, name) for content in (in_sites, in_decisions)]
        copies += [copy for copy in readable if copy is not None]
        site = settled(name, in_sites, in_decisions)
        if site is None:
            damaged[name] = _fault(folder, name, readable)
            continue
        known[name] = site
        older += [
            f"{where / name}.json is an older copy. What was decided last counts: {name} is {site.standing}."
            for where, copy in zip((folder.sites, folder.decisions), readable, strict=True)
            if copy is not None and copy.decided_ms < site.decided_ms
        ]
    return Hospitals(known, damaged, tuple(older), tuple(copies))


def read_sites(folder: CoordinatorFolder) -> dict[str, ApprovedSite]:
    """Those of which it is sure what was decided, by name."""
    return dict(look_at(folder).known)


def read_members(folder: CoordinatorFolder) -> dict[str, ApprovedSite]:
    """Those that may take part."""
    return {name: site for name, site in read_sites(folder).items() if site.is_member}


def contents(folder: CoordinatorFolder) -> dict[str, tuple[bytes | None, bytes | None]]:
    """By name, the file in sites/ and the one in decisions/; None without one, empty when it cannot be read."""
    places = (folder.sites, folder.decisions)
    with unwritable(folder.sites):
        names = sorted({path.stem for place in places for path in place.glob("*.json")})
    return {name: (_content(folder.sites, name), _content(folder.decisions, name)) for name in names}


def _content(place: Path, name: str) -> bytes | None:
    path = place / f"{name}.json"
    try:
        return plain_bytes(path, most=_LARGEST_BYTES)
    except OSError:
        return b"" if os.path.lexists(path) else None


def settled(name: str, in_sites: bytes | None, in_decisions: bytes | None) -> ApprovedSite | None:
    """What counts of a hospital, by the table above; None when it is not sure."""
    site, decision = read_copy(in_sites, name), read_copy(in_decisions, name)
    if site is not None and in_decisions is None and site.decided_ms == 0:
        return site
    if site is None or decision is None:
        return None
    if site.decided_ms == decision.decided_ms:
        return site if replace(site, node_id=None) == decision else None
    # The node id is told of the newer keys once the SuperLink has registered them.
    return site if site.decided_ms > decision.decided_ms else decision


def read_copy(content: bytes | None, name: str) -> ApprovedSite | None:
    """One file of this hospital's; None for any other content."""
    try:
        entries = json.loads(content or b"")
        site = ApprovedSite(
            **{
                **entries,
                "standing": Standing(entries.get("standing", Standing.MEMBER)),
                "former_keys": tuple(entries.get("former_keys", ())),
            }
        )
        texts = [getattr(site, field) for field in _TEXTS]
        sound = all(type(text) is str for text in (*texts, *site.former_keys))
        sound = sound and (site.node_id is None or type(site.node_id) is int) and type(site.decided_ms) is int
        return site if sound and site.site == name and is_node_key(site.node_public_key) else None
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None


_TEXTS = [field.name for field in fields(ApprovedSite) if field.type == "str"]


def _fault(folder: CoordinatorFolder, name: str, readable: list[ApprovedSite | None]) -> Fault:
    site, decision = readable
    paths = {"sites": folder.sites / f"{name}.json", "decisions": folder.decisions / f"{name}.json"}
    off = "Until then its key is refused, and other hospitals go on"
    if site is None and decision is None:
        remedy = f"Restore both from one backup, or take both out of their folders and approve its request. {off}."
        return Fault(f"{paths['sites']} and {paths['decisions']}", "cannot be read, or are not this hospital's", remedy)
    remedy = f"Restore it, or: oncofed coordinator remove COORD {name}, and approve its request anew. {off}."
    if site is not None and decision is not None:
        return Fault(str(paths["sites"]), f"does not say what {paths['decisions']} says", remedy)
    wrong = paths["sites" if site is None else "decisions"]
    what = "cannot be read, or is not this hospital's" if os.path.lexists(wrong) else "is lost"
    return Fault(str(wrong), what, remedy)


def decide(
    folder: CoordinatorFolder, site: ApprovedSite, *, now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
) -> ApprovedSite:
    """Write a decision, inside `changing`; as it was written. A kill at any instant leaves the one before or this one.

    Its time is later than any that can be read, also where the machine's clock went back.
    """
    before = look_at(folder).newest_copy(site.site)
    decided = replace(site, decided_ms=max(now_ms(), 1 if before is None else before.decided_ms + 1))
    _write(folder.decisions, replace(decided, node_id=None))
    _write(folder.sites, decided)
    return decided


def mend(folder: CoordinatorFolder, site: ApprovedSite) -> None:
    """Write again what counts already, with its node id, where one of the files says otherwise; inside `changing`."""
    if site.decided_ms == 0:
        decide(folder, site)
        return
    for place, copy in ((folder.decisions, replace(site, node_id=None)), (folder.sites, site)):
        if read_copy(_content(place, site.site), site.site) != copy:
            _write(place, copy)


def _write(place: Path, site: ApprovedSite) -> None:
    path = place / f"{site.site}.json"
    with unwritable(place):
        place.mkdir(exist_ok=True)
    replace_durably(path, json.dumps(asdict(site), indent=2, sort_keys=True).encode() + b"\n")


def last_change(folder: CoordinatorFolder) -> int:
    """Differs after each change of a membership."""
    return folder.sites.stat().st_mtime_ns if folder.sites.exists() else 0


@contextmanager
def changing(folder: CoordinatorFolder) -> Iterator[None]:
    """Whoever reads what stands in sites/ to change it does so inside; never for long."""
    with _locked(folder, ".changing"):
        yield


@contextmanager
def settling(folder: CoordinatorFolder) -> Iterator[None]:
    """`coordinator start` and `coordinator run` settle at the same moment; one after the other."""
    with _locked(folder, ".settling"):
        yield


@contextmanager
def _locked(folder: CoordinatorFolder, name: str) -> Iterator[None]:
    refuse_other_folder(folder)
    with unwritable(folder.sites):
        folder.sites.mkdir(exist_ok=True)
        descriptor = os.open(folder.sites / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
