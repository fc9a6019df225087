"""Which malformed tables and schemas must be refused, and what must the refusal say?

Each case is a valid schema and a valid table with something broken in one of them. `write` puts both files into a
folder; the faults that `fragments` stand for must all be told at once, and nothing in `PRIVATE` may be. The cases know
nothing of how the files are read, so that the same list serves the library and the command line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

SCHEMA = """
[schema]
name = "lung"
patient_id = "patient"
site_column = "hospital"
tumour_entity = "entity"

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
missing_codes = ["unknown"]

[[marker]]
name = "entity"
modality = "clinical"
kind = "categorical"
categories = ["adenocarcinoma", "squamous"]
reference_category = "adenocarcinoma"

[[marker]]
name = "KRAS_mut"
modality = "dna_mutation"
kind = "binary"

[[marker]]
name = "ecog"
modality = "clinical"
kind = "ordinal"
plausible_range = [0, 4]
centre = 0
scale = 1
"""

PRIVATE = ("zq", "731", "847")
"""What stands in cells and nowhere else: in every identifier and hospital, in each age, and in each broken cell."""


def table() -> pd.DataFrame:
    """24 valid patients of 3 hospitals, every cell as the text that a CSV holds."""
    rows = range(24)
    return pd.DataFrame(
        {
            "patient": [f"zq{row:03d}" for row in rows],
            "hospital": [f"zq-{'ABC'[row % 3]}" for row in rows],
            "age_years": [f"{50 + row}.731" if row % 5 else "unknown" for row in rows],
            "entity": ["adenocarcinoma" if row % 2 else "squamous" for row in rows],
            "KRAS_mut": ["", "0", "1"] * 8,
            "ecog": [str(row % 5) for row in rows],
            "survival_months": [f"{5 + 2 * row}.731" for row in rows],
            "death_observed": [str(row % 2) for row in rows],
            "entry_months": ["0" if row % 4 else "2.5" for row in rows],
        },
        dtype=object,
    )


@dataclass(frozen=True)
class MalformedCase:
    """What is broken, and the words that tell it.

    fragments  each must stand in the message: places, counts, remedies.
    faults     how many faults the message lists.
    """

    name: str
    fragments: tuple[str, ...]
    faults: int = 1
    schema: str = SCHEMA
    table: Callable[[], bytes] = field(default=lambda: csv(table()))
    table_name: str = "patients.csv"

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Writes the case's files; returns the paths of schema and table."""
        schema_path, table_path = folder / "schema.toml", folder / self.table_name
        schema_path.write_text(self.schema, encoding="utf-8")
        table_path.write_bytes(self.table())
        return schema_path, table_path


def csv(frame: pd.DataFrame) -> bytes:
    return frame.to_csv(index=False).encode()


def with_cells(**cells: dict[int, str]) -> Callable[[], bytes]:
    """The valid table with other cells: column = {row: text}."""

    def write() -> bytes:
        frame = table()
        for column, changes in cells.items():
            for row, text in changes.items():
                frame.loc[row, column] = text
        return csv(frame)

    return write


def schema_with(*changes: tuple[str, str]) -> str:
    text = SCHEMA
    for old, new in changes:
        assert text.count(old) >= 1, old
        text = text.replace(old, new, 1)
    return text


