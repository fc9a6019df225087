"""Does the ledger hold every release, and does it add them up to the epsilon that they cost?

The attacker asks until it is refused. Every answer that was new has to be on the ledger, the identical question has to
give the same bytes and no charge, the guard has to stop where the plan's rounds and reserve end, and the ledger's
epsilon has to be that of an accountant that counted the answers for itself.
"""

from __future__ import annotations

import math

import numpy as np

from oncofed.errors import RequestRefused
from oncofed.privacy.accounting import epsilon_of
from oncofed.privacy.releases import release_of_round
from oncofed.simulations.audit.accountant import AGREEMENT, agree, independent_epsilon
from oncofed.simulations.audit.crafted import first_weights
from oncofed.simulations.audit.target import Target, nobody
from oncofed.simulations.audit.verdict import Outcome, Power, Verdict

LEDGER = "ledger"


def ledger_count(target: Target, rng: np.random.Generator) -> Verdict:
    """Fails when a release is not on the ledger, or the ledger's epsilon is not the independent one."""
    plan, privacy = target.plan, target.plan.privacy
    hospital = target.hospital(nobody(target))
    weights = first_weights(plan.model)
    most = 2 * plan.charged_rounds + 2
    answers, repeated_alike = 0, True
    for _ in range(most):
        try:
            answer = hospital.release(weights + rng.normal(scale=1e-3, size=len(weights)))
        except RequestRefused:
            break
        answers += 1
        before = len(hospital.charges)
        if answers <= 2:
            repeated_alike &= bool(np.array_equal(answer, hospital.release_again()))
            repeated_alike &= len(hospital.charges) == before
    charges = hospital.charges
    ledgers = epsilon_of([charge.event for charge in charges], delta=privacy.delta)
    # What the plan promises to add, not what the ledger says of it.
    truth = independent_epsilon([release_of_round(plan).event] * answers, delta=privacy.delta)
    promised = math.inf if privacy.epsilon is None else privacy.epsilon
    faults = [
        *([f"{answers - len(charges)} of {answers} releases are not on the ledger"] if answers > len(charges) else []),
        *([] if repeated_alike else ["the identical question was charged or answered anew"]),
        *(["the guard still answers after twice the plan's rounds"] if answers >= most else []),
        *([] if agree(ledgers, truth) else [f"the ledger says epsilon {ledgers:.3f}"]),
        *([] if truth <= promised + AGREEMENT else [f"the plan promises {promised:g}"]),
    ]
    return Verdict(
        LEDGER,
        Outcome.FAILED if faults else Outcome.PASSED,
        f"{answers} releases before the guard refused, {len(charges)} charged; the ledger says epsilon {ledgers:.3f}, "
        f"an independent count {truth:.3f}" + "".join(f"; {fault}" for fault in faults),
        f"every release is charged, and the two agree within {AGREEMENT}; not above the plan's {promised:g}",
        Power(f"one uncharged release of {plan.charged_rounds}, or an epsilon that is {AGREEMENT} off", 1.0),
        {"releases": answers, "charges": len(charges), "epsilon_ledger": ledgers, "epsilon_independent": truth},
    )
