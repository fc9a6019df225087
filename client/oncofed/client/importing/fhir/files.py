"""Which FHIR resources lie in a folder of bundles or of bulk exports?

`.json` holds a Bundle or one resource, `.ndjson` and `.jsonl` one of them a line; each may be packed (`.gz`). Promise:
files are streamed, and no more than one resource is in memory, so that neither the size of a bundle nor of an export
matters. Numbers stay the texts that stand there. Refused, and counted by file: what is no JSON or no UTF-8, an object
with two members of one name, what is nested deeper or longer than any resource. Names of files are often those of
patients, so a file is told by its place among the names, unless its name is that of a type of resource.

Format: FHIR R4 (Bundle, https://hl7.org/fhir/R4/bundle.html) and Bulk Data Access.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, cast

from oncofed.errors import Fault, InvalidInput
from oncofed.plain_file import OtherKind, opened

Json = dict[str, Any]
"""A JSON object whose numbers are texts."""

MOST_BYTES = 64 << 20
"""Of one resource."""
MOST_DEEP = 100
"""Objects and lists within one another."""
_STEP = 1 << 20
_BY_LINES = (".ndjson", ".jsonl")
_MARK = re.compile(rb'["{}\[\]]')
_LONGEST_KEY = 64
_WITHIN = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
"""Of a text, up to its end or half an escape. Possessive: what is passed is not remembered."""
_QUOTE = ord('"')
_PUBLIC_NAME = re.compile(
    r"(?:Bundle|Condition|DiagnosticReport|Encounter|ImagingStudy|Immunization|Location|Medication|MedicationAdministration"
    r"|MedicationRequest|MedicationStatement|Observation|Organization|Patient|Practitioner|Procedure|Specimen)"
    r"(?:[._-]?\d{1,5})?(?:\.json|\.ndjson|\.jsonl)(?:\.gz)?"
)
_BLANK = b" \t\r\n"


@dataclass(frozen=True)
class Entry:
    """A resource, the address that its bundle gives it, and the file in which it is, below the folder."""

    resource: Json
    full_url: str | None = None
    path: str = ""


class _Pages:
    """Of what a server answers in pages: which there are, and which follow."""

    def __init__(self) -> None:
        self._own: set[str] = set()
        self._next: set[str] = set()

    def look_at(self, bundle: Json) -> None:
        listed = bundle.get("link")
        for each in listed if isinstance(listed, list) else ():
            if isinstance(each, dict) and isinstance(url := each.get("url"), str):
                {"self": self._own, "next": self._next}.get(str(each.get("relation")), set[str]()).add(url)

    @property
    def absent(self) -> int:
        return len(self._next - self._own)


@dataclass
class FhirFiles:
    """The files of a folder, or the one file. Going through `entries` fills `faults`, one for each kind and file."""

    path: Path
    faults: list[Fault] = field(default_factory=list)
    _pages: _Pages = field(default_factory=_Pages)

    def entries(self) -> Iterator[Entry]:
        """Each resource; a bundle's one by one. Raises InvalidInput where there is no file to read."""
        paths = self._paths()
        for number, path in enumerate(paths, start=1):
            shown = path.name if _PUBLIC_NAME.fullmatch(path.name) else f"file {number} of {len(paths)} by name"
            below = path.relative_to(self.path).as_posix()
            for entry in self._of_file(path, f"{self.path.name}: {shown}"):
                yield replace(entry, path=below)

    def notes(self) -> Iterator[str]:
        """What people should know once `entries` is through: what may be lacking."""
        beside = [] if self.path.is_file() else [each for each in self.path.rglob("*") if not each.name.startswith(".")]
        if unread := sum(not is_file_of_resources(each) and each.is_file() for each in beside):
            yield f"{unread:,} files are none of .json, .ndjson or .jsonl (or these packed as .gz), and are not read"
        if absent := self._pages.absent:
            yield f"{absent:,} bundles name a next page (link) that is not here by its address: is the export whole?"

    def _paths(self) -> list[Path]:
        if self.path.is_dir():
            found = sorted(
                (each for each in self.path.rglob("*") if is_file_of_resources(each) and not each.is_dir()),
                key=lambda each: each.relative_to(self.path).as_posix(),
            )
            if not found:
                remedy = "Name the folder with the bundles (.json) or the bulk export (.ndjson), packed (.gz) or not."
                raise InvalidInput([Fault(self.path.name, "has no file of FHIR resources in it", remedy)])
            return found
        if not self.path.exists():
            raise InvalidInput([Fault(self.path.name, "does not exist", "Check the path.")])
        return [self.path]

    def _of_file(self, path: Path, where: str) -> Iterator[Entry]:
        wrong: Counter[_Wrong] = Counter()
        try:
            with opened(path) as file, _unpacked(file) as stream:
                by_lines = _suffix(path) in _BY_LINES
                reader = _of_lines if by_lines else _of_documents
                yield from reader(stream, wrong, self._pages)
        except OtherKind as other:
            self.faults.append(Fault(where, other.fault.what, other.fault.remedy))
        except (EOFError, gzip.BadGzipFile, zlib.error):
            self.faults.append(Fault(where, "its gzip archive is damaged", "Pack it again."))
        except OSError as error:
            what = f"the file cannot be read ({type(error).__name__})"
            self.faults.append(Fault(where, what, "Check its rights, and the disk it is on."))
        for kind in sorted(wrong, key=lambda each: each.what):
            self.faults.append(Fault(where, kind.what, kind.remedy, wrong[kind]))


