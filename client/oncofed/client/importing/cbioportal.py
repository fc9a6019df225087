"""What does a study folder of cBioPortal say of its patients?

Its clinical files have a header line of codes (`PATIENT_ID`, `OS_STATUS`) under up to four lines of remarks; its
molecular files are told by sample. Promise of mutations: a gene is 1 where any sample of a patient has a variant that
counts, 0 where some sample was sequenced for it and none has one, and **not measured where no sample was sequenced for
it**: a panel that lacks a gene says nothing about it (`gene_panels`), of mutations as of copy number. Of a patient with
several samples those of the primary tumour come first (`primary_samples`), unless the mapping says that all count, and
how many patients that concerns is told.

Format: the public documentation of cBioPortal's file formats. Nothing in these files is quoted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from oncofed.client.importing.gene_panels import (
    ALL_GENES,
    FORM,
    NOT_SEQUENCED,
    genes_of_matrix,
    genes_sequenced,
    is_covered,
    mutations_of,
    with_columns,
)
from oncofed.client.importing.mapping import Source
from oncofed.client.importing.mapping_choices import Near, Part, Without
from oncofed.client.importing.primary_samples import Samples, is_primary, prefer_primary
from oncofed.client.importing.readings import Column, identifiers
from oncofed.client.importing.spellings import classes
from oncofed.client.importing.study_names import SAMPLE, genes_meant, samples_meant
from oncofed.client.importing.variant_rows import (
    BARCODE,
    CLASSES,
    GENE,
    SAMPLES_FILE,
    class_of,
    refuse_nameless,
    refuse_unnamed,
    samples_of,
)
from oncofed.cohort.table import Tell, read_table
from oncofed.errors import Fault, InvalidInput
from oncofed.plain_file import file_content

_PATIENT, _KIND, _CLASS = "PATIENT_ID", "SAMPLE_TYPE", "Variant_Classification"
_STATUS, _NO_MUTATION = "Mutation_Status", ("wildtype", "none", "loh")
_CLINICAL = {Part.PATIENTS: "data_clinical_patient.txt", Part.SAMPLES: SAMPLES_FILE}
_UNSAID = ("NA", "[Not Available]", "[Not Applicable]", "[Unknown]")
"""How a study folder writes that nobody knows what a sample is."""
_OF_ROWS = (GENE, "Entrez_Gene_Id", "Cytoband", "Composite.Element.REF", "ENTITY_STABLE_ID", "NAME", "DESCRIPTION")
"""Columns of a matrix that are no samples."""


def read_part(
    source: Source,
    folder: Path,
    wanted: Iterable[str],
    *,
    missing: tuple[str, ...],
    tell: Tell,
    may_be_absent: Collection[str] = (),
    missing_of: Mapping[str, tuple[str, ...]] | None = None,
) -> tuple[pd.DataFrame, str, str]:
    """The table of one part, its column of identifiers, and what faults call it. Raises InvalidInput.

    wanted         columns of a clinical file; genes (or other rows) of a molecular one, which become columns here.
    may_be_absent  genes of which the mapping says that no variant may name them.
    missing_of     of columns whose markers have words of their own for "not known", instead of `missing`: those.
    """
    study = folder / source.lies_at
    if not study.is_dir():
        raise InvalidInput([Fault(source.lies_at.name, "is not a folder", "Name the study folder of cBioPortal.")])
    patient = source.patient or _PATIENT
    if source.part in _CLINICAL:
        name = _CLINICAL[source.part]
        wanted = list(dict.fromkeys([*wanted, patient]))
        if source.part is Part.SAMPLES:
            return _samples(study / name, source, wanted, patient, missing, missing_of or {}, tell), patient, name
        frame = read_table(study / name, columns=wanted, form=FORM)
        return frame, patient, name
    genes = [each for each in wanted if each != patient]
    samples = _samples_of_patients(study, patient, missing)
    if source.part is Part.MATRIX:
        name = source.file or ""
        panels = genes_of_matrix(study, source, folder, samples)
        frame, found = _matrix(study / name, genes, samples, patient, panels, source, tell)
    else:
        name = mutations_of(study)
        frame, found = _mutations(study, source, genes, samples, patient, folder, may_be_absent, tell)
    primary = np.array([samples[each].primary for each in found], dtype=np.bool_)
    columns = [gene for gene in genes if gene in frame.columns]
    missing_in = {column: (missing_of or {}).get(column, missing) for column in columns}
    return _preferred(frame, source, patient, primary, missing_in, name, tell), patient, name


def _preferred(
    frame: pd.DataFrame,
    source: Source,
    patient: str,
    primary: NDArray[np.bool_],
    missing_in: Mapping[str, tuple[str, ...]],
    name: str,
    tell: Tell,
) -> pd.DataFrame:
    """missing_in: of each column that is asked, the words for "not known"."""
    if source.samples is Samples.ALL:
        return frame
    who = identifiers(Column(frame[patient]))
    if source.near_identifiers is Near.ALIKE:
        first = classes(who.dropna().unique().tolist()).first
        who = who.map(lambda each: first.get(each, each))
    mark = source.decimal.letter
    filled = {column: ~Column(frame[column], mark).empty(words) for column, words in missing_in.items()}
    preferred = prefer_primary(frame, who, primary, filled)
    if preferred.patients:
        tell(f"{name}: of {preferred.patients} patients with several samples only those of the primary tumour count")
    return preferred.frame


def _samples(
    path: Path,
    source: Source,
    wanted: list[str],
    patient: str,
    missing: tuple[str, ...],
    missing_of: Mapping[str, tuple[str, ...]],
    tell: Tell,
) -> pd.DataFrame:
    """The clinical table of samples, as it is wanted."""
    columns = list(dict.fromkeys([*wanted, SAMPLE, _KIND]))
    frame = read_table(path, columns=columns, form=FORM)
    if SAMPLE not in frame.columns:
        return frame
    others = (patient, SAMPLE, source.date, *source.keep)
    own = {each: missing_of.get(each, missing) for each in wanted if each in frame.columns and each not in others}
    primary = _primary(frame, missing)
    for column, listed in source.keep.items():  # a sample that is not kept takes nobody's place
        if column in frame.columns:
            primary &= Column(frame[column]).among(listed)
    return _preferred(frame, source, patient, primary, own, path.name, tell)


def _primary(frame: pd.DataFrame, missing: tuple[str, ...]) -> NDArray[np.bool_]:
    """(samples,)"""
    samples = identifiers(Column(frame[SAMPLE]))
    unsaid = (*_UNSAID, *missing)
    kinds = (
        identifiers(Column(frame[_KIND]), unsaid)
        if _KIND in frame.columns
        else pd.Series([None] * len(frame), dtype=object)
    )
    return np.array([is_primary(*pair) for pair in zip(samples, kinds, strict=True)], dtype=np.bool_)


@dataclass(frozen=True)
class _Sample:
    """patient: whose it is. primary: whether it is of the primary tumour."""

    patient: str
    primary: bool


def _samples_of_patients(study: Path, patient: str, missing: tuple[str, ...]) -> Mapping[str, _Sample]:
    """By SAMPLE_ID."""
    name = SAMPLES_FILE
    frame = with_columns(study / name, [patient, SAMPLE], also=[_KIND])
    samples, patients = identifiers(Column(frame[SAMPLE])), identifiers(Column(frame[patient]))
    doubled = samples[samples.notna()].duplicated(keep=False)
    if doubled.any():
        what, remedy = "rows share their SAMPLE_ID with another row", "Keep one row for each sample."
        raise InvalidInput([Fault(name, what, remedy, int(doubled.sum()))])
    return {
        sample: _Sample(who, primary)
        for sample, who, primary in zip(samples, patients, _primary(frame, missing).tolist(), strict=True)
        if sample is not None and who is not None
    }


# --- mutations


def _mutations(
    study: Path,
    source: Source,
    genes: list[str],
    known: Mapping[str, _Sample],
    patient: str,
    folder: Path,
    may_be_absent: Collection[str],
    tell: Tell,
) -> tuple[pd.DataFrame, list[str]]:
    """A row for each sample that was sequenced, and which these are."""
    sequenced = _with_symbols(genes_sequenced(study, source, folder, known), genes, source)
    file = mutations_of(study)
    frame = with_columns(study / file, [GENE, BARCODE, _CLASS], also=[_STATUS])
    samples = [sample for sample in known if sample in sequenced]
    place = {sample: number for number, sample in enumerate(samples)}
    values = np.full((len(samples), len(genes)), np.nan)
    for column, gene in enumerate(genes):
        for row, sample in enumerate(samples):
            covered = sequenced[sample]
            if covered is ALL_GENES or gene in covered:
                values[row, column] = 0.0
    of_gene = {gene: column for column, gene in enumerate(genes)}
    silent = {kind.casefold() for kind in source.silent}
    elsewhere = uncovered = quiet = germline = without = strangers = unlisted = 0
    status = frame[_STATUS].astype(str).str.strip().str.casefold() if _STATUS in frame.columns else [""] * len(frame)
    barcodes = identifiers(Column(frame[BARCODE]))
    sample_of = samples_of(barcodes, known, source, file)
    names = identifiers(Column(frame[GENE]))
    kinds = [class_of(kind, gene) for kind, gene in zip(identifiers(Column(frame[_CLASS])), names, strict=True)]
    whose_rows = [sample_of.get(barcode) for barcode in barcodes]
    rows = zip(whose_rows, kinds, status, strict=True)
    counting = [whose in place and kind not in silent and told not in _NO_MUTATION for whose, kind, told in rows]
    refuse_nameless(names[counting], genes, source.near_words, file)
    in_doubt = names[counting].dropna().unique()
    names = names.replace(genes_meant(in_doubt, genes, source.near_words, f'{file}: column "{GENE}"'))
    looked_at = [gene for gene, of in zip(genes, values.T, strict=True) if (of == 0).any()]
    refuse_unnamed(looked_at, set(names.dropna()), sequenced.values(), may_be_absent, file)
    for gene, whose, kind, told in zip(names, whose_rows, kinds, status, strict=True):
        if gene not in of_gene:
            continue
        germline += told == "germline"
        if told in _NO_MUTATION:
            without += 1
        elif kind in silent:
            quiet += 1
        elif whose is None:
            strangers += 1
        elif whose not in place:
            elsewhere += 1
        elif np.isnan(values[place[whose], of_gene[gene]]):
            uncovered += 1
        else:
            values[place[whose], of_gene[gene]] = 1.0
            unlisted += kind not in CLASSES
    fates = _Fates(strangers, uncovered, without, quiet, germline, elsewhere, unlisted)
    _tell_fates(fates, source, file, tell)
    _tell_unnamed(genes, names, file, tell)
    return _by_sample(values, genes, [known[sample].patient for sample in samples], patient), samples


class _Fates(NamedTuple):
    """How many variants of the wanted genes are of no sample, lie outside of the panel, say that there is no mutation,
    are silent, are of the germline, are of samples that were not sequenced, or count though nobody knows their class.
    """

    strangers: int
    uncovered: int
    without: int
    silent: int
    germline: int
    elsewhere: int
    unlisted: int


def _tell_fates(fates: _Fates, source: Source, file: str, tell: Tell) -> None:
    """Raises InvalidInput where somebody has a variant, and nobody knows who: that patient would have 0."""
    if fates.strangers and source.of_nobody is Without.FAULT:
        what = f"variants of these genes are of no {SAMPLE} of the study, and their patients would have 0"
        remedy = f'Write there what {SAMPLES_FILE} has, or leave them out: of_nobody = "leave_out".'
        raise InvalidInput([Fault(f'{file}: column "{BARCODE}"', what, remedy, fates.strangers)])
    for count, what in (
        (fates.strangers, f"are of no {SAMPLE} of the study, and do not count"),
        (fates.uncovered, "lie in genes that their sample's panel does not name, and do not count"),
        (fates.without, "have the status Wildtype, None or LOH and do not count"),
        (fates.silent, "are of a silent class and do not count"),
        (fates.germline, "are of the germline, and count as the others do"),
        (fates.elsewhere, "are of samples that were not sequenced, and do not count"),
        (fates.unlisted, "are of a class that the format does not list, and count (if it is a silent one: silent)"),
    ):
        if count:
            tell(f"{file}: {count} variants of these genes {what}")


def _tell_unnamed(genes: Iterable[str], names: Iterable[str | None], file: str, tell: Tell) -> None:
    """A gene under another symbol than the file's would be 0 for everybody."""
    if absent := sorted(set(genes) - set(names)):
        listed = ", ".join(absent)
        tell(f"{file}: no variant names {listed}: 0 wherever it was looked at. Is it the symbol of this file?")


