"""Does a simulation release figures of its test patients through every hospital's guard, in each privacy mode?"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.end_to_end.test_simulate import small_study

from oncofed.errors import InvalidInput, QuorumLost
from oncofed.privacy.accounting import GaussianRelease, epsilon_of
from oncofed.server.rounds import course
from oncofed.simulations.partition import consortium
from oncofed.simulations.results import RunResult
from oncofed.simulations.run import run_study
from oncofed.simulations.study import Study
from oncofed.simulations.study_table import table_of

MEASURED = ("held_out.budget_share=0.3", "held_out.horizon=24", "evaluation.baselines=false")
MODES = {
    "none": ("privacy.mode=none",),
    "local": (),
    "distributed": ("privacy.mode=distributed", "privacy.dropouts=0", "privacy.colluding=1"),
}


def run(folder: Path, *overrides: str) -> tuple[Study, RunResult]:
    study = small_study(folder, *MEASURED, *overrides)
    return study, run_study(study, folder / "run", report=overrides == MODES["local"])


@pytest.mark.parametrize("mode", MODES)
def test_figures_are_released_beside_the_exact_ones(mode: str, tmp_path: Path) -> None:
    study, result = run(tmp_path, *MODES[mode])
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    told = metrics["privately_released"]
    assert list(told["endpoints"]) == list(metrics["endpoints"])
    main = told["endpoints"][metrics["test"]["endpoint"]]
    low, high = main["patients"]["ci95"]
    assert result.test.entry[:, 0].any(), "some come late, and everybody counts who comes before the grid's end"
    counted = int((result.test.entry[:, 0] < result.plan.model.grid.bounds[-1]).sum())
    if mode == "none":
        assert low == high == pytest.approx(counted)
        assert main["c_index"]["value"] == pytest.approx(metrics["test"]["c_index"], abs=0.05)
        assert result.releases == {}
        return
    assert high - low > 1
    # Six standard deviations of the noise on the sum: p < 1e-8.
    assert abs(main["patients"]["value"] - counted) < 6 / 1.96 * (high - low) / 2
    assert {len(events) for events in result.releases.values()} == {4 + 1}
    (spec,) = result.plan.summaries
    if mode == "local":
        expected = [GaussianRelease(result.plan.privacy.noise_multiplier)] * 4 + [
            GaussianRelease(spec.noise_multiplier)
        ]
        (epsilon,) = set(result.epsilons.values())
        assert epsilon == pytest.approx(epsilon_of(expected, delta=1e-6), rel=1e-4)  # rounded to steps of 2**-20
        page = (tmp_path / "run" / "report.html").read_text()
        assert "would release privately" in page
        assert "computed in the open" in page
        assert f"then evaluation, once, with noise multiplier {spec.noise_multiplier:.3g}" in page
    assert all(1.95 < epsilon <= 2.0 for epsilon in result.epsilons.values())
    assert spec.cells == len(result.plan.model.endpoints) * 6 * (1 + 2 * len(spec.time_bounds[1:]))
    assert study.settings.held_out.budget_share == 0.3


@pytest.mark.parametrize("mode", MODES)
def test_whether_risks_are_right_is_released_beside_the_exact_figures(mode: str, tmp_path: Path) -> None:
    """Without the counts: patients are set aside for this alone."""
    asked = ("held_out.calibration_share=0.5", "held_out.calibration_windows=[24]", "held_out.smallest_expected=1")
    study = small_study(tmp_path, *asked, "evaluation.baselines=false", "privacy.hazard_cap=50", *MODES[mode])
    result = run_study(study, tmp_path / "run")
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    told = metrics["calibration_privately_released"]
    assert metrics["privately_released"] is None
    assert list(told["endpoints"]) == list(metrics["endpoints"])
    found = result.measured_calibration
    assert found is not None
    exact = metrics["test"]["events_and_expected"]
    windows = told["endpoints"][metrics["test"]["endpoint"]]["windows"]
    assert told["window_bounds"] == [0, 24, exact["window_bounds"][-1]]
    early, until_24, late = np.array(exact["all"])
    for window, (events, expected) in zip(windows, (early + until_24, late), strict=True):
        # Nobody's follow-up is stopped at so high a cap, so the two differ by the noise alone.
        assert abs(window["expected"] - expected) <= 1e-6 * expected + 6 * 2 * found.noise_sd
        if mode == "none":
            assert window["observed_to_expected"]["value"] == pytest.approx(events / expected)
    page = (tmp_path / "run" / "report.html").read_text()
    assert "are the predicted risks right?" in page
    if mode != "none":
        assert all(1.95 < epsilon <= 2.0 for epsilon in result.epsilons.values())
        assert {len(events) for events in result.releases.values()} == {4 + 1}


def test_everybody_set_aside_is_held_out_at_its_own_hospital(tmp_path: Path) -> None:
    study = small_study(tmp_path, *MEASURED)
    table, schema, where = table_of(study)
    cut = consortium(table, schema, where=where, sites=study.sites, evaluation=study.evaluation, seed=study.seed)
    assert list(cut.held_out) == list(cut.hospitals)
    by_site = [patient for cohort in cut.held_out.values() for patient in cohort.patient_ids]
    assert sorted(by_site) == sorted(cut.test.patient_ids)
    for site, cohort in cut.held_out.items():
        assert not set(cohort.patient_ids) & set(cut.hospitals[site].patient_ids)
        hospital = dict(zip(table["patient_id"].astype(str), table["hospital"].astype(str), strict=True))
        assert {hospital[patient] for patient in cohort.patient_ids} <= {site}


class Crash(Exception):
    pass


def test_a_run_that_ends_before_its_figures_were_released_releases_them_when_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = small_study(tmp_path, *MEASURED)

    def crash(*_: object, **__: object) -> None:
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(course, "run_summaries", crash)
        with pytest.raises(Crash):
            run_study(study, tmp_path / "run", report=False)
    result = run_study(study, tmp_path / "run", resume=True, report=False)
    assert result.measured is not None
    assert {len(events) for events in result.releases.values()} == {5}
    assert list(result.rounds["round"]) == [1, 2, 3, 4]
    again = run_study(study, tmp_path / "run", resume=True, report=False)  # nothing is asked or charged again
    assert again.releases == result.releases
    assert repr(again.measured) == repr(result.measured)  # a figure may be NaN, as the noise will


def test_figures_that_cannot_be_had_are_told_and_keep_nobody_from_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, told = small_study(tmp_path, *MEASURED), list[str]()

    def nobody(*_: object, **__: object) -> None:
        raise QuorumLost("summary evaluation: 0 of 4 hospitals answered")

    with monkeypatch.context() as patched:
        patched.setattr(course, "run_summaries", nobody)
        result = run_study(study, tmp_path / "run", tell=told.append)
    assert result.measured is None
    (words,) = [words for about, words in result.notes if about == "released figures"]
    assert words in told
    assert "0 of 4 hospitals answered" in words
    assert words in (tmp_path / "run" / "report.html").read_text()
    again = run_study(study, tmp_path / "run", resume=True, report=False)
    assert again.measured is not None


def test_by_default_nothing_is_released_and_the_noise_is_what_it_was(tmp_path: Path) -> None:
    study = small_study(tmp_path, "evaluation.baselines=false", "privacy.mode=none")
    result = run_study(study, tmp_path / "run", report=False)
    assert result.measured is None
    assert result.plan.summaries == ()
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["privately_released"] is None


FAULTS = {
    "budget_share=1.0": "budget_share: is above 0.99",
    "fraction=1.5": "fraction: is above 0.9",
    "risk_edges=[0.5, 0.5]": "do not rise",
    "budget_share=0.2": "is needed",
    "attempts=0": "attempts",
}


@pytest.mark.parametrize(("setting", "words"), FAULTS.items(), ids=FAULTS)
def test_faults_of_the_section_are_told(setting: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=words):
        small_study(tmp_path, f"held_out.{setting}")


@pytest.mark.parametrize(
    ("settings", "words"),
    [(("horizon=25",), "no interval bound"), (("horizon=24", "times=[7]"), "not all interval bounds")],
)
def test_times_that_the_schema_does_not_have_are_refused_before_anything_is_written(
    settings: tuple[str, ...], words: str, tmp_path: Path
) -> None:
    study = small_study(tmp_path, "held_out.budget_share=0.2", *(f"held_out.{setting}" for setting in settings))
    with pytest.raises(InvalidInput, match=words):
        run_study(study, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_noise_of_rounds_grows_as_the_page_says(tmp_path: Path) -> None:
    plain, measured = (
        run_study(small_study(tmp_path, *MEASURED[2:], *more), tmp_path / str(len(more)), report=False).plan
        for more in ((), MEASURED[:2])
    )
    ratio = measured.privacy.noise_multiplier / plain.privacy.noise_multiplier
    assert ratio == pytest.approx(1 / np.sqrt(1 - 0.3), rel=2e-3)
