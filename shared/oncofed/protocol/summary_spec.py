"""What does a study release beside its rounds, once they are done? Part of its plan. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class SummaryKind(StrEnum):
    """What each patient adds to a summary. A guard computes those of its own list (`summaries`) and no other."""

    EVALUATION = "evaluation"
    """Held-out patients, counted by risk, time and outcome (`survival.held_out`)."""
    CALIBRATION = "calibration"
    """Held-out patients' events against those that the model expects, and the slope (`protocol.expected_layout`)."""
    KEY_MARKERS = "key_markers"
    """Each trained-on patient's votes for the markers that move the prognosis most (`protocol.vote_layout`)."""
    INTERACTIONS = "interactions"
    """The same for pairs of markers."""
    READINESS = "readiness"
    """How many patients, events and measured markers there are, before anybody trains (`protocol.readiness_layout`)."""
    COMPARISON = "comparison"
    """By how much likelier held-out patients' outcomes are under the network than under each comparator
    (`protocol.gain_layout`)."""
    VALUE = "value"
    """The same of layers of data: what each is worth to the network (`protocol.gain_layout`)."""
    OPTIONS = "options"
    """Two treatment options compared (`oncofed.treatment`), in a plan of its own (`protocol.options_layout`)."""
    TIME_AT_RISK = "time_at_risk"
    """In place of `evaluation` where patients may come under observation late: by risk and time, how long held-out
    patients were at risk, and their events (`survival.time_at_risk`)."""


COUNTING_KINDS = (SummaryKind.EVALUATION, SummaryKind.TIME_AT_RISK)
"""Tables by group of risk and time, of which a plan has one at most: C-index and observed risks are told from it."""
HELD_OUT_KINDS = frozenset({*COUNTING_KINDS, SummaryKind.CALIBRATION, SummaryKind.COMPARISON, SummaryKind.VALUE})
"""Those about patients whom no round trains on."""


@dataclass(frozen=True)
class VoteSpec:
    """How patients vote for markers. Every number is public.

    column_markers  for each column of the model, the place of its marker. Columns of a place from `markers` on
                    are looked at and get no votes.
    most_votes      of one patient.
    largest_effect  in log hazard ratio: relevances are cut there.
    entity_columns  the columns of the tumour entity's categories after the reference one; empty: nothing by entity.
    """

    column_markers: tuple[int, ...]
    markers: int
    most_votes: int = 10
    largest_effect: float = 0.5
    entity_columns: tuple[int, ...] = ()

    @property
    def entities(self) -> int:
        """The reference one and unknown ones together are the first."""
        return len(self.entity_columns) + 1 if self.entity_columns else 0


@dataclass(frozen=True)
class SummarySpec:
    """One more sum over patients, released once the last round is done. Every number is public.

    name              distinct within the plan: a letter, then letters, digits and _ (all lower case).
    cells             numbers in the sum. One patient's part of it is at most 1 long (Euclidean norm).
    noise_multiplier  standard deviation of the noise in that unit, meant as `PrivacySpec`'s is; 0 in mode `none`.
    attempts          how often a hospital may be asked for it afresh, each with a charge of its own.
    smallest_shown    floor of the noised count of patients below which no figure is shown; kind `calibration`: of
                      expected events.
    edges             what a kind cuts by, rising; kinds `evaluation` and `time_at_risk`: the log hazard ratios between
                      groups of risk; kind `calibration`: the two between which the slope is measured; kinds
                      `comparison` and `value`: the one length, in nats, within which a patient's gains are held.
    time_bounds       the same two and `calibration`: the bounds between times of follow-up, some of the grid's, its
                      first and last among them.
    horizon           the same two: the time, one of `time_bounds`, by which risks are compared.
    votes             kinds `key_markers` and `interactions` only.
    group_columns     kind `calibration`: the columns of the tumour entity's categories after the reference one, each of
                      which is a group of its own; empty: no groups.

    How its noise is shared, if it is, and its integers' scale are the rounds'.
    """

    name: str
    kind: SummaryKind
    cells: int
    noise_multiplier: float
    attempts: int = 1
    smallest_shown: float = 0.0
    edges: tuple[float, ...] = ()
    time_bounds: tuple[float, ...] = ()
    horizon: float = 0.0
    votes: VoteSpec | None = None
    group_columns: tuple[int, ...] = ()

    @property
    def gains_within(self) -> tuple[float, ...]:
        """`edges` of the kinds whose one edge is a length in nats, which has a range of its own; else none."""
        return self.edges if self.kind in (SummaryKind.COMPARISON, SummaryKind.VALUE) else ()
