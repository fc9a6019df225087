"""What does an import of an OMOP model cost, beside pandas that does the same by hand and checks nothing?

A model of Parquet files, or of tables in PostgreSQL: MEASUREMENT with results of 40 laboratory values in two units, of
which the last in the 90 days before the first diagnosis counts, in one unit; age, death and the last contact of any
table. Each side runs in a process of its own, so that its memory is its own, and all must give the same table.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from oncofed.client.importing.cohort_import import import_cohort
from oncofed.client.importing.mapping_file import read_mapping
from oncofed.simulations.benchmarks.apart import COLUMNS, Cost, apart, measured
from oncofed.simulations.benchmarks.tables import Table

MARKERS = 40
FIRST_CONCEPT = 2_000_000_000
_EPOCH = np.datetime64("2010-01-01")
_SCHEMA = """[schema]
name = "benchmark"
patient_id = "patient"
[time]
unit = "days"
interval_bounds = [0, 100, 1000, 9000]
zero_time_becomes = 0.5
[[endpoint]]
name = "survival"
time = "days"
event = "died"
baseline_hazard = 0.001
[[marker]]
name = "age_years"
modality = "clinical"
kind = "continuous"
unit = "years"
plausible_range = [0, 130]
centre = 60
scale = 10
"""
_MARKER = """[[marker]]
name = "{name}"
modality = "laboratory"
kind = "continuous"
unit = "g/l"
plausible_range = [0, 1000]
centre = 40
scale = 10
"""
_MAPPING = """[mapping]
schema = "schema.toml"
patients = "persons"
[[source]]
name = "persons"
part = "omop"
path = "cdm"
table = "person"
[[source]]
name = "diagnoses"
part = "omop"
path = "cdm"
table = "condition_occurrence"
keep = { condition_concept_id = ["443388"] }
[[source]]
name = "measurements"
part = "omop"
path = "cdm"
table = "measurement"
[time_zero]
source = "diagnoses"
column = "condition_start_date"
take = "first"
[[outcome]]
name = "survival"
event = "dead"
yes = ["1"]
no = ["0"]
event_date = "death_date"
last_contact = ["last_contact"]
[[marker]]
name = "age_years"
column = "birth_date"
transform = "age"
"""
_MAPPED = """[[marker]]
name = "{name}"
source = "measurements"
codes = ["{concept}"]
window = [-90, 0]
take = "last"
same_day = "highest"
"""


def omop_import_table(*, measurements: int = 5_000_000, patients: int = 50_000, url_file: Path | None = None) -> Table:
    """url_file: with the address of a PostgreSQL database, in which a schema is made, measured, too, and removed."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        written(folder, measurements=measurements, patients=patients)
        found = {("Parquet files", side): apart(__name__, side, folder) for side in SIDES}
        tables = [pd.read_parquet(folder / f"{side}.parquet") for side in SIDES]
        if url_file is not None:
            with in_database(folder, url_file) as database:
                found |= {("PostgreSQL", side): apart(__name__, side, database) for side in SIDES}
                tables += [pd.read_parquet(database / f"{side}.parquet") for side in SIDES]
    for other in tables[1:]:
        pd.testing.assert_frame_equal(tables[0], other, check_like=True, check_exact=False, rtol=1e-12)
    return Table(
        title=f"{measurements:,} measurements of an OMOP model, {patients:,} patients",
        columns=("from", "what", *COLUMNS),
        rows=tuple((place, side, *each.cells) for (place, side), each in found.items()),
        notes=(
            f"{MARKERS} markers; all give the same table. Time and memory are the process's, with its libraries, and "
            "not the database's.",
            *_ratios(found),
        ),
    )


def _ratios(found: Mapping[tuple[str, str], Cost]) -> Iterator[str]:
    for place in dict.fromkeys(place for place, _ in found):
        yield f"{place}, import over pandas: {found[place, 'import'].over(found[place, 'pandas by hand'])}."


