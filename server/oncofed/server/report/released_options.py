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
from oncofed.words.language import ENGLISH, Language
from oncofed.words.names import plain_name
from oncofed.words.numbers import decimals, percent, plainly, whole


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


def page_of_options(question: Question, told: Options | None, *, say: Language = ENGLISH) -> dict[str, Any]:
    """For the page. told: None where nothing is released. `rows` are empty where all is refused."""
    return {
        "asked": question_words(question.trial, question.grid.unit, say=say),
        "refusal": say("Nothing was released: the notes say why.") if told is None else _words(told.everybody),
        "sentence": ""
        if told is None or _words(told.everybody)
        else difference_words(question, told.everybody, say=say),
        "rows": () if told is None else tuple(_rows(question, told, say)),
        "not_apart": "" if told is None or _words(told.everybody) else told.not_apart,
        "horizon": _time(question, question.trial.horizon, say),
        "checks": () if told is None else tuple(_checks(question, told, say)),
        "caveats": tuple(_caveats(question, say)),
        "options": question.trial.options,
        "unit": say(question.grid.unit, context="dative"),
    }


def _words(group: Group) -> str:
    return "" if group.refusal is None else group.refusal.words


def difference_words(question: Question, group: Group, *, say: Language = ENGLISH) -> str:
    """The one sentence."""
    found = group.compared.difference
    at = _time(question, question.trial.horizon, say)
    low, high = 100 * found.low, 100 * found.high
    if found.holds_zero:
        return say(
            "No difference is shown: of 100 patients like these, between %(fewer)s fewer and %(more)s more would be "
            "alive without the event at %(at)s with the second option.",
            fewer=decimals(-low, 1, say=say),
            more=decimals(high, 1, say=say),
            at=at,
        )
    fewest, most = (decimals(each, 1, say=say) for each in sorted((abs(low), abs(high))))
    if low > 0:
        return say(
            "Of 100 patients like these, %(fewest)s to %(most)s more would be alive without the event at %(at)s with "
            "the second option than with the first.",
            fewest=fewest,
            most=most,
            at=at,
        )
    return say(
        "Of 100 patients like these, %(fewest)s to %(most)s fewer would be alive without the event at %(at)s with the "
        "second option than with the first.",
        fewest=fewest,
        most=most,
        at=at,
    )


def _rows(question: Question, told: Options, say: Language) -> Iterator[GroupRow]:
    if told.everybody.refusal is not None:
        return
    scale = question.grid.bounds[-1]
    for group in (told.everybody, *told.shown_apart):
        found = group.compared
        name = say("all", context="patients") if group is told.everybody else plain_name(group.name)
        treated = say(" and ").join(whole(max(count, 0.0), say=say) for count in found.patients)
        if group.refusal is not None:
            yield GroupRow(name, treated, refusal=group.refusal.words)
            continue
        first, second = (_of_100(each, say) for each in found.survival)
        in_time = Figure(scale * found.mean_time.value, scale * found.mean_time.standard_error)
        yield GroupRow(
            name,
            treated,
            first,
            second,
            _of_100(found.difference, say),
            _limits(in_time, 2, say),
            _e_value(found.log_risk_ratio, say),
        )


def _e_value(ratio: Figure, say: Language) -> str:
    if not math.isfinite(ratio.value):
        return say("not defined")
    estimate, limit = e_value(ratio)
    return say(
        "%(estimate)s; %(limit)s for the nearer limit",
        estimate=decimals(estimate, 2, say=say),
        limit=decimals(limit, 2, say=say),
    )


def _checks(question: Question, told: Options, say: Language) -> Iterator[tuple[str, str]]:
    """(what was looked at, what was seen)."""
    if told.checks.balance:
        worst = max(told.checks.balance, key=lambda each: abs(each.difference.value))
        yield (
            say("Largest difference between both options' patients after weighting, in standard deviations"),
            f"{plain_name(worst.confounder)}: {_limits(worst.difference, 2, say)}",
        )
    if told.checks.negative is not None:
        name = plain_name(question.trial.negative_outcome or "")
        yield (
            say("Difference of 100 patients in %(name)s, which neither option can change", name=name),
            _of_100(told.checks.negative.difference, say),
        )
    for name, share in told.checks.recorded.items():
        yield say("Recorded: %(name)s", name=plain_name(name)), percent(min(max(share, 0.0), 1.0), say=say)
    known = question.trial.benchmark
    if known is not None and told.checks.trial_like is not None:
        ours = _of_100(told.checks.trial_like.difference, say)
        value, low, high = (decimals(100 * each, 1, say=say) for each in (known.difference, known.low, known.high))
        yield (
            say(
                "Difference of 100 patients whom the trial would have taken; it found %(value)s (%(low)s to %(high)s; "
                "%(source)s)",
                value=value,
                low=low,
                high=high,
                source=known.source,
            ),
            ours,
        )


def _caveats(question: Question, say: Language) -> Iterator[str]:
    yield say(
        "Nobody drew lots. Nothing here can see why doctors chose an option: what decides and is not recorded may be "
        "all of a difference. The E-value says how strongly it would have to go with both option and outcome, as a "
        "risk ratio."
    )
    yield say(
        "It is about groups, each by itself: limits hold the truth in 95 of 100 such studies, as far as the chance of "
        "who came and the noise go. It says nothing of one patient, and puts options in no order."
    )
    yield say("It belongs to patients who could have got either option; who hardly could counts for little.")
    if question.trial.benchmark is None:
        yield say("No randomised trial was named, so none was found again.")
    if question.trial.negative_outcome is None:
        yield say("No outcome was named that neither option can change, so nothing was held against one.")


def _of_100(found: Figure, say: Language) -> str:
    return _limits(Figure(100 * found.value, 100 * found.standard_error), 1, say)


def _limits(found: Figure, digits: int, say: Language) -> str:
    value, low, high = (decimals(each, digits, say=say) for each in (found.value, found.low, found.high))
    return say("%(value)s (%(low)s to %(high)s)", value=value, low=low, high=high)


def _time(question: Question, time: float, say: Language) -> str:
    return f"{plainly(time, say=say)} {say(question.grid.unit, context='dative')}"
