"""What does a hospital's node keep on its disk, under which name, and who may read it?

Three users of the operating system share the work, so that none can do all: the *guard* has the patients, the policy
and the ledger; the *node* has the key that Flower's SuperNode shows the coordinator; the *relay* runs what the
coordinator names, and can read nothing but the token that lets it ask the guard. To try a node out, all three may be
the same user (no [users] in site.toml); `oncofed site doctor` says so.

`site.toml` is written by `oncofed site init` and edited by hospital IT. Nothing in it is secret. Imports no torch.
"""

from __future__ import annotations

import grp
import pwd
from dataclasses import dataclass
from pathlib import Path

from oncofed.errors import Fault, InvalidInput
from oncofed.protocol.enrolment import SITE_NAME, Acceptance, read_acceptance
from oncofed.toml_section import Section, read_toml

_SMALLEST_PORT, _LARGEST_PORT = 1, 65535
_DEFAULT_PORT = 9101


@dataclass(frozen=True)
class NodeFolder:
    """Paths only; nothing need exist."""

    root: Path

    @property
    def settings(self) -> Path:
        return self.root / "site.toml"

    @property
    def policy(self) -> Path:
        return self.root / "policy.toml"

    @property
    def acceptance(self) -> Path:
        """What was pinned at enrolment: the coordinator's address, CA and key."""
        return self.root / "acceptance.json"

    @property
    def request(self) -> Path:
        return self.root / "request.json"

    @property
    def bundles(self) -> Path:
        """SHA-256 of each Flower bundle that an approved plan names, one a line."""
        return self.root / "bundles"

    @property
    def guard(self) -> Path:
        """0700, the guard's."""
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
    def answers(self) -> Path:
        return self.guard / "answers"

    @property
    def models(self) -> Path:
        """Delivered models: <plan hash>.safetensors and its .signature."""
        return self.guard / "models"

    @property
    def token_sha256(self) -> Path:
        return self.guard / "token.sha256"

    @property
    def node(self) -> Path:
        """0700, the node's."""
        return self.root / "node"

    @property
    def node_key(self) -> Path:
        return self.node / "node.key"

    @property
    def ca_certificate(self) -> Path:
        return self.node / "ca.crt"

    @property
    def node_superexec_secret(self) -> Path:
        return self.node / "superexec.secret"

    @property
    def relay(self) -> Path:
        """0700, the relay's."""
        return self.root / "relay"

    @property
    def token(self) -> Path:
        return self.relay / "token"

    @property
    def relay_superexec_secret(self) -> Path:
        return self.relay / "superexec.secret"

    @property
    def run(self) -> Path:
        """0750, the guard's, with the relay's group."""
        return self.root / "run"

    @property
    def socket(self) -> Path:
        return self.run / "guard.sock"


@dataclass(frozen=True)
class NodeUsers:
    """Names of operating-system users. Each one's own group is used with it."""

    guard: str
    node: str
    relay: str

    def ids(self, name: str) -> tuple[int, int]:
        """uid and gid. Raises InvalidInput for a user that does not exist."""
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            remedy = f"useradd --system --user-group --no-create-home --shell /usr/sbin/nologin {name}"
            raise InvalidInput([Fault("site.toml: [users]", f'there is no user "{name}"', remedy)]) from None
        return found.pw_uid, found.pw_gid

    def group_name(self, name: str) -> str:
        return grp.getgrgid(self.ids(name)[1]).gr_name


@dataclass(frozen=True)
class SiteSettings:
    """site: the name in rosters. users: None when everything runs as one user. supernode_port: on loopback."""

    site: str
    users: NodeUsers | None
    supernode_port: int


def read_site_settings(folder: NodeFolder) -> SiteSettings:
    """The folder's site.toml. Raises InvalidInput with every fault; an unknown field is one."""
    faults: list[Fault] = []
    file = Section(folder.settings.name, read_toml(folder.settings), faults)
    head = file.section("site", heading="site.toml: [site]", required=True)
    people = file.section("users", heading="site.toml: [users]")
    ports = file.section("ports", heading="site.toml: [ports]")
    file.close()
    name, users, port = "", None, None
    if head is not None:
        name = head.required_text("name")
        if name and not SITE_NAME.fullmatch(name):
            head.fault("name", "is not a usable name", "Use 1 to 64 letters, digits, - and _.")
        head.close()
    if people is not None:
        users = NodeUsers(*(people.required_text(role) for role in ("guard", "node", "relay")))
        if len({users.guard, users.node, users.relay}) != 3:
            people.fault(
                "guard", "is not a user of its own", "Name three users, or leave [users] out to try it as one."
            )
        people.close()
    if ports is not None:
        port = ports.whole_number("supernode", required=True, at_least=_SMALLEST_PORT, at_most=_LARGEST_PORT)
        ports.close()
    if faults:
        raise InvalidInput(faults)
    return SiteSettings(name, users, _DEFAULT_PORT if port is None else port)


def settings_text(settings: SiteSettings) -> str:
    """A site.toml with these settings."""
    lines = ["[site]", f'name = "{settings.site}"', ""]
    if settings.users is not None:
        lines += [
            "[users]",
            f'guard = "{settings.users.guard}"  # patients, policy, ledger',
            f'node = "{settings.users.node}"  # the key that the coordinator knows',
            f'relay = "{settings.users.relay}"  # runs the program that the coordinator names',
            "",
        ]
    lines += ["[ports]", f"supernode = {settings.supernode_port}  # on loopback only", ""]
    return "\n".join(lines)


def pinned(folder: NodeFolder) -> Acceptance:
    """What `oncofed site accept` pinned. Raises InvalidInput before that."""
    try:
        content = folder.acceptance.read_bytes()
    except FileNotFoundError:
        remedy = "Send request.json to the coordinator, then: oncofed site accept NODE acceptance.json"
        raise InvalidInput([Fault(str(folder.acceptance), "this node is not enrolled yet", remedy)]) from None
    return read_acceptance(content)
