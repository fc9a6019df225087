"""What do scores that are in use say of this patient: stage, performance status, age, as the study trained them?

A study may train such models in the same rounds as its own (`survival.comparators`), and the delivered weights hold
them. They are shown as released, and so is the study's own model beside them: nobody adjusts a score to a hospital.
Who lacks a marker that a score looks at has no figure of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from oncofed.client.guard.one_thread import one_thread
from oncofed.client.pages.hospital import HospitalPrognosis
from oncofed.survival.curves import cumulative_incidence
from oncofed.words.language import ENGLISH, Language
from oncofed.words.markers import source_label
from oncofed.words.names import capital, plain_name

FloatArray = NDArray[np.float64]

_LARGEST = 50.0
"""Of a log hazard: nobody lives through an interval with that many events."""


@dataclass(frozen=True, eq=False)
class Beside:
    """name, sees: in words. had: (times,), the share who have had the event by then; None where a marker is missing."""

    name: str
    sees: str
    had: FloatArray | None


def beside(
    hospital: HospitalPrognosis, row: int, *, endpoint: int, times: Sequence[float], say: Language = ENGLISH
) -> tuple[Beside, ...]:
    """The study's own model first; empty where nothing was trained beside it. times: in the grid's unit, rising."""
    network, encoded = hospital.network, hospital.columns
    if not network.heads:
        return ()
    causes = [endpoint, *hospital.schema.competing(endpoint)]
    x = torch.as_tensor(hospital.encoded(row))

    def had(log_hazard: torch.Tensor) -> FloatArray:
        hazards = np.exp(np.minimum(log_hazard.numpy()[0, causes], _LARGEST))
        return np.asarray(cumulative_incidence(hazards, grid=hospital.grid, times=np.asarray(times))[0])

    with one_thread(), torch.no_grad():
        markers, values = len(hospital.schema.markers), hospital.cohort.values[row]
        # Not every marker has a flag of its own that would say so: a kind of data may have one for all, or none.
        unknown = {
            marker.name for marker, value in zip(hospital.schema.markers, values, strict=True) if np.isnan(value)
        }
        sees = say("%(markers)s markers", markers=markers)
        found = [Beside(say("This model, as released"), sees, had(network.log_hazard(x)))]
        for head, spec in zip(network.heads, network.spec.comparators, strict=True):
            sources = dict.fromkeys(encoded[column].source for column in spec.columns)
            sees = ", ".join(source_label(hospital.schema, each, say=say) for each in sources)
            missing = any(source in unknown for source in sources)
            found.append(Beside(capital(plain_name(spec.name)), sees, None if missing else had(head.log_hazard(x))))
    return tuple(found)
