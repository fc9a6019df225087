"""Is a CSV text read as it was meant, or refused: never with fewer patients, never with a mixture?"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from oncofed.cohort import csv_rows
from oncofed.cohort.csv_rows import shape_of
from oncofed.cohort.table import read_table
from oncofed.errors import InvalidInput

Rows = list[list[str]]

WANTED = ("id", "outcome")
CELL = st.text(alphabet='ab ",\n\r;é', max_size=5)
KNOWN = st.text(alphabet="abc1.", min_size=1, max_size=3)


def read(content: bytes, folder: Path) -> list[tuple[str, str]] | None:
    """Identifier and outcome of each row; None where the text is refused."""
    path = folder / "t.csv"
    path.write_bytes(content)
    try:
        found = read_table(path, columns=WANTED)
    except InvalidInput:
        return None
    if not set(WANTED) <= set(found.columns):
        return None  # `oncofed.cohort.validation` refuses a table without the columns of the schema
    return list(zip(found["id"], found["outcome"], strict=True))


@st.composite
def tables(draw: st.DrawFn) -> Rows:
    """Identifiers and outcomes that are plain, between notes that are not; distinct identifiers."""
    names = draw(st.permutations(["id", "note", "outcome", "remark"]))
    identifiers = draw(st.lists(KNOWN, min_size=1, max_size=6, unique=True))
    rows = []
    for identifier in identifiers:
        cells = {"id": identifier, "outcome": draw(KNOWN), "note": draw(CELL), "remark": draw(CELL)}
        rows.append([cells[name] for name in names])
    return [list(names), *rows]


def meant(rows: Rows) -> list[tuple[str, str]]:
    at = [rows[0].index(name) for name in WANTED]
    return [(row[at[0]], row[at[1]]) for row in rows[1:]]


def literal(rows: Rows, *, separator: str, line_end: str) -> bytes:
    """As a program writes that knows of no quotes: each cell as it stands, but for what would end it."""
    plain = [[cell.translate({10: " ", 13: " ", ord(separator): " "}) for cell in row] for row in rows]
    return line_end.join(separator.join(row) for row in plain).encode()


IN_A_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=400)


@IN_A_FOLDER
@given(tables(), st.sampled_from(["\n", "\r\n", "\r"]), st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]), st.data())
def test_well_written_text_is_read_as_meant_or_refused(
    tmp_path: Path, rows: Rows, line_end: str, quoting: Literal[0, 1], data: st.DataObject
) -> None:
    into = io.StringIO(newline="")
    separator = data.draw(st.sampled_from([",", ",", ",", ";", "\t", "|"]))
    csv.writer(into, delimiter=separator, lineterminator=line_end, quoting=quoting).writerows(rows)
    encoding = data.draw(st.sampled_from(["utf-8", "utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-le", "utf-32"]))
    text = into.getvalue()
    whole = data.draw(st.booleans())
    found = read((text if whole else text.removesuffix(line_end)).encode(encoding), tmp_path)
    assert found in (None, meant(rows))
    if not whole:
        return
    simple = all(mark not in cell for row in rows for cell in row for mark in "\n\r")
    if separator == "," and encoding.startswith("utf-8") and simple:
        assert found is not None  # a reader that refuses everything is no reader


@IN_A_FOLDER
@given(tables(), st.sampled_from([",", ";", "\t"]), st.sampled_from(["\n", "\r\n", "\r"]))
@example([["id", "note", "outcome"], ["p1", "", "1"], ["p2", '"', "5"], ["p3", "", "1"], ["p4", '"', "0"]], ",", "\n")
@example([["id", "note", "outcome"], ["p1", "", "1"], ["p2", '"x', "5"], ["p3", "", "1"], ["p4", 'y"', "0"]], ",", "\n")
def test_stray_quotes_join_no_rows(tmp_path: Path, rows: Rows, separator: str, line_end: str) -> None:
    """A quotation mark is a letter in the text that was meant: no patient may be lost to it, or get another's cells."""
    found = read(literal(rows, separator=separator, line_end=line_end), tmp_path)
    assert found is None or [pair[0] for pair in found] == [pair[0] for pair in meant(rows)]
    assert found in (None, meant(rows))


