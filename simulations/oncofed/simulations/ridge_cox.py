"""How well does the ordinary method do: a ridge Cox regression on one pooled table, or on one hospital's alone?

It is a baseline beside a federated study and never part of one: the partial likelihood does not bound a patient's
influence (docs/privacy.md, "How it is done"), so it must not be trained under a privacy promise.

Promises: `fit_ridge_cox` minimises -log partial likelihood (Breslow ties) + penalty / 2 * |w|^2, a *sum* over events,
so `penalty` means what scikit-survival's CoxPHSurvivalAnalysis(alpha=penalty) means and matters less the more
patients there are. Columns are taken as they come: standardise or scale them first. Delayed entry is supported.

Speed: the Hessian is two matrix products (see `_Objective`), and with more columns than patients the problem is
rotated to the patients' row space, where the ridge solution lies; 4,576 patients by 760 columns take seconds.

Sources: Cox, J. R. Stat. Soc. B 34 (1972); Breslow, Biometrics 30 (1974); Verweij and van Houwelingen, Statistics in
Medicine 12 (1993), cross-validated partial likelihood; Hastie and Tibshirani, Biostatistics 5 (2004), rotation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from oncofed.survival.follow_up import BoolArray, FloatArray, FollowUp, checked_follow_up

FEWEST_EVENTS_TO_CHOOSE = 10
"""With fewer events there is nothing to choose a penalty by, and the largest is taken."""

USUAL_PENALTIES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 10_000.0)
"""Wide enough for standardised columns: on TCGA pan-cancer cross-validation takes 1,000 of all 4,576 training patients
(test C-index 0.719; 0.707 with 30) and mostly 300 to 1,000 at a site of 230. A choice at either end asks for more."""

LARGEST_NEWTON_STEPS = 200

LARGEST_SPREAD = 500.0
"""Between two patients' log hazard ratios while fitting. No data support e^500; a fit that gets there runs away."""


class NotConverged(ArithmeticError):
    """Newton's method did not reach the optimum. With penalty 0 and perfectly ordered patients there is none."""


@dataclass(frozen=True, eq=False)
class RidgeCox:
    """A fitted model.

    coefficients        (columns,), log hazard ratio a unit of each column.
    penalty             it was fitted with.
    log_likelihood      partial log likelihood of the fitting data, without the penalty.
    newton_steps        taken.
    """

    coefficients: FloatArray
    penalty: float
    log_likelihood: float
    newton_steps: int

    def log_hazard_ratio(self, x: FloatArray) -> FloatArray:
        """(patients,), against a patient whose columns are all zero; higher = worse.

        x  (patients, columns), scaled as the fitting data were.
        """
        ratio: FloatArray = np.asarray(x, dtype=np.float64) @ self.coefficients
        return ratio


def fit_ridge_cox(
    x: FloatArray,
    *,
    time: FloatArray,
    observed: BoolArray,
    penalty: float,
    entry: FloatArray | None = None,
) -> RidgeCox:
    """The minimiser described in the module.

    x                      (patients, columns), finite.
    time, observed, entry  (patients,), see `oncofed.survival.follow_up`.
    penalty                not negative. 0 is the ordinary Cox model and needs fewer columns than events.

    Without any event all coefficients are 0 (the penalty alone is minimised). Raises NotConverged.
    """
    follow_up = checked_follow_up(time=time, observed=observed, entry=entry)
    columns = _checked_columns(x, patients=len(follow_up))
    if not (np.isfinite(penalty) and penalty >= 0):
        raise ValueError("penalty must be finite and not negative")
    rotation = _row_space(columns)
    if rotation is None:
        return _newton(_Objective.of(columns, follow_up, penalty), np.zeros(columns.shape[1]))
    fitted = _newton(_Objective.of(columns @ rotation.T, follow_up, penalty), np.zeros(len(rotation)))
    return RidgeCox(rotation.T @ fitted.coefficients, penalty, fitted.log_likelihood, fitted.newton_steps)