def is_file_of_resources(path: Path) -> bool:
    """By its name."""
    return _suffix(path) in (*_BY_LINES, ".json")


def _suffix(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _unpacked(file: BinaryIO) -> BinaryIO:
    begin = file.read(2)
    file.seek(0)
    return cast(BinaryIO, gzip.GzipFile(fileobj=file)) if begin == b"\x1f\x8b" else file


@dataclass(frozen=True)
class _Wrong:
    what: str
    remedy: str = "Export it again."


_NO_JSON = _Wrong("holds what is no JSON", "Export it again: it may be cut off.")
_NO_RESOURCE = _Wrong("holds what is no FHIR resource", "Keep only bundles and resources of FHIR R4 in the folder.")
_TWICE = _Wrong("has an object with two members of one name")
_DELETED = _Wrong(
    "tells of resources that were deleted, which other files may still hold", "Export the whole folder anew, at once."
)
_DEEP = _Wrong(f"has objects or lists nested deeper than {MOST_DEEP}, which no resource has")
_LONG = _Wrong(
    f"has a resource or a line of more than {MOST_BYTES >> 20} MiB", "Write each resource in a line, without images."
)


class _Refused(ValueError):
    def __init__(self, kind: _Wrong) -> None:
        super().__init__(kind.what)
        self.kind = kind


# --- one JSON text


def _once(pairs: list[tuple[str, Any]]) -> Json:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Refused(_TWICE)
    return found


def _no_constant(_: str) -> Any:
    raise _Refused(_NO_JSON)


_DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_float=str, parse_int=str, parse_constant=_no_constant)


def _loaded(content: bytes) -> Any:
    """Raises _Refused."""
    try:
        text = content.decode()
        found = _DECODER.decode(text)
        if "\\ud" in text or "\\uD" in text:
            json.dumps(found, ensure_ascii=False).encode()  # half a letter can be written nowhere
    except _Refused:
        raise
    except RecursionError:
        raise _Refused(_DEEP) from None
    except ValueError:
        raise _Refused(_NO_JSON) from None
    return found


def _entries(found: Any, full_url: str | None, wrong: Counter[_Wrong], pages: _Pages) -> Iterator[Entry]:
    """The resource, or those of a bundle, also of one within another."""
    waiting = [(found, full_url, 0)]
    while waiting:
        resource, url, depth = waiting.pop()
        if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
            wrong[_NO_RESOURCE] += 1
        elif resource["resourceType"] != "Bundle":
            yield Entry(resource, url)
        elif not isinstance(listed := resource.get("entry", []), list) or depth > MOST_DEEP:
            wrong[_NO_RESOURCE] += 1
        else:
            pages.look_at(resource)
            for entry in listed:
                if not isinstance(entry, dict):
                    wrong[_NO_RESOURCE] += 1
                elif "resource" in entry:  # an answer of a server may have none
                    url = entry.get("fullUrl")
                    waiting.append((entry["resource"], url if isinstance(url, str) else None, depth + 1))
                elif isinstance(request := entry.get("request"), dict) and request.get("method") == "DELETE":
                    wrong[_DELETED] += 1


def _of_lines(stream: BinaryIO, wrong: Counter[_Wrong], pages: _Pages) -> Iterator[Entry]:
    first = True
    while line := stream.readline(MOST_BYTES + 1):
        if first:
            line, first = line.removeprefix(b"\xef\xbb\xbf"), False
        if len(line) > MOST_BYTES:
            wrong[_LONG] += 1
            while line and not line.endswith(b"\n"):
                line = stream.readline(_STEP)
            continue
        if line.strip(_BLANK):
            try:
                yield from _entries(_loaded(line), None, wrong, pages)
            except _Refused as refused:
                wrong[refused.kind] += 1


