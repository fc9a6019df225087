"""After how long does a hospital's answer leave?

At an installed hospital: after what is done without patients, and then a multiple of a time that the plan says, the
smallest that is possible. So who waits for the answer learns nothing of how long it took, unless it took longer than
that time. Both ends know the times: the guard waits by them, and a coordinator must give hospitals longer. Imports no
torch.
"""

from __future__ import annotations

from dataclasses import dataclass

from oncofed.protocol.plan import StudyPlan
from oncofed.ranges import range_of

READING = 4
"""Reading patients, before a plan's first answer, ends after a multiple of so many times `answer_seconds`.

15,000 patients of 500 columns are read in half a second of a processor's time.
"""

_FIELDS = ("answer_seconds", "summary_answer_seconds")
MOST_WAITING = 8
"""Questions that a guard holds at once, the one that it answers among them. One more is turned away at once."""


@dataclass(frozen=True)
class AnswerTimes:
    """round_seconds: of an answer to a round. summary_seconds: of one to a summary."""

    round_seconds: float = StudyPlan.answer_seconds
    summary_seconds: float = StudyPlan.summary_answer_seconds

    @property
    def reading_seconds(self) -> float:
        """Of reading the patients, before a plan's first answer after a start or an approval."""
        return self.round_seconds * READING

    def longest(self, *, with_summaries: bool) -> float:
        """Of the first answer, when all is well."""
        return self.reading_seconds + max(self.round_seconds, self.summary_seconds if with_summaries else 0.0)


def answer_times_of(plan: StudyPlan) -> AnswerTimes:
    """What the plan says."""
    return AnswerTimes(plan.answer_seconds, plan.summary_answer_seconds)


def longest_wait_seconds() -> float:
    """For an answer, by plans in their ranges: behind as many others as a guard holds, each as slow as may be."""
    longest = AnswerTimes(*(range_of(StudyPlan, name).most for name in _FIELDS))
    return MOST_WAITING * longest.longest(with_summaries=True)


def time_faults(plan: StudyPlan) -> tuple[tuple[str, str], ...]:
    """What is wrong with the plan's times: pairs of a field and what is wrong with it."""
    found = [
        (name, f"is not {range_of(StudyPlan, name).words}")
        for name in _FIELDS
        if getattr(plan, name) not in range_of(StudyPlan, name)
    ]
    longest = answer_times_of(plan).longest(with_summaries=bool(plan.summaries))
    if plan.round_timeout_seconds <= longest:
        what = f"is not above {longest:g}, the seconds after which a hospital's answer leaves when all is well"
        found.append(("round_timeout_seconds", what))
    return tuple(found)
