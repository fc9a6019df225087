"""What is a synthetic patient's true log hazard ratio?

Promise: proportional hazards given the patient's *recorded* values. With z the value standardised by the schema's
public constants and cut at its largest encoded value, as the network sees it before weights,

    f(x) = sum over markers effect * z + sum over pairs coefficient * z * z' + effects of categories
           + effects of whole modalities being unmeasured.

**A marker that was not measured contributes nothing**, alone or in a pair (z = 0), whatever its unseen value was. So
the truth is a function of what a network can see, and 1 is the accuracy that a perfect network could reach; a real
hospital's truth is not so kind. The reference patient, measured in everything, has f = 0, as in `cohort.encoding`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oncofed.cohort.schema import Kind, Modality, StudySchema
from oncofed.simulations.synthetic import effects as true_effects
from oncofed.simulations.synthetic.effects import Interaction
from oncofed.simulations.synthetic.entities import ENTITIES
from oncofed.simulations.synthetic.markers import SMOKING_STATUS, TUMOUR_ENTITY
from oncofed.simulations.synthetic.schema import OVERALL_SURVIVAL, TIME_TO_NEXT_TREATMENT

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class LogHazardRatio:
    """f of one endpoint.

    effects             by marker, per public scale unit; markers that are absent have none.
    category_effects    by categorical marker and category, against the reference category.
    unmeasured_effects  by modality, for patients of whom nothing of it was measured.
    """

    endpoint: str
    effects: Mapping[str, float]
    category_effects: Mapping[str, Mapping[str, float]]
    interactions: tuple[Interaction, ...]
    unmeasured_effects: Mapping[Modality, float]

    def contributions(self, schema: StudySchema, values: FloatArray) -> FloatArray:
        """(patients, markers): what each marker adds by itself, without pairs. 0 where it was not measured.

        values  (patients, markers), as in `oncofed.cohort.cohort.Cohort`.
        """
        effects = np.array([self.effects.get(marker.name, 0.0) for marker in schema.markers])
        found: FloatArray = standardised(schema, values) * effects
        for column, marker in enumerate(schema.markers):
            if marker.name in self.category_effects:
                of_category = self.category_effects[marker.name]
                by_index = np.array([of_category.get(category, 0.0) for category in marker.categories])
                measured = ~np.isnan(values[:, column])
                found[measured, column] = by_index[values[measured, column].astype(np.intp)]
        return found

    def interaction_contributions(self, schema: StudySchema, values: FloatArray) -> FloatArray:
        """(patients, interactions): what each pair adds. 0 where one of the two was not measured."""
        z = standardised(schema, values)
        column = {marker.name: index for index, marker in enumerate(schema.markers)}
        first = [column[pair.first] for pair in self.interactions]
        second = [column[pair.second] for pair in self.interactions]
        coefficients = np.array([pair.coefficient for pair in self.interactions])
        found: FloatArray = z[:, first] * z[:, second] * coefficients
        return found

    def unmeasured_contribution(self, schema: StudySchema, values: FloatArray) -> FloatArray:
        """(patients,): what the modalities add that were not measured at all."""
        missing = np.isnan(values)
        found = np.zeros(len(values))
        for modality, effect in self.unmeasured_effects.items():
            members = [index for index, marker in enumerate(schema.markers) if marker.modality is modality]
            found += np.where(missing[:, members].all(axis=1), effect, 0.0)
        return found

    def __call__(self, schema: StudySchema, values: FloatArray) -> FloatArray:
        """(patients,): f, the log hazard ratio against the reference patient."""
        found: FloatArray = self.contributions(schema, values).sum(axis=1)
        found += self.interaction_contributions(schema, values).sum(axis=1)
        return found + self.unmeasured_contribution(schema, values)


def standardised(schema: StudySchema, values: FloatArray) -> FloatArray:
    """(patients, markers): what `oncofed.cohort.encoding.encode` multiplies by weights; 0 if missing or categorical."""
    numeric = np.array([marker.kind is not Kind.CATEGORICAL for marker in schema.markers])
    centre = np.array([marker.centre for marker in schema.markers])
    scale = np.array([marker.scale for marker in schema.markers])
    limit = schema.largest_encoded_value
    z = np.clip((values - centre) / scale, -limit, limit)
    return np.where(np.isnan(z) | ~numeric, 0.0, z)


def death() -> LogHazardRatio:
    """f of overall survival."""
    return LogHazardRatio(
        endpoint=OVERALL_SURVIVAL,
        effects={**true_effects.STRONG, **true_effects.MODERATE, **true_effects.FAINT},
        category_effects={
            TUMOUR_ENTITY: {entity.name: entity.log_hazard_ratio for entity in ENTITIES},
            SMOKING_STATUS: true_effects.SMOKING,
        },
        interactions=true_effects.CLEAR_INTERACTIONS + true_effects.FAINT_INTERACTIONS,
        unmeasured_effects=true_effects.UNMEASURED_MODALITY,
    )


def next_treatment(schema: StudySchema) -> LogHazardRatio:
    """f of the next treatment itself, deaths aside."""
    of_death = death()
    modality = {marker.name: marker.modality for marker in schema.markers}
    shared = {
        name: effect * true_effects.NEXT_TREATMENT_SHARE[modality[name]] for name, effect in of_death.effects.items()
    }
    entity_effects = of_death.category_effects[TUMOUR_ENTITY]
    share = true_effects.NEXT_TREATMENT_INTERACTION_SHARE
    return LogHazardRatio(
        endpoint=TIME_TO_NEXT_TREATMENT,
        effects={**shared, **true_effects.NEXT_TREATMENT_OWN},
        category_effects={
            TUMOUR_ENTITY: {
                name: effect * true_effects.NEXT_TREATMENT_ENTITY_SHARE for name, effect in entity_effects.items()
            }
        },
        interactions=tuple(
            Interaction(pair.first, pair.second, pair.coefficient * share) for pair in of_death.interactions
        ),
        unmeasured_effects={},
    )
