"""Is a study of panels the study itself, all hospitals at once, and does it count what it says?"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.unit.simulations.sweep.sweep_study import write_study

from oncofed.errors import InvalidInput
from oncofed.privacy.releases import release_of_round
from oncofed.protocol.plan import PrivacyMode
from oncofed.simulations.federation import Engine, federate, plan_of
from oncofed.simulations.panel_study import (
    PART,
    REFITTED,
    WHOLE,
    Row,
    at_once,
    read_variant_studies,
    rows_of,
    strongest_markers,
    summary_of,
    trained,
)
from oncofed.simulations.partition import Consortium, consortium, pooled
from oncofed.simulations.study import DataSpec, Study, read_study
from oncofed.simulations.study_table import table_of
from oncofed.survival.network import parameter_vector

ASKED = ("training.rounds=4", "training.weight_decay=0.7", "panel.markers=2", "panel.rounds=3")


@pytest.fixture
def study_file(tmp_path: Path) -> Path:
    return write_study(tmp_path)


def patients_of(study: Study) -> Consortium:
    table, schema, where = table_of(study)
    return consortium(table, schema, where=where, sites=study.sites, evaluation=study.evaluation, seed=study.seed)


def test_all_patients_at_once_are_what_the_hospitals_are_one_by_one(study_file: Path) -> None:
    """Oracle: the federation of three hospitals, without noise, with a decay that matters."""
    study = read_study(study_file, overrides=ASKED)
    patients = patients_of(study)
    everybody = pooled(patients.hospitals)
    plan = plan_of(study, everybody.schema, roster=tuple(patients.hospitals), patients=len(everybody))
    one_by_one = federate(
        plan,
        patients.hospitals,
        run_folder=None,
        engine=Engine.GRID,
        resume=False,
        figures=lambda state, report: {},
    )
    np.testing.assert_allclose(parameter_vector(trained(plan, everybody)), one_by_one.state.weights, atol=1e-6)


@pytest.mark.parametrize("mode", ["local", "distributed"])
def test_the_noise_is_what_the_hospitals_add_together(study_file: Path, mode: str) -> None:
    privacy = [f"privacy.mode={mode}", "privacy.epsilon=3", "privacy.dropouts=0", "privacy.colluding=1"]
    study = read_study(study_file, overrides=[*ASKED, *privacy])
    everybody = pooled(patients_of(study).hospitals)
    plan = plan_of(study, everybody.schema, roster=("H1", "H2", "H3"), patients=len(everybody))
    alone = at_once(plan)
    multiplier = plan.privacy.noise_multiplier
    # local: three times the variance; distributed: what two of three guarantee, and the third's share beside.
    together = multiplier * math.sqrt(3) if mode == "local" else multiplier * math.sqrt(3 / 2)
    assert release_of_round(alone).noise_of_sum(hospitals=1) == pytest.approx(together, rel=1e-4)
    assert (alone.privacy.mode, alone.roster) == (PrivacyMode.LOCAL, ("everybody",))


def test_three_models_are_judged_on_the_same_patients(study_file: Path) -> None:
    study = read_study(study_file, overrides=ASKED)
    rows = list(rows_of(study, "some"))
    assert [row.model for row in rows] == [WHOLE, PART, REFITTED]
    # Without privacy there is no budget to divide: the first two are the same model.
    assert rows[0].c_index == rows[1].c_index != rows[2].c_index
    assert rows[2].c_index > 0.55
    assert all(row.strongest is None for row in rows)


def test_the_strongest_markers_of_a_synthetic_consortium_are_those_of_its_hazard() -> None:
    data = DataSpec(None, None, synthetic_patients=600, synthetic_hospitals=3, synthetic_seed=2)
    found = strongest_markers(data)
    assert len(found) == 10
    assert {"age_years", "ecog_performance_status", "uicc_stage"} <= found, "they matter most by construction"


def test_the_summary_pairs_panel_and_whole_by_run() -> None:
    rows = [
        Row("v", model, seed, c_index, math.nan, 1.0, 1.1, strongest=strongest)
        for seed, c_index, more, strongest in ((1, 0.7, 0.01, 8), (2, 0.6, 0.03, 9))
        for model, c_index in ((WHOLE, c_index), (PART, c_index - 0.05), (REFITTED, c_index + more))
    ]
    told = summary_of(pd.DataFrame(rows))
    assert "| v | panel less all | +0.020 ± 0.014 | | | | |" in told
    assert f"| v | {WHOLE} | 0.650 ± 0.071 | nan ± nan | 1.00 ± 0.00 | 1.10 ± 0.00 | 8.5 |" in told


def test_a_variant_without_a_panel_is_refused(study_file: Path, tmp_path: Path) -> None:
    variants = tmp_path / "v.toml"
    variants.write_text('[[variant]]\nname = "plain"\nset = []\n[[variant]]\nname = "p"\nset = ["panel.markers=2"]\n')
    with pytest.raises(InvalidInput, match=r'v.toml: "plain": asks for no panel') as refused:
        read_variant_studies(study_file, variants, seeds=[1, 2], overrides=[])
    assert len(refused.value.faults) == 1
