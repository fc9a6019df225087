"""Do real public tables come in by mapping files alone, as their packages ship them?

Each is written to a CSV file as it stands: no column is renamed and no cell edited. What must come out is computed here
by hand, in pandas. How good a federation on them is, beside lifelines' Cox, says
`simulations/studies/public_tables/compare.py`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from oncofed.client.importing.cohort_import import import_cohort
from oncofed.client.importing.mapping_file import read_mapping
from oncofed.cohort.schema import StudySchema
from oncofed.cohort.validation import validate
from oncofed.errors import InvalidInput
from studies.public_tables import compare as public_tables


def lung() -> pd.DataFrame:
    from lifelines.datasets import load_lung  # noqa: PLC0415 - it warns when it is imported

    frame: pd.DataFrame = load_lung()
    return frame


def gbsg2() -> pd.DataFrame:
    from lifelines.datasets import load_gbsg2  # noqa: PLC0415 - as above

    frame: pd.DataFrame = load_gbsg2()
    return frame


def flchain() -> pd.DataFrame:
    from sksurv.datasets import load_flchain  # noqa: PLC0415 - as above

    covariates, outcome = load_flchain()
    return pd.DataFrame(covariates).assign(death=outcome["death"], futime=outcome["futime"])


SCHEMA_HEAD = """
[schema]
name = "public"
patient_id = "patient"
site_column = "hospital"
[time]
unit = "months"
interval_bounds = [0, 6, 12, 24, 60, 180]
zero_time_becomes = 0.02
[[endpoint]]
name = "survival"
time = "months"
event = "event"
baseline_hazard = 0.01
"""
MAPPING_HEAD = """
[mapping]
schema = "schema.toml"
patients = "table"
{head}
[[source]]
name = "table"
path = "table.csv"
numbered = true
[[outcome]]
name = "survival"
time_unit = "days"
{outcome}
"""


def marker(name: str, kind: str, fields: str = "", mapped: str = "") -> tuple[str, str]:
    """Its sections in the two files."""
    modality = 'modality = "clinical"'
    if kind in ("continuous", "ordinal") and "plausible_range" not in fields:
        fields += "\nplausible_range = [0, 1000]"
    if kind in ("continuous", "ordinal"):
        fields += "\ncentre = 1\nscale = 1"
    if kind == "continuous" and "unit" not in fields:
        fields += '\nunit = "units"'
    described = f'[[marker]]\nname = "{name}"\n{modality}\nkind = "{kind}"\n{fields}\n'
    return described, f'[[marker]]\nname = "{name}"\n{mapped}\n'


@dataclass(frozen=True)
class PublicTable:
    """expected: the columns by hand, NaN or None where not measured."""

    load: Callable[[], pd.DataFrame]
    head: str
    outcome: str
    markers: tuple[tuple[str, str], ...]
    expected: Callable[[pd.DataFrame], dict[str, pd.Series]]


TABLES = {
    "lung": PublicTable(
        load=lung,
        head='site_column = "inst"\nsite = "unknown"',
        outcome='time = "time"\nevent = "status"\nyes = ["1"]\nno = ["0"]',
        markers=(
            marker("female", "binary", mapped='column = "sex"\nwords = { 1 = "0", 2 = "1" }'),
            marker("ecog", "ordinal", mapped='column = "ph.ecog"'),
            marker("karnofsky", "ordinal", mapped='column = "ph.karno"'),
            marker(
                "calories",
                "continuous",
                "plausible_range = [0, 2000]",
                'column = "meal.cal"\noutside_range = "missing"',
            ),
        ),
        expected=lambda table: {
            "months": table["time"] / 30.4375,
            "event": table["status"],
            "hospital": table["inst"].map(lambda site: "unknown" if np.isnan(site) else str(int(site))),
            "female": table["sex"] - 1,
            "ecog": table["ph.ecog"],
            "karnofsky": table["ph.karno"],
            "calories": table["meal.cal"].where(table["meal.cal"] <= 2000),
        },
    ),
    "gbsg2": PublicTable(
        load=gbsg2,
        head='site = "Freiburg"',
        outcome='time = "time"\nevent = "cens"\nyes = ["1"]\nno = ["0"]',
        markers=(
            marker("hormones", "binary", mapped='column = "horTh"\nwords = { yes = "1", no = "0" }'),
            marker(
                "menopause",
                "categorical",
                'categories = ["before", "after"]\nreference_category = "after"',
                'column = "menostat"\nwords = { Pre = "before", Post = "after" }',
            ),
            marker("grade", "ordinal", mapped='column = "tgrade"\nwords = { I = "1", II = "2", III = "3" }'),
            marker("log_nodes", "continuous", 'unit = "log10(nodes)"', 'column = "pnodes"\ntransform = "log10"'),
            marker("log_oestrogen", "continuous", 'unit = "log1p(fmol/mg)"', 'column = "estrec"\ntransform = "log1p"'),
        ),
        expected=lambda table: {
            "months": table["time"] / 30.4375,
            "event": table["cens"],
            "hospital": pd.Series("Freiburg", index=table.index),
            "hormones": (table["horTh"] == "yes").astype(int),
            "menopause": table["menostat"].map({"Pre": "before", "Post": "after"}),
            "grade": table["tgrade"].map({"I": 1, "II": 2, "III": 3}),
            "log_nodes": np.log10(table["pnodes"]),
            "log_oestrogen": np.log1p(table["estrec"]),
        },
    ),
    "flchain": PublicTable(
        load=flchain,
        head='site = "Olmsted"',
        outcome='time = "futime"\nevent = "death"\nyes = ["True"]\nno = ["False"]',
        markers=(
            marker("age", "continuous"),
            marker("female", "binary", mapped='column = "sex"\nwords = { F = "1", M = "0" }'),
            marker("mgus", "binary", mapped='words = { yes = "1", no = "0" }'),
            marker("creatinine", "continuous", 'unit = "umol/l"', 'analyte = "creatinine"\nunit = "mg/dl"'),
            marker(
                "kappa_over_limit",
                "continuous",
                'unit = "ULN"',
                'column = "kappa"\ntransform = "ratio"\nupper_limit = 1.94',
            ),
        ),
        expected=lambda table: {
            "months": table["futime"] / 30.4375,
            "event": table["death"].astype(int),
            "hospital": pd.Series("Olmsted", index=table.index),
            "age": table["age"],
            "female": (table["sex"] == "F").astype(int),
            "mgus": (table["mgus"] == "yes").astype(int),
            "creatinine": table["creatinine"] * 1e4 / 113.12,
            "kappa_over_limit": table["kappa"] / 1.94,
        },
    ),
}


def write(public: PublicTable, folder: Path) -> pd.DataFrame:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = public.load()
    table.to_csv(folder / "table.csv", index=False)
    (folder / "schema.toml").write_text(SCHEMA_HEAD + "\n".join(described for described, _ in public.markers))
    head = MAPPING_HEAD.format(head=public.head, outcome=public.outcome)
    (folder / "mapping.toml").write_text(head + "\n".join(mapped for _, mapped in public.markers))
    return table.reset_index(drop=True)


def imported(folder: Path) -> tuple[pd.DataFrame, StudySchema]:
    """In the order of the file again: identifiers are row numbers."""
    mapping = read_mapping(folder / "mapping.toml")
    frame = import_cohort(mapping).table.to_pandas()
    return frame.iloc[frame["patient"].astype(int).argsort()].reset_index(drop=True), mapping.schema


@pytest.mark.parametrize("name", TABLES)
def test_a_public_table_is_what_pandas_by_hand_makes_of_it(name: str, tmp_path: Path) -> None:
    table = write(TABLES[name], tmp_path)
    found, schema = imported(tmp_path)
    assert len(found) == len(table) > 200
    for column, wanted in TABLES[name].expected(table).items():
        if found[column].dtype == object:
            assert list(found[column]) == list(wanted), column
        else:
            assert found[column].notna().any()
            np.testing.assert_allclose(
                found[column].to_numpy(dtype=float), wanted.to_numpy(dtype=float), rtol=1e-12, err_msg=column
            )
    assert len(validate(found, schema, where="table")) == len(table)


@pytest.mark.parametrize("name", public_tables.TABLES)
def test_the_mappings_of_the_comparison_take_everybody(name: str, tmp_path: Path) -> None:
    public_tables.imported(name, tmp_path / name)
    found = pd.read_parquet(tmp_path / name / "patients.parquet")
    table = pd.read_csv(tmp_path / name / "table.csv")
    assert len(found) == len(table) > 200


def test_one_column_of_days_holds_deaths_and_last_contacts(tmp_path: Path) -> None:
    """In the German breast cancer trial; `censdead` is 1 for a death, despite its name."""
    public_tables.imported("lymph_node", tmp_path / "lymph_node")
    found = pd.read_parquet(tmp_path / "lymph_node" / "patients.parquet")
    found = found.iloc[found["patient_id"].astype(int).argsort()].reset_index(drop=True)
    table = pd.read_csv(tmp_path / "lymph_node" / "table.csv").sort_values("id", ignore_index=True)
    end, start = (pd.to_datetime(table[name], format="%d-%m-%Y") for name in ("deathdate", "diagdateb"))
    np.testing.assert_allclose(found["survival_months"], (end - start).dt.days / 30.4375, rtol=1e-12)
    assert list(found["death_observed"]) == list(table["censdead"])
    assert 0 < table["censdead"].sum() < len(table)


def lymph_node_with(change: tuple[str, str], folder: Path) -> Path:
    """The mapping with one change, beside the table."""
    path = public_tables.imported("lymph_node", folder / "lymph_node").with_name("mapping.toml")
    assert change[0] in path.read_text()
    path.write_text(path.read_text().replace(*change))
    return path


def test_a_day_without_an_event_is_a_fault_unless_the_column_is_one_of_contacts_as_well(tmp_path: Path) -> None:
    path = lymph_node_with(('last_contact = ["deathdate"]', 'last_contact = ["recdate"]'), tmp_path)
    with pytest.raises(InvalidInput, match="list it under last_contact as well") as refused:
        import_cohort(read_mapping(path))
    assert refused.value.faults[0].count == 515


def test_a_column_of_deaths_and_contacts_needs_words_for_who_died(tmp_path: Path) -> None:
    words = 'event = "censdead"  # despite its name: 1 is a death\nyes = ["1"]\nno = ["0"]\n'
    with pytest.raises(InvalidInput, match="makes an event of each last contact"):
        read_mapping(lymph_node_with((words, ""), tmp_path))
