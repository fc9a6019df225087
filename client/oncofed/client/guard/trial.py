"""Can this machine answer a plan within its times, for the patients that somebody is about to approve?

An answer that takes longer than the plan's time leaves one multiple later, and how much later tells something of the
number of patients (`guard.public_times`). So before an approval the frozen patients are read and each answer of the
plan is made, by a guard as a coordinator would find it, with a ledger in memory; what it makes goes nowhere. A plan
that takes more than half of its times is refused, with the times that would do. They are rounded up to coarse steps,
so that whoever hears of them learns little of how many patients there are.

A release of gains is asked for with weights by which everybody is held, as no model makes it take longer.

Not measured, because it does not depend on patients: the question, the disk of ledger, answers and audit log. Refused
as well: a plan for which no answer can be made here, since a guard would send noise in its place each time.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oncofed.client.guard.guard import Guard
from oncofed.client.guard.sum_masks import SumMasks
from oncofed.client.patients.approved_patients import ApprovedPatients
from oncofed.errors import PrivacyRefusal, RequestRefused
from oncofed.privacy.ledger import MemoryLedger
from oncofed.privacy.mask_graph import graph_of
from oncofed.privacy.noise import OperatingSystemNoise
from oncofed.privacy.policy import SitePolicy
from oncofed.protocol.answer_times import READING, answer_times_of
from oncofed.protocol.calibration_layout import one_of_each_kind
from oncofed.protocol.messages import AnyRequest, ContributeRequest, SummariseRequest
from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.summary_spec import SummaryKind
from oncofed.ranges import WEIGHT, range_of
from oncofed.survival.layers import taken_away
from oncofed.survival.network import PrognosisNetwork, parameter_vector
from oncofed.treatment.heads import as_vector, first_heads
from oncofed.treatment.question import Question

FloatArray = NDArray[np.float64]

PART = 0.5
"""Of a plan's time, at most: the machine may be busier on another day."""
STEPS_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0)
"""What is told of how long it took."""
_TIMES = 3
"""Measured so often, and the shortest counts: the first answer also reads what is then at hand."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Seconds:
    """What it took. reading: the patients. round_: an answer to a round. summary: the longest, 0 without any."""

    reading: float
    round_: float
    summary: float

    @property
    def round_time(self) -> float:
        """The shortest `answer_seconds` that would do."""
        return max(self.round_, self.reading / READING) / PART

    @property
    def summary_time(self) -> float:
        """The shortest `summary_answer_seconds`."""
        return self.summary / PART


class _AnyModel(Guard):
    """The model that a plan validates comes with the questions. An answer for another one takes as long."""

    def _refuse_another_model(self, request: AnyRequest) -> None:
        pass


def refuse_if_slow(plan: StudyPlan, took: Seconds) -> None:
    """Raises PrivacyRefusal with the times that would do."""
    given = answer_times_of(plan)
    wanted = {
        "answer_seconds": (given.round_seconds, took.round_time),
        "summary_answer_seconds": (given.summary_seconds, took.summary_time),
    }
    short = [_objection(field, has, needed) for field, (has, needed) in wanted.items() if needed > has]
    if short:
        raise PrivacyRefusal(
            "this plan cannot be approved: answers from this data source would take more than half of its times on "
            "this machine, and late ones tell something of how many patients there are. " + " ".join(short)
        )


def _objection(field: str, has: float, needed: float) -> str:
    enough = [step for step in STEPS_SECONDS if needed <= step <= range_of(StudyPlan, field).most]
    if not enough:
        return f"No {field} that a plan may have would do: a smaller model, or a faster machine, please."
    return f"Ask the coordinator for a plan with {field} of {enough[0]:g} or more (it has {has:g})."


def _barest_round(plan: StudyPlan) -> set[int]:
    """Of a block of rounds that take layers away the one that takes most: patients are laid on their grid anew."""
    first = range(1, min(plan.training.rounds, len(plan.model.layers) + 1) + 1)
    taken = {each: taken_away(plan.model.layers, plan_hash=plan.hash, round_=each) for each in first}
    return {max(first, key=lambda each: len(taken[each]))} if plan.model.layers and first else set()


def _first_weights(plan: StudyPlan, question: Question | None) -> FloatArray:
    if question is not None:
        return as_vector(first_heads(question))
    return parameter_vector(PrognosisNetwork(plan.model, initialisation_seed=plan.initialisation_seed))


def _weights_for(kind: SummaryKind, plan: StudyPlan, first: FloatArray) -> FloatArray:
    """Those by which an answer takes longest. Where gains are held, that is step by step: no step is needed with the
    first weights, by which the models to be compared hardly differ, and each with far too large ones. The coordinator
    sends what it likes, and how many patients are held is nobody's business but the release's.
    """
    if kind in (SummaryKind.COMPARISON, SummaryKind.VALUE):
        return np.asarray(1.4 * WEIGHT.usual_most * np.cos(np.arange(plan.model.parameters)))
    return first


def measured(
    plan: StudyPlan,
    *,
    site: str,
    policy: SitePolicy,
    file: Path,
    sha256: str,
    question: Question | None = None,
    clocks: Sequence[Callable[[], float]] = (time.perf_counter, time.process_time),
) -> Seconds:
    """For the frozen patients in `file`. Raises PrivacyRefusal where no answer can be made.

    question  as `Guard` has it.
    clocks  the shortest counts: what others do on the machine makes the first longer, several processors the other.
    """
    weights = _first_weights(plan, question)
    masks = SumMasks.against_nobody(site, plan.roster, graph_of(plan)) if plan.needs_masking_keys else None

    def read() -> ApprovedPatients:
        patients = ApprovedPatients(file, sha256)
        patients.trained_on()
        return patients

    def answered(request: AnyRequest) -> None:
        failed: list[str] = []
        guard = _AnyModel(
            site=site,
            plan=plan,
            policy=policy,
            patients=kept.trained_on,
            held_out=kept.held_out,
            question=question,
            ledger=MemoryLedger(policy.budget),
            noise=OperatingSystemNoise(),
            masks=masks,
            told=lambda word, _: failed.append(word),
        )
        if isinstance(request, ContributeRequest):
            guard.contribute(request)
        else:
            guard.summarise(request)
        if failed:
            raise PrivacyRefusal("this plan cannot be approved: no answer to it can be made here; the log says why")

    def shortest(act: Callable[[], object]) -> float:
        took = []
        for _ in range(_TIMES):
            began = [clock() for clock in clocks]
            act()
            took += [clock() - before for clock, before in zip(clocks, began, strict=True)]
        return min(took)

    try:
        reading, kept = shortest(read), read()
        # A calibration round computes something else, and one of tumour entities something else again.
        kinds = {1, *one_of_each_kind(plan)} if plan.trains else set()
        kinds |= _barest_round(plan)
        rounds = [ContributeRequest(plan.hash, site, number, 0, plan.roster, weights) for number in sorted(kinds)]
        summaries = [
            SummariseRequest(
                plan.hash, site, each.name, 0, plan.roster, _weights_for(each.kind, plan, weights), each.cells
            )
            for each in plan.summaries
        ]
        return Seconds(
            reading,
            max((shortest(partial(answered, one)) for one in rounds), default=0.0),
            max((shortest(partial(answered, one)) for one in summaries), default=0.0),
        )
    except RequestRefused as refusal:
        _log.error("a trial of plan %s is refused: %s", plan.hash[:12], refusal.code)
    raise PrivacyRefusal("this plan cannot be approved: this hospital's guard would refuse it; the log says why")
