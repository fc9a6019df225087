"""Can a server that lies about who is there open more than it is entitled to? Every lie, for three to five hospitals.

What is checked, exactly. In each attempt the server tells each hospital that does not collude a roster of its choosing
(every subset of the plan's names, right or wrong) and one of two sets of weights, or nothing. A hospital answers if the
real `refuse_roster` lets it, with its vector, a fresh share of noise, and one mask for each other member of the roster
it was told, or, where the plan names neighbours, for those of the circle that are nearest. Masks are unknowns, the same
at both ends of a pair exactly if attempt, roster and weights are; those of pairs with a colluding hospital are known. A
sum of answers with any coefficients is *opened* if all unknown masks cancel.

(S) The opened combinations are exactly those of the sums over whole rosters, each answered by all its honest members
    for the same weights. Each of these rosters has at least K - d members, so K - d - t honest ones.
(V) In every opened combination in which hospital i's vector has coefficient 1 (whatever is known about all other
    vectors), the variance of the unknown noise is at least (K - d - t) / m shares, m being how many answers i was
    charged for. That is what the ledger's composition of m releases grants.

Scope. (S) by linear algebra on the answers themselves: K = 3 over one and two attempts and with hospitals that forget
what they answered, K = 4 over one; with two sets of weights K = 3 over one attempt, also with hospitals that forget;
else everybody is sent the same (other weights only make more unknowns different). With neighbours, K = 4 over one
attempt, and K = 5 and 6 over who answers a whole roster, for every circle. K = 4 and 5 over all lies of an attempt by
way of the answers to each roster, since unknowns of different rosters are different. (V) over all that up to three
attempts can open. Coefficients are real numbers; modulo 2^64 the same combinations open, because an unknown stands in
two answers at most, with coefficients +1 and -1, so each condition is "c_i = c_j" or "c_i = 0". That the real masks
behave like the unknowns is a test at the end, for three hospitals, and statistics in test_masking.py. Each rule is
taken out once, and the checks then fail.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain, combinations, combinations_with_replacement, pairwise, permutations, product

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.privacy.test_masking import PLAN_HASH, consortium_of

from oncofed.errors import PrivacyRefusal
from oncofed.privacy.masking import Attempt, refuse_roster

Roster = tuple[str, ...]


@dataclass(frozen=True)
class Setting:
    """K hospitals; the last t of them collude with the server. neighbours: as the plan names them; 0 for all.

    circle: in which order the hospitals stand on it; of each roster, those of the roster.
    """

    sites: int
    dropouts: int
    colluding: int
    neighbours: int = 0
    circle: str = "abcdef"

    @property
    def plan(self) -> Roster:
        return tuple("abcdef"[: self.sites])

    @property
    def honest(self) -> Roster:
        return self.plan[: self.sites - self.colluding]

    @property
    def promised(self) -> int:
        """Honest shares of the noise in each sum."""
        return self.sites - self.dropouts - self.colluding


SETTINGS = [
    Setting(sites, dropouts, colluding)
    for sites in (3, 4, 5)
    for dropouts in (0, 1, 2)
    for colluding in (0, 1, 2)
    if sites - dropouts - colluding >= 1 and sites - dropouts >= 2  # else no policy allows the plan
]


def mask_together(setting: Setting, one: str, other: str, roster: Roster) -> bool:
    """Whether one is among the nearest of the other, counted around the circle."""
    circle = [site for site in setting.circle if site in roster]
    apart = abs(circle.index(one) - circle.index(other))
    return not setting.neighbours or min(apart, len(circle) - apart) <= (setting.neighbours + 1) // 2


@dataclass(frozen=True, order=True)
class Answer:
    """One hospital's masked vector in one attempt, for the roster it was told and the weights it was sent."""

    site: str
    attempt: int
    roster: Roster
    weights: str = "as all"


MaskKey = Callable[[Answer], object]
"""What a mask depends on beside the pair."""


def as_built(answer: Answer) -> object:
    return (answer.attempt, answer.roster, answer.weights)


WEIGHTS = ("as all", "others")


def subsets(names: Sequence[str]) -> Iterator[Roster]:
    return chain.from_iterable(combinations(names, size) for size in range(len(names) + 1))


