"""Does each tumour entity's hazard run over time as its own numbers say, and is f what it was at the centre?"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.doubles import drawn_patients, drawn_weights, model_spec

from oncofed.privacy.mechanism import clipped_gradient_sum, stopped_gradient_sum
from oncofed.protocol.plan import ModelSpec
from oncofed.survival.grid import TimeGrid
from oncofed.survival.likelihood import PatientTensors
from oncofed.survival.network import PrognosisNetwork, network_with, parameter_vector
from oncofed.survival.one_by_one import one_by_one
from oncofed.survival.time_shapes import TimeShapes, shape_centre

FloatArray = NDArray[np.float64]

GRID = TimeGrid((0.0, 6.0, 12.0, 36.0, 84.0))
CENTRE = 24.0
SHAPES = TimeShapes(functions=2, centre=CENTRE, weight=0.4, entity_columns=(3, 1))
SPEC = model_spec(columns=5, endpoints=2, hidden_units=(3,), grid=GRID, time_shapes=SHAPES)
PLAIN = replace(SPEC, time_shapes=None)


def by_hand(weights: FloatArray, x: FloatArray, *, endpoint: int, interval: int) -> float:
    """s_k(e) of one patient, from the words of the module alone."""
    entity = 1 if x[3] != 0 else 2 if x[1] != 0 else 0
    logarithm = math.log((GRID.bounds[interval] + GRID.bounds[interval + 1]) / 2) - math.log(CENTRE)
    logarithm /= math.log(CENTRE) - math.log(3.0)  # the first interval's is the farthest off
    rows = weights[SPEC.baseline_parameters : SPEC.ratio_begins].reshape(2, 2, 3)  # endpoint, function, entity
    first, second = rows[endpoint, :, entity]
    return float(SHAPES.weight * (first * logarithm + second * logarithm**2))


def without_shapes(weights: FloatArray) -> FloatArray:
    return np.delete(weights, np.arange(SPEC.baseline_parameters, SPEC.ratio_begins))


def test_the_hazard_is_that_of_the_words() -> None:
    weights, patients = drawn_weights(SPEC, seed=1, scale=1.0), drawn_patients(SPEC, 12, seed=1)
    found = network_with(SPEC, weights).log_hazard(patients.x).detach().numpy()
    plain = network_with(PLAIN, without_shapes(weights)).log_hazard(patients.x).detach().numpy()
    seen = set()
    for row, x in enumerate(patients.x.numpy()):
        seen.add((x[3] != 0, x[1] != 0))
        for endpoint in range(2):
            for interval in range(GRID.intervals):
                own = by_hand(weights, x, endpoint=endpoint, interval=interval)
                assert found[row, endpoint, interval] == pytest.approx(plain[row, endpoint, interval] + own, rel=1e-12)
    assert len(seen) == 3


def test_at_the_centre_the_log_hazard_ratio_against_the_reference_patient_is_f() -> None:
    """So what explains f explains that ratio; in other intervals it does not."""
    weights, patients = drawn_weights(SPEC, seed=2, scale=1.0), drawn_patients(SPEC, 30, seed=2)
    network = network_with(SPEC, weights)
    ratio = network.log_hazard(patients.x) - torch.as_tensor(network.reference_log_hazard)
    middle = 2  # from 12 to 36
    torch.testing.assert_close(ratio[:, :, middle], network(patients.x), rtol=0, atol=1e-12)
    assert (ratio[:, :, 0] - network(patients.x)).abs().max() > 0.5
    reference = torch.zeros(1, SPEC.columns, dtype=torch.float64)
    assert bool((network(reference) == 0).all())


def test_who_has_a_log_hazard_ratio_of_zero_has_the_course_of_the_own_entity() -> None:
    weights, patients = drawn_weights(SPEC, seed=3, scale=1.0), drawn_patients(SPEC, 9, seed=3)
    network = network_with(SPEC, weights)
    own = network.log_baseline_hazard(patients.x) + network(patients.x).detach().numpy()[:, :, None]
    np.testing.assert_allclose(own, network.log_hazard(patients.x).detach().numpy(), rtol=1e-12)
    assert np.ptp(own - own[:1], axis=2).max() > 0.1


def test_shapes_begin_at_zero_and_stand_after_the_baseline() -> None:
    start = parameter_vector(PrognosisNetwork(SPEC, initialisation_seed=4))
    assert SPEC.ratio_begins - SPEC.baseline_parameters == 2 * 2 * 3
    np.testing.assert_array_equal(start[: SPEC.ratio_begins], 0.0)
    np.testing.assert_array_equal(
        without_shapes(start), parameter_vector(PrognosisNetwork(PLAIN, initialisation_seed=4))
    )


def sums(spec: ModelSpec, weights: FloatArray, patients: PatientTensors, *, stopped: bool) -> FloatArray:
    network = network_with(spec, weights)
    if stopped:
        return stopped_gradient_sum(network, patients, hazard_cap=1.0, l2_norm_bound=math.inf).vector
    return clipped_gradient_sum(network, patients, l2_norm_bound=math.inf).vector


@pytest.mark.parametrize("stopped", [False, True])
def test_shapes_of_zero_change_no_bit_of_all_else(stopped: bool) -> None:
    weights, patients = drawn_weights(SPEC, seed=5), drawn_patients(SPEC, 40, seed=5)
    weights[SPEC.baseline_parameters : SPEC.ratio_begins] = 0.0
    found = sums(SPEC, weights, patients, stopped=stopped)
    plain = sums(PLAIN, without_shapes(weights), patients, stopped=stopped)
    assert without_shapes(found).tobytes() == plain.tobytes()
    assert np.abs(found[SPEC.baseline_parameters : SPEC.ratio_begins]).min() > 0.01


def test_one_by_one_gives_what_the_plain_network_gives() -> None:
    weights, patients = drawn_weights(SPEC, seed=6), drawn_patients(SPEC, 40, seed=6)
    network = network_with(SPEC, weights)
    plain = network.log_hazard(patients.x).detach()
    with torch.no_grad(), one_by_one(network, patients.fed):
        torch.testing.assert_close(network.log_hazard(patients.x), plain, rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    ("bounds", "unit", "centre"),
    [
        ((0.0, 6.0, 12.0, 18.0, 24.0, 36.0, 180.0), "months", 21.0),
        ((0.0, 12.0, 36.0, 60.0), "months", 24.0),
        ((0.0, 6.0, 12.0), "months", 3.0),
        ((0.0, 365.0, 1095.0, 3650.0), "days", 730.0),
        ((0.0, 1.0, 3.0, 10.0), "years", 2.0),
    ],
)
def test_the_centre_is_the_middle_of_the_interval_that_holds_two_years(
    bounds: tuple[float, ...], unit: str, centre: float
) -> None:
    grid = TimeGrid(bounds, unit)
    assert shape_centre(grid) == pytest.approx(centre)
    functions = TimeShapes(2, shape_centre(grid), 1.0, ()).on(grid)
    assert (functions == 0).all(axis=0).sum() == 1


def test_columns_that_are_not_there_are_told() -> None:
    assert SHAPES.faults(5) == ()
    for column in (-1, 5):
        assert "not there" in replace(SHAPES, entity_columns=(1, column)).faults(5)[0]
