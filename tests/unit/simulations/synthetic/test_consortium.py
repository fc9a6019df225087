"""A synthetic consortium: does the truth beside it belong to the table, and is the table as promised?"""

from __future__ import annotations

import csv
import json
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from oncofed.cohort.encoding import Role, columns, encode
from oncofed.cohort.schema import Modality
from oncofed.cohort.schema_file import read_schema
from oncofed.cohort.validation import read_cohort, validate
from oncofed.errors import InvalidInput
from oncofed.simulations.cohort_commands import generate as generate_command
from oncofed.simulations.synthetic.consortium import SyntheticConsortium, _first_of_each, generate
from oncofed.simulations.synthetic.effects import CLEAR_INTERACTIONS
from oncofed.simulations.synthetic.entities import ENTITIES
from oncofed.simulations.synthetic.files import TableFormat, write
from oncofed.simulations.synthetic.hazard import standardised
from oncofed.simulations.synthetic.schema import OVERALL_SURVIVAL

SMALL = {"patients": 300, "hospitals": 4}


@pytest.fixture(scope="module")
def consortium() -> SyntheticConsortium:
    return generate(patients=4000, hospitals=12, seed=1)


def values_of(consortium: SyntheticConsortium, name: str) -> np.ndarray:
    return consortium.values[:, [marker.name for marker in consortium.schema.markers].index(name)]


def test_the_table_is_a_valid_cohort_with_the_same_values(consortium: SyntheticConsortium) -> None:
    found = validate(consortium.table, consortium.schema, where="table")
    assert len(found) == 4000
    np.testing.assert_array_equal(found.values, consortium.values)
    assert list(found.patient_ids) == consortium.true_log_hazard["patient_id"].tolist()


@pytest.mark.parametrize("table_format", TableFormat)
def test_same_seed_same_bytes(table_format: TableFormat, tmp_path: Path) -> None:
    first = write(generate(**SMALL, seed=5), tmp_path / "first", table_format=table_format)
    second = write(generate(**SMALL, seed=5), tmp_path / "second", table_format=table_format)
    other = write(generate(**SMALL, seed=6), tmp_path / "other", table_format=table_format)
    assert [path.name for path in first] == [
        f"patients.{table_format}",
        "schema.toml",
        "true_log_hazard.parquet",
        "ground_truth.json",
    ]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    differs = [a.read_bytes() != b.read_bytes() for a, b in zip(first, other, strict=True)]
    assert differs == [True, False, True, True], "patients and truth depend on the seed, the schema does not"


def test_files_are_read_back_as_they_were_made(tmp_path: Path) -> None:
    made = generate(**SMALL, seed=2)
    for table_format in TableFormat:
        folder = tmp_path / table_format
        table, schema, *_ = write(made, folder, table_format=table_format)
        found = read_cohort(table, read_schema(schema))
        np.testing.assert_array_equal(found.values, made.values)
        np.testing.assert_array_equal(found.exit[:, 0], made.table["survival_months"])
        np.testing.assert_array_equal(found.observed[:, 0], made.table["death_observed"] == 1)
        np.testing.assert_array_equal(found.entry[:, 1], made.table["entry_months"])


def test_the_written_truth_gives_the_written_log_hazard(tmp_path: Path) -> None:
    """The oracle: from the files alone, cell by cell, with none of the code that made them."""
    table, schema_file, log_hazard, truth_file = write(
        generate(**SMALL, seed=3), tmp_path, table_format=TableFormat.CSV
    )
    schema = tomllib.loads(schema_file.read_text(encoding="utf-8"))
    limit = schema["schema"]["largest_encoded_value"]
    markers = {name: section for section in schema["marker"] for name in section.get("names", [section.get("name")])}
    truth = json.loads(truth_file.read_text(encoding="utf-8"))["endpoints"]

    def z(patient: dict[str, str], name: str) -> float:
        if patient[name] == "":
            return 0.0
        at_scale = (float(patient[name]) - markers[name]["centre"]) / markers[name]["scale"]
        return float(max(-limit, min(limit, at_scale)))

    expected = pd.read_parquet(log_hazard).set_index("patient_id")
    with table.open(encoding="utf-8", newline="") as file:
        patients = list(csv.DictReader(file))
    assert len(patients) == 300
    for endpoint in truth.values():
        for patient in patients:
            f = 0.0
            for marker in endpoint["markers"]:
                if "effect_by_category" in marker:
                    f += marker["effect_by_category"].get(patient[marker["name"]], 0.0)
                else:
                    f += marker["effect_per_scale"] * z(patient, marker["name"])
            for pair in endpoint["interactions"]:
                f += pair["coefficient"] * z(patient, pair["first"]) * z(patient, pair["second"])
            for modality, effect in endpoint["unmeasured_modalities"].items():
                members = [name for name, marker in markers.items() if marker["modality"] == modality]
                f += effect * all(patient[name] == "" for name in members)
            written = expected.loc[patient["patient_id"], endpoint["true_log_hazard_column"]]
            assert f == pytest.approx(written, abs=1e-9)


