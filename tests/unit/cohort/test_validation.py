"""Does a valid table become its cohort, and does a bad one name every fault and no patient?"""

from __future__ import annotations

import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oncofed.cohort.schema import DeathPolicy, Endpoint, Kind, Marker, Modality, StudySchema
from oncofed.cohort.schema_file import read_schema
from oncofed.cohort.validation import extra_columns, named_columns, read_cohort, validate
from oncofed.errors import InvalidInput
from oncofed.survival.grid import TimeGrid

ROOT = Path(__file__).parents[3]
DATA = ROOT.parent / "shared" / "data"

SCHEMA = StudySchema(
    name="lung",
    patient_id="patient",
    site_column="hospital",
    markers=(
        Marker(
            name="age_years",
            modality=Modality.CLINICAL,
            kind=Kind.CONTINUOUS,
            unit="years",
            plausible_range=(0.0, 120.0),
            centre=60.0,
            scale=15.0,
            missing_codes=("-9",),
        ),
        Marker(
            "entity", Modality.CLINICAL, Kind.CATEGORICAL, categories=("adeno", "squamous"), reference_category="adeno"
        ),
        Marker("KRAS", Modality.DNA_MUTATION, Kind.BINARY),
        Marker("ecog", Modality.CLINICAL, Kind.ORDINAL, plausible_range=(0.0, 4.0)),
    ),
    endpoints=(
        Endpoint("overall_survival", "os_months", "death", entry_column="entry_months"),
        Endpoint("next_treatment", "ttnt_months", "treated", death_event_column="death"),
    ),
    grid=TimeGrid((0.0, 12.0, 60.0)),
    baseline_hazard=(0.01, 0.05),
)


def table(**columns: list[object]) -> pd.DataFrame:
    """Three valid patients, with the given columns instead of their own."""
    valid: dict[str, list[object]] = {
        "patient": ["P1", "P2", "P3"],
        "hospital": ["A", "A", "B"],
        "age_years": [61.5, None, -9],
        "entity": ["squamous", "adeno", None],
        "KRAS": [1, 0, None],
        "ecog": [2, 0, None],
        "os_months": [10.0, 20.0, 30.0],
        "death": [1, 0, 1],
        "entry_months": [0.0, 3.5, 0.0],
        "ttnt_months": [5.0, 20.0, 30.0],
        "treated": [1, 0, 0],
        "note": ["ignored"] * 3,
    }
    return pd.DataFrame({name: pd.Series(cells, dtype=object) for name, cells in (valid | columns).items()})


def faults_of(frame: pd.DataFrame, schema: StudySchema = SCHEMA) -> list[str]:
    with pytest.raises(InvalidInput) as caught:
        validate(frame, schema, where="lung.csv")
    assert caught.value.__context__ is None
    assert all(fault.remedy.endswith(".") for fault in caught.value.faults)
    return [str(fault) for fault in caught.value.faults]


def test_an_identifier_with_a_quotation_mark_is_refused() -> None:
    """Two quoted cells whose comma was lost are such a one."""
    found = faults_of(table(patient=["P1", 'P2"7', "P3"]))
    assert len(found) == 1
    assert 'column "patient": the identifier holds a quotation mark (1 row). Look for a lost comma' in found[0]
    assert "P2" not in found[0]


def test_a_valid_table_becomes_its_cohort() -> None:
    cohort = validate(table(), SCHEMA, where="lung.csv")
    nan = np.nan
    assert cohort.patient_ids == ("P1", "P2", "P3")
    np.testing.assert_array_equal(cohort.values, [[61.5, 1, 1, 2], [nan, 0, 0, 0], [nan, nan, nan, nan]])
    np.testing.assert_array_equal(cohort.entry, [[0, 0], [3.5, 0], [0, 0]])
    np.testing.assert_array_equal(cohort.exit, [[10, 5], [20, 20], [30, 30]])
    # The third patient died before any next treatment: by default that counts as the event.
    np.testing.assert_array_equal(cohort.observed, [[True, True], [False, False], [True, True]])


