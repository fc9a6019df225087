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
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from oncofed.protocol.plan import Strategy, TrainingMode
from oncofed.server.report.between_hospitals import WHO_COUNTS, between_hospitals
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
from oncofed.simulations.report.usefulness import usefulness
from oncofed.simulations.report.wrong_risks import expected_rows, warnings, window_names
from oncofed.simulations.results import RunResult, Subgroup
from oncofed.simulations.study import Part, Partition
from oncofed.simulations.subgroups import FEWEST_EVENTS, FEWEST_PATIENTS, GROUPED_BY, HOSPITAL
from oncofed.words.names import MODALITY_NAMES, plain_name
from oncofed.words.numbers import counted, decimals, percent, scientific, whole
from oncofed.words.time_shapes import when_words

PACKAGES = ("oncofed", "flwr", "torch", "opacus", "captum", "dp-accounting", "numpy", "pandas", "scipy")
"""Whose versions a reader needs to repeat the run."""

Facts = list[tuple[str, str]]


def write_report(result: RunResult, path: Path) -> None:
    """Write the page: whole, or not at all. An existing file is replaced."""
    write_page(render_report(result), path)


def render_report(result: RunResult) -> str:
    """The page as text."""
    return rendered("oncofed.simulations.report", _content(result))


def _content(result: RunResult) -> dict[str, Any]:
    privacy = privacy_statement(result)
    measured_on = "validation patients" if result.study.evaluation.part is Part.VALIDATION else "test patients"
    return {
        "title": result.study.title or plain_name(result.study.name),
        "result": result,
        "main": result.main,
        "unit": result.test.schema.grid.unit,
        "measured_on": measured_on,
        "synthetic": result.study.data.table is None,
        "privacy": privacy,
        "answer": _answer(result, privacy, measured_on),
        "better_than_alone": _better_than_alone(result),
        "settings": _settings(result),
        "identity": [
            ("Study", result.study.name),
            ("Seed", str(result.study.seed)),
            ("Study hash", result.study.hash),
            ("Plan hash", result.plan.hash),
            ("Schema hash", result.plan.schema_hash),
        ],
        "notes": _notes(result),
        "modality_names": MODALITY_NAMES,
        "when_words": when_words(result.plan.model),
        **_cohorts(result),
        **_training(result, measured_on),
        **_performance(result),
        **_expected(result),
        "compared": result.compared.get(result.main.name, ()),
        **usefulness(result),
        **_subgroups(result),
        **_left_out(result),
        **_layers(result),
        **panel_content(result),
        "options": None
        if result.options is None
        else page_of_options(result.options.question, result.options.released),
        **_explained(result),
        **_key_markers(result),
        "calibration": None
        if result.measured_calibration is None
        else page_of_calibration(result.measured_calibration, result.test.schema),
    }


def _answer(result: RunResult, privacy: PrivacyStatement, measured_on: str) -> str:
    """The first sentence: federated with its interval, against each site alone and against pooled."""
    main, beside = result.main, result.baselines
    interval = main.c_index_ci95
    spread = (
        "" if math.isnan(interval.low) else f" (95 % interval {decimals(interval.low)} to {decimals(interval.high)})"
    )
    learned = counted(len(result.hospitals), "hospital", "hospitals")
    if beside is None:
        compared = "; each hospital alone and pooled data were not computed"
    else:
        compared = (
            f", against {_or_unknown(beside.local_only_mean)} for a hospital alone on average and "
            f"{_or_unknown(beside.pooled_ridge_cox)} with all patients pooled in one place"
        )
    spent = f"at a privacy cost of epsilon {decimals(privacy.epsilon, 2)}" if privacy.private else "without any privacy"
    return (
        f"The model that {learned} trained together, {spent}, reaches a C-index of "
        f"{_or_unknown(main.c_index)}{spread} for {plain_name(main.name)} on {whole(len(result.test))} {measured_on}"
        f"{_events(result)}{compared}."
    )


def _events(result: RunResult) -> str:
    """How much a C-index rests on."""
    main = result.main
    if not main.events:
        return ""
    pairs = counted(main.comparable_pairs, "comparable pair", "comparable pairs")
    return f" ({counted(main.events, 'event', 'events')}, {pairs})"


def _or_unknown(value: float) -> str:
    """`decimals` inside a sentence."""
    return "an unknown figure (not computed)" if math.isnan(value) else decimals(value)


