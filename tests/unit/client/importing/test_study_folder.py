"""Is the truth that an invented cBioPortal folder was written from what an import finds in it?"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.small_tables import SCHEMA

from oncofed.client.importing import cbioportal
from oncofed.client.importing.cbioportal import read_part
from oncofed.client.importing.cohort_import import ImportedCohort, import_cohort
from oncofed.client.importing.gene_panels import is_covered
from oncofed.client.importing.mapping import Source
from oncofed.client.importing.mapping_choices import Near, Part
from oncofed.client.importing.mapping_file import read_mapping
from oncofed.client.importing.primary_samples import is_primary, prefer_primary
from oncofed.errors import InvalidInput
from studies.study_folder.make_folder import study_folder

EXAMPLE = Path(__file__).resolve().parents[4] / "simulations" / "studies" / "study_folder"
FOLDER = study_folder()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FOLDER.files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    for name in ("schema.toml", "mapping.toml"):
        shutil.copy(EXAMPLE / name, tmp_path)
    return tmp_path


def imported(folder: Path) -> ImportedCohort:
    return import_cohort(read_mapping(folder / "mapping.toml"))


def change(path: Path, *pairs: tuple[str, str]) -> None:
    text = path.read_text()
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new, 1)
    path.write_text(text)


def assert_is(found: pd.DataFrame, truth: pd.DataFrame) -> None:
    assert list(found["patient_id"]) == list(truth["patient_id"])
    for column in truth.columns:
        if truth[column].dtype == object:
            assert list(found[column]) == list(truth[column]), column
        else:
            np.testing.assert_array_equal(found[column].to_numpy(dtype=float), truth[column].to_numpy(), err_msg=column)


def test_the_truth_is_recovered_exactly(folder: Path) -> None:
    assert_is(imported(folder).table.to_pandas(), FOLDER.truth)


def test_a_gene_that_a_panel_lacks_is_not_measured_and_not_0(folder: Path) -> None:
    """The truth has both kinds, and taking not sequenced for 0 would be seen."""
    stk11, tp53 = FOLDER.truth["STK11_mut"], FOLDER.truth["TP53_mut"]
    assert stk11.isna().sum() > tp53.isna().sum() > 0
    assert (stk11 == 0).sum() > 50
    found = imported(folder).table.to_pandas()
    assert found["STK11_mut"].isna().sum() == stk11.isna().sum()


def test_silent_variants_do_not_count_unless_the_mapping_says_so(folder: Path) -> None:
    before = imported(folder).table.to_pandas()["TP53_mut"]
    notes = [note for source in imported(folder).report.sources for note in source.notes]
    assert any("of a silent class and do not count" in note for note in notes)
    change(folder / "mapping.toml", ('whole = ["WES"]', 'whole = ["WES"]\nsilent = []'))
    after = imported(folder).table.to_pandas()["TP53_mut"]
    assert after.sum() > before.sum()
    assert after.isna().equals(before.isna())


def test_a_marker_of_samples_counts_the_kept_samples_alone(folder: Path) -> None:
    source = '[[source]]\nname = "samples"\npath = "."\npart = "cbioportal_samples"\n'
    source += 'keep = { SAMPLE_TYPE = ["Metastasis"] }\n\n[[outcome]]'
    marker = 'source = "samples"\ncolumn = "SAMPLE_TYPE"\nwords = { Metastasis = "1" }\nwithout_row = "0"'
    sex = 'column = "SEX"\nwords = { Female = "1", Male = "0" }'
    change(folder / "mapping.toml", ("[[outcome]]", source), (sex, marker))
    found = imported(folder).table.to_pandas().set_index("patient_id")["female"]
    lines = FOLDER.files["data_clinical_sample.txt"].splitlines()
    metastatic = {line.split("\t")[0] for line in lines if line.endswith("\tMetastasis")}
    assert set(found[found == 1].index) == metastatic
    assert (found == 0).sum() == len(found) - len(metastatic) > 0


def test_where_nothing_says_which_samples_were_sequenced_the_folder_is_refused(folder: Path) -> None:
    (folder / "data_gene_panel_matrix.txt").unlink()
    with pytest.raises(InvalidInput, match="says nowhere which samples were sequenced"):
        imported(folder)
    (folder / "case_lists").mkdir()
    listed = [line.split("\t")[1] for line in FOLDER.files["data_clinical_sample.txt"].splitlines()[5:]][:50]
    (folder / "case_lists" / "cases_sequenced.txt").write_text(
        "stable_id: x\ncase_list_ids: " + "\t".join(listed) + "\n"
    )
    found = imported(folder).table.to_pandas().set_index("patient_id")["STK11_mut"]
    sequenced = {name.rpartition("-T")[0] for name in listed}
    assert set(found[found.notna()].index) == sequenced


def test_a_panel_that_nobody_describes_is_a_fault(folder: Path) -> None:
    change(folder / "mapping.toml", ('whole = ["WES"]\n', ""))
    count = FOLDER.files["data_gene_panel_matrix.txt"].count("\tWES\n")
    with pytest.raises(InvalidInput, match=rf"name a gene panel that no file .* describes \({count} rows\)"):
        imported(folder)


def test_a_variant_outside_of_its_samples_panel_does_not_count_and_is_told(folder: Path) -> None:
    small = next(
        line.split("\t")[0]
        for line in FOLDER.files["data_gene_panel_matrix.txt"].splitlines()
        if line.endswith("\tSMALL") and "-T1" in line
    )
    with (folder / "data_mutations.txt").open("a") as file:
        file.write(f"STK11\t1\t{small}\tMissense_Mutation\n")
    found = imported(folder)
    notes = [note for source in found.report.sources for note in source.notes]
    assert any(
        "1 variants of these genes lie in genes that their sample's panel does not name" in note for note in notes
    )
    assert_is(found.table.to_pandas(), FOLDER.truth)


def test_a_gene_without_a_row_is_not_measured_and_told(folder: Path) -> None:
    change(folder / "mapping.toml", ('column = "CD274"', 'column = "PDCD1"'))
    found = imported(folder)
    assert found.table.to_pandas()["CD274_z"].isna().all()
    assert any("no row for PDCD1: not measured" in note for source in found.report.sources for note in source.notes)


@pytest.mark.parametrize(
    ("name", "old", "new", "words"),
    [
        ("data_cna.txt", "MYC\t2", "CDKN2A\t2", 'row "CDKN2A": stands there more than once'),
        ("data_cna.txt", "CDKN2A\t1\t", "CDKN2A\t1\t\t", "more or fewer cells than the header"),
        (
            "data_clinical_sample.txt",
            "-T1\tPrimary",
            "-T1\tPrimary\nP-0001\tP-0001-T1\tPrimary",
            "share their SAMPLE_ID",
        ),
        ("data_gene_panel_small.txt", "gene_list", "genes", "does not describe a gene panel"),
        ("data_clinical_patient.txt", "PATIENT_ID\tAGE", "PATIENT_ID\tALTER", 'column "AGE": is not in the file'),
        ("data_clinical_patient.txt", "1:DECEASED", "1:DEAD", "is a word that the mapping does not list"),
    ],
)
def test_a_damaged_folder_is_refused_and_not_quoted(folder: Path, name: str, old: str, new: str, words: str) -> None:
    text = FOLDER.files[name]
    begin = text.rindex(old) if old.startswith("PATIENT_ID") else text.index(old)
    if name == "data_clinical_sample.txt":
        begin = text.index("P-0001-T1\tPrimary") + len("P-0001")
    (folder / name).write_text(text[:begin] + new + text[begin + len(old) :])
    with pytest.raises(InvalidInput, match=words) as caught:
        imported(folder)
    assert "P-0" not in str(caught.value)


def with_status(folder: Path, status: str) -> pd.DataFrame:
    """The variants, all of them with this status."""
    path = folder / "data_mutations.txt"
    remarks = [line for line in path.read_text().splitlines() if line.startswith("#")]
    header, *rows = (line for line in path.read_text().splitlines() if not line.startswith("#"))
    path.write_text("\n".join([*remarks, f"{header}\tMutation_Status", *(f"{row}\t{status}" for row in rows)]) + "\n")
    found: pd.DataFrame = imported(folder).table.to_pandas()
    return found


@pytest.mark.parametrize("status", ["Somatic", "Germline", ""])
def test_variants_count_whatever_they_come_from(folder: Path, status: str) -> None:
    assert_is(with_status(folder, status), FOLDER.truth)


@pytest.mark.parametrize("status", ["Wildtype", "None", "wildtype", "LOH"])
def test_a_row_that_says_there_is_no_mutation_is_none(folder: Path, status: str) -> None:
    found = with_status(folder, status)
    assert found["TP53_mut"].max() == 0
    assert FOLDER.truth["TP53_mut"].max() == 1
    assert list(found["TP53_mut"].isna()) == list(FOLDER.truth["TP53_mut"].isna())
    assert any("have the status Wildtype, None or LOH" in note for note in imported(folder).report.sources[1].notes)


def test_a_gene_that_no_variant_names_is_told(folder: Path) -> None:
    path = folder / "data_mutations.txt"
    path.write_text(path.read_text().replace("EGFR\t", "ERBB1\t"))
    assert any("no variant names EGFR" in note for note in imported(folder).report.sources[1].notes)


MUTATED = 'names = ["TP53_mut", "KRAS_mut", "STK11_mut", "EGFR_mut"]'


def with_genes(folder: Path, pattern: str, other: str) -> None:
    path = folder / "data_mutations.txt"
    changed = re.sub(pattern, other, path.read_text(), flags=re.MULTILINE)
    assert changed != path.read_text()
    path.write_text(changed)


@pytest.mark.parametrize(
    ("pattern", "other"),
    [
        (r"^(TP53|KRAS|STK11|EGFR)\t", r"X\1\t"),  # numbers of Entrez, another species
        (r"^[^#H].*\n", ""),  # not exported
    ],
)
def test_that_no_variant_names_a_gene_of_the_study_is_refused_unless_the_mapping_says_that_it_may_be(
    pattern: str, other: str, folder: Path
) -> None:
    with_genes(folder, pattern, other)
    with pytest.raises(InvalidInput, match="no variant names TP53, KRAS, STK11, EGFR: all who were"):
        imported(folder)
    change(folder / "mapping.toml", (MUTATED, f"{MUTATED}\nmay_be_of_nobody = true"))
    assert imported(folder).table.to_pandas()["TP53_mut"].max() == 0


def test_that_nobody_may_have_a_marker_is_said_of_variants_and_beside_without_row_alone(folder: Path) -> None:
    change(folder / "mapping.toml", ('column = "SEX"', 'column = "SEX"\nmay_be_of_nobody = true'))
    with pytest.raises(InvalidInput, match="may_be_of_nobody: has no meaning without without_row"):
        imported(folder)


@pytest.mark.parametrize(
    ("pattern", "other", "told"),
    [
        (r"\A((?:.*\n)+?.*)^TP53\t", r"\1\t", r"names no gene, so that .*\(1 row\)"),
        ("^TP53\t", "tp53\t", "would be a gene of the mapping but for"),
    ],
)
def test_a_variant_whose_gene_is_not_told_or_written_otherwise_is_refused(
    pattern: str, other: str, told: str, folder: Path
) -> None:
    """Its patient would have 0."""
    with_genes(folder, pattern, other)
    with pytest.raises(InvalidInput, match=told):
        imported(folder)


def nearly(folder: Path, name: str, pattern: str, other: str) -> None:
    path = folder / name
    changed = re.sub(pattern, other, path.read_text(), flags=re.MULTILINE)
    assert changed != path.read_text()
    path.write_text(changed)


@pytest.mark.parametrize(
    ("name", "pattern", "other", "key"),
    [
        ("data_mutations.txt", "^TP53\t", "Tp-53\t", "words"),
        ("data_gene_panel_small.txt", "TP53", "tp53", "words"),
        ("data_cna.txt", "^CDKN2A\t", "CDKN-2A\t", "words"),
        ("data_mutations.txt", r"P-(\d{4})-T", r"P.\1.T", "identifiers"),
        ("data_gene_panel_matrix.txt", r"P-000(\d)-T", r"P-\1-T", "identifiers"),
        ("data_cna.txt", r"P-(\d{4})-T", r"P.\1.T", "identifiers"),
        ("data_clinical_sample.txt", r"\bP-(\d{4})\t", r"P\1\t", "identifiers"),
    ],
)
def test_of_genes_and_samples_that_are_nearly_written_so_the_mapping_says_what_they_are(
    folder: Path, name: str, pattern: str, other: str, key: str
) -> None:
    """In every file of the folder; R writes points for dashes."""
    nearly(folder, name, pattern, other)
    with pytest.raises(InvalidInput, match=f'would be .*near_{key} = "alike"'):
        imported(folder)
    mapping = folder / "mapping.toml"
    mapping.write_text(re.sub('(?m)^path = ".*"$', rf'\g<0>\nnear_{key} = "alike"', mapping.read_text()))
    assert_is(imported(folder).table.to_pandas(), FOLDER.truth)


def test_a_gene_that_neither_a_variant_nor_a_panel_names_is_asked_of_the_mapping(folder: Path) -> None:
    """It may have another symbol here (MLL2 is KMT2D), and everybody would have 0."""
    nearly(folder, "data_mutations.txt", "^EGFR\t", "ERBB1\t")
    assert imported(folder).table.to_pandas()["EGFR_mut"].max() == 0  # the panels have the symbol
    for panel in folder.glob("data_gene_panel_*e.txt"), folder.glob("data_gene_panel_*l.txt"):
        for path in panel:
            path.write_text(path.read_text().replace("EGFR", "ERBB1"))
    with pytest.raises(InvalidInput, match=r'no variant and no panel names EGFR: .*may_be_absent = \["EGFR"\]'):
        imported(folder)
    change(folder / "mapping.toml", (MUTATED, f'{MUTATED}\nmay_be_absent = ["EGFR"]'))
    assert imported(folder).table.to_pandas()["EGFR_mut"].max() == 0


@pytest.mark.parametrize(
    "row", ["\t1\tP-0001-T1\tSilent", "tp53\t1\tP-0001-T1\tSilent", "Unknown\t1\tP-0001-T1\tMissense_Mutation"]
)
def test_a_variant_without_a_gene_that_does_not_count_is_no_fault(row: str, folder: Path) -> None:
    with (folder / "data_mutations.txt").open("a") as file:
        file.write(f"{row}\n")
    assert_is(imported(folder).table.to_pandas(), FOLDER.truth)


def test_two_panels_of_one_sample_are_a_fault(folder: Path) -> None:
    path = folder / "data_gene_panel_matrix.txt"
    *_, last = path.read_text().splitlines()
    sample, panel, *_ = last.split("\t")
    path.write_text(path.read_text() + last.replace(panel, "LARGE" if panel != "LARGE" else "SMALL", 1) + "\n")
    with pytest.raises(InvalidInput, match="name two gene panels for one sample") as refused:
        imported(folder)
    assert sample not in str(refused.value)


@pytest.mark.parametrize("rows", [("other\tLARGE", "other\tSMALL"), ("{sample}\tNA",)])
def test_panels_of_samples_that_nobody_has_and_samples_not_sequenced_harm_nobody(
    folder: Path, rows: tuple[str, ...]
) -> None:
    path = folder / "data_gene_panel_matrix.txt"
    sample = path.read_text().splitlines()[-1].split("\t")[0]
    columns = path.read_text().splitlines()[-1].count("\t")
    more = [row.format(sample=sample) + "\tNA" * (columns - 1) for row in rows]
    path.write_text(path.read_text() + "\n".join(more) + "\n")
    assert_is(imported(folder).table.to_pandas(), FOLDER.truth)


def test_columns_of_a_matrix_that_are_of_no_sample_are_counted(folder: Path) -> None:
    path = folder / "data_cna.txt"
    header, *rows = path.read_text().splitlines()
    assert not any("are of no sample" in note for source in imported(folder).report.sources for note in source.notes)
    path.write_text("\n".join([f"{header}\tP-9999-T1", *(f"{row}\t2" for row in rows)]) + "\n")
    found = imported(folder)
    notes = [note for source in found.report.sources for note in source.notes]
    assert "data_cna.txt: 1 columns are of no sample of data_clinical_sample.txt, and do not count" in notes
    assert_is(found.table.to_pandas(), FOLDER.truth)


def sequenced(folder: Path) -> set[str]:
    found = imported(folder).table.to_pandas().set_index("patient_id")["STK11_mut"]
    return {*found[found.notna()].index}


def test_the_samples_that_the_head_of_the_mutations_lists_were_sequenced(folder: Path) -> None:
    (folder / "data_gene_panel_matrix.txt").unlink()
    change(folder / "data_mutations.txt", ("#version 2.4\n", "#version 2.4\n#sequenced_samples: P-0001-T1 P-0002-T1\n"))
    assert sequenced(folder) == {"P-0001", "P-0002"}
    (folder / "case_lists").mkdir()
    (folder / "case_lists" / "cases_sequenced.txt").write_text("case_list_ids: P-0002-T1\tP-0004-T1\n")
    assert sequenced(folder) == {"P-0002", "P-0004"}


@pytest.mark.parametrize("listed", ["", "X-0001-T1\tP-0001", "P-0001-T1A"])
def test_where_no_sample_of_the_study_was_sequenced_the_folder_is_refused(folder: Path, listed: str) -> None:
    panels = folder / "data_gene_panel_matrix.txt"
    panels.write_text("SAMPLE_ID\tmutations\n" + "".join(f"{each}\tSMALL\n" for each in listed.split()))
    with pytest.raises(InvalidInput, match=r"data_gene_panel_matrix.txt: names no sample of the study as sequenced"):
        imported(folder)
    panels.unlink()
    (folder / "case_lists").mkdir()
    (folder / "case_lists" / "cases_sequenced.txt").write_text(f"case_list_ids:{listed}\n")
    with pytest.raises(InvalidInput, match=r"cases_sequenced.txt: names no sample of the study as sequenced"):
        imported(folder)


def test_one_panel_has_the_same_genes_in_every_file_that_describes_it(folder: Path) -> None:
    small = folder / "data_gene_panel_small.txt"
    again = folder / "data_gene_panel_small_2.txt"
    again.write_text(small.read_text().replace("TP53\tKRAS", "KRAS\tTP53"))
    assert_is(imported(folder).table.to_pandas(), FOLDER.truth)
    again.write_text(small.read_text().replace("TP53", "BRAF"))
    with pytest.raises(InvalidInput, match="that another file describes with other genes"):
        imported(folder)


def test_the_symbols_of_a_matrix_may_stand_behind_other_columns(folder: Path) -> None:
    path = folder / "data_cna.txt"
    rows = [line.split("\t") for line in path.read_text().splitlines()]
    path.write_text("".join("\t".join([row[1], row[0], *row[2:]]) + "\n" for row in rows))
    assert_is(imported(folder).table.to_pandas(), FOLDER.truth)
    path.write_text("".join("\t".join([*row[1:], row[0]]) + "\r\n" for row in rows))
    assert_is(imported(folder).table.to_pandas(), FOLDER.truth)


def test_an_encoding_that_would_be_passed_over_is_refused(folder: Path) -> None:
    change(folder / "mapping.toml", ('whole = ["WES"]', 'whole = ["WES"]\nencoding = "windows-1252"'))
    with pytest.raises(InvalidInput, match="encoding: has no meaning for this part"):
        imported(folder)


def test_two_columns_of_one_sample_are_a_fault(folder: Path) -> None:
    change(folder / "data_cna.txt", ("P-0002-T1", "P-0001-T1"))
    with pytest.raises(InvalidInput, match=r"data_cna.txt: has several columns of one sample \(1 row\)"):
        imported(folder)


def test_a_silent_class_has_no_capitals(folder: Path) -> None:
    path = folder / "data_mutations.txt"
    assert "\tSilent" in path.read_text()
    path.write_text(path.read_text().replace("\tSilent", "\tsilent"))
    assert_is(imported(folder).table.to_pandas(), FOLDER.truth)


def tp53_as(folder: Path, name: str) -> None:
    """The markers, panels and variants of TP53 are of another gene."""
    for path in folder.iterdir():
        if path.is_file():
            path.write_text(path.read_text().replace("TP53", name))


def test_a_variant_of_the_promoter_of_tert_counts(folder: Path) -> None:
    """As cBioPortal's own loader has it; in front of other genes lies none that is known."""
    tp53_as(folder, "TERT")
    before = imported(folder).table.to_pandas()
    path = folder / "data_mutations.txt"
    nearly(folder, path.name, r"^(TERT\t.*)Missense_Mutation", r"\g<1>5'Flank")
    assert "5'Flank" in path.read_text()
    assert_is(imported(folder).table.to_pandas(), before)
    path.write_text(path.read_text().replace("5'Flank", "3'Flank"))
    assert not imported(folder).table.to_pandas().equals(before)


