"""What a hospital tells in another place, order or spelling than usual: is it found, told or asked, and never lost?"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.omop_models import MODEL, with_example
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

from oncofed.client.importing.cohort_import import import_cohort
from oncofed.client.importing.mapping_file import read_mapping
from oncofed.client.importing.units import contradict
from oncofed.errors import InvalidInput
from studies.omop.make_omop import written

# --- genes of variants

HGNC, NCBI = "http://www.genenames.org/geneId", "http://www.ncbi.nlm.nih.gov/gene"
OF_VARIANTS = OF_FHIR.rpartition("[[marker]]")[0].replace(
    "[time_zero]", '[[source]]\nname = "variants"\npath = "fhir"\npart = "fhir_variants"\n[time_zero]'
)


def asking(gene: str) -> str:
    return f'{OF_VARIANTS}[[marker]]\nname = "ecog"\nsource = "variants"\ncolumn = "{gene}"\n'


NUMBER = {"system": HGNC, "code": "HGNC:11998"}
SYMBOL = NUMBER | {"display": "TP53"}
PRESENT = {"valueCodeableConcept": concept(LOINC, "LA9633-4")}


def of_gene(who: str, gene: Resource | None, *, code: str = "69548-6", **content: object) -> Resource:
    parts = [] if gene is None else [{"code": concept(LOINC, "48018-6")} | gene]
    return observation(who, code=code, ident=f"v-{who}-{code}", component=parts) | content


def with_variant(gene: Resource | None, *, studied: Resource | None = None) -> list[Resource]:
    """`b` has it, and was studied for TP53."""
    region = of_gene("b", studied or {"valueCodeableConcept": {"coding": [SYMBOL]}}, code="53041-0")
    return [*two_patients(), region, of_gene("b", gene) | PRESENT]


@pytest.mark.parametrize(
    "gene",
    [
        {"valueCodeableConcept": {"coding": [SYMBOL]}},
        {"valueCodeableConcept": {"coding": [NUMBER | {"display": "tumor protein p53"}], "text": "TP53"}},
        {"valueCodeableConcept": {"coding": [{"system": NCBI, "code": "7157"}, SYMBOL]}},
        {"valueCodeableConcept": {"coding": [{"system": NCBI, "code": "1", "display": "KRAS"}, SYMBOL]}},
        {"valueCodeableConcept": {"text": "TP53"}},
        {"valueCodeableConcept": {"coding": [{"system": "urn:symbols", "code": "TP53", "display": "the gene"}]}},
        {"valueString": "TP53"},
    ],
)
def test_a_gene_is_found_by_any_of_its_names(gene: Resource, tmp_path: Path) -> None:
    found = cells(of_resources(tmp_path, with_variant(gene), mapping=asking("TP53")))
    assert found["b"]["ecog"] == 1
    found = cells(of_resources(tmp_path, with_variant(None)[:-1], mapping=asking("TP53")))
    assert found["b"]["ecog"] == 0


@pytest.mark.parametrize(
    "gene",
    [
        {"valueCodeableConcept": {"coding": [NUMBER]}},
        {"valueCodeableConcept": {"coding": [NUMBER | {"display": "tumor protein p53"}]}},
        {"valueCodeableConcept": {"coding": [{"system": "urn:ensembl", "code": "ENSG00000141510"}]}},
        {},
        None,
    ],
)
def test_a_variant_of_a_gene_that_nobody_can_name_is_asked_where_its_patient_would_have_none(
    gene: Resource | None, tmp_path: Path
) -> None:
    text = asking("TP53")
    with pytest.raises(InvalidInput, match=r"names no gene by its symbol, and its patient would have 0 .*\(1 row\)"):
        of_resources(tmp_path, with_variant(gene), mapping=text)
    resources = with_variant(gene)
    resources[-1] |= {"valueCodeableConcept": concept(LOINC, "LA9634-2")}  # it is absent
    assert cells(of_resources(tmp_path, resources, mapping=text))["b"]["ecog"] == 0
    del resources[-2]  # and where no gene was studied nobody has 0
    resources[-1] |= PRESENT
    assert cells(of_resources(tmp_path, resources, mapping=text))["b"]["ecog"] is None


def test_a_mapping_may_name_a_gene_by_its_number(tmp_path: Path) -> None:
    resources = with_variant({"valueCodeableConcept": {"coding": [NUMBER]}})
    found = cells(of_resources(tmp_path, resources, mapping=asking("HGNC:11998")))
    assert found["b"]["ecog"] == 1


def test_every_gene_of_a_region_was_studied(tmp_path: Path) -> None:
    both = {"valueCodeableConcept": {"coding": [SYMBOL, {"system": HGNC, "code": "HGNC:6407", "display": "KRAS"}]}}
    resources = with_variant(None, studied=both)[:-1]
    for gene in ("TP53", "KRAS"):
        assert cells(of_resources(tmp_path, resources, mapping=asking(gene)))["b"]["ecog"] == 0


# --- deaths

GROUND = "http://fhir.de/StructureDefinition/Entlassungsgrund"
GROUNDS = "http://fhir.de/CodeSystem/dkgev/EntlassungsgrundErsteUndZweiteStelle"
DISPOSITION = "http://terminology.hl7.org/CodeSystem/discharge-disposition"


def german(code: str) -> Resource:
    part = {"url": "ErsteUndZweiteStelle", "valueCoding": {"system": GROUNDS, "code": code}}
    return {"extension": [{"url": GROUND, "extension": [part]}]}


def stay(disposition: Resource, *, end: str = "2020-08-07") -> Resource:
    """Of `b`; its end is the 210th day."""
    own: Resource = {
        "resourceType": "Encounter",
        "id": "stay",
        "status": "finished",
        "subject": {"reference": "Patient/b"},
    }
    return own | {
        "period": {"start": "2020-08-01", "end": end},
        "hospitalization": {"dischargeDisposition": disposition},
    }


@pytest.mark.parametrize(
    ("disposition", "died"),
    [
        (concept(DISPOSITION, "exp"), 1),
        (concept("https://www.nubc.org/CodeSystem/PatDischargeStatus", "20"), 1),
        (concept("http://terminology.hl7.org/CodeSystem/v2-0112", "41"), 1),
        (concept(SNOMED, "371828006"), 1),
        ({"text": "Verstorben"}, 1),
        (german("07"), 1),
        (concept("http://fhir.de/CodeSystem/dkgev/Entlassungsgrund", "079"), 1),
        (german("01"), 0),
        (concept(DISPOSITION, "home"), 0),
        (concept("urn:ours", "20"), 0),
        ({"text": "hospice; not dead"}, 0),
        ({}, 0),
    ],
)
def test_a_stay_that_ended_with_a_death_tells_it(disposition: Resource, died: int, tmp_path: Path) -> None:
    found = of_resources(tmp_path, [*two_patients(), stay(disposition)])
    assert (cells(found)["b"]["days"], cells(found)["b"]["died"]) == (210, died)
    assert ("1 deaths have the day of the discharge that tells them" in notes(found)) is bool(died)


def test_the_day_of_a_death_that_is_told_comes_before_the_end_of_the_stay(tmp_path: Path) -> None:
    for own in ({"deceasedDateTime": "2020-08-06"}, {}):
        resources = two_patients()
        resources[3] |= own
        cause = observation("b", "2020-08-06") | {"id": "cause", "code": concept(SNOMED, "184305005")}
        found = cells(of_resources(tmp_path, [*resources, stay(german("07")), *([] if own else [cause])]))
        assert (found["b"]["days"], found["b"]["died"]) == (209, 1)


def status(**value: object) -> Resource:
    return observation("b", "2020-08-07", "67162-8") | value


@pytest.mark.parametrize(
    "value",
    [
        {"valueCodeableConcept": concept(SNOMED, "419099009")},
        {"valueCodeableConcept": {"coding": [{"system": "urn:ours", "code": "0", "display": "Dead"}]}},
        {"valueCodeableConcept": {"text": "Patient verstorben"}},
        {"valueString": "deceased"},
        {"valueCodeableConcept": concept("urn:ours", "Deceased")},
        {"valueCodeableConcept": concept("urn:oid:1.2", "T"), "code": concept("https://loinc.org", "67162-8")},
        {"valueCodeableConcept": concept("x", "T"), "code": concept("urn:oid:2.16.840.1.113883.6.1", "67162-8")},
    ],
)
def test_a_vital_status_may_say_dead_in_other_codes_and_words(value: Resource, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"has an event without a date \(1 row\)"):
        of_resources(tmp_path, [*two_patients(), status(**value)])


@pytest.mark.parametrize(
    ("value", "known"),
    [
        ({"valueCodeableConcept": concept(SNOMED, "438949009")}, True),
        ({"valueCodeableConcept": {"text": "Alive"}}, True),
        ({"valueString": "unknown"}, True),
        ({"valueCodeableConcept": concept("urn:ours", "alive")}, True),
        ({"valueCodeableConcept": concept("http://terminology.hl7.org/CodeSystem/v3-NullFlavor", "UNK")}, True),
        ({"dataAbsentReason": {"text": "asked"}}, True),
        ({"valueCodeableConcept": concept("urn:ours", "0")}, False),
        ({"valueBoolean": False}, False),
    ],
)
def test_a_vital_status_that_is_not_known_is_nobodys_life(value: Resource, known: bool, tmp_path: Path) -> None:
    resources = [*two_patients(), status(**value)]
    if known:
        assert cells(of_resources(tmp_path, resources))["b"]["died"] == 0
        return
    with pytest.raises(InvalidInput, match=r"tells a vital status .* that is not known, .*\(1 row\)"):
        of_resources(tmp_path, resources)


def test_a_death_of_no_subject_is_asked(tmp_path: Path) -> None:
    cause = observation(None, "2020-08-06") | {"id": "cause", "code": concept(SNOMED, "184305005")}
    with pytest.raises(InvalidInput, match=r"tell the death of nobody among the patients \(1 row\)"):
        of_resources(tmp_path, [*two_patients(), cause])


@pytest.mark.parametrize("system", ["https://loinc.org", "http://loinc.org/", "urn:oid:2.16.840.1.113883.6.1"])
def test_loinc_is_known_by_its_other_addresses(system: str, tmp_path: Path) -> None:
    both = {"coding": [{"system": "urn:ours", "code": "CRP"}, {"system": system, "code": "1988-5"}]}
    resources = two_patients()
    resources[2] |= {"code": both}
    for said in ("", f'system = "{system}"'):
        text = OF_FHIR.replace('part = "fhir_observations"', f'part = "fhir_observations"\n{said}')
        assert cells(of_resources(tmp_path, resources, mapping=text))["a"]["crp"] == 7.5


# --- what a folder of resources lacks, or holds beside them


def test_files_that_are_not_read_are_told(tmp_path: Path) -> None:
    assert "are not read" not in notes(of_resources(tmp_path, two_patients()))
    for name in ("bundle.xml", "more/Observation.ndjson.zip", ".DS_Store"):
        (tmp_path / "fhir" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "fhir" / name).write_text("x")
    found = import_cohort(read_mapping(tmp_path / "mapping.toml"))
    assert "2 files are none of .json, .ndjson or .jsonl (or these packed as .gz), and are not read" in notes(found)


def page(number: int, resources: list[Resource], *, last: bool = False) -> Resource:
    links = [{"relation": "self", "url": f"https://s.example/Patient?page={number}"}]
    links += [] if last else [{"relation": "next", "url": f"https://s.example/Patient?page={number + 1}"}]
    entries = [{"resource": each} for each in resources]
    return {"resourceType": "Bundle", "type": "searchset", "link": links, "entry": entries}


def test_a_page_that_should_follow_and_is_not_there_is_told(tmp_path: Path) -> None:
    told = "1 bundles name a next page (link) that is not here by its address"
    first, *others = two_patients()
    assert told in notes(of_resources(tmp_path, [page(1, [first]), page(2, others)]))
    assert told not in notes(of_resources(tmp_path, [page(1, [first]), page(2, others, last=True)]))
    (tmp_path / "fhir" / "bundle.json").write_text(json.dumps(page(7, [patient("c")])))
    assert told in notes(import_cohort(read_mapping(tmp_path / "mapping.toml")))


@pytest.mark.parametrize(
    "reference",
    [
        "Patient?identifier=urn:clinic|4711",
        "Patient?identifier=urn%3Aclinic%7C4711",
        "https://server.example/fhir/Patient?identifier=urn:clinic|4711",
    ],
)
def test_a_transaction_refers_to_whoever_has_an_identifier(reference: str, tmp_path: Path) -> None:
    resources = two_patients()
    resources[0] |= {"identifier": [{"system": "urn:clinic", "value": "4711"}]}
    later = crp(9.5, "a", "2020-01-10", ident="later") | {"subject": {"reference": reference}}
    assert cells(of_resources(tmp_path, [*resources, later]))["a"]["crp"] == 9.5
    lost = of_resources(tmp_path, [*two_patients(), later])
    assert (cells(lost)["a"]["crp"], "have a subject that cannot be found" in notes(lost)) == (7.5, True)


def test_two_records_of_one_person_are_told_where_both_count(tmp_path: Path) -> None:
    told = "1 patients are linked to another record of the same person (seealso, refer), and both count"
    number = {"identifier": [{"system": "urn:clinic", "value": "4711"}]}
    other = {"type": "Patient", "identifier": {"system": "urn:clinic", "value": "4711"}}
    for kind, patients, is_told in (("seealso", 3, True), ("refer", 3, True), ("replaced-by", 2, False)):
        again = patient("c", link=[{"type": kind, "other": other}])
        resources = two_patients()
        resources[0] |= number
        found = of_resources(tmp_path, [*resources, again, diagnosis("c"), observation("c", "2020-02-01")])
        assert (len(cells(found)), told in notes(found)) == (patients, is_told)


def test_drugs_that_were_ordered_are_told_where_those_given_are_read(tmp_path: Path) -> None:
    drug = {"medicationCodeableConcept": concept("http://www.whocc.no/atc", "L01FF01")}
    given: Resource = {"resourceType": "MedicationStatement", "id": "g", "status": "active"}
    ordered: Resource = {"resourceType": "MedicationRequest", "id": "o", "status": "active"}
    text = OF_FHIR.rpartition("[[marker]]")[0].replace(
        "[time_zero]", '[[source]]\nname = "drugs"\npath = "fhir"\npart = "fhir_medications"\n[time_zero]'
    )
    text += '[[marker]]\nname = "ecog"\nsource = "drugs"\ncodes = ["L01FF*"]\nwithout_row = "0"\n'
    found = of_resources(tmp_path, [*two_patients(), given | of("a") | drug, ordered | of("b") | drug], mapping=text)
    assert [cells(found)[who]["ecog"] for who in "ab"] == [1, 0]
    assert "1 orders (MedicationRequest) tell no drug that was given, and do not count" in notes(found)


# --- parts of a table of OMOP


def model(folder: Path) -> Path:
    written(folder / "cdm", MODEL)
    return with_example(folder)


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("death_2.csv", "death"),
        ("DEATH (1).CSV", "death"),
        ("death-part-b.csv.gz", "death"),
        ("death - Kopie.csv", "death"),
        ("condition_occurrence_02.csv", "condition_occurrence"),
        ("measurement.2021.parquet", "measurement"),
        ("measurement2021.csv", "measurement"),
        ("observation_period_2.csv", "observation_period"),
        ("observation_old.csv", None),
        ("observation_period_old.csv", None),
        ("death_2.txt.sha256", None),
    ],
)
def test_a_file_that_may_be_a_part_of_a_table_is_asked(name: str, table: str | None, tmp_path: Path) -> None:
    """Else its deaths would be of the living, and its diagnoses of nobody."""
    mapping = model(tmp_path)
    import_cohort(read_mapping(mapping))
    (tmp_path / "cdm" / name).write_bytes(b"")
    if table is None:
        import_cohort(read_mapping(mapping))
        return
    with pytest.raises(InvalidInput, match=f"table {table}: has (files beside|2 files)"):
        import_cohort(read_mapping(mapping))


def test_parts_of_a_table_that_lie_deeper_are_asked(tmp_path: Path) -> None:
    mapping = model(tmp_path)
    folder = tmp_path / "cdm" / "deaths"
    folder.mkdir()
    (tmp_path / "cdm" / "death.csv").rename(folder / "death.csv")
    folder.rename(tmp_path / "cdm" / "death")
    import_cohort(read_mapping(mapping))
    deeper = tmp_path / "cdm" / "death" / "year=2021" / "part-0.csv"
    deeper.parent.mkdir()
    deeper.write_text("person_id,death_date\n")
    with pytest.raises(InvalidInput, match="table death: has files beside that of the table"):
        import_cohort(read_mapping(mapping))


def test_a_table_of_contacts_in_parts_of_other_names_is_asked(tmp_path: Path) -> None:
    """Else the last contact would be an earlier one."""
    mapping = model(tmp_path)
    (tmp_path / "cdm" / "visit_occurrence.csv").rename(tmp_path / "cdm" / "visit_occurrence_1.csv")
    with pytest.raises(InvalidInput, match="table visit_occurrence: has no file"):
        import_cohort(read_mapping(mapping))


# --- a number, a code, a unit or a column that may be another


@pytest.mark.parametrize(("cell", "value"), [("1,500", 1500), ("12,500", 12500), ("0,500", None), ("00,500", None)])
def test_what_begins_with_zero_has_no_thousands(cell: str, value: float | None, tmp_path: Path) -> None:
    """A half, as another program writes it, was 500."""
    rows = f'id,day,code,number,unit\n1,2021-01-01,crp,"{cell}",mg/l\n'
    schema = SCHEMA.replace("[0, 1000]", "[0, 100000]")

    def read() -> float:
        found = imported(
            tmp_path, rows, unit="mg/l", marker='codes = ["crp"]', source='thousands = "comma"', schema=schema
        )
        return float(found.table["value"][0].as_py())

    if value is not None:
        assert read() == value
        return
    with pytest.raises(InvalidInput, match=r"is not a number \(1 row\)"):
        read()


GRADES = SCHEMA.partition("[[marker]]")[0] + (
    '[[marker]]\nname = "value"\nmodality = "clinical"\nkind = "categorical"\n'
    'categories = ["1", "2", "3", "high"]\nreference_category = "1"\n'
)


def test_a_code_that_words_leave_out_is_no_category_of_the_same_number(tmp_path: Path) -> None:
    rows = "id,day,code,number,unit\n1,2021-01-01,grade,{},\n2,2021-01-01,grade,high,\n"
    words = '{ "1" = "2", "2" = "3" }'

    def read(cell: str, words: str = words) -> list[str | None]:
        marker = f'codes = ["grade"]\nwords = {words}'
        found = imported(tmp_path, rows.format(cell), unit="", marker=marker, schema=GRADES)
        cells: list[str | None] = found.table["value"].to_pylist()
        return cells

    assert read("2") == ["3", "high", None]
    assert read("2.0", words='{ "true" = "1", "2" = "2" }') == ["2", "high", None]
    assert read("3", words='{ "hi" = "high" }') == ["3", "high", None]
    for cell in ("3", "3.0"):
        with pytest.raises(InvalidInput, match=r"is a word that the mapping does not list \(1 row\)"):
            read(cell)


def test_of_two_categories_of_a_day_none_is_the_higher(tmp_path: Path) -> None:
    rows = "id,day,code,number,unit\n1,2021-01-01,grade,1,\n1,2021-01-01,grade,high,\n"
    marker = 'codes = ["grade"]\ntake = "last"\nsame_day = "highest"'
    with pytest.raises(InvalidInput, match="same_day: needs numbers, and its marker has categories"):
        imported(tmp_path, rows, unit="", marker=marker, schema=GRADES)


@pytest.mark.parametrize(
    ("first", "second", "apart"),
    [
        ("mg/L", "mg/dL", True),
        ("mmol/L", "mg/dl", True),
        ("1", "%", True),
        ("10*3/uL", "/µl", True),
        ("mg/L", "MG/L", False),
        ("10*9/L", "G/l", False),
        ("10*9/L", "Tsd/µl", False),
        ("[IU]/L", "U/l", False),
        ("u[IU]/mL", "mU/l", False),
        ("meq/L", "mmol/l", False),
        ("{score}", "mg/l", False),
        ("mg/L", "Milligramm", False),
    ],
)
def test_a_unit_that_its_text_contradicts_is_asked(first: str, second: str, apart: bool, tmp_path: Path) -> None:
    assert contradict(first, second) is contradict(second, first) is apart
    resources = two_patients()
    resources[2]["valueQuantity"] = {"value": 7.5, "code": "mg/L", "unit": second}
    if first == "mg/L" and apart:
        with pytest.raises(InvalidInput, match=r"has a unit that cannot be converted to \"mg/l\" \(1 row\)"):
            of_resources(tmp_path, resources)
        said = 'part = "fhir_observations"\nunit_words = { "mg/L | mg/dL" = "mg/dl" }'
        found = of_resources(tmp_path, resources, mapping=OF_FHIR.replace('part = "fhir_observations"', said))
        assert cells(found)["a"]["crp"] == 75


def test_numbers_of_a_model_whose_units_are_told_twice_are_told(tmp_path: Path) -> None:
    mapping = model(tmp_path)
    table = MODEL.tables["measurement"].copy()
    of_crp = table["measurement_concept_id"].astype(str).str.startswith("3020460")
    of_mg_l = of_crp & table["unit_concept_id"].astype(str).str.startswith("8751")
    for own, told in (("mg/dL", int(of_mg_l.sum())), ("mg/l", 0), (None, 0)):
        table.assign(unit_source_value=table["unit_source_value"].mask(of_mg_l, own)).to_csv(
            tmp_path / "cdm" / "measurement.csv", index=False
        )
        notes = import_cohort(read_mapping(mapping)).report.in_words
        assert ("of different units, and the concept counts" in notes) is bool(told)
        assert not told or f"{told:,} rows have a unit_concept_id and a unit_source_value" in notes


@pytest.mark.parametrize("header", ["id,day,code,number,number ,unit", "id,day,code, number,number,unit"])
def test_of_two_columns_that_look_alike_none_is_chosen(header: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match='column "number": has another of its name in the file, but for blanks'):
        imported(tmp_path, f"{header}\n1,2021-01-01,crp,5,7,mg/l\n", unit="mg/l", marker='codes = ["crp"]')


@pytest.mark.parametrize("encoding", ["windows-1252", "iso-8859-1", "iso-8859-15", "cp850"])
def test_a_text_of_another_encoding_than_is_said_has_no_other_letters(encoding: str, tmp_path: Path) -> None:
    mapping = MAPPING.replace('path = "patients.csv"', f'path = "patients.csv"\nencoding = "{encoding}"')
    rows, patients = "id,day,code,number,unit\nMü1,2021-01-01,crp,5,mg/l\n", PATIENTS.replace("\n1,", "\nMü1,")

    def read(text: bytes) -> list[str]:
        path = tmp_path / "patients.csv"
        imported(tmp_path, rows, unit="mg/l", marker='codes = ["crp"]', patients=patients)
        path.write_bytes(text)
        (tmp_path / "mapping.toml").write_text(mapping.format(source="", marker='codes = ["crp"]'))
        names: list[str] = import_cohort(read_mapping(tmp_path / "mapping.toml")).table["id"].to_pylist()
        return names

    assert "Mü1" in read(patients.encode(encoding))
    with pytest.raises(InvalidInput, match=f"is written in utf-8, and not in {encoding}"):
        read(patients.encode())
