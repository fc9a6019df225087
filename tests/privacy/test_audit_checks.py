"""Does each check of the audit pass the real guard and fail the guards that it is there to notice?

The guards are the project's own, and so is their noise, which has no seed; a check fails a sound guard by chance with
probability below 1e-6 (the one-run audit: see its docstring). What a check does not notice is asserted as well, so that
docs/audit.md claims neither too much nor too little.
"""

from __future__ import annotations

import re
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from _pytest.mark.structures import ParameterSet
from tests.audit_targets import ROUNDS_TO_OVERFIT, SMALL, small_target, small_target_with_summaries

from oncofed.privacy.mask_graph import MaskGraph
from oncofed.protocol.plan import PrivacyMode, SharedNoise
from oncofed.simulations.audit.audit import CHECKS, FULL, audited, checks
from oncofed.simulations.audit.constants import CONSTANTS
from oncofed.simulations.audit.inversion import INVERSION
from oncofed.simulations.audit.ledger_count import LEDGER
from oncofed.simulations.audit.low_bits import LOW_BITS
from oncofed.simulations.audit.mask_soundness import MASKS
from oncofed.simulations.audit.membership import LEAST_OF_CONTROL, MEMBERSHIP, likelihood_ratios
from oncofed.simulations.audit.mutant_table import NOTHING_BROKEN
from oncofed.simulations.audit.mutants import MUTANTS, SUMMARY_MUTANTS, mutants_of
from oncofed.simulations.audit.noise_scale import FRESH_NOISE, NOISE_SCALE
from oncofed.simulations.audit.one_run import ONE_RUN, REPEATED_CANARIES
from oncofed.simulations.audit.refusals import REFUSALS
from oncofed.simulations.audit.sensitivity import SENSITIVITY
from oncofed.simulations.audit.study_target import target_of
from oncofed.simulations.audit.summaries import SUMMARIES
from oncofed.simulations.audit.target import Target, replaced
from oncofed.simulations.audit.verdict import Outcome, Verdict
from oncofed.simulations.audit.what_is_added import WHAT_IS_ADDED
from oncofed.simulations.masking_keys import simulated_member
from oncofed.simulations.study import read_study

REPOSITORY = Path(__file__).resolve().parents[2]
LOCAL, SHARED = PrivacyMode.LOCAL, PrivacyMode.DISTRIBUTED
MODES = (LOCAL, SHARED)

CAUGHT_BY: dict[tuple[PrivacyMode, str], set[str]] = {
    (LOCAL, "no noise"): {LOW_BITS, FRESH_NOISE, NOISE_SCALE, INVERSION, ONE_RUN, REPEATED_CANARIES, MEMBERSHIP},
    (LOCAL, "half noise"): {NOISE_SCALE, REPEATED_CANARIES},
    (LOCAL, "float noise"): {LOW_BITS, SENSITIVITY, WHAT_IS_ADDED},
    (LOCAL, "odd patients left in"): {WHAT_IS_ADDED},
    (LOCAL, "any constant"): {CONSTANTS},
    (LOCAL, "refused by size"): {REFUSALS},
    (LOCAL, "failures told"): {REFUSALS},
    (LOCAL, "answers at once"): {REFUSALS},
    (LOCAL, "no clip"): {LOW_BITS, SENSITIVITY, WHAT_IS_ADDED, ONE_RUN, REPEATED_CANARIES},
    (LOCAL, "seeded noise"): {FRESH_NOISE},
    (LOCAL, "restarted noise"): {LOW_BITS, FRESH_NOISE},
    (LOCAL, "uncharged rounds"): {LEDGER},
    (LOCAL, "Cox loss"): {SENSITIVITY, WHAT_IS_ADDED},
    (LOCAL, "mean for sum"): {NOISE_SCALE, WHAT_IS_ADDED},
    (SHARED, "odd patients left in"): {WHAT_IS_ADDED},
    (SHARED, "any constant"): {CONSTANTS},
    (SHARED, "refused by size"): {REFUSALS},
    (SHARED, "failures told"): {REFUSALS},
    (SHARED, "answers at once"): {REFUSALS},
    (SHARED, "no noise"): {LOW_BITS, FRESH_NOISE, NOISE_SCALE, ONE_RUN, REPEATED_CANARIES, MEMBERSHIP},
    (SHARED, "half noise"): {NOISE_SCALE},
    (SHARED, "no clip"): {LOW_BITS, SENSITIVITY, WHAT_IS_ADDED, MASKS, ONE_RUN, REPEATED_CANARIES},
    (SHARED, "reused shares"): {FRESH_NOISE, NOISE_SCALE},
    (SHARED, "uncharged rounds"): {LEDGER},
    (SHARED, "Cox loss"): {SENSITIVITY, WHAT_IS_ADDED, MASKS},
    (SHARED, "a mask left out"): {MASKS},
    (SHARED, "rounding for free"): {LEDGER, SENSITIVITY},
}
"""By mode and mutant, the checks that must fail it, as the tables of docs/audit.md say."""

