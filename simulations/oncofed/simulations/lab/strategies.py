"""How do hospitals work together, and which network do they train?

The strategies are Flower's (`oncofed.server.rounds.strategies`). Without `local` a hospital sends one gradient sum of
all its patients a round, and the optimiser is at the server; with it, the weights after some steps of its own (DP-SGD).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, fields, replace
from typing import Any, Protocol

from oncofed.errors import Fault, InvalidInput
from oncofed.protocol import plan
from oncofed.protocol.plan import Bounding, StudyPlan, TrainingMode, TrainingSpec
from oncofed.ranges import count_of, range_of
from oncofed.simulations.lab.arguments import (
    Kind,
    came,
    instance,
    maybe,
    number,
    plain,
    refuse_wrong,
    several,
    word,
    yes_or_no,
)
from oncofed.study.held_out_settings import HeldOutRequest
from oncofed.study.plan_settings import PlanSettings, PrivacyRequest
from oncofed.study.value_settings import ValueRequest


@dataclass(frozen=True, kw_only=True)
class LocalSteps:
    """Steps of a hospital's own in each round.

    steps, learning_rate  how many and how long.
    sampling_rate         the probability with which each patient joins a step's batch.
    batch                 the public number by which a batch's sum is divided.
    """

    steps: int = 10
    learning_rate: float = 0.1
    sampling_rate: float = 0.1
    batch: float = 32.0

    def __post_init__(self) -> None:
        _refuse_wrong_fields(
            self,
            {
                "steps": number("TrainingSpec.local_steps"),
                "learning_rate": number("TrainingSpec.local_learning_rate"),
                "sampling_rate": number("TrainingSpec.sampling_rate"),
                "batch": number("TrainingSpec.expected_batch_size"),
            },
        )

    @property
    def spec(self) -> TrainingSpec:
        return TrainingSpec(
            mode=TrainingMode.EPOCHS,
            local_steps=self.steps,
            local_learning_rate=self.learning_rate,
            sampling_rate=self.sampling_rate,
            expected_batch_size=self.batch,
        )


_KINDS: Mapping[str, Kind] = {
    "learning_rate": number("TrainingSpec.server_learning_rate"),
    "weight_decay": number("TrainingSpec.weight_decay"),
    "local": maybe(
        instance(LocalSteps, words="local steps", remedy="Write of.LocalSteps(steps=...), or leave it out.")
    ),
    "beta_1": number("TrainingSpec.beta_1"),
    "beta_2": number("TrainingSpec.beta_2"),
    "tau": number("TrainingSpec.tau"),
    "mu": number("TrainingSpec.proximal_mu"),
    "trim": number("TrainingSpec.trim_fraction"),
    "malicious": number("TrainingSpec.malicious_sites"),
}
"""Of the strategies' fields."""


def _refuse_wrong_fields(record: Any, kinds: Mapping[str, Kind]) -> None:
    given = {field.name: (getattr(record, field.name), kinds[field.name]) for field in fields(record)}
    refuse_wrong(type(record).__name__, **given)


class Strategy(Protocol):
    """One of the classes below."""

    @property
    def spec(self) -> TrainingSpec:
        """All but the number of rounds."""
        ...


@dataclass(frozen=True)
class _Combined:
    """learning_rate  of the server.
    weight_decay   pull of the network's weights to zero, per unit of the combined update; costs no privacy.
    local          None: one gradient sum a round.
    """

    learning_rate: float = 0.03
    _: KW_ONLY
    weight_decay: float = 0.0
    local: LocalSteps | None = None

    def __post_init__(self) -> None:
        _refuse_wrong_fields(self, _KINDS)

    def _spec(self, strategy: plan.Strategy) -> TrainingSpec:
        start = TrainingSpec() if self.local is None else self.local.spec
        return replace(
            start, strategy=strategy, server_learning_rate=self.learning_rate, weight_decay=self.weight_decay
        )


@dataclass(frozen=True, kw_only=True)
class FedAdam(_Combined):
    """Adam at the server (Reddi et al., ICLR 2021); the usual choice here.

    >>> import oncofed.lab as of
    >>> of.FedAdam(0.02, weight_decay=1)
    FedAdam(learning_rate=0.02, weight_decay=1, local=None, beta_1=0.9, beta_2=0.99, tau=1e-08)
    """

    beta_1: float = 0.9
    beta_2: float = 0.99
    tau: float = 1e-8

    @property
    def spec(self) -> TrainingSpec:
        found = self._spec(plan.Strategy.FEDADAM)
        return replace(found, beta_1=self.beta_1, beta_2=self.beta_2, tau=self.tau)


