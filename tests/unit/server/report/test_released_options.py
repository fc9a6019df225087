"""Is a comparison told as differences of groups with limits, or refused in words, and never as an order of options?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from tests.html_pages import unsafe
from tests.options_asked import ASKED, STUDY
from tests.unit.simulations.report.fake_results import fake_result

from oncofed.server.report.released_options import page_of_options as page_of
from oncofed.simulations.options.compared import OptionsCompared
from oncofed.simulations.report.page import render_report
from oncofed.simulations.study import read_study
from oncofed.simulations.synthetic.treated import treated_schema
from oncofed.treatment.balance import Imbalance
from oncofed.treatment.estimate import Comparison, Figure
from oncofed.treatment.question import Question
from oncofed.treatment.refusals import Checks, Reason, Refusal
from oncofed.treatment.release import Group, Options
from oncofed.treatment.trial_words import question_words

REFUSED = Refusal(Reason.POSITIVITY, "In this group hardly anybody got one of the options.")


def question(folder: Path, *overrides: str, benchmark: str = "") -> Question:
    path = folder / "study.toml"
    path.write_text(STUDY + ASKED + benchmark)
    asked = read_study(path, overrides=overrides).target_trial
    assert asked is not None
    return Question(asked.trial, treated_schema(), ("one", "two", "three"))


def group(name: str, difference: float, refusal: Refusal | None = None) -> Group:
    compared = Comparison(
        patients=(1_234.0, 2_345.0),
        survival=(Figure(0.6, 0.01), Figure(0.6 + difference, 0.01)),
        difference=Figure(difference, 0.02),
        mean_time=Figure(difference / 2, 0.01),
        log_risk_ratio=Figure(math.log(0.5), 0.1),
        predicted=0.0,
        effective=900.0,
        overlap_noise=0.01,
    )
    return Group(name, compared, refusal)


def compared(
    asked: Question, everybody: Group, groups: Sequence[Group] = (), *, not_apart: str = "", released: bool = True
) -> OptionsCompared:
    checks = Checks(
        balance=(Imbalance("age_years", Figure(0.01, 0.02)), Imbalance("albumin", Figure(-0.06, 0.02))),
        recorded={"uicc_stage": 0.97},
        negative=group("all", 0.0).compared,
        trial_like=group("all", 0.1).compared,
    )
    told = Options(everybody, tuple(groups), not_apart, checks, noise=4.0)
    plan = SimpleNamespace(
        training=SimpleNamespace(rounds=60),
        privacy=SimpleNamespace(noise_multiplier=13.0),
        summaries=[SimpleNamespace(noise_multiplier=4.0)],
    )
    return cast(
        OptionsCompared, SimpleNamespace(question=asked, plan=plan, released=told if released else None, releases={})
    )


def page_of_options(found: OptionsCompared) -> dict[str, Any]:
    return page_of(found.question, found.released)


@pytest.mark.parametrize(
    ("difference", "said"),
    [
        (0.1, "Of 100 patients like these, 6.1 to 13.9 more would be alive without the event at 24 months"),
        (-0.1, "Of 100 patients like these, 6.1 to 13.9 fewer would be alive without the event at 24 months"),
        (0.02, "No difference is shown: of 100 patients like these, between 1.9 fewer and 5.9 more would be alive"),
    ],
)
def test_a_difference_is_told_of_100_patients_with_its_limits(tmp_path: Path, difference: float, said: str) -> None:
    told = page_of_options(compared(question(tmp_path), group("all", difference)))
    assert said in told["sentence"]


def test_what_was_asked_is_told_with_eligibility_time_zero_and_landmark(tmp_path: Path) -> None:
    asked = question(tmp_path, "target_trial.landmark=3", "target_trial.eligible=['uicc_stage >= 3']")
    words = question_words(asked.trial, "months")
    for said in ("uicc_stage >= 3", "first day of systemic treatment", "3 months", "24 months", "death of cancer"):
        assert said in words, said
    assert "3 months" not in question_words(question(tmp_path).trial, "months")


def test_where_all_is_refused_there_is_the_reason_and_no_figure(tmp_path: Path) -> None:
    told = page_of_options(compared(question(tmp_path), group("all", 0.1, REFUSED), [group("with biomarker", 0.3)]))
    assert told["refusal"] == REFUSED.words
    assert (told["sentence"], told["rows"]) == ("", ())


def test_a_group_that_is_refused_has_its_reason_beside_those_that_are_shown(tmp_path: Path) -> None:
    groups = [group("without biomarker_positive", 0.05), group("with biomarker_positive", 0.3, REFUSED)]
    told = page_of_options(compared(question(tmp_path), group("all", 0.1), groups))
    everybody, without, with_it = told["rows"]
    assert everybody.treated == "1,234 and 2,345"
    assert everybody.difference == "10.0 (6.1 to 13.9)"
    assert everybody.mean_time == "1.20 (0.73 to 1.67)"  # half of the difference, in horizons of 24 months
    assert everybody.e_value.startswith("3.41; ")  # 2 + sqrt(2), of a risk ratio of a half
    assert (without.name, without.refusal) == ("without biomarker positive", "")
    assert (with_it.refusal, with_it.difference) == (REFUSED.words, "")


def test_groups_that_do_not_follow_what_was_foretold_are_not_shown_apart(tmp_path: Path) -> None:
    told = page_of_options(
        compared(question(tmp_path), group("all", 0.1), [group("with biomarker", 0.3)], not_apart="They do not follow.")
    )
    assert len(told["rows"]) == 1
    assert told["not_apart"] == "They do not follow."


def test_what_was_looked_at_is_told_and_a_trial_that_was_not_named_too(tmp_path: Path) -> None:
    told = page_of_options(compared(question(tmp_path), group("all", 0.1)))
    looked_at = " ".join(f"{name} {value}" for name, value in told["checks"])
    assert "albumin" in looked_at
    assert "age years" not in looked_at  # the largest alone
    assert "97" in looked_at
    assert "death of other causes" in looked_at
    assert any("No randomised trial was named" in each for each in told["caveats"])
    trial = '[target_trial.benchmark]\ndifference = 0.07\nlow = 0.01\nhigh = 0.13\nsource = "A trial, 2001"\n'
    named = page_of_options(compared(question(tmp_path, benchmark=trial), group("all", 0.1)))
    assert any("it found 7.0 (1.0 to 13.0; A trial, 2001)" in name for name, _ in named["checks"])
    assert not any("No randomised trial was named" in each for each in named["caveats"])


def test_the_section_is_safe_and_orders_nothing(tmp_path: Path) -> None:
    result = fake_result(sites=3, patients=120)
    asked = question(tmp_path, "target_trial.first=<script>x</script>")
    groups = [group("without biomarker_positive", 0.05), group("with biomarker_positive", 0.3, REFUSED)]
    page = render_report(replace(result, options=compared(asked, group("all", 0.1), groups)))
    section = page.split('<section id="options">')[1].split("</section>")[0]
    assert unsafe(page) == []
    assert "&lt;script&gt;" in section
    assert REFUSED.words in section
    assert "puts options in no order" in section
    for word in ("best", "better", "recommend", "should", "prefer"):
        assert word not in section.lower(), word
    assert 'id="options"' not in render_report(result)
    refused = render_report(replace(result, options=compared(asked, group("all", 0.1, REFUSED))))
    assert "Not shown." in refused.split('<section id="options">')[1].split("</section>")[0]
    nothing = page_of_options(compared(asked, group("all", 0.1), released=False))
    assert "Nothing was released" in nothing["refusal"]
