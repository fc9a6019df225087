"""Is the truth that invented FHIR resources were written from what an import finds in them?"""

from __future__ import annotations

import gzip
import io
import json
import random
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest

from oncofed.client.importing.cohort_import import ImportedCohort, import_cohort
from oncofed.client.importing.mapping_file import read_mapping
from oncofed.cohort.validation import validate
from studies.fhir.make_resources import hospital

EXAMPLE = Path(__file__).resolve().parents[4] / "simulations" / "studies" / "fhir"
HOSPITAL = hospital()
FORMS = ("bundles", "ndjson")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With the resources in both forms, and a mapping for each."""
    for name, content in HOSPITAL.files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    shutil.copy(EXAMPLE / "schema.toml", tmp_path)
    text = (EXAMPLE / "mapping.toml").read_text()
    for form in FORMS:
        (tmp_path / f"{form}.toml").write_text(text.replace('path = "bundles"', f'path = "{form}"'))
    return tmp_path


def imported(folder: Path, form: str) -> ImportedCohort:
    return import_cohort(read_mapping(folder / f"{form}.toml"))


def in_bytes(found: ImportedCohort) -> bytes:
    content = io.BytesIO()
    pyarrow.parquet.write_table(found.table, content)
    return content.getvalue()


@pytest.mark.parametrize("form", FORMS)
def test_the_truth_is_recovered_exactly(form: str, folder: Path) -> None:
    found, truth = imported(folder, form).table.to_pandas(), HOSPITAL.truth
    assert list(found["patient_id"]) == list(truth["patient_id"])
    for column in truth.columns:
        if truth[column].dtype == object:
            assert list(found[column]) == list(truth[column]), column
        else:
            wanted = truth[column].to_numpy(dtype=float)
            np.testing.assert_allclose(found[column].to_numpy(dtype=float), wanted, rtol=1e-12, err_msg=column)


def test_the_fixture_holds_what_hospitals_hold() -> None:
    """Else the test above would show little."""
    truth = HOSPITAL.truth
    bundles = b"".join(content for name, content in HOSPITAL.files.items() if name.startswith("bundles/")).decode()
    for words, least in (
        ('"C50.9"', 20),
        ('"refuted"', 5),
        ('"entered-in-error"', 20),
        ('"comparator": "<"', 10),
        ('"code": "mg/dL"', 50),
        ('"184305005"', 20),
        ('"versionId": "1"', 5),
        ('"reference": "Medication/', 20),
        ('"reference": "urn:uuid:', 1000),
        ('"reference": "https://', 500),
        ('"reference": "Patient/', 500),
    ):
        assert bundles.count(words) >= least, words
    assert truth["STK11_mut"].isna().sum() > truth["TP53_mut"].isna().sum() > 50
    assert 0 < (truth["log10_crp"] == np.log10(0.5)).sum() < 60
    assert 0.3 < truth["death_observed"].mean() < 0.7
    assert HOSPITAL.undated not in set(truth["patient_id"])
    for column in ("muscle_area_cm2", "albumin_g_per_l", "stage", "ecog"):
        assert 0 < truth[column].isna().sum() < len(truth) / 4, column


def shuffled_bundle(content: bytes, seed: int) -> bytes:
    bundle = json.loads(content)
    random.Random(seed).shuffle(bundle["entry"])
    return json.dumps(dict(reversed(bundle.items())), indent=1).encode()


def test_neither_the_order_of_files_nor_that_of_resources_matters(folder: Path) -> None:
    """And both forms of the same resources give the same bytes."""
    first = imported(folder, "bundles")
    assert in_bytes(imported(folder, "bundles")) == in_bytes(first)
    for number, path in enumerate(sorted((folder / "bundles").iterdir())):
        content = shuffled_bundle(path.read_bytes(), number)
        path.unlink()
        (folder / "bundles" / f"part-{99 - number}.json").write_bytes(content)
    for path in sorted((folder / "ndjson").iterdir()):
        content = path.read_bytes()
        lines = (gzip.decompress(content) if path.suffix == ".gz" else content).splitlines(keepends=True)
        random.Random(5).shuffle(lines)
        path.write_bytes(b"".join(lines[::2]))
        (folder / "ndjson" / f"0-{path.name}").write_bytes(gzip.compress(b"".join(lines[1::2])))
        if path.suffix == ".gz":
            path.rename(path.with_suffix(""))
            other = folder / "ndjson" / f"0-{path.name}"
            other.rename(other.with_suffix(""))
        else:
            (folder / "ndjson" / f"0-{path.name}").rename(folder / "ndjson" / f"0-{path.name}.gz")
    again, bulk = imported(folder, "bundles"), imported(folder, "ndjson")
    assert again.report == first.report
    assert in_bytes(again) == in_bytes(first) == in_bytes(bulk)


def test_an_imported_table_is_valid(folder: Path) -> None:
    mapping = read_mapping(folder / "ndjson.toml")
    validate(imported(folder, "ndjson").table.to_pandas(), mapping.schema, where="table")


def test_what_was_left_out_is_counted(folder: Path) -> None:
    report = imported(folder, "bundles").report
    assert report.left_out == {"overall_survival: an event without a date": 1}
    notes = {source.name: " ".join(source.notes) for source in report.sources}
    observations = [
        json.loads(line) for line in gzip.decompress(HOSPITAL.files["ndjson/Observation.ndjson.gz"]).splitlines()
    ]
    by_id = pd.Series([each["id"] for each in observations])
    wrong = {each["id"] for each in observations if each["status"] == "entered-in-error"}
    assert f"{int(by_id.duplicated().sum())} are copies or older versions" in notes["observations"]
    assert f"{len(wrong)} were entered in error" in notes["observations"]
    births = [json.loads(line)["birthDate"] for line in HOSPITAL.files["ndjson/Patient.ndjson"].splitlines()]
    assert f'{sum(len(birth) == 4 for birth in births)} days of "birth_date" are told as' in notes["patients"]
