"""What do poisoned hospitals do to a training, and which way to combine resists? One table and one plot.

python -m oncofed.simulations.robustness --out FOLDER [--seeds 1,2,3]

FOLDER gets table.csv (one row a run) after each run, and summary.csv (one a cell), table.md and plot.svg after each
seed. The same command again goes on where it stopped.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import pandas as pd

from oncofed.durable import replace_durably
from oncofed.errors import Fault, InvalidInput
from oncofed.protocol.plan import PrivacyMode, Strategy, TrainingSpec
from oncofed.simulations.robustness.attacks import (
    Attack,
    Backdoor,
    InnerProduct,
    LabelFlip,
    LittleIsEnough,
    ScaledUpdate,
    SignFlip,
)
from oncofed.simulations.robustness.cells import FIGURES, Cell, Defence, dealt, measured
from oncofed.simulations.robustness.picture import robustness_picture
from oncofed.simulations.robustness.poisoned_guards import NormBound
from oncofed.simulations.robustness.table import markdown, summary_of
from oncofed.study.plan_settings import PrivacyRequest

HORIZON = 24.0
MARK = Backdoor("GNAQ_mut", 1.0, until=120.0)
"""A mutation of about one patient in a hundred, and the end of the synthetic consortium's grid."""
ATTACKS: tuple[Attack | None, ...] = (
    None,
    LabelFlip(),
    SignFlip(),
    ScaledUpdate(),
    MARK,
    LittleIsEnough(),
    InnerProduct(),
)
_CLIP = 2.0
_TEST = 0.33
_ALL_STEPS = 0.2
"""The server's learning rate times the rounds: how far it may go, whatever their number."""
_NORM_BOUND = NormBound(13.0)
"""About as long as honest sums of a hundred such patients are in the first round: the middle of ten was 12.9."""


@dataclass(frozen=True)
class Asked:
    """The sizes of the study. epsilon: of both private modes."""

    patients: int = 1_500
    hospitals: int = 10
    poisoned: int = 3
    rounds: int = 10
    epsilon: float = 3.0

    @property
    def words(self) -> str:
        return (
            f"{self.patients} patients, {self.hospitals} hospitals, {self.poisoned} poisoned, {self.rounds} rounds, "
            f"epsilon {self.epsilon:g}"
        )

    @property
    def defences(self) -> tuple[Defence, ...]:
        """Six; the robust ones are told how many hospitals are poisoned, which is the best case for them."""
        mean = TrainingSpec(strategy=Strategy.FEDAVG, rounds=self.rounds, server_learning_rate=_ALL_STEPS / self.rounds)
        # A hair more than the share, so that no rounding trims one hospital too few.
        trim = (self.poisoned + 0.01) / self.hospitals
        return (
            Defence("mean", mean),
            Defence("FedAdam", replace(mean, strategy=Strategy.FEDADAM)),
            Defence("median", replace(mean, strategy=Strategy.MEDIAN)),
            Defence("trimmed mean", replace(mean, strategy=Strategy.TRIMMED_AVERAGE, trim_fraction=trim)),
            Defence("Krum", replace(mean, strategy=Strategy.KRUM, malicious_sites=self.poisoned)),
            Defence("norm bound", mean, _NORM_BOUND),
        )

    @property
    def privacies(self) -> tuple[PrivacyRequest, ...]:
        """Patients' gradients are cut at the same length in all three. The poisoned are the colluding: no noise."""
        none = PrivacyRequest(PrivacyMode.NONE, l2_norm_bound=_CLIP, clip_without_noise=True)
        local = PrivacyRequest(PrivacyMode.LOCAL, self.epsilon, l2_norm_bound=_CLIP)
        return none, local, replace(local, mode=PrivacyMode.DISTRIBUTED, colluding=self.poisoned)

    def cells(self, seed: int) -> tuple[Cell, ...]:
        """All attacks with all defences in all modes."""
        return tuple(
            Cell(attack, defence, privacy, seed)
            for attack in ATTACKS
            for defence in self.defences
            for privacy in self.privacies
        )


