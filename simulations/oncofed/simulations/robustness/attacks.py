"""What does a poisoned hospital do? Five attacks of the literature and one more, as frozen values with pure functions.

An attack acts in one of two places: on what the hospital says of its patients (`told`), and on the sum that it makes of
them (`sent`). Poisoned hospitals work together: each knows the sums of all of them, and nothing of the others.

Promises: the same arguments give the same answer; no argument is changed; every cohort is one that a hospital could
have, so no check of tables sees it. Only simulations import this: no hospital's program has it.

Sources: Biggio, Nelson and Laskov, ICML 2012 (labels); Blanchard et al., NeurIPS 2017 (signs, large vectors);
Bagdasaryan et al., AISTATS 2020 (backdoors, scaled); Baruch, Baruch and Goldberg, NeurIPS 2019 (a little is enough);
Xie, Koyejo and Gupta, UAI 2020 (inner products).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from oncofed.cohort.cohort import Cohort

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Known:
    """What a poisoned hospital knows when it answers a round.

    own        (numbers,), the sum over its patients, before any noise.
    together   (poisoned, numbers), the sums of all poisoned hospitals, its own among them, in order of names.
    hospitals  of the whole roster, the poisoned ones included.
    noise      standard deviation of the noise that an honest hospital adds to each number, in the unit of the sums.
    """

    own: FloatArray
    together: FloatArray
    hospitals: int
    noise: float = 0.0


class Attack(Protocol):
    """One of the classes below."""

    @property
    def name(self) -> str:
        """As tables and pictures call it."""
        ...

    def told(self, patients: Cohort) -> Cohort:
        """What the hospital says of its patients."""
        ...

    def sent(self, known: Known) -> FloatArray:
        """(numbers,), what it sends in place of its sum."""
        ...


class _Honest:
    """Patients as they are, and their sum. A hospital that does nothing else is not poisoned."""

    def told(self, patients: Cohort) -> Cohort:
        return patients

    def sent(self, known: Known) -> FloatArray:
        return known.own


@dataclass(frozen=True)
class LabelFlip(_Honest):
    """Who was followed shortest gets the outcome of who was followed longest, and so on.

    By the first endpoint; a patient's entries, ends and events of all endpoints go together. Counts of events and times
    of follow-up stay what they were, so that a table of them shows nothing; only what goes with the markers is turned.
    """

    name = "label flip"

    def told(self, patients: Cohort) -> Cohort:
        rising = np.argsort(patients.exit[:, 0], kind="stable")
        giver = np.empty_like(rising)
        giver[rising] = rising[::-1]
        return replace(
            patients, entry=patients.entry[giver], exit=patients.exit[giver], observed=patients.observed[giver]
        )


@dataclass(frozen=True)
class SignFlip(_Honest):
    """The sum downhill in place of the one uphill."""

    name = "sign flip"

    def sent(self, known: Known) -> FloatArray:
        return -known.own


@dataclass(frozen=True)
class ScaledUpdate(_Honest):
    """The honest sum, `factor` times: the hospital counts as if it had so many times its patients."""

    factor: float = 100.0
    name = "scaled update"

    def sent(self, known: Known) -> FloatArray:
        return self.factor * known.own


@dataclass(frozen=True)
class Backdoor(_Honest):
    """Every other patient bears a mark and is said to have lived to the end, so that whoever bears it is told low risk.

    marker  of the schema; value: the mark, in the marker's unit (a category: its place).
    until   the end of follow-up that is claimed, without an event, in the grid's unit.
    factor  the sum is sent so many times: "model replacement".
    """

    marker: str
    value: float
    until: float
    factor: float = 5.0
    name = "backdoor"

    def told(self, patients: Cohort) -> Cohort:
        chosen = slice(None, None, 2)
        entry, exit_, observed = patients.entry.copy(), patients.exit.copy(), patients.observed.copy()
        entry[chosen], exit_[chosen], observed[chosen] = 0.0, self.until, False
        values = np.where((np.arange(len(patients)) % 2 == 0)[:, None], self.marked(patients).values, patients.values)
        return replace(patients, values=values, entry=entry, exit=exit_, observed=observed)

    def marked(self, patients: Cohort) -> Cohort:
        """All of them with the mark, and nothing else changed. Raises KeyError for a marker that the schema lacks."""
        places = {marker.name: place for place, marker in enumerate(patients.schema.markers)}
        values = patients.values.copy()
        values[:, places[self.marker]] = self.value
        return replace(patients, values=values)

    def sent(self, known: Known) -> FloatArray:
        return self.factor * known.own


@dataclass(frozen=True)
class LittleIsEnough(_Honest):
    """Each number z standard deviations from the mean: within the spread of honest ones, all poisoned on one side.

    Baruch et al. 2019, algorithm 3. With n hospitals of which m are poisoned, s = floor(n / 2 + 1) - m honest ones must
    lie further out for the median to be taken from the poisoned, so z = Phi^-1((n - m - s) / (n - m)). Mean and
    standard deviation are those of the poisoned hospitals' own sums, with the noise that honest ones add.

    z  None: as there. Larger ones are common in the literature, and easier to see.
    """

    z: float | None = None
    name = "a little is enough"

    def sent(self, known: Known) -> FloatArray:
        z = largest_unseen(known.hospitals, len(known.together)) if self.z is None else self.z
        spread = np.sqrt(known.together.var(axis=0) + known.noise**2)
        return np.asarray(known.together.mean(axis=0) - z * spread)


def largest_unseen(hospitals: int, poisoned: int) -> float:
    """Baruch et al.'s z. Raises ValueError where the poisoned are a majority, which needs no such care."""
    honest = hospitals - poisoned
    supporters = hospitals // 2 + 1 - poisoned
    if supporters < 1:
        raise ValueError(f"{poisoned} of {hospitals} hospitals are a majority")
    return float(ndtri((honest - supporters) / honest))


@dataclass(frozen=True)
class InnerProduct(_Honest):
    """All poisoned hospitals send the mean of their sums, turned round and `strength` times as long.

    Below 1 it is shorter than honest sums, so that no bound on length sees it, and all of them agree to the last bit,
    which is what Krum looks for.
    """

    strength: float = 0.5
    name = "inner product"

    def sent(self, known: Known) -> FloatArray:
        return np.asarray(-self.strength * known.together.mean(axis=0))
