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

from oncofed.cohort import encoding
from oncofed.cohort.schema import Kind, StudySchema
from oncofed.privacy.accounting import epsilon_of
from oncofed.privacy.mask_graph import graph_of
from oncofed.privacy.policy import of_two_hospitals, planned_releases_of, releases_of
from oncofed.privacy.releases import largest_patients, release_of_round, release_of_summary
from oncofed.protocol.answer_times import READING
from oncofed.protocol.comparator_words import comparator_words, untold_words
from oncofed.protocol.plan import Bounding, StudyPlan, TrainingMode
from oncofed.protocol.summary_spec import SummaryKind, SummarySpec
from oncofed.ranges import unusual
from oncofed.treatment.trial_words import PATIENTS_WORDS, SUM_WORDS, purpose_words, released_words

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
    plan: StudyPlan, schema: StudySchema, *, parameters: int, columns: int = _WIDTH, patients: int | None = None
) -> str:
    """parameters: how many numbers the model has. patients: the hospital's own number, which goes nowhere.

    columns  of the terminal: a line that it breaks would go on where paragraphs begin, and a text of the plan could
             look like one.
    """
    paragraphs = [
        *_purpose(plan, schema),
        *_what_leaves(plan, schema, parameters),
        *_promise(plan),
        *_joining(plan, patients),
    ]
    paragraphs += _unusual(plan, schema)
    told = (
        f"and in which rounds it answered; whatever {_TOLD_BY_ROUNDS[plan.makes_model]} in general"
        if plan.trains
        else f"and that it answered; {_TOLD_WITHOUT_ROUNDS[plan.validates is not None]}"
    )
    paragraphs += [
        f"NOT PROTECTED: that your hospital takes part, {told}; a patient's data at other hospitals, unless counted as "
        "above.",
        f"PUBLISHED: {'; '.join(plan.released) or 'nothing was named'}.",
        f"Plan {plan.hash}",
    ]
    return "\n\n".join(_filled(paragraph, min(_WIDTH, columns)) for paragraph in paragraphs)


_TOLD_BY_ROUNDS = {True: "the final model says of cancer patients", False: f"the comparison says of {PATIENTS_WORDS}"}
_TOLD_WITHOUT_ROUNDS = {
    True: "how well the model does on the patients of all hospitals together, and, where each hospital's noise is its "
    "own, on yours",
    False: "whatever the counts say of the patients of all hospitals together",
}


def _filled(paragraph: str, width: int) -> str:
    """In lines of as many places. Where Unicode leaves it open how many a character takes, it takes two."""
    wide = "".join(each + _FILLER if east_asian_width(each) in "WFA" else each for each in paragraph)
    # One place less: a character and its filler may be parted by a line's end.
    return textwrap.fill(wide, max(width, _NARROWEST) - 1, subsequent_indent="  ").replace(_FILLER, "")


_NARROWEST = 20


def _purpose(plan: StudyPlan, schema: StudySchema) -> Iterator[str]:
    endpoints = ", ".join(plan.model.endpoints).replace("_", " ")
    listed = ", ".join(f"{count} {name}" for name, count in _counted(schema).items())
    markers = f"{len(schema.markers)} markers ({listed})"
    if plan.target_trial is not None:
        yield f"STUDY {plan.study}: {purpose_words(plan.target_trial, schema.grid.unit)}"
    purpose = "to count, before a study and without training anything, who is there for"
    if plan.trains:
        purpose = "to predict"
    elif plan.validates is not None:
        purpose = "to measure, in hospitals that did not train it, a model that predicts"
    if plan.target_trial is None:
        yield f"STUDY {plan.study}: {purpose} {endpoints} of cancer patients from {markers}."
    counts = "A round counts" if plan.trains else "It is done"
    yield (
        f"WHO: {len(plan.roster)} hospitals ({', '.join(plan.roster)}). {counts} when {plan.quorum} of them answer. "
        "Each keeps its table; no patient's row leaves a hospital."
    )


def _unusual(plan: StudyPlan, schema: StudySchema) -> Iterator[str]:
    found = [*unusual(plan), *(f"schema {each}" for each in unusual(schema))]
    if found:
        more = f"; and {len(found) - _MOST_UNUSUAL} more" if len(found) > _MOST_UNUSUAL else ""
        yield (
            "UNUSUAL: these public constants are allowed, and other than in most studies. Ask why: "
            f"{'; '.join(found[:_MOST_UNUSUAL])}{more}."
        )


_MOST_UNUSUAL = 40


