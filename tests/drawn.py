"""Which marks does a picture hold, and where? Read back from its SVG, as a browser would paint it.

For tests of geometry: a bar is found at its name, a value at the ticks of an axis, a colour in the legend. Nothing of
the code that draws is asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_NUMBER = re.compile(r"[-\u2212]?\d[\d,]*(?:\.\d+)?")
_SMALL = 14.0
"""A shape no larger than so, such as a diamond, is a dot."""


@dataclass(frozen=True)
class Bar:
    """An upright rectangle that is filled."""

    left: float
    right: float
    top: float
    bottom: float
    colour: str
    opacity: float = 1.0

    @property
    def middle(self) -> float:
        return (self.top + self.bottom) / 2

    def holds(self, x: float, y: float) -> bool:
        return self.left <= x <= self.right and self.top <= y <= self.bottom


@dataclass(frozen=True, eq=False)
class Line:
    """points: (points, 2). dash: empty where it is solid."""

    points: FloatArray
    colour: str
    dash: str
    width: float

    def height_at(self, x: float) -> float:
        """Of a line that goes from left to right; at an upright piece, its lower end on the page."""
        place = int(np.searchsorted(self.points[:, 0], x, side="right"))
        (x0, y0), (x1, y1) = self.points[max(place - 1, 0)], self.points[min(place, len(self.points) - 1)]
        return float(y0 if x1 <= x0 else y0 + (y1 - y0) * (x - x0) / (x1 - x0))


@dataclass(frozen=True, eq=False)
class Area:
    """Anything else that is filled."""

    points: FloatArray
    colour: str
    opacity: float


@dataclass(frozen=True)
class Dot:
    x: float
    y: float
    colour: str


@dataclass(frozen=True)
class Words:
    """anchor: start, middle or end of the text, at x. y: where it stands."""

    text: str
    x: float
    y: float
    anchor: str


@dataclass(frozen=True)
class Scale:
    """From places to values. along: a coordinate of each tick, with its value beside it."""

    along: tuple[float, ...]
    values: tuple[float, ...]

    def value(self, place: float) -> float:
        slope, start = np.polyfit(self.along, self.values, 1)
        return float(start + slope * place)

    def place(self, value: float) -> float:
        slope, start = np.polyfit(self.along, self.values, 1)
        return float((value - start) / slope)


@dataclass(frozen=True)
class Drawn:
    """All marks, in the order in which they are painted."""

    bars: tuple[Bar, ...]
    lines: tuple[Line, ...]
    areas: tuple[Area, ...]
    dots: tuple[Dot, ...]
    words: tuple[Words, ...]

    def between(
        self, *, left: float = -np.inf, right: float = np.inf, top: float = -np.inf, bottom: float = np.inf
    ) -> Drawn:
        """What lies in this part of the picture as a whole, of words their anchor."""

        def inside(x: FloatArray, y: FloatArray) -> bool:
            return bool((x >= left).all() and (x <= right).all() and (y >= top).all() and (y <= bottom).all())

        def around(points: FloatArray) -> bool:
            return inside(points[:, 0], points[:, 1])

        return Drawn(
            tuple(bar for bar in self.bars if inside(np.array([bar.left, bar.right]), np.array([bar.top, bar.bottom]))),
            tuple(line for line in self.lines if around(line.points)),
            tuple(area for area in self.areas if around(area.points)),
            tuple(dot for dot in self.dots if inside(np.array([dot.x]), np.array([dot.y]))),
            tuple(each for each in self.words if inside(np.array([each.x]), np.array([each.y]))),
        )

    def said(self, text: str) -> Words:
        """The words that begin so; they must be there once."""
        (found,) = [each for each in self.words if _plain(each.text).startswith(text)]
        return found

    def bars_at(self, name: str) -> list[Bar]:
        """On the level of a name that stands at the left, from left to right."""
        words = self.said(name)
        level = [bar for bar in self.bars if bar.left >= words.x and bar.top <= words.y - 3 <= bar.bottom]
        return sorted(level, key=lambda bar: bar.left)

    def key(self, text: str) -> Bar | Line | Dot:
        """What a legend shows before these words."""
        words = self.said(text)
        near = [
            (words.x - right, mark)
            for mark, right, y in self._ends()
            if 0 <= words.x - right <= 60 and abs(y - (words.y - 4)) <= 9
        ]
        return min(near, key=lambda each: (round(each[0]), not isinstance(each[1], Line)))[1]

    def _ends(self) -> Iterator[tuple[Bar | Line | Dot, float, float]]:
        yield from ((bar, bar.right, bar.middle) for bar in self.bars)
        yield from ((line, float(line.points[:, 0].max()), float(line.points[:, 1].mean())) for line in self.lines)

    def across(self) -> Scale:
        """The level axis: numbers side by side at one height, the longest such row."""
        rows: dict[float, list[Words]] = {}
        for each in self.words:
            if each.anchor == "middle" and _number(each.text) is not None:
                rows.setdefault(round(each.y), []).append(each)
        row = max(rows.values(), key=len)
        return Scale(tuple(each.x for each in row), tuple(_number(each.text) or 0.0 for each in row))

    def upright(self) -> Scale:
        """The upright axis: numbers above each other, each beside a line of the grid."""
        columns: dict[float, list[Words]] = {}
        for each in self.words:
            if each.anchor == "end" and _number(each.text) is not None:
                columns.setdefault(round(each.x), []).append(each)
        column = max(columns.values(), key=len)
        across = [line.points for line in self.lines if len(line.points) == 2]
        level = np.array([float(points[0, 1]) for points in across if np.ptp(points[:, 1]) < 0.01])
        nearest = [float(level[np.abs(level - (each.y - 4)).argmin()]) for each in column]
        return Scale(tuple(nearest), tuple(_number(each.text) or 0.0 for each in column))


def drawn(svg: str) -> Drawn:
    """A picture as it stands in a page."""
    root = ElementTree.fromstring(f"<page>{svg}</page>")
    bars: list[Bar] = []
    lines: list[Line] = []
    areas: list[Area] = []
    dots: list[Dot] = []
    words: list[Words] = []
    for element, style in _painted(root, {}):
        kind = element.tag.rpartition("}")[2]
        if kind == "text":
            words.append(_words(element, style))
        elif kind == "rect":
            x, y, width, height = (float(element.get(name, 0)) for name in ("x", "y", "width", "height"))
            if style.get("fill") != "none":
                bars.append(Bar(x, x + width, y, y + height, _colour(style), _opacity(style)))
        elif kind == "circle":
            dots.append(Dot(float(element.get("cx", 0)), float(element.get("cy", 0)), _colour(style)))
        elif kind == "line":
            points = np.array([[float(element.get(f"{axis}{end}", 0)) for axis in "xy"] for end in (1, 2)])
            lines.append(_line(points, style))
        elif kind == "path":
            for points in _subpaths(element.get("d", "")):
                if style.get("fill", "black") == "none":
                    if style.get("stroke", "none") != "none":
                        lines.append(_line(points, style))
                elif _is_upright_rectangle(points):
                    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
                    bars.append(Bar(left, right, top, bottom, _colour(style), _opacity(style)))
                elif np.ptp(points, axis=0).max() <= _SMALL:
                    x, y = (points.min(axis=0) + points.max(axis=0)) / 2
                    dots.append(Dot(float(x), float(y), _colour(style)))
                else:
                    areas.append(Area(points, _colour(style), _opacity(style)))
    return Drawn(tuple(bars), tuple(lines), tuple(areas), tuple(dots), tuple(words))


def _painted(
    element: ElementTree.Element, above: Mapping[str, str]
) -> Iterator[tuple[ElementTree.Element, dict[str, str]]]:
    """Every element, with its own and inherited style."""
    for child in element:
        style = {**above, **{key: child.attrib[key] for key in _STYLES if key in child.attrib}}
        yield child, style
        yield from _painted(child, style)


_STYLES = ("fill", "fill-opacity", "opacity", "stroke", "stroke-dasharray", "stroke-width", "text-anchor")


def _colour(style: Mapping[str, str]) -> str:
    fill = style.get("fill", "black")
    return (style.get("stroke", "none") if fill == "none" else fill).lower()


def _opacity(style: Mapping[str, str]) -> float:
    return float(style.get("fill-opacity", 1)) * float(style.get("opacity", 1))


def _line(points: FloatArray, style: Mapping[str, str]) -> Line:
    dash = style.get("stroke-dasharray", "")
    return Line(
        points, style.get("stroke", "none").lower(), "" if dash == "none" else dash, float(style.get("stroke-width", 1))
    )


def _words(element: ElementTree.Element, style: Mapping[str, str]) -> Words:
    moved = re.match(r"translate\(([-\d.]+)[ ,]([-\d.]+)\)", element.get("transform", ""))
    x, y = (float(each) for each in moved.groups()) if moved else (float(element.get(axis, 0)) for axis in "xy")
    return Words(element.text or "", x, y, style.get("text-anchor", "start"))


def _subpaths(written: str) -> list[FloatArray]:
    found = []
    for part in re.split(r"(?=M)", written):
        numbers = [float(each) for each in re.findall(r"-?\d+(?:\.\d+)?(?:e-?\d+)?", part)]
        if numbers:
            found.append(np.array(numbers).reshape(-1, 2))
    return found


def _is_upright_rectangle(points: FloatArray) -> bool:
    return len(points) in (4, 5) and all(len(np.unique(points[:, axis].round(3))) == 2 for axis in (0, 1))


def _plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


def _number(text: str) -> float | None:
    """A tick's, per cent as a share; None for other words."""
    plain = _plain(text).strip()
    found = _NUMBER.fullmatch(plain.removesuffix("%").strip())
    if found is None:
        return None
    value = float(found[0].replace(",", "").replace("\N{MINUS SIGN}", "-"))
    return value / 100 if plain.endswith("%") else value


def coloured(drawing: Drawn, colour: str) -> Drawn:
    """Its marks of this colour, and no words."""
    return replace(
        drawing,
        bars=tuple(each for each in drawing.bars if each.colour == colour.lower()),
        lines=tuple(each for each in drawing.lines if each.colour == colour.lower()),
        areas=tuple(each for each in drawing.areas if each.colour == colour.lower()),
        dots=tuple(each for each in drawing.dots if each.colour == colour.lower()),
        words=(),
    )
