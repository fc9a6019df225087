"""Is everybody in exactly one place, and are the places the ones the study names?"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from oncofed.cohort.schema import Endpoint, Kind, Marker, Modality, StudySchema
from oncofed.errors import InvalidInput
from oncofed.simulations.partition import Consortium, consortium
from oncofed.simulations.study import EvaluationSpec, Part, Partition, SitesSpec, Split, read_study
from oncofed.simulations.study_table import table_of
from oncofed.survival.grid import TimeGrid

PATIENTS = 200
COLUMN = SitesSpec(Partition.COLUMN)
FIFTH = EvaluationSpec(12.0, Split.RANDOM)
SCHEMA = StudySchema(
    name="small",
    patient_id="patient",
    markers=(Marker("age", Modality.CLINICAL, Kind.CONTINUOUS, "years", (0, 120), 60, 15),),
    endpoints=(Endpoint("death", "months", "dead"),),
    grid=TimeGrid((0, 12, 60)),
    baseline_hazard=(0.01,),
    site_column="hospital",
)


def small_table() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "patient": [f"p{row:03d}" for row in range(PATIENTS)],
            "hospital": rng.choice(["north", "south", "west"], PATIENTS),
            "age": rng.integers(40, 80, PATIENTS),
            "months": rng.integers(1, 60, PATIENTS),
            "dead": rng.integers(0, 2, PATIENTS),
        }
    )


def cut(sites: SitesSpec = COLUMN, evaluation: EvaluationSpec = FIFTH, *, seed: int = 1) -> Consortium:
    return consortium(small_table(), SCHEMA, where="small.csv", sites=sites, evaluation=evaluation, seed=seed)


def trained_on(found: Consortium) -> set[str]:
    return {patient for cohort in found.hospitals.values() for patient in cohort.patient_ids}


def test_everybody_is_in_one_hospital_or_set_aside() -> None:
    found = cut()
    assert list(found.hospitals) == ["north", "south", "west"]
    assert trained_on(found) | set(found.test.patient_ids) == set(small_table()["patient"])
    assert not trained_on(found) & set(found.test.patient_ids)
    assert found.left_out == 0
    by_patient = small_table().set_index("patient")["hospital"]
    for site, cohort in found.hospitals.items():
        assert {by_patient[patient] for patient in cohort.patient_ids} == {site}


def test_names_of_hospitals_are_plain_texts() -> None:
    # numpy's own kind of text looks alike, and Flower's records refuse it
    assert {type(name) for name in cut().hospitals} == {str}


def test_the_random_split_is_the_published_one() -> None:
    first = np.random.default_rng(3).permutation(PATIENTS)[: PATIENTS // 5]
    assert set(cut(seed=3).test.patient_ids) == set(small_table()["patient"].iloc[first])
    assert set(cut(seed=4).test.patient_ids) != set(cut(seed=3).test.patient_ids)


def test_hashed_sites_follow_crc32() -> None:
    found = cut(SitesSpec(Partition.HASH, count=2))
    by_patient = small_table().set_index("patient")["hospital"]
    for site, cohort in found.hospitals.items():
        for patient in cohort.patient_ids:
            assert site == f"site_{zlib.crc32(by_patient[patient].encode()) % 2}"


def test_a_table_without_hospitals_is_hashed_by_its_patients() -> None:
    found = consortium(
        small_table(),
        replace(SCHEMA, site_column=None),
        where="small.csv",
        sites=SitesSpec(Partition.HASH, count=3),
        evaluation=FIFTH,
        seed=1,
    )
    for site, cohort in found.hospitals.items():
        assert {f"site_{zlib.crc32(patient.encode()) % 3}" for patient in cohort.patient_ids} == {site}
    assert trained_on(found) | set(found.test.patient_ids) == set(small_table()["patient"])


def test_without_hospitals_a_cut_by_them_is_refused_and_the_other_ways_are_told() -> None:
    with pytest.raises(InvalidInput, match=r'partition = "hash" and count'):
        consortium(
            small_table(),
            replace(SCHEMA, site_column=None),
            where="small.csv",
            sites=COLUMN,
            evaluation=FIFTH,
            seed=1,
        )


def test_validation_keeps_clear_of_every_reserved_test_part() -> None:
    evaluation = replace(FIFTH, part=Part.VALIDATION, reserved_seeds=(1, 2, 3))
    tested = {patient for seed in (1, 2, 3) for patient in cut(seed=seed).test.patient_ids}
    measured: set[str] = set()
    for seed in (1, 2, 3):
        found = cut(evaluation=evaluation, seed=seed)
        validated = set(found.test.patient_ids)
        assert validated, "there must be somebody to choose settings on"
        assert not validated & tested
        assert not validated & trained_on(found)
        assert not trained_on(found) & set(cut(seed=seed).test.patient_ids), (
            "the seed's own test part is not trained on"
        )
        assert not validated & measured, "each seed has a fold of its own"
        measured |= validated


def test_folds_cover_everybody_once() -> None:
    folds = [
        cut(evaluation=EvaluationSpec(12.0, Split.FOLDS, folds=4, fold=fold)).test.patient_ids for fold in range(4)
    ]
    everybody = [patient for fold in folds for patient in fold]
    assert sorted(everybody) == sorted(small_table()["patient"])


def left_out(fold: int, *, folds: int = 2, seed: int = 1) -> Consortium:
    return cut(evaluation=EvaluationSpec(12.0, Split.HOSPITALS, folds=folds, fold=fold), seed=seed)


def test_hospitals_left_out_train_nobody_and_are_measured_on_as_a_whole() -> None:
    table, tested = small_table(), []
    for fold in range(2):
        found = left_out(fold)
        outside = set(map(str, found.test_sites))
        assert outside
        assert not outside & set(found.hospitals)
        assert set(found.test.patient_ids) == set(table["patient"][table["hospital"].isin(outside)])
        assert trained_on(found) == set(table["patient"]) - set(found.test.patient_ids)
        assert all(len(each) == 0 for each in found.held_out.values())
        tested += sorted(outside)
    assert sorted(tested) == ["north", "south", "west"], "over all folds each hospital is left out once"


def test_each_hospital_may_be_left_out_by_itself_and_the_seed_says_in_which_order() -> None:
    orders = {tuple(str(left_out(fold, folds=3, seed=seed).test_sites[0]) for fold in range(3)) for seed in range(8)}
    assert all(sorted(order) == ["north", "south", "west"] for order in orders)
    assert len(orders) > 1


def test_more_folds_than_hospitals_are_refused_with_the_number_there_is() -> None:
    with pytest.raises(InvalidInput, match=r"has 3 hospitals, too few for 5 folds of them\. Set folds under"):
        left_out(4, folds=5)


def assignment(folder: Path, places: list[str]) -> SitesSpec:
    path = folder / "assignment.csv"
    patients = small_table()["patient"].iloc[: len(places)]
    pd.DataFrame({"pid": patients, "place": places}).to_csv(path, index=False)
    return SitesSpec(
        Partition.ASSIGNED,
        assignment_table=path,
        assignment_patient_id="pid",
        assignment_column="place",
        site_pattern=r"_(\d)$",
        test_pattern="^test_",
    )


def test_an_assignment_table_says_who_is_where_and_who_is_left_out(tmp_path: Path) -> None:
    places = ["train_0"] * 50 + ["test_0"] * 20 + ["train_1"] * 60 + ["test_1"] * 10
    found = cut(assignment(tmp_path, places), EvaluationSpec(12.0, Split.ASSIGNED))
    assert {site: len(cohort) for site, cohort in found.hospitals.items()} == {"site_0": 50, "site_1": 60}
    assert len(found.test) == 30
    assert found.left_out == PATIENTS - 140


def test_an_assignment_table_may_end_without_a_line_end(tmp_path: Path) -> None:
    """The published split of Fed-TCGA-BRCA does."""
    sites = assignment(tmp_path, ["train_0"] * 50 + ["test_0"] * 20)
    whole = cut(sites, EvaluationSpec(12.0, Split.ASSIGNED))
    path = tmp_path / "assignment.csv"
    path.write_text(path.read_text().removesuffix("\n"))
    again = cut(sites, EvaluationSpec(12.0, Split.ASSIGNED))
    assert again.test.patient_ids == whole.test.patient_ids
    assert again.hospitals["site_0"].patient_ids == whole.hospitals["site_0"].patient_ids


def test_the_published_split_is_cut_as_it_is_published(studies: Path, real_cohorts: Path) -> None:
    """FLamby: 311, 196, 206, 162, 162 and 51 patients, of whom 248, 156, 164, 129, 129 and 40 to train on."""
    assert real_cohorts.is_dir()
    study = read_study(studies / "fed_tcga_brca" / "study.toml")
    table, schema, where = table_of(study)
    found = consortium(table, schema, where=where, sites=study.sites, evaluation=study.evaluation, seed=study.seed)
    assert [len(cohort) for cohort in found.hospitals.values()] == [248, 156, 164, 129, 129, 40]
    assert len(found.test) == 1_088 - sum(map(len, found.hospitals.values()))


def test_a_hospital_with_nobody_to_train_on_is_a_fault(tmp_path: Path) -> None:
    places = ["train_0"] * 50 + ["test_1"] * 20
    with pytest.raises(InvalidInput, match=r"site_1.*nobody to train on"):
        cut(assignment(tmp_path, places), EvaluationSpec(12.0, Split.ASSIGNED))


def test_a_missing_assignment_column_is_named(tmp_path: Path) -> None:
    sites = replace(assignment(tmp_path, ["train_0"]), assignment_column="region")
    with pytest.raises(InvalidInput, match='"region"'):
        cut(sites, EvaluationSpec(12.0, Split.ASSIGNED))


@pytest.mark.parametrize("name", ["../../east", "a/b", "..", ".hidden", "x" * 200, "a\nb"])
def test_a_hospitals_name_cannot_lead_out_of_the_run(name: str) -> None:
    table = small_table()
    table.loc[table["hospital"] == "west", "hospital"] = name
    with pytest.raises(InvalidInput, match="folder"):
        consortium(table, SCHEMA, where="small.csv", sites=COLUMN, evaluation=FIFTH, seed=1)


@pytest.mark.parametrize("blank", [None, "", "  "])
def test_a_row_without_a_hospital_is_a_fault_that_names_nobody(blank: str | None) -> None:
    table = small_table()
    table.loc[7, "hospital"] = blank
    with pytest.raises(InvalidInput) as caught:
        consortium(table, SCHEMA, where="small.csv", sites=COLUMN, evaluation=FIFTH, seed=1)
    assert "p007" not in str(caught.value)
    assert "1 row" in str(caught.value)


def test_a_hospital_column_may_be_stored_in_any_way() -> None:
    table = small_table()
    numbers = table["hospital"].map({"north": 1, "south": 2, "west": 3})
    for column in (numbers, numbers.astype(float), numbers.astype("category"), numbers.map("{}.0".format)):
        found = consortium(
            table.assign(hospital=column), SCHEMA, where="small.csv", sites=COLUMN, evaluation=FIFTH, seed=1
        )
        assert list(found.hospitals) == ["1", "2", "3"]
        assert trained_on(found) == trained_on(cut())
    coded = table.astype({"hospital": "category"})
    assert list(consortium(coded, SCHEMA, where="s", sites=COLUMN, evaluation=FIFTH, seed=1).hospitals) == [
        "north",
        "south",
        "west",
    ]


def places_of(rows: Sequence[tuple[object, str]], folder: Path, *, parquet: bool = False) -> SitesSpec:
    sites = assignment(folder, [])
    frame = pd.DataFrame(rows, columns=["pid", "place"])
    path = folder / ("assignment.parquet" if parquet else "assignment.csv")
    if parquet:
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False)
    return replace(sites, assignment_table=path)


BY_TABLE = EvaluationSpec(12.0, Split.ASSIGNED)


def everybody() -> list[tuple[object, str]]:
    return [(f"p{row:03d}", f"{'test' if row % 5 == 0 else 'train'}_{row % 2}") for row in range(PATIENTS)]


def told_by(sites: SitesSpec, table: pd.DataFrame | None = None) -> tuple[Consortium, list[str]]:
    told: list[str] = []
    table = small_table() if table is None else table
    found = consortium(table, SCHEMA, where="s", sites=sites, evaluation=BY_TABLE, seed=1, tell=told.append)
    return found, told


def test_blanks_in_the_assignment_table_leave_nobody_out(tmp_path: Path) -> None:
    rows = [(f"{patient} " if number % 2 else patient, place) for number, (patient, place) in enumerate(everybody())]
    found, told = told_by(places_of(rows, tmp_path))
    assert found.left_out == 0
    assert told == []


def test_identifiers_of_both_tables_may_be_stored_differently(tmp_path: Path) -> None:
    rows = [(float(number), place) for number, (_, place) in enumerate(everybody())]
    table = small_table().assign(patient=range(PATIENTS))
    found, told = told_by(places_of(rows, tmp_path, parquet=True), table)
    assert found.left_out == 0
    assert told == []
    with pytest.raises(InvalidInput, match=r'assignment.csv: column "pid": names no patient of the first table'):
        told_by(places_of(rows, tmp_path), table)  # there 7.0 is a text, and nobody knows whether it is patient 7


def test_identifiers_that_were_rounded_give_nobody_anothers_hospital(tmp_path: Path) -> None:
    """As floating-point numbers two of them are their neighbours': the patients who were meant would be left out."""
    first = 90_071_992_547_409_920
    rows = [(float(first + number + 1), place) for number, (_, place) in enumerate(everybody())]
    table = small_table().assign(patient=[str(first + number) for number in range(PATIENTS)])
    with pytest.raises(InvalidInput, match=r'assignment.parquet: column "pid": .* too large to be kept exactly'):
        told_by(places_of(rows, tmp_path, parquet=True), table)


