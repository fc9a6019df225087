"""Which rounds, steps, decay, units, bound and calibration suit a study whose file does not name them?

A study file may leave the settings of `OPEN` out. The plan then chooses them, from public numbers alone: how many
patients are expected at how many hospitals, what the schema encodes, and the noise that epsilon asks for. What is
chosen stands in the plan as plain numbers, as if somebody had written them: that is what a hospital reads and signs. A
setting that the file names is kept, and the others follow from it.

The argument. E: events expected. s^2: variance of a column, S: their sum, I: E times the mean of s^2 weighted by s^2.
v: length of a patient's gradient at residual 1, the root of (baseline weight)^2 + S, to which a patient is bounded at
the most. n: noise in the sum of all rounds as if they were one, in bounds. T rounds have n sqrt(T) each, and their mean
has n again, so rounds cost nothing by themselves.

- *Information left*: I / (I + (n v)^2), of what the events teach. *Enough* is where that leaves ENOUGH events a column:
  the usual rule of events per variable.
- *Bounding*: where there is enough, by covariates alone. A cut gradient depends on the outcome, which makes risks too
  extreme, and no later factor for everybody mends that; any bound below v is the same then, so there is no clip norm
  to tune. Where there is less, noise matters more than that bias, and a clip keeps small residuals at full length.
- *Hidden units* beside the linear part, where UNITS_FROM events or more are left, and EVENTS_OF_A_WEIGHT for each of
  their weights. With fewer they learn the patients and not the prognosis.
- *Weight decay*: before anything is seen, let log hazard ratios have the standard deviation SPREAD over patients, and
  each encoded column be worth the same: a weight has the variance t^2 = SPREAD^2 / S. The best estimate of a normal
  weight from a gradient of information I with noise n v has the penalty 1 / (t^2 x information left). It is of the sum
  in bounds, over all hospitals, and the server takes the mean.
- *Step*: the adaptive strategies move each weight by about one step a round, so it comes as far as steps times rounds.
  Smaller steps and more rounds follow the noise of single rounds less, at a price in time alone.
- *Calibration by tumour entity* where the schema names one, and noise leaves a standard error below ENTITY_ERROR of an
  entity's events in what a half of its rounds tell: each of T rounds has n sqrt(T), and a patient's part of them is of
  all endpoints. It takes a fifth of the rounds, for which the common level needs 3 alone: few entities get a level of
  their own from gradients under noise.

Constants were chosen on validation patients of made and real cohorts, with few seeds, and are held against other
settings by `oncofed.simulations.settings_study`. Imports no torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from oncofed.cohort.encoding import Role, columns
from oncofed.cohort.schema import Kind, StudySchema
from oncofed.errors import Fault, InvalidInput
from oncofed.privacy.accounting import GaussianRelease, smallest_noise_multiplier
from oncofed.protocol.calibration_layout import FEWEST_WITH_ENTITIES, INFORMATION, SUMS
from oncofed.protocol.plan import Bounding, PrivacyMode, Strategy, TrainingMode, TrainingSpec
from oncofed.ranges import range_of
from oncofed.study.explanation_settings import entity_columns

if TYPE_CHECKING:
    from oncofed.study.plan_settings import PlanSettings, PrivacyRequest

BY_ENTITY = "model.calibration_by_entity"
OPEN = (
    "model.hidden_units",
    "model.baseline_weight",
    BY_ENTITY,
    "training.rounds",
    "training.server_learning_rate",
    "training.weight_decay",
    "training.calibration_rounds",
    "privacy.l2_norm_bound",
    "privacy.bounding",
)
"""What a study file may leave to the plan, by section and key."""

PATIENTS_OF_A_HOSPITAL = 250
"""Taken where nobody has said how many are expected."""
EVENTS = 0.3
"""Part of the patients whose event is seen."""
SPREAD = 0.92
"""Standard deviation of the log hazard ratio: that of a prognosis with a C-index of 0.71, if nobody is censored."""
SPREAD_OF_RISKS = 0.65
"""The same over expected events, of what a model under noise comes to (docs/benchmarks.md)."""
BINARY = 0.4
"""Standard deviation of a binary marker, or of a flag: one in five."""
ENOUGH = 10.0
"""Events a column."""
REACH, REACH_WITH_ENOUGH = 1.4, 1.6
"""Log hazard ratio of an encoded unit; with little, noise carries weights as far."""
LARGEST_STEP = 0.05
ROUNDS = 120
UNITS_FROM = 1_000
"""Events."""
UNITS = (16,)
EVENTS_OF_A_WEIGHT = 2
BASELINE_WEIGHT = 0.5
CLIP, STOPPED = 2.0, 1.0
CALIBRATION_ROUNDS = 3
PART_BY_ENTITY = 0.2
"""Of the rounds, where they calibrate by entity."""
ENTITY_ERROR = 1.0
USUAL_ROW = 1.3
"""Length of a patient's row in a calibration round: the root of 1 + f^2 and some more, at SPREAD_OF_RISKS."""
FEWEST_ROUNDS = 20
"""Fewer leave no time to calibrate in."""


