"""The layered consortium: is the table as promised, and is the truth beside it that of the table?

The hazards given some layers are compared with what happens to patients drawn from the full hazard: by the martingale
property, events less the cumulative hazard given what is known have a mean of 0, in any group made by what is known.
"""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from oncofed.cohort.schema import Modality
from oncofed.cohort.schema_file import read_schema
from oncofed.cohort.validation import read_cohort, validate
from oncofed.errors import InvalidInput
from oncofed.simulations.cohort_commands import generate as generate_command
from oncofed.simulations.synthetic.files import TableFormat
from oncofed.simulations.synthetic.layered import (
    ALWAYS_KNOWN,
    LAYERS,
    SAYS_NOTHING,
    LayeredConsortium,
    LayeredPatients,
    draw_layered,
    generate_layered,
    layered_schema,
    normal_markers,
)
from oncofed.simulations.synthetic.layered_files import write_layered
from oncofed.simulations.synthetic.layered_truth import gauss_rule, given, true_gains, true_values
from oncofed.simulations.synthetic.outcomes import DEATH_SCALE_MONTHS, cumulative_hazard
from oncofed.survival.layer_values import LayerValues, coalitions

SMALL = {"patients": 300, "hospitals": 4}


@pytest.fixture(scope="module")
def consortium() -> LayeredConsortium:
    return generate_layered(patients=4_000, hospitals=6, seed=1)


@pytest.fixture(scope="module")
def many() -> LayeredPatients:
    return draw_layered(patients=40_000, hospitals=6, rng=np.random.default_rng(7))


@pytest.fixture(scope="module")
def values(many: LayeredPatients) -> LayerValues:
    return true_values(many, rng=np.random.default_rng(8))


def test_the_table_is_a_valid_cohort_and_each_layer_is_measured_as_a_whole(consortium: LayeredConsortium) -> None:
    cohort = validate(consortium.table, consortium.schema, where="table")
    assert len(cohort) == 4_000
    for number, layer in enumerate(LAYERS):
        members = [marker.name for marker in consortium.schema.markers if marker.modality is layer]
        recorded = ~np.isnan(np.stack([cohort.marker_values(name) for name in members], axis=1))
        np.testing.assert_array_equal(recorded.all(axis=1), recorded.any(axis=1))
        np.testing.assert_array_equal(recorded.all(axis=1), consortium.patients.measured[:, number])
        assert 0.3 < recorded.mean() < 1.0
    assert {marker.modality for marker in consortium.schema.markers} == {ALWAYS_KNOWN, *LAYERS}


def test_the_written_log_hazard_is_effect_times_recorded_value_in_the_schemas_scale(
    consortium: LayeredConsortium,
) -> None:
    """From the table alone, of those whose layers are recorded: effects by least squares leave nothing over."""
    truth, table = consortium.true_log_hazard, consortium.table
    for layer in (ALWAYS_KNOWN, *LAYERS):
        markers = [marker for marker in consortium.schema.markers if marker.modality is layer]
        z = np.stack(
            [
                (table[m.name].astype("Float64").to_numpy(np.float64, na_value=np.nan) - m.centre) / m.scale
                for m in markers
            ],
            axis=1,
        )
        whole = ~np.isnan(z).any(axis=1)
        said = truth[layer.value].to_numpy()[whole]
        effects, *_ = np.linalg.lstsq(z[whole], said, rcond=None)
        np.testing.assert_allclose(z[whole] @ effects, said, atol=1e-9)
        assert bool(np.any(np.abs(effects) > 0.05)) == (layer is not SAYS_NOTHING)
    parts = truth.drop(columns=["patient_id", "total"]).sum(axis=1)
    np.testing.assert_allclose(parts, truth["total"], atol=1e-12)


def test_who_is_sequenced_is_younger_and_fitter(consortium: LayeredConsortium) -> None:
    sequenced = consortium.patients.measured[:, LAYERS.index(Modality.DNA_MUTATION)]
    age = consortium.table["age_years"].to_numpy(np.float64)
    assert age[sequenced].mean() < age[~sequenced].mean() - 3


