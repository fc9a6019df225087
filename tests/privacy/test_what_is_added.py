"""Is what a patient adds finite, within the bound and the patient's own affair, for any plan, weights and patient?

Any plan inside the ranges, any finite weights (crafted ones: huge, subnormal, both at once), any patient, absurd ones
too. The length is computed here, exactly, from the vector that a patient adds, and not with the code under test.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.doubles import model_spec
from torch import Tensor

from oncofed.privacy import mechanism
from oncofed.privacy.mechanism import CutPart, cut_parts, stopped_parts
from oncofed.protocol.plan import ModelSpec, PrivacySpec
from oncofed.ranges import Range, outside, range_of
from oncofed.survival import one_by_one
from oncofed.survival.comparators import Comparator
from oncofed.survival.grid import TimeGrid
from oncofed.survival.likelihood import PatientTensors, patient_losses
from oncofed.survival.network import BaselineHazard, network_with
from oncofed.survival.one_by_one import GridRows
from oncofed.survival.stopped_residuals import squared_bound
from oncofed.survival.time_shapes import TimeShapes

FloatArray = NDArray[np.float64]

TOLERANCE = Fraction(1, 10**7)
LARGEST = float(np.finfo(np.float64).max)


# --- the property


@dataclass(frozen=True, eq=False)
class Case:
    spec: ModelSpec
    l2_norm_bound: float
    weights: FloatArray
    patients: PatientTensors
    hazard_cap: float | None = None
    """None: gradients are cut."""


def parts_of_case(case: Case, patients: PatientTensors) -> list[CutPart]:
    network, bound = network_with(case.spec, case.weights), case.l2_norm_bound
    if case.hazard_cap is None:
        return cut_parts(network, patients, l2_norm_bound=bound, losses=patient_losses)
    return stopped_parts(network, patients, hazard_cap=case.hazard_cap, l2_norm_bound=bound)


def violations(case: Case) -> list[str]:
    """What is wrong with what each of the patients adds; nothing, one hopes."""
    everyone, parts_of = case.patients, partial(parts_of_case, case)
    most = (Fraction(case.l2_norm_bound) * (1 + TOLERANCE)) ** 2
    together = bits(parts_of(everyone))
    backwards = bits(parts_of(everyone.rows(torch.arange(len(everyone) - 1, -1, -1))))[::-1]
    found = [] if together == backwards else ["the order of patients matters"]
    for row in range(len(everyone)):
        alone = parts_of(everyone.rows(torch.tensor([row])))
        added = [number for part in alone for number in (part.at_output.T @ part.input).flatten().tolist()]
        if not all(map(math.isfinite, added)):
            found.append(f"patient {row} adds a number that is not finite")
        elif sum(Fraction(number) ** 2 for number in added) > most:
            found.append(f"patient {row} adds more than the bound")
        if bits(alone)[0] != together[row]:
            found.append(f"what patient {row} adds depends on who else is there")
    return found


def bits(parts: list[CutPart]) -> list[bytes]:
    """Of the rows of each patient."""
    return [
        b"".join(part.at_output[row].numpy().tobytes() + part.input[row].numpy().tobytes() for part in parts)
        for row in range(len(parts[0].input))
    ]


# --- what it is tried on

SIZES = (
    0.0,
    1.0,
    1e-300,
    5e-324,
    2.0**-500,
    1e-160,
    1e-30,
    1e8,
    1e30,
    1e150,
    2.0**499,
    2.0**500,
    1e180,
    1e300,
    LARGEST,
)
ABSURD = (math.nan, math.inf, -math.inf, 1e30, -1e30, 1e150, 2.0**499, 2.0**500, 1e160, LARGEST, 5e-324, 2.0**-537)


def within(span: Range) -> st.SearchStrategy[float]:
    """Both ends, and as many small as large ones."""
    logarithms = st.floats(math.log(span.least), math.log(span.most))
    return st.one_of(
        st.sampled_from([span.least, span.most, span.usual_least, span.usual_most]),
        logarithms.map(lambda number: min(max(math.exp(number), span.least), span.most)),
    )


ALLOWED_WEIGHT = within(range_of(ModelSpec, "baseline_weight"))


@st.composite
def specs(draw: st.DrawFn, baseline_weight: st.SearchStrategy[float]) -> ModelSpec:
    widths = draw(st.lists(within(range_of(TimeGrid, "widths")), min_size=1, max_size=4))
    endpoints = draw(st.integers(1, 3))
    hidden_units = tuple(draw(st.lists(st.integers(1, 5), max_size=3)))
    spec = model_spec(
        columns=draw(st.integers(1, 9)),
        endpoints=endpoints,
        hidden_units=hidden_units,
        linear_branch=not hidden_units or draw(st.booleans()),
        baseline_weight=draw(baseline_weight),
        grid=TimeGrid((0.0, *np.cumsum(widths).tolist())),
    )
    rate = within(range_of(ModelSpec, "baseline_hazard"))
    shapes = draw(st.none() | time_shapes(spec.columns))
    beside = tuple(draw(comparator(spec.columns, name)) for name in "ab"[: draw(st.integers(0, 2))])
    rates = tuple(draw(rate) for _ in range(endpoints))
    return replace(spec, baseline_hazard=rates, time_shapes=shapes, comparators=beside)


@st.composite
def time_shapes(draw: st.DrawFn, columns: int) -> TimeShapes:
    return TimeShapes(
        functions=draw(st.integers(1, 2)),
        centre=draw(within(range_of(TimeShapes, "centre"))),
        weight=draw(within(range_of(TimeShapes, "weight"))),
        entity_columns=tuple(draw(st.lists(st.integers(0, columns - 1), max_size=3))),
    )


@st.composite
def comparator(draw: st.DrawFn, columns: int, name: str) -> Comparator:
    own = draw(st.lists(st.integers(0, columns - 1), min_size=1, max_size=3, unique=True))
    return Comparator(name, tuple(own), (), draw(within(range_of(Comparator, "weight"))))


@st.composite
def cases(draw: st.DrawFn, *, baseline_weight: st.SearchStrategy[float] = ALLOWED_WEIGHT) -> Case:
    spec = draw(specs(baseline_weight))
    assume(not [each for each in outside(spec) if "baseline_weight" not in each.where])
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    sizes = draw(st.lists(st.sampled_from(SIZES), min_size=1, max_size=3))
    weights = rng.choice(sizes, spec.parameters) * rng.choice([-1.0, 1.0, rng.uniform(-1, 1)], spec.parameters)
    n = draw(st.integers(1, 3))
    x = rng.normal(size=(n, spec.columns)) * draw(st.sampled_from([1.0, 3.0, 1e7]))
    shape = (n, len(spec.endpoints), spec.grid.intervals)
    at_risk, events = rng.uniform(0, 1, shape), (rng.random(shape) < 0.3).astype(float)
    for part in (x, at_risk, events):
        for odd in draw(st.lists(st.sampled_from(ABSURD), max_size=2)):
            part[rng.integers(n)][..., rng.integers(part.shape[-1])] = odd
    patients = PatientTensors.of(*map(torch.as_tensor, (x, events, at_risk)))
    cap = draw(st.one_of(st.none(), within(range_of(PrivacySpec, "hazard_cap"))))
    return Case(spec, draw(within(range_of(PrivacySpec, "l2_norm_bound"))), weights, patients, cap)


def properly(examples: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))


def tried(case: Case) -> None:
    assert np.isfinite(case.weights).all()
    assert violations(case) == []


def tried_inside(case: Case) -> None:
    assert outside(case.spec) == []
    tried(case)


@properly(120)
@given(case=cases())
def test_what_is_added_is_within_the_bound_whatever_the_plan_the_weights_and_the_patient(case: Case) -> None:
    tried_inside(case)


@pytest.mark.slow
@properly(10_000)
@given(case=cases())
def test_so_it_is_in_ten_thousand_cases(case: Case) -> None:
    tried_inside(case)


ANY_SIZE = st.one_of(st.floats(1e-300, LARGEST), st.sampled_from(SIZES[1:]))


@properly(60)
@given(case=cases(baseline_weight=ANY_SIZE))
def test_and_with_a_baseline_weight_that_no_plan_may_have(case: Case) -> None:
    """The range is one defence; what is added is held to the bound without it."""
    tried(case)


def test_patients_of_these_cases_do_add_something() -> None:
    """Else all of the above were true of zeros."""
    adding: dict[bool, list[bool]] = {False: [], True: []}

    @properly(80)
    @given(case=cases())
    def look(case: Case) -> None:
        parts = parts_of_case(replace(case, l2_norm_bound=1.0), case.patients)
        adding[case.hazard_cap is None].append(any(bool((part.at_output != 0).any()) for part in parts))

    look()
    assert min(map(sum, adding.values())) >= 5, "of about 20 and more; cases are drawn anew each time"


# --- with a defence taken out


def ordinary_patients(spec: ModelSpec, *, n: int = 3) -> PatientTensors:
    events = torch.zeros(n, len(spec.endpoints), spec.grid.intervals, dtype=torch.float64)
    events[:, :, 0] = 1.0
    x = torch.as_tensor(np.random.default_rng(0).normal(size=(n, spec.columns)))
    return PatientTensors.of(x, events, torch.full_like(events, 0.5))


def one_case(*, baseline_weight: float, hazard_cap: float | None = None) -> Case:
    spec = model_spec(baseline_weight=baseline_weight, endpoints=1)
    weights = np.zeros(spec.parameters)
    weights[spec.baseline_parameters :] = 100.0
    return Case(spec, 1.0, weights, ordinary_patients(spec), hazard_cap)


RIGHT = one_by_one._baseline


def believed_to_fit(layer: BaselineHazard, note: Any) -> Callable[[Tensor], Tensor]:
    """As it was: the baseline's row was made by hand, and said to fit whatever it was."""
    right = RIGHT(layer, lambda *_: None)

    def forward(log_hazard_ratio: Tensor) -> Tensor:
        output = right(log_hazard_ratio)
        weight = torch.full((len(output), 1), layer.weight, dtype=torch.float64)
        note(layer.correction, GridRows(weight, torch.ones(len(output), dtype=torch.bool), weight[:, 0]), output)
        return output

    return forward


def nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mechanism, "_within", lambda _bound, _groups, cut: torch.ones(len(cut[0]), dtype=torch.bool))


def the_cut_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    right = mechanism._length
    monkeypatch.setattr(mechanism, "_length", lambda norms: right(norms) / 2)


def test_a_baseline_row_believed_to_fit_is_caught_by_the_second_look(monkeypatch: pytest.MonkeyPatch) -> None:
    case = one_case(baseline_weight=1e180)
    monkeypatch.setattr(one_by_one, "_baseline", believed_to_fit)
    assert violations(case) == []
    nobody_looks(monkeypatch)
    assert any("not finite" in each for each in violations(case))


def test_a_cut_that_does_not_cut_enough_adds_nothing_and_without_the_second_look_is_noticed_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = one_case(baseline_weight=1.0)
    the_cut_is_wrong(monkeypatch)
    assert violations(case) == []
    parts = cut_parts(network_with(case.spec, case.weights), case.patients, l2_norm_bound=1.0, losses=patient_losses)
    assert not any(bool(part.at_output.any()) for part in parts)
    nobody_looks(monkeypatch)
    assert violations(case) == [f"patient {row} adds more than the bound" for row in range(3)]


def test_a_weight_that_is_too_large_adds_nothing_and_without_the_second_look_is_noticed_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = replace(one_case(baseline_weight=1.0, hazard_cap=1.0), l2_norm_bound=0.1)
    right = squared_bound
    monkeypatch.setattr(mechanism, "squared_bound", lambda *given, **named: right(*given, **named) / 100)
    assert violations(case) == []
    assert not any(bool(part.at_output.any()) for part in parts_of_case(case, case.patients))
    nobody_looks(monkeypatch)
    assert violations(case) == [f"patient {row} adds more than the bound" for row in range(3)]


