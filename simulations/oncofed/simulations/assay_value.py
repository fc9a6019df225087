"""Which assays should be bought: what do sets of them tell, for how much, on patients who were set aside?

What a set of assays tells is the mean gain in log likelihood over what is known without any (`survival.layer_values`),
as the model of all markers has it with the others' markers at the reference. Every set is looked at, so the frontier is
exact: the sets that tell more than any that costs as much or less. Its limits hold for all sets at once, since the best
of many is looked for. Only patients of whom something of each assay is measured are compared. Nothing of it is
privately released.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from oncofed.cohort.cohort import Cohort
from oncofed.simulations.evaluation import Prognosis
from oncofed.simulations.panel_path import gains_by_markers
from oncofed.simulations.results import AssayOption, AssaysCompared, DroppedAssay
from oncofed.study.assay_settings import Assay
from oncofed.survival.layer_values import coalitions, values_together


def compared_assays(
    network: Prognosis, assays: Sequence[Assay], test: Cohort, *, endpoint: int = 0, rng: np.random.Generator
) -> AssaysCompared | None:
    """None without assays, or where nobody has had all of them."""
    whole = measured(test, assays)
    if not assays or not whole.any():
        return None
    bought = {name for assay in assays for name in assay.markers}
    free = {marker.name for marker in test.schema.markers} - bought
    sets = coalitions(len(assays))
    seen = [free.union(*(assays[place].markers for place in each)) for each in sets]
    gains = gains_by_markers(network, seen, test.subset(np.flatnonzero(whole)), endpoint)
    told = values_together(gains, rng=rng)
    prices = [sum(assays[place].price for place in each) for each in sets]
    best = on_frontier(prices, [value.mean for value in told])
    options = tuple(
        AssayOption(
            tuple(assays[place].name for place in each),
            price,
            max((assays[place].days for place in each), default=0.0),
            value,
            is_best,
        )
        for each, price, value, is_best in zip(sets, prices, told, best, strict=True)
    )
    everything = len(sets) - 1
    without = [everything - (1 << place) for place in range(len(assays))]
    losses = values_together(gains[:, [everything]] - gains[:, without], rng=rng)
    dropped = tuple(DroppedAssay(each.name, each.price, loss) for each, loss in zip(assays, losses, strict=True))
    return AssaysCompared(int(whole.sum()), len(test), options, dropped)


def measured(patients: Cohort, assays: Sequence[Assay]) -> NDArray[np.bool_]:
    """(patients,): of whom something of each of them is."""
    found = np.ones(len(patients), dtype=np.bool_)
    names = [marker.name for marker in patients.schema.markers]
    for assay in assays:
        own = [place for place, name in enumerate(names) if name in assay.markers]
        found &= ~np.isnan(patients.values[:, own]).all(axis=1)
    return found


def on_frontier(prices: Sequence[float], told: Sequence[float]) -> tuple[bool, ...]:
    """Which tell more than any other that costs as much or less. Of equal ones the first."""
    best, found = float("-inf"), [False] * len(prices)
    for place in sorted(range(len(prices)), key=lambda each: (prices[each], -told[each])):
        if told[place] > best:
            best, found[place] = told[place], True
    return tuple(found)
