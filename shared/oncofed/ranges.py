"""Between which numbers may a public constant of a plan, schema, policy or study file lie, and which are usual?

One table, `RANGES`. A number outside its range is refused by name: in the file it is written in, when a plan is signed,
and by every hospital's policy. A number that is inside and unusual is told to whoever approves the plan. NaN and
infinities are outside every range.

Ranges are wide enough for any study and narrow enough that no sum, product, square or logarithm of public constants,
nor any of them with a patient's encoded values, leaves what float64 can hold: encoded values are at most 1e3 times
1e2 times 1e2, a public log hazard lies within 35 of 0, and a clip norm is far above the smallest numbers. Weights are
no constants of a file: `WEIGHT` bounds those that travel, and `privacy.mechanism` enforces the bound on what a patient
adds at any finite ones.

Imports no torch and nothing of the package but its errors and how a language says things.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass

from oncofed.errors import Fault
from oncofed.words.language import ENGLISH, Language


@dataclass(frozen=True)
class Range:
    """Both ends belong to it.

    whole    only whole numbers (of Python's type int).
    or_zero  0 belongs to it as well: what the number is for is not asked for.
    made_of  of a number that follows from others: whose they are, for the remedy.
    """

    least: float
    most: float
    usual_least: float
    usual_most: float
    whole: bool = False
    or_zero: bool = False
    made_of: str = ""

    def __contains__(self, number: object) -> bool:
        if isinstance(number, bool) or not isinstance(number, int if self.whole else int | float):
            return False
        return self.least <= number <= self.most or (self.or_zero and number == 0)

    def is_usual(self, number: float) -> bool:
        return self.usual_least <= number <= self.usual_most or (self.or_zero and number == 0)

    @property
    def words(self) -> str:
        """Such as "1 to 10,000"."""
        return f"{'0, or ' if self.or_zero else ''}{told(self.least)} to {told(self.most)}"

    @property
    def usual_words(self) -> str:
        return self.usual_in(ENGLISH)

    def usual_in(self, say: Language) -> str:
        least, most = (say.figures(told(each)) for each in (self.usual_least, self.usual_most))
        return say("%(low)s to %(high)s", low=least, high=most)

    @property
    def remedy(self) -> str:
        if self.made_of:
            return f"Lower {self.made_of}; usual: {self.usual_words}."
        return f"Choose a {'whole ' if self.whole else ''}number from {self.words}; usual: {self.usual_words}."


def told(number: float) -> str:
    """As people write it; any number, also one that no float64 holds."""
    if isinstance(number, float) and math.isnan(number):
        return "not a number"
    if not -_ENDLESS <= number <= _ENDLESS:
        return f"beyond {'-' if number < 0 else ''}1e300"
    if number == int(number) and abs(number) < 1e9:
        return f"{int(number):,}"
    return re.sub(r"e\+?(-?)0*", r"e\1", f"{number:g}")


_ENDLESS = 1e300


def _whole(least: int, most: int, usual_least: int, usual_most: int, made_of: str = "") -> Range:
    return Range(least, most, usual_least, usual_most, whole=True, made_of=made_of)


_COUNT = " (count)"
"""Ends the name of a row about how many there are in a list."""

_SITES = 10_000
_SEED = _whole(0, 1_000_000_000, 0, 1_000_000_000)
_TIME = Range(0, 50_000, 0, 20_000)
"""120 years are 43,830 days."""
_INPUTS = 65_536
"""`survival.one_by_one` keeps 21 bits of an input beside so many."""

_NUMBERS = 8_000_000
"""As many as an answer can hold: 64 MB."""

_TABLE: tuple[tuple[str, Range], ...] = (
    # The model
    ("ModelSpec.columns", _whole(1, _INPUTS, 1, 5_000)),
    ("ModelSpec.endpoints (count), StudySchema.endpoints (count)", _whole(1, 16, 1, 4)),
    ("ModelSpec.baseline_hazard, StudySchema.baseline_hazard", Range(1e-8, 100, 1e-5, 2)),
    ("ModelSpec.baseline_hazard (count), StudySchema.baseline_hazard (count)", _whole(1, 16, 1, 4)),
    ("ModelSpec.hidden_units, PlanSettings.hidden_units", _whole(1, 4_096, 1, 64)),
    ("ModelSpec.hidden_units (count), PlanSettings.hidden_units (count)", _whole(0, 8, 0, 2)),
    ("ModelSpec.baseline_weight, PlanSettings.baseline_weight", Range(1e-3, 1e3, 0.05, 5)),
    ("TimeShapes.functions", _whole(1, 2, 1, 2)),
    ("PlanSettings.expected_patients, StudyHead.expected_patients", _whole(1, 100_000_000, 100, 1_000_000)),
    ("PlanSettings.left_open (count)", _whole(0, 20, 0, 20)),
    ("PlanSettings.entity_time_shapes", _whole(0, 2, 0, 2)),
    ("TimeShapes.centre", Range(1e-4, 50_000, 1, 1_500)),
    ("TimeShapes.weight, PlanSettings.shape_weight", Range(1e-3, 100, 0.05, 5)),
    ("TimeShapes.entity_columns, EntityLevels.entity_columns", _whole(0, _INPUTS, 0, 5_000)),
    ("TimeShapes.entity_columns (count), EntityLevels.entity_columns (count)", _whole(0, 1_000, 1, 100)),
    ("EntityLevels.encoded", Range(1e-3, 100, 0.05, 5)),
    ("ModelSpec.comparators (count), PlanSettings.comparators (count)", _whole(0, 8, 0, 6)),
    ("Comparator.columns, Comparator.missing_columns", _whole(0, _INPUTS, 0, 5_000)),
    ("Comparator.columns (count)", _whole(1, 1_000, 1, 100)),
    ("Comparator.missing_columns (count)", _whole(0, 1_000, 0, 100)),
    ("ComparatorSection.markers (count)", _whole(1, 100, 1, 20)),
    ("Comparator.weight, PlanSettings.comparator_weight", Range(1e-3, 10, 0.05, 2)),
    ("ModelSpec.expected_weights", Range(-1e4, 1e4, -20, 20)),
    ("ModelSpec.expected_weights (count)", _whole(0, _INPUTS, 0, 5_000)),
    ("ModelSpec.layers (count), ValueRequest.layers (count)", _whole(0, 7, 0, 7)),
    ("Layer.columns, Layer.missing_columns", _whole(0, _INPUTS, 0, 5_000)),
    ("Layer.columns (count), Layer.missing_columns (count)", _whole(1, _INPUTS, 1, 5_000)),
    ("Layer.missing_value", Range(1e-6, 100, 1e-3, 1)),
    ("ModelSpec.parameters", _whole(1, _NUMBERS, 1, 100_000, "columns or hidden_units")),
    ("SummarySpec.cells", _whole(1, _NUMBERS, 1, 100_000, "markers, tumour entities or groups")),
    ("TimeGrid.bounds, SummarySpec.time_bounds, HeldOutRequest.times, HeldOutRequest.calibration_windows", _TIME),
    ("TimeGrid.bounds (count)", _whole(2, 201, 3, 61)),
    ("TimeGrid.widths", Range(1e-3, 50_000, 0.01, 10_000)),
    ("TimeGrid.widths (count)", _whole(1, 200, 2, 60)),
    # Training
    ("TrainingSpec.rounds", _whole(0, 10_000, 0, 300)),
    ("TrainingSpec.calibration_rounds", _whole(0, 100, 0, 40)),
    ("TrainingSpec.server_learning_rate", Range(1e-8, 1e3, 1e-4, 1)),
    ("TrainingSpec.beta_1", Range(0, 0.999_999, 0, 0.99)),
    ("TrainingSpec.beta_2", Range(0, 0.999_999, 0, 0.9999)),
    ("TrainingSpec.tau", Range(1e-20, 1e3, 1e-12, 0.1)),
    ("TrainingSpec.weight_decay, TrainingSpec.shape_weight_decay", Range(0, 1e4, 0, 20)),
    ("TrainingSpec.local_learning_rate", Range(1e-8, 1e3, 1e-3, 2)),
    ("TrainingSpec.local_steps", _whole(1, 10_000, 1, 200)),
    ("StudyPlan.charged_local_steps", _whole(0, 25_000, 0, 6_000, "rounds, reserve_rounds or local_steps")),
    ("TrainingSpec.sampling_rate", Range(1e-6, 1, 1e-3, 1)),
    ("TrainingSpec.expected_batch_size", Range(0.1, 1e6, 1, 10_000)),
    ("TrainingSpec.proximal_mu", Range(0, 1e3, 0, 1)),
    ("TrainingSpec.trim_fraction", Range(0, 0.4999, 0, 0.4)),
    ("TrainingSpec.malicious_sites", _whole(0, _SITES, 0, 20)),
    ("TrainingSpec.site_weights", Range(1e-6, 1e6, 0.01, 100)),
    ("TrainingSpec.site_weights (count)", _whole(0, _SITES, 0, 200)),
    # Privacy
    (
        "PrivacySpec.epsilon, PrivacyRequest.epsilon, ReadinessRequest.epsilon, ValidationRequest.epsilon",
        Range(1e-3, 1e3, 0.1, 8),
    ),
    ("PrivacySpec.delta", Range(1e-9, 1e-5, 1e-9, 1e-5, or_zero=True)),
    ("PrivacyRequest.delta", Range(1e-9, 1e-5, 1e-9, 1e-5)),
    ("PrivacySpec.noise_multiplier, SummarySpec.noise_multiplier", Range(1e-4, 1e6, 0.5, 1_000, or_zero=True)),
    ("PrivacySpec.l2_norm_bound, PrivacyRequest.l2_norm_bound", Range(1e-4, 1e6, 0.1, 10)),
    ("PrivacySpec.hazard_cap, PrivacyRequest.hazard_cap", Range(0.01, 100, 0.3, 3)),
    ("PrivacySpec.reserve_rounds, PrivacyRequest.reserve_rounds", _whole(0, 10_000, 0, 30)),
    ("SharedNoise.sites", _whole(1, _SITES, 1, 200)),
    ("SharedNoise.dropouts, PrivacyRequest.dropouts", _whole(0, _SITES, 0, 40)),
    ("SharedNoise.colluding, PrivacyRequest.colluding", _whole(0, _SITES, 0, 40)),
    ("SharedNoise.mask_neighbours, PrivacyRequest.mask_neighbours", _whole(0, _SITES, 0, 200)),
    ("PrivacySpec.scale_bits, PrivacyRequest.scale_bits", _whole(4, 40, 16, 30)),
    # Summaries
    (
        "SummarySpec.attempts, HeldOutRequest.attempts, ExplanationRequest.attempts, ReadinessRequest.attempts",
        _whole(1, 100, 1, 5),
    ),
    (
        "SummarySpec.smallest_shown, HeldOutRequest.smallest_shown, HeldOutRequest.smallest_expected, "
        "ExplanationRequest.smallest_shown, ReadinessRequest.smallest_shown",
        Range(0, 1e6, 0, 10_000),
    ),
    ("SummarySpec.edges, HeldOutRequest.risk_edges, HeldOutRequest.calibration_risks", Range(-50, 50, -5, 5)),
    ("SummarySpec.edges (count), HeldOutRequest.risk_edges (count)", _whole(0, 100, 0, 12)),
    ("HeldOutRequest.calibration_risks (count)", _whole(2, 2, 2, 2)),
    (
        "SummarySpec.time_bounds (count), HeldOutRequest.times (count), HeldOutRequest.calibration_windows (count)",
        _whole(0, 201, 0, 12),
    ),
    ("SummarySpec.horizon", _TIME),
    ("HeldOutRequest.horizon, EvaluationSpec.horizon", Range(1e-3, 50_000, 0.1, 20_000)),
    (
        "HeldOutRequest.budget_share, HeldOutRequest.calibration_share, HeldOutRequest.comparison_share, "
        "HeldOutRequest.value_share, ExplanationRequest.budget_share",
        Range(0, 0.99, 0, 0.5),
    ),
    ("SummarySpec.gains_within, HeldOutRequest.gains_within", Range(0.01, 50, 0.5, 5)),
    ("SummarySpec.gains_within (count)", _whole(0, 1, 0, 1)),
    (
        "VoteSpec.column_markers, VoteSpec.entity_columns, SummarySpec.group_columns",
        _whole(0, _INPUTS, 0, 5_000),
    ),
    ("VoteSpec.column_markers (count)", _whole(1, _INPUTS, 1, 5_000)),
    ("VoteSpec.entity_columns (count), SummarySpec.group_columns (count)", _whole(0, 1_000, 0, 100)),
    ("VoteSpec.markers", _whole(2, _INPUTS, 2, 5_000)),
    ("VoteSpec.most_votes, ExplanationRequest.most_votes", _whole(1, 1_000, 1, 50)),
    ("VoteSpec.largest_effect, ExplanationRequest.largest_effect", Range(1e-3, 100, 0.05, 5)),
    # Who takes part, and when
    ("StudyPlan.roster (count), StudyPlan.members (count)", _whole(0, _SITES, 0, 200)),
    ("StudyPlan.quorum, ConsortiumTerms.quorum, SitesSpec.quorum", _whole(1, _SITES, 1, 200)),
    ("StudyPlan.initialisation_seed, Study.seed, StudyHead.seed, DataSpec.synthetic_seed", _SEED),
    ("EvaluationSpec.reserved_seeds", _SEED),
    ("EvaluationSpec.reserved_seeds (count)", _whole(0, 1_000, 0, 100)),
    (
        "StudyPlan.round_timeout_seconds, ConsortiumTerms.round_timeout_seconds",
        Range(0.05, 604_800, 1, 86_400),
    ),
    ("StudyPlan.answer_seconds, ConsortiumTerms.answer_seconds", Range(0.05, 60, 0.2, 10)),
    ("StudyPlan.summary_answer_seconds, ConsortiumTerms.summary_answer_seconds", Range(0.05, 60, 2, 60)),
    ("StudyPlan.patience_seconds, ConsortiumTerms.patience_seconds", Range(0, 2_592_000, 0, 604_800)),
    ("StudyPlan.version", _whole(1, 1, 1, 1)),
    ("StudyPlan.held_out_fraction, Consortium.set_aside", Range(1e-3, 0.9, 0.05, 0.5, or_zero=True)),
    ("HeldOutRequest.fraction", Range(1e-3, 0.9, 0.05, 0.5)),
    ("ValidationRequest.share", Range(1e-3, 1, 0.1, 1)),
    ("StudyPlan.summaries (count)", _whole(0, 20, 0, 5)),
    ("StudyPlan.released (count), ConsortiumTerms.released (count)", _whole(0, 100, 0, 20)),
    # The schema
    ("StudySchema.markers (count)", _whole(1, 20_000, 1, 2_000)),
    ("StudySchema.largest_encoded_value", Range(0.1, 1e3, 1, 10)),
    ("StudySchema.zero_time_becomes", Range(1e-4, 1e3, 1e-3, 30)),
    ("Marker.plausible_range, Marker.centre, Marker.reference_range", Range(-1e12, 1e12, -1e6, 1e6)),
    ("Marker.plausible_range (count), Marker.reference_range (count)", _whole(2, 2, 2, 2)),
    ("Marker.scale", Range(1e-9, 1e9, 1e-3, 1e5)),
    ("Marker.expected_log_hazard_ratios", Range(-5, 5, -2, 2)),
    ("Marker.expected_log_hazard_ratios (count)", _whole(0, 1_000, 0, 200)),
    ("Marker.weight, ModalityEncoding.weight", Range(0, 100, 0, 5)),
    ("DataSpec.modality_weights", Range(1e-6, 100, 1e-3, 5)),
    ("ModalityEncoding.missing_weight", Range(0, 100, 0, 1)),
    ("Marker.categories (count)", _whole(0, 1_000, 0, 200)),
    ("Marker.category_labels_de (count)", _whole(0, 1_000, 0, 200)),
    ("Marker.missing_codes (count)", _whole(0, 100, 0, 20)),
    ("Endpoint.competes_with (count)", _whole(0, 15, 0, 3)),
    # A hospital's policy
    ("SitePolicy.largest_epsilon", Range(0, 1e3, 0, 10)),
    ("SitePolicy.delta", Range(1e-9, 1e-5, 1e-9, 1e-5)),
    ("SitePolicy.smallest_noise_multiplier", Range(0, 1e6, 0, 100)),
    ("SitePolicy.fewest_colluding_tolerated", _whole(0, _SITES, 0, 40)),
    ("SitePolicy.largest_parameters, NodePolicy.largest_parameters", _whole(1, 20_000_000, 100, 1_000_000)),
    ("NodePolicy.smallest_cohort", _whole(1, 200_000, 20, 1_000)),
    ("NodePolicy.smallest_group", _whole(5, 1_000, 10, 50)),
    ("NodePolicy.persons_to_approve", _whole(1, 2, 1, 2)),
    ("SitePolicy.allowed_plans (count), NodePolicy.allowed_plans (count)", _whole(0, 10_000, 0, 100)),
    ("NodePolicy.plans_with_lost_answers (count)", _whole(0, 10_000, 0, 100)),
    ("NodePolicy.sources (count)", _whole(1, 1_000, 1, 20)),
    ("SourcePolicy.counted_with (count)", _whole(0, 1_000, 0, 20)),
    ("NodePolicy.peers (count), SitePolicy.verified_cards (count)", _whole(0, _SITES, 0, 1_000)),
    # How a hospital's own tables are read
    ("MappedMarker.window", _whole(-50_000, 50_000, -365, 365)),
    ("MappedMarker.window (count)", _whole(2, 2, 2, 2)),
    ("MappingFile.source (count)", _whole(1, 1_000, 1, 20)),
    ("MappingFile.outcome (count)", _whole(1, 16, 1, 4)),
    ("MappingFile.marker (count)", _whole(1, 20_000, 1, 2_000)),
    ("MappingHead.missing (count), Source.missing (count), MappedMarker.missing (count)", _whole(0, 100, 0, 20)),
    ("Source.keep (count)", _whole(1, 10_000, 1, 200)),
    ("Source.whole (count), Source.silent (count)", _whole(0, 100, 0, 20)),
    ("Source.contact_tables (count)", _whole(0, 20, 0, 20)),
    ("MappedMarker.names (count)", _whole(0, 20_000, 1, 2_000)),
    ("MappedMarker.codes (count), MappedMarker.may_be_absent (count)", _whole(0, 1_000, 1, 20)),
    ("Source.servers (count)", _whole(0, 100, 0, 5)),
    ("MappedOutcome.yes (count), MappedOutcome.no (count)", _whole(0, 100, 1, 10)),
    ("MappedOutcome.death_yes (count), MappedOutcome.death_no (count)", _whole(0, 100, 1, 10)),
    ("MappedOutcome.last_contact (count), MappedOutcome.contacts (count)", _whole(0, 100, 1, 10)),
    ("MappedMarker.upper_limit", Range(1e-9, 1e9, 0.01, 10_000)),
    ("MappedOutcome.most_without_date", Range(0, 1, 0, 0.1)),
    # What only a simulation asks for
    ("DataSpec.synthetic_patients", _whole(100, 10_000_000, 100, 200_000)),
    ("DataSpec.synthetic_hospitals, SitesSpec.count", _whole(1, _SITES, 1, 1_000)),
    ("DataSpec.modalities (count), DataSpec.modality_weights (count)", _whole(0, 20, 0, 20)),
    ("DataSpec.endpoints (count)", _whole(0, 20, 0, 20)),
    ("EvaluationSpec.test_fraction", Range(1e-3, 0.99, 0.05, 0.5)),
    ("EvaluationSpec.folds", _whole(2, 1_000, 2, 20)),
    ("EvaluationSpec.fold", _whole(0, 999, 0, 19)),
    ("EvaluationSpec.subgroups (count)", _whole(0, 100, 0, 20)),
    ("AssaySection.markers (count)", _whole(0, 20_000, 1, 500)),
    ("AssaySection.modalities (count)", _whole(0, 20, 0, 20)),
    ("AssaySection.price", Range(0, 1e9, 0, 100_000)),
    ("AssaySection.turnaround_days", Range(0, 3_650, 0, 60)),
    ("PanelRequest.markers", _whole(0, 20_000, 0, 500)),
    ("PanelRequest.rounds", _whole(1, 10_000, 20, 300)),
    ("PanelRequest.share", Range(0.01, 0.99, 0.2, 0.8)),
    ("EvaluationSpec.bootstrap_resamples", _whole(20, 100_000, 20, 10_000)),
    ("TargetTrial.horizon, TargetTrialSection.horizon", Range(1e-3, 50_000, 0.1, 20_000)),
    ("TargetTrial.landmark, TargetTrialSection.landmark", _TIME),
    ("TargetTrialSection.budget_share", Range(0.05, 0.95, 0.3, 0.9)),
    ("TargetTrialSection.rounds", _whole(1, 1_000, 20, 200)),
    ("TargetTrial.options (count)", _whole(2, 2, 2, 2)),
    ("TargetTrial.outcomes (count), TargetTrialSection.outcomes (count)", _whole(1, 16, 1, 4)),
    ("TargetTrial.adjust_for (count), TargetTrialSection.adjust_for (count)", _whole(1, 100, 1, 40)),
    ("TargetTrial.required (count), TargetTrialSection.required (count)", _whole(0, 100, 0, 20)),
    ("TargetTrial.modifiers (count), TargetTrialSection.modifiers (count)", _whole(0, 2, 0, 2)),
    (
        "TargetTrial.eligible (count), TargetTrialSection.eligible (count), "
        "Benchmark.eligible (count), BenchmarkSection.eligible (count)",
        _whole(0, 50, 0, 10),
    ),
    (
        "Benchmark.difference, BenchmarkSection.difference, Benchmark.low, BenchmarkSection.low, "
        "Benchmark.high, BenchmarkSection.high",
        Range(-1, 1, -0.5, 0.5),
    ),
)

RANGES: Mapping[str, Range] = {name: span for names, span in _TABLE for name in names.split(", ")}
"""By class and field; of a list, each of its numbers. Rows that end in "(count)" are about a list's length."""

WEIGHT = Range(-1e9, 1e9, -1e3, 1e3)
"""Of a model, as it travels (`protocol.weights`). An honest study stays within: encoded values are seldom below 1e-3
where they are not 0, and a log hazard ratio beyond 100 is none."""

_ALSO: Mapping[str, tuple[str, ...]] = {
    "ModelSpec": ("parameters",),
    "TimeGrid": ("widths",),
    "StudyPlan": ("charged_local_steps",),
    "SummarySpec": ("gains_within",),
}
"""What follows from fields and has a range of its own."""


def range_of(owner: type, field: str) -> Range:
    return RANGES[f"{owner.__name__}.{field}"]


def count_of(owner: type, field: str) -> Range:
    """Of how many there are in a list."""
    return RANGES[f"{owner.__name__}.{field}{_COUNT}"]


@dataclass(frozen=True)
class PlacedNumber:
    """where: as in `training.site_weights[3]`. name: of its row in the table."""

    where: str
    name: str
    number: float
    range: Range


def numbers_in(record: object) -> Iterator[PlacedNumber]:
    """Every number of a plan, schema or policy (a dataclass), lists and parts included.

    Raises KeyError for one without a range: that is our mistake, and a contract test finds it first.
    """
    return _numbers_in(record, "")


def _numbers_in(record: object, where: str) -> Iterator[PlacedNumber]:
    assert is_dataclass(record)
    owner = type(record).__name__
    for each in fields(record):
        yield from _numbers_of(f"{owner}.{each.name}", getattr(record, each.name), f"{where}{each.name}")
    for name in _ALSO.get(owner, ()):
        value = getattr(record, name)
        yield from _numbers_of(
            f"{owner}.{name}", value if isinstance(value, int | float) else tuple(value), f"{where}{name}"
        )


def _numbers_of(name: str, value: object, where: str) -> Iterator[PlacedNumber]:
    if is_dataclass(value):
        yield from _numbers_in(value, f"{where}.")
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from _numbers_of(name, each, f"{where}.{key}")
    elif isinstance(value, tuple):
        yield PlacedNumber(f"{where}{_COUNT}", f"{name}{_COUNT}", len(value), RANGES[f"{name}{_COUNT}"])
        for place, each in enumerate(value):
            yield from _numbers_of(name, each, f"{where}[{place}]")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield PlacedNumber(where, name, value, RANGES[name])


def outside(record: object) -> list[PlacedNumber]:
    """The numbers that do not lie in their ranges."""
    return [each for each in numbers_in(record) if each.number not in each.range]


def range_faults(record: object, *, where: str) -> list[Fault]:
    """The same, as faults."""
    return [
        Fault(f"{where}: {each.where}", f"is {told(each.number)}, outside {each.range.words}", each.range.remedy)
        for each in outside(record)
    ]


def unusual(record: object, *, say: Language = ENGLISH) -> list[str]:
    """What lies in its range and is not usual, each as a short sentence; empty for a usual study.

    Of a list's numbers the worst is told, which lies furthest outside by ratio, and how many more there are, so that no
    list hides another field, nor a mild number a wild one. What is about privacy comes first.
    """
    found: dict[str, list[PlacedNumber]] = {}
    for each in numbers_in(record):
        if each.number in each.range and not each.range.is_usual(each.number):
            found.setdefault(_PLACE_IN_LIST.sub("[]", each.where), []).append(each)
    return [
        _unusual_words(max(found[field], key=_times_outside), len(found[field]) - 1, say)
        for field in sorted(found, key=lambda where: not where.startswith("privacy."))
    ]


def _unusual_words(worst: PlacedNumber, others: int, say: Language) -> str:
    words = say(
        "%(where)s is %(number)s (usual: %(usual)s)",
        where=worst.where,
        number=say.figures(told(worst.number)),
        usual=worst.range.usual_in(say),
    )
    return (
        words
        if not others
        else say("%(words)s, and %(others)s more of that list are unusual", words=words, others=others)
    )


def _times_outside(each: PlacedNumber) -> float:
    """By what factor it would have to change to be usual. Where an end is 0, or on its other side, the difference."""
    end = each.range.usual_least if each.number < each.range.usual_least else each.range.usual_most
    if each.number == 0 or end == 0 or (each.number < 0) != (end < 0):
        return 1.0 + abs(each.number - end)
    return max(each.number / end, end / each.number)


_PLACE_IN_LIST = re.compile(r"\[\d+\]")