def partial_log_likelihood(
    log_hazard_ratio: FloatArray, *, time: FloatArray, observed: BoolArray, entry: FloatArray | None = None
) -> float:
    """Cox partial log likelihood (Breslow ties) of given log hazard ratios, (patients,). Higher is better."""
    follow_up = checked_follow_up(time=time, observed=observed, entry=entry)
    score = _checked_columns(np.asarray(log_hazard_ratio)[:, None], patients=len(follow_up))
    return _Objective.of(score, follow_up, 0.0).log_likelihood(np.ones(1))


def cross_validated_penalty(
    x: FloatArray,
    *,
    time: FloatArray,
    observed: BoolArray,
    penalties: Sequence[float],
    folds: int,
    rng: np.random.Generator,
    entry: FloatArray | None = None,
) -> float:
    """The one of `penalties` that predicts best inside the given data, which nothing else enters.

    Judged by the cross-validated partial likelihood: summed over folds, the partial likelihood of everybody less that
    of those fitted on, both at the coefficients of the latter. Of the two usual judges this is the one that works at a
    small hospital: a fold of five patients with one event has no concordance index, while here every event counts,
    against the risk set of the whole hospital; and it minds how extreme the predictions are, which is what a penalty
    is for. Folds are drawn from `rng`, events and censored patients dealt out separately so that each fold has its
    share of both.

    With fewer than FEWEST_EVENTS_TO_CHOOSE events the largest penalty is returned: the least confident model.
    Equally good penalties: the larger. A penalty for which a fit does not converge is out.
    """
    follow_up = checked_follow_up(time=time, observed=observed, entry=entry)
    columns = _checked_columns(x, patients=len(follow_up))
    falling = sorted({float(penalty) for penalty in penalties}, reverse=True)
    if not falling or folds < 2:
        raise ValueError("at least one penalty and two folds are needed")
    if follow_up.observed.sum() < FEWEST_EVENTS_TO_CHOOSE or len(falling) == 1:
        return falling[0]

    # The rotation to the row space of everybody is shared by all folds: it looks at columns, never at outcomes, and
    # changes no prediction.
    rotation = _row_space(columns)
    rotated = columns if rotation is None else columns @ rotation.T
    fold = _stratified_folds(follow_up.observed, folds=folds, rng=rng)
    everybody = _Objective.of(rotated, follow_up, 0.0)
    likelihood = np.zeros(len(falling))
    for number in range(folds):
        kept = np.flatnonzero(fold != number)
        fitted_on = follow_up.rows(kept)
        if not fitted_on.observed.any() or len(kept) == len(fold):
            continue
        coefficients = np.zeros(rotated.shape[1])
        for position, penalty in enumerate(falling):
            try:
                objective = _Objective.of(rotated[kept], fitted_on, penalty)
                model = _newton(objective, coefficients, tolerance=1e-4)  # far below any difference worth a choice
            except NotConverged:
                likelihood[position:] = -np.inf  # smaller penalties start from here and are harder still
                break
            coefficients = model.coefficients  # a warm start for the next, slightly smaller penalty
            likelihood[position] += everybody.log_likelihood(coefficients) - model.log_likelihood
    return falling[int(np.argmax(likelihood))]


def _checked_columns(x: FloatArray, *, patients: int) -> FloatArray:
    columns = np.asarray(x, dtype=np.float64)
    if columns.ndim != 2 or len(columns) != patients:
        raise ValueError("x must have one row a patient")
    if not np.isfinite(columns).all():
        raise ValueError("x must be finite")
    return columns


def _stratified_folds(observed: BoolArray, *, folds: int, rng: np.random.Generator) -> np.ndarray:
    """(patients,), a fold number each; events and censored patients are each spread evenly."""
    fold = np.empty(len(observed), dtype=np.int64)
    dealt = 0
    for stratum in (np.flatnonzero(observed), np.flatnonzero(~observed)):
        fold[rng.permutation(stratum)] = (dealt + np.arange(len(stratum))) % folds
        dealt += len(stratum)
    return fold


