"""Does the ONNX file say of every patient what the program itself says, missing markers and odd values among them?

The file is run by ONNX Runtime, which shares nothing with us; the program's own prognosis comes from the encoded
cohort, the torch network and the closed formulas of curves, none of which the file was made with.
"""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from oncofed.cohort.cohort import Cohort
from oncofed.cohort.encoding import columns, encode
from oncofed.cohort.schema import Endpoint, Kind, Marker, MissingFlags, Modality, ModalityEncoding, StudySchema
from oncofed.protocol.onnx_model import onnx_model
from oncofed.protocol.plan import ModelSpec
from oncofed.study.explanation_settings import entity_columns
from oncofed.survival.comparators import Comparator
from oncofed.survival.curves import survival_curves
from oncofed.survival.grid import TimeGrid
from oncofed.survival.network import network_with
from oncofed.survival.time_shapes import TimeShapes

onnxruntime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed here")

PATIENTS = 1_000
GRID = TimeGrid((0.0, 6.0, 12.0, 24.0, 60.0))
SCHEMA = StudySchema(
    name="all kinds",
    patient_id="id",
    markers=(
        Marker("age", Modality.CLINICAL, Kind.CONTINUOUS, "years", (0, 120), 60.0, 12.0),
        Marker(
            "entity",
            Modality.CLINICAL,
            Kind.CATEGORICAL,
            categories=("lung", "breast", "gut"),
            reference_category="breast",
        ),
        Marker("stage", Modality.CLINICAL, Kind.ORDINAL, centre=2.0, scale=0.7, weight=1.3),
        Marker("albumin", Modality.LABORATORY, Kind.CONTINUOUS, "g/l", (0, 90), 41.0, 5.0),
        Marker("gene_a", Modality.DNA_MUTATION, Kind.BINARY, centre=0.3, scale=0.5),
        Marker("gene_b", Modality.DNA_MUTATION, Kind.BINARY),
        Marker("crp", Modality.LABORATORY, Kind.CONTINUOUS, "mg/l", (0, 500), 5.0, 9.0),
        Marker("surgery", Modality.TREATMENT, Kind.BINARY),
    ),
    endpoints=(Endpoint("death", "months", "dead"), Endpoint("relapse", "months_2", "relapsed")),
    grid=GRID,
    baseline_hazard=(0.02, 0.05),
    modalities={
        Modality.CLINICAL: ModalityEncoding(0.8, 0.11, MissingFlags.MARKER),
        Modality.LABORATORY: ModalityEncoding(0.5, 0.07, MissingFlags.MODALITY),
        Modality.DNA_MUTATION: ModalityEncoding(1.7, 0.05, MissingFlags.MODALITY),
        Modality.TREATMENT: ModalityEncoding(1.0, 0.03, MissingFlags.NONE),
    },
    tumour_entity="entity",
    largest_encoded_value=2.5,
)
SPEC = ModelSpec(
    columns=len(columns(SCHEMA)),
    endpoints=("death", "relapse"),
    grid=GRID,
    baseline_hazard=SCHEMA.baseline_hazard,
    hidden_units=(5, 3),
    baseline_weight=0.6,
)
SPECS = {
    "linear": replace(SPEC, hidden_units=()),
    "network alone": replace(SPEC, hidden_units=(6,), linear_branch=False),
    "both": SPEC,
    "early or late": replace(SPEC, time_shapes=TimeShapes(1, 18.0, 0.7, entity_columns(SCHEMA))),
    "both or neither": replace(SPEC, hidden_units=(4,), time_shapes=TimeShapes(2, 18.0, 1.2, entity_columns(SCHEMA))),
    "beside a score": replace(SPEC, comparators=(Comparator("age", (0, 1), (1,), 0.5),)),
    "of one entity": replace(SPEC, time_shapes=TimeShapes(1, 18.0, 0.7, ())),
}


