"""What do the releases of a plan cost, how much noise do they need, and does the hospital's own policy allow it?

Nothing a server sends can weaken a policy: a guard checks the plan it approved against it, and each request against the
plan. Imports no torch.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from oncofed.errors import PrivacyRefusal
from oncofed.privacy.accounting import RELATION, PrivacyEvent, epsilon_of, smallest_noise_multiplier
from oncofed.privacy.ledger import Budget
from oncofed.privacy.releases import release_of_round, release_of_summary, round_release, summary_release
from oncofed.protocol.calibration_layout import has_room_for_calibration
from oncofed.protocol.cards import card_of
from oncofed.protocol.options_layout import form_faults
from oncofed.protocol.plan import Bounding, PrivacyMode, PrivacySpec, StudyPlan, TrainingMode, TrainingSpec
from oncofed.protocol.summary_spec import SummaryKind, SummarySpec
from oncofed.ranges import outside, told
from oncofed.survival.comparators import comparator_faults
from oncofed.survival.layers import layer_faults

_NAMED = 5
"""Hospitals in a message."""


def releases_of(plan: StudyPlan) -> tuple[PrivacyEvent, ...]:
    """Everything that a plan may ever charge one hospital for, reserve and repeated attempts included."""
    summaries = [release_of_summary(plan, each).event for each in plan.summaries for _ in range(each.attempts)]
    return (*[release_of_round(plan).event] * plan.charged_rounds, *summaries)


def planned_releases_of(plan: StudyPlan) -> tuple[PrivacyEvent, ...]:
    """The same if nothing need be repeated."""
    rounds = [release_of_round(plan).event] * plan.training.rounds
    return (*rounds, *(release_of_summary(plan, each).event for each in plan.summaries))


def of_two_hospitals(one: Sequence[PrivacyEvent], other: Sequence[PrivacyEvent]) -> tuple[PrivacyEvent, ...]:
    """What a patient released who took part at two hospitals of a study, given what each of them was charged for.

    Releases of their own compose. In a shared sum both parts stand in one and the same sum: together they move it
    twice as far, against the same noise. Twice the sensitivity is four times the precision, so that is charged as four
    of the unchanged release. (Half its noise multiplier would not do: a share of half the size is rounded up to whole
    steps, and so is more than half.) As many as both were charged for are taken to be of the same sums: that is the
    most it can come to.
    """
    ours, theirs = Counter(one), Counter(other)
    moved: list[PrivacyEvent] = []
    for event in dict.fromkeys((*one, *other)):
        fewer, more = sorted((ours[event], theirs[event]))
        shared_sums = fewer if event.sites > 1 else 0
        moved += [event] * (fewer + more + 2 * shared_sums)
    return tuple(moved)


@dataclass(frozen=True)
class WantedSummary:
    """A summary whose noise is still to be found.

    budget_share  of what the plan's noise lets through (the sum of 1 / noise_multiplier^2), all attempts together.
    """

    spec: SummarySpec
    budget_share: float


def calibrated_together(
    training: TrainingSpec,
    privacy: PrivacySpec,
    wanted: Sequence[WantedSummary],
    *,
    parameters: int,
) -> tuple[PrivacySpec, tuple[SummarySpec, ...]]:
    """The smallest noise that keeps rounds and summaries, with all that may be repeated, within the plan's epsilon.

    privacy     as asked for; its noise multiplier is found anew. Mode `none` adds no noise to either.
    parameters  of the model.
    """
    if not privacy.mode.private:
        return privacy, tuple(replace(each.spec, noise_multiplier=0.0) for each in wanted)
    assert privacy.epsilon is not None
    rounds = training.rounds + privacy.reserve_rounds
    left = 1 - sum(each.budget_share for each in wanted)
    if not (left > 0 and all(each.budget_share > 0 for each in wanted)):
        raise ValueError("summaries need shares of the budget that are positive and leave some for training")

    def summaries(sigma: float) -> tuple[SummarySpec, ...]:
        # rounds / sigma^2 is to attempts / (sigma of the summary)^2 as what is left is to the summary's share.
        return tuple(
            replace(
                each.spec,
                noise_multiplier=sigma * math.sqrt(left / each.budget_share * each.spec.attempts / rounds),
            )
            for each in wanted
        )

    def releases(sigma: float) -> list[PrivacyEvent]:
        of_round = round_release(training, replace(privacy, noise_multiplier=sigma), parameters=parameters).event
        of_summaries = (summary_release(each, privacy).event for each in summaries(sigma) for _ in range(each.attempts))
        return [*[of_round] * rounds, *of_summaries]

    sigma = smallest_noise_multiplier(releases, epsilon=privacy.epsilon, delta=privacy.delta)
    return replace(privacy, noise_multiplier=sigma), summaries(sigma)


def calibrated_alone(
    privacy: PrivacySpec, wanted: Sequence[WantedSummary]
) -> tuple[PrivacySpec, tuple[SummarySpec, ...]]:
    """The same for a plan without rounds: all attempts at its summaries stay within the plan's epsilon.

    Shares are to each other as the budgets are. What a plan says of the noise of rounds is then said of the summary
    with the least noise, although there are no rounds.
    """
    if not privacy.mode.private:
        return privacy, tuple(replace(each.spec, noise_multiplier=0.0) for each in wanted)
    assert privacy.epsilon is not None
    first = wanted[0]

    def summaries(sigma: float) -> tuple[SummarySpec, ...]:
        # attempts / sigma^2 are to each other as the shares.
        return tuple(
            replace(
                each.spec,
                noise_multiplier=sigma
                * math.sqrt(first.budget_share / each.budget_share * each.spec.attempts / first.spec.attempts),
            )
            for each in wanted
        )

    def releases(sigma: float) -> list[PrivacyEvent]:
        return [summary_release(each, privacy).event for each in summaries(sigma) for _ in range(each.attempts)]

    found = summaries(smallest_noise_multiplier(releases, epsilon=privacy.epsilon, delta=privacy.delta))
    return replace(privacy, noise_multiplier=min(each.noise_multiplier for each in found)), found


def without_privacy(
    *, l2_norm_bound: float | None, bounding: Bounding = Bounding.CLIP, hazard_cap: float = PrivacySpec.hazard_cap
) -> PrivacySpec:
    """Mode `none`: for a comparison, or for data that is public. A hospital's policy must allow it by name."""
    return PrivacySpec(
        PrivacyMode.NONE, None, 0.0, 0.0, l2_norm_bound, RELATION, bounding=bounding, hazard_cap=hazard_cap
    )


