"""How do the explanations of one hospital look: strongest markers, modalities, three patients?

A bar to the right raises the hazard, to the left lowers it, and no meaning hangs on colour alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

from markupsafe import Markup

from oncofed.cohort.schema import Modality
from oncofed.picture.axes import Key, legend, to_limits
from oncofed.picture.drawing import (
    BLUE,
    GREEN,
    GREY,
    OLIVE,
    ORANGE,
    PURPLE,
    QUIET,
    REPORT_WIDTH,
    SKY,
    VERMILLION,
    Stroke,
    line,
    report_picture,
    text,
)
from oncofed.picture.rows import BELOW, Rows
from oncofed.picture.waterfall import sums, waterfall
from oncofed.simulations.report.explanations import LOWERS, RAISES, ExamplePatient, MarkerStrength
from oncofed.words.language import ENGLISH, Language, later
from oncofed.words.names import MODALITY_NAMES, shortened
from oncofed.words.numbers import decimals, hazard_ratio, percent, plainly, signed, whole

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
SIGNS = {
    RAISES: later("\N{BLACK UP-POINTING TRIANGLE} raises"),
    LOWERS: later("\N{BLACK DOWN-POINTING TRIANGLE} lowers"),
}
LONGEST_MARKER = 40
LONGEST_LABEL = 50
LONGEST_LEVEL = 24
_PITCH, _RIGHT, _NARROW, _BARS_BEGIN = 25.0, REPORT_WIDTH - 24, 680.0, 380.0


def strongest_picture(markers: Sequence[MarkerStrength], *, say: Language = ENGLISH) -> Markup:
    """Mean absolute relevance of the strongest markers, coloured by modality, with their direction."""
    alternative = (
        say("Bars: the strongest markers by mean absolute relevance:")
        + " "
        + "; ".join(
            f"{marker.name} {decimals(marker.strength, say=say)} ({say(marker.direction.value)})" for marker in markers
        )
    )

    present = [modality for modality in Modality if any(marker.modality is modality for marker in markers)]
    keys = [Key.area(say(MODALITY_NAMES[each]), COLOURS[each]) for each in present]
    entries, above = legend(keys, left=8, top=0, right=REPORT_WIDTH)
    most = 1.15 * max(marker.strength for marker in markers)
    frame = Rows(
        [shortened(marker.name, LONGEST_MARKER) for marker in markers],
        (0.0, most, to_limits(0.0, most, say=say)),
        say("mean absolute relevance (log hazard ratio)"),
        right=_RIGHT,
        pitch=_PITCH,
        above=above + 4,
    )
    marks = [*entries, *frame.marks]
    for row, marker in enumerate(markers):
        marks += frame.bar(row, 0.0, marker.strength, COLOURS[marker.modality], say(SIGNS.get(marker.direction, "")))
    return report_picture(height=frame.bottom + BELOW, marks=marks, alternative=alternative)


def modalities_picture(modalities: Sequence[tuple[Modality, float]], *, say: Language = ENGLISH) -> Markup:
    """Share of each modality in the strength of all markers."""
    alternative = (
        say("Bars: share of each modality:")
        + " "
        + "; ".join(f"{say(MODALITY_NAMES[modality])} {percent(share, say=say)}" for modality, share in modalities)
    )

    names = [say(MODALITY_NAMES[modality]) for modality, _ in modalities]
    most = 1.12 * max(share for _, share in modalities)
    frame = Rows(names, (0.0, most, ()), "", right=_NARROW - 24, pitch=_PITCH)
    marks = list(frame.marks)
    for row, (modality, share) in enumerate(modalities):
        marks += frame.bar(row, 0.0, share, COLOURS[modality], percent(share, say=say))
    return report_picture(height=frame.bottom + 8, width=_NARROW, marks=marks, alternative=alternative)


def waterfall_picture(patient: ExamplePatient, *, limits: tuple[float, float], say: Language = ENGLISH) -> Markup:
    """From the reference patient (0) to this patient's log hazard ratio, strongest marker first.

    limits  of the axis, the same for all patients so that they can be compared.
    """
    steps = [part.log_hazard_ratio for part in patient.parts]
    labels = [_label(part.marker, part.level) for part in patient.parts]
    if patient.other_count:
        steps.append(patient.others)
        labels.append(say("%(count)s other markers together", count=whole(patient.other_count, say=say)))
    told = partial(signed, say=say)
    alternative = (
        say(
            "%(name)s, %(place)s: %(total)s, a hazard ratio of %(ratio)s.",
            name=patient.name,
            place=patient.place,
            total=told(patient.total),
            ratio=hazard_ratio(patient.total, say=say),
        )
        + " "
        + "; ".join(f"{label} {told(step)}" for label, step in zip(labels, steps, strict=True))
    )

    frame = Rows(
        [*labels, say("log hazard ratio of this patient")],
        (*limits, to_limits(*limits, say=say)),
        say("log hazard ratio against the reference patient"),
        right=_RIGHT,
        pitch=_PITCH,
        above=52.0,
        left=_BARS_BEGIN,  # so that the three patients' axes stand beneath each other
        bold_last=True,
    )
    marks = waterfall(
        frame,
        steps,
        worse=VERMILLION,
        better=BLUE,
        said=told,
        said_whole=told,
        whole=patient.total,
    )
    above = [text((_BARS_BEGIN + _RIGHT) / 2, 16, say("hazard ratio"), anchor="middle")]
    for ratio in hazard_ratio_ticks(limits):
        at = frame.x.at(math.log(ratio))
        above += [text(at, 38, plainly(ratio, say=say), anchor="middle"), line(at, 43, at, 48, Stroke(QUIET, width=1))]
    return report_picture(height=frame.bottom + BELOW, marks=[*above, *marks], alternative=alternative)


def waterfall_limits(patients: Sequence[ExamplePatient]) -> tuple[float, float]:
    """An axis on which every patient's steps, and the figures beside them, find room."""
    reached = [0.0]
    for patient in patients:
        reached += [*sums([*(part.log_hazard_ratio for part in patient.parts), patient.others]), patient.total]
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
