"""What does the released model say about all patients of this hospital, so that any one of them is seen at once?

A patient's own page is of the table as it is now. Everything that is said of a group is of the *published* patients
(`published`), which stay the same until a person publishes anew, and goes through the one layer that decides what may
be told (`disclosure`). Their relevances, log hazard ratios and the adjustment to this hospital's outcomes are
computed once for each endpoint, when it is first asked for, and kept. Everything here stays in the hospital.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from oncofed.client.guard.one_thread import one_thread
from oncofed.client.pages.disclosure import Disclosure
from oncofed.client.pages.group_outcome import estimated
from oncofed.client.pages.outcome_parts import Part, parts_of, public_axis
from oncofed.client.pages.recalibration import FEWEST_EVENTS, Decided, Recalibration, recalibrate
from oncofed.client.pages.units import REST, Units, units_of
from oncofed.cohort.cohort import Cohort
from oncofed.cohort.encoding import Column, columns, encode
from oncofed.cohort.schema import Marker, Modality, StudySchema
from oncofed.explanation.relevance import marker_relevance
from oncofed.study.assay_settings import Assay
from oncofed.survival.grid import TimeGrid
from oncofed.survival.network import PrognosisNetwork
from oncofed.words.language import ENGLISH, Language, later
from oncofed.words.markers import category_label

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.intp]

SMALLEST_GROUP = 10
_MOST_AT_ONCE = 16
"""What was computed of single patients, for the page that asks for it several times."""
EVERYBODY = later("patients of this hospital")
OF_ONE_TUMOUR = later("patients with %(tumour)s")
RARER = later("patients of this hospital with rarer tumours")


@dataclass(frozen=True, eq=False)
class EndpointPrognosis:
    """One endpoint, all published patients.

    relevance         (patients, sources) log hazard ratios; each row adds up to `log_hazard_ratio`.
    sources           names of markers, and of modalities that may be missing as a whole.
    parts             what is told of outcomes. fitted: how the model fits them; None when there are too few.
    recalibration     what is applied to every figure of a patient; None where the model is shown as released.
    tops              (sources,), the cap of a patient's part in a mean absolute contribution.
    """

    number: int
    name: str
    sources: tuple[str, ...]
    relevance: FloatArray
    log_hazard_ratio: FloatArray
    parts: tuple[Part, ...]
    recalibration: Recalibration | None
    fitted: Recalibration | None
    tops: FloatArray

    @property
    def slope(self) -> float:
        """By which a log hazard ratio is multiplied to be right here; 1 where nothing is adjusted."""
        return 1.0 if self.recalibration is None else self.recalibration.slope


@dataclass(frozen=True, eq=False)
class OwnPrognosis:
    """One endpoint, one patient of the table as it is now.

    relevance            (sources,), adding up to `log_hazard_ratio`.
    log_baseline_hazard  (intervals,), as released, of the patient's tumour entity.
    """

    relevance: FloatArray
    log_hazard_ratio: float
    log_baseline_hazard: FloatArray


@dataclass(frozen=True, eq=False)
class Peers:
    """A group of published patients, with whom a patient is compared.

    rows   (published patients,). same_tumour: False where it is all of them.
    who    in English; its place %(tumour)s is a category of `entity`.
    unit   whose they are; None for all units together.
    """

    rows: BoolArray
    who: str
    same_tumour: bool
    unit: int | None
    entity: Marker | None = None

    @property
    def label(self) -> str:
        """In English."""
        return self.words()

    def words(self, say: Language = ENGLISH) -> str:
        """Such as "patients with melanoma"."""
        if self.entity is None or self.unit is None:
            return say(self.who)
        return say(self.who, tumour=category_label(self.entity, self.entity.categories[self.unit], say=say))

    def __len__(self) -> int:
        return int(self.rows.sum())


@dataclass(frozen=True, eq=False)
class HospitalPrognosis:
    """A hospital's patients under one released model.

    site, study   names for headings. plan_hash: for the audit log.
    cohort        as the table is now. published: of whom figures are told; left out, as for an example, the same.
    as_of         (published patients, endpoints), the day (its ordinal) whose follow-up is shown; None if not kept.
    example       True where the patients are invented, and the pages must say so.
    noise_in_model  whether privacy noise went into the model's weights, so that explanations depend on it.
    drawn         (published patients,), whom a lot set aside from training; None where nobody was, or nobody knows.
    weight_noise  what noise of training alone makes of a weight (`explanation.training_noise`); None: not known.
    decided       what the hospital says is to be applied; None of a simulation, where nobody decides: what fits.
    assays        what is measured together, with price and days; empty where nothing says so.
    options       two treatment options that the study compared, by their names; None: it compared none.
    """

    site: str
    study: str
    plan_hash: str
    network: PrognosisNetwork
    cohort: Cohort
    smallest_group: int = SMALLEST_GROUP
    published: Units | None = None
    as_of: IntArray | None = None
    example: bool = False
    noise_in_model: bool = True
    drawn: BoolArray | None = None
    weight_noise: float | None = None
    decided: Decided | None = None
    assays: tuple[Assay, ...] = ()
    options: tuple[str, str] | None = None
    _rows: dict[str, int] = field(init=False, repr=False)
    _rows_by_any_case: dict[str, int | None] = field(init=False, repr=False)
    _endpoints: dict[int, EndpointPrognosis] = field(init=False, repr=False, default_factory=dict)
    _kept: dict[tuple[object, ...], object] = field(init=False, repr=False, default_factory=dict)
    _of_patients: dict[tuple[int, ...], OwnPrognosis | FloatArray] = field(init=False, repr=False, default_factory=dict)
    _lock: threading.Lock = field(init=False, repr=False, default_factory=threading.Lock)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_rows", {patient: row for row, patient in enumerate(self.cohort.patient_ids)})
        folded: dict[str, int | None] = {}
        for row, patient in enumerate(self.cohort.patient_ids):
            key = patient.casefold()
            folded[key] = None if key in folded else row
        object.__setattr__(self, "_rows_by_any_case", folded)

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
        """The row of a patient in the table as it is now, or None.

        Small and large letters are told apart only where two patients differ in nothing else: then as they stand.
        """
        exact = self._rows.get(patient_id)
        return self._rows_by_any_case.get(patient_id.casefold()) if exact is None else exact

    def row_exactly(self, patient_id: str) -> int | None:
        """The same for a program, which has no excuse for another letter."""
        return self._rows.get(patient_id)

    def marker(self, source: str) -> Marker | None:
        """None for a modality that may be missing as a whole."""
        return next((marker for marker in self.schema.markers if marker.name == source), None)

    def endpoint(self, number: int) -> EndpointPrognosis:
        """Computed when first asked for. Raises IndexError for a number that is none."""
        number = range(len(self.endpoint_names))[number]
        with self._lock:
            if number not in self._endpoints:
                self._endpoints.update(self._of_one_follow_up(number))
            return self._endpoints[number]

    def own(self, number: int, row: int) -> OwnPrognosis:
        """Of one patient of the table as it is now."""
        found = self._of_patients.get((number, row))
        if not isinstance(found, OwnPrognosis):
            with one_thread():
                x = torch.as_tensor(self.encoded(row))
                _, relevance = marker_relevance(self.network, x, self.columns, endpoint=number)
                baseline = self.network.log_baseline_hazard(x)[0, number]
            found = OwnPrognosis(relevance[0], float(relevance[0].sum()), baseline)
            self._keep_of_patient((number, row), found)
        return found

    def as_if(self, row: int, values: FloatArray) -> HospitalPrognosis:
        """With one patient alone, at row 0, who has other values than the table at `row` says. values: (markers,).

        Groups, and the adjustment to this hospital, are those of the published patients, as here and computed once.
        """
        patient = replace(self.cohort.subset([row]), values=values[None].copy())
        found = replace(self, cohort=patient, published=self.units)
        for shared in ("_endpoints", "_kept", "_lock", "columns"):
            object.__setattr__(found, shared, getattr(self, shared))
        return found

    def encoded(self, row: int) -> FloatArray:
        """(1, columns), as the network reads a patient of the table as it is now."""
        found = self._of_patients.get((row,))
        if not isinstance(found, np.ndarray):
            found = encode(self.cohort.subset([row]))
            self._keep_of_patient((row,), found)
        return found

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """The network's inputs."""
        return columns(self.schema)

    def _keep_of_patient(self, key: tuple[int, ...], found: OwnPrognosis | FloatArray) -> None:
        """Until others are asked for: a table of patients, encoded and explained, would be held twice."""
        with self._lock:
            if len(self._of_patients) >= _MOST_AT_ONCE:
                self._of_patients.clear()
            self._of_patients[key] = found

    def kept(self, key: tuple[object, ...], compute: Callable[[], object]) -> object:
        """What takes seconds and is asked for again: computed once for each key."""
        with self._lock:
            found = self._kept.get(key)
        if found is None:
            found = compute()  # without the lock: twice at the same time is no harm
            with self._lock:
                self._kept[key] = found
        return found

    def _of_one_follow_up(self, number: int) -> dict[int, EndpointPrognosis]:
        """With those that compete with it: what comes of all their hazards is adjusted in all of them, or in none."""
        numbers = (number, *self.schema.competing(number))
        found = {each: self._computed(each, self.endpoint_names[each]) for each in numbers}
        fits = {each: prognosis.fitted for each, prognosis in found.items()}
        if None in fits.values():
            fits = dict.fromkeys(fits)
        applied: Mapping[int, Recalibration | None] = fits if self.decided is None else self.decided.fits
        return {
            each: replace(prognosis, fitted=fits[each], recalibration=applied.get(each))
            for each, prognosis in found.items()
        }

    def _computed(self, number: int, name: str) -> EndpointPrognosis:
        grid = self.grid
        x = torch.as_tensor(self.published_encoded)
        sources, relevance = marker_relevance(self.network, x, self.columns, endpoint=number)
        ratio = relevance.sum(axis=1)
        parts = parts_of(
            self.units,
            ratio,
            set_aside=self.set_aside,
            endpoint=number,
            grid=grid,
            disclosure=self.disclosure,
        )
        fitted = self._fitted(parts, number)
        tops = self.disclosure.tops(np.abs(relevance))
        return EndpointPrognosis(number, name, sources, relevance, ratio, parts, fitted, fitted, tops)

    def _fitted(self, parts: tuple[Part, ...], number: int) -> Recalibration | None:
        """To patients who were set aside, where there are enough of them (see `recalibration`); else to all."""
        unseen = self._fitted_to([part for part in parts if part.unseen], number, with_slope=True)
        if unseen is not None:
            return replace(unseen, set_aside=True)
        return self._fitted_to(parts, number, with_slope=self.noise_in_model)

    def _fitted_to(self, parts: Sequence[Part], number: int, *, with_slope: bool) -> Recalibration | None:
        """To what is told of the parts: each as so many patients of its middle risk."""
        told = sum(int(part.events[-1]) for part in parts)
        if told < FEWEST_EVENTS:
            return None
        axis = public_axis(self.grid)
        each = [estimated(part, axis, self.disclosure) for part in parts]
        bounds = np.searchsorted(axis, np.round(self.grid.bounds, 9))
        lived = [np.diff(axis) * (one.at_risk[:-1] + one.at_risk[1:]) / 2 for one in each]
        found = recalibrate(
            np.array([part.log_hazard_ratio for part in parts]),
            log_baseline_hazard=np.array([self._log_baseline_hazard(part.unit)[number] for part in parts]),
            events=np.array([np.diff(one.events[bounds]) for one in each]),
            at_risk=np.array([np.add.reduceat(one, bounds[:-1]) for one in lived]) / self.grid.widths,
            with_slope=with_slope,
        )
        wider = 1 + sum(one.squared_error for one in each) / told
        patients = sum(part.patients for part in parts)
        events = round(sum(float(one.events[-1]) for one in each))
        return (
            None
            if found is None
            else replace(found, covariance=found.covariance * wider, patients=patients, events=events)
        )

    def _log_baseline_hazard(self, unit: int) -> FloatArray:
        """(endpoints, intervals), as released, of a unit's tumour entity; of several, the mean hazard of all that the
        schema knows, as it may not be told who is in a part.
        """
        encoded = self.columns
        names = self.entity_names
        rows = np.zeros((max(1, len(names)), len(encoded)))
        for place, column in enumerate(encoded):
            if column.source == self.schema.tumour_entity and column.category in names:
                rows[names.index(column.category), place] = column.weight
        of_each = self.network.log_baseline_hazard(torch.as_tensor(rows))
        return of_each[unit] if unit >= 0 else np.asarray(np.logaddexp.reduce(of_each, axis=0) - np.log(len(of_each)))

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
        strata = self.units.strata
        if self.drawn is None:
            return np.zeros(len(strata), dtype=np.bool_)
        enough = np.bincount(strata, weights=self.drawn, minlength=1) >= self.smallest_group
        return np.asarray(self.drawn & enough[strata])

    @property
    def everybody(self) -> Peers:
        return Peers(np.ones(len(self.units.of), dtype=np.bool_), EVERYBODY, False, None)

    def at_least(self, peers: Peers) -> int:
        """How many they are, as it may be told."""
        return self.disclosure.count_of_strata(self.units.strata[peers.rows])

    def follow_up_as_of(self, peers: Peers, endpoint: int) -> tuple[date, ...]:
        """The oldest day whose follow-up is shown of them and the newest, or one; empty if it is not kept."""
        if self.as_of is None or not len(peers):
            return ()
        days = self.as_of[peers.rows, endpoint]
        return tuple(date.fromordinal(int(day)) for day in sorted({days.min(), days.max()}))

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
            assert self.schema.tumour_entity is not None
            return Peers(rows, OF_ONE_TUMOUR, True, number, self.marker(self.schema.tumour_entity))
        return Peers(rows, RARER if self.entities_shown() else EVERYBODY, False, number)

    def entities_shown(self) -> tuple[int, ...]:
        """Tumours that are units of their own, by the schema's order."""
        return self.units.numbers()
