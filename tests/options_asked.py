"""A study of the treated consortium that compares its two options, and a trial of them, as text."""

STUDY = """
[study]
name = "treated"
[data.synthetic]
patients = 400
hospitals = 3
[sites]
partition = "column"
[evaluation]
horizon = 24
bootstrap_resamples = 20
baselines = false
[model]
hidden_units = []
[training]
rounds = 2
[privacy]
mode = "distributed"
epsilon = 3
delta = 1e-5
l2_norm_bound = 1
dropouts = 0
colluding = 1
"""

ASKED = """
[target_trial]
treatment = "second_option"
first = "the first option"
second = "the second option"
time_zero = "first day of systemic treatment"
outcomes = ["death_of_cancer", "death_of_other_causes"]
horizon = 24
adjust_for = [
    "age_years", "sex_male", "ecog_performance_status", "uicc_stage", "comorbidity_index", "albumin", "log10_crp",
    "biomarker_positive", "liver_metastases",
]
required = ["age_years", "ecog_performance_status", "uicc_stage"]
modifiers = ["biomarker_positive", "liver_metastases"]
negative_outcome = "death_of_other_causes"
"""

BENCHMARK = """
[target_trial.benchmark]
difference = 0.1
low = -0.9
high = 0.9
source = "A trial"
eligible = ["age_years <= 70"]
"""
