"""What may a text that came from elsewhere look like, and how is any text shown?

One table, `TEXTS`: each text of a plan, schema, policy, study file, enrolment file or settings file has its kind. A
text of another kind is refused by name where it is parsed. What is shown is escaped once more, at the seams: `Plain`
stands before a terminal, `LogLines` before a log, `spreadsheet_cell` before a CSV file; pages escape by themselves.

A *line* can be read as it stands: printable, no line's end, no control, format (direction overrides, zero width),
private, unassigned or surrogate character, in Unicode's composed form (NFC), no blank at its edges, bounded. Marker
and category names of real tables are lines: `HER2/neu (IHC)`, `β2-microglobulin`, `CD4+`. What becomes part of a path
or a command has an alphabet besides.

Imports nothing of the package but its errors.
"""

from __future__ import annotations

import io
import logging
import re
import shutil
import sys
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from typing import TYPE_CHECKING, TextIO

from oncofed.errors import Fault

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class TextKind:
    """words     what it is, for a person who wrote another.
    most      characters.
    alphabet  a pattern for the whole text; None: whatever a line may hold.
    or_empty  whether the empty text belongs to it: nothing was said.
    lines     whether it may have several lines, and tabs, and blanks at its edges.
    """

    words: str
    most: int
    alphabet: re.Pattern[str] | None = None
    or_empty: bool = False
    lines: bool = False

    def __contains__(self, text: object) -> bool:
        return isinstance(text, str) and self.fault(text) is None

    def fault(self, text: str) -> str | None:
        """What is wrong with it, without quoting it; None if nothing is."""
        if not text.strip():
            return None if text == "" and self.or_empty else "is not a text"
        if len(text) > self.most:
            return f"is longer than {self.most:,} characters"
        if wrong := _unfit(text.translate(_LINE_ENDS) if self.lines else text, edges=self.lines):
            return wrong
        if self.alphabet is not None and not self.alphabet.fullmatch(text):
            return f"is not {self.words}"
        return None

    @property
    def remedy(self) -> str:
        return f"Write {self.words}, of at most {self.most:,} characters."


_LINE_ENDS = {ord(each): " " for each in "\r\n\t"}
_MOST_MARKS = 3
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Printable by Unicode's categories, and yet nothing shows."""


def _unfit(text: str, *, edges: bool) -> str | None:
    if not text.isprintable() or any(each in _INVISIBLE or _selects_a_variant(each) for each in text):
        return "holds a character that cannot be seen, such as a line's end or a control or direction character"
    if not unicodedata.is_normalized("NFC", text):
        return "is not in Unicode's composed form (NFC)"
    if text != text.strip() and not edges:
        return "has a blank at its edge"
    marks = 0
    for place, each in enumerate(text):
        marks = marks + 1 if unicodedata.category(each).startswith("M") else 0
        if marks > _MOST_MARKS or (marks and place == 0):
            return "has accents without a letter of their own"
    return None


def _selects_a_variant(each: str) -> bool:
    return "\ufe00" <= each <= "\ufe0f" or "\U000e0100" <= each <= "\U000e01ef" or "\u180b" <= each <= "\u180f"


def _of(words: str, most: int, pattern: str, *, or_empty: bool = False) -> TextKind:
    return TextKind(words, most, re.compile(pattern), or_empty=or_empty)


