"""Does a simulated study with a panel train twice, choose by what was released, and charge both to one budget?"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from safetensors.numpy import load_file
from tests.end_to_end.test_simulate import SMALL, WITHOUT_BASELINES, small_study

from oncofed.cohort.encoding import Role, columns
from oncofed.cohort.schema_file import read_schema
from oncofed.errors import InvalidInput
from oncofed.explanation.panels import ranked_markers
from oncofed.privacy.accounting import epsilon_of
from oncofed.privacy.releases import release_of_round
from oncofed.protocol.plan import Bounding
from oncofed.simulations.commands import simulate
from oncofed.simulations.federation import Engine
from oncofed.simulations.model_file import read_model
from oncofed.simulations.results import RunResult
from oncofed.simulations.run import run_study
from oncofed.simulations.study import Study
from oncofed.survival.network import network_with

PANEL = ("panel.markers=8", "panel.rounds=3", "panel.share=0.4", *WITHOUT_BASELINES)
GENES = 'assay.genes={ modalities = ["dna_mutation"], price = 300, turnaround_days = 9 }'


class Stopped(Exception):
    """A run that ends in the panel's second round."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("panel")


@pytest.fixture(scope="module")
def study(folder: Path) -> Study:
    return small_study(folder, *PANEL, GENES)


@pytest.fixture(scope="module")
def result(study: Study, folder: Path) -> RunResult:
    """Interrupted in its second training, and gone on with."""

    def stop(stage: str, done: int, total: int) -> None:
        if (stage, done) == ("panel", 2):
            raise Stopped

    with pytest.raises(Stopped):
        run_study(study, folder / "run", progress=stop)
    return run_study(study, folder / "run", resume=True)


def test_both_trainings_are_charged_to_one_ledger_within_the_studys_epsilon(result: RunResult, folder: Path) -> None:
    assert result.panel is not None
    rounds = [(result.plan, 4), (result.panel.plan, 3)]
    released = [release_of_round(plan).event for plan, count in rounds for _ in range(count)]
    assert {tuple(sorted(map(str, events))) for events in result.releases.values()} == {
        tuple(sorted(map(str, released)))
    }
    assert len(result.releases) == 3
    delta = result.plan.privacy.delta
    spent = json.loads((folder / "run" / "privacy.json").read_text())
    assert spent["epsilon"] == pytest.approx(epsilon_of(released, delta=delta), abs=1e-9)
    assert 0.998 * 2 < spent["epsilon"] <= 2 == spent["epsilon_planned"]
    # The first training has 0.6 of the precision, the second the rest.
    precision = [count / release_of_round(plan).event.gaussian.noise_multiplier ** 2 for plan, count in rounds]
    assert precision[0] / sum(precision) == pytest.approx(0.6, abs=1e-3)
    card = (folder / "run" / "package" / "model_card.md").read_text()
    assert "With the study's other training: epsilon 2." in card, "its own part is not what patients are promised"
    assert f"epsilon {spent['epsilon']:.2f}"[:-1] in (folder / "run" / "report.html").read_text()


def test_the_markers_are_those_with_the_largest_released_weights(result: RunResult, folder: Path) -> None:
    assert result.panel is not None
    assert result.weights is not None
    schema, network = result.test.schema, network_with(result.plan.model, result.weights)
    ranked = ranked_markers(network, schema)
    assert result.panel.markers == ranked[:8]
    own, panel = result.panel.schema, folder / "run" / "panel"
    assert [marker.name for marker in own.markers] == [each.name for each in schema.markers if each.name in ranked[:8]]
    assert read_schema(panel / "schema.toml").markers == own.markers
    assert result.panel.plan.schema_hash == read_schema(panel / "schema.toml").hash != schema.hash
    model = read_model(panel / "model.safetensors")
    assert (model.spec, model.vector.tolist()) == (result.panel.plan.model, result.panel.weights.tolist())
    assert len(load_file(panel / "model.safetensors")) == len(model.weights)


def test_the_second_model_starts_from_what_the_first_one_learned(result: RunResult) -> None:
    assert result.panel is not None
    assert result.weights is not None
    first = network_with(result.plan.model, result.weights).linear_branch
    assert first is not None
    learned = {
        (column.source, column.category): weight
        for column, weight in zip(columns(result.test.schema), first.weight.detach()[0].tolist(), strict=True)
        if column.role is not Role.MISSING
    }
    starts = result.panel.plan.model.expected_weights
    for column, weight in zip(columns(result.panel.schema), starts, strict=True):
        expected = 0.0 if column.role is Role.MISSING else learned[column.source, column.category]
        assert weight == pytest.approx(expected, abs=1e-12)
    assert max(map(abs, starts)) > 0.01


