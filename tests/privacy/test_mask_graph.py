"""Do masks along a circle hide as much as masks with all, from whoever may collude, and are they refused where not?

Truth from outside: ways through a graph are searched in the test; the circle is worked out a second time, from its
description, by the audit; what opens is tried on real vectors.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from fractions import Fraction
from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import norm
from tests.doubles import study_plan
from tests.privacy.test_masking import (
    BY_CHANCE,
    CONTENT_HASH,
    PLAN_HASH,
    Consortium,
    consortium_of,
    exact_sum,
    extreme_vectors,
    p_of_uniform,
    words_of,
)

from oncofed.errors import InvalidInput, PrivacyRefusal
from oncofed.privacy.mask_graph import EVERYBODY, MaskGraph, graph_of
from oncofed.privacy.masking import Attempt, MaskedVector, MaskingPairs, masked, unmasked_sum
from oncofed.privacy.policy import SitePolicy
from oncofed.protocol.plan import SharedNoise, StudyPlan
from oncofed.protocol.plan_file import plan_from_json
from oncofed.simulations.audit.pair_streams import pair_secret, peers_of, without_pair
from oncofed.simulations.masking_keys import simulated_masks, simulated_member

SEED = bytes(32)
Links = Mapping[str, set[str]]


def names(count: int) -> tuple[str, ...]:
    return tuple(f"site {number:03d}" for number in range(count))


def links_of(graph: MaskGraph, roster: tuple[str, ...], *, seed: bytes = SEED) -> dict[str, set[str]]:
    return {site: set(graph.peers(site, roster, seed=seed)) for site in roster}


def parts_of(links: Links, among: Iterable[str]) -> list[set[str]]:
    """What hangs together, by walking."""
    left, found = set(among), []
    while left:
        reached, waiting = set(), [next(iter(left))]
        while waiting:
            site = waiting.pop()
            if site not in reached:
                reached.add(site)
                waiting += links[site] & left
        left -= reached
        found.append(reached)
    return found


# --- the graph


@pytest.mark.parametrize("count", range(2, 11))
@pytest.mark.parametrize("colluding", range(0, 6))
def test_whoever_colludes_and_however_they_were_chosen_all_others_hang_together(count: int, colluding: int) -> None:
    """Every choice of up to t, in every number of neighbours that a plan may name. None is left to chance."""
    roster = names(count)
    for neighbours in range(colluding + 1, colluding + 5):
        links = links_of(MaskGraph(neighbours, colluding), roster)
        for size in range(min(colluding, count - 1) + 1):
            for corrupt in combinations(roster, size):
                assert len(parts_of(links, set(roster) - set(corrupt))) == 1, (neighbours, corrupt)


@pytest.mark.parametrize("neighbours", [2, 4])
def test_as_many_as_the_neighbours_can_cut_one_off_so_that_fewer_would_not_do(neighbours: int) -> None:
    """Power: the same search finds the cut that a plan with t = neighbours would allow."""
    roster = names(10)
    links = links_of(MaskGraph(neighbours, neighbours - 1), roster)
    cuts = [cut for cut in combinations(roster, neighbours) if len(parts_of(links, set(roster) - set(cut))) > 1]
    assert {frozenset(links[site]) for site in roster} <= set(map(frozenset, cuts))


@settings(deadline=None, max_examples=60)
@given(count=st.integers(2, 40), neighbours=st.integers(0, 45), seed=st.binary(min_size=32, max_size=32))
def test_masks_have_two_ends_and_each_hospital_as_many_as_it_may(count: int, neighbours: int, seed: bytes) -> None:
    roster = names(count)
    links = links_of(MaskGraph(neighbours, 0), roster, seed=seed)
    assert all(site in links[peer] for site in roster for peer in links[site])
    wanted = count - 1 if neighbours == 0 else min(count - 1, 2 * math.ceil(neighbours / 2))
    assert all(len(MaskGraph(neighbours, 0).peers(site, roster, seed=seed)) == wanted for site in roster)
    assert all(len(links[site]) == wanted and site not in links[site] for site in roster)


def test_everybody_masks_with_everybody_where_nothing_is_said() -> None:
    assert links_of(EVERYBODY, names(7)) == {site: set(names(7)) - {site} for site in names(7)}


@pytest.mark.parametrize(("neighbours", "withstands"), [(2, 2), (1, 1), (3, 8), (-1, 0), (4, -1)])
def test_a_graph_that_would_come_apart_is_none(neighbours: int, withstands: int) -> None:
    with pytest.raises(PrivacyRefusal, match="come off"):
        MaskGraph(neighbours, withstands)


def test_no_place_on_the_circle_is_preferred() -> None:
    """Over many seeds each other hospital is a neighbour equally often."""
    roster, draws = names(9), 4000
    counts = Counter(
        peer
        for number in range(draws)
        for peer in MaskGraph(2, 1).peers(roster[0], roster, seed=number.to_bytes(32, "big"))
    )
    expected = 2 * draws / 8
    assert set(counts) == set(roster[1:])
    assert sum((count - expected) ** 2 / expected for count in counts.values()) < 45  # chi-squared of 7: p below 2e-7


# --- the masks


EIGHT = consortium_of(8)
GRAPH = MaskGraph(4, 3)
ATTEMPT = Attempt(PLAN_HASH, release=3, attempt=1, roster=EIGHT.roster, content_hash=CONTENT_HASH)
VECTORS = {site: np.arange(-20_000, 20_000) * (number + 1) for number, site in enumerate(EIGHT.roster)}


def pairs_of(consortium: Consortium, site: str, graph: MaskGraph = GRAPH) -> MaskingPairs:
    return MaskingPairs(
        own=site, private_key=consortium.private_keys[site], public_keys=consortium.public_keys, graph=graph
    )


def answers_to(
    attempt: Attempt, vectors: Mapping[str, NDArray[np.int64]], *, graph: MaskGraph = GRAPH, of: Consortium = EIGHT
) -> list[MaskedVector]:
    limit = 2**62 // len(attempt.roster)
    return [
        masked(vectors[site], pairs=pairs_of(of, site, graph), attempt=attempt, largest_entry=limit)
        for site in attempt.roster
    ]


def known_to(colluding: Iterable[str], answer: MaskedVector, *, graph: MaskGraph = GRAPH) -> NDArray[np.uint64]:
    """The vector with every stream taken off that these have a key of."""
    words = answer.words
    theirs = peers_of(answer.site, attempt=answer.attempt, keys=EIGHT.public_keys, neighbours=graph.neighbours) & set(
        colluding
    )
    for peer in theirs:
        secret = pair_secret(EIGHT.private_keys[peer], EIGHT.public_keys[answer.site])
        words = without_pair(
            words, own=answer.site, peer=peer, secret=secret, attempt=answer.attempt, keys=EIGHT.public_keys
        )
    return words


@pytest.mark.parametrize("absent", [0, 1, 4])
@pytest.mark.parametrize("neighbours", [0, 1, 2, 3, 4, 6, 9])
def test_the_circle_is_the_one_of_the_description(neighbours: int, absent: int) -> None:
    attempt = replace(ATTEMPT, roster=EIGHT.roster[absent:])
    for site in attempt.roster:
        peers = pairs_of(EIGHT, site, MaskGraph(neighbours, 0)).peers(attempt)
        assert set(peers) == peers_of(site, attempt=attempt, keys=EIGHT.public_keys, neighbours=neighbours)


def test_a_circle_follows_from_plan_roster_and_keys_and_from_no_question() -> None:
    """Else a server could ask again until it likes who stands beside whom."""
    site = EIGHT.roster[0]

    def around(attempt: Attempt, consortium: Consortium = EIGHT) -> frozenset[frozenset[str]]:
        return frozenset(
            frozenset((each, peer))
            for each in attempt.roster
            for peer in pairs_of(consortium, each, MaskGraph(2, 1)).peers(attempt)
        )

    drawn = around(ATTEMPT)
    for same in (
        replace(ATTEMPT, release=4),
        replace(ATTEMPT, release="evaluation"),
        replace(ATTEMPT, attempt=2),
        replace(ATTEMPT, content_hash="34" * 32),
    ):
        assert around(same) == drawn
    assert around(replace(ATTEMPT, roster=EIGHT.roster[1:])) != drawn

    def differs(changed: Callable[[], frozenset[frozenset[str]]]) -> bool:
        """One of 2,520 circles of eight is the same by chance; three in a row are so once in 1.6e10."""
        return any(changed() != drawn for _ in range(3))

    def with_another_key() -> frozenset[frozenset[str]]:
        other = consortium_of(8)
        return around(
            ATTEMPT,
            Consortium(
                {**EIGHT.private_keys, site: other.private_keys[site]},
                {**EIGHT.public_keys, site: other.public_keys[site]},
            ),
        )

    plans = iter(("cd" * 32, "ef" * 32, "12" * 32))
    assert differs(lambda: around(replace(ATTEMPT, plan_hash=next(plans))))
    assert differs(with_another_key)


@settings(deadline=None, max_examples=40)
@given(sites=st.integers(2, 12), neighbours=st.integers(0, 12), seed=st.integers(0, 2**32))
def test_the_masked_sum_is_the_integer_sum_bit_for_bit(sites: int, neighbours: int, seed: int) -> None:
    consortium = consortium_of(sites)
    vectors = extreme_vectors(consortium.roster, limit=2**62 // sites, size=20, seed=seed)
    attempt = replace(ATTEMPT, roster=consortium.roster)
    answers = answers_to(attempt, vectors, graph=MaskGraph(neighbours, 0), of=consortium)
    assert unmasked_sum(answers, largest_entry=2**62 // sites).tolist() == exact_sum(vectors)


def test_any_coalition_of_up_to_t_opens_the_sum_of_all_others_and_no_part_of_it() -> None:
    """Server and coalition, each of 92: all subsets of the others' vectors look uniform but the whole."""
    answers = {answer.site: answer for answer in answers_to(ATTEMPT, VECTORS)}
    for size in range(GRAPH.withstands + 1):
        for colluding in combinations(EIGHT.roster, size):
            honest = [site for site in EIGHT.roster if site not in colluding]
            left = {site: known_to(colluding, answers[site]) for site in honest}
            whole = np.sum(list(left.values()), axis=0, dtype=np.uint64)
            np.testing.assert_array_equal(whole.view(np.int64), sum(VECTORS[site] for site in honest))
            for site in honest:
                assert leads_apart(left[site]), (colluding, site)
                assert leads_apart(whole - left[site]), (colluding, site)


