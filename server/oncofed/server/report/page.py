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
from oncofed.protocol.plan_words import PlanCost, cost_of, plan_in_words
from oncofed.protocol.summary_spec import HELD_OUT_KINDS, SummaryKind
from oncofed.server.evaluation.calibration import measured_calibration
from oncofed.server.evaluation.gains import released_gains
from oncofed.server.evaluation.measured import Measured, measured
from oncofed.server.evaluation.options import released_options
from oncofed.server.evaluation.readiness import counted as counted_patients
from oncofed.server.evaluation.validation import CaseMix, validated
from oncofed.server.report.attendance import Trouble, in_ranges, presence, troubles
from oncofed.server.report.between_hospitals import BetweenHospitals, between_hospitals, who_counts
from oncofed.server.report.html_page import rendered, write_page
from oncofed.server.report.linear_effects import LinearEffect, against_noise, linear_effects
from oncofed.server.report.noted import Noted, delivered_in_words, noted, noted_event
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
from oncofed.server.report.study_facts import identity_facts, model_facts, promise_facts
from oncofed.server.rounds.explanation_votes import released_explanations, summary_of
from oncofed.words.language import ENGLISH, Language
from oncofed.words.markers import endpoint_called, source_label
from oncofed.words.names import MODALITY_NAMES, one_line, plain_name
from oncofed.words.numbers import decimals, whole
from oncofed.words.time_shapes import when_words


def write_report(study: DeployedStudy, path: Path, *, say: Language = ENGLISH) -> None:
    """Write the page: whole, or not at all. An existing file is replaced."""
    write_page(render_report(study, say=say), path)


def render_report(study: DeployedStudy, *, say: Language = ENGLISH) -> str:
    """The page as text."""
    return rendered("oncofed.server.report", _content(study, say), say=say)


def _content(study: DeployedStudy, say: Language) -> dict[str, Any]:
    plan = study.plan
    cost = cost_of(plan)
    found = troubles(study)
    return {
        "title": plain_name(plan.study),
        "plan": plan,
        "study": study,
        "called": _called(study, say),
        "state": state_in_words(study, say=say),
        "answer": _answer(study, cost, say),
        "private": plan.privacy.mode.private,
        "cost": cost,
        "promise": promise_facts(plan, cost, say=say),
        "site_costs": [(one_line(each.site), each) for each in site_costs(study)],
        "mean_answering": _mean_answering(study),
        "counts": counted_patients(plan, study.schema, study.summaries),
        "attendance_figure": None
        if not plan.trains
        else attendance_picture(
            presence(study), repeated=[row.round for row in study.rounds if row.attempt > 0], say=say
        ),
        "repeated": [(row.round, row.attempt + 1) for row in study.rounds if row.attempt > 0],
        "unrecorded": in_ranges(study.unrecorded, say=say),
        "troubles": [_trouble(each, say) for each in found],
        "meanings": sorted(
            {(noted(each.reason, say=say).text, say(each.explained)) for each in found if each.explained}
        ),
        "events": events_of(study, say=say),
        "rounds_figure": rounds_picture(study.rounds, planned=plan.training.rounds, say=say),
        "rounds_words": _rounds_words(study, say),
        "model_facts": model_facts(study, say=say),
        "delivered": delivered_of(study, say=say),
        "measured": _measured(study),
        "calibration": _calibration(study, say),
        "gains": None if study.weights is None else released_gains(plan, study.summaries),
        "modality_names": {each: say(name) for each, name in MODALITY_NAMES.items()},
        "evaluation_planned": plan.measures,
        "unreleased": [
            plain_name(each.name)
            for each in plan.summaries
            if each.kind in HELD_OUT_KINDS and each.name not in study.summaries
        ],
        "validated": _validated(study, say),
        "options": _options(study, say),
        "who_counts": who_counts(say),
        "answered": max((len(each.answered) for each in study.summaries.values()), default=0),
        "answering": [
            one_line(site) for site in plan.roster if any(site in each.answered for each in study.summaries.values())
        ],
        **_key_markers(study, say),
        "unit": say(plan.model.grid.unit, context="dative"),
        "effects": _effects(study, say),
        "when_words": when_words(plan.model, say=say),
        "identity": identity_facts(plan, say=say),
        "plan_words": plan_in_words(plan, study.schema, parameters=plan.model.parameters, say=say).split("\n\n"),
    }


