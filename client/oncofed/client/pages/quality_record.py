"""Which picture of a table's quality is shown, and when does another one take its place?

Two nights differ by a patient or two, and so would two pictures of the table. So a picture stays until enough of the
table has changed: of which values are there, of outcomes, and of cells, either nobody's row or at least a crowd's
(`disclosure`) has come, gone or changed, and of one of them a crowd's. The picture lies in the guard's folder, with a
keyed mark of each row for each of the three, which tell nobody anything; of a table that it was not made of nothing is
shown. Who removes it has another one made: the guard's user, who may read the table.

Promise: a file is read again only where it may have changed, a database every ten minutes at most.

Refused, with InvalidInput: a table that cannot be read, a source or a plan that is not there.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from oncofed.client.guard.policy_file import read_policy
from oncofed.client.install.folder import NodeFolder
from oncofed.client.pages.disclosure import Disclosure, Share
from oncofed.client.pages.quality_view import ToldFinding, ToldMissing, ToldQuality, ToldTimes, told_quality
from oncofed.client.patients.sources import SourceSpec, SourceStamp, read_source, stamp_of
from oncofed.client.quality.content import TableContent, table_content
from oncofed.client.quality.findings import Level
from oncofed.client.quality.report import quality_report
from oncofed.cohort.letters import plain
from oncofed.cohort.schema import StudySchema
from oncofed.cohort.validation import named_columns
from oncofed.durable import replace_durably
from oncofed.errors import Fault, InvalidInput
from oncofed.secret_files import read_secret
from oncofed.words.filled import Filled

_FORM = 1
_NAME_DIGITS, _MARK_DIGITS = 16, 16
_SECONDS_KEPT = 600.0

Marks = tuple[frozenset[str], ...]
"""Of each row: which values are there, outcomes, cells."""


@dataclass(frozen=True)
class Picture:
    """made_on: the day. stale: whether the table has changed since, by too few rows for another picture."""

    told: ToldQuality
    made_on: date
    floor: int
    marks: Marks
    stale: bool = False


@dataclass(frozen=True)
class _Looked:
    picture: Picture
    stamp: SourceStamp | None
    at: float
    floor: int


@dataclass(eq=False)
class TableQuality:
    """Of one node's data sources. clock: seconds. today: the day."""

    folder: NodeFolder
    key: Callable[[], bytes]
    clock: Callable[[], float] = time.monotonic
    today: Callable[[], date] = lambda: datetime.now(UTC).date()
    _looked: dict[tuple[str, str], _Looked] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def sources(self) -> tuple[str, ...]:
        """Their names. Raises InvalidInput for rules that cannot be read."""
        return tuple(each.name for each in read_policy(self.folder.policy).sources)

    def picture(self, source: str, schema: StudySchema, *, made: Callable[[], None]) -> Picture:
        """made: called before a new picture is shown for the first time. Raises InvalidInput."""
        policy = read_policy(self.folder.policy)
        spec, rules = policy.source(source).source, Disclosure(policy.smallest_group)
        with self._lock:  # one table is read at a time
            before = self._looked.get((source, schema.hash))
            if before is not None and before.floor == rules.floor and self._is_fresh(before, spec):
                return before.picture
            stamp = stamp_of(spec)
            found = self._made(spec, schema, rules, made)
            self._looked[source, schema.hash] = _Looked(found, stamp, self.clock(), rules.floor)
            return found

    def _is_fresh(self, looked: _Looked, spec: SourceSpec) -> bool:
        if looked.stamp is None:
            return self.clock() - looked.at < _SECONDS_KEPT
        return looked.stamp == stamp_of(spec)

    def _made(self, spec: SourceSpec, schema: StudySchema, rules: Disclosure, made: Callable[[], None]) -> Picture:
        where = f"data source {spec.name}"
        table = read_source(spec, columns=named_columns(schema))
        content = table_content(table, schema, where=where)
        marks = marks_of(table, content, key=self.key())
        path = quality_file(self.folder, spec.name, schema)
        kept = _read(path)
        if kept is not None and not may_follow(kept, marks, rules):
            _refuse_stricter(kept, rules, path)
            return Picture(kept.told, kept.made_on, kept.floor, kept.marks, stale=kept.marks != marks)
        told = told_quality(quality_report(content, cut=None, today=self.today()), rules)
        found = Picture(told, self.today(), rules.floor, marks)
        made()
        replace_durably(path, _written(found), mode=0o600)
        return found


