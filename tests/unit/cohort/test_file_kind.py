"""Is a file that is not what its name says refused by the name of what it is, without a byte of a patient?"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import socket
import zipfile
from pathlib import Path

import pytest

from oncofed.cohort.table import read_table
from oncofed.errors import InvalidInput

TEXT = "id,town\nSECRET,Köln\n"


def zipped() -> bytes:
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w") as archive:
        archive.writestr("xl/workbook.xml", TEXT)
    return into.getvalue()


KINDS = [
    (gzip.compress(TEXT.encode()), "a gzip archive"),
    (bz2.compress(TEXT.encode()), "a bzip2 archive"),
    (lzma.compress(TEXT.encode()), "an xz archive"),
    (zipped(), "an Excel or other zip file"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1SECRET", "an old Excel file"),
    (b"PAR1SECRET", "a Parquet file"),
    (TEXT.encode("utf-16"), "written in UTF-16"),
    (TEXT.encode("utf-16-be"), "written in UTF-16"),
    (TEXT.encode("utf-32"), "written in UTF-32"),
    (TEXT.encode("cp1252"), "probably in Windows-1252 (Latin-1), as line 2 shows"),
    ((TEXT + "SECRET,x,one too many").encode("cp1252"), "probably in Windows-1252"),
    ((TEXT.replace("ö", "ü")).encode("cp850"), "an encoding of old computers"),
    (TEXT.encode("utf-16-le"), "written in UTF-16"),
    (TEXT.encode("utf-32-le"), "written in UTF-32"),
    (b"id,town\nSECRET,\x00\n", "it is damaged: it holds 1 NUL bytes, the first at byte 16, in line 2"),
    (TEXT.encode() + bytes(300), "it is damaged: it holds 300 NUL bytes, the first at byte 22, in line 3"),
    (TEXT.encode() * 500 + bytes(100_000), "it holds 100,000 NUL bytes, the first at byte 10,501, in line 1,001"),
    (bytes(4096) + TEXT.encode(), "it is damaged: it holds 4,096 NUL bytes, the first at byte 1, in line 1"),
    (bytes(7), "it is damaged: it holds 7 NUL bytes"),
]


@pytest.mark.parametrize(("content", "kind"), KINDS, ids=range(len(KINDS)))
def test_what_it_is_instead_is_said(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], content: bytes, kind: str
) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(InvalidInput) as caught:
        read_table(tmp_path / "t.csv")
    assert kind in str(caught.value)
    assert "cannot be read as .csv" in str(caught.value)
    assert len(caught.value.faults) == 1
    printed = capfd.readouterr()
    assert "SECRET" not in str(caught.value) + printed.out + printed.err
    assert printed.err == ""  # where Arrow's own callbacks print what they cannot handle


@pytest.mark.parametrize("length", [1 << 22, (1 << 22) - 1])
def test_a_letter_at_the_border_of_two_pieces_is_one_letter(tmp_path: Path, length: int) -> None:
    (tmp_path / "t.csv").write_bytes(b"id,note\nx," + b"a" * (length - 10) + "ö\n".encode())
    assert len(read_table(tmp_path / "t.csv")) == 1


def test_a_file_that_may_not_be_read_is_told_from_one_of_another_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "t.csv").write_text(TEXT)

    def forbidden(*_: object) -> bytes:
        raise PermissionError(13, "Permission denied", "SECRET")

    for function in ("open", "stat"):
        with monkeypatch.context() as patch:
            patch.setattr(os, function, forbidden)
            with pytest.raises(InvalidInput, match=r"t\.csv: the file may not be read by the user .*Give that user"):
                read_table(tmp_path / "t.csv")


def test_what_is_no_file_is_told_by_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "link.csv").symlink_to(tmp_path / "gone")
    (tmp_path / "zero.csv").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket.csv"))
        for name, kind in {
            "folder.csv": "is a folder, not a file",
            "pipe.csv": "is a named pipe (FIFO), not a file",
            "link.csv": "is a link to a file that does not exist",
            "zero.csv": "is a device, not a file",
            "socket.csv": "is a socket, not a file",
            "none.csv": "the file does not exist",
            "folder.csv/in.csv": "the file does not exist",
        }.items():
            with pytest.raises(InvalidInput) as refused:
                read_table(tmp_path / name)
            (fault,) = refused.value.faults
            assert (fault.where, fault.what) == (Path(name).name, kind)
            assert fault.remedy
