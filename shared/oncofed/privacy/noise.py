"""Where does privacy noise come from? From the operating system's entropy, in whole numbers, never from a seed.

A float is never added to a number made from patients: the low bits of a float tell on which lattice its parts lay
(Mironov, CCS 2012; Haney et al., 2022), and so whether a sum was exactly 0 before the noise came. So there is no source
of float noise here. The production source has no seed to give; seeded doubles live in tests. Imports no torch.
"""

from __future__ import annotations

import os
from fractions import Fraction
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from oncofed.privacy.integer_noise import discrete_gaussian


class NoiseSource(Protocol):
    """Fresh randomness at each call; nothing about a draw can be asked for again."""

    def discrete_gaussian(self, size: int, *, standard_deviation: int) -> NDArray[np.int64]:
        """(size,), independent N_Z(0, standard_deviation^2)."""
        ...

    def chosen(self, size: int, *, probability: float) -> NDArray[np.bool_]:
        """(size,), independent, each True with `probability` at most, and less by 2^-64 at most."""
        ...


class OperatingSystemNoise:
    """Draws from `os.urandom`. Takes no seed."""

    def discrete_gaussian(self, size: int, *, standard_deviation: int) -> NDArray[np.int64]:
        """(size,), exact; see `integer_noise.discrete_gaussian`."""
        return discrete_gaussian(_words, size, standard_deviation=standard_deviation)

    def chosen(self, size: int, *, probability: float) -> NDArray[np.bool_]:
        """(size,): a word of 64 fair bits lies below probability x 2^64, rounded down."""
        below = int(Fraction(probability) * 2**64)
        return np.ones(size, np.bool_) if below >= 2**64 else _words(size) < np.uint64(below)


class NoNoise:
    """The null twin: adds nothing. For plans of privacy mode `none`, and to measure what noise does.

    seed  picks who joins a batch; nothing is hidden without noise, so a run may be repeated exactly.
    """

    def __init__(self, *, seed: int) -> None:
        self._generator = np.random.default_rng(seed)

    def discrete_gaussian(self, size: int, *, standard_deviation: int) -> NDArray[np.int64]:
        """(size,), zeros."""
        return np.zeros(size, dtype=np.int64)

    def chosen(self, size: int, *, probability: float) -> NDArray[np.bool_]:
        """(size,), from the seed."""
        return self._generator.random(size) < probability


def _words(count: int) -> NDArray[np.uint64]:
    return np.frombuffer(os.urandom(8 * count), dtype=np.uint64)
