"""Are settings judged on patients of no test part, and by the model that the study's own rounds would give?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.settings_studies import STUDY, written

from oncofed.errors import InvalidInput
from oncofed.simulations.federation import plan_of
from oncofed.simulations.partition import consortium
from oncofed.simulations.run import run_study
from oncofed.simulations.settings_study.judging import folds_of, judged, with_validation
from oncofed.simulations.study import Study, read_study
from oncofed.simulations.study_table import table_of
from oncofed.simulations.synthetic.consortium import generate
from oncofed.simulations.synthetic.files import write


def test_who_chooses_is_in_no_reported_test_part(tmp_path: Path) -> None:
    path = written(tmp_path)
    table, schema, where = table_of(read_study(path))
    tested = set[str]()
    for seed in (1, 2, 11):
        study = read_study(path, seed=seed)
        tested |= set(those_tested(study, table))
    patients = with_validation(read_study(path, seed=11), table, schema, where=where)
    choosing = set(patients.test.patient_ids)
    assert len(choosing) > 20
    assert not choosing & tested
    trained_on = {name for cohort in patients.hospitals.values() for name in cohort.patient_ids}
    assert not trained_on & choosing
    assert folds_of(read_study(path)) == 2


def test_of_assigned_patients_a_fifth_of_those_who_train_chooses(tmp_path: Path) -> None:
    study = assigned(tmp_path)
    table, schema, where = table_of(study)
    tested = set(those_tested(study, table))
    assert len(tested) == 60
    chosen: list[str] = []
    for seed in range(11, 16):
        patients = with_validation(read_study(tmp_path / "study.toml", seed=seed), table, schema, where=where)
        trained_on = [name for cohort in patients.hospitals.values() for name in cohort.patient_ids]
        assert not set(trained_on) & set(patients.test.patient_ids)
        assert len(trained_on) + len(patients.test) == 180
        for site, cohort in patients.held_out.items():
            assert set(cohort.patient_ids) == set(
                np.array(patients.test.patient_ids)[patients.test_sites == site].tolist()
            )
        chosen += patients.test.patient_ids
    assert sorted(chosen) == sorted(set(table["patient_id"]) - tested)


def test_of_folds_nobody_is_left_to_choose_by(tmp_path: Path) -> None:
    study = read_study(written(tmp_path), overrides=["evaluation.split=folds"])
    table, schema, where = table_of(study)
    with pytest.raises(InvalidInput, match="leaves nobody to choose settings by"):
        with_validation(study, table, schema, where=where)


def test_a_judgement_is_the_figure_of_a_whole_run_of_the_study(tmp_path: Path) -> None:
    study = read_study(
        written(tmp_path), overrides=["evaluation.part=validation", "evaluation.baselines=false"], seed=11
    )
    table, schema, where = table_of(study)
    patients = with_validation(study, table, schema, where=where)
    plan = plan_of(study, schema, roster=tuple(patients.hospitals), patients=sum(map(len, patients.hospitals.values())))
    found = judged(plan, patients, study)
    (endpoint, *_) = run_study(study, tmp_path / "run", report=False).endpoints.values()
    assert endpoint.calibration is not None
    assert endpoint.expected is not None
    assert found.c_index == pytest.approx(endpoint.c_index, abs=1e-9)
    assert found.slope == pytest.approx(endpoint.calibration.slope, abs=1e-6)
    windows = endpoint.expected.everybody.windows
    assert found.events == sum(each.observed for each in windows)
    assert found.expected == pytest.approx(sum(each.expected for each in windows), rel=1e-9)


def those_tested(study: Study, table: pd.DataFrame) -> tuple[str, ...]:
    schema = table_of(study)[1]
    cut = consortium(table, schema, where="table", sites=study.sites, evaluation=study.evaluation, seed=study.seed)
    return cut.test.patient_ids


def assigned(folder: Path) -> Study:
    """240 patients at three hospitals, of whom a second table says who is a test patient."""
    write(generate(patients=240, hospitals=3, seed=1), folder)
    table = pd.read_parquet(folder / "patients.parquet")
    parts = np.where(np.arange(240) % 4 == 0, "test", "train")
    pd.DataFrame({"pid": table["patient_id"], "part": [f"{part}_{n % 3}" for n, part in enumerate(parts)]}).to_csv(
        folder / "parts.csv", index=False
    )
    sites = """partition = "assigned"
assignment_table = "parts.csv"
assignment_patient_id = "pid"
assignment_column = "part"
site_pattern = "_(\\\\d)$"
test_pattern = "^test"
"""
    text = STUDY.replace('partition = "column"\n', sites).replace("horizon = 36", 'horizon = 36\nsplit = "assigned"')
    text = text.replace(
        "[data.synthetic]\npatients = 240\nhospitals = 3\n",
        '[data]\ntable = "patients.parquet"\nschema = "schema.toml"\n',
    )
    return read_study(written(folder, text), seed=11)
