"""Which patients come to which synthetic hospital, and what is recorded of them?

Units are harmonised (every hospital uses the schema's), populations are not: hospitals differ in size, in the mix of
tumour entities, in age, frailty and disease extent of their patients, and in what they measure: some have no RNA or
protein at all, sequencing panels differ, and each patient misses some values. The largest hospital measures every
modality.

Randomness is an argument. What all consortia share (how an entity shifts a marker, how far a population's mean lies
from the public centre) is drawn once from a seed of its own, whatever the seed of a consortium.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from oncofed.cohort.schema import Kind, Modality
from oncofed.simulations.synthetic.entities import ENTITIES
from oncofed.simulations.synthetic.markers import METASTATIC_SITES, TUMOUR_ENTITY, UICC_STAGE
from oncofed.simulations.synthetic.schema import CATALOGUE

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_SMALLEST_HOSPITAL = 30
_STRUCTURE_SEED = 20_250_115
_GROUP_LOADING = 0.4
_ENTITY_SHIFT = 0.3
_ENTITY_MIX_CONCENTRATION = 25.0


@dataclass(frozen=True)
class _Measurement:
    """hospitals  share of hospitals that measure a modality; patients  share of their patients of whom they do."""

    hospitals: float
    patients: float
    panels: tuple[float, ...] = (1.0,)
    """Shares of the modality's markers that a hospital's panel covers; the first-named of each group come first."""


_MEASUREMENT = {
    Modality.CLINICAL: _Measurement(1.0, 1.0),
    Modality.LABORATORY: _Measurement(1.0, 1.0),
    Modality.BODY_COMPOSITION: _Measurement(0.9, 0.88),
    Modality.DNA_MUTATION: _Measurement(0.95, 0.9, (1.0, 0.85, 0.65)),
    Modality.DNA_COPY_NUMBER: _Measurement(0.8, 0.85, (1.0, 0.7)),
    Modality.RNA_EXPRESSION: _Measurement(0.6, 0.75, (1.0, 0.75)),
    Modality.PROTEIN_EXPRESSION: _Measurement(0.5, 0.7),
    Modality.TREATMENT: _Measurement(1.0, 1.0),
}


@dataclass(frozen=True)
class Hospitals:
    """One row a hospital, in the order of their names.

    patients            (hospitals,), how many it has.
    entity_shares       (hospitals, entities).
    age_shift           (hospitals,), in standard deviations, as are frailty_shift and extent_shift.
    measures            (hospitals, markers), whether it measures a marker in anybody.
    delayed_entry_share (hospitals,), share of patients who came under observation after time zero.
    """

    names: tuple[str, ...]
    patients: IntArray
    entity_shares: FloatArray
    age_shift: FloatArray
    frailty_shift: FloatArray
    extent_shift: FloatArray
    measures: NDArray[np.bool_]
    delayed_entry_share: FloatArray


def draw_hospitals(*, patients: int, hospitals: int, rng: np.random.Generator) -> Hospitals:
    """`hospitals` that share `patients`; needs patients >= hospitals >= 1."""
    assert patients >= hospitals >= 1
    order = rng.permutation(hospitals)  # names say nothing of size
    sizes = _skewed_sizes(patients, hospitals, rng)[order]
    width = max(2, len(str(hospitals)))
    entity_shares = np.array([entity.share for entity in ENTITIES])
    entity_shares = entity_shares / entity_shares.sum()
    return Hospitals(
        names=tuple(f"hospital_{number:0{width}d}" for number in range(1, hospitals + 1)),
        patients=sizes,
        entity_shares=rng.dirichlet(_ENTITY_MIX_CONCENTRATION * entity_shares, size=hospitals),
        age_shift=rng.normal(0.0, 0.25, hospitals),
        frailty_shift=rng.normal(0.0, 0.4, hospitals),
        extent_shift=rng.normal(0.0, 0.25, hospitals),
        measures=_panels(hospitals, rng)[order],
        delayed_entry_share=np.where(_spread(0.35, hospitals, rng, first=False), 0.7, 0.0)[order],
    )


def draw_values(hospitals: Hospitals, hospital_of: IntArray, rng: np.random.Generator) -> FloatArray:
    """(patients, markers): recorded values in each marker's unit; NaN is not measured, a category its index.

    hospital_of  (patients,), row of `hospitals` for each patient.
    """
    entity = _draw_entities(hospitals.entity_shares, hospital_of, rng)
    values = _values_of(_latent_values(hospitals, hospital_of, entity, rng), entity)
    _make_metastases_agree_with_stage(values)
    values[_unmeasured(hospitals, hospital_of, rng)] = np.nan
    return values


def _skewed_sizes(patients: int, hospitals: int, rng: np.random.Generator) -> IntArray:
    """Largest first; a power law by rank with jitter, and a floor of 30 where there are patients enough for it."""
    smallest = max(1, min(_SMALLEST_HOSPITAL, patients // (2 * hospitals)))
    weights = np.arange(1, hospitals + 1) ** -0.8 * np.exp(rng.normal(0.0, 0.2, hospitals))
    weights = np.sort(weights)[::-1] / weights.sum()
    ends = np.round(np.cumsum(weights) * (patients - smallest * hospitals)).astype(np.int64)
    return smallest + np.diff(ends, prepend=0)


def _spread(share: float, hospitals: int, rng: np.random.Generator, *, first: bool) -> NDArray[np.bool_]:
    """Which hospitals, largest first, have a property that `share` of them has.

    Spread evenly over the sizes (steps of the golden ratio from a random start): by plain chance the property of two or
    three large hospitals would decide over half of the patients. first: whether the largest has it for certain.
    """
    positions = (rng.random() + np.arange(hospitals) * 0.6180339887498949) % 1.0
    found = positions < share
    found[0] = found[0] or first
    return found


def _panels(hospitals: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """(hospitals, markers), largest first: whether a hospital measures the marker in anybody."""
    structure = _structure()
    measures = np.ones((hospitals, len(CATALOGUE)), dtype=bool)
    for modality, measurement in _MEASUREMENT.items():
        members = structure.modality_members[modality]
        available = _spread(measurement.hospitals, hospitals, rng, first=True)
        covered = rng.choice(measurement.panels, size=hospitals)
        covered[0] = max(measurement.panels)
        measures[:, members] = available[:, None] & (structure.rank_in_group[members] < covered[:, None])
    # A test that is rarely ordered is often one that the hospital does not offer.
    rarely_offered = np.where(structure.unmeasured >= 0.2, structure.unmeasured / 2, 0.0)
    return measures & (rng.random((hospitals, len(CATALOGUE))) >= rarely_offered)


def _unmeasured(hospitals: Hospitals, hospital_of: IntArray, rng: np.random.Generator) -> NDArray[np.bool_]:
    """(patients, markers): what was not measured, by the hospital's means or by chance."""
    structure = _structure()
    patients = len(hospital_of)
    by_chance = np.where(structure.unmeasured >= 0.2, structure.unmeasured / 2, structure.unmeasured)
    missing = rng.random((patients, len(CATALOGUE)), dtype=np.float32) < by_chance
    missing |= ~hospitals.measures[hospital_of]
    for modality, measurement in _MEASUREMENT.items():
        if measurement.patients < 1.0:
            without = rng.random(patients) >= measurement.patients
            missing[np.ix_(without, structure.modality_members[modality])] = True
    return missing


