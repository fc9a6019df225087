"""How is each marker of one patient written as a line, and which few lines say most?

All hazard ratios are of one basis, which the view says: the model's, with the spread that suits this hospital where it
was adjusted, against the study's reference patient. They multiply up. Treatments are apart: one was chosen because of
how ill the patient was, so its line says who is given it, and not what it does.

Beside each stands whether noise of training alone could have made it (`explanation.training_noise`), where the plan
tells how large that noise was.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oncofed.client.pages.disclosure import NINE_IN_TEN
from oncofed.client.pages.hospital import EndpointPrognosis, HospitalPrognosis, OwnPrognosis, Peers
from oncofed.client.pages.usual_values import Usual, usual_values
from oncofed.client.pages.wording import (
    NOT_MEASURED,
    TOO_FEW_MEASURED,
    against_reference,
    marker_value,
    reference_range,
    reference_value,
)
from oncofed.cohort.encoding import columns
from oncofed.cohort.schema import Kind, Marker, Modality
from oncofed.explanation.training_noise import in_words
from oncofed.words.markers import marker_label, range_number, shown_unit, source_label
from oncofed.words.names import MODALITY_NAMES, capital
from oncofed.words.numbers import hazard_ratio

FloatArray = NDArray[np.float64]

_RARE = 0.1
_FLAT = 5e-4
"""A contribution that no reader would see: its hazard ratio is written 1.00."""
_REASONS = 5
_NORMAL_95 = 1.96


@dataclass(frozen=True)
class MarkerRow:
    """One line of the table, in words but for the numbers that a picture needs.

    reference    the reference patient's value. reference_range: of health, empty where the schema has none.
    outside      "low" or "high" against that range, or "".
    usual_range  what is usual in these peers. unusual: "", or in which way the value is not.
    by_noise     standard deviation of `log_hazard_ratio`, had the model learned from noise alone; None: not known.
    """

    label: str
    modality: str
    value: str
    unit: str
    reference: str
    reference_range: str
    outside: str
    usual_range: str
    unusual: str
    log_hazard_ratio: float
    hazard_ratio: str
    measured: bool
    by_noise: float | None = None
    is_whole_modality: bool = False
    """Not measured at all: the label says so."""

    @property
    def is_treatment(self) -> bool:
        return self.modality.lower() == MODALITY_NAMES[Modality.TREATMENT]

    @property
    def noise(self) -> str:
        """Whether it stands out of the noise of training; empty where nobody knows, or nothing is contributed."""
        return _noise_words(self.log_hazard_ratio, self.by_noise)

    @property
    def noise_range(self) -> str:
        """Where 95 in 100 trainings on noise alone would have put the hazard ratio; empty where nobody knows."""
        if not self.by_noise:
            return ""
        low, high = (hazard_ratio(side * _NORMAL_95 * self.by_noise) for side in (-1, 1))
        return f"{low} to {high}"


def _noise_words(log_hazard_ratio: float, by_noise: float | None) -> str:
    if not by_noise or abs(log_hazard_ratio) < _FLAT:
        return ""
    return in_words(log_hazard_ratio / by_noise)


@dataclass(frozen=True)
class ModalityTotal:
    """A modality's contributions multiplied up. measured: such as "18 of 20"."""

    name: str
    measured: str
    log_hazard_ratio: float
    hazard_ratio: str


@dataclass(frozen=True)
class Reason:
    """A line of the few that say most: a marker, or all others of a kind of data together. They add up to the whole.

    beside  what stands quietly behind the label: the value, or of how many markers it is.
    """

    label: str
    beside: str
    log_hazard_ratio: float
    noise: str
    is_treatment: bool = False

    @property
    def hazard_ratio(self) -> str:
        return hazard_ratio(self.log_hazard_ratio)


def reasons_of(rows: Sequence[MarkerRow], *, whole: float) -> tuple[Reason, ...]:
    """The strongest markers; then what is left, by kind of data, widest first; treatments last.

    rows   strongest first. whole: the log hazard ratio, to which everything adds up.
    """
    biology = [row for row in rows if not row.is_treatment]
    found = [_of_marker(row) for row in biology[:_REASONS]]
    kinds: dict[str, list[MarkerRow]] = {}
    for row in (*biology[_REASONS:], *(each for each in rows if each.is_treatment)):
        kinds.setdefault(row.modality, []).append(row)
    taken = {row.modality for row in biology[:_REASONS]}
    rest = [
        _of_kind(f"Other {kind.lower() if kind[1:].islower() else kind}" if kind in taken else kind, members)
        for kind, members in kinds.items()
    ]
    found += sorted(rest, key=lambda each: (each.is_treatment, -abs(each.log_hazard_ratio)))
    left = whole - sum(each.log_hazard_ratio for each in found)
    return (*found, Reason("Everything else", "", left, "")) if abs(left) >= 10 * _FLAT else tuple(found)


def _of_marker(row: MarkerRow) -> Reason:
    beside = "" if row.is_whole_modality else f"{row.value} {row.unit}".strip()
    return Reason(capital(row.label), beside, row.log_hazard_ratio, row.noise)