Answers = Callable[[Roster, Setting, str], bool]


@cache
def by_the_rule(roster: Roster, setting: Setting, own: str) -> bool:
    """The real rule."""
    try:
        refuse_roster(roster, plan_roster=setting.plan, own=own, dropouts=setting.dropouts)
    except PrivacyRefusal:
        return False
    return True


def answered_rosters(setting: Setting, own: str, answers: Answers = by_the_rule) -> list[Roster]:
    return [roster for roster in subsets(setting.plan) if answers(roster, setting, own)]


def lies(setting: Setting, attempt: int, answers: Answers = by_the_rule) -> Iterator[tuple[Answer, ...]]:
    """What comes back, for everything that the server may say in one attempt. A refused lie is like saying nothing."""
    choices = [[None, *answered_rosters(setting, own, answers)] for own in setting.honest]
    for told in product(*choices):
        yield tuple(
            Answer(own, attempt, roster) for own, roster in zip(setting.honest, told, strict=True) if roster is not None
        )


def lies_about_weights(setting: Setting, *, answers_of_each: int = 1) -> Iterator[list[Answer]]:
    """Everything that may come back in one attempt with two sets of weights.

    answers_of_each  how often each hospital may answer the attempt; a guard does so once, unless its records are lost.
    """
    choices = []
    for own in setting.honest:
        answers = [Answer(own, 0, roster, sent) for roster in answered_rosters(setting, own) for sent in WEIGHTS]
        choices.append([told for size in range(answers_of_each + 1) for told in combinations(answers, size)])
    for told in product(*choices):
        yield list(chain.from_iterable(told))


def unknown_masks(setting: Setting, answers: Sequence[Answer], key: MaskKey) -> NDArray[np.float64]:
    """(answers, unknown masks): the coefficient with which each stands in each answer."""
    columns: dict[object, int] = {}
    entries = []
    for row, answer in enumerate(answers):
        for peer in answer.roster:
            together = peer != answer.site and mask_together(setting, answer.site, peer, answer.roster)
            if together and peer in setting.honest:
                pair = (*sorted((answer.site, peer)), key(answer))
                entries.append((row, columns.setdefault(pair, len(columns)), 1.0 if answer.site < peer else -1.0))
    matrix = np.zeros((len(answers), len(columns)))
    for row, column, sign in entries:
        matrix[row, column] += sign
    return matrix


def whole_rosters(setting: Setting, answers: Sequence[Answer]) -> list[tuple[Answer, ...]]:
    """The groups of answers to one roster and weights in one attempt that hold all its honest members."""
    groups: dict[tuple[int, Roster, str], list[Answer]] = {}
    for answer in answers:
        groups.setdefault((answer.attempt, answer.roster, answer.weights), []).append(answer)
    return [
        tuple(group)
        for (_, roster, _), group in groups.items()
        if {answer.site for answer in group} == set(roster) & set(setting.honest)
    ]


def opens_whole_rosters_only(setting: Setting, answers: Sequence[Answer], key: MaskKey = as_built) -> bool:
    """(S) for these answers: the sums over whole rosters open, there is nothing else, and each is large enough."""
    masks = unknown_masks(setting, answers, key)
    whole = whole_rosters(setting, answers)
    sums = np.array([[answer in group for answer in answers] for group in whole], dtype=float)
    sums = sums.reshape(len(whole), len(answers))
    rank = int(np.linalg.matrix_rank(masks)) if masks.size else 0
    return (
        not np.abs(sums @ masks).any()
        and len(answers) - rank == len(whole)  # sums of different groups are independent, so they span all
        and all(len(group[0].roster) >= setting.sites - setting.dropouts for group in whole)
        and all(len(group) >= setting.promised for group in whole)
    )


THREE = [setting for setting in SETTINGS if setting.sites == 3]
FOUR = [setting for setting in SETTINGS if setting.sites == 4]


@pytest.mark.parametrize("setting", [*THREE, *FOUR], ids=str)
def test_one_attempt_opens_sums_over_whole_rosters_and_nothing_else(setting: Setting) -> None:
    outcomes = list(lies(setting, 0))
    assert len(outcomes) >= 2 ** len(setting.honest)
    assert all(opens_whole_rosters_only(setting, answers) for answers in outcomes)


