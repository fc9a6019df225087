"""Do the pages of docs/reference/ say of every key what the readers say of it, and are they as they are made?

The readers are asked as a user would: an unknown key in a section makes them list the possible ones, a missing key is
called missing, and an absent key shows its default.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from oncofed.cohort.schema import DeathPolicy, Kind, MissingFlags, Modality, StudySchema, TimeUnit
from oncofed.cohort.schema_file import read_schema
from oncofed.errors import InvalidInput
from oncofed.file_reference import declared_files, reference_page
from oncofed.protocol.plan import Bounding, PrivacyMode, Strategy, TrainingMode
from oncofed.server.deployment.consortium_file import Consortium, read_consortium
from oncofed.simulations.study import Part, Partition, Split, Study, read_study
from oncofed.study.chosen_settings import OPEN

DOCS = Path(__file__).resolve().parents[2] / "docs"
UNKNOWN = "surely_unknown"

SCHEMA = """
[schema]
name = "lung"
patient_id = "patient"
[time]
unit = "months"
interval_bounds = [0, 12, 24]
[[endpoint]]
name = "overall_survival"
time = "months"
event = "dead"
baseline_hazard = 0.01
[modality.clinical]
[[marker]]
name = "plain"
modality = "clinical"
kind = "binary"
"""
MORE_MARKERS = """
[[marker]]
names = ["a", "b"]
modality = "clinical"
kind = "continuous"
[[marker]]
name = "c"
modality = "clinical"
kind = "ordinal"
[[marker]]
name = "d"
modality = "clinical"
kind = "categorical"
"""
STUDY = """
[study]
name = "small"
[data.synthetic]
[sites]
partition = "column"
[evaluation]
horizon = 24
[model]
[training]
[privacy]
mode = "none"
[held_out]
[explanations]
[readiness]
[validation]
[reporting]
[value]
[panel]
[assay.blood]
"""
COMPARATOR = '[[comparator]]\nname = "stage"\nmarkers = ["plain"]\n'
STUDY_OF_A_TABLE = STUDY.replace("[data.synthetic]", '[data]\ntable = "study.toml"\nschema = "study.toml"')

CONSORTIUM = STUDY_OF_A_TABLE + "[consortium]\n"


@dataclass(frozen=True)
class Row:
    """One key in a page's table. choices: what its type "one of ..." lists."""

    default: str
    choices: frozenset[str]


def reference(page: str) -> dict[str, dict[str, Row]]:
    """By heading and key, every table of a page whose first column is `key`."""
    found: dict[str, dict[str, Row]] = {}
    heading, inside = "", False
    for line in (DOCS / "reference" / page).read_text().splitlines():
        if line.startswith("#"):
            heading, inside = line.lstrip("# ").strip("`"), False
        elif line.startswith("| key |"):
            inside = True
        elif not line.startswith("|"):
            inside = False
        elif inside and (key := re.match(r"\| `(\w+)` \|", line)):
            _, _, kind, default, *_ = (cell.strip() for cell in line.split("|"))
            choices = frozenset(re.findall(r"`(\w+)`", kind)) if kind.startswith("one of") else frozenset()
            found.setdefault(heading, {})[key.group(1)] = Row(default, choices)
    return found


def faults_of(read: Callable[[Path], object], path: Path, text: str) -> list[tuple[str, str, str]]:
    """(heading, key, words) of every fault that reading the text gives."""
    path.write_text(text)
    try:
        read(path)
    except InvalidInput as refused:
        faults = []
        for fault in refused.faults:
            place, _, key = fault.where.removeprefix(path.name).lstrip(": ").rpartition(", ")
            place = re.sub(r'\]\] ("\w+"|number \d+)$', "]]", place).replace("[data].synthetic", "[data.synthetic]")
            place = re.sub(r"\[(modality|assay)\.\w+\]", r"[\1.NAME]", place)
            faults.append((place, key, f"{fault.what}. {fault.remedy}"))
        return faults
    return []


