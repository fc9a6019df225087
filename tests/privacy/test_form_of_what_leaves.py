"""Is what leaves of the release's form, and so let out, for any plan in its ranges and any weights in theirs?

A charge is made by then, so an answer of another form would be a charge for nothing. Also of what stands in for an
answer that could not be computed: there is nothing else to send.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.doubles import SilentNoise, drawn_patients, model_spec, round_contribution, study_plan

from oncofed.client.guard.egress import contribution_of, only_a_vector
from oncofed.client.patients import training as training_module
from oncofed.client.patients.training import weights_after_local_steps
from oncofed.errors import PrivacyRefusal
from oncofed.privacy.noise import NoiseSource, OperatingSystemNoise
from oncofed.privacy.releases import release_of_round
from oncofed.protocol.messages import Contribution
from oncofed.protocol.plan import PrivacyMode, PrivacySpec, StudyPlan, TrainingMode, TrainingSpec
from oncofed.protocol.weights import as_released
from oncofed.protocol.wire_form import serialised
from oncofed.ranges import WEIGHT, range_of

FloatArray = NDArray[np.float64]

SPEC = model_spec(columns=2, hidden_units=(2,))
PATIENTS = drawn_patients(SPEC, 6, seed=0)
NOISES: dict[str, NoiseSource] = {"noise": OperatingSystemNoise(), "silence": SilentNoise()}
"""Silence can be drawn too."""
TINY = (0.0, -0.0, 5e-324, -1e-310, 2.3e-308)


def within(owner: type, field: str) -> st.SearchStrategy[float]:
    """Its corners, and all between."""
    span = range_of(owner, field)
    return st.sampled_from([span.least, span.usual_least, span.usual_most, span.most]) | st.floats(
        span.least, span.most
    )


a_training = st.builds(
    TrainingSpec,
    mode=st.sampled_from(TrainingMode),
    local_learning_rate=within(TrainingSpec, "local_learning_rate"),
    local_steps=st.sampled_from([1, 2, 8]),
    sampling_rate=within(TrainingSpec, "sampling_rate"),
    expected_batch_size=within(TrainingSpec, "expected_batch_size"),
    proximal_mu=within(TrainingSpec, "proximal_mu"),
    weight_decay=within(TrainingSpec, "weight_decay"),
)
a_privacy = st.builds(
    lambda sigma, bound, bits, delta: PrivacySpec(PrivacyMode.LOCAL, 1.0, delta, sigma, bound, scale_bits=bits),
    within(PrivacySpec, "noise_multiplier"),
    within(PrivacySpec, "l2_norm_bound"),
    st.integers(4, 40),
    st.sampled_from([1e-5, 1e-9]),
)
a_weight = (
    st.sampled_from([*TINY, 1.0, -3.0, WEIGHT.usual_most, WEIGHT.least, WEIGHT.most])
    | st.floats(-5, 5)
    | st.floats(WEIGHT.least, WEIGHT.most)
)
some_weights = st.one_of(
    a_weight.map(lambda weight: np.full(SPEC.parameters, weight)),
    st.lists(a_weight, min_size=SPEC.parameters, max_size=SPEC.parameters).map(np.array),
)
STEEP = TrainingSpec(
    mode=TrainingMode.EPOCHS,
    local_learning_rate=1e3,
    local_steps=100,
    sampling_rate=1.0,
    expected_batch_size=0.1,
    proximal_mu=1e3,
    weight_decay=1e4,
)
FLAT = TrainingSpec(mode=TrainingMode.EPOCHS, local_learning_rate=1e-8, local_steps=1, expected_batch_size=1e6)


def private(sigma: float, bound: float) -> PrivacySpec:
    return PrivacySpec(PrivacyMode.LOCAL, 1.0, 1e-5, sigma, bound)


@pytest.mark.parametrize("noise", NOISES.values(), ids=NOISES)
@settings(deadline=None, max_examples=100)
@given(training=a_training, privacy=a_privacy, weights=some_weights)
@example(training=STEEP, privacy=private(1e6, 1e6), weights=np.full(SPEC.parameters, WEIGHT.most))
@example(training=STEEP, privacy=private(1.0, 1.0), weights=np.full(SPEC.parameters, 0.3))
@example(training=FLAT, privacy=private(1e-4, 1e-4), weights=np.full(SPEC.parameters, 1e9))
@example(training=FLAT, privacy=private(1e-4, 1e-4), weights=np.full(SPEC.parameters, 5e-324))
def test_an_answer_and_what_stands_in_for_one_are_of_the_form_and_leave(
    training: TrainingSpec, privacy: PrivacySpec, weights: FloatArray, noise: NoiseSource
) -> None:
    # A sum without noise may be all whole, as counts are: egress is there for that. With noise it is once in 10^6.
    assume(training.mode is TrainingMode.EPOCHS or noise is not NOISES["silence"])
    plan = study_plan(model=SPEC, training=training, privacy=privacy)
    try:
        release_of_round(plan).refuse_unless_sound()
    except PrivacyRefusal:
        assume(False)
    refuse_unless_it_leaves(plan, round_contribution(plan, weights, PATIENTS, noise=noise))
    refuse_unless_it_leaves(plan, in_its_place(plan, weights, noise))


def in_its_place(plan: StudyPlan, weights: FloatArray, noise: NoiseSource) -> NDArray[Any]:
    release = release_of_round(plan)
    if plan.training.mode is TrainingMode.EPOCHS:
        return weights_after_local_steps(plan, weights, None, release=release, noise=noise)
    return release.sealed_without_patients(noise=noise)


def refuse_unless_it_leaves(plan: StudyPlan, vector: NDArray[Any]) -> None:
    assert release_of_round(plan).fault_of(vector) == ""
    contribution_of(SPEC.parameters)(serialised(only_a_vector(Contribution(vector))))


@pytest.mark.parametrize(
    ("training", "privacy", "weights"),
    [(STEEP, private(1.0, 1.0), 0.3), (FLAT, private(1e-4, 1e-4), 5e-324)],
    ids=["overflow", "vanish"],
)
def test_steps_that_are_left_alone_overflow_or_vanish(
    training: TrainingSpec, privacy: PrivacySpec, weights: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the test above can fail."""
    plan = study_plan(model=SPEC, training=training, privacy=privacy)
    given_weights = np.full(SPEC.parameters, weights)
    monkeypatch.setattr(training_module, "WEIGHT", NoRange)
    monkeypatch.setattr(training_module, "as_released", lambda vector: vector)
    assert release_of_round(plan).fault_of(in_its_place(plan, given_weights, SilentNoise())) != ""


@given(weights=st.lists(st.integers(-(10**9), 10**9), min_size=1, max_size=9))
def test_weights_that_are_all_whole_are_not_to_be_taken_for_counts(weights: list[int]) -> None:
    released = as_released(np.array(weights, dtype=np.float64))
    assert np.abs(released - weights).max() < 1e-6
    assert (released == np.floor(released)).all() == (not any(weights))
    assert (np.abs(released) <= WEIGHT.most).all()


class NoRange:
    least, most = -np.inf, np.inf


@given(weight=st.floats(allow_nan=False))
def test_what_is_in_its_range_and_no_tiny_number_is_released_as_it_is(weight: float) -> None:
    released, _ = as_released(np.array([weight, 0.5]))
    if weight in WEIGHT and abs(weight) >= 2.2250738585072014e-308:
        assert released == weight
    else:
        assert released in (0.0, WEIGHT.least, WEIGHT.most)
