"""Is what a patient adds the same, to the last bit, whoever else is in the batch? And what happens where it is not?

The attack is a reviewer's: weights by which many patients of one profile stand at the kink of a ReLU, where the last
bit of a sum decides. With a plain matrix product, whose last bits depend on a row's place and on the number of rows,
one patient then moved the clipped sum by hundreds of clip norms.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import mpmath  # type: ignore[import-untyped]  # ships no types
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.doubles import drawn_patients, drawn_weights, joined, model_spec, without
from tests.kernels import product_by_place
from torch import Tensor

from oncofed.privacy.mechanism import CutPart, clipped_gradient_sum, cut_parts, stopped_parts
from oncofed.protocol.plan import ModelSpec
from oncofed.survival import one_by_one
from oncofed.survival.likelihood import PatientTensors, patient_losses
from oncofed.survival.network import PrognosisNetwork, network_with
from oncofed.survival.one_by_one import (
    GridRows,
    exact_inner_products,
    exact_product,
    exponential,
    norms_of,
    on_grid,
    row_sums,
)

FloatArray = NDArray[np.float64]


@pytest.fixture(params=[1, 2], ids=["one thread", "two threads"])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


# --- the attack


def all_dead_at_once(x: FloatArray, intervals: int) -> PatientTensors:
    events = torch.zeros(len(x), 1, intervals, dtype=torch.float64)
    at_risk = torch.zeros(len(x), 1, intervals, dtype=torch.float64)
    events[:, 0, 0], at_risk[:, 0, 0] = 1.0, 0.5
    return PatientTensors.of(torch.as_tensor(x), events, at_risk)


def influence_at_the_kink(*, patients: int, columns: int, trials: int) -> float:
    """In clip norms: the most that removing the first patient moves the sum, every second patient being of a profile
    for which each hidden unit's sum is 0 but for its last bits.
    """
    rng = np.random.default_rng(5)
    units = 16
    spec = model_spec(columns=columns, hidden_units=(units,), linear_branch=False)
    x = rng.normal(size=(patients, columns))
    x[1::2] = 1.0
    everyone = all_dead_at_once(x, spec.grid.intervals)
    others = without(everyone, 0)
    most = 0.0
    for _ in range(trials):
        first = rng.uniform(-1, 1, (units, columns))
        first[:, -1] = 0
        first[:, -1] = -first.sum(axis=1)
        first[:, -1] += rng.integers(-4, 5, units) * np.spacing(np.abs(first[:, -1])) / 2
        for unit in range(units):
            last = np.zeros(units)
            last[unit] = 1.0
            weights = np.concatenate([np.zeros(spec.grid.intervals), first.ravel(), last])
            network = network_with(spec, weights)
            one, other = (clipped_gradient_sum(network, some, l2_norm_bound=1.0).vector for some in (everyone, others))
            most = max(most, float(np.linalg.norm(one - other)))
    return most


def influence_where_large_numbers_cancel(*, patients: int, columns: int, trials: int) -> float:
    """The same for a linear model, all patients alike, with weights of 2^58 that add up to 0."""
    rng = np.random.default_rng(5)
    spec = model_spec(columns=columns, hidden_units=())
    everyone = all_dead_at_once(np.ones((patients, columns)), spec.grid.intervals)
    others = without(everyone, 0)
    most = 0.0
    for _ in range(trials):
        weights = rng.choice([-1, 1], columns) * rng.uniform(1, 2, columns) * 2.0**58
        weights[-1] = -weights[:-1].sum()
        network = network_with(spec, np.concatenate([np.zeros(spec.grid.intervals), weights]))
        one, other = (clipped_gradient_sum(network, some, l2_norm_bound=1.0).vector for some in (everyone, others))
        most = max(most, float(np.linalg.norm(one - other)))
    return most


ATTACKS = {
    "kink, 9 columns": (influence_at_the_kink, {"patients": 250, "columns": 9, "trials": 4}),
    "kink, few patients": (influence_at_the_kink, {"patients": 40, "columns": 9, "trials": 4}),
    "kink, 61 columns": (influence_at_the_kink, {"patients": 250, "columns": 61, "trials": 3}),
    "cancelling": (influence_where_large_numbers_cancel, {"patients": 250, "columns": 9, "trials": 60}),
}


@pytest.mark.parametrize(("attack", "size"), ATTACKS.values(), ids=ATTACKS)
def test_weights_made_for_last_bits_move_the_sum_by_one_patient_at_most(
    attack: Callable[..., float], size: dict[str, int]
) -> None:
    assert attack(**size) <= 1 + 1e-7


def plain_product(fed: GridRows, weight: Tensor) -> Tensor:
    """Not the same for a row in another place."""
    return product_by_place(fed.values, weight)


def test_with_a_plain_product_the_attack_succeeds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_by_one, "exact_product", plain_product)
    assert influence_at_the_kink(patients=250, columns=9, trials=4) > 20


# --- bit for bit


def hostile_weights(spec: ModelSpec, *, seed: int) -> FloatArray:
    """With many digits, and of very different sizes."""
    rng = np.random.default_rng(seed)
    return drawn_weights(spec, seed=seed) * 10.0 ** rng.integers(-3, 3, spec.parameters)


def bits(parts: list[CutPart], rows: Tensor) -> list[bytes]:
    return [part.numpy().tobytes() for each in parts for part in (each.at_output[rows], each.input[rows])]


def parts_of(network: PrognosisNetwork, patients: PatientTensors) -> list[CutPart]:
    """Cut, and stopped."""
    return [
        *cut_parts(network, patients, l2_norm_bound=0.3, losses=patient_losses),
        *stopped_parts(network, patients, hazard_cap=0.7, l2_norm_bound=0.3),
    ]


@pytest.mark.parametrize(
    "spec",
    [
        model_spec(columns=columns, endpoints=endpoints, hidden_units=units)
        for columns, endpoints, units in ((9, 1, (16,)), (61, 2, (7, 5)), (5, 3, ()), (60, 1, (8, 8)), (1, 1, (1,)))
    ],
    ids=lambda spec: f"{spec.columns} columns, {spec.hidden_units}",
)
def test_what_a_patient_adds_is_the_same_bits_in_any_batch(spec: ModelSpec, threads: int) -> None:
    for seed, n in enumerate((2, 3, 17, 64, 251)):
        network = network_with(spec, hostile_weights(spec, seed=seed))
        patients = drawn_patients(spec, n, seed=seed)
        parts = parts_of(network, patients)
        everyone = torch.arange(n)
        assert any(bool((part.at_output != 0).any()) for part in parts)
        batches = {
            "without the first": everyone[1:],
            "without the last": everyone[:-1],
            "without one between": everyone[everyone != n // 2],
            "one alone": everyone[n // 2 : n // 2 + 1],
            "in another order": torch.as_tensor(np.random.default_rng(seed).permutation(n)),
            "every second": everyone[::2],
        }
        for name, index in batches.items():
            assert bits(parts_of(network, patients.rows(index)), torch.arange(len(index))) == bits(parts, index), name
        among_others = joined(drawn_patients(spec, 37, seed=99), patients)
        assert bits(parts_of(network, among_others), torch.arange(37, 37 + n)) == bits(parts, everyone)


def test_so_it_is_in_a_large_batch_that_threads_share(threads: int) -> None:
    spec = model_spec(columns=33, hidden_units=(16,))
    network, patients = network_with(spec, hostile_weights(spec, seed=1)), drawn_patients(spec, 4100, seed=1)
    parts = parts_of(network, patients)
    for index in (torch.arange(1, 4100), torch.arange(2000, 2003)):
        assert bits(parts_of(network, patients.rows(index)), torch.arange(len(index))) == bits(parts, index)


def test_the_comparison_of_bits_notices_a_plain_product(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_by_one, "exact_product", plain_product)
    spec, rest = model_spec(columns=61, hidden_units=()), torch.arange(1, 251)

    def differ(seed: int) -> bool:
        network, patients = network_with(spec, hostile_weights(spec, seed=seed)), drawn_patients(spec, 251, seed=seed)
        return bits(parts_of(network, patients.rows(rest)), rest - 1) != bits(parts_of(network, patients), rest)

    assert any(differ(seed) for seed in range(20))


def test_each_patients_part_is_no_longer_than_the_bound() -> None:
    spec = model_spec(columns=20, endpoints=2, hidden_units=(8, 4))
    network, patients = network_with(spec, hostile_weights(spec, seed=3)), drawn_patients(spec, 50, seed=3, scale=3.0)
    squares = sum(
        part.at_output.square().sum(dim=1) * part.input.square().sum(dim=1)
        for part in cut_parts(network, patients, l2_norm_bound=0.3, losses=patient_losses)
    )
    lengths = np.sqrt(np.asarray(squares)) / 0.3
    assert 1 - 1e-12 < lengths.max() <= 1 + 1e-12


# --- the arithmetic


def largest_rows(columns: int, *, rows: int, seed: int) -> tuple[Tensor, Tensor]:
    """Inputs and weights with all their bits, half of them next to the largest that their power of two allows."""
    rng = np.random.default_rng(seed)
    inputs, weights = (rng.uniform(1, 2, (rows, columns)) for _ in range(2))
    for numbers in (inputs, weights):
        numbers[rng.random(numbers.shape) < 0.5] = np.nextafter(2.0, 0.0)
    return torch.as_tensor(inputs), torch.as_tensor(weights)


@pytest.mark.parametrize("columns", [1, 2, 3, 5, 64, 65, 730, 4097])
def test_no_product_is_ever_rounded(columns: int) -> None:
    """Against Python's integers, for inputs and weights of one sign that are as large as they may be."""
    inputs, weights = largest_rows(columns, rows=4, seed=columns)
    fed = on_grid(inputs)
    got = exact_product(fed, weights)
    first = np.trunc(weights.numpy() * 2**14)
    second = np.trunc((weights.numpy() - first / 2**14) * 2**29)
    at_most = 2 ** (53 - 14)
    for row in range(4):
        for output in range(4):
            numbers = [int(x * at_most) for x in fed.values[row].tolist()]
            high = sum(x * int(w) for x, w in zip(numbers, first[output], strict=True))
            low = sum(x * int(w) for x, w in zip(numbers, second[output], strict=True))
            scale = at_most * 2**14
            assert float(got[row, output]) == high / scale + low / scale / 2**15


