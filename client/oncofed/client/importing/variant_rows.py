"""Whose is a variant of a study folder's mutations, and of which gene; or can neither be said?

What is refused here would be a silent 0: of patients whose barcodes are no samples, of a gene that is not told, or that
this file calls otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

import pandas as pd

from oncofed.client.importing.gene_panels import ALL_GENES
from oncofed.client.importing.mapping import Source
from oncofed.client.importing.mapping_choices import Near
from oncofed.client.importing.spellings import Spellings, remedy_of_absent
from oncofed.client.importing.study_names import SAMPLE, samples_meant
from oncofed.errors import Fault, InvalidInput

BARCODE, GENE = "Tumor_Sample_Barcode", "Hugo_Symbol"
SAMPLES_FILE = "data_clinical_sample.txt"
CLASSES = frozenset(
    {
        *("frame_shift_del", "frame_shift_ins", "in_frame_del", "in_frame_ins", "missense_mutation", "missense"),
        *("nonsense_mutation", "nonsense", "nonstop_mutation", "splice_site", "splice_region", "targeted_region"),
        *("translation_start_site", "de_novo_start_inframe", "de_novo_start_outofframe", "start_codon_snp"),
        *("start_codon_del", "start_codon_ins", "stop_codon_del", "stop_codon_ins", "fusion", "promoter"),
        *("silent", "intron", "igr", "rna", "3'utr", "5'utr", "3'flank", "5'flank"),
    }
)
"""Of variants, in small letters, as the format and the programs that write it have them."""
_BETWEEN = re.compile(r"[\s;,|/&]+")
_MONTH = (
    r"(?:jan|ene|feb|m(?:ar|\u00e4r|aer|rz)|a[bp]r|ma[iy]|jun|jul|a(?:ug|go)|se[pt]|o[ck]t|nov|de[cz]|dic)[^\W\d_]*\.?"
)
_DAY = re.compile(
    rf"[\d\W]*\d[\d\W]*(?:T[\d\W]*Z?)?|\d+[\W_]*{_MONTH}(?:[\W_]*\d+)?|{_MONTH}[\W_]+\d+(?:[\W_]+\d+)?", re.IGNORECASE
)
"""Of any form, also as a spreadsheet counts days: 9-Sep, Sep 9, 2024-09-09, 45544."""
_LIKE_A_DAY = re.compile(
    r"(?:jan|feb|mar(?:c|ch|chf)?|mtarc|apr|may|jun|jul|aug|sep(?:t|tin)?|oct|nov|dec|delec)\d{1,2}", re.IGNORECASE
)
"""Genes, by older symbols and by those that have replaced them."""
_PRIMES = str.maketrans(dict.fromkeys("\u2019\u2018\u2032\u00b4`", "'"))


def samples_of(barcodes: pd.Series, known: Collection[str], source: Source, file: str) -> Mapping[str, str]:
    """By barcode, its sample. Raises InvalidInput where the join is broken, whatever `of_nobody` says of others."""
    where = f'{file}: column "{BARCODE}"'
    found = samples_meant(barcodes.dropna().unique().tolist(), known, source, where, cut=True)
    if len(barcodes) and not found:
        what = f"is in no row a {SAMPLE} of the study, so that every gene would be 0 for everybody"
        raise InvalidInput([Fault(where, what, f"Write there what {SAMPLES_FILE} has, as text.")])
    return found


def class_of(kind: str | None, gene: str | None) -> str:
    """Of a variant, in small letters: in front of TERT lies its promoter, as cBioPortal's own loader has it."""
    told = (kind or "").casefold().translate(_PRIMES)
    return "promoter" if told == "5'flank" and "tert" in _BETWEEN.split((gene or "").casefold()) else told


def refuse_nameless(names: pd.Series, genes: Collection[str], near: Near | None, file: str) -> None:
    """Raises InvalidInput.

    names  of the variants that count, of samples that were sequenced. genes: of the mapping.
    near   what it says of those that are nearly one.
    """
    where = f'{file}: column "{GENE}"'
    if count := int(names.isna().sum()):
        what = "names no gene, so that patients would have 0 of theirs"
        remedy = "Write the gene's symbol, or Unknown where a variant is of none."
        raise InvalidInput([Fault(where, what, remedy, count)])
    spellings = Spellings(genes)
    made_days = any(_LIKE_A_DAY.fullmatch(gene) for gene in genes)

    def is_of_several(name: str) -> bool:
        parts = _BETWEEN.split(name)
        return len(parts) > 1 and any(
            each in spellings or (near is not Near.DIFFER and spellings.near(each)) for each in parts
        )

    others = names[~names.isin([*genes])]
    faults = [
        Fault(where, what, remedy, int(rows.sum()))
        for rows, what, remedy in (
            (
                others.map(is_of_several),
                "names several genes, one of them of the mapping",
                "Write a row for each gene.",
            ),
            (
                others.map(lambda name: made_days and _DAY.fullmatch(name) is not None),
                "holds a day, as a spreadsheet makes of a gene such as one of the mapping",
                "Write the gene's symbol, as text.",
            ),
        )
        if rows.any()
    ]
    if faults:
        raise InvalidInput(faults)


def refuse_unnamed(
    genes: Collection[str],
    named: Collection[str],
    panels: Iterable[frozenset[str] | None],
    may_be: Collection[str],
    file: str,
) -> None:
    """Raises InvalidInput where a gene may have another symbol in this folder, and everybody would have 0.

    genes   that are 0 of somebody. named: by variants. panels: what was looked at; their symbols are this folder's.
    may_be  genes of which the mapping says that nothing may name them.
    """
    where = f'{file}: column "{GENE}"'
    asked = [gene for gene in genes if gene not in may_be]
    if not asked:
        return
    if not set(genes) & set(named):
        what = f"no variant names {', '.join(asked)}: all who were sequenced would have 0 of all"
        remedy = "Check that the file is whole and has these symbols. If nobody has one: may_be_of_nobody = true."
        raise InvalidInput([Fault(where, what, remedy)])
    looked_at = {gene for panel in set(panels) if panel is not ALL_GENES for gene in panel}
    if absent := sorted(set(asked) - set(named) - looked_at):
        what = f"no variant and no panel names {', '.join(absent)}: all who were sequenced would have 0"
        raise InvalidInput([Fault(where, what, remedy_of_absent(absent))])
