"""Does somebody else's network train as privately as promised, and is one that could not be refused?

The slow twin is torch's own gradient, one patient at a time.
"""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import oncofed.lab as of
from oncofed.cohort.encoding import columns
from oncofed.errors import FederationFailure, InvalidInput
from oncofed.protocol.plan import ModelSpec
from oncofed.simulations.federation import simulated_plan
from oncofed.simulations.lab.explaining import integrated_gradients
from oncofed.simulations.lab.other_network import (
    OtherNetwork,
    PatientGradients,
    described,
    load_vector,
    refuse_unfit,
    vector_of,
)
from oncofed.simulations.lab.strategies import settings_of
from oncofed.study.plan_settings import model_of
from oncofed.survival.grid import TimeGrid
from oncofed.survival.likelihood import PatientTensors, negative_log_likelihood

COLUMNS = 5
SPEC = ModelSpec(COLUMNS, ("death", "relapse"), TimeGrid((0.0, 6.0, 12.0, 24.0)), (0.02, 0.03), (4,), 0.7)
DOUBLE = torch.float64


def network(outputs: int = 2) -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(COLUMNS, 6), nn.ReLU(), nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, outputs))


def patients(count: int, *, seed: int = 1) -> PatientTensors:
    rng = np.random.default_rng(seed)
    shape = (count, 2, 3)
    events = np.zeros(shape)
    events[np.arange(count), :, rng.integers(0, 3, count)] = 1.0
    parts = (3 * rng.normal(size=(count, COLUMNS)), events, rng.uniform(0.1, 1.0, shape))
    return PatientTensors.of(*(torch.as_tensor(part) for part in parts))


def one_at_a_time(other: OtherNetwork, some: PatientTensors) -> Tensor:
    """(patients, trained): each patient's gradient, by torch alone."""
    rows = []
    for row in range(len(some)):
        here = slice(row, row + 1)
        log_hazard = other.correction.log_hazard() + other.network(some.x[here]).reshape(1, 2, 1)
        loss = negative_log_likelihood(log_hazard, some.events[here], some.at_risk[here]).sum()
        rows.append(torch.cat([each.reshape(-1) for each in torch.autograd.grad(loss, other.trained)]))
    return torch.stack(rows)


def test_each_patients_gradient_is_torchs_own() -> None:
    other, some = OtherNetwork(network(), SPEC), patients(7)
    with torch.no_grad():
        other.correction.correction.add_(0.3)
    found, losses = PatientGradients(other).gradients(some)
    torch.testing.assert_close(found, one_at_a_time(other, some))
    assert losses.shape == (7,)


def test_a_patient_adds_the_gradient_cut_to_the_bound() -> None:
    other, some = OtherNetwork(network(), SPEC), patients(30)
    whole = one_at_a_time(other, some)
    bound = float(torch.linalg.vector_norm(whole, dim=1).median())
    cut = PatientGradients(other).cut(some, l2_norm_bound=bound)
    lengths = torch.linalg.vector_norm(cut, dim=1)
    long = torch.linalg.vector_norm(whole, dim=1) > bound
    assert 0 < int(long.sum()) < 30
    torch.testing.assert_close(lengths[long], torch.full((int(long.sum()),), bound, dtype=DOUBLE))
    torch.testing.assert_close(cut[~long], whole[~long])


@pytest.mark.parametrize("spoilt", [math.nan, math.inf, 1e300])
def test_a_patient_whose_numbers_are_not_finite_adds_exactly_nothing(spoilt: float) -> None:
    some = patients(4)
    x = some.x.clone()
    x[2, 0] = spoilt
    others = PatientTensors.of(x, some.events, some.at_risk)
    cut = PatientGradients(OtherNetwork(network(), SPEC)).cut(others, l2_norm_bound=1.0)
    assert cut[2].abs().max() == 0
    assert bool((torch.linalg.vector_norm(cut, dim=1)[[0, 1, 3]] > 0).all())


def test_a_part_that_is_still_too_long_after_the_cut_adds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """No rounding that we know of does so; the cut is tried with norms that come out too small."""
    some, gradients = patients(30), PatientGradients(OtherNetwork(network(), SPEC))
    honest = torch.linalg.vector_norm
    whole = honest(gradients.cut(some, l2_norm_bound=1e9), dim=1)
    bound = float(whole.median())
    monkeypatch.setattr(torch.linalg, "vector_norm", lambda rows, dim: 0.9 * honest(rows, dim=dim))
    lengths = honest(gradients.cut(some, l2_norm_bound=bound), dim=1)
    assert float(lengths.max()) <= bound * (1 + 1e-9)
    assert int((lengths == 0).sum()) == int((whole > bound).sum())


