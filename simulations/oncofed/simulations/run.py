"""In which order does a simulated study run, and what does it leave behind?

table -> hospitals and test patients -> plan -> rounds (checkpointed) -> measures -> explanations -> files -> report.

RUN/                      what it is
  study.json              the settings in full, and their hash: a resume with others is refused
  checkpoint              the last finished round
  model.safetensors       the final weights, with plan, schema and settings as metadata
  metrics.json, privacy.json, rounds.parquet, report.html
  package/                what is handed on: model, schema, plan, model card, TRIPOD+AI checklist
  panel/                  where the study asks for one: the panel's checkpoint, its model, and the schema of its markers
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
import pyarrow
import pyarrow.parquet
import torch

from oncofed.cohort.cohort import Cohort
from oncofed.cohort.encoding import Column, columns, encode
from oncofed.cohort.table import Tell, keep_to_oneself
from oncofed.durable import UNFINISHED
from oncofed.errors import Fault, InvalidInput
from oncofed.explanation.relevance import marker_relevance
from oncofed.protocol.plan import StudyPlan
from oncofed.server.evaluation.calibration import measured_calibration
from oncofed.server.evaluation.gains import released_gains
from oncofed.server.evaluation.measured import measured
from oncofed.server.report.released_figures import plain
from oncofed.server.rounds.checkpoint import has_checkpoint
from oncofed.server.rounds.course import Unsummarised
from oncofed.server.rounds.explanation_votes import released_explanations
from oncofed.server.rounds.rounds import RoundReport
from oncofed.server.rounds.state import FederationState
from oncofed.server.rounds.strategies import strategy_faults
from oncofed.simulations.assay_value import compared_assays
from oncofed.simulations.comparison import compared
from oncofed.simulations.evaluation import baselines, endpoint_results, test_c_index
from oncofed.simulations.federation import (
    Earlier,
    Engine,
    Federated,
    expecting,
    federate,
    plan_of,
    with_simulated_members,
)
from oncofed.simulations.figures_file import metrics, privacy_summary, write_json
from oncofed.simulations.layer_value import compared_layers
from oncofed.simulations.left_out import left_out_hospitals
from oncofed.simulations.model_file import metadata_of, write_model
from oncofed.simulations.model_package import write_package_of
from oncofed.simulations.options.compared import compared_options
from oncofed.simulations.panel_training import panel_faults, trained_panel, write_panel
from oncofed.simulations.partition import Consortium, consortium, pooled
from oncofed.simulations.progress import Progress, no_progress
from oncofed.simulations.report.page import write_report
from oncofed.simulations.results import Relevance, RunResult
from oncofed.simulations.study import Study
from oncofed.simulations.study_table import table_of
from oncofed.simulations.subgroups import subgroups, unknown_subgroups
from oncofed.study.assay_settings import assays_of
from oncofed.study.chosen_settings import chosen
from oncofed.study.options_plan import options_plan_from
from oncofed.study.panel_settings import PANEL, decided
from oncofed.study.value_settings import layers_of
from oncofed.survival.network import PrognosisNetwork, network_with
from oncofed.words.language import ENGLISH, Language


def run_study(
    study: Study,
    run_folder: Path,
    *,
    engine: Engine = Engine.GRID,
    resume: bool = False,
    progress: Progress = no_progress,
    report: bool = True,
    say: Language = ENGLISH,
    tell: Tell = keep_to_oneself,
) -> RunResult:
    """Run a study to its report. Raises InvalidInput before anything is written, FederationFailure while it runs.

    tell    told at once what a person should know of the table: who is left out, what lies outside of the grid. The
            same words stand in `RunResult.notes`.
    report  False writes neither report.html nor package nor explanations, for sweeps of which only figures are wanted.
    say     what report.html is written in.
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
    trained_on = sum(map(len, patients.hospitals.values()))
    panel, why = decided(
        expecting(study.settings, trained_on), schema, hospitals=len(patients.hospitals), request=study.panel
    )
    study = replace(study, panel=panel)
    unfit = [*unknown_subgroups(study.evaluation, schema), *panel_faults(study.panel, schema, engine)]
    if unfit := [*unfit, *assays_of(study.assays, schema)[1]]:
        raise InvalidInput(unfit)
    if why:
        note(why, about="panel")
    plan = plan_of(study, schema, roster=tuple(patients.hospitals), patients=trained_on)
    expected = expecting(study.first_settings, trained_on)
    for choice in chosen(expected, schema, hospitals=len(patients.hospitals)):
        note(choice.words, about="settings left open")
    if faults := strategy_faults(plan):
        raise InvalidInput(faults)
    comparison = None
    if study.target_trial is not None:
        comparison = with_simulated_members(
            options_plan_from(
                study.target_trial,
                study.settings,
                schema,
                study=study.name,
                roster=tuple(patients.hospitals),
                quorum=study.sites.quorum,
                seed=study.seed,
            )
        )
    progress("reading", 1, 1)

    run_folder.mkdir(parents=True, exist_ok=True)
    with _alone_in(run_folder):
        _refuse_unfit(run_folder, study, engine=engine, resume=resume)  # another run may have ended here meanwhile
        return _run(
            study,
            plan,
            patients,
            run_folder,
            comparison=comparison,
            explained=explained,
            notes=notes,
            unsummarised=lambda failure: note(f"Not released: {failure}", about="released figures"),
            engine=engine,
            resume=resume and has_checkpoint(run_folder),  # one that ended in its first round begins again
            progress=progress,
            report=report,
            say=say,
            began=began,
        )