@dataclass(frozen=True, kw_only=True)
class FedYogi(FedAdam):
    """Yogi at the server: its second moment grows by additions."""

    @property
    def spec(self) -> TrainingSpec:
        return replace(super().spec, strategy=plan.Strategy.FEDYOGI)


@dataclass(frozen=True, kw_only=True)
class FedAdagrad(_Combined):
    """Adagrad at the server."""

    tau: float = 1e-8

    @property
    def spec(self) -> TrainingSpec:
        return replace(self._spec(plan.Strategy.FEDADAGRAD), tau=self.tau)


@dataclass(frozen=True, kw_only=True)
class FedAvg(_Combined):
    """The mean of all hospitals (McMahan et al., AISTATS 2017); without `local`, gradient ascent on the mean sum."""

    @property
    def spec(self) -> TrainingSpec:
        return self._spec(plan.Strategy.FEDAVG)


@dataclass(frozen=True, kw_only=True)
class FedProx(_Combined):
    """FedAvg whose local steps are held near the global weights by mu (Li et al., MLSys 2020)."""

    local: LocalSteps | None = LocalSteps()
    mu: float = 0.01

    @property
    def spec(self) -> TrainingSpec:
        return replace(self._spec(plan.Strategy.FEDPROX), proximal_mu=self.mu)


@dataclass(frozen=True, kw_only=True)
class Median(_Combined):
    """The median of each number: against hospitals that send nonsense. Not in mode distributed."""

    @property
    def spec(self) -> TrainingSpec:
        return self._spec(plan.Strategy.MEDIAN)


@dataclass(frozen=True, kw_only=True)
class TrimmedAverage(_Combined):
    """The mean without the smallest and largest part `trim`, in (0, 0.5), of each number. Not in mode distributed."""

    trim: float = 0.2

    @property
    def spec(self) -> TrainingSpec:
        return replace(self._spec(plan.Strategy.TRIMMED_AVERAGE), trim_fraction=self.trim)


@dataclass(frozen=True, kw_only=True)
class Krum(_Combined):
    """The contribution nearest to its neighbours, of 2 malicious + 3 hospitals at least. Not in mode distributed."""

    malicious: int = 1

    @property
    def spec(self) -> TrainingSpec:
        return replace(self._spec(plan.Strategy.KRUM), malicious_sites=self.malicious)


_BY_NAME: Mapping[str, Callable[[], Strategy]] = {
    made().spec.strategy.value: made
    for made in (FedAdam, FedAvg, FedProx, FedYogi, FedAdagrad, Median, TrimmedAverage, Krum)
}


def a_strategy(where: str, value: Any) -> list[Fault]:
    """The kind of argument that is a strategy: one of the classes above, or its name in a study file."""
    if isinstance(value, _Combined):
        return []
    if isinstance(value, str):
        return word(*_BY_NAME)(where, value)
    remedy = 'Write of.FedAdam() or another one, or its name, such as "fedadam".'
    return [Fault(where, f"is {came(value)}, not a strategy", remedy)]


def strategy_of(asked: Strategy | str) -> Strategy:
    """The strategy that a name means, with what it takes where nothing is said."""
    return _BY_NAME[asked]() if isinstance(asked, str) else asked


def some_rounds(where: str, value: Any) -> list[Fault]:
    """The kind of argument that is a number of rounds. The range has 0 for a plan that only counts."""
    if type(plain(value)) is int and plain(value) == 0:
        return [Fault(where, "is 0, which trains nothing", "Choose 1 or more.")]
    return number("TrainingSpec.rounds")(where, value)


@dataclass(frozen=True)
class Prognosis:
    """The project's own network: a linear part beside ReLU layers, without biases (`oncofed.survival.network`)."""

    hidden: tuple[int, ...] = (16,)
    linear: bool = True
    baseline_weight: float = 1.0
    entity_time_shapes: int = 0
    shape_weight: float = 1.0
    calibration_by_entity: bool = False


