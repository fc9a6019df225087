"""Which mutants are there, and does each still fit the tree?"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
LIST = Path(__file__).with_name("mutants.toml")


@dataclass(frozen=True)
class Mutant:
    """One wrong line.

    file     below the repository. line: as it stands there, once, without the blanks around it.
    becomes  what is wrong about it. tests: files of quick tests, at least one of which ought to fail.
    """

    area: str
    file: str
    line: str
    becomes: str
    tests: tuple[str, ...]

    def in_text(self, text: str) -> str:
        """The file with this line wrong."""
        lines = text.splitlines(keepends=True)
        (place,) = self._places(lines)
        lines[place] = lines[place].replace(self.line, self.becomes)
        return "".join(lines)

    def times_in(self, text: str) -> int:
        return len(self._places(text.splitlines()))

    def _places(self, lines: list[str]) -> list[int]:
        return [place for place, line in enumerate(lines) if line.strip() == self.line]


def listed() -> tuple[Mutant, ...]:
    """All of them, in the list's order."""
    return tuple(
        Mutant(each["area"], file["file"], each["line"], each["becomes"], tuple(each.get("tests", file["tests"])))
        for file in tomllib.loads(LIST.read_text(encoding="utf-8"))["of"]
        for each in ({"area": file["area"], **mutant} for mutant in file["mutant"])
    )


def faults_of(mutant: Mutant, tree: Path) -> Iterator[str]:
    """Why it cannot be made, in words; nothing when it can."""
    here = f"mutants.toml: {mutant.file}: {mutant.line}"
    path = tree / mutant.file
    if not path.is_file():
        yield f"{here}: there is no such file. Name its new place, or drop the mutant."
        return
    text = path.read_text(encoding="utf-8")
    times = mutant.times_in(text)
    if times != 1:
        yield f"{here}: the line stands there {times} times, and must once. Write it as it is now, or drop the mutant."
    elif mutant.line == mutant.becomes:
        yield f"{here}: nothing is wrong about it. Write what it becomes."
    else:
        try:
            ast.parse(mutant.in_text(text))
        except SyntaxError:
            yield f"{here}: it is no Python any more. A mutant is a line that runs."
    yield from (f"{here}: there is no {test}." for test in mutant.tests if not (tree / test).is_file())
