"""What does a coordinator keep on its disk, and under which name?

`coordinator.toml` is written by `init` and edited by the operator; `keys/` belongs to the coordinator's user alone.
"""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

from oncofed.errors import Fault, InvalidInput
from oncofed.file_model import As, Known, Rule, Wrong
from oncofed.file_reading import read_declared
from oncofed.plain_file import plain_bytes
from oncofed.protocol.enrolment import is_address
from oncofed.secret_files import LARGEST_SECRET
from oncofed.texts import LINE
from oncofed.toml_file import read_toml

LOOPBACK = "127.0.0.1"
_KEY_BYTES = 32
_FROM_A_BACKUP = "Restore it from a backup of keys/."
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_EVERYWHERE = "0.0.0.0"  # noqa: S104 - the operator chooses it in coordinator.toml; the gate guards it
_OF_BOTH_KINDS = "[::]"


@dataclass(frozen=True)
class CoordinatorFolder:
    """Paths only; nothing need exist."""

    root: Path

    @property
    def settings(self) -> Path:
        return self.root / "coordinator.toml"

    @property
    def keys(self) -> Path:
        return self.root / "keys"

    @property
    def ca_key(self) -> Path:
        return self.keys / "ca.key"

    @property
    def ca_certificate(self) -> Path:
        return self.keys / "ca.crt"

    @property
    def server_key(self) -> Path:
        return self.keys / "server.key"

    @property
    def server_certificate(self) -> Path:
        return self.keys / "server.pem"

    @property
    def signing_key(self) -> Path:
        return self.keys / "signing.key"

    @property
    def public_key(self) -> Path:
        return self.keys / "signing.pub"

    @property
    def superexec_secret(self) -> Path:
        return self.keys / "superexec.secret"

    @property
    def admin_token(self) -> Path:
        return self.keys / "admin.token"

    @property
    def pages_token(self) -> Path:
        """What lets somebody in to the coordinator's pages (`pages.credential`)."""
        return self.keys / "pages.token"

    @property
    def sites(self) -> Path:
        return self.root / "sites"

    @property
    def decisions(self) -> Path:
        """What was decided last about each hospital: by it an older copy of `sites` is found (`member_files`)."""
        return self.root / "decisions"

    @property
    def database(self) -> Path:
        return self.root / "superlink.db"

    @property
    def flower_home(self) -> Path:
        return self.root / "flower"

    @property
    def locks(self) -> dict[str, Path]:
        """Of SuperLink and SuperExec: the file that each holds a lock on while it runs."""
        return {name: self.root / f"{name}.lock" for name in ("superlink", "superexec")}

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def status(self) -> Path:
        return self.root / "status.json"

    def study(self, plan_hash: str) -> Path:
        return self.root / "studies" / plan_hash


def _address(text: str, known: Known) -> str:
    if not is_address(text):
        raise Wrong("is not host:port", "Write for example coordinator.example.org:9443, or [2001:db8::7]:9443.")
    return text


def _here(text: str, known: Known) -> str:
    if text.rpartition(":")[0] not in (LOOPBACK, _EVERYWHERE, _OF_BOTH_KINDS):
        remedy = (
            f"Listen on {_EVERYWHERE} (all of IPv4), {_OF_BOTH_KINDS} (all, IPv6 too) or {LOOPBACK} (this machine)."
        )
        raise Wrong("is another address", remedy)
    return text


def _without_ports(names: tuple[str, ...], known: Known) -> tuple[str, ...]:
    for name in names:
        if not _is_name(name):
            raise Wrong(f'holds "{name}", no host name or IP address', "Write it without a port.")
    return names