def written(folder: Path, *, measurements: int, patients: int) -> None:
    """The model, the schema and the mapping."""
    rng = np.random.default_rng(5)
    model = folder / "cdm"
    model.mkdir()
    persons = np.arange(1, patients + 1)
    zero = rng.integers(400, 3000, patients)
    followed = zero + rng.integers(1, 2000, patients)
    dead = rng.random(patients) < 0.5
    birth = {"month_of_birth": rng.integers(1, 13, patients), "day_of_birth": rng.integers(1, 29, patients)}
    tables = {
        "person": {"person_id": persons, "year_of_birth": rng.integers(1925, 1985, patients), **birth},
        "condition_occurrence": {
            "person_id": persons,
            "condition_concept_id": np.full(patients, 443388),
            "condition_start_date": _days(zero),
        },
        "death": {"person_id": persons[dead], "death_date": _days(followed[dead])},
        "visit_occurrence": {"person_id": persons, "visit_start_date": _days(zero), "visit_end_date": _days(followed)},
    }
    who = rng.integers(0, patients, measurements)
    day = zero[who] + rng.integers(-200, 1, measurements)
    decilitres = rng.random(measurements) < 0.3
    value = np.round(rng.uniform(1, 90, measurements), 1)
    tables["measurement"] = {
        "measurement_id": np.arange(measurements),
        "person_id": persons[who],
        "measurement_concept_id": FIRST_CONCEPT + rng.integers(0, MARKERS + 10, measurements),
        "measurement_date": _days(day),
        "operator_concept_id": np.full(measurements, 4172703),
        "value_as_number": np.where(decilitres, value / 10, value),
        "unit_concept_id": np.where(decilitres, 8713, 8636),
    }
    for name, columns in tables.items():
        pd.DataFrame(columns).to_parquet(model / f"{name}.parquet", index=False)
    names = [(f"value_{number}", FIRST_CONCEPT + number) for number in range(MARKERS)]
    (folder / "schema.toml").write_text(_SCHEMA + "".join(_MARKER.format(name=name) for name, _ in names))
    mapped = "".join(_MAPPED.format(name=name, concept=concept) for name, concept in names)
    (folder / "mapping.toml").write_text(_MAPPING + mapped)


_ADDRESS, _CDM = "address", "oncofed_benchmark"
_COLUMN_TYPES = {"person_id": "bigint", "measurement_id": "bigint", "value_as_number": "numeric"}
"""As OMOP's own statements make the tables; days are `date`, and others `integer`."""


