"""How far are settings that are left open from the best that was found, and how much of that is luck?

The best of a dozen variants on a few hundred patients is partly the luckiest. So two figures stand side by side: the
best by the mean of all seeds, which flatters it, and what somebody who tunes would have had: of each part of the
patients, the figure of the variant that was best on all the other parts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from oncofed.simulations.benchmarks.tables import Table
from oncofed.simulations.settings_study.variants import LEFT_OPEN

WITHIN = 0.004
"""Of the C-index: what is wanted."""


@dataclass(frozen=True)
class Verdict:
    """left_open less others: best, the best one's name and the difference; tuned, that to tuning on other parts.

    Each difference is paired by seed, with its standard error.
    """

    best: str
    to_best: float
    to_best_error: float
    to_tuned: float
    to_tuned_error: float

    @property
    def words(self) -> str:
        reached = "reached" if self.to_best >= -WITHIN else "MISSED"
        return (
            f"Left open less the best of all ({self.best}): {_signed(self.to_best)} (standard error "
            f"{self.to_best_error:.3f}), wanted at least {_signed(-WITHIN)}: {reached}. Less what is best on the other "
            f"patients: {_signed(self.to_tuned)} (standard error {self.to_tuned_error:.3f})."
        )


def verdict_of(table: pd.DataFrame) -> Verdict:
    """table: one row a run, with variant, seed, part, c_index; every variant with the same seeds."""
    figures = table.pivot_table(index="seed", columns="variant", values="c_index", sort=False)
    parts = table.drop_duplicates("seed").set_index("seed")["part"].loc[figures.index]
    own = figures[LEFT_OPEN]
    best = str(figures.mean().idxmax())
    tuned = pd.Series(
        [figures.at[seed, figures[parts != parts[seed]].mean().idxmax()] for seed in figures.index], figures.index
    )
    return Verdict(best, *_mean_and_error(own - figures[best]), *_mean_and_error(own - tuned))


def table_of(table: pd.DataFrame, *, title: str) -> Table:
    """One row a variant. table: as above, with slope, events, expected and seconds."""
    own = table[table["variant"] == LEFT_OPEN].set_index("seed")["c_index"]
    rows = []
    for name, runs in table.groupby("variant", sort=False):
        less, error = _mean_and_error(runs.set_index("seed")["c_index"] - own)
        rows.append(
            (
                str(name),
                spread(runs["c_index"], 3),
                "" if name == LEFT_OPEN else f"{_signed(less)} ({error:.3f})",
                spread(runs["slope"], 2),
                spread(runs["events"] / runs["expected"], 2),
            )
        )
    columns = ("settings", "C-index", "less left open (standard error)", "slope", "observed over expected")
    first = table[table["variant"] == LEFT_OPEN]
    notes = [
        f"Mean and standard deviation of {first['seed'].nunique()} seeds, of validation patients: "
        f"{first['judged'].mean():.0f} a seed with {first['events'].mean():.0f} events.",
        verdict_of(table).words,
    ]
    return Table(title, columns, tuple(rows), tuple(notes))


def spread(values: pd.Series, digits: int) -> str:
    """Mean and standard deviation."""
    return f"{values.mean():.{digits}f} ± {values.std(ddof=1):.{digits}f}"


def _mean_and_error(values: pd.Series) -> tuple[float, float]:
    found = values.to_numpy(dtype=np.float64)
    error = float(found.std(ddof=1) / math.sqrt(len(found))) if len(found) > 1 else float("nan")
    return float(found.mean()), error


def _signed(number: float) -> str:
    return f"{number:+.3f}"
