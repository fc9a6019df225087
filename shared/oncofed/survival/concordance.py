"""How often does the patient with the higher risk have the event first?

Two answers: Harrell's C over all pairs that can be ordered (optionally only pairs of the same group, for instance of
the same tumour type, which removes what the type alone explains), and Uno's C, which weights by the inverse
probability of censoring and so estimates the same number whatever the censoring. Risk points upwards: higher means
worse, so a log hazard ratio is a risk and a survival probability is not. 1 is perfect, 0.5 is chance.

A pair (i, j) is comparable when i has the event at t_i and j is known to be event-free then: t_j > t_i, or t_j = t_i
and j is censored. Two events at the same time are not comparable. A risk difference of at most `TIE_TOLERANCE` counts
one half. All this is scikit-survival's rule, and the answers equal its answers.

Delayed entry (Harrell's only): j must also have been under observation at t_i, that is entry_j < t_i. A patient who
entered later was bound to be alive at t_i, so such a pair says nothing about the model.

No comparable pair (no events, all events at one time, a single patient): the index is NaN. It is undefined there,
which in a small hospital is normal and no fault; scikit-survival raises or divides by zero.

O(n log n): 16,000 patients take some 10 ms. See `_count_below`.

Sources: Harrell et al., JAMA 247 (1982); Uno et al., Statistics in Medicine 30 (2011).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oncofed.survival.follow_up import BoolArray, FloatArray, FollowUp, checked_follow_up, checked_per_patient
from oncofed.survival.kaplan_meier import KaplanMeier

IntArray = NDArray[np.int64]

TIE_TOLERANCE = 1e-8

_BLOCK = 256
"""Events, each beside all patients, at once."""


@dataclass(frozen=True)
class Concordance:
    """Counts of comparable pairs. `a + b` is the count over both sets of pairs, so pooling hospitals or groups by
    comparable pairs is a sum.

    concordant  the patient with the earlier event had the higher risk
    discordant  had the lower risk
    tied        the risks were equal
    """

    concordant: int
    discordant: int
    tied: int

    def __add__(self, other: Concordance) -> Concordance:
        return Concordance(
            self.concordant + other.concordant, self.discordant + other.discordant, self.tied + other.tied
        )

    @property
    def comparable(self) -> int:
        return self.concordant + self.discordant + self.tied

    @property
    def index(self) -> float:
        """Harrell's C; NaN without comparable pairs."""
        return (self.concordant + 0.5 * self.tied) / self.comparable if self.comparable else float("nan")


def concordance(
    *,
    risk: FloatArray,
    time: FloatArray,
    observed: BoolArray,
    entry: FloatArray | None = None,
    group: NDArray[np.generic] | None = None,
) -> Concordance:
    """Counts of the pairs behind Harrell's C.

    risk                   (patients,), finite, higher = worse, any scale.
    time, observed, entry  (patients,), see `oncofed.survival.follow_up`.
    group                  (patients,), any sortable labels; only pairs of equal labels count. None: all pairs.
    """
    follow_up = checked_follow_up(time=time, observed=observed, entry=entry)
    pairs = _pairs_by_event(
        checked_per_patient(risk, patients=len(follow_up), name="risk"),
        follow_up,
        _group_codes(group, patients=len(follow_up)),
    )
    lower, tied, comparable = (int(count.sum()) for count in (pairs.lower, pairs.tied, pairs.comparable))
    return Concordance(concordant=lower, discordant=comparable - lower - tied, tied=tied)


def concordance_index(
    *,
    risk: FloatArray,
    time: FloatArray,
    observed: BoolArray,
    entry: FloatArray | None = None,
    group: NDArray[np.generic] | None = None,
) -> float:
    """Harrell's C; NaN without comparable pairs. Arguments as for `concordance`."""
    return concordance(risk=risk, time=time, observed=observed, entry=entry, group=group).index


def concordance_index_of_rows(
    *, risk: FloatArray, time: FloatArray, observed: BoolArray, entry: FloatArray | None = None
) -> Callable[[IntArray], float]:
    """What `bootstrap_interval` draws again: the index of the patients at these row numbers, twice who is twice."""

    def of(rows: IntArray) -> float:
        entered = None if entry is None else entry[rows]
        return concordance_index(risk=risk[rows], time=time[rows], observed=observed[rows], entry=entered)

    return of


