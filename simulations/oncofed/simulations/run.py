"""In which order does a simulated study run, and what does it leave behind?

table -> hospitals and test patients -> plan -> rounds (checkpointed) -> measures -> explanations -> files -> report.

RUN/                      what it is
  study.json              the settings in full, and their hash: a resume with others is refused
  checkpoint              the last finished round
  model.safetensors       the final weights, with plan, schema and settings as metadata
  metrics.json, privacy.json, rounds.parquet, report.html
  sites/NAME/explanations.parquet   that hospital's patients, marker by marker; in a deployment it stays there
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from oncofed.cohort.cohort import Cohort
from oncofed.cohort.encoding import columns, encode
from oncofed.cohort.schema import StudySchema
from oncofed.cohort.schema_file import read_schema
from oncofed.cohort.table import Tell, keep_to_oneself, read_table
from oncofed.cohort.validation import named_columns
from oncofed.durable import UNFINISHED
from oncofed.errors import Fault, InvalidInput
from oncofed.explanation.relevance import marker_relevance
from oncofed.protocol.plan import PrivacyMode, StudyPlan
from oncofed.server.evaluation.calibration import MeasuredCalibration, Ratio, measured_calibration
from oncofed.server.evaluation.concordance import Estimate
from oncofed.server.evaluation.measured import Measured, measured
from oncofed.server.report.released_explanations import shown_parts
from oncofed.server.rounds.checkpoint import has_checkpoint
from oncofed.server.rounds.course import Unsummarised
from oncofed.server.rounds.explanation_votes import ReleasedExplanations, released_explanations
from oncofed.server.rounds.rounds import RoundReport
from oncofed.server.rounds.state import FederationState
from oncofed.server.rounds.strategies import strategy_faults
from oncofed.simulations.evaluation import baselines, endpoint_results, test_c_index
from oncofed.simulations.federation import Engine, Federated, federate, plan_of
from oncofed.simulations.model_file import metadata_of, write_model
from oncofed.simulations.partition import Consortium, consortium
from oncofed.simulations.privacy_spent import spent_at_one, spent_at_two
from oncofed.simulations.progress import Progress, no_progress
from oncofed.simulations.report.page import write_report
from oncofed.simulations.results import ExpectedByWindow, Relevance, RunResult
from oncofed.simulations.study import DataSpec, Study
from oncofed.simulations.synthetic.consortium import generate
from oncofed.study.explanation_settings import entity_names
from oncofed.survival.expected_events import ExpectedOfGroup
from oncofed.survival.network import PrognosisNetwork, network_with


def run_study(
    study: Study,
    run_folder: Path,
    *,
    engine: Engine = Engine.GRID,
    resume: bool = False,
    progress: Progress = no_progress,
    report: bool = True,
    tell: Tell = keep_to_oneself,
) -> RunResult:
    """Run a study to its report. Raises InvalidInput before anything is written, FederationFailure while it runs.

    tell    told at once what a person should know of the table: who is left out, what lies outside of the grid. The
            same words stand in `RunResult.notes`.
    report  False writes neither report.html nor explanations, for sweeps of which only the figures are wanted.
    """
    began = time.perf_counter()
    _refuse_unfit(run_folder, study, engine=engine, resume=resume)
    progress("reading", 0, 1)
    notes: list[tuple[str, str]] = []

    def note(words: str, *, about: str = "table") -> None:
        notes.append((about, words))
        tell(words)

    table, schema, where = table_of(study, tell=note)
    patients = consortium(
        table, schema, where=where, sites=study.sites, evaluation=study.evaluation, seed=study.seed, tell=note
    )
    explained = study.explain_site or next(iter(patients.hospitals))
    if explained not in patients.hospitals:
        known = ", ".join(patients.hospitals)
        raise InvalidInput([Fault("[study], explain_site", "is not a hospital of this study", f"Possible: {known}.")])
    plan = plan_of(study, schema, roster=tuple(patients.hospitals))
    if faults := strategy_faults(plan):
        raise InvalidInput(faults)
    progress("reading", 1, 1)

    run_folder.mkdir(parents=True, exist_ok=True)
    with _alone_in(run_folder):
        _refuse_unfit(run_folder, study, engine=engine, resume=resume)  # another run may have ended here meanwhile
        return _run(
            study,
            plan,
            patients,
            run_folder,
            explained=explained,
            notes=notes,
            unsummarised=lambda failure: note(f"Not released: {failure}", about="released figures"),
            engine=engine,
            resume=resume and has_checkpoint(run_folder),  # one that ended in its first round begins again
            progress=progress,
            report=report,
            began=began,
        )


def _run(
    study: Study,
    plan: StudyPlan,
    patients: Consortium,
    run_folder: Path,
    *,
    explained: str,
    notes: Sequence[tuple[str, str]],
    unsummarised: Unsummarised,
    engine: Engine,
    resume: bool,
    progress: Progress,
    report: bool,
    began: float,
) -> RunResult:
    """All that is written. `began` is `time.perf_counter` at the start of the whole."""
    write_json(run_folder / "study.json", {"hash": study.hash, "engine": engine.value, "settings": asdict(study)})
    federated = _train(
        plan, patients, run_folder, engine=engine, resume=resume, progress=progress, unsummarised=unsummarised
    )
    network = network_with(plan.model, federated.state.weights)
    train = pooled(patients.hospitals)
    progress("measuring", 0, 3)
    endpoints = endpoint_results(network, patients=patients, evaluation=study.evaluation, seed=study.seed)
    progress("measuring", 1, 3)
    beside = baselines(patients.hospitals, train=train, test=patients.test) if study.evaluation.baselines else None
    progress("measuring", 2, 3)
    relevances = {
        site: _relevance(site, network, cohort)
        for site, cohort in patients.hospitals.items()
        if report or site == explained
    }
    result = RunResult(
        study=study,
        plan=plan,
        hospitals=patients.hospitals,
        test=patients.test,
        endpoints=endpoints,
        baselines=beside,
        relevance=relevances[explained],
        rounds=federated.rounds,
        releases=federated.releases,
        left_out=patients.left_out,
        notes=tuple(notes),
        seconds_total=time.perf_counter() - began,
        measured=measured(plan, federated.state.summaries, federated.state.weights),
        measured_calibration=measured_calibration(plan, federated.state.summaries),
        released_explanations=released_explanations(plan, patients.test.schema, federated.state.summaries),
    )
    if report:
        _write_explanations(run_folder, patients.hospitals, relevances)
    _write(run_folder, result, network)
    if report:
        write_report(result, run_folder / "report.html")
    progress("measuring", 3, 3)
    return result


@contextmanager
def _alone_in(run_folder: Path) -> Iterator[None]:
    """Until the run ends, whatever ends it. Raises InvalidInput while another run is at work in the folder."""
    descriptor = os.open(run_folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            remedy = "Wait until it has ended, or choose another folder."
            raise InvalidInput([Fault(str(run_folder), "another run is at work in it", remedy)]) from None
        yield
    finally:
        os.close(descriptor)


def _refuse_unfit(run_folder: Path, study: Study, *, engine: Engine, resume: bool) -> None:
    settings = run_folder / "study.json"
    if not resume:
        if run_folder.exists() and not _holds_no_round(run_folder):
            remedy = "Choose another folder, or add --resume to go on with the study in it."
            raise InvalidInput([Fault(str(run_folder), "is not empty", remedy)])
        return
    if not settings.exists():
        remedy = "Start the study without --resume, in an empty folder."
        raise InvalidInput([Fault(str(run_folder), "holds no finished round to resume from", remedy)])
    written = json.loads(settings.read_text())
    if (written["hash"], written["engine"]) != (study.hash, engine.value):
        remedy = "Resume with the same study file, --set, --seed and --engine, or start in another folder."
        raise InvalidInput([Fault(str(settings), "was written by a study with other settings", remedy)])


def _holds_no_round(run_folder: Path) -> bool:
    """Empty, or what a run leaves that ended before its first round was finished."""
    names = [entry.name for entry in run_folder.iterdir()]
    return all(name in ("study.json", "study.tmp") or name.endswith(UNFINISHED) for name in names)


def table_of(study: Study, *, tell: Tell = keep_to_oneself) -> tuple[pd.DataFrame, StudySchema, str]:
    """The table before it is cut, its schema, and its name for faults."""
    return tables_of(study.data, tell=tell)


def tables_of(data: DataSpec, *, tell: Tell = keep_to_oneself) -> tuple[pd.DataFrame, StudySchema, str]:
    """The same, of a study's [data] alone."""
    if data.table is None:
        made = generate(
            patients=data.synthetic_patients,
            hospitals=data.synthetic_hospitals,
            seed=data.synthetic_seed,
        )
        return made.table, _asked(data, made.schema), "synthetic consortium"
    assert data.schema is not None
    schema = _asked(data, read_schema(data.schema))
    return read_table(data.table, columns=named_columns(schema), tell=tell), schema, data.table.name