def leads_apart(words: NDArray[np.uint64]) -> bool:
    """Whether leading bytes are as of uniform words; unmasked sums here have 0 or 255 in all of them."""
    counts = np.bincount((words >> np.uint64(56)).astype(np.int64), minlength=256)
    expected = len(words) / 256
    return float(((counts - expected) ** 2 / expected).sum()) < 600  # of 255 degrees: p far below 1e-20


def test_all_of_ones_neighbours_would_open_it_which_is_why_there_are_more_than_may_collude() -> None:
    """Power: the attack works with one more than t, and where a plan could name t neighbours it works with t."""
    answers = {answer.site: answer for answer in answers_to(ATTEMPT, VECTORS)}
    for site in EIGHT.roster:
        around = sorted(peers_of(site, attempt=ATTEMPT, keys=EIGHT.public_keys, neighbours=4))
        assert len(around) == GRAPH.withstands + 1
        opened = known_to(around, answers[site])
        np.testing.assert_array_equal(opened.view(np.int64), VECTORS[site])
        assert p_of_uniform(known_to(around[1:], answers[site])) > BY_CHANCE


def test_with_all_who_collude_away_from_the_roster_nothing_changes() -> None:
    """d and t are counted apart: the circle is drawn among those who answer."""
    attempt = replace(ATTEMPT, roster=EIGHT.roster[2:])
    answers = answers_to(attempt, VECTORS)
    assert unmasked_sum(answers, largest_entry=2**59).tolist() == exact_sum(
        {site: VECTORS[site] for site in attempt.roster}
    )
    for one in range(1, len(answers)):
        for some in combinations(answers, one):
            assert p_of_uniform(words_of(some)) > BY_CHANCE / 100


