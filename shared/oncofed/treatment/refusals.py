"""When must a comparison of two options not be shown, and why not, in words?

What can be checked is checked, in this order, and the first that fails is the answer. None of it proves that the
comparison is right: whether all that decided about the option was recorded can be refuted, by the negative outcome or
a trial, and never be shown. There is no ranking and no figure of one patient anywhere here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy.special import ndtri

from oncofed.treatment.balance import Imbalance
from oncofed.treatment.estimate import Comparison
from oncofed.treatment.target_trial import TargetTrial
from oncofed.words.names import plain_name

LIKELY_EITHER_WAY = (0.1, 0.9)
FEWEST_EFFECTIVE = 200
LARGEST_NOISE = 0.1
LARGEST_IMBALANCE, LARGEST_LIMIT = 0.1, 0.2
SMALLEST_RECORDED = 0.8
_ORDER_LEVEL = 0.9


class Reason(StrEnum):
    """In the order in which they are looked at."""

    POSITIVITY = "positivity"
    BALANCE = "balance"
    CONFOUNDERS = "confounders"
    NEGATIVE_OUTCOME = "negative_outcome"
    BENCHMARK = "benchmark"


@dataclass(frozen=True)
class Refusal:
    """words: whole sentences for a clinician."""

    reason: Reason
    words: str


@dataclass(frozen=True)
class Checks:
    """What was released beside the comparison itself.

    balance    of each marker that is adjusted for.
    recorded   of each required marker, the share of patients of whom it is recorded; none where the schema lacks it.
    negative   the comparison by the negative outcome, or None where the trial names none.
    trial_like the comparison among patients whom the benchmark's trial would have taken, or None where none is named.
    """

    balance: Sequence[Imbalance]
    recorded: Mapping[str, float]
    negative: Comparison | None = None
    trial_like: Comparison | None = None


def first_refusal(
    trial: TargetTrial, group: Comparison, checks: Checks, *, propensity: float | None = None
) -> Refusal | None:
    """Why the comparison of this group is not shown, or None.

    propensity  the released chance of the second option for the patient whose page it is; None where nobody is meant.
    """
    found = (
        (Reason.POSITIVITY, _positivity(group, propensity)),
        (Reason.BALANCE, _balance(checks.balance)),
        (Reason.CONFOUNDERS, _confounders(trial, checks.recorded)),
        (Reason.NEGATIVE_OUTCOME, _negative(trial, checks.negative)),
        (Reason.BENCHMARK, _benchmark(trial, checks.trial_like)),
    )
    return next((Refusal(reason, words) for reason, words in found if words), None)


def _positivity(group: Comparison, propensity: float | None) -> str:
    low, high = LIKELY_EITHER_WAY
    if propensity is not None and not low <= propensity <= high:
        return "Patients like this one hardly ever got both options, so nothing can be said of the other one."
    everybody = sum(group.patients)
    if not everybody > 0 or not min(group.patients) >= low * everybody:
        return "In this group hardly anybody got one of the options, so they cannot be compared."
    if not group.effective >= FEWEST_EFFECTIVE:
        return (
            "Too few patients of this group could have got either option: "
            f"they tell as much as {max(group.effective, 0):.0f} patients, and {FEWEST_EFFECTIVE} are needed."
        )
    if not group.overlap_noise <= LARGEST_NOISE:
        return "The noise that keeps patients private is too large for a group as small as this one."
    return ""


def _balance(balance: Sequence[Imbalance]) -> str:
    apart = [
        plain_name(each.confounder)
        for each in balance
        if not (
            abs(each.difference.value) < LARGEST_IMBALANCE
            and max(each.difference.high, -each.difference.low) < LARGEST_LIMIT
        )
    ]
    if not apart:
        return ""
    return (
        "The patients of both options are not alike, or not surely enough, after weighting: they may differ in "
        f"{', '.join(apart)}."
    )


def _confounders(trial: TargetTrial, recorded: Mapping[str, float]) -> str:
    lacking = [name for name in trial.required if not recorded.get(name, 0.0) >= SMALLEST_RECORDED]
    if not lacking:
        return ""
    return (
        f"What decides about the option is not recorded often enough: {', '.join(map(plain_name, lacking))}. "
        "Without it the sicker patients' option looks worse than it is."
    )


def _negative(trial: TargetTrial, negative: Comparison | None) -> str:
    name = trial.negative_outcome
    if name is None or (negative is not None and negative.difference.holds_zero):
        return ""
    return (
        f"The options seem to change {plain_name(name)}, which neither can. "
        "So the patients differ in something that is not recorded."
    )


def _benchmark(trial: TargetTrial, trial_like: Comparison | None) -> str:
    known = trial.benchmark
    if known is None:
        return ""
    if trial_like is not None and known.low <= trial_like.difference.value <= known.high:
        of_trial = (known.high - known.low) / (2 * float(ndtri(0.975)))
        apart = trial_like.difference.value - known.difference
        if abs(apart) < float(ndtri(0.975)) * math.hypot(of_trial, trial_like.difference.standard_error):
            return ""
    return f"In patients whom it would have taken, what the randomised trial found is not found again ({known.source})."


def groups_refused(groups: Sequence[Comparison]) -> str:
    """Why effects of groups are not shown apart, or nothing: they must rise with what the models foretold of them.

    The slope of the released effects by the foretold ones, weighted by their precision, is above 0 at 90 %.
    """
    unlike = "The groups' effects do not follow what the models foretold of them, so only all together are shown."
    foretold = np.array([each.predicted for each in groups])
    effect = np.array([each.difference.value for each in groups])
    precision = np.array([each.difference.standard_error for each in groups]) ** -2.0
    if len(groups) < 2 or not np.isfinite([foretold, effect, precision]).all():
        return unlike
    apart = foretold - precision @ foretold / precision.sum()
    spread = float(precision @ apart**2)
    if not spread > 0:
        return unlike
    slope = float((precision * apart) @ effect) / spread
    return "" if slope * math.sqrt(spread) > float(ndtri(_ORDER_LEVEL)) else unlike
