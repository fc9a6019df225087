"""How is it told what comes first, of endpoints that exclude each other?

An endpoint whose name begins with "death" is told as dying: `death_of_disease`, "die of disease", "died of disease".
Any other is something to have: `progression`, "have progression". What is named by those who are spared it, such as a
survival, is put in quotation marks. Counts of a hundred add up to a hundred.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from oncofed.client.pages.competing import Competing
from oncofed.cohort.schema import Endpoint, StudySchema
from oncofed.words.names import plain_name

_BINDS = frozenset({"of", "from", "by", "with", "without", "before", "after", "in", "on", "during", "due"})
_OF_THE_SPARED = frozenset({"survival", "free"})
_HUNDRED = 100


@dataclass(frozen=True)
class CauseWords:
    """come  of many, in the present: "die of disease". came: of one, in the past: "died of disease"."""

    come: str
    came: str
    is_death: bool


def cause_words(endpoint: Endpoint) -> CauseWords:
    """Of one that competes with others."""
    name = plain_name(endpoint.name)
    first, _, rest = name.partition(" ")
    if first.lower() == "death":
        how = f" {rest}" if rest.split(" ")[0].lower() in _BINDS else f" ({rest})" if rest else ""
        return CauseWords(f"die{how}", f"died{how}", is_death=True)
    spared = _OF_THE_SPARED & set(name.lower().replace("-", " ").split())
    what = f"the event of \N{LEFT DOUBLE QUOTATION MARK}{name}\N{RIGHT DOUBLE QUOTATION MARK}" if spared else name
    return CauseWords(f"have {what}", f"had {what}", is_death=False)


@dataclass(frozen=True)
class FirstWords:
    """causes  of each, in the order of `Competing.causes`. spared: of many who have none of them: "live"."""

    causes: tuple[CauseWords, ...]
    spared: str
    without: str

    @staticmethod
    def of(schema: StudySchema, found: Competing) -> FirstWords:
        """Who has none of them lives, where all of them are deaths."""
        causes = tuple(cause_words(schema.endpoints[each]) for each in found.causes)
        if all(each.is_death for each in causes):
            return FirstWords(causes, "live", "alive")
        return FirstWords(causes, "have none of these", "without any of these")


def first_sentence(found: Competing, words: FirstWords, moment: float, when: str) -> str:
    """Of a hundred such patients, what comes first by a time, and who is spared. when: the time in words."""
    shares = found.at(moment)
    counts = of_hundred([*shares, 1 - sum(shares)])
    told = [f"{count} {each.come}" for count, each in zip(counts, words.causes, strict=False)]
    first, *others = told
    return f"Of 100 such patients, about {first} within {when}, {', '.join(others)}, and {counts[-1]} {words.spared}."


def told_shares(found: Competing, moment: float) -> list[str]:
    """The same of a time as per cent: of each cause, and of those who have none."""
    shares = found.at(moment)
    counts = of_hundred([*shares, 1 - sum(shares)])
    words = [each.replace("fewer than", "below").replace("more than", "above") for each in counts]
    return [f"{each}\N{NO-BREAK SPACE}%" for each in words]


def of_hundred(shares: list[float]) -> list[str]:
    """Whole numbers that add up to a hundred, each share rounded down or up; 0 and 100 only where it is that.

    shares  adding up to 1.
    """
    exact = _HUNDRED * np.clip(shares, 0.0, 1.0)
    counts = np.floor(exact + 1e-9).astype(int)
    for place in np.argsort(counts - exact, kind="stable")[: max(0, _HUNDRED - int(counts.sum()))]:
        counts[place] += 1
    return [
        "fewer than 1"
        if count == 0 and share > 0
        else "more than 99"
        if count == _HUNDRED and share < 1
        else str(count)
        for count, share in zip(counts.tolist(), shares, strict=True)
    ]
