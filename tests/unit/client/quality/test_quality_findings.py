"""Is each seeded fault of a table found, by name and count, and is nothing suspected of a clean one?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest
from tests.clean_hospital import LABORATORY, PATIENTS, SKEWED, schema, schema_text, table

from oncofed.client.quality.content import table_content
from oncofed.client.quality.findings import Finding, Level
from oncofed.client.quality.report import QualityReport, quality_report
from oncofed.cohort.schema import DeathPolicy, Endpoint, StudySchema
from oncofed.cohort.schema_file import parse_schema

TODAY = date(2026, 1, 1)
WIDE = dict.fromkeys(LABORATORY, (-1000000.0, 1000000.0)) | dict.fromkeys(SKEWED, (-6.0, 9.0))
"""Ranges that refuse nothing, so that a unit has to be noticed without them."""


def report(
    spoilt: pd.DataFrame,
    study: StudySchema | None = None,
    *,
    zero: str | None = "diagnosed",
    cut: date | None = None,
) -> QualityReport:
    content = table_content(spoilt, schema(**WIDE) if study is None else study, where="table", zero_column=zero)
    return quality_report(content, cut=cut, today=TODAY)


def suspects(spoilt: pd.DataFrame, study: StudySchema | None = None, **options: object) -> list[Finding]:
    return list(report(spoilt, study, **options).of(Level.SUSPECT))  # type: ignore[arg-type]  # those of report


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("zero", [None, "diagnosed"])
def test_nothing_is_suspected_of_a_clean_table(seed: int, zero: str | None) -> None:
    found = report(table(seed), zero=zero)
    assert found.clean, [str(each) for each in found.findings]
    assert report(table(seed), schema(), zero=zero).clean


@pytest.mark.parametrize("patients", [1, 2, 7, 30])
def test_nothing_is_suspected_of_a_clean_table_of_few_patients(patients: int) -> None:
    found = report(table(3, patients))
    told = [str(each) for each in found.of(Level.FAULT)]
    assert not told
    doubtful = [each for each in found.of(Level.SUSPECT) if "no event at all" not in each.what]
    assert not [each for each in doubtful if "nobody has it" not in each.what], [str(each) for each in doubtful]


# --- units

FACTORS = {
    # marker, written in, times, and the words
    "creatinine": ("umol/l", 88.42),
    "albumin": ("g/dl", 0.1),
    "haemoglobin": ("g/l", 10.0),
    "calcium": ("mg/dl", 4.008),
    "platelets": ("10^6/l", 1000.0),
    "body_weight_kg": ("lb", 2.2046),
}


@pytest.mark.parametrize("name", FACTORS)
def test_a_marker_in_another_unit_is_noticed_and_the_unit_named(name: str) -> None:
    unit, times = FACTORS[name]
    spoilt = table()
    spoilt[name] = pd.to_numeric(spoilt[name]) * times
    found = suspects(spoilt)
    assert [each.about for each in found] == [f'marker "{name}"']
    assert f"its median looks like {unit} and not like {LABORATORY[name][0]}" in found[0].what


def test_a_logarithm_of_another_unit_is_noticed() -> None:
    spoilt = table()
    spoilt["log10_ldh"] = pd.to_numeric(spoilt["log10_ldh"]) - np.log10(60.0)  # µkat/l
    (found,) = suspects(spoilt)
    assert found.about == 'marker "log10_ldh"'
    assert "looks like ukat/l and not like U/l" in found.what


def test_a_unit_that_changed_in_some_years_is_noticed_with_these_years() -> None:
    spoilt = table()
    old = spoilt["diagnosed"].str[:4].isin(["2014"])
    spoilt["creatinine"] = pd.to_numeric(spoilt["creatinine"]) * np.where(old, 88.42, 1.0)
    found = suspects(spoilt)
    assert any("looks like umol/l and not like mg/dl in the years 2014" in each.what for each in found)


def test_single_values_in_another_unit_are_counted() -> None:
    spoilt = table()
    rows = spoilt.index[spoilt["albumin"].notna()][:9]
    spoilt.loc[rows, "albumin"] = [float(value) / 10 for value in spoilt.loc[rows, "albumin"]]
    (found,) = suspects(spoilt)
    assert found == Finding(
        Level.SUSPECT,
        'marker "albumin"',
        "single values look like g/dl and not like g/l",
        "The schema expects g/l: look at the unit of the source.",
        9,
    )


def of_one_value(name: str, unit: str, middle: float) -> list[Finding]:
    """Suspects of a table whose only laboratory value has this median, as a logarithm."""
    study = schema(**WIDE)
    crp = next(marker for marker in study.markers if marker.name == "log10_crp")
    one = replace(study, markers=(*study.markers[:4], replace(crp, name=name, unit=f"log10({unit})")))
    spoilt = table().drop(columns=[*LABORATORY, "log10_ldh"]).rename(columns={"log10_crp": name})
    spoilt[name] = pd.to_numeric(spoilt[name])
    spoilt[name] += np.log10(middle) - spoilt[name].median()
    return suspects(spoilt, one, zero=None)


def test_how_far_illness_may_raise_a_value_before_it_is_another_unit() -> None:
    assert of_one_value("log10_crp", "mg/dl", 4.0) == []  # eight times the limit of 0.5: an ill ward
    (found,) = of_one_value("log10_crp", "mg/dl", 12.0)
    assert "its median looks like mg/l and not like mg/dl" in found.what


def test_a_value_that_is_usual_from_zero_may_be_too_low_all_the_same() -> None:
    assert of_one_value("log10_bilirubin", "umol/l", 9.0) == []
    (found,) = of_one_value("log10_bilirubin", "umol/l", 0.6)
    assert "its median looks like mg/dl and not like umol/l" in found.what


def test_ill_patients_are_no_other_unit() -> None:
    """A ward with sepsis: CRP of 150 mg/l and LDH of 700 U/l in the middle; anaemia; low albumin."""
    spoilt = table()
    spoilt["log10_crp"] = pd.to_numeric(spoilt["log10_crp"]) + np.log10(150) - 1.1
    spoilt["log10_ldh"] = pd.to_numeric(spoilt["log10_ldh"]) + np.log10(700) - 2.4
    spoilt["haemoglobin"] = pd.to_numeric(spoilt["haemoglobin"]) - 4
    spoilt["albumin"] = pd.to_numeric(spoilt["albumin"]) - 15
    spoilt["creatinine"] = pd.to_numeric(spoilt["creatinine"]) * 2.5
    assert suspects(spoilt) == []


# --- values


def test_a_code_for_missing_is_noticed() -> None:
    spoilt = table()
    spoilt.loc[10:16, "sodium"] = 999
    (found,) = suspects(spoilt)
    assert (found.about, found.count) == ('marker "sodium"', 7)
    assert "looks like a code" in found.what
    spoilt = table()
    spoilt.loc[10:13, "body_weight_kg"] = 0
    (found,) = suspects(spoilt)
    assert (found.about, found.count) == ('marker "body_weight_kg"', 4)


def test_a_nought_or_99_among_numbers_like_it_is_no_code() -> None:
    spoilt = table()
    spoilt["age_years"] = np.arange(PATIENTS) % 100.0
    assert suspects(spoilt, zero=None) == []


def test_a_default_for_everybody_is_noticed() -> None:
    spoilt = table()
    spoilt["calcium"] = spoilt["calcium"].where(spoilt["calcium"].isna(), 2.3)
    (found,) = suspects(spoilt)
    assert found.what == "all who have it have one and the same value"


def test_a_marker_that_nobody_has_is_noticed() -> None:
    spoilt = table()
    spoilt["albumin"] = None
    (found,) = suspects(spoilt)
    assert (found.about, found.what) == ('marker "albumin"', "nobody has it")


def test_a_category_that_nobody_has_is_noted_and_no_suspect() -> None:
    spoilt = table()
    spoilt["entity"] = spoilt["entity"].replace("breast", "colon")
    found = report(spoilt)
    assert found.clean
    (note,) = (each for each in found.of(Level.NOTE) if "categories" in each.what)
    assert note.what == 'categories that nobody has: "breast"'


def test_a_word_that_is_no_category_is_a_fault_and_is_not_repeated() -> None:
    spoilt = table()
    spoilt.loc[0:2, "entity"] = "Bronchialkarzinom Müller"
    found = report(spoilt)
    (fault,) = found.of(Level.FAULT)
    assert "is not a category of the schema" in fault.what
    assert fault.count == 3
    assert "Müller" not in found.in_words
    assert "Müller" not in found.as_json


def test_one_patient_under_two_identifiers_is_noticed() -> None:
    spoilt = table()
    for column in spoilt.columns[1:]:
        spoilt.loc[7, column] = spoilt[column][90]
    (found,) = suspects(spoilt)
    assert "alike in every marker and every time" in found.what
    assert found.count == 2


def test_few_coarse_columns_make_no_pair_suspicious() -> None:
    """Where chance makes pairs, they are none."""
    spoilt = table()[["patient_id", "months", "dead", "entity", "ecog"]]
    spoilt["months"] = spoilt["months"].clip(upper=40).round()
    study = parse_schema(_coarse(), where="s")
    assert spoilt.drop(columns="patient_id").duplicated().any(), "chance makes pairs"
    assert suspects(spoilt, study, zero=None) == []


def _coarse() -> str:
    return schema_text().partition('[[marker]]\nname = "age_years"')[0] + (
        '[[marker]]\nname = "ecog"\nmodality = "clinical"\nkind = "ordinal"\n'
        "plausible_range = [0, 4]\ncentre = 1\nscale = 1\n"
    )


def test_an_identifier_that_stands_twice_is_a_fault() -> None:
    spoilt = table()
    spoilt.loc[3, "patient_id"] = "p00004"
    (fault,) = report(spoilt).of(Level.FAULT)
    assert "share their identifier" in fault.what
    assert fault.count == 2


# --- times

Spoils = Callable[[pd.DataFrame], object]
TIMES: dict[str, tuple[Spoils, str]] = {
    "days where months are expected": (lambda t: t.__setitem__("months", t["months"] * 30.4), "more than 40 years"),
    "years where months are expected": (
        lambda t: t.__setitem__("months", (t["months"] / 12 / 3).round(3)),
        "nobody is followed beyond the first interval, 3 months",
    ),
    "a date by default": (
        lambda t: t.loc.__setitem__((t.index[t["dead"] == 1][:140], "months"), 33.0),
        "one and the same time",
    ),
    "no event at all": (lambda t: t.__setitem__("dead", 0), "no event at all"),
    "who had to survive until a sample": (
        lambda t: t.__setitem__("months", t["months"] + 9.0),
        "hardly any event in the first 3 months",
    ),
}


@pytest.mark.parametrize("case", TIMES)
def test_follow_up_that_cannot_be_is_noticed(case: str) -> None:
    spoil, words = TIMES[case]
    spoilt = table()
    spoil(spoilt)
    assert any(words in each.what for each in suspects(spoilt, zero=None)), [
        str(each) for each in suspects(spoilt, zero=None)
    ]


def test_early_events_may_be_somewhat_rarer_and_not_six_times() -> None:
    """Of a constant hazard, with some who were shifted by nine months as if they had to survive until then."""
    for share, suspected in ((0.3, False), (0.85, True)):
        spoilt = table()
        spoilt["months"] += np.where(np.arange(PATIENTS) % 20 < 20 * share, 9.0, 0.0)
        found = [each for each in suspects(spoilt, zero=None) if "hardly any event" in each.what]
        assert bool(found) == suspected, share


def test_who_would_be_older_than_anybody_is_counted() -> None:
    spoilt = table()
    spoilt.loc[0:4, "age_years"] = 95.0
    spoilt.loc[0:2, "months"] = 12 * 20.0
    found = suspects(spoilt, zero=None)
    assert [each.count for each in found if "older than 110 years" in each.what] == [3]


def test_events_and_contacts_after_the_data_cut_are_counted() -> None:
    spoilt = table()
    cut = date(2018, 6, 30)
    ends = [
        date.fromisoformat(day).toordinal() + months * 30.4375
        for day, months in zip(spoilt["diagnosed"], spoilt["months"], strict=True)
    ]
    late = np.array(ends) > cut.toordinal() + 1
    counted = {each.what: each.count for each in suspects(spoilt, cut=cut)}
    assert counted == {
        "its event lies after the data cut, 2018-06-30": int((late & (spoilt["dead"] == 1)).sum()),
        "was seen after the data cut, 2018-06-30": int((late & (spoilt["dead"] == 0)).sum()),
    }
    assert suspects(spoilt, cut=date(2025, 1, 1)) == []


def test_without_a_cut_nothing_may_lie_after_today() -> None:
    spoilt = table()
    spoilt.loc[0, "diagnosed"], spoilt.loc[0, "months"], spoilt.loc[0, "dead"] = "2025-12-01", 30.0, 1
    assert [(each.what, each.count) for each in suspects(spoilt)] == [("its event lies after today", 1)]


def test_a_year_whose_export_is_missing_is_noticed() -> None:
    spoilt = table()
    kept = (spoilt["diagnosed"].str[:4] != "2016") | (spoilt.index < 6)
    found = suspects(spoilt[kept].reset_index(drop=True))
    assert ["time zero lies in 2016" in each.what for each in found] == [True]


def test_a_marker_that_is_measured_in_some_years_alone_is_noted() -> None:
    spoilt = table()
    spoilt["albumin"] = spoilt["albumin"].where(spoilt["diagnosed"] >= "2016", None)
    found = report(spoilt)
    assert found.clean
    assert any("measured in" in each.what and each.about == 'marker "albumin"' for each in found.of(Level.NOTE))


def with_entry() -> StudySchema:
    study = schema(**WIDE)
    endpoint = Endpoint("survival", "months", "dead", entry_column="entry")
    return StudySchema(**{**vars(study), "endpoints": (endpoint,)})


def test_left_truncation_that_a_column_tells_is_noted_with_its_middle() -> None:
    spoilt = table()
    spoilt["months"] += 9.0
    spoilt["entry"] = np.where(np.arange(PATIENTS) % 3 == 0, 0.0, 6.0)
    found = report(spoilt, with_entry())
    assert found.clean
    (endpoint,) = found.endpoints
    assert (endpoint.late, endpoint.median_entry) == (400, 6.0)
    assert any("67% of all, in the middle after 6 months" in each.what for each in found.of(Level.NOTE))


def test_an_endpoint_that_goes_on_after_death_is_noticed() -> None:
    study = schema(**WIDE)
    relapse = Endpoint("relapse", "months_to_relapse", "relapsed", None, "dead", DeathPolicy.CENSORING)
    both = StudySchema(**{**vars(study), "endpoints": (*study.endpoints, relapse), "baseline_hazard": (0.02, 0.02)})
    spoilt = table()
    spoilt["months_to_relapse"] = spoilt["months"] * 0.6
    spoilt["relapsed"] = (spoilt.index % 2).astype(int)
    assert suspects(spoilt, both) == []
    dead = spoilt.index[spoilt["dead"] == 1][:11]
    spoilt.loc[dead, "months_to_relapse"] = spoilt.loc[dead, "months"] + 2
    (found,) = suspects(spoilt, both)
    assert found.count == 11
    assert 'goes on after the death that "survival" tells' in found.what


# --- the time grid, by hand


def test_events_are_counted_by_interval_of_the_grid() -> None:
    spoilt = table(patients=12)
    spoilt["months"] = [1.0, 3.0, 3.01, 6.0, 12.0, 24.0, 24.5, 60.0, 60.01, 70.0, 5.0, 5.0]
    spoilt["dead"] = [1] * 10 + [0, 0]
    (endpoint,) = report(spoilt, zero=None).endpoints
    assert endpoint.by_interval == (2, 2, 1, 1, 2, 2)
    assert (endpoint.events, endpoint.inside, endpoint.followed) == (10, 8, 12)


def test_a_table_without_an_event_in_the_grid_is_refused() -> None:
    spoilt = table()
    spoilt["months"] = spoilt["months"] + 60.5
    found = report(spoilt, zero=None)
    assert any("no event lies in the time grid" in each.what for each in found.of(Level.FAULT))
