"""What does the section [held_out] of a study file ask for: is the final model measured, and how much may that cost?

What does not fit the schema raises InvalidInput when the plan is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from oncofed.cohort.schema import StudySchema
from oncofed.errors import Fault, InvalidInput
from oncofed.file_model import Known, Rule, Wrong
from oncofed.privacy.policy import WantedSummary
from oncofed.protocol.comparator_words import REMEDY, markers_of, untold_markers
from oncofed.protocol.expected_layout import ExpectedLayout, expected_windows
from oncofed.protocol.gain_layout import layout_of
from oncofed.protocol.plan import ModelSpec
from oncofed.protocol.summary_spec import SummaryKind, SummarySpec
from oncofed.study.explanation_settings import entity_columns
from oncofed.survival.grid import TimeGrid
from oncofed.survival.held_out import CountLayout
from oncofed.survival.time_at_risk import AtRiskLayout

EVALUATION, CALIBRATION = "evaluation", "calibration"
"""The names of the summaries that measure the model."""
SHARES = ("budget_share", "calibration_share", "comparison_share", "value_share")
"""Of the budget, by what each is for."""


def _rising(edges: tuple[float, ...] | None, known: Known) -> tuple[float, ...] | None:
    if edges is not None and list(edges) != sorted(set(edges)):
        raise Wrong("do not rise", "List log hazard ratios from low to high, such as [-0.5, 0, 0.5].")
    return edges


def _two_rising(risks: tuple[float, ...] | None, known: Known) -> tuple[float, ...] | None:
    if risks is not None and (len(risks) != 2 or not risks[0] < risks[1]):
        raise Wrong("are not two log hazard ratios, rising", "List the lower and the upper one, such as [-1.5, 1.5].")
    return risks


def _leaves_some(share: float | None, known: Known) -> float | None:
    before = [name for name in SHARES if known.before.get(name)]
    taken = sum(known.before[name] for name in before)
    if share is not None and taken < 1 <= taken + share:
        raise Wrong(f"leaves, with {' and '.join(before)}, nothing for training", "Lower one of them.")
    return share


def _windows_needed(windows: tuple[float, ...] | None, known: Known) -> tuple[float, ...] | None:
    if windows is None and known.before.get("calibration_share") and known.before.get("horizon") is None:
        what = "is needed where [held_out] has no horizon"
        raise Wrong(what, "List the times that part the windows, such as [12, 36], or [] for one window.")
    return windows


def _needed(horizon: float | None, known: Known) -> float | None:
    if horizon is None and known.before.get("budget_share"):
        raise Wrong("is needed", "Name the time by which risks are compared, a bound of the schema's.")
    return horizon


@dataclass(frozen=True)
class HeldOutRequest:
    """How hospitals measure the final model on patients whom they set aside. All shares 0: they do not."""

    budget_share: float = 0.0
    """How much of what the plan's noise lets through goes to this one release; the noise of the rounds grows by 1 / √(1
    - share). `0.0`: nothing is measured. In mode `none`, any number above 0 asks for it."""
    horizon: Annotated[float | None, Rule(_needed)] = None
    """Required with a share: the time by which risks are compared, an interval bound of the schema."""
    fraction: float = 0.2
    """of a real hospital's patients who are set aside. A simulation passes over it."""
    risk_edges: Annotated[tuple[float, ...], Rule(_rising)] = (-1.0, -0.5, 0.0, 0.5, 1.0)
    """The log hazard ratios that part the groups of risk. Fewer groups: less noise, and a C-index that sees less."""
    times: tuple[float, ...] | None = None
    """Where follow-up is cut, interval bounds of the schema; its ends and the horizon are added. Without it: about a
    third, two thirds and twice of the horizon."""
    smallest_shown: float = 50.0
    """No figure of fewer patients, as counted with their noise, is shown."""
    attempts: int = 1
    """How often hospitals may be asked afresh when an answer was lost; the share pays for all of them."""
    calibration_share: Annotated[float, Rule(_leaves_some)] = 0.0
    """How much of what the plan's noise lets through goes to calibration: events against those that the model expects,
    and the slope ([how](privacy.md#calibration-of-held-out-patients)). `0.0`: not measured. `plan-budget` tells what a
    share buys. In mode `none`, any number above 0 asks for it."""
    calibration_windows: Annotated[tuple[float, ...] | None, Rule(_windows_needed)] = None
    """The times that part the windows of calibration, interval bounds of the schema; its ends are added. `[]`: one
    window. Without it: about a third of the horizon, and the horizon."""
    calibration_risks: Annotated[tuple[float, ...], Rule(_two_rising)] = (-1.5, 1.5)
    """The log hazard ratios between which the slope is measured: beyond them patients count as if there. Nearer
    together: less noise, and more patients beyond."""
    calibration_by_entity: bool = False
    """Whether windows are also told by tumour entity (the schema's `tumour_entity`)."""
    smallest_expected: float = 10.0
    """No ratio is shown where fewer events are expected, as counted with their noise."""
    comparison_share: Annotated[float, Rule(_leaves_some)] = 0.0
    """How much of what the plan's noise lets through goes to what the network adds to each `[[comparator]]`: by how
    much likelier it makes what happened to the same patients ([how](privacy.md#gains-of-held-out-patients)). `0.0`: not
    measured. `plan-budget` tells what a share buys. In mode `none`, any number above 0 asks for it."""
    value_share: Annotated[float, Rule(_leaves_some)] = 0.0
    """The same for what each of `[value] layers` is worth; needs their `dropout`."""
    gains_within: float = 1.5
    """In nats: a patient's gains together are held within so much, by covariates alone. Smaller: less noise, and more
    of the patients are held, whose gains are then those of a more cautious network; the release tells how many."""

    @property
    def share(self) -> float:
        """Of all that is measured, together."""
        return self.budget_share + self.calibration_share + self.comparison_share + self.value_share


