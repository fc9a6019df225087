"""How does a finished study become one page that anybody can read offline?

`write_report` puts text, tables and figures of a `RunResult` into the template `templates/report.html.j2`.

Promises: one file, no script, nothing loaded from anywhere (a content security policy in the page forbids both); every
name is escaped; no patient identifier; the same result gives the same bytes on the same installation. What was not
computed is said to be so, with the reason where one is known.
"""

from __future__ import annotations

import importlib.metadata
import math
import platform
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from oncofed.protocol.plan import Strategy, TrainingMode
from oncofed.server.report.between_hospitals import between_hospitals, who_counts
from oncofed.server.report.html_page import rendered, write_page
from oncofed.server.report.linear_effects import against_noise
from oncofed.server.report.plots import key_markers_picture
from oncofed.server.report.released_calibration import page_of_calibration
from oncofed.server.report.released_explanations import page_of_markers
from oncofed.server.report.released_options import page_of_options
from oncofed.simulations.report.cohorts import cohort_row, cohort_rows, table_rows
from oncofed.simulations.report.explanations import Explanations, explanations
from oncofed.simulations.report.layer_values import layer_values_picture, selection_words
from oncofed.simulations.report.marker_plots import (
    modalities_picture,
    strongest_picture,
    waterfall_limits,
    waterfall_picture,
)
from oncofed.simulations.report.panels import panel_content
from oncofed.simulations.report.plots import (
    NAMED_SITES,
    calibration_picture,
    cohorts_picture,
    comparison_picture,
    survival_picture,
    training_picture,
)
from oncofed.simulations.report.privacy import PrivacyStatement, privacy_statement
from oncofed.simulations.report.risk_groups import risk_groups
from oncofed.simulations.report.subgroup_names import group_heading, group_name
from oncofed.simulations.report.usefulness import usefulness
from oncofed.simulations.report.wrong_risks import expected_rows, warnings, window_names
from oncofed.simulations.results import RunResult, Subgroup
from oncofed.simulations.study import Part, Partition
from oncofed.simulations.subgroups import FEWEST_EVENTS, FEWEST_PATIENTS, HOSPITAL
from oncofed.words.language import ENGLISH, Language
from oncofed.words.markers import endpoint_called
from oncofed.words.names import MODALITY_NAMES, plain_name
from oncofed.words.numbers import decimals, percent, plainly, scientific, whole
from oncofed.words.time_shapes import when_words

PACKAGES = ("oncofed", "flwr", "torch", "opacus", "captum", "dp-accounting", "numpy", "pandas", "scipy")
"""Whose versions a reader needs to repeat the run."""

Facts = list[tuple[str, str]]


def write_report(result: RunResult, path: Path, *, say: Language = ENGLISH) -> None:
    """Write the page: whole, or not at all. An existing file is replaced."""
    write_page(render_report(result, say=say), path)


def render_report(result: RunResult, *, say: Language = ENGLISH) -> str:
    """The page as text."""
    return rendered("oncofed.simulations.report", _content(result, say), say=say)


def _content(result: RunResult, say: Language) -> dict[str, Any]:
    privacy = privacy_statement(result, say=say)
    validated = result.study.evaluation.part is Part.VALIDATION
    measured_on = say("validation patients") if validated else say("test patients")
    unit = result.test.schema.grid.unit
    return {
        "title": result.study.title or plain_name(result.study.name),
        "result": result,
        "main": result.main,
        "main_name": _main_name(result, say),
        "endpoint_names": {name: endpoint_called(result.test.schema, name, say=say) for name in result.endpoints},
        "unit": say(unit),
        "unit_dative": say(unit, context="dative"),
        "measured_on": measured_on,
        "synthetic": result.study.data.table is None,
        "privacy": privacy,
        "answer": _answer(result, privacy, measured_on, say),
        "better_than_alone": _better_than_alone(result, say),
        "settings": _settings(result, say),
        "identity": [
            (say("Study"), result.study.name),
            (say("Seed"), str(result.study.seed)),
            (say("Study hash"), result.study.hash),
            (say("Plan hash"), result.plan.hash),
            (say("Schema hash"), result.plan.schema_hash),
        ],
        "notes": _notes(result),
        "modality_names": {kind: say(name) for kind, name in MODALITY_NAMES.items()},
        "when_words": when_words(result.plan.model, say=say),
        **_cohorts(result, say),
        **_training(result, measured_on, say),
        **_performance(result, say),
        **_expected(result, say),
        "compared": result.compared.get(result.main.name, ()),
        **usefulness(result, say=say),
        **_subgroups(result, say),
        **_left_out(result, say),
        **_layers(result, say),
        **panel_content(result, say=say),
        "options": None
        if result.options is None
        else page_of_options(result.options.question, result.options.released, say=say),
        **_explained(result, say),
        **_key_markers(result, say),
        "calibration": None
        if result.measured_calibration is None
        else page_of_calibration(result.measured_calibration, result.test.schema, say=say),
    }


