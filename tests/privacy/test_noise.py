"""Is the noise that leaves as large as the policy says, Gaussian to its tails, fresh at each release, beyond any seed?

privacy.md, test 3, on what leaves a guard. Production noise has no seed, so these tests differ from run to run: each
fails by chance with probability below 1e-6, and each is seen to reject what is wrong by 3 %. That the integers are
exactly a discrete Gaussian is the affair of `test_integer_noise`.
"""

from __future__ import annotations

import ast
import contextlib
import os
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats
from tests.doubles import (
    FULL_BATCH_SIGMA,
    RecordedNoise,
    SeededNoise,
    drawn_patients,
    drawn_weights,
    local_privacy,
    model_spec,
    request_for,
    study_plan,
)

from oncofed.client.guard.guard import Guard
from oncofed.client.patients.training import ascent_sum
from oncofed.errors import EntropyFailure, PrivacyRefusal, RefusalCode, RequestRefused
from oncofed.privacy.bounded_sum import BoundedSum
from oncofed.privacy.ledger import MemoryLedger
from oncofed.privacy.noise import NoiseSource, NoNoise, OperatingSystemNoise
from oncofed.privacy.policy import SitePolicy
from oncofed.privacy.private_optimizer import PrivateOptimizer
from oncofed.privacy.release import Release
from oncofed.privacy.releases import Local, Masked, release_of_round
from oncofed.privacy.shared_noise import SharedIntegerRelease
from oncofed.protocol.plan import StudyPlan, TrainingMode, TrainingSpec
from oncofed.survival.likelihood import PatientTensors
from oncofed.survival.network import network_with, parameter_count

FloatArray = NDArray[np.float64]
REPOSITORY = Path(__file__).resolve().parents[2]

BY_CHANCE = 1e-6
DRAWS, MANY = 400_000, 4_000_000
WIDE = model_spec(columns=10_000, hidden_units=())
"""Many parameters, so that one release says much about its noise."""
POLICY = SitePolicy("registry", largest_epsilon=1000.0, delta=1e-5)
ONE_ROUND = TrainingSpec(rounds=1)


def answer_of(plan: StudyPlan, weights: FloatArray, patients: PatientTensors, *, noise: NoiseSource) -> FloatArray:
    """What leaves a new guard in round 1, whatever it costs."""
    plan = replace(plan, privacy=replace(plan.privacy, epsilon=POLICY.largest_epsilon))
    guard = Guard(
        site="Bonn",
        plan=plan,
        policy=POLICY,
        patients=lambda: patients,
        ledger=MemoryLedger(POLICY.budget),
        noise=noise,
    )
    return np.asarray(guard.contribute(request_for(plan, weights=weights)).vector, dtype=np.float64)


def noise_of_answers(count: int, *, noise_multiplier: float, bound: float) -> FloatArray:
    """(count, parameters): what was added to one and the same sum, in units of the bound."""
    privacy = local_privacy(noise_multiplier=noise_multiplier, l2_norm_bound=bound)
    plan = study_plan(model=WIDE, training=ONE_ROUND, privacy=privacy)
    patients, weights = drawn_patients(WIDE, 20, seed=0, scale=0.01), drawn_weights(WIDE, seed=0, scale=0.01)
    exact = ascent_sum(plan, weights, patients).vector / bound
    answers = (answer_of(plan, weights, patients, noise=OperatingSystemNoise()) for _ in range(count))
    return np.stack([answer - exact for answer in answers])


def p_of_scale(noise: FloatArray, sigma: float) -> float:
    """Two-sided, exact for Gaussian noise: sum of squares over sigma^2 is chi-squared."""
    statistic = float(np.square(noise / sigma).sum())
    return float(2 * min(stats.chi2.cdf(statistic, noise.size), stats.chi2.sf(statistic, noise.size)))


