"""Whose is a variant of a study folder's mutations, and of which gene; or can neither be said?

What is refused here would be a silent 0: of patients whose barcodes are no samples, of a gene that is not told, or that
this file calls otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

import pandas as pd

from oncofed.client.importing.gene_panels import ALL_GENES, MUTATIONS
from oncofed.client.importing.mapping import Source
from oncofed.client.importing.spellings import remedy_of_absent
from oncofed.client.importing.study_names import SAMPLE, samples_meant
from oncofed.errors import Fault, InvalidInput

BARCODE, GENE = "Tumor_Sample_Barcode", "Hugo_Symbol"
SAMPLES_FILE = "data_clinical_sample.txt"
_BETWEEN = re.compile(r"[\s;,|/&]+")
_DAY, _NUMBERED = re.compile(r"(\d{1,2})[-. ]+([A-Za-z]{3})\.?", re.ASCII), re.compile(r"(\D+)(\d{1,2})", re.ASCII)
_OF_GENES = f'{MUTATIONS}: column "{GENE}"'


def samples_of(barcodes: pd.Series, known: Collection[str], source: Source) -> Mapping[str, str]:
    """By barcode, its sample. Raises InvalidInput where the join is broken, whatever `of_nobody` says of others."""
    where = f'{MUTATIONS}: column "{BARCODE}"'
    found = samples_meant(barcodes.dropna().unique().tolist(), known, source, where, cut=True)
    if len(barcodes) and not found:
        what = f"is in no row a {SAMPLE} of the study, so that every gene would be 0 for everybody"
        raise InvalidInput([Fault(where, what, f"Write there what {SAMPLES_FILE} has, as text.")])
    return found


def class_of(kind: str | None, gene: str | None) -> str:
    """Of a variant, in small letters: in front of TERT lies its promoter, as cBioPortal's own loader has it."""
    told = (kind or "").casefold()
    return "promoter" if told == "5'flank" and (gene or "").casefold() == "tert" else told


def refuse_nameless(names: pd.Series, genes: Collection[str]) -> None:
    """names: of the variants that count, of samples that were sequenced. genes: of the mapping. Raises InvalidInput."""
    if count := int(names.isna().sum()):
        what = "names no gene, so that patients would have 0 of theirs"
        remedy = "Write the gene's symbol, or Unknown where a variant is of none."
        raise InvalidInput([Fault(_OF_GENES, what, remedy, count)])
    others = names[~names.isin([*genes])]
    several = others.map(lambda name: not {*_BETWEEN.split(name)}.isdisjoint(genes))
    days = others.map(lambda name: any(_is_day_of(name, gene) for gene in genes))
    faults = [
        Fault(_OF_GENES, what, remedy, int(rows.sum()))
        for rows, what, remedy in (
            (several, "names several genes, one of them of the mapping", "Write a row for each gene."),
            (days, "holds a day that a spreadsheet made of a gene of the mapping", "Write the gene's symbol, as text."),
        )
        if rows.any()
    ]
    if faults:
        raise InvalidInput(faults)


def _is_day_of(name: str, gene: str) -> bool:
    """9-Sep (or 09. Sep) was SEPT9, and 1-Mrz MARCH1."""
    found, symbol = _DAY.fullmatch(name), _NUMBERED.fullmatch(gene)
    if found is None or symbol is None or int(found[1]) != int(symbol[2]):
        return False
    return symbol[1].casefold().startswith(found[2].casefold().replace("mrz", "mar"))


def refuse_unnamed(
    genes: Collection[str], named: Collection[str], panels: Iterable[frozenset[str] | None], may_be: Collection[str]
) -> None:
    """Raises InvalidInput where a gene may have another symbol in this folder, and everybody would have 0.

    genes   that are 0 of somebody. named: by variants. panels: what was looked at; their symbols are this folder's.
    may_be  genes of which the mapping says that nothing may name them.
    """
    asked = [gene for gene in genes if gene not in may_be]
    if not asked:
        return
    if not set(genes) & set(named):
        what = f"no variant names {', '.join(asked)}: all who were sequenced would have 0 of all"
        remedy = "Check that the file is whole and has these symbols. If nobody has one: may_be_of_nobody = true."
        raise InvalidInput([Fault(_OF_GENES, what, remedy)])
    looked_at = {gene for panel in set(panels) if panel is not ALL_GENES for gene in panel}
    if absent := sorted(set(asked) - set(named) - looked_at):
        what = f"no variant and no panel names {', '.join(absent)}: all who were sequenced would have 0"
        raise InvalidInput([Fault(_OF_GENES, what, remedy_of_absent(absent))])
