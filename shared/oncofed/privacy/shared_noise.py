"""How private is a sum to which several hospitals each add an integer share of the noise, or one hospital all of it?

A `SharedIntegerRelease` is one such sum, told in public numbers only. From it follow the share that each hospital draws
and what its ledger is charged, so that the two cannot disagree. With one hospital and one share it is what a hospital
adds that trusts nobody (mode `local`); a `SampledIntegerRelease` is several of those, each over patients drawn by lot.
Imports no torch.

Unit: one patient; neighbours: add or remove that patient. What is promised is promised by the guaranteed minimum of
K - d - t shares: K hospitals, at most d absent, at most t who tell their shares to whom one hides from (a hospital that
sees the sum knows its own share and so is one of the t). More shares than that are further independent noise, which is
post-processing.

The bound (`gaussian_equivalent`), in full, since it is ours. Write phi_v for the density of N(0, v), N_Z(c, v) for the
discrete Gaussian (integer x with probability proportional to exp(-(x - c)^2 / 2v)), and
e(v) = 2 sum_{j >= 1} exp(-2 pi^2 v j^2). By Poisson summation, for each real c,

    sum over integers x of phi_v(x - c) = 1 + 2 sum_{j >= 1} exp(-2 pi^2 v j^2) cos(2 pi j c),                       (*)

which lies in [1 - e(v), 1 + e(v)], and is 1 + e(v) at c = 0.

1. *A sum of h shares of variance v each is almost phi_{hv}.* One share is phi_v(z) / (1 + e(v)) by (*) at 0. Let the
   sum of k shares be within factors [a, b] of phi_{kv} at each integer. The sum of k + 1 is
   sum_x P_k(x) P_1(z - x), and phi_{kv}(x) phi_v(z - x) = phi_{(k+1)v}(z) phi_w(x - c) with w = v k / (k + 1) and
   c = z k / (k + 1); so by (*) it is within [a (1 - e(w)), b (1 + e(w))] / (1 + e(v)) of phi_{(k+1)v}(z).
   By induction the logarithm of P_h / phi_{hv} lies, at each integer, within +-L where
   L = - sum_{k=1}^{h-1} log(1 - e(v k / (k + 1))) + h log(1 + e(v)), since log(1 + e) <= -log(1 - e).
2. *phi_v at the integers is almost a post-processing of a continuous Gaussian.* Let s be an integer, Y ~ N(s, V - u)
   and W ~ N_Z(Y, u). Then P[W = w] = integral of phi_{V-u}(y - s) phi_u(w - y) / (the sum (*) at y, of variance u) dy,
   which is within [1 / (1 + e(u)), 1 / (1 - e(u))] of phi_V(w - s). Y to W does not look at s.
3. Together, in each coordinate and for each integer s, s + (sum of h shares) and the post-processing of N(s, hv - u)
   have probabilities whose logarithms differ by at most eta = L - log(1 - e(u)). Coordinates are independent: P of them
   differ by at most P eta. In an adaptive composition of releases the differences add up to H, for either neighbour.
4. If the Gaussian mechanisms (variance hv - u, sensitivity D) together are (eps, delta)-private, then for each event E
   P[E] <= e^H P'[E] <= e^H (e^eps Q'[E] + delta) <= e^(eps + 2H) Q[E] + e^H delta. So the integer releases are
   (eps + 2H, e^H delta)-private. u is ours to choose; with shares of some size, u = 4 gives eta = 1e-34.
5. *Patients drawn by lot.* Let each of the others take part with probability q, independently, and let S be who does.
   The release is the mixture over S of s(S) + noise. By step 3 each of its terms is within e^(+-P eta) of the term of
   the mixture of post-processed Gaussians N(s(S), hv - u), at each point; so the mixtures are, with the same factor.
   With one patient more each term becomes (1 - q) of itself and q of one whose mean is at most D further, rounding and
   all. So the mixture of Gaussians is the Poisson-sampled Gaussian mechanism of sensitivity D, which dp-accounting
   bounds.

Sources: Canonne, Kamath, Steinke, NeurIPS 2020 (the discrete Gaussian, and Poisson summation for it); Kairouz, Liu,
Steinke, ICML 2021, theorem 1 (sums of discrete Gaussians, with which step 1 agrees up to constants; their zCDP bound is
the oracle of the tests). Step 2 replaces their zCDP by the exact Gaussian trade-off.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

CLIP_ROUNDING = 1e-5
"""What float64 may add to l2_norm_bound, as a part of it. What each patient adds is a function of that patient alone,
to the last bit (`survival.one_by_one`), and longer than the bound by 1e-7 of it at most (the tests of the mechanism
hold it to that). Adding up n of them is off by at most n^2 2^-53 bounds, whatever the order, and differs between
neighbours by twice that: 9e-6 at LARGEST_PATIENTS."""

LARGEST_PATIENTS = 200_000

_BLUR_VARIANCE = 4.0
"""The u of the proof, when the noise is large enough to spare it."""

_LARGEST_SCALE_BITS = 52
_MOST_SITES = 10_000
"""The bound is a sum over shares; a plan must not keep a guard busy with it."""


@dataclass(frozen=True, order=True)
class SharedIntegerRelease:
    """One sum over hospitals, in integers, each of which added its share of the noise.

    noise_multiplier  standard deviation of the K - d - t guaranteed shares together, in units of l2_norm_bound.
    parameters        length of the vector.
    scale_bits        a hospital's sum is multiplied by 2**scale_bits and rounded.
    l2_norm_bound     of one patient's part, before scaling.
    sites, dropouts, colluding   the K, d and t of the plan.
    """

    noise_multiplier: float
    parameters: int
    scale_bits: int
    l2_norm_bound: float
    sites: int
    dropouts: int
    colluding: int

    sampling_rate = 1.0
    steps = 1

    @property
    def faults(self) -> list[str]:
        """Why no bound covers this release; empty when one does."""
        return faults_of(self)

    @property
    def of_one_step(self) -> SharedIntegerRelease:
        """Itself: see `SampledIntegerRelease`."""
        return self

    @property
    def gaussian(self) -> GaussianEquivalent:
        """As what Gaussian release one sum over everybody counts. There must be no faults."""
        return gaussian_equivalent(self)

    @property
    def scale(self) -> int:
        """A power of two, so that scaling a float64 is exact."""
        return int(2**self.scale_bits)

    @property
    def honest_shares(self) -> int:
        """How many shares are there at the least, and unknown to everybody else."""
        return self.sites - self.dropouts - self.colluding

    @property
    def share_standard_deviation(self) -> int:
        """Of the noise that each hospital adds to each coordinate, in integer steps; rounded up."""
        sigma = self.noise_multiplier * self.l2_norm_bound * self.scale
        variance = share_variance(sigma, sites=self.sites, dropouts=self.dropouts, colluding=self.colluding)
        return max(1, math.ceil(math.sqrt(variance)))

    @property
    def integer_sensitivity(self) -> float:
        """How far one patient moves the rounded sum: scale x bound + sqrt(parameters); see `integer_noise.rounded`."""
        return self.scale * self.l2_norm_bound * (1 + CLIP_ROUNDING) + math.sqrt(self.parameters)


@dataclass(frozen=True, order=True)
class SampledIntegerRelease:
    """`steps` sums of one hospital, each with its own noise in integers, over patients drawn by lot.

    sampling_rate  the probability with which each patient takes part in a step, independently (Poisson sampling).
    The other fields are those of `SharedIntegerRelease`, of each step.
    """

    noise_multiplier: float
    parameters: int
    scale_bits: int
    l2_norm_bound: float
    sampling_rate: float
    steps: int

    sites = 1

    @property
    def faults(self) -> list[str]:
        """Why no bound covers this release; empty when one does."""
        if type(self.steps) is not int or self.steps < 1 or not 0 < self.sampling_rate <= 1:
            return ["it needs a sampling rate in (0, 1] and a whole number of steps"]
        return self.of_one_step.faults

    @property
    def gaussian(self) -> GaussianEquivalent:
        """As what Gaussian release one step counts, if everybody took part. There must be no faults."""
        return self.of_one_step.gaussian

    @property
    def of_one_step(self) -> SharedIntegerRelease:
        """One step's sum, if everybody took part."""
        return SharedIntegerRelease(
            noise_multiplier=self.noise_multiplier,
            parameters=self.parameters,
            scale_bits=self.scale_bits,
            l2_norm_bound=self.l2_norm_bound,
            sites=1,
            dropouts=0,
            colluding=0,
        )