def test_a_death_that_censors_is_no_event() -> None:
    first, second = SCHEMA.endpoints
    schema = replace(SCHEMA, endpoints=(first, replace(second, death=DeathPolicy.CENSORING)))
    cohort = validate(table(), schema, where="lung.csv")
    np.testing.assert_array_equal(cohort.observed, [[True, True], [False, False], [True, False]])


CAUSES = replace(
    SCHEMA,
    endpoints=(
        Endpoint("death_of_disease", "os_months", "death", competes_with=("death_of_other_causes",)),
        Endpoint("death_of_other_causes", "os_months", "treated"),
    ),
)


def test_two_events_of_endpoints_that_compete_are_a_fault_and_one_or_none_are_not() -> None:
    """P1 has both, P2 neither, P3 one."""
    (fault,) = faults_of(table(), CAUSES)
    assert 'column "death"' in fault
    assert 'together with column "treated", which competes with it' in fault
    assert "1 row" in fault
    assert validate(table(treated=[0, 0, 0]), CAUSES, where="lung.csv").observed.tolist() == [
        [True, False],
        [False, False],
        [True, False],
    ]
    nobody = replace(CAUSES, endpoints=(replace(CAUSES.endpoints[0], competes_with=()), CAUSES.endpoints[1]))
    assert validate(table(), nobody, where="lung.csv").observed[0].all()


def test_text_and_typed_cells_give_the_same_cohort(tmp_path: Path) -> None:
    typed = table().convert_dtypes()
    assert typed["age_years"].dtype != object
    typed.to_parquet(tmp_path / "lung.parquet")
    typed.to_csv(tmp_path / "lung.csv", index=False)
    expected = validate(table(), SCHEMA, where="lung").content_hash
    assert read_cohort(tmp_path / "lung.parquet", SCHEMA).content_hash == expected
    assert read_cohort(tmp_path / "lung.csv", SCHEMA).content_hash == expected
    assert validate(table().astype(str).replace({"None": ""}), SCHEMA, where="lung").content_hash == expected
    words = table(KRAS=["True", "FALSE", ""], death=["1.0", "false", True], age_years=[" 61.50", "", "-9.0"])
    assert validate(words, SCHEMA, where="lung").content_hash == expected


def test_the_order_of_columns_does_not_matter_but_that_of_rows_is_kept() -> None:
    expected = validate(table(), SCHEMA, where="lung")
    turned = table()[list(table().columns)[::-1]]
    assert validate(turned, SCHEMA, where="lung").content_hash == expected.content_hash
    shuffled = table().iloc[[2, 0, 1]]
    cohort = validate(shuffled, SCHEMA, where="lung")
    assert cohort.patient_ids == ("P3", "P1", "P2")
    assert cohort.content_hash == expected.subset([2, 0, 1]).content_hash


