"""Is what an import cannot know asked of the mapping, or told, where it would be a silent 0 or a living patient?"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.small_fhir import (
    LOINC,
    SNOMED,
    Resource,
    cells,
    concept,
    crp,
    diagnosis,
    notes,
    observation,
    of,
    patient,
    two_patients,
)
from tests.small_fhir import MAPPING as OF_FHIR
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
        ({"focus": [{"reference": "Patient/b"}]}, False),
        ({"focus": [{"reference": "urn:uuid:of-b"}]}, False),
        ({"focus": [{"identifier": {"system": "s", "value": "nobody"}, "type": "Patient"}]}, False),
        *[({"focus": [{"reference": f"{kind}/1"}]}, False) for kind in ("RelatedPerson", "Group", "Practitioner")],
        ({"focus": [{"reference": "urn:uuid:a-mother"}]}, False),
        ({"focus": [{"reference": "#1"}], "contained": [{"resourceType": "RelatedPerson", "id": "1"}]}, False),
        *[({"focus": [{"reference": "#1"}], "contained": [{"resourceType": "Condition", "id": "1"}]}, True)],
        *[({"focus": [{"display": "donor"}]}, True), ({"focus": [{}]}, True)],
        ({"focus": [{"reference": "Patient/a/_history/1"}]}, True),
        ({"focus": [{"reference": "urn:uuid:of-a"}]}, True),
        ({"focus": [{"reference": "urn:uuid:of-a-tumour"}]}, True),
        ({"focus": [{"identifier": {"system": "s", "value": "a stay"}}]}, True),
        *[({"focus": [{"reference": f"{kind}/1/_history/1"}]}, True) for kind in ("Condition", "EpisodeOfCare")],
        ({"focus": [{"reference": "urn:uuid:0d3b", "type": "http://hl7.org/fhir/StructureDefinition/Group"}]}, False),
        ({"focus": [{"reference": "urn:uuid:0d3b", "type": "BodyStructure"}]}, True),
        ({"modifierExtension": []}, True),
    ],
)
def test_a_finding_of_somebody_else_does_not_count(content: Resource, counts: bool, tmp_path: Path) -> None:
    later = crp(300, "a", "2020-01-10", ident="later") | content
    mother: Resource = {"resourceType": "RelatedPerson", "id": "m", "patient": {"reference": "Patient/a"}}
    a, tumour, *others = two_patients()
    named = {"of-a": a, "of-a-tumour": tumour, "of-b": others[1], "a-mother": mother}
    entries = [{"fullUrl": f"urn:uuid:{name}", "resource": each} for name, each in named.items()]
    entries += [{"resource": each} for each in (others[0], *others[2:], later)]
    found = of_resources(tmp_path, [{"resourceType": "Bundle", "type": "collection", "entry": entries}])
    assert cells(found)["a"]["crp"] == (300 if counts else 7.5)
    assert ("1 were entered in error, cancelled, refuted or not done, or are of others" in notes(found)) is not counts


@pytest.mark.parametrize(("focus", "value"), [("a", 300.0), ("b/_history/2", 7.5)])
def test_an_id_of_another_server_is_not_that_of_the_subject(focus: str, value: float, tmp_path: Path) -> None:
    later = crp(300, "a", "2020-01-10", ident="later")
    later |= {"focus": [{"reference": f"https://other.example/fhir/Patient/{focus}"}]}
    with pytest.raises(InvalidInput, match="or may hold some, whose ids mean different people"):
        of_resources(tmp_path, [*two_patients(), later])
    one = OF_FHIR.replace('path = "fhir"', 'path = "fhir"\none_server = true')
    assert cells(of_resources(tmp_path, [*two_patients(), later], mapping=one))["a"]["crp"] == value
    two = 'path = "fhir"\nservers = { "https://our.example/fhir" = ["."], "https://other.example/fhir" = [] }'
    named = OF_FHIR.replace('path = "fhir"', two)
    assert cells(of_resources(tmp_path, [*two_patients(), later], mapping=named))["a"]["crp"] == 7.5


@pytest.mark.parametrize("last", [False, True])
def test_a_link_that_a_patient_had_before_makes_nobody_one(last: bool, tmp_path: Path) -> None:
    """In whatever order the copies come."""
    later = crp(300, "a", "2020-01-10", ident="later") | {"focus": [{"reference": "Patient/b"}]}
    link = {"link": [{"type": "replaced-by", "other": {"reference": "Patient/a"}}]}
    old, new = ({"meta": {"versionId": version}} for version in "12")
    before = two_patients()
    copies = [before[3] | old | link, before[3] | new]
    others = [each for each in before if each is not before[3]]
    found = of_resources(tmp_path, [*others, *(copies[::-1] if last else copies), later])
    assert cells(found)["a"]["crp"] == 7.5


@pytest.mark.parametrize("day", ["2020-01-10", "2019-06-01"])
def test_a_turned_diagnosis_is_asked_by_which_somebody_is_a_patient_or_has_another_time_zero(
    day: str, tmp_path: Path
) -> None:
    whose = "c" if day == "2020-01-10" else "a"
    turned = diagnosis(whose, day) | {"modifierExtension": [{"url": "urn:negated", "valueBoolean": True}]}
    with pytest.raises(InvalidInput, match=r"has a modifier that may turn its meaning .*\(1 row\)"):
        of_resources(tmp_path, [*two_patients(), patient("c"), observation("c", "2020-06-01"), turned])
    other = turned | {"code": concept(SNOMED, "254637007")}
    assert len(cells(of_resources(tmp_path, [*two_patients(), other]))) == 2


MODIFIED: Resource = {"modifierExtension": [{"url": "urn:negated", "valueBoolean": True}]}


def test_a_finding_whose_meaning_may_be_turned_does_not_count(tmp_path: Path) -> None:
    found = of_resources(tmp_path, [*two_patients(), crp(300, "a", "2020-01-10", ident="later") | MODIFIED])
    assert cells(found)["a"]["crp"] == 7.5
    assert "1 have a modifier that may turn their meaning" in notes(found)
    found = of_resources(tmp_path, [*two_patients(), patient("c") | MODIFIED, diagnosis("c")])
    assert "1 patients, with all that is theirs, have a modifier that may turn their meaning" in notes(found)


@pytest.mark.parametrize("turned", [False, True])
def test_a_turned_meaning_is_asked_where_a_patient_without_it_has_something(turned: bool, tmp_path: Path) -> None:
    died = {"code": concept(SNOMED, "184305005"), "id": "died"}
    done: Resource = {"resourceType": "Procedure", "id": "p", "status": "completed", "performedDateTime": "2020-01-09"}
    done |= of("a") | {"code": concept("http://fhir.de/CodeSystem/bfarm/ops", "5-323.4")}
    other = done | of("b") | {"id": "q"}
    text = OF_FHIR.partition('[[marker]]\nname = "ecog"')[0]
    text += '[[source]]\nname = "procedures"\npath = "fhir"\npart = "fhir_procedures"\n'
    text += '[[marker]]\nname = "ecog"\nsource = "procedures"\ncodes = ["5-323.4"]\nwithout_row = "0"\n'
    for each in (observation("b", "2020-06-01") | died, other):
        resources = [*two_patients(), done, each | (MODIFIED if turned else {})]
        if not turned:
            of_resources(tmp_path, resources, mapping=text)
            continue
        with pytest.raises(InvalidInput, match=r"has a modifier that may turn its meaning .*\(1 row\)"):
            of_resources(tmp_path, resources, mapping=text)
    unasked = done | of("b") | {"id": "r", "code": concept("http://fhir.de/CodeSystem/bfarm/ops", "8-541.0")} | MODIFIED
    assert cells(of_resources(tmp_path, [*two_patients(), done, unasked], mapping=text))["b"]["ecog"] == 0


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
    with pytest.raises(InvalidInput, match="last_contact: is missing"):
        imported(tmp_path, CRP, unit="mg/l", marker=MARKER, mapping=OF_DEATHS.replace('["seen"]', "[]"))


def test_rows_of_patients_without_the_event_are_left_out_by_the_remedy_that_is_told(tmp_path: Path) -> None:
    rows = "id,day,code,number,unit\n1,2021-06-01,crp,5,mg/l\n2,,crp,5,mg/l\n"
    patients = PATIENTS.replace(",diagnosed\n1,dead,2021-06-01,2021-05-01", ",diagnosed\n1,dead,,2021-05-01")
    with pytest.raises(InvalidInput, match=re.escape('keep = { "day" = ["*"] }')):
        imported(tmp_path, rows, unit="mg/l", marker=MARKER, patients=patients, mapping=OF_DEATHS)
    mapping = OF_DEATHS.replace('patient = "id"\ndate', 'patient = "id"\nkeep = {{ "day" = ["*"] }}\ndate')
    found = imported(tmp_path, rows, unit="mg/l", marker=MARKER, patients=patients, mapping=mapping)
    assert found.table.to_pandas()["dead"].tolist() == [1, 0, 0]


def test_a_follow_up_that_nobody_has_is_told(tmp_path: Path) -> None:
    """Days that a draft took for months."""
    mapping = MAPPING.partition("event_date =")[0] + 'time = "seen"\ntime_unit = "{unit}"\n[[source]]'
    mapping += MAPPING.partition("[[source]]")[2].partition("[[source]]")[2]
    patients = "id,state,seen,diagnosed\n1,dead,300,2021-01-01\n2,alive,600,2021-01-01\n3,alive,400,2021-01-01\n"
    for unit, told in (("months", True), ("days", False)):
        by_unit = mapping.replace('"{unit}"', f'"{unit}"')
        found = imported(tmp_path, CRP, unit="mg/l", marker=MARKER, patients=patients, mapping=by_unit)
        what = "the follow-up of 1 patients ends more than 40 years after time zero: is time_unit right?"
        assert (what in found.report.in_words) is told


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


def of_code(code: str) -> Resource:
    return concept("urn:hospital", code)


CATEGORIES = {"category": [of_code("visit"), {"coding": [of_code("own")["coding"][0], of_code("wanted")["coding"][0]]}]}
SITES = {"bodySite": [of_code("lobe"), of_code("wanted")]}


@pytest.mark.parametrize(("part", "column"), [("conditions", "category"), ("conditions", "body_site")])
def test_who_has_what_is_kept_as_one_of_several_is_a_patient(part: str, column: str, tmp_path: Path) -> None:
    resources = two_patients()
    resources[1] |= CATEGORIES if column == "category" else SITES
    resources[4] |= {"category": [of_code("wanted")], "bodySite": [of_code("wanted")]}
    text = OF_FHIR.replace('code = ["C34*"]', f'code = ["C34*"], {column} = ["wanted"]')
    assert {*cells(of_resources(tmp_path, resources, mapping=text))} == {"a", "b"}


def test_several_categories_make_rows_only_where_the_mapping_reads_them(tmp_path: Path) -> None:
    resources = two_patients()
    resources[2] |= CATEGORIES
    rows = []
    for said in ("", '\nkeep = { category = ["wanted"] }'):
        text = OF_FHIR.replace('part = "fhir_observations"', f'part = "fhir_observations"{said}')
        found = of_resources(tmp_path, resources, mapping=text)
        assert cells(found)["a"]["crp"] == 7.5
        rows += [each.rows_read for each in found.report.sources if each.name == "observations"]
    assert rows == [3, 5]


def test_of_several_stages_of_one_diagnosis_none_is_chosen(tmp_path: Path) -> None:
    marker = 'name = "ecog"\nsource = "diagnoses"\ncolumn = "stage"\nwords = { I = "1", III = "3" }\ntake = "last"'
    head, _, _ = OF_FHIR.rpartition("[[marker]]")
    resources = two_patients()
    resources[1] |= {"stage": [{"summary": of_code(stage)} for stage in ("I", "III")]}
    with pytest.raises(InvalidInput, match="several values of one patient on one day"):
        of_resources(tmp_path, resources, mapping=f"{head}[[marker]]\n{marker}\n")
    found = of_resources(tmp_path, resources, mapping=f'{head}[[marker]]\n{marker}\nsame_day = "highest"\n')
    assert cells(found)["a"]["ecog"] == 3


WITHOUT_ROW = """name = "ecog"
source = "observations"
codes = ["69548-6"]
words = { LA9633-4 = "1" }
take = "last"
without_row = "0"
"""


def a_variant(who: str, **content: object) -> Resource:
    gene = {"coding": [{"system": "urn:genes", "code": "11998", "display": "TP53"}]}
    component = {"code": concept(LOINC, "48018-6"), "valueCodeableConcept": gene}
    return observation(who, code="69548-6", component=[component]) | content


def test_what_has_components_alone_is_a_row_without_a_value(tmp_path: Path) -> None:
    head, _, _ = OF_FHIR.rpartition("[[marker]]")
    there = a_variant("a", valueCodeableConcept=concept(LOINC, "LA9633-4"))
    resources = [*two_patients(), there, a_variant("b")]
    found = cells(of_resources(tmp_path, resources, mapping=f"{head}[[marker]]\n{WITHOUT_ROW}"))
    assert [found[who]["ecog"] for who in "ab"] == [1, None]


def test_a_gene_with_a_variant_of_which_nobody_says_whether_it_is_there_is_not_measured(tmp_path: Path) -> None:
    head, _, _ = OF_FHIR.rpartition("[[marker]]")
    text = f'{head}[[marker]]\nname = "ecog"\nsource = "variants"\ncolumn = "TP53"\n'
    text = text.replace(
        "[time_zero]", '[[source]]\nname = "variants"\npath = "fhir"\npart = "fhir_variants"\n[time_zero]'
    )
    region = a_variant("b") | {"id": "region", "code": concept(LOINC, "53041-0")}
    there = a_variant("a", valueCodeableConcept=concept(LOINC, "LA9633-4"))
    for more, value in (
        ([], 0),
        ([a_variant("b", valueCodeableConcept=concept(LOINC, "LA18198-4"))], None),
        ([a_variant("b"), there | of("b") | {"id": "another"}], 1),
    ):
        found = cells(of_resources(tmp_path, [*two_patients(), there, region, *more], mapping=text))
        assert [found[who]["ecog"] for who in "ab"] == [1, value]


def test_what_stands_within_another_resource_or_was_deleted_is_asked(tmp_path: Path) -> None:
    report: Resource = {"resourceType": "DiagnosticReport", "id": "r", "status": "final", "contained": [crp(300)]}
    with pytest.raises(InvalidInput, match="Observation: stands within another resource"):
        of_resources(tmp_path, [*two_patients(), report | of("a")])
    gone = {"request": {"method": "DELETE", "url": "Observation/7"}}
    with pytest.raises(InvalidInput, match="tells of resources that were deleted"):
        of_resources(tmp_path, [*two_patients(), {"resourceType": "Bundle", "type": "transaction", "entry": [gone]}])


def test_a_death_that_stands_within_another_resource_is_asked_where_only_patients_are_read(tmp_path: Path) -> None:
    """Else the patient would be alive."""
    resources = [each for each in two_patients() if each["resourceType"] != "Observation"]
    resources[0].pop("deceasedDateTime")
    death = observation("a", "2020-04-19") | {"code": concept(SNOMED, "184305005")}
    report: Resource = {"resourceType": "DiagnosticReport", "id": "r", "status": "final", "contained": [death]}
    text = OF_FHIR.replace('[[source]]\nname = "observations"\npath = "fhir"\npart = "fhir_observations"\n', "")
    text = f'{text.partition("[[marker]]")[0]}[[marker]]\nnames = ["crp", "ecog"]\nnot_measured = true\n'
    with pytest.raises(InvalidInput, match="Observation: stands within another resource"):
        of_resources(tmp_path, [*resources, report | of("a")], mapping=text)


def test_a_word_that_is_a_value_is_told_where_it_stands(tmp_path: Path) -> None:
    head, _, _ = OF_FHIR.rpartition("[[marker]]")
    source, marker = '[[source]]\nname = "acts"', '[[marker]]\nname = "ecog"'
    for word_of, of_source, of_marker in (
        (r'\[\[source\]\] "acts", missing', 'missing = ["1"]', ""),
        (r'\[\[marker\]\] "ecog", missing', "", 'missing = ["1"]'),
    ):
        text = head.replace(
            "[time_zero]", f'{source}\npath = "fhir"\npart = "fhir_procedures"\n{of_source}\n[time_zero]'
        )
        text += f'{marker}\nsource = "acts"\ncodes = ["5-32"]\ntake = "last"\nwithout_row = "0"\n{of_marker}\n'
        with pytest.raises(InvalidInput, match=f"mapping.toml: {word_of}: has a word that is a value here"):
            of_resources(tmp_path, two_patients(), mapping=text)


def test_a_word_for_not_known_is_no_code_of_a_procedure(tmp_path: Path) -> None:
    head, _, _ = OF_FHIR.rpartition("[[marker]]")
    text = head.replace(
        "[time_zero]",
        '[[source]]\nname = "acts"\npath = "fhir"\npart = "fhir_procedures"\nmissing = ["UNK"]\n[time_zero]',
    )
    text += '[[marker]]\nname = "ecog"\nsource = "acts"\ncodes = ["5-32"]\ntake = "last"\nwithout_row = "0"\n'
    acts: list[Resource] = [
        {"resourceType": "Procedure", "id": f"p-{who}", "status": "completed", "performedDateTime": "2020-01-20"}
        | of(who)
        | {"code": concept("http://fhir.de/CodeSystem/bfarm/ops", code)}
        for who, code in (("a", "5-32"), ("b", "UNK"))
    ]
    with pytest.raises(InvalidInput, match="has no code, or none of the usual system"):
        of_resources(tmp_path, [*two_patients(), *acts], mapping=text)
