"""How does an audit become one page that anybody can read offline?

Promises: as every report (`server.report.html_page`): one file, no script, nothing loaded, every text escaped. Only
patients of a synthetic study are drawn: what an attack reads out of real ones is nobody's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from oncofed.server.report.html_page import rendered, write_page
from oncofed.simulations.audit.plots import inversion_picture, roc_picture
from oncofed.simulations.audit.verdict import InvertedPatients, Outcome, RocCurve, Verdict

_WORDS = {
    Outcome.FAILED: "failed",
    Outcome.PASSED: "passed",
    Outcome.NO_POWER: "no power",
    Outcome.NOT_APPLICABLE: "not applicable",
}


def write_audit_page(
    path: Path,
    *,
    title: str,
    facts: Sequence[tuple[str, str]],
    verdicts: Sequence[Verdict],
    unseen: Sequence[str],
    mu: float | None,
    draw_patients: bool,
) -> None:
    """Write the page, whole or not at all.

    facts   about what was audited. unseen: what no check can see, in sentences.
    mu      what all releases together allow, for the picture of the membership game.
    """
    failed = [verdict.check for verdict in verdicts if verdict.failed]
    passed = sum(verdict.passed for verdict in verdicts)
    answer = (
        f"Failed: {', '.join(failed)}. This is not what the plan promises."
        if failed
        else f"{passed} of {len(verdicts)} checks passed, and none failed."
    )
    content = {
        "title": title,
        "answer": answer,
        "failed": failed,
        "facts": facts,
        "verdicts": [(verdict, _WORDS[verdict.outcome]) for verdict in verdicts],
        "figures": _figures(verdicts, mu=mu, draw_patients=draw_patients),
        "unseen": unseen,
    }
    write_page(rendered("oncofed.simulations.audit", content), path)


def _figures(verdicts: Sequence[Verdict], *, mu: float | None, draw_patients: bool) -> list[tuple[Markup, str]]:
    found: list[tuple[Markup, str]] = []
    for verdict in verdicts:
        curves = [each for each in verdict.evidence if isinstance(each, RocCurve)]
        if curves and mu is not None:
            caption = (
                "Who took part? Of all models and patients of the membership game. An attack on a plan that is kept "
                "stays below the dashed line, but for chance; the control differs in noise and clip only."
            )
            found.append((roc_picture(curves, mu=mu), caption))
        for each in verdict.evidence:
            if isinstance(each, InvertedPatients) and draw_patients:
                caption = (
                    "What a hostile coordinator reads out of the sums by crafted weights: made-up patients of the "
                    "synthetic study, each as its largest inputs."
                )
                found.append((inversion_picture(each), caption))
    return found
