"""What is each patient promised, and what does that promise leave to be learned?

The unit is one patient of one hospital; neighbours differ by that patient's presence. Epsilon and delta hold for all
rounds together. docs/privacy.md says what they mean and what is not promised.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd

from oncofed.cohort.schema import StudySchema
from oncofed.protocol.plan import Bounding, PrivacyMode
from oncofed.simulations.federation import simulated_plan
from oncofed.simulations.lab.arguments import instance, maybe, number, plain, refuse_wrong, word
from oncofed.simulations.lab.patients import SCHEMA
from oncofed.simulations.lab.strategies import FedAdam, Strategy, a_strategy, settings_of, some_rounds
from oncofed.study.budget import Guess, bought_by, noise_of_all_rounds
from oncofed.study.plan_settings import PrivacyRequest

Privacy = PrivacyRequest
"""What the functions here return. A frozen value; its noise follows when rounds and hospitals are known."""

PRIVACY = instance(
    PrivacyRequest,
    words="a promise of privacy",
    remedy="Write of.local(epsilon=...), of.distributed(epsilon=...) or, for none, of.no_privacy().",
)
_NUMBERS = ("epsilon", "delta", "reserve_rounds", "hazard_cap", "dropouts", "colluding")
_KINDS = {name: number(f"PrivacyRequest.{name}") for name in _NUMBERS} | {
    "clip": number("PrivacyRequest.l2_norm_bound"),
    "bounding": word(*Bounding),
}


def no_privacy(*, clip: float | None = None) -> Privacy:
    """Nothing is protected: a yardstick. clip: cut gradients all the same, to see what cutting alone costs.

    >>> import oncofed.lab as of
    >>> of.no_privacy().mode.value
    'none'
    """
    refuse_wrong("no_privacy", clip=(clip, maybe(_KINDS["clip"])))
    return PrivacyRequest(PrivacyMode.NONE, None, 1e-6, plain(clip), 0, clip_without_noise=clip is not None)


def local(
    *,
    epsilon: float,
    delta: float = 1e-6,
    clip: float = 2.0,
    reserve_rounds: int = 0,
    bounding: str = "clip",
    hazard_cap: float = 1.0,
) -> Privacy:
    """Every hospital adds the whole noise itself, and trusts nobody.

    epsilon         1e-3 to 1,000.
    delta           at most 1 / (10 x patients of the largest hospital).
    clip            the most that one patient's gradient may be long (Euclidean norm); 1 to 4 is usual.
    reserve_rounds  repeated rounds that epsilon covers beside the planned ones. A simulation needs none.
    bounding        `clip` cuts a gradient to the norm, after which risks are too extreme; `stopped` ends a patient's
                    follow-up where the model expects `hazard_cap` events, which is without bias (docs/privacy.md).
    raises          InvalidInput with every number that does not fit.

    >>> import oncofed.lab as of
    >>> of.local(epsilon=3).epsilon
    3
    >>> of.local(epsilon=-1, delta=0.5)
    Traceback (most recent call last):
    oncofed.errors.InvalidInput: 2 faults
      - local: epsilon: is -1, outside 0.001 to 1,000. Choose a number from 0.001 to 1,000; usual: 0.1 to 8.
      - local: delta: is 0.5, outside 1e-9 to 1e-5. Choose a number from 1e-9 to 1e-5; usual: 1e-9 to 1e-5.
    """
    return _private(
        PrivacyMode.LOCAL,
        epsilon=epsilon,
        delta=delta,
        clip=clip,
        reserve_rounds=reserve_rounds,
        bounding=bounding,
        hazard_cap=hazard_cap,
    )


def distributed(
    *,
    epsilon: float,
    delta: float = 1e-6,
    dropouts: int = 1,
    colluding: int = 1,
    clip: float = 2.0,
    reserve_rounds: int = 0,
    bounding: str = "clip",
    hazard_cap: float = 1.0,
) -> Privacy:
    """Hospitals share the noise of a masked sum: less noise for the same epsilon, and some trust in the others.

    dropouts    how many hospitals may be missing from a sum.
    colluding   how many may tell the server their share of the noise.
    others      as in `local`; raises as `local` does.

    >>> import oncofed.lab as of
    >>> of.distributed(epsilon=1, dropouts=2, colluding=1).dropouts
    2
    """
    return _private(
        PrivacyMode.DISTRIBUTED,
        epsilon=epsilon,
        delta=delta,
        dropouts=dropouts,
        colluding=colluding,
        clip=clip,
        reserve_rounds=reserve_rounds,
        bounding=bounding,
        hazard_cap=hazard_cap,
    )


def _private(mode: PrivacyMode, **asked: Any) -> Privacy:
    """asked: arguments of the function that is called as the mode is."""
    refuse_wrong(mode.value, **{name: (value, _KINDS[name]) for name, value in asked.items()})
    fields = {"l2_norm_bound" if name == "clip" else name: plain(value) for name, value in asked.items()}
    return PrivacyRequest(mode, **{**fields, "bounding": Bounding(asked["bounding"])})


def budget(
    privacy: Privacy,
    schema: StudySchema,
    *,
    rounds: int = 60,
    hospitals: int,
    patients: int,
    events: float,
    strategy: Strategy | str = FedAdam(),  # noqa: B008 - frozen
) -> pd.DataFrame:
    """What is left to be learned beside the noise, by kind of marker, before anything is spent. Reads no table.

    hospitals, patients  how many, and how many at each: public guesses.
    events               the share of patients who have the event, in (0, 1].
    returns              one row a modality: `columns` of the network; `information_left`, the share of what the
                         events could teach that the noise leaves; `hazard_ratio`, the smallest per standard deviation
                         that is found four times out of five; `affordable`. `noise` is the standard deviation of a
                         round's noise in clip norms: at one hospital (local), or of the sum (distributed).
    A rough answer: see `oncofed.study.budget` for what it takes for granted.

    >>> import oncofed.lab as of
    >>> schema = of.synthetic(patients=100, hospitals=2).schema
    >>> asked = dict(rounds=60, hospitals=12, patients=1_000, events=0.5)
    >>> shared, alone = of.distributed(epsilon=1), of.local(epsilon=1)
    >>> left = [of.budget(each, schema, **asked)["information_left"].max() for each in (shared, alone)]
    >>> bool(left[0] > left[1])
    True
    """
    refuse_wrong(
        privacy=(privacy, PRIVACY),
        schema=(schema, SCHEMA),
        rounds=(rounds, some_rounds),
        hospitals=(hospitals, number("DataSpec.synthetic_hospitals")),
        patients=(patients, number("NodePolicy.smallest_cohort")),
        events=(events, number("TrainingSpec.sampling_rate")),
        strategy=(strategy, a_strategy),
    )
    guess = Guess(int(hospitals), int(patients), float(events))
    # Without a clip norm there is no noise either, and any unit will do.
    with_unit = replace(privacy, l2_norm_bound=privacy.l2_norm_bound or 1.0, clip_without_noise=True)
    plan = simulated_plan(
        settings_of(with_unit, strategy, rounds=int(rounds)),
        schema,
        study="budget",
        roster=tuple(f"hospital-{number:05d}" for number in range(guess.sites)),
        quorum=None,
        seed=0,
    )
    found = bought_by(schema, events=guess.events, noise=noise_of_all_rounds(plan))
    return pd.DataFrame(
        {
            "modality": [one.modality for one in found],
            "columns": [one.columns for one in found],
            "information_left": [one.information_left for one in found],
            "hazard_ratio": [one.hazard_ratio for one in found],
            "affordable": [one.is_affordable for one in found],
            "noise": plan.privacy.noise_multiplier,
            "mode": plan.privacy.mode.value,
            "epsilon": plan.privacy.epsilon,
            "rounds": plan.training.rounds,
        }
    )
