"""What does a person's terminal get when files, names and arguments are hostile? The real command, on a pty."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tests.contracts.test_texts import CONSORTIUM, SCHEMA, full_plan, in_toml
from tests.nasty_texts import NASTY, controls_in, short

from oncofed.protocol.study_document import StudyDocument, document_bytes

pytestmark = pytest.mark.slow


def on_a_terminal(*arguments: str | Path) -> str:
    """What arrives at the terminal's end, without the line ends that the terminal itself makes."""
    ours, theirs = pty.openpty()
    try:
        command = [sys.executable, "-m", *map(str, arguments)]
        process = subprocess.Popen(  # the product's own command
            command, stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "xterm-256color"}
        )
        os.close(theirs)
        said = b""
        while True:
            try:
                piece = os.read(ours, 65_536)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            said += piece
        assert process.wait(60) in (0, 1, 2)
    finally:
        os.close(ours)
    return said.decode().replace("\r\n", "\n")


HOSTILE = [text for text in NASTY if "\x00" not in text and len(text) < 100][:6]


@pytest.mark.parametrize("text", HOSTILE, ids=short)
def test_no_file_and_no_argument_reaches_the_terminal_with_a_control(text: str, tmp_path: Path) -> None:
    plan = replace(full_plan(), study=text, released=(text,))
    hostile_plan = tmp_path / "hostile.plan.json"
    hostile_plan.write_bytes(document_bytes(StudyDocument(plan, SCHEMA.replace('"@', '"'), b"0" * 64)))
    study = tmp_path / "study.toml"
    (tmp_path / "schema.toml").write_text(
        SCHEMA.replace('"@', '"').replace('"nsclc", "sclc"', f'"nsclc", {in_toml(text)}')
    )
    study.write_text(f"{CONSORTIUM.replace(chr(34) + '@', chr(34))}\n{in_toml(text)} = 1\n")
    named = tmp_path / f"{text.replace('/', '')}.plan.json"
    for arguments in (("study", "show", hostile_plan), ("study", "validate", study), ("study", "show", named), (text,)):
        said = on_a_terminal("oncofed.cli", *arguments)
        assert said.strip()
        assert controls_in(said) == [], ascii(said)


def test_the_guard_says_harmlessly_why_it_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text(f"[site]\nname = 'bonn'\n{in_toml(HOSTILE[0])} = 1\n")
    said = on_a_terminal("oncofed.client.guard.process", tmp_path)
    assert "the guard does not start" in said
    assert controls_in(said) == []
