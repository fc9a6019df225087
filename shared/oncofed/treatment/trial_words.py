"""How is a target trial said to people, before any result is known? Imports no torch."""

from __future__ import annotations

from oncofed.treatment.target_trial import TargetTrial
from oncofed.words.language import ENGLISH, Language
from oncofed.words.names import plain_name
from oncofed.words.numbers import plainly

PATIENTS_WORDS = "patients who could have got either option"
SUM_WORDS = (
    "the sum over all your patients who are compared of how each would change models of which option is chosen, of "
    "death and of being lost, which are handed to nobody"
)


def purpose_words(trial: TargetTrial, unit: str) -> str:
    """For whoever is asked to approve it. unit: of its times."""
    return (
        "to compare two treatment options, for groups of patients and never for one. "
        f"{question_words(trial, unit)} {declared_words(trial)} Nobody draws lots: your hospital's policy must say "
        "show_treatment_comparison = true."
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


def declared_words(trial: TargetTrial) -> str:
    """By what it is answered: which column says who got what, and what is taken into account."""
    name, named = plain_name(trial.treatment), ", ".join(map(plain_name, trial.adjust_for))
    apart = f" The effect is told apart by {' and '.join(map(plain_name, trial.modifiers))}." if trial.modifiers else ""
    held_against = (
        f" It is held against {plain_name(trial.negative_outcome)}, which neither option can change."
        if trial.negative_outcome
        else ""
    )
    known = trial.benchmark
    benchmark = f" It is held against a randomised trial ({known.source})." if known is not None else ""
    known_of = " and ".join(map(plain_name, (trial.treatment, *trial.modifiers)))
    begins = "the landmark" if trial.landmark else "time zero"
    compared = f" Compared are patients of whom {known_of} {'are' if trial.modifiers else 'is'} recorded, and who were"
    return (
        f"{name} says who got which.{compared} under observation from {begins} on. Taken into account: "
        f"{named}.{apart}{held_against}{benchmark}"
    )


def released_words(trial: TargetTrial) -> str:
    """What the one list of numbers says of a hospital's patients."""
    of_groups = f", each by {' and '.join(map(plain_name, trial.modifiers))}" if trial.modifiers else ""
    told = [
        f"of your patients who are compared, how many got each option, and how many lived without the event, and how "
        f"long, with each, weighted by how likely they were to get either{of_groups}",
        "how alike patients of both options are in what is taken into account",
    ]
    if trial.negative_outcome:
        told.append(f"the same of {plain_name(trial.negative_outcome)} alone")
    if trial.benchmark is not None and trial.benchmark.eligible:
        told.append(f"the same of whom the randomised trial would have taken ({'; '.join(trial.benchmark.eligible)})")
    if trial.required:
        told.append(f"of how many each of these is recorded: {', '.join(map(plain_name, trial.required))}")
    return (
        f"{'; '.join(told)}. It is answered only where the policy says show_treatment_comparison = true, and is of "
        "groups alone"
    )
