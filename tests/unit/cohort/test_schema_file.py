"""Does a schema file become the schema it describes, and is every fault of a bad one named at once?"""

from __future__ import annotations

from pathlib import Path

import pytest

from oncofed.cohort.encoding import columns
from oncofed.cohort.schema import (
    DeathPolicy,
    Endpoint,
    Kind,
    Marker,
    MissingFlags,
    Modality,
    ModalityEncoding,
    StudySchema,
)
from oncofed.cohort.schema_file import read_schema
from oncofed.errors import InvalidInput
from oncofed.survival.grid import TimeGrid

STUDIES = Path(__file__).parents[3] / "simulations" / "studies"

TEXT = """
[schema]
name = "lung"
patient_id = "patient"
site_column = "hospital"
tumour_entity = "entity"
largest_encoded_value = 4
missing_codes = ["", "unknown"]

[time]
unit = "months"
interval_bounds = [0, 6, 12.5, 60]
zero_time_becomes = 0.5

[[endpoint]]
name = "overall_survival"
time = "survival_months"
event = "death_observed"
entry = "entry_months"
baseline_hazard = 0.01

[[endpoint]]
name = "time_to_next_treatment"
time = "treatment_months"
event = "treatment_observed"
death_event = "death_observed"
death = "censoring"
baseline_hazard = 0.05

[modality.dna_mutation]
weight = 0.1
missing_weight = 0
missing_flags = "modality"

[[marker]]
name = "age_years"
modality = "clinical"
kind = "continuous"
unit = "years"
plausible_range = [0, 120]
centre = 60
scale = 15

[[marker]]
name = "entity"
modality = "clinical"
kind = "categorical"
categories = ["adeno", "squamous"]
reference_category = "adeno"
weight = 2

[[marker]]
names = ["TP53", "KRAS"]
modality = "dna_mutation"
kind = "binary"
missing_codes = ["-999"]

[[marker]]
name = "ecog"
modality = "clinical"
kind = "ordinal"
plausible_range = [0, 4]
centre = 0
scale = 1
"""

EXPECTED = StudySchema(
    name="lung",
    patient_id="patient",
    site_column="hospital",
    tumour_entity="entity",
    largest_encoded_value=4.0,
    zero_time_becomes=0.5,
    grid=TimeGrid((0.0, 6.0, 12.5, 60.0), "months"),
    endpoints=(
        Endpoint("overall_survival", "survival_months", "death_observed", entry_column="entry_months"),
        Endpoint(
            "time_to_next_treatment",
            "treatment_months",
            "treatment_observed",
            death_event_column="death_observed",
            death=DeathPolicy.CENSORING,
        ),
    ),
    baseline_hazard=(0.01, 0.05),
    modalities={Modality.DNA_MUTATION: ModalityEncoding(0.1, 0.0, MissingFlags.MODALITY)},
    markers=(
        Marker(
            name="age_years",
            modality=Modality.CLINICAL,
            kind=Kind.CONTINUOUS,
            unit="years",
            plausible_range=(0.0, 120.0),
            centre=60.0,
            scale=15.0,
            missing_codes=("", "unknown"),
        ),
        Marker(
            name="entity",
            modality=Modality.CLINICAL,
            kind=Kind.CATEGORICAL,
            categories=("adeno", "squamous"),
            reference_category="adeno",
            missing_codes=("", "unknown"),
            weight=2.0,
        ),
        Marker("TP53", Modality.DNA_MUTATION, Kind.BINARY, missing_codes=("-999",)),
        Marker("KRAS", Modality.DNA_MUTATION, Kind.BINARY, missing_codes=("-999",)),
        Marker(
            name="ecog",
            modality=Modality.CLINICAL,
            kind=Kind.ORDINAL,
            plausible_range=(0.0, 4.0),
            centre=0.0,
            scale=1.0,
            missing_codes=("", "unknown"),
        ),
    ),
)


