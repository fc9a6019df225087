"""How does one see what a node does, has spent and has let out? Six commands of `oncofed site`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from oncofed.client.install.node_argument import NODE, go_on_as
from oncofed.errors import Fault, InvalidInput

if TYPE_CHECKING:
    from oncofed.client.install.folder import NodeFolder

# Everything but click is imported where it is used, so that `oncofed --help` answers at once.
# ruff: noqa: PLC0415

_FAULT_FOUND = 1


@click.command()
@NODE
def status(folder: NodeFolder) -> None:
    """Say what runs, what was asked last, and how far each plan is.

    \b
    Example:
      oncofed site status NODE
    """
    from oncofed.client.install.inbox import offered_plans, refuse_unread
    from oncofed.client.install.progress import progress
    from oncofed.client.records.audit_log import verify_audit_log
    from oncofed.protocol.plan_hash import shown_of
    from oncofed.supervision import read_status

    if os.path.lexists(folder.status):
        for seen in read_status(folder.status):
            state = f"runs since {seen.since}" if _is_alive(seen.pid) else "does not run"
            click.echo(f"{seen.process:10s} {state}, started again {seen.restarts} times")
    else:
        click.echo("Not started with `oncofed site start`; for the services ask systemctl status 'oncofed-*'.")
    go_on_as("guard", folder)
    entries = verify_audit_log(folder.audit_log).entries  # none, where there is no log yet
    if entries:
        last = entries[-1]
        about = shown_of(last.plan_hash, among=[entry.plan_hash for entry in entries])
        where = f" (plan {about}, round {last.round})" if last.round is not None else ""
        click.echo(f"Last entry of the audit log: {last.time} {last.event} {last.code}{where}")
    plans = offered_plans(folder)
    for plan in plans.read:
        click.echo(f"Plan {plan.plan_hash[: plans.digits]} {plan.study}: {progress(plan, entries)}")
    refuse_unread(plans.unread)


def _is_alive(pid: int | None) -> bool:
    """The file may be older than a power failure, or than the end of who wrote it."""
    if pid is None:
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:  # it is there, and another user's
        return True
    except ProcessLookupError:
        return False
    return True


@click.command()
@NODE
def doctor(folder: NodeFolder) -> None:
    """Examine the node: clock, TLS, network, ports, file rights, disk, versions, keys, ledger; with remedies.

    Exit code 1 when there is a fault. Run it as root for the whole picture.

    \b
    Example:
      sudo oncofed site doctor NODE
    """
    from oncofed.client.install.doctor import examine
    from oncofed.client.install.findings import Verdict, worst

    findings = examine(folder)
    for finding in findings:
        click.echo(str(finding))
    if worst(findings) is Verdict.FAULT:
        sys.exit(_FAULT_FOUND)


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
    from oncofed.client.guard.policy_file import read_policy, shared_in_words
    from oncofed.client.install.inbox import approved_on, offered_plans, refuse_unread
    from oncofed.client.records.ledger_view import ledger_view
    from oncofed.client.records.sqlite_ledger import read_ledger, verify_ledger
    from oncofed.privacy.releases import release_of_round

    go_on_as("guard", folder)
    head = verify_ledger(folder.ledger, anchor=anchor)
    entries = read_ledger(folder.ledger)
    plans = offered_plans(folder)
    names = {plan.plan_hash: plan.study for plan in plans.read}
    for named in read_policy(folder.policy).sources:
        private = [
            document.plan
            for document in approved_on(plans.read, named.name)
            if document.plan.privacy.noise_multiplier > 0
        ]
        event = release_of_round(private[-1]).event if private else None
        view = ledger_view(
            entries,
            data_source=named.name,
            budget=named.site_policy.budget,
            head=head,
            next_event=event,
            next_plan=private[-1].hash if private else "",
            study_names=names,
            counted_with=named.counted_with,
            shared=shared_in_words(named),
        )
        for line in view.lines():
            click.echo(line)
    known = {named.name for named in read_policy(folder.policy).sources}
    for gone in sorted({entry.data_source for entry in entries} - known):
        releases = sum(entry.data_source == gone for entry in entries)
        click.echo(f"Data source {gone}: {releases} releases, and {folder.policy.name} does not name it any more.")
        click.echo("  The same patients under a new name would be given a new budget: restore the name.")
    refuse_unread(plans.unread)


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
    from oncofed.client.records.audit_log import verify_audit_log
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
