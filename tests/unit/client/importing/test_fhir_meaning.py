"""What does an import make of what FHIR R4 can say? Each case is a handful of resources with its answer by hand."""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from tests.small_fhir import (
    ICD_10,
    LOINC,
    MAPPING,
    SNOMED,
    Resource,
    cells,
    concept,
    crp,
    diagnosis,
    imported,
    notes,
    observation,
    of,
    patient,
    two_patients,
    write,
)

from oncofed.client.importing.cohort_import import ImportedCohort, import_cohort
from oncofed.client.importing.mapping_file import read_mapping
from oncofed.errors import InvalidInput

AWAKE = observation("a", "2020-03-01", "8310-5")  # seen 51 days after time zero


def changed(*pairs: tuple[str, str]) -> str:
    text = MAPPING
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


ONE_SERVER = MAPPING.replace('path = "fhir"', 'path = "fhir"\none_server = true')


def test_two_patients_are_what_their_resources_say(tmp_path: Path) -> None:
    assert cells(imported(tmp_path, two_patients())) == {
        "a": {"days": 100.0, "died": 1, "crp": 7.5, "ecog": None},
        "b": {"days": 200.0, "died": 0, "crp": 12.5, "ecog": None},
    }


# --- whose a resource is


@pytest.mark.parametrize(
    "subject",
    [
        {"reference": "Patient/a"},
        {"reference": "Patient/a/_history/3"},
        {"reference": "https://server.example/fhir/Patient/a"},
        {"identifier": {"system": "urn:clinic", "value": "4711"}},
    ],
)
def test_every_kind_of_reference_leads_to_its_patient(subject: Resource, tmp_path: Path) -> None:
    who = patient("a", identifier=[{"system": "urn:clinic", "value": "4711"}])
    found = cells(imported(tmp_path, [who, diagnosis("a"), AWAKE, crp(7.5) | {"subject": subject}], mapping=ONE_SERVER))
    assert found["a"]["crp"] == 7.5


def test_addresses_within_a_bundle_lead_to_its_entries(tmp_path: Path) -> None:
    one, another = "urn:uuid:0d3b", "urn:uuid:77aa"
    entries = [
        {"fullUrl": one, "resource": {key: value for key, value in patient().items() if key != "id"}},
        {"fullUrl": another, "resource": patient("b")},
        *({"resource": each} for each in (diagnosis(one), AWAKE | of(one), crp(7.5, one))),
        *({"resource": each} for each in (diagnosis("b"), crp(12.5, another), AWAKE | of("b") | {"id": "x"})),
    ]
    found = cells(imported(tmp_path, [{"resourceType": "Bundle", "type": "transaction", "entry": entries}]))
    assert {name: row["crp"] for name, row in found.items()} == {"0d3b": 7.5, "b": 12.5}


def test_what_has_no_subject_or_another_one_is_left_out_and_counted(tmp_path: Path) -> None:
    lost = [crp(99, None), crp(99, "Group/7"), crp(99, "urn:uuid:nobody"), crp(99, "stranger")]
    found = imported(tmp_path, [*two_patients(), *({**each, "id": f"l{n}"} for n, each in enumerate(lost))])
    assert [row["crp"] for row in cells(found).values()] == [7.5, 12.5]
    told = notes(found)
    for words in (
        "1 rows tell no subject",
        "1 rows have a subject that is no patient",
        "1 rows have a subject that cannot",
    ):
        assert words in told
    (source,) = (each for each in found.report.sources if each.name == "observations")
    assert (source.rows_without_identifier, source.rows_of_no_patient) == (3, 1)


def test_a_table_of_another_source_is_joined_by_the_identifier_that_is_named(tmp_path: Path) -> None:
    """And days of contact may come from it."""
    system = "https://clinic.example/mrn"
    who = [patient("a", identifier=[{"system": system, "value": "0815"}, {"system": "urn:other", "value": "9"}])]
    scans = '[[source]]\nname = "scans"\npath = "scans.csv"\npatient = "PID"\ndate = "Scan"\n[time_zero]'
    contacts = 'last_contact = ["last_contact"]\ncontacts = { scans = ["Scan"] }'
    text = changed(
        ("[time_zero]", scans),
        ('last_contact = ["last_contact"]', contacts),
        ('source = "observations"\ncodes = ["1988-5"]\nanalyte = "crp"', 'source = "scans"\ncolumn = "muscle"'),
    ).replace('path = "fhir"', f'path = "fhir"\nidentifier = "{system}"')
    (tmp_path / "scans.csv").write_text("PID,Scan,muscle\n0815,2020-05-09,55\n777,2021-01-01,66\n")
    found = cells(imported(tmp_path, [*who, diagnosis("a"), AWAKE], mapping=text))
    assert found == {"0815": {"days": 120.0, "died": 0, "crp": 55.0, "ecog": None}}


def test_a_patient_who_is_replaced_by_another_is_that_other(tmp_path: Path) -> None:
    old = patient("old", link=[{"type": "replaced-by", "other": {"reference": "Patient/a"}}])
    found = imported(tmp_path, [old, patient("a"), diagnosis("old"), AWAKE, crp(7.5, "old")])
    assert cells(found) == {"a": {"days": 51.0, "died": 0, "crp": 7.5, "ecog": None}}
    assert "1 are replaced by another patient" in notes(found)


def test_a_patient_who_replaces_another_is_that_other_too(tmp_path: Path) -> None:
    """Many servers write only this half of a link."""
    kept = patient("a", link=[{"type": "replaces", "other": {"reference": "Patient/old"}}])
    found = imported(tmp_path, [patient("old"), kept, diagnosis("old"), AWAKE, crp(7.5, "old")])
    assert cells(found) == {"a": {"days": 51.0, "died": 0, "crp": 7.5, "ecog": None}}
    assert "1 are replaced by another patient" in notes(found)


def test_the_death_of_a_patient_who_was_replaced_is_not_lost(tmp_path: Path) -> None:
    link = [{"type": "replaced-by", "other": {"reference": "Patient/a"}}]
    old = patient("old", link=link, deceasedDateTime="2020-04-19")
    found = imported(tmp_path, [old, patient("a"), diagnosis("old"), AWAKE, crp(7.5, "old")])
    assert cells(found) == {"a": {"days": 100.0, "died": 1, "crp": 7.5, "ecog": None}}
    assert "no word of a death" not in notes(found)


def test_one_address_of_two_bundles_is_nobodys(tmp_path: Path) -> None:
    """Templates number each bundle alike: whoever came first would get the resources of all."""
    path = write(tmp_path, [])
    for name in ("a", "b"):
        entries = [{"fullUrl": "urn:uuid:1111", "resource": patient(name)}]
        entries += [
            {"resource": each | {"id": f"{name}{n}"}} for n, each in enumerate([diagnosis("urn:uuid:1111"), AWAKE])
        ]
        (tmp_path / "fhir" / f"{name}.json").write_text(json.dumps({"resourceType": "Bundle", "entry": entries}))
    with pytest.raises(InvalidInput, match="stand for several patients"):
        import_cohort(read_mapping(path))


def bundles(folder: Path, *resources: list[tuple[str | None, Resource]], mapping: str = MAPPING) -> ImportedCohort:
    """Each list is a bundle of addresses and resources."""
    path = write(folder, [], mapping=mapping)
    for number, listed in enumerate(resources):
        entries = [{"resource": each} | ({"fullUrl": url} if url else {}) for url, each in listed]
        content = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        (folder / "fhir" / f"{number}.json").write_text(json.dumps(content))
    return import_cohort(read_mapping(path))


@pytest.mark.parametrize("versions", [("2021-01-01", "2021-02-01"), ("2021-01-01", "2021-01-01"), (None, None)])
def test_a_patient_with_a_new_address_in_each_bundle_has_the_rows_of_all(
    versions: tuple[str | None, str | None], tmp_path: Path
) -> None:
    """As FHIR wants of a bundle; the resource is the same, or a newer version of it."""
    who = [patient("a") | ({} if day is None else {"meta": {"lastUpdated": f"{day}T00:00:00Z"}}) for day in versions]
    first = [("urn:uuid:1", who[0]), (None, diagnosis("urn:uuid:1")), (None, crp(7.5, "urn:uuid:1"))]
    found = bundles(tmp_path, first, [("urn:uuid:2", who[1]), (None, AWAKE | of("urn:uuid:2"))])
    assert cells(found) == {"a": {"days": 51.0, "died": 0, "crp": 7.5, "ecog": None}}
    assert "cannot be found" not in notes(found)


def test_a_medication_with_a_new_address_in_each_bundle_is_found_by_all(tmp_path: Path) -> None:
    drug: Resource = {"resourceType": "Medication", "id": "m", "code": DRUG["medicationCodeableConcept"]}
    drugs: list[Resource] = [{**drug, "meta": {"versionId": version}} for version in ("1", "2")]
    given: Resource = {"resourceType": "MedicationAdministration", "id": "g", "status": "completed"}
    given |= of("a")
    given |= {"effectiveDateTime": "2020-02-01", "medicationReference": {"reference": "urn:uuid:1"}}
    path = write(tmp_path, [], mapping=with_marker("fhir_medications", THERAPY))
    for url, listed in (
        ("urn:uuid:1", [drugs[0], given]),
        ("urn:uuid:2", [drugs[1], patient("a"), diagnosis("a"), AWAKE]),
    ):
        entries = [{"resource": each} for each in listed]
        content = {"resourceType": "Bundle", "entry": [entries[0] | {"fullUrl": url}, *entries[1:]]}
        (tmp_path / "fhir" / f"{url[-1]}.json").write_text(json.dumps(content))
    assert cells(import_cohort(read_mapping(path)))["a"]["ecog"] == 1


