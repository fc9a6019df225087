"""What is wrong with this node, and what mends it?

Each check answers one question about the machine and gives a finding: fine, a warning (it works, but not as in a
hospital's daily use), or a fault (it will not work, or is not safe), with the remedy. A check that itself fails is a
fault, never an end. Of the tables, which are read to compare them, nothing is told.

Run it as root for the whole picture: another user cannot look into all folders, and then the findings say so.
"""

from __future__ import annotations

import hashlib
import pwd
import shutil
import stat
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from oncofed.client.guard.policy_file import read_policy, shared_in_words
from oncofed.client.guard.token import read_digits
from oncofed.client.install.backup_file import too_large
from oncofed.client.install.enrolment import own_request
from oncofed.client.install.findings import Finding, Verdict
from oncofed.client.install.folder import NodeFolder, SiteSettings, listed_bundles, read_site
from oncofed.client.install.halves import secrets_fit, tokens_fit
from oncofed.client.install.inbox import approvals_of
from oncofed.client.install.network_checks import coordinator_findings, port_findings
from oncofed.client.install.patient_checks import patient_findings
from oncofed.client.install.rights import places, refuse_other_kinds, wrong_files
from oncofed.client.patients.sources import SourceKind
from oncofed.client.records.agreement import forgotten_since_the_last_answer, refuse_disagreement
from oncofed.client.records.audit_entries import verify_audit_log
from oncofed.client.records.audit_files import copies_beside
from oncofed.client.records.closed_log import verify_closing
from oncofed.client.records.source_memory import refuse_fresh_budgets
from oncofed.client.records.sqlite_ledger import verify_ledger
from oncofed.client.relay.guard_channel import GuardChannel
from oncofed.errors import InvalidInput, OncofedError, RequestRefused
from oncofed.plain_file import opened
from oncofed.protocol.answer import AnswerRejected, content_of
from oncofed.protocol.answer_times import longest_wait_seconds
from oncofed.protocol.bundle import bundle_sha256
from oncofed.protocol.enrolment import load_node_key, openssh_line
from oncofed.protocol.signing import public_key_of
from oncofed.protocol.wire_form import Method, description_in
from oncofed.running import is_running
from oncofed.secret_files import read_secret, read_signing_key

_GUARD_SECONDS = 60.0
"""It answers at once, but for one at work, and one that holds an answer back so that its time tells nothing."""
_REMEDY_FOR_A_SILENT_GUARD = (
    "Look again once the round is over: starting it anew would lose the round. A plan says how long an answer may take "
    f"(answer_seconds, summary_answer_seconds); after {longest_wait_seconds() / 60:.0f} minutes it hangs, whatever the "
    "plan. Then look at its log, and start it again."
)
_SMALLEST_FREE_BYTES = 1_000_000_000
_GATED = ((3, 11), (3, 12), (3, 13))
_WANTED = {"flwr": "1.42", "opacus": "1.6"}
CHECKS = (
    *("versions", "users", "file rights", "disk", "policy", "keys", "coordinator", "port", "ledger", "audit log"),
    *("records", "parts", "guard", "bundles", "patients"),
)
"""In the order in which faults are best mended."""


def examine(
    folder: NodeFolder, *, now: Callable[[], datetime] = lambda: datetime.now(UTC), without: Collection[str] = ()
) -> tuple[Finding, ...]:
    """All findings, in the order in which they are best mended. without: names of checks that are left out."""
    site = _site(folder)
    if isinstance(site, Finding):
        return (site,)
    checks: tuple[Callable[[], Iterator[Finding]], ...] = (
        _versions,
        lambda: _users(folder, site),
        lambda: _rights(folder, site),
        lambda: _disk(folder),
        lambda: _policy(folder),
        lambda: _keys(folder, site),
        lambda: coordinator_findings(folder, site, now),
        lambda: port_findings(site),
        lambda: _ledger(folder),
        lambda: _audit_log(folder),
        lambda: _records(folder),
        lambda: _parts(folder),
        lambda: _guard(folder),
        lambda: _bundles(folder),
        lambda: patient_findings(folder),
    )
    return tuple(
        finding
        for topic, check in zip(CHECKS, checks, strict=True)
        if topic not in without
        for finding in _examined(topic, check)
    )


