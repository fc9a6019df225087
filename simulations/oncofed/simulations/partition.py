"""Which patients are whose, and who is set aside?

One table becomes the training patients of several hospitals and one pooled set for measuring. Row order within a
hospital is the table's.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from oncofed.cohort.cells import words
from oncofed.cohort.cohort import Cohort
from oncofed.cohort.events_in_grid import events_in_grid
from oncofed.cohort.identifiers import identifiers_in, tell_alike
from oncofed.cohort.letters import plain
from oncofed.cohort.schema import StudySchema
from oncofed.cohort.table import Tell, keep_to_oneself, read_table
from oncofed.cohort.validation import validate
from oncofed.errors import Fault, InvalidInput
from oncofed.simulations.study import EvaluationSpec, Part, Partition, SitesSpec, Split

Rows = NDArray[np.int64]

_FIT_FOR_A_FOLDER = re.compile(r"\w[\w .\-]{0,99}")
"""Each hospital has a folder in a run, and a name out of a table must not lead anywhere else."""


@dataclass(frozen=True, eq=False)
class Consortium:
    """hospitals  training patients by site, sites sorted by name. left_out  rows in neither.

    test      patients set aside, pooled. held_out: the same, by site that trains; a site may have none. test_sites:
              (test,), each patient's; where whole hospitals are left out, none of them trains.
    """

    hospitals: Mapping[str, Cohort]
    test: Cohort
    held_out: Mapping[str, Cohort]
    left_out: int
    test_sites: NDArray[np.str_]


@dataclass(frozen=True, eq=False)
class _Placement:
    """site of each row ("" for none), and which rows a second table marks as test."""

    site: NDArray[np.str_]
    marked_test: NDArray[np.bool_]


def consortium(
    table: pd.DataFrame,
    schema: StudySchema,
    *,
    where: str,
    sites: SitesSpec,
    evaluation: EvaluationSpec,
    seed: int,
    tell: Tell = keep_to_oneself,
) -> Consortium:
    """Validate the table and cut it. Raises InvalidInput, also when a site would have nobody to train on.

    tell  told who is left out and why, and how many identifiers and hospital names are alike.
    """
    cohort = validate(table, schema, where=where)
    tell_alike(cohort.patient_ids, where=where, tell=tell)
    placement = _placement(table, cohort, sites=sites, tell=tell)
    every = sorted({str(name) for name in placement.site if name != ""})
    left_out = left_out_hospitals(every, evaluation, seed) if evaluation.split is Split.HOSPITALS else ()
    names = [name for name in every if name not in left_out]
    train, test = _split(cohort, placement, evaluation=evaluation, seed=seed, left_out=left_out)
    if evaluation.split in (Split.RANDOM, Split.FOLDS):
        train, test = _somebody_in_each(names, placement, train=train, test=test, tell=tell)
    by_site = {name: train[placement.site[train] == name] for name in names}
    faults = [
        Fault(f"{where}: hospital {name}", "has nobody to train on", "Use fewer sites, or another split.")
        for name, rows in by_site.items()
        if len(rows) == 0
    ]
    if not every:
        faults.append(Fault(where, "has no hospital", "Check the study's [sites]."))
    faults += _unfit_names(every, placement, where=where, sites=sites, schema=schema)
    if evaluation.split is Split.HOSPITALS and every and evaluation.folds > len(every):
        what = f"has {len(every)} hospitals, too few for {evaluation.folds} folds of them"
        faults.append(Fault(where, what, f"Set folds under [evaluation] to {max(2, len(every))} at most."))
    elif len(test) == 0:
        faults.append(Fault(where, "nobody is set aside for testing", "Set a larger share aside."))
    faults += _faults_of_events(cohort.subset(train), where=where, tell=tell)
    if faults:
        raise InvalidInput(faults)
    hospitals = {name: cohort.subset(rows) for name, rows in by_site.items()}
    used = len(test) + sum(map(len, by_site.values()))
    held_out = {name: cohort.subset(test[placement.site[test] == name]) for name in names}
    return Consortium(
        hospitals, cohort.subset(test), held_out, left_out=len(cohort) - used, test_sites=placement.site[test]
    )


def left_out_hospitals(names: Sequence[str], evaluation: EvaluationSpec, seed: int) -> tuple[str, ...]:
    """Of `names`, sorted, those that take no part where whole hospitals are left out."""
    mixed = np.random.default_rng(seed).permutation(np.array(sorted(names), dtype=np.str_))
    return tuple(sorted(map(str, np.array_split(mixed, evaluation.folds)[evaluation.fold])))


def _somebody_in_each(
    names: list[str], placement: _Placement, *, train: Rows, test: Rows, tell: Tell
) -> tuple[Rows, Rows]:
    """A hospital whose patients were all set aside by chance keeps its first: no seed decides whether a study runs."""
    emptied = [name for name in names if not (placement.site[train] == name).any()]
    if not emptied:
        return train, test
    kept = np.array([np.flatnonzero(placement.site == name)[0] for name in emptied], dtype=np.int64)
    tell(
        f"{len(kept)} of {len(names)} hospitals are so small that chance set all of their patients aside; one patient "
        "of each is kept for training."
    )
    return np.union1d(train, kept), np.setdiff1d(test, kept)


def _unfit_names(
    names: list[str], placement: _Placement, *, where: str, sites: SitesSpec, schema: StudySchema
) -> list[Fault]:
    """Told by row, since a name is a cell of the table."""
    unfit = [name for name in names if _FIT_FOR_A_FOLDER.fullmatch(name) is None]
    if not unfit:
        return []
    rows = sorted(int(np.flatnonzero(placement.site == name)[0]) + 1 for name in unfit)
    shown = ", ".join(map(str, rows[:10])) + (" and more" if len(rows) > 10 else "")
    what = (
        f"{len(unfit)} hospital names cannot be folder names"
        if len(unfit) > 1
        else "a hospital's name cannot name a folder"
    )
    if sites.partition is Partition.COLUMN:
        where = f'{where}: column "{schema.site_column}"'
    marks = sorted({mark for name in unfit for mark in re.findall(r"[^\w .\-]", name) if mark.isprintable()})
    remedy = (
        f"{'They stand' if len(unfit) > 1 else 'It stands'} first in row {shown} below the header"
        + (f", and hold{'' if len(unfit) > 1 else 's'} {' '.join(marks)}" if marks else "")
        + ". Use letters, digits, blanks, dots, hyphens and underscores, at most 100; begin with a letter or digit."
    )
    return [Fault(where, what, remedy)]


def _faults_of_events(train: Cohort, *, where: str, tell: Tell) -> list[Fault]:
    """Training learns from events inside the grid alone. What lies beyond it is told; nothing inside is a fault."""
    faults = []
    for endpoint, found in zip(train.schema.endpoints, events_in_grid(train), strict=True):
        column = f'{where}: column "{endpoint.event_column}"'
        if not found.events:
            what = f'no training patient has the event of "{endpoint.name}"'
            faults.append(
                Fault(column, what, "Check the coding: 1 is the event. Without any there is nothing to learn.")
            )
        elif not found.inside:
            remedy = (
                f"Follow-up beyond {found.last_bound:g} {train.schema.grid.unit} is cut there. Check the unit of the "
                f"times, or let interval_bounds in the schema go further."
            )
            faults.append(Fault(column, f'no event of "{endpoint.name}" lies in the time grid', remedy, found.events))
        elif found.inside < found.events:
            end = f"{found.last_bound:g} {train.schema.grid.unit}"
            tell(
                f"{found.inside} of {found.events} events of {endpoint.name} among the training patients lie in the "
                f"time grid; the others come after {end}, where follow-up is cut."
            )
    return faults


def _placement(table: pd.DataFrame, cohort: Cohort, *, sites: SitesSpec, tell: Tell) -> _Placement:
    nobody = np.zeros(len(cohort), dtype=np.bool_)
    if sites.partition is Partition.ASSIGNED:
        assert sites.assignment_table is not None
        return _assigned(cohort, sites, sites.assignment_table, tell=tell)
    column = cohort.schema.site_column
    if column is None and sites.partition is Partition.COLUMN:
        remedy = (
            'Name the column with the hospital in [schema]; or make hospitals by chance (partition = "hash" and '
            'count), or by a second table (partition = "assigned").'
        )
        raise InvalidInput([Fault("[schema], site_column", "is missing, but the study cuts by it", remedy)])
    hashed = cohort.patient_ids
    if column is not None:
        named = _hospital_names(table, column)
        if blank := int((named == "").sum()):
            raise InvalidInput([Fault(f'column "{column}"', "has no hospital", "Fill it in.", count=blank)])
        _tell_names_alike(named, tell)
        if sites.partition is Partition.COLUMN:
            return _Placement(named, nobody)
        hashed = tuple(map(str, named))
    assert sites.count is not None
    width = len(str(sites.count - 1))
    codes = [zlib.crc32(name.encode()) % sites.count for name in hashed]
    return _Placement(np.array([f"site_{code:0{width}d}" for code in codes]), nobody)


def _hospital_names(table: pd.DataFrame, column: str) -> NDArray[np.str_]:
    """(rows,), "" where there is none. The column is in the table: the cohort came out of it."""
    names = [plain(str(name)) for name in table.columns]
    cells = words(table.iloc[:, names.index(plain(column))])
    return np.array(["" if name is None else name for name in cells.to_pylist()], dtype=np.str_)


def _tell_names_alike(named: NDArray[np.str_], tell: Tell) -> None:
    spellings: dict[str, set[str]] = {}
    for name in np.unique(named):
        spellings.setdefault("".join(re.findall(r"\w+", str(name).casefold())), set()).add(str(name))
    alike = [names for names in spellings.values() if len(names) > 1]
    if alike:
        count = sum(map(len, alike))
        tell(
            f"{count} hospital names differ from another one only in capitals, blanks or punctuation. They count as "
            f"different hospitals; if they are the same, there are {len(spellings)} hospitals and not "
            f"{sum(map(len, spellings.values()))}."
        )


def _assigned(cohort: Cohort, sites: SitesSpec, path: Path, *, tell: Tell) -> _Placement:
    """Each patient where the second table says. Who is not in it, or in no hospital there, is left out and told."""
    wanted = (sites.assignment_patient_id, sites.assignment_column)
    assignment = read_table(path, columns=wanted, tell=tell, of_groups=True)
    absent = [
        Fault(f'{path.name}: column "{column}"', "is missing", "Correct [sites], or the assignment table.")
        for column in wanted
        if plain(column) not in assignment.columns
    ]
    if absent:
        raise InvalidInput(absent)
    where_patients = f'{path.name}: column "{sites.assignment_patient_id}"'
    identifiers = identifiers_in(assignment[plain(sites.assignment_patient_id)], where=where_patients)
    patients, places = identifiers.names.to_pylist(), words(assignment[plain(sites.assignment_column)]).to_pylist()
    faults = [*identifiers.faults]
    listed = Counter(patient for patient in patients if patient is not None)
    if doubled := sum(times for times in listed.values() if times > 1):
        remedy = "Keep one row for each patient: nobody can be at two places."
        faults.append(Fault(where_patients, "rows share their identifier with another row", remedy, doubled))
    if not faults and not listed.keys() & set(cohort.patient_ids):
        remedy = "Check that both tables name patients in the same way."
        faults.append(Fault(where_patients, "names no patient of the first table", remedy))
    if faults:
        raise InvalidInput(faults)
    where = {patient: place or "" for patient, place in zip(patients, places, strict=True)}
    pattern = re.compile(sites.site_pattern)
    found = [pattern.search(where.get(patient, "")) for patient in cohort.patient_ids]
    unlisted = sum(patient not in where for patient in cohort.patient_ids)
    nowhere = sum(match is None for match in found) - sum(
        match is None and patient not in where for match, patient in zip(found, cohort.patient_ids, strict=True)
    )
    unknown = len(listed.keys() - set(cohort.patient_ids))
    for count, why in (
        (unlisted, f"are left out: {path.name} does not list them"),
        (nowhere, f"are left out: what {path.name} says of them does not fit site_pattern"),
    ):
        if count:
            tell(f"{count} of {len(cohort)} patients {why}.")
    if unknown:
        tell(f"{unknown} of {len(listed)} patients in {path.name} are not in the table.")
    test = [
        bool(sites.test_pattern) and re.search(sites.test_pattern, where.get(patient, "")) is not None
        for patient in cohort.patient_ids
    ]
    return _Placement(
        np.array([f"site_{match.group(1)}" if match else "" for match in found], dtype=np.str_),
        np.array(test, dtype=np.bool_),
    )


def _split(
    cohort: Cohort, placement: _Placement, *, evaluation: EvaluationSpec, seed: int, left_out: Sequence[str]
) -> tuple[Rows, Rows]:
    patients = len(cohort)
    placed = np.flatnonzero(placement.site != "")
    if evaluation.split is Split.HOSPITALS:
        outside = np.isin(placement.site[placed], left_out)
        return placed[~outside], placed[outside]
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


def pooled(hospitals: Mapping[str, Cohort]) -> Cohort:
    """All hospitals' patients as one cohort: what no federation may do, for comparison."""
    cohorts = list(hospitals.values())
    return Cohort(
        schema=cohorts[0].schema,
        patient_ids=tuple(patient for cohort in cohorts for patient in cohort.patient_ids),
        values=np.concatenate([cohort.values for cohort in cohorts]),
        entry=np.concatenate([cohort.entry for cohort in cohorts]),
        exit=np.concatenate([cohort.exit for cohort in cohorts]),
        observed=np.concatenate([cohort.observed for cohort in cohorts]),
    )
