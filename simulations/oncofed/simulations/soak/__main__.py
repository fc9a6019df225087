"""Does a consortium stay sound through a day of bad luck? A seed says all of it, so a failure can be had again.

python -m oncofed.simulations.soak --seed N [--hours H] [--keep FOLDER] [--quiet]

The real ServerApp, membership, offers, rounds, checkpoints and delivery, and for each of four hospitals the real guard
with ledger, audit log and answers on disk, in a process of its own that is killed by SIGKILL. Between them is no
network but a Grid, and time is simulated. The coordinator is killed by an exception that nothing of the product's
catches. What is drawn and what is looked at: `faults`, `witness`. Exit code 1 where something does
not hold; the folder then stays.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import time
from pathlib import Path

import click

from oncofed.simulations.soak.soak import Soaked, soak
from oncofed.simulations.soak.witness import Broken


@click.command()
@click.option("--seed", type=click.IntRange(min=0), required=True, help="Says all that happens.")
@click.option("--hours", type=click.FloatRange(min=0, min_open=True), default=24.0, show_default=True)
@click.option("--keep", metavar="FOLDER", type=click.Path(path_type=Path), help="A new folder, which stays.")
@click.option("--quiet", is_flag=True, help="Without the story.")
def main(seed: int, hours: float, keep: Path | None, quiet: bool) -> None:
    """Run, and say what came of it."""
    logging.getLogger("oncofed").setLevel(logging.ERROR)  # relays that say that a guard is down
    root = Path(tempfile.mkdtemp(prefix="soak-")) if keep is None else keep
    began = time.monotonic()
    try:
        found = soak(seed, hours=hours, folder=root / "consortium", told=(lambda line: None) if quiet else click.echo)
    except Broken as broken:
        click.echo(
            f"BROKEN: {broken}\nAgain: python -m oncofed.simulations.soak --seed {seed} --hours {hours:g}", err=True
        )
        click.echo(f"The records: {root}", err=True)
        sys.exit(1)
    _tell(found, seconds=time.monotonic() - began)


def _tell(found: Soaked, *, seconds: float) -> None:
    click.echo(
        f"seed {found.seed}: {found.hours:.1f} simulated hours in {seconds:.0f} s; {found.studies} studies, of which "
        f"{found.given_up} were given up in words; {found.rounds} rounds; {found.charges} charges, of which "
        f"{found.wasted} were for answers that did not count; nothing lost, doubled or counted twice."
    )
    for title, counts in (("faults", found.faults), ("ends of runs", found.ends)):
        click.echo(f"{title}: " + ", ".join(f"{name} {count}" for name, count in sorted(counts.items())))


if __name__ == "__main__":
    main()
