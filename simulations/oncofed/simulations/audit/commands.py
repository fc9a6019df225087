"""How does somebody attack a study, or look over a finished run, before they believe it? `oncofed audit`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from oncofed.errors import Fault, InvalidInput
from oncofed.texts import drawn_on_error

if TYPE_CHECKING:
    from oncofed.protocol.plan import PrivacyMode
    from oncofed.simulations.audit.mutants import Mutant
    from oncofed.simulations.audit.verdict import Verdict


@click.command()
@click.argument("audited", metavar="STUDY.toml|RUN", type=click.Path(exists=True, path_type=Path))
@click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="As in simulate. Repeatable.")
@click.option("--seed", type=click.IntRange(min=0), help="Picks split, patients and attacks, never the privacy noise.")
@click.option("--out", "folder", metavar="FOLDER", type=click.Path(file_okay=False, path_type=Path))
@click.option("--quick", is_flag=True, help="Smaller samples: less power, under a minute.")
@click.option("--checks", "only", metavar="NAME,...", help="These only.  [default: all]")
@click.option("--mutant", metavar="NAME", help="Break one defence first, to see which checks notice.")
@click.option("--quiet", is_flag=True, help="No progress bar and no summary.")
def audit(
    audited: Path,
    overrides: tuple[str, ...],
    seed: int | None,
    folder: Path | None,
    quick: bool,
    only: str | None,
    mutant: str | None,
    quiet: bool,
) -> None:
    """Attack what a study's hospitals would release, or check what a finished run left behind.

    Of a study, the guard that its hospitals would run is attacked, with its patients: nothing needs to have run. Of a
    run's folder, its files are checked against each other and against a count of our own. FOLDER gets audit.json and
    audit.html. Ends with 1 when a check failed.

    \b
    Examples:
      oncofed audit simulations/studies/audit/study.toml --out runs/audit
      oncofed audit study.toml --set privacy.epsilon=1 --quick --checks "noise scale,ledger"
      oncofed audit study.toml --quick --mutant "half noise"
      oncofed audit runs/demo
    """
    for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(threads, "1")  # as in `simulate`
    if audited.is_dir():
        _refuse_options_of_a_study(overrides, seed, quick, only, mutant)
        _audit_of_a_run(audited, folder, quiet=quiet)
    else:
        _audit_of_a_study(audited, overrides, seed, folder, quick=quick, only=only, mutant=mutant, quiet=quiet)


def _refuse_options_of_a_study(*options: object) -> None:
    if any(options):
        what = "--set, --seed, --quick, --checks and --mutant need a study file; a run's folder is checked whole"
        raise click.UsageError(what)


def _audit_of_a_study(
    path: Path,
    overrides: Sequence[str],
    seed: int | None,
    folder: Path | None,
    *,
    quick: bool,
    only: str | None,
    mutant: str | None,
    quiet: bool,
) -> None:
    # Imported here so that `oncofed --help` answers at once; torch only after the study file was found to be sound.
    from oncofed.simulations.study import read_study  # noqa: PLC0415

    study = read_study(path, overrides=overrides, seed=seed)

    from oncofed.simulations.audit.audit import CHECKS, FULL, QUICK, audited  # noqa: PLC0415
    from oncofed.simulations.audit.report import UNSEEN_OF_A_STUDY, facts_of_target, write_report  # noqa: PLC0415
    from oncofed.simulations.audit.study_target import target_of  # noqa: PLC0415

    names = _chosen(only, CHECKS, option="--checks")
    asked = study.settings.held_out.share + study.settings.explanations.budget_share
    broken = None if mutant is None else _mutant(mutant, study.privacy.mode, with_summaries=asked > 0)
    target = target_of(study)
    if broken is not None:
        target = broken.of(target)
    with _progress_bar(quiet=quiet) as told:
        verdicts = audited(target, effort=QUICK if quick else FULL, seed=study.seed, only=names, progress=told)
    title = f"Audit of {study.title or study.name}" + ("" if broken is None else f", with {broken.name}")
    facts = facts_of_target(target, quick=quick, broken=None if broken is None else broken.defect)
    if folder is not None:
        write_report(
            folder,
            title=title,
            facts=facts,
            verdicts=verdicts,
            unseen=UNSEEN_OF_A_STUDY,
            mu=target.mu,
            draw_patients=study.data.table is None,
        )
    _end(title, verdicts, folder, quiet=quiet)


def _mutant(name: str, mode: PrivacyMode, *, with_summaries: bool) -> Mutant:
    try:
        from oncofed.simulations.audit.mutants import mutants_of  # noqa: PLC0415
    except ModuleNotFoundError:  # they are working defects: no wheel carries them into a hospital
        remedy = "Run it from the repository."
        raise InvalidInput([Fault("--mutant", "is not part of an installed oncofed", remedy)]) from None
    mutants = mutants_of(mode, with_summaries=with_summaries)
    return mutants[_chosen(name, tuple(mutants), option="--mutant")[0]]


def _audit_of_a_run(run: Path, folder: Path | None, *, quiet: bool) -> None:
    from oncofed.simulations.audit.release import UNSEEN_OF_A_RUN, audited_run  # noqa: PLC0415
    from oncofed.simulations.audit.report import write_report  # noqa: PLC0415

    found = audited_run(run)
    title = f"Audit of the run {found.study}"
    if folder is not None:
        write_report(
            folder,
            title=title,
            facts=found.facts,
            verdicts=found.verdicts,
            unseen=UNSEEN_OF_A_RUN,
            mu=None,
            draw_patients=False,
        )
    _end(title, found.verdicts, folder, quiet=quiet)


def _chosen(text: str | None, known: tuple[str, ...], *, option: str) -> tuple[str, ...]:
    if text is None:
        return known
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    strange = [name for name in names if name not in known]
    if strange or not names:
        raise click.UsageError(f'{option}: "{", ".join(strange)}" is not known. Possible: {", ".join(known)}.')
    return names


@contextmanager
def _progress_bar(*, quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    """A bar on standard error, and what tells it how far the audit is."""
    import rich.console  # noqa: PLC0415
    import rich.progress  # noqa: PLC0415

    with rich.progress.Progress(
        rich.progress.TextColumn("{task.description:22s}"),
        rich.progress.BarColumn(),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TimeElapsedColumn(),
        console=rich.console.Console(file=drawn_on_error(), quiet=quiet),
        redirect_stdout=False,  # rich would write past what makes texts harmless
        redirect_stderr=False,
    ) as bars:
        task = bars.add_task("preparing", total=None)
        yield lambda check, done, total: bars.update(task, description=check, completed=done, total=total)


def _end(title: str, verdicts: Sequence[Verdict], folder: Path | None, *, quiet: bool) -> None:
    if not quiet:
        click.echo(title)
        for verdict in verdicts:
            click.echo(f"  {verdict.outcome.value:15s} {verdict.check:22s} {verdict.measured}")
            if verdict.power.probability > 0:
                click.echo(f"  {'':38s} would notice: {verdict.power.defect}")
        if folder is not None:
            click.echo(f"Look at {folder / 'audit.html'}")
    failed = [verdict.check for verdict in verdicts if verdict.failed]
    if failed:
        click.echo(f"oncofed: failed: {', '.join(failed)}", err=True)
        sys.exit(1)
