"""What hospitals released of a finished study's model, in numbers for programs: the same in every metrics.json."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from oncofed.cohort.schema import StudySchema
from oncofed.server.evaluation.calibration import MeasuredCalibration, Ratio
from oncofed.server.evaluation.concordance import Estimate
from oncofed.server.evaluation.gains import ReleasedGains, Selected
from oncofed.server.evaluation.measured import Measured
from oncofed.server.report.released_explanations import shown_parts
from oncofed.server.rounds.explanation_votes import ReleasedExplanations
from oncofed.study.explanation_settings import entity_names
from oncofed.survival.layer_values import Value


def _told(estimate: Estimate | None) -> dict[str, Any] | None:
    return None if estimate is None else {"value": estimate.value, "ci95": [estimate.low, estimate.high]}


def released_calibration_figures(found: MeasuredCalibration, schema: StudySchema) -> dict[str, Any]:
    """The same of whether risks are right."""

    def ratio(each: Ratio) -> dict[str, Any]:
        return {"expected": each.expected, "observed_to_expected": _told(each.ratio)}

    return {
        "noise_sd": found.noise_sd,
        "hospitals": len(found.hospitals),
        "window_bounds": list(found.spec.time_bounds),
        "endpoints": {
            name: {
                "slope": _told(each.slope),
                "all": ratio(each.overall),
                "windows": [ratio(window) for window in each.windows],
                "by_type": {
                    entity: [ratio(window) for window in group]
                    for entity, group in zip(entity_names(schema), each.groups, strict=False)
                },
            }
            for name, each in found.endpoints.items()
        },
    }


def _value(found: Value | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {"value": found.mean, "standard_error": found.standard_error, "ci95": [found.low, found.high]}


def released_gain_figures(found: ReleasedGains) -> dict[str, Any]:
    """What the model adds to comparators, and what layers are worth, in nats a patient. Limits hold all at once."""

    def selected(each: Selected) -> dict[str, Any]:
        return {"patients": each.patients, "events": each.events, "log_hazard_ratio": each.log_hazard_ratio}

    over, values = found.over, found.values
    return {
        "over_comparators": None
        if over is None
        else {
            "noise_sd": over.noise_sd,
            "hospitals": len(over.hospitals),
            "held_within": over.within,
            "endpoints": {
                name: {
                    "patients": each.patients,
                    "held": each.held,
                    "gains": {one.name: {"patients": one.patients, "gain": _value(one.gain)} for one in each.over},
                }
                for name, each in over.endpoints.items()
            },
        },
        "values_of_layers": None
        if values is None
        else {
            "noise_sd": values.noise_sd,
            "hospitals": len(values.hospitals),
            "held_within": values.within,
            "endpoints": {
                name: {
                    "compared": selected(each.compared),
                    "others": selected(each.others),
                    "held": each.held,
                    "together": None if each.values is None else _value(each.values.together),
                    "layers": {}
                    if each.values is None
                    else {
                        one.name: {"share": _value(one.share), "alone": _value(one.alone), "last": _value(one.last)}
                        for one in each.values.layers
                    },
                }
                for name, each in values.endpoints.items()
            },
        },
    }


def released_figures(measured: Measured) -> dict[str, Any]:
    """Figures that may be told of a study under its epsilon, unlike all others here. null: suppressed."""
    return {
        "noise_sd": measured.noise_sd,
        "hospitals": len(measured.hospitals),
        "endpoints": {
            name: {
                "patients": _told(found.patients),
                "c_index": _told(found.c_index),
                "integrated_brier_to_horizon": _told(found.integrated_brier),
                "horizon": found.horizon,
                "groups": [
                    {
                        "log_hazard_ratio": [group.above, group.up_to],
                        "patients": _told(group.patients),
                        "predicted_risk": list(group.predicted),
                        "observed_risk": _told(group.observed),
                    }
                    for group in found.groups
                ],
            }
            for name, found in measured.endpoints.items()
        },
    }


def released_marker_figures(found: ReleasedExplanations) -> dict[str, Any]:
    """The same of what carries the prognosis. Empty: nothing may be shown."""
    everybody = found.markers.everybody
    return {
        "patients": everybody.patients,
        "carry_90_percent_of_votes": everybody.carry_most,
        "share_of_votes_shown": everybody.share_of_votes,
        "by_entity": {
            entity: [asdict(marker) for marker in part.markers] for entity, part in shown_parts(found).items()
        },
        "pairs": None if found.pairs is None else [asdict(pair) for pair in found.pairs],
    }


def plain(value: Any) -> Any:
    """As JSON holds it: what is no number becomes null."""
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