def _called(study: DeployedStudy, say: Language) -> Mapping[str, str]:
    """What endpoints and markers, or modalities, are called on the page; in English as the schema has them."""
    schema = study.schema
    endpoints = {each: _endpoint(study, each, say) for each in study.plan.model.endpoints}
    if say.code == ENGLISH.code:
        return endpoints
    modalities = {each.value: say(name) for each, name in MODALITY_NAMES.items()}
    return modalities | {each.name: source_label(schema, each.name, say=say) for each in schema.markers} | endpoints


def _endpoint(study: DeployedStudy, name: str, say: Language) -> str:
    return plain_name(name) if say.code == ENGLISH.code else endpoint_called(study.schema, name, say=say)


def _trouble(each: Trouble, say: Language) -> tuple[str, Noted, int, str]:
    return one_line(each.site), noted(each.reason, say=say), len(each.rounds), in_ranges(each.rounds, say=say)


def _answer(study: DeployedStudy, cost: PlanCost | None, say: Language) -> str:
    state = say("State: %(state)s.", state=state_in_words(study, say=say))
    return f"{_does(study, say)}; {_promised(study, cost, say)}. {state}"


def _does(study: DeployedStudy, say: Language) -> str:
    plan, hospitals = study.plan, len(study.plan.roster)
    if plan.target_trial is not None:
        options = say(" and ").join(map(one_line, plan.target_trial.options))
        return say.several(
            "%(count)s hospital compares %(options)s",
            "%(count)s hospitals compare %(options)s",
            hospitals,
            options=options,
        )
    endpoints = ", ".join(_endpoint(study, each, say) for each in plan.model.endpoints)
    if plan.trains:
        return say.several(
            "%(count)s hospital trains one model for %(endpoints)s",
            "%(count)s hospitals train one model for %(endpoints)s",
            hospitals,
            endpoints=endpoints,
        )
    if plan.validates is None:
        return say.several(
            "%(count)s hospital counts who is there for %(endpoints)s",
            "%(count)s hospitals count who is there for %(endpoints)s",
            hospitals,
            endpoints=endpoints,
        )
    return say.several(
        "%(count)s hospital measures a model that it did not train for %(endpoints)s",
        "%(count)s hospitals measure a model that they did not train for %(endpoints)s",
        hospitals,
        endpoints=endpoints,
    )


def _promised(study: DeployedStudy, cost: PlanCost | None, say: Language) -> str:
    if cost is None:
        return say("no privacy is promised (mode none)")
    figures = {"planned": decimals(cost.planned, 2, say=say), "largest": decimals(cost.largest, 2, say=say)}
    if study.plan.trains:
        return say(
            "a patient is promised epsilon %(planned)s, at most %(largest)s with repeated rounds",
            **figures,
        )
    return say("a patient is promised epsilon %(planned)s, at most %(largest)s with repeated attempts", **figures)


def events_of(study: DeployedStudy, *, say: Language = ENGLISH) -> list[tuple[str, Noted, list[Noted]]]:
    """(when, what, in words). The same thing again and again, such as waiting for a hospital, is one entry."""
    entries = []
    for _, same in groupby(study.events, key=lambda each: (each.event, each.words)):
        events = list(same)
        title, *lines = noted_event(events[0], sites=study.plan.roster, say=say)
        if len(events) > 1:
            last = say.moment_of(events[-1].at)
            lines.append(Noted(say("%(times)s times, the last at %(last)s", times=len(events), last=last)))
        entries.append((say.moment_of(events[0].at), title, lines))
    return entries


def _measured(study: DeployedStudy) -> Measured | None:
    if study.weights is None:
        return None
    return measured(study.plan, study.summaries, study.weights, competing=study.schema.competing_names)