def _counted(schema: StudySchema) -> dict[str, int]:
    counts: dict[str, int] = {}
    for marker in schema.markers:
        name = marker.modality.value.replace("_", " ")
        counts[name] = counts.get(name, 0) + 1
    return counts


def _what_leaves(plan: StudyPlan, schema: StudySchema, parameters: int) -> Iterator[str]:
    if not plan.trains:
        yield from _what_leaves_of_counts(plan)
        yield from _untold(plan, schema)
        return
    but = " but those set aside" if plan.held_out_fraction else ""
    made = (
        f"the sum over all your patients{but} of how each would change the model"
        if plan.training.mode is TrainingMode.FULL_BATCH
        else f"the model after some steps of training on your patients{but}"
    )
    if plan.target_trial is not None:
        made = SUM_WORDS
    noised = release_of_round(plan).noise_words + _stopped_words(plan)
    yield (
        f"WHAT LEAVES: in each of {plan.training.rounds} rounds one list of {parameters:,} numbers: {made}"
        f"{_calibration_words(plan)}, {noised}. "
        f"{_BESIDE_SUMMARIES if plan.summaries else ''}Else only fixed words: approved, refused, and why. "
        f"No {'other ' if plan.summaries else ''}count, no name, no text of yours."
    )
    if plan.model.time_shapes is not None:
        yield (
            "TIME: among these numbers are those by which the hazard of each tumour entity may run over time otherwise "
            f"than the others' ({plan.model.shape_parameters:,}); they are limited and noised with the rest."
        )
    if plan.model.expected_weights:
        yield _expected_words(plan, schema)
    if plan.model.comparators:
        names = "; ".join(comparator_words(each, schema) for each in plan.model.comparators).replace("_", " ")
        yield (
            "COMPARED WITH: among these numbers are those of simpler models of a few markers each, by which the study "
            f"says what its model adds ({names}); they are limited and noised with the rest."
        )
    if plan.model.layers:
        yield (
            "TAKEN AWAY: each round looks at your patients as if some of these had not been measured: "
            f"{_layer_names(plan)}. Which, "
            "follows from this plan and the round's number alone, so that the model can do without any of them."
        )
    yield (
        f"WHEN: the answer to a round leaves your hospital {plan.answer_seconds:g} s after its question was "
        f"charged (before the first one after a start, patients are read for {READING * plan.answer_seconds:g} s"
        f"{_of_summaries(plan)}), however long it took. One that "
        "takes longer leaves after twice or three times as long, which tells something of how many patients you have."
    )
    for summary in plan.summaries:
        yield f"AFTER THE LAST ROUND: {_summary_words(plan, summary)}"
    yield from _untold(plan, schema)


def _untold(plan: StudyPlan, schema: StudySchema) -> Iterator[str]:
    if untold := untold_words(plan, schema):
        yield f"WHO COUNTS: {untold}"


def _expected_words(plan: StudyPlan, schema: StudySchema) -> str:
    """Of the markers that the model does start from: a column that is multiplied by 0 has no weight to start from."""
    inputs, by_source = encoding.columns(schema), dict[str, list[str]]()
    starts = {column.source for column, weight in zip(inputs, plan.model.expected_weights, strict=False) if weight}
    for marker in schema.markers:
        ratios = marker.expected_log_hazard_ratios if marker.name in starts else ()
        if marker.kind is Kind.CATEGORICAL:
            each = [f"{name} {ratio:g}" for name, ratio in zip(marker.categories, ratios, strict=False) if ratio]
            told = f"{marker.name} ({', '.join(each)})"
        else:
            told = f"{marker.name} {ratios[0]:g} for {marker.scale:g} {marker.unit}".rstrip() if ratios else ""
        if ratios:
            by_source.setdefault(marker.expected_source, []).append(told)
    effects = "; ".join(f"{', '.join(told)} (source: {source})" for source, told in by_source.items())
    return (
        f"STARTS FROM what was published of {plan.model.endpoints[0].replace('_', ' ')}, as logarithms of hazard "
        f"ratios, and weight decay pulls to it: {effects}. Nothing of it comes from a table, and no limit or noise "
        "changes by it."
    )


