"""What moves prognoses at this hospital, on a terminal? The strongest markers that the cohort page shows, as lines."""

from __future__ import annotations

from collections.abc import Iterator

from oncofed.client.pages.cohort_view import strongest_markers
from oncofed.client.pages.hospital import HospitalPrognosis


def explain_cohort(hospital: HospitalPrognosis, *, most_markers: int) -> Iterator[str]:
    """The strongest markers overall and in each tumour entity: what the pages tell analysts, of the same patients."""
    yield f"Study {hospital.study}, patients of {hospital.site}"
    groups = [hospital.everybody, *(hospital.of_entity(number) for number in hospital.entities_shown())]
    for number, name in enumerate(hospital.endpoint_names):
        for group in groups:
            found = strongest_markers(hospital, hospital.endpoint(number), group)
            yield f"\n{name.replace('_', ' ')}, {group.label}"
            if not found:
                yield "  nothing to say: too few patients, or no difference between them"
            for each in found[:most_markers]:
                yield f"  {each.strength:6.3f}  {each.share:4.0%}  {each.source:32s} {each.direction}"
    yield "Mean absolute log hazard ratio, share of all markers, direction. Research use only."
