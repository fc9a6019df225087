"""The laws of a release: what is sealed can be opened, in any order, and is what was charged, checked and told."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from tests.doubles import RecordedNoise, SeededNoise, calibrated_privacy, model_spec, no_privacy, study_plan
from tests.summaries import evaluation_of

from oncofed.errors import PrivacyRefusal
from oncofed.privacy.accounting import GaussianRelease, PrivacyEvent, epsilon_of
from oncofed.privacy.bounded_sum import BoundedSum
from oncofed.privacy.masking import Attempt, MaskingPairs, masked, new_masking_key, public_masking_key_of
from oncofed.privacy.noise import NoNoise, OperatingSystemNoise
from oncofed.privacy.policy import WantedSummary, calibrated_together, planned_releases_of, releases_of
from oncofed.privacy.release import Mask, Release
from oncofed.privacy.releases import (
    Local,
    Masked,
    Unprotected,
    largest_patients,
    release_of_round,
    release_of_summary,
    round_release,
)
from oncofed.privacy.shared_noise import SampledIntegerRelease, SharedIntegerRelease
from oncofed.protocol.plan import PrivacyMode, PrivacySpec, SharedNoise, StudyPlan, TrainingMode, TrainingSpec

FloatArray = NDArray[np.float64]

BY_CHANCE = 1e-6
SITES = ("Bonn", "Celle", "Essen", "Hof")
KEYS = {site: new_masking_key() for site in SITES}
PUBLIC = {site: public_masking_key_of(key) for site, key in KEYS.items()}
ATTEMPT = Attempt("0" * 64, 3, 0, SITES, "1" * 64)
PATIENTS = 50
SILENT = NoNoise(seed=0)


def local(numbers: int, *, bound: float = 1.0, bits: int = 8, noise: float = 2.0) -> Local:
    return Local(SharedIntegerRelease(noise, numbers, bits, 1.0, 1, 0, 0), bound, PATIENTS)


def masked_release(numbers: int, *, bound: float = 1.0, bits: int = 8, noise: float = 2.0) -> Masked:
    return Masked(SharedIntegerRelease(noise, numbers, bits, 1.0, len(SITES), 1, 1), bound, PATIENTS)


def mask_of(site: str) -> Mask:
    pairs = MaskingPairs(own=site, private_key=KEYS[site], public_keys=PUBLIC)
    return lambda integers, most: masked(integers, pairs=pairs, attempt=ATTEMPT, largest_entry=most).words


MASKS = {site: mask_of(site) for site in SITES}
PROTECTED: list[Callable[..., Local | Masked]] = [local, masked_release]

a_bound = st.sampled_from([1e-4, 0.3, 1.0, 7.5])
some_bits = st.integers(0, 24)


@st.composite
def sums_of_hospitals(draw: st.DrawFn) -> tuple[float, list[FloatArray]]:
    """The bound, and one sum a hospital of at most PATIENTS patients; whole and half steps among the numbers."""
    bound, numbers = draw(a_bound), draw(st.integers(1, 6))
    sizes = st.one_of(st.floats(-PATIENTS, PATIENTS), st.integers(-2 * PATIENTS, 2 * PATIENTS).map(lambda n: n / 2))
    vectors = st.lists(sizes, min_size=numbers, max_size=numbers)
    return bound, [np.array(draw(vectors)) * bound for _ in SITES]


# Opened is what was sealed


@given(drawn=sums_of_hospitals(), bits=some_bits)
def test_without_its_noise_a_local_release_opens_to_each_sum_to_half_a_step(
    drawn: tuple[float, list[FloatArray]], bits: int
) -> None:
    bound, sums = drawn
    release = local(len(sums[0]), bound=bound, bits=bits)
    parts = [
        (site, release.sealed(BoundedSum(total, bound), noise=SILENT)) for site, total in zip(SITES, sums, strict=True)
    ]
    read = release.opened(parts, attempt=ATTEMPT)
    assert len(read) == len(SITES)
    for vector, total in zip(read, sums, strict=True):
        np.testing.assert_allclose(vector, total / bound, rtol=0, atol=0.5 / 2**bits)


@settings(deadline=None)
@given(drawn=sums_of_hospitals(), bits=some_bits)
def test_without_its_noise_a_masked_release_opens_to_the_one_sum_to_half_a_step_a_hospital(
    drawn: tuple[float, list[FloatArray]], bits: int
) -> None:
    bound, sums = drawn
    release = masked_release(len(sums[0]), bound=bound, bits=bits)
    parts = [
        (site, release.sealed(BoundedSum(total, bound), noise=SILENT, mask=MASKS[site]))
        for site, total in zip(SITES, sums, strict=True)
    ]
    (read,) = release.opened(parts, attempt=ATTEMPT)
    np.testing.assert_allclose(read, np.sum(sums, axis=0) / bound, rtol=0, atol=len(SITES) * 0.5 / 2**bits + 1e-12)


@pytest.mark.parametrize("bound", [0.5, math.inf])
def test_an_unprotected_release_opens_to_each_sum_itself(bound: float) -> None:
    release, total = Unprotected(3, bound), np.array([0.1, -2.0, 1e9])
    sent = release.sealed(BoundedSum(total, bound), noise=SeededNoise(1))
    np.testing.assert_array_equal(sent, total / (bound if math.isfinite(bound) else 1.0))
    assert [vector is sent for vector in release.opened([("Bonn", sent)], attempt=ATTEMPT)] == [True]


@settings(deadline=None)
@given(order=st.permutations(range(len(SITES))), seed=st.integers(0, 2**32 - 1))
def test_the_order_of_the_parts_changes_no_bit(order: list[int], seed: int) -> None:
    rng, noise = np.random.default_rng(seed), SeededNoise(seed)
    sums = [BoundedSum(rng.normal(size=5), 1.0) for _ in SITES]
    for make in PROTECTED:
        release = make(5)
        parts = [
            (site, release.sealed(total, noise=noise, mask=MASKS[site]))
            for site, total in zip(SITES, sums, strict=True)
        ]
        read = release.opened(parts, attempt=ATTEMPT)
        again = release.opened([parts[place] for place in order], attempt=ATTEMPT)
        expected = read if release.needs_everybody else tuple(read[place] for place in order)
        assert [vector.tobytes() for vector in again] == [vector.tobytes() for vector in expected]


def test_a_masked_sum_opens_with_everybody_or_not_at_all() -> None:
    release = masked_release(3)
    parts = [(site, release.sealed_without_patients(noise=SILENT, mask=MASKS[site])) for site in SITES]
    (read,) = release.opened(parts, attempt=ATTEMPT)
    np.testing.assert_array_equal(read, np.zeros(3))
    for missing in range(len(SITES)):
        with pytest.raises(PrivacyRefusal):
            release.opened(parts[:missing] + parts[missing + 1 :], attempt=ATTEMPT)


@settings(max_examples=30)
@given(total=st.lists(st.floats(-1e300, 1e300), min_size=4, max_size=4), bits=some_bits)
def test_a_part_is_cut_to_what_the_patients_of_the_promise_add_up_to(total: list[float], bits: int) -> None:
    release = local(4, bits=bits)
    sent = release.sealed(BoundedSum(np.array(total), 1.0), noise=SILENT)
    np.testing.assert_allclose(sent, np.clip(total, -PATIENTS, PATIENTS), rtol=0, atol=0.5 / 2**bits)


# What it refuses


@pytest.mark.parametrize("make", PROTECTED)
@pytest.mark.parametrize(
    ("total", "what"),
    [
        (BoundedSum(np.zeros(4), 2.0), "another bound"),
        (BoundedSum(np.zeros(4), 0.5), "another bound"),
        (BoundedSum(np.zeros(4), math.inf), "another bound"),
        (BoundedSum(np.zeros(4), math.nan), "another bound"),
        (BoundedSum(np.zeros(3), 1.0), "another length"),
        (BoundedSum(np.zeros(5), 1.0), "another length"),
        (BoundedSum(np.zeros((4, 1)), 1.0), "another length"),
        (BoundedSum(np.array([0, 0, math.nan, 0]), 1.0), "finite"),
        (BoundedSum(np.array([0, math.inf, 0, 0]), 1.0), "finite"),
    ],
    ids=str,
)
def test_a_sum_that_is_not_the_releases_is_refused(
    total: BoundedSum, what: str, make: Callable[[int], Local | Masked]
) -> None:
    noise = RecordedNoise(SeededNoise(0))
    with pytest.raises(PrivacyRefusal, match=what):
        make(4).sealed(total, noise=noise, mask=MASKS["Bonn"])
    with pytest.raises(PrivacyRefusal, match=what):
        make(4).noised(total, noise)
    assert noise.drawn == []


def test_an_unprotected_release_refuses_another_bound_or_length() -> None:
    for total in (BoundedSum(np.zeros(4), 2.0), BoundedSum(np.zeros(3), 1.0)):
        with pytest.raises(PrivacyRefusal):
            Unprotected(4, 1.0).sealed(total, noise=SILENT)


def test_a_share_of_the_noise_leaves_under_a_mask_only() -> None:
    release = masked_release(4)
    with pytest.raises(PrivacyRefusal, match="under a mask only"):
        release.sealed(BoundedSum(np.zeros(4), 1.0), noise=OperatingSystemNoise())
    with pytest.raises(PrivacyRefusal, match="under a mask only"):
        release.sealed_without_patients(noise=OperatingSystemNoise())


def test_integers_that_do_not_fit_are_refused_beforehand() -> None:
    for sound in (local(4, bits=44), masked_release(4, bits=44)):
        sound.refuse_unless_sound()
    with pytest.raises(PrivacyRefusal, match="float64"):  # 54 bounds x 2^48 steps: beyond 2^53
        local(4, bits=48, noise=0.1).refuse_unless_sound()
    coarse_noise = masked_release(4, bits=48, noise=0.1)
    coarse_noise.refuse_unless_sound()
    with pytest.raises(PrivacyRefusal, match="64 bits"):  # 4 hospitals x 10,000 bounds x 2^48 steps: beyond 2^63
        replace(coarse_noise, largest_patients=10_000).refuse_unless_sound()
    with pytest.raises(PrivacyRefusal, match="patients"):
        replace(local(4), largest_patients=200_001).refuse_unless_sound()


def test_a_private_sum_without_a_bound_a_delta_or_its_shares_is_refused() -> None:
    training, sound = TrainingSpec(), PrivacySpec(PrivacyMode.LOCAL, 1.0, 1e-6, 2.0, 1.0)
    round_release(training, sound, parameters=5)
    for faulty in (
        replace(sound, l2_norm_bound=None),
        replace(sound, l2_norm_bound=0.0),
        replace(sound, l2_norm_bound=math.nan),
        replace(sound, delta=0.0),
        replace(sound, delta=1.0),
        replace(sound, delta=math.nan),
        replace(sound, mode=PrivacyMode.DISTRIBUTED),
    ):
        with pytest.raises(PrivacyRefusal):
            round_release(training, faulty, parameters=5)


# What it takes for its own


@settings(deadline=None)
@given(drawn=sums_of_hospitals(), bits=some_bits, far=st.sampled_from([1.0, 1e6, 1e200]))
def test_it_finds_no_fault_in_what_it_sealed_whatever_the_patients(
    drawn: tuple[float, list[FloatArray]], bits: int, far: float
) -> None:
    bound, sums = drawn
    for make in PROTECTED:
        release = make(len(sums[0]), bound=bound, bits=bits)
        for total in sums:
            sent = release.sealed(BoundedSum(total * far, bound), noise=OperatingSystemNoise(), mask=MASKS["Bonn"])
            assert release.fault_of(sent) == ""
        assert release.fault_of(release.sealed_without_patients(noise=OperatingSystemNoise(), mask=MASKS["Bonn"])) == ""


@given(
    place=st.integers(0, 5),
    less_than_a_step=st.floats(0, 1, exclude_min=True, exclude_max=True).filter(lambda part: 3.0 + part not in (3, 4)),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_number_that_is_no_whole_step_is_a_fault(place: int, less_than_a_step: float, seed: int) -> None:
    release = local(6)
    sent = release.sealed(BoundedSum(np.linspace(-3, 3, 6), 1.0), noise=SeededNoise(seed))
    assert release.fault_of(sent) == ""
    sent[place] = (3.0 + less_than_a_step) / release.sum_event.scale
    assert "no whole steps" in release.fault_of(sent)


def test_each_change_of_its_form_is_a_fault() -> None:
    release, good = local(4), np.array([1.0, 0.0, -2.0, 0.5])
    assert release.fault_of(good) == ""
    assert "no whole steps" in release.fault_of(np.array([1.0, -0.0, -2.0, 0.5]))
    most = release.largest_entry / release.sum_event.scale
    assert most == PATIENTS + 40 * 2.0
    for sign in (1, -1):
        assert release.fault_of(np.array([0.0, 0.0, 0.0, sign * most])) == ""
        beyond = sign * (release.largest_entry + 1) / release.sum_event.scale
        assert "larger than any hospital's" in release.fault_of(np.array([0.0, 0.0, 0.0, beyond]))
    assert "larger than any hospital's" in release.fault_of(np.full(4, 1e300))
    for not_finite in (math.nan, math.inf, -math.inf):
        assert "not finite" in release.fault_of(np.array([1.0, 0.0, not_finite, 0.5]))
    assert "3 numbers where 4" in release.fault_of(good[:3])
    assert "numbers where 4" in release.fault_of(good[:, None])
    assert "masked" in release.fault_of(good.astype(np.uint64))
    assert release.fault_of(good.astype(np.float32)) != ""
    assert release.fault_of(good.astype(np.int64)) != ""


def test_of_a_masked_part_only_the_form_can_be_seen() -> None:
    release, words = masked_release(4), np.array([0, 2**64 - 1, 7, 2**63], dtype=np.uint64)
    assert release.fault_of(words) == ""
    assert release.implausibility_of(words) == ""
    assert "3 numbers where 4" in release.fault_of(words[:3])
    assert "unmasked" in release.fault_of(words.astype(np.float64))
    assert "unmasked" in release.fault_of(words.view(np.int64))


def test_weights_are_within_their_range_and_none_is_too_small_to_be_one() -> None:
    release = replace(local(3), of_steps=SampledIntegerRelease(2.0, 3, 8, 1.0, 0.1, 5))
    for good in ([0.1, 0.0, 1e9], [-1e9, 3.0, 47.5], [0.0, 0.0, 0.0], [2.3e-308, 0.0, 1.0]):
        assert release.fault_of(np.array(good)) == ""
        assert release.implausibility_of(np.array(good)) == ""
    for bad in (np.nextafter(1e9, np.inf), -1.1e9, 1e300, -0.0, 5e-324, -2e-308):
        assert "no local steps lead to" in release.fault_of(np.array([0.1, 0.0, bad]))
    assert "no local steps lead to" in release.fault_of(np.array([-1e9, 3.0, 47.0])), "as counts look"
    assert "not finite" in release.fault_of(np.array([0.1, math.nan, 0.0]))
    assert "numbers where 3" in release.fault_of(np.zeros(2))
    assert "masked" in release.fault_of(np.zeros(3, dtype=np.uint64))


def test_of_what_has_no_noise_only_finite_numbers_are_asked() -> None:
    for release in (Unprotected(3, 1.0), Unprotected(3, math.inf, of_steps=True)):
        assert release.fault_of(np.array([0.1, -0.0, 1e300])) == ""
        assert release.implausibility_of(np.array([0.1, -0.0, 1e300])) == ""
        assert "not finite" in release.fault_of(np.array([0.1, math.nan, 0.0]))
        assert "numbers where 3" in release.fault_of(np.zeros(2))
        assert "masked" in release.fault_of(np.zeros(3, dtype=np.uint64))


def test_honest_hospitals_of_the_promises_size_are_plausible_and_far_larger_ones_are_not() -> None:
    """Fails by chance with exp(-18) at most in each of 20 draws."""
    release = local(500)
    pull = np.zeros(500)
    pull[0] = PATIENTS
    for _ in range(20):
        sent = release.sealed(BoundedSum(pull, 1.0), noise=OperatingSystemNoise())
        assert release.implausibility_of(sent) == ""
        assert release.implausibility_of(sent + np.eye(500)[0] * 2 * PATIENTS) != ""


# What it costs


@cache
def plan_with(mode: PrivacyMode, training: TrainingSpec) -> StudyPlan:
    """A plan calibrated to epsilon 2 with a reserve, and with a summary that may be asked for twice."""
    model = model_spec()
    shares = SharedNoise(4, 1, 1) if mode is PrivacyMode.DISTRIBUTED else None
    privacy = no_privacy()
    if mode is not PrivacyMode.NONE:
        privacy = calibrated_privacy(
            training,
            epsilon=2.0,
            delta=1e-6,
            l2_norm_bound=0.5,
            reserve_rounds=2,
            shares=shares,
            parameters=model.parameters,
            scale_bits=12,
        )
    plan = study_plan(model=model, training=training, privacy=privacy)
    wanted = [WantedSummary(evaluation_of(plan, attempts=2), 0.3)]
    privacy, summaries = calibrated_together(training, privacy, wanted, parameters=model.parameters)
    return replace(plan, privacy=privacy, summaries=summaries)


FULL_BATCH = TrainingSpec(rounds=10)
EPOCHS = TrainingSpec(mode=TrainingMode.EPOCHS, rounds=10, local_steps=4, sampling_rate=0.25)
KINDS: dict[str, tuple[PrivacyMode, TrainingSpec, Callable[[StudyPlan], PrivacyEvent]]] = {
    "local": (
        PrivacyMode.LOCAL,
        FULL_BATCH,
        lambda plan: SharedIntegerRelease(plan.privacy.noise_multiplier, plan.model.parameters, 12, 1.0, 1, 0, 0),
    ),
    "epochs": (
        PrivacyMode.LOCAL,
        EPOCHS,
        lambda plan: SampledIntegerRelease(plan.privacy.noise_multiplier, plan.model.parameters, 12, 1.0, 0.25, 4),
    ),
    "distributed": (
        PrivacyMode.DISTRIBUTED,
        FULL_BATCH,
        lambda plan: SharedIntegerRelease(plan.privacy.noise_multiplier, plan.model.parameters, 12, 1.0, 4, 1, 1),
    ),
}


@pytest.mark.parametrize(("mode", "training", "expected"), KINDS.values(), ids=KINDS)
def test_what_it_is_charged_is_what_the_plan_is_calibrated_to(
    mode: PrivacyMode, training: TrainingSpec, expected: Callable[[StudyPlan], PrivacyEvent]
) -> None:
    plan = plan_with(mode, training)
    (spec,) = plan.summaries
    of_round, of_summary = release_of_round(plan), release_of_summary(plan, spec)
    assert of_round.event == expected(plan)
    sites = (4, 1, 1) if mode is PrivacyMode.DISTRIBUTED else (1, 0, 0)
    assert of_summary.event == SharedIntegerRelease(spec.noise_multiplier, spec.cells, 12, 1.0, *sites)
    everything = [of_round.event] * 12 + [of_summary.event] * 2
    assert sorted(releases_of(plan), key=repr) == sorted(everything, key=repr)
    assert sorted(planned_releases_of(plan), key=repr) == sorted([of_round.event] * 10 + [of_summary.event], key=repr)
    assert 1.99 < epsilon_of(everything, delta=1e-6) <= 2.0
    assert epsilon_of([*everything, of_round.event], delta=1e-6) > 2.0  # power: one more is seen
    assert release_of_summary(plan, spec).numbers == spec.cells
    assert of_round.numbers == plan.model.parameters


def test_without_privacy_it_is_charged_as_what_protects_nobody() -> None:
    plan = plan_with(PrivacyMode.NONE, FULL_BATCH)
    for release in (release_of_round(plan), release_of_summary(plan, plan.summaries[0])):
        assert release.event == GaussianRelease(0.0)
        assert not release.is_protected
        assert epsilon_of([release.event], delta=1e-6) == math.inf


@pytest.mark.parametrize("kind", KINDS)
def test_the_noise_that_is_drawn_is_the_noise_that_is_charged(kind: str) -> None:
    """One draw a sum, of as many numbers, with the share that the event says."""
    mode, training, _ = KINDS[kind]
    release = release_of_round(plan_with(mode, training))
    assert isinstance(release, Local | Masked)
    asked: list[tuple[int, int]] = []

    class Noting(SeededNoise):
        def discrete_gaussian(self, size: int, *, standard_deviation: int) -> NDArray[np.int64]:
            asked.append((size, standard_deviation))
            return super().discrete_gaussian(size, standard_deviation=standard_deviation)

    limits: list[int] = []

    def noting_mask(integers: NDArray[np.int64], most: int) -> NDArray[np.uint64]:
        limits.append(most)
        return integers.view(np.uint64)

    event = release.event
    assert isinstance(event, SharedIntegerRelease | SampledIntegerRelease)
    share = event.of_one_step.share_standard_deviation
    honest = 2 if mode is PrivacyMode.DISTRIBUTED else 1
    assert share == math.ceil(event.noise_multiplier * 2**12 / math.sqrt(honest))
    total = BoundedSum(np.zeros(release.numbers), 0.5)
    release.sealed(total, noise=Noting(0), mask=noting_mask)
    release.noised(total, Noting(0))
    release.sealed_without_patients(noise=Noting(0), mask=noting_mask)
    assert asked == [(release.numbers, share)] * 3
    assert set(limits) == ({release.largest_entry} if release.needs_everybody else set())
    one = release.noise_of_sum(hospitals=1)
    assert one == pytest.approx(share / 2**12)
    assert release.noise_of_sum(hospitals=9) == pytest.approx(3 * one)
    assert f"{event.noise_multiplier:.3g} times" in release.noise_words()
    assert "limited to length 0.5" in release.noise_words()


# What leaves without patients


def same(one: FloatArray, other: FloatArray) -> float:
    """The p value of a two-sample test that they have one distribution."""
    return float(stats.ks_2samp(one, other).pvalue)


@pytest.mark.parametrize("make", PROTECTED)
def test_noise_alone_is_what_a_sum_of_zeros_would_be(make: Callable[..., Local | Masked]) -> None:
    """Fails by chance once in a million. Noise a tenth larger, or a pull of a tenth of it, is seen."""
    release, numbers = make(100_000, bits=20), 100_000
    nobody = BoundedSum(np.zeros(numbers), 1.0)

    def read(seal: Callable[[Mask], NDArray[Any]]) -> FloatArray:
        return release.opened([(site, seal(MASKS[site])) for site in SITES], attempt=ATTEMPT)[0]

    def sealed(total: BoundedSum, release: Release = release) -> FloatArray:
        return read(lambda mask: release.sealed(total, noise=OperatingSystemNoise(), mask=mask))

    alone = read(lambda mask: release.sealed_without_patients(noise=OperatingSystemNoise(), mask=mask))
    assert same(alone, sealed(nobody)) > BY_CHANCE
    larger = make(numbers, bits=20, noise=2.2)
    assert same(alone, sealed(nobody, larger)) < BY_CHANCE
    spread = release.noise_of_sum(hospitals=1)
    assert same(alone, sealed(BoundedSum(np.full(numbers, 0.1 * spread), 1.0))) < BY_CHANCE


def test_without_noise_nobody_is_zeros() -> None:
    np.testing.assert_array_equal(Unprotected(3, 1.0).sealed_without_patients(noise=SeededNoise(1)), np.zeros(3))


# For how many patients


@pytest.mark.parametrize(
    ("delta", "patients"),
    [(1e-5, 10_000), (1e-6, 100_000), (2e-6, 50_000), (3e-6, 33_333), (1e-7, 200_000), (1e-300, 200_000), (0.3, 1)],
)
def test_the_promise_holds_for_a_tenth_of_one_over_delta_and_what_float64_allows(delta: float, patients: int) -> None:
    assert largest_patients(delta) == patients
    privacy = PrivacySpec(PrivacyMode.LOCAL, 1.0, delta, 2.0, 1.0)
    release = round_release(TrainingSpec(), privacy, parameters=5)
    assert isinstance(release, Local)
    assert release.largest_patients == patients


def test_fewer_patients_for_a_larger_delta() -> None:
    deltas = np.geomspace(1e-9, 0.9, 200)
    found = [largest_patients(float(delta)) for delta in deltas]
    assert all(more >= fewer >= 1 for more, fewer in itertools.pairwise(found))
