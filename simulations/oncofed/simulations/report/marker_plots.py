"""How do the explanations of one hospital look: strongest markers, modalities, three patients?

A bar to the right raises the hazard, to the left lowers it, and no meaning hangs on colour alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from oncofed.cohort.schema import Modality
from oncofed.server.report.svg import (
    BLUE,
    GREEN,
    GREY,
    INK,
    OLIVE,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    picture,
    without_frame,
)
from oncofed.simulations.report.explanations import LOWERS, RAISES, ExamplePatient, MarkerStrength
from oncofed.words.names import MODALITY_NAMES, shortened
from oncofed.words.numbers import decimals, hazard_ratio, percent, signed

COLOURS = {
    Modality.CLINICAL: BLUE,
    Modality.LABORATORY: ORANGE,
    Modality.BODY_COMPOSITION: GREEN,
    Modality.DNA_MUTATION: VERMILLION,
    Modality.DNA_COPY_NUMBER: PURPLE,
    Modality.RNA_EXPRESSION: SKY,
    Modality.PROTEIN_EXPRESSION: OLIVE,
    Modality.TREATMENT: GREY,
}
SIGNS = {RAISES: "\N{BLACK UP-POINTING TRIANGLE} raises", LOWERS: "\N{BLACK DOWN-POINTING TRIANGLE} lowers"}
LONGEST_MARKER = 40
LONGEST_LABEL = 50
LONGEST_LEVEL = 24


def strongest_picture(markers: Sequence[MarkerStrength]) -> Markup:
    """Mean absolute relevance of the strongest markers, coloured by modality, with their direction."""
    alternative = "Bars: the strongest markers by mean absolute relevance: " + "; ".join(
        f"{marker.name} {decimals(marker.strength)} ({marker.direction})" for marker in markers
    )

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        places = np.arange(len(markers))
        strengths = [marker.strength for marker in markers]
        axes.barh(places, strengths, color=[COLOURS[marker.modality] for marker in markers], height=0.7)
        for place, marker in zip(places, markers, strict=True):
            axes.annotate(
                SIGNS.get(marker.direction, ""),
                (marker.strength, place),
                (5, 0),
                textcoords="offset points",
                va="center",
                color=GREY,
                fontsize=8,
            )
        axes.set_yticks(places, [shortened(marker.name, LONGEST_MARKER) for marker in markers])
        axes.set_ylim(len(markers) - 0.4, -0.6)
        axes.set_xlim(0, 1.12 * max(strengths))
        axes.set_xlabel("mean absolute relevance (log hazard ratio)")
        without_frame(axes, grid="x")
        present = [modality for modality in Modality if any(marker.modality is modality for marker in markers)]
        axes.legend(
            handles=[Patch(color=COLOURS[each], label=MODALITY_NAMES[each]) for each in present],
            loc="lower left",
            bbox_to_anchor=(-0.01, 1.0),
            ncols=4,
            borderaxespad=0.1,
        )

    height = 1.25 + 0.235 * len(markers)
    return picture(paint, name="strongest", alternative=alternative, height_inches=height)


def modalities_picture(modalities: Sequence[tuple[Modality, float]]) -> Markup:
    """Share of each modality in the strength of all markers."""
    alternative = "Bars: share of each modality: " + "; ".join(
        f"{MODALITY_NAMES[modality]} {percent(share)}" for modality, share in modalities
    )

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        places = np.arange(len(modalities))
        axes.barh(
            places, [share for _, share in modalities], color=[COLOURS[each] for each, _ in modalities], height=0.7
        )
        for place, (_, share) in zip(places, modalities, strict=True):
            axes.annotate(percent(share), (share, place), (5, 0), textcoords="offset points", va="center")
        axes.set_yticks(places, [MODALITY_NAMES[modality] for modality, _ in modalities])
        axes.set_ylim(len(modalities) - 0.4, -0.6)
        axes.set_xlim(0, 1.1 * max(share for _, share in modalities))
        axes.set_xticks([])
        without_frame(axes)

    height = 0.25 + 0.25 * len(modalities)
    return picture(paint, name="modalities", alternative=alternative, height_inches=height, width_inches=6.4)


def waterfall_picture(patient: ExamplePatient, *, number: int, limits: tuple[float, float]) -> Markup:
    """From the reference patient (0) to this patient's log hazard ratio, strongest marker first.

    limits  of the axis, the same for all patients so that they can be compared.
    """
    steps = [part.log_hazard_ratio for part in patient.parts]
    labels = [_label(part.marker, part.level) for part in patient.parts]
    if patient.other_count:
        steps.append(patient.others)
        labels.append(f"{patient.other_count:,} other markers together")
    ends = np.cumsum(steps) if steps else np.zeros(0)
    alternative = (
        f"{patient.name}, {patient.place} log hazard ratio: {signed(patient.total)}, "
        f"a hazard ratio of {hazard_ratio(patient.total)}. "
        + "; ".join(f"{label} {signed(step)}" for label, step in zip(labels, steps, strict=True))
    )

    height = 1.1 + 0.225 * (len(steps) + 1)

    def paint(figure: Figure) -> None:
        figure.set_layout_engine("none")  # so that the three patients' axes stand beneath each other
        axes = figure.add_axes((0.36, 0.5 / height, 0.63, 1 - 1.0 / height))
        axes.axvline(0, color=GREY, linewidth=0.8)
        for place, (step, end) in enumerate(zip(steps, ends, strict=True)):
            axes.barh(place, step, left=end - step, color=VERMILLION if step >= 0 else BLUE, height=0.66)
            axes.plot([end, end], [place - 0.33, place + 1.33], color=GREY, linewidth=0.6)
            _figure_beside(axes, step, at=end, place=place)
        axes.barh(len(steps), patient.total, color=INK, height=0.66)
        _figure_beside(axes, patient.total, at=patient.total, place=len(steps), weight="bold")
        axes.set_yticks(range(len(steps) + 1), [*labels, "log hazard ratio of this patient"])
        axes.get_yticklabels()[-1].set_fontweight("bold")
        axes.set_ylim(len(steps) + 0.6, -0.6)
        axes.set_xlim(*limits)
        axes.set_xlabel("log hazard ratio against the reference patient")
        without_frame(axes, grid="x")
        ratios = hazard_ratio_ticks(limits)
        above = axes.twiny()
        above.set_xlim(*limits)
        above.set_xticks(np.log(ratios), [f"{ratio:g}" for ratio in ratios])
        above.set_xlabel("hazard ratio")
        without_frame(above)

    return picture(paint, name=f"patient{number}", alternative=alternative, height_inches=height)


def _figure_beside(axes: Axes, step: float, *, at: float, place: int, weight: str = "normal") -> None:
    """The step in figures where its bar ends, readable across grid lines."""
    axes.annotate(
        signed(step),
        (at, place),
        (4 if step >= 0 else -4, 0),
        textcoords="offset points",
        va="center",
        ha="left" if step >= 0 else "right",
        fontsize=8,
        fontweight=weight,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
    )


def waterfall_limits(patients: Sequence[ExamplePatient]) -> tuple[float, float]:
    """An axis on which every patient's steps, and the figures beside them, find room."""
    reached = [0.0]
    for patient in patients:
        steps = [*(part.log_hazard_ratio for part in patient.parts), patient.others]
        reached += [*np.cumsum(steps).tolist(), patient.total]
    low, high = min(reached), max(reached)
    room = 0.09 * max(high - low, 1e-3)
    return low - room, high + room


def _label(marker: str, level: str) -> str:
    if not level:
        return shortened(marker, LONGEST_LABEL)
    return f"{shortened(marker, LONGEST_LABEL - 2 - min(len(level), LONGEST_LEVEL))}: {shortened(level, LONGEST_LEVEL)}"


def hazard_ratio_ticks(limits: tuple[float, float]) -> list[float]:
    """Round hazard ratios inside limits given as log hazard ratios, at most twelve of them."""
    low, high = max(limits[0], -600.0), min(limits[1], 600.0)  # beyond, the ratio itself has no number
    decades = range(int(low / math.log(10)) - 1, int(high / math.log(10)) + 2)
    found: list[float] = []
    for digits, every in (
        ((1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.5), 1),
        ((1.0, 2.0, 5.0), 1),
        ((1.0,), 1),
        ((1.0,), 5),
        ((1.0,), 20),
        ((1.0,), 100),
    ):
        found = [
            digit * 10.0**decade
            for decade in decades
            for digit in digits
            if decade % every == 0 and low <= math.log(digit) + decade * math.log(10) <= high
        ]
        if len(found) <= 12:
            break
    return found