@settings(IN_A_FOLDER, max_examples=20)
@given(
    tables(),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.sampled_from(["utf-8", "utf-8-sig"]),
    st.sampled_from([b"", b"\x00", b"\x00" * 4096]),
)
@example(  # what is left of the last one's months is what all others have
    [["id", "outcome"], *([f"p{row}", "6"] for row in range(11)), ["last", "60.1"]],
    "\n",
    csv.QUOTE_MINIMAL,
    "utf-8",
    b"",
)
def test_a_file_that_is_cut_at_any_byte_is_read_as_meant_or_refused(
    tmp_path: Path, rows: Rows, line_end: str, quoting: Literal[0, 1], encoding: str, padding: bytes
) -> None:
    """Of each row that is begun, the right cells. Where it is cut exactly behind a row, nothing tells of the others."""
    if quoting == csv.QUOTE_MINIMAL:  # Python leaves a line end bare that is another one than the file's
        rows = [[cell.replace("\n", " ").replace("\r", " ") for cell in row] for row in rows]
    begins, into = [], io.StringIO(newline="")
    writer = csv.writer(into, lineterminator=line_end, quoting=quoting)
    for row in rows:
        begins.append(len(into.getvalue().encode(encoding)))
        writer.writerow(row)
    content = into.getvalue().encode(encoding)
    for at in range(len(content)):
        found = read(content[:at] + padding, tmp_path)
        if padding:
            assert found is None, at
            continue
        begun = sum(begin < at for begin in begins[1:])
        if found is not None:
            assert found == meant(rows)[:begun], at


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_a_whole_file_without_a_last_line_end_is_read_where_other_rows_show_that_its_last_cell_is_whole(
    tmp_path: Path, line_end: str
) -> None:
    def table(last: str, *, others: Sequence[str] = "01", quote: str = "") -> bytes:
        ends = [*list(others) * 12, last]
        body = (f"p{row},{row}.5,{quote}{end}{quote}" for row, end in enumerate(ends))
        return line_end.join(["id,months,outcome", *body]).encode()

    for last in "01":
        for quote in ("", '"'):
            found = read(table(last, quote=quote), tmp_path)
            assert found is not None
            assert found[-1] == ("p24", last)
    for others in (["0", "1", ""], ["TRUE", "FALSE"], ["false", "true"]):
        found = read(table(others[0], others=others), tmp_path)
        assert found is not None
        assert found[-1][1] == others[0]
    assert read(table("alive", others=["alive", "dead"]), tmp_path) is None  # a word, which may go on
    assert read(table("2"), tmp_path) is None  # no other row ends so
    assert read(table("6", others="6"), tmp_path) is None  # a number, which may go on
    assert read(table("", others=["", "x"]), tmp_path) is None
    assert read(table("1", others="0"), tmp_path) is None
    (tmp_path / "t.csv").write_bytes(table("2"))
    assert len(read_table(tmp_path / "t.csv", columns=["id", "months"])) == 25  # of the cell nobody asks


def test_a_number_that_is_cut_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"id,outcome\n1,12.5\n2,48\n3,6")
    with pytest.raises(InvalidInput) as refused:
        read_table(tmp_path / "t.csv")
    assert "the last line has no line end" in str(refused.value)
    assert "If it is whole, add a line end behind it" in str(refused.value)
    rows = b"".join(b"%d,1\n" % row for row in range(20))
    assert read(b"id,outcome\n" + rows + b"20,1", tmp_path) is not None
    assert read(b"id,outcome\n" + rows + b"20,12\n21,1", tmp_path) is None  # another one goes on
    notes = b"".join(b'%d,"a\n,1\nb",0\n' % row for row in range(20))
    assert read(b"id,note,outcome\n" + notes + b"20,,1", tmp_path) is None  # what looks like rows' ends are notes'
    assert read(b"id,note,outcome\n" + notes + b"20,,1\n", tmp_path) is not None


