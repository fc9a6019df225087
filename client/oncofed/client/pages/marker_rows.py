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
from typing import cast

import numpy as np
from numpy.typing import NDArray

from oncofed.client.pages.disclosure import NINE_IN_TEN, Spread
from oncofed.client.pages.hospital import EndpointPrognosis, HospitalPrognosis, OwnPrognosis, Peers
from oncofed.client.pages.usual_values import Usual, usual_values
from oncofed.client.pages.wording import (
    NOT_MEASURED,
    TOO_FEW_MEASURED,
    against_reference,
    marker_value,
    range_words,
    reference_range,
    reference_value,
    span_with_unit,
)
from oncofed.cohort.schema import Kind, Marker, Modality
from oncofed.explanation.training_noise import in_words, moved_by_entity
from oncofed.words.language import ENGLISH, Language, later
from oncofed.words.markers import marker_label, shown_unit, source_label
from oncofed.words.names import capital, modality_name
from oncofed.words.numbers import hazard_ratio

FloatArray = NDArray[np.float64]

_OTHERS = {
    Modality.CLINICAL: later("Other clinical"),
    Modality.LABORATORY: later("Other laboratory"),
    Modality.BODY_COMPOSITION: later("Other body composition"),
    Modality.DNA_MUTATION: later("Other DNA mutations"),
    Modality.DNA_COPY_NUMBER: later("Other DNA copy numbers"),
    Modality.RNA_EXPRESSION: later("Other RNA expression"),
    Modality.PROTEIN_EXPRESSION: later("Other protein expression"),
    Modality.TREATMENT: later("Other treatment"),
}
"""What is left of a kind of data of which some stand alone."""
_RARE = 0.1
_FLAT = 5e-4
"""A contribution that no reader would see: its hazard ratio is written 1.00."""
_REASONS = 5
_NORMAL_95 = 1.96


@dataclass(frozen=True)
class MarkerRow:
    """One line of the table, in words but for the numbers that a picture needs.

    reference    the reference patient's value, its unit apart. reference_range: of health, empty where there is none.
    outside      "low" or "high" against that range, or "".
    usual_range  what is usual in these peers. unusual: "", or in which way the value is not.
    by_noise     standard deviation of `log_hazard_ratio`, had the model learned from noise alone; None: not known.
    kind, say    its kind of data, of which `modality` is the name in the language of this line.
    """

    label: str
    kind: Modality
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
    reference_unit: str = ""
    say: Language = ENGLISH

    @property
    def modality(self) -> str:
        return modality_name(self.kind, say=self.say)

    @property
    def is_treatment(self) -> bool:
        return self.kind is Modality.TREATMENT

    @property
    def noise(self) -> str:
        """Whether it stands out of the noise of training, in English; empty where nobody knows, or nothing is
        contributed.
        """
        return _noise_words(self.log_hazard_ratio, self.by_noise)

    @property
    def noise_range(self) -> str:
        """Where 95 in 100 trainings on noise alone would have put the hazard ratio; empty where nobody knows."""
        if not self.by_noise:
            return ""
        low, high = (hazard_ratio(side * _NORMAL_95 * self.by_noise, say=self.say) for side in (-1, 1))
        return range_words(low, high, say=self.say)


def _noise_words(log_hazard_ratio: float, by_noise: float | None) -> str:
    if not by_noise or abs(log_hazard_ratio) < _FLAT:
        return ""
    return in_words(log_hazard_ratio / by_noise)


@dataclass(frozen=True)
class ModalityTotal:
    """A modality's contributions multiplied up. measured: such as "18 of 20"."""

    kind: Modality
    name: str
    measured: str
    log_hazard_ratio: float
    hazard_ratio: str


@dataclass(frozen=True)
class Reason:
    """A line of the few that say most: a marker, or all others of a kind of data together. They add up to the whole.

    beside  what stands quietly behind the label: the value, or of how many markers it is. noise: in English.
    """

    label: str
    beside: str
    log_hazard_ratio: float
    noise: str
    is_treatment: bool = False

    say: Language = ENGLISH

    @property
    def hazard_ratio(self) -> str:
        return hazard_ratio(self.log_hazard_ratio, say=self.say)