@pytest.mark.parametrize(
    ("gene", "written", "words"),
    [
        ("TP53", "TP53;WRAP53", "names several genes"),
        ("TP53", "WRAP53, TP53", "names several genes"),
        *[("TP53", each, "names several genes") for each in ("tp53;wrap53", "TP-53/WRAP53")],
        ("TERT", "TERT;CLPTM1L", "names several genes"),
        *[("SEPT9", each, "holds a day") for each in ("9-Sep", "Sep-09", "Sep 9", "9-Sept", "9. September", "45544")],
        *[("SEPTIN9", each, "holds a day") for each in ("2024-09-09", "09.09.2024", "2024-09-09T00:00:00")],
        *[("MARCH1", each, "holds a day") for each in ("01. Mrz", "1. M\u00e4r", "1-mar", "Mar-01")],
        *[("DEC1", each, "holds a day") for each in ("1-Dez", "1-dic", "1. Dez 24", "4-Okt")],
    ],
)
def test_a_cell_of_several_genes_or_of_a_day_is_no_silent_0(folder: Path, gene: str, written: str, words: str) -> None:
    tp53_as(folder, gene)
    path = folder / "data_mutations.txt"
    text = re.sub(f"(?m)^{gene}\t", f"{written}\t", path.read_text(), count=1)
    if gene == "TERT":
        text = re.sub(f"(?m)^({written}\t.*)Missense_Mutation", "\\g<1>5\u2019Flank", text)
    path.write_text(text)
    with pytest.raises(InvalidInput, match=words):
        imported(folder)


