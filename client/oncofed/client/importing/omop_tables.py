"""Which columns have the tables of an OMOP common data model, and what is read from them without being named?

Of version 5.4 (public documentation of OHDSI). What a table itself has no column for is derived by `omop`, under names
of its own: `code`, `value` and `unit` of a long table, and of a person `birth_date`, `dead`, `death_date`,
`first_contact` and `last_contact`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class OmopTable(StrEnum):
    """The tables of an OMOP common data model (5.4) that a mapping reads."""

    PERSON = "person"
    DEATH = "death"
    OBSERVATION_PERIOD = "observation_period"
    VISIT_OCCURRENCE = "visit_occurrence"
    CONDITION_OCCURRENCE = "condition_occurrence"
    DRUG_EXPOSURE = "drug_exposure"
    PROCEDURE_OCCURRENCE = "procedure_occurrence"
    MEASUREMENT = "measurement"
    OBSERVATION = "observation"
    EPISODE = "episode"


ANCESTORS, CONCEPTS = "concept_ancestor", "concept"
OF_VOCABULARY = frozenset({ANCESTORS, CONCEPTS})
"""Tables of the vocabulary, which come from its publisher and hold nothing of patients."""
NAMES = frozenset({*(table.value for table in OmopTable), *OF_VOCABULARY})
"""Tables of the model that are read."""

PERSON_ID = "person_id"
CODE, VALUE, UNIT = "code", "value", "unit"
BIRTH, DEAD, DEATH, FIRST, LAST = "birth_date", "dead", "death_date", "first_contact", "last_contact"
OF_SOURCE = "source:"
"""How a code begins that a hospital's own system gave and nobody has mapped to a concept."""
OF_CONCEPT = "concept:"
"""How a value begins that is a concept and no number."""


@dataclass(frozen=True)
class CdmTable:
    """date     the day of a row. last: the day that tells of a contact.
    concept     what a row is about. own: the same in the words of the hospital's system.
    valued      whether a row has a value and a unit; else a row says that something was there, and its value is 1.
    """

    date: str | None
    concept: str | None = None
    own: str | None = None
    last: str | None = None
    valued: bool = False
    patient: str = PERSON_ID

    @property
    def code(self) -> str | None:
        return None if self.concept is None else CODE

    @property
    def value(self) -> str | None:
        return None if self.concept is None else VALUE

    @property
    def unit(self) -> str | None:
        return UNIT if self.valued else None

    def days(self, *, last: bool) -> tuple[str, ...]:
        """The columns with days of contact. last: also those of ends, which are empty while a visit goes on."""
        return tuple(day for day in (self.date, self.last if last else None) if day is not None)


def _event(name: str, date: str, *, last: str | None = None, valued: bool = False) -> CdmTable:
    return CdmTable(date, f"{name}_concept_id", f"{name}_source_value", last, valued)


OMOP: Mapping[OmopTable, CdmTable] = {
    OmopTable.PERSON: CdmTable(None),
    OmopTable.DEATH: CdmTable("death_date", "cause_concept_id", "cause_source_value"),
    OmopTable.OBSERVATION_PERIOD: CdmTable("observation_period_start_date", last="observation_period_end_date"),
    OmopTable.VISIT_OCCURRENCE: _event("visit", "visit_start_date", last="visit_end_date"),
    OmopTable.CONDITION_OCCURRENCE: _event("condition", "condition_start_date"),
    OmopTable.DRUG_EXPOSURE: _event("drug", "drug_exposure_start_date"),
    OmopTable.PROCEDURE_OCCURRENCE: _event("procedure", "procedure_date"),
    OmopTable.MEASUREMENT: _event("measurement", "measurement_date", valued=True),
    OmopTable.OBSERVATION: _event("observation", "observation_date", valued=True),
    OmopTable.EPISODE: _event("episode", "episode_start_date"),
}
CONTACTS = tuple(table for table in OMOP if table not in (OmopTable.PERSON, OmopTable.DEATH))
OPERATORS: Mapping[int, str] = {4171756: "<", 4171754: "<=", 4172704: ">", 4171755: ">="}
"""By operator concept."""
EQUAL = 4172703
"""Which says nothing."""

UNITS: Mapping[int, str] = {
    8840: "mg/dl",
    8751: "mg/l",
    8713: "g/dl",
    8636: "g/l",
    8842: "ng/ml",
    8845: "pg/ml",
    8817: "ng/dl",
    8725: "ng/l",
    8748: "ug/l",
    8837: "ug/dl",
    8859: "ug/ml",
    8749: "umol/l",
    8753: "mmol/l",
    8736: "nmol/l",
    8729: "pmol/l",
    9557: "meq/l",
    8645: "U/l",
    8923: "IU/l",
    8985: "IU/ml",
    8554: "%",
    8523: "ratio",
    8848: "10^3/ul",
    8961: "10^3/ul",
    9444: "10^9/l",
    44777588: "10^9/l",
    8816: "10^6/ml",
    8815: "10^6/ul",
    8784: "/ul",
    8647: "/ul",
    8583: "fl",
    8555: "s",
    8582: "cm",
    9529: "kg",
}
"""By unit concept, where the table of concepts is not at hand. Each is a standard concept of UCUM's vocabulary."""
