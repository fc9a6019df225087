"""What stands in a model's card? The entries of the Applied Model Card of the Coalition for Health AI (CHAI), v0.2.

`model_card` puts together what the run knows and what the study file says; forms of it are `card_markdown` and
`card_xml`. The names of the entries, and their order, are those of CHAI's public XML schema
(https://mc.chai.org/v0.2/schema.xsd); the words are ours. Nothing is made up: an entry that nobody answers reads "not
stated".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from oncofed.server.card import methods
from oncofed.server.card.known import Known
from oncofed.server.card.results import (
    Figure,
    by_group,
    by_hospital,
    by_type,
    calibration,
    comparisons,
    discrimination,
    files,
    gains,
    limitations,
    looked_at,
    participants,
    quality_of_release,
)
from oncofed.server.card.statement import Statement, statement
from oncofed.words.names import plain_name

VERSION = "v0.2"
NAMESPACE = f"https://mc.chai.org/{VERSION}/schema.xsd"

_FACTS = ("TrustIngredients", "AISystemFacts")
_TRANSPARENCY = ("TrustIngredients", "TransparencyInformation")


@dataclass(frozen=True)
class Entry:
    """place  element within element, from the card's own. asks: in words."""

    place: tuple[str, ...]
    asks: str
    said: Statement


@dataclass(frozen=True)
class KeyMetrics:
    """One of the card's three groups of figures. before, after: what stands around them."""

    name: str
    asks: str
    before: tuple[Entry, ...]
    figures: tuple[Figure, ...]
    after: tuple[Entry, ...]


@dataclass(frozen=True)
class ModelCard:
    """In the schema's order: entries, figures, and what comes behind the figures."""

    title: str
    entries: tuple[Entry, ...]
    keywords: tuple[str, ...]
    metrics: tuple[KeyMetrics, ...]
    rest: tuple[Entry, ...]


def model_card(known: Known) -> ModelCard:
    """The card of a run."""
    return ModelCard(
        title=known.title,
        entries=(*_basics(known), *_uses(known), *_warnings(known), *_facts(known)),
        keywords=(
            "prognosis",
            "survival analysis",
            "oncology",
            "federated learning",
            *(["differential privacy"] if known.plan.privacy.mode.private else []),
            *map(plain_name, known.plan.model.endpoints),
        ),
        metrics=_key_metrics(known),
        rest=_resources(known),
    )


def _entry(known: Known, place: Sequence[str], asks: str, said: str, *keys: str) -> Entry:
    return Entry(tuple(place), asks, statement(known.reporting, said, *keys))


def _basics(known: Known) -> tuple[Entry, ...]:
    basic, release, summary = "BasicInfo", "ReleaseInfo", "ModelSummary"
    return (
        _entry(known, (basic, "ModelName"), "Name", known.title),
        _entry(known, (basic, "ModelDeveloper"), "Developer", "", "developer"),
        _entry(known, (basic, "DeveloperContact"), "Contact", "", "contact"),
        _entry(known, (release, "ReleaseStage"), "Stage", "", "release_stage"),
        _entry(known, (release, "ReleaseDate"), "Date", "", "release_date"),
        _entry(known, (release, "ReleaseVersion"), "Version", f"The model of plan {known.described('plan_hash')}."),
        _entry(known, (release, "GlobalAvailability"), "Availability", "", "availability"),
        _entry(
            known,
            (release, "RegulatoryApproval"),
            "Regulatory approval",
            "The program that made it is research software and no medical device.",
            "regulatory_approval",
        ),
        _entry(known, (summary, "Summary"), "Summary", f"{methods.title(known)} {methods.sources(known)}", "abstract"),
    )


def _uses(known: Known) -> tuple[Entry, ...]:
    uses = "UsesAndDirections"
    return (
        _entry(known, (uses, "IntendedUseAndWorkflow"), "Intended use", methods.purpose(known), "intended_use"),
        _entry(known, (uses, "PrimaryIntendedUsers"), "Users", "", "users"),
        _entry(known, (uses, "HowToUse"), "How to use it", f"{methods.output(known)} {files(known)}", "expertise"),
        _entry(
            known, (uses, "TargetedPatientPopulation"), "Patients", methods.outcomes(known), "eligibility", "setting"
        ),
        _entry(
            known,
            (uses, "CautionedOutOfScopeSettings"),
            "Out of scope",
            f"Times beyond {known.plain('last_bound')} {known.plan.model.grid.unit}; the choice of a treatment; "
            "statements about causes.",
            "out_of_scope",
        ),
    )


def _warnings(known: Known) -> tuple[Entry, ...]:
    return (
        _entry(
            known,
            ("Warnings", "KnownRisksAndLimitations"),
            "Known risks and limitations",
            "\n".join(f"- {each}" for each in limitations(known)),
            "limitations",
        ),
        _entry(
            known,
            ("Warnings", "KnownBiasesOrEthicalConsiderations"),
            "Known biases, ethical considerations",
            "",
            "known_biases",
            "inequalities",
        ),
        _entry(known, ("Warnings", "ClinicalRiskLevel"), "Clinical risk", "", "clinical_risk_level"),
    )


