"""What may a hospital's own monitoring know of its node? Figures for Prometheus, and nothing of a patient.

Read from what lies in the folder and from the doctor's checks, but for the one that reads the tables. Judged one by one
in docs/monitoring.md: no figure depends on a patient's row. What the budget has left follows from the plans that were
approved and the rounds that were asked; refusals and times of answers are public by design (`guard.public_times`);
free space is told in steps larger than a file of patients. How long an answer took is not told, for it tells how many
patients there are. Names of sources and studies are the hospital's own business, so the figures stay in its house.

Promises: a record that cannot be read costs its own figures and no other: `oncofed_node_finding` says so. Plans that
nobody approved have no series of their own, so a coordinator cannot make them many.
"""

from __future__ import annotations

import math
import platform
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from importlib.metadata import version

from oncofed.client.guard.guard_server import UNKNOWN_METHOD, WRONG_TOKEN
from oncofed.client.guard.policy_file import read_policy
from oncofed.client.install.doctor import CHECKS, examine
from oncofed.client.install.findings import Finding, Verdict
from oncofed.client.install.folder import NodeFolder, SiteSettings
from oncofed.client.install.inbox import offered_plans
from oncofed.client.install.network_checks import authority_until
from oncofed.client.install.progress import Progress, Stage, progress
from oncofed.client.records.audit_entries import (
    FORGOTTEN,
    HELD_BACK,
    NOT_CHARGED,
    NOT_KEPT,
    AuditEntry,
    verify_audit_log,
)
from oncofed.client.records.repeats import NOT_NOTED
from oncofed.client.records.sqlite_ledger import read_ledger
from oncofed.errors import OncofedError, RefusalCode
from oncofed.exposition import Family, Sample, coarse_free_bytes, counter, gauge
from oncofed.privacy.accounting import epsilon_of
from oncofed.running import parts_of

_PREFIX = "oncofed_node"
_OF_TABLES = "patients"
"""The doctor's check that reads them, which takes its time."""
_LEVELS = {Verdict.FINE: 0, Verdict.WARNING: 1, Verdict.FAULT: 2}
_FLOWER = "flwr"
TROUBLES = (WRONG_TOKEN, UNKNOWN_METHOD, HELD_BACK, FORGOTTEN, NOT_CHARGED, NOT_KEPT, NOT_NOTED)
"""Events of the audit log of which each one is worth a look."""


def node_metrics(folder: NodeFolder, site: SiteSettings, *, now: datetime) -> tuple[Family, ...]:
    """All figures of this moment."""
    findings = examine(folder, now=lambda: now, without={_OF_TABLES})
    families = [
        gauge(
            f"{_PREFIX}_info",
            "Always 1. Which versions are installed.",
            [
                Sample(
                    1,
                    {
                        "site": site.name,
                        "version": version("oncofed"),
                        "flower": version(_FLOWER),
                        "python": platform.python_version(),
                    },
                )
            ],
        ),
        gauge(f"{_PREFIX}_metrics_timestamp_seconds", "When these figures were made.", [Sample(now.timestamp())]),
        gauge(
            f"{_PREFIX}_finding",
            "What the doctor says of a topic: 0 fine, 1 warning, 2 fault.",
            _of_topics(findings),
        ),
        gauge(
            f"{_PREFIX}_certificate_end_timestamp_seconds",
            "When a certificate ends: the pinned authority's, and the one that the coordinator's server shows.",
            _certificates(folder, findings, now),
        ),
        gauge(
            f"{_PREFIX}_disk_free_bytes",
            "Free space on the node's disk, rounded down to whole 100 MB.",
            [Sample(coarse_free_bytes(shutil.disk_usage(folder.root).free))],
        ),
    ]
    for part in (_parts, _records, _budgets):
        families += _read(part, folder)
    return tuple(families)


def _read(part: Callable[[NodeFolder], Sequence[Family]], folder: NodeFolder) -> Sequence[Family]:
    """What cannot be read is the doctor's finding; its figures are missing, and not 0."""
    try:
        return part(folder)
    except (OncofedError, OSError):
        return ()


def _of_topics(findings: Sequence[Finding]) -> Iterator[Sample]:
    levels = dict.fromkeys([*CHECKS, "certificate", "clock", "node", "relay", "TLS"], 0)
    del levels[_OF_TABLES], levels["parts"]
    for finding in findings:
        levels[finding.topic] = max(levels.get(finding.topic, 0), _LEVELS[finding.verdict])
    return (Sample(level, {"topic": topic.replace(" ", "_").lower()}) for topic, level in levels.items())


