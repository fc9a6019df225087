"""Which schema and which mapping might a folder of FHIR resources mean, as a first draft for people to confirm?

Proposed from which types of resources there are, and which public codes (LOINC of the table of analytes, of ECOG,
Karnofsky and stage) stand in observations; a code is to resources what the name of a column is to a table. Promise:
nothing else of a resource is used, and no code that is not public in this program, so that no word of a patient can be
in a draft. What only people can choose is left out or a remark.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from oncofed.client.importing.analytes import BY_LOINC, Analyte
from oncofed.client.importing.column_names import Role, Suggestion
from oncofed.client.importing.drafted_sources import CellType, DraftedColumn, DraftedSource, seen_from
from oncofed.client.importing.drafting import Draft, Proposals, proposal_of, schema_lines
from oncofed.client.importing.fhir.elements import LOINC, OtherForm, codings_of, object_of, objects_of
from oncofed.client.importing.fhir.files import FhirFiles, Json, is_file_of_resources
from oncofed.client.importing.proposed_schema import CONFIRM, TIME_ZONE, quoted
from oncofed.errors import Fault, InvalidInput

_ECOG = 'words = { LA9622-7 = "0", LA9623-5 = "1", LA9624-3 = "2", LA9625-0 = "3", LA9626-8 = "4" }'
_CLINICAL: dict[Role, tuple[tuple[str, ...], str]] = {
    Role.ECOG: (("89247-1",), _ECOG),
    Role.KARNOFSKY: (("89243-0",), "words = {}"),
    Role.STAGE: (("21908-9", "21902-2", "21914-7"), "words = {}"),
    Role.BMI: (("39156-5",), 'unit = "kg/m2"'),
}
"""LOINC codes, and what is said of their cells. The answers of ECOG are LOINC's own."""

_PARTS = {
    "Patient": ("patients", "fhir_patients"),
    "Condition": ("diagnoses", "fhir_conditions"),
    "Observation": ("observations", "fhir_observations"),
    "Procedure": ("procedures", "fhir_procedures"),
    "MedicationStatement": ("medications", "fhir_medications"),
    "MedicationAdministration": ("medications", "fhir_medications"),
}


def of_resources(paths: Sequence[Path]) -> bool:
    """Whether it is one folder, or one file, of resources. Raises InvalidInput where one is among other sources."""
    found = [each for each in paths if any(is_file_of_resources(inside) for inside in (each, *each.rglob("*")))]
    if found and len(paths) > 1:
        remedy = "Draft it by itself, and the tables beside it by themselves; then join both mappings."
        raise InvalidInput(
            [Fault(each.name, "holds FHIR resources, and stands among others", remedy) for each in found]
        )
    return bool(found)


def draft_of_resources(path: Path, *, beside: Path) -> Draft:
    """Raises InvalidInput with the faults of all files.

    beside  the folder in which the mapping will lie.
    """
    files = FhirFiles(path)
    types: set[str] = set()
    observed: set[str] = set()
    for entry in files.entries():
        types.add(entry.resource["resourceType"])
        if entry.resource["resourceType"] == "Observation":
            observed |= _public_codes(entry.resource)
    if files.faults:
        raise InvalidInput(files.faults)
    whole = DraftedSource("fhir", seen_from(beside, path))
    markers = list(_markers(observed))
    proposals: Proposals = [
        (whole, each.column, proposal) for each in markers if (proposal := proposal_of(each.column))
    ]
    mapping = "\n".join(_mapping(whole, types, markers)) + "\n"
    return Draft("\n".join(schema_lines(whole, proposals)) + "\n", mapping)


_PUBLIC = {*BY_LOINC, *(code for codes, _ in _CLINICAL.values() for code in codes)}


def _public_codes(resource: Json) -> set[str]:
    try:
        concepts = [object_of(each, "code") for each in (resource, *objects_of(resource, "component"))]
        found = {each.code for concept in concepts for each in codings_of(concept) if each.system == LOINC}
    except OtherForm:  # an import says so
        return set()
    return found & _PUBLIC


