"""What leaves a hospital under a plan, when, and how is it hidden? In words, for whoever must approve it.

Each paragraph begins with what it is about, in capitals (`plan_words`).
"""

from __future__ import annotations

from collections.abc import Iterator

from oncofed.cohort import encoding
from oncofed.cohort.schema import Kind, Modality, StudySchema
from oncofed.privacy.releases import release_of_round, release_of_summary
from oncofed.protocol.answer_times import READING
from oncofed.protocol.comparator_words import comparator_words, untold_words
from oncofed.protocol.plan import Bounding, StudyPlan, TrainingMode
from oncofed.protocol.summary_spec import SummaryKind, SummarySpec
from oncofed.treatment.trial_words import SUM_WORDS, released_words
from oncofed.words.language import ENGLISH, Language
from oncofed.words.markers import endpoint_called
from oncofed.words.names import MODALITY_NAMES
from oncofed.words.numbers import plainly


def what_leaves(plan: StudyPlan, schema: StudySchema, parameters: int, *, say: Language) -> Iterator[str]:
    """In paragraphs. parameters: how many numbers the model has."""
    if not plan.trains:
        yield from _of_counts(plan, say)
        yield from _untold(plan, schema, say)
        return
    yield _of_rounds(plan, parameters, say)
    if plan.model.time_shapes is not None:
        yield say(
            "TIME: among these numbers are those by which the hazard of each tumour entity may run over time otherwise "
            "than the others' (%(numbers)s); they are limited and noised with the rest.",
            numbers=count(plan.model.shape_parameters, say),
        )
    if plan.model.expected_weights:
        yield _expected_words(plan, schema, say)
    if plan.model.comparators:
        names = "; ".join(comparator_words(each, schema, say=say) for each in plan.model.comparators)
        yield say(
            "COMPARED WITH: among these numbers are those of simpler models of a few markers each, by which the study "
            "says what its model adds (%(names)s); they are limited and noised with the rest.",
            names=names.replace("_", " "),
        )
    if plan.model.layers:
        yield say(
            "TAKEN AWAY: each round looks at your patients as if some of these had not been measured: %(layers)s. "
            "Which, follows from this plan and the round's number alone, so that the model can do without any of them.",
            layers=_layer_names(plan, say),
        )
    after = (
        say("; after the last round, %(seconds)s s", seconds=plainly(plan.summary_answer_seconds, say=say))
        if plan.summaries
        else ""
    )
    yield say(
        "WHEN: the answer to a round leaves your hospital %(seconds)s s after its question was charged (before the "
        "first one after a start, patients are read for %(reading)s s%(after)s), however long it took. One that takes "
        "longer leaves after twice or three times as long, which tells something of how many patients you have.",
        seconds=plainly(plan.answer_seconds, say=say),
        reading=plainly(READING * plan.answer_seconds, say=say),
        after=after,
    )
    for summary in plan.summaries:
        yield say("AFTER THE LAST ROUND: %(what)s", what=_summary_words(plan, summary, say))
    yield from _untold(plan, schema, say)


def count(number: int, say: Language) -> str:
    """Its thousands apart."""
    return say.figures(f"{number:,}")


def _of_rounds(plan: StudyPlan, parameters: int, say: Language) -> str:
    if plan.target_trial is not None:
        made = say(SUM_WORDS)
    elif plan.training.mode is TrainingMode.FULL_BATCH:
        made = (
            say("the sum over all your patients but those set aside of how each would change the model")
            if plan.held_out_fraction
            else say("the sum over all your patients of how each would change the model")
        )
    else:
        made = (
            say("the model after some steps of training on your patients but those set aside")
            if plan.held_out_fraction
            else say("the model after some steps of training on your patients")
        )
    leaves = say(
        "WHAT LEAVES: in each of %(rounds)s rounds one list of %(numbers)s numbers: %(made)s%(calibrated)s, "
        "%(noised)s%(stopped)s.",
        rounds=plan.training.rounds,
        numbers=count(parameters, say),
        made=made,
        calibrated=_calibration_words(plan, say),
        noised=release_of_round(plan).noise_words(say),
        stopped=_stopped_words(plan, say),
    )
    rest = (
        say(
            "After the last round, what the next paragraph names. Else only fixed words: approved, refused, and why. "
            "No other count, no name, no text of yours."
        )
        if plan.summaries
        else say("Else only fixed words: approved, refused, and why. No count, no name, no text of yours.")
    )
    return f"{leaves} {rest}"


def _untold(plan: StudyPlan, schema: StudySchema, say: Language) -> Iterator[str]:
    if untold := untold_words(plan, schema, say=say):
        yield say("WHO COUNTS: %(untold)s", untold=untold)


