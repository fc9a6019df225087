"""Where in a picture does a value lie, and how is that told: axes with ticks, legends, the width of words?

Promises: an axis maps its values evenly; ticks are round and lie on it; a legend stays within its width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from oncofed.picture.drawing import FAINT, FONT_SIZE, QUIET, WIDTH, Stroke, circle, line, rectangle, rising_text, text
from oncofed.words.language import ENGLISH, Language

FloatArray = NDArray[np.float64]

_LEGEND_LINE, _LEGEND_GAP, _LEGEND_ROW = 34.0, 22.0, 22.0
_NARROW, _WIDE = frozenset("fijlrt.,:;'|!()[] /-"), frozenset("mwMW@%&")


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
class Key:
    """One entry of a legend: a line, an area where `fill` is its opacity, a dot, or several of them together."""

    text: str
    stroke: Stroke
    fill: float = 0.0
    dot: bool = False

    @staticmethod
    def area(text: str, colour: str, opacity: float = 1.0) -> Key:
        return Key(text, Stroke(colour, width=0), opacity)


def across(axis: Axis, *, top: float, bottom: float, title: str) -> list[Markup]:
    """A level axis below the picture's frame, its grid, and a title under it."""
    marks = [line(axis.at(value), top, axis.at(value), bottom, Stroke(FAINT, width=1)) for value, _ in axis.ticks]
    marks.append(line(axis.start, bottom, axis.end, bottom, Stroke(QUIET, width=1)))
    marks += [text(axis.at(value), bottom + 20, said, anchor="middle") for value, said in axis.ticks]
    if title:
        marks.append(text((axis.start + axis.end) / 2, bottom + 44, title, anchor="middle"))
    return marks


def upright(axis: Axis, *, left: float, right: float, title: str, title_at: float = 16) -> list[Markup]:
    """An upright axis left of the frame, its grid, and a title that rises beside it."""
    marks = [line(left, axis.at(value), right, axis.at(value), Stroke(FAINT, width=1)) for value, _ in axis.ticks]
    marks.append(line(left, axis.start, left, axis.end, Stroke(QUIET, width=1)))
    marks += [text(left - 8, axis.at(value) + 5, said, anchor="end") for value, said in axis.ticks]
    if title:
        marks.append(rising_text(title_at, (axis.start + axis.end) / 2, title))
    return marks


def legend(keys: Sequence[Key], *, left: float, top: float, right: float = WIDTH) -> tuple[list[Markup], float]:
    """In rows that end before `right`, and how high they are together."""
    marks, x, y = [], left, top + 14
    for key in keys:
        wide = _LEGEND_LINE + 8 + width_of(key.text)
        if x > left and x + wide > right - 10:
            x, y = left, y + _LEGEND_ROW
        if key.fill:
            shade: dict[str, str | float] = {"fill": key.stroke.colour, "fill-opacity": key.fill}
            marks.append(rectangle(x, y - 12, _LEGEND_LINE, 13, shade))
        if key.stroke.width:
            marks.append(line(x, y - 5, x + _LEGEND_LINE, y - 5, key.stroke))
        if key.dot:
            marks.append(circle(x + _LEGEND_LINE / 2, y - 5, 4.5, key.stroke.colour))
        marks.append(text(x + _LEGEND_LINE + 8, y, key.text))
        x += wide + _LEGEND_GAP
    return marks, y - top + 8


def width_of(words: str) -> float:
    """About, for the usual fonts without serifs: never far too small."""
    ems = sum(0.33 if each in _NARROW else 0.95 if each in _WIDE else 0.7 if each.isupper() else 0.56 for each in words)
    return ems * FONT_SIZE


def fitted(words: str, room: float) -> str:
    """No wider than that; what is cut shows as an ellipsis."""
    kept = words
    while width_of(words) > room and kept:
        kept = kept[:-1].rstrip()
        words = f"{kept}\N{HORIZONTAL ELLIPSIS}"
    return words


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


def to_limits(low: float, high: float, *, about: int = 7, say: Language = ENGLISH) -> tuple[tuple[float, str], ...]:
    """Round ticks with what is written there: as many decimals as tell them apart."""
    return tuple((value, plain_tick(value, say=say)) for value in round_ticks(low, high, about=about))


def counts(high: float, *, about: int = 7, say: Language = ENGLISH) -> tuple[tuple[float, str], ...]:
    """Of whole things, from 0: no tick between two of them."""
    ticks = (value for value in round_ticks(0, high, about=about) if value == round(value))
    return tuple((value, say.figures(f"{value:,.0f}")) for value in ticks)


def shares(low: float, high: float, *, about: int = 6, say: Language = ENGLISH) -> tuple[tuple[float, str], ...]:
    """Of shares, written as per cent."""
    found = round_ticks(low, high, about=about)
    return tuple((value, f"{plain_tick(100 * value, say=say)}\N{NO-BREAK SPACE}%") for value in found)


def plain_tick(value: float, *, say: Language = ENGLISH) -> str:
    return say.figures(f"{value:.6g}").replace("-", "\N{MINUS SIGN}")
