"""Does each row keep its own unit, limit and day, whichever way a mapping comes to it?"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from tests.small_tables import MAPPING, PATIENTS, SCHEMA, imported

from oncofed.client.importing.cohort_import import ImportedCohort
from oncofed.client.importing.commands import check_mapping
from oncofed.client.importing.mapping_file import read_mapping
from oncofed.errors import Fault, InvalidInput


def values(found: ImportedCohort) -> list[float]:
    return [float(value) for value in found.table.to_pandas()["value"]]


def faults(folder: Path, laboratory: str, *, unit: str, marker: str, patients: str = PATIENTS) -> tuple[Fault, ...]:
    with pytest.raises(InvalidInput) as refused:
        imported(folder, laboratory, unit=unit, marker=marker, patients=patients)
    return tuple(refused.value.faults)


HEADER = "id,day,code,number,unit\n"


@pytest.mark.parametrize(
    ("unit", "last", "more"),
    [
        ("mg/l", "9999", ""),
        ("mg/l", "<1", 'limits = "half"'),
        ("mg/l", "9999", "window = [-400, 0]"),
        ("log10(mg/l)", "0", 'transform = "log10"'),
        ("log10(mg/l)", "<1", 'transform = "log10"\nlimits = "half"'),
        ("log1p(mg/l)", "-1", 'transform = "log1p"'),
    ],
)
def test_no_older_row_takes_the_place_of_a_value_that_cannot_be(
    unit: str, last: str, more: str, tmp_path: Path
) -> None:
    """A patient whose last value is not detectable never had the value of months before."""
    cells = [("1", "2020-06-01", "9"), ("1", "2021-01-01", last), ("2", "2021-01-01", last), ("3", "2021-01-01", "9")]
    rows = "".join(f"{who},{day},crp,{value},mg/l\n" for who, day, value in cells)
    marker = f'codes = ["crp"]\ntake = "last"\noutside_range = "missing"\n{more}'
    schema = SCHEMA.replace("[0, 1000]", "[0.9, 1000]")
    found = imported(tmp_path, HEADER + rows, unit=unit, marker=marker, schema=schema)
    kept = {"mg/l": 9.0, "log10(mg/l)": np.log10(9), "log1p(mg/l)": np.log(10)}[unit]
    np.testing.assert_allclose(values(found), [np.nan, np.nan, kept])
    assert ", 2 emptied: outside the plausible range" in found.report.in_words


def test_two_values_of_which_one_cannot_be_are_two(tmp_path: Path) -> None:
    rows = "1,2021-01-01,crp,9999,mg/l\n1,2021-01-01,crp,5,mg/l\n"
    for take in ("", 'take = "last"'):
        marker = f'codes = ["crp"]\noutside_range = "missing"\n{take}'
        (fault,) = faults(tmp_path, HEADER + rows, unit="mg/l", marker=marker)
        assert "in several rows" in fault.what or "several values of one patient" in fault.what


def test_what_patients_without_a_row_have_is_emptied_too_where_it_cannot_be(tmp_path: Path) -> None:
    marker = 'codes = ["crp"]\noutside_range = "missing"\nwithout_row = "2000"'
    found = imported(tmp_path, HEADER + "1,2021-01-01,crp,5,mg/l\n", unit="mg/l", marker=marker)
    np.testing.assert_array_equal(values(found), [5, np.nan, np.nan])
    assert "2 emptied: outside the plausible range, 2 filled: without a row" in found.report.in_words


def test_values_of_days_that_have_not_come_are_counted(tmp_path: Path) -> None:
    rows = "1,2021-01-01,crp,5,mg/l\n1,2030-01-02,crp,6,mg/l\n2,2021-08-01,crp,7,mg/l\n3,2021-01-01,crp,8,mg/l\n"
    marker = 'codes = ["crp"]\ntake = "first"'
    found = imported(tmp_path, HEADER + rows, unit="mg/l", marker=marker, today=date(2021, 8, 1))
    assert "1 rows of days after today" in found.report.in_words


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ('yes = ["dead"]', 'yes = ["dead", "alive"]', '[[outcome]] "os", yes'),
        (
            'yes = ["dead"]',
            'yes = ["TRUE"]\ndeath = "died"\ndeath_no = ["1"]\ndeath_yes = ["1.0"]',
            '[[outcome]] "os", death_yes',
        ),
        ('patients = "patients"', 'patients = "patients"\nmissing = ["dead"]', '[[outcome]] "os", yes'),
        ('yes = ["dead"]\nno = ["alive"]', 'yes = ["TRUE"]\nno = ["true"]', '[[outcome]] "os", yes'),
        ('codes = ["crp"]', 'codes = ["crp"]\nwords = { ND = "0" }\nmissing = ["ND"]', '[[marker]] "value", words'),
    ],
)
def test_a_word_cannot_mean_two_things(old: str, new: str, where: str, tmp_path: Path) -> None:
    text = MAPPING.replace("{marker}", 'codes = ["crp"]').replace("{source}", "")
    assert old in text
    (tmp_path / "schema.toml").write_text(SCHEMA.format(unit="mg/l"))
    (tmp_path / "mapping.toml").write_text(text.replace(old, new))
    with pytest.raises(InvalidInput, match="has a word that stands under") as refused:
        read_mapping(tmp_path / "mapping.toml")
    assert [fault.where for fault in refused.value.faults] == [f"mapping.toml: {where}"]


def test_an_import_without_enough_memory_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unpacked(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("oncofed.cohort.table.plain_text", unpacked)
    with pytest.raises(InvalidInput, match="needs more memory than this machine has, with the source patients"):
        imported(tmp_path, HEADER + "1,2021-01-01,crp,5,mg/l\n", unit="mg/l", marker='codes = ["crp"]')


def test_a_check_says_what_an_import_would_and_writes_nothing(tmp_path: Path) -> None:
    found = imported(tmp_path, HEADER + "1,2021-01-01,crp,5,mg/l\n", unit="mg/l", marker='codes = ["crp"]')
    before = sorted(tmp_path.iterdir())
    result = CliRunner().invoke(check_mapping, [str(tmp_path / "mapping.toml")])
    assert result.output == found.report.in_words + "Nothing was written.\n"
    assert sorted(tmp_path.iterdir()) == before


LDH = """id,day,code,number,unit,limit
1,2021-01-01,ldh,500,U/l,250
2,2021-01-01,ldh,10,ukat/l,4
3,2021-01-01,ldh,100,,200
"""


def test_a_row_over_its_own_limit_is_a_ratio_whatever_the_unit_of_both(tmp_path: Path) -> None:
    marker = 'codes = ["ldh"]\nanalyte = "ldh"\ntransform = "ratio"\nupper_limit_column = "limit"'
    assert values(imported(tmp_path, LDH, unit="ULN", marker=marker)) == [2.0, 2.5, 0.5]
    assert values(imported(tmp_path, LDH, unit="ULN", marker=f'{marker}\nunit = "U/l"')) == [2.0, 2.5, 0.5]


@pytest.mark.parametrize("limit", ["0", "-250", ""])
def test_a_limit_that_is_not_above_0_is_none(limit: str, tmp_path: Path) -> None:
    marker = 'codes = ["ldh"]\nanalyte = "ldh"\ntransform = "ratio"\nupper_limit_column = "limit"'
    (fault,) = faults(tmp_path, LDH.replace(",250\n", f",{limit}\n"), unit="ULN", marker=marker)
    assert (fault.what, fault.count) == ("has no upper limit above 0", 1)


def test_one_limit_for_rows_of_several_units_has_a_unit(tmp_path: Path) -> None:
    marker = 'codes = ["ldh"]\nanalyte = "ldh"\ntransform = "ratio"\nupper_limit = 200'
    (fault,) = faults(tmp_path, LDH, unit="ULN", marker=marker)
    assert fault.what == "is missing: that of upper_limit"
    # 10 µkat/l are 600 U/l; a row without a unit has that of the mapping.
    assert values(imported(tmp_path, LDH, unit="ULN", marker=f'{marker}\nunit = "U/l"')) == pytest.approx([2.5, 3, 0.5])


SHARE = "id,day,code,number,unit\n1,2021-01-01,c,0.8,\n2,2021-01-01,c,0.6,%\n3,2021-01-01,c,0.5,\n"


@pytest.mark.parametrize("unit", ["%", "l/l", "mg/l"])
def test_a_number_without_a_unit_is_no_share_and_no_per_cent(tmp_path: Path, unit: str) -> None:
    laboratory = SHARE.replace("%", unit)
    (fault,) = faults(tmp_path, laboratory, unit=unit, marker='codes = ["c"]')
    assert (fault.what, fault.count) == ("has no unit", 2)
    marker = f'codes = ["c"]\nunit = "{unit}"'
    assert values(imported(tmp_path, laboratory, unit=unit, marker=marker)) == pytest.approx([0.8, 0.6, 0.5])


@pytest.mark.parametrize("unit", ["INR", "1", "ratio"])
def test_a_bare_number_needs_no_unit_where_nobody_writes_one(tmp_path: Path, unit: str) -> None:
    found = imported(tmp_path, SHARE.replace("%", unit), unit=unit, marker='codes = ["c"]')
    assert values(found) == [0.8, 0.6, 0.5]


CRP = "id,day,code,number,unit\n1,2021-01-01,crp,5,mg/l\n2,2021-01-01,crp,5,mg/dl\n3,2021-01-01,crp,7,mg/dl\n"


def test_a_value_has_its_unit_by_its_column_too(tmp_path: Path) -> None:
    """Without codes: of a source that keeps rows of one kind, or has no others."""
    marker = 'column = "number"\nanalyte = "crp"'
    found = imported(tmp_path, CRP, unit="mg/l", marker=marker, source='keep = { code = ["crp"] }')
    assert values(found) == [5.0, 50.0, 70.0]
    (fault,) = faults(tmp_path, CRP.replace("mg/l", ""), unit="mg/l", marker=marker)
    assert fault.what == "has no unit"


def test_values_after_time_zero_are_counted_where_no_window_says_that_they_count(tmp_path: Path) -> None:
    later = "id,day,code,number,unit\n1,2020-12-31,crp,5,mg/l\n1,2021-05-30,crp,300,mg/l\n2,2021-01-01,crp,9,mg/l\n"
    marker = 'codes = ["crp"]\ntake = "last"'
    found = imported(tmp_path, later, unit="mg/l", marker=marker)
    assert found.report.markers[0].after_zero == 1
    assert "1 rows from after time zero, which count without a window" in found.report.in_words
    within = imported(tmp_path, later, unit="mg/l", marker=f"{marker}\nwindow = [-30, 0]")
    assert values(within)[0] == 5.0
    assert (within.report.markers[0].after_zero, within.report.markers[0].outside_window) == (0, 1)


@pytest.mark.parametrize(("cell", "missing"), [("99", True), ("99,0", True), ("99,00", True), ("99,5", False)])
def test_a_word_for_missing_is_a_number_however_it_is_written(tmp_path: Path, cell: str, missing: bool) -> None:
    laboratory = f"id;day;code;number;unit\n1;2021-01-01;crp;{cell};mg/l\n2;2021-01-01;crp;5,5;mg/l\n"
    source = 'separator = "semicolon"\ndecimal = "comma"\nmissing = ["99"]'
    found = imported(tmp_path, laboratory, unit="mg/l", marker='codes = ["crp"]', source=source)
    assert np.isnan(values(found)[0]) is np.bool_(missing)
    assert found.report.markers[0].missing == int(missing)


@pytest.mark.parametrize("end", ["2099-12-31", "2199-12-31", "2200-01-01"])
def test_nobody_was_seen_after_today(end: str, tmp_path: Path) -> None:
    """An open end is often written as 2099-12-31, and would be eighty years without an event."""
    open_end = PATIENTS.replace("2,alive,,2021-07-01", f"2,alive,,{end}")
    (fault,) = faults(tmp_path, CRP, unit="mg/l", marker='codes = ["crp"]', patients=open_end)
    assert (fault.what, fault.count) == ("of a patient goes on after today", 1)
    assert "2099" in fault.remedy
    assert "data_cut" in fault.remedy
    for today, right in ((date(2021, 7, 1), True), (date(2021, 6, 30), False)):
        if right:
            imported(tmp_path, CRP, unit="mg/l", marker='codes = ["crp"]', today=today)
        else:
            with pytest.raises(InvalidInput, match="after today"):
                imported(tmp_path, CRP, unit="mg/l", marker='codes = ["crp"]', today=today)


def test_a_code_that_no_row_has_is_told(tmp_path: Path) -> None:
    """A slip of the pen would give everybody what stands for "without a row"."""
    marker = 'codes = ["crq", "c*p"]\nwithout_row = "0"\nmay_be_of_nobody = true'
    found = imported(tmp_path, CRP, unit="mg/l", marker=marker)
    assert values(found) == [0.0, 0.0, 0.0]
    assert "no row has crq, c*p" in found.report.in_words
    right = imported(tmp_path, CRP, unit="mg/l", marker='codes = ["crp"]\nanalyte = "crp"')
    assert "no row has" not in right.report.in_words


WORDLESS = PATIENTS.replace("1,dead,2021-06-01", "1,,2021-06-01")


def test_a_day_of_death_without_a_word_is_told_as_that(tmp_path: Path) -> None:
    """It is no death by guess: the day may be that of the last contact, and the word a "not known"."""
    (fault,) = faults(tmp_path, CRP, unit="mg/l", marker='codes = ["crp"]\nanalyte = "crp"', patients=WORDLESS)
    assert fault.what == "of a patient tells the day of an event, and no word that there was one"


def test_who_is_left_out_for_a_missing_word_is_counted_apart(tmp_path: Path) -> None:
    patients = WORDLESS.replace("3,alive,,2021-07-01", "3,,,2021-07-01")
    marker = 'codes = ["crp"]\nanalyte = "crp"'
    text = MAPPING.replace('patients = "patients"\n', 'patients = "patients"\nwithout_outcome = "leave_out"\n', 1)
    text = text.replace('last_contact = ["seen"]', 'last_contact = ["seen"]\nmay_be_of_nobody = true')
    found = imported(tmp_path, CRP, unit="mg/l", marker=marker, patients=patients, mapping=text)
    assert found.report.left_out == {
        "os: a day of an event, and no word that there was one": 1,
        "os: no outcome": 1,
    }


def test_a_column_of_either_day_makes_nobody_dead_who_is_not_called_so(tmp_path: Path) -> None:
    """One column holds the days of deaths and of last contacts; whose word is empty has no outcome."""
    patients = (
        "id,state,died,diagnosed\n"
        "1,dead,2021-06-01,2021-01-01\n2,alive,2021-07-01,2021-01-01\n3,,2021-07-01,2021-01-01\n"
    )
    text = MAPPING.replace('last_contact = ["seen"]', 'last_contact = ["died"]')
    text = text.replace('patients = "patients"\n', 'patients = "patients"\nwithout_outcome = "leave_out"\n', 1)
    marker = 'codes = ["crp"]\nanalyte = "crp"'
    found = imported(tmp_path, CRP, unit="mg/l", marker=marker, patients=patients, mapping=text)
    assert found.table.to_pandas()["dead"].tolist() == [1, 0]
    assert found.report.left_out == {"os: no outcome": 1}


def test_whom_nobody_knows_is_no_patient_and_no_laboratory_rows_are_theirs(tmp_path: Path) -> None:
    text = MAPPING.replace('patients = "patients"\n', 'patients = "patients"\nmissing = ["NA"]\n', 1)
    rows = CRP + "NA,2021-01-01,crp,9,mg/l\nNULL,2021-01-01,crp,9,mg/l\n"
    marker = 'codes = ["crp"]\nanalyte = "crp"'
    found = imported(tmp_path, rows, unit="mg/l", marker=marker, mapping=text)
    assert [source.rows_without_identifier for source in found.report.sources] == [0, 2]
    for unknown in ("NA", "#NV", "nan"):
        patients = PATIENTS + f"{unknown},alive,,2021-07-01,2021-01-01\n" * 2
        with pytest.raises(InvalidInput, match=r'column "id": the identifier is missing \(2 rows\)'):
            imported(tmp_path, rows, unit="mg/l", marker=marker, mapping=text, patients=patients)


@pytest.mark.parametrize(
    ("unit", "cells", "take", "wanted"),
    [
        ("mg/l", ("80", "<1"), "last", np.nan),  # not detectable at last, and never 80 again
        ("mg/l", ("<1", "80"), "last", 80),
        ("mg/l", ("80", ">700"), "max", np.nan),
        ("mg/l", ("80", "<1"), "max", 80),
        ("mg/l", ("80", "<1"), "min", np.nan),
        ("log10(mg/l)", ("80", "<1"), "last", np.nan),
    ],
)
def test_a_value_beyond_a_limit_that_is_missing_gives_its_place_to_none(
    unit: str, cells: tuple[str, str], take: str, wanted: float, tmp_path: Path
) -> None:
    rows = f"1,2020-06-01,crp,{cells[0]},mg/l\n1,2021-01-01,crp,{cells[1]},mg/l\n2,2021-01-01,crp,10,mg/l\n"
    marker = f'codes = ["crp"]\nlimits = "missing"\ntake = "{take}"'
    marker += '\ntransform = "log10"' if "log10" in unit else ""
    found = imported(tmp_path, HEADER + rows, unit=unit, marker=marker)
    np.testing.assert_array_equal(values(found), [wanted, 1 if "log10" in unit else 10, np.nan])
    assert "1 rows beyond a limit of detection" in found.report.in_words


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        ("1,2021-01-01,crp,,", [np.nan, 0, 0]),  # a fact without a value, or a result that is pending
        ("1,2021-01-01,crp,pending,", [np.nan, 0, 0]),
        ("B,2021-01-01,crp,5,mg/l", [0, 0, 0]),
    ],
)
def test_what_no_row_of_a_patient_tells_is_nobodys_only_if_the_mapping_says_so(
    row: str, wanted: list[float], tmp_path: Path
) -> None:
    """Everybody would have what stands for none."""
    rows = f"{HEADER}{row}\n2,2021-01-01,other,5,mg/l\n"
    marker = 'codes = ["crp"]\nwithout_row = "0"\nmissing = ["pending"]'
    told = faults(tmp_path, rows, unit="mg/l", marker=marker)[-1]
    assert told.what.startswith("is told by no row of any patient")
    mapped = f"{marker}\nmay_be_of_nobody = true"
    found = imported(tmp_path, rows, unit="mg/l", marker=mapped, source='of_nobody = "leave_out"')
    np.testing.assert_array_equal(values(found), wanted)


NEARLY = HEADER + "1,2021-01-01,e11.9,1,mg/l\n2,2021-01-01,{near},1,mg/l\n3,2021-01-01,F1,1,mg/l\n"
"""A row of patient 2 whose code is nearly that of patient 1."""


@pytest.mark.parametrize("near", ["E11.9", "e119", "E 11.9", "e11-9"])
@pytest.mark.parametrize("codes", ["e11.9", "e11.*"])
@pytest.mark.parametrize("without", ['without_row = "0"', ""])
def test_of_a_code_that_is_nearly_written_so_the_mapping_says_whether_it_is_one(
    near: str, codes: str, without: str, tmp_path: Path
) -> None:
    rows, marker = NEARLY.format(near=near), f'codes = ["{codes}"]\n{without}'
    (fault,) = faults(tmp_path, rows, unit="mg/l", marker=marker)
    assert (fault.where, fault.count) == ('laboratory.csv: column "code"', 1)
    assert 'near_words = "alike"' in fault.remedy
    none = 0 if without else np.nan
    for said, second in (("alike", 1), ("differ", none)):
        found = imported(tmp_path, rows, unit="mg/l", marker=marker, source=f'near_words = "{said}"')
        np.testing.assert_array_equal(values(found), [1, second, none])
    both = imported(tmp_path, rows, unit="mg/l", marker=f'codes = ["{codes}", "{near}"]\n{without}')
    np.testing.assert_array_equal(values(both), [1, 1, none])


def test_a_code_that_the_mapping_names_elsewhere_is_no_slip_of_the_pen(tmp_path: Path) -> None:
    rows = HEADER + "1,2021-01-01,Na,140,mg/l\n2,2021-01-01,NA,7,mg/l\n"
    marker = 'codes = ["Na"]\n[[marker]]\nname = "other"\nsource = "laboratory"\ncodes = ["NA"]'
    other = SCHEMA[SCHEMA.index("[[marker]]") :].replace('"value"', '"other"')
    found = imported(tmp_path, rows, unit="mg/l", marker=marker, schema=SCHEMA + other).table.to_pandas()
    np.testing.assert_array_equal(found[["value", "other"]], [[140, np.nan], [np.nan, 7], [np.nan, np.nan]])


@pytest.mark.parametrize("listed", ["E11*", "E11.9"])
def test_of_a_row_that_keep_nearly_names_the_mapping_says_whether_it_is_kept(listed: str, tmp_path: Path) -> None:
    rows, marker = NEARLY.format(near="E11.9"), 'codes = ["e11.9", "E11.9"]'
    keep = f'keep = {{ code = ["{listed}"] }}'
    with pytest.raises(InvalidInput, match=r"would be a word of keep but for .*\(1 row\).*near_words"):
        imported(tmp_path, rows, unit="mg/l", marker=marker, source=keep)
    for said, first in (("alike", 1.0), ("differ", np.nan)):
        found = imported(tmp_path, rows, unit="mg/l", marker=marker, source=f'{keep}\nnear_words = "{said}"')
        np.testing.assert_array_equal(values(found), [first, 1, np.nan])


def test_rows_that_keep_nothing_in_a_column_of_keep_are_told(tmp_path: Path) -> None:
    rows = CRP + "1,2021-01-01,,9,mg/l\n"
    marker, keep = 'codes = ["crp"]\nanalyte = "crp"', 'keep = { code = ["crp"] }'
    found = imported(tmp_path, rows, unit="mg/l", marker=marker, source=keep)
    assert 'keep: 1 rows have nothing in "code", and are not kept' in found.report.in_words


def test_a_code_that_nothing_has_is_a_fault_where_a_missing_row_means_something(tmp_path: Path) -> None:
    """Here it may have another name, and whoever has it would count as without."""
    marker = 'codes = ["crp", "crq", "c-p*"]\nanalyte = "crp"\n'
    imported(tmp_path, CRP, unit="mg/l", marker=marker)
    (fault,) = faults(tmp_path, CRP, unit="mg/l", marker=f'{marker}without_row = "0"')
    assert fault.what.startswith("there is no row of crq, c-p*")
    assert 'may_be_absent = ["crq", "c-p*"]' in fault.remedy
    imported(tmp_path, CRP, unit="mg/l", marker=f'{marker}without_row = "0"\nmay_be_absent = ["crq", "c-p*"]')
    for said, word in (("crr", "names what is no code"), ("crq", "without without_row")):
        text = marker + f'may_be_absent = ["{said}"]' + ('\nwithout_row = "0"' if said == "crr" else "")
        with pytest.raises(InvalidInput, match=f"may_be_absent: .*{word}"):
            imported(tmp_path, CRP, unit="mg/l", marker=text)


def test_rows_that_all_lie_outside_of_the_window_tell_nothing(tmp_path: Path) -> None:
    rows = HEADER + "1,2019-01-01,crp,5,mg/l\n2,2019-01-01,crp,7,mg/l\n"
    marker = 'codes = ["crp"]\nwindow = [-30, 0]\nwithout_row = "0"'
    (fault,) = faults(tmp_path, rows, unit="mg/l", marker=marker)
    assert fault.what.startswith("is told by no row of any patient in its window")
    assert values(imported(tmp_path, rows, unit="mg/l", marker=f"{marker}\nmay_be_of_nobody = true")) == [0, 0, 0]


def test_a_row_of_a_patient_that_does_not_say_what_it_is_of_is_a_fault_where_a_missing_row_means_something(
    tmp_path: Path,
) -> None:
    rows = CRP + "3,2021-01-01,,5,mg/l\nX,2021-01-01,,5,mg/l\n"
    marker = 'codes = ["crp"]\nanalyte = "crp"'
    imported(tmp_path, rows, unit="mg/l", marker=marker)
    with pytest.raises(InvalidInput, match=r"has no code, or none of the usual .*\(1 row\).*without_code"):
        imported(tmp_path, rows, unit="mg/l", marker=f'{marker}\nwithout_row = "0"')
    left_out = 'without_code = "leave_out"'
    found = imported(tmp_path, rows, unit="mg/l", marker=f'{marker}\nwithout_row = "0"', source=left_out)
    assert values(found)[2] == 70
    assert "1 rows of patients have no code" in found.report.in_words


def test_that_nobody_has_an_event_is_asked_of_the_mapping(tmp_path: Path) -> None:
    """A table of deaths that was not exported would make everybody live."""
    patients = PATIENTS.replace("1,dead,2021-06-01", "1,alive,")
    (fault,) = faults(tmp_path, CRP, unit="mg/l", marker='codes = ["crp"]\nanalyte = "crp"', patients=patients)
    assert (fault.where, fault.what) == ('patients.csv: outcome "os"', "is an event of no patient")
    mapping = MAPPING.replace('last_contact = ["seen"]', 'last_contact = ["seen"]\nmay_be_of_nobody = true')
    marker = 'codes = ["crp"]\nanalyte = "crp"'
    found = imported(tmp_path, CRP, unit="mg/l", marker=marker, patients=patients, mapping=mapping)
    assert found.report.outcomes[0].events == 0


@pytest.mark.parametrize("names", [("A1", "a-2"), ("A 001", "A/0002"), ("A_001", "A002")])
def test_of_an_identifier_that_is_nearly_a_patients_the_mapping_says_whose_it_is(
    names: tuple[str, str], tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match=rf"{SPELT} \(2 rows\).*near_identifiers"):
        of_names(tmp_path, names, "", "")
    for said, wanted in (("alike", 5.0), ("differ", np.nan)):
        found = values(of_names(tmp_path, names, "", f'near_identifiers = "{said}"'))
        np.testing.assert_array_equal(found, [wanted, wanted, np.nan])


@pytest.mark.parametrize(
    ("patients", "row", "count"),
    [
        ("111", "1-11\n11-1", 2),  # either may be the patient, and not both
        ("1-11", "111\n11-1", 1),  # 111 may be of somebody who is no patient
        ("1-11\n111", "11-1", 1),  # near to one spelling of the patient, and not to the other
        ("1\n1000", "1.000", 1),
    ],
)
def test_identifiers_are_one_only_where_each_is_near_to_each(
    patients: str, row: str, count: int, tmp_path: Path
) -> None:
    alike = 'near_identifiers = "alike"'
    listed = "".join(f"\n{each},alive,,2021-07-01,2021-01-01" for each in ["2", *patients.split()])
    rows = HEADER + "".join(f"{each},2021-01-01,crp,5,mg/l\n" for each in row.split())
    with pytest.raises(InvalidInput, match=rf"would be of several patients .*\({count} rows?\)"):
        imported(
            tmp_path,
            rows,
            unit="mg/l",
            marker='codes = ["crp"]',
            patients=PATIENTS.partition("\n")[0] + listed + "\n",
            source=alike,
            mapping=MAPPING.replace('path = "patients.csv"', f'path = "patients.csv"\n{alike}'),
        )


@pytest.mark.parametrize("listed", ["111", "1-11"])
def test_two_sources_give_one_patient_no_rows_of_two_people(listed: str, tmp_path: Path) -> None:
    """Each by itself holds one who is near to the patient, or to who is."""
    alike = 'near_identifiers = "alike"'
    own = f'[[source]]\nname = "follow"\npath = "follow.csv"\npatient = "id"\n{alike}\nof_nobody = "leave_out"\n'
    text = MAPPING.replace('[[outcome]]\nname = "os"', f'{own}[[outcome]]\nname = "os"\nsource = "follow"')
    text = text.replace("[mapping]", '[mapping]\nwithout_outcome = "leave_out"')
    (tmp_path / "follow.csv").write_text(PATIENTS.replace("\n1,", "\n11-1,"))
    rows, patients = HEADER + "111,2021-01-01,crp,7,mg/l\n", PATIENTS.replace("\n1,", f"\n{listed},")
    if listed == "111":
        rows = rows.replace("\n111", "\n1-11")
    with pytest.raises(InvalidInput, match=r'laboratory.csv: column "id": would be of several patients .*\(1 row\)'):
        imported(tmp_path, rows, unit="mg/l", marker='codes = ["crp"]', patients=patients, mapping=text, source=alike)


def test_two_sources_do_not_differ_on_what_is_one_patient(tmp_path: Path) -> None:
    """A patient with two spellings would have the rows of one of them alone."""
    patients = PATIENTS + "02,alive,,2021-07-01,2021-01-01\n"
    rows = HEADER + "2,2021-01-01,crp,7,mg/l\n"
    own = MAPPING.replace('path = "patients.csv"', 'path = "patients.csv"\nnear_identifiers = "alike"')

    def first(source: str) -> float:
        marker = 'codes = ["crp"]'
        return values(
            imported(tmp_path, rows, unit="mg/l", marker=marker, patients=patients, mapping=own, source=source)
        )[0]

    assert first("") == first('near_identifiers = "alike"') == 7
    with pytest.raises(InvalidInput, match="is alike in one source and differ in another"):
        first('near_identifiers = "differ"')


@pytest.mark.parametrize("missing", ['"5"', '"5.0"', '"0", "5"'])
def test_a_word_for_not_known_is_a_cell_and_no_value_that_the_mapping_makes(missing: str, tmp_path: Path) -> None:
    """1 is no and 0 unknown in many registries: whoever has no would be unknown, too."""
    schema = SCHEMA.partition("[[marker]]")[0] + '[[marker]]\nname = "value"\nmodality = "clinical"\nkind = "binary"\n'
    rows = HEADER + "1,2021-01-01,smoker,1,\n2,2021-01-01,smoker,2,\n3,2021-01-01,smoker,5.0,\n"
    marker = f'codes = ["smoker"]\nwords = {{ 1 = "0", 2 = "1" }}\nmissing = [{missing}]'
    found = imported(tmp_path, rows, unit="", marker=marker, schema=schema)
    np.testing.assert_array_equal(values(found), [0, 1, np.nan])


def test_whose_identifiers_have_their_marks_elsewhere_are_others(tmp_path: Path) -> None:
    patients = PATIENTS.replace("\n1,", "\n1-11,")
    rows = HEADER + "11-1,2021-01-01,crp,5,mg/l\n1-11,2021-01-01,crp,7,mg/l\n"
    found = imported(tmp_path, rows, unit="mg/l", marker='codes = ["crp"]', patients=patients)
    assert values(found)[0] == 7
    with pytest.raises(InvalidInput, match=r"would be of several patients .*\(1 row\)"):
        imported(
            tmp_path,
            rows + "111,2021-01-01,crp,5,mg/l\n",
            unit="mg/l",
            marker='codes = ["crp"]',
            patients=patients + "11-1,alive,,2021-07-01,2021-01-01\n",
            source='near_identifiers = "alike"',
        )


def test_patients_who_are_nearly_one_are_one_or_two_as_the_mapping_says(tmp_path: Path) -> None:
    patients = PATIENTS + "02,alive,,2021-07-01,2021-01-01\n"
    marker = 'codes = ["crp"]\nanalyte = "crp"'
    with pytest.raises(InvalidInput, match=r"would be another patient's but for .*\(2 rows\).*near_identifiers"):
        imported(tmp_path, CRP, unit="mg/l", marker=marker, patients=patients)
    for said, wanted in (("alike", 3), ("differ", 4)):
        own = MAPPING.replace('path = "patients.csv"', f'path = "patients.csv"\nnear_identifiers = "{said}"')
        both = f'near_identifiers = "{said}"'
        found = imported(tmp_path, CRP, unit="mg/l", marker=marker, patients=patients, mapping=own, source=both)
        assert found.report.patients == wanted


@pytest.mark.parametrize("names", [("1", "1.000", "1000"), ("A-1-2", "A-12", "A1-2")])
def test_who_is_near_to_two_who_are_not_near_to_each_other_is_neither(names: tuple[str, ...], tmp_path: Path) -> None:
    """Else one of them is lost, or all are one."""
    rows = PATIENTS.partition("\n")[0] + "\n" + "".join(f"{each},alive,,2021-07-01,2021-01-01\n" for each in names)
    own = MAPPING.replace('path = "patients.csv"', 'path = "patients.csv"\nnear_identifiers = "alike"')
    with pytest.raises(InvalidInput, match=r"would be another patient's but for .*\(3 rows\)"):
        imported(tmp_path, CRP, unit="mg/l", marker='codes = ["crp"]', patients=rows, mapping=own)


@pytest.mark.parametrize(("said", "wanted"), [("", None), ("alike", 7), ("differ", np.nan)])
def test_a_text_is_no_number_so_that_what_may_be_one_is_asked(said: str, wanted: float | None, tmp_path: Path) -> None:
    rows, source = HEADER + "1.000,2021-01-01,crp,7,mg/l\n", f'near_identifiers = "{said}"' * bool(said)
    if wanted is None:
        with pytest.raises(InvalidInput, match=r"would be of a patient .*\(1 row\).*near_identifiers"):
            imported(tmp_path, rows, unit="mg/l", marker='codes = ["crp"]', source=source)
    else:
        found = values(imported(tmp_path, rows, unit="mg/l", marker='codes = ["crp"]', source=source))
        np.testing.assert_array_equal(found, [wanted, np.nan, np.nan])


def test_one_row_with_a_value_tells_that_others_have_none(tmp_path: Path) -> None:
    some = HEADER + "1,2021-01-01,crp,,\n2,2021-01-01,crp,5,mg/l\n"
    found = imported(tmp_path, some, unit="mg/l", marker='codes = ["crp"]\nwithout_row = "0"')
    np.testing.assert_array_equal(values(found), [np.nan, 5, 0])


def test_a_row_without_a_day_may_lie_in_the_window_so_that_nothing_stands_for_none(tmp_path: Path) -> None:
    rows = HEADER + "1,,crp,5,mg/l\n2,2020-12-31,crp,7,mg/l\n3,2019-01-01,crp,9,mg/l\n"
    marker = 'codes = ["crp"]\nwithout_row = "0"\nwindow = [-30, 0]'
    np.testing.assert_array_equal(values(imported(tmp_path, rows, unit="mg/l", marker=marker)), [np.nan, 7, 0])


SPELT = (
    "would be of a patient but for capitals, blanks, punctuation, accents or letters that look alike, or zeros that "
    "a number may lack"
)
MEANT = "is of nobody in the study, where a patient without a row has something"
UNMET = "is of nobody in the study in any row, where"
NOT_THERE = "no row is of a patient of the study: do both tables"


def of_names(folder: Path, names: tuple[str, ...], marker: str, source: str) -> ImportedCohort:
    """Of patients A-001, A-002 and A-003."""
    patients = PATIENTS.replace("\n1,", "\nA-001,").replace("\n2,", "\nA-002,").replace("\n3,", "\nA-003,")
    rows = CRP.partition("\n")[0] + "\n" + "".join(f"{name},2021-01-01,crp,5,mg/l\n" for name in names)
    rows += "B3,2021-01-01,other,5,mg/l\n"
    marker = f'codes = ["crp"]\n{marker}'
    return imported(folder, rows, unit="mg/l", marker=marker, patients=patients, source=source)


WITHOUT, MAYBE = 'without_row = "0"\n', "may_be_of_nobody = true\n"


@pytest.mark.parametrize(
    ("names", "marker", "faults", "left_out"),
    [
        (("A-001", "A-002"), WITHOUT, [], []),
        (("a-1", "A- 2"), WITHOUT, [(SPELT, 2)], [(SPELT, 2)]),
        (("A-001", "A-2"), WITHOUT, [(SPELT, 1)], [(SPELT, 1)]),
        (("A-001", "A-2"), "", [(SPELT, 1)], [(SPELT, 1)]),
        (("a-1", "A-2"), "", [(SPELT, 2)], [(SPELT, 2)]),
        (("A-1", "B2"), WITHOUT, [(SPELT, 1), (MEANT, 1)], [(SPELT, 1)]),
        (("A-001", "B2"), WITHOUT, [(MEANT, 1)], []),
        (("A-001", ""), WITHOUT, [(MEANT, 1)], []),
        (("A-001", "B2"), "", [], []),
        (("1", "2"), "", [], []),
        (("1", "2"), WITHOUT, [(UNMET, 2)], [(UNMET, 2)]),
        (("1", "2"), WITHOUT + MAYBE, [(MEANT, 2)], []),
    ],
)
def test_rows_of_others_may_be_left_out_and_a_broken_join_may_not(
    names: tuple[str, str],
    marker: str,
    faults: list[tuple[str, int]],
    left_out: list[tuple[str, int]],
    tmp_path: Path,
) -> None:
    """Excel takes leading zeros away, and then everybody would be without a row."""
    for source, wanted in ("", faults), ('of_nobody = "leave_out"', left_out):
        try:
            notes = of_names(tmp_path, names, marker, source).report.sources[1].notes
        except InvalidInput as refused:
            told = [(each.what, each.count) for each in refused.faults if "no row of any patient" not in each.what]
        else:
            told = []
            assert (NOT_THERE in "".join(notes)) is (names == ("1", "2"))
        assert [count for _, count in told] == [count for _, count in wanted]
        assert all(said in what for (what, _), (said, _) in zip(told, wanted, strict=True))


@pytest.mark.parametrize(
    ("whose", "source"), [("1", ""), ("X", 'of_nobody = "leave_out"'), ("01", 'of_nobody = "leave_out"')]
)
def test_an_event_that_is_told_by_its_day_alone_is_refused_where_nobody_knows_whose_it_is(
    whose: str, source: str, tmp_path: Path
) -> None:
    """Of the dead of another table: who is not among them counts as alive."""
    outcome = 'event = "state"\nyes = ["dead"]\nno = ["alive"]\nevent_date = "died"'
    mapping = MAPPING.replace(outcome, 'source = "laboratory"\nevent_date = "day"')
    assert mapping != MAPPING
    last = f"{whose},2021-03-01,2021-02-01,crp,5,mg/l\n"
    rows = HEADER.replace("id,", "id,seen,", 1) + last + "X,,2021-02-01,crp,5,mg/l\n"
    fault = {"1": MEANT, "X": UNMET, "01": SPELT}[whose]
    with pytest.raises(InvalidInput, match=fault):
        imported(tmp_path, rows, unit="mg/l", marker='codes = ["crp"]', mapping=mapping, source=source)


def test_rows_of_patients_without_an_identifier_may_be_left_out(tmp_path: Path) -> None:
    patients = PATIENTS + ",alive,,2021-07-01,2021-01-01\n"
    with pytest.raises(InvalidInput, match=r"the identifier is missing \(1 row\).*of_nobody"):
        imported(tmp_path, CRP, unit="mg/l", marker='codes = ["crp"]\nanalyte = "crp"', patients=patients)
    mapping = MAPPING.replace('path = "patients.csv"', 'path = "patients.csv"\nof_nobody = "leave_out"')
    assert mapping != MAPPING
    marker = 'codes = ["crp"]\nanalyte = "crp"'
    found = imported(tmp_path, CRP, unit="mg/l", marker=marker, patients=patients, mapping=mapping)
    assert found.report.listed == 3
    assert found.report.sources[0].rows_without_identifier == 1
