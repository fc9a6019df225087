"""Is the lab the same thing as `oncofed simulate`, without its folder, and does it refuse what it should?"""

from __future__ import annotations

import json
import math
import re
import shutil
import zlib
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from tests.conftest import REPOSITORY

import oncofed.lab as of
from oncofed.errors import OncofedError
from oncofed.protocol.plan import Bounding, PrivacyMode, TrainingMode
from oncofed.simulations.lab.logs import Log, Writing
from oncofed.simulations.run import run_study
from oncofed.simulations.study import read_study
from oncofed.survival.network import PrognosisNetwork

EXAMPLE = REPOSITORY / "simulations/studies/own_table"
UNTYPED: Any = of
"""For what a type checker would not let through: a notebook has none."""
NOTHING = of.no_privacy()
STOPPED = of.local(epsilon=3, bounding="stopped")


@pytest.fixture(scope="module")
def cohort() -> of.Patients:
    return of.read_cohort(EXAMPLE / "patients.csv", of.read_schema(EXAMPLE / "schema.toml"))


@pytest.fixture(scope="module")
def run(cohort: of.Patients) -> of.Run:
    hospitals, test = of.split(cohort, seed=1)
    return of.train(hospitals, privacy=of.local(epsilon=3), rounds=3, test=test, progress=False)


@pytest.fixture(scope="module")
def test_patients(cohort: of.Patients) -> of.Patients:
    return of.split(cohort, seed=1)[1]


