"""Which study does a coordinator want to run with real hospitals?

`read_consortium` reads the same ``study.toml`` that `oncofed simulate` reads: [study], [data] schema, [model],
[training], [privacy], [held_out], [explanations], [readiness], [validation], [reporting], [panel], [target_trial], and
a section of its own, [consortium]. What only a simulation needs ([sites], [evaluation], [assay.NAME], the table itself)
is passed over, so that a study that was tried on one machine is the study that is offered.
Every fault is reported at once. Paths are relative to the file.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

from oncofed.cohort.schema import StudySchema
from oncofed.cohort.schema_file import parse_schema
from oncofed.errors import Fault, InvalidInput
from oncofed.file_model import Known, Rule, Wrong
from oncofed.file_reading import read_declared
from oncofed.protocol.answer_times import time_faults
from oncofed.protocol.plan import Member, StudyPlan
from oncofed.server.deployment.validated_model import ModelPackage, schema_faults, who_trained_it
from oncofed.server.rounds.strategies import strategy_faults
from oncofed.study.budget_part import the_rest
from oncofed.study.chosen_settings import left_open
from oncofed.study.options_plan import options_plan_from
from oncofed.study.panel_settings import PanelRequest, decided, size_faults
from oncofed.study.plan_settings import (
    PlanSections,
    PlanSettings,
    StudyHead,
    plan_from,
    readiness_plan_from,
    validation_plan_from,
)
from oncofed.study.reporting import NOTHING_SAID, Reporting
from oncofed.study.target_trial_settings import TargetTrialSection, beside_the_rest
from oncofed.study.validation_settings import ValidationRequest
from oncofed.toml_file import read_toml, read_toml_text
from oncofed.words.language import later


@dataclass(frozen=True)
class ConsortiumTerms:
    """The section [consortium]."""

    quorum: int | None = None
    """How many hospitals must answer for a round to count; without it, all. Leave it out in mode `distributed`: there
    it is all but `dropouts`."""
    round_timeout_seconds: float = StudyPlan.round_timeout_seconds
    """How long one asking waits for answers."""
    answer_seconds: float = StudyPlan.answer_seconds
    """A hospital's answer to a round leaves after a multiple of this time, the smallest that is possible, so that it
    does not tell how long it took; before a plan's first answer after a start or an approval patients are read,
    which takes a multiple of four times as long. Choose more than twice what the largest hospital needs: a hospital
    cannot approve a plan with less; `round_timeout_seconds` must be above five times as long."""
    summary_answer_seconds: float = StudyPlan.summary_answer_seconds
    """The same for what `[held_out]` and `[explanations]` ask for; with them, `round_timeout_seconds` must be above it
    and four times `answer_seconds` together."""
    patience_seconds: float = StudyPlan.patience_seconds
    """How long a round without quorum is asked again, and how long a plan waits for approvals."""
    released: tuple[str, ...] = (
        later("the final model's weights, signed"),
        later("this plan"),
        later("which hospital answered in which round"),
    )
    """What will be published, in words; hospitals approve it."""


def _readable(name: Path | None, known: Known) -> Path | None:
    """Its faults are told with the study's."""
    path = known.folder / (name or "")
    try:
        if name is not None:
            parse_schema(read_toml_text(path), where=path.name)
    except InvalidInput as invalid:
        known.faults.extend(invalid.faults)
    return path


def _only_simulated(value: object, known: Known) -> object:
    if value is not None:
        remedy = "Real hospitals need a schema file with just the markers and endpoints of the study."
        raise Wrong("describes a table that only a simulation has", remedy)
    return None


@dataclass(frozen=True)
class _Data:
    schema: Annotated[Path, Rule(_readable)]
    table: object = None
    synthetic: Annotated[object, Rule(_only_simulated)] = None
    modalities: Annotated[object, Rule(_only_simulated)] = None
    endpoints: Annotated[object, Rule(_only_simulated)] = None
    modality_weights: Annotated[object, Rule(_only_simulated)] = None


@dataclass(frozen=True, kw_only=True)
class _ConsortiumFile(PlanSections):
    """As real hospitals mean it: [sites], [evaluation] and [assay.NAME] are not looked into."""

    data: _Data
    consortium: ConsortiumTerms = field(default_factory=ConsortiumTerms)
    sites: object = None
    evaluation: object = None
    panel: PanelRequest = field(default_factory=PanelRequest)
    assay: object = None
    target_trial: Annotated[TargetTrialSection | None, Rule(beside_the_rest)] = None


@dataclass(frozen=True)
class Consortium:
    """A study file as a coordinator means it.

    schema_toml  the schema's file, word for word.
    set_aside    which part of patients no round trains on although none are measured: they were, for another plan.
    """

    study: StudyHead
    schema: StudySchema
    schema_toml: str
    settings: PlanSettings
    terms: ConsortiumTerms
    reporting: Reporting = NOTHING_SAID
    validation: ValidationRequest = field(default_factory=ValidationRequest)
    target_trial: TargetTrialSection | None = None
    panel: PanelRequest = field(default_factory=PanelRequest)
    set_aside: float = 0.0


