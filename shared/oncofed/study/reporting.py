"""What does a study file say of itself in a person's words? The section [reporting].

A run writes a TRIPOD+AI checklist and a model card from what it knows, and quotes these texts where only people know:
it never makes one up, and where there is none the page says "not stated". They are no part of a plan or of its hash: a
plan is what hospitals approve and what a patient's data are asked for, and no text here changes anything of that. So
a text may be mended or added when the study has ended, without a new plan, new approvals or a new charge.

Source of what is asked: TRIPOD+AI (Collins et al., BMJ 385:e078378, 2024, CC BY 4.0), whose items are named here in our
own words; the Applied Model Card of the Coalition for Health AI.
"""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Reporting:
    """Every text may be left out."""

    abstract: str = ""
    """A summary of the study."""
    background: str = ""
    """Why this prognosis is wanted, and which models there are already."""
    intended_use: str = ""
    """What the model is for, and where in a patient's care."""
    users: str = ""
    """Who is to use it."""
    inequalities: str = ""
    """Known inequalities in health between groups of people."""
    objectives: str = ""
    """What the study set out to do."""
    data_sources: str = ""
    """Where the tables come from (registries, trials, routine care), why these, and how representative they are."""
    dates: str = ""
    """When patients were taken in, from when to when, and when follow-up ended."""
    setting: str = ""
    """What kind of hospitals these are, and where."""
    eligibility: str = ""
    """Which patients belong to it, and which do not."""
    treatments: str = ""
    """Which treatments patients had, and how these were dealt with."""
    data_preparation: str = ""
    """What was done to the tables before the study saw them, and whether alike for all groups of people."""
    outcome: str = ""
    """How the outcome was found out, why this one, and whether alike for all groups of people."""
    outcome_assessors: str = ""
    """Who judged an outcome that needs judgement."""
    outcome_blinding: str = ""
    """What kept them from knowing the markers."""
    predictor_choice: str = ""
    """Why these markers."""
    predictor_measurement: str = ""
    """How and when markers were measured, and what kept those who did from knowing the outcome."""
    predictor_assessors: str = ""
    """Who judged a marker that needs judgement."""
    sample_size: str = ""
    """How the number of patients came about, and whether it is enough."""
    fairness: str = ""
    """What was done so that the model is fair, and why."""
    comparison: str = ""
    """How patients of the evaluation differ from those of the training."""
    ethics: str = ""
    """Which committee approved the study."""
    consent: str = ""
    """How patients consented or were told, or who waived that."""
    funding: str = ""
    """Who paid, and what part the funders had."""
    conflicts: str = ""
    """Conflicts of interest of all authors."""
    protocol: str = ""
    """Where the study's protocol can be read."""
    registration: str = ""
    """In which register the study stands, and under which number."""
    data_availability: str = ""
    """Who can have the data, and how."""
    code_availability: str = ""
    """Where the code of the analyses is, beside oncofed's own."""
    patient_involvement: str = ""
    """What patients and the public had to do with the study's design, conduct or report."""
    interpretation: str = ""
    """What the results mean, fairness among it."""
    limitations: str = ""
    """What limits them, beside what the run says itself."""
    input_quality: str = ""
    """How whoever uses the model is to judge a marker that is missing or badly measured."""
    expertise: str = ""
    """What users of the model must know, and what they have to do."""
    next_steps: str = ""
    """What further research should look at."""
    developer: str = ""
    """Who made the model."""
    contact: str = ""
    """Whom to ask about it."""
    release_stage: str = ""
    """How far the model is: research, pilot, in use."""
    release_date: str = ""
    """When it was released."""
    availability: str = ""
    """Where and for whom it is available, and on which terms."""
    regulatory_approval: str = ""
    """Whether and where it is approved as a medical device."""
    out_of_scope: str = ""
    """For whom and what the model must not be used."""
    known_biases: str = ""
    """Known biases, and ethical questions."""
    clinical_risk_level: str = ""
    """How much harm a wrong prognosis may do."""
    maintenance: str = ""
    """Who looks after the model once it is in use, and how."""
    stakeholders: str = ""
    """Who was asked when it was made."""
    publications: str = ""
    """Reviewed publications about it."""

    @property
    def missing(self) -> tuple[str, ...]:
        """The keys without a text, in the order above."""
        return tuple(each.name for each in fields(self) if not getattr(self, each.name).strip())


NOTHING_SAID = Reporting()
