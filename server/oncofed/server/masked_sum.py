"""What is the sum of an attempt whose parts are masked?

Only the parts of the attempt's whole roster mean anything, and only together. Raises FederationFailure when the masks
do not cancel: somebody used another key, or bytes were changed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from oncofed.errors import FederationFailure, PrivacyRefusal
from oncofed.privacy.masking import Attempt, MaskedVector, unmasked_sum
from oncofed.privacy.policy import largest_entry_of
from oncofed.privacy.shared_noise import SharedIntegerRelease
from oncofed.server.admission import SiteVector


def opened_sum(
    parts: Sequence[SiteVector], *, attempt: Attempt, release: SharedIntegerRelease, delta: float, what: str
) -> NDArray[np.float64]:
    """(parameters,): in units of one patient's bound, noise included. what: "round 3", for the words of a failure."""
    masked = [MaskedVector(one.site, attempt, one.vector.view(np.uint64)) for one in parts]
    try:
        total = unmasked_sum(masked, largest_entry=largest_entry_of(release, delta=delta))
    except PrivacyRefusal as refusal:
        raise FederationFailure(f"{what}: the masked sum cannot be opened: {refusal}") from None
    return total / release.scale
