"""Is the truth that an invented OMOP model was written from what an import finds in it, wherever it lies?"""

from __future__ import annotations

import gzip
import io
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
from sqlalchemy import NullPool, create_engine
from tests.command_line import oncofed
from tests.end_to_end.malformed_models import MalformedModel
from tests.omop_models import MODEL, assert_is, from_database, to_parquet, to_postgresql, to_sqlite, with_example
from tests.postgresql import PASSWORD, Server, running_postgresql

from oncofed.client.importing.catalogue import CATALOGUE, catalogue_schema
from oncofed.client.importing.cohort_import import ImportedCohort, import_cohort
from oncofed.client.importing.database_rows import OpenDatabases
from oncofed.client.importing.mapping import Source
from oncofed.client.importing.mapping_choices import Part
from oncofed.client.importing.mapping_file import read_mapping
from oncofed.client.importing.omop_drafting import OmopPlace, draft_omop
from oncofed.client.importing.omop_hierarchy import Hierarchy
from oncofed.client.importing.omop_rows import DatabaseRows, Only, ids_in
from oncofed.client.importing.omop_tables import OMOP, UNITS, OmopTable
from oncofed.client.importing.readings import Column
from oncofed.client.importing.units import unit_of
from oncofed.errors import InvalidInput
from studies.omop.make_omop import BREAST, COLON, COLUMNS, DATA_CUT, DIABETES, LUNG, Model, written


def imported(mapping: Path) -> ImportedCohort:
    return import_cohort(read_mapping(mapping))


def frame(mapping: Path) -> pd.DataFrame:
    found: pd.DataFrame = imported(mapping).table.to_pandas()
    return found


def change(path: Path, *pairs: tuple[str, str]) -> None:
    text = path.read_text()
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new)
    path.write_text(text)


@pytest.fixture
def mapping(tmp_path: Path) -> Path:
    """Beside the model in CSV files."""
    written(tmp_path / "cdm", MODEL)
    return with_example(tmp_path)


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Server]:
    with running_postgresql() as server:
        to_postgresql(server.url)
        yield server


# --- the truth


def test_the_truth_is_recovered_exactly_from_files(mapping: Path) -> None:
    assert_is(frame(mapping), MODEL.truth)


def test_the_truth_is_recovered_exactly_from_parquet_files_with_names_in_capitals(tmp_path: Path) -> None:
    to_parquet(tmp_path / "cdm")
    assert_is(frame(with_example(tmp_path)), MODEL.truth)


def test_the_truth_is_recovered_exactly_from_parts_and_packed_files(tmp_path: Path) -> None:
    written(tmp_path / "cdm", MODEL)
    whole = MODEL.tables["measurement"]
    (tmp_path / "cdm" / "measurement.csv").unlink()
    (tmp_path / "cdm" / "measurement").mkdir()
    for number, rows in enumerate(np.array_split(np.arange(len(whole)), 3)):
        part = whole.iloc[rows]
        part.to_csv(tmp_path / "cdm" / "measurement" / f"part-{number}.csv.gz", index=False)
    assert_is(frame(with_example(tmp_path)), MODEL.truth)


def test_the_truth_is_recovered_exactly_from_postgresql(tmp_path: Path, postgresql: Server) -> None:
    path = from_database(with_example(tmp_path), postgresql.url)
    assert_is(frame(path), MODEL.truth)


def test_the_truth_is_recovered_exactly_from_sqlite(tmp_path: Path) -> None:
    path = from_database(with_example(tmp_path), to_sqlite(tmp_path / "model.db"), schema=None)
    assert_is(frame(path), MODEL.truth)


def test_files_and_databases_give_the_same_bytes_and_counts(mapping: Path, postgresql: Server) -> None:
    from_files = imported(mapping)
    from_server = imported(from_database(mapping, postgresql.url))
    assert as_bytes(from_files) == as_bytes(from_server)
    assert from_files.report.markers == from_server.report.markers
    assert from_files.report.outcomes == from_server.report.outcomes
    counts = [[each.rows_read for each in report.sources] for report in (from_files.report, from_server.report)]
    assert counts[0] == counts[1]


def as_bytes(cohort: ImportedCohort) -> bytes:
    content = io.BytesIO()
    pyarrow.parquet.write_table(cohort.table, content)
    return content.getvalue()


def test_an_import_twice_gives_the_same_bytes_and_the_order_of_rows_does_not_matter(mapping: Path) -> None:
    first = imported(mapping)
    assert as_bytes(imported(mapping)) == as_bytes(first)
    for path in (mapping.parent / "cdm").iterdir():
        header, *rows = path.read_text().splitlines(keepends=True)
        random.Random(7).shuffle(rows)
        path.write_text("".join([header, *rows]))
    second = imported(mapping)
    assert as_bytes(second) == as_bytes(first)
    assert second.report == first.report


def test_the_model_holds_what_models_hold() -> None:
    """Else the tests above would show little."""
    tables, truth = MODEL.tables, MODEL.truth
    conditions = tables["condition_occurrence"]
    several = conditions[conditions["condition_concept_id"].isin([LUNG, COLON])].groupby("person_id")
    assert (several["condition_concept_id"].nunique() > 1).sum() > 10
    assert tables["death"]["death_date"].isna().sum() == 1
    assert MODEL.undated not in set(truth["patient_id"])
    assert truth["stk11_mutated"].isna().sum() > truth["tp53_mutated"].isna().sum() > 0
    assert (truth["log10_crp"] == np.log10(0.5)).any()
    measured = tables["measurement"]
    assert measured.groupby("measurement_concept_id")["unit_concept_id"].nunique().max() >= 2
    assert measured["value_source_value"].notna().sum() > 50
    assert tables["person"]["month_of_birth"].isna().any()


