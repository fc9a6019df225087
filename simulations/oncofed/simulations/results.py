"""What is known when a simulated study has finished? Values only; `report.page` draws them, `run` writes them down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from oncofed.cohort.cohort import Cohort
from oncofed.cohort.schema import StudySchema
from oncofed.privacy.accounting import PrivacyEvent, epsilon_of
from oncofed.protocol.plan import StudyPlan
from oncofed.server.evaluation.calibration import MeasuredCalibration
from oncofed.server.evaluation.gains import ReleasedGains
from oncofed.server.evaluation.measured import Measured
from oncofed.server.rounds.explanation_votes import ReleasedExplanations
from oncofed.simulations.study import Study
from oncofed.survival.across_hospitals import AcrossHospitals
from oncofed.survival.auc_over_time import AucOverTime
from oncofed.survival.bootstrap import BootstrapInterval
from oncofed.survival.calibration import Calibration
from oncofed.survival.decision_curve import Benefit, DecisionCurve
from oncofed.survival.expected_events import ExpectedOfGroup
from oncofed.survival.layer_values import LayerValues, Value
from oncofed.survival.likelihood_gain import LikelihoodGain

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class ExpectedByWindow:
    """bounds  of the windows, in the grid's unit. entities: empty where the schema names no tumour entity."""

    bounds: tuple[float, ...]
    everybody: ExpectedOfGroup
    entities: tuple[ExpectedOfGroup, ...]
    hospitals: tuple[ExpectedOfGroup, ...]


@dataclass(frozen=True, eq=False)
class EndpointResult:
    """One endpoint on the patients set aside.

    log_hazard_ratio  (patients,), positive is a worse prognosis.
    risk_at_horizon   (patients,), predicted probability of having had the event by the study's horizon.
    survival          (patients, times) predicted probability of not having had it, whatever came first, at
                      `survival_times`, in the grid's unit.
    c_index           NaN where no two of the patients can be compared; `notes` says so.
    events            among these patients, and how many pairs of them the C-index compares.
    c_index_within_type  NaN where the schema names no tumour entity.
    uno_c_index, integrated_brier  NaN where they are undefined on these patients, as with delayed entry; `notes` says.
    expected          events against those that the model expects, of everybody, by tumour type and by hospital.
    brier_gain        by which share the Brier score is below that of one curve for everybody (index of prediction
                      accuracy): 0 is worth nothing, and below 0 the model does harm.
    brier_until       the time to which both are integrated: the horizon, or where a tenth is still followed.
    auc               at times up to the same; None where it is not defined, as with delayed entry.
    decisions         at the horizon; None without patients.
    """

    name: str
    log_hazard_ratio: FloatArray
    risk_at_horizon: FloatArray
    survival_times: FloatArray
    survival: FloatArray
    c_index: float
    c_index_ci95: BootstrapInterval
    c_index_within_type: float
    uno_c_index: float
    integrated_brier: float
    calibration: Calibration | None
    notes: tuple[str, ...] = ()
    events: int = 0
    comparable_pairs: int = 0
    expected: ExpectedByWindow | None = None
    brier_gain: float = float("nan")
    brier_until: float = float("nan")
    auc: AucOverTime | None = None
    decisions: DecisionCurve | None = None


@dataclass(frozen=True)
class ModelFigures:
    """One model on some patients. NaN where it is not defined on them.

    brier_gain            as in `EndpointResult`, the index of prediction accuracy.
    calibration_slope     at the study's horizon.
    observed_to_expected  events that came by those that the model expects, over all of the follow-up.
    """

    c_index: float
    c_index_within_type: float
    brier_gain: float
    calibration_slope: float
    observed_to_expected: float


@dataclass(frozen=True)
class Compared:
    """One comparator and the network, for one endpoint, on patients of whom all the comparator's markers are recorded.

    patients, events  how many.
    gain              of the network's log likelihood over the comparator's.
    c_index_gain      interval of the network's C-index less the comparator's, over resamples of patients.
    decisions         net benefit of treating by the comparator's risks at the horizon, and of treating all.
    benefit_gain      net benefit of treating by the network's risks, less that by the comparator's.
    """

    name: str
    patients: int
    events: int
    comparator: ModelFigures
    network: ModelFigures
    gain: LikelihoodGain
    c_index_gain: BootstrapInterval
    decisions: DecisionCurve
    benefit_gain: Benefit