@pytest.mark.parametrize("code", ["L01XA01", "L02BB04"])
@pytest.mark.parametrize("named", [True, False])
def test_one_address_of_two_drugs_is_neithers(named: bool, code: str, tmp_path: Path) -> None:
    """Templates number each bundle alike; of one drug it does not matter which resource is meant."""
    path = write(tmp_path, [], mapping=with_marker("fhir_medications", THERAPY))
    for name, drug in (("a", "L01XA01"), ("b", code)):
        given: Resource = {"resourceType": "MedicationAdministration", "id": f"g{name}", "status": "completed"}
        given |= of(name) | {"medicationReference": {"reference": "urn:uuid:1"}, "effectiveDateTime": "2020-02-01"}
        medication: Resource = {
            "resourceType": "Medication",
            "code": concept("http://fhir.de/CodeSystem/bfarm/atc", drug),
        }
        if named or name == "a":
            medication["id"] = f"m{name}"
        seen = observation(name, "2020-03-01", "8310-5")
        entries = [{"resource": each} for each in (medication, given, patient(name), diagnosis(name), seen)]
        content = {"resourceType": "Bundle", "entry": [entries[0] | {"fullUrl": "urn:uuid:1"}, *entries[1:]]}
        (tmp_path / "fhir" / f"{name}.json").write_text(json.dumps(content))
    if code == "L01XA01":
        assert [row["ecog"] for row in cells(import_cohort(read_mapping(path))).values()] == [1, 1]
        return
    with pytest.raises(InvalidInput, match="stand for several medications each"):
        import_cohort(read_mapping(path))
    path.write_text(MAPPING)  # which reads no medications
    assert len(cells(import_cohort(read_mapping(path)))) == 2


@pytest.mark.parametrize("others", [0, 1, 2])
def test_patients_who_replace_one_another_are_one_patient(others: int, tmp_path: Path) -> None:
    """However many other patients there are."""
    who = [
        patient(name, link=[{"type": "replaced-by", "other": {"reference": f"Patient/{other}"}}])
        for name, other in (("b", "a"), ("a", "b"))
    ]
    more = [resource for n in range(others) for resource in (patient(f"x{n}"), diagnosis(f"x{n}"), crp(9, f"x{n}"))]
    found = cells(imported(tmp_path, [*who, *more, diagnosis("b"), AWAKE, crp(7.5, "b")]))
    assert found["a"] == {"days": 51.0, "died": 0, "crp": 7.5, "ecog": None}
    assert "b" not in found


@pytest.mark.parametrize(("born", "age"), [(("1950-01-10",), 70.0), (("1950-01-10", "1960-01-10"), None)])
def test_what_is_told_of_the_replaced_patient_alone_is_not_lost(
    born: tuple[str, ...], age: float | None, tmp_path: Path
) -> None:
    """Unless two of them tell different things."""
    link = [{"type": "replaced-by", "other": {"reference": "Patient/a"}}]
    old = [patient(f"old{n}", link=link, birthDate=day) for n, day in enumerate(born)]
    marker = '[[marker]]\nname = "ecog"\nnot_measured = true\n'
    text = MAPPING.partition("[[marker]]")[0] + marker
    text += '[[marker]]\nname = "crp"\nsource = "patients"\ncolumn = "birth_date"\ntransform = "age"\n'
    path = write(tmp_path, [*old, patient("a") | {"birthDate": None}, diagnosis("a"), AWAKE], mapping=text)
    schema = path.with_name("schema.toml")
    schema.write_text(schema.read_text().replace('unit = "mg/l"', 'unit = "years"'))
    assert cells(import_cohort(read_mapping(path)))["a"]["crp"] == (
        None if age is None else pytest.approx(age, abs=0.01)
    )


def test_of_two_identifiers_of_one_system_the_official_one_counts(tmp_path: Path) -> None:
    system = "https://clinic.example/mrn"
    listed = [("old", "100"), ("official", "200"), ("secondary", "150")]
    who = patient("a", identifier=[{"system": system, "use": use, "value": value} for use, value in listed])
    text = MAPPING.replace('path = "fhir"', f'path = "fhir"\nidentifier = "{system}"')
    assert list(cells(imported(tmp_path, [who, diagnosis("a"), AWAKE], mapping=text))) == ["200"]


SEVERAL = "holds resources of several servers, or may hold some"


@pytest.mark.parametrize("names", [("a", "b"), ("a", "a")])
def test_patients_of_two_servers_are_refused(names: tuple[str, str], tmp_path: Path) -> None:
    """Also where one would be an older version of the other."""
    who = [patient(name) | {"meta": {"versionId": str(n)}} for n, name in enumerate(names)]
    listed = [(f"https://{n}.example/fhir/Patient/{each['id']}", each) for n, each in enumerate(who)]
    with pytest.raises(InvalidInput, match=SEVERAL):
        bundles(tmp_path, [*listed, (None, diagnosis("a")), (None, AWAKE)])


@pytest.mark.parametrize("whose", ["http://lab.example/fhir/", None])
@pytest.mark.parametrize(
    ("subject", "address", "same"),
    [
        ("Patient/a", None, True),
        ("http://lab.example/fhir/Patient/a", None, False),
        ("http://lab.example/fhir/Patient/a/_history/1", "urn:uuid:1", False),
        ("Patient/a", "http://lab.example/fhir/Observation/o", False),  # relative to the address of its entry
        ("Patient/a", "urn:uuid:1", True),
        ({"identifier": {"system": "urn:clinic", "value": "4711"}}, None, True),
    ],
)
def test_an_id_without_an_address_is_that_of_no_server_that_another_address_names(
    whose: str | None, subject: str | Resource, address: str | None, same: bool, tmp_path: Path
) -> None:
    """The bulk export of a hospital tells no address, and a laboratory's number 1 is somebody else."""
    who = patient("a", identifier=[{"system": "urn:clinic", "value": "4711"}])
    value = crp(7.5, ident="o") | {"subject": {"reference": subject} if isinstance(subject, str) else subject}
    listed: list[tuple[str | None, Resource]]
    listed = [(whose and f"{whose}Patient/a", who), (None, diagnosis("a")), (None, AWAKE), (address, value)]
    if not same and whose is None:
        with pytest.raises(InvalidInput, match=SEVERAL):
            bundles(tmp_path, listed)
        assert cells(bundles(tmp_path, listed, mapping=ONE_SERVER))["a"]["crp"] == 7.5
        return
    assert cells(bundles(tmp_path, listed))["a"]["crp"] == 7.5


MRN = "https://clinic.example/mrn"


def known(name: str, number: str, **content: object) -> Resource:
    return patient(name, identifier=[{"system": MRN, "value": number}], **content)


def versions(one: Resource, other: Resource) -> list[Resource]:
    return [each | {"meta": {"versionId": str(n)}} for n, each in enumerate((one, other))]


def of_b(value: Resource) -> Resource:
    return value | {"subject": {"reference": "Patient/b"}}


UNLIKE = r"ids have copies of different patients, births, genders or drugs.* \(1 row\)"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (patient("a", birthDate="1950-01-01"), patient("a"), False),
        (patient("a", gender="male"), patient("a"), False),
        (known("a", "100"), known("a", "200"), True),  # a number of a visit, or one that was corrected
        (patient("a", deceasedBoolean=False), patient("a", deceasedDateTime="2020-09-01"), True),
        (crp(300, ident="1"), of_b(crp(5, ident="1")), False),
        (crp(300, ident="1"), crp(5, ident="1") | {"subject": {"reference": "Patient/a/_history/4"}}, True),
        (crp(300, ident="1"), crp(5, "urn:uuid:a", ident="1"), True),
    ],
)
def test_copies_of_one_id_are_of_one_patient_where_no_address_tells_the_server(
    one: Resource, other: Resource, same: bool, tmp_path: Path
) -> None:
    """Servers number alike, and their exports may lie in one folder; or something was corrected."""
    listed: list[tuple[str | None, Resource]]
    listed = [(None, each) for each in (*versions(one, other), patient("b"), diagnosis("a"), AWAKE)]
    listed += [("urn:uuid:a", patient("a"))] if one["resourceType"] != "Patient" else []
    if not same:
        with pytest.raises(InvalidInput, match=UNLIKE):
            bundles(tmp_path, listed)
    assert "a" in cells(bundles(tmp_path, listed, mapping=MAPPING if same else ONE_SERVER))


