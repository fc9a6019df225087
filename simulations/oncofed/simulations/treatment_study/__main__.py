"""Do comparisons of two options come near the truth, hold it within their limits, and refuse where they must?

python -m oncofed.simulations.treatment_study [--quick] [--only PART] [--out FILE.md] [--seed N]
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import rich.console

from oncofed.privacy.accounting import GaussianRelease, epsilon_of
from oncofed.simulations.benchmarks.tables import Table, verdict
from oncofed.simulations.options.fitting import ROUNDS
from oncofed.simulations.synthetic.treated import TRIAL, Twist
from oncofed.simulations.treatment_study.measuring import (
    AT_ONE_HOSPITAL,
    DISTRIBUTED,
    LOCAL,
    NO_NOISE,
    Privacy,
    Tally,
    Train,
    both_wrong,
    repeated,
    trained_with,
    wrong_hazards,
    wrong_propensity,
)

_FIGURES = ("all", *(f"{which} {name}" for name in TRIAL.modifiers for which in ("without", "with")), "all, mean time")
_SETTINGS = {privacy.name: (trained_with(privacy), privacy) for privacy in (NO_NOISE, DISTRIBUTED, LOCAL)}

Repeat = Callable[[dict[str, tuple[Train, Privacy]], tuple[Twist, ...]], dict[str, Tally]]


@click.command()
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Also write the tables, as Markdown.")
@click.option("--quick", is_flag=True, help="A tenth of the repeats.")
@click.option("--repeats", type=click.IntRange(min=1), default=200, show_default=True)
@click.option("--patients", type=click.IntRange(min=100), default=8_000, show_default=True)
@click.option(
    "--only",
    type=click.Choice(["estimates", "no_effect", "frailty", "overlap", "wrong_models"]),
    multiple=True,
    help="Repeatable.",
)
@click.option("--seed", type=int, default=1, show_default=True)
def treatment_study(
    out: Path | None, quick: bool, repeats: int, patients: int, only: tuple[str, ...], seed: int
) -> None:
    """Measure bias, coverage and refusals of options compared; minutes on one core."""
    console, pages = rich.console.Console(width=200), []
    number = max(repeats // 10, 1) if quick else repeats

    def repeat(settings: dict[str, tuple[Train, Privacy]], twists: tuple[Twist, ...]) -> dict[str, Tally]:
        return repeated(settings, repetitions=number, patients=patients, seed=seed, twists=twists)

    parts: dict[str, Callable[[Repeat], Table]] = {
        "estimates": _estimates,
        "no_effect": _no_effect,
        "frailty": _frailty,
        "overlap": _overlap,
        "wrong_models": _wrong_models,
    }
    for name, measured in parts.items():
        if only and name not in only:
            continue
        table = measured(repeat)
        table.show(console)
        sys.stdout.flush()
        pages.append(table.markdown())
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text("\n".join(pages))


def spent_epsilon(delta: float = 1e-5) -> float:
    """Of all that a hospital releases in such a study."""
    once = (AT_ONE_HOSPITAL.comparison, AT_ONE_HOSPITAL.negative, AT_ONE_HOSPITAL.balance)
    rounds = [GaussianRelease(AT_ONE_HOSPITAL.rounds)] * ROUNDS
    return epsilon_of([*rounds, *map(GaussianRelease, once)], delta=delta)


def _estimates(repeat: Repeat) -> Table:
    tallies = repeat(_SETTINGS, ())
    rows = []
    for name, tally in tallies.items():
        errors = np.array(tally.errors)
        for place, figure in enumerate(_FIGURES):
            rows.append(
                (
                    name,
                    figure,
                    f"{np.mean(tally.estimates, axis=0)[place]:.3f}",
                    f"{tally.bias[place]:+.4f}",
                    f"{errors[:, place].std():.4f}",
                    f"{np.mean(tally.standard_errors, axis=0)[place]:.4f}",
                    f"{tally.coverage[place]:.3f}",
                )
            )
    naive = float(np.mean(tallies["none"].naive))
    coverage = [tally.coverage[0] for tally in tallies.values()]
    order = ", ".join(f"{name} {tally.right_order:.2f}" for name, tally in tallies.items())
    shown = ", ".join(f"{name} {1 - tally.refused():.2f}" for name, tally in tallies.items())
    return Table(
        "Difference in survival at 24 months, and in the mean time lived until then",
        ("noise", "patients", "mean estimate", "bias", "spread", "mean standard error", "coverage"),
        tuple(rows),
        (
            f"Epsilon of what a hospital releases: {spent_epsilon():.2f} at a delta of 1e-5.",
            f"Naive bias {naive:.3f}. {verdict('Naive bias', naive, at_least=0.1)}",
            f"Largest bias of all together, without noise and distributed: "
            f"{max(abs(tallies[name].bias[0]) for name in ('none', 'distributed')):.4f} (wanted at most 0.01); "
            f"local: {tallies['local'].bias[0]:+.4f}.",
            f"Coverage of all together: {min(coverage):.3f} to {max(coverage):.3f} (wanted 0.92 to 0.98).",
            f"Both modifiers in the right order: {order}.",
            f"All together shown: {shown}.",
        ),
    )


def _reasons(tally: Tally, place: int = 0) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(tally.why(place).items()))


def _no_effect(repeat: Repeat) -> Table:
    tallies = repeat(_SETTINGS, (Twist.NO_EFFECT,))
    rows = tuple(
        (
            name,
            f"{np.mean(tally.naive):.3f}",
            f"{tally.bias[0]:+.4f}",
            f"{np.mean(tally.claimed):.3f}",
            f"{np.mean([claim and not why[0] for claim, why in zip(tally.claimed, tally.refusals, strict=True)]):.3f}",
        )
        for name, tally in tallies.items()
    )
    return Table(
        "No effect",
        ("noise", "naive", "bias", "limits without 0", "of these shown"),
        rows,
        (verdict("Claimed without noise", float(np.mean(tallies["none"].claimed)), at_most=0.06),),
    )


def _frailty(repeat: Repeat) -> Table:
    tallies = repeat(_SETTINGS, (Twist.UNRECORDED_FRAILTY,))
    rows = tuple(
        (name, f"{tally.bias[0]:+.3f}", f"{tally.refused():.3f}", _reasons(tally)) for name, tally in tallies.items()
    )
    return Table(
        "What decides is not recorded",
        ("noise", "bias", "refused", "why"),
        rows,
        (verdict("Refused without noise", tallies["none"].refused(), at_least=0.8),),
    )


def _overlap(repeat: Repeat) -> Table:
    tallies = repeat(_SETTINGS, (Twist.NO_OVERLAP,))
    broken = [place for place, group in enumerate(TRIAL.groups, start=1) if group[0]]
    rows = tuple(
        (name, *(f"{tally.refused(place):.3f}: {_reasons(tally, place)}" for place in (0, *broken)))
        for name, tally in tallies.items()
    )
    fewest = min(tally.refused(place) for tally in tallies.values() for place in broken)
    return Table(
        "Patients with the biomarker always get the second option",
        ("noise", "all together", "biomarker, no liver metastases", "biomarker and liver metastases"),
        rows,
        (verdict("Refused in the groups with the biomarker", fewest, at_least=1.0),),
    )


def _wrong_models(repeat: Repeat) -> Table:
    models = {"propensity": wrong_propensity, "hazards": wrong_hazards, "both": both_wrong}
    tallies = repeat({name: (train, NO_NOISE) for name, train in models.items()}, ())
    left = {name: abs(tally.bias[0]) / float(np.mean(tally.naive)) for name, tally in tallies.items()}
    rows = tuple(
        (name, f"{np.mean(tally.naive):.3f}", f"{tally.bias[0]:+.4f}", f"{left[name]:.2f}", _reasons(tally))
        for name, tally in tallies.items()
    )
    return Table(
        "Models that know nothing of the patient",
        ("which", "naive bias", "bias", "share left", "refused"),
        rows,
        (
            verdict("Left of the naive bias by one wrong model", max(left["propensity"], left["hazards"]), at_most=0.2),
            verdict("Left by both", left["both"], at_least=0.2),
        ),
    )


if __name__ == "__main__":
    treatment_study()