# --- what is told


def time_zero() -> pd.Series:
    """By person: the first of their tumours that the study is about."""
    rows = MODEL.tables["condition_occurrence"]
    rows = rows[~rows["condition_concept_id"].isin([BREAST, DIABETES])]
    days: pd.Series = rows.groupby("person_id")["condition_start_date"].min()
    return days


def test_what_lies_before_the_diagnosis_is_left_out_and_counted(mapping: Path) -> None:
    report = imported(mapping).report
    assert report.left_out == {"overall_survival: an event without a date": 1}
    by_year = int(MODEL.tables["person"]["month_of_birth"].isna().sum())
    notes = [note for source in report.sources for note in source.notes]
    assert f"person.csv: {by_year} births are known by the year alone, and taken on 1 July" in notes
    crp = next(each for each in report.markers if each.marker == "log10_crp")
    zero = time_zero()
    rows = MODEL.tables["measurement"]
    rows = rows[rows["measurement_concept_id"] == 3020460]
    since = np.array(
        [(day - zero[who]).days for who, day in zip(rows["person_id"], rows["measurement_date"], strict=True)]
    )
    assert crp.outside_window == ((since < -30) | (since > 0)).sum() > 100
    assert crp.at_limit == (rows["operator_concept_id"] == 4171756).sum() > 0
    assert crp.converted == (f"{(rows['unit_concept_id'] == 8840).sum()} rows from mg/dl to mg/l (times 10)",)


def test_a_death_without_a_date_is_a_fault_unless_the_mapping_says_what_becomes_of_it(mapping: Path) -> None:
    change(mapping, ('without_date = "leave_out"\n', ""))
    with pytest.raises(InvalidInput, match=r"person.csv: .* has an event without a date \(1 row\)"):
        imported(mapping)
    change(mapping, ('last_contact = ["last_contact"]', 'last_contact = ["last_contact"]\nwithout_date = "censor"'))
    assert frame(mapping).set_index("patient_id").loc[MODEL.undated, "death_observed"] == 0


def test_what_happens_after_the_data_cut_is_a_fault_or_ended_there_and_counted(mapping: Path) -> None:
    path = mapping.parent / "cdm" / "observation_period.csv"
    alive = MODEL.truth[MODEL.truth["death_observed"] == 0]["patient_id"].iloc[0]
    with path.open("a") as file:
        file.write(f"99999,{alive},2019-01-01,2026-01-01\n")
    with pytest.raises(InvalidInput, match=r"goes on after the data cut \(1 row\)"):
        imported(mapping)
    change(mapping, ('without_date = "leave_out"', 'without_date = "leave_out"\nafter_cut = "censor"'))
    cohort = imported(mapping)
    assert cohort.report.outcomes[0].ended_at_cut == 1
    found = cohort.table.to_pandas().set_index("patient_id").loc[alive]
    zero = time_zero()[int(alive)]
    assert found["survival_months"] == pytest.approx((DATA_CUT - zero).days / 30.4375)


def test_two_deaths_of_one_person_are_a_fault(mapping: Path) -> None:
    path = mapping.parent / "cdm" / "death.csv"
    row = next(line for line in path.read_text().splitlines()[1:] if line.split(",")[1])
    person = row.split(",")[0]
    path.write_text(path.read_text() + f"{person},2023-03-03,,\n")
    with pytest.raises(InvalidInput, match="says different things of one patient"):
        imported(mapping)


def test_the_last_contact_is_of_the_tables_that_the_mapping_lists(mapping: Path) -> None:
    person = 'path = "cdm"\ntable = "person"'
    change(mapping, (person, f'{person}\ncontact_tables = ["visit_occurrence"]'))
    cohort = imported(mapping)
    assert "  last contact: the last day in visit_occurrence" in cohort.report.in_words.splitlines()
    found, visits = cohort.table.to_pandas(), MODEL.tables["visit_occurrence"].set_index("person_id")["visit_end_date"]
    zero = time_zero()
    alive = found[found["death_observed"] == 0]
    wanted = [(visits[int(who)] - zero[int(who)]).days / 30.4375 for who in alive["patient_id"]]
    np.testing.assert_allclose(alive["survival_months"], wanted)
    assert (found["survival_months"].to_numpy() < MODEL.truth["survival_months"].to_numpy()).sum() > 20


def test_a_visit_that_goes_on_is_a_contact_on_its_first_day(mapping: Path) -> None:
    person = 'path = "cdm"\ntable = "person"'
    change(mapping, (person, f'{person}\ncontact_tables = ["visit_occurrence"]'))
    visits = MODEL.tables["visit_occurrence"].drop(columns="visit_end_date").assign(visit_end_date="")
    visits.to_csv(mapping.parent / "cdm" / "visit_occurrence.csv", index=False)
    found, begun = imported(mapping).table.to_pandas(), visits.set_index("person_id")["visit_start_date"]
    zero = time_zero()
    alive = found[found["death_observed"] == 0]
    wanted = [
        (pd.Timestamp(begun[int(who)]) - pd.Timestamp(zero[int(who)])).days / 30.4375 for who in alive["patient_id"]
    ]
    np.testing.assert_allclose(alive["survival_months"], wanted)


def test_a_blank_behind_a_hospitals_own_code_means_nothing_in_files_and_databases(
    mapping: Path, postgresql: Server
) -> None:
    """As text of a fixed length has."""
    table = MODEL.tables["measurement"].copy()
    own = table["measurement_source_value"] == "LDH-37"
    assert own.sum() > 100
    table.loc[own, "measurement_source_value"] = "LDH-37 "
    table.to_csv(mapping.parent / "cdm" / "measurement.csv", index=False)
    assert_is(frame(mapping), MODEL.truth)
    to_postgresql(postgresql.url, replace(MODEL, tables={**MODEL.tables, "measurement": table}), schema="blanks")
    assert_is(frame(from_database(mapping, postgresql.url, schema="blanks")), MODEL.truth)