def faults_of(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "schema.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidInput) as caught:
        read_schema(path)
    assert caught.value.__context__ is None
    return [str(fault) for fault in caught.value.faults]


def replaced(old: str, new: str) -> str:
    assert TEXT.count(old) >= 1
    return TEXT.replace(old, new, 1)


def test_a_whole_file_becomes_the_schema_it_describes(tmp_path: Path) -> None:
    path = tmp_path / "schema.toml"
    path.write_text(TEXT, encoding="utf-8")
    assert read_schema(path) == EXPECTED
    assert read_schema(str(path)).hash == EXPECTED.hash


def test_the_time_unit_is_the_files(tmp_path: Path) -> None:
    path = tmp_path / "schema.toml"
    path.write_text(replaced('"months"', '"days"'), encoding="utf-8")
    assert read_schema(path).grid == TimeGrid((0.0, 6.0, 12.5, 60.0), "days")


# What is replaced in TEXT, by what, and what the one fault must say: place, then words of fault and remedy.
ONE_FAULT = [
    ("misspelt field", "centre = 60", "center = 60\ncentre = 60", ['"age_years", center', "known field", '"centre"']),
    ("misspelt section", "[modality.dna", "[modalities]\n[modality.dna", ["modalities", 'Did you mean "modality"']),
    ("misspelt time field", "zero_time_becomes", "zero_becomes", ["[time], zero_becomes", '"zero_time_becomes"']),
    ("misspelt endpoint field", 'entry = "', 'entries = "', ['"overall_survival", entries', '"entry"']),
    ("misspelt modality field", "missing_weight", "flag_weight", ["[modality.dna_mutation], flag_weight"]),
    ("misspelt header field", "tumour_entity", "tumor_entity", ["[schema], tumor_entity", '"tumour_entity"']),
    ("name missing", 'name = "lung"\n', "", ["[schema], name", "missing"]),
    ("name blank", 'name = "lung"', 'name = "  "', ["[schema], name", "not a text"]),
    ("name a number", 'name = "lung"', "name = 7", ["[schema], name", "not a text"]),
    ("identifier missing", 'patient_id = "patient"\n', "", ["[schema], patient_id", "missing"]),
    ("limit zero", "largest_encoded_value = 4", "largest_encoded_value = 0", ["largest_encoded_value", "below 0.1"]),
    ("codes no texts", '["", "unknown"]', "[-999]", ["[schema], missing_codes", "list of texts"]),
    ("time section missing", "[time]", "[schema.time]", ["[time]", "missing"]),
    ("unit unknown", '"months"', '"moons"', ["[time], unit", 'Did you mean "months"', "weeks"]),
    ("grid not rising", "[0, 6, 12.5, 60]", "[0, 12, 6]", ["interval_bounds", "rising"]),
    ("grid not from 0", "[0, 6, 12.5, 60]", "[1, 6]", ["interval_bounds", "starts at 0"]),
    ("grid infinite", "[0, 6, 12.5, 60]", "[0, 6, inf]", ["interval_bounds", "finite"]),
    ("grid of texts", "[0, 6, 12.5, 60]", '["0", "6"]', ["interval_bounds", "list of finite numbers"]),
    ("zero time zero", "zero_time_becomes = 0.5", "zero_time_becomes = 0", ["zero_time_becomes", "below 0.0001"]),
    ("hazard zero", "baseline_hazard = 0.01", "baseline_hazard = 0", ['"overall_survival", baseline', "below 1e-8"]),
    ("hazard missing", "baseline_hazard = 0.01\n", "", ["baseline_hazard", "missing"]),
    ("hazard a truth value", "baseline_hazard = 0.01", "baseline_hazard = true", ["baseline_hazard", "number"]),
    ("hazard nan", "baseline_hazard = 0.01", "baseline_hazard = nan", ["baseline_hazard", "finite number"]),
    ("event missing", 'event = "treatment_observed"\n', "", ['"time_to_next_treatment", event', "missing"]),
    ("policy unknown", '"censoring"', '"ignored"', ["death", "composite, censoring"]),
    ("policy without column", 'death_event = "death_observed"\n', "", [", death", "Add death_event"]),
    ("death is the event", 'event = "treatment_observed"', 'event = "death_observed"', ["death_event", "itself"]),
    ("endpoint twice", 'name = "time_to_next_treatment"', 'name = "overall_survival"', ["described 2 times"]),
    ("weight negative", "weight = 0.1", "weight = -0.1", ["[modality.dna_mutation], weight", "from 0"]),
    (
        "flags unknown",
        'missing_flags = "modality"',
        'missing_flags = "all"',
        ["missing_flags", "marker, modality, none"],
    ),
    ("modality unknown", "[modality.dna_mutation]", "[modality.dna]", ["[modality.dna]", "rna_expression"]),
    (
        "marker's modality unknown",
        'modality = "clinical"',
        'modality = "clinic"',
        ['"age_years", modality', "clinical"],
    ),
    ("marker's modality missing", 'modality = "clinical"\n', "", ['"age_years", modality', "missing"]),
    ("kind unknown", 'kind = "binary"', 'kind = "boolean"', ["number 3, kind", "binary"]),
    ("unit missing", 'unit = "years"\n', "", ['"age_years", unit', "missing"]),
    ("range missing", "plausible_range = [0, 120]\n", "", ['"age_years", plausible_range', "missing"]),
    ("range reversed", "[0, 120]", "[120, 0]", ['"age_years", plausible_range', "lowest first"]),
    ("range empty", "[0, 120]", "[60, 60]", ['"age_years", plausible_range', "lowest first"]),
    ("range not a pair", "[0, 120]", "[0, 60, 120]", ['"age_years", plausible_range', "length above 2"]),
    (
        "reference range reversed",
        "centre = 60",
        "centre = 60\nreference_range = [5, 1]",
        ['"age_years", reference_range', "lowest first"],
    ),
    (
        "reference range of binary",
        'kind = "binary"',
        'kind = "binary"\nreference_range = [0, 1]',
        ["not used by a binary"],
    ),
    ("centre outside", "centre = 60", "centre = 600", ['"age_years", centre', "outside the plausible range"]),
    ("centre missing", "centre = 60\n", "", ['"age_years", centre', "missing"]),
    ("scale zero", "scale = 15", "scale = 0", ['"age_years", scale', "below 1e-9"]),
    ("scale a text", "scale = 15", 'scale = "15"', ['"age_years", scale', "without quotes"]),
    ("reference unknown", 'category = "adeno"', 'category = "aden"', ['"entity", reference_category', '"adeno"']),
    ("category twice", '["adeno", "squamous"]', '["adeno", "adeno"]', ['"entity", categories', "more than once"]),
    ("one category", '["adeno", "squamous"]', '["adeno"]', ['"entity", categories', "fewer than two"]),
    ("blank at the edge", '"squamous"]', '"squamous "]', ['"entity", categories', "blank"]),
    ("blank before it", '"squamous"]', '" squamous"]', ['"entity", categories', "blank"]),
    ("code is a category", '"unknown"]', '"squamous"]', ['"entity", missing_codes', "also a category"]),
    ("scale of categories", "weight = 2", "scale = 2", ['"entity", scale', "not used by a categorical"]),
    ("range of binary", 'kind = "binary"', 'kind = "binary"\nplausible_range = [0, 1]', ["not used by a binary"]),
    ("binary centre", 'kind = "binary"', 'kind = "binary"\ncentre = 2', ["centre", "outside"]),
    ("marker twice", '"KRAS"]', '"ecog"]', ['[[marker]] "ecog"', "described 2 times"]),
    ("marker twice in a group", '"KRAS"]', '"TP53"]', ["number 3, names", "more than once"]),
    ("name beside names", 'names = ["TP53"', 'name = "x"\nnames = ["TP53"', [", name", "beside names"]),
    ("no names", '["TP53", "KRAS"]', "[]", ["names", "no marker"]),
    ("marker without name", 'name = "ecog"\n', "", ["number 4, name", "missing"]),
    ("entity no marker", 'tumour_entity = "entity"', 'tumour_entity = "TP53"', ["tumour_entity", "categorical"]),
    ("time is a marker", 'name = "ecog"', 'name = "survival_months"', ['"survival_months"', "marker and a time"]),
    ("event is a marker", '"KRAS"]', '"death_observed"]', ['column "death_observed"', "a marker and an event"]),
    ("identifier is a marker", '"KRAS"]', '"patient"]', ['column "patient"', "identifier"]),
    ("site is the identifier", '"hospital"', '"patient"', ['column "patient"', "site"]),
    ("time is an event", 'time = "treatment_months"', 'time = "death_observed"', ["a time and an event"]),
    ("endpoint no section", "[[endpoint]]\nname", "[endpoint]\nname", ["TOML"]),
]


@pytest.mark.parametrize(("old", "new", "fragments"), [case[1:] for case in ONE_FAULT], ids=[c[0] for c in ONE_FAULT])
def test_one_fault_is_named_with_file_place_and_remedy(
    tmp_path: Path, old: str, new: str, fragments: list[str]
) -> None:
    faults = faults_of(tmp_path, replaced(old, new))
    assert faults[0].startswith("schema.toml")
    for fragment in fragments:
        assert any(fragment in fault for fault in faults), faults
    if "[time]" not in fragments and "a time and an event" not in fragments:
        assert len(faults) == 1, faults


def test_all_faults_are_reported_at_once(tmp_path: Path) -> None:
    text = TEXT
    changes = [
        ("scale = 15", "scale = -15"),
        ("centre = 60", "center = 60"),
        ('"unknown"]', "7]"),
        ("[0, 6, 12.5, 60]", "[0]"),
        ("baseline_hazard = 0.05", "baseline_hazard = -1"),
        ('category = "adeno"', 'category = "small cell"'),
        ('kind = "ordinal"', 'kind = "levels"'),
        ("weight = 0.1", 'weight = "low"'),
    ]
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    faults = faults_of(tmp_path, text)
    places = [
        "scale",
        "center",
        "centre",
        "missing_codes",
        "interval_bounds",
        "baseline",
        "reference",
        "kind",
        "weight",
    ]
    for place in places:
        assert sum(f", {place}" in fault.split(": ")[1] for fault in faults) == 1, (place, faults)
    assert len(faults) == len(places)


@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        ("", ["[schema]", "[time]", "[[endpoint]]", "[[marker]]"]),
        ("schema = 3\ntime = 4\nendpoint = 5\nmarker = 6\nmodality = 7", ["not a section", "list of sections"]),
        ("marker = [3]\n[schema]\n[time]", ["[[marker]] number 1: is not a section"]),
        ("[schema", ["not valid TOML"]),
        ('[schema]\nname = "a"\nname = "b"', ["not valid TOML"]),
    ],
)
def test_a_file_of_another_shape_is_refused(tmp_path: Path, text: str, fragments: list[str]) -> None:
    faults = "\n".join(faults_of(tmp_path, text))
    for fragment in fragments:
        assert fragment in faults


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    latin = tmp_path / "latin.toml"
    latin.write_bytes('[schema]\nname = "Köln"'.encode("latin-1"))
    for path, fragment in ((latin, "UTF-8"), (tmp_path / "none.toml", "does not exist"), (tmp_path, "is a folder")):
        with pytest.raises(InvalidInput, match=fragment) as caught:
            read_schema(path)
        assert caught.value.__context__ is None


