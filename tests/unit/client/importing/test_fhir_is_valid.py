"""Whatever FHIR servers write: is what an import makes of it valid, the same twice, and the same in any order?

Odd resources under a mapping that says what becomes of everything. An import names faults or makes a table without any,
and no resource that is JSON ends otherwise.
"""

from __future__ import annotations

import json
import random as randoms
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.command_line import oncofed
from tests.small_fhir import LOINC, MAPPING, SCHEMA, SNOMED, Resource, concept, diagnosis, write

from oncofed.client.importing.cohort_import import import_cohort
from oncofed.client.importing.mapping_file import read_mapping
from oncofed.cohort.schema_file import read_schema
from oncofed.cohort.validation import read_cohort
from oncofed.errors import InvalidInput

FORGIVING = (
    MAPPING.replace('part = "fhir_conditions"', 'part = "fhir_conditions"\npartial_dates = "middle"')
    .replace('part = "fhir_patients"', 'part = "fhir_patients"\npartial_dates = "last"')
    .replace('part = "fhir_observations"', 'part = "fhir_observations"\npartial_dates = "missing"')
    .replace('without_outcome = "leave_out"', 'without_outcome = "leave_out"\noutside_range = "missing"')
    .replace('last_contact = ["last_contact"]', 'last_contact = ["last_contact"]\nwithout_date = "censor"\n'
             'most_without_date = 1\nimpossible = "leave_out"\ndata_cut = "2021-06-01"\nafter_cut = "censor"')
    .replace('analyte = "crp"', 'analyte = "crp"\nlimits = "half"\nsame_day = "highest"')
    .replace('LA9623-5 = "1" }', 'LA9623-5 = "1" }\nsame_day = "missing"')
)  # fmt: skip

WHO = st.sampled_from(["a", "b", "c"])
DAY = st.sampled_from(["2020-01-10", "2020-02-29T23:00:00+02:00", "2020-05", "2021", "2021-03-04", "2019-12-31"])
REFERENCE = st.one_of(
    WHO.map(lambda who: f"Patient/{who}"),
    WHO.map(lambda who: f"https://x.example/fhir/Patient/{who}/_history/1"),
    st.sampled_from(["Group/1", "Patient/nobody", "urn:uuid:0"]),
)
META = st.sampled_from([{}, {"versionId": "1"}, {"versionId": "2"}, {"lastUpdated": "2020-01-01T00:00:00Z"}])
STATUS = st.sampled_from(["final", "final", "final", "amended", "entered-in-error"])
NUMBER = st.sampled_from([0, 7.25, 38, 1e3, 900])
QUANTITY = st.fixed_dictionaries(
    {"value": NUMBER, "code": st.sampled_from(["mg/L", "mg/dL"])}, optional={"comparator": st.sampled_from(["<", ">="])}
)
ANSWER = st.sampled_from([concept(LOINC, "LA9622-7"), concept(LOINC, "LA9623-5"), {"text": "1"}])


@st.composite
def observations(draw: st.DrawFn) -> Resource:
    code = draw(st.sampled_from(["1988-5", "89247-1", "21976-6"]))
    found: Resource = {"resourceType": "Observation", "status": draw(STATUS), "code": concept(LOINC, code)}
    found |= {"subject": {"reference": draw(REFERENCE)}, "effectiveDateTime": draw(DAY), "meta": draw(META)}
    if draw(st.booleans()):
        found["id"] = f"o{draw(st.integers(0, 60))}"
    if code == "1988-5":
        return found | {"valueQuantity": draw(QUANTITY)}
    return found | ({"valueCodeableConcept": draw(ANSWER)} if code == "89247-1" else {})


@st.composite
def others(draw: st.DrawFn) -> Resource:
    """Diagnoses, deaths and encounters."""
    found: Resource = {
        "subject": {"reference": draw(REFERENCE)},
        "id": f"x{draw(st.integers(0, 40))}",
        "meta": draw(META),
    }
    kind = draw(st.sampled_from(["Condition", "Condition", "Encounter", "Observation"]))
    if kind == "Condition":
        code = concept("http://hl7.org/fhir/sid/icd-10-cm", draw(st.sampled_from(["C34.1", "C34.9", "C50"])))
        return found | {"resourceType": kind, "code": code, "onsetDateTime": draw(DAY)}
    if kind == "Encounter":
        return found | {"resourceType": kind, "status": "finished", "period": {"start": draw(DAY)}}
    return found | {
        "resourceType": kind,
        "status": "final",
        "code": concept(SNOMED, "184305005"),
        "effectiveDateTime": draw(DAY),
    }