# Columns instead of the valid ones, and what the one fault must say.
ONE_FAULT: list[tuple[str, dict[str, list[object]], list[str]]] = [
    (
        "wrong type",
        {"age_years": ["old", "60", "7,5"]},
        ['column "age_years"', "not a number (2 rows)", "decimal point"],
    ),
    ("truth as age", {"age_years": [True, 1, 2]}, ["age_years", "not a number (1 row)"]),
    ("infinite", {"age_years": [np.inf, 1, 2]}, ["age_years", "not a number (1 row)"]),
    ("unit", {"age_years": [22463, 60, -1]}, ["age_years", "0 to 120 in years (2 rows)", "expects years"]),
    ("undeclared code", {"age_years": ["NA", "", "NA"]}, ["age_years", "(2 rows)", "missing_codes"]),
    ("category", {"entity": ["Adeno", "adeno", "x"]}, ["entity", "category of the schema (2 rows)", '"squamous"']),
    ("not binary", {"KRAS": [2, "yes", 1]}, ["KRAS", "neither 0 nor 1 (2 rows)", "true or false"]),
    ("ordinal", {"ecog": [1.5, 2, "2.0"]}, ["ecog", "not a whole number (1 row)"]),
    ("level", {"ecog": [5, 4, 0]}, ["ecog", "range 0 to 4 (1 row)", "plain number"]),
    ("duplicate", {"patient": ["P1", "P2", " P1"]}, ["patient", "another row (2 rows)", "one row for each patient"]),
    ("duplicate number", {"patient": [1, 1.0, "1"]}, ["patient", "another row (3 rows)"]),
    ("no identifier", {"patient": ["P1", "", None]}, ["patient", "missing (2 rows)"]),
    ("negative time", {"ttnt_months": [-5.0, 20.0, -1]}, ["ttnt_months", "negative (2 rows)"]),
    ("zero time", {"ttnt_months": [0, "0.0", 30]}, ["ttnt_months", "zero (2 rows)", "zero_time_becomes"]),
    ("no time", {"ttnt_months": [5, None, 30]}, ["ttnt_months", "is missing (1 row)", "in months"]),
    ("event without time", {"ttnt_months": [None, 20, 30]}, ["ttnt_months", "no time for an event (1 row)"]),
    ("time no number", {"ttnt_months": ["May", 20, 30]}, ["ttnt_months", "not a number (1 row)", "in months"]),
    ("time in days", {"os_months": [1500, 20, 30]}, ["os_months", "120 years (1 row)", "expects months"]),
    ("no event", {"treated": [1, None, ""]}, ["treated", "is missing (2 rows)", "censored"]),
    ("event not binary", {"treated": [1, 2, "no"]}, ["treated", "neither 0 nor 1 (2 rows)"]),
    ("shared column", {"death": [1, 2, 0]}, ['"death"', "neither 0 nor 1 (1 row)"]),
    ("entry after exit", {"entry_months": [11, 20, 0]}, ["entry_months", '"os_months" (2 rows)', "swapped"]),
    ("entry negative", {"entry_months": [-1, 3, 0]}, ["entry_months", "negative (1 row)"]),
    ("no entry", {"entry_months": [0, None, 0]}, ["entry_months", "missing (1 row)", "Write 0"]),
    ("entry no number", {"entry_months": [0, "x", 0]}, ["entry_months", "not a number (1 row)"]),
]


@pytest.mark.parametrize(("columns", "fragments"), [case[1:] for case in ONE_FAULT], ids=[c[0] for c in ONE_FAULT])
def test_one_fault_is_named_with_column_count_and_remedy(
    columns: dict[str, list[object]], fragments: list[str]
) -> None:
    faults = faults_of(table(**columns))
    assert len(faults) == 1, faults
    assert faults[0].startswith('lung.csv: column "')
    for fragment in fragments:
        assert fragment in faults[0]


def test_all_faults_are_reported_at_once() -> None:
    cases = [case for case in ONE_FAULT if case[0] in ("unit", "category", "not binary", "duplicate", "zero time")]
    together: dict[str, list[object]] = {}
    for _, columns, _ in cases:
        together |= columns
    faults = faults_of(table(**together).drop(columns=["entry_months", "hospital"]))
    assert len(faults) == len(cases) + 2
    for column in [*together, "entry_months", "hospital"]:
        assert sum(f'column "{column}"' in fault for fault in faults) == 1, column


def test_one_column_may_have_several_faults() -> None:
    faults = faults_of(table(ecog=["x", 2.5, 7]))
    assert [re.findall(r"not a number|not a whole number|range", fault) for fault in faults] == [
        ["not a number"],
        ["not a whole number"],
        ["range"],
    ]


@pytest.mark.parametrize("column", named_columns(SCHEMA))
def test_each_missing_column_is_a_fault_once(column: str) -> None:
    faults = faults_of(table().drop(columns=column))
    assert len(faults) == 1
    assert f'column "{column}": is missing from the table' in faults[0]
    nearly = table().rename(columns={column: f" {column.upper()}"})
    assert "capitals or blanks" in faults_of(nearly)[0]


def test_doubled_columns_and_tables_without_rows_are_faults() -> None:
    doubled = pd.concat([table(), table()[["KRAS"]]], axis=1)
    assert ['column "KRAS": stands 2 times' in fault for fault in faults_of(doubled)] == [True]
    assert any("the table has no rows" in fault for fault in faults_of(table().iloc[:0]))
    nothing = faults_of(pd.DataFrame())
    assert len(nothing) == 1 + len(named_columns(SCHEMA))


