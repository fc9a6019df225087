"""A coordinator and hospitals as they are installed, on one disk, for a soak: made by the product's own functions.

Patients are invented. Nothing listens on a port: questions go through a `TroubledGrid`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from oncofed.client.guard.policy_file import read_policy
from oncofed.client.install.enrolment import accept, make_request
from oncofed.client.install.folder import NodeFolder, SiteSettings, read_site
from oncofed.client.install.inbox import approvals_of, offers_of
from oncofed.client.install.setup import create
from oncofed.client.install.spending import ledger_of
from oncofed.cohort.schema_file import parse_schema
from oncofed.protocol.bundle import bundle_sha256
from oncofed.protocol.enrolment import acceptance_bytes, flower_public_key, request_bytes
from oncofed.protocol.study_document import StudyDocument, document_bytes, signed_document
from oncofed.secret_files import read_secret
from oncofed.server.deployment.certificates import create_keys
from oncofed.server.deployment.consortium_file import plan_for, read_consortium
from oncofed.server.deployment.enrolment import approve, own_fingerprint, settle_nodes
from oncofed.server.deployment.folder import CoordinatorFolder, CoordinatorSettings, settings_text
from oncofed.server.deployment.member_files import read_sites
from oncofed.server.deployment.runs import take_in

SOURCE = "registry"
FIRST_NODE = 1000
"""Of `InProcessGrid`: node i is hospital i."""
_ADDRESS = "127.0.0.1:9443"
_SCHEMA = """
[schema]
name = "soak"
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
name = "age"
modality = "clinical"
kind = "continuous"
centre = 60
scale = 15
unit = "years"
plausible_range = [0, 120]
"""
_POLICY = """
[node]
smallest_cohort = 50
largest_parameters = 1000
allowed_plans = ["any"]

[[source]]
name = "registry"
kind = "csv"
path = "{table}"
largest_epsilon = 1000.0
delta = 1e-5
smallest_noise_multiplier = 1.0
"""
_STUDY = """
[study]
name = "{name}"
seed = 3

[data]
schema = "schema.toml"

[model]
hidden_units = [3]

[training]
mode = "full_batch"
strategy = "fedadam"
rounds = {rounds}
server_learning_rate = 0.03

[privacy]
mode = "local"
epsilon = 3
delta = 1e-5
l2_norm_bound = 2
reserve_rounds = {reserve}

[consortium]
quorum = {quorum}
round_timeout_seconds = 300
patience_seconds = 3600
answer_seconds = 1
summary_answer_seconds = 5
"""


@dataclass(frozen=True)
class Consortium:
    """nodes: by hospital, in the order of the roster."""

    root: Path
    coordinator: CoordinatorFolder
    nodes: Mapping[str, NodeFolder]

    def study(self, name: str, *, rounds: int, reserve: int, quorum: int) -> StudyDocument:
        """Signed, known to the coordinator, and approved by each hospital."""
        folder = self.root / name
        folder.mkdir()
        (folder / "schema.toml").write_text(_SCHEMA)
        (folder / "study.toml").write_text(_STUDY.format(name=name, rounds=rounds, reserve=reserve, quorum=quorum))
        asked = read_consortium(folder / "study.toml")
        plan = plan_for(
            asked,
            members=tuple(site.member for site in read_sites(self.coordinator).values()),
            coordinator_public_key=bytes.fromhex(self.coordinator.public_key.read_text().strip()),
            bundle_sha256=bundle_sha256(),
        )
        key = read_secret(self.coordinator.signing_key)
        signed = signed_document(plan, schema_toml=asked.schema_toml, signing_key=key)
        document = take_in(self.coordinator, document_bytes(signed))
        for node in self.nodes.values():
            _approve(node, document)
        return document


def _approve(node: NodeFolder, document: StudyDocument) -> None:
    policy, plan = read_policy(node.policy), document.plan
    offers_of(node).keep(plan.hash, document_bytes(document))
    approvals_of(node).approve(
        plan,
        parse_schema(document.schema_toml, where="schema"),
        site=read_site(node).name,
        policy=policy,
        source=policy.source(SOURCE),
        ledger=ledger_of(node, policy.source(SOURCE)),
        approved_by="a soak",
        now=datetime.now(UTC),
    )


def new_consortium(root: Path, sites: tuple[str, ...], rng: np.random.Generator) -> Consortium:
    """In a folder that does not exist yet."""
    coordinator = CoordinatorFolder(root / "coordinator")
    coordinator.root.mkdir(parents=True)
    settings = CoordinatorSettings("soak", _ADDRESS, _ADDRESS, ("127.0.0.1",))
    coordinator.settings.write_text(settings_text(settings))
    create_keys(coordinator, settings, now=datetime.now(UTC))
    nodes = {}
    for number, site in enumerate(sites):
        node = nodes[site] = NodeFolder(root / site)
        create(node, SiteSettings(site, f"127.0.0.1:{9500 + number}", None))
        table = root / f"{site}.csv"
        _patients(rng, site).to_csv(table, index=False)
        node.policy.write_text(_POLICY.format(table=table))
        answer = approve(coordinator, request_bytes(make_request(node)))
        accept(node, acceptance_bytes(answer), heard_fingerprint=own_fingerprint(coordinator))
    settle_nodes(coordinator, _Registry(coordinator))
    return Consortium(root, coordinator, nodes)


def _patients(rng: np.random.Generator, site: str) -> pd.DataFrame:
    count = int(rng.integers(60, 90))
    return pd.DataFrame(
        {
            "record_number": [f"{site}-{row}" for row in range(count)],
            "age": rng.normal(60, 10, count).round(1),
            "survival_months": rng.uniform(0.5, 70, count).round(2),
            "death_observed": (rng.random(count) < 0.7).astype(int),
        }
    )


class _Registry:
    """In place of a SuperLink: hospitals are known, in the order of their names."""

    def __init__(self, coordinator: CoordinatorFolder) -> None:
        keys = [flower_public_key(site.node_public_key) for _, site in sorted(read_sites(coordinator).items())]
        self._known = {key: FIRST_NODE + number for number, key in enumerate(keys)}

    def node_ids(self) -> Mapping[bytes, int]:
        """As the port says."""
        return self._known

    def register_node(self, public_key: bytes) -> int:
        """As the port says."""
        return self._known[public_key]

    def unregister_node(self, node_id: int) -> None:
        """As the port says: nobody leaves in a soak."""
