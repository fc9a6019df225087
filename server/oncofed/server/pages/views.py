"""What do the coordinator's pages say? Two of them, as plain values for their templates.

`overview` is of all hospitals and studies, `study_view` of one study. Both are made of what `coordinator_status` and
the report know; nothing is counted or judged here a second time.

Promises: every text is on one line and printable; what is not known is said to be so. Nothing in it is more than
hospitals released.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from oncofed.protocol.messages import PlanState
from oncofed.protocol.plan_words import PlanCost, cost_of
from oncofed.server.deployment.coordinator_status import CoordinatorStatus, StudyStatus
from oncofed.server.pages.watch import Heard
from oncofed.server.report.attendance import in_ranges, troubles
from oncofed.server.report.decisions import PlanAnswer, plan_answers
from oncofed.server.report.pace import lasting, seconds_left
from oncofed.server.report.page import delivered_of, events_of
from oncofed.server.report.spending import SiteCost, site_costs
from oncofed.server.report.study import DeployedStudy, Written, state_in_words
from oncofed.words.names import capital, one_line, plain_name

_TIME = "%Y-%m-%d %H:%M:%S UTC"
_SAID = {
    PlanState.OFFERED: "has it; nobody there has decided",
    PlanState.APPROVED: "approved",
    PlanState.DECLINED: "declined; a hospital sends no reason, so ask there",
    PlanState.REFUSED: "not kept: not signed by the coordinator whom it knows, not meant for it, or of another form; "
    "its own log says which",
}
_NOT_SAID = "nothing yet"


@dataclass(frozen=True)
class Moment:
    """at: ISO 8601, for programs. words: the time for a person; ago: how long that is, from the page's own time."""

    at: str
    words: str
    ago: str


@dataclass(frozen=True)
class HospitalRow:
    """since: None where nobody knows."""

    name: str
    state: str
    since: Moment | None


@dataclass(frozen=True)
class StudyRow:
    """Of the list of studies. plan: the whole hash; shown: as much of it as names it here."""

    name: str
    plan: str
    shown: str
    state: str
    words: str
    done: int
    planned: int
    left: str
    waits: tuple[str, ...]


@dataclass(frozen=True)
class Overview:
    """troubles: what does not run, ends or is damaged, with its remedy."""

    troubles: tuple[str, ...]
    hospitals: tuple[HospitalRow, ...]
    online: int
    members: int
    studies: tuple[StudyRow, ...]


@dataclass(frozen=True)
class PlanRow:
    """What one hospital said of the plan. silence: why the last asking had no answer."""

    name: str
    state: str
    reached: Moment | None
    said: str
    since: Moment | None
    silence: str
    decided: bool


@dataclass(frozen=True)
class RoundsRow:
    """Of one hospital: in how many of the recorded rounds it was admitted, and its epsilons. None in mode `none`."""

    name: str
    answered: int
    cost: SiteCost | None


@dataclass(frozen=True)
class TroubleRow:
    """A refusal, or whatever else kept a hospital out of rounds. meaning: of a code, else empty."""

    name: str
    reason: str
    meaning: str
    rounds: str


@dataclass(frozen=True)
class StudyView:
    """row: as in the list. last: the newest finished round's end. written: with whether it is still there."""

    row: StudyRow
    last: Moment | None
    plans: tuple[PlanRow, ...]
    rounds: tuple[RoundsRow, ...]
    recorded: int
    troubles: tuple[TroubleRow, ...]
    cost: PlanCost | None
    delta: float
    events: tuple[tuple[str, str, list[str]], ...]
    delivered: tuple[tuple[str, str], ...]
    written: tuple[tuple[Written, Moment, bool], ...]
    folder: Path
    quorum: int


def moment(at: datetime, *, now: datetime) -> Moment:
    """now: of the page."""
    seconds = (now - at).total_seconds()
    ago = "just now" if seconds < 1 else f"{lasting(seconds)} ago"
    at = at.astimezone(UTC)
    return Moment(at.isoformat(timespec="seconds"), f"{at:{_TIME}}", ago)


def overview(status: CoordinatorStatus) -> Overview:
    """Of a status that has looked at all studies."""
    since = status.since_of_hospitals()
    states = status.of_hospitals()
    hospitals = tuple(
        HospitalRow(one_line(name), state, moment(since[name], now=status.at) if name in since else None)
        for name, state in states.items()
    )
    return Overview(
        troubles=tuple(one_line(line) for line in (*status.troubles(), *status.hospitals.told)),
        hospitals=hospitals,
        online=sum(row.state == "online" for row in hospitals),
        members=sum(site.is_member for site in status.hospitals.known.values()),
        studies=tuple(map(study_row, _newest_first(status.studies))),
    )