def reasons_of(rows: Sequence[MarkerRow], *, whole: float, say: Language = ENGLISH) -> tuple[Reason, ...]:
    """The strongest markers; then what is left, by kind of data, widest first; treatments last.

    rows   strongest first. whole: the log hazard ratio, to which everything adds up.
    """
    biology = [row for row in rows if not row.is_treatment]
    found = [_of_marker(row) for row in biology[:_REASONS]]
    kinds: dict[Modality, list[MarkerRow]] = {}
    for row in (*biology[_REASONS:], *(each for each in rows if each.is_treatment)):
        kinds.setdefault(row.kind, []).append(row)
    taken = {row.kind for row in biology[:_REASONS]}
    rest = [
        _of_kind(say(_OTHERS[kind]) if kind in taken else modality_name(kind, say=say), members, say)
        for kind, members in kinds.items()
    ]
    found += sorted(rest, key=lambda each: (each.is_treatment, -abs(each.log_hazard_ratio)))
    left = whole - sum(each.log_hazard_ratio for each in found)
    return (*found, Reason(say("Everything else"), "", left, "", say=say)) if abs(left) >= 10 * _FLAT else tuple(found)


def _of_marker(row: MarkerRow) -> Reason:
    beside = "" if row.is_whole_modality else f"{row.value} {row.unit}".strip()
    return Reason(capital(row.label), beside, row.log_hazard_ratio, row.noise, say=row.say)


def _of_kind(label: str, members: Sequence[MarkerRow], say: Language) -> Reason:
    total = sum(row.log_hazard_ratio for row in members)
    parts = [row.by_noise for row in members]
    by_noise = None if None in parts else math.sqrt(sum(part**2 for part in parts if part is not None))
    treatment = members[0].is_treatment
    if len(members) == 1 and not treatment:
        return _of_marker(members[0])
    many = say.several("%(count)s marker", "%(count)s markers", len(members))
    named = say("Treatments given") if treatment else label
    return Reason(named, many, total, _noise_words(total, by_noise), treatment, say)


def marker_rows(
    hospital: HospitalPrognosis,
    prognosis: EndpointPrognosis,
    own: OwnPrognosis,
    row: int,
    peers: Peers,
    *,
    say: Language = ENGLISH,
) -> tuple[MarkerRow, ...]:
    """All that contribute, strongest first; those that were not measured are among them."""
    relevance, values = own.relevance, hospital.cohort.values[row]
    position = {marker.name: index for index, marker in enumerate(hospital.schema.markers)}
    usual, by_noise = usual_values(hospital, peers), by_noise_alone(hospital, prognosis, row)
    said, ranges = _said_of_markers(hospital, say), _usual_ranges(hospital, peers, say)
    found = []
    for place in np.argsort(-np.abs(relevance), kind="stable"):
        source, part = prognosis.sources[place], float(relevance[place])
        alone = None if by_noise is None or np.isnan(by_noise[place]) else float(by_noise[place])
        column = position.get(source)
        if column is None:
            if abs(part) >= _FLAT:
                found.append(_whole_modality(hospital, source, part, alone, say))
            continue
        marker, value = hospital.schema.markers[column], float(values[column])
        if np.isnan(value) and abs(part) < _FLAT:
            continue  # it stands among what is missing
        found.append(_marker_row(marker, value, part, said[column], usual[column], ranges[column], alone, say))
    return tuple(found)


def by_noise_alone(hospital: HospitalPrognosis, prognosis: EndpointPrognosis, row: int) -> FloatArray | None:
    """(sources,): the deviation of a weight times the length of a source's encoded columns, and the spread here.

    NaN where calibration by tumour entity moved the weights: with what noise, nobody knows beforehand.
    """
    if hospital.weight_noise is None:
        return None
    place = {source: index for index, source in enumerate(prognosis.sources)}
    squares = np.zeros(len(prognosis.sources))
    for column, value in zip(hospital.columns, hospital.encoded(row)[0], strict=True):
        squares[place[column.source]] += float(value) ** 2
    for number in moved_by_entity(hospital.network.spec):
        squares[place[hospital.columns[number].source]] = np.nan
    return np.asarray(abs(prognosis.slope) * hospital.weight_noise * np.sqrt(squares))