def _asked(data: DataSpec, schema: StudySchema) -> StudySchema:
    """The schema with the markers of the modalities that the study asks for, at the weights that it asks for."""
    encodings = dict(schema.modalities)
    for modality, weight in data.modality_weights:
        encodings[modality] = replace(schema.encoding_of(modality), weight=weight)
    schema = replace(schema, modalities=encodings)
    if data.modalities is None:
        return schema
    markers = tuple(marker for marker in schema.markers if marker.modality in data.modalities)
    if not markers:
        remedy = f"The schema has: {', '.join(sorted({marker.modality for marker in schema.markers}))}."
        raise InvalidInput([Fault("[data], modalities", "leave no marker", remedy)])
    entity = schema.tumour_entity if schema.tumour_entity in {marker.name for marker in markers} else None
    return replace(schema, markers=markers, tumour_entity=entity)


def _train(
    plan: StudyPlan,
    patients: Consortium,
    run_folder: Path,
    *,
    engine: Engine,
    resume: bool,
    progress: Progress,
    unsummarised: Unsummarised,
) -> Federated:
    x_test = torch.as_tensor(encode(patients.test))
    network = PrognosisNetwork(plan.model, initialisation_seed=0)

    def figures(state: FederationState, report: RoundReport) -> dict[str, Any]:
        progress("rounds", state.round, plan.training.rounds)
        if state.round == plan.training.rounds and plan.summaries:
            progress("releasing", 0, len(plan.summaries))
        current = network_with(network.spec, state.weights)
        reached = test_c_index(current, x_test, patients.test)
        # Undefined where no two test patients can be compared; a checkpoint is JSON, which has no NaN.
        return {"test_c_index": None if math.isnan(reached) else reached}

    progress("rounds", 0, plan.training.rounds)
    return federate(
        plan,
        patients.hospitals,
        run_folder=run_folder,
        engine=engine,
        resume=resume,
        figures=figures,
        held_out=patients.held_out if plan.measures else None,
        summarised=lambda state: progress("releasing", len(state.summaries), len(plan.summaries)),
        unsummarised=unsummarised,
    )


