"""Does what a hospital does with a delivered model keep its word? Simulated hospitals whose truth is known.

python -m oncofed.simulations.model_here [--quick] [--only PART] [--out FILE.md] [--seed N]
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import rich.console

from oncofed.client.fit.closed_testing import Degree
from oncofed.simulations.benchmarks.tables import Table, verdict
from oncofed.simulations.model_here.measuring import after_adoption, coverage, degrees, watching
from oncofed.simulations.model_here.true_hospital import ADVANCED, EARLY, TrueHospital

_CARES = {"advanced": ADVANCED, "early": EARLY}


@click.command()
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Also write the tables, as Markdown.")
@click.option("--quick", is_flag=True, help="A tenth of the repeats: under a minute.")
@click.option(
    "--only", type=click.Choice(["degrees", "limits", "signals", "adopted"]), multiple=True, help="Repeatable."
)
@click.option("--seed", type=int, default=1, show_default=True)
def model_here(out: Path | None, quick: bool, only: tuple[str, ...], seed: int) -> None:
    """Measure closed testing, the figures before and after, and the monitoring; minutes on one core."""
    console, pages, part = rich.console.Console(width=200), [], 10 if quick else 1
    parts: dict[str, Callable[[np.random.Generator], Table]] = {
        "degrees": lambda rng: _chosen(1000 // part, rng),
        "limits": lambda rng: _covered(400 // part, rng),
        "signals": lambda rng: _watched(300 // part, rng),
        "adopted": lambda rng: _adopted(200 // part, rng),
    }
    for place, (name, measured) in enumerate(parts.items()):
        if only and name not in only:
            continue
        table = measured(np.random.default_rng([seed, place]))
        table.show(console)
        sys.stdout.flush()
        pages.append(table.markdown())
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text("\n".join(pages))


def _chosen(repeats: int, rng: np.random.Generator) -> Table:
    rows, false = [], []
    for patients in (100, 300, 1000):
        for level, slope in ((1.0, 1.0), (1.3, 1.0), (0.6, 1.0), (1.0, 0.7), (1.3, 0.5)):
            hospital = replace(ADVANCED, level=level, slope=slope)
            found = degrees(hospital, patients=patients, repeats=repeats, rng=rng)
            shares = [found[each] / repeats for each in Degree]
            rows.append((str(patients), f"{level:g}", f"{slope:g}", *(f"{share:.3f}" for share in shares)))
            if level == slope == 1:
                false.append(1 - shares[0])
    return Table(
        "Degree of an adjustment, chosen by closed testing",
        ("patients set aside", "true level", "true slope", "none", "level", "level and slope"),
        tuple(rows),
        (verdict("A right model adjusted at all, the most of three sizes", max(false), at_most=0.07),),
    )


def _covered(repeats: int, rng: np.random.Generator) -> Table:
    rows, lowest = [], 1.0
    for patients in (150, 600):
        for level, slope in ((1.0, 1.0), (0.5, 1.0), (1.5, 1.0), (1.5, 0.6), (1.2, 0.8)):
            found = coverage(replace(ADVANCED, level=level, slope=slope), patients=patients, repeats=repeats, rng=rng)
            held = [found.ratio_before, found.slope_before, found.ratio_after, found.slope_after]
            shares = [each / repeats for each in held]
            lowest = min(lowest, *shares)
            rows.append(
                (
                    str(patients),
                    f"{found.events:.0f}",
                    f"{level:g}",
                    f"{slope:g}",
                    *(f"{each:.3f}" for each in shares),
                    f"{100 * np.expm1(found.left_over):.0f} %",
                )
            )
    return Table(
        "95 % limits before and after an adjustment hold the truth",
        (
            "patients set aside",
            "events",
            "true level",
            "true slope",
            "ratio before",
            "slope before",
            "ratio after",
            "slope after",
            "left over in the middle",
        ),
        tuple(rows),
        (verdict("Lowest share", lowest, at_least=0.92),),
    )


def _watched(repeats: int, rng: np.random.Generator) -> Table:
    rows, wanted = [], []
    cases: list[tuple[str, TrueHospital, float, float]] = [
        (care, hospital, a_year, change)
        for care, hospital in _CARES.items()
        for a_year, change in ((100.0, 1.5), (300.0, 1.5), (300.0, 1.25), (300.0, 2.0), (300.0, 1 / 1.5), (1000.0, 1.5))
    ]
    for care, hospital, a_year, change in cases:
        found = watching(hospital, a_year=a_year, change=change, repeats=repeats, rng=rng)
        rows.append(
            (
                care,
                f"{a_year:.0f}",
                f"{found.expected_a_year:.0f}",
                f"{change:.2f}",
                f"{found.found:.2f}",
                f"{found.middle_months:.1f}",
                f"{found.false_signals:.2f}",
            )
        )
        wanted.append((care, a_year, change, found))
    notes = [
        verdict(f"Found within six months, {care}, 300 a year, 1.5 times", found.found, at_least=0.8)
        for care, a_year, change, found in wanted
        if (a_year, change) == (300.0, 1.5)
    ]
    false = [found.false_signals for *_, found in wanted]
    most = f"The most in one row: {max(false):.2f}, each known to about {repeats**-0.5:.2f}."
    return Table(
        "A change of the hazard, found by the sums",
        (
            "tumours",
            "patients a year",
            "events a year",
            "hazard times",
            "found within six months",
            "middle months",
            "false signals in five years",
        ),
        tuple(rows),
        (
            *notes,
            verdict(
                "False signals of a right model in five years, mean of all rows", float(np.mean(false)), at_most=1.0
            ),
            most,
        ),
    )


def _adopted(repeats: int, rng: np.random.Generator) -> Table:
    rows = []
    for patients in (100, 300, 1000):
        hospital = replace(ADVANCED, level=1.4)
        found = after_adoption(hospital, patients=patients, a_year=300, repeats=repeats, rng=rng)
        rows.append(
            (
                str(patients),
                f"{found.events:.0f}",
                f"{found.false_signals:.2f}",
                f"{found.as_if_known:.2f}",
                f"{found.found:.2f}",
                f"{found.middle_months:.1f}",
            )
        )
    return Table(
        "A level that is adopted from few patients, watched",
        (
            "patients set aside",
            "events",
            "false signals in five years",
            "as if it were known",
            "found within six months",
            "middle months",
        ),
        tuple(rows),
        (
            "Advanced tumours, 300 patients a year, hazard 1.4 times the model's. False signals: nothing changes any "
            "more. Found: it becomes 1.5 times as high again.",
        ),
    )


if __name__ == "__main__":
    model_here()
