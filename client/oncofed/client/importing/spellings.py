"""Which texts would be one, if all hands and programs wrote alike?

Capitals, blanks, letters that look alike, and what stands between letters and digits or about them are written one way
here and another way there: `C34.1` and `c341!`, `A-1` and `#A1`, `NKX2-1` and `NKX2.1`; and programs take the zeros in
front of a number, `00123` and `123`. Whether two such texts mean one thing nobody can know: the mapping says it
(`Near`), and until it does, they are a fault. Law: near is symmetric, and nothing is near to itself. Texts that have
something between their letters at other places are not near: patient 1-11 is not 11-1. Marks that mean something stay:
of a number (1.5 is not 15, nor <5 or -5 five) and a minus at the end (HER2- is not HER2+).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import NamedTuple

from oncofed.client.importing.mapping_choices import Near
from oncofed.cohort.identifiers import as_seen

BUT_FOR = "but for capitals, blanks, punctuation or letters that look alike"
BUT_FOR_ZEROS = f"{BUT_FOR}, or leading zeros"
_DASHES = r"\-\u2010-\u2015\u2212"
_ABOUT = re.compile(
    rf"^(?:[^\w<>≤≥=~±+{_DASHES}]|_)+|(?:[^\w+{_DASHES}]|_|(?<=[^\w\s])-)+$|(?<=\w)\+$"  # C34.-, E11.9+; never HER2-
)
_AT_END = re.compile(r"[\W_]+$")
_BETWEEN = re.compile(r"(?<=[^\W_])[._/:,\-\u2010-\u2015]+(?=[^\W_])")
_NUMBER = re.compile(r"[+-]?\d(?:[.,]\d+|-\d)")
"""With two digits or more before its mark it may be a code, of ICD-9: 162.9 is also written 1629."""
_LONGEST = 6
"""Of codes whose digits alone are nearly theirs, of OPS (5-323.43) or ICD-9: longer numbers are of other catalogues."""
_ZEROS = re.compile(r"(?<!\d)0+(?=\d)")


class _Form(NamedTuple):
    """parted: with one mark for whatever stands between. whole: without. is_whole: whether nothing does."""

    parted: str
    whole: str
    is_whole: bool


def _form(text: str, *, zeros: bool) -> _Form:
    folded = as_seen(_ABOUT.sub("", text) or text)
    parted = _BETWEEN.sub("-", folded)
    whole = parted if _NUMBER.fullmatch(folded) else _BETWEEN.sub("", folded)
    is_whole = parted == whole
    if zeros or whole.isdecimal():  # a number of a catalogue, from which a spreadsheet takes them
        parted, whole = _ZEROS.sub("", parted), _ZEROS.sub("", whole)
    return _Form(parted, whole, is_whole)


class Spellings:
    """Texts, to be found by others that are near."""

    def __init__(self, texts: Iterable[str], *, zeros: bool = False) -> None:
        """zeros: whether those in front of a number mean nothing."""
        self._zeros = zeros
        self._forms = {text: _form(text, zeros=zeros) for text in texts}
        self._parted: dict[str, set[str]] = {}
        self._whole: dict[str, set[str]] = {}
        for text, form in self._forms.items():
            self._parted.setdefault(form.parted, set()).add(text)
            self._whole.setdefault(form.whole, set()).add(text)

    def __contains__(self, text: str) -> bool:
        return text in self._forms

    def near(self, text: str) -> set[str]:
        form = self._forms.get(text) or _form(text, zeros=self._zeros)
        found = set(self._parted.get(form.parted, ()))
        of_whole = self._whole.get(form.whole, set())
        found |= of_whole if form.is_whole else {each for each in of_whole if self._forms[each].is_whole}
        return found - {text}

    def near_beginning(self, begin: str) -> set[str]:
        """Those that go on behind a beginning, written as this one or nearly so."""
        bare = _AT_END.sub("", begin)
        form = _form(bare, zeros=self._zeros)
        parted = form.parted if bare == begin else f"{form.parted}-"
        least, most = (1, _LONGEST) if form.whole.isdecimal() else (0, math.inf)

        def goes_on(own: _Form) -> bool:
            longer = most >= len(own.whole) > len(form.whole) > least
            return longer and (own.is_whole or form.is_whole) and own.whole.startswith(form.whole)

        return {text for text, own in self._forms.items() if own.parted.startswith(parted) or goes_on(own)}


def meant_by(texts: Iterable[str], words: Spellings, near: Near | None) -> tuple[dict[str, str], frozenset[str]]:
    """Of these texts, those that are one of the words though nearly written so, with that word; and those in doubt.

    near  what the mapping says of them. What is near to several words is in doubt, unless it says that all are others.
    """
    if near is Near.DIFFER:
        return {}, frozenset()
    found = {text: of for text in texts if text not in words and (of := words.near(text))}
    clear = {text: next(iter(of)) for text, of in found.items() if near is Near.ALIKE and len(of) == 1}
    return clear, frozenset(found.keys() - clear.keys())


def remedy_of_absent(words: Iterable[str]) -> str:
    """Of codes, or genes, that nothing in their source has."""
    listed = ", ".join(f'"{each}"' for each in words)
    return f"Write them as this source does. If they are right, and nobody here has them: may_be_absent = [{listed}]."


def remedy_of(key: str) -> str:
    """key: of the source, that says what such texts are."""
    return f'Say in its source what they are: {key} = "alike" (the same) or "differ" (others); or write them alike.'
