"""How are one round's contributions combined into the next weights? By Flower's strategies, unchanged.

Flower's `aggregate_train` sees replies that each hold one hospital's weights and one public site weight:

    full_batch   current + step * (contribution - weight_decay * current), the baseline hazard without decay, time
                 shapes with one of their own, comparators with theirs times their weight, as their gradients are;
                 where the plan expects weights, decay pulls to them instead of zero
    epochs       the contribution, which is weights already

`step` is 1 for FedAdam, FedYogi and FedAdagrad, whose own learning rate scales the combined difference, and
`server_learning_rate` for the others, which have none. So in `full_batch` FedAvg is federated gradient ascent, and
Median, TrimmedAvg and Krum are its robust forms.

Promises: `combine` depends on nothing but its arguments, the order of contributions included (callers give roster
order). Averages are weighted by the plan's public `site_weights` under the key `public-site-weight`, never by a
number a hospital sends: Flower's own default, `num-examples`, would be its exact patient count.

Refuses: settings under which a strategy silently does not do what its name says (`strategy_faults`).

Flower keeps optimiser state in public attributes (`current_arrays`, `m_t`, `v_t`) that its documentation does not
name; tests/contracts/test_flwr_names.py pins them to flwr 1.42. tau is the plan's: Flower's default of 1e-3 swallows
small updates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace

import numpy as np
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import (
    FedAdagrad,
    FedAdam,
    FedAvg,
    FedMedian,
    FedProx,
    FedTrimmedAvg,
    FedYogi,
    Krum,
)
from numpy.typing import NDArray

from oncofed.errors import Fault, FederationFailure, PrivacyRefusal
from oncofed.privacy.releases import release_of_round
from oncofed.protocol.calibration_layout import (
    FEWEST_WITH_ENTITIES,
    CalibrationRound,
    calibration_round_of,
    has_room_for_calibration,
)
from oncofed.protocol.plan import Strategy, StudyPlan, TrainingMode, TrainingSpec
from oncofed.protocol.weights import expected_vector, in_range
from oncofed.ranges import WEIGHT
from oncofed.server.rounds.admission import SiteVector
from oncofed.server.rounds.entity_recalibration import entities_recalibrated
from oncofed.server.rounds.opening import opened
from oncofed.server.rounds.recalibration import recalibrated
from oncofed.server.rounds.state import FederationState

SITE_WEIGHT_KEY = "public-site-weight"
VECTOR = "vector"
ENTITY_SUMS = "entity_sums"
"""Among the optimiser's arrays: the average of what calibration rounds have told of each entity until now."""

AdaptiveStrategy = FedAdam | FedYogi | FedAdagrad
_ADAPTIVE = (Strategy.FEDADAM, Strategy.FEDYOGI, Strategy.FEDADAGRAD)
_UNWEIGHTED = (Strategy.MEDIAN, Strategy.TRIMMED_AVERAGE, Strategy.KRUM)


def build_strategy(training: TrainingSpec) -> FedAvg:  # noqa: PLR0911 - one strategy a case
    """The Flower strategy object that the plan names, without any state."""
    match training.strategy:
        case Strategy.FEDAVG:
            return FedAvg(weighted_by_key=SITE_WEIGHT_KEY)
        case Strategy.FEDPROX:
            # The proximal term acts inside the hospitals, which read it from their own copy of the plan.
            return FedProx(weighted_by_key=SITE_WEIGHT_KEY, proximal_mu=training.proximal_mu)
        case Strategy.FEDADAM:
            return FedAdam(
                weighted_by_key=SITE_WEIGHT_KEY,
                eta=training.server_learning_rate,
                beta_1=training.beta_1,
                beta_2=training.beta_2,
                tau=training.tau,
            )
        case Strategy.FEDYOGI:
            return FedYogi(
                weighted_by_key=SITE_WEIGHT_KEY,
                eta=training.server_learning_rate,
                beta_1=training.beta_1,
                beta_2=training.beta_2,
                tau=training.tau,
            )
        case Strategy.FEDADAGRAD:
            return FedAdagrad(weighted_by_key=SITE_WEIGHT_KEY, eta=training.server_learning_rate, tau=training.tau)
        case Strategy.MEDIAN:
            return FedMedian(weighted_by_key=SITE_WEIGHT_KEY)
        case Strategy.TRIMMED_AVERAGE:
            return FedTrimmedAvg(weighted_by_key=SITE_WEIGHT_KEY, beta=training.trim_fraction)
        case Strategy.KRUM:
            return Krum(weighted_by_key=SITE_WEIGHT_KEY, num_malicious_nodes=training.malicious_sites)


