"""What does a hospital get to read, approve and keep? One signed document: the plan and the schema it is about.

The document is JSON in one canonical form: ``format``, ``plan`` (see `protocol.plan`), ``schema`` (the text of the
schema's TOML file) and ``signature`` (Ed25519, of the coordinator, over the other three). The plan names the schema's
hash and the coordinator's key; the hash of the plan therefore names the whole study.

Promises: `read_document(document_bytes(d)) == d`. Refused: another form, a larger file than `LARGEST_BYTES`, a schema
that is not the plan's, a plan without members or whose coordinator is not the one that signed. Whose signature stands
under a document, and which plan's hash is in it, is known before anything of it is parsed (`SealedDocument`). Imports
no torch.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property

from oncofed.cohort.schema import StudySchema
from oncofed.cohort.schema_file import parse_schema
from oncofed.errors import Fault, InvalidInput, SignatureInvalid
from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.plan_file import plan_from_json
from oncofed.protocol.signing import public_key_of, sign, verify
from oncofed.ranges import range_faults
from oncofed.texts import text_faults, text_of

LARGEST_BYTES = 1_000_000
"""No study comes near: 350 markers with a section each, 38 tumours and 100 hospitals take 0.12 MB, and 6,363 molecular
features (the Molecular Twin), asked for with key markers and interactions, 0.4 MB."""
_FORMAT = "oncofed study plan 1"
_KEYS = ("format", "plan", "schema", "signature")
_REMEDY = "Ask the coordinator for the document that `oncofed study sign` wrote."
# How the canonical form goes on behind one part of it. None of them can stand inside of a JSON text, whose quotation
# marks are escaped, and no field of a plan is called schema or signature.
_BEFORE_PLAN = f'{{"format":"{_FORMAT}","plan":'.encode()
_BEFORE_SCHEMA = b',"schema":"'
_BEFORE_SIGNATURE = b',"signature":"'


@dataclass(frozen=True)
class StudyDocument:
    """plan: what is asked. schema_toml: the schema's file, word for word. signature: 64 bytes."""

    plan: StudyPlan
    schema_toml: str
    signature: bytes


@dataclass(frozen=True, eq=False)
class SealedDocument:
    """A document's bytes, cut into its parts and not parsed; what it says of itself is not believed yet.

    content    all of it. plan: the plan's canonical text. schema: the schema as a JSON text, quotation marks included.
    signature  as it stands there, hexadecimal.
    """

    content: bytes
    plan: bytes
    schema: bytes
    signature: bytes

    @cached_property
    def plan_hash(self) -> str:
        """Of the plan inside, whatever it is."""
        return hashlib.sha256(self.plan).hexdigest()

    def refuse_unless_signed(self, *, public_key: bytes) -> None:
        """Raises SignatureInvalid unless the coordinator with this key signed these very bytes.

        The signature counts in lower-case digits without blanks only: else whoever carries a document could make any
        number of others of it, all of them signed.
        """
        try:
            signature = bytes.fromhex(self.signature.decode("ascii"))
        except ValueError:
            signature = b""
        if signature.hex().encode() != self.signature:
            signature = b""
        message = b'{"plan":%b,"schema":%b}' % (self.plan, self.schema)
        verify(public_key, context=_FORMAT, message=message, signature=signature)

    @cached_property
    def study(self) -> str:
        """The study's name, without looking at the rest of the plan. Raises InvalidInput where there is none."""
        try:
            name = json.loads(self.plan)["study"]
        except (ValueError, TypeError, KeyError, RecursionError):
            name = None
        if name not in text_of(StudyPlan, "study"):
            raise InvalidInput([Fault("study plan", "does not say which study it is of", _REMEDY)])
        return str(name)


def sealed_document(content: bytes, *, where: str = "study plan") -> SealedDocument:
    """The parts of these bytes. Raises InvalidInput for a larger document, and one that does not have them."""
    if len(content) > LARGEST_BYTES:
        raise InvalidInput([Fault(where, f"is larger than {LARGEST_BYTES:,} bytes", _REMEDY)])
    schema, signature = content.find(_BEFORE_SCHEMA), content.rfind(_BEFORE_SIGNATURE)
    if not (content.startswith(_BEFORE_PLAN) and len(_BEFORE_PLAN) < schema < signature and content.endswith(b'"}')):
        raise InvalidInput(
            [Fault(where, f"is no document of the form {_FORMAT!r}, or not in its canonical form", _REMEDY)]
        )
    return SealedDocument(
        content,
        plan=content[len(_BEFORE_PLAN) : schema],
        schema=content[schema + len(_BEFORE_SCHEMA) - 1 : signature],
        signature=content[signature + len(_BEFORE_SIGNATURE) : -2],
    )


def signed_document(plan: StudyPlan, *, schema_toml: str, signing_key: bytes) -> StudyDocument:
    """The plan as the coordinator with this key offers it.

    Raises InvalidInput for a public number outside its range, a text of another kind, a schema that does not fit, and a
    document that no hospital would take because it is too large.
    """
    document = StudyDocument(plan, schema_toml, b"")
    if faults := [*range_faults(plan, where="study plan"), *text_faults(document, where="study document")]:
        raise InvalidInput(faults)
    schema_of(document)
    if plan.coordinator_public_key != public_key_of(signing_key).hex():
        raise SignatureInvalid("the plan names another coordinator's key than the one it would be signed with")
    signed = StudyDocument(plan, schema_toml, sign(signing_key, context=_FORMAT, message=_signed_bytes(document)))
    if (size := len(document_bytes(signed))) > LARGEST_BYTES:
        what = f"takes {size:,} bytes, above {LARGEST_BYTES:,}"
        remedy = (
            "List markers of one kind under names = [...], ask for fewer markers or hospitals, or plan two studies."
        )
        raise InvalidInput([Fault("study document", what, remedy)])
    return signed


def document_bytes(document: StudyDocument) -> bytes:
    """The canonical form."""
    return _json(
        {
            "format": _FORMAT,
            "plan": document.plan.content,
            "schema": document.schema_toml,
            "signature": document.signature.hex(),
        }
    )


def read_document(content: bytes, *, where: str = "study plan") -> StudyDocument:
    """The document in these bytes; its signature is not looked at yet. Raises InvalidInput."""
    sealed_document(content, where=where)
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
    return _json({"plan": document.plan.content, "schema": document.schema_toml})


def _json(content: object) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()
