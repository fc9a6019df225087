"""Which malformed mappings and sources must be refused, and what must the refusal say?

Each case is a valid mapping over two valid files with something broken in one of them. Whatever stands in `PRIVATE` is
in cells alone, so no message may hold it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

SCHEMA = """
[schema]
name = "lung"
patient_id = "patient"
site_column = "hospital"
[time]
unit = "months"
interval_bounds = [0, 6, 12, 24, 60]
[[endpoint]]
name = "overall_survival"
time = "survival_months"
event = "death_observed"
entry = "entry_months"
baseline_hazard = 0.01
[[marker]]
name = "age_years"
modality = "clinical"
kind = "continuous"
unit = "years"
plausible_range = [0, 120]
centre = 60
scale = 15
[[marker]]
name = "entity"
modality = "clinical"
kind = "categorical"
categories = ["adenocarcinoma", "squamous"]
reference_category = "adenocarcinoma"
[[marker]]
name = "log10_crp"
modality = "laboratory"
kind = "continuous"
unit = "log10(mg/l)"
plausible_range = [-2, 3]
centre = 1
scale = 1
[[marker]]
name = "albumin"
modality = "laboratory"
kind = "continuous"
unit = "g/l"
plausible_range = [8, 65]
centre = 38
scale = 5
"""

MAPPING = """
[mapping]
schema = "schema.toml"
patients = "clinic"
site_column = "Klinik"
missing = ["unbekannt"]
[[source]]
name = "clinic"
path = "clinic.csv"
separator = "semicolon"
decimal = "comma"
patient = "PatNr"
date_format = "DD.MM.YYYY"
[[source]]
name = "laboratory"
path = "laboratory.csv"
patient = "id"
date = "taken"
code = "loinc"
value = "result"
unit = "unit"
[time_zero]
column = "Diagnose"
[[outcome]]
name = "overall_survival"
event = "Vital"
yes = ["tot"]
no = ["lebt"]
event_date = "Tod"
last_contact = ["Kontakt"]
entry_date = "Aufnahme"
[[marker]]
name = "age_years"
column = "Alter"
[[marker]]
name = "entity"
column = "Histologie"
words = { Adeno = "adenocarcinoma", Platten = "squamous" }
[[marker]]
name = "log10_crp"
source = "laboratory"
codes = ["1988-5"]
analyte = "crp"
transform = "log10"
window = [-30, 0]
take = "last"
[[marker]]
name = "albumin"
source = "laboratory"
codes = ["1751-7"]
analyte = "albumin"
take = "last"
"""

CLINIC = """PatNr;Klinik;Diagnose;Vital;Tod;Kontakt;Aufnahme;Alter;Histologie
zq1;zq-A;01.02.2020;tot;17.05.2021;01.05.2021;03.02.2020;61,731;Adeno
zq2;zq-A;02.02.2020;lebt;;18.06.2021;02.02.2020;62,731;Platten
zq3;zq-B;03.02.2020;lebt;;19.06.2021;03.02.2020;63,731;unbekannt
zq4;zq-B;04.02.2020;tot;20.03.2020;04.03.2020;05.02.2020;64,731;Adeno
"""
LABORATORY = """id,taken,loinc,result,unit
zq1,2020-01-20,1988-5,7.31,mg/l
zq1,2020-01-21,1988-5,0.731,mg/dl
zq2,2020-01-20,1988-5,84.7,mg/l
zq2,2020-01-22,1751-7,38.47,g/l
zq4,2020-02-01,1751-7,3.847,g/dl
zq4,2020-02-02,1988-5,9.731,mg/l
"""

PRIVATE = ("zq", "731", "847", "17.05", "2021-", "<0")


@dataclass(frozen=True)
class MalformedImport:
    """What is broken, and the words that tell it. faults: how many there are."""

    name: str
    fragments: tuple[str, ...]
    faults: int = 1
    mapping: str = MAPPING
    schema: str = SCHEMA
    clinic: bytes = field(default_factory=CLINIC.encode)
    laboratory: bytes | None = field(default_factory=LABORATORY.encode)

    def write(self, folder: Path) -> Path:
        """The path of the mapping."""
        (folder / "schema.toml").write_text(self.schema, encoding="utf-8")
        (folder / "clinic.csv").write_bytes(self.clinic)
        if self.laboratory is not None:
            (folder / "laboratory.csv").write_bytes(self.laboratory)
        (folder / "mapping.toml").write_text(self.mapping, encoding="utf-8")
        return folder / "mapping.toml"


def changed(text: str) -> Callable[..., str]:
    def change(*pairs: tuple[str, str]) -> str:
        found = text
        for old, new in pairs:
            assert old in found, old
            found = found.replace(old, new, 1)
        return found

    return change


mapping, clinic_text, laboratory_text = changed(MAPPING), changed(CLINIC), changed(LABORATORY)


def clinic(*pairs: tuple[str, str]) -> bytes:
    return clinic_text(*pairs).encode()


def laboratory(*pairs: tuple[str, str]) -> bytes:
    return laboratory_text(*pairs).encode()


MAPPING_CASES = (
    MalformedImport("not_toml", ("mapping.toml: the file is not valid TOML",), mapping="[mapping\n"),
    MalformedImport(
        "sections_missing",
        ("[mapping]: the section is missing", "[[source]]: there is none", "[[outcome]]", "[[marker]]"),
        faults=4,
        mapping="",
    ),
    MalformedImport(
        "misspelt_keys",
        (
            '"age_years", colum: is not a known field',
            'Did you mean "column"',
            "[mapping], patient: is not a known field",
        ),
        faults=3,
        mapping=mapping(('column = "Alter"', 'colum = "Alter"'), ('patients = "clinic"', 'patient = "clinic"')),
    ),
    MalformedImport(
        "schema_missing",
        ("nothing.toml: the file does not exist",),
        mapping=mapping(("schema.toml", "nothing.toml")),
    ),
    MalformedImport(
        "schema_and_mapping_at_once",
        ("schema.toml: [time], unit", '"albumin", analyte: is not in the table of analytes', 'Did you mean "albumin"'),
        faults=2,
        schema=changed(SCHEMA)(('unit = "months"', 'unit = "month"')),
        mapping=mapping(('analyte = "albumin"', 'analyte = "albumine"')),
    ),
    MalformedImport(
        "unknown_source",
        ('[[marker]] "log10_crp", source: is no source', "[mapping], patients: is no source"),
        faults=2,
        mapping=mapping(
            ('patients = "clinic"', 'patients = "klinik"'),
            ('name = "log10_crp"\nsource = "laboratory"', 'name = "log10_crp"\nsource = "labor"'),
        ),
    ),
    MalformedImport(
        "source_twice",
        ('[[source]] "clinic": stands here 2 times',),
        mapping=mapping(('name = "laboratory"\npath', 'name = "clinic"\npath')),
        faults=3,
    ),
    MalformedImport(
        "marker_of_no_schema",
        ('[[marker]] "crp": is no marker of the schema', 'there is none for "log10_crp"'),
        faults=2,
        mapping=mapping(('name = "log10_crp"', 'name = "crp"')),
    ),
    MalformedImport(
        "outcome_of_no_schema",
        ('[[outcome]] "survival": is no endpoint', '"overall_survival"', "time and event and entry"),
        faults=2,
        mapping=mapping(('name = "overall_survival"', 'name = "survival"')),
    ),
    MalformedImport(
        "unit_that_cannot_be",
        ('unit: cannot be converted to the schema\'s "years"',),
        mapping=mapping(('column = "Alter"', 'column = "Alter"\nunit = "kg"')),
    ),
    MalformedImport(
        "transform_against_schema",
        ("transform: does not suit the schema's unit",),
        mapping=mapping(('analyte = "albumin"', 'analyte = "albumin"\ntransform = "log10"')),
    ),
    MalformedImport(
        "ratio_without_limit",
        ("upper_limit: is missing for a ratio", "does not suit"),
        faults=2,
        mapping=mapping(('analyte = "albumin"', 'analyte = "albumin"\ntransform = "ratio"')),
    ),
    MalformedImport(
        "window_reversed",
        ("window: is reversed",),
        mapping=mapping(("window = [-30, 0]", "window = [0, -30]")),
    ),
    MalformedImport(
        "window_without_time_zero",
        ("window: lies about a time zero that nothing names", "event_date: is counted", "entry_date: is counted"),
        faults=3,
        mapping=mapping(('[time_zero]\ncolumn = "Diagnose"\n', "")),
    ),
    MalformedImport(
        "days_without_a_column",
        ("window: needs the day of each row", "take: needs the day of each row"),
        faults=2,
        mapping=mapping(('date = "taken"\n', "")),
    ),
    MalformedImport(
        "codes_and_column",
        ("codes: stands beside column",),
        mapping=mapping(('codes = ["1751-7"]', 'column = "result"\ncodes = ["1751-7"]')),
    ),
    MalformedImport(
        "code_without_value",
        ("value: is missing",),
        mapping=mapping(('value = "result"\n', "")),
    ),
    MalformedImport(
        "date_format_incomplete",
        ("date_format: does not say where year, month and day stand",),
        mapping=mapping(("DD.MM.YYYY", "DD.MM.YY")),
    ),
    MalformedImport(
        "words_lead_nowhere",
        ("words: leads to no category", 'Did you mean "squamous"'),
        mapping=mapping(('Platten = "squamous"', 'Platten = "squamos"')),
    ),
    MalformedImport(
        "event_without_words",
        ("yes: is missing", "no: is missing"),
        faults=2,
        mapping=mapping(('yes = ["tot"]\nno = ["lebt"]\n', "")),
    ),
    MalformedImport(
        "no_end_of_follow_up",
        ("last_contact: has no meaning without event_date",),
        mapping=mapping(('event_date = "Tod"\n', "")),
    ),
    MalformedImport(
        "hospital_missing",
        ("[mapping], site: is missing",),
        mapping=mapping(('site_column = "Klinik"\n', "")),
    ),
    MalformedImport(
        "choices_misspelt",
        ('"log10_crp", take: is not one of the known values', "limits: is not one of", "separator: is not one of"),
        faults=3,
        mapping=mapping(('take = "last"', 'take = "latest"\nlimits = "third"'), ("semicolon", ";")),
    ),
    MalformedImport(
        "numbers_out_of_range",
        ("window: holds a number above 50,000", "most_without_date: is above 1"),
        faults=2,
        mapping=mapping(
            ("window = [-30, 0]", "window = [-30, 90000]"),
            ('entry_date = "Aufnahme"', 'entry_date = "Aufnahme"\nmost_without_date = 3'),
        ),
    ),
)

SOURCE_CASES = (
    MalformedImport("file_missing", ("laboratory.csv: the file does not exist", "Check the path"), laboratory=None),
    MalformedImport("empty_file", ("clinic.csv: the file is empty",), clinic=b""),
    MalformedImport(
        "wrong_separator",
        ("clinic.csv: cells are not separated by semicolons",),
        clinic=CLINIC.replace(",", ".").replace(";", ",").encode(),
    ),
    MalformedImport(
        "wrong_encoding",
        ("clinic.csv: the file cannot be read as .csv: it is not written in UTF-8",),
        clinic=clinic(("Adeno", "Köln")).decode().encode("windows-1252"),
    ),
    MalformedImport(
        "spreadsheet",
        ("clinic.csv: the file cannot be read as .csv: it is an Excel or other zip file",),
        clinic=b"PK\x03\x04zq847",
    ),
    MalformedImport(
        "ragged_rows",
        ("clinic.csv: some rows have more or fewer cells than the header (1 row)",),
        clinic=CLINIC.encode() + b"zq5;zq-A\n",
    ),
    MalformedImport(
        "unclosed_quote",
        ("laboratory.csv: quotation marks do not come in pairs",),
        laboratory=laboratory(("zq1,2020-01-20", '"zq1,2020-01-20')),
    ),
    MalformedImport(
        "columns_missing_in_both_files",
        ('column "Tod": is not in the file', 'column "result": is not in the file', "differs only in capitals"),
        faults=2,
        clinic=clinic(("Tod;", "tod;")),
        laboratory=laboratory(("result", "wert")),
    ),
    MalformedImport(
        "two_columns_of_one_name",
        ("clinic.csv: columns 5 and 6: have one and the same name",),
        clinic=clinic(("Kontakt", "Tod")),
    ),
    MalformedImport(
        "identifier_missing",
        ('column "PatNr": the identifier is missing (1 row)',),
        clinic=CLINIC.encode() + b";zq-B;04.02.2020;tot;20.03.2020;04.03.2020;04.02.2020;64,731;Adeno\n",
    ),
    MalformedImport(
        "rows_of_one_patient_disagree",
        ('column "Klinik": says different things of one patient in several rows (1 row)', 'marker "age_years": says'),
        faults=2,
        clinic=CLINIC.encode() + b"zq1;zq-B;01.02.2020;tot;17.05.2021;01.05.2021;03.02.2020;11,731;Adeno\n",
    ),
    MalformedImport(
        "days_malformed",
        ('column "Tod": is no day of the form DD.MM.YYYY (1 row)', 'column "taken": is no day of the form YYYY-MM-DD'),
        faults=2,
        clinic=clinic(("17.05.2021", "32.05.2021")),
        laboratory=laboratory(("2020-01-20", "20.01.847")),
    ),
    MalformedImport(
        "no_time_zero",
        ('column "Diagnose": of a patient tells no time zero (1 row)',),
        clinic=clinic(("01.02.2020", "unbekannt")),
    ),
    MalformedImport(
        "numbers_malformed",
        (
            'column "Alter", marker "age_years": is not a number (1 row)',
            "a decimal comma",
            'codes 1751-7, marker "albumin": is not a number (1 row)',
            "a decimal point",
        ),
        faults=2,
        clinic=clinic(("61,731", "61.731")),
        laboratory=laboratory(("38.47", "zq 38")),
    ),
    MalformedImport(
        "limit_of_detection",
        ("lies beyond a limit of detection (1 row)", 'limits = "at_limit"'),
        laboratory=laboratory(("84.7", "<0.847")),
    ),
    MalformedImport(
        "units_unknown_and_missing",
        ('has a unit that cannot be converted to "mg/l" (1 row)', "has no unit (1 row)"),
        faults=2,
        laboratory=laboratory(("84.7,mg/l", "84.7,zq/l"), ("38.47,g/l", "38.47,")),
    ),
    MalformedImport(
        "outside_the_plausible_range",
        ('column "albumin": lies outside the plausible range 8 to 65 in g/l (1 row)',),
        laboratory=laboratory(("3.847,g/dl", "3.847,g/l")),
    ),
    MalformedImport(
        "no_logarithm",
        ("is not above 0, and has no logarithm (1 row)",),
        laboratory=laboratory(("84.7", "0")),
    ),
    MalformedImport(
        "two_values_on_one_day",
        ("has several values of one patient on one day (1 row)", "same_day"),
        laboratory=laboratory(
            ("2020-01-21", "2020-01-20"), ("zq1,2020-01-20,1988-5,7.31", "zq1,2020-01-20,1988-5,1.31")
        ),
    ),
    MalformedImport(
        "words_not_listed",
        (
            'column "Vital": is a word that the mapping does not list (1 row)',
            'marker "entity": is a word that the mapping does not list (1 row)',
        ),
        faults=2,
        clinic=clinic(("lebt", "zq lebt"), ("Platten", "zq Platten")),
    ),
    MalformedImport(
        "death_without_a_date",
        ("of a patient has an event without a date (1 row)", "without_date"),
        clinic=clinic(("17.05.2021", "")),
    ),
    MalformedImport(
        "alive_with_a_date_of_death",
        ("tells the time of an event, and says in words that there was none (1 row)",),
        clinic=clinic((";lebt;;", ";lebt;17.05.2021;")),
    ),
    MalformedImport(
        "death_before_diagnosis",
        ("of a patient ends before time zero (1 row)", 'impossible = "leave_out"'),
        clinic=clinic(("17.05.2021", "17.05.2019")),
    ),
    MalformedImport(
        "entry_after_the_end",
        ('column "entry_months": is not before the end of follow-up',),
        clinic=clinic(("03.02.2020;61", "03.02.2022;61")),
    ),
    MalformedImport(
        "beyond_the_data_cut",
        ("of a patient goes on after the data cut (3 rows)", "after_cut"),
        mapping=mapping(('entry_date = "Aufnahme"', 'entry_date = "Aufnahme"\ndata_cut = "2021-01-01"')),
    ),
    MalformedImport(
        "nobody_is_kept",
        ("clinic.csv: names no patient",),
        mapping=mapping(('date_format = "DD.MM.YYYY"', 'date_format = "DD.MM.YYYY"\nkeep = { Klinik = ["C"] }')),
    ),
    MalformedImport(
        "many_at_once",
        (
            'column "Tod": is no day',
            'column "Aufnahme": is no day',
            'marker "age_years": is not a number',
            'marker "entity": is a word',
            'marker "log10_crp": is not a number',
            'column "albumin": lies outside',
        ),
        faults=6,
        clinic=clinic(
            ("17.05.2021", "zq"),
            ("02.02.2020;62,731", "zq;zq"),
            ("unbekannt", "zq"),
        ),
        laboratory=laboratory(("9.731", "zq"), ("3.847,g/dl", "3.847,g/l")),
    ),
)

CASES = MAPPING_CASES + SOURCE_CASES
