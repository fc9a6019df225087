"""How is it told what comes first, of endpoints that exclude each other?

An endpoint whose name begins with "death" is told as dying: `death_of_disease`, "die of disease", "died of disease".
Any other is something to have: `progression`, "have progression". What is named by those who are spared it, such as a
survival, is put in quotation marks. Other languages than English make no verb of a name: there it stands as the
schema calls it. Counts of a hundred add up to a hundred.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from oncofed.client.pages.competing import Competing
from oncofed.cohort.schema import Endpoint, StudySchema
from oncofed.words.language import ENGLISH, Language, later
from oncofed.words.markers import endpoint_label
from oncofed.words.names import plain_name

_BINDS = frozenset({"of", "from", "by", "with", "without", "before", "after", "in", "on", "during", "due"})
_OF_THE_SPARED = frozenset({"survival", "free"})
_HUNDRED = 100
FEWER_THAN_ONE, MORE_THAN_99 = later("fewer than 1"), later("more than 99")
_OF_A_SHARE = {FEWER_THAN_ONE: later("below 1"), MORE_THAN_99: later("above 99")}


@dataclass(frozen=True)
class CauseWords:
    """come  of many, in the present: "die of disease". came: of one, in the past: "died of disease"."""

    come: str
    came: str
    is_death: bool


def cause_words(endpoint: Endpoint, *, say: Language = ENGLISH) -> CauseWords:
    """Of one that competes with others."""
    name = plain_name(endpoint.name)
    first, _, rest = name.partition(" ")
    spared = _OF_THE_SPARED & set(name.lower().replace("-", " ").split())
    if say.code != ENGLISH.code:
        called = endpoint_label(endpoint, say=say)
        if spared:
            called = say("the event of “%(name)s”", name=called)
        return CauseWords(called, called, is_death=first.lower() == "death")
    if first.lower() == "death":
        how = f" {rest}" if rest.split(" ")[0].lower() in _BINDS else f" ({rest})" if rest else ""
        return CauseWords(f"die{how}", f"died{how}", is_death=True)
    what = say("the event of “%(name)s”", name=name) if spared else name
    return CauseWords(f"have {what}", f"had {what}", is_death=False)


@dataclass(frozen=True)
class FirstWords:
    """causes  of each, in the order of `Competing.causes`. spared: of many who have none of them: "live"."""

    causes: tuple[CauseWords, ...]
    spared: str
    without: str

    @staticmethod
    def of(schema: StudySchema, found: Competing, *, say: Language = ENGLISH) -> FirstWords:
        """Who has none of them lives, where all of them are deaths."""
        causes = tuple(cause_words(schema.endpoints[each], say=say) for each in found.causes)
        if all(each.is_death for each in causes):
            return FirstWords(causes, say("live"), say("alive"))
        return FirstWords(causes, say("have none of these"), say("without any of these"))


def first_sentence(found: Competing, words: FirstWords, moment: float, when: str, *, say: Language = ENGLISH) -> str:
    """Of a hundred such patients, what comes first by a time, and who is spared. when: the time in words."""
    shares = found.at(moment)
    counts = of_hundred([*shares, 1 - sum(shares)])
    told = [
        say("%(count)s %(come)s", count=say(count), come=each.come)
        for count, each in zip(counts, words.causes, strict=False)
    ]
    return say(
        "Of 100 such patients, about %(first)s within %(when)s, %(others)s, and %(count)s %(spared)s.",
        first=told[0],
        when=when,
        others=", ".join(told[1:]),
        count=say(counts[-1]),
        spared=words.spared,
    )


def told_shares(found: Competing, moment: float, *, say: Language = ENGLISH) -> list[str]:
    """The same of a time as per cent: of each cause, and of those who have none."""
    shares = found.at(moment)
    return [f"{say(_OF_A_SHARE.get(each, each))}\N{NO-BREAK SPACE}%" for each in of_hundred([*shares, 1 - sum(shares)])]


def of_hundred(shares: list[float]) -> list[str]:
    """Whole numbers that add up to a hundred, each share rounded down or up; 0 and 100 only where it is that.

    shares  adding up to 1.
    """
    exact = _HUNDRED * np.clip(shares, 0.0, 1.0)
    counts = np.floor(exact + 1e-9).astype(int)
    for place in np.argsort(counts - exact, kind="stable")[: max(0, _HUNDRED - int(counts.sum()))]:
        counts[place] += 1
    return [
        FEWER_THAN_ONE if count == 0 and share > 0 else MORE_THAN_99 if count == _HUNDRED and share < 1 else str(count)
        for count, share in zip(counts.tolist(), shares, strict=True)
    ]
