"""Which rows of a table of OMOP's vocabulary are asked for, where its file is as the publisher gives it?

OHDSI's Athena writes tabs and no quotes into files whose names end in .csv; a quotation mark is a letter there. The
table of ancestors has some 80 million rows, of which a mapping needs a few thousand: the file is gone through line by
line, and only these are kept. It holds nothing of patients. A hospital may have exported it again under the same
header: with cells in quotes, as numbers with a point (443388.0) or with blanks behind; they mean the same. Refused:
rows with more or fewer cells than the header, and cells that are no concept where rows are asked for by one.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import pandas as pd

from oncofed.errors import Fault, InvalidInput

_LONGEST_HEADER = 4096
_WITH_POINT = re.compile(rb"(\d+)\.0*")
_DAMAGED = (OSError, EOFError, zlib.error)


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes] | gzip.GzipFile]:
    with path.open("rb") as stored:
        if path.suffix.casefold() != ".gz":
            yield stored
            return
        with gzip.GzipFile(fileobj=stored) as unpacked:
            yield unpacked


def is_published(path: Path) -> bool:
    """Whether a file is written as the publisher does; not so one that a hospital exported again."""
    header = b""
    if path.suffix.casefold() != ".parquet" and path.is_file():
        with suppress(*_DAMAGED), _opened(path) as file:  # a damaged archive is told by its reader
            header = file.readline(_LONGEST_HEADER)
    return b"\t" in header and not any(mark in header for mark in (b",", b";", b'"', b"\0"))  # the last: UTF-16


def rows_of_vocabulary(path: Path, wanted: Sequence[str], only: Mapping[str, Collection[int]]) -> pd.DataFrame:
    """Of these columns (in small letters) those that there are, as texts. Raises InvalidInput.

    only  by column, the concepts whose rows are asked for.
    """
    try:
        return _rows(path, wanted, only)
    except _DAMAGED:
        pass
    raise InvalidInput([Fault(path.name, "its archive is damaged", "Download the vocabulary again.")])


def _rows(path: Path, wanted: Sequence[str], only: Mapping[str, Collection[int]]) -> pd.DataFrame:
    with _opened(path) as file:
        header = [
            name.strip().casefold()
            for name in file.readline().removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace").split("\t")
        ]
        places = {name: header.index(name) for name in wanted if name in header}
        asked = [(header.index(name), {b"%d" % each for each in ids}) for name, ids in only.items() if name in header]
        found: list[tuple[bytes, ...]] = []
        ragged = strange = 0
        for line in file:
            cells = line.rstrip(b"\r\n").split(b"\t")
            if len(cells) != len(header):
                ragged += bool(line.strip())
                continue
            for place, ids in asked:
                if not cells[place].isdigit():
                    cells = [_plain(cell) for cell in cells]
                    strange += bool(cells[place]) and not cells[place].isdigit()
                if cells[place] not in ids:
                    break
            else:
                found.append(tuple(cells[place] for place in places.values()))
    wrong = (("has rows with more or fewer cells than the header", ragged), ("has rows of what is no concept", strange))
    if any(count for _, count in wrong):
        again = "Download the vocabulary again."
        raise InvalidInput([Fault(path.name, what, again, count) for what, count in wrong if count])
    columns = zip(*found, strict=True) if found else [()] * len(places)
    texts = ([cell.decode("utf-8", "replace") for cell in column] for column in columns)
    return pd.DataFrame({name: pd.Series(column, dtype=object) for name, column in zip(places, texts, strict=True)})


def _plain(cell: bytes) -> bytes:
    """As the publisher writes it, of a cell that a hospital's program wrote."""
    cell = cell.strip()
    if len(cell) > 1 and cell.startswith(b'"') and cell.endswith(b'"'):
        cell = cell[1:-1].replace(b'""', b'"').strip()
    whole = _WITH_POINT.fullmatch(cell)
    return cell if whole is None else whole.group(1)
