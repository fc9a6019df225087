"""How does a hospital read the plans that it was offered, and decide about each? Four commands of `oncofed site`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from oncofed.client.install.node_argument import NODE, go_on_as
from oncofed.client.install.person import person
from oncofed.errors import Fault, InvalidInput

if TYPE_CHECKING:
    from oncofed.client.install.folder import NodeFolder
    from oncofed.client.pages.accounts import Account
    from oncofed.protocol.study_document import StudyDocument

# Everything but click is imported where it is used, so that `oncofed --help` answers at once.
# ruff: noqa: PLC0415

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@NODE
@click.option("--add", "plan_file", metavar="PLAN", type=_FILE, help="Keep a plan that came by mail.")
@click.option("--show", "shown", metavar="HASH", help="Say in words what a plan asks for.")
@click.option("--language", type=click.Choice(["en", "de"]), default="en", show_default=True, help="Of these words.")
def plans(folder: NodeFolder, plan_file: Path | None, shown: str | None, language: str) -> None:
    """List the plans that this hospital was offered, or say what one asks for.

    \b
    Examples:
      oncofed site plans NODE
      oncofed site plans NODE --show 4f1c
      oncofed site plans NODE --show 4f1c --language de
    """
    from oncofed.client.install.inbox import looked_at, offered_plans, refuse_unread
    from oncofed.plain_file import file_content
    from oncofed.protocol.study_document import LARGEST_BYTES, sealed_document

    # As who gave the command: it may lie where only root may read.
    mailed = None if plan_file is None else file_content(plan_file, most=LARGEST_BYTES)
    go_on_as("guard", folder)
    if plan_file is not None and mailed is not None:
        _add(folder, mailed, where=plan_file.name)
        looked_at(folder, sealed_document(mailed).plan_hash)
    if shown is not None:
        click.echo(_in_words(folder, looked_at(folder, shown).document, language))
        return
    found = offered_plans(folder)
    for plan in found.read:
        source = "" if plan.decision is None or not plan.decision.data_source else f" on {plan.decision.data_source}"
        click.echo(f"{plan.plan_hash[: found.digits]}  {_on_one_line(plan.study):24s} {plan.state}{source}")
    if not found.read and not found.unread:
        click.echo(
            "None yet. A running node gets them from the coordinator, which offers a study again about every 15 "
            "seconds as long as it waits for approvals: look again in a minute."
        )
    elif any(plan.waits for plan in found.read):
        click.echo(f"Read one: oncofed site plans {folder.root} --show HASH; then approve or decline it.")
    refuse_unread(found.unread)


def _on_one_line(study: str) -> str:
    """As a list shows it: what goes on where a terminal of 80 columns breaks a line could look like another plan's."""
    whole = " ".join(study.split())
    return whole if len(whole) <= _SHOWN_OF_A_NAME else f"{whole[: _SHOWN_OF_A_NAME - 3]}..."


_SHOWN_OF_A_NAME = 32
"""Each may take two columns."""


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


def _in_words(folder: NodeFolder, document: StudyDocument, language: str = "en") -> str:
    from oncofed.client.install.deciding import plan_in_words
    from oncofed.texts import terminal_columns
    from oncofed.words.languages import language_called

    return plan_in_words(folder, document, columns=terminal_columns(), say=language_called(language))


_AS = click.option(
    "--as", "account", metavar="NAME", help="Your account of the pages, with the role approver; asks for its password."
)


@click.command()
@NODE
@click.argument("plan", metavar="HASH")
@click.option("--source", required=True, help="Name of the data source in policy.toml that takes part.")
@click.option("--yes", is_flag=True, help="Do not ask. Wants 12 digits of the hash.")
@_AS
def approve(folder: NodeFolder, plan: str, source: str, yes: bool, account: str | None) -> None:
    """Approve a plan for the patients that a data source holds now, and freeze them.

    Reads and checks the whole table, and writes the patients down as they are now, for the guard alone. Every answer is
    made from them, whatever becomes of the table, until you approve again, which freezes the table as it is then, or
    decline, which removes them. Each kind of answer is tried first, and a plan whose times are too short for this
    machine is refused.

    Where policy.toml asks for two persons (persons_to_approve), each gives this command with --as, or says so in the
    console; the second one takes the decision.

    \b
    Examples:
      oncofed site approve NODE 4f1c --source tumour-registry
      oncofed site approve NODE 4f1c --source tumour-registry --as dr.klein
    """
    from oncofed.client.guard.policy_file import read_policy
    from oncofed.client.install import deciding
    from oncofed.client.install.inbox import looked_at
    from oncofed.client.records.decisions import Decision
    from oncofed.protocol.plan_hash import SHOWN_DIGITS, refuse_short

    if yes:  # nobody reads what it asks for now: few digits are of any plan that whoever draws it up wants
        refuse_short(plan, where="HASH, with --yes", fewest=SHOWN_DIGITS)
    by = person()
    go_on_as("guard", folder)
    if account is None:
        deciding.refuse_one_person(read_policy(folder.policy))
    known = deciding.Known.of(folder)
    document = looked_at(folder, plan, known.decisions).document
    plan_hash = document.plan.hash
    looked_on = known.wishes(plan_hash).ended
    if not yes:
        click.echo(_in_words(folder, document))
        if not click.confirm(f"Approve it for data source {source}?"):
            click.echo("Not approved. To tell the coordinator: oncofed site decline")
            sys.exit(1)
    if account is None:
        deciding.approve(folder, document, source=source, by=by, looked_on=looked_on)
    else:
        signed_in = _signed_in(folder, account)
        deciding.want(known, plan_hash, Decision.APPROVED, of=source, by=signed_in, looked_on=looked_on)
        taken = deciding.take(folder, plan_hash, known)
        if taken is None:
            click.echo(f"Noted: {signed_in.name} wants it. It is in force once another person says so, too.")
            return
        if taken.decision is Decision.DECLINED:
            click.echo(f"Not approved: {taken.decided_by} has declined it.")
            sys.exit(1)
    click.echo(f"Approved: {_on_one_line(document.plan.study)} on {source}. The running node answers from now on.")
    click.echo("Its patients are frozen as they are now: a table that changes later changes no answer.")
    click.echo("To take a newer table, approve again; to remove the frozen patients, oncofed site decline.")


