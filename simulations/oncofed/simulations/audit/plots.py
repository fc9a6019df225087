"""How do an audit's attacks look? The membership game's curves, and patients beside what an inversion made of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from scipy import stats

from oncofed.picture.axes import Axis, Key, across, legend, upright
from oncofed.picture.drawing import (
    BLUE,
    GREY,
    ORANGE,
    REPORT_WIDTH,
    SKY,
    VERMILLION,
    Stroke,
    curve,
    line,
    rectangle,
    report_picture,
    text,
)
from oncofed.simulations.audit.verdict import InvertedPatients, RocCurve

_SMALLEST_RATE = 1e-3
_LEFT, _RIGHT, _HIGH, _APART, _STRIP = 92.0, REPORT_WIDTH - 24, 340.0, 20.0, 34.0
_COLOURS = (BLUE, SKY, VERMILLION, ORANGE)


def roc_picture(curves: Sequence[RocCurve], *, mu: float) -> Markup:
    """True against false positives on logarithmic axes, with what the plan's noise allows at most."""
    grid = np.geomspace(_SMALLEST_RATE, 1.0, 200)
    alternative = "True positives against false positives of the membership game, on logarithmic axes. " + " ".join(
        f"{each.name}: {np.interp(0.01, each.false_positives, each.true_positives):.3f} at 0.01." for each in curves
    )

    allowed = stats.norm.cdf(stats.norm.ppf(grid[:-1]) + mu)
    drawn = [
        (Key(each.name, Stroke(colour)), grid, np.interp(grid, each.false_positives, each.true_positives))
        for each, colour in zip(curves, _COLOURS, strict=False)
    ]
    drawn.append((Key("most that the noise allows", Stroke(GREY, "dash")), grid[:-1], allowed))
    entries, top = legend([key for key, _, _ in drawn], left=_LEFT, top=0, right=REPORT_WIDTH)
    top += 8
    bottom, low = top + _HIGH, float(np.log10(_SMALLEST_RATE))
    ticks = tuple((float(power), f"{10.0**power:g}") for power in range(int(low), 1))
    x, y = Axis(low, 0.0, _LEFT, _RIGHT, ticks), Axis(low, 0.0, bottom, top, ticks)
    marks = [*entries, *across(x, top=top, bottom=bottom, title="others taken for members (false positives)")]
    marks += upright(y, left=_LEFT, right=_RIGHT, title="members recognised (true positives)")
    marks.append(line(x.at(-2.0), top, x.at(-2.0), bottom, Stroke(GREY, "dot", 1.2)))
    for key, rates, found in drawn:
        level = np.array([x.at(each) for each in np.log10(rates).tolist()])
        high = np.array([y.at(each) for each in np.log10(np.maximum(found, _SMALLEST_RATE)).tolist()])
        marks.append(curve(level, high, key.stroke))
    return report_picture(height=bottom + 56, marks=marks, alternative=alternative)


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

    marks: list[Markup] = []
    wide = (_RIGHT - _LEFT - 2 * _APART) / 3 / len(order)
    for panel, (group, title) in enumerate(zip(groups, titles, strict=True)):
        left = _LEFT + panel * (wide * len(order) + _APART)
        marks.append(text(left, 18, title, weight=700))
        for row, values in enumerate(group[:, order].tolist()):
            top = 28 + row * _STRIP
            if panel == 0:
                marks.append(text(left - 8, top + _STRIP / 2 + 5, f"patient {row + 1}", anchor="end"))
            # Cells drawn one by one: an image inside the page would be something loaded, which the page forbids.
            marks += [
                rectangle(left + place * wide, top, wide, _STRIP - 2, {"fill": _shade(value)})
                for place, value in enumerate(values)
            ]
    return report_picture(height=36 + _STRIP * len(found.true), marks=marks, alternative=alternative)


def _shade(value: float) -> str:
    """White for 0, red for what is above, blue for what is below; full from 2 on."""
    share = min(abs(value) / 2, 1.0)
    full = (178, 24, 43) if value > 0 else (33, 102, 172)
    return "#" + "".join(f"{round(255 + share * (each - 255)):02x}" for each in full)