@pytest.mark.parametrize("columns", [3, 61, 730])
def test_columns_in_any_order_give_the_same_bits(columns: int) -> None:
    rng = np.random.default_rng(columns)
    inputs, weights = (torch.as_tensor(rng.normal(size=(50, columns)) * 10.0 ** rng.integers(-9, 9)) for _ in range(2))
    order = torch.as_tensor(rng.permutation(columns))
    one, other = exact_product(on_grid(inputs), weights), exact_product(on_grid(inputs[:, order]), weights[:, order])
    assert torch.equal(one, other)


def test_with_two_bits_more_sums_are_rounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """So the bits are counted well, and not with room to spare."""
    right = one_by_one._input_bits
    inputs, weights = largest_rows(64, rows=50, seed=0)
    for more, same in ((0, True), (2, False)):
        monkeypatch.setattr(one_by_one, "_input_bits", lambda columns, more=more: right(columns) + more)
        reversed_ = exact_product(on_grid(inputs.flip(1)), weights.flip(1))
        assert torch.equal(exact_product(on_grid(inputs), weights), reversed_) is same


def test_the_product_is_close_to_the_plain_one() -> None:
    rng = np.random.default_rng(0)
    for columns in (1, 8, 730):
        inputs, weights = (torch.as_tensor(rng.normal(size=(40, columns))) for _ in range(2))
        exact, plain = exact_product(on_grid(inputs), weights), inputs @ weights.T
        lengths = inputs.norm(dim=1)[:, None] * weights.norm(dim=1)
        assert float(((exact - plain).abs() / lengths).max()) < 1e-7


