"""Do tables as hospitals have them give a run, or a refusal that says what to do, from the command line?

Each test is one kind of fault that once cost patients, mixed them, or ended in a traceback.
"""

from __future__ import annotations

import gzip
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tests.command_line import Said, oncofed
from tests.end_to_end.malformed_cases import SCHEMA
from tests.installed_node import installed_node

from oncofed.simulations import run as running
from oncofed.simulations.report.page import render_report
from oncofed.simulations.study import read_study

PATIENTS = 60
STUDY = """
[study]
name = "hard"
[data]
table = "patients.csv"
schema = "schema.toml"
[sites]
partition = "column"
[evaluation]
horizon = 24
bootstrap_resamples = 20
[model]
hidden_units = [2]
[training]
rounds = 1
[privacy]
mode = "none"
"""


def patients() -> pd.DataFrame:
    rows = range(PATIENTS)
    return pd.DataFrame(
        {
            "patient": [f"zq{row:03d}" for row in rows],
            "hospital": [f"zq-{'ABC'[row % 3]}" for row in rows],
            "age_years": [f"{50 + row % 40}" for row in rows],
            "entity": ["adenocarcinoma" if row % 2 else "squamous" for row in rows],
            "KRAS_mut": ["", "0", "1"] * (PATIENTS // 3),
            "ecog": [str(row % 5) for row in rows],
            "survival_months": [f"{3 + row % 50}" for row in rows],
            "death_observed": [str(row * 7 % 3 % 2) for row in rows],
            "entry_months": ["0"] * PATIENTS,
            "note": ["seen"] * PATIENTS,
        },
        dtype=object,
    )


def simulated(folder: Path, table: pd.DataFrame | bytes, *arguments: str) -> Said:
    folder.mkdir(exist_ok=True)
    (folder / "schema.toml").write_text(SCHEMA)
    (folder / "study.toml").write_text(STUDY)
    content = table if isinstance(table, bytes) else table.to_csv(index=False).encode()
    (folder / "patients.csv").write_bytes(content)
    return oncofed("simulate", folder / "study.toml", "--out", folder / "run", *arguments)


def figures(folder: Path) -> dict[str, object]:
    """Refuses NaN, which is no JSON."""
    text = (folder / "run" / "metrics.json").read_text()
    found: dict[str, object] = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} in metrics.json"))
    return found


def with_stray_quotes() -> bytes:
    lines = patients().to_csv(index=False).splitlines()
    for row in (4, 9):
        lines[row] = lines[row].replace("seen", '"seen')
    return "\n".join(lines).encode() + b"\n"


BROKEN: list[tuple[Callable[[], bytes], str]] = [
    (with_stray_quotes, "begins in line 5"),
    (
        lambda: (
            patients().assign(note="Köln").to_csv(index=False).encode("cp1252") + b"zq,1,2,\xf6,4,5,6,7,8,9,10,11\n"
        ),
        "Windows-1252",
    ),
    (lambda: gzip.compress(patients().to_csv(index=False).encode()), "a gzip archive"),
    (lambda: b"PK\x03\x04zq", "an Excel or other zip file"),
]


@pytest.mark.parametrize(("content", "words"), BROKEN)
def test_a_table_that_leaves_a_doubt_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], content: Callable[[], bytes], words: str
) -> None:
    said = simulated(tmp_path, content())
    assert said.code == 2
    assert words in said.text
    assert "zq" not in said.text + capfd.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("content", "words"), BROKEN)
def test_check_refuses_it_too(capfd: pytest.CaptureFixture[str], content: Callable[[], bytes], words: str) -> None:
    with installed_node() as node:
        assert oncofed("site", "check", node.folder.root).code == 0
        node.table_path.write_bytes(content())
        said = oncofed("site", "check", node.folder.root)
    assert said.code == 2
    assert words in said.text
    assert "zq" not in said.text + capfd.readouterr().err