def share_variance(sigma: float, *, sites: int, dropouts: int, colluding: int) -> float:
    """sigma^2 / (K - d - t): what each hospital adds, so that the guaranteed ones together add sigma^2.

    Raises ValueError unless d and t are not negative and K - d - t is positive.
    """
    honest = sites - dropouts - colluding
    if min(dropouts, colluding) < 0 or honest < 1:
        raise ValueError("at least one honest hospital must be left after all dropouts and colluding ones")
    return sigma**2 / honest


def faults_of(release: SharedIntegerRelease) -> list[str]:
    """Why no bound covers this release; empty when one does."""
    whole = (release.parameters, release.scale_bits, release.sites, release.dropouts, release.colluding)
    if not all(type(number) is int for number in whole):
        return ["its parameters, scale bits, sites, dropouts and colluding sites must be whole numbers"]
    faults = []
    if not 0 <= release.noise_multiplier < 2.0**64:
        faults.append("its noise multiplier must not be negative, and be below 2^64")
    if release.parameters < 1:
        faults.append("it must have at least one parameter")
    if not 0 <= release.scale_bits <= _LARGEST_SCALE_BITS:
        faults.append(f"its scale bits must lie between 0 and {_LARGEST_SCALE_BITS}")
    if not 0 < release.l2_norm_bound < 2.0**64:
        faults.append("its bound must be positive and below 2^64")
    if release.sites > _MOST_SITES:
        faults.append(f"it has more than {_MOST_SITES} sites")
    if min(release.dropouts, release.colluding) < 0 or release.honest_shares < 1:
        faults.append("no honest hospital is guaranteed to be present")
    return faults