def test_the_truth_sees_what_the_network_sees(consortium: SyntheticConsortium) -> None:
    """z of the truth is the encoded value before weights; so what is not measured contributes nothing."""
    encoded = encode(validate(consortium.table, consortium.schema, where="table"))
    z = standardised(consortium.schema, consortium.values)
    names = [marker.name for marker in consortium.schema.markers]
    value_columns = [
        (index, column) for index, column in enumerate(columns(consortium.schema)) if column.role is Role.VALUE
    ]
    assert len(value_columns) == 348
    for index, column in value_columns:
        np.testing.assert_allclose(encoded[:, index], z[:, names.index(column.source)] * column.weight, atol=1e-12)
    unmeasured = np.isnan(consortium.values)
    for truth in consortium.truth.values():
        assert not truth.contributions(consortium.schema, consortium.values)[unmeasured].any()


def test_ten_markers_stand_out_and_the_clear_pairs_are_the_strongest(consortium: SyntheticConsortium) -> None:
    truth = consortium.truth[OVERALL_SURVIVAL]
    alone = truth.contributions(consortium.schema, consortium.values)
    for strength in (alone.std(axis=0), np.abs(alone).mean(axis=0)):
        falling = np.sort(strength)[::-1]
        assert falling[9] > 1.3 * falling[10]
    in_pairs = truth.interaction_contributions(consortium.schema, consortium.values)
    strength = in_pairs.std(axis=0)
    clear = len(CLEAR_INTERACTIONS)
    assert strength[:clear].min() > 1.5 * strength[clear:].max()
    total = truth(consortium.schema, consortium.values)
    assert 0.04 < in_pairs.sum(axis=1).var() / total.var() < 0.10


def test_hospitals_differ_in_size_population_and_means() -> None:
    made = generate(patients=6000, hospitals=20, seed=4)
    table = made.table
    sizes = table["hospital"].value_counts()
    assert len(sizes) == 20
    assert sizes.min() >= 30
    assert sizes.max() > 5 * sizes.median() / 2
    largest = table["hospital"] == sizes.index[0]

    measured = pd.DataFrame(~np.isnan(made.values), columns=[marker.name for marker in made.schema.markers])
    by_hospital = measured.groupby(table["hospital"]).mean()
    of = {
        modality: [marker.name for marker in made.schema.markers if marker.modality is modality]
        for modality in Modality
    }
    for modality in (Modality.RNA_EXPRESSION, Modality.PROTEIN_EXPRESSION):
        without = (by_hospital[of[modality]] == 0).all(axis=1)
        assert 3 <= without.sum() <= 14, modality
    assert measured.loc[largest, of[Modality.PROTEIN_EXPRESSION]].any().any()
    panels = (by_hospital[of[Modality.DNA_MUTATION]] > 0).sum(axis=1)
    assert len(set(panels)) >= 3, "sequencing panels differ"
    assert 0.2 < made.missing_share < 0.35

    # Of patients with the same entity. Were populations equal, hospital means would vary as by chance, at ratio 1.
    z = standardised(made.schema, made.values)
    column = {marker.name: index for index, marker in enumerate(made.schema.markers)}
    frailty = z[:, column["ecog_performance_status"]] + z[:, column["log10_crp_mg_per_l"]]
    frailty = frailty - z[:, column["albumin_g_per_l"]] - z[:, column["haemoglobin_g_per_dl"]]
    for shifted in (z[:, column["age_years"]], z[:, column["uicc_stage"]], frailty):
        expected = pd.Series(shifted).groupby(table["tumour_entity"]).transform("mean")
        groups = (shifted - expected).groupby(table["hospital"])
        of_chance = (groups.var() / groups.count()).mean()
        assert groups.mean().var() > 2.5 * of_chance
    colon = (table["tumour_entity"] == "colon_adenocarcinoma").groupby(table["hospital"]).mean()
    assert colon.max() > 2 * colon.min()


def test_patients_make_clinical_sense(consortium: SyntheticConsortium) -> None:
    table = consortium.table
    known = table["uicc_stage"].notna()
    early = (table["uicc_stage"] < 4).fillna(False).astype(bool) & known
    assert not (table.loc[early, "metastatic_organ_count"] > 0).any()
    assert not (table.loc[early, "metastasis_liver"] > 0).any()
    assert (table.loc[known & ~early, "metastatic_organ_count"].dropna() >= 1).all()
    male = {entity.name: entity.male_share for entity in ENTITIES}
    for entity, sexes in table.groupby("tumour_entity")["sex_male"]:
        if male[str(entity)] in (0.0, 1.0):
            assert (sexes.dropna() == male[str(entity)]).all()
    pancreas = table["tumour_entity"] == "pancreatic_adenocarcinoma"
    assert table.loc[pancreas, "KRAS_mut"].mean() > 0.8 > 0.3 > table.loc[~pancreas, "KRAS_mut"].mean()
    assert table["log10_crp_mg_per_l"].corr(table["albumin_g_per_l"]) < -0.05