@pytest.mark.parametrize("delayed_entry", [True, False])
def test_without_privacy_it_trains_and_measures_the_very_model_of_a_run_with_a_folder(
    tmp_path: Path, *, delayed_entry: bool
) -> None:
    folder = tmp_path / "example"
    shutil.copytree(EXAMPLE, folder)
    if not delayed_entry:  # else neither Uno's C nor a Brier score is defined
        lines = (folder / "schema.toml").read_text().splitlines()
        (folder / "schema.toml").write_text("\n".join(line for line in lines if not line.startswith("entry = ")))
    overrides = ["privacy.mode=none", "training.rounds=4", "training.weight_decay=1", "model.hidden_units=[4, 3]"]
    result = run_study(read_study(folder / "study.toml", overrides=overrides), tmp_path / "run", report=False)
    hospitals, test = of.split(of.read_cohort(folder / "patients.csv", of.read_schema(folder / "schema.toml")), seed=1)
    run = of.train(
        hospitals,
        privacy=NOTHING,
        network=of.prognosis([4, 3]),
        strategy=of.FedAdam(0.02, weight_decay=1),
        rounds=4,
        test=test,
        progress=False,
    )
    saved = of.load_model(tmp_path / "run" / "model.safetensors")
    assert np.array_equal(saved.log_hazard_ratio(test), run.model.log_hazard_ratio(test))
    assert run.rounds["test_c_index"].tolist() == result.rounds["test_c_index"].tolist()
    written = json.loads((tmp_path / "run" / "metrics.json").read_text())
    expected = written["test"]
    figures = of.evaluate(run.model, test, hospitals=hospitals, at=24, seed=1).to_dict("index")["overall_survival"]
    names = {
        "uno": "uno_c_index",
        "brier": "integrated_brier",
        "slope": "calibration_slope",
        "pairs": "comparable_pairs",
    }
    names |= {"pairs": "comparable_pairs"} | {
        name: name for name in ("c_index", "brier_gain", "expected_to_observed", "events", "patients")
    }
    for mine, name in names.items():
        same = math.isnan(figures[mine]) if expected[name] is None else figures[mine] == expected[name]
        assert same, (mine, figures[mine], expected[name])
    assert math.isnan(figures["uno"]) == math.isnan(figures["brier"]) == delayed_entry
    assert [figures["low"], figures["high"]] == expected["c_index_ci95"]
    assert [figures["slope_low"], figures["slope_high"]] == expected["calibration_slope_ci95"]
    windows = expected["events_and_expected"]
    assert figures["expected"] == pytest.approx(sum(number for _, number in windows["all"]))
    found = of.calibration(run.model, test, hospitals=hospitals, at=24)
    groups = {"all": windows["all"], **windows["by_type"], **windows["by_hospital"]}
    assert len(found) == sum(map(len, groups.values()))
    for group, rows in found.groupby("group"):
        assert rows[["observed", "expected"]].to_numpy().tolist() == groups[str(group)], group
    areas = of.auc_over_time(run.model, test, hospitals=hospitals, at=24)
    if delayed_entry:
        assert (len(areas), expected["auc_over_time"]) == (0, None)
    else:
        assert areas["auc"].tolist() == expected["auc_over_time"]["auc"]
        assert areas["low"].tolist() == expected["auc_over_time"]["low"]
    decisions, curve = of.decision_curve(run.model, test, at=24), expected["decision_curve"]
    for mine, theirs in (
        ("threshold", curve["thresholds"]),
        ("benefit", curve["net_benefit"]["value"]),
        ("high", curve["net_benefit"]["high"]),
        ("benefit_of_all", curve["treat_all"]["value"]),
        ("above_all_low", curve["above_treat_all"]["low"]),
    ):
        np.testing.assert_array_equal(decisions[mine].to_numpy(), np.array(theirs, dtype=np.float64))
    tables, written_groups = of.subgroups(run.model, test, at=24, seed=1), expected["subgroups"]
    for mine, key in (("c_index", "c_index"), ("ratio", "observed_to_expected"), ("slope", "calibration_slope")):
        values = [each[key]["value"] for each in written_groups]
        lows = [each[key]["simultaneous_ci95"][0] for each in written_groups]
        np.testing.assert_array_equal(tables[mine].to_numpy(), np.array(values, dtype=np.float64))
        np.testing.assert_array_equal(tables[f"{mine}_low"].to_numpy(), np.array(lows, dtype=np.float64))
    alone = of.baselines(hospitals, test)
    assert alone["c_index"][0] == written["baselines"]["pooled_ridge_cox"]
    assert dict(zip(alone["hospital"][1:], alone["c_index"][1:], strict=True)) == written["baselines"]["local_only"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["example", "run"], "the lab wrote nothing"


def test_risks_that_are_wrong_are_told_beside_the_c_index(run: of.Run, test_patients: of.Patients) -> None:
    """A model that tells everybody three times the hazard ranks as well as before."""
    network = deepcopy(run.model.network)
    assert isinstance(network, PrognosisNetwork)
    with torch.no_grad():
        network.baseline.correction.add_(math.log(3) / network.baseline.weight)
    gloomy = replace(run.model, network=network)
    right, wrong = (of.evaluate(model, test_patients).loc["overall_survival"] for model in (run.model, gloomy))
    assert wrong["c_index"] == right["c_index"]
    assert wrong["expected"] == pytest.approx(3 * right["expected"])
    assert "everybody, all along: " in wrong["wrong"]
    assert "section" not in wrong["wrong"], "there is no report here"
    assert wrong["expected_to_observed"] > 1.2 * right["expected_to_observed"]


def test_hospitals_weigh_their_own_patients_where_it_is_known_who_they_are(
    run: of.Run, test_patients: of.Patients
) -> None:
    named = of.calibration(run.model, test_patients)
    assert set(named.query("by == 'hospital'")["group"]) == {"east", "north", "south", "west"}
    unnamed = of.calibration(run.model, replace(test_patients, sites=None))
    assert set(unnamed["by"]) == {"all", "entity"}
    pd.testing.assert_frame_equal(named.query("by == 'all'"), unnamed.query("by == 'all'"))


def test_nothing_that_is_shown_holds_a_patient(cohort: of.Patients, run: of.Run, test_patients: of.Patients) -> None:
    hospitals, _ = of.split(cohort)
    why = of.explain(run.model, test_patients)
    shown = [repr(each) + each._repr_html_() for each in (cohort, hospitals, hospitals["north"], run, why)]
    shown += [repr(run.model), why.waterfall(0).svg]
    for words in shown:
        assert not set(re.findall(r"L\d{4}", words)), words[:200]
    assert "uicc_stage" in shown[0]


def test_the_table_of_markers_counts_what_is_missing() -> None:
    cohort = of.read_cohort(EXAMPLE / "patients.csv", of.read_schema(EXAMPLE / "schema.toml"))
    table = pd.read_csv(EXAMPLE / "patients.csv", na_values=["n/a"])
    for row in cohort.markers.itertuples():
        assert row.measured == table[str(row.marker)].notna().sum(), row.marker
    assert math.isclose(
        float(cohort.markers.set_index("marker")["missing"]["TP53_mut"]), float(table["TP53_mut"].isna().mean())
    )


def test_a_ledger_is_charged_for_each_round_at_each_hospital(run: of.Run) -> None:
    assert run.spent["hospital"].tolist() == ["east", "north", "south", "west"]
    assert run.spent["releases"].tolist() == [3] * 4
    assert 2.9 < run.spent["epsilon"].max() <= 3
    assert "bounded to the last bit" in run.words


def test_without_privacy_it_is_said_that_nothing_is_protected(cohort: of.Patients) -> None:
    hospitals, _ = of.split(cohort)
    run = of.train(hospitals, privacy=NOTHING, rounds=1, progress=False)
    assert run.spent["epsilon"].tolist() == [math.inf] * 4
    assert run.words.startswith("Nothing is protected")


def test_a_model_is_kept_whole(run: of.Run, test_patients: of.Patients, tmp_path: Path) -> None:
    run.model.save(tmp_path / "model")
    again = of.load_model(tmp_path / "model")
    times = [0.0, 5.5, 120.0]
    assert again.survival(test_patients, times).equals(run.model.survival(test_patients, times))
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    with pytest.raises(of.InvalidInput, match="holds the project's own network"):
        of.load_model(tmp_path / "model", network=torch.nn.Linear(3, 1))


def test_a_model_with_time_shapes_says_each_patients_own_risk_and_is_kept_whole(tmp_path: Path) -> None:
    hospitals, test = of.split(of.synthetic(patients=200, hospitals=2), test=0.3)
    network = of.prognosis([], entity_time_shapes=2)
    model = of.train(hospitals, privacy=NOTHING, network=network, rounds=5, progress=False).model
    assert isinstance(model.network, PrognosisNetwork)
    hazard = np.exp(model.network.log_hazard(model.encoded(test)).detach().numpy()[:, 0])
    survival = np.exp(-np.concatenate([np.zeros((len(test), 1)), np.cumsum(hazard, axis=1)], axis=1))
    bounds = model.spec.grid.bounds
    np.testing.assert_allclose(model.survival(test, bounds), survival, rtol=1e-9)
    np.testing.assert_allclose(model.predict_risk(test, at=bounds[2]), 1 - survival[:, 2], rtol=1e-9)
    assert np.ptp(hazard / hazard[:, :1], axis=0).max() > 0.01  # not proportional
    model.save(tmp_path / "model")
    assert of.load_model(tmp_path / "model").survival(test, bounds).equals(model.survival(test, bounds))


def test_what_is_no_model_of_this_version_is_refused(run: of.Run, tmp_path: Path) -> None:
    weights = {"baseline.correction": torch.zeros(1, 8)}
    hashes = {"plan_hash": "", "schema_hash": ""}
    cases: list[tuple[dict[str, str] | None, str]] = [
        (None, "is no model of a simulation"),
        (hashes, "is no model of a simulation"),
        ({**hashes, "plan": json.dumps({"model": older_than(run)})}, "another version"),
        ({**hashes, "plan": "{}"}, "another version"),
        ({**hashes, "plan": "a plan"}, "another version"),
        (dict(run.model.metadata), "other weights than its plan"),
    ]
    for metadata, said in cases:
        save_file(weights, tmp_path / "model", metadata=metadata)
        with pytest.raises(of.InvalidInput, match=said):
            of.load_model(tmp_path / "model")
    (tmp_path / "model").write_text("weights")
    with pytest.raises(of.InvalidInput, match="is not a model"):
        of.load_model(tmp_path / "model")


def older_than(run: of.Run) -> dict[str, object]:
    """What a version that knew no linear branch would have written of the network."""
    written: dict[str, object] = json.loads(run.model.metadata["plan"])["model"]
    return {name: value for name, value in written.items() if name != "linear_branch"}


def test_risk_is_one_less_survival_and_follows_the_hazard(run: of.Run, test_patients: of.Patients) -> None:
    risk = run.model.predict_risk(test_patients, at=24)
    survival = run.model.survival(test_patients, [24.0])[24.0].to_numpy()
    np.testing.assert_allclose(risk, 1 - survival)
    order = np.argsort(run.model.log_hazard_ratio(test_patients))
    assert (np.diff(risk[order]) >= 0).all()


def test_a_waterfall_is_of_the_patient_in_its_row(run: of.Run, test_patients: of.Patients) -> None:
    why = of.explain(run.model, test_patients)
    for row in (0, 3):
        texts = [each.text or "" for each in ElementTree.fromstring(why.waterfall(row).svg).iter() if each.text]
        assert f"HR {math.exp(why.log_hazard_ratio[row]):.2f}" in texts
        stage = test_patients.cohort.marker_values("uicc_stage")[row]
        assert any(text.startswith("UICC stage: ") and text.endswith(f"{stage:g}") for text in texts), texts
    for none in (155, -1, 0.5, math.nan, "0"):
        with pytest.raises(of.InvalidInput, match="Possible: 0 to 154"):
            UNTYPED.Explanation.waterfall(why, none)


def test_a_column_other_than_the_sites_cuts_too_and_the_schema_stays(cohort: of.Patients) -> None:
    by_type, test = of.split(cohort, by="histology")
    assert list(by_type) == ["adenocarcinoma", "small_cell", "squamous"]
    values = by_type["squamous"].cohort.marker_values("histology")
    assert set(values.tolist()) == {1.0}
    assert {each.schema.hash for each in (*by_type.values(), test)} == {cohort.schema.hash}
    spread = {zlib.crc32(name.encode()) % 3 for name in ("east", "north", "south", "west")}
    assert list(of.split(cohort, by=3)[0]) == [f"site_{code}" for code in sorted(spread)]


def test_numbers_of_numpy_are_numbers(cohort: of.Patients) -> None:
    hospitals, _ = UNTYPED.split(cohort, test=np.float32(0.25), seed=np.int64(2))
    run = UNTYPED.train(
        hospitals,
        privacy=UNTYPED.local(epsilon=np.float32(2.5), clip=np.int64(2)),
        network=UNTYPED.prognosis(np.array([3])),
        rounds=np.int64(1),
        seed=np.int32(4),
        progress=False,
    )
    assert json.loads(json.dumps(run.plan.privacy.epsilon)) == 2.5


def test_a_strategy_that_fits_no_such_hospitals_is_refused_before_a_log_hears_of_a_run(cohort: of.Patients) -> None:
    def begin() -> Writing:
        pytest.fail("a run was begun")

    hospitals, _ = of.split(cohort)
    with pytest.raises(of.InvalidInput, match="Krum needs 5 replies"):
        of.train(hospitals, privacy=NOTHING, strategy=of.Krum(malicious=1), log=Log("any", begin), progress=False)


def test_a_network_may_have_one_of_its_parts_alone() -> None:
    assert (of.prognosis([4], linear=False).linear, of.prognosis([]).hidden) == (False, ())


def test_the_modes_are_the_plans(cohort: of.Patients) -> None:
    hospitals, _ = of.split(cohort)
    shared = of.train(hospitals, privacy=of.distributed(epsilon=2), rounds=1, progress=False)
    assert (shared.plan.privacy.mode, shared.plan.privacy.shares is not None) == (PrivacyMode.DISTRIBUTED, True)
    steps = of.LocalSteps(steps=2)
    local = of.train(hospitals, privacy=NOTHING, strategy=of.FedProx(local=steps), rounds=1, progress=False)
    assert (local.plan.training.local_steps, local.plan.training.proximal_mu) == (2, 0.01)


@pytest.mark.parametrize(
    "strategy", [of.FedYogi(), of.FedAdagrad(), of.FedAvg(), of.Median(), of.TrimmedAverage(trim=0.3), of.FedProx()]
)
def test_each_strategy_trains(cohort: of.Patients, strategy: of.FedAvg) -> None:
    hospitals, _ = of.split(cohort)
    run = of.train(hospitals, privacy=of.no_privacy(clip=2), strategy=strategy, rounds=2, progress=False)
    assert (run.rounds["update_l2_norm"] > 0).all()
    assert run.plan.training.strategy.value.replace("_", "") == type(strategy).__name__.lower()


@pytest.mark.parametrize(
    ("strategy", "asked"),
    [
        (
            of.FedAdam(0.02, weight_decay=2.0, beta_1=0.5, beta_2=0.6, tau=1e-3),
            {"server_learning_rate": 0.02, "weight_decay": 2.0, "beta_1": 0.5, "beta_2": 0.6, "tau": 1e-3},
        ),
        (of.FedYogi(beta_1=0.5, beta_2=0.6, tau=1e-3), {"beta_1": 0.5, "beta_2": 0.6, "tau": 1e-3}),
        (of.FedAdagrad(tau=1e-3), {"tau": 1e-3}),
        (of.FedProx(mu=0.2), {"proximal_mu": 0.2}),
        (of.TrimmedAverage(trim=0.3), {"trim_fraction": 0.3}),
        (of.Krum(malicious=2), {"malicious_sites": 2}),
        (
            of.FedAvg(local=of.LocalSteps(steps=3, learning_rate=0.2, sampling_rate=0.3, batch=40.0)),
            {"local_steps": 3, "local_learning_rate": 0.2, "sampling_rate": 0.3, "expected_batch_size": 40.0},
        ),
    ],
    ids=lambda each: type(each).__name__,
)
def test_a_strategys_numbers_are_those_of_the_plan(strategy: of.FedAvg, asked: dict[str, float]) -> None:
    plain = type(strategy)().spec
    assert {name: getattr(strategy.spec, name) for name in asked} == asked
    assert all(getattr(plain, name) != number for name, number in asked.items()), "the check must be able to fail"


def test_a_clip_without_noise_cuts_and_without_a_clip_nobody_is_cut() -> None:
    assert (of.no_privacy(clip=0.5).clip_without_noise, of.no_privacy(clip=0.5).l2_norm_bound) == (True, 0.5)
    assert (NOTHING.clip_without_noise, NOTHING.l2_norm_bound) == (False, None)


def nobody(patients: of.Patients) -> of.Patients:
    return replace(patients, cohort=patients.cohort.subset(np.array([], dtype=np.int64)))


def without_sites(patients: of.Patients) -> of.Patients:
    return replace(patients, cohort=replace(patients.cohort, schema=replace(patients.schema, site_column=None)))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda c, h, t: of.local(epsilon=math.nan), "outside"),
        (lambda c, h, t: UNTYPED.distributed(epsilon=1, dropouts=1.5), "not a whole number"),
        (lambda c, h, t: of.local(epsilon=1, bounding="cut"), "Possible: clip, stopped"),
        (lambda c, h, t: of.distributed(epsilon=-1, bounding="cut"), "2 faults"),
        (lambda c, h, t: of.local(epsilon=1, bounding="stopped", hazard_cap=0), "outside"),
        (lambda c, h, t: of.train(h, privacy=NOTHING, rounds=3, calibration_rounds=3), "calibration_rounds"),
        (lambda c, h, t: of.train(h, privacy=STOPPED, strategy=of.FedProx()), "know no bounding but clip"),
        (lambda c, h, t: of.prognosis([0]), "hidden: is 0, outside"),
        (lambda c, h, t: UNTYPED.prognosis([2.5]), "hidden: is 2.5, and not a whole"),
        (lambda c, h, t: of.prognosis([8] * 9), "has 9 layers, outside 0 to 8"),
        (lambda c, h, t: of.prognosis(entity_time_shapes=3), "entity_time_shapes: is 3, outside"),
        (lambda c, h, t: of.prognosis(shape_weight=0), "shape_weight: is 0, outside"),
        (lambda c, h, t: of.split(c, by="postcode"), "is not a column that the schema names"),
        (lambda c, h, t: of.split(c, test=1.5), "outside"),
        (lambda c, h, t: of.split(c, by=0), "outside"),
        (lambda c, h, t: of.split(c, seed=-1), "seed: is -1, outside"),
        (lambda c, h, t: UNTYPED.split(c, by=math.nan), "by: is nan, and not a whole number"),
        (lambda c, h, t: UNTYPED.train(h, privacy=NOTHING, rounds=math.inf), "is inf, and not a whole number"),
        (lambda c, h, t: UNTYPED.train(h, privacy=NOTHING, rounds=3.0), "is 3.0, and not a whole number"),
        (lambda c, h, t: of.train(h, privacy=NOTHING, rounds=10**400), "is beyond 1e300, outside"),
        (lambda c, h, t: of.split(t), "split before"),
        (lambda c, h, t: of.train(h, privacy=NOTHING, rounds=0), "trains nothing"),
        (lambda c, h, t: of.train(h, privacy=NOTHING, seed=-1), "outside"),
        (lambda c, h, t: of.train(h, privacy=NOTHING, strategy=of.Krum(malicious=1)), "Krum needs 5 replies"),
        (lambda c, h, t: of.train(h, privacy=of.distributed(epsilon=1, dropouts=2, colluding=2)), "leave nobody"),
        (lambda c, h, t: of.train(h, privacy=NOTHING, test=of.synthetic(100, 2)), "another schema"),
        (lambda c, h, t: of.budget(NOTHING, c.schema, hospitals=0, patients=10, events=2), "2 faults"),
        (
            lambda c, h, t: of.train({**h, "other": of.synthetic(100, 2)}, privacy=NOTHING),
            r'hospitals\["other"\]: is described',
        ),
        (lambda c, h, t: of.synthetic(patients=3), "outside"),
        (lambda c, h, t: of.synthetic(hospitals=0), "hospitals: is 0, outside"),
        (lambda c, h, t: of.synthetic(seed=-1), "seed: is -1, outside"),
        (lambda c, h, t: of.synthetic(patients=100, hospitals=101), "fewer than the hospitals"),
        (lambda c, h, t: of.prognosis(baseline_weight=0), "baseline_weight: is 0, outside"),
        (lambda c, h, t: of.prognosis([], linear=False), "no network at all"),
        (lambda c, h, t: of.split(without_sites(c)), "names no site column"),
        (lambda c, h, t: of.budget(NOTHING, c.schema, hospitals=4, patients=0, events=0.5), "patients: is 0, outside"),
        (lambda c, h, t: of.baselines({}, t), "are none"),
        (lambda c, h, t: of.baselines(h, of.synthetic(100, 2)), "another schema"),
    ],
)
def test_what_is_wrong_is_refused(
    cohort: of.Patients, wrong: Callable[[of.Patients, object, of.Patients], object], said: str
) -> None:
    hospitals, test = of.split(cohort)
    with pytest.raises(of.InvalidInput, match=said):
        wrong(cohort, hospitals, test)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda m, t: m.predict_risk(t, at=121), "between 0 and 120"),
        (lambda m, t: m.predict_risk(t, at=math.nan), "between 0 and 120"),
        (lambda m, t: m.survival(t, [12, -1]), "between 0 and 120"),
        (lambda m, t: m.log_hazard_ratio(t, endpoint="relapse"), "Possible: overall_survival"),
        (lambda m, t: m.log_hazard_ratio(of.synthetic(100, 2)), "another schema"),
        (lambda m, t: of.evaluate(m, t, at=500), "lies beyond 120"),
        (lambda m, t: of.evaluate(m, of.synthetic(100, 2), at=12), "another schema"),
        (lambda m, t: of.evaluate(m, t, hospitals={"a": of.synthetic(100, 2)}), "another schema"),
        (lambda m, t: of.evaluate(m, t, hospitals={}), "are none"),
        (lambda m, t: of.evaluate(m, nobody(t), seed=-1), "2 faults"),
        (lambda m, t: of.calibration(m, t, at=0), "outside"),
        (lambda m, t: of.decision_curve(m, t, at=500), "lies beyond 120"),
        (lambda m, t: of.auc_over_time(m, nobody(t)), "is nobody"),
        (lambda m, t: of.subgroups(m, t, by=["age_year"]), 'by: "age_year" is no marker'),
        (lambda m, t: of.explain(m, t, endpoint="x"), "Possible: overall_survival"),
    ],
)
def test_what_a_model_cannot_say_is_refused(
    run: of.Run, test_patients: of.Patients, wrong: Callable[[of.Model, of.Patients], object], said: str
) -> None:
    with pytest.raises(of.InvalidInput, match=said):
        wrong(run.model, test_patients)


