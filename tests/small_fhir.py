"""A study of two markers, and a handful of FHIR resources that a test changes, writes and imports."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from oncofed.client.importing.cohort_import import ImportedCohort, import_cohort
from oncofed.client.importing.mapping_file import read_mapping

Resource = dict[str, Any]

LOINC, SNOMED = "http://loinc.org", "http://snomed.info/sct"
ICD_10 = "http://fhir.de/CodeSystem/bfarm/icd-10-gm"

SCHEMA = """
[schema]
name = "lung"
patient_id = "patient"
[time]
unit = "days"
interval_bounds = [0, 100, 200, 400, 800]
zero_time_becomes = 0.5
[[endpoint]]
name = "overall_survival"
time = "days"
event = "died"
baseline_hazard = 0.001
[[marker]]
name = "crp"
modality = "laboratory"
kind = "continuous"
unit = "mg/l"
plausible_range = [0, 700]
centre = 5
scale = 10
[[marker]]
name = "ecog"
modality = "clinical"
kind = "ordinal"
plausible_range = [0, 4]
centre = 1
scale = 1
"""

MAPPING = """
[mapping]
schema = "schema.toml"
patients = "diagnoses"
without_outcome = "leave_out"
[[source]]
name = "diagnoses"
path = "fhir"
part = "fhir_conditions"
keep = { code = ["C34*"] }
[[source]]
name = "patients"
path = "fhir"
part = "fhir_patients"
[[source]]
name = "observations"
path = "fhir"
part = "fhir_observations"
[time_zero]
column = "date"
take = "first"
[[outcome]]
name = "overall_survival"
source = "patients"
event = "deceased"
yes = ["true"]
no = ["false"]
event_date = "death_date"
last_contact = ["last_contact"]
may_be_of_nobody = true
[[marker]]
name = "crp"
source = "observations"
codes = ["1988-5"]
analyte = "crp"
take = "last"
[[marker]]
name = "ecog"
source = "observations"
codes = ["89247-1"]
words = { LA9622-7 = "0", LA9623-5 = "1" }
take = "last"
"""


def concept(system: str, *codes: str) -> Resource:
    return {"coding": [{"system": system, "code": code} for code in codes]}


def patient(name: str = "a", **content: object) -> Resource:
    return {"resourceType": "Patient", "id": name, "gender": "female", "birthDate": "1960-04-02"} | content


def of(name: str | None) -> Resource:
    return {} if name is None else {"subject": {"reference": name if "/" in name or ":" in name else f"Patient/{name}"}}


def diagnosis(name: str | None = "a", day: str = "2020-01-10", code: str = "C34.1", **content: object) -> Resource:
    own = {"resourceType": "Condition", "id": f"c-{name}-{day}", "code": concept(ICD_10, code), "onsetDateTime": day}
    return own | of(name) | content


def observation(
    name: str | None = "a", day: str = "2020-01-09", code: str = "1988-5", ident: str = "", **content: object
) -> Resource:
    own = {"resourceType": "Observation", "id": ident or f"o-{name}-{day}-{code}", "status": "final"}
    return own | of(name) | {"code": concept(LOINC, code), "effectiveDateTime": day} | content


def crp(
    value: float, name: str | None = "a", day: str = "2020-01-09", unit: str = "mg/L", **content: object
) -> Resource:
    found = observation(name, day) | {"valueQuantity": {"value": value, "unit": unit, "code": unit}}
    ident = content.pop("ident", None)
    return found | content | ({} if ident is None else {"id": ident})


def two_patients() -> list[Resource]:
    """`a` dies after 100 days and `b` is seen last after 200."""
    return [
        patient("a", deceasedDateTime="2020-04-19"),
        diagnosis("a"),
        crp(7.5),
        patient("b", deceasedBoolean=False),
        diagnosis("b"),
        crp(12.5, "b"),
        observation("b", "2020-07-28", "21976-6"),
    ]


def write(folder: Path, resources: Sequence[Resource], *, mapping: str = MAPPING, schema: str = SCHEMA) -> Path:
    """The mapping's path. Resources lie in one NDJSON file."""
    (folder / "schema.toml").write_text(schema)
    (folder / "mapping.toml").write_text(mapping)
    (folder / "fhir").mkdir(exist_ok=True)
    lines = [json.dumps(each) for each in resources]
    (folder / "fhir" / "resources.ndjson").write_text("\n".join(lines) + "\n")
    return folder / "mapping.toml"


def imported(folder: Path, resources: Sequence[Resource], *, mapping: str = MAPPING) -> ImportedCohort:
    return import_cohort(read_mapping(write(folder, resources, mapping=mapping)))


def cells(found: ImportedCohort) -> dict[str, dict[str, Any]]:
    """By patient and column, None where not measured."""
    rows = found.table.to_pylist()
    return {row.pop("patient"): row for row in rows}


def notes(found: ImportedCohort) -> str:
    return "\n".join(note for source in found.report.sources for note in source.notes)
