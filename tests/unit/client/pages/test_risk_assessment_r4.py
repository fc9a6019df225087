"""Is an exported RiskAssessment one of FHIR R4 (4.0.1), by a library whose models were made from that very version?

`fhirclient` of SMART Health IT: which elements there are, of which type, how often, and which must be there, also in
what is contained. What it leaves out is asked here: elements that stand beside a value (`_start`), a choice that was
taken twice or by its bare name (`probability`), and resources that it does not know. `test_patient_exports.py` asks for
codes, invariants and the forms of ids and times.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache
from inspect import getsource
from pathlib import Path
from typing import Any

import pytest
from fhirclient.models import fhirelementfactory, riskassessment
from fhirclient.models.element import Element
from fhirclient.models.fhirabstractbase import FHIRAbstractBase, FHIRValidationError
from tests.pages_hospital import served
from tests.unit.client.pages.test_patient_exports import KINDS, ROW, competing, whole, with_deaths_first

from oncofed.client.pages.accounts import Role
from oncofed.client.pages.risk_assessment import risk_assessment
from oncofed.client.pages.told_prognosis import told_prognosis

Resource = dict[str, Any]
SHOWN = {"one": (whole, 0), "competing": (competing, 0), "death may come first": (with_deaths_first, 1)}


def refuse_other_than_r4(found: Resource) -> None:
    """Raises FHIRValidationError."""
    taken = riskassessment.RiskAssessment(found)
    plain, beside = parted(found)
    for each in beside:
        Element(each)
    for each in elements(taken):
        choices = [
            many for name, _, _, _, many, _ in each.elementProperties() if many and getattr(each, name) is not None
        ]
        if len(choices) > len(set(choices)):
            raise FHIRValidationError("one value of a choice", path=str(choices))
    if taken.as_json() != plain:
        raise FHIRValidationError("something in it is no element of R4")


def parted(value: Any) -> tuple[Any, list[Resource]]:
    """Without the elements beside values; and these."""
    if isinstance(value, list):
        parts = [parted(each) for each in value]
        return [plain for plain, _ in parts], [each for _, more in parts for each in more]
    if not isinstance(value, dict):
        return value, []
    found, beside = {}, []
    for name, each in value.items():
        if name.startswith("_"):
            beside.append(each)
            continue
        found[name], more = parted(each)
        beside += more
    return found, beside


def elements(value: FHIRAbstractBase) -> Iterator[FHIRAbstractBase]:
    """It, and all within."""
    yield value
    for name, *_ in value.elementProperties():
        inner = getattr(value, name)
        for each in inner if isinstance(inner, list) else [inner]:
            if isinstance(each, FHIRAbstractBase):
                yield from elements(each)


@cache
def sound(kind: str = "one") -> Resource:
    shown, endpoint = SHOWN[kind]
    told = told_prognosis(shown(), ROW, endpoint=endpoint, at=datetime(2026, 11, 30, tzinfo=UTC), by="clinician")
    return json.loads(json.dumps(risk_assessment(told)))  # type: ignore[no-any-return]


def test_the_librarys_models_are_those_of_r4() -> None:
    for module in (riskassessment, fhirelementfactory):
        assert getsource(module).partition("Generated from FHIR ")[2].startswith("4.0.1-")


def test_every_kind_is_asked() -> None:
    assert SHOWN == KINDS


@pytest.mark.parametrize("kind", SHOWN)
def test_it_is_one_of_r4_as_it_is_served(tmp_path: Path, kind: str) -> None:
    shown, endpoint = SHOWN[kind]
    with served(tmp_path, shown=shown()) as here:
        client = here.signed_in(Role.CLINICIAN)
        found = client.get(f"{here.opened(client, ROW)}/risk-assessment.json?endpoint={endpoint}").json()
    refuse_other_than_r4(found)
    assert found.keys() >= {"status", "subject", "basis", "method", "prediction", "occurrenceDateTime"}
    assert all(each.keys() & {"whenPeriod", "whenRange"} for each in found["prediction"])


@pytest.mark.parametrize("whose", [{"system": "urn:oid:1.2.3"}, {"resource": "https://fhir.example/r4/Patient/eb3a"}])
def test_so_it_is_of_a_patient_whom_the_record_system_knows(whose: dict[str, str]) -> None:
    told = told_prognosis(whole(), ROW, endpoint=0, at=datetime(2026, 11, 30, tzinfo=UTC), by="clinician")
    refuse_other_than_r4(json.loads(json.dumps(risk_assessment(told, **whose))))


def first(found: Resource) -> Resource:
    return found["prediction"][0]  # type: ignore[no-any-return]


SPOILT: dict[str, Callable[[Resource], object]] = {
    # a wrong type
    "a text for a concept": lambda found: found.update(method="a model"),
    "one for many": lambda found: found.update(basis=found["basis"][0]),
    "many for one": lambda found: found.update(method=[found["method"]]),
    "a text for a number": lambda found: first(found).update(probabilityDecimal="48"),
    "a number for a text": lambda found: found["prediction"][-1].update(rationale=7),
    "a day that is none": lambda found: found.update(occurrenceDateTime="yesterday"),
    "another resource": lambda found: found.update(resourceType="Observation"),
    # what must be there
    "no status": lambda found: found.pop("status"),
    "no subject": lambda found: found.pop("subject"),
    "a note without its text": lambda found: found["note"].append({"authorString": "x"}),
    "a device's name without its type": lambda found: found["contained"][0]["deviceName"][0].pop("type"),
    "an observation of nothing": lambda found: found["contained"][1].pop("code"),
    "an extension without its address": lambda found: first(found)["whenPeriod"]["_end"]["extension"][0].pop("url"),
    # what R4 does not know
    "an element of nobody's": lambda found: found.update(risk="high"),
    "one of R5": lambda found: found.update(reason=[{"concept": {"text": "x"}}]),
    "one within": lambda found: first(found)["outcome"].update(words="x"),
    "one of R5 in what is contained": lambda found: found["contained"][0].update(name=[{"value": "x"}]),
    "one beside a value": lambda found: first(found)["whenPeriod"]["_start"].update(when="x"),
    "a choice without its type": lambda found: first(found).update(probability=48),
    "a resource of nobody's": lambda found: found["contained"].append({"resourceType": "Nonsense"}),
    "two of a choice": lambda found: first(found).update(probabilityRange={"low": {"value": 1}}),
    "two times": lambda found: first(found).update(whenRange={"high": {"value": 1}}),
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_a_spoilt_one_is_found(spoil: Callable[[Resource], object]) -> None:
    found = copy.deepcopy(sound())
    refuse_other_than_r4(found)
    spoil(found)
    with pytest.raises(Exception, match=r"\S") as refused:
        refuse_other_than_r4(found)
    # The library has no type of its own for a resource of another name.
    assert isinstance(refused.value, FHIRValidationError) or "Attempting to instantiate" in str(refused.value)