@pytest.mark.parametrize(("study", "markers", "inputs"), [("tcga_pancancer", 343, 698), ("fed_tcga_brca", 39, 39)])
def test_the_schemas_of_the_real_studies_are_valid(study: str, markers: int, inputs: int) -> None:
    schema = read_schema(STUDIES / study / "schema.toml")
    assert len(schema.markers) == markers
    # TCGA: 342 numeric values, 13 categories beside the reference, 343 flags; sex has one category beside its own.
    assert len(columns(schema)) == inputs


CAUSES = """
[[endpoint]]
name = "death_of_disease"
time = "survival_months"
event = "died_of_disease"
entry = "entry_months"
baseline_hazard = 0.01
competes_with = ["death_of_other_causes"]

[[endpoint]]
name = "death_of_other_causes"
time = "survival_months"
event = "died_otherwise"
entry = "entry_months"
baseline_hazard = 0.002
"""


def with_causes(**instead: str) -> str:
    """Keys say which of the lines of CAUSES, values what stands there."""
    lines = CAUSES.splitlines()
    for number, line in instead.items():
        lines[int(number.removeprefix("line_"))] = line
    return TEXT + "\n".join(lines) + "\n"


def test_endpoints_that_compete_name_each_other(tmp_path: Path) -> None:
    path = tmp_path / "schema.toml"
    path.write_text(with_causes(), encoding="utf-8")
    schema = read_schema(path)
    assert schema.endpoints[2].competes_with == ("death_of_other_causes",)
    assert [schema.competing(number) for number in range(4)] == [(), (), (3,), (2,)]


