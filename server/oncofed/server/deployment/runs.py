"""How does a signed plan become a run of the coordinator's SuperLink, and how does one follow it?

A study's folder, studies/<plan hash>/, is the one place where everything about it lies; ``run.json`` names the Flower
run that works on it now or did last. Starting a study that was interrupted goes on after its last finished round.

Refuses: a plan that another coordinator signed, one whose hospitals are not enrolled with the keys it names, one that
a process is at work on. A run whose process was killed, which Flower notices a minute later, is stopped and replaced.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from oncofed.durable import replace_durably
from oncofed.errors import Fault, FederationFailure, InvalidInput
from oncofed.plain_file import file_content, plain_bytes
from oncofed.protocol.bundle import PLAN_HASH, build_bundle, bundle_hash
from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.plan_hash import refuse_short, shown_of
from oncofed.protocol.study_document import (
    LARGEST_BYTES,
    StudyDocument,
    document_bytes,
    read_document,
    verify_document,
)
from oncofed.secret_files import LARGEST_SECRET
from oncofed.server.deployment.at_work import is_at_work
from oncofed.server.deployment.enrolment import member_fault, settle_nodes
from oncofed.server.deployment.folder import CoordinatorFolder, coordinator_public_key
from oncofed.server.deployment.member_files import look_at
from oncofed.server.deployment.study_files import EVENTS, ROUNDS
from oncofed.server.deployment.validated_model import validated_weights
from oncofed.server.flower.control import Control, ControlRefused, RunStatus, UnknownRun

_LOOK_SECONDS = 0.5
_MOST_LOOKS_IN_VAIN = 120
"""A SuperLink that is started again is away for some seconds; its run goes on, and so does following it."""
_PLAN = "plan.json"
_RUN = "run.json"


@dataclass(frozen=True)
class Progress:
    """One line that a run wrote since the last look. kind: round | event. fields: as `study_files` writes them."""

    kind: str
    fields: dict[str, object]


def take_in(folder: CoordinatorFolder, content: bytes) -> StudyDocument:
    """Keep a signed study document under its plan's hash. The same one twice is fine."""
    document = read_document(content)
    verify_document(document, public_key=coordinator_public_key(folder))
    hospitals = look_at(folder)
    found = (member_fault(member, hospitals) for member in document.plan.members)
    faults = [fault for fault in found if fault is not None]
    if not document.plan.members:
        faults.append(Fault("plan", "names no hospital", "Sign it with `oncofed study sign`."))
    faults += _faults_of_version(document.plan)
    if faults:
        raise InvalidInput(faults)
    study = folder.study(document.plan.hash)
    if document.plan.validates is not None:
        validated_weights(study, document.plan)
    study.mkdir(parents=True, exist_ok=True)
    replace_durably(study / _PLAN, document_bytes(document))
    return document


def begin(folder: CoordinatorFolder, control: Control, plan_hash: str) -> int:
    """Start or go on with a study; the run's id."""
    running = current_run(folder, control, plan_hash)
    _refuse_what_has_changed(folder, plan_hash)
    if is_at_work(folder.study(plan_hash)):
        raise FederationFailure("this study is running already. Follow it with `oncofed coordinator status`.")
    if running is not None and not running[1].finished:
        control.stop_run(running[0])
    settle_nodes(folder, control)
    run_id = control.start_run(build_bundle(), {PLAN_HASH: plan_hash})
    replace_durably(folder.study(plan_hash) / _RUN, json.dumps({"run_id": run_id}).encode())
    return run_id


def _refuse_what_has_changed(folder: CoordinatorFolder, plan_hash: str) -> None:
    """By name, before anything is started; the run looks again."""
    hospitals, plan = look_at(folder), _kept_plan(folder, plan_hash)
    faults = [fault for member in plan.members if (fault := member_fault(member, hospitals)) is not None]
    if plan.coordinator_public_key != coordinator_public_key(folder).hex():
        what = "is signed with a key that was replaced (oncofed coordinator change)"
        faults.append(Fault("plan", what, "Sign the study again: oncofed study sign"))
    faults += _faults_of_version(plan)
    if faults:
        raise InvalidInput(faults)


