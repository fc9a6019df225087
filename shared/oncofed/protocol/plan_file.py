"""Which `StudyPlan` do these JSON values describe?

Promise: `plan_from_json(json.loads(plan.canonical)) == plan`. Refused: a missing or additional key (but for lists that
are absent where empty, `plan.ABSENT_WHERE_EMPTY`, and may not be empty where they are present), a value of another
type (1 is no float here, True no integer), a number that is not finite, a text of another kind (`texts.TEXTS`): a plan
is a contract, so nothing is guessed or filled in; a list that is longer than its range is refused before what it holds
is looked at. All faults are reported together. Imports no torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import StrEnum
from functools import cache
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from oncofed.errors import Fault, InvalidInput
from oncofed.protocol.answer_times import time_faults
from oncofed.protocol.options_layout import form_faults
from oncofed.protocol.plan import ABSENT_WHERE_EMPTY, StudyPlan
from oncofed.protocol.summary_spec import COUNTING_KINDS, HELD_OUT_KINDS, SummaryKind
from oncofed.ranges import RANGES, told
from oncofed.survival.comparators import comparator_faults
from oncofed.survival.layers import layer_faults
from oncofed.texts import TEXTS

_REMEDY = "Ask the coordinator for the document that `oncofed study sign` wrote."


def plan_from_json(value: object, *, where: str = "plan") -> StudyPlan:
    """The plan. Raises InvalidInput with all faults."""
    faults: list[Fault] = []
    plan = _read(StudyPlan, value, where, faults)
    if not faults:
        faults += _contradictions(plan, where)
    if faults:
        raise InvalidInput(faults)
    assert isinstance(plan, StudyPlan)
    return plan


def _contradictions(plan: StudyPlan, where: str) -> list[Fault]:
    """What a guard or a coordinator would otherwise trip over later."""
    found = []
    if list(plan.roster) != sorted(set(plan.roster)) or not plan.roster:
        found.append(Fault(f"{where}.roster", "is not a sorted list of distinct names", _REMEDY))
    if plan.members and tuple(member.site for member in plan.members) != plan.roster:
        found.append(Fault(f"{where}.members", "are not the hospitals of the roster, in its order", _REMEDY))
    if not 1 <= plan.quorum <= len(plan.roster):
        found.append(Fault(f"{where}.quorum", "does not lie between 1 and the roster's length", _REMEDY))
    if plan.training.rounds < 0:
        found.append(Fault(f"{where}.training.rounds", "is negative", _REMEDY))
    if plan.trains and plan.validates is not None:
        found.append(Fault(f"{where}.validates", "names a model beside rounds that train one", _REMEDY))
    if not plan.trains:
        found += [Fault(f"{where}.{name}", what, _REMEDY) for name, what in _faults_without_rounds(plan)]
    if plan.privacy.reserve_rounds < 0:
        found.append(Fault(f"{where}.privacy.reserve_rounds", "is negative", _REMEDY))
    if not 0 <= plan.held_out_fraction < 1:
        found.append(Fault(f"{where}.held_out_fraction", "does not lie in [0, 1)", _REMEDY))
    found += [Fault(f"{where}.{name}", what, _REMEDY) for name, what in time_faults(plan)]
    found += [Fault(f"{where}.target_trial", what, _REMEDY) for what in form_faults(plan)]
    found += [Fault(f"{where}.model", f"is none: {what}", _REMEDY) for what in _model_faults(plan)]
    names = [summary.name for summary in plan.summaries]
    if len(set(names)) < len(names):
        found.append(Fault(f"{where}.summaries", "do not each have a name of their own", _REMEDY))
    if sum(summary.kind in COUNTING_KINDS for summary in plan.summaries) > 1:
        found.append(Fault(f"{where}.summaries", "count the same held-out patients in two ways", _REMEDY))
    if any(summary.attempts < 1 or summary.cells < 1 for summary in plan.summaries):
        found.append(Fault(f"{where}.summaries", "have fewer than one attempt or cell", _REMEDY))
    return found


def _faults_without_rounds(plan: StudyPlan) -> list[tuple[str, str]]:
    """A plan that trains nothing has nothing to repeat, and no model to measure or explain but one that it names."""
    found = []
    if plan.privacy.reserve_rounds or plan.training.calibration_rounds:
        found.append(("training.rounds", "is 0, and there is nothing to repeat or to calibrate"))
    possible = HELD_OUT_KINDS if plan.validates is not None else {SummaryKind.READINESS}
    if any(summary.kind not in possible for summary in plan.summaries) or not plan.summaries:
        what = "are not just " + (
            "figures of the model that it validates"
            if plan.validates is not None
            else "counts of who is there, and no round trains a model for others"
        )
        found.append(("summaries", what))
    least = min((summary.noise_multiplier for summary in plan.summaries), default=plan.privacy.noise_multiplier)
    if least != plan.privacy.noise_multiplier:
        found.append(("privacy.noise_multiplier", "is another than the least of its summaries, of which it is told"))
    return found


def _model_faults(plan: StudyPlan) -> tuple[str, ...]:
    model = plan.model
    of_shapes = () if model.time_shapes is None else model.time_shapes.faults(model.columns)
    if model.entity_levels is not None:
        of_shapes += model.entity_levels.faults(model.columns, linear_branch=model.linear_branch)
    of_layers = layer_faults(model.layers, model.columns)
    expected = (model.expectation_fault,) if model.expectation_fault else ()
    return (*of_shapes, *comparator_faults(model.comparators, model.columns), *of_layers, *expected)


def _read(kind: Any, value: object, where: str, faults: list[Fault], *, name: str = "") -> Any:
    """The value as `kind`, or a placeholder after a fault was noted. name: the field's, as in `TEXTS`."""
    if is_dataclass(kind):
        return _read_record(kind, value, where, faults)
    if get_origin(kind) is tuple:
        return _read_list(get_args(kind)[0], value, where, faults, name=name)
    if get_origin(kind) is UnionType:
        inner = next(each for each in get_args(kind) if each is not NoneType)
        return None if value is None else _read(inner, value, where, faults, name=name)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        if isinstance(value, str) and value in {member.value for member in kind}:
            return kind(value)
    elif type(value) is kind and not (isinstance(value, float) and not math.isfinite(value)):
        if isinstance(value, str) and (wrong := TEXTS[name].fault(value)):
            faults.append(Fault(where, wrong, _REMEDY))
        return value
    faults.append(Fault(where, "is missing or of another type than the plan's", _REMEDY))
    return None


