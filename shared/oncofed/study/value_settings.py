"""What does the section [value] of a study file ask for: which layers of data are compared?

Modalities that the schema does not have, or of which nothing says whether they were measured, raise InvalidInput when
the plan is made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from oncofed.cohort.encoding import columns
from oncofed.cohort.schema import Modality, StudySchema
from oncofed.errors import Fault, InvalidInput
from oncofed.file_model import Known, Rule, Wrong
from oncofed.study.readiness_settings import flags_of
from oncofed.survival.layers import Layer

_WHERE = "[value], layers"


def _once(layers: tuple[Modality, ...] | None, known: Known) -> tuple[Modality, ...] | None:
    twice = [f'"{name}"' for name, times in sorted(Counter(layers or ()).items()) if times > 1]
    if twice:
        raise Wrong(f"has {', '.join(twice)} more than once", "Name each once.")
    return layers


@dataclass(frozen=True)
class ValueRequest:
    """What each kind of data is worth to the prognosis. Nothing is asked unless layers are named."""

    layers: Annotated[tuple[Modality, ...], Rule(_once)] = ()
    """The modalities that are compared. All others are taken as always known. Each needs missing flags in the schema,
    or nothing would tell a model that it was not measured."""
    dropout: bool = True
    """Whether the network is trained for it: each round takes away some of them of all patients, as if they had not
    been measured, by a public draw, so that one model answers with any of them. Without it a network is asked as it is,
    which is wrong of one that never saw patients without a layer."""


def layers_of(asked: Sequence[Modality], schema: StudySchema) -> tuple[Layer, ...]:
    """In their order. Raises InvalidInput."""
    present = {marker.modality for marker in schema.markers}
    known, flags, inputs = [each for each in Modality if each in present], flags_of(schema), columns(schema)
    found, faults = [], []
    for modality in asked:
        if modality not in present:
            remedy = f"The schema has: {', '.join(known)}."
            faults.append(Fault(_WHERE, f'"{modality}" has no marker in the schema', remedy))
            continue
        names = {modality.value, *(marker.name for marker in schema.markers if marker.modality is modality)}
        own = tuple(place for place, column in enumerate(inputs) if column.source in names)
        missing = tuple(place for place in own if place in flags)
        if not missing:
            remedy = f'Give [modality.{modality}] missing_flags of "modality" and a missing_weight above 0.'
            faults.append(Fault(_WHERE, f'nothing says of "{modality}" that it was not measured', remedy))
            continue
        found.append(Layer(modality.value, own, missing, inputs[missing[0]].weight))
    if known and set(asked) >= set(known):
        faults.append(Fault(_WHERE, "leave nothing that is always known", "Leave one modality out, such as clinical."))
    if faults:
        raise InvalidInput(faults)
    return tuple(found)
