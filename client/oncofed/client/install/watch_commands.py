"""How does one see what a node does, has spent and has let out? Seven commands of `oncofed site`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from oncofed.client.install.node_argument import NODE, go_on_as
from oncofed.errors import Fault, InvalidInput

if TYPE_CHECKING:
    from oncofed.client.install.folder import NodeFolder

# Everything but click is imported where it is used, so that `oncofed --help` answers at once.
# ruff: noqa: PLC0415

_NOT_WELL = 1
_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object; docs/monitoring.md describes it.")


@click.command()
@NODE
@_JSON
def status(folder: NodeFolder, as_json: bool) -> None:
    """Say what runs, what was asked last, and how far each plan is.

    \b
    Exit codes:
      0  guard, node and relay run
      1  one of them does not, or (not as root) cannot be seen; or a record or a plan's document cannot be read
      2  NODE is no node, or a file of its settings is damaged
    \b
    Examples:
      sudo oncofed site status NODE
      sudo oncofed site status NODE --json
    """
    from datetime import UTC, datetime

    from oncofed.client.install.folder import read_site
    from oncofed.client.install.inbox import refuse_unread
    from oncofed.client.install.node_status import node_status
    from oncofed.running import parts_of

    site, parts = read_site(folder).name, parts_of(folder.locks, logs=folder.logs, status=folder.status)
    go_on_as("guard", folder)
    seen = node_status(folder, site=site, parts=parts, now=datetime.now(UTC))
    if as_json:
        _echo_json(seen.fields())
    else:
        for line in seen.lines():
            click.echo(line)
        refuse_unread(seen.unread)
    if seen.unread or not seen.all_run:
        sys.exit(_NOT_WELL)


def _echo_json(fields: dict[str, object]) -> None:
    import json

    click.echo(json.dumps(fields, indent=1))


@click.command()
@NODE
@_JSON
def doctor(folder: NodeFolder, as_json: bool) -> None:
    """Examine the node: clock, TLS, network, ports, file rights, disk, versions, keys, ledger, parts; with remedies.

    Run it as root for the whole picture.

    \b
    Exit codes:
      0  no fault; there may be warnings, such as a certificate that ends within 30 days
      1  a fault: a part does not run, or something does not work or is not safe
      2  NODE is no folder that can be looked at
    \b
    Examples:
      sudo oncofed site doctor NODE
      sudo oncofed site doctor NODE --json
    """
    from datetime import UTC, datetime
    from importlib.metadata import version

    from oncofed.client.install.doctor import examine
    from oncofed.client.install.findings import Verdict, worst
    from oncofed.client.install.node_status import FORM

    findings = examine(folder)
    if as_json:
        at = datetime.now(UTC).isoformat(timespec="seconds")
        found = [finding.fields() for finding in findings]
        verdict = worst(findings).lower()
        _echo_json({"form": FORM, "at": at, "version": version("oncofed"), "verdict": verdict, "findings": found})
    else:
        for finding in findings:
            click.echo(str(finding))
    if worst(findings) is Verdict.FAULT:
        sys.exit(_NOT_WELL)


@click.command()
@NODE
@click.option(
    "--out",
    metavar="FILE.prom",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Written whole, in place of the last; left out: shown.",
)
def metrics(folder: NodeFolder, out: Path | None) -> None:
    """Say what the hospital's own monitoring may know of the node, in Prometheus's text format. As root.

    For a timer, into the folder of node_exporter's textfile collector: nothing listens on a port for it. Nothing of a
    patient is in it; it names data sources and studies, so keep it in the house. docs/monitoring.md has each figure.

    \b
    Exit codes:
      0  written, whatever the figures say
      1  it could not be written
      2  NODE is no node, or FILE does not end in .prom
    \b
    Examples:
      sudo oncofed site metrics NODE
      sudo oncofed site metrics NODE --out /var/lib/prometheus/node-exporter/oncofed.prom
    """
    from datetime import UTC, datetime

    from oncofed.client.install.folder import read_site
    from oncofed.client.install.node_metrics import node_metrics
    from oncofed.client.install.setup import refuse_unless_root
    from oncofed.exposition import exposed, refuse_other_ending, write_textfile

    if out is not None:
        refuse_other_ending(out)
    site = read_site(folder)
    refuse_unless_root(site.users)
    text = exposed(node_metrics(folder, site, now=datetime.now(UTC)))
    if out is None:
        click.echo(text, nl=False)
    else:
        write_textfile(out, text)


@click.command()
@NODE
@click.option("--verify", "anchor", metavar="HEAD", help="A head noted earlier: nothing may be missing since.")
def ledger(folder: NodeFolder, anchor: str | None) -> None:
    """Say what each data source has spent, what is left, and how many more rounds that buys.

    \b
    Examples:
      oncofed site ledger NODE
      oncofed site ledger NODE --verify 12:8c1f...
    """
    from oncofed.client.install.inbox import refuse_unread
    from oncofed.client.install.spending import spending

    go_on_as("guard", folder)
    found = spending(folder, anchor=anchor)
    for line in found.lines(policy=folder.policy.name):
        click.echo(line)
    refuse_unread(found.unread)


@click.command()
@NODE
@click.option("--verify", is_flag=True, help="Only say whether the log is unchanged, and its head.")
@click.option("--anchor", metavar="HEAD", help="A head noted earlier: nothing may be missing since.")
@click.option("--last", type=click.IntRange(min=1), default=20, show_default=True, help="How many entries to show.")
def audit(folder: NodeFolder, verify: bool, anchor: str | None, last: int) -> None:
    """Show who asked what, what was approved and what left; verify that nobody changed the log.

    \b
    Examples:
      oncofed site audit NODE
      oncofed site audit NODE --verify --anchor 120:8c1f...
    """
    from oncofed.client.records.audit_entries import verify_audit_log
    from oncofed.protocol.plan_hash import digits_apart

    go_on_as("guard", folder)
    report = verify_audit_log(folder.audit_log, anchor=anchor)
    if not report.entries:
        click.echo("Empty: nobody has asked anything yet.")
        return
    if not verify:
        digits = digits_apart(entry.plan_hash for entry in report.entries)
        for entry in report.entries[-last:]:
            about = f"plan {entry.plan_hash[:digits]}" if entry.plan_hash else ""
            number = "" if entry.round is None else f"round {entry.round} attempt {entry.attempt}"
            left = "; ".join(f"left: {one.name} {one.shape} {one.dtype} {one.size_bytes} B" for one in entry.left)
            words = (entry.time, entry.event, entry.code, about, number, f"by {entry.by}" if entry.by else "", left)
            click.echo("  ".join(word for word in words if word))
    for line in report.lines():
        click.echo(line)


@click.command("close-log")
@NODE
def close_log(folder: NodeFolder) -> None:
    """Close the audit log, sign its head with the guard's key, and begin a new one. The guard may run.

    The closed log stays beside the new one, which goes on from it: both are read as one. Send the head and the closing
    elsewhere; whoever has them can tell whether a log that is shown later is that one.

    \b
    Example:
      oncofed site close-log NODE
    """
    from oncofed.client.install.folder import read_site
    from oncofed.client.install.person import person
    from oncofed.client.records.audit_files import closing_of
    from oncofed.client.records.audit_log import AuditLog
    from oncofed.client.records.closed_log import signed_closing
    from oncofed.secret_files import read_signing_key

    by = person()
    go_on_as("guard", folder)
    vouched = signed_closing(site=read_site(folder).name, answer_key=read_signing_key(folder.answer_key))
    closed, head = AuditLog(folder.audit_log).close(by=by, vouched=vouched)
    click.echo(f"Closed: {closed}. Leave it there: the new log goes on from it.")
    click.echo(f"Head, to note outside: {head}")
    click.echo(f"Signed by the guard in {closing_of(closed)}; a copy of it belongs outside, too.")


@click.command()
@NODE
@click.option("--plan", metavar="HASH", help="The study; left out: the only one with a model.")
@click.option("--patient", metavar="ID", help="As in the table; left out: asked for, where `ps` does not show it.")
@click.option("--cohort", is_flag=True, help="Instead of a patient: the strongest markers, in all and by tumour.")
@click.option("--top", type=click.IntRange(min=1), default=15, show_default=True, help="How many markers to list.")
def explain(folder: NodeFolder, plan: str | None, patient: str | None, cohort: bool, top: int) -> None:
    """Explain one patient's prognosis, marker by marker, with the delivered model. It stays in the hospital.

    \b
    Examples:
      oncofed site explain NODE
      oncofed site explain NODE --patient 4711
      oncofed site explain NODE --cohort
    """
    from oncofed.client.install.explaining import explain_patient
    from oncofed.client.install.person import person
    from oncofed.client.pages.cohort_lines import explain_cohort
    from oncofed.client.pages.of_node import hospital_of

    if cohort and patient:
        raise InvalidInput([Fault("--cohort", "stands beside --patient", "Give one of the two.")])
    if cohort:
        by = person()
        go_on_as("guard", folder)
        for line in explain_cohort(hospital_of(folder, plan=plan, by=by), most_markers=top):
            click.echo(line)
        return
    patient = patient or click.prompt("Patient")
    go_on_as("guard", folder)
    for line in explain_patient(folder, beginning=plan, patient_id=patient, most_markers=top):
        click.echo(line)
