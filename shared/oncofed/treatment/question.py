"""Who is compared, and what is one patient to the comparison, to its models and to its release?

A patient is one row of numbers (`Question.columns`) and one course from the landmark to the horizon, on the schema's
intervals: which cause ended it, and how much of each interval was spent at risk. All follows from public constants and
that patient alone. Who is not eligible adds nothing anywhere. Imports no torch.

Composite follow-up ends with the earliest end of any of the endpoints that are looked at: with the event of those whose
event came then, and else as lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from oncofed.cohort.cohort import Cohort
from oncofed.cohort.encoding import Column, Role, columns, encode
from oncofed.cohort.schema import StudySchema
from oncofed.survival.encoded_patients import EncodedPatients
from oncofed.survival.grid import TimeGrid
from oncofed.treatment.conditions import Condition
from oncofed.treatment.target_trial import TargetTrial

FloatArray = NDArray[np.float64]

HAZARD_CAP = 1.0
"""Follow-up ends where the models' training expects so many events of a patient (`heads`)."""

_GIVEN, _GROUP, _TRIAL_LIKE = 0, 1, 2
_BEFORE_HOSPITALS = 3


@dataclass(frozen=True, eq=False)
class Observed:
    """z: (patients, markers). second: (patients,), the option. events: (causes, patients, intervals), d_k of each
    cause of an end; at_risk: (patients, intervals). All up to the horizon. hospital: (patients, hospitals), 1 at each
    one's own, so that each hospital may prefer an option; None: they are all alike.
    """

    z: FloatArray
    second: NDArray[np.bool_]
    events: FloatArray
    at_risk: FloatArray
    hospital: FloatArray | None = None


