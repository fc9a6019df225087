"""Which malformed OMOP models, workbooks and databases must be refused, and what must the refusal say?

Each case is a valid mapping over valid tables with something broken in them. Whatever stands in `PRIVATE` is in cells
alone, so no message may hold it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

SCHEMA = """
[schema]
name = "lung"
patient_id = "patient"
[time]
unit = "months"
interval_bounds = [0, 6, 12, 24, 60]
[[endpoint]]
name = "overall_survival"
time = "survival_months"
event = "death_observed"
baseline_hazard = 0.01
[[marker]]
name = "age_years"
modality = "clinical"
kind = "continuous"
unit = "years"
plausible_range = [0, 120]
centre = 60
scale = 10
[[marker]]
name = "crp"
modality = "laboratory"
kind = "continuous"
unit = "mg/l"
plausible_range = [0, 700]
centre = 5
scale = 5
"""
MAPPING = """
[mapping]
schema = "schema.toml"
patients = "diagnoses"
[[source]]
name = "persons"
part = "omop"
path = "cdm"
table = "person"
[[source]]
name = "diagnoses"
part = "omop"
path = "cdm"
table = "condition_occurrence"
keep = { condition_concept_id = ["443388"] }
[[source]]
name = "measurements"
part = "omop"
path = "cdm"
table = "measurement"
[time_zero]
source = "diagnoses"
column = "condition_start_date"
take = "first"
[[outcome]]
name = "overall_survival"
source = "persons"
event = "dead"
yes = ["1"]
no = ["0"]
event_date = "death_date"
last_contact = ["last_contact"]
[[marker]]
name = "age_years"
source = "persons"
column = "birth_date"
transform = "age"
[[marker]]
name = "crp"
source = "measurements"
codes = ["3020460"]
window = [-30, 0]
take = "last"
"""
TABLES: Mapping[str, str] = {
    "person": "person_id,year_of_birth,month_of_birth,day_of_birth\n80471,1947,3,14\n80472,1951,,\n80473,1960,7,1\n",
    "death": "person_id,death_date\n80471,2021-05-17\n",
    "observation_period": (
        "person_id,observation_period_start_date,observation_period_end_date\n"
        "80471,2019-01-01,2021-05-01\n80472,2019-01-01,2021-06-18\n80473,2019-01-01,2021-06-19\n"
    ),
    "condition_occurrence": (
        "person_id,condition_concept_id,condition_start_date\n"
        "80471,443388,2020-02-01\n80472,443388,2020-02-02\n80473,443388,2020-02-03\n"
    ),
    "measurement": (
        "person_id,measurement_concept_id,measurement_date,value_as_number,unit_concept_id,operator_concept_id\n"
        "80471,3020460,2020-01-20,7.31,8751,4172703\n80472,3020460,2020-01-21,8.47,8840,\n"
    ),
}
PRIVATE = ("8047", "7.31", "847", "731", "2021-0", "zq", "1947")


@dataclass(frozen=True)
class MalformedModel:
    """What is broken, and the words that tell it. faults: how many there are. extra: other files, by name."""

    name: str
    fragments: tuple[str, ...]
    faults: int = 1
    mapping: str = MAPPING
    tables: Mapping[str, str] = field(default_factory=lambda: TABLES)
    extra: Mapping[str, bytes] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        """The path of the mapping."""
        (folder / "schema.toml").write_text(SCHEMA)
        (folder / "mapping.toml").write_text(self.mapping)
        (folder / "cdm").mkdir()
        for name, text in self.tables.items():
            (folder / "cdm" / f"{name}.csv").write_text(text)
        for name, content in self.extra.items():
            (folder / name).write_bytes(content)
            (folder / name).chmod(0o600)
        if '"address"' in self.mapping:
            self._write_database(folder)
        return folder / "mapping.toml"

    def _write_database(self, folder: Path) -> None:
        with closing(sqlite3.connect(folder / "model.db")) as connection:
            for name, text in self.tables.items():
                header, *rows = (line.split(",") for line in text.splitlines())
                columns = [f"{column} {'integer' if column.endswith('_id') else 'text'}" for column in header]
                connection.execute(f"CREATE TABLE {name} ({', '.join(columns)})")
                connection.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' * len(header))})", rows)
            connection.commit()
        (folder / "address").write_text(f"sqlite:///{folder / 'model.db'}")
        (folder / "address").chmod(0o600)


def _changed(text: str) -> Callable[..., str]:
    def change(*pairs: tuple[str, str]) -> str:
        found = text
        for old, new in pairs:
            assert old in found, old
            found = found.replace(old, new)
        return found

    return change


mapping = _changed(MAPPING)


def tables(name: str, *pairs: tuple[str, str]) -> dict[str, str]:
    return {**TABLES, name: _changed(TABLES[name])(*pairs)}


def without(*names: str) -> dict[str, str]:
    return {name: text for name, text in TABLES.items() if name not in names}


OF_DATABASE = mapping(('path = "cdm"', 'url_file = "address"'))
DIAGNOSES = 'name = "diagnoses"\npart = "omop"\npath = "cdm"\ntable = "condition_occurrence"\n'
STATEMENT = 'name = "diagnoses"\npart = "sql"\nurl_file = "address"\npatient = "person_id"\n'
SHEET = 'name = "diagnoses"\npath = "book.xlsx"\npatient = "person_id"\ndate = "condition_start_date"\n'

CASES = (
    MalformedModel("table_not_named", ('"persons", table: is missing',), mapping=mapping(('table = "person"\n', ""))),
    MalformedModel(
        "table_of_no_model",
        ("table: is not one of the known values", 'Did you mean "measurement"'),
        mapping=mapping(('table = "measurement"', 'table = "measurements"')),
    ),
    MalformedModel(
        "place_missing", ('"persons", url_file: is missing', "url_file: is missing"), faults=3,
        mapping=mapping(('path = "cdm"\n', "")),
    ),
    MalformedModel(
        "two_places", ("url_file: stands beside path",), faults=3,
        mapping=mapping(('path = "cdm"', 'path = "cdm"\nurl_file = "address"')),
    ),
    MalformedModel(
        "keys_of_other_sources",
        ("statement: is only for", "contact_tables: is only for", "database_schema: is only for", "sheet: is only for"),
        faults=4,
        mapping=mapping(
            (
                'table = "condition_occurrence"',
                'table = "condition_occurrence"\nstatement = "SELECT 1"\ncontact_tables = ["visit_occurrence"]\n'
                'database_schema = "cdm"\nsheet = "one"',
            )
        ),
    ),
    MalformedModel(
        "age_without_a_unit_of_time",
        ("transform: does not suit the schema's unit",),
        mapping=mapping(('take = "last"', 'take = "last"\ntransform = "age"')),
    ),
    MalformedModel("no_folder", ("cdm2: is not a folder",), mapping=mapping(('path = "cdm"', 'path = "cdm2"'))),
    MalformedModel(
        "tables_missing",
        ("table person: has no file", "table measurement: has no file"),
        faults=2,
        tables=without("person", "measurement"),
    ),
    MalformedModel("no_deaths", ("table death: has no file",), tables=without("death")),
    MalformedModel(
        "two_files_of_a_table", ("table measurement: has 2 files",), extra={"cdm/measurement.tsv": b"person_id\n"},
    ),
    MalformedModel(
        "columns_missing",
        ('column "condition_start_date": is not in the table', 'column "value_as_number": is not in the table'),
        faults=2,
        tables={
            **tables("condition_occurrence", ("condition_start_date", "start")),
            "measurement": _changed(TABLES["measurement"])(("value_as_number", "value")),
        },
    ),
    MalformedModel(
        "columns_that_differ_in_capitals",
        ("differ only in capitals",),
        tables=tables("death", ("person_id,death_date", "person_id,death_date,Death_Date"), ("-17", "-17,")),
    ),
    MalformedModel(
        "concept_malformed",
        ('column "measurement_concept_id": is no concept id (1 row)',),
        tables=tables("measurement", ("80472,3020460", "80472,zq7")),
        mapping=mapping(('codes = ["3020460"]', 'codes = ["3020460", "CRP"]')),
    ),
    MalformedModel(
        "birth_malformed",
        ('column "year_of_birth": is no whole number (1 row)', "are no day (1 row)"),
        faults=2,
        tables=tables("person", ("1951", "zq51"), ("1960,7,1", "1960,7,41")),
    ),
    MalformedModel(
        "death_malformed",
        ('column "death_date": is no day of the form YYYY-MM-DD (1 row)',),
        tables=tables("death", ("2021-05-17", "17.05.2021")),
    ),
    MalformedModel(
        "contact_malformed",
        ('column "observation_period_end_date": is no day of the form YYYY-MM-DD (2 rows)',),
        tables=tables("observation_period", ("2021-06-18", "18.06.2021"), ("2021-06-19", "19.06.2021")),
    ),
    MalformedModel(
        "death_without_a_date", ("has an event without a date (1 row)",), tables=tables("death", ("2021-05-17", "")),
    ),
    MalformedModel(
        "two_deaths", ("says different things of one patient in several rows (1 row)",),
        tables=tables("death", ("2021-05-17\n", "2021-05-17\n80471,2021-05-18\n")),
    ),
    MalformedModel(
        "death_before_diagnosis", ("of a patient ends before time zero (1 row)",),
        tables=tables("death", ("2021-05-17", "2019-05-17")),
    ),
    MalformedModel(
        "result_is_text", ("is not a number (1 row)",), tables=tables("measurement", ("8.47", "zq 8")),
    ),
    MalformedModel(
        "limit_of_detection", ("lies beyond a limit of detection (1 row)",),
        tables=tables("measurement", ("4172703", "4171756")),
    ),
    MalformedModel(
        "units_unknown_and_missing",
        ('has a unit that cannot be converted to "mg/l" (1 row)', "has no unit (1 row)"),
        faults=2,
        tables=tables("measurement", ("8840", "9999"), ("8751", "0")),
    ),
    MalformedModel(
        "no_ancestors", ("table concept_ancestor: has no file",),
        mapping=mapping((DIAGNOSES, DIAGNOSES + "descendants = true\n")),
    ),
    MalformedModel("nobody_is_kept", ("names no patient",), mapping=mapping(('["443388"]', '["443389"]'))),
    MalformedModel(
        "address_open_to_others", ("of the file with its database's address: the file does not exist",),
        mapping=mapping(('path = "cdm"', 'url_file = "nowhere"')),
    ),
    MalformedModel(
        "address_malformed", ("its database's address is missing or malformed",), mapping=mapping(
            ('path = "cdm"', 'url_file = "schema.txt"')), extra={"schema.txt": b"zq is no address"},
    ),
    MalformedModel(
        "variable_without_an_address", ("database of ONCOFED_NOWHERE: its database's address is missing",),
        mapping=mapping(('path = "cdm"', 'url_variable = "ONCOFED_NOWHERE"')),
    ),
    MalformedModel(
        "tables_missing_in_a_database", ("table measurement: is not in the database",), mapping=OF_DATABASE,
        tables=without("measurement"),
    ),
    MalformedModel(
        "columns_missing_in_a_database", ('table death: column "death_date": is not in the table',),
        mapping=OF_DATABASE, tables=tables("death", ("death_date", "died")),
    ),
    MalformedModel(
        "statement_missing", ("statement: is missing",), mapping=mapping((DIAGNOSES, STATEMENT)),
    ),
    MalformedModel(
        "statement_refused", ("source diagnoses: its database refuses",),
        mapping=mapping((DIAGNOSES, f'{STATEMENT}statement = "SELECT zq FROM zq"\n')),
    ),
    MalformedModel(
        "statement_that_writes", ("source diagnoses: its database refuses",),
        mapping=mapping((DIAGNOSES, f'{STATEMENT}statement = "DELETE FROM person RETURNING person_id"\n')),
    ),
    MalformedModel(
        "statement_without_the_columns", ('column "condition_start_date": is not in', 'column "condition_concept_id"'),
        faults=2, mapping=mapping((DIAGNOSES, f'{STATEMENT}statement = "SELECT person_id FROM person"\n')),
    ),
    MalformedModel("workbook_missing", ("book.xlsx: the file does not exist",), mapping=mapping((DIAGNOSES, SHEET))),
    MalformedModel(
        "no_workbook", ("book.xlsx: cannot be read as an Excel workbook",), mapping=mapping((DIAGNOSES, SHEET)),
        extra={"book.xlsx": b"PK\x03\x04 zq847"},
    ),
    MalformedModel(
        "workbook_with_a_password", ("book.xlsx: is protected by a password",), mapping=mapping((DIAGNOSES, SHEET)),
        extra={"book.xlsx": b"\xd0\xcf\x11\xe0 zq847"},
    ),
    MalformedModel(
        "older_workbook", ("book.xls: is a spreadsheet, which is not read",),
        mapping=mapping((DIAGNOSES, SHEET.replace(".xlsx", ".xls"))), extra={"book.xls": b"\xd0\xcf\x11\xe0 zq847"},
    ),
)  # fmt: skip
