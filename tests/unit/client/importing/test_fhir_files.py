"""Are resources read one by one from whatever files hold them, and is what is broken told without any of it?"""

from __future__ import annotations

import gzip
import json
import tempfile
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oncofed.client.importing.fhir import files as fhir_files
from oncofed.client.importing.fhir.files import FhirFiles, Json
from oncofed.errors import InvalidInput

PRIVATE = "Müller_Anna"


def read(path: Path) -> tuple[list[Json], list[str]]:
    """The resources, and the faults as they are told."""
    files = FhirFiles(path)
    found = [entry.resource for entry in files.entries()]
    told = [str(fault) for fault in files.faults]
    assert not [each for each in told if PRIVATE in each or "SECRET" in each], told
    return found, told


def as_texts(value: object) -> object:
    """With numbers as texts, as they are read."""
    if isinstance(value, dict):
        return {key: as_texts(each) for key, each in value.items()}
    if isinstance(value, list):
        return [as_texts(each) for each in value]
    return json.dumps(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


TEXT = st.text('ab"\\{}[],:é\n', max_size=8)
VALUE = st.recursive(
    st.one_of(TEXT, st.integers(-9, 9), st.booleans(), st.none(), st.floats(-9, 9)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=6,
)
RESOURCE = st.dictionaries(TEXT, VALUE, max_size=3).map(lambda each: {"resourceType": "Observation", **each})
BUNDLE = st.tuples(st.lists(RESOURCE, max_size=4), st.dictionaries(TEXT, VALUE, max_size=3), st.booleans())


@given(st.lists(BUNDLE, min_size=1, max_size=3), st.integers(1, 40), st.sampled_from([None, 1, "\t"]))
@settings(max_examples=150, deadline=None)
def test_a_bundle_that_is_cut_into_pieces_holds_what_json_says(
    bundles: list[tuple[list[Json], Json, bool]], step: int, indent: int | str | None
) -> None:
    """Also where a step of reading ends within a text or behind a backslash."""
    texts, wanted = [], []
    for resources, others, first in bundles:
        entry = [{"fullUrl": "urn:x", "resource": each} for each in resources]
        ends = {"resourceType": "Bundle", "entry": entry}
        bundle = {**ends, **others} if first else {**others, **ends}
        texts.append(json.dumps(bundle, indent=indent, ensure_ascii=False))
        wanted += [as_texts(each) for each in resources]
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as name:
        patch.setattr(fhir_files, "_STEP", step)
        path = Path(name) / "bundle.json"
        path.write_text("\n".join(texts), encoding="utf-8")
        assert read(path) == (wanted, [])


def test_no_more_than_one_resource_is_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bundle may be longer than any resource may be; a resource may not."""
    monkeypatch.setattr(fhir_files, "MOST_BYTES", 2_000)
    monkeypatch.setattr(fhir_files, "_STEP", 256)
    entry = {"resource": {"resourceType": "Observation", "id": "x" * 900}}
    bundle = {"resourceType": "Bundle", "entry": [entry] * 50}
    (tmp_path / "a.json").write_text(json.dumps(bundle))
    assert len(read(tmp_path / "a.json")[0]) == 50
    bundle["entry"] = [entry, {"resource": {"resourceType": "Observation", "id": "x" * 3_000}}]
    (tmp_path / "a.json").write_text(json.dumps(bundle))
    found, told = read(tmp_path / "a.json")
    assert len(found) == 1
    assert "has a resource or a line of more than" in told[0]
    lines = [json.dumps({"resourceType": "Observation", "id": "x" * many}) for many in (10, 5_000, 20)]
    (tmp_path / "a.ndjson").write_text("\n".join(lines))
    found, told = read(tmp_path / "a.ndjson")
    assert [len(each["id"]) for each in found] == [10, 20]
    assert "(1 row)" in told[0]


@pytest.mark.parametrize("letter", ["A", '\\"', "\\\\"], ids=["a picture", "quotation marks", "backslashes"])
def test_a_long_text_costs_little_more_than_itself(letter: str, tmp_path: Path) -> None:
    """A report within a resource is a text of many MiB. A pattern that counts its letters took 125 bytes for each."""
    size = 3 << 20
    text = letter * (size // len(letter))
    entry = f'{{"resource": {{"resourceType": "Binary", "data": "{text}"}}}}'
    (tmp_path / "bundle.json").write_text(f'{{"resourceType": "Bundle", "entry": [{entry}]}}')
    tracemalloc.start()
    try:
        found, told = read(tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert told == []
    assert found == [{"resourceType": "Binary", "data": json.loads(f'"{text}"')}]
    assert peak < 15 * size


def test_bundles_within_bundles_and_in_lines_are_opened(tmp_path: Path) -> None:
    inner = {"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "Patient", "id": "a"}}, {"request": {}}]}
    outer = {"resourceType": "Bundle", "entry": [{"resource": inner}, {"response": {"status": "200"}}]}
    (tmp_path / "x.ndjson").write_text(f"{json.dumps(outer)}\n\n{json.dumps(inner)}\n")
    (tmp_path / "y.json").write_text(json.dumps(outer))
    (tmp_path / "y.json.gz").write_bytes(gzip.compress(json.dumps(inner).encode()))
    (tmp_path / "readme.txt").write_text("not read")
    assert [each["id"] for each in read(tmp_path)[0]] == ["a"] * 4


PATIENT = '{"resourceType": "Patient", "id": "SECRET"}'
DEEP = '{"resourceType": "Patient", "x": ' + "[" * 400 + "]" * 400 + "}"
VERY_DEEP = '{"resourceType": "Patient", "x": ' + "[" * 100_000 + "]" * 100_000 + "}"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.ndjson", f"{PATIENT}\n{PATIENT[:-3]}\n", "holds what is no JSON (1 row)"),
        ("x.ndjson", f"{PATIENT}\n7\n", "holds what is no FHIR resource (1 row)"),
        ("x.ndjson", '{"id": "SECRET"}\n[]\n', "holds what is no FHIR resource (2 rows)"),
        ("x.ndjson", '{"resourceType": "Patient", "id": "SECRET", "id": "b"}', "two members of one name"),
        ("x.ndjson", '{"resourceType": "Patient", "x": NaN}', "holds what is no JSON"),
        ("x.ndjson", '{"resourceType": "Patient", "id": "\\ud800SECRET"}', "holds what is no JSON"),
        ("x.ndjson", VERY_DEEP, "nested deeper than 100"),
        ("x.json", DEEP, "nested deeper than 100"),
        ("x.json", VERY_DEEP, "nested deeper than 100"),
        ("x.json", "", "holds what is no JSON"),
        ("x.json", f"[{PATIENT}]", "holds what is no FHIR resource"),
        ("x.json", f"{PATIENT}, {PATIENT}", "holds what is no JSON"),
        ("x.json", f"{PATIENT}}}", "holds what is no JSON"),
        ("x.json", f'{{"resourceType": "Bundle", "entry": [{{"resource": {PATIENT}}}', "holds what is no JSON"),
        ("x.json", f'{{"resourceType": "Bundle", "entry": [7, {{"resource": {PATIENT}}}]}}', "holds what is no JSON"),
        ("x.json", f'{{"resourceType": "Bundle", "entry": [{{"resource": {PATIENT}}}], "x": "SECRET}}', "no JSON"),
        ("x.json", '{"entry": [], "id": "SECRET"}', "holds what is no FHIR resource"),
        ("x.json.gz", "no archive", "holds what is no JSON"),
        ("x.json", b"\xff\xfe\x00", "holds what is no JSON"),
        ("x.ndjson", PATIENT.encode("utf-16"), "holds what is no JSON"),
        ("x.ndjson.gz", gzip.compress(PATIENT.encode() * 99, mtime=0)[:40], "its gzip archive is damaged"),
    ],
)
def test_what_is_broken_is_told_and_not_repeated(name: str, content: str | bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / f"{PRIVATE}-{name}"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    told = read(tmp_path)[1]
    assert len(told) == 1
    assert words in told[0]
    assert f"{tmp_path.name}: file 1 of 1 by name: " in told[0]


def test_a_file_with_the_name_of_a_type_is_told_by_its_name(tmp_path: Path) -> None:
    for name in ("Observation.ndjson", "Patient.000.ndjson", "Schmidt.json"):
        (tmp_path / name).write_text("{")
    assert [each.partition(": holds")[0].partition(": ")[2] for each in read(tmp_path)[1]] == [
        "Observation.ndjson",
        "Patient.000.ndjson",
        "file 3 of 3 by name",
    ]


@pytest.mark.parametrize(("make", "words"), [(False, "does not exist"), (True, "has no file of FHIR resources in it")])
def test_a_folder_without_resources_is_told(make: bool, words: str, tmp_path: Path) -> None:
    if make:
        (tmp_path / "fhir").mkdir()
    with pytest.raises(InvalidInput, match=words):
        read(tmp_path / "fhir")


def test_numbers_keep_their_digits(tmp_path: Path) -> None:
    (tmp_path / "x.ndjson").write_text(
        '{"resourceType": "Observation", "a": 5.10, "b": 12345678901234567890, "c": true}'
    )
    (found,) = read(tmp_path)[0]
    assert (found["a"], found["b"], found["c"]) == ("5.10", "12345678901234567890", True)
