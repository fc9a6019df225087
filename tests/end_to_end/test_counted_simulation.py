"""Do simulated hospitals, through the real apps and their guards, count who is there and do nothing else?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.doubles import request_for
from tests.unit.client.patients.test_who_is_there import SCHEMA, drawn_cohort
from tests.unit.study.test_budget import settings

from oncofed.client.patients.summaries import bounded_sum
from oncofed.cohort.schema_file import parse_schema
from oncofed.errors import PrivacyRefusal, RefusalCode, RequestRefused
from oncofed.privacy.accounting import epsilon_of
from oncofed.privacy.ledger import MemoryLedger
from oncofed.privacy.releases import release_of_summary
from oncofed.protocol.messages import SummariseRequest
from oncofed.protocol.plan import PrivacyMode, StudyPlan
from oncofed.server.evaluation.readiness import counted
from oncofed.simulations.federation import Engine, federate, simulated_guard
from oncofed.simulations.masking_keys import simulated_member
from oncofed.simulations.site_policy import site_policy
from oncofed.study.plan_settings import readiness_plan_from
from oncofed.survival.likelihood import patient_tensors

PARSED = parse_schema(SCHEMA, where="schema.toml")
HOSPITALS = {site: drawn_cohort(PARSED, 400 + 30 * place, seed=place) for place, site in enumerate(("A", "B", "C"))}


def plan_of(mode: PrivacyMode) -> StudyPlan:
    shared = {"dropouts": 0, "colluding": 1} if mode is PrivacyMode.DISTRIBUTED else {}
    asked = settings(mode=mode, **shared)
    plan = readiness_plan_from(asked, PARSED, study="lung", roster=tuple(HOSPITALS), quorum=None)
    return plan if plan.privacy.shares is None else replace(plan, members=tuple(map(simulated_member, HOSPITALS)))


@pytest.mark.parametrize("mode", PrivacyMode)
def test_the_release_is_the_exact_count_and_the_noise_of_one_charge_each(mode: PrivacyMode) -> None:
    plan = plan_of(mode)
    (spec,) = plan.summaries
    found = federate(plan, HOSPITALS, run_folder=None, engine=Engine.GRID, resume=False, figures=lambda *_: {})
    weights = np.zeros(plan.model.parameters)
    exact = sum(bounded_sum(plan, spec, weights, patient_tensors(cohort)).vector for cohort in HOSPITALS.values())
    released = found.state.summaries["readiness"]
    off = np.abs(released.vector - exact)
    assert (found.state.round, len(found.rounds), released.answered) == (0, 0, ("A", "B", "C"))
    told = counted(plan, PARSED, found.state.summaries)
    assert told is not None
    if mode is PrivacyMode.NONE:
        assert off.max() < 1e-9
        assert found.releases == {}
        assert told.patients.value == pytest.approx(400 + 430 + 460)
        assert told.patients.half_width == 0
        return
    sd = release_of_summary(plan, spec).noise_of_sum(hospitals=3)
    assert 0.01 * sd < off.max() < 6 * sd  # six numbers
    assert {len(events) for events in found.releases.values()} == {1}
    for events in found.releases.values():
        assert 0.299 < epsilon_of(events, delta=1e-5) <= 0.3


def question(plan: StudyPlan, *, attempt: int = 0) -> SummariseRequest:
    (spec,) = plan.summaries
    return SummariseRequest(
        plan.hash, "A", spec.name, attempt, plan.roster, np.zeros(plan.model.parameters), spec.cells
    )


def test_a_guard_of_such_a_plan_answers_no_round_and_no_second_count() -> None:
    plan = plan_of(PrivacyMode.LOCAL)
    ledger = MemoryLedger(site_policy(plan, "A").budget)
    guard = simulated_guard(plan, "A", patient_tensors(HOSPITALS["A"]), ledger)
    for round_ in (0, 1):
        with pytest.raises(RequestRefused) as refused:
            guard.contribute(replace(request_for(plan, round_=round_), site="A", roster=plan.roster))
        assert refused.value.code is RefusalCode.ROUND_OUT_OF_RANGE
    assert not ledger.charges()
    first = guard.summarise(question(plan)).vector
    assert (guard.summarise(question(plan)).vector == first).all()
    assert len(ledger.charges()) == 1
    with pytest.raises(RequestRefused):
        guard.summarise(question(plan, attempt=1))
    assert len(ledger.charges()) == 1


@pytest.mark.parametrize(
    ("change", "why"),
    [({"largest_epsilon": 0.29}, "need epsilon 0.30"), ({"smallest_noise_multiplier": 100.0}, "is too small")],
)
def test_a_policy_refuses_a_count_as_it_refuses_a_study(change: dict[str, float], why: str) -> None:
    plan = plan_of(PrivacyMode.LOCAL)
    policy = replace(site_policy(plan, "A"), largest_epsilon=0.3)
    policy.refuse_unless_allowed(plan, site="A")
    with pytest.raises(PrivacyRefusal, match=why):
        replace(policy, **change).refuse_unless_allowed(plan, site="A")  # type: ignore[arg-type]  # floats
