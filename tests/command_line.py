"""How is a command run in a test as a person runs it? With its words and its exit code, in this very process."""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from oncofed.cli import main


@dataclass(frozen=True)
class Said:
    """text: standard output and error, in the order in which they came."""

    code: int
    text: str


def oncofed(*arguments: str | Path, answers: str = "") -> Said:
    """answers: what the person types."""
    said, code = io.StringIO(), 0
    with (
        patch.object(sys, "argv", ["oncofed", *map(str, arguments)]),
        patch.object(sys, "stdin", io.StringIO(answers)),
        redirect_stdout(said),
        redirect_stderr(said),
    ):
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
    return Said(code, said.getvalue())