def wanted_summaries(request: HeldOutRequest, schema: StudySchema, model: ModelSpec) -> tuple[WantedSummary, ...]:
    """Those asked for. Raises InvalidInput for times and tumour entities that the schema does not have, and for
    comparators of which it has no flag that tells who lacks a marker.
    """
    if request.comparison_share:
        _refuse_without_flags(model, schema)
    return (
        *_wanted_evaluation(request, schema, model),
        *_wanted_calibration(request, schema, model),
        *_wanted_gains(request, SummaryKind.COMPARISON, len(model.comparators), model),
        *_wanted_gains(request, SummaryKind.VALUE, len(model.layers), model),
    )


_NOTHING_TO_COMPARE = {
    SummaryKind.COMPARISON: (
        "asks what the network adds to comparators, of which there are none",
        "Write [[comparator]]",
    ),
    SummaryKind.VALUE: ("asks what layers of data are worth, and rounds take none away", "Write [value], layers"),
}


def _refuse_without_flags(model: ModelSpec, schema: StudySchema) -> None:
    faults = [
        Fault(
            "[held_out], comparison_share",
            f'nothing says of any marker of the comparator "{each.name}" that it is missing',
            f"{REMEDY} Or leave the share or the comparator out.",
        )
        for each in model.comparators
        if untold_markers(each, schema) == markers_of(each, schema)
    ]
    if faults:
        raise InvalidInput(faults)


def _wanted_gains(
    request: HeldOutRequest, kind: SummaryKind, count: int, model: ModelSpec
) -> tuple[WantedSummary, ...]:
    """count: of what is compared."""
    share = request.comparison_share if kind is SummaryKind.COMPARISON else request.value_share
    if not share:
        return ()
    if not count:
        what, remedy = _NOTHING_TO_COMPARE[kind]
        raise InvalidInput([Fault(f"[held_out], {kind}_share", what, f"{remedy}, or leave the share out.")])
    spec = SummarySpec(
        name=kind.value,
        kind=kind,
        cells=layout_of(kind, count, endpoints=len(model.endpoints), within=request.gains_within).cells,
        noise_multiplier=0.0,
        attempts=request.attempts,
        smallest_shown=request.smallest_shown,
        edges=(request.gains_within,),
    )
    return (WantedSummary(spec, share),)


