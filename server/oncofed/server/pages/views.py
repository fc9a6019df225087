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
from oncofed.server.report.noted import Noted, noted, noted_event
from oncofed.server.report.pace import lasting, seconds_left
from oncofed.server.report.page import delivered_of, events_of
from oncofed.server.report.spending import SiteCost, site_costs
from oncofed.server.report.study import DeployedStudy, Written, state_in_words
from oncofed.words.language import ENGLISH, Language, later
from oncofed.words.names import capital, one_line, plain_name

_SAID = {
    PlanState.OFFERED: later("has it; nobody there has decided"),
    PlanState.APPROVED: later("approved"),
    PlanState.DECLINED: later("declined; a hospital sends no reason, so ask there"),
    PlanState.REFUSED: later(
        "not kept: not signed by the coordinator whom it knows, not meant for it, or of another form; its own log says "
        "which"
    ),
}
_NOT_SAID = later("nothing yet")
_NO_MEMBER = later("no member")
STATES = (
    *(later("finished"), later("under way"), later("stopped"), later("not started"), later("unreadable")),
    *(later("online"), later("offline"), later("registered"), later("not registered"), later("unknown")),
    *(later("suspended"), later("removed"), later("damaged")),
)
"""Of studies and of hospitals, as the templates tell them."""
WRITTEN = (later("report"), later("package"))
"""As `Written.what` has it."""


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
    words: Noted
    done: int
    planned: int
    left: str
    waits: tuple[Noted, ...]


@dataclass(frozen=True)
class Overview:
    """troubles: what does not run, ends or is damaged, with its remedy."""

    troubles: tuple[Noted, ...]
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
    silence: Noted
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
    reason: Noted
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
    events: tuple[tuple[str, Noted, list[Noted]], ...]
    delivered: tuple[tuple[str, Noted], ...]
    written: tuple[tuple[Written, Moment, bool], ...]
    folder: Path
    quorum: int


def moment(at: datetime, *, now: datetime, say: Language = ENGLISH) -> Moment:
    """now: of the page."""
    seconds = (now - at).total_seconds()
    ago = say("just now") if seconds < 1 else say("%(time)s ago", time=lasting(seconds, say=say))
    at = at.astimezone(UTC)
    return Moment(at.isoformat(timespec="seconds"), say.moment_of(at), ago)


def overview(status: CoordinatorStatus, *, say: Language = ENGLISH) -> Overview:
    """Of a status that has looked at all studies."""
    since = status.since_of_hospitals()
    states = status.of_hospitals()
    hospitals = tuple(
        HospitalRow(one_line(name), state, moment(since[name], now=status.at, say=say) if name in since else None)
        for name, state in states.items()
    )
    return Overview(
        troubles=tuple(noted(line, say=say) for line in (*status.troubles(), *status.hospitals.told)),
        hospitals=hospitals,
        online=sum(row.state == "online" for row in hospitals),
        members=sum(site.is_member for site in status.hospitals.known.values()),
        studies=tuple(study_row(each, say=say) for each in _newest_first(status.studies)),
    )


def _newest_first(studies: Sequence[StudyStatus]) -> list[StudyStatus]:
    """Those at work before the others, and of each the one first of which something was noted last."""

    def noted(each: StudyStatus) -> float:
        if each.study is None:
            return 0.0
        times = [*(row.finished_at for row in each.study.rounds), *(event.at for event in each.study.events)]
        return max(time.timestamp() for time in times) if times else 0.0

    return sorted(studies, key=lambda each: (each.at_work, noted(each)), reverse=True)


def study_row(found: StudyStatus, *, say: Language = ENGLISH) -> StudyRow:
    """As the list has it."""
    study = found.study
    if study is None:
        told = noted(found.fault, say=say)
        return StudyRow(say("cannot be read"), found.plan_hash, found.shown, found.state, told, 0, 0, "", ())
    return StudyRow(
        name=plain_name(one_line(study.plan.study)),
        plan=found.plan_hash,
        shown=found.shown,
        state=found.state,
        words=Noted(capital(one_line(state_in_words(study, at_work=found.at_work, say=say)))),
        done=study.last_round,
        planned=study.plan.training.rounds,
        left=_left(found, say),
        waits=_waits(found, study, say),
    )


