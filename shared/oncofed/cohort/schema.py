"""What does a study call its markers and outcomes, and which public constants describe them?

A schema is public: it is written before anyone looks at a table, from units and medical knowledge, and is the only
source of centres, scales, ranges, vocabularies and the time grid. Reading one from TOML is
`oncofed.cohort.schema_file`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum

from oncofed.survival.grid import TimeGrid

GERMAN = "de"
"""The code of the one language, beside the names' own, in which a schema may have labels."""


class Modality(StrEnum):
    CLINICAL = "clinical"
    LABORATORY = "laboratory"
    BODY_COMPOSITION = "body_composition"
    DNA_MUTATION = "dna_mutation"
    DNA_COPY_NUMBER = "dna_copy_number"
    RNA_EXPRESSION = "rna_expression"
    PROTEIN_EXPRESSION = "protein_expression"
    TREATMENT = "treatment"


class Kind(StrEnum):
    CONTINUOUS = "continuous"
    BINARY = "binary"
    ORDINAL = "ordinal"
    CATEGORICAL = "categorical"


class TimeUnit(StrEnum):
    DAYS = "days"
    WEEKS = "weeks"
    MONTHS = "months"
    YEARS = "years"


class MissingFlags(StrEnum):
    """How being unmeasured is shown to the network."""

    MARKER = "marker"
    """One flag column for each marker of the modality."""
    MODALITY = "modality"
    """One flag column that says the whole modality is missing for the patient."""
    NONE = "none"


class DeathPolicy(StrEnum):
    """What a death means for an endpoint that is not death itself, such as time to next treatment."""

    COMPOSITE = "composite"
    """Death counts as the event (the default)."""
    CENSORING = "censoring"
    """Death ends the follow-up without the event."""


@dataclass(frozen=True)
class ModalityEncoding:
    """Public multipliers of a modality's encoded columns.

    weight          multiplies every value column. Small for noisy high-dimensional markers, so that per-patient
                    clipping spends its norm where the signal is.
    missing_weight  the value of a missing flag that is set.
    """

    weight: float = 1.0
    """Multiplies the columns of all its markers."""
    missing_weight: float = 0.03
    """The value of a missing flag that is set."""
    missing_flags: MissingFlags = MissingFlags.MARKER
    """How being unmeasured is shown to the network: one flag for each marker; one flag that says that the whole
    modality is missing for the patient; or not at all."""


@dataclass(frozen=True)
class Marker:
    """One column of a hospital's table.

    plausible_range  (lowest, highest) accepted value in `unit`; continuous and ordinal only. A value outside is a
                     fault of the table, most often a wrong unit.
    centre, scale    public; the reference patient has the value `centre`. Continuous, ordinal and binary only.
    categories       the vocabulary of a categorical marker; the reference patient has `reference_category`.
    missing_codes    cell values that mean "not measured", beside an empty cell.
    weight           multiplies this marker's value columns, beside its modality's weight.
    reference_range  (lowest, highest) usual value in health, as a laboratory states it; continuous and ordinal only. It
                     is shown beside a patient's value and has no effect on the model.
    expected_log_hazard_ratios  published effects on the schema's first endpoint, from which its model starts: one per
                     `scale`, or of a categorical marker one for each of `categories`, against the reference one; empty
                     where nothing is expected. `expected_source`: who published them.
    label_de         how German pages call it; `category_labels_de`: one for each of `categories`, or none. Where one
                     is empty, its name is shown in words. They have no effect on the model.
    """

    name: str
    modality: Modality
    kind: Kind
    unit: str = ""
    plausible_range: tuple[float, float] | None = None
    centre: float = 0.0
    scale: float = 1.0
    categories: tuple[str, ...] = ()
    reference_category: str = ""
    missing_codes: tuple[str, ...] = ()
    weight: float = 1.0
    reference_range: tuple[float, float] | None = None
    expected_log_hazard_ratios: tuple[float, ...] = ()
    expected_source: str = ""
    label_de: str = ""
    category_labels_de: tuple[str, ...] = ()

    def label_in(self, language: str) -> str:
        """Empty where the schema has none in this language."""
        return self.label_de if language == GERMAN else ""

    def category_label_in(self, language: str, category: str) -> str:
        """The same of one of its categories."""
        labels = dict(zip(self.categories, self.category_labels_de, strict=False)) if language == GERMAN else {}
        return labels.get(category, "")