# --- bundles, whose entries are read one by one


def _of_documents(stream: BinaryIO, wrong: Counter[_Wrong], pages: _Pages) -> Iterator[Entry]:
    """A file of JSON texts, mostly one. What follows something broken cannot be told apart, and is not read."""
    try:
        scanner = _Scanner(stream)
        for piece in scanner.pieces():
            found = _loaded(piece.content)
            if piece.is_entry:
                listed = {"resourceType": "Bundle", "entry": [found]}
                yield from _entries(listed, None, wrong, pages)
            else:
                yield from _entries(found, None, wrong, pages)
    except _Refused as refused:
        wrong[refused.kind] += 1


@dataclass(frozen=True)
class _Piece:
    """An element of the list `entry` of a document, or a document without these."""

    content: bytes
    is_entry: bool


class _Scanner:
    """Cuts documents into pieces by their brackets. Only brackets and quotation marks are looked at.

    A document is an object. Its member `entry`, if it is a list, is told piece by piece, and the rest of the document
    at its end, with an empty list in its place.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.buffer = b""
        self.at_end = False
        self.place = 0  # of what is looked at next
        self.text: int | None = None  # where the text begins that this is within
        self.begin = 0  # of what is not taken yet
        self.rest: list[bytes] = []
        self.size = 0  # of the rest

    def pieces(self) -> Iterator[_Piece]:
        depth, listed, read, key = 0, False, False, b""
        self._more()
        self.buffer = self.buffer.removeprefix(b"\xef\xbb\xbf")
        while (token := self._token()) is not None:
            mark, start = token
            if mark.startswith(b'"'):
                key = mark if depth == 1 else key
                continue
            if mark in b"{[":
                if depth == 0:
                    self._refuse_unless_blank(start, _BLANK, True)
                    if mark == b"[":
                        raise _Refused(_NO_RESOURCE)
                    self.begin, read = start, True
                elif listed and depth == 2:
                    self._refuse_unless_blank(start, _BLANK + b",", mark == b"{")
                    self.begin = start
                depth += 1
                if depth > MOST_DEEP:
                    raise _Refused(_DEEP)
                if depth == 2 and mark == b"[" and key == b'"entry"':
                    listed = True
                    self._take(self.place)
                continue
            depth -= 1
            if depth < 0:
                raise _Refused(_NO_JSON)
            if listed and depth == 2:
                yield _Piece(self.buffer[self.begin : self.place], True)
                self.begin = self.place
            elif listed and depth == 1:
                self._refuse_unless_blank(start, _BLANK + b",", True)
                self.begin, listed, key = start, False, b""
            elif depth == 0:
                self._take(self.place)
                yield _Piece(b"".join(self.rest), False)
                self.rest, self.size = [], 0
        self._refuse_unless_blank(len(self.buffer), _BLANK, depth == 0 and read)

    def _refuse_unless_blank(self, end: int, blank: bytes, also: bool) -> None:
        if not also or self.buffer[self.begin : end].strip(blank):
            raise _Refused(_NO_JSON)

    def _take(self, end: int) -> None:
        self.rest.append(self.buffer[self.begin : end])
        self.size += end - self.begin
        self.begin = end

    def _token(self) -> tuple[bytes, int] | None:
        """The next bracket or text (a long one cut off), and where it begins; None at the end.

        Each byte is looked at once, however long a text is: reports and pictures are texts of many MiB.
        """
        while True:
            if self.text is None:
                found = _MARK.search(self.buffer, self.place)
                self.place = len(self.buffer) if found is None else found.end()
                if found is not None and found.group() != b'"':
                    return found.group(), found.start()
                self.text = None if found is None else found.start()
            if self.text is not None:
                within = _WITHIN.match(self.buffer, self.place)
                self.place = self.place if within is None else within.end()
                if self.place < len(self.buffer) and self.buffer[self.place] == _QUOTE:
                    self.place += 1
                    begin, self.text = self.text, None
                    return self.buffer[begin : min(self.place, begin + _LONGEST_KEY)], begin
            if self.at_end:
                if self.text is not None:
                    raise _Refused(_NO_JSON)
                return None
            self._more()

    def _more(self) -> None:
        """One step more of the file, and nothing of what is taken already."""
        if self.size + len(self.buffer) - self.begin > MOST_BYTES:
            raise _Refused(_LONG)
        step = self.stream.read(_STEP)
        self.at_end = not step
        self.buffer = self.buffer[self.begin :] + step
        self.place -= self.begin
        self.text = None if self.text is None else self.text - self.begin
        self.begin = 0
