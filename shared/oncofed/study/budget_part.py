"""What may one of several plans on the same patients spend of a study's budget?"""

from __future__ import annotations

from dataclasses import replace

from oncofed.privacy.accounting import part_of_epsilon
from oncofed.study.plan_settings import PlanSettings


def the_rest(settings: PlanSettings, *shares: float) -> PlanSettings:
    """What the other plans leave, whose shares these are; as they are where no other has any."""
    taken = sum(shares)
    return with_part(settings, 1 - taken) if taken else settings


def with_part(settings: PlanSettings, share: float) -> PlanSettings:
    """The same settings, with the epsilon of this share of what the study's lets through (`part_of_epsilon`)."""
    asked = settings.privacy
    if not asked.mode.private:
        return settings
    assert asked.epsilon is not None
    epsilon = part_of_epsilon(share, epsilon=asked.epsilon, delta=asked.delta)
    return replace(settings, privacy=replace(asked, epsilon=epsilon))
