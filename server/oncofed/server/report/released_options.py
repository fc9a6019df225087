"""How is it told what two options would change, and when it must not be told?

Differences are absolute, with limits that hold chance and noise; the second option less the first. There is no order of
options, and nothing of one patient: all is of groups.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from oncofed.treatment.estimate import Figure, e_value
from oncofed.treatment.question import Question
from oncofed.treatment.release import Group, Options
from oncofed.treatment.trial_words import question_words
from oncofed.words.names import plain_name
from oncofed.words.numbers import decimals, percent, whole


@dataclass(frozen=True)
class GroupRow:
    """One line of the table, in words. refusal: why there is nothing else; empty where there is."""

    name: str
    treated: str
    first: str = ""
    second: str = ""
    difference: str = ""
    mean_time: str = ""
    e_value: str = ""
    refusal: str = ""


def page_of_options(question: Question, told: Options | None) -> dict[str, Any]:
    """For the page. told: None where nothing is released. `rows` are empty where all is refused."""
    return {
        "asked": question_words(question.trial, question.grid.unit),
        "refusal": "Nothing was released: the notes say why." if told is None else _words(told.everybody),
        "sentence": "" if told is None or _words(told.everybody) else difference_words(question, told.everybody),
        "rows": () if told is None else tuple(_rows(question, told)),
        "not_apart": "" if told is None or _words(told.everybody) else told.not_apart,
        "horizon": _time(question, question.trial.horizon),
        "checks": () if told is None else tuple(_checks(question, told)),
        "caveats": tuple(_caveats(question)),
        "options": question.trial.options,
        "unit": question.grid.unit,
    }


def _words(group: Group) -> str:
    return "" if group.refusal is None else group.refusal.words


def difference_words(question: Question, group: Group) -> str:
    """The one sentence."""
    found = group.compared.difference
    at = f"at {_time(question, question.trial.horizon)}"
    low, high = 100 * found.low, 100 * found.high
    if found.holds_zero:
        return (
            f"No difference is shown: of 100 patients like these, between {decimals(-low, 1)} fewer and "
            f"{decimals(high, 1)} more would be alive without the event {at} with the second option."
        )
    fewest, most = sorted((abs(low), abs(high)))
    direction = "more" if low > 0 else "fewer"
    return (
        f"Of 100 patients like these, {decimals(fewest, 1)} to {decimals(most, 1)} {direction} would be alive without "
        f"the event {at} with the second option than with the first."
    )


def _rows(question: Question, told: Options) -> Iterator[GroupRow]:
    if told.everybody.refusal is not None:
        return
    scale = question.grid.bounds[-1]
    for group in (told.everybody, *told.shown_apart):
        found, name = group.compared, plain_name(group.name)
        treated = " and ".join(whole(max(count, 0.0)) for count in found.patients)
        if group.refusal is not None:
            yield GroupRow(name, treated, refusal=group.refusal.words)
            continue
        first, second = (_of_100(each) for each in found.survival)
        in_time = Figure(scale * found.mean_time.value, scale * found.mean_time.standard_error)
        yield GroupRow(
            name,
            treated,
            first,
            second,
            _of_100(found.difference),
            f"{decimals(in_time.value, 2)} ({decimals(in_time.low, 2)} to {decimals(in_time.high, 2)})",
            _e_value(found.log_risk_ratio),
        )


def _e_value(ratio: Figure) -> str:
    if not math.isfinite(ratio.value):
        return "not defined"
    estimate, limit = e_value(ratio)
    return f"{decimals(estimate, 2)}; {decimals(limit, 2)} for the nearer limit"


def _checks(question: Question, told: Options) -> Iterator[tuple[str, str]]:
    """(what was looked at, what was seen)."""
    if told.checks.balance:
        worst = max(told.checks.balance, key=lambda each: abs(each.difference.value))
        yield (
            "Largest difference between both options' patients after weighting, in standard deviations",
            f"{plain_name(worst.confounder)}: {_limits(worst.difference, 2)}",
        )
    if told.checks.negative is not None:
        name = plain_name(question.trial.negative_outcome or "")
        yield (
            f"Difference of 100 patients in {name}, which neither option can change",
            _of_100(told.checks.negative.difference),
        )
    for name, share in told.checks.recorded.items():
        yield f"Recorded: {plain_name(name)}", percent(min(max(share, 0.0), 1.0))
    known = question.trial.benchmark
    if known is not None and told.checks.trial_like is not None:
        ours = _of_100(told.checks.trial_like.difference)
        value, low, high = (decimals(100 * each, 1) for each in (known.difference, known.low, known.high))
        yield (
            f"Difference of 100 patients whom the trial would have taken; it found {value} ({low} to {high}; "
            f"{known.source})",
            ours,
        )


def _caveats(question: Question) -> Iterator[str]:
    yield (
        "Nobody drew lots. Nothing here can see why doctors chose an option: what decides and is not recorded may be "
        "all of a difference. The E-value says how strongly it would have to go with both option and outcome, as a "
        "risk ratio."
    )
    yield (
        "It is about groups, each by itself: limits hold the truth in 95 of 100 such studies, as far as the chance of "
        "who came and the noise go. It says nothing of one patient, and puts options in no order."
    )
    yield "It belongs to patients who could have got either option; who hardly could counts for little."
    if question.trial.benchmark is None:
        yield "No randomised trial was named, so none was found again."
    if question.trial.negative_outcome is None:
        yield "No outcome was named that neither option can change, so nothing was held against one."


def _of_100(found: Figure) -> str:
    value, low, high = (decimals(100 * each, 1) for each in (found.value, found.low, found.high))
    return f"{value} ({low} to {high})"


def _limits(found: Figure, digits: int) -> str:
    return f"{decimals(found.value, digits)} ({decimals(found.low, digits)} to {decimals(found.high, digits)})"


def _time(question: Question, time: float) -> str:
    return f"{time:g} {question.grid.unit}"
