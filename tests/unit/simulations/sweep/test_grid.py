"""Is the grid of a sweep what was asked for, and is every fault of it reported before anything runs?"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.simulations.sweep.sweep_study import write_study

from oncofed.errors import InvalidInput
from oncofed.protocol.plan import TrainingMode
from oncofed.simulations.sweep.grid import SweepOptions, SweepRun, split_values, sweep_runs


@pytest.fixture
def study_file(tmp_path: Path) -> Path:
    return write_study(tmp_path)


def faults_of(study_file: Path, options: SweepOptions) -> list[str]:
    with pytest.raises(InvalidInput) as refused:
        sweep_runs(study_file, options)
    return [str(fault) for fault in refused.value.faults]


def changed(study_file: Path, old: str, new: str) -> Path:
    content = study_file.read_text()
    assert old in content
    study_file.write_text(content.replace(old, new))
    return study_file


def by_name(runs: tuple[SweepRun, ...]) -> dict[str, SweepRun]:
    found = {run.name: run for run in runs}
    assert len(found) == len(runs)
    return found


def test_without_axes_it_is_the_study_itself(study_file: Path) -> None:
    (run,) = sweep_runs(study_file, SweepOptions())
    assert run.name == "fedadam_none_seed1"
    assert run.study.training.rounds == 2


def test_the_grid_is_the_product_of_its_axes(study_file: Path) -> None:
    options = SweepOptions(
        seeds="1, 2",
        strategies="fedadam,fedavg",
        privacy="none,0.5",
        vary=("training.rounds=2,3", "model.hidden_units=[8],[16, 4]"),
        overrides=("training.weight_decay=7",),
    )
    runs = by_name(sweep_runs(study_file, options))
    assert len(runs) == 2 * 2 * 2 * 2 * 2
    run = runs["fedavg_epsilon0.5_rounds=3_hidden-units=16-4_seed2"]
    study = run.study
    assert (study.training.strategy.value, study.training.rounds, study.settings.hidden_units) == ("fedavg", 3, (16, 4))
    assert (study.privacy.mode.value, study.privacy.epsilon, study.seed) == ("local", 0.5, 2)
    assert run.varied == (("training.rounds", "3"), ("model.hidden_units", "[16, 4]"))
    assert runs["fedadam_none_rounds=2_hidden-units=8_seed1"].study.privacy.mode.value == "none"
    assert {run.study.training.weight_decay for run in runs.values()} == {7}


@pytest.mark.parametrize(
    ("vary", "overrides", "own", "other"),
    [
        ((), (), TrainingMode.EPOCHS, TrainingMode.EPOCHS),
        ((), ("training.mode=full_batch",), TrainingMode.FULL_BATCH, TrainingMode.FULL_BATCH),
        (("training.mode=full_batch",), (), TrainingMode.FULL_BATCH, TrainingMode.FULL_BATCH),
    ],
)
def test_a_strategy_trains_in_the_mode_that_suits_it_unless_told(
    tmp_path: Path, vary: tuple[str, ...], overrides: tuple[str, ...], own: TrainingMode, other: TrainingMode
) -> None:
    # The study's own strategy keeps the study's own mode, though another would suit it.
    path = changed(write_study(tmp_path), "rounds = 2", 'rounds = 2\nmode = "epochs"')
    options = SweepOptions(strategies="fedadam,fedavg,median", vary=vary, overrides=overrides)
    modes = {run.study.training.strategy.value: run.study.training.mode for run in sweep_runs(path, options)}
    assert modes == {"fedadam": own, "fedavg": other, "median": other}


def test_server_optimisers_get_full_batches(tmp_path: Path) -> None:
    path = changed(write_study(tmp_path), "rounds = 2", 'rounds = 2\nstrategy = "fedavg"\nmode = "epochs"')
    options = SweepOptions(strategies="fedadam,fedyogi,fedadagrad")
    assert {run.study.training.mode for run in sweep_runs(path, options)} == {TrainingMode.FULL_BATCH}


def test_the_proximal_term_is_of_fedprox_alone(study_file: Path) -> None:
    options = SweepOptions(strategies="fedavg,fedprox", overrides=("training.proximal_mu=0.01",))
    found = {
        run.study.training.strategy.value: run.study.training.proximal_mu for run in sweep_runs(study_file, options)
    }
    assert found == {"fedavg": 0, "fedprox": 0.01}
    assert any("fedprox is fedavg" in fault for fault in faults_of(study_file, SweepOptions(strategies="fedprox")))


def test_all_faults_are_reported_at_once(study_file: Path) -> None:
    options = SweepOptions(
        seeds="1,1,-2",
        strategies="fedadm,trimmed_average",
        privacy="none,0,x",
        vary=("training.ronds=1,2", "rounds=3", "study.seed=4,5", "training.rounds=1", "training.rounds=2"),
        overrides=("privacy.epsilon=2", "training.rounds=9", "nothing"),
    )
    faults = faults_of(study_file, options)
    for part in (
        "--seeds: names 1 more than once",
        '--seeds: "-2" is not a seed',
        '"fedadm" is not a strategy. Did you mean "fedadam"?',
        '--privacy: "0" is neither',
        '--privacy: "x" is neither',
        '--privacy: "privacy.epsilon" is set or varied beside it',
        'ronds: is not a known field. Did you mean "rounds"?',
        '--vary: "rounds=3" does not vary anything',
        '--seeds: "study.seed" is set or varied beside it',
        '--vary: "training.rounds" is varied twice',
        '--vary: "training.rounds" is also set with --set',
        '--set: "nothing" is not an override',
    ):
        assert any(part in fault for fault in faults), part
    assert len(faults) == len(set(faults))


def test_faults_that_only_the_table_can_tell(study_file: Path) -> None:
    options = SweepOptions(
        strategies="trimmed_average,krum",
        vary=("training.malicious_sites=0,1", "study.explain_site=H1,nowhere"),
    )
    faults = faults_of(study_file, options)
    assert any("trim_fraction" in fault for fault in faults)
    assert any("Krum needs 5 replies, the quorum is 3" in fault for fault in faults)
    assert any("explain_site: is not a hospital" in fault for fault in faults)


def test_values_written_in_two_ways_do_not_run_twice(study_file: Path) -> None:
    faults = faults_of(study_file, SweepOptions(privacy="3,3.0", seeds="1,01"))
    assert faults == ["the grid: 3 of 4 runs would repeat another one. Some values are written in two ways; keep one."]


def test_names_stay_distinct_where_a_folder_cannot_tell_values_apart(study_file: Path) -> None:
    runs = sweep_runs(study_file, SweepOptions(vary=("study.title=a/b,a:b",)))
    names = [run.name for run in runs]
    assert len(set(names)) == 2
    assert all("/" not in name and name.startswith("fedadam_none_title=a-b_seed1_") for name in names)


def test_what_the_baselines_depend_on(study_file: Path) -> None:
    options = SweepOptions(
        seeds="1,2", privacy="none,3", vary=("evaluation.bootstrap_resamples=20,30", "evaluation.test_fraction=0.2,0.3")
    )
    runs = sweep_runs(study_file, options)
    keys = {(run.study.seed, run.study.evaluation.test_fraction): run.comparison for run in runs}
    assert len(set(keys.values())) == 4
    assert all(run.comparison == keys[run.study.seed, run.study.evaluation.test_fraction] for run in runs)
    assert all(run.wants_baselines and not run.study.evaluation.baselines for run in runs)


def test_values_are_cut_outside_of_brackets_and_quotes() -> None:
    assert split_values("1, 2,3") == ["1", "2", "3"]
    assert split_values('[8],[16, 4],[],"a,b"') == ["[8]", "[16, 4]", "[]", '"a,b"']


def variants_file(tmp_path: Path, content: str) -> Path:
    path = tmp_path / "variants.toml"
    path.write_text(content)
    return path


def test_variants_are_an_axis_of_named_bundles(study_file: Path, tmp_path: Path) -> None:
    variants = variants_file(
        tmp_path,
        """
        [[variant]]
        name = "as it is"
        [[variant]]
        name = "short and linear"
        set = ["training.rounds=3", "model.hidden_units=[]"]
        """,
    )
    runs = by_name(sweep_runs(study_file, SweepOptions(seeds="1,2", variants=variants)))
    assert sorted(runs) == [
        f"fedadam_none_variant={name}_seed{seed}" for name in ("as-it-is", "short-and-linear") for seed in (1, 2)
    ]
    short = runs["fedadam_none_variant=short-and-linear_seed2"].study
    assert (short.training.rounds, short.settings.hidden_units) == (3, ())
    assert runs["fedadam_none_variant=as-it-is_seed1"].study.training.rounds == 2


def test_faults_of_a_variants_file_are_told_together(study_file: Path, tmp_path: Path) -> None:
    variants = variants_file(
        tmp_path,
        """
        other = 1
        [[variant]]
        name = "a"
        set = ["training.rounds=3"]
        [[variant]]
        name = "a"
        set = ["training.rounnds=3"]
        [[variant]]
        sett = []
        """,
    )
    faults = faults_of(study_file, SweepOptions(overrides=("training.rounds=4",), variants=variants))
    told = "\n".join(faults)
    assert "variants.toml, other: is not a known field" in told
    assert "sett" in told
    assert '"a" names two variants' in told
    assert "[[variant]] number 3, name: is missing" in told
    assert '--variants: "training.rounds" is set or varied beside it' in told
    assert "rounnds" in told


def test_a_variants_file_without_variants_is_refused(study_file: Path, tmp_path: Path) -> None:
    (fault,) = faults_of(study_file, SweepOptions(variants=variants_file(tmp_path, "")))
    assert "[[variant]]: there is none" in fault


@pytest.mark.parametrize(("file", "variants"), [("privacy.toml", 13), ("ablation.toml", 9)])
def test_the_variants_that_come_with_the_project_could_start(
    file: str, variants: int, studies: Path, real_cohorts: Path
) -> None:
    assert real_cohorts.is_dir()
    study = studies / "tcga_pancancer"
    assert len(sweep_runs(study / "study.toml", SweepOptions(variants=study / file))) == variants