@dataclass(frozen=True)
class Choice:
    """key: of `OPEN`. why: in words, after the value."""

    key: str
    value: float | tuple[int, ...] | str | bool
    why: str

    @property
    def words(self) -> str:
        section, _, name = self.key.partition(".")
        shown = f"{self.value:g}" if isinstance(self.value, float) else str(self.value)
        shown = str(self.value).lower() if isinstance(self.value, bool) else shown
        shown = f"[{', '.join(map(str, self.value))}]" if isinstance(self.value, tuple) else shown
        return f"[{section}] {name} = {shown}: {self.why}"


@dataclass(frozen=True)
class Expectation:
    """What the choices follow from. All of it is public.

    squares      sum of the columns' variances, S. information: I. noise: n; 0 without privacy.
    length       v.
    """

    patients: int
    hospitals: int
    columns: int
    squares: float
    information: float
    noise: float
    length: float

    @property
    def left(self) -> float:
        """Which part of what the events teach the noise leaves."""
        return self.information / (self.information + (self.noise * self.length) ** 2)

    @property
    def events(self) -> float:
        """What noise leaves of them."""
        return EVENTS * self.patients * self.left

    @property
    def events_of_a_column(self) -> float:
        """The same."""
        return self.events / self.columns

    @property
    def is_enough(self) -> bool:
        return self.events_of_a_column >= ENOUGH

    @property
    def words(self) -> str:
        noise = f"noise leaves {self.left:.0%} of what they teach" if self.noise else "without noise"
        return f"{self.patients:,} patients at {self.hospitals} hospitals, {self.columns:,} columns, {noise}"


def left_open(content: Mapping[str, object]) -> tuple[str, ...]:
    """Of `OPEN`, what the content of a study file does not name. content: as TOML has it, unchecked.

    Who says how many rounds calibrate has not asked for them by tumour entity without saying so.
    """

    def names(key: str) -> bool:
        section, _, name = key.partition(".")
        said = content.get(section)
        return isinstance(said, Mapping) and name in said

    said = {BY_ENTITY} if names("training.calibration_rounds") else set()
    return tuple(key for key in OPEN if not names(key) and key not in said)


def patients_told(patients: int) -> int:
    """As hospitals tell it in a simulation: one digit, so that no choice follows from who is there exactly."""
    return int(float(f"{patients:.0e}"))


def settled(settings: PlanSettings, schema: StudySchema, *, hospitals: int) -> PlanSettings:
    """The same with nothing left open. Raises InvalidInput for a study of no hospital, of which there is no plan."""
    if hospitals < 1:
        raise InvalidInput([Fault("the study", "has no hospital", "Admit at least one, and then make the plan.")])
    sections: dict[str, dict[str, object]] = {"model": {}, "training": {}, "privacy": {}}
    for each in chosen(settings, schema, hospitals=hospitals):
        section, _, name = each.key.partition(".")
        sections[section][name] = each.value
    return replace(
        settings,
        **sections["model"],  # type: ignore[arg-type]  # by name, as in the file
        training=replace(settings.training, **sections["training"]),  # type: ignore[arg-type]
        privacy=replace(settings.privacy, **sections["privacy"]),  # type: ignore[arg-type]
        left_open=(),
    )


def chosen(settings: PlanSettings, schema: StudySchema, *, hospitals: int) -> tuple[Choice, ...]:
    """For each setting that is left open, in the order of `OPEN`. Empty where none is."""
    found = {each.key: each for each in _choices(settings, schema, hospitals)} if settings.left_open else {}
    return tuple(found[key] for key in OPEN if key in settings.left_open and key in found)


