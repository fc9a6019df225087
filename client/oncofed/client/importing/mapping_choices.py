"""Which words may stand at a key of a mapping file, and what does each mean?

The sections whose keys these are stand in `mapping`. What FHIR, OMOP and study folders choose among is beside them
(`partial_dates`, `omop_tables`, `primary_samples`).
"""

from __future__ import annotations

from enum import StrEnum


class Without(StrEnum):
    """What becomes of a patient who cannot be counted."""

    FAULT = "fault"
    LEAVE_OUT = "leave_out"


class Near(StrEnum):
    """What a text is that is written nearly as another (`spellings`)."""

    ALIKE = "alike"
    """The same."""
    DIFFER = "differ"
    """Another."""


class Outside(StrEnum):
    """What becomes of a value outside the schema's plausible range."""

    FAULT = "fault"
    MISSING = "missing"


class Part(StrEnum):
    """What a source is."""

    TABLE = "table"
    PATIENTS = "cbioportal_patients"
    SAMPLES = "cbioportal_samples"
    MUTATIONS = "cbioportal_mutations"
    MATRIX = "cbioportal_matrix"
    OMOP = "omop"
    """A table of an OMOP common data model, by its `table`."""
    SQL = "sql"
    """What a database answers to a `statement`."""
    FHIR_PATIENTS = "fhir_patients"
    FHIR_CONDITIONS = "fhir_conditions"
    FHIR_OBSERVATIONS = "fhir_observations"
    FHIR_VARIANTS = "fhir_variants"
    FHIR_PROCEDURES = "fhir_procedures"
    FHIR_MEDICATIONS = "fhir_medications"

    @property
    def is_fhir(self) -> bool:
        return self.value.startswith("fhir_")


OF_FHIR = tuple(part for part in Part if part.is_fhir)
OF_STUDY_FOLDER = tuple(part for part in Part if part.value.startswith("cbioportal_"))


class Separator(StrEnum):
    COMMA = "comma"
    SEMICOLON = "semicolon"
    TAB = "tab"
    BAR = "bar"

    @property
    def letter(self) -> str:
        return {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|"}[self.value]


class Decimal(StrEnum):
    POINT = "point"
    COMMA = "comma"

    @property
    def letter(self) -> str:
        return "." if self is Decimal.POINT else ","


class Thousands(StrEnum):
    """What may stand between three digits and the next."""

    POINT = "point"
    COMMA = "comma"
    BLANK = "blank"
    APOSTROPHE = "apostrophe"

    @property
    def letter(self) -> str:
        return {"point": ".", "comma": ",", "blank": " ", "apostrophe": "'"}[self.value]


class Take(StrEnum):
    """Which of several rows of a patient counts."""

    FIRST = "first"
    LAST = "last"
    MAX = "max"
    MIN = "min"
    ANY = "any"
    """1 if any row says 1, for binary markers."""


class SameDay(StrEnum):
    """What `first` and `last` take where one day has several values."""

    FAULT = "fault"
    HIGHEST = "highest"
    LOWEST = "lowest"
    MISSING = "missing"


class Limits(StrEnum):
    """What a value beyond a limit of detection, such as <0.5, becomes."""

    FAULT = "fault"
    AT_LIMIT = "at_limit"
    HALF = "half"
    """Of a lower limit; an upper one is taken as it stands."""
    MISSING = "missing"


class Transform(StrEnum):
    LOG10 = "log10"
    LOG1P = "log1p"
    """The natural logarithm of one more."""
    RATIO = "ratio"
    """To the upper limit of what is usual."""
    AGE = "age"
    """The time from the day that the column tells, such as that of birth, to time zero."""


class WithoutDate(StrEnum):
    """What becomes of a patient with an event whose day nobody knows."""

    FAULT = "fault"
    LEAVE_OUT = "leave_out"
    CENSOR = "censor"
    """Followed until the last contact, without the event."""


class AfterCut(StrEnum):
    FAULT = "fault"
    CENSOR = "censor"
