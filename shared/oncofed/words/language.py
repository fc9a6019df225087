"""In which language, and with which signs in its numbers, is something told to a reader?

A language is a frozen value that is passed down to whatever writes words: the same call with the same language gives
the same text, whoever asks beside. Texts are the English ones, by which a catalog of the standard library's `gettext`
finds the others; what a catalog does not have stays English.

Promises: English says each text as it stands; a number's digits are never changed, only its decimal and thousands
signs. Thousands stand apart by a narrow space wherever a point would: nobody takes that for a decimal sign.
"""

from __future__ import annotations

import gettext
from dataclasses import dataclass, field
from datetime import date, datetime

NARROW_SPACE = "\N{NARROW NO-BREAK SPACE}"
_DIGITS = frozenset("0123456789")


def later(text: str, /, *_contexts: str) -> str:
    """A text that stands in a value and is told by `Language.__call__` where it is shown: here it stays as it is.

    contexts  in which it is told besides, for whoever collects texts.
    """
    return text


@dataclass(frozen=True)
class Language:
    """code: for `lang` and cookies. name: in itself. translations: of English texts.

    decimal, thousands  signs of a number. day, moment: formats of `strftime`, in digits alone. shown_at: of `shown`.
    """

    code: str
    name: str
    decimal: str = "."
    thousands: str = ","
    day: str = "%Y-%m-%d"
    moment: str = "%Y-%m-%d %H:%M:%S"
    shown_at: str = "%Y-%m-%d, %H:%M %Z"
    translations: gettext.NullTranslations = field(default_factory=gettext.NullTranslations, compare=False, repr=False)

    def __call__(self, text: str, /, *, context: str = "", **named: object) -> str:
        """The text in this language, its places such as %(count)s filled in. context: where English has one word alone.

        Without anything named, a per cent sign stands for itself.
        """
        if not text:
            return ""
        found = self.translations.pgettext(context, text) if context else self.translations.gettext(text)
        return found % named if named else found

    def several(self, one: str, many: str, count: int, /, **named: object) -> str:
        """One text or the other, as the language counts; both know %(count)s, with its thousands apart."""
        found = self.translations.ngettext(one, many, count)
        return found % {"count": self.figures(f"{count:,}"), **named}

    def figures(self, written: str) -> str:
        """A number that is written with a decimal point, and commas between thousands, with this language's signs."""
        signs = {".": self.decimal, ",": self.thousands}
        if all(sign == each for sign, each in signs.items()) or not any(sign in written for sign in signs):
            return written
        return "".join(
            signs.get(each, each) if written[at - 1 : at] in _DIGITS and written[at + 1 : at + 2] in _DIGITS else each
            for at, each in enumerate(written)
        )

    def date(self, day: date) -> str:
        """A day, in digits."""
        return f"{day:{self.day}}"

    def time_of(self, written: str) -> str:
        """An ISO 8601 moment, to the second."""
        return f"{datetime.fromisoformat(written):{self.moment}}"

    def moment_of(self, moment: datetime) -> str:
        """To the second, with its zone."""
        return f"{moment:{self.moment} %Z}".rstrip()

    def shown(self, moment: datetime) -> str:
        """To the minute, for the foot of a page. A day has no zero in front only where its month is a word."""
        text = f"{moment:{self.shown_at}}"
        return text.lstrip("0") if "%B" in self.shown_at else text


ENGLISH = Language("en", "English", shown_at="%d %B %Y, %H:%M %Z")