def test_a_day_among_genes_does_no_harm_where_none_of_the_mapping_is_like_one(folder: Path) -> None:
    path = folder / "data_mutations.txt"
    _, *variant = path.read_text().splitlines()[-1].split("\t")
    path.write_text(path.read_text() + "\t".join(["9-Sep", *variant]) + "\n")
    assert_is(imported(folder).table.to_pandas(), FOLDER.truth)


def test_the_older_name_of_the_mutations_is_read(folder: Path) -> None:
    (folder / "data_mutations.txt").rename(folder / "data_mutations_extended.txt")
    assert_is(imported(folder).table.to_pandas(), FOLDER.truth)


def metastasis_with_variant(folder: Path) -> str:
    """A patient whose primary tumour was sequenced for TP53 without a variant, while the metastasis has one."""
    truth = FOLDER.truth.set_index("patient_id")["TP53_mut"]
    panels = dict(line.split("\t") for line in FOLDER.files["data_gene_panel_matrix.txt"].splitlines()[1:])
    patient = next(
        name.removesuffix("-T2")
        for name, panel in panels.items()
        if name.endswith("-T2") and panel != "NA" != panels[f"{name.removesuffix('-T2')}-T1"]
        if truth[name.removesuffix("-T2")] == 0
    )
    with (folder / "data_mutations.txt").open("a") as file:
        file.write(f"TP53\t1\t{patient}-T2\tMissense_Mutation\n")
    return patient


