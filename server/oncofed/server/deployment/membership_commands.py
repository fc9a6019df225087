"""Who may take part in a coordinator's studies? Approve, suspend, readmit, remove, new keys: `oncofed coordinator`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from oncofed.errors import Fault, InvalidInput, OncofedError
from oncofed.server.deployment.coordinator_argument import FILE, FOLDER, HOSPITAL

if TYPE_CHECKING:
    from oncofed.protocol.enrolment import EnrolmentRequest
    from oncofed.server.deployment.folder import CoordinatorFolder

# Everything but click is imported where it is used, so that `oncofed --help` answers at once.
# ruff: noqa: PLC0415


@click.command()
@FOLDER
@click.argument("request_file", metavar="REQUEST", type=FILE)
@click.option("--out", required=True, metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--fingerprint", help="What the hospital read out by telephone; asked for when left out.")
def approve(folder: CoordinatorFolder, request_file: Path, out: Path, fingerprint: str | None) -> None:
    """Approve a hospital's enrolment request, and write the acceptance to send back.

    \b
    Example:
      oncofed coordinator approve COORD charite.request.json --out charite.acceptance.json
    """
    from oncofed.plain_file import file_content
    from oncofed.protocol.enrolment import acceptance_bytes
    from oncofed.secret_files import LARGEST_SECRET
    from oncofed.server.deployment.enrolment import approve as approve_request
    from oncofed.server.deployment.enrolment import own_fingerprint

    content = file_content(request_file, most=LARGEST_SECRET)
    request = _heard_request(request_file.name, content, fingerprint)
    acceptance = approve_request(folder, content)
    out.write_bytes(acceptance_bytes(acceptance))
    _settle(folder)
    click.echo(f"{request.site} is enrolled. Send {out} back, and read out your own fingerprint:")
    click.echo(f"  {own_fingerprint(folder)}")


def _heard_request(name: str, content: bytes, heard: str | None) -> EnrolmentRequest:
    """The request, if its fingerprint is what the hospital read out."""
    from oncofed.protocol.enrolment import fingerprint, read_request, request_bytes, same_fingerprint

    request = read_request(content)
    told = fingerprint(request_bytes(request))
    if not same_fingerprint(told, heard or click.prompt(f"Fingerprint that {request.site} reads out by telephone")):
        what = f"its fingerprint is {told}, not the one you heard"
        raise InvalidInput([Fault(name, what, "Ask the hospital to send it again.")])
    return request


def _settle(folder: CoordinatorFolder) -> None:
    """Tell the server, if it runs, who the members are by now. What is decided is decided, and the gate obeys it."""
    from oncofed.server.deployment.enrolment import settle_nodes
    from oncofed.server.flower.control import Control

    tell_of_files(folder)
    try:
        with Control.of(folder) as control:
            settle_nodes(folder, control)
    except (OncofedError, OSError) as refused:
        click.echo(f"The server will learn of it when it starts ({refused})")


def tell_of_files(folder: CoordinatorFolder) -> None:
    """Say which hospitals' files are damaged or older copies, and what to do."""
    from oncofed.server.deployment.member_files import look_at

    for told in look_at(folder).told:
        click.echo(told, err=True)


@click.command()
@FOLDER
@HOSPITAL
def suspend(folder: CoordinatorFolder, hospital: str) -> None:
    """Take a hospital off at once, until `readmit`: its key counts no longer. Works while studies run.

    \b
    Example:
      oncofed coordinator suspend COORD charite
    """
    from oncofed.server.deployment.membership import suspend as suspend_member
    from oncofed.server.deployment.runs import shown, studies_at_work

    after = suspend_member(folder, hospital)
    if after.is_removed:
        click.echo(
            f"{hospital} is removed, not only suspended: its files were damaged, so that nobody knows which keys it "
            "had. Its node is refused. To undo, approve a request of its: oncofed coordinator approve"
        )
    else:
        click.echo(f"{hospital} is suspended: its node is refused from now on. Undo: oncofed coordinator readmit")
    _settle(folder)
    for plan_hash in studies_at_work(folder, hospital):  # last: a damaged plan may stop this, and nothing else
        click.echo(
            f"Study {shown(folder, plan_hash)} goes on without it as long as its quorum allows, and waits for it "
            "otherwise. It cannot be resumed while the hospital is suspended."
        )


@click.command()
@FOLDER
@HOSPITAL
def readmit(folder: CoordinatorFolder, hospital: str) -> None:
    """Make a suspended hospital a member again, with the keys it had.

    \b
    Example:
      oncofed coordinator readmit COORD charite
    """
    from oncofed.server.deployment.membership import readmit as readmit_member

    readmit_member(folder, hospital)
    click.echo(f"{hospital} is a member.")
    _settle(folder)


@click.command()
@FOLDER
@HOSPITAL
def remove(folder: CoordinatorFolder, hospital: str) -> None:
    """End a hospital's membership: its key counts no longer, and no plan may name it. To undo: `approve` a request.

    Refused while a study that names it is running; `suspend` is not.

    \b
    Example:
      oncofed coordinator remove COORD charite
    """
    from oncofed.server.deployment.membership import remove as remove_member

    remove_member(folder, hospital)
    click.echo(f"{hospital} is removed: its node is refused from now on, and studies whose plan names it cannot go on.")
    _settle(folder)


@click.command()
@FOLDER
@HOSPITAL
@click.argument("request_file", metavar="REQUEST", type=FILE)
@click.option("--fingerprint", help="What the hospital read out by telephone; asked for when left out.")
def rotate(folder: CoordinatorFolder, hospital: str, request_file: Path, fingerprint: str | None) -> None:
    """Let a hospital's new keys count in place of the former ones, which are refused from then on.

    \b
    Example:
      oncofed coordinator rotate COORD charite charite.request.json
    """
    from oncofed.plain_file import file_content
    from oncofed.secret_files import LARGEST_SECRET
    from oncofed.server.deployment.membership import rotate as rotate_keys

    content = file_content(request_file, most=LARGEST_SECRET)
    request = _heard_request(request_file.name, content, fingerprint)
    rotate_keys(folder, hospital, request)
    click.echo(
        f"{hospital} has the keys of {request_file.name}. It need not accept anything, but start its node again."
    )
    click.echo("Plans that name the former keys cannot go on: sign new ones.")
    _settle(folder)


@click.command()
@FOLDER
def enrol(folder: CoordinatorFolder) -> None:
    """List the hospitals that were approved and who is a member, and say how another one enrols.

    \b
    Example:
      oncofed coordinator enrol COORD
    """
    from oncofed.server.deployment.enrolment import own_fingerprint
    from oncofed.server.deployment.member_files import look_at

    hospitals = look_at(folder)
    for site in hospitals.known.values():
        click.echo(f"{site.site:24s} {site.standing:10s} request {site.request_fingerprint}")
    for name in hospitals.damaged:
        click.echo(f"{name:24s} {'damaged':10s}")
    tell_of_files(folder)
    click.echo(f"Members: {sum(site.is_member for site in hospitals.known.values())}. To enrol another one:")
    click.echo("  there:  oncofed site init NODE --name NAME; oncofed site request NODE --out NAME.request.json")
    click.echo(f"  here:   oncofed coordinator approve {folder.root} NAME.request.json --out NAME.acceptance.json")
    click.echo(f"  there:  oncofed site accept NODE NAME.acceptance.json --fingerprint '{own_fingerprint(folder)}'")
