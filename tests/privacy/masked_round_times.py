"""How long does a hospital take for the integers of one round? Prints; asserts nothing.

python tests/privacy/masked_round_times.py [sites] [parameters]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from oncofed.privacy.bounded_sum import BoundedSum
from oncofed.privacy.integer_noise import rounded
from oncofed.privacy.masking import (
    Attempt,
    MaskedVector,
    MaskingPairs,
    masked,
    new_masking_key,
    public_masking_key_of,
    unmasked_sum,
)
from oncofed.privacy.noise import OperatingSystemNoise
from oncofed.privacy.releases import Masked
from oncofed.privacy.shared_noise import SharedIntegerRelease

Made = TypeVar("Made")


def timed(name: str, make: Callable[[], Made], *, times: int = 5) -> Made:
    """Prints the least of some attempts, in seconds of the processor: other processes do not count."""
    taken = []
    for _ in range(times):
        started = time.process_time()
        made = make()
        taken.append(time.process_time() - started)
    print(f"  {name:<42} {1e3 * min(taken):9.1f} ms")
    return made


def main(sites: int, parameters: int) -> None:
    """One hospital of so many, and the server."""
    release = SharedIntegerRelease(28.9, parameters, 20, 1.0, sites, dropouts=1, colluding=0)
    keys = {f"site {number:04d}": new_masking_key() for number in range(sites)}
    public_keys = {site: public_masking_key_of(key) for site, key in keys.items()}
    own = next(iter(keys))
    attempt = Attempt("0" * 64, 1, 0, tuple(keys), "0" * 64)
    part = Masked(release, 1.0, largest_patients=1000)
    limit = part.largest_entry
    clipped = np.random.default_rng(0).normal(size=parameters)
    print(f"{sites} sites, {parameters} parameters, share of standard deviation {release.share_standard_deviation}")
    timed("round one sum", lambda: rounded(clipped, release=release, largest_patients=1000))
    total, noise = BoundedSum(clipped, 1.0), OperatingSystemNoise()
    vector = timed("round and add a share of noise", lambda: part.noised_integers(total, noise))

    def pairs() -> MaskingPairs:
        made = MaskingPairs(own=own, private_key=keys[own], public_keys=public_keys)
        for site in keys:
            made.secret(site)
        return made

    known = timed("exchange keys with all others, once", pairs)

    def mask() -> MaskedVector:
        return masked(vector, pairs=known, attempt=attempt, largest_entry=limit)

    answer = timed("mask it for all others", mask)
    print(f"  {'bytes that leave one hospital':<42} {answer.words.nbytes:9d}, as many as a float64 vector")
    # Zero masks add up as quickly as real ones.
    plain = [MaskedVector(site, attempt, vector.view(np.uint64)) for site in keys]
    timed("the server adds all of them up", lambda: unmasked_sum(plain, largest_entry=limit))


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:] or ("50", "12000")))