def strategy_faults(plan: StudyPlan) -> tuple[Fault, ...]:
    """Settings that Flower would accept and then not do what they say. Empty when there are none."""
    training, quorum, sites = plan.training, plan.quorum, len(plan.roster)
    faults = []
    if not 1 <= quorum <= sites:
        faults.append(
            Fault("quorum", f"it must lie between 1 and the roster's {sites}", "Ask for as many as can answer")
        )
    if training.site_weights and len(training.site_weights) != sites:
        faults.append(
            Fault("training.site_weights", f"there must be one for each of {sites} sites", "List them in roster order")
        )
    if not all(math.isfinite(weight) and weight > 0 for weight in training.site_weights):
        faults.append(Fault("training.site_weights", "weights must be finite and positive", "Leave them out for 1.0"))
    if training.site_weights and training.strategy in _UNWEIGHTED:
        faults.append(
            Fault("training.site_weights", f"{training.strategy} treats all sites alike", "Leave site_weights out")
        )
    faults += _faults_of_calibration(plan)
    try:
        release = release_of_round(plan)
        release.refuse_unless_sound()
    except PrivacyRefusal as refusal:
        faults.append(Fault("privacy.scale_bits", str(refusal), "Lower it; 20 is usual."))
    else:
        faults += _faults_of_masked_sums(plan) if release.needs_everybody else []
    if training.strategy is Strategy.TRIMMED_AVERAGE and not 0 < training.trim_fraction < 0.5:
        faults.append(Fault("training.trim_fraction", "it must lie between 0 and 0.5", "0.2 is usual"))
    elif training.strategy is Strategy.TRIMMED_AVERAGE and int(training.trim_fraction * quorum) == 0:
        faults.append(
            Fault(
                "training.trim_fraction",
                f"at the quorum of {quorum} sites it trims nobody, so one absurd site moves the average",
                f"Use at least {1 / max(quorum, 1):.3g} or a larger quorum",
            )
        )
    if training.strategy is Strategy.FEDPROX and training.mode is TrainingMode.FULL_BATCH:
        faults.append(
            Fault(
                "training.strategy",
                "in full_batch there is one local step and nothing to keep near, so proximal_mu is ignored and "
                "fedprox is fedavg",
                'Use mode = "epochs", or strategy = "fedavg"',
            )
        )
    # Blanchard et al. 2017: Krum's guarantee needs n >= 2 f + 3 replies.
    if training.strategy is Strategy.KRUM and quorum < 2 * training.malicious_sites + 3:
        faults.append(
            Fault(
                "training.malicious_sites",
                f"against {training.malicious_sites} Krum needs {2 * training.malicious_sites + 3} replies, "
                f"the quorum is {quorum}",
                "Raise the quorum or expect fewer",
            )
        )
    return tuple(faults)


