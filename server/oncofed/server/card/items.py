"""What does TRIPOD+AI ask of a report on a prediction model, item by item?

All 52 items (27 numbers with their letters), each in our own few words, with the texts of [reporting] that answer it:
none where the run itself knows.

Source: Collins et al., "TRIPOD+AI statement", BMJ 385:e078378 (2024), table 1; CC BY 4.0. Their wording is the one that
counts.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Item:
    """number  such as "12g". asks: in our words. texts: keys of [reporting], for what only people know of it."""

    number: str
    section: str
    asks: str
    texts: tuple[str, ...] = ()


ITEMS: tuple[Item, ...] = (
    Item("1", "Title", "Development or evaluation, target population, outcome"),
    Item("2", "Abstract", "Summary, as TRIPOD+AI for abstracts asks", ("abstract",)),
    Item("3a", "Introduction", "Context and reason; models there are", ("background",)),
    Item("3b", "Introduction", "Population, purpose in the care of patients, users", ("intended_use", "users")),
    Item("3c", "Introduction", "Known inequalities in health", ("inequalities",)),
    Item("4", "Introduction", "Objectives", ("objectives",)),
    Item("5a", "Data", "Sources of the data, and how representative they are", ("data_sources",)),
    Item("5b", "Data", "Dates of recruitment and of the end of follow-up", ("dates",)),
    Item("6a", "Participants", "Setting, number and places of centres", ("setting",)),
    Item("6b", "Participants", "Who was eligible", ("eligibility",)),
    Item("6c", "Participants", "Treatments, and how they were dealt with", ("treatments",)),
    Item("7", "Data preparation", "Preparation and checks of quality", ("data_preparation",)),
    Item("8a", "Outcome", "Outcome, its horizon, how and when it was found out", ("outcome",)),
    Item("8b", "Outcome", "Who judged it, where it needs judgement", ("outcome_assessors",)),
    Item("8c", "Outcome", "Blinding of that judgement", ("outcome_blinding",)),
    Item("9a", "Predictors", "Why these predictors", ("predictor_choice",)),
    Item("9b", "Predictors", "Each predictor, how and when it was measured", ("predictor_measurement",)),
    Item("9c", "Predictors", "Who judged them, where they need judgement", ("predictor_assessors",)),
    Item("10", "Sample size", "How the size came about, and whether it is enough", ("sample_size",)),
    Item("11", "Missing data", "How missing values were handled"),
    Item("12a", "Analysis", "How the data were divided for development and evaluation"),
    Item("12b", "Analysis", "How predictors were handled"),
    Item("12c", "Analysis", "Kind of model, how it was built, tuning, internal validation"),
    Item("12d", "Analysis", "Differences between centres"),
    Item("12e", "Analysis", "Measures of performance"),
    Item("12f", "Analysis", "Updating of the model after its evaluation"),
    Item("12g", "Analysis", "How predictions were calculated"),
    Item("13", "Class imbalance", "Methods against class imbalance"),
    Item("14", "Fairness", "Approaches to fairness, and why", ("fairness",)),
    Item("15", "Model output", "What the model says; thresholds"),
    Item("16", "Training versus evaluation", "Differences between both in setting, eligibility, outcome, predictors"),
    Item("17", "Ethical approval", "Committee, and consent of patients", ("ethics", "consent")),
    Item("18a", "Open science", "Funding", ("funding",)),
    Item("18b", "Open science", "Conflicts of interest", ("conflicts",)),
    Item("18c", "Open science", "Protocol", ("protocol",)),
    Item("18d", "Open science", "Registration", ("registration",)),
    Item("18e", "Open science", "Availability of the data", ("data_availability",)),
    Item("18f", "Open science", "Availability of the code", ("code_availability",)),
    Item("19", "Patients and public", "What they had to do with the study", ("patient_involvement",)),
    Item("20a", "Participants (results)", "Flow of participants, with and without the outcome, follow-up"),
    Item("20b", "Participants (results)", "Characteristics, by centre, with missing data"),
    Item("20c", "Participants (results)", "Evaluation data beside those of the development", ("comparison",)),
    Item("21", "Model development", "Participants and events in each analysis"),
    Item("22", "Model specification", "The full model, so that others can use and evaluate it", ("availability",)),
    Item("23a", "Model performance", "Performance with intervals, by subgroup"),
    Item("23b", "Model performance", "Differences in performance between centres"),
    Item("24", "Model updating", "Results of updating"),
    Item("25", "Interpretation", "What the results mean, fairness among it", ("interpretation",)),
    Item("26", "Limitations", "Limitations, and what they do", ("limitations",)),
    Item("27a", "Usability", "Predictors that are missing or of poor quality, in use", ("input_quality",)),
    Item("27b", "Usability", "What users have to do, and to know", ("expertise",)),
    Item("27c", "Usability", "Next steps", ("next_steps",)),
)
