"""A hospital's node on disk for tests: folders, policy, ledger, keys, a table with planted patients, a signed plan.

Nothing is enrolled or started; keys are real, so that signatures are checked. What is planted must never leave.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from shutil import rmtree
from tempfile import gettempdir
from unittest.mock import patch

import numpy as np
import pandas as pd
from tests.leaks import Planted
from tests.node_guards import ANSWER_KEY, COORDINATOR_KEY

from oncofed.client.guard.node_guard import NodeGuard
from oncofed.client.guard.pinned_keys import PinnedKeys
from oncofed.client.guard.policy_file import read_policy
from oncofed.client.guard.public_times import Pace
from oncofed.client.install.folder import NodeFolder, SiteSettings
from oncofed.client.install.setup import create
from oncofed.client.records.approvals import Approvals, Trial, no_trial
from oncofed.client.records.audit_entries import AuditEntry, verify_audit_log
from oncofed.client.records.audit_log import AuditLog
from oncofed.client.records.decisions import Approval
from oncofed.client.records.plan_keys import PlanKeys
from oncofed.client.records.source_memory import NAMED
from oncofed.client.records.sqlite_ledger import SqliteLedger
from oncofed.cohort.encoding import columns
from oncofed.cohort.schema_file import parse_schema
from oncofed.privacy.ledger import Charge
from oncofed.protocol import study_document
from oncofed.protocol.messages import ContributeRequest
from oncofed.protocol.plan import Member, ModelSpec, PrivacyMode, PrivacySpec, StudyPlan, TrainingSpec
from oncofed.protocol.signing import public_key_of
from oncofed.protocol.study_document import StudyDocument, document_bytes, schema_of, signed_document
from oncofed.secret_files import write_secret
from oncofed.survival.network import parameter_count

SITE = "Bonn"
NODE_KEY = "ecdsa-sha2-nistp384 AAAA-of-Bonn"
ANSWER_PUBLIC_KEY = public_key_of(ANSWER_KEY).hex()
SOURCE = "registry"
PATIENTS = 1237
SCHEMA = """
[schema]
name = "tiny"
patient_id = "record_number"
[time]
unit = "months"
interval_bounds = [0, 12, 24, 60]
[[endpoint]]
name = "overall_survival"
time = "survival_months"
event = "death_observed"
baseline_hazard = 0.02
[[marker]]
name = "sex_female"
modality = "clinical"
kind = "binary"
[[marker]]
name = "age"
modality = "clinical"
kind = "continuous"
centre = 60
scale = 15
unit = "years"
plausible_range = [0, 120]
"""
POLICY = """
[node]
smallest_cohort = 50
largest_parameters = 1000
allowed_plans = ["any"]

[[source]]
name = "registry"
kind = "csv"
path = "{table}"
largest_epsilon = 1.5
delta = 1e-5
smallest_noise_multiplier = 5.0
"""


def table(patients: int = PATIENTS, *, prefix: str = "MRN-0047", seed: int = 0) -> pd.DataFrame:
    """prefix: of every record number."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "record_number": [f"{prefix}-{row:05d}" for row in range(patients)],
            "sex_female": rng.integers(0, 2, patients),
            "age": rng.normal(60, 10, patients).round(1),
            "survival_months": rng.uniform(0.5, 70, patients).round(2),
            "death_observed": (rng.random(patients) < 0.9).astype(int),
        }
    )


def planted(found: pd.DataFrame) -> Planted:
    """The record numbers' common beginning, the first and the last, and the exact numbers of patients and of deaths."""
    records = found["record_number"]
    deaths = int(found["death_observed"].sum())
    prefix = records.iloc[0].rpartition("-")[0]
    return Planted(texts=(records.iloc[0], records.iloc[-1], prefix), numbers=(len(found), deaths))


