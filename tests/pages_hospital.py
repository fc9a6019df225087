"""A hospital for tests of the pages: invented patients whose hazard is known, a model that knows it, accounts, a clock.

Some names and categories are written by somebody of ill will; identifiers are unlike any other text of a page.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from html import unescape
from pathlib import Path

import numpy as np
import torch
from httpx import Response
from numpy.typing import NDArray
from starlette.exceptions import StarletteDeprecationWarning

from oncofed.client.install.folder import NodeFolder
from oncofed.client.install.kept_settings import accounts_of
from oncofed.client.pages.accounts import Accounts, Cost, Role
from oncofed.client.pages.application import application
from oncofed.client.pages.board_lists import BoardLists
from oncofed.client.pages.console import Console
from oncofed.client.pages.desk import Desk
from oncofed.client.pages.hospital import HospitalPrognosis
from oncofed.client.pages.password_turns import PasswordTurns
from oncofed.client.pages.sessions import Sessions
from oncofed.client.pages.viewing_record import ViewingRecord
from oncofed.client.records.audit_entries import AuditEntry, verify_audit_log
from oncofed.client.records.audit_log import AuditLog
from oncofed.cohort.cohort import Cohort
from oncofed.cohort.encoding import columns, encode
from oncofed.cohort.schema import Endpoint, Kind, Marker, MissingFlags, Modality, ModalityEncoding, StudySchema
from oncofed.protocol.plan import ModelSpec
from oncofed.survival.grid import TimeGrid
from oncofed.survival.network import PrognosisNetwork, network_with, parameter_count

with warnings.catch_warnings():
    # It would rather have httpx2, where httpx, which this project uses, still does; and it uses an old name of anyio's.
    warnings.simplefilter("ignore", DeprecationWarning)
    warnings.simplefilter("ignore", StarletteDeprecationWarning)
    from starlette.testclient import TestClient

FloatArray = NDArray[np.float64]
Window = TestClient
"""A browser of somebody."""

GRID = TimeGrid((0.0, 6.0, 12.0, 24.0, 60.0))
SCRIPT = "<script>window.planted=1</script>"
IMAGE = '"><img src=x onerror="window.planted=1">'
SCHEMA = StudySchema(
    name="lung",
    patient_id="record_number",
    markers=(
        Marker("age_years", Modality.CLINICAL, Kind.CONTINUOUS, "years", (0.0, 120.0), 60.0, 15.0),
        Marker(
            "crp_mg_per_l",
            Modality.LABORATORY,
            Kind.CONTINUOUS,
            "mg/l",
            (0.0, 900.0),
            5.0,
            20.0,
            reference_range=(0.0, 5.0),
        ),
        Marker("smoker", Modality.CLINICAL, Kind.BINARY),
        Marker(
            "entity",
            Modality.CLINICAL,
            Kind.CATEGORICAL,
            categories=("lung", f"skin {SCRIPT}", "rare"),
            reference_category="lung",
        ),
        Marker(f"gene_{IMAGE}", Modality.RNA_EXPRESSION, Kind.CONTINUOUS, "z", (-9.0, 9.0), 0.0, 1.0),
        Marker("=gene_2()", Modality.RNA_EXPRESSION, Kind.CONTINUOUS, "z", (-9.0, 9.0), 0.0, 1.0),
    ),
    endpoints=(Endpoint("overall_survival", "months", "death"), Endpoint("progression", "months_2", "event_2")),
    grid=GRID,
    baseline_hazard=(0.02, 0.03),
    modalities={Modality.RNA_EXPRESSION: ModalityEncoding(weight=0.5, missing_flags=MissingFlags.MODALITY)},
    tumour_entity="entity",
)
ENTITY = 3
MANY = tuple(f"tumour {chr(ord('a') + each)}" for each in range(15))
SECOND = "second"
"""The other approver of a console."""
PASSWORD = "plum copper violin"
PLAN_HASH = "ab" * 32


def network(*, seed: int = 0) -> PrognosisNetwork:
    """With effects of a usual size."""
    spec = ModelSpec(
        len(columns(SCHEMA)), ("overall_survival", "progression"), GRID, SCHEMA.baseline_hazard, hidden_units=(4,)
    )
    rng = np.random.default_rng(seed)
    return network_with(spec, rng.normal(scale=0.35, size=parameter_count(spec)))


def values(patients: int, rng: np.random.Generator) -> FloatArray:
    """A fifth of CRP is missing, and the whole of RNA for every other patient."""
    drawn = np.column_stack(
        [
            rng.normal(60, 12, patients).clip(20, 100),
            rng.gamma(1.5, 12, patients),
            (rng.random(patients) < 0.4).astype(float),
            rng.choice([0.0, 1.0], patients, p=[0.6, 0.4]),
            rng.normal(size=patients),
            rng.normal(size=patients),
        ]
    )
    drawn[: min(3, patients), ENTITY] = 2.0  # too few to be told apart
    drawn[rng.random(patients) < 0.2, 1] = np.nan
    drawn[1::2, 4:] = np.nan
    return drawn


def follow_up(
    log_hazard: FloatArray, rng: np.random.Generator, *, grid: TimeGrid = GRID
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Times and events of patients with these log cumulative hazards over whole intervals, (patients, intervals)."""
    patients = len(log_hazard)
    cumulative = np.concatenate((np.zeros((patients, 1)), np.cumsum(np.exp(log_hazard), axis=1)), axis=1)
    needed = rng.exponential(size=patients)
    event = np.array([np.interp(each, row, grid.bounds) for each, row in zip(needed, cumulative, strict=True)])
    event = np.where(needed > cumulative[:, -1], np.inf, event)
    censored = rng.uniform(0.1, 1.3, patients) * grid.bounds[-1]
    return np.maximum(np.minimum(event, censored), 0.01), event <= censored


