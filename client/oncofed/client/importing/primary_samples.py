"""Which of a patient's samples count in a study folder of cBioPortal?

Where a primary tumour was measured, that counts and nothing else; where it was not, whatever sample was. This is asked
for each gene (or column), so that a panel that lacks a gene in the primary tumour does not lose a metastasis' answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pandas as pd
from numpy.typing import NDArray

_PRIMARY_BARCODE = re.compile(r"TCGA-\w{2}-\w{4}-0[13]\w*(?:-.*)?", re.ASCII)
"""Of TCGA: 01 and 03 are primary tumours, of tissue and of blood (the project's table of sample types)."""


class Samples(StrEnum):
    """Which samples of a patient count, in a study folder."""

    PRIMARY_FIRST = "primary_first"
    """Where a primary tumour was measured, only that; else whatever sample was."""
    ALL = "all"


def is_primary(sample: str | None, kind: str | None) -> bool:
    """kind: its SAMPLE_TYPE; None where that is not told, so that a barcode of TCGA is asked."""
    if kind is not None and kind.strip():
        return kind.strip().casefold().startswith("primary")
    return sample is not None and _PRIMARY_BARCODE.fullmatch(sample) is not None


@dataclass(frozen=True, eq=False)
class Preferred:
    """frame: with cells that do not count emptied. patients: how many lost some, with samples that are not primary."""

    frame: pd.DataFrame
    patients: int


def prefer_primary(
    frame: pd.DataFrame, patients: pd.Series, primary: NDArray[np.bool_], filled: Mapping[str, NDArray[np.bool_]]
) -> Preferred:
    """Of each patient and column, the cells of other samples emptied where a primary one is filled.

    frame     (samples, any). patients: (samples,). primary: (samples,).
    filled    (samples,) of each column that is asked, whether a cell tells something.
    """
    places, _ = pd.factorize(patients)
    emptied = np.zeros(len(frame), dtype=np.bool_)
    found = {}
    for column, told in filled.items():
        cells = frame[column]
        has_primary = np.zeros(int(places.max(initial=-1)) + 2, dtype=np.bool_)
        has_primary[places[primary & told]] = True
        has_primary[-1] = False  # of rows without a patient
        gone = told & ~primary & has_primary[places]
        emptied |= gone
        found[column] = cells.astype(object).mask(gone) if cells.dtype.name == "category" else cells.mask(gone)
    return Preferred(frame.assign(**found), int(patients[emptied].nunique()))
