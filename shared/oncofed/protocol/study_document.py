"""What does a hospital get to read, approve and keep? One signed document: the plan and the schema it is about.

The document is JSON in one canonical form: ``format``, ``plan`` (see `protocol.plan`), ``schema`` (the text of the
schema's TOML file) and ``signature`` (Ed25519, of the coordinator, over the other three). The plan names the schema's
hash and the coordinator's key; the hash of the plan therefore names the whole study.

Promises: `read_document(document_bytes(d)) == d`. Refused: another form, a larger file than `LARGEST_BYTES`, a schema
that is not the plan's, a plan without members or whose coordinator is not the one that signed. Imports no torch.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from oncofed.cohort.schema import StudySchema
from oncofed.cohort.schema_file import parse_schema
from oncofed.errors import Fault, InvalidInput, SignatureInvalid
from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.plan_file import plan_from_json
from oncofed.protocol.signing import public_key_of, sign, verify
from oncofed.ranges import range_faults
from oncofed.texts import text_faults, text_of

LARGEST_BYTES = 4_000_000
_FORMAT = "oncofed study plan 1"
_KEYS = ("format", "plan", "schema", "signature")
_REMEDY = "Ask the coordinator for the document that `oncofed study sign` wrote."


@dataclass(frozen=True)
class StudyDocument:
    """plan: what is asked. schema_toml: the schema's file, word for word. signature: 64 bytes."""

    plan: StudyPlan
    schema_toml: str
    signature: bytes


def signed_document(plan: StudyPlan, *, schema_toml: str, signing_key: bytes) -> StudyDocument:
    """The plan as the coordinator with this key offers it.

    Raises InvalidInput for a public number outside its range, a text of another kind, and a schema that does not fit.
    """
    document = StudyDocument(plan, schema_toml, b"")
    if faults := [*range_faults(plan, where="study plan"), *text_faults(document, where="study document")]:
        raise InvalidInput(faults)
    schema_of(document)
    if plan.coordinator_public_key != public_key_of(signing_key).hex():
        raise SignatureInvalid("the plan names another coordinator's key than the one it would be signed with")
    return StudyDocument(plan, schema_toml, sign(signing_key, context=_FORMAT, message=_signed_bytes(document)))


def document_bytes(document: StudyDocument) -> bytes:
    """The canonical form."""
    return _json(
        {
            "format": _FORMAT,
            "plan": asdict(document.plan),
            "schema": document.schema_toml,
            "signature": document.signature.hex(),
        }
    )


def read_document(content: bytes, *, where: str = "study plan") -> StudyDocument:
    """The document in these bytes; its signature is not looked at yet. Raises InvalidInput."""
    if len(content) > LARGEST_BYTES:
        raise InvalidInput([Fault(where, f"is larger than {LARGEST_BYTES} bytes", _REMEDY)])
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict) or sorted(fields) != sorted(_KEYS) or fields["format"] != _FORMAT:
        raise InvalidInput([Fault(where, f"is no document of the form {_FORMAT!r}", _REMEDY)])
    schema_toml, signature = fields["schema"], fields["signature"]
    plan = plan_from_json(fields["plan"], where=f"{where}: plan")
    try:
        document = StudyDocument(plan, schema_toml, bytes.fromhex(signature))
        canonical = isinstance(schema_toml, str) and document_bytes(document) == content
    except (TypeError, ValueError):
        canonical = False
    if isinstance(schema_toml, str) and (wrong := text_of(StudyDocument, "schema_toml").fault(schema_toml)):
        raise InvalidInput([Fault(f"{where}: schema", wrong, _REMEDY)])
    if not canonical:
        raise InvalidInput([Fault(where, "is not in its canonical form", _REMEDY)])
    schema_of(document, where=where)
    return document


def verify_document(document: StudyDocument, *, public_key: bytes) -> None:
    """Raises SignatureInvalid unless the coordinator with this key signed the document and is the plan's own."""
    if document.plan.coordinator_public_key != public_key.hex():
        raise SignatureInvalid("the plan names another coordinator than the one this hospital enrolled with")
    verify(public_key, context=_FORMAT, message=_signed_bytes(document), signature=document.signature)


def schema_of(document: StudyDocument, *, where: str = "study plan") -> StudySchema:
    """The schema inside. Raises InvalidInput when it is at fault or is not the one whose hash the plan names."""
    schema = parse_schema(document.schema_toml, where=f"{where}: schema")
    if schema.hash != document.plan.schema_hash:
        raise InvalidInput([Fault(f"{where}: schema", "is not the one whose hash the plan names", _REMEDY)])
    return schema


def _signed_bytes(document: StudyDocument) -> bytes:
    return _json({"plan": asdict(document.plan), "schema": document.schema_toml})


def _json(content: object) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()