@dataclass(frozen=True)
class SitePolicy:
    """One hospital's own rules for one data source.

    data_source               stable name under which the ledger counts; not a hash of the content.
    largest_epsilon, delta    for all studies on the source together.
    smallest_noise_multiplier of any single release.
    allow_no_privacy          whether a plan of mode `none` may run at all.
    fewest_colluding_tolerated  whom a plan of mode `distributed` must protect against: so many other hospitals may
                              side with the server. None refuses the mode, which trusts the rest to add their noise.
    verified_cards            of hospitals that this one knows by itself (`protocol.cards`). The others may be invented
                              by whoever made the plan, so each of them counts as one that sides with the server.
    allowed_plans             hashes of the only plans that may run; None allows any that somebody approves.
    largest_parameters        of a plan's model; None sets no limit.
    show_treatment_comparison  whether a plan may compare two treatment options, and what comes of it be shown.
    """

    data_source: str
    largest_epsilon: float
    delta: float
    smallest_noise_multiplier: float = 0.0
    allow_no_privacy: bool = False
    allowed_plans: tuple[str, ...] | None = None
    largest_parameters: int | None = None
    fewest_colluding_tolerated: int | None = None
    verified_cards: frozenset[str] = frozenset()
    show_treatment_comparison: bool = False

    @property
    def budget(self) -> Budget:
        return Budget(self.largest_epsilon, self.delta)

    def unverified(self, plan: StudyPlan, *, site: str) -> tuple[str, ...]:
        """The plan's hospitals that the hospital `site` knows from the plan alone."""
        others = (member for member in plan.members if member.site != site)
        return tuple(member.site for member in others if card_of(member) not in self.verified_cards)

    def refuse_unless_allowed(self, plan: StudyPlan, *, site: str = "") -> None:
        """Raises PrivacyRefusal that lists everything in the plan that this policy forbids to this hospital, `site`."""
        reasons = list(self._objections(plan, site))
        if reasons:
            raise PrivacyRefusal(f"the policy of {self.data_source} refuses this plan: " + "; ".join(reasons))

    def _objections(self, plan: StudyPlan, site: str) -> list[str]:
        # What numbers outside their ranges would cost is not asked: a million million rounds take a while to add up.
        of_constants = _objections_to_constants(plan)
        return [*self._objections_to_what_is_run(plan), *(of_constants or self._objections_to_privacy(plan, site))]

    def _objections_to_what_is_run(self, plan: StudyPlan) -> list[str]:
        reasons = []
        if plan.training.mode is not TrainingMode.FULL_BATCH and plan.privacy.bounding is not Bounding.CLIP:
            reasons.append(f"its training mode {plan.training.mode} knows no bounding but {Bounding.CLIP}")
        if plan.model.time_shapes is not None:
            reasons += plan.model.time_shapes.faults(plan.model.columns)
        if plan.model.entity_levels is not None:
            reasons += plan.model.entity_levels.faults(plan.model.columns, linear_branch=plan.model.linear_branch)
        reasons += comparator_faults(plan.model.comparators, plan.model.columns)
        reasons += layer_faults(plan.model.layers, plan.model.columns)
        reasons += [plan.model.expectation_fault] if plan.model.expectation_fault else []
        if plan.training.calibration_rounds and not has_room_for_calibration(plan.model):
            reasons.append("its model has no room for the sums of its calibration rounds")
        if self.allowed_plans is not None and plan.hash not in self.allowed_plans:
            reasons.append("its hash is not among the allowed plans")
        if self.largest_parameters is not None and not plan.model.parameters <= self.largest_parameters:
            reasons.append(f"its model has {plan.model.parameters} parameters, above {self.largest_parameters}")
        reasons += [f"it {fault}" for fault in form_faults(plan)]
        compares = plan.target_trial is not None or any(each.kind is SummaryKind.OPTIONS for each in plan.summaries)
        if compares and not self.show_treatment_comparison:
            reasons.append("it compares two treatment options, and show_treatment_comparison is not set")
        for summary in plan.summaries:
            if self.largest_parameters is not None and not summary.cells <= self.largest_parameters:
                reasons.append(f"its {summary.name} has {summary.cells} numbers, above {self.largest_parameters}")
        return reasons

    def _objections_to_privacy(self, plan: StudyPlan, site: str) -> list[str]:
        privacy = plan.privacy
        if not privacy.mode.private:
            return [] if self.allow_no_privacy else ["it has no privacy, and allow_no_privacy is not set"]
        of_sums = [*self._objections_to_shares(plan, site), *self._objections_to_summaries(plan)]
        reasons = [*of_sums]
        if privacy.relation != RELATION:
            reasons.append(f"its relation is {privacy.relation!r}; this ledger accounts for {RELATION!r}")
        if privacy.l2_norm_bound is None:
            reasons.append("it states no clip norm")
        # Each comparison is written so that a number that is not one fails it.
        if not 0 < privacy.delta <= self.delta:
            reasons.append(f"its delta {privacy.delta:g} does not lie in (0, {self.delta:g}]")
        if not (privacy.noise_multiplier >= self.smallest_noise_multiplier and privacy.noise_multiplier > 0):
            reasons.append(f"its noise multiplier {privacy.noise_multiplier:g} is too small")
        elif not of_sums:  # else nobody knows what is released
            reasons += self._objections_to_epsilon(plan)
        return reasons

    def _objections_to_summaries(self, plan: StudyPlan) -> list[str]:
        """Whether each one's noise is at least what the policy wants."""
        reasons = []
        for summary in plan.summaries:
            sigma = summary.noise_multiplier
            if not (sigma >= self.smallest_noise_multiplier and sigma > 0):
                reasons.append(f"the noise multiplier {sigma:g} of its {summary.name} is too small")
            if not (summary.attempts >= 1 and summary.cells >= 1):
                reasons.append(f"its {summary.name} has no cell or no attempt")
        return reasons

    def _objections_to_shares(self, plan: StudyPlan, site: str) -> list[str]:
        """Whether the noise is shared as the mode says, and by enough hospitals."""
        mode, shares = plan.privacy.mode, plan.privacy.shares
        if mode is not PrivacyMode.DISTRIBUTED:
            return [] if shares is None else [f"its mode {mode} has no shared noise, and it states shares"]
        if shares is None:
            return ["it shares its noise, and does not say how"]
        reasons = []
        if plan.training.mode is not TrainingMode.FULL_BATCH:
            reasons.append("noise is shared in the training mode full_batch only")
        if shares.sites != len(plan.roster):
            reasons.append("its shares are of another roster than its own")
        reasons += shares.faults
        if tuple(member.site for member in plan.members) != plan.roster:
            reasons.append("its members are not the hospitals of its roster")
        if self.fewest_colluding_tolerated is None:
            reasons.append("it trusts other hospitals to add noise, and fewest_colluding_tolerated is not set")
        else:
            reasons += self._objections_to_trust(plan, shares.colluding, self.fewest_colluding_tolerated, site)
        return reasons

    def _objections_to_trust(self, plan: StudyPlan, withstood: int, wanted: int, site: str) -> list[str]:
        """Whether enough of the others are there for certain.

        An attempt is among K - d names of the plan, all with keys of the plan. Whoever this hospital does not know may
        be the coordinator itself, so at least K - d - t of them add noise that it does not know, if t covers those.
        """
        unverified = self.unverified(plan, site=site)
        if withstood >= wanted + len(unverified):
            return []
        more = "" if not unverified else f" and {len(unverified)} that nobody here has verified ({_some(unverified)})"
        return [
            f"it withstands {withstood} hospitals that side with the coordinator, and must withstand {wanted} by this "
            f"policy's fewest_colluding_tolerated{more}"
        ]

    def _objections_to_epsilon(self, plan: StudyPlan) -> list[str]:
        privacy = plan.privacy
        what = "rounds and summaries" if plan.summaries else "rounds"
        reasons = []
        try:
            releases = releases_of(plan)
            needed = epsilon_of(releases, delta=self.delta)
            if not needed <= self.largest_epsilon:
                reasons.append(f"its {what} need epsilon {needed:.3f}, above {self.largest_epsilon:g}")
            if 0 < privacy.delta < 1:
                truth, promise = epsilon_of(releases, delta=privacy.delta), privacy.epsilon
                if promise is None or not truth <= promise:
                    reasons.append(f"its {what} need epsilon {truth:.3f}, and it promises patients {promise}")
        except PrivacyRefusal as refusal:
            return [f"its {what} cannot be accounted for: {refusal}"]
        return [*reasons, *_objections_to_integers(plan)]


def _some(names: tuple[str, ...]) -> str:
    """The first few."""
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


@lru_cache(maxsize=4)  # a thousand simulated hospitals are asked about one plan
def _objections_to_constants(plan: StudyPlan) -> tuple[str, ...]:
    """Whether each public number lies in its range."""
    return tuple(f"its {each.where} is {told(each.number)}, outside {each.range.words}" for each in outside(plan))


def _objections_to_integers(plan: StudyPlan) -> list[str]:
    """A plan whose sum could wrap would be charged for each time, and then refused."""
    objections = []
    for release in (release_of_round(plan), *(release_of_summary(plan, each) for each in plan.summaries)):
        try:
            release.refuse_unless_sound()
        except PrivacyRefusal as refusal:
            objections.append(str(refusal))
    return objections
