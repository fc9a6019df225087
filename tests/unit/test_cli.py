"""What does the command line say where it cannot ask, and where somebody stops it?"""

from __future__ import annotations

import click
import pytest
from tests.command_line import oncofed

from oncofed import cli


def stopped() -> None:
    raise KeyboardInterrupt


def asking() -> None:
    click.confirm("Approve it?")


@pytest.fixture(autouse=True)
def commands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of the tests' own."""
    known = {"ask": click.Command("ask", callback=asking), "stop": click.Command("stop", callback=stopped)}
    monkeypatch.setattr(cli.oncofed, "get_command", lambda _, name: known[name])


def test_a_question_that_nobody_can_answer_is_told_as_one() -> None:
    said = oncofed("ask")
    assert said.code == 2
    assert "nobody is here to answer" in said.text
    assert "Interrupted" not in said.text


@pytest.mark.parametrize("answer", ["y\n", "n\n"])
def test_one_that_is_answered_is_no_fault(answer: str) -> None:
    assert oncofed("ask", answers=answer).code == 0


def test_who_stops_a_command_is_told_what_is_kept() -> None:
    said = oncofed("stop")
    assert said.code == 130
    assert "Interrupted." in said.text
