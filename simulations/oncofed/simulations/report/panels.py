"""How is a panel's model shown beside that of all markers, and what smaller panels lose?"""

from __future__ import annotations

from typing import Any

from oncofed.simulations.panel_figures import figures_of
from oncofed.simulations.results import RunResult
from oncofed.words.markers import marker_label
from oncofed.words.numbers import decimals, percent, whole


def panel_content(result: RunResult) -> dict[str, Any]:
    """For the page; `panel` is None where the study asks for none."""
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