@dataclass(frozen=True)
class CoordinatorSettings:
    """The section [coordinator] of coordinator.toml."""

    name: str
    """of the consortium, for people."""
    address: Annotated[str, As("an address"), Rule(_address)]
    """`host:port` that hospitals connect to."""
    listen: Annotated[str, As("an address"), Rule(_address), Rule(_here)]
    """`host:port` that the server listens on: 0.0.0.0 for all interfaces, [::] for all of them with IPv6 too, 127.0.0.1
    for this machine only."""
    names: Annotated[tuple[str, ...], Rule(_without_ports)]
    """Host names and IP addresses in the server's certificate; loopback is always added. After a change: `oncofed
    coordinator init COORD --renew-certificate`."""

    @property
    def listen_hosts(self) -> tuple[str, ...]:
        """A socket each: IPv6 has its own, so that an IPv4 address is told as such."""
        host = self.listen.rpartition(":")[0]
        return (_EVERYWHERE, host.strip("[]")) if host == _OF_BOTH_KINDS else (host,)

    @property
    def listen_port(self) -> int:
        return int(self.listen.rpartition(":")[2])

    @property
    def local_address(self) -> str:
        """Where the coordinator's own processes find the SuperLink."""
        return f"{LOOPBACK}:{self.listen_port}"


@dataclass(frozen=True)
class CoordinatorFile:
    """A coordinator's coordinator.toml."""

    coordinator: CoordinatorSettings


def read_settings(folder: CoordinatorFolder) -> CoordinatorSettings:
    """The folder's coordinator.toml. Raises InvalidInput with every fault."""
    faults: list[Fault] = []
    file = read_declared(CoordinatorFile, read_toml(folder.settings), where=folder.settings.name, faults=faults)
    if file is None:
        raise InvalidInput(faults)
    return file.coordinator


def coordinator_public_key(folder: CoordinatorFolder) -> bytes:
    """32 bytes: what plans are signed with. Raises InvalidInput."""
    text = public_text(folder.public_key)
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise InvalidInput([Fault(str(folder.public_key), "is no key", _FROM_A_BACKUP)])
    return key


def public_text(path: Path) -> str:
    """A file of keys/ that is no secret. Raises InvalidInput."""
    try:
        return plain_bytes(path, most=LARGEST_SECRET).decode("ascii").strip()
    except (OSError, UnicodeDecodeError):
        raise InvalidInput([Fault(str(path), "is missing or cannot be read", _FROM_A_BACKUP)]) from None


def refuse_other_folder(folder: CoordinatorFolder) -> None:
    """Raises InvalidInput where no coordinator is. One whose settings are damaged still is one."""
    if not os.path.lexists(folder.settings):
        what, remedy = "is no coordinator's folder: it has no coordinator.toml", "Look at the path."
        raise InvalidInput([Fault(str(folder.root), what, f"{remedy} A new one: oncofed coordinator init")])


def _is_name(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return _HOST.fullmatch(text) is not None
    return True


def settings_text(settings: CoordinatorSettings) -> str:
    """A coordinator.toml with these settings. Raises InvalidInput for a text that would need escaping."""
    texts = (settings.name, settings.address, settings.listen, *settings.names)
    if any('"' in text or "\\" in text or (text and text not in LINE) for text in texts):
        what = "a text is not one plain line, or holds a quote or a backslash"
        raise InvalidInput([Fault("coordinator.toml", what, "Choose plain texts.")])
    names = ", ".join(f'"{name}"' for name in settings.names)
    return (
        "[coordinator]\n"
        f'name = "{settings.name}"\n'
        f'address = "{settings.address}"  # what hospitals connect to\n'
        f'listen = "{settings.listen}"  # 0.0.0.0:<port> for all interfaces\n'
        f"names = [{names}]  # in the certificate; after a change: oncofed coordinator init COORD --renew-certificate\n"
    )


def usable_text(settings: CoordinatorSettings) -> str:
    """The same. Raises InvalidInput for settings that could not be read again, before anything is made of them."""
    text = settings_text(settings)
    with TemporaryDirectory() as elsewhere:
        draft = CoordinatorFolder(Path(elsewhere))
        draft.settings.write_text(text)
        read_settings(draft)
    return text
