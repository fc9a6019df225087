"""Which schema does a hospital of the synthetic consortium fill in?

Public constants only: markers from the catalogue, weights per modality from what is known of such data (small ones for
the many noisy molecular markers, so that per-patient clipping spends its norm where the signal is), a baseline hazard
that a clinician would guess (half of the reference patients dead after about five years), and intervals that are
finer where more happens.
"""

from __future__ import annotations

from oncofed.cohort.schema import DeathPolicy, Endpoint, MissingFlags, Modality, ModalityEncoding, StudySchema
from oncofed.simulations.synthetic.genes import DNA_COPY_NUMBER, DNA_MUTATION, PROTEIN_EXPRESSION, RNA_EXPRESSION
from oncofed.simulations.synthetic.markers import (
    BODY_COMPOSITION,
    CLINICAL,
    LABORATORY,
    TREATMENT,
    TUMOUR_ENTITY,
    SyntheticMarker,
)
from oncofed.survival.grid import TimeGrid

CATALOGUE: tuple[SyntheticMarker, ...] = (
    *CLINICAL,
    *LABORATORY,
    *BODY_COMPOSITION,
    *DNA_MUTATION,
    *DNA_COPY_NUMBER,
    *RNA_EXPRESSION,
    *PROTEIN_EXPRESSION,
    *TREATMENT,
)

OVERALL_SURVIVAL = "overall_survival"
TIME_TO_NEXT_TREATMENT = "time_to_next_treatment"

_BY_MARKER = ModalityEncoding(weight=1.0, missing_weight=0.03, missing_flags=MissingFlags.MARKER)
_MUTATIONS = ModalityEncoding(weight=0.5, missing_weight=0.03, missing_flags=MissingFlags.MODALITY)
_MOLECULAR = ModalityEncoding(weight=0.3, missing_weight=0.03, missing_flags=MissingFlags.MODALITY)


def consortium_schema() -> StudySchema:
    """The schema of every synthetic consortium: 350 markers, overall survival and time to next treatment."""
    return StudySchema(
        name="synthetic_consortium",
        patient_id="patient_id",
        site_column="hospital",
        tumour_entity=TUMOUR_ENTITY,
        markers=tuple(synthetic.marker for synthetic in CATALOGUE),
        endpoints=(
            Endpoint(OVERALL_SURVIVAL, "survival_months", "death_observed", entry_column="entry_months"),
            Endpoint(
                TIME_TO_NEXT_TREATMENT,
                "ttnt_months",
                "next_treatment_observed",
                entry_column="entry_months",
                death_event_column="ttnt_ended_with_death",
                death=DeathPolicy.COMPOSITE,
            ),
        ),
        grid=TimeGrid((0.0, 3.0, 6.0, 12.0, 18.0, 24.0, 36.0, 48.0, 60.0, 84.0, 120.0)),
        baseline_hazard=(0.012, 0.04),
        modalities={
            Modality.CLINICAL: _BY_MARKER,
            Modality.LABORATORY: _BY_MARKER,
            Modality.BODY_COMPOSITION: _BY_MARKER,
            Modality.DNA_MUTATION: _MUTATIONS,
            Modality.DNA_COPY_NUMBER: _MOLECULAR,
            Modality.RNA_EXPRESSION: _MOLECULAR,
            Modality.PROTEIN_EXPRESSION: _MOLECULAR,
            Modality.TREATMENT: _BY_MARKER,
        },
    )