@pytest.mark.parametrize(
    ("code", "written"),
    [
        ("LDH-Ü", "LDH-U\u0308\t"),
        ("LDH-Ü", "LDH-\u00dc\u00a0"),
        ("LDH-Ü", "LDH-\u200b\u00dc"),
        ("LDH-K;`", "LDH-\u212a\u037e\u1fef"),  # the sign of kelvin, and marks of Greek
    ],
)
def test_a_hospitals_own_code_is_the_same_in_files_and_databases_however_it_is_written(
    mapping: Path, postgresql: Server, code: str, written: str
) -> None:
    """With other characters for a letter, and with blanks and marks that nobody sees."""
    change(mapping, ("source:LDH-37", f"source:{code}"))
    table = MODEL.tables["measurement"].copy()
    own = table["measurement_source_value"] == "LDH-37"
    table.loc[own, "measurement_source_value"] = written
    others = table[own].head(50).assign(measurement_source_value=f"LDH-X-{code[4:]}")  # which holds its letters, too
    table = pd.concat([table, others.assign(measurement_id=others["measurement_id"] + 10**7)], ignore_index=True)
    schema = f"written{len(written)}{ord(written[4])}"
    to_postgresql(postgresql.url, replace(MODEL, tables={**MODEL.tables, "measurement": table}), schema=schema)
    table.to_csv(mapping.parent / "cdm" / "measurement.csv", index=False)
    in_files, in_database = imported(mapping), imported(from_database(mapping, postgresql.url, schema=schema))
    assert as_bytes(in_files) == as_bytes(in_database)
    counts = [[each.rows_read for each in found.report.sources] for found in (in_files, in_database)]
    assert counts[0] == counts[1]
    assert_is(in_files.table.to_pandas(), MODEL.truth)


@pytest.mark.parametrize("name", ["person.parquet", "care_site.parquet", "death/part.parquet"])
def test_a_table_is_not_written_among_the_tables_of_the_model(mapping: Path, name: str) -> None:
    before = sorted((mapping.parent / "cdm").rglob("*"))
    said = oncofed("cohort", "import", str(mapping), "--out", str(mapping.parent / "cdm" / name))
    assert said.code == 2
    assert "lies in a folder of FHIR resources or of a model's tables" in said.text
    assert sorted((mapping.parent / "cdm").rglob("*")) == before


def test_a_column_that_tells_no_unit_is_refused_where_the_model_has_one(mapping: Path) -> None:
    change(mapping, ('codes = ["3020460"]', 'column = "value_as_number"'))
    with pytest.raises(InvalidInput, match="has neither its unit nor its limit"):
        read_mapping(mapping)


def test_the_first_day_of_observation_is_a_delayed_entry(mapping: Path) -> None:
    schema = mapping.with_name("schema.toml")
    change(schema, ('event = "death_observed"', 'event = "death_observed"\nentry = "entry_months"'))
    change(mapping, ('without_date = "leave_out"', 'without_date = "leave_out"\nentry_date = "first_contact"'))
    path = mapping.parent / "cdm" / "observation_period.csv"
    who = int(MODEL.truth[MODEL.truth["survival_months"] > 12]["patient_id"].iloc[0])
    periods = MODEL.tables["observation_period"].copy()
    zero = time_zero()[who]
    periods.loc[periods["person_id"] == who, "observation_period_start_date"] = date.fromordinal(zero.toordinal() + 61)
    periods.to_csv(path, index=False)
    cohort = imported(mapping)
    found = cohort.table.to_pandas().set_index("patient_id")["entry_months"]
    assert found[str(who)] == pytest.approx(61 / 30.4375)
    assert (found > 0).sum() == 1
    assert cohort.report.outcomes[0].entry_set_to_zero > 300


# --- what cells mean


def small(tmp_path: Path, mapping: Path, **tables: str) -> Path:
    """The model with some tables in place of its own."""
    for name, text in tables.items():
        (mapping.parent / "cdm" / f"{name}.csv").write_text(text)
    return mapping


def person_with(mapping: Path, cells: str, *, header: str = "") -> pd.DataFrame:
    """The CRP of the first patient by this one row of MEASUREMENT, at their time zero."""
    who = MODEL.truth["patient_id"].iloc[0]
    zero = time_zero()[int(who)]
    columns = header or COLUMNS["measurement"].replace(" ", ",")
    (mapping.parent / "cdm" / "measurement.csv").write_text(f"{columns}\n1,{who},3020460,{zero},{cells}\n")
    return frame(mapping).set_index("patient_id").loc[[who]]


