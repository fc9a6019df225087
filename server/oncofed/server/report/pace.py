"""How long will a study still take, if its rounds go on as the last ones did?

An interval from one finished round to the next holds everything: answers at public times, hospitals that were waited
for, a pause between two runs. The middle one of the last ten is what a round takes, so that one long pause does not
count.
"""

from __future__ import annotations

from itertools import pairwise
from statistics import median

from oncofed.server.report.study import DeployedStudy
from oncofed.words.language import ENGLISH, Language

_LAST = 10
_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86_400.0


def seconds_of_a_round(study: DeployedStudy) -> float | None:
    """None before the first. Of a single one: what it took itself."""
    rows = study.rounds[-_LAST - 1 :]
    if not rows:
        return None
    intervals = [
        (later.finished_at - before.finished_at).total_seconds() / (later.round - before.round)
        for before, later in pairwise(rows)
    ]
    return max(0.0, median(intervals)) if intervals else rows[-1].seconds


def seconds_left(study: DeployedStudy) -> float | None:
    """Of the rounds that are still to come, without summaries and delivery; None before the first round."""
    each = seconds_of_a_round(study)
    return None if each is None else each * (study.plan.training.rounds - study.last_round)


def lasting(seconds: float, *, say: Language = ENGLISH) -> str:
    """As a person would say it: "less than a minute", "12 minutes", "2 hours 5 minutes", "3 days"."""
    if seconds < _MINUTE:
        return say("less than a minute")
    minutes = round(seconds / _MINUTE)
    if minutes < _HOUR / _MINUTE:
        return say.several("%(count)s minute", "%(count)s minutes", minutes)
    if seconds < _DAY:
        hours, rest = divmod(minutes, 60)
        told = say.several("%(count)s hour", "%(count)s hours", hours)
        return f"{told} {say.several('%(count)s minute', '%(count)s minutes', rest)}" if rest else told
    return say.several("%(count)s day", "%(count)s days", round(seconds / _DAY))