def test_copies_of_one_address_are_versions_whatever_was_corrected(tmp_path: Path) -> None:
    one, other = patient("a", birthDate="1950-01-01", gender="unknown"), patient("a")
    listed: list[tuple[str | None, Resource]]
    listed = [(f"http://s.example/Patient/a/_history/{n}", each) for n, each in enumerate(versions(one, other))]
    of_whom = versions(of_b(crp(300, ident="1")), crp(5, ident="1"))
    listed += [(f"http://s.example/Observation/1/_history/{n}", each) for n, each in enumerate(of_whom)]
    assert cells(bundles(tmp_path, [*listed, (None, diagnosis("a")), (None, AWAKE)]))["a"]["crp"] == 5


def test_several_identifiers_of_the_system_that_is_asked_are_told(tmp_path: Path) -> None:
    text = MAPPING.replace('path = "fhir"', f'path = "fhir"\nidentifier = "{MRN}"')
    who = patient("a", identifier=[{"system": MRN, "use": "official", "value": value} for value in ("200", "100")])
    found = imported(tmp_path, [who, diagnosis("a"), AWAKE], mapping=text)
    assert list(cells(found)) == ["100"]
    assert notes(found).count("1 patients have several identifiers of its system") == 1
    found = imported(tmp_path, [known("a", "100", gender="male"), diagnosis("a"), AWAKE], mapping=text)
    assert "several identifiers" not in notes(found)


def test_an_identifier_that_several_outside_of_the_study_have_is_told(tmp_path: Path) -> None:
    """Test patients, newborns, a placeholder: nobody can leave them out of an export."""
    text = MAPPING.replace('path = "fhir"', f'path = "fhir"\nidentifier = "{MRN}"')
    strangers = [known("x", "0"), known("y", "0", birthDate="1970-01-01")]
    found = imported(tmp_path, [known("a", "100"), diagnosis("a"), AWAKE, *strangers], mapping=text)
    assert list(cells(found)) == ["100"]
    assert "1 identifiers are those of several patients, who were born on different days; none" in notes(found)


@pytest.mark.parametrize(("born", "apart"), [("1960-04-02", False), ("1960-04", False), ("1970-04-02", True)])
def test_patients_who_share_an_identifier_are_one_if_born_as_one(born: str, apart: bool, tmp_path: Path) -> None:
    text = MAPPING.replace('path = "fhir"', f'path = "fhir"\nidentifier = "{MRN}"')
    resources = [known("a", "100"), known("b", "100", birthDate=born), diagnosis("a"), observation("b", "2020-03-01")]
    if apart:
        with pytest.raises(InvalidInput, match="are those of several patients, who were born on different days"):
            imported(tmp_path, resources, mapping=text)
        return
    found = imported(tmp_path, resources, mapping=text)
    assert cells(found)["100"]["days"] == 51.0
    assert notes(found).count("2 patients share an identifier with another, and are one") == 1


@pytest.mark.parametrize(
    ("base", "same"),
    [
        ("http://lab.example/fhir", False),
        ("http://s1.example/fhir", True),
        ("https://s1.example/fhir", True),
        ("http://s1.example:80/fhir", True),
        ("http://s1.example//fhir/", True),
        ("http://s1.example:8080/fhir", False),
    ],
)
def test_a_patient_of_another_server_is_another_patient(base: str, same: bool, tmp_path: Path) -> None:
    value = crp(7.5) | {"subject": {"reference": f"{base}/Patient/a/_history/2"}}
    listed: list[tuple[str | None, Resource]] = [("http://s1.example/fhir/Patient/a", patient("a"))]
    listed += [(None, diagnosis("a")), (None, AWAKE), (None, value)]
    if same:
        assert cells(bundles(tmp_path, listed))["a"]["crp"] == 7.5
        return
    with pytest.raises(InvalidInput, match=SEVERAL):
        bundles(tmp_path, listed)


@pytest.mark.parametrize("kind", ["replaces", "replaced-by"])
@pytest.mark.parametrize(
    ("base", "same"),
    [("http://old.example/fhir", False), ("https://s1.example/fhir", True), ("http://s1.example/fhir", True)],
)
def test_a_link_to_another_server_makes_nobody_of_this_one_another(
    kind: str, base: str, same: bool, tmp_path: Path
) -> None:
    who = patient("a", link=[{"other": {"reference": f"{base}/Patient/b"}, "type": kind}])
    listed: list[tuple[str | None, Resource]]
    listed = [(f"http://s1.example/fhir/Patient/{each['id']}", each) for each in (who, patient("b"))]
    listed += [(None, each) for each in (diagnosis("a"), diagnosis("b"), AWAKE, crp(300, "b"))]
    found = bundles(tmp_path, listed)
    assert len({row["crp"] for row in cells(found).values()} - {300.0}) == (0 if same else 1)
    assert ("1 patients are linked to one of another server" in notes(found)) != same


@pytest.mark.parametrize("mapping", [MAPPING, ONE_SERVER])
def test_where_no_address_names_the_server_absolute_links_are_not_followed(mapping: str, tmp_path: Path) -> None:
    who = patient("a", link=[{"other": {"reference": "http://old.example/Patient/b"}, "type": "replaces"}])
    resources = [who, patient("b"), diagnosis("a"), diagnosis("b"), AWAKE, crp(300, "b")]
    found = imported(tmp_path, resources, mapping=mapping)
    assert (cells(found)["a"]["crp"] == 300) == (mapping is ONE_SERVER)
    assert ("1 patients are linked to one of another server" in notes(found)) != (mapping is ONE_SERVER)


# --- copies and versions


def test_the_newest_version_counts_in_whatever_order_copies_come(tmp_path: Path) -> None:
    copies = [
        crp(1.5, ident="x", meta={"versionId": "9", "lastUpdated": "2020-03-01T00:00:00Z"}),
        crp(2.5, ident="x", meta={"versionId": "10", "lastUpdated": "2020-02-01T10:00:00Z"}),
        crp(3.5, ident="x", meta={"versionId": "10", "lastUpdated": "2020-02-01T12:00:00+03:00"}),
    ]
    for number, order in enumerate(permutations(copies)):
        folder = tmp_path / str(number)
        folder.mkdir()
        found = imported(folder, [patient("a"), diagnosis("a"), AWAKE, *order])
        assert cells(found)["a"]["crp"] == 2.5
        assert "2 are copies or older versions" in notes(found)


def test_an_older_version_of_what_was_entered_in_error_does_not_count(tmp_path: Path) -> None:
    old = crp(99, ident="x", meta={"versionId": "1"})
    wrong = old | {"status": "entered-in-error", "meta": {"versionId": "2"}}
    found = imported(tmp_path, [*two_patients(), old, wrong])
    assert cells(found)["a"]["crp"] == 7.5


def test_copies_of_one_version_must_say_the_same(tmp_path: Path) -> None:
    assert cells(imported(tmp_path, [*two_patients(), crp(7.5) | {"meta": {"source": "#1"}}]))["a"]["crp"] == 7.5
    with pytest.raises(InvalidInput, match=r"copies of one id and version that say different things \(1 row\)"):
        imported(tmp_path, [*two_patients(), crp(8.5)])


# --- what was found


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ({"valueQuantity": {"value": 7.25, "unit": "mg/L"}}, 7.25),
        ({"valueQuantity": {"value": 1.5, "unit": "milligram", "code": "mg/dL"}}, 15.0),
        ({"valueQuantity": {"value": 7, "comparator": "<", "code": "mg/L"}}, 7.0),
        ({"valueQuantity": {"value": 350, "comparator": ">=", "code": "mg/L"}}, 350.0),
        ({"valueQuantity": {"value": 1e1, "code": "ug/mL"}}, 10.0),
        ({"dataAbsentReason": concept("http://terminology.hl7.org", "unknown")}, None),
        ({"valueRange": {"low": {"value": 1}, "high": {"value": 2}}}, None),
    ],
)
def test_quantities_are_read_in_their_own_units(value: Resource, wanted: float | None, tmp_path: Path) -> None:
    mapping = changed(('analyte = "crp"', 'analyte = "crp"\nlimits = "at_limit"'))
    resources = [patient("a"), diagnosis("a"), AWAKE, observation("a", **value)]
    assert cells(imported(tmp_path, resources, mapping=mapping))["a"]["crp"] == wanted


def test_a_comparator_is_a_fault_until_the_mapping_says_what_becomes_of_it(tmp_path: Path) -> None:
    value = {"valueQuantity": {"value": 7, "comparator": "<", "code": "mg/L"}}
    with pytest.raises(InvalidInput, match=r"lies beyond a limit of detection \(1 row\)"):
        imported(tmp_path, [patient("a"), diagnosis("a"), AWAKE, observation("a") | value])


@pytest.mark.parametrize(
    "answer",
    [
        {"valueCodeableConcept": concept(LOINC, "LA9623-5")},
        {"valueInteger": 1},
        {"valueString": "1"},
        {"valueQuantity": {"value": 1, "unit": "{score}"}},
    ],
)
def test_a_score_is_read_in_every_form(answer: Resource, tmp_path: Path) -> None:
    found = imported(tmp_path, [patient("a"), diagnosis("a"), AWAKE, observation("a", code="89247-1", **answer)])
    assert cells(found)["a"]["ecog"] == 1


