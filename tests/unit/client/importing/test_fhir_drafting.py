"""Does a draft for FHIR resources help, and does it know no more of them than types and public codes?"""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from tests.command_line import oncofed
from tests.small_fhir import LOINC, Resource, concept, crp, diagnosis, observation, patient, two_patients, write

from oncofed.client.importing.drafting import Draft
from oncofed.client.importing.fhir.drafted import draft_of_resources, of_resources
from oncofed.client.importing.proposed_schema import CONFIRM
from oncofed.errors import InvalidInput

ANSWER = {"valueCodeableConcept": concept(LOINC, "LA9623-5")}


def drafted(folder: Path, resources: list[Resource]) -> Draft:
    write(folder, resources)
    return draft_of_resources(folder / "fhir", beside=folder / "study")


def test_a_draft_proposes_what_public_codes_name(tmp_path: Path) -> None:
    resources = [
        *two_patients(),
        observation("a", code="89247-1") | ANSWER,
        observation("a", code="2160-0"),
        crp(1, "b", "2020-02-02"),
    ]
    found = drafted(tmp_path, resources)
    mapping = tomllib.loads(found.mapping)
    assert {source["name"]: source["part"] for source in mapping["source"]} == {
        "patients": "fhir_patients",
        "diagnoses": "fhir_conditions",
        "observations": "fhir_observations",
    }
    assert {source["path"] for source in mapping["source"]} == {"../fhir"}
    codes = {marker["name"]: marker.get("codes") for marker in mapping["marker"]}
    assert codes == {
        "age_years": None,
        "female": None,
        "ecog": ["89247-1"],
        "log10_crp": ["1988-5"],
        "log10_creatinine": ["2160-0"],
    }
    assert [marker["name"] for marker in tomllib.loads(found.schema)["marker"]] == list(codes)
    assert found.mapping.count(CONFIRM) > 10


def test_no_other_part_of_a_resource_is_in_a_draft(tmp_path: Path) -> None:
    """Resources of the same types and public codes give the same draft."""
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    private = [
        patient("SECRET", deceasedDateTime="2021-02-03", managingOrganization={"display": "SECRET"}),
        diagnosis("SECRET", "2019-03-04", "C61"),
        crp(99.25, "SECRET", unit="SECRET"),
        observation("SECRET", code="SECRET", valueString="SECRET"),
        observation("SECRET", code="21976-6"),
    ]
    found = drafted(tmp_path / "one", private)
    for secret in ("SECRET", "99.25", "C61", "2019", "21976-6"):
        assert secret not in found.mapping + found.schema
    assert found == drafted(tmp_path / "other", two_patients())


def test_a_draft_imports_as_it_stands_where_nothing_is_left_to_choose(tmp_path: Path) -> None:
    write(tmp_path, two_patients())
    said = oncofed("cohort", "draft", str(tmp_path / "fhir"), "--out", str(tmp_path / "study"))
    assert said.code == 0, said.text
    said = oncofed("cohort", "import", str(tmp_path / "study" / "mapping.toml"), "--dry-run")
    assert said.code == 0, said.text
    assert "2 patients listed, 2 in the table" in said.text
    for words in ("log10_crp: 0% not measured", "age_years: 0% not measured", "female: 0% not measured"):
        assert words in said.text


def test_faults_of_the_files_are_told_and_nothing_is_written(tmp_path: Path) -> None:
    write(tmp_path, two_patients())
    (tmp_path / "fhir" / "x.ndjson").write_text('{"SECRET"')
    said = oncofed("cohort", "draft", str(tmp_path / "fhir"), "--out", str(tmp_path / "study"))
    assert said.code == 2
    assert "holds what is no JSON" in said.text
    assert "SECRET" not in said.text
    assert not (tmp_path / "study").exists()


def test_resources_are_drafted_by_themselves(tmp_path: Path) -> None:
    write(tmp_path, two_patients())
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    assert of_resources([tmp_path / "fhir"])
    assert of_resources([tmp_path / "fhir" / "resources.ndjson"])
    assert not of_resources([tmp_path / "table.csv"])
    with pytest.raises(InvalidInput, match="stands among others"):
        of_resources([tmp_path / "table.csv", tmp_path / "fhir"])
