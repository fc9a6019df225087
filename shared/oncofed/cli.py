"""What does the command `oncofed` offer here? Whatever is installed: commands are entry points of `oncofed.commands`.

It imports neither the coordinator's side nor a hospital's, and nothing heavy: a command's own modules are imported when
it runs. Exit codes: 0 done, 1 failed while running, 2 an input is at fault (nothing was written), 130 interrupted.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib.metadata import EntryPoint, entry_points, version

import click

from oncofed.errors import InvalidInput, OncofedError
from oncofed.texts import one_line, plain_output

GROUP = "oncofed.commands"
OF_COHORTS = "oncofed.cohort_commands"


@cache
def _installed(group: str) -> tuple[EntryPoint, ...]:
    """Every distribution's list is looked through for them, so once."""
    return tuple(entry_points(group=group))


class InstalledCommands(click.Group):
    """Finds sub-commands by entry point, beside its own, and loads one when it is named or listed."""

    entry_points = GROUP

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *(found.name for found in _installed(self.entry_points))})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        for found in _installed(self.entry_points):
            if found.name == cmd_name:
                command = found.load()
                assert isinstance(command, click.Command)
                return command
        return super().get_command(ctx, cmd_name)


class CohortCommands(InstalledCommands):
    """Those about tables of patients: a hospital has some of them, the lab more."""

    entry_points = OF_COHORTS


@click.command(cls=CohortCommands)
def cohort() -> None:
    """Tables of patients: import a hospital's own, draft a mapping, make a synthetic consortium.

    \b
    Examples:
      oncofed cohort draft patients.csv --out study
      oncofed cohort import study/mapping.toml --out table.parquet
    """


@click.command(cls=InstalledCommands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("oncofed"), prog_name="oncofed")
def oncofed() -> None:
    """Federated, private, explainable prognosis for cancer patients across hospitals.

    \b
    Examples:
      oncofed cohort generate --hospitals 12 --out consortium
      oncofed simulate simulations/studies/demo/study.toml --out runs/demo
      oncofed sweep simulations/studies/demo/study.toml --seeds 1,2,3 --out runs/sweep
    """


def main() -> None:
    """Run the command line; faults become words on standard error and an exit code, never a traceback.

    Whatever is said goes through `texts.Plain`: no text that came from elsewhere moves a cursor or hides a line.
    """
    with plain_output():
        _run()


def _run() -> None:
    try:
        oncofed.main(standalone_mode=False)
    except click.ClickException as fault:
        fault.show()
        sys.exit(fault.exit_code)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except (click.Abort, KeyboardInterrupt) as end:
        if isinstance(end.__context__, EOFError):
            remedy = "Type it in a terminal, or give the answer as an option; --help names it."
            click.echo(f"oncofed: a question was asked and nobody is here to answer it. {remedy}", err=True)
            sys.exit(2)
        click.echo("Interrupted. What was finished is kept; of simulate and sweep, --resume goes on.", err=True)
        sys.exit(130)
    except InvalidInput as fault:
        click.echo(f"oncofed: {fault}", err=True)
        sys.exit(2)
    except OncofedError as failure:  # names of files in it are other people's: none begins a line of its own
        click.echo(f"oncofed: {failure}".replace("\n", "\n  "), err=True)
        sys.exit(1)
    except OSError as error:
        # Of a file that a person named: rights, a missing folder, a full disk. Its name is theirs; no content is told.
        about = f" {one_line(str(error.filename))}" if error.filename else ""
        click.echo(f"oncofed:{about}: {error.strerror or type(error).__name__}. Check its rights and disk.", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
