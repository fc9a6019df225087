"""Why does a model say what it says, marker by marker?

Of the project's own network by layer-wise relevance propagation, as at a hospital (`relevance`); of any other
by integrated gradients (Sundararajan et al., ICML 2017) along the straight line from the reference patient, by Captum.
In both, the parts of a patient add up to the log hazard ratio against the reference patient.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from oncofed.client.guard.one_thread import one_thread
from oncofed.client.pages.marker_figures import waterfall_figure
from oncofed.client.pages.marker_rows import MarkerRow
from oncofed.client.pages.wording import marker_value
from oncofed.client.patients.cohort_explanation import explain_cohort
from oncofed.cohort.encoding import columns
from oncofed.cohort.schema import Modality
from oncofed.errors import Fault
from oncofed.explanation.relevance import fold_to_markers, marker_relevance
from oncofed.picture.drawing import Picture as Drawing
from oncofed.simulations.lab.arguments import maybe, plain, refuse_wrong, writing
from oncofed.simulations.lab.model import MODEL, Model
from oncofed.simulations.lab.other_network import OtherNetwork
from oncofed.simulations.lab.patients import PATIENTS, Patients
from oncofed.survival.follow_up import FloatArray
from oncofed.survival.network import PrognosisNetwork
from oncofed.words.markers import marker_label, shown_unit, source_label
from oncofed.words.numbers import hazard_ratio

FEWEST_STEPS, MOST_STEPS = 32, 1024
CLOSE = 1e-3
"""Log hazard ratio by which a patient's parts may miss their sum before more steps are taken."""
PATIENTS_AT_ONCE = 64

LRP = "layer-wise relevance propagation"
INTEGRATED_GRADIENTS = "integrated gradients"


@dataclass(frozen=True)
class Picture:
    """An SVG; shown below a notebook's cell."""

    svg: str

    def _repr_svg_(self) -> str:
        return self.svg

    def save(self, path: Path | str) -> None:
        """As a file of its own."""
        with writing(path):
            Path(path).write_text(self.svg, encoding="utf-8")


@dataclass(frozen=True)
class _Contributions:
    markers: tuple[MarkerRow, ...]
    log_hazard_ratio: float


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """Each patient's log hazard ratio in parts. It is of single patients: keep it as the table is kept.

    table   one row a patient in the order of `patients`, one column a marker (or a modality that may be missing as a
            whole): what it adds to the log hazard ratio, against the reference patient.
    method  how the parts were found.
    gap     the most, over patients, that the parts miss the log hazard ratio by.
    """

    table: pd.DataFrame
    log_hazard_ratio: FloatArray
    patients: Patients
    endpoint: str
    method: str
    gap: float

    @property
    def strongest(self) -> pd.DataFrame:
        """One row a marker, strongest first: `strength` (mean absolute part), `share` of all strength, `mean` part,
        `direction` (what a higher value does to the hazard in this model; not a cause), rank `correlation`.
        """
        found = explain_cohort(tuple(self.table.columns), self.table.to_numpy(), self.patients.cohort)
        return pd.DataFrame(
            [
                {
                    "marker": role.name,
                    "strength": role.strength,
                    "share": role.share,
                    "mean": role.mean,
                    "direction": role.direction.value,
                    "correlation": role.correlation,
                }
                for role in found.markers
            ]
        )

    def waterfall(self, row: int) -> Picture:
        """From the reference patient's hazard to that of the patient in this row (0 is the first), marker by marker.

        raises  InvalidInput for a row that does not exist.
        """
        refuse_wrong(row=(row, self._a_row))
        parts = self.table.to_numpy()[row]
        order = [int(place) for place in np.argsort(-np.abs(parts), kind="stable")]
        rows = tuple(self._row(str(self.table.columns[place]), float(parts[place]), row) for place in order)
        drawn: Drawing = waterfall_figure(_Contributions(rows, float(self.log_hazard_ratio[row])))
        return Picture(str(drawn.svg))

    def _a_row(self, where: str, value: Any) -> list[Fault]:
        if type(plain(value)) is int and 0 <= value < len(self.table):
            return []
        what = "is none of the patients'"
        return [Fault(where, what, f"Possible: 0 to {len(self.table) - 1}." if len(self.table) else "There is nobody.")]

    def _row(self, source: str, part: float, row: int) -> MarkerRow:
        schema = self.patients.schema
        marker = next((each for each in schema.markers if each.name == source), None)
        value = np.nan if marker is None else float(self.patients.cohort.marker_values(source)[row])
        return MarkerRow(
            label=source_label(schema, source) if marker is None else marker_label(marker),
            kind=Modality(source) if marker is None else marker.modality,
            value="" if marker is None else marker_value(marker, value),
            unit="" if marker is None or np.isnan(value) else shown_unit(marker),
            reference="",
            reference_range="",
            outside="",
            usual_range="",
            unusual="",
            log_hazard_ratio=part,
            hazard_ratio=hazard_ratio(part),
            measured=not np.isnan(value),
        )

    def __repr__(self) -> str:
        return f"<{self.endpoint} of {len(self.table):,} patients by {self.method}; parts miss sums by {self.gap:.1g}>"

    def _repr_html_(self) -> str:
        strongest = self.strongest.head(15).round(3).to_html(index=False)
        return f"<p>{escape(repr(self).strip('<>'))}</p>{strongest}"


