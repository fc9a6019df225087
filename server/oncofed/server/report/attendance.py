"""Which hospital answered in which round, and what was wrong where it did not?

Reasons are the coordinator's own words (`rounds.admission`); a hospital's refusals are codes of a fixed list.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from oncofed.errors import RefusalCode
from oncofed.server.report.study import DeployedStudy, RoundRow
from oncofed.server.rounds.admission import REFUSAL_WORDS
from oncofed.words.language import ENGLISH, Language, later

_REFUSED = "refused: "
_NOT_THERE = ("no answer", "the node is unavailable", "the question was lost", "the answer was lost")


class Presence(StrEnum):
    """What became of one hospital in one round; the value is the legend's."""

    ANSWERED = later("answered")
    SILENT = later("no answer")
    REFUSED = later("refused by the hospital")
    NOT_ADMITTED = later("answer not admitted")
    UNRECORDED = later("not recorded")
    AHEAD = later("still to come")


@dataclass(frozen=True)
class Trouble:
    """One reason at one hospital. rounds: in which, rising. explained: the same for a reader, or empty."""

    site: str
    reason: str
    rounds: tuple[int, ...]
    explained: str


def presence(study: DeployedStudy) -> dict[str, tuple[Presence, ...]]:
    """What became of each hospital of the roster in rounds 1 to the planned last, in roster order."""
    rows = {row.round: row for row in study.rounds}
    numbers = range(1, study.plan.training.rounds + 1)
    return {site: tuple(_presence(study, rows.get(number), site, number) for number in numbers) for site in _who(study)}


def _who(study: DeployedStudy) -> tuple[str, ...]:
    return study.plan.roster


def _presence(study: DeployedStudy, row: RoundRow | None, site: str, number: int) -> Presence:
    if row is None:
        return Presence.UNRECORDED if number <= study.last_round else Presence.AHEAD
    if site in row.answered:
        return Presence.ANSWERED
    reasons = [reason for name, reason in row.rejected if name == site]
    if not reasons:
        return Presence.UNRECORDED
    if any(reason.startswith(_REFUSED) for reason in reasons):
        return Presence.REFUSED
    return Presence.SILENT if all(reason.startswith(_NOT_THERE) for reason in reasons) else Presence.NOT_ADMITTED


def troubles(study: DeployedStudy) -> tuple[Trouble, ...]:
    """Every reason at every hospital once: the roster's order, then others by name; reasons by first round."""
    found: dict[tuple[str, str], list[int]] = {}
    for row in sorted(study.rounds, key=lambda row: row.round):
        for site, reason in row.rejected:
            numbers = found.setdefault((site, reason), [])
            if row.round not in numbers:
                numbers.append(row.round)
    place = {site: index for index, site in enumerate(study.plan.roster)}
    ordered = sorted(found.items(), key=lambda each: (place.get(each[0][0], len(place)), each[0][0], each[1]))
    return tuple(Trouble(site, reason, tuple(rounds), explained(reason)) for (site, reason), rounds in ordered)


def explained(reason: str) -> str:
    """What a refusal's code means; empty for other reasons, which are words already."""
    code = reason.removeprefix(_REFUSED)
    known = reason.startswith(_REFUSED) and code in {each.value for each in RefusalCode}
    return REFUSAL_WORDS[RefusalCode(code)] if known else ""


def lack_of(reason: str) -> str:
    """Of a few words: the code of a hospital's refusal, `no_answer`, or `not_admitted` for what it sent."""
    code = reason.removeprefix(_REFUSED)
    if reason.startswith(_REFUSED) and code in {each.value for each in RefusalCode}:
        return code
    return "no_answer" if reason.startswith(_NOT_THERE) else "not_admitted"


def in_ranges(numbers: Iterable[int], *, say: Language = ENGLISH) -> str:
    """Rising numbers in short: "1, 3 to 5, 9"."""
    parts: list[tuple[int, int]] = []
    for number in numbers:
        if parts and number == parts[-1][1] + 1:
            parts[-1] = (parts[-1][0], number)
        else:
            parts.append((number, number))
    return ", ".join(str(low) if low == high else say("%(low)s to %(high)s", low=low, high=high) for low, high in parts)
