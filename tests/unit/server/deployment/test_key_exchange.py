"""Who is asked for a masked sum: hospitals that know each other's keys, each of which its hospital signed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from tests.privacy.trusting_hospitals import (
    ANSWER_KEYS,
    COORDINATOR,
    HONEST,
    PLAN,
    SITES,
    Hospital,
    offer_of,
    weights_of,
)

from oncofed.client.relay.relay import build_client_app
from oncofed.errors import QuorumLost, RecordDamaged
from oncofed.privacy.masking import new_masking_key, public_masking_key_of
from oncofed.protocol.masking_keys import SignedMaskingKey, signed_masking_key
from oncofed.protocol.messages import BytesPort
from oncofed.server.deployment.key_exchange import ANOTHER, KEYS, KeyExchange
from oncofed.server.flower.signing_grid import SigningGrid
from oncofed.server.rounds.rounds import RoundReport, run_rounds
from oncofed.server.rounds.state import initial_state
from oncofed.simulations.engines.in_process_grid import InProcessGrid
from oncofed.simulations.engines.node_directory import answer_partition_queries, find_nodes, partition_of


@dataclass
class World:
    """Four hospitals behind relays. silent: those whose relay is stuck. asked: which hospital was asked anything."""

    hospitals: dict[str, Hospital] = field(default_factory=lambda: {site: Hospital(site) for site in SITES})
    silent: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    told: list[dict[str, str]] = field(default_factory=list)
    seconds: float = 0.0

    def __call__(self, context: Any) -> BytesPort:
        site = SITES[partition_of(context)]
        self.asked.append(site)
        if site in self.silent:
            raise RuntimeError("stuck")
        return self.hospitals[site]

    def approve(self, *sites: str) -> None:
        for site in sites:
            self.hospitals[site].offer_plan(offer_of(PLAN))
            self.hospitals[site].approve(PLAN.hash)

    def exchange(self, study: Path) -> KeyExchange:
        grid = InProcessGrid(answer_partition_queries(build_client_app(self)), node_count=len(SITES))
        nodes = dict(find_nodes(grid, roster=SITES))
        signing = SigningGrid(grid, signing_key=COORDINATOR)
        return KeyExchange(
            signing, PLAN, nodes, study, lambda words: self.told.append(dict(words)), clock=lambda: self.seconds
        )

    def asked_now(self, exchange: KeyExchange, online: Sequence[str] = SITES) -> tuple[tuple[str, ...], list[str]]:
        self.asked.clear()
        return exchange(online), sorted(set(self.asked))


def test_everybody_learns_everybodys_key_and_then_nothing_is_sent(tmp_path: Path) -> None:
    world = World()
    world.approve(*SITES)
    exchange = world.exchange(tmp_path)
    assert world.asked_now(exchange) == (SITES, list(SITES))
    for site, hospital in world.hospitals.items():
        known = hospital.standings[PLAN.hash].public_keys(own=site)
        assert known == {each: bytes.fromhex(world.hospitals[each].standings[PLAN.hash].masking_key) for each in SITES}
    assert world.asked_now(exchange) == (SITES, [])
    assert world.asked_now(exchange, HONEST) == (HONEST, [])
    # A coordinator that was started again asks once more, and has kept what it was given.
    assert world.asked_now(world.exchange(tmp_path)) == (SITES, list(SITES))


def test_who_has_not_approved_is_left_out_and_taken_in_later_and_not_asked_each_time(tmp_path: Path) -> None:
    world = World()
    world.approve(*HONEST)
    exchange = world.exchange(tmp_path)
    assert world.asked_now(exchange)[0] == HONEST
    assert world.told == [{"Ulm": "refused: not_approved"}]
    assert world.asked_now(exchange) == (HONEST, [])
    world.approve("Ulm")
    assert world.asked_now(exchange) == (HONEST, [])
    world.seconds = 61.0
    assert world.asked_now(exchange) == (SITES, list(SITES))


def test_who_does_not_answer_is_left_out_and_keeps_nobody_else_out(tmp_path: Path) -> None:
    world = World(silent={"Ulm"})
    world.approve(*SITES)
    exchange = world.exchange(tmp_path)
    assert world.asked_now(exchange)[0] == HONEST
    world.silent = {"Hof"}
    world.seconds = 61.0
    # Hof has not heard of Ulm, so a sum with both would fail at Hof, for everybody.
    assert world.asked_now(exchange)[0] == HONEST
    world.silent = set()
    world.seconds = 122.0
    assert world.asked_now(exchange)[0] == SITES


def test_too_few_are_asked_again_at_once(tmp_path: Path) -> None:
    world = World()
    world.approve(*HONEST[:2])
    exchange = world.exchange(tmp_path)
    assert len(world.asked_now(exchange)[0]) == 2, "which is too few, as `rounds` knows"
    world.approve("Hof")
    assert world.asked_now(exchange)[0] == HONEST


def test_a_hospital_that_gives_another_key_later_takes_no_part(tmp_path: Path) -> None:
    """Its folder was restored; the others keep its first."""
    world = World()
    world.approve(*SITES)
    world.asked_now(world.exchange(tmp_path))
    world.hospitals["Ulm"] = Hospital("Ulm")
    world.approve("Ulm")
    exchange = world.exchange(tmp_path)
    assert world.asked_now(exchange)[0] == HONEST
    assert world.told[-1] == {"Ulm": "refused: not_ready"}
    world.hospitals["Ulm"].masking_keys = lambda plan_hash, keys: key_of_ulm()  # type: ignore[method-assign]
    world.seconds = 61.0
    assert world.asked_now(exchange)[0] == HONEST
    assert world.told[-1] == {"Ulm": ANOTHER}


def key_of_ulm() -> SignedMaskingKey:
    public_key = public_masking_key_of(new_masking_key())
    return signed_masking_key(public_key, plan_hash=PLAN.hash, site="Ulm", answer_key=ANSWER_KEYS["Ulm"])


def test_a_key_that_is_not_the_hospitals_own_is_not_passed_on(tmp_path: Path) -> None:
    world = World()
    world.approve(*SITES)
    good = world.hospitals["Ulm"].masking_keys(PLAN.hash, ())
    bad = replace(good, public_key=public_masking_key_of(new_masking_key()))
    world.hospitals["Ulm"].masking_keys = lambda plan_hash, keys: bad  # type: ignore[method-assign]
    assert world.asked_now(world.exchange(tmp_path))[0] == HONEST
    assert world.told[-1] == {"Ulm": "gave a masking key that is not its own"}
    assert "Ulm" not in world.hospitals["Bonn"].standings[PLAN.hash].keys


def test_a_hospital_that_gives_anothers_key_is_named_and_spoils_it_for_nobody(tmp_path: Path) -> None:
    world = World()
    world.approve(*HONEST)
    exchange = world.exchange(tmp_path)
    assert world.asked_now(exchange)[0] == HONEST
    world.approve("Ulm")
    stolen = world.hospitals[HONEST[0]].masking_keys(PLAN.hash, ()).public_key
    copy = signed_masking_key(stolen, plan_hash=PLAN.hash, site="Ulm", answer_key=ANSWER_KEYS["Ulm"])
    world.hospitals["Ulm"].masking_keys = lambda plan_hash, keys: copy  # type: ignore[method-assign]
    world.seconds += 1e6
    assert world.asked_now(exchange)[0] == HONEST
    assert world.told[-1] == {"Ulm": "gave another hospital's masking key"}


@pytest.mark.parametrize("damage", [b"", b"{}x", b'{"Ulm": ["00", "00"]}', b"[1]"])
def test_a_damaged_file_of_keys_is_said_to_be_one(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / KEYS).write_bytes(damage)
    with pytest.raises(RecordDamaged, match="hospitals give the same keys again"):
        World().exchange(tmp_path)


def test_a_masked_study_runs_among_those_who_approved_and_the_rest_costs_nobody_anything(tmp_path: Path) -> None:
    """The rounds themselves, through relays and desks."""
    world = World()
    world.approve(*HONEST)
    exchange = world.exchange(tmp_path)
    reports: list[RoundReport] = []
    state = run_rounds(
        exchange.grid,
        plan=PLAN,
        nodes=exchange.nodes,
        start=initial_state(weights_of(PLAN)),
        checkpoint_folder=None,
        observer=lambda _, report: reports.append(report),
        ready=exchange,
    )
    assert state.round == PLAN.training.rounds
    assert [(report.attempt, report.answered) for report in reports] == [(0, HONEST)] * PLAN.training.rounds
    for site, hospital in world.hospitals.items():
        assert len(hospital.ledger.charges()) == (PLAN.training.rounds if site in HONEST else 0)


def test_with_too_few_masking_keys_nobody_is_asked_and_who_is_unready_is_named(tmp_path: Path) -> None:
    world = World()
    world.approve(*HONEST[:2])
    exchange = world.exchange(tmp_path)
    with pytest.raises(QuorumLost, match="Without the others' masking keys: Hof, Ulm"):
        run_rounds(
            exchange.grid,
            plan=PLAN,
            nodes=exchange.nodes,
            start=initial_state(weights_of(PLAN)),
            checkpoint_folder=None,
            ready=exchange,
        )
    assert not any(hospital.ledger.charges() for hospital in world.hospitals.values())