def _newest_first(studies: Sequence[StudyStatus]) -> list[StudyStatus]:
    """Those at work before the others, and of each the one first of which something was noted last."""

    def noted(each: StudyStatus) -> float:
        if each.study is None:
            return 0.0
        times = [*(row.finished_at for row in each.study.rounds), *(event.at for event in each.study.events)]
        return max(time.timestamp() for time in times) if times else 0.0

    return sorted(studies, key=lambda each: (each.at_work, noted(each)), reverse=True)


def study_row(found: StudyStatus) -> StudyRow:
    """As the list has it."""
    study = found.study
    if study is None:
        return StudyRow(
            "cannot be read", found.plan_hash, found.shown, found.state, one_line(found.fault), 0, 0, "", ()
        )
    return StudyRow(
        name=plain_name(one_line(study.plan.study)),
        plan=found.plan_hash,
        shown=found.shown,
        state=found.state,
        words=capital(one_line(_state(found, study))),
        done=study.last_round,
        planned=study.plan.training.rounds,
        left=_left(found),
        waits=_waits(found, study),
    )


def _state(found: StudyStatus, study: DeployedStudy) -> str:
    """As the report has it; but here it is known whether a process works on the study now."""
    words, begun, before = state_in_words(study), "under way: ", "not started: "
    if found.at_work and words.startswith(before):
        return f"starting: {words.removeprefix(before)}"
    if found.at_work or not words.startswith(begun):
        return words
    return f"nothing works on it now: {words.removeprefix(begun)}; it can be resumed"


def _left(found: StudyStatus) -> str:
    """In words; empty where no round is to come, or nothing works on the study."""
    study = found.study
    if study is None or not found.at_work or study.finished or not study.plan.trains:
        return ""
    if study.trained:
        return "rounds are done; what follows them is under way"
    seconds = seconds_left(study)
    return "not known before the first round" if seconds is None else f"about {lasting(seconds)}"


def _waits(found: StudyStatus, study: DeployedStudy) -> tuple[str, ...]:
    """What happened since the last round, or ended the run, in lines."""
    event = study.stopped or (study.newest if found.at_work else None)
    if event is None:
        return ()
    lines = [one_line(line) for line in event.words.splitlines() if line.strip()]
    return (f"{one_line(event.event)} at {event.at.astimezone(UTC):{_TIME}}", *lines)


def study_view(
    found: StudyStatus, study: DeployedStudy, status: CoordinatorStatus, *, written: Sequence[Written]
) -> StudyView:
    """found.study, which is there. written: where reports and packages of it are."""
    states, now = status.of_hospitals(), status.at
    private = study.plan.privacy.mode.private
    costs = {each.site: each for each in site_costs(study)} if private else {}
    if found.state == "not started":  # what the report calls in doubt; but nobody was asked
        costs = {site: replace(each, asked=0, epsilon_at_most=0.0) for site, each in costs.items()}
    return StudyView(
        row=study_row(found),
        last=moment(study.rounds[-1].finished_at, now=now) if study.rounds else None,
        plans=tuple(_plan_row(each, states.get(each.site, "no member"), now) for each in plan_answers(study)),
        rounds=tuple(RoundsRow(one_line(site), count, costs.get(site)) for site, count in study.answers.items()),
        recorded=len(study.rounds),
        troubles=tuple(
            TroubleRow(one_line(each.site), one_line(each.reason), each.explained, in_ranges(each.rounds))
            for each in troubles(study)
        ),
        cost=cost_of(study.plan),
        delta=study.plan.privacy.delta,
        events=tuple(
            (when, title.text, [line.text for line in lines]) for when, title, lines in reversed(events_of(study))
        ),
        delivered=tuple((site, word.text) for site, word in delivered_of(study)),
        written=tuple((each, moment(each.at, now=now), os.path.exists(each.path)) for each in written),
        folder=status.folder / "studies" / found.plan_hash,
        quorum=study.plan.quorum,
    )


def _plan_row(answer: PlanAnswer, state: str, now: datetime) -> PlanRow:
    return PlanRow(
        name=one_line(answer.site),
        state=state,
        reached=None if answer.reached is None else moment(answer.reached, now=now),
        said=_NOT_SAID if answer.state is None else _SAID[answer.state],
        since=None if answer.since is None else moment(answer.since, now=now),
        silence=one_line(answer.silence),
        decided=answer.decided,
    )


def of_server(heard: Heard, *, now: datetime) -> str:
    """What a reader must know of how old the server's word is; empty where it is new."""
    if heard.at is None:
        return (
            "The server was asked who is online and has not answered yet. What stands in files is shown all the same."
        )
    if heard.late:
        told = moment(heard.at, now=now)
        return (
            f"The server has not answered since {told.words} ({told.ago}); who is online is of then. "
            "Rounds and plans are read from files, and are of now."
        )
    return ""
