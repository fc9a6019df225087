"""Do the patients' outcomes bear an interaction out? A score test of every pair, with false-discovery control.

Null hypothesis: the log hazard is additive in the markers. First an additive model is fitted to the same patients: the
hazard of interval k is exp(b_k + x.beta), beta under a ridge penalty, with the squares of numeric markers among x, or a
curved effect would pass for interactions of whatever goes with it. What it leaves of a patient is the martingale
residual r = events - expected. A pair of markers with values u_i, u_j interacts if r goes with u_i * u_j; the efficient
score takes out what 1, u_i, u_j, u_i**2 and u_j**2 explain, so that neither a main effect that the penalty held back
nor a curved one passes for an interaction. Its square root over the information is standard normal under the null
(Rao 1948); pairs whose product hardly varies among patients at risk have no normal theory and are not tested. Among the
rest the false-discovery rate is controlled by Benjamini and Hochberg's step-up procedure (JRSS B 57, 1995).

All moments of all pairs are matrix products of markers by markers: no pair is looked at by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.stats import norm

from oncofed.cohort.cohort import Cohort
from oncofed.cohort.encoding import Column, Role, columns, encode
from oncofed.cohort.schema import Kind, StudySchema

FloatArray = NDArray[np.float64]

PENALTY = 30.0
"""Of the additive model's squared coefficients; like so many patients' worth of evidence for no effect."""
NEWTON_STEPS = 25
SMALLEST_INFORMATION = 5.0
"""Expected events' worth of variance of a product (of standardised values) below which a pair is not tested."""
_SOLVED_AT_ONCE = 20_000


@dataclass(frozen=True, eq=False)
class AdditiveFit:
    """coefficients  (columns,), log hazard ratio per unit of an encoded column.
    residual      (patients,), observed minus expected events.
    expected      (patients,), the cumulative hazard over the time at risk.
    """

    coefficients: FloatArray
    residual: FloatArray
    expected: FloatArray


def fit_additive(x: FloatArray, *, events: FloatArray, at_risk: FloatArray, penalty: float = PENALTY) -> AdditiveFit:
    """Ridge fit of the piecewise-constant hazard by Newton's method, the baseline profiled out.

    x                (patients, columns), encoded.
    events, at_risk  (patients, intervals), as `survival.likelihood.PatientTensors` has them for one endpoint.
    """
    beta = np.zeros(x.shape[1])
    happened = events.sum(axis=1)
    expected = _expected(x @ beta, events, at_risk)
    for _ in range(NEWTON_STEPS):
        gradient = x.T @ (happened - expected) - penalty * beta
        hessian = x.T @ (expected[:, None] * x)
        hessian[np.diag_indices_from(hessian)] += penalty
        step = cho_solve(cho_factor(hessian), gradient)
        # Profiling makes the true curvature smaller than this one, so that a step is never too long.
        beta = beta + step
        expected = _expected(x @ beta, events, at_risk)
        if np.abs(step).max(initial=0.0) < 1e-7:
            break
    return AdditiveFit(beta, happened - expected, expected)


def with_curves(x: FloatArray, numeric: tuple[int, ...]) -> FloatArray:
    """x and, beside it, the squares of its columns `numeric`."""
    return np.column_stack([x, np.square(x[:, list(numeric)])])


def fit_additive_to(cohort: Cohort, *, endpoint: int) -> AdditiveFit:
    """The additive model of a cohort: its encoded columns, and the squares of those that hold numbers.

    coefficients  begin with those of the encoded columns.
    """
    grid = cohort.schema.grid
    return fit_additive(
        with_curves(encode(cohort), _numeric_columns(cohort.schema)),
        events=grid.events(cohort.exit[:, endpoint], cohort.observed[:, endpoint]),
        at_risk=grid.at_risk(cohort.entry[:, endpoint], cohort.exit[:, endpoint]),
    )


def own_spreads(cohort: Cohort, additive: AdditiveFit) -> FloatArray:
    """(markers,): spread over patients of what each marker adds in the additive model, curve included, flags not."""
    encoded, numeric = columns(cohort.schema), _numeric_columns(cohort.schema)
    added = with_curves(encode(cohort), numeric) * additive.coefficients
    owners = [*encoded, *(encoded[index] for index in numeric)]
    found = np.zeros(len(cohort.schema.markers))
    for place, marker in enumerate(cohort.schema.markers):
        own = [index for index in _own_columns(owners, marker.name) if owners[index].role is not Role.MISSING]
        found[place] = added[:, own].sum(axis=1).std()
    return found


def _numeric_columns(schema: StudySchema) -> tuple[int, ...]:
    """Which encoded columns hold numbers that can be curved."""
    kinds = {marker.name: marker.kind for marker in schema.markers}
    return tuple(
        index
        for index, column in enumerate(columns(schema))
        if column.role is Role.VALUE and kinds[column.source] is not Kind.BINARY
    )


def _expected(log_hazard_ratio: FloatArray, events: FloatArray, at_risk: FloatArray) -> FloatArray:
    """(patients,): with the baseline at its best for this log hazard ratio, in each interval events / exposure."""
    hazard_ratio = np.exp(log_hazard_ratio)
    exposure = at_risk.T @ hazard_ratio
    baseline = np.divide(events.sum(axis=0), exposure, out=np.zeros_like(exposure), where=exposure > 0)
    found: FloatArray = (at_risk @ baseline) * hazard_ratio
    return found


