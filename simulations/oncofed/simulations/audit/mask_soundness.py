"""Do masks hide each hospital's part, and cancel in the sum over the whole roster and in nothing else?

Mode `distributed` only. With its noise taken off, a hospital's part is the bare sum under its masks, so that whatever
shows is the masks' fault. Checked: every part looks uniform; the opened sum is the integer sum, bit for bit; without
any one hospital, nothing opens and what is left looks uniform; the part of each of some pairs of hospitals that mask
together still looks uniform when every other hospital gives its keys away, so that no stream is missing; and so does
each part when as many of those whom it masks with do as the plan says may collude.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from oncofed.errors import PrivacyRefusal
from oncofed.privacy.masking import MaskedVector, unmasked_sum
from oncofed.privacy.releases import Masked, release_of_round
from oncofed.protocol.messages import ContributeRequest
from oncofed.simulations.audit.crafted import first_weights
from oncofed.simulations.audit.pair_streams import pair_secret, peers_of, without_pair
from oncofed.simulations.audit.target import GuardHospital, Target
from oncofed.simulations.audit.verdict import BY_CHANCE, NOTICED, Outcome, Power, Verdict, not_applicable
from oncofed.simulations.masking_keys import simulated_masks

MASKS = "mask soundness"

_BITS = 8


def mask_soundness(target: Target, rng: np.random.Generator, *, pairs: int) -> Verdict:
    """Fails when anything that should look uniform does not, or the sum is not the integer sum."""
    if not target.is_shared:
        return not_applicable(MASKS, "mode local masks nothing: each hospital adds its noise in full")
    plan = target.plan
    hospital = target.without_noise.hospital(target.patients)
    weights = first_weights(plan.model) + rng.normal(scale=0.05, size=plan.model.parameters)
    request = ContributeRequest(plan.hash, hospital.site, 1, 0, hospital.roster, weights)
    parts = hospital.parts(request)
    release = release_of_round(plan)
    assert isinstance(release, Masked)
    limit = release.largest_entry
    exact = np.rint(target.clipped_sum(target.patients, weights) * release.sum_event.scale)
    opened = _opened(parts, limit)
    views = {f"the part of {part.site}": part.words for part in parts}
    opens = 0
    for part in parts:
        rest = [other for other in parts if other is not part]
        views[f"the sum without {part.site}"] = np.sum([other.words for other in rest], axis=0, dtype=np.uint64)
        opens += _opened(rest, limit) is not None
    peers = {part.site: _peers(hospital, part) for part in parts}
    together = [
        two for two in itertools.combinations(range(len(parts)), 2) if parts[two[1]].site in peers[parts[two[0]].site]
    ]
    chosen = list(together)
    chosen = [chosen[number] for number in [0, *rng.permutation(np.arange(1, len(chosen)))[: pairs - 1]]]
    for one, other in chosen:
        name = f"the part of {parts[one].site} when all but {parts[other].site} give their keys away"
        others = set(hospital.roster) - {parts[one].site, parts[other].site}
        views[name] = _seen_by(others, hospital, parts[one])
    for part in parts:
        at_most = min(plan.privacy.colluding, len(peers[part.site]) - 1)  # all others may: then it is open by right
        colluding = rng.permutation(sorted(peers[part.site]))[:at_most].tolist()
        views[f"the part of {part.site} when {' and '.join(colluding)} collude"] = _seen_by(colluding, hospital, part)
    uneven = [name for name, words in views.items() if _p_uniform(words) < BY_CHANCE / len(views)]
    faults = [
        *(["the opened sum is not the integer sum"] if opened is None or not np.array_equal(opened, exact) else []),
        *([f"{opens} sums over part of the roster open"] if opens else []),
        *(f"{name} does not look uniform" for name in uneven),
    ]
    return Verdict(
        MASKS,
        Outcome.FAILED if faults else Outcome.PASSED,
        f"{len(parts)} parts, also without the masks of who may collude, {len(parts)} sums without one hospital and "
        f"{len(chosen)} pairs were looked at: "
        + ("; ".join(faults) or "all look uniform, and the whole sum opens bit for bit"),
        f"nothing differs from uniform by more than chance ({BY_CHANCE:g}); the sum is exact",
        Power(
            f"{_noticed_share(plan.model.parameters, len(views)):.1%} of a part's words left bare; a missing stream "
            f"of the {len(chosen)} pairs of {len(together)}",
            NOTICED,
        ),
        {"views": len(views), "uneven": len(uneven), "opening_parts": opens},
    )


def _opened(parts: list[MaskedVector], limit: int) -> NDArray[np.int64] | None:
    try:
        return unmasked_sum(parts, largest_entry=limit)
    except PrivacyRefusal:
        return None


def _peers(hospital: GuardHospital, part: MaskedVector) -> set[str]:
    """With whom the plan says that it is masked."""
    plan = hospital.target.plan
    keyed = simulated_masks(plan, part.site)
    assert keyed is not None
    assert plan.privacy.shares is not None
    neighbours = plan.privacy.shares.mask_neighbours
    return peers_of(part.site, attempt=part.attempt, keys=keyed.public_keys, neighbours=neighbours)


def _seen_by(colluding: Iterable[str], hospital: GuardHospital, part: MaskedVector) -> NDArray[np.uint64]:
    """The part with the streams taken off that it shares with any of these."""
    keyed = simulated_masks(hospital.target.plan, part.site)
    assert keyed is not None
    words = part.words
    for other in _peers(hospital, part).intersection(colluding):
        secret = pair_secret(keyed.masking_key, keyed.public_keys[other])
        words = without_pair(
            words, own=part.site, peer=other, secret=secret, attempt=part.attempt, keys=keyed.public_keys
        )
    return words


def _p_uniform(words: NDArray[np.uint64]) -> float:
    """Of the leading bits: a sum that is not masked is small, so its leading bits are all alike."""
    counts = np.bincount((words >> np.uint64(64 - _BITS)).astype(np.int64), minlength=2**_BITS)
    return float(stats.chisquare(counts).pvalue)


def _noticed_share(words: int, views: int) -> float:
    """The share of words that begin alike which chi-squared notices: s of them add words s^2 2^bits (1 - 2^-bits)."""
    freedom = 2**_BITS - 1
    needed = float(stats.chi2.isf(BY_CHANCE / views, freedom))
    for share in np.linspace(0.0, 1.0, 1001):
        added = words * share**2 * freedom / 2  # unmasked words begin with all zeros or all ones, half each
        if stats.ncx2.sf(needed, freedom, max(added, 1e-9)) >= NOTICED:
            return float(share)
    return 1.0
