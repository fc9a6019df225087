"""When does a synthetic patient die, get the next treatment, and under whose eyes?

Death and next treatment have Weibull hazards of one common shape, so both are proportional hazards, and so is whichever
comes first: its log hazard ratio is log((a exp(f_death) + b exp(f_next)) / (a + b)) with the two baseline rates a, b.

Follow-up ends at the data cut (administrative) or by moving away (random). At hospitals with delayed entry most
patients come under observation after time zero, for instance when their tumour is sequenced; who died, was treated
again or left before that is not in the table. All times are in months and rounded as they are recorded.

Source: Bender, Augustin, Blettner, "Generating survival times to simulate Cox proportional hazards models",
Statistics in Medicine 24 (2005).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

WEIBULL_SHAPE = 1.1
DEATH_SCALE_MONTHS = 90.0
NEXT_TREATMENT_SCALE_MONTHS = 24.0

_DATA_CUT_MONTHS = (18.0, 120.0)
_MEAN_MONTHS_TO_LOSS = 200.0
_MEAN_ENTRY_MONTHS = 5.0
_DECIMALS = 2


@dataclass(frozen=True)
class FollowUp:
    """One row a patient. entry_months < ttnt_months <= survival_months wherever `in_table`."""

    entry_months: FloatArray
    survival_months: FloatArray
    death_observed: NDArray[np.bool_]
    ttnt_months: FloatArray
    next_treatment_observed: NDArray[np.bool_]
    ttnt_ended_with_death: NDArray[np.bool_]

    @property
    def in_table(self) -> NDArray[np.bool_]:
        """(patients,), whether the patient came under observation before anything ended the follow-up."""
        return self.entry_months < self.ttnt_months

    def subset(self, rows: NDArray[np.int64]) -> FollowUp:
        """The patients at `rows`, in that order."""
        return FollowUp(**{field.name: getattr(self, field.name)[rows] for field in fields(FollowUp)})

    @staticmethod
    def concatenate(parts: Sequence[FollowUp]) -> FollowUp:
        """The patients of all parts, one part after the other."""
        return FollowUp(
            **{field.name: np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(FollowUp)}
        )


def draw_follow_up(
    *,
    death_log_hazard: FloatArray,
    next_treatment_log_hazard: FloatArray,
    delayed_entry_share: FloatArray,
    rng: np.random.Generator,
) -> FollowUp:
    """All arguments (patients,). delayed_entry_share is the probability of a delayed entry."""
    patients = len(death_log_hazard)
    death = _weibull_months(DEATH_SCALE_MONTHS, death_log_hazard, rng)
    next_treatment = _weibull_months(NEXT_TREATMENT_SCALE_MONTHS, next_treatment_log_hazard, rng)
    last_contact = np.minimum(rng.uniform(*_DATA_CUT_MONTHS, patients), rng.exponential(_MEAN_MONTHS_TO_LOSS, patients))
    entry = np.where(rng.random(patients) < delayed_entry_share, rng.exponential(_MEAN_ENTRY_MONTHS, patients), 0.0)
    survival = np.minimum(death, last_contact)
    ttnt = np.minimum(next_treatment, survival)
    next_observed = next_treatment < survival
    died = death <= last_contact
    return FollowUp(
        entry_months=_rounded(entry),
        survival_months=_recorded(survival),
        death_observed=died,
        ttnt_months=_recorded(ttnt),
        next_treatment_observed=next_observed,
        ttnt_ended_with_death=died & ~next_observed,
    )


def cumulative_hazard(scale_months: float, months: FloatArray) -> FloatArray:
    """Of the reference patient, from time zero."""
    hazard: FloatArray = (months / scale_months) ** WEIBULL_SHAPE
    return hazard


def first_event_log_hazard(death_log_hazard: FloatArray, next_treatment_log_hazard: FloatArray) -> FloatArray:
    """Log hazard ratio of death or next treatment, whichever comes first, against the reference patient."""
    death_rate = DEATH_SCALE_MONTHS**-WEIBULL_SHAPE
    next_rate = NEXT_TREATMENT_SCALE_MONTHS**-WEIBULL_SHAPE
    total = death_rate * np.exp(death_log_hazard) + next_rate * np.exp(next_treatment_log_hazard)
    found: FloatArray = np.log(total / (death_rate + next_rate))
    return found


def _weibull_months(scale_months: float, log_hazard: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Where the patient's cumulative hazard reaches a standard exponential draw."""
    drawn = rng.standard_exponential(len(log_hazard))
    months: FloatArray = scale_months * (drawn * np.exp(-log_hazard)) ** (1 / WEIBULL_SHAPE)
    return months


def _recorded(months: FloatArray) -> FloatArray:
    """Rounded, but never to zero: nobody's follow-up is empty."""
    return np.maximum(_rounded(months), 10.0**-_DECIMALS)


def _rounded(months: FloatArray) -> FloatArray:
    found: FloatArray = np.round(months, _DECIMALS)
    return found
