"""Where does privacy noise come from? From the operating system's entropy, never from a seed.

`torch.normal` in float32 never exceeds 5.77 standard deviations and is predictable after `torch.manual_seed`; both
break a guarantee (`../shared/privacy.md`). The production source has no seed to give. Seeded doubles live in tests.
"""

from __future__ import annotations

import os
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

_DRAWS_AT_ONCE = 8192
"""What a processor's cache holds; more at once takes twice as long."""


class NoiseSource(Protocol):
    """Fresh randomness at each call; nothing about a draw can be asked for again."""

    def standard_normal(self, size: int) -> NDArray[np.float64]:
        """(size,), independent N(0, 1)."""
        ...

    def uniform(self, size: int) -> NDArray[np.float64]:
        """(size,), independent on (0, 1)."""
        ...


class OperatingSystemNoise:
    """Gaussian and uniform draws from `os.urandom`, in float64. Takes no seed."""

    def uniform(self, size: int) -> NDArray[np.float64]:
        """(size,), multiples of 2**-52 shifted by half a step, so neither 0 nor 1 occurs."""
        # 52 bits, not 53: half a step above 2**53 - 1 is no float64, and would be rounded to a uniform of exactly 1.
        words = np.frombuffer(os.urandom(8 * size), dtype=np.uint64) >> np.uint64(12)
        return (words.astype(np.float64) + 0.5) * 2.0**-52

    def standard_normal(self, size: int) -> NDArray[np.float64]:
        """(size,), by the transform of Box and Muller (1958); reaches 12.1 standard deviations.

        Each value is the sum of two independent draws over the square root of 2. A single float64 draw lies on a
        sparse set of numbers by which a neighbour could be told apart (Mironov, CCS 2012); the sum has far more
        possible values than can be enumerated (Holohan and Braghin 2021, section 5).
        """
        normal = np.empty(size)
        for start in range(0, size, _DRAWS_AT_ONCE):
            normal[start : start + _DRAWS_AT_ONCE] = self._sums_of_two(min(_DRAWS_AT_ONCE, size - start))
        return normal

    def _sums_of_two(self, size: int) -> NDArray[np.float64]:
        pairs = (size + 1) // 2
        u = self.uniform(4 * pairs)
        radius = np.sqrt(-np.log(u[: 2 * pairs]))  # sqrt(-2 log u), divided by the sum's square root of 2
        angle = torch.as_tensor((2.0 * np.pi) * u[2 * pairs :])  # torch's sine is several times as fast as numpy's
        across, along = radius * torch.cos(angle).numpy(), radius * torch.sin(angle).numpy()
        return np.concatenate([across[:pairs] + across[pairs:], along[:pairs] + along[pairs:]])[:size]


class NoNoise:
    """The null twin: adds nothing. Only for plans of privacy mode `none` and for parity tests.

    seed  picks who joins a batch; nothing is hidden without noise, so a run may be repeated exactly.
    """

    def __init__(self, *, seed: int) -> None:
        self._generator = np.random.default_rng(seed)

    def standard_normal(self, size: int) -> NDArray[np.float64]:
        """(size,), zeros."""
        return np.zeros(size)

    def uniform(self, size: int) -> NDArray[np.float64]:
        """(size,), from the seed."""
        return self._generator.random(size)
