"""How does a coordinator get another address, authority or signing key? `oncofed coordinator change`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from oncofed.server.deployment.coordinator_argument import FOLDER

if TYPE_CHECKING:
    from oncofed.server.deployment.folder import CoordinatorFolder

# Everything but click is imported where it is used, so that `oncofed --help` answers at once.
# ruff: noqa: PLC0415


@click.command()
@FOLDER
@click.option("--address", metavar="HOST:PORT", help="What hospitals are to connect to from now on.")
@click.option("--listen", metavar="HOST:PORT", help="With --address; default: as before, at its port.")
@click.option("--also", multiple=True, metavar="NAME", help="With --address: more names for the certificate.")
@click.option("--new-authority", is_flag=True, help="Its ten years end, or somebody else may have its key.")
@click.option("--new-signing-key", is_flag=True, help="Somebody else may have the key that signs plans.")
@click.option(
    "--out",
    required=True,
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Gets an acceptance for each member, to send it.",
)
def change(
    folder: CoordinatorFolder,
    address: str | None,
    listen: str | None,
    also: tuple[str, ...],
    new_authority: bool,
    new_signing_key: bool,
    out: Path,
) -> None:
    """Change what hospitals have pinned, while the server is down, and write what each of them accepts anew.

    Without any of the options it changes nothing, and writes the acceptances of now.

    \b
    Examples:
      oncofed coordinator change COORD --address fl2.example.org:9443 --out acceptances
      oncofed coordinator change COORD --new-authority --new-signing-key --out acceptances
    """
    from datetime import UTC, datetime

    from oncofed.protocol.enrolment import acceptance_bytes
    from oncofed.server.deployment import pinned_by_hospitals
    from oncofed.server.deployment.enrolment import own_fingerprint
    from oncofed.server.deployment.folder import read_settings

    if address is None and (listen or also):
        raise click.UsageError("--listen and --also go with --address.")
    before = read_settings(folder)
    if new_authority or new_signing_key:
        kept = pinned_by_hospitals.renew_keys(
            folder, authority=new_authority, signing_key=new_signing_key, now=datetime.now(UTC)
        )
        click.echo(f"New keys. The former ones are in {kept}: keep them until all is well, and nowhere else after.")
    if address is not None:
        after = pinned_by_hospitals.moved(before, address=address, listen=listen, also=also)
        pinned_by_hospitals.move(folder, after, now=datetime.now(UTC))
        click.echo(f"Hospitals connect to {after.address}, and the server listens on {after.listen}.")
    out.mkdir(parents=True, exist_ok=True)
    made = pinned_by_hospitals.acceptances(folder)
    for name, acceptance in made.items():
        (out / f"{name}.acceptance.json").write_bytes(acceptance_bytes(acceptance))
    click.echo(f"{out} holds what to send to each of {len(made)} hospitals: oncofed site accept NODE FILE")
    if new_authority or new_signing_key:
        click.echo("Read out the new fingerprint to each of them, who adds --change:")
        click.echo(f"  {own_fingerprint(folder)}")
    if new_signing_key:
        click.echo("Studies that are not finished cannot go on: sign them anew.")
    click.echo("Next: start the server. A hospital is offline until it has accepted.")
