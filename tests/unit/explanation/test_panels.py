"""Do the released weights rank the markers as their effects on patients do, and is each panel in the next?"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from oncofed.cohort.encoding import columns
from oncofed.cohort.expected_effects import expected_weights
from oncofed.cohort.schema import (
    Endpoint,
    Kind,
    Marker,
    MissingFlags,
    Modality,
    ModalityEncoding,
    StudySchema,
)
from oncofed.explanation.panels import (
    columns_seen,
    marker_spreads,
    nested_panels,
    ranked_markers,
    with_released_effects,
)
from oncofed.protocol.plan import ModelSpec
from oncofed.simulations.panel_path import first_enough
from oncofed.survival.grid import TimeGrid
from oncofed.survival.network import PrognosisNetwork, network_with

SCHEMA = StudySchema(
    name="lung",
    patient_id="patient",
    markers=(
        Marker("age", Modality.CLINICAL, Kind.CONTINUOUS, "years", (0.0, 120.0), 60.0, 15.0),
        Marker("stage", Modality.CLINICAL, Kind.CATEGORICAL, categories=("a", "b", "c"), reference_category="a"),
        Marker("gene", Modality.RNA_EXPRESSION, Kind.CONTINUOUS, "z", (-9.0, 9.0)),
        Marker("other_gene", Modality.RNA_EXPRESSION, Kind.CONTINUOUS, "z", (-9.0, 9.0)),
    ),
    endpoints=(Endpoint("overall_survival", "months", "death"),),
    grid=TimeGrid((0.0, 12.0, 60.0)),
    baseline_hazard=(0.01,),
    modalities={
        Modality.CLINICAL: ModalityEncoding(missing_flags=MissingFlags.MARKER, missing_weight=1.0),
        Modality.RNA_EXPRESSION: ModalityEncoding(weight=0.2, missing_flags=MissingFlags.MODALITY, missing_weight=1.0),
    },
)
INPUTS = [(column.source, column.role.value) for column in columns(SCHEMA)]


def spec_of(hidden_units: tuple[int, ...] = ()) -> ModelSpec:
    return ModelSpec(
        columns=len(INPUTS),
        endpoints=("overall_survival",),
        grid=SCHEMA.grid,
        baseline_hazard=SCHEMA.baseline_hazard,
        hidden_units=hidden_units,
    )


def linear(*weights: float) -> PrognosisNetwork:
    assert len(weights) == len(INPUTS)
    return network_with(spec_of(), np.array([0.0, 0.0, *weights]))


def test_a_marker_counts_by_its_weight_times_its_public_scale_and_never_by_its_flag() -> None:
    assert [source for source, _ in INPUTS] == [
        *("age", "age", "stage", "stage", "stage", "gene", "other_gene", "rna_expression")
    ]
    # age, its flag; b, c and the flag of stage; two genes, and the flag of both.
    network = linear(-0.3, 9.0, 0.2, -0.4, 9.0, 1.0, -2.0, 9.0)
    of_stage = math.sqrt((0.2**2 + 0.4**2) * (1 / 3) * (2 / 3))
    # A gene's input is a fifth of its value.
    assert marker_spreads(network, SCHEMA) == pytest.approx([0.3, of_stage, 0.2, 0.4])
    assert ranked_markers(network, SCHEMA) == ("other_gene", "age", "stage", "gene")
    assert ranked_markers(linear(*[0.0] * 8), SCHEMA) == ("age", "stage", "gene", "other_gene")


def test_with_hidden_units_it_counts_by_the_mean_of_what_a_step_up_and_a_step_down_do() -> None:
    spec = spec_of((3,))
    network = network_with(spec, np.random.default_rng(4).normal(size=spec.parameters))
    for place, marker in ((0, 0), (5, 2)):
        step = torch.zeros(2, len(INPUTS), dtype=torch.float64)
        step[0, place], step[1, place] = 0.01, -0.01
        with torch.no_grad():
            up, down = (100 * np.abs(network(step)[:, 0].numpy())).tolist()
        scale = columns(SCHEMA)[place].weight
        assert up != pytest.approx(down, rel=0.01)
        assert marker_spreads(network, SCHEMA)[marker] == pytest.approx((up + down) / 2 * scale)


def test_a_category_counts_by_what_it_does_where_it_is_and_never_by_its_opposite() -> None:
    """Nobody has a stage of -1. Each of three is taken to be as frequent: a variance of 2/9."""
    spec = spec_of((3,))
    network = network_with(spec, np.random.default_rng(4).normal(size=spec.parameters))
    steps = torch.zeros(2, len(INPUTS), dtype=torch.float64)
    steps[0, 2], steps[1, 3] = 1.0, 1.0
    with torch.no_grad():
        there, opposite = (network(each)[:, 0].numpy() for each in (steps, -steps))
    assert np.abs(there) != pytest.approx(np.abs(opposite), rel=0.01)
    assert marker_spreads(network, SCHEMA)[1] == pytest.approx(math.sqrt(2 / 9 * np.square(there).sum()))


def test_an_effect_that_no_schema_may_expect_is_cut_alike_on_both_sides() -> None:
    def of_age(weight: float) -> float:
        schema = with_released_effects(SCHEMA, linear(weight, *[0.0] * 7), source="the first training")
        (effect,) = schema.markers[0].expected_log_hazard_ratios
        return effect

    assert of_age(-500.0) == -of_age(500.0)
    assert 0 < of_age(500.0) < 500


def test_each_panel_is_in_the_next_and_the_last_has_all() -> None:
    ranked = tuple(f"m{place}" for place in range(12))
    found = nested_panels(ranked)
    assert [len(panel) for panel in found] == [3, 5, 10, 12]
    assert all(larger[: len(smaller)] == smaller for smaller, larger in pairwise(found))
    assert nested_panels(ranked, (12, 40, 0)) == (ranked,)
    assert [len(panel) for panel in nested_panels(ranked, (7, 2, 2))] == [2, 7, 12]


def test_a_panel_sees_its_markers_their_flags_and_those_of_modalities_that_it_has_something_of() -> None:
    assert columns_seen(SCHEMA, ("age", "gene")).tolist() == [True, True, False, False, False, True, False, True]
    assert columns_seen(SCHEMA, ("stage",)).tolist() == [False, False, True, True, True, False, False, False]
    assert not columns_seen(SCHEMA, ()).any()


def test_released_weights_become_expected_effects_that_give_the_same_model() -> None:
    weights = (-0.3, 9.0, 0.2, -0.4, 9.0, 1.0, -2.0, 9.0)
    schema = with_released_effects(SCHEMA, linear(*weights), source="the first training")
    by_name = {marker.name: marker for marker in schema.markers}
    assert by_name["age"].expected_log_hazard_ratios == pytest.approx([-0.3])
    assert by_name["stage"].expected_log_hazard_ratios == pytest.approx([0.0, 0.2, -0.4])
    assert by_name["gene"].expected_log_hazard_ratios == pytest.approx([0.2])
    assert {marker.expected_source for marker in schema.markers} == {"the first training"}
    without_flags = [0.0 if role == "missing" else weight for (_, role), weight in zip(INPUTS, weights, strict=True)]
    assert expected_weights(schema) == pytest.approx(without_flags)


def test_a_panel_is_said_to_be_enough_for_certain_where_it_is_and_seldom_where_it_is_not() -> None:
    """What all markers tell is itself not known: a margin of its estimate would be passed in 18 of 100 studies here."""
    rng, patients, studies = np.random.default_rng(3), 300, 200

    def said(lost: float) -> float:
        """How often, of a panel that loses so much of 0.1 nats a patient."""
        all_markers = rng.normal(0.1, 0.5, (studies, patients))
        panel = all_markers - rng.normal(lost, 0.002, (studies, patients))
        gains = np.stack([panel, all_markers], axis=2)
        return float(np.mean([first_enough(each, rng=rng) == 0 for each in gains]))

    assert said(0.006) < 0.06, "6 % lost"
    assert said(0.0) > 0.6