def test_both_models_stand_beside_each_other(result: RunResult, folder: Path) -> None:
    assert result.panel is not None
    told = json.loads((folder / "run" / "metrics.json").read_text())
    endpoints = told["panel"]["endpoints"]
    assert set(endpoints) == set(told["endpoints"])
    own = endpoints[result.main.name]
    assert own["c_index"] == result.panel.main.c_index != told["test"]["c_index"]
    assert own["calibration_slope"] is not None
    assert 0 < own["observed_to_expected"] < 10
    assert list(told["panel"]["path"]["loss_by_markers"]) == ["3", "5", "10", "20", "40", "80", "160"]
    page = (folder / "run" / "report.html").read_text()
    assert "A panel of 8 markers" in page
    assert [each["price"] for each in told["assays"]["sets"]] == [0, 300]
    assert "Which assays are worth their price" in page
    assert "Without genes: saves 300 a patient" in page
    assert f'<td class="num">{result.panel.main.c_index:.3f}</td>' in page


def test_settings_of_the_file_are_of_the_model_of_all_markers_alone(result: RunResult, study: Study) -> None:
    assert result.panel is not None
    assert study.training.rounds == result.plan.training.rounds == 4
    assert result.panel.plan.training.rounds == 3
    assert result.plan.model.hidden_units == (4,)
    assert result.panel.plan.model.hidden_units == ()
    assert result.panel.plan.privacy.bounding is Bounding.CLIP


def test_a_study_without_a_panel_has_the_hash_that_it_had(study: Study, tmp_path: Path) -> None:
    plain = small_study(tmp_path, *WITHOUT_BASELINES)
    assert small_study(tmp_path, *WITHOUT_BASELINES, "panel.markers=0", "panel.share=0.3").hash == plain.hash
    assert study.hash != plain.hash


def test_what_cannot_be_trained_twice_is_refused_before_anything_is_written(study: Study, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no bound is proven"):
        small_study(tmp_path, *PANEL, "training.mode=epochs")
    small_study(tmp_path, *PANEL, "training.mode=epochs", "privacy.mode=none")
    many = small_study(tmp_path, *PANEL, "panel.markers=5000")
    for asked, engine, words in ((many, Engine.GRID, "5000, and the study has"), (study, Engine.RAY, "engine ray")):
        with pytest.raises(InvalidInput, match=words):
            run_study(asked, tmp_path / "run", engine=engine)
        assert not (tmp_path / "run").exists()


def test_a_panel_that_is_left_to_public_numbers_is_trained_where_it_gains_and_else_all_have_the_whole_budget(
    tmp_path: Path,
) -> None:
    """350 markers under much noise: a panel. The laboratory's alone, not many more than 40: none."""
    (tmp_path / "study.toml").write_text(SMALL)
    asked = ["--panel", "auto", "--set", "panel.rounds=2", "--set", WITHOUT_BASELINES[0]]

    def ended(out: str, *more: str) -> Result:
        command = [str(tmp_path / "study.toml"), "--out", str(tmp_path / out), *asked, *more]
        return CliRunner().invoke(simulate, command)

    few, many = ended("few", "--set", 'data.modalities=["laboratory"]'), ended("many")
    assert (few.exit_code, many.exit_code) == (0, 0), many.output
    assert "Panel: a panel of 40 has" in many.output
    assert "panel of 40 markers" in many.output
    assert "does not pay" in few.output
    found = {name: json.loads((tmp_path / name / "metrics.json").read_text())["panel"] for name in ("few", "many")}
    assert found["few"] is None
    assert len(found["many"]["markers"]) == 40
    for name in found:
        spent = json.loads((tmp_path / name / "privacy.json").read_text())["epsilon"]
        assert 0.998 * 2 < spent <= 2, "one training has all of it, two have it together"
    assert ended("many", "--resume").exit_code == 0, "the size that was decided makes no other study of it"
    wrong = CliRunner().invoke(
        simulate, [str(tmp_path / "study.toml"), "--out", str(tmp_path / "x"), "--panel", "many"]
    )
    assert isinstance(wrong.exception, InvalidInput)