def test_what_a_hospital_masked_before_changes_nothing() -> None:
    """It keeps its secrets over a plan's attempts, and is asked among other rosters in between."""
    site, pairs = EIGHT.roster[3], pairs_of(EIGHT, EIGHT.roster[3])
    for roster in (EIGHT.roster, EIGHT.roster[1:], EIGHT.roster[:7], EIGHT.roster):
        attempt = replace(ATTEMPT, roster=roster)
        words = masked(VECTORS[site], pairs=pairs, attempt=attempt, largest_entry=2**59).words
        afresh = masked(VECTORS[site], pairs=pairs_of(EIGHT, site), attempt=attempt, largest_entry=2**59).words
        np.testing.assert_array_equal(words, afresh)


# --- a server that cheats


def test_hospitals_that_drew_other_circles_cancel_nothing() -> None:
    """Whatever a server may tell one of them: another number of neighbours, roster, or key of a third."""
    honest = answers_to(ATTEMPT, VECTORS)
    site = EIGHT.roster[0]
    limit = 2**59
    for graph in (MaskGraph(2, 1), MaskGraph(6, 3), EVERYBODY):
        other = masked(VECTORS[site], pairs=pairs_of(EIGHT, site, graph), attempt=ATTEMPT, largest_entry=limit)
        with pytest.raises(PrivacyRefusal, match="did not cancel"):
            unmasked_sum([other, *honest[1:]], largest_entry=limit)
        assert leads_apart(words_of([other, *honest[1:]]))