@pytest.mark.parametrize("setting", [setting for setting in THREE if setting.dropouts < 2], ids=str)
def test_two_attempts_open_no_more_than_each_by_itself(setting: Setting) -> None:
    for first, second in product(lies(setting, 0), lies(setting, 1)):
        assert opens_whole_rosters_only(setting, [*first, *second])


@pytest.mark.parametrize("setting", THREE, ids=str)
def test_even_hospitals_that_forget_what_they_answered_give_whole_rosters_only(setting: Setting) -> None:
    """The guard answers an attempt for one roster only; were that to fail, the masks would still hold."""
    choices = []
    for own in setting.honest:
        rosters = answered_rosters(setting, own)
        choices.append([told for size in range(3) for told in combinations(rosters, size)])
    for told in product(*choices):
        answers = [
            Answer(own, 0, roster) for own, rosters in zip(setting.honest, told, strict=True) for roster in rosters
        ]
        assert opens_whole_rosters_only(setting, answers)


@pytest.mark.parametrize("setting", THREE, ids=str)
def test_a_server_that_sends_other_weights_to_some_opens_sums_over_the_same_weights_only(setting: Setting) -> None:
    for answers in lies_about_weights(setting):
        assert opens_whole_rosters_only(setting, answers)


@pytest.mark.parametrize("setting", [setting for setting in THREE if setting.dropouts < 2], ids=str)
def test_neither_do_hospitals_that_forget_which_weights_they_answered(setting: Setting) -> None:
    """Ledger and answers restored from a backup. At most two answers a hospital: there are two sets of weights."""
    for answers in lies_about_weights(setting, answers_of_each=2):
        assert opens_whole_rosters_only(setting, answers)


WITH_NEIGHBOURS = [
    replace(setting, neighbours=setting.colluding + 1, circle="".join(circle))
    for setting in SETTINGS
    if setting.sites == 4
    for circle in permutations(setting.plan)
    if circle[0] == "a" and circle[1] < circle[-1]  # turned around, or the other way, it is the same
]


@pytest.mark.parametrize("setting", WITH_NEIGHBOURS, ids=str)
def test_with_neighbours_one_attempt_opens_sums_over_whole_rosters_and_nothing_else(setting: Setting) -> None:
    assert all(opens_whole_rosters_only(setting, answers) for answers in lies(setting, 0))


def opens_alike(setting: Setting) -> bool:
    """(S) for each roster and whoever of it answers; unknowns of different rosters are different."""
    rosters = [roster for roster in subsets(setting.plan) if len(roster) >= setting.sites - setting.dropouts]
    return all(
        opens_whole_rosters_only(setting, [Answer(site, 0, roster) for site in answering])
        for roster in rosters
        for answering in subsets([site for site in roster if site in setting.honest])
    )


@pytest.mark.parametrize("colluding", [0, 1, 2, 3])
@pytest.mark.parametrize("sites", [5, 6])
def test_with_more_neighbours_than_may_collude_every_circle_will_do(sites: int, colluding: int) -> None:
    for circle in permutations("abcdef"[:sites]):
        if circle[0] == "a" and circle[1] < circle[-1]:
            for neighbours in (colluding + 1, colluding + 2):
                assert opens_alike(Setting(sites, 1, colluding, neighbours, "".join(circle)))