def test_the_primary_tumour_counts_and_not_the_metastasis(folder: Path) -> None:
    patient = metastasis_with_variant(folder)
    found = imported(folder)
    assert found.table.to_pandas().set_index("patient_id").loc[patient, "TP53_mut"] == 0
    notes = [note for source in found.report.sources for note in source.notes]
    assert any("patients with several samples only those of the primary tumour count" in note for note in notes)
    change(folder / "mapping.toml", ('whole = ["WES"]', 'whole = ["WES"]\nsamples = "all"'))
    found = imported(folder)
    assert found.table.to_pandas().set_index("patient_id").loc[patient, "TP53_mut"] == 1
    assert not any("primary tumour" in note for source in found.report.sources for note in source.notes)


def test_the_primary_tumour_comes_first_under_a_patient_that_is_nearly_the_same() -> None:
    frame = pd.DataFrame({"PATIENT_ID": ["3", "3.0"], "TP53": ["1", "0"]})
    for near, told in ((Near.ALIKE, ["0"]), (Near.DIFFER, ["1", "0"])):
        source = Source(name="m", near_identifiers=near)
        primary = np.array([False, True])
        found = cbioportal._preferred(frame, source, "PATIENT_ID", primary, {"TP53": ()}, "m", lambda _: None)
        assert found["TP53"].dropna().tolist() == told


