"""Is everybody in exactly one place, and are the places the ones the study names?"""

from __future__ import annotations

import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from oncofed.cohort.schema import Endpoint, Kind, Marker, Modality, StudySchema
from oncofed.errors import InvalidInput
from oncofed.simulations.partition import Consortium, consortium
from oncofed.simulations.study import EvaluationSpec, Part, Partition, SitesSpec, Split
from oncofed.survival.grid import TimeGrid

PATIENTS = 200
COLUMN = SitesSpec(Partition.COLUMN)
FIFTH = EvaluationSpec(Split.RANDOM, 12.0)
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
        cut(evaluation=EvaluationSpec(Split.FOLDS, 12.0, folds=4, fold=fold)).test.patient_ids for fold in range(4)
    ]
    everybody = [patient for fold in folds for patient in fold]
    assert sorted(everybody) == sorted(small_table()["patient"])


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
    found = cut(assignment(tmp_path, places), EvaluationSpec(Split.ASSIGNED, 12.0))
    assert {site: len(cohort) for site, cohort in found.hospitals.items()} == {"site_0": 50, "site_1": 60}
    assert len(found.test) == 30
    assert found.left_out == PATIENTS - 140


def test_a_hospital_with_nobody_to_train_on_is_a_fault(tmp_path: Path) -> None:
    places = ["train_0"] * 50 + ["test_1"] * 20
    with pytest.raises(InvalidInput, match=r"site_1.*nobody to train on"):
        cut(assignment(tmp_path, places), EvaluationSpec(Split.ASSIGNED, 12.0))


def test_a_missing_assignment_column_is_named(tmp_path: Path) -> None:
    sites = replace(assignment(tmp_path, ["train_0"]), assignment_column="region")
    with pytest.raises(InvalidInput, match='"region"'):
        cut(sites, EvaluationSpec(Split.ASSIGNED, 12.0))


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
