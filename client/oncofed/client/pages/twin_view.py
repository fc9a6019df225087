"""What of this patient is known, kind of data by kind; what does each add; and what would measuring the rest tell?

Values and words of one page; a template lays them out. Everything of other patients goes through `disclosure`: how far
a kind of data moves the prognosis of such patients is a capped mean, rounded down (its rule 5); what measuring would
change, too, and the range of its results has the floor on either side (6). No outcome of anybody is in any of it but
in the hospital's own adjustment, as on the patient's page.

Nothing is put in an order of what to do: what is missing is listed by how far it moves the answer, and whether that is
worth its price is for whoever asks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from oncofed.client.guard.one_thread import one_thread
from oncofed.client.pages.disclosure import LOG_RATIO_STEP, Spread
from oncofed.client.pages.hospital import HospitalPrognosis, Peers
from oncofed.client.pages.marker_rows import ModalityTotal, by_noise_alone, modality_totals
from oncofed.client.pages.missing_markers import WithResults, missing_groups, with_results
from oncofed.client.pages.next_measurement import Answers, Unsaid, answers_of, may_be_noise
from oncofed.client.pages.patient_view import Outlook
from oncofed.cohort.schema import Kind, Modality
from oncofed.explanation.training_noise import STANDS_OUT, in_words
from oncofed.survival.curves import cumulative_incidence
from oncofed.words.language import ENGLISH, Language
from oncofed.words.markers import marker_label
from oncofed.words.names import plain_name

FloatArray = NDArray[np.float64]

_MOST_DONORS = 200
_LARGEST = 50.0
"""Of a log hazard: nobody lives through an interval with that many events."""
_TAIL = 0.1
_SEEN = 0.01
"""Of a share: one patient of a hundred."""


@dataclass(frozen=True)
class Layer:
    """One kind of data. total: of this patient, with how many of its markers are measured.

    noise  whether the noise of training alone could have made its contribution, in English; empty: not known.
    usual  how far it moves the log hazard ratio of such patients in the mean, up or down, rounded down; None: not told.
    """

    total: ModalityTotal
    noise: str
    usual: float | None


@dataclass(frozen=True)
class ToMeasure:
    """What is missing, and what its result may be expected to make of the prognosis.

    name       of a marker, an assay, or a kind of data of which nothing is measured.
    change     the expected change of the share without the event, up or down, rounded down.
    low, high  the share after, of most results. holds: how many of them, such as "eight in ten".
    goes_with  what is known of the patient and foretells a part of the result.
    """

    name: str
    markers: int
    change: float
    low: float
    high: float
    holds: str
    goes_with: tuple[str, ...]
    price: float | None = None
    days: float | None = None

    @property
    def moves(self) -> bool:
        """Whether a reader would see it."""
        return self.change >= _SEEN


@dataclass(frozen=True)
class NotSaid:
    """What is missing, and why nothing can be said of measuring it."""

    name: str
    markers: int
    why: Unsaid
    price: float | None = None
    days: float | None = None


@dataclass(frozen=True, eq=False)
class TwinView:
    """now: the share without the event at the moment that is asked about. entity: of whom `layers` say what is usual.

    priced  whether anything of the study says what measuring costs.
    """

    now: float
    layers: tuple[Layer, ...]
    to_measure: tuple[ToMeasure, ...]
    not_said: tuple[NotSaid, ...]
    priced: bool

    @property
    def hardly(self) -> int:
        """Markers of which it cannot be said that they would move the prognosis so that a reader sees it."""
        return sum(each.markers for each in self.to_measure if not each.moves)

    @property
    def worth(self) -> tuple[ToMeasure, ...]:
        """What would move it."""
        return tuple(each for each in self.to_measure if each.moves)


def twin_view(
    hospital: HospitalPrognosis, row: int, found: Outlook, peers: Peers, *, moment: float, say: Language = ENGLISH
) -> TwinView:
    """found: of the patient, from time zero on. moment: at which shares are told, in the grid's unit."""
    endpoint = found.endpoint.number
    own = hospital.encoded(row)
    now = float(shares_at(hospital, own, endpoint=endpoint, moment=moment)[0])
    to_measure, not_said = list[ToMeasure](), list[NotSaid]()
    of_known, own_known = _known_values(hospital, row, own)
    for each in _groups(hospital, row, say):
        told = _told(hospital, own, each, now, of_known, own_known, peers, endpoint=endpoint, moment=moment, say=say)
        if isinstance(told, ToMeasure):
            to_measure.append(told)
        else:
            not_said.append(told)
    return TwinView(
        now,
        _layers(hospital, row, found, peers, say),
        tuple(sorted(to_measure, key=lambda each: (-each.change, each.low - each.high, each.name))),
        tuple(not_said),
        bool(hospital.assays),
    )


