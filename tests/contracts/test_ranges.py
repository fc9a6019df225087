"""Has every public constant a range, and do the readers and the pages know it?

A constant without a range is one that a hostile coordinator may choose freely. So the fields of all that is a plan, a
schema, a policy or a study file are walked by their types; and each number that the reference pages list is written
into a file outside its range.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from tests.contracts.test_reference_pages import DOCS, reference

from oncofed import ranges
from oncofed.client.guard.policy_file import NodePolicy, read_policy
from oncofed.client.importing.mapping import MappingFile
from oncofed.cohort.schema import Marker, Modality, ModalityEncoding, StudySchema
from oncofed.cohort.schema_file import read_schema
from oncofed.errors import InvalidInput
from oncofed.protocol.plan import StudyPlan
from oncofed.ranges import RANGES, Range, told
from oncofed.server.deployment.consortium_file import Consortium, read_consortium
from oncofed.simulations.study import Study, read_study

ROOTS: tuple[type, ...] = (StudyPlan, StudySchema, NodePolicy, Study, Consortium, MappingFile)


# --- every number has a row, and every row is about a number


def rows_needed(owner: type, seen: set[type]) -> Iterator[str]:
    if owner in seen:
        return
    seen.add(owner)
    hints = get_type_hints(owner)
    for each in fields(owner):
        yield from rows_of(f"{owner.__name__}.{each.name}", hints[each.name], seen)
    for name in ranges._ALSO.get(owner.__name__, ()):
        derived = getattr(owner, name)
        assert isinstance(derived, property)
        yield f"{owner.__name__}.{name}"
        if get_type_hints(derived.fget)["return"] is not int:
            yield f"{owner.__name__}.{name} (count)"


def rows_of(name: str, kind: Any, seen: set[type]) -> Iterator[str]:
    if get_origin(kind) is UnionType:
        for each in get_args(kind):
            yield from rows_of(name, each, seen)
    elif get_origin(kind) in (tuple, frozenset):
        yield f"{name} (count)"
        yield from rows_of(name, get_args(kind)[0], seen)
        for each in get_args(kind)[1:]:
            if each is not Ellipsis:
                yield from rows_of(name, each, seen)
    elif isinstance(kind, type) and kind in (int, float):
        yield name
    elif get_origin(kind) is not None and issubclass(get_origin(kind), Mapping):
        yield from rows_of(name, get_args(kind)[1], seen)
    elif isinstance(kind, type) and is_dataclass(kind):
        yield from rows_needed(kind, seen)
    else:  # a kind of value that nobody thought of could hold a number
        assert kind in (NoneType, bool, Path) or issubclass(kind, str), f"{name} is a {kind}"


def needed() -> set[str]:
    seen: set[type] = set()
    return {row for root in ROOTS for row in rows_needed(root, seen)}


def test_every_number_of_a_plan_schema_policy_or_study_file_has_a_range() -> None:
    assert needed() - set(RANGES) == set()
    assert len(needed()) > 100


def test_every_row_of_the_table_is_about_a_number_that_there_is() -> None:
    assert set(RANGES) - needed() == set()


@pytest.mark.parametrize("name", RANGES)
def test_a_range_is_finite_holds_what_is_usual_and_no_number_that_is_none(name: str) -> None:
    span = RANGES[name]
    assert -1e20 < span.least <= span.usual_least <= span.usual_most <= span.most < 1e20
    assert span.least in span
    assert span.most in span
    for outside in (float("nan"), float("inf"), -float("inf"), True, "1", None, 10**400, -(10**400)):
        assert outside not in span
    if span.whole:
        assert float(span.least) not in span
    assert (0 in span) is (span.least <= 0 or span.or_zero)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (1e-5, "1e-5"),
        (0.5, "0.5"),
        (1e12, "1e12"),
        (10_000, "10,000"),
        (float("nan"), "not a number"),
        (-(10**400), "beyond -1e300"),
    ],
)
def test_numbers_are_told_as_people_write_them(number: float, words: str) -> None:
    assert told(number) == words


# --- the pages and the readers

OWNERS: Mapping[tuple[str, str], type | str] = {
    ("study.md", "[study]"): "Study",
    ("study.md", "[data]"): "DataSpec",
    ("study.md", "[data.synthetic]"): "DataSpec",
    ("study.md", "[sites]"): "SitesSpec",
    ("study.md", "[evaluation]"): "EvaluationSpec",
    ("study.md", "[model]"): "PlanSettings",
    ("study.md", "[training]"): "TrainingSpec",
    ("study.md", "[privacy]"): "PrivacyRequest",
    ("study.md", "[held_out]"): "HeldOutRequest",
    ("study.md", "[explanations]"): "ExplanationRequest",
    ("study.md", "[readiness]"): "ReadinessRequest",
    ("study.md", "[validation]"): "ValidationRequest",
    ("study.md", "[reporting]"): "Reporting",
    ("study.md", "[[comparator]]"): "ComparatorSection",
    ("study.md", "[value]"): "ValueRequest",
    ("study.md", "[panel]"): "PanelRequest",
    ("study.md", "[assay.NAME]"): "AssaySection",
    ("study.md", "[target_trial]"): "TargetTrialSection",
    ("study.md", "[target_trial.benchmark]"): "BenchmarkSection",
    ("study.md", "[consortium]"): "ConsortiumTerms",
    ("schema.md", "[schema]"): StudySchema,
    ("schema.md", "[time]"): StudySchema,
    ("schema.md", "[[endpoint]]"): StudySchema,
    ("schema.md", "[modality.NAME]"): ModalityEncoding,
    ("schema.md", "[[marker]]"): Marker,
}


OTHERWISE = {
    "interval_bounds": "TimeGrid.bounds",
    "expected_patients": "PlanSettings.expected_patients",
    "expected_log_hazard_ratio": "Marker.expected_log_hazard_ratios",
}
"""Keys whose row has another name."""
BY_NAME = {"modality_weights": "clinical", "expected_log_hazard_ratios": "four"}
"""Keys that hold numbers by name, and one."""


def row_of(page: str, heading: str, key: str) -> str:
    owner = OWNERS[page, heading]
    name = f"{owner if isinstance(owner, str) else owner.__name__}."
    if heading == "[data.synthetic]":
        return f"{name}synthetic_{key}"
    return OTHERWISE.get(key, f"{name}{key}")


def type_said(span: Range, count: Range | None) -> str:
    """How a page writes it."""
    number = f"whole number, {span.words}" if span.whole else f"number, {span.words}"
    if count is None:
        return number
    if count.least == count.most:
        return f"[lowest, highest], each {span.words}"
    return f"list of {number.replace('number', 'numbers', 1)}, {count.words} of them"


LISTS = {
    *(
        "hidden_units",
        "site_weights",
        "risk_edges",
        "times",
        "calibration_windows",
        "calibration_risks",
        "reserved_seeds",
    ),
    *("interval_bounds", "plausible_range", "reference_range"),
}
PAGES = [
    (page, heading, key)
    for page in ("study.md", "schema.md")
    for heading, rows in reference(page).items()
    for key in rows
    if row_of(page, heading, key) in RANGES
]


@pytest.mark.parametrize("page", ["study.md", "schema.md"])
def test_the_pages_state_the_ranges_of_the_table(page: str) -> None:
    text = (DOCS / "reference" / page).read_text()
    kinds = {
        (heading, cells[1]): cells[2]
        for heading, section in re.findall(r"(?ms)^## `(.*?)`$(.*?)(?=^## |\Z)", text)
        for cells in ([cell.strip(" `") for cell in line.split("|")] for line in section.splitlines())
        if len(cells) > 4
    }
    wrong = []
    for _, heading, key in (place for place in PAGES if place[0] == page):
        name = row_of(page, heading, key)
        expected = type_said(RANGES[name], RANGES[f"{name} (count)"] if key in LISTS else None)
        if key == "modality_weights":
            modalities = ", ".join(f"`{modality}`" for modality in Modality)
            expected = f"section of {modalities} and numbers, {RANGES[name].words}"
        if key == "expected_log_hazard_ratios":
            expected = f"section of any names and numbers, {RANGES[name].words}"
        if kinds[heading, key] != expected:
            wrong.append(f"{page} {heading} {key}: {kinds[heading, key]!r}, not {expected!r}")
    assert wrong == []
    said_to_be_numbers = {place for place, kind in kinds.items() if re.match(r"(list of )?(whole )?numbers?\b", kind)}
    assert said_to_be_numbers <= {(heading, key) for _, heading, key in PAGES}


SCHEMA = """
[schema]
name = "lung"
patient_id = "patient"
#[schema]
[time]
unit = "months"
interval_bounds = [0, 12, 24]
#[time]
[[endpoint]]
name = "overall_survival"
time = "months"
event = "dead"
baseline_hazard = 0.01
#[[endpoint]]
[modality.clinical]
#[modality.NAME]
[[marker]]
name = "age"
modality = "clinical"
kind = "continuous"
unit = "years"
plausible_range = [0, 120]
centre = 60
scale = 15
#[[marker]]
"""
STUDY = """
[study]
name = "small"
#[study]
[data]
schema = "schema.toml"
#[data]
[data.synthetic]
#[data.synthetic]
[sites]
partition = "column"
#[sites]
[evaluation]
horizon = 24
#[evaluation]
[model]
#[model]
[training]
#[training]
[privacy]
mode = "local"
epsilon = 1
l2_norm_bound = 1
#[privacy]
[held_out]
#[held_out]
[explanations]
#[explanations]
[readiness]
#[readiness]
[validation]
#[validation]
[panel]
#[panel]
[assay.blood]
#[assay.NAME]
[consortium]
#[consortium]
"""
TARGET_TRIAL = """
[target_trial]
treatment = "plain"
first = "one"
second = "another"
time_zero = "diagnosis"
outcomes = ["overall_survival"]
horizon = 24
adjust_for = ["age"]
#[target_trial]
[target_trial.benchmark]
difference = 0.1
low = 0.0
high = 0.2
source = "a trial"
#[target_trial.benchmark]
"""


def outside(span: Range, *, listed: bool) -> list[str]:
    beyond = span.most + 1 if span.whole else span.most * 1.001
    numbers = ["nan", "inf", "-inf", f"{beyond}", f"{int(span.least) - 1}", *(["0"] if 0 not in span else [])]
    return [f"[{number}, {number}]" if listed else number for number in numbers]


def readers(page: str, heading: str) -> tuple[Callable[[Path], object], str]:
    if page == "schema.md":
        return read_schema, SCHEMA
    if heading == "[consortium]":
        return read_consortium, STUDY.replace("[data.synthetic]", "[sites.synthetic]")
    return read_study, STUDY.replace('schema = "schema.toml"', "") + TARGET_TRIAL * heading.startswith("[target_trial")


@pytest.mark.parametrize(("page", "heading", "key"), PAGES, ids=str)
def test_a_number_outside_its_range_is_refused_by_name(page: str, heading: str, key: str, tmp_path: Path) -> None:
    name = row_of(page, heading, key)
    read, text = readers(page, heading)
    (tmp_path / "schema.toml").write_text(SCHEMA)
    bare = re.sub(rf"(?m)^{key} = .*\n(?=(\w.*\n)*#{re.escape(heading)}$)", "", text)
    for value in outside(RANGES[name], listed=key in LISTS):
        field = f"{{ {BY_NAME[key]} = {value} }}" if key in BY_NAME else value
        (tmp_path / "file.toml").write_text(bare.replace(f"#{heading}\n", f"{key} = {field}\n"))
        with pytest.raises(InvalidInput) as refused:
            read(tmp_path / "file.toml")
        named = BY_NAME.get(key, key)
        assert any(fault.where.endswith(f", {named}") and fault.remedy for fault in refused.value.faults), value


def test_lists_that_are_too_long_are_refused(tmp_path: Path) -> None:
    schema, study = tmp_path / "schema.toml", tmp_path / "study.toml"
    schema.write_text(SCHEMA.replace("[0, 12, 24]", str([12 * year for year in range(300)])))
    with pytest.raises(InvalidInput, match="interval_bounds: has a length above 201"):
        read_schema(schema)
    bare = STUDY.replace('schema = "schema.toml"', "")
    study.write_text(bare.replace("#[model]", f"hidden_units = {[4] * 9}"))
    with pytest.raises(InvalidInput, match="hidden_units: has a length above 8"):
        read_study(study)


@pytest.mark.parametrize(("reader", "text"), [(read_study, STUDY), (read_consortium, STUDY)])
def test_rounds_of_too_many_local_steps_together_are_refused(
    reader: Callable[[Path], object], text: str, tmp_path: Path
) -> None:
    if reader is read_consortium:
        text = text.replace("[data.synthetic]", "[sites.synthetic]")
    (tmp_path / "schema.toml").write_text(SCHEMA)
    study = tmp_path / "study.toml"
    asked = text.replace("#[training]", 'mode = "epochs"\nstrategy = "fedavg"\nrounds = 2_000\nlocal_steps = 12')
    study.write_text(asked.replace("#[privacy]", "reserve_rounds = 500"))
    words = (
        r"\[training\], local_steps: is 12, which makes 30,000 local steps of 2,500 rounds "
        r"\(reserve_rounds among them\), above 25,000. Lower rounds, reserve_rounds or local_steps"
    )
    with pytest.raises(InvalidInput, match=words):
        reader(study)
    study.write_text(
        asked.replace("local_steps = 12", "local_steps = 10").replace("#[privacy]", "reserve_rounds = 500")
    )
    with contextlib.suppress(InvalidInput):  # of what else a file of this reader needs
        reader(study)
        return
    with pytest.raises(InvalidInput) as refused:
        reader(study)
    assert "local_steps" not in str(refused.value)


def test_what_follows_from_several_fields_of_a_schema_has_a_range_too(tmp_path: Path) -> None:
    schema = tmp_path / "schema.toml"
    schema.write_text(SCHEMA.replace("[0, 12, 24]", "[0, 12, 12.00001]"))
    with pytest.raises(InvalidInput, match=r"grid.widths\[1\]"):
        read_schema(schema)


# --- a hospital's policy

POLICY = """
[node]
smallest_cohort = 50
smallest_group = 10
persons_to_approve = 1
largest_parameters = 1000
allowed_plans = ["any"]
[[source]]
name = "registry"
kind = "csv"
path = "/srv/patients.csv"
largest_epsilon = 3.0
delta = 1e-5
smallest_noise_multiplier = 5.0
fewest_colluding_tolerated = 2
"""
POLICY_ROWS = {
    "smallest_cohort": "NodePolicy",
    "smallest_group": "NodePolicy",
    "persons_to_approve": "NodePolicy",
    "largest_parameters": "NodePolicy",
    "largest_epsilon": "SitePolicy",
    "delta": "SitePolicy",
    "smallest_noise_multiplier": "SitePolicy",
    "fewest_colluding_tolerated": "SitePolicy",
}


@pytest.mark.parametrize(("key", "owner"), POLICY_ROWS.items())
def test_a_policy_is_refused_and_its_page_says_why(key: str, owner: str, tmp_path: Path) -> None:
    span, path = RANGES[f"{owner}.{key}"], tmp_path / "policy.toml"
    path.write_text(POLICY)
    read_policy(path)
    for value in outside(span, listed=False):
        path.write_text(re.sub(rf"(?m)^{key} = .*$", f"{key} = {value}", POLICY))
        with pytest.raises(InvalidInput, match=key):
            read_policy(path)
    (line,) = re.findall(rf"(?m)^\| `{key}` \|.*$", (DOCS / "reference" / "policy.md").read_text())
    assert f"number, {span.words} |" in line


def test_all_numbers_of_a_policy_are_tried() -> None:
    of_policies = {name for name in RANGES if re.match(r"(Node|Site)Policy\.\w+$", name)}
    assert {name.partition(".")[2] for name in of_policies} == set(POLICY_ROWS)