def test_a_patient_who_is_listed_twice_is_a_fault(tmp_path: Path) -> None:
    rows = [*everybody(), ("p003 ", "train_0"), (None, "train_1")]
    with pytest.raises(InvalidInput) as caught:
        told_by(places_of(rows, tmp_path))
    assert [fault.count for fault in caught.value.faults] == [1, 2]
    assert "p003" not in str(caught.value)


def test_who_is_left_out_is_told(tmp_path: Path) -> None:
    rows = [*everybody()[:150], ("nobody", "train_0")]
    rows[7] = ("p007", "elsewhere")
    found, told = told_by(places_of(rows, tmp_path))
    assert found.left_out == 51
    assert told == [
        "50 of 200 patients are left out: assignment.csv does not list them.",
        "1 of 200 patients are left out: what assignment.csv says of them does not fit site_pattern.",
        "1 of 151 patients in assignment.csv are not in the table.",
    ]


def test_an_assignment_table_of_others_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="names no patient of the first table"):
        told_by(places_of([("x1", "train_0")], tmp_path))


def test_stray_quotes_in_the_assignment_table_are_refused(tmp_path: Path) -> None:
    sites = places_of([(f'"{patient}' if patient == "p003" else patient, p) for patient, p in everybody()], tmp_path)
    assert sites.assignment_table is not None
    sites.assignment_table.write_text(sites.assignment_table.read_text().replace('"""p003"', '"p003'))
    with pytest.raises(InvalidInput, match="not closed"):
        told_by(sites)


