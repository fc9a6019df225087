"""Does a study file say what it means, and is every fault in it told at once?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from oncofed.cohort.schema import Modality, StudySchema
from oncofed.cohort.schema_file import read_schema
from oncofed.errors import InvalidInput
from oncofed.protocol.plan import PrivacyMode, Strategy, TrainingMode
from oncofed.simulations.study import Part, Partition, Split, read_study
from oncofed.simulations.study_table import table_of

STUDIES = Path(__file__).resolve().parents[3] / "simulations" / "studies"

SMALL = """
[study]
name = "small"
seed = 4
[data.synthetic]
patients = 300
hospitals = 3
seed = 2
[sites]
partition = "column"
[evaluation]
horizon = 24
[training]
rounds = 5
[privacy]
mode = "local"
epsilon = 2
l2_norm_bound = 1.5
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "study.toml"
    path.write_text(text)
    return path


def faults_of(folder: Path, text: str, *overrides: str) -> str:
    with pytest.raises(InvalidInput) as caught:
        read_study(written(folder, text), overrides=overrides)
    assert all(fault.remedy for fault in caught.value.faults)
    return str(caught.value)


def test_a_small_study_is_read_with_defaults(tmp_path: Path) -> None:
    study = read_study(written(tmp_path, SMALL))
    assert (study.name, study.seed, study.training.rounds) == ("small", 4, 5)
    assert (study.training.mode, study.training.strategy) == (TrainingMode.FULL_BATCH, Strategy.FEDADAM)
    assert (study.privacy.mode, study.privacy.epsilon, study.privacy.l2_norm_bound) == (PrivacyMode.LOCAL, 2.0, 1.5)
    assert (study.evaluation.split, study.evaluation.part) == (Split.RANDOM, Part.TEST)
    assert study.sites.partition is Partition.COLUMN


def test_overrides_and_seed_win_over_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, SMALL)
    overrides = ["privacy.epsilon=1", "training.strategy=fedyogi", "model.hidden_units=[4, 2]"]
    study = read_study(path, overrides=overrides, seed=9)
    assert (study.privacy.epsilon, study.training.strategy, study.settings.hidden_units) == (
        1.0,
        Strategy.FEDYOGI,
        (4, 2),
    )
    assert study.seed == 9
    assert study.hash != read_study(path).hash
    assert read_study(path).hash == read_study(path).hash
    assert read_study(path, overrides=['evaluation.subgroups=["age_years"]']).hash != read_study(path).hash


def test_all_faults_are_told_together(tmp_path: Path) -> None:
    text = SMALL.replace("epsilon = 2", "epsilom = 2").replace("rounds = 5", 'rounds = "many"')
    message = faults_of(tmp_path, text + "delta = 0.1\n", "model.hidden_units=[0]", "nonsense")
    for told in ("epsilom", "epsilon", "rounds", "delta", "hidden_units", "nonsense", 'Did you mean "epsilon"'):
        assert told in message
    assert message.startswith("6 faults"), message


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("privacy.epsilon=0", "below 0.001"),
        ("privacy.l2_norm_bound=1e-5", "below 0.0001"),
        ("privacy.mode=secret", "not one of the known values"),
        ("training.beta_1=1", "above 0.999999"),
        ("training.sampling_rate=2", "above 1"),
        ("training.trim_fraction=0.5", "above 0.4999"),
        ("evaluation.test_fraction=1", "above 0.99"),
        ("evaluation.fold=7", "not one of the folds"),
        ("sites.partition=hash", "count"),
        ("sites.partition=assigned", "assignment_table"),
        ("sites.site_pattern=(", "regular expression"),
        ("data.table=absent.csv", "stands beside"),
        ("model.linear_branch=maybe", "true or false"),
        ("training.roundz=3", "not a known field"),
        ('data.modalities=["clinicall"]', "is not a modality"),
        ("data.modalities=[]", "is empty"),
        ("data.modality_weights={clinicall = 1}", "not a known field"),
        ("data.modality_weights={clinical = 0}", "below 1e-6"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, override: str, told: str) -> None:
    message = faults_of(tmp_path, SMALL, override)
    assert told in message


def test_a_fault_names_a_section_by_its_heading(tmp_path: Path) -> None:
    message = faults_of(tmp_path, SMALL.replace("patients = 300", "patients = 3"))
    assert "study.toml: [data.synthetic], patients: is below 100" in message


