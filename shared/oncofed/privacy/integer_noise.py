"""How does a hospital's sum become integers, and how is integer noise drawn?

Rounding. A hospital rounds its sum, not each patient (the closed form of `mechanism` never forms one patient's part).
Its order is: bounded sum, scale, clamp, round, clamp, add noise, mask.
- Scaling by a power of two is exact, so two sums that are at most C apart become at most scale x C apart.
- Clamping each coordinate to a public interval brings no two vectors further apart.
- Rounding moves each coordinate by at most 1/2, so a vector of P by at most sqrt(P) / 2, and two of them by at most
  sqrt(P) more apart than they were. Hence the integer l2 sensitivity scale x C + sqrt(P), which is reached for P = 1.
Clamping comes before the noise. After it, it would be a function of one hospital's patients and of one share of the
noise; the proof of `shared_noise` is about the sum of shares, and no longer about such a sum.

Noise. Exact samples of the discrete Gaussian N_Z(0, s^2), s a whole number: see `discrete_gaussian`. Imports no torch.

Sources: Canonne, Kamath, Steinke, NeurIPS 2020; Karney, ACM TOMS 42 (2016), algorithm D, whose split of a draw into
whole standard deviations and a rest this is; Lemire, ACM TOMACS 29 (2019).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from oncofed.errors import EntropyFailure, PrivacyRefusal
from oncofed.privacy.shared_noise import LARGEST_PATIENTS, SharedIntegerRelease

Words = Callable[[int], NDArray[np.uint64]]
"""So many words of 64 independent fair bits."""

LARGEST_STANDARD_DEVIATION = 2**45
TAIL_STANDARD_DEVIATIONS = 40
"""A share beyond this many standard deviations has probability below 2 exp(-800) < 1e-346 (it is subgaussian)."""

_CANDIDATES_AT_ONCE = 2**16
"""Bounds memory; fewer at once take longer."""

_SURELY = 2.0**-30
"""Two float64 logarithms that differ by more than this are surely different: a million times their error."""
_BITS = 32
"""Of a uniform number, at first: one word of 64 holds two of them. As many more are drawn as a comparison needs."""

_MOST_CANDIDATES = 16
"""For a number and 64 more, where each is kept with a probability above 0.24. Fair bits need so many with a probability
below 2^-400 (Chernoff)."""
_MOST_BITS = 512
"""Of a uniform number. Fair bits leave a comparison open for so long with a probability below 2^-400."""
_NOT_FAIR = "the operating system's random numbers are not random, so there is no noise, and nothing leaves"


def largest_sum_entry(release: SharedIntegerRelease, *, largest_patients: int) -> int:
    """No hospital of at most `largest_patients` (public) has a larger entry in its rounded sum; others are clamped."""
    return math.ceil(largest_patients * Fraction(release.l2_norm_bound) * release.scale)


def largest_entry(release: SharedIntegerRelease, *, largest_patients: int) -> int:
    """What an entry of a noised vector stays within, but for a probability below 1e-346 (then `masking` refuses it)."""
    tail = TAIL_STANDARD_DEVIATIONS * release.share_standard_deviation
    return largest_sum_entry(release, largest_patients=largest_patients) + tail


def refuse_unless_it_fits(release: SharedIntegerRelease, *, largest_patients: int) -> None:
    """Raises PrivacyRefusal unless no sum over all sites can wrap modulo 2^64 (the proof is in `masking`).

    For whoever approves a plan: it needs the plan's public numbers only, and holds for all rounds and rosters.
    """
    reasons = []
    if not 1 <= largest_patients <= LARGEST_PATIENTS:
        reasons.append(f"a hospital may have 1 to {LARGEST_PATIENTS} patients, for the bound on float64's rounding")
    if release.share_standard_deviation > LARGEST_STANDARD_DEVIATION:
        reasons.append("a share of the noise is too large for the sampler: fewer scale bits, please")
    # At least two, so that one sum alone stays below 2^62 as well.
    if max(2, release.sites) * largest_entry(release, largest_patients=largest_patients) >= 2**63:
        reasons.append("the sum of all sites may not fit into 64 bits: fewer scale bits, please")
    if reasons:
        raise PrivacyRefusal("the plan's integers are refused: " + "; ".join(reasons))


def rounded(clipped: NDArray[np.float64], *, release: SharedIntegerRelease, largest_patients: int) -> NDArray[np.int64]:
    """(parameters,): a clipped sum times the release's scale, clamped and rounded to the nearest integers.

    clipped  (parameters,), the sum of parts of at most release.l2_norm_bound; finite.

    Sensitivity: release.integer_sensitivity, by the argument of the module. Raises PrivacyRefusal for another length
    and for numbers that are not finite; `mechanism` makes neither.
    """
    if clipped.shape != (release.parameters,) or not np.isfinite(clipped).all():
        raise PrivacyRefusal("a sum to be rounded must be finite and as long as the release says")
    refuse_unless_it_fits(release, largest_patients=largest_patients)
    limit = largest_sum_entry(release, largest_patients=largest_patients)
    within = np.clip(clipped, -(2.0**62) / release.scale, 2.0**62 / release.scale) * float(release.scale)
    return np.clip(np.rint(within).astype(np.int64), -limit, limit)


def discrete_gaussian(words: Words, size: int, *, standard_deviation: int) -> NDArray[np.int64]:
    """(size,), independent, each x with probability exactly proportional to exp(-x^2 / 2 s^2), s = standard_deviation.

    |x| = s k + j with k >= 0 and 0 <= j < s. Then x^2 / 2s^2 = k/2 + gamma with gamma = k(k-1)/2 + j (2sk + j) / 2s^2
    >= 0. So: j uniform, k with probability proportional to exp(-k/2) (as many as there are i >= 1 with U < exp(-i/2), U
    uniform), keep with probability exp(-gamma), a fair sign, and never minus zero. About half are kept.

    j is uniform by multiplication (Lemire): of u uniform below 2^b, floor(u s / 2^b) takes each value equally often
    once the u with u s mod 2^b < 2^b mod s are thrown away. Where s is too large for that in 64 bits, by throwing away
    what is not below s.

    What is exact: given words of independent fair bits, the distribution of what is returned. Each of the two
    comparisons of a uniform real number with an exponential is made in float64 where a margin a million times numpy's
    documented error settles it, and in exact arithmetic, with as many further bits as it takes, where it does not (a
    few times in 10^8 draws). j and the sign are exact in integers. There is no approximation to be accounted for. What
    is assumed: os.urandom's bits are fair, and numpy's logarithm is right to 2^-40. Raises EntropyFailure for bits that
    cannot be fair, since no number of them would do: nothing but zeros, say.
    """
    if type(standard_deviation) is not int or not 1 <= standard_deviation <= LARGEST_STANDARD_DEVIATION:
        raise ValueError(f"the standard deviation must be a whole number from 1 to {LARGEST_STANDARD_DEVIATION}")
    drawn = np.empty(size, dtype=np.int64)
    filled = tried = 0
    while filled < size:
        if tried > _MOST_CANDIDATES * (size + 64):
            raise EntropyFailure(_NOT_FAIR)
        # Each candidate is kept or not by itself, so taking the first that are kept favours none.
        candidates = min(21 * (size - filled) // 10 + 64, _CANDIDATES_AT_ONCE)
        tried += candidates
        kept = _kept(words, candidates, s=standard_deviation)[: size - filled]
        drawn[filled : filled + len(kept)] = kept
        filled += len(kept)
    return drawn


def _kept(words: Words, candidates: int, *, s: int) -> NDArray[np.int64]:
    j, negative, usable = _below(s, words(candidates))
    both = words(candidates)
    k = _half_exponential_steps(words, both >> np.uint64(_BITS))
    keep = _keep(words, both & np.uint64(2**_BITS - 1), k, j, s=s) & ~(negative & (k == 0) & (j == 0))
    kept = np.flatnonzero(keep & usable)
    magnitude = k[kept] * s + j[kept]
    return np.where(negative[kept], -magnitude, magnitude)


def _below(s: int, word: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
    """j uniform below s with a fair sign, one of each from every word, and whether the word may be used at all.

    The sign is the highest bit, which j, below 2^45, does not use. Thrown away is less than half. j is below s in any
    case.
    """
    bits = 63 - s.bit_length()
    if bits > s.bit_length():
        j, usable = _multiplied(word & np.uint64((1 << bits) - 1), s, bits=bits)
    else:
        j = word & np.uint64((1 << (s - 1).bit_length()) - 1)
        usable = j < np.uint64(s)
        j[~usable] = 0
    return j.astype(np.int64), word >> np.uint64(63) == 1, usable


def _multiplied(u: NDArray[np.uint64], s: int, *, bits: int) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Lemire's j for each u below 2^bits, and whether to keep it. u s must be below 2^64."""
    product = u * np.uint64(s)
    return product >> np.uint64(bits), (product & np.uint64((1 << bits) - 1)) >= np.uint64((1 << bits) % s)