@pytest.mark.parametrize("terms", [1, 2, 8, 16, 17, 256])
def test_no_inner_product_is_ever_rounded(terms: int) -> None:
    """Against Python's integers, for numbers of one sign that are as large as they may be."""
    one, other = (each.T.expand(2, -1, -1).contiguous() for each in largest_rows(terms, rows=4, seed=terms))
    got = exact_inner_products(one, other)
    bits = (53 - math.ceil(math.log2(terms))) // 2 - 1
    for some in range(4):
        for others in range(4):
            sides = ((one, some), (other, others))
            numbers = [[int(x * 2**bits) for x in side[1, :, column].tolist()] for side, column in sides]
            exact = sum(x * y for x, y in zip(*numbers, strict=True))
            assert exact.bit_length() <= 53
            assert float(got[1, some, others]) == exact / 4**bits


def test_inner_products_are_close_to_plain_ones_and_the_same_for_terms_in_any_order() -> None:
    rng = np.random.default_rng(0)
    one, other = (torch.as_tensor(rng.normal(size=(5, 16, 30)) * 10.0 ** rng.integers(-9, 9)) for _ in range(2))
    exact, order = exact_inner_products(one, other), torch.as_tensor(rng.permutation(16))
    assert torch.equal(exact, exact_inner_products(one[:, order], other[:, order]))
    lengths = one.norm(dim=1)[:, :, None] * other.norm(dim=1)[:, None, :]
    assert float(((exact - torch.bmm(one.mT, other)).abs() / lengths).max()) < 1e-6


