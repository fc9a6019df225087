"""Does a study between real processes give what a simulation gives, cost what its plan says, and let out nothing else?

A coordinator and four hospitals over TLS with node keys, guard and relay apart at each, all of it the product's;
only the patients are invented, and in the long run one hospital's data source fails once. After a study in mode `local`
comes one in mode `distributed`.
"""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from dp_accounting.pld.privacy_loss_distribution import from_gaussian_mechanism
from numpy.typing import NDArray
from tests.captured_answers import answers_in, hashes_of, noted_hashes
from tests.end_to_end.flower_processes import SITES
from tests.end_to_end.installed_consortium import NO_NOISE, SHARED_NOISE, Hospital, Installed, cli, installed
from tests.end_to_end.masked_checks import check_masked
from tests.installed_node import SOURCE
from tests.leaks import Planted, leaks_in

from oncofed.client.guard.policy_file import read_policy
from oncofed.client.patients.sources import read_source_cohort
from oncofed.privacy.accounting import epsilon_of
from oncofed.privacy.shared_noise import SharedIntegerRelease
from oncofed.protocol import guard_pb2 as pb
from oncofed.protocol.model_file import SignedModel, verified_weights
from oncofed.protocol.study_document import StudyDocument, schema_of
from oncofed.server.flower.control import RunStatus
from oncofed.simulations.federation import Engine, federate

ROUNDS, FEWER_ROUNDS = 10, 2
ODD = "Bonn"
"""The hospital whose data source fails at its first reading."""
GRPC_PREFIX_BYTES = 5


@dataclass(frozen=True)
class Capture:
    """Pieces that left a hospital's guard, and its relay, in one study."""

    guard: list[bytes]
    relay: list[bytes]

    @property
    def vectors(self) -> list[bytes]:
        """The contributions among what left the guard."""
        found = []
        for piece in self.guard:
            if len(piece) > 100 and piece[:1] == b"\0":
                answer, reply = pb.Answer(), pb.ContributeReply()
                answer.ParseFromString(piece[GRPC_PREFIX_BYTES:])
                reply.ParseFromString(answer.content)
                found += [reply.vector] if reply.vector else []
        return found


@dataclass(frozen=True)
class Finished:
    """A study with noise, what was captured in it, and, where it was run, the same study without noise after it.

    odd: the hospital whose patients could not be read once, or nobody. A round without it is asked again of all.
    """

    four: Installed
    rounds: int
    odd: str
    noised: StudyDocument
    status: RunStatus
    captured: dict[str, Capture]
    plain: StudyDocument | None = None


def run_noised(four: Installed, *, rounds: int, odd: str, by_mail: bool) -> Finished:
    four.start(guards={odd: ("tests.end_to_end.odd_guard", "fails_once")} if odd else {})
    document = four.study("noised", rounds=rounds)
    status = four.run(document, seconds=longest(rounds), by_mail=by_mail)
    captured = {site: Capture(one.left_guard(), one.left_relay()) for site, one in four.hospitals.items()}
    return Finished(four, rounds, odd, document, status, captured)


def longest(rounds: int) -> float:
    """Seconds; a round takes three to eight, and twenty and more on a machine with ten times as much to do."""
    return 120.0 + 60.0 * rounds


@pytest.fixture(scope="module")
def ten_rounds() -> Iterator[Finished]:
    with installed() as four:
        done = run_noised(four, rounds=ROUNDS, odd=ODD, by_mail=False)
        plain = four.study("plain", rounds=ROUNDS, privacy=NO_NOISE)
        status = four.run(plain, seconds=longest(ROUNDS))
        assert status.outcome == "completed", status.details
        yield replace(done, plain=plain)


def test_two_rounds_of_three_hospitals(tmp_path: Path) -> None:
    """The gate's share of what follows."""
    with installed(sites=SITES[:3]) as three:
        done = run_noised(three, rounds=FEWER_ROUNDS, odd="", by_mail=True)
        check_rounds(done)
        check_spending(done)
        check_audit(done)
        check_delivery(done, tmp_path)
        check_exits(done)
        masked = three.study("masked", rounds=1, privacy=SHARED_NOISE)
        check_masked(three, masked.plan, three.run(masked, seconds=longest(1)))


@pytest.mark.slow
def test_every_round_was_answered_by_all(ten_rounds: Finished) -> None:
    check_rounds(ten_rounds)


@pytest.mark.slow
def test_the_ledgers_hold_what_the_plan_says_and_no_more(ten_rounds: Finished) -> None:
    check_spending(ten_rounds)


@pytest.mark.slow
def test_the_audit_logs_tell_of_every_contribution(ten_rounds: Finished) -> None:
    check_audit(ten_rounds)


@pytest.mark.slow
def test_the_model_arrives_and_explains_a_patient(ten_rounds: Finished, tmp_path: Path) -> None:
    check_delivery(ten_rounds, tmp_path)


