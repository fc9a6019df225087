"""What runs know of themselves, without a run: figures of a simulation, and of real hospitals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from tests.summaries import calibration_of, evaluation_of
from tests.unit.server.report.fake_studies import fake_plan, fake_schema, fake_study
from tests.unit.server.report.test_measured import released as counts_of
from tests.unit.server.report.test_released_calibration import released as sums_of
from tests.unit.server.report.test_released_gains import plan_of as plan_with_gains
from tests.unit.server.report.test_released_gains import released as gains_released

from oncofed.protocol.plan import StudyPlan
from oncofed.server.card.known import Known, Origin, described
from oncofed.server.card.of_study import known_of_study, metrics_of_study
from oncofed.server.report.released_figures import plain
from oncofed.server.report.study import DeployedStudy
from oncofed.study.reporting import NOTHING_SAID, Reporting

EVERYTHING = Reporting(**{each.name: f"What people say of {each.name}." for each in fields(Reporting)})


def simulated(*, reporting: Reporting = NOTHING_SAID, origin: Origin = Origin.TABLE, **changes: Any) -> Known:
    """changes: of the figures of the one endpoint."""
    schema = fake_schema()
    plan = fake_plan(schema)
    endpoint: Mapping[str, Any] = {
        "c_index": 0.71234,
        "events": 103,
        "c_index_ci95": [0.64512, 0.78123],
        "c_index_within_type": 0.66502,
        "uno_c_index": None,
        "integrated_brier": None,
        "brier_gain": 0.08765,
        "calibration_slope": 0.91667,
        "calibration_slope_ci95": [0.59836, 1.23496],
        "expected_to_observed": 1.06108,
        "events_and_expected": {
            "window_bounds": [0.0, 12.0, 24.0],
            "by_type": {"small_cell_2": [[15, 17.8726], [28, 28.6397]]},
            "by_hospital": {name: [[7, 8.1234], [9, 7.4321]] for name in plan.roster},
        },
    } | changes
    figures = {
        "study": plan.study,
        "part": "test",
        "test": {"patients": 155, "events": endpoint["events"]},
        "endpoints": {"os": endpoint},
        "notes": ["17 patients of the table belong to no hospital."],
        "described": described(
            plan,
            schema,
            origin=origin,
            horizon=12.0,
            division={"split": "random", "test_fraction": 0.23, "folds": 5, "fold": 0},
            training={"patients": 620, "events": 409, "events_per_parameter": 6.6131, "share_missing": 0.1234},
        ),
    }
    return Known("Lung cancer", plan, schema, plain(figures), reporting)


def scored() -> Known:
    """A simulation with a score beside the network, and figures of groups."""

    def limits(value: float | None, low: float | None = None, high: float | None = None) -> dict[str, Any]:
        return {"value": value, "simultaneous_ci95": [low, high]}

    groups = [
        {
            "by": by,
            "group": group,
            "patients": patients,
            "events": 41,
            "c_index": limits(0.6871, 0.6012, 0.7654),
            "observed_to_expected": limits(1.2345, 1.0123, 1.4321),
            "calibration_slope": limits(None),
        }
        for by, group, patients in (("sex_male", "yes", 83), ("age_years", "50 to below 65", 71))
    ]
    score = {
        "name": "all_scores",
        "patients": 149,
        "events": 97,
        "comparator": {"c_index": 0.6234, "calibration_slope": 1.1357, "observed_to_expected": 0.9753},
        "c_index_gain": {"value": 0.0753, "ci95": [0.0312, 0.1198]},
        "log_likelihood_gain": {"value": 17.418, "ci95": [6.127, 28.709]},
    }
    known = simulated(subgroups=groups)
    return replace(known, metrics=plain({**known.metrics, "comparators": {"os": [score]}}))


def measured_study() -> DeployedStudy:
    """Of real hospitals, with both releases about patients set aside."""
    plan = fake_plan(fake_schema())
    first, *_, last = plan.model.grid.bounds
    summaries = (
        replace(evaluation_of(plan, noise_multiplier=4.0, attempts=2), smallest_shown=50.0),
        replace(calibration_of(plan, noise_multiplier=1.0, windows=(first, last)), smallest_shown=10.0),
    )
    plan = replace(plan, summaries=summaries, held_out_fraction=0.2)
    released = {"evaluation": counts_of(plan), "calibration": sums_of(plan, ratio=1.234, slope=0.7)}
    return replace(fake_study(plan=plan), summaries=released)


def gained() -> Known:
    """Real hospitals that released gains over scores and values of layers, and nothing else."""
    plan = plan_with_gains()
    study = replace(fake_study(plan=plan), summaries=gains_released(plan))
    return known_of_study(study, plain(metrics_of_study(study)), None)


def of_hospitals(*, plan: StudyPlan | None = None, reporting: Reporting = NOTHING_SAID) -> Known:
    """plan: another one, of which nothing was released."""
    study = measured_study() if plan is None else fake_study(plan=plan)
    return replace(known_of_study(study, plain(metrics_of_study(study)), None), reporting=reporting)