def _main_name(result: RunResult, say: Language) -> str:
    return endpoint_called(result.test.schema, result.main.name, say=say)


def _answer(result: RunResult, privacy: PrivacyStatement, measured_on: str, say: Language) -> str:
    """The first sentence: federated with its interval, against each site alone and against pooled."""
    main, beside = result.main, result.baselines
    spread = (
        ""
        if math.isnan(main.c_index_ci95.low)
        else say(
            " (95 %% interval %(low)s to %(high)s)",
            low=decimals(main.c_index_ci95.low, say=say),
            high=decimals(main.c_index_ci95.high, say=say),
        )
    )
    if beside is None:
        compared = say("; each hospital alone and pooled data were not computed")
    else:
        compared = say(
            ", against %(alone)s for a hospital alone on average and %(pooled)s with all patients pooled in one place",
            alone=_or_unknown(beside.local_only_mean, say),
            pooled=_or_unknown(beside.pooled_ridge_cox, say),
        )
    spent = (
        say("at a privacy cost of epsilon %(epsilon)s", epsilon=decimals(privacy.epsilon, 2, say=say))
        if privacy.private
        else say("without any privacy")
    )
    return say.several(
        "The model that %(count)s hospital trained together, %(spent)s, reaches a C-index of %(c_index)s%(spread)s "
        "for %(name)s on %(patients)s %(measured_on)s%(events)s%(compared)s.",
        "The model that %(count)s hospitals trained together, %(spent)s, reaches a C-index of %(c_index)s%(spread)s "
        "for %(name)s on %(patients)s %(measured_on)s%(events)s%(compared)s.",
        len(result.hospitals),
        spent=spent,
        c_index=_or_unknown(main.c_index, say),
        spread=spread,
        name=_main_name(result, say),
        patients=whole(len(result.test), say=say),
        measured_on=measured_on,
        events=_events(result, say),
        compared=compared,
    )


def _events(result: RunResult, say: Language) -> str:
    """How much a C-index rests on."""
    main = result.main
    if not main.events:
        return ""
    events = say.several("%(count)s event", "%(count)s events", main.events)
    pairs = say.several("%(count)s comparable pair", "%(count)s comparable pairs", main.comparable_pairs)
    return f" ({events}, {pairs})"


def _or_unknown(value: float, say: Language) -> str:
    """`decimals` inside a sentence."""
    return say("an unknown figure (not computed)") if math.isnan(value) else decimals(value, say=say)


def _better_than_alone(result: RunResult, say: Language) -> str | None:
    if result.baselines is None:
        return None
    alone = [value for value in result.baselines.local_only if not math.isnan(value)]
    if not alone:
        return None
    beaten = sum(result.main.c_index > value for value in alone)
    return say.several(
        "Its C-index is above that of %(beaten)s of %(count)s hospital alone, which range from %(low)s to %(high)s.",
        "Its C-index is above that of %(beaten)s of %(count)s hospitals alone, which range from %(low)s to %(high)s.",
        len(alone),
        beaten=whole(beaten, say=say),
        low=decimals(min(alone), say=say),
        high=decimals(max(alone), say=say),
    )


def _cohorts(result: RunResult, say: Language) -> dict[str, Any]:
    return {
        "cohort_table": table_rows(result.hospitals, say=say),
        "cohort_total": cohort_row(say("All hospitals"), list(result.hospitals.values())),
        "cohort_test": cohort_row(say("Set aside for measuring"), [result.test]),
        "cohorts_figure": cohorts_picture(cohort_rows(result.hospitals), say=say),
    }


def _training(result: RunResult, measured_on: str, say: Language) -> dict[str, Any]:
    rounds, everyone = result.rounds, len(result.hospitals)
    return {
        "training_figure": training_picture(rounds, measured_on=measured_on, say=say),
        "rounds_with_absent": int((rounds["answered"] < everyone).sum()) if len(rounds) else 0,
        "rounds_with_rejected": int((rounds["rejected"].fillna("") != "").sum()) if len(rounds) else 0,
        "seconds_per_round": _seconds_per_round(result),
    }


def _seconds_per_round(result: RunResult) -> float:
    return float(result.rounds["seconds"].mean()) if len(result.rounds) else float("nan")


