"""The fixed half of the synthetic consortium: markers, effects, schema, and the schema's way to TOML and back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from oncofed.cohort.schema import Kind, Marker, Modality, ModalityEncoding, StudySchema
from oncofed.cohort.schema_file import read_schema
from oncofed.cohort.schema_writing import schema_as_toml
from oncofed.simulations.synthetic import effects as true_effects
from oncofed.simulations.synthetic.entities import ENTITIES, REFERENCE_ENTITY
from oncofed.simulations.synthetic.hazard import LogHazardRatio, death, next_treatment
from oncofed.simulations.synthetic.schema import CATALOGUE, consortium_schema

SCHEMA = consortium_schema()
BY_NAME = {marker.name: marker for marker in SCHEMA.markers}


def test_shape_of_the_published_study() -> None:
    assert len(SCHEMA.markers) == len(BY_NAME) == 350
    assert {marker.modality for marker in SCHEMA.markers} == set(Modality)
    assert {marker.kind for marker in SCHEMA.markers} == set(Kind)
    assert len({entity.name for entity in ENTITIES}) == 38
    assert BY_NAME["tumour_entity"].categories == tuple(entity.name for entity in ENTITIES)
    assert BY_NAME["tumour_entity"].reference_category == REFERENCE_ENTITY


def test_every_share_is_a_distribution() -> None:
    for synthetic in CATALOGUE:
        if synthetic.marker.kind is Kind.BINARY:
            assert len(synthetic.shares) == 1, synthetic.marker.name
            assert 0 < synthetic.shares[0] < 1, synthetic.marker.name
        elif synthetic.marker.kind is Kind.CONTINUOUS:
            assert synthetic.shares == ()
        else:
            assert sum(synthetic.shares) == pytest.approx(1), synthetic.marker.name
            assert min(synthetic.shares) > 0, synthetic.marker.name


@pytest.mark.parametrize("study", ["tcga_pancancer", "fed_tcga_brca", "synthetic"])
def test_a_written_schema_is_read_back_equal(study: str, studies: Path, tmp_path: Path) -> None:
    schema = SCHEMA if study == "synthetic" else read_schema(studies / study / "schema.toml")
    file = tmp_path / "schema.toml"
    file.write_text(schema_as_toml(schema, comment='Two lines,\none with "quotes".'), encoding="utf-8")
    again = read_schema(file)
    assert again == schema
    assert again.hash == schema.hash


def test_a_schema_with_every_field_is_read_back_equal(tmp_path: Path) -> None:
    """Names with blanks, quotes, backslashes and accents; a list too long for a line; every optional field."""
    names = [f"größe {number}, in \"cm\" \\ 'Zoll'" for number in range(12)]
    height = Marker(
        "", Modality.CLINICAL, Kind.CONTINUOUS, "m²", (0.0, 3.5), 1.7, 0.1, missing_codes=("-9", ""), weight=0.5
    )
    markers = tuple(replace(height, name=name) for name in names)
    schema = StudySchema(
        name="a study",
        patient_id="id",
        markers=(*markers, Marker("m", Modality.TREATMENT, Kind.BINARY, centre=0.5, scale=0.5)),
        endpoints=SCHEMA.endpoints,
        grid=SCHEMA.grid,
        baseline_hazard=SCHEMA.baseline_hazard,
        modalities={Modality.CLINICAL: ModalityEncoding(weight=0.0)},
        zero_time_becomes=0.03,
    )
    file = tmp_path / "schema.toml"
    file.write_text(schema_as_toml(schema), encoding="utf-8")
    assert read_schema(file) == schema


@pytest.mark.parametrize("truth", [death(), next_treatment(SCHEMA)], ids=lambda truth: truth.endpoint)
def test_effects_are_those_of_markers_that_exist(truth: LogHazardRatio) -> None:
    numeric = {marker.name for marker in SCHEMA.markers if marker.kind is not Kind.CATEGORICAL}
    assert set(truth.effects) <= numeric
    assert all(truth.effects.values())
    for name, effects in truth.category_effects.items():
        assert set(effects) <= set(BY_NAME[name].categories)
        assert effects.get(BY_NAME[name].reference_category, 0.0) == 0.0
    pairs = [frozenset((pair.first, pair.second)) for pair in truth.interactions]
    assert len(set(pairs)) == len(pairs)
    assert all(len(pair) == 2 and pair <= numeric for pair in pairs)


def test_the_truth_has_the_promised_size() -> None:
    truth = death()
    assert 60 <= len(truth.effects) + len(truth.category_effects) <= 100
    assert len(truth.interactions) >= 40
    assert len(true_effects.CLEAR_INTERACTIONS) >= 20
    assert max(abs(pair.coefficient) for pair in truth.interactions) <= 0.3


def test_directions_are_those_of_the_clinic() -> None:
    effects = death().effects
    worse = [
        "age_years",
        "ecog_performance_status",
        "uicc_stage",
        "charlson_comorbidity_index",
        "log10_crp_mg_per_l",
        "log10_ldh_u_per_l",
        "log10_neutrophil_to_lymphocyte_ratio",
        "TP53_mut",
        "KRAS_mut",
        "MKI67_rna",
    ]
    better = [
        "albumin_g_per_l",
        "haemoglobin_g_per_dl",
        "skeletal_muscle_index_cm2_per_m2",
        "CD8A_rna",
        "CDKN2A_cnv",
        "surgery_curative_intent",
        "immune_checkpoint_inhibitor",
    ]
    assert all(effects[name] > 0 for name in worse)
    assert all(effects[name] < 0 for name in better)


def test_the_reference_patient_has_a_log_hazard_ratio_of_zero() -> None:
    reference = np.array(
        [
            [
                float(marker.categories.index(marker.reference_category))
                if marker.kind is Kind.CATEGORICAL
                else marker.centre
                for marker in SCHEMA.markers
            ]
        ]
    )
    for truth in (death(), next_treatment(SCHEMA)):
        assert truth(SCHEMA, reference) == 0.0
