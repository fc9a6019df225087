"""How does one see what runs at a coordinator, and how does its monitoring? Two commands of `oncofed coordinator`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from oncofed.server.deployment.coordinator_argument import FOLDER, STUDY
from oncofed.server.deployment.membership_commands import tell_of_files

if TYPE_CHECKING:
    from oncofed.server.deployment.folder import CoordinatorFolder

# Everything but click is imported where it is used, so that `oncofed --help` answers at once.
# ruff: noqa: PLC0415

_NOT_WELL = 1


@click.command()
@FOLDER
@STUDY
@click.option("--json", "as_json", is_flag=True, help="One JSON object, all studies; docs/monitoring.md describes it.")
def status(folder: CoordinatorFolder, study: str | None, as_json: bool) -> None:
    """Say what runs, which hospitals are online, how long certificates hold, and how far a study is.

    \b
    Exit codes:
      0  the server runs and answers; hospitals may be offline, and a certificate may end within 30 days
      1  it does not, or its certificate has ended, or the study that is asked for cannot be read
      2  COORD is no coordinator's folder, or there is no such study
    \b
    Examples:
      oncofed coordinator status COORD
      oncofed coordinator status COORD --json
    """
    import json
    from datetime import UTC, datetime

    from oncofed.server.deployment.coordinator_status import coordinator_status
    from oncofed.server.deployment.folder import read_settings
    from oncofed.server.deployment.runs import find_study, known_studies, shown
    from oncofed.server.report.reading import read_deployed_study
    from oncofed.server.report.status import status_lines

    settings, studies = read_settings(folder), known_studies(folder)
    one = find_study(folder, study) if study is not None or (len(studies) == 1 and not as_json) else ""
    asked = (one,) if one else studies if as_json else ()
    seen = coordinator_status(folder, settings, studies=asked, now=datetime.now(UTC))
    if as_json:
        click.echo(json.dumps(seen.fields(), indent=1))
    else:
        for line in seen.lines():
            click.echo(line)
        tell_of_files(folder)
        if one:
            (found,) = seen.studies
            if found.run is not None:
                click.echo(f"run {found.run[0]}: {found.run[1].status} {found.run[1].outcome}".rstrip())
            read = found.study or read_deployed_study(folder.study(one))  # the latter says why
            for line in status_lines(read, shown=found.shown):
                click.echo(line)
        elif studies:
            listed = ", ".join(shown(folder, known) for known in studies)
            click.echo(f"{len(studies)} studies: {listed}. Look at one: oncofed coordinator status {folder.root} HASH")
    if not seen.is_well:
        sys.exit(_NOT_WELL)


@click.command()
@FOLDER
@click.option(
    "--out",
    metavar="FILE.prom",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Written whole, in place of the last; left out: shown.",
)
def metrics(folder: CoordinatorFolder, out: Path | None) -> None:
    """Say what the coordinator's own monitoring may know of it, in Prometheus's text format.

    For a timer, into the folder of node_exporter's textfile collector: nothing listens on a port for it. It holds names
    of hospitals and studies and no more than hospitals released. docs/monitoring.md has each figure.

    \b
    Exit codes:
      0  written, whatever the figures say
      1  it could not be written
      2  COORD is no coordinator's folder, or FILE does not end in .prom
    \b
    Examples:
      oncofed coordinator metrics COORD
      oncofed coordinator metrics COORD --out /var/lib/prometheus/node-exporter/oncofed-coordinator.prom
    """
    from datetime import UTC, datetime

    from oncofed.exposition import exposed, refuse_other_ending, write_textfile
    from oncofed.server.deployment.coordinator_metrics import coordinator_metrics
    from oncofed.server.deployment.folder import read_settings

    if out is not None:
        refuse_other_ending(out)
    text = exposed(coordinator_metrics(folder, read_settings(folder), now=datetime.now(UTC)))
    if out is None:
        click.echo(text, nl=False)
    else:
        write_textfile(out, text)