def _certificates(folder: NodeFolder, findings: Sequence[Finding], now: datetime) -> Iterator[Sample]:
    authority = None
    with suppress(OSError):  # which the doctor tells
        authority = authority_until(folder, now)
    server = next((finding.until for finding in findings if finding.topic == "certificate"), None)
    for name, until in (("authority", authority), ("server", server)):
        if until is not None:
            yield Sample(until.timestamp(), {"certificate": name})


def _parts(folder: NodeFolder) -> Sequence[Family]:
    parts = parts_of(folder.locks, logs=folder.logs, status=folder.status)
    return (
        gauge(
            f"{_PREFIX}_up",
            "Whether a part of the node runs.",
            [Sample(part.runs, {"part": part.name}) for part in parts if part.runs is not None],
        ),
        counter(
            f"{_PREFIX}_restarts_total",
            "How often a part was started again, under `oncofed site start`.",
            [Sample(part.restarts, {"part": part.name}) for part in parts if part.restarts is not None],
        ),
    )


def _records(folder: NodeFolder) -> Sequence[Family]:
    entries = verify_audit_log(folder.audit_log).entries
    offered = offered_plans(folder)
    plans = [progress(plan, entries) for plan in offered.read]
    stages = Counter(plan.stage.value for plan in plans)
    stages["unreadable"] = len(offered.unread)
    return (
        gauge(
            f"{_PREFIX}_plans",
            "Plans by where they stand; `waits` is for somebody here to decide.",
            [Sample(stages[stage], {"stage": stage}) for stage in (*(each.value for each in Stage), "unreadable")],
        ),
        *_of_answers([plan for plan in plans if plan.stage in (Stage.APPROVED, Stage.ENDED)], digits=offered.digits),
        *_of_the_log(entries),
    )


def _of_answers(plans: Sequence[Progress], *, digits: int) -> Sequence[Family]:
    def of(plan: Progress) -> dict[str, str]:
        return {"plan": plan.plan_hash[:digits], "study": plan.study}

    planned = [Sample(plan.rounds_planned, of(plan)) for plan in plans if plan.rounds_planned is not None]
    last = [(plan, datetime.fromisoformat(plan.last_answer)) for plan in plans if plan.last_answer]
    return (
        gauge(f"{_PREFIX}_rounds_planned", "Rounds of an approved plan.", planned),
        gauge(
            f"{_PREFIX}_rounds_answered",
            "Those of them that this hospital answered.",
            [Sample(plan.rounds_answered, of(plan)) for plan in plans],
        ),
        counter(
            f"{_PREFIX}_answers_total",
            "Answers to rounds and summaries of a plan, with further attempts.",
            [Sample(plan.answers, of(plan)) for plan in plans],
        ),
        gauge(
            f"{_PREFIX}_last_answer_timestamp_seconds",
            "When a round of a plan was answered last.",
            [Sample(at.timestamp(), of(plan)) for plan, at in last],
        ),
    )


def _of_the_log(entries: Sequence[AuditEntry]) -> Sequence[Family]:
    codes = {code.value for code in RefusalCode}
    refused = Counter(entry.code for entry in entries if entry.code in codes)
    events = Counter(dict.fromkeys(TROUBLES, 0))  # there from the beginning, or the first would be no increase
    events.update(entry.event for entry in entries)
    return (
        counter(
            f"{_PREFIX}_refusals_total",
            "Refusals that the audit log notes, by their code; the same one again is noted once an hour.",
            [Sample(refused[code], {"code": code}) for code in sorted(codes)],
        ),
        counter(
            f"{_PREFIX}_audit_entries_total",
            "Lines of the audit log, by their event.",
            [Sample(events[event], {"event": event}) for event in sorted(events)],
        ),
    )


def _budgets(folder: NodeFolder) -> Sequence[Family]:
    charged = read_ledger(folder.ledger)
    largest, left, charges = [], [], []
    for named in read_policy(folder.policy).sources:
        own = [each for each in charged if each.data_source == named.name or each.data_source in named.counted_with]
        budget, label = named.site_policy.budget, {"source": named.name}
        spent = epsilon_of([each.charge.event for each in own], delta=budget.delta)
        largest.append(Sample(budget.largest_epsilon, label))
        left.append(Sample(0.0 if math.isinf(spent) else max(0.0, budget.largest_epsilon - spent), label))
        charges.append(Sample(len(own), label))
    return (
        gauge(f"{_PREFIX}_epsilon_largest", "What policy.toml lets a data source spend in all.", largest),
        gauge(f"{_PREFIX}_epsilon_left", "What a data source has left of it.", left),
        counter(f"{_PREFIX}_charges_total", "Releases in the ledger of a data source.", charges),
    )