def baseline_row(case: Case) -> GridRows:
    network, told = network_with(case.spec, case.weights), dict[Tensor, GridRows]()

    def note(parameter: Tensor, fed: GridRows, _output: Tensor) -> None:
        told[parameter] = fed

    with one_by_one.one_by_one(network, case.patients.fed, note=note):
        network.log_hazard(case.patients.x)
    return told[network.baseline.correction]


@pytest.mark.parametrize("hazard_cap", [None, 1.0])
def test_a_comparator_that_the_bound_forgets_adds_nothing_and_without_the_second_look_is_noticed_here(
    hazard_cap: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = replace(one_case(baseline_weight=1.0, hazard_cap=hazard_cap), l2_norm_bound=0.1)
    spec = replace(plain.spec, comparators=(Comparator("stage", (0, 2), (), 5.0),))
    case = replace(plain, spec=spec, weights=np.zeros(spec.parameters))
    assert all(bool(part.at_output.any()) for part in parts_of_case(case, case.patients)[-2:])
    right = mechanism._length
    monkeypatch.setattr(mechanism, "_length", lambda norms: right(norms[:-2]))  # of the network alone
    monkeypatch.setattr(mechanism._StoppedHead, "squared_bound", lambda head, **_: 0.0 * head.residuals[:, 0, 0])
    assert violations(case) == []
    assert not any(bool(part.at_output.any()) for part in parts_of_case(case, case.patients))
    nobody_looks(monkeypatch)
    assert violations(case) == [f"patient {row} adds more than the bound" for row in range(3)]


def test_a_baseline_weight_that_is_too_large_is_told_as_that() -> None:
    """So rows say of themselves what is true: there is one place where they are made."""
    for weight, fits in ((1.0, True), (1e150, True), (2.0**500, False), (1e300, False)):
        row = baseline_row(one_case(baseline_weight=weight))
        assert row.fits.tolist() == [fits] * 3
        assert bool(row.values.any()) is fits


def test_no_other_module_makes_rows_that_are_multiplied() -> None:
    roots = (Path(__file__).parents[2] / root for root in ("shared", "client", "server", "simulations"))
    making = {
        path.name: len(re.findall(r"\bGridRows\(", path.read_text())) for root in roots for path in root.rglob("*.py")
    }
    assert {name: count for name, count in making.items() if count} == {"one_by_one.py": 3}  # `on_grid`, some, joined
