"""What does a model tell of some patients for one endpoint: the network, or a comparator that stands beside it?

Everywhere: index is the endpoint's place in the schema.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from oncofed.cohort.cohort import Cohort
from oncofed.simulations.evaluation import Prognosis, entry_of, rival_of
from oncofed.simulations.predicted import predicted_risk
from oncofed.survival.calibration import Calibration, calibration_at
from oncofed.survival.curves import risk_at
from oncofed.survival.expected_events import Expected

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Told:
    """Log hazard ratios (patients, endpoints), and b_k (patients, endpoints, intervals)."""

    ratios: FloatArray
    baselines: FloatArray

    @staticmethod
    def of(model: Prognosis, x: torch.Tensor) -> Told:
        with torch.no_grad():
            return Told(np.asarray(model(x).numpy()), model.log_baseline_hazard(x))

    def risk(self, test: Cohort, index: int, horizon: float) -> FloatArray:
        """(patients,), of the event by the horizon."""
        return predicted_risk(horizon, self.ratios, self.baselines, schema=test.schema, endpoint=index)

    def order(self, test: Cohort, index: int, horizon: float) -> FloatArray:
        """(patients,), by what they are compared: the risk where the endpoint competes."""
        return self.ratios[:, index] if rival_of(test, index) is None else self.risk(test, index, horizon)

    def risk_alone(self, test: Cohort, index: int, horizon: float) -> FloatArray:
        """(patients,), from the endpoint's own hazard, as if nothing competed: the calibration slope is of it."""
        return risk_at(
            horizon, self.ratios[:, index], log_baseline_hazard=self.baselines[:, index], grid=test.schema.grid
        )

    def calibration(self, test: Cohort, index: int, horizon: float) -> Calibration:
        """Its slope is of the endpoint's own hazard, where it competes."""
        rival = rival_of(test, index)
        return calibration_at(
            horizon,
            predicted_risk=self.risk(test, index, horizon),
            time=test.exit[:, index],
            observed=test.observed[:, index],
            entry=entry_of(test, index),
            competing=rival,
            cumulative_hazard=None if rival is None else -np.log1p(-self.risk_alone(test, index, horizon)),
        )

    def counts(self, test: Cohort, index: int) -> tuple[NDArray[np.bool_], FloatArray]:
        """(patients,) each: whether the event came within the grid, and how many events were expected of each."""
        grid = test.schema.grid
        spent = grid.at_risk(test.entry[:, index], test.exit[:, index])
        expected = np.exp(self.ratios[:, index]) * (spent * np.exp(self.baselines[:, index])).sum(axis=1)
        return test.observed[:, index] & (test.exit[:, index] <= grid.bounds[-1]), np.asarray(expected)

    def events(self, test: Cohort, index: int) -> Expected:
        """Of all of them."""
        came, expected = self.counts(test, index)
        return Expected(int(came.sum()), float(expected.sum()))
