"""Do the low bits of what leaves tell whether a patient is in the sum?

A sum of floats lies on a lattice that its parts leave behind: where the patients' part of a number is exactly 0, what
leaves is the noise itself, and a small float is a multiple of a much finer power of two than a large one. With a
patient in the sum it no longer is. So the attacker, who knows the scale of the noise, takes it off again and looks on
which grid each number lies (Mironov, CCS 2012). Here the numbers of many releases without a patient are held against
those of as many with one.

Also: every number must be a whole number of the plan's steps, and zero must have one sign.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats

from oncofed.simulations.audit.crafted import weights_of
from oncofed.simulations.audit.target import Target, nobody, sum_event_of
from oncofed.simulations.audit.verdict import BY_CHANCE, NOTICED, Outcome, Power, Verdict
from oncofed.survival.likelihood import PatientTensors

FloatArray = NDArray[np.float64]

LOW_BITS = "low bits"

_SIZES, _GRIDS = 24, 60
_NONE = _GRIDS - 1
"""The place of numbers that no float64 times the scale gives."""


def low_bits(target: Target, rng: np.random.Generator, *, releases: int) -> Verdict:
    """Fails when grids differ between the two worlds (by BY_CHANCE), or a number is no whole step.

    releases  in each of the two worlds.
    """
    patient = target.patients.rows(torch.as_tensor([int(rng.integers(len(target.patients)))]))
    weights = _all_firing(target, patient)
    told = np.flatnonzero(target.clipped_sum(patient, weights))
    absent, present = (
        np.concatenate([target.hospital(held).release(weights)[told] for _ in range(releases)])
        for held in (nobody(target), patient)
    )
    scale = sum_event_of(target.release).scale
    off = sum(int(np.count_nonzero(numbers * scale != np.rint(numbers * scale))) for numbers in (absent, present))
    signed = sum(int(np.count_nonzero(np.signbit(numbers[numbers == 0]))) for numbers in (absent, present))
    tables = np.stack([_table(numbers, target.sigma) for numbers in (absent, present)])
    p = _p_alike(tables)
    faults = [
        *([f"{off:,} numbers are no whole steps"] if off else []),
        *([f"{signed:,} zeros have a sign"] if signed else []),
        *([f"their grids tell the two apart (p = {p:.1g})"] if p < BY_CHANCE else []),
    ]
    return Verdict(
        LOW_BITS,
        Outcome.FAILED if faults else Outcome.PASSED,
        f"of {len(absent):,} numbers without a patient and as many with one: "
        + ("; ".join(faults) or f"all are whole steps, and their grids are alike (p = {p:.2g})"),
        f"whole steps, one zero, and no difference of grids by more than chance ({BY_CHANCE:g})",
        Power(
            f"one number that is no whole step; {_noticed(len(absent)):.1%} of the numbers on another grid in one of "
            "the two worlds",
            NOTICED,
        ),
        {"numbers": len(absent), "no_whole_steps": off, "signed_zeros": signed, "p": p},
    )


def _all_firing(target: Target, patient: PatientTensors) -> FloatArray:
    """Weights at which the patient's gradient has as many numbers as can be: every first unit fires, with an effect."""
    spec, x = target.plan.model, patient.x[0].numpy()
    units = spec.hidden_units[0] if spec.hidden_units else 0
    hidden = np.tile(np.sign(x) / math.sqrt(len(x)), (units, 1)) if units else None
    last = spec.hidden_units[-1] if units else 0
    return weights_of(spec, hidden=hidden, output=np.full((len(spec.endpoints), last), 0.1) if units else None)


def _table(numbers: FloatArray, sigma: float) -> NDArray[np.int64]:
    """(sizes, grids): how many numbers there are of each size, and on each grid, once the scale is taken off."""
    numbers = numbers[numbers != 0]
    bare = numbers / sigma
    size = np.clip(-np.floor(np.log2(np.abs(bare))).astype(int), 0, _SIZES - 1)
    grid = np.full(bare.shape, _NONE)
    candidate = np.nextafter(np.nextafter(bare, -np.inf), -np.inf)
    for _ in range(5):  # those floats which, times the scale, round to the number
        fits = candidate * sigma == numbers
        grid = np.where(fits, np.minimum(grid, np.clip(_grid(candidate), 0, _NONE - 1)), grid)
        candidate = np.nextafter(candidate, np.inf)
    table = np.zeros((_SIZES, _GRIDS), dtype=np.int64)
    np.add.at(table, (size, grid), 1)
    return table


def _grid(numbers: FloatArray) -> NDArray[np.int64]:
    """g where a number is an odd multiple of 2^-(g + 20)."""
    mantissa, exponent = np.frexp(numbers)
    whole = np.abs(np.ldexp(mantissa, 53)).astype(np.int64)
    low = np.where(whole == 0, 1, whole & -whole)
    return 53 - exponent.astype(np.int64) - np.round(np.log2(low.astype(np.float64))).astype(np.int64) - 20


def _p_alike(tables: NDArray[np.int64]) -> float:
    """Chi-squared of the two tables, over the cells that are large enough; small ones are taken together."""
    flat = tables.reshape(2, -1)
    total = flat.sum(axis=0)
    large = total >= 40
    cells = np.column_stack([flat[:, large], flat[:, ~large].sum(axis=1)])
    cells = cells[:, cells.sum(axis=0) >= 40]
    if not cells.sum(axis=1).all():  # in one world all numbers are 0
        return 0.0
    return 1.0 if cells.shape[1] < 2 else float(stats.chi2_contingency(cells).pvalue)


def _noticed(numbers: int) -> float:
    """The share of numbers that must move to another cell, were there twenty: s^2 n / 2 is then the noncentrality."""
    freedom = 19
    needed = float(stats.chi2.isf(BY_CHANCE, freedom))
    for share in np.linspace(0.0, 1.0, 1001):
        if stats.ncx2.sf(needed, freedom, max(numbers * share**2 / 2, 1e-9)) >= NOTICED:
            return float(share)
    return 1.0