def prognosis(
    hidden: Sequence[int] = (16,),
    *,
    linear: bool = True,
    baseline_weight: float = 1.0,
    entity_time_shapes: int = 0,
    shape_weight: float = 1.0,
    calibration_by_entity: bool = False,
) -> Prognosis:
    """The project's own network.

    hidden           widths of the ReLU layers; empty for a linear model.
    linear           whether a linear part stands beside them.
    baseline_weight  public multiplier of what is learned of the baseline hazard.
    entity_time_shapes  0: the hazards of all tumour entities run alike over time; 1 or 2: each has a course of its own,
                     of so many functions of time. shape_weight: public multiplier of what is learned of them.
    calibration_by_entity  whether the calibration rounds also set right the level of each tumour entity, and the course
                     over time of all; `train` needs four of these rounds then, better a fifth of all.
    raises           InvalidInput.

    >>> import oncofed.lab as of
    >>> of.prognosis(hidden=[8]).hidden
    (8,)
    >>> of.prognosis(hidden=[], linear=False)
    Traceback (most recent call last):
    oncofed.errors.InvalidInput: 1 fault
      - prognosis: leaves no network at all. Give hidden units, or keep the linear part.
    """
    refuse_wrong(
        "prognosis",
        hidden=(hidden, _widths),
        linear=(linear, yes_or_no),
        baseline_weight=(baseline_weight, number("PlanSettings.baseline_weight")),
        entity_time_shapes=(entity_time_shapes, number("PlanSettings.entity_time_shapes")),
        shape_weight=(shape_weight, number("PlanSettings.shape_weight")),
        calibration_by_entity=(calibration_by_entity, yes_or_no),
    )
    units = tuple(int(each) for each in hidden)
    if not units and not linear:
        what, remedy = "leaves no network at all", "Give hidden units, or keep the linear part."
        raise InvalidInput([Fault("prognosis", what, remedy)])
    if calibration_by_entity and not linear:
        what, remedy = "needs the linear part, in which the levels stand", "Keep it, or leave this out."
        raise InvalidInput([Fault("prognosis: calibration_by_entity", what, remedy)])
    return Prognosis(
        units,
        bool(linear),
        plain(baseline_weight),
        int(entity_time_shapes),
        plain(shape_weight),
        bool(calibration_by_entity),
    )


def _widths(where: str, value: Any) -> list[Fault]:
    each = number("PlanSettings.hidden_units")
    faults = several(each, words="a list of widths", remedy="Write [8] for one layer of 8, [] for none.")(where, value)
    count = count_of(PlanSettings, "hidden_units")
    if not faults and len(value) not in count:
        return [Fault(where, f"has {len(value)} layers, outside {count.words}", count.remedy)]
    return faults


def settings_of(
    privacy: PrivacyRequest,
    strategy: Strategy | str,
    *,
    rounds: int,
    network: Prognosis = Prognosis(),
    calibration_rounds: int = 0,
    value: ValueRequest = ValueRequest(),  # noqa: B008 - frozen
) -> PlanSettings:
    """What a study file would say. Raises InvalidInput for what does not go together."""
    asked = strategy_of(strategy).spec
    numbers = {field.name: plain(getattr(asked, field.name)) for field in fields(asked)}
    training = replace(asked, **numbers | {"rounds": rounds, "calibration_rounds": calibration_rounds})
    steps, span = (rounds + privacy.reserve_rounds) * training.local_steps, range_of(StudyPlan, "charged_local_steps")
    if training.mode is TrainingMode.EPOCHS and steps not in span:
        raise InvalidInput([Fault("strategy: local", f"makes {steps:,} steps, outside {span.words}", span.remedy)])
    if training.mode is not TrainingMode.FULL_BATCH and privacy.bounding is not Bounding.CLIP:
        what = f"is {privacy.bounding}, and local steps know no bounding but {Bounding.CLIP}"
        raise InvalidInput([Fault("privacy: bounding", what, "Leave it out, or leave out `local`.")])
    return PlanSettings(
        hidden_units=network.hidden,
        linear_branch=network.linear,
        baseline_weight=network.baseline_weight,
        training=training,
        privacy=privacy,
        held_out=HeldOutRequest(),
        entity_time_shapes=network.entity_time_shapes,
        shape_weight=network.shape_weight,
        calibration_by_entity=network.calibration_by_entity,
        value=value,
    )
