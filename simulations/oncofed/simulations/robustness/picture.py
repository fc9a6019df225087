"""How does a robustness study look? A panel a privacy mode, attacks side by side, C-index by defence.

A dot is a seed, a bar the mean of its seeds. The level line is chance. Where a defence has neither, its cell has no
number, and the words below say why.

Promises: every run that gave a C-index is a dot; all panels have one axis, so that heights can be compared; the same
table gives the same picture.
"""

from __future__ import annotations

import pandas as pd
from markupsafe import Markup

from oncofed.picture.axes import Key, legend, upright, width_of
from oncofed.picture.drawing import INK, QUIET, Stroke, file_picture, line, text
from oncofed.simulations.sweep.plot import TITLE_HIGH, axis_of, look, series, title_width
from oncofed.words.names import one_line, shortened
from oncofed.words.numbers import counted, decimals

_LEFT, _MARGIN, _HIGH, _GAP, _LINE = 78.0, 24.0, 190.0, 62.0, 19.0
_NARROWEST, _OF_A_GROUP, _CHANCE = 138.0, 0.8, 0.5
_LONGEST = 60


def robustness_picture(table: pd.DataFrame, *, title: str) -> Markup:
    """A table of rows of `cells.measured`."""
    attacks, defences, modes = (list(dict.fromkeys(table[name])) for name in ("attack", "defence", "privacy"))
    attacks_said = {each: shortened(one_line(each), _LONGEST) for each in attacks}
    title = shortened(one_line(title), _LONGEST)
    pitch = max(_NARROWEST, *(width_of(each) + 14 for each in attacks_said.values()), 16.0 * len(defences))
    right = max(_LEFT + pitch * len(attacks), title_width(title))
    pitch = (right - _LEFT) / len(attacks)
    looks = {each: look(place, width=2.5) for place, each in enumerate(defences)}
    chance = Stroke(INK, "dash", 1.3)
    keys = [*(Key(each, stroke, dot=True) for each, stroke in looks.items()), Key("chance", chance)]
    entries, high = legend(keys, left=_MARGIN / 2, top=TITLE_HIGH, right=right + _MARGIN)
    marks = [text(_MARGIN / 2, 20, title, weight=700), *entries]
    known = [*table["c_index"].dropna().tolist(), _CHANCE]
    top, said = TITLE_HIGH + high + 8, []
    for mode in modes:
        marks.append(text(_LEFT, top + 14, f"privacy mode {mode}", weight=700))
        top += 24
        y = axis_of(known, top=top, bottom=top + _HIGH)
        marks += upright(y, left=_LEFT, right=right, title="C-index", title_at=_LEFT - 56)
        marks.append(line(_LEFT, y.start, right, y.start, Stroke(QUIET, width=1)))
        marks.append(line(_LEFT, y.at(_CHANCE), right, y.at(_CHANCE), chance))
        for place, attack in enumerate(attacks):
            middle = _LEFT + (place + 0.5) * pitch
            marks.append(text(middle, y.start + _LINE, attacks_said[attack], anchor="middle"))
            for number, (defence, stroke) in enumerate(looks.items()):
                own = (table["attack"] == attack) & (table["defence"] == defence) & (table["privacy"] == mode)
                chosen = table["c_index"][own].dropna().to_numpy()
                if len(chosen):
                    wide = pitch * _OF_A_GROUP / len(defences)
                    at = middle + (number - (len(defences) - 1) / 2) * wide
                    marks += series(chosen, at=at, wide=0.8 * wide, y=y, stroke=stroke)
                    said.append(f"{mode}, {attack}, {defence}: {decimals(float(chosen.mean()))}")
        top += _HIGH + _GAP
    beneath = ["A dot is a seed, a bar the mean of its seeds. Patients set aside, whom nobody has touched."]
    for outcome in sorted(set(table["outcome"]) - {""}):
        runs = int((table["outcome"] == outcome).sum())
        beneath.append(f"No dot in {counted(runs, 'run', 'runs')}: {outcome}.")
    top -= _GAP - _LINE
    for words in beneath:
        top += _LINE
        marks.append(text((_LEFT + right) / 2, top, words, anchor="middle", colour=QUIET))
    alternative = f"{title}. Mean C-index over seeds by privacy mode, attack and defence. {'; '.join(said)}."
    return file_picture(width=right + _MARGIN, height=top + 14, marks=marks, alternative=alternative)
