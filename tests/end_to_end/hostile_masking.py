"""What does a coordinator ask that wants to see into a masked sum? One list of lies for two tests, and what opens.

It has the consortium's signing key and may tell each hospital anything. `phases` is for a plan of two rounds and three
reserve rounds, with one dropout allowed, that every hospital has approved. `opening` tries every combination of the
vectors that came back to any two attempts, with coefficients -1, 0 and 1: those whose masks cancel.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product

import numpy as np
from flwr.app import RecordDict
from numpy.typing import NDArray
from tests.end_to_end.hostile_questions import OFFER, TRAIN, VECTOR, offer, question, reply_in, signed_by

from oncofed.errors import RequestRefused
from oncofed.privacy.masking import new_masking_key, public_masking_key_of
from oncofed.protocol.codec import encode_question
from oncofed.protocol.masking_keys import SignedMaskingKey, signed_masking_key
from oncofed.protocol.messages import ContributeRequest
from oncofed.protocol.plan import Member, StudyPlan
from oncofed.protocol.signing import new_signing_key, public_key_of
from oncofed.protocol.study_document import StudyDocument, signed_document
from oncofed.protocol.wire_form import (
    Method,
    contribution_in,
    masking_key_in,
    masking_keys_question,
    plan_state_in,
    question_of,
)

ROUNDS, RESERVE = 2, 3

Which = tuple[str, int, int]
"""Hospital, round, attempt."""
Vectors = Mapping[Which, NDArray[np.uint64]]

_OPEN_BELOW = 2**45
"""A sum of these few hospitals is below 2^36 in each entry; a masked one stays below this by chance once in 2^18."""
_LOOKED_AT = 8
"""Entries: all of them small by chance, once in 2^144."""


@dataclass(frozen=True)
class Told:
    """One message to one hospital. answer: what must come back. which: of a question for a vector."""

    name: str
    site: str
    kind: str
    content: RecordDict
    answer: str
    by_guard: bool = True
    which: Which | None = None


def exchange(
    document: StudyDocument, send: Callable[[str, RecordDict], RecordDict], *, signing_key: bytes
) -> dict[str, str]:
    """Before all phases: each hospital's masking key to all others, and what the first says to other keys, in words.

    send  to a hospital; what came back.
    """
    plan = document.plan

    def asked(site: str, keys: Iterable[SignedMaskingKey]) -> SignedMaskingKey:
        request = masking_keys_question(plan.hash, keys, nonce=secrets.token_bytes(16))
        content = encode_question(Method.MASKING_KEYS, request)
        return masking_key_in(reply_in(send(site, signed_by(signing_key, content))))

    true = {site: asked(site, ()) for site in plan.roster}
    first, second = plan.roster[:2]
    own = public_masking_key_of(new_masking_key())
    forged = signed_masking_key(own, plan_hash=plan.hash, site=second, answer_key=signing_key)
    said = {}
    for name, key in {
        "its own, signed by itself": forged,
        "its own, with the hospital's signature": replace(true[second], public_key=own),
        "another hospital's": replace(true[first], site=second),
    }.items():
        try:
            asked(first, [key])
            said[name] = "kept"
        except RequestRefused as refusal:
            said[name] = refusal.code.value
    for site in plan.roster:
        assert asked(site, true.values()) == true[site]
    return said


def phases(document: StudyDocument, *, signing_key: bytes) -> tuple[tuple[Told, ...], ...]:
    """Each to be asked when the one before is answered."""
    plan = document.plan
    roster = plan.roster
    first, last = roster[0], roster[-1]
    split = told_rosters(plan, 1)
    phases = (
        tuple(_refused(plan)),
        tuple(_offered(document, signing_key)),
        tuple(_of_offered(document, signing_key)),
        tuple(_vector(plan, site, "honest", roster, round_=1) for site in roster),
        tuple(_replayed(plan)),
        # `first` and `last` each hear that the other is away, the rest that both are there. Were masks not of one
        # roster, they would all cancel.
        tuple(_vector(plan, site, "split", split[site], round_=1, attempt=1) for site in roster),
        (_vector(plan, first, "alone once more", roster, round_=1, attempt=2),),
        # Everybody hears that `last` is away, but `last`.
        tuple(
            _vector(plan, site, "present and absent", roster if site == last else roster[:-1], round_=2)
            for site in roster
        ),
        tuple(
            _vector(
                plan, site, "other weights for one", roster, round_=2, attempt=1, factor=2.0 if site == first else 1.0
            )
            for site in roster
        ),
        (_refusal(plan, first, "more than the reserve", "budget_exceeded", roster=roster, round_=2, attempt=2),),
    )
    return tuple(
        tuple(replace(told, content=signed_by(signing_key, told.content)) for told in phase) for phase in phases
    )


def told_rosters(plan: StudyPlan, attempt: int) -> dict[str, tuple[str, ...]]:
    """What each hospital hears in the first two attempts at round 1: the whole roster, then the split one."""
    roster = plan.roster
    split = {roster[0]: roster[:-1], roster[-1]: roster[1:]}
    return {site: split.get(site, roster) if attempt == 1 else roster for site in roster}


def may_open(plan: StudyPlan, coefficients: Mapping[Which, int]) -> bool:
    """Whether it combines whole rosters' sums alone: the honest attempt's, and the second round's without `last`."""
    roster = plan.roster
    honest = {coefficients[site, 1, 0] for site in roster}
    second = {coefficients[site, 2, 0] for site in roster[:-1]}
    lone = [coefficients[site, 1, 1] for site in roster]
    lone += [coefficients[site, 2, 1] for site in roster]
    lone += [coefficients[roster[0], 1, 2], coefficients[roster[-1], 2, 0]]
    return len(honest) == 1 and len(second) == 1 and not any(lone)