def _performance(result: RunResult, say: Language) -> dict[str, Any]:
    main, test, beside = result.main, result.test, result.baselines
    unit = test.schema.grid.unit
    others = list(test.schema.competing(0))
    groups = risk_groups(
        main,
        entry=test.entry[:, 0],
        exit_=test.exit[:, 0],
        observed=test.observed[:, 0],
        competing=np.asarray(test.observed[:, others].any(axis=1)) if others else None,
    )
    calibration = main.calibration
    comparison = None
    if beside is not None:
        patients = [len(cohort) for cohort in result.hospitals.values()]
        comparison = comparison_picture(main, beside, sites=list(result.hospitals), patients=patients, say=say)
    return {
        "comparison_figure": comparison,
        "sites_are_named": len(result.hospitals) <= NAMED_SITES,
        "risk_groups": groups,
        "competes": bool(others),
        "survival_figure": survival_picture(
            groups, times=main.survival_times, unit=unit, endpoint=_main_name(result, say), say=say
        ),
        "delayed_entry": bool(test.entry[:, 0].any()),
        "calibration_figure": None
        if calibration is None
        else calibration_picture(calibration, main.risk_at_horizon, unit=unit, say=say),
        "calibration_unknown": 0
        if calibration is None
        else sum(math.isnan(group.observed) for group in calibration.groups),
        "names_tumour_entity": test.schema.tumour_entity is not None,
    }


def _expected(result: RunResult, say: Language) -> dict[str, Any]:
    """Events against those that the model expects, and what of it must stand at the top."""
    unit, found = result.test.schema.grid.unit, result.main.expected
    tables = []
    if found is not None:
        for title, groups in (
            (say("Everybody"), (found.everybody,)),
            (say("By tumour type"), found.entities),
            (say("By hospital"), found.hospitals if len(found.hospitals) <= NAMED_SITES else ()),
        ):
            tables += [(title, expected_rows(groups, say=say))] if groups else []
    return {
        "wrong_risks": warnings(result.main, unit, say=say),
        "expected_windows": () if found is None else window_names(found.bounds, unit, say=say),
        "expected_tables": tables,
    }


def _subgroups(result: RunResult, say: Language) -> dict[str, Any]:
    """Tables by what patients have in common; hospitals only where each has a name on this page."""
    found = result.subgroups.get(result.main.name)
    schema = result.test.schema
    tables: dict[str, list[Subgroup]] = {}
    for each in () if found is None else found.groups:
        if each.by != HOSPITAL or len(result.hospitals) <= NAMED_SITES:
            tables.setdefault(each.by, []).append(each)
    return {
        "subgroup_tables": [
            (group_heading(by, schema, say=say), [(group_name(each, schema, say=say), each) for each in groups])
            for by, groups in tables.items()
        ],
        "subgroups_left_out": 0 if found is None else sum(found.small.values()),
        "fewest_patients": FEWEST_PATIENTS,
        "fewest_events": FEWEST_EVENTS,
    }


def _left_out(result: RunResult, say: Language) -> dict[str, Any]:
    found = result.left_out_hospitals.get(result.main.name)
    return {
        "left_out_hospitals": () if found is None else found.hospitals,
        "left_out": ()
        if found is None
        else between_hospitals(ratio=found.ratio, slope=found.slope, c_index=found.c_index, say=say),
        "who_counts": who_counts(say),
    }


def _explained(result: RunResult, say: Language) -> dict[str, Any]:
    found: Explanations | None = explanations(result.relevance, result.hospitals[result.relevance.site], say=say)
    figures: list[Markup] = []
    if found is not None:
        limits = waterfall_limits(found.examples)
        figures = [waterfall_picture(patient, limits=limits, say=say) for patient in found.examples]
    return {
        "explanations": found,
        "strongest_figure": None if found is None else strongest_picture(found.strongest, say=say),
        "modalities_figure": None if found is None else modalities_picture(found.modalities, say=say),
        "patient_figures": figures,
    }


def _layers(result: RunResult, say: Language) -> dict[str, Any]:
    found = result.layers.get(result.main.name)
    return {
        "layers": found,
        "layers_asked": bool(result.study.settings.value.layers),
        "layers_selected": () if found is None else selection_words(found, unit=result.test.schema.grid.unit, say=say),
        "layers_figure": None if found is None else layer_values_picture(found.values, say=say),
    }


def _against_noise(result: RunResult) -> Mapping[str, str]:
    return {} if result.weights is None else against_noise(result.plan, result.test.schema, result.weights)


def _key_markers(result: RunResult, say: Language) -> dict[str, Any]:
    found = result.released_explanations
    told = (
        None
        if found is None
        else page_of_markers(found, result.plan, result.test.schema, _against_noise(result), say=say)
    )
    return {
        "key_markers": told,
        "key_markers_figure": None
        if told is None
        else key_markers_picture(told.rows, alternative=told.alternative, say=say),
    }


def _notes(result: RunResult) -> list[tuple[str, str]]:
    """(about what, note), each once; of the table first."""
    found = list(result.notes)
    found += [(plain_name(name), note) for name, endpoint in result.endpoints.items() for note in endpoint.notes]
    return list(dict.fromkeys(found))


