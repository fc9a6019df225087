"""What does the released model say about all patients of this hospital, so that any one of them is seen at once?

Relevances, log hazard ratios and the adjustment to this hospital's outcomes are computed once for each endpoint, when
it is first asked for, and kept: a page of one patient then compares with all the others in milliseconds. Everything
here stays in the hospital.

The floor: whatever is said of a group is said only of at least `smallest_group` patients.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from oncofed.client.explanation import marker_relevance
from oncofed.client.pages.recalibration import Recalibration, recalibrate
from oncofed.client.pages.wording import words
from oncofed.cohort.cohort import Cohort
from oncofed.cohort.encoding import columns, encode
from oncofed.cohort.schema import Marker, StudySchema
from oncofed.survival.grid import TimeGrid
from oncofed.survival.network import PrognosisNetwork

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

SMALLEST_GROUP = 10


@dataclass(frozen=True, eq=False)
class EndpointPrognosis:
    """One endpoint, all patients.

    relevance         (patients, sources) log hazard ratios; each row adds up to `log_hazard_ratio`.
    sources           names of markers, and of modalities that may be missing as a whole.
    log_baseline_hazard  (intervals,), as released.
    recalibration     to this hospital's outcomes; None when there are too few.
    """

    number: int
    name: str
    sources: tuple[str, ...]
    relevance: FloatArray
    log_hazard_ratio: FloatArray
    log_baseline_hazard: FloatArray
    recalibration: Recalibration | None


@dataclass(frozen=True, eq=False)
class Peers:
    """With whom a patient is compared.

    rows   (patients,). label: such as "patients with melanoma". same_tumour: False where it is all patients.
    """

    rows: BoolArray
    label: str
    same_tumour: bool

    def __len__(self) -> int:
        return int(self.rows.sum())


@dataclass(frozen=True, eq=False)
class HospitalPrognosis:
    """A hospital's patients under one released model.

    site, study   names for headings. plan_hash: for the audit log.
    example       True where the patients are invented, and the pages must say so.
    noise_in_model  whether privacy noise went into the model's weights, so that explanations depend on it.
    """

    site: str
    study: str
    plan_hash: str
    network: PrognosisNetwork
    cohort: Cohort
    smallest_group: int = SMALLEST_GROUP
    example: bool = False
    noise_in_model: bool = True
    _rows: dict[str, int] = field(init=False, repr=False)
    _endpoints: dict[int, EndpointPrognosis] = field(init=False, repr=False, default_factory=dict)
    _kept: dict[tuple[object, ...], object] = field(init=False, repr=False, default_factory=dict)
    _lock: threading.Lock = field(init=False, repr=False, default_factory=threading.Lock)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_rows", {patient: row for row, patient in enumerate(self.cohort.patient_ids)})

    @property
    def schema(self) -> StudySchema:
        return self.cohort.schema

    @property
    def grid(self) -> TimeGrid:
        return self.network.spec.grid

    @property
    def endpoint_names(self) -> tuple[str, ...]:
        return self.network.spec.endpoints

    def row_of(self, patient_id: str) -> int | None:
        """The row of a patient, or None."""
        return self._rows.get(patient_id)

    def marker(self, source: str) -> Marker | None:
        """None for a modality that may be missing as a whole."""
        return next((marker for marker in self.schema.markers if marker.name == source), None)

    def endpoint(self, number: int) -> EndpointPrognosis:
        """Computed when first asked for. Raises IndexError for a number that is none."""
        name = self.endpoint_names[number]
        with self._lock:
            if number not in self._endpoints:
                self._endpoints[number] = self._computed(number, name)
            return self._endpoints[number]

    def kept(self, key: tuple[object, ...], compute: Callable[[], object]) -> object:
        """What takes seconds and is asked for again: computed once for each key."""
        with self._lock:
            found = self._kept.get(key)
        if found is None:
            found = compute()  # without the lock: twice at the same time is no harm
            with self._lock:
                self._kept[key] = found
        return found

    def _computed(self, number: int, name: str) -> EndpointPrognosis:
        x = torch.as_tensor(self.encoded)
        sources, relevance = marker_relevance(self.network, x, columns(self.schema), endpoint=number)
        ratio = relevance.sum(axis=1)
        with torch.no_grad():
            baseline = np.asarray(self.network.baseline.log_hazard()[number].numpy(), dtype=np.float64)
        grid = self.grid
        recalibration = recalibrate(
            ratio,
            log_baseline_hazard=baseline,
            events=grid.events(self.cohort.exit[:, number], self.cohort.observed[:, number]),
            at_risk=grid.at_risk(self.cohort.entry[:, number], self.cohort.exit[:, number]),
        )
        return EndpointPrognosis(number, name, sources, relevance, ratio, baseline, recalibration)

    def peers(self, row: int) -> Peers:
        """Patients of the same tumour entity, the patient among them, or all when those are too few to be shown."""
        entity = self.entity_values
        if entity is None or np.isnan(entity[row]):
            return self.everybody
        same = self.of_entity(int(entity[row]))
        return same if len(same) > self.smallest_group else self.everybody

    @property
    def everybody(self) -> Peers:
        return Peers(np.ones(len(self.cohort), dtype=np.bool_), "patients of this hospital", False)

    @cached_property
    def encoded(self) -> FloatArray:
        """(patients, columns), as the network reads them."""
        return encode(self.cohort)

    @property
    def entity_values(self) -> FloatArray | None:
        """(patients,), the index of each one's tumour entity; None where the schema names no such marker."""
        name = self.schema.tumour_entity
        return None if name is None else self.cohort.marker_values(name)

    @property
    def entity_names(self) -> tuple[str, ...]:
        """All that the schema knows, in its order."""
        marker = None if self.schema.tumour_entity is None else self.marker(self.schema.tumour_entity)
        return () if marker is None else marker.categories

    def of_entity(self, number: int) -> Peers:
        """The patients of one entity, however many."""
        values = self.entity_values
        assert values is not None
        return Peers(values == number, f"patients with {words(self.entity_names[number])}", True)

    def entities_shown(self) -> tuple[int, ...]:
        """Entities with at least the floor's patients, by the schema's order."""
        if self.entity_values is None:
            return ()
        return tuple(
            number for number in range(len(self.entity_names)) if len(self.of_entity(number)) >= self.smallest_group
        )
