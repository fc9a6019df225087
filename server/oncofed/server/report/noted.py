"""How is what a run wrote down in English, in `rounds.jsonl`, `events.jsonl` and `release.json`, told to a reader?

A record holds words, since people read it as it is. Those of a fixed form are told in the reader's language; others,
such as the cause that stopped a run, stay English and are marked so.

Promises: in English each stays as it stands in the record, but on one line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from oncofed.server.report.study import StudyEvent
from oncofed.words.language import ENGLISH, Language, later
from oncofed.words.names import one_line, plain_name

_FIXED = (
    later("answered no question of this round"),
    later("the relay could not be loaded"),
    later("the relay raised an exception"),
    later("no answer"),
    later("no answer in time: it is slow or away, or a restart lost the question"),
    later("the question was lost"),
    later("the answer was lost"),
    later("the node is unavailable"),
    later("the node refused the program bundle"),
    later("the relay crashed"),
    later("sent numbers that are no whole steps of the plan's noise"),
    later("sent a number larger than any hospital's can be"),
    later("sent weights that no local steps lead to"),
    later("the run before this one was killed, or the coordinator's machine stopped"),
    later("offered"),
    later("approved"),
    later("declined"),
    later("refused"),
    later("accepted"),
)
_FORMS = (
    (re.compile(r"(?P<part>\w+) does not run"), later("%(part)s does not run")),
    (re.compile(r"refused: (?P<code>\w+)"), later("refused: %(code)s")),
    (re.compile(r"no answer within (?P<seconds>[\d.]+) s"), later("no answer within %(seconds)s s")),
    (re.compile(r"answered (?P<times>\d+) times"), later("answered %(times)s times")),
    (re.compile(r"node (?P<node>\d+) answered in its place"), later("node %(node)s answered in its place")),
    (re.compile(r"round (?P<round>\d+); attempt (?P<attempt>\d+)"), later("round %(round)s; attempt %(attempt)s")),
    (re.compile(r"round (?P<round>\d+)"), later("round %(round)s")),
    (
        re.compile(r"name (?P<name>\S+); attempt (?P<attempt>\d+); answered (?P<answered>.+)"),
        later("name %(name)s; attempt %(attempt)s; answered %(answered)s"),
    ),
)
_EVENTS = (
    later("started"),
    later("interrupted"),
    later("plan"),
    later("waiting"),
    later("masking keys"),
    later("summary"),
    later("no summary"),
    later("delivered"),
    later("stopped"),
    later("finished"),
)
_DELIVERED = {
    "accepted": later("accepted: checked against the coordinator's key and kept"),
    "refused": later("refused: not of a plan this hospital approved, not rightly signed, or of another form"),
    "not asked": later("not asked"),
}


@dataclass(frozen=True)
class Noted:
    """Words of a record, for a reader. english: they are so, on a page of another language."""

    text: str
    english: bool = False


def noted(words: str, *, say: Language = ENGLISH) -> Noted:
    """A reason, or a line of an event."""
    text = one_line(words)
    if text in _FIXED:
        return Noted(say(text))
    for form, told in _FORMS:
        if found := form.fullmatch(text):
            return Noted(say(told, **{name: say.figures(part) for name, part in found.groupdict().items()}))
    return Noted(text, english=say.code != ENGLISH.code)


def noted_event(event: StudyEvent, *, sites: Sequence[str], say: Language = ENGLISH) -> tuple[Noted, ...]:
    """Its name, then its lines. sites: of the plan, whom a line may name with what they said."""
    name = plain_name(one_line(event.event))
    title = Noted(say(name)) if name in _EVENTS else Noted(name, english=say.code != ENGLISH.code)
    lines = [line for line in event.words.splitlines() if line.strip()]
    return title, *(told for line in lines for told in _lines(line, sites, say))


def _lines(line: str, sites: Sequence[str], say: Language) -> Iterator[Noted]:
    """What several hospitals said is a line of each, where it is not told in English."""
    if say.code == ENGLISH.code or not line.startswith("said "):
        yield noted(line, say=say)
        return
    names = "|".join(re.escape(site) for site in sorted(sites, key=len, reverse=True))
    pieces = re.split(rf"(?:^said |; )({names}): ", line)
    if pieces[0] or len(pieces) < 3:
        yield noted(line, say=say)
        return
    for site, word in zip(pieces[1::2], pieces[2::2], strict=True):
        told = noted(word, say=say)
        yield Noted(f"{one_line(site)}: {told.text}", told.english)


def delivered_in_words(word: str, *, say: Language = ENGLISH) -> Noted:
    """What a hospital said of the model."""
    known = _DELIVERED.get(word)
    return noted(word, say=say) if known is None else Noted(say(known))