@pytest.mark.parametrize("kept", [(), (0,), (1,), (3,), (0, 4), (1, 3), (1, 2, 3, 4), (0, 1, 2, 3, 4)])
def test_events_less_the_hazard_given_the_layers_are_0_in_each_group_that_these_make(
    many: LayeredPatients, kept: tuple[int, ...]
) -> None:
    known, follow_up = given(many, kept), many.follow_up
    begin = cumulative_hazard(DEATH_SCALE_MONTHS, follow_up.entry_months)
    end = cumulative_hazard(DEATH_SCALE_MONTHS, follow_up.survival_months)
    early = np.minimum(end, np.maximum(begin, cumulative_hazard(DEATH_SCALE_MONTHS, np.full(len(many), 12.0))))
    died = follow_up.death_observed
    fifths = np.searchsorted(np.quantile(known.mean, (0.2, 0.4, 0.6, 0.8)), known.mean)
    for window, (first, last) in {"early": (begin, early), "late": (early, end)}.items():
        expected = known.cumulative(last) - known.cumulative(first)
        event = died & (end <= early if window == "early" else end > early)
        for fifth in range(5):
            rows = fifths == fifth
            error = (event[rows] - expected[rows]).mean()
            assert abs(error) < 4 * np.sqrt(event[rows].mean() / rows.sum())
            if not kept:  # the proportional hazard of the mean, which forgets that the frail die first, is noticed
                plain = (last - first)[rows] * np.exp(known.mean[rows])
                wrong = (event[rows] - plain).mean()
                assert window == "early" or fifth < 3 or abs(wrong) > 4 * np.sqrt(event[rows].mean() / rows.sum())


@pytest.mark.parametrize("kept", [(), (0,), (1,), (3,), (4,), (0, 4), (1, 3), (0, 2, 3)])
def test_what_is_not_known_has_the_law_that_is_said(many: LayeredPatients, kept: tuple[int, ...]) -> None:
    known = given(many, kept)
    left = many.always_known + many.by_layer.sum(axis=1) - known.mean
    for power, some in ((1, left), (2, left**2), (3, np.exp(left)), (4, np.exp(-2 * left))):
        said = known.weights @ [known.nodes, known.nodes**2, np.exp(known.nodes), np.exp(-2 * known.nodes)][power - 1]
        assert abs(some.mean() - said) < 4 * some.std() / np.sqrt(len(many))


def test_the_likelihood_ratio_of_the_truth_has_a_mean_of_1_at_any_stop(many: LayeredPatients) -> None:
    """E exp(l(nothing) - l(S)) = 1 where l(S) is of the true hazard given S, up to any stopping time."""
    compared = many.rows(np.flatnonzero(many.measured.all(axis=1)))
    late = compared.rows(compared.follow_up.entry_months > 3)
    for some in (compared, late):
        for cap in (0.3, 1.0):
            ratios = np.exp(-true_gains(some, hazard_cap=cap, largest_gain=50.0))
            errors = ratios.std(axis=0) / np.sqrt(len(some))
            assert np.all(np.abs(ratios.mean(axis=0) - 1) <= 4 * errors + 1e-12)
            assert errors[-1] < 0.02


def test_the_hazard_given_the_layers_is_the_slope_of_its_own_cumulative_hazard(many: LayeredPatients) -> None:
    some = many.rows(np.arange(50))
    for kept in coalitions(len(LAYERS)):
        known, at, step = given(some, kept), np.full(50, 0.7), 1e-5
        slope = (known.cumulative(at + step) - known.cumulative(at - step)) / (2 * step)
        np.testing.assert_allclose(np.exp(known.log_ratio(at)), slope, rtol=1e-7)


def test_with_all_layers_the_hazard_is_the_one_that_drew_the_outcomes(many: LayeredPatients) -> None:
    known = given(many, tuple(range(len(LAYERS))))
    f = many.always_known + many.by_layer.sum(axis=1)
    np.testing.assert_allclose(known.log_ratio(np.full(len(many), 0.4)), f, atol=1e-10)


def test_a_gauss_rule_has_the_moments_of_its_law() -> None:
    rng = np.random.default_rng(2)
    atoms, weights = rng.normal(size=300), rng.dirichlet(np.ones(300))
    nodes, shares = gauss_rule(atoms, weights, nodes=6)
    assert len(nodes) == 6
    for power in range(12):
        assert shares @ nodes**power == pytest.approx(weights @ atoms**power, rel=1e-8, abs=1e-9)
    assert shares @ nodes**12 != pytest.approx(weights @ atoms**12, rel=1e-4)  # six nodes have no more


