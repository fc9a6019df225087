"""What does a run say of itself in numbers? metrics.json, privacy.json, and the JSON that every command writes."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from oncofed.cohort.schema import StudySchema
from oncofed.server.evaluation.calibration import MeasuredCalibration, Ratio
from oncofed.server.evaluation.concordance import Estimate
from oncofed.server.evaluation.measured import Measured
from oncofed.server.report.released_explanations import shown_parts
from oncofed.server.rounds.explanation_votes import ReleasedExplanations
from oncofed.simulations.privacy_spent import spent_at_one, spent_at_two
from oncofed.simulations.results import Compared, ExpectedByWindow, RunResult
from oncofed.study.explanation_settings import entity_names
from oncofed.survival.expected_events import ExpectedOfGroup


def privacy_summary(result: RunResult) -> dict[str, Any]:
    """What was promised and spent, for the whole run. Epsilon is the largest over sites; null where nothing is."""
    privacy = result.plan.privacy
    if not privacy.mode.private:
        return {"mode": privacy.mode.value, "epsilon": None, "delta": None, "relation": privacy.relation}
    at_one, at_two = spent_at_one(result), spent_at_two(result)
    return {
        "mode": privacy.mode.value,
        "epsilon": None if at_one is None else at_one.epsilon,
        "epsilon_planned": privacy.epsilon,
        "delta": privacy.delta,
        "relation": privacy.relation,
        "unit": "one patient of one hospital",
        "noise_multiplier": privacy.noise_multiplier,
        "l2_norm_bound": privacy.l2_norm_bound,
        "rounds": result.plan.training.rounds,
        "releases": 0 if at_one is None else len(at_one.releases),
        "reserve_rounds": result.study.privacy.reserve_rounds,
        "epsilon_of_a_patient_in_two_hospitals": None if at_two is None else at_two.epsilon,
        "epsilon_by_site": result.epsilons,
    }


def metrics(result: RunResult) -> dict[str, Any]:
    """The run in numbers. `test` is of the first endpoint; every endpoint stands under `endpoints`."""
    seconds = result.rounds["seconds"]
    by_endpoint = {
        name: {
            "c_index": found.c_index,
            "events": found.events,
            "comparable_pairs": found.comparable_pairs,
            "c_index_ci95": [found.c_index_ci95.low, found.c_index_ci95.high],
            "uno_c_index": found.uno_c_index,
            "integrated_brier": found.integrated_brier,
            "brier_gain": found.brier_gain,
            "brier_until": found.brier_until,
            "c_index_within_type": found.c_index_within_type,
            "calibration_slope": None if found.calibration is None else found.calibration.slope,
            "calibration_slope_ci95": None
            if found.calibration is None
            else [found.calibration.slope_low, found.calibration.slope_high],
            "expected_to_observed": None if found.calibration is None else found.calibration.expected_to_observed,
        }
        | {"events_and_expected": None if found.expected is None else _expected(found.expected)}
        for name, found in result.endpoints.items()
    }
    beside = result.baselines
    return {
        "study": result.study.name,
        "seed": result.study.seed,
        "part": result.study.evaluation.part.value,
        "test": by_endpoint[result.main.name] | {"patients": len(result.test), "endpoint": result.main.name},
        "endpoints": by_endpoint,
        "privately_released": None if result.measured is None else _released(result.measured),
        "calibration_privately_released": None
        if result.measured_calibration is None
        else _released_calibration(result.measured_calibration, result.test.schema),
        "key_markers_privately_released": None
        if result.released_explanations is None
        else _released_markers(result.released_explanations),
        "comparators": {name: [_compared(each) for each in several] for name, several in result.compared.items()},
        "baselines": None
        if beside is None
        else {
            "pooled_ridge_cox": beside.pooled_ridge_cox,
            "pooled_ridge_cox_within_type": beside.pooled_ridge_cox_within_type,
            "local_only_mean": beside.local_only_mean,
            "local_only": dict(zip(result.hospitals, beside.local_only, strict=True)),
        },
        "privacy": {key: privacy_summary(result)[key] for key in ("mode", "epsilon", "delta", "relation")},
        "notes": [words for _, words in result.notes],
        "sites": len(result.hospitals),
        "rounds": len(result.rounds),
        "seconds": {"total": result.seconds_total, "per_round": float(seconds.mean())},
    }


def _compared(found: Compared) -> dict[str, Any]:
    """A comparator and the network, both on patients of whom the comparator's markers are recorded."""
    gain, of_c = found.gain, found.c_index_gain
    return {
        "name": found.name,
        "patients": found.patients,
        "events": found.events,
        "comparator": asdict(found.comparator),
        "network": asdict(found.network),
        "log_likelihood_gain": {"value": gain.total, "ci95": [gain.low, gain.high]},
        "c_index_gain": {
            "value": found.network.c_index - found.comparator.c_index,
            "ci95": [of_c.low, of_c.high],
        },
    }


def _expected(found: ExpectedByWindow) -> dict[str, Any]:
    """[events, expected] in each window: of everybody, by tumour type and by hospital."""

    def told(group: ExpectedOfGroup) -> list[list[float]]:
        return [[each.observed, each.expected] for each in group.windows]

    return {
        "window_bounds": list(found.bounds),
        "all": told(found.everybody),
        "by_type": {group.name: told(group) for group in found.entities},
        "by_hospital": {group.name: told(group) for group in found.hospitals},
    }


def _told(estimate: Estimate | None) -> dict[str, Any] | None:
    return None if estimate is None else {"value": estimate.value, "ci95": [estimate.low, estimate.high]}


def _released_calibration(found: MeasuredCalibration, schema: StudySchema) -> dict[str, Any]:
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


def _released(measured: Measured) -> dict[str, Any]:
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


def _released_markers(found: ReleasedExplanations) -> dict[str, Any]:
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


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Whole or not at all; NaN becomes null, since JSON has no NaN."""
    beside = path.with_suffix(".tmp")
    beside.write_text(json.dumps(_plain(content), indent=2, default=str) + "\n")
    os.replace(beside, path)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
