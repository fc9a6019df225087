"""How is a sentence with figures said in English now, and in a reader's language where it is shown?

A finding of a table, for one, is a line of a terminal and of a file for programs, in English, and a line of a page.

Promises: the value is the English sentence and behaves as that text everywhere; a copy knows how it is said, too.
"""

from __future__ import annotations

from oncofed.words.language import ENGLISH, Language


class Filled(str):
    """text: English, with places such as %(count)s. named: what stands there, as English writes it."""

    __slots__ = ("named", "text")

    text: str
    named: dict[str, str]

    def __new__(cls, text: str, /, **named: object) -> Filled:
        found = super().__new__(cls, text % named if named else text)
        found.text, found.named = text, {name: str(each) for name, each in named.items()}
        return found


def knows(say: Language, words: str) -> bool:
    """Whether the language has words for it."""
    text = words.text if isinstance(words, Filled) else words
    return not text or say.code == ENGLISH.code or say(text) != text


def told(words: str, *, say: Language) -> str:
    """In this language, as far as it has words; units among what is filled in are said, too."""
    if not isinstance(words, Filled):
        return say(words)
    return say(words.text, **{name: say.figures(say(each)) for name, each in words.named.items()})
