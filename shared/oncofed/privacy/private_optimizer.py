"""How does a hospital take a local step of mode `epochs` with a noised sum? Through Opacus' optimiser.

A module of its own, so that a guard whose plans have no local steps does not load Opacus and what it brings.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from opacus.optimizers import DPOptimizerFastGradientClipping
from torch import Tensor
from torch.optim import Optimizer

from oncofed.errors import PrivacyRefusal
from oncofed.privacy.bounded_sum import BoundedSum


class PrivateOptimizer(DPOptimizerFastGradientClipping):  # type: ignore[misc]  # Opacus ships no types
    """Opacus' optimiser for gradients that are already clipped and summed, with noise from elsewhere.

    Opacus would draw from a `torch.Generator`, whose seed is 64 bits and whose float32 tails end at 5.77 standard
    deviations, and add floats to the sum; its `secure_mode` needs a package that cannot be installed.

    noised               a sum -> the sum with its noise, in the sum's own unit (`releases`).
    expected_batch_size  a public constant.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        *,
        l2_norm_bound: float,
        expected_batch_size: float,
        noised: Callable[[BoundedSum], NDArray[np.float64]],
    ) -> None:
        super().__init__(
            optimizer,
            noise_multiplier=0.0,  # of Opacus' own noise
            max_grad_norm=l2_norm_bound,
            expected_batch_size=expected_batch_size,
            loss_reduction="mean",
        )
        self._noised = noised

    def accumulate(self) -> None:
        """Opacus would copy each gradient; those of `take_gradients` are nobody else's."""
        for parameter in self.params:
            parameter.summed_grad = parameter.grad

    def add_noise(self) -> None:
        """Sets each parameter's `.grad` to the noised sum."""
        summed = torch.cat([parameter.summed_grad.reshape(-1) for parameter in self.params])
        noised = self._noised(BoundedSum(np.asarray(summed.numpy(), dtype=np.float64), self.max_grad_norm))
        for parameter, part in zip(self.params, self._split(noised), strict=True):
            parameter.grad = part.view_as(parameter)

    def take_gradients(self, clipped: BoundedSum) -> None:
        """Each parameter's `.grad` is that of one noised sum, over the batch size. Raises PrivacyRefusal."""
        if clipped.l2_norm_bound != self.max_grad_norm:
            raise PrivacyRefusal("the sum was clipped to another bound than the noise is scaled to")
        self.zero_grad(set_to_none=True)
        for parameter, part in zip(self.params, self._split(clipped.vector), strict=True):
            parameter.grad = part.view_as(parameter)
        if not self.pre_step():
            raise PrivacyRefusal("Opacus was told to skip this step, so no noise was added")

    def _split(self, vector: NDArray[np.float64]) -> tuple[Tensor, ...]:
        return torch.split(torch.tensor(vector), [parameter.numel() for parameter in self.params])