def _wanted_calibration(request: HeldOutRequest, schema: StudySchema, model: ModelSpec) -> tuple[WantedSummary, ...]:
    if not request.calibration_share:
        return ()
    bounds = model.grid.bounds
    if request.calibration_windows is None:
        assert request.horizon is not None
        windows = expected_windows(model.grid, request.horizon)
    else:
        windows = tuple(sorted({bounds[0], *request.calibration_windows, bounds[-1]}))
    faults = []
    if not set(windows) <= set(bounds):
        what = "are not all interval bounds of the schema"
        faults.append(Fault("[held_out], calibration_windows", what, _remedy(model.grid)))
    groups = entity_columns(schema) if request.calibration_by_entity else ()
    if request.calibration_by_entity and not groups:
        remedy = "Name the marker under [schema], tumour_entity, or leave this out."
        faults.append(Fault("[held_out], calibration_by_entity", "needs a schema with a tumour entity", remedy))
    if faults:
        raise InvalidInput(faults)
    low, high = request.calibration_risks
    spec = SummarySpec(
        name=CALIBRATION,
        kind=SummaryKind.CALIBRATION,
        cells=ExpectedLayout(len(model.endpoints), windows, 1 + len(groups), (low, high), 1.0).cells,
        noise_multiplier=0.0,
        attempts=request.attempts,
        smallest_shown=request.smallest_expected,
        edges=(low, high),
        time_bounds=windows,
        group_columns=groups,
    )
    return (WantedSummary(spec, request.calibration_share),)


def _wanted_evaluation(request: HeldOutRequest, schema: StudySchema, model: ModelSpec) -> tuple[WantedSummary, ...]:
    """Counts by the end of follow-up, which are right where everybody is followed from time zero; else time at risk."""
    if not request.budget_share:
        return ()
    assert request.horizon is not None
    times = _times(request, request.horizon, model.grid)
    late = any(endpoint.entry_column is not None for endpoint in schema.endpoints)
    layout = AtRiskLayout if late else CountLayout
    spec = SummarySpec(
        name=EVALUATION,
        kind=SummaryKind.TIME_AT_RISK if late else SummaryKind.EVALUATION,
        cells=layout(len(model.endpoints), request.risk_edges, times).cells,
        noise_multiplier=0.0,
        attempts=request.attempts,
        smallest_shown=request.smallest_shown,
        edges=request.risk_edges,
        time_bounds=times,
        horizon=request.horizon,
    )
    return (WantedSummary(spec, request.budget_share),)


def _times(request: HeldOutRequest, horizon: float, grid: TimeGrid) -> tuple[float, ...]:
    """The times asked for, or about a third, two thirds, the whole and twice of the horizon; and the grid's ends."""
    bounds, remedy = grid.bounds, _remedy(grid)
    if horizon not in bounds[1:]:
        raise InvalidInput([Fault("[held_out], horizon", "is no interval bound of the schema", remedy)])
    near = {min(bounds, key=lambda bound: abs(bound - part * horizon)) for part in (1 / 3, 2 / 3, 2)}
    times = tuple(sorted({bounds[0], *(near if request.times is None else request.times), horizon, bounds[-1]}))
    if not set(times) <= set(bounds):
        raise InvalidInput([Fault("[held_out], times", "are not all interval bounds of the schema", remedy)])
    return times


def _remedy(grid: TimeGrid) -> str:
    return f"The schema's bounds are {', '.join(f'{bound:g}' for bound in grid.bounds)}."