def opening(vectors: Vectors) -> list[dict[Which, int]]:
    """Combinations of the vectors of any two attempts, with coefficients -1, 0 and 1, whose masks have cancelled."""
    found = {}
    attempts = sorted({which[1:] for which in vectors})
    for two in combinations(attempts, 2):
        asked = [which for which in vectors if which[1:] in two]
        words = np.stack([vectors[which][:_LOOKED_AT] for which in asked])
        signs = np.array(list(product((-1, 0, 1), repeat=len(asked))), dtype=np.int64)
        totals = (signs.astype(np.uint64) @ words).view(np.int64)
        for each in signs[(np.abs(totals.astype(np.float64)) < _OPEN_BELOW).all(axis=1)]:
            combination = dict.fromkeys(vectors, 0) | {which: int(one) for which, one in zip(asked, each, strict=True)}
            found[tuple(combination.values())] = combination
    return list(found.values())


def check_openings(plan: StudyPlan, vectors: Vectors) -> None:
    """What may open opens, and nothing else does."""
    found = opening(vectors)
    wrong = [combination for combination in found if not may_open(plan, combination)]
    assert wrong == [], wrong[:3]
    assert len(found) == 9, "two sums, each with -1, 0 or 1"


def answer_in(kind: str, content: RecordDict) -> tuple[str, NDArray[np.uint64] | None]:
    """What a hospital's answer is, in a word, and its masked vector."""
    try:
        if kind == OFFER:
            return plan_state_in(reply_in(content)).value, None
        contribution = contribution_in(reply_in(content))
    except RequestRefused as refusal:
        return refusal.code.value, None
    assert contribution.vector.dtype == np.uint64, "whatever is asked, no vector leaves without its mask"
    return VECTOR, contribution.vector


def _refused(plan: StudyPlan) -> Iterator[Told]:
    """Rosters that would leave too few shares of noise in a sum, or are none."""
    roster = plan.roster
    for own in roster:
        others = [site for site in roster if site != own]
        few = tuple(sorted([own, *others[: plan.smallest_roster - 2]]))
        lists = {
            "nobody else": (own,),
            "one too few": few,
            "one twice, to make them enough": tuple(sorted([*few, few[0]])),
            "a hospital that is none": (*roster, "zz"),
            "one too few, and hospitals that are none": (*few, "zx", "zy", "zz"),
            "not in order": tuple(reversed(roster)),
            "not this one": tuple(others),
        }
        for name, told in lists.items():
            yield _refusal(plan, own, name, "wrong_site", roster=told, round_=1)
        content = question(_request(plan, own, roster, round_=1))
        content.config_records["question"]["masking-keys"] = "00" * 32
        yield Told(f"{own}: keys beside a question", own, TRAIN, content, "internal", by_guard=False)
        keys = question_of(_request(plan, own, roster, round_=1)) + b"\x7a\x20" + bytes(32)
        told_of = encode_question(TRAIN, keys)
        yield Told(f"{own}: keys in a question", own, TRAIN, told_of, "malformed_weights")


