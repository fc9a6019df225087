"""What does one patient add to the loss? One number for each patient, from that patient alone.

Piecewise-constant hazard with proportional hazards: with d_k the event in interval k and p_k the fraction of interval k
spent at risk, a patient's negative log likelihood is sum_k p_k exp(b_k + f) - d_k (b_k + f). (Constants that do not
depend on the parameters are left out.) The loss is a sum over patients: this is what makes clipping each patient's
gradient bound that patient's influence, which the Cox partial likelihood does not allow (docs/privacy.md, "How
it is done").

Source: Friedman, Annals of Statistics 10 (1982), equation 2.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from oncofed.cohort.cohort import Cohort
from oncofed.survival.encoded_patients import EncodedPatients, encoded_patients
from oncofed.survival.network import PrognosisNetwork
from oncofed.survival.one_by_one import GridRows, exponential, on_grid, sum_of_each

LARGEST_EXPONENT = 300.0
"""exp(300) is 2e130: its square still fits float64, so the norm of a gradient stays finite."""


@dataclass(frozen=True, eq=False)
class PatientTensors:
    """A hospital's patients as the likelihood needs them, float64.

    x        (patients, columns), finite: a patient with any non-finite input has a zero row here and is not usable.
    events   (patients, endpoints, intervals), d_k.
    at_risk  (patients, endpoints, intervals), p_k.
    usable   (patients,): patients that are not usable add exactly nothing to any sum.

    `of` cuts x to the grid of `one_by_one`, by less than 1e-7 of a row's largest number for up to 8,192 columns.
    """

    x: Tensor
    events: Tensor
    at_risk: Tensor
    usable: Tensor

    @staticmethod
    def of(x: Tensor, events: Tensor, at_risk: Tensor) -> PatientTensors:
        """Set aside, without a word to anybody, each patient with a value that is not finite.

        Or with an input so large that it does not fit the grid (3e150).
        """
        patients = len(x)
        usable = torch.ones(patients, dtype=torch.bool)
        for part in (x, events, at_risk):
            usable &= torch.isfinite(part).flatten(1).all(dim=1)  # also of nobody
        zero = torch.zeros((), dtype=torch.float64)
        fed = on_grid(torch.where(usable[:, None], x, zero))
        usable &= fed.fits
        keep = usable[:, None, None]
        made = PatientTensors(
            x=fed.values,
            events=torch.where(keep, events, zero),
            at_risk=torch.where(keep, at_risk, zero),
            usable=usable,
        )
        _ = made.fed  # now: a guard's first answer would take longer by it, the more patients the longer
        return made

    def __len__(self) -> int:
        return len(self.x)

    @cached_property
    def fed(self) -> GridRows:
        """x as it is multiplied: the same in every round. No copy when x is on the grid already."""
        return on_grid(self.x, keep=True)

    @staticmethod
    def joined(several: Sequence[PatientTensors]) -> PatientTensors:
        """Patients of several tables, one table after the other, each row as it is."""
        parts = [torch.cat([getattr(each, part) for each in several]) for part in ("x", "events", "at_risk", "usable")]
        found = PatientTensors(*parts)
        if all(each.fed.values is each.x for each in several):
            found.__dict__["fed"] = GridRows.joined([each.fed for each in several], found.x)
        return found

    def rows(self, index: Tensor | slice) -> PatientTensors:
        fed = self.fed.rows(index)
        x = fed.values if self.fed.values is self.x else self.x[index]
        found = PatientTensors(x, self.events[index], self.at_risk[index], self.usable[index])
        found.__dict__["fed"] = fed
        return found


def patient_tensors(cohort: Cohort) -> PatientTensors:
    """A cohort, encoded with its schema's public constants, its outcomes on the public grid."""
    return tensors_of(encoded_patients(cohort))


def tensors_of(encoded: EncodedPatients) -> PatientTensors:
    """The same patients for torch."""
    return PatientTensors.of(*(torch.as_tensor(part) for part in (encoded.x, encoded.events, encoded.at_risk)))


def negative_log_likelihood(log_hazard: Tensor, events: Tensor, at_risk: Tensor) -> Tensor:
    """Each patient's loss.

    log_hazard  (patients, endpoints, intervals), b_k + f: the log cumulative hazard over the whole interval.
    returns     (patients,), float64. Summed over endpoints.
    """
    return sum_of_each(at_risk * cumulative_hazard(log_hazard) - events * log_hazard)


def cumulative_hazard(log_hazard: Tensor) -> Tensor:
    """Over each whole interval, of one who is at risk all the time.

    Above LARGEST_EXPONENT the exponential goes on as its tangent, so that loss and gradient stay finite, keep their
    sign, and the gradient does not vanish as it would under a clamp.
    """
    return exponential(log_hazard.clamp(max=LARGEST_EXPONENT)) * (1 + (log_hazard - LARGEST_EXPONENT).clamp(min=0))


def patient_losses(network: PrognosisNetwork, patients: PatientTensors) -> Tensor:
    """(patients,): the loss whose gradient each patient contributes; comparators' parts times their weights."""
    losses = negative_log_likelihood(network.log_hazard(patients.x), patients.events, patients.at_risk)
    for head in network.heads:
        own = negative_log_likelihood(head.log_hazard(patients.x), patients.events, patients.at_risk)
        losses = losses + head.weight * own
    return losses
