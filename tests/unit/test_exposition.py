"""Is the text what Prometheus's own tool takes, whatever a label holds, and is the file under its name always whole?"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.command_line import oncofed
from tests.prometheus import program

from oncofed.errors import InvalidInput
from oncofed.exposition import Family, Kind, Sample, coarse_free_bytes, counter, exposed, gauge, write_textfile


def test_the_text_is_the_documented_form() -> None:
    """As the page on exposition formats has it: https://prometheus.io/docs/instrumenting/exposition_formats/"""
    families = (
        counter("requests_total", "How many.\nIn all.", [Sample(3, {"code": "200"}), Sample(1027.5, {"code": "400"})]),
        gauge("path_size_bytes", "Odd names.", [Sample(1e-9, {"path": 'C:\\DIR\\"x"\n'})]),
        gauge("nobody", "Has none.", []),
        gauge("odd", "Numbers.", [Sample(float("inf"), {"a": "b"}), Sample(float("nan"), {"a": "c"}), Sample(True)]),
    )
    assert exposed(families) == (
        "# HELP requests_total How many.\\nIn all.\n"
        "# TYPE requests_total counter\n"
        'requests_total{code="200"} 3\n'
        'requests_total{code="400"} 1027.5\n'
        "# HELP path_size_bytes Odd names.\n"
        "# TYPE path_size_bytes gauge\n"
        'path_size_bytes{path="C:\\\\DIR\\\\\\"x\\"\\n"} 1e-09\n'
        "# HELP odd Numbers.\n"
        "# TYPE odd gauge\n"
        'odd{a="b"} +Inf\n'
        'odd{a="c"} NaN\n'
        "odd 1\n"
    )


def test_prometheus_own_tool_takes_any_text_in_a_label() -> None:
    odd = 'a "quoted" \\ back\nslash, Köln {x="y"} #'
    text = exposed([gauge("oncofed_study", "A study.", [Sample(1, {"study": odd})])])
    for wrong in (False, True):
        shown = text.replace("\\n", "\n") if wrong else text
        done = subprocess.run(
            [program("promtool"), "check", "metrics"], input=shown, text=True, capture_output=True, check=False
        )
        assert (done.returncode != 0) == wrong, done.stderr


def test_a_name_or_a_second_sample_that_prometheus_would_not_take_is_our_mistake() -> None:
    for wrong in ("Upper", "with-hyphen", "1st"):
        with pytest.raises(AssertionError):
            Family(wrong, Kind.GAUGE, "x", ())
    with pytest.raises(AssertionError):
        gauge("twice", "x", [Sample(1, {"a": "b"}), Sample(2, {"a": "b"})])
    with pytest.raises(AssertionError):
        counter("no_ending", "x", [])


def test_a_file_that_the_collector_would_pass_over_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"\.prom"):
        write_textfile(tmp_path / "oncofed.txt", "")
    said = oncofed("site", "metrics", tmp_path, "--out", tmp_path / "oncofed.txt")
    assert (said.code, ".prom" in said.text) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_the_file_is_replaced_and_all_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "oncofed.prom"
    for text in ("a 1\n", "a 2\n"):
        write_textfile(path, text)
        assert path.read_text() == text
    assert path.stat().st_mode & 0o777 == 0o644
    assert [each.name for each in tmp_path.iterdir()] == ["oncofed.prom"]


def test_free_space_hides_a_file_of_patients() -> None:
    """15,000 patients of 500 columns take 60 MB."""
    assert coarse_free_bytes(12_345_678_901) == 12_300_000_000
    assert coarse_free_bytes(12_399_999_999) == coarse_free_bytes(12_399_999_999 - 60_000_000)
