"""Who are the patients of an experiment, and which hospital has whom?

Promise: every fault of a table is told at once, and nothing here shows a patient. What is shown, in words or below a
notebook's cell, are markers and exact counts: it is the researcher's own table, and they are not for others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from oncofed.cohort import schema_file, validation
from oncofed.cohort.cohort import Cohort
from oncofed.cohort.encoding import columns as encoded_columns
from oncofed.cohort.schema import StudySchema
from oncofed.cohort.table import read_table
from oncofed.errors import Fault, InvalidInput
from oncofed.simulations.lab.arguments import (
    a_path,
    a_text,
    came,
    instance,
    maybe,
    number,
    plain,
    refuse_wrong,
    several,
)
from oncofed.simulations.partition import consortium
from oncofed.simulations.study import EvaluationSpec, Partition, SitesSpec, Split
from oncofed.simulations.synthetic.consortium import generate
from oncofed.simulations.synthetic.layered import generate_layered


@dataclass(frozen=True, eq=False, repr=False)
class Patients:
    """Patients of one table, checked against its schema.

    cohort  what the schema names of them, as arrays. They are read-only.
    table   as it was read, from which `split` cuts; None after it.
    where   what faults call the table.
    sites   (patients,), where each was treated; None where nobody has said so. Of those whom `split` sets aside.
    """

    cohort: Cohort
    table: pd.DataFrame | None = None
    where: str = "table"
    sites: NDArray[np.str_] | None = None

    @property
    def schema(self) -> StudySchema:
        return self.cohort.schema

    def __len__(self) -> int:
        return len(self.cohort)

    @property
    def columns(self) -> int:
        """How many inputs a network has: more than markers, since categories and missing values have columns too."""
        return len(encoded_columns(self.schema))

    @property
    def markers(self) -> pd.DataFrame:
        """One row a marker: modality, kind, unit, in how many patients it was measured, and the share missing."""
        measured = (~np.isnan(self.cohort.values)).sum(axis=0)
        return pd.DataFrame(
            {
                "marker": [marker.name for marker in self.schema.markers],
                "modality": [marker.modality.value for marker in self.schema.markers],
                "kind": [marker.kind.value for marker in self.schema.markers],
                "unit": [marker.unit for marker in self.schema.markers],
                "measured": measured,
                "missing": 1 - measured / max(len(self), 1),
            }
        )

    def __repr__(self) -> str:
        outcomes = ", ".join(
            f"{int(self.cohort.observed[:, place].sum()):,} x {endpoint.name}"
            for place, endpoint in enumerate(self.schema.endpoints)
        )
        return f"<{self.schema.name}: {len(self):,} patients, {len(self.schema.markers):,} markers; {outcomes}>"

    def _repr_html_(self) -> str:
        shown = self.markers.assign(missing=[f"{share:.0%}" for share in self.markers["missing"]])
        return f"<p>{escape(repr(self).strip('<>'))}</p>{shown.to_html(index=False)}"


@dataclass(frozen=True, eq=False, repr=False)
class Hospitals(Mapping[str, Patients]):
    """Training patients by hospital, sorted by name. A mapping: `hospitals["north"]`, `len(hospitals)`.

    notes      what was told while the table was cut: who is left out and why, which names are alike.
    set_aside  the other patients of the table, on whom nobody trains.
    """

    by_name: Mapping[str, Patients]
    notes: tuple[str, ...] = ()
    set_aside: Patients | None = None

    def __post_init__(self) -> None:
        names = several(a_text, words="a list of notes", remedy="Give texts.")
        refuse_wrong(
            "Hospitals",
            by_name=(self.by_name, by_hospital),
            notes=(self.notes, names),
            set_aside=(self.set_aside, maybe(PATIENTS)),
        )

    def __getitem__(self, name: str) -> Patients:
        return self.by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.by_name)

    def __len__(self) -> int:
        return len(self.by_name)

    @property
    def overview(self) -> pd.DataFrame:
        """One row a hospital: patients, events of each endpoint, and which share of its marker values is missing."""
        rows = []
        for name, patients in self.by_name.items():
            cohort = patients.cohort
            events = {
                f"events: {endpoint.name}": int(cohort.observed[:, place].sum())
                for place, endpoint in enumerate(cohort.schema.endpoints)
            }
            missing = float(np.isnan(cohort.values).mean()) if cohort.values.size else 0.0
            rows.append({"hospital": name, "patients": len(patients), **events, "missing": missing})
        return pd.DataFrame(rows)

    def __repr__(self) -> str:
        return f"<{len(self)} hospitals, {sum(map(len, self.by_name.values())):,} patients>"

    def _repr_html_(self) -> str:
        shown = self.overview.assign(missing=[f"{share:.0%}" for share in self.overview["missing"]])
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes)
        return f"<p>{escape(repr(self).strip('<>'))}</p>{shown.to_html(index=False)}{notes}"


SCHEMA = instance(StudySchema, words="a schema", remedy="Read it: of.read_schema(path).")
PATIENTS = instance(Patients, words="patients", remedy="Read them: of.read_cohort(table, schema).")
SEED = number("Study.seed")


def somebody(where: str, value: Any) -> list[Fault]:
    """The kind of argument that is patients, one at least."""
    if isinstance(value, Patients) and not len(value):
        return [Fault(where, "is nobody", "Give at least one patient.")]
    return PATIENTS(where, value)


def by_hospital(where: str, value: Any) -> list[Fault]:
    """The kind of argument that is hospitals, one at least, with somebody in each."""
    if not isinstance(value, Mapping):
        remedy = 'Give the first of the two that of.split returns, or a mapping such as {"north": patients}.'
        return [Fault(where, f"is {came(value)}, not patients by hospital", remedy)]
    if not value:
        return [Fault(where, "are none", "Give at least one.")]
    faults = []
    for name, patients in value.items():
        if not isinstance(name, str) or not name.strip():
            faults.append(Fault(where, f"name a hospital by {came(name)}", "Write its name, as a text."))
        elif isinstance(patients, Patients) and not len(patients):
            faults.append(Fault(_place(where, name), "has nobody", "Leave it out."))
        else:
            faults += PATIENTS(_place(where, name), patients)
    return faults


def read_schema(path: Path | str) -> StudySchema:
    """What a table's columns mean, and what the network is told of them: a .toml file, docs/schema.md.

    raises  InvalidInput with every fault at once: section, field and remedy.

    >>> import oncofed.lab as of
    >>> of.read_schema("simulations/studies/own_table/schema.toml").name
    'own_lung'
    """
    refuse_wrong(path=(path, a_path))
    return schema_file.read_schema(Path(path))


def read_cohort(table: Path | str | pd.DataFrame, schema: StudySchema) -> Patients:
    """The patients of a table.

    table   a .csv or .parquet file, or a DataFrame, one row a patient; docs/own-data.md says what must be in it.
            Columns that the schema does not name are not read.
    raises  InvalidInput with every fault at once: column, what is wrong, in how many rows, and the remedy. No message
            names a patient or holds a cell.

    >>> import oncofed.lab as of
    >>> made = of.synthetic(patients=200, hospitals=3)
    >>> of.read_cohort(made.table, made.schema)
    <synthetic_consortium: 200 patients, 350 markers; 106 x overall_survival, 175 x time_to_next_treatment>
    """
    refuse_wrong(table=(table, _table), schema=(schema, SCHEMA))
    if isinstance(table, pd.DataFrame):
        return _checked(table.reset_index(drop=True), schema, "table")
    return _checked(read_table(table, columns=validation.named_columns(schema)), schema, Path(table).name)


def synthetic(patients: int = 1_000, hospitals: int = 6, *, seed: int = 1) -> Patients:
    """An invented consortium of 38 tumour entities and 350 markers, in the shape of a published study.

    raises  InvalidInput unless there are at least 100 patients, and no fewer than hospitals.

    >>> import oncofed.lab as of
    >>> of.synthetic(patients=100, hospitals=2).markers["modality"].nunique()
    8
    """
    refuse_wrong(
        patients=(patients, number("DataSpec.synthetic_patients")),
        hospitals=(hospitals, number("DataSpec.synthetic_hospitals")),
        seed=(seed, number("DataSpec.synthetic_seed")),
    )
    made = generate(patients=int(patients), hospitals=int(hospitals), seed=int(seed))
    return _checked(made.table, made.schema, "synthetic consortium")


def synthetic_layers(patients: int = 2_000, hospitals: int = 6, *, seed: int = 1) -> Patients:
    """An invented consortium of which the true value of each layer of data is known; see docs/benchmarks.md.

    raises  as `synthetic`.

    >>> import oncofed.lab as of
    >>> sorted(of.synthetic_layers(patients=100, hospitals=2).markers["modality"].unique())
    ['clinical', 'dna_copy_number', 'dna_mutation', 'laboratory', 'protein_expression', 'rna_expression']
    """
    refuse_wrong(
        patients=(patients, number("DataSpec.synthetic_patients")),
        hospitals=(hospitals, number("DataSpec.synthetic_hospitals")),
        seed=(seed, number("DataSpec.synthetic_seed")),
    )
    made = generate_layered(patients=int(patients), hospitals=int(hospitals), seed=int(seed))
    return _checked(made.table, made.schema, "layered consortium")


def _checked(table: pd.DataFrame, schema: StudySchema, where: str) -> Patients:
    return Patients(validation.validate(table, schema, where=where), table, where)


def split(
    patients: Patients, *, by: str | int | None = None, test: float = 0.2, seed: int = 1
) -> tuple[Hospitals, Patients]:
    """Cut one table into hospitals that train, and patients who are set aside, of all hospitals together.

    by       the column that says where a patient was treated: the schema's site column (None), or another column that
             the schema names, such as a categorical marker. A whole number: so many hospitals, to which the values
             of the site column are spread by their hash.
    test     share of all patients, in (0, 1): the first of `numpy.random.default_rng(seed).permutation`. With the same
             seed and share they are those of `oncofed simulate`.
    raises   InvalidInput: no such column, a patient without a hospital, nobody to train on, no event to learn from.

    >>> import oncofed.lab as of
    >>> hospitals, test = of.split(of.synthetic(patients=200, hospitals=3), test=0.25)
    >>> hospitals, len(test)
    (<3 hospitals, 150 patients>, 50)
    """
    refuse_wrong(
        patients=(patients, PATIENTS),
        by=(by, _column_or_count),
        test=(test, number("EvaluationSpec.test_fraction")),
        seed=(seed, SEED),
    )
    faults = []
    schema, sites = patients.schema, SitesSpec(Partition.COLUMN)
    known = validation.named_columns(schema)
    if isinstance(by, str):
        if by not in known:
            faults.append(Fault("by", f'"{by}" is not a column that the schema names', f"Possible: {_some(known)}."))
        schema = replace(schema, site_column=by)
    elif by is not None:
        sites = SitesSpec(Partition.HASH, count=int(by))
    if schema.site_column is None:
        faults.append(Fault("by", "is missing, and the schema names no site column", f"Possible: {_some(known)}."))
    if patients.table is None:
        faults.append(Fault("patients", "were split before", "Split what read_cohort returned."))
    if faults:
        raise InvalidInput(faults)
    assert patients.table is not None
    notes: list[str] = []
    cut = consortium(
        patients.table,
        schema,
        where=patients.where,
        sites=sites,
        evaluation=EvaluationSpec(1.0, Split.RANDOM, test_fraction=float(test)),
        seed=int(seed),
        tell=notes.append,
    )
    again = _under(patients.schema)
    set_aside = replace(again(cut.test), sites=cut.test_sites)
    by_name = {name: again(cohort) for name, cohort in cut.hospitals.items()}
    return Hospitals(by_name, tuple(notes), set_aside), set_aside


def _table(where: str, value: Any) -> list[Fault]:
    if isinstance(value, pd.DataFrame) or not a_path(where, value):
        return []
    return [Fault(where, f"is {came(value)}, not a table", "Give a DataFrame, or the path of a .csv or .parquet file.")]


def _column_or_count(where: str, value: Any) -> list[Fault]:
    if value is None or isinstance(value, str):
        return []
    if isinstance(plain(value), int | float):
        return number("SitesSpec.count")(where, value)
    what = f"is {came(value)}, neither a column's name nor a number of hospitals"
    return [Fault(where, what, "Give one of the two, or leave it out.")]


def _under(schema: StudySchema) -> Callable[[Cohort], Patients]:
    """By whichever column they were cut: the schema is that of the table."""
    return lambda cohort: Patients(replace(cohort, schema=schema))


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def same_schema(
    schema_hash: str, *, hospitals: Mapping[str, Patients] | None = None, **others: Patients | None
) -> None:
    """Raises InvalidInput that names those whose patients are described by another schema."""
    everybody = {**others, **{_place("hospitals", name): each for name, each in (hospitals or {}).items()}}
    faults = [
        Fault(name, "is described by another schema", "Read all tables with one schema.")
        for name, patients in everybody.items()
        if patients is not None and patients.schema.hash != schema_hash
    ]
    if faults:
        raise InvalidInput(faults)


def _place(where: str, name: str) -> str:
    return f'{where}["{name}"]'
