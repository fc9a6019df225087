"""Which checks does an audit run, how large, and in which order?

A check is a function of a target and a generator of random numbers (for the attack; privacy noise has no seed) that
returns a verdict. Sizes are fixed here, before anything is measured.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from oncofed.errors import RequestRefused
from oncofed.simulations.audit.constants import CONSTANTS, constants
from oncofed.simulations.audit.inversion import INVERSION, inversion
from oncofed.simulations.audit.ledger_count import LEDGER, ledger_count
from oncofed.simulations.audit.low_bits import LOW_BITS, low_bits
from oncofed.simulations.audit.mask_soundness import MASKS, mask_soundness
from oncofed.simulations.audit.membership import MEMBERSHIP, membership
from oncofed.simulations.audit.noise_scale import FRESH_NOISE, NOISE_SCALE, fresh_noise, noise_scale
from oncofed.simulations.audit.one_run import ONE_RUN, REPEATED_CANARIES, one_run, repeated_canaries
from oncofed.simulations.audit.refusals import REFUSALS, refusals
from oncofed.simulations.audit.sensitivity import SENSITIVITY, sensitivity
from oncofed.simulations.audit.summaries import SUMMARIES, summaries
from oncofed.simulations.audit.target import Target
from oncofed.simulations.audit.verdict import Outcome, Power, Verdict
from oncofed.simulations.audit.what_is_added import WHAT_IS_ADDED, what_is_added

Check = Callable[[Target, np.random.Generator], Verdict]
Progress = Callable[[str, int, int], None]
"""Told which check begins, how many are done, and how many there are."""


@dataclass(frozen=True)
class Effort:
    """How large the samples of an audit are.

    noise_pairs        pairs of releases whose difference is looked at.
    canary_runs        runs of all the plan's releases with canaries.
    models, members    models trained in the membership game, and patients of whom half take part in each.
    left_out           patients who are left out one by one, at each set of weights.
    inverted           patients of the hospital whose sums are to be inverted.
    mask_pairs         pairs of hospitals whose stream is looked at.
    low_bit_releases   releases without a patient, and as many with one.
    questions          right and wrong ones, asked of three hospitals.
    summary_draws      numbers with noise that are looked at of each summary, in pairs of hospitals.
    """

    noise_pairs: int = 16
    canary_runs: int = 10
    models: int = 48
    members: int = 200
    left_out: int = 40
    inverted: int = 500
    mask_pairs: int = 12
    low_bit_releases: int = 40
    questions: int = 400
    summary_draws: int = 8000


FULL = Effort()
QUICK = Effort(
    noise_pairs=4,
    canary_runs=3,
    models=8,
    members=100,
    left_out=8,
    inverted=300,
    mask_pairs=4,
    low_bit_releases=8,
    questions=80,
    summary_draws=2000,
)


def checks(effort: Effort) -> Mapping[str, Check]:
    """By name. The place of a check picks its stream of random numbers, so new ones stand at the end."""
    return {
        LEDGER: ledger_count,
        FRESH_NOISE: fresh_noise,
        NOISE_SCALE: partial(noise_scale, pairs=effort.noise_pairs),
        SENSITIVITY: partial(sensitivity, patients=150, left_out=effort.left_out),
        MASKS: partial(mask_soundness, pairs=effort.mask_pairs),
        INVERSION: partial(inversion, patients=effort.inverted),
        ONE_RUN: partial(one_run, patients=100),
        REPEATED_CANARIES: partial(repeated_canaries, runs=effort.canary_runs),
        MEMBERSHIP: partial(membership, models=effort.models, patients=effort.members),
        SUMMARIES: partial(summaries, draws=effort.summary_draws, patients=25, left_out=effort.left_out),
        LOW_BITS: partial(low_bits, releases=effort.low_bit_releases),
        WHAT_IS_ADDED: partial(what_is_added, patients=60),
        CONSTANTS: constants,
        REFUSALS: partial(refusals, questions=effort.questions),
    }


CHECKS: tuple[str, ...] = tuple(checks(QUICK))


def no_progress(check: str, done: int, total: int) -> None:
    """The null listener."""


def audited(
    target: Target,
    *,
    effort: Effort,
    seed: int,
    only: Sequence[str] = CHECKS,
    progress: Progress = no_progress,
) -> tuple[Verdict, ...]:
    """A verdict for each check of `only`, in the order of CHECKS.

    seed  of the attacks' own choices. Each check has its own stream, so leaving one out changes no other.
    """
    chosen = {name: check for name, check in checks(effort).items() if name in only}
    verdicts = []
    for number, (name, check) in enumerate(chosen.items()):
        progress(name, number, len(chosen))
        began = time.perf_counter()
        with _quiet():
            try:
                verdict = check(target, np.random.default_rng([seed, CHECKS.index(name)]))
            except RequestRefused as refusal:
                verdict = _refused(name, refusal)
        verdicts.append(replace(verdict, seconds=time.perf_counter() - began))
    progress("done", len(chosen), len(chosen))
    return tuple(verdicts)


def _refused(check: str, refusal: RequestRefused) -> Verdict:
    """Within its plan a guard answers whatever patients it holds."""
    return Verdict(
        check,
        Outcome.FAILED,
        f"the guard refused a question of its plan: {refusal.code}",
        "every question of the plan is answered",
        Power("a refusal", 1.0),
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Flower reports each averaging, and a guard each refusal, thousands of which an audit provokes."""
    loggers = [logging.getLogger(name) for name in ("flwr", "oncofed.client")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