def test_a_metastasis_answers_where_the_primary_tumour_was_not_sequenced(folder: Path) -> None:
    """The truth has such patients, and would lose them."""
    panels = dict(line.split("\t") for line in FOLDER.files["data_gene_panel_matrix.txt"].splitlines()[1:])
    alone = [
        name.removesuffix("-T2")
        for name, panel in panels.items()
        if name.endswith("-T2") and panel != "NA" and panels[f"{name.removesuffix('-T2')}-T1"] == "NA"
    ]
    found = imported(folder).table.to_pandas().set_index("patient_id")["TP53_mut"]
    assert alone
    assert found[alone].notna().all()


def test_of_samples_in_a_clinical_table_the_primary_comes_first(folder: Path) -> None:
    """Else two samples of a patient contradict one another."""
    lines = (folder / "data_clinical_sample.txt").read_text().splitlines()
    head = [f"{line}\tTMB" if line.startswith("PATIENT_ID") else f"{line}\tx" for line in lines[:5]]
    own = [f"{line}\t{1 if 'Primary' in line else 2}" for line in lines[5:]]
    (folder / "data_clinical_sample.txt").write_text("\n".join([*head, *own]) + "\n")
    source = '[[source]]\nname = "samples"\npath = "."\npart = "cbioportal_samples"\n\n[[outcome]]'
    marker = 'source = "samples"\ncolumn = "TMB"'
    change(folder / "mapping.toml", ("[[outcome]]", source), ('source = "expression"\ncolumn = "CD274"', marker))
    assert (imported(folder).table.to_pandas()["CD274_z"] == 1).all()
    change(folder / "mapping.toml", ('part = "cbioportal_samples"', 'part = "cbioportal_samples"\nsamples = "all"'))
    with pytest.raises(InvalidInput, match="says different things of one patient"):
        imported(folder)


