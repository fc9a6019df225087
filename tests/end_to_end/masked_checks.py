"""What must hold of a study in mode `distributed` that ran between real processes, whoever answered at once?"""

from __future__ import annotations

import json
import math
import re
from functools import lru_cache

import pytest
from dp_accounting.pld.privacy_loss_distribution import from_gaussian_mechanism
from tests.captured_answers import answers_in, hashes_of, noted_hashes
from tests.end_to_end.installed_consortium import Hospital, Installed, cli
from tests.installed_node import SOURCE
from tests.leaks import leaks_in

from oncofed.privacy.accounting import epsilon_of
from oncofed.privacy.releases import release_of_round
from oncofed.protocol import guard_pb2 as pb
from oncofed.protocol.plan import StudyPlan
from oncofed.server.flower.control import RunStatus

GRPC_PREFIX_BYTES = 5


def check_masked(four: Installed, plan: StudyPlan, status: RunStatus) -> None:
    """Of a study without a reserve, whose every round all hospitals answered in the first attempt."""
    assert (status.status, status.outcome) == ("finished", "completed"), status.details
    study = four.base.coordinator.study(plan.hash)
    rounds = [json.loads(line) for line in (study / "rounds.jsonl").read_text().splitlines()]
    assert [(line["round"], line["attempt"]) for line in rounds] == [(n, 0) for n in range(1, plan.training.rounds + 1)]
    assert all(line["answered"] == list(plan.roster) and line["rejected"] == [] for line in rounds)
    for hospital in four.hospitals.values():
        check_spending(hospital, plan)
        check_exit(hospital, plan)
    check_words(next(iter(four.hospitals.values())), plan)


@lru_cache(maxsize=4)
def independent_epsilon(plan: StudyPlan) -> float:
    """By dp-accounting, from the shares that are there at the least and what one patient moves in integer steps."""
    shares = plan.privacy.shares
    assert shares is not None
    scale = 2**plan.privacy.scale_bits
    guaranteed = shares.sites - shares.dropouts - shares.colluding
    share_sd = math.ceil(plan.privacy.noise_multiplier * scale / math.sqrt(guaranteed))
    moved = scale + math.sqrt(plan.model.parameters)
    sigma = math.sqrt(guaranteed) * share_sd / moved
    mechanism = from_gaussian_mechanism(sigma).self_compose(plan.charged_rounds)
    return float(mechanism.get_epsilon_for_delta(plan.privacy.delta))


def check_spending(hospital: Hospital, plan: StudyPlan) -> None:
    entries = [entry for entry in hospital.charges() if entry.charge.identity.startswith(plan.hash)]
    assert [entry.data_source for entry in entries] == [SOURCE] * plan.training.rounds
    assert {entry.charge.event for entry in entries} == {release_of_round(plan).event}
    spent = epsilon_of([entry.charge.event for entry in entries], delta=plan.privacy.delta)
    assert spent == pytest.approx(plan.privacy.epsilon, abs=0.02)
    assert spent == pytest.approx(independent_epsilon(plan), abs=0.02)


def check_words(hospital: Hospital, plan: StudyPlan) -> None:
    """What `site ledger` says, of all studies of the hospital together."""
    told = cli("site", "ledger", str(hospital.folder.root))
    every = epsilon_of([entry.charge.event for entry in hospital.charges()], delta=plan.privacy.delta)
    found = re.search(r"spent: epsilon ([\d.]+) of 4\.000 .* in (\d+) releases", told)
    assert found is not None, told
    assert float(found[1]) == pytest.approx(every, abs=0.02)
    assert int(found[2]) == len(hospital.charges())


def check_exit(hospital: Hospital, plan: StudyPlan) -> None:
    """One masked vector a round left the guard, and went on as it was; nothing planted is in what left."""
    entries = [entry for entry in hospital.audit() if entry.plan_hash == plan.hash and entry.event == "contribute"]
    assert [entry.round for entry in entries] == list(range(1, plan.training.rounds + 1))
    for entry in entries:
        (left,) = entry.left
        assert (left.name, left.shape, left.dtype) == ("masked", (plan.model.parameters,), "uint64")
    vectors = masked_in(hospital.left_guard())
    assert len(set(vectors)) == plan.training.rounds
    for pieces in (hospital.left_guard(), hospital.left_relay()):
        captured = hashes_of(answers_in(pieces, numbers=plan.model.parameters))
        assert noted_hashes(entries) <= captured <= noted_hashes(hospital.audit()), "there may have been other studies"
    passed_on = b"".join(hospital.left_relay())
    assert all(vector in passed_on for vector in vectors)
    assert leaks_in(hospital.left_guard(), hospital.planted) == []
    assert leaks_in(hospital.left_relay(), hospital.planted) == []
    events = {entry.event for entry in hospital.audit() if entry.plan_hash == plan.hash}
    assert {"plan_kept", "approved", "model_kept", "deliver_model"} <= events


def masked_in(pieces: list[bytes]) -> list[bytes]:
    """The masked vectors among what left a guard."""
    found = []
    for piece in pieces:
        if len(piece) > 100 and piece[:1] == b"\0":
            answer, reply = pb.Answer(), pb.ContributeReply()
            answer.ParseFromString(piece[GRPC_PREFIX_BYTES:])
            reply.ParseFromString(answer.content)
            if reply.WhichOneof("reply") == "masked":
                found.append(reply.masked)
    return found