def test_a_last_cell_that_names_a_group_is_whole_where_ten_others_say_the_same_and_none_goes_on(tmp_path: Path) -> None:
    """As the published split of Fed-TCGA-BRCA ends. Of patients' own columns it says nothing."""
    path, told = tmp_path / "t.csv", list[str]()

    def groups(*ends: str) -> list[str] | None:
        rows = "\n".join(f"p{row},{end}" for row, end in enumerate(ends))
        path.write_text(f"id,place\n{rows}")
        try:
            return list(read_table(path, of_groups=True, tell=told.append)["place"])
        except InvalidInput as refused:
            assert "the last line has no line end" in str(refused)  # noqa: PT017 - as many cases are read
            return None

    whole = ["test_1"] * 3 + ["test_5"] * 11
    assert groups(*whole) == whole
    assert told == [
        "t.csv: the last line has no line end. If the file was cut there, compare its last row with the source."
    ]
    assert groups("1", "2", "3", *["1"] * 10) is not None  # no column of 0 and 1
    assert groups(*["test_5"] * 10) is None  # nine others
    assert groups("test_50", *whole) is None  # it may have gone on like that one
    assert groups("x", *["x"] * 12, "test_5") is None
    path.write_text("id,place\n" + "\n".join(f"p{row},test_5" for row in range(30)))
    with pytest.raises(InvalidInput):
        read_table(path)


@pytest.mark.parametrize(
    ("others", "last"),
    [
        (["0", "1", "2", "3"], "12"),
        (["0", "1", "-1"], "10"),
        (["Nord", "Sued"], "Nordost"),
        (["non", "smoker"], "non-smoker"),
        (["C50", "C61"], "C50.9"),
        (["true", "trueish"], "trueish"),
    ],
)
def test_a_cut_cell_that_others_have_whole_is_refused(tmp_path: Path, others: list[str], last: str) -> None:
    """However many end in what is left of it."""
    content = "\n".join(["id,outcome", *(f"p{row},{end}" for row, end in enumerate([*others * 12, last]))]).encode()
    begins = content.rfind(b",") + 1
    for at in range(begins, len(content)):
        assert read(content[:at], tmp_path) is None, at


@IN_A_FOLDER
@given(tables(), st.integers(0, 400), st.sampled_from([b'"', b"\n", b"\r", b",", b'""', b'"\n']), st.booleans())
def test_one_byte_too_many_or_too_few_mixes_nobody(
    tmp_path: Path, rows: Rows, place: int, added: bytes, remove: bool
) -> None:
    into = io.StringIO(newline="")
    csv.writer(into, lineterminator="\n").writerows(rows)
    content = into.getvalue().encode()
    at = place % (len(content) + 1)
    broken = content[:at] + content[at + 1 :] if remove else content[:at] + added + content[at:]
    found = read(broken, tmp_path)
    if found is not None and len(found) == len(rows) - 1:
        # A single cell may have been changed, which nobody can know; no two patients' cells may stand together.
        right = sum(pair in meant(rows) for pair in found)
        assert right >= len(found) - 1


