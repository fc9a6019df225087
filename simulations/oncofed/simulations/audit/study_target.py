"""Which target is a study's hospital? Its plan, its patients, and patients whom the attacker knows.

All training patients of the study, of whatever hospital, are there to be put into the hospital under attack; those that
the study sets aside for testing are the ones that the attacker knows.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from oncofed.cohort.cohort import Cohort
from oncofed.cohort.encoding import Role, columns
from oncofed.errors import Fault, InvalidInput
from oncofed.protocol.plan import StudyPlan, TrainingMode
from oncofed.simulations.audit.target import Target
from oncofed.simulations.federation import plan_of
from oncofed.simulations.partition import consortium, pooled
from oncofed.simulations.study import Study
from oncofed.simulations.study_table import table_of
from oncofed.survival.likelihood import patient_tensors


def target_of(study: Study) -> Target:
    """Raises InvalidInput for a study that promises nothing, or that trains by local epochs."""
    faults = []
    if not study.privacy.mode.private:
        remedy = "Audit it with --set privacy.mode=local --set privacy.epsilon=1, for instance."
        faults.append(Fault("[privacy], mode", "none promises nothing that could be audited", remedy))
    if study.training.mode is not TrainingMode.FULL_BATCH:
        remedy = "Audit it with --set training.mode=full_batch, or audit its finished run, of which less can be seen."
        faults.append(Fault("[training], mode", "only sums over all patients can be attacked here", remedy))
    if faults:
        raise InvalidInput(faults)
    table, schema, where = table_of(study)
    patients = consortium(table, schema, where=where, sites=study.sites, evaluation=study.evaluation, seed=study.seed)
    trained_on = sum(map(len, patients.hospitals.values()))
    plan = plan_of(study, schema, roster=tuple(patients.hospitals), patients=trained_on)
    return target_from(plan, patients.hospitals, patients.test)


def target_from(plan: StudyPlan, hospitals: Mapping[str, Cohort], test: Cohort) -> Target:
    """The same of a plan that promises something and sums over all patients."""
    discrete = [
        column.weight if column.role in (Role.CATEGORY, Role.MISSING) else 0.0 for column in columns(test.schema)
    ]
    return Target(
        plan,
        patients=patient_tensors(pooled(hospitals)),
        reference=patient_tensors(test),
        discrete=np.array(discrete),
    )
