"""What do hospitals release of two treatment options compared?"""

from __future__ import annotations

from collections.abc import Mapping

from oncofed.privacy.releases import release_of_summary
from oncofed.protocol.options_layout import OPTIONS
from oncofed.protocol.plan import StudyPlan
from oncofed.server.rounds.state import ReleasedSummary
from oncofed.treatment.question import Question
from oncofed.treatment.release import Options, options_of


def released_options(plan: StudyPlan, question: Question, summaries: Mapping[str, ReleasedSummary]) -> Options | None:
    """question: the plan's. None where it was not released."""
    summary, found = plan.summary(OPTIONS), summaries.get(OPTIONS)
    if summary is None or found is None:
        return None
    noise = release_of_summary(plan, summary).noise_of_sum(hospitals=len(found.answered))
    return options_of(question, found.vector, noise=noise)
