"""Which files does the layered consortium leave in a folder?

    patients.parquet (or .csv)   one row a patient, as `oncofed.cohort.table` reads it
    schema.toml                  as `oncofed.cohort.schema_file` reads it
    true_log_hazard.parquet      by patient_id: what clinical history and each layer add to f, measured or not, and f
    true_values.json             what each layer is worth under the true hazard, in nats a patient

Promise and refusals are those of `synthetic.files`.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np

from oncofed.cohort.schema_writing import schema_as_toml
from oncofed.simulations.synthetic import outcomes
from oncofed.simulations.synthetic.files import TableFormat, write_all
from oncofed.simulations.synthetic.layered import ALWAYS_KNOWN, LAYERS, SAYS_NOTHING, LayeredConsortium
from oncofed.simulations.synthetic.layered_truth import true_values, values_in_population
from oncofed.survival.layer_values import HAZARD_CAP, LARGEST_GAIN, LayerValues

POPULATION = 200_000
"""Drawn for the true values. Their standard errors are then below 0.001."""

_SCHEMA_COMMENT = """The schema of an invented consortium of which the true value of each layer of data is known.
Every constant is public: chosen from units and medical knowledge, never computed from the table."""

_ABOUT = (
    "Hazard = baseline * exp(f). f is the sum of what clinical history and each layer add (true_log_hazard.parquet), "
    "whether they were measured or not. Values are of the true hazard given what is recorded, over patients of whom "
    "all layers were measured: the mean gain in log likelihood over clinical history alone, in natural logarithms a "
    "patient; share is Shapley's."
)


def write_layered(
    consortium: LayeredConsortium,
    folder: Path | str,
    *,
    table_format: TableFormat = TableFormat.PARQUET,
    population: int = POPULATION,
) -> tuple[Path, ...]:
    """Write the four files, make the folder if needed, return their paths. Raises InvalidInput if one is there."""
    return write_all(
        folder,
        consortium.table,
        table_format,
        schema=schema_as_toml(consortium.schema, comment=_SCHEMA_COMMENT),
        truth=("true_values.json", lambda: true_values_of(consortium, population=population)),
        of_patients=("true_log_hazard.parquet", lambda: consortium.true_log_hazard),
    )


def true_values_of(consortium: LayeredConsortium, *, population: int) -> dict[str, object]:
    """What true_values.json says. population: how many patients are drawn for it."""
    among_these = true_values(consortium.patients, rng=np.random.default_rng([consortium.seed, 3]))
    return {
        "about": _ABOUT,
        "made_with": {
            "patients": len(consortium.table),
            "hospitals": consortium.hospitals,
            "seed": consortium.seed,
        },
        "always_known": ALWAYS_KNOWN.value,
        "says_nothing": SAYS_NOTHING.value,
        "follow_up_ends_at_cumulative_hazard": HAZARD_CAP,
        "gains_are_cut_at": LARGEST_GAIN,
        "baseline": {
            "family": "Weibull: cumulative hazard (t / scale) ** shape",
            "shape": outcomes.WEIBULL_SHAPE,
            "scale_months": outcomes.DEATH_SCALE_MONTHS,
        },
        "measured_share": dict(
            zip((each.value for each in LAYERS), consortium.patients.measured.mean(axis=0).tolist(), strict=True)
        ),
        "values": _told(values_in_population(consortium, patients=population)),
        "values_among_these_patients": _told(among_these),
    }


def _told(values: LayerValues) -> dict[str, object]:
    def number(value: dict[str, float]) -> dict[str, float]:
        return {name: value[name] for name in ("mean", "standard_error")}

    layers = {
        each.name: {kind: number(asdict(each)[kind]) for kind in ("share", "alone", "last")} for each in values.layers
    }
    return {"patients": values.patients, "layers": layers, "together": number(asdict(values.together))}
