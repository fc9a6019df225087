"""Which folders of FHIR resources does a mapping read, each once for all of its sources?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from oncofed.client.importing.fhir.resources import Wanted
from oncofed.client.importing.fhir.tables import FhirFolder, FhirTable
from oncofed.client.importing.mapping import Source
from oncofed.errors import InvalidInput


class FhirFolders:
    """A folder is read when the first of its sources is asked for; its faults are those of each."""

    def __init__(self, sources: Sequence[Source], folder: Path) -> None:
        """folder: of the mapping, for paths that are relative to it."""
        self._folder = folder
        self._sources = [each for each in sources if each.part.is_fhir]
        self._read: dict[Path, FhirFolder | InvalidInput] = {}

    def table(self, source: Source, columns: Sequence[str]) -> FhirTable:
        """columns: that the mapping reads. Raises InvalidInput."""
        if source.lies_at not in self._read:
            wanted = [Wanted(each.part, each.system) for each in self._sources if each.lies_at == source.lies_at]
            try:
                self._read[source.lies_at] = FhirFolder(self._folder / source.lies_at, list(dict.fromkeys(wanted)))
            except InvalidInput as refused:
                self._read[source.lies_at] = refused
        found = self._read[source.lies_at]
        if isinstance(found, InvalidInput):
            raise found
        return found.table(source, columns)
