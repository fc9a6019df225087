"""What does a coordinator's folder say of one study?

`read_deployed_study` reads ``studies/<plan hash>/``, which a running study may be writing to. A line of
``rounds.jsonl`` or ``events.jsonl`` that a crash tore is left out; its round then shows as not recorded.

Refuses: a plan that is not one, a model that the plan's coordinator did not sign, a whole line that is not what
`deployment.study_files` writes, a damaged checkpoint.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from oncofed.errors import Fault, InvalidInput
from oncofed.plain_file import OtherKind, lines_of, opened, plain_bytes
from oncofed.protocol.model_file import SignedModel, verified_weights
from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.study_document import LARGEST_BYTES, read_document, schema_of
from oncofed.protocol.wire_form import LARGEST_MESSAGE
from oncofed.server.deployment.delivery import MODEL, RELEASE
from oncofed.server.deployment.study_files import EVENTS, ROUNDS, WRITTEN
from oncofed.server.deployment.validated_model import validated_weights
from oncofed.server.report.study import DeployedStudy, RoundRow, StudyEvent, Written
from oncofed.server.rounds.checkpoint import has_checkpoint, load_checkpoint
from oncofed.server.rounds.state import NO_SUMMARIES

_Row = TypeVar("_Row")

_PLAN = "plan.json"
_LONGEST_LINE = 8_000_000
"""Bytes, of a line of a run, and of `release.json`: what became of each of thousands of hospitals."""
_RESTORE = "Restore it from a backup, or move it away to leave it out."


def read_deployed_study(folder: Path) -> DeployedStudy:
    """The study in this folder. Raises InvalidInput, SignatureInvalid or CheckpointDamaged."""
    try:
        document = read_document(_content(folder / _PLAN, most=LARGEST_BYTES), where=str(folder / _PLAN))
    except FileNotFoundError:
        remedy = "Name the folder of a study, studies/<plan hash>."
        raise InvalidInput([Fault(str(folder / _PLAN), "does not exist", remedy)]) from None
    plan = document.plan
    # After an older checkpoint was put back, a round stands there twice. The last one made the model.
    rows = {row.round: row for row in _read(folder / ROUNDS, lambda fields: _round(fields, plan))}
    state = load_checkpoint(folder, plan_hash=plan.hash).state if has_checkpoint(folder) else None
    study = DeployedStudy(
        plan=plan,
        schema=schema_of(document),
        rounds=tuple(rows[number] for number in sorted(rows)),
        events=tuple(_read(folder / EVENTS, _event)),
        rounds_done=0 if state is None else state.round,
        summaries=NO_SUMMARIES if state is None else state.summaries,
    )
    return _with_model(study, folder)


def written_of(folder: Path) -> tuple[Written, ...]:
    """What was written of the study in this folder, each place once, the newest first. Raises InvalidInput."""
    found = {(each.what, each.path): each for each in _read(folder / WRITTEN, _written)}
    return tuple(sorted(found.values(), key=lambda each: each.at, reverse=True))


def _written(fields: Mapping[str, object]) -> Written:
    return Written(_time(fields["at"]), str(fields["what"]), Path(str(fields["path"])))


def _with_model(study: DeployedStudy, folder: Path) -> DeployedStudy:
    """The study with its released model, whose signature is checked; as it is while there is none.

    Of a plan that validates a model: with that one.
    """
    validates = study.plan.validates
    if validates is not None:
        weights = validated_weights(folder, study.plan)
        return replace(study, weights=weights, model_sha256=validates.sha256, signature=validates.signature)
    where = folder / RELEASE
    if not (where.exists() and (folder / MODEL).exists()):
        return study
    try:
        release = json.loads(_content(where, most=_LONGEST_LINE))
        sha256, signature, delivered = str(release["model_sha256"]), str(release["signature"]), release["delivered"]
        model = SignedModel(_content(folder / MODEL, most=LARGEST_MESSAGE), bytes.fromhex(signature))
        said = {str(site): str(word) for site, word in delivered.items()}
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        raise InvalidInput([Fault(str(where), "is not what a run writes", _RESTORE)]) from None
    weights = verified_weights(
        model,
        public_key=bytes.fromhex(study.plan.coordinator_public_key),
        plan_hash=study.plan.hash,
        parameters=study.plan.model.parameters,
    )
    if model.hash != sha256:
        raise InvalidInput([Fault(str(where), f"names another model than {MODEL}", _RESTORE)])
    return replace(study, weights=weights, model_sha256=sha256, signature=signature, delivered=MappingProxyType(said))


def _content(path: Path, *, most: int) -> bytes:
    try:
        return plain_bytes(path, most=most)
    except OtherKind as other:
        raise InvalidInput([Fault(str(path), other.fault.what, _RESTORE)]) from None


def _read(path: Path, line: Callable[[Mapping[str, object]], _Row]) -> Iterator[_Row]:
    """One value for each line; nothing for a file that is not there."""
    if not path.exists():
        return
    try:
        lines = opened(path)
    except OtherKind as other:
        raise InvalidInput([Fault(str(path), other.fault.what, _RESTORE)]) from None
    with lines as file:
        for number, text in enumerate(lines_of(file, longest=_LONGEST_LINE), start=1):
            try:
                fields = {} if len(text) == _LONGEST_LINE else json.loads(text.decode("utf-8", errors="replace"))
            except (ValueError, RecursionError):
                continue
            try:
                yield line(fields)
            except (ValueError, OverflowError, KeyError, TypeError, AttributeError):
                where = f"{path}, line {number}"
                raise InvalidInput([Fault(where, "is not what a run writes", _RESTORE)]) from None


def _round(fields: Mapping[str, object], plan: StudyPlan) -> RoundRow:
    answered, rejected = fields["answered"], fields["rejected"]
    if not isinstance(answered, list) or not isinstance(rejected, list):
        raise TypeError
    row = RoundRow(
        round=_whole(fields["round"]),
        attempt=_whole(fields["attempt"]),
        answered=tuple(str(site) for site in answered),
        rejected=tuple(_rejection(str(text), plan) for text in rejected),
        update_l2_norm=_number(fields["update_l2_norm"]),
        bytes_down=_whole(fields["bytes_down"]),
        bytes_up=_whole(fields["bytes_up"]),
        seconds=_number(fields["seconds"]),
        finished_at=_time(fields["at"]),
    )
    if not 1 <= row.round <= plan.training.rounds:
        raise ValueError
    return row


def _rejection(text: str, plan: StudyPlan) -> tuple[str, str]:
    """(site, reason) of ``site: reason``; a name of the roster may hold a colon itself."""
    named = [site for site in plan.roster if text.startswith(f"{site}: ")]
    site = max(named, key=len) if named else text.partition(": ")[0]
    return site, text[len(site) + 2 :]


def _event(fields: Mapping[str, object]) -> StudyEvent:
    rest = {name: value for name, value in fields.items() if name not in ("at", "event")}
    words = "; ".join(str(value) if name == "cause" else f"{name} {value}" for name, value in rest.items())
    return StudyEvent(_time(fields["at"]), str(fields["event"]), words)


def _whole(value: object) -> int:
    if type(value) is not int or value < 0:
        raise TypeError
    return value


def _number(value: object) -> float:
    if type(value) not in (int, float) or not math.isfinite(float(str(value))):
        raise TypeError
    return float(str(value))


def _time(value: object) -> datetime:
    time = datetime.fromisoformat(str(value))
    if time.tzinfo is None:  # times with and without a zone cannot be compared
        raise ValueError
    return time.astimezone(UTC)
