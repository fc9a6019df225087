"""Does a model's card fit CHAI's public schema, and say in each form the same, in the run's own numbers?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Tree

import pytest
from tests.card_numbers import numbers_of, shown_numbers, strange_numbers
from tests.unit.server.card.known_runs import EVERYTHING, gained, of_hospitals, scored, simulated
from tests.unit.server.report.fake_studies import fake_plan, fake_schema

from oncofed.server.card.known import Known
from oncofed.server.card.markdown import card_markdown
from oncofed.server.card.model_card import NAMESPACE, model_card
from oncofed.server.card.xml import card_xml
from oncofed.study.reporting import Reporting

HERE = Path(__file__).parent / "chai_model_card"
"""The schema (v0.2) and its licence, as github.com/coalition-for-health-ai/mc-schema has them; in no distribution."""
RUNS = {
    "a table": simulated(),
    "all texts": simulated(reporting=EVERYTHING),
    "scores and groups": scored(),
    "hospitals": of_hospitals(),
    "hospitals that released gains": gained(),
    "hospitals that released nothing": of_hospitals(plan=fake_plan(fake_schema(), private=False)),
}
SIGNATURE = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="http://www.w3.org/2000/09/xmldsig#">
<xs:element name="Signature"/></xs:schema>"""


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Any:
    xmlschema = pytest.importorskip("xmlschema", reason="xmlschema is not installed here")
    # What it imports lies elsewhere; our cards have no XML signature, so one element stands for all of it.
    signature = tmp_path_factory.mktemp("schema") / "signature.xsd"
    signature.write_text(SIGNATURE)
    places = {"http://www.w3.org/2000/09/xmldsig#": str(signature)}
    return xmlschema.XMLSchema(str(HERE / "schema.xsd"), locations=places, allow="local")


def elements(known: Known) -> dict[str, str]:
    """Text by path, without the namespace."""

    def walk(element: Tree.Element, path: str) -> Iterator[tuple[str, str]]:
        for number, each in enumerate(element):
            name = each.tag.removeprefix(f"{{{NAMESPACE}}}")
            if len(each):
                yield from walk(each, f"{path}{name}/" if name != "MetricResult" else f"{path}{number}/")
            else:
                yield f"{path}{name}", each.text or ""

    return dict(walk(Tree.fromstring(card_xml(model_card(known))), ""))


@pytest.mark.parametrize("run", RUNS)
def test_the_card_fits_the_public_schema(run: str, schema: Any) -> None:
    document = card_xml(model_card(RUNS[run])).decode()
    assert [str(each.reason) for each in schema.iter_errors(document)] == []


def test_the_schema_notices_what_is_missing_and_what_stands_elsewhere(schema: Any) -> None:
    document = card_xml(model_card(RUNS["a table"])).decode()
    for wrong in (
        document.replace("<DeveloperContact>", "<Contact>").replace("</DeveloperContact>", "</Contact>"),
        document.replace("<Warnings>", "<Other/><Warnings>"),
        document.replace(NAMESPACE, NAMESPACE.replace("v0.2", "v0.1")),
    ):
        assert list(schema.iter_errors(wrong))


def test_scores_in_use_and_groups_of_people_are_told_with_calibration_beside_each_c_index() -> None:
    page = card_markdown(model_card(scored()))
    score = "os, against all scores, 149 patients of whom it is recorded"
    for told in (
        f"{score}: C-index of the score | 0.623",
        f"{score}: calibration slope of the score | 1.136",
        f"{score}: C-index of the network above it | 0.075 (95 % interval 0.031 to 0.120)",
        f"{score}: gain in log likelihood | 17.418 (95 % interval 6.127 to 28.709)",
        "sex male, yes, 83 patients: C-index | 0.687 (95 % interval 0.601 to 0.765)",
        "sex male, yes, 83 patients: observed over expected events | 1.234 (95 % interval 1.012 to 1.432)",
        "age years, 50 to below 65, 71 patients: C-index",
        "Groups are by sex male and by age years.",
        "Figures of groups of people are by sex male and by age years, and by nothing else",
    ):
        assert told in page, told
    assert "not looked at" not in page
    assert "who is treated worse is not known" not in page
    plain = card_markdown(model_card(simulated()))
    assert "sex, age and origin were not looked at" in plain
    assert "who is treated worse is not known" in plain


