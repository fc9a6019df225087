"""Is what a run hands on whole, and does each part of it say the same as the run itself?"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
from tests.card_numbers import shown_numbers, strange_numbers
from tests.end_to_end.test_simulate import SMALL

import oncofed.lab as of
from oncofed.cohort.schema_file import read_schema
from oncofed.simulations.results import RunResult
from oncofed.simulations.run import run_study
from oncofed.simulations.study import read_study

SAID = '[reporting]\nfunding = "A foundation of 1871."\nfairness = """\nNothing\n**was** done.\n"""\n'
SCORE = '[[comparator]]\nname = "age_alone"\nmarkers = ["age_years"]\n'


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunResult, Path]:
    folder = tmp_path_factory.mktemp("study")
    (folder / "study.toml").write_text(SMALL + SAID + SCORE)
    return run_study(read_study(folder / "study.toml"), folder / "run"), folder / "run"


def test_the_package_is_whole_and_belongs_to_the_run(run: tuple[RunResult, Path]) -> None:
    result, folder = run
    package = folder / "package"
    lines = (line.split("  ") for line in (package / "SHA256SUMS").read_text().splitlines())
    sums = {name: digest for digest, name in lines}
    left = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in package.iterdir()}
    assert sums == {name: digest for name, digest in left.items() if name != "SHA256SUMS"}
    assert set(sums) == {
        *("model.safetensors", "model.onnx", "schema.toml", "plan.json"),
        *("tripod_ai.md", "tripod_ai.json", "model_card.md", "model_card.xml"),
    }
    assert (package / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
    assert read_schema(package / "schema.toml").hash == result.plan.schema_hash
    assert hashlib.sha256((package / "plan.json").read_bytes()).hexdigest() == result.plan.hash


def test_every_number_of_card_and_checklist_is_in_the_runs_figures(run: tuple[RunResult, Path]) -> None:
    _, folder = run
    figures = json.loads((folder / "metrics.json").read_text())
    card = (folder / "package" / "model_card.md").read_text()
    assert strange_numbers(card, figures) == []
    assert len(shown_numbers(card, figures)) > 100
    for told in ("against age alone, ", "sex male, yes, ", "age years, 50 to below 65, ", "the hospital, "):
        assert told in card, told
    for item in json.loads((folder / "package" / "tripod_ai.json").read_text())["items"]:
        assert strange_numbers(item["by_the_run"] or "", figures) == [], item["item"]


def test_people_are_quoted_and_everything_else_of_theirs_is_not_stated(run: tuple[RunResult, Path]) -> None:
    _, folder = run
    page = (folder / "package" / "tripod_ai.md").read_text()
    assert "> A foundation of 1871.\n" in page
    assert "> Nothing\n> **was** done.\n" in page
    assert "not stated in the study file: `ethics`, `consent`\n" in page
    assert len(re.findall(r"(?m)^\*\*\d+[a-g]?\*\* ", page)) == 52


def test_the_onnx_file_gives_the_runs_own_prognosis_of_its_test_patients(run: tuple[RunResult, Path]) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed here")
    result, folder = run
    session = onnxruntime.InferenceSession(str(folder / "package" / "model.onnx"), providers=["CPUExecutionProvider"])
    ratios, event_free = session.run(["log_hazard_ratio", "event_free"], {"markers": result.test.values})
    assert np.isnan(result.test.values).any()
    model = of.load_model(folder / "model.safetensors")
    patients = of.Patients(result.test)
    for place, name in enumerate(result.plan.model.endpoints):
        np.testing.assert_allclose(ratios[:, place], result.endpoints[name].log_hazard_ratio, rtol=0, atol=1e-6)
        for end, time in enumerate(result.plan.model.grid.bounds[1:]):
            risk = model.predict_risk(patients, at=time, endpoint=name)
            np.testing.assert_allclose(1 - event_free[:, place, end], risk, rtol=0, atol=1e-6)
