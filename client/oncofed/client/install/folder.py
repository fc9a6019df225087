"""What does a hospital's node keep on its disk, and who are its site and its coordinator?

`site.toml` holds public facts: who the hospital is, and, once it has accepted, what it pinned of its coordinator.

Three users of the operating system share the work, so that none can do all: the *guard* has the patients, the policy
and the ledger; the *node* has the key that Flower's SuperNode shows the coordinator; the *relay* runs what the
coordinator names, and can read nothing but the token that lets it ask the guard. To try a node out, all three may be
the same user (no [users] in site.toml); `oncofed site doctor` says so.
"""

from __future__ import annotations

import logging
import os
import pwd
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from oncofed.client.launch.settings import LaunchSection
from oncofed.client.sign_on.settings import SignOnSection
from oncofed.errors import Fault, InvalidInput
from oncofed.file_model import As, Known, Rule, Wrong
from oncofed.file_reading import read_declared
from oncofed.plain_file import file_content
from oncofed.protocol.bundle import bundle_sha256
from oncofed.protocol.enrolment import ADDRESS
from oncofed.toml_file import read_toml

_log = logging.getLogger(__name__)

_LARGEST_BUNDLES = 1_000_000
"""Bytes of the file of approved bundles."""
_HASH = re.compile(r"[0-9a-f]{64}")

LOOPBACK = "127.0.0.1"
_DEFAULT_RUNTIME = f"{LOOPBACK}:9094"
_KEY_BYTES = 32


@dataclass(frozen=True)
class NodeFolder:
    """Paths only; nothing need exist. guard/, node/ and relay/ belong to the user of that name, and to nobody else."""

    root: Path

    @property
    def settings(self) -> Path:
        return self.root / "site.toml"

    @property
    def policy(self) -> Path:
        """The hospital's own rules; the guard reads them."""
        return self.root / "policy.toml"

    @property
    def guard(self) -> Path:
        return self.root / "guard"

    @property
    def ledger(self) -> Path:
        return self.guard / "ledger.sqlite"

    @property
    def audit_log(self) -> Path:
        return self.guard / "audit.jsonl"

    @property
    def plans(self) -> Path:
        """The documents a coordinator offered, <plan hash>.json."""
        return self.guard / "plans"

    @property
    def approvals(self) -> Path:
        return self.guard / "approvals"

    @property
    def patients(self) -> Path:
        """The patients of approved plans as they were approved, <plan hash>.<SHA-256>.safetensors."""
        return self.guard / "patients"

    @property
    def answers(self) -> Path:
        return self.guard / "answers"

    @property
    def models(self) -> Path:
        """Delivered models: <plan hash>.safetensors and <plan hash>.signature."""
        return self.guard / "models"

    def recalibration(self, plan_hash: str) -> Path:
        """What this hospital said about adjusting the delivered model; absent where it said nothing."""
        return self.models / f"{plan_hash}.recalibration"

    @property
    def masking(self) -> Path:
        """For each approved plan that shares its noise: <plan hash>.key, this hospital's, and <plan hash>.json, all."""
        return self.guard / "masking"

    @property
    def answer_key(self) -> Path:
        """Ed25519: signs each answer that leaves the guard, and its masking keys."""
        return self.guard / "answer.key"

    @property
    def pages_key(self) -> Path:
        """Of the codes that stand for patients in the audit log, and of marks of rows."""
        return self.guard / "pages.key"

    @property
    def held_out_secret(self) -> Path:
        """Decides which patients are set aside in studies that measure some; made when the first one is approved."""
        return self.guard / "held_out.key"

    @property
    def launch_secret(self) -> Path:
        """By which the pages say to the hospital's record system who they are, where it gave them a secret."""
        return self.guard / "launch.secret"

    @property
    def sign_on_secret(self) -> Path:
        """By which the hospital's reverse proxy shows the pages that it is the proxy, where it signs people on."""
        return self.guard / "sign_on.secret"

    @property
    def token_sha256(self) -> Path:
        return self.guard / "token.sha256"

    @property
    def token(self) -> Path:
        """What the relay shows the guard with each question."""
        return self.relay / "token"

    @property
    def run(self) -> Path:
        """0750, the guard's, with the relay's group."""
        return self.root / "run"

    @property
    def socket(self) -> Path:
        return self.run / "guard.sock"

    @property
    def locks(self) -> dict[str, Path]:
        """Of guard, node and relay: the file that each holds a lock on while it runs."""
        return {
            "guard": self.socket.with_suffix(".lock"),
            "node": self.node / "running.lock",
            "relay": self.relay / "running.lock",
        }

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def status(self) -> Path:
        return self.root / "status.json"

    @property
    def node(self) -> Path:
        return self.root / "node"

    @property
    def relay(self) -> Path:
        return self.root / "relay"

    @property
    def node_key(self) -> Path:
        return self.node / "node.key"

    @property
    def node_public_key(self) -> Path:
        """Public: the guard compares it with the one a plan names."""
        return self.root / "node.pub"

    @property
    def node_id(self) -> Path:
        """Flower's id of this node, as the SuperLink last told it."""
        return self.node / "node_id"

    @property
    def ca_certificate(self) -> Path:
        return self.node / "ca.crt"

    @property
    def node_secret(self) -> Path:
        """The SuperNode's copy of what its SuperExec must know."""
        return self.node / "superexec.secret"

    @property
    def relay_secret(self) -> Path:
        return self.relay / "superexec.secret"

    @property
    def node_flower_home(self) -> Path:
        return self.node / "flower"

    @property
    def relay_flower_home(self) -> Path:
        return self.relay / "flower"

    @property
    def bundles(self) -> Path:
        """SHA-256 of each bundle this hospital approved, one a line: written by the guard, read by the SuperNode."""
        return self.root / "approved" / "bundles"


