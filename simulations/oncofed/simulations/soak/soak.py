"""Does a consortium stay sound through simulated hours of bad luck? Study after study, with faults of a seed.

After each run of the coordinator, ended as it may be, `witness` looks at every record. A study whose runs end in words
again and again is given up; one that ends without a word is a failure, as is whatever the witness finds.
"""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from flwr.app import Message
from flwr.serverapp import Grid

from oncofed.client.install.folder import NodeFolder
from oncofed.errors import OncofedError, RecordUnwritable
from oncofed.protocol import guard_pb2 as pb
from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.question import signed_question
from oncofed.protocol.signing import public_key_of
from oncofed.protocol.study_document import StudyDocument
from oncofed.protocol.wire_form import Method, serialised
from oncofed.secret_files import read_signing_key
from oncofed.server.deployment.delivery import deliver_model, release_model
from oncofed.server.deployment.folder import coordinator_public_key
from oncofed.server.deployment.offering import OfferPatience, offer_until_approved
from oncofed.server.deployment.study_files import PLAN, StudyFiles
from oncofed.server.flower.app import flower_says_errors_only
from oncofed.server.flower.server_app import run_study
from oncofed.server.flower.signing_grid import SigningGrid
from oncofed.server.flower.wrapped_grid import WrappedGrid
from oncofed.server.rounds.state import FederationState
from oncofed.simulations.soak.consortium import FIRST_NODE, Consortium, new_consortium
from oncofed.simulations.soak.faults import Fault, Kind, of_a_run
from oncofed.simulations.soak.hospital_process import HospitalProcess
from oncofed.simulations.soak.traps import Trap
from oncofed.simulations.soak.troubled_grid import Clock, Hospital, TroubledGrid
from oncofed.simulations.soak.witness import Broken, Seen, counted_rounds, look_at_the_model

SITES = ("Berlin", "Bonn", "Essen", "Hamburg")
_RESERVE = 8
_MOST_RUNS = 40
_BETWEEN_RUNS_SECONDS = 300.0
"""Until somebody has seen that a run ended, and gives `resume`."""


class CoordinatorKilled(BaseException):
    """In place of SIGKILL: nothing of the product's may catch it."""


@dataclass
class Soaked:
    """What came of it. story: each thing that happened, with its simulated time; the same for the same seed."""

    seed: int
    hours: float = 0.0
    studies: int = 0
    given_up: int = 0
    rounds: int = 0
    charges: int = 0
    wasted: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    story: list[str] = field(default_factory=list)


def soak(seed: int, *, hours: float, folder: Path, told: Callable[[str], None] = lambda line: None) -> Soaked:
    """In a folder that is not there yet. Raises Broken, with what was found; `told` had the way there."""
    of_hospitals, of_coordinator, of_studies = (
        np.random.default_rng(each) for each in np.random.SeedSequence(seed).spawn(3)
    )
    clock, found = Clock(), Soaked(seed)
    consortium = new_consortium(folder, SITES, of_studies)
    hospitals = _hospitals(consortium, clock)

    def say(line: str) -> None:
        found.story.append(f"{clock.now / 3600:7.3f} h  {line}")
        told(found.story[-1])
        for kind in Kind:
            if f": {kind.value}" in line:
                found.faults[kind.value] += 1

    grid = TroubledGrid(hospitals, clock, of_hospitals, say)
    plans: dict[str, StudyPlan] = {}
    trap = Trap()
    try:
        while clock.now < hours * 3600:
            name = f"study-{found.studies + 1}"
            quorum, rounds = int(of_studies.integers(2, len(SITES) + 1)), int(of_studies.integers(5, 26))
            for hospital in hospitals.values():  # people approve when their node is well
                _mend(hospital)
            document = consortium.study(name, rounds=rounds, reserve=_RESERVE, quorum=quorum)
            plans[document.plan.hash] = document.plan
            say(f"{name}: {rounds} rounds, {quorum} of {len(SITES)} must answer")
            one = _Study(consortium, document, grid, hospitals, clock, plans, trap, of_coordinator, say, found)
            one.run()
            found.studies += 1
    except Broken as broken:
        say(f"BROKEN: {broken}")
        raise
    finally:
        for hospital in hospitals.values():
            hospital.process.kill()
    found.hours = clock.now / 3600
    return found


def _hospitals(consortium: Consortium, clock: Clock) -> dict[int, Hospital]:
    key = coordinator_public_key(consortium.coordinator)
    return {
        FIRST_NODE + number: Hospital(site, HospitalProcess(node), Seen(site, node), _answer_key(node), key, clock)
        for number, (site, node) in enumerate(consortium.nodes.items())
    }


def _answer_key(node: NodeFolder) -> bytes:
    return public_key_of(read_signing_key(node.answer_key))


def _mend(hospital: Hospital) -> None:
    hospital.off_until = hospital.down_until = hospital.full_until = hospital.clock.now
    hospital.catch_up()


