"""What did the patients spend, in words that a data-protection officer can repeat?

Promises: epsilon never stands without delta, the relation and the unit; what a patient of two hospitals spends stands
beside it; mode `none` says that nothing is protected. What an attacker can recognise is an upper limit, whatever the
attacker knows: exact for sums with Gaussian noise, and for sampled ones what (epsilon, delta) alone implies.

Sources: Dong, Roth, Su, J. R. Stat. Soc. B 84 (2022), for Gaussian noise; Kairouz, Oh, Viswanath, ICML 2015, for any
(epsilon, delta).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import ndtr, ndtri

from oncofed.privacy.accounting import PrivacyEvent
from oncofed.protocol.plan import PrivacySpec, TrainingMode
from oncofed.simulations.privacy_spent import Spent, spent_at_one, spent_at_two
from oncofed.simulations.results import RunResult
from oncofed.words.names import plain_name
from oncofed.words.numbers import counted, decimals, percent, scientific, whole

FALSE_ALARMS = 0.01
"""Share of wrong accusations at which the words say how many patients could be recognised."""


@dataclass(frozen=True)
class PrivacyStatement:
    """private     whether the updates were protected at all.
    epsilon       largest over sites; None when nothing is protected or no ledger holds a charge.
    epsilon_two_hospitals  of a patient treated at two of them; None where fewer than two hold a charge.
    facts         (what, how much), for a table.
    meaning       paragraphs.
    """

    private: bool
    epsilon: float | None
    epsilon_two_hospitals: float | None
    facts: tuple[tuple[str, str], ...]
    meaning: tuple[str, ...]


def recognised_at_most(releases: Sequence[PrivacyEvent], *, epsilon: float, delta: float) -> float:
    """Largest share of participants that any attack can recognise while it accuses FALSE_ALARMS of the others.

    releases        in which the participants took part.
    epsilon, delta  that these releases keep to.
    """
    if math.isinf(epsilon):
        return 1.0
    if any(release.sampling_rate < 1 for release in releases):
        raised = math.exp(min(epsilon, 700.0)) * FALSE_ALARMS + delta
        return min(raised, 1 - math.exp(-epsilon) * max(0.0, 1 - delta - FALSE_ALARMS))
    # All sums together are worth one sum whose signal-to-noise ratio is this:
    distance = math.sqrt(sum(release.steps * release.gaussian.noise_multiplier**-2 for release in releases))
    return float(ndtr(ndtri(FALSE_ALARMS) + distance))


def privacy_statement(result: RunResult) -> PrivacyStatement:
    """What `result` spent. Epsilon comes from the ledgers, never from the plan."""
    if not result.plan.privacy.mode.private:
        return _no_privacy(result)
    privacy = result.plan.privacy
    at_one, at_two = spent_at_one(result), spent_at_two(result)
    spent, twice = _epsilon(at_one), _epsilon(at_two)
    return PrivacyStatement(
        private=True,
        epsilon=spent,
        epsilon_two_hospitals=twice,
        facts=(
            ("Mode", f"{privacy.mode.value}: {_mode_in_words(privacy)}"),
            ("Epsilon spent, largest over hospitals", decimals(spent, 2)),
            ("Epsilon planned", f"{decimals(result.study.privacy.epsilon, 2)} (including the reserve below)"),
            ("Delta", scientific(privacy.delta)),
            ("Unit of protection", "one patient of one hospital, with everything recorded about that patient"),
            ("Relation", _relation(privacy.relation)),
            ("Epsilon of a patient treated at two hospitals", decimals(twice, 2)),
            ("Noise", f"{decimals(privacy.noise_multiplier, 3)} times the clip norm, {_noise_where(privacy)}"),
            (
                "Clip norm",
                f"{decimals(privacy.l2_norm_bound, 3)} (L2 bound on one patient\N{RIGHT SINGLE QUOTATION MARK}"
                "s part of a sum)",
            ),
            ("Releases", _releases(result)),
        ),
        meaning=_meaning(at_one, at_two, delta=privacy.delta),
    )


def _no_privacy(result: RunResult) -> PrivacyStatement:
    bound = result.plan.privacy.l2_norm_bound
    clip = "none" if bound is None else f"{decimals(bound, 3)}, without noise (this protects nobody)"
    return PrivacyStatement(
        private=False,
        epsilon=None,
        epsilon_two_hospitals=None,
        facts=(
            ("Mode", "none: hospitals sent their updates without noise"),
            ("Epsilon", "infinite: no bound holds"),
            ("Clip norm", clip),
            ("Releases", _releases(result)),
        ),
        meaning=(
            "Nothing in this run is private. Updates of this kind are known to give away single patients: from "
            "unprotected updates, records can be reconstructed and participation can be recognised.",
            "Such a run is right for synthetic or public data and as a yardstick for the private runs. It must not be "
            "repeated with the tables of real hospitals.",
        ),
    )


def _mode_in_words(privacy: PrivacySpec) -> str:
    if privacy.shares is None:
        return "every hospital adds the full noise before anything leaves it"
    return (
        "every hospital adds a share of the noise and masks its sum; the promise holds while at most "
        f"{counted(privacy.shares.colluding, 'hospital', 'hospitals')} side with the server"
    )


def _noise_where(privacy: PrivacySpec) -> str:
    return "at every hospital and release" if privacy.shares is None else "at least, in every sum of hospitals"


def _relation(relation: str) -> str:
    known = {"add_or_remove_one_patient": "add or remove that patient"}
    return known.get(relation, relation)


def _releases(result: RunResult) -> str:
    reserve, rounds = result.study.privacy.reserve_rounds, len(result.rounds)
    training = result.plan.training
    text = f"{counted(rounds, 'round', 'rounds')} of {whole(training.rounds)} planned"
    if result.plan.privacy.mode.private:
        text += f", with a reserve of {counted(reserve, 'repeated round', 'repeated rounds')}"
    if training.mode is TrainingMode.EPOCHS:
        steps = counted(training.local_steps, "step", "steps")
        text += f"; {steps} a round, each patient in a step with probability {training.sampling_rate:g}"
    for summary in result.plan.summaries:
        text += f"; then {plain_name(summary.name)}, once, with noise multiplier {summary.noise_multiplier:.3g}"
    if (panel := result.panel) is not None:
        text += f"; then {counted(len(panel.rounds), 'round', 'rounds')} for a panel of {len(panel.markers)} markers"
        if panel.plan.privacy.mode.private:
            text += f", with {panel.plan.privacy.noise_multiplier:.3g} times the clip norm as noise"
    return text


def _epsilon(spent: Spent | None) -> float | None:
    return None if spent is None else spent.epsilon


def _meaning(at_one: Spent | None, at_two: Spent | None, *, delta: float) -> tuple[str, ...]:
    if at_one is None:
        return ("No ledger holds a charge, so nothing can be said about what was spent.",)
    found = recognised_at_most(at_one.releases, epsilon=at_one.epsilon, delta=delta)
    paragraphs = [
        "What was protected is the training: whoever sees all updates and the finished model, and knows everything "
        "else about a patient and about all other patients, can still hardly tell whether that patient took part.",
        f"In figures: an attacker who accepts wrongly accusing {percent(FALSE_ALARMS)} of the people who did not "
        f"take part recognises at most {percent(found, 1)} of those who did, whatever the method. Blind guessing "
        f"would find {percent(FALSE_ALARMS)}. This is a mathematical upper limit, not the success of a known "
        "attack.",
        "The promise covers what a patient\N{RIGHT SINGLE QUOTATION MARK}s own record adds. It does not hide what the "
        "model teaches about patients of that kind in general, nor which hospitals take part.",
    ]
    if at_two is not None:
        found = recognised_at_most(at_two.releases, epsilon=at_two.epsilon, delta=delta)
        paragraphs.append(
            f"A patient whose record lies at two of these hospitals takes part in the releases of both, and spends "
            f"epsilon {decimals(at_two.epsilon, 2)} at the same delta instead of {decimals(at_one.epsilon, 2)} (at "
            f"most {percent(found, 1)} recognised). Nobody can tell who these patients are without comparing records "
            "across hospitals, so this figure is the one to quote to anyone who may have been treated at two."
        )
    return tuple(paragraphs)
