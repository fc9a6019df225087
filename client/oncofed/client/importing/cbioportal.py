"""What does a study folder of cBioPortal say of its patients?

Its clinical files have a header line of codes (`PATIENT_ID`, `OS_STATUS`) under up to four lines of remarks; its
molecular files are told by sample. Promise of mutations: a gene is 1 where any sample of a patient has a variant that
counts, 0 where some sample was sequenced for it and none has one, and **not measured where no sample was sequenced for
it**: a panel that lacks a gene says nothing about it. Which samples were sequenced for which genes comes from the gene
panel matrix and the panels' files, or from the case list of sequenced samples (all genes); where neither is there, the
folder is refused. Of a patient with several samples those of the primary tumour come first (`primary_samples`), unless
the mapping says that all count, and how many patients that concerns is told.

Format: the public documentation of cBioPortal's file formats. Nothing in these files is quoted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from oncofed.client.importing.mapping import Part, Source
from oncofed.client.importing.primary_samples import Samples, is_primary, prefer_primary
from oncofed.client.importing.readings import identifiers
from oncofed.cohort.table import Tell, read_table
from oncofed.cohort.text_form import TextForm
from oncofed.errors import Fault, InvalidInput
from oncofed.plain_file import file_content

_FORM = TextForm(separator="\t", comment="#", quoted=False)
_PATIENT, _SAMPLE, _KIND, _GENE = "PATIENT_ID", "SAMPLE_ID", "SAMPLE_TYPE", "Hugo_Symbol"
_BARCODE, _CLASS = "Tumor_Sample_Barcode", "Variant_Classification"
_STATUS, _NO_MUTATION = "Mutation_Status", ("wildtype", "none", "loh")
_CLINICAL = {Part.PATIENTS: "data_clinical_patient.txt", Part.SAMPLES: "data_clinical_sample.txt"}
_MUTATIONS, _PANELS, _SEQUENCED = "data_mutations.txt", "data_gene_panel_matrix.txt", "case_lists/cases_sequenced.txt"
_NOT_SEQUENCED = ("", "NA")
_OF_ROWS = (_GENE, "Entrez_Gene_Id", "Cytoband", "Composite.Element.REF", "ENTITY_STABLE_ID", "NAME", "DESCRIPTION")
"""Columns of a matrix that are no samples."""
ALL_GENES = None
"""Of a sample that was sequenced as a whole."""


def read_part(
    source: Source, folder: Path, wanted: Iterable[str], *, missing: tuple[str, ...], tell: Tell
) -> tuple[pd.DataFrame, str, str]:
    """The table of one part, its column of identifiers, and what faults call it. Raises InvalidInput.

    wanted  columns of a clinical file; genes (or other rows) of a molecular one, which become columns here.
    """
    study = folder / source.lies_at
    if not study.is_dir():
        raise InvalidInput([Fault(source.lies_at.name, "is not a folder", "Name the study folder of cBioPortal.")])
    patient = source.patient or _PATIENT
    if source.part in _CLINICAL:
        name = _CLINICAL[source.part]
        wanted = list(dict.fromkeys([*wanted, patient]))
        if source.part is Part.SAMPLES and not source.keep:
            return _samples(study / name, source, wanted, patient, missing, tell), patient, name
        frame = read_table(study / name, columns=wanted, form=_FORM)
        return frame, patient, name
    genes = [each for each in wanted if each != patient]
    samples = _samples_of_patients(study, patient)
    if source.part is Part.MATRIX:
        name = source.file or ""
        frame, found = _matrix(study / name, genes, samples, patient, tell)
    else:
        name = _MUTATIONS
        frame, found = _mutations(study, source, genes, samples, patient, folder, tell)
    primary = np.array([samples[each].primary for each in found], dtype=np.bool_)
    columns = [gene for gene in genes if gene in frame.columns]
    return _preferred(frame, source, patient, primary, columns, missing, name, tell), patient, name


def _preferred(
    frame: pd.DataFrame,
    source: Source,
    patient: str,
    primary: NDArray[np.bool_],
    columns: list[str],
    missing: tuple[str, ...],
    name: str,
    tell: Tell,
) -> pd.DataFrame:
    if source.samples is Samples.ALL:
        return frame
    preferred = prefer_primary(frame, identifiers(frame[patient]), primary, columns, ["", *missing])
    if preferred.patients:
        tell(f"{name}: of {preferred.patients} patients with several samples only those of the primary tumour count")
    return preferred.frame


def _samples(
    path: Path, source: Source, wanted: list[str], patient: str, missing: tuple[str, ...], tell: Tell
) -> pd.DataFrame:
    """The clinical table of samples, as it is wanted."""
    columns = list(dict.fromkeys([*wanted, _SAMPLE, _KIND]))
    frame = read_table(path, columns=columns, form=_FORM)
    if _SAMPLE not in frame.columns:
        return frame
    own = [column for column in wanted if column in frame.columns and column not in (patient, _SAMPLE, source.date)]
    return _preferred(frame, source, patient, _primary(frame), own, missing, path.name, tell)


def _primary(frame: pd.DataFrame) -> NDArray[np.bool_]:
    """(samples,)"""
    samples = identifiers(frame[_SAMPLE])
    kinds = identifiers(frame[_KIND]) if _KIND in frame.columns else pd.Series([None] * len(frame), dtype=object)
    return np.array([is_primary(*pair) for pair in zip(samples, kinds, strict=True)], dtype=np.bool_)


@dataclass(frozen=True)
class _Sample:
    """patient: whose it is. primary: whether it is of the primary tumour."""

    patient: str
    primary: bool


def _samples_of_patients(study: Path, patient: str) -> Mapping[str, _Sample]:
    """By SAMPLE_ID."""
    name = _CLINICAL[Part.SAMPLES]
    frame = _with_columns(study / name, [patient, _SAMPLE], also=[_KIND])
    samples, patients = identifiers(frame[_SAMPLE]), identifiers(frame[patient])
    doubled = samples[samples.notna()].duplicated(keep=False)
    if doubled.any():
        what, remedy = "rows share their SAMPLE_ID with another row", "Keep one row for each sample."
        raise InvalidInput([Fault(name, what, remedy, int(doubled.sum()))])
    return {
        sample: _Sample(who, primary)
        for sample, who, primary in zip(samples, patients, _primary(frame).tolist(), strict=True)
        if sample is not None and who is not None
    }


def _with_columns(path: Path, columns: list[str], *, also: list[str] | None = None) -> pd.DataFrame:
    """also: columns that the file may lack."""
    frame = read_table(path, columns=[*columns, *(also or [])], form=_FORM)
    absent = [column for column in columns if column not in frame.columns]
    if absent:
        remedy = "Export the study folder again."
        raise InvalidInput([Fault(f'{path.name}: column "{each}"', "is not in the file", remedy) for each in absent])
    return frame[[*columns, *(each for each in also or [] if each in frame.columns)]]


# --- mutations


def _mutations(
    study: Path, source: Source, genes: list[str], known: Mapping[str, _Sample], patient: str, folder: Path, tell: Tell
) -> tuple[pd.DataFrame, list[str]]:
    """A row for each sample that was sequenced, and which these are."""
    sequenced = _sequenced(study, source, folder, known)
    frame = _with_columns(study / _MUTATIONS, [_GENE, _BARCODE, _CLASS], also=[_STATUS])
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
    elsewhere = uncovered = quiet = germline = without = 0
    names = identifiers(frame[_GENE])
    status = frame[_STATUS].astype(str).str.strip().str.casefold() if _STATUS in frame.columns else [""] * len(frame)
    for gene, sample, kind, told in zip(
        names, identifiers(frame[_BARCODE]), identifiers(frame[_CLASS]), status, strict=True
    ):
        if gene not in of_gene:
            continue
        germline += told == "germline"
        if told in _NO_MUTATION:
            without += 1
        elif (kind or "").casefold() in silent:
            quiet += 1
        elif sample not in place:
            elsewhere += 1
        elif np.isnan(values[place[sample], of_gene[gene]]):
            uncovered += 1
        else:
            values[place[sample], of_gene[gene]] = 1.0
    for count, what in (
        (uncovered, "lie in genes that their sample's panel does not name, and do not count"),
        (without, "have the status Wildtype, None or LOH and do not count"),
        (quiet, "are of a silent class and do not count"),
        (germline, "are of the germline, and count as the others do"),
        (elsewhere, "are of no sample that was sequenced and is known, and do not count"),
    ):
        if count:
            tell(f"{_MUTATIONS}: {count} variants of these genes {what}")
    _tell_unnamed(genes, names, tell)
    return _by_sample(values, genes, [known[sample].patient for sample in samples], patient), samples


def _tell_unnamed(genes: Iterable[str], names: Iterable[str | None], tell: Tell) -> None:
    """A gene under another symbol than the file's would be 0 for everybody."""
    if absent := sorted(set(genes) - set(names)):
        listed = ", ".join(absent)
        tell(f"{_MUTATIONS}: no variant names {listed}: 0 wherever it was looked at. Is it the symbol of this file?")


