"""What has each data source of a hospital released so far, and may it release once more?

The ledger keeps events; epsilon is derived. A charge is recorded before the release and is never taken back: a crash
may waste a charge, never release without one. It is keyed by a stable data-source id of the hospital's own policy,
never by a content hash, so that changing one row cannot buy a fresh budget.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from oncofed.errors import BudgetExceeded, RefusalCode, RequestRefused, UnaccountedEvent
from oncofed.privacy.accounting import GaussianRelease, PrivacyEvent, epsilon_of, one_collection
from oncofed.privacy.shared_noise import SampledIntegerRelease, SharedIntegerRelease


@dataclass(frozen=True)
class Charge:
    """One release: what it was for (a request's identity and content hash) and what it cost.

    identity      names the release within all studies, and begins with its plan's hash and a slash; asked again with
                  another hash, it is refused.
    request_hash  the content.
    """

    identity: str
    request_hash: str
    event: PrivacyEvent

    @property
    def plan_hash(self) -> str:
        return self.identity.split("/", 1)[0]


@dataclass(frozen=True)
class Budget:
    """What the hospital's policy allows one data source in all studies together."""

    largest_epsilon: float
    delta: float


class Ledger(Protocol):
    """The record of one data source."""

    @property
    def budget(self) -> Budget: ...

    def charges(self) -> Sequence[Charge]:
        """All charges, oldest first."""
        ...

    def charge(self, charge: Charge) -> None:
        """Record a charge durably, before anything of the release is computed from data.

        Raises BudgetExceeded (nothing recorded), or RequestRefused when the identity was charged already: a guard
        answers an identical request from its cache and never comes here a second time.
        """
        ...


def refuse_if_over_budget(ledger: Ledger, charge: Charge) -> None:
    """Raises BudgetExceeded when one more charge would exceed the budget, or has no proven bound with what was made."""
    made = [*ledger.charges(), charge]
    refuse_unless_one_collection([(one.plan_hash, one.event) for one in made])
    epsilon = epsilon_of([one.event for one in made], delta=ledger.budget.delta)
    if not epsilon <= ledger.budget.largest_epsilon:  # so written, a budget that is not a number buys nothing
        raise BudgetExceeded(
            f"one more release would bring this data source to epsilon {epsilon:.3f}; its policy allows "
            f"{ledger.budget.largest_epsilon:.3f} at delta {ledger.budget.delta:g}"
        )


def refuse_unless_one_collection(charged: Sequence[tuple[str, PrivacyEvent]]) -> None:
    """Raises UnaccountedEvent when no bound is proven for these releases, each with its plan, together."""
    if not one_collection(charged):
        raise UnaccountedEvent(
            "a study that trains by epochs needs patients whom no other study uses: no bound is proven for it together "
            "with another study's releases, chosen after it or before"
        )


def refuse_unless_payable(ledger: Ledger, charge: Charge) -> None:
    """Raises what `ledger.charge(charge)` would raise now, and records nothing.

    For a guard that must know before it reads a patient. The charge itself asks again: it alone decides.
    """
    if any(made.identity == charge.identity for made in ledger.charges()):
        raise RequestRefused(RefusalCode.REQUEST_CONFLICT)
    refuse_if_over_budget(ledger, charge)


def spent_epsilon(ledger: Ledger) -> float:
    """Epsilon of everything released so far; 0 when nothing was."""
    return epsilon_of([charge.event for charge in ledger.charges()], delta=ledger.budget.delta)


class MemoryLedger:
    """A ledger as durable as the process: for simulations, whose checkpoints carry it."""

    def __init__(self, budget: Budget, charges: Sequence[Charge] = ()) -> None:
        self._budget = budget
        self._charges = list(charges)
        self._identities = {charge.identity for charge in charges}

    @property
    def budget(self) -> Budget:
        return self._budget

    def charges(self) -> Sequence[Charge]:
        return tuple(self._charges)

    def charge(self, charge: Charge) -> None:
        if charge.identity in self._identities:
            raise RequestRefused(RefusalCode.REQUEST_CONFLICT)
        refuse_if_over_budget(self, charge)
        self._charges.append(charge)
        self._identities.add(charge.identity)


def charge_to_json(charge: Charge) -> dict[str, Any]:
    """A charge as plain JSON values."""
    return {
        "identity": charge.identity,
        "request_hash": charge.request_hash,
        "release": type(charge.event).__name__,
        **vars(charge.event),  # a checkpoint has all of them, each round: a copy of each in depth took a third of it
    }


def charge_from_json(record: dict[str, Any]) -> Charge:
    """The inverse of `charge_to_json`. Raises KeyError or TypeError on a record that is not one."""
    fields = dict(record)
    identity, request_hash = str(fields.pop("identity")), str(fields.pop("request_hash"))
    release = {
        "GaussianRelease": GaussianRelease,
        "SharedIntegerRelease": SharedIntegerRelease,
        "SampledIntegerRelease": SampledIntegerRelease,
    }
    return Charge(identity, request_hash, release[fields.pop("release")](**fields))
