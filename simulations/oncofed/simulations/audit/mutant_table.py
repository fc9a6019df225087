"""Which check notices which defect? Every mutant against every check, as a table in Markdown.

python -m oncofed.simulations.audit.mutant_table [STUDY.toml] [--full] [--mode local|distributed] [--out FILE.md]
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from oncofed.protocol.plan import PrivacyMode
from oncofed.simulations.audit.audit import CHECKS, FULL, QUICK, Effort, audited
from oncofed.simulations.audit.mutants import mutants_of
from oncofed.simulations.audit.study_target import target_of
from oncofed.simulations.audit.target import Target
from oncofed.simulations.audit.verdict import Outcome, Verdict
from oncofed.simulations.study import read_study

Row = tuple[str, Sequence[Verdict]]

NOTHING_BROKEN = "nothing broken"

SHARED_MODE = (
    "privacy.mode=distributed",
    "privacy.dropouts=1",
    "privacy.colluding=1",
    "privacy.scale_bits=8",  # coarse, so that rounding costs something that could be forgotten
)

_SIGNS: Mapping[Outcome, str] = {
    Outcome.FAILED: "**caught**",
    Outcome.PASSED: "passes",
    Outcome.NO_POWER: "no power",
    Outcome.NOT_APPLICABLE: "",
}


def rows_of(target: Target, *, effort: Effort, seed: int, only: Sequence[str] = CHECKS) -> list[Row]:
    """The target as it is, and then each of its mutants."""
    rows: list[Row] = []
    mutants = mutants_of(target.plan.privacy.mode, with_summaries=bool(target.plan.summaries))
    for name, mutated in {
        NOTHING_BROKEN: target,
        **{mutant.name: mutant.of(target) for mutant in mutants.values()},
    }.items():
        click.echo(f"auditing: {name} ...", err=True)
        rows.append((name, audited(mutated, effort=effort, seed=seed, only=only)))
    return rows


def uncaught(rows: Sequence[Row]) -> list[str]:
    """Mutants that no check caught, and checks that fail a target with nothing broken."""
    return [name for name, verdicts in rows if any(verdict.failed for verdict in verdicts) == (name == NOTHING_BROKEN)]


def markdown(rows: Sequence[Row]) -> str:
    """Mutants down, checks across."""
    names = [verdict.check for verdict in rows[0][1] if verdict.outcome is not Outcome.NOT_APPLICABLE]
    lines = ["| broken | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for name, verdicts in rows:
        found = {verdict.check: _SIGNS[verdict.outcome] for verdict in verdicts}
        lines.append(f"| {name} | " + " | ".join(found[check] for check in names) + " |")
    return "\n".join(lines) + "\n"


@click.command()
@click.argument(
    "study_file",
    metavar="[STUDY.toml]",
    default="simulations/studies/audit/study.toml",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@click.option("--full", is_flag=True, help="The sizes of a whole audit: about half an hour.")
@click.option("--mode", type=click.Choice(["local", "distributed"]), help="One of the two only.")
@click.option("--seed", default=1, show_default=True, type=click.IntRange(min=0), help="Of the attacks.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Also write the tables, as Markdown.")
def mutant_table(study_file: Path, full: bool, mode: str | None, seed: int, out: Path | None) -> None:
    """Break one defence at a time, and show which checks of the audit notice."""
    texts, missed = [], []
    for each, overrides in ((PrivacyMode.LOCAL, ()), (PrivacyMode.DISTRIBUTED, SHARED_MODE)):
        if mode not in (None, each.value):
            continue
        target = target_of(read_study(study_file, overrides=overrides))
        rows = rows_of(target, effort=FULL if full else QUICK, seed=seed)
        texts.append(f"Mode `{each.value}`:\n\n{markdown(rows)}")
        missed += [f"{each.value}: {name}" for name in uncaught(rows)]
        click.echo(texts[-1])
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text("\n".join(texts))
    if missed:
        click.echo("Not as it should be: " + "; ".join(missed), err=True)
        sys.exit(1)


if __name__ == "__main__":
    mutant_table()
