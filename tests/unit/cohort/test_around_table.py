"""Is what programs write around a table left out and told, and never a row?"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oncofed.cohort import csv_rows
from oncofed.cohort.around_table import table_in
from oncofed.cohort.csv_rows import shape_of
from oncofed.cohort.table import read_table
from oncofed.cohort.text_form import TextForm
from oncofed.errors import InvalidInput

ROWS = "id,note,outcome\n1,a,0\n2,,1\n3,c,\n"
AROUND = {
    "rows of Excel": (f"{ROWS},,\n,,\n", "2 empty rows below the table are left out"),
    "one row of blanks": (f"{ROWS} , ,\n", "1 empty row below the table is left out"),
    "a line of blanks": (f"{ROWS}  \n", "1 empty row below the table is left out"),
    "a separator's line": (f"sep=,\n{ROWS}", "the first line, sep=,, is left out"),
    "the same in quotes and behind a mark": (f'\ufeff"sep=,"\n{ROWS}', "the first line, sep=,, is left out"),
    "Ctrl-Z": (f"{ROWS}\x1a", "the mark of a file's end (Ctrl-Z) is left out"),
    "Ctrl-Z on a line": (f"{ROWS}\x1a\n", "the mark of a file's end (Ctrl-Z) is left out"),
    "a footer of psql": (f"{ROWS}(3 rows)\n", "the last line, which says how many rows there are, is left out"),
    "the same and an empty line": (f"{ROWS}(3 rows)\n\n", "the last line, which says how many rows"),
}


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(("text", "said"), AROUND.values(), ids=AROUND)
def test_what_is_no_row_is_left_out_and_told(tmp_path: Path, text: str, said: str, line_end: str) -> None:
    if line_end == "\r" and "sep=" in text:
        pytest.skip("Excel writes no such line ends")
    told: list[str] = []
    (tmp_path / "t.csv").write_bytes(text.replace("\n", line_end).encode())
    found = read_table(tmp_path / "t.csv", tell=told.append)
    assert found.to_numpy().tolist() == [["1", "a", "0"], ["2", "", "1"], ["3", "c", ""]]
    assert len(told) == 1
    assert f"t.csv: {said}" in told[0]


REFUSED = {
    "another separator is named": (f"sep=;\n{ROWS}", "its first line says that cells are separated by semicolons"),
    "fewer rows than it says": (f"{ROWS}(4 rows)\n", "says that there are 4 rows, and there are 3"),
    "more rows than it says": (f"{ROWS}(1 row)\n", "says that there are 1 rows, and there are 3"),
    "R's row names": (ROWS.replace("id,", "", 1), "each row has one cell more than the header, as R writes them"),
    "the beginning of a row that was cut": (f"{ROWS},", "more or fewer cells than the header"),
    "an empty row between others": ("id,note,outcome\n1,a,0\n,,\n,,\n2,b,\n3,", "more or fewer cells"),
}


@pytest.mark.parametrize(("text", "said"), REFUSED.values(), ids=REFUSED)
def test_what_leaves_a_doubt_is_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(InvalidInput, match=said):
        read_table(tmp_path / "t.csv")


def test_lines_keep_their_numbers(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f"sep=,\n{ROWS}4,d\n")
    with pytest.raises(InvalidInput, match="See line 6"):
        read_table(tmp_path / "t.csv")


def test_a_row_of_another_separator_is_no_empty_one(tmp_path: Path) -> None:
    told: list[str] = []
    (tmp_path / "t.csv").write_text("id;note\n1;a\n,,;\n;\n")
    found = read_table(tmp_path / "t.csv", form=TextForm(separator=";"), tell=told.append)
    assert found["id"].tolist() == ["1", ",,"]
    assert told == ["t.csv: 1 empty row below the table is left out."]


@settings(deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(["", " ", "a", "0", '"x"', "(2 rows)"]), min_size=3, max_size=3), max_size=4),
    st.integers(0, 3),
    st.sampled_from(["\n", "\r\n"]),
)
def test_no_line_that_holds_a_cell_is_left_out(rows: list[list[str]], below: int, line_end: str) -> None:
    lines = ["id,note,outcome", *(",".join(row) for row in rows), *[",,"] * below]
    content = (line_end.join(lines) + line_end).encode()
    kept = table_in(content, name="t.csv", separator=",", tell=lambda _: None)
    assert kept.said_rows is None
    gone = content.removeprefix(kept.content)
    assert content == kept.content + gone
    assert not gone.strip(b", \r\n")
    assert sum(any(cell.strip() for cell in row) for row in rows) <= shape_of(kept.content, name="t.csv").rows


def test_a_file_without_its_last_line_end_is_told_where_it_is_read(tmp_path: Path) -> None:
    told: list[str] = []
    rows = "".join(f"{row},{row % 2}\n" for row in range(60))
    for last, expected in ((rows.rstrip("\n"), 1), (rows, 0)):
        told.clear()
        (tmp_path / "t.csv").write_text(f"id,outcome\n{last}")
        assert len(read_table(tmp_path / "t.csv", tell=told.append)) == 60
        assert len(told) == expected
    assert len(read_table(tmp_path / "t.csv", columns=["id"], tell=told.append)) == 60
    assert told == []


@pytest.mark.parametrize("others", ["b", '"b"'])
def test_a_stray_quotation_mark_ends_the_reading_at_once_and_its_row_is_told(
    monkeypatch: pytest.MonkeyPatch, others: str
) -> None:
    """Else all that follows it is one piece, of which twenty times as much is held in memory."""
    monkeypatch.setattr(csv_rows, "_PIECE_BYTES", 1_000)
    monkeypatch.setattr(csv_rows, "_LONGEST_OPEN_BYTES", 5_000)
    sizes: list[int] = []
    look = csv_rows._looked_at

    def looked_at(text: object, *marks: int) -> object:
        sizes.append(len(text))  # type: ignore[arg-type]  # an array
        return look(text, *marks)  # type: ignore[arg-type]

    monkeypatch.setattr(csv_rows, "_looked_at", looked_at)
    before = "id,note\n" + f"1,{others}\n" * 500
    content = (before + '2,"c\n' + f"3,{others}\n" * 20_000).encode()
    with pytest.raises(InvalidInput) as refused:
        shape_of(content, name="t.csv")
    assert "line 502" in str(refused.value)
    if others == "b":
        assert "is not closed within" in str(refused.value)
    assert max(sizes) < 7_100 if others == "b" else max(sizes) < len(content)


def test_a_quoted_cell_may_be_as_long_as_a_note_gets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_rows, "_PIECE_BYTES", 1_000)
    monkeypatch.setattr(csv_rows, "_LONGEST_OPEN_BYTES", 5_000)
    content = ('id,note\n1,"' + "a line\n" * 600 + '"\n2,b\n').encode()
    assert shape_of(content, name="t.csv").rows == 2