def test_components_are_results_of_their_own(tmp_path: Path) -> None:
    parts = [
        {"code": concept(LOINC, "1988-5"), "valueQuantity": {"value": 3, "code": "mg/L"}},
        {"code": concept(LOINC, "89247-1"), "valueInteger": 1},
    ]
    panel = observation("a", code="55399-0", component=parts)
    found = cells(imported(tmp_path, [patient("a"), diagnosis("a"), AWAKE, panel]))
    assert (found["a"]["crp"], found["a"]["ecog"]) == (3.0, 1)


def test_of_several_codings_the_usual_system_counts_unless_another_is_named(tmp_path: Path) -> None:
    codings = [{"system": "urn:lab", "code": "K1"}, {"system": LOINC, "code": "1988-5"}]
    own = [patient("a"), diagnosis("a"), AWAKE, crp(7.5) | {"code": {"coding": codings}}]
    assert cells(imported(tmp_path, own))["a"]["crp"] == 7.5
    local = changed(('codes = ["1988-5"]', 'codes = ["K1"]'))
    assert cells(imported(tmp_path, own, mapping=local))["a"]["crp"] is None
    local = local.replace('part = "fhir_observations"', 'part = "fhir_observations"\nsystem = "urn:lab"')
    assert cells(imported(tmp_path, own, mapping=local))["a"]["crp"] == 7.5


@pytest.mark.parametrize("status", ["entered-in-error", "cancelled"])
def test_what_did_not_happen_is_no_value_and_no_contact(status: str, tmp_path: Path) -> None:
    late = crp(99, day="2020-03-09", status=status)
    found = imported(tmp_path, [patient("a"), diagnosis("a"), AWAKE, late])
    assert cells(found) == {"a": {"days": 51.0, "died": 0, "crp": None, "ecog": None}}
    assert "1 were entered in error, cancelled" in notes(found)


# --- diagnoses and days


def test_time_zero_is_the_day_of_diagnosis_before_onset_and_record(tmp_path: Path) -> None:
    url = "http://hl7.org/fhir/StructureDefinition/condition-assertedDate"
    asserted = {"extension": [{"url": url, "valueDateTime": "2020-01-20"}]}
    for content, days in (
        ({}, 51.0),
        ({"recordedDate": "2020-02-01"}, 51.0),
        (asserted, 41.0),
        ({"onsetDateTime": None, "onsetPeriod": {"start": "2020-01-11"}}, 50.0),
        ({"onsetDateTime": None, "recordedDate": "2020-02-01T23:59:59+01:00"}, 29.0),
    ):
        found = imported(tmp_path, [patient("a"), diagnosis("a", **content), AWAKE])
        assert cells(found)["a"]["days"] == days, content


def test_of_two_diagnoses_the_first_of_the_kept_codes_counts(tmp_path: Path) -> None:
    others = [
        diagnosis("a", "2015-01-01", "C50.9"),
        diagnosis("a", "2020-02-10", "C34.9"),
        diagnosis("a", "2019-01-01", verificationStatus=concept("http://x", "refuted")),
        patient("only-breast"),
        diagnosis("only-breast", code="C50.9"),
    ]
    found = cells(imported(tmp_path, [patient("a"), diagnosis("a"), AWAKE, *others]))
    assert found == {"a": {"days": 51.0, "died": 0, "crp": None, "ecog": None}}


def test_diagnoses_may_be_told_in_another_classification(tmp_path: Path) -> None:
    mapping = changed(('keep = { code = ["C34*"] }', 'keep = { icd_o_3 = ["C34*"] }'))
    site = concept("http://terminology.hl7.org/CodeSystem/icd-o-3", "C34.1")
    mcode = diagnosis("a") | {"code": concept(SNOMED, "254637007"), "bodySite": [site]}
    assert "a" in cells(imported(tmp_path, [patient("a"), mcode, AWAKE], mapping=mapping))
    by_snomed = changed(('keep = { code = ["C34*"] }', 'keep = { code = ["254637007"] }'))
    assert "a" in cells(imported(tmp_path, [patient("a"), mcode, AWAKE], mapping=by_snomed))


@pytest.mark.parametrize(
    ("becomes", "told", "days"),
    [
        ("first", "2020-01", 60.0),
        ("middle", "2020-01", 46.0),
        ("last", "2020-01", 30.0),
        ("last", "2019-02", 367.0),
        ("first", "2019", 425.0),
        ("middle", "2019", 244.0),
        ("last", "2019", 61.0),
    ],
)
def test_a_month_or_a_year_becomes_the_day_that_the_mapping_says(
    becomes: str, told: str, days: float, tmp_path: Path
) -> None:
    mapping = changed(('part = "fhir_conditions"', f'part = "fhir_conditions"\npartial_dates = "{becomes}"'))
    found = imported(tmp_path, [patient("a"), diagnosis("a", told), AWAKE], mapping=mapping)
    assert cells(found)["a"]["days"] == days
    assert 'days of "date" are told as a month or a year' in notes(found)


def test_a_month_is_a_fault_or_no_day_unless_the_mapping_says_more(tmp_path: Path) -> None:
    resources = [*two_patients(), patient("c"), diagnosis("c", "2020-02")]
    with pytest.raises(InvalidInput, match=r"is no day of the form YYYY-MM-DD \(1 row\)\. .*partial_dates"):
        imported(tmp_path, resources)
    mapping = changed(('part = "fhir_conditions"', 'part = "fhir_conditions"\npartial_dates = "missing"'))
    found = imported(tmp_path, resources, mapping=mapping)
    assert set(cells(found)) == {"a", "b"}
    assert found.report.left_out == {"no time zero": 1}


# --- death and last contact

CAUSE = observation("a", "2020-04-19", "x") | {"id": "cause", "code": concept(SNOMED, "184305005")}


def vital(letter: str, day: str) -> Resource:
    system = "https://www.medizininformatik-initiative.de/fhir/core/modul-person/CodeSystem/Vitalstatus"
    return observation("a", day, "67162-8", valueCodeableConcept=concept(system, letter))


@pytest.mark.parametrize(
    "own", [{}, {"deceasedBoolean": True}, {"deceasedBoolean": False}, {"deceasedDateTime": "2020-04"}]
)
def test_the_day_of_a_death_may_be_told_by_a_cause_of_death(own: Resource, tmp_path: Path) -> None:
    found = cells(imported(tmp_path, [patient("a", **own), diagnosis("a"), AWAKE, CAUSE]))
    assert (found["a"]["days"], found["a"]["died"]) == (100.0, 1)


def test_two_days_of_death_are_a_fault(tmp_path: Path) -> None:
    resources = [patient("a", deceasedDateTime="2020-04-20"), diagnosis("a"), AWAKE, CAUSE]
    with pytest.raises(InvalidInput, match=r'"death_date": says different things of one patient .*\(1 row\)'):
        imported(tmp_path, resources)


@pytest.mark.parametrize(
    "sign",
    [
        patient("a", deceasedBoolean=True),
        vital("T", "2020-05-01"),
        diagnosis("a", "2020-05-01", "I21.9", category=[concept(LOINC, "79378-6")]) | {"id": "cause"},
    ],
)
def test_a_death_without_a_day_is_a_fault(sign: Resource, tmp_path: Path) -> None:
    own = [] if sign["resourceType"] == "Patient" else [patient("a")]
    with pytest.raises(InvalidInput, match=r"has an event without a date \(1 row\)"):
        imported(tmp_path, [*own, sign, diagnosis("a"), AWAKE])


def test_who_is_said_to_live_is_alive(tmp_path: Path) -> None:
    found = cells(imported(tmp_path, [patient("a"), diagnosis("a"), vital("L", "2020-05-09")]))
    assert (found["a"]["days"], found["a"]["died"]) == (120.0, 0)


CONTACTS: list[dict[str, Any]] = [
    {"resourceType": "Encounter", "status": "finished", "period": {"start": "2020-05-01", "end": "2020-05-09"}},
    {"resourceType": "Procedure", "status": "completed", "performedDateTime": "2020-05-09T08:00:00+02:00"},
    {"resourceType": "MedicationStatement", "status": "active", "effectivePeriod": {"start": "2020-05-09"}},
    {"resourceType": "MedicationAdministration", "status": "completed", "effectiveDateTime": "2020-05-09"},
    {"resourceType": "DiagnosticReport", "status": "final", "effectiveDateTime": "2020-05-09"},
    {"resourceType": "ImagingStudy", "status": "available", "started": "2020-05-09"},
    {"resourceType": "Condition", "onsetDateTime": "2020-05-09"},
]


@pytest.mark.parametrize("contact", CONTACTS, ids=[each["resourceType"] for each in CONTACTS])
def test_any_kind_of_resource_is_a_contact(contact: Resource, tmp_path: Path) -> None:
    resources = [patient("a"), diagnosis("a"), AWAKE]
    assert cells(imported(tmp_path, [*resources, contact | of("a") | {"id": "k"}]))["a"]["days"] == 120.0
    status = {"verificationStatus": concept("http://x", "entered-in-error")}
    undone = contact | (status if contact["resourceType"] == "Condition" else {"status": "entered-in-error"})
    assert cells(imported(tmp_path, [*resources, undone | of("a") | {"id": "k"}]))["a"]["days"] == 51.0


