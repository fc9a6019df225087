"""How is a picture drawn as SVG, in the page itself, without a script?

A browser shows it at once, prints it sharp at any width, and a reader who forbids scripts sees it, too. Every mark is a
plain element with attributes of its own, so that the picture needs no style of the page when it is saved alone, and the
content policy needs no exception.

Promises: every text is escaped and holds no control character; numbers are finite, or the mark is left out; nothing
refers to anything outside the picture; the same marks give the same text. Lengths are in units of the picture, which on
a page of a hospital is WIDTH wide, and in a report REPORT_WIDTH.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

WIDTH, REPORT_WIDTH = 860.0, 1000.0
FONT_SIZE = 14.0
INK, QUIET, FAINT = "#1f2a33", "#55626d", "#e3e8ed"
BLUE, SKY, GREEN, ORANGE = "#0072b2", "#3597d6", "#009e73", "#b07d00"
VERMILLION, PURPLE, OLIVE, GREY = "#d55e00", "#cc79a7", "#9a8a00", "#6b7680"
"""Okabe and Ito's (Color Universal Design, 2008), told apart with any common vision; sky, orange and yellow darkened,
so that a line of each stands out from white at 3:1 (WCAG 2.2, 1.4.11)."""
_FONT = "Segoe UI, Helvetica Neue, Helvetica, Arial, Liberation Sans, sans-serif"
_DASHES = {"solid": "", "dash": "9 6", "dot": "2 4"}

Attributes = Mapping[str, str | float]


@dataclass(frozen=True)
class Picture:
    """name: of the file when it is saved. svg: an element for a page."""

    name: str
    svg: Markup


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


def picture(name: str, *, height: float, marks: Iterable[Markup], width: float = WIDTH) -> Picture:
    """All marks, over white; it can be saved as a file of its own."""
    named = {"xmlns": "http://www.w3.org/2000/svg"}
    return Picture(name, _whole(named, width=width, height=height, marks=marks))


def report_picture(*, height: float, marks: Iterable[Markup], alternative: str, width: float = REPORT_WIDTH) -> Markup:
    """All marks, over white, as an element of a report, with a text for those who do not see it."""
    size: dict[str, str | float] = {"role": "img", "aria-label": _printable(alternative), "width": width}
    return _whole(size, width=width, height=height, marks=marks)


def file_picture(*, height: float, width: float, marks: Iterable[Markup], alternative: str) -> Markup:
    """As `report_picture`, to be a file of its own."""
    named = {"xmlns": "http://www.w3.org/2000/svg", "role": "img", "aria-label": _printable(alternative)}
    return _whole({**named, "width": width, "height": height}, width=width, height=height, marks=marks)


def _whole(attributes: Attributes, *, width: float, height: float, marks: Iterable[Markup]) -> Markup:
    inner = Markup("").join([rectangle(0, 0, width, height, {"fill": "#ffffff"}), *marks])
    look: Attributes = {
        "viewBox": f"0 0 {width:g} {height:g}",
        "font-family": _FONT,
        "font-size": FONT_SIZE,
        "fill": INK,
    }
    return _element("svg", {**attributes, **look}, inner)


def line(x0: float, y0: float, x1: float, y1: float, stroke: Stroke) -> Markup:
    return _element("line", {"x1": x0, "y1": y0, "x2": x1, "y2": y1, **stroke.attributes})


def rectangle(x: float, y: float, width: float, height: float, attributes: Attributes, *, said: str = "") -> Markup:
    """said: shown where the pointer rests on it."""
    return _element("rect", {"x": x, "y": y, "width": width, "height": height, **attributes}, _title(said))


def circle(x: float, y: float, radius: float, colour: str, *, said: str = "", opacity: float = 1.0) -> Markup:
    seen: Attributes = {"fill-opacity": opacity} if opacity < 1 else {}
    return _element("circle", {"cx": x, "cy": y, "r": radius, "fill": colour, **seen}, _title(said))


def polygon(corners: Iterable[tuple[float, float]], colour: str) -> Markup:
    return _element("path", {"d": "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in corners) + "Z", "fill": colour})


def text(
    x: float,
    y: float,
    words: str,
    *,
    anchor: str = "start",
    colour: str = INK,
    weight: int = 400,
    size: float = FONT_SIZE,
    grounded: bool = False,
) -> Markup:
    """anchor: start, middle or end of the words at x. y: where they stand. grounded: on white, whatever was drawn."""
    attributes: dict[str, str | float] = {"x": x, "y": y, "text-anchor": anchor, "fill": colour, "font-weight": weight}
    if size != FONT_SIZE:
        attributes["font-size"] = size
    if grounded:
        attributes |= {"stroke": "#ffffff", "stroke-width": 8.0, "paint-order": "stroke"}
    return _element("text", attributes, _plain(words))


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
    return escape(_printable(words))


def _printable(words: str) -> str:
    return "".join(each if each.isprintable() or each == "\n" else " " for each in words)


def _element(name: str, attributes: Attributes, inner: Markup = Markup("")) -> Markup:  # noqa: B008 - frozen
    written = "".join(
        f' {key}="{escape(value) if isinstance(value, str) else f"{value:.6g}"}"' for key, value in attributes.items()
    )
    return Markup(f"<{name}{written}>{inner}</{name}>")  # noqa: S704 - names are ours, all else is escaped