@dataclass(frozen=True)
class GaussianEquivalent:
    """The release is as private as a Gaussian one of `noise_multiplier`, up to `excess`.

    noise_multiplier  standard deviation over sensitivity; 0 when nothing is promised.
    excess            the H of the proof: adds 2 H to epsilon and multiplies delta by e^H.
    """

    noise_multiplier: float
    excess: float


def gaussian_equivalent(release: SharedIntegerRelease) -> GaussianEquivalent:
    """The proof of the module's docstring in numbers. The release must have no faults."""
    shares, share = release.honest_shares, float(release.share_standard_deviation) ** 2
    return equivalent_of_shares(
        share, shares=shares, parameters=release.parameters, integer_sensitivity=release.integer_sensitivity
    )


def equivalent_of_shares(
    share_variance_steps: float, *, shares: int, parameters: int, integer_sensitivity: float
) -> GaussianEquivalent:
    """The same from what is drawn: `shares` discrete Gaussians of this variance (any, also a fraction of a step)."""
    total = shares * share_variance_steps
    blur = min(_BLUR_VARIANCE, total / 2)
    inner = share_variance_steps * np.arange(1, shares) / np.arange(2, shares + 1)
    wrong = [*(_theta_excess(variance) for variance in inner), _theta_excess(blur)]
    if max(wrong) >= 1:
        return GaussianEquivalent(0.0, math.inf)
    eta = -sum(math.log1p(-excess) for excess in wrong) + shares * math.log1p(_theta_excess(share_variance_steps))
    # A part in a million covers the rounding of these few operations and what underflows below the blur's 1e-34.
    return GaussianEquivalent(math.sqrt(total - blur) / integer_sensitivity, parameters * eta * (1 + 1e-6))


def _theta_excess(variance: float) -> float:
    """At least e(variance) of the proof: its series is below a geometric one, since j^2 >= 1 + 3 (j - 1)."""
    if variance <= 0.01:
        return math.inf
    first = math.exp(-2 * math.pi**2 * variance)
    return 2 * first / -math.expm1(-6 * math.pi**2 * variance)