def test_a_contact_of_which_the_month_is_told_is_its_first_day(tmp_path: Path) -> None:
    mapping = changed(('part = "fhir_observations"', 'part = "fhir_observations"\npartial_dates = "missing"'))
    resources = [patient("a"), diagnosis("a"), AWAKE, observation("a", "2020-05", "8310-5")]
    assert cells(imported(tmp_path, resources, mapping=mapping))["a"]["days"] == 112.0


def test_a_moment_is_the_day_that_it_was_in_the_hospitals_time_zone(tmp_path: Path) -> None:
    """Half past eleven at night in UTC is the next day in Berlin; a server may write either."""
    moments = ("2020-01-09T23:30:00Z", "2020-01-10T00:30:00+01:00", "2020-01-10")
    text = changed(('patients = "diagnoses"', 'patients = "diagnoses"\ntime_zone = "Europe/Berlin"'))
    for number, moment in enumerate(moments):
        (tmp_path / str(number)).mkdir()
        resources = [patient("a"), diagnosis("a", moment), AWAKE]
        assert cells(imported(tmp_path / str(number), resources, mapping=text))["a"]["days"] == 51.0
    (tmp_path / "nobody said").mkdir()
    with pytest.raises(InvalidInput, match="moment in UTC, which is a day only in a time zone"):
        imported(tmp_path / "nobody said", [patient("a"), diagnosis("a", moments[0]), AWAKE])


CENSORED = changed(
    ('last_contact = ["last_contact"]', 'last_contact = ["death_date"]\ncontacts = { observations = ["date"] }')
)


def test_a_moment_in_utc_is_no_day_until_the_mapping_says_where(tmp_path: Path) -> None:
    """Of a contact as of a diagnosis; contacts that nobody asks for harm nobody."""
    moments = [patient("a"), diagnosis("a"), AWAKE, observation("a", "2020-05-01T23:30:00Z", "8480-6")]
    with pytest.raises(InvalidInput, match=r"tell a contact by a moment in UTC.* \(1 row\).*time_zone = ") as refused:
        imported(tmp_path, moments)
    assert "day of the form" not in str(refused.value)
    seen = [patient("a"), diagnosis("a", "2020-01-09T23:30:00Z"), AWAKE]
    with pytest.raises(InvalidInput, match='column "date": is no day of the form') as refused:
        imported(tmp_path, seen, mapping=CENSORED)
    assert "time_zone" in str(refused.value)
    stay: Resource = {"resourceType": "Encounter", "id": "e", "status": "finished"} | of("a")
    stay |= {"period": {"end": "2020-06-01T23:30:00Z"}}
    assert cells(imported(tmp_path, [patient("a"), diagnosis("a"), AWAKE, stay], mapping=CENSORED))["a"]["days"] == 51.0
    with pytest.raises(InvalidInput, match="tell a contact by a moment in UTC"):
        imported(tmp_path, [patient("a"), diagnosis("a"), AWAKE, stay])
    for moment, days in (("2020-06-01T23:30:00+02:00", 143.0), ("2020-06-01T00:00:00Z", 143.0), ("2020-05-99", 51.0)):
        found = imported(tmp_path, [patient("a"), diagnosis("a"), AWAKE, stay | {"period": {"end": moment}}])
        assert cells(found)["a"]["days"] == days
        assert ("1 resources tell a contact on what is no day" in notes(found)) is (days == 51.0)


def in_zone(zone: str) -> str:
    return changed(('patients = "diagnoses"', f'patients = "diagnoses"\ntime_zone = "{zone}"'))


@pytest.mark.parametrize("clock", ["23:30:00+0000", "23:30:00z", "23Z", "17:30:00-0600"])
def test_a_moment_of_iso_8601_is_read_as_fhir_writes_it(clock: str, tmp_path: Path) -> None:
    """.NET, Python's %z and older servers leave the colon out; nobody can correct an export of a whole server."""
    stay: Resource = {"resourceType": "Encounter", "id": "e", "status": "finished"} | of("a")
    stay |= {"period": {"end": f"2020-06-01T{clock}"}}
    found = imported(tmp_path, [patient("a"), diagnosis("a"), AWAKE, stay], mapping=in_zone("Europe/Berlin"))
    assert cells(found)["a"]["days"] == 144.0


@pytest.mark.parametrize(
    ("zone", "written", "other", "days", "told"),
    [
        ("America/New_York", "2020-01-10T00:00:00Z", "2020-02-01T00:00:00Z", 51.0, False),
        ("America/New_York", "2020-01-10T00:00:00+01:00", "2020-02-01", 51.0, False),
        ("America/New_York", "2020-01-10T00:00:00Z", "2020-02-01T00:30:00Z", 52.0, True),
        ("America/New_York", "2020-01-10T00:30:00Z", "2020-02-01T00:00:00Z", 52.0, True),
        ("Europe/Berlin", "2020-01-10T00:00:00Z", "2020-02-01T13:30:00Z", 51.0, False),
    ],
)
def test_a_field_of_nothing_but_midnights_holds_days(
    zone: str, written: str, other: str, days: float, told: bool, tmp_path: Path
) -> None:
    """Half past midnight in UTC is the evening before in New York; a program writes a day as midnight."""
    second = [patient("b"), diagnosis("b", other), observation("b", "2020-03-01", "8310-5", "awake")]
    found = imported(tmp_path, [patient("a"), diagnosis("a", written), AWAKE, *second], mapping=in_zone(zone))
    assert cells(found)["a"]["days"] == days
    assert ("1 moments of Condition.onsetDateTime are midnight by their own clock" in notes(found)) is told


def test_a_stand_in_that_is_missing_is_so_wherever_the_hospital_lies(tmp_path: Path) -> None:
    text = in_zone("Europe/Berlin").replace("[mapping]", '[mapping]\nmissing = ["2099-12-31"]', 1)
    dead = patient("a", deceasedDateTime="2099-12-31T23:30:00Z")
    with pytest.raises(InvalidInput, match="has an event without a date"):
        imported(tmp_path, [dead, diagnosis("a"), AWAKE], mapping=text)


@pytest.mark.parametrize("issued", ["2020-01-08T23:30:00Z", "2020-01-09T11:00:00+01:00"])
def test_an_observation_of_which_only_the_issue_is_told_has_that_day(issued: str, tmp_path: Path) -> None:
    """It was true before, and nobody was seen for it then."""
    text = in_zone("Europe/Berlin").replace('analyte = "crp"', 'analyte = "crp"\nwindow = [-1, 0]', 1)
    value = crp(7.5, issued=issued) | {"effectiveDateTime": None}
    late = observation("a", code="8310-5", issued="2020-09-01T08:00:00Z") | {"effectiveDateTime": None}
    found = imported(tmp_path, [patient("a"), diagnosis("a"), AWAKE, value, late], mapping=text)
    assert cells(found)["a"] == {"days": 51.0, "died": 0, "crp": 7.5, "ecog": None}
    assert "2 rows tell no day but that of their issue, and have that" in notes(found)


# --- therapies and variants


LEFT_OUT = 'without_code = "leave_out"\n'


def with_marker(part: str, marker: str) -> str:
    source = f'[[source]]\nname = "extra"\npath = "fhir"\npart = "{part}"\n{LEFT_OUT}[time_zero]'
    return changed(("[time_zero]", source)) .partition('[[marker]]\nname = "ecog"')[0] + marker  # fmt: skip


THERAPY = '[[marker]]\nname = "ecog"\nsource = "extra"\ncodes = ["L01*"]\nwithout_row = "0"\ntake = "max"\n'
THERAPY += "may_be_of_nobody = true\n"
DRUG = {"medicationCodeableConcept": concept("http://fhir.de/CodeSystem/bfarm/atc", "L01XA01")}
DRUG_ITSELF: Resource = {"code": DRUG["medicationCodeableConcept"]}
CONTAINED = {
    "contained": [{"resourceType": "Medication", "id": "m"} | DRUG_ITSELF],
    "medicationReference": {"reference": "#m"},
}


@pytest.mark.parametrize(
    ("drug", "status", "given"),
    [
        (DRUG, "completed", 1),
        (DRUG, "not-taken", 0),
        (DRUG, "intended", 0),
        (CONTAINED, "active", 1),
        ({"medicationReference": {"reference": "Medication/cis"}}, "active", 1),
        ({"medicationReference": {"reference": "https://x.example/Medication/cis"}}, "active", 1),
        ({"medicationReference": {"reference": "Medication/cis/_history/2"}}, "active", 1),
        ({"medicationReference": {"reference": "https://x.example/Medication/cis/_history/2"}}, "active", 1),
        ({"medicationReference": {"identifier": {"system": "urn:pharmacy", "value": "4711"}}}, "active", 1),
        ({"medicationReference": {"display": "L01XA01"}}, "active", 1),
        ({"medicationReference": {"reference": "Medication/nowhere"}}, "active", 0),
    ],
)
def test_medications_are_found_by_code_and_by_reference(
    drug: Resource, status: str, given: int, tmp_path: Path
) -> None:
    medication: Resource = {"resourceType": "Medication", "id": "cis", "code": DRUG["medicationCodeableConcept"]}
    medication["identifier"] = [{"system": "urn:pharmacy", "value": "4711"}]
    taken = {"resourceType": "MedicationStatement", "id": "t", "status": status, "effectiveDateTime": "2020-02-01"}
    resources = [taken | of("a") | drug, patient("a"), diagnosis("a"), AWAKE, medication]
    mapping = with_marker("fhir_medications", THERAPY).replace('path = "fhir"', 'path = "fhir"\none_server = true')
    assert cells(imported(tmp_path, resources, mapping=mapping))["a"]["ecog"] == given