def _half_exponential_steps(words: Words, word: NDArray[np.uint64]) -> NDArray[np.int64]:
    """k with probability (1 - exp(-1/2)) exp(-k/2), by the first bits of a uniform number for each."""
    minus_log, within = _minus_log(word)
    level = 2.0 * minus_log
    k = level.astype(np.int64)
    above = level - k
    unsure = np.minimum(above, 1.0 - above) < 2.0 * within
    for index in np.flatnonzero(unsure):
        uniform, steps = _LazyUniform(int(word[index]), words), 0
        while uniform.is_below_exp_of_minus(Fraction(steps + 1, 2)):
            steps += 1
        k[index] = steps
    return k


def _keep(
    words: Words, word: NDArray[np.uint64], k: NDArray[np.int64], j: NDArray[np.int64], *, s: int
) -> NDArray[np.bool_]:
    """True with probability exp(-gamma), by the first bits of a uniform number for each."""
    minus_log, within = _minus_log(word)
    rest = j / s
    gamma = k * (k - 1) / 2 + rest * (k + rest / 2)
    ahead = minus_log - gamma
    keep = ahead > 0
    # Beyond 50 steps k was found exactly, and gamma may be too large for its float64 to be sure; nobody sees one.
    unsure = (np.abs(ahead) < within) | (k > 50)
    for index in np.flatnonzero(unsure):
        whole, part = int(k[index]), int(j[index])
        exact = Fraction(whole * (whole - 1), 2) + Fraction(part * (2 * s * whole + part), 2 * s * s)
        keep[index] = _LazyUniform(int(word[index]), words).is_below_exp_of_minus(exact)
    return keep


