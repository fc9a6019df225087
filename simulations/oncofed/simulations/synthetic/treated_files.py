"""Which files does the treated consortium leave in a folder?

    patients.parquet (or .csv)   one row a patient, as `oncofed.cohort.table` reads it
    schema.toml                  as `oncofed.cohort.schema_file` reads it
    true_options.parquet         by patient_id: the chance of the second option, frailty, and survival and mean time
                                 lived to the horizon under each option
    true_effects.json            the effect over all patients and by modifier, and what a naive comparison would say

Promise and refusals are those of `synthetic.files`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from oncofed.cohort.schema_writing import schema_as_toml
from oncofed.simulations.synthetic.files import TableFormat, write_all
from oncofed.simulations.synthetic.treated import (
    HORIZON_MONTHS,
    TRIAL,
    TreatedConsortium,
    TreatedPatients,
    draw_treated,
)

POPULATION = 100_000
"""Drawn for the true effects."""

_SCHEMA_COMMENT = """The schema of an invented consortium of which the effect of one option over another is known.
Every constant is public: chosen from units and medical knowledge, never computed from the table."""

_ABOUT = (
    "Effects are the second option less the first: in the share of patients alive at the horizon, and in the mean time "
    "lived up to it, in months. overlap: each patient counts by the true chance of the second option times that of "
    "the first, so that the answer belongs to patients who could have got either; everybody: each counts the same. "
    "naive: the share alive of all who got the second option, less that of all who got the first, were nobody lost."
)


def write_treated(
    consortium: TreatedConsortium,
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
        truth=("true_effects.json", lambda: true_effects(consortium, population=population)),
        of_patients=("true_options.parquet", lambda: _options(consortium)),
    )


def true_effects(consortium: TreatedConsortium, *, population: int) -> dict[str, object]:
    """What true_effects.json says. population: how many more patients of the same hospitals are drawn for it."""
    drawn = draw_treated(
        patients=population,
        hospitals=consortium.hospitals,
        rng=np.random.default_rng([consortium.seed, 2]),
        twists=consortium.twists,
    )
    return {
        "about": _ABOUT,
        "made_with": {
            "patients": len(consortium.table),
            "hospitals": consortium.hospitals,
            "seed": consortium.seed,
            "twists": sorted(twist.value for twist in consortium.twists),
        },
        "horizon_months": HORIZON_MONTHS,
        "second_option_share": float(drawn.second.mean()),
        "naive": float(_given(drawn, drawn.second) - _given(drawn, ~drawn.second)),
        "effects": _effects(drawn),
    }


def _given(drawn: TreatedPatients, some: NDArray[np.bool_]) -> float:
    """Survival of some patients under the option that they got."""
    survival = drawn.survival(HORIZON_MONTHS)
    return float(np.where(drawn.second, survival[1], survival[0])[some].mean())


def _effects(drawn: TreatedPatients) -> dict[str, object]:
    survival, lived = drawn.survival(HORIZON_MONTHS), drawn.mean_time(HORIZON_MONTHS)
    chance = 1 / (1 + np.exp(-drawn.log_odds))
    groups = {"all": np.ones(len(drawn), np.bool_)}
    for name, has in zip(TRIAL.modifiers, drawn.modifiers.T, strict=True):
        groups |= {f"without {name}": ~has, f"with {name}": has}
    return {
        name: {
            counted: {
                "survival_difference": float(np.average((survival[1] - survival[0])[group], weights=weights[group])),
                "mean_time_difference_months": float(np.average((lived[1] - lived[0])[group], weights=weights[group])),
            }
            for counted, weights in (("overlap", chance * (1 - chance)), ("everybody", np.ones(len(drawn))))
        }
        for name, group in groups.items()
    }


def _options(consortium: TreatedConsortium) -> pd.DataFrame:
    drawn = consortium.patients
    survival, lived = drawn.survival(HORIZON_MONTHS), drawn.mean_time(HORIZON_MONTHS)
    return pd.DataFrame(
        {
            "patient_id": consortium.table["patient_id"],
            "chance_of_second": 1 / (1 + np.exp(-drawn.log_odds)),
            "frailty": drawn.frailty,
            "survival_first": survival[0],
            "survival_second": survival[1],
            "mean_months_first": lived[0],
            "mean_months_second": lived[1],
        }
    )
