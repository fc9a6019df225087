"""By how much can a patient's outcome pull at the model, if follow-up ends where the model expects enough of it?

A patient's gradient is, in each interval, the predicted hazard less the event (a martingale residual), times the
gradient of the log hazard. A residual has no upper bound: who survives long at a high predicted risk has a large one.
Cutting the whole gradient bounds it and makes the fit wrong, because how much is cut off follows from the outcome.
Here instead the follow-up ends at a public rule: where the cumulative hazard since entry, as the current weights
predict it, reaches `cap`. Events after that do not count, and the last interval's hazard counts up to the cap.

Unbiased. Let N(t) say whether the event was observed by t, and L(t) be the cumulative hazard over the time under
observation, both of the truth. N - L is a martingale, with delayed entry and censoring too. L'(t), that of the current
weights, follows from what is known just before t, so the first time at which it reaches the cap is a stopping time, and
the mean of N - L stopped there is 0 (optional stopping; Andersen, Borgan, Gill, Keiding, Statistical Models Based on
Counting Processes, 1993, II.3). That holds given the covariates, and so it does for any weight that follows from the
covariates and the current weights alone. So at the truth the expected sum of weighted, stopped residuals is 0. It is
not for a gradient that is cut.

Bounded. Stopped, one endpoint has hazards l_k >= 0 with sum at most c, and at most one event. With R the sum over
intervals of the residuals r_k, the squared length of that endpoint's part is w^2 sum_k r_k^2 + R^2 g^2, where w is the
public weight of the baseline and g^2 belongs to the log hazard ratio. It is convex in l, so it is largest at a corner:

| corner                                                | sum_k r_k^2 | R^2       |
|-------------------------------------------------------|-------------|-----------|
| no event, the whole cap in one interval               | c^2         | c^2       |
| the event before any hazard                           | 1           | 1         |
| the event, and the cap before it in another interval  | 1 + c^2     | (1 - c)^2 |

(The cap in the event's own interval has (1 - c)^2 twice, which is below one of the first two.) Of several endpoints the
parts of the log hazard ratios are sum_e R_e v_e, whose squared length is at most sum_e R_e^2 g_e^2 with
g_e^2 = sum_f |v_e . v_f|, by 2 |R_e R_f| <= R_e^2 + R_f^2. So the sum over endpoints of each one's largest corner
bounds the whole; for one endpoint, and for gradients at right angles, nothing is given away.

Time shapes (`survival.network`) add v^2 |sum_k r_k phi_k|^2, with v their public weight and phi_k the vector of public
functions in interval k. It is convex in l, too, so at the corners it is at most v^2 times c^2 |phi_j|^2, |phi_i|^2, and
|c phi_j - phi_i|^2, where the event is in interval i and the cap was reached in j before. The largest of these over
all intervals are public numbers (`ShapeBounds`); one endpoint's shapes are of no other's, so its corners stay its own.

All of it is computed entry by entry and in a fixed order, as `one_by_one` asks for.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from oncofed.survival.likelihood import cumulative_hazard


def stopped_residuals(log_hazard: Tensor, events: Tensor, at_risk: Tensor, *, cap: float) -> Tensor:
    """(patients, endpoints, intervals): predicted hazard less event, up to where the hazard since entry reaches `cap`.

    As in `negative_log_likelihood`, of whose gradient at `log_hazard` these are what is left. An event is at the end of
    a patient's follow-up, so it counts where the hazard of all of it is within the cap.
    """
    predicted = at_risk * cumulative_hazard(log_hazard)
    left = torch.full_like(predicted[:, :, 0], cap)
    since_entry = torch.zeros_like(left)
    counted = []
    for interval in range(predicted.shape[2]):
        hazard = predicted[:, :, interval]
        counted.append(torch.minimum(hazard, left))
        since_entry = since_entry + hazard
        left = (cap - since_entry).clamp(min=0.0)
    return torch.stack(counted, dim=2) - events * (since_entry <= cap)[:, :, None]


@dataclass(frozen=True)
class ShapeBounds:
    """The most that v^2 |sum_k r_k phi_k|^2 is: with a residual of 1 in one interval; with the event after the cap."""

    of_one: float = 0.0
    of_late: float = 0.0

    @staticmethod
    def of(functions: Tensor, *, weight: float, cap: float) -> ShapeBounds:
        """functions: (functions, intervals), phi."""
        of_one = functions.square().sum(dim=0).max()
        late = (functions[:, :, None] - cap * functions[:, None, :]).square().sum(dim=0)  # (event, cap)
        of_late = late.tril(-1).max()  # the event ends the follow-up, so the cap came before
        return ShapeBounds(weight**2 * float(of_one), weight**2 * float(of_late))


def squared_bound(
    squared_gradient: Tensor, *, cap: float, baseline_weight: float, shapes: ShapeBounds = ShapeBounds()
) -> Tensor:
    """(patients,): the most that the squared length of a stopped gradient can be, whatever the outcome.

    squared_gradient  (patients, endpoints), g_e^2 of the module. shapes: of nothing where the model has none.
    """
    of_baseline = baseline_weight * baseline_weight  # `**` raises where this is infinite
    of_one = of_baseline + shapes.of_one
    survives = cap**2 * (of_one + squared_gradient)
    dies_at_once = of_one + squared_gradient
    dies_late = (1 + cap**2) * of_baseline + shapes.of_late + (1 - cap) ** 2 * squared_gradient
    largest = torch.maximum(torch.maximum(survives, dies_at_once), dies_late)
    total = torch.zeros_like(largest[:, 0])
    for endpoint in range(largest.shape[1]):
        total = total + largest[:, endpoint]
    return total