@pytest.mark.parametrize(
    ("cells", "crp"),
    [
        ("4172703,12.5,,8751,,,", 12.5),
        (",1.25,,8840,,,", 12.5),
        ("4171756,0.5,,8751,,,", 0.5),
        ("4171754,0.5,,8751,,,", 0.5),
        ("4172704,300,,8751,,,", 300.0),
        ("4171755,300,,8751,,,", 300.0),
        (",,,8751,,,<0.6", 0.6),
        ("4171756,,,8751,,,0.7", 0.7),
        ("4171756,,,8751,,,<0.7", 0.7),
        (",1.25,,0,,mg/dl,", 12.5),
        (",1.25,,8840,,mg/l,", 12.5),
        (",12500,,8748,,,", 12.5),
    ],
)
def test_a_result_is_its_number_its_operator_and_its_unit(mapping: Path, cells: str, crp: float) -> None:
    assert person_with(mapping, cells)["log10_crp"].item() == pytest.approx(np.log10(crp), abs=1e-12)


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (",,9191,8751,,,", "is not a number"),
        (",,,8751,,,trace", "is not a number"),
        (",12.5,,9999,,,", 'has a unit that cannot be converted to "mg/l"'),
        (",12.5,,0,,,", "has no unit"),
        (",12.5,,8713,,,", "plausible range"),
    ],
)
def test_a_concept_is_no_number_and_an_unknown_unit_no_guess(mapping: Path, cells: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        person_with(mapping, cells)


def test_an_operator_stands_before_a_number_wherever_that_is_written(mapping: Path) -> None:
    change(mapping, ('limits = "at_limit"\ntransform = "log10"', 'limits = "half"\ntransform = "log10"'))
    for cells in ("4171756,5,,8751,,,", "4171756,,,8751,,,5"):
        assert person_with(mapping, cells)["log10_crp"].item() == pytest.approx(np.log10(2.5))


@pytest.mark.parametrize(("text", "crp"), [(".5", 0.25), ("1e1", 5.0), ("1:80", 3.0), ("3+", 4.0), ("5 or so", 2.0)])
def test_an_operator_stands_before_nothing_but_a_number(text: str, crp: float, mapping: Path) -> None:
    """A hospital's own words mean what the mapping says."""
    words = 'words = { "1:80" = "3", "3+" = "4", "5 or so" = "2" }'
    change(mapping, ('limits = "at_limit"\ntransform = "log10"', f'limits = "half"\n{words}\ntransform = "log10"'))
    assert person_with(mapping, f"4171756,,,8751,,,{text}")["log10_crp"].item() == pytest.approx(np.log10(crp))


def test_an_operator_that_is_not_known_is_told(mapping: Path) -> None:
    person_with(mapping, "4172704999,12.5,,8751,,,")
    told = [note for source in imported(mapping).report.sources for note in source.notes]
    assert "measurement.csv: 1 rows have an operator that is not known, and no limit" in told


def test_facts_of_a_model_without_a_value_are_refused(mapping: Path) -> None:
    """Who has the fact would be not measured, and who has not 0."""
    gene = 'codes = ["2000000302"]\n'
    change(mapping, (gene, gene + 'without_row = "0"\n'))
    path = mapping.parent / "cdm" / "measurement.csv"
    rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    told = [name for name in rows.columns if name.startswith("value_")]
    rows.loc[rows["measurement_concept_id"] == "2000000302", told] = ""
    rows.to_csv(path, index=False)
    with pytest.raises(InvalidInput, match="is told by no row of any patient"):
        imported(mapping)


def test_units_of_a_hospitals_own_are_told_by_the_mapping(mapping: Path) -> None:
    change(mapping, ('name = "measurements"', 'name = "measurements"\nunit_words = { 2000000999 = "mg/dl" }'))
    assert person_with(mapping, ",1.25,,2000000999,,,")["log10_crp"].item() == pytest.approx(np.log10(12.5))


def test_each_public_unit_is_one_that_the_program_knows() -> None:
    for text in UNITS.values():
        assert unit_of(text) or unit_of(text, counted=True), text


def test_columns_that_a_model_need_not_have_may_be_absent(mapping: Path) -> None:
    header = "measurement_id,person_id,measurement_concept_id,measurement_date,value_as_number,unit_source_value"
    found = person_with(mapping, "1.25,mg/dl", header=header)
    assert found["log10_crp"].item() == pytest.approx(np.log10(12.5))


def test_without_descendants_only_the_concept_itself_counts(mapping: Path) -> None:
    change(mapping, ("descendants = true\n", ""))
    change(mapping, ('without_date = "leave_out"', 'without_date = "leave_out"\nimpossible = "leave_out"'))
    with pytest.raises(InvalidInput, match="is of nobody in the study, where a patient without a row has something"):
        imported(mapping)
    mapping.write_text(mapping.read_text().replace('part = "omop"', 'part = "omop"\nof_nobody = "leave_out"'))
    conditions = MODEL.tables["condition_occurrence"]
    listed = conditions[conditions["condition_concept_id"].isin([LUNG, COLON])]["person_id"].nunique()
    assert imported(mapping).report.listed == listed < len(MODEL.truth)


@pytest.mark.parametrize("twice", ["", f"{COLON},2000000101,3\n"])  # by a longer way, too
def test_a_concept_as_near_to_two_listed_ones_is_refused(mapping: Path, twice: str) -> None:
    with (mapping.parent / "cdm" / "concept_ancestor.csv").open("a") as file:
        file.write(f"{COLON},2000000101,1\n{twice}")
    with pytest.raises(InvalidInput, match="as near to two of the concepts"):
        imported(mapping)


def test_a_list_of_concepts_holds_those_below_whatever_else_a_mapping_names(mapping: Path) -> None:
    """A marker that translates lower concepts changes neither who is a patient nor who has a drug of a class."""
    path = mapping.parent / "cdm" / "concept_ancestor.csv"
    rows = pd.read_csv(path)
    below = rows[rows["ancestor_concept_id"].isin([LUNG, COLON])]["descendant_concept_id"].unique()
    path.write_text(
        path.read_text()
        + "".join(f"443000,{concept},{1 + (concept not in (LUNG, COLON))}\n" for concept in {LUNG, COLON, *below})
    )
    change(
        mapping,
        ('keep = { condition_concept_id = ["443388", "4180790"] }', 'keep = { condition_concept_id = ["443000"] }'),
    )
    assert_is(frame(mapping), MODEL.truth)
    path.write_text(path.read_text() + "443000,4180790,1\n")  # a part that was joined twice
    assert_is(frame(mapping), MODEL.truth)


def test_a_year_of_birth_that_no_calendar_has_is_a_fault(mapping: Path) -> None:
    path = mapping.parent / "cdm" / "person.csv"
    persons = pd.read_csv(path, dtype=str, keep_default_na=False)
    persons.loc[0, "year_of_birth"] = "99999999999"
    persons.to_csv(path, index=False)
    with pytest.raises(InvalidInput, match=r"are no day \(1 row\)"):
        imported(mapping)


def test_a_vocabulary_is_read_as_everybody_gets_it(mapping: Path) -> None:
    """With tabs in a file called .csv, and quotation marks that belong to a name."""
    path = mapping.parent / "cdm" / "concept_ancestor.csv"
    path.rename(path.with_name("CONCEPT_ANCESTOR.csv"))
    path = path.with_name("CONCEPT_ANCESTOR.csv")
    path.write_text(path.read_text().replace(",", "\t"))
    known = (mapping.parent / "cdm" / "concept.csv").read_text().replace(",", "\t").splitlines()
    known = [
        f"{line}\t{name}"
        for line, name in zip(known, ["concept_name", *['"Cat scratch" disease'] * len(known)], strict=False)
    ]
    (mapping.parent / "cdm" / "concept.csv").unlink()
    (mapping.parent / "cdm" / "CONCEPT.csv").write_text("\n".join([*known, '2000000999\tmg/dL\tx\t3.5"']) + "\n")
    assert_is(frame(mapping), MODEL.truth)
    assert person_with(mapping, ",1.25,,2000000999,,,")["log10_crp"].item() == pytest.approx(np.log10(12.5))


def test_tables_of_the_vocabulary_are_read_as_their_publisher_gives_them(mapping: Path) -> None:
    """By tabs, with names in .csv, and with quotation marks that quote nothing."""
    path = mapping.parent / "cdm" / "concept_ancestor.csv"
    path.write_text(path.read_text().replace(",", "\t"))
    assert_is(frame(mapping), MODEL.truth)
    whole = path.read_bytes()
    path.write_bytes(whole + b"1\t2\n")
    with pytest.raises(InvalidInput, match=r"concept_ancestor.csv: has rows with more or fewer cells .* \(1 row\)"):
        imported(mapping)
    path.unlink()
    path.with_name("CONCEPT_ANCESTOR.csv.gz").write_bytes(gzip.compress(whole.replace(b"\n", b"\r\n"))[:-9])
    with pytest.raises(InvalidInput, match="archive is damaged"):
        imported(mapping)
    path.with_name("CONCEPT_ANCESTOR.csv.gz").write_bytes(gzip.compress(whole.replace(b"\n", b"\r\n")))
    assert_is(frame(mapping), MODEL.truth)
    path.with_name("concept.csv").write_text(
        'concept_id\tconcept_name\tconcept_code\n2000000999\t"Cat scratch" disease, 3.5"\tmg/dL\n'
    )
    assert person_with(mapping, ",1.25,,2000000999,,,")["log10_crp"].item() == pytest.approx(np.log10(12.5))


@pytest.mark.parametrize("cell", ['"{}"', "{}.0", "{} "])
def test_a_vocabulary_that_a_hospital_exported_again_is_read_alike(cell: str, mapping: Path) -> None:
    """Under the publisher's header: PostgreSQL's FORCE QUOTE, numbers of pandas, and columns of fixed width."""
    path = mapping.parent / "cdm" / "concept_ancestor.csv"
    header, *rows = path.read_text().replace(",", "\t").splitlines()
    again = "".join("\t".join(cell.format(each) for each in row.split("\t")) + "\n" for row in rows)
    path.write_text(f"{header}\n{again}")
    assert_is(frame(mapping), MODEL.truth)
    path.write_text(f"{header}\n{again}SCTID 1\t443388\t1\n")
    with pytest.raises(InvalidInput, match=r"concept_ancestor.csv: has rows of what is no concept .*\(1 row\)"):
        imported(mapping)


def test_a_list_of_a_column_in_capitals_holds_the_concepts_below(mapping: Path) -> None:
    """As SQL Server and Oracle name the model's columns."""
    change(mapping, ("keep = { condition_concept_id", "keep = { CONDITION_CONCEPT_ID"))
    assert_is(frame(mapping), MODEL.truth)


def test_a_word_for_not_known_is_no_concept(mapping: Path) -> None:
    """As SQL Server (NULL), COPY and some vendors (-1) write it."""
    change(mapping, ('site_source = "persons"', 'site_source = "persons"\nmissing = ["NULL", "-1"]'))
    for unknown in ("NULL", "-1"):
        found = person_with(mapping, f"{unknown},1.25,{unknown},8840,,,")
        assert found["log10_crp"].item() == pytest.approx(np.log10(12.5))
    with pytest.raises(InvalidInput, match="is no concept id"):
        person_with(mapping, "-2,1.25,,8840,,,")


def test_a_negative_concept_is_none_however_it_is_stored() -> None:
    for cells in ([-1.0, 5.0, np.nan], ["-1", "5", ""]):
        ids, wrong = ids_in(Column(pd.Series(cells)))
        assert (ids.tolist(), wrong.tolist()) == ([0, 5, 0], [True, False, False])


def test_a_word_for_no_concept_is_none_before_rows_are_chosen_and_another_is_asked(mapping: Path) -> None:
    """Else the hospital's own code beside it would be a row of nobody, and a drug nobody knows would be none."""
    change(mapping, ('table = "measurement"', 'table = "measurement"\nmissing = ["NULL", "-1"]'))
    change(mapping, ('codes = ["3020460"]', 'codes = ["source:OWN"]'))
    who = MODEL.truth["patient_id"].iloc[0]
    cells = f"{time_zero()[int(who)]},,1.25,,8840,OWN,,"
    for word in ("NULL", "-1", "0", ""):
        text = f"{COLUMNS['measurement'].replace(' ', ',')}\n1,{who},{word},{cells}\n"
        (mapping.parent / "cdm" / "measurement.csv").write_text(text)
        read = frame(mapping).set_index("patient_id").loc[who, "log10_crp"]
        assert read == pytest.approx(np.log10(12.5), abs=1e-12), word
    (mapping.parent / "cdm" / "measurement.csv").write_text(text.replace(f",{who},,", f",{who},-2,"))
    with pytest.raises(InvalidInput, match="is no concept id"):
        frame(mapping)


def test_a_database_sends_rows_without_a_concept_however_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "model.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE measurement (measurement_concept_id, measurement_source_value)")
        concepts = (5, 6, 0, None, -1, "NULL")
        database.executemany("INSERT INTO measurement VALUES (?, ?)", [(each, "OWN") for each in concepts])
    address = tmp_path / "address"
    address.write_text(f"sqlite:///{path}")
    address.chmod(0o600)
    source = Source(name="m", part=Part.OMOP, table=OmopTable.MEASUREMENT, url_file=address)
    columns = ["measurement_concept_id", "measurement_source_value"]
    with OpenDatabases(tmp_path) as databases:
        rows = DatabaseRows(source, databases)
        for unmapped, words in ((True, frozenset[str]()), (False, frozenset({"OWN"}))):
            only = Only(columns[0], frozenset({5}), columns[1], words, unmapped, ("NULL", "-1"))
            assert len(rows.read("measurement", columns, only=[only])) == 5


