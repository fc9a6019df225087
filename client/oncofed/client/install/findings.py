"""What does an examination of the node say: how bad is it, about what, and what mends it?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from oncofed.texts import one_line


class Verdict(StrEnum):
    FINE = "fine"
    WARNING = "warning"
    FAULT = "FAULT"


@dataclass(frozen=True)
class Finding:
    """remedy: empty when the verdict is fine. until: when what it is about ends, such as a certificate."""

    topic: str
    verdict: Verdict
    what: str
    remedy: str = ""
    until: datetime | None = None

    def __str__(self) -> str:
        # Names of files and words of libraries are in it: no line of theirs looks like another finding.
        line = f"{self.verdict:8s}{self.topic}: {self.what}".replace("\n", "\n        ")
        return f"{line}\n        -> {one_line(self.remedy)}" if self.remedy else line

    def fields(self) -> dict[str, object]:
        """For JSON."""
        return {
            "topic": self.topic,
            "verdict": self.verdict.lower(),
            "what": self.what,
            "remedy": self.remedy,
            "until": None if self.until is None else self.until.isoformat(timespec="seconds"),
        }


def worst(findings: tuple[Finding, ...]) -> Verdict:
    """The verdict of the whole."""
    verdicts = {finding.verdict for finding in findings}
    return next((each for each in (Verdict.FAULT, Verdict.WARNING) if each in verdicts), Verdict.FINE)
