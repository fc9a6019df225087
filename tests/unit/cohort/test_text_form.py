"""Is a table in another form of text the table that its plain CSV file is?"""

from __future__ import annotations

import gzip
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from oncofed.cohort.table import read_table
from oncofed.cohort.text_form import Encoding, TextForm
from oncofed.errors import InvalidInput

PLAIN = 'id,Größe,Anmerkung\nP1,"1,5",nichts\nP2,"2,5","ein ""Wort"""\n'
GERMAN = 'id;Größe;Anmerkung\nP1;1,5;nichts\nP2;2,5;"ein ""Wort"""\n'


def read(folder: Path, name: str, content: bytes, form: TextForm | None) -> pd.DataFrame:
    path = folder / name
    path.write_bytes(content)
    frame = read_table(path, form=form)
    assert form is None or all(kind == "category" for kind in frame.dtypes)
    return frame.astype(object)


@pytest.mark.parametrize("encoding", Encoding)
def test_semicolons_encodings_and_gzip_are_read_as_the_plain_file(encoding: Encoding, tmp_path: Path) -> None:
    plain = read(tmp_path, "a.csv", PLAIN.encode(), None)
    form = TextForm(separator=";", encoding=encoding)
    content = GERMAN.encode(encoding.value)
    pd.testing.assert_frame_equal(read(tmp_path, "b.csv", content, form), plain)
    pd.testing.assert_frame_equal(read(tmp_path, "c.csv.gz", gzip.compress(content), form), plain)
    halves = gzip.compress(content[:20]) + gzip.compress(content[20:])
    pd.testing.assert_frame_equal(read(tmp_path, "d.txt", halves, form), plain)


@pytest.mark.parametrize("head", ["sep=;\r\n", "# eins\n# zwei;\n", "sep=;\n# eins\n"])
def test_remarks_before_the_header_are_no_rows(head: str, tmp_path: Path) -> None:
    form = TextForm(separator=";", comment="#")
    read_with = read(tmp_path, "a.txt", (head + GERMAN + "#P3;3;x\n").encode(), form)
    assert list(read_with["id"]) == ["P1", "P2", "#P3"]  # behind the header nothing is a remark


def test_a_quotation_mark_is_a_letter_where_nothing_is_quoted(tmp_path: Path) -> None:
    content = b'id\tnote\nP1\ta "b\nP2\t"c\n'
    frame = read(tmp_path, "a.txt", content, TextForm(separator="\t", quoted=False))
    assert list(frame["note"]) == ['a "b', '"c']
    with pytest.raises(InvalidInput, match="quotation mark"):
        read(tmp_path, "a.txt", content, TextForm(separator="\t"))


@pytest.mark.parametrize(
    ("content", "form", "words"),
    [
        (gzip.compress(GERMAN.encode(), mtime=0)[:-12], TextForm(separator=";"), "gzip archive is damaged"),
        (gzip.compress(GERMAN.encode(), mtime=0)[:20] + b"SECRET", TextForm(separator=";"), "gzip archive is damaged"),
        (GERMAN.encode("windows-1252"), TextForm(separator=";"), "not written in UTF-8"),
        (GERMAN.encode("utf-16")[:-1], TextForm(separator=";", encoding=Encoding.UTF_16), "not written in utf-16"),
        (PLAIN.encode(), TextForm(separator=";"), "not separated by semicolons"),
        (GERMAN.encode(), TextForm(), "not separated by commas"),
        (b"id;a\nSECRET;1\nb;1;2\n", TextForm(separator=";"), "more or fewer cells"),
        (b'id;a\nSECRET;"1\n', TextForm(separator=";"), "do not come in pairs"),
    ],
)
def test_what_the_form_does_not_fit_is_refused_and_not_quoted(
    content: bytes, form: TextForm, words: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match=words) as caught:
        read(tmp_path, "a.txt", content, form)
    assert "SECRET" not in str(caught.value)
    assert caught.value.__context__ is None
    assert all(fault.remedy for fault in caught.value.faults)


def test_an_archive_is_not_unpacked_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oncofed.cohort.text_form._LARGEST_BYTES", 1 << 20)
    with pytest.raises(InvalidInput, match="unpacks to more than"):
        read(tmp_path, "a.csv.gz", gzip.compress(b"x" * (1 << 23)), TextForm())


def test_days_in_a_parquet_file_are_texts_only_where_a_form_is_told(tmp_path: Path) -> None:
    days = pa.array([18_628, None], type=pa.date32())
    table = pa.table({"id": ["a", "b"], "day": days, "at": days.cast(pa.timestamp("us"))})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    frame = read_table(tmp_path / "a.parquet", form=TextForm())
    for column in ("day", "at"):
        assert frame[column][0] == "2021-01-01"
        assert pd.isna(frame[column][1])
    with pytest.raises(InvalidInput, match="such as dates"):
        read_table(tmp_path / "a.parquet")