@dataclass(frozen=True, eq=False)
class InteractionEvidence:
    """names    markers, in the order of rows and columns.
    z        (markers, markers), symmetric: positive where the pair together is worse than the sum; NaN: not tested.
    p, q     two-sided p-value, and the smallest false-discovery rate at which the pair is found; 1 if not tested.
    slope    one-step estimate of the coefficient of the product of the two values, and its standard error; NaN: not
             tested.
    """

    names: tuple[str, ...]
    z: FloatArray
    p: FloatArray
    q: FloatArray
    slope: FloatArray
    standard_error: FloatArray


def interaction_evidence(
    values: FloatArray, *, names: tuple[str, ...], residual: FloatArray, expected: FloatArray
) -> InteractionEvidence:
    """The score test of every pair.

    values  (patients, names), see `marker_values`. residual, expected: of `fit_additive`.
    """
    score, information = _efficient_scores(values, residual=residual, expected=expected)
    tested = information >= SMALLEST_INFORMATION
    np.fill_diagonal(tested, False)
    safe = np.where(tested, information, 1.0)
    z = np.where(tested, score / np.sqrt(safe), np.nan)
    p = np.where(tested, 2 * norm.sf(np.abs(np.nan_to_num(z))), 1.0)
    upper = np.triu_indices(len(names), k=1)
    q = np.ones_like(p)
    q[upper] = benjamini_hochberg(p[upper], tested=tested[upper])
    q = np.minimum(q, q.T)
    return InteractionEvidence(
        names, z, p, q, np.where(tested, score / safe, np.nan), np.where(tested, 1 / np.sqrt(safe), np.nan)
    )


def benjamini_hochberg(p: FloatArray, *, tested: NDArray[np.bool_]) -> FloatArray:
    """Adjusted p-values: rejecting those at most q keeps the expected share of false ones below q. Untested: 1."""
    q = np.ones_like(p)
    own = p[tested]
    if own.size:
        order = np.argsort(own, kind="stable")
        ratio = own[order] * len(own) / np.arange(1, len(own) + 1)
        adjusted = np.empty_like(own)
        adjusted[order] = np.minimum(np.minimum.accumulate(ratio[::-1])[::-1], 1.0)
        q[tested] = adjusted
    return q


def _efficient_scores(
    values: FloatArray, *, residual: FloatArray, expected: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """(markers, markers) each: score of the product and its information, the rest of the pair's terms taken out."""
    powers = [values**power for power in range(5)]

    def weighted(first: int, second: int, weight: FloatArray) -> FloatArray:
        """(markers, markers): sum over patients of weight * u_i**first * u_j**second."""
        found: FloatArray = powers[first].T @ (weight[:, None] * powers[second])
        return found

    terms = ((0, 0), (1, 0), (0, 1), (2, 0), (0, 2))
    moments = {
        (first, second): weighted(first, second, expected)
        for first in range(5)
        for second in range(5)
        if first + second <= 4
    }
    scores = np.stack([weighted(*term, residual) for term in terms], axis=-1)
    cross = np.stack([moments[first + 1, second + 1] for first, second in terms], axis=-1)
    gram = np.stack(
        [np.stack([moments[a + c, b + d] for c, d in terms], axis=-1) for a, b in terms], axis=-2
    )  # (markers, markers, terms, terms)
    projected = _solved(gram, cross)
    score = weighted(1, 1, residual) - (projected * scores).sum(axis=-1)
    information = moments[2, 2] - (projected * cross).sum(axis=-1)
    return (score + score.T) / 2, (information + information.T) / 2


def _solved(gram: FloatArray, cross: FloatArray) -> FloatArray:
    """gram^-1 cross for every pair. A binary marker's square is its own value: a trace of ridge decides."""
    shape = cross.shape
    flat_gram, flat_cross = gram.reshape(-1, shape[-1], shape[-1]), cross.reshape(-1, shape[-1])
    found = np.empty_like(flat_cross)
    diagonal = np.arange(shape[-1])
    for start in range(0, len(flat_cross), _SOLVED_AT_ONCE):
        rows = slice(start, start + _SOLVED_AT_ONCE)
        part = flat_gram[rows].copy()
        part[:, diagonal, diagonal] *= 1 + 1e-8
        part[:, diagonal, diagonal] += 1e-8
        found[rows] = np.linalg.solve(part, flat_cross[rows][:, :, None])[:, :, 0]
    return found.reshape(shape)


def marker_values(cohort: Cohort, additive: AdditiveFit) -> tuple[tuple[str, ...], FloatArray]:
    """What a pair's product is made of: a number for each marker and patient, 0 where it was not measured.

    returns  the schema's markers, and (patients, markers): the standardised value; of a categorical marker, which has
             none, what its category adds in the additive model, in units of that addition's spread.
    """
    schema = cohort.schema
    encoded, x = columns(schema), encode(cohort)
    found = np.zeros(cohort.values.shape)
    limit = schema.largest_encoded_value
    for place, marker in enumerate(schema.markers):
        if marker.kind is Kind.CATEGORICAL:
            own = _own_columns(encoded, marker.name)
            added = x[:, own] @ additive.coefficients[own]
            spread = float(added.std())
            found[:, place] = (added - added.mean()) / spread if spread > 0 else 0.0
        else:
            standardised = np.clip((cohort.values[:, place] - marker.centre) / marker.scale, -limit, limit)
            found[:, place] = np.nan_to_num(standardised, nan=0.0)
    return tuple(marker.name for marker in schema.markers), found


def _own_columns(encoded: Sequence[Column], name: str) -> list[int]:
    return [index for index, column in enumerate(encoded) if column.source == name]