LINE = TextKind("one line of printable characters", 1_000)
"""What a text in a file is unless it is said to be less: a path, a pattern."""
BLOCK = TextKind("printable lines", 4_000_000, or_empty=True, lines=True)
_PARAGRAPHS = TextKind("printable lines", 20_000, or_empty=True, lines=True)
_SENTENCE = TextKind("one line of printable characters", 500)
_LABEL = TextKind("one line of printable characters", 200)
_LABEL_OR_NOTHING = TextKind(_LABEL.words, _LABEL.most, or_empty=True)
NAME = _of(
    "a name of letters, digits, blanks, dots, hyphens and underscores that begins with a letter or digit",
    100,
    r"[^\W_][\w .\-]*",
)
_SITE = _of(
    "a usable name (letters a to z, digits, - and _; a letter or digit first)", 64, r"[A-Za-z0-9][A-Za-z0-9_-]*"
)
_SOURCE = _of("a short name (a to z, 0 to 9, - and _)", 64, r"[a-z0-9][a-z0-9_-]*")
_SUMMARY = _of("a name of a to z, 0 to 9 and _, a letter first", 40, r"[a-z][a-z0-9_]*")
_VARIABLE = _of("the name of an environment variable", 128, r"[A-Za-z_][A-Za-z0-9_]*")
_ADDRESS = _of("an address, host:port", 260, r"(?:[A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]{2,45}\]):[0-9]{1,5}")
_WEB = _of(
    "an address that begins with https:// (http:// for this machine's loopback alone), without ? and #",
    500,
    r"(?:https://[A-Za-z0-9][A-Za-z0-9.-]*|http://(?:127\.0\.0\.1|localhost))(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~%+-]*)*",
)
_FILE_NAME = _of("the name of a file, without a folder", 100, r"[A-Za-z0-9][A-Za-z0-9._-]*")
_HEADER = _of("the name of a header: letters, digits and -, a letter first", 64, r"[A-Za-z][A-Za-z0-9-]*")
_DIGITS = _of("64 hexadecimal digits", 64, r"[0-9a-f]{64}")
_DIGITS_OR_NOTHING = _of(_DIGITS.words, 64, r"[0-9a-f]{64}", or_empty=True)
_CARD = _of("32 hexadecimal digits", 32, r"[0-9a-f]{32}")
_LONG_DIGITS = _of("hexadecimal digits", 512, r"[0-9a-f]+", or_empty=True)