def _faults_of_calibration(plan: StudyPlan) -> list[Fault]:
    """What calibration rounds cannot do: they are made of the sum of all."""
    training, faults = plan.training, []
    if not plan.trains and not training.calibration_rounds:  # another plan may have trained its model, with levels
        return []
    if plan.model.entity_levels is not None and training.calibration_rounds < FEWEST_WITH_ENTITIES:
        what = f"calibration by tumour entity needs {FEWEST_WITH_ENTITIES} or more"
        faults.append((what, "Ask for a tenth of the rounds or so, or leave calibration_by_entity out."))
    elif not training.calibration_rounds:
        return []
    if training.mode is not TrainingMode.FULL_BATCH:
        faults.append(("only full_batch has them", 'Leave them out, or set mode = "full_batch".'))
    if training.calibration_rounds >= training.rounds:
        faults.append((f"they leave none of {training.rounds} rounds for training", "Ask for fewer, or more rounds."))
    if training.strategy in _UNWEIGHTED:
        faults.append((f"{training.strategy} would not protect their sum from absurd hospitals", "Set them to 0."))
    if training.site_weights:
        faults.append(("they weigh all hospitals alike", "Leave site_weights out, or set them to 0."))
    if not has_room_for_calibration(plan.model):
        what = f"a model of {plan.model.parameters} parameters has no room for their sums"
        faults.append((what, "Set them to 0."))
    return [Fault("training.calibration_rounds", what, remedy) for what, remedy in faults]


def _faults_of_masked_sums(plan: StudyPlan) -> list[Fault]:
    """What needs more than the sum of all contributions."""
    training = plan.training
    faults = []
    if plan.quorum != plan.smallest_roster:
        what = f"a masked sum is made of {plan.smallest_roster} hospitals at least, and counts with so many"
        faults.append(Fault("quorum", what, "Leave it out: it follows from privacy.dropouts."))
    if training.mode is not TrainingMode.FULL_BATCH:
        faults.append(Fault("training.mode", "privacy mode distributed needs full_batch", 'Set mode = "full_batch".'))
    if training.strategy in _UNWEIGHTED:
        what = f"{training.strategy} looks at each contribution, and masked ones cannot be looked at"
        faults.append(Fault("training.strategy", what, "Use fedadam, or privacy mode local."))
    if training.site_weights:
        faults.append(Fault("training.site_weights", "a masked sum weighs all alike", "Leave site_weights out."))
    return faults


def combine(
    contributions: Sequence[SiteVector], *, state: FederationState, plan: StudyPlan
) -> tuple[NDArray[np.float64], Mapping[str, NDArray[np.float64]]]:
    """The next weights and optimiser arrays. Raises FederationFailure for weights that hospitals refuse.

    Where only the sum of all means anything, the mean over the hospitals stands as if one of them had sent it.
    """
    release = release_of_round(plan)
    read = opened(contributions, release=release, name=state.round + 1, state=state, plan=plan)
    calibration = calibration_round_of(plan, state.round + 1)
    if calibration is not None:
        noise = release.noise_of_sum(hospitals=len(contributions))
        with np.errstate(over="ignore", invalid="ignore"):
            moved, kept = _calibrated(np.sum(read, axis=0), calibration, noise=noise, state=state, plan=plan)
        if not in_range(moved):
            raise FederationFailure(f"round {state.round + 1}: the calibrated weights are beyond {WEIGHT.most:g}")
        return moved, {**state.optimiser, **kept}
    hospitals = len(contributions) // len(read)
    contributions = tuple(
        replace(contribution, vector=vector / hospitals)
        for contribution, vector in zip(contributions, read, strict=False)  # a sum of all is one
    )
    strategy = build_strategy(plan.training)
    restore_optimiser(strategy, state)
    public_weights = plan.training.site_weights or (1.0,) * len(plan.roster)
    metrics = {weight: MetricRecord({SITE_WEIGHT_KEY: weight}) for weight in public_weights}
    metrics_of = {site: metrics[weight] for site, weight in zip(plan.roster, public_weights, strict=True)}
    # Finite but absurd contributions may overflow on the way; what counts is whether the result is finite.
    with np.errstate(over="ignore", invalid="ignore"):
        local_weights = _weights_of(contributions, current=state.weights, plan=plan)
        replies = [
            _as_weights(contribution.reply, weights=weights, metrics=metrics_of[contribution.site])
            for contribution, weights in zip(contributions, local_weights, strict=True)
        ]
        arrays, _ = strategy.aggregate_train(state.round + 1, replies)
    if arrays is None:
        raise FederationFailure(f"{plan.training.strategy} combined nothing")
    combined: NDArray[np.float64] = arrays[VECTOR].numpy()
    optimiser = export_optimiser(strategy)
    # An overflow inside the optimiser can leave finite weights that never move again.
    if not in_range(combined) or not all(np.isfinite(array).all() for array in optimiser.values()):
        largest = max(contributions, key=lambda one: float(np.abs(one.vector).max(initial=0.0)))
        raise FederationFailure(
            f"round {state.round + 1}: the combined weights are beyond {WEIGHT.most:g} or not finite; "
            f"the largest numbers came from {largest.site}. Lower training.server_learning_rate, "
            "or use a robust strategy if one hospital's numbers are absurd."
        )
    return combined, optimiser


