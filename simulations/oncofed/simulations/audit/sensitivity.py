"""By how much does one patient move a release, at the most that can be found?

With its noise taken off, the target is asked for everybody and then without one patient: over several sets of weights
and patients far outside of any table. The charge on the ledger says how far one patient may move the release.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from oncofed.privacy.shared_noise import CLIP_ROUNDING, SharedIntegerRelease
from oncofed.simulations.audit.crafted import first_weights
from oncofed.simulations.audit.target import Target
from oncofed.simulations.audit.verdict import Outcome, Power, Verdict, not_applicable
from oncofed.survival.likelihood import PatientTensors
from oncofed.survival.network import network_with

FloatArray = NDArray[np.float64]

SENSITIVITY = "sensitivity"

_OUTLYING = (10.0, 1e4, 1e8)


def sensitivity(target: Target, rng: np.random.Generator, *, patients: int, left_out: int) -> Verdict:
    """Fails when one patient moves a release further than was charged, to a part in 100,000.

    patients  in the hospital. left_out  how many of them are left out, one by one, beside the outliers.
    """
    if len(target.patients) < 2:
        return not_applicable("sensitivity", "the study has not two patients")
    everybody = target.patients.rows(torch.as_tensor(rng.permutation(len(target.patients))[:patients]))
    silent = target.without_noise
    largest, charged = 0.0, target.sensitivity
    for weights in several_weights(target, rng):
        crowd, outliers = crowd_with_outliers(everybody, weights=weights, target=target)
        hospital = silent.hospital(crowd)
        total = hospital.release(weights)
        event = hospital.charges[0].event
        if isinstance(event, SharedIntegerRelease):
            charged = event.integer_sensitivity / event.scale
        for row in [*range(outliers), *rng.integers(outliers, len(crowd), left_out)]:
            others = crowd.rows(torch.arange(len(crowd)) != int(row))
            move = float(np.linalg.norm(total - silent.hospital(others).release(weights)))
            largest = max(largest, move)
    allowed = charged * (1 + CLIP_ROUNDING)
    factor = max(1.0, charged / max(largest, 1e-9))
    failed = not largest <= allowed
    reached = largest > 0.5 * charged
    return Verdict(
        SENSITIVITY,
        Outcome.FAILED if failed else Outcome.PASSED if reached else Outcome.NO_POWER,
        f"one patient moved a release by {largest:.6g} clip norms at most",
        f"not more than the {charged:.6g} that the ledger charges for, to a part in 100,000",
        Power(
            f"a patient who moves a release more than {factor:.3g} times as far as was seen here, at weights and with "
            "patients like those that were tried",
            1.0,
        ),
        {"largest": largest, "charged": charged},
    )


def several_weights(target: Target, rng: np.random.Generator) -> list[FloatArray]:
    """The model's first weights, and two sets that lie ever further from them."""
    start = first_weights(target.plan.model)
    return [start, *(start + rng.normal(scale=scale, size=len(start)) for scale in (0.05, 0.5))]


def crowd_with_outliers(patients: PatientTensors, *, weights: FloatArray, target: Target) -> tuple[PatientTensors, int]:
    """The patients behind a few outliers: patients drawn out, and a long survivor of a very high hazard."""
    network = network_with(target.plan.model, weights)
    with torch.no_grad():
        f = network(patients.x)[:, 0]
    worst = int(torch.argmax(f))
    survivor = patients.rows(slice(worst, worst + 1))
    if float(f[worst]) > 0:  # f grows in proportion to x, for want of biases
        survivor = replace(survivor, x=survivor.x * (10.0 / float(f[worst])))
    survivor = replace(survivor, events=torch.zeros_like(survivor.events), at_risk=torch.ones_like(survivor.at_risk))
    drawn_out = [
        replace(patients.rows(slice(number, number + 1)), x=patients.x[number : number + 1] * factor)
        for number, factor in enumerate(_OUTLYING)
        if number < len(patients)
    ]
    crowd = [survivor, *drawn_out, patients]
    joined = PatientTensors.of(
        *(torch.cat([getattr(group, name) for group in crowd]) for name in ("x", "events", "at_risk"))
    )
    return joined, len(crowd) - 1
