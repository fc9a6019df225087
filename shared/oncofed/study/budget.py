"""What do epsilon, rounds and hospital sizes buy, before anyone spends anything?

A calculation on public guesses (how many hospitals, how many patients each, which part of them has the event); no table
is read. For each kind of marker it says which part of what the patients' events could teach the privacy noise leaves,
and the smallest effect that would still be found.

The argument. Near the optimum, the sum over patients of the gradient for a column of standard deviation s has variance
E s^2 (E events; Fisher information of a proportional hazard). Over all rounds together, noise of standard deviation
sigma C in each of T rounds counts as sigma C / sqrt(T) once, since rounds can be averaged. With H hospitals that each
add noise in full, the sum has H times its variance; with shared noise, H / (H - d - t) times. So an estimate from
noised sums has the variance that E s^2 / (E s^2 + noise^2) times the events would give without noise: the *share of
information left*. Columns are taken as uncorrelated, measured in everybody, of standard deviation 1 before their public
weight; clipping is taken to cut nothing off. All three make the answer a rough one: correlated markers share what they
learn and do better, seldom measured ones worse.

Of a calibration release (`[held_out] calibration_share`) it says how wide the intervals will be. With E events expected
of the patients set aside, n the noise on observed less expected events, n' that on its sum weighted with z, and z of
variance v over a spread of log hazard ratios, the half-widths at a right model are 1.96 sqrt(E + n^2) / E for observed
over expected and 1.96 sqrt(E v + n'^2) / (E v spread) for the slope.

Of a release of gains (`comparison_share`, `value_share`) it says the same. With n patients compared, s the noise on a
sum of gains, and v their variance from patient to patient, the half-width of one of k limits that hold at once is
z_k sqrt(v n + s^2) / n, z_k the normal quantile at 0.025 / k.

What a panel costs and gains is `study.panel_settings`.

Sources: Schoenfeld, Biometrics 39 (1983), for events and detectable hazard ratios; Balle and Wang, ICML 2018, that
averaging Gaussian releases of one sum equals one release of the joint noise. Imports no torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

from oncofed.cohort.encoding import Role, columns
from oncofed.cohort.schema import Kind, StudySchema
from oncofed.errors import Fault, InvalidInput
from oncofed.privacy.releases import release_of_round, release_of_summary
from oncofed.protocol.expected_layout import OVERALL_WEIGHTS, expected_layout
from oncofed.protocol.gain_layout import gain_layout
from oncofed.protocol.plan import PrivacyMode, StudyPlan
from oncofed.protocol.summary_spec import SummaryKind
from oncofed.study.chosen_settings import SPREAD_OF_RISKS
from oncofed.study.panel_settings import WHAT_A_PANEL_IS, PanelOffer, PanelRequest, panel_offer
from oncofed.study.plan_settings import PlanSettings, plan_from

STANDARD_ERRORS = 1.96 + 0.84
"""An effect of so many standard errors is found four times out of five, at 5 % significance, two-sided."""

AFFORDABLE = 0.05
"""Below this share of information, markers did not raise the C-index within tumour types on TCGA (docs/benchmarks.md,
noise in full: at epsilon 1, with 1 %, they brought nothing; at epsilon 3, with 8 %, they did)."""


KEPT_EVENTS = 0.9
"""Of the events of patients set aside: stopped follow-up (`protocol.expected_layout`) leaves the others out."""
SPREAD_OF_GAINS = {SummaryKind.COMPARISON: 0.4, SummaryKind.VALUE: 0.2}
"""Standard deviation from patient to patient, in nats: of a gain over a comparator, and of a layer's share, of models
such as those of docs/benchmarks.md."""
_TWO_SIDED = 1.96
_TOO_FEW = 1e-4
"""Events; the hazard ratio would be beyond e^280."""


@dataclass(frozen=True)
class Guess:
    """Public guesses about hospitals that have not joined yet.

    sites                hospitals.
    patients_per_site    a guess, not a count.
    event_rate           part of the patients whose event will have been seen.
    """

    sites: int
    patients_per_site: int
    event_rate: float

    @property
    def events(self) -> float:
        return self.sites * self.patients_per_site * self.event_rate


@dataclass(frozen=True)
class Bought:
    """What one modality's markers get. information_left: 0 to 1. hazard_ratio: the smallest that is found, per SD."""

    modality: str
    columns: int
    information_left: float
    hazard_ratio: float

    @property
    def is_affordable(self) -> bool:
        return self.information_left >= AFFORDABLE


