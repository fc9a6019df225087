"""Which folders of FHIR resources does a mapping read, each once for all of its sources?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from oncofed.client.importing.fhir.clock import Clock
from oncofed.client.importing.fhir.resources import Wanted
from oncofed.client.importing.fhir.tables import FhirFolder, FhirTable
from oncofed.client.importing.fhir.text_columns import each_alone
from oncofed.client.importing.mapping import Source
from oncofed.client.importing.moments import zone_of
from oncofed.errors import InvalidInput


def _stand_ins(sources: Sequence[Source]) -> frozenset[str]:
    return frozenset(word for each in sources for word in each.missing or ())


class FhirFolders:
    """A folder is read when the first of its sources is asked for; its faults are those of each."""

    def __init__(self, sources: Sequence[Source], folder: Path, today: date) -> None:
        """folder: of the mapping, for paths that are relative to it. today: nobody was seen later."""
        self._folder, self._today = folder, today
        self._sources = [each for each in sources if each.part.is_fhir]
        self._read: dict[tuple[Path, str | None], FhirFolder | InvalidInput] = {}

    def _folder_of(self, path: Path, alike: Sequence[Source]) -> FhirFolder:
        wanted = list(dict.fromkeys(Wanted(each.part, each.system) for each in alike))
        clock = Clock(zone_of(alike[0]), _stand_ins(alike))
        one_server = any(each.one_server for each in alike)
        servers = {address: files for each in alike for address, files in each.servers.items()}
        found = FhirFolder(path, wanted, self._today, clock, one_server, servers)
        if not clock.undecided:
            return found
        del found  # two of them would take twice the memory
        return FhirFolder(path, wanted, self._today, clock.decided(), one_server, servers)

    def table(self, source: Source, columns: Sequence[str]) -> FhirTable:
        """columns: that the mapping reads. Raises InvalidInput."""
        place = (source.lies_at, source.time_zone)
        if place not in self._read:
            alike = [each for each in self._sources if (each.lies_at, each.time_zone) == place]
            try:
                self._read[place] = self._folder_of(self._folder / source.lies_at, alike)
            except InvalidInput as refused:
                self._read[place] = refused
        found = self._read[place]
        if isinstance(found, InvalidInput):
            raise found
        table = found.table(source, columns)
        return replace(table, frame=each_alone(table.frame, columns))