@contextmanager
def in_database(folder: Path, url_file: Path) -> Iterator[Path]:
    """The same model in the tables of a schema, and a folder with schema and mapping for it."""
    import psycopg  # noqa: PLC0415 - an extra

    database = folder / "database"
    database.mkdir()
    (database / _ADDRESS).write_text(url_file.read_text())
    (database / _ADDRESS).chmod(0o600)
    (database / "schema.toml").write_text((folder / "schema.toml").read_text())
    place = f'url_file = "{_ADDRESS}"\ndatabase_schema = "{_CDM}"'
    (database / "mapping.toml").write_text((folder / "mapping.toml").read_text().replace('path = "cdm"', place))
    with psycopg.connect(url_file.read_text().strip(), autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {_CDM}".encode())
        try:
            for path in sorted((folder / "cdm").glob("*.parquet")):
                _copy(connection, path)
            connection.execute("ANALYZE")
            yield database
        finally:
            connection.execute(f"DROP SCHEMA {_CDM} CASCADE".encode())


def _copy(connection: Any, path: Path) -> None:
    file = pq.ParquetFile(path)
    names = file.schema_arrow.names
    kinds = ("date" if name.endswith("_date") else _COLUMN_TYPES.get(name, "integer") for name in names)
    told = ", ".join(f"{name} {kind}" for name, kind in zip(names, kinds, strict=True))
    table = f"{_CDM}.{path.stem}"
    connection.execute(f"CREATE TABLE {table} ({told})".encode())
    with connection.cursor().copy(f"COPY {table} FROM STDIN WITH (FORMAT csv)".encode()) as copied:
        for batch in file.iter_batches(200_000):
            cells = [each.cast(pa.date32()) if pa.types.is_timestamp(each.type) else each for each in batch]
            text = io.BytesIO()
            pyarrow.csv.write_csv(pa.table(cells, names=names), text, pyarrow.csv.WriteOptions(include_header=False))
            copied.write(text.getvalue())


def _days(since: NDArray[np.integer[Any]]) -> NDArray[np.datetime64]:
    return (_EPOCH + since.astype("timedelta64[D]")).astype("datetime64[ms]")


def by_import(folder: Path) -> pd.DataFrame:
    found: pd.DataFrame = import_cohort(read_mapping(folder / "mapping.toml")).table.to_pandas()
    return found


def _read(folder: Path, table: str, columns: Sequence[str] = ()) -> pd.DataFrame:
    if not (folder / _ADDRESS).exists():
        return pd.read_parquet(folder / "cdm" / f"{table}.parquet", columns=[*columns] or None)
    from sqlalchemy import create_engine  # noqa: PLC0415 - as in `in_database`

    address = (folder / _ADDRESS).read_text().strip().replace("postgresql://", "postgresql+psycopg://")
    with create_engine(address).connect() as connection:
        return pd.read_sql_query(f"SELECT {', '.join(columns) or '*'} FROM {_CDM}.{table}", connection)  # noqa: S608


def by_hand(folder: Path) -> pd.DataFrame:
    """As one writes it for this one model."""
    person = _read(folder, "person").set_index("person_id")
    diagnosed = _read(folder, "condition_occurrence").groupby("person_id")["condition_start_date"]
    zero = pd.to_datetime(diagnosed.min())
    death = pd.to_datetime(_read(folder, "death").set_index("person_id")["death_date"])
    columns = ["person_id", "measurement_concept_id", "measurement_date", "value_as_number", "unit_concept_id"]
    rows = _read(folder, "measurement", columns)
    rows["measurement_date"] = pd.to_datetime(rows["measurement_date"])
    visits = _read(folder, "visit_occurrence").set_index("person_id")["visit_end_date"]
    last = pd.concat([pd.to_datetime(visits), rows.groupby("person_id")["measurement_date"].max(), zero], axis=1)
    born = pd.to_datetime(
        {"year": person["year_of_birth"], "month": person["month_of_birth"], "day": person["day_of_birth"]}
    )
    end = death.reindex(person.index).fillna(last.max(axis=1))
    since = (rows["measurement_date"] - rows["person_id"].map(zero)).dt.days
    rows = rows[(since >= -90) & (since <= 0) & (rows["measurement_concept_id"] < FIRST_CONCEPT + MARKERS)]
    rows = rows.assign(
        value=rows["value_as_number"].where(rows["unit_concept_id"] == 8636, rows["value_as_number"] * 10)
    )
    rows = rows.sort_values(["person_id", "measurement_concept_id", "measurement_date", "value"])
    latest = rows.drop_duplicates(["person_id", "measurement_concept_id"], keep="last")
    wide = latest.pivot(index="person_id", columns="measurement_concept_id", values="value").reindex(person.index)
    table = {
        "patient": person.index.astype(str),
        "days": (end - zero).dt.days.to_numpy(dtype=float),
        "died": person.index.isin(death.index).astype(np.int64),
        "age_years": ((zero - born).dt.days / 365.25).to_numpy(),
        **{f"value_{number}": wide[FIRST_CONCEPT + number].to_numpy() for number in range(MARKERS)},
    }
    return pd.DataFrame(table).sort_values("patient", ignore_index=True)


SIDES: Mapping[str, Callable[[Path], pd.DataFrame]] = {"import": by_import, "pandas by hand": by_hand}


if __name__ == "__main__":
    measured(SIDES)
