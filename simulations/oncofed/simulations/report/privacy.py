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
from oncofed.words.language import ENGLISH, Language
from oncofed.words.names import plain_name
from oncofed.words.numbers import decimals, percent, plainly, scientific, whole

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


def privacy_statement(result: RunResult, *, say: Language = ENGLISH) -> PrivacyStatement:
    """What `result` spent. Epsilon comes from the ledgers, never from the plan."""
    if not result.plan.privacy.mode.private:
        return _no_privacy(result, say)
    privacy = result.plan.privacy
    at_one, at_two = spent_at_one(result), spent_at_two(result)
    spent, twice = _epsilon(at_one), _epsilon(at_two)
    return PrivacyStatement(
        private=True,
        epsilon=spent,
        epsilon_two_hospitals=twice,
        facts=(
            (say("Mode"), f"{privacy.mode.value}: {_mode_in_words(privacy, say)}"),
            (say("Epsilon spent, largest over hospitals"), decimals(spent, 2, say=say)),
            (
                say("Epsilon planned"),
                say(
                    "%(epsilon)s (including the reserve below)",
                    epsilon=decimals(result.study.privacy.epsilon, 2, say=say),
                ),
            ),
            (say("Delta"), scientific(privacy.delta, say=say)),
            (
                say("Unit of protection"),
                say("one patient of one hospital, with everything recorded about that patient"),
            ),
            (say("Relation"), _relation(privacy.relation, say)),
            (say("Epsilon of a patient treated at two hospitals"), decimals(twice, 2, say=say)),
            (say("Noise"), _noise(privacy, say)),
            (
                say("Clip norm"),
                say(
                    "%(bound)s (L2 bound on one patient\N{RIGHT SINGLE QUOTATION MARK}s part of a sum)",
                    bound=decimals(privacy.l2_norm_bound, 3, say=say),
                ),
            ),
            (say("Releases"), _releases(result, say)),
        ),
        meaning=_meaning(at_one, at_two, delta=privacy.delta, say=say),
    )


def _no_privacy(result: RunResult, say: Language) -> PrivacyStatement:
    bound = result.plan.privacy.l2_norm_bound
    clip = say("none")
    if bound is not None:
        clip = say("%(bound)s, without noise (this protects nobody)", bound=decimals(bound, 3, say=say))
    return PrivacyStatement(
        private=False,
        epsilon=None,
        epsilon_two_hospitals=None,
        facts=(
            (say("Mode"), say("none: hospitals sent their updates without noise")),
            (say("Epsilon"), say("infinite: no bound holds")),
            (say("Clip norm"), clip),
            (say("Releases"), _releases(result, say)),
        ),
        meaning=(
            say(
                "Nothing in this run is private. Updates of this kind are known to give away single patients: from "
                "unprotected updates, records can be reconstructed and participation can be recognised."
            ),
            say(
                "Such a run is right for synthetic or public data and as a yardstick for the private runs. It must not "
                "be repeated with the tables of real hospitals."
            ),
        ),
    )


def _mode_in_words(privacy: PrivacySpec, say: Language) -> str:
    if privacy.shares is None:
        return say("every hospital adds the full noise before anything leaves it")
    return say.several(
        "every hospital adds a share of the noise and masks its sum; the promise holds while at most "
        "%(count)s hospital side with the server",
        "every hospital adds a share of the noise and masks its sum; the promise holds while at most "
        "%(count)s hospitals side with the server",
        privacy.shares.colluding,
    )


def _noise(privacy: PrivacySpec, say: Language) -> str:
    times = decimals(privacy.noise_multiplier, 3, say=say)
    if privacy.shares is None:
        return say("%(times)s times the clip norm, at every hospital and release", times=times)
    return say("%(times)s times the clip norm, at least, in every sum of hospitals", times=times)


def _relation(relation: str, say: Language) -> str:
    return say("add or remove that patient") if relation == "add_or_remove_one_patient" else relation