def test_the_layer_that_says_nothing_is_worth_nothing_and_layers_that_overlap_share(values: LayerValues) -> None:
    by_name = {each.name: each for each in values.layers}
    nothing = by_name[SAYS_NOTHING.value]
    assert all(abs(each.mean) < 1e-12 for each in (nothing.share, nothing.alone, nothing.last))
    for name in (Modality.RNA_EXPRESSION, Modality.PROTEIN_EXPRESSION):
        each = by_name[name.value]
        assert each.alone.mean > each.share.mean + 0.005
        assert each.share.mean > each.last.mean + 0.005
    assert sum(each.share.mean for each in values.layers) == pytest.approx(values.together.mean)


def test_the_true_share_is_the_mean_over_all_orders_of_what_a_layer_adds_to_those_before(
    many: LayeredPatients, values: LayerValues
) -> None:
    means = true_gains(many.rows(np.flatnonzero(many.measured.all(axis=1)))).mean(axis=0)
    worth = dict(zip(map(frozenset, coalitions(len(LAYERS))), means, strict=True))
    orders = list(permutations(range(len(LAYERS))))
    for layer, told in enumerate(values.layers):
        added = [
            worth[frozenset(order[: order.index(layer) + 1])] - worth[frozenset(order[: order.index(layer)])]
            for order in orders
        ]
        assert told.share.mean == pytest.approx(np.mean(added), abs=1e-12)


def test_information_never_hurts_on_average(many: LayeredPatients) -> None:
    """Of the truth: each further layer adds, but for chance; that of the cut and of 40,000 patients is below 0.002."""
    means = true_gains(many.rows(np.flatnonzero(many.measured.all(axis=1)))).mean(axis=0)
    for k in range(len(means)):
        for layer in range(len(LAYERS)):
            assert means[k | 1 << layer] > means[k] - 0.002


@pytest.mark.parametrize("table_format", TableFormat)
def test_same_seed_same_bytes(table_format: TableFormat, tmp_path: Path) -> None:
    def written(seed: int, name: str) -> tuple[Path, ...]:
        made = generate_layered(**SMALL, seed=seed)
        return write_layered(made, tmp_path / name, table_format=table_format, population=2_000)

    first, second, other = written(5, "first"), written(5, "second"), written(6, "other")
    assert [path.name for path in first] == [
        f"patients.{table_format}",
        "schema.toml",
        "true_log_hazard.parquet",
        "true_values.json",
    ]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert [a.read_bytes() == b.read_bytes() for a, b in zip(first, other, strict=True)] == [False, True, False, False]
    read_cohort(first[0], read_schema(first[1]))
    assert read_schema(first[1]) == layered_schema()


def test_the_values_stand_in_the_file_and_nothing_is_overwritten(tmp_path: Path) -> None:
    made = generate_layered(**SMALL, seed=5)
    paths = write_layered(made, tmp_path / "made", population=20_000)
    told = json.loads(paths[3].read_text())
    assert set(told["values"]["layers"]) == {layer.value for layer in LAYERS}
    assert told["values"]["patients"] > 5_000
    assert told["values_among_these_patients"]["patients"] == int(made.patients.measured.all(axis=1).sum())
    assert told["values"]["layers"]["rna_expression"]["share"]["standard_error"] < 0.004
    assert len(pd.read_parquet(paths[2])) == 300
    with pytest.raises(InvalidInput, match="already exists"):
        write_layered(made, tmp_path / "made", population=100)


def test_the_command_makes_it_and_says_who_has_all_layers(tmp_path: Path) -> None:
    asked = ["--layers", "--patients", "200", "--hospitals", "3", "--out", str(tmp_path / "made")]
    done = CliRunner().invoke(generate_command, asked)
    assert done.exit_code == 0
    assert "all layers" in done.output
    assert (tmp_path / "made" / "true_values.json").exists()


def test_impossible_numbers_are_refused_together() -> None:
    with pytest.raises(InvalidInput) as refused:
        generate_layered(patients=2, hospitals=3, seed=-1)
    assert len(refused.value.faults) == 2


def test_markers_that_are_normal_are_those_of_the_schema_in_its_order() -> None:
    named = [marker.name for marker in layered_schema().markers]
    normal = [name for name in named if name in normal_markers().names]
    assert tuple(normal) == normal_markers().names
