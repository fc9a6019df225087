"""What do the sections [assay.NAME] of a study file say: which markers are bought together, for how much?

A price is public and is no part of any plan: nothing that is trained or released follows from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from oncofed.cohort.schema import Modality, StudySchema
from oncofed.errors import Fault

MOST_ASSAYS = 8
"""2^8 sets of them are looked at, each on all patients."""


@dataclass(frozen=True)
class AssaySection:
    """Markers that are measured together, such as a panel of genes. All others are taken as known anyway."""

    markers: tuple[str, ...] = ()
    """Which, by their names in the schema. Each marker is of one assay at most."""
    modalities: tuple[Modality, ...] = ()
    """All markers of these modalities, beside those that are named."""
    price: float = 0.0
    """Of measuring one patient, in any currency, the same for all assays."""
    turnaround_days: float = 0.0
    """Until its result is there."""


@dataclass(frozen=True)
class Assay:
    """markers: of the schema, in its order."""

    name: str
    markers: tuple[str, ...]
    price: float
    days: float


def assays_of(sections: Mapping[str, AssaySection], schema: StudySchema) -> tuple[tuple[Assay, ...], list[Fault]]:
    """In the file's order; and what is wrong with them."""
    found, faults, owner = [], list[Fault](), dict[str, str]()
    known = {marker.name for marker in schema.markers}
    for name, section in sections.items():
        where = f"[assay.{name}]"
        if unknown := [each for each in section.markers if each not in known]:
            faults.append(Fault(f"{where}, markers", f'"{unknown[0]}" is no marker of the schema', "Correct the name."))
        own = tuple(
            marker.name
            for marker in schema.markers
            if marker.name in section.markers or marker.modality in section.modalities
        )
        if not own:
            faults.append(Fault(where, "has no marker of the schema", "Name its markers, or their modalities."))
        if twice := [each for each in own if each in owner]:
            what = f'shares "{twice[0]}" with [assay.{owner[twice[0]]}]'
            faults.append(Fault(where, what, "Leave it to one of them."))
        owner |= dict.fromkeys(own, name)
        found.append(Assay(name, own, section.price, section.turnaround_days))
    if len(sections) > MOST_ASSAYS:
        faults.append(Fault("[assay]", f"are {len(sections)}, above {MOST_ASSAYS}", "Put some together."))
    return tuple(found), faults