_TABLE: tuple[tuple[str, TextKind], ...] = (
    # The plan
    ("StudyPlan.study, Study.name, StudyHead.name", NAME),
    ("StudyPlan.roster", NAME),
    ("StudyPlan.schema_hash", _LABEL),
    ("StudyPlan.coordinator_public_key, StudyPlan.bundle_sha256", _DIGITS_OR_NOTHING),
    ("StudyPlan.released, ConsortiumTerms.released", _SENTENCE),
    ("ReleasedModel.plan_hash, ReleasedModel.sha256, ReleasedModel.coordinator_public_key", _DIGITS),
    ("ReleasedModel.signature", _of("128 hexadecimal digits", 128, r"[0-9a-f]{128}")),
    ("ModelSpec.endpoints", _LABEL),
    ("TargetTrial.treatment, TargetTrial.options, TargetTrial.outcomes, TargetTrial.adjust_for", _LABEL),
    ("TargetTrial.required, TargetTrial.modifiers, TargetTrial.negative_outcome", _LABEL),
    ("TargetTrial.eligible, Benchmark.eligible", _LABEL),
    ("TargetTrial.time_zero, Benchmark.source", _SENTENCE),
    ("TimeGrid.unit, PrivacySpec.relation", _SUMMARY),
    ("SummarySpec.name, Comparator.name, ComparatorSection.name, Layer.name, Study.assays", _SUMMARY),
    ("Member.site, EnrolmentRequest.site, Acceptance.site, SiteSettings.name, Peer.name", _SITE),
    ("Member.node_public_key", TextKind("a key on one line", 400, or_empty=True)),
    ("Member.answer_public_key", _DIGITS_OR_NOTHING),
    ("StudyDocument.schema_toml, Consortium.schema_toml", BLOCK),
    # The schema
    ("StudySchema.name, StudySchema.patient_id, StudySchema.site_column, StudySchema.tumour_entity", _LABEL),
    ("Marker.name, Marker.categories, ComparatorSection.markers, EvaluationSpec.subgroups, DataSpec.endpoints", _LABEL),
    ("AssaySection.markers", _LABEL),
    ("Marker.unit, Marker.reference_category, Marker.missing_codes", _LABEL_OR_NOTHING),
    ("Marker.label_de, Marker.category_labels_de, Endpoint.label_de", _LABEL_OR_NOTHING),
    ("Marker.expected_source", TextKind(_SENTENCE.words, _SENTENCE.most, or_empty=True)),
    ("Endpoint.name, Endpoint.time_column, Endpoint.event_column", _LABEL),
    ("Endpoint.entry_column, Endpoint.death_event_column, Endpoint.competes_with", _LABEL),
    # What is exchanged before the first connection
    ("EnrolmentRequest.node_public_key", TextKind("a key on one line", 400)),
    ("EnrolmentRequest.answer_public_key", _DIGITS),
    ("EnrolmentRequest.proof", _LONG_DIGITS),
    ("Acceptance.coordinator_address", _ADDRESS),
    ("Acceptance.ca_certificate", BLOCK),
    ("Acceptance.coordinator_public_key", _DIGITS),
    ("Acceptance.request_fingerprint", _LABEL),
    ("Acceptance.signature", _LONG_DIGITS),
    # Settings of an installation
    ("SiteSettings.runtime, Coordinator.address", _ADDRESS),
    ("Coordinator.former_public_keys, Coordinator.public_key", _DIGITS),
    ("NodeUsers.guard, NodeUsers.node, NodeUsers.relay", _LABEL),
    ("LaunchSection.issuer, LaunchSection.authorize, LaunchSection.token", _WEB),
    ("LaunchSection.client, LaunchSection.system, LaunchSection.scope", _LABEL),
    ("LaunchSection.patients", _FILE_NAME),
    ("LaunchSection.certificates", LINE),
    ("SignOnSection.header", _HEADER),
    ("SignOnSection.sign_out", _WEB),
    ("CoordinatorSettings.name, CoordinatorSettings.names", _LABEL),
    ("CoordinatorSettings.address, CoordinatorSettings.listen", _ADDRESS),
    ("SourceSpec.name, SitePolicy.data_source", _SOURCE),
    ("SourcePolicy.same_patients_as, SourcePolicy.counted_with, SourcePolicy.epsilon_of", _SOURCE),
    ("Peer.card, SitePolicy.verified_cards", _CARD),
    ("SourceSpec.statement, Source.statement", BLOCK),
    ("SourceSpec.url_variable, Source.url_variable", _VARIABLE),
    ("SitePolicy.allowed_plans, NodePolicy.allowed_plans, NodePolicy.plans_with_lost_answers", _DIGITS),
    # How a hospital's own tables are read
    ("MappingHead.patients, MappingHead.site, MappingHead.site_column, MappingHead.site_source", _LABEL),
    ("MappingHead.missing, Source.missing, MappedMarker.missing", _LABEL),
    ("MappingHead.time_zone, Source.time_zone", _LABEL),
    ("Source.name, Source.patient, Source.date, Source.date_format, Source.code, Source.value, Source.unit", _LABEL),
    ("Source.comment, Source.file, Source.keep, Source.whole, Source.silent, Source.system, Source.identifier", _LABEL),
    ("Source.database_schema, Source.sheet, Source.unit_words", _LABEL),
    ("TimeZero.column, TimeZero.source", _LABEL),
    ("MappedOutcome.name, MappedOutcome.source, MappedOutcome.event, MappedOutcome.yes, MappedOutcome.no", _LABEL),
    ("MappedOutcome.time, MappedOutcome.event_time, MappedOutcome.last_time, MappedOutcome.event_date", _LABEL),
    ("MappedOutcome.last_contact, MappedOutcome.entry, MappedOutcome.entry_date, MappedOutcome.data_cut", _LABEL),
    ("MappedOutcome.death, MappedOutcome.death_yes, MappedOutcome.death_no, MappedOutcome.contacts", _LABEL),
    ("MappedMarker.names, MappedMarker.name, MappedMarker.source, MappedMarker.column, MappedMarker.suffix", _LABEL),
    ("MappedMarker.codes, MappedMarker.analyte, MappedMarker.unit, MappedMarker.upper_limit_column", _LABEL),
    ("MappedMarker.words, MappedMarker.without_row, MappedMarker.may_be_absent, Source.servers", _LABEL),
    # The study file
    ("PlanSettings.left_open", _LABEL),
    ("Study.title, StudyHead.title", TextKind(_SENTENCE.words, _SENTENCE.most, or_empty=True)),
    ("Study.explain_site, StudyHead.explain_site", NAME),
    ("SitesSpec.assignment_patient_id, SitesSpec.assignment_column", _LABEL_OR_NOTHING),
    ("TargetTrialSection.treatment, TargetTrialSection.first, TargetTrialSection.second", _LABEL),
    ("TargetTrialSection.time_zero, BenchmarkSection.source", _SENTENCE),
    ("TargetTrialSection.eligible, BenchmarkSection.eligible", _LABEL),
    ("TargetTrialSection.outcomes, TargetTrialSection.adjust_for, TargetTrialSection.required", _LABEL),
    ("TargetTrialSection.modifiers, TargetTrialSection.negative_outcome", _LABEL),
    ("SitesSpec.site_pattern, SitesSpec.test_pattern", TextKind(LINE.words, LINE.most, or_empty=True)),
    ("Reporting.abstract, Reporting.background, Reporting.intended_use, Reporting.users", _PARAGRAPHS),
    ("Reporting.inequalities, Reporting.objectives, Reporting.data_sources, Reporting.dates", _PARAGRAPHS),
    ("Reporting.setting, Reporting.eligibility, Reporting.treatments, Reporting.data_preparation", _PARAGRAPHS),
    ("Reporting.outcome, Reporting.outcome_assessors, Reporting.outcome_blinding", _PARAGRAPHS),
    ("Reporting.predictor_choice, Reporting.predictor_measurement, Reporting.predictor_assessors", _PARAGRAPHS),
    ("Reporting.sample_size, Reporting.fairness, Reporting.comparison, Reporting.ethics", _PARAGRAPHS),
    ("Reporting.consent, Reporting.funding, Reporting.conflicts, Reporting.protocol", _PARAGRAPHS),
    ("Reporting.registration, Reporting.data_availability, Reporting.code_availability", _PARAGRAPHS),
    ("Reporting.patient_involvement, Reporting.interpretation, Reporting.limitations", _PARAGRAPHS),
    ("Reporting.input_quality, Reporting.expertise, Reporting.next_steps, Reporting.developer", _PARAGRAPHS),
    ("Reporting.contact, Reporting.release_stage, Reporting.release_date, Reporting.availability", _PARAGRAPHS),
    ("Reporting.regulatory_approval, Reporting.out_of_scope, Reporting.known_biases", _PARAGRAPHS),
    ("Reporting.clinical_risk_level, Reporting.maintenance, Reporting.stakeholders", _PARAGRAPHS),
    ("Reporting.publications", _PARAGRAPHS),
)

