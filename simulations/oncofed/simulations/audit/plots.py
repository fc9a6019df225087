"""How do an audit's attacks look? The membership game's curves, and patients beside what an inversion made of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from scipy import stats

from oncofed.server.report.svg import BLUE, GREY, ORANGE, SKY, VERMILLION, picture
from oncofed.simulations.audit.verdict import InvertedPatients, RocCurve

_SMALLEST_RATE = 1e-3
_COLOURS = (BLUE, SKY, VERMILLION, ORANGE)


def roc_picture(curves: Sequence[RocCurve], *, mu: float) -> Markup:
    """True against false positives on logarithmic axes, with what the plan's noise allows at most."""
    grid = np.geomspace(_SMALLEST_RATE, 1.0, 200)
    alternative = "True positives against false positives of the membership game, on logarithmic axes. " + " ".join(
        f"{curve.name}: {np.interp(0.01, curve.false_positives, curve.true_positives):.3f} at 0.01." for curve in curves
    )

    def paint(figure: Figure) -> None:
        axes: Axes = figure.subplots()
        for curve, colour in zip(curves, _COLOURS, strict=False):
            shown = np.interp(grid, curve.false_positives, curve.true_positives)
            axes.plot(grid, np.maximum(shown, _SMALLEST_RATE), color=colour, label=curve.name)
        allowed = stats.norm.cdf(stats.norm.ppf(grid[:-1]) + mu)
        axes.plot(grid[:-1], allowed, color=GREY, linestyle="--", label="most that the noise allows")
        axes.axvline(0.01, color=GREY, linewidth=0.8, linestyle=":")
        axes.set(
            xscale="log",
            yscale="log",
            xlim=(_SMALLEST_RATE, 1),
            ylim=(_SMALLEST_RATE, 1),
            xlabel="others taken for members (false positives)",
            ylabel="members recognised (true positives)",
        )
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:g}"))
        axes.legend(loc="center left", bbox_to_anchor=(1.02, 0.5))

    return picture(paint, name="membership", alternative=alternative, height_inches=4.2)


def inversion_picture(found: InvertedPatients) -> Markup:
    """A row a patient: the true inputs as a strip of colours, and the nearest reconstruction without and with noise."""
    titles = ("the patient", "read out, noise off", "read out, noise on")
    groups = (found.true, found.without_noise, found.with_noise)
    # Columns in which these patients differ most are what a reader can compare.
    order = np.argsort(-np.abs(found.true).sum(axis=0), kind="stable")[:60]
    alternative = (
        f"The {len(order)} largest inputs of {len(found.true)} patients as colours, beside what the attack read out of "
        "the sums. Without noise the strips are alike; with noise they have nothing in common."
    )

    def paint(figure: Figure) -> None:
        for axes, group, title in zip(figure.subplots(1, 3), groups, titles, strict=True):
            # Cells drawn one by one: an image inside the page would be something loaded, which the page forbids.
            axes.pcolormesh(group[:, order], cmap="RdBu_r", vmin=-2, vmax=2)
            axes.invert_yaxis()
            axes.set_title(title)
            axes.set_yticks(np.arange(len(group)) + 0.5, [f"patient {number}" for number in range(1, len(group) + 1)])
            axes.set_xticks([])
            axes.grid(visible=False)
            if title != titles[0]:
                axes.set_yticklabels([])

    return picture(paint, name="inversion", alternative=alternative, height_inches=2.4)
