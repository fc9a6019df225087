"""A text of a file can be read as it stands; and what is shown has no control character, whoever wrote it."""

from __future__ import annotations

import io
import logging
import sys
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.command_line import oncofed
from tests.nasty_texts import NASTY, ONLY_LINES, SURROGATES, controls_in, made, short

from oncofed.client.install.person import person
from oncofed.client.pages.csv_export import csv_text
from oncofed.supervision import Service, Supervisor
from oncofed.texts import (
    LINE,
    NAME,
    TEXTS,
    LogLines,
    Plain,
    drawn_on_error,
    one_line,
    plain_output,
    shown,
    spreadsheet_cell,
    spreadsheet_table,
)

REAL = (
    "CA 19-9 (U/mL)",
    "HER2/neu (IHC)",
    "β2-microglobulin",
    "CD4+",
    "Größe, präoperativ",
    "TNF-α [pg/ml]",
    "µg/l",
    "10^9/L",
    "≥ 3 Metastasen",
    "Tumor der Kopf-/Halsregion",
    "KRAS p.G12C",
    "前立腺癌",
    "Ung thư phổi ở người lớn",
    "ฉัน",
    "100 %",
    "n/a",
    "-999",
    "?",
)


@pytest.mark.parametrize("text", REAL)
def test_names_of_real_cohorts_are_lines(text: str) -> None:
    for field in ("Marker.name", "Marker.categories", "Marker.missing_codes", "StudyPlan.released"):
        assert text in TEXTS[field]


@pytest.mark.parametrize("text", [*NASTY, *SURROGATES], ids=short)
def test_no_kind_takes_a_nasty_text(text: str) -> None:
    for name, kind in TEXTS.items():
        assert kind.lines or text not in kind, name


@pytest.mark.parametrize("text", ONLY_LINES)
def test_names_that_lead_into_a_path_or_a_command_have_an_alphabet(text: str) -> None:
    assert text in LINE
    for name in ("StudyPlan.study", "StudyPlan.roster", "Member.site", "SummarySpec.name", "SourceSpec.name"):
        assert text not in TEXTS[name]
    for text_of_dots in (".", "..", ".hidden", "-option", "_x", "a/b", "a\\b", "a:b", "a*"):
        assert text_of_dots not in NAME


def test_several_lines_are_still_without_controls() -> None:
    block = TEXTS["SourceSpec.statement"]
    assert "SELECT *\r\n\tFROM patients\n" in block
    for text in ("SELECT \x1b[2J", "SELECT \u202e x", "SELECT \x00"):
        assert text not in block


@given(st.text(st.characters()))
def test_whatever_is_shown_has_no_control(text: str) -> None:
    assert controls_in(shown(text)) == []
    assert controls_in(one_line(text)) == []
    assert "\n" not in one_line(text)
    if not controls_in(text) and text.replace("\n", "").isprintable():
        assert shown(text) == text


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_a_plain_stream_shows_any_text_in_any_encoding(encoding: str) -> None:
    beneath = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="")
    for text in (*NASTY, *SURROGATES, *REAL):
        print(text, file=Plain(beneath))
    beneath.seek(0)
    assert controls_in(beneath.read()) == []
    with pytest.raises(TypeError):
        Plain(beneath).write(b"\x1b")  # type: ignore[arg-type]  # that is the point
    assert not hasattr(Plain(beneath), "buffer")


def test_only_what_draws_by_itself_gets_past() -> None:
    before: object = sys.stderr
    with plain_output():
        assert isinstance(sys.stdout, Plain)
        assert isinstance(sys.stderr, Plain)
        assert drawn_on_error() is before
    after: object = sys.stderr
    assert after is before
    assert drawn_on_error() is before


@pytest.mark.parametrize("text", [*NASTY, *made(20)], ids=short)
def test_what_a_file_says_is_shown_harmlessly(text: str, tmp_path: Path) -> None:
    """The name of an unknown field is told back as it stands in the file."""
    study = tmp_path / "study.toml"
    study.write_text("".join((*('"', *(f"\\U{ord(each):08X}" for each in text), '" = 1\n'),)))
    said = oncofed("study", "validate", study)
    assert said.code == 2
    assert "is not a known field" in said.text
    assert controls_in(said.text) == []


def test_a_log_has_one_line_for_a_message() -> None:
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(LogLines("%(levelname)s %(message)s"))
    logger = logging.Logger("test", logging.INFO)
    logger.addHandler(handler)
    texts = [*NASTY, *made(200)]
    for text in texts:
        logger.info("said %s", text)
    assert controls_in(written.getvalue()) == []
    assert written.getvalue().count("\n") == len(texts)
    try:
        raise ValueError("\x1b[2J")
    except ValueError:
        logger.exception("failed")
    assert controls_in(written.getvalue()) == []
    assert "Traceback" in written.getvalue()


def test_the_output_of_a_service_is_logged_and_echoed_without_controls(tmp_path: Path) -> None:
    said: list[str] = []
    script = tmp_path / "hostile.py"
    script.write_text(r"print('\x1b[31mred\x1b[0m \x1b[12A\x1b[J\x07 a\rb \u202e \x9b', flush=True)")
    command = (sys.executable, "-X", "utf8", str(script))

    def note(line: str) -> None:
        said.append(line)
        if "ended" in line:
            supervisor.stop()

    supervisor = Supervisor(
        [Service("hostile", command, {}, first_wait_seconds=60)],
        logs=tmp_path / "logs",
        status=tmp_path / "status.json",
        echo=note,
    )
    supervisor.run()
    log = (tmp_path / "logs" / "hostile.log").read_bytes().decode()
    for text in ("\n".join(said), log):
        assert "red" in text
        assert controls_in(text) == []


FORMULAS = ("=1+1", "+1", "-1", "@x", "\t=1", "\r=1", " =1", "a;=1+1", 'a;"=1', "a; =1", "a|=cmd", "\uff1d1", "\x1b=1")


@pytest.mark.parametrize("text", FORMULAS, ids=short)
def test_no_cell_begins_a_formula_whatever_separates_cells(text: str) -> None:
    for written in (
        csv_text((text,), [(text, 1.5)]),
        spreadsheet_table(pd.DataFrame({text: [text], "number": [-1.5]})).to_csv(index=False),
    ):
        assert controls_in(written.replace("\r\n", "\n")) == []
        for line in written.splitlines():
            for cell in (cell for part in line.split(";") for cell in part.split(",")):
                bare = cell.lstrip(' "\t')
                assert bare in ("-1.5", "1.5") or not bare.startswith(("=", "+", "-", "@", "\uff1d"))


def test_a_harmless_cell_stays_as_it_is() -> None:
    for text in ("CA 19-9", "a = b", "CD4+", "T2;N1", "x@y", "a; b"):
        assert spreadsheet_cell(text) == text


def test_who_gave_a_command_is_the_login_or_only_claimed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    login = tmp_path / "loginuid"
    login.write_text("0")
    monkeypatch.setenv("SUDO_USER", "somebody else")
    assert person(login) == "root"
    for content in ("4294967295", "", "4294967290"):
        login.write_text(content)
        assert person(login) == "somebody else (claimed)"
    monkeypatch.setenv("SUDO_USER", "root\x1b[2J\nApproved by the board" + "x" * 100)
    assert person(tmp_path / "none").endswith(" (claimed)")
    assert controls_in(person(tmp_path / "none")) == []
    assert "\n" not in person(tmp_path / "none")
    assert len(person(tmp_path / "none")) < 80