@dataclass(frozen=True)
class Coordinator:
    """What the hospital pinned when it accepted. public_key  Ed25519, hexadecimal."""

    address: str
    """`host:port` of the coordinator, as `oncofed site accept` pinned it."""
    public_key: str
    """The key that signs its plans, as `oncofed site accept` pinned it."""
    former_public_keys: tuple[str, ...] = ()
    """Those that it had before: plans and models that were taken then can be read by them, and nothing is answered."""

    @property
    def keys(self) -> tuple[str, ...]:
        """The key that counts, and then those of before."""
        return (self.public_key, *self.former_public_keys)

    @property
    def key(self) -> bytes:
        """32 bytes. Raises InvalidInput for another text."""
        return _key(self.public_key)

    @property
    def former_keys(self) -> tuple[bytes, ...]:
        """32 bytes each. Raises InvalidInput for another text."""
        return tuple(map(_key, self.former_public_keys))


def _key(text: str) -> bytes:
    try:
        content = bytes.fromhex(text)
    except ValueError:
        content = b""
    if len(content) != _KEY_BYTES:
        what = "holds what is no key"
        raise InvalidInput([Fault("site.toml: [coordinator]", what, "Run `oncofed site accept`.")])
    return content


def _users_of_their_own(relay: str, known: Known) -> str:
    if len({relay, *known.before.values()}) <= len(known.before):
        remedy = "Name three users, or leave [users] out to try it as one."
        raise Wrong("is not a user of its own", remedy, key="guard")
    return relay


@dataclass(frozen=True)
class NodeUsers:
    """Names of operating-system users. Each one's own group is used with it."""

    guard: str
    """The operating-system user that has the patients, the policy and the ledger."""
    node: str
    """The one that has the key which the coordinator knows."""
    relay: Annotated[str, Rule(_users_of_their_own)]
    """The one that runs what the coordinator names. The three differ."""

    @staticmethod
    def ids(name: str) -> tuple[int, int]:
        """uid and gid. Raises InvalidInput for a user that does not exist."""
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            remedy = f"useradd --system --user-group --no-create-home --shell /usr/sbin/nologin {name}"
            raise InvalidInput([Fault("site.toml: [users]", f'there is no user "{name}"', remedy)]) from None
        return found.pw_uid, found.pw_gid


def owner_of(role: str, users: NodeUsers | None) -> tuple[int, int] | None:
    """uid and gid that a file of the guard, node or relay is made with; None: of whoever makes it.

    That is so where all three are one user, and where only root could give it away.
    """
    return None if users is None or os.geteuid() != 0 else users.ids(getattr(users, role))