class Exploding(nn.Module):
    """Overflows for a patient whose first column is above 2: finite inputs, infinite gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(COLUMNS, 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(x) * torch.where(x[:, :1] > 2, 1e30, 1.0) ** 12
        return out


def test_a_gradient_that_overflows_adds_exactly_nothing() -> None:
    some = patients(40)
    cut = PatientGradients(OtherNetwork(Exploding(), SPEC)).cut(some, l2_norm_bound=1.0)
    beyond = some.x[:, 0] > 2
    assert 0 < int(beyond.sum()) < 40
    assert cut[beyond].abs().max() == 0
    assert bool(torch.isfinite(cut).all())
    assert bool((torch.linalg.vector_norm(cut, dim=1) <= 1 + 1e-6).all())


def test_the_sum_is_that_of_the_patients_uphill_in_batches_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    other, some = OtherNetwork(network(), SPEC), patients(30)
    plan = simulated_plan(
        settings_of(of.local(epsilon=3, clip=0.5), of.FedAdam(), rounds=2),
        of.synthetic(patients=100, hospitals=2).schema,
        study="lab",
        roster=("a",),
        quorum=None,
        seed=1,
        model=described(other.network, SPEC),
    )
    gradients, weights = PatientGradients(other), vector_of(other, plan.model)
    expected = -gradients.cut(some, l2_norm_bound=0.5).sum(dim=0).numpy()
    for numbers in (10, 500, 4_000_000):
        monkeypatch.setattr("oncofed.simulations.lab.other_network.NUMBERS_AT_ONCE", numbers)
        total = gradients.ascent_sum(plan, weights, some)
        assert total.l2_norm_bound == 0.5
        np.testing.assert_allclose(total.vector[: len(expected)], expected, rtol=1e-9)
        assert not total.vector[len(expected) :].any()


def test_what_travels_is_what_is_trained() -> None:
    module = network()
    module[0].weight.requires_grad_(False)  # type: ignore[index]  # a Sequential
    other = OtherNetwork(module, SPEC)
    spec = described(module, SPEC)
    frozen = other.network[0].weight.clone()  # type: ignore[index]  # likewise
    vector = vector_of(other, spec)
    assert len(vector) == spec.parameters
    load_vector(other, np.arange(len(vector), dtype=np.float64))
    assert vector_of(other, spec)[: 6 + 6 + 24 + 4 + 10 - 1].tolist() == list(range(49))
    assert torch.equal(other.network[0].weight, frozen)  # type: ignore[index]  # likewise


class Mean(nn.Module):
    """Subtracts the batch's mean, as batch normalisation does, without saying so."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = network()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.inner(x - x.mean(dim=0))
        return out


class Sleeping(nn.Module):
    """Mixes patients by two weights that are 0 at first."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = network()
        self.first, self.second = (nn.Linear(COLUMNS, COLUMNS, bias=False) for _ in range(2))
        for layer in (self.first, self.second):
            nn.init.zeros_(layer.weight)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.inner(x + self.second(self.first(x).mean(dim=0, keepdim=True).expand_as(x)))
        return out


class Borrowed(nn.Module):
    """Takes a layer's weights without calling it, so that Opacus does not see what they do."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(COLUMNS, 2)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.layer.weight)


