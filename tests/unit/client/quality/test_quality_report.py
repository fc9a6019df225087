"""Does a hospital get its report, as words, as a page and for programs, and does none of them show a patient?"""

from __future__ import annotations

import json
import re
import stat
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.clean_hospital import LABORATORY, files, schema, schema_text, table
from tests.command_line import Said, oncofed
from tests.html_pages import HOSTILE, Page, unsafe

from oncofed.client.quality.content import table_content
from oncofed.client.quality.missing import missing_table
from oncofed.client.quality.page import quality_page
from oncofed.client.quality.report import OWN_EYES, QualityReport, quality_report
from oncofed.client.quality.study_needs import study_needs
from oncofed.cohort.encoding import columns
from oncofed.cohort.schema import StudySchema
from oncofed.cohort.schema_file import parse_schema
from oncofed.cohort.table import read_table
from oncofed.cohort.validation import read_cohort
from oncofed.protocol.plan import Member, ModelSpec, PrivacyMode, PrivacySpec, StudyPlan, TrainingSpec
from oncofed.protocol.signing import new_signing_key, public_key_of
from oncofed.protocol.study_document import document_bytes, signed_document

DAY = date(2026, 1, 1)


def report(spoilt: pd.DataFrame, study: StudySchema | None = None, **options: str | None) -> QualityReport:
    content = table_content(spoilt, study or schema(), where="table.csv", zero_column=options.get("zero"))
    return quality_report(content, cut=None, today=DAY)


# --- what is missing, counted by hand


def test_what_is_missing_is_told_by_year_where_it_is_known() -> None:
    rows = pd.DataFrame(
        {
            "patient_id": list("abcde"),
            "months": [1.0] * 5,
            "dead": [1, 0, 1, 0, 1],
            "zero": ["2014-03-01", "2014", "2015-01-01", "2015-06-30", ""],
            "albumin": [40, None, None, None, 41],
        }
    )
    found = missing_table(table_content(rows, schema(), where="t", zero_column="zero"))
    assert (found.by, found.groups, found.patients) == ("year of time zero", ("2014", "2015"), (2, 2))
    (albumin,) = (row for row in found.rows if row.marker == "albumin")
    assert (albumin.share, albumin.by_group) == (0.6, (0.5, 1.0))


def test_else_it_is_told_by_tumour() -> None:
    rows = pd.DataFrame(
        {
            "patient_id": list("abcd"),
            "months": [1.0] * 4,
            "dead": [1, 0, 1, 0],
            "entity": ["colon", "lung", "colon", "colon"],
            "albumin": [40, None, None, 38],
        }
    )
    found = missing_table(table_content(rows, schema(), where="t"))
    assert (found.by, found.groups, found.patients) == ("tumour", ("colon", "lung"), (3, 1))
    (albumin,) = (row for row in found.rows if row.marker == "albumin")
    assert albumin.by_group == pytest.approx((1 / 3, 1.0))


def test_many_years_are_gathered_and_none_is_lost() -> None:
    many = table(patients=200)
    many["zero"] = [str(1990 + number % 20) for number in range(200)]
    found = missing_table(table_content(many, schema(), where="t", zero_column="zero"))
    assert found.groups[:2] == ("before 1999", "1999")
    assert len(found.groups) == 12
    assert sum(found.patients) == 200


# --- what a study needs


def test_a_study_is_told_what_it_lacks_here() -> None:
    content = table_content(table().assign(sodium=None, calcium=None), schema(), where="t")
    text = schema_text() + '[[marker]]\nname = "KRAS_mut"\nmodality = "dna_mutation"\nkind = "binary"\n'
    wanted = parse_schema(text.replace('unit = "g/l"', 'unit = "g/dl"').replace("[8, 65]", "[0.8, 60]"), where="w")
    needs = study_needs("trial", wanted, schema(), missing_table(content))
    assert needs.never == ("calcium", "sodium", "KRAS_mut")
    assert (needs.markers, needs.measured) == (14, 11)
    told = [str(each) for each in needs.findings]
    assert any(each.startswith("study: 1 markers of the study are not in the table's schema") for each in told)
    assert any('marker "albumin", unit: "g/dl" in A, "g/l" in B' in each for each in told)


def test_a_marker_that_few_have_is_told() -> None:
    spoilt = table()
    spoilt.loc[spoilt.index >= 60, "sodium"] = None
    content = table_content(spoilt, schema(), where="t")
    needs = study_needs("trial", schema(), schema(), missing_table(content))
    assert (needs.rarely, needs.never, needs.findings) == (("sodium",), (), ())


# --- the page


def spoilt_table() -> pd.DataFrame:
    spoilt = table()
    spoilt.loc[0:2, "entity"] = "Bronchialkarzinom Mueller"
    spoilt.loc[10:16, "sodium"] = 777.25
    return spoilt


