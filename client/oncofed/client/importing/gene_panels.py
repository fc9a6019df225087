"""Which genes were looked at in each sample of a study folder of cBioPortal?

By the gene panel matrix, which names a panel for each sample and molecular profile, or a file meta_*.txt, which names
one for all samples, and the files of these panels; for mutations also by the case list of sequenced samples. Promise:
what was not looked at is not measured, and never 0; where nothing says which samples were sequenced, the folder is
refused.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd

from oncofed.client.importing.mapping import Source
from oncofed.client.importing.readings import Column, identifiers
from oncofed.client.importing.study_names import SAMPLE, samples_meant
from oncofed.cohort.table import read_table
from oncofed.cohort.text_form import TextForm
from oncofed.errors import Fault, InvalidInput
from oncofed.plain_file import file_content

FORM = TextForm(separator="\t", comment="#", quoted=False)
"""How the files of a study folder are written."""
NOT_SEQUENCED = ("", "NA")
ALL_GENES = None
"""Of a sample that was sequenced as a whole."""
MUTATIONS, _OLDER = "data_mutations.txt", "data_mutations_extended.txt"
"""And as older public folders call it."""
_PANEL = "gene_panel"
"""The property of a file meta_*.txt that names one panel for all samples of its profile."""
_HEAD = 100
"""Lines of a file among which such a list may stand."""
_PANELS, _SEQUENCED = "data_gene_panel_matrix.txt", "case_lists/cases_sequenced.txt"
_PROFILES = {"data_cna.txt": "cna", "data_sv.txt": "structural_variants"}
"""The usual column of the panel matrix for a file."""


def mutations_of(study: Path) -> str:
    """How this folder calls the file of mutations."""
    return _OLDER if (study / _OLDER).is_file() and not (study / MUTATIONS).is_file() else MUTATIONS


def with_columns(path: Path, columns: list[str], *, also: list[str] | None = None) -> pd.DataFrame:
    """also: columns that the file may lack."""
    frame = read_table(path, columns=[*columns, *(also or [])], form=FORM)
    absent = [column for column in columns if column not in frame.columns]
    if absent:
        remedy = "Export the study folder again."
        raise InvalidInput([Fault(f'{path.name}: column "{each}"', "is not in the file", remedy) for each in absent])
    return frame[[*columns, *(each for each in also or [] if each in frame.columns)]]


def genes_sequenced(
    study: Path, source: Source, folder: Path, known: Collection[str]
) -> Mapping[str, frozenset[str] | None]:
    """The genes of each sample that was sequenced; None for all. Raises InvalidInput where there is none."""
    for name, told in _told(study, source, folder, known):
        if not told.keys() & set(known):
            what = "names no sample of the study as sequenced, so that no gene would be measured in anybody"
            remedy = f"Write samples there as under {SAMPLE} in the clinical file, or map the genes as not_measured."
            raise InvalidInput([Fault(name, what, remedy)])
        return told
    what = f"says nowhere which samples were sequenced: there is neither {_PANELS} nor {_SEQUENCED}"
    raise InvalidInput([Fault(source.lies_at.name, what, "Export one of the two: not sequenced is not the same as 0.")])


def _told(
    study: Path, source: Source, folder: Path, known: Collection[str]
) -> Iterator[tuple[str, Mapping[str, frozenset[str] | None]]]:
    """The files that say which samples were sequenced, and for which genes; the most exact one first."""
    metas = _metas_of(study, mutations_of(study))
    one_for_all = any(each.get(_PANEL, "") not in NOT_SEQUENCED for each in metas)
    if (study / _PANELS).exists():  # its column may be absent where one panel is told for all
        must, may = ([SAMPLE], ["mutations"]) if one_for_all else ([SAMPLE, "mutations"], [])
        frame = with_columns(study / _PANELS, must, also=may)
        if "mutations" in frame.columns:
            yield _PANELS, _genes_of(_panel_of(frame, "mutations", known, source), _PANELS, study, source, folder)
    for name, begin in ((_SEQUENCED, b"case_list_ids:"), (mutations_of(study), b"#sequenced_samples:")):
        for line in file_content(study / name).split(b"\n", _HEAD)[:_HEAD] if (study / name).exists() else ():
            if line.startswith(begin):
                names = line.removeprefix(begin).decode("utf-8", "replace").split()
                listed = [*samples_meant(names, known, source, name).values()]
                genes = _genes_of_all(metas, listed, study, source, folder)
                yield name, {sample: genes.get(sample, ALL_GENES) for sample in listed}


def is_covered(panels: Mapping[str, frozenset[str] | None], sample: str, gene: str) -> bool:
    genes = panels.get(sample, ALL_GENES)
    return genes is ALL_GENES or gene in genes


def _panel_of(frame: pd.DataFrame, column: str, known: Collection[str], source: Source) -> dict[str, str]:
    """The panel of each sample for which this column of the panel matrix names one."""
    names = identifiers(Column(frame[SAMPLE]))
    meant = samples_meant(names.dropna().unique().tolist(), known, source, f'{_PANELS}: column "{SAMPLE}"')
    pairs = {
        (meant[sample], panel)
        for sample, panel in zip(names, identifiers(Column(frame[column])), strict=True)
        if sample in meant and panel not in (None, *NOT_SEQUENCED)
    }
    panel_of = dict(pairs)
    if several := len(pairs) - len(panel_of):  # which genes were looked at would depend on the order of the rows
        what, remedy = "name two gene panels for one sample", "Keep the row of the sequencing that counts."
        raise InvalidInput([Fault(_PANELS, what, remedy, several)])
    return panel_of


def _genes_of(
    panel_of: Mapping[str, str], where: str, study: Path, source: Source, folder: Path
) -> Mapping[str, frozenset[str] | None]:
    """The genes of each of these samples, by its panel; None for all. where: what says the panel."""
    panels = _panels(study if source.panels is None else folder / source.panels)
    unknown = sum(panel not in panels and panel not in source.whole for panel in panel_of.values())
    if unknown:
        what = "name a gene panel that no file data_gene_panel_*.txt describes"
        remedy = "Add the panel's file, or list the name under whole if it stands for all genes."
        raise InvalidInput([Fault(where, what, remedy, unknown)])
    return {sample: panels.get(panel, ALL_GENES) for sample, panel in panel_of.items()}


def genes_of_matrix(
    study: Path, source: Source, folder: Path, known: Collection[str]
) -> Mapping[str, frozenset[str] | None]:
    """The genes of each sample of which the study says a panel for this file; of any other sample, every cell counts.

    Copy number is told for genes that the sample's panel lacks, as 0. The column is that of the profile: what a file
    meta_*.txt calls its stable_id, or the usual name where none does.
    """
    metas = _metas_of(study, source.file or "")
    usual = _PROFILES.get((source.file or "").casefold(), "")
    names = {told["stable_id"] for told in metas if told.get("stable_id")} or {usual} - {""}
    genes = dict(_genes_of_all(metas, known, study, source, folder))
    if names and (study / _PANELS).exists():
        frame = read_table(study / _PANELS, columns=[SAMPLE, *names], form=FORM)
        columns = [str(column) for column in frame.columns if column != SAMPLE]
        if SAMPLE in frame.columns and columns:
            genes |= _genes_of(_panel_of(frame, columns[0], known, source), _PANELS, study, source, folder)
    return genes


def _genes_of_all(
    metas: Sequence[Mapping[str, str]], samples: Collection[str], study: Path, source: Source, folder: Path
) -> Mapping[str, frozenset[str] | None]:
    """Of each of these samples, where a file meta_*.txt names one panel for all: the way without a panel matrix."""
    told = {each.get(_PANEL, "") for each in metas} - {*NOT_SEQUENCED}
    if len(told) > 1:
        fault = Fault("meta_*.txt", f"name several panels for one file ({_PANEL})", "Keep that of the file's profile.")
        raise InvalidInput([fault])
    panel_of = {sample: panel for panel in told for sample in samples}
    return _genes_of(panel_of, f"meta_*.txt: {_PANEL}", study, source, folder)


def _metas_of(study: Path, name: str) -> list[Mapping[str, str]]:
    """What the files meta_*.txt that name this file say of it."""
    told = (_properties(path) for path in sorted(study.glob("meta_*.txt")))
    return [each for each in told if each.get("data_filename") == name]


def _properties(path: Path) -> dict[str, str]:
    """Its lines `key: value`."""
    lines = file_content(path).decode("utf-8", "replace").splitlines()
    return {key.strip(): value.strip() for key, colon, value in (line.partition(":") for line in lines) if colon}


def _panels(folder: Path) -> Mapping[str, frozenset[str]]:
    """The genes of each panel that a file data_gene_panel_*.txt of the folder describes, by its stable_id."""
    found: dict[str, frozenset[str]] = {}
    for path in sorted(folder.glob("data_gene_panel_*.txt")):
        if path.name == _PANELS:
            continue
        told = _properties(path)
        if "stable_id" not in told or "gene_list" not in told:
            what = "does not describe a gene panel"
            raise InvalidInput([Fault(path.name, what, "It needs the lines stable_id: and gene_list:.")])
        genes = frozenset(told["gene_list"].split())
        if found.setdefault(told["stable_id"], genes) != genes:
            what = "describes a gene panel that another file describes with other genes"
            raise InvalidInput([Fault(path.name, what, "Keep the file of the panel that was used.")])
    return found
