"""A study document survives the journey to a hospital bit for bit, or is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from oncofed.cohort.encoding import columns
from oncofed.cohort.schema_file import parse_schema
from oncofed.errors import InvalidInput, SignatureInvalid
from oncofed.protocol.plan import Member, ModelSpec, PrivacyMode, PrivacySpec, StudyPlan, TrainingSpec
from oncofed.protocol.plan_file import plan_from_json
from oncofed.protocol.signing import new_signing_key, public_key_of
from oncofed.protocol.study_document import (
    LARGEST_BYTES,
    StudyDocument,
    document_bytes,
    read_document,
    schema_of,
    sealed_document,
    signed_document,
    verify_document,
)
from oncofed.protocol.summary_spec import SummaryKind, SummarySpec, VoteSpec

KEY = new_signing_key()
SCHEMA = """
[schema]
name = "tiny"
patient_id = "patient_id"
[time]
unit = "months"
interval_bounds = [0, 12, 24]
[[endpoint]]
name = "overall_survival"
time = "survival_months"
event = "death_observed"
baseline_hazard = 0.02
[[marker]]
name = "sex_female"
modality = "clinical"
kind = "binary"
"""


def plan_of(schema_toml: str = SCHEMA) -> StudyPlan:
    schema = parse_schema(schema_toml, where="schema")
    return StudyPlan(
        study="tiny",
        schema_hash=schema.hash,
        model=ModelSpec(len(columns(schema)), ("overall_survival",), schema.grid, schema.baseline_hazard, (4,)),
        training=TrainingSpec(rounds=7),
        privacy=PrivacySpec(PrivacyMode.LOCAL, 1.0, 1e-5, 11.5, 2.0, reserve_rounds=2),
        roster=("aachen", "bonn"),
        quorum=2,
        members=(Member("aachen", "key a"), Member("bonn", "key b")),
        coordinator_public_key=public_key_of(KEY).hex(),
        bundle_sha256="0" * 64,
        released=("the model",),
    )


@pytest.fixture
def document() -> StudyDocument:
    return signed_document(plan_of(), schema_toml=SCHEMA, signing_key=KEY)


def test_a_document_comes_back_as_it_was(document: StudyDocument) -> None:
    again = read_document(document_bytes(document))
    assert again == document
    assert again.plan.hash == document.plan.hash
    verify_document(again, public_key=public_key_of(KEY))
    assert [marker.name for marker in schema_of(again).markers] == ["sex_female"]


def test_the_hash_names_every_part_of_the_plan() -> None:
    plan = plan_of()
    changed = [
        replace(plan, privacy=replace(plan.privacy, noise_multiplier=11.0)),
        replace(plan, privacy=replace(plan.privacy, reserve_rounds=3)),
        replace(plan, training=replace(plan.training, rounds=8)),
        replace(plan, bundle_sha256="1" * 64),
        replace(plan, members=(Member("aachen", "key c"), Member("bonn", "key b"))),
        replace(plan, released=()),
    ]
    assert len({each.hash for each in [plan, *changed]}) == len(changed) + 1


def test_another_coordinators_document_is_refused(document: StudyDocument) -> None:
    with pytest.raises(SignatureInvalid):
        verify_document(document, public_key=public_key_of(new_signing_key()))


def test_a_plan_is_not_signed_with_a_key_it_does_not_name() -> None:
    with pytest.raises(SignatureInvalid):
        signed_document(plan_of(), schema_toml=SCHEMA, signing_key=new_signing_key())


def test_a_changed_plan_or_schema_is_refused(document: StudyDocument) -> None:
    weaker = replace(document.plan, privacy=replace(document.plan.privacy, noise_multiplier=0.1))
    other_words = document.schema_toml + "# a comment\n"
    for changed in (replace(document, plan=weaker), replace(document, schema_toml=other_words)):
        with pytest.raises(SignatureInvalid):
            verify_document(read_document(document_bytes(changed)), public_key=public_key_of(KEY))


def test_a_schema_that_is_not_the_plans_is_refused(document: StudyDocument) -> None:
    other = SCHEMA.replace("0.02", "0.03")
    with pytest.raises(InvalidInput, match="hash the plan names"):
        read_document(document_bytes(replace(document, schema_toml=other)))
    with pytest.raises(InvalidInput, match="hash the plan names"):
        signed_document(plan_of(), schema_toml=other, signing_key=KEY)


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"format":"oncofed study plan 1"}', b" " * (LARGEST_BYTES + 1)],
    ids=["empty", "list", "object", "not utf-8", "deep", "fields missing", "large"],
)
def test_what_is_no_document_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidInput):
        read_document(content)


def test_a_larger_document_is_refused_whatever_is_in_it(document: StudyDocument) -> None:
    large = document_bytes(replace(document, schema_toml=document.schema_toml + "#" * LARGEST_BYTES))
    for read in (read_document, sealed_document):
        with pytest.raises(InvalidInput, match=r"is larger than 1,000,000 bytes"):
            read(large)


def test_another_spelling_of_the_same_document_is_refused(document: StudyDocument) -> None:
    spaced = json.dumps(json.loads(document_bytes(document))).encode()
    with pytest.raises(InvalidInput, match="canonical"):
        read_document(spaced)


def with_many(*, markers: int, categories: int = 0, hospitals: int = 2) -> bytes:
    """A document as its coordinator writes it: each marker with a section of its own, each hospital with real keys."""
    listed = "".join(
        f'[[marker]]\nname = "concentration of analyte {number:03d} in blood"\nmodality = "laboratory"\n'
        'kind = "continuous"\nunit = "log10(micromol/l)"\ncentre = 60.5\nscale = 15.25\nplausible_range = [0, 12000]\n'
        "reference_range = [10.5, 20.5]\n"
        for number in range(markers)
    )
    named = ", ".join(f'"malignant neoplasm of entity {number:02d}"' for number in range(categories))
    first = '"malignant neoplasm of entity 00"'
    entity = (
        f'[[marker]]\nname = "tumour entity"\nmodality = "clinical"\nkind = "categorical"\ncategories = [{named}]\n'
        f"reference_category = {first}\n"
    )
    toml = SCHEMA + listed + (entity if categories else "")
    schema = parse_schema(toml, where="schema")
    sites = tuple(f"university-hospital-of-town-{number:03d}" for number in range(hospitals))
    votes = VoteSpec(tuple(range(len(columns(schema)))), len(columns(schema)), entity_columns=tuple(range(categories)))
    plan = replace(
        plan_of(toml),
        roster=sites,
        members=tuple(Member(site, "ecdsa-sha2-nistp384 " + "A" * 180, "1" * 64) for site in sites),
        summaries=(
            SummarySpec("key_markers", SummaryKind.KEY_MARKERS, 1000, 5.0, votes=votes),
            SummarySpec("interactions", SummaryKind.INTERACTIONS, 1000, 5.0, votes=votes),
        ),
    )
    return document_bytes(signed_document(plan, schema_toml=toml, signing_key=KEY))


def test_a_study_of_350_markers_38_tumours_and_100_hospitals_takes_less_than_a_quarter_of_what_may_be() -> None:
    content = with_many(markers=350, categories=38, hospitals=100)
    assert len(content) < LARGEST_BYTES / 4
    assert len(read_document(content).plan.roster) == 100


def test_what_no_hospital_would_take_is_not_signed() -> None:
    with pytest.raises(InvalidInput, match=r"takes .* bytes, above 1,000,000. List markers of one kind"):
        with_many(markers=5_000)


def test_hash_and_signature_are_known_before_anything_is_parsed(
    document: StudyDocument, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, plan_hash = document_bytes(document), document.plan.hash
    changed = content.replace(b'"rounds":7', b'"rounds":8')

    def parsed(*_: object, **__: object) -> None:
        raise AssertionError("something was parsed")

    monkeypatch.setattr(json, "loads", parsed)
    assert sealed_document(content).plan_hash == plan_hash
    assert sealed_document(changed).plan_hash != plan_hash
    sealed_document(content).refuse_unless_signed(public_key=public_key_of(KEY))
    with pytest.raises(SignatureInvalid):
        sealed_document(changed).refuse_unless_signed(public_key=public_key_of(KEY))
    with pytest.raises(SignatureInvalid):
        sealed_document(content).refuse_unless_signed(public_key=public_key_of(new_signing_key()))


@pytest.mark.parametrize("cut", [b'"schema":', b'"signature":', b'"plan":', b'"}'])
def test_a_document_without_one_of_its_parts_is_refused_unparsed(document: StudyDocument, cut: bytes) -> None:
    with pytest.raises(InvalidInput, match="is no document of the form"):
        sealed_document(document_bytes(document).replace(cut, b""))


def test_a_schema_that_holds_the_words_between_the_parts_is_cut_where_it_ends() -> None:
    toml = SCHEMA.replace('"sex_female"', '\',"schema":"x","signature":"\'')
    content = document_bytes(signed_document(plan_of(toml), schema_toml=toml, signing_key=KEY))
    sealed = sealed_document(content)
    assert json.loads(sealed.schema) == toml
    assert sealed.plan_hash == read_document(content).plan.hash
    sealed.refuse_unless_signed(public_key=public_key_of(KEY))


def test_the_name_of_a_study_is_a_name_or_a_fault(document: StudyDocument) -> None:
    content = document_bytes(document)
    assert sealed_document(content).study == "tiny"
    for other in (b'"study":"\\u001b[31m"', b'"study":3', b'"study":["tiny"]', b'"study":"tiny', b'"studies":"tiny"'):
        with pytest.raises(InvalidInput, match="which study it is of"):
            sealed_document(content.replace(b'"study":"tiny"', other)).study  # noqa: B018


def _edited(plan: StudyPlan, path: str, value: Any) -> Any:
    fields = json.loads(plan.canonical)
    place = fields
    *outer, last = path.split(".")
    for key in outer:
        place = place[key]
    place[last] = value
    return fields


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("quorum", True),
        ("quorum", 3),
        ("quorum", 0),
        ("privacy.noise_multiplier", 11),
        ("privacy.noise_multiplier", float("nan")),
        ("privacy.noise_multiplier", None),
        ("privacy.mode", "nothing"),
        ("privacy.noise_multiplyer", 3.0),
        ("privacy.reserve_rounds", -1),
        ("training.rounds", 0),
        ("training.site_weights", 1.0),
        ("model.grid", [0.0, 1.0]),
        ("model.grid.bounds", [1.0, 0.0]),
        ("roster", ["bonn", "aachen"]),
        ("roster", ["aachen", "aachen"]),
        ("members", []),
        ("members", [{"site": "aachen"}]),
    ],
)
def test_a_plan_that_is_none_is_refused(path: str, value: Any) -> None:
    plan = plan_of()
    if (path, value) == ("members", []):  # a simulation's plan has none; a roster without members is read
        assert plan_from_json(_edited(plan, path, value)).members == ()
        return
    with pytest.raises(InvalidInput):
        plan_from_json(_edited(plan, path, value))


def test_all_faults_of_a_plan_are_named_at_once() -> None:
    fields = _edited(plan_of(), "quorum", "two")
    del fields["study"]
    fields["surprise"] = 1
    with pytest.raises(InvalidInput) as raised:
        plan_from_json(fields)
    assert {fault.where for fault in raised.value.faults} == {"plan.quorum", "plan.study", "plan.surprise"}