def _sequenced(
    study: Path, source: Source, folder: Path, known: Mapping[str, _Sample]
) -> Mapping[str, frozenset[str] | None]:
    """The genes of each sample that was sequenced; None for all."""
    if (study / _PANELS).exists():
        frame = _with_columns(study / _PANELS, [_SAMPLE, "mutations"])
        pairs = {
            (sample, panel)
            for sample, panel in zip(identifiers(frame[_SAMPLE]), identifiers(frame["mutations"]), strict=True)
            if sample in known and panel not in (None, *_NOT_SEQUENCED)
        }
        panel_of = dict(pairs)
        if several := len(pairs) - len(panel_of):  # which genes were looked at would depend on the order of the rows
            what, remedy = "name two gene panels for one sample", "Keep the row of the sequencing that counts."
            raise InvalidInput([Fault(_PANELS, what, remedy, several)])
        panels = _panels(study if source.panels is None else folder / source.panels)
        unknown = sum(panel not in panels and panel not in source.whole for panel in panel_of.values())
        if unknown:
            what = "name a gene panel that no file data_gene_panel_*.txt describes"
            remedy = "Add the panel's file, or list the name under whole if it stands for all genes."
            raise InvalidInput([Fault(_PANELS, what, remedy, unknown)])
        return {sample: panels.get(panel, ALL_GENES) for sample, panel in panel_of.items()}
    if (study / _SEQUENCED).exists():
        for line in file_content(study / _SEQUENCED).decode("utf-8", "replace").splitlines():
            if line.startswith("case_list_ids:"):
                return dict.fromkeys(line.partition(":")[2].split(), ALL_GENES)
    what = f"says nowhere which samples were sequenced: there is neither {_PANELS} nor {_SEQUENCED}"
    raise InvalidInput([Fault(source.lies_at.name, what, "Export one of the two: not sequenced is not the same as 0.")])


