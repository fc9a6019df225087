"""Is a bar drawn below a notebook's cell, in place, with IPython alone?"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import pytest

from oncofed.simulations import progress


class Display:
    """What IPython.display does with what it is given."""

    def __init__(self) -> None:
        self.shown: list[list[str]] = []

    def display(self, first: str, *, display_id: bool) -> Any:
        assert display_id
        self.shown.append([first])
        return self

    def update(self, drawn: str) -> None:
        self.shown[-1].append(drawn)


@pytest.fixture
def display(monkeypatch: pytest.MonkeyPatch) -> Display:
    made, module = Display(), ModuleType("IPython.display")
    module.display = made.display  # type: ignore[attr-defined]  # a stand-in
    module.HTML = str  # type: ignore[attr-defined]  # likewise
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    return made


def test_a_bar_is_redrawn_in_place_up_to_its_end(display: Display) -> None:
    moments = iter([0.0, 0.1, 0.3, 0.35, 0.4])
    with progress.notebook_bars(lambda: next(moments)) as show:
        for done in (0, 1, 2, 3, 4):
            show("rounds < 5", done, 4)
    (cell,) = display.shown
    bars = [ElementTree.fromstring(drawn).find("progress") for drawn in cell[1:]]
    assert [bar.attrib for bar in bars if bar is not None] == [
        {"value": str(done), "max": "4"} for done in (0, 2, 4)
    ], "a few times a second, and the last one always"
    assert "rounds &lt; 5" in cell[-1]


def test_training_draws_so_in_a_notebook(display: Display, monkeypatch: pytest.MonkeyPatch) -> None:
    import oncofed.lab as of  # noqa: PLC0415 - only this test needs it

    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    hospitals, _ = of.split(of.synthetic(patients=100, hospitals=2))
    of.train(hospitals, privacy=of.no_privacy(), network=of.prognosis([2]), rounds=2)
    assert "2/2" in display.shown[0][-1]
