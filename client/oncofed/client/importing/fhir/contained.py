"""Which resources stand within others (`contained`), where no table reads them?

A medication within its statement is read there. A finding within its report, or a procedure within an encounter, would
be lost, and who has it would be somebody without it; or alive, where it tells a death.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from oncofed.client.importing.fhir.death_signs import death_told
from oncofed.client.importing.fhir.elements import OtherForm
from oncofed.client.importing.fhir.files import Json
from oncofed.errors import Fault


class Contained:
    """Those of the types that tables are of, and what tells a death of patients, as they come."""

    def __init__(self, types: Iterable[str]) -> None:
        types = {*types}
        self._deaths = "Patient" in types
        self._types = types - {"Patient"}  # who is one there is nobody whom other resources know
        self._found: Counter[str] = Counter()

    def look_at(self, resource: Json) -> None:
        inside = resource.get("contained")
        for each in inside if isinstance(inside, list) else ():
            if not isinstance(each, dict) or not isinstance(kind := each.get("resourceType"), str):
                continue
            says_something = "code" in each or "subject" in each
            if (kind in self._types and says_something) or (self._deaths and _tells_death(each)):
                self._found[kind] += 1

    def faults(self, where: str) -> Iterator[Fault]:
        remedy = "Export them as resources of their own, or take them out where others say the same."
        for kind, count in sorted(self._found.items()):
            yield Fault(
                f"{where}: {kind}", "stands within another resource (contained), where it is not read", remedy, count
            )


def _tells_death(resource: Json) -> bool:
    try:
        return death_told(resource).dead
    except OtherForm:
        return False
