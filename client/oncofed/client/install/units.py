"""Which systemd units run a node as its three users?

The guard's unit has no network at all, unless policy.toml has a source of kind sql: then the database's addresses, and
no other, are let through. The relay's reaches loopback alone; only the SuperNode's reaches the coordinator.

Refused: a node without users of its own, whose units would protect nothing from each other; a table where the guard's
unit could not see it; a database without an address to let through.
"""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path

from oncofed.client.guard.policy_file import NodePolicy, read_policy
from oncofed.client.install.folder import NodeFolder, NodeUsers, read_site
from oncofed.client.patients.sources import SourceKind
from oncofed.errors import Fault, InvalidInput
from oncofed.unit_files import fill, installed_command, plain_path, plain_words

NAMES = ("oncofed-guard.service", "oncofed-node.service", "oncofed-relay.service", "oncofed.target")
OF_METRICS = ("oncofed-metrics.service", "oncofed-metrics.timer")
"""For node_exporter, where the hospital watches its machines with it."""
_INSTANCE = re.compile(r"[a-z0-9]{1,32}")
_PARTS = ("guard", "node", "relay", "metrics", "coordinator")
"""Whose units have such names already."""
LOCAL = "local"
"""In place of an address: the database is reached over a unix socket."""

_HIDDEN = (Path("/home"), Path("/root"), Path("/run/user"), Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - refused, not used
"""What ProtectHome and PrivateTmp take from a service's sight."""
_NO_NETWORK = "PrivateNetwork=yes\nRestrictAddressFamilies=AF_UNIX\nIPAddressDeny=any"


def unit_of(instance: str | None) -> str:
    """How units are called: of one of several nodes on a machine, after it. Raises InvalidInput."""
    if instance is None:
        return "oncofed"
    if not _INSTANCE.fullmatch(instance) or instance in _PARTS:
        remedy = f"Use up to 32 letters a to z and digits; not {', '.join(_PARTS)}."
        raise InvalidInput([Fault("--instance", "cannot be part of a unit's name", remedy)])
    return f"oncofed-{instance}"


def node_units(
    folder: NodeFolder, *, databases: tuple[str, ...], metrics: Path | None = None, instance: str | None = None
) -> dict[str, str]:
    """The text of each unit by file name. Raises InvalidInput.

    databases  IP addresses or networks, or "local".
    metrics    the folder that node_exporter's textfile collector reads; None: no figures are written.
    instance   where the machine has several nodes: which one this is.
    """
    site, unit = read_site(folder), unit_of(instance)
    if site.users is None:
        remedy = (
            "Write them into it: guard, node and relay, each with its system user. Then, as root: oncofed site init "
            f"{folder.root} --name {site.name} --users GUARD,NODE,RELAY. Never make a new folder for a node that has a "
            "ledger: its own would be empty."
        )
        raise InvalidInput([Fault("site.toml: [users]", "is missing: this node runs as one user", remedy)])
    policy = read_policy(folder.policy)
    faults = [*_out_of_sight(folder, policy), *_of_databases(policy, databases)]
    if faults:
        raise InvalidInput(faults)
    return filled(
        folder,
        name=site.name,
        users=site.users,
        command=installed_command(),
        databases=databases,
        metrics=metrics,
        unit=unit,
    )


def filled(
    folder: NodeFolder,
    *,
    name: str,
    users: NodeUsers,
    command: str,
    databases: tuple[str, ...] = (),
    metrics: Path | None = None,
    unit: str = "oncofed",
) -> dict[str, str]:
    """The same for a node that need not be there yet, as in a package. Raises InvalidInput.

    command  the whole path of `oncofed` where it will run.
    """
    texts = fill(
        "oncofed.client",
        NAMES if metrics is None else (*NAMES, *OF_METRICS),
        {
            "textfiles": "" if metrics is None else plain_path(metrics, where="--metrics"),
            "site": plain_words(name),
            "node": plain_path(folder.root, where="NODE"),
            "oncofed": command,
            "guard": users.guard,
            "node_user": users.node,
            "relay": users.relay,
            "network": _network(databases),
            "unit": unit,
        },
    )
    return {name.replace("oncofed", unit, 1): text for name, text in texts.items()}


def _network(databases: tuple[str, ...]) -> str:
    addresses = [each for each in databases if each != LOCAL]
    if not addresses:
        return _NO_NETWORK
    return f"RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6\nIPAddressDeny=any\nIPAddressAllow={' '.join(addresses)}"


def _out_of_sight(folder: NodeFolder, policy: NodePolicy) -> list[Fault]:
    named = [(source.name, source.source.path or source.source.url_file) for source in policy.sources]
    places = [(f"policy.toml: {name}", Path(os.path.realpath(path))) for name, path in named if path is not None]
    return [
        Fault(
            where, f"lies below {hidden}, which the services do not see", "Put it elsewhere, below /srv for instance."
        )
        for where, path in (("NODE", folder.root), *places)
        for hidden in _HIDDEN
        if path.is_relative_to(hidden)
    ]


def _of_databases(policy: NodePolicy, databases: tuple[str, ...]) -> list[Fault]:
    faults = []
    for each in databases:
        try:
            if each != LOCAL:
                ipaddress.ip_network(each)
        except ValueError:
            remedy = f'Write numbers, such as 10.2.0.7; names cannot be let through. "{LOCAL}" for a unix socket.'
            faults.append(Fault("--database", "is no IP address", remedy))
    if not databases:
        faults += [
            Fault(
                f"policy.toml: {source.name}",
                "is a database, and the guard's unit has no network",
                f"Add --database ADDRESS, the database server's IP address (--database {LOCAL}: a unix socket).",
            )
            for source in policy.sources
            if source.source.kind is SourceKind.SQL
        ]
    faults += [
        Fault(f"policy.toml: {source.name}", "takes its address from a variable", "Use url_file: a unit shows its own.")
        for source in policy.sources
        if source.source.url_variable is not None
    ]
    return faults
