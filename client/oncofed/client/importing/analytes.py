"""What is publicly known of the laboratory values that oncology uses: codes, units, what can be, what is usual?

One section of `analytes.toml` each: LOINC codes (of the substance in blood, serum or plasma, whatever the unit), the
unit that schemas use and those that laboratories use beside it, the range outside of which a value is in another unit
or wrong, and the usual range in health, by sex where it differs. Usual ranges differ between laboratories: these are
for eyes, and for a ratio to the limit where a hospital has none of its own. Promise: a factor between units is exact
arithmetic on a molar mass (or a valence, or a definition such as 1 kat = 60,000,000 U); where there is no such
constant, there is no conversion.

Sources: LOINC, each code with the public list in which it was looked up beside its name, and none without; molar masses
from the formulas and standard atomic weights; haemoglobin in mol is of one chain, a quarter of the molecule;
triglycerides are told as triolein. Ranges are round numbers as laboratories print them.

This material contains content from LOINC (http://loinc.org). LOINC is copyright Regenstrief Institute, Inc. and the
Logical Observation Identifiers Names and Codes (LOINC) Committee, and is available at no cost under the license at
http://loinc.org/license.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from importlib.resources import files
from typing import Any

from oncofed.client.importing.units import Dimension, spelt, unit_of
from oncofed.toml_file import parse_toml

Span = tuple[float, float]


@dataclass(frozen=True)
class Analyte:
    """One laboratory value.

    name             how mappings call it.
    words            what columns of tables call it, in small letters.
    loinc            codes. looked_up: of each, in which of `LISTS`.
    unit             of the ranges. elsewhere: units in which laboratories tell it, too.
    plausible        what can be in a living patient.
    usual            in health; of women and men where `usual_men` stands beside it.
    grams_per_mole   of the substance; None: mass and amount are not converted.
    valence          charges of an ion.
    grams_per_unit   for what is told both in grams and in units.
    enzyme           whether U/l and kat/l are one thing.
    skewed           whether its logarithm is what models use.
    """

    name: str
    words: tuple[str, ...]
    loinc: tuple[str, ...]
    looked_up: tuple[str, ...]
    unit: str
    elsewhere: tuple[str, ...]
    plausible: Span
    usual: Span
    usual_men: Span | None = None
    grams_per_mole: str | None = None
    valence: int | None = None
    grams_per_unit: str | None = None
    enzyme: bool = False
    skewed: bool = False

    @property
    def counted(self) -> bool:
        """Whether it is cells in a volume: then `G/l` is giga per litre."""
        return self.unit.startswith("10^")

    @property
    def bridges(self) -> Mapping[Dimension, Fraction]:
        """How much of the substance one base unit of a dimension is. Dimensions that are absent cannot be had: of a
        unit such as mm/h, which is told in no other, none.
        """
        own = unit_of(self.unit, counted=self.counted)
        found = {} if own is None else {own.dimension: Fraction(1)}
        if self.grams_per_mole is not None:
            found = {Dimension.SUBSTANCE: Fraction(1), Dimension.MASS: 1 / Fraction(self.grams_per_mole)}
        if self.valence is not None:
            found[Dimension.EQUIVALENT] = Fraction(1, self.valence)
        if self.enzyme:
            found[Dimension.CATALYTIC] = Fraction(60_000_000)
        if self.grams_per_unit is not None:
            found[Dimension.UNITS] = Fraction(self.grams_per_unit)
        return found


def shipped(name: str) -> Mapping[str, Any]:
    """One of the public tables beside this module."""
    return parse_toml(files("oncofed.client.importing").joinpath(name).read_text("utf-8"), where=name)


_FILE = shipped("analytes.toml")


def _analyte(section: Mapping[str, Any]) -> Analyte:
    """A key that is misspelt is an error."""
    codes = section.get("loinc", {})
    lists = {key: tuple(value) for key, value in section.items() if isinstance(value, list)}
    plain = {"elsewhere": (), **section, **lists}
    return Analyte(**{**plain, "loinc": tuple(codes), "looked_up": tuple(codes.values())})


LISTS: Mapping[str, str] = _FILE["lists"]
"""By its short name, a public list of LOINC codes with their names."""
ANALYTES: tuple[Analyte, ...] = tuple(map(_analyte, _FILE["analyte"]))
BY_NAME: Mapping[str, Analyte] = {analyte.name: analyte for analyte in ANALYTES}
BY_LOINC: Mapping[str, Analyte] = {code: analyte for analyte in ANALYTES for code in analyte.loinc}


def factor_between(written: str, wanted: str, analyte: Analyte | None) -> Fraction | None:
    """By what a number in the unit `written` is multiplied to be in the unit `wanted`; None where that is not known.

    analyte  None: only units of one dimension, and one and the same text, whatever it means; but whether it is gram or
             giga per litre, capitals alone would say, and nobody knows.
    """
    if spelt(written) == spelt(wanted):
        unsaid = analyte is None and spelt(written) == "g/l" and written.strip()[:1] != wanted.strip()[:1]
        return None if unsaid else Fraction(1)
    counted = analyte is not None and analyte.counted
    start, end = unit_of(written, counted=counted), unit_of(wanted, counted=counted)
    if start is None or end is None:
        return None
    if start.dimension is end.dimension and (analyte is None or start.dimension in analyte.bridges):
        return start.factor / end.factor
    if analyte is None or not {start.dimension, end.dimension} <= set(analyte.bridges):
        return None
    return start.factor * analyte.bridges[start.dimension] / (end.factor * analyte.bridges[end.dimension])
