"""Is each item of TRIPOD+AI answered by the run, by people's own words, or by "not stated", and by nothing else?"""

from __future__ import annotations

from collections import Counter
from dataclasses import fields, replace

import pytest
from tests.card_numbers import shown_numbers, strange_numbers
from tests.summaries import at_risk_of
from tests.unit.server.card.known_runs import EVERYTHING, gained, of_hospitals, simulated
from tests.unit.server.report.fake_studies import fake_plan, fake_schema

from oncofed.server.card.checklist import checklist, checklist_json, checklist_markdown
from oncofed.server.card.items import ITEMS
from oncofed.server.card.known import Known, Origin
from oncofed.server.card.missing_texts import missing_texts_in_words
from oncofed.server.card.model_card import model_card
from oncofed.study.reporting import Reporting
from oncofed.survival.entity_levels import EntityLevels

RUNS = {
    "a table": simulated(),
    "invented": simulated(origin=Origin.INVENTED),
    "hospitals": of_hospitals(),
    "hospitals that released gains": gained(),
    "hospitals that released nothing": of_hospitals(plan=fake_plan(fake_schema(), private=False)),
}
# TRIPOD+AI, table 1: how many letters each of its 27 numbers has.
LETTERS = {3: 3, 5: 2, 6: 3, 8: 3, 9: 3, 12: 7, 18: 6, 20: 3, 23: 2, 27: 3}


def test_the_items_are_the_52_of_tripod_ai_in_its_order() -> None:
    expected = [
        f"{number}{letter}" for number in range(1, 28) for letter in "abcdefg"[: LETTERS.get(number, 0)] or ("",)
    ]
    assert [item.number for item in ITEMS] == expected
    assert len(expected) == 52


@pytest.mark.parametrize("run", RUNS)
def test_no_item_is_blank(run: str) -> None:
    for answer in checklist_json(RUNS[run])["items"]:
        assert answer["text"].strip()
        assert answer["stated"] is not answer["text"].startswith("not stated")


@pytest.mark.parametrize("run", RUNS)
def test_what_nobody_said_is_not_stated_and_the_run_makes_no_text_up(run: str) -> None:
    only_people = {
        "2",
        "3a",
        "3c",
        "4",
        "5b",
        "6b",
        "8b",
        "8c",
        "9a",
        "9c",
        "14",
        "17",
        "18a",
        "18b",
        "18d",
        "18e",
        "19",
    }
    only_people |= {"20c", "25", "27c"}
    silent = {answer.item.number for answer in checklist(RUNS[run]) if not answer.said.stated}
    assert silent == only_people


@pytest.mark.parametrize("run", RUNS)
def test_what_people_said_is_quoted_whole_with_its_key_and_then_nothing_is_missing(run: str) -> None:
    page = checklist_markdown(replace(RUNS[run], reporting=EVERYTHING))
    assert "not stated" not in page.replace('it reads "not stated"', "")
    for key in {key for item in ITEMS for key in item.texts}:
        assert f"From the study file, `[reporting]` `{key}`:\n\n> What people say of {key}.\n" in page


def test_the_runs_own_words_hold_nothing_that_people_said() -> None:
    silent, told = (checklist(replace(RUNS["a table"], reporting=each)) for each in (Reporting(), EVERYTHING))
    assert [answer.said.said for answer in silent] == [answer.said.said for answer in told]


def test_each_text_of_reporting_goes_somewhere() -> None:
    card = model_card(RUNS["a table"])
    entries = [*card.entries, *card.rest, *(each for group in card.metrics for each in (*group.before, *group.after))]
    used = Counter(key for item in ITEMS for key in item.texts)
    used += Counter(key for entry in entries for key, _ in entry.said.quoted)
    assert set(used) == {each.name for each in fields(Reporting)}


@pytest.mark.parametrize("run", RUNS)
def test_every_number_of_the_checklist_is_one_of_the_figures(run: str) -> None:
    known = RUNS[run]
    # The numbers of the items themselves are TRIPOD+AI's.
    page = "\n\n".join(answer.said.said for answer in checklist(known))
    assert strange_numbers(page, known.metrics) == []
    assert len(shown_numbers(page, known.metrics)) > 20


