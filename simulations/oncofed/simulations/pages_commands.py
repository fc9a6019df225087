"""How does one try a hospital's pages on a simulated run? `oncofed pages`."""

from __future__ import annotations

from pathlib import Path

import click

# Everything but click is imported where it is used, so that `oncofed --help` answers at once.
# ruff: noqa: PLC0415


@click.command()
@click.argument("run_folder", metavar="RUN", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--site", metavar="NAME", help="Whose patients; left out: the first hospital's.")
@click.option("--port", type=click.IntRange(1, 65535), default=8440, show_default=True, help="On loopback only.")
def pages(run_folder: Path, site: str | None, port: int) -> None:
    """Show the pages of one hospital of a simulated run, as its clinicians and analysts would see them.

    Makes an account of each role with a password that is told once; both are gone when this ends.

    \b
    Examples:
      oncofed pages runs/demo
      oncofed pages runs/demo --site hospital_02
    """
    import secrets
    from tempfile import TemporaryDirectory

    from oncofed.client.pages.accounts import Accounts, Role
    from oncofed.client.pages.preparation import prepare
    from oncofed.client.pages.serving import Place, desk_for, serve
    from oncofed.client.pages.viewing_record import viewing_key
    from oncofed.local_pages.sessions import Timeouts
    from oncofed.simulations.pages_of_run import hospital_of_run

    hospital, place = hospital_of_run(run_folder, site), Place(port=port)
    prepare(hospital, say=click.echo)
    with TemporaryDirectory(prefix="oncofed-pages-") as name:
        folder = Path(name)
        password = "-".join(secrets.token_hex(2) for _ in range(4))
        accounts = Accounts(folder / "accounts.json")
        for role in Role:
            accounts.add(role.value, role, password)
        desk = desk_for(
            hospital,
            accounts=folder / "accounts.json",
            key=viewing_key(folder / "pages.key"),
            audit_log=folder / "audit.jsonl",
            place=place,
            timeouts=Timeouts(),
        )

        def told() -> None:
            click.echo(f"The pages of {hospital.site} are at http://127.0.0.1:{port} until Ctrl-C.")
            click.echo(f"Sign in as {', '.join(Role)}, each with the password {password}")
            click.echo(f"A patient to look for: {hospital.cohort.patient_ids[0]}")

        serve(desk, place, refused_users=frozenset(), ready=told)
