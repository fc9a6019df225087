"""Which plans did a person of this hospital approve, for which patients, and which did they decline?

An approval is one file, ``<plan hash>.json``: the plan, the data source, the hash of the cohort as it was then, who and
when. The patients are frozen with it (`frozen_patients`): until somebody approves again, or declines, every answer is
made from them, whatever becomes of the table. Whether there are too few or too many of them is decided here, by a
person, and never again: a refusal at a request would tell the coordinator of the table.

The audit log tells of each decision before it is in force, and which one is the last (`decisions`): a file that was put
back from an older copy is in force no longer, a plan that was declined stays so, and of a file that is lost or damaged
the log still knows the source, the split and the masking key. Whether a plan may be approved, and with which masking
key, is decided by `guard.trust`; this module adds files, and a lock.

Promises: `approve` looks at everything the policy says, and at what the ledger has already spent, and tells every
objection at once. Whatever fails, and at whatever instant a kill comes, a decision stands with the patients it names:
the one before or the new one; patients that no decision names are removed by the next decision, or when the guard
starts. The file of approved bundles, which the hospital's SuperNode obeys, holds those of approved plans and
no others. Refused: a table with faults, fewer patients than the policy's smallest cohort or more than the plan's
promise holds for, a plan of another schema or without this hospital, and another data source for a plan that already
has one: its requests would be answered twice. Torch-free.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from oncofed.client.guard import trust
from oncofed.client.guard.policy_file import NodePolicy, SourcePolicy
from oncofed.client.guard.trust import Reason, Standing, Untrusted
from oncofed.client.patients.held_out_split import parted, split_name, split_secret
from oncofed.client.patients.sources import file_digest, read_source_cohort
from oncofed.client.records import objections
from oncofed.client.records.approved_bundles import write_bundles
from oncofed.client.records.audit_log import AuditLog
from oncofed.client.records.decisions import (
    LARGEST_APPROVAL,
    Approval,
    Decision,
    ToldDecisions,
    approval_in,
    content_of,
    undecided,
)
from oncofed.client.records.frozen_patients import freeze, frozen_file, thaw
from oncofed.client.records.patients_mark import file_mark, outcome_marks, patients_mark
from oncofed.client.records.plan_keys import PlanKeys
from oncofed.cohort.schema import StudySchema
from oncofed.durable import replace_durably, sync_folder, unwritable
from oncofed.errors import PrivacyRefusal, RecordDamaged, RecordFailure
from oncofed.plain_file import OtherKind, plain_bytes
from oncofed.privacy.ledger import Ledger
from oncofed.privacy.masking import new_masking_key, public_masking_key_of
from oncofed.protocol.messages import PlanState
from oncofed.protocol.plan import StudyPlan
from oncofed.turns import in_turn

_PLAN_HASH = re.compile(r"[0-9a-f]{64}")
_FOLDER_MODE = 0o700
_LOOKS = 3
"""A decision that is written between two looks is found by the next."""
_WORD_BYTES = 16
STATES = {Decision.APPROVED: PlanState.APPROVED, Decision.DECLINED: PlanState.DECLINED}
_DECISIONS = {state: decision for decision, state in STATES.items()}

Trial = Callable[[Path, str], None]
"""Is given the file of frozen patients and its SHA-256. Raises PrivacyRefusal where answers would not do."""


def no_trial(file: Path, sha256: str) -> None:
    """The null trial."""


@dataclass(frozen=True)
class Approvals:
    """The decisions of one hospital.

    folder        ``approvals/``.
    bundles_file  the SHA-256 of each approved plan's bundle, one a line.
    audit         where each decision is told.
    held_out_secret  made when a study that sets patients aside is first approved.
    patients      where approved patients are frozen, ``patients/``.
    masking       the masking keys of approved plans.
    """

    folder: Path
    bundles_file: Path
    audit: AuditLog
    held_out_secret: Path
    patients: Path
    masking: PlanKeys

    def patients_file(self, approval: Approval) -> Path:
        """Where the patients of an approval are frozen."""
        return frozen_file(self.patients, plan_hash=approval.plan_hash, sha256=approval.patients_sha256)

    def find(self, plan_hash: str) -> Approval | None:
        """The decision that is in force, None without one. Raises RecordDamaged where the last one is lost."""
        if not _PLAN_HASH.fullmatch(plan_hash):  # it may come from outside, and becomes the name of a file
            return None
        for _ in range(_LOOKS):
            told = self._told.by_plan().get(plan_hash)
            if told is None and not os.path.lexists(self._path(plan_hash)):
                return None
            written = (self._read(self._next(plan_hash)), self._read(self._path(plan_hash)))
            for decided in written:
                if decided is not None and told is not None and told.is_of(decided):
                    return decided
        if told is not None and told.decision is Decision.DECLINED:
            return told.as_declined(plan_hash, written[1])
        raise RecordDamaged(
            f"{plan_hash}.json in {self.folder} is lost, damaged, or older than the last decision that the audit log "
            "tells of, so the plan is not answered. Put no copy back: approve or decline again. What may not be "
            "forgotten of it stands in the audit log."
        )

    def all(self) -> tuple[Approval, ...]:
        """Every decision that is in force, by plan hash. One that is lost is in force no longer."""
        found = []
        for name in self._decided_on():
            with suppress(RecordDamaged):
                found.append(self.find(name))
        return tuple(approval for approval in found if approval is not None)

    def not_declined(self) -> tuple[str, ...]:
        """The plans that somebody may decline: approved, or decided in a way that is lost. No document is asked for."""
        found = []
        for name in self._decided_on():
            with suppress(RecordDamaged):
                decided = self.find(name)
                if decided is None or decided.decision is not Decision.APPROVED:
                    continue
            found.append(name)
        return tuple(found)

    def _decided_on(self) -> list[str]:
        with unwritable(self.folder):
            return sorted({path.stem for path in self.folder.glob("*.json")} | self._told.by_plan().keys())

    def disagreements(self) -> tuple[str, ...]:
        """Where a file is not the last decision that the audit log tells of, in words."""
        with unwritable(self.folder):
            names = sorted(path.stem for path in self.folder.glob("*.json"))
        found = []
        for name in names:
            try:
                if self.find(name) not in (self._read(self._path(name)), self._read(self._next(name))):
                    found.append(
                        f"{name}.json in {self.folder} is an older copy: the audit log tells of a later decision, "
                        "which stays in force. Decline the plan again"
                    )
            except RecordDamaged as damaged:
                found.append(str(damaged))
        return tuple(found)

    def approve(
        self,
        plan: StudyPlan,
        schema: StudySchema,
        *,
        site: str,
        policy: NodePolicy,
        source: SourcePolicy,
        ledger: Ledger,
        approved_by: str,
        now: datetime,
        trial: Trial = no_trial,
        still_wanted: Callable[[], None] = lambda: None,
    ) -> Approval:
        """Approve a plan for the patients that the source holds now, and freeze them.

        ledger        of that source.
        trial         of the frozen patients, before the approval is in force.
        still_wanted  asked last, when nobody else can decide or write into the audit log any more; what it raises keeps
                      it from being approved.

        Raises PrivacyRefusal with all objections (the trial's apart), InvalidInput with all faults; none is approved.
        """
        self._allowed(plan, schema, site=site, policy=policy, source=source, ledger=ledger)
        digest = file_digest(source.source)
        cohort = read_source_cohort(source.source, schema)
        objections.refuse_number(cohort, plan, policy)
        with self._one_at_a_time():
            # Once more: since then another person may have decided, or the plan's model come and its key gone.
            standing, first_key, secret = self._allowed(
                plan, schema, site=site, policy=policy, source=source, ledger=ledger
            )
            objections.refuse_copy(cohort, digest, source, self.all())
            trained_on, held_out = parted(cohort, plan, site=site, secret=secret, data_source=source.name)
            if first_key is not None:
                self.masking.keep_own(plan.hash, first_key)
            approval = Approval(
                plan_hash=plan.hash,
                decision=_DECISIONS[standing.state],
                data_source=source.name,
                cohort_hash=cohort.content_hash,
                bundle_sha256=plan.bundle_sha256,
                decided_by=approved_by,
                decided_at=_told_time(now),
                split=_split_of(secret),
                # First, and beside the file of the approval before, which is in force until this one is told.
                patients_sha256=freeze(self.patients, plan_hash=plan.hash, trained_on=trained_on, held_out=held_out),
                masking_key=standing.masking_key,
                told_as=secrets.token_hex(_WORD_BYTES),
                patients_mark=patients_mark(cohort.patient_ids),
                outcome_marks=outcome_marks(cohort),
                file_mark=file_mark(digest),
            )
            trial(self.patients_file(approval), approval.patients_sha256)
            still_wanted()
            self._write(approval, unless=still_wanted)
        return approval

    def _allowed(
        self,
        plan: StudyPlan,
        schema: StudySchema,
        *,
        site: str,
        policy: NodePolicy,
        source: SourcePolicy,
        ledger: Ledger,
    ) -> tuple[Standing, bytes | None, bytes]:
        """The plan, approved; a fresh masking key where it gets its first one; by what patients are set aside.

        Whatever stands against it before a table is read. Raises PrivacyRefusal.
        """
        before = self._remembered(plan.hash)
        objections.refuse_another_source(before, source)
        standing, fresh = self._trusted(plan, source, before, site=site)
        secret = split_secret(self.held_out_secret) if plan.held_out_fraction else b""
        against = [
            *objections.of_the_plan(plan, schema, site=site),
            *objections.of_the_model(plan, source, ledger, self.all()),
            *objections.of_the_ledger(plan, source, ledger),
            *objections.of_decisions(
                plan, policy, before, split=_split_of(secret), split_file=self.held_out_secret.name
            ),
        ]
        if against:
            raise PrivacyRefusal("this plan cannot be approved: " + "; ".join(against))
        return standing, fresh, secret

    def decline(
        self, plan_hash: str, *, declined_by: str, now: datetime, reason: str = "", seconds: float | None = None
    ) -> Approval:
        """Decline a plan, or withdraw its approval: its requests are refused from now on, and nobody stays frozen.

        Its document may be lost. reason: a word of ours for the audit log (`wishes.Reason`). seconds: as of `held`.
        """
        with self._one_at_a_time(seconds=seconds):
            before = self._remembered(plan_hash) or undecided(plan_hash)  # with its source: it comes back on no other
            declined = before.declined(by=declined_by, at=_told_time(now), told_as=secrets.token_hex(_WORD_BYTES))
            self._write(declined, code=reason)
        return declined

    def _trusted(
        self, plan: StudyPlan, source: SourcePolicy, before: Approval | None, *, site: str
    ) -> tuple[Standing, bytes | None]:
        fresh = None
        held = self.masking.held(plan.hash) if plan.needs_masking_keys else ""
        if plan.needs_masking_keys and not held and (before is None or not before.masking_key):
            fresh = new_masking_key()
            held = public_masking_key_of(fresh).hex()
        try:
            standing = trust.approved(
                _standing(plan, before), plan_hash=plan.hash, policy=source.site_policy, site=site, key_held=held
            )
        except Untrusted as refusal:
            of_the_policy = refusal.reason is Reason.AGAINST_THE_POLICY
            raise PrivacyRefusal(
                refusal.told if of_the_policy else f"this plan cannot be approved: {refusal.told}"
            ) from None
        return standing, fresh

    def _remembered(self, plan_hash: str) -> Approval | None:
        """What earlier decisions about a plan said, whatever became of their files. Raises RecordDamaged."""
        told, written = self._told.by_plan().get(plan_hash), self._read(self._path(plan_hash))
        if told is not None and told.told_as:
            return told.as_declined(plan_hash, written)
        if written is None and (told is not None or self._path(plan_hash).exists()):
            raise RecordDamaged(
                f"{plan_hash}.json in {self.folder}, a decision of an earlier version, is lost or damaged, and nobody "
                "knows any more for which data source it was. Put it back from any backup, or ask the coordinator for "
                "a new plan."
            )
        return written

    def tidy(self, *, seconds: float | None = None) -> None:
        """Remove patients and keys that no decision names: a kill left them. Raises RecordUnwritable."""
        with self._one_at_a_time(seconds=seconds):
            pass

    @contextmanager
    def held(self, *, seconds: float | None = None) -> Iterator[None]:
        """While inside nobody decides, so that decisions and patients can be copied. Nothing is made or removed.

        seconds  how long to wait for another one; None: as long as it takes. Raises RecordUnwritable.
        """
        # While it waits a restore may put another folder here.
        with in_turn(self.patients, opened=self._opened, seconds=seconds):
            yield

    def _opened(self) -> int:
        with unwritable(self.patients):
            return os.open(self.patients, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)

    @contextmanager
    def _one_at_a_time(self, *, seconds: float | None = None) -> Iterator[None]:
        """Until the end nobody else decides or tidies. Then, and when it fails, patients that nobody names are gone."""
        with unwritable(self.patients):
            self.patients.mkdir(mode=_FOLDER_MODE, exist_ok=True)
        with self.held(seconds=seconds):
            try:
                yield
            finally:
                thaw(self.patients, unless=self._is_named)
                self.masking.tidy(unless=self._needs_key)
                self._settle()

    def _is_named(self, file: Path) -> bool:
        """Or may be: of a decision that cannot be read nothing is removed."""
        try:
            decided = self.find(file.name.partition(".")[0])
        except RecordFailure:
            return True
        return decided is not None and file == self.patients_file(decided)

    def _needs_key(self, plan_hash: str) -> bool:
        """Likewise."""
        try:
            decided = self.find(plan_hash)
        except RecordFailure:
            return True
        return decided is not None and decided.decision is Decision.APPROVED and bool(decided.masking_key)

    def _path(self, plan_hash: str) -> Path:
        return self.folder / f"{plan_hash}.json"

    def _next(self, plan_hash: str) -> Path:
        """Where a decision waits until it is told."""
        return self.folder / f"{plan_hash}.next"

    def _read(self, path: Path) -> Approval | None:
        """None where there is no decision about the plan of this name."""
        with unwritable(path), suppress(FileNotFoundError, OtherKind):  # or it has its other name, just now
            return approval_in(plain_bytes(path, most=LARGEST_APPROVAL), path.stem)
        return None

    @cached_property
    def _told(self) -> ToldDecisions:
        return ToldDecisions(self.audit.path)

    def _write(self, approval: Approval, *, code: str = "", unless: Callable[[], None] = lambda: None) -> None:
        """It is in force from when it is told: a kill before leaves the old one, a kill afterwards the new one."""
        with unwritable(self.folder):
            self.folder.mkdir(mode=_FOLDER_MODE, exist_ok=True)
        if approval.decision is Decision.DECLINED:
            # The code may no longer run before anybody learns that the plan was declined.
            write_bundles(self.bundles_file, [one for one in self.all() if one.plan_hash != approval.plan_hash])
        waiting = self._next(approval.plan_hash)
        replace_durably(waiting, content_of(approval))
        event, by, facts = approval.decision.value, approval.decided_by, approval.facts
        self.audit.append(event, plan_hash=approval.plan_hash, by=by, code=code, facts=facts, unless=unless)
        with unwritable(self.folder):
            waiting.replace(self._path(approval.plan_hash))
            sync_folder(self.folder)

    def _settle(self) -> None:
        """Finish what a kill left after a decision was told; the bundles are those of approved plans."""
        with unwritable(self.folder):
            for waiting in sorted(self.folder.glob("*.next")):
                decided = self._read(waiting)
                with suppress(RecordDamaged):  # nothing of this plan is in force, and decisions about others are
                    if decided is not None and decided == self.find(waiting.stem):
                        waiting.replace(self._path(waiting.stem))
                    waiting.unlink(missing_ok=True)
        write_bundles(self.bundles_file, self.all())


def _told_time(now: datetime) -> str:
    return now.astimezone(UTC).isoformat(timespec="seconds")


def _split_of(secret: bytes) -> str:
    return split_name(secret) if secret else ""


def _standing(plan: StudyPlan, before: Approval | None) -> Standing:
    """Where the hospital stands with a plan, by what it decided."""
    if before is None:
        return Standing(plan)
    state, key = STATES[before.decision], before.masking_key
    return trust.decided(Standing(plan), plan_hash=before.plan_hash, state=state, masking_key=key)