def _choices(settings: PlanSettings, schema: StudySchema, hospitals: int) -> Iterator[Choice]:
    """Of all, as if the others that are named were fixed."""
    training, privacy, known = settings.training, settings.privacy, set(OPEN) - set(settings.left_open)
    of_sums = training.mode is TrainingMode.FULL_BATCH
    adaptive = of_sums and training.strategy in (Strategy.FEDADAM, Strategy.FEDYOGI, Strategy.FEDADAGRAD)

    weight = settings.baseline_weight if "model.baseline_weight" in known else BASELINE_WEIGHT
    yield Choice("model.baseline_weight", weight, "half of a marker's, so that markers have more of a patient's bound")
    expected = expectation(settings, schema, hospitals=hospitals, baseline_weight=weight)
    pay = max(UNITS_FROM, EVENTS_OF_A_WEIGHT * UNITS[0] * expected.columns)
    units = UNITS if expected.events >= pay or not settings.linear_branch else ()
    why = f"noise leaves {expected.events:,.0f} events to learn from; {pay:,} pay for {UNITS[0]} units"
    yield Choice("model.hidden_units", units, why)

    stopped = privacy.mode.private and of_sums and expected.is_enough
    bounding = Bounding.STOPPED if stopped else Bounding.CLIP
    why = (
        "with enough events a clip does more harm than noise" if stopped else "with few events it adds the least noise"
    )
    if not (privacy.mode.private and of_sums):
        why = "local steps know no other" if privacy.mode.private else "nobody is bounded"
    yield Choice("privacy.bounding", bounding, why)
    bounding = privacy.bounding if "privacy.bounding" in known else bounding
    bound = STOPPED if bounding is Bounding.STOPPED else CLIP
    if privacy.mode.private:
        why = "any below a patient's usual length is the same" if bounding is Bounding.STOPPED else "the usual length"
        yield Choice("privacy.l2_norm_bound", bound, why)
    bound = (privacy.l2_norm_bound or 0.0) if "privacy.l2_norm_bound" in known else bound

    rounds = training.rounds
    if adaptive:
        yield Choice("training.rounds", ROUNDS, "small steps follow the noise of single rounds less")
        rounds = rounds if "training.rounds" in known else ROUNDS
        reach = REACH_WITH_ENOUGH if expected.is_enough else REACH
        step = _plain(min(LARGEST_STEP, reach / max(rounds, 1)))
        yield Choice(
            "training.server_learning_rate", step, f"{rounds} of them reach a hazard ratio of {math.exp(reach):.1f}"
        )
        unit = max(expected.length, bound) if privacy.mode.private else 1.0
        decay = _plain(min(expected.squares / SPREAD**2 / expected.left / (unit * hospitals), _LARGEST_DECAY))
        yield Choice(
            "training.weight_decay", decay, f"log hazard ratios are taken to vary by {SPREAD:g}; {expected.words}"
        )
    by_entity = _by_entity(settings, schema, expected, rounds, possible=adaptive and privacy.mode.private)
    yield by_entity
    is_by_entity = settings.calibration_by_entity if BY_ENTITY in known else bool(by_entity.value)
    possible = adaptive and privacy.mode.private
    yield _calibration(settings, schema, rounds, possible=possible, by_entity=is_by_entity)


def expectation(settings: PlanSettings, schema: StudySchema, *, hospitals: int, baseline_weight: float) -> Expectation:
    """Of the study, by its public numbers."""
    variances = list(column_variances(schema))
    squares = max(sum(variances), 1e-6)
    patients = settings.expected_patients or PATIENTS_OF_A_HOSPITAL * hospitals
    of_column = sum(each**2 for each in variances) / squares
    return Expectation(
        patients=patients,
        hospitals=hospitals,
        columns=max(1, len(variances)),
        squares=squares,
        information=max(EVENTS * patients * of_column, 1e-6),
        noise=noise_of_all(settings.privacy, hospitals=hospitals),
        length=math.sqrt(baseline_weight**2 + squares),
    )


def noise_of_all(privacy: PrivacyRequest, *, hospitals: int) -> float:
    """Standard deviation in the sum over hospitals, all rounds together as one; in bounds. All hospitals answer.

    Gaussian releases compose as one of their joint noise, so it is what one release of the whole epsilon would have.
    """
    if not privacy.mode.private:
        return 0.0
    assert privacy.epsilon is not None
    shares = 1
    if privacy.mode is PrivacyMode.DISTRIBUTED:
        shares = max(1, hospitals - privacy.dropouts - privacy.colluding)
    return _noise_of_one(privacy.epsilon, privacy.delta) * math.sqrt(hospitals / shares)


