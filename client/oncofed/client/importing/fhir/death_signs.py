"""Does a FHIR resource tell that its patient has died, other than as the patient, and on which day?

By the vital status (LOINC 67162-8), a cause of death (an observation, SNOMED 184305005, whose day is that of the death;
or a condition of the category LOINC 79378-6 or SNOMED 16100001, which tells no day), or the discharge of a stay, which
then ended with the death. Promise: a vital status that says what is not known here is nobody's life.

Codes: FHIR R4 (discharge-disposition); the National Uniform Billing Committee, and table 0112 of HL7 v2 (20, 40 to 42);
the German Entlassungsgrund (07); the German core data set, module Person (Vitalstatus).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from oncofed.client.importing.fhir.elements import (
    LOINC,
    SNOMED,
    Coding,
    codings_of,
    concepts_of,
    day_of,
    extensions_of,
    has_code,
    object_of,
    objects_of,
    text_of,
)
from oncofed.client.importing.fhir.files import Json

EFFECTIVE = ("effectiveDateTime", "effectiveInstant", "effectivePeriod.start")

_DEAD = {"419099009", "397709008", "371828006"}
"""Of SNOMED: dead; patient died; died during the stay."""
_SAID_DEAD = re.compile(
    r"(?:patient\w*\s+)?(?:is\s+|ist\s+)?(?:dead|deceased|died|expired|verstorben|gestorben|tod|tot)"
)
_ELSE, _ALIVE = {"L", "A", "N", "B", "X"}, "438949009"
"""Of the German vital status: lives, or nobody knows. Of SNOMED: alive."""
_SAID_ELSE = re.compile(
    r"(?:patient\w*\s+)?(?:is\s+|ist\s+)?(?:alive|living|lives|lebt|lebend|unknown|unbekannt|unk|not known)"
)
_DISCHARGED = (
    (re.compile(r"discharge-disposition$"), re.compile(r"exp")),
    (re.compile(r"PatDischargeStatus$|v2-0112$"), re.compile(r"20|40|41|42")),
    (re.compile(r"entlassungsgrund", re.IGNORECASE), re.compile(r"07\d?")),
)
"""Code systems, and their codes for a death."""


@dataclass(frozen=True)
class DeathTold:
    """dead        whether the patient has died. day: of the death, if that is told.
    discharged  the end of the stay that ended so, if that is told.
    unclear     whether it is a vital status that says what is not known here.
    """

    dead: bool = False
    day: str | None = None
    discharged: str | None = None
    unclear: bool = False


def death_told(resource: Json) -> DeathTold:
    """Raises OtherForm."""
    kind = resource["resourceType"]
    if kind == "Observation":
        code = object_of(resource, "code")
        if has_code(code, (SNOMED, "184305005")):
            return DeathTold(True, day_of(resource, *EFFECTIVE))
        if has_code(code, (LOINC, "67162-8")):
            return _vital_status(resource)
    if kind == "Encounter" and _ended_with_death(object_of(resource, "hospitalization")):
        return DeathTold(True, discharged=day_of(resource, "period.end"))
    return DeathTold(kind == "Condition" and is_cause_of_death(resource))


def is_cause_of_death(condition: Json) -> bool:
    dying = ((LOINC, "79378-6"), (SNOMED, "16100001"))
    return any(has_code(each, *dying) for each in concepts_of(condition, "category"))


def _vital_status(resource: Json) -> DeathTold:
    concept = object_of(resource, "valueCodeableConcept")
    listed, said = codings_of(concept), [*_words_of(concept)]
    said += [each.casefold() for each in [text_of(resource, "valueString")] if each is not None]
    said += [each.code.casefold() for each in listed]  # words are codes of their own in many systems
    if any(each.code == "T" for each in listed) or _is_dead(listed, said):
        return DeathTold(True)
    otherwise = any(each.code in _ELSE or each == Coding(SNOMED, _ALIVE, each.display) for each in listed)
    otherwise |= any(_SAID_ELSE.fullmatch(each) for each in said)
    told = any(name.startswith("value") and value is not None for name, value in resource.items())
    return DeathTold(unclear=told and not otherwise)


def _ended_with_death(stay: Json) -> bool:
    disposition = object_of(stay, "dischargeDisposition")
    listed = codings_of(disposition)
    for each in extensions_of(disposition, "Entlassungsgrund"):
        listed += codings_of(
            {"coding": [object_of(part, "valueCoding") for part in (each, *objects_of(each, "extension"))]}
        )
    codes = any(of.search(each.system) and code.fullmatch(each.code) for each in listed for of, code in _DISCHARGED)
    return codes or _is_dead(listed, [*_words_of(disposition)])


def _is_dead(listed: list[Coding], said: list[str]) -> bool:
    coded = any(each.system == SNOMED and each.code in _DEAD for each in listed)
    return coded or any(_SAID_DEAD.fullmatch(each) for each in said)


def _words_of(concept: Json) -> Iterator[str]:
    """In small letters."""
    for text in (*(each.display for each in codings_of(concept)), text_of(concept, "text")):
        if text:
            yield text.casefold()