def _calibrated(
    sums: NDArray[np.float64],
    calibration: CalibrationRound,
    *,
    noise: float,
    state: FederationState,
    plan: StudyPlan,
) -> tuple[NDArray[np.float64], Mapping[str, NDArray[np.float64]]]:
    """The next weights, and what the rounds after it need."""
    if not calibration.of_entities:
        number = calibration.number
        return recalibrated(state.weights, sums, model=plan.model, calibration_round=number, noise=noise), {}
    moved, averaged = entities_recalibrated(
        state.weights,
        sums,
        model=plan.model,
        calibration=calibration,
        noise=noise,
        cap=plan.privacy.hazard_cap,
        averaged=state.optimiser.get(ENTITY_SUMS),
    )
    return moved, {ENTITY_SUMS: averaged}


def export_optimiser(strategy: FedAvg) -> dict[str, NDArray[np.float64]]:
    """The arrays a checkpoint must keep; empty for strategies that remember nothing."""
    if not isinstance(strategy, AdaptiveStrategy) or strategy.m_t is None or strategy.v_t is None:
        return {}
    return {"m_t": strategy.m_t[VECTOR], "v_t": strategy.v_t[VECTOR]}


def restore_optimiser(strategy: FedAvg, state: FederationState) -> None:
    """Undo `export_optimiser`, and tell the strategy the weights its hospitals started from."""
    if isinstance(strategy, AdaptiveStrategy):
        strategy.current_arrays = {VECTOR: state.weights}
        if state.optimiser:
            strategy.m_t = {VECTOR: state.optimiser["m_t"]}
            strategy.v_t = {VECTOR: state.optimiser["v_t"]}


def _weights_of(
    contributions: Sequence[SiteVector], *, current: NDArray[np.float64], plan: StudyPlan
) -> list[NDArray[np.float64]]:
    training = plan.training
    if training.mode is TrainingMode.EPOCHS:
        return [contribution.vector for contribution in contributions]
    step = 1.0 if training.strategy in _ADAPTIVE else training.server_learning_rate
    decay = np.full(plan.model.parameters, training.weight_decay)
    decay[: plan.model.baseline_parameters] = 0.0
    decay[plan.model.baseline_parameters : plan.model.ratio_begins] = training.shape_weight_decay
    for each, (of_baseline, of_ratio) in zip(plan.model.comparators, plan.model.comparator_parts, strict=True):
        decay[of_baseline], decay[of_ratio] = 0.0, each.weight * training.weight_decay
    decayed = (1.0 - step * decay) * current + step * decay * expected_vector(plan.model)
    return [decayed + (step * one.vector if step != 1.0 else one.vector) for one in contributions]


def _as_weights(reply: Message, *, weights: NDArray[np.float64], metrics: MetricRecord) -> Message:
    """The reply again, with what Flower's strategies expect as its content. The original is left alone."""
    arrays = ArrayRecord()
    arrays[VECTOR] = _UnserialisedArray(weights)
    message = copy(reply)
    message.content = RecordDict({"weights": arrays, "metrics": metrics})
    return message


class _UnserialisedArray(Array):
    """An Array on its way to a strategy in the same process: writing and parsing it would cost more than averaging."""

    def __init__(self, array: NDArray[np.float64]) -> None:
        super().__init__(str(array.dtype), array.shape, "numpy.ndarray", b"")
        self._array = array

    def numpy(self) -> NDArray[np.float64]:
        """The array itself. Flower's strategies only read it."""
        return self._array