ATC = "http://fhir.de/CodeSystem/bfarm/atc"


@pytest.mark.parametrize(
    "content",
    [
        {"code": concept(ATC, "B05BB02", "L01XA01")},
        {"code": concept("urn:house", "cyto-7"), "ingredient": [{"itemCodeableConcept": concept(ATC, "L01XA01")}]},
        {"ingredient": [{"itemCodeableConcept": concept(ATC, each)} for each in ("B05BB02", "L01XA01")]},
    ],
)
@pytest.mark.parametrize("contained", [True, False])
def test_every_code_of_a_medication_and_of_its_ingredients_counts(
    content: Resource, contained: bool, tmp_path: Path
) -> None:
    """Each infusion that a pharmacy prepares is a resource with ingredients."""
    medication: Resource = {"resourceType": "Medication", "id": "m"} | content
    taken: Resource = {
        "resourceType": "MedicationStatement",
        "id": "t",
        "status": "active",
        "effectiveDateTime": "2020-02-01",
    }
    taken |= {"medicationReference": {"reference": "#m" if contained else "Medication/m"}}
    more: list[Resource] = [] if contained else [medication]
    taken |= {"contained": [medication]} if contained else {}
    resources = [taken | of("a"), patient("a"), diagnosis("a"), AWAKE, *two_patients()[3:], *more]
    found = imported(tmp_path, resources, mapping=with_marker("fhir_medications", THERAPY))
    assert [row["ecog"] for row in cells(found).values()] == [1, 0]
    assert "medication" not in notes(found)
    assert "usual system" not in notes(found)


def preparation(ident: str, *ingredients: str, **content: object) -> Resource:
    listed = [{"itemReference": {"reference": each}} for each in ingredients]
    return {"resourceType": "Medication", "id": ident, "ingredient": listed} | content


BAG: Resource = {"code": {"text": "Infusion bag"}}


@pytest.mark.parametrize(
    ("drug", "others", "given", "words"),
    [
        ("Medication/m", [preparation("m", "Medication/cis", **BAG)], 1, ""),
        ("Medication/m", [preparation("m", "Medication/n"), preparation("n", "Medication/cis", "Medication/m")], 1, ""),
        ("Medication/m", [preparation("m", "#in", contained=[{"id": "in", **DRUG_ITSELF}])], 1, ""),
        ("#m", [preparation("m", "#in", **BAG), {"id": "in", **DRUG_ITSELF}], 1, ""),
        ("#m", [preparation("m", "Medication/cis", **BAG)], 1, ""),
        ("#m", [preparation("m", "#m", **BAG)], 0, ""),
        ("Medication/m", [preparation("m", "Medication/nowhere", **BAG)], 0, "1 rows name a medication with an ingre"),
    ],
)
def test_an_ingredient_may_be_a_resource_of_its_own(
    drug: str, others: list[Resource], given: int, words: str, tmp_path: Path
) -> None:
    taken: Resource = {"resourceType": "MedicationStatement", "id": "t", "status": "active"} | of("a")
    taken |= {"effectiveDateTime": "2020-02-01", "medicationReference": {"reference": drug}}
    others = [{"resourceType": "Medication"} | each for each in others]
    taken |= {"contained": others} if drug.startswith("#") else {}
    resources = [patient("a"), diagnosis("a"), AWAKE, taken, {"resourceType": "Medication", "id": "cis", **DRUG_ITSELF}]
    resources += [] if drug.startswith("#") else others
    found = imported(tmp_path, resources, mapping=with_marker("fhir_medications", THERAPY))
    assert cells(found)["a"]["ecog"] == given
    assert words in notes(found)


@pytest.mark.parametrize(
    ("drug", "words"),
    [
        ({"medicationReference": {"reference": "Medication/nowhere"}}, "1 rows name a medication that is not among"),
        ({"medicationReference": {"reference": "Medication/bare"}}, "1 rows name a medication without a code"),
        ({"medicationReference": {"type": "Medication"}}, "1 resources have no code of the usual system"),
        ({"medicationReference": {"reference": "#m"}}, "1 resources have no code of the usual system"),
    ],
)
def test_a_drug_that_nobody_can_name_is_told(drug: Resource, words: str, tmp_path: Path) -> None:
    """With `without_row` the patient would count as not treated."""
    taken = {"resourceType": "MedicationStatement", "id": "t", "status": "active", "effectiveDateTime": "2020-02-01"}
    resources = [taken | of("a") | drug, {"resourceType": "Medication", "id": "bare"}, patient("a"), diagnosis("a")]
    mapping = with_marker("fhir_medications", THERAPY)
    assert words in notes(imported(tmp_path, [*resources, AWAKE], mapping=mapping))
    with pytest.raises(InvalidInput, match=r"has no code, or none of the usual .*\(1 row\).*without_code"):
        imported(tmp_path, [*resources, AWAKE], mapping=mapping.replace(LEFT_OUT, ""))


OUR, PHARMACY = "https://our.example/fhir", "https://drugs.example/fhir"
SERVERS = f'servers = {{ "{OUR}" = ["."], "{PHARMACY}/" = ["catalogue"] }}'


@pytest.mark.parametrize(
    ("reference", "given"),
    [
        (f"{PHARMACY}/Medication/7", 1),
        (f"{PHARMACY}/Medication/7/_history/2", 1),
        ("Medication/7", 0),
        (f"{OUR}/Medication/7", 0),
        (f"{PHARMACY}/Medication/9", None),
    ],
)
def test_a_catalogue_on_a_server_of_its_own_has_ids_of_its_own(
    reference: str, given: int | None, tmp_path: Path
) -> None:
    """A bulk export has no addresses, so that the mapping says whose its files are."""
    own: Resource = {"resourceType": "Medication", "id": "7", "code": concept(ATC, "B05BB02")}
    taken: Resource = {"resourceType": "MedicationStatement", "id": "t", "status": "active"} | of("a")
    taken |= {"effectiveDateTime": "2020-02-01", "medicationReference": {"reference": reference}}
    mapping = with_marker("fhir_medications", THERAPY).replace(LEFT_OUT, "")
    resources = [patient("a"), diagnosis("a"), AWAKE, taken, own]
    (tmp_path / "fhir" / "catalogue").mkdir(parents=True)
    (tmp_path / "fhir" / "catalogue" / "Medication.ndjson").write_text(json.dumps(own | DRUG_ITSELF))
    with pytest.raises(InvalidInput, match="Name each server, with the files that are its, under servers"):
        imported(tmp_path, resources, mapping=mapping)
    mapping = mapping.replace('path = "fhir"', f'path = "fhir"\n{SERVERS}')
    if given is None:
        with pytest.raises(InvalidInput, match="without_code"):
            imported(tmp_path, resources, mapping=mapping)
    else:
        assert cells(imported(tmp_path, resources, mapping=mapping))["a"]["ecog"] == given


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (SERVERS.replace('"catalogue"', '"elsewhere"'), "servers: names a file that is not there"),
        (SERVERS.replace(PHARMACY, "https://x.example"), r"of a server that is not under servers \(1 row\)"),
        (SERVERS.replace(OUR, "our.example/fhir"), "servers: has what is no address"),
        (f"one_server = true\n{SERVERS}", "servers: stands beside one_server"),
        ("one_server = false", "one_server: says nothing as false"),
    ],
)
def test_servers_that_cannot_be_so_are_refused(said: str, told: str, tmp_path: Path) -> None:
    taken: Resource = {"resourceType": "MedicationStatement", "id": "t", "status": "active"} | of("a")
    taken |= {"medicationReference": {"reference": f"{PHARMACY}/Medication/7"}}
    (tmp_path / "fhir" / "catalogue").mkdir(parents=True)
    mapping = with_marker("fhir_medications", THERAPY).replace('path = "fhir"', f'path = "fhir"\n{said}')
    with pytest.raises(InvalidInput, match=told):
        imported(tmp_path, [patient("a"), diagnosis("a"), AWAKE, taken], mapping=mapping)


