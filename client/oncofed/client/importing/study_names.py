"""Which sample of a study folder, and which gene of a mapping, does a name in one of the folder's files mean?

One rule for variants, matrices, panels and lists of samples. What is nearly written as a sample or a gene is one only
if the mapping says so (`spellings`): else the patient would have 0, or nothing, of what was found.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from oncofed.client.importing.mapping import Source
from oncofed.client.importing.mapping_choices import Near
from oncofed.client.importing.spellings import BUT_FOR, BUT_FOR_ZEROS, Spellings, meant_by, remedy_of
from oncofed.errors import Fault, InvalidInput

SAMPLE = "SAMPLE_ID"
_TCGA = re.compile(r"((TCGA-\w{2}-\w{4}-\d{2})[A-Z])(-.*)?", re.ASCII | re.IGNORECASE)
"""The barcode of a vial, a portion or an aliquot; in front that of its vial, and of its sample."""


def samples_meant(
    names: Collection[str], known: Collection[str], source: Source, where: str, *, cut: bool = False
) -> dict[str, str]:
    """By name, the sample that it means. Raises InvalidInput, with how many names are in doubt.

    cut  whether barcodes of TCGA may be longer than the study's, as cBioPortal's own loader cuts them.
    """
    written = {name: _barcodes(name) if cut else (name,) for name in names}
    found = {name: sample for name, of in written.items() if (sample := _first(of, known)) is not None}
    others = {each for name, of in written.items() if name not in found for each in of}
    alike, doubted = meant_by(others, Spellings(known, names=True), source.near_identifiers) if others else ({}, ())
    if count := sum(name not in found and not {*of}.isdisjoint(doubted) for name, of in written.items()):
        what = f"would be a {SAMPLE} of the study {BUT_FOR_ZEROS}"
        raise InvalidInput([Fault(where, what, remedy_of("near_identifiers"), count)])
    for name, of in written.items():
        if name not in found and (near := _first(of, alike)) is not None:
            found[name] = alike[near]
    return found


def _first(names: Iterable[str], among: Collection[str]) -> str | None:
    return next((each for each in names if each in among), None)


def _barcodes(barcode: str) -> tuple[str, ...]:
    """Itself, and of one of TCGA those of its vial and of its sample."""
    found = _TCGA.fullmatch(barcode)
    return (barcode,) if found is None else (barcode, found.group(1), found.group(2))


def genes_meant(names: Iterable[str], genes: Collection[str], near: Near | None, where: str) -> dict[str, str]:
    """By name, the gene of the mapping that it means, of those that are not written as one. Raises InvalidInput."""
    alike, doubted = meant_by(names, Spellings(genes), near)
    if doubted:
        what = f"would be a gene of the mapping {BUT_FOR}"
        raise InvalidInput([Fault(where, what, remedy_of("near_words"), len(doubted))])
    return alike
