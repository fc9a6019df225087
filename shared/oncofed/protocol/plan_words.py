"""What does a study plan mean for the person who must answer for a hospital's data? In words, with its figures.

For a data protection officer: who takes part, what is computed, what leaves, what each patient is promised, what the
study costs a hospital of a given size, and what it does not protect against. Nothing here needs a table.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from unicodedata import east_asian_width

from oncofed.cohort.schema import StudySchema
from oncofed.privacy.accounting import epsilon_of
from oncofed.privacy.mask_graph import graph_of
from oncofed.privacy.policy import of_two_hospitals, planned_releases_of, releases_of
from oncofed.privacy.releases import largest_patients
from oncofed.protocol.leaving_words import count as number_in_words
from oncofed.protocol.leaving_words import endpoint_name, what_leaves
from oncofed.protocol.plan import StudyPlan
from oncofed.ranges import unusual
from oncofed.treatment.trial_words import purpose_words
from oncofed.words.language import ENGLISH, Language
from oncofed.words.names import MODALITY_NAMES
from oncofed.words.numbers import plainly

_WIDTH = 100
_FILLER = "\ue000"
"""Stands for the second place of a character that takes two; private, so no text of a plan holds one."""


@dataclass(frozen=True)
class PlanCost:
    """What the plan may cost in privacy. Each an epsilon at the plan's delta, add or remove one patient.

    planned         after the planned rounds and summaries.
    largest         with every round of the reserve and every repeated attempt as well; no hospital is ever charged for
                    more.
    two_hospitals   of a patient whom two hospitals of the study treat, at most.
    largest_cohort  patients up to whom the promise holds (`releases.largest_patients`).
    """

    planned: float
    largest: float
    two_hospitals: float
    largest_cohort: int


def cost_of(plan: StudyPlan) -> PlanCost | None:
    """None in mode `none`, which promises nothing."""
    privacy = plan.privacy
    if not privacy.mode.private:
        return None
    everything = releases_of(plan)
    return PlanCost(
        planned=epsilon_of(planned_releases_of(plan), delta=privacy.delta),
        largest=epsilon_of(everything, delta=privacy.delta),
        two_hospitals=epsilon_of(of_two_hospitals(everything, everything), delta=privacy.delta),
        largest_cohort=largest_patients(privacy.delta),
    )


def noise_share(plan: StudyPlan, *, patients: int) -> float:
    """Noise of a round over the most that this many patients together could add to one number of it."""
    return plan.privacy.noise_multiplier / patients


def plan_in_words(
    plan: StudyPlan,
    schema: StudySchema,
    *,
    parameters: int,
    columns: int = _WIDTH,
    patients: int | None = None,
    say: Language = ENGLISH,
) -> str:
    """parameters: how many numbers the model has. patients: the hospital's own number, which goes nowhere.

    columns  of the terminal: a line that it breaks would go on where paragraphs begin, and a text of the plan could
             look like one.
    """
    paragraphs = [
        *_purpose(plan, schema, say),
        *what_leaves(plan, schema, parameters, say=say),
        *_promise(plan, say),
        *_joining(plan, patients, say),
        *_unusual(plan, schema, say),
        _unprotected(plan, say),
        say("PUBLISHED: %(released)s.", released="; ".join(map(say, plan.released)) or say("nothing was named")),
        say("Plan %(hash)s", hash=plan.hash),
    ]
    return "\n\n".join(_filled(paragraph, min(_WIDTH, columns)) for paragraph in paragraphs)


def _unprotected(plan: StudyPlan, say: Language) -> str:
    if plan.trains:
        told = (
            say(
                "that your hospital takes part, and in which rounds it answered; whatever the final model says of "
                "cancer patients in general"
            )
            if plan.makes_model
            else say(
                "that your hospital takes part, and in which rounds it answered; whatever the comparison says of "
                "patients who could have got either option in general"
            )
        )
    else:
        told = (
            say(
                "that your hospital takes part, and that it answered; how well the model does on the patients of all "
                "hospitals together, and, where each hospital's noise is its own, on yours"
            )
            if plan.validates is not None
            else say(
                "that your hospital takes part, and that it answered; whatever the counts say of the patients of all "
                "hospitals together"
            )
        )
    return say("NOT PROTECTED: %(told)s; a patient's data at other hospitals, unless counted as above.", told=told)


def _filled(paragraph: str, width: int) -> str:
    """In lines of as many places. Where Unicode leaves it open how many a character takes, it takes two."""
    wide = "".join(each + _FILLER if east_asian_width(each) in "WFA" else each for each in paragraph)
    # One place less: a character and its filler may be parted by a line's end.
    return textwrap.fill(wide, max(width, _NARROWEST) - 1, subsequent_indent="  ").replace(_FILLER, "")


_NARROWEST = 20


def _purpose(plan: StudyPlan, schema: StudySchema, say: Language) -> Iterator[str]:
    purpose = (
        _of_a_prognosis(plan, schema, say)
        if plan.target_trial is None
        else purpose_words(plan.target_trial, schema.grid.unit, say=say)
    )
    yield say("STUDY %(study)s: %(purpose)s", study=plan.study, purpose=purpose)
    who = {"hospitals": str(len(plan.roster)), "names": ", ".join(plan.roster), "quorum": str(plan.quorum)}
    yield (
        say(
            "WHO: %(hospitals)s hospitals (%(names)s). A round counts when %(quorum)s of them answer. Each keeps its "
            "table; no patient's row leaves a hospital.",
            **who,
        )
        if plan.trains
        else say(
            "WHO: %(hospitals)s hospitals (%(names)s). It is done when %(quorum)s of them answer. Each keeps its "
            "table; no patient's row leaves a hospital.",
            **who,
        )
    )


def _of_a_prognosis(plan: StudyPlan, schema: StudySchema, say: Language) -> str:
    listed = ", ".join(
        say("%(count)s %(kind)s", count=count, kind=name) for name, count in _counted(schema, say).items()
    )
    asked = {
        "endpoints": ", ".join(endpoint_name(schema, each, say) for each in plan.model.endpoints),
        "markers": say("%(count)s markers (%(listed)s)", count=len(schema.markers), listed=listed),
    }
    if plan.trains:
        return say("to predict %(endpoints)s of cancer patients from %(markers)s.", **asked)
    if plan.validates is not None:
        return say(
            "to measure, in hospitals that did not train it, a model that predicts %(endpoints)s of cancer patients "
            "from %(markers)s.",
            **asked,
        )
    return say(
        "to count, before a study and without training anything, who is there for %(endpoints)s of cancer patients "
        "from %(markers)s.",
        **asked,
    )


def _unusual(plan: StudyPlan, schema: StudySchema, say: Language) -> Iterator[str]:
    found = [
        *unusual(plan, say=say),
        *(say("schema %(field)s", field=each) for each in unusual(schema, say=say)),
    ]
    if found:
        shown = "; ".join(found[:_MOST_UNUSUAL])
        if len(found) > _MOST_UNUSUAL:
            shown = say("%(shown)s; and %(more)s more", shown=shown, more=len(found) - _MOST_UNUSUAL)
        yield say(
            "UNUSUAL: these public constants are allowed, and other than in most studies. Ask why: %(shown)s.",
            shown=shown,
        )


_MOST_UNUSUAL = 40


def _counted(schema: StudySchema, say: Language) -> dict[str, int]:
    counts: dict[str, int] = {}
    for marker in schema.markers:
        own = marker.modality.value.replace("_", " ")
        name = own if say.code == ENGLISH.code else say(MODALITY_NAMES[marker.modality])
        counts[name] = counts.get(name, 0) + 1
    return counts


def _promise(plan: StudyPlan, say: Language) -> Iterator[str]:
    cost = cost_of(plan)
    if cost is None:
        yield say(
            "PROMISE TO A PATIENT: none. Mode `none` adds no noise; with crafted models most patients of a small "
            "hospital could be read back from their sum. Approve it only for data that may be public."
        )
        return
    planned, repeated = _planned(plan, say)
    yield say(
        "PROMISE TO A PATIENT: epsilon %(planned)s at delta %(delta)s after %(what)s; %(largest)s if %(repeated)s, "
        "never more. Unit: one patient of one hospital; compared: your data with that patient and without. In "
        "words: whatever anybody concludes from all that leaves, they would conclude nearly as likely had the patient "
        "stayed away; no event becomes more than %(times)s times as likely, but for a chance of %(delta)s.",
        planned=say.figures(f"{cost.planned:.2f}"),
        delta=plainly(plan.privacy.delta, say=say),
        what=planned,
        largest=say.figures(f"{cost.largest:.2f}"),
        repeated=repeated,
        times=say.figures(f"{math.exp(cost.largest):.1f}"),
    )
    shares = plan.privacy.shares
    if shares is not None:
        yield say(
            "WHOM YOU TRUST: the noise of a sum is shared. The promise holds against the coordinator together with up "
            "to %(colluding)s of the other hospitals, as long as the others add their shares; sums of fewer than "
            "%(fewest)s hospitals are never made. The coordinator wrote this plan, so a hospital whose card nobody "
            "here has compared counts as one of those %(colluding)s. The noise of the sum is at least %(times)s times "
            "the limit.",
            colluding=shares.colluding,
            fewest=plan.smallest_roster,
            times=say.figures(f"{plan.privacy.noise_multiplier:.3g}"),
        ) + _of_neighbours(plan, say)
    yield say(
        "TWO HOSPITALS: a patient whom two of the hospitals treat is counted in both: epsilon up to %(epsilon)s.",
        epsilon=say.figures(f"{cost.two_hospitals:.2f}"),
    )


def _of_neighbours(plan: StudyPlan, say: Language) -> str:
    """What masks along a circle change; nothing where each hospital masks with all others."""
    shares, graph = plan.privacy.shares, graph_of(plan)
    if shares is None or graph.reaches_all(len(plan.roster)):
        return ""
    return say(
        " Each hospital masks its part with %(neighbours)s others and not with all, which hides as much from the "
        "coordinator and up to %(colluding)s hospitals, whichever they are. But %(neighbours)s hospitals that happen "
        "to be all of one's neighbours see, with the coordinator, its part with its own share of the noise alone, one "
        "of %(shares)s; who they are follows from the plan and all masking keys.",
        neighbours=2 * graph.steps,
        colluding=shares.colluding,
        shares=shares.guaranteed_shares,
    )


def _planned(plan: StudyPlan, say: Language) -> tuple[str, str]:
    """After what epsilon is the planned one, and what else may be needed."""
    if not plan.trains:
        planned = (
            say("the figures", context="after") if plan.validates is not None else say("the count", context="after")
        )
        return planned, say("all repeated attempts are needed")
    rounds, reserve = plan.training.rounds, plan.privacy.reserve_rounds
    if not plan.summaries:
        return say("%(rounds)s rounds", rounds=rounds), say.several(
            "the %(count)s reserve round is needed", "all %(count)s reserve rounds are needed", reserve
        )
    names = ", ".join(summary.name for summary in plan.summaries)
    return (
        say("%(rounds)s rounds and %(summaries)s", rounds=rounds, summaries=names),
        say.several(
            "the %(count)s reserve round and all repeated attempts are needed",
            "all %(count)s reserve rounds and all repeated attempts are needed",
            reserve,
        ),
    )


def _joining(plan: StudyPlan, patients: int | None, say: Language) -> Iterator[str]:
    cost = cost_of(plan)
    if cost is None:
        return
    sizes = (40, 250, 1000) if patients is None else (patients,)
    shares = ", ".join(
        say(
            "%(share)s%% for %(patients)s patients",
            share=f"{100 * noise_share(plan, patients=size):.0f}",
            patients=number_in_words(size, say),
        )
        for size in sizes
    )
    each = say("each round")
    if not plan.trains:
        each = say("the figures", context="in") if plan.validates is not None else say("the count", context="in")
    yield say(
        "WHAT JOINING COSTS: epsilon %(planned)s to %(largest)s of your data source's budget, the same for a small "
        "hospital and a large one. The noise is the same too: in %(each)s as large as the most that %(most)s patients "
        "together could add to a number (%(shares)s), so a small hospital adds more noise than knowledge. Delta "
        "%(delta)s suits up to %(cohort)s patients.",
        planned=say.figures(f"{cost.planned:.2f}"),
        largest=say.figures(f"{cost.largest:.2f}"),
        each=each,
        most=say.figures(f"{plan.privacy.noise_multiplier:.1f}"),
        shares=shares,
        delta=plainly(plan.privacy.delta, say=say),
        cohort=number_in_words(cost.largest_cohort, say),
    )
