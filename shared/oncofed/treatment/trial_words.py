"""How is a target trial said to people, before any result is known? Imports no torch."""

from __future__ import annotations

from oncofed.treatment.target_trial import TargetTrial
from oncofed.words.language import ENGLISH, Language, later
from oncofed.words.names import plain_name
from oncofed.words.numbers import plainly

SUM_WORDS = later(
    "the sum over all your patients who are compared of how each would change models of which option is chosen, of "
    "death and of being lost, which are handed to nobody"
)


def purpose_words(trial: TargetTrial, unit: str, *, say: Language = ENGLISH) -> str:
    """For whoever is asked to approve it. unit: of its times."""
    return say(
        "to compare two treatment options, for groups of patients and never for one. %(question)s %(declared)s Nobody "
        "draws lots: your hospital's policy must say show_treatment_comparison = true.",
        question=question_words(trial, unit, say=say),
        declared=declared_words(trial, say=say),
    )


def question_words(trial: TargetTrial, unit: str, *, say: Language = ENGLISH) -> str:
    """What is asked. unit: of its times."""
    who = f" ({'; '.join(trial.eligible)})" if trial.eligible else ""
    landmark = ""
    if trial.landmark:
        landmark = say(
            " and followed from %(time)s %(unit)s after it on, among those still alive and observed then",
            time=plainly(trial.landmark, say=say),
            unit=say(unit),
        )
    ends = say(" or ").join(map(plain_name, trial.outcomes))
    first, second = trial.options
    return say(
        "Of patients%(who)s who could have got either option at time zero (%(zero)s)%(landmark)s: how many more would "
        "be alive without %(ends)s at %(horizon)s %(unit)s if all had got %(second)s (second option) than if all had "
        "got %(first)s (first option)?",
        who=who,
        zero=trial.time_zero,
        landmark=landmark,
        ends=ends,
        horizon=plainly(trial.horizon, say=say),
        unit=say(unit, context="dative"),
        second=second,
        first=first,
    )


def declared_words(trial: TargetTrial, *, say: Language = ENGLISH) -> str:
    """By what it is answered: which column says who got what, and what is taken into account."""
    known_of = say(" and ").join(map(plain_name, (trial.treatment, *trial.modifiers)))
    begins = say("the landmark") if trial.landmark else say("time zero")
    sentences = [
        say("%(treatment)s says who got which.", treatment=plain_name(trial.treatment)),
        say(
            "Compared are patients of whom %(names)s are recorded, and who were under observation from %(begins)s on.",
            names=known_of,
            begins=begins,
        )
        if trial.modifiers
        else say(
            "Compared are patients of whom %(name)s is recorded, and who were under observation from %(begins)s on.",
            name=known_of,
            begins=begins,
        ),
        say("Taken into account: %(names)s.", names=", ".join(map(plain_name, trial.adjust_for))),
    ]
    if trial.modifiers:
        sentences.append(say("The effect is told apart by %(names)s.", names=_and(trial.modifiers, say)))
    if trial.negative_outcome:
        sentences.append(
            say(
                "It is held against %(name)s, which neither option can change.", name=plain_name(trial.negative_outcome)
            )
        )
    if trial.benchmark is not None:
        sentences.append(say("It is held against a randomised trial (%(source)s).", source=trial.benchmark.source))
    return " ".join(sentences)


def released_words(trial: TargetTrial, *, say: Language = ENGLISH) -> str:
    """What the one list of numbers says of a hospital's patients."""
    of_groups = say(", each by %(names)s", names=_and(trial.modifiers, say)) if trial.modifiers else ""
    told = [
        say(
            "of your patients who are compared, how many got each option, and how many lived without the event, and "
            "how long, with each, weighted by how likely they were to get either%(groups)s",
            groups=of_groups,
        ),
        say("how alike patients of both options are in what is taken into account"),
    ]
    if trial.negative_outcome:
        told.append(say("the same of %(name)s alone", name=plain_name(trial.negative_outcome)))
    if trial.benchmark is not None and trial.benchmark.eligible:
        eligible = "; ".join(trial.benchmark.eligible)
        told.append(say("the same of whom the randomised trial would have taken (%(eligible)s)", eligible=eligible))
    if trial.required:
        names = ", ".join(map(plain_name, trial.required))
        told.append(say("of how many each of these is recorded: %(names)s", names=names))
    return say(
        "%(told)s. It is answered only where the policy says show_treatment_comparison = true, and is of groups alone",
        told="; ".join(told),
    )


def _and(names: tuple[str, ...], say: Language) -> str:
    return say(" and ").join(map(plain_name, names))