def _what_leaves_of_counts(plan: StudyPlan) -> Iterator[str]:
    model = plan.validates
    if model is not None:
        own = model.coordinator_public_key == plan.coordinator_public_key
        signer = "this coordinator" if own else f"another coordinator, of key {model.coordinator_public_key}"
        yield (
            f"THE MODEL: file {model.sha256}, signed by {signer} and trained, as the coordinator says, by the "
            f"plan {model.plan_hash}. Nobody can tell a trained model from other numbers by looking at them. Your "
            "guard answers no question about any other. If the data source was approved for that plan, or charged for "
            "it, your guard refuses this one: on patients whom it learned from a model looks better than it is."
        )
    for summary in plan.summaries:
        yield f"WHAT LEAVES: {_summary_words(plan, summary)} No model is trained, and none comes."
    if model is not None and plan.privacy.shares is None:
        yield "BY HOSPITAL: these figures are told of each hospital by its name, since each sends numbers of its own."
    yield (
        "Else only fixed words: approved, refused, and why. No other count, no name, no text of yours. WHEN: the "
        f"answer leaves your hospital {plan.summary_answer_seconds:g} s after its question was charged (before it, "
        f"patients are read for {READING * plan.answer_seconds:g} s), however long it took. One that takes longer "
        "leaves after twice or three times as long, which tells something of how many patients you have."
    )


def _calibration_words(plan: StudyPlan) -> str:
    count = plan.training.calibration_rounds if plan.training.calibration_round(plan.training.rounds) else 0
    if not count:
        return ""
    if plan.model.entity_levels is not None:
        return (
            f" (in the last {count} instead sums of expected and observed events of all patients, also weighted with "
            "the predicted risk, by interval of time, and by tumour entity, by which the model's risks are set right)"
        )
    return (
        f" (in the last {count} instead sums of expected and observed events, also weighted with the predicted risk, "
        "by which the model's risks are set right as a whole)"
    )


def _stopped_words(plan: StudyPlan) -> str:
    if plan.privacy.bounding is not Bounding.STOPPED or plan.privacy.l2_norm_bound is None:
        return ""
    return (
        f" (a patient's follow-up counts up to where the model expects {plan.privacy.hazard_cap:g} events of that "
        "patient, and the limit is kept by a weight that follows from the markers and not from the outcome)"
    )


def _of_summaries(plan: StudyPlan) -> str:
    return f"; after the last round, {plan.summary_answer_seconds:g} s" if plan.summaries else ""


_BESIDE_SUMMARIES = "After the last round, what the next paragraph names. "


def _summary_words(plan: StudyPlan, summary: SummarySpec) -> str:
    times = "once" if summary.attempts == 1 else f"once, or up to {summary.attempts} times if an answer is lost"
    whose = "all your patients" if plan.measures_everybody else "the patients set aside"
    what = {
        SummaryKind.EVALUATION: (
            f"how many of {whose} fall into each of so many groups of predicted risk, time of follow-up and outcome"
        ),
        SummaryKind.TIME_AT_RISK: (
            f"how many of {whose} fall into each of so many groups of predicted risk, and how long these were under "
            f"observation and how many events came in each of {len(summary.time_bounds) - 1} times"
        ),
        SummaryKind.CALIBRATION: (
            f"of {whose}, how many events came and how many the model expected, from when each came "
            f"under observation, in {len(summary.time_bounds) - 1} windows of time"
            + (f" and {1 + len(summary.group_columns)} groups of tumours" if summary.group_columns else "")
            + ", also weighted with the predicted risk (a patient's follow-up counts up to where the model expects "
            f"{plan.privacy.hazard_cap:g} events of that patient)"
        ),
        SummaryKind.COMPARISON: (
            f"of {whose}, how much likelier what happened is under the model than under each of the simpler models, "
            "the squares of that, how many patients have their scores recorded, as far as the schema's missing flags "
            f"tell, how many are held, and how many there are ({_held_words(plan, summary)})"
        ),
        SummaryKind.VALUE: (
            f"of {whose} of whom all of these were measured ({_layer_names(plan)}), how much likelier what happened is "
            "under the model by all, by each alone and without each, and the squares of that; and how many these "
            "patients are, their events and their mean risk by what is always known, those of the others, and how many "
            f"are held ({_held_words(plan, summary)})"
        ),
        SummaryKind.KEY_MARKERS: (
            "for how many of your patients each marker is among those that move the model's prognosis most, in which "
            "direction, and by tumour entity"
        ),
        SummaryKind.INTERACTIONS: (
            "for how many of your patients each pair of markers is among those that the model lets act together most"
        ),
        SummaryKind.READINESS: (
            "how many patients you have, in how many of them each outcome was seen, and in how many each marker was "
            f"measured ({len(summary.group_columns):,} markers or groups of markers)"
        ),
        SummaryKind.OPTIONS: "" if plan.target_trial is None else released_words(plan.target_trial),
    }[summary.kind]
    set_aside = (
        f" Set aside are {plan.held_out_fraction:.0%} of your patients, chosen by your hospital with a secret of its "
        f"own{'; no round trains on them' if plan.trains else ''}."
        if plan.held_out_fraction
        else ""
    )
    noised = release_of_summary(plan, summary).noise_words
    return f'{times}, as "{summary.name}", one list of {summary.cells:,} numbers: {what}, {noised}.{set_aside}'