WRONG_COMPETITION = [
    ("unknown", {"line_7": 'competes_with = ["death_of_other_cause"]'}, ["no endpoint", '"death_of_other_causes"']),
    ("itself", {"line_7": 'competes_with = ["death_of_disease"]'}, ["names the endpoint itself"]),
    ("twice", {"line_7": 'competes_with = ["death_of_other_causes", "death_of_other_causes"]'}, ["more than once"]),
    ("a text", {"line_7": 'competes_with = "death_of_other_causes"'}, ["list of texts"]),
    ("another time", {"line_11": 'time = "other_months"'}, ["has another time", "Give both the same time"]),
    ("another entry", {"line_13": ""}, ["has another entry", "Give both the same entry"]),
    ("same event", {"line_12": 'event = "died_of_disease"'}, ["has the same event", "an event column of its own"]),
    (
        "deaths beside",
        {"line_6": 'baseline_hazard = 0.01\ndeath_event = "death_observed"'},
        ["stands beside death_event"],
    ),
    ("deaths at the other", {"line_14": 'baseline_hazard = 0.01\ndeath_event = "dead"'}, ["has a death_event"]),
]


@pytest.mark.parametrize(
    ("instead", "fragments"), [c[1:] for c in WRONG_COMPETITION], ids=[c[0] for c in WRONG_COMPETITION]
)
def test_endpoints_that_cannot_compete_are_one_fault(
    tmp_path: Path, instead: dict[str, str], fragments: list[str]
) -> None:
    (fault,) = faults_of(tmp_path, with_causes(**instead))
    assert fault.startswith('schema.toml: [[endpoint]] "death_of_disease", competes_with')
    for fragment in fragments:
        assert fragment in fault


def test_all_that_keeps_endpoints_from_competing_is_told_at_once(tmp_path: Path) -> None:
    faults = faults_of(
        tmp_path, with_causes(line_11='time = "other_months"', line_12='event = "died_of_disease"', line_13="")
    )
    assert [
        part for fault in faults for part in ("another time", "another entry", "the same event") if part in fault
    ] == [
        "another time",
        "another entry",
        "the same event",
    ]
