"""Which genes of each patient have a variant, by the rows that resources give?

A gene has a symbol, a long name and numbers, as display, text or code, in any order: each of these counts. Promise: who
has a variant of which nobody can say the gene is not somebody without any.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from oncofed.client.importing.fhir.source import PATIENT
from oncofed.client.importing.fhir.text_columns import texts_in
from oncofed.client.importing.mapping import Source
from oncofed.client.importing.study_names import genes_meant
from oncofed.errors import Fault, InvalidInput

_SYMBOL = re.compile(r"(?!ENS[GTP]\d|LRG_|NM_|NG_)[A-Za-z][A-Za-z0-9@._-]*", re.ASCII)
"""Of a gene; not its number in a register (HGNC:11998, 7157, ENSG00000141510), nor a name of several words."""


def by_gene(frame: pd.DataFrame, genes: Sequence[str], source: Source, where: str, notes: list[str]) -> pd.DataFrame:
    """A row for each patient and day: 1 for a gene with a variant, 0 for one that was studied without, else nothing;
    nor is it 0 of who has a variant of it without a call.

    where  what faults call the resources. Raises InvalidInput for a gene that is nearly one of these (`study_names`),
           and for a variant without a symbol whose patient would have 0 of its gene.
    """
    keys, found = pd.factorize(pd.MultiIndex.from_arrays([frame[PATIENT].astype(object), frame["date"].astype(object)]))
    value = frame["value"].map({"present": 1.0, "absent": 0.0}).astype(np.float64).to_numpy()
    columns = {
        name: pd.Series(found.get_level_values(place), dtype=object) for place, name in enumerate((PATIENT, "date"))
    }
    told = frame["code"].astype(object)
    names = _names(told, genes, source, where)
    whose = found.get_level_values(0)
    without = np.zeros(len(found), dtype=np.bool_)
    for gene in genes:
        of_gene = told.isin([cell for cell, listed in names.items() if gene in listed]).to_numpy()
        rows = np.flatnonzero(of_gene & ~np.isnan(value))
        cells = np.full(len(found), -np.inf)
        np.maximum.at(cells, keys[rows], value[rows])
        unsaid = frame[PATIENT].astype(object)[of_gene & np.isnan(value)]
        doubted = (cells <= 0) & whose.isin(unsaid)
        cells[doubted] = -np.inf
        if (doubted & whose.notna()).any():
            notes.append(f"a variant of {gene} without a call: not measured, unless another is present")
        without |= cells == 0
        columns[gene] = pd.Series(np.where(np.isinf(cells), np.nan, cells))
        if not len(rows):
            notes.append(f"no resource tells of {gene}: not measured")
    nameless = ~told.isin([cell for cell, listed in names.items() if _has_symbol(listed, genes)]).to_numpy()
    _refuse_nameless(frame[PATIENT].astype(object)[nameless & (value != 0)], whose[without], where)
    return pd.DataFrame(columns)


def _names(told: pd.Series, genes: Sequence[str], source: Source, where: str) -> dict[str, list[str]]:
    """Of each cell that names a gene. What names one of the mapping's is not nearly another."""
    names = {str(cell): texts_in(str(cell)) for cell in told.dropna().unique()}
    others = {name for listed in names.values() if not {*listed} & {*genes} for name in listed}
    meant = genes_meant(others, genes, source.near_words, where)
    return {
        cell: listed if {*listed} & {*genes} else [meant.get(name, name) for name in listed]
        for cell, listed in names.items()
    }


def _has_symbol(names: Sequence[str], genes: Sequence[str]) -> bool:
    return any(name in genes or _SYMBOL.fullmatch(name) is not None for name in names)


def _refuse_nameless(of: pd.Series, without: pd.Index, where: str) -> None:
    """of: whose each variant is that names no gene by its symbol. without: who has 0 of some gene."""
    if count := int(of.isin([each for each in without if isinstance(each, str)]).sum()):
        what = "is a variant that names no gene by its symbol, and its patient would have 0 of the genes studied"
        remedy = "Export the symbol, as display or text; or name the column as the resources name the gene."
        raise InvalidInput([Fault(f"{where}: gene studied (LOINC 48018-6)", what, remedy, count)])
