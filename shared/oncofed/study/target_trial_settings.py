"""What does the section [target_trial] of a study file ask for: which two options are compared, and of whom?

It is read and judged by itself here; what it names is held against the schema when the plan is made
(`TargetTrial.refuse_unless_it_fits`), with every fault at once. Imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from oncofed.file_model import Known, Rule, Wrong
from oncofed.protocol.plan import TrainingMode
from oncofed.treatment.conditions import REMEDY, Condition
from oncofed.treatment.target_trial import Benchmark, TargetTrial

MOST_BESIDE = 0.9
"""Of a study's budget, for the plans beside that of the prognosis."""


def _conditions(texts: tuple[str, ...] | None, known: Known) -> tuple[str, ...] | None:
    if any(Condition.of(text) is None for text in texts or ()):
        raise Wrong("holds a text that is no condition", REMEDY)
    return texts


@dataclass(frozen=True)
class BenchmarkSection:
    """The section [target_trial.benchmark]."""

    difference: float
    """In survival at the horizon, second option less first, as the randomised trial found it."""
    low: float
    """Lower 95 % limit of it."""
    high: float
    """Upper 95 % limit."""
    source: str
    """Where it is published."""
    eligible: Annotated[tuple[str, ...], Rule(_conditions)] = ()
    """Whom the trial would have taken, beside the study's own `eligible`; without it, all of them."""


def _before_horizon(landmark: float | None, known: Known) -> float | None:
    horizon = known.before.get("horizon")
    if landmark is not None and horizon is not None and not landmark < horizon:
        raise Wrong("is not before the horizon", "Choose an earlier landmark, or a later horizon.")
    return landmark


@dataclass(frozen=True)
class TargetTrialSection:
    """The section [target_trial]."""

    treatment: str
    """A binary marker of the schema: 0 is the first option, 1 the second. Who has none recorded is left out."""
    first: str
    """What the first option is, for people."""
    second: str
    """What the second option is."""
    time_zero: str
    """From when on patients are followed, for people, such as `"first day of systemic treatment"`: the schema's time
    zero. Both options must be possible then, and nobody may have to live for a while to get one of them."""
    outcomes: tuple[str, ...]
    """Endpoints of the schema; survival ends with the first of them."""
    horizon: float
    """Until when survival and the mean time lived are compared: a bound of the schema's intervals."""
    adjust_for: tuple[str, ...]
    """Markers that are known at time zero and decide about option and outcome."""
    eligible: Annotated[tuple[str, ...], Rule(_conditions)] = ()
    """Who is compared: conditions such as `"uicc_stage >= 3"` that all must hold; without it, everybody."""
    landmark: Annotated[float, Rule(_before_horizon)] = 0.0
    """A bound of the schema's intervals. Options that begin between time zero and the landmark count as given at it:
    who has died or left by then is left out of both options, and survival is from the landmark on."""
    required: tuple[str, ...] = ()
    """Of `adjust_for`: without these no answer is believed. Recorded of fewer than 80 % of patients, all is refused."""
    modifiers: tuple[str, ...] = ()
    """Binary markers of `adjust_for` by which the effect is told apart, two at most. Who has one of them not recorded
    is left out."""
    negative_outcome: str | None = None
    """An endpoint that neither option can change. If the options seem to, all is refused."""
    budget_share: float = 0.75
    """How much of what the study's noise lets through goes to the comparison, its models among it; the rest is the
    prognosis's, with all that is released of it. In mode `none` it does nothing."""
    rounds: int = 60
    """Of the training of its models, beside those of `[training]`."""
    benchmark: BenchmarkSection | None = None
    """A randomised trial of the same question, if there is one: what it found must be found again."""

    @property
    def trial(self) -> TargetTrial:
        """As a plan has it."""
        known = self.benchmark
        return TargetTrial(
            treatment=self.treatment,
            options=(self.first, self.second),
            outcomes=self.outcomes,
            horizon=self.horizon,
            adjust_for=self.adjust_for,
            required=self.required,
            modifiers=self.modifiers,
            negative_outcome=self.negative_outcome,
            benchmark=None
            if known is None
            else Benchmark(known.difference, known.low, known.high, known.source, known.eligible),
            time_zero=self.time_zero,
            eligible=self.eligible,
            landmark=self.landmark,
        )


def beside_the_rest(asked: TargetTrialSection | None, known: Known) -> TargetTrialSection | None:
    """A rule of the file: sums must be of everybody, and something must be left for the prognosis."""
    if asked is None:
        return None
    training = known.before.get("training")
    if training is not None and training.mode is not TrainingMode.FULL_BATCH:
        what = f'needs [training], mode "{TrainingMode.FULL_BATCH}"'
        raise Wrong(what, "Patients drawn by lot and whole sums have no bound together: leave one of both out.")
    panel = known.before.get("panel")
    if panel is not None and panel.auto:
        raise Wrong("does not go with [panel], auto", "Say there how many markers, or leave one of both out.")
    if panel is not None and panel.is_asked and not asked.budget_share + panel.share <= MOST_BESIDE:
        what = f"is, with [panel], share, above {MOST_BESIDE:g}: too little is left for all markers"
        raise Wrong(what, "Lower one of both.", key="budget_share")
    return asked
