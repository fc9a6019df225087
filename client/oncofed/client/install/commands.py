"""How does hospital IT install and enrol a node, and decide about plans? `oncofed site` (and see `watch_commands`)."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from oncofed.client.install.backup_commands import backup, restore
from oncofed.client.install.node_argument import NODE, go_on_as
from oncofed.client.install.peer_commands import card, peers, verify
from oncofed.client.install.person import person
from oncofed.client.install.source_commands import other_patients
from oncofed.client.install.watch_commands import audit, close_log, doctor, explain, ledger, status
from oncofed.client.pages.commands import pages
from oncofed.errors import Fault, InvalidInput

if TYPE_CHECKING:
    from oncofed.client.install.folder import NodeFolder
    from oncofed.protocol.study_document import StudyDocument

# Everything but click is imported where it is used, so that `oncofed --help` answers at once.
# ruff: noqa: PLC0415

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
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
    if folder.settings.exists():
        before, edit = read_site(folder), f"Edit {folder.settings}, then repeat this without"
        faults = []
        if named is not None and named != before.users:
            faults.append(Fault("--users", "are not those of this node", f"{edit} --users."))
        if port is not None and port != before.runtime_port:
            faults.append(Fault("--port", "is not this node's", f"{edit} --port."))
        if faults:
            raise InvalidInput(faults)
    create(folder, SiteSettings(name, f"{LOOPBACK}:{port or 9094}", None, named))
    click.echo(f"{folder.root} is the node of {name}.")
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
    from oncofed.client.install.setup import hand_over
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
def accept(folder: NodeFolder, acceptance_file: Path, fingerprint: str | None) -> None:
    """Pin the coordinator that answered the request: its address, certificate and key.

    \b
    Example:
      oncofed site accept NODE charite.acceptance.json
    """
    from oncofed.client.install.enrolment import accept as pin
    from oncofed.client.install.folder import read_site
    from oncofed.client.install.setup import hand_over

    heard = fingerprint or click.prompt("Fingerprint that the coordinator reads out by telephone")
    acceptance = pin(folder, acceptance_file.read_bytes(), heard_fingerprint=heard)
    hand_over(folder, read_site(folder).users)
    click.echo(f"Pinned: {acceptance.coordinator_address}. Next: oncofed site doctor {folder.root}")


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
@click.option("--add", "plan_file", metavar="PLAN", type=_FILE, help="Keep a plan that came by mail.")
@click.option("--show", "shown", metavar="HASH", help="Say in words what a plan asks for.")
def plans(folder: NodeFolder, plan_file: Path | None, shown: str | None) -> None:
    """List the plans that this hospital was offered, or say what one asks for.

    \b
    Examples:
      oncofed site plans NODE
      oncofed site plans NODE --show 4f1c
    """
    from oncofed.client.install.inbox import looked_at, offered_plans
    from oncofed.plain_file import file_content
    from oncofed.protocol.study_document import LARGEST_BYTES, sealed_document

    mailed = (
        None if plan_file is None else file_content(plan_file, most=LARGEST_BYTES)
    )  # where perhaps only root may read
    go_on_as("guard", folder)
    if plan_file is not None and mailed is not None:
        _add(folder, mailed, where=plan_file.name)
        looked_at(folder, sealed_document(mailed).plan_hash)
    if shown is not None:
        click.echo(_in_words(folder, looked_at(folder, shown).document))
        return
    found = offered_plans(folder)
    for plan in found:
        source = "" if plan.decision is None or not plan.decision.data_source else f" on {plan.decision.data_source}"
        click.echo(f"{plan.plan_hash[:12]}  {plan.study:24s} {plan.state}{source}")
    if not found:
        click.echo("None yet. A running node gets them from the coordinator.")
    elif any(plan.waits for plan in found):
        click.echo(f"Read one: oncofed site plans {folder.root} --show HASH; then approve or decline it.")


def _add(folder: NodeFolder, document: bytes, *, where: str) -> None:
    from oncofed.client.guard.node_guard import NodeGuard
    from oncofed.client.guard.pinned_keys import pinned_keys
    from oncofed.client.install.folder import read_site
    from oncofed.protocol.messages import PlanState

    settings = read_site(folder)
    if (
        NodeGuard(folder, site=settings.name, keys=pinned_keys(folder, settings)).offer_plan(document)
        is PlanState.REFUSED
    ):
        remedy = "It must be signed by the pinned coordinator and name this hospital with its own key, node.pub."
        raise InvalidInput([Fault(where, "is not a plan for this hospital", remedy)])


def _in_words(folder: NodeFolder, document: StudyDocument) -> str:
    """What the plan asks for, and who its hospitals are as far as this one knows."""
    from oncofed.client.guard.policy_file import read_policy
    from oncofed.client.install.folder import read_site
    from oncofed.client.install.peers import peers_in_words
    from oncofed.protocol.plan_words import plan_in_words
    from oncofed.protocol.study_document import schema_of
    from oncofed.survival.network import parameter_count
    from oncofed.texts import terminal_columns

    said = plan_in_words(
        document.plan,
        schema_of(document),
        parameters=parameter_count(document.plan.model),
        columns=terminal_columns(),
    )
    known = peers_in_words(document.plan, read_policy(folder.policy).peers, site=read_site(folder).name)
    return f"{said}\n{known}"


@site.command()
@NODE
@click.argument("plan", metavar="HASH")
@click.option("--source", required=True, help="Name of the data source in policy.toml that takes part.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def approve(folder: NodeFolder, plan: str, source: str, yes: bool) -> None:
    """Approve a plan for the patients that a data source holds now, and freeze them.

    Reads and checks the whole table, and writes the patients down as they are now, for the guard alone. Every answer is
    made from them, whatever becomes of the table, until you approve again, which freezes the table as it is then, or
    decline, which removes them. Each kind of answer is tried first, and a plan whose times are too short for this
    machine is refused.

    \b
    Example:
      oncofed site approve NODE 4f1c --source tumour-registry
    """
    from datetime import UTC, datetime

    from oncofed.client.guard.policy_file import read_policy
    from oncofed.client.guard.trial import measured, refuse_if_slow
    from oncofed.client.install.folder import read_site
    from oncofed.client.install.inbox import approvals_of, looked_at, offers_of
    from oncofed.client.records.agreement import refuse_disagreement
    from oncofed.client.records.audit_log import AuditLog
    from oncofed.client.records.source_memory import remember_sources
    from oncofed.client.records.sqlite_ledger import SqliteLedger
    from oncofed.protocol.study_document import document_bytes, schema_of

    by = person()
    go_on_as("guard", folder)
    document = looked_at(folder, plan).document
    if not yes:
        click.echo(_in_words(folder, document))
        if not click.confirm(f"Approve it for data source {source}?"):
            click.echo("Not approved. To tell the coordinator: oncofed site decline")
            sys.exit(1)
    policy = read_policy(folder.policy)
    named = policy.source(source)
    refuse_disagreement(folder)
    remember_sources(folder, policy, AuditLog(folder.audit_log))
    ledger = SqliteLedger(
        folder.ledger,
        data_source=named.name,
        budget=named.site_policy.budget,
        counted_with=named.counted_with,
    )
    approvals_of(folder).approve(
        document.plan,
        schema_of(document),
        site=read_site(folder).name,
        policy=policy,
        source=named,
        ledger=ledger,
        approved_by=by,
        now=datetime.now(UTC),
        trial=lambda file, sha256: refuse_if_slow(
            document.plan,
            measured(
                document.plan,
                site=read_site(folder).name,
                policy=named.site_policy,
                file=file,
                sha256=sha256,
            ),
        ),
    )
    if not offers_of(folder).path(document.plan.hash).exists():  # somebody else here has just said `forget`
        offers_of(folder).keep(document.plan.hash, document_bytes(document))
    click.echo(f"Approved: {document.plan.study} on {source}. The running node answers from now on.")
    click.echo("Its patients are frozen as they are now: a table that changes later changes no answer.")
    click.echo("To take a newer table, approve again; to remove the frozen patients, oncofed site decline.")


@site.command()
@NODE
@click.argument("plan", metavar="HASH")
def decline(folder: NodeFolder, plan: str) -> None:
    """Decline a plan, or withdraw its approval: its requests are refused from now on, its frozen patients removed.

    \b
    Example:
      oncofed site decline NODE 4f1c
    """
    from datetime import UTC, datetime

    from oncofed.client.install.inbox import approvals_of, find_plan

    by = person()
    go_on_as("guard", folder)
    document = find_plan(folder, plan).document
    approvals_of(folder).decline(document.plan, declined_by=by, now=datetime.now(UTC))
    click.echo(f"Declined: {document.plan.study}. To take it off the list: oncofed site forget")


@site.command()
@NODE
@click.argument("plan", metavar="[HASH]", default="")
@click.option("--waiting", is_flag=True, help="All that wait for a decision.")
def forget(folder: NodeFolder, plan: str, waiting: bool) -> None:
    """Take a plan off the list: one that nobody decided on, or that was declined. It may be offered again.

    \b
    Examples:
      oncofed site forget NODE 4f1c
      oncofed site forget NODE --waiting
    """
    from oncofed.client.install.inbox import find_plan, offered_plans, offers_of

    if bool(plan) == waiting:
        raise click.UsageError("Name a plan, or add --waiting.")
    go_on_as("guard", folder)
    waits = [each for each in offered_plans(folder) if each.waits] if waiting else []
    for each in waits if waiting else [find_plan(folder, plan)]:
        if not offers_of(folder).forget(each.plan_hash):
            remedy = f"Withdraw the approval first: oncofed site decline {folder.root} {each.plan_hash[:12]}"
            raise InvalidInput([Fault("plan", "is approved", remedy)])
        click.echo(f"Forgotten: {each.plan_hash[:12]}  {each.study}")
    if waiting and not waits:
        click.echo("No plan waits for a decision.")


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
def units(folder: NodeFolder, out: Path, databases: tuple[str, ...]) -> None:
    """Write systemd units that run the node's three parts as its three users.

    \b
    Examples:
      oncofed site units /etc/oncofed --out /etc/systemd/system
      oncofed site units /etc/oncofed --out /etc/systemd/system --database 10.2.0.7
    """
    from oncofed.client.install.units import node_units
    from oncofed.unit_files import write

    for path in write(out, node_units(folder, databases=databases)):
        click.echo(f"Wrote {path}")
    click.echo("Next: systemctl daemon-reload && systemctl enable --now oncofed.target")


for _command in (
    other_patients,
    card,
    verify,
    peers,
    status,
    doctor,
    ledger,
    audit,
    close_log,
    explain,
    pages,
    backup,
    restore,
):
    site.add_command(_command)