def possible_keys(read: Callable[[Path], object], path: Path, *texts: str) -> dict[str, set[str]]:
    """What the reader calls possible, by heading, when every section holds an unknown key. "" is the file itself."""
    found: dict[str, set[str]] = {}
    for text in texts:
        spoilt = f"{UNKNOWN} = 1\n" + re.sub(r"(?m)^(\[.*\])$", rf"\1\n{UNKNOWN} = 1", text)
        for heading, key, words in faults_of(read, path, spoilt):
            if key == UNKNOWN:
                listed = words.split("Possible: ")[1].rstrip(".").split(", ")
                found.setdefault(heading, set()).update(listed)
    return found


def test_the_schema_page_lists_exactly_the_keys_that_the_reader_accepts(tmp_path: Path) -> None:
    accepted = possible_keys(read_schema, tmp_path / "schema.toml", SCHEMA + MORE_MARKERS)
    assert accepted.pop("") == {"schema", "time", "endpoint", "modality", "marker"}
    assert {heading: set(rows) for heading, rows in reference("schema.md").items()} == accepted


def test_the_study_page_lists_exactly_the_keys_that_the_reader_accepts(tmp_path: Path) -> None:
    accepted = possible_keys(read_study, tmp_path / "study.toml", STUDY, STUDY_OF_A_TABLE + COMPARATOR)
    sections = accepted.pop("")
    accepted["[consortium]"] = possible_keys(read_consortium, tmp_path / "study.toml", CONSORTIUM)["[consortium]"]
    documented = reference("study.md")
    assert {heading: set(rows) for heading, rows in documented.items()} == accepted
    assert sections == {heading.strip("[]").partition(".")[0] for heading in documented}


CHOICES: Mapping[tuple[str, str, str], type[StrEnum]] = {
    ("schema.md", "[time]", "unit"): TimeUnit,
    ("schema.md", "[[endpoint]]", "death"): DeathPolicy,
    ("schema.md", "[modality.NAME]", "missing_flags"): MissingFlags,
    ("schema.md", "[[marker]]", "modality"): Modality,
    ("schema.md", "[[marker]]", "kind"): Kind,
    ("study.md", "[sites]", "partition"): Partition,
    ("study.md", "[evaluation]", "split"): Split,
    ("study.md", "[evaluation]", "part"): Part,
    ("study.md", "[training]", "mode"): TrainingMode,
    ("study.md", "[training]", "strategy"): Strategy,
    ("study.md", "[privacy]", "mode"): PrivacyMode,
    ("study.md", "[privacy]", "bounding"): Bounding,
}


@pytest.mark.parametrize("page", ["schema.md", "study.md"])
def test_every_choice_is_listed_and_no_other(page: str) -> None:
    documented = {
        (page, heading, key): set(row.choices)
        for heading, rows in reference(page).items()
        for key, row in rows.items()
        if row.choices
    }
    expected = {place: {member.value for member in kind} for place, kind in CHOICES.items() if place[0] == page}
    assert documented == expected


def test_every_modality_and_strategy_is_explained_outside_the_tables_as_well() -> None:
    schema, study = ((DOCS / page).read_text() for page in ("schema.md", "study.md"))
    section = schema.partition("## `[modality.NAME]`")[2].partition("\n## ")[0]
    assert set(re.findall(r"`(\w+)`", section)) == {modality.value for modality in Modality}
    matrix = re.findall(r"(?m)^\| (`.*?`) \| ", study.partition("### Strategies")[2].partition("## ")[0])
    assert {name for cell in matrix for name in re.findall(r"`(\w+)`", cell)} >= {each.value for each in Strategy}


def schema_defaults(schema: StudySchema) -> dict[str, Callable[[str], Any]]:
    """By heading: the value that a key had when the file did not say it."""
    (endpoint,), (marker,) = schema.endpoints, schema.markers
    columns = {key: f"{key}_column" for key in ("entry", "death_event")}
    return {
        "[schema]": lambda key: getattr(marker if key == "missing_codes" else schema, key),
        "[time]": lambda key: getattr(schema, key),
        "[[endpoint]]": lambda key: getattr(endpoint, columns.get(key, key)),
        "[modality.NAME]": lambda key: getattr(schema.encoding_of(Modality.CLINICAL), key),
        "[[marker]]": lambda key: getattr(marker, key, None),  # `names` leaves no trace
    }


