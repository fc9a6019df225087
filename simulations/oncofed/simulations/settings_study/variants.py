"""What else could have been written in place of the settings that a study leaves open?

The choice of the plan itself (`study.chosen_settings`), what the study file has, and the choice with one thing changed
at a time: those of a person who tunes. Two that come to the same settings are one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from oncofed.cohort.schema import StudySchema
from oncofed.protocol.plan import Bounding
from oncofed.study.chosen_settings import OPEN, settled
from oncofed.study.plan_settings import PlanSettings

LEFT_OPEN = "left open"
AS_WRITTEN = "as the file has it"

_FACTORS_OF_DECAY = (0.25, 0.5, 2.0)
_FACTORS_OF_STEP = (0.5, 2.0)
_UNITS = ((), (16,))
_BOUNDS = ((Bounding.STOPPED, 1.0), (Bounding.CLIP, 2.0), (Bounding.CLIP, 4.0))


@dataclass(frozen=True)
class Variant:
    """settings: with nothing left open."""

    name: str
    settings: PlanSettings


def variants_of(written: PlanSettings, schema: StudySchema, *, hospitals: int) -> tuple[Variant, ...]:
    """Distinct ones; what is left open comes first. written: as the study file has it, with patients expected."""
    found: list[Variant] = []
    for variant in _variants(written, schema, hospitals):
        if all(variant.settings != earlier.settings for earlier in found):
            found.append(variant)
    return tuple(found)


def _variants(written: PlanSettings, schema: StudySchema, hospitals: int) -> Iterator[Variant]:
    chosen = settled(replace(written, left_open=OPEN), schema, hospitals=hospitals)
    training, privacy = chosen.training, chosen.privacy
    yield Variant(LEFT_OPEN, chosen)
    yield Variant(AS_WRITTEN, settled(written, schema, hospitals=hospitals))

    def trained(name: str, **changed: float) -> Variant:
        return Variant(name, replace(chosen, training=replace(training, **changed)))  # type: ignore[arg-type]

    decay, step, rounds = training.weight_decay, training.server_learning_rate, training.rounds
    for factor in _FACTORS_OF_DECAY:
        yield trained(f"decay x {factor:g}", weight_decay=decay * factor)
    for factor in _FACTORS_OF_STEP:
        yield trained(f"steps x {factor:g}", server_learning_rate=step * factor)
    half = {"rounds": rounds // 2, "calibration_rounds": training.calibration_rounds}
    if chosen.calibration_by_entity:
        half["calibration_rounds"] //= 2
    yield trained("half the rounds", **half)
    yield trained("half the rounds, steps x 2", **half, server_learning_rate=2 * step)
    for units in _UNITS:
        yield Variant(f"{units[0] if units else 'no'} hidden units", replace(chosen, hidden_units=units))
    yield Variant("baseline weight 1", replace(chosen, baseline_weight=1.0))
    if not privacy.mode.private:
        return
    for calibration in (0, 3):
        of_all = trained(f"{calibration} calibration rounds", calibration_rounds=calibration)
        yield replace(of_all, settings=replace(of_all.settings, calibration_by_entity=False))
    for bounding, bound in _BOUNDS:
        bounded = replace(privacy, bounding=bounding, l2_norm_bound=bound)
        yield Variant(f"{bounding.value} {bound:g}", replace(chosen, privacy=bounded))
