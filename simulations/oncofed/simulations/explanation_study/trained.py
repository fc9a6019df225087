"""Which models are explained? Those of a study, trained again as often as their explanations are to be compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from oncofed.cohort.cohort import Cohort
from oncofed.cohort.encoding import Column, columns, encode
from oncofed.simulations.federation import Engine, federate, plan_of
from oncofed.simulations.partition import Consortium, consortium, pooled
from oncofed.simulations.study import Study
from oncofed.simulations.study_table import table_of
from oncofed.survival.network import PrognosisNetwork, network_with


@dataclass(frozen=True, eq=False)
class Trained:
    """A study's patients, and networks that differ in nothing but their initialisation and the privacy noise.

    explained  training patients of all hospitals together, and test patients.
    """

    networks: tuple[PrognosisNetwork, ...]
    hospitals: Mapping[str, Cohort]
    train: Cohort
    test: Cohort

    @property
    def columns(self) -> tuple[Column, ...]:
        return columns(self.train.schema)

    @staticmethod
    def of(study: Study, *, times: int) -> Trained:
        """Trains `times` times on the same patients."""
        table, schema, where = table_of(study)
        patients = consortium(
            table, schema, where=where, sites=study.sites, evaluation=study.evaluation, seed=study.seed
        )
        networks = tuple(_network(study, patients, initialisation_seed=study.seed + turn) for turn in range(times))
        return Trained(networks, patients.hospitals, pooled(patients.hospitals), patients.test)


def encoded(cohort: Cohort) -> torch.Tensor:
    """(patients, columns)."""
    return torch.as_tensor(encode(cohort))


def _network(study: Study, patients: Consortium, *, initialisation_seed: int) -> PrognosisNetwork:
    trained_on = sum(map(len, patients.hospitals.values()))
    plan = plan_of(study, patients.test.schema, roster=tuple(patients.hospitals), patients=trained_on)
    plan = replace(plan, initialisation_seed=initialisation_seed)

    def nothing(*_: Any) -> dict[str, Any]:
        return {}

    federated = federate(plan, patients.hospitals, run_folder=None, engine=Engine.GRID, resume=False, figures=nothing)
    return network_with(plan.model, federated.state.weights)
