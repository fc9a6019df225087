"""Which marker of body composition does the name of a column mean, and in which unit does it tell it?

Segmentation tools name tissue, measure and unit: `visceral_fat_volume_ml`, `SAT area (cm2)`, `muscle.density_HU`, or
by abbreviations of radiology: SAT, VAT, IMAT and TAT for subcutaneous, visceral, intermuscular and total adipose
tissue; SMA, SMI and SMRA for area, index and radiation attenuation of skeletal muscle. Names alone: no cell is asked.
Promise: a column is one only if its name tells both a tissue and a measure, be it by the unit, so that a column `liver`
is none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from oncofed.client.importing.catalogue import BY_MARKER, Group
from oncofed.cohort.letters import plain
from oncofed.cohort.schema import Marker


@dataclass(frozen=True)
class BodyComposition:
    """marker: of the catalogue. unit: as the name tells it, or None."""

    marker: Marker
    unit: str | None


_TISSUES: Mapping[str, tuple[str, ...]] = {
    "subcutaneous_fat": ("subcutaneous", "sat", "subkutanes", "subkutan"),
    "visceral_fat": ("visceral", "vat", "viszerales", "viszeral"),
    "intermuscular_fat": ("intermuscular", "imat", "intermuskulaeres", "intermuskuläres"),
    "total_fat": ("total fat", "total adipose", "tat"),
    "muscle": ("muscle", "muscles", "muskel", "muskulatur"),
    "bone": ("bone", "bones", "knochen"),
    "psoas": ("psoas",),
    "liver": ("liver", "leber"),
    "spleen": ("spleen", "milz"),
    "kidney": ("kidney", "kidneys", "nieren"),
    "pancreas": ("pancreas", "pankreas"),
    "heart": ("heart", "herz"),
    "lung": ("lung", "lungs", "lunge"),
}
_MEASURES: Mapping[str, tuple[str, ...]] = {
    "volume": ("volume", "vol", "volumen"),
    "area": ("area", "csa", "flaeche", "fläche"),
    "attenuation": ("attenuation", "density", "radiodensity", "hu", "dichte"),
    "index": ("index",),
}
_WHOLE: Mapping[str, str] = {
    "sma": "muscle area",
    "smi": "muscle index",
    "smd": "muscle density",
    "smra": "muscle density",
}
_UNITS: Mapping[str, tuple[str, ...]] = {
    "volume": ("ml", "l", "mm3", "cm3", "ccm"),
    "area": ("mm2", "cm2", "m2"),
    "attenuation": ("hu",),
    "index": ("cm2/m2",),
}


def body_composition(column: str) -> BodyComposition | None:
    """None where the name tells none, or two."""
    text = re.sub(r"cm2\W*(?:/|_per_|per)\W*m2", "cm2/m2", plain(column).casefold().replace("²", "2").replace("³", "3"))
    words = [_WHOLE.get(word, word) for word in re.split(r"[\s_.,:;()\[\]-]+", text) if word]
    spelt = " ".join(words)
    words = spelt.split()
    tissues = [tissue for tissue, names in _TISSUES.items() if any(f" {name} " in f" {spelt} " for name in names)]
    units = [(measure, unit) for measure, known in _UNITS.items() for unit in known if unit in words]
    told = {measure for measure, names in _MEASURES.items() if not {*names}.isdisjoint(words)} | {m for m, _ in units}
    if "intermuscular_fat" in tissues:
        tissues = [tissue for tissue in tissues if tissue != "muscle"]
    if len(tissues) != 1 or len(told) != 1 or len(units) > 1:
        return None
    (measure,), (tissue,) = told, tissues
    stem = f"{tissue}_{measure}"
    at_l3 = f"{stem}_l3"
    found = next(
        (BY_MARKER[name] for name in ((at_l3, stem) if "l3" in words else (stem, at_l3)) if name in BY_MARKER), None
    )
    if found is None or found.group is not Group.BODY_COMPOSITION:
        return None
    unit = units[0][1] if units else None
    return BodyComposition(found.marker, found.marker.unit if unit == "hu" else unit)