@pytest.mark.slow
def test_nothing_planted_leaves_a_guard_or_a_relay(ten_rounds: Finished) -> None:
    check_exits(ten_rounds)


@pytest.mark.slow
def test_without_noise_the_weights_are_those_of_a_simulation(ten_rounds: Finished, tmp_path: Path) -> None:
    four, document = ten_rounds.four, ten_rounds.plain
    assert document is not None
    schema = schema_of(document)
    cohorts = {
        site: read_source_cohort(read_policy(hospital.folder.policy).source(SOURCE).source, schema)
        for site, hospital in four.hospitals.items()
    }
    # In a simulation nobody signs.
    members = tuple(replace(member, answer_public_key="") for member in document.plan.members)
    plan = replace(document.plan, members=members)
    simulated = federate(plan, cohorts, run_folder=tmp_path, engine=Engine.GRID, resume=False, figures=lambda *_: {})
    assert simulated.state.round == ROUNDS
    for site, hospital in four.hospitals.items():
        assert len(cohorts[site].patient_ids) == len(hospital.patients)
        assert np.abs(received(hospital, document) - simulated.state.weights).max() < 1e-5
    # What the comparison would have noticed: the same study with noise, and with three hospitals.
    assert np.abs(received(four.hospitals[ODD], ten_rounds.noised) - simulated.state.weights).max() > 1e-3
    (tmp_path / "checkpoint").unlink(missing_ok=True)
    one_twice = {**cohorts, "Bonn": cohorts["Essen"]}
    other = federate(plan, one_twice, run_folder=tmp_path, engine=Engine.GRID, resume=False, figures=lambda *_: {})
    assert np.abs(other.state.weights - simulated.state.weights).max() > 1e-4


def received(hospital: Hospital, document: StudyDocument) -> NDArray[np.float64]:
    """The weights in the file that the hospital's guard kept, verified as `oncofed site explain` does."""
    plan = document.plan
    stem = hospital.folder.models / plan.hash
    model = SignedModel(stem.with_suffix(".safetensors").read_bytes(), stem.with_suffix(".signature").read_bytes())
    public_key = bytes.fromhex(plan.coordinator_public_key)
    return verified_weights(model, public_key=public_key, plan_hash=plan.hash, parameters=plan.model.parameters)


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def check_rounds(done: Finished) -> None:
    assert (done.status.status, done.status.outcome) == ("finished", "completed"), done.status.details
    study = done.four.base.coordinator.study(done.noised.plan.hash)
    finished = lines(study / "rounds.jsonl")
    assert [(line["round"], line["attempt"]) for line in finished] == [
        (number, 0) for number in range(1, done.rounds + 1)
    ]
    assert all(line["answered"] == list(done.noised.plan.roster) and line["rejected"] == [] for line in finished)
    waited = [str(line["cause"]) for line in lines(study / "events.jsonl") if line["event"] == "waiting"]
    assert len(waited) == (1 if done.odd else 0)
    assert all(f"- {done.odd}: refused: not_ready" in cause for cause in waited)
    seconds = [float(str(line["seconds"])) for line in finished][1:]
    print(f"seconds of a round, the first left out: median {statistics.median(seconds):.2f}, {seconds}")


def check_spending(done: Finished) -> None:
    plan, rounds = done.noised.plan, done.rounds
    sigma, delta = plan.privacy.noise_multiplier, plan.privacy.delta
    independent = from_gaussian_mechanism(sigma).self_compose(rounds).get_epsilon_for_delta(delta)
    assert plan.privacy.epsilon == pytest.approx(independent, abs=0.02)
    for hospital in done.four.hospitals.values():
        entries = [entry for entry in hospital.charges() if entry.charge.identity.startswith(plan.hash)]
        assert [entry.data_source for entry in entries] == [SOURCE] * rounds
        one = SharedIntegerRelease(sigma, plan.model.parameters, plan.privacy.scale_bits, 1.0, 1, 0, 0)
        assert [entry.charge.event for entry in entries] == [one] * rounds
        epsilon = epsilon_of([entry.charge.event for entry in entries], delta=delta)
        assert epsilon == pytest.approx(plan.privacy.epsilon, abs=0.02)
        assert epsilon == pytest.approx(independent, abs=0.02)
        told = cli("site", "ledger", str(hospital.folder.root))
        found = re.search(r"spent: epsilon ([\d.]+) of 4\.000 .* in (\d+) releases", told)
        assert found is not None, told
        assert float(found[1]) == pytest.approx(independent, abs=0.02)
        assert int(found[2]) == rounds


