"""What does a summary of many patients at once save, against one patient at a time? The published cohort's size.

Held-out counts, votes for key markers (by tumour entity, too) and votes for pairs, each as `summaries` adds them
up before any noise: 350 markers as they are encoded, and a network of a study.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from oncofed.client.guard.one_thread import one_thread
from oncofed.client.patients.summaries import bounded_sum
from oncofed.protocol.expected_layout import ExpectedLayout
from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.summary_spec import SummaryKind, SummarySpec
from oncofed.simulations.benchmarks.explanation import COLUMNS
from oncofed.simulations.benchmarks.made_up import GRID, model, patients, plan
from oncofed.simulations.benchmarks.side_by_side import processor_seconds
from oncofed.simulations.benchmarks.tables import Table, verdict
from oncofed.simulations.synthetic.schema import consortium_schema
from oncofed.study.explanation_settings import ExplanationRequest, vote_summaries
from oncofed.survival.held_out import CountLayout
from oncofed.survival.likelihood import PatientTensors
from oncofed.survival.network import parameter_count

EDGES = (-1.0, -0.5, 0.0, 0.5, 1.0)
PATIENTS = 15_000
SAMPLE = 60
"""Patients who are asked about one at a time."""
MOST_SECONDS = {
    SummaryKind.EVALUATION: 10.0,
    SummaryKind.CALIBRATION: 10.0,
    SummaryKind.KEY_MARKERS: 30.0,
    SummaryKind.INTERACTIONS: 30.0,
}


def summaries_table(*, many: int = PATIENTS, units: int = 16, repetitions: int = 3) -> Table:
    """Times are for all patients; one at a time was measured on a sample."""
    spec = model(columns=len(COLUMNS), hidden_units=(units,))
    study = plan(spec, sites=1, rounds=1, private=True)
    weights = np.random.default_rng(1).normal(scale=0.3, size=parameter_count(spec))
    cohort = patients(many, columns=spec.columns, seed=1)
    with one_thread():
        found = [_seconds(study, summary, weights, cohort, repetitions) for summary in _summaries()]
    return Table(
        title=f"Summaries of {many:,} patients, {len(COLUMNS)} columns, {units} units",
        columns=("summary", "numbers", "seconds", "ms a patient", "ms a patient, one at a time", "times as long"),
        rows=tuple(
            (
                summary.name,
                f"{summary.cells:,}",
                f"{together:.2f}",
                f"{1000 * together / many:.3f}",
                f"{1000 * alone:.2f}",
                f"{alone * many / together:.1f}",
            )
            for summary, (together, alone) in zip(_summaries(), found, strict=True)
        ),
        notes=(
            f"The quickest of {repetitions}. One at a time: a sample of {SAMPLE}, each a sum of its own.",
            *(
                verdict(f"{summary.name}, seconds", together, at_most=MOST_SECONDS[summary.kind])
                for summary, (together, _) in zip(_summaries(), found, strict=True)
            ),
        ),
    )


def _summaries() -> tuple[SummarySpec, ...]:
    cells = CountLayout(1, EDGES, GRID.bounds).cells
    votes = vote_summaries(consortium_schema(), ExplanationRequest(pairs=True))
    held_out = replace(
        votes[0], name="evaluation", kind=SummaryKind.EVALUATION, cells=cells, edges=EDGES, time_bounds=GRID.bounds
    )
    risks = (-1.5, 1.5)
    calibration = replace(
        held_out,
        name="calibration",
        kind=SummaryKind.CALIBRATION,
        cells=ExpectedLayout(1, GRID.bounds, 1, risks, 1.0).cells,
        edges=risks,
    )
    return held_out, calibration, *votes


def _seconds(
    study: StudyPlan, summary: SummarySpec, weights: NDArray[np.float64], cohort: PatientTensors, repetitions: int
) -> tuple[float, float]:
    """Of all at once, and of one patient when each is asked about alone."""
    one_each = [cohort.rows(slice(place, place + 1)) for place in range(min(SAMPLE, len(cohort)))]
    together: list[float] = []
    alone: list[float] = []
    for _ in range(repetitions):
        for seconds, groups in ((together, [cohort]), (alone, one_each)):
            began = processor_seconds()
            for group in groups:
                bounded_sum(study, summary, weights, group)
            seconds.append((processor_seconds() - began) / len(groups))
    return min(together), min(alone)
