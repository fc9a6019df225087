"""How are names set down the left, each with a bar, a dot or a whisker against one level axis?

Promises: a bar reaches from one value to the other and no further, rows do not touch, names end before the axis begins,
and are cut where they would begin before the picture.
"""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from oncofed.picture.axes import Axis, across, fitted, width_of
from oncofed.picture.drawing import QUIET, WIDTH, Stroke, circle, line, rectangle, text
from oncofed.picture.scales import Scale

BELOW = 58.0
"""What an axis with its title takes beneath the rows."""
_MARGIN = 24.0
WHISKER = Stroke(QUIET, width=1.4)


def left_of_bars(names: Sequence[str], widest: float) -> float:
    """Where the axis begins. widest: that names may be; beyond, they are cut."""
    return min(max(width_of(name) for name in names), widest) + 16


class Rows:
    """One row for each name, at its left; a level axis below. Everything is laid out when it is made.

    right     where the axis ends.
    pitch     from one row to the next.
    above     what stands over the first row, such as a legend.
    """

    def __init__(
        self,
        names: Sequence[str],
        scale: Scale,
        title: str,
        *,
        right: float = WIDTH - _MARGIN,
        pitch: float = 30.0,
        above: float = 6.0,
        widest_names: float = 330.0,
        left: float | None = None,
        bold_last: bool = False,
    ) -> None:
        low, high, ticks = scale
        self.pitch, self.above = pitch, above
        self.left = left_of_bars(names, widest_names) if left is None else left
        self.bottom = self.top(len(names)) + 6
        self.x = Axis(low, high, self.left, right, ticks)
        self.marks: list[Markup] = across(self.x, top=self.top(0), bottom=self.bottom, title=title)
        for row, name in enumerate(names):
            weight = 700 if bold_last and row == len(names) - 1 else 400
            said = fitted(name, self.left - 14)
            self.marks.append(text(self.left - 10, self.middle(row) + 5, said, anchor="end", weight=weight))

    def top(self, row: int) -> float:
        return self.above + self.pitch * row

    def middle(self, row: int) -> float:
        return self.top(row) + self.pitch / 2

    def zero(self, value: float = 0.0) -> Markup:
        """A line through all rows."""
        return line(self.x.at(value), self.top(0), self.x.at(value), self.bottom, WHISKER)

    def bar(
        self,
        row: int,
        begin: float,
        end: float,
        colour: str,
        told: str = "",
        *,
        before: bool = False,
    ) -> list[Markup]:
        """told: written before or after the bar."""
        left, right = sorted((self.x.at(begin), self.x.at(end)))
        high = self.pitch * 2 / 3
        marks = [rectangle(left, self.middle(row) - high / 2, max(right - left, 1.0), high, {"fill": colour})]
        return [*marks, self.beside(row, begin, end, told, before=before)] if told else marks

    def beside(
        self, row: int, begin: float, end: float, told: str, *, before: bool = False, weight: int = 400
    ) -> Markup:
        """What is told of a bar, before or after it, on a ground of its own: a line drawn before it ends at it."""
        left, right = sorted((self.x.at(begin), self.x.at(end)))
        place, anchor = (left - 5, "end") if before else (right + 5, "start")
        return text(place, self.middle(row) + 5, told, anchor=anchor, weight=weight, grounded=True)

    def dot(self, row: int, value: float, colour: str, *, said: str = "", radius: float = 4.5) -> Markup:
        return circle(self.x.at(value), self.middle(row), radius, colour, said=said)

    def whisker(self, row: int, low: float, high: float, stroke: Stroke = WHISKER) -> list[Markup]:
        """From one limit to the other, with an end on each."""
        y, ends = self.middle(row), [self.x.at(limit) for limit in (low, high)]
        return [line(ends[0], y, ends[1], y, stroke), *(line(end, y - 5, end, y + 5, stroke) for end in ends)]