@pytest.mark.parametrize(
    ("cell", "head", "marker", "counts"),
    [
        ("1", '"NA"', "", 1),
        ("unclear", '"NA", "unclear"', "", 2),
        ("unclear", '"NA"', '\nmissing = ["unclear"]', 2),
        ("-9.0", '"NA", "-9"', "", 2),
        (" NA", '"NA"', "", 2),
    ],
)
def test_a_primary_sample_of_which_nothing_is_known_takes_no_place(
    cell: str, head: str, marker: str, counts: int, tmp_path: Path
) -> None:
    samples = f"PATIENT_ID\tSAMPLE_ID\tSAMPLE_TYPE\tTMB\np\ta\tPrimary\t{cell}\np\tb\tMetastasis\t2\n"
    (tmp_path / "data_clinical_sample.txt").write_text(samples)
    (tmp_path / "data_clinical_patient.txt").write_text("PATIENT_ID\tSTATE\tTIME\np\tdead\t5\n")
    own = f'[mapping]\nschema = "schema.toml"\npatients = "p"\nmissing = [{head}]\n'
    own += '[[source]]\nname = "p"\npath = "."\npart = "cbioportal_patients"\n'
    own += '[[source]]\nname = "s"\npath = "."\npart = "cbioportal_samples"\n'
    own += '[[outcome]]\nname = "os"\nevent = "STATE"\nyes = ["dead"]\nno = ["alive"]\ntime = "TIME"\n'
    own += f'[[marker]]\nname = "value"\nsource = "s"\ncolumn = "TMB"{marker}\n'
    (tmp_path / "mapping.toml").write_text(own)
    (tmp_path / "schema.toml").write_text(SCHEMA.format(unit="1"))
    assert imported(tmp_path).table.to_pandas()["value"].tolist() == [counts]


@pytest.mark.parametrize(("first", "second"), [('["9"]', "[]"), ("[]", '["9"]'), ('["9"]', '["9"]')])
def test_two_markers_of_one_gene_have_the_same_words_for_not_known(first: str, second: str, folder: Path) -> None:
    """Else a primary sample that one of them does not know would take the other sample's place, or none, for both."""
    schema, mapping = (folder / name for name in ("schema.toml", "mapping.toml"))
    for name, words in (("again", first), ("once_more", second)):
        described = f'\n[[marker]]\nname = "{name}"\nmodality = "clinical"\nkind = "binary"\n'
        schema.write_text(schema.read_text() + described)
        mapped = f'\n[[marker]]\nname = "{name}"\nsource = "mutations"\ncolumn = "BRAF"\nmissing = {words}\n'
        mapping.write_text(mapping.read_text() + mapped + 'may_be_absent = ["BRAF"]\n')
    if first == second:
        imported(folder)
        return
    with pytest.raises(InvalidInput, match='"once_more", missing: has other words than "again" of the same column'):
        imported(folder)


def test_a_word_for_not_known_is_none_of_the_values_of_a_gene(folder: Path) -> None:
    """Else who has no variant, and is told so as 0, would be unknown wherever 0 stands for that elsewhere."""
    change(folder / "mapping.toml", ('whole = ["WES"]', 'whole = ["WES"]\nmissing = ["0", "NA"]'))
    with pytest.raises(InvalidInput, match=r'"mutations", missing: has a word that is a value here'):
        imported(folder)
    change(folder / "mapping.toml", ('missing = ["0", "NA"]', 'missing = ["NA"]'))
    np.testing.assert_array_equal(imported(folder).table.to_pandas()["TP53_mut"], FOLDER.truth["TP53_mut"])


@pytest.mark.parametrize(
    ("sample", "kind", "primary"),
    [
        ("x", "Primary", True),
        ("x", "primary solid tumor", True),
        ("x", "Metastasis", False),
        ("x", "Recurrence of a primary tumour", False),
        ("x", "Non-primary", False),
        ("TCGA-05-4244-01", None, True),
        ("TCGA-05-4244-06", None, False),
        ("TCGA-05-4244-01", "Recurrence", False),
        ("x-01", None, False),
        (None, None, False),
    ],
)
def test_a_primary_sample_is_known_by_its_type_or_by_a_barcode_of_tcga(
    sample: str | None, kind: str | None, primary: bool
) -> None:
    assert is_primary(sample, kind) is primary


def test_a_sample_of_nobody_gives_way_to_no_primary_one() -> None:
    frame = pd.DataFrame({"TP53": ["1", "0", "1"]}, dtype=object)
    patients = pd.Series(["a", None, None], dtype=object)
    filled = {"TP53": np.array([True, True, True])}
    found = prefer_primary(frame, patients, np.array([True, False, False]), filled)
    assert (found.frame["TP53"].tolist(), found.patients) == (["1", "0", "1"], 0)


def test_a_panel_of_no_gene_covers_none_and_whom_no_panel_is_told_of_every_one() -> None:
    panels = {"s": frozenset[str](), "t": frozenset(["TP53"]), "whole": None}
    assert [is_covered(panels, sample, "TP53") for sample in ("s", "t", "whole", "u")] == [False, True, True, True]


def test_the_choice_of_samples_is_for_study_folders_alone(folder: Path) -> None:
    change(folder / "mapping.toml", ('part = "cbioportal_patients"', 'part = "table"\npatient = "x"\nsamples = "all"'))
    with pytest.raises(InvalidInput, match="samples: has no meaning for this part"):
        imported(folder)


@pytest.mark.parametrize(("study", "aliquot"), [("", "A"), ("", "A-11D-A153-08"), ("A", "A-11D-A153-08"), ("A", "A")])
def test_the_barcodes_of_aliquots_of_tcga_lead_to_their_samples(folder: Path, study: str, aliquot: str) -> None:
    """As in the files of the Genomic Data Commons; the study has the barcodes of samples, or of vials."""
    for path in folder.glob("data_*.txt"):
        cut = aliquot if path.name == "data_mutations.txt" else study
        path.write_text(re.sub(r"P-(\d{4})-T(\d)", rf"TCGA-AA-\1-0\g<2>{cut}", path.read_text()))
    assert_is(imported(folder).table.to_pandas(), FOLDER.truth)


