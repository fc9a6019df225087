"""What does metrics.json hold of two options compared? What may be shown, and why nothing else is."""

from __future__ import annotations

from typing import Any

from oncofed.treatment.estimate import Figure, e_value
from oncofed.treatment.question import Question
from oncofed.treatment.release import Group, Options


def options_figures(question: Question, told: Options | None) -> dict[str, Any]:
    """Differences are the second option less the first; the mean time in the grid's unit. Of a group that is refused
    there is the reason alone.
    """
    trial, scale = question.trial, question.grid.bounds[-1]
    content: dict[str, Any] = {
        "first": trial.options[0],
        "second": trial.options[1],
        "landmark": trial.landmark,
        "horizon": trial.horizon,
        "groups": {},
        "not_apart": None,
    }
    if told is None:
        return content
    refused = told.everybody.refusal is not None
    return content | {
        "groups": {group.name: _group(group, scale) for group in (told.everybody, *told.shown_apart)},
        "not_apart": (not refused and told.not_apart) or None,
        "negative_outcome": None if told.checks.negative is None else _figure(told.checks.negative.difference),
        "balance": {each.confounder: _figure(each.difference) for each in told.checks.balance},
        "recorded": dict(told.checks.recorded),
    }


def _group(group: Group, scale: float) -> dict[str, Any]:
    if group.refusal is not None:
        return {"refused": group.refusal.reason.value, "words": group.refusal.words}
    found = group.compared
    return {
        "patients": list(found.patients),
        "survival": [_figure(each) for each in found.survival],
        "difference": _figure(found.difference),
        "mean_time_difference": _figure(Figure(scale * found.mean_time.value, scale * found.mean_time.standard_error)),
        "e_value": list(e_value(found.log_risk_ratio)),
    }


def _figure(figure: Figure) -> dict[str, float]:
    return {
        "value": figure.value,
        "standard_error": figure.standard_error,
        "low": figure.low,
        "high": figure.high,
    }
