"""How is a panel's model shown beside that of all markers, what smaller panels lose, and what assays tell for money?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from oncofed.picture.frontier import Choice, frontier_picture
from oncofed.simulations.panel_figures import figures_of
from oncofed.simulations.results import AssaysCompared, DroppedAssay, RunResult
from oncofed.words.markers import marker_label
from oncofed.words.names import plain_name
from oncofed.words.numbers import decimals, number, percent, whole


def panel_content(result: RunResult) -> dict[str, Any]:
    """For the page; `panel` and `assays` are None where the study asks for none, or they could not be compared."""
    return _panel(result) | _assays(result)


def _panel(result: RunResult) -> dict[str, Any]:
    panel = result.panel
    if panel is None:
        return {"panel": None}
    by_name = {marker.name: marker for marker in panel.schema.markers}
    models = [
        (f"All {whole(len(result.test.schema.markers))} markers", result.main),
        (f"Panel of {whole(len(panel.markers))}", panel.main),
    ]
    return {
        "panel": panel,
        "panel_rows": [(name, figures_of(found)) for name, found in models],
        "panel_markers": ", ".join(marker_label(by_name[name]) for name in panel.markers),
        "panel_budget": _budget(result),
        "panel_smallest": _smallest(result),
    }


def _budget(result: RunResult) -> str:
    """What both trainings cost together."""
    asked = result.study.privacy
    if not asked.mode.private:
        return "Neither training is private."
    share = result.study.panel.share
    return (
        f"Both trainings are of the same patients: together they may spend epsilon {decimals(asked.epsilon, 2)}, of "
        f"which the panel has {percent(share)} (by what the noise lets through). What was spent, above, counts both."
    )


def _smallest(result: RunResult) -> str:
    assert result.panel is not None
    path = result.panel.path
    if path is None:
        return "Not computed: nobody was set aside for measuring."
    least = percent(1 - path.margin)
    if path.smallest is None:
        return f"Of none of these panels is it certain that it keeps {least} of what all markers tell."
    return (
        f"The first panel that keeps {least} of what all markers tell, for certain, has {whole(path.smallest)} markers."
    )


def _assays(result: RunResult) -> dict[str, Any]:
    found = result.assays
    if found is None:
        return {"assays": None}
    return {
        "assays": found,
        "assay_rows": [(named(each.assays), each) for each in found.frontier],
        "assay_figure": assays_picture(found),
        "assay_words": [dropped_words(each) for each in found.dropped],
    }


def assays_picture(found: AssaysCompared) -> Markup:
    """What every set of assays tells, against its price."""
    choices = [
        Choice(named(each.assays), each.price, each.told.mean, each.told.low, each.told.high, each.on_frontier)
        for each in found.options
    ]
    said = "; ".join(
        f"{named(each.assays)} {number(each.price)}: {decimals(each.told.mean)}" for each in found.frontier
    )
    return frontier_picture(
        choices,
        price_title="price a patient",
        value_title="nats a patient",
        alternative=f"What sets of assays tell in nats a patient, against their price. The best: {said}",
    )


def named(assays: Sequence[str]) -> str:
    """A set of them, in words."""
    return " + ".join(map(plain_name, assays)) or "none of them"


def dropped_words(dropped: DroppedAssay) -> str:
    """What is saved and lost without one of them."""
    loss = dropped.loss
    what = "loses" if loss.mean >= 0 else "gains"
    ends = (loss.low, loss.high) if loss.mean >= 0 else (-loss.high, -loss.low)
    limits = "" if math.isnan(ends[0]) else f" ({decimals(ends[0])} to {decimals(ends[1])})"
    return (
        f"Without {plain_name(dropped.name)}: saves {number(dropped.saves)} a patient, {what} "
        f"{decimals(abs(loss.mean))}{limits} nats."
    )