def _signed_in(folder: NodeFolder, account: str) -> Account:
    """The account, for its password. A refusal is noted, as on the pages."""
    from oncofed.client.install.deciding import may_decide
    from oncofed.client.install.kept_settings import accounts_of
    from oncofed.client.pages.accounts import Accounts
    from oncofed.client.pages.viewing_record import REFUSED, ROLE, WRONG_PASSWORD
    from oncofed.client.records.audit_log import AuditLog

    found = Accounts(accounts_of(folder)).checked(account, _password_of(account))
    if found is None or not may_decide(found):
        reason, by = (WRONG_PASSWORD, "") if found is None else (ROLE, found.name)
        AuditLog(folder.audit_log).append(REFUSED, code=reason, by=by)
        what = "is no account with this password" if found is None else "is no approver"
        raise InvalidInput([Fault("--as", what, f"oncofed site pages users {folder.root} lists the accounts.")])
    return found


def _password_of(account: str) -> str:
    return str(click.prompt(f"Password of {account}", hide_input=True))


_REASONS = ("purpose", "budget", "data", "peers", "ethics", "ended", "other")


@click.command()
@NODE
@click.argument("plan", metavar="HASH")
@click.option("--reason", type=click.Choice(_REASONS), help="For the audit log; nobody outside learns it.")
@_AS
def decline(folder: NodeFolder, plan: str, reason: str | None, account: str | None) -> None:
    """Decline a plan, or withdraw its approval: its requests are refused from now on, its frozen patients removed.

    One person is enough for that, whatever policy.toml asks for to approve.

    \b
    Examples:
      oncofed site decline NODE 4f1c
      oncofed site decline NODE 4f1c --reason budget
    """
    from oncofed.client.install import deciding
    from oncofed.client.install.inbox import find_hash, offers_of, shown, study_of

    by = person()
    go_on_as("guard", folder)
    plan_hash = find_hash(folder, plan)  # of its document nothing is needed, so that it may be lost
    by = by if account is None else _signed_in(folder, account).name
    deciding.decline(folder, plan_hash, by=by, reason=reason or "")
    click.echo(f"Declined: {_on_one_line(study_of(folder, plan_hash))}.")
    if plan_hash in offers_of(folder).hashes():
        click.echo(f"To take it off the list: oncofed site forget {folder.root} {shown(folder, plan_hash)}")


@click.command()
@NODE
@click.argument("plan", metavar="[HASH]", required=False)
@click.option("--waiting", is_flag=True, help="All that wait for a decision.")
def forget(folder: NodeFolder, plan: str | None, waiting: bool) -> None:
    """Take a plan off the list: one that nobody decided on, or that was declined. It may be offered again.

    Also one whose document is damaged.

    \b
    Examples:
      oncofed site forget NODE 4f1c
      oncofed site forget NODE --waiting
    """
    from oncofed.client.install.inbox import find_hash, offered_plans, offers_of, shown, study_of

    if (plan is None) != waiting:
        raise click.UsageError("Name a plan, or add --waiting.")
    go_on_as("guard", folder)
    if plan is None:
        here = offered_plans(folder)
        listed = [each.plan_hash for each in here.read if each.waits]
        listed += [each.plan_hash for each in here.unread if each.waits]
    else:
        listed = [find_hash(folder, plan)]
    for plan_hash in listed:
        study, short = study_of(folder, plan_hash), shown(folder, plan_hash)
        if not offers_of(folder).forget(plan_hash):
            remedy = f"Withdraw the approval first: oncofed site decline {folder.root} {short}"
            raise InvalidInput([Fault("plan", "is approved", remedy)])
        click.echo(f"Forgotten: {short}  {_on_one_line(study)}")
    if not listed:
        click.echo("No plan waits for a decision.")