def test_words_mean_the_nearest_concept_and_lists_every_one() -> None:
    tree = Hierarchy(frozenset({"code"}), {"1": {"2": 1, "3": 2, "4": 2}, "2": {"3": 1}, "5": {"4": 2}})
    assert set(tree.with_below("code", ["1"])) == {"1", "2", "3", "4"}
    assert set(tree.with_below("code", ["2"])) == {"2", "3"}
    assert tree.with_below("value", ["1"]) == ("1",)
    assert tree.translated("code", {"1": "a", "2": "b"}) == {"1": "a", "2": "b", "3": "b", "4": "a"}
    assert tree.translated("code", {"2": "b", "1": "a"})["3"] == "b"
    assert tree.translated("value", {"1": "a"}) == {"1": "a"}
    assert tree.in_doubt("code", {"1": "a", "5": "b"}) == 1  # 4
    assert tree.in_doubt("code", {"1": "a", "5": "a"}) == 0
    assert tree.in_doubt("code", {"1": "a", "5": "b", "4": "c"}) == 0
    assert tree.in_doubt("value", {"1": "a", "5": "b"}) == 0


def test_first_systemic_therapy_may_be_time_zero(mapping: Path) -> None:
    change(
        mapping,
        (
            'source = "diagnoses"\ncolumn = "condition_start_date"',
            'source = "drugs"\ncolumn = "drug_exposure_start_date"',
        ),
    )
    change(
        mapping,
        ('patients = "diagnoses"', 'patients = "diagnoses"\nwithout_outcome = "leave_out"\noutside_range = "missing"'),
    )
    change(mapping, ('name = "drugs"', 'name = "drugs"\nkeep = { drug_concept_id = ["45775965"] }'))
    change(mapping, ('without_date = "leave_out"', 'without_date = "leave_out"\nimpossible = "leave_out"'))
    cohort = imported(mapping)
    drugs = MODEL.tables["drug_exposure"]
    first = drugs[drugs["drug_concept_id"] == 45775965].groupby("person_id")["drug_exposure_start_date"].min()
    assert cohort.report.left_out["no time zero"] == 480 - len(first)
    deaths = MODEL.tables["death"].dropna(subset=["death_date"]).set_index("person_id")["death_date"]
    found = cohort.table.to_pandas()
    for row in found[found["death_observed"] == 1].itertuples():
        days = (deaths[int(str(row.patient_id))] - first[int(str(row.patient_id))]).days
        assert row.survival_months == pytest.approx(days / 30.4375)


