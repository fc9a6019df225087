"""How does a quality report become one page for a hospital's data manager?

Promises: one file, no script, nothing loaded from anywhere; in the style of the hospital's pages, and printed by it;
every name is escaped; the same report of one day gives the same bytes. Figures are exact and go through no disclosure
rule: the page says at its head, and on every printed sheet, that it is for the hospital's own eyes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from functools import cache, partial
from importlib.resources import files

import jinja2
from markupsafe import Markup

from oncofed.client.quality.findings import Level
from oncofed.client.quality.report import HEADINGS, OWN_EYES, QualityReport
from oncofed.picture.axes import counts
from oncofed.picture.drawing import BLUE, GREY, ORANGE, report_picture
from oncofed.picture.rows import BELOW, Rows
from oncofed.words.filled import knows, told
from oncofed.words.language import ENGLISH, Language
from oncofed.words.names import capital, plain_name, shortened
from oncofed.words.numbers import percent, whole
from oncofed.words.templates import speaking

_WIDTH = 520.0
"""Of a picture: on a telephone its words are still read."""
_LONGEST_NAME = 40


@cache
def templates_in(say: Language) -> jinja2.Environment:
    """Texts and numbers are those of the language."""
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=jinja2.PackageLoader("oncofed.client.quality"),
    )
    environment.filters.update(
        breakable=_breakable,
        capital=capital,
        known=partial(knows, say),
        percent=partial(percent, say=say),
        plain_name=plain_name,
        say=say,
        shade=_shade,
        told=partial(told, say=say),
        whole=partial(whole, say=say),
    )
    return speaking(environment, say)


def quality_page(report: QualityReport, *, made_on: date, say: Language = ENGLISH) -> str:
    """The page as text. Faults of validation are told in English, and marked as that on a page of another language."""
    style = files("oncofed.local_pages").joinpath("static/pages.css").read_text("utf-8")
    template = templates_in(say).get_template("quality.html.j2")
    return template.render(
        style=Markup(style),  # noqa: S704 - our own file
        report=report,
        own_eyes=OWN_EYES,
        made_on=f"{made_on.day} {made_on:%B %Y}" if say.code == ENGLISH.code else say.date(made_on),
        levels=[(level.value, HEADINGS[level], report.of(level)) for level in Level],
        modalities=report.modalities(say=say),
        events=[_events_picture(report, number, say) for number in range(len(report.endpoints))],
        years=_years_picture(report, say) if report.years else None,
    )


def _events_picture(report: QualityReport, number: int, say: Language) -> Markup:
    """Events of one endpoint by interval of the grid, and those beyond."""
    endpoint = report.endpoints[number]
    colours = [BLUE] * (len(endpoint.by_interval) - 1) + [ORANGE]
    names = [told(each, say=say) for each in report.intervals]
    alternative = say("Events of %(name)s by interval", name=endpoint.name)
    return _bars(names, endpoint.by_interval, colours, say("events"), alternative, say)


def _years_picture(report: QualityReport, say: Language) -> Markup:
    """Patients by the year of time zero."""
    names = [str(year) for year in report.years]
    alternative = say("Patients by year of time zero")
    return _bars(names, [*report.years.values()], [GREY] * len(names), say("patients"), alternative, say)


def _bars(
    names: Sequence[str], values: Sequence[int], colours: Sequence[str], title: str, alternative: str, say: Language
) -> Markup:
    most = max([*values, 1])
    names = [shortened(name, _LONGEST_NAME) for name in names]
    frame = Rows(names, (0.0, 1.12 * most, counts(most, about=5, say=say)), title, right=_WIDTH - 24, widest_names=200)
    marks = list(frame.marks)
    for row, (value, colour) in enumerate(zip(values, colours, strict=True)):
        marks += frame.bar(row, 0.0, float(value), colour, whole(value, say=say))
    return report_picture(height=frame.bottom + BELOW, marks=marks, alternative=alternative, width=_WIDTH)


def _breakable(name: str) -> Markup:
    """Where a name of many parts may go on in the next line."""
    return Markup("_<wbr>").join(name.split("_"))


def _shade(share: float) -> str:
    """Which of five shades a share that is missing has; the number stands in the cell, too."""
    return f"share-{min(4, int(5 * share))}" if share == share else "share-none"  # noqa: PLR0124 - NaN
