"""Does the closed form give what Opacus gives, which forms every patient's gradient (hooks) or its norm (ghost)?

privacy.md, test 2. Opacus' hooks are the slow twin: they build a patient's whole gradient, by Opacus' own rule for
linear layers and by functorch for the baseline, and the test clips and sums it. A loss that would silently escape
clipping there raises here.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from opacus import GradSampleModule
from opacus.grad_sample import GradSampleModuleFastGradientClipping
from opacus.optimizers import DPOptimizerFastGradientClipping
from opacus.utils.fast_gradient_clipping_utils import DPLossFastGradientClipping
from tests.doubles import drawn_patients, drawn_weights, model_spec
from torch import Tensor, nn

from oncofed.errors import PrivacyRefusal
from oncofed.privacy.mechanism import clipped_gradient_sum
from oncofed.protocol.plan import ModelSpec
from oncofed.survival.likelihood import PatientTensors, negative_log_likelihood, patient_losses
from oncofed.survival.network import PrognosisNetwork, network_with
from oncofed.survival.time_shapes import TimeShapes

FloatArray = NDArray[np.float64]

# Opacus hooks into modules whose inputs are data and need no gradient; the gradients we read are those of outputs.
pytestmark = pytest.mark.filterwarnings("ignore:Full backward hook is firing:UserWarning")

SPECS = {
    "linear": model_spec(hidden_units=()),
    "relu": model_spec(hidden_units=(5,), linear_branch=False),
    "both": model_spec(hidden_units=(5,), baseline_weight=0.3),
    "deep, three endpoints": model_spec(hidden_units=(6, 4), endpoints=3, baseline_weight=2.0),
    "time shapes": model_spec(hidden_units=(5,), endpoints=2, time_shapes=TimeShapes(2, 7.0, 0.4, (0, 2))),
    "baseline alone": model_spec(hidden_units=(), linear_branch=False),
}


class HazardModel(nn.Module):
    """Opacus hooks into `forward`; ours is two steps."""

    def __init__(self, network: PrognosisNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network.log_hazard(x)


def case(spec: ModelSpec) -> tuple[PrognosisNetwork, PatientTensors]:
    network = network_with(spec, drawn_weights(spec, seed=7))
    return network, drawn_patients(spec, 64, seed=7, scale=2.0)


def gradients_by_hooks(spec: ModelSpec, *, mean_loss: bool = False, force_functorch: bool = False) -> FloatArray:
    """(patients, parameters); of each, or, by mistake, of each over the number of patients."""
    network, patients = case(spec)
    model = GradSampleModule(HazardModel(network), loss_reduction="sum", force_functorch=force_functorch)
    losses = negative_log_likelihood(model(patients.x), patients.events, patients.at_risk)
    torch.autograd.backward(losses.mean() if mean_loss else losses.sum())
    each = [parameter.grad_sample.reshape(len(patients), -1) for parameter in model.parameters()]
    return np.asarray(torch.cat(each, dim=1).detach().numpy(), dtype=np.float64)


@pytest.mark.parametrize("clipped_share", [0.0, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())
@pytest.mark.parametrize("force_functorch", [False, True], ids=["hooks", "functorch"])
def test_equals_per_patient_hooks(spec: ModelSpec, clipped_share: float, force_functorch: bool) -> None:
    network, patients = case(spec)
    each = gradients_by_hooks(spec, force_functorch=force_functorch)
    norms = np.linalg.norm(each, axis=1)
    bound = float(np.quantile(norms, 1 - clipped_share)) * {0.0: 2.0, 1.0: 0.5}.get(clipped_share, 1.0)
    factor = np.minimum(1.0, bound / norms)
    assert (factor < 1).mean() == pytest.approx(clipped_share, abs=0.05)
    ours = clipped_gradient_sum(network, patients, l2_norm_bound=bound).vector
    # `one_by_one` cuts weights at 2^-29 of their row's largest, so that products are exact.
    np.testing.assert_allclose(ours, factor @ each, rtol=0, atol=1e-8 * np.abs(each).sum())


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())
def test_equals_ghost_clipping_when_it_is_wrapped_right(spec: ModelSpec) -> None:
    bound = 0.5
    network, _ = case(spec)
    model = GradSampleModuleFastGradientClipping(
        HazardModel(network), loss_reduction="sum", max_grad_norm=bound, use_ghost_clipping=True
    )
    optimizer = DPOptimizerFastGradientClipping(
        torch.optim.SGD(model.parameters(), lr=1.0),
        noise_multiplier=0.0,
        max_grad_norm=bound,
        expected_batch_size=None,
        loss_reduction="sum",
    )

    class Criterion:
        reduction = "sum"

        def __call__(self, log_hazard: Tensor, patients: PatientTensors) -> Tensor:
            return negative_log_likelihood(log_hazard, patients.events, patients.at_risk)

    criterion = DPLossFastGradientClipping(model, optimizer, Criterion(), loss_reduction="sum")
    network, patients = case(spec)
    criterion(model(patients.x), patients).backward()
    ghost = torch.cat([parameter.grad.reshape(-1) for parameter in model.parameters()]).numpy()
    ours = clipped_gradient_sum(network, patients, l2_norm_bound=bound).vector
    assert np.linalg.norm(ours) > 1
    # Opacus adds 1e-6 to each norm before it divides by it, which is 2e-6 of a patient's part at this bound.
    np.testing.assert_allclose(ours, ghost, rtol=0, atol=float(1e-5 * np.linalg.norm(ghost)))


def test_the_comparison_notices_norms_that_are_a_batch_too_small() -> None:
    """The measured trap of `loss_reduction="sum"` with a mean loss: norms underestimated 64-fold."""
    network, patients = case(SPECS["both"])
    each = gradients_by_hooks(SPECS["both"], mean_loss=True)
    factor = np.minimum(1.0, 1.0 / np.linalg.norm(each, axis=1))
    ours = clipped_gradient_sum(network, patients, l2_norm_bound=1.0).vector
    wrong = 64 * factor @ each
    assert np.linalg.norm(ours - wrong) > 0.5 * np.linalg.norm(ours)


def _summed(losses: Tensor) -> Tensor:
    return losses.sum()


def _one_column(losses: Tensor) -> Tensor:
    return losses[:, None]


def _one_row(losses: Tensor) -> Tensor:
    return losses[None, :]


def _mean_of_one(losses: Tensor) -> Tensor:
    return losses.mean().reshape(1)


@pytest.mark.parametrize("reshaped", [_summed, _one_column, _one_row, _mean_of_one])
def test_a_loss_of_another_shape_raises(reshaped: Callable[[Tensor], Tensor]) -> None:
    network, patients = case(SPECS["both"])

    def losses(network: PrognosisNetwork, patients: PatientTensors) -> Tensor:
        return reshaped(patient_losses(network, patients))

    with pytest.raises(PrivacyRefusal, match="one number for each patient"):
        clipped_gradient_sum(network, patients, l2_norm_bound=1.0, losses=losses)


@pytest.mark.parametrize("reshaped", [_summed, _one_column])
def test_a_loss_of_another_shape_raises_for_a_single_patient_too(reshaped: Callable[[Tensor], Tensor]) -> None:
    network, patients = case(SPECS["both"])

    def losses(network: PrognosisNetwork, patients: PatientTensors) -> Tensor:
        return reshaped(patient_losses(network, patients))

    with pytest.raises(PrivacyRefusal, match="one number for each patient"):
        clipped_gradient_sum(network, patients.rows(slice(0, 1)), l2_norm_bound=1.0, losses=losses)