def _left(found: StudyStatus, say: Language) -> str:
    """In words; empty where no round is to come, or nothing works on the study."""
    study = found.study
    if study is None or not found.at_work or study.finished or not study.plan.trains:
        return ""
    if study.trained:
        return say("rounds are done; what follows them is under way")
    seconds = seconds_left(study)
    if seconds is None:
        return say("not known before the first round")
    return say("about %(time)s", time=lasting(seconds, say=say))


def _waits(found: StudyStatus, study: DeployedStudy, say: Language) -> tuple[Noted, ...]:
    """What happened since the last round, or ended the run, in lines."""
    event = study.stopped or (study.newest if found.at_work else None)
    if event is None:
        return ()
    title, *lines = noted_event(event, sites=study.plan.roster, say=say)
    when = say.moment_of(event.at.astimezone(UTC))
    return (Noted(say("%(event)s at %(time)s", event=title.text, time=when), title.english), *lines)


def study_view(
    found: StudyStatus,
    study: DeployedStudy,
    status: CoordinatorStatus,
    *,
    written: Sequence[Written],
    say: Language = ENGLISH,
) -> StudyView:
    """found.study, which is there. written: where reports and packages of it are."""
    states, now = status.of_hospitals(), status.at
    private = study.plan.privacy.mode.private
    costs = {each.site: each for each in site_costs(study)} if private else {}
    if found.state == "not started":  # what the report calls in doubt; but nobody was asked
        costs = {site: replace(each, asked=0, epsilon_at_most=0.0) for site, each in costs.items()}
    return StudyView(
        row=study_row(found, say=say),
        last=moment(study.rounds[-1].finished_at, now=now, say=say) if study.rounds else None,
        plans=tuple(_plan_row(each, states.get(each.site, _NO_MEMBER), now, say) for each in plan_answers(study)),
        rounds=tuple(RoundsRow(one_line(site), count, costs.get(site)) for site, count in study.answers.items()),
        recorded=len(study.rounds),
        troubles=tuple(
            TroubleRow(
                name=one_line(each.site),
                reason=noted(each.reason, say=say),
                meaning=say(each.explained),
                rounds=in_ranges(each.rounds, say=say),
            )
            for each in troubles(study)
        ),
        cost=cost_of(study.plan),
        delta=study.plan.privacy.delta,
        events=tuple(reversed(events_of(study, say=say))),
        delivered=tuple(delivered_of(study, say=say)),
        written=tuple((each, moment(each.at, now=now, say=say), os.path.exists(each.path)) for each in written),
        folder=status.folder / "studies" / found.plan_hash,
        quorum=study.plan.quorum,
    )


def _plan_row(answer: PlanAnswer, state: str, now: datetime, say: Language) -> PlanRow:
    return PlanRow(
        name=one_line(answer.site),
        state=state,
        reached=None if answer.reached is None else moment(answer.reached, now=now, say=say),
        said=say(_NOT_SAID if answer.state is None else _SAID[answer.state]),
        since=None if answer.since is None else moment(answer.since, now=now, say=say),
        silence=noted(answer.silence, say=say),
        decided=answer.decided,
    )


def of_server(heard: Heard, *, now: datetime, say: Language = ENGLISH) -> str:
    """What a reader must know of how old the server's word is; empty where it is new."""
    if heard.at is None:
        return say(
            "The server was asked who is online and has not answered yet. What stands in files is shown all the same."
        )
    if heard.late:
        told = moment(heard.at, now=now, say=say)
        return say(
            "The server has not answered since %(time)s (%(ago)s); who is online is of then. Rounds and plans are read "
            "from files, and are of now.",
            time=told.words,
            ago=told.ago,
        )
    return ""
