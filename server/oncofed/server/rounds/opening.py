"""What can be read of the answers to an attempt: each by itself, or one sum of all?

That is the release's affair; here are the words of a failure. Raises FederationFailure when masks do not cancel:
somebody used another key, or bytes were changed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from oncofed.errors import FederationFailure, PrivacyRefusal
from oncofed.privacy.masking import Attempt, content_hash_of
from oncofed.privacy.release import Release
from oncofed.protocol.plan import StudyPlan
from oncofed.server.rounds.admission import SiteVector
from oncofed.server.rounds.state import FederationState


def opened(
    admitted: Sequence[SiteVector], *, release: Release, name: int | str, state: FederationState, plan: StudyPlan
) -> tuple[NDArray[np.float64], ...]:
    """In units of one patient's bound, noise included. name: the number of the round, or the summary's."""
    content = content_hash_of(state.weights) if release.needs_everybody else ""
    attempt = Attempt(plan.hash, name, state.attempt, state.roster or plan.roster, content)
    try:
        return release.opened([(one.site, one.vector) for one in admitted], attempt=attempt)
    except PrivacyRefusal as refusal:
        what = f"round {name}" if isinstance(name, int) else f"summary {name}"
        raise FederationFailure(f"{what}: the masked sum cannot be opened: {refusal}") from None
