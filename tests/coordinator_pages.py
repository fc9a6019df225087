"""A coordinator whose pages a test looks at: its folder in states that the product's own writers made, and a clock.

Only the SuperLink is not there: what it would say of hospitals is `Shown.said`.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from starlette.exceptions import StarletteDeprecationWarning
from tests.doubles import local_privacy, model_spec
from tests.end_to_end.flower_processes import SIGNED_SCHEMA, enrol, new_coordinator, new_node, signed_plan

from oncofed.cohort.encoding import columns
from oncofed.cohort.schema_file import parse_schema
from oncofed.errors import RefusalCode
from oncofed.local_pages.sessions import KeptSessions
from oncofed.protocol.plan import StudyPlan
from oncofed.secret_files import read_signing_key
from oncofed.server.deployment.at_work import at_work
from oncofed.server.deployment.coordinator_status import ServerWords
from oncofed.server.deployment.delivery import _write_release, release_model
from oncofed.server.deployment.enrolment import settle_nodes
from oncofed.server.deployment.folder import CoordinatorFolder, read_settings
from oncofed.server.deployment.member_files import read_sites
from oncofed.server.deployment.study_files import PLAN, StudyFiles
from oncofed.server.pages.application import application
from oncofed.server.pages.credential import Credential
from oncofed.server.pages.desk import Desk, Session
from oncofed.server.pages.watch import Watch
from oncofed.server.rounds.admission import Rejection
from oncofed.server.rounds.checkpoint import save_checkpoint
from oncofed.server.rounds.rounds import RoundReport
from oncofed.server.rounds.state import FederationState

with warnings.catch_warnings():
    # It would rather have httpx2, where httpx, which this project uses, still does; and it uses an old name of anyio's.
    warnings.simplefilter("ignore", DeprecationWarning)
    warnings.simplefilter("ignore", StarletteDeprecationWarning)
    from starlette.testclient import TestClient

BEGAN = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
HOSPITALS = ("Aachen", "Bonn", "Coburg")
HOST = "127.0.0.1:8441"


class Registry:
    """In place of the SuperLink, where hospitals are registered: the first is node 1."""

    def __init__(self) -> None:
        self.known: dict[bytes, int] = {}

    def node_ids(self) -> Mapping[bytes, int]:
        return dict(self.known)

    def register_node(self, public_key: bytes) -> int:
        return self.known.setdefault(public_key, len(self.known) + 1)

    def unregister_node(self, node_id: int) -> None:
        self.known = {key: known for key, known in self.known.items() if known != node_id}


@dataclass
class Clock:
    """seconds: of sessions. at: of the page and of what is written."""

    seconds: float = 1000.0
    at: datetime = BEGAN

    def __call__(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return self.at


@dataclass
class Study:
    """A study in the folder, written to as a run writes."""

    plan: StudyPlan
    folder: Path
    clock: Clock

    @property
    def files(self) -> StudyFiles:
        return StudyFiles(self.folder, self.clock.now)

    @property
    def _weights(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.linspace(-0.3, 0.3, self.plan.model.parameters)

    def said(self, **words: str) -> None:
        """What each hospital said of the plan; who is not named was offered it."""
        self.files.note_said(PLAN, {site: words.get(site, "offered") for site in self.plan.roster})

    def round(self, number: int, *, rejected: Mapping[str, str] | None = None, attempt: int = 0) -> None:
        """As the loop writes it: the checkpoint, then the line."""
        out = rejected or {}
        state = FederationState(round=number, weights=self._weights)
        save_checkpoint(self.folder, state=state, plan_hash=self.plan.hash)
        answered = tuple(site for site in self.plan.roster if site not in out)
        rejections = tuple(Rejection(site, reason) for site, reason in out.items())
        self.files.note_round(RoundReport(number, attempt, answered, rejections, 0.1, 1000, 900, 2.5))

    def finish(self, coordinator: CoordinatorFolder, **said: str) -> None:
        """The model is signed, delivered in words, and the run over."""
        state = FederationState(round=self.plan.training.rounds, weights=self._weights)
        key = read_signing_key(coordinator.signing_key)
        model = release_model(self.folder, state, plan_hash=self.plan.hash, signing_key=key)
        delivered = {site: said.get(site, "accepted") for site in self.plan.roster}
        _write_release(self.folder, model, plan_hash=self.plan.hash, rounds=state.round, delivered=delivered)
        self.files.note_said("delivered", delivered)
        self.files.note("finished", round=state.round)


@dataclass
class Shown:
    """The pages, without a network between."""

    folder: CoordinatorFolder
    desk: Desk
    clock: Clock
    said: ServerWords
    clients: list[TestClient] = field(default_factory=list)

    def study(self, name: str = "lung", *, rounds: int = 4, private: bool = True) -> Study:
        privacy = local_privacy(noise_multiplier=8.0) if private else None
        schema = parse_schema(SIGNED_SCHEMA.read_text(), where="schema")
        model = model_spec(columns=len(columns(schema)), grid=schema.grid)
        plan = signed_plan(self.folder, rounds=rounds, study=name, privacy=privacy, model=model)
        return Study(plan, self.folder.study(plan.hash), self.clock)

    def node_of(self, site: str) -> int:
        node_id = read_sites(self.folder)[site].node_id
        assert node_id is not None
        return node_id

    def hears(self, states: Mapping[str, str], *, since: Mapping[str, datetime] | None = None) -> None:
        """The server says so from now on."""
        self.said = ServerWords(
            {self.node_of(site): state for site, state in states.items()},
            {self.node_of(site): at for site, at in (since or {}).items()},
        )
        self.clock.seconds += 60

    def client(self) -> TestClient:
        """A browser of its own."""
        found = TestClient(application(self.desk), base_url=f"http://{HOST}", follow_redirects=False)
        self.clients.append(found)
        return found

    @property
    def token(self) -> str:
        return self.folder.pages_token.read_text().strip()

    def signed_in(self) -> TestClient:
        found = self.client()
        answer = found.post("/sign-in", data={"credential": self.token})
        assert answer.status_code == 303, answer.text
        return found


@cache
def _enrolled(sites: tuple[str, ...]) -> TemporaryDirectory[str]:
    """Made once, since keys take their time; it goes when the process ends."""
    made = TemporaryDirectory(prefix="oncofed-coordinator-")
    folder = new_coordinator(Path(made.name) / "coordinator")
    for site in sites:
        enrol(folder, new_node(Path(made.name) / site, site))
    settle_nodes(folder, Registry())
    return made


@contextmanager
def shown(
    root: Path, *, sites: Sequence[str] = HOSPITALS, hosts: frozenset[str] = frozenset({HOST})
) -> Iterator[Shown]:
    """Hospitals are enrolled, registered and online."""
    folder, clock = CoordinatorFolder(root / "coordinator"), Clock()
    shutil.copytree(Path(_enrolled(tuple(sites)).name) / "coordinator", folder.root)
    credential = Credential(folder.pages_token)
    credential.make()
    desk = Desk(
        folder=folder,
        settings=read_settings(folder),
        credential=credential,
        sessions=KeptSessions[Session](clock=clock),
        watch=Watch(lambda: here.said, now=clock.now, clock=clock, patience_seconds=60),
        hosts=hosts,
        now=clock.now,
    )
    here = Shown(folder, desk, clock, ServerWords({}))
    online = dict.fromkeys(sites, "online")
    here.hears(online, since=dict.fromkeys(sites, BEGAN - timedelta(hours=3)))
    try:
        yield here
    finally:
        for client in here.clients:
            client.close()


@contextmanager
def running_study(here: Shown) -> Iterator[Study]:
    """In its second round of four, at work; Bonn refused the first round, Coburg has not decided, and is away."""
    study = here.study()
    with at_work(study.folder):
        study.files.note("started", round=0, attempt=0)
        study.said()
        here.clock.at += timedelta(hours=2)
        study.said(Aachen="approved")
        here.clock.at += timedelta(minutes=30)
        study.said(Aachen="approved", Bonn="approved", Coburg="no answer within 60 s")
        here.clock.at += timedelta(minutes=1)
        study.round(1, rejected={"Bonn": f"refused: {RefusalCode.NOT_READY}", "Coburg": "no answer within 60 s"})
        here.clock.at += timedelta(minutes=5)
        study.round(2, rejected={"Coburg": f"refused: {RefusalCode.NOT_APPROVED}"})
        here.hears(
            {"Aachen": "online", "Bonn": "online", "Coburg": "offline"},
            since={"Aachen": BEGAN - timedelta(hours=3), "Coburg": here.clock.at - timedelta(minutes=12)},
        )
        here.clock.at += timedelta(minutes=1)
        yield study


def with_watch(desk: Desk, watch: Watch) -> Desk:
    return replace(desk, watch=watch)
