"""Which genes of each patient have a variant, by the rows that resources give?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from oncofed.client.importing.fhir.source import PATIENT
from oncofed.client.importing.mapping import Source
from oncofed.client.importing.study_names import genes_meant


def by_gene(frame: pd.DataFrame, genes: Sequence[str], source: Source, where: str, notes: list[str]) -> pd.DataFrame:
    """A row for each patient and day: 1 for a gene with a variant, 0 for one that was studied without, else nothing;
    nor is it 0 of who has a variant of it without a call.

    where  what faults call the resources. Raises InvalidInput for a gene that is nearly one of these (`study_names`).
    """
    keys, found = pd.factorize(pd.MultiIndex.from_arrays([frame[PATIENT].astype(object), frame["date"].astype(object)]))
    value = frame["value"].map({"present": 1.0, "absent": 0.0}).astype(np.float64).to_numpy()
    columns = {
        name: pd.Series(found.get_level_values(place), dtype=object) for place, name in enumerate((PATIENT, "date"))
    }
    named = frame["code"].astype(object)
    code = named.replace(genes_meant(named.dropna().unique(), genes, source.near_words, where)).to_numpy()
    for gene in genes:
        rows = np.flatnonzero((code == gene) & ~np.isnan(value))
        cells = np.full(len(found), -np.inf)
        np.maximum.at(cells, keys[rows], value[rows])
        unsaid = frame[PATIENT].astype(object)[(code == gene) & np.isnan(value)]
        doubted = (cells <= 0) & found.get_level_values(0).isin(unsaid)
        cells[doubted] = -np.inf
        if (doubted & found.get_level_values(0).notna()).any():
            notes.append(f"a variant of {gene} without a call: not measured, unless another is present")
        columns[gene] = pd.Series(np.where(np.isinf(cells), np.nan, cells))
        if not len(rows):
            notes.append(f"no resource tells of {gene}: not measured")
    return pd.DataFrame(columns)
