"""How are the coordinator's pages served? `oncofed coordinator pages`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from oncofed.server.deployment.coordinator_argument import FOLDER

if TYPE_CHECKING:
    from oncofed.server.deployment.folder import CoordinatorFolder

# Everything but click is imported where it is used, so that `oncofed --help` answers at once.
# ruff: noqa: PLC0415


@click.command()
@FOLDER
@click.option("--port", type=click.IntRange(1, 65535), default=8441, show_default=True, help="On loopback only.")
@click.option("--new-credential", is_flag=True, help="Make another one first; whoever is signed in is signed out.")
def pages(folder: CoordinatorFolder, port: int, new_credential: bool) -> None:
    """Show hospitals, plans, rounds and spending on local web pages, until Ctrl-C or SIGTERM.

    They are to look at: every act stays at the command line. The credential is the content of COORD/keys/pages.token,
    which is made at the first start. docs/install-coordinator.md says how to look from another machine.

    \b
    Examples:
      oncofed coordinator pages COORD
      oncofed coordinator pages COORD --port 8450 --new-credential
    """
    from oncofed.local_pages.listening import LOOPBACK, log_plainly, loopback_socket, serve_until_ended
    from oncofed.server.pages.application import application
    from oncofed.server.pages.serving import desk_for

    desk = desk_for(folder, port=port)
    app, listening = application(desk), loopback_socket(port)  # nothing is made where the port is taken
    made = desk.credential.make(anew=new_credential)
    log_plainly("oncofed.server.pages")

    def ready() -> None:
        click.echo(f"The pages are at http://{LOOPBACK}:{port}")
        click.echo(f"The credential{' is new: it' if made else ''} is the content of {desk.credential.path}")

    serve_until_ended(app, listening, ready=ready)