def explain(model: Model, patients: Patients, *, endpoint: str | None = None) -> Explanation:
    """What each marker adds to each patient's log hazard ratio.

    endpoint  its name; None is the first.
    raises    InvalidInput for an unknown endpoint, and for patients of another schema.

    >>> import oncofed.lab as of
    >>> hospitals, test = of.split(of.synthetic(patients=200, hospitals=3), test=0.25)
    >>> run = of.train(hospitals, privacy=of.no_privacy(), rounds=5, progress=False)
    >>> why = of.explain(run.model, test)
    >>> bool(abs(why.table.sum(axis=1) - run.model.log_hazard_ratio(test)).max() < 1e-6)
    True
    >>> why.waterfall(3).svg.startswith("<svg")
    True
    """
    refuse_wrong(model=(model, MODEL))
    refuse_wrong(patients=(patients, PATIENTS), endpoint=(endpoint, maybe(model.an_endpoint)))
    place, x = model.place_of(endpoint), model.encoded(patients)
    ratio = model.log_hazard_ratio(patients, endpoint=endpoint)
    inputs, network = columns(patients.schema), model.network
    with one_thread():
        if isinstance(network, PrognosisNetwork):
            names, relevance = marker_relevance(network, x, inputs, endpoint=place)
            method = LRP
        else:
            names, relevance = fold_to_markers(integrated_gradients(network, x, endpoint=place), inputs)
            method = INTEGRATED_GRADIENTS
    gap = float(np.abs(relevance.sum(axis=1) - ratio).max(initial=0.0))
    return Explanation(
        pd.DataFrame(relevance, columns=list(names)), ratio, patients, model.spec.endpoints[place], method, gap
    )


def integrated_gradients(network: OtherNetwork, x: Tensor, *, endpoint: int) -> FloatArray:
    """(patients, columns). Steps are doubled until a patient's parts add up, or there are MOST_STEPS."""
    from captum.attr import IntegratedGradients  # noqa: PLC0415 - only where such a network is explained

    attribution = IntegratedGradients(lambda rows: network(rows)[:, endpoint])
    found = np.zeros(tuple(x.shape))
    for start in range(0, len(x), PATIENTS_AT_ONCE):
        rows = x[start : start + PATIENTS_AT_ONCE]
        with torch.no_grad():
            expected = network(rows)[:, endpoint]
        steps = FEWEST_STEPS
        while True:
            parts = attribution.attribute(
                rows.detach().clone().requires_grad_(), baselines=torch.zeros_like(rows), n_steps=steps
            ).detach()
            if steps >= MOST_STEPS or float((parts.sum(dim=1) - expected).abs().max()) <= CLOSE:
                break
            steps *= 2
        found[start : start + PATIENTS_AT_ONCE] = parts.numpy()
    return found
