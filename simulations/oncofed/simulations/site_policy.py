"""What does a simulated hospital allow? Just what its study asks for."""

from __future__ import annotations

from functools import lru_cache

from oncofed.privacy.policy import SitePolicy
from oncofed.protocol.cards import card_of
from oncofed.protocol.plan import StudyPlan


def site_policy(plan: StudyPlan, site: str, *, largest_epsilon: float | None = None) -> SitePolicy:
    """The policy that admits `plan` and nothing beyond it, for the data source of `site`.

    largest_epsilon  of all plans of the study together; None where this one is all.
    """
    compares = plan.target_trial is not None
    if not plan.privacy.mode.private:
        return SitePolicy(
            site, largest_epsilon=0.0, delta=1e-5, allow_no_privacy=True, show_treatment_comparison=compares
        )
    assert plan.privacy.epsilon is not None
    return SitePolicy(
        site,
        largest_epsilon=plan.privacy.epsilon if largest_epsilon is None else largest_epsilon,
        delta=plan.privacy.delta,
        fewest_colluding_tolerated=plan.privacy.colluding,
        verified_cards=_cards(plan),
        show_treatment_comparison=compares,
    )


@lru_cache(maxsize=4)
def _cards(plan: StudyPlan) -> frozenset[str]:
    return frozenset(map(card_of, plan.members))
