"""How is a picture drawn as SVG, in the page itself, without a script?

A browser shows it at once, prints it sharp at any width, and a reader who forbids scripts sees it, too. Every mark is a
plain element with attributes of its own, so that the picture needs no style of the page when it is saved alone, and the
content policy needs no exception.

Promises: every text is escaped and holds no control character; numbers are finite, or the mark is left out; nothing
refers to anything outside the picture. Lengths are in units of a picture that is WIDTH wide.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

WIDTH = 860.0
FONT_SIZE = 14.0
INK, QUIET, FAINT = "#1f2a33", "#55626d", "#e3e8ed"
_FONT = "Segoe UI, Helvetica Neue, Helvetica, Arial, Liberation Sans, sans-serif"
_DASHES = {"solid": "", "dash": "9 6", "dot": "2 4"}
_LEGEND_LINE, _LEGEND_GAP, _LEGEND_ROW = 34.0, 22.0, 22.0
_NARROW, _WIDE = frozenset("fijlrt.,:;'|!()[] /-"), frozenset("mwMW@%&")

Attributes = Mapping[str, str | float]


@dataclass(frozen=True)
class Picture:
    """name: of the file when it is saved. svg: an element for a page."""

    name: str
    svg: Markup


@dataclass(frozen=True)
class Axis:
    """Values `low` to `high` lie evenly between two places of the picture. ticks: values with what is written there."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[tuple[float, str], ...]

    def at(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


@dataclass(frozen=True)
class Stroke:
    """dash: solid, dash or dot, so that lines are told apart without colours."""

    colour: str
    dash: str = "solid"
    width: float = 2.0
    opacity: float = 1.0

    @property
    def attributes(self) -> dict[str, str | float]:
        found: dict[str, str | float] = {"stroke": self.colour, "stroke-width": self.width}
        if _DASHES[self.dash]:
            found["stroke-dasharray"] = _DASHES[self.dash]
        if self.opacity < 1:
            found["opacity"] = self.opacity
        return found


@dataclass(frozen=True)
class Key:
    """One entry of a legend: a line, or an area where `fill` is its opacity."""

    text: str
    stroke: Stroke
    fill: float = 0.0


def picture(name: str, *, height: float, marks: Iterable[Markup]) -> Picture:
    """All marks, over white."""
    inner = Markup("").join([rectangle(0, 0, WIDTH, height, {"fill": "#ffffff"}), *marks])
    attributes: Attributes = {
        "xmlns": "http://www.w3.org/2000/svg",
        "viewBox": f"0 0 {WIDTH:g} {height:g}",
        "font-family": _FONT,
        "font-size": FONT_SIZE,
        "fill": INK,
    }
    return Picture(name, _element("svg", attributes, inner))


def line(x0: float, y0: float, x1: float, y1: float, stroke: Stroke) -> Markup:
    return _element("line", {"x1": x0, "y1": y0, "x2": x1, "y2": y1, **stroke.attributes})


def rectangle(x: float, y: float, width: float, height: float, attributes: Attributes, *, said: str = "") -> Markup:
    """said: shown where the pointer rests on it."""
    return _element("rect", {"x": x, "y": y, "width": width, "height": height, **attributes}, _title(said))


def circle(x: float, y: float, radius: float, colour: str, *, said: str = "") -> Markup:
    return _element("circle", {"cx": x, "cy": y, "r": radius, "fill": colour}, _title(said))


def text(x: float, y: float, words: str, *, anchor: str = "start", colour: str = INK, weight: int = 400) -> Markup:
    """anchor: start, middle or end of the words at x. y: where they stand."""
    return _element(
        "text",
        {"x": x, "y": y, "text-anchor": anchor, "fill": colour, "font-weight": weight},
        _plain(words),
    )


def rising_text(x: float, y: float, words: str) -> Markup:
    """From below to above, its middle at y."""
    return _element(
        "text", {"transform": f"translate({x:g} {y:g}) rotate(-90)", "text-anchor": "middle"}, _plain(words)
    )


def curve(x: FloatArray, y: FloatArray, stroke: Stroke, *, step: bool = False) -> Markup:
    """Through places of the picture; left off where one is not finite. step: level, then down."""
    paths = " ".join(_path(*_stepped(x[run], y[run], step)) for run in _runs(x, y))
    return _element("path", {"d": paths, "fill": "none", "stroke-linejoin": "round", **stroke.attributes})


def area(
    x: FloatArray, low: FloatArray, high: FloatArray, colour: str, *, opacity: float, step: bool = False
) -> Markup:
    """Between two curves."""
    found = []
    for run in _runs(x, low, high):
        above, below = _stepped(x[run], high[run], step), _stepped(x[run], low[run], step)
        around = np.concatenate((above[0], below[0][::-1])), np.concatenate((above[1], below[1][::-1]))
        found.append(f"{_path(*around)}Z")
    return _element("path", {"d": " ".join(found), "fill": colour, "fill-opacity": opacity})


def across(axis: Axis, *, top: float, bottom: float, title: str) -> list[Markup]:
    """A level axis below the picture's frame, its grid, and a title under it."""
    marks = [line(axis.at(value), top, axis.at(value), bottom, Stroke(FAINT, width=1)) for value, _ in axis.ticks]
    marks.append(line(axis.start, bottom, axis.end, bottom, Stroke(QUIET, width=1)))
    marks += [text(axis.at(value), bottom + 20, said, anchor="middle") for value, said in axis.ticks]
    if title:
        marks.append(text((axis.start + axis.end) / 2, bottom + 44, title, anchor="middle"))
    return marks


def upright(axis: Axis, *, left: float, right: float, title: str) -> list[Markup]:
    """An upright axis left of the frame, its grid, and a title that rises beside it."""
    marks = [line(left, axis.at(value), right, axis.at(value), Stroke(FAINT, width=1)) for value, _ in axis.ticks]
    marks.append(line(left, axis.start, left, axis.end, Stroke(QUIET, width=1)))
    marks += [text(left - 8, axis.at(value) + 5, said, anchor="end") for value, said in axis.ticks]
    marks.append(rising_text(16, (axis.start + axis.end) / 2, title))
    return marks


def legend(keys: Sequence[Key], *, left: float, top: float) -> tuple[list[Markup], float]:
    """In rows that fit into the picture, and how high they are together."""
    marks, x, y = [], left, top + 14
    for key in keys:
        wide = _LEGEND_LINE + 8 + width_of(key.text)
        if x > left and x + wide > WIDTH - 10:
            x, y = left, y + _LEGEND_ROW
        if key.fill:
            shade: dict[str, str | float] = {"fill": key.stroke.colour, "fill-opacity": key.fill}
            marks.append(rectangle(x, y - 12, _LEGEND_LINE, 13, shade))
        if key.stroke.width:
            marks.append(line(x, y - 5, x + _LEGEND_LINE, y - 5, key.stroke))
        marks.append(text(x + _LEGEND_LINE + 8, y, key.text))
        x += wide + _LEGEND_GAP
    return marks, y - top + 8


def width_of(words: str) -> float:
    """About, for the usual fonts without serifs: never far too small."""
    ems = sum(0.33 if each in _NARROW else 0.89 if each in _WIDE else 0.7 if each.isupper() else 0.56 for each in words)
    return ems * FONT_SIZE


def round_ticks(low: float, high: float, *, about: int = 7) -> tuple[float, ...]:
    """Values from low to high at a distance of 1, 2 or 5 times a power of ten."""
    if not high > low:
        return (low,)
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= rough)
    return tuple(
        float(step * place) for place in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
    )