def test_check_tells_lines_and_rows() -> None:
    with installed_node() as node:
        table = pd.read_csv(node.table_path, dtype=str)
        table.assign(note="two\nlines").to_csv(node.table_path, index=False)
        said = oncofed("site", "check", node.folder.root)
    assert said.code == 0
    assert f"{2 * len(table)} lines hold {len(table)} rows" in said.text


def with_offered_plan(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Said:
    """What check says of a changed table when a plan waits to be approved."""
    with installed_node() as node:
        node.enrol()
        node.guard().offer_plan(node.offer())
        change(pd.read_csv(node.table_path, dtype=str)).to_csv(node.table_path, index=False)
        return oncofed("site", "check", node.folder.root)


def test_check_says_whether_a_table_fits_an_offered_plan() -> None:
    said = with_offered_plan(lambda table: table)
    assert said.code == 0, said.text
    assert "fits the study" in said.text
    said = with_offered_plan(lambda table: table.assign(age="old"))
    assert said.code == 2
    assert 'column "age": is not a number' in said.text


def test_check_tells_of_events_outside_of_the_grid() -> None:
    later = {"survival_months": lambda table: (table["survival_months"].astype(float) + 200).astype(str)}
    said = with_offered_plan(lambda table: table.assign(**later))
    assert said.code == 2
    assert "no event lies in the time grid" in said.text
    said = with_offered_plan(
        lambda table: table.assign(survival_months=["200", *table["survival_months"][1:]], death_observed="1")
    )
    assert said.code == 0, said.text
    assert "some events of overall_survival come after" in said.text


UNDEFINED: list[tuple[str, Callable[[pd.DataFrame], pd.DataFrame]]] = [
    ("one day", lambda table: table.assign(survival_months="7", death_observed="1")),
    ("six patients", lambda table: table.head(6).assign(death_observed="1", survival_months=["5", "6"] * 3)),
    (
        "few events",
        lambda table: table.assign(death_observed=["1" if row % 20 == 0 else "0" for row in range(PATIENTS)]),
    ),
]


@pytest.mark.parametrize(("name", "change"), UNDEFINED, ids=[name for name, _ in UNDEFINED])
def test_what_is_undefined_is_told_as_that(
    tmp_path: Path, name: str, change: Callable[[pd.DataFrame], pd.DataFrame]
) -> None:
    undefined = 0
    for seed in range(1, 5):
        folder = tmp_path / str(seed)
        said = simulated(folder, change(patients()), "--seed", str(seed))
        assert said.code == 0, said.text
        assert not re.search(r"\bnan\b", said.text)
        test = figures(folder)["test"]
        assert isinstance(test, dict)
        assert (test["c_index"] is None) == (test["comparable_pairs"] == 0)
        page = re.sub(r"<svg.*?</svg>|data:[^\"]*", "", (folder / "run" / "report.html").read_text(), flags=re.DOTALL)
        assert not re.search(r"\bnan\b", page, flags=re.IGNORECASE)
        if test["c_index"] is None:
            undefined += 1
            assert "C-index, federated        not defined" in said.text
            assert "No C-index is defined on these patients" in page
            again = simulated(folder, change(patients()), "--seed", str(seed), "--resume")
            assert again.code == 0, again.text
    assert undefined, name


def test_a_c_index_stands_beside_its_events_and_pairs(tmp_path: Path) -> None:
    said = simulated(tmp_path, patients())
    test = figures(tmp_path)["test"]
    assert isinstance(test, dict)
    assert f"12 patients, {test['events']} events, {test['comparable_pairs']} comparable pairs)" in said.text
    found = running.run_study(read_study(tmp_path / "study.toml"), tmp_path / "twin")
    pairs = sum(
        bool(found.test.observed[i, 0])
        and (
            found.test.exit[j, 0] > found.test.exit[i, 0]
            or (found.test.exit[j, 0] == found.test.exit[i, 0] and not found.test.observed[j, 0])
        )
        for i in range(len(found.test))
        for j in range(len(found.test))
        if i != j
    )
    assert (test["events"], test["comparable_pairs"]) == (int(found.test.observed[:, 0].sum()), pairs)
    assert f"{test['comparable_pairs']} comparable pairs" in render_report(found)


def test_seeds_without_a_figure_are_counted_in_a_sweep(tmp_path: Path) -> None:
    simulated(tmp_path, patients().head(6).assign(death_observed="1", survival_months=["5", "6"] * 3))
    said = oncofed("sweep", tmp_path / "study.toml", "--out", tmp_path / "sweep", "--seeds", "1,2,3,4", "--jobs", "1")
    assert said.code == 0, said.text
    summary = pd.read_csv(tmp_path / "sweep" / "summary.csv")
    table = pd.read_csv(tmp_path / "sweep" / "table.csv")
    assert summary["runs"].tolist() == [4]
    assert summary["failed"].tolist() == [0]
    assert summary["undefined"].tolist() == [int(table["c_index"].isna().sum())]
    assert summary["undefined"].tolist() != [0]
    assert f"4 ({summary['undefined'][0]} undefined)" in (tmp_path / "sweep" / "summary.md").read_text()


def test_nobody_with_an_event_is_a_fault_before_training(tmp_path: Path) -> None:
    said = simulated(tmp_path, patients().assign(death_observed="0"))
    assert said.code == 2
    assert "no training patient has the event" in said.text
    assert not (tmp_path / "run").exists()


def test_notes_of_the_table_are_told_at_once_and_kept(tmp_path: Path) -> None:
    table = patients()
    table.loc[::4, "survival_months"] = "70"
    table.loc[::6, "hospital"] = "ZQ-a"
    said = simulated(tmp_path, table)
    assert said.code == 0, said.text
    notes = figures(tmp_path)["notes"]
    assert isinstance(notes, list)
    notes = [note for note in notes if not note.startswith("[")]  # beside what the study file left open
    assert len(notes) == 2
    assert "lie in the time grid; the others come after 60 months" in notes[1]
    page = (tmp_path / "run" / "report.html").read_text()
    for note in notes:
        assert f"Note: {note}" in said.text
        assert note in page


def test_a_run_that_crashed_in_its_first_round_can_go_on_or_begin_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object, **__: object) -> None:
        raise OSError("the machine went off")

    for arguments in ((), ("--resume",)):
        folder = tmp_path / ("resumed" if arguments else "again")
        with monkeypatch.context() as patch:
            patch.setattr(running, "_train", crash)
            assert simulated(folder, patients()).code != 0
        assert [path.name for path in (folder / "run").iterdir()] == ["study.json"]
        said = simulated(folder, patients(), *arguments)
        assert said.code == 0, said.text
        c_index = figures(folder)["test"]["c_index"]  # type: ignore[index]  # an object of JSON
        assert math.isfinite(c_index)


def test_a_folder_in_which_a_run_is_at_work_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also before its first round is finished, when the folder looks like one that a crash left."""
    train, beside = running._train, list[Said]()

    def while_training(*arguments: Any, **named: Any) -> Any:
        if not beside:
            beside.append(Said(0, ""))
            beside.extend(simulated(tmp_path, patients(), *more) for more in ((), ("--resume",)))
        return train(*arguments, **named)

    monkeypatch.setattr(running, "_train", while_training)
    assert simulated(tmp_path, patients()).code == 0
    for said in beside[1:]:
        assert said.code == 2
        assert "another run is at work in it" in said.text


def test_what_else_blocks_is_not_told_as_another_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def blocked(*_: object, **__: object) -> None:
        raise BlockingIOError("a pipe is full")

    monkeypatch.setattr(running, "_train", blocked)
    said = simulated(tmp_path, patients())
    assert said.code != 0
    assert "another run is at work" not in said.text