@given(tables(), st.integers(1, 40))
@settings(deadline=None)
def test_where_the_pieces_end_does_not_matter(rows: Rows, piece: int) -> None:
    into = io.StringIO(newline="")
    csv.writer(into, lineterminator="\n").writerows(rows)
    content = into.getvalue().encode()

    def found() -> object:
        try:
            return shape_of(content, name="t.csv")
        except InvalidInput as refused:
            return refused.faults

    whole = found()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_rows, "_PIECE_BYTES", piece)
        in_pieces = found()
    if isinstance(whole, csv_rows.CsvShape) and isinstance(in_pieces, csv_rows.CsvShape):
        same = (whole.header, whole.body_begins, whole.rows, whole.lines, whole.longest_bytes)
        assert same == (
            in_pieces.header,
            in_pieces.body_begins,
            in_pieces.rows,
            in_pieces.lines,
            in_pieces.longest_bytes,
        )
    else:
        assert whole == in_pieces


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'id,note,dead\n1,a,0\n2,"open,1\n3,b,0\n4,"open,1\n5,c,0\n', "The cell begins in line 3"),
        (b'id,note,dead\n1,a,0\n2,",1\n3,b,0\n4,",1\n5,c,0\n', "it may hold other rows (1 row). See line 3"),
        (b'id,note,dead\n1,5" wide,0\n2,"a"b,1\n3,6" high,1\n', "begins in lines 2 and 3."),
        (b'id,note,dead\n1,"a\nb,0\n', "do not come in pairs: a quoted cell is not closed. See line 2"),
        (b"id,note,dead\n\n1,a,0\n2,b\n\r\n3,c,1,1\n", "(2 rows). See lines 4 and 6"),
        (b'id,note,dead\n1,a \\"b\\",0\n', "a quotation mark stands inside a cell"),
    ],
)
def test_doubts_are_told_with_their_lines(content: bytes, words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        shape_of(content, name="t.csv")
    assert words in str(caught.value)
    assert "open" not in str(caught.value)


def test_lines_and_rows_are_compared(tmp_path: Path) -> None:
    told: list[str] = []
    (tmp_path / "t.csv").write_bytes(b'id,note,outcome\n1,"two\nlines",0\n2,one,1\n')
    assert len(read_table(tmp_path / "t.csv", tell=told.append)) == 2
    assert told == [
        "t.csv: 3 lines hold 2 rows, since some quoted cells go over several lines. "
        "If each line was meant as a row, look for stray quotation marks."
    ]
    told.clear()
    (tmp_path / "t.csv").write_bytes(b'id,note,outcome\n1,"a ""b"", c",0\n\n2,one,1\n')
    assert list(read_table(tmp_path / "t.csv", tell=told.append)["note"]) == ['a "b", c', "one"]
    assert told == []


def test_empty_columns_without_a_name_at_the_right_are_left_out_and_told(tmp_path: Path) -> None:
    """As Excel writes them. Where a row holds something there, its cells may be shifted."""
    path, told = tmp_path / "t.csv", list[str]()
    path.write_bytes(b"id,outcome,,\r\np,1,,\r\nq,0,, \r\n")
    for columns in (WANTED, None):
        found = read_table(path, columns=columns, tell=told.append)
        assert found.to_dict("list") == {"id": ["p", "q"], "outcome": ["1", "0"]}
    assert told == ["t.csv: 2 empty columns without a name at the right are left out."] * 2
    path.write_bytes(b"id,outcome,,\r\np,6,1,\r\nq,0,,\r\n")
    with pytest.raises(InvalidInput, match=r"columns at the right without a name.*\(1 row\)"):
        read_table(path, columns=WANTED)


def test_columns_that_nobody_asks_for_may_have_one_name(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"note,id,note,outcome,,remark\na,p,b,1,c,d\n")
    assert read_table(path, columns=WANTED).to_dict("list") == {"id": ["p"], "outcome": ["1"]}
    for columns in (None, ("id", "note"), ("age",)):  # of the last one none is there: the header may be missing
        with pytest.raises(InvalidInput, match="columns 1 and 3: have one and the same name"):
            read_table(path, columns=columns)


def test_a_line_end_in_a_column_of_the_schema_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b'id,note,outcome\n"1\nx",a,0\n2,one,1\n')
    with pytest.raises(InvalidInput, match=r"column number 1: has cells that hold a line end \(1 row\)"):
        read_table(tmp_path / "t.csv", columns=["id"])


def test_rows_are_as_long_as_they_are(tmp_path: Path) -> None:
    """60,660 genes make a row of more than 1 MiB, and long cells one of several blocks."""
    genes = ",".join(f"ENSG{number:011d}" for number in range(60_660))
    cells = ",".join(["12.345678901234567" + "0" * 40] * 60_660)
    (tmp_path / "t.csv").write_text(f"id,{genes},outcome\n" + "".join(f"p{row},{cells},{row}\n" for row in range(3)))
    found = read_table(tmp_path / "t.csv", columns=WANTED)
    assert found.to_dict("list") == {"id": ["p0", "p1", "p2"], "outcome": ["0", "1", "2"]}
