"""What did each hospital say of a study's plan, and since when?

From what the coordinator noted whenever it heard something else (`flower.server_app.offer_and_wait`). So each time is
that of the asking that heard it first, and not that of the decision in the hospital: of who was away meanwhile it is
later. A hospital gives no reason with a no; a silence has the coordinator's own words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from oncofed.protocol.messages import PlanState
from oncofed.server.deployment.study_files import PLAN
from oncofed.server.report.study import DeployedStudy

_DECIDED = (PlanState.APPROVED, PlanState.DECLINED, PlanState.REFUSED)


@dataclass(frozen=True)
class PlanAnswer:
    """Of one hospital.

    reached  when it first said anything of the plan; None before.
    state    what it said last, None before it said anything; since: when it said so first, without another in between.
    silence  why the last asking had no answer of it, in words; else empty.
    """

    site: str
    reached: datetime | None = None
    state: PlanState | None = None
    since: datetime | None = None
    silence: str = ""

    @property
    def decided(self) -> bool:
        """Whether the hospital has said yes or no."""
        return self.state in _DECIDED


def plan_answers(study: DeployedStudy) -> tuple[PlanAnswer, ...]:
    """Of each hospital, in roster order."""
    found = {site: PlanAnswer(site) for site in study.plan.roster}
    for event in study.events:
        if event.event == PLAN:
            for site, word in said_by(event.words, study.plan.roster).items():
                found[site] = _after(found[site], word, event.at)
    return tuple(found.values())


def _after(before: PlanAnswer, word: str, at: datetime) -> PlanAnswer:
    try:
        state = PlanState(word)
    except ValueError:
        return PlanAnswer(before.site, before.reached, before.state, before.since, word)
    return PlanAnswer(before.site, before.reached or at, state, before.since if state is before.state else at)


def said_by(words: str, sites: Sequence[str]) -> dict[str, str]:
    """`said Bonn: approved; Essen: no answer within 60 s` by hospital; a name may hold a colon itself."""
    names = "|".join(re.escape(site) for site in sorted(sites, key=len, reverse=True))
    # A list of several hospitals is told apart by their names, which no word about one of them repeats.
    pieces = re.split(rf"(?:^said |; )({names}): ", words)
    return dict(zip(pieces[1::2], pieces[2::2], strict=True))