def test_a_laboratorys_server_has_patients_of_its_own_who_are_known_by_an_identifier(tmp_path: Path) -> None:
    def known(name: str, number: str) -> Resource:
        return patient(name, identifier=[{"system": "urn:mrn", "value": number}])

    def at(server: str, *resources: Resource) -> list[tuple[str | None, Resource]]:
        return [(f"{server}/{each['resourceType']}/{each['id']}", each) for each in resources]

    here = at(OUR, known("1", "M1"), known("2", "M2"), diagnosis("1"), diagnosis("2"), AWAKE | of("1") | {"id": "o"})
    there = at(PHARMACY, known("1", "M2"), crp(7.5, "1") | {"id": "o"}, AWAKE | of("1") | {"id": "p"})
    named = SERVERS.replace('"catalogue"', "")
    mapping = MAPPING.replace('path = "fhir"', f'path = "fhir"\n{named}')
    with pytest.raises(InvalidInput, match=r"patients of several servers.*identifier"):
        bundles(tmp_path, here, there, mapping=mapping)
    mapping = mapping.replace(named, f'{named}\nidentifier = "urn:mrn"')
    found = cells(bundles(tmp_path, here, there, mapping=mapping))
    assert {name: row["crp"] for name, row in found.items()} == {"M1": None, "M2": 7.5}


def test_a_death_of_nobody_is_refused_unless_the_mapping_leaves_others_out(tmp_path: Path) -> None:
    """Whoever died would be alive."""
    lost = observation("z", "2020-05-01", code="184305005") | {"code": concept(SNOMED, "184305005")}
    with pytest.raises(InvalidInput, match=r"tell the death of nobody .*\(1 row\).*of_nobody"):
        imported(tmp_path, [*two_patients(), lost])
    mapping = changed(('part = "fhir_patients"', 'part = "fhir_patients"\nof_nobody = "leave_out"'))
    assert "1 resources tell the death of nobody" in notes(imported(tmp_path, [*two_patients(), lost], mapping=mapping))


S1 = "http://s1.example/fhir/"


@pytest.mark.parametrize(
    ("patients", "reference", "given"),
    [
        (S1, "http://pharmacy.example/fhir/Medication/m", 0),
        (S1, "https://s1.example/fhir/Medication/m/_history/3", 1),
        (S1, "Medication/m", 1),
        (None, "http://pharmacy.example/fhir/Medication/m", None),  # nobody knows which server is this one
        (None, "Medication/m", 1),
    ],
)
@pytest.mark.parametrize("addressed", [True, False])
def test_a_medication_of_another_server_is_another_drug(
    patients: str | None, reference: str, given: int | None, addressed: bool, tmp_path: Path
) -> None:
    """And is told, since a row of which nobody knows the drug is none that was not given."""
    medication: Resource = {"resourceType": "Medication", "id": "m", "code": concept(ATC, "L01XA01")}
    taken = {"resourceType": "MedicationStatement", "id": "t", "status": "active", "effectiveDateTime": "2020-02-01"}
    taken |= of("a") | {"medicationReference": {"reference": reference}}
    listed: list[tuple[str | None, Resource]] = [(patients and f"{S1}Patient/a", patient("a")), (None, diagnosis("a"))]
    listed += [(None, AWAKE), (None, taken), (f"{S1}Medication/m" if addressed and patients else None, medication)]
    mapping = with_marker("fhir_medications", THERAPY)
    if given is None:
        with pytest.raises(InvalidInput, match=SEVERAL):
            bundles(tmp_path, listed, mapping=mapping)
        mapping, given = mapping.replace('path = "fhir"', 'path = "fhir"\none_server = true', 1), 1
    found = bundles(tmp_path, listed, mapping=mapping)
    assert cells(found)["a"]["ecog"] == given
    assert ("1 rows name a medication that is not among" in notes(found)) != given


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"code": concept(ATC, "L01XA01")}, {"code": concept(ATC, "B05BB01")}, False),
        ({"code": {"text": "Cisplatin"}}, {"code": concept(ATC, "L01XA01")}, False),
        ({"code": concept("http://www.whocc.no/atc", "L01XA01")}, {"code": concept(ATC, "L01XA01")}, True),
    ],
)
def test_copies_of_one_medication_are_of_one_drug(one: Resource, other: Resource, same: bool, tmp_path: Path) -> None:
    """Servers number drugs alike, and the newest would be everybody's."""
    drug = {"resourceType": "Medication", "id": "1"}
    taken = {"resourceType": "MedicationStatement", "id": "t", "status": "active", "effectiveDateTime": "2020-02-01"}
    taken |= of("a") | {"medicationReference": {"reference": "Medication/1"}}
    resources = [patient("a"), diagnosis("a"), AWAKE, taken, *versions(drug | one, drug | other)]
    mapping = with_marker("fhir_medications", THERAPY)
    if not same:
        with pytest.raises(InvalidInput, match=UNLIKE):
            imported(tmp_path, resources, mapping=mapping)
        mapping = mapping.replace('path = "fhir"', 'path = "fhir"\none_server = true', 1)
    found = imported(tmp_path, resources, mapping=mapping)
    assert cells(found)["a"]["ecog"] == (other["code"] != concept(ATC, "B05BB01"))
    assert "1 are copies or older versions" in notes(found)


@pytest.mark.parametrize("system", ["http://www.nlm.nih.gov/research/umls/rxnorm", ""])
def test_resources_without_a_code_of_the_usual_system_are_told(system: str, tmp_path: Path) -> None:
    """Who was treated by another code counts as not treated."""
    taken: Resource = {"resourceType": "MedicationStatement", "status": "active", "effectiveDateTime": "2020-02-01"}
    drugs = [DRUG, {"medicationCodeableConcept": concept(system, "309311") if system else {"text": "Cisplatin"}}]
    resources = [taken | {"id": str(n)} | of("a") | drug for n, drug in enumerate(drugs)]
    found = imported(
        tmp_path,
        [*resources, patient("a"), diagnosis("a"), AWAKE],
        mapping=with_marker("fhir_medications", THERAPY),
    )
    assert notes(found).count("1 resources have no code of the usual system") == 1


def test_resources_without_a_code_of_the_system_that_is_named_are_told(tmp_path: Path) -> None:
    text = changed(('part = "fhir_observations"', f'part = "fhir_observations"\nsystem = "{SNOMED}"'))
    found = imported(tmp_path, two_patients(), mapping=text)
    assert "3 resources have no code of the system that the mapping names, and give no row" in notes(found)


def test_the_first_systemic_therapy_can_be_time_zero(tmp_path: Path) -> None:
    mapping = with_marker("fhir_medications", '[[marker]]\nname = "ecog"\nnot_measured = true\n')
    mapping = mapping.replace("[time_zero]", 'keep = { code = ["L01*"] }\n[time_zero]\nsource = "extra"')
    given = [
        {"resourceType": "MedicationAdministration", "id": day, "status": "completed", "effectiveDateTime": day}
        for day in ("2020-02-10", "2020-02-01", "2020-02-20")
    ]
    before = given[0] | {
        "id": "n",
        "effectiveDateTime": "2020-01-12",
        "medicationCodeableConcept": concept("x", "N02BE01"),
    }
    resources = [patient("a"), diagnosis("a"), AWAKE, *(each | of("a") | DRUG for each in given), before | of("a")]
    assert cells(imported(tmp_path, resources, mapping=mapping))["a"]["days"] == 29.0


def gene(name: str, ident: str, *, code: str = "69548-6", presence: str | None = "LA9633-4") -> Resource:
    studied = {"coding": [{"system": "http://www.genenames.org", "code": "HGNC:1", "display": name}]}
    value = {} if presence is None else {"valueCodeableConcept": concept(LOINC, presence)}
    part = [{"code": concept(LOINC, "48018-6"), "valueCodeableConcept": studied}]
    return observation("a", "2020-01-15", code, ident, component=part, **value)


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        ([gene("TP53", "v")], 1),
        ([gene("TP53", "v"), gene("TP53", "r", code="53041-0", presence=None)], 1),
        ([gene("TP53", "r", code="53041-0", presence=None)], 0),
        ([gene("TP53", "v", presence="LA9634-2")], 0),
        ([gene("TP53", "v", presence="LA18198-4")], None),  # no call
        ([gene("KRAS", "v")], None),
    ],
)
def test_a_gene_that_was_not_studied_is_not_measured(found: list[Resource], wanted: int | None, tmp_path: Path) -> None:
    marker = '[[marker]]\nname = "ecog"\nsource = "extra"\ncolumn = "TP53"\n'
    mapping = with_marker("fhir_variants", marker + 'take = "max"\n')
    assert (
        cells(imported(tmp_path, [patient("a"), diagnosis("a"), AWAKE, *found], mapping=mapping))["a"]["ecog"] == wanted
    )


def test_of_a_gene_that_is_nearly_written_so_the_mapping_says_whether_it_is_one(tmp_path: Path) -> None:
    marker = '[[marker]]\nname = "ecog"\nsource = "extra"\ncolumn = "TP53"\ntake = "max"\n'
    mapping = with_marker("fhir_variants", marker)
    resources = [
        patient("a"),
        diagnosis("a"),
        AWAKE,
        gene("Tp-53", "v"),
        gene("TP53", "r", code="53041-0", presence=None),
    ]
    with pytest.raises(InvalidInput, match="would be a gene of the mapping but for"):
        imported(tmp_path, resources, mapping=mapping)
    for said, wanted in (("alike", 1), ("differ", 0)):
        text = mapping.replace('part = "fhir_variants"', f'part = "fhir_variants"\nnear_words = "{said}"')
        assert cells(imported(tmp_path, resources, mapping=text))["a"]["ecog"] == wanted


