"""Who is compared, and what is one patient to the comparison, to its models and to its release?

A patient is one row of numbers (`Question.columns`) and one course from the landmark to the horizon, on the schema's
intervals: which cause ended it, and how much of each interval was spent at risk. All follows from public constants and
that patient alone. Who is not eligible adds nothing anywhere.

Composite follow-up ends with the earliest end of any of the endpoints that are looked at: with the event of those whose
event came then, and else as lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from oncofed.cohort.cohort import Cohort
from oncofed.cohort.encoding import Column, Role, columns, encode
from oncofed.cohort.schema import StudySchema
from oncofed.simulations.options.asked import Condition, TargetTrialSection
from oncofed.simulations.options.heads import Heads, Observed
from oncofed.survival.grid import TimeGrid
from oncofed.survival.likelihood import PatientTensors
from oncofed.treatment.target_trial import TargetTrial

FloatArray = NDArray[np.float64]

_GIVEN, _GROUP, _TRIAL_LIKE = 0, 1, 2
_BEFORE_HOSPITALS = 3


@dataclass(frozen=True, eq=False)
class Question:
    """The target trial for tables of one schema. hospitals: in the roster's order. All is public."""

    asked: TargetTrialSection
    schema: StudySchema
    hospitals: tuple[str, ...]

    @cached_property
    def trial(self) -> TargetTrial:
        return self.asked.trial

    @cached_property
    def grid(self) -> TimeGrid:
        """From the landmark, its 0, to the horizon."""
        asked, grid = self.asked, self.schema.grid
        bounds = tuple(bound - asked.landmark for bound in grid.bounds if asked.landmark <= bound <= asked.horizon)
        return TimeGrid(bounds, grid.unit)

    @cached_property
    def causes(self) -> tuple[int, ...]:
        """Endpoints of the schema that end somebody's follow-up. In a patient's events being lost comes after them."""
        names = [endpoint.name for endpoint in self.schema.endpoints]
        return tuple(names.index(name) for name in self.asked.causes)

    @property
    def outcomes(self) -> tuple[int, ...]:
        """Which of the causes end survival."""
        return tuple(range(len(self.asked.outcomes)))

    @property
    def negative(self) -> tuple[int, ...]:
        """Which is the negative outcome; empty where there is none."""
        name = self.asked.negative_outcome
        return () if name is None else (self.asked.causes.index(name),)

    @cached_property
    def confounders(self) -> tuple[Column, ...]:
        """Inputs of what is adjusted for, missing flags among them; those that a schema multiplies by 0 are none."""
        return tuple(column for column in columns(self.schema) if self._is_adjusted_for(column))

    def _is_adjusted_for(self, column: Column) -> bool:
        names = {*self.asked.adjust_for}
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

    def first_heads(self) -> Heads:
        """Where training starts: an even chance, and hazards of the schema; that of being lost is their mean."""
        public = [self.schema.baseline_hazard[cause] for cause in self.causes]
        hazard = np.outer([*public, np.mean(public)], self.grid.widths)
        markers = len(self.confounders)
        return Heads(
            np.zeros(1 + markers + len(self.hospitals)),
            np.log(np.broadcast_to(hazard, (2, *hazard.shape))),
            np.zeros((2, len(hazard), markers)),
        )

    # --- patients

    def eligible(self, cohort: Cohort) -> NDArray[np.bool_]:
        """(patients,): who is compared."""
        found = np.ones(len(cohort), dtype=np.bool_)
        for name in (self.trial.treatment, *self.trial.modifiers):
            found &= np.isfinite(cohort.marker_values(name))
        found &= _all_hold(self.asked.eligible, cohort)
        causes = list(self.causes)
        # Under observation from the landmark on: who came later has lived until then, whatever the option.
        found &= (cohort.entry[:, causes] <= self.asked.landmark).all(axis=1)
        return np.asarray(found & (cohort.exit[:, causes].min(axis=1) > self.asked.landmark))

    def patients(self, cohort: Cohort, *, hospital: str) -> PatientTensors:
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
        followed = end - self.asked.landmark
        lost = ~came.any(axis=1)
        events = np.stack([self.grid.events(followed, of) for of in (*came.T, lost)], axis=1)
        at_risk = self.grid.at_risk(np.zeros(len(who)), followed)[:, None, :]
        return PatientTensors.of(*(torch.as_tensor(part) for part in (x, events, at_risk)))

    def _modifiers(self, who: Cohort) -> NDArray[np.bool_]:
        names = self.trial.modifiers
        found = np.zeros((len(who), len(names)), dtype=np.bool_)
        for place, name in enumerate(names):
            found[:, place] = who.marker_values(name) == 1
        return found

    def _trial_like(self, who: Cohort) -> NDArray[np.bool_]:
        known = self.asked.benchmark
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

    def observed(self, patients: PatientTensors) -> Observed:
        """As models see them."""
        x, begins = patients.x.numpy(), _BEFORE_HOSPITALS + len(self.hospitals)
        return Observed(
            z=x[:, begins + len(self.trial.required) :],
            second=x[:, _GIVEN] == 1,
            events=patients.events.numpy().swapaxes(0, 1),
            at_risk=patients.at_risk.numpy()[:, 0],
            hospital=x[:, _BEFORE_HOSPITALS:begins],
        )

    def groups(self, patients: PatientTensors) -> NDArray[np.intp]:
        """(patients,): `TargetTrial.group_of`."""
        return patients.x.numpy()[:, _GROUP].astype(np.intp)

    def trial_like(self, patients: PatientTensors) -> FloatArray:
        """(patients,), 1 or 0: whether the benchmark's trial would have taken them."""
        return np.asarray(patients.x.numpy()[:, _TRIAL_LIKE])

    def recorded(self, patients: PatientTensors) -> FloatArray:
        """(patients, required), 1 or 0."""
        begins = _BEFORE_HOSPITALS + len(self.hospitals)
        return np.asarray(patients.x.numpy()[:, begins : begins + len(self.trial.required)])


def _all_hold(texts: tuple[str, ...], cohort: Cohort) -> NDArray[np.bool_]:
    found = np.ones(len(cohort), dtype=np.bool_)
    for condition in filter(None, map(Condition.of, texts)):
        found &= condition.holds(cohort.marker_values(condition.marker))
    return found
