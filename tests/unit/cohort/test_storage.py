"""Is the same table the same cohort, however it is stored, and can what nobody asked for break it?"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from oncofed.cohort.cohort import Cohort
from oncofed.cohort.identifiers import tell_alike
from oncofed.cohort.schema import Endpoint, Kind, Marker, Modality, StudySchema
from oncofed.cohort.validation import read_cohort, validate
from oncofed.errors import InvalidInput
from oncofed.survival.grid import TimeGrid

SCHEMA = StudySchema(
    name="small",
    patient_id="Prüfnummer",
    markers=(
        Marker("Größe", Modality.CLINICAL, Kind.CONTINUOUS, "cm", (50, 250), 170, 10),
        Marker("grade", Modality.CLINICAL, Kind.CATEGORICAL, categories=("1", "2", "3"), reference_category="1"),
    ),
    endpoints=(Endpoint("death", "months", "dead"),),
    grid=TimeGrid((0, 12, 60)),
    baseline_hazard=(0.01,),
)
IDENTIFIERS, GRADES = [1, 2, 30], [1, 3, 2]


def stored(as_: Callable[[int], object]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "Prüfnummer": pd.Series([as_(one) for one in IDENTIFIERS]),
            "Größe": [170.5, 181.0, 160.0],
            "grade": pd.Series([as_(one) for one in GRADES]),
            "months": [3, 4, 50],
            "dead": [1, 0, 1],
        }
    )


def same(found: Cohort) -> bool:
    expected = validate(stored(str), SCHEMA, where="t")
    return found.content_hash == expected.content_hash and found.patient_ids == ("1", "2", "30")


STORAGES: list[Callable[[int], object]] = [
    int,
    float,
    str,
    lambda one: f" {one} ",
    lambda one: f"\ufeff{one}\u200b",
    lambda one: Decimal(f"{one}.00"),
    Decimal,
]


@pytest.mark.parametrize("as_", STORAGES)
def test_the_same_patients_whatever_the_storage(tmp_path: Path, as_: Callable[[int], object]) -> None:
    frame = stored(as_)
    assert same(validate(frame, SCHEMA, where="t"))
    assert same(validate(frame.astype({"Prüfnummer": "category", "grade": "category"}), SCHEMA, where="t"))
    assert same(validate(frame.astype(object), SCHEMA, where="t"))
    texts = [as_(one) if isinstance(as_(one), str) else one for one in IDENTIFIERS]  # 1.0 is a text of its own
    frame.assign(Prüfnummer=pd.Series(texts, dtype=object)).to_csv(tmp_path / "t.csv", index=False)
    assert same(read_cohort(tmp_path / "t.csv", SCHEMA))
    table = pa.Table.from_pandas(frame, preserve_index=False)
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    assert same(read_cohort(tmp_path / "t.parquet", SCHEMA))
    coded = table.set_column(2, "grade", table["grade"].cast(pa.string()).dictionary_encode())
    pyarrow.parquet.write_table(coded, tmp_path / "t.parquet")
    assert same(read_cohort(tmp_path / "t.parquet", SCHEMA))


def test_identifiers_that_are_texts_stay_as_they_are() -> None:
    for identifiers in (["007", "12.10", "12.1"], ["1.000", "1", "1.0"]):
        assert validate(stored(str).assign(Prüfnummer=identifiers), SCHEMA, where="t").patient_ids == tuple(identifiers)
    told: list[str] = []
    tell_alike(identifiers, where="t", tell=told.append)
    assert "3 identifiers look like another one" in told[0]


@pytest.mark.parametrize("wrong", [1.5, 2.0**60, Decimal("12.10")])
def test_a_number_that_names_nobody_is_refused(wrong: object) -> None:
    frame = stored(str).assign(Prüfnummer=pd.Series([1.0, 2.0, wrong], dtype=object))
    with pytest.raises(InvalidInput, match=r"a number with a fraction, or too large to be kept exactly \(1 row\)"):
        validate(frame, SCHEMA, where="t")


EXACT = {"float16": 2**11, "float32": 2**24, "float64": 2**53, "Float32": 2**24}
"""Of IEEE 754: up to here every whole number has a floating-point number of its own. The next one does not."""


@pytest.mark.parametrize(
    ("kind", "kept"),
    [*product(EXACT, ("plain", "object")), ("float32", "category"), ("float64", "category")],  # pandas makes no other
)
def test_how_large_an_identifier_may_be_follows_from_how_many_bits_it_is_stored_in(kind: str, kept: str) -> None:
    """20,240,103 as a float of 32 bits is 20,240,104: another patient's."""
    first = EXACT[kind]
    numbers = np.array([first + 1], dtype=kind.lower())
    assert int(numbers[0]) != first + 1, "it is rounded"
    for rounded in (False, True):
        cells = np.array([1, 2, first if rounded else first - 1], dtype=np.dtype(kind.lower()))
        column: pd.Series = pd.Series(list(cells), dtype=object)
        if kept != "object":
            column = pd.Series(cells).astype(pd.api.types.pandas_dtype(kind if kept == "plain" else kept))
        frame = stored(str).assign(Prüfnummer=column)
        if rounded:
            with pytest.raises(InvalidInput, match=r"too large to be kept exactly \(1 row\)"):
                validate(frame, SCHEMA, where="t")
        else:
            assert validate(frame, SCHEMA, where="t").patient_ids == ("1", "2", str(first - 1))


