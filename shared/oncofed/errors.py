"""What can go wrong, as one small tree. Who catches what: the command line catches `OncofedError`.

OncofedError
├── InvalidInput          a table, schema, study or setting is wrong; carries every fault at once
├── PrivacyRefusal        something was asked that the guarantee or the hospital's policy forbids
│   ├── BudgetExceeded    the ledger cannot pay for it
│   ├── UnaccountedEvent  the accountant cannot bound it, so it is never assumed to be free
│   └── SignatureInvalid  a document is not signed by whom it must be
├── RecordFailure         a record (ledger, audit log, answers, approvals; checkpoint, plan, model) cannot be relied on
│   ├── RecordDamaged     it was changed, shortened or reordered, or is no record of this program
│   └── RecordUnwritable  the disk is full, locked or failing; what it should record is not recorded
├── EntropyFailure        the operating system gives no random numbers, so there is no noise and nothing leaves
├── RequestRefused        a guard refuses a message; carries a code from a fixed list, never a text about data
└── FederationFailure     a round cannot finish
    ├── QuorumLost        fewer hospitals answered than the plan demands
    └── CheckpointDamaged a checkpoint is missing, torn or of another study

No message names a patient or a cell value: messages travel further than data may.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

_LONGEST_PLACE = 400
"""Characters; a file, a section, a marker of 200 and a field fit."""
_MOST_LISTED = 1_000
"""Faults in one message; `InvalidInput.faults` holds all."""


class OncofedError(Exception):
    """Root of the tree."""


@dataclass(frozen=True, order=True)
class Fault:
    """One thing wrong with an input.

    where   file, section, column or field, e.g. ``patients.csv: column "age_years"``
    what    the fault in words, without any cell value
    remedy  what the reader can do about it
    count   number of rows concerned, or None where rows do not apply. Shown locally only.
    """

    where: str
    what: str
    remedy: str
    count: int | None = None

    @property
    def place(self) -> str:
        """`where` as it may be shown: on one line and not longer than a name needs.

        Names of files, of fields and of markers are other people's, and each may be as long as a file.
        """
        line = " ".join(self.where.splitlines())
        return line if len(line) <= _LONGEST_PLACE else f"{line[: _LONGEST_PLACE - 60]} ... {line[-50:]}"

    def __str__(self) -> str:
        rows = "" if self.count is None else f" ({self.count} row{'s' if self.count != 1 else ''})"
        return f"{self.place}: {' '.join(self.what.splitlines())}{rows}. {' '.join(self.remedy.splitlines())}"


class InvalidInput(OncofedError):
    """An input has one or more faults; all of them are listed together."""

    def __init__(self, faults: tuple[Fault, ...] | list[Fault]) -> None:
        self.faults = tuple(faults)
        heading = f"{len(self.faults)} fault{'s' if len(self.faults) != 1 else ''}"
        listed = [f"  - {fault}" for fault in self.faults[:_MOST_LISTED]]
        more = len(self.faults) - len(listed)
        super().__init__("\n".join([heading, *listed, *([f"  - and {more:,} more"] if more else [])]))


class PrivacyRefusal(OncofedError):
    """The guarantee, or the hospital's policy, forbids what was asked."""


class BudgetExceeded(PrivacyRefusal):
    """The ledger of a data source cannot pay for the release."""


class UnaccountedEvent(PrivacyRefusal):
    """No proven bound is known for this kind of release."""


class SignatureInvalid(PrivacyRefusal):
    """A document was changed, or signed by another key than the pinned one."""


class EntropyFailure(OncofedError):
    """The operating system's random numbers cannot be random, so no noise can be drawn and nothing may leave."""


class RecordFailure(OncofedError):
    """A record on the disk cannot be relied on; the message says which, and the remedy."""


class RecordDamaged(RecordFailure):
    """A record was changed, shortened or reordered, or is no record of this program."""


class RecordUnwritable(RecordFailure):
    """A record cannot be written or read now. What it should have recorded has not happened."""


class RefusalCode(StrEnum):
    """Everything a guard ever says about a refusal. Fixed strings, so nothing of a patient can ride along."""

    WRONG_PLAN = "wrong_plan"
    WRONG_SITE = "wrong_site"
    ROUND_OUT_OF_RANGE = "round_out_of_range"
    REQUEST_CONFLICT = "request_conflict"
    NOT_APPROVED = "not_approved"
    NOT_READY = "not_ready"
    MALFORMED_WEIGHTS = "malformed_weights"
    BUDGET_EXCEEDED = "budget_exceeded"
    INTERNAL = "internal"
    NOT_SIGNED = "not_signed"
    WRONG_KEYS = "wrong_keys"


class RequestRefused(OncofedError):
    """A guard refuses a message from the coordinator."""

    def __init__(self, code: RefusalCode) -> None:
        self.code = code
        super().__init__(code.value)


class FederationFailure(OncofedError):
    """A round cannot finish."""


class QuorumLost(FederationFailure):
    """Fewer hospitals answered than the plan's quorum.

    answered                the hospitals that were admitted.
    charged_without_answer  those that were charged for this attempt and have lost their answer: asking them the same
                            again cannot help, a new attempt can.
    """

    def __init__(
        self, message: str, *, charged_without_answer: frozenset[str] = frozenset(), answered: tuple[str, ...] = ()
    ) -> None:
        self.answered = answered
        self.charged_without_answer = charged_without_answer
        super().__init__(message)


class CheckpointDamaged(FederationFailure):
    """A checkpoint is missing, torn, or belongs to another study."""