@dataclass(frozen=True)
class CalibrationBought:
    """Half-widths of 95 % intervals on the patients set aside, of observed over expected events and of the slope."""

    events: float
    ratio: float
    slope: float


@dataclass(frozen=True)
class GainsBought:
    """Half-widths of limits that hold at once, in nats a patient, if all patients set aside can be compared.

    over  of the gain over each comparator. share: of a layer's. None where the study does not ask for it.
    """

    patients: float
    over: float | None
    share: float | None


@dataclass(frozen=True)
class Offer:
    """One way to spend. noise: of all rounds' sums together as if they were one, in units of the gradient.

    calibration, gains  None where the study does not ask for it. panel: None where none can gain anything.
    """

    mode: PrivacyMode
    epsilon: float
    rounds: int
    noise_multiplier: float
    noise: float
    bought: tuple[Bought, ...]
    calibration: CalibrationBought | None = None
    gains: GainsBought | None = None
    panel: PanelOffer | None = None


def offers(
    settings: PlanSettings,
    schema: StudySchema,
    guess: Guess,
    *,
    epsilons: Sequence[float],
    rounds: Sequence[int] = (),
) -> tuple[Offer, ...]:
    """Modes `local` and `distributed` x epsilons x rounds; else as the study file says, or leaves to the plan.

    A file of mode `local` says nothing of dropouts and colluding hospitals: a tenth of the hospitals each, rounded up.
    Raises InvalidInput when the file states no clip norm.
    """
    if settings.privacy.l2_norm_bound is None and "privacy.l2_norm_bound" not in settings.left_open:
        raise InvalidInput([Fault("[privacy], l2_norm_bound", "is missing", "State a clip norm, such as 2.")])
    found = []
    for mode in (PrivacyMode.LOCAL, PrivacyMode.DISTRIBUTED):
        if mode is PrivacyMode.DISTRIBUTED and guess.sites < 3:
            continue  # nobody would be left to share the noise with
        for epsilon in epsilons:
            for count in rounds or (None,):
                asked = _asked(settings, guess, mode=mode, epsilon=epsilon, rounds=count)
                plan = _plan(asked, schema, guess)
                noise = noise_of_all_rounds(plan)
                found.append(
                    Offer(
                        mode=mode,
                        epsilon=epsilon,
                        rounds=plan.training.rounds,
                        noise_multiplier=plan.privacy.noise_multiplier,
                        noise=noise,
                        bought=bought_by(schema, events=guess.events, noise=noise),
                        calibration=calibration_bought(plan, events=guess.events * settings.held_out.fraction),
                        gains=gains_bought(
                            plan, patients=guess.sites * guess.patients_per_site * settings.held_out.fraction
                        ),
                        panel=panel_offer(asked, schema, hospitals=guess.sites, request=PanelRequest()),
                    )
                )
    return tuple(found)


def _asked(
    settings: PlanSettings, guess: Guess, *, mode: PrivacyMode, epsilon: float, rounds: int | None
) -> PlanSettings:
    """rounds: None for the study's own."""
    asked = replace(settings.privacy, mode=mode, epsilon=epsilon)
    if mode is PrivacyMode.DISTRIBUTED and settings.privacy.mode is not PrivacyMode.DISTRIBUTED:
        tenth = math.ceil(guess.sites / 10)
        asked = replace(asked, dropouts=tenth, colluding=tenth)
    settings = replace(settings, privacy=asked, expected_patients=guess.sites * guess.patients_per_site)
    if rounds is not None:
        left_open = tuple(each for each in settings.left_open if each != "training.rounds")
        settings = replace(settings, training=replace(settings.training, rounds=rounds), left_open=left_open)
    return settings


def _plan(settings: PlanSettings, schema: StudySchema, guess: Guess) -> StudyPlan:
    return plan_from(
        settings,
        schema,
        study="budget",
        roster=tuple(f"hospital-{number:05d}" for number in range(guess.sites)),
        quorum=None,
        initialisation_seed=0,
    )