def values(rng: np.random.Generator) -> NDArray[np.float64]:
    """(patients, markers): of each kind, far beyond the plausible range among them, and a third not measured."""
    drawn = np.column_stack(
        [
            rng.normal(60, 40, PATIENTS),
            rng.integers(0, 3, PATIENTS),
            rng.integers(0, 5, PATIENTS),
            rng.normal(41, 15, PATIENTS),
            *rng.integers(0, 2, (2, PATIENTS)),
            np.exp(rng.normal(2, 3, PATIENTS)),
            rng.integers(0, 2, PATIENTS),
        ]
    )
    drawn[rng.random(drawn.shape) < 0.3] = np.nan
    drawn[:50] = np.nan  # nothing is known of these
    drawn[50:120, 3] = drawn[50:120, 6] = np.nan  # a whole modality
    return drawn


def cohort_of(found: NDArray[np.float64]) -> Cohort:
    exit_ = np.full((len(found), 2), 10.0)
    return Cohort(
        SCHEMA,
        tuple(map(str, range(len(found)))),
        found,
        np.zeros_like(exit_),
        exit_,
        np.zeros(exit_.shape, dtype=bool),
    )


def of_the_file(content: bytes, found: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_outputs()]
    return dict(zip(names, session.run(None, {"markers": found}), strict=True))


@pytest.mark.parametrize("kind", SPECS)
def test_the_file_gives_the_programs_own_prognosis_of_a_thousand_patients(kind: str) -> None:
    rng, spec = np.random.default_rng(7), SPECS[kind]
    weights = rng.normal(0, 0.4, spec.parameters)
    patients = cohort_of(values(rng))
    network, x = network_with(spec, weights), torch.as_tensor(encode(patients))
    with torch.no_grad():
        ratio = network(x).numpy()
    baseline = network.log_baseline_hazard(x)
    told = of_the_file(onnx_model(spec, SCHEMA, weights, metadata={}), patients.values)
    assert np.abs(ratio).max() > 1, "the patients differ"
    np.testing.assert_allclose(told["log_hazard_ratio"], ratio, rtol=0, atol=1e-9)
    for place in range(2):
        curves = survival_curves(
            ratio[:, place], log_baseline_hazard=baseline[:, place], grid=GRID, times=np.asarray(GRID.bounds[1:])
        )
        np.testing.assert_allclose(told["event_free"][:, place], curves, rtol=0, atol=1e-9)
        np.testing.assert_allclose(np.exp(-told["cumulative_hazard"][:, place]), curves, rtol=0, atol=1e-9)


def test_one_patient_and_nobody_are_answered_as_well() -> None:
    content = onnx_model(SPEC, SCHEMA, np.zeros(SPEC.parameters), metadata={})
    for count in (1, 0):
        told = of_the_file(content, np.full((count, len(SCHEMA.markers)), np.nan))
        assert told["log_hazard_ratio"].shape == (count, 2)
        assert told["event_free"].shape == (count, 2, GRID.intervals)


def test_without_weights_the_public_rate_alone_decides() -> None:
    told = of_the_file(onnx_model(SPEC, SCHEMA, np.zeros(SPEC.parameters), metadata={}), np.full((1, 8), np.nan))
    expected = np.exp(-np.outer(SCHEMA.baseline_hazard, GRID.bounds[1:]))
    np.testing.assert_allclose(told["event_free"][0], expected, rtol=1e-12)


def test_the_file_says_what_goes_in_and_what_comes_out() -> None:
    content = onnx_model(SPEC, SCHEMA, np.zeros(SPEC.parameters), metadata={"plan_hash": "ab" * 32})
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (taken,) = session.get_inputs()
    assert (taken.name, taken.type, taken.shape) == ("markers", "tensor(double)", ["patients", 8])
    assert [each.type for each in session.get_outputs()] == ["tensor(double)"] * 3
    told = session.get_modelmeta().custom_metadata_map
    assert told["plan_hash"] == "ab" * 32
    assert json.loads(told["interval_bounds"]) == list(GRID.bounds)
    assert json.loads(told["markers"])[1] == {
        "name": "entity",
        "kind": "categorical",
        "unit": "",
        "categories": ["lung", "breast", "gut"],
    }


def test_the_same_model_is_the_same_file() -> None:
    weights = np.random.default_rng(1).normal(size=SPEC.parameters)
    first, second = (onnx_model(SPEC, SCHEMA, weights, metadata={"a": "b"}) for _ in range(2))
    assert first == second
