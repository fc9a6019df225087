"""Of which time are a model's hazard ratios, in words?"""

from __future__ import annotations

from itertools import pairwise

from oncofed.protocol.plan import ModelSpec
from oncofed.words.language import ENGLISH, Language


def when_words(model: ModelSpec, *, say: Language = ENGLISH) -> str:
    """Two sentences; "" where hazard ratios are of all times alike."""
    shapes, grid = model.time_shapes, model.grid
    if shapes is None:
        return ""
    unit = say(grid.unit, context="dative")
    held = [(begin, end) for begin, end in pairwise(grid.bounds) if begin < shapes.centre <= end]
    if held:
        begin, end = (say.figures(f"{each:g}") for each in held[0])
        first = say(
            "Hazard ratios are of the time from %(begin)s to %(end)s %(unit)s.", begin=begin, end=end, unit=unit
        )
    else:
        at = say.figures(f"{shapes.centre:g}")
        first = say("Hazard ratios are of the time at %(at)s %(unit)s.", at=at, unit=unit)
    then = say("Before and after, the hazards of tumour types run differently, which only the risks and curves show.")
    return f"{first} {then}"
