"""Which tables do the FHIR resources of a folder make, and what was left out on the way?

One pass over the files serves all sources of a mapping that read them. Of several copies of a resource the newest
counts (`register`); what never happened is left out and counted; each row gets the patient that its subject means
(`subjects`), and what a medication means (`medications`). `last_contact` of a patient is the latest day on which any
resource shows that somebody saw the patient (`contacts`).
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from oncofed.client.importing.fhir.clock import Clock
from oncofed.client.importing.fhir.contacts import Contacts
from oncofed.client.importing.fhir.contained import Contained
from oncofed.client.importing.fhir.deaths import Deaths
from oncofed.client.importing.fhir.elements import OtherForm, object_of, reference_in, text_of
from oncofed.client.importing.fhir.files import Entry, FhirFiles
from oncofed.client.importing.fhir.focus import Findings, focus_of, is_modified
from oncofed.client.importing.fhir.medications import Medications, codes_of_medication
from oncofed.client.importing.fhir.register import Mask, Register
from oncofed.client.importing.fhir.resources import (
    COLUMNS,
    DAYS,
    KINDS,
    KNOWN,
    SUSPECTED,
    VERIFICATION,
    Wanted,
    is_not_so,
    told_by,
)
from oncofed.client.importing.fhir.servers import Apart, Servers, refuse_ids_of_several, server_of
from oncofed.client.importing.fhir.source import (
    LAST_CONTACT,
    MODIFIED,
    NO_ROW,
    PATIENT,
    UNCODED,
    columns_of,
    has_rows_without_code,
)
from oncofed.client.importing.fhir.subjects import Person, Persons, person
from oncofed.client.importing.fhir.text_columns import Place, TextColumns, Texts, coded, days_of, numbers_in, whole_days
from oncofed.client.importing.fhir.variants import by_gene
from oncofed.client.importing.fhir.vital_status import deaths_of_nobody, filled, listed, refuse_modified, vital_status
from oncofed.client.importing.mapping import Source
from oncofed.client.importing.mapping_choices import Part
from oncofed.client.importing.moments import UNSAID
from oncofed.client.importing.readings import Column
from oncofed.errors import Fault, InvalidInput

_ONE_SERVER = (
    "Name each server, with the files that are its, under servers. If an id is one resource's everywhere here: "
    "one_server = true."
)
_KEEP_ONE = "Keep one of each, or export them with meta.versionId or meta.lastUpdated."
_UNLIKE = "patients, births, genders or drugs, as of several servers"
_URNS, _WITH_IDS = (
    "addresses of bundles (urn:uuid) stand for several",
    "Export it again with ids of their own, as FHIR wants.",
)


@dataclass(frozen=True, eq=False)
class FhirTable:
    """frame: the columns of `source.columns_of`, texts, none where empty. where: what faults call it.

    contested  identifiers of several patients who were born on different days.
    """

    frame: pd.DataFrame
    where: str
    notes: tuple[str, ...]
    contested: frozenset[str]


@dataclass
class FhirFolder:
    """What a folder holds for the tables that are wanted. Reading it raises InvalidInput with all its faults.

    today       nobody was seen later. clock: of the hospital.
    one_server  whether the mapping says that all ids are of one. servers: that it names, if it does: ids are apart.
    """

    path: Path
    wanted: Sequence[Wanted]
    today: date
    clock: Clock
    one_server: bool = False
    servers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    tables: list[TextColumns] = field(init=False)
    register: Register = field(init=False, default_factory=Register)

    def __post_init__(self) -> None:
        self.tables = [TextColumns(COLUMNS[each.part]) for each in self.wanted]
        self._kinds, self._kind_of = Texts(), array("b")
        self._not_so, self._issued, self._modified = bytearray(), bytearray(), bytearray()
        self._findings = Findings()
        self._codeless = [array("i") for _ in self.wanted]
        self._subjects = Texts()
        self._contacts = Contacts()
        self._deaths = Deaths()
        self._persons: list[tuple[int, Person]] = []  # with the resource
        self._medications = Medications()
        self._servers = Servers()
        self._abouts, self._about = Texts(), array("i")  # by resource
        self._other = 0  # resources of types that are not read
        self._apart = Apart(self.servers) if self.servers else None
        self._read()

    # --- reading

    def _read(self) -> None:
        files = FhirFiles(self.path)
        wrong: Counter[str] = Counter()
        contained = Contained(kind for each in self.wanted for kind in KINDS[each.part].split("/"))
        for entry in files.entries():
            self._findings.look_at(entry)
            contained.look_at(entry.resource)
            if entry.resource["resourceType"] in KNOWN:
                try:
                    self._add(entry if self._apart is None else self._apart.of(entry))
                except OtherForm as other:
                    wrong[f"{entry.resource['resourceType']}.{other}"] += 1
            else:
                self._other += 1
        name, what = self.path.name, "is of another form than FHIR R4 gives it"
        remedy = "Export it again as FHIR R4 says, or take these resources out."
        faults = [Fault(f"{name}: {element}", what, remedy, count) for element, count in sorted(wrong.items())]
        faults += contained.faults(name)
        self._home = self._servers.home(alone=self.one_server)
        persons = Persons([each for _, each in self._persons], identifier=None, home=self._home)
        copies = self.register.copies(self._meant_by_each(persons))
        not_so, modified = numbers_in(self._not_so, np.bool_), numbers_in(self._modified, np.bool_)
        self.current = copies.current & ~not_so & ~modified
        kept = [each for _, each in self._current_persons()]
        not_so = not_so | self._findings.of_others(Persons(kept, identifier=None, home=self._home), len(self.register))
        self.modified, self.current = copies.current & modified & ~not_so, self.current & ~not_so
        self._old = self._by_kind(~copies.current)
        self._never, self._turned = self._by_kind(copies.current & not_so), self._by_kind(self.modified)
        urns = Counter(
            name for _, name in {(each.id, name) for each in kept for name in each.names if name.startswith("urn:")}
        )
        if self._apart is not None:
            faults += self._apart.faults(self.path)
        elif self._servers.are_several and not self.one_server:
            what = "holds resources of several servers, or may hold some, whose ids mean different people and drugs"
            faults.append(Fault(name, what, _ONE_SERVER))
        for count, what, remedy in (
            (copies.contradicting, "resources have copies of one id and version that say different things", _KEEP_ONE),
            (copies.unlike * (not self.one_server), f"ids have copies of different {_UNLIKE}", _ONE_SERVER),
            (sum(times > 1 for times in urns.values()), f"{_URNS} patients each", _WITH_IDS),
            (self._medications.shared(self.current), f"{_URNS} medications each", _WITH_IDS),
        ):
            if count:
                faults.append(Fault(name, what, remedy, count))
        if nameless := sum(each.id is None for each in kept):
            what = "has no id, so that nothing can be joined to it"
            faults.append(Fault(f"{name}: Patient.id", what, "Export it again, with ids.", nameless))
        self._of_files = tuple(files.notes())
        if faults or files.faults:
            raise InvalidInput([*files.faults, *faults])

    def _meant_by_each(self, persons: Persons) -> Place:
        """(resources,) a number for what or whom each is about."""
        meant = [persons.meant(each).identity or each for each in self._abouts.listed]
        number_of = np.append(pd.factorize(np.array(meant, dtype=object))[0], -1)
        return np.asarray(number_of[numbers_in(self._about, np.int32)], dtype=np.int64)

    def _current_persons(self) -> list[tuple[int, Person]]:
        """With the addresses of their older copies: each bundle may have one of its own (urn:uuid)."""
        names: dict[str | None, dict[str, None]] = {}
        for _, each in self._persons:
            names.setdefault(each.id, {}).update(dict.fromkeys(each.names))
        return [
            (number, each if each.id is None else replace(each, names=tuple(names[each.id])))
            for number, each in self._persons
            if self.current[number]
        ]

    def _add(self, entry: Entry) -> None:
        entry = replace(entry, resource=self.clock.of(entry.resource))
        resource, kind = entry.resource, entry.resource["resourceType"]
        own = text_of(resource, "id")
        told, not_so = told_by(resource, self.wanted, self.today), is_not_so(resource)
        focus, modified = focus_of(resource), is_modified(resource)
        who = person(entry) if kind == "Patient" else None
        drug = codes_of_medication(entry, self.wanted) if kind == "Medication" else None
        name = f"{kind}/{own}" if own is not None else entry.full_url
        # An address of a bundle says which resource it is within that bundle, and nothing of versions.
        versioned = resource if own is not None else {key: each for key, each in resource.items() if key != "meta"}
        of_whom = None if who is None else replace(who, names=())
        given = reference_in(object_of(resource, "medicationReference"))
        if self._apart is None:
            whom = [told.subject, *(each for _, each in focus)]
            self._servers.add(entry.full_url, whom=whom, drug=given, is_patient=who is not None)
        number = self.register.add(versioned, name=name, content=(told, not_so, of_whom, drug, focus, modified))
        self._findings.add(resource, number, focus)
        self._modified.append(modified)
        of_what = told.subject if who is None and drug is None else repr((who and (who.born, who.gender), drug))
        server = server_of(entry.full_url) if self._apart is None else "the one of its id"
        self._about.append(self._abouts.of(server or of_what))
        self._not_so.append(not_so)
        self._issued.append(told.issued)
        for place in told.codeless:
            self._codeless[place].append(number)
        self._kind_of.append(self._kinds.of(kind))
        if who is not None:
            subject = len(self._persons)  # of a patient's own row; resolved apart
            self._persons.append((number, who))
        else:
            subject = self._subjects.of(told.subject)
        if drug is not None:
            self._medications.add(entry, name, number, drug)
        for place, row in told.rows:
            self.tables[place].add(row, subject=subject, resource=number)
        if told.contact is not None and subject >= 0:
            self._contacts.add(told.contact, subject=subject, resource=number)
        self._deaths.add(told.death, subject=subject, resource=number)

    def _by_kind(self, resources: Mask) -> dict[str, int]:
        kinds = numbers_in(self._kind_of, np.int8)
        return {kind: int((resources & (kinds == number)).sum()) for kind, number in self._kinds.number.items()}

    # --- tables

    def table(self, source: Source, columns: Sequence[str]) -> FhirTable:
        """Of a source that reads this folder. columns: that are wanted; of variants, those that are genes."""
        place = self.wanted.index(Wanted(source.part, source.system))
        kept = self._current_persons()
        kept.sort(key=lambda pair: (pair[1].id or "", pair[1].names))
        refuse_ids_of_several(self.path.name, [each.id for _, each in kept], identifier=source.identifier)
        persons = Persons([each for _, each in kept], identifier=source.identifier, home=self._home)
        kinds = KINDS[source.part].split("/")
        notes = list(self._notes_of([*kinds, *(["Medication"] if source.part is Part.FHIR_MEDICATIONS else [])]))
        shared = persons.shared()
        parts = [each.part for each in self.wanted]
        if source.part is (Part.FHIR_PATIENTS if Part.FHIR_PATIENTS in parts else parts[0]):  # one source tells it
            if shared.patients:
                notes.append(f"{shared.patients:,} patients share an identifier with another, and are one")
            notes += [*persons.notes(), *self._of_files]
        if source.part is Part.FHIR_PATIENTS:
            frame = self._patients(self.tables[place], [number for number, _ in kept], persons, source, notes)
            if LAST_CONTACT in columns:
                contacts = self._last_contacts(persons, notes)
                frame[LAST_CONTACT] = frame[PATIENT].map(contacts).astype(object)
        else:
            frame = self._rows_of(place, persons, source, notes)
        where = f"{self.path.name} ({'/'.join(kinds)})"
        if source.part is Part.FHIR_VARIANTS:
            frame = by_gene(frame, [each for each in columns if each not in columns_of(source)], source, where, notes)
        return FhirTable(frame, where, tuple(notes), shared.contested)

    def _notes_of(self, kinds: Sequence[str]) -> Iterator[str]:
        if self._other and kinds == ["Patient"]:
            yield f"{self._other:,} resources are of types that are not read"
        theirs = "patients, with all that is theirs, " * (kinds == ["Patient"])
        for of, what in (
            (self._old, "are copies or older versions of others"),
            (self._never, "were entered in error, cancelled, refuted or not done, or are of others (focus)"),
            (self._turned, f"{theirs}have a modifier that may turn their meaning (modifierExtension)"),
        ):
            if count := sum(of.get(kind, 0) for kind in kinds):
                yield f"{count:,} {what}, and do not count"
        for kind in kinds:
            yield from self.clock.notes(kind)

    def _rows_of(self, place: int, persons: Persons, source: Source, notes: list[str]) -> pd.DataFrame:
        table = self.tables[place]
        of_variants = source.part is Part.FHIR_VARIANTS
        refuse_modified(int(self.modified[table.resource].sum()) * of_variants, "variants", self.path.name)
        rows = np.flatnonzero((self.current if of_variants else self.current | self.modified)[table.resource])
        if VERIFICATION in table.names:
            told = pd.Series(table.texts(VERIFICATION), dtype=object)
            doubted = told.isin(SUSPECTED).to_numpy() & ~Column(told).among(source.keep.get(VERIFICATION, ()))
            suspected = doubted[table.places(VERIFICATION, rows)]
            if count := int(suspected.sum()):
                notes.append(
                    f"{count:,} rows are only suspected and do not count, unless keep names their {VERIFICATION}"
                )
            rows = rows[~suspected]
        notes += self._notes_of_rows(place, source, rows)
        codes = None
        if source.part is Part.FHIR_MEDICATIONS:
            drugs = self._medications.of(place, table, rows, self.current, self._home)
            rows, codes = drugs.rows, drugs.codes
            notes += drugs.notes
            if orders := self._by_kind(self.current).get("MedicationRequest"):
                notes.append(f"{orders:,} orders (MedicationRequest) tell no drug that was given, and do not count")
        subject = table.subject[rows]
        meant = [persons.meant(reference) for reference in self._subjects.listed]
        lost = np.array([*(each.identity is None and each.is_patient for each in meant), True])
        other = np.array([*(not each.is_patient for each in meant), False])
        for count, what in (
            (int((subject < 0).sum()), "tell no subject"),
            (int((lost[subject] & (subject >= 0)).sum()), "have a subject that cannot be found"),
            (int(other[subject].sum()), "have a subject that is no patient"),
        ):
            if count:
                notes.append(f"{count:,} rows {what}, and do not count")
        columns = {PATIENT: coded(subject, [each.identity for each in meant])}
        for name in table.names:
            if name in DAYS:
                columns[name] = days_of(table, name, rows, source, notes)
            elif name == "code" and codes is not None:
                columns[name] = codes
            else:
                columns[name] = table.cells(name, rows)
        if source.code is not None or source.part is Part.FHIR_CONDITIONS:
            codeless = np.isin(table.resource[rows], numbers_in(self._codeless[place], np.int32))
            none = columns["code"].isna().to_numpy()
            no_row = codeless & none & (not has_rows_without_code(source))
            columns[UNCODED] = pd.Series(np.where(no_row, NO_ROW, codeless | none))
        if not of_variants:
            columns[MODIFIED] = pd.Series(self.modified[table.resource[rows]])
        return pd.DataFrame(columns)

    def _notes_of_rows(self, place: int, source: Source, rows: Place) -> Iterator[str]:
        issued = numbers_in(self._issued, np.bool_)[self.tables[place].resource[rows]]
        if count := int(issued.sum()):
            yield f"{count:,} rows tell no day but that of their issue, and have that"
        codeless = self.current[numbers_in(self._codeless[place], np.int32)]
        if count := int(codeless.sum()):
            of_which = "usual system: another code or a text counts, where there is one"
            if source.system is not None:
                of_which = "system that the mapping names, and give no row"
            yield f"{count:,} resources have no code of the {of_which}"

    def _patients(
        self, table: TextColumns, numbers: Sequence[int], persons: Persons, source: Source, notes: list[str]
    ) -> pd.DataFrame:
        """A row for each patient, and one more for each further day of death that another resource tells."""
        row_of = np.full(len(self.register), -1, dtype=np.int64)
        row_of[table.resource] = np.arange(len(table.resource))
        all_rows = row_of[np.array(numbers, dtype=np.int64)]
        own = [place for place in range(len(numbers)) if persons.final(place) == place]
        if replaced := len(numbers) - len(own):
            notes.append(f"{replaced:,} are replaced by another patient (link), whose their resources are")
        rows = all_rows[own]
        identities = [persons.identity(place) for place in own]
        by_identity = {identity: place for place, identity in enumerate(identities) if identity is not None}
        days = listed(table.cells("death_date", rows))
        told_of = self._deaths.elsewhere(
            self._subjects.listed,
            persons,
            by_identity,
            current=self.current,
            modified=self.modified,
            where=self.path.name,
        )
        notes += deaths_of_nobody(told_of.of_nobody, self.path.name, source)
        merged = [place for place in range(len(numbers)) if persons.final(place) != place]
        after_of = [by_identity.get(persons.identity(place) or "") for place in merged]
        told = zip(*(listed(table.cells(name, all_rows[merged])) for name in ("deceased", "death_date")), strict=True)
        for after, (deceased, day) in zip(after_of, told, strict=True):
            if deceased == "true" and after is not None:
                known = told_of.days.get(after, frozenset())
                told_of.days[after] = known | ({day} if day is not None else frozenset())
        status = vital_status(listed(table.cells("deceased", rows)), days, told_of.with_days_of(days, notes))
        notes += status.notes
        index = np.array([*range(len(own)), *(place for place, _ in status.further)], dtype=np.int64)
        columns = {PATIENT: pd.Series(np.array(identities, dtype=object)[index], dtype=object)}
        for name in table.names:
            if name == "deceased":
                cells = pd.Series(status.deceased, dtype=object)
            elif name == "death_date":
                further = [day for _, day in status.further]
                columns[name] = whole_days([*status.days, *further], name, source, notes)
                continue
            else:
                told_before = zip(after_of, listed(table.cells(name, all_rows[merged])), strict=True)
                texts = filled(listed(table.cells(name, rows)), told_before)
                cells = whole_days(texts, name, source, notes) if name in DAYS else pd.Series(texts, dtype=object)
            columns[name] = cells.iloc[index].reset_index(drop=True)
        return pd.DataFrame(columns)

    def _last_contacts(self, persons: Persons, notes: list[str]) -> dict[str | None, str]:
        found = self._contacts.last(self.current, self._subjects.listed, persons)
        if found.in_utc:
            what = "resources tell a contact by a moment in UTC, which is a day only in a time zone"
            raise InvalidInput([Fault(self.path.name, what, UNSAID, found.in_utc)])
        if found.no_day:
            notes.append(f"{found.no_day:,} resources tell a contact on what is no day, and none by it")
        return found.days