def _row_space(x: FloatArray) -> FloatArray | None:
    """(rank, columns), orthonormal rows that span the rows of x; None where that would not make the problem smaller.

    A part of w that is orthogonal to every patient changes no prediction and costs penalty, so the solution is
    rotation.T @ v, and |w| = |v|: the same problem in v, with at most as many unknowns as patients.
    """
    if x.shape[1] <= x.shape[0]:
        return None
    _, singular, rotation = np.linalg.svd(x, full_matrices=False)
    kept = singular > singular.max(initial=0.0) * max(x.shape) * np.finfo(np.float64).eps
    return np.asarray(rotation[kept], dtype=np.float64)


@dataclass(frozen=True, eq=False)
class _Objective:
    """-log partial likelihood + penalty / 2 |w|^2 of patients ordered by falling exit time.

    Let t_1 > t_2 > ... be the distinct event times, d_e the events at t_e, r_i = exp(x_i.w), and
    S_e = sum of r_j over those at risk at t_e (entry_j < t_e <= exit_j). Then

      -log L   = sum_e d_e log S_e - sum over events of x_i.w
      gradient = X^T (a - observed),         a_i = r_i * sum over the e at which i is at risk of d_e / S_e
      Hessian  = X^T diag(a) X - M^T M,      M_e = sqrt(d_e) * (sum of r_j x_j at risk at t_e) / S_e

    Those followed until t_e are a prefix of the order, those not yet entered a prefix of the order by falling entry,
    and who has not entered has not left. So each sum over a risk set is a difference of two cumulative sums, each
    sum over event times likewise, and the whole Hessian two matrix products.

    x            (patients, columns), in order.
    observed     (patients,), in order.
    events       (times,), d_e.
    followed     (times,), how many are followed until t_e.
    by_entry     (patients,), the order by falling entry, or None where nobody entered late.
    not_entered  (times,), how many of these entered at t_e or later.
    """

    x: FloatArray
    observed: BoolArray
    penalty: float
    events: FloatArray
    followed: np.ndarray
    by_entry: np.ndarray | None
    not_entered: np.ndarray

    @staticmethod
    def of(x: FloatArray, follow_up: FollowUp, penalty: float) -> _Objective:
        order = np.argsort(-follow_up.time, kind="stable")
        exit_, entry, observed = follow_up.time[order], follow_up.entry[order], follow_up.observed[order]
        falling, events = np.unique(-exit_[observed], return_counts=True)
        by_entry = np.argsort(-entry, kind="stable") if np.isfinite(entry).any() else None
        not_entered = np.zeros(len(falling), dtype=np.int64)
        if by_entry is not None:
            not_entered = np.searchsorted(-entry[by_entry], falling, side="right")
        return _Objective(
            x=np.ascontiguousarray(x[order]),
            observed=observed,
            penalty=penalty,
            events=events.astype(np.float64),
            followed=np.searchsorted(-exit_, falling, side="right"),
            by_entry=by_entry,
            not_entered=not_entered,
        )

    def log_likelihood(self, w: FloatArray) -> float:
        """Without the penalty."""
        score = self.x @ w
        shift = score.max(initial=-np.inf)
        if not self.observed.any():
            return 0.0
        at_risk = self._over_risk_sets(np.exp(score - shift))
        with np.errstate(divide="ignore", invalid="ignore"):  # a sum that underflowed: -inf or NaN, never accepted
            value = score[self.observed].sum() - self.events @ (shift + np.log(at_risk))
        return float(value)

    def value(self, w: FloatArray) -> float:
        return -self.log_likelihood(w) + self.penalty / 2 * float(w @ w)

    def gradient_and_hessian(self, w: FloatArray) -> tuple[FloatArray, FloatArray]:
        score = self.x @ w
        relative = np.exp(score - score.max(initial=-np.inf))
        at_risk = self._over_risk_sets(relative)
        weight = relative * self._over_times_at_risk(self.events / at_risk)
        means = self._over_risk_sets(relative[:, None] * self.x)
        means *= (np.sqrt(self.events) / at_risk)[:, None]
        gradient = self.x.T @ (weight - self.observed) + self.penalty * w
        # of the form A.T @ A, which numpy hands to a routine that computes one triangle only; rounding must not make
        # a weight of 0 negative
        weighted = np.sqrt(np.maximum(weight, 0.0))[:, None] * self.x
        hessian = weighted.T @ weighted - means.T @ means
        hessian[np.diag_indices_from(hessian)] += self.penalty
        return gradient, hessian

    def _over_risk_sets(self, values: FloatArray) -> FloatArray:
        """(patients, ...) -> (times, ...): the sum over those at risk at each event time."""
        sums: FloatArray = _sums_of_prefixes(values)[self.followed]
        if self.by_entry is None:
            return sums
        late: FloatArray = _sums_of_prefixes(values[self.by_entry])[self.not_entered]
        return sums - late

    def _over_times_at_risk(self, values: FloatArray) -> FloatArray:
        """(times,) -> (patients,): the sum over the event times at which each patient is at risk."""
        patients = len(self.observed)
        total = _sums_of_suffixes(values, self.followed, patients)
        if self.by_entry is not None:
            total[self.by_entry] -= _sums_of_suffixes(values, self.not_entered, patients)
        return total