def _settings(result: RunResult, say: Language) -> list[tuple[str, Facts]]:
    """Everything needed to repeat the run, by topic. Paths lose their folders: those name people."""
    study, plan, model = result.study, result.plan, result.plan.model
    evaluation = study.evaluation
    hidden = say(" and ").join(map(str, model.hidden_units)) or say("none")
    branch = say("beside a linear part") if model.linear_branch else say("without a linear part")
    protection: Facts = [(say("Mode"), plan.privacy.mode.value)]
    if plan.privacy.mode.private:
        epsilon, delta = decimals(study.privacy.epsilon, 2, say=say), scientific(plan.privacy.delta, say=say)
        protection += [
            (say("Epsilon, delta planned"), f"{epsilon}; {delta}" if say.decimal == "," else f"{epsilon}, {delta}"),
            (say("Reserve rounds"), str(study.privacy.reserve_rounds)),
        ]
    return [
        (
            say("Patients"),
            [
                (say("Table"), _table(result, say)),
                (say("Markers"), whole(len(result.test.schema.markers), say=say)),
                (say("Hospitals cut by"), _partition(result, say)),
                (say("Split"), _split(result, say)),
                (say("Measured on"), evaluation.part.value),
                (say("Horizon"), f"{plainly(evaluation.horizon, say=say)} {say(model.grid.unit)}"),
                (say("Bootstrap resamples"), whole(evaluation.bootstrap_resamples, say=say)),
            ],
        ),
        (
            say("Model"),
            [
                (say("ReLU units"), f"{hidden}, {branch}"),
                (say("Inputs"), whole(model.columns, say=say)),
                (say("Time intervals"), _listed(model.grid.bounds, say)),
            ],
        ),
        (say("Training"), _trained(result, say)),
        (say("Privacy"), protection),
        (
            say("Software"),
            [(package, importlib.metadata.version(package)) for package in PACKAGES]
            + [("Python", platform.python_version())],
        ),
        (
            say("Time"),
            [
                (say("Seconds in all"), decimals(result.seconds_total, 1, say=say)),
                (say("Seconds a round"), decimals(_seconds_per_round(result), 2, say=say)),
            ],
        ),
    ]


def _listed(numbers: Iterable[float], say: Language) -> str:
    """Apart from each other by a sign that is no decimal one."""
    return ("; " if say.decimal == "," else ", ").join(plainly(each, say=say) for each in numbers)


def _table(result: RunResult, say: Language) -> str:
    data = result.study.data
    if data.table is not None:
        return data.table.name
    return say(
        "synthetic, %(patients)s patients, %(hospitals)s hospitals, seed %(seed)s",
        patients=whole(data.synthetic_patients, say=say),
        hospitals=whole(data.synthetic_hospitals, say=say),
        seed=data.synthetic_seed,
    )


def _partition(result: RunResult, say: Language) -> str:
    sites = result.study.sites
    if sites.partition is not Partition.HASH:
        return sites.partition.value
    return say("%(how)s into %(count)s", how=sites.partition.value, count=whole(sites.count or 0, say=say))


def _split(result: RunResult, say: Language) -> str:
    evaluation = result.study.evaluation
    fold = {"fold": str(evaluation.fold), "folds": str(evaluation.folds)}
    return {
        "random": say("random, %(share)s set aside", share=percent(evaluation.test_fraction, say=say)),
        "folds": say("fold %(fold)s of %(folds)s", **fold),
        "assigned": say("as the assignment table says"),
        "hospitals": say("fold %(fold)s of %(folds)s of the hospitals, which did not train", **fold),
    }[evaluation.split.value]


def _trained(result: RunResult, say: Language) -> Facts:
    training, plan = result.plan.training, result.plan
    quorum, roster = whole(plan.quorum, say=say), whole(len(plan.roster), say=say)
    told: Facts = [
        (say("Mode"), training.mode.value),
        (say("Strategy"), training.strategy.value),
        (say("Rounds"), str(training.rounds)),
        (say("Quorum"), say("%(observed)s of %(expected)s", observed=quorum, expected=roster)),
        (say("Weight decay"), plainly(training.weight_decay, say=say)),
    ]
    if training.strategy in (Strategy.FEDADAM, Strategy.FEDYOGI, Strategy.FEDADAGRAD):
        told += [
            (say("Server learning rate"), plainly(training.server_learning_rate, say=say)),
            (say("Beta 1, beta 2, tau"), _listed((training.beta_1, training.beta_2, training.tau), say)),
        ]
    if training.mode is TrainingMode.EPOCHS:
        told += [
            (say("Local learning rate"), plainly(training.local_learning_rate, say=say)),
            (say("Local steps"), str(training.local_steps)),
            (say("Sampling rate"), plainly(training.sampling_rate, say=say)),
            (say("Expected batch size"), plainly(training.expected_batch_size, say=say)),
        ]
    return told
