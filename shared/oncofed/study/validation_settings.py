"""What does [validation] of a study file ask for: how good is a released model in hospitals that did not train it?

The validation is a plan of its own, with an epsilon of its own and without a round
(`plan_settings.validation_plan_from`). Which figures, and how the budget is shared between them, [held_out] says.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from oncofed.file_model import Known, Rule, Wrong
from oncofed.protocol.plan import StudyPlan
from oncofed.ranges import range_of

VALIDATION = "validation"
"""The end of the plan's name."""
_MOST_SET_ASIDE = range_of(StudyPlan, "held_out_fraction").most


def _beside(path: Path | None, known: Known) -> Path | None:
    """Whether it is there is asked when a plan is made of it: a simulation passes over it."""
    return None if path is None else (known.folder / path).resolve()


def _all_or_some(share: float | None, known: Known) -> float | None:
    if share is not None and _MOST_SET_ASIDE < share < 1:
        raise Wrong(f"lies between {_MOST_SET_ASIDE:g} and 1", "Write 1 for all patients, or 0.9 at most.")
    return share


@dataclass(frozen=True)
class ValidationRequest:
    """How hospitals that did not train a model measure it (`oncofed study sign --validation`)."""

    model: Annotated[Path | None, Rule(_beside)] = None
    """The folder of the model's package (`oncofed study package`), whose signature is checked."""
    epsilon: float = 1.0
    """What the figures may cost one patient at one hospital, all attempts together. It is charged like a study of its
    own; mode and delta are those of `[privacy]`, and in mode `none` nothing is hidden."""
    share: Annotated[float, Rule(_all_or_some)] = 1.0
    """Of each hospital's patients, on how many the model is measured: `1.0` on all. Below it up to 0.9, the hospital
    chooses them with a secret of its own."""