# --- a draft


def test_a_draft_of_a_model_is_read_once_its_diagnoses_are_named(mapping: Path) -> None:
    folder = mapping.parent / "draft"
    said = oncofed("cohort", "draft", str(mapping.parent / "cdm"), "--out", str(folder))
    assert said.code == 0, said.text
    drafted = folder / "mapping.toml"
    with pytest.raises(InvalidInput, match="keep, condition_concept_id"):
        read_mapping(drafted)
    change(drafted, ("condition_concept_id = []", 'condition_concept_id = ["443388", "4180790"]'))
    change(drafted, ("# without_date", "without_date"))
    found = frame(drafted).set_index("patient_id")
    truth = MODEL.truth.set_index("patient_id")
    for column, wanted in (("survival_months", "survival_months"), ("female", "female"), ("age_years", "age_years")):
        np.testing.assert_allclose(found[column], truth[wanted])
    np.testing.assert_allclose(found["log10_crp"], truth["log10_crp"])


def test_a_draft_knows_no_patient_and_takes_concepts_from_the_models_own_table(mapping: Path) -> None:
    concepts = mapping.parent / "cdm" / "concept.csv"
    concepts.write_text("concept_id,concept_code,vocabulary_id\n99887766,33959-8,LOINC\n99887755,33959-8,SNOMED\n")
    first = draft_omop(OmopPlace(mapping.parent / "cdm"), beside=mapping.parent)
    assert "99887766" in first[1]
    assert "99887755" not in first[1]
    for name in ("person", "death", "measurement", "condition_occurrence"):
        path = mapping.parent / "cdm" / f"{name}.csv"
        path.write_text(path.read_text().splitlines()[0] + "\n")
    assert draft_omop(OmopPlace(mapping.parent / "cdm"), beside=mapping.parent) == first