def test_what_cannot_be_audited_is_refused(run: of.Run, test_patients: of.Patients) -> None:
    steps = replace(run.plan, training=replace(run.plan.training, mode=TrainingMode.EPOCHS))
    other = replace(run.model, network=torch.nn.Linear(1, 1))  # type: ignore[arg-type]  # not ours, whatever it is
    refused: dict[str, Callable[[], object]] = {
        "promises nothing that could be audited": lambda: of.audit(replace(run, releases={})),
        "has local steps": lambda: of.audit(replace(run, plan=steps)),
        "another network": lambda: of.audit(replace(run, model=other)),
        'only: is "everything", which is unknown': lambda: of.audit(run, only=["everything"]),
        "set nobody aside whom the attacker": lambda: of.audit(replace(run, set_aside=None)),
        "test: is nobody": lambda: of.audit(run, nobody(test_patients)),
        "is described by another schema": lambda: of.audit(run, of.synthetic(100, 2)),
        "outside": lambda: of.audit(run, seed=-1),
    }
    for said, call in refused.items():
        with pytest.raises(OncofedError, match=said):
            call()


def test_a_run_knows_whom_its_attacker_may_know(cohort: of.Patients, run: of.Run) -> None:
    hospitals, test = of.split(cohort)
    alone = of.train(hospitals, privacy=of.local(epsilon=3), rounds=1, progress=False)
    assert (alone.set_aside is test, run.set_aside is not None) == (True, True)
    assert of.train(dict(hospitals), privacy=NOTHING, rounds=1, progress=False).set_aside is None
    assert of.audit(alone, only=["ledger"])["outcome"].tolist() == ["passed"]