def test_other_weights_of_modalities_change_the_schema_and_nothing_else(tmp_path: Path) -> None:
    path = written(tmp_path, SMALL)
    own, other = read_study(path), read_study(path, overrides=["data.modality_weights={clinical = 0.5}"])
    schema, changed = table_of(own)[1], table_of(other)[1]
    assert changed.encoding_of(Modality.CLINICAL).weight == 0.5
    assert changed.hash != schema.hash
    assert replace(changed, modalities=schema.modalities).hash == schema.hash
    assert changed.encoding_of(Modality.RNA_EXPRESSION) == schema.encoding_of(Modality.RNA_EXPRESSION)


COMPETING = """
[[endpoint]]
name = "{name}"
time = "months"
event = "{name}_event"
baseline_hazard = {hazard}
competes_with = ["{other}"]
"""


def test_a_study_of_some_endpoints_has_the_schema_without_the_others(tmp_path: Path) -> None:
    own = STUDIES / "own_table"
    text = (own / "schema.toml").read_text()
    text += COMPETING.format(name="first", other="second", hazard=0.01)
    text += COMPETING.format(name="second", other="first", hazard=0.02)
    (tmp_path / "schema.toml").write_text(text)
    table = pd.read_csv(own / "patients.csv").assign(months=5.0, first_event=0, second_event=0)
    table.to_csv(tmp_path / "patients.csv", index=False)
    data = '[data]\ntable = "patients.csv"\nschema = "schema.toml"\nendpoints = {endpoints}'
    base = SMALL.replace("[data.synthetic]\npatients = 300\nhospitals = 3\nseed = 2", data)

    def schema(endpoints: str) -> StudySchema:
        return table_of(read_study(written(tmp_path, base.format(endpoints=endpoints))))[1]

    every = schema('["overall_survival", "second", "first"]')
    assert [each.name for each in every.endpoints] == ["overall_survival", "first", "second"]
    one, two = schema('["overall_survival"]'), schema('["first", "second"]')
    assert one.hash == read_schema(own / "schema.toml").hash
    assert (two.baseline_hazard, two.competing(0)) == ((0.01, 0.02), (1,))
    with pytest.raises(InvalidInput, match="name second without first, which competes with it"):
        schema('["second"]')
    with pytest.raises(InvalidInput, match="name progression, which is none of the schema's"):
        schema('["progression"]')


def test_a_study_of_all_endpoints_keeps_the_hash_that_it_had(tmp_path: Path) -> None:
    """Runs are found by it. The figure is of the code before there was a choice, and before settings were left open."""
    named = {"model.hidden_units": "[16]", "model.baseline_weight": "1", "training.server_learning_rate": "0.03"}
    named |= {"training.weight_decay": "0", "training.calibration_rounds": "0", "privacy.bounding": "clip"}
    study = read_study(written(tmp_path, SMALL), overrides=[f"{key}={value}" for key, value in named.items()])
    assert study.hash.startswith("a7ae6b2d6d8b9a70")
    assert read_study(written(tmp_path, SMALL)).hash != study.hash


def test_no_network_at_all_is_refused(tmp_path: Path) -> None:
    message = faults_of(tmp_path, SMALL, "model.hidden_units=[]", "model.linear_branch=false")
    assert "no network" in message


def test_a_missing_table_is_named_as_the_study_wrote_it(tmp_path: Path) -> None:
    text = SMALL.replace("[data.synthetic]\npatients = 300\nhospitals = 3\nseed = 2", '[data]\ntable = "absent.csv"')
    message = faults_of(tmp_path, text)
    assert '"absent.csv" is not a file' in message
    assert "schema" in message


def test_a_file_without_its_main_sections_says_which(tmp_path: Path) -> None:
    message = faults_of(tmp_path, "[study]\nname = 'empty'\n")
    for section in ("[data]", "[sites]", "[evaluation]"):
        assert section in message


def test_the_studies_that_come_with_the_project_are_sound(studies: Path) -> None:
    assert read_study(studies / "demo" / "study.toml").name == "demo"


def test_the_studies_of_real_cohorts_are_sound(studies: Path, real_cohorts: Path) -> None:
    assert real_cohorts.is_dir()
    for name in ("tcga_pancancer", "fed_tcga_brca"):
        assert read_study(studies / name / "study.toml").name == name


def test_hospitals_that_train_cannot_measure_where_whole_hospitals_are_left_out(tmp_path: Path) -> None:
    asked = SMALL.replace("horizon = 24", 'horizon = 24\nsplit = "hospitals"\nfolds = 3')
    assert read_study(written(tmp_path, asked)).evaluation.split is Split.HOSPITALS
    for share in ("budget_share = 0.1", "calibration_share = 0.1"):
        told = faults_of(tmp_path, f"{asked}[held_out]\nhorizon = 24\n{share}\n")
        assert (
            'study.toml: [held_out]: asks hospitals that train for patients set aside, and split = "hospitals"' in told
        )