def _run(
    study: Study,
    plan: StudyPlan,
    patients: Consortium,
    run_folder: Path,
    *,
    comparison: StudyPlan | None,
    explained: str,
    notes: Sequence[tuple[str, str]],
    unsummarised: Unsummarised,
    engine: Engine,
    resume: bool,
    progress: Progress,
    report: bool,
    say: Language,
    began: float,
) -> RunResult:
    """All that is written. `began` is `time.perf_counter` at the start of the whole."""
    write_json(run_folder / "study.json", {"hash": study.hash, "engine": engine.value, "settings": asdict(study)})
    federated = _train(
        plan, patients, run_folder, engine=engine, resume=resume, progress=progress, unsummarised=unsummarised
    )
    options = None
    if comparison is not None:
        options = compared_options(
            comparison,
            patients.hospitals,
            earlier=Earlier.of(federated.ledgers, epsilon=study.privacy.epsilon),
            run_folder=run_folder,
            resume=resume,
            progress=progress,
            unsummarised=unsummarised,
        )
    network = network_with(plan.model, federated.state.weights)
    second = (
        trained_panel(
            study,
            network,
            patients,
            earlier=Earlier.of((options or federated).ledgers, epsilon=study.privacy.epsilon),
            run_folder=run_folder,
            resume=resume,
            progress=progress,
        )
        if study.panel.is_asked
        else None
    )
    train = pooled(patients.hospitals)
    progress("measuring", 0, 3)
    endpoints = endpoint_results(network, patients=patients, evaluation=study.evaluation, seed=study.seed)
    progress("measuring", 1, 3)
    beside = baselines(patients.hospitals, train=train, test=patients.test) if study.evaluation.baselines else None
    progress("measuring", 2, 3)
    inputs = columns(patients.test.schema)
    relevances = {
        site: _relevance(site, network, cohort, inputs)
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
        releases=(second or options or federated).releases,
        left_out=patients.left_out,
        notes=tuple(notes),
        seconds_total=time.perf_counter() - began,
        measured=measured(
            plan, federated.state.summaries, federated.state.weights, competing=patients.test.schema.competing_names
        ),
        measured_calibration=measured_calibration(plan, federated.state.summaries),
        measured_gains=released_gains(plan, federated.state.summaries),
        released_explanations=released_explanations(plan, patients.test.schema, federated.state.summaries),
        weights=federated.state.weights,
        compared=compared(network, patients=patients, evaluation=study.evaluation, seed=study.seed),
        subgroups=subgroups(network, patients=patients, evaluation=study.evaluation, seed=study.seed),
        left_out_hospitals=left_out_hospitals(network, patients=patients, evaluation=study.evaluation, seed=study.seed),
        layers=compared_layers(
            network,
            layers_of(study.settings.value.layers, patients.test.schema),
            patients.test,
            trained_for=plan.model.layers,
            rng=np.random.default_rng([study.seed, 4]),
        ),
        panel=None if second is None else second.panel,
        assays=compared_assays(
            network,
            assays_of(study.assays, patients.test.schema)[0],
            patients.test,
            rng=np.random.default_rng([study.seed, 6]),
        ),
        options=options,
    )
    if report:
        _write_explanations(run_folder, patients.hospitals, relevances)
    figures = _write(run_folder, result, network)
    if report:
        write_report(result, run_folder / "report.html", say=say)
        write_package_of(result, figures, run_folder)
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


def _relevance(site: str, network: PrognosisNetwork, cohort: Cohort, inputs: tuple[Column, ...]) -> Relevance:
    x = torch.as_tensor(encode(cohort))
    names, by_marker = marker_relevance(network, x, inputs, endpoint=0)
    return Relevance(site, pd.DataFrame(by_marker, columns=list(names)), by_marker.sum(axis=1))


def _write_explanations(run_folder: Path, hospitals: Mapping[str, Cohort], relevances: Mapping[str, Relevance]) -> None:
    form: pyarrow.Schema | None = None  # found once: for a few patients of 350 markers it takes longer than the rest
    for site, relevance in relevances.items():
        folder, patients = run_folder / "sites" / site, list(hospitals[site].patient_ids)
        folder.mkdir(parents=True, exist_ok=True)
        if form is None:
            explained = relevance.table.assign(log_hazard_ratio=relevance.totals)
            explained.insert(0, "patient_id", patients)
            form = pyarrow.Schema.from_pandas(explained, preserve_index=False)
        numbers = (*relevance.table.to_numpy().T, relevance.totals)
        parts = [pyarrow.array(patients, form.types[0]), *(pyarrow.array(each, from_pandas=True) for each in numbers)]
        pyarrow.parquet.write_table(pyarrow.Table.from_arrays(parts, schema=form), folder / "explanations.parquet")


def _write(run_folder: Path, result: RunResult, network: PrognosisNetwork) -> Mapping[str, Any]:
    """The figures, as metrics.json holds them."""
    result.rounds.to_parquet(run_folder / "rounds.parquet", index=False)
    metadata = metadata_of(result.plan, {"study_hash": result.study.hash})
    write_model(run_folder / "model.safetensors", network, metadata)
    if result.panel is not None:
        write_panel(run_folder / PANEL, result.panel, study_hash=result.study.hash)
    write_json(run_folder / "privacy.json", privacy_summary(result))
    figures: Mapping[str, Any] = plain(metrics(result))
    write_json(run_folder / "metrics.json", figures)
    return figures