def test_what_is_on_the_grid_stays() -> None:
    rows = on_grid(torch.as_tensor(np.random.default_rng(0).normal(size=(500, 33)))).values
    assert torch.equal(on_grid(rows).values, rows)
    patients = PatientTensors.of(rows, torch.ones(500, 1, 1), torch.ones(500, 1, 1))
    assert patients.fed.values is patients.x  # and takes no memory a second time
    assert patients.rows(slice(3, 9)).fed.values.data_ptr() == patients.x[3:9].data_ptr()


def test_rows_that_do_not_fit_are_zeros_and_said_to_be() -> None:
    rows = torch.zeros(6, 3, dtype=torch.float64)
    rows[:, 1] = torch.tensor([1.0, np.nan, np.inf, -np.inf, 2.0**500, 2.0**-600], dtype=torch.float64)
    fed = on_grid(rows)
    assert fed.fits.tolist() == [True, False, False, False, False, True]
    assert fed.values[:, 1].tolist() == [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    assert fed.norms.tolist() == [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("scale", [1e-300, 1e-170, 1.0, 1e145])
def test_norms_are_right_where_squares_are_not(scale: float) -> None:
    rows = np.random.default_rng(0).normal(size=(20, 13))
    norms, fits = norms_of(torch.as_tensor(rows * scale))
    assert bool(fits.all())
    np.testing.assert_allclose(norms.numpy() / scale, np.linalg.norm(rows, axis=1), rtol=1e-14)


@pytest.mark.parametrize("columns", [1, 2, 3, 7, 64, 101])
def test_row_sums(columns: int) -> None:
    rows = np.random.default_rng(columns).normal(size=(9, columns))
    np.testing.assert_allclose(row_sums(torch.as_tensor(rows)).numpy(), rows.sum(axis=1), rtol=1e-13, atol=1e-13)


def test_exp_against_forty_digits_and_in_any_place() -> None:
    rng = np.random.default_rng(0)
    numbers = np.concatenate([rng.uniform(-708, 700, 4000), rng.normal(size=4001), [0.0, 1.0, -1.0, 300.0, 1e-300]])
    got = exponential(torch.as_tensor(numbers)).numpy()
    with mpmath.workdps(40):
        exact = [mpmath.exp(mpmath.mpf(float(number))) for number in numbers]
        steps = [
            abs(mpmath.mpf(float(found)) - true) / float(np.spacing(found))
            for found, true in zip(got, exact, strict=True)
        ]
    assert max(steps) <= 2
    for start in range(1, 9):
        assert (exponential(torch.as_tensor(numbers[start:])).numpy() == got[start:]).all()
    ends = exponential(torch.tensor([-np.inf, -1000.0, -745.0, np.nan], dtype=torch.float64))
    assert ends[:3].tolist() == [0.0, 0.0, 5e-324]
    assert bool(ends[3].isnan())
