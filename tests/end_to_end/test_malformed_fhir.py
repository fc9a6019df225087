"""Is every malformed mapping or resource refused with all faults, and is nothing written and no cell repeated?"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.command_line import oncofed
from tests.small_fhir import MAPPING, Resource, concept, crp, diagnosis, observation, patient, two_patients, write

PRIVATE = ("zq", "7.75", "1960-04", "C34.1", "2020-01")
"""In resources alone."""


@dataclass(frozen=True)
class Case:
    """resources: besides those of two patients. text: of a second file. mapping: replaced words."""

    name: str
    fragments: tuple[str, ...]
    resources: tuple[Resource, ...] = ()
    text: str | None = None
    mapping: tuple[tuple[str, str], ...] = ()
    instead: bool = False
    faults: int = 1


SECOND = [patient("zq"), diagnosis("zq"), observation("zq", "2020-05-01", "8310-5")]
CASES = (
    Case("cut_line", ("holds what is no JSON (1 row)",), text='{"resourceType": "Patient", "id": "zq'),
    Case("no_resource", ("holds what is no FHIR resource (1 row)", "FHIR R4"), text='{"patient": "zq", "crp": 7.75}'),
    Case("two_members", ("two members of one name",), text='{"resourceType": "Patient", "id": "zq", "id": "zq2"}'),
    Case("deep", ("nested deeper than 100",), text='{"resourceType": "Patient", "x": ' + "[" * 100_000),
    Case(
        "several_kinds_in_one_file",
        ("no JSON (2 rows)", "no FHIR resource (1 row)", "two members"),
        text='zq\n{"zq"\n["zq"]\n{"zq": 1, "zq": 2}',
        faults=3,
    ),
    Case(
        "elements_of_another_form",
        (
            "Observation.code: is of another form than FHIR R4",
            "Condition.onsetDateTime",
            "Patient.birthDate",
            "(2 rows)",
        ),
        (
            observation("zq") | {"code": "zq"},
            observation("zq", "2020-02-01") | {"code": ["zq"]},
            diagnosis("zq") | {"onsetDateTime": {"zq": 1}},
            patient("zq") | {"birthDate": ["1960-04-02"]},
        ),
        faults=3,
    ),
    Case(
        "subject_of_another_form", ("Observation.reference: is of",), (crp(7.75) | {"subject": {"reference": ["zq"]}},)
    ),
    Case("two_values", ("Observation.value[x]: is of",), (crp(7.75, "zq", valueString="zq"),)),
    Case(
        "unknown_kind_of_value",
        ("Observation.valueAttachment: is",),
        (observation("zq", valueAttachment={"url": "zq"}),),
    ),
    Case("quantity_is_a_text", ("Observation.valueQuantity: is",), (observation("zq", valueQuantity="7.75"),)),
    Case("contradicting_copies", ("say different things (1 row)", "meta.versionId"), (crp(7.75),)),
    Case("patient_without_an_id", ("Patient.id: has no id",), ({"resourceType": "Patient", "gender": "zq"},)),
    Case("day_of_a_month", ("no day of the form YYYY-MM-DD (1 row)", "partial_dates"), (diagnosis("a", "2020-01"),)),
    Case("day_that_is_none", ('column "date": is no day',), (crp(7.75, day="2020-02-31"),)),
    Case("number_with_a_comma", ("is not a number (1 row)",), (crp("7,75", day="2020-02-01"),)),  # type: ignore[arg-type]
    Case(
        "unit_unknown",
        ('has a unit that cannot be converted to "mg/l" (1 row)',),
        (crp(7.75, unit="zq/L"),),
        instead=True,
    ),
    Case("unit_missing", ("has no unit (1 row)",), (observation("a", valueQuantity={"value": 7.75}),), instead=True),
    Case(
        "limit_of_detection",
        ("beyond a limit of detection (1 row)",),
        (observation("a", valueQuantity={"value": 7.75, "comparator": "<", "code": "mg/L"}),),
        instead=True,
    ),
    Case(
        "several_values_on_one_day",
        ("several values of one patient on one day (1 row)", "same_day"),
        (crp(7.75) | {"id": "second"},),
    ),
    Case(
        "score_in_other_words",
        ('marker "ecog": is not a number (1 row)',),
        (observation("a", code="89247-1", valueString="zq"),),
    ),
    Case(
        "death_without_a_day",
        ("has an event without a date (1 row)",),
        (*SECOND[1:], patient("zq", deceasedBoolean=True)),
    ),
    Case(
        "two_days_of_death",
        ('column "death_date": says different things of one patient in several rows (1 row)',),
        (
            *SECOND[1:],
            patient("zq", deceasedDateTime="2020-06-07"),
            observation("zq", "2020-06-08", "x") | {"code": concept("http://snomed.info/sct", "184305005")},
        ),
    ),
    Case(
        "death_before_diagnosis",
        ("ends before time zero (1 row)",),
        (patient("zq", deceasedDateTime="2020-01-01"), diagnosis("zq")),
    ),
    Case(
        "mapping_names_what_is_fixed",
        ("patient: is not used here", "code: is not used here", "encoding: is not used here", "fixed names"),
        mapping=(
            (
                'part = "fhir_observations"',
                'part = "fhir_observations"\npatient = "x"\ncode = "y"\nencoding = "utf-16"',
            ),
        ),
        faults=3,
    ),
    Case(
        "mapping_keeps_an_unknown_column",
        ('keep: column "icd": is not in the table fhir_conditions', "Choose among patient, date"),
        mapping=(("keep = { code =", "keep = { icd ="),),
    ),
    Case(
        "mapping_reads_an_unknown_column",
        ('fhir (Patient): column "death_day": is not in the file',),
        mapping=(('event_date = "death_date"', 'event_date = "death_day"'),),
    ),
    Case(
        "unknown_part",
        ("is not one of the known values", "fhir_patients"),
        mapping=(('"fhir_patients"', '"fhir_patient"'),),
    ),
    Case(
        "partial_dates_unknown",
        ("is not one of the known values", "middle"),
        mapping=(('part = "fhir_patients"', 'part = "fhir_patients"\npartial_dates = "half"'),),
    ),
    Case(
        "contacts_of_no_source",
        ("contacts: is no source",),
        mapping=(('event = "deceased"', 'event = "deceased"\ncontacts = { scan = ["day"] }'),),
    ),
    Case("folder_missing", ("fhir-7: does not exist",), mapping=(('path = "fhir"', 'path = "fhir-7"'),)),
)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_malformed_import_is_refused_with_every_fault_and_no_patient(case: Case, tmp_path: Path) -> None:
    text = MAPPING
    for old, new in case.mapping:
        assert old in text
        text = text.replace(old, new)
    given = [each for each in two_patients() if not case.instead or each.get("id") != "o-a-2020-01-09-1988-5"]
    path = write(tmp_path, [*given, *case.resources], mapping=text)
    if case.text is not None:
        (tmp_path / "fhir" / "zq.ndjson").write_text(case.text)
    before = {each.name for each in tmp_path.rglob("*")}
    said = oncofed("cohort", "import", str(path), "--out", str(tmp_path / "table.parquet"))
    assert said.code == 2, said.text
    for fragment in case.fragments:
        assert fragment in said.text, said.text
    told = [line for line in said.text.splitlines() if line.startswith("  - ")]
    assert len(told) == case.faults, said.text
    assert "Traceback" not in said.text
    assert not [secret for secret in PRIVATE if secret in said.text.replace(str(tmp_path), "")], said.text
    assert {each.name for each in tmp_path.rglob("*")} == before


def test_the_unbroken_resources_are_imported(tmp_path: Path) -> None:
    path = write(tmp_path, [*two_patients(), *SECOND])
    assert oncofed("cohort", "import", str(path), "--out", str(tmp_path / "table.parquet")).code == 0


def test_there_are_many_cases_and_each_has_a_name_of_its_own() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 30


def test_a_table_is_not_written_among_the_resources(tmp_path: Path) -> None:
    """Its report would be read as one of them by the next import."""
    path = write(tmp_path, two_patients())
    said = oncofed("cohort", "import", str(path), "--out", str(tmp_path / "fhir" / "table.parquet"))
    assert said.code == 2
    assert "lies in a folder of FHIR resources" in said.text


def test_a_report_repeats_no_resource(tmp_path: Path) -> None:
    path = write(tmp_path, [*two_patients(), *SECOND, observation("zq", "2020-05-02", "zq-code", valueString="zq")])
    assert oncofed("cohort", "import", str(path), "--out", str(tmp_path / "table.parquet")).code == 0
    report = (tmp_path / "table.parquet.report.json").read_text()
    assert not [secret for secret in PRIVATE if secret in report]
    assert json.loads(report)["patients"] == 3