@cache
def opened_by_one_attempt(setting: Setting) -> frozenset[frozenset[Roster]]:
    """Every set of rosters whose sums one attempt can open, over every lie.

    Unknown masks of different rosters are different, so the answers to each roster are checked by themselves.
    """
    honest_of = {roster: tuple(site for site in setting.honest if site in roster) for roster in subsets(setting.plan)}
    sound: set[tuple[Roster, Roster]] = set()
    outcomes = set()
    for told in product(*([None, *answered_rosters(setting, own)] for own in setting.honest)):
        groups: dict[Roster, list[str]] = {}
        for own, roster in zip(setting.honest, told, strict=True):
            if roster is not None:
                groups.setdefault(roster, []).append(own)
        for roster, group in groups.items():
            sites = tuple(group)
            if (roster, sites) not in sound:
                assert opens_whole_rosters_only(setting, [Answer(site, 0, roster) for site in sites])
                sound.add((roster, sites))
        outcomes.add(frozenset(roster for roster, group in groups.items() if tuple(group) == honest_of[roster]))
    return frozenset(outcomes)


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_no_opened_sum_is_smaller_than_promised_whatever_the_server_says(setting: Setting) -> None:
    outcomes = opened_by_one_attempt(setting)
    opened = set(chain.from_iterable(outcomes))
    entitled = {roster for roster in subsets(setting.plan) if len(roster) >= setting.sites - setting.dropouts}
    # With honest members only: a roster of colluding ones alone has none, and promised >= 1 rules it out.
    assert opened == entitled
    for rosters in outcomes:
        for one, other in combinations(rosters, 2):
            assert not set(one) & set(other) & set(setting.honest)  # one answer to an attempt, so in one sum


def least_noise(setting: Setting, opened: Sequence[tuple[int, Roster]], own: str, *, fresh: bool = True) -> float:
    """The least variance, in shares, of the unknown noise in a combination of sums with coefficient 1 on own's vector.

    Others' vectors may have any coefficient: they may be known. fresh: whether each attempt has noise of its own.
    """
    sources = sorted({(site, attempt if fresh else 0) for attempt, roster in opened for site in roster})
    noise = np.array(
        [
            [site in roster and site in setting.honest and by == (attempt if fresh else 0) for site, by in sources]
            for attempt, roster in opened
        ],
        dtype=float,
    )
    holds = np.array([own in roster for _, roster in opened], dtype=float)
    # Minimise c' Cov c with holds' c = 1: a null direction of Cov that moves the coefficient makes it 0.
    values, vectors = np.linalg.eigh(noise @ noise.T)
    along = vectors.T @ holds
    if (np.abs(along[values < 1e-9]) > 1e-9).any():
        return 0.0
    solid = values >= 1e-9
    return float(1 / (along[solid] ** 2 / values[solid]).sum())


def hidden_well_enough(setting: Setting, attempts: Iterable[frozenset[Roster]], *, fresh: bool = True) -> bool:
    """(V) for what these attempts opened."""
    opened = [(number, roster) for number, rosters in enumerate(attempts) for roster in rosters]
    for own in setting.honest:
        charged = len({number for number, roster in opened if own in roster})
        if charged and least_noise(setting, opened, own, fresh=fresh) < setting.promised / charged - 1e-9:
            return False
    return True


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_no_combination_of_three_attempts_has_less_noise_than_was_charged(setting: Setting) -> None:
    outcomes = sorted(opened_by_one_attempt(setting), key=repr)
    for attempts in combinations_with_replacement(outcomes, 3):
        assert hidden_well_enough(setting, attempts)


def test_the_least_noise_in_numbers() -> None:
    """All five, then all but `a`: the difference is a's vector, with nine shares of noise; the sums alone have five."""
    setting = Setting(5, 1, 0)
    both = [(0, setting.plan), (1, setting.plan[1:])]
    assert least_noise(setting, both, "a") == pytest.approx(5)  # known others: the first sum by itself
    assert least_noise(setting, both, "b") == pytest.approx(1 / (1 / 5 + 1 / 4))
    twice = [(0, setting.plan), (1, setting.plan)]
    assert least_noise(setting, twice, "a") == pytest.approx(2.5)


# --- each rule taken out


def test_without_a_least_roster_a_smaller_sum_opens() -> None:
    setting = Setting(4, 1, 0)

    def any_roster(roster: Roster, _: Setting, own: str) -> bool:
        return own in roster

    assert not all(opens_whole_rosters_only(setting, answers) for answers in lies(setting, 0, any_roster))


def test_with_no_more_neighbours_than_may_collude_some_circle_opens_one_hospital() -> None:
    assert opens_alike(Setting(6, 0, 2, 3, "abecfd"))
    assert not opens_alike(Setting(6, 0, 2, 2, "aebcfd"))  # e and f collude, and stand around b and c
    assert opens_alike(Setting(6, 0, 2, 2, "abcdef")), "side by side they part nobody"


