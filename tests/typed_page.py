"""Can a reader follow a page? Its commands are typed as they stand, and its answers compared.

Answers are compared with every number replaced by #, for privacy noise differs from run to run; those of refusals and
of imports, which no noise touches, are compared as they are.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from oncofed.cli import main

PROGRESS = re.compile(r"(reading|rounds|measuring|runs) +.*\d+/\d+ ")
"""A line of a progress bar, which pages leave out."""


@dataclass(frozen=True)
class Step:
    """One typed command and the answer the page shows."""

    command: str
    answer: tuple[str, ...]


def consoles(page: str, *, slow: bool = False) -> list[tuple[Step, ...]]:
    """Every console block, in the order of the page; slow ones have a comment above that says so."""
    found = []
    for comment, block in re.findall(r"(<!-- slow -->\n)?```console\n(.*?)```", page, flags=re.DOTALL):
        steps: list[Step] = []
        for line in block.splitlines():
            if line.startswith("$ "):
                steps.append(Step(line.removeprefix("$ "), ()))
            else:
                steps[-1] = Step(steps[-1].command, (*steps[-1].answer, line))
        if bool(comment) is slow:
            found.append(tuple(steps))
    return found


def typed(command: str, *, code_before: int) -> tuple[int, str]:
    """Exit code and answer, on whichever stream it came.

    `oncofed` is called in this process, because importing torch for each command would take a minute.
    """
    if not command.startswith("oncofed "):
        shell = ["bash", "-c", f"(exit {code_before}); {command}"]
        paths = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        environment = {**os.environ, "PATH": paths}
        done = subprocess.run(
            shell, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, env=environment
        )
        return done.returncode, done.stdout
    command, _, target = command.partition(" > ")
    answer, code = io.StringIO(), 0
    into_file = io.StringIO() if target else answer
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(into_file), redirect_stderr(answer):
        patch.setattr(sys, "argv", shlex.split(command))
        patch.setenv("COLUMNS", "200")
        try:
            main()
        except SystemExit as ended:
            code = int(str(ended.code))
    if target:
        Path(target).write_text(into_file.getvalue(), "utf-8")
    return code, answer.getvalue()


def without_numbers(lines: Sequence[str]) -> list[str]:
    """Numbers become #, also one that noise has left undefined, and blanks that align them become one."""
    return [re.sub(r" +", " ", re.sub(r"\d[\d,]*(\.\d+)?|not defined", "#", line)).strip() for line in lines]


def assert_answers(steps: Sequence[Step], folder: Path) -> None:
    """Types the commands of one block, one after the other, in the folder."""
    code = 0
    with chdir(folder):
        for step in steps:
            code, text = typed(step.command, code_before=code)
            lines = [line.rstrip() for line in text.splitlines()]
            answer = [line for line in lines if line and not PROGRESS.match(line.lstrip())]
            shown = [line.rstrip() for line in step.answer]
            noiseless = step.command == "echo $?" or step.command.startswith("oncofed cohort import")
            if noiseless or any("fault" in line for line in shown):
                assert answer == shown, step.command
            else:
                assert without_numbers(answer) == without_numbers(shown), step.command