def _expected_words(plan: StudyPlan, schema: StudySchema, say: Language) -> str:
    """Of the markers that the model does start from: a column that is multiplied by 0 has no weight to start from."""
    inputs, by_source = encoding.columns(schema), dict[str, list[str]]()
    starts = {column.source for column, weight in zip(inputs, plan.model.expected_weights, strict=False) if weight}
    for marker in schema.markers:
        ratios = marker.expected_log_hazard_ratios if marker.name in starts else ()
        name = marker.label_in(say.code) or marker.name
        if marker.kind is Kind.CATEGORICAL:
            each = [
                f"{marker.category_label_in(say.code, category) or category} {plainly(ratio, say=say)}"
                for category, ratio in zip(marker.categories, ratios, strict=False)
                if ratio
            ]
            told = f"{name} ({', '.join(each)})"
        elif ratios:
            step = f"{plainly(marker.scale, say=say)} {say(marker.unit)}".rstrip()
            told = say("%(name)s %(ratio)s for %(step)s", name=name, ratio=plainly(ratios[0], say=say), step=step)
        else:
            told = ""
        if ratios:
            by_source.setdefault(marker.expected_source, []).append(told)
    effects = "; ".join(
        say("%(told)s (source: %(source)s)", told=", ".join(told), source=source) for source, told in by_source.items()
    )
    return say(
        "STARTS FROM what was published of %(endpoint)s, as logarithms of hazard ratios, and weight decay pulls to it: "
        "%(effects)s. Nothing of it comes from a table, and no limit or noise changes by it.",
        endpoint=endpoint_name(schema, plan.model.endpoints[0], say),
        effects=effects,
    )


def endpoint_name(schema: StudySchema, name: str, say: Language) -> str:
    """In English as the schema names it."""
    return name.replace("_", " ") if say.code == ENGLISH.code else endpoint_called(schema, name, say=say)


def _of_counts(plan: StudyPlan, say: Language) -> Iterator[str]:
    model = plan.validates
    if model is not None:
        own = model.coordinator_public_key == plan.coordinator_public_key
        signer = (
            say("this coordinator")
            if own
            else say("another coordinator, of key %(key)s", key=model.coordinator_public_key)
        )
        yield say(
            "THE MODEL: file %(file)s, signed by %(signer)s and trained, as the coordinator says, by the plan %(plan)s"
            ". Nobody can tell a trained model from other numbers by looking at them. Your guard answers no question "
            "about any other. If the data source was approved for that plan, or charged for it, your guard refuses "
            "this one: on patients whom it learned from a model looks better than it is.",
            file=model.sha256,
            signer=signer,
            plan=model.plan_hash,
        )
    for summary in plan.summaries:
        yield say("WHAT LEAVES: %(what)s No model is trained, and none comes.", what=_summary_words(plan, summary, say))
    if model is not None and plan.privacy.shares is None:
        yield say(
            "BY HOSPITAL: these figures are told of each hospital by its name, since each sends numbers of its own."
        )
    yield say(
        "Else only fixed words: approved, refused, and why. No other count, no name, no text of yours. WHEN: the "
        "answer leaves your hospital %(seconds)s s after its question was charged (before it, patients are read for "
        "%(reading)s s), however long it took. One that takes longer leaves after twice or three times as long, which "
        "tells something of how many patients you have.",
        seconds=plainly(plan.summary_answer_seconds, say=say),
        reading=plainly(READING * plan.answer_seconds, say=say),
    )


def _calibration_words(plan: StudyPlan, say: Language) -> str:
    rounds = plan.training.calibration_rounds if plan.training.calibration_round(plan.training.rounds) else 0
    if not rounds:
        return ""
    if plan.model.entity_levels is not None:
        return say(
            " (in the last %(rounds)s instead sums of expected and observed events of all patients, also weighted with "
            "the predicted risk, by interval of time, and by tumour entity, by which the model's risks are set right)",
            rounds=rounds,
        )
    return say(
        " (in the last %(rounds)s instead sums of expected and observed events, also weighted with the predicted risk, "
        "by which the model's risks are set right as a whole)",
        rounds=rounds,
    )


def _stopped_words(plan: StudyPlan, say: Language) -> str:
    if plan.privacy.bounding is not Bounding.STOPPED or plan.privacy.l2_norm_bound is None:
        return ""
    return say(
        " (a patient's follow-up counts up to where the model expects %(events)s events of that patient, and the limit "
        "is kept by a weight that follows from the markers and not from the outcome)",
        events=plainly(plan.privacy.hazard_cap, say=say),
    )