ENDS: list[Resource] = [{}, {"deceasedBoolean": True}, {"deceasedDateTime": "2021-02-03"}, {"deceasedDateTime": "2021"}]
END = st.sampled_from(ENDS)


@st.composite
def hospitals(draw: st.DrawFn) -> list[Resource]:
    found: list[Resource] = []
    for who in ("a", "b", "c"):
        end = draw(END)
        found.append({"resourceType": "Patient", "id": who, "gender": "male"} | end)
        found.append(diagnosis(who, "2020-01-05"))
    return found + draw(st.lists(observations(), max_size=8)) + draw(st.lists(others(), max_size=4))


def imported(folder: Path, resources: list[Resource], *, bundle: bool) -> tuple[int, str, bytes]:
    """Exit code, words and the table's bytes, which are empty where there is none."""
    (folder / "fhir").mkdir(exist_ok=True)
    for each in (folder / "fhir").iterdir():
        each.unlink()
    (folder / "schema.toml").write_text(SCHEMA)
    (folder / "mapping.toml").write_text(FORGIVING)
    if bundle:
        whole = {"resourceType": "Bundle", "entry": [{"resource": each} for each in resources]}
        (folder / "fhir" / "Bundle.json").write_text(json.dumps(whole))
    else:
        (folder / "fhir" / "Bundle.ndjson").write_text("\n".join(map(json.dumps, resources)) + "\n")
    table = folder / "table.parquet"
    table.unlink(missing_ok=True)
    said = oncofed("cohort", "import", str(folder / "mapping.toml"), "--out", str(table))
    return said.code, said.text, table.read_bytes() if table.exists() else b""


@given(hospitals(), st.integers(0, 99))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_an_import_is_valid_or_names_faults_and_is_the_same_in_any_order(resources: list[Resource], seed: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        code, said, table = imported(folder, resources, bundle=True)
        assert code in (0, 2), said
        assert bool(table) is (code == 0)
        assert "Traceback" not in said
        if code == 0:
            assert len(read_cohort(folder / "table.parquet", read_schema(folder / "schema.toml"))) >= 1
        shuffled = list(resources)
        randoms.Random(seed).shuffle(shuffled)
        for bundle in (True, False):
            assert imported(folder, shuffled, bundle=bundle) == (code, said, table)


def test_most_of_these_imports_succeed() -> None:
    """Else the test above would show little."""
    codes = []

    @given(hospitals())
    @settings(max_examples=15, deadline=None, database=None, derandomize=True)
    def count(resources: list[Resource]) -> None:
        with tempfile.TemporaryDirectory() as name:
            codes.append(imported(Path(name), resources, bundle=False)[0])

    count()
    assert codes.count(0) >= len(codes) / 4


ELEMENTS = (
    *("subject", "code", "valueQuantity", "effectiveDateTime", "status", "id", "meta", "component", "onsetDateTime"),
    *("extension", "bodySite", "stage", "category", "identifier", "link", "deceasedDateTime", "birthDate"),
)
ANY = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.text("aZ0-: é\x00\u2028", max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2),
        st.dictionaries(
            st.sampled_from(["coding", "code", "system", "reference", "value", "url", "text"]), inner, max_size=3
        ),
    ),
    max_leaves=5,
)


@given(
    st.sampled_from(
        ["Patient", "Condition", "Observation", "Procedure", "MedicationStatement", "Medication", "Encounter"]
    ),
    st.dictionaries(st.sampled_from(ELEMENTS), ANY, max_size=5),
)
@settings(max_examples=100, deadline=None)
def test_no_resource_of_another_form_ends_otherwise_than_in_faults(kind: str, elements: dict[str, Any]) -> None:
    subject = {"subject": {"reference": "Patient/sure"}}
    sure: list[Resource] = [
        {"resourceType": "Patient", "id": "sure"},
        {"resourceType": "Condition", "code": {"text": "C34"}, "onsetDateTime": "2020-01-05"} | subject,
        {"resourceType": "Encounter", "status": "finished", "period": {"start": "2020-03-03"}} | subject,
    ]
    with tempfile.TemporaryDirectory() as name, suppress(InvalidInput):
        path = write(Path(name), [*sure, {"resourceType": kind} | elements], mapping=FORGIVING)
        assert len(import_cohort(read_mapping(path)).table) >= 1
