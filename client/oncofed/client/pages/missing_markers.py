"""What has not been measured in this patient, and how far could measuring it move the prognosis?

For each marker that is missing, the model is asked again with the values that were measured in other patients of the
same tumour at this hospital (of all tumours when those are too few), everything else unchanged. What eight in ten of
a hundred answers lie in is the range, or half of them where there are fewer. A modality of which nothing was measured
is filled as a whole, from one patient at a time, so that its markers fit each other.

Each patient is encoded alone, column by column, so a value that was taken over is its donor's encoded columns.

A range says how much the model's answer could change. It does not say that the marker should be measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from oncofed.client.guard.one_thread import one_thread
from oncofed.client.pages.disclosure import LOG_RATIO_STEP, Spread
from oncofed.client.pages.hospital import HospitalPrognosis, Peers
from oncofed.cohort.schema import Modality
from oncofed.words.language import ENGLISH, Language
from oncofed.words.markers import marker_label
from oncofed.words.names import modality_name

FloatArray = NDArray[np.float64]

_MOST_DONORS = 100
_TAIL = 0.1
_SEEN = 0.005
_ORDER_OF_DONORS = 0
"""A seed: the same patient has the same range each time, and nothing is hidden by it."""


@dataclass(frozen=True)
class CouldChange:
    """name    of a marker, or of a modality that is missing as a whole. markers: how many that are.

    change  within which limits the log hazard ratio would change; None when too few patients have it measured.
    """

    name: str
    modality: Modality
    markers: int
    change: Spread | None

    @property
    def moves(self) -> bool:
        """Whether a reader would see it: a range that is not written as 1.00 to 1.00."""
        return self.change is not None and max(-self.change.low, self.change.high) >= _SEEN

    @property
    def width(self) -> float:
        return 0.0 if self.change is None else self.change.high - self.change.low


def could_change(
    hospital: HospitalPrognosis,
    row: int,
    peers: Peers,
    *,
    endpoint: int,
    slope: float = 1.0,
    say: Language = ENGLISH,
) -> tuple[CouldChange, ...]:
    """What is missing, the widest range first; what cannot be said comes last. slope: of the page's hazard ratios."""
    groups, own = missing_groups(hospital, row, say), hospital.encoded(row)
    donors = [_donors(hospital, members, peers, _MOST_DONORS) for members, _, _ in groups]
    filled = np.repeat(own, 1 + sum(len(each) for each in donors), axis=0)
    start = 1
    for (members, _, _), each in zip(groups, donors, strict=True):
        _fill(hospital, filled[start : start + len(each)], members, each)
        start += len(each)
    ratio = _log_hazard_ratio(hospital, filled, endpoint=endpoint)
    found, start = [], 1
    for (members, name, modality), each in zip(groups, donors, strict=True):
        answers = slope * (ratio[start : start + len(each)] - ratio[0])
        start += len(each)
        change = hospital.disclosure.spread(answers, widest=_TAIL, step=LOG_RATIO_STEP)
        found.append(CouldChange(name, modality, len(members), change))
    return tuple(sorted(found, key=lambda each: (each.change is None, -each.width, each.name)))


@dataclass(frozen=True, eq=False)
class WithResults:
    """A patient who would have others' results. donors: published patients, by their place.

    encoded  (donors, columns), as the network reads it.
    """

    donors: NDArray[np.intp]
    encoded: FloatArray


def with_results(
    hospital: HospitalPrognosis, own: FloatArray, members: list[int], peers: Peers, *, most: int
) -> WithResults:
    """own: (1, columns). members: places of markers that are filled together, from so many patients at most."""
    donors = _donors(hospital, members, peers, most)
    encoded = np.repeat(own, len(donors), axis=0)
    _fill(hospital, encoded, members, donors)
    return WithResults(donors, encoded)


def _fill(hospital: HospitalPrognosis, encoded: FloatArray, members: list[int], donors: NDArray[np.intp]) -> None:
    """encoded: (donors, columns), into which the donors' results of these markers are written."""
    taken = _places(hospital, members)
    encoded[:, taken] = hospital.published_encoded[donors[:, None], taken]


@dataclass(frozen=True)
class Completeness:
    """How much is known of a patient, and how far the log hazard ratio could change if the rest were, all at once.

    change    None when nothing is missing of which enough other patients have a value.
    not_told  missing markers of which too few have one.
    """

    known: int
    markers: int
    change: Spread | None
    not_told: int

    @property
    def little(self) -> bool:
        """Whether less than half is known."""
        return 2 * self.known < self.markers


