"""Which texts would be one, if all hands and programs wrote alike?

Capitals, blanks, and what stands between letters and digits are written one way here and another way there: `C34.1` and
`c341`, `A-1` and `A1`, `NKX2-1` and `NKX2.1`; and programs take the zeros in front of a number, `00123` and `123`.
Whether two such texts mean one thing nobody can know: the mapping says it (`Near`), and until it does, they are a
fault. Law: near is symmetric, and nothing is near to itself. Texts that have something between their letters at other
places are not near: patient 1-11 is not 11-1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from oncofed.client.importing.mapping_choices import Near
from oncofed.cohort.letters import plain

BUT_FOR = "but for capitals, blanks or punctuation"
_BETWEEN = re.compile(r"(?<=[^\W_])[._/:,\-\u2010-\u2015]+(?=[^\W_])")
_ZEROS = re.compile(r"(?<!\d)0+(?=\d)")


class _Form(NamedTuple):
    """parted: with one mark for whatever stands between. whole: without. is_whole: whether nothing does."""

    parted: str
    whole: str
    is_whole: bool


def _form(text: str, *, zeros: bool) -> _Form:
    folded = "".join(plain(text).casefold().split())
    parted, whole = _BETWEEN.sub("-", folded), _BETWEEN.sub("", folded)
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
        form = _form(begin, zeros=self._zeros)
        whole = re.sub(r"[\W_]+$", "", form.whole)
        return {
            text
            for text, (parted, all_, is_whole) in self._forms.items()
            if parted.startswith(form.parted)
            or ((is_whole or form.is_whole) and len(all_) > len(whole) and bool(whole) and all_.startswith(whole))
        }


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