@pytest.mark.parametrize("coded", [False, True])
def test_identifiers_of_32_bits_in_a_parquet_file_are_refused(tmp_path: Path, coded: bool) -> None:
    names = pa.array(np.array([20_240_101, 20_240_103, 20_240_105], dtype=np.float32))
    table = pa.Table.from_pandas(stored(str), preserve_index=False)
    table = table.set_column(0, "Prüfnummer", names.dictionary_encode() if coded else names)
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(InvalidInput, match=r"too large to be kept exactly \(3 rows\)"):
        read_cohort(tmp_path / "t.parquet", SCHEMA)


def test_fractions_are_categories_as_numbers() -> None:
    halves = replace(SCHEMA.markers[1], categories=("1.50", "2"), reference_category="2")
    schema = replace(SCHEMA, markers=(SCHEMA.markers[0], halves))
    for cells in (["1.5", "2.0", ""], [1.5, 2.0, np.nan], [Decimal("1.500"), Decimal("2"), None]):
        frame = stored(str).assign(grade=pd.Series(cells))
        np.testing.assert_array_equal(validate(frame, schema, where="t").marker_values("grade"), [0, 1, np.nan])


def test_names_written_on_another_system_are_found(tmp_path: Path) -> None:
    frame = stored(str).rename(columns={"Prüfnummer": "Pru\u0308fnummer", "Größe": "\ufeffGro\u0308ße"})
    frame.to_csv(tmp_path / "t.csv", index=False)
    assert same(read_cohort(tmp_path / "t.csv", SCHEMA))
    frame.assign(**{"Prüfnummer": "x"}).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(InvalidInput, match="columns 1 and 6: have one and the same name"):
        read_cohort(tmp_path / "t.csv", SCHEMA)


def in_an_unknown_zone() -> pa.Table:
    table = pa.Table.from_pandas(stored(str), preserve_index=False)
    return table.append_column("seen", pa.array([1, 2, 3], pa.timestamp("us", tz="Mars/Olympus")))


def test_what_the_schema_does_not_name_breaks_nothing(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(in_an_unknown_zone(), tmp_path / "t.parquet")
    assert same(read_cohort(tmp_path / "t.parquet", SCHEMA))


def test_a_column_that_is_no_text_and_no_number_is_told_by_its_place(tmp_path: Path) -> None:
    table = (
        in_an_unknown_zone().drop_columns(["months"]).rename_columns(["Prüfnummer", "Größe", "grade", "dead", "months"])
    )
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(InvalidInput, match="column number 5: holds neither text nor numbers"):
        read_cohort(tmp_path / "t.parquet", SCHEMA)


def test_ignored_columns_cost_little(tmp_path: Path) -> None:
    """20,531 genes that nobody asks for: each was once turned into a column of texts, which took 23 s."""
    rows, genes = 200, 20_531
    frame = pd.concat([stored(str)] * (rows // 2)).head(rows).assign(Prüfnummer=[f"p{row}" for row in range(rows)])
    cells = "," + ",".join(["1.25"] * genes)
    lines = frame.to_csv(index=False).splitlines()
    names = "," + ",".join(f"gene{number}" for number in range(genes))
    (tmp_path / "t.csv").write_text("\n".join([lines[0] + names, *(line + cells for line in lines[1:])]))
    began = time.process_time()
    assert len(read_cohort(tmp_path / "t.csv", SCHEMA)) == rows
    assert time.process_time() - began < 5