def _whole_modality(
    hospital: HospitalPrognosis, source: str, part: float, by_noise: float | None, say: Language
) -> MarkerRow:
    return MarkerRow(
        label=source_label(hospital.schema, source, say=say),
        kind=Modality(source),
        value=say(NOT_MEASURED),
        unit="",
        reference=say("measured"),
        reference_range="",
        outside="",
        usual_range="",
        unusual="",
        log_hazard_ratio=part,
        hazard_ratio=hazard_ratio(part, say=say),
        measured=False,
        by_noise=by_noise,
        is_whole_modality=True,
        say=say,
    )


@dataclass(frozen=True)
class _Said:
    """What a line says of its marker whoever the patient is."""

    label: str
    unit: str
    reference: str
    reference_range: str


def _said_of_markers(hospital: HospitalPrognosis, say: Language) -> tuple[_Said, ...]:
    """(markers,), written once: to write them is most of the time of a patient's lines."""

    def found() -> tuple[_Said, ...]:
        return tuple(
            _Said(
                marker_label(marker, say=say),
                shown_unit(marker, say=say),
                reference_value(marker, say=say),
                reference_range(marker, say=say),
            )
            for marker in hospital.schema.markers
        )

    return cast("tuple[_Said, ...]", hospital.kept(("said of markers", say), found))


def _usual_ranges(hospital: HospitalPrognosis, peers: Peers, say: Language) -> tuple[str, ...]:
    """(markers,), of numbers, in words and kept for the group's next patient; empty where there is no range."""

    def found() -> tuple[str, ...]:
        each = zip(hospital.schema.markers, usual_values(hospital, peers), strict=True)
        return tuple(_range_in_words(marker, usual.spread, say) for marker, usual in each)

    return cast("tuple[str, ...]", hospital.kept(("usual ranges", peers.unit, say), found))


def _range_in_words(marker: Marker, spread: Spread | None, say: Language) -> str:
    if spread is None:
        return ""
    told = span_with_unit(marker, spread.low, spread.high, say=say)
    return told if spread.holds == NINE_IN_TEN else f"{told} ({say(spread.holds)})"


def _marker_row(
    marker: Marker,
    value: float,
    part: float,
    said: _Said,
    usual: Usual,
    told_range: str,
    by_noise: float | None,
    say: Language,
) -> MarkerRow:
    usual_range, unusual = _usual(marker, value, usual, told_range, say)
    return MarkerRow(
        label=said.label,
        kind=marker.modality,
        value=marker_value(marker, value, say=say),
        unit=said.unit if not np.isnan(value) else "",
        reference=said.reference,
        reference_unit=said.unit,
        reference_range=said.reference_range,
        outside=against_reference(marker, value, say=say),
        usual_range=usual_range,
        unusual=unusual,
        log_hazard_ratio=part,
        hazard_ratio=hazard_ratio(part, say=say),
        measured=not np.isnan(value),
        by_noise=by_noise,
        say=say,
    )


def _usual(marker: Marker, value: float, usual: Usual, told_range: str, say: Language) -> tuple[str, str]:
    """What is usual in the group, and in which way this value is not. told_range: of a number, in words."""
    if marker.kind is not Kind.CONTINUOUS:
        share = None if np.isnan(value) else usual.share_of(value)
        if share is None:
            return "", ""
        told = say("%(value)s in %(share)s", value=marker_value(marker, value, say=say), share=share.words(say))
        return told, say("rare") if share.high <= _RARE else ""
    if usual.spread is None:
        return say(TOO_FEW_MEASURED), ""
    spread = usual.spread
    return told_range, say("above") if value > spread.high else say("below") if value < spread.low else ""


def modality_totals(
    hospital: HospitalPrognosis,
    prognosis: EndpointPrognosis,
    own: OwnPrognosis,
    row: int,
    *,
    say: Language = ENGLISH,
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
        told = say("%(measured)s of %(markers)s", measured=measured, markers=len(members))
        name, ratio = modality_name(modality, say=say), hazard_ratio(total, say=say)
        found.append(ModalityTotal(modality, name, told, total, ratio))
    return tuple(found)