def _stepped(x: FloatArray, y: FloatArray, step: bool) -> tuple[FloatArray, FloatArray]:
    return (np.repeat(x, 2)[1:], np.repeat(y, 2)[:-1]) if step else (x, y)


def _runs(*values: FloatArray) -> list[slice]:
    """Where all are finite, without a break."""
    finite = np.concatenate(([False], np.all([np.isfinite(each) for each in values], axis=0), [False]))
    edges = np.flatnonzero(finite[1:] != finite[:-1])
    return [slice(start, stop) for start, stop in zip(edges[::2], edges[1::2], strict=True)]


def _path(x: FloatArray, y: FloatArray) -> str:
    return "M" + "L".join(f"{one:.1f} {other:.1f}" for one, other in zip(x.tolist(), y.tolist(), strict=True))


def _title(said: str) -> Markup:
    return _element("title", {}, _plain(said)) if said else Markup("")


def _plain(words: str) -> Markup:
    return escape("".join(each if each.isprintable() or each == "\n" else " " for each in words))


def _element(name: str, attributes: Attributes, inner: Markup = Markup("")) -> Markup:  # noqa: B008 - frozen
    written = "".join(
        f' {key}="{escape(value) if isinstance(value, str) else f"{value:.6g}"}"' for key, value in attributes.items()
    )
    return Markup(f"<{name}{written}>{inner}</{name}>")  # noqa: S704 - names are ours, all else is escaped