@dataclass(frozen=True)
class _Structure:
    """What all consortia share, as arrays in the order of the catalogue."""

    modality_members: dict[Modality, IntArray]
    rank_in_group: FloatArray
    """Position among the markers of the same group, in [0, 1)."""
    unmeasured: FloatArray
    frailty: FloatArray
    extent: FloatArray
    group: IntArray
    own: FloatArray
    """Standard deviation of what a marker shares with nothing."""
    entity_shift: FloatArray
    """(entities, markers), in standard deviations."""
    entity_extent: FloatArray
    population_mean: FloatArray
    """In scales from the centre."""
    population_sd: FloatArray
    """In scales."""
    binary: IntArray
    binary_cut: FloatArray
    """(entities, binary markers): a latent value above it is a 1."""


@cache
def _structure() -> _Structure:
    rng = np.random.default_rng(_STRUCTURE_SEED)
    markers = [synthetic.marker for synthetic in CATALOGUE]
    names = {marker.name: index for index, marker in enumerate(markers)}
    groups = [(marker.modality, synthetic.group) for marker, synthetic in zip(markers, CATALOGUE, strict=True)]
    rank = np.array([groups[:index].count(group) / groups.count(group) for index, group in enumerate(groups)])
    distinct = list(dict.fromkeys(groups))
    frailty = np.array([synthetic.frailty for synthetic in CATALOGUE])
    extent = np.array([synthetic.extent for synthetic in CATALOGUE])

    entity_shift = rng.normal(0.0, _ENTITY_SHIFT, (len(ENTITIES), len(CATALOGUE)))
    molecular = [marker.modality.value.startswith(("dna", "rna", "protein")) for marker in markers]
    entity_shift *= np.where(molecular, 1.0, 0.3)
    entity_shift[:, names["age_years"]] = [entity.age_offset_years / 12 for entity in ENTITIES]

    binary = [index for index, marker in enumerate(markers) if marker.kind is Kind.BINARY]
    shares = np.tile([CATALOGUE[index].shares[0] for index in binary], (len(ENTITIES), 1))
    for row, entity in enumerate(ENTITIES):
        for name, share in (*entity.hallmark_alterations, ("sex_male", entity.male_share)):
            shares[row, binary.index(names[name])] = share
            entity_shift[row, names[name]] = 0.0

    return _Structure(
        modality_members={
            modality: np.array([index for index, marker in enumerate(markers) if marker.modality is modality])
            for modality in Modality
        },
        rank_in_group=rank,
        unmeasured=np.array([synthetic.unmeasured for synthetic in CATALOGUE]),
        frailty=frailty,
        extent=extent,
        group=np.array([distinct.index(group) for group in groups]),
        own=np.sqrt(1.0 - frailty**2 - extent**2 - _GROUP_LOADING**2),
        entity_shift=entity_shift,
        entity_extent=np.array([entity.extent_offset for entity in ENTITIES]),
        population_mean=rng.normal(0.0, 0.15, len(CATALOGUE)),
        population_sd=rng.uniform(0.85, 1.1, len(CATALOGUE)),
        binary=np.array(binary),
        binary_cut=norm.ppf(1.0 - shares),
    )


