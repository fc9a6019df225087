"""What do all rounds of a plan make of one hospital's patients? The model as the server would train it.

The server's own `combine` is used, on the one hospital under attack: the attacker knows what the others send, so they
hide nothing. Strategies that compare hospitals have nothing to compare, and are replaced by FedAvg.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from flwr.app import Message, MessageType, RecordDict
from flwr.supercore.task_identity import TaskIdentity
from numpy.typing import NDArray

from oncofed.privacy.policy import without_privacy
from oncofed.protocol.plan import Strategy, StudyPlan
from oncofed.server.rounds.admission import SiteVector
from oncofed.server.rounds.state import initial_state
from oncofed.server.rounds.strategies import combine
from oncofed.simulations.audit.crafted import first_weights
from oncofed.simulations.audit.target import Hospital

FloatArray = NDArray[np.float64]

_COMPARING = (Strategy.MEDIAN, Strategy.TRIMMED_AVERAGE, Strategy.KRUM)


@dataclass(frozen=True, eq=False)
class Trained:
    """weights  (parameters,) asked for in each round. releases: the answers. final: the released model."""

    weights: tuple[FloatArray, ...]
    releases: tuple[FloatArray, ...]
    final: FloatArray


def trained(plan: StudyPlan, hospital: Hospital) -> Trained:
    """All rounds of the plan, from its first weights."""
    alone = replace(plan, privacy=without_privacy(l2_norm_bound=None), members=())  # releases are opened already
    if plan.training.strategy in _COMPARING:
        alone = replace(alone, training=replace(plan.training, strategy=Strategy.FEDAVG))
    # Message(...) asks this process-wide value who is sending; Flower's own engines set it just so.
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 1, 1
    state = initial_state(first_weights(plan.model, seed=plan.initialisation_seed))
    asked: list[FloatArray] = []
    answers: list[FloatArray] = []
    for round_ in range(1, plan.training.rounds + 1):
        asked.append(state.weights)
        answers.append(hospital.release(state.weights))
        reply = Message(RecordDict(), dst_node_id=1, message_type=MessageType.TRAIN)
        weights, optimiser = combine([SiteVector(plan.roster[0], answers[-1], reply)], state=state, plan=alone)
        state = replace(state, round=round_, weights=weights, optimiser=optimiser)
    return Trained(tuple(asked), tuple(answers), state.weights)
