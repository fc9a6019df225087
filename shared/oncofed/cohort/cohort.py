"""What is a hospital's validated table, once nothing about it can change any more?"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from oncofed.cohort.schema import StudySchema

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Cohort:
    """Patients of one hospital (or of a pooled simulation), one row a patient, values checked against the schema.

    patient_ids  (patients,), distinct. They stay in the hospital.
    values       (patients, markers) float64 in the marker's unit; a categorical value is its index in
                 `Marker.categories`; NaN means not measured. Column order is the schema's.
    entry        (patients, endpoints) in the grid's unit, 0 where observation began at time zero.
    exit         (patients, endpoints), entry < exit.
    observed     (patients, endpoints), whether follow-up ended with the event.

    The arrays are made read-only. An endpoint that a patient lacks cannot occur: validation refuses the table.
    """

    schema: StudySchema
    patient_ids: tuple[str, ...]
    values: FloatArray
    entry: FloatArray
    exit: FloatArray
    observed: NDArray[np.bool_]

    def __post_init__(self) -> None:
        patients, endpoints = len(self.patient_ids), len(self.schema.endpoints)
        assert self.values.shape == (patients, len(self.schema.markers))
        assert self.entry.shape == self.exit.shape == self.observed.shape == (patients, endpoints)
        for array in (self.values, self.entry, self.exit, self.observed):
            array.setflags(write=False)

    def __len__(self) -> int:
        return len(self.patient_ids)

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 over schema, identifiers, values and outcomes, in row order."""
        digest = hashlib.sha256(self.schema.hash.encode())
        for patient_id in self.patient_ids:
            digest.update(f"{len(patient_id)}:{patient_id}".encode())
        for array in (self.values, self.entry, self.exit, self.observed):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def subset(self, rows: Sequence[int] | NDArray[np.intp]) -> Cohort:
        """The patients at `rows`, in that order."""
        index = np.asarray(rows, dtype=np.intp)
        return Cohort(
            schema=self.schema,
            patient_ids=tuple(self.patient_ids[row] for row in index),
            values=self.values[index].copy(),
            entry=self.entry[index].copy(),
            exit=self.exit[index].copy(),
            observed=self.observed[index].copy(),
        )

    def of_markers(self, names: Collection[str]) -> Cohort:
        """The same patients and outcomes, by these markers alone, in the schema's order."""
        kept = [column for column, marker in enumerate(self.schema.markers) if marker.name in names]
        return replace(self, schema=self.schema.of_markers(names), values=self.values[:, kept].copy())

    def marker_values(self, name: str) -> FloatArray:
        """(patients,), the column of one marker. Raises KeyError for an unknown name."""
        for column, marker in enumerate(self.schema.markers):
            if marker.name == name:
                return self.values[:, column]
        raise KeyError(name)
