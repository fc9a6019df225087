"""Does the page name the right markers, directions and steps?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from tests.unit.simulations.report.fake_results import ENTITIES, coefficients, fake_cohort, fake_schema

from oncofed.cohort.cohort import Cohort
from oncofed.cohort.encoding import columns, encode
from oncofed.cohort.schema import Marker, Modality
from oncofed.explanation.relevance import fold_to_markers
from oncofed.simulations.report.explanations import (
    LOWERS,
    MIXED,
    RAISES,
    Explanations,
    MarkerStrength,
    explanations,
)
from oncofed.simulations.results import Relevance


def cohort_of(patients: int = 300) -> Cohort:
    return fake_cohort(fake_schema(), patients=patients, prefix="RECORD-", rng=np.random.default_rng(3))


def relevance_of(cohort: Cohort) -> Relevance:
    names, by_marker = fold_to_markers(encode(cohort) * coefficients(cohort.schema), columns(cohort.schema))
    return Relevance("here", pd.DataFrame(by_marker, columns=list(names)), by_marker.sum(axis=1))


def explained(cohort: Cohort, relevance: Relevance | None = None) -> Explanations:
    found = explanations(relevance or relevance_of(cohort), cohort)
    assert found is not None
    return found


def by_name(found: Explanations) -> dict[str, MarkerStrength]:
    return {marker.name: marker for marker in found.markers}


def test_strength_is_the_mean_absolute_relevance() -> None:
    cohort = cohort_of()
    relevance = relevance_of(cohort)
    found = explained(cohort)
    strengths = [marker.strength for marker in found.markers]
    assert strengths == sorted(strengths, reverse=True)
    albumin = by_name(found)["albumin"]
    by_hand = sum(abs(value) for value in relevance.table["albumin_g_per_l"]) / 300
    assert albumin.strength == pytest.approx(by_hand)
    assert albumin.unit == "g/L"
    assert sum(marker.share for marker in found.markers) == pytest.approx(1)
    assert len(found.strongest) == 20
    assert len(found.markers) == 24  # 22 markers and two modalities that can be missing as a whole


def test_modality_totals_add_up_their_markers() -> None:
    found = explained(cohort_of())
    totals = dict(found.modalities)
    rna = [marker.share for marker in found.markers if marker.modality is Modality.RNA_EXPRESSION]
    assert len(rna) == 4
    assert totals[Modality.RNA_EXPRESSION] == pytest.approx(sum(rna))
    assert sum(totals.values()) == pytest.approx(1)
    assert list(totals.values()) == sorted(totals.values(), reverse=True)


def test_ninety_per_cent_needs_that_many_markers() -> None:
    found = explained(cohort_of())
    shares = [marker.share for marker in found.markers]
    count = found.carrying_90_percent
    assert sum(shares[:count]) >= 0.9 > sum(shares[: count - 1])


@pytest.mark.parametrize("sign", [1, -1])
def test_direction_follows_the_coefficient(sign: int) -> None:
    cohort = cohort_of()
    effects = {column.source: 0.0 for column in columns(cohort.schema)}
    effects |= {"age_years": 0.2, "TP53_mutation": 0.3, "MKI67_expression": 0.1}
    weights = np.array([sign * effects[column.source] for column in columns(cohort.schema)])
    names, by_marker = fold_to_markers(encode(cohort) * weights, columns(cohort.schema))
    relevance = Relevance("here", pd.DataFrame(by_marker, columns=list(names)), by_marker.sum(axis=1))
    found = by_name(explained(cohort, relevance))
    direction, hazard = (RAISES, "higher") if sign > 0 else (LOWERS, "lower")
    assert (found["age"].direction, found["age"].effect) == (direction, f"higher value: {hazard} hazard")
    assert found["TP53 mutation"].effect == f"yes: {hazard} hazard"
    assert found["MKI67 expression"].direction == direction


def test_a_marker_that_hurts_at_both_ends_has_no_single_direction() -> None:
    cohort = cohort_of()
    relevance = relevance_of(cohort)
    table = relevance.table.copy()
    table["sarcopenia_index"] = (cohort.marker_values("sarcopenia_index") - 48) ** 2 / 50
    table["visceral_fat_volume"] = 0.3
    table = table.fillna(0.0)
    changed = Relevance("here", table, table.to_numpy().sum(axis=1))
    found = by_name(explained(cohort, changed))
    assert found["sarcopenia index"].direction == MIXED
    assert found["visceral fat volume"].direction == MIXED


def test_a_category_is_ranked_by_its_mean_relevance_if_it_has_enough_patients() -> None:
    cohort = cohort_of(60)
    values = cohort.values.copy()
    values[:, 2] = [0] * 20 + [2] * 20 + [3] * 17 + [4] * 3
    cohort = Cohort(
        cohort.schema, cohort.patient_ids, values, cohort.entry.copy(), cohort.exit.copy(), cohort.observed.copy()
    )
    relevance = relevance_of(cohort)
    table = relevance.table.copy()
    table["tumour_entity"] = np.array([-0.2, 0.0, 0.1, 0.4, 2.0])[values[:, 2].astype(int)]
    changed = Relevance("here", table, table.to_numpy().sum(axis=1))
    effect = by_name(explained(cohort, changed))["tumour entity"].effect
    assert effect == "highest hazard: pancreas; lowest: breast"  # prostate: three patients


def test_examples_are_the_lowest_median_and_highest_and_their_steps_add_up() -> None:
    cohort = cohort_of(301)
    relevance = relevance_of(cohort)
    found = explained(cohort).examples
    ordered = sorted(relevance.totals)
    assert [patient.name for patient in found] == ["Patient A", "Patient B", "Patient C"]
    assert [patient.place.split()[0] for patient in found] == ["lowest", "median", "highest"]
    assert [patient.total for patient in found] == [ordered[0], ordered[150], ordered[300]]
    for patient in found:
        assert len(patient.parts) == 10
        assert patient.other_count == 14
        assert sum(part.log_hazard_ratio for part in patient.parts) + patient.others == pytest.approx(patient.total)
        sizes = [abs(part.log_hazard_ratio) for part in patient.parts]
        assert sizes == sorted(sizes, reverse=True)
        row = relevance.table.iloc[list(relevance.totals).index(patient.total)]
        assert sizes == pytest.approx(sorted(row.abs(), reverse=True)[:10])


def test_a_value_is_only_told_as_a_word() -> None:
    cohort = cohort_of(1)
    of = [marker.name for marker in cohort.schema.markers]
    values = np.full((1, 22), np.nan)
    given = {
        "age_years": 80.0,
        "albumin_g_per_l": 30.0,
        "haemoglobin_g_per_dl": 13.5,
        "tumour_entity": 3.0,
        "TP53_mutation": 1.0,
        "KRAS_mutation": 0.0,
    }
    for name, value in given.items():
        values[0, of.index(name)] = value
    one = Cohort(cohort.schema, ("RECORD",), values, np.zeros((1, 2)), np.ones((1, 2)), np.ones((1, 2), dtype=bool))
    names = [*given, "radiotherapy", "rna_expression"]
    table = pd.DataFrame([np.linspace(0.9, 0.2, len(names))], columns=names)
    (patient,) = explained(one, Relevance("here", table, table.to_numpy().sum(axis=1))).examples
    assert {part.marker: part.level for part in patient.parts} == {
        "age": "high",
        "albumin": "low",
        "haemoglobin": "near reference",
        "tumour entity": ENTITIES[3],
        "TP53 mutation": "yes",
        "KRAS mutation": "no",
        "radiotherapy": "not measured",
        "RNA expression not measured": "",
    }


def test_a_hospital_with_fewer_than_three_patients_shows_those_it_has() -> None:
    assert [patient.place.split()[0] for patient in explained(cohort_of(2)).examples] == ["lowest", "highest"]
    assert len(explained(cohort_of(1)).examples) == 1


def test_nothing_to_explain_is_none() -> None:
    cohort = cohort_of(10)
    nothing = relevance_of(cohort)
    flat = Relevance("here", nothing.table * 0, nothing.totals * 0)
    assert explanations(flat, cohort) is None
    assert explanations(Relevance("here", nothing.table.iloc[:0], np.zeros(0)), cohort.subset([])) is None


def test_other_patients_than_those_explained_are_refused() -> None:
    with pytest.raises(AssertionError):
        explanations(relevance_of(cohort_of(10)), cohort_of(9))


def test_reference_is_the_schemas_own() -> None:
    """High and low are against public constants: nothing about other patients shows in a level."""
    cohort = cohort_of(40)
    markers: tuple[Marker, ...] = tuple(
        replace(marker, centre=marker.centre - 1000) if marker.name == "age_years" else marker
        for marker in cohort.schema.markers
    )
    moved = Cohort(
        replace(cohort.schema, markers=markers),
        cohort.patient_ids,
        cohort.values.copy(),
        cohort.entry.copy(),
        cohort.exit.copy(),
        cohort.observed.copy(),
    )
    table = relevance_of(cohort).table.assign(age_years=5.0)
    relevance = Relevance("here", table, table.to_numpy().sum(axis=1))
    levels = {patient.parts[0].level for patient in explained(moved, relevance).examples}
    assert levels <= {"high", "not measured"}
