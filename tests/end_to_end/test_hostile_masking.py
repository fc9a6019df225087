"""Can a coordinator that has turned hostile see into the masked sums of hospitals that follow the protocol?

It replaces keys, splits the roster, calls one hospital present and absent, replays an attempt, lies about dropouts,
sends one hospital other weights and lowers the threshold. What is not the protocol's is refused, without a charge, and
noted; of what is answered, only sums over whole rosters open. First through each hospital's relay and the guard's own
process; then through the whole chain.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from flwr.app import Context, Message, RecordDict
from flwr.app.message.message import make_message
from flwr.app.metadata import Metadata
from flwr.clientapp import ClientApp
from numpy.typing import NDArray
from scipy import stats
from tests.end_to_end.flower_processes import REPOSITORY, SITES, until
from tests.end_to_end.hostile_masking import (
    RESERVE,
    ROUNDS,
    Told,
    Which,
    answer_in,
    check_openings,
    exchange,
    opening,
    phases,
    told_rosters,
    weights_of,
)
from tests.end_to_end.hostile_masking_app import ANSWERS, SITECUSTOMIZE
from tests.end_to_end.hostile_questions import VECTOR, message_type_of
from tests.end_to_end.installed_consortium import SHARED_NOISE, Installed, installed
from tests.leaks import leaks_in

from oncofed.client.guard.token import read_digits
from oncofed.client.relay.guard_channel import GuardChannel
from oncofed.client.relay.relay import build_client_app
from oncofed.privacy.masking import Attempt, MaskingPairs, content_hash_of, masked, public_masking_key_of
from oncofed.privacy.releases import Masked, release_of_round
from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.study_document import StudyDocument
from oncofed.protocol.wire_form import Method
from oncofed.secret_files import read_secret

BY_CHANCE = 1e-6
EVENTS = ("contribute", "offer_plan", "malformed_message")
CONTEXT = Context(run_id=1, node_id=1000, node_config={}, state=RecordDict(), run_config={})


@dataclass
class Found:
    """What came back: a word each, and the vectors. The same question must have the same vector."""

    words: list[tuple[str, str]] = field(default_factory=list)
    vectors: dict[Which, NDArray[np.uint64]] = field(default_factory=dict)

    def add(self, told: Told, word: str, vector: NDArray[np.uint64] | None) -> None:
        self.words.append((told.name, word))
        if told.which is not None and vector is not None:
            before = self.vectors.setdefault(told.which, vector)
            assert np.array_equal(before, vector), f"{told.name}: another answer to the same question"


def asked_of(app: ClientApp, told: Told) -> tuple[str, NDArray[np.uint64] | None]:
    """The answer of a relay, in a word."""
    return answer_in(told.kind, passed_on(app, told.kind, told.content))


def passed_on(app: ClientApp, kind: str, content: RecordDict) -> RecordDict:
    """As Flower would call it."""
    metadata = Metadata(
        run_id=1,
        message_id="question-1",
        src_node_id=1,
        dst_node_id=1000,
        reply_to_message_id="",
        group_id="1",
        created_at=0.0,
        ttl=1e10,
        message_type=message_type_of(kind),
    )
    reply = app(make_message(metadata, content), CONTEXT)
    assert isinstance(reply, Message)
    return reply.content


def through_relays(some: Installed, document: StudyDocument, asked: Sequence[Told]) -> Found:
    """Through each hospital's recording proxy to the guard's own process."""
    found, apps, channels = Found(), dict[str, ClientApp](), list[GuardChannel]()
    for site, hospital in some.hospitals.items():
        channel = GuardChannel(
            socket=hospital.relays_view.socket, token=read_digits(hospital.folder.token), answer_seconds=60
        )
        channels.append(channel)
        apps[site] = build_client_app(lambda _, channel=channel: channel)  # type: ignore[misc]
    said = exchange(
        document,
        lambda site, content: passed_on(apps[site], Method.MASKING_KEYS, content),
        signing_key=read_secret(some.base.coordinator.signing_key),
    )
    assert set(said.values()) == {"wrong_keys"}, said
    for told in asked:
        found.add(told, *asked_of(apps[told.site], told))
    for channel in channels:
        channel.close()
    return found


def told_in(some: Installed, document: StudyDocument) -> tuple[Told, ...]:
    signing_key = read_secret(some.base.coordinator.signing_key)
    asked = tuple(one for phase in phases(document, signing_key=signing_key) for one in phase)
    assert len({one.name for one in asked}) == len(asked)
    return asked


def test_guards_processes_let_nobody_see_into_a_sum() -> None:
    """The gate's share of what follows: three hospitals, no Flower in between."""
    with installed(sites=SITES[:3]) as three:
        document = three.study("small", rounds=ROUNDS, reserve=RESERVE, privacy=SHARED_NOISE)
        for site in three.hospitals:
            three.start_guard(site)
        three.approve(document, by_mail=True)
        for hospital in three.hospitals.values():
            until(hospital.folder.socket.exists, seconds=60, what="the guard listens")
        check(three, document, through_relays(three, document, told_in(three, document)))