def test_a_variant_of_which_nobody_knows_the_patient_is_refused_unless_the_mapping_leaves_it_out(
    tmp_path: Path,
) -> None:
    """Of a patient whose region was studied it would be 0."""
    marker = '[[marker]]\nname = "ecog"\nsource = "extra"\ncolumn = "TP53"\ntake = "max"\n'
    mapping = with_marker("fhir_variants", marker)
    lost = gene("TP53", "v") | {"subject": {"reference": "Group/1"}}
    resources = [patient("a"), diagnosis("a"), AWAKE, gene("TP53", "r", code="53041-0", presence=None), lost]
    with pytest.raises(InvalidInput, match="is of nobody in the study, where a patient without a row has something"):
        imported(tmp_path, resources, mapping=mapping)
    mapping = mapping.replace('part = "fhir_variants"', 'part = "fhir_variants"\nof_nobody = "leave_out"')
    assert cells(imported(tmp_path, resources, mapping=mapping))["a"]["ecog"] == 0


def test_a_diagnosis_of_icd_10_is_preferred_to_other_codes(tmp_path: Path) -> None:
    both = {"coding": [{"system": SNOMED, "code": "254637007"}, {"system": ICD_10, "code": "c34.1"}]}
    assert "a" in cells(imported(tmp_path, [patient("a"), diagnosis("a") | {"code": both}, AWAKE]))


@pytest.mark.parametrize("written", ["C34*", "c34*", "c34.1"])
@pytest.mark.parametrize("told", ["C34.1", "c34.1"])
@pytest.mark.parametrize("system", ["", f'system = "{ICD_10}"\n'])
def test_capitals_of_icd_10_mean_nothing(system: str, told: str, written: str, tmp_path: Path) -> None:
    """In the data, in the mapping, and whether it names the system."""
    mapping = changed(('keep = { code = ["C34*"] }', f'{system}keep = {{ code = ["{written}"] }}'))
    assert "a" in cells(imported(tmp_path, [patient("a"), diagnosis("a", code=told), AWAKE], mapping=mapping))


# --- what is no more than suspected or planned

SURE = "http://fhir.de/StructureDefinition/icd-10-gm-diagnosesicherheit"


def diagnosed(name: str, *, verification: str = "", sure: str = "") -> Resource:
    code = concept(ICD_10, "C34.1")
    if sure:
        code["coding"][0]["extension"] = [{"url": SURE, "valueCoding": {"code": sure}}]
    return (
        diagnosis(name) | {"code": code} | ({"verificationStatus": concept("x", verification)} if verification else {})
    )


@pytest.mark.parametrize("verification", ["unconfirmed", "provisional", "differential", "refuted", "entered-in-error"])
def test_a_suspected_diagnosis_makes_nobody_a_patient_of_the_study(verification: str, tmp_path: Path) -> None:
    found = imported(tmp_path, [*two_patients()[3:], patient("a"), AWAKE, diagnosed("a", verification=verification)])
    assert list(cells(found)) == ["b"]
    sure = verification in ("refuted", "entered-in-error")
    words = "1 were entered in error, cancelled, refuted or not done" if sure else "1 rows are only suspected"
    assert words in notes(found)


SURE_OR_NOT: dict[str, Resource] = {
    "silent": {},
    "confirmed": {"verification": "confirmed"},
    "unconfirmed": {"verification": "unconfirmed"},
    "provisional": {"verification": "provisional"},
    "G": {"sure": "G"},
    "Z": {"sure": "Z"},
    "V": {"sure": "V"},
    "G and confirmed": {"sure": "G", "verification": "confirmed"},
}
NOT_DOUBTED = ["silent", "confirmed", "G", "Z", "G and confirmed"]


@pytest.mark.parametrize(
    ("listed", "more", "suspected"),
    [
        (["confirmed", "unconfirmed"], ["unconfirmed"], 2),
        (["confirmed", "V"], ["V"], 2),
        (["confirmed"], [], 3),
        (["*"], ["unconfirmed", "provisional", "V"], 0),
    ],
)
def test_which_suspected_diagnoses_count_a_mapping_may_say(
    listed: list[str], more: list[str], suspected: int, tmp_path: Path
) -> None:
    """Some hospitals write it at every diagnosis, and those without a status count as before."""
    mapping = changed(('code = ["C34*"]', f'code = ["C34*"], verification = {json.dumps(listed)}'))
    resources = []
    for number, each in enumerate(SURE_OR_NOT.values()):
        resources += [patient(f"p{number}"), diagnosed(f"p{number}", **each), observation(f"p{number}", "2020-03-01")]
    found = imported(tmp_path, resources, mapping=mapping)
    names = {f"p{number}": name for number, name in enumerate(SURE_OR_NOT)}
    assert {names[each] for each in cells(found)} == {*NOT_DOUBTED, *more}
    assert ("rows are only suspected" in notes(found)) is (suspected > 0)
    assert not suspected or f"{suspected} rows are only suspected" in notes(found)


def test_a_confirmed_diagnosis_is_so_whatever_else_is_coded_there(tmp_path: Path) -> None:
    """The German core data set tells there how a tumour was confirmed, too."""
    mapping = changed(('code = ["C34*"]', 'code = ["C34*"], verification = ["confirmed"]'))
    told = {"verificationStatus": {"coding": [{"system": "how", "code": "7"}, {"system": "x", "code": "confirmed"}]}}
    assert "a" in cells(imported(tmp_path, [patient("a"), diagnosis("a") | told, AWAKE], mapping=mapping))


def test_where_all_diagnoses_are_suspected_that_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="names no patient") as refused:
        imported(tmp_path, [patient("a"), AWAKE, diagnosed("a", verification="unconfirmed")])
    assert "1 rows are only suspected and do not count, unless keep names their verification" in str(refused.value)


@pytest.mark.parametrize(("verification", "days"), [("provisional", 457.0), ("refuted", 51.0)])
def test_who_was_suspected_to_be_ill_was_seen(verification: str, days: float, tmp_path: Path) -> None:
    suspected = diagnosis("a", "2021-04-11", "C78.0", verificationStatus=concept("x", verification))
    assert cells(imported(tmp_path, [patient("a"), diagnosis("a"), AWAKE, suspected]))["a"]["days"] == days


@pytest.mark.parametrize(("sure", "counts"), [("A", False), ("V", False), ("G", True), ("Z", True)])
def test_the_certainty_of_a_german_diagnosis_counts(sure: str, counts: bool, tmp_path: Path) -> None:
    """A: excluded, V: suspected, G: certain, Z: was so."""
    found = imported(tmp_path, [*two_patients()[3:], patient("a"), AWAKE, diagnosed("a", sure=sure)])
    assert ("a" in cells(found)) is counts


def test_what_is_ordered_or_planned_is_no_contact(tmp_path: Path) -> None:
    ordered = observation("a", "2021-05-01", "8310-5", status="registered")
    stay = {"resourceType": "Encounter", "id": "e", "status": "in-progress"} | of("a")
    days = []
    for end in ("2020-06-01", "2090-06-01"):  # a status that nobody has changed since, and a plan
        (tmp_path / end).mkdir()
        period = {"start": "2020-02-01", "end": end}
        listed = [patient("a"), diagnosis("a"), crp(7.5), ordered, stay | {"period": period}]
        days.append(cells(imported(tmp_path / end, listed))["a"]["days"])
    assert days == [143.0, 22.0]


@pytest.mark.parametrize("status", ["finished", "completed", "onleave", "unknown"])
def test_the_end_of_a_stay_is_a_contact_whatever_its_status(status: str, tmp_path: Path) -> None:
    stay = {"resourceType": "Encounter", "id": "e", "status": status, "period": {"end": "2020-06-01"}} | of("a")
    assert cells(imported(tmp_path, [patient("a"), diagnosis("a"), AWAKE, stay]))["a"]["days"] == 143.0


def test_a_cause_of_death_that_is_not_sure_is_a_death(tmp_path: Path) -> None:
    """Death certificates often say "provisional": of what somebody died, not whether."""
    cause = diagnosed("a", verification="provisional") | {"id": "cause", "category": [concept(LOINC, "79378-6")]}
    with pytest.raises(InvalidInput, match="has an event without a date"):
        imported(tmp_path, [patient("a"), diagnosis("a"), AWAKE, cause, *two_patients()[3:]])


def test_patients_without_an_id_are_no_versions_of_one_another(tmp_path: Path) -> None:
    path = write(tmp_path, [])
    for number in ("1", "2"):
        who = {key: value for key, value in patient().items() if key != "id"}
        who |= {
            "identifier": [{"system": "urn:x", "value": number}],
            "meta": {"lastUpdated": f"2021-01-0{number}T00:00:00Z"},
        }
        entries = [{"fullUrl": "urn:uuid:1111", "resource": who}]
        (tmp_path / "fhir" / f"{number}.json").write_text(json.dumps({"resourceType": "Bundle", "entry": entries}))
    with pytest.raises(InvalidInput, match="say different things"):
        import_cohort(read_mapping(path))
