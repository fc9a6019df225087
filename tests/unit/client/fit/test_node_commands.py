"""What do `site recalibrate` and `site drift` say and write at a node, and what do its pages then show?

A node with a delivered model whose level is known to be wrong: it is told, adopted, shown, watched and withdrawn.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.command_line import oncofed
from tests.html_pages import Page
from tests.installed_node import SCHEMA, SOURCE, InstalledNode, installed_node, planted
from tests.pages_hospital import served

from oncofed.client.fit.adoption import ADOPTED, WITHDRAWN, adopt, adoption_of
from oncofed.client.fit.closed_testing import Degree
from oncofed.client.fit.node_drift import last_day
from oncofed.client.pages.accounts import Role
from oncofed.client.pages.of_node import hospital_of
from oncofed.client.pages.patient_view import patient_view
from oncofed.cohort.schema_file import parse_schema
from oncofed.cohort.validation import validate
from oncofed.errors import RecordDamaged
from oncofed.protocol.messages import DeliveryState
from oncofed.protocol.model_file import signed_model
from oncofed.protocol.plan import StudyPlan
from oncofed.survival.network import parameter_count

ENDPOINTS = ("overall_survival",)
FIRST = date(2018, 1, 1)
CUT = date(2026, 6, 30)
LEVEL = 2.0


def table(*, level: float = LEVEL, change: float = 1.0, patients: int = 1600, seed: int = 1) -> pd.DataFrame:
    """The model, whose weights are 0, expects 0.02 events a month; here so many times as many come.

    change: so many times more from 2026 on, by when everybody is in.
    """
    rng = np.random.default_rng(seed)
    zero = rng.uniform(0, (CUT - FIRST).days - 1, patients)
    until_change = np.maximum((date(2026, 1, 1) - FIRST).days - zero, 0) / 30.4375
    needed = rng.exponential(size=patients) / (0.02 * level)
    event = np.where(needed <= until_change, needed, until_change + (needed - until_change) / change)
    seen = ((CUT - FIRST).days - zero) / 30.4375
    return pd.DataFrame(
        {
            "record_number": [f"MRN-0047-{row:05d}" for row in range(patients)],
            "sex_female": rng.integers(0, 2, patients),
            "age": rng.normal(60, 10, patients).round(1),
            "survival_months": np.maximum(np.minimum(event, seen), 0.03).round(2),
            "death_observed": (event <= seen).astype(int),
            "diagnosed": [(FIRST + timedelta(days=int(day))).isoformat() for day in zero],
        }
    )


def plan_of(node: InstalledNode, *, held_out: float = 0.4) -> StudyPlan:
    return replace(node.plan(), held_out_fraction=held_out)


def delivered(node: InstalledNode, found: pd.DataFrame, *, held_out: float = 0.4) -> StudyPlan:
    """Approved, and with a model that has learned nothing."""
    found.to_csv(node.table_path, index=False)
    plan = plan_of(node, held_out=held_out)
    node.guard().offer_plan(node.offer(plan))
    node.approve(plan)
    weights = np.zeros(parameter_count(plan.model))
    model = signed_model(weights, plan_hash=plan.hash, signing_key=node.signing_key)
    assert node.guard().deliver_model(model.content, model.signature, plan.hash) is DeliveryState.ACCEPTED
    return plan


@pytest.fixture
def node() -> Iterator[InstalledNode]:
    with installed_node() as here:
        here.enrol()
        # A right model is adjusted in one of twenty hospitals: who is set aside is the same in each run.
        here.folder.held_out_secret.write_bytes(bytes(range(32)))
        here.folder.held_out_secret.chmod(0o600)
        yield here


def file_of(node: InstalledNode, plan: StudyPlan) -> Path:
    return node.folder.models / f"{plan.hash}.recalibration"


def said_on_pages(node: InstalledNode, tmp_path: Path) -> tuple[str, str]:
    """A patient's page and the cohort's."""
    tmp_path.mkdir(exist_ok=True)
    with served(tmp_path, shown=hospital_of(node.folder, plan=None)) as pages:
        client = pages.signed_in(Role.CLINICIAN)
        return Page(client.get(pages.opened(client)).text).text, Page(client.get("/cohort").text).text


def test_a_wrong_level_is_told_adopted_shown_and_withdrawn(node: InstalledNode, tmp_path: Path) -> None:
    plan, root = delivered(node, table()), node.folder.root
    hospital = hospital_of(node.folder, plan=None)
    released = patient_view(hospital, 3, endpoint=0).curve
    assert released.adjusted is None, "nothing is applied that nobody has adopted"
    patient, cohort = said_on_pages(node, tmp_path / "one")
    assert "This hospital has not said that it is to be adjusted" in patient
    assert "Patients' pages show the model as released: this hospital has not said" in cohort

    said = oncofed("site", "recalibrate", root)
    assert said.code == 0, said.text
    assert "Proposed: adjust the level" in said.text
    assert "nothing is adopted" in said.text
    assert not file_of(node, plan).exists()
    shown = re.search(r"\n +all +(\d\.\d\d) \(\S+\) \S+ +(\d\.\d\d) \(", said.text)
    assert shown is not None, said.text
    before, after = shown.groups()
    assert float(before) == pytest.approx(LEVEL, abs=0.35)
    assert float(after) == pytest.approx(1.0, abs=0.1)
    assert [each for each in planted(table()).texts if each in said.text] == []

    said = oncofed("site", "recalibrate", root, "--adopt")
    assert (said.code, "Adopted on 20" in said.text) == (0, True), said.text
    curve = patient_view(hospital_of(node.folder, plan=None), 3, endpoint=0).curve
    assert curve.adjusted is not None
    assert np.log(curve.at(36)) / np.log(released.at(36)) == pytest.approx(LEVEL, rel=0.15)
    patient, cohort = said_on_pages(node, tmp_path / "two")
    assert "This hospital adopted it on 20" in patient
    assert "who were set aside and never learned from" in patient
    assert "has learned from these patients" not in patient
    assert "spread of risks that suits" not in patient, "the level alone was adopted"
    assert "Patients' pages are adjusted as this hospital adopted it on 20" in cohort

    said = oncofed("site", "recalibrate", root, "--withdraw")
    assert (said.code, "Withdrawn" in said.text) == (0, True)
    assert not file_of(node, plan).exists()
    np.testing.assert_array_equal(
        patient_view(hospital_of(node.folder, plan=None), 3, endpoint=0).curve.survival, released.survival
    )
    assert "Nothing was adopted" in oncofed("site", "recalibrate", root, "--withdraw").text
    told = [(entry.event, entry.plan_hash) for entry in node.entries() if "recalibration" in entry.event]
    assert told == [(ADOPTED, plan.hash), (WITHDRAWN, plan.hash)]


def test_a_right_model_is_left_as_it_is_and_the_page_says_that_somebody_looked(
    node: InstalledNode, tmp_path: Path
) -> None:
    delivered(node, table(level=1.0, seed=4))
    said = oncofed("site", "recalibrate", node.folder.root, "--adopt")
    assert "Proposed: adjust nothing" in said.text, said.text
    patient, cohort = said_on_pages(node, tmp_path)
    assert re.search(
        r"looked on 20\d\d-\d\d-\d\d, at patients from whom the model had not learned, and adjusts", patient
    )
    assert "and adjusts nothing" in cohort


def test_what_was_changed_or_is_another_plans_is_refused_and_never_taken_for_nothing(node: InstalledNode) -> None:
    plan, root = delivered(node, table()), node.folder.root
    assert oncofed("site", "recalibrate", root, "--adopt").code == 0
    file = file_of(node, plan)
    whole = file.read_bytes()
    adopted = adoption_of(node.folder, plan.hash, endpoints=ENDPOINTS)
    assert adopted is not None
    (endpoint,) = adopted.endpoints
    assert endpoint.degree is Degree.LEVEL
    assert endpoint.fit is not None
    corrections = endpoint.fit.corrections[0]
    number = re.search(rb"corrections[^0-9-]*(-?\d\.\d\d)", whole)
    assert number is not None, corrections
    other = whole.replace(number[1], b"9.99")
    assert other != whole
    for content in (other, b"{}", b"", b"\xff", whole.replace(b'"signature": "', b'"signature": "00')):
        file.write_bytes(content)
        with pytest.raises(RecordDamaged, match=r"not what this node's guard signed.*--adopt.*--withdraw"):
            hospital_of(node.folder, plan=None)
        assert oncofed("site", "drift", root, "--time-zero", "diagnosed").code != 0
    (node.folder.models / f"{'0' * 64}.recalibration").write_bytes(whole)
    with pytest.raises(RecordDamaged):
        adoption_of(node.folder, "0" * 64, endpoints=ENDPOINTS)
    with pytest.raises(RecordDamaged):
        adoption_of(node.folder, plan.hash, endpoints=("another",))
    assert oncofed("site", "recalibrate", root, "--adopt").code == 0, "adopted anew"
    assert adoption_of(node.folder, plan.hash, endpoints=ENDPOINTS) is not None


def test_an_adoption_that_was_withdrawn_or_is_an_older_one_does_not_come_back_with_its_file(
    node: InstalledNode,
) -> None:
    plan, root = delivered(node, table()), node.folder.root
    assert oncofed("site", "recalibrate", root, "--adopt").code == 0
    file = file_of(node, plan)
    first = file.read_bytes()
    first_adopted = adoption_of(node.folder, plan.hash, endpoints=ENDPOINTS)
    assert first_adopted is not None
    adopt(node.folder, plan.hash, first_adopted.endpoints, by="somebody else")
    second = file.read_bytes()
    file.write_bytes(first)
    with pytest.raises(RecordDamaged, match="not the last thing that the audit log tells"):
        adoption_of(node.folder, plan.hash, endpoints=ENDPOINTS)
    file.write_bytes(second)
    assert adoption_of(node.folder, plan.hash, endpoints=ENDPOINTS) is not None
    assert oncofed("site", "recalibrate", root, "--withdraw").code == 0
    for content in (first, second):
        file.write_bytes(content)
        with pytest.raises(RecordDamaged, match="not the last thing that the audit log tells"):
            hospital_of(node.folder, plan=None)
    assert oncofed("site", "recalibrate", root, "--withdraw").code == 0
    assert adoption_of(node.folder, plan.hash, endpoints=ENDPOINTS) is None


def test_drift_without_a_last_day_is_watched_as_far_as_the_table_knows_of_anybody(node: InstalledNode) -> None:
    delivered(node, table(level=1.0, patients=300))
    said = oncofed("site", "drift", node.folder.root, "--time-zero", "diagnosed", "--since", "2026-01-01")
    last = re.search(r"to (\d{4}-\d\d-\d\d):", said.text)
    assert last is not None, said.text
    assert 0 <= (CUT - date.fromisoformat(last[1])).days <= 2
    late = oncofed("site", "drift", node.folder.root, "--time-zero", "diagnosed", "--since", "2026-07-05")
    assert (late.code, "lies after the last day of which the table knows" in late.text) == (2, True), late.text


def test_the_last_day_of_a_table_is_that_of_anybodys_follow_up() -> None:
    schema = parse_schema(SCHEMA, where="schema")
    found = table(patients=60).drop(columns="diagnosed")
    found["survival_months"] = 12.0
    days = np.full(60, float(date(2020, 1, 1).toordinal()))
    days[:30] = np.nan
    days[30] += 31
    last = last_day(validate(found, schema, where="table"), days, 30.4375)
    assert date.fromordinal(int(last)) == date(2021, 1, 31)


def test_without_patients_set_aside_or_with_few_events_nothing_is_chosen(node: InstalledNode) -> None:
    delivered(node, table(), held_out=0.0)
    said = oncofed("site", "recalibrate", node.folder.root)
    assert said.code == 2
    assert "set aside" in said.text
    assert "[held_out]" in said.text
    with installed_node() as few:
        few.enrol()
        delivered(few, table(patients=130, level=0.5))
        said = oncofed("site", "recalibrate", few.folder.root, "--adopt")
        assert said.code == 2
        assert re.search(r"fewer than 30 events|no patient here is known to have been set aside", said.text), said.text


def test_programs_are_told_the_same(node: InstalledNode) -> None:
    delivered(node, table())
    told = json.loads(oncofed("site", "recalibrate", node.folder.root, "--json").text)
    (group,) = told["groups"]
    assert (group["proposed"], group["endpoints"], told["adopted"]) == ("level", ["overall_survival"], None)
    assert group["before"][0]["all"]["ratio"] == pytest.approx(LEVEL, abs=0.35)
    assert group["p_any"] < 1e-6
    text = oncofed("site", "recalibrate", node.folder.root).text
    assert f"{group['before'][0]['all']['observed']}/{group['before'][0]['all']['expected']:.1f}" in text


def test_drift_is_quiet_where_the_adopted_model_is_right_and_signals_a_change(node: InstalledNode) -> None:
    plan, root = delivered(node, table(patients=3000), held_out=0.7), node.folder.root
    watch = ("--time-zero", "diagnosed", "--since", "2024-01-01", "--until", CUT.isoformat())
    assert oncofed("site", "drift", root, *watch).code == 1, "as released the level is wrong from the first day"
    assert oncofed("site", "recalibrate", root, "--adopt").code == 0
    said = oncofed("site", "drift", root, *watch)
    assert said.code == 0, said.text
    assert "Nothing to look at." in said.text
    assert "No sign of more events than expected" in said.text
    assert f"{plan.hash[:12]}" not in said.text
    assert [each for each in planted(table()).texts if each in said.text] == []

    changed = table(patients=3000, change=2.0)
    changed.loc[changed["diagnosed"] >= "2025-07-01", "age"] = np.nan
    changed.to_csv(node.table_path, index=False)
    said = oncofed("site", "drift", root, *watch)
    assert said.code == 1
    assert re.search(r"SIGNAL on 2026-0[1-6]-\d\d: more events than expected, most likely since", said.text), said.text
    assert re.search(r"DRIFT age: not measured in (100|above 99).% now, 0.% before", said.text), said.text
    assert "oncofed site recalibrate" in said.text
    told = json.loads(oncofed("site", "drift", root, *watch, "--json").text)
    assert told["found"] is True
    (endpoint,) = told["endpoints"]
    assert sum(month["observed"] for month in endpoint["months"]) == endpoint["observed"]
    assert [sum_["ratio"] > 1 for sum_ in endpoint["sums"]] == [True, False]
    picture = oncofed("site", "drift", root, *watch, "--svg").text
    assert picture.startswith("<svg xmlns=")
    signals = sum(len(each["signals"]) for each in endpoint["sums"])
    assert picture.count("<circle") == signals > 0


def test_what_drift_refuses_is_told_with_its_remedy(node: InstalledNode) -> None:
    found = table()
    delivered(node, found)
    root = node.folder.root
    said = oncofed("site", "drift", root, "--time-zero", "diagnosed")
    assert (said.code, "--since" in said.text) == (2, True)
    said = oncofed("site", "drift", root, "--time-zero", "diagnosed", "--since", "2026-01-01", "--until", "2025-01-01")
    assert (said.code, "earlier day" in said.text) == (2, True)
    said = oncofed("site", "drift", root, "--time-zero", "nowhere", "--since", "2024-01-01")
    assert (said.code, f'data source {SOURCE}: column "nowhere"' in said.text) == (2, True)
    found["diagnosed"] = found["diagnosed"].mask(found.index < 7, "2024-13-01")
    found.to_csv(node.table_path, index=False)
    said = oncofed("site", "drift", root, "--time-zero", "diagnosed", "--since", "2024-01-01")
    assert said.code == 2
    assert "holds what is no day" in said.text
    assert "7 rows" in said.text
    assert "2024-13-01" not in said.text
    found["diagnosed"] = ""
    found.to_csv(node.table_path, index=False)
    said = oncofed("site", "drift", root, "--time-zero", "diagnosed", "--since", "2024-01-01")
    assert "is empty" in said.text


def test_a_patient_without_a_day_is_in_nothing_and_counted(node: InstalledNode) -> None:
    found = table(level=1.0)
    delivered(node, found)
    watch = ("--time-zero", "diagnosed", "--since", "2024-01-01", "--until", CUT.isoformat(), "--json")
    whole = json.loads(oncofed("site", "drift", node.folder.root, *watch).text)
    found["diagnosed"] = found["diagnosed"].mask(found.index % 2 == 0, "")
    found.to_csv(node.table_path, index=False)
    half = json.loads(oncofed("site", "drift", node.folder.root, *watch).text)
    assert half["patients"]["undated"] == len(found) // 2
    assert half["endpoints"][0]["expected"] < 0.6 * whole["endpoints"][0]["expected"]
