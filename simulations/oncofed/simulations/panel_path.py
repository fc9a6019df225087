"""What does a trained model lose if it sees a panel of markers only, on patients who were set aside?

Nothing is trained anew: of the markers outside of a panel the model sees reference values, as of the reference patient,
and everybody's level is set right by one factor (`survival.layer_values`). So a panel of markers that were seen beside
many others is judged by weights that count on those, and a model trained on it alone does better. Nothing of it is
privately released.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np
import torch

from oncofed.cohort.cohort import Cohort
from oncofed.explanation.panels import columns_seen
from oncofed.simulations.evaluation import Prognosis
from oncofed.simulations.results import PanelPath, PanelStep
from oncofed.survival.encoded_patients import EncodedPatients, encoded_patients
from oncofed.survival.follow_up import FloatArray
from oncofed.survival.layer_values import gains_over_first, values_together

MARGIN = 0.05
"""Of what all markers tell: a panel that loses less, for certain, is enough. That share is as uncertain as the loss, so
that both are held against each other patient by patient."""


def panel_path(
    network: Prognosis,
    panels: Sequence[tuple[str, ...]],
    test: Cohort,
    *,
    endpoint: int = 0,
    rng: np.random.Generator,
) -> PanelPath | None:
    """panels: nested, the last with all markers. rng: of the limits. None without patients."""
    if not len(test):
        return None
    gains = gains_by_markers(network, [(), *panels], test, endpoint)
    (told,) = values_together(gains[:, -1:], rng=rng)
    losses = values_together(gains[:, -1:] - gains[:, 1:-1], rng=rng)
    steps = tuple(PanelStep(len(panel), loss) for panel, loss in zip(panels[:-1], losses, strict=True))
    first = first_enough(gains[:, 1:], rng=rng)
    return PanelPath(len(test), told, steps, smallest=None if first is None else steps[first].markers, margin=MARGIN)


def first_enough(gains: FloatArray, *, rng: np.random.Generator) -> int | None:
    """Which panel is the first that loses less than MARGIN of what all markers tell, for certain; None where none does.

    gains  (patients, panels and all markers), in log likelihood, over nothing.
    """
    beyond = values_together((1 - MARGIN) * gains[:, -1:] - gains[:, :-1], rng=rng)
    return next((place for place, more in enumerate(beyond) if more.high < 0), None)


def gains_by_markers(
    network: Prognosis, sets: Sequence[Collection[str]], patients: Cohort, endpoint: int
) -> FloatArray:
    """(patients, sets): in log likelihood, by what each set of markers lets the network say, over the first set."""
    encoded = encoded_patients(patients)
    return gains_over_first(
        _log_hazards(network, sets, patients, encoded, endpoint),
        encoded.events[:, endpoint],
        encoded.at_risk[:, endpoint],
    )


def _log_hazards(
    network: Prognosis, sets: Sequence[Collection[str]], patients: Cohort, encoded: EncodedPatients, endpoint: int
) -> Iterator[FloatArray]:
    """By set, (patients, intervals)."""
    for names in sets:
        x = torch.as_tensor(np.where(columns_seen(patients.schema, names), encoded.x, 0.0))
        with torch.no_grad():
            ratio = np.asarray(network(x)[:, endpoint].numpy())
        yield network.log_baseline_hazard(x)[:, endpoint] + ratio[:, None]