def _summary_words(plan: StudyPlan, summary: SummarySpec, say: Language) -> str:
    times = (
        say("once")
        if summary.attempts == 1
        else say("once, or up to %(attempts)s times if an answer is lost", attempts=summary.attempts)
    )
    words = say(
        "%(times)s, as %(name)s, one list of %(numbers)s numbers: %(what)s, %(noised)s.",
        times=times,
        name=f'"{summary.name}"',
        numbers=count(summary.cells, say),
        what=_counted_words(plan, summary, say),
        noised=release_of_summary(plan, summary).noise_words(say),
    )
    if not plan.held_out_fraction:
        return words
    share = f"{100 * plan.held_out_fraction:.0f}"
    set_aside = (
        say(
            "Set aside are %(share)s%% of your patients, chosen by your hospital with a secret of its own; no round "
            "trains on them.",
            share=share,
        )
        if plan.trains
        else say(
            "Set aside are %(share)s%% of your patients, chosen by your hospital with a secret of its own.", share=share
        )
    )
    return f"{words} {set_aside}"


def _counted_words(plan: StudyPlan, summary: SummarySpec, say: Language) -> str:  # noqa: PLR0911 - one kind a case
    """Of which patients, and what of them."""
    whose = say("all your patients", context="of") if plan.measures_everybody else say("the patients set aside")
    windows, cap = len(summary.time_bounds) - 1, plainly(plan.privacy.hazard_cap, say=say)
    match summary.kind:
        case SummaryKind.EVALUATION:
            return say(
                "how many of %(whose)s fall into each of so many groups of predicted risk, time of follow-up and "
                "outcome",
                whose=whose,
            )
        case SummaryKind.TIME_AT_RISK:
            return say(
                "how many of %(whose)s fall into each of so many groups of predicted risk, and how long these were "
                "under observation and how many events came in each of %(times)s times",
                whose=whose,
                times=windows,
            )
        case SummaryKind.CALIBRATION:
            groups = (
                say(" and %(groups)s groups of tumours", groups=1 + len(summary.group_columns))
                if summary.group_columns
                else ""
            )
            return say(
                "of %(whose)s, how many events came and how many the model expected, from when each came under "
                "observation, in %(windows)s windows of time%(groups)s, also weighted with the predicted risk (a "
                "patient's follow-up counts up to where the model expects %(events)s events of that patient)",
                whose=whose,
                windows=windows,
                groups=groups,
                events=cap,
            )
        case SummaryKind.COMPARISON:
            return say(
                "of %(whose)s, how much likelier what happened is under the model than under each of the simpler "
                "models, the squares of that, how many patients have their scores recorded, as far as the schema's "
                "missing flags tell, how many are held, and how many there are (%(held)s)",
                whose=whose,
                held=_held_words(plan, summary, say),
            )
        case SummaryKind.VALUE:
            return say(
                "of %(whose)s of whom all of these were measured (%(layers)s), how much likelier what happened is "
                "under the model by all, by each alone and without each, and the squares of that; and how many these "
                "patients are, their events and their mean risk by what is always known, those of the others, and how "
                "many are held (%(held)s)",
                whose=whose,
                layers=_layer_names(plan, say),
                held=_held_words(plan, summary, say),
            )
        case SummaryKind.KEY_MARKERS:
            return say(
                "for how many of your patients each marker is among those that move the model's prognosis most, in "
                "which direction, and by tumour entity"
            )
        case SummaryKind.INTERACTIONS:
            return say(
                "for how many of your patients each pair of markers is among those that the model lets act together "
                "most"
            )
        case SummaryKind.READINESS:
            return say(
                "how many patients you have, in how many of them each outcome was seen, and in how many each marker "
                "was measured (%(markers)s markers or groups of markers)",
                markers=count(len(summary.group_columns), say),
            )
        case SummaryKind.OPTIONS:
            return "" if plan.target_trial is None else released_words(plan.target_trial, say=say)


def _held_words(plan: StudyPlan, summary: SummarySpec, say: Language) -> str:
    return say(
        "a patient's follow-up counts up to where a model expects %(events)s events of that patient, and all gains of "
        "a patient together are held within %(within)s natural logarithms, by the markers and not by the outcome",
        events=plainly(plan.privacy.hazard_cap, say=say),
        within=", ".join(plainly(edge, say=say) for edge in summary.edges),
    )


def _layer_names(plan: StudyPlan, say: Language) -> str:
    return ", ".join(_layer_name(each.name, say) for each in plan.model.layers)


def _layer_name(name: str, say: Language) -> str:
    """A kind of data, or a word of the plan."""
    if say.code == ENGLISH.code or name not in list(Modality):
        return name.replace("_", " ")
    return say(MODALITY_NAMES[Modality(name)])