@dataclass(frozen=True)
class InstalledNode:
    folder: NodeFolder
    signing_key: bytes

    @property
    def keys(self) -> PinnedKeys:
        return PinnedKeys(public_key_of(self.signing_key), NODE_KEY, ANSWER_KEY)

    @property
    def table_path(self) -> Path:
        return self.folder.root / "patients.csv"

    @property
    def audit_log(self) -> AuditLog:
        return AuditLog(self.folder.audit_log)

    @property
    def approvals(self) -> Approvals:
        return Approvals(
            self.folder.approvals,
            self.folder.bundles,
            self.audit_log,
            self.folder.held_out_secret,
            self.folder.patients,
            PlanKeys(self.folder.masking),
        )

    def enrol(self) -> None:
        """As `site request` and `site accept` leave it: its keys, and the pinned coordinator."""
        with self.folder.settings.open("a") as file:
            file.write(f'\n[coordinator]\naddress = "127.0.0.1:1"\npublic_key = "{self.keys.coordinator.hex()}"\n')
        self.folder.node_public_key.write_text(NODE_KEY + "\n")
        write_secret(self.folder.answer_key, ANSWER_KEY)

    def guard(self, *, pace: Pace | None = None) -> NodeGuard:
        return NodeGuard(self.folder, site=SITE, keys=self.keys, pace=pace)

    def events(self) -> list[tuple[str, str]]:
        """Without the names of its sources, which a guard notes when it first reads a policy."""
        return [(entry.event, entry.code) for entry in self.entries() if entry.event != NAMED]

    def entries(self) -> tuple[AuditEntry, ...]:
        return verify_audit_log(self.folder.audit_log).entries

    def ledger(self) -> SqliteLedger:
        policy = read_policy(self.folder.policy).source(SOURCE).site_policy
        return SqliteLedger(self.folder.ledger, data_source=SOURCE, budget=policy.budget)

    def charges(self) -> tuple[Charge, ...]:
        return tuple(self.ledger().charges())

    def set_policy(self, before: str, after: str) -> None:
        text = self.folder.policy.read_text()
        assert before in text
        self.folder.policy.write_text(text.replace(before, after))

    def plan(self) -> StudyPlan:
        schema = parse_schema(SCHEMA, where="schema")
        return StudyPlan(
            study="tiny",
            schema_hash=schema.hash,
            model=ModelSpec(len(columns(schema)), ("overall_survival",), schema.grid, schema.baseline_hazard, (3,)),
            training=TrainingSpec(rounds=3),
            privacy=PrivacySpec(PrivacyMode.LOCAL, 1.0, 1e-5, 9.0, 1.0, reserve_rounds=1),
            roster=(SITE, "Essen"),
            quorum=2,
            members=(
                Member(SITE, NODE_KEY, ANSWER_PUBLIC_KEY),
                Member("Essen", "ecdsa-sha2-nistp384 AAAA-of-Essen"),
            ),
            coordinator_public_key=public_key_of(self.signing_key).hex(),
            bundle_sha256="0" * 64,
            released=("the model",),
            answer_seconds=0.05,
            summary_answer_seconds=0.05,
        )

    def document(self, plan: StudyPlan | None = None) -> StudyDocument:
        """Signed by somebody who does not look whether numbers lie in their ranges, as a hostile coordinator would."""
        with patch.object(study_document, "range_faults", return_value=[]):
            return signed_document(plan or self.plan(), schema_toml=SCHEMA, signing_key=self.signing_key)

    def offer(self, plan: StudyPlan | None = None) -> bytes:
        return document_bytes(self.document(plan))

    def approve(self, plan: StudyPlan | None = None, *, trial: Trial = no_trial) -> Approval:
        document, policy = self.document(plan), read_policy(self.folder.policy)
        return self.approvals.approve(
            document.plan,
            schema_of(document),
            site=SITE,
            policy=policy,
            source=policy.source(SOURCE),
            ledger=self.ledger(),
            approved_by="Dr. Example",
            now=datetime.now(UTC),
            trial=trial,
        )

    def request(self, plan: StudyPlan | None = None, *, round_: int = 1, attempt: int = 0) -> ContributeRequest:
        plan = plan or self.plan()
        weights = np.random.default_rng(1).normal(scale=0.1, size=parameter_count(plan.model))
        return ContributeRequest(plan.hash, SITE, round_, attempt, plan.roster, weights)

    def weaker(self) -> StudyPlan:
        """A plan that a hostile coordinator would like better."""
        plan = self.plan()
        return replace(plan, privacy=replace(plan.privacy, noise_multiplier=1.0))


@contextmanager
def vowels_folder() -> Iterator[Path]:
    """A new folder named by vowels: tests look for "zq" or "99" in messages, and no name may hold those by chance."""
    folder = Path(gettempdir(), "oncofed-" + "".join(secrets.choice("aeiou") for _ in range(12)))
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        rmtree(folder)


@contextmanager
def installed_node(*, signing_key: bytes = COORDINATOR_KEY) -> Iterator[InstalledNode]:
    """In a folder whose path is short enough for a socket. signing_key: the coordinator's."""
    with vowels_folder() as folder:
        node = InstalledNode(NodeFolder(folder / "node"), signing_key)
        create(node.folder, SiteSettings(SITE, "127.0.0.1:9094", None))
        table().to_csv(node.table_path, index=False)
        node.folder.policy.write_text(POLICY.format(table=node.table_path))
        yield node