@pytest.mark.parametrize("run", RUNS)
def test_no_entry_is_blank(run: str) -> None:
    assert [path for path, text in elements(RUNS[run]).items() if not text.strip()] == []


@pytest.mark.parametrize("run", RUNS)
def test_every_number_of_the_card_is_one_of_the_figures(run: str) -> None:
    known = RUNS[run]
    page = card_markdown(model_card(known))
    assert strange_numbers(page, known.metrics) == []
    assert len(shown_numbers(page, known.metrics)) > 15
    figures, told = {*numbers_of(known.metrics)}, elements(known)
    values = [json.loads(text) for path, text in told.items() if path.endswith("/ValueJson")]
    numbers = {number for value in values if isinstance(value, dict) for number in numbers_of(value)}
    assert numbers - figures <= {95.0}, "not rounded, and the level of the intervals"
    assert not [
        path
        for path, text in told.items()
        if not path.endswith("/ValueJson") and strange_numbers(text.replace("\n", "\n\n"), known.metrics)
    ]


def test_a_number_that_is_not_the_runs_is_noticed() -> None:
    known = simulated()
    page = card_markdown(model_card(known))
    for shown, wrong in (("0.712", "0.713"), ("620", "621"), ("17.9", "17.8"), ("0.23", "0.24")):
        assert shown in page
        assert strange_numbers(page.replace(shown, wrong), known.metrics)


def test_figures_have_their_intervals_in_both_forms() -> None:
    known = simulated()
    assert "| os: C-index | 0.712 (95 % interval 0.645 to 0.781) |" in card_markdown(model_card(known))
    assert "| small cell 2, 0 to 12 months | 15 events, 17.9 expected |" in card_markdown(model_card(known))
    told = elements(known)
    labels = {text: path for path, text in told.items() if path.endswith("/Label")}
    value = json.loads(told[labels["os: C-index"].replace("Label", "ValueJson")])
    assert value == {"kind": "estimate_ci", "estimate": 0.71234, "lower": 0.64512, "upper": 0.78123, "level": 95}
    expected = labels["small cell 2, 12 to 24 months: expected events"].replace("Label", "ValueJson")
    assert json.loads(told[expected]) == {"kind": "single", "value": 28.6397, "unit": "events"}


def test_released_gains_stand_in_the_card_as_the_release_has_them() -> None:
    page = card_markdown(model_card(gained()))
    endpoint = fake_plan(fake_schema()).model.endpoints[0].replace("_", " ")
    for what, value in (
        ("against uicc stage", "0.080"),
        ("against all scores", "0.020"),
        ("rna expression averaged over all orders", "0.050"),
        ("rna expression alone", "0.060"),
        ("protein expression as the last", "0.000"),
    ):
        assert f"| {endpoint}, {what}: gain in log likelihood a patient, with noise | {value} (95 % interval" in page


def test_what_is_not_known_is_not_stated_and_no_number_is_made_of_it() -> None:
    known = simulated(c_index=None, brier_gain=None, calibration_slope_ci95=[None, None])
    page = card_markdown(model_card(known))
    assert "os: C-index |" not in page
    assert "Brier score |" not in page
    assert "| os: calibration slope | 0.917 |" in page
    silent = elements(of_hospitals(plan=fake_plan(fake_schema(), private=False)))
    assert silent["KeyMetrics/SafetyReliability/Results/0/ValueJson"] == '"not stated"'
    assert silent["BasicInfo/DeveloperContact"] == "not stated in the study file: contact"
    assert silent["Bibliography"] == "not stated"


def test_people_are_quoted_in_both_forms() -> None:
    said = Reporting(intended_use="To talk <b>about</b> it & no more.")
    known = simulated(reporting=said)
    assert "> To talk &lt;b>about&lt;/b> it &amp; no more.\n" in card_markdown(model_card(known))
    told = elements(known)["UsesAndDirections/IntendedUseAndWorkflow"]
    assert told.endswith("From the study file ([reporting] intended_use): To talk <b>about</b> it & no more.")


def test_the_same_run_gives_the_same_card() -> None:
    first, second = (card_xml(model_card(replace(simulated()))) for _ in range(2))
    assert first == second
