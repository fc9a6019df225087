"""Of which time are a model's hazard ratios, in words?"""

from __future__ import annotations

from itertools import pairwise

from oncofed.protocol.plan import ModelSpec


def when_words(model: ModelSpec) -> str:
    """Two sentences; "" where hazard ratios are of all times alike."""
    shapes, grid = model.time_shapes, model.grid
    if shapes is None:
        return ""
    held = [f"from {begin:g} to {end:g}" for begin, end in pairwise(grid.bounds) if begin < shapes.centre <= end]
    return (
        f"Hazard ratios are of the time {held[0] if held else f'at {shapes.centre:g}'} {grid.unit}. Before and after, "
        "the hazards of tumour types run differently, which only the risks and curves show."
    )
