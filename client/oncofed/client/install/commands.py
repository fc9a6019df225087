"""How does hospital IT install, enrol and start a node? `oncofed site`, with all its commands."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from oncofed.client.fit.commands import drift, recalibrate
from oncofed.client.install.backup_commands import backup, restore
from oncofed.client.install.node_argument import NODE, go_on_as
from oncofed.client.install.peer_commands import card, peers, verify
from oncofed.client.install.plan_commands import approve, decline, forget, plans
from oncofed.client.install.source_commands import other_patients
from oncofed.client.install.watch_commands import audit, close_log, doctor, explain, ledger, metrics, status
from oncofed.client.pages.commands import pages
from oncofed.errors import Fault, InvalidInput

if TYPE_CHECKING:
    from oncofed.client.install.folder import NodeFolder

# Everything but click is imported where it is used, so that `oncofed --help` answers at once.
# ruff: noqa: PLC0415

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_LARGEST_ACCEPTANCE = 1_000_000
"""Bytes."""
_OUT = click.Path(dir_okay=False, path_type=Path)


@click.group()
def site() -> None:
    """Install and guard a hospital's node: enrol, approve plans, start, look after it.

    NODE is the node's folder, for instance /etc/oncofed. docs/install-hospital.md goes through all of it.

    \b
    Examples:
      oncofed site init NODE --name charite
      oncofed site request NODE --out charite.request.json
      oncofed site accept NODE charite.acceptance.json
      oncofed site check NODE
      oncofed site card NODE
      oncofed site verify NODE essen
      oncofed site start NODE
      oncofed site plans NODE
      oncofed site approve NODE 4f1c --source tumour-registry
      oncofed site forget NODE --waiting
      oncofed site ledger NODE
      oncofed site doctor NODE
      oncofed site metrics NODE
      oncofed site recalibrate NODE
      oncofed site drift NODE --time-zero diagnosis_date
      oncofed site backup NODE tonight.tar
    """


@site.command()
@NODE
@click.option("--name", required=True, help="The hospital's name in every study: letters, digits, - and _.")
@click.option(
    "--users",
    metavar="GUARD,NODE,RELAY",
    help="Three system users that share the work; needed for real patients. Left out: all as you, to try it.",
)
@click.option("--port", type=click.IntRange(1, 65535), help="On loopback only; 9094 when left out.")
def init(folder: NodeFolder, name: str, users: str | None, port: int | None) -> None:
    """Lay out NODE with a policy that allows nothing yet. Repeat it to set all file rights again.

    \b
    Examples:
      oncofed site init /etc/oncofed --name charite --users oncofed-guard,oncofed-node,oncofed-relay
      oncofed site init try --name try
    """
    from oncofed.client.install.folder import LOOPBACK, NodeUsers, SiteSettings, read_site
    from oncofed.client.install.setup import create

    named = None
    if users is not None:
        listed = [each.strip() for each in users.split(",")]
        if len(listed) != 3 or len(set(listed)) != 3:
            remedy = "Write --users oncofed-guard,oncofed-node,oncofed-relay."
            raise InvalidInput([Fault("--users", "does not name three different users", remedy)])
        named = NodeUsers(*listed)
        if os.geteuid() != 0:
            raise InvalidInput([Fault("--users", "only root can give files to other users", "Run it with sudo.")])

    def refuse_others() -> None:
        before, edit = read_site(folder), f"Edit {folder.settings}, then repeat this without"
        faults = []
        if named is not None and named != before.users:
            faults.append(Fault("--users", "are not those of this node", f"{edit} --users."))
        if port is not None and port != before.runtime_port:
            faults.append(Fault("--port", "is not this node's", f"{edit} --port."))
        if faults:
            raise InvalidInput(faults)

    if folder.settings.exists():
        refuse_others()
    if create(folder, SiteSettings(name, f"{LOOPBACK}:{port or 9094}", None, named)):
        click.echo(f"{folder.root} is the node of {name}.")
    else:
        refuse_others()  # it may have been made since, by somebody who gave this command at the same moment
        click.echo(
            f"{folder.root} was the node of {name} already: what is in it is kept, and all rights are set again."
        )
    click.echo(f"Next: write down the rules in {folder.policy}, then: oncofed site check {folder.root}")


@site.command()
@NODE
@click.option("--out", metavar="FILE", type=_OUT, help="Where the request to send goes; left out: NAME.request.json.")
def request(folder: NodeFolder, out: Path | None) -> None:
    """Make the node's key, which never leaves NODE, and the request to send to the coordinator.

    \b
    Example:
      oncofed site request NODE --out charite.request.json
    """
    from oncofed.client.install.enrolment import make_request
    from oncofed.client.install.folder import read_site
    from oncofed.client.install.rights import hand_over
    from oncofed.protocol.enrolment import fingerprint, request_bytes

    made = make_request(folder)
    hand_over(folder, read_site(folder).users)
    content = request_bytes(made)
    out = Path(f"{made.site}.request.json") if out is None else out
    out.write_bytes(content)
    click.echo(f"Send {out} to the coordinator. It holds no secret.")
    click.echo(f"Fingerprint, to read out by telephone when they ask: {fingerprint(content)}")


@site.command()
@NODE
@click.argument("acceptance_file", metavar="ACCEPTANCE", type=_FILE)
@click.option("--fingerprint", help="What the coordinator read out by telephone; asked for when left out.")
@click.option("--change", is_flag=True, help="The coordinator that is pinned told you that it has other keys.")
def accept(folder: NodeFolder, acceptance_file: Path, fingerprint: str | None, change: bool) -> None:
    """Pin the coordinator that answered the request: its address, certificate and key.

    Again when it sends another one, because its address or its keys have changed.

    \b
    Examples:
      oncofed site accept NODE charite.acceptance.json
      oncofed site accept NODE charite.acceptance.json --change
    """
    from oncofed.client.install.enrolment import accept as pin
    from oncofed.client.install.enrolment import keeps_its_keys
    from oncofed.client.install.folder import read_site
    from oncofed.client.install.rights import hand_over
    from oncofed.plain_file import file_content

    content = file_content(acceptance_file, most=_LARGEST_ACCEPTANCE)
    if fingerprint is None and not keeps_its_keys(folder, content):
        fingerprint = click.prompt("Fingerprint that the coordinator reads out by telephone")
    changed = pin(folder, content, heard_fingerprint=fingerprint, change=change)
    hand_over(folder, read_site(folder).users)
    for each in changed:
        click.echo(f"Changed: {each}.")
    if changed:
        click.echo("Next: start the node again: systemctl restart oncofed.target")
    click.echo(f"Pinned: {read_site(folder).enrolled.address}. Next: oncofed site doctor {folder.root}")


@site.command()
@NODE
def check(folder: NodeFolder) -> None:
    """Say every fault of policy.toml, whether each data source can be read, and whether it fits the plans at hand.

    \b
    Example:
      oncofed site check NODE
    """
    from oncofed.client.guard.policy_file import read_policy, shared_in_words
    from oncofed.client.install.source_checks import plans_at_hand, rows_of
    from oncofed.client.records.source_memory import refuse_fresh_budgets

    go_on_as("guard", folder)
    policy = read_policy(folder.policy)
    plans = plans_at_hand(folder, tell=click.echo)
    faults: list[Fault] = []
    try:
        refuse_fresh_budgets(folder, policy)
    except InvalidInput as refused:
        faults += refused.faults
    for named in policy.sources:
        try:
            rows = rows_of(named.source, plans, only_source=len(policy.sources) == 1, tell=click.echo)
        except InvalidInput as refused:
            faults += refused.faults
            continue
        click.echo(
            f"{named.name}: {rows} rows; all studies together may spend epsilon "
            f"{named.site_policy.largest_epsilon:g} at delta {named.site_policy.delta:g}{shared_in_words(named)}"
        )
    if faults:
        raise InvalidInput(faults)
    click.echo(f"{folder.policy}: no faults. Whether a table fits a study is checked here once its plan is offered.")


@site.command()
@NODE
@click.option("--only", type=click.Choice(["guard", "node", "relay"]), help="One part; as root, as its user.")
def start(folder: NodeFolder, only: str | None) -> None:
    """Run the node until Ctrl-C or SIGTERM: guard, SuperNode and relay, started again when they die.

    The systemd units run each part by itself, with --only.

    \b
    Examples:
      oncofed site start NODE
      oncofed site start NODE --only guard
    """
    from oncofed.client.install.folder import read_site
    from oncofed.client.install.services import node_services
    from oncofed.supervision import Supervisor

    settings = read_site(folder)
    if only is None and settings.users is not None and os.geteuid() != 0:
        raise InvalidInput([Fault("site start", "cannot become the three users of site.toml", "Run it with sudo.")])
    services = node_services(folder, settings, inherited=os.environ)
    os.chdir("/")  # relays go to where this started, and may not enter root's home
    if only is not None:
        go_on_as(only, folder)
        (service,) = (each for each in services if each.name == only)
        os.execve(service.command[0], service.command, dict(service.environment))  # noqa: S606 - our own command
    Supervisor(services, logs=folder.logs, status=folder.status, echo=click.echo).run()


@site.command()
@NODE
@click.option("--out", required=True, metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--database",
    "databases",
    multiple=True,
    metavar="ADDRESS",
    help="IP address of a database that policy.toml reads; `local`: a unix socket. Left out, the guard has no network.",
)
@click.option(
    "--metrics",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder of node_exporter's textfile collector: a timer writes figures for Prometheus there.",
)
@click.option("--instance", metavar="NAME", help="Of several nodes on this machine: its units are oncofed-NAME-...")
def units(
    folder: NodeFolder, out: Path, databases: tuple[str, ...], metrics: Path | None, instance: str | None
) -> None:
    """Write systemd units that run the node's three parts as its three users.

    \b
    Examples:
      oncofed site units /etc/oncofed --out /etc/systemd/system
      oncofed site units /etc/oncofed --out /etc/systemd/system --database 10.2.0.7
      oncofed site units /etc/oncofed --out /etc/systemd/system --metrics /var/lib/prometheus/node-exporter
      oncofed site units /etc/oncofed-ulm --out /etc/systemd/system --instance ulm
    """
    from oncofed.client.install.units import node_units, unit_of
    from oncofed.unit_files import write

    for path in write(out, node_units(folder, databases=databases, metrics=metrics, instance=instance)):
        click.echo(f"Wrote {path}")
    unit = unit_of(instance)
    timer = "" if metrics is None else f" {unit}-metrics.timer"
    click.echo(f"Next: systemctl daemon-reload && systemctl enable --now {unit}.target{timer}")


for _command in (
    plans,
    approve,
    decline,
    forget,
    other_patients,
    card,
    verify,
    peers,
    status,
    doctor,
    metrics,
    ledger,
    audit,
    close_log,
    explain,
    recalibrate,
    drift,
    pages,
    backup,
    restore,
):
    site.add_command(_command)
