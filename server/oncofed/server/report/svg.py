"""How does a figure become part of a page that is read offline?

Promises: the same painter gives the same bytes (ids follow from the content, there is no date, and a user's own
matplotlib settings do not count); ids of two figures of different names never meet on one page; text stays text, is
escaped by matplotlib, and a "$" in a name is a dollar; every figure has an alternative text. No pyplot.

Colours are Okabe and Ito's (Color Universal Design, 2008), told apart with any common colour vision; the yellow is
darkened so that it shows on white.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from typing import Any

import matplotlib.style
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

BLUE = "#0072B2"
SKY = "#56B4E9"
GREEN = "#009E73"
ORANGE = "#E69F00"
VERMILLION = "#D55E00"
PURPLE = "#CC79A7"
OLIVE = "#9A8A00"
GREY = "#6B7680"
INK = "#1F2A33"
FAINT = "#D5DBE1"

PAGE_WIDTH_INCHES = 9.6

_STYLE: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 9.5,
    "axes.linewidth": 0.7,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "font.family": "DejaVu Sans",  # comes with matplotlib, so the layout is the same everywhere
    "font.size": 9,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "svg.fonttype": "none",
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.color": GREY,
    "ytick.labelcolor": INK,
}


def picture(
    paint: Callable[[Figure], None],
    *,
    name: str,
    alternative: str,
    height_inches: float,
    width_inches: float = PAGE_WIDTH_INCHES,
) -> Markup:
    """What `paint` draws, as an inline SVG element.

    name         of the figure, unique on the page; a word.
    alternative  the text for those who do not see it.
    """
    buffer = io.StringIO()
    with matplotlib.style.context(["default", _STYLE | {"svg.hashsalt": name}]), warnings.catch_warnings():
        # A name in another script has no glyph in the layout's font; the reader's browser has one.
        warnings.filterwarnings("ignore", message=".*missing from font", category=UserWarning)
        figure = Figure(figsize=(width_inches, height_inches), dpi=72, layout="constrained")
        paint(figure)
        canvas = FigureCanvasSVG(figure)
        # Laid out once and drawn once; `savefig` would draw twice, the first time into nothing.
        if (engine := figure.get_layout_engine()) is not None:
            engine.execute(figure)
            figure.set_layout_engine("none")
        without_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        canvas.print_svg(buffer, metadata=without_metadata)  # type: ignore[no-untyped-call]  # matplotlib leaves it so
    return _inline(buffer.getvalue(), alternative)


def without_frame(axes: Axes, *, grid: str | None = None) -> None:
    """Leave out spines and tick marks of a picture whose bars start at their names. grid: "x", "y" or None."""
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    if grid in ("x", "y"):
        axes.grid(visible=True, axis="x" if grid == "x" else "y")


def _inline(svg: str, alternative: str) -> Markup:
    """Without prologue, name spaces, style sheet, font lists and unused ids: the page brings or needs none of them.

    Names cannot be mistaken for tags here, because matplotlib has escaped every "<" in them.
    """
    body = svg[svg.index("<svg") :]
    body = re.sub(
        r"<svg [^>]*?(width=\"[^\"]*\" height=\"[^\"]*\" viewBox=\"[^\"]*\")[^>]*>", r"<svg \1>", body, count=1
    )
    body = re.sub(r"<defs>\s*<style[^>]*>[^<]*</style>\s*</defs>\s*", "", body, count=1)
    body = re.sub(r"(<text [^>]*?)font-family: [^;\">]*;? ?", r"\1", body)
    used = set(re.findall(r"(?:url\(|href=\")#([\w.-]+)", body))
    body = re.sub(r"(<\w+) id=\"([^\"]*)\"", lambda tag: tag[0] if tag[2] in used else tag[1], body)
    body = re.sub(r"\s*\n\s*", "\n", body)
    label = f'<svg role="img" aria-label="{escape(alternative)}" '
    # Trusted: written by matplotlib, which escapes names, and by the lines above.
    return Markup(body.strip().replace("<svg ", label, 1))  # noqa: S704