@pytest.mark.parametrize(("noise_multiplier", "bound"), [(FULL_BATCH_SIGMA, 1.0), (3.73, 0.2), (0.7, 50.0)])
def test_sigma_is_the_policys(noise_multiplier: float, bound: float) -> None:
    """In units of the bound, whatever that is."""
    noise = noise_of_answers(DRAWS // parameter_count(WIDE), noise_multiplier=noise_multiplier, bound=bound)
    assert noise.std() == pytest.approx(noise_multiplier, rel=0.01)
    assert p_of_scale(noise, noise_multiplier) > BY_CHANCE
    for wrong in (0.97, 1.03):
        assert p_of_scale(noise, wrong * noise_multiplier) < BY_CHANCE
    assert abs(noise.mean()) < 4.9 * noise_multiplier / np.sqrt(noise.size)


def test_every_parameter_gets_its_noise() -> None:
    noise = noise_of_answers(100, noise_multiplier=2.0, bound=1.0)
    by_parameter = np.square(noise / 2.0).sum(axis=0)
    p_of_any = BY_CHANCE / noise.shape[1] / 2
    assert stats.chi2.ppf(p_of_any, 100) < by_parameter.min()
    assert by_parameter.max() < stats.chi2.isf(p_of_any, 100)


def test_the_noise_is_gaussian_to_its_tails() -> None:
    noise = noise_of_answers(DRAWS // parameter_count(WIDE), noise_multiplier=4.0, bound=1.0).ravel() / 4.0
    assert stats.kstest(noise, stats.norm.cdf).pvalue > BY_CHANCE
    for wrong in (0.97, 1.03):
        assert stats.kstest(noise, stats.norm(scale=wrong).cdf).pvalue < BY_CHANCE
    for threshold in (3.0, 4.0):
        expected = 2 * stats.norm.sf(threshold)
        beyond = int((np.abs(noise) > threshold).sum())
        assert stats.binomtest(beyond, noise.size, expected).pvalue > BY_CHANCE
        assert stats.binomtest(0, noise.size, expected).pvalue < BY_CHANCE  # tails cut there would be noticed


def entropy_in_turn(monkeypatch: pytest.MonkeyPatch, *words: int) -> None:
    """The operating system gives so many 64-bit words, each to one call of it, as often as that call asks."""
    left = iter(words)
    monkeypatch.setattr(os, "urandom", lambda size: next(left).to_bytes(8, "little") * (size // 8))


@pytest.mark.parametrize(("whole", "sign"), [(6, 1), (6, -1), (7, 1), (7, -1)])
def test_draws_beyond_the_float32_tail_can_occur(whole: int, sign: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """`torch.normal` ends at 5.77; a delta of 1e-5 over many rounds needs what lies beyond.

    Three numbers make such a draw: no rest beside the whole standard deviations; U = exp(-k / 2 - 1 / 4), of which k
    come; and 2^-31 > exp(-k (k - 1) / 2), by which it is kept.
    """
    of_rest = (sign < 0) << 63
    of_whole = int(np.exp(-whole / 2 - 0.25) * 2**32) << 32 | 1
    entropy_in_turn(monkeypatch, of_rest, of_whole, 2**63, 2**63, 2**63)
    drawn = OperatingSystemNoise().discrete_gaussian(1, standard_deviation=2**20)
    assert drawn.tolist() == [sign * whole * 2**20]


@pytest.mark.parametrize("word", [0, 2**64 - 1, 2**63])
@pytest.mark.parametrize("standard_deviation", [1, 28, 2**20, 2**45])
def test_without_entropy_there_is_an_end_and_no_noise(
    word: int, standard_deviation: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be searched for for ever, or be the same each time; some words can be used once."""
    monkeypatch.setattr(os, "urandom", lambda size: word.to_bytes(8, "little") * (size // 8))
    with contextlib.suppress(EntropyFailure):
        drawn = OperatingSystemNoise().discrete_gaussian(3, standard_deviation=standard_deviation)
        assert len(set(drawn.tolist())) == 1


def test_where_there_is_no_entropy_nothing_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = study_plan(training=ONE_ROUND)
    weights, patients = drawn_weights(plan.model, seed=0), drawn_patients(plan.model, 5, seed=0)
    monkeypatch.setattr(os, "urandom", bytes)
    with pytest.raises(EntropyFailure, match="not random"):
        OperatingSystemNoise().discrete_gaussian(1, standard_deviation=2**20)
    with pytest.raises(RequestRefused) as refused:
        answer_of(plan, weights, patients, noise=OperatingSystemNoise())
    assert refused.value.code is RefusalCode.INTERNAL


def test_draws_within_a_release_are_uncorrelated() -> None:
    noise = noise_of_answers(DRAWS // parameter_count(WIDE), noise_multiplier=2.0, bound=1.0).ravel()
    limit = 4.9 / np.sqrt(DRAWS // 2)
    for lag in (1, 2, parameter_count(WIDE), DRAWS // 4, DRAWS // 2, DRAWS // 2 + 1):
        assert abs(np.corrcoef(noise[:-lag], noise[lag:])[0, 1]) < 4.9 / np.sqrt(noise.size - lag)
    squares = np.square(
        noise[: 2 * (noise.size // 2)].reshape(2, -1)
    )  # a shared radius would leave values uncorrelated
    assert abs(np.corrcoef(squares)[0, 1]) < limit


def test_two_releases_are_uncorrelated() -> None:
    first, second = noise_of_answers(20, noise_multiplier=2.0, bound=1.0).reshape(2, -1)
    limit = 4.9 / np.sqrt(first.size)
    assert abs(np.corrcoef(first, second)[0, 1]) < limit
    partly_reused = 0.03 * first + second
    assert abs(np.corrcoef(first, partly_reused)[0, 1]) > 0.5 * limit  # 3 % of the noise reused shows already


# Who joins a batch


@pytest.mark.parametrize("probability", [0.5, 0.03, 1 / 3])
def test_each_is_chosen_with_the_probability_and_independently(probability: float) -> None:
    chosen = OperatingSystemNoise().chosen(MANY, probability=probability)
    assert chosen.shape == (MANY,)
    assert stats.binomtest(int(chosen.sum()), MANY, probability).pvalue > BY_CHANCE
    assert stats.binomtest(int(chosen.sum()), MANY, 1.03 * probability).pvalue < BY_CHANCE
    for lag in (1, MANY // 2):
        assert abs(np.corrcoef(chosen[:-lag], chosen[lag:])[0, 1]) < 4.9 / np.sqrt(MANY - lag)


def test_the_probability_is_never_exceeded_and_is_exact_to_64_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Word by word: with 0.3 exactly those below 0.3 x 2^64, which is no whole number, are chosen."""
    below = int(0.3 * 2**64)  # exact: the float is a whole number of 2^-54
    for word, chosen in ((0, True), (below - 1, True), (below, False), (2**64 - 1, False)):
        entropy_in_turn(monkeypatch, word)
        assert OperatingSystemNoise().chosen(3, probability=0.3).tolist() == [chosen] * 3
    for probability, word, chosen in ((1.0, 2**64 - 1, True), (2.0**-64, 0, True), (2.0**-64, 1, False)):
        entropy_in_turn(monkeypatch, word)
        assert OperatingSystemNoise().chosen(1, probability=probability).tolist() == [chosen]
    entropy_in_turn(monkeypatch, 0)
    assert OperatingSystemNoise().chosen(1, probability=2.0**-65).tolist() == [False]  # rounded down, not up


# Seeds


def _seed_everything() -> None:
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)


def _global_states() -> tuple[bytes, str, str]:
    return torch.get_rng_state().numpy().tobytes(), repr(np.random.get_state()), repr(random.getstate())


def small_plan(mode: TrainingMode) -> StudyPlan:
    return study_plan(training=TrainingSpec(mode=mode, rounds=1, sampling_rate=0.5, local_steps=2))


@pytest.mark.parametrize("mode", TrainingMode)
def test_seeds_have_no_effect(mode: TrainingMode) -> None:
    plan = small_plan(mode)
    patients, weights = drawn_patients(plan.model, 20, seed=0), drawn_weights(plan.model, seed=0)
    released = []
    for _ in range(2):
        _seed_everything()
        before = _global_states()
        released.append(answer_of(plan, weights, patients, noise=OperatingSystemNoise()))
        assert _global_states() == before  # nothing was drawn from a generator that has a seed
    assert not np.intersect1d(released[0], released[1]).size


@pytest.mark.parametrize("mode", TrainingMode)
def test_torch_noise_would_be_noticed(mode: TrainingMode) -> None:
    """Opacus' own noise, for which the test above must fail: it repeats after a seed, and it moves the state."""

    class TorchNoise(SeededNoise):
        def discrete_gaussian(self, size: int, *, standard_deviation: int) -> NDArray[np.int64]:
            drawn = torch.randn(size, dtype=torch.float64) * standard_deviation
            return np.asarray(drawn.round().to(torch.int64).numpy())

    plan = small_plan(mode)
    patients, weights = drawn_patients(plan.model, 20, seed=0), drawn_weights(plan.model, seed=0)
    released = []
    for _ in range(2):
        _seed_everything()
        before = _global_states()
        released.append(answer_of(plan, weights, patients, noise=TorchNoise(0)))
        assert _global_states() != before
    np.testing.assert_array_equal(released[0], released[1])


# What the noise is added to


@pytest.mark.parametrize("mode", TrainingMode)
def test_the_number_of_patients_cannot_be_read_from_the_noise(mode: TrainingMode) -> None:
    """A mean's noise would be 100 times as small at n = 1,000 as at n = 10."""
    training = TrainingSpec(mode=mode, rounds=1, local_steps=1, sampling_rate=1.0, expected_batch_size=32.0)
    plan = study_plan(
        model=WIDE, training=training, privacy=local_privacy(noise_multiplier=FULL_BATCH_SIGMA, l2_norm_bound=0.1)
    )
    weights = drawn_weights(WIDE, seed=0, scale=0.01)
    # Full batch: in units of the bound. Epochs: what the plan's public constants make of it.
    sigma = FULL_BATCH_SIGMA * (1.0 if mode is TrainingMode.FULL_BATCH else 0.1 * training.local_learning_rate / 32.0)
    for n in (10, 1000):
        patients = drawn_patients(WIDE, n, seed=n, scale=0.01)
        first, second = (answer_of(plan, weights, patients, noise=OperatingSystemNoise()) for _ in range(2))
        difference = (first - second) / np.sqrt(2)
        assert p_of_scale(difference, sigma) > BY_CHANCE
        assert p_of_scale(difference, 1.1 * sigma) < BY_CHANCE


def test_noise_is_added_to_the_sum_in_the_order_of_parameters() -> None:
    """The release is the rounded sum plus exactly the drawn vector: nothing is drawn twice or left without."""
    spec = model_spec(hidden_units=(4, 3), endpoints=2)
    plan = study_plan(model=spec, privacy=local_privacy(noise_multiplier=5.0, l2_norm_bound=0.3))
    patients, weights = drawn_patients(spec, 25, seed=1), drawn_weights(spec, seed=1)
    noise = RecordedNoise(SeededNoise(4))
    released = answer_of(plan, weights, patients, noise=noise)
    (drawn,) = noise.drawn
    steps = np.rint(ascent_sum(plan, weights, patients).vector / 0.3 * 2**20)
    np.testing.assert_array_equal(released * 2**20, steps + drawn)


def test_each_local_step_draws_fresh_noise_and_a_fresh_batch() -> None:
    training = TrainingSpec(mode=TrainingMode.EPOCHS, rounds=1, local_steps=6, sampling_rate=0.5)
    plan = study_plan(training=training)
    noise = RecordedNoise(SeededNoise(4))
    answer_of(plan, drawn_weights(plan.model, seed=1), drawn_patients(plan.model, 25, seed=1), noise=noise)
    assert [len(draw) for draw in noise.drawn] == [parameter_count(plan.model)] * 6
    assert [len(batch) for batch in noise.batches] == [25] * 6
    assert len({draw.tobytes() for draw in noise.drawn}) == 6
    assert len({batch.tobytes() for batch in noise.batches}) == 6


ONE_SHARE = SharedIntegerRelease(2.0, 4, 20, 1.0, sites=1, dropouts=0, colluding=0)
RELEASES: dict[str, Release] = {
    "local": Local(ONE_SHARE, 0.5, 100),
    "masked": Masked(replace(ONE_SHARE, sites=3, dropouts=1), 0.5, 100),
}


@pytest.mark.parametrize("release", RELEASES.values(), ids=RELEASES)
def test_a_sum_that_is_not_the_releases_is_not_noised(release: Release) -> None:
    """The noise would be scaled to another bound than patients were cut to."""
    noise = RecordedNoise(OperatingSystemNoise())

    def mask(integers: NDArray[np.int64], largest_entry: int) -> NDArray[np.uint64]:
        return integers.view(np.uint64)

    for total, words in (
        (BoundedSum(np.zeros(4), 1.0), "another bound"),
        (BoundedSum(np.zeros(4), np.inf), "another bound"),
        (BoundedSum(np.zeros(5), 0.5), "another length"),
    ):
        with pytest.raises(PrivacyRefusal, match=words):
            release.sealed(total, noise=noise, mask=mask)
        with pytest.raises(PrivacyRefusal, match=words):
            release.noised(total, noise)
    assert noise.drawn == []
    assert release.sealed(BoundedSum(np.zeros(4), 0.5), noise=noise, mask=mask).shape == (4,)


def test_a_masked_release_does_not_leave_without_its_mask() -> None:
    with pytest.raises(PrivacyRefusal, match="mask"):
        RELEASES["masked"].sealed(BoundedSum(np.zeros(4), 0.5), noise=OperatingSystemNoise())
    with pytest.raises(PrivacyRefusal, match="mask"):
        RELEASES["masked"].sealed_without_patients(noise=OperatingSystemNoise())


@pytest.mark.parametrize("bound", [None, np.inf, 0.0, -1.0, np.nan])
def test_there_is_no_private_release_without_a_bound(bound: float | None) -> None:
    privacy = replace(local_privacy(), l2_norm_bound=bound)
    with pytest.raises(PrivacyRefusal, match="clip norm"):
        release_of_round(study_plan(privacy=privacy))


# Local steps, through Opacus' optimiser


def optimizer_for(
    noised: Callable[[BoundedSum], FloatArray], *, bound: float, expected_batch_size: float = 1.0
) -> PrivateOptimizer:
    network = network_with(WIDE, drawn_weights(WIDE, seed=0, scale=0.0))
    return PrivateOptimizer(
        torch.optim.SGD(network.parameters(), lr=0.5),
        l2_norm_bound=bound,
        expected_batch_size=expected_batch_size,
        noised=noised,
    )


def as_it_is(total: BoundedSum) -> FloatArray:
    return total.vector


def flat(tensors: list[torch.Tensor]) -> FloatArray:
    return np.asarray(torch.cat([tensor.detach().reshape(-1) for tensor in tensors]).numpy())


def gradients_of(optimizer: PrivateOptimizer) -> FloatArray:
    return flat([parameter.grad for parameter in optimizer.params])


def test_a_sum_of_another_bound_is_not_taken_for_a_step() -> None:
    optimizer = optimizer_for(as_it_is, bound=1.0)
    with pytest.raises(PrivacyRefusal, match="another bound"):
        optimizer.take_gradients(BoundedSum(np.zeros(parameter_count(WIDE)), 2.0))


def test_a_step_that_opacus_skips_takes_nothing() -> None:
    """Opacus leaves the sum without noise in `.grad` then."""
    optimizer = optimizer_for(as_it_is, bound=1.0)
    optimizer.signal_skip_step()
    with pytest.raises(PrivacyRefusal, match="no noise"):
        optimizer.take_gradients(BoundedSum(np.ones(parameter_count(WIDE)), 1.0))


def test_a_step_does_not_remember_the_one_before() -> None:
    optimizer = optimizer_for(as_it_is, bound=1.0)
    total = BoundedSum(np.linspace(0, 1, parameter_count(WIDE)), 1.0)
    for _ in range(3):
        optimizer.take_gradients(total)
        np.testing.assert_array_equal(gradients_of(optimizer), total.vector)


def test_a_noised_step_moves_the_weights_by_the_noised_sum_and_nothing_else_is_added() -> None:
    release = Local(SharedIntegerRelease(2.0, parameter_count(WIDE), 20, 1.0, 1, 0, 0), 0.1, 100)
    noise = RecordedNoise(SeededNoise(9))
    optimizer = optimizer_for(lambda total: release.noised(total, noise) * 0.1, bound=0.1, expected_batch_size=16.0)
    optimizer.take_gradients(BoundedSum(np.ones(parameter_count(WIDE)), 0.1))
    optimizer.original_optimizer.step()
    (drawn,) = noise.drawn
    noised = (10 * 2**20 + drawn) / 2**20 * 0.1
    np.testing.assert_allclose(flat(optimizer.params), -0.5 * noised / 16.0, rtol=1e-12, atol=1e-14)


# No float is drawn near patients

DRAWS_FLOATS = {
    *("normal", "normal_", "standard_normal", "randn", "randn_like", "gauss", "normalvariate", "lognormvariate"),
    *("log_normal_", "laplace", "cauchy_", "standard_exponential", "exponential_", "gumbel", "logistic", "standard_t"),
    *("rand", "rand_like", "uniform", "uniform_", "random", "random_sample", "triangular", "rvs", "poisson"),
    *("default_rng", "RandomState", "Generator", "SystemRandom", "manual_seed", "seed", "dropout", "Dropout"),
}
"""Methods and functions of numpy, torch, scipy and the standard library, and what makes a generator."""

MAY_DRAW = {
    "client/oncofed/client/records/audit_files.py": (
        {"Generator"},
        "the type of what gives the files of a log one after the other",
    ),
    "shared/oncofed/survival/network.py": (
        {"Generator", "manual_seed", "normal_"},
        "first weights, from the plan's public seed: no patient is there yet",
    ),
    "shared/oncofed/survival/bootstrap.py": (
        {"Generator", "random"},
        "the type of the generator that picks rows for an interval of a figure: whole numbers, of figures at home",
    ),
    "shared/oncofed/privacy/noise.py": (
        {"default_rng", "random"},
        "NoNoise: who joins a batch in a run without any privacy, repeatable from a seed",
    ),
    "shared/oncofed/explanation/training_noise.py": (
        {"default_rng", "normal", "random"},
        "a training on noise alone, from the plan's public numbers: it is added to nothing, and hides nothing",
    ),
    "client/oncofed/client/pages/missing_markers.py": (
        {"default_rng", "random"},
        "in which order donors are taken: whole numbers, and the same for every patient",
    ),
    # A model at one hospital: what is drawn there is shown at home, and nothing of it leaves.
    "client/oncofed/client/fit/before_after.py": ({"Generator", "random"}, "deals patients into parts: whole numbers"),
    "client/oncofed/client/fit/judging.py": ({"Generator", "random"}, "the type of the same"),
    "client/oncofed/client/fit/commands.py": ({"default_rng", "random"}, "the same, from the plan's public hash"),
    "client/oncofed/client/fit/node_drift.py": ({"default_rng", "random"}, "the generator for the limits below"),
    "client/oncofed/client/fit/drift.py": ({"Generator", "random"}, "the type of the same"),
    "client/oncofed/client/fit/cusum.py": (
        {"Generator", "normal", "random"},
        "made-up events, by which the limits of a chart are found; patients' own are compared with these limits",
    ),
    # Figures of a simulation's own patients.
    "shared/oncofed/survival/layer_values.py": ({"Generator", "random"}, "the type of the generator below"),
    "shared/oncofed/survival/simultaneous.py": (
        {"Generator", "random", "standard_normal"},
        "how wide intervals are that hold at once: a quantile of made-up deviations",
    ),
    "shared/oncofed/study/plan_settings.py": (
        {"dropout"},
        "a setting's name: the draw is of whole layers, from the plan",
    ),
    "client/oncofed/client/quality/times.py": ({"poisson"}, "its distribution function, which draws nothing"),
}


def drawn_in(source: str) -> set[str]:
    """What is called for by such a name, as an attribute or by an import."""
    nodes = list(ast.walk(ast.parse(source)))
    attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    imported = {
        alias.name.rpartition(".")[2]
        for node in nodes
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    return (attributes | imported) & DRAWS_FLOATS


def test_nothing_that_runs_beside_patients_draws_a_float() -> None:
    """A draw of a float that is added to a number made from patients tells on which lattice that number lay."""
    found = {
        path.relative_to(REPOSITORY).as_posix(): drawn
        for part in ("shared", "client")
        for path in sorted((REPOSITORY / part).rglob("*.py"))
        if (drawn := drawn_in(path.read_text()))
    }
    assert found == {path: names for path, (names, _) in MAY_DRAW.items()}


@pytest.mark.parametrize(
    "line",
    [
        "noise = np.random.default_rng().standard_normal(3)",
        "noise = rng.normal(scale=2.0, size=3)",
        "noise = torch.randn(3)",
        "noise = torch.empty(3).normal_()",
        "import random",
        "from random import gauss",
        "from numpy.random import default_rng as words",
        "noise = scipy.stats.norm.rvs(3)",
    ],
)
def test_such_a_line_would_be_noticed(line: str) -> None:
    assert drawn_in(line)
    assert not drawn_in("from math import sqrt\nnormals = sqrt(noise.discrete_gaussian(3)) + normal")


def test_a_source_of_noise_gives_whole_numbers_and_choices_only() -> None:
    public = {name for name in vars(NoiseSource) if not name.startswith("_")}
    assert public == {"discrete_gaussian", "chosen"}
    for source in (OperatingSystemNoise(), NoNoise(seed=0)):
        assert {name for name in dir(source) if not name.startswith("_")} == public
        assert source.discrete_gaussian(5, standard_deviation=3).dtype == np.int64
        assert source.chosen(5, probability=0.5).dtype == np.bool_
