"""Which trial do the patients of a study stand in for?

Two options for the same patients, from the same time zero, up to one horizon, asked of patients who were not drawn by
lot. Everything that decides about the answer is said before any result is known: what ends survival, what is adjusted
for, by what the effect may differ, and by which outcome the question is put to the test: one that neither option can
change, but that whatever was not recorded would change, too (negative outcome).

Sources: Hernan and Robins, American Journal of Epidemiology 183 (2016), the target trial; Lipsitch, Tchetgen Tchetgen
and Cohen, Epidemiology 21 (2010), the negative outcome.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oncofed.cohort.schema import Kind, StudySchema
from oncofed.errors import Fault, InvalidInput
from oncofed.treatment.conditions import REMEDY, Condition

MOST_MODIFIERS = 2
"""Each doubles the groups, and with them the noise of what is told of all together."""


@dataclass(frozen=True)
class Benchmark:
    """What a randomised trial found of the same question.

    difference  in survival at the horizon, second option less first, with its 95 % limits.
    source      where it is published.
    eligible    whom it would have taken, beside those who are compared: conditions as in `TargetTrial`.
    """

    difference: float
    low: float
    high: float
    source: str
    eligible: tuple[str, ...] = ()

    @property
    def is_sound(self) -> bool:
        """Whether it is a difference within limits, of a source."""
        return -1 <= self.low <= self.difference <= self.high <= 1 and bool(self.source.strip())


@dataclass(frozen=True)
class TargetTrial:
    """The declaration. Names are those of the schema.

    treatment    a binary marker: 0 is the first option, 1 the second. options: their names, for people.
    outcomes     endpoints; survival ends with the first of them. horizon: a bound of the schema's grid, in its unit.
    adjust_for   markers that are known at time zero. required: of these, without which no answer is to be believed.
    modifiers    binary markers by which the effect is told apart; they are adjusted for, too.
    negative_outcome  an endpoint that neither option can change, or None.
    time_zero    from when on patients are followed, for people. eligible: who is compared, conditions that all hold.
    landmark     a bound of the schema's grid before the horizon: who has died or left by then is in neither option.
    """

    treatment: str
    options: tuple[str, ...]
    outcomes: tuple[str, ...]
    horizon: float
    adjust_for: tuple[str, ...]
    required: tuple[str, ...] = ()
    modifiers: tuple[str, ...] = ()
    negative_outcome: str | None = None
    benchmark: Benchmark | None = None
    time_zero: str = "time zero"
    eligible: tuple[str, ...] = ()
    landmark: float = 0.0

    @property
    def causes(self) -> tuple[str, ...]:
        """Endpoints of the schema that end somebody's follow-up: the outcomes, and the negative one."""
        negative = () if self.negative_outcome is None else (self.negative_outcome,)
        return (*self.outcomes, *(name for name in negative if name not in self.outcomes))

    @property
    def groups(self) -> tuple[tuple[bool, ...], ...]:
        """Of patients: which modifiers they have. All combinations, the first modifier's changes first."""
        return tuple(
            tuple(bool(number >> place & 1) for place in range(len(self.modifiers)))
            for number in range(2 ** len(self.modifiers))
        )

    def group_of(self, modifiers: NDArray[np.bool_]) -> NDArray[np.intp]:
        """(patients,): the number of each one's group. modifiers: (patients, modifiers), whether they have it."""
        return np.asarray(modifiers @ (2 ** np.arange(len(self.modifiers))), dtype=np.intp)

    def refuse_unless_it_fits(self, schema: StudySchema) -> None:
        """Raises InvalidInput with every fault."""
        found = [*self._unknown_names(schema), *self._unsound_choices(schema), *self._unsound_conditions(schema)]
        if found:
            raise InvalidInput([Fault(f"[target_trial], {field}", what, remedy) for field, what, remedy in found])

    def _unknown_names(self, schema: StudySchema) -> Iterator[tuple[str, str, str]]:
        kinds = {marker.name: marker.kind for marker in schema.markers}
        endpoints = {endpoint.name for endpoint in schema.endpoints}
        for field, names in (("treatment", (self.treatment,)), ("modifiers", self.modifiers)):
            for name in names:
                if kinds.get(name) is not Kind.BINARY:
                    yield field, f'"{name}" is no binary marker of the schema', "Name one that is 0 or 1."
        for name in self.adjust_for:
            if name not in kinds:
                yield "adjust_for", f'"{name}" is no marker of the schema', "Name one of the schema's markers."
        negative = () if self.negative_outcome is None else (self.negative_outcome,)
        for field, names in (("outcomes", self.outcomes), ("negative_outcome", negative)):
            for name in names:
                if name not in endpoints:
                    yield field, f'"{name}" is no endpoint of the schema', "Name one of the schema's endpoints."

    def _unsound_conditions(self, schema: StudySchema) -> Iterator[tuple[str, str, str]]:
        if self.landmark not in schema.grid.bounds or not self.landmark < self.horizon:
            remedy = "Choose one of [time] interval_bounds, such as 0."
            yield "landmark", "is no bound of the schema's intervals before the horizon", remedy
        kinds = {marker.name: marker.kind for marker in schema.markers}
        of_trial = () if self.benchmark is None else self.benchmark.eligible
        for field, texts in (("eligible", self.eligible), ("benchmark, eligible", of_trial)):
            for text in texts:
                condition = Condition.of(text)
                if condition is None:
                    yield field, "holds a text that is no condition", REMEDY
                elif kinds.get(condition.marker, Kind.CATEGORICAL) is Kind.CATEGORICAL:
                    what = f'"{condition.marker}" is no marker of the schema that has numbers'
                    yield field, what, "Name one that is a number, ordinal or binary."

    def _unsound_choices(self, schema: StudySchema) -> Iterator[tuple[str, str, str]]:
        if self.treatment in {*self.adjust_for, *self.modifiers}:
            yield "adjust_for", "names the treatment itself", "Leave it out: the options are what is compared."
        for field, names in (("required", self.required), ("modifiers", self.modifiers)):
            for name in sorted(set(names) - set(self.adjust_for)):
                yield field, f'"{name}" is not adjusted for', "Name it under adjust_for, too."
        if not self.outcomes:
            yield "outcomes", "names no endpoint", "Name what ends survival."
        if set(self.outcomes) == {self.negative_outcome}:
            remedy = "Name another, or none: an answer cannot be its own check."
            yield "negative_outcome", "is the only outcome that is compared", remedy
        if self.horizon not in schema.grid.bounds[1:]:
            yield "horizon", "is no bound of the schema's intervals", "Choose one of [time] interval_bounds."
        if len(self.modifiers) > MOST_MODIFIERS or len(set(self.modifiers)) < len(self.modifiers):
            yield "modifiers", f"are more than {MOST_MODIFIERS}, or named twice", "Choose before any result is known."
        if len(self.options) != 2 or len(set(self.options)) < 2 or not all(name.strip() for name in self.options):
            yield "second", "is not named, or like the first option", "Say what the marker's 0 and 1 mean."
        if self.benchmark is not None and not self.benchmark.is_sound:
            said = "is no difference within its own limits, from a source"
            yield "benchmark", said, "Give difference, low and high as published, between -1 and 1, and the source."
