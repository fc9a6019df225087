"""Is what each layer is worth to a model computed on the right patients, from what the model says without it?

The model is made by hand from the true effects of the layered consortium, so that what it says is known.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import oncofed.lab as of
from oncofed.cohort.cohort import Cohort
from oncofed.cohort.encoding import columns, encode
from oncofed.cohort.schema import Modality
from oncofed.cohort.validation import validate
from oncofed.errors import InvalidInput
from oncofed.protocol.plan import ModelSpec
from oncofed.simulations.layer_value import compared_layers, gains_by_layers
from oncofed.simulations.synthetic.layered import LAYERS, LayeredConsortium, generate_layered
from oncofed.study.value_settings import layers_of
from oncofed.survival.layer_values import coalitions, contrasts
from oncofed.survival.network import PrognosisNetwork, network_with


@pytest.fixture(scope="module")
def consortium() -> LayeredConsortium:
    return generate_layered(patients=1_500, hospitals=4, seed=3)


@pytest.fixture(scope="module")
def cohort(consortium: LayeredConsortium) -> Cohort:
    return validate(consortium.table, consortium.schema, where="table")


@pytest.fixture(scope="module")
def network(consortium: LayeredConsortium, cohort: Cohort) -> PrognosisNetwork:
    """Linear, with the effects that are true where all is measured, by least squares on the written truth."""
    schema, x = consortium.schema, encode(cohort)
    whole = consortium.patients.measured.all(axis=1)
    truth = consortium.true_log_hazard["total"].to_numpy()
    effects, *_ = np.linalg.lstsq(x[whole], truth[whole], rcond=None)
    spec = ModelSpec(
        columns=len(columns(schema)),
        endpoints=("overall_survival",),
        grid=schema.grid,
        baseline_hazard=schema.baseline_hazard,
        hidden_units=(),
    )
    return network_with(spec, np.concatenate([np.zeros(spec.parameters - len(effects)), effects]))


def test_only_patients_with_all_layers_are_compared_and_it_is_told_how_they_differ(
    consortium: LayeredConsortium, cohort: Cohort, network: PrognosisNetwork
) -> None:
    asked = (Modality.RNA_EXPRESSION, Modality.LABORATORY)
    layers = layers_of(asked, consortium.schema)
    found = compared_layers(network, layers, cohort, trained_for=(), rng=np.random.default_rng(1))["overall_survival"]
    measured = consortium.patients.measured[:, [LAYERS.index(each) for each in asked]]
    whole, table = np.asarray(measured.all(axis=1)), consortium.table
    died = table["death_observed"].to_numpy() == 1
    followed = (table["survival_months"] - table["entry_months"]).to_numpy()
    assert found.measured == dict(zip(asked, measured.sum(axis=0), strict=True))
    assert not found.trained_for
    assert found.values.patients == whole.sum() == found.compared.patients
    for group, rows in ((found.compared, whole), (found.others, ~whole)):
        assert group.patients == rows.sum()
        assert group.events == died[rows].sum()
        assert group.rate == pytest.approx(100 * died[rows].sum() / followed[rows].sum())
    # Clinical history is all that is left: what it adds to the truth, but for a constant.
    clinical = consortium.patients.always_known
    apart = clinical[whole].mean() - clinical[~whole].mean()
    blank = np.zeros(len(clinical))
    for layer in LAYERS:
        if layer not in asked:
            blank += (
                consortium.patients.by_layer[:, LAYERS.index(layer)]
                * consortium.patients.measured[:, LAYERS.index(layer)]
            )
    said = found.compared.log_hazard_ratio - found.others.log_hazard_ratio
    assert said == pytest.approx(apart + blank[whole].mean() - blank[~whole].mean(), abs=1e-6)
    assert compared_layers(network, layers, cohort, trained_for=layers, rng=np.random.default_rng(1))[
        "overall_survival"
    ].trained_for


def test_gains_are_of_what_the_model_says_of_the_same_patients_with_empty_cells(
    consortium: LayeredConsortium, cohort: Cohort, network: PrognosisNetwork
) -> None:
    layers = layers_of(LAYERS, consortium.schema)
    schema, grid = consortium.schema, consortium.schema.grid
    some = cohort.subset(np.flatnonzero(consortium.patients.measured.all(axis=1))[:200])

    def hazard(kept: tuple[int, ...]) -> np.ndarray:
        empty = {layer for number, layer in enumerate(LAYERS) if number not in kept}
        values = some.values.copy()
        values[:, [place for place, marker in enumerate(schema.markers) if marker.modality in empty]] = np.nan
        with torch.no_grad():
            blank = torch.as_tensor(encode(replace(some, values=values)))
            return np.asarray(network.log_hazard(blank)[:, 0].numpy())

    expected = grid.at_risk(some.entry[:, 0], some.exit[:, 0]) * np.exp(hazard(()))
    some = some.subset(np.flatnonzero(expected.sum(axis=1) < 0.999))  # whose follow-up nobody ends
    assert len(some) > 100
    gains = gains_by_layers(network, layers, some, 0)
    events = grid.events(some.exit[:, 0], some.observed[:, 0])
    at_risk = grid.at_risk(some.entry[:, 0], some.exit[:, 0])

    def levelled(kept: tuple[int, ...]) -> np.ndarray:
        """As many events expected among them as they had."""
        found = hazard(kept)
        return np.asarray(found + np.log(events.sum() / (at_risk * np.exp(found)).sum()))

    always = levelled(())
    for place, kept in enumerate(coalitions(len(LAYERS))):
        said = levelled(kept)
        plain = (events * (said - always) - at_risk * (np.exp(said) - np.exp(always))).sum(axis=1)
        np.testing.assert_allclose(gains[:, place], np.clip(plain, -2, 2), atol=1e-9)
        assert np.all(np.abs(gains[:, place]) <= 2)


def test_where_nobody_has_all_layers_nothing_is_compared(
    consortium: LayeredConsortium, cohort: Cohort, network: PrognosisNetwork
) -> None:
    layers = layers_of(LAYERS, consortium.schema)
    without = cohort.subset(np.flatnonzero(~consortium.patients.measured.all(axis=1)))
    assert compared_layers(network, layers, without, trained_for=(), rng=np.random.default_rng(1)) == {}
    assert compared_layers(network, (), cohort, trained_for=(), rng=np.random.default_rng(1)) == {}


# The laboratory


@pytest.fixture(scope="module")
def run() -> of.Run:
    hospitals, _ = of.split(of.synthetic_layers(patients=400, hospitals=2), test=0.4)
    layers = ["rna_expression", "laboratory"]
    return of.train(hospitals, privacy=of.no_privacy(), layers=layers, rounds=6, progress=False)


def test_the_laboratory_asks_what_the_model_was_trained_for_or_what_one_names(run: of.Run) -> None:
    assert run.set_aside is not None
    found = of.value(run.model, run.set_aside)
    assert found["layer"].tolist() == ["rna_expression", "laboratory"]
    assert found["share"].sum() == pytest.approx(found["together"].iloc[0])
    assert found["trained_for"].all()
    other = of.value(run.model, run.set_aside, layers=["protein_expression"])
    assert other[["share", "alone", "last"]].nunique(axis=1).iloc[0] == 1  # of one layer they are the same
    assert not other["trained_for"].any()
    gains = gains_by_layers(run.model.network, run.model.spec.layers, run.set_aside.cohort, 0)
    assert gains.shape == (len(run.set_aside), 4)
    assert contrasts(2).shape == (4, 7)


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        (["genes"], "a modality that the schema does not have"),
        (["body_composition"], "a modality that the schema does not have"),
        (["laboratory", "laboratory"], "name one more than once"),
        ([], "are none"),
    ],
)
def test_layers_that_there_are_not_are_refused(run: of.Run, layers: list[str], words: str) -> None:
    assert run.set_aside is not None
    with pytest.raises(InvalidInput, match=words):
        of.value(run.model, run.set_aside, layers=layers)


def test_a_model_that_was_trained_with_everything_must_be_told_the_layers(run: of.Run) -> None:
    assert run.set_aside is not None
    plain = replace(run.model, spec=replace(run.model.spec, layers=()))
    with pytest.raises(InvalidInput, match="trained with everything"):
        of.value(plain, run.set_aside)


def test_layers_come_back_with_a_saved_model(run: of.Run, tmp_path: object) -> None:
    path = f"{tmp_path}/model.safetensors"
    run.model.save(path)
    again = of.load_model(path)
    assert run.set_aside is not None
    assert again.spec.layers == run.model.spec.layers
    assert of.value(again, run.set_aside).equals(of.value(run.model, run.set_aside))