def test_a_draft_of_a_database_is_that_of_the_files_but_for_the_place(mapping: Path) -> None:
    from_files = draft_omop(OmopPlace(mapping.parent / "cdm"), beside=mapping.parent)
    from_database(mapping, to_sqlite(mapping.parent / "model.db"), schema=None)
    folder = mapping.parent / "draft"
    said = oncofed("cohort", "draft", "--url-file", str(mapping.parent / "address"), "--out", str(folder))
    assert said.code == 0, said.text
    assert (folder / "schema.toml").read_text() == from_files[0]
    wanted = from_files[1].replace('path = "cdm"', 'url_file = "../address"')
    assert (folder / "mapping.toml").read_text() == wanted


def test_a_draft_for_a_studys_schema_maps_what_the_codes_tell_and_lists_all_else(mapping: Path) -> None:
    with (mapping.parent / "cdm" / "concept.csv").open("a") as file:
        file.write("99887744,29463-7,LOINC\n99887733,39156-5,LOINC\n")
    schema = catalogue_schema(CATALOGUE).replace('unit = "kg/m2"', 'unit = "stone"')
    (mapping.parent / "study.toml").write_text(schema)
    folder = mapping.parent / "draft"
    said = oncofed(
        "cohort", "draft", mapping.parent / "cdm", "--schema", mapping.parent / "study.toml", "--out", folder
    )
    assert said.code == 0, said.text
    assert [path.name for path in folder.iterdir()] == ["mapping.toml"]
    drafted = folder / "mapping.toml"
    change(drafted, ("condition_concept_id = []", 'condition_concept_id = ["443388", "4180790"]'))
    change(drafted, ("# without_date", "without_date"))
    read = read_mapping(drafted)
    assert len(read.markers) == 350
    measured = {plan.marker.name: plan for plan in read.markers if not plan.mapped.not_measured}
    assert {"female", "age_years", "albumin", "log10_crp", "body_weight_kg"} < set(measured)
    assert measured["body_weight_kg"].mapped.codes == ("99887744",)
    assert not {"tumour_entity", "bmi", "TP53_mut"} & set(measured)  # of another unit than the catalogue's
    found = frame(drafted).set_index("patient_id")
    truth = MODEL.truth.set_index("patient_id")
    for column in ("female", "age_years", "log10_crp"):
        np.testing.assert_allclose(found[column], truth[column])
    np.testing.assert_allclose(found["albumin"], truth["albumin_g_per_l"])


def test_a_studys_schema_is_for_a_model_alone(mapping: Path) -> None:
    table = mapping.parent / "cdm" / "person.csv"
    schema = mapping.parent / "schema.toml"
    said = oncofed("cohort", "draft", table, "--schema", schema, "--out", mapping.parent / "draft")
    assert said.code == 2
    assert "--schema is for an OMOP model" in said.text


# --- a real database


def test_no_message_quotes_the_address_a_cell_or_the_statement(tmp_path: Path, postgresql: Server) -> None:
    path = from_database(with_example(tmp_path), postgresql.url.replace(PASSWORD, "wrong"))
    with pytest.raises(InvalidInput, match="database of address: its database refuses or cannot be reached") as refused:
        imported(path)
    assert len(refused.value.faults) == 1
    for words in (PASSWORD, "wrong", "127.0.0.1", str(postgresql.port)):
        assert words not in str(refused.value)


def test_an_address_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = from_database(with_example(tmp_path), to_sqlite(tmp_path / "model.db"), schema=None)
    (tmp_path / "address").chmod(0o644)
    with pytest.raises(InvalidInput, match="others than its owner may read this secret"):
        imported(path)


def test_a_table_that_is_not_there_and_a_column_that_is_not_are_told_at_once(
    tmp_path: Path, postgresql: Server
) -> None:
    tables = {name: table for name, table in MODEL.tables.items() if name != "episode"}
    tables["condition_occurrence"] = tables["condition_occurrence"].drop(columns="condition_start_date")
    to_postgresql(postgresql.url, replace(MODEL, tables=tables), schema="poor")
    path = from_database(with_example(tmp_path), postgresql.url, schema="poor")
    with pytest.raises(InvalidInput) as refused:
        imported(path)
    said = str(refused.value)
    assert "table episode: is not in the database" in said
    assert 'table condition_occurrence: column "condition_start_date": is not in the table' in said


