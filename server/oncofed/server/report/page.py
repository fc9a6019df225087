"""How does a study of real hospitals become one page for the coordinator who answers for it?

`write_report` puts a `DeployedStudy` into the template `templates/report.html.j2`.

Promises: one file, no script, nothing loaded from anywhere; every name and reason is escaped; the same study gives the
same bytes on the same installation. There is no figure of how well the model predicts but what hospitals released of it
with noise and a charge. What is not there yet is said to be so.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from oncofed.protocol.options_layout import question_of
from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.plan_words import PlanCost, cost_of, plan_in_words
from oncofed.protocol.summary_spec import HELD_OUT_KINDS, SummaryKind
from oncofed.server.evaluation.calibration import measured_calibration
from oncofed.server.evaluation.gains import released_gains
from oncofed.server.evaluation.measured import Measured, measured
from oncofed.server.evaluation.options import released_options
from oncofed.server.evaluation.readiness import counted as counted_patients
from oncofed.server.evaluation.validation import CaseMix, validated
from oncofed.server.report.attendance import in_ranges, presence, troubles
from oncofed.server.report.between_hospitals import BetweenHospitals, between_hospitals, who_counts
from oncofed.server.report.html_page import rendered, write_page
from oncofed.server.report.linear_effects import LinearEffect, against_noise, linear_effects
from oncofed.server.report.plots import (
    STRONGEST,
    attendance_picture,
    effects_picture,
    key_markers_picture,
    rounds_picture,
)
from oncofed.server.report.released_calibration import PageOfCalibration, page_of_calibration
from oncofed.server.report.released_explanations import page_of_markers
from oncofed.server.report.released_options import page_of_options
from oncofed.server.report.spending import site_costs
from oncofed.server.report.study import DeployedStudy, state_in_words
from oncofed.server.rounds.explanation_votes import released_explanations, summary_of
from oncofed.words.names import MODALITY_NAMES, one_line, plain_name
from oncofed.words.numbers import counted, decimals, scientific, whole
from oncofed.words.time_shapes import when_words

Facts = list[tuple[str, str]]

_TIME = "%Y-%m-%d %H:%M:%S %Z"
_COUNTING = ("hospital counts who is there", "hospitals count who is there")
_MEASURING = (
    "hospital measures a model that it did not train",
    "hospitals measure a model that they did not train",
)
_DELIVERED = {
    "accepted": "accepted: checked against the coordinator's key and kept",
    "refused": "refused: not of a plan this hospital approved, not rightly signed, or of another form",
}


def write_report(study: DeployedStudy, path: Path) -> None:
    """Write the page: whole, or not at all. An existing file is replaced."""
    write_page(render_report(study), path)


def render_report(study: DeployedStudy) -> str:
    """The page as text."""
    return rendered("oncofed.server.report", _content(study))


def _content(study: DeployedStudy) -> dict[str, Any]:
    plan = study.plan
    cost = cost_of(plan)
    found = troubles(study)
    return {
        "title": plain_name(plan.study),
        "plan": plan,
        "study": study,
        "state": state_in_words(study),
        "answer": _answer(study, cost),
        "private": plan.privacy.mode.private,
        "cost": cost,
        "promise": _promise(plan, cost),
        "site_costs": [(one_line(each.site), each) for each in site_costs(study)],
        "mean_answering": _mean_answering(study),
        "counts": counted_patients(plan, study.schema, study.summaries),
        "attendance_figure": None
        if not plan.trains
        else attendance_picture(presence(study), repeated=[row.round for row in study.rounds if row.attempt > 0]),
        "repeated": [(row.round, row.attempt + 1) for row in study.rounds if row.attempt > 0],
        "unrecorded": in_ranges(study.unrecorded),
        "troubles": [
            (one_line(each.site), one_line(each.reason), len(each.rounds), in_ranges(each.rounds)) for each in found
        ],
        "meanings": sorted({(each.reason, each.explained) for each in found if each.explained}),
        "events": events_of(study),
        "rounds_figure": rounds_picture(study.rounds, planned=plan.training.rounds),
        "rounds_words": _rounds_words(study),
        "model_facts": _model_facts(study),
        "delivered": delivered_of(study),
        "measured": _measured(study),
        "calibration": _calibration(study),
        "gains": None if study.weights is None else released_gains(plan, study.summaries),
        "modality_names": MODALITY_NAMES,
        "evaluation_planned": plan.measures,
        "unreleased": [
            plain_name(each.name)
            for each in plan.summaries
            if each.kind in HELD_OUT_KINDS and each.name not in study.summaries
        ],
        "validated": _validated(study),
        "options": _options(study),
        "who_counts": who_counts(),
        "answered": max((len(each.answered) for each in study.summaries.values()), default=0),
        **_key_markers(study),
        "unit": plan.model.grid.unit,
        "effects": _effects(study),
        "when_words": when_words(plan.model),
        "identity": _identity(study),
        "plan_words": plan_in_words(plan, study.schema, parameters=plan.model.parameters).split("\n\n"),
    }


def _answer(study: DeployedStudy, cost: PlanCost | None) -> str:
    plan = study.plan
    promised = (
        "no privacy is promised (mode none)"
        if cost is None
        else f"a patient is promised epsilon {cost.planned:.2f}, at most {cost.largest:.2f} with repeated "
        f"{'rounds' if plan.trains else 'attempts'}"
    )
    does = ("hospital trains one model", "hospitals train one model")
    if plan.target_trial is not None:
        compare = counted(len(plan.roster), "hospital compares", "hospitals compare")
        return (
            f"{compare} {' and '.join(map(one_line, plan.target_trial.options))}; {promised}. State: "
            f"{state_in_words(study)}."
        )
    if not plan.trains:
        does = _COUNTING if plan.validates is None else _MEASURING
    return (
        f"{counted(len(plan.roster), *does)} for "
        f"{', '.join(map(plain_name, plan.model.endpoints))}; {promised}. State: {state_in_words(study)}."
    )


def events_of(study: DeployedStudy) -> list[tuple[str, str, list[str]]]:
    """(when, what, in words). The same thing again and again, such as waiting for a hospital, is one entry."""
    entries = []
    for (event, words), same in groupby(study.events, key=lambda each: (each.event, each.words)):
        times = [each.at for each in same]
        when = f"{times[0]:{_TIME}}".strip()
        again = f"{len(times)} times, the last at {times[-1]:{_TIME}}".strip()
        lines = [*(line for line in words.splitlines() if line.strip()), *([again] if len(times) > 1 else [])]
        entries.append((when, one_line(event), [one_line(line) for line in lines]))
    return entries


def _promise(plan: StudyPlan, cost: PlanCost | None) -> Facts:
    if cost is None:
        return [("Mode", "none: no noise, and so no promise")]
    return [
        *(_promise_of_rounds(plan, cost) if plan.trains else _promise_without_rounds(plan, cost)),
        ("Epsilon of a patient of two hospitals", f"up to {cost.two_hospitals:.2f}"),
        ("Delta", scientific(plan.privacy.delta)),
        ("Suits hospitals of", f"up to {whole(cost.largest_cohort)} patients"),
        ("Unit and neighbours", "one patient of one hospital; tables with and without that patient"),
        ("Noise multiplier", f"{plan.privacy.noise_multiplier:.4g}"),
        ("Whose noise", _whose_noise(plan)),
    ]


def _promise_of_rounds(plan: StudyPlan, cost: PlanCost) -> Facts:
    rounds, reserve = plan.training.rounds, plan.privacy.reserve_rounds
    also = f" and {', '.join(plain_name(each.name) for each in plan.summaries)}" if plan.summaries else ""
    return [
        (f"Epsilon after {counted(rounds, 'planned round', 'planned rounds')}{also}", f"{cost.planned:.2f}"),
        (f"Epsilon with {counted(reserve, 'round', 'rounds')} of reserve", f"{cost.largest:.2f}, never more"),
    ]


def _promise_without_rounds(plan: StudyPlan, cost: PlanCost) -> Facts:
    what = "figures" if plan.validates is not None else "count"
    return [(f"Epsilon of the {what}, all attempts", f"{cost.largest:.2f}, never more")]


def _measured(study: DeployedStudy) -> Measured | None:
    if study.weights is None:
        return None
    return measured(study.plan, study.summaries, study.weights, competing=study.schema.competing_names)


def _calibration(study: DeployedStudy) -> PageOfCalibration | None:
    found = None if study.weights is None else measured_calibration(study.plan, study.summaries)
    return None if found is None else page_of_calibration(found, study.schema)


def _validated(study: DeployedStudy) -> list[tuple[str, tuple[BetweenHospitals, ...], tuple[CaseMix, ...]]]:
    return [
        (endpoint, between_hospitals(ratio=found.ratio, slope=found.slope, c_index=None), found.case_mix)
        for endpoint, found in validated(study.plan, study.summaries).items()
    ]


def _options(study: DeployedStudy) -> dict[str, Any] | None:
    question = question_of(study.plan, study.schema)
    if question is None:
        return None
    return page_of_options(question, released_options(study.plan, question, study.summaries))


def _against_noise(study: DeployedStudy) -> Mapping[str, str]:
    return {} if study.weights is None else against_noise(study.plan, study.schema, study.weights)


def _key_markers(study: DeployedStudy) -> dict[str, Any]:
    found = None if study.weights is None else released_explanations(study.plan, study.schema, study.summaries)
    told = None if found is None else page_of_markers(found, study.plan, study.schema, _against_noise(study))
    return {
        "key_markers": told,
        "key_markers_figure": None if told is None else key_markers_picture(told.rows, alternative=told.alternative),
        "key_markers_planned": summary_of(study.plan, SummaryKind.KEY_MARKERS) is not None,
    }


def _whose_noise(plan: StudyPlan) -> str:
    shares = plan.privacy.shares
    if shares is None:
        return "every hospital's own, in full: it trusts nobody"
    return (
        f"a sum's, shared under masks by {whole(shares.sites)} hospitals, of which {whole(shares.dropouts)} may be "
        f"missing and {whole(shares.colluding)} may side with the coordinator; the others are trusted to add theirs"
        + (f"; each masks with {whole(shares.mask_neighbours)} others at least" if shares.mask_neighbours else "")
    )


def _mean_answering(study: DeployedStudy) -> float | None:
    return float(np.mean([len(row.answered) for row in study.rounds])) if study.rounds else None


def _rounds_words(study: DeployedStudy) -> str:
    rows = study.rounds
    if not rows:
        return ""
    seconds = np.array([row.seconds for row in rows])
    down, up = sum(row.bytes_down for row in rows), sum(row.bytes_up for row in rows)
    first, last = min(row.finished_at for row in rows), max(row.finished_at for row in rows)
    return (
        f"{counted(len(rows), 'round', 'rounds')} on record, the first finished {first:{_TIME}}".rstrip()
        + f", the last {last:{_TIME}}".rstrip()
        + f". A round took {decimals(float(np.median(seconds)), 1)} seconds in the middle and "
        f"{decimals(float(seconds.max()), 1)} at most. In all, {_megabytes(down)} went to the hospitals and "
        f"{_megabytes(up)} came back."
    )


def _megabytes(count: int) -> str:
    return f"{decimals(count / 1e6, 1)} MB" if count >= 100_000 else f"{whole(count)} bytes"


def _model_facts(study: DeployedStudy) -> Facts:
    model = study.plan.model
    hidden = " and ".join(map(str, model.hidden_units)) or "none"
    return [
        ("SHA-256 of the file", study.model_sha256 or "not released yet"),
        ("Signature (Ed25519)", study.signature or "not released yet"),
        ("Coordinator's key", _signer(study.plan) or "not in the plan"),
        *([] if study.plan.validates is None else [("Trained by the plan", study.plan.validates.plan_hash)]),
        ("Parameters", whole(model.parameters)),
        ("Inputs", whole(model.columns)),
        ("ReLU units", f"{hidden}, {'and a' if model.linear_branch else 'without a'} linear part"),
    ]


def _signer(plan: StudyPlan) -> str:
    """Of the model."""
    return plan.coordinator_public_key if plan.validates is None else plan.validates.coordinator_public_key


def delivered_of(study: DeployedStudy) -> list[tuple[str, str]]:
    """Every hospital once study.delivered names one, else none."""
    if not study.delivered:
        return []
    said = {site: study.delivered.get(site, "not asked") for site in (*study.plan.roster, *sorted(study.delivered))}
    return [(one_line(site), _DELIVERED.get(word, one_line(word))) for site, word in said.items()]


def _effects(study: DeployedStudy) -> list[tuple[str, tuple[LinearEffect, ...], Any]]:
    """(endpoint, strongest effects, figure), an entry for each endpoint; none without a model or a linear part."""
    if study.weights is None:
        return []
    by_endpoint = linear_effects(study.plan.model, study.schema, study.weights)
    return [
        (
            plain_name(endpoint),
            tuple(effect for effect in effects[:STRONGEST] if effect.log_hazard_ratio != 0),
            effects_picture(effects, endpoint=plain_name(endpoint)),
        )
        for endpoint, effects in by_endpoint.items()
    ]


def _identity(study: DeployedStudy) -> Facts:
    plan = study.plan
    return [
        ("Study", plan.study),
        ("Plan hash", plan.hash),
        ("Schema hash", plan.schema_hash),
        ("Program bundle, SHA-256", plan.bundle_sha256 or "not in the plan"),
        ("Quorum", f"{whole(plan.quorum)} of {whole(len(plan.roster))} hospitals"),
        (
            "Training",
            f"{plan.training.mode.value}, {plan.training.strategy.value}, {whole(plan.training.rounds)} rounds"
            if plan.trains
            else "none: it only counts"
            if plan.validates is None
            else "none: it measures a model of another plan",
        ),
    ]
