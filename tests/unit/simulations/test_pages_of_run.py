"""Do the pages of a simulated run show that run's patients and model, and nothing else?"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.command_line import oncofed

from oncofed.errors import InvalidInput
from oncofed.simulations.pages_of_run import hospital_of_run

STUDY = """
[study]
name = "small"
[data.synthetic]
patients = 300
hospitals = 3
[data.modality_weights]
rna_expression = 0.2
[sites]
partition = "column"
[evaluation]
split = "random"
horizon = 24
baselines = false
bootstrap_resamples = 20
[model]
hidden_units = [3, 2]
[training]
rounds = 2
[privacy]
mode = "none"
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    (folder / "study.toml").write_text(STUDY)
    said = oncofed("simulate", folder / "study.toml", "--out", folder / "run", "--quiet")
    assert said.code == 0, said.text
    return folder / "run"


def test_patients_and_contributions_are_those_that_the_run_explained(run: Path) -> None:
    for site in ("hospital_01", "hospital_03"):
        shown = hospital_of_run(run, site)
        kept = pd.read_parquet(run / "sites" / site / "explanations.parquet")
        assert list(shown.cohort.patient_ids) == list(kept["patient_id"])
        np.testing.assert_allclose(shown.endpoint(0).log_hazard_ratio, kept["log_hazard_ratio"], atol=1e-9)
        np.testing.assert_allclose(
            shown.endpoint(0).relevance, kept[list(shown.endpoint(0).sources)].to_numpy(), atol=1e-9
        )
        assert shown.example
        assert not shown.noise_in_model


def test_a_wrong_name_or_folder_is_told(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="hospital_02"):
        hospital_of_run(run, "nowhere")
    older = tmp_path / "older"
    shutil.copytree(run, older)
    settings = json.loads((older / "study.json").read_text())
    del settings["settings"]["data"]["modality_weights"]
    (older / "study.json").write_text(json.dumps(settings))
    with pytest.raises(InvalidInput, match="another version"):
        hospital_of_run(older, None)
    with pytest.raises(InvalidInput, match="no finished run"):
        hospital_of_run(tmp_path, None)
    assert oncofed("pages", tmp_path).code == 2