def test_the_page_is_one_file_without_script_that_loads_nothing() -> None:
    page = quality_page(report(spoilt_table(), zero="diagnosed"), made_on=DAY)
    assert unsafe(page) == []
    assert "url(" not in page
    assert Page(page).tags["svg"] == 2  # events, and years


def test_every_head_says_for_whose_eyes_it_is() -> None:
    page = quality_page(report(table()), made_on=DAY)
    assert page.count(OWN_EYES.replace("'", "&#39;")) == 3  # the screen's head, the head of each sheet, the foot
    assert report(table()).in_words.splitlines()[1] == OWN_EYES
    assert json.loads(report(table()).as_json)["own_eyes"] == OWN_EYES


def test_no_identifier_and_no_cell_is_told() -> None:
    found = report(spoilt_table(), zero="diagnosed")
    for text in (found.in_words, found.as_json, quality_page(found, made_on=DAY)):
        assert "Mueller" not in text
        assert "777.25" not in text
        assert not re.search(r"\bp0\d{4}\b", text)
        assert "2014-" not in text


@pytest.mark.parametrize("name", [each for each in HOSTILE if "\n" not in each])
def test_names_of_a_schema_and_of_a_file_are_escaped(name: str) -> None:
    study = parse_schema(schema_text().replace('name = "sodium"', f"name = {json.dumps(name)}"), where="s")
    content = table_content(table().rename(columns={"sodium": name}).assign(entity=name), study, where=name)
    page = quality_page(quality_report(content, cut=None, today=DAY), made_on=DAY)
    assert unsafe(page) == []
    assert name in Page(page).text


def test_the_same_report_of_a_day_gives_the_same_bytes() -> None:
    pages = {quality_page(report(spoilt_table(), zero="diagnosed"), made_on=DAY) for _ in range(2)}
    assert len(pages) == 1
    backwards = spoilt_table().iloc[::-1].reset_index(drop=True)
    assert report(backwards, zero="diagnosed").in_words == report(spoilt_table(), zero="diagnosed").in_words


def test_pictures_show_the_exact_counts() -> None:
    found = report(table(), zero="diagnosed")
    page = quality_page(found, made_on=DAY)
    years = pd.Series(table()["diagnosed"].str[:4]).value_counts()
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", page)
    for year, count in years.items():
        assert str(year) in texts
        assert str(count) in texts
    inside = int((table()["dead"].eq(1) & table()["months"].le(60)).sum())
    assert f"{inside:,} lie inside the study" in page


def test_a_table_of_which_nothing_can_be_read_still_has_a_report() -> None:
    nothing = pd.DataFrame({"patient_id": ["a", "b"], "other": [1, 2]})
    found = report(nothing)
    assert not found.clean
    assert "is missing from the table" in found.in_words
    assert "nan" not in found.in_words.lower()
    assert quality_page(found, made_on=DAY)
    json.loads(found.as_json)


def test_a_table_without_rows_still_has_a_report() -> None:
    found = report(table().iloc[:0])
    assert "the table has no rows" in found.in_words
    assert "nan" not in found.in_words.lower()
    assert quality_page(found, made_on=DAY)
    json.loads(found.as_json)


# --- the command


def quality(*arguments: str | Path) -> Said:
    return oncofed("cohort", "quality", *arguments)


def test_a_clean_table_ends_with_0_and_a_suspect_with_1(tmp_path: Path) -> None:
    path, described = files(tmp_path, table())
    clean = quality(path, "--schema", described, "--time-zero", "diagnosed", "--data-cut", "2025-01-01")
    assert clean.code == 0, clean.text
    assert "Suspects, to look at: none" in clean.text
    path, described = files(tmp_path, table().assign(sodium=None))
    told = quality(path, "--schema", described)
    assert told.code == 1
    assert 'marker "sodium": nobody has it' in told.text


def test_the_folder_gets_a_page_and_a_file_for_its_owner_alone(tmp_path: Path) -> None:
    path, described = files(tmp_path, table())
    told = quality(path, "--schema", described, "--out", tmp_path / "out")
    assert told.code == 0
    written = sorted((tmp_path / "out").iterdir())
    assert [each.name for each in written] == ["quality.html", "quality.json"]
    assert {stat.S_IMODE(each.stat().st_mode) for each in written} == {0o600}
    content = json.loads(written[1].read_text())
    assert (content["patients"], len(content["missing"]["rows"])) == (600, len(LABORATORY) + 6)
    assert str(tmp_path) not in written[0].read_text() + written[1].read_text()


