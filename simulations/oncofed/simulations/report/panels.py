"""How is a panel's model shown beside that of all markers, what smaller panels lose, and what assays tell for money?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from oncofed.picture.frontier import Choice, frontier_picture
from oncofed.simulations.panel_figures import figures_of
from oncofed.simulations.results import AssaysCompared, DroppedAssay, RunResult
from oncofed.words.language import ENGLISH, Language
from oncofed.words.markers import marker_label
from oncofed.words.names import plain_name
from oncofed.words.numbers import decimals, number, percent, whole


def panel_content(result: RunResult, *, say: Language = ENGLISH) -> dict[str, Any]:
    """For the page; `panel` and `assays` are None where the study asks for none, or they could not be compared."""
    return _panel(result, say) | _assays(result, say)


def _panel(result: RunResult, say: Language) -> dict[str, Any]:
    panel = result.panel
    if panel is None:
        return {"panel": None}
    by_name = {marker.name: marker for marker in panel.schema.markers}
    models = [
        (say("All %(count)s markers", count=whole(len(result.test.schema.markers), say=say)), result.main),
        (say("Panel of %(count)s", count=whole(len(panel.markers), say=say)), panel.main),
    ]
    return {
        "panel": panel,
        "panel_rows": [(name, figures_of(found)) for name, found in models],
        "panel_markers": ", ".join(marker_label(by_name[name], say=say) for name in panel.markers),
        "panel_budget": _budget(result, say),
        "panel_smallest": _smallest(result, say),
    }


def _budget(result: RunResult, say: Language) -> str:
    """What both trainings cost together."""
    asked = result.study.privacy
    if not asked.mode.private:
        return say("Neither training is private.")
    share = result.study.panel.share
    return say(
        "Both trainings are of the same patients: together they may spend epsilon %(epsilon)s, of which the panel has "
        "%(share)s (by what the noise lets through). What was spent, above, counts both.",
        epsilon=decimals(asked.epsilon, 2, say=say),
        share=percent(share, say=say),
    )


def _smallest(result: RunResult, say: Language) -> str:
    assert result.panel is not None
    path = result.panel.path
    if path is None:
        return say("Not computed: nobody was set aside for measuring.")
    least = percent(1 - path.margin, say=say)
    if path.smallest is None:
        return say(
            "Of none of these panels is it certain that it keeps %(least)s of what all markers tell.", least=least
        )
    return say(
        "The first panel that keeps %(least)s of what all markers tell, for certain, has %(count)s markers.",
        least=least,
        count=whole(path.smallest, say=say),
    )


def _assays(result: RunResult, say: Language) -> dict[str, Any]:
    found = result.assays
    if found is None:
        return {"assays": None}
    return {
        "assays": found,
        "assay_rows": [(named(each.assays, say=say), each) for each in found.frontier],
        "assay_figure": assays_picture(found, say=say),
        "assay_words": [dropped_words(each, say=say) for each in found.dropped],
    }


def assays_picture(found: AssaysCompared, *, say: Language = ENGLISH) -> Markup:
    """What every set of assays tells, against its price."""
    choices = [
        Choice(named(each.assays, say=say), each.price, each.told.mean, each.told.low, each.told.high, each.on_frontier)
        for each in found.options
    ]
    said = "; ".join(
        f"{named(each.assays, say=say)} {number(each.price, say=say)}: {decimals(each.told.mean, say=say)}"
        for each in found.frontier
    )
    return frontier_picture(
        choices,
        price_title=say("price a patient"),
        value_title=say("nats a patient"),
        alternative=say(
            "What sets of assays tell in nats a patient, against their price. The best: %(best)s", best=said
        ),
        say=say,
    )


def named(assays: Sequence[str], *, say: Language = ENGLISH) -> str:
    """A set of them, in words."""
    return " + ".join(map(plain_name, assays)) or say("none of them")


def dropped_words(dropped: DroppedAssay, *, say: Language = ENGLISH) -> str:
    """What is saved and lost without one of them."""
    loss = dropped.loss
    ends = (loss.low, loss.high) if loss.mean >= 0 else (-loss.high, -loss.low)
    low, high = (decimals(each, say=say) for each in ends)
    told = {
        "name": plain_name(dropped.name),
        "saves": number(dropped.saves, say=say),
        "nats": decimals(abs(loss.mean), say=say),
        "limits": "" if math.isnan(ends[0]) else say(" (%(low)s to %(high)s)", low=low, high=high),
    }
    if loss.mean >= 0:
        return say("Without %(name)s: saves %(saves)s a patient, loses %(nats)s%(limits)s nats.", **told)
    return say("Without %(name)s: saves %(saves)s a patient, gains %(nats)s%(limits)s nats.", **told)