def _better_than_alone(result: RunResult) -> str | None:
    if result.baselines is None:
        return None
    alone = [value for value in result.baselines.local_only if not math.isnan(value)]
    if not alone:
        return None
    beaten = sum(result.main.c_index > value for value in alone)
    return (
        f"Its C-index is above that of {whole(beaten)} of {counted(len(alone), 'hospital', 'hospitals')} alone, which "
        f"range from {decimals(min(alone))} to {decimals(max(alone))}."
    )


def _cohorts(result: RunResult) -> dict[str, Any]:
    return {
        "cohort_table": table_rows(result.hospitals),
        "cohort_total": cohort_row("All hospitals", list(result.hospitals.values())),
        "cohort_test": cohort_row("Set aside for measuring", [result.test]),
        "cohorts_figure": cohorts_picture(cohort_rows(result.hospitals)),
    }


def _training(result: RunResult, measured_on: str) -> dict[str, Any]:
    rounds, everyone = result.rounds, len(result.hospitals)
    return {
        "training_figure": training_picture(rounds, measured_on=measured_on),
        "rounds_with_absent": int((rounds["answered"] < everyone).sum()) if len(rounds) else 0,
        "rounds_with_rejected": int((rounds["rejected"].fillna("") != "").sum()) if len(rounds) else 0,
        "seconds_per_round": _seconds_per_round(result),
    }


def _seconds_per_round(result: RunResult) -> float:
    return float(result.rounds["seconds"].mean()) if len(result.rounds) else float("nan")


def _performance(result: RunResult) -> dict[str, Any]:
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
        comparison = comparison_picture(main, beside, sites=list(result.hospitals), patients=patients)
    return {
        "comparison_figure": comparison,
        "sites_are_named": len(result.hospitals) <= NAMED_SITES,
        "risk_groups": groups,
        "competes": bool(others),
        "survival_figure": survival_picture(
            groups, times=main.survival_times, unit=unit, endpoint=plain_name(main.name)
        ),
        "delayed_entry": bool(test.entry[:, 0].any()),
        "calibration_figure": None
        if calibration is None
        else calibration_picture(calibration, main.risk_at_horizon, unit=unit),
        "calibration_unknown": 0
        if calibration is None
        else sum(math.isnan(group.observed) for group in calibration.groups),
        "names_tumour_entity": test.schema.tumour_entity is not None,
    }


def _expected(result: RunResult) -> dict[str, Any]:
    """Events against those that the model expects, and what of it must stand at the top."""
    unit, found = result.test.schema.grid.unit, result.main.expected
    tables = []
    if found is not None:
        for title, groups in (
            ("Everybody", (found.everybody,)),
            ("By tumour type", found.entities),
            ("By hospital", found.hospitals if len(found.hospitals) <= NAMED_SITES else ()),
        ):
            tables += [(title, expected_rows(groups))] if groups else []
    return {
        "wrong_risks": warnings(result.main, unit),
        "expected_windows": () if found is None else window_names(found.bounds, unit),
        "expected_tables": tables,
    }


def _subgroups(result: RunResult) -> dict[str, Any]:
    """Tables by what patients have in common; hospitals only where each has a name on this page."""
    found = result.subgroups.get(result.main.name)
    tables: dict[str, list[Subgroup]] = {}
    for each in () if found is None else found.groups:
        if each.by != HOSPITAL or len(result.hospitals) <= NAMED_SITES:
            tables.setdefault(each.by, []).append(each)
    return {
        "subgroup_tables": [(GROUPED_BY.get(by, plain_name(by)), groups) for by, groups in tables.items()],
        "subgroups_left_out": 0 if found is None else sum(found.small.values()),
        "fewest_patients": FEWEST_PATIENTS,
        "fewest_events": FEWEST_EVENTS,
    }


def _left_out(result: RunResult) -> dict[str, Any]:
    found = result.left_out_hospitals.get(result.main.name)
    return {
        "left_out_hospitals": () if found is None else found.hospitals,
        "left_out": ()
        if found is None
        else between_hospitals(ratio=found.ratio, slope=found.slope, c_index=found.c_index),
        "who_counts": WHO_COUNTS,
    }


def _explained(result: RunResult) -> dict[str, Any]:
    found: Explanations | None = explanations(result.relevance, result.hospitals[result.relevance.site])
    figures: list[Markup] = []
    if found is not None:
        limits = waterfall_limits(found.examples)
        figures = [waterfall_picture(patient, limits=limits) for patient in found.examples]
    return {
        "explanations": found,
        "strongest_figure": None if found is None else strongest_picture(found.strongest),
        "modalities_figure": None if found is None else modalities_picture(found.modalities),
        "patient_figures": figures,
    }


