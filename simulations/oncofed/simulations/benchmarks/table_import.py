"""What does an import of one wide table cost, beside pandas that does the same by hand and checks nothing?

A Parquet file of a row a patient and 400 numbers, a third of which are in another unit than the study's and a third of
which are skewed; empty cells, and -9 for what is not known. Both must give the same table.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from oncofed.client.importing.cohort_import import import_cohort
from oncofed.client.importing.mapping_file import read_mapping
from oncofed.simulations.benchmarks.apart import COLUMNS, apart, measured
from oncofed.simulations.benchmarks.tables import Table

_SCHEMA = """[schema]
name = "benchmark"
patient_id = "patient"
[time]
unit = "months"
interval_bounds = [0, 12, 60, 240]
zero_time_becomes = 0.5
[[endpoint]]
name = "survival"
time = "months"
event = "died"
baseline_hazard = 0.01
"""
_MARKER = """[[marker]]
name = "value_{number}"
modality = "laboratory"
kind = "continuous"
unit = "{unit}"
plausible_range = [0, 1000]
centre = 40
scale = 10
"""
_MAPPING = """[mapping]
schema = "schema.toml"
patients = "patients"
missing = ["-9"]
[[source]]
name = "patients"
path = "patients.parquet"
patient = "record"
[[outcome]]
name = "survival"
event = "state"
yes = ["dead"]
no = ["alive"]
time = "followed"
"""
_MAPPED = ("", 'unit = "g/dl"\n', 'transform = "log1p"\n')


def table_import_table(*, patients: int = 200_000, markers: int = 400) -> Table:
    """The largest hospital that a plan allows, with somewhat more markers than the published system has."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        written(folder, patients=patients, markers=markers)
        found = {side: apart(__name__, side, folder) for side in SIDES}
        ours, theirs = (pd.read_parquet(folder / f"{side}.parquet") for side in SIDES)
    pd.testing.assert_frame_equal(ours, theirs, check_like=True, check_exact=False, rtol=1e-12)
    return Table(
        title=f"An import of {patients:,} patients and {markers} markers from one Parquet file",
        columns=("what", *COLUMNS),
        rows=tuple((side, *each.cells) for side, each in found.items()),
        notes=(
            "Both give the same table. Time and memory are the process's, with its libraries.",
            f"import over pandas: {found['import'].over(found['pandas by hand'])}.",
        ),
    )


def written(folder: Path, *, patients: int, markers: int) -> None:
    """The table, the schema and the mapping."""
    rng = np.random.default_rng(5)
    columns: dict[str, object] = {
        "record": [f"P{number:07d}" for number in range(patients)],
        "followed": np.round(rng.uniform(0.5, 200, patients), 1),
        "state": np.where(rng.random(patients) < 0.5, "dead", "alive"),
    }
    for number in range(markers):
        values = np.round(rng.uniform(1, 90, patients), 1)
        values[rng.random(patients) < 0.2] = np.nan
        values[rng.random(patients) < 0.02] = -9
        columns[f"lab_{number}"] = values
    pd.DataFrame(columns).to_parquet(folder / "patients.parquet", index=False)
    units = ["log1p(g/l)" if number % len(_MAPPED) == 2 else "g/l" for number in range(markers)]
    made = [_MARKER.format(number=number, unit=unit) for number, unit in enumerate(units)]
    (folder / "schema.toml").write_text(_SCHEMA + "".join(made))
    mapped = (
        f'[[marker]]\nname = "value_{number}"\ncolumn = "lab_{number}"\n{_MAPPED[number % len(_MAPPED)]}'
        for number in range(markers)
    )
    (folder / "mapping.toml").write_text(_MAPPING + "".join(mapped))


def by_import(folder: Path) -> pd.DataFrame:
    found: pd.DataFrame = import_cohort(read_mapping(folder / "mapping.toml")).table.to_pandas()
    return found


def by_hand(folder: Path) -> pd.DataFrame:
    """As one writes it for this one table."""
    read = pd.read_parquet(folder / "patients.parquet")
    table = {
        "patient": read["record"],
        "months": read["followed"],
        "died": (read["state"] == "dead").astype(np.int64),
    }
    for column in read.columns[3:]:
        number = int(column.removeprefix("lab_"))
        values = read[column].mask(read[column] == -9)
        table[f"value_{number}"] = (values, values * 10, np.log1p(values))[number % len(_MAPPED)]
    return pd.DataFrame(table).sort_values("patient", ignore_index=True)


SIDES: Mapping[str, Callable[[Path], pd.DataFrame]] = {"import": by_import, "pandas by hand": by_hand}


if __name__ == "__main__":
    measured(SIDES)