def _with_symbols(
    panels: Mapping[str, frozenset[str] | None], genes: Collection[str], source: Source
) -> Mapping[str, frozenset[str] | None]:
    """The panels with the mapping's symbols of genes that they nearly write so."""
    meant: dict[frozenset[str] | None, frozenset[str] | None] = {ALL_GENES: ALL_GENES}
    for panel in {*panels.values()} - {ALL_GENES}:
        if panel is not ALL_GENES:
            lacking = [gene for gene in genes if gene not in panel]
            meant[panel] = panel | {*genes_meant(panel, lacking, source.near_words, "data_gene_panel_*.txt").values()}
    return {sample: meant[panel] for sample, panel in panels.items()}


# --- matrices: copy number, expression, proteins


def _matrix(
    path: Path,
    genes: list[str],
    known: Mapping[str, _Sample],
    patient: str,
    panels: Mapping[str, frozenset[str] | None],
    source: Source,
    tell: Tell,
) -> tuple[pd.DataFrame, list[str]]:
    """Rows are genes and columns samples. Only the lines of the wanted genes are parsed.

    panels   of samples, the genes that were looked at; None: all. Of others every cell counts.
    returns  a row for each sample, and which these are.
    """
    header, lines = _lines_of(path, genes, source)
    row, panels = _place_of_names(header), _with_symbols(panels, genes, source)
    meant = samples_meant(header, known, source, f"{path.name}: its columns")
    samples = [(column, meant[name]) for column, name in enumerate(header) if name in meant]
    if doubled := len(samples) - len({name for _, name in samples}):
        what = "has several columns of one sample"
        raise InvalidInput([Fault(path.name, what, "Keep the column of the measurement that counts.", doubled)])
    if not samples:
        what = "has no column of a sample of data_clinical_sample.txt"
        raise InvalidInput([Fault(path.name, what, "Check that both are of one study.")])
    if other := sum(name not in meant and name not in _OF_ROWS for name in header):
        tell(f"{path.name}: {other} columns are of no sample of {SAMPLES_FILE}, and do not count")
    cells: dict[str, list[str]] = {}
    for line in lines:
        if len(line) != len(header):
            what = "some rows have more or fewer cells than the header"
            raise InvalidInput([Fault(path.name, what, "Export it again.")])
        if line[row] in cells:
            fault = Fault(f'{path.name}: row "{line[row]}"', "stands there more than once", "Keep one of them.")
            raise InvalidInput([fault])
        cells[line[row]] = [line[column] for column, _ in samples]
    columns: dict[str, list[str]] = {}
    outside = 0
    for gene in genes:
        if gene in cells:
            covered = [is_covered(panels, name, gene) for _, name in samples]
            outside += sum(
                cell not in NOT_SEQUENCED and not there for cell, there in zip(cells[gene], covered, strict=True)
            )
            columns[gene] = [
                "" if cell in NOT_SEQUENCED or not there else cell
                for cell, there in zip(cells[gene], covered, strict=True)
            ]
    if outside:
        tell(f"{path.name}: {outside:,} cells lie in genes that their sample's panel does not name: not measured")
    if absent := [gene for gene in genes if gene not in cells]:
        tell(f"{path.name}: no row for {', '.join(absent)}: not measured")
    whose = [known[name].patient for _, name in samples]
    return pd.DataFrame({patient: whose, **columns}, dtype=object), [name for _, name in samples]


