"""Whom does a column of identifiers name?

One check for every table that names patients: the first, the one that assigns them to hospitals, and a hospital's own
files. A reader with a check of its own once gave a patient another one's hospital: as floating-point numbers long
identifiers are rounded to their neighbours'. Whether a patient may stand in several rows is the table's own matter.

Identifiers are texts: "1.0" in a file is not the patient "1", nor is "01". Two that a person cannot tell apart are two
patients here, since nothing says that they are one: a letter of another alphabet, full width, capitals. How many there
are is told (`tell_alike`), as with hospitals' names. A digit and a letter that look alike, such as 0 and O, are not
among them: codes hold both on purpose.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from oncofed.cohort.cells import lost_digits, quoted, texts, words
from oncofed.errors import Fault


@dataclass(frozen=True, eq=False)
class Identifiers:
    """names: (rows,) texts, null where there is none. faults: each with the number of its rows."""

    names: pa.Array
    faults: tuple[Fault, ...]

    @property
    def missing(self) -> NDArray[np.bool_]:
        return np.asarray(pc.is_null(self.names).to_numpy(zero_copy_only=False), dtype=np.bool_)


_ROUNDED = r"^[-\x{2212}]?([0-9]([.,][0-9]+)?[eE]\+[0-9]{2,3}|[0-9][.,][0-9]+[eE]([7-9]|[1-9][0-9]{1,2}))$"
"""As programs write a number of many digits: 1.23457E+11 (spreadsheets, pandas, R) stands for its neighbours, too, and
so does 1.2345679E14 (SAS, Java, Spark, which begin at E7), each with a minus or without. People write codes such as
1E5 and 1.2E5."""
_NOBODY = (
    r"^(#N/[A-Z]|#NV|#[A-Z\x{C4}\x{D6}\x{DC}]+(/0)?[!?]|Err:[0-9]+|nan|NaN|NAN|NaT|<NA>|None|nil|NULL|Null|null"
    r"|\(null\)|\\N"
    r"|[^\p{L}\p{N}]+)$"
)
"""What spreadsheets and programs write where there is none (SAS: a point), and what holds neither letter nor digit."""


def identifiers_in(column: pd.Series, *, where: str, missing: Collection[str] = ()) -> Identifiers:
    """The identifiers in a column, and why it does not name patients.

    A text is an identifier as it is written, without blanks about it: "1.0" and "007" are texts and no numbers. What
    is stored as a number is its digits.

    where    what faults call it.
    missing  words for "not known". Of these a whole number may be a patient's: 99 is one beside 98 and 100.
    """
    names = texts(column)
    told = pc.is_valid(words(column, [word for word in missing if not word.strip().isdecimal()]))
    kept = pc.and_not(told, _are(names, _NOBODY))
    found = Identifiers(pc.if_else(kept, names, pa.scalar(None, type=pa.string())), ())
    wrong = (
        (found.missing, "the identifier is missing", "Give every patient an identifier, or drop the row."),
        (
            lost_digits(column),
            "the identifier is a number with a fraction, or too large to be kept exactly",
            "Store identifiers as text or as whole numbers.",
        ),
        (
            np.asarray(_are(found.names, _ROUNDED).to_numpy(zero_copy_only=False), dtype=np.bool_),
            "the identifier is a number that a program has rounded, and may be several patients'",
            "Export identifiers again, as text.",
        ),
        (  # two quoted cells whose comma was lost are one cell with a quotation mark inside
            quoted(found.names),
            "the identifier holds a quotation mark",
            "Look for a lost comma or a stray quotation mark there; write identifiers without.",
        ),
    )
    faults = tuple(Fault(where, what, remedy, int(rows.sum())) for rows, what, remedy in wrong if rows.any())
    return Identifiers(found.names, faults)


def _are(names: pa.Array, form: str) -> pa.Array:
    """(rows,) whether a name is of this form."""
    return pc.fill_null(pc.match_substring_regex(names, pattern=form), False)


_LOOKS_LIKE = str.maketrans(
    "\u0430\u0432\u0435\u043a\u043c\u043d\u043e\u0440\u0441\u0442\u0443\u0445\u0456\u0458\u0455\u04bb\u0501"
    "\u03b1\u03b2\u03b5\u03b6\u03b7\u03b9\u03ba\u03bc\u03bd\u03bf\u03c1\u03c4\u03c5\u03c7\u0131",
    "abekmhopctyxijshdabezhikmnoptyxi",
)
"""Cyrillic and Greek letters of which the small or the capital one looks like a Latin one."""

_UNSEEN_LETTERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164")
"""That Unicode counts as letters, marks or symbols, and nobody sees."""


_STORED = re.compile(r"^(\d+)[.,]0+$")
"""A whole number as a program writes it that keeps fractions."""


def tell_alike(patient_ids: Sequence[str], *, where: str, tell: Callable[[str], None]) -> None:
    """Say how many look like another one and are not the same.

    patient_ids  distinct. where: what the note calls their table.
    """
    seen = Counter(as_seen(_STORED.sub(r"\1", each)) for each in patient_ids)
    count = sum(times for times in seen.values() if times > 1)
    if count:
        tell(
            f"{where}: {count} identifiers look like another one (capitals, blanks, letters of another alphabet, what "
            "nobody sees, 1.0 for 1) and are not the same. Each counts as a patient of its own; if two are one "
            "patient, keep one."
        )


def as_seen(identifier: str) -> str:
    """What people see of it: without capitals, blanks, forms of a letter (full width), letters of other alphabets."""
    if identifier.isascii() and identifier.isprintable():
        return identifier.replace(" ", "").casefold()
    whole = identifier if identifier.isascii() else unicodedata.normalize("NFKC", identifier)
    return "".join(letter for letter in whole if _is_seen(letter)).casefold().translate(_LOOKS_LIKE)


def _is_seen(letter: str) -> bool:
    if letter.isascii():
        return letter.isprintable() and letter != " "
    selects = "\ufe00" <= letter <= "\ufe0f" or "\U000e0100" <= letter <= "\U000e01ef"
    return not selects and letter not in _UNSEEN_LETTERS and unicodedata.category(letter) not in ("Cc", "Cf", "Zs")