def noise_of_all_rounds(plan: StudyPlan) -> float:
    """Standard deviation of the noise in the mean over rounds of gradients; all hospitals answer."""
    assert plan.privacy.l2_norm_bound is not None
    of_sum = release_of_round(plan).noise_of_sum(hospitals=len(plan.roster))
    return of_sum * plan.privacy.l2_norm_bound / math.sqrt(plan.training.rounds - plan.training.calibration_rounds)


def bought_by(schema: StudySchema, *, events: float, noise: float) -> tuple[Bought, ...]:
    """For each modality of the schema, by the median weight of its markers' columns."""
    modalities = {marker.name: marker.modality.value for marker in schema.markers}
    weights: dict[str, list[float]] = {}
    for marker, scale in _column_spreads(schema):
        weights.setdefault(modalities[marker], []).append(scale)
    found = []
    for modality, each in weights.items():
        scale = sorted(each)[len(each) // 2]
        information = events * scale**2
        left = information / (information + noise**2)
        found.append(Bought(modality, len(each), left, hazard_ratio_found(events, left)))
    return tuple(found)


def _column_spreads(schema: StudySchema) -> Iterator[tuple[str, float]]:
    """Of each column that is no flag: its marker, and the standard deviation that is taken for it."""
    kinds = {marker.name: marker.kind for marker in schema.markers}
    for column in columns(schema):
        if column.role is not Role.MISSING:
            # Half of the patients in a category: a standard deviation of 1/2.
            spread = 0.5 if kinds[column.source] is Kind.CATEGORICAL else 1.0
            yield column.source, column.weight * spread


def marker_spreads(schema: StudySchema) -> dict[str, float]:
    """By marker, in the schema's order. The columns of a category weigh alike."""
    return dict(_column_spreads(schema))


def hazard_ratio_found(events: float, information_left: float) -> float:
    """The smallest per step that is found four times out of five; infinite where there is nothing to find it by."""
    taught = events * information_left
    if taught <= _TOO_FEW:
        return math.inf
    standard_error = 1 / math.sqrt(taught)
    return math.exp(STANDARD_ERRORS * standard_error)


def calibration_bought(plan: StudyPlan, *, events: float) -> CalibrationBought | None:
    """events: of the patients who are set aside, a public guess; all hospitals answer. None where it is not asked."""
    spec = next((each for each in plan.summaries if each.kind is SummaryKind.CALIBRATION), None)
    if spec is None:
        return None
    layout, expected = expected_layout(plan, spec), events * KEPT_EVENTS
    of_number = release_of_summary(plan, spec).noise_of_sum(hospitals=len(plan.roster)) / layout.weight
    of_ratio, of_slope = (of_number / weight for weight in OVERALL_WEIGHTS[:2])
    information = expected * (SPREAD_OF_RISKS / layout.spread) ** 2
    return CalibrationBought(
        events=expected,
        ratio=_TWO_SIDED * math.sqrt(expected + of_ratio**2) / expected,
        slope=_TWO_SIDED * math.sqrt(information + of_slope**2) / (information * layout.spread),
    )


def gains_bought(plan: StudyPlan, *, patients: float) -> GainsBought | None:
    """patients: who are set aside, a public guess; all hospitals answer. None where it is not asked."""
    halves: dict[SummaryKind, float] = {}
    for spec in plan.summaries:
        if spec.kind in SPREAD_OF_GAINS:
            layout = gain_layout(plan, spec)
            noise = release_of_summary(plan, spec).noise_of_sum(hospitals=len(plan.roster)) / layout.weights[0]
            compared = len(plan.model.comparators if spec.kind is SummaryKind.COMPARISON else plan.model.layers)
            deviations = NormalDist().inv_cdf(1 - 0.025 / compared)
            halves[spec.kind] = deviations * math.hypot(SPREAD_OF_GAINS[spec.kind] * patients**0.5, noise) / patients
    if not halves:
        return None
    return GainsBought(patients, halves.get(SummaryKind.COMPARISON), halves.get(SummaryKind.VALUE))


def hazard_ratio_alone(guess: Guess) -> float:
    """What one hospital finds with its own patients, who need no noise there: per standard deviation."""
    return math.exp(STANDARD_ERRORS / math.sqrt(guess.events / guess.sites))


def budget_in_words(found: Sequence[Offer], guess: Guess) -> str:
    """A table, and what follows from it."""
    heads = [
        "mode",
        "epsilon",
        "rounds",
        "noise a round",
        *(f"{one.modality} ({one.columns})" for one in found[0].bought),
    ]
    rows = [
        [
            offer.mode.value,
            f"{offer.epsilon:g}",
            str(offer.rounds),
            f"{offer.noise_multiplier:.3g}",
            *(f"{one.information_left:.0%}, HR {one.hazard_ratio:.2f}" for one in offer.bought),
        ]
        for offer in found
    ]
    widths = [max(len(row[place]) for row in [heads, *rows]) for place in range(len(heads))]
    table = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in [heads, *rows]
    ]
    return "\n".join(
        [
            f"{guess.sites} hospitals of {guess.patients_per_site:,} patients, {guess.event_rate:.0%} with the event: "
            f"{guess.events:,.0f} events.",
            "",
            *table,
            "",
            "Noise a round: standard deviation at one hospital (local) or of the sum (distributed), in clip norms.",
            "By modality (its columns): the share of what the events could teach that the noise leaves, and the",
            "smallest hazard ratio per standard deviation found four times out of five. Roughly: correlated markers",
            "do better.",
            f"Without any noise: HR {math.exp(STANDARD_ERRORS / math.sqrt(guess.events)):.2f} pooled, "
            f"{hazard_ratio_alone(guess):.2f} for a hospital alone.",
            *_calibration_words(found),
            *_gain_words(found),
            *_panel_words(found),
            *_advice(found),
        ]
    )