def _panels(folder: Path) -> Mapping[str, frozenset[str]]:
    """The genes of each panel that a file data_gene_panel_*.txt of the folder describes, by its stable_id."""
    found = {}
    for path in sorted(folder.glob("data_gene_panel_*.txt")):
        if path.name == _PANELS:
            continue
        told = {}
        for line in file_content(path).decode("utf-8", "replace").splitlines():
            key, colon, value = line.partition(":")
            if colon:
                told[key.strip()] = value.strip()
        if "stable_id" not in told or "gene_list" not in told:
            what = "does not describe a gene panel"
            raise InvalidInput([Fault(path.name, what, "It needs the lines stable_id: and gene_list:.")])
        found[told["stable_id"]] = frozenset(told["gene_list"].split())
    return found


# --- matrices: copy number, expression, proteins


def _matrix(
    path: Path, genes: list[str], known: Mapping[str, _Sample], patient: str, tell: Tell
) -> tuple[pd.DataFrame, list[str]]:
    """Rows are genes and columns samples. Only the lines of the wanted genes are parsed.

    returns  a row for each sample, and which these are.
    """
    header, lines = _lines_of(path, set(genes))
    samples = [(column, name) for column, name in enumerate(header) if name in known]
    if not samples:
        what = "has no column of a sample of data_clinical_sample.txt"
        raise InvalidInput([Fault(path.name, what, "Check that both are of one study.")])
    if other := sum(name not in known and name not in _OF_ROWS for name in header):
        tell(f"{path.name}: {other} columns are of no sample of {_CLINICAL[Part.SAMPLES]}, and do not count")
    cells: dict[str, list[str]] = {}
    for line in lines:
        if len(line) != len(header):
            what = "some rows have more or fewer cells than the header"
            raise InvalidInput([Fault(path.name, what, "Export it again.")])
        if line[0] in cells:
            fault = Fault(f'{path.name}: row "{line[0]}"', "stands there more than once", "Keep one of them.")
            raise InvalidInput([fault])
        cells[line[0]] = [line[column] for column, _ in samples]
    columns = {
        gene: ["" if cell in _NOT_SEQUENCED else cell for cell in cells[gene]] for gene in genes if gene in cells
    }
    if absent := [gene for gene in genes if gene not in cells]:
        tell(f"{path.name}: no row for {', '.join(absent)}: not measured")
    whose = [known[name].patient for _, name in samples]
    return pd.DataFrame({patient: whose, **columns}, dtype=object), [name for _, name in samples]


def _lines_of(path: Path, genes: set[str]) -> tuple[list[str], list[list[str]]]:
    """The header, and the lines of these genes, each as its cells."""
    content = file_content(path)
    header: list[str] | None = None
    found = []
    try:
        for line in content.split(b"\n"):
            if line.startswith(b"#") or not line.strip():
                continue
            if header is None:
                header = line.decode().rstrip("\r").split("\t")
            elif line.partition(b"\t")[0].decode() in genes:
                found.append(line.decode().rstrip("\r").split("\t"))
    except UnicodeError:
        header = None
    if header is None:
        raise InvalidInput([Fault(path.name, "is empty, or no UTF-8 text", "Export it again.")])
    return header, found


def _by_sample(values: NDArray[np.float64], genes: list[str], patients: list[str], patient: str) -> pd.DataFrame:
    columns = {gene: values[:, column] for column, gene in enumerate(genes)}
    return pd.DataFrame({patient: pd.Series(patients, dtype=object), **columns})