def _read_list(kind: Any, value: object, where: str, faults: list[Fault], *, name: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        faults.append(Fault(where, "is not a list", _REMEDY))
        return ()
    most = RANGES[f"{name} (count)"].most
    if len(value) > most:  # before anything is made of them, which takes the longer the more they are
        faults.append(Fault(where, f"has a length above {told(most)}", _REMEDY))
        return ()
    return tuple(_read(kind, each, f"{where}[{number}]", faults, name=name) for number, each in enumerate(value))


@cache
def _hints_of(kind: type) -> dict[str, Any]:
    """Of its fields, by name, in their order."""
    hints = get_type_hints(kind)
    return {each.name: hints[each.name] for each in fields(kind)}


def _read_record(kind: Any, value: object, where: str, faults: list[Fault]) -> Any:
    if not isinstance(value, Mapping):
        faults.append(Fault(where, "is not an object", _REMEDY))
        return None
    hints = _hints_of(kind)
    names = list(hints)
    noted = len(faults)
    faults += [Fault(f"{where}.{key}", "is not a field of a plan", _REMEDY) for key in value if key not in names]
    may_be_absent = {each.name for each in fields(kind) if each.metadata == ABSENT_WHERE_EMPTY}
    empty = (name for name in may_be_absent if name in value and not value[name])
    faults += [Fault(f"{where}.{name}", "is there, and empty", _REMEDY) for name in empty]
    read = {
        name: _read(hints[name], value.get(name, MISSING), f"{where}.{name}", faults, name=f"{kind.__name__}.{name}")
        for name in names
        if name in value or name not in may_be_absent
    }
    if len(faults) > noted:
        return None
    try:
        return kind(**read)
    except ValueError:  # a time grid checks itself
        faults.append(Fault(where, "contradicts itself", _REMEDY))
        return None
