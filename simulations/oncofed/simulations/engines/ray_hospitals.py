"""How do Ray's worker processes get at the simulated hospitals? Each hospital is a folder; a guard is built from it.

A hospital's folder holds its patients as tensors and its ledger as a journal. The connection is a value, so that it
travels; what it builds stays in the worker process for the next message.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from flwr.app import Context
from safetensors.torch import load_file, save_file

from oncofed.client.guard.desk import Desk, unsigned_desk
from oncofed.client.guard.guard import Guard
from oncofed.cohort.cohort import Cohort
from oncofed.privacy.ledger import Ledger
from oncofed.privacy.noise import OperatingSystemNoise
from oncofed.protocol.plan import StudyPlan
from oncofed.simulations.engines.journal_ledger import JournalLedger
from oncofed.simulations.engines.node_directory import partition_of
from oncofed.simulations.masking_keys import simulated_masks
from oncofed.simulations.site_policy import site_policy
from oncofed.survival.likelihood import PatientTensors, patient_tensors

_PATIENTS, _HELD_OUT = "patients.safetensors", "held_out.safetensors"


@dataclass(frozen=True)
class RayHospitals:
    """Finds the guard of a simulated node in whichever process it is asked."""

    plan: StudyPlan
    folder: Path

    @staticmethod
    def prepared(
        plan: StudyPlan,
        hospitals: Mapping[str, Cohort],
        *,
        folder: Path,
        held_out: Mapping[str, Cohort] | None = None,
    ) -> RayHospitals:
        """Write each hospital's patients to its folder; a ledger that is there already is kept."""
        for site in plan.roster:
            home = folder / site
            home.mkdir(parents=True, exist_ok=True)
            _write(home / _PATIENTS, hospitals[site])
            if held_out is not None:
                _write(home / _HELD_OUT, held_out[site])
        return RayHospitals(plan, folder)

    @property
    def ledgers(self) -> dict[str, Ledger]:
        return {site: _ledger(self.plan, self.folder, site) for site in self.plan.roster}

    def __call__(self, context: Context) -> Desk:
        return unsigned_desk(_guard(self.plan, self.folder, self.plan.roster[partition_of(context)]))


def _write(path: Path, cohort: Cohort) -> None:
    patients = patient_tensors(cohort)
    parts = {"x": patients.x, "events": patients.events, "at_risk": patients.at_risk}
    save_file({name: part.contiguous() for name, part in parts.items()}, path)


def _ledger(plan: StudyPlan, folder: Path, site: str) -> Ledger:
    return JournalLedger(site_policy(plan, site).budget, folder / site / "ledger.jsonl")


@lru_cache(maxsize=64)
def _patients(path: Path) -> PatientTensors:
    parts: dict[str, torch.Tensor] = load_file(path)
    return PatientTensors.of(parts["x"], parts["events"], parts["at_risk"])


def _guard(plan: StudyPlan, folder: Path, site: str) -> Guard:
    home = folder / site
    # The ledger is read each time: another worker may have charged it since.
    return Guard(
        site=site,
        plan=plan,
        policy=site_policy(plan, site),
        patients=lambda: _patients(home / _PATIENTS),
        ledger=_ledger(plan, folder, site),
        noise=OperatingSystemNoise(),
        masks=simulated_masks(plan, site),
        held_out=(lambda: _patients(home / _HELD_OUT)) if (home / _HELD_OUT).exists() else None,
    )