def _place_of_names(header: list[str]) -> int:
    """Of the column that names the rows: genes by their symbol, else whatever stands first."""
    return header.index(GENE) if GENE in header else 0


def _lines_of(path: Path, genes: list[str], source: Source) -> tuple[list[str], list[list[str]]]:
    """The header, and the lines of these genes, each as its cells."""
    content = file_content(path)
    header: list[str] | None = None
    lines, place = list[tuple[str, bytes]](), 0
    try:
        for line in content.split(b"\n"):
            if line.startswith(b"#") or not line.strip():
                continue
            if header is None:
                header = line.decode().rstrip("\r").split("\t")
                place = _place_of_names(header)
            else:
                lines.append((_cell(line, place), line))
        names = {name for name, _ in lines}
        lacking = [gene for gene in genes if gene not in names]
        meant = {gene: gene for gene in genes} | genes_meant(
            names, lacking, source.near_words, f"{path.name}: its rows"
        )
        found = [(meant[name], line.decode().rstrip("\r").split("\t")) for name, line in lines if name in meant]
    except UnicodeError:
        header = None
    if header is None:
        raise InvalidInput([Fault(path.name, "is empty, or no UTF-8 text", "Export it again.")])
    return header, [[*cells[:place], name, *cells[place + 1 :]] for name, cells in found]


def _cell(line: bytes, place: int) -> str:
    cells = line.split(b"\t", place + 1)
    return cells[place].decode().rstrip("\r") if place < len(cells) else ""


def _by_sample(values: NDArray[np.float64], genes: list[str], patients: list[str], patient: str) -> pd.DataFrame:
    columns = {gene: values[:, column] for column, gene in enumerate(genes)}
    return pd.DataFrame({patient: pd.Series(patients, dtype=object), **columns})