@pytest.mark.parametrize("barcode", ["P-0001_tumor", ""])
def test_a_variant_of_which_nobody_knows_the_sample_is_refused_unless_the_mapping_leaves_it_out(
    folder: Path, barcode: str
) -> None:
    """Its patient would have 0 of that gene."""
    with (folder / "data_mutations.txt").open("a") as file:
        file.write(f"TP53\t1\t{barcode}\tMissense_Mutation\nOTHER\t1\t\tMissense_Mutation\n")
    with pytest.raises(InvalidInput, match=r"variants of these genes are of no SAMPLE_ID of the study.*\(1 row\)"):
        imported(folder)
    change(folder / "mapping.toml", ('whole = ["WES"]', 'whole = ["WES"]\nof_nobody = "leave_out"'))
    found = imported(folder)
    assert "1 variants of these genes are of no SAMPLE_ID of the study, and do not count" in found.report.in_words
    assert_is(found.table.to_pandas(), FOLDER.truth)


@pytest.mark.parametrize("leave_out", [False, True])
@pytest.mark.parametrize(
    ("which", "pattern", "other", "told"),
    [
        (0, r"P-(\d{4})-T", r"X_\1_", "is in no row a SAMPLE_ID"),
        (0, r"P-\d{4}-T\d", "", "is in no row a SAMPLE_ID"),
        (0, "P-", "p-", "would be a SAMPLE_ID of the study but for"),
        (1, "P-", "p-", "would be a SAMPLE_ID of the study but for"),
        (1, r"-T(\d)", r"-T0\1", "would be a SAMPLE_ID of the study but for"),
    ],
)
def test_variants_whose_barcodes_are_written_otherwise_are_refused_also_where_those_of_others_are_left_out(
    which: int, pattern: str, other: str, told: str, leave_out: bool, folder: Path
) -> None:
    """Everybody would have 0, or those whose barcodes they are. which: all of the rows, or every second."""
    path = folder / "data_mutations.txt"
    lines = path.read_text().splitlines(keepends=True)
    begin = next(place for place, line in enumerate(lines) if line.startswith("Hugo_Symbol")) + 1
    for place in range(begin, len(lines), which + 1):
        lines[place] = re.sub(pattern, other, lines[place])
    path.write_text("".join(lines))
    if leave_out:
        change(folder / "mapping.toml", ('whole = ["WES"]', 'whole = ["WES"]\nof_nobody = "leave_out"'))
    with pytest.raises(InvalidInput, match=told):
        imported(folder)


def test_the_aliquots_of_tcga_in_small_letters_are_refused(folder: Path) -> None:
    for path in folder.glob("data_*.txt"):
        path.write_text(re.sub(r"P-(\d{4})-T(\d)", r"TCGA-AA-\1-0\g<2>", path.read_text()))
    path = folder / "data_mutations.txt"
    path.write_text(re.sub(r"TCGA-AA-(\d{4}-0\d)", r"tcga-aa-\1a-11d", path.read_text()))
    with pytest.raises(InvalidInput, match="would be a SAMPLE_ID of the study but for"):
        imported(folder)


@pytest.mark.parametrize(
    ("column", "meta"), [("cna", ""), ("gistic", "stable_id: gistic\ndata_filename: data_cna.txt\n")]
)
def test_a_copy_number_outside_of_the_samples_panel_is_not_measured_and_told(
    folder: Path, column: str, meta: str
) -> None:
    """Real studies write 0 there: whoever was sequenced before a gene came to the panel would not have it amplified."""
    before = imported(folder).table.to_pandas()
    matrix = pd.read_csv(folder / "data_gene_panel_matrix.txt", sep="\t", keep_default_na=False)
    gene, name = "CDKN2A", "CDKN2A_deleted"
    (folder / "data_gene_panel_small.txt").write_text("stable_id: NONE\ngene_list:\tTP53\tKRAS\tEGFR\n")
    (folder / "data_gene_panel_large.txt").write_text(f"stable_id: SOME\ngene_list:\tTP53\t{gene}\n")
    panels = np.where(np.arange(len(matrix)) % 2, "NONE", "SOME")
    table = matrix.assign(mutations="WES")
    table[column] = panels
    table.to_csv(folder / "data_gene_panel_matrix.txt", sep="\t", index=False)
    if meta:
        (folder / "meta_cna.txt").write_text(meta)
    found = imported(folder)
    after = found.table.to_pandas()[name]
    panel = pd.Series(panels).groupby(matrix["SAMPLE_ID"].str[:6]).agg("".join)
    seen = before["patient_id"].map(panel)
    never, always = seen.str.fullmatch("(NONE)+").fillna(False), seen.str.fullmatch("(SOME)+").fillna(False)
    assert before[name][never].notna().sum() > 50
    assert after[never].isna().all()
    assert after[always].equals(before[name][always])
    told = [note for source in found.report.sources for note in source.notes]
    assert any("cells lie in genes that their sample's panel does not name: not measured" in note for note in told)


OF_CNA = "stable_id: gistic\ndata_filename: data_cna.txt\n"


def with_panels_of_copy_number(folder: Path, meta: str = "", **columns: str) -> pd.Series:
    """The deletions of CDKN2A, which the panel SMALL lacks. columns: of the matrix of panels, alike for everybody."""
    matrix = pd.read_csv(folder / "data_gene_panel_matrix.txt", sep="\t", keep_default_na=False)
    matrix.assign(**columns).to_csv(folder / "data_gene_panel_matrix.txt", sep="\t", index=False)
    (folder / "data_gene_panel_small.txt").write_text("stable_id: SMALL\ngene_list: TP53\tKRAS\tEGFR\n")
    (folder / "meta_cna.txt").write_text(meta)
    change(folder / "mapping.toml", ('file = "data_cna.txt"', 'file = "data_cna.txt"\nwhole = ["WES"]'))
    found: pd.Series = imported(folder).table.to_pandas()["CDKN2A_deleted"]
    return found