def test_follow_up_is_ordered_and_some_hospitals_enter_late(consortium: SyntheticConsortium) -> None:
    table = consortium.table
    assert (table["entry_months"] < table["ttnt_months"]).all()
    assert (table["ttnt_months"] <= table["survival_months"]).all()
    assert (table["ttnt_months"] > 0).all()
    assert not (table["next_treatment_observed"] & table["ttnt_ended_with_death"]).any()
    died_first = table["ttnt_ended_with_death"] == 1
    assert (table.loc[died_first, "death_observed"] == 1).all()
    assert (table.loc[died_first, "ttnt_months"] == table.loc[died_first, "survival_months"]).all()
    late = (table["entry_months"] > 0).groupby(table["hospital"]).mean()
    assert (late == 0).any()
    assert (late > 0.4).any()


@pytest.mark.parametrize(("patients", "hospitals"), [(1, 1), (7, 7), (700, 1), (1500, 100)])
def test_any_number_of_patients_and_hospitals(patients: int, hospitals: int) -> None:
    made = generate(patients=patients, hospitals=hospitals, seed=0)
    sizes = made.table["hospital"].value_counts()
    assert len(made.table) == made.table["patient_id"].nunique() == patients
    assert len(sizes) == hospitals
    assert sizes.min() >= min(30, max(1, patients // (2 * hospitals)))


@given(st.data())
def test_each_hospital_keeps_its_first_patients(data: st.DataObject) -> None:
    arriving = data.draw(st.lists(st.integers(0, 6), min_size=1, max_size=5))
    hospital_of = np.repeat(np.arange(len(arriving)), arriving)
    in_table = np.array(data.draw(st.lists(st.booleans(), min_size=len(hospital_of), max_size=len(hospital_of))), bool)
    wanted = np.array(data.draw(st.lists(st.integers(0, 4), min_size=len(arriving), max_size=len(arriving))))
    expected, taken = [], dict.fromkeys(range(len(arriving)), 0)
    for row, hospital in enumerate(hospital_of.tolist()):
        if in_table[row] and taken[hospital] < wanted[hospital]:
            taken[hospital] += 1
            expected.append(row)
    assert _first_of_each(hospital_of, in_table, wanted).tolist() == expected


def test_impossible_requests_are_refused_together() -> None:
    with pytest.raises(InvalidInput) as refusal:
        generate(patients=0, hospitals=0, seed=-1)
    assert [fault.where for fault in refusal.value.faults] == ["hospitals", "patients", "seed"]
    with pytest.raises(InvalidInput, match="fewer than the hospitals"):
        generate(patients=3, hospitals=4, seed=1)


def test_nothing_is_written_over(tmp_path: Path) -> None:
    made = generate(patients=20, hospitals=1, seed=1)
    (tmp_path / "schema.toml").write_text("mine")
    with pytest.raises(InvalidInput, match="already exists"):
        write(made, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["schema.toml"]
    with pytest.raises(InvalidInput, match="is a file"):
        write(made, tmp_path / "schema.toml")


def test_the_command_writes_a_consortium_and_says_what_it_is(tmp_path: Path) -> None:
    arguments = ["--patients", "200", "--hospitals", "3", "--seed", "7", "--out", str(tmp_path / "new")]
    done = CliRunner().invoke(generate_command, [*arguments, "--format", "csv"], catch_exceptions=False)
    assert done.exit_code == 0
    assert "200 in 3 hospitals" in done.output
    made = generate(patients=200, hospitals=3, seed=7)
    assert f"{made.c_index[OVERALL_SURVIVAL]:.3f} for overall survival" in done.output
    found = read_cohort(tmp_path / "new" / "patients.csv", read_schema(tmp_path / "new" / "schema.toml"))
    np.testing.assert_array_equal(found.values, made.values)

    again = CliRunner().invoke(generate_command, [*arguments, "--format", "csv"])
    assert isinstance(again.exception, InvalidInput)
    quiet = CliRunner().invoke(generate_command, [*arguments[:-1], str(tmp_path / "quiet"), "--quiet"])
    assert quiet.output == ""
    assert (tmp_path / "quiet" / "patients.parquet").is_file()
    assert CliRunner().invoke(generate_command, ["--patients", "0", "--out", str(tmp_path)]).exit_code == 2