def shares_at(hospital: HospitalPrognosis, encoded: FloatArray, *, endpoint: int, moment: float) -> FloatArray:
    """(rows,): of rows of the network's input that need not be anybody's, who are without the event by then.

    With the adjustment of the page, and with what competes; as the patient's own curve.
    """
    causes = [endpoint, *hospital.schema.competing(endpoint)]
    x = torch.as_tensor(encoded)
    with one_thread(), torch.no_grad():
        ratio = np.asarray(hospital.network(x).numpy(), dtype=np.float64)[:, causes]
        log_hazard = hospital.network.log_baseline_hazard(x)[:, causes] + ratio[:, :, None]
    for place, cause in enumerate(causes):
        fit = hospital.endpoint(cause).recalibration
        if fit is not None:
            log_hazard[:, place] += fit.corrections + (fit.slope - 1) * ratio[:, [place]]
    hazards, times = np.exp(np.minimum(log_hazard, _LARGEST)), np.array([moment])
    return np.asarray(1 - cumulative_incidence(hazards, grid=hospital.grid, times=times)[:, 0, 0])


@dataclass(frozen=True)
class _Group:
    """Markers that are measured together, by their places."""

    name: str
    members: list[int]
    price: float | None = None
    days: float | None = None


def _groups(hospital: HospitalPrognosis, row: int, say: Language) -> list[_Group]:
    """What is missing: first what assays would tell, then kinds of data and markers of which no assay is known.

    Left out: treatments, which are not measured, and the tumour, by which patients are compared.
    """
    schema, values = hospital.schema, hospital.cohort.values[row]
    asked = [
        bool(np.isnan(value)) and marker.modality is not Modality.TREATMENT and marker.name != schema.tumour_entity
        for marker, value in zip(schema.markers, values, strict=True)
    ]
    found, taken = [], set[int]()
    for assay in hospital.assays:
        own = [place for place, marker in enumerate(schema.markers) if asked[place] and marker.name in assay.markers]
        if own:
            found.append(_Group(plain_name(assay.name), own, assay.price, assay.days))
            taken.update(own)
    for members, name, _ in missing_groups(hospital, row, say):
        left = [place for place in members if asked[place] and place not in taken]
        if left == members:
            found.append(_Group(name, left))
        else:
            found += [_Group(marker_label(schema.markers[place], say=say), [place]) for place in left]
    return found


def _told(
    hospital: HospitalPrognosis,
    own: FloatArray,
    group: _Group,
    now: float,
    of_known: FloatArray,
    own_known: FloatArray,
    peers: Peers,
    *,
    endpoint: int,
    moment: float,
    say: Language,
) -> ToMeasure | NotSaid:
    disclosure, results = hospital.disclosure, with_results(hospital, own, group.members, peers, most=_MOST_DONORS)
    bought = (group.price, group.days)
    if not len(results.donors):
        return NotSaid(group.name, len(group.members), Unsaid.TOO_FEW, *bought)
    shares = shares_at(hospital, results.encoded, endpoint=endpoint, moment=moment)
    found = answers_of(
        now,
        shares,
        of_known[results.donors],
        own_known,
        fewest=disclosure.fewest_spread,
        crowd=disclosure.crowd,
    )
    spread = None if isinstance(found, Unsaid) else _spread(hospital, found)
    if isinstance(found, Unsaid) or spread is None:
        return NotSaid(group.name, len(group.members), found if isinstance(found, Unsaid) else Unsaid.TOO_FEW, *bought)
    if _is_noise(hospital, own, results, endpoint):
        return NotSaid(group.name, len(group.members), Unsaid.MAY_BE_NOISE, *bought)
    moved = np.abs(found.shares - found.now)[:, None]
    change = float(disclosure.means(moved, disclosure.tops(moved))[0])
    low, high = found.share_after(spread.high), found.share_after(spread.low)
    return ToMeasure(
        group.name, len(group.members), change, low, high, spread.holds, _named(hospital, found.known, say), *bought
    )