ON_THE_STUDY_ONLY = {(SHARED, "no noise", INVERSION), (LOCAL, "restarted noise", MEMBERSHIP)}
"""Caught on the audit study only: by a few patients, since on the small target rounding to even fewer bits hides them
all; and with 48 models, since 14 tell too little of a noise that is the same in all of them."""


def target_for(check: str, mode: PrivacyMode) -> Target:
    return small_target(mode, rounds=ROUNDS_TO_OVERFIT) if check == MEMBERSHIP else small_target(mode)


def is_slow(mode: PrivacyMode, mutant: str, check: str) -> bool:
    if check in (ONE_RUN, REPEATED_CANARIES):  # they look at what leaves as that of the other mode
        return mode is SHARED and check in CAUGHT_BY.get((LOCAL, mutant), ())
    return check == MEMBERSHIP and (mode, mutant) != (LOCAL, NOTHING_BROKEN)


def cases(pairs: list[tuple[PrivacyMode, str, str]]) -> list[ParameterSet]:
    """(mode, mutant or nothing, check); games that take seconds are marked slow: that of membership but for one case,
    those of canaries where the other mode has the same.
    """
    return [
        pytest.param(
            mode, mutant, check, id=f"{mode}-{mutant}-{check}", marks=[pytest.mark.slow] * is_slow(mode, mutant, check)
        )
        for mode, mutant, check in pairs
    ]


def verdict_of(check: str, target: Target) -> Verdict:
    (verdict,) = audited(target, effort=SMALL, seed=3, only=[check])
    return verdict


@pytest.mark.parametrize(
    ("mode", "_mutant", "check"), cases([(mode, NOTHING_BROKEN, check) for mode in MODES for check in CHECKS])
)
def test_the_real_guard_fails_no_check(mode: PrivacyMode, _mutant: str, check: str) -> None:
    verdict = verdict_of(check, target_for(check, mode))
    assert not verdict.failed, verdict.measured
    if (check == MASKS and mode is LOCAL) or check == SUMMARIES:  # its plan has none; below is one that has
        assert verdict.outcome is Outcome.NOT_APPLICABLE
    elif not (check == INVERSION and mode is SHARED):  # where rounding to so few bits hides patients by itself
        assert verdict.passed, verdict.measured
        assert verdict.power.probability > 0.9
    if check == MEMBERSHIP:
        control = [value for name, value in verdict.figures.items() if name.endswith("without_privacy")]
        assert max(control) > LEAST_OF_CONTROL
    assert verdict.seconds > 0


def with_neighbours(target: Target) -> Target:
    """Of seven hospitals, each of which masks with two at least; one may be missing and one collude."""
    roster = ("Bonn", "Celle", "Essen", "Hof", "Jena", "Kiel", "Ulm")
    shares = SharedNoise(7, 1, 1, mask_neighbours=2)
    privacy = replace(target.plan.privacy, shares=shares, epsilon=1.01)  # rounding weighs more in smaller shares
    members = tuple(map(simulated_member, roster))
    return replace(target, plan=replace(target.plan, roster=roster, members=members, quorum=6, privacy=privacy))