def test_a_table_and_a_mapping_are_not_mixed_up(tmp_path: Path) -> None:
    path, described = files(tmp_path, table())
    assert quality(path).code == 2
    assert quality(described, "--schema", described).code == 2
    assert quality(described, "--time-zero", "diagnosed").code == 2
    missing = quality(path, "--schema", described, "--time-zero", "no_such")
    assert missing.code == 2
    assert 'column "no_such": is missing from the table' in missing.text


def test_a_time_zero_that_is_no_day_is_a_fault_with_its_count(tmp_path: Path) -> None:
    spoilt = table()
    spoilt.loc[0:3, "diagnosed"] = "in spring"
    path, described = files(tmp_path, spoilt)
    told = quality(path, "--schema", described, "--time-zero", "diagnosed")
    assert told.code == 1
    assert 'column "diagnosed": is neither a day nor a year (4 rows)' in told.text
    assert "spring" not in told.text


def test_a_mapping_knows_years_cut_and_what_was_left_out(tmp_path: Path) -> None:
    (tmp_path / "schema.toml").write_text(
        schema_text().partition('[[marker]]\nname = "entity"')[0].replace('tumour_entity = "entity"\n', "")
        + '[[marker]]\nname = "sodium"\nmodality = "laboratory"\nkind = "continuous"\nunit = "mmol/l"\n'
        "plausible_range = [90, 200]\ncentre = 140\nscale = 5\n"
    )
    (tmp_path / "patients.csv").write_text(
        "id,zero,death,last,sodium\n"
        + "".join(
            f"p{n},20{10 + n % 8}-03-01,{'2018-05-01' if n % 2 else ''},2018-06-01,14{n % 10}\n" for n in range(80)
        )
        + "q,2012-01-01,,,140\n"
    )
    (tmp_path / "mapping.toml").write_text(
        '[mapping]\nschema = "schema.toml"\npatients = "p"\nwithout_outcome = "leave_out"\n'
        '[[source]]\nname = "p"\npath = "patients.csv"\npatient = "id"\n[time_zero]\ncolumn = "zero"\n'
        '[[outcome]]\nname = "survival"\nevent_date = "death"\nlast_contact = ["last"]\ndata_cut = "2018-12-31"\n'
        '[[marker]]\nname = "sodium"\n'
    )
    told = quality(tmp_path / "mapping.toml", "--out", tmp_path / "out")
    content = json.loads((tmp_path / "out" / "quality.json").read_text())
    assert content["missing"]["groups"] == [str(year) for year in range(2010, 2018)]
    assert content["years"]["2010"] == 10
    assert "left out: 1" in told.text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mapping.toml", "out", "patients.csv", "schema.toml"]


def test_a_study_may_be_a_schema_file(tmp_path: Path) -> None:
    path, described = files(tmp_path, table())
    (tmp_path / "study.toml").write_text(schema_text())
    told = quality(path, "--schema", described, "--study", tmp_path / "study.toml")
    assert told.code == 0, told.text
    assert "study clean: 13 of its 13 markers are measured here" in told.text


def test_a_study_may_be_the_document_that_a_coordinator_sends(tmp_path: Path) -> None:
    key = new_signing_key()
    plan = StudyPlan(
        study="trial",
        schema_hash=schema().hash,
        model=ModelSpec(len(columns(schema())), ("survival",), schema().grid, schema().baseline_hazard, (4,)),
        training=TrainingSpec(rounds=7),
        privacy=PrivacySpec(PrivacyMode.LOCAL, 1.0, 1e-5, 11.5, 2.0, reserve_rounds=2),
        roster=("aachen", "bonn"),
        quorum=2,
        members=(Member("aachen", "key a"), Member("bonn", "key b")),
        coordinator_public_key=public_key_of(key).hex(),
        bundle_sha256="0" * 64,
        released=("the model",),
    )
    document = signed_document(plan, schema_toml=schema_text(), signing_key=key)
    (tmp_path / "study.json").write_bytes(document_bytes(document))
    path, described = files(tmp_path, table())
    told = quality(path, "--schema", described, "--study", tmp_path / "study.json")
    assert told.code == 0, told.text
    assert "study trial: 13 of its 13 markers are measured here" in told.text
    (tmp_path / "study.json").write_bytes(document_bytes(document)[:-9])
    assert quality(path, "--schema", described, "--study", tmp_path / "study.json").code == 2


def test_reading_tells_what_validation_would(tmp_path: Path) -> None:
    """The lenient reading of a sound table is the cohort that a study would get."""
    path, _ = files(tmp_path, table())
    content = table_content(read_table(path), schema(), where="t")
    cohort = read_cohort(path, schema())
    np.testing.assert_array_equal(content.values, cohort.values)
    np.testing.assert_array_equal(content.observed, cohort.observed)
    np.testing.assert_array_equal(content.exit, cohort.exit)
    np.testing.assert_array_equal(content.entry, cohort.entry)
