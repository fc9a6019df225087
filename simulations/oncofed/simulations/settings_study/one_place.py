"""Which plan of one hospital that has everybody's patients gives the models that a plan of many gives?

A round is a sum over patients plus noise, and the server's steps do not depend on the unit of that sum, so it does not
matter at which hospital a patient is added, nor who added which part of the noise: only how much there is of it. What a
study of twenty hospitals gives can so be looked at for the price of one, without masks and messages. Of mode `none` it
is the same model to rounding, else one drawn from the same distribution, but for the rounding of each hospital's sum to
the public steps.

Nobody is promised anything by such a plan: it is for simulations, on patients who are in one place in any case.
"""

from __future__ import annotations

from dataclasses import replace

from oncofed.errors import Fault, InvalidInput
from oncofed.privacy.releases import release_of_round
from oncofed.protocol.plan import PrivacyMode, Strategy, StudyPlan, TrainingMode

EVERYBODY = "everybody"

_STEPS_OF_ANY_UNIT = (Strategy.FEDADAM, Strategy.FEDYOGI, Strategy.FEDADAGRAD)


def in_one_place(plan: StudyPlan) -> StudyPlan:
    """The plan of the one hospital, called `EVERYBODY`. Raises InvalidInput where it does matter whose a patient is.

    Noise is that in the sum over all hospitals of the roster; epsilon and delta stay what they promise there. The
    server takes the mean over hospitals, which is now the sum: what stands beside the mean is as many times as large.
    """
    training, hospitals = plan.training, len(plan.roster)
    if training.mode is not TrainingMode.FULL_BATCH or training.strategy not in _STEPS_OF_ANY_UNIT:
        remedy = 'Set mode = "full_batch" and strategy = "fedadam", "fedyogi" or "fedadagrad".'
        raise InvalidInput([Fault("[training]", "combines hospitals otherwise than by their sum", remedy)])
    if training.site_weights or plan.summaries:
        what = "weighs hospitals, or releases more than rounds, which only the hospitals themselves can do"
        raise InvalidInput([Fault("the study", what, "Leave site_weights, [held_out] and [explanations] out.")])
    privacy = plan.privacy
    if privacy.mode.private:
        noise = release_of_round(plan).noise_of_sum(hospitals=hospitals)
        privacy = replace(privacy, mode=PrivacyMode.LOCAL, shares=None, noise_multiplier=noise)
    return replace(
        plan,
        roster=(EVERYBODY,),
        quorum=1,
        members=(),
        privacy=privacy,
        training=replace(
            training,
            weight_decay=hospitals * training.weight_decay,
            shape_weight_decay=hospitals * training.shape_weight_decay,
            tau=hospitals * training.tau,
        ),
    )
