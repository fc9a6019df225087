"""Which numbers does a hospital send in a calibration round, and in which order?

In the last `calibration_rounds` of a plan a hospital sends, in place of a gradient, five sums over its patients for
each endpoint, first of all numbers of the release; the others are zeros under their noise. Those of the plan's
comparators, times their weights, come after the network's. With f a patient's log
hazard ratio, R the residual and L the predicted hazard, both stopped (`survival.stopped_residuals`), and w the weight:

    sum w R, sum w R f, and INFORMATION times: sum w L, sum w L f, sum w L f^2

The first two are the slope of the likelihood along a common change of the level (log hazard + a) and of the spread
(f becomes (1 + s) f); the others are its curvature. Imports no torch.
"""

from __future__ import annotations

from oncofed.protocol.plan import ModelSpec

SUMS = 5
"""Of an endpoint."""

INFORMATION = 0.5
"""The curvature is needed less exactly than the slope, so it takes less of a patient's length."""


def calibration_numbers(model: ModelSpec) -> int:
    """How many of the release's numbers mean something."""
    return SUMS * len(model.endpoints) * (1 + len(model.comparators))


def has_room_for_calibration(model: ModelSpec) -> bool:
    """Whether a release as long as the model holds them."""
    return calibration_numbers(model) <= model.parameters
