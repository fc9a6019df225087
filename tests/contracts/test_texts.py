"""Has every text of a file its kind, and do the readers refuse another one by name?

A text without a kind is one in which a hostile author may write what a terminal obeys. So the fields of all that is
read are walked by their types; and nasty texts are written into every text field of a plan, a schema, enrolment files
and the files of an installation.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, fields, is_dataclass, replace
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from tests.command_line import Said, oncofed
from tests.doubles import study_plan
from tests.installed_node import installed_node
from tests.nasty_texts import NASTY, ONLY_LINES, SURROGATES, controls_in, made, short

from oncofed import cli
from oncofed.client.guard.policy_file import NodePolicy, read_policy
from oncofed.client.importing.mapping import MappingFile
from oncofed.client.install.findings import Finding, Verdict
from oncofed.client.install.folder import NodeFolder, SiteSettings, read_site
from oncofed.cohort.schema import StudySchema
from oncofed.cohort.schema_file import parse_schema, read_schema
from oncofed.cohort.table import read_table
from oncofed.errors import Fault, InvalidInput, RecordDamaged
from oncofed.protocol.enrolment import Acceptance, EnrolmentRequest, read_acceptance, read_request
from oncofed.protocol.plan import Member, SharedNoise, StudyPlan
from oncofed.protocol.plan_file import plan_from_json
from oncofed.protocol.released_model import ReleasedModel
from oncofed.protocol.signing import new_signing_key, public_key_of
from oncofed.protocol.study_document import StudyDocument, document_bytes, read_document, signed_document
from oncofed.protocol.summary_spec import SummaryKind, SummarySpec, VoteSpec
from oncofed.server.deployment.consortium_file import Consortium, read_consortium
from oncofed.server.deployment.folder import CoordinatorFolder, CoordinatorSettings, read_settings
from oncofed.simulations.study import Study, read_study
from oncofed.survival.comparators import Comparator
from oncofed.survival.entity_levels import EntityLevels
from oncofed.survival.layers import Layer
from oncofed.texts import TEXTS, Plain, shown
from oncofed.treatment.target_trial import Benchmark, TargetTrial

ROOTS: tuple[type, ...] = (
    *(StudyPlan, StudyDocument, StudySchema, EnrolmentRequest, Acceptance),
    *(NodePolicy, SiteSettings, CoordinatorSettings, Study, Consortium, MappingFile),
)


# --- every text has a row, and every row is about a text


def rows_needed(owner: type, seen: set[type]) -> Iterator[str]:
    if owner in seen:
        return
    seen.add(owner)
    hints = get_type_hints(owner)
    for each in fields(owner):
        yield from rows_of(f"{owner.__name__}.{each.name}", hints[each.name], seen)


def rows_of(name: str, kind: Any, seen: set[type]) -> Iterator[str]:
    if get_origin(kind) is not None or isinstance(kind, UnionType):
        for each in get_args(kind):
            if each is not Ellipsis:
                yield from rows_of(name, each, seen)
    elif kind is str:
        yield name
    elif is_dataclass(kind):
        assert isinstance(kind, type)
        yield from rows_needed(kind, seen)
    else:  # a kind of value that nobody thought of could hold a text
        assert kind in (NoneType, bool, int, float, bytes, Path) or issubclass(kind, Enum), f"{name} is a {kind}"


def needed() -> set[str]:
    seen: set[type] = set()
    return {row for root in ROOTS for row in rows_needed(root, seen)}


def test_every_text_of_a_file_has_a_kind() -> None:
    assert needed() - set(TEXTS) == set()
    assert len(needed()) > 50


def test_every_row_of_the_table_is_about_a_text_that_there_is() -> None:
    assert set(TEXTS) - needed() == set()


# --- plans


def full_plan() -> StudyPlan:
    plan = plan_from_json(json.loads(study_plan().canonical))
    votes = VoteSpec(column_markers=(0,), markers=2)
    return replace(
        plan,
        model=replace(
            plan.model,
            comparators=(Comparator("stage", (0,), (), 0.5),),
            layers=(Layer("rna", (0,), (0,), 0.1),),
            expected_weights=(0.5,) * plan.model.columns,
            entity_levels=EntityLevels((0,), 1.0),
        ),
        members=(Member("Bonn", "key", "b" * 64), Member("Essen", "key", "d" * 64)),
        coordinator_public_key="e" * 64,
        bundle_sha256="f" * 64,
        released=("the model", "this plan"),
        summaries=(SummarySpec("markers", SummaryKind.KEY_MARKERS, 3, 1.0, votes=votes),),
        privacy=replace(plan.privacy, shares=SharedNoise(2, 0, 0, mask_neighbours=1)),
    )


def plan_of_all_texts() -> StudyPlan:
    """It contradicts itself, which is looked at last: no plan trains a model and validates another, or compares options
    beside.
    """
    trial = TargetTrial(
        treatment="option",
        options=("one", "other"),
        outcomes=("death",),
        horizon=24.0,
        adjust_for=("age",),
        required=("age",),
        modifiers=("marker",),
        negative_outcome="accident",
        benchmark=Benchmark(0.1, 0.0, 0.2, "A trial", ("age >= 18",)),
        eligible=("age >= 18",),
    )
    model = ReleasedModel("a" * 64, "b" * 64, "c" * 64, "d" * 128)
    return replace(full_plan(), validates=model, target_trial=trial)


def with_texts(value: Any, text: str, where: str, found: list[str]) -> Any:
    """The JSON value with this text in place of each text that is no choice; `found` lists where."""
    if is_dataclass(value):
        return {
            each.name: with_texts(getattr(value, each.name), text, f"{where}.{each.name}", found)
            for each in fields(value)
        }
    if isinstance(value, tuple):
        return [with_texts(each, text, f"{where}[{place}]", found) for place, each in enumerate(value)]
    if isinstance(value, str) and not isinstance(value, Enum):
        found.append(where)
        return text
    return value


def test_the_plan_itself_is_read() -> None:
    assert plan_from_json(json.loads(full_plan().canonical)) == full_plan()


@pytest.mark.parametrize("text", [*NASTY, *SURROGATES], ids=short)
def test_every_text_field_of_a_plan_refuses_it_by_name(text: str) -> None:
    places: list[str] = []
    value = with_texts(plan_of_all_texts(), text, "plan", places)
    with pytest.raises(InvalidInput) as refused:
        plan_from_json(value)
    assert sorted(fault.where for fault in refused.value.faults) == sorted(places)
    assert len(places) > 20
    assert len(text) < 3 or not any(text in fault.what for fault in refused.value.faults)


def test_no_control_of_a_thousand_texts_is_left_in_a_plan() -> None:
    for text in made(1_000):
        places: list[str] = []
        value = with_texts(plan_of_all_texts(), text, "plan", places)
        named: set[str] = set()
        try:
            plan_from_json(value)
        except InvalidInput as refused:
            named = {fault.where for fault in refused.faults}
        if controls_in(text) or "\n" in text:
            assert named == set(places), ascii(text)


@pytest.mark.parametrize("text", ONLY_LINES)
def test_names_of_a_plan_lead_into_no_path_and_no_command(text: str) -> None:
    plan = asdict(full_plan())
    for change in ({"study": text}, {"roster": [text]}, {"members": [{**plan["members"][0], "site": text}]}):
        with pytest.raises(InvalidInput, match=next(iter(change))):
            plan_from_json(json.loads(json.dumps({**plan, **change})))


# --- files in TOML. "@..." is a text; each is written anew, one after the other.

SCHEMA = """
[schema]
name = "@lung"
patient_id = "@patient"
site_column = "@hospital"
tumour_entity = "@entity"
missing_codes = ["@NA"]
[time]
unit = "months"
interval_bounds = [0, 12, 24]
[[endpoint]]
name = "@survival"
time = "@months"
event = "@dead"
entry = "@entry"
death_event = "@death"
baseline_hazard = 0.01
[modality.clinical]
[[marker]]
name = "@age"
modality = "clinical"
kind = "continuous"
unit = "@years"
missing_codes = ["@-999"]
plausible_range = [0, 120]
centre = 60
scale = 15
[[marker]]
names = ["@ecog"]
modality = "clinical"
kind = "binary"
[[marker]]
name = "@entity"
modality = "clinical"
kind = "categorical"
categories = ["@nsclc", "@sclc"]
reference_category = "@nsclc"
"""
POLICY = """
[node]
smallest_cohort = 50
largest_parameters = 1000
allowed_plans = ["@aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]
plans_with_lost_answers = ["@aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]
[[source]]
name = "@registry"
kind = "csv"
path = "@/srv/patients.csv"
largest_epsilon = 3.0
delta = 1e-5
smallest_noise_multiplier = 5.0
[[source]]
name = "@database"
kind = "sql"
statement = "@SELECT 1"
url_variable = "@ADDRESS"
largest_epsilon = 3.0
delta = 1e-5
smallest_noise_multiplier = 5.0
[[source]]
name = "@third"
kind = "sql"
statement = "@SELECT 2"
url_file = "@/etc/address"
same_patients_as = "@registry"
largest_epsilon = 3.0
delta = 1e-5
smallest_noise_multiplier = 5.0
"""
SITE = """
[site]
name = "@bonn"
[sockets]
runtime = "@127.0.0.1:9094"
[coordinator]
address = "@coordinator.example:9443"
public_key = "@aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
[users]
guard = "@guard"
node = "@node"
relay = "@relay"
[launch]
issuer = "@https://fhir.example/r4"
authorize = "@https://fhir.example/authorize"
token = "@https://fhir.example:8443/token"
client = "@oncofed"
known_by = "identifier"
system = "@urn:oid:1.2.3"
scope = "@launch patient/Patient.read"
patients = "@launch-patients.csv"
certificates = "@/etc/ssl/hospital.pem"
[sign_on]
header = "@X-Forwarded-User"
sign_out = "@https://sign-on.hospital.example/out"
"""
COORDINATOR = """
[coordinator]
name = "@Lung study"
address = "@coordinator.example:9443"
listen = "@0.0.0.0:9443"
names = ["@coordinator.example"]
"""
STUDY = """
[study]
name = "@small"
title = "@A small study"
explain_site = "@Bonn"
[data]
table = "@table.csv"
schema = "@schema.toml"
[sites]
partition = "assigned"
assignment_table = "@table.csv"
assignment_patient_id = "@patient"
assignment_column = "@group"
site_pattern = "@(.*)"
test_pattern = "@test"
[evaluation]
horizon = 24
[privacy]
mode = "local"
epsilon = 1
l2_norm_bound = 1
"""
CONSORTIUM = """
[study]
name = "@small"
title = "@A small study"
[data]
schema = "@schema.toml"
[privacy]
mode = "local"
epsilon = 1
l2_norm_bound = 1
[consortium]
released = ["@the model"]
"""


def a_node(path: Path) -> object:
    return read_site(NodeFolder(path.parent))


def a_coordinator(path: Path) -> object:
    return read_settings(CoordinatorFolder(path.parent))


FILES: Mapping[str, tuple[str, Callable[[Path], object]]] = {
    "schema.toml": (SCHEMA, read_schema),
    "policy.toml": (POLICY, read_policy),
    "site.toml": (SITE, a_node),
    "coordinator.toml": (COORDINATOR, a_coordinator),
    "study.toml": (STUDY, read_study),
    "consortium.toml": (CONSORTIUM, read_consortium),
}
FIELDS = [(name, number) for name, (text, _) in FILES.items() for number in range(text.count('"@'))]
SEVERAL_LINES = ("a\nb", "a\r\nb", "a\rb", "a\tb", " a", "a ", "x" * 10_000)


def in_toml(text: str) -> str:
    return f'"{"".join(f"{chr(92)}U{ord(each):08X}" for each in text)}"'


def filled(name: str, number: int | None = None, text: str = "") -> tuple[str, str]:
    """The file with this text in one field; and the field's key."""
    content, _ = FILES[name]
    places = [found.span() for found in re.finditer(r'"@[^"]*"', content)]
    key = ""
    if number is not None:
        start, end = places[number]
        key = re.findall(r"(?m)^(\w+) = ", content[:start])[-1]
        content = content[:start] + in_toml(text) + content[end:]
    return content.replace('"@', '"'), key


def with_neighbours(folder: Path) -> Path:
    (folder / "schema.toml").write_text(filled("schema.toml")[0])
    (folder / "table.csv").write_text("patient,group\n")
    return folder


@pytest.mark.parametrize("name", FILES)
def test_the_file_itself_is_read(name: str, tmp_path: Path) -> None:
    (with_neighbours(tmp_path) / name).write_text(filled(name)[0])
    FILES[name][1](tmp_path / name)


@pytest.mark.parametrize(("name", "number"), FIELDS)
def test_a_text_field_of_a_file_refuses_nasty_texts_by_name(name: str, number: int, tmp_path: Path) -> None:
    with_neighbours(tmp_path)
    for text in [*NASTY, *(each for each in made(40) if controls_in(each))]:
        content, key = filled(name, number, text)
        if (key == "statement" and text in SEVERAL_LINES) or (key == "missing_codes" and not text.strip()):
            continue
        (tmp_path / name).write_text(content)
        with pytest.raises(InvalidInput) as refused:
            FILES[name][1](tmp_path / name)
        assert any(fault.where.endswith(key) or key in fault.where for fault in refused.value.faults), ascii(text)


def test_a_thousand_nasty_texts_in_all_text_fields_of_a_schema_at_once() -> None:
    places = SCHEMA.count('"@')
    for text in made(1_000):
        if not (controls_in(text) or "\n" in text):
            continue
        content = re.sub(r'"@[^"]*"', lambda _, text=text: in_toml(text), SCHEMA)  # type: ignore[misc]
        with pytest.raises(InvalidInput) as refused:
            parse_schema(content, where="schema.toml")
        told = [each for each in refused.value.faults if "cannot be seen" in each.what or "longer" in each.what]
        assert len(told) >= places - 1, ascii(text)  # two in one list are told once


def test_a_name_in_a_schema_is_no_essay() -> None:
    fine, long = "x" * 200, "x" * 201
    for old in ("lung", "patient", "survival", "age", "ecog", "sclc"):
        content = filled("schema.toml")[0]
        parse_schema(content.replace(f'"{old}"', f'"{fine}"'), where="schema.toml")
        with pytest.raises(InvalidInput, match="longer than 200"):
            parse_schema(content.replace(f'"{old}"', f'"{long}"'), where="schema.toml")


def test_a_coordinator_signs_no_nasty_text() -> None:
    key = new_signing_key()
    schema = filled("schema.toml")[0]
    plan = replace(
        full_plan(),
        schema_hash=parse_schema(schema, where="schema").hash,
        coordinator_public_key=public_key_of(key).hex(),
    )
    signed_document(plan, schema_toml=schema, signing_key=key)
    with pytest.raises(InvalidInput, match=r"plan.released\[0\]"):
        signed_document(replace(plan, released=(NASTY[0],)), schema_toml=schema, signing_key=key)
    with pytest.raises(InvalidInput, match="schema_toml"):
        signed_document(plan, schema_toml=f"# \u202e\n{schema}", signing_key=key)
    hostile = StudyDocument(plan, f"# \u202e\n{schema}", b"0" * 64)
    with pytest.raises(InvalidInput, match="cannot be seen"):
        read_document(document_bytes(hostile))


# --- what is exchanged before the first connection


@pytest.mark.parametrize("text", [*NASTY, *ONLY_LINES, *SURROGATES], ids=short)
@pytest.mark.parametrize("owner", [EnrolmentRequest, Acceptance])
def test_every_text_of_an_enrolment_file_refuses_it_by_name(
    owner: type[EnrolmentRequest | Acceptance], text: str
) -> None:
    read, form = {
        EnrolmentRequest: (read_request, "oncofed-enrolment-request-3"),
        Acceptance: (read_acceptance, "oncofed-enrolment-acceptance-1"),
    }[owner]
    names = [each.name for each in fields(owner)]
    content = json.dumps({"format": form, **dict.fromkeys(names, text)}, sort_keys=True, separators=(",", ":"))
    with pytest.raises(InvalidInput) as refused:
        read(content.encode())
    named = " ".join(fault.where for fault in refused.value.faults)
    refusing = [name for name in names if text not in ONLY_LINES or name not in ("request_fingerprint",)]
    assert all(name in named for name in refusing)


# --- what is said of other people's names: of files, of fields, of markers


def lines_of_a_message(said: str) -> list[str]:
    """As an editor or a log would part them; each must be ours."""
    assert controls_in(said) == []
    return said.splitlines()


def test_a_fault_is_one_line_whatever_it_names() -> None:
    for text in [*NASTY, *made(1_000)]:
        fault = Fault(f"{text}: [{text}]", f"names {text}", f"Write {text}.")
        seen = io.StringIO()
        Plain(seen).write(str(InvalidInput([fault, fault])))
        heading, *listed = lines_of_a_message(seen.getvalue())
        assert heading == "2 faults", ascii(text)
        assert [each[:4] for each in listed] == ["  - "] * 2, ascii(text)
        assert len(fault.place) <= 400
        finding = Finding("table", Verdict.FAULT, f"names {text}", f"Write {text}.")
        first, *others = shown(str(finding)).split("\n")
        assert first.startswith("FAULT   table: ")
        assert all(each.startswith("        ") for each in others)


def test_a_place_keeps_its_beginning_and_its_end() -> None:
    place = Fault(f'schema.toml: [[marker]] "{"x" * 1_000_000}", centre', "is missing", "Add this field.").place
    assert place.startswith('schema.toml: [[marker]] "xxx')
    assert place.endswith('xxx", centre')


def test_more_faults_than_anybody_reads_are_counted() -> None:
    refused = InvalidInput([Fault("a.toml", f"fault {number}", "Mend it.") for number in range(100_000)])
    assert str(refused).startswith("100000 faults\n")
    assert str(refused).endswith("\n  - and 99,000 more")
    assert len(refused.faults) == 100_000


FILE_NAMES = [
    text for text in [*NASTY, *ONLY_LINES, *made(200)] if "/" not in text and "\0" not in text and text.strip()
]
FILE_NAMES = [text for text in FILE_NAMES if len(text.encode()) < 200]


def test_names_of_files_stay_on_their_line(tmp_path: Path) -> None:
    """A plan that came by mail may be called anything, and so may a table or a study file."""
    assert len(FILE_NAMES) > 100
    with installed_node() as node:
        node.enrol()
        for number, name in enumerate(FILE_NAMES):
            folder = tmp_path / str(number)
            folder.mkdir()
            path = folder / f"{name}.toml"
            path.write_bytes(b"x")
            said = [oncofed("simulate", path, "--out", folder / "out")] if number % 10 == 0 else []
            if number % 10 == 1:
                said = [oncofed("site", "plans", node.folder.root, "--add", path)]
            for read in (read_schema, read_study, read_policy, read_consortium):
                with pytest.raises(InvalidInput) as refused:
                    read(path)
                said.append(Said(2, shown(f"oncofed: {refused.value}\n")))
            with pytest.raises(InvalidInput) as refused:
                read_table(path)
            said.append(Said(2, shown(f"oncofed: {refused.value}\n")))
            for each in said:
                assert each.code == 2
                first, *others = lines_of_a_message(each.text)
                assert first.startswith("oncofed: "), ascii(name)
                assert all(line.startswith("  ") for line in others), (ascii(name), each.text)


def test_no_line_of_a_failure_begins_as_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(**_: object) -> None:
        raise RecordDamaged("of /srv/a\nApproved: everything\r\nFAULT   x: its line")

    monkeypatch.setattr(cli.oncofed, "main", fails)
    said = oncofed("site")
    assert said.code == 1
    first, *others = lines_of_a_message(said.text)
    assert first == "oncofed: of /srv/a"
    assert all(line.startswith("  ") for line in others)