def _replayed(plan: StudyPlan) -> Iterator[Told]:
    roster = plan.roster
    for own in roster:
        yield _vector(plan, own, "the same again", roster, round_=1)
        yield _refusal(plan, own, "at other weights", "request_conflict", roster=roster, round_=1, factor=2.0)
        fewer = tuple(site for site in roster if site != (roster[0] if own == roster[-1] else roster[-1]))
        yield _refusal(plan, own, "for another roster", "request_conflict", roster=fewer, round_=1)


def other_plans(plan: StudyPlan) -> dict[str, StudyPlan]:
    """Plans of the same coordinator that would let it see more."""
    shares, privacy = plan.privacy.shares, plan.privacy
    assert shares is not None
    key = public_key_of(new_signing_key()).hex()
    own_keys = tuple(replace(member, answer_public_key=key) for member in plan.members[1:])
    lower = replace(privacy, shares=replace(shares, dropouts=shares.sites - 1, colluding=0))
    return {
        "the coordinator's answer key for all others": replace(plan, members=(plan.members[0], *own_keys)),
        "a lower threshold": replace(plan, privacy=lower),
        "less noise": replace(plan, privacy=replace(privacy, noise_multiplier=privacy.noise_multiplier / 2)),
    }


def _offered(document: StudyDocument, signing_key: bytes) -> Iterator[Told]:
    """The first hospital alone: each is as good as another."""
    first = document.plan.members[0]
    for name, plan in other_plans(document.plan).items():
        yield _offer(name, first.site, _signed(plan, document, signing_key), "offered")
    replaced: tuple[Member, ...] = (replace(first, answer_public_key=public_key_of(new_signing_key()).hex()),)
    plan = replace(document.plan, members=(*replaced, *document.plan.members[1:]))
    yield _offer("another answer key for this hospital", first.site, _signed(plan, document, signing_key), "refused")


def _of_offered(document: StudyDocument, signing_key: bytes) -> Iterator[Told]:
    first = document.plan.roster[0]
    for name, plan in other_plans(document.plan).items():
        yield _refusal(plan, first, name, "not_approved", roster=plan.roster, round_=1)


def _offer(name: str, site: str, document: StudyDocument, answer: str) -> Told:
    return Told(f"{site}: offered: {name}", site, OFFER, offer(document), answer)


def _signed(plan: StudyPlan, document: StudyDocument, signing_key: bytes) -> StudyDocument:
    return signed_document(plan, schema_toml=document.schema_toml, signing_key=signing_key)


def _vector(
    plan: StudyPlan, site: str, name: str, roster: Sequence[str], *, round_: int, attempt: int = 0, factor: float = 1.0
) -> Told:
    request = _request(plan, site, roster, round_=round_, attempt=attempt, factor=factor)
    which = (site, round_, attempt)
    return Told(f"{site}: {name}", site, TRAIN, question(request), VECTOR, which=which)


def _refusal(
    plan: StudyPlan,
    site: str,
    name: str,
    code: str,
    *,
    roster: Sequence[str],
    round_: int,
    attempt: int = 0,
    factor: float = 1.0,
) -> Told:
    request = _request(plan, site, roster, round_=round_, attempt=attempt, factor=factor)
    return Told(f"{site}: {name}", site, TRAIN, question(request), code)


def _request(
    plan: StudyPlan, site: str, roster: Sequence[str], *, round_: int, attempt: int = 0, factor: float = 1.0
) -> ContributeRequest:
    return ContributeRequest(plan.hash, site, round_, attempt, tuple(roster), factor * weights_of(plan))


def weights_of(plan: StudyPlan) -> NDArray[np.float64]:
    """What each hospital is sent, but where it is said."""
    return np.random.default_rng(1).normal(scale=0.1, size=plan.model.parameters)
