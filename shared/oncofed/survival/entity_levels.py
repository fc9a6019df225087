"""Which columns tell the tumour entity, so that calibration rounds may set the level of each entity right?

With one level for everybody, a model under noise may be right on the whole and tell all patients of one tumour twice
their risk: the few numbers that tell the tumour share a patient's bound with all other markers, and get little of it.
Imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EntityLevels:
    """What a plan says of them. Both are public.

    entity_columns  the model's columns of the tumour entity's categories after the reference one.
    encoded         the value of such a column of a patient of that entity: the public weight of its marker.
    """

    entity_columns: tuple[int, ...]
    encoded: float

    @property
    def entities(self) -> int:
        """The reference one and unknown ones together are the first."""
        return len(self.entity_columns) + 1

    def faults(self, columns: int, *, linear_branch: bool) -> tuple[str, ...]:
        """Why a model of so many columns cannot have them, in words."""
        found = []
        if not self.entity_columns or any(not 0 <= column < columns for column in self.entity_columns):
            found.append("its levels look for tumour entities in columns that are not there")
        if not linear_branch:
            found.append("its levels of tumour entities have no linear branch to stand in")
        return tuple(found)
