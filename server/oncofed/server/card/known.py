"""What does a run know of itself that a checklist and a model card may say? Its figures, its plan and its schema.

Every number of a checklist or a card is taken from the run's figures, `metrics.json`, by its place there, so that no
page says another one than that file. What the plan and the schema say in numbers therefore stands in the figures too,
under "described".
"""

from __future__ import annotations

import importlib.metadata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from oncofed.cohort.schema import StudySchema
from oncofed.protocol.plan import StudyPlan
from oncofed.study.reporting import NOTHING_SAID, Reporting
from oncofed.words.numbers import decimals, whole

DESCRIBED = "described"
LICENCE = "Apache-2.0"
"""Of the program."""


class Origin(StrEnum):
    """Whose data a model comes from."""

    INVENTED = "invented patients"
    TABLE = "one table, cut into simulated hospitals"
    HOSPITALS = "tables of real hospitals"


@dataclass(frozen=True, eq=False)
class Known:
    """title    of the study. metrics: as `metrics.json` holds them.
    reporting  what people say of the study.
    files      SHA-256 of each file of the model package, by name.
    """

    title: str
    plan: StudyPlan
    schema: StudySchema
    metrics: Mapping[str, Any]
    reporting: Reporting = NOTHING_SAID
    files: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def origin(self) -> Origin:
        return Origin(self.described("origin"))

    @property
    def simulated(self) -> bool:
        """Whether one machine held all patients, and counts are exact."""
        return self.origin is not Origin.HOSPITALS

    def value(self, *place: str) -> Any:
        """What stands at this place of the figures; None where nothing does."""
        found: Any = self.metrics
        for step in place:
            found = found.get(step) if isinstance(found, Mapping) else None
        return found

    def described(self, *place: str) -> Any:
        """The same, of what the figures say of plan and schema."""
        return self.value(DESCRIBED, *place)

    def whole(self, *place: str) -> str:
        """A count among what is described."""
        return whole(self.described(*place))

    def plain(self, *place: str) -> str:
        """A setting among what is described, as a person would write it."""
        return f"{self.described(*place):g}"


def interval(value: float | None, ci95: tuple[float | None, float | None] | None, digits: int = 3) -> str:
    """A figure with its interval, where there is one."""
    if value is None or ci95 is None or None in ci95:
        return decimals(value, digits)
    low, high = ci95
    return f"{decimals(value, digits)} (95 % interval {decimals(low, digits)} to {decimals(high, digits)})"


def described(plan: StudyPlan, schema: StudySchema, *, origin: Origin, **more: Any) -> dict[str, Any]:
    """What plan and schema say, for the figures. more: what else the run knows, under names of its own."""
    model, training, privacy = plan.model, plan.training, plan.privacy
    shares = privacy.shares
    return {
        "origin": origin.value,
        "program": f"oncofed {importlib.metadata.version('oncofed')}",
        "licence": LICENCE,
        "plan_hash": plan.hash,
        "schema_hash": plan.schema_hash,
        "hospitals": len(plan.roster),
        "quorum": plan.quorum,
        "markers": len(schema.markers),
        "markers_by_kind_of_data": dict(Counter(marker.modality.value for marker in schema.markers)),
        "markers_with_plausible_range": sum(marker.plausible_range is not None for marker in schema.markers),
        "inputs": model.columns,
        "largest_input": schema.largest_encoded_value,
        "parameters": model.parameters,
        "hidden_units": list(model.hidden_units),
        "intervals": model.grid.intervals,
        "last_bound": model.grid.bounds[-1],
        "rounds": training.rounds,
        "calibration_rounds": training.calibration_rounds,
        "reserve_rounds": privacy.reserve_rounds,
        "l2_norm_bound": privacy.l2_norm_bound,
        "noise_multiplier": privacy.noise_multiplier,
        "epsilon_planned": privacy.epsilon,
        "delta": privacy.delta,
        "dropouts": None if shares is None else shares.dropouts,
        "colluding": None if shares is None else shares.colluding,
        "held_out_fraction": plan.held_out_fraction,
    } | more
