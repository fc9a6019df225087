"""Which parts of a patient's data can be taken away from a model, as if they had not been measured?

A layer is a named part of the markers that is measured or not as a whole: what a laboratory, a sequencer or a stain
gives. Here it is the columns that the model sees of it. To take it away is to put its values at the reference and to
set its missing flags, which is what `cohort.encoding` does where nothing of it was measured: a model that was trained
with layers taken away cannot tell the two apart. Nothing here knows what the layers are called. Imports no torch.

Which layers a round leaves out is public and follows from the plan's hash and the round's number, so that all hospitals
leave out the same and nobody chooses. Rounds come in blocks of one more than there are layers. A block draws one order
of the layers, and each of its rounds keeps the first so many of them: none, one, ..., all, each once, in an order that
is drawn, too. These are the coalitions over which a Shapley value is a mean (Castro, Gomez, Tejada, Computers &
Operations Research 36, 2009), in its own proportions. Each block has one round with everything, one with nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Layer:
    """Every field is public.

    columns          of the model: all that it sees of the layer, missing flags among them.
    missing_columns  which of these say that something is not recorded.
    missing_value    what such a column holds then.
    """

    name: str
    columns: tuple[int, ...]
    missing_columns: tuple[int, ...]
    missing_value: float

    def faults(self, columns: int) -> tuple[str, ...]:
        """Why a model of so many columns cannot have it, in words."""
        found = []
        if not self.columns or any(not 0 <= column < columns for column in self.columns):
            found.append(f"its layer {self.name} has columns that are not there")
        if len(set(self.columns)) < len(self.columns) or not set(self.missing_columns) <= set(self.columns):
            found.append(f"the columns of its layer {self.name} are not each named once")
        if not self.missing_columns or self.missing_value == 0:
            found.append(f"nothing says of its layer {self.name} that it was not measured")
        return tuple(found)


def layer_faults(layers: Sequence[Layer], columns: int) -> tuple[str, ...]:
    """Of all of them."""
    twice = (
        () if len({each.name for each in layers}) == len(layers) else ("its layers do not each have their own name",)
    )
    named = [column for each in layers for column in set(each.columns)]
    shared = () if len(set(named)) == len(named) else ("its layers share columns",)
    return (*twice, *shared, *(fault for each in layers for fault in each.faults(columns)))


def taken_away(layers: Sequence[Layer], *, plan_hash: str, round_: int) -> tuple[Layer, ...]:
    """Which of them are taken away in a round; in their own order. round_: 1 is the first."""
    if not layers:
        return ()
    block, place = divmod(round_ - 1, len(layers) + 1)

    def drawn(what: str) -> bytes:
        return hashlib.sha256(f"{plan_hash}:{block}:{what}".encode()).digest()

    sizes = sorted(range(len(layers) + 1), key=lambda size: drawn(f"size:{size}"))
    order = sorted(range(len(layers)), key=lambda number: drawn(f"layer:{number}"))
    kept = set(order[: sizes[place]])
    return tuple(layer for number, layer in enumerate(layers) if number not in kept)
