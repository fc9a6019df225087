"""Is a file read as it stands, and refused without repeating any of it when it is no table?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from oncofed.cohort.table import read_table
from oncofed.errors import InvalidInput


def test_csv_cells_are_the_texts_that_stand_there(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'\xef\xbb\xbfid,age,note\r\n007,61.50,"a, b"\r\n"",NA,\r\n1e3,nan,"two\nlines"\r\n')
    table = read_table(path)
    assert table.to_dict("list") == {
        "id": ["007", "", "1e3"],
        "age": ["61.50", "NA", "nan"],
        "note": ["a, b", "", "two\nlines"],
    }
    assert list(table.index) == [0, 1, 2]


@pytest.mark.parametrize("content", [b"id,age", b"id,age\n", b"id,age\r\n\r\n"])
def test_a_header_line_alone_is_a_table_without_rows(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    table = read_table(path)
    assert list(table.columns) == ["id", "age"]
    assert len(table) == 0


def test_parquet_columns_keep_their_types_and_an_index_becomes_a_column(tmp_path: Path) -> None:
    frame = pd.DataFrame({"age": [61.5, None], "smoker": [True, False], "id": ["007", "8"]}).set_index("id")
    frame.to_parquet(tmp_path / "a.PARQUET")
    table = read_table(str(tmp_path / "a.PARQUET"))
    assert list(table["id"]) == ["007", "8"]
    assert table["age"].dtype == "float64"
    assert table["smoker"].dtype == "bool"
    assert list(table.index) == [0, 1]


BAD_FILES = [
    ("a.txt", b"id\n1\n", "neither .csv nor .parquet"),
    ("a", b"id\n1\n", "neither .csv nor .parquet"),
    ("a.csv", b"", "is empty"),
    ("a.csv", b" \n\n", "is empty"),
    ("a.csv", b"id,age\nSECRET,2,3\nSECRET\nx,1\n", r"more or fewer cells than the header \(2 rows\)"),
    ("a.csv", b'id,age\nx,"SECRET\ny,2\n', "quotation marks do not come in pairs"),
    ("a.csv", b"id;age\nSECRET;1\n", "not separated by commas"),
    ("a.csv", b"SECRET,SECRET\n1,2\n", "columns 1 and 2: have one and the same name"),
    ("a.csv", "id,age\nSECRET Köln,2\n".encode("latin-1"), "cannot be read as .csv"),
    ("a.csv", "SECRET Köln,age\nx,2\n".encode("latin-1"), "cannot be read as .csv"),
    ("a.csv", "id,age\nSECRET,2\n".encode("utf-16"), "cannot be read as .csv"),
    ("a.parquet", b"", "cannot be read as .parquet"),
    ("a.parquet", b"PAR1SECRET", "cannot be read as .parquet"),
    ("a.parquet", b"id,age\nSECRET,2\n", "cannot be read as .parquet"),
]


@pytest.mark.parametrize(("name", "content", "message"), BAD_FILES)
def test_a_bad_file_is_refused_and_not_quoted(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=message) as caught:
        read_table(path)
    assert "SECRET" not in str(caught.value)
    # A chained exception would be printed with a traceback, and Arrow's quote the file.
    assert caught.value.__context__ is None
    assert all(fault.remedy for fault in caught.value.faults)


def test_a_missing_file_or_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    for name, what in (("none.csv", "does not exist"), ("folder.csv", "is a folder")):
        with pytest.raises(InvalidInput, match=what):
            read_table(tmp_path / name)


def test_a_ragged_row_far_down_is_counted_too(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"  # beyond Arrow's first block of 1 MB
    path.write_bytes(b"id,age\n" + b"x,1\n" * 400_000 + b"x,words\nx,1,2\n")
    with pytest.raises(InvalidInput, match=r"\(1 row\)"):
        read_table(path)


def test_parquet_with_two_columns_of_one_name_is_refused(tmp_path: Path) -> None:
    table = pa.table([pa.array([1]), pa.array([2]), pa.array([3])], names=["SECRET", "x", "SECRET"])
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(InvalidInput, match="columns 1 and 3: have one") as caught:
        read_table(tmp_path / "a.parquet")
    assert "SECRET" not in str(caught.value)


def test_a_parquet_file_is_read_as_its_own_checksums_say_or_refused_as_damaged(tmp_path: Path) -> None:
    path, rng = tmp_path / "a.parquet", np.random.default_rng(3)
    cells: dict[str, Any] = {
        "id": [f"p{row}" for row in range(200)],
        "age": rng.normal(60, 9, 200),
        "note": ["x"] * 200,
    }
    written = pa.table(cells)
    pyarrow.parquet.write_table(written, path, compression="none", use_dictionary=False, write_page_checksum=True)
    content, refused = path.read_bytes(), set()
    at = content.index(np.float64(cells["age"][7]).tobytes()) + 2
    for place in (at, content.index(b"p117") + 1):
        damaged = bytearray(content)
        damaged[place] ^= 4
        path.write_bytes(damaged)
        with pytest.raises(InvalidInput, match="the file is damaged") as caught:
            read_table(path)
        assert caught.value.__context__ is None
        refused.add(str(caught.value))
    assert len(refused) == 1
    path.write_bytes(content)
    assert list(read_table(path)["id"]) == cells["id"]
