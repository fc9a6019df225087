"""Does a researcher's command say of a table what a hospital's says, whichever way the table is odd?

One table, `simulate` and `site check`: refused by both with the same words, or read by both as the same patients.
What only one of the two can meet (figures that are undefined, names of hospitals) stands in `test_hard_tables`.
"""

from __future__ import annotations

import gzip
import io
import os
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from safetensors.numpy import load_file
from tests.command_line import Said, oncofed
from tests.end_to_end.test_hard_tables import STUDY
from tests.installed_node import SCHEMA, installed_node, table

ROWS = 90
"""More than the node's smallest cohort."""

Write = Callable[[pd.DataFrame], bytes]


@dataclass(frozen=True)
class Odd:
    """kind: of the list of faults that were once found. refused: the words, or None where it must be read."""

    kind: str
    write: Write
    refused: str | None = None
    suffix: str = ".csv"


def plain_table() -> pd.DataFrame:
    made = table(ROWS, prefix="zq")
    return made.assign(hospital=[f"zq-{'ABC'[row % 3]}" for row in range(ROWS)], note="seen").astype(str)


def csv(found: pd.DataFrame) -> bytes:
    return found.to_csv(index=False).encode()


def parquet(found: pa.Table) -> bytes:
    into = io.BytesIO()
    pyarrow.parquet.write_table(found, into)
    return into.getvalue()


def with_quotes(*rows: int) -> Write:
    def write(found: pd.DataFrame) -> bytes:
        lines = csv(found).decode().splitlines()
        for row in rows:
            lines[row] = lines[row].replace("seen", '"seen')
        return "\n".join(lines).encode() + b"\n"

    return write


def typed(found: pd.DataFrame) -> pd.DataFrame:
    numbers = dict.fromkeys(("sex_female", "age", "survival_months", "death_observed"), float)
    return found.astype(numbers)


def categories(found: pd.DataFrame) -> bytes:
    return parquet(pa.Table.from_pandas(found.astype("category"), preserve_index=False))


def in_an_unknown_zone(found: pd.DataFrame) -> bytes:
    kept = pa.Table.from_pandas(typed(found), preserve_index=False)
    times = pa.array([0] * ROWS, type=pa.timestamp("us", tz="Mars/Olympus"))
    return parquet(kept.append_column("seen_at", times))


def decimals(found: pd.DataFrame) -> bytes:
    kept = pa.Table.from_pandas(typed(found), preserve_index=False)
    place = kept.schema.get_field_index("sex_female")
    as_decimal = kept.column(place).cast(pa.decimal128(4, 2))
    return parquet(kept.set_column(place, "sex_female", as_decimal))


def decomposed(found: pd.DataFrame) -> bytes:
    """As macOS writes it; and a mark that nobody sees before a column's name."""
    renamed = found.assign(note="K\u00f6ln").rename(columns={"age": "\u200bage"})
    return unicodedata.normalize("NFD", csv(renamed).decode()).encode()


ODD = [
    Odd("T1", with_quotes(4), "quot"),
    Odd("T1", with_quotes(2, 4), "begins in line 3"),
    Odd("T1", lambda found: csv(found).replace(b"seen", b'a"b', 2), "quot"),
    Odd("T3", lambda found: csv(found.assign(record_number=[f" {name} " for name in found["record_number"]]))),
    Odd("T3", lambda found: csv(pd.concat([found, found.head(1)])), "share their identifier"),
    Odd("T4", categories, suffix=".parquet"),
    Odd("T5", lambda found: csv(found.assign(note="Köln")).decode().encode("cp1252"), "Windows-1252"),
    Odd(
        "T5",
        lambda found: csv(found.assign(note="Köln")).decode().encode("cp1252") + b"zq,1,2,\xf6,4,5,6,7,8",
        "Windows-1252",
    ),
    Odd("T5", lambda found: csv(found).decode().encode("utf-16"), "UTF-16"),
    Odd("T5", lambda found: gzip.compress(csv(found)), "a gzip archive"),
    Odd("T5", lambda _: b"PK\x03\x04zq", "an Excel or other zip file"),
    Odd("T5", lambda _: b"\xd0\xcf\x11\xe0zq", "an old Excel file"),
    Odd("T5", csv, "cannot be read as .parquet", suffix=".parquet"),
    Odd("T6", lambda found: csv(found.assign(survival_months="70.5", death_observed="1")), "lies in the time grid"),
    Odd("T7", lambda found: csv(found.head(60).assign(note=["x" * (2 << 20)] * 3 + ["x"] * 57))),
    Odd("T7", lambda found: csv(pd.concat([found, pd.DataFrame("1", found.index, range(30_000))], axis=1).head(60))),
    Odd("T8", lambda found: csv(typed(found))),
    Odd("T8", lambda found: parquet(pa.Table.from_pandas(typed(found), preserve_index=False)), suffix=".parquet"),
    Odd("T8", decimals, suffix=".parquet"),
    Odd("T9", decomposed),
    Odd("T10", in_an_unknown_zone, suffix=".parquet"),
    Odd("ragged", lambda found: csv(found) + b"zq,1\n", "cells"),
    Odd("line ends", lambda found: csv(found).replace(b"\n", b"\r\n")),
    Odd("byte order mark", lambda found: b"\xef\xbb\xbf" + csv(found)),
    Odd("two of a name", lambda found: csv(found).replace(b"note", b"age", 1), "one and the same name"),
    Odd("no rows", lambda found: csv(found.head(0)), "no rows"),
]


