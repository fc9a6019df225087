"""How are a hospital's pages served, and who may use them? `oncofed site pages`."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from oncofed.client.install.node_argument import NODE, go_on_as
from oncofed.client.install.person import person
from oncofed.errors import Fault, InvalidInput, RecordFailure

if TYPE_CHECKING:
    from oncofed.client.install.folder import NodeFolder
    from oncofed.client.pages.accounts import Accounts

# Everything but click is imported where it is used, so that `oncofed --help` answers at once.
# ruff: noqa: PLC0415

_ROLES = ("clinician", "analyst", "administrator", "approver", "it")


@click.group()
def pages() -> None:
    """Show local web pages: patients to clinicians, the cohort to analysts, plans to approvers. See docs/pages.md.

    \b
    Examples:
      oncofed site pages add-user NODE dr.klein --role clinician
      oncofed site pages serve NODE
    """


@pages.command()
@NODE
@click.option("--plan", metavar="HASH", help="The study; left out: the only one with a model.")
@click.option("--port", type=click.IntRange(1, 65535), help="On loopback only; 8440 when left out.")
@click.option(
    "--socket",
    metavar="PATH",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Instead of a port: for a reverse proxy.",
)
@click.option("--name", metavar="HOST", help="Behind a reverse proxy with TLS: the name in the browser's address.")
@click.option("--idle-minutes", type=click.IntRange(1, 120), default=15, show_default=True, help="Then sign in again.")
def serve(
    folder: NodeFolder,
    plan: str | None,
    port: int | None,
    socket: Path | None,
    name: str | None,
    idle_minutes: int,
) -> None:
    """Serve the pages until Ctrl-C or SIGTERM, on this machine only.

    While no study has a model yet there is the console alone, where plans are read and decided on.

    \b
    Examples:
      oncofed site pages serve NODE
      oncofed site pages serve NODE --socket /run/oncofed-pages/pages.sock --name prognosis.hospital.example
    """
    from oncofed.client.pages.serving import Place

    if socket is not None and (port is not None or name is None):
        what = "stands beside --port" if port is not None else "needs --name"
        remedy = "A socket is for a reverse proxy: give --socket and --name, and no --port."
        raise InvalidInput([Fault("--socket", what, remedy)])
    place = Place(port=None if socket is not None else port or 8440, socket=socket, name=name)
    from oncofed.client.install.folder import read_site

    if read_site(folder).sign_on is not None and socket is None:
        click.echo("[sign_on] of site.toml is for --socket: on a port nobody is signed on by a header.")
    from oncofed.client.install.explaining import has_model
    from oncofed.client.pages.console import Console
    from oncofed.client.pages.of_node import (
        accounts_file,
        hospital_of,
        key_file,
        launches_of,
        names_of,
        refuse_place,
        refused_users,
    )
    from oncofed.client.pages.preparation import prepare
    from oncofed.client.pages.serving import desk_for
    from oncofed.client.pages.serving import serve as serve_pages
    from oncofed.client.pages.viewing_record import viewing_key
    from oncofed.local_pages.sessions import Timeouts

    refuse_place(folder, place)
    refused = refused_users(folder)
    by = person()
    go_on_as("guard", folder)
    hospital = hospital_of(folder, plan=plan, by=by) if plan is not None or has_model(folder) else None
    console = Console(folder)
    with suppress(RecordFailure):  # whoever comes is told
        console.follow()
    desk = desk_for(
        hospital,
        console=console,
        launches=launches_of(folder, place),
        names=names_of(folder, place),
        accounts=accounts_file(folder),
        key=viewing_key(key_file(folder)),
        audit_log=folder.audit_log,
        place=place,
        timeouts=Timeouts(idle=60.0 * idle_minutes),
    )
    if not any(account.enabled for account in desk.accounts.all()):
        remedy = f"oncofed site pages add-user {folder.root} NAME --role administrator"
        raise InvalidInput([Fault("accounts", "there is none, so nobody could sign in", remedy)])
    if hospital is None:
        click.echo("No study has a model yet: the console alone. Start the pages again when one has.")
    else:
        prepare(hospital, say=click.echo)
    serve_pages(desk, place, refused_users=refused, ready=lambda: click.echo(f"The pages are at {place.address}"))


@pages.command()
@NODE
@click.option("--plan", metavar="HASH", help="The study; left out: the only one with a model.")
@click.option("--anew", is_flag=True, help="All figures of groups, with the policy's smallest_group.")
@click.option("--after-loss", is_flag=True, help="What was published is lost, and I say that enough have come since.")
def publish(folder: NodeFolder, plan: str | None, anew: bool, after_loss: bool) -> None:
    """Take the table as it is now for all figures of groups, where enough patients have changed.

    Start the pages again afterwards. Why figures do not change each night: see docs/pages.md.

    \b
    Examples:
      oncofed site pages publish NODE
      oncofed site pages publish NODE --anew
    """
    from oncofed.client.pages.of_node import publish as take
    from oncofed.client.pages.of_node import publish_anew

    if after_loss and not anew:
        raise InvalidInput([Fault("--after-loss", "stands without --anew", "Give both.")])
    by = person()
    go_on_as("guard", folder)
    lines = publish_anew(folder, plan=plan, after_loss=after_loss, by=by) if anew else take(folder, plan=plan, by=by)
    for line in lines:
        click.echo(line)


@pages.command("add-user")
@NODE
@click.argument("name")
@click.option("--role", type=click.Choice(_ROLES), required=True, help="What the account may see.")
def add_user(folder: NodeFolder, name: str, role: str) -> None:
    """Give NAME an account; asks for its first password.

    A clinician sees patients and the cohort, an analyst the cohort, an administrator accounts and the audit log. An
    approver decides about plans, `it` looks at plans, budget and node.

    \b
    Example:
      oncofed site pages add-user NODE dr.klein --role clinician
    """
    from oncofed.client.pages.accounts import Role

    by, accounts = person(), _accounts(folder)
    accounts.add(name, Role(role), _new_password(), told=lambda: _note(folder, "add", by, name, role))
    click.echo(f"{name} may sign in as {role}.")


@pages.command("set-password")
@NODE
@click.argument("name")
def set_password(folder: NodeFolder, name: str) -> None:
    """Set a new password for NAME; its sessions are over.

    \b
    Example:
      oncofed site pages set-password NODE dr.klein
    """
    by, accounts = person(), _accounts(folder)
    accounts.set_password(name, _new_password(), told=lambda: _note(folder, "password", by, name))
    click.echo(f"{name} has a new password.")


@pages.command()
@NODE
@click.argument("name")
@click.option("--again", is_flag=True, help="Let the account in again.")
def disable(folder: NodeFolder, name: str, again: bool) -> None:
    """Shut NAME out at once. A name is kept for good, because the audit log names it.

    \b
    Example:
      oncofed site pages disable NODE dr.klein
    """
    by, change = person(), "enable" if again else "disable"
    _accounts(folder).set_enabled(name, again, told=lambda: _note(folder, change, by, name))
    click.echo(f"{name} is {'enabled' if again else 'disabled'}.")


@pages.command()
@NODE
def users(folder: NodeFolder) -> None:
    """List the accounts.

    \b
    Example:
      oncofed site pages users NODE
    """
    for account in _accounts(folder).all():
        click.echo(f"{account.name:32s} {account.role:14s} {'' if account.enabled else 'disabled'}".rstrip())


@pages.command()
@NODE
@click.option("--patient", metavar="ID", help="Exactly as in the table; left out: asked for, where `ps` shows none.")
def views(folder: NodeFolder, patient: str | None) -> None:
    """List who looked at one patient, from the audit log, after verifying it.

    \b
    Example:
      oncofed site pages views NODE
    """
    from oncofed.client.pages.of_node import key_file
    from oncofed.client.pages.viewing_record import viewing_key, views_of

    patient = patient or click.prompt("Patient")
    go_on_as("guard", folder)
    found = views_of(folder.audit_log, key=viewing_key(key_file(folder)), patient_id=patient)
    for entry in found:
        click.echo(f"{entry.time}  {entry.event:14s} by {entry.by}")
    if not found:
        click.echo("Nobody looked at this patient on the pages, if the identifier is exactly as in the table.")


def _accounts(folder: NodeFolder) -> Accounts:
    from oncofed.client.pages.accounts import Accounts
    from oncofed.client.pages.of_node import accounts_file

    go_on_as("guard", folder)
    return Accounts(accounts_file(folder))


def _note(folder: NodeFolder, change: str, by: str, account: str, role: str = "") -> None:
    """Changes by the command line stand in the audit log like those on the pages."""
    from oncofed.client.pages.viewing_record import note_change
    from oncofed.client.records.audit_log import AuditLog

    note_change(AuditLog(folder.audit_log), change, by=by, account=account, role=role)


def _new_password() -> str:
    return str(click.prompt("New password", hide_input=True, confirmation_prompt=True))
