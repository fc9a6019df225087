"""What does one round of a plan cost, how much noise does a plan need, and does the hospital's own policy allow it?

Nothing a server sends can weaken a policy: a guard checks the plan it approved against it, and each request against the
plan. Imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass

from oncofed.errors import PrivacyRefusal, UnaccountedEvent
from oncofed.privacy.accounting import (
    RELATION,
    GaussianRelease,
    PrivacyEvent,
    SampledGaussianRelease,
    epsilon_of,
    smallest_noise_multiplier,
)
from oncofed.privacy.ledger import Budget
from oncofed.protocol.plan import PrivacyMode, PrivacySpec, StudyPlan, TrainingMode, TrainingSpec


def release_of_one_round(training: TrainingSpec, *, noise_multiplier: float) -> PrivacyEvent:
    """What one hospital releases in one round of one attempt."""
    if training.mode is TrainingMode.FULL_BATCH:
        return GaussianRelease(noise_multiplier)
    return SampledGaussianRelease(noise_multiplier, training.sampling_rate, training.local_steps)


def calibrated_privacy(
    training: TrainingSpec, *, epsilon: float, delta: float, l2_norm_bound: float, reserve_rounds: int
) -> PrivacySpec:
    """Mode `local` with the smallest noise that keeps all rounds plus the reserve for repeated ones within epsilon."""
    releases = training.rounds + reserve_rounds
    noise_multiplier = smallest_noise_multiplier(
        lambda sigma: [release_of_one_round(training, noise_multiplier=sigma)] * releases,
        epsilon=epsilon,
        delta=delta,
    )
    return PrivacySpec(PrivacyMode.LOCAL, epsilon, delta, noise_multiplier, l2_norm_bound, RELATION, reserve_rounds)


def without_privacy(*, l2_norm_bound: float | None) -> PrivacySpec:
    """Mode `none`: for a comparison, or for data that is public. A hospital's policy must allow it by name."""
    return PrivacySpec(PrivacyMode.NONE, None, 0.0, 0.0, l2_norm_bound, RELATION)


@dataclass(frozen=True)
class SitePolicy:
    """One hospital's own rules for one data source.

    data_source               stable name under which the ledger counts; not a hash of the content.
    largest_epsilon, delta    for all studies on the source together.
    smallest_noise_multiplier of any single release.
    allow_no_privacy          whether a plan of mode `none` may run at all.
    allowed_plans             hashes of the only plans that may run; None allows any that somebody approves.
    largest_parameters        of a plan's model; None sets no limit.
    """

    data_source: str
    largest_epsilon: float
    delta: float
    smallest_noise_multiplier: float = 0.0
    allow_no_privacy: bool = False
    allowed_plans: tuple[str, ...] | None = None
    largest_parameters: int | None = None

    @property
    def budget(self) -> Budget:
        return Budget(self.largest_epsilon, self.delta)

    def refuse_unless_allowed(self, plan: StudyPlan) -> None:
        """Raises PrivacyRefusal that lists everything in the plan that this policy forbids."""
        reasons = list(self._objections(plan))
        if reasons:
            raise PrivacyRefusal(f"the policy of {self.data_source} refuses this plan: " + "; ".join(reasons))

    def _objections(self, plan: StudyPlan) -> list[str]:
        return [*self._objections_to_what_is_run(plan), *self._objections_to_privacy(plan)]

    def _objections_to_what_is_run(self, plan: StudyPlan) -> list[str]:
        reasons = []
        if self.allowed_plans is not None and plan.hash not in self.allowed_plans:
            reasons.append("its hash is not among the allowed plans")
        if self.largest_parameters is not None and not plan.model.parameters <= self.largest_parameters:
            reasons.append(f"its model has {plan.model.parameters} parameters, above {self.largest_parameters}")
        return reasons

    def _objections_to_privacy(self, plan: StudyPlan) -> list[str]:
        privacy = plan.privacy
        if privacy.mode is PrivacyMode.NONE:
            return [] if self.allow_no_privacy else ["it has no privacy, and allow_no_privacy is not set"]
        reasons = []
        if privacy.relation != RELATION:
            reasons.append(f"its relation is {privacy.relation!r}; this ledger accounts for {RELATION!r}")
        if privacy.l2_norm_bound is None or not 0 < privacy.l2_norm_bound < float("inf"):
            reasons.append("it states no finite, positive clip norm")
        # Each comparison is written so that a number that is not one fails it.
        if not 0 < privacy.delta <= self.delta:
            reasons.append(f"its delta {privacy.delta:g} does not lie in (0, {self.delta:g}]")
        if not (privacy.noise_multiplier >= self.smallest_noise_multiplier and privacy.noise_multiplier > 0):
            reasons.append(f"its noise multiplier {privacy.noise_multiplier:g} is too small")
        else:
            reasons += self._objections_to_epsilon(plan)
        return reasons

    def _objections_to_epsilon(self, plan: StudyPlan) -> list[str]:
        privacy = plan.privacy
        release = release_of_one_round(plan.training, noise_multiplier=privacy.noise_multiplier)
        releases = [release] * plan.charged_rounds
        reasons = []
        try:
            needed = epsilon_of(releases, delta=self.delta)
            if not needed <= self.largest_epsilon:
                reasons.append(f"its rounds need epsilon {needed:.3f}, above {self.largest_epsilon:g}")
            if 0 < privacy.delta < 1:
                truth, promise = epsilon_of(releases, delta=privacy.delta), privacy.epsilon
                if promise is None or not truth <= promise:
                    reasons.append(f"its rounds need epsilon {truth:.3f}, and it promises patients {promise}")
        except UnaccountedEvent as refusal:
            reasons.append(f"its rounds cannot be accounted for: {refusal}")
        return reasons
