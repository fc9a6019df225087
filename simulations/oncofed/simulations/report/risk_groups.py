"""How did patients fare whom the model called low, middle or high risk?

Groups are thirds of the predicted log hazard ratio among the patients measured. Equal predictions stay together, so
there are fewer groups when many are equal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oncofed.simulations.results import EndpointResult
from oncofed.survival.aalen_johansen import aalen_johansen
from oncofed.survival.kaplan_meier import KaplanMeier, kaplan_meier
from oncofed.words.language import later

FloatArray = NDArray[np.float64]

NAMES = (later("low", "risk"), later("middle", "risk"), later("high", "risk"))


@dataclass(frozen=True, eq=False)
class RiskGroup:
    """observed   Kaplan-Meier of the group, or of Aalen and Johansen where other events compete.
    predicted     (times,) mean predicted survival at the endpoint's `survival_times`.
    entry, exit   (patients,) follow-up, for numbers at risk.
    """

    name: str
    observed: KaplanMeier
    predicted: FloatArray
    entry: FloatArray
    exit: FloatArray

    @property
    def patients(self) -> int:
        return len(self.exit)

    def at_risk(self, times: FloatArray) -> list[int]:
        """Patients under observation at each time: entered before (or observed from time zero), not yet left."""
        entered = (self.entry[None, :] < times[:, None]) | (self.entry[None, :] == 0)
        return [int(count) for count in (entered & (self.exit[None, :] >= times[:, None])).sum(axis=1)]


def risk_groups(
    endpoint: EndpointResult,
    *,
    entry: FloatArray,
    exit_: FloatArray,
    observed: NDArray[np.bool_],
    competing: NDArray[np.bool_] | None = None,
) -> tuple[RiskGroup, ...]:
    """By rising risk. entry, exit_, observed, competing: (patients,) of that endpoint."""
    ratio = endpoint.log_hazard_ratio
    if not len(ratio):
        return ()
    member = np.searchsorted(np.quantile(ratio, (1 / 3, 2 / 3)), ratio, side="left")
    groups = []
    for number, name in enumerate(NAMES):
        rows = np.flatnonzero(member == number)
        if not len(rows):
            continue
        time, own, since = exit_[rows], observed[rows], entry[rows]
        if competing is None:
            curve = kaplan_meier(time=time, observed=own, entry=since)
        else:
            curve = aalen_johansen(time=time, observed=own, competing=competing[rows], entry=since)
        groups.append(RiskGroup(name, curve, endpoint.survival[rows].mean(axis=0), entry[rows], exit_[rows]))
    return tuple(groups)
