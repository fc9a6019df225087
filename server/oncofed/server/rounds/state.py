"""What does a federation know between two rounds? Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

NO_OPTIMISER_STATE: Mapping[str, NDArray[np.float64]] = MappingProxyType({})


@dataclass(frozen=True, eq=False)
class ReleasedSummary:
    """A summary of the hospitals that answered, together.

    vector    (cells,) float64: the sum over their patients and their noise, in units of one patient's bound.
    answered  in roster order. attempt: of the plan's, at which they did.
    parts     by hospital, each (cells,), where a plan validates a model and each hospital answered by itself.
    """

    vector: NDArray[np.float64]
    answered: tuple[str, ...]
    attempt: int = 0
    parts: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)


NO_SUMMARIES: Mapping[str, ReleasedSummary] = MappingProxyType({})
NOTHING_ELSEWHERE: Mapping[str, tuple[str, ...]] = MappingProxyType({})


@dataclass(frozen=True, eq=False)
class FederationState:
    """Everything the next round depends on, besides the plan and the hospitals.

    round      the last finished round; 0 before the first.
    weights    (parameters,) float64, the global model.
    optimiser  what the server keeps from round to round beside the weights, float64 arrays by name: the optimiser's,
               each (parameters,), and what calibration rounds have averaged; empty where there is nothing.
    attempt    the attempt the next round, or after the last one the next summary, will be; 0 unless that round was
               given up before.
    roster     who is asked in that attempt; empty for the plan's whole roster.
    summaries  what was released after the last round, by name.
    left_out   hospitals that were online and yet cost everybody an attempt at a masked sum; they are not asked again
               before the study is resumed, unless the others are too few.
    asked_afresh  hospitals that lost an answer and so cost everybody an attempt; not again before it is resumed.
    answered   each hospital's last charged answer that this study has had (`messages.identity_text`), told it with each
               question: its records may be older than that. None where it is not kept (a simulation, whose ledgers and
               server have one checkpoint; a plan that charges nothing).
    answered_elsewhere  the same of the coordinator's other studies. Not part of a checkpoint.
    """

    round: int
    weights: NDArray[np.float64]
    optimiser: Mapping[str, NDArray[np.float64]] = field(default_factory=lambda: NO_OPTIMISER_STATE)
    attempt: int = 0
    roster: tuple[str, ...] = ()
    left_out: frozenset[str] = frozenset()
    asked_afresh: frozenset[str] = frozenset()
    summaries: Mapping[str, ReleasedSummary] = field(default_factory=lambda: NO_SUMMARIES)
    answered: Mapping[str, str] | None = None
    answered_elsewhere: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: NOTHING_ELSEWHERE)


def initial_state(weights: NDArray[np.float64]) -> FederationState:
    """Before the first round."""
    return FederationState(round=0, weights=weights)
