"""Which codes does a medication have: its own, and those of its ingredients?"""

from __future__ import annotations

from collections.abc import Sequence

from oncofed.client.importing.fhir.elements import ATC, codes, object_of, objects_of, reference_in, text_of
from oncofed.client.importing.fhir.files import Json

REFERRED = "?medication "
"""Before the reference to a medication that is another resource, in place of a code."""


def contained(inside: Sequence[Json], reference: str) -> Json:
    return next((each for each in inside if text_of(each, "id") in (reference, reference[1:])), {})


def medication_codes(medication: Json, system: str | None, inside: Sequence[Json]) -> list[str]:
    """Of the usual system (or of `system` alone) those of the medication and of its ingredients; else its first one.

    inside  the resources that are contained beside it. An ingredient that is another resource is `REFERRED`.
    """
    ingredients = objects_of(medication, "ingredient")
    own = object_of(medication, "code")
    concepts = [own, *(object_of(each, "itemCodeableConcept") for each in ingredients)]
    found = [code for each in concepts for code in codes(each, preferred=ATC, only=system or ATC)]
    if not found and system is None:
        found = codes(own, preferred=ATC) or [code for each in concepts for code in codes(each, preferred=ATC)]
    others = [each for each in inside if each is not medication]  # none is its own ingredient
    for each in ingredients:
        if (reference := reference_in(object_of(each, "itemReference"))) is None:
            continue
        if reference.startswith("#"):
            found += medication_codes(contained(others, reference), system, others)
        else:
            found.append(f"{REFERRED}{reference}")
    return list(dict.fromkeys(found))
