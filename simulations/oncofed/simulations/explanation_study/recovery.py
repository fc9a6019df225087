"""Where the truth is known: are its strongest markers and pairs found, and do they point the right way?

True strength is like for like with the explanation's: of a marker the mean absolute contribution
(`mean_absolute_contribution` of ground_truth.json) against the mean absolute relevance; of a pair the standard
deviation of what it adds. The stricter reading of a marker, by standard deviation, stands beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oncofed.cohort.cohort import Cohort
from oncofed.explanation.interaction_evidence import InteractionEvidence
from oncofed.explanation.interactions import ModelInteractions, ranked_pairs
from oncofed.simulations.explanation_study.interaction_strength import InteractionStrength
from oncofed.simulations.synthetic.hazard import LogHazardRatio

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class MarkerRecovery:
    """found      of the `sought` strongest true markers, how many are among the first `shown` explained.
    directed   of all `sought`, for how many relevance goes with the true contribution among the measured.
    missed     names, strongest first.
    """

    sought: int
    shown: int
    found: int
    directed: int
    missed: tuple[str, ...]


def marker_recovery(
    truth: LogHazardRatio,
    names: tuple[str, ...],
    relevance: FloatArray,
    cohort: Cohort,
    *,
    by_spread: bool = False,
    sought: int = 30,
    shown: int = 40,
) -> MarkerRecovery:
    """by_spread  true strength is the standard deviation of the contribution instead of its mean size."""
    contributions = truth.contributions(cohort.schema, cohort.values)
    strength = contributions.std(axis=0) if by_spread else np.abs(contributions).mean(axis=0)
    strongest = np.argsort(-strength, kind="stable")[:sought]
    first = {names[place] for place in np.argsort(-np.abs(relevance).mean(axis=0), kind="stable")[:shown]}
    markers = cohort.schema.markers
    directed = 0
    for column in strongest:
        measured = ~np.isnan(cohort.values[:, column])
        explained = relevance[measured, names.index(markers[column].name)]
        directed += bool(np.cov(explained, contributions[measured, column])[0, 1] > 0)
    missed = tuple(markers[column].name for column in strongest if markers[column].name not in first)
    return MarkerRecovery(sought, shown, sought - len(missed), directed, missed)


@dataclass(frozen=True)
class PairRecovery:
    """Of the `sought` strongest true pairs, how many are among the first `shown`, by each order.

    significant  pairs at a false-discovery rate of 5 %. false: those of them that are no true pair of any strength.
    """

    sought: int
    shown: int
    by_strength: int
    by_evidence: int
    by_model: int
    by_both: int
    significant: int
    false: int


def pair_recovery(
    truth: LogHazardRatio,
    strength: InteractionStrength,
    evidence: InteractionEvidence,
    model: ModelInteractions,
    cohort: Cohort,
    *,
    sought: int = 20,
    shown: int = 40,
) -> PairRecovery:
    """strength, evidence, model  of the same markers. by_both: evidence |z| times strength in the model."""
    names = evidence.names
    assert names == model.names == strength.names
    spread = truth.interaction_contributions(cohort.schema, cohort.values).std(axis=0)
    pairs = [frozenset((pair.first, pair.second)) for pair in truth.interactions]
    strongest = {pairs[place] for place in np.argsort(-spread, kind="stable")[:sought]}

    def found(order: FloatArray) -> int:
        first = [frozenset((names[i], names[j])) for i, j in ranked_pairs(order)[:shown]]
        return len(strongest & set(first))

    size = np.abs(np.nan_to_num(evidence.z))
    claimed = [frozenset((names[i], names[j])) for i, j in np.argwhere(np.triu(evidence.q <= 0.05, k=1))]
    return PairRecovery(
        sought=sought,
        shown=shown,
        by_strength=found(strength.strength),
        by_evidence=found(size),
        by_model=found(model.strength),
        by_both=found(size * model.strength),
        significant=len(claimed),
        false=len([pair for pair in claimed if pair not in set(pairs)]),
    )
