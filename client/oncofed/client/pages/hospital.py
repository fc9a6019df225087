"""What does the released model say about all patients of this hospital, so that any one of them is seen at once?

A patient's own page is of the table as it is now. Everything that is said of a group is of the *published* patients
(`published`), which stay the same until a person publishes anew, and goes through the one layer that decides what may
be told (`disclosure`). Their relevances, log hazard ratios and the adjustment to this hospital's outcomes are
computed once for each endpoint, when it is first asked for, and kept. Everything here stays in the hospital.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from oncofed.client.explanation import marker_relevance
from oncofed.client.held_out_split import HeldOutSplit
from oncofed.client.one_thread import one_thread
from oncofed.client.pages.disclosure import Disclosure
from oncofed.client.pages.recalibration import Fitted, Recalibration, recalibrate
from oncofed.client.pages.units import REST, Units, units_of
from oncofed.client.pages.wording import words
from oncofed.cohort.cohort import Cohort
from oncofed.cohort.encoding import columns, encode
from oncofed.cohort.schema import Marker, Modality, StudySchema
from oncofed.survival.grid import TimeGrid
from oncofed.survival.network import PrognosisNetwork

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

SMALLEST_GROUP = 10


@dataclass(frozen=True, eq=False)
class EndpointPrognosis:
    """One endpoint, all published patients.

    relevance         (patients, sources) log hazard ratios; each row adds up to `log_hazard_ratio`.
    sources           names of markers, and of modalities that may be missing as a whole.
    log_baseline_hazard  (intervals,), as released.
    recalibration     to this hospital's outcomes; None when there are too few.
    tops              (sources,), the cap of a patient's part in a mean absolute contribution.
    """

    number: int
    name: str
    sources: tuple[str, ...]
    relevance: FloatArray
    log_hazard_ratio: FloatArray
    log_baseline_hazard: FloatArray
    recalibration: Recalibration | None
    tops: FloatArray


@dataclass(frozen=True, eq=False)
class OwnPrognosis:
    """One endpoint, one patient of the table as it is now. relevance: (sources,), adding up to `log_hazard_ratio`."""

    relevance: FloatArray
    log_hazard_ratio: float


@dataclass(frozen=True, eq=False)
class Peers:
    """A group of published patients, with whom a patient is compared.

    rows   (published patients,). label: such as "patients with melanoma". same_tumour: False where it is all of them.
    unit   whose they are; None for all units together.
    """

    rows: BoolArray
    label: str
    same_tumour: bool
    unit: int | None

    def __len__(self) -> int:
        return int(self.rows.sum())


@dataclass(frozen=True, eq=False)
class HospitalPrognosis:
    """A hospital's patients under one released model.

    site, study   names for headings. plan_hash: for the audit log.
    cohort        as the table is now. published: of whom figures are told; left out, as for an example, the same.
    example       True where the patients are invented, and the pages must say so.
    noise_in_model  whether privacy noise went into the model's weights, so that explanations depend on it.
    split         by which patients were set aside from training; None where none were.
    """

    site: str
    study: str
    plan_hash: str
    network: PrognosisNetwork
    cohort: Cohort
    smallest_group: int = SMALLEST_GROUP
    published: Units | None = None
    example: bool = False
    noise_in_model: bool = True
    split: HeldOutSplit | None = None
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

    @property
    def disclosure(self) -> Disclosure:
        return Disclosure(self.smallest_group)

    @cached_property
    def units(self) -> Units:
        """The published patients."""
        return units_of(self.cohort, self.disclosure) if self.published is None else self.published

    def row_of(self, patient_id: str) -> int | None:
        """The row of a patient in the table as it is now, or None."""
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

    def own(self, number: int, row: int) -> OwnPrognosis:
        """Of one patient of the table as it is now."""
        with one_thread():
            x = torch.as_tensor(self.encoded(row))
            _, relevance = marker_relevance(self.network, x, columns(self.schema), endpoint=number)
        return OwnPrognosis(relevance[0], float(relevance[0].sum()))

    def encoded(self, row: int) -> FloatArray:
        """(1, columns), as the network reads a patient of the table as it is now."""
        return encode(self.cohort.subset([row]))

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
        cohort, grid = self.units.cohort, self.grid
        x = torch.as_tensor(self.published_encoded)
        sources, relevance = marker_relevance(self.network, x, columns(self.schema), endpoint=number)
        ratio = relevance.sum(axis=1)
        with torch.no_grad():
            baseline = np.asarray(self.network.baseline.log_hazard()[number].numpy(), dtype=np.float64)
        events_of_all = grid.events(cohort.exit[:, number], cohort.observed[:, number])
        at_risk = grid.at_risk(cohort.entry[:, number], cohort.exit[:, number])

        def recalibrated(rows: BoolArray, *, with_slope: bool) -> Recalibration | None:
            events = events_of_all[rows]
            return recalibrate(
                ratio[rows],
                log_baseline_hazard=baseline,
                events=events if events.sum() >= self.smallest_group else np.zeros_like(events),
                at_risk=at_risk[rows],
                with_slope=with_slope,
            )

        everybody = np.ones(len(cohort), dtype=np.bool_)
        unseen = recalibrated(self.set_aside, with_slope=True)
        recalibration = (
            recalibrated(everybody, with_slope=self.noise_in_model)
            if unseen is None
            else replace(unseen, set_aside=True)
        )
        tops = self.disclosure.tops(np.abs(relevance))
        return EndpointPrognosis(number, name, sources, relevance, ratio, baseline, recalibration, tops)

    def peers(self, row: int) -> Peers:
        """Published patients of the same tumour entity, or all where those are no unit."""
        unit = self.unit_now(row)
        return self.everybody if unit == REST else self.of_entity(unit)

    def unit_now(self, row: int) -> int:
        """Of the published units, to which would this patient of the table as it is now belong?"""
        name = self.schema.tumour_entity
        value = np.nan if name is None else float(self.cohort.marker_values(name)[row])
        return int(value) if value in self.entities_shown() else REST

    @property
    def treatments(self) -> bool:
        """Whether the schema has markers of treatments, whose contributions are easily taken for effects."""
        return any(marker.modality is Modality.TREATMENT for marker in self.schema.markers)

    @cached_property
    def set_aside(self) -> BoolArray:
        """(published patients,): who was never trained on, of those groups of which enough were set aside.

        A group (of one unit and one batch) with fewer than the floor is left out, so that no two versions of a figure
        of these patients differ by fewer.
        """
        cohort, strata = self.units.cohort, self.units.strata
        if self.split is None:
            return np.zeros(len(cohort), dtype=np.bool_)
        drawn = self.split.held_out(cohort.patient_ids)
        enough = np.bincount(strata, weights=drawn, minlength=1) >= self.smallest_group
        return np.asarray(drawn & enough[strata])

    def fitted(self, found: Recalibration) -> Fitted:
        """How the model fits here, as it may be told."""
        rows = self.set_aside if found.set_aside else np.ones(len(self.units.of), dtype=np.bool_)
        return Fitted.of(found, self.disclosure.count_of_strata(self.units.strata[rows]), self.disclosure)

    @property
    def everybody(self) -> Peers:
        return Peers(np.ones(len(self.units.of), dtype=np.bool_), "patients of this hospital", False, None)

    def at_least(self, peers: Peers) -> int:
        """How many they are, as it may be told."""
        return self.disclosure.count_of_strata(self.units.strata[peers.rows])

    @cached_property
    def published_encoded(self) -> FloatArray:
        """(published patients, columns), as the network reads them."""
        return encode(self.units.cohort)

    @property
    def entity_names(self) -> tuple[str, ...]:
        """All that the schema knows, in its order."""
        marker = None if self.schema.tumour_entity is None else self.marker(self.schema.tumour_entity)
        return () if marker is None else marker.categories

    def of_entity(self, number: int) -> Peers:
        """The published patients of one tumour that is shown, or of the rest."""
        rows = self.units.of == number
        if number != REST:
            return Peers(rows, f"patients with {words(self.entity_names[number])}", True, number)
        alone = not self.entities_shown()
        label = "patients of this hospital" if alone else "patients of this hospital with rarer tumours"
        return Peers(rows, label, False, number)

    def entities_shown(self) -> tuple[int, ...]:
        """Tumours that are units of their own, by the schema's order."""
        return self.units.numbers()