TEXTS: Mapping[str, TextKind] = {name: kind for names, kind in _TABLE for name in names.split(", ")}
"""By class and field; of a list, each of its texts."""


def text_of(owner: type, field: str) -> TextKind:
    return TEXTS[f"{owner.__name__}.{field}"]


def text_faults(record: object, *, where: str) -> list[Fault]:
    """The texts of a record (a dataclass), lists and parts included, that are not of their kind.

    Raises KeyError for one without a kind: that is our mistake, and a contract test finds it first.
    """
    return [
        Fault(f"{where}: {place}", wrong, TEXTS[name].remedy)
        for place, name, text in _texts_in(record, "")
        if (wrong := TEXTS[name].fault(text)) is not None
    ]


def _texts_in(record: object, where: str) -> Iterator[tuple[str, str, str]]:
    assert is_dataclass(record)
    for each in fields(record):
        yield from _texts_of(f"{type(record).__name__}.{each.name}", getattr(record, each.name), f"{where}{each.name}")


def _texts_of(name: str, value: object, where: str) -> Iterator[tuple[str, str, str]]:
    if is_dataclass(value):
        yield from _texts_in(value, f"{where}.")
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from _texts_of(name, each, f"{where}.{key}")
    elif isinstance(value, tuple):
        for place, each in enumerate(value):
            yield from _texts_of(name, each, f"{where}[{place}]")
    elif isinstance(value, str) and not isinstance(value, Enum):  # a choice is one of our own words
        yield where, name, value


