"""Is the catalogue a schema, whole and in parts, and does each marker stand in it once?"""

from __future__ import annotations

from collections import Counter

import pandas as pd
import pytest
from tests.command_line import oncofed

from oncofed.client.importing.analytes import ANALYTES, LISTS
from oncofed.client.importing.catalogue import BY_MARKER, CATALOGUE, CatalogueMarker, Group, catalogue_schema, chosen
from oncofed.client.importing.units import unit_of
from oncofed.cohort.schema import Kind, Modality
from oncofed.cohort.schema_file import parse_schema
from oncofed.cohort.validation import named_columns, validate


def test_it_holds_350_markers_of_every_kind_that_the_published_system_used() -> None:
    assert len(CATALOGUE) == len(BY_MARKER) == 350
    groups = Counter(each.group for each in CATALOGUE)
    assert set(groups) == set(Group)
    assert {"ecog", "stage", "age_years", "female", "muscle_volume", "TP53_mut", "log10_cea"} <= set(BY_MARKER)


def test_the_whole_is_a_schema_in_the_order_of_the_catalogue() -> None:
    schema = parse_schema(catalogue_schema(CATALOGUE), where="catalogue")
    assert [marker.name for marker in schema.markers] == [each.marker.name for each in CATALOGUE]
    assert schema.tumour_entity == "tumour_entity"
    for told, each in zip(schema.markers, CATALOGUE, strict=True):
        assert (told.modality, told.kind, told.unit) == (each.marker.modality, each.marker.kind, each.marker.unit)
        assert told.categories == each.marker.categories
        assert told.centre == pytest.approx(each.marker.centre, rel=6e-3)


@pytest.mark.parametrize("modality", sorted({each.marker.modality for each in CATALOGUE}))
def test_a_modality_alone_is_a_schema(modality: Modality) -> None:
    schema = parse_schema(catalogue_schema(chosen([modality])), where="catalogue")
    assert {marker.modality for marker in schema.markers} == {modality}


@pytest.mark.parametrize("group", Group)
def test_a_group_alone_is_a_schema(group: Group) -> None:
    markers = chosen(groups=[group])
    schema = parse_schema(catalogue_schema(markers), where="catalogue")
    assert len(schema.markers) == len(markers)


def test_a_group_without_the_entity_names_none() -> None:
    assert parse_schema(catalogue_schema(chosen(groups=[Group.HISTORY])), where="c").tumour_entity is None


def test_a_table_of_the_reference_patient_is_sound() -> None:
    """Whoever has what every centre says can exist."""
    schema = parse_schema(catalogue_schema(CATALOGUE), where="catalogue")
    row: dict[str, object] = dict.fromkeys(named_columns(schema), 1)
    for marker in schema.markers:
        row[marker.name] = marker.reference_category if marker.kind is Kind.CATEGORICAL else marker.centre
    cohort = validate(pd.DataFrame([row | {"patient_id": "a", "hospital": "h"}]), schema, where="table")
    assert len(cohort.patient_ids) == 1


def test_laboratory_values_are_those_of_the_table_of_analytes_and_no_others() -> None:
    laboratory = [each for each in CATALOGUE if each.group in (Group.LABORATORY, Group.TUMOUR_MARKERS)]
    assert {each.analyte for each in laboratory} == set(ANALYTES)
    assert len(laboratory) == len(ANALYTES)
    assert all(each.marker.modality is Modality.LABORATORY for each in laboratory)
    assert all(each.analyte is None for each in CATALOGUE if each not in laboratory)


def test_a_usual_range_that_differs_by_sex_is_told_and_is_no_reference_range() -> None:
    schema = catalogue_schema([BY_MARKER["haemoglobin"]])
    assert "usual g/dl: women 12 to 16, men 13.5 to 17.5" in schema
    assert "reference_range" not in schema
    assert "reference_range = [35, 52]" in catalogue_schema([BY_MARKER["albumin"]])


@pytest.mark.parametrize("each", CATALOGUE, ids=lambda each: each.marker.name)
def test_codes_are_looked_up_and_ranges_lie_in_one_another(each: CatalogueMarker) -> None:
    assert len(each.looked_up) == len(each.loinc)
    assert set(each.looked_up) <= set(LISTS)
    for code in each.loinc:
        digits, check = code.split("-")
        doubled = [int(digit) * (2 if place % 2 == 0 else 1) for place, digit in enumerate(reversed(digits))]
        assert (sum(digit - 9 if digit > 9 else digit for digit in doubled) + int(check)) % 10 == 0
    if each.usual is not None:
        span = each.marker.plausible_range
        assert span is not None
        assert span[0] <= each.usual[0] < each.usual[1] <= span[1]
    for unit in each.elsewhere:
        assert unit_of(unit) is not None
        assert each.usual is not None


def test_no_code_stands_for_two_markers() -> None:
    codes = [code for each in CATALOGUE for code in each.loinc]
    assert len(codes) == len(set(codes)) > 130


# --- the command


def test_the_command_writes_a_schema() -> None:
    told = oncofed("schema", "catalogue", "--modality", "clinical", "--modality", "body_composition")
    assert told.code == 0
    schema = parse_schema(told.text, where="catalogue")
    assert {marker.modality for marker in schema.markers} == {Modality.CLINICAL, Modality.BODY_COMPOSITION}


def test_the_command_lists_a_group() -> None:
    told = oncofed("schema", "catalogue", "--group", "tumour_markers", "--list")
    assert told.code == 0
    assert "tumour_markers  log10_cea  log10(ug/l)  LOINC 2039-6" in told.text.splitlines()


def test_the_command_tells_all_names_that_it_does_not_know() -> None:
    told = oncofed("schema", "catalogue", "--modality", "labratory", "--group", "gene")
    assert told.code == 2
    assert "'labratory'" in told.text
    assert "laboratory" in told.text
    assert "'gene'" in told.text
    nothing = oncofed("schema", "catalogue", "--modality", "clinical", "--group", "genes")
    assert nothing.code == 2