def study_defaults(study: Study, consortium: Consortium) -> dict[str, Callable[[str], Any]]:
    """By heading: the value that a key had when the file did not say it."""
    return {
        "[study]": lambda key: getattr(study.settings if key == "expected_patients" else study, key),
        "[data]": lambda key: getattr(study.data, key, None),  # `synthetic` has a heading of its own
        "[data.synthetic]": lambda key: getattr(study.data, f"synthetic_{key}"),
        "[sites]": lambda key: getattr(study.sites, key),
        "[evaluation]": lambda key: getattr(study.evaluation, key),
        "[model]": lambda key: getattr(study.settings, key),
        "[training]": lambda key: getattr(study.training, key),
        "[privacy]": lambda key: getattr(study.privacy, key),
        "[held_out]": lambda key: getattr(study.settings.held_out, key),
        "[explanations]": lambda key: getattr(study.settings.explanations, key),
        "[readiness]": lambda key: getattr(study.settings.readiness, key),
        "[validation]": lambda key: getattr(consortium.validation, key),
        "[value]": lambda key: getattr(study.settings.value, key),
        "[panel]": lambda key: getattr(study.panel, key),
        "[assay.NAME]": lambda key: getattr(study.assays["blood"], key),
        "[reporting]": lambda key: getattr(study.reporting, key),
        "[consortium]": lambda key: getattr(consortium.terms, key),
    }


def test_the_defaults_on_the_pages_are_those_of_the_readers(tmp_path: Path) -> None:
    (tmp_path / "schema.toml").write_text(SCHEMA)
    (tmp_path / "study.toml").write_text(STUDY)
    (tmp_path / "real.toml").write_text(STUDY.replace("[data.synthetic]", '[data]\nschema = "schema.toml"'))
    defaults = {
        "schema.md": schema_defaults(read_schema(tmp_path / "schema.toml")),
        "study.md": study_defaults(read_study(tmp_path / "study.toml"), read_consortium(tmp_path / "real.toml")),
    }
    wrong, compared = [], 0
    for page, by_heading in defaults.items():
        for heading, rows in reference(page).items():
            for key, row in rows.items():
                if row.default == "required":
                    continue
                if f"{heading.strip('[]')}.{key}" in OPEN and page == "study.md":
                    assert row.default == "[chosen](../study.md#settings-left-open)"
                    continue
                actual = by_heading[heading](key)
                if isinstance(actual, tuple):
                    actual = list(actual)
                text = row.default.strip("`")
                said = actual if text == "none" and actual in (None, "", []) else toml_value(text)
                compared += 1
                if said != actual:
                    wrong.append(f"{page} {heading} {key}: the page says {row.default}, the reader {actual}")
    assert wrong == []
    assert compared > 50


def test_the_pages_are_as_they_are_made() -> None:
    for kind, owner in declared_files().items():
        made = reference_page(kind, owner)
        assert (DOCS / "reference" / f"{kind}.md").read_text() == made, "oncofed schema reference docs/reference"
        assert " |  |" not in made, "each key says what it means"
    assert sorted(declared_files()) == sorted(path.stem for path in (DOCS / "reference").glob("*.md"))


def toml_value(text: str) -> object:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def test_a_key_is_called_required_exactly_when_the_reader_misses_it(tmp_path: Path) -> None:
    for page, read, text in (
        ("schema.md", read_schema, SCHEMA),
        ("study.md", read_study, STUDY_OF_A_TABLE + COMPARATOR),
    ):
        bare = re.sub(r"(?m)^\w+ = .*$", "", text)
        path = tmp_path / page.replace(".md", ".toml")
        missed = {
            (heading, key) for heading, key, words in faults_of(read, path, bare) if words.startswith("is missing")
        }
        said = {
            (heading, key)
            for heading, rows in reference(page).items()
            for key, row in rows.items()
            if row.default == "required"
        }
        # Without a mode the study is taken to be private, and then more is required.
        assert missed - {("[privacy]", "epsilon"), ("[privacy]", "l2_norm_bound")} == said
