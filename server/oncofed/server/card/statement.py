"""Of what is one entry of a checklist or a card made? What the run says, and what people said in the study file.

The two are never mixed: a quotation names its key of [reporting], and where nobody said anything the entry says
"not stated".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from oncofed.study.reporting import Reporting

NOT_STATED = "not stated"


@dataclass(frozen=True)
class Statement:
    """said    by the run; empty where it knows nothing.
    quoted  (key of [reporting], its text); the text is empty where nobody said anything.
    """

    said: str = ""
    quoted: tuple[tuple[str, str], ...] = ()

    @property
    def stated(self) -> bool:
        """Whether anybody said anything."""
        return bool(self.said) or any(text for _, text in self.quoted)

    def as_text(self) -> str:
        """In paragraphs, for a form that takes one text: never empty."""
        return "\n\n".join(self._paragraphs())

    def _paragraphs(self) -> Iterator[str]:
        if self.said:
            yield self.said
        for key, text in self.quoted:
            if text:
                yield f"From the study file ([reporting] {key}): {text}"
        silent = [key for key, text in self.quoted if not text]
        if silent:
            yield f"{NOT_STATED} in the study file: {', '.join(silent)}"
        elif not self.stated:
            yield NOT_STATED


def statement(reporting: Reporting, said: str = "", *keys: str) -> Statement:
    """said: by the run. keys: of the texts that belong here."""
    return Statement(said.strip(), tuple((key, getattr(reporting, key).strip()) for key in keys))


def named(name: str) -> str:
    """A name of the study's own (a column, a hospital), marked as such in Markdown, which both forms may hold."""
    return "`" + name.replace("`", "'") + "`"
