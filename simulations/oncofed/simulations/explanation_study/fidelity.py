"""Do the markers that an explanation puts first matter most to the network?

Deletion: a patient's markers are put to the reference one after the other, and the log hazard ratio is read after each;
first those that raise it most by the explanation (it should fall fast), then, from the start again, those that lower it
most (it should rise fast). Insertion: the same from the reference patient, by making markers known. An area is half the
distance between the two curves, averaged over the first `MARKERS` steps: in log hazard ratios, larger is more faithful.
(Over all steps the two areas are one, because removing one half is keeping the other.) Methods are compared patient by
patient, with a bootstrap interval of the mean difference.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from captum.attr import LRP, IntegratedGradients
from captum.attr._utils.lrp_rules import Alpha1_Beta0_Rule, EpsilonRule, GammaRule
from numpy.typing import NDArray
from torch import Tensor, nn

from oncofed.cohort.encoding import Column
from oncofed.explanation.relevance import column_relevance, fold_to_markers
from oncofed.explanation.rules import Rule
from oncofed.simulations.explanation_study.players import Players, sampled_shapley
from oncofed.survival.network import PrognosisNetwork

FloatArray = NDArray[np.float64]

MARKERS = 50
SHAPLEY_ORDERS = 200
INTEGRATION_STEPS = 50
RESAMPLES = 2000

Explain = Callable[[], FloatArray]
"""-> (patients, players)."""


@dataclass(frozen=True)
class Interval:
    """A mean, and where 95 % of its bootstrap over patients lie."""

    mean: float
    low: float
    high: float

    @staticmethod
    def of(values: FloatArray, *, rng: np.random.Generator) -> Interval:
        means = [float(values[rng.integers(len(values), size=len(values))].mean()) for _ in range(RESAMPLES)]
        low, high = np.quantile(means, [0.025, 0.975]).tolist()
        return Interval(float(values.mean()), low, high)

    def __str__(self) -> str:
        return f"{self.mean:+.4f} ({self.low:+.4f} to {self.high:+.4f})"


@dataclass(frozen=True, eq=False)
class Areas:
    """(patients,) each: log hazard ratios, larger is more faithful."""

    deletion: FloatArray
    insertion: FloatArray


def areas(players: Players, relevance: FloatArray, *, markers: int = MARKERS) -> Areas:
    """relevance  (patients, players)."""
    raising, lowering = np.argsort(-relevance, axis=1, kind="stable"), np.argsort(relevance, axis=1, kind="stable")
    steps = slice(1, markers + 1)
    return Areas(
        deletion=(players.deleted(lowering) - players.deleted(raising))[:, steps].mean(axis=1) / 2,
        insertion=(players.inserted(raising) - players.inserted(lowering))[:, steps].mean(axis=1) / 2,
    )


def methods(
    network: PrognosisNetwork,
    x: Tensor,
    columns: tuple[Column, ...],
    players: Players,
    *,
    rng: np.random.Generator,
) -> Mapping[str, Explain]:
    """What is compared, by name; the first two are ours."""

    def folded(by_column: FloatArray) -> FloatArray:
        return fold_to_markers(by_column, columns)[1]

    endpoint = players.endpoint
    return {
        "averaged rule": lambda: folded(column_relevance(network, x, endpoint=endpoint, rule=Rule.AVERAGED)),
        "epsilon rule": lambda: folded(column_relevance(network, x, endpoint=endpoint, rule=Rule.EPSILON)),
        "gradient x input": lambda: folded(_gradient_times_input(network, x, endpoint)),
        f"integrated gradients, {INTEGRATION_STEPS} steps": lambda: folded(_integrated_gradients(network, x, endpoint)),
        f"sampled Shapley values, {SHAPLEY_ORDERS} orders": lambda: sampled_shapley(
            players, orders=SHAPLEY_ORDERS, rng=rng
        ),
        "gamma rule (0.25) at the output, epsilon below": lambda: folded(
            _captum_rules(network, x, endpoint, output=GammaRule(gamma=0.25), below=EpsilonRule())
        ),
        "gamma rule (0.25) everywhere": lambda: folded(
            _captum_rules(network, x, endpoint, output=GammaRule(gamma=0.25), below=GammaRule(gamma=0.25))
        ),
        "z+ rule below, epsilon at the output": lambda: folded(
            _captum_rules(network, x, endpoint, output=EpsilonRule(), below=Alpha1_Beta0_Rule())
        ),
    }


def _gradient_times_input(network: PrognosisNetwork, x: Tensor, endpoint: int) -> FloatArray:
    inputs = x.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(network(inputs)[:, endpoint].sum(), inputs)
    return np.asarray((gradient * x).numpy())


def _integrated_gradients(network: PrognosisNetwork, x: Tensor, endpoint: int) -> FloatArray:
    explained = IntegratedGradients(network).attribute(
        x, target=endpoint, n_steps=INTEGRATION_STEPS, internal_batch_size=4096
    )
    return np.asarray(explained.detach().numpy())


def _captum_rules(
    network: PrognosisNetwork, x: Tensor, endpoint: int, *, output: EpsilonRule, below: EpsilonRule
) -> FloatArray:
    """Captum's LRP with a rule for the last layer and one for those below; the linear branch exactly."""
    total = torch.zeros_like(x)
    if network.linear_branch is not None:
        total = total + x * network.linear_branch.weight[endpoint].detach()
    if network.relu_branch is None:
        return np.asarray(total.numpy())
    layers = [layer for layer in network.relu_branch if isinstance(layer, nn.Linear)]
    for layer in layers:
        layer.rule = output if layer is layers[-1] else below  # Captum looks for it there
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            explained = LRP(network.relu_branch).attribute(x.detach().clone().requires_grad_(), target=endpoint)
    finally:
        for layer in layers:
            if hasattr(layer, "rule"):
                del layer.rule
    return np.asarray((total + explained.detach()).numpy())
