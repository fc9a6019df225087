"""Which rows of which tables does one FHIR resource give, of whom, and what does it say of contact and death?

One resource at a time, without knowledge of any other. What was entered in error, cancelled, refuted or not done gives
no rows: it was not. A diagnosis that is only suspected says so in its column `verification`. A death is told by
`Patient.deceased`, or by other resources (`death_signs`).

Formats: FHIR R4; mCODE (https://hl7.org/fhir/us/mcode); the modules Person and Onkologie of the core data set of the
German Medical Informatics Initiative, which carry the oBDS.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from oncofed.client.importing.fhir.death_signs import EFFECTIVE, DeathTold, death_told, is_cause_of_death
from oncofed.client.importing.fhir.drug_codes import REFERRED, contained, medication_codes
from oncofed.client.importing.fhir.elements import (
    ATC,
    ICD_10,
    ICD_O_3,
    LOINC,
    OPS,
    SNOMED,
    Found,
    codes,
    codings_of,
    concepts_of,
    day_of,
    extensions_of,
    found_of,
    has_code,
    is_of,
    object_of,
    objects_of,
    or_none,
    reference_in,
    reference_of,
    text_of,
)
from oncofed.client.importing.fhir.files import Json
from oncofed.client.importing.fhir.text_columns import several
from oncofed.client.importing.mapping_choices import Part

Row = tuple[str | None, ...]
VERIFICATION = "verification"
SUSPECTED = ("unconfirmed", "provisional", "differential", "V")
"""In that column: the patient was seen, and has the disease perhaps. V is the certainty of ICD-10-GM."""
_CONFIRMED = "confirmed"

COLUMNS: Mapping[Part, tuple[str, ...]] = {
    Part.FHIR_PATIENTS: ("birth_date", "gender", "birth_sex", "deceased", "death_date", "hospital"),
    Part.FHIR_CONDITIONS: (
        *("date", "onset", "recorded", "code", "snomed", "icd_o_3", "morphology", "body_site", "stage", "text"),
        *("category", "clinical_status", VERIFICATION),
    ),
    Part.FHIR_OBSERVATIONS: (
        *("date", "code", "value", "unit", "text", "category", "status", "interpretation", "body_site", "method"),
    ),
    Part.FHIR_VARIANTS: ("date", "code", "value"),
    Part.FHIR_PROCEDURES: ("date", "end", "code", "value", "text", "category", "status", "body_site"),
    Part.FHIR_MEDICATIONS: ("date", "end", "code", "value", "text", "category", "status"),
}
"""Of each table, beside `patient` (and `last_contact` of patients)."""

DAYS = ("date", "end", "onset", "recorded", "birth_date", "death_date")
"""Columns of days, in any table."""

_MEDICATIONS = ("MedicationStatement", "MedicationAdministration")
_TYPES: Mapping[Part, tuple[str, ...]] = {
    Part.FHIR_PATIENTS: ("Patient",),
    Part.FHIR_CONDITIONS: ("Condition",),
    Part.FHIR_OBSERVATIONS: ("Observation",),
    Part.FHIR_VARIANTS: ("Observation",),
    Part.FHIR_PROCEDURES: ("Procedure",),
    Part.FHIR_MEDICATIONS: _MEDICATIONS,
}
KINDS = {part: "/".join(types) for part, types in _TYPES.items()}

_ERROR = "entered-in-error"
_NOT_SO: Mapping[str, tuple[str, ...]] = {
    "Observation": (_ERROR, "cancelled", "registered"),
    "DiagnosticReport": (_ERROR, "cancelled", "registered"),
    "Procedure": (_ERROR, "not-done", "preparation"),
    "MedicationStatement": (_ERROR, "not-taken", "intended"),
    "MedicationAdministration": (_ERROR, "not-done"),
    "MedicationRequest": (_ERROR, "cancelled", "draft"),
    "Encounter": (_ERROR, "cancelled", "planned"),
    "Immunization": (_ERROR, "not-done"),
    "ImagingStudy": (_ERROR, "cancelled", "registered"),
    "Specimen": (_ERROR,),
}
_FOUND = (*EFFECTIVE, "issued")
"""Of an observation: it was true when it was issued, or before. Nobody was seen for it then."""
_PERFORMED = ("performedDateTime", "performedPeriod.start")
_CONTACT: Mapping[str, tuple[str, ...]] = {
    "Observation": EFFECTIVE,
    "DiagnosticReport": EFFECTIVE,
    "Procedure": _PERFORMED,
    "MedicationStatement": EFFECTIVE,
    "MedicationAdministration": EFFECTIVE,
    "MedicationRequest": ("authoredOn",),
    "Encounter": ("period.end", "period.start"),
    "Immunization": ("occurrenceDateTime",),
    "ImagingStudy": ("started",),
    "Specimen": ("collection.collectedDateTime", "collection.collectedPeriod.start"),
}
KNOWN = {"Patient", "Medication", "Condition", *_NOT_SO}
"""Types of resources that are read. Of others only the number is told."""


@dataclass(frozen=True)
class Wanted:
    """A table that a mapping reads. system: the code system of its column `code`, None for the usual one."""

    part: Part
    system: str | None = None


@dataclass(frozen=True)
class Told:
    """rows         each with the place of its table among those wanted.
    codeless     places of tables to which it belongs, without a code of the system that is named or usual there.
    issued       whether its day is that of its issue, since it tells no other.
    contact      the day on which the patient was seen.
    death        whether it says that the patient has died.
    """

    subject: str | None = None
    rows: tuple[tuple[int, Row], ...] = ()
    codeless: tuple[int, ...] = ()
    issued: bool = False
    contact: str | None = None
    death: DeathTold = field(default_factory=DeathTold)


def is_not_so(resource: Json) -> bool:
    """Whether its status says that nothing of it happened, or that it is a mistake. Raises OtherForm."""
    kind = resource["resourceType"]
    if kind == "Condition":
        status = {each.code for each in codings_of(object_of(resource, "verificationStatus"))}
        if is_cause_of_death(resource):  # of which the patient died for sure, though not of what
            return bool({_ERROR, "refuted"} & status)
        return bool({_ERROR, "refuted"} & status) or "A" in _certainties(resource)
    return text_of(resource, "status") in _NOT_SO.get(kind, ())


def _certainties(condition: Json) -> set[str | None]:
    """By the Diagnosesicherheit of ICD-10-GM (A: excluded, V: suspected; G and Z were or are so)."""
    return {
        text_of(object_of(each, "valueCoding"), "code")
        for coding in objects_of(object_of(condition, "code"), "coding")
        for each in extensions_of(coding, "icd-10-gm-diagnosesicherheit")
    }


def _verification(condition: Json) -> str:
    """A doubt before all else. What nobody doubts is confirmed: without a status, or of the certainties G and Z."""
    found = [each.code for each in codings_of(object_of(condition, "verificationStatus"))]
    doubts = [code for code in (*found, *_certainties(condition)) if code in SUSPECTED]
    return [*doubts, *sorted(found, key=_CONFIRMED.__ne__), _CONFIRMED][0]


def told_by(resource: Json, wanted: Sequence[Wanted], today: date) -> Told:
    """What it says for the wanted tables. today: nobody was seen later. Raises OtherForm."""
    kind = resource["resourceType"]
    rows: list[tuple[int, Row]] = []
    codeless: list[int] = []
    for place, each in enumerate(wanted):
        if kind in _TYPES[each.part]:
            found = [*_ROWS[each.part](resource, each.system)]
            rows += [(place, row) for row in found]
            named = each.part in _USUAL and any(row[COLUMNS[each.part].index("code")] for row in found)
            if each.part in _USUAL and not (named and _has_code_of(resource, *_USUAL[each.part], each.system)):
                codeless.append(place)
    death = death_told(resource)
    contact = _day_of_condition(resource) if kind == "Condition" else day_of(resource, *_contact_of(resource, today))
    subject = None if kind == "Patient" else reference_of(resource)
    return Told(
        subject=subject,
        rows=tuple(rows),
        codeless=tuple(codeless),
        issued=kind == "Observation"
        and day_of(resource, *EFFECTIVE) is None
        and day_of(resource, "issued") is not None,
        contact=None if death.dead else contact,
        death=death,
    )


_USUAL: Mapping[Part, tuple[str, re.Pattern[str] | str]] = {
    Part.FHIR_CONDITIONS: ("code", ICD_10),
    Part.FHIR_OBSERVATIONS: ("code", LOINC),
    Part.FHIR_PROCEDURES: ("code", OPS),
    Part.FHIR_MEDICATIONS: ("medicationCodeableConcept", ATC),
}
"""Of tables of codes: the element that has them, and their usual system."""


def _has_code_of(resource: Json, element: str, usual: re.Pattern[str] | str, named: str | None) -> bool:
    """Also a part of it; or it refers to another resource that may have one."""
    wanted = usual if named is None else named
    holders = [resource, *objects_of(resource, "component")]
    return reference_in(object_of(resource, "medicationReference")) is not None or any(
        codes(object_of(each, element), preferred=wanted, only=wanted) for each in holders
    )


_OVER = ("finished", "completed", "discharged")


def _contact_of(resource: Json, today: date) -> tuple[str, ...]:
    names = _CONTACT.get(resource["resourceType"], ())
    if resource["resourceType"] != "Encounter" or text_of(resource, "status") in _OVER:
        return names
    end = day_of(resource, "period.end")
    return names[1:] if end is not None and end > today.isoformat() else names


# --- the rows of one resource


def _patient(resource: Json, _: str | None) -> Iterator[Row]:
    death = day_of(resource, "deceasedDateTime")
    deceased = "true" if death is not None else text_of(resource, "deceasedBoolean")
    hospital = object_of(resource, "managingOrganization")
    name = text_of(hospital, "display") or (text_of(hospital, "reference") or "").rpartition("/")[2]
    sex = next((text_of(each, "valueCode") for each in extensions_of(resource, "us-core-birthsex")), None)
    yield day_of(resource, "birthDate"), text_of(resource, "gender"), sex, deceased, death, name or None


_ASSERTED = "/condition-assertedDate"


def _day_of_condition(resource: Json) -> str | None:
    """Of the diagnosis: when it was asserted, else its onset, else when it was recorded."""
    asserted = (day_of(each, "valueDateTime") for each in extensions_of(resource, _ASSERTED))
    return next(filter(None, asserted), None) or day_of(resource, "onsetDateTime", "onsetPeriod.start", "recordedDate")


def _condition(resource: Json, system: str | None) -> Iterator[Row]:
    code, sites = object_of(resource, "code"), objects_of(resource, "bodySite")
    morphology = [
        found
        for each in objects_of(resource, "extension")
        if "histology-morphology-behavior" in (text_of(each, "url") or "")
        for found in codes(object_of(each, "valueCodeableConcept"), preferred=ICD_O_3)
    ]
    stages = [_first_code([object_of(each, "summary")]) for each in objects_of(resource, "stage")]
    icd_o_3 = [found.code for each in [code, *sites] for found in codings_of(each) if is_of(found.system, ICD_O_3)]
    snomed = [found.code for found in codings_of(code) if found.system == SNOMED]
    day = _day_of_condition(resource)
    for each in or_none(codes(code, preferred=ICD_10, only=system)):
        yield (
            *(day, day_of(resource, "onsetDateTime", "onsetPeriod.start"), day_of(resource, "recordedDate")),
            *(each, several(snomed), several(icd_o_3), several(morphology), _codes_of(sites), several(stages)),
            *(_words(code), _codes_of(concepts_of(resource, "category"))),
            *(_first_code([object_of(resource, "clinicalStatus")]), _verification(resource)),
        )


def _observation(resource: Json, system: str | None) -> Iterator[Row]:
    day = day_of(resource, *_FOUND)
    shared = (
        _codes_of(concepts_of(resource, "category")),
        text_of(resource, "status"),
        _codes_of(concepts_of(resource, "interpretation")),
        _codes_of([object_of(resource, "bodySite")]),
        _codes_of([object_of(resource, "method")]),
    )
    components = objects_of(resource, "component")
    # Also where its components alone have values: a patient with it is none without a row.
    holders = [resource, *components]
    listed = [(codes(object_of(each, "code"), preferred=LOINC, only=system), each) for each in holders]
    if not any(told for told, _ in listed):
        yield day, None, None, None, None, *shared
    for own, holder in listed:
        value = found_of(holder) or Found(None)
        for code in own:
            yield day, code, value.value, value.unit, value.text, *shared


_VARIANT, _REGION, _GENE = (LOINC, "69548-6"), (LOINC, "53041-0"), (LOINC, "48018-6")
_PRESENCE = {"LA9633-4": "present", "LA9634-2": "absent"}


def _variant(resource: Json, _: str | None) -> Iterator[Row]:
    """A gene with a variant is present; one of a region that was studied is absent, unless a variant says otherwise."""
    code = object_of(resource, "code")
    if not has_code(code, _VARIANT, _REGION):
        return
    value = "absent"
    if has_code(code, _VARIANT):
        listed = codings_of(object_of(resource, "valueCodeableConcept"))
        value = next((_PRESENCE[each.code] for each in listed if each.code in _PRESENCE), "")
    components = objects_of(resource, "component")
    genes = [each for each in components if has_code(object_of(each, "code"), _GENE)]
    for each in genes or ([{}] if value != "absent" else []):  # a variant of no gene that is told is one of somebody
        yield day_of(resource, *_FOUND), _names_of_gene(each), value or None


def _names_of_gene(component: Json) -> str | None:
    """All, as `several`: whichever of them is the symbol, and in whatever order they stand."""
    concept = object_of(component, "valueCodeableConcept")
    listed = codings_of(concept)
    names = [*(each.display for each in listed), text_of(concept, "text"), text_of(component, "valueString")]
    return several([*names, *(each.code for each in listed)])


def _procedure(resource: Json, system: str | None) -> Iterator[Row]:
    code = object_of(resource, "code")
    shared = (
        *(_words(code), _codes_of(concepts_of(resource, "category")), text_of(resource, "status")),
        _codes_of(concepts_of(resource, "bodySite")),
    )
    for each in or_none(codes(code, preferred=OPS, only=system)):
        yield day_of(resource, *_PERFORMED), day_of(resource, "performedPeriod.end"), each, "1", *shared


def _medication(resource: Json, system: str | None) -> Iterator[Row]:
    drug: Json = {"code": object_of(resource, "medicationCodeableConcept")}
    referred, inside = None, objects_of(resource, "contained")
    told = object_of(resource, "medicationReference")
    if (reference := reference_in(told)) is not None:
        if reference.startswith("#"):
            drug = contained(inside, reference)
        else:
            referred = f"{REFERRED}{reference}"
    elif (display := text_of(told, "display")) is not None:
        drug = {"code": {"text": display}}
    words = _words(object_of(drug, "code"))
    shared = (words, _codes_of(concepts_of(resource, "category")), text_of(resource, "status"))
    for each in or_none([referred] if referred is not None else medication_codes(drug, system, inside)):
        yield day_of(resource, *EFFECTIVE), day_of(resource, "effectivePeriod.end"), each, "1", *shared


_ROWS: Mapping[Part, Callable[[Json, str | None], Iterator[Row]]] = {
    Part.FHIR_PATIENTS: _patient,
    Part.FHIR_CONDITIONS: _condition,
    Part.FHIR_OBSERVATIONS: _observation,
    Part.FHIR_VARIANTS: _variant,
    Part.FHIR_PROCEDURES: _procedure,
    Part.FHIR_MEDICATIONS: _medication,
}


def _codes_of(concepts: Sequence[Json]) -> str | None:
    """All, of every system, as `several`; the text of a concept without one."""
    told: list[str | None] = []
    for each in concepts:
        told += [code.code for code in codings_of(each)] or [text_of(each, "text")]
    return several(told)


def _first_code(concepts: Sequence[Json]) -> str | None:
    return next((found for each in concepts for found in codes(each, preferred="")), None)


def _words(concept: Json) -> str | None:
    """As it is called: the name of its first coding, else its text."""
    listed = codings_of(concept)
    return (listed[0].display if listed else "") or text_of(concept, "text")
