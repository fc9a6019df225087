"""What can be asked of a release, whichever it is? `oncofed.privacy.releases` has those that there are.

Everywhere: numbers are in units of the bound on one patient's part, and no question looks at more than the sum that is
given. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from oncofed.privacy.accounting import PrivacyEvent
from oncofed.privacy.bounded_sum import BoundedSum
from oncofed.privacy.masking import Attempt
from oncofed.privacy.noise import NoiseSource
from oncofed.words.language import ENGLISH, Language

FloatArray = NDArray[np.float64]
Mask = Callable[[NDArray[np.int64], int], NDArray[np.uint64]]
"""Integers, and the most that one of them may be -> the same under one hospital's masks of one attempt."""
Part = tuple[str, NDArray[Any]]
"""A hospital's name and what it sent."""


class Release(Protocol):
    """One hospital's part in one attempt at a round or a summary."""

    @property
    def numbers(self) -> int:
        """Length of what leaves."""
        ...

    @property
    def event(self) -> PrivacyEvent:
        """What a ledger is charged."""
        ...

    @property
    def is_protected(self) -> bool:
        """Whether a ledger is charged and noise is added at all."""
        ...

    @property
    def needs_everybody(self) -> bool:
        """Whether parts mean nothing before those of the attempt's whole roster are there."""
        ...

    def noise_words(self, say: Language = ENGLISH) -> str:
        """How a patient's part is hidden, for a person."""
        ...

    def refuse_unless_sound(self) -> None:
        """Raises PrivacyRefusal when the public numbers do not allow what is promised."""
        ...

    def refuse_roster(self, roster: Sequence[str], *, plan_roster: Sequence[str], own: str) -> None:
        """Raises PrivacyRefusal unless the hospital `own` may answer an attempt among `roster`."""
        ...

    def noised(self, total: BoundedSum, noise: NoiseSource) -> FloatArray:
        """(numbers,): one sum with this hospital's noise, in units of the bound. Not to be told of a `Masked` part."""
        ...

    def sealed(self, total: BoundedSum, *, noise: NoiseSource, mask: Mask | None = None) -> NDArray[Any]:
        """(numbers,): what leaves. Raises PrivacyRefusal for a sum of another bound or length, or without its mask."""
        ...

    def sealed_without_patients(self, *, noise: NoiseSource, mask: Mask | None = None) -> NDArray[Any]:
        """What a hospital without any patient would send: noise alone, where there is noise."""
        ...

    def fault_of(self, vector: NDArray[Any]) -> str:
        """Why this cannot be what `sealed` gives, whatever the patients, in words of ours; empty when it can."""
        ...

    def implausibility_of(self, vector: NDArray[Any]) -> str:
        """Why hardly any honest hospital would send this; empty when there is nothing to say. For the receiver alone:
        a hospital that held such a vector back would tell something of it.
        """
        ...

    def opened(self, parts: Sequence[Part], *, attempt: Attempt) -> tuple[FloatArray, ...]:
        """What can be read, in units of the bound: of each part by itself, or one sum of all. Raises PrivacyRefusal."""
        ...

    def noise_of_sum(self, *, hospitals: int) -> float:
        """Standard deviation of the noise in each number of the sum over so many, in units of the bound."""
        ...
