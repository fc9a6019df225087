"""What does a run say of itself in numbers? metrics.json, privacy.json, and the JSON that every command writes."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from oncofed.protocol.plan import StudyPlan
from oncofed.server.report.options_figures import options_figures
from oncofed.server.report.released_figures import (
    plain,
    released_calibration_figures,
    released_figures,
    released_gain_figures,
    released_marker_figures,
)
from oncofed.simulations.model_package import described_run
from oncofed.simulations.panel_figures import assay_figures, panel_figures, value_figures
from oncofed.simulations.privacy_spent import spent_at_one, spent_at_two
from oncofed.simulations.results import (
    Compared,
    ExpectedByWindow,
    LayersCompared,
    LeftOut,
    LeftOutHospital,
    RunResult,
    Subgroup,
    WithLimits,
)
from oncofed.survival.across_hospitals import AcrossHospitals
from oncofed.survival.auc_over_time import AucOverTime
from oncofed.survival.decision_curve import Benefit, DecisionCurve
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
        "epsilon_planned": result.study.privacy.epsilon,
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
    } | ({} if result.panel is None else {"plans": [_part_spent(each) for each in _plans(result)]})


def _plans(result: RunResult) -> tuple[StudyPlan, ...]:
    beside = (each.plan for each in (result.panel, result.options) if each is not None)
    return (result.plan, *beside)


def _part_spent(plan: StudyPlan) -> dict[str, Any]:
    """One training of a study that has several; its epsilon is of the part that was meant for it."""
    return {
        "study": plan.study,
        "plan_hash": plan.hash,
        "epsilon": plan.privacy.epsilon,
        "noise_multiplier": plan.privacy.noise_multiplier,
        "rounds": plan.training.rounds,
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
        | {
            "events_and_expected": None if found.expected is None else _expected(found.expected),
            "auc_over_time": None if found.auc is None else _auc(found.auc),
            "decision_curve": None if found.decisions is None else _decisions(found.decisions),
            "subgroups": [_subgroup(each) for each in result.subgroups[name].groups]
            if name in result.subgroups
            else None,
        }
        for name, found in result.endpoints.items()
    }
    beside = result.baselines
    return {
        "study": result.study.name,
        "seed": result.study.seed,
        "part": result.study.evaluation.part.value,
        "test": by_endpoint[result.main.name] | {"patients": len(result.test), "endpoint": result.main.name},
        "endpoints": by_endpoint,
        "privately_released": None if result.measured is None else released_figures(result.measured),
        "calibration_privately_released": None
        if result.measured_calibration is None
        else released_calibration_figures(result.measured_calibration, result.test.schema),
        "gains_privately_released": None
        if result.measured_gains is None
        else released_gain_figures(result.measured_gains),
        "key_markers_privately_released": None
        if result.released_explanations is None
        else released_marker_figures(result.released_explanations),
        "options_privately_released": None
        if result.options is None
        else options_figures(result.options.question, result.options.released),
        "comparators": {name: [_compared(each) for each in several] for name, several in result.compared.items()},
        "left_out_hospitals": {name: left_out_figures(found) for name, found in result.left_out_hospitals.items()},
        "panel": None if result.panel is None else panel_figures(result.panel),
        "assays": None if result.assays is None else assay_figures(result.assays),
        "layers": {name: _layers(each) for name, each in result.layers.items()},
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
        "described": described_run(result),
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
        "decision_curve": _decisions(found.decisions),
        "net_benefit_gain": _benefit(found.benefit_gain),
    }


def _auc(found: AucOverTime) -> dict[str, Any]:
    """One value a time."""
    return {
        "times": found.times.tolist(),
        "auc": found.auc.tolist(),
        "low": found.low.tolist(),
        "high": found.high.tolist(),
        "cases": found.cases.tolist(),
    }


def _decisions(found: DecisionCurve) -> dict[str, Any]:
    """One value a threshold; treating nobody is 0."""
    return {
        "horizon": found.horizon,
        "thresholds": found.thresholds.tolist(),
        "treated": found.treated.tolist(),
        "net_benefit": _benefit(found.model),
        "treat_all": _benefit(found.everybody),
        "above_treat_all": _benefit(found.above_everybody),
    }


def _benefit(found: Benefit) -> dict[str, Any]:
    return {"value": found.value.tolist(), "low": found.low.tolist(), "high": found.high.tolist()}


def _subgroup(found: Subgroup) -> dict[str, Any]:
    """Intervals are simultaneous: those of all groups together hold the truth with 95 %, for each of the figures."""

    def told(each: WithLimits) -> dict[str, Any]:
        return {"value": each.value, "simultaneous_ci95": [each.low, each.high]}

    return {
        "by": found.by,
        "group": found.name,
        "patients": found.patients,
        "events": found.events,
        "c_index": told(found.c_index),
        "observed_to_expected": told(found.observed_to_expected),
        "calibration_slope": told(found.slope),
    }


def left_out_figures(found: LeftOut) -> dict[str, Any]:
    """Hospitals that did not train, and one more of their kind: `prediction95`."""

    def over(figure: AcrossHospitals) -> dict[str, Any]:
        return {
            "mean": figure.mean,
            "ci95": list(figure.interval),
            "prediction95": list(figure.prediction),
            "between_sd": None if figure.effects is None else figure.effects.between_sd,
            "scale": figure.scale.value,
            "hospitals": figure.counted,
        }

    return {
        "observed_to_expected": over(found.ratio),
        "calibration_slope": over(found.slope),
        "c_index": over(found.c_index),
        "by_hospital": {
            each.name: {
                "patients": each.patients,
                "events": each.events,
                "expected": each.expected,
                "observed_to_expected_ci95": list(each.ratio_limits),
                "calibration_slope": list(each.slope),
                "c_index": list(each.c_index),
            }
            for each in found.hospitals
        },
    }


def left_out_of(figures: Mapping[str, Any]) -> list[LeftOutHospital]:
    """What `left_out_figures` wrote, one endpoint's, read again. null is NaN."""

    def numbers(several: list[float | None]) -> tuple[float, ...]:
        return tuple(float("nan") if each is None else float(each) for each in several)

    return [
        LeftOutHospital(
            name=name,
            patients=found["patients"],
            events=found["events"],
            expected=found["expected"],
            ratio_limits=numbers(found["observed_to_expected_ci95"]),  # type: ignore[arg-type]
            slope=numbers(found["calibration_slope"]),  # type: ignore[arg-type]
            c_index=numbers(found["c_index"]),  # type: ignore[arg-type]
        )
        for name, found in figures["by_hospital"].items()
    ]


def _layers(found: LayersCompared) -> dict[str, Any]:
    """What each layer of data is worth, in nats a patient, and who was compared."""
    return {
        "layers": {
            each.name: {"measured": found.measured[each.name]}
            | {
                kind: value_figures(value)
                for kind, value in (("share", each.share), ("alone", each.alone), ("last", each.last))
            }
            for each in found.values.layers
        },
        "together": value_figures(found.values.together),
        "trained_for": found.trained_for,
        "compared": asdict(found.compared),
        "others": asdict(found.others),
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


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Whole or not at all; NaN becomes null, since JSON has no NaN."""
    beside = path.with_suffix(".tmp")
    beside.write_text(json.dumps(plain(content), indent=2, default=str) + "\n")
    os.replace(beside, path)