def hospital(patients: int = 400, *, seed: int = 0, smallest_group: int = 10) -> HospitalPrognosis:
    rng = np.random.default_rng(seed)
    net, drawn = network(), values(patients, rng)
    shape = (patients, len(SCHEMA.endpoints))
    empty = Cohort(SCHEMA, identifiers(patients), drawn, np.zeros(shape), np.ones(shape), np.zeros(shape, dtype=bool))
    log_hazard = net.log_hazard(torch.as_tensor(encode(empty))).detach().numpy()
    ends, observed = zip(*(follow_up(log_hazard[:, e], rng) for e in range(shape[1])), strict=True)
    cohort = Cohort(
        SCHEMA, empty.patient_ids, drawn.copy(), np.zeros(shape), np.column_stack(ends), np.column_stack(observed)
    )
    return HospitalPrognosis("Bonn", "lung", PLAN_HASH, net, cohort, smallest_group=smallest_group)


CAUSES = ("death_of_disease", "death_of_other_causes")


def with_causes(patients: int = 1500, *, seed: int = 0, smallest_group: int = 10) -> HospitalPrognosis:
    """Two endpoints that compete: each patient's follow-up ends with what comes first."""
    rng = np.random.default_rng(seed)
    first, second = (Endpoint(name, "months", name) for name in CAUSES)
    schema = replace(SCHEMA, endpoints=(replace(first, competes_with=CAUSES[1:]), second))
    spec = replace(network().spec, endpoints=CAUSES)
    weights = np.random.default_rng(0).normal(scale=0.35, size=parameter_count(spec))
    net, drawn = network_with(spec, weights), values(patients, rng)
    shape = (patients, 2)
    empty = Cohort(schema, identifiers(patients), drawn, np.zeros(shape), np.ones(shape), np.zeros(shape, dtype=bool))
    log_hazard = net.log_hazard(torch.as_tensor(encode(empty))).detach().numpy()
    ends, observed = (
        np.column_stack(each) for each in zip(*(follow_up(log_hazard[:, e], rng) for e in (0, 1)), strict=True)
    )
    first_end = ends.min(axis=1, keepdims=True)
    observed &= ends == first_end
    cohort = Cohort(schema, empty.patient_ids, drawn.copy(), np.zeros(shape), np.repeat(first_end, 2, axis=1), observed)
    return HospitalPrognosis("Bonn", "lung", PLAN_HASH, net, cohort, smallest_group=smallest_group)


