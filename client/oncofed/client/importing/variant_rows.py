"""Whose is a variant of a study folder's mutations, and of which gene; or can neither be said?

What is refused here would be a silent 0: of a patient whose barcode or gene is written otherwise than in the study.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

import pandas as pd

from oncofed.client.importing.gene_panels import MUTATIONS, SAMPLE
from oncofed.client.importing.same_words import bare
from oncofed.errors import Fault, InvalidInput

BARCODE, GENE = "Tumor_Sample_Barcode", "Hugo_Symbol"
SAMPLES_FILE = "data_clinical_sample.txt"


def refuse_other_barcodes(barcodes: pd.Series, sample_of: Mapping[str, str | None], known: Collection[str]) -> None:
    """Raises InvalidInput where the join is broken, whatever `of_nobody` says: that leaves out variants of others."""
    alike = set(map(bare, known))
    near = [name for name, found in sample_of.items() if found is None and {*map(bare, _barcodes(name))} & alike]
    if near:
        what = f"would be a {SAMPLE} of the study but for leading zeros, capitals or blanks"
        count = int(barcodes.isin(near).sum())
    elif len(barcodes) and not any(sample_of.values()):
        what, count = f"is in no row a {SAMPLE} of the study, so that every gene would be 0 for everybody", None
    else:
        return
    remedy = f"Write there what {SAMPLES_FILE} has, as text."
    raise InvalidInput([Fault(f'{MUTATIONS}: column "{BARCODE}"', what, remedy, count)])


def refuse_other_symbols(names: pd.Series, genes: list[str]) -> None:
    """Raises InvalidInput where a variant may be of one of these genes, and does not say so: its patient would have 0.

    names  of the variants that count, of samples that were sequenced.
    """
    folded = {gene.casefold() for gene in genes}
    unlike = [name for name in names.dropna().unique() if name not in genes and name.casefold() in folded]
    faults = [
        Fault(f'{MUTATIONS}: column "{GENE}"', what, remedy, int(rows.sum()))
        for rows, what, remedy in (
            (
                names.isna(),
                "names no gene, so that patients would have 0 of theirs",
                "Write the gene's symbol, or Unknown where a variant is of none.",
            ),
            (
                names.isin(unlike),
                "differs in capitals alone from a gene of the mapping, so that patients would have 0 of it",
                "Write the symbol alike in the file and in the mapping.",
            ),
        )
        if rows.any()
    ]
    if faults:
        raise InvalidInput(faults)


_TCGA = re.compile(r"((TCGA-\w{2}-\w{4}-\d{2})[A-Z])(-.*)?", re.ASCII | re.IGNORECASE)
"""The barcode of a vial, a portion or an aliquot; in front that of its vial, and of its sample."""


def sample_of_barcode(barcode: str, known: Collection[str]) -> str | None:
    """As cBioPortal's own loader cuts the barcodes of TCGA, where the study does not have them whole."""
    return next((each for each in _barcodes(barcode) if each in known), None)


def _barcodes(barcode: str) -> tuple[str, ...]:
    """Itself, and of one of TCGA those of its vial and of its sample."""
    found = _TCGA.fullmatch(barcode)
    return (barcode,) if found is None else (barcode, found.group(1), found.group(2))
