"""Is a panel, refitted from a part of the budget, as good a model as that of all markers which has the whole of it?

`python -m oncofed.simulations.panel_study STUDY.toml --variants panel.toml`: for each variant of a study with a panel
(as of `oncofed sweep`) and each seed, three trainings: of all markers with the whole budget, of all markers with their
part of it, and of the panel that the second one's released weights choose. All are judged on the same patients:
C-index, within tumour types, calibration slope, observed over expected events. With a synthetic consortium it is also
told how many of the ten markers that truly matter most are the first ten of the panel.

It takes plans, bounds, sums and steps of the study itself, and is quick by one thing: all patients are summed at once,
with the noise that the hospitals together add (`at_once`). That is the same in distribution, and no ledger is kept:
what a study with a panel is charged is tested by `oncofed simulate`, where the hospitals are one by one.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from oncofed.cohort.cohort import Cohort
from oncofed.errors import Fault, InvalidInput
from oncofed.explanation.panels import ranked_markers
from oncofed.privacy.releases import release_of_round
from oncofed.protocol.plan import PrivacyMode, StudyPlan
from oncofed.simulations.evaluation import endpoint_results
from oncofed.simulations.federation import Engine, federate, plan_of
from oncofed.simulations.panel_figures import figures_of
from oncofed.simulations.panel_training import planned_panel
from oncofed.simulations.partition import Consortium, consortium, pooled
from oncofed.simulations.study import DataSpec, Study, read_study
from oncofed.simulations.study_table import table_of
from oncofed.simulations.sweep.grid import read_variants
from oncofed.simulations.synthetic.consortium import generate
from oncofed.study.panel_settings import PanelRequest
from oncofed.survival.network import PrognosisNetwork, network_with

WHOLE, PART, REFITTED = "all markers, whole budget", "all markers, their part", "panel"
STRONGEST = 10
_EVERYBODY = "everybody"


def at_once(plan: StudyPlan) -> StudyPlan:
    """The same training with one hospital that has all patients: its noise is that of all hospitals' sum.

    The server takes means over hospitals, and an adaptive step does not look at a common factor, so decay, which is
    beside a mean, is multiplied instead of the sum divided. It promises nobody anything.
    """
    hospitals = len(plan.roster)
    noise = release_of_round(plan).noise_of_sum(hospitals=hospitals)
    mode = PrivacyMode.LOCAL if plan.privacy.mode.private else plan.privacy.mode
    training = plan.training
    return replace(
        plan,
        roster=(_EVERYBODY,),
        quorum=1,
        members=(),
        summaries=(),
        privacy=replace(plan.privacy, mode=mode, shares=None, noise_multiplier=noise),
        training=replace(
            training,
            weight_decay=training.weight_decay * hospitals,
            shape_weight_decay=training.shape_weight_decay * hospitals,
        ),
    )


def trained(plan: StudyPlan, patients: Cohort) -> PrognosisNetwork:
    """plan: of the study. patients: of all hospitals."""
    found = federate(
        at_once(plan),
        {_EVERYBODY: patients},
        run_folder=None,
        engine=Engine.GRID,
        resume=False,
        figures=lambda state, report: {},
    )
    return network_with(plan.model, found.state.weights)


@dataclass(frozen=True)
class Row:
    """One model on the patients set aside. strongest: of the ten true ones, how many are its first ten."""

    variant: str
    model: str
    seed: int
    c_index: float
    c_index_within_type: float
    calibration_slope: float
    observed_to_expected: float
    strongest: int | None = None


def rows_of(study: Study, variant: str) -> Iterator[Row]:
    """Of the three models. study: with a panel."""
    table, schema, where = table_of(study)
    patients = consortium(table, schema, where=where, sites=study.sites, evaluation=study.evaluation, seed=study.seed)
    roster, everybody = tuple(patients.hospitals), pooled(patients.hospitals)
    truly = strongest_markers(study.data)

    def row(model: str, network: PrognosisNetwork, judged: Consortium) -> Row:
        results = endpoint_results(network, patients=judged, evaluation=study.evaluation, seed=study.seed)
        figures = asdict(figures_of(next(iter(results.values()))))
        del figures["brier_gain"]
        first = ranked_markers(network, judged.test.schema)[:STRONGEST]
        found = len(truly & set(first)) if truly else None
        return Row(variant, model, study.seed, **figures, strongest=found)

    without = replace(study, panel=PanelRequest())
    whole = trained(plan_of(without, schema, roster=roster, patients=len(everybody)), everybody)
    yield row(WHOLE, whole, patients)
    part = trained(plan_of(study, schema, roster=roster, patients=len(everybody)), everybody)
    yield row(PART, part, patients)
    markers = ranked_markers(part, schema)[: study.panel.markers]
    own, plan = planned_panel(study, part, patients, markers)
    yield row(REFITTED, trained(plan, pooled(own.hospitals)), own)


@cache
def strongest_markers(data: DataSpec) -> frozenset[str]:
    """Of the true hazard of a synthetic consortium; empty for a table."""
    if not data.synthetic_patients:
        return frozenset()
    made = generate(patients=data.synthetic_patients, hospitals=data.synthetic_hospitals, seed=data.synthetic_seed)
    truth = made.truth[made.schema.endpoints[0].name]
    names = np.array([marker.name for marker in made.schema.markers])
    spread = truth.contributions(made.schema, made.values).std(axis=0)
    return frozenset(names[np.argsort(-spread)[:STRONGEST]].tolist())


def summary_of(rows: pd.DataFrame) -> str:
    """A Markdown table: mean and standard deviation over seeds and repeats, and of panel less whole, paired."""
    lines = [
        "| variant | model | C-index | within types | slope | observed over expected | of the ten strongest |",
        "|---|---|---|---|---|---|---|",
    ]
    for variant, of_variant in rows.groupby("variant", sort=False):
        for model, some in of_variant.groupby("model", sort=False):
            figures = [_told(some[name]) for name in ("c_index", "c_index_within_type")]
            figures += [_told(some[name], 2) for name in ("calibration_slope", "observed_to_expected")]
            found = some["strongest"].dropna()
            figures.append(f"{found.mean():.1f}" if len(found) else "")
            lines.append(f"| {variant} | {model} | {' | '.join(figures)} |")
        c_index = of_variant.set_index("model")["c_index"]
        more = np.asarray(c_index.loc[[REFITTED]]) - np.asarray(c_index.loc[[WHOLE]])
        lines.append(f"| {variant} | panel less all | {_told(pd.Series(more), signed=True)} | | | | |")
    return "\n".join(lines)


def _told(numbers: pd.Series[float], digits: int = 3, *, signed: bool = False) -> str:
    mean = f"{numbers.mean():{'+' if signed else ''}.{digits}f}"
    return mean if len(numbers) < 2 else f"{mean} ± {numbers.std():.{digits}f}"


def read_variant_studies(
    path: Path, variants: Path, *, seeds: list[int], overrides: list[str]
) -> Mapping[tuple[str, int], Study]:
    """By variant and seed. Raises InvalidInput for variants without a panel of a stated size."""
    faults: list[Fault] = []
    found = {
        (variant.name, seed): read_study(path, overrides=[*overrides, *variant.overrides], seed=seed)
        for variant in read_variants(variants, faults)
        for seed in seeds
    }
    for (name, _), study in found.items():
        if not study.panel.is_asked:
            faults.append(Fault(f'{variants.name}: "{name}"', "asks for no panel", "Add panel.markers=40 to its set."))
    if faults:
        raise InvalidInput(list(dict.fromkeys(faults)))
    return found


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m oncofed.simulations.panel_study")
    parser.add_argument("study", type=Path)
    parser.add_argument("--variants", type=Path, required=True, help="of oncofed sweep, each with a panel")
    parser.add_argument("--only", default="", help="names of variants, separated by commas; without it, all")
    parser.add_argument("--seeds", default="1", help="separated by commas")
    parser.add_argument("--repeats", type=int, default=1, help="of each seed, with other noise")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="SECTION.KEY=VALUE")
    parser.add_argument("--out", type=Path, help="a CSV file, one line a model")
    asked = parser.parse_args()
    seeds = [int(seed) for seed in asked.seeds.split(",")]
    rows: list[Row] = []
    wanted = read_variant_studies(asked.study, asked.variants, seeds=seeds, overrides=asked.overrides)
    for (variant, seed), study in wanted.items():
        if asked.only and variant not in asked.only.split(","):
            continue
        for _ in range(asked.repeats):
            rows += rows_of(study, variant)
            told = [
                f"{each.model}: {each.c_index:.3f}, {each.calibration_slope:.2f}, {each.observed_to_expected:.2f}"
                for each in rows[-3:]
            ]
            sys.stderr.write(f"{variant}, seed {seed}: {'; '.join(told)}\n")
            sys.stderr.flush()
    table = pd.DataFrame(rows)
    if asked.out is not None:
        table.to_csv(asked.out, index=False)
    sys.stdout.write(summary_of(table) + "\n")


if __name__ == "__main__":
    _main()