TABLE_CASES = (
    MalformedCase(
        "wrong_type",
        ('column "age_years": is not a number (2 rows)', "decimal point", "missing_codes"),
        table=with_cells(age_years={1: "zq years", 2: "61,847"}),
    ),
    MalformedCase(
        "unit_out_of_range",
        (
            'column "age_years"',
            "plausible range 0 to 120 in years (3 rows)",
            "the schema expects years",
        ),
        table=with_cells(age_years={1: "22847", 2: "21847.5", 7: "-847"}),
    ),
    MalformedCase(
        "unknown_category",
        ('column "entity": is not a category of the schema (2 rows)', '"adenocarcinoma", "squamous"'),
        table=with_cells(entity={3: "zq small cell", 4: "zq"}),
    ),
    MalformedCase(
        "not_binary",
        ('column "KRAS_mut": is neither 0 nor 1 (2 rows)', "Write 0, 1, true or false"),
        table=with_cells(KRAS_mut={0: "847", 5: "zq"}),
    ),
    MalformedCase(
        "not_a_level",
        ('column "ecog": is not a whole number (1 row)', "whole levels"),
        table=with_cells(ecog={0: "1.847"}),
    ),
    MalformedCase(
        "duplicate_patient",
        ('column "patient": rows share their identifier with another row (3 rows)', "one row for each patient"),
        table=with_cells(patient={5: "zq000", 6: " zq000 "}),
    ),
    MalformedCase(
        "missing_identifier",
        ('column "patient": the identifier is missing (2 rows)', "Give every patient an identifier"),
        table=with_cells(patient={5: "", 6: "  "}),
    ),
    MalformedCase(
        "negative_and_zero_time",
        ("is negative (1 row)", "is zero (2 rows)", "zero_time_becomes"),
        faults=2,
        table=with_cells(survival_months={5: "-847", 6: "0", 7: "0.0"}),
    ),
    MalformedCase(
        "time_in_days",
        ('column "survival_months": is longer than 120 years (1 row)', "expects months"),
        table=with_cells(survival_months={5: "1847"}),
    ),
    MalformedCase(
        "event_without_time",
        ('column "survival_months": has no time for an event (1 row)', "is missing (1 row)", "in months"),
        faults=2,
        table=with_cells(survival_months={1: "", 2: ""}, death_observed={1: "1", 2: "0"}),
    ),
    MalformedCase(
        "event_unclear",
        ("is neither 0 nor 1 (1 row)", 'column "death_observed": is missing (1 row)', "0 when censored"),
        faults=2,
        table=with_cells(death_observed={1: "zq alive", 2: ""}),
    ),
    MalformedCase(
        "entry_after_exit",
        ('column "entry_months": is not before the end of follow-up', "(2 rows)", "swapped columns"),
        table=with_cells(entry_months={1: "84.7", 2: "9.731"}, survival_months={2: "9.731"}),
    ),
    MalformedCase(
        "missing_columns",
        ('column "age_years": is missing from', 'column "entry_months": is missing from', "correct the schema"),
        faults=2,
        table=lambda: csv(table().drop(columns=["age_years", "entry_months"])),
    ),
    MalformedCase(
        "empty_table",
        ("patients.csv: the table has no rows", "one row a patient"),
        table=lambda: csv(table().iloc[:0]),
    ),
    MalformedCase("empty_file", ("patients.csv: the file is empty", "header line"), table=lambda: b""),
    MalformedCase(
        "no_header",  # then the first patient's cells are the column names, here two cells with "0"
        ("patients.csv: columns 6 and 8: have one and the same name", "check that the first line is the header"),
        table=lambda: table().to_csv(index=False, header=False).encode(),
    ),
    MalformedCase(
        "ragged_rows",
        ("patients.csv: some rows have more or fewer cells than the header (2 rows)", "quotes"),
        table=lambda: csv(table()) + b"zq099,zq-A\nzq100,zq-A,61,847,adenocarcinoma,1,2,30,1,0\n",
    ),
    MalformedCase(
        "semicolons",
        ("patients.csv: cells are not separated by commas", "Export it with commas"),
        table=lambda: csv(table()).replace(b",", b";"),
    ),
    MalformedCase(
        "doubled_column",
        ("patients.csv: columns 3 and 10: have one and the same name", "Rename or remove"),
        table=lambda: csv(pd.concat([table(), table()[["age_years"]]], axis=1)),
    ),
    MalformedCase(
        "not_a_parquet_file",
        ("patients.parquet: the file cannot be read as .parquet", "to_parquet"),
        table_name="patients.parquet",
    ),
    MalformedCase(
        "spreadsheet",
        ("patients.xlsx: is neither .csv nor .parquet", "Export the table"),
        table_name="patients.xlsx",
    ),
    MalformedCase(
        "many_faults_at_once",
        (
            'column "patient": rows share',
            'column "age_years": lies outside',
            'column "entity": is not a category',
            'column "KRAS_mut": is neither',
            'column "ecog": is not a whole number',
            'column "survival_months": is negative',
            'column "entry_months": is missing (1 row)',
        ),
        faults=7,
        table=with_cells(
            patient={1: "zq002"},
            age_years={3: "847"},
            entity={4: "zq"},
            KRAS_mut={5: "847"},
            ecog={6: "2.847"},
            survival_months={7: "-8.47"},
            entry_months={9: ""},
        ),
    ),
)

SCHEMA_CASES = (
    MalformedCase(
        "schema_not_toml", ("schema.toml: the file is not valid TOML", "line 2"), schema="\n[schema\nname = 1"
    ),
    MalformedCase(
        "schema_misspelt_field",
        ('[[marker]] "age_years", centre: is missing', '"age_years", center: is not a known field', '"centre"'),
        faults=2,
        schema=schema_with(("centre = 60", "center = 60")),
    ),
    MalformedCase(
        "schema_sections_missing",
        ("[schema]: the section is missing", "[time]", "[[endpoint]]", "[[marker]]"),
        faults=4,
        schema="",
    ),
    MalformedCase(
        "schema_duplicate_marker",
        ('[[marker]] "ecog": is described 2 times', "Name each once"),
        schema=schema_with(('name = "KRAS_mut"', 'name = "ecog"')),
    ),
    MalformedCase(
        "schema_constants",
        (
            '"age_years", plausible_range: is reversed',
            '"age_years", scale: is below 1e-9',
            '"ecog", centre: lies outside',
            "interval_bounds: is not a rising time axis",
            '"overall_survival", baseline_hazard: is below 1e-8',
            '"entity", reference_category: is not among categories',
        ),
        faults=6,
        schema=schema_with(
            ("[0, 120]", "[120, 0]"),
            ("scale = 15", "scale = 0"),
            ("centre = 0", "centre = 5"),
            ("[0, 6, 12, 24, 60]", "[0, 12, 6]"),
            ("baseline_hazard = 0.01", "baseline_hazard = 0"),
            ('reference_category = "adenocarcinoma"', 'reference_category = "small cell"'),
        ),
    ),
    MalformedCase(
        "schema_unknown_words",
        ('"KRAS_mut", modality: is not one of', '"ecog", kind: is not one of', "[time], unit", "Did you mean"),
        faults=3,
        schema=schema_with(("dna_mutation", "dna_mutations"), ('"ordinal"', '"ordinals"'), ('"months"', '"month"')),
    ),
    MalformedCase(
        "schema_column_with_two_roles",
        ('column "death_observed": is named as a marker and an event', "its own column"),
        schema=schema_with(("KRAS_mut", "death_observed")),
    ),
    MalformedCase(
        "schema_tumour_entity_no_category",
        ("[schema], tumour_entity: is not a categorical marker", "entity"),
        schema=schema_with(('tumour_entity = "entity"', 'tumour_entity = "age_years"')),
    ),
)

CASES = TABLE_CASES + SCHEMA_CASES
