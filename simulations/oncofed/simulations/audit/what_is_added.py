"""Is what one patient adds bounded, finite and the patient's alone, whoever the patient is and whoever else is there?

With its noise taken off, the target is asked for one odd patient alone (far out, not finite, too large for a float's
square), and for the same patient in a crowd and the crowd without. Alone and in the crowd the patient must add the
same, to the rounding of two sums, and no more than is charged for; a patient whose numbers are no numbers adds nothing,
and leaves the others as they were.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from oncofed.privacy.shared_noise import CLIP_ROUNDING
from oncofed.simulations.audit.sensitivity import several_weights
from oncofed.simulations.audit.target import Target, nobody, sum_event_of
from oncofed.simulations.audit.verdict import Outcome, Power, Verdict, not_applicable
from oncofed.survival.likelihood import PatientTensors

FloatArray = NDArray[np.float64]

WHAT_IS_ADDED = "what is added"

ODD = (float("nan"), float("inf"), 1e300, 1e150, 1e30, 1e8, 1e-300)
"""What every input of an odd patient is times; or is, where it is no finite number."""


def what_is_added(target: Target, rng: np.random.Generator, *, patients: int) -> Verdict:
    """Fails when an odd patient adds more than is charged for, another thing alone than in a crowd, or no numbers."""
    if len(target.patients) < 2:
        return not_applicable(WHAT_IS_ADDED, "the study has not two patients")
    rows = torch.as_tensor(rng.permutation(len(target.patients))[: patients + 1])
    crowd, model = target.patients.rows(rows[1:]), target.patients.rows(rows[:1])
    silent, event = target.without_noise, sum_event_of(target.release)
    step, largest, differs, of_no_number, tried = 1 / event.scale, 0.0, 0.0, 0.0, 0
    for weights in several_weights(target, rng):
        of_crowd, empty = (silent.hospital(held).release(weights) for held in (crowd, nobody(target)))
        for factor in ODD:
            odd = _odd(model, factor)
            alone = silent.hospital(odd).release(weights) - empty
            together = silent.hospital(_joined(crowd, odd)).release(weights) - of_crowd
            largest = max(largest, float(np.linalg.norm(alone)), float(np.linalg.norm(together)))
            differs = max(differs, float(np.abs(together - alone).max()))
            if not torch.isfinite(odd.x).all():
                of_no_number = max(of_no_number, float(np.abs(alone).max()))
            tried += 1
    allowed, apart = target.sensitivity * (1 + CLIP_ROUNDING), 2 * step + patients**2 * 2.0**-50
    faults = [
        *([] if largest <= allowed else [f"one adds {largest:.3g} clip norms"]),
        *([] if of_no_number == 0 else [f"one whose numbers are no numbers adds {of_no_number:.3g}"]),
        *([] if differs <= apart else [f"what one adds alone and in a crowd differs by {differs:.3g}"]),
    ]
    sound = f"they add {largest:.6g} clip norms at most, alone as in a crowd"
    return Verdict(
        WHAT_IS_ADDED,
        Outcome.FAILED if faults else Outcome.PASSED,
        f"{tried} odd patients: " + ("; ".join(faults) or sound),
        f"at most {allowed:.6g} clip norms, nothing where there are no numbers, and the same to {apart:.3g} alone and "
        f"among {patients}",
        Power("a patient of these kinds who adds more, adds what is no number, or adds what others decide", 1.0),
        {"largest": largest, "differs": differs, "tried": tried},
    )


def _odd(patient: PatientTensors, factor: float) -> PatientTensors:
    """As it might be, had nobody looked at it before: the guard's own bound is under test, not the way there."""
    x = patient.x * factor if np.isfinite(factor) else torch.full_like(patient.x, factor)
    return PatientTensors(x, patient.events, patient.at_risk, torch.isfinite(x).all(dim=1))


def _joined(one: PatientTensors, other: PatientTensors) -> PatientTensors:
    return PatientTensors(
        *(torch.cat([getattr(each, field) for each in (one, other)]) for field in ("x", "events", "at_risk", "usable"))
    )