def read_consortium(path: Path) -> Consortium:
    """The study in a TOML file. Raises InvalidInput with all faults of the file and of its schema."""
    faults: list[Fault] = []
    content = read_toml(path)
    file = read_declared(_ConsortiumFile, content, where=path.name, faults=faults, folder=path.parent)
    if file is None or faults:
        raise InvalidInput(faults)
    schema_toml = read_toml_text(file.data.schema)
    schema = parse_schema(schema_toml, where=file.data.schema.name)
    settings = replace(file.settings, left_open=left_open(content))
    faults += [] if file.panel.auto else size_faults(file.panel, schema)
    try:
        if file.target_trial is not None:
            file.target_trial.trial.refuse_unless_it_fits(schema)
    except InvalidInput as unfit:
        faults += unfit.faults
    if faults:
        raise InvalidInput(faults)
    return Consortium(
        file.study,
        schema,
        schema_toml,
        settings,
        file.consortium,
        file.reporting,
        file.validation,
        file.target_trial,
        file.panel,
    )


RELEASED_OF_COUNTS = (
    later("how many patients, outcomes and measured markers there are over all hospitals together, with noise"),
    later("this plan"),
    later("which hospitals answered"),
)


RELEASED_OF_VALIDATION = (
    later("how well the model does on the patients of these hospitals, with noise"),
    later("this plan, and which model it validates"),
    later("which hospitals answered"),
)


RELEASED_OF_OPTIONS = (
    later(
        "what would be different between the two options over all hospitals together, with noise, or why it is not "
        "shown"
    ),
    later("this plan"),
    later("which hospital answered in which round"),
)


def plan_for(
    consortium: Consortium,
    *,
    members: tuple[Member, ...],
    coordinator_public_key: bytes,
    bundle_sha256: str,
    readiness: bool = False,
    options: bool = False,
    validated: ModelPackage | None = None,
) -> StudyPlan:
    """The plan that these hospitals are asked to approve. Raises InvalidInput for one that would not do what it says.

    members    any order; the plan's roster is sorted.
    readiness  the plan that comes before it, and only counts who is there.
    options    the plan beside it that compares the two options of [target_trial].
    validated  the model that the plan measures, where it is the one of [validation].
    """
    terms = consortium.terms
    ordered = tuple(sorted(members, key=lambda member: member.site))
    name, roster = consortium.study.name, tuple(member.site for member in ordered)
    settings, schema = consortium.settings, consortium.schema
    if readiness:
        plan = readiness_plan_from(settings, schema, study=name, roster=roster, quorum=terms.quorum)
    elif validated is not None:
        unfit = [*schema_faults(validated, schema, where="schema"), *who_trained_it(validated, ordered)]
        if unfit:
            raise InvalidInput(unfit)
        plan = validation_plan_from(
            settings,
            consortium.validation,
            schema,
            study=name,
            roster=roster,
            quorum=terms.quorum,
            model=validated.plan.model,
            validates=validated.released,
        )
    elif options:
        plan = _options_plan(consortium, roster)
    else:
        plan = plan_from(
            _settings_of_prognosis(consortium, hospitals=len(roster)),
            schema,
            study=name,
            roster=roster,
            quorum=terms.quorum,
            initialisation_seed=consortium.study.seed,
        )
    plan = replace(
        plan,
        members=ordered,
        coordinator_public_key=coordinator_public_key.hex(),
        bundle_sha256=bundle_sha256,
        released=_released(terms, readiness=readiness, options=options, validates=validated is not None),
        round_timeout_seconds=terms.round_timeout_seconds,
        patience_seconds=terms.patience_seconds,
        answer_seconds=terms.answer_seconds,
        summary_answer_seconds=terms.summary_answer_seconds,
        held_out_fraction=consortium.settings.held_out.fraction
        if plan.trains and plan.measures
        else max(plan.held_out_fraction, consortium.set_aside),
    )
    remedy = "Give hospitals more time, or let their answers leave sooner."
    faults = [Fault(f"[consortium], {name}", what, remedy) for name, what in time_faults(plan)]
    if terms.quorum is not None and terms.quorum > len(members):
        what = f"is above the {len(members)} hospitals named"
        faults.append(Fault("[consortium], quorum", what, "Enrol more hospitals, or lower it."))
    else:  # some of them are of the quorum
        faults += strategy_faults(plan)
    if faults:
        raise InvalidInput(faults)
    return plan


def _settings_of_prognosis(consortium: Consortium, *, hospitals: int) -> PlanSettings:
    request = consortium.panel
    panel, _ = decided(consortium.settings, consortium.schema, hospitals=hospitals, request=request)
    return of_prognosis(consortium, panel)


def of_prognosis(consortium: Consortium, panel: PanelRequest) -> PlanSettings:
    """Of all markers: what a panel and a comparison of options leave. panel: decided."""
    trial = consortium.target_trial
    return the_rest(consortium.settings, panel.part, 0.0 if trial is None else trial.budget_share)


def _options_plan(consortium: Consortium, roster: tuple[str, ...]) -> StudyPlan:
    asked, study = consortium.target_trial, consortium.study
    if asked is None:
        remedy = "Write the section: which two options, of whom, and what is adjusted for."
        raise InvalidInput([Fault("[target_trial]", "is missing, and options are to be compared", remedy)])
    return options_plan_from(
        asked,
        consortium.settings,
        consortium.schema,
        study=study.name,
        roster=roster,
        quorum=consortium.terms.quorum,
        seed=study.seed,
    )


def _released(terms: ConsortiumTerms, *, readiness: bool, options: bool, validates: bool) -> tuple[str, ...]:
    if readiness:
        return RELEASED_OF_COUNTS
    if options:
        return RELEASED_OF_OPTIONS
    return RELEASED_OF_VALIDATION if validates else terms.released
