"""What may a coordinator's own monitoring know of it? Figures for Prometheus, from `coordinator_status`.

Nothing in them is more than hospitals released, or than a coordinator sees of their connections. Judged one by one in
docs/monitoring.md. Hospitals' names and studies' are the consortium's business, so the figures stay in the house.
"""

from __future__ import annotations

import platform
import shutil
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import version

from oncofed.errors import RefusalCode
from oncofed.exposition import Family, Sample, coarse_free_bytes, counter, gauge
from oncofed.server.deployment.coordinator_status import (
    DAMAGED,
    NOT_REGISTERED,
    UNKNOWN,
    CoordinatorStatus,
    StudyStatus,
    coordinator_status,
)
from oncofed.server.deployment.folder import CoordinatorFolder, CoordinatorSettings
from oncofed.server.deployment.runs import known_studies
from oncofed.server.report.attendance import lack_of
from oncofed.server.report.study import DeployedStudy

_PREFIX = "oncofed_coordinator"
_OF_HOSPITALS = ("online", "offline", "registered", NOT_REGISTERED, UNKNOWN, "suspended", "removed", DAMAGED)
_OF_STUDIES = ("not started", "under way", "stopped", "finished", "unreadable")


def coordinator_metrics(
    folder: CoordinatorFolder, settings: CoordinatorSettings, *, now: datetime
) -> tuple[Family, ...]:
    """All figures of this moment."""
    seen = coordinator_status(folder, settings, studies=known_studies(folder), now=now)
    readable = [(each, each.study) for each in seen.studies if each.study is not None]
    free = shutil.disk_usage(folder.root).free
    return (
        gauge(
            f"{_PREFIX}_info",
            "Always 1. Which versions are installed.",
            [
                Sample(
                    1,
                    {
                        "consortium": settings.name,
                        "version": version("oncofed"),
                        "flower": version("flwr"),
                        "python": platform.python_version(),
                    },
                )
            ],
        ),
        gauge(f"{_PREFIX}_metrics_timestamp_seconds", "When these figures were made.", [Sample(now.timestamp())]),
        gauge(
            f"{_PREFIX}_certificate_end_timestamp_seconds",
            "When a certificate ends: as it lies in keys/, and as the running server shows it.",
            [
                Sample(each.until.timestamp(), {"certificate": each.name})
                for each in seen.certificates
                if each.until is not None
            ],
        ),
        gauge(
            f"{_PREFIX}_disk_free_bytes",
            "Free space on the coordinator's disk, rounded down to whole 100 MB.",
            [Sample(coarse_free_bytes(free))],
        ),
        *_parts(seen),
        *_hospitals(seen),
        *_studies(seen, readable),
        *_rounds(readable),
    )


def _parts(seen: CoordinatorStatus) -> Sequence[Family]:
    answers = Sample(seen.states is not None, {"part": "answers"})
    return (
        gauge(
            f"{_PREFIX}_up",
            "Whether a part of the server runs; `answers`: whether it answers its own commands.",
            [*(Sample(part.runs, {"part": part.name}) for part in seen.parts if part.runs is not None), answers],
        ),
        counter(
            f"{_PREFIX}_restarts_total",
            "How often a part was started again.",
            [Sample(part.restarts, {"part": part.name}) for part in seen.parts if part.restarts is not None],
        ),
    )


def _hospitals(seen: CoordinatorStatus) -> Sequence[Family]:
    states = seen.of_hospitals()
    counted = Counter(states.values())
    return (
        gauge(
            f"{_PREFIX}_hospitals",
            "Hospitals that were ever enrolled, by what is known of them now.",
            [Sample(counted[state], {"state": state.replace(" ", "_")}) for state in _OF_HOSPITALS],
        ),
        gauge(
            f"{_PREFIX}_hospital_online",
            "Whether a member is online.",
            [
                Sample(state == "online", {"hospital": name})
                for name, state in states.items()
                if name in seen.hospitals.known and seen.hospitals.known[name].is_member and seen.states is not None
            ],
        ),
    )


def _of(study: StudyStatus, known: DeployedStudy) -> dict[str, str]:
    return {"plan": study.shown, "study": known.plan.study}


def _studies(seen: CoordinatorStatus, readable: Sequence[tuple[StudyStatus, DeployedStudy]]) -> Sequence[Family]:
    counted = Counter(each.state for each in seen.studies)
    newest = [
        (each, max([*(row.finished_at for row in known.rounds), *(event.at for event in known.events)]))
        for each, known in readable
        if known.rounds or known.events
    ]
    by_hash = {each.plan_hash: known for each, known in readable}
    return (
        gauge(
            f"{_PREFIX}_studies",
            "Studies by where they stand.",
            [Sample(counted[state], {"state": state.replace(" ", "_")}) for state in _OF_STUDIES],
        ),
        gauge(
            f"{_PREFIX}_study_at_work",
            "Whether a process works on a study now.",
            [Sample(each.at_work, _of(each, known)) for each, known in readable],
        ),
        gauge(
            f"{_PREFIX}_study_stopped",
            "Whether a study was begun, is not finished, and nothing works on it.",
            [Sample(each.state == "stopped", _of(each, known)) for each, known in readable],
        ),
        gauge(
            f"{_PREFIX}_last_progress_timestamp_seconds",
            "When a round of a study was finished, or anything else of it was noted, last.",
            [Sample(at.timestamp(), _of(each, by_hash[each.plan_hash])) for each, at in newest],
        ),
    )


def _rounds(readable: Sequence[tuple[StudyStatus, DeployedStudy]]) -> Sequence[Family]:
    planned, done, seconds, answers, lacking = [], [], [], [], []
    for each, known in readable:
        labels = _of(each, known)
        planned.append(Sample(known.plan.training.rounds, labels))
        done.append(Sample(known.last_round, labels))
        if known.rounds:
            seconds.append(Sample(max(known.rounds, key=lambda row: row.round).seconds, labels))
        answers += [Sample(count, {**labels, "hospital": site}) for site, count in known.answers.items()]
        reasons = Counter(
            (site if site in known.plan.roster else "another node", lack_of(reason))
            for row in known.rounds
            for site, reason in row.rejected
        )
        lacking += [
            Sample(count, {**labels, "hospital": site, "reason": reason})
            for (site, reason), count in sorted(reasons.items())
        ]
    refused = Counter({code.value: 0 for code in RefusalCode})
    for sample in lacking:
        if sample.labels["reason"] in refused:
            refused[sample.labels["reason"]] += int(sample.value)
    return (
        gauge(f"{_PREFIX}_rounds_planned", "Rounds of a study.", planned),
        gauge(f"{_PREFIX}_rounds_done", "Those of them that are done.", done),
        gauge(f"{_PREFIX}_last_round_seconds", "How long the last round took, all its askings together.", seconds),
        counter(f"{_PREFIX}_answers_total", "Rounds in which a hospital's answer was admitted.", answers),
        counter(
            f"{_PREFIX}_rounds_without_total",
            "Finished rounds that counted without a hospital, by reason: its refusal's code, no_answer, not_admitted.",
            lacking,
        ),
        counter(
            f"{_PREFIX}_refusals_total",
            "Refusals of hospitals in finished rounds of all studies, by their code.",
            [Sample(count, {"code": code}) for code, count in sorted(refused.items())],
        ),
    )