@dataclass(frozen=True)
class WithLimits:
    """A figure; low, high: its interval, NaN where it is not known."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Subgroup:
    """Some of the patients set aside, for one endpoint.

    by, name              what they have in common, and which they are: "sex", "female".
    patients, events      how many.
    observed_to_expected  events over those that the model expects, over all of the follow-up.
    slope                 calibration slope at the horizon.
    """

    by: str
    name: str
    patients: int
    events: int
    c_index: WithLimits
    observed_to_expected: WithLimits
    slope: WithLimits


@dataclass(frozen=True)
class Subgroups:
    """Of one endpoint. Of each figure, all groups' intervals together hold the truth with 95 %.

    small  groups of fewer patients than are told of, by what they have in common: how many such groups there are.
    """

    groups: tuple[Subgroup, ...]
    small: Mapping[str, int]


@dataclass(frozen=True)
class LeftOutHospital:
    """A hospital that took no part in training, for one endpoint. NaN where a figure is not defined on its patients.

    events, expected  over all of the follow-up, inside the time grid. ratio_limits: of their ratio, 95 %.
    slope, c_index    value and limits; the slope at the study's horizon.
    """

    name: str
    patients: int
    events: int
    expected: float
    ratio_limits: tuple[float, float]
    slope: tuple[float, float, float]
    c_index: tuple[float, float, float]


@dataclass(frozen=True)
class LeftOut:
    """All of them, and what they say of one more hospital. ratio: of observed over expected events."""

    hospitals: tuple[LeftOutHospital, ...]
    ratio: AcrossHospitals
    slope: AcrossHospitals
    c_index: AcrossHospitals


@dataclass(frozen=True)
class SomePatients:
    """Some of those set aside. rate: events per 100 units of time under observation; NaN without any.

    log_hazard_ratio  mean of what the model says by what is always known, less that of everybody.
    """

    patients: int
    events: int
    rate: float
    log_hazard_ratio: float


@dataclass(frozen=True)
class LayersCompared:
    """What each layer of data is worth for one endpoint, on those set aside of whom all layers are recorded.

    measured     of how many of all who were set aside, by layer. compared, others: together all of them.
    trained_for  whether the model was trained with these layers taken away by turns.
    """

    values: LayerValues
    measured: Mapping[str, int]
    compared: SomePatients
    others: SomePatients
    trained_for: bool


@dataclass(frozen=True)
class PanelStep:
    """markers: how many of the first ones. loss: against all, in nats a patient; limits of all steps hold at once."""

    markers: int
    loss: Value


@dataclass(frozen=True)
class PanelPath:
    """Nested panels, as the model of all markers sees them; see `panel_path`.

    told      what all markers tell, over the reference patient, in nats a patient.
    smallest  the first panel whose loss is below `margin` of that, for certain; None where none is.
    """

    patients: int
    told: Value
    steps: tuple[PanelStep, ...]
    smallest: int | None
    margin: float


@dataclass(frozen=True)
class AssayOption:
    """A set of assays. told: over what is known without any, in nats a patient; limits of all sets hold at once.

    days         until the last of them is there.
    on_frontier  whether it tells more than any set that costs as much or less.
    """

    assays: tuple[str, ...]
    price: float
    days: float
    told: Value
    on_frontier: bool


@dataclass(frozen=True)
class DroppedAssay:
    """What is saved and lost if all but this one are bought. loss: in nats a patient; limits hold at once."""

    name: str
    saves: float
    loss: Value


@dataclass(frozen=True)
class AssaysCompared:
    """patients: of whom something of each assay is measured, of `of` who were set aside. options: every set."""

    patients: int
    of: int
    options: tuple[AssayOption, ...]
    dropped: tuple[DroppedAssay, ...]

    @property
    def frontier(self) -> tuple[AssayOption, ...]:
        """The cheapest first."""
        return tuple(sorted((each for each in self.options if each.on_frontier), key=lambda each: each.price))


@dataclass(frozen=True, eq=False)
class Panel:
    """A model of some markers, trained after the one of all, on the same patients.

    markers    in the order of the released weights that chose them, the strongest first.
    schema     of these markers alone, with the first model's weights as their expected effects.
    endpoints  as in `RunResult`, on the same patients set aside.
    path       of the model of all markers.
    """

    markers: tuple[str, ...]
    schema: StudySchema
    plan: StudyPlan
    weights: FloatArray
    rounds: pd.DataFrame
    endpoints: Mapping[str, EndpointResult]
    path: PanelPath | None

    @property
    def main(self) -> EndpointResult:
        return next(iter(self.endpoints.values()))


@dataclass(frozen=True)
class Baselines:
    """C-index of the first endpoint on the same patients. local_only: one number a site, in roster order."""

    pooled_ridge_cox: float
    pooled_ridge_cox_within_type: float
    local_only: tuple[float, ...]

    @property
    def local_only_mean(self) -> float:
        return float(np.mean(self.local_only))


@dataclass(frozen=True, eq=False)
class Relevance:
    """One hospital's explanations: they are written to that hospital's folder and nowhere else.

    table   one row a patient, one column a marker: its part of the log hazard ratio of the first endpoint.
    totals  (patients,) the log hazard ratio they add up to.
    """

    site: str
    table: pd.DataFrame
    totals: FloatArray


@dataclass(frozen=True, eq=False)
class RunResult:
    """Everything a report shows.

    hospitals   the training patients of each simulated hospital, by site, in roster order.
    test        the patients set aside, pooled.
    endpoints   by name, in the schema's order; the first is the main one.
    rounds      one row a round: round, attempt, seconds, update_l2_norm, answered, rejected, test_c_index.
    releases    that each site's ledger was charged for, a panel's training among them, oldest first; empty in mode
                `none`.
    measured    what hospitals released privately of the same patients; None where the study does not ask for it.
    measured_calibration  the same of whether risks are right.
    measured_gains  the same of what the model adds to comparators, and what layers are worth.
    released_explanations  what hospitals released privately of what carries the prognosis; None likewise.
    compared    by endpoint: the network against each of the study's comparators; empty without any.
    subgroups   by endpoint: the network in groups of the patients set aside.
    left_out_hospitals  by endpoint: those that did not train; empty unless the study leaves whole hospitals out.
    panel       the second model, of a part of the markers; None where the study asks for none.
    assays      what they tell of the first endpoint; None where the study names none, or nobody has had all.
    weights     (parameters,) of the model, in the order in which they travel.
    notes       (about what, words): who is left out of the table and what lies outside of the grid; what was not
                released.
    left_out    patients of the table that the study assigns to no site, or keeps from training and test.
    """

    study: Study
    plan: StudyPlan
    hospitals: Mapping[str, Cohort]
    test: Cohort
    endpoints: Mapping[str, EndpointResult]
    baselines: Baselines | None
    relevance: Relevance
    rounds: pd.DataFrame
    releases: Mapping[str, tuple[PrivacyEvent, ...]]
    left_out: int
    seconds_total: float
    notes: tuple[tuple[str, str], ...] = ()
    measured: Measured | None = None
    measured_calibration: MeasuredCalibration | None = None
    measured_gains: ReleasedGains | None = None
    released_explanations: ReleasedExplanations | None = None
    weights: FloatArray | None = None
    compared: Mapping[str, tuple[Compared, ...]] = field(default_factory=dict)
    subgroups: Mapping[str, Subgroups] = field(default_factory=dict)
    left_out_hospitals: Mapping[str, LeftOut] = field(default_factory=dict)
    layers: Mapping[str, LayersCompared] = field(default_factory=dict)
    panel: Panel | None = None
    assays: AssaysCompared | None = None

    @property
    def main(self) -> EndpointResult:
        return next(iter(self.endpoints.values()))

    @property
    def epsilons(self) -> dict[str, float]:
        """Spent by one patient at each site."""
        delta = self.plan.privacy.delta
        return {site: epsilon_of(charged, delta=delta) for site, charged in self.releases.items()}