def completeness(
    hospital: HospitalPrognosis, row: int, peers: Peers, *, endpoint: int, slope: float = 1.0
) -> Completeness:
    """Everything that is missing is filled at once, each group of markers from a patient of its own.

    So often as the rarest group has donors: then no answer shares a donor of any group with another, and a quantile
    has as many patients on either side as the answers beyond it. That markers of two groups go together is left out.
    """
    own, donor = hospital.encoded(row), hospital.published_encoded
    missing, not_told, told = np.isnan(hospital.cohort.values[row]), 0, []
    for members, _, _ in missing_groups(hospital, row):
        donors = _donors(hospital, members, peers, _MOST_DONORS)
        if len(donors):
            told.append((_places(hospital, members), donors))
        else:
            not_told += len(members)
    change = None
    if told:
        answers, rng = min(len(donors) for _, donors in told), np.random.default_rng(_ORDER_OF_DONORS)
        rows = np.repeat(own, answers, axis=0)
        for taken, donors in told:
            rows[:, taken] = donor[rng.permutation(donors)[:answers, None], taken]
        ratio = _log_hazard_ratio(hospital, np.concatenate([own, rows]), endpoint=endpoint)
        change = hospital.disclosure.spread(slope * (ratio[1:] - ratio[0]), widest=_TAIL, step=LOG_RATIO_STEP)
    return Completeness(int((~missing).sum()), len(missing), change, not_told)


def _read_from(hospital: HospitalPrognosis) -> dict[str, list[int]]:
    """Columns of the network's input, by marker or modality."""
    found: dict[str, list[int]] = {}
    for place, column in enumerate(hospital.columns):
        found.setdefault(column.source, []).append(place)
    return found


def _places(hospital: HospitalPrognosis, members: list[int]) -> list[int]:
    """The flag of a modality without any value, too: a donor has one, and so would the patient."""
    read_from = cast("dict[str, list[int]]", hospital.kept(("read from",), lambda: _read_from(hospital)))
    markers = [hospital.schema.markers[index] for index in members]
    sources = [*(each.name for each in markers), *dict.fromkeys(each.modality.value for each in markers)]
    return [place for source in sources for place in read_from.get(source, ())]


def _by_modality(hospital: HospitalPrognosis) -> dict[Modality, list[int]]:
    """Places of its markers."""
    found: dict[Modality, list[int]] = {each: [] for each in Modality}
    for index, marker in enumerate(hospital.schema.markers):
        found[marker.modality].append(index)
    return found


def missing_groups(
    hospital: HospitalPrognosis, row: int, say: Language = ENGLISH
) -> list[tuple[list[int], str, Modality]]:
    """Columns that are filled together, with their name."""
    markers = hospital.schema.markers
    missing = np.isnan(hospital.cohort.values[row])
    groups: list[tuple[list[int], str, Modality]] = []
    for modality, members in _by_modality(hospital).items():
        if len(members) > 1 and missing[members].all():
            kind = modality_name(modality, say=say)
            named = say("%(kind)s (all %(markers)s markers)", kind=kind, markers=len(members))
            groups.append((members, named, modality))
        else:
            groups.extend(
                ([index], marker_label(markers[index], say=say), modality) for index in members if missing[index]
            )
    return groups


def _donors(hospital: HospitalPrognosis, columns: list[int], peers: Peers, most: int) -> NDArray[np.intp]:
    """Published patients who have any of the columns measured: of the peers if they are enough, else of everybody.

    Kept for markers that are missing alone, which are few; patients miss many sets of several.
    """
    if len(columns) > 1:
        return _found_donors(hospital, columns, peers, most)
    key = ("donors", columns[0], peers.unit, most)
    return cast("NDArray[np.intp]", hospital.kept(key, lambda: _found_donors(hospital, columns, peers, most)))


def _found_donors(hospital: HospitalPrognosis, columns: list[int], peers: Peers, most: int) -> NDArray[np.intp]:
    measured: NDArray[np.bool_] = np.asarray(~np.isnan(hospital.units.cohort.values[:, columns]).all(axis=1))
    for among in (measured & peers.rows, measured):
        donors = np.flatnonzero(among)
        if len(donors) >= hospital.disclosure.fewest_spread:
            return donors[np.linspace(0, len(donors) - 1, min(len(donors), most)).astype(np.intp)]
    return np.zeros(0, dtype=np.intp)


def _log_hazard_ratio(hospital: HospitalPrognosis, encoded: FloatArray, *, endpoint: int) -> FloatArray:
    """Of rows of the network's input that need not be anybody's."""
    with one_thread(), torch.no_grad():
        return np.asarray(hospital.network(torch.as_tensor(encoded))[:, endpoint].numpy(), dtype=np.float64)