@click.command()
@click.option("--out", "folder", required=True, metavar="FOLDER", type=click.Path(file_okay=False, path_type=Path))
@click.option("--seeds", default="1,2,3", show_default=True, metavar="1,2,3", help="Pick patients, hospitals, weights.")
@click.option("--patients", type=click.IntRange(min=100), default=Asked.patients, show_default=True)
@click.option("--hospitals", type=click.IntRange(min=5), default=Asked.hospitals, show_default=True)
@click.option("--poisoned", type=click.IntRange(min=1), default=Asked.poisoned, show_default=True)
@click.option("--rounds", type=click.IntRange(min=1), default=Asked.rounds, show_default=True)
@click.option("--epsilon", type=click.FloatRange(min=0.1), default=Asked.epsilon, show_default=True)
def robustness(
    folder: Path, seeds: str, patients: int, hospitals: int, poisoned: int, rounds: int, epsilon: float
) -> None:
    """Poison a synthetic consortium in each way, against each defence, in each privacy mode; minutes a seed."""
    asked = Asked(patients, hospitals, poisoned, rounds, epsilon)
    wanted = _whole_numbers(seeds)
    refuse_impossible(asked)
    folder.mkdir(parents=True, exist_ok=True)
    rows = rows_before(folder / "table.csv", asked)
    done = {tuple(row[name] for name in _KEYS) for row in rows}
    for seed in wanted:
        consortium = dealt(patients=patients, hospitals=hospitals, poisoned=poisoned, test=_TEST, seed=seed)
        for cell in asked.cells(seed):
            if tuple(cell.named[name] for name in _KEYS) in done:
                continue
            rows.append(measured(cell, consortium, trigger=MARK, horizon=HORIZON) | {"setting": asked.words})
            replace_durably(folder / "table.csv", pd.DataFrame(rows).to_csv(index=False).encode(), mode=0o644)
            last = rows[-1]
            click.echo(
                f"{', '.join(str(last[name]) for name in _KEYS)}: {last['outcome'] or round(last['c_index'], 3)}"
            )
        write(folder, pd.DataFrame(rows))


_KEYS = ("attack", "defence", "privacy", "seed")


def refuse_impossible(asked: Asked) -> None:
    """Raises InvalidInput for more poisoned hospitals than Krum's guarantee is about (Blanchard et al. 2017)."""
    needed = 2 * asked.poisoned + 3
    if asked.hospitals < needed:
        what = f"are {asked.poisoned} of {asked.hospitals}, and Krum needs {needed} hospitals against so many"
        raise InvalidInput([Fault("--poisoned", what, "Poison fewer, or take more hospitals.")])


def rows_before(file: Path, asked: Asked) -> list[dict[str, Any]]:
    """Of an earlier call. Raises InvalidInput when it asked for another study."""
    if not file.exists():
        return []
    table = pd.read_csv(file, keep_default_na=False, na_values={name: [""] for name in FIGURES})
    if set(table["setting"]) != {asked.words}:
        remedy = "Choose another folder, or ask for the same."
        raise InvalidInput([Fault(str(file), "holds runs of another study than this one", remedy)])
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def write(folder: Path, table: pd.DataFrame) -> None:
    """Everything that follows from the runs."""
    summary = summary_of(table)
    summary.to_csv(folder / "summary.csv", index=False)
    (folder / "table.md").write_text(markdown(summary, marked=(MARK.name,)), encoding="utf-8")
    title = f"Poisoned hospitals: {table['setting'].iloc[0]}"
    (folder / "plot.svg").write_text(robustness_picture(table, title=title), encoding="utf-8")


def _whole_numbers(text: str) -> tuple[int, ...]:
    items = [item.strip() for item in text.split(",")]
    if not all(item.isdecimal() for item in items) or len(set(items)) < len(items):
        raise InvalidInput([Fault("--seeds", "are not distinct whole numbers", "Write 1,2,3.")])
    return tuple(map(int, items))


if __name__ == "__main__":
    try:
        robustness()
    except InvalidInput as refused:
        click.echo(f"robustness: {refused}", err=True)
        sys.exit(2)
