"""Does a refusal, a failure or the time of an answer tell anything of a hospital's patients?

Two hospitals that differ in their patients (nobody, one less, many) are asked the same questions, right ones and wrong
ones, and must say the same words. Then the computation of one of them is made to fail after its charge, as a patient
could: an answer of the usual form must leave. And the moment at which an installed guard lets an answer go is computed
for work that takes longer with more patients: it must be the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oncofed.client.guard.public_times import PublicTimes
from oncofed.client.patients import training
from oncofed.errors import RequestRefused
from oncofed.protocol.answer_times import answer_times_of
from oncofed.protocol.messages import ContributeRequest
from oncofed.simulations.audit.crafted import first_weights
from oncofed.simulations.audit.target import GuardHospital, Target, nobody, replaced
from oncofed.simulations.audit.verdict import Outcome, Power, Verdict
from oncofed.survival.likelihood import PatientTensors

FloatArray = NDArray[np.float64]

REFUSALS = "refusals and times"

_ANSWER = "an answer"


def refusals(target: Target, rng: np.random.Generator, *, questions: int) -> Verdict:
    """Fails when a word, a failure or a time depends on the patients."""
    everybody = target.patients
    worlds = {"nobody": nobody(target), "all but one": everybody.rows(slice(1, None)), "all": everybody}
    asked = _questions(target, rng, questions)
    said = {name: _said(target.hospital(held), asked) for name, held in worlds.items()}
    apart = sum(len(set(words)) > 1 for words in zip(*said.values(), strict=True))
    failing = _while_failing(target, everybody)
    left = {_leaves_after(target, seconds) for seconds in (0.0001, 0.010, 0.027)}
    faults = [
        *([f"{apart} of {len(asked)} questions are answered in other words where other patients are"] if apart else []),
        *([f"a computation that fails is told: {failing}"] if failing != _ANSWER else []),
        *(["the time of an answer is that of its computation"] if len(left) > 1 else []),
    ]
    kinds = sorted({word for words in said.values() for word in words})
    return Verdict(
        REFUSALS,
        Outcome.FAILED if faults else Outcome.PASSED,
        "; ".join(faults)
        or f"{len(asked)} questions get the same words whoever is there ({', '.join(kinds)}); a failure "
        "looks like an answer; answers leave at public times",
        "no word, failure or time follows from the patients",
        Power(
            "a refusal that any of these questions provokes; a failure that is told; an answer that does not wait", 1.0
        ),
        {"questions": len(asked), "apart": apart, "times": len(left)},
    )


def _questions(target: Target, rng: np.random.Generator, count: int) -> list[ContributeRequest]:
    """Right ones and wrong ones, some of them twice."""
    plan, weights = target.plan, first_weights(target.plan.model)
    roster = plan.roster[: plan.smallest_roster]
    made: list[ContributeRequest] = []
    for _ in range(count):
        right = ContributeRequest(
            plan.hash, roster[0], int(rng.integers(1, plan.training.rounds + 1)), 0, roster, weights
        )
        wrong: dict[str, Any] = {
            "nothing": {},
            "repeated": made[int(rng.integers(len(made)))].__dict__ if made else {},
            "plan": {"plan_hash": "0" * 64},
            "site": {"site": roster[-1]},
            "round": {"round": int(rng.integers(-2, 2 * plan.training.rounds + 2))},
            "attempt": {"attempt": int(rng.integers(-1, 3))},
            "roster": {"roster": roster[:1]},
            "weights": {"weights": weights + float(rng.choice([0.1, np.nan, 1e300]))},
            "length": {"weights": weights[:-1]},
        }
        kinds = list(wrong)
        made.append(replace(right, **wrong[kinds[int(rng.integers(len(kinds)))]]))
    return made


def _said(hospital: GuardHospital, asked: list[ContributeRequest]) -> list[str]:
    """A word for each question; of an answer, its form."""
    words = []
    for request in asked:
        try:
            vector = hospital.answer(request)
        except RequestRefused as refusal:
            words.append(refusal.code.value)
        else:
            words.append(f"{_ANSWER} of {len(vector)} {vector.dtype}")
    return words


def _while_failing(target: Target, patients: PatientTensors) -> str:
    """What leaves a hospital whose computation fails as soon as there is a patient."""

    def fails(network: object, held: PatientTensors, **_: object) -> object:
        raise FloatingPointError("as a patient could make it")

    hospital, weights = target.hospital(patients), first_weights(target.plan.model)
    before = len(hospital.charges)
    with replaced(training, "clipped_gradient_sum", fails):
        try:
            released = hospital.release(weights)
        except RequestRefused as refusal:
            return refusal.code.value
    sound = released.shape == weights.shape and bool(np.isfinite(released).all())
    return _ANSWER if sound and len(hospital.charges) == before + 1 else "another form, or no charge"


@dataclass
class _Machine:
    """A clock that goes on while work is done and while somebody sleeps."""

    now: float = 0.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += max(seconds, 1e-6)


def _leaves_after(target: Target, seconds: float) -> float:
    """When an installed guard's answer leaves whose computation takes so long; to a millisecond."""
    machine = _Machine()
    times = PublicTimes(clock=machine.clock, sleep=machine.sleep)

    def work(content: bytes, context: Any) -> bytes:
        times.begins(answer_times_of(target.plan).round_seconds)
        machine.now += seconds
        return content

    with target.broken():
        waiting: Any = times.of("Contribute", work)
        waiting(b"", None)
    return round(machine.now, 3)