def _minus_log(word: NDArray[np.uint64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """-log U for U in [word, word + 1) / 2^32, and how far it may be off.

    From the middle it is at most log(1 + 1 / (2 word)) < 1 / word to either end; a word of zeros says nothing at all.
    """
    first = word.astype(np.float64)
    with np.errstate(divide="ignore"):
        return -np.log((first + 0.5) * 2.0**-_BITS), _SURELY + 1.0 / first


class _LazyUniform:
    """A uniform real number on [0, 1) of which as many bits are drawn as a comparison needs."""

    def __init__(self, word: int, words: Words) -> None:
        self._leading, self._bits, self._words = word, _BITS, words

    def is_below_exp_of_minus(self, gamma: Fraction) -> bool:
        """Whether U < exp(-gamma), gamma >= 0: decided between bounds that close in on either."""
        if gamma == 0:
            return True
        while self._bits < _MOST_BITS:
            low, high = _exp_of_minus(gamma, digits=self._bits // 3 + 10)
            if Fraction(self._leading + 1, 1 << self._bits) <= low:
                return True
            if Fraction(self._leading, 1 << self._bits) >= high:
                return False
            self._leading = (self._leading << 64) | int(self._words(1)[0])
            self._bits += 64
        raise EntropyFailure(_NOT_FAIR)


def _exp_of_minus(gamma: Fraction, *, digits: int) -> tuple[Fraction, Fraction]:
    """Below and above exp(-gamma). Decimal's exponential is correctly rounded, its division rounds as it is told."""
    down, up = Context(prec=digits, rounding=ROUND_FLOOR), Context(prec=digits, rounding=ROUND_CEILING)
    numerator, denominator = Decimal(-gamma.numerator), Decimal(gamma.denominator)
    low = down.next_minus(down.exp(down.divide(numerator, denominator)))
    high = up.next_plus(up.exp(up.divide(numerator, denominator)))
    return Fraction(low), Fraction(high)