@dataclass(frozen=True)
class SiteSettings:
    """runtime  host:port on loopback where the SuperNode gives work to the relay.

    coordinator  None before `site accept`.
    users        None when everything runs as one user.
    launch       None where no record system may open patients on the pages.
    sign_on      None where no reverse proxy signs people on to the pages.
    """

    name: str
    runtime: str
    coordinator: Coordinator | None
    users: NodeUsers | None = None
    launch: LaunchSection | None = None
    sign_on: SignOnSection | None = None

    @property
    def runtime_port(self) -> int:
        return int(self.runtime.rpartition(":")[2])

    @property
    def enrolled(self) -> Coordinator:
        """The coordinator. Raises InvalidInput before `site accept`."""
        if self.coordinator is None:
            raise InvalidInput(
                [Fault("site.toml", "this hospital has no coordinator yet", "Run `oncofed site accept`.")]
            )
        return self.coordinator


@dataclass(frozen=True)
class SiteSection:
    """The section [site]."""

    name: Annotated[str, As("SiteSettings.name")]
    """The hospital's name in every plan, from `oncofed site init`: letters a to z, digits, - and _."""


def _on_loopback(runtime: str | None, known: Known) -> str | None:
    if runtime is not None and not (ADDRESS.fullmatch(runtime) and runtime.startswith(f"{LOOPBACK}:")):
        raise Wrong(f"is not {LOOPBACK}:<port>", f"Write for example {_DEFAULT_RUNTIME}.")
    return runtime


@dataclass(frozen=True)
class SocketsSection:
    """The section [sockets]."""

    runtime: Annotated[str, Rule(_on_loopback)] = _DEFAULT_RUNTIME
    """Where the SuperNode gives work to the relay, on this machine."""
    guard: object = None
    """of older versions; not looked at."""


@dataclass(frozen=True)
class SiteFile:
    """A hospital's site.toml."""

    site: SiteSection
    sockets: SocketsSection = field(default_factory=SocketsSection)
    coordinator: Coordinator | None = None
    users: NodeUsers | None = None
    launch: LaunchSection | None = None
    sign_on: SignOnSection | None = None


def read_site(folder: NodeFolder) -> SiteSettings:
    """The folder's site.toml. Raises InvalidInput with every fault."""
    faults: list[Fault] = []
    file = read_declared(SiteFile, read_toml(folder.settings), where=folder.settings.name, faults=faults)
    if file is None:
        raise InvalidInput(faults)
    return SiteSettings(file.site.name, file.sockets.runtime, file.coordinator, file.users, file.launch, file.sign_on)


def approved_bundles(folder: NodeFolder) -> frozenset[str]:
    """SHA-256 of the bundles that may run here, read anew at each call: of approved plans, and of this installation.

    The installation's own bundle brings no code: it names the relay that is installed here. Through it a hospital is
    offered the plans that it may then approve.
    """
    try:
        listed = listed_bundles(folder) if os.path.lexists(folder.bundles) else frozenset()
    except InvalidInput as fault:
        _log.error("approved bundles cannot be read, so that none is: %s", fault)
        listed = frozenset()
    return listed | {bundle_sha256()}


def listed_bundles(folder: NodeFolder) -> frozenset[str]:
    """Those of approved plans, as `oncofed site approve` wrote them down. Raises InvalidInput for another file."""
    where = f"{folder.bundles.parent.name}/{folder.bundles.name}"
    remedy = f"Move away what is there; oncofed site approve or decline {folder.root} with any plan writes it anew."
    try:
        lines = file_content(folder.bundles, most=_LARGEST_BUNDLES).decode("ascii").split()
    except UnicodeDecodeError:
        raise InvalidInput([Fault(where, "holds what is no hash of a bundle", remedy)]) from None
    except InvalidInput as refused:
        raise InvalidInput([Fault(where, each.what, remedy) for each in refused.faults]) from None
    if not all(_HASH.fullmatch(line) for line in lines):
        raise InvalidInput([Fault(where, "holds what is no hash of a bundle", remedy)])
    return frozenset(lines)