def _calibration_words(found: Sequence[Offer]) -> list[str]:
    """What the calibration release of each offer will tell, if the study asks for one."""
    lines = [
        f"  {offer.mode.value}, epsilon {offer.epsilon:g}, {offer.rounds} rounds: observed over expected "
        f"{offer.calibration.ratio:.2f}, slope {offer.calibration.slope:.2f}"
        for offer in found
        if offer.calibration is not None
    ]
    if not lines:
        return []
    events = next(offer.calibration.events for offer in found if offer.calibration is not None)
    return [
        "",
        f"Calibration on the patients set aside, {events:,.0f} events: half of the width of 95 % intervals.",
        *lines,
        f"Of a model whose log hazard ratios vary by {SPREAD_OF_RISKS:g}; wider with less, and for windows and groups.",
        "",
    ]


def _gain_words(found: Sequence[Offer]) -> list[str]:
    """What the releases of gains of each offer will tell, if the study asks for one."""
    lines = []
    for offer in found:
        if offer.gains is not None:
            over, share = offer.gains.over, offer.gains.share
            told = [] if over is None else [f"over a comparator {over:.3f}"]
            told += [] if share is None else [f"share of a layer {share:.3f}"]
            lines.append(f"  {offer.mode.value}, epsilon {offer.epsilon:g}, {offer.rounds} rounds: {', '.join(told)}")
    if not lines:
        return []
    patients = next(offer.gains.patients for offer in found if offer.gains is not None)
    return [
        "",
        f"Gains on {patients:,.0f} patients set aside, in nats a patient: half of the width of limits that hold at "
        "once.",
        *lines,
        f"Of gains that vary from patient to patient by {SPREAD_OF_GAINS[SummaryKind.COMPARISON]:g} over a comparator "
        f"and {SPREAD_OF_GAINS[SummaryKind.VALUE]:g} by a layer.",
        "Layers are compared on patients who have all: of a half of them limits are 1.4 to 2 times as wide.",
        "",
    ]


def _panel_words(found: Sequence[Offer]) -> list[str]:
    """What a panel costs and gains with each offer, where one could gain anything. Rounds make no difference to it."""
    lines = {
        (offer.mode, offer.epsilon): f"  {offer.mode.value}, epsilon {offer.epsilon:g}: {offer.panel.words}"
        for offer in found
        if offer.panel is not None
    }
    return ["", *WHAT_A_PANEL_IS, *lines.values(), ""] if lines else []


def _advice(found: Sequence[Offer]) -> list[str]:
    """One line for each offer that some modality cannot be afforded with."""
    lines = []
    for offer in found:
        if poor := [one.modality for one in offer.bought if not one.is_affordable]:
            lines.append(
                f"Not affordable with {offer.mode} noise at epsilon {offer.epsilon:g} (below {AFFORDABLE:.0%}): "
                f"{', '.join(poor)}. Leave them out, share the noise, or enrol more."
            )
    return list(dict.fromkeys(lines))
