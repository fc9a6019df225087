"""What does a coordinator know of a study that real hospitals run? Only what they released, as one frozen value.

Reading it from a folder is `reading`. Nothing here, and so nothing in the report, was computed from a patient's row
except what a hospital let out with its noise; the public plan and schema explain the rest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from oncofed.cohort.schema import StudySchema
from oncofed.protocol.plan import StudyPlan
from oncofed.server.rounds.state import NO_SUMMARIES, ReleasedSummary
from oncofed.words.language import ENGLISH, Language
from oncofed.words.numbers import whole


@dataclass(frozen=True)
class RoundRow:
    """A finished round.

    attempt         0 when hospitals were asked once; each further one was charged again wherever it was answered.
    answered        hospitals whose answer was admitted.
    rejected        (site, reason); a site may be one that is not in the roster, such as ``node 123``.
    update_l2_norm  length of the change of the global weights.
    """

    round: int
    attempt: int
    answered: tuple[str, ...]
    rejected: tuple[tuple[str, str], ...]
    update_l2_norm: float
    bytes_down: int
    bytes_up: int
    seconds: float
    finished_at: datetime


@dataclass(frozen=True)
class StudyEvent:
    """What else happened. event: a word, such as "stopped". words: the cause or the particulars, may be empty."""

    at: datetime
    event: str
    words: str


@dataclass(frozen=True)
class Written:
    """A report or a package, and where somebody had it written. It may have been moved away since."""

    at: datetime
    what: str
    path: Path


@dataclass(frozen=True, eq=False)
class DeployedStudy:
    """rounds    by number, each once; a round whose line was lost in a crash is missing.
    weights       (parameters,) float64 of the released model; None while there is none.
    model_sha256, signature  of the model file, hexadecimal; None while there is none.
    delivered     what each hospital said of the model, in a word or two; empty before delivery.
    events        oldest first.
    summaries     what was released after the last round, by name.
    rounds_done   the last finished round as the checkpoint knows it, which may be more than `rounds` recorded.
    """

    plan: StudyPlan
    schema: StudySchema
    rounds: tuple[RoundRow, ...]
    weights: NDArray[np.float64] | None = None
    model_sha256: str | None = None
    signature: str | None = None
    delivered: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    events: tuple[StudyEvent, ...] = ()
    rounds_done: int = 0
    summaries: Mapping[str, ReleasedSummary] = field(default_factory=lambda: NO_SUMMARIES)

    @property
    def last_round(self) -> int:
        """The last finished round, 0 before the first."""
        return max(self.rounds_done, *(row.round for row in self.rounds), 0)

    @property
    def trained(self) -> bool:
        """Whether every planned round is done."""
        return self.last_round >= self.plan.training.rounds

    @property
    def finished(self) -> bool:
        """Whether every planned round is done and the model released; without rounds, every count."""
        if not self.plan.trains:
            return all(summary.name in self.summaries for summary in self.plan.summaries)
        if not self.plan.makes_model:
            return self.trained and all(summary.name in self.summaries for summary in self.plan.summaries)
        return self.trained and self.weights is not None

    @property
    def stopped(self) -> StudyEvent | None:
        """The event that ended the last run before its end, unless a later run or round shows that it went on."""
        if self.finished or not self.events:
            return None
        last = self.events[-1]
        went_on = any(row.finished_at > last.at for row in self.rounds)
        return last if last.event == "stopped" and not went_on else None

    @property
    def newest(self) -> StudyEvent | None:
        """What happened last, unless a round was finished since, or `finished` or `stopped` tell it already."""
        last = self.events[-1] if self.events else None
        if last is None or self.finished or last == self.stopped:
            return None
        return None if any(row.finished_at > last.at for row in self.rounds) else last

    @property
    def unrecorded(self) -> tuple[int, ...]:
        """Finished rounds of which nothing was written down."""
        known = {row.round for row in self.rounds}
        return tuple(number for number in range(1, self.last_round + 1) if number not in known)

    @property
    def answers(self) -> Mapping[str, int]:
        """Rounds in which each hospital of the roster answered, by hospital, in roster order."""
        counted = Counter(site for row in self.rounds for site in row.answered)
        return {site: counted[site] for site in self.plan.roster}


def state_in_words(  # noqa: PLR0911 - one state a line
    study: DeployedStudy, *, at_work: bool | None = None, say: Language = ENGLISH
) -> str:
    """E.g. "under way: round 12 of 60 is done".

    at_work  whether a process works on it now; None where only the SuperLink knows.
    """
    if not study.plan.trains:
        return _state_of_counts(study, at_work, say)
    done, planned = study.last_round, study.plan.training.rounds
    counts = {"done": whole(done, say=say), "planned": whole(planned, say=say)}
    progress = (
        say("round %(done)s of %(planned)s is done", **counts)
        if done
        else say("none of %(planned)s rounds is done yet", **counts)
    )
    makes_model = study.plan.makes_model
    if study.finished and makes_model:
        return say.several(
            "finished after %(count)s round; the model is signed and released",
            "finished after %(count)s rounds; the model is signed and released",
            done,
        )
    if study.finished:
        return say.several(
            "finished after %(count)s round; the comparison of options is released",
            "finished after %(count)s rounds; the comparison of options is released",
            done,
        )
    if study.stopped is not None:
        return say("stopped: %(progress)s; it can be resumed", progress=progress)
    if study.trained and makes_model:
        return say("all %(planned)s rounds are done; the model is not released yet", **counts)
    if study.trained:
        return say("all %(planned)s rounds are done; the comparison of options is not released yet", **counts)
    return _begun(study, progress, at_work, say)


def _begun(study: DeployedStudy, progress: str, at_work: bool | None, say: Language) -> str:
    begun = bool(study.rounds or study.events)
    if begun and at_work is False:
        return say("nothing works on it now: %(progress)s; it can be resumed", progress=progress)
    if begun:
        return say("under way: %(progress)s", progress=progress)
    if at_work:
        return say("starting: %(progress)s", progress=progress)
    return say("not started: %(progress)s", progress=progress)


def _state_of_counts(study: DeployedStudy, at_work: bool | None, say: Language) -> str:
    validates = study.plan.validates is not None
    if study.finished:
        return (
            say("finished; the model is measured, and nothing was trained")
            if validates
            else say("finished; who is there is counted, and nothing was trained")
        )
    done = say("nothing is measured yet") if validates else say("nothing is counted yet")
    if study.summaries:
        done = say(
            "%(done)s of %(planned)s releases are done",
            done=whole(len(study.summaries), say=say),
            planned=whole(len(study.plan.summaries), say=say),
        )
    if study.stopped is not None:
        return say("stopped: %(progress)s; it can be resumed", progress=done)
    return _begun(study, done, at_work, say)
