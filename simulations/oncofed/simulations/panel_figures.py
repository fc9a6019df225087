"""What does a run say in numbers of its panel, beside the model of all markers, and of assays?"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from oncofed.simulations.results import AssaysCompared, EndpointResult, ModelFigures, Panel, PanelPath
from oncofed.survival.layer_values import Value


def figures_of(found: EndpointResult) -> ModelFigures:
    """The few that tell whether one model is better than another."""
    observed = expected = 0.0
    if found.expected is not None:
        observed = sum(window.observed for window in found.expected.everybody.windows)
        expected = sum(window.expected for window in found.expected.everybody.windows)
    return ModelFigures(
        c_index=found.c_index,
        c_index_within_type=found.c_index_within_type,
        brier_gain=found.brier_gain,
        calibration_slope=float("nan") if found.calibration is None else found.calibration.slope,
        observed_to_expected=observed / expected if expected else float("nan"),
    )


def panel_figures(panel: Panel) -> dict[str, Any]:
    """As it stands in metrics.json."""
    return {
        "markers": list(panel.markers),
        "plan_hash": panel.plan.hash,
        "rounds": len(panel.rounds),
        "endpoints": {
            name: asdict(figures_of(found)) | {"c_index_ci95": [found.c_index_ci95.low, found.c_index_ci95.high]}
            for name, found in panel.endpoints.items()
        },
        "path": None if panel.path is None else _path(panel.path),
    }


def _path(path: PanelPath) -> dict[str, Any]:
    return {
        "patients": path.patients,
        "all_markers": value_figures(path.told),
        "loss_by_markers": {str(step.markers): value_figures(step.loss) for step in path.steps},
        "smallest": path.smallest,
        "margin": path.margin,
    }


def assay_figures(found: AssaysCompared) -> dict[str, Any]:
    """Every set of assays, and what each is worth beside all others."""
    return {
        "patients": found.patients,
        "of": found.of,
        "sets": [
            {
                "assays": list(each.assays),
                "price": each.price,
                "turnaround_days": each.days,
                "on_frontier": each.on_frontier,
                "told": value_figures(each.told),
            }
            for each in found.options
        ],
        "dropped": {each.name: {"saves": each.saves, "loss": value_figures(each.loss)} for each in found.dropped},
    }


def value_figures(value: Value) -> dict[str, Any]:
    """In nats a patient, with limits that hold together with those of the values beside it."""
    return {"value": value.mean, "standard_error": value.standard_error, "ci95": [value.low, value.high]}
