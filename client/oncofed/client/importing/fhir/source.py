"""What does a mapping mean by a source of FHIR resources, and which of its keys have a meaning there?

The tables that are made of resources have columns of fixed names (`resources.COLUMNS`), so a source need not name them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from oncofed.client.importing.fhir.resources import COLUMNS
from oncofed.client.importing.mapping import Source
from oncofed.client.importing.mapping_choices import Part
from oncofed.client.importing.partial_dates import PartialDate
from oncofed.cohort.text_form import Encoding
from oncofed.errors import Fault

PATIENT, LAST_CONTACT = "patient", "last_contact"
UNCODED, NO_ROW = "?without a code", 2
"""Of a table of codes: whether nobody can say of which code a row is, as 0 or 1; or NO_ROW, since it is one for that
alone.
"""
MODIFIED = "?modified"
"""Of a table: whether a modifier may turn the meaning of a row."""
_FIXED = ("patient", "date", "code", "value", "unit", "separator", "comment", "thousands", "numbered", "file", "panels")
_LIKE_ICD_10 = re.compile(r"[a-z]\d", re.ASCII)


def with_columns(source: Source) -> Source:
    """With the columns that its table has."""
    columns = COLUMNS[source.part]
    long = "value" in columns and source.part is not Part.FHIR_VARIANTS
    return replace(
        source,
        patient=PATIENT,
        date="date" if "date" in columns else None,
        code="code" if long else None,
        value="value" if long else None,
        unit="unit" if "unit" in columns else None,
        keep={column: _as_told(source.part, column, words) for column, words in source.keep.items()},
        partial_dates=source.partial_dates or PartialDate.FAULT,
    )


def _as_told(part: Part, column: str, words: tuple[str, ...]) -> tuple[str, ...]:
    """With the capitals that codes of ICD-10 have in the table."""
    if part is not Part.FHIR_CONDITIONS or column != "code":
        return words
    return tuple(dict.fromkeys([*words, *(word.upper() for word in words if _LIKE_ICD_10.match(word))]))


def has_rows_without_code(source: Source) -> bool:
    """Whether what has no code is a row all the same: a diagnosis is one, but of no code of a system that is named."""
    return source.part is Part.FHIR_CONDITIONS and source.system is None


def columns_of(source: Source) -> tuple[str, ...]:
    """Of the table of a source of FHIR resources; of variants, beside those of genes."""
    if source.part is Part.FHIR_VARIANTS:
        return (PATIENT, "date")
    told = (LAST_CONTACT,) if "deceased" in COLUMNS[source.part] else ()
    return (PATIENT, *COLUMNS[source.part], *told)


def faults_of_fhir(where: str, source: Source) -> Iterator[Fault]:
    """source: as the file has it."""
    if not source.part.is_fhir:
        if source.servers:
            yield Fault(f"{where}, servers", "has no meaning for this part", "Remove it.")
        return
    for key in _FIXED:
        if getattr(source, key) is not None:
            remedy = "Remove it: tables of FHIR resources have columns of fixed names."
            yield Fault(f"{where}, {key}", "is not used here", remedy)
    if source.encoding is not Encoding.UTF_8:
        yield Fault(f"{where}, encoding", "is not used here", "Remove it: FHIR resources are written in UTF-8.")
    for address in source.servers:
        if not address.startswith(("http://", "https://")):
            yield Fault(f"{where}, servers", "has what is no address", "Write each as https://our.example/fhir.")
    columns = columns_of(source)
    if source.system is not None and "code" not in columns:
        yield Fault(f"{where}, system", "has no meaning for this part", "Remove it.")
    for column in source.keep:
        if column not in columns:
            remedy = f"Choose among {', '.join(columns)}."
            yield Fault(f'{where}, keep: column "{column}"', f"is not in the table {source.part.value}", remedy)
