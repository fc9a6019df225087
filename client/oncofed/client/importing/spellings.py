"""Which texts would be one, if all hands and programs wrote alike?

Of words (codes, genes, drugs) and of identifiers these are two questions. Whether two such texts mean one thing nobody
can know: the mapping says it (`Near`), and until it does, they are a fault.

Words    Capitals, blanks, accents, letters that look alike, and what stands between letters and digits or about them
         mean nothing: `C34.1` and `c341!`, `NKX2-1` and `NKX2.1`; nor do the zeros in front of a number, which programs
         take. Signs do: HER2- is not HER2+, nor <5 or -5 five. A number is its value, in a text, too: `10,0` is near 10
         and never 100, and 2,5 mg is not 25 mg. What may be a code (ICD-9's 162.9) or thousands (1.234) is no fraction.
Identifiers   are no numbers: letters and digits alone count, without the zeros in front of each part; and without those
         behind a fraction, as programs write them: 1.0 and 1.000 are near 1, and 12.50 is near 12.5.

Law: near is symmetric, and nothing is near to itself. Of two that are, one has marks where the other has, or fewer: OPS
5-323.4 and 5-3234, but patient 1-11 is not 11-1. So identifiers are one only where each of them is near to each: 111
beside these two is in doubt, whichever of them are patients.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import accumulate
from typing import NamedTuple

from oncofed.client.importing.mapping_choices import Near
from oncofed.client.importing.omop_tables import OF_SOURCE
from oncofed.cohort.identifiers import as_seen

BUT_FOR = "but for capitals, blanks, punctuation, accents or letters that look alike"
BUT_FOR_ZEROS = f"{BUT_FOR}, or zeros that a number may lack"
_DASHES = r"\-\u2010-\u2015\u2212"
_ABOUT = re.compile(
    rf"^(?:[^\w<>≤≥=~±+{_DASHES}]|_)+|(?:[^\w+{_DASHES}]|_|(?<=[^\w\s])-)+$|(?<=\w)\+$"  # C34.-, E11.9+; never HER2-
)
_ABOUT_NAMES, _IN_NAMES = re.compile(r"^[\W_]+|[\W_]+$"), re.compile(r"[\W_]+")
_AT_END = re.compile(r"[\W_]+$")
_BETWEEN = re.compile(r"(?<=[^\W_])[._/:,'\u2019\-\u2010-\u2015]+(?=[^\W_])")
_POINT = "^"
"""Of a number, so that it is none of those between."""
_FRACTION = re.compile(r"(?<![^\W_])(?<![.,])(?<!\b[a-z] )(?<![a-z][-_/])(\d+)[.,](\d+)(?![.,]?\d)", re.IGNORECASE)
"""Not behind a letter: C34.1, C 34.1, C-34.1."""
_CODE = re.compile(r"(?:\d-)?(?:\d{3}\.\w{1,3}|\d{3},(?!0+$)\w{1,3}|\d\d\.(?!0+$)\w{1,3})|(?P<range>\d-\d)")
"""Of ICD-9 (162.9, 32.4) and OPS (5-323.43), which are written without their mark, too."""
_LONGEST = 6
"""Of codes whose digits alone are nearly theirs, of OPS (5-323.43) or ICD-9: longer numbers are of other catalogues."""
_STORED = re.compile(r"(?<![\d.,])(\d+|\d{1,3}(?:[.,' ]\d{3})+)[.,](\d*?)(0+)(?![\d.,])")
"""A number as a program writes it that keeps so many digits."""
_ZEROS, _FRONT = re.compile(r"(?<!\d)0+(?=\d)"), re.compile(r"^0+(?=\d)")
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})


class _Form(NamedTuple):
    """parted: with one mark for whatever stands between. whole: without. marks: how many letters stand behind each."""

    parted: str
    whole: str
    marks: frozenset[int]

    def is_near(self, other: _Form) -> bool:
        return self.whole == other.whole and (self.marks <= other.marks or other.marks <= self.marks)


def _marks(parted: str) -> frozenset[int]:
    behind = parted.split("-")[:0:-1]
    return frozenset(accumulate(map(len, behind)))


def _folded(text: str) -> str:
    seen = as_seen(text)
    if seen.isascii():
        return seen
    bare = unicodedata.normalize("NFD", seen.translate(_UMLAUTS))
    return "".join(letter for letter in bare if not unicodedata.combining(letter))


def _forms_of_name(text: str) -> tuple[_Form, ...]:
    """Also without the zeros that end a fraction. A whole number is that alone: 10.0 is not 100, but 12.000 may be
    thousands.
    """
    bare = _ABOUT_NAMES.sub("", text) or text
    short = _STORED.sub(lambda found: f"{found[1]}.{found[2]}".removesuffix("."), bare)
    stored = _STORED.fullmatch(bare)
    is_whole = stored is not None and not stored[2] and len(stored[3]) != len("000")
    return tuple(map(_form_of_name, {short} if is_whole else {short, bare}))


def _form_of_name(bare: str) -> _Form:
    folded = _folded(bare)
    parted, whole = _IN_NAMES.sub("-", folded), _IN_NAMES.sub("", folded)
    return _Form(_ZEROS.sub("", parted), _ZEROS.sub("", whole), _marks(parted))


def _form_of_word(text: str, *, begins: bool = False) -> _Form:
    """begins: whether the digits of another text may go on behind it."""
    space = text[: len(OF_SOURCE)] if text.startswith(OF_SOURCE) else ""
    text = text[len(space) :]
    bare = _ABOUT.sub("", text) or text
    code = _CODE.fullmatch(bare)
    folded = _folded(bare if code is not None else _FRACTION.sub(lambda found: _number(found, begins=begins), bare))
    parted, whole = _BETWEEN.sub("-", folded), _BETWEEN.sub("", folded)
    marks = _marks(parted)
    if code is not None and code["range"]:
        whole = parted
    elif whole.isdecimal():  # a number of a catalogue, from which a spreadsheet takes them
        parted, whole = _FRONT.sub("", parted), _FRONT.sub("", whole)
    return _Form(space + parted.replace(_POINT, "-"), space + whole, marks)


def _number(found: re.Match[str], *, begins: bool) -> str:
    whole, fraction = found.groups()
    if len(fraction) == 3 and len(whole) <= 3 and whole[0] != "0":
        return found[0]  # thousands, perhaps
    fraction = fraction if begins else fraction.rstrip("0")
    return f"{int(whole)}{_POINT}{fraction}" if fraction else str(int(whole))


class Spellings:
    """Texts, to be found by others that are near."""

    def __init__(self, texts: Iterable[str], *, names: bool = False) -> None:
        """names: whether they are identifiers."""
        self.are_names = names
        self._forms = {text: self._forms_of(text) for text in texts}
        self._parted: dict[str, set[str]] = {}
        self._whole: dict[str, dict[str, _Form]] = {}
        for text, forms in self._forms.items():
            for form in forms:
                self._parted.setdefault(form.parted, set()).add(text)
                self._whole.setdefault(form.whole, {})[text] = form

    def _forms_of(self, text: str) -> tuple[_Form, ...]:
        return _forms_of_name(text) if self.are_names else (_form_of_word(text),)

    def __contains__(self, text: str) -> bool:
        return text in self._forms

    def __iter__(self) -> Iterator[str]:
        return iter(self._forms)

    def near(self, text: str) -> set[str]:
        found: set[str] = set()
        for form in self._forms.get(text) or self._forms_of(text):
            found |= self._parted.get(form.parted, set())
            found |= {each for each, other in self._whole.get(form.whole, {}).items() if form.is_near(other)}
        return found - {text}

    def near_beginning(self, begin: str) -> set[str]:
        """Those that go on behind a beginning, written as this one or nearly so; or are it, without its marks."""
        bare = _AT_END.sub("", begin)
        form, tail = _form_of_word(bare, begins=True), begin[len(bare) :]
        parted = f"{form.parted}-" if tail else form.parted
        digits = form.whole.removeprefix(OF_SOURCE)
        least, most = (1, _LONGEST) if digits.isdecimal() else (0, math.inf)
        more = int(not form.marks and "." not in tail)

        def goes_on(own: _Form) -> bool:
            length = len(own.whole) - len(form.whole) + len(digits)
            longer = most >= length >= len(digits) + more > least + more
            return longer and not (own.marks and form.marks) and own.whole.startswith(form.whole)

        return {text for text, (own,) in self._forms.items() if own.parted.startswith(parted) or goes_on(own)}


def meant_by(
    texts: Iterable[str], words: Spellings, near: Near | None, *, one: Mapping[str, str] | None = None
) -> tuple[dict[str, str], frozenset[str]]:
    """Of these texts, those that are one of the words though nearly written so, with that word; and those in doubt.

    near  what the mapping says of them. What is near to several words is in doubt, unless it says that all are others.
    one   words that are another one of them.
    """
    if near is Near.DIFFER:
        return {}, frozenset()
    texts = [*texts]
    found = {text: of for text in texts if text not in words and (of := words.near(text))}
    if near is None or not found:
        return {}, frozenset(found)
    meant = {text: {(one or {}).get(word, word) for word in of} for text, of in found.items()}
    doubted = {text for text, of in meant.items() if len(of) > 1}
    if words.are_names:
        doubted |= classes([*words, *texts]).doubted & found.keys()
    return {text: next(iter(of)) for text, of in meant.items() if text not in doubted}, frozenset(doubted)


class Classes(NamedTuple):
    """first: of each identifier that is near to others, the first of all of these. doubted: that are near to some who
    are not near to each other.
    """

    first: Mapping[str, str]
    doubted: frozenset[str]


def classes(identifiers: Collection[str]) -> Classes:
    spellings = Spellings(identifiers, names=True)
    own = {each: others | {each} for each in identifiers if (others := spellings.near(each))}
    doubted = frozenset(each for each, of in own.items() if any(own[other] != of for other in of))
    return Classes({each: min(of) for each, of in own.items()}, doubted)


def remedy_of_absent(words: Iterable[str]) -> str:
    """Of codes, or genes, that nothing in their source has."""
    listed = ", ".join(f'"{each}"' for each in words)
    return f"Write them as this source does. If they are right, and nobody here has them: may_be_absent = [{listed}]."


def remedy_of(key: str) -> str:
    """key: of the source, that says what such texts are."""
    return f'Say in its source what they are: {key} = "alike" (the same) or "differ" (others); or write them alike.'