def _releases(result: RunResult, say: Language) -> str:
    reserve, rounds = result.study.privacy.reserve_rounds, len(result.rounds)
    training = result.plan.training

    def multiplier(value: float | None) -> str:
        return say.figures(f"{value:.3g}")

    text = say.several(
        "%(count)s round of %(planned)s planned",
        "%(count)s rounds of %(planned)s planned",
        rounds,
        planned=whole(training.rounds, say=say),
    )
    if result.plan.privacy.mode.private:
        text += say.several(
            ", with a reserve of %(count)s repeated round", ", with a reserve of %(count)s repeated rounds", reserve
        )
    if training.mode is TrainingMode.EPOCHS:
        text += say.several(
            "; %(count)s step a round, each patient in a step with probability %(rate)s",
            "; %(count)s steps a round, each patient in a step with probability %(rate)s",
            training.local_steps,
            rate=plainly(training.sampling_rate, say=say),
        )
    for summary in result.plan.summaries:
        text += say(
            "; then %(name)s, once, with noise multiplier %(multiplier)s",
            name=say(plain_name(summary.name)),
            multiplier=multiplier(summary.noise_multiplier),
        )
    if (panel := result.panel) is not None:
        text += say.several(
            "; then %(count)s round for a panel of %(markers)s markers",
            "; then %(count)s rounds for a panel of %(markers)s markers",
            len(panel.rounds),
            markers=whole(len(panel.markers), say=say),
        )
        if panel.plan.privacy.mode.private:
            text += say(
                ", with %(multiplier)s times the clip norm as noise",
                multiplier=multiplier(panel.plan.privacy.noise_multiplier),
            )
    if result.options is not None:
        beside = result.options.plan
        text += say.several(
            "; for the options compared %(count)s round, with noise multiplier %(multiplier)s, and one release, with "
            "%(release)s",
            "; for the options compared %(count)s rounds, with noise multiplier %(multiplier)s, and one release, with "
            "%(release)s",
            beside.training.rounds,
            multiplier=multiplier(beside.privacy.noise_multiplier),
            release=multiplier(beside.summaries[0].noise_multiplier),
        )
    return text


def _epsilon(spent: Spent | None) -> float | None:
    return None if spent is None else spent.epsilon


def _meaning(at_one: Spent | None, at_two: Spent | None, *, delta: float, say: Language) -> tuple[str, ...]:
    if at_one is None:
        return (say("No ledger holds a charge, so nothing can be said about what was spent."),)
    found = recognised_at_most(at_one.releases, epsilon=at_one.epsilon, delta=delta)
    paragraphs = [
        say(
            "What was protected is the training: whoever sees all updates and the finished model, and knows everything "
            "else about a patient and about all other patients, can still hardly tell whether that patient took part."
        ),
        say(
            "In figures: an attacker who accepts wrongly accusing %(alarms)s of the people who did not take part "
            "recognises at most %(found)s of those who did, whatever the method. Blind guessing would find %(alarms)s. "
            "This is a mathematical upper limit, not the success of a known attack.",
            alarms=percent(FALSE_ALARMS, say=say),
            found=percent(found, 1, say=say),
        ),
        say(
            "The promise covers what a patient\N{RIGHT SINGLE QUOTATION MARK}s own record adds. It does not hide what "
            "the model teaches about patients of that kind in general, nor which hospitals take part."
        ),
    ]
    if at_two is not None:
        found = recognised_at_most(at_two.releases, epsilon=at_two.epsilon, delta=delta)
        paragraphs.append(
            say(
                "A patient whose record lies at two of these hospitals takes part in the releases of both, and spends "
                "epsilon %(two)s at the same delta instead of %(one)s (at most %(found)s recognised). Nobody can tell "
                "who these patients are without comparing records across hospitals, so this figure is the one to quote "
                "to anyone who may have been treated at two.",
                two=decimals(at_two.epsilon, 2, say=say),
                one=decimals(at_one.epsilon, 2, say=say),
                found=percent(found, 1, say=say),
            )
        )
    return tuple(paragraphs)
