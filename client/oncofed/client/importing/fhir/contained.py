"""Which resources stand within others (`contained`), where no table reads them?

A medication within its statement is read there. A finding within its report, or a procedure within an encounter, would
be lost, and who has it would be somebody without it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from oncofed.client.importing.fhir.files import Json
from oncofed.errors import Fault


class Contained:
    """Those of the types that tables are of, as they come."""

    def __init__(self, types: Iterable[str]) -> None:
        self._types = {*types} - {"Patient"}  # who is one there is nobody whom other resources know
        self._found: Counter[str] = Counter()

    def look_at(self, resource: Json) -> None:
        inside = resource.get("contained")
        for each in inside if isinstance(inside, list) else ():
            if not isinstance(each, dict) or each.get("resourceType") not in self._types:
                continue
            if "code" in each or "subject" in each:  # else it says nothing of anybody
                self._found[each["resourceType"]] += 1

    def faults(self, where: str) -> Iterator[Fault]:
        remedy = "Export them as resources of their own, or take them out where others say the same."
        for kind, count in sorted(self._found.items()):
            yield Fault(
                f"{where}: {kind}", "stands within another resource (contained), where it is not read", remedy, count
            )