def test_zero_time_becomes_the_schema_constant() -> None:
    schema = replace(SCHEMA, zero_time_becomes=0.5)
    cohort = validate(table(os_months=[0, "0", 30], entry_months=[0, 0.25, 0]), schema, where="lung")
    np.testing.assert_array_equal(cohort.exit[:, 0], [0.5, 0.5, 30])
    faults = faults_of(table(os_months=[0, 20, 30], entry_months=[0.5, 0, 0]), schema)
    assert "is not before the end of follow-up" in faults[0]


def test_extra_columns_are_known_and_ignored() -> None:
    assert extra_columns(table(), SCHEMA) == ("note",)
    without = validate(table().drop(columns="note"), SCHEMA, where="lung")
    assert without.content_hash == validate(table(), SCHEMA, where="lung").content_hash


WORDS = st.text(min_size=1, max_size=12).map(lambda text: f"zq{text}qz")
NUMBERS = st.floats(1e7, 1e300).map(lambda number: -number) | st.integers(10**8, 10**15)
STRANGE = WORDS | NUMBERS | st.binary(min_size=3).map(b"\xff".__add__)


def appearances(planted: object) -> list[str]:
    """How a planted cell could show up in a message."""
    if isinstance(planted, int | float):
        return [str(planted), repr(float(planted)), f"{planted:g}", f"{planted:.0f}", f"{planted:e}"]
    return [str(planted), repr(planted), repr(planted)[1:-1]]


@given(st.sampled_from(named_columns(SCHEMA)), STRANGE, st.integers(0, 2))
def test_no_message_repeats_a_cell(column: str, planted: object, row: int) -> None:
    frame = table()
    cells = list(frame[column])
    cells[row] = planted
    if column == SCHEMA.patient_id:  # any text identifies a patient, so make it a duplicate
        cells = [planted] * 3
    frame[column] = pd.Series(cells, dtype=object)
    if column == "hospital":  # a site may have any name; another fault is needed for a message
        frame = frame.assign(death=9)
    for candidate in (frame, frame.assign(**{column: frame[column].map(str)})):
        message = "\n".join(faults_of(candidate))
        for appearance in appearances(planted):
            assert appearance not in message


@given(WORDS)
def test_no_message_repeats_a_column_name_that_only_the_table_has(planted: str) -> None:
    # Without a header line, the first patient's cells are the column names.
    frame = table().rename(columns={"KRAS": planted, "patient": f"{planted}2"})
    message = "\n".join(faults_of(frame))
    assert planted not in message
    assert repr(planted)[1:-1] not in message


def test_the_published_study_size_is_validated_within_seconds() -> None:
    patients = 15_726
    rng = np.random.default_rng(1)
    markers = tuple(
        Marker(f"m{index}", Modality.RNA_EXPRESSION, Kind.CONTINUOUS, "z-score", (-100.0, 100.0))
        for index in range(350)
    )
    schema = replace(SCHEMA, markers=markers)
    columns = {marker.name: rng.normal(size=patients) for marker in markers}
    outcome = dict.fromkeys(("death", "treated"), 1) | {"os_months": 10.0, "ttnt_months": 5.0, "entry_months": 0.0}
    frame = pd.DataFrame({"patient": np.arange(patients), "hospital": "A", **columns, **outcome})
    start = time.perf_counter()
    validate(frame, schema, where="lung")
    assert time.perf_counter() - start < 5  # 0.2 s alone on a quiet machine


@pytest.mark.parametrize(
    ("study", "file", "patients"),
    [
        ("tcga_pancancer", "tcga_pancancer/patients.parquet", 5720),
        ("fed_tcga_brca", "fed_tcga_brca/brca.csv", 1096),
    ],
)
def test_the_real_tables_are_valid(study: str, file: str, patients: int) -> None:
    if not (DATA / file).exists():
        pytest.skip(f"needs ../shared/data/{file}")
    schema = read_schema(ROOT / "simulations" / "studies" / study / "schema.toml")
    cohort = read_cohort(DATA / file, schema)
    assert len(cohort) == patients
    assert (cohort.entry < cohort.exit).all()
