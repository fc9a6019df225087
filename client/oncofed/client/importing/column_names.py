"""What does the name of a hospital's column suggest, and in which unit?

Names alone: no cell is asked. A guess is for a person to confirm.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from oncofed.client.importing.analytes import ANALYTES, Analyte
from oncofed.client.importing.units import unit_of
from oncofed.cohort.letters import plain


class Role(StrEnum):
    """What a column may be, beside a laboratory value."""

    PATIENT = "patient"
    HOSPITAL = "hospital"
    EVENT = "event"
    TIME = "time"
    EVENT_DATE = "event_date"
    LAST_CONTACT = "last_contact"
    TIME_ZERO = "time_zero"
    ENTRY_DATE = "entry_date"
    DATE = "date"
    CODE = "code"
    VALUE = "value"
    UNIT = "unit"
    AGE = "age"
    SEX = "sex"
    ECOG = "ecog"
    KARNOFSKY = "karnofsky"
    STAGE = "stage"
    BMI = "bmi"


_NAMES: dict[Role, tuple[str, ...]] = {
    Role.PATIENT: ("patient id", "patientid", "patient", "patnr", "pat nr", "pid", "mrn", "id", "patienten id"),
    Role.HOSPITAL: ("hospital", "site", "center", "centre", "clinic", "klinik", "krankenhaus", "inst", "standort"),
    Role.EVENT_DATE: ("date of death", "death date", "deathdate", "sterbedatum", "todesdatum", "deceased date"),
    Role.LAST_CONTACT: (
        "last contact",
        "letzter kontakt",
        "last followup",
        "last follow up",
        "last seen",
        "last known alive",
    ),
    Role.TIME_ZERO: ("date of diagnosis", "diagnosis date", "diagnosedatum", "erstdiagnose", "datum der diagnose"),
    Role.ENTRY_DATE: ("first visit", "erstvorstellung", "entry date"),
    Role.EVENT: (
        *("event", "status", "death", "dead", "os status", "vitalstatus", "vital status", "fstat"),
        *("death observed", "deceased", "verstorben", "cens", "censdead"),
    ),
    Role.TIME: (
        *("time", "os months", "os days", "survival months", "survival days", "survival time", "futime", "lenfol"),
        *("survtime", "surv time", "follow up", "followup", "months", "days"),
    ),
    Role.CODE: ("loinc", "code", "analyt", "analyte", "parameter", "test", "concept code"),
    Role.VALUE: ("value", "wert", "result", "ergebnis", "messwert", "value as number"),
    Role.UNIT: ("unit", "einheit", "units"),
    Role.DATE: (
        *("date", "datum", "taken", "entnahme", "entnahmedatum", "collected"),
        *("study date", "studydate", "scan date", "acquisition date", "untersuchungsdatum"),
    ),
    Role.AGE: ("age", "alter", "age years", "age in years", "age at diagnosis", "alter bei diagnose"),
    Role.SEX: ("sex", "gender", "geschlecht", "female", "male"),
    Role.ECOG: ("ecog", "ecog ps", "ph ecog", "performance status", "ecog performance status"),
    Role.KARNOFSKY: ("karnofsky", "kps", "ph karno", "karnofsky score"),
    Role.STAGE: ("stage", "uicc", "uicc stage", "uicc stadium", "stadium", "ajcc stage"),
    Role.BMI: ("bmi", "body mass index"),
}
_BY_NAME = {name: role for role, names in _NAMES.items() for name in names}
_ANALYTES = {tuple(word.split()): analyte for analyte in ANALYTES for word in analyte.words}
_LONGEST = max(map(len, _ANALYTES))


@dataclass(frozen=True)
class Suggestion:
    """role or analyte; neither where a name says nothing. unit: as the name tells it, or None."""

    role: Role | None = None
    analyte: Analyte | None = None
    unit: str | None = None


def rank(column: str, role: Role) -> int:
    """Of several columns for a role, the first is the most telling."""
    return _NAMES[role].index(_without_unit(plain(column))[0])


def suggested(column: str) -> Suggestion:
    name, unit = _without_unit(plain(column))
    words = name.split()
    if (role := _BY_NAME.get(" ".join(words))) is not None:
        return Suggestion(role=role)
    for many in range(min(_LONGEST, len(words)), 0, -1):
        for spelling in {tuple(words[:many]), tuple(" ".join(words[:many]).replace(" ", "-").split())}:
            if (analyte := _ANALYTES.get(spelling)) is not None and not words[many:]:
                return Suggestion(analyte=analyte, unit=_unit(unit, analyte))
    return Suggestion()


def _without_unit(column: str) -> tuple[str, str | None]:
    """The name in small letters and single blanks, and as it is written what stands in brackets or behind it as in
    `_mg_per_l`.
    """
    text, unit = column.strip(), None
    if (found := re.fullmatch(r"(.+?)\s*[\[(]([^\])]+)[\])]", text)) is not None:
        text, unit = found.group(1), found.group(2)
    elif (found := re.fullmatch(r"(.+?)[_ .]([a-z0-9]+)_per_([a-z0-9]+)", text, re.IGNORECASE)) is not None:
        text, unit = found.group(1), f"{found.group(2)}/{found.group(3)}"
    return " ".join(re.sub(r"[_.:/]+", " ", text.casefold()).split()), unit


def _unit(written: str | None, analyte: Analyte) -> str | None:
    """In small letters, if it is known as it is written."""
    known = written is not None and unit_of(written, counted=analyte.counted) is not None
    return written.casefold() if written is not None and known else None