def _layers(result: RunResult) -> dict[str, Any]:
    found = result.layers.get(result.main.name)
    return {
        "layers": found,
        "layers_asked": bool(result.study.settings.value.layers),
        "layers_selected": () if found is None else selection_words(found, unit=result.test.schema.grid.unit),
        "layers_figure": None if found is None else layer_values_picture(found.values),
    }


def _against_noise(result: RunResult) -> Mapping[str, str]:
    return {} if result.weights is None else against_noise(result.plan, result.test.schema, result.weights)


def _key_markers(result: RunResult) -> dict[str, Any]:
    found = result.released_explanations
    told = None if found is None else page_of_markers(found, result.plan, result.test.schema, _against_noise(result))
    return {
        "key_markers": told,
        "key_markers_figure": None if told is None else key_markers_picture(told.rows, alternative=told.alternative),
    }


def _notes(result: RunResult) -> list[tuple[str, str]]:
    """(about what, note), each once; of the table first."""
    found = list(result.notes)
    found += [(plain_name(name), note) for name, endpoint in result.endpoints.items() for note in endpoint.notes]
    return list(dict.fromkeys(found))


def _settings(result: RunResult) -> list[tuple[str, Facts]]:
    """Everything needed to repeat the run, by topic. Paths lose their folders: those name people."""
    study, plan = result.study, result.plan
    training, model, privacy = plan.training, plan.model, plan.privacy
    data = study.data
    table = (
        f"synthetic, {whole(data.synthetic_patients)} patients, {whole(data.synthetic_hospitals)} hospitals, "
        f"seed {data.synthetic_seed}"
        if data.table is None
        else data.table.name
    )
    partition = study.sites.partition.value
    if study.sites.partition is Partition.HASH:
        partition += f" into {whole(study.sites.count or 0)}"
    hidden = " and ".join(map(str, model.hidden_units)) or "none"
    branch = "beside a linear part" if model.linear_branch else "without a linear part"
    evaluation = study.evaluation
    split = {
        "random": f"random, {percent(evaluation.test_fraction)} set aside",
        "folds": f"fold {evaluation.fold} of {evaluation.folds}",
        "assigned": "as the assignment table says",
        "hospitals": f"fold {evaluation.fold} of {evaluation.folds} of the hospitals, which did not train",
    }[evaluation.split.value]
    train: Facts = [
        ("Mode", training.mode.value),
        ("Strategy", training.strategy.value),
        ("Rounds", str(training.rounds)),
        ("Quorum", f"{whole(plan.quorum)} of {whole(len(plan.roster))}"),
        ("Weight decay", f"{training.weight_decay:g}"),
    ]
    if training.strategy in (Strategy.FEDADAM, Strategy.FEDYOGI, Strategy.FEDADAGRAD):
        train += [
            ("Server learning rate", f"{training.server_learning_rate:g}"),
            ("Beta 1, beta 2, tau", f"{training.beta_1:g}, {training.beta_2:g}, {training.tau:g}"),
        ]
    if training.mode is TrainingMode.EPOCHS:
        train += [
            ("Local learning rate", f"{training.local_learning_rate:g}"),
            ("Local steps", str(training.local_steps)),
            ("Sampling rate", f"{training.sampling_rate:g}"),
            ("Expected batch size", f"{training.expected_batch_size:g}"),
        ]
    protection: Facts = [("Mode", privacy.mode.value)]
    if privacy.mode.private:
        protection += [
            ("Epsilon, delta planned", f"{decimals(study.privacy.epsilon, 2)}, {scientific(privacy.delta)}"),
            ("Reserve rounds", str(study.privacy.reserve_rounds)),
        ]
    return [
        (
            "Patients",
            [
                ("Table", table),
                ("Markers", whole(len(result.test.schema.markers))),
                ("Hospitals cut by", partition),
                ("Split", split),
                ("Measured on", evaluation.part.value),
                ("Horizon", f"{evaluation.horizon:g} {model.grid.unit}"),
                ("Bootstrap resamples", whole(evaluation.bootstrap_resamples)),
            ],
        ),
        (
            "Model",
            [
                ("ReLU units", f"{hidden}, {branch}"),
                ("Inputs", whole(model.columns)),
                ("Time intervals", ", ".join(f"{bound:g}" for bound in model.grid.bounds)),
            ],
        ),
        ("Training", train),
        ("Privacy", protection),
        (
            "Software",
            [(package, importlib.metadata.version(package)) for package in PACKAGES]
            + [("Python", platform.python_version())],
        ),
        (
            "Time",
            [
                ("Seconds in all", decimals(result.seconds_total, 1)),
                ("Seconds a round", decimals(_seconds_per_round(result), 2)),
            ],
        ),
    ]
