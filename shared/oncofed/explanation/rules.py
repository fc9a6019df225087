"""How does the output of ReLU units divide among their inputs? Closed forms for the network of a study.

f(x) = w.x + sum over units h of v_h * relu(a_h), a_h = sum over columns j of c_hj, c_hj = W_hj * x_j: no biases.
The linear branch needs no rule. A rule says what each c_hj is given of relu(a_h); all of them conserve: the parts of a
unit add up to relu(a_h), for every patient and exactly.

EPSILON   c_hj while the unit is active, else nothing. It equals gradient times input, and, since f is homogeneous along
          the ray from the reference patient, integrated gradients. It explains a unit as if all its other inputs were
          there already: a unit that is switched off by its strongest input tells nothing of the others, and relevance
          jumps where a unit switches. For more layers of units it is gradient times input, too.
AVERAGED  the Shapley value of c_hj in the game "which inputs are known, and which stand at the reference": the mean
          over all orders in which inputs become known. When each is known with probability t, the sum of those known
          is close to normal, with mean t * a and variance t * (1 - t) * Q, Q = sum of c_hj**2. Integrating over t,
              kappa = sqrt(pi / 2) * erfcx(|s| / sqrt(2)) / sqrt(Q),   s = a / sqrt(Q),
              part of c = c * (1 + a * kappa) / 2 + c**2 * (|a| - a**2 * kappa) / (2 * Q),
          and the Shapley interaction of two inputs of the unit is kappa * c * c'. The parts add up to relu(a) whatever
          kappa is; the normal approximation enters only how they are divided. For |s| large it is EPSILON. Of one layer
          of units; deeper networks have EPSILON.

All but the products of matrices is done entry by entry, by operations with one result. With `PLAIN` products, which are
for what stays in the hospital, the last bits of a patient's numbers depend on who else is there; with `EXACT` ones they
do not (`survival.one_by_one`), which a release needs.

Sources: Bach et al., PLoS ONE 10 (2015), e0130140 (conservation, the epsilon rule); Shapley (1953); Grabisch, Roubens,
Int. J. Game Theory 28 (1999) (interaction); Ancona, Oeztireli, Gross, ICML 2019 (a layer's Shapley values by a normal
approximation; theirs samples the sizes of subsets, here the integral has a closed form because units have no bias).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import torch
from scipy.special import erfcx
from torch import Tensor, nn

from oncofed.survival.network import PrognosisNetwork
from oncofed.survival.one_by_one import exact_inner_products, exact_product, on_grid, root


class Rule(StrEnum):
    EPSILON = "epsilon"
    AVERAGED = "averaged"


@dataclass(frozen=True)
class Products:
    """How matrices are multiplied.

    linear  (patients, inputs), (outputs, inputs) and something to add it to, which may be overwritten: (patients,
            outputs) or None -> (patients, outputs), summed over the inputs.
    inner   (patients, terms, some) and (patients, terms, others) -> (patients, some, others): summed over the terms.
    """

    linear: Callable[[Tensor, Tensor, Tensor | None], Tensor]
    inner: Callable[[Tensor, Tensor], Tensor]


def _plain_linear(rows: Tensor, weight: Tensor, onto: Tensor | None) -> Tensor:
    return rows @ weight.T if onto is None else onto.addmm_(rows, weight.T)


def _exact_linear(rows: Tensor, weight: Tensor, onto: Tensor | None) -> Tensor:
    product = exact_product(on_grid(rows), weight)
    return product if onto is None else onto.add_(product)


PLAIN = Products(_plain_linear, lambda some, others: torch.bmm(some.mT, others))
EXACT = Products(_exact_linear, exact_inner_products)


def hidden_layer_of(network: PrognosisNetwork) -> tuple[Tensor, Tensor] | None:
    """(units, columns) and (endpoints, units): weights of a ReLU branch of one hidden layer; None for any other."""
    branch = network.relu_branch
    if branch is None or len(branch) != 3:
        return None
    first, last = branch[0], branch[2]
    assert isinstance(first, nn.Linear)
    assert isinstance(last, nn.Linear)
    return first.weight.detach(), last.weight.detach()


def relevance_of_columns(
    network: PrognosisNetwork, x: Tensor, *, endpoint: int, rule: Rule, products: Products = PLAIN
) -> Tensor:
    """Each input's part of the log hazard ratio.

    x        (patients, columns), float64.
    rule     for networks of at most one hidden layer; deeper ones have EPSILON.
    returns  (patients, columns); each row sums to f(x) of `endpoint`, to the rounding of the products.
    """
    linear = network.linear_branch
    weight = None if linear is None else linear.weight[endpoint].detach()
    branch = network.relu_branch
    if branch is None:
        return torch.zeros_like(x) if weight is None else x * weight
    layer = hidden_layer_of(network)
    if layer is None or rule is Rule.EPSILON:
        found = _gradient(branch, x, endpoint=endpoint, products=products)
    else:
        units, output = layer[0], layer[1][endpoint]
        sums, squares = unit_sums(units, x, products=products)
        kappa = curvature(sums, squares)
        linear_share = output * (1 + sums * kappa) / 2
        square_share = output * torch.where(squares > 0, (sums.abs() - sums.square() * kappa) / (2 * squares), 0.0)
        found = products.linear(square_share, units.square().T, None).mul_(x)
        found = products.linear(linear_share, units.T, found)
    if weight is not None:
        found.add_(weight)
    return found.mul_(x)


def _gradient(branch: nn.Sequential, x: Tensor, *, endpoint: int, products: Products) -> Tensor:
    """(patients, columns): of one output at the inputs, where a unit at its kink is switched off."""
    *hidden, last = [layer.weight.detach() for layer in branch if isinstance(layer, nn.Linear)]
    fed, active = x, []
    for weight in hidden:
        sums = products.linear(fed, weight, None)
        active.append(sums > 0)
        fed = sums.clamp_(min=0.0)
    slope = last[endpoint]
    for weight, on in zip(reversed(hidden), reversed(active), strict=True):
        slope = products.linear(torch.where(on, slope, 0.0), weight.T, None)
    return slope


def unit_sums(units: Tensor, x: Tensor, *, products: Products = PLAIN) -> tuple[Tensor, Tensor]:
    """a and Q of the module's docstring, each (patients, units)."""
    return products.linear(x, units, None), products.linear(x.square(), units.square(), None)


def curvature(sums: Tensor, squares: Tensor) -> Tensor:
    """kappa of the module's docstring, (patients, units); 0 for a unit none of whose inputs is set."""
    spread = root(squares)
    scaled = torch.where(spread > 0, sums.abs() / (spread * math.sqrt(2)), 0.0)
    # scipy calls one scalar function number by number. Torch was not seen to do otherwise, but is free to.
    scaled_complement = torch.as_tensor(erfcx(scaled.numpy()))
    return torch.where(spread > 0, math.sqrt(math.pi / 2) * scaled_complement / spread, 0.0)
