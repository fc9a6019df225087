"""How does the output of one layer of ReLU units divide among its inputs? Closed forms for the network of a study.

f(x) = w.x + sum over units h of v_h * relu(a_h), a_h = sum over columns j of c_hj, c_hj = W_hj * x_j: no biases.
The linear branch needs no rule. A rule says what each c_hj is given of relu(a_h); all of them conserve: the parts of a
unit add up to relu(a_h), for every patient and exactly.

EPSILON   c_hj while the unit is active, else nothing. It equals gradient times input, and, since f is homogeneous along
          the ray from the reference patient, integrated gradients. It explains a unit as if all its other inputs were
          there already: a unit that is switched off by its strongest input tells nothing of the others, and relevance
          jumps where a unit switches.
AVERAGED  the Shapley value of c_hj in the game "which inputs are known, and which stand at the reference": the mean
          over all orders in which inputs become known. When each is known with probability t, the sum of those known
          is close to normal, with mean t * a and variance t * (1 - t) * Q, Q = sum of c_hj**2. Integrating over t,
              kappa = sqrt(pi / 2) * erfcx(|s| / sqrt(2)) / sqrt(Q),   s = a / sqrt(Q),
              part of c = c * (1 + a * kappa) / 2 + c**2 * (|a| - a**2 * kappa) / (2 * Q),
          and the Shapley interaction of two inputs of the unit is kappa * c * c'. The parts add up to relu(a) whatever
          kappa is; the normal approximation enters only how they are divided. For |s| large it is EPSILON.

Sources: Bach et al., PLoS ONE 10 (2015), e0130140 (conservation, the epsilon rule); Shapley (1953); Grabisch, Roubens,
Int. J. Game Theory 28 (1999) (interaction); Ancona, Oeztireli, Gross, ICML 2019 (a layer's Shapley values by a normal
approximation; theirs samples the sizes of subsets, here the integral has a closed form because units have no bias).
"""

from __future__ import annotations

import math
from enum import StrEnum

import torch
from torch import Tensor, nn

from oncofed.survival.network import PrognosisNetwork


class Rule(StrEnum):
    EPSILON = "epsilon"
    AVERAGED = "averaged"


def hidden_layer_of(network: PrognosisNetwork) -> tuple[Tensor, Tensor] | None:
    """(units, columns) and (endpoints, units): weights of a ReLU branch of one hidden layer; None for any other."""
    branch = network.relu_branch
    if branch is None or len(branch) != 3:
        return None
    first, last = branch[0], branch[2]
    assert isinstance(first, nn.Linear)
    assert isinstance(last, nn.Linear)
    return first.weight.detach(), last.weight.detach()


def relevance_of_columns(network: PrognosisNetwork, x: Tensor, *, endpoint: int, rule: Rule) -> Tensor:
    """Each input's part of the log hazard ratio, for a network of at most one hidden layer.

    x        (patients, columns), float64.
    returns  (patients, columns); each row sums to f(x) of `endpoint`, to rounding.
    """
    linear = network.linear_branch
    weight = None if linear is None else linear.weight[endpoint].detach()
    layer = hidden_layer_of(network)
    if layer is None:
        assert network.relu_branch is None, "a deeper network has no closed form here"
        return torch.zeros_like(x) if weight is None else x * weight
    units, outputs = layer
    output = outputs[endpoint]
    if rule is Rule.EPSILON:
        slope = torch.where(x @ units.T > 0, output, 0.0)
        found = slope @ units if weight is None else torch.addmm(weight, slope, units)
        return found.mul_(x)
    sums, squares = unit_sums(units, x)
    kappa = curvature(sums, squares)
    linear_share = output * (1 + sums * kappa) / 2
    square_share = output * torch.where(squares > 0, (sums.abs() - sums.square() * kappa) / (2 * squares), 0.0)
    found = (square_share @ units.square()).mul_(x)
    found.addmm_(linear_share, units)
    if weight is not None:
        found.add_(weight)
    return found.mul_(x)


def unit_sums(units: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """a and Q of the module's docstring, each (patients, units)."""
    return x @ units.T, x.square() @ units.square().T


def curvature(sums: Tensor, squares: Tensor) -> Tensor:
    """kappa of the module's docstring, (patients, units); 0 for a unit none of whose inputs is set."""
    spread = squares.sqrt()
    scaled = torch.where(spread > 0, sums.abs() / (spread * math.sqrt(2)), 0.0)
    kappa: Tensor = torch.where(spread > 0, math.sqrt(math.pi / 2) * torch.special.erfcx(scaled) / spread, 0.0)
    return kappa
