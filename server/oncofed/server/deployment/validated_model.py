"""Which released model is to be measured in other hospitals, is it whole, and does their schema fit it?

A model comes as its package (`oncofed study package`): the signed plan that trained it, the file of its weights, and
the coordinator's signature under that file. All three are checked against one another; nothing else of the package is
read. The file is kept beside the study that validates it, so that a run needs the package no more.

A model reads encoded columns, so a schema that validates it must encode a marker as the model's does: the same markers
in the same order, units, categories, centres, scales, weights and flags; the same endpoints and time grid. What only
concerns how a table is written down (names of columns, plausible ranges, codes for missing values) may differ. All
that does not fit is told at once, before anybody is asked.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oncofed.cohort.encoding import columns
from oncofed.cohort.schema import StudySchema
from oncofed.cohort.schema_difference import Difference, differences
from oncofed.durable import replace_durably
from oncofed.errors import Fault, InvalidInput, SignatureInvalid
from oncofed.plain_file import file_content, plain_bytes
from oncofed.protocol.model_file import SignedModel, verified_weights
from oncofed.protocol.plan import Member, StudyPlan
from oncofed.protocol.released_model import ReleasedModel
from oncofed.protocol.study_document import LARGEST_BYTES, read_document, schema_of, verify_document
from oncofed.protocol.wire_form import LARGEST_MESSAGE
from oncofed.secret_files import LARGEST_SECRET

VALIDATED = "validated.safetensors"
"""The model's file in the folder of a study that validates it."""
_PACKAGE = "Give the folder that `oncofed study package` wrote, as it was written."
_WRITTEN_OTHERWISE = frozenset(
    {"patient_id", "site_column", "name", "zero_time_becomes", "time", "event", "entry", "death_event"}
    | {"plausible_range", "missing_codes", "order_of_missing_codes", "reference_range", "section", "baseline_hazard"}
    | {"expected_log_hazard_ratios", "expected_source", "label_de", "category_labels_de"}
)
"""What two schemas may say differently for one model. Its own baseline hazard is in its plan."""


@dataclass(frozen=True, eq=False)
class ModelPackage:
    """plan, schema: of the study that trained it. content: the model's file."""

    plan: StudyPlan
    schema: StudySchema
    released: ReleasedModel
    content: bytes


def read_model_package(folder: Path) -> ModelPackage:
    """Raises InvalidInput or SignatureInvalid for one that is not whole, or not signed by its plan's coordinator."""
    where = folder / "signature.json"
    document = read_document(file_content(folder / "plan.json", most=LARGEST_BYTES), where=str(folder / "plan.json"))
    plan = document.plan
    key = bytes.fromhex(plan.coordinator_public_key)
    verify_document(document, public_key=key)
    try:
        signature = bytes.fromhex(json.loads(file_content(where, most=LARGEST_SECRET))["ed25519_signature"])
    except (ValueError, RecursionError, KeyError, TypeError):
        raise InvalidInput([Fault(str(where), "holds no signature", _PACKAGE)]) from None
    model = SignedModel(file_content(folder / "model.safetensors", most=LARGEST_MESSAGE), signature)
    verified_weights(model, public_key=key, plan_hash=plan.hash, parameters=plan.model.parameters)
    released = ReleasedModel(plan.hash, model.hash, plan.coordinator_public_key, signature.hex())
    return ModelPackage(plan, schema_of(document), released, model.content)


def keep_validated(study: Path, model: ModelPackage) -> None:
    """Beside the study, before it is offered."""
    study.mkdir(parents=True, exist_ok=True)
    replace_durably(study / VALIDATED, model.content)


def validated_weights(study: Path, plan: StudyPlan) -> NDArray[np.float64]:
    """Of the model that the plan validates. Raises InvalidInput where it is not there, or another one."""
    model = plan.validates
    assert model is not None
    path = study / VALIDATED
    remedy = "Sign the study again: oncofed study sign --validation"
    try:
        content = plain_bytes(path, most=LARGEST_MESSAGE)
    except FileNotFoundError:
        raise InvalidInput([Fault(str(path), "does not exist, and the plan validates it", remedy)]) from None
    signed = SignedModel(content, bytes.fromhex(model.signature))
    if signed.hash != model.sha256:
        raise InvalidInput([Fault(str(path), "is another model than the plan validates", remedy)])
    try:
        return verified_weights(
            signed,
            public_key=bytes.fromhex(model.coordinator_public_key),
            plan_hash=model.plan_hash,
            parameters=plan.model.parameters,
        )
    except SignatureInvalid as invalid:
        raise InvalidInput([Fault(str(path), str(invalid), remedy)]) from None


def who_trained_it(model: ModelPackage, members: Sequence[Member]) -> list[Fault]:
    """Hospitals that are to validate it and took part in its training, by their name or by their key."""
    keys = {each.answer_public_key for each in model.plan.members} - {""}
    remedy = "Leave it out: name the others with --sites. On patients whom it learned from a model looks better."
    return [
        Fault("--sites", f"{each.site} was among the hospitals that trained the model", remedy)
        for each in members
        if each.site in model.plan.roster or each.answer_public_key in keys
    ]


def schema_faults(model: ModelPackage, own: StudySchema, *, where: str) -> list[Fault]:
    """Why tables of this schema cannot be read by the model, in words."""
    found = [_fault(each, where) for each in differences(model.schema, own) if each.field not in _WRITTEN_OTHERWISE]
    if not found and columns(model.schema) != columns(own):
        what = "encodes a marker in another way than the schema of the model"
        found.append(Fault(where, what, "Use the schema of the model's package."))
    return found


def _fault(each: Difference, where: str) -> Fault:
    place = f"{where}: {each.about}"
    if each.field in ("marker", "endpoint"):
        hint = f" ({each.hint})" if each.hint else ""
        if each.second is None:
            return Fault(
                place, f"is missing, and the model needs it{hint}", f"Add the {each.field} as the model has it."
            )
        return Fault(place, f"is none of the model's{hint}", "Leave it out.")
    what = each.field.replace("_", " ")
    said = f"has another {what} than the model's schema: {_said(each.second)} in place of {_said(each.first)}"
    return Fault(place, said, "Write what the model's schema says, and convert the table if need be.")


def _said(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_said, value))}]"
    return "nothing" if value in (None, "") else f'"{value}"' if isinstance(value, str) else f"{value}"