def test_masks_with_neighbours_are_sound_and_a_mask_left_out_is_caught() -> None:
    target = with_neighbours(small_target(SHARED))
    verdict = verdict_of(MASKS, target)
    assert verdict.passed, verdict.measured
    assert "of the 6 pairs of 6" in verdict.power.defect
    assert verdict_of(MASKS, mutants_of(SHARED)["a mask left out"].of(target)).failed


def test_masks_with_one_neighbour_alone_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two by two, so that the sum still opens, bit for bit, and one that colludes opens its partner."""

    def partner(graph: MaskGraph, own: str, roster: tuple[str, ...], *, seed: bytes) -> tuple[str, ...]:
        circle = sorted(roster)
        return (circle[circle.index(own) ^ 1],)

    monkeypatch.setattr(MaskGraph, "peers", partner)
    assert verdict_of(MASKS, with_neighbours(small_target(SHARED))).failed


@pytest.mark.parametrize(
    ("mode", "mutant", "check"),
    cases([(mode, mutant, check) for (mode, mutant), caught in CAUGHT_BY.items() for check in sorted(caught)]),
)
def test_each_mutant_is_caught_by_the_checks_that_the_table_says(mode: PrivacyMode, mutant: str, check: str) -> None:
    verdict = verdict_of(check, mutants_of(mode)[mutant].of(target_for(check, mode)))
    assert verdict.failed, verdict.measured


def test_every_mutant_is_caught_by_some_check() -> None:
    assert {(mode, mutant.name) for mutant in MUTANTS for mode in mutant.modes} == set(CAUGHT_BY)
    assert all(CAUGHT_BY.values())


@pytest.mark.parametrize("mode", MODES)
def test_a_mutant_differs_from_the_real_target_in_one_part_and_leaves_nothing_behind(mode: PrivacyMode) -> None:
    real = small_target(mode)
    for mutant in mutants_of(mode).values():
        broken = mutant.of(real)
        different = [
            field.name for field in fields(Target) if getattr(broken, field.name) is not getattr(real, field.name)
        ]
        assert len(different) == 1, mutant.name
        with broken.broken():
            pass
    assert verdict_of(LEDGER, real).passed
    assert verdict_of(SENSITIVITY, real).passed


CAUGHT_OF_SUMMARIES = {
    (LOCAL, "no noise"),
    (LOCAL, "half noise"),
    (LOCAL, "uncharged rounds"),
    (LOCAL, "summary without noise"),
    (LOCAL, "patients counted twice"),
    (SHARED, "no noise"),
    (SHARED, "half noise"),
    (SHARED, "uncharged rounds"),
    (SHARED, "rounding for free"),
    (SHARED, "patients counted twice"),
}


@pytest.mark.parametrize("mode", MODES)
def test_summaries_of_the_real_guard_pass(mode: PrivacyMode) -> None:
    verdict = verdict_of(SUMMARIES, small_target_with_summaries(mode))
    assert verdict.passed, verdict.measured
    assert {"largest of evaluation", "ratio of key_markers"} <= set(verdict.figures)


@pytest.mark.parametrize(
    ("mode", "mutant"),
    [  # of each mode one is in the gate
        pytest.param(mode, mutant, marks=[] if mutant == "patients counted twice" else [pytest.mark.slow])
        for mode, mutant in sorted(CAUGHT_OF_SUMMARIES)
    ],
)
def test_each_defect_of_summaries_is_caught(mode: PrivacyMode, mutant: str) -> None:
    target = small_target_with_summaries(mode)
    assert verdict_of(SUMMARIES, mutants_of(mode, with_summaries=True)[mutant].of(target)).failed


def test_every_mutant_of_summaries_is_among_them() -> None:
    assert {(mode, mutant.name) for mutant in SUMMARY_MUTANTS for mode in mutant.modes} <= CAUGHT_OF_SUMMARIES


def test_a_part_that_was_replaced_is_put_back_after_a_failure() -> None:
    before = np.square
    with pytest.raises(RuntimeError, match="on purpose"), replaced(np, "square", None):
        raise RuntimeError("on purpose")
    assert np.square is before


def test_the_tables_on_the_page_are_those_of_this_test() -> None:
    text = (REPOSITORY / "docs" / "audit.md").read_text()
    for mode in MODES:
        section = text.partition(f"Mode `{mode.value}`")[2]
        lines = re.findall(r"(?m)^\|(.*)\|$", section.partition("\n\nMode ")[0])
        names = [cell.strip() for cell in lines[0].split("|")][1:]
        said = {}
        for line in lines[2:]:
            mutant, *cells = (cell.strip() for cell in line.split("|"))
            if len(cells) != len(names) or mutant == NOTHING_BROKEN:
                continue
            said[mutant] = {check for check, cell in zip(names, cells, strict=True) if cell == "**caught**"}
        expected = {mutant: set(caught) for (of, mutant), caught in CAUGHT_BY.items() if of is mode}
        for _, mutant, check in (each for each in ON_THE_STUDY_ONLY if each[0] is mode):
            expected[mutant].add(check)
        assert said == expected


def test_an_audit_repeats_its_own_choices_and_leaves_global_generators_alone() -> None:
    target = small_target(LOCAL)
    before = torch.get_rng_state().numpy().tobytes(), repr(np.random.get_state())
    first, second = (verdict_of(SENSITIVITY, target) for _ in range(2))
    assert first.figures == second.figures
    verdict_of(FRESH_NOISE, target)
    assert (torch.get_rng_state().numpy().tobytes(), repr(np.random.get_state())) == before


def test_a_check_without_power_does_not_pass() -> None:
    """The same attack must succeed without protection: here nobody is known to the attacker."""
    target = small_target(LOCAL)
    stranger = Target(target.plan, target.patients, target.patients.rows(slice(0, 0)), target.discrete)
    verdict = checks(SMALL)[INVERSION](stranger, np.random.default_rng(0))
    assert verdict.outcome is Outcome.NOT_APPLICABLE
    assert not verdict.passed


def test_likelihood_ratios_are_those_of_two_normals() -> None:
    """With many models, against the true ratio of N(1, 1) and N(0, 2)."""
    rng = np.random.default_rng(6)
    coins = rng.random((1000, 3)) < 0.5
    statistic = np.where(coins, rng.normal(1, 1, coins.shape), rng.normal(0, 2, coins.shape))
    truth = -np.square(statistic - 1) / 2 + np.square(statistic) / 8 + np.log(2)
    assert np.abs(likelihood_ratios(statistic[:, :, None], coins) - truth).mean() < 0.1


def verdict_on_the_audit_study(check: str) -> Verdict:
    study = read_study(REPOSITORY / "simulations" / "studies" / "audit" / "study.toml")
    (verdict,) = audited(target_of(study), effort=FULL, seed=study.seed, only=[check])
    return verdict


@pytest.mark.slow
def test_inversion_reads_out_more_than_300_of_500_patients_without_noise_and_none_with_it() -> None:
    figures = verdict_on_the_audit_study(INVERSION).figures
    assert figures["patients"] == 500
    assert figures["recovered_without_noise"] > 300
    assert figures["recovered"] == 0


@pytest.mark.slow
def test_at_epsilon_1_hardly_a_member_is_recognised_and_without_noise_and_clip_most_are() -> None:
    figures = verdict_on_the_audit_study(MEMBERSHIP).figures
    for name in ("model", "transcript", "model_with_events"):
        assert figures[f"true_positives_{name}"] <= 0.03
    assert figures["true_positives_model_without_privacy"] > 0.3
    assert figures["true_positives_model_with_events_without_privacy"] > 0.3


@pytest.mark.slow
@pytest.mark.parametrize("check", [LEDGER, FRESH_NOISE, NOISE_SCALE, SENSITIVITY, ONE_RUN, REPEATED_CANARIES])
def test_the_audit_study_passes(check: str) -> None:
    verdict = verdict_on_the_audit_study(check)
    assert verdict.passed, verdict.measured