def _refuse_stricter(kept: Picture, rules: Disclosure, path: Path) -> None:
    """Raises InvalidInput. A floor that was lowered in the policy stays what it was."""
    if rules.floor > kept.floor:
        what = f"is {rules.floor}, and the quality of this table was told with {kept.floor}"
        remedy = f"It is told again when at least {2 * rules.floor} rows have changed. Else remove {path.name}."
        raise InvalidInput([Fault("policy: [node]: smallest_group", what, remedy)])


def quality_file(folder: NodeFolder, source: str, schema: StudySchema) -> Path:
    named = hashlib.sha256(source.encode()).hexdigest()[:_NAME_DIGITS]
    return folder.guard / f"pages-quality-{named}-{schema.hash[:_NAME_DIGITS]}.json"


def marks_of(table: pd.DataFrame, content: TableContent, *, key: bytes) -> Marks:
    """Rows that are alike in every cell have one mark."""
    names = {plain(str(name)): place for place, name in enumerate(table.columns)}
    places = [names[each] for each in sorted({plain(name) for name in named_columns(content.schema)} & names.keys())]
    identifier = names.get(plain(content.schema.patient_id))
    of_whom = [""] * len(table) if identifier is None else list(map(str, table.iloc[:, identifier]))
    cells = [list(map(str, table.iloc[:, place])) for place in places]
    there = np.packbits(~np.isnan(content.values), axis=1)
    outcomes = np.column_stack([content.entry, content.exit, content.observed.astype(np.float64)])

    def mark(what: bytes, row: int) -> str:
        said = of_whom[row].encode("utf-8", "surrogatepass")
        return hmac.new(key, said + b"\x00" + what, hashlib.sha256).hexdigest()[:_MARK_DIGITS]

    rows = range(len(table))
    return (
        frozenset(mark(there[row].tobytes(), row) for row in rows),
        frozenset(mark(outcomes[row].tobytes(), row) for row in rows),
        frozenset(
            mark("\x00".join(column[row] for column in cells).encode("utf-8", "surrogatepass"), row) for row in rows
        ),
    )


def may_follow(kept: Picture, marks: Marks, rules: Disclosure) -> bool:
    """Whether two pictures of the table tell nothing of fewer than a crowd's rows, under the stricter floor."""
    crowd = max(rules.crowd, Disclosure(kept.floor).crowd)
    changed = [max(len(new - old), len(old - new)) for old, new in zip(kept.marks, marks, strict=True)]
    return any(changed) and all(each == 0 or each >= crowd for each in changed)


def _written(picture: Picture) -> bytes:
    content = {
        "form": _FORM,
        "made_on": picture.made_on.isoformat(),
        "floor": picture.floor,
        "marks": [sorted(each) for each in picture.marks],
        "told": asdict(picture.told) | {"findings": [_kept(each) for each in picture.told.findings]},
    }
    return json.dumps(content).encode()


def _read(path: Path) -> Picture | None:
    """None where there is none, or none that this version has made."""
    if not path.exists():
        return None
    try:
        found: dict[str, Any] = json.loads(read_secret(path, most=None))
        if found["form"] != _FORM:
            return None
        return Picture(
            told=_told(found["told"]),
            made_on=date.fromisoformat(found["made_on"]),
            floor=int(found["floor"]),
            marks=tuple(frozenset(each) for each in found["marks"]),
        )
    except (InvalidInput, ValueError, KeyError, TypeError):
        return None


_SAID = ("about", "what", "remedy")


def _kept(finding: ToldFinding) -> dict[str, Any]:
    """Of a sentence with figures: how it is said, too, or it would be English for ever."""
    said = {name: words for name in _SAID if isinstance(words := getattr(finding, name), Filled)}
    return asdict(finding) | {name: {"text": each.text, "named": each.named} for name, each in said.items()}


def _finding(found: dict[str, Any]) -> ToldFinding:
    filled = {name: Filled(each["text"], **each["named"]) for name in _SAID if isinstance(each := found[name], dict)}
    return ToldFinding(**{**found, **filled, "level": Level(found["level"])})


def _told(found: dict[str, Any]) -> ToldQuality:
    return ToldQuality(
        patients=found["patients"],
        findings=tuple(map(_finding, found["findings"])),
        endpoints=tuple(
            ToldTimes(**{**each, "by_interval": tuple(each["by_interval"])}) for each in found["endpoints"]
        ),
        intervals=tuple(found["intervals"]),
        groups=tuple(found["groups"]),
        group_patients=tuple(found["group_patients"]),
        missing=tuple(
            ToldMissing(each["marker"], _share(each["of_all"]), _shares(each["by_group"])) for each in found["missing"]
        ),
    )


def _share(found: dict[str, float] | None) -> Share | None:
    return None if found is None else Share(**found)


def _shares(found: Iterable[dict[str, float]]) -> tuple[Share, ...]:
    return tuple(Share(**each) for each in found)