@dataclass
class _Study:
    consortium: Consortium
    document: StudyDocument
    grid: TroubledGrid
    hospitals: dict[int, Hospital]
    clock: Clock
    plans: dict[str, StudyPlan]
    trap: Trap
    rng: np.random.Generator
    say: Callable[[str], None]
    found: Soaked

    def run(self) -> None:
        """Again and again, until it is finished or given up. Raises Broken."""
        finished = False
        for _ in range(_MOST_RUNS):
            fault = of_a_run(self.rng)
            finished = self._one_run(fault)
            rounds = self._look(finished=finished)
            if finished:
                break
            self.clock.sleep(_BETWEEN_RUNS_SECONDS)
        self.found.given_up += not finished
        self._look_at_the_end()
        self.found.rounds += rounds
        self.say(f"{rounds} rounds, {'finished' if finished else 'given up'}")

    def _one_run(self, fault: Fault) -> bool:
        """Whether the study is finished."""

        def end() -> None:
            if fault.kind is Kind.COORDINATOR_DISK_FULL:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            raise CoordinatorKilled

        self.trap.install()
        try:
            self.trap.set(0 if fault.kind is Kind.NONE else fault.step, end)
            with flower_says_errors_only():
                run_study(
                    SigningGrid(_Untrapped(self.grid, self.trap), signing_key=self._signing_key),
                    folder=self.consortium.coordinator,
                    plan_hash=self.document.plan.hash,
                    offer=self._offer,
                    deliver=self._deliver,
                    clock=self.clock,
                    sleep=self.clock.sleep,
                )
            how = "finished"
        except CoordinatorKilled:
            how = f": {fault.kind.value} {fault.step}"
            if fault.kind is Kind.POWER:
                for hospital in self.hospitals.values():
                    hospital.process.kill()
        except OncofedError as said:
            full = fault.kind is Kind.COORDINATOR_DISK_FULL and isinstance(said, RecordUnwritable)
            how = (
                f": {fault.kind.value} {fault.step}"
                if full
                else f"{type(said).__name__}: {' '.join(str(said).split())}"
            )
        except Exception as unsaid:
            raise Broken(f"a run ended without words, by {type(unsaid).__name__}: {unsaid}") from unsaid
        finally:
            self.trap.uninstall()
        self.found.ends[how.partition(":")[0] or how[2:].rstrip("0123456789 ")] += 1
        self.say(f"the run ended{'' if how.startswith(':') else ': '}{how}")
        return how == "finished"

    @property
    def _signing_key(self) -> bytes:
        return read_signing_key(self.consortium.coordinator.signing_key)

    def _offer(self, grid: Grid, document: StudyDocument, nodes: Mapping[str, int], files: StudyFiles) -> None:
        """As `server_app.offer_and_wait`, by the simulated clock."""
        patience = OfferPatience(document.plan.patience_seconds, clock=self.clock, sleep=self.clock.sleep)
        offer_until_approved(grid, document, nodes, patience=patience, told=lambda words: files.note_said(PLAN, words))

    def _deliver(
        self, grid: Grid, document: StudyDocument, nodes: Mapping[str, int], state: FederationState
    ) -> Mapping[str, str]:
        """As `server_app.sign_and_deliver`, from this coordinator's folder."""
        plan, study = document.plan, self.consortium.coordinator.study(document.plan.hash)
        model = release_model(study, state, plan_hash=plan.hash, signing_key=self._signing_key)
        keys = plan.answer_keys
        return deliver_model(grid, study, model, nodes, plan_hash=plan.hash, answer_keys=keys, rounds=state.round)

    @property
    def _seen(self) -> dict[str, Seen]:
        return {hospital.site: hospital.seen for hospital in self.hospitals.values()}

    def _look(self, *, finished: bool) -> int:
        """At all records; the rounds that are counted."""
        for seen in self._seen.values():
            seen.look(self.plans)
        with flower_says_errors_only():
            return look_at_the_model(self.consortium.coordinator, self.document.plan, self._seen, finished=finished)

    def _look_at_the_end(self) -> None:
        rounds = counted_rounds(self.consortium.coordinator, self.document.plan, self._seen)
        plan_hash = self.document.plan.hash
        question = signed_question(
            serialised(pb.PlanStatusRequest(plan_hash=plan_hash)),
            method=Method.PLAN_STATUS,
            signing_key=self._signing_key,
        )
        for hospital in self.hospitals.values():
            hospital.held.clear()
            _mend(hospital)
            hospital.ask(Method.PLAN_STATUS, question)  # what a full disk kept from the log is written late
            seen = hospital.seen
            seen.look(self.plans)
            seen.look_at_the_end()
            counted = {(plan_hash, number, attempt) for number, attempt, answered in rounds if seen.site in answered}
            charged = {which for which in seen.charges if which[0] == plan_hash}
            self.found.charges += len(charged)
            self.found.wasted += len(charged - counted)


class _Untrapped(WrappedGrid):
    """What hospitals do, and the witness, are no steps of the coordinator."""

    def __init__(self, grid: Grid, trap: Trap) -> None:
        super().__init__(grid)
        self._trap = trap

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        with self._trap.paused():
            return self._grid.send_and_receive(messages, timeout=timeout)
