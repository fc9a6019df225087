"""What do the elements of a FHIR resource say: codes, days, quantities, references?

A resource is other people's, so each element is asked for its form: one of another form than FHIR R4 has raises
`OtherForm` with its name, and of its content nothing is told. An element that is absent is None or empty.

Format: FHIR R4 data types, https://hl7.org/fhir/R4/datatypes.html.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from oncofed.client.importing.fhir.files import Json
from oncofed.client.importing.moments import needs_zone
from oncofed.client.importing.units import contradict

LOINC = "http://loinc.org"
SNOMED = "http://snomed.info/sct"
_ALSO: dict[str, str] = {"urn:oid:2.16.840.1.113883.6.1": LOINC, "urn:oid:2.16.840.1.113883.6.96": SNOMED}
"""Other addresses of these, as documents of CDA have them."""
ICD_10 = re.compile(r"icd-?10|2\.16\.840\.1\.113883\.6\.(3|90)$|1\.2\.276\.0\.76\.5\.\d+$", re.IGNORECASE)
"""Of the address of a code system: ICD-10 of the WHO, and its national editions (GM, CM)."""
ICD_O_3 = re.compile(r"icd-?o-?3|icd-?o$|2\.16\.840\.1\.113883\.6\.43(\.1)?$", re.IGNORECASE)
ATC = re.compile(r"whocc\.no/atc|CodeSystem/(bfarm/)?atc|2\.16\.840\.1\.113883\.6\.73$", re.IGNORECASE)
OPS = re.compile(r"(CodeSystem/(bfarm|dimdi)|dimdi\.de)/ops|1\.2\.276\.0\.76\.5\.\d+$", re.IGNORECASE)


class OtherForm(Exception):
    """An element is not of the form that FHIR R4 gives it. The text is its name."""


@dataclass(frozen=True)
class Coding:
    system: str
    code: str
    display: str


def text_of(holder: Json, name: str) -> str | None:
    """Of a text, a number or a truth; blanks about it do not count, and an empty one is none."""
    found = holder.get(name)
    if isinstance(found, str):
        return found.strip() or None
    if found is None:
        return None
    if isinstance(found, bool):
        return "true" if found else "false"
    raise OtherForm(name)


def object_of(holder: Json, name: str) -> Json:
    found = holder.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise OtherForm(name)
    return found


def objects_of(holder: Json, name: str) -> list[Json]:
    found = holder.get(name)
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise OtherForm(name)
    return found


def system_meant(address: str) -> str:
    """LOINC's and SNOMED's own address for what else programs write: by https, with a stroke behind it, as an OID."""
    plain = address.rstrip("/")
    known = plain.replace("https://", "http://", 1)
    return known if known in (LOINC, SNOMED) else _ALSO.get(plain, address)


def codings_of(concept: Json) -> list[Coding]:
    """Those with a code."""
    return [
        Coding(system_meant(text_of(each, "system") or ""), code, text_of(each, "display") or "")
        for each in objects_of(concept, "coding")
        if (code := text_of(each, "code")) is not None
    ]


def concepts_of(holder: Json, name: str) -> list[Json]:
    """Of an element that is a list in one kind of resource and single in another."""
    return objects_of(holder, name) if isinstance(holder.get(name), list) else [object_of(holder, name)]


def codes(concept: Json, *, preferred: re.Pattern[str] | str, only: re.Pattern[str] | str | None = None) -> list[str]:
    """Each code of the system `only`; without one, each of the preferred systems, else the first code, else the text.

    Of several codes of a system all are told, each once.
    """
    found = codings_of(concept)
    wanted = preferred if only is None else only
    if (chosen := [each for each in found if is_of(each.system, wanted)]) or only is not None:
        # Of ICD-10 no two codes differ in capitals alone.
        return list(dict.fromkeys(each.code.upper() if is_of(each.system, ICD_10) else each.code for each in chosen))
    first = found[0].code if found else text_of(concept, "text")
    return [] if first is None else [first]


def or_none(found: Sequence[str]) -> Sequence[str | None]:
    """A row for each; and one for what has none."""
    return found or (None,)


def is_of(system: str, wanted: re.Pattern[str] | str) -> bool:
    return system == system_meant(wanted) if isinstance(wanted, str) else wanted.search(system) is not None


def code_of(concept: Json, system: re.Pattern[str] | str) -> str | None:
    """The first code of a system."""
    return next((each.code for each in codings_of(concept) if is_of(each.system, system)), None)


def has_code(concept: Json, *wanted: tuple[str, str]) -> bool:
    """wanted: system and code."""
    return any((each.system, each.code) in wanted for each in codings_of(concept))


def extensions_of(holder: Json, ending: str) -> Iterator[Json]:
    """Those whose address ends in this."""
    for each in objects_of(holder, "extension"):
        if (text_of(each, "url") or "").endswith(ending):
            yield each


# --- days

_DATE_TIME = re.compile(r"(\d{4}(?:-\d{2}(?:-\d{2})?)?)(?:T(?P<clock>.*))?", re.ASCII | re.DOTALL)


def day_of(holder: Json, *names: str) -> str | None:
    """The day of the first of these elements that is told: `YYYY`, `YYYY-MM` or `YYYY-MM-DD`.

    As the clock of those who wrote it shows it: the time of day and its zone are cut off. What is no such text, and a
    moment in UTC, which is a day only somewhere (`clock`), is handed on, and whoever reads days says so. A name with a
    point is the member of another: `onsetPeriod.start`.
    """
    for name in names:
        outer, _, inner = name.partition(".")
        told = text_of(object_of(holder, outer), inner) if inner else text_of(holder, outer)
        if told is not None:
            found = _DATE_TIME.fullmatch(told)
            return told if found is None or needs_zone(found["clock"] or "") else found.group(1)
    return None


# --- what an observation found


@dataclass(frozen=True)
class Found:
    """value: a number, with < or > before it beyond a limit of detection; a code; or a text. text: in words."""

    value: str | None
    unit: str | None = None
    text: str | None = None


def found_of(holder: Json) -> Found | None:
    """`value[x]` of an observation or of a component; None where it has none. Raises OtherForm for another kind.

    Of a code the first coding counts. A quantity's unit is its UCUM code, where it has one, and no known one where its
    text contradicts it.
    """
    kinds = [name for name in holder if name.startswith("value") and holder[name] is not None]
    if not kinds:
        return None
    (kind, *more) = kinds
    if more:
        raise OtherForm("value[x]")
    if kind == "valueQuantity":
        return _quantity(object_of(holder, kind))
    if kind == "valueCodeableConcept":
        concept = object_of(holder, kind)
        listed = codings_of(concept)
        words = text_of(concept, "text") or (listed[0].display if listed else None)
        return Found(listed[0].code if listed else words, None, words)
    if kind in ("valueString", "valueInteger", "valueBoolean"):
        told = text_of(holder, kind)
        return Found(told, None, told)
    if kind == "valueDateTime":
        return Found(day_of(holder, kind))
    if kind in ("valueRange", "valueRatio", "valueSampledData", "valueTime", "valuePeriod"):
        return Found(None, None, f"[{kind}]")
    raise OtherForm(kind)


NOT_READ = re.compile(r"\[value\w+\]")
"""`Found.text` of a value of a kind that no marker can have."""


def _quantity(quantity: Json) -> Found:
    number, comparator = text_of(quantity, "value"), text_of(quantity, "comparator") or ""
    code, said = text_of(quantity, "code"), text_of(quantity, "unit")
    unit = code or said
    if code is not None and said is not None and contradict(code, said):
        unit = f"{code} | {said}"  # which is no unit, so that somebody is asked
    return Found(None if number is None else f"{comparator}{number}", unit, said)


# --- whose it is


def reference_of(resource: Json) -> str | None:
    """Of whom a resource is, as its `subject` or `patient` says it: an address, or `system|value` of an identifier."""
    for name in ("subject", "patient"):
        if (reference := reference_in(object_of(resource, name))) is not None:
            return reference
    return None


_CONDITIONAL = re.compile(r"(?:.*/)?[A-Za-z]+\?identifier=([^&]+)")
"""As a transaction refers to what has an identifier."""


def reference_in(told: Json) -> str | None:
    """Of an element that refers to another resource."""
    if (reference := text_of(told, "reference")) is not None:
        if (found := _CONDITIONAL.fullmatch(reference)) is not None:
            system, _, number = unquote(found[1]).rpartition("|")
            return identifier_key(system, number)
        return reference
    identifier = object_of(told, "identifier")
    value = text_of(identifier, "value")
    return None if value is None else identifier_key(text_of(identifier, "system") or "", value)


def identifier_key(system: str, value: str) -> str:
    """In the form of a reference, but unlike any."""
    return f"?{system}|{value}"
