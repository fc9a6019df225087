"""How is a target trial said to people, before any result is known? Imports no torch."""

from __future__ import annotations

from oncofed.treatment.target_trial import TargetTrial
from oncofed.words.names import plain_name


def question_words(trial: TargetTrial, unit: str) -> str:
    """What is asked. unit: of its times."""
    who = f" ({'; '.join(trial.eligible)})" if trial.eligible else ""
    landmark = (
        f" and followed from {trial.landmark:g} {unit} after it on, among those still alive and observed then"
        if trial.landmark
        else ""
    )
    ends = " or ".join(map(plain_name, trial.outcomes))
    first, second = trial.options
    return (
        f"Of patients{who} who could have got either option at time zero ({trial.time_zero}){landmark}: how many more "
        f"would be alive without {ends} at {trial.horizon:g} {unit} if all had got {second} (second option) than if "
        f"all had got {first} (first option)?"
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
    return f"{name} says who got which. Taken into account: {named}.{apart}{held_against}{benchmark}"
