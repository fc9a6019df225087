"""Does a message give root a command that works, by its name, on what another user may have replaced by a link?

Root pastes what a message says. A name in it was chosen by a user of the node, who may make it a link before root has
typed it; and a program of that user on root's terminal may type there itself.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
FILLED = re.compile(r"\b(?:rm|chmod|chown|su|runuser) [^.;()]*(?:\{\}|\b[A-Z]{4,}\b)")
"""One of these commands with what a message fills in, or leaves to be filled in."""


def texts_in(source: str) -> Iterator[str]:
    """Every text of a module, with {} for what is filled in."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_no_message_has_root_change_rights_remove_or_become_another_user_by_a_name() -> None:
    found = [
        f"{path.relative_to(REPOSITORY)}: {text}"
        for root in ("client", "server", "shared")
        for path in sorted((REPOSITORY / root).rglob("*.py"))
        for text in texts_in(path.read_text())
        if FILLED.search(text)
    ]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        'f"chmod 400 {shlex.quote(path)}"',
        'f"As its owner: chmod 600 {path}"',
        "f\"take it away (su -P -s /bin/sh {user} -c 'rm NAME')\"",
        '"as the user whose folder it is in (su -P -s /bin/sh USER), not as root"',
        'f"chown -R {user}: {folder}"',
        'f"find it, "\n"and then " f"rm {name}"',
    ],
)
def test_such_a_command_is_seen(source: str) -> None:
    assert any(FILLED.search(text) for text in texts_in(f"remedy = ({source})"))


@pytest.mark.parametrize(
    "source",
    ['f"Its owner ({owner}) is to give {path} mode 400."', 'f"Give it to {user} (chown -R), while {it} rests."'],
)
def test_words_are_none(source: str) -> None:
    assert not any(FILLED.search(text) for text in texts_in(f"remedy = ({source})"))