def simulated(folder: Path, content: bytes, suffix: str) -> Said:
    folder.mkdir(exist_ok=True)
    (folder / "schema.toml").write_text(SCHEMA.replace("[time]", 'site_column = "hospital"\n[time]', 1))
    (folder / "study.toml").write_text(STUDY.replace("patients.csv", f"patients{suffix}"))
    (folder / f"patients{suffix}").write_bytes(content)
    return oncofed("simulate", folder / "study.toml", "--out", folder / "run")


def checked(content: bytes, suffix: str) -> Said:
    """By a hospital that was offered a plan of this schema."""
    with installed_node() as node:
        node.enrol()
        node.guard().offer_plan(node.offer())
        if suffix != ".csv":
            node.set_policy('kind = "csv"', f'kind = "{suffix[1:]}"')
            node.set_policy("patients.csv", f"patients{suffix}")
        (node.folder.root / f"patients{suffix}").write_bytes(content)
        return oncofed("site", "check", node.folder.root)


@pytest.mark.parametrize("odd", ODD, ids=[f"{odd.kind}-{place}" for place, odd in enumerate(ODD)])
def test_both_ends_say_the_same(tmp_path: Path, capfd: pytest.CaptureFixture[str], odd: Odd) -> None:
    content = odd.write(plain_table())
    both = simulated(tmp_path, content, odd.suffix), checked(content, odd.suffix)
    errors = capfd.readouterr().err
    for said in both:
        if odd.refused is None:
            assert said.code == 0, said.text
        else:
            assert said.code == 2, said.text
            assert odd.refused in said.text
        assert "Traceback" not in said.text + errors
        assert "zq0" not in said.text + errors  # no cell, and no patient's number
        assert "zq-0" not in said.text + errors
    assert (tmp_path / "run").exists() == (odd.refused is None)


def test_storage_changes_no_figure(tmp_path: Path) -> None:
    """The same patients, however they are stored: the same weights, to the last bit."""
    same = [odd for odd in ODD if odd.kind in ("T3", "T4", "T8", "T9", "T10") and odd.refused is None]
    models = []
    for place, odd in enumerate([Odd("plain", csv), *same]):
        folder = tmp_path / str(place)
        assert simulated(folder, odd.write(plain_table()), odd.suffix).code == 0
        models.append({name: value.tolist() for name, value in load_file(folder / "run" / "model.safetensors").items()})
    assert len(models) == 8
    assert all(model == models[0] for model in models)


def test_a_file_that_may_not_be_read_is_told_as_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = os.open

    def forbidden(path: Path, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if Path(path).name == "patients.csv":
            raise PermissionError
        return opened(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", forbidden)
    for said in (simulated(tmp_path, csv(plain_table()), ".csv"), checked(csv(plain_table()), ".csv")):
        assert said.code == 2
        assert "may not be read by the user" in said.text


@pytest.mark.parametrize("patients", [1, 2, 7])
def test_no_seed_decides_whether_a_run_with_a_small_hospital_works(tmp_path: Path, patients: int) -> None:
    small = plain_table()
    small.loc[:, "hospital"] = ["zq-A"] * patients + ["zq-B"] * (ROWS - patients)
    for seed in range(1, 6):
        folder = tmp_path / str(seed)
        said = simulated(folder, csv(small), ".csv")
        assert said.code == 0, said.text
