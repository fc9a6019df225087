"""How is the name of a marker, an endpoint, a site or a modality written for a reader?

Promises: names lose their underscores and line breaks and nothing else; what is cut shows it. Texts are plain: escaping
is the template's, and the picture's.
"""

from __future__ import annotations

from oncofed.cohort.schema import Modality
from oncofed.words.language import ENGLISH, Language, later

MODALITY_NAMES = {
    Modality.CLINICAL: later("clinical"),
    Modality.LABORATORY: later("laboratory"),
    Modality.BODY_COMPOSITION: later("body composition"),
    Modality.DNA_MUTATION: later("DNA mutations"),
    Modality.DNA_COPY_NUMBER: later("DNA copy numbers"),
    Modality.RNA_EXPRESSION: later("RNA expression"),
    Modality.PROTEIN_EXPRESSION: later("protein expression"),
    Modality.TREATMENT: later("treatment"),
}
"""Inside a sentence; `capital` at its beginning."""


def modality_name(modality: Modality, *, say: Language = ENGLISH) -> str:
    """With its first letter large, as a heading or a cell."""
    return capital(say(MODALITY_NAMES[modality]))


def plain_name(name: str) -> str:
    """A marker, endpoint, category or site as words."""
    return " ".join(name.replace("_", " ").split())


def capital(text: str) -> str:
    """With its first letter large, the others as they are."""
    return text[:1].upper() + text[1:]


def shortened(name: str, limit: int) -> str:
    """At most `limit` characters; what is cut shows as an ellipsis."""
    return name if len(name) <= limit else f"{name[: limit - 1].rstrip()}\N{HORIZONTAL ELLIPSIS}"


def one_line(text: str, *, keep_indent: bool = False) -> str:
    """On one line, with a replacement character for what is not printable: control characters, direction overrides."""
    indent = len(text) - len(text.lstrip(" ")) if keep_indent else 0
    printable = "".join(
        each if each.isprintable() else " " if each.isspace() else "\N{REPLACEMENT CHARACTER}" for each in text
    )
    return " " * indent + (printable.strip(" ") if keep_indent else " ".join(printable.split()))