def test_an_identifier_with_a_quotation_mark_in_the_assignment_table_is_refused(tmp_path: Path) -> None:
    rows = [(str(patient).replace("p003", 'p0"3'), place) for patient, place in everybody()]
    with pytest.raises(InvalidInput, match=r"the identifier holds a quotation mark \(1 row\)"):
        told_by(places_of(rows, tmp_path))


def test_an_assignment_table_that_is_cut_inside_a_hospital_is_refused(tmp_path: Path) -> None:
    sites = places_of(everybody(), tmp_path)
    assert sites.assignment_table is not None
    sites.assignment_table.write_bytes(sites.assignment_table.read_bytes()[:-2])
    with pytest.raises(InvalidInput, match="last line has no line end"):
        told_by(sites)


def test_unfit_hospital_names_are_told_by_row() -> None:
    table = small_table()
    table["hospital"] = ["Ward (A)" if row == 4 else "x/y" if row in (9, 11) else "north" for row in range(PATIENTS)]
    with pytest.raises(InvalidInput, match=r"first in row 5, 10 below the header, and hold \( \) /") as caught:
        consortium(table, SCHEMA, where="small.csv", sites=COLUMN, evaluation=FIFTH, seed=1)
    assert "Ward" not in str(caught.value)


def test_identifiers_that_are_alike_are_told() -> None:
    table = small_table()
    names = [f"p{number}" for number in range(PATIENTS)]
    names[:2] = ["p1", "P1"]
    told: list[str] = []
    consortium(table.assign(patient=names), SCHEMA, where="s", sites=COLUMN, evaluation=FIFTH, seed=1, tell=told.append)
    assert any("s: 2 identifiers look like another one" in said for said in told), told


