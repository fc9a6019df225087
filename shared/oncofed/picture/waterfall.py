"""How does one patient's hazard come about, part by part? Each bar begins where the last one has ended.

Promises: parts in the order given, from 0; the last bar is their sum, from 0; a bar to the right raises the hazard; no
line goes through a number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise

from markupsafe import Markup

from oncofed.picture.drawing import INK, QUIET, Stroke, line
from oncofed.picture.rows import Rows


def sums(parts: Sequence[float]) -> list[float]:
    """Where bars begin and end."""
    return list(accumulate(parts, initial=0.0))


def waterfall(
    frame: Rows,
    parts: Sequence[float],
    *,
    worse: str,
    better: str,
    said: Callable[[float], str],
    said_whole: Callable[[float], str],
    whole: float,
) -> list[Markup]:
    """A row of the frame for each part, and one for the whole. worse, better: colours."""
    marks, numbers = list(frame.marks), []
    for row, (begin, end) in enumerate(pairwise(sums(parts))):
        marks.append(line(frame.x.at(end), frame.top(row), frame.x.at(end), frame.top(row + 1), Stroke(QUIET, width=1)))
        marks += frame.bar(row, begin, end, worse if end > begin else better)
        numbers.append(frame.beside(row, begin, end, said(end - begin), before=end < begin))
    marks += [*frame.bar(len(parts), 0.0, whole, INK), frame.zero()]
    return [*marks, *numbers, frame.beside(len(parts), 0.0, whole, said_whole(whole), before=whole < 0, weight=700)]
