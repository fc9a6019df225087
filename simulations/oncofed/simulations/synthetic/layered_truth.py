"""What are the true hazard given some layers, and so the true value of each layer, in the layered consortium?

Whoever knows the layers S of a patient knows f up to what the others add. Given the recorded, that has a known law: a
normal one for the markers of laboratory, RNA and protein (regression of the unmeasured on the measured), shifted by the
mutations' where these are not known. With H(t) the reference patient's cumulative hazard,

    survival to t given S   = E exp(-H(t) exp f),    and the hazard is minus the derivative of its logarithm,

expectations over that law. So the hazard given S is not proportional: of those who seem alike the frail die first.
Entry at a later time is exact, because the hazard at t is of those who live at t. Expectations are sums over the nodes
of a Gauss rule that is made for the law itself (Gautschi, Orthogonal Polynomials, 2004, 2.2; Golub and Welsch,
Mathematics of Computation 23, 1969).

True values are those of `survival.layer_values` for these hazards: the same stop and the same cut, over simulated
patients of whom all layers were measured, for these alone a study can compare.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oncofed.cohort.schema import Modality
from oncofed.simulations.synthetic.layered import (
    LAYERS,
    MUTATED_SHARES,
    MUTATION_EFFECTS,
    LayeredConsortium,
    LayeredPatients,
    draw_layered,
    normal_markers,
    of_mutations,
)
from oncofed.simulations.synthetic.outcomes import DEATH_SCALE_MONTHS, cumulative_hazard
from oncofed.survival.layer_values import HAZARD_CAP, LARGEST_GAIN, LayerValues, coalitions, layer_values

FloatArray = NDArray[np.float64]

_NODES = 16
_OF_NORMAL = 48
_MUTATIONS = LAYERS.index(Modality.DNA_MUTATION)
_AT_ONCE = 20_000


def gauss_rule(atoms: FloatArray, weights: FloatArray, *, nodes: int) -> tuple[FloatArray, FloatArray]:
    """(nodes,), (nodes,): fewer atoms with the same moments up to 2 nodes - 1. weights add up to 1.

    Lanczos' recurrence with all vectors kept orthogonal, then the eigenvalues of the tridiagonal matrix.
    """
    scale = float(np.sqrt(weights @ (atoms - weights @ atoms) ** 2))
    if scale < 1e-12:
        return np.array([float(weights @ atoms)]), np.ones(1)
    vectors = [np.sqrt(weights)]
    diagonal, beside = [], []
    for step in range(min(nodes, len(atoms))):
        product = atoms * vectors[step]
        diagonal.append(float(product @ vectors[step]))
        for _ in range(2):
            for vector in vectors:
                product = product - (product @ vector) * vector
        length = float(np.linalg.norm(product))
        if length < 1e-10 * scale or step == nodes - 1:
            break
        beside.append(length)
        vectors.append(product / length)
    size = len(diagonal)
    matrix = np.diag(diagonal) + np.diag(beside[: size - 1], 1) + np.diag(beside[: size - 1], -1)
    values, directions = np.linalg.eigh(matrix)
    return values, directions[0] ** 2


def _law_of_mutations() -> tuple[FloatArray, FloatArray]:
    """Of what they add to f: all atoms."""
    atoms, weights = np.zeros(1), np.ones(1)
    for gene, share in MUTATED_SHARES.items():
        effect = MUTATION_EFFECTS[gene]
        atoms = np.concatenate([atoms - share * effect, atoms + (1 - share) * effect])
        weights = np.concatenate([weights * (1 - share), weights * share])
    return atoms, weights


@dataclass(frozen=True, eq=False)
class Given:
    """f given some layers: `mean`, (patients,), plus one of `nodes` with these `weights`, alike for all patients."""

    mean: FloatArray
    nodes: FloatArray
    weights: FloatArray

    def survival(self, hazard: FloatArray) -> FloatArray:
        """(patients,): to where the reference patient's cumulative hazard is `hazard`."""
        living: FloatArray = np.exp(-hazard[:, None] * np.exp(self.mean[:, None] + self.nodes)) @ self.weights
        return living

    def cumulative(self, hazard: FloatArray) -> FloatArray:
        """(patients,): minus its logarithm."""
        return -np.log(self.survival(hazard))

    def log_ratio(self, hazard: FloatArray) -> FloatArray:
        """(patients,): the log hazard then, less the reference patient's."""
        each = np.exp(self.mean[:, None] + self.nodes)
        living = np.exp(-hazard[:, None] * each)
        found: FloatArray = np.log((each * living) @ self.weights) - np.log(living @ self.weights)
        return found