def shared_plan(shares: SharedNoise) -> StudyPlan:
    plan = study_plan()
    roster = tuple(f"site-{number:03d}" for number in range(shares.sites))
    privacy = replace(plan.privacy, mode=type(plan.privacy.mode)("distributed"), shares=shares, epsilon=8.0)
    members = tuple(map(simulated_member, roster))
    return replace(plan, privacy=privacy, roster=roster, members=members, quorum=shares.sites - shares.dropouts)


POLICY = SitePolicy("registry", largest_epsilon=8.0, delta=1e-5, fewest_colluding_tolerated=0)


@pytest.mark.parametrize("neighbours", [1, 2, 3])
def test_a_plan_whose_circle_is_too_thin_is_refused_by_every_hospital(neighbours: int) -> None:
    plan = shared_plan(SharedNoise(20, 2, 3, mask_neighbours=neighbours))
    with pytest.raises(PrivacyRefusal, match=f"mask with {neighbours} others, and 3 may collude"):
        POLICY.refuse_unless_allowed(plan)
    with pytest.raises(PrivacyRefusal, match="come off"):
        graph_of(plan)
    with pytest.raises(PrivacyRefusal, match="come off"):
        simulated_masks(plan, plan.roster[0])


def test_a_plan_that_names_enough_is_not_refused_for_it() -> None:
    shares = SharedNoise(20, 2, 3, mask_neighbours=4)
    assert shares.faults == ()
    assert graph_of(shared_plan(shares)) == MaskGraph(4, 3)
    masks = simulated_masks(shared_plan(shares), "site-000")
    assert masks is not None
    assert masks.graph == MaskGraph(4, 3)


# --- the plan's text


def test_a_plan_that_says_nothing_has_the_text_it_always_had() -> None:
    said = shared_plan(SharedNoise(20, 2, 3))
    assert said.content["privacy"]["shares"] == {"sites": 20, "dropouts": 2, "colluding": 3}
    assert "mask_neighbours" not in said.canonical
    named = shared_plan(SharedNoise(20, 2, 3, mask_neighbours=4))
    assert named.canonical == said.canonical.replace('"dropouts":2,', '"dropouts":2,"mask_neighbours":4,')
    assert named.hash != said.hash
    for plan in (said, named):
        assert plan_from_json(json.loads(plan.canonical)) == plan


def test_a_plan_has_one_text_for_all_with_all() -> None:
    content = json.loads(shared_plan(SharedNoise(20, 2, 3)).canonical)
    content["privacy"]["shares"]["mask_neighbours"] = 0
    with pytest.raises(InvalidInput, match="mask_neighbours: is there, and empty"):
        plan_from_json(content)


# --- beyond what is promised