def _sums_of_prefixes(values: FloatArray) -> FloatArray:
    """(n, ...) -> (n + 1, ...): sums of the first 0, 1, ..., n rows."""
    sums = np.zeros((len(values) + 1, *values.shape[1:]))
    np.cumsum(values, axis=0, out=sums[1:])
    return sums


def _sums_of_suffixes(values: FloatArray, reach: np.ndarray, patients: int) -> FloatArray:
    """(patients,): for position i the sum of values[e] over all e with reach[e] > i."""
    added = np.asarray(np.bincount(reach, weights=values, minlength=patients + 1), dtype=np.float64)
    sums: FloatArray = np.cumsum(added[::-1])[::-1][1:]
    return sums.copy()


def _newton(objective: _Objective, start: FloatArray, *, tolerance: float = 0.0) -> RidgeCox:
    """Newton's method with step halving. The objective is convex, and strictly so with a penalty.

    tolerance  accepted distance of the objective from its minimum, in units of log likelihood; rounding at least.
    """
    w = start
    if not objective.observed.any() or objective.x.shape[1] == 0:
        return RidgeCox(np.zeros_like(start), objective.penalty, objective.log_likelihood(np.zeros_like(start)), 0)
    value = objective.value(w)
    if not np.isfinite(value):
        w = np.zeros_like(start)
        value = objective.value(w)
    for step_number in range(1, LARGEST_NEWTON_STEPS + 1):
        gradient, hessian = objective.gradient_and_hessian(w)
        step = _solve(hessian, gradient)
        decrement = float(gradient @ step)
        if decrement <= max(1e-14 * (1.0 + abs(value)), 2 * tolerance):  # half of it is what is left to gain
            return RidgeCox(w, objective.penalty, objective.log_likelihood(w), step_number - 1)
        size = 1.0
        while not (new := objective.value(w - size * step)) <= value - 1e-4 * size * decrement:
            size /= 2
            if size < 1e-10:
                # rounding, not the slope, decides here: the optimum to within what float64 resolves
                if decrement <= 1e-8 * (1.0 + abs(value)):
                    return RidgeCox(w, objective.penalty, objective.log_likelihood(w), step_number)
                raise NotConverged("no step lowers the objective: is a column of very large values in x?")
        w, value = w - size * step, new
        if np.ptp(objective.x @ w) > LARGEST_SPREAD:
            raise NotConverged("log hazard ratios run away: is the penalty too small for perfectly ordered patients?")
    raise NotConverged("the optimum was not reached: is the penalty too small?")


def _solve(hessian: FloatArray, gradient: FloatArray) -> FloatArray:
    """The Newton step. A Hessian that is not positive definite (rounding, or penalty 0) is damped until it is."""
    scale = float(np.abs(np.diag(hessian)).max(initial=0.0)) or 1.0
    for damping in (0.0, *(scale * 10.0**power for power in range(-12, 3))):
        try:
            factor = cho_factor(hessian + damping * np.eye(len(hessian)), check_finite=False)
        except np.linalg.LinAlgError:
            continue
        solution: FloatArray = cho_solve(factor, gradient, check_finite=False)
        return solution
    raise NotConverged("the curvature is not finite: is a column of very large values in x?")
