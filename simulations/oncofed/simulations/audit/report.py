"""What does an audit leave behind? `audit.json` for programs, `audit.html` for people; and what neither can claim."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from oncofed.simulations.audit.page import write_audit_page
from oncofed.simulations.audit.target import Target
from oncofed.simulations.audit.verdict import Verdict, verdict_to_json
from oncofed.simulations.figures_file import write_json

Facts = Sequence[tuple[str, str]]

UNSEEN_OF_A_STUDY = (
    "A passed check is no proof: an attack that nobody has thought of may do better. The proof is in docs/privacy.md.",
    "Defects below the sizes that stand under \u201cwould notice\u201d, several of them together included.",
    "The machine: whether the operating system's random numbers can be foreseen, and how long an answer takes.",
    "Another installation than this one. A hospital runs the audit on the program that it uses.",
    "What leaves by other ways than contributions: logs, tables that are sent by hand, figures of a simulation.",
    "Whether the schema's constants were taken from the patients, and whether a patient has two rows or two hospitals.",
    "Noise that fails on rare occasions only, and code that behaves when it is audited.",
)


def facts_of_target(target: Target, *, quick: bool, broken: str | None) -> Facts:
    """What was attacked, in words."""
    plan = target.plan
    privacy = plan.privacy
    return [
        *([] if broken is None else [("Broken on purpose", broken)]),
        ("Study", plan.study),
        ("Plan hash", plan.hash),
        ("Privacy mode", privacy.mode.value),
        ("Promised", f"epsilon {privacy.epsilon:g} at delta {privacy.delta:g}, one patient of one hospital"),
        ("Noise of a release", f"{target.sigma:.4g} clip norms"),
        ("Releases", f"{plan.training.rounds} rounds and a reserve of {privacy.reserve_rounds}"),
        ("Model", f"{plan.model.parameters:,} parameters, ReLU units {list(plan.model.hidden_units)}"),
        ("Patients", f"{len(target.patients):,} to choose from, {len(target.reference):,} known to the attacker"),
        ("Samples", "quick" if quick else "full"),
    ]


def write_report(
    folder: Path,
    *,
    title: str,
    facts: Facts,
    verdicts: Sequence[Verdict],
    unseen: Sequence[str],
    mu: float | None,
    draw_patients: bool,
) -> None:
    """Write both files to the folder, which is made when it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "title": title,
        "facts": dict(facts),
        "passed": not any(verdict.failed for verdict in verdicts),
        "verdicts": [verdict_to_json(verdict) for verdict in verdicts],
        "unseen": list(unseen),
    }
    write_json(folder / "audit.json", content)
    write_audit_page(
        folder / "audit.html",
        title=title,
        facts=facts,
        verdicts=verdicts,
        unseen=unseen,
        mu=mu,
        draw_patients=draw_patients,
    )
