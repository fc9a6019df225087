"""``python -m tests.end_to_end.odd_guard NODE WHAT``: the guard's process with one thing wrong inside. WHAT is

fails_once     reading the approved patients fails once, with a text that quotes a patient and both counts.
leaks          instead of the noised sum leave a record number and both counts, past the guard's own look at its form.
tells_of_one   a summary is not the sum of votes but the first patient's relevances. Mode `none` adds no noise to it.
adds_no_share  masks its sum without a share of the noise, so that what opens can be compared.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tests.doubles import SilentNoise

from oncofed.client.guard import guard, node_guard, process
from oncofed.client.guard.policy_file import read_policy
from oncofed.client.install.folder import NodeFolder
from oncofed.client.patients import approved_patients
from oncofed.client.records.frozen_patients import read_frozen
from oncofed.explanation.relevance import column_relevance
from oncofed.privacy.bounded_sum import BoundedSum
from oncofed.protocol.messages import ContributeRequest
from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.summary_spec import SummarySpec
from oncofed.survival.encoded_patients import EncodedPatients
from oncofed.survival.likelihood import PatientTensors
from oncofed.survival.network import network_with

BYTES_A_NUMBER = 8


def secrets_of(folder: NodeFolder) -> tuple[str, int, int]:
    """A record number, and how many patients and deaths."""
    source = read_policy(folder.policy).sources[0].source
    assert source.path is not None
    patients = pd.read_csv(source.path)
    return str(patients["record_number"].iloc[-1]), len(patients), int(patients["death_observed"].sum())


def fail_once(folder: NodeFolder) -> None:
    record, patients, deaths = secrets_of(folder)
    readings = itertools.count()

    def read(path: Path, *, sha256: str) -> tuple[EncodedPatients, EncodedPatients]:
        if next(readings) == 0:
            raise RuntimeError(f"row of {record}: {patients} patients and {deaths} deaths do not fit in memory")
        return read_frozen(path, sha256=sha256)

    setattr(approved_patients, "read_frozen", read)  # noqa: B010 - mypy is right that it is not ours to set


def leak(folder: NodeFolder) -> None:
    record, patients, deaths = secrets_of(folder)
    text = np.frombuffer(record.ljust(-(-len(record) // BYTES_A_NUMBER) * BYTES_A_NUMBER).encode())

    def leaking(_: guard.Guard, request: ContributeRequest, *__: object) -> NDArray[np.float64]:
        vector = request.weights.copy()
        vector[: text.size + 2] = [*text, patients, deaths]
        return vector

    assert hasattr(guard.Guard, "_whatever_fails"), "what is put in place is what is called"
    setattr(guard.Guard, "_whatever_fails", leaking)  # noqa: B010 - as above


def tell_of_one(folder: NodeFolder) -> None:
    def of_one(
        plan: StudyPlan, spec: SummarySpec, weights: NDArray[np.float64], patients: PatientTensors
    ) -> BoundedSum:
        found = column_relevance(network_with(plan.model, weights), patients.x[:1], endpoint=0)[0]
        return BoundedSum(np.resize(found, spec.cells), 1.0)

    setattr(guard, "bounded_sum", lambda *given, **_: of_one(*given))  # noqa: B010 - as above


def add_no_share(_: NodeFolder) -> None:
    setattr(node_guard, "OperatingSystemNoise", SilentNoise)  # noqa: B010 - as above


if __name__ == "__main__":
    odd = {"fails_once": fail_once, "leaks": leak, "tells_of_one": tell_of_one, "adds_no_share": add_no_share}
    odd[sys.argv.pop()](NodeFolder(Path(sys.argv[1])))
    sys.exit(process.main(sys.argv))