@pytest.mark.slow
def test_a_hostile_server_app_sees_into_no_sum() -> None:
    with installed() as four:
        changed = four.root / "changed"
        changed.mkdir()
        (changed / "sitecustomize.py").write_text(SITECUSTOMIZE)
        four.start(coordinator={"PYTHONPATH": f"{changed}:{REPOSITORY}"})
        document = four.study("small", rounds=ROUNDS, reserve=RESERVE, privacy=SHARED_NOISE)
        status = four.run(document, seconds=900)
        assert status.outcome == "completed", status.details
        answers = json.loads((four.base.coordinator.study(document.plan.hash) / ANSWERS).read_text())
        found = Found()
        for told, (word, digits) in zip(told_in(four, document), answers, strict=True):
            found.add(told, word, np.frombuffer(bytes.fromhex(digits), dtype="<u8") if digits else None)
        check(four, document, found)
        for hospital in four.hospitals.values():
            assert leaks_in(hospital.left_relay(), hospital.planted) == []


def check(some: Installed, document: StudyDocument, found: Found) -> None:
    """What came back, what opens of it, and what each hospital's records say."""
    asked = told_in(some, document)
    assert found.words == [(told.name, told.answer) for told in asked]
    check_openings(document.plan, found.vectors)
    check_noise(some, document.plan, found.vectors)
    check_that_the_search_finds(some, found)
    for site, hospital in some.hospitals.items():
        own = [told for told in asked if told.site == site and told.by_guard]
        entries = [entry for entry in hospital.audit() if entry.event in EVENTS]
        noted = Counter(VECTOR if entry.left else entry.code for entry in entries)
        expected = Counter(told.answer for told in own)
        assert (set(noted), noted[VECTOR]) == (set(expected), expected[VECTOR])
        assert noted <= expected  # the same refusal of one round is noted once an hour
        assert all(entry.left[0].name == "masked" for entry in entries if entry.left)
        released = {told.which for told in own if told.which is not None}
        charged = [entry.charge.identity.split("/") for entry in hospital.charges()]
        assert {(by, int(round_), int(attempt)) for _, by, round_, attempt in charged} == released
        assert len(charged) == len(released) <= document.plan.charged_rounds
        assert leaks_in(hospital.left_guard(), hospital.planted) == []


def check_noise(some: Installed, plan: StudyPlan, vectors: Mapping[Which, NDArray[np.uint64]]) -> None:
    """With the hospitals' own keys the masks come off, and what two attempts at the same weights differ by is noise.

    Fails by chance with a probability below 1e-6. This is the noise of the guards' own processes.
    """
    release = release_of_round(plan)
    assert isinstance(release, Masked)
    share = release.sum_event.share_standard_deviation
    keys = {
        site: read_secret(hospital.folder.masking / f"{plan.hash}.key") for site, hospital in some.hospitals.items()
    }
    public_keys = {site: public_masking_key_of(key) for site, key in keys.items()}
    differences = []
    for site, key in keys.items():
        pairs = MaskingPairs(own=site, private_key=key, public_keys=public_keys)
        bare = []
        for attempt in (0, 1):
            told = Attempt(plan.hash, 1, attempt, told_rosters(plan, attempt)[site], content_hash_of(weights_of(plan)))
            mask = masked(np.zeros(plan.model.parameters, dtype=np.int64), pairs=pairs, attempt=told, largest_entry=0)
            bare.append((vectors[site, 1, attempt] - mask.words).view(np.int64))
        assert np.abs(bare[0]).max() < 2**36, "the masks are off"
        differences.append((bare[1] - bare[0]) / (share * np.sqrt(2)))
    noise = np.concatenate(differences)
    squares = float((noise**2).sum())
    assert 2 * min(stats.chi2.cdf(squares, noise.size), stats.chi2.sf(squares, noise.size)) > BY_CHANCE
    for wrong in (0.5, 2.0):  # power: noise half or twice as large would be noticed
        assert min(stats.chi2.cdf(squares / wrong**2, noise.size), stats.chi2.sf(squares / wrong**2, noise.size)) < 1e-4


def check_that_the_search_finds(some: Installed, found: Found) -> None:
    """Were one hospital's vector there without its mask, or masks were used twice, the search would say so."""
    first = next(iter(some.hospitals))
    bare: Mapping[Which, NDArray[np.uint64]] = found.vectors | {
        (first, 1, 2): np.arange(found.vectors[first, 1, 2].size, dtype=np.uint64)
    }
    twice = found.vectors | {(first, 1, 2): found.vectors[first, 1, 0] + np.uint64(1000)}
    for vectors in (bare, twice):
        assert any(combination[first, 1, 2] for combination in opening(vectors))
