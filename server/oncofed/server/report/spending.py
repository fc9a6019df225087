"""What were patients promised, and what has the study cost each hospital so far, as far as a coordinator can see?

A coordinator sees answers, not ledgers. It knows of at least the releases it admitted, and of at most the attempts it
asked for: an answer that was lost, late or not admitted may have been charged, and an attempt that was repeated counts
as released. Between the two lies the truth, and only the hospital's own ledger knows it.
"""

from __future__ import annotations

from dataclasses import dataclass

from oncofed.privacy.accounting import PrivacyEvent, epsilon_of
from oncofed.privacy.releases import release_of_round, release_of_summary
from oncofed.server.report.study import DeployedStudy


@dataclass(frozen=True)
class SiteCost:
    """answers   admitted answers of this hospital, each a release. asked: attempts it may have been charged for.

    Rounds and summaries alike.

    Epsilons at the plan's delta, for add or remove one patient of this hospital; None in mode `none`.
    """

    site: str
    answers: int
    asked: int
    epsilon: float | None
    epsilon_at_most: float | None


def asked_attempts(study: DeployedStudy) -> int:
    """How often each hospital may have been charged for a round: no more than the plan allows, all of it in doubt.

    A round that is under way, was interrupted, or of which nothing was written down may have taken any number.
    """
    allowed = study.plan.charged_rounds
    starts = sum(event.event == "started" for event in study.events)
    if study.unrecorded or not study.trained or starts > 1:
        return allowed
    return min(allowed, sum(row.attempt + 1 for row in study.rounds))


def site_costs(study: DeployedStudy) -> tuple[SiteCost, ...]:
    """One for each hospital, in roster order."""
    of_round = release_of_round(study.plan).event
    # A summary that was asked for may have cost every attempt the plan has for it; the others cost nothing yet.
    asked = [of_round] * asked_attempts(study) + [
        release_of_summary(study.plan, summary).event
        for summary in study.plan.summaries
        if study.trained
        for _ in range(summary.attempts)
    ]
    costs = []
    for site, rounds in study.answers.items():
        summaries = [
            release_of_summary(study.plan, summary).event
            for summary in study.plan.summaries
            if (released := study.summaries.get(summary.name)) is not None and site in released.answered
        ]
        answers = [of_round] * rounds + summaries
        costs.append(SiteCost(site, len(answers), len(asked), _epsilon(study, answers), _epsilon(study, asked)))
    return tuple(costs)


def _epsilon(study: DeployedStudy, releases: list[PrivacyEvent]) -> float | None:
    privacy = study.plan.privacy
    return None if not privacy.mode.private else epsilon_of(releases, delta=privacy.delta)
