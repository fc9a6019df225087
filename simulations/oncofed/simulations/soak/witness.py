"""What left each hospital, as somebody on the line would see it; and what must hold of it, whatever went wrong.

Truth here comes from the wire, and from nothing that a hospital or the coordinator writes down:

- no charge is lost: a ledger is the former one and more, and its chain holds from the head that was seen last;
- none is doubled: a round of a plan is charged once for each attempt, and a plan no oftener than it promised;
- nothing leaves without a charge that was there before, and one question has one answer, to the byte;
- the audit log's chain holds from the head that was seen last, and at the end of a study it tells of all that left;
- the coordinator counts a hospital in a round only if that very answer reached it, and each round once;
- the model is what follows from the answers that were counted, each of them once.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from flwr.app import Message
from numpy.typing import NDArray

from oncofed.client.install.folder import NodeFolder
from oncofed.client.records.audit_entries import verify_audit_log
from oncofed.client.records.sqlite_ledger import read_ledger, verify_ledger
from oncofed.errors import OncofedError
from oncofed.protocol.plan import StudyPlan
from oncofed.server.deployment.folder import CoordinatorFolder
from oncofed.server.deployment.study_files import ROUNDS
from oncofed.server.flower.server_app import load_study, start_of
from oncofed.server.rounds.admission import SiteVector
from oncofed.server.rounds.checkpoint import has_checkpoint, load_checkpoint
from oncofed.server.rounds.strategies import combine

Which = tuple[str, int, int]
"""Hash of the plan, round, attempt."""


class Broken(BaseException):
    """Something that must hold does not. No code of the product's may catch it on its way."""


@dataclass
class Seen:
    """Of one hospital. answers: the bytes that left, by what was asked. reached: the messages that came in time."""

    site: str
    node: NodeFolder
    answers: dict[Which, bytes] = field(default_factory=dict)
    vectors: dict[Which, NDArray[np.float64]] = field(default_factory=dict)
    reached: dict[Which, Message] = field(default_factory=dict)
    ledger: str | None = None
    log: str | None = None
    charges: list[Which] = field(default_factory=list)

    def left(self, which: Which, answer: bytes, vector: NDArray[np.float64]) -> None:
        """An answer with a vector. Raises Broken."""
        if self.answers.setdefault(which, answer) != answer:
            raise Broken(f"{self.site}: round {which[1]}, attempt {which[2]} had two different answers")
        self.vectors[which] = vector
        if which not in self._charged():
            raise Broken(f"{self.site}: round {which[1]}, attempt {which[2]} left without a charge")

    def look(self, plans: Mapping[str, StudyPlan]) -> None:
        """At the records as they lie. Raises Broken."""
        try:
            ledger = verify_ledger(self.node.ledger, anchor=self.ledger)
            log = verify_audit_log(self.node.audit_log, anchor=self.log)
        except OncofedError as damaged:
            raise Broken(f"{self.site}: a record does not hold: {damaged}") from None
        charges = self._charged()
        if charges[: len(self.charges)] != self.charges:
            raise Broken(f"{self.site}: a charge was lost or changed")
        if len(set(charges)) < len(charges):
            raise Broken(f"{self.site}: an attempt was charged twice")
        for plan_hash, count in Counter(plan_hash for plan_hash, _, _ in charges).items():
            if count > plans[plan_hash].charged_rounds:
                raise Broken(
                    f"{self.site}: a plan was charged {count} times, and promised {plans[plan_hash].charged_rounds}"
                )
        self.ledger, self.log, self.charges = str(ledger), str(log.head), charges

    def look_at_the_end(self) -> None:
        """Once the hospital is whole: the log tells of all that left. Raises Broken."""
        told = {each.sha256 for entry in verify_audit_log(self.node.audit_log).entries for each in entry.left}
        for which, answer in self.answers.items():
            if hashlib.sha256(answer).hexdigest() not in told:
                raise Broken(f"{self.site}: the audit log does not tell that round {which[1]}, attempt {which[2]} left")

    def _charged(self) -> list[Which]:
        found = []
        for entry in read_ledger(self.node.ledger):
            plan_hash, _, round_, attempt = entry.charge.identity.split("/")
            found.append((plan_hash, int(round_), int(attempt)))
        return found


def counted_rounds(
    coordinator: CoordinatorFolder, plan: StudyPlan, seen: Mapping[str, Seen]
) -> list[tuple[int, int, tuple[str, ...]]]:
    """Round, attempt and hospitals, as the coordinator noted them. Raises Broken."""
    path = coordinator.study(plan.hash) / ROUNDS
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    found = [(int(line["round"]), int(line["attempt"]), tuple(line["answered"])) for line in lines]
    if [number for number, _, _ in found] != list(range(1, len(found) + 1)):
        raise Broken(f"rounds were noted as {[number for number, _, _ in found]}")
    for number, attempt, answered in found:
        for site in answered:
            if (plan.hash, number, attempt) not in seen[site].reached:
                raise Broken(f"{site} was counted in round {number}, and its answer never came")
        if len(set(answered)) < max(len(answered), plan.quorum):
            raise Broken(f"round {number} counted {answered}")
    return found


def look_at_the_model(
    coordinator: CoordinatorFolder, plan: StudyPlan, seen: Mapping[str, Seen], *, finished: bool
) -> int:
    """The rounds that are counted; their answers, each once, give the model that lies there. Raises Broken."""
    rounds, study = counted_rounds(coordinator, plan, seen), coordinator.study(plan.hash)
    done = load_checkpoint(study, plan_hash=plan.hash).state if has_checkpoint(study) else None
    counted = 0 if done is None else done.round
    # The line of the last one may come with the next run.
    if len(rounds) != counted and (finished or len(rounds) != counted - 1):
        raise Broken(f"{len(rounds)} rounds were noted, and the checkpoint is of {counted}")
    state = start_of(load_study(coordinator, plan.hash), study / "nothing")
    for number, attempt, answered in rounds:
        which = (plan.hash, number, attempt)
        vectors = [SiteVector(site, seen[site].vectors[which], seen[site].reached[which]) for site in answered]
        weights, optimiser = combine(vectors, state=state, plan=plan)
        state = replace(state, round=number, weights=weights, optimiser=optimiser)
    if done is not None and len(rounds) == counted and not np.array_equal(state.weights, done.weights):
        raise Broken("the model is another one than follows from the answers that were counted")
    return len(rounds)