def test_the_import_reads_in_a_transaction_that_cannot_write_and_of_one_state(
    tmp_path: Path, postgresql: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody deletes all measurements after the first table was read: the import sees them all the same."""
    import psycopg  # noqa: PLC0415 - an optional driver; the fixture has skipped without it
    from sqlalchemy import text  # noqa: PLC0415 - as above
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415 - as above

    from oncofed.client.importing import omop_rows  # noqa: PLC0415 - patched here

    to_postgresql(postgresql.url, schema="moving")
    seen: list[object] = []
    read = omop_rows.DatabaseRows.read

    def interrupted(rows: omop_rows.DatabaseRows, *arguments: object, **named: object) -> pd.DataFrame:
        found = read(rows, *arguments, **named)  # type: ignore[arg-type]  # as they came
        if not seen:
            with psycopg.connect(postgresql.url) as other:
                other.execute("DELETE FROM moving.measurement")
            connection = rows._databases.connection(rows._source)
            with pytest.raises(SQLAlchemyError, match="read-only"), connection.begin_nested():
                connection.execute(text("DELETE FROM moving.person"))
        seen.append(arguments)
        return found

    monkeypatch.setattr(omop_rows.DatabaseRows, "read", interrupted)
    assert_is(frame(from_database(with_example(tmp_path), postgresql.url, schema="moving")), MODEL.truth)
    assert len(seen) > 5


def of_three(
    folder: Path, drugs: str, *, death: str = "", source: str = "", persons: str = "", codes: str = '"19001"'
) -> Path:
    """The mapping of three persons, with a marker of their drugs; the other tables are those of `malformed_models`."""
    case = MalformedModel("", ())
    head = "person_id,drug_concept_id,drug_exposure_start_date,drug_source_value\n"
    marker = f'[[marker]]\nname = "drug"\nsource = "drugs"\ncodes = [{codes}]\nwithout_row = "0"\ntake = "any"\n'
    drugged = f'[[source]]\nname = "drugs"\npart = "omop"\npath = "cdm"\ntable = "drug_exposure"\n{source}\n'
    folder.mkdir()
    path = case.write(folder)
    path.write_text(path.read_text().replace('table = "person"', f'table = "person"\n{persons}') + drugged + marker)
    with (folder / "schema.toml").open("a") as file:
        file.write('[[marker]]\nname = "drug"\nmodality = "clinical"\nkind = "binary"\n')
    (folder / "cdm" / "drug_exposure.csv").write_text(head + drugs)
    with (folder / "cdm" / "death.csv").open("a") as file:
        file.write(death)
    return path


DRUGS = "80471,19001,2020-02-10,Keytruda\n80472,0,2020-02-10,KEYTRUDA 100\n80473,5,2020-02-10,Aspirin\n"


@pytest.mark.parametrize("database", [False, True])
def test_a_drug_that_nobody_has_mapped_may_be_any(database: bool, tmp_path: Path) -> None:
    """Beside `without_row` the person would count as without it."""

    def found(**said: str) -> list[float]:
        folder = tmp_path / f"{len([*tmp_path.iterdir()])}"
        path = of_three(folder, DRUGS, **said)
        if database:
            with create_engine(f"sqlite:///{folder / 'cdm.db'}", poolclass=NullPool).begin() as connection:
                for file in (folder / "cdm").glob("*.csv"):
                    pd.read_csv(file).to_sql(file.stem, connection, index=False, if_exists="replace")
            from_sqlite = f'url_file = "{folder / "address"}"'
            (folder / "address").write_text(f"sqlite:///{folder / 'cdm.db'}")
            (folder / "address").chmod(0o600)
            path.write_text(path.read_text().replace('path = "cdm"', from_sqlite))
        return [float(each) for each in frame(path)["drug"]]

    with pytest.raises(InvalidInput, match=r"has no code, or none of the usual .*\(1 row\).*without_code"):
        found()
    assert found(source='without_code = "leave_out"') == [1, 0, 0]
    assert found(codes='"19001", "source:KEYTRUDA 100"') == [1, 1, 0]
    with pytest.raises(InvalidInput, match=r"would have a code of marker .*\(1 row\).*near_words"):
        found(codes='"19001", "source:keytruda100"')
    assert found(codes='"19001", "source:keytruda100"', source='near_words = "alike"') == [1, 1, 0]


def test_a_death_of_nobody_in_person_is_refused_unless_the_mapping_leaves_others_out(tmp_path: Path) -> None:
    lost, some = "80479,2021-03-01\n", "80471,19001,2020-02-10,Keytruda\n"
    with pytest.raises(InvalidInput, match=r"is of nobody in person, .*\(1 row\).*of_nobody"):
        imported(of_three(tmp_path / "refused", some, death=lost))
    found = imported(of_three(tmp_path / "left out", some, death=lost, persons='of_nobody = "leave_out"'))
    assert found.report.outcomes[0].events == 1


@pytest.mark.parametrize("said", ["", 'of_nobody = "leave_out"'])
def test_a_death_of_nearly_a_person_is_asked(said: str, tmp_path: Path) -> None:
    """Beside `of_nobody` that person would be alive."""
    near, some = "080472,2021-03-01\n", "80471,19001,2020-02-10,Keytruda\n"
    with pytest.raises(InvalidInput, match=r"would be a person but for .*\(1 row\).*near_identifiers"):
        imported(of_three(tmp_path / "asked", some, death=near, persons=said))
    alike = f'{said}\nnear_identifiers = "alike"'
    found = imported(of_three(tmp_path / "alike", some, death=near, persons=alike))
    assert found.report.outcomes[0].events == 2


def test_a_contact_of_nearly_a_person_is_asked(tmp_path: Path) -> None:
    """Else who was seen last in that table was seen last before."""
    mapping = of_three(
        tmp_path / "asked", "80471.0,19001,2020-02-10,Keytruda\n", persons='contact_tables = ["drug_exposure"]'
    )
    with pytest.raises(InvalidInput, match=r"drug_exposure.csv: .* would be a person but for .*\(1 row\)"):
        imported(mapping)


def test_the_tables_that_are_read_are_of_the_model() -> None:
    for table in OMOP:
        assert table.value in COLUMNS or table.value in ("procedure_occurrence", "observation")


def test_a_model_of_nobody_is_refused(mapping: Path) -> None:
    header = COLUMNS["condition_occurrence"].replace(" ", ",")
    (mapping.parent / "cdm" / "condition_occurrence.csv").write_text(header + "\n")
    with pytest.raises(InvalidInput, match="names no patient"):
        imported(mapping)
    assert isinstance(MODEL, Model)