def pooled(hospitals: Mapping[str, Cohort]) -> Cohort:
    """All hospitals' patients as one cohort: what no federation may do, for comparison."""
    cohorts = list(hospitals.values())
    return Cohort(
        schema=cohorts[0].schema,
        patient_ids=tuple(patient for cohort in cohorts for patient in cohort.patient_ids),
        values=np.concatenate([cohort.values for cohort in cohorts]),
        entry=np.concatenate([cohort.entry for cohort in cohorts]),
        exit=np.concatenate([cohort.exit for cohort in cohorts]),
        observed=np.concatenate([cohort.observed for cohort in cohorts]),
    )


def _relevance(site: str, network: PrognosisNetwork, cohort: Cohort) -> Relevance:
    x = torch.as_tensor(encode(cohort))
    names, by_marker = marker_relevance(network, x, columns(cohort.schema), endpoint=0)
    return Relevance(site, pd.DataFrame(by_marker, columns=list(names)), by_marker.sum(axis=1))


def _write_explanations(run_folder: Path, hospitals: Mapping[str, Cohort], relevances: Mapping[str, Relevance]) -> None:
    for site, relevance in relevances.items():
        folder = run_folder / "sites" / site
        folder.mkdir(parents=True, exist_ok=True)
        explained = relevance.table.assign(log_hazard_ratio=relevance.totals)
        explained.insert(0, "patient_id", list(hospitals[site].patient_ids))
        explained.to_parquet(folder / "explanations.parquet", index=False)


def _write(run_folder: Path, result: RunResult, network: PrognosisNetwork) -> None:
    result.rounds.to_parquet(run_folder / "rounds.parquet", index=False)
    metadata = metadata_of(result.plan, {"study_hash": result.study.hash})
    write_model(run_folder / "model.safetensors", network, metadata)
    write_json(run_folder / "privacy.json", privacy_summary(result))
    write_json(run_folder / "metrics.json", metrics(result))


def privacy_summary(result: RunResult) -> dict[str, Any]:
    """What was promised and spent, for the whole run. Epsilon is the largest over sites; null where nothing is."""
    privacy = result.plan.privacy
    if privacy.mode is PrivacyMode.NONE:
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
