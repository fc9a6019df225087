"""How does a study stand, in lines for a terminal?

Promises: plain characters only, so that a hospital's name or a reason cannot steer the terminal.
"""

from __future__ import annotations

from oncofed.protocol.plan_hash import SHOWN_DIGITS
from oncofed.protocol.plan_words import cost_of
from oncofed.server.report.attendance import in_ranges, troubles
from oncofed.server.report.study import DeployedStudy, state_in_words
from oncofed.words.names import one_line
from oncofed.words.numbers import counted, decimals

_NAME_WIDTH = 30


def status_lines(study: DeployedStudy, *, shown: str = "") -> tuple[str, ...]:
    """A compact view: the state, each hospital's answers and troubles, the promise, the model.

    shown  as much of its hash as names it where it lies.
    """
    plan = study.plan
    lines = [f"study {plan.study} (plan {shown or plan.hash[:SHOWN_DIGITS]}): {state_in_words(study)}"]
    if study.stopped is not None:
        lines += [f"  {line.strip()}" for line in study.stopped.words.splitlines() if line.strip()]
    if study.rounds:
        last = max(study.rounds, key=lambda row: row.round)
        lines.append(
            f"last recorded round: {last.round}, finished {last.finished_at:%Y-%m-%d %H:%M:%S %Z}".rstrip()
            + f", {decimals(last.seconds, 1)} s, {len(last.answered)} of {len(plan.roster)} answered"
        )
    newest = study.newest
    if newest is not None:
        words = "; ".join(line.strip() for line in newest.words.splitlines() if line.strip())
        lines.append(f"since {newest.at:%Y-%m-%d %H:%M:%S %Z}: {newest.event}{f' ({words})' if words else ''}")
    if study.unrecorded:
        lines.append(f"rounds done but not recorded: {in_ranges(study.unrecorded)}")
    lines.append(
        f"answers in {counted(len(study.rounds), 'recorded round', 'recorded rounds')}:"
        if plan.trains
        else "answers to the count:"
        if plan.validates is None
        else "answers about the model:"
    )
    width = min(_NAME_WIDTH, max(len(one_line(site)) for site in plan.roster))
    found = troubles(study)
    of_counts = {site: sum(site in each.answered for each in study.summaries.values()) for site in plan.roster}
    for site, answers in (study.answers if plan.trains else of_counts).items():
        line = f"  {one_line(site):<{width}}  {answers:>4}"
        if study.delivered.get(site):
            line += f"  model: {study.delivered[site]}"
        lines.append(line)
        lines += [f"      {trouble.reason}: {_rounds(trouble.rounds)}" for trouble in found if trouble.site == site]
    lines += [
        f"  {trouble.site}: {trouble.reason}: {_rounds(trouble.rounds)}"
        for trouble in found
        if trouble.site not in plan.roster
    ]
    cost = cost_of(plan)
    lines.append(
        "privacy: none (mode `none`)"
        if cost is None
        else f"privacy: epsilon {cost.planned:.2f} planned, {cost.largest:.2f} with the reserve, delta "
        f"{plan.privacy.delta:g}; each hospital's own ledger is the authority"
    )
    if plan.validates is not None:
        lines.append(f"model: of another study, SHA-256 {plan.validates.sha256}; figures: `oncofed coordinator report`")
        return tuple(one_line(line, keep_indent=True) for line in lines)
    if plan.trains and not plan.makes_model:
        lines.append("model: none is handed out; this plan compares two options (`oncofed coordinator report`)")
        return tuple(one_line(line, keep_indent=True) for line in lines)
    if not plan.trains:
        lines.append("model: none; this plan only counts who is there (`oncofed study readiness`)")
        return tuple(one_line(line, keep_indent=True) for line in lines)
    lines.append(f"model: {'not released yet' if study.model_sha256 is None else f'SHA-256 {study.model_sha256}'}")
    return tuple(one_line(line, keep_indent=True) for line in lines)


def _rounds(numbers: tuple[int, ...]) -> str:
    return f"{'round' if len(numbers) == 1 else 'rounds'} {in_ranges(numbers)}"
