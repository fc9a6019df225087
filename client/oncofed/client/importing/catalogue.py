"""Which markers might a study of cancer patients begin with, and what is publicly known of each?

350 of them, chosen from units and medical knowledge before anybody looked at a table: demographics and history,
performance, vital signs, tumour and stage, comorbidities, earlier treatment, laboratory values, tumour markers, body
composition from CT, genes. The list is this project's own, after the kinds of marker of a published pan-cancer system
(Keyl et al., Nature Cancer 2025), and not that system's list. Laboratory values come from the table of analytes alone;
all others stand in `catalogue.toml`. A schema of all of them is a schema: each text that `catalogue_schema` returns is
accepted by `oncofed.cohort.schema_file`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from oncofed.client.importing.analytes import ANALYTES, Analyte, shipped
from oncofed.client.importing.proposed_schema import analyte_marker, head_lines, marker_lines, quoted
from oncofed.cohort.schema import Kind, Marker, Modality


class Group(StrEnum):
    """What a marker is about; finer than its modality."""

    DEMOGRAPHICS = "demographics"
    PERFORMANCE = "performance"
    VITAL_SIGNS = "vital_signs"
    TUMOUR = "tumour"
    HISTORY = "history"
    COMORBIDITY = "comorbidity"
    TREATMENT = "treatment"
    LABORATORY = "laboratory"
    TUMOUR_MARKERS = "tumour_markers"
    BODY_COMPOSITION = "body_composition"
    GENES = "genes"


@dataclass(frozen=True)
class CatalogueMarker:
    """One marker.

    analyte    of a laboratory value: its row in the table of analytes.
    loinc      codes, each looked up in a public list (`looked_up`, as of an analyte).
    elsewhere  units in which hospitals tell it, too; usual: where nearly all patients lie, in the marker's unit. Both
               of a value that is no analyte, where units are mixed up in practice.
    """

    marker: Marker
    group: Group
    analyte: Analyte | None = None
    loinc: tuple[str, ...] = ()
    looked_up: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()
    usual: tuple[float, float] | None = None


_FILE = shipped("catalogue.toml")
_ENTITY = "tumour_entity"
_OF_THE_CATALOGUE = ("name", "names", "group", "loinc", "elsewhere", "usual", "modality", "kind")


def _listed(section: Mapping[str, Any]) -> Iterator[CatalogueMarker]:
    """Of a section of the file. A key that is misspelt is an error."""
    codes = section.get("loinc", {})
    constants: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in section.items()
        if key not in _OF_THE_CATALOGUE
    }
    for name in section.get("names", (section.get("name"),)):
        yield CatalogueMarker(
            marker=Marker(name=name, modality=Modality(section["modality"]), kind=Kind(section["kind"]), **constants),
            group=Group(section["group"]),
            loinc=tuple(codes),
            looked_up=tuple(codes.values()),
            elsewhere=tuple(section.get("elsewhere", ())),
            usual=tuple(section["usual"]) if "usual" in section else None,
        )


def _of_analyte(analyte: Analyte) -> CatalogueMarker:
    return CatalogueMarker(
        marker=analyte_marker(analyte),
        group=Group.TUMOUR_MARKERS if analyte.name in _FILE["tumour_markers"] else Group.LABORATORY,
        analyte=analyte,
        loinc=analyte.loinc,
        looked_up=analyte.looked_up,
    )


def _all() -> Iterator[CatalogueMarker]:
    found = [*(each for section in _FILE["marker"] for each in _listed(section)), *map(_of_analyte, ANALYTES)]
    for group in Group:
        yield from (each for each in found if each.group is group)


CATALOGUE: tuple[CatalogueMarker, ...] = tuple(_all())
"""Group after group."""
BY_MARKER: Mapping[str, CatalogueMarker] = {each.marker.name: each for each in CATALOGUE}


def chosen(modalities: Sequence[Modality] = (), groups: Sequence[Group] = ()) -> tuple[CatalogueMarker, ...]:
    """Those of any of these modalities and any of these groups; an empty choice leaves none out."""
    return tuple(
        each
        for each in CATALOGUE
        if (not modalities or each.marker.modality in modalities) and (not groups or each.group in groups)
    )


def catalogue_schema(markers: Sequence[CatalogueMarker]) -> str:
    """A schema file with these markers, for people to cut down and confirm."""
    return "\n".join(_schema(markers)) + "\n"


def _schema(markers: Sequence[CatalogueMarker]) -> Iterator[str]:
    yield "# From the catalogue of markers: public knowledge, to begin with. Remove what the study does not need,"
    yield "# confirm each line that says so, and look at every range: docs/schema.md says how constants are chosen."
    entity = _ENTITY if any(each.marker.name == _ENTITY for each in markers) else None
    yield from head_lines("my_study", tumour_entity=entity)
    present = {each.marker.modality for each in markers}
    for name, keys in _FILE["modality"].items():
        if Modality(name) in present:
            yield f"\n[modality.{name}]"
            yield from (f"{key} = {quoted(value) if isinstance(value, str) else value}" for key, value in keys.items())
    group = None
    for each in markers:
        if each.group is not group:
            group = each.group
            yield f"\n# --- {group.value.replace('_', ' ')}"
        yield "\n[[marker]]"
        yield f"name = {quoted(each.marker.name)}{_remark(each)}"
        yield from marker_lines(each.marker)


def _remark(each: CatalogueMarker) -> str:
    """What a schema has no key for."""
    said = [f"LOINC {', '.join(each.loinc)}"] if each.loinc else []
    analyte = each.analyte
    if analyte is not None and analyte.usual_men is not None:
        women, men = (f"{low:g} to {high:g}" for low, high in (analyte.usual, analyte.usual_men))
        said.append(f"usual {analyte.unit}: women {women}, men {men}")
    return f"  # {'; '.join(said)}" if said else ""