# --- what is shown

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def shown(text: str) -> str:
    """For eyes: lines stay lines, and what cannot be printed is spelt out, such as \\x1b."""
    if text.replace("\n", "").isprintable():
        return text
    return "".join(each if each.isprintable() or each == "\n" else _spelt(each) for each in text)


def one_line(text: str) -> str:
    """The same on one line: for what comes from a file or another program and could otherwise look like ours."""
    return " ".join(shown(_COLOURS.sub("", text)).split("\n"))


def _spelt(each: str) -> str:
    if each == "\t" or unicodedata.category(each) == "Zs":
        return " "
    return each.encode("unicode_escape", "backslashreplace").decode("ascii")


def spreadsheet_table(table: pd.DataFrame) -> pd.DataFrame:
    """Each text of it as a `spreadsheet_cell`, headings too."""

    def harmless(value: object) -> object:
        return spreadsheet_cell(value) if isinstance(value, str) else value

    found: pd.DataFrame = table.rename(columns=harmless).apply(
        lambda column: column if column.dtype.kind in "biuf" else column.map(harmless)
    )
    return found


def spreadsheet_cell(text: str) -> str:
    """For a CSV file: with an apostrophe wherever a spreadsheet would begin to read a formula.

    That is at its start, and after a semicolon: in many countries that separates cells, whatever the file says.
    """
    return _FORMULA.sub(r"\1'\2", one_line(text))


_FORMULA = re.compile(r"""(^\s*|[;|]["'\s]*)([=+\-@\uff1d\uff0b\uff0d\uff20])""")


class Plain(io.TextIOBase):
    """A stream for eyes: whatever is written to it is `shown`, in an encoding that never fails.

    beneath  the stream that it stands before; only what draws with control sequences itself may write to it. There is
             no `buffer`, so that nobody writes bytes past it.
    """

    def __init__(self, beneath: TextIO) -> None:
        self.beneath = beneath

    def write(self, text: str, /) -> int:
        if not isinstance(text, str):
            raise TypeError("a text is needed")
        encoding = self.beneath.encoding or "utf-8"
        self.beneath.write(shown(text).encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    @property
    def encoding(self) -> str:  # type: ignore[override]  # the base class has a plain attribute
        return self.beneath.encoding or "utf-8"

    @property
    def errors(self) -> str:  # type: ignore[override]  # as above
        return "backslashreplace"

    def flush(self) -> None:
        self.beneath.flush()

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self.beneath.isatty()

    def fileno(self) -> int:
        return self.beneath.fileno()


@contextmanager
def plain_output() -> Iterator[None]:
    """While inside, standard output and error are `Plain`."""
    with redirect_stdout(Plain(sys.stdout)), redirect_stderr(Plain(sys.stderr)):
        yield


def drawn_on_error() -> TextIO:
    """Standard error for what draws with control sequences itself, such as a progress bar of our own words."""
    return sys.stderr.beneath if isinstance(sys.stderr, Plain) else sys.stderr


class LogLines(logging.Formatter):
    """A message is one line; a traceback has its own."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's name
        return one_line(super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        return shown(super().format(record))


def terminal_columns() -> int:
    """Of the terminal that a command speaks to; of a page that shows what it said, most likely, where it has none."""
    return shutil.get_terminal_size((80, 24)).columns