def _spread(hospital: HospitalPrognosis, found: Answers) -> Spread | None:
    return hospital.disclosure.spread(found.moved, widest=_TAIL, step=LOG_RATIO_STEP)


def _is_noise(hospital: HospitalPrognosis, own: FloatArray, results: WithResults, endpoint: int) -> bool:
    """False where nobody knows how large the noise is."""
    if hospital.weight_noise is None:
        return False
    with one_thread(), torch.no_grad():
        ratio = hospital.network(torch.as_tensor(np.concatenate([own, results.encoded])))[:, endpoint].numpy()
    return may_be_noise(
        ratio[1:] - ratio[0], results.encoded - own, weight_noise=hospital.weight_noise, deviations=STANDS_OUT
    )


def _known_values(hospital: HospitalPrognosis, row: int, own: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(published patients, columns) and (columns,): values as the network reads them, NaN where there is none."""
    place = {marker.name: index for index, marker in enumerate(hospital.schema.markers)}
    from_marker = np.array([place.get(each.source, -1) for each in hospital.columns])

    def known(encoded: FloatArray, values: FloatArray) -> FloatArray:
        missing = np.where(from_marker < 0, True, np.isnan(values)[:, from_marker])
        return np.where(missing, np.nan, encoded)

    everybody = known(hospital.published_encoded, hospital.units.cohort.values)
    return everybody, known(own, hospital.cohort.values[[row]])[0]


def _named(hospital: HospitalPrognosis, known: Sequence[int], say: Language) -> tuple[str, ...]:
    """Each marker once."""
    encoded = hospital.columns
    found = [hospital.marker(encoded[place].source) for place in known]
    return tuple(dict.fromkeys(marker_label(each, say=say) for each in found if each is not None))


def _layers(hospital: HospitalPrognosis, row: int, found: Outlook, peers: Peers, say: Language) -> tuple[Layer, ...]:
    """All kinds of data of the study, in its own order: history, laboratory, ... protein; treatments last."""
    prognosis, disclosure = found.endpoint, hospital.disclosure
    kinds = {marker.name: marker.modality for marker in hospital.schema.markers}
    of_source = [kinds.get(source) or Modality(source) for source in prognosis.sources]
    totals = {each.kind: each for each in modality_totals(hospital, prognosis, found.own, row, say=say)}
    by_noise = by_noise_alone(hospital, prognosis, row)
    layers = []
    for kind in sorted((each for each in Modality if each in totals), key=lambda each: each is Modality.TREATMENT):
        own = np.array([each is kind for each in of_source])
        moved = np.abs(prognosis.slope * prognosis.relevance[:, own].sum(axis=1, keepdims=True))
        # Of values few in number, a mean is a count: what is told of these is shares (rule 3).
        many = any(each.kind is Kind.CONTINUOUS for each in hospital.schema.markers if each.modality is kind)
        told = many and kind is not Modality.TREATMENT and disclosure.told(int(peers.rows.sum()))
        usual = float(disclosure.means(moved[peers.rows], disclosure.tops(moved))[0]) if told else None
        alone = 0.0 if by_noise is None else math.sqrt(float((by_noise[own] ** 2).sum()))
        total = totals[kind]
        layers.append(Layer(total, in_words(total.log_hazard_ratio / alone) if alone > 0 else "", usual))
    return tuple(layers)