def test_patients_are_bounded_and_risks_calibrated_as_asked(cohort: of.Patients) -> None:
    hospitals, _ = of.split(cohort)
    run = of.train(hospitals, privacy=STOPPED, rounds=3, calibration_rounds=1, progress=False)
    assert (run.plan.privacy.bounding, run.plan.training.calibration_rounds) == (Bounding.STOPPED, 1)
    assert len(run.rounds) == 3


def test_the_budget_is_that_of_the_command(cohort: of.Patients) -> None:
    from oncofed.simulations.lab.strategies import FedAdam, settings_of  # noqa: PLC0415
    from oncofed.study.budget import Guess, offers  # noqa: PLC0415 - only this test's truth

    asked = of.distributed(epsilon=1, dropouts=1, colluding=1)
    settings = settings_of(asked, FedAdam(), rounds=60)
    found = offers(settings, cohort.schema, Guess(12, 1_000, 0.5), epsilons=[1.0], rounds=[60])
    table = of.budget(asked, cohort.schema, rounds=60, hospitals=12, patients=1_000, events=0.5)
    offer = next(each for each in found if each.mode is PrivacyMode.DISTRIBUTED)
    assert table["information_left"].tolist() == [one.information_left for one in offer.bought]
    assert table["hazard_ratio"].tolist() == [one.hazard_ratio for one in offer.bought]
    nothing = of.budget(NOTHING, cohort.schema, hospitals=12, patients=1_000, events=0.5)
    assert nothing["information_left"].tolist() == [1.0] * 3


def test_progress_is_shown_unless_it_is_not_wanted(cohort: of.Patients, capsys: pytest.CaptureFixture[str]) -> None:
    hospitals, _ = of.split(cohort)
    of.train(hospitals, privacy=NOTHING, rounds=2, progress=False)
    assert capsys.readouterr().out == ""
    of.train(hospitals, privacy=NOTHING, rounds=2)
    assert "2/2" in capsys.readouterr().out