class Counting(nn.Module):
    """Remembers how often it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.asked = network(), 0

    def forward(self, x: Tensor) -> Tensor:
        self.asked += 1
        out: Tensor = self.inner(x) + self.asked
        return out


class Wrong(nn.Module):
    def __init__(self, change: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.inner, self.change = network(), change

    def forward(self, x: Tensor) -> object:
        return self.change(self.inner(x))


def frozen() -> nn.Module:
    return network().requires_grad_(False)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: nn.Sequential(nn.Linear(COLUMNS, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)), "Opacus refuses"),
        (lambda: nn.Sequential(network(), nn.Dropout(0.5)), "another answer when asked again"),
        (lambda: nn.Sequential(network(), nn.Dropout(0.5)).eval(), "another answer when asked again"),
        (Counting, "another answer when asked again"),
        (Mean, "when other patients are in the batch"),
        (Sleeping, "when other patients are in the batch"),
        (Borrowed, "per-patient gradients"),
        (lambda: network(outputs=3), "where (6, 2) is needed"),
        (lambda: Wrong(lambda out: out.sum()), "where (6, 2) is needed"),
        (lambda: Wrong(lambda out: out.tolist()), "returns list"),
        (lambda: Wrong(lambda out: out * math.nan), "not finite"),
        (lambda: nn.Linear(COLUMNS + 1, 2), "fails on (patients, 5)"),
        (frozen, "no parameter to train"),
        (lambda: nn.Sequential(nn.Linear(COLUMNS, 30_000), nn.Linear(30_000, 2)), "trained parameters"),
    ],
)
def test_a_network_that_could_not_keep_the_promise_is_refused(made: Callable[[], nn.Module], said: str) -> None:
    with pytest.raises(InvalidInput, match=said.replace("(", r"\(").replace(")", r"\)")):
        refuse_unfit(made(), spec=SPEC)


def test_a_sound_network_is_not_refused() -> None:
    refuse_unfit(network(), spec=SPEC)
    refuse_unfit(nn.Sequential(nn.Linear(COLUMNS, 8), nn.LayerNorm(8), nn.Linear(8, 2)), spec=SPEC)
    refuse_unfit(network(outputs=1), spec=replace(SPEC, endpoints=("death",), baseline_hazard=(0.02,)))


def test_the_network_that_was_given_is_not_changed() -> None:
    module = network(outputs=2)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    refuse_unfit(module, spec=SPEC)
    PatientGradients(OtherNetwork(module, SPEC)).cut(patients(3), l2_norm_bound=1.0)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert all(value.dtype is torch.float32 for value in module.state_dict().values())
    assert not any(layer._forward_hooks or layer._backward_hooks for layer in module.modules())


def test_the_reference_patient_has_no_log_hazard_ratio_and_the_baseline_carries_the_rest() -> None:
    other, x = OtherNetwork(network(), SPEC), torch.randn(4, COLUMNS, dtype=DOUBLE)
    with torch.no_grad():
        assert other(torch.zeros(1, COLUMNS, dtype=DOUBLE)).abs().max() == 0
        whole = other.baseline.log_hazard()[None] + other(x)[:, :, None]
        torch.testing.assert_close(whole, other.correction.log_hazard()[None] + other.network(x)[:, :, None])


def test_integrated_gradients_of_a_linear_network_are_weight_times_input() -> None:
    linear = nn.Linear(COLUMNS, 2).double()
    x = torch.randn(100, COLUMNS, dtype=DOUBLE)
    found = integrated_gradients(OtherNetwork(linear, SPEC), x, endpoint=1)
    np.testing.assert_allclose(found, (x * linear.weight[1]).detach().numpy(), rtol=1e-6)


def test_steps_are_doubled_until_the_parts_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    other, x = OtherNetwork(network(), SPEC), 20 * torch.randn(8, COLUMNS, generator=torch.Generator().manual_seed(1))
    x = x.double()
    with torch.no_grad():
        expected = other(x)[:, 0].numpy()
    gaps = []
    for most in (32, 1024):
        monkeypatch.setattr("oncofed.simulations.lab.explaining.MOST_STEPS", most)
        parts = integrated_gradients(other, x, endpoint=0)
        gaps.append(float(np.abs(parts.sum(axis=1) - expected).max()))
    assert gaps[1] <= 1e-3 < gaps[0]


def test_its_model_is_kept_and_needs_a_network_of_the_same_kind(tmp_path: Path) -> None:
    hospitals, test = tiny()
    run = of.train(hospitals, privacy=of.no_privacy(), network=small(test), rounds=1, progress=False)
    run.model.save(tmp_path / "model")
    again = of.load_model(tmp_path / "model", network=small(test))
    assert np.array_equal(again.predict_risk(test, at=6), run.model.predict_risk(test, at=6))
    assert again.bits == run.model.bits
    with pytest.raises(InvalidInput, match="does not fit the weights"):
        of.load_model(tmp_path / "model", network=nn.Linear(test.columns, 2))
    with pytest.raises(InvalidInput, match="a network of somebody's own"):
        of.load_model(tmp_path / "model")


def test_an_unfit_network_is_refused_by_train_before_anything_is_computed() -> None:
    hospitals, test = tiny()
    unfit = nn.Sequential(small(test), nn.Dropout(0.5))
    with pytest.raises(InvalidInput, match="another answer when asked again"):
        of.train(hospitals, privacy=of.local(epsilon=2), network=unfit, progress=False)


def tiny() -> tuple[dict[str, of.Patients], of.Patients]:
    hospitals, test = of.split(of.synthetic(patients=150, hospitals=3), test=0.2)
    return dict(hospitals), test


def small(columns_of: of.Patients) -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(len(columns(columns_of.schema)), 3), nn.ReLU(), nn.Linear(3, 2))


def test_it_trains_privately_and_what_leaves_is_charged_and_noised() -> None:
    hospitals, test = tiny()
    run = of.train(hospitals, privacy=of.local(epsilon=2), network=small(test), rounds=2, progress=False)
    assert run.spent["releases"].tolist() == [2, 2, 2]
    assert 1.9 < run.spent["epsilon"].max() <= 2
    assert run.plan.privacy.noise_multiplier > 1
    assert "project's own network only" in run.words
    assert not any(layer._forward_hooks or layer._backward_hooks for layer in run.model.network.modules())
    again = of.train(hospitals, privacy=of.local(epsilon=2), network=small(test), rounds=2, progress=False)
    apart = run.model.log_hazard_ratio(test) - again.model.log_hazard_ratio(test)
    assert np.abs(apart).max() > 1e-6, "noise follows from no seed"


def test_without_privacy_the_whole_is_gradient_ascent() -> None:
    """One round of FedAvg against torch's own gradient of everybody's loss."""
    hospitals, test = tiny()
    module = small(test)
    run = of.train(
        hospitals, privacy=of.no_privacy(), network=module, strategy=of.FedAvg(0.01), rounds=1, progress=False
    )
    schema = test.schema
    spec = model_of(settings_of(of.no_privacy(), of.FedAvg(), rounds=1), schema)
    twin = OtherNetwork(module, spec)
    from oncofed.survival.likelihood import patient_tensors  # noqa: PLC0415 - only this test's truth

    loss = torch.zeros(())
    for each in hospitals.values():
        some = patient_tensors(each.cohort)
        hazard = twin.correction(twin.outputs(some.x))
        loss = loss + negative_log_likelihood(hazard, some.events, some.at_risk).sum() / len(hospitals)
    gradients = torch.autograd.grad(loss, twin.trained)
    for mine, start, gradient in zip(run.model.network.parameters(), twin.trained, gradients, strict=True):
        torch.testing.assert_close(mine, start - 0.01 * gradient)


def test_a_network_that_fails_on_patients_fails_the_run_and_is_not_noise_in_silence() -> None:
    hospitals, test = tiny()

    class Picky(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = small(test)

        def forward(self, x: Tensor) -> Tensor:
            if len(x) > 10:
                raise ValueError(f"too many, such as {float(x.detach()[0, 0])}")
            out: Tensor = self.inner(x)
            return out

    with pytest.raises(FederationFailure, match=r"at first with ValueError\. What it said") as told:
        of.train(hospitals, privacy=of.local(epsilon=2), network=Picky(), rounds=1, progress=False)
    assert "such as" not in str(told.value)


def test_what_is_made_for_our_own_network_is_refused_for_it_all_at_once() -> None:
    hospitals, test = tiny()
    with pytest.raises(InvalidInput) as refused:
        of.train(
            hospitals,
            privacy=of.local(epsilon=2, bounding="stopped"),
            network=small(test),
            rounds=5,
            calibration_rounds=2,
            progress=False,
        )
    assert [fault.where for fault in refused.value.faults] == ["privacy: bounding", "calibration_rounds"]
    strategy = of.FedAvg(local=of.LocalSteps())
    with pytest.raises(InvalidInput, match="full batches only"):
        of.train(hospitals, privacy=of.no_privacy(), network=small(test), strategy=strategy, progress=False)


def test_opacus_and_captum_are_loaded_for_such_a_network_only() -> None:
    code = """
import sys
import oncofed.lab as of
hospitals, test = of.split(of.synthetic(patients=100, hospitals=2))
of.train(hospitals, privacy=of.local(epsilon=2), network=of.prognosis([2]), rounds=1, progress=False)
loaded = {name for name in ("opacus", "captum", "mlflow", "tensorboard", "IPython") if name in sys.modules}
assert not loaded, loaded
"""
    subprocess.run([sys.executable, "-c", code], check=True)
