"""Who has approved the plan? Each hospital is offered it, again and again, until all have decided or patience ends.

Promises: no weights are sent to anybody before at least the plan's quorum has approved; who has not, and why, is told
after every asking. What a hospital says is about that very asking: what it said earlier, sent again by whoever carries
answers, counts for nothing. A hospital that approves later is asked in the next round like any other. Waiting is
bounded.

Refuses, with QuorumLost: a study that too many declined, at once; one that too few approved in time.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from flwr.serverapp import Grid

from oncofed.errors import QuorumLost
from oncofed.protocol.messages import PlanState
from oncofed.protocol.study_document import StudyDocument, document_bytes
from oncofed.protocol.wire_form import Method, offer_question, plan_state_in
from oncofed.server.deployment.asking import ask_all

_FINAL = (PlanState.DECLINED, PlanState.REFUSED)
_ANSWER_SECONDS = 60.0
_NONCE_BYTES = 16


@dataclass(frozen=True)
class OfferPatience:
    """seconds: in all. pause_seconds: between two askings. clock, sleep: of the machine; others in tests."""

    seconds: float
    pause_seconds: float = 5.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


def offer_until_approved(
    grid: Grid,
    document: StudyDocument,
    nodes: Mapping[str, int],
    *,
    patience: OfferPatience,
    told: Callable[[Mapping[str, str]], None],
) -> tuple[str, ...]:
    """The hospitals that have approved, in roster order: all, or at least the quorum when patience ends.

    told  what each hospital said, in words, whenever that has changed.
    """
    began, before = patience.clock(), dict[str, str]()
    quorum, content = document.plan.quorum, document_bytes(document)
    while True:
        states, silent = ask_all(
            grid,
            offer_question(content, nonce=secrets.token_bytes(_NONCE_BYTES)),
            method=Method.OFFER_PLAN,
            nodes=nodes,
            answer_keys=document.plan.answer_keys,
            decode=plan_state_in,
            timeout_seconds=_ANSWER_SECONDS,
        )
        words = {site: states[site].value if site in states else silent[site] for site in nodes}
        if words != before:
            told(words)
            before = words
        approved = tuple(site for site, state in states.items() if state is PlanState.APPROVED)
        undecided = [site for site in nodes if states.get(site) not in (PlanState.APPROVED, *_FINAL)]
        if len(approved) >= quorum and not undecided:
            return approved
        late = patience.clock() - began >= patience.seconds
        if late and len(approved) >= quorum:
            return approved
        if late or len(approved) + len(undecided) < quorum:
            listed = "\n".join(f"  - {site}: {word}" for site, word in words.items() if site not in approved)
            raise QuorumLost(f"{len(approved)} of {len(nodes)} hospitals approved the plan, {quorum} must.\n{listed}")
        patience.sleep(patience.pause_seconds)