def _facts(known: Known) -> tuple[Entry, ...]:
    return (
        _entry(known, (*_FACTS, "OutcomesAndOutputs"), "Outcomes and outputs", methods.output(known), "outcome"),
        _entry(
            known,
            (*_FACTS, "ModelType"),
            "Kind of model",
            f"{methods.kind_of_model(known)} {methods.training(known)}",
        ),
        _entry(known, (*_FACTS, "FoundationModels"), "Foundation models", "None."),
        _entry(known, (*_FACTS, "InputDataSource"), "Source of the data", methods.sources(known), "data_sources"),
        _entry(
            known,
            (*_FACTS, "OutputAndInputDataTypes"),
            "Kinds of data",
            f"{methods.predictors(known)} {methods.output(known)}",
        ),
        _entry(
            known,
            (*_FACTS, "DevelopmentDataCharacterization"),
            "Data of the development",
            f"{participants(known)} {methods.division(known)} {methods.missing(known)}",
            "dates",
            "eligibility",
        ),
        _entry(known, (*_FACTS, "BiasMitigationApproaches"), "Against bias", "", "fairness"),
        _entry(known, (*_FACTS, "OngoingMaintenance"), "Maintenance", "", "maintenance"),
        _entry(known, (*_FACTS, "Security"), "Security and privacy", methods.privacy(known)),
        _entry(
            known,
            (*_FACTS, "Transparency"),
            "Transparency",
            f"Schema {known.described('schema_hash')}, plan {known.described('plan_hash')}, by "
            f"{known.described('program')}. The TRIPOD+AI checklist lies beside this card.",
            "code_availability",
            "data_availability",
        ),
        _entry(known, (*_TRANSPARENCY, "FundingSource"), "Funding", "", "funding", "conflicts"),
        _entry(
            known,
            (*_TRANSPARENCY, "StakeholdersConsulted"),
            "Who was asked",
            "",
            "stakeholders",
            "patient_involvement",
        ),
    )


def _key_metrics(known: Known) -> tuple[KeyMetrics, ...]:
    test_type = (
        "Internal: patients set aside in a simulation"
        if known.simulated
        else "Internal: patients whom hospitals set aside"
    )
    groups = (
        (
            "UsefulnessUsabilityEfficacy",
            "Usefulness: who is at higher risk",
            "Patients who have the event sooner are told a higher risk.",
            "A C-index of one half is chance and one is perfect; a gain of the Brier score below zero does harm."
            + (
                " A gain in log likelihood above zero is in favour of the network; a score compares by how right its "
                "risks are, too."
                if comparisons(known) or gains(known)
                else ""
            ),
            (*discrimination(known), *comparisons(known), *gains(known)),
        ),
        (
            "FairnessEquity",
            "Fairness: by groups of people, tumour type and hospital",
            "As many events come in each group and time as the model expects.",
            _groups_in_words(known),
            (*by_group(known), *by_type(known), *by_hospital(known)),
        ),
        (
            "SafetyReliability",
            "Safety: are the risks right",
            "The risks told are those that come true.",
            "A slope of one is right, below one risks are too extreme, above one too timid; a ratio of one is right.",
            calibration(known),
        ),
    )
    found = []
    for number, (name, asks, goal, reading, figures) in enumerate(groups):
        place = ("KeyMetrics", name)
        # What people said of all figures alike stands with the first.
        interpretation, comparison, size = (
            ((),) * 3 if number else (("interpretation",), ("comparison",), ("sample_size",))
        )
        before = (_entry(known, (*place, "MetricGoal"), "Goal", goal),)
        after = (
            _entry(known, (*place, "Interpretation"), "How to read it", reading, *interpretation),
            _entry(known, (*place, "TestType"), "Kind of test", test_type if figures else ""),
            _entry(known, (*place, "TestingDataDescription"), "Measured on", quality_of_release(known), *comparison),
            _entry(
                known,
                (*place, "ValidationProcessAndJustification"),
                "How",
                methods.division(known) if figures else "",
                *size,
            ),
        )
        found.append(KeyMetrics(name, asks, before, figures, after))
    return tuple(found)


def _groups_in_words(known: Known) -> str:
    groups = looked_at(known)
    if not groups:
        return "Groups are tumour types and hospitals; sex, age and origin were not looked at."
    return (
        f"Groups are by {' and by '.join(groups)}. Of each figure, the intervals of all groups together hold the truth "
        "with the certainty that is told. C-indices of groups are not to be compared: among people who are alike it is "
        "harder to tell who is worse."
    )


def _resources(known: Known) -> tuple[Entry, ...]:
    resources = "Resources"
    return (
        _entry(
            known,
            (resources, "EvaluationReferences"),
            "Evaluation",
            "TRIPOD+AI checklist (tripod_ai.md) in the model package.",
            "protocol",
        ),
        _entry(known, (resources, "ClinicalTrial"), "Registration", "", "registration"),
        _entry(known, (resources, "PeerReviewedPublications"), "Publications", "", "publications"),
        _entry(known, (resources, "PatientConsentOrDisclosure"), "Consent of patients", "", "consent", "ethics"),
        _entry(known, ("Bibliography",), "Bibliography", ""),
    )
