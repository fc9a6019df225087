"""Which facts of a study's promise, model and plan stand in tables of its report?"""

from __future__ import annotations

from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.plan_words import PlanCost
from oncofed.server.report.study import DeployedStudy
from oncofed.words.language import ENGLISH, Language
from oncofed.words.names import plain_name
from oncofed.words.numbers import decimals, scientific, whole

Facts = list[tuple[str, str]]


def promise_facts(plan: StudyPlan, cost: PlanCost | None, *, say: Language = ENGLISH) -> Facts:
    """What a patient is promised. cost: of the plan, None where nothing is."""
    if cost is None:
        return [(say("Mode"), say("none: no noise, and so no promise"))]
    return [
        *(_of_rounds(plan, cost, say) if plan.trains else _without_rounds(plan, cost, say)),
        (
            say("Epsilon of a patient of two hospitals"),
            say("up to %(epsilon)s", epsilon=decimals(cost.two_hospitals, 2, say=say)),
        ),
        (say("Delta"), scientific(plan.privacy.delta, say=say)),
        (
            say("Suits hospitals of"),
            say("up to %(patients)s patients", patients=whole(cost.largest_cohort, say=say)),
        ),
        (say("Unit and neighbours"), say("one patient of one hospital; tables with and without that patient")),
        (say("Noise multiplier"), say.figures(f"{plan.privacy.noise_multiplier:.4g}")),
        (say("Whose noise"), _whose_noise(plan, say)),
    ]


def _of_rounds(plan: StudyPlan, cost: PlanCost, say: Language) -> Facts:
    rounds = say.several("%(count)s planned round", "%(count)s planned rounds", plan.training.rounds)
    after = say("Epsilon after %(rounds)s", rounds=rounds)
    if plan.summaries:
        names = ", ".join(plain_name(each.name) for each in plan.summaries)
        after = say("Epsilon after %(rounds)s and %(summaries)s", rounds=rounds, summaries=names)
    with_reserve = say.several(
        "Epsilon with %(count)s round of reserve",
        "Epsilon with %(count)s rounds of reserve",
        plan.privacy.reserve_rounds,
    )
    return [(after, decimals(cost.planned, 2, say=say)), (with_reserve, _never_more(cost, say))]


def _without_rounds(plan: StudyPlan, cost: PlanCost, say: Language) -> Facts:
    what = (
        say("Epsilon of the figures, all attempts")
        if plan.validates is not None
        else say("Epsilon of the count, all attempts")
    )
    return [(what, _never_more(cost, say))]


def _never_more(cost: PlanCost, say: Language) -> str:
    return say("%(epsilon)s, never more", epsilon=decimals(cost.largest, 2, say=say))


def _whose_noise(plan: StudyPlan, say: Language) -> str:
    shares = plan.privacy.shares
    if shares is None:
        return say("every hospital's own, in full: it trusts nobody")
    words = say(
        "a sum's, shared under masks by %(sites)s hospitals, of which %(dropouts)s may be missing and %(colluding)s "
        "may side with the coordinator; the others are trusted to add theirs",
        sites=whole(shares.sites, say=say),
        dropouts=whole(shares.dropouts, say=say),
        colluding=whole(shares.colluding, say=say),
    )
    if not shares.mask_neighbours:
        return words
    return words + say(
        "; each masks with %(neighbours)s others at least", neighbours=whole(shares.mask_neighbours, say=say)
    )


def model_facts(study: DeployedStudy, *, say: Language = ENGLISH) -> Facts:
    """Which model it is, how it is signed, and how large."""
    plan, model = study.plan, study.plan.model
    hidden = say(" and ").join(map(str, model.hidden_units)) or say("none")
    units = (
        say("%(units)s, and a linear part", units=hidden)
        if model.linear_branch
        else say("%(units)s, without a linear part", units=hidden)
    )
    trained_by = [] if plan.validates is None else [(say("Trained by the plan"), plan.validates.plan_hash)]
    return [
        (say("SHA-256 of the file"), study.model_sha256 or say("not released yet")),
        (say("Signature (Ed25519)"), study.signature or say("not released yet")),
        (say("Coordinator's key"), _signer(plan) or say("not in the plan")),
        *trained_by,
        (say("Parameters"), whole(model.parameters, say=say)),
        (say("Inputs"), whole(model.columns, say=say)),
        (say("ReLU units"), units),
    ]


def _signer(plan: StudyPlan) -> str:
    """Of the model."""
    return plan.coordinator_public_key if plan.validates is None else plan.validates.coordinator_public_key


def identity_facts(plan: StudyPlan, *, say: Language = ENGLISH) -> Facts:
    """Which plan it is, and who must answer how often."""
    return [
        (say("Study"), plan.study),
        (say("Plan hash"), plan.hash),
        (say("Schema hash"), plan.schema_hash),
        (say("Program bundle, SHA-256"), plan.bundle_sha256 or say("not in the plan")),
        (
            say("Quorum"),
            say(
                "%(quorum)s of %(hospitals)s hospitals",
                quorum=whole(plan.quorum, say=say),
                hospitals=whole(len(plan.roster), say=say),
            ),
        ),
        (say("Training"), _training(plan, say)),
    ]


def _training(plan: StudyPlan, say: Language) -> str:
    if plan.trains:
        rounds = say.several("%(count)s round", "%(count)s rounds", plan.training.rounds)
        return f"{plan.training.mode.value}, {plan.training.strategy.value}, {rounds}"
    if plan.validates is None:
        return say("none: it only counts")
    return say("none: it measures a model of another plan")