@dataclass(frozen=True)
class Endpoint:
    """One outcome: when follow-up began and ended, and whether it ended with the event.

    time_column   months (or the schema's unit) from time zero to event or last contact, positive.
    event_column  1 when the event was observed, 0 when censored.
    entry_column  delayed entry: when the patient came under observation; None means at time zero.
    death_event_column  for an endpoint other than death: 1 when follow-up ended with death.
    death         what that death means.
    competes_with names of endpoints that end the same follow-up: who has had one of them cannot have this one any more.
                  It counts for all of them, whichever names the other: see `StudySchema.competing`.
    label_de      how German pages call it; without one, its name in words.
    """

    name: str
    time_column: str
    event_column: str
    entry_column: str | None = None
    death_event_column: str | None = None
    death: DeathPolicy = DeathPolicy.COMPOSITE
    competes_with: tuple[str, ...] = ()
    label_de: str = ""

    def label_in(self, language: str) -> str:
        """Empty where the schema has none in this language."""
        return self.label_de if language == GERMAN else ""


@dataclass(frozen=True)
class StudySchema:
    """Everything public about a study's tables.

    patient_id             column with one distinct value a row; it never leaves the hospital.
    site_column            which hospital a row belongs to; used only to cut one table into simulated hospitals.
    tumour_entity          name of the categorical marker that "within tumour types" refers to, or None.
    largest_encoded_value  standardised values are cut at +- this, before weights.
    baseline_hazard        public event rate of the reference patient, per unit of time, one for each endpoint.
    zero_time_becomes      a follow-up of exactly 0 (event or last contact on the day of diagnosis) is read as this
                           time, in the grid's unit; None means that it is a fault of the table.
    """

    name: str
    patient_id: str
    markers: tuple[Marker, ...]
    endpoints: tuple[Endpoint, ...]
    grid: TimeGrid
    baseline_hazard: tuple[float, ...]
    modalities: Mapping[Modality, ModalityEncoding] = field(default_factory=dict)
    site_column: str | None = None
    tumour_entity: str | None = None
    largest_encoded_value: float = 3.0
    zero_time_becomes: float | None = None

    def encoding_of(self, modality: Modality) -> ModalityEncoding:
        return self.modalities.get(modality, ModalityEncoding())

    def competing(self, number: int) -> tuple[int, ...]:
        """Numbers of the other endpoints that end the same follow-up as this one, rising; empty where none does.

        All that are named, by this one or by another, and those that compete with these: they share one follow-up.
        """
        places = {endpoint.name: place for place, endpoint in enumerate(self.endpoints)}
        joined = [
            {place, *(places[name] for name in endpoint.competes_with if name in places)}
            for place, endpoint in enumerate(self.endpoints)
        ]
        found = {number}
        while more := [pair for pair in joined if pair & found and not pair <= found]:
            found = found.union(*more)
        return tuple(sorted(found - {number}))

    def of_markers(self, names: Collection[str]) -> StudySchema:
        """The same study of these markers alone, in the schema's order; whoever is not named is left out."""
        markers = tuple(marker for marker in self.markers if marker.name in names)
        entity = self.tumour_entity if self.tumour_entity in {marker.name for marker in markers} else None
        return replace(self, markers=markers, tumour_entity=entity)

    @property
    def competing_names(self) -> frozenset[str]:
        """Of all endpoints that compete with another."""
        return frozenset(each.name for number, each in enumerate(self.endpoints) if self.competing(number))

    @property
    def hash(self) -> str:
        """SHA-256 of the canonical JSON of every public constant. Schemas that are equal have the same.

        A marker without a reference range, an expected effect or a label, and an endpoint that competes with none or
        has no label, are written as before there were any, so that older plans keep their schema. Of competing
        endpoints it does not matter which names the other.
        """
        written = asdict(self)
        for number, endpoint in enumerate(written["endpoints"]):
            endpoint["competes_with"] = [self.endpoints[other].name for other in self.competing(number)]
            _drop(endpoint, *(each for each in ("competes_with", "label_de") if not endpoint[each]))
        for marker in written["markers"]:
            if marker["reference_range"] is None:
                _drop(marker, "reference_range")
            if not marker["expected_log_hazard_ratios"]:
                _drop(marker, "expected_log_hazard_ratios", "expected_source")
            _drop(marker, *(each for each in ("label_de", "category_labels_de") if not marker[each]))
        canonical = json.dumps(_canonical(written), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(canonical.encode()).hexdigest()


def _drop(written: dict[str, object], *keys: str) -> None:
    for key in keys:
        del written[key]


def _canonical(value: object) -> object:
    """Equal numbers have one spelling: 65 and 65.0, 0.0 and -0.0. There is no true or false in a schema."""
    if isinstance(value, Mapping):
        return {key: _canonical(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(each) for each in value]
    return float(value) + 0.0 if isinstance(value, int | float) else value