def test_released_figures_of_hospitals_are_told_with_their_intervals() -> None:
    told = {answer.item.number: answer.said.said for answer in checklist(of_hospitals())}
    assert "os: C-index, released with noise: 0." in told["23a"]
    assert "os: observed over expected events, released with noise: 1.234 (95 % interval" in told["23a"]
    assert "Risks are too extreme: os: calibration slope, released with noise 0.700" in told["26"]
    assert "os: 400 (95 % interval 346 to 454) patients set aside" in told["21"]
    assert told["23b"].startswith("Not examined")


def test_limits_follow_from_what_came_out() -> None:
    def limits(known: Known) -> str:
        return {answer.item.number: answer.said.said for answer in checklist(known)}["26"]

    assert "Risks are" not in limits(simulated())
    assert "Risks are too extreme" in limits(simulated(calibration_slope=0.7, calibration_slope_ci95=[0.5, 0.9]))
    assert "Risks are too timid" in limits(simulated(calibration_slope=1.4, calibration_slope_ci95=[1.1, 1.7]))
    assert "Risks are" not in limits(simulated(calibration_slope=0.7, calibration_slope_ci95=[0.3, 1.1]))
    assert "Fewer than a hundred events" in limits(simulated(events=99))
    assert "Fewer than a hundred events" not in limits(simulated(events=100))
    assert "invented" in limits(simulated(origin=Origin.INVENTED))
    counts = of_hospitals()
    came_late = replace(counts.schema.endpoints[0], entry_column="entry_months")
    late = replace(counts, schema=replace(counts.schema, endpoints=(came_late,)))
    assert "from its beginning" in limits(late)
    assert "from its beginning" not in limits(counts)
    at_risk = tuple(at_risk_of(late.plan) if each.name == "evaluation" else each for each in late.plan.summaries)
    assert "from its beginning" not in limits(replace(late, plan=replace(late.plan, summaries=at_risk)))
    assert "The model was not measured" in limits(RUNS["hospitals that released nothing"])
    assert "Nothing protects the patients" in limits(RUNS["hospitals that released nothing"])


def test_no_html_of_a_text_counts_and_no_line_of_it_leaves_the_quotation() -> None:
    said = Reporting(funding="<script>x</script>\n# Not a heading\n\n**1** not an item")
    page = checklist_markdown(simulated(reporting=said))
    assert "<script>" not in page
    assert "> &lt;script>x&lt;/script>\n> # Not a heading\n>\n> **1** not an item\n" in page


def test_validate_lists_what_is_missing_and_for_which_item() -> None:
    said = missing_texts_in_words(replace(EVERYTHING, ethics="", developer=" \n"))
    assert said.splitlines()[1:] == ["  ethics     TRIPOD+AI 17", "  developer  model card"]
    assert said.startswith("[reporting]: 2 texts are not there")
    assert missing_texts_in_words(EVERYTHING) == "[reporting]: every text of the model card is there."


def test_hospitals_that_did_not_train_are_told_with_what_one_more_may_expect() -> None:
    known = simulated()
    assert "nothing is known of hospitals that took no part" in _answer(known, "26")
    figure = {"mean": 0.9123, "ci95": [0.8234, 1.0345], "prediction95": [0.5678, 1.4321]}
    told = {"os": {"observed_to_expected": figure, "calibration_slope": {"mean": None}, "c_index": {}}}
    metrics = {**known.metrics, "left_out_hospitals": told}
    metrics["described"] = {**known.metrics["described"], "division": {"split": "hospitals", "folds": 4, "fold": 1}}
    known = replace(known, metrics=metrics)
    assert "mean observed over expected events: 0.912 (95 % interval 0.823 to 1.034)" in _answer(known, "23b")
    assert "95 % prediction from: 0.568" in _answer(known, "23b")
    assert "slope, 95 %" not in _answer(known, "23b")
    assert "nothing is known of hospitals" not in _answer(known, "26")
    assert "Whole hospitals, chosen by chance, were left out (number of folds 4)" in _answer(known, "12a")


def _answer(known: Known, number: str) -> str:
    (found,) = [each["text"] for each in checklist_json(known)["items"] if each["item"] == number]
    return str(found)


def test_the_card_says_that_calibration_was_by_tumour_entity_where_it_was() -> None:
    known = simulated()
    training = replace(known.plan.training, calibration_rounds=4)
    levels = replace(known.plan.model, entity_levels=EntityLevels((0,), 1.0))
    for model, told in ((known.plan.model, False), (levels, True)):
        said = _answer(replace(known, plan=replace(known.plan, model=model, training=training)), "12f")
        assert ("the level of each tumour entity" in said) is told
