"""What does a laboratory's unit mean, and what is one in another?

Laboratories write one unit in many ways: `mg/dL`, `MG/DL`, `µg/ml`, `10^9/l`, `Gpt/l`, `/nl`, `Tsd/µl`, `mval/l`.
Capitals are not compared, since exports write all of them: the unit of mass and the prefix giga differ by what is
measured, so `g/l` of a count is giga per litre. But where a capital would be another prefix that is in use, such as
`MU/l` beside `mU/l`, nobody knows whether it is one or an export's: the two are two units, of which the capital one is
not known. Promise: factors are exact (fractions), and a unit that is not known is
None and never a guess. What goes from one dimension to another (mg/dl to µmol/l) is a matter of the substance:
`analytes`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction


class Dimension(StrEnum):
    """What a unit measures. The base unit, in which factors are given, stands in the value."""

    MASS = "g/l"
    SUBSTANCE = "mol/l"
    EQUIVALENT = "eq/l"
    UNITS = "U/l"
    CATALYTIC = "kat/l"
    COUNT = "1/l"
    RATIO = "1"
    TIME = "s"
    VOLUME = "l"
    AREA = "m2"
    BODY_MASS = "kg"
    LENGTH = "m"


@dataclass(frozen=True)
class Unit:
    """One of it is `factor` base units of its dimension."""

    factor: Fraction
    dimension: Dimension

    def times(self, factor: Fraction) -> Unit:
        return Unit(self.factor * factor, self.dimension)


_PREFIX = {
    "": Fraction(1),
    "k": Fraction(10**3),
    "d": Fraction(1, 10),
    "c": Fraction(1, 100),
    "m": Fraction(1, 10**3),
    "u": Fraction(1, 10**6),
    "n": Fraction(1, 10**9),
    "p": Fraction(1, 10**12),
    "f": Fraction(1, 10**15),
}
_MEASURED = {
    "g": Dimension.MASS,
    "mol": Dimension.SUBSTANCE,
    "eq": Dimension.EQUIVALENT,
    "val": Dimension.EQUIVALENT,
    "u": Dimension.UNITS,
    "iu": Dimension.UNITS,
    "ie": Dimension.UNITS,
    "e": Dimension.UNITS,
    "kat": Dimension.CATALYTIC,
}
_CONCENTRATION = re.compile(r"([kdcmunpf]?)(mol|kat|val|eq|iu|ie|g|u|e)/([dcmunpf]?)l")
_THOUSANDS = {
    "": 0,
    "tsd": 3,
    "tsd.": 3,
    "k": 3,
    "th": 3,
    "thou": 3,
    "mio": 6,
    "mio.": 6,
    "g": 9,
    "gpt": 9,
    "t": 12,
    "tpt": 12,
}
_COUNTED = re.compile(
    r"(?:x?(1(?:00+)?)|([a-z]*?\.?)|x?10(?:(?:\^|\*{1,2}|e)0?|(?=[1-9]))(\d{1,2}))(?:cells|zellen)?/([dcmunpf]?)l"
)
"""A power of ten in full (x1000), in a word (tsd), or by its exponent (x10^3, 10e03, 109), which begins with no 0.
Ten alone is none: it is what is left of 10⁹ where a program could not write the exponent."""
_SIMPLE = {
    "": Unit(Fraction(1), Dimension.RATIO),
    "1": Unit(Fraction(1), Dimension.RATIO),
    "ratio": Unit(Fraction(1), Dimension.RATIO),
    "inr": Unit(Fraction(1), Dimension.RATIO),
    "l/l": Unit(Fraction(1), Dimension.RATIO),
    "%": Unit(Fraction(1, 100), Dimension.RATIO),
    "percent": Unit(Fraction(1, 100), Dimension.RATIO),
    "‰": Unit(Fraction(1, 1000), Dimension.RATIO),
    "s": Unit(Fraction(1), Dimension.TIME),
    "sec": Unit(Fraction(1), Dimension.TIME),
    "sek": Unit(Fraction(1), Dimension.TIME),
    "fl": Unit(Fraction(1, 10**15), Dimension.VOLUME),
    "um3": Unit(Fraction(1, 10**15), Dimension.VOLUME),
    "l": Unit(Fraction(1), Dimension.VOLUME),
    "dl": Unit(Fraction(1, 10), Dimension.VOLUME),
    "ml": Unit(Fraction(1, 10**3), Dimension.VOLUME),
    "cm3": Unit(Fraction(1, 10**3), Dimension.VOLUME),
    "cm^3": Unit(Fraction(1, 10**3), Dimension.VOLUME),
    "ccm": Unit(Fraction(1, 10**3), Dimension.VOLUME),
    "ul": Unit(Fraction(1, 10**6), Dimension.VOLUME),
    "m2": Unit(Fraction(1), Dimension.AREA),
    "cm2": Unit(Fraction(1, 10**4), Dimension.AREA),
    "mm2": Unit(Fraction(1, 10**6), Dimension.AREA),
    "kg": Unit(Fraction(1), Dimension.BODY_MASS),
    "g": Unit(Fraction(1, 1000), Dimension.BODY_MASS),
    "lb": Unit(Fraction(45_359_237, 10**8), Dimension.BODY_MASS),
    "lbs": Unit(Fraction(45_359_237, 10**8), Dimension.BODY_MASS),
    "m": Unit(Fraction(1), Dimension.LENGTH),
    "cm": Unit(Fraction(1, 100), Dimension.LENGTH),
    "mm": Unit(Fraction(1, 1000), Dimension.LENGTH),
    "in": Unit(Fraction(254, 10_000), Dimension.LENGTH),
}
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")
_WRITTEN = (
    (re.compile(r"mc(?=[gl])"), "u"),
    (re.compile(r"(?<=\d),(?=\d)"), "."),  # 1,73 m2
    (re.compile(r"(?<=[a-z])[*^](?=2(?!\d))"), ""),  # m^2
    (re.compile(r"/(1h|hr)$"), "/h"),
    (re.compile(r"arb'u"), "u"),
    (re.compile(r"^sek\."), "sek"),
)
"""Other ways to write a part of a unit."""
_CAPITAL = re.compile(r"(?<![^\W\d_])([MP])(?=(?i:I?U|IE|E|Bq|Ci|e?V|W|J|Hz|Pa|cal)(?![^\W\d_]))")
"""Mega or milli, peta or pico, of what is told in both; a megagram is an export's capitals."""
_CUBIC_MILLIMETRE = re.compile(r"(mm\^?3|cmm|cumm)$")