def _held_words(plan: StudyPlan, summary: SummarySpec) -> str:
    within = ", ".join(f"{edge:g}" for edge in summary.edges)
    return (
        f"a patient's follow-up counts up to where a model expects {plan.privacy.hazard_cap:g} events of that patient, "
        f"and all gains of a patient together are held within {within} natural logarithms, by the markers and not by "
        "the outcome"
    )


def _layer_names(plan: StudyPlan) -> str:
    return ", ".join(each.name for each in plan.model.layers).replace("_", " ")


def _promise(plan: StudyPlan) -> Iterator[str]:
    cost = cost_of(plan)
    if cost is None:
        yield (
            "PROMISE TO A PATIENT: none. Mode `none` adds no noise; with crafted models most patients of a small "
            "hospital could be read back from their sum. Approve it only for data that may be public."
        )
        return
    reserve = plan.privacy.reserve_rounds
    planned = f"{plan.training.rounds} rounds{_and_summaries(plan)}"
    repeated = f"all {reserve} reserve rounds{' and all repeated attempts' if plan.summaries else ''}"
    if not plan.trains:
        planned, repeated = _of_it(plan), "all repeated attempts"
    yield (
        f"PROMISE TO A PATIENT: epsilon {cost.planned:.2f} at delta {plan.privacy.delta:g} after "
        f"{planned}; {cost.largest:.2f} if {repeated} are needed, never more. "
        "Unit: one patient of one hospital; compared: your data with that patient and without. In words: whatever "
        "anybody concludes from all that leaves, they would conclude nearly as likely had the patient stayed away; no "
        "event becomes more "
        f"than {math.exp(cost.largest):.1f} times as likely, but for a chance of {plan.privacy.delta:g}."
    )
    shares = plan.privacy.shares
    if shares is not None:
        yield (
            f"WHOM YOU TRUST: the noise of a sum is shared. The promise holds against the coordinator together with "
            f"up to {shares.colluding} of the other hospitals, as long as the others add their shares; sums of fewer "
            f"than {plan.smallest_roster} hospitals are never made. The coordinator wrote this plan, so a hospital "
            f"whose card nobody here has compared counts as one of those {shares.colluding}. The noise of the sum is "
            f"at least {plan.privacy.noise_multiplier:.3g} times the limit.{_of_neighbours(plan)}"
        )
    yield (
        f"TWO HOSPITALS: a patient whom two of the hospitals treat is counted in both: epsilon up to "
        f"{cost.two_hospitals:.2f}."
    )


def _of_neighbours(plan: StudyPlan) -> str:
    """What masks along a circle change; nothing where each hospital masks with all others."""
    shares, graph = plan.privacy.shares, graph_of(plan)
    if shares is None or graph.reaches_all(len(plan.roster)):
        return ""
    return (
        f" Each hospital masks its part with {2 * graph.steps} others and not with all, which hides as much from the "
        f"coordinator and up to {shares.colluding} hospitals, whichever they are. But {2 * graph.steps} hospitals that "
        f"happen to be all of one's neighbours see, with the coordinator, its part with its own share of the noise "
        f"alone, one of {shares.guaranteed_shares}; who they are follows from the plan and all masking keys."
    )


def _of_it(plan: StudyPlan) -> str:
    """What a plan without rounds consists of."""
    return "the figures" if plan.validates is not None else "the count"


def _and_summaries(plan: StudyPlan) -> str:
    return f" and {', '.join(summary.name for summary in plan.summaries)}" if plan.summaries else ""


def _joining(plan: StudyPlan, patients: int | None) -> Iterator[str]:
    cost = cost_of(plan)
    if cost is None:
        return
    sizes = (40, 250, 1000) if patients is None else (patients,)
    shares = ", ".join(f"{noise_share(plan, patients=size):.0%} for {size:,} patients" for size in sizes)
    each = "each round" if plan.trains else _of_it(plan)
    yield (
        f"WHAT JOINING COSTS: epsilon {cost.planned:.2f} to {cost.largest:.2f} of your data source's budget, the same "
        f"for a small hospital and a large one. The noise is the same too: in {each} as large as the most that "
        f"{plan.privacy.noise_multiplier:.1f} patients together could add to a number ({shares}), so a small hospital "
        f"adds more noise than knowledge. Delta {plan.privacy.delta:g} suits up to {cost.largest_cohort:,} patients."
    )