@dataclass(frozen=True)
class _Marker:
    """column: as if a table had it. lines: of its section in the mapping, behind its name."""

    column: DraftedColumn
    lines: tuple[str, ...]


def _markers(observed: set[str]) -> Iterator[_Marker]:
    age = DraftedColumn("birth_date", CellType.NUMBERS, Suggestion(role=Role.AGE))
    yield _Marker(age, ('source = "patients"', 'column = "birth_date"', 'transform = "age"'))
    sex = DraftedColumn("gender", CellType.WORDS, Suggestion(role=Role.SEX))
    words = 'words = { female = "1", male = "0" }'
    yield _Marker(sex, ('source = "patients"', 'column = "gender"', f"{words}  {CONFIRM}"))
    for role, (codes, line) in _CLINICAL.items():
        if found := [code for code in codes if code in observed]:
            column = DraftedColumn(role.value, CellType.NUMBERS, Suggestion(role=role))
            yield _Marker(column, (*_observed(found), f"{line}  {CONFIRM}"))
    analytes: dict[str, Analyte] = {each.name: each for code, each in BY_LOINC.items() if code in observed}
    for name, analyte in analytes.items():
        column = DraftedColumn(name, CellType.NUMBERS, Suggestion(analyte=analyte))
        lines = [*_observed([code for code in analyte.loinc if code in observed])]
        lines.append(f'analyte = "{name}"')
        if analyte.skewed:
            lines += [f'limits = "at_limit"  {CONFIRM}', f'transform = "log10"  {CONFIRM}']
        yield _Marker(column, tuple(lines))


def _observed(codes: list[str]) -> Iterator[str]:
    yield 'source = "observations"'
    yield f"codes = [{', '.join(map(quoted, codes))}]"
    yield f"window = [-30, 0]  {CONFIRM}: on which days about time zero does a value count?"
    yield f'take = "last"  {CONFIRM}'


def _mapping(whole: DraftedSource, types: set[str], markers: list[_Marker]) -> Iterator[str]:
    yield "# A draft, made from types of resources and public codes. Confirm or correct what says so, then look:"
    yield "#   oncofed cohort import mapping.toml --dry-run"
    yield "[mapping]"
    yield 'schema = "schema.toml"'
    yield f'patients = "diagnoses"  {CONFIRM}: are these the patients of the study?'
    yield f'site = "our hospital"  {CONFIRM}; or site_column = "hospital" and site_source = "patients"'
    yield f"{TIME_ZONE}, if moments are in UTC"
    for name, part in dict.fromkeys(
        _PARTS[each] for each in _PARTS if each in types or each in ("Patient", "Condition")
    ):
        yield "\n[[source]]"
        yield f'name = "{name}"'
        yield f"path = {quoted(whole.path.as_posix())}"
        yield f'part = "{part}"'
        if part == "fhir_conditions":
            yield f'# keep = {{ code = ["C34*"] }}  {CONFIRM}: which diagnoses does the study take?'
        yield f'# partial_dates = "middle"  {CONFIRM}: what does a day become of which only the month or year is told?'
    yield "\n[time_zero]"
    yield f'source = "diagnoses"  {CONFIRM}'
    yield 'column = "date"'
    yield f'take = "first"  {CONFIRM}'
    yield "\n[[outcome]]"
    yield 'name = "survival"'
    yield 'source = "patients"'
    yield 'event = "deceased"\nyes = ["true"]\nno = ["false"]'
    yield 'event_date = "death_date"'
    yield 'last_contact = ["last_contact"]'
    for each in markers:
        proposal = proposal_of(each.column)
        assert proposal is not None
        yield "\n[[marker]]"
        yield f"name = {quoted(proposal.name)}"
        yield from each.lines