def given(patients: LayeredPatients, kept: tuple[int, ...]) -> Given:
    """What is known of f by clinical history and the layers `kept` (numbers of `LAYERS`), of patients who have them."""
    normal = normal_markers()
    known = np.isin(normal.layers, kept)
    covariance = normal.covariance
    expected = np.outer(patients.severity, normal.severity)
    of_known = np.linalg.solve(covariance[np.ix_(known, known)], covariance[np.ix_(known, ~known)])
    left = covariance[np.ix_(~known, ~known)] - covariance[np.ix_(~known, known)] @ of_known
    z = patients.z.copy()
    z[:, ~known] = expected[:, ~known] + (patients.z - expected)[:, known] @ of_known
    mean = patients.always_known + z @ normal.effects
    spread = math.sqrt(max(float(normal.effects[~known] @ left @ normal.effects[~known]), 0.0))
    points, weights = np.polynomial.hermite_e.hermegauss(_OF_NORMAL)
    atoms, weights = spread * points, weights / weights.sum()
    if _MUTATIONS in kept:
        mean = mean + of_mutations(patients.mutated)
    else:
        of_genes, shares = _law_of_mutations()
        atoms, weights = (atoms[:, None] + of_genes).ravel(), np.outer(weights, shares).ravel()
    return Given(mean, *gauss_rule(atoms, weights, nodes=_NODES))


def true_gains(
    patients: LayeredPatients, *, hazard_cap: float = HAZARD_CAP, largest_gain: float = LARGEST_GAIN
) -> FloatArray:
    """(patients, 2^layers), as `survival.layer_values.gains_of_each`, of the true hazards."""
    return np.concatenate(
        [
            _gains(patients.rows(np.arange(begin, min(begin + _AT_ONCE, len(patients)))), hazard_cap, largest_gain)
            for begin in range(0, len(patients), _AT_ONCE)
        ]
    )


def _gains(patients: LayeredPatients, hazard_cap: float, largest_gain: float) -> FloatArray:
    follow_up = patients.follow_up
    begin = cumulative_hazard(DEATH_SCALE_MONTHS, follow_up.entry_months)
    end = cumulative_hazard(DEATH_SCALE_MONTHS, follow_up.survival_months)
    sets = coalitions(len(LAYERS))
    nothing = given(patients, sets[0])
    stop = _reaches(nothing, begin, end, hazard_cap)
    died = follow_up.death_observed & (stop >= end)
    found = np.zeros((len(patients), len(sets)))

    def log_likelihood(of: Given) -> FloatArray:
        """Less what does not depend on the set."""
        likelihood: FloatArray = np.where(died, of.log_ratio(stop), 0.0) - (of.cumulative(stop) - of.cumulative(begin))
        return likelihood

    base = log_likelihood(nothing)
    for place, kept in enumerate(sets[1:], start=1):
        found[:, place] = np.clip(log_likelihood(given(patients, kept)) - base, -largest_gain, largest_gain)
    return found


def _reaches(of: Given, begin: FloatArray, end: FloatArray, cap: float) -> FloatArray:
    """(patients,): where the cumulative hazard since entry is `cap`, or the end where it never is. By bisection."""
    at_entry = of.cumulative(begin)
    low, high = begin.copy(), end.copy()
    too_far = of.cumulative(end) - at_entry > cap
    for _ in range(45):
        middle = (low + high) / 2
        beyond = of.cumulative(middle) - at_entry > cap
        low, high = np.where(beyond, low, middle), np.where(beyond, middle, high)
    return np.where(too_far, low, end)


def true_values(patients: LayeredPatients, *, rng: np.random.Generator) -> LayerValues:
    """Over those of whom all layers were measured."""
    compared = patients.rows(np.flatnonzero(patients.measured.all(axis=1)))
    return layer_values(true_gains(compared), [layer.value for layer in LAYERS], rng=rng)


def values_in_population(consortium: LayeredConsortium, *, patients: int) -> LayerValues:
    """Over so many more patients of the same hospitals, none of whom is in the table."""
    rng = np.random.default_rng([consortium.seed, 2])
    drawn = draw_layered(patients=patients, hospitals=consortium.hospitals, rng=rng)
    return true_values(drawn, rng=rng)