def test_with_masks_that_do_not_depend_on_the_roster_a_lying_server_opens_other_sums() -> None:
    """`a` is told that d is missing, all others that everybody is there."""
    setting = Setting(4, 1, 0)
    assert not all(
        opens_whole_rosters_only(setting, answers, key=lambda answer: answer.attempt) for answers in lies(setting, 0)
    )


def test_with_masks_that_do_not_depend_on_the_weights_one_hospital_that_forgets_is_open() -> None:
    """The difference of its two answers has no mask left: two sums of one hospital, and its noise alone."""
    setting = Setting(3, 0, 0)

    def by_roster(answer: Answer) -> object:
        return (answer.attempt, answer.roster)

    assert not all(opens_whole_rosters_only(setting, answers, by_roster) for answers in lies_about_weights(setting))
    twice = [Answer("a", 0, setting.plan, sent) for sent in WEIGHTS]
    assert not (np.array([1.0, -1.0]) @ unknown_masks(setting, twice, by_roster)).any()
    assert (np.array([1.0, -1.0]) @ unknown_masks(setting, twice, as_built)).any()


def test_with_masks_that_do_not_depend_on_the_attempt_two_attempts_open_one_hospital() -> None:
    setting = Setting(3, 1, 0)
    pairs = product(lies(setting, 0), lies(setting, 1))
    assert not all(
        opens_whole_rosters_only(setting, [*first, *second], key=lambda answer: answer.roster)
        for first, second in pairs
    )


def test_with_noise_that_is_used_again_two_attempts_have_too_little() -> None:
    setting = Setting(4, 1, 0)
    outcomes = sorted(opened_by_one_attempt(setting), key=repr)
    assert not all(
        hidden_well_enough(setting, attempts, fresh=False) for attempts in combinations_with_replacement(outcomes, 2)
    )


def test_with_shares_sized_for_everybody_dropouts_leave_too_little_noise() -> None:
    """As if sigma^2 / K were added where K - d - t is promised."""
    setting = Setting(5, 2, 1)
    generous = max(
        (setting.sites / least_noise(setting, [(0, roster)], "a"))
        for rosters in opened_by_one_attempt(setting)
        for roster in rosters
        if "a" in roster
    )
    assert generous == pytest.approx(setting.sites / setting.promised)


# --- the real masks


def opened_in_truth(words: Mapping[Answer, NDArray[np.uint64]], coefficients: Sequence[int]) -> bool:
    total = np.zeros(4, dtype=np.uint64)
    for answer, coefficient in zip(words, coefficients, strict=True):
        total = total + words[answer] * np.int64(coefficient).astype(np.uint64)
    return bool((np.abs(total.view(np.int64).astype(float)) < 2**30).all())  # by chance: 2^-132


def test_real_masks_open_what_the_model_says() -> None:
    """Every lie in one attempt among three, and every combination with coefficients -1, 0 and 1."""
    setting = Setting(3, 1, 0)
    consortium = consortium_of(3)
    names = dict(zip(setting.plan, consortium.roster, strict=True))
    vector = np.array([1, -1, 2**20, 0])

    @cache
    def words_of(answer: Answer) -> NDArray[np.uint64]:
        roster = tuple(names[site] for site in answer.roster)
        attempt = Attempt(PLAN_HASH, 1, answer.attempt, roster, content_hash=answer.weights)
        return consortium.masked(vector, names[answer.site], attempt).words

    opened = 0
    for answers in lies_about_weights(setting):
        words = {answer: words_of(answer) for answer in answers}
        masks = unknown_masks(setting, answers, as_built)
        for coefficients in product((-1, 0, 1), repeat=len(answers)):
            expected = not np.abs(np.array(coefficients, dtype=float) @ masks).any()
            assert opened_in_truth(words, coefficients) == expected
            opened += expected and any(coefficients)
    assert opened > 0


def test_the_plan_of_a_setting_is_sorted_as_a_roster_must_be() -> None:
    assert all(one < other for one, other in pairwise(Setting(5, 0, 0).plan))