def test_hospital_names_that_are_alike_are_told() -> None:
    table = small_table()
    table.loc[::7, "hospital"] = "North"
    table.loc[::11, "hospital"] = "NORTH "
    told: list[str] = []
    consortium(table, SCHEMA, where="s", sites=COLUMN, evaluation=FIFTH, seed=1, tell=told.append)
    assert len(told) == 1
    assert "3 hospital names differ from another one only in capitals" in told[0]
    assert "there are 3 hospitals and not 5" in told[0]


@pytest.mark.parametrize("evaluation", [FIFTH, EvaluationSpec(12.0, Split.FOLDS), replace(FIFTH, part=Part.VALIDATION)])
def test_no_seed_decides_whether_a_study_runs(evaluation: EvaluationSpec) -> None:
    table = small_table()
    table.loc[[3, 100, 199], "hospital"] = ["one", "two", "three"]
    kept = 0
    for seed in range(12):
        told: list[str] = []
        found = consortium(table, SCHEMA, where="s", sites=COLUMN, evaluation=evaluation, seed=seed, tell=told.append)
        assert len(found.hospitals) == 6
        assert not trained_on(found) & set(found.test.patient_ids)
        kept += bool(told)
    assert kept


def test_training_patients_without_an_event_are_a_fault() -> None:
    table = small_table().assign(dead=0)
    with pytest.raises(InvalidInput, match='no training patient has the event of "death"'):
        consortium(table, SCHEMA, where="s", sites=COLUMN, evaluation=FIFTH, seed=1)


def test_events_beyond_the_grid_are_told_and_none_inside_is_a_fault() -> None:
    table = small_table()
    with pytest.raises(InvalidInput, match=r'no event of "death" lies in the time grid .*beyond 60 months'):
        consortium(table.assign(months=table["months"] + 60), SCHEMA, where="s", sites=COLUMN, evaluation=FIFTH, seed=1)
    told: list[str] = []
    table.loc[table["months"] > 30, "months"] += 60
    found = consortium(table, SCHEMA, where="s", sites=COLUMN, evaluation=FIFTH, seed=1, tell=told.append)
    trained = table[table["patient"].isin(trained_on(found))]
    inside = int(((trained["dead"] == 1) & (trained["months"] <= 60)).sum())
    assert told == [
        f"{inside} of {int(trained['dead'].sum())} events of death among the training patients lie in the time grid; "
        "the others come after 60 months, where follow-up is cut."
    ]