def _examined(topic: str, check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from check()
    except PermissionError as error:
        what = f"this user may not look at {error.filename}"
        yield Finding(topic, Verdict.WARNING, what, "Run the doctor as root for this check.")
    except InvalidInput as error:
        for fault in error.faults:
            yield Finding(topic, Verdict.FAULT, f"{fault.place}: {fault.what}", fault.remedy)
    except (OncofedError, OSError) as error:
        yield Finding(topic, Verdict.FAULT, str(error), "See docs/install-hospital.md.")
    except Exception as error:
        what = f"this check itself failed ({type(error).__name__})"
        yield Finding(topic, Verdict.FAULT, what, "Report it to the makers of oncofed; the other findings hold.")


def _site(folder: NodeFolder) -> SiteSettings | Finding:
    try:
        return read_site(folder)
    except InvalidInput as error:
        remedy = (
            "Restore site.toml from any backup. Without one: oncofed site init on this same folder, with the same "
            "--name and --users as at first, and enrol again. Never with another folder: its ledger would be empty."
        )
        return Finding("site.toml", Verdict.FAULT, str(error), remedy)


def _versions() -> Iterator[Finding]:
    found = f"Python {sys.version_info.major}.{sys.version_info.minor}, oncofed {version('oncofed')}"
    if sys.version_info[:2] not in _GATED:
        yield Finding("versions", Verdict.FAULT, found, "Install it under Python 3.11.")
        return
    wrong = []
    for name, wanted in _WANTED.items():
        try:
            installed = version(name)
        except PackageNotFoundError:
            wrong.append(f"{name} is not installed")
            continue
        if not f"{installed}.".startswith(f"{wanted}."):
            wrong.append(f"{name} is {installed}, and was tested with {wanted}")
    for what in wrong:
        yield Finding("versions", Verdict.FAULT, what, "Install from requirements.lock.")
    if not wrong:
        yield Finding("versions", Verdict.FINE, found)


def _users(folder: NodeFolder, site: SiteSettings) -> Iterator[Finding]:
    if site.users is None:
        what = "guard, node and relay run as one user, so the coordinator's program could read the patients"
        yield Finding("users", Verdict.WARNING, what, "For real patients name three users in site.toml: [users].")
        return
    for role in ("guard", "node", "relay"):
        site.users.ids(getattr(site.users, role))
    closed = _closed_to_others(Path(sys.prefix), Path(sys.executable).resolve())
    if closed is not None:
        what = f"the program is installed where its users cannot go: {closed}"
        remedy = "Install it in /opt/oncofed, from a Python that belongs to the system, with umask 022."
        yield Finding("users", Verdict.FAULT, what, remedy)
        return
    yield Finding("users", Verdict.FINE, "guard, node and relay are users of their own")


def _closed_to_others(*paths: Path) -> Path | None:
    """The first of these, or of the folders above them, that not every user may enter or run."""
    found = (above for path in paths for above in (*reversed(path.parents), path))
    return next((path for path in found if not path.stat().st_mode & stat.S_IXOTH), None)


def _rights(folder: NodeFolder, site: SiteSettings) -> Iterator[Finding]:
    remedy = f"oncofed site init {folder.root} --name {site.name}  (as root; it sets all rights again)"
    refuse_other_kinds(folder)
    wrong = 0
    for place in places(folder):
        found = place.path.stat()
        if stat.S_IMODE(found.st_mode) & ~place.mode:
            wrong += 1
            yield Finding("file rights", Verdict.FAULT, f"{place.path} is open to others than it should be", remedy)
        if site.users is not None and found.st_uid != site.users.ids(getattr(site.users, place.owner))[0]:
            wrong += 1
            yield Finding("file rights", Verdict.FAULT, f"{place.path} is not the {place.owner}'s", remedy)
    if stat.S_IMODE(folder.policy.stat().st_mode) & 0o027:
        wrong += 1
        yield Finding("file rights", Verdict.FAULT, f"{folder.policy} is open to others than it should be", remedy)
    for public in (folder.settings, folder.node_public_key, folder.bundles):
        if public.exists() and not public.stat().st_mode & stat.S_IROTH:
            wrong += 1
            yield Finding("file rights", Verdict.FAULT, f"the node's users cannot read {public}", remedy)
    for secret in (folder.token, folder.node_key, folder.node_secret, folder.relay_secret):
        if secret.exists() and stat.S_IMODE(secret.stat().st_mode) & 0o077:
            wrong += 1
            yield Finding("file rights", Verdict.FAULT, f"others may read {secret}", remedy)
    for fault in wrong_files(folder, site.users):
        wrong += 1
        yield Finding("file rights", Verdict.FAULT, f"{fault.place} {fault.what}", fault.remedy)
    if not wrong:
        yield Finding("file rights", Verdict.FINE, "each folder is its user's alone")


def _disk(folder: NodeFolder) -> Iterator[Finding]:
    free = shutil.disk_usage(folder.root).free
    what = f"{free / 1e9:.1f} GB free at {folder.root}"
    if free < _SMALLEST_FREE_BYTES:
        remedy = "Make room: when the ledger cannot be written, no round is answered."
        yield Finding("disk", Verdict.FAULT, what, remedy)
    else:
        yield Finding("disk", Verdict.FINE, what)
    for fault in too_large(folder):
        yield Finding("disk", Verdict.FAULT, f"{fault.place} {fault.what}", fault.remedy)


def _policy(folder: NodeFolder) -> Iterator[Finding]:
    policy = read_policy(folder.policy)
    yield Finding(
        "policy",
        Verdict.FINE,
        f"{len(policy.sources)} data source{'' if len(policy.sources) == 1 else 's'}, no unknown field",
    )
    for source in policy.sources:
        if source.counted_with:
            what = f"{source.name}: epsilon {source.site_policy.largest_epsilon:g}{shared_in_words(source)}"
            yield Finding("policy", Verdict.FINE, what)
    for named in policy.sources:
        # Of a database, the file that holds its address and perhaps a password.
        is_table = named.source.kind is not SourceKind.SQL
        path, key = (named.source.path, "path") if is_table else (named.source.url_file, "url_file")
        if path is None:
            continue
        file = f"the file of data source {named.name}" if is_table else f"the database's address of {named.name}"
        if not path.is_file():
            yield Finding("policy", Verdict.FAULT, f"{file} is not there", f"Check {key} in {folder.policy.name}.")
        elif not is_table and path.stat().st_mode & 0o077:
            what = f"others than its owner may read {file}, so it is not used"
            yield Finding("policy", Verdict.FAULT, what, f"Its owner ({_owner(path)}) is to give {path} mode 400.")
        elif path.stat().st_mode & 0o007:
            what = f"every user of this machine may read or write {file}"
            remedy = f"Its owner ({_owner(path)}) is to give {path} a mode without rights for others, as 640."
            yield Finding("policy", Verdict.WARNING, what, remedy)
    refuse_fresh_budgets(folder, policy)


def _owner(path: Path) -> str:
    """Who mends it: root changes nothing by its name in a folder where another user may lay a link instead."""
    uid = path.stat().st_uid
    with suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return str(uid)


def _keys(folder: NodeFolder, site: SiteSettings) -> Iterator[Finding]:
    for half in (folder.token, folder.token_sha256, folder.node_secret, folder.relay_secret):
        if half.exists():
            opened(half).close()  # else one that this user may not read would seem not to fit
    anew = (
        f"oncofed site init {folder.root} --name {site.name}  (as root; it makes both anew), then start the node "
        "again: systemctl restart oncofed.target"
    )
    if not tokens_fit(folder):
        what = "relay/token is not the one that guard/token.sha256 is of, so the guard answers no question"
        yield Finding("keys", Verdict.FAULT, what, anew)
    if not secrets_fit(folder):
        what = "node/superexec.secret and relay/superexec.secret are not the same, so no question reaches the relay"
        yield Finding("keys", Verdict.FAULT, what, anew)
    if not folder.node_key.exists():
        yield Finding("keys", Verdict.FAULT, "there is no node key yet", f"oncofed site request {folder.root}")
        return
    request = own_request(folder)
    if openssh_line(load_node_key(read_secret(folder.node_key)).public_key()) != request.node_public_key:
        remedy = "Restore node.key from a backup, or enrol anew (remove node/node.key and node/request.json)."
        yield Finding("keys", Verdict.FAULT, "the node key is not the one that was enrolled", remedy)
        return
    if request.site != site.name:
        what = f"the key was enrolled for {request.site}, and site.toml says {site.name}"
        yield Finding("keys", Verdict.FAULT, what, "Restore the name in site.toml.")
        return
    yield Finding("keys", Verdict.FINE, "the node key is the one in the request")


def _ledger(folder: NodeFolder) -> Iterator[Finding]:
    head = verify_ledger(folder.ledger, anchor=None)
    yield Finding("ledger", Verdict.FINE, f"unbroken; head {head}")


def _audit_log(folder: NodeFolder) -> Iterator[Finding]:
    report = verify_audit_log(folder.audit_log)
    if not report.entries:
        yield Finding("audit log", Verdict.FINE, "empty: nobody has asked anything yet")
        return
    yield Finding("audit log", Verdict.FINE, "; ".join(report.lines()))
    if report.closing_unfinished:
        what = "somebody began to close it and was stopped; it is open, and whole"
        yield Finding("audit log", Verdict.WARNING, what, f"oncofed site close-log {folder.root}")
    for copy in sorted(copies_beside(folder.audit_log)):
        what = f"{copy.name} has the name of a closed log and is none: a copy, which nothing goes on from"
        yield Finding("audit log", Verdict.WARNING, what, "Keep copies in another folder.")
    if not report.archives:
        return
    site, own = read_site(folder).name, public_key_of(read_signing_key(folder.answer_key)).hex()
    for archive, head in report.archives:
        if verify_closing(archive, head, site=site) != own:
            what = f"{archive.name} was signed with another key than answer.key is now"
            yield Finding("audit log", Verdict.WARNING, what, "Compare its head with the one that was noted outside.")


def _records(folder: NodeFolder) -> Iterator[Finding]:
    refuse_disagreement(folder)
    wrong = approvals_of(folder).disagreements()
    for what in wrong:
        remedy = f"oncofed site approve or decline {folder.root} with that plan; put no copy back."
        yield Finding("records", Verdict.FAULT, what, remedy)
    told = forgotten_since_the_last_answer(verify_audit_log(folder.audit_log).entries)
    if told is None:
        if wrong:
            return
        yield Finding("records", Verdict.FINE, "ledger, audit log and answers tell of the same releases")
        return
    what = f"at {told.time} the coordinator had answers that the ledger was not charged for; nothing was answered since"
    yield Finding("records", Verdict.FAULT, what, "Put nothing back but as docs/install-hospital.md, section 8, says.")


def _parts(folder: NodeFolder) -> Iterator[Finding]:
    for name, lock in folder.locks.items():
        runs = is_running(lock)
        if runs is None:
            yield Finding("parts", Verdict.WARNING, f"this user cannot tell whether the {name} runs", "Run it as root.")
        elif not runs and name != "guard":  # which is asked itself
            remedy = f"oncofed site start {folder.root}, or systemctl start oncofed-{name}; its log says why it ended"
            yield Finding(name, Verdict.FAULT, "is not running", remedy)
        elif name != "guard":
            yield Finding(name, Verdict.FINE, "runs")


def _guard(folder: NodeFolder) -> Iterator[Finding]:
    if not folder.socket.exists():
        remedy = f"oncofed site start {folder.root}, or systemctl start oncofed-guard; its log says why it ended"
        yield Finding("guard", Verdict.FAULT, "is not running", remedy)
        return
    for secret in (folder.token, folder.answer_key):
        opened(secret).close()  # else one that this user may not read would seem to be none
    signer = public_key_of(read_signing_key(folder.answer_key))
    token = read_digits(folder.token)
    channel = GuardChannel(socket=folder.socket, token=token, answer_seconds=_GUARD_SECONDS, start_seconds=1.0)
    asked_at = time.monotonic()
    try:
        answer, asked = channel.ask(Method.DESCRIBE, b""), hashlib.sha256(b"").digest()
        description_in(content_of(answer, question_sha256=asked, method=Method.DESCRIBE, public_key=signer))
    except RequestRefused as refused:
        if time.monotonic() - asked_at >= _GUARD_SECONDS:
            what = f"has not answered for {_GUARD_SECONDS:g} seconds: it is at work, holds an answer back, or hangs"
            yield Finding("guard", Verdict.WARNING, what, _REMEDY_FOR_A_SILENT_GUARD)
            return
        remedy = "Look at its log; start it again."
        yield Finding("guard", Verdict.FAULT, f"does not answer on its socket ({refused.code})", remedy)
    except AnswerRejected as fault:
        remedy = "Restart it. Its answers must be signed with guard/answer.key, or the coordinator refuses them."
        yield Finding("guard", Verdict.FAULT, str(fault), remedy)
    else:
        yield Finding("guard", Verdict.FINE, "answers on its socket")
    finally:
        channel.close()


def _bundles(folder: NodeFolder) -> Iterator[Finding]:
    approved = listed_bundles(folder)
    others = approved - {bundle_sha256()}
    if not approved:
        yield Finding("bundles", Verdict.WARNING, "no plan is approved yet", f"oncofed site plans {folder.root}")
    elif others:
        what = "an approved plan was signed for another version of oncofed than the one installed here"
        yield Finding("bundles", Verdict.WARNING, what, "Decline it, or install the version it was signed with.")
    else:
        yield Finding("bundles", Verdict.FINE, "approved plans name the program that is installed here")