def spelt(text: str) -> str:
    """One spelling of a unit, for comparing: without blanks, brackets and capitals, but of `_CAPITAL`; micro is u."""
    kept = re.sub(r"[\s\[\]{}()_]", "", text.translate(_SUPERSCRIPTS))
    kept = _CAPITAL.sub(r"capital \1", kept).casefold().replace("μ", "u").replace("·", "*").replace("×", "x")
    for written, meant in _WRITTEN:
        kept = written.sub(meant, kept)
    return _CUBIC_MILLIMETRE.sub("ul", kept)


def is_bare(text: str) -> bool:
    """Whether numbers of this unit are usually written without one, and mean the same then; per cent are not."""
    return spelt(text) in ("", "1", "ratio", "inr")


def contradict(first: str, second: str) -> bool:
    """Whether two units that are told of one number cannot both be right, whatever is measured; of one that is not
    known nobody knows.
    """
    several = False
    for counted in (False, True):
        one, other = unit_of(first, counted=counted), unit_of(second, counted=counted)
        if one is None or other is None:
            continue
        if one == other or (one.factor == other.factor and {one.dimension, other.dimension} == _OF_IONS):
            return False
        several = True
    return several


_OF_IONS = {Dimension.SUBSTANCE, Dimension.EQUIVALENT}
"""Which are one for ions of one charge."""


def unit_of(text: str, *, counted: bool = False) -> Unit | None:
    """The unit that a text means, or None where it is not known.

    counted  whether cells are counted, so that `G/l` is giga per litre.
    """
    text = spelt(text)
    if counted:
        return _count(text) or _SIMPLE.get(text)
    if (found := _CONCENTRATION.fullmatch(text)) is not None:
        prefix, measured, volume = found.groups()
        return Unit(_PREFIX[prefix] / _PREFIX[volume], _MEASURED[measured])
    return _SIMPLE.get(text) or _count(text)


def _count(text: str) -> Unit | None:
    found = _COUNTED.fullmatch(text)
    if found is None:
        return None
    full, word, power, volume = found.groups()
    powers = len(full) - 1 if full else _THOUSANDS.get(word or "") if power is None else int(power)
    if powers is None:
        return None
    return Unit(Fraction(10**powers) / _PREFIX[volume], Dimension.COUNT)