@lru_cache(maxsize=64)
def _noise_of_one(epsilon: float, delta: float) -> float:
    return smallest_noise_multiplier(lambda sigma: [GaussianRelease(sigma)], epsilon=epsilon, delta=delta)


def column_variances(schema: StudySchema) -> Iterator[float]:
    """Of each encoded column, in order, by a public guess: categories are equally frequent, numbers vary by scale."""
    markers = {marker.name: marker for marker in schema.markers}
    for column in columns(schema):
        marker = markers.get(column.source)
        spread = 1.0
        if column.role is Role.MISSING or marker is None or marker.kind is Kind.BINARY:
            spread = BINARY
        elif column.role is Role.CATEGORY:
            share = 1 / len(marker.categories)
            spread = math.sqrt(share * (1 - share))
        yield (column.weight * spread) ** 2


def _by_entity(
    settings: PlanSettings, schema: StudySchema, expected: Expectation, rounds: int, *, possible: bool
) -> Choice:
    entities = 1 + len(entity_columns(schema))
    intervals, room = schema.grid.intervals, len(columns(schema)) + schema.grid.intervals
    needed = max(SUMS * (1 + len(settings.comparators)) + 2 * intervals, 2 * entities)
    if entities == 1 or not settings.linear_branch:
        return Choice(BY_ENTITY, False, "there is no tumour entity, or no linear part for its level to stand in")
    if not possible or settings.training.site_weights or rounds < FEWEST_ROUNDS or needed > room:
        return Choice(BY_ENTITY, False, "nothing bounds or noises patients, or rounds or model have no room for it")
    in_a_half = rounds_by_entity(rounds) / 4
    of_one = expected.noise * math.sqrt(rounds / in_a_half * len(schema.endpoints) * (1 + INFORMATION**2))
    events = EVENTS * expected.patients / entities
    worth = "pays for itself" if of_one <= ENTITY_ERROR * events else "would tell nothing"
    why = f"{events:,.0f} events an entity under a noise of {of_one:,.0f}: a level of its own {worth}"
    return Choice(BY_ENTITY, of_one <= ENTITY_ERROR * events, why)


def rounds_by_entity(rounds: int) -> int:
    """How many of the rounds calibrate, where they do by entity."""
    return max(FEWEST_WITH_ENTITIES, round(PART_BY_ENTITY * rounds))


def _calibration(
    settings: PlanSettings, schema: StudySchema, rounds: int, *, possible: bool, by_entity: bool
) -> Choice:
    key = "training.calibration_rounds"
    has_room = SUMS * (1 + len(settings.comparators)) <= len(columns(schema)) + schema.grid.intervals
    if possible and has_room and not settings.training.site_weights and rounds >= FEWEST_ROUNDS:
        if by_entity:
            return Choice(key, rounds_by_entity(rounds), "a fifth sets level, spread and each tumour entity right")
        return Choice(key, CALIBRATION_ROUNDS, "the last ones set level and spread of all risks right")
    return Choice(key, 0, "nothing bounds or noises patients, or rounds, strategy or model have no room for it")


def calibration_error(settings: PlanSettings, schema: StudySchema, *, hospitals: int) -> float:
    """Standard error that noise leaves in the spread of all risks after CALIBRATION_ROUNDS.

    Each of T rounds has noise n sqrt(T); if the spread were wrong by all of itself, the sum that tells it would be off
    by E SPREAD_OF_RISKS^2 / u, u the larger of the bound and of a patient's usual row. settings: nothing left open.
    """
    expected = expectation(settings, schema, hospitals=hospitals, baseline_weight=settings.baseline_weight)
    told = EVENTS * expected.patients * SPREAD_OF_RISKS**2 / max(settings.privacy.l2_norm_bound or 0.0, USUAL_ROW)
    return expected.noise * math.sqrt(settings.training.rounds / CALIBRATION_ROUNDS) / told


_LARGEST_DECAY = range_of(TrainingSpec, "weight_decay").usual_most
"""A hospital asks why of more, and nobody could tell it: there noise leaves next to nothing to learn in any case."""


def _plain(number: float) -> float:
    """Two digits, as a person would write it."""
    return float(f"{number:.2g}")


def chosen_in_words(choices: tuple[Choice, ...]) -> str:
    """One line for each; empty where nothing was left open."""
    if not choices:
        return ""
    return "\n".join(["Left open in the file, and chosen:", *(f"  {each.words}" for each in choices)])
