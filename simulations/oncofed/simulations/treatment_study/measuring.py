"""How far from the truth are options compared, and when are they refused? Invented patients whose truth is known.

Each repetition draws patients (`synthetic.treated`), trains the heads, makes each patient's rows, sums them, adds the
noise of a release, and asks for the estimates and the refusals. The truth is that of the population to which the
estimate belongs: the true effect of each of many other patients, weighted by the released weights.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from oncofed.simulations.options.fitting import (
    fitted,
    observed,
    privately_trained,
    with_constant_propensity,
    without_covariates,
)
from oncofed.simulations.synthetic.treated import (
    HORIZON_MONTHS,
    TRIAL,
    TreatedPatients,
    Twist,
    draw_treated,
    treated_schema,
)
from oncofed.survival.grid import TimeGrid
from oncofed.survival.kaplan_meier import kaplan_meier
from oncofed.treatment.balance import balance_rows, imbalances
from oncofed.treatment.estimate import Comparison, Figure, by_modifier, compare
from oncofed.treatment.heads import Heads
from oncofed.treatment.question import Observed
from oncofed.treatment.refusals import Checks, Refusal, first_refusal, groups_refused
from oncofed.treatment.rows import in_groups, population_weights, rows

FloatArray = NDArray[np.float64]

_BOUNDS = treated_schema().grid.bounds
GRID = TimeGrid(tuple(bound for bound in _BOUNDS if bound <= HORIZON_MONTHS))
_BOTH_DEATHS, _OTHER_DEATH = (0, 1), (1,)
PUBLIC_HAZARD = np.outer([0.015, 0.005, 0.01], GRID.widths)  # of the causes and of being lost, a month


@dataclass(frozen=True)
class Privacy:
    """Standard deviations of noise on the sums of all hospitals; 0 everywhere is without privacy.

    name  for a table. rounds: of each of the 60 rounds. comparison, negative, balance: of the three releases.
    """

    name: str
    rounds: float = 0.0
    comparison: float = 0.0
    negative: float = 0.0
    balance: float = 0.0

    def times(self, name: str, factor: float) -> Privacy:
        return Privacy(name, *(factor * each for each in (self.rounds, self.comparison, self.negative, self.balance)))


NO_NOISE = Privacy("none")
AT_ONE_HOSPITAL = Privacy("at one hospital", rounds=13.0, comparison=6.0, negative=8.0, balance=6.0)
"""Noise multipliers of the guarantee: rows and gradients have length 1. Epsilon 3 at a delta of 1e-5."""
DISTRIBUTED = AT_ONE_HOSPITAL.times("distributed", 1.1)
LOCAL = AT_ONE_HOSPITAL.times("local", float(np.sqrt(20)))
"""Of 20 hospitals: noise is shared, or each adds all of it."""


Train = Callable[[Observed, np.random.Generator], Heads]


def trained_with(privacy: Privacy) -> Train:
    """Heads as the privacy allows."""
    if privacy.rounds == 0:
        return lambda patients, rng: fitted(patients)
    return lambda patients, rng: privately_trained(
        patients, noise=privacy.rounds, rng=rng, baseline_hazard=PUBLIC_HAZARD
    )


def wrong_propensity(patients: Observed, rng: np.random.Generator) -> Heads:
    """Right but for a constant chance of the second option."""
    return with_constant_propensity(fitted(patients), float(patients.second.mean()))


def wrong_hazards(patients: Observed, rng: np.random.Generator) -> Heads:
    """Right but for hazards of death and loss that know nothing of the patient."""
    return without_covariates(patients, fitted(patients))


def both_wrong(patients: Observed, rng: np.random.Generator) -> Heads:
    """Neither knows anything of the patient."""
    return without_covariates(patients, wrong_propensity(patients, rng))


@dataclass(frozen=True, eq=False)
class Released:
    """What a study would release, and what is made of it."""

    heads: Heads
    groups: FloatArray
    noise: float
    checks: Checks

    @property
    def overall(self) -> Comparison:
        return compare(self.groups, noise=self.noise)

    @property
    def by_modifiers(self) -> tuple[Comparison, ...]:
        """Without and with the first, without and with the second."""
        pairs = (by_modifier(self.groups, place, noise=self.noise) for place in range(len(TRIAL.modifiers)))
        return tuple(each for pair in pairs for each in pair)

    @property
    def each_group(self) -> tuple[Comparison, ...]:
        return tuple(compare(group, noise=self.noise) for group in self.groups)

    @property
    def order_refused(self) -> str:
        return groups_refused(self.each_group)

    def refused(self, group: Comparison) -> Refusal | None:
        return first_refusal(TRIAL, group, self.checks)


def released(drawn: TreatedPatients, train: Train, privacy: Privacy, rng: np.random.Generator) -> Released:
    """One study."""
    patients = observed(drawn.z, drawn.second, drawn.months, [drawn.died_of_cancer, drawn.died_otherwise], GRID)
    heads = train(patients, rng)

    def noised(sums: FloatArray, noise: float) -> FloatArray:
        return sums + noise * rng.standard_normal(sums.shape)

    def of(outcomes: tuple[int, ...]) -> FloatArray:
        events = patients.events[list(outcomes)].sum(axis=0)
        nuisances = heads.nuisances(drawn.z, outcomes=outcomes)
        return rows(nuisances, drawn.second, events, patients.at_risk, GRID.widths)

    groups = in_groups(of(_BOTH_DEATHS), TRIAL.group_of(drawn.modifiers), groups=len(TRIAL.groups))
    negative = noised(of(_OTHER_DEATH).sum(axis=0), privacy.negative)
    alike = noised(balance_rows(heads.chance(drawn.z), drawn.second, drawn.z).sum(axis=0), privacy.balance)
    checks = Checks(
        balance=imbalances(alike, TRIAL.adjust_for, noise=privacy.balance),
        recorded=dict.fromkeys(TRIAL.required, 1.0),
        negative=compare(negative, noise=privacy.negative),
    )
    return Released(heads, noised(groups, privacy.comparison), privacy.comparison, checks)


@dataclass(frozen=True, eq=False)
class Population:
    """Many patients of the same law, none of them in any study, and what is true of them."""

    drawn: TreatedPatients
    difference: FloatArray
    mean_time: FloatArray

    @staticmethod
    def of(twists: Collection[Twist], *, patients: int, seed: int) -> Population:
        drawn = draw_treated(patients=patients, hospitals=20, rng=np.random.default_rng([seed, 9]), twists=twists)
        survival, lived = drawn.survival(HORIZON_MONTHS), drawn.mean_time(HORIZON_MONTHS) / HORIZON_MONTHS
        return Population(drawn, survival[1] - survival[0], lived[1] - lived[0])

    def truths(self, heads: Heads) -> tuple[FloatArray, float]:
        """Difference in survival of all, and without and with each modifier; and in the mean time of all."""
        weights = population_weights(heads.nuisances(self.drawn.z, outcomes=_BOTH_DEATHS), GRID.widths)
        has = self.drawn.modifiers
        groups = [np.ones(len(has), np.bool_), ~has[:, 0], has[:, 0], ~has[:, 1], has[:, 1]]
        found = [np.average(self.difference[group], weights=weights[group]) for group in groups]
        return np.array(found), float(np.average(self.mean_time, weights=weights))


@dataclass
class Tally:
    """Over repetitions. errors, covered: (repetitions, 1 + groups) of survival; the last column is of the mean time."""

    naive: list[float] = field(default_factory=list)
    errors: list[FloatArray] = field(default_factory=list)
    standard_errors: list[FloatArray] = field(default_factory=list)
    covered: list[NDArray[np.bool_]] = field(default_factory=list)
    estimates: list[FloatArray] = field(default_factory=list)
    refusals: list[tuple[Refusal | None, ...]] = field(default_factory=list)
    order_refused: list[bool] = field(default_factory=list)
    claimed: list[bool] = field(default_factory=list)

    def add(self, study: Released, drawn: TreatedPatients, population: Population) -> None:
        true, true_mean_time = population.truths(study.heads)
        overall = study.overall
        figures = [overall.difference, *(each.difference for each in study.by_modifiers), overall.mean_time]
        truth = np.append(true, true_mean_time)
        values = np.array([each.value for each in figures])
        self.naive.append(naive_difference(drawn) - float(true[0]))
        self.errors.append(values - truth)
        self.estimates.append(values)
        self.standard_errors.append(np.array([each.standard_error for each in figures]))
        self.covered.append(np.array([_holds(each, of) for each, of in zip(figures, truth, strict=True)]))
        self.refusals.append(tuple(study.refused(each) for each in (overall, *study.each_group)))
        self.order_refused.append(bool(study.order_refused))
        self.claimed.append(not overall.difference.holds_zero)

    @property
    def bias(self) -> FloatArray:
        return np.asarray(np.mean(self.errors, axis=0))

    @property
    def coverage(self) -> FloatArray:
        return np.asarray(np.mean(self.covered, axis=0))

    def refused(self, place: int = 0) -> float:
        """Share of repetitions in which all together (0), or a group (from 1 on), are refused."""
        return float(np.mean([each[place] is not None for each in self.refusals]))

    def why(self, place: int = 0) -> dict[str, int]:
        """Reasons, counted."""
        found: dict[str, int] = {}
        for each in self.refusals:
            reason = each[place]
            name = reason.reason.value if reason else "shown"
            found[name] = found.get(name, 0) + 1
        return found

    @property
    def right_order(self) -> float:
        """Share in which the effect is larger with the biomarker than without, and smaller with liver metastases."""
        found = np.array(self.estimates)
        return float(np.mean((found[:, 2] > found[:, 1]) & (found[:, 4] < found[:, 3])))


def _holds(figure: Figure, truth: float) -> bool:
    return figure.low <= truth <= figure.high


def naive_difference(drawn: TreatedPatients) -> float:
    """Kaplan and Meier's estimates of both options' patients, as they are."""
    died = drawn.died_of_cancer | drawn.died_otherwise
    curves = [kaplan_meier(time=drawn.months[rows], observed=died[rows]) for rows in (~drawn.second, drawn.second)]
    first, second = (float(curve.at(np.array([HORIZON_MONTHS]))[0]) for curve in curves)
    return second - first


def repeated(
    settings: dict[str, tuple[Train, Privacy]],
    *,
    repetitions: int,
    patients: int,
    seed: int,
    twists: Collection[Twist] = (),
    population: int = 10_000,
) -> dict[str, Tally]:
    """By name of the setting; all on the same patients. population: so many are drawn for the truth."""
    others = Population.of(twists, patients=population, seed=seed)
    tallies = {name: Tally() for name in settings}
    for drawn, rng in _draws(twists, repetitions=repetitions, patients=patients, seed=seed):
        for name, (train, privacy) in settings.items():
            tallies[name].add(released(drawn, train, privacy, rng), drawn, others)
    return tallies


def _draws(
    twists: Collection[Twist], *, repetitions: int, patients: int, seed: int
) -> Iterator[tuple[TreatedPatients, np.random.Generator]]:
    for repetition in range(repetitions):
        rng = np.random.default_rng([seed, 4, repetition])
        yield draw_treated(patients=patients, hospitals=20, rng=rng, twists=twists), rng
