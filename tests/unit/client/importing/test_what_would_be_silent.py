"""Is what an import cannot know asked of the mapping, or told, where it would be a silent 0 or a living patient?"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.small_fhir import MAPPING as OF_FHIR
from tests.small_fhir import SNOMED, Resource, cells, concept, crp, notes, of, two_patients
from tests.small_fhir import imported as of_resources
from tests.small_tables import MAPPING, PATIENTS, SCHEMA, imported

from oncofed.errors import InvalidInput

CRP = "id,day,code,number,unit\n1,2021-01-01,crp,5,mg/l\n2,2021-01-01,crp,7,mg/l\n"
MARKER = 'codes = ["crp"]\nanalyte = "crp"'


@pytest.mark.parametrize(
    ("content", "counts"),
    [
        ({}, True),
        ({"focus": [{"reference": "Patient/newborn"}]}, False),
        ({"focus": [{"display": "donor"}]}, False),
        ({"focus": [{"reference": "Patient/a"}]}, True),
        ({"focus": [{"reference": "Condition/tumour"}]}, True),
        ({"focus": [{"reference": "urn:uuid:0d3b", "type": "BodyStructure"}]}, True),
        ({"modifierExtension": [{"url": "urn:negated", "valueBoolean": True}]}, False),
    ],
)
def test_a_finding_of_somebody_else_or_of_turned_meaning_does_not_count(
    content: Resource, counts: bool, tmp_path: Path
) -> None:
    later = crp(300, "a", "2020-01-10", ident="later") | content
    found = of_resources(tmp_path, [*two_patients(), later])
    assert cells(found)["a"]["crp"] == (300 if counts else 7.5)
    assert ("of others (focus) or modified" in notes(found)) is not counts


@pytest.mark.parametrize("said", ["", 'near_words = "differ"\n'])
def test_that_nearly_the_same_is_another_does_not_hide_rows_without_a_code(said: str, tmp_path: Path) -> None:
    done: Resource = {"resourceType": "Procedure", "id": "p", "status": "completed", "performedDateTime": "2020-01-09"}
    done |= of("b") | {"code": concept(SNOMED, "5-323-4")}
    other = done | of("a") | {"id": "q", "code": concept("http://fhir.de/CodeSystem/bfarm/ops", "5-323.4")}
    text = OF_FHIR.partition('[[marker]]\nname = "ecog"')[0]
    text += '[[source]]\nname = "procedures"\npath = "fhir"\npart = "fhir_procedures"\n' + said
    text += '[[marker]]\nname = "ecog"\nsource = "procedures"\ncodes = ["5-323.4"]\nwithout_row = "0"\n'
    with pytest.raises(InvalidInput, match="without_code" if said else "near_words"):
        of_resources(tmp_path, [*two_patients(), done, other], mapping=text)


OF_DEATHS = MAPPING.replace(
    'event = "state"\nyes = ["dead"]\nno = ["alive"]\nevent_date = "died"\nlast_contact = ["seen"]',
    'source = "laboratory"\nevent_date = "day"\ncontacts = {{ patients = ["seen"] }}',
)


def test_deaths_may_stand_in_a_table_without_contacts_and_one_without_a_day_is_asked(tmp_path: Path) -> None:
    patients = PATIENTS.replace(",diagnosed\n1,dead,2021-06-01,2021-05-01", ",diagnosed\n1,dead,,2021-05-01")
    rows = "id,day,code,number,unit\n1,2021-06-01,crp,5,mg/l\n"
    found = imported(tmp_path, rows, unit="mg/l", marker=MARKER, patients=patients, mapping=OF_DEATHS)
    assert found.table.to_pandas()["dead"].tolist() == [1, 0, 0]
    rows += "2,,crp,5,mg/l\n"
    with pytest.raises(InvalidInput, match=r"has an event without a date .*\(1 row\)"):
        imported(tmp_path, rows, unit="mg/l", marker=MARKER, patients=patients, mapping=OF_DEATHS)
    censored = OF_DEATHS.replace("event_date =", 'without_date = "censor"\nmost_without_date = 0.9\nevent_date =')
    found = imported(tmp_path, rows, unit="mg/l", marker=MARKER, patients=patients, mapping=censored)
    assert found.report.outcomes[0].without_date == 1


def test_who_is_followed_in_a_table_of_its_own_is_alive_without_a_day_of_death(tmp_path: Path) -> None:
    """A row that tells a contact is no row of a death."""
    mapping = MAPPING.replace('event = "state"\nyes = ["dead"]\nno = ["alive"]\n', 'source = "followed"\n')
    mapping += '\n[[source]]\nname = "followed"\npath = "patients.csv"\npatient = "id"\n'
    found = imported(tmp_path, CRP, unit="mg/l", marker=MARKER, mapping=mapping)
    assert found.table.to_pandas()["dead"].tolist() == [1, 0, 0]


def test_an_event_date_needs_some_contacts(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="last_contact: is missing"):
        imported(tmp_path, CRP, unit="mg/l", marker=MARKER, mapping=MAPPING.replace('last_contact = ["seen"]', ""))


def test_hospitals_that_are_nearly_one_are_told(tmp_path: Path) -> None:
    patients = (
        re.sub("(?m)$", ",nord", PATIENTS.strip()).replace(",nord", ",site", 1).replace(",nord", ",Nord", 1) + "\n"
    )
    mapping = MAPPING.replace('patients = "patients"', 'patients = "patients"\nsite_column = "site"')
    schema = SCHEMA.replace('patient_id = "id"', 'patient_id = "id"\nsite_column = "site"')
    found = imported(tmp_path, CRP, unit="mg/l", marker=MARKER, patients=patients, mapping=mapping, schema=schema)
    assert "2 hospitals would be another one but for capitals" in found.report.in_words


def test_a_truth_of_a_spreadsheet_is_named_as_it_is_stored(tmp_path: Path) -> None:
    """Excel shows it as WAHR, so that a mapping with that word would go in a circle."""
    mapping = MAPPING.replace('yes = ["dead"]\nno = ["alive"]', 'yes = ["WAHR"]\nno = ["FALSCH"]')
    patients = PATIENTS.replace(",dead,", ",true,").replace(",alive,", ",false,")
    with pytest.raises(InvalidInput, match='stores as a truth: write "true" and "false"'):
        imported(tmp_path, CRP, unit="mg/l", marker=MARKER, patients=patients, mapping=mapping)


def test_a_list_without_anything_is_told_how_many_to_list(tmp_path: Path) -> None:
    mapping = MAPPING.replace('patient = "id"\ndate', 'patient = "id"\nkeep = {{ code = [] }}\ndate')
    with pytest.raises(InvalidInput, match=r"has a length below 1.*List 1 to "):
        imported(tmp_path, CRP, unit="mg/l", marker=MARKER, mapping=mapping)


def test_a_server_may_have_no_files_of_its_own(tmp_path: Path) -> None:
    """All of its resources say whose they are."""
    servers = 'servers = { "https://our.example/fhir" = ["."], "https://lab.example/fhir" = [] }'
    mapping = OF_FHIR.replace('path = "fhir"', f'path = "fhir"\n{servers}')
    assert cells(of_resources(tmp_path, two_patients(), mapping=mapping))["a"]["crp"] == 7.5
