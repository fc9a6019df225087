"""Which study does a coordinator want to run with real hospitals?

`read_consortium` reads the same ``study.toml`` that `oncofed simulate` reads: [study], [data] schema, [model],
[training], [privacy], [held_out], [explanations], and a section of its own, [consortium]. What only a simulation needs
([sites], [evaluation], the table itself) is passed over, so that a study that was tried on one machine is the study
that is offered.
Every fault is reported at once. Paths are relative to the file.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from oncofed.cohort.schema import StudySchema
from oncofed.cohort.schema_file import parse_schema
from oncofed.errors import Fault, InvalidInput
from oncofed.protocol.answer_times import time_faults
from oncofed.protocol.plan import Member, StudyPlan
from oncofed.ranges import range_of
from oncofed.server.evaluation.measured import evaluation_in
from oncofed.server.rounds.strategies import strategy_faults
from oncofed.study.plan_settings import SECTIONS, PlanSettings, plan_from, read_plan_settings
from oncofed.texts import text_of
from oncofed.toml_section import Section, read_toml, read_toml_text

_ONLY_SIMULATED = ("sites", "evaluation")
_DEFAULT_RELEASES = ("the final model's weights, signed", "this plan", "which hospital answered in which round")


@dataclass(frozen=True)
class Consortium:
    """A study file as a coordinator means it.

    quorum                how many hospitals must answer for a round to count; None means all.
    round_timeout_seconds, patience_seconds, answer_seconds, summary_answer_seconds  as in `StudyPlan`.
    released              what will be published, in words.
    """

    name: str
    title: str
    schema: StudySchema
    schema_toml: str
    settings: PlanSettings
    seed: int
    quorum: int | None
    round_timeout_seconds: float
    patience_seconds: float
    answer_seconds: float
    summary_answer_seconds: float
    released: tuple[str, ...]


def read_consortium(path: Path) -> Consortium:
    """The study in a TOML file. Raises InvalidInput with all faults of the file and of its schema."""
    faults: list[Fault] = []
    file = Section(path.name, read_toml(path), faults)
    sections = {
        name: file.section(name, heading=f"{path.name}: [{name}]", required=name in ("study", "data", "privacy"))
        or Section(f"{path.name}: [{name}]", {}, faults)
        for name in ("study", "data", "consortium", *SECTIONS)
    }
    for name in _ONLY_SIMULATED:
        file.ignore(name)
    file.close()
    head, own = sections["study"], sections["consortium"]
    schema, schema_toml = _schema(sections["data"], path.parent)
    seed = head.whole_number("seed", within=range_of(Consortium, "seed"))
    settings = read_plan_settings(**{name: sections[name] for name in SECTIONS})
    timeout, patience, answer, summary_answer = (
        own.number(key, within=range_of(StudyPlan, key))
        for key in ("round_timeout_seconds", "patience_seconds", "answer_seconds", "summary_answer_seconds")
    )
    name = head.required_text("name", kind=text_of(Consortium, "name"))
    title = head.text("title", kind=text_of(Consortium, "title"))
    head.ignore("explain_site")
    quorum = own.whole_number("quorum", within=range_of(StudyPlan, "quorum"))
    released = own.texts("released", kind=text_of(Consortium, "released"))
    for section in sections.values():
        section.close()
    if faults or schema is None:
        raise InvalidInput(faults)
    return Consortium(
        name=name,
        title=title or "",
        schema=schema,
        schema_toml=schema_toml,
        settings=settings,
        seed=1 if seed is None else seed,
        quorum=quorum,
        round_timeout_seconds=StudyPlan.round_timeout_seconds if timeout is None else timeout,
        patience_seconds=StudyPlan.patience_seconds if patience is None else patience,
        answer_seconds=StudyPlan.answer_seconds if answer is None else answer,
        summary_answer_seconds=StudyPlan.summary_answer_seconds if summary_answer is None else summary_answer,
        released=_DEFAULT_RELEASES if released is None else released,
    )


def plan_for(
    consortium: Consortium, *, members: tuple[Member, ...], coordinator_public_key: bytes, bundle_sha256: str
) -> StudyPlan:
    """The plan that these hospitals are asked to approve. Raises InvalidInput for one that would not do what it says.

    members  any order; the plan's roster is sorted.
    """
    ordered = tuple(sorted(members, key=lambda member: member.site))
    plan = plan_from(
        consortium.settings,
        consortium.schema,
        study=consortium.name,
        roster=tuple(member.site for member in ordered),
        quorum=consortium.quorum,
        initialisation_seed=consortium.seed,
    )
    plan = replace(
        plan,
        members=ordered,
        coordinator_public_key=coordinator_public_key.hex(),
        bundle_sha256=bundle_sha256,
        released=consortium.released,
        round_timeout_seconds=consortium.round_timeout_seconds,
        patience_seconds=consortium.patience_seconds,
        answer_seconds=consortium.answer_seconds,
        summary_answer_seconds=consortium.summary_answer_seconds,
        held_out_fraction=0.0 if evaluation_in(plan) is None else consortium.settings.held_out.fraction,
    )
    if times := time_faults(plan):
        remedy = "Give hospitals more time, or let their answers leave sooner."
        raise InvalidInput([Fault(f"[consortium], {name}", what, remedy) for name, what in times])
    if consortium.quorum is not None and consortium.quorum > len(members):
        remedy = "Enrol more hospitals, or lower it."
        raise InvalidInput([Fault("[consortium], quorum", f"is above the {len(members)} hospitals named", remedy)])
    if faults := strategy_faults(plan):
        raise InvalidInput(faults)
    return plan


def _schema(section: Section, folder: Path) -> tuple[StudySchema | None, str]:
    for only_simulated in ("table", "modalities", "modality_weights"):
        section.ignore(only_simulated)
    if any(key in section for key in ("synthetic", "modalities", "modality_weights")):
        what = "describes a table that only a simulation has"
        section.fault("synthetic", what, "Real hospitals need a schema file with just the markers of the study.")
        section.ignore("synthetic")
    name = section.required_text("schema")
    if not name:
        return None, ""
    path = folder / name
    try:
        text = read_toml_text(path)
        schema = parse_schema(text, where=path.name)
    except InvalidInput as invalid:
        section.faults.extend(invalid.faults)
        return None, ""
    return schema, text