def _calibration(study: DeployedStudy, say: Language) -> PageOfCalibration | None:
    found = None if study.weights is None else measured_calibration(study.plan, study.summaries)
    return None if found is None else page_of_calibration(found, study.schema, say=say)


def _validated(
    study: DeployedStudy, say: Language
) -> list[tuple[str, tuple[BetweenHospitals, ...], tuple[CaseMix, ...]]]:
    return [
        (
            _endpoint(study, endpoint, say),
            between_hospitals(ratio=found.ratio, slope=found.slope, c_index=None, say=say),
            found.case_mix,
        )
        for endpoint, found in validated(study.plan, study.summaries).items()
    ]


def _options(study: DeployedStudy, say: Language) -> dict[str, Any] | None:
    question = question_of(study.plan, study.schema)
    if question is None:
        return None
    return page_of_options(question, released_options(study.plan, question, study.summaries), say=say)


def _against_noise(study: DeployedStudy) -> Mapping[str, str]:
    return {} if study.weights is None else against_noise(study.plan, study.schema, study.weights)


def _key_markers(study: DeployedStudy, say: Language) -> dict[str, Any]:
    found = None if study.weights is None else released_explanations(study.plan, study.schema, study.summaries)
    told = None if found is None else page_of_markers(found, study.plan, study.schema, _against_noise(study), say=say)
    return {
        "key_markers": told,
        "key_markers_figure": None
        if told is None
        else key_markers_picture(told.rows, alternative=told.alternative, say=say),
        "key_markers_planned": summary_of(study.plan, SummaryKind.KEY_MARKERS) is not None,
    }


def _mean_answering(study: DeployedStudy) -> float | None:
    return float(np.mean([len(row.answered) for row in study.rounds])) if study.rounds else None


def _rounds_words(study: DeployedStudy, say: Language) -> str:
    rows = study.rounds
    if not rows:
        return ""
    seconds = np.array([row.seconds for row in rows])
    down, up = sum(row.bytes_down for row in rows), sum(row.bytes_up for row in rows)
    first, last = min(row.finished_at for row in rows), max(row.finished_at for row in rows)
    return say.several(
        "%(count)s round on record, the first finished %(first)s, the last %(last)s. A round took %(median)s seconds "
        "in the middle and %(most)s at most. In all, %(down)s went to the hospitals and %(up)s came back.",
        "%(count)s rounds on record, the first finished %(first)s, the last %(last)s. A round took %(median)s seconds "
        "in the middle and %(most)s at most. In all, %(down)s went to the hospitals and %(up)s came back.",
        len(rows),
        first=say.moment_of(first),
        last=say.moment_of(last),
        median=decimals(float(np.median(seconds)), 1, say=say),
        most=decimals(float(seconds.max()), 1, say=say),
        down=_megabytes(down, say),
        up=_megabytes(up, say),
    )


def _megabytes(count: int, say: Language) -> str:
    if count >= 100_000:
        return f"{decimals(count / 1e6, 1, say=say)} MB"
    return say("%(count)s bytes", count=whole(count, say=say))


def delivered_of(study: DeployedStudy, *, say: Language = ENGLISH) -> list[tuple[str, Noted]]:
    """Every hospital once study.delivered names one, else none."""
    if not study.delivered:
        return []
    said = {site: study.delivered.get(site, "not asked") for site in (*study.plan.roster, *sorted(study.delivered))}
    return [(one_line(site), delivered_in_words(word, say=say)) for site, word in said.items()]


def _effects(study: DeployedStudy, say: Language) -> list[tuple[str, tuple[LinearEffect, ...], Any]]:
    """(endpoint, strongest effects, figure), an entry for each endpoint; none without a model or a linear part."""
    if study.weights is None:
        return []
    by_endpoint = linear_effects(study.plan.model, study.schema, study.weights, say=say)
    return [
        (
            _endpoint(study, endpoint, say),
            tuple(effect for effect in effects[:STRONGEST] if effect.log_hazard_ratio != 0),
            effects_picture(effects, endpoint=_endpoint(study, endpoint, say), say=say),
        )
        for endpoint, effects in by_endpoint.items()
    ]
