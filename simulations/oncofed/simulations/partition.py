"""Which patients are whose, and who is set aside?

One table becomes the training patients of several hospitals and one pooled set for measuring. Row order within a
hospital is the table's.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from oncofed.cohort.cohort import Cohort
from oncofed.cohort.schema import StudySchema
from oncofed.cohort.table import read_table
from oncofed.cohort.validation import validate
from oncofed.errors import Fault, InvalidInput
from oncofed.simulations.study import EvaluationSpec, Part, Partition, SitesSpec, Split

Rows = NDArray[np.int64]

_FIT_FOR_A_FOLDER = re.compile(r"\w[\w .\-]{0,99}")
"""Each hospital has a folder in a run, and a name out of a table must not lead anywhere else."""


@dataclass(frozen=True, eq=False)
class Consortium:
    """hospitals  training patients by site, sites sorted by name. left_out  rows in neither.

    test      patients set aside, pooled. held_out: the same, by site; a site may have none.
    """

    hospitals: Mapping[str, Cohort]
    test: Cohort
    held_out: Mapping[str, Cohort]
    left_out: int


@dataclass(frozen=True, eq=False)
class _Placement:
    """site of each row ("" for none), and which rows a second table marks as test."""

    site: NDArray[np.str_]
    marked_test: NDArray[np.bool_]


def consortium(
    table: pd.DataFrame, schema: StudySchema, *, where: str, sites: SitesSpec, evaluation: EvaluationSpec, seed: int
) -> Consortium:
    """Validate the table and cut it. Raises InvalidInput, also when a site would have nobody to train on."""
    cohort = validate(table, schema, where=where)
    placement = _placement(table, cohort, sites=sites)
    train, test = _split(cohort, placement, evaluation=evaluation, seed=seed)
    names = sorted({str(name) for name in placement.site if name != ""})
    by_site = {name: train[placement.site[train] == name] for name in names}
    faults = [
        Fault(f"{where}: hospital {name}", "has nobody to train on", "Use fewer sites, or another split.")
        for name, rows in by_site.items()
        if len(rows) == 0
    ]
    if not names:
        faults.append(Fault(where, "has no hospital", "Check the study's [sites]."))
    if unfit := sum(_FIT_FOR_A_FOLDER.fullmatch(name) is None for name in names):
        what = (
            f"{unfit} hospital names cannot be folder names" if unfit > 1 else "a hospital's name cannot name a folder"
        )
        faults.append(Fault(where, what, "Use letters, digits, blanks, dots, hyphens and underscores; begin with one."))
    if len(test) == 0:
        faults.append(Fault(where, "nobody is set aside for testing", "Check the study's [evaluation]."))
    if faults:
        raise InvalidInput(faults)
    hospitals = {name: cohort.subset(rows) for name, rows in by_site.items()}
    used = len(test) + sum(map(len, by_site.values()))
    held_out = {name: cohort.subset(test[placement.site[test] == name]) for name in names}
    return Consortium(hospitals, cohort.subset(test), held_out, left_out=len(cohort) - used)


def _placement(table: pd.DataFrame, cohort: Cohort, *, sites: SitesSpec) -> _Placement:
    nobody = np.zeros(len(cohort), dtype=np.bool_)
    if sites.partition is Partition.ASSIGNED:
        assert sites.assignment_table is not None
        return _assigned(cohort, sites, sites.assignment_table)
    column = cohort.schema.site_column
    if column is None:
        remedy = 'Name the column with the hospital in [schema], or use partition = "assigned".'
        raise InvalidInput([Fault("[schema], site_column", "is missing, but the study cuts by it", remedy)])
    named = table[column].fillna("").astype(str).str.strip().to_numpy(dtype=np.str_)
    if blank := int((named == "").sum()):
        raise InvalidInput([Fault(f'column "{column}"', "has no hospital", "Fill it in.", count=blank)])
    if sites.partition is Partition.COLUMN:
        return _Placement(named, nobody)
    assert sites.count is not None
    width = len(str(sites.count - 1))
    codes = [zlib.crc32(name.encode()) % sites.count for name in named]
    return _Placement(np.array([f"site_{code:0{width}d}" for code in codes]), nobody)


def _assigned(cohort: Cohort, sites: SitesSpec, path: Path) -> _Placement:
    assignment = read_table(path)
    absent = [
        Fault(f'{path.name}: column "{column}"', "is missing", "Correct [sites], or the assignment table.")
        for column in (sites.assignment_patient_id, sites.assignment_column)
        if column not in assignment.columns
    ]
    if absent:
        raise InvalidInput(absent)
    patients = assignment[sites.assignment_patient_id].astype(str)
    where = dict(zip(patients, assignment[sites.assignment_column].astype(str), strict=True))
    pattern = re.compile(sites.site_pattern)
    found = [pattern.search(where.get(patient, "")) for patient in cohort.patient_ids]
    test = [
        bool(sites.test_pattern) and re.search(sites.test_pattern, where.get(patient, "")) is not None
        for patient in cohort.patient_ids
    ]
    return _Placement(
        np.array([f"site_{match.group(1)}" if match else "" for match in found], dtype=np.str_),
        np.array(test, dtype=np.bool_),
    )


def _split(cohort: Cohort, placement: _Placement, *, evaluation: EvaluationSpec, seed: int) -> tuple[Rows, Rows]:
    patients = len(cohort)
    placed = np.flatnonzero(placement.site != "")
    if evaluation.split is Split.ASSIGNED:
        return placed[~placement.marked_test[placed]], placed[placement.marked_test[placed]]
    if evaluation.split is Split.FOLDS:
        test = np.array_split(np.random.default_rng(seed).permutation(patients), evaluation.folds)[evaluation.fold]
    else:
        test = _first_part(patients, evaluation.test_fraction, seed)
    train = np.setdiff1d(placed, test)
    if evaluation.part is Part.VALIDATION:
        test = _validation(patients, evaluation, seed)
        train = np.setdiff1d(train, test)
    return train, np.intersect1d(placed, test)


def _first_part(patients: int, fraction: float, seed: int) -> Rows:
    return np.random.default_rng(seed).permutation(patients)[: int(patients * fraction)]


def _validation(patients: int, evaluation: EvaluationSpec, seed: int) -> Rows:
    """A fifth of those who are in no reserved seed's test part, another fifth for each of the reserved seeds.

    Settings chosen on these patients have not seen the test part of any seed that is reported.
    """
    reserved = [_first_part(patients, evaluation.test_fraction, each) for each in evaluation.reserved_seeds]
    never_tested = np.setdiff1d(np.arange(patients), np.concatenate(reserved))
    never_tested = np.setdiff1d(never_tested, _first_part(patients, evaluation.test_fraction, seed))
    folds = np.array_split(np.random.default_rng(99).permutation(never_tested), max(2, len(evaluation.reserved_seeds)))
    return folds[seed % len(folds)]
