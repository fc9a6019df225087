"""How does a coordinator run studies with real hospitals? `oncofed coordinator`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from oncofed.errors import Fault, FederationFailure, InvalidInput, OncofedError
from oncofed.server.deployment.change_command import change
from oncofed.server.deployment.coordinator_argument import FILE, FOLDER, NEW_FOLDER, STUDY
from oncofed.server.deployment.membership_commands import (
    approve,
    enrol,
    readmit,
    remove,
    rotate,
    suspend,
)
from oncofed.server.deployment.watch_commands import metrics, status
from oncofed.server.pages.commands import pages

if TYPE_CHECKING:
    from oncofed.server.deployment.folder import CoordinatorFolder
    from oncofed.server.deployment.runs import Progress

# Everything but click is imported where it is used, so that `oncofed --help` answers at once.
# ruff: noqa: PLC0415


@click.group()
def coordinator() -> None:
    """Run studies with real hospitals: enrol them, start the server, run plans, report.

    COORD is the coordinator's folder: keys, enrolled hospitals, studies.

    \b
    Examples:
      oncofed coordinator init COORD --name "Lung consortium" --address fl.example.org:9443
      oncofed coordinator approve COORD charite.request.json --out charite.acceptance.json
      oncofed coordinator start COORD
      oncofed study sign lung/study.toml --coordinator COORD --out lung.plan.json
      oncofed coordinator run COORD lung.plan.json
      oncofed coordinator status COORD
      oncofed coordinator pages COORD
      oncofed coordinator resume COORD
      oncofed coordinator report COORD --out lung.html
      oncofed coordinator report COORD --out lunge.html --language de
      oncofed coordinator suspend COORD charite
      oncofed coordinator change COORD --address fl2.example.org:9443 --out acceptances
    """


@coordinator.command()
@NEW_FOLDER
@click.option("--name", help="Of the consortium, for people. Needed for a new folder.")
@click.option("--address", metavar="HOST:PORT", help="What hospitals connect to. Needed for a new folder.")
@click.option(
    "--listen",
    metavar="HOST:PORT",
    help="0.0.0.0 (all interfaces), [::] (IPv6 too) or 127.0.0.1; default: all that --address needs, same port.",
)
@click.option("--also", multiple=True, metavar="NAME", help="More names or addresses for the certificate. Repeatable.")
@click.option("--renew-certificate", is_flag=True, help="Of an existing folder: make a new server certificate only.")
def init(
    folder: CoordinatorFolder,
    name: str | None,
    address: str | None,
    listen: str | None,
    also: tuple[str, ...],
    renew_certificate: bool,
) -> None:
    """Make keys and settings in COORD.

    \b
    Examples:
      oncofed coordinator init COORD --name "Lung consortium" --address fl.example.org:9443
      oncofed coordinator init try --name try --address 127.0.0.1:9443 --listen 127.0.0.1:9443
      oncofed coordinator init COORD --renew-certificate
    """
    from datetime import UTC, datetime

    from oncofed.durable import replace_durably
    from oncofed.server.deployment.certificates import create_keys, renew_server_certificate
    from oncofed.server.deployment.enrolment import own_fingerprint
    from oncofed.server.deployment.folder import CoordinatorSettings, read_settings, usable_text

    if renew_certificate:
        renew_server_certificate(folder, read_settings(folder), now=datetime.now(UTC))
        click.echo("A new server certificate; hospitals trust it already, because the authority is the same.")
        click.echo("A server that is running goes on with the old one: start it again.")
        return
    if name is None or address is None:
        raise click.UsageError("A new coordinator needs --name and --address.")
    if folder.settings.exists():
        remedy = "Choose another folder, or add --renew-certificate."
        raise InvalidInput([Fault(str(folder.root), "holds a coordinator already", remedy)])
    host, _, port = address.rpartition(":")
    # All interfaces; the gate lets hospitals reach their own routes only.
    everywhere = "[::]" if host.startswith("[") else "0.0.0.0"  # noqa: S104
    settings = CoordinatorSettings(name, address, listen or f"{everywhere}:{port}", (host.strip("[]"), *also))
    text = usable_text(settings)
    folder.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.root.chmod(0o700)  # it may have been there
    create_keys(folder, settings, now=datetime.now(UTC))
    replace_durably(folder.settings, text.encode())  # last: a folder with settings is whole
    click.echo(f"{folder.root} is the coordinator of {name}. Back up its keys/ where nobody else reads them.")
    click.echo(f"Fingerprint, for hospitals to compare by telephone: {own_fingerprint(folder)}")
    click.echo(f"Next: oncofed coordinator start {folder.root}")


@coordinator.command()
@FOLDER
def start(folder: CoordinatorFolder) -> None:
    """Run the server until Ctrl-C or SIGTERM: SuperLink and SuperExec, started again when they die.

    \b
    Example:
      oncofed coordinator start COORD
    """
    import os
    import threading
    import time

    from oncofed.server.deployment.enrolment import settle_nodes
    from oncofed.server.deployment.folder import read_settings
    from oncofed.server.deployment.member_files import last_change, look_at
    from oncofed.server.flower.control import Control, ControlRefused
    from oncofed.supervision import Service, Supervisor

    settings = read_settings(folder)

    def service(name: str, module: str) -> Service:
        return Service(name, (sys.executable, "-m", module, str(folder.root)), dict(os.environ))

    services = [
        service("superlink", "oncofed.server.flower.superlink"),
        service("superexec", "oncofed.server.flower.superexec"),
    ]

    def settle() -> None:
        said = ""
        while True:
            changed = last_change(folder)
            try:
                told = look_at(folder).told  # before older copies are written again
                with Control.of(folder) as control:
                    members = settle_nodes(folder, control)
                now = f"Ready on {settings.listen} for {len(members)} hospitals."
                now = "\n".join([*told, now])
            except ControlRefused:
                time.sleep(1.0)
                continue
            except OncofedError as fault:  # the server runs, and hospitals that it knows already may go on
                now = f"Hospitals could not be registered: {fault}"
            if now != said:
                click.echo(now)
                said = now
            while last_change(folder) == changed:  # what a command could not tell a server that was down
                time.sleep(2.0)

    threading.Thread(target=settle, daemon=True).start()
    Supervisor(services, logs=folder.logs, status=folder.status, echo=click.echo).run()


@coordinator.command()
@FOLDER
@click.option("--out", required=True, metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option("--user", default="oncofed-coordinator", show_default=True, help="The system user that COORD belongs to.")
@click.option(
    "--metrics",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder of node_exporter's textfile collector: a timer writes figures for Prometheus there.",
)
def units(folder: CoordinatorFolder, out: Path, user: str, metrics: Path | None) -> None:
    """Write a systemd unit that runs the server.

    \b
    Example:
      oncofed coordinator units /var/lib/oncofed-coordinator --out /etc/systemd/system
    """
    from oncofed.server.deployment.units import coordinator_units
    from oncofed.unit_files import write

    for path in write(out, coordinator_units(folder, user=user, metrics=metrics)):
        click.echo(f"Wrote {path}")
    timer = "" if metrics is None else " oncofed-coordinator-metrics.timer"
    click.echo(f"Next: systemctl daemon-reload && systemctl enable --now oncofed-coordinator{timer}")


@coordinator.command()
@FOLDER
@click.argument("plan_file", metavar="PLAN", type=FILE)
@click.option("--detach", is_flag=True, help="Start it and return; follow it with `status`.")
def run(folder: CoordinatorFolder, plan_file: Path, detach: bool) -> None:
    """Offer a signed plan to its hospitals, train when they have approved, and deliver the model.

    Needs `oncofed coordinator start` running. Ctrl-C stops following, not the study.

    \b
    Example:
      oncofed coordinator run COORD lung.plan.json
    """
    from oncofed.plain_file import file_content
    from oncofed.protocol.study_document import LARGEST_BYTES
    from oncofed.server.deployment.runs import take_in

    document = take_in(folder, file_content(plan_file, most=LARGEST_BYTES))
    _run(folder, document.plan.hash, detach=detach)


@coordinator.command()
@FOLDER
@STUDY
@click.option("--detach", is_flag=True, help="Start it and return; follow it with `status`.")
def resume(folder: CoordinatorFolder, study: str | None, detach: bool) -> None:
    """Go on with a study after its last finished round; of a finished one, deliver the model again.

    \b
    Example:
      oncofed coordinator resume COORD 4f1c
    """
    from oncofed.server.deployment.runs import find_study

    _run(folder, find_study(folder, study), detach=detach)


def _run(folder: CoordinatorFolder, plan_hash: str, *, detach: bool) -> None:
    from oncofed.server.deployment.runs import begin, follow, shown
    from oncofed.server.flower.control import Control

    named = f"{folder.root} {shown(folder, plan_hash)}"

    with Control.of(folder) as control:
        run_id = begin(folder, control, plan_hash)
        click.echo(f"Study {plan_hash}")
        if detach:
            click.echo(f"Started. Follow it: oncofed coordinator status {named}")
            return
        try:
            status = follow(folder, control, plan_hash, run_id, told=_tell)
        except KeyboardInterrupt:
            click.echo(f"The study goes on. Follow it: oncofed coordinator status {named}")
            return
    if status.outcome != "completed":
        raise FederationFailure(
            f"the run ended: {status.outcome or 'unknown'} {status.details}. Finished rounds are kept: when the cause "
            f"is mended, oncofed coordinator resume {named}"
        )
    click.echo(f"Done. Look at it: oncofed coordinator report {named} --out report.html")


def _tell(progress: Progress) -> None:
    fields = dict(progress.fields)
    at = str(fields.pop("at"))[11:19]
    if progress.kind == "round":
        answered, rejected = fields["answered"], fields["rejected"]
        assert isinstance(answered, list)
        assert isinstance(rejected, list)
        words = "; ".join(str(each) for each in rejected)
        click.echo(
            f"{at} round {fields['round']}: {len(answered)} answered in {fields['seconds']} s"
            + (f"; not: {words}" if words else "")
        )
        return
    event = fields.pop("event")
    click.echo(f"{at} {event}: {', '.join(f'{key} {value}' for key, value in fields.items())}")


@coordinator.command()
@FOLDER
@STUDY
def stop(folder: CoordinatorFolder, study: str | None) -> None:
    """Stop a running study. Finished rounds are kept, and `resume` goes on.

    \b
    Example:
      oncofed coordinator stop COORD 4f1c
    """
    from oncofed.server.deployment.runs import current_run, find_study, shown
    from oncofed.server.flower.control import Control

    plan_hash = find_study(folder, study)
    with Control.of(folder) as control:
        found = current_run(folder, control, plan_hash)
        if found is None or found[1].finished:
            raise FederationFailure("this study is not running.")
        if not control.stop_run(found[0]):
            raise FederationFailure("the server did not stop the run; look at `oncofed coordinator status`.")
    click.echo(f"Stopped. To go on: oncofed coordinator resume {folder.root} {shown(folder, plan_hash)}")


@coordinator.command()
@FOLDER
@STUDY
@click.option("--out", required=True, metavar="FILE.html", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--language", type=click.Choice(["en", "de"]), default="en", show_default=True, help="Of the report.")
def report(folder: CoordinatorFolder, study: str | None, out: Path, language: str) -> None:
    """Write the study's report: one page, readable offline.

    \b
    Example:
      oncofed coordinator report COORD --out lung.html
      oncofed coordinator report COORD --out lunge.html --language de
    """
    from oncofed.server.deployment.runs import find_study
    from oncofed.server.deployment.study_files import note_written
    from oncofed.server.report.page import write_report
    from oncofed.server.report.reading import read_deployed_study
    from oncofed.words.languages import language_called

    path = folder.study(find_study(folder, study))
    write_report(read_deployed_study(path), out, say=language_called(language))
    note_written(path, "report", out)
    click.echo(f"Look at {out}")


for _command in (status, metrics, pages, change, approve, suspend, readmit, remove, rotate, enrol):
    coordinator.add_command(_command)