def _draw_entities(entity_shares: FloatArray, hospital_of: IntArray, rng: np.random.Generator) -> IntArray:
    """(patients,): index of each patient's tumour entity, by the mix of the patient's hospital."""
    ends = np.cumsum(entity_shares, axis=1)
    ends[:, -1] = 1.0
    found: IntArray = (rng.random(len(hospital_of))[:, None] >= ends[hospital_of]).sum(axis=1)
    return found


def _latent_values(
    hospitals: Hospitals, hospital_of: IntArray, entity: IntArray, rng: np.random.Generator
) -> FloatArray:
    """(patients, markers): about standard normal, correlated through frailty, disease extent and the groups."""
    structure = _structure()
    patients = len(hospital_of)
    frailty = rng.standard_normal(patients) + hospitals.frailty_shift[hospital_of]
    extent = rng.standard_normal(patients) + hospitals.extent_shift[hospital_of] + structure.entity_extent[entity]
    factors = rng.standard_normal((patients, structure.group.max() + 1))
    latent = rng.standard_normal((patients, len(CATALOGUE))) * structure.own
    latent += _GROUP_LOADING * factors[:, structure.group]
    latent += np.outer(frailty, structure.frailty) + np.outer(extent, structure.extent)
    latent += structure.entity_shift[entity]
    latent[:, _column("age_years")] += hospitals.age_shift[hospital_of]
    return latent


def _values_of(latent: FloatArray, entity: IntArray) -> FloatArray:
    """(patients, markers): values in each marker's unit, as recorded (rounded, inside the plausible range)."""
    structure = _structure()
    values = structure.population_mean + structure.population_sd * latent
    values[:, structure.binary] = latent[:, structure.binary] > structure.binary_cut[entity]
    for column, synthetic in enumerate(CATALOGUE):
        marker = synthetic.marker
        if marker.name == TUMOUR_ENTITY:
            values[:, column] = entity
        elif marker.kind is Kind.CONTINUOUS:
            assert marker.plausible_range is not None
            in_unit = np.round(marker.centre + marker.scale * values[:, column], synthetic.decimals)
            values[:, column] = np.clip(in_unit, *marker.plausible_range) + 0.0  # no -0.0: it would be written as -0
        elif marker.kind in (Kind.ORDINAL, Kind.CATEGORICAL):
            cuts = norm.ppf(np.cumsum(synthetic.shares)[:-1])
            lowest = marker.plausible_range[0] if marker.plausible_range is not None else 0.0
            values[:, column] = lowest + np.searchsorted(cuts, latent[:, column])
    return values


def _make_metastases_agree_with_stage(values: FloatArray) -> None:
    """Only stage IV has distant metastases, and then in at least one organ; the catalogue's shares are of stage IV."""
    distant = values[:, _column(UICC_STAGE)] == 4
    sites = [_column(f"metastasis_{site}") for site in METASTATIC_SITES]
    values[np.ix_(~distant, sites)] = 0.0
    count = _column("metastatic_organ_count")
    organs = np.maximum(values[:, count], values[:, sites].sum(axis=1))
    values[:, count] = np.where(distant, np.clip(organs, 1, 4), 0.0)


@cache
def _column(name: str) -> int:
    return [synthetic.marker.name for synthetic in CATALOGUE].index(name)