def check_audit(done: Finished) -> None:
    plan = done.noised.plan
    for site, hospital in done.four.hospitals.items():
        of_plan = [entry for entry in hospital.audit() if entry.plan_hash == plan.hash]
        asked = [entry for entry in of_plan if entry.event == "contribute"]
        answered = [entry for entry in asked if entry.left]
        again = [1] if done.odd and site != done.odd else []
        assert [entry.round for entry in answered] == again + list(range(1, done.rounds + 1))
        for entry in answered:
            (left,) = entry.left
            assert (left.name, left.shape, left.dtype) == ("vector", (plan.model.parameters,), "float64")
        refused = [(entry.round, entry.code) for entry in asked if not entry.left]
        assert refused == ([(1, "not_ready")] if site == done.odd else [])
        events = [entry.event for entry in of_plan if entry.event != "contribute"]
        assert {"plan_kept", "approved", "model_kept", "deliver_model"} <= set(events)
        assert "unchanged and in order" in cli("site", "audit", str(hospital.folder.root), "--verify")


def check_delivery(done: Finished, folder: Path) -> None:
    coordinator, plan_hash = done.four.base.coordinator, done.noised.plan.hash
    release = json.loads((coordinator.study(plan_hash) / "release.json").read_text())
    assert release["delivered"] == dict.fromkeys(done.four.hospitals, "accepted")
    for hospital in done.four.hospitals.values():
        patient = str(hospital.patients["record_number"].iloc[-1])
        arguments = ("--plan", plan_hash, "--patient", patient)
        explained = cli("site", "explain", str(hospital.folder.root), *arguments)
        assert "log hazard ratio" in explained
        assert "age" in explained
    page = folder / "report.html"
    cli("coordinator", "report", str(coordinator.root), plan_hash, "--out", str(page))
    text = page.read_text()
    assert all(site in text for site in done.four.hospitals)
    # Nobody released a figure of held-out patients, so none can stand there.
    assert not re.search(r"(?i)(c-index|concordance|brier|calibration slope)\W{0,40}\d", text)
    assert leaks_in([text.encode()], everybody(done.four)) == []


def check_exits(done: Finished) -> None:
    hidden, plan = everybody(done.four), done.noised.plan
    for site, capture in done.captured.items():
        left_guard = answers_in(capture.guard, numbers=plan.model.parameters)
        left_relay = answers_in(capture.relay, numbers=plan.model.parameters)
        of_plan = [entry for entry in done.four.hospitals[site].audit() if entry.plan_hash == plan.hash]
        noted = noted_hashes(of_plan)
        assert hashes_of(left_relay) == hashes_of(left_guard) == noted, "what the log says has left, to the last bit"
        assert len(noted) == done.rounds
        assert len(set(capture.vectors)) == done.rounds, "asked again, a guard gives the same bytes again"
        passed_on = b"".join(capture.relay)
        assert all(vector in passed_on for vector in capture.vectors), "the relay's exit is seen as plaintext"
        assert leaks_in(capture.guard, hidden) == []
        assert leaks_in(capture.relay, hidden) == []
    texts = Planted(hidden.texts, ())  # a log also holds process ids
    logs = [path.read_bytes() for path in done.four.processes.log.iterdir()]
    assert any(b"RuntimeError" in log for log in logs) is bool(done.odd)
    assert leaks_in(logs, texts) == []
    coordinators = [path.read_bytes() for path in done.four.base.coordinator.root.rglob("*") if path.is_file()]
    assert leaks_in(coordinators, texts) == []


def everybody(four: Installed) -> Planted:
    """What must stay at its hospital, of all of them; with the text of the exception."""
    each = [hospital.planted for hospital in four.hospitals.values()]
    return Planted(
        texts=(*(text for one in each for text in one.texts), "do not fit in memory"),
        numbers=tuple(number for one in each for number in one.numbers),
    )


@pytest.mark.slow
def test_the_search_finds_a_leak_at_each_exit() -> None:
    """A guard that releases patients in place of a noised sum, and a relay that lets an exception's text out."""
    with installed(sites=("Berlin", "Bonn")) as two:
        two.start(
            guards={"Berlin": ("tests.end_to_end.odd_guard", "leaks")},
            relays={"Bonn": "tests.end_to_end.leaking_relay_app"},
        )
        document = two.study("leaks", rounds=1, quorum=1)
        two.run(document, seconds=longest(1))  # what leaked counts for nothing there, and has left all the same
        berlin, bonn = two.hospitals["Berlin"], two.hospitals["Bonn"]
        in_vector = [f"{number} as float64" for number in berlin.planted.numbers]
        record = repr(berlin.planted.texts[1])
        expected = {*in_vector, f"{record} as text"}
        assert expected <= set(leaks_in(berlin.left_guard(), berlin.planted))
        assert expected <= set(leaks_in(berlin.left_relay(), berlin.planted))
        assert leaks_in(bonn.left_guard(), bonn.planted) == []
        found = leaks_in(bonn.left_relay(), bonn.planted)
        assert {f"{number} as decimal text" for number in bonn.planted.numbers} <= set(found)
        assert f"{bonn.planted.texts[1]!r} as text" in found