def _of_kind(label: str, members: Sequence[MarkerRow]) -> Reason:
    total = sum(row.log_hazard_ratio for row in members)
    parts = [row.by_noise for row in members]
    by_noise = None if None in parts else math.sqrt(sum(part**2 for part in parts if part is not None))
    treatment = members[0].is_treatment
    if len(members) == 1 and not treatment:
        return _of_marker(members[0])
    many = f"{len(members)} {'marker' if len(members) == 1 else 'markers'}"
    return Reason("Treatments given" if treatment else label, many, total, _noise_words(total, by_noise), treatment)


def marker_rows(
    hospital: HospitalPrognosis, prognosis: EndpointPrognosis, own: OwnPrognosis, row: int, peers: Peers
) -> tuple[MarkerRow, ...]:
    """All that contribute, strongest first; those that were not measured are among them."""
    relevance, values = own.relevance, hospital.cohort.values[row]
    position = {marker.name: index for index, marker in enumerate(hospital.schema.markers)}
    usual, by_noise = usual_values(hospital, peers), _by_noise(hospital, prognosis, row)
    found = []
    for place in np.argsort(-np.abs(relevance), kind="stable"):
        source, part = prognosis.sources[place], float(relevance[place])
        alone = None if by_noise is None else float(by_noise[place])
        column = position.get(source)
        if column is None:
            if abs(part) >= _FLAT:
                found.append(_whole_modality(hospital, source, part, alone))
            continue
        marker, value = hospital.schema.markers[column], float(values[column])
        if np.isnan(value) and abs(part) < _FLAT:
            continue  # it stands among what is missing
        found.append(_marker_row(marker, value, part, usual[column], alone))
    return tuple(found)


def _by_noise(hospital: HospitalPrognosis, prognosis: EndpointPrognosis, row: int) -> FloatArray | None:
    """(sources,): the deviation of a weight times the length of a source's encoded columns, and the spread here."""
    if hospital.weight_noise is None:
        return None
    place = {source: index for index, source in enumerate(prognosis.sources)}
    squares = np.zeros(len(prognosis.sources))
    for column, value in zip(columns(hospital.schema), hospital.encoded(row)[0], strict=True):
        squares[place[column.source]] += float(value) ** 2
    return np.asarray(abs(prognosis.slope) * hospital.weight_noise * np.sqrt(squares))


def _whole_modality(hospital: HospitalPrognosis, source: str, part: float, by_noise: float | None) -> MarkerRow:
    return MarkerRow(
        label=source_label(hospital.schema, source),
        modality=capital(MODALITY_NAMES[Modality(source)]),
        value=NOT_MEASURED,
        unit="",
        reference="measured",
        reference_range="",
        outside="",
        usual_range="",
        unusual="",
        log_hazard_ratio=part,
        hazard_ratio=hazard_ratio(part),
        measured=False,
        by_noise=by_noise,
        is_whole_modality=True,
    )


def _marker_row(marker: Marker, value: float, part: float, usual: Usual, by_noise: float | None) -> MarkerRow:
    usual_range, unusual = _usual(marker, value, usual)
    return MarkerRow(
        label=marker_label(marker),
        modality=capital(MODALITY_NAMES[marker.modality]),
        value=marker_value(marker, value),
        unit=shown_unit(marker) if not np.isnan(value) else "",
        reference=reference_value(marker),
        reference_range=reference_range(marker),
        outside=against_reference(marker, value),
        usual_range=usual_range,
        unusual=unusual,
        log_hazard_ratio=part,
        hazard_ratio=hazard_ratio(part),
        measured=not np.isnan(value),
        by_noise=by_noise,
    )


def _usual(marker: Marker, value: float, usual: Usual) -> tuple[str, str]:
    """What is usual in the group, and in which way this value is not."""
    if marker.kind is not Kind.CONTINUOUS:
        share = None if np.isnan(value) else usual.share_of(value)
        if share is None:
            return "", ""
        return f"{marker_value(marker, value)} in {share}", "rare" if share.high <= _RARE else ""
    if usual.spread is None:
        return TOO_FEW_MEASURED, ""
    spread = usual.spread
    told = f"{range_number(marker, spread.low)} to {range_number(marker, spread.high)} {shown_unit(marker)}".rstrip()
    told += "" if spread.holds == NINE_IN_TEN else f" ({spread.holds})"
    return told, "above" if value > spread.high else "below" if value < spread.low else ""


def modality_totals(
    hospital: HospitalPrognosis, prognosis: EndpointPrognosis, own: OwnPrognosis, row: int
) -> tuple[ModalityTotal, ...]:
    """The widest first."""
    by_name = {marker.name: marker.modality for marker in hospital.schema.markers}
    totals: dict[Modality, float] = {}
    for source, part in zip(prognosis.sources, own.relevance, strict=True):
        modality = by_name.get(source) or Modality(source)
        totals[modality] = totals.get(modality, 0.0) + float(part)
    found = []
    for modality, total in sorted(totals.items(), key=lambda item: -abs(item[1])):
        members = [index for index, marker in enumerate(hospital.schema.markers) if marker.modality is modality]
        measured = int((~np.isnan(hospital.cohort.values[row, members])).sum())
        told = f"{measured} of {len(members)}"
        found.append(ModalityTotal(capital(MODALITY_NAMES[modality]), told, total, hazard_ratio(total)))
    return tuple(found)