def _faults_of_version(plan: StudyPlan) -> list[Fault]:
    """Hospitals run the version that they agreed to; a coordinator that was updated meanwhile has another."""
    if plan.bundle_sha256 == bundle_hash(build_bundle()):
        return []
    what = "was signed with another version of oncofed than this one"
    return [Fault("plan", what, "Sign it again, or install the version it was signed with.")]


def studies_at_work(folder: CoordinatorFolder, site: str) -> tuple[str, ...]:
    """The hash of each study that a process works on now and whose plan names the hospital."""
    return tuple(
        plan_hash
        for plan_hash in known_studies(folder)
        if is_at_work(folder.study(plan_hash)) and site in _kept_plan(folder, plan_hash).roster
    )


def _kept_plan(folder: CoordinatorFolder, plan_hash: str) -> StudyPlan:
    path = folder.study(plan_hash) / _PLAN
    return read_document(file_content(path, most=LARGEST_BYTES), where=str(path)).plan


def current_run(folder: CoordinatorFolder, control: Control, plan_hash: str) -> tuple[int, RunStatus] | None:
    """The run that works on a study now or did last, and what became of it.

    None before the first, and when the SuperLink has never heard of it: then nothing of it can be running.
    """
    path = folder.study(plan_hash) / _RUN
    try:
        run_id = int(json.loads(plain_bytes(path, most=LARGEST_SECRET))["run_id"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        remedy = "Remove it when no run is going on; finished rounds are kept elsewhere."
        raise InvalidInput([Fault(str(path), "is damaged", remedy)]) from None
    try:
        return run_id, control.run_status(run_id)
    except UnknownRun:
        return None


def follow(
    folder: CoordinatorFolder,
    control: Control,
    plan_hash: str,
    run_id: int,
    *,
    told: Callable[[Progress], None],
    sleep: Callable[[float], None] = time.sleep,
) -> RunStatus:
    """Tell of everything new in the study's files until the run is finished; then what became of it.

    Raises ControlRefused when the SuperLink stays away.
    """
    study = folder.study(plan_hash)
    tails = [_Tail(study / ROUNDS, "round"), _Tail(study / EVENTS, "event")]
    in_vain = 0
    while True:
        status = None
        try:
            status, in_vain = control.run_status(run_id), 0
        except ControlRefused:
            in_vain += 1
            if in_vain > _MOST_LOOKS_IN_VAIN:
                raise
        for tail in tails:
            for progress in tail.new():
                told(progress)
        if status is not None and status.finished:
            return status
        sleep(_LOOK_SECONDS)


def known_studies(folder: CoordinatorFolder) -> tuple[str, ...]:
    """The hash of each study here."""
    return tuple(sorted(path.parent.name for path in folder.root.glob(f"studies/*/{_PLAN}")))


def shown(folder: CoordinatorFolder, plan_hash: str) -> str:
    """As much of a study's hash as names it here."""
    return shown_of(plan_hash, among=known_studies(folder))


def find_study(folder: CoordinatorFolder, beginning: str | None) -> str:
    """The hash of the study whose hash begins so; of the only one for None, which an empty word is not.

    Raises InvalidInput: none, more than one, too few digits.
    """
    if beginning is not None:
        refuse_short(beginning, where="study")
    known = known_studies(folder)
    found = [name for name in known if name.startswith(beginning or "")]
    if len(found) == 1:
        return found[0]
    what = "no study here has a hash that begins so" if not found else "several studies have a hash that begins so"
    listed = (
        ", ".join(shown_of(name, among=known) for name in known) or "none; start one with `oncofed coordinator run`"
    )
    raise InvalidInput([Fault("study", what, f"Known: {listed}.")])


class _Tail:
    """The whole lines that a file has gained since it was made or last asked; one that a kill cut short is none."""

    def __init__(self, path: Path, kind: str) -> None:
        self._path, self._kind = path, kind
        self._offset = path.stat().st_size if path.exists() else 0

    def new(self) -> Iterator[Progress]:
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            with suppress(ValueError, RecursionError):
                yield Progress(self._kind, json.loads(line))