def with_many_tumours(patients: int = 600) -> HospitalPrognosis:
    """Fifteen tumours, of which the odd ones have 20 patients or many more, and the even ones 16 at most."""
    here = hospital(patients)
    markers = list(here.schema.markers)
    markers[ENTITY] = replace(markers[ENTITY], categories=MANY, reference_category=MANY[0])
    schema = replace(here.schema, markers=tuple(markers))
    counts = [each + 2 if each % 2 == 0 else 20 + 5 * each for each in range(15)]
    counts[-2] += patients - sum(counts)
    values = here.cohort.values.copy()
    values[:, ENTITY] = np.random.default_rng(3).permutation(np.repeat(np.arange(15.0), counts))
    spec = ModelSpec(
        len(columns(schema)), ("overall_survival", "progression"), schema.grid, schema.baseline_hazard, (4,)
    )
    weights = np.random.default_rng(0).normal(scale=0.35, size=parameter_count(spec))
    cohort = replace(here.cohort, schema=schema, values=values)
    return replace(here, cohort=cohort, network=network_with(spec, weights), published=None)


def identifiers(patients: int) -> tuple[str, ...]:
    return tuple(f"MRN-0047-{row:05d}" for row in range(patients))


@dataclass
class Clock:
    seconds: float = 1000.0

    def __call__(self) -> float:
        return self.seconds


@dataclass
class Served:
    """The pages, without a network between."""

    desk: Desk
    clock: Clock
    folder: Path
    clients: list[TestClient] = field(default_factory=list)
    refused_users: frozenset[int] = frozenset()

    def client(self, **options: object) -> TestClient:
        """A browser of its own."""
        app = application(self.desk, refused_users=self.refused_users)
        found = TestClient(app, base_url="http://pages.example", follow_redirects=False, **options)  # type: ignore[arg-type]
        self.clients.append(found)
        return found

    def signed_in(self, name: str) -> TestClient:
        """name: of an account; each role has one of its name."""
        found = self.client()
        answer = found.post("/sign-in", data={"name": str(name), "password": PASSWORD})
        assert answer.status_code == 303, answer.text
        return found

    def opened(self, client: TestClient, row: int = 5) -> str:
        """The address of a patient's page."""
        answer = submit(client, "/patients", "/patients/find", patient_id=self.desk.hospital.cohort.patient_ids[row])
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]

    def entries(self) -> tuple[AuditEntry, ...]:
        return verify_audit_log(self.desk.audit_log).entries

    def events(self) -> list[tuple[str, str, str]]:
        return [(entry.event, entry.code, entry.by) for entry in self.entries()]


def submit(client: TestClient, page: str, address: str, **fields: str) -> Response:
    """As a browser sends the form of a page: with the secret that stands in it."""
    answer: Response = client.post(address, data={"form_secret": secret_of(client.get(page)), **fields})
    return answer


def secret_of(answer: Response) -> str:
    found = re.search(r'name="form_secret" value="([^"]+)"', answer.text)
    assert found is not None, answer.text
    return unescape(found[1])


@contextmanager
def served(
    folder: Path,
    *,
    shown: HospitalPrognosis | None = None,
    secure: bool = False,
    users: frozenset[int] = frozenset(),
    node: NodeFolder | None = None,
) -> Iterator[Served]:
    """With an account of each role. node: its console alone is served, and a second approver has an account."""
    clock = Clock()
    accounts = Accounts(folder / "accounts.json" if node is None else accounts_of(node), cost=Cost(n=2**4))
    for role in Role:
        accounts.add(role.value, role, PASSWORD)
    if node is not None:
        accounts.add(SECOND, Role.APPROVER, PASSWORD)
    log = folder / "audit.jsonl" if node is None else node.audit_log
    desk = Desk(
        prognosis=(shown or hospital()) if node is None else None,
        console=None if node is None else Console(node, clock=clock),
        accounts=accounts,
        sessions=Sessions(clock=clock),
        turns=PasswordTurns(clock=clock),
        record=ViewingRecord(AuditLog(log), key=b"k" * 32, plan_hash=PLAN_HASH if node is None else "", clock=clock),
        board=BoardLists(folder / "board.json", study=PLAN_HASH),
        audit_log=log,
        secure=secure,
        hosts=frozenset({"pages.example"}),
    )
    here = Served(desk, clock, folder, refused_users=users)
    try:
        yield here
    finally:
        for client in here.clients:
            client.close()
