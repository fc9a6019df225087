"""Is a German report German, whatever a run has or lacks: no word that the catalogs never say, and no decimal point?

Names of the schema and of hospitals stand there as they were written, and what is English alone is marked as that.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.german_reports import foreign, read, with_a_point, words_in
from tests.unit.simulations.report import test_page as known
from tests.unit.simulations.report.fake_results import fake_result

from oncofed.protocol.plan import PrivacyMode
from oncofed.simulations.report.page import render_report
from oncofed.simulations.results import RunResult
from oncofed.words.languages import language_called

GERMAN = language_called("de")


@pytest.fixture(scope="module")
def result() -> RunResult:
    return fake_result(sites=4, patients=400)


def seen(page: str) -> list[str]:
    """What is read, but for settings, programs and their versions."""
    return read(page[: page.index('<h2><span class="number">9')])


def names_of(result: RunResult) -> set[str]:
    schema = result.test.schema
    said = [schema.name, result.study.name, result.study.title, *result.hospitals]
    said += [each for marker in schema.markers for each in (marker.name, marker.unit, *marker.categories)]
    said += [endpoint.name for endpoint in schema.endpoints]
    said += ["oncofed", result.plan.privacy.mode.value, "all scores", "ε", "δ", *"ABC"]  # a score; three patients
    return words_in(said)


def foreign_words(result: RunResult) -> set[str]:
    return foreign(seen(render_report(result, say=GERMAN)), names_of(result))


def as_it_is(result: RunResult) -> RunResult:
    return result


def with_scores_and_layers(result: RunResult) -> RunResult:
    asked = known.asked_for_layers(result)
    main = result.main.name
    return replace(asked, compared={main: (known.compared(),)}, layers={main: known.layers_compared()})


def not_private(result: RunResult) -> RunResult:
    open_ = replace(result.plan.privacy, mode=PrivacyMode.NONE)
    return replace(result, plan=replace(result.plan, privacy=open_))


def test_numbers_have_a_decimal_comma(result: RunResult) -> None:
    page = seen(render_report(with_scores_and_layers(result), say=GERMAN))
    assert not with_a_point(page)
    assert len([each for each in page if re.search(r"\d,\d", each)]) > 100


CHANGES = (as_it_is, with_scores_and_layers, not_private)


@pytest.mark.parametrize("change", CHANGES, ids=lambda each: each.__name__)
def test_no_word_of_a_german_report_is_another_languages(
    result: RunResult, change: Callable[[RunResult], RunResult]
) -> None:
    assert not foreign_words(change(result))


def test_a_text_that_is_taken_from_the_catalog_is_found(result: RunResult, monkeypatch: pytest.MonkeyPatch) -> None:
    told = dict(GERMAN.translations._catalog)  # type: ignore[attr-defined]  # of gettext
    taken = "How training went"
    assert told.pop(taken)
    monkeypatch.setattr(GERMAN.translations, "_catalog", told)
    assert foreign_words(result) == {"How", "went"}