def chance_of_a_cut(hospitals: int, colluding: int, each_way: int) -> Fraction:
    """That a circle, drawn without regard to who colludes, parts the others.

    From an honest hospital around, the colluding ones lie in the gaps between the h honest ones, each division of c
    into h gaps equally often. It parts where two gaps hold w or more: inclusion and exclusion over the gaps.
    """
    h, c = hospitals - colluding, colluding
    all_ways = math.comb(c + h - 1, h - 1)

    def at_least(gaps: int) -> int:
        """Ways in which these gaps hold w each."""
        rest = c - gaps * each_way
        return 0 if rest < 0 else math.comb(h, gaps) * math.comb(rest + h - 1, h - 1)

    # Of the number of such gaps, P(2 or more) = sum over j >= 2 of (-1)^j (j - 1) S_j.
    total = sum((-1) ** j * (j - 1) * at_least(j) for j in range(2, h + 1))
    return Fraction(total, all_ways)


@pytest.mark.parametrize(("hospitals", "colluding", "each_way"), [(6, 2, 1), (7, 4, 2), (7, 3, 1), (8, 5, 2)])
def test_the_chance_is_that_of_counting_every_circle(hospitals: int, colluding: int, each_way: int) -> None:
    roster, apart, drawn = names(hospitals), 0, 0
    for circle in permutations(range(hospitals)):
        links = {
            roster[site]: {
                roster[circle[(place + step) % hospitals]] for step in range(-each_way, each_way + 1) if step
            }
            for place, site in enumerate(circle)
        }
        drawn += 1
        apart += len(parts_of(links, roster[colluding:])) > 1
    assert Fraction(apart, drawn) == chance_of_a_cut(hospitals, colluding, each_way)


@pytest.mark.parametrize(
    ("hospitals", "neighbours", "most_by_chance"),
    [(50, 6, 5), (50, 12, 11), (200, 22, 45), (200, 44, 100), (1000, 102, 701)],
)
def test_beyond_t_the_chances_are_those_of_the_page(hospitals: int, neighbours: int, most_by_chance: int) -> None:
    """By the rule for t or fewer there is none at all, and up to so many it is at most 2^-40."""
    for colluding in range(neighbours):
        assert chance_of_a_cut(hospitals, colluding, neighbours // 2) == 0
    assert chance_of_a_cut(hospitals, most_by_chance, neighbours // 2) <= Fraction(1, 2**40)
    assert chance_of_a_cut(hospitals, most_by_chance + 1, neighbours // 2) > Fraction(1, 2**40)


@pytest.mark.parametrize(("bits", "neighbours"), [(40, 18), (120, 40)])
def test_of_a_thousand_a_tenth_of_which_is_corrupt_before_it_is_drawn_fewer_would_do(
    bits: int, neighbours: int
) -> None:
    """What the page says of a degree that grows with the logarithm."""
    assert chance_of_a_cut(1000, 100, neighbours // 2) <= Fraction(1, 2**bits)
    assert chance_of_a_cut(1000, 100, neighbours // 2 - 1) > Fraction(1, 2**bits)


@pytest.mark.parametrize(
    ("hospitals", "epsilons"),
    [(50, (8.2, 5.4, 3.2, 2.15)), (200, (19.6, 12.5, 7.1, 4.8)), (1000, (60, 36, 19.6, 12.5))],
    ids=str,
)
def test_what_hospitals_that_are_parted_have_is_as_the_page_says(hospitals: int, epsilons: tuple[float, ...]) -> None:
    """By the closed form of Gaussian noise (Balle and Wang, 2018): m of h shares, 66 rounds of epsilon 1 together."""

    def delta_of(epsilon: float, mean: float) -> float:
        """mean: the square root of the rounds over the noise multiplier."""
        tail = norm.logcdf(-epsilon / mean - mean / 2)
        return float(norm.cdf(-epsilon / mean + mean / 2) - math.exp(epsilon + tail))

    def mean_of(epsilon: float) -> float:
        return float(brentq(lambda mean: delta_of(epsilon, mean) - 1e-5, 1e-3, 50))

    tenth = hospitals // 10
    guaranteed = hospitals - 2 * tenth
    promised = mean_of(1.0)
    for shares, epsilon in zip((1, 2, 5, 10), epsilons, strict=True):
        assert mean_of(epsilon) == pytest.approx(promised * math.sqrt(guaranteed / shares), rel=0.015)
