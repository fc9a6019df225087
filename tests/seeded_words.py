"""Words that can be asked for again, in the place of the operating system's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from oncofed.privacy.integer_noise import Words, discrete_gaussian


def seeded_words(seed: int) -> Words:
    generator = np.random.default_rng(seed)

    def words(count: int) -> NDArray[np.uint64]:
        return generator.integers(0, 2**64, size=count, dtype=np.uint64)

    return words


class SeededIntegerNoise:
    """An NoiseSource whose draws can be asked for again."""

    def __init__(self, seed: int) -> None:
        self._words = seeded_words(seed)

    def discrete_gaussian(self, size: int, *, standard_deviation: int) -> NDArray[np.int64]:
        return discrete_gaussian(self._words, size, standard_deviation=standard_deviation)
