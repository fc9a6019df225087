"""How are figures written so that Prometheus reads them?

Its text format (exposition format 0.0.4), as a file for node_exporter's textfile collector: nothing of ours listens on
any port for it. Promises: the file under its name is always whole; the text says the same of the same figures; a label
may hold any text. Refused: names that Prometheus would not take, two samples of one family with the same labels.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from oncofed.durable import replace_durably
from oncofed.errors import Fault, InvalidInput

FREE_DISK_STEP_BYTES = 100_000_000
"""Free space is told in such steps: files of patients are smaller than one, so that none shows by its size."""

_NAME, _LABEL = re.compile(r"[a-z][a-z0-9_]*"), re.compile(r"[a-z][a-z_]*")
_ENDING = ".prom"
"""node_exporter reads no other file of its folder."""


class Kind(StrEnum):
    """counter: only ever grows, but for a restart. gauge: goes up and down."""

    COUNTER = "counter"
    GAUGE = "gauge"


@dataclass(frozen=True)
class Sample:
    """One figure. labels: by name."""

    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Family:
    """Figures of one name. help: what it is, in one line."""

    name: str
    kind: Kind
    help: str
    samples: tuple[Sample, ...]

    def __post_init__(self) -> None:
        assert _NAME.fullmatch(self.name), self.name
        assert (self.kind is Kind.COUNTER) == self.name.endswith("_total"), self.name
        assert all(_LABEL.fullmatch(label) for sample in self.samples for label in sample.labels)
        seen = [tuple(sorted(sample.labels.items())) for sample in self.samples]
        assert len(set(seen)) == len(seen), f"{self.name}: two samples with the same labels"

    def lines(self) -> Iterable[str]:
        """Of a family without a sample: none."""
        if not self.samples:
            return
        yield f"# HELP {self.name} {_escaped(self.help)}"
        yield f"# TYPE {self.name} {self.kind}"
        for sample in self.samples:
            labels = ",".join(f'{name}="{_quoted(text)}"' for name, text in sample.labels.items())
            yield f"{self.name}{f'{{{labels}}}' if labels else ''} {_number(sample.value)}"


def gauge(name: str, help_: str, samples: Iterable[Sample]) -> Family:
    """A family of gauges."""
    return Family(name, Kind.GAUGE, help_, tuple(samples))


def counter(name: str, help_: str, samples: Iterable[Sample]) -> Family:
    """A family of counters."""
    return Family(name, Kind.COUNTER, help_, tuple(samples))


def exposed(families: Sequence[Family]) -> str:
    """The text, with its last line end."""
    assert len({family.name for family in families}) == len(families), "each family once"
    return "".join(f"{line}\n" for family in families for line in family.lines())


def write_textfile(path: Path, text: str) -> None:
    """Put it in place of the file that is there; all may read it. Raises InvalidInput, RecordUnwritable."""
    refuse_other_ending(path)
    replace_durably(path, text.encode(), mode=0o644)


def refuse_other_ending(path: Path) -> None:
    """Raises InvalidInput for a name that the textfile collector would pass over."""
    if path.suffix != _ENDING:
        remedy = f"node_exporter reads files that end in {_ENDING} alone: call it for instance oncofed{_ENDING}."
        raise InvalidInput([Fault("--out", f"does not end in {_ENDING}", remedy)])


def coarse_free_bytes(free: int) -> int:
    """Free space in whole steps, rounded down."""
    return free // FREE_DISK_STEP_BYTES * FREE_DISK_STEP_BYTES


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _quoted(text: str) -> str:
    return _escaped(text).replace('"', '\\"')