@pytest.mark.parametrize(
    "columns",
    [
        {"cna": "SMALL", "gistic": "WES"},  # that of another assay comes first
        {"cna": "SMALL"},  # which is another assay's, too
        {"gistic": "NA"},  # of no panel, as an exome is, but with numbers
    ],
)
def test_copy_number_is_told_for_all_genes_unless_its_own_profile_has_a_panel(
    folder: Path, columns: dict[str, str]
) -> None:
    before = imported(folder).table.to_pandas()["CDKN2A_deleted"]
    assert before.notna().sum() > 50
    assert with_panels_of_copy_number(folder, OF_CNA, **columns).equals(before)


@pytest.mark.parametrize(("columns", "measured"), [({}, False), ({"gistic": "NA"}, False), ({"gistic": "WES"}, True)])
def test_one_panel_may_be_told_for_all_samples_of_a_profile(
    folder: Path, columns: dict[str, str], measured: bool
) -> None:
    """A column of the panel matrix says more."""
    found = with_panels_of_copy_number(folder, OF_CNA + "gene_panel: SMALL\n", **columns)
    assert (found.notna().sum() > 50) == measured
    assert measured or found.isna().all()


@pytest.mark.parametrize("matrix", [True, False])
def test_the_genes_of_sequenced_samples_may_be_those_of_one_panel(folder: Path, matrix: bool) -> None:
    samples = [line.split("\t")[1] for line in FOLDER.files["data_clinical_sample.txt"].splitlines()[5:]]
    (folder / "case_lists").mkdir()
    (folder / "case_lists" / "cases_sequenced.txt").write_text("case_list_ids: " + "\t".join(samples) + "\n")
    (folder / "meta_mutations.txt").write_text("gene_panel: SMALL\ndata_filename: data_mutations.txt\n")
    panels = folder / "data_gene_panel_matrix.txt"
    panels.write_text("SAMPLE_ID\tgistic\n")
    if not matrix:
        panels.unlink()
    found = imported(folder).table.to_pandas()
    assert found["TP53_mut"].notna().sum() > 200
    assert found["STK11_mut"].isna().all()
    (folder / "meta_mutations.txt").write_text("gene_panel: LOST\ndata_filename: data_mutations.txt\n")
    with pytest.raises(InvalidInput, match=r"meta_\*.txt: gene_panel: name a gene panel that no file"):
        imported(folder)
    (folder / "meta_other.txt").write_text("gene_panel: SMALL\ndata_filename: data_mutations.txt\n")
    with pytest.raises(InvalidInput, match="name several panels for one file"):
        imported(folder)


def test_a_sample_that_is_kept_is_not_displaced_by_one_that_is_not(tmp_path: Path) -> None:
    """And among those that are kept the primary tumour comes first, whatever else the mapping keeps."""
    rows = ["PATIENT_ID\tSAMPLE_ID\tSAMPLE_TYPE\tCT\tTMB"]
    rows += [
        "a\ta1\tPrimary\tLUAD\t3",
        "a\ta2\tMetastasis\tLUAD\t40",
        "b\tb1\tPrimary\tLUSC\t5",
        "b\tb2\tMetastasis\tLUAD\t7",
    ]
    (tmp_path / "data_clinical_sample.txt").write_text("\n".join(rows) + "\n")
    source = Source(name="s", path=Path(), part=Part.SAMPLES, patient="PATIENT_ID", keep={"CT": ("LUAD",)})
    wanted = ["PATIENT_ID", "CT", "TMB"]
    frame, _, _ = read_part(source, tmp_path, wanted, missing=(), tell=lambda _: None)
    assert frame[frame["CT"] == "LUAD"]["TMB"].astype(object).where(lambda cells: cells.notna(), None).tolist() == [
        "3",
        None,
        "7",
    ]


@pytest.mark.parametrize("kind", ["", "NA", "[Not Available]", "unclear"])
def test_a_sample_of_which_nobody_knows_the_kind_is_known_by_its_barcode(tmp_path: Path, kind: str) -> None:
    rows = [
        "PATIENT_ID\tSAMPLE_ID\tSAMPLE_TYPE\tTMB",
        f"a\tTCGA-AA-0001-01\t{kind}\t3",
        "a\tTCGA-AA-0001-06\tMetastasis\t40",
    ]
    (tmp_path / "data_clinical_sample.txt").write_text("\n".join(rows) + "\n")
    source = Source(name="s", path=Path(), part=Part.SAMPLES, patient="PATIENT_ID")
    frame, _, _ = read_part(source, tmp_path, ["PATIENT_ID", "TMB"], missing=("unclear",), tell=lambda _: None)
    assert frame["TMB"].astype(object).where(lambda cells: cells.notna(), None).tolist() == ["3", None]


@pytest.mark.parametrize(("written", "told"), [("synonymous_variant", True), ("", True), ("Nonsense_Mutation", False)])
def test_a_class_of_variants_that_nobody_knows_counts_and_is_told(folder: Path, written: str, told: bool) -> None:
    path = folder / "data_mutations.txt"
    known = "of a class that the format does not list, and count"
    assert not any(known in note for source in imported(folder).report.sources for note in source.notes)
    many = path.read_text().count("\tMissense_Mutation")
    path.write_text(path.read_text().replace("\tMissense_Mutation", f"\t{written}"))
    found = imported(folder)
    assert_is(found.table.to_pandas(), FOLDER.truth)
    assert many
    assert any(known in note for source in found.report.sources for note in source.notes) is told