def concordance_influence(
    *, risk: FloatArray, time: FloatArray, observed: BoolArray, entry: FloatArray | None = None
) -> FloatArray:
    """(patients,): the influence of each on Harrell's C; they add up to 0. NaN without comparable pairs.

    Of all pairs in which a patient is, whichever of the two had the event: how many more are concordant than C says,
    over the number of comparable pairs. The sum of squares is the variance of C (Hoeffding's projection); sums over
    patients of several figures' influences give the variance of anything made of them. Time: pairs, a block at a time.

    Source: Kang, Chen, Petrick and Gallas, Statistics in Medicine 34 (2015).
    """
    follow_up = checked_follow_up(time=time, observed=observed, entry=entry)
    told = checked_per_patient(risk, patients=len(follow_up), name="risk")
    all_pairs, concordant = np.zeros(len(told)), np.zeros(len(told))
    events = np.flatnonzero(follow_up.observed)
    for block in np.array_split(events, max(1, len(events) // _BLOCK)):
        at, mine = follow_up.time[block][:, None], told[block][:, None]
        pairs = (follow_up.time > at) | ((follow_up.time == at) & ~follow_up.observed)
        pairs &= follow_up.entry < at
        worth = np.where(told < mine - TIE_TOLERANCE, 1.0, np.where(told > mine + TIE_TOLERANCE, 0.0, 0.5)) * pairs
        all_pairs += pairs.sum(axis=0)
        concordant += worth.sum(axis=0)
        all_pairs[block] += pairs.sum(axis=1)
        concordant[block] += worth.sum(axis=1)
    comparable = all_pairs.sum() / 2
    if comparable == 0:
        return np.full(len(told), np.nan)
    return np.asarray((concordant - concordant.sum() / all_pairs.sum() * all_pairs) / comparable)


def uno_concordance_index(
    *,
    risk: FloatArray,
    time: FloatArray,
    observed: BoolArray,
    censoring: KaplanMeier,
    tau: float | None = None,
) -> float:
    """Uno's C for events before `tau`; NaN without comparable pairs.

    risk, time, observed  (patients,), of the patients evaluated.
    censoring             `kaplan_meier.censoring_distribution` of the *training* patients.
    tau                   only events strictly before it count. The last training follow-up time always works.

    Refuses (ValueError) events, before tau, at which the training data give no positive probability of being
    uncensored: they would have infinite weight. A smaller tau is the remedy. It takes no delayed entry (why:
    `censoring_distribution`); on such data it compares pairs that never stood side by side, so prefer Harrell's.
    """
    follow_up = checked_follow_up(time=time, observed=observed)
    pairs = _pairs_by_event(
        checked_per_patient(risk, patients=len(follow_up), name="risk"),
        follow_up,
        _group_codes(None, patients=len(follow_up)),
    )
    counted = np.ones(len(pairs.time), dtype=np.bool_) if tau is None else pairs.time < tau
    uncensored = censoring.before(pairs.time[counted])
    if not (uncensored > 0).all():
        raise ValueError("events lie where the training follow-up has ended: choose a smaller tau")
    weight = uncensored**-2.0
    comparable = weight @ pairs.comparable[counted]
    if comparable == 0:
        return float("nan")
    return float(weight @ (pairs.lower[counted] + 0.5 * pairs.tied[counted]) / comparable)


@dataclass(frozen=True, eq=False)
class _PairsByEvent:
    """For each observed event: patients to compare it with, and how many of those have lower or tied risk."""

    time: FloatArray
    comparable: IntArray
    lower: IntArray
    tied: IntArray


def _group_codes(group: NDArray[np.generic] | None, *, patients: int) -> IntArray:
    if group is None:
        return np.zeros(patients, dtype=np.int64)
    labels = np.asarray(group)
    if labels.shape != (patients,):
        raise ValueError("group must be one-dimensional with one label a patient")
    return np.asarray(np.unique(labels, return_inverse=True)[1], dtype=np.int64)


def _pairs_by_event(risk: FloatArray, follow_up: FollowUp, group: IntArray) -> _PairsByEvent:
    """Counting without looking at pairs.

    Line the patients up by group, then time, events before censorings at equal times. The patients comparable with
    an event are then one stretch: from behind the events of its own time to the end of its group. Among them,
    those who had not yet entered at t_i must be taken away. As entry < exit, they are *all* patients of the group
    with entry >= t_i, again one stretch if the patients are lined up by group, then entry. So each event needs two
    counts "how many of this stretch have a risk below r", with r just under and just over its own risk.
    """
    by_risk = np.sort(risk)
    rank = np.searchsorted(by_risk, risk, side="left").astype(np.int64)
    below = np.searchsorted(by_risk, risk - TIE_TOLERANCE, side="left").astype(np.int64)
    up_to = np.searchsorted(by_risk, risk + TIE_TOLERANCE, side="right").astype(np.int64)

    by_exit = np.lexsort((~follow_up.observed, follow_up.time, group))
    by_entry = np.lexsort((follow_up.entry, group))
    event = by_exit[follow_up.observed[by_exit]]

    # Distinct (group, time, censored) and (group, entry) become integers, so one search finds the stretches.
    times = np.unique(np.concatenate((follow_up.time, follow_up.entry)))
    steps = len(times) + 1
    exit_key = 2 * (group * steps + np.searchsorted(times, follow_up.time)) + ~follow_up.observed
    entry_key = group * steps + np.searchsorted(times, follow_up.entry)
    event_entry_key = group[event] * steps + np.searchsorted(times, follow_up.time[event])
    group_end = np.searchsorted(group[by_exit], group[event], side="right")

    later_from = np.searchsorted(exit_key[by_exit], exit_key[event], side="right")
    absent_from = np.searchsorted(entry_key[by_entry], event_entry_key, side="left")
    later = _count_below(rank[by_exit], later_from, group_end, np.stack((below[event], up_to[event])))
    comparable = group_end - later_from
    if np.isfinite(follow_up.entry).any():
        later -= _count_below(rank[by_entry], absent_from, group_end, np.stack((below[event], up_to[event])))
        comparable = comparable - (group_end - absent_from)
    return _PairsByEvent(
        time=follow_up.time[event],
        comparable=np.asarray(comparable, dtype=np.int64),
        lower=later[0],
        tied=later[1] - later[0],
    )


def _count_below(ranks: IntArray, first: IntArray, last: IntArray, thresholds: IntArray) -> IntArray:
    """How many of ranks[first:last] are smaller than the threshold, for many queries at once.

    ranks        (n,), in [0, n].
    first, last  (queries,), stretches of `ranks`.
    thresholds   (..., queries), in [0, n].
    returns      as `thresholds`.

    A wavelet matrix, read while it is built. From the highest bit to the lowest: sort `ranks` stably by the bit; all
    who share the higher bits with the threshold stay one stretch. Where the threshold's bit is 1, those of the
    stretch whose bit is 0 are smaller: count them and go on with the others; where it is 0, go on with the zeros.
    O((n + queries) log n), all of it in whole-array steps.
    """
    first = np.broadcast_to(first, thresholds.shape)
    last = np.broadcast_to(last, thresholds.shape)
    count = np.zeros(thresholds.shape, dtype=np.int64)
    for bit in reversed(range(len(ranks).bit_length())):
        is_one = (ranks >> bit & 1).astype(np.bool_)
        zeros_before = np.concatenate(([0], np.cumsum(~is_one)))
        zeros_first, zeros_last = zeros_before[first], zeros_before[last]
        wants_one = (thresholds >> bit & 1).astype(np.bool_)
        count += np.where(wants_one, zeros_last - zeros_first, 0)
        first = np.where(wants_one, zeros_before[-1] + first - zeros_first, zeros_first)
        last = np.where(wants_one, zeros_before[-1] + last - zeros_last, zeros_last)
        ranks = np.concatenate((ranks[~is_one], ranks[is_one]))
    return count