@dataclass(frozen=True, eq=False)
class Question:
    """The target trial for tables of one schema. hospitals: in the roster's order. All is public."""

    trial: TargetTrial
    schema: StudySchema
    hospitals: tuple[str, ...]

    @cached_property
    def grid(self) -> TimeGrid:
        """From the landmark, its 0, to the horizon."""
        trial, grid = self.trial, self.schema.grid
        bounds = tuple(bound - trial.landmark for bound in grid.bounds if trial.landmark <= bound <= trial.horizon)
        return TimeGrid(bounds, grid.unit)

    @cached_property
    def causes(self) -> tuple[int, ...]:
        """Endpoints of the schema that end somebody's follow-up. In a patient's events being lost comes after them."""
        names = [endpoint.name for endpoint in self.schema.endpoints]
        return tuple(names.index(name) for name in self.trial.causes)

    @property
    def outcomes(self) -> tuple[int, ...]:
        """Which of the causes end survival."""
        return tuple(range(len(self.trial.outcomes)))

    @property
    def negative(self) -> tuple[int, ...]:
        """Which is the negative outcome; empty where there is none."""
        name = self.trial.negative_outcome
        return () if name is None else (self.trial.causes.index(name),)

    @cached_property
    def confounders(self) -> tuple[Column, ...]:
        """Inputs of what is adjusted for, missing flags among them; those that a schema multiplies by 0 are none."""
        return tuple(column for column in columns(self.schema) if self._is_adjusted_for(column))

    def _is_adjusted_for(self, column: Column) -> bool:
        names = {*self.trial.adjust_for}
        of_modality = {marker.modality.value for marker in self.schema.markers if marker.name in names}
        is_named = column.source in names or (column.role is Role.MISSING and column.source in of_modality)
        return is_named and column.weight != 0

    @property
    def balanced_names(self) -> tuple[str, ...]:
        """For people."""
        each = [self.confounders[place] for place in self.balanced]
        return tuple(f"{column.source} {column.category}".rstrip() for column in each)

    @cached_property
    def balanced(self) -> NDArray[np.intp]:
        """Places of those confounders in which both options' patients must be alike: all but missing flags."""
        return np.array(
            [place for place, each in enumerate(self.confounders) if each.role is not Role.MISSING], np.intp
        )

    @property
    def columns(self) -> int:
        """The option given, the group by modifiers, whether the trial would have taken the patient, the hospital, which
        required markers are recorded, and the confounders in their scale.
        """
        return _BEFORE_HOSPITALS + len(self.hospitals) + len(self.trial.required) + len(self.confounders)

    @property
    def numbers(self) -> int:
        """Of the models (`heads.Heads`)."""
        markers, causes = len(self.confounders), len(self.causes) + 1
        return 1 + markers + len(self.hospitals) + 2 * causes * (self.grid.intervals + markers)

    # --- patients

    def eligible(self, cohort: Cohort) -> NDArray[np.bool_]:
        """(patients,): who is compared."""
        found = np.ones(len(cohort), dtype=np.bool_)
        for name in (self.trial.treatment, *self.trial.modifiers):
            found &= np.isfinite(cohort.marker_values(name))
        found &= _all_hold(self.trial.eligible, cohort)
        causes = list(self.causes)
        # Under observation from the landmark on: who came later has lived until then, whatever the option.
        found &= (cohort.entry[:, causes] <= self.trial.landmark).all(axis=1)
        return np.asarray(found & (cohort.exit[:, causes].min(axis=1) > self.trial.landmark))

    def patients(self, cohort: Cohort, *, hospital: str) -> EncodedPatients:
        """Of one hospital, who is eligible. Events: (patients, causes and being lost, intervals)."""
        who = cohort.subset(np.flatnonzero(self.eligible(cohort)))
        x = np.concatenate(
            [
                who.marker_values(self.trial.treatment)[:, None],
                self.trial.group_of(self._modifiers(who))[:, None],
                self._trial_like(who)[:, None],
                np.tile([each == hospital for each in self.hospitals], (len(who), 1)),
                np.stack([np.isfinite(who.marker_values(name)) for name in self.trial.required], axis=1)
                if self.trial.required
                else np.zeros((len(who), 0)),
                self._confounders(who),
            ],
            axis=1,
        ).astype(np.float64)
        ends = who.exit[:, list(self.causes)]
        end = ends.min(axis=1)
        came = who.observed[:, list(self.causes)] & (ends == end[:, None])
        came &= np.cumsum(came, axis=1) == 1  # of two at once, the first that is named
        followed = end - self.trial.landmark
        lost = ~came.any(axis=1)
        events = np.stack([self.grid.events(followed, of) for of in (*came.T, lost)], axis=1)
        at_risk = self.grid.at_risk(np.zeros(len(who)), followed)[:, None, :]
        return EncodedPatients(x, events, at_risk)

    def _modifiers(self, who: Cohort) -> NDArray[np.bool_]:
        names = self.trial.modifiers
        found = np.zeros((len(who), len(names)), dtype=np.bool_)
        for place, name in enumerate(names):
            found[:, place] = who.marker_values(name) == 1
        return found

    def _trial_like(self, who: Cohort) -> NDArray[np.bool_]:
        known = self.trial.benchmark
        return _all_hold(() if known is None else known.eligible, who)

    def _confounders(self, who: Cohort) -> FloatArray:
        encoded = encode(who)
        kept = [
            encoded[:, place] / column.weight
            for place, column in enumerate(columns(self.schema))
            if self._is_adjusted_for(column)
        ]
        return np.stack(kept, axis=1) if kept else np.zeros((len(who), 0))

    # --- what a row of numbers says

    def observed(self, patients: EncodedPatients) -> Observed:
        """As models see them."""
        x, begins = patients.x, _BEFORE_HOSPITALS + len(self.hospitals)
        return Observed(
            z=x[:, begins + len(self.trial.required) :],
            second=x[:, _GIVEN] == 1,
            events=patients.events.swapaxes(0, 1),
            at_risk=patients.at_risk[:, 0],
            hospital=x[:, _BEFORE_HOSPITALS:begins],
        )

    def groups(self, patients: EncodedPatients) -> NDArray[np.intp]:
        """(patients,): `TargetTrial.group_of`."""
        return patients.x[:, _GROUP].astype(np.intp)

    def trial_like(self, patients: EncodedPatients) -> FloatArray:
        """(patients,), 1 or 0: whether the benchmark's trial would have taken them."""
        return np.asarray(patients.x[:, _TRIAL_LIKE])

    def recorded(self, patients: EncodedPatients) -> FloatArray:
        """(patients, required), 1 or 0."""
        begins = _BEFORE_HOSPITALS + len(self.hospitals)
        return np.asarray(patients.x[:, begins : begins + len(self.trial.required)])


def _all_hold(texts: tuple[str, ...], cohort: Cohort) -> NDArray[np.bool_]:
    found = np.ones(len(cohort), dtype=np.bool_)
    for condition in filter(None, map(Condition.of, texts)):
        found &= condition.holds(cohort.marker_values(condition.marker))
    return found
