"""How does a test read a figure back from its SVG? Marks in the order drawn, axes from their ticks, colours by legend.

Nothing here comes from the code that draws: an axis is what the numbers written along it say.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Mark:
    """tag: of the element. attributes: as written. words: of a text."""

    tag: str
    attributes: dict[str, str]
    words: str

    def at(self, *names: str) -> list[float]:
        return [float(self.attributes[name]) for name in names]

    @property
    def colour(self) -> str:
        for name in ("stroke", "fill"):
            if self.attributes.get(name, "none") != "none":
                return self.attributes[name].lower()
        return ""

    @property
    def points(self) -> FloatArray:
        pairs = re.findall(r"(-?[\d.]+) (-?[\d.]+)", self.attributes["d"])
        return np.array([[float(x), float(y)] for x, y in pairs])


def marks(svg: str) -> list[Mark]:
    root = ElementTree.fromstring(svg)  # our own markup
    return [
        Mark(each.tag.rpartition("}")[2], dict(each.attrib), (each.text or "").replace("\N{NO-BREAK SPACE}", " "))
        for each in root.iter()
    ]


def of(found: list[Mark], tag: str, colour: str | None = None) -> list[Mark]:
    return [each for each in found if each.tag == tag and colour in (None, each.colour)]


def texts(found: list[Mark]) -> list[str]:
    return [each.words for each in of(found, "text")]


def value_of(words: str) -> float | None:
    """Of a tick."""
    plain = words.replace(",", "").replace("\N{MINUS SIGN}", "-")
    share = plain.endswith(" %")
    try:
        return float(plain.removesuffix(" %")) / (100 if share else 1)
    except ValueError:
        return None


@dataclass(frozen=True)
class ReadAxis:
    """value = scale(intercept + slope * place)."""

    slope: float
    intercept: float
    ticks: tuple[tuple[float, float], ...]

    def value(self, place: float) -> float:
        return self.intercept + self.slope * place


def _axis(ticks: list[tuple[float, float]], scale: Callable[[float], float]) -> ReadAxis:
    places, values = np.array([place for place, _ in ticks]), np.array([scale(value) for _, value in ticks])
    slope, intercept = np.polyfit(places, values, 1)
    off = np.abs(intercept + slope * places - values).max()
    # A tick of a hazard ratio may be rounded to two decimals; a share of the axis is what an eye can see.
    assert off < 0.004 * np.ptp(values), f"ticks do not lie on one axis: {ticks}"
    return ReadAxis(float(slope), float(intercept), tuple(ticks))


def level_axes(found: list[Mark], scale: Callable[[float], float] = float) -> list[ReadAxis]:
    """Ticks stand in one row, each below its grid line; panels side by side are told apart by equal steps."""
    return _axes(found, scale, along="x", row="y", grid="x1", shift=0.0, anchor="middle")


def upright_axes(found: list[Mark], scale: Callable[[float], float] = float) -> list[ReadAxis]:
    return _axes(found, scale, along="y", row="x", grid="y1", shift=-5.0, anchor="end")


def _axes(
    found: list[Mark], scale: Callable[[float], float], *, along: str, row: str, grid: str, shift: float, anchor: str
) -> list[ReadAxis]:
    long = [each for each in of(found, "line") if not 0 < math.dist(each.at("x1", "y1"), each.at("x2", "y2")) < 20]
    lines = {round(each.at(grid)[0], 1) for each in long}
    rows: dict[float, list[tuple[float, float]]] = {}
    last: tuple[float, float] | None = None
    number = 0.0
    for each in of(found, "text"):
        value = value_of(each.words)
        if value is None or each.attributes.get("text-anchor") != anchor or "transform" in each.attributes:
            continue
        place = each.at(along)[0] + shift
        if round(place, 1) not in lines:
            continue
        key = each.at(row)[0]
        if last is None or last[0] != key or value <= last[1]:
            number += 1  # another row, or the numbers begin anew: another panel
        rows.setdefault(number, []).append((place, value))
        last = (key, value)
    return [_axis(ticks, scale) for ticks in rows.values() if len(ticks) > 1]


def legend(found: list[Mark]) -> dict[str, Mark]:
    """The line, area or dot that stands left of each text of the legend."""
    entries: dict[str, Mark] = {}
    for before, each in pairwise(found):
        if each.tag != "text" or "transform" in each.attributes:
            continue
        x, y = each.at("x", "y")
        if before.tag == "rect":
            left, top, wide, high = before.at("x", "y", "width", "height")
            beside = high == 13 and left + wide < x < left + wide + 12 and top < y < top + high + 4
        elif before.tag == "line":
            x2, y2 = before.at("x2", "y2")
            beside = x2 < x < x2 + 12 and abs(y2 + 5 - y) < 1
        elif before.tag == "circle":
            cx, cy = before.at("cx", "cy")
            beside = cx + 17 < x < cx + 30 and abs(cy + 5 - y) < 1
        else:
            beside = False
        if beside:
            entries[each.words] = before
    return entries


def bars(found: list[Mark], *colours: str) -> list[Mark]:
    """Rectangles of these colours, without those of the legend."""
    in_legend = {id(each) for each in legend(found).values()}
    return [each for each in of(found, "rect") if each.colour in colours and id(each) not in in_legend]


def do_not_overlap(found: list[Mark]) -> bool:
    """Upright: bars of different rows."""
    edges = sorted((each.at("y")[0], sum(each.at("y", "height"))) for each in found)
    return all(low >= high - 1e-6 for (_, high), (low, _) in pairwise(edges))


def within(found: list[Mark]) -> bool:
    """Whether every mark lies in the picture."""
    _, _, width, height = (float(each) for each in found[0].attributes["viewBox"].split())
    for each in found[1:]:
        if "transform" in each.attributes:
            continue
        for name, limit in (("x", width), ("x1", width), ("x2", width), ("cx", width), ("y", height), ("cy", height)):
            place = float(each.attributes.get(name, "0"))
            if not (math.isfinite(place) and -0.5 <= place <= limit + 0.5):
                return False
        if each.tag == "rect" and (sum(each.at("x", "width")) > width + 0.5 or sum(each.at("y", "height")) > height):
            return False
    return True
