"""How far is it from a hospital's OMOP database to a started node, for a study of 350 markers? By the page's commands.

The commands are taken from docs/import-omop.md as they stand. The model is the example's, in a real PostgreSQL, with a
concept and some results for each laboratory value that the catalogue knows by a code; what people do in an editor and
on the telephone is done here. Commands and their seconds are printed (`pytest -s`).
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pytest
from tests.end_to_end.flower_processes import Consortium, Processes, free_port, new_coordinator, until
from tests.omop_models import MODEL, to_postgresql
from tests.postgresql import running_postgresql

from oncofed.client.importing.analytes import ANALYTES, Analyte
from oncofed.client.importing.omop_drafting import _CONCEPTS
from oncofed.client.importing.proposed_schema import analyte_marker
from oncofed.client.install.folder import NodeFolder
from oncofed.cohort.schema_file import read_schema
from oncofed.protocol.enrolment import acceptance_bytes
from oncofed.server.deployment.enrolment import approve, own_fingerprint
from oncofed.server.deployment.folder import CoordinatorFolder
from studies.omop.make_omop import ADENOCARCINOMA, COLON, LUNG, Model

pytestmark = pytest.mark.slow

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "import-omop.md").read_text()
SECTION = PAGE.partition("## From the study's schema to a started node")[2].partition("\n## ")[0]
COMMANDS = [
    line for block in re.findall(r"```sh\n(.*?)```", SECTION, flags=re.DOTALL) for line in block.splitlines() if line
]
FIRST_CONCEPT = 900_000_000
POLICY = """\
[node]
smallest_cohort = 100
largest_parameters = 100_000
allowed_plans = ["any"]

[[source]]
name = "registry"
kind = "parquet"
path = "{table}"
largest_epsilon = 3.0
delta = 1e-6
smallest_noise_multiplier = 1.0
"""
ENTITY = """
[[marker]]
name = "tumour_entity"
source = "diagnoses"
column = "condition_concept_id"
take = "first"
words = {{ {lung} = "lung", {colon} = "colon" }}
"""


# --- the hospital's database


def added() -> list[Analyte]:
    """Those that the example does not know, each by its first code."""
    return [each for each in ANALYTES if each.loinc and not set(each.loinc) & set(_CONCEPTS)]


def time_zeros() -> dict[str, date]:
    """By patient, the day of the first diagnosis that the study is about."""
    rows = MODEL.tables["condition_occurrence"]
    own = rows[rows["condition_concept_id"].isin([LUNG, ADENOCARCINOMA, COLON])]
    first = own.groupby("person_id")["condition_start_date"].min()
    return {str(person): day for person, day in first.items()}


def with_results() -> tuple[Model, dict[str, dict[str, float]]]:
    """The example with results for these, in the unit of the analyte; and the truth, by marker and patient.

    The last result before the diagnosis counts; one after it is of no use.
    """
    rng, truth = np.random.default_rng(31), dict[str, dict[str, float]]()
    concepts, results, zero = [], [], time_zeros()
    for number, analyte in enumerate(added()):
        concepts.append(
            {"concept_id": FIRST_CONCEPT + number, "concept_code": analyte.loinc[0], "vocabulary_id": "LOINC"}
        )
        low, high = analyte.usual
        low = max(low, high / 100)  # no logarithm of nothing
        known = truth.setdefault(analyte_marker(analyte).name, {})
        for person in MODEL.truth["patient_id"]:
            if rng.random() < 0.4:
                continue
            value = round(float(rng.uniform(low, high)), 3) or high
            known[person] = float(np.log10(value)) if analyte.skewed else value
            for day, told in ((zero[person], value), (zero[person] + timedelta(days=1), high)):
                results.append(
                    {
                        "person_id": int(person),
                        "measurement_concept_id": FIRST_CONCEPT + number,
                        "measurement_date": day,
                        "value_as_number": told,
                        "unit_concept_id": 0,
                        "unit_source_value": analyte.unit,
                    }
                )
    tables = dict(MODEL.tables)
    for name, rows in (("concept", concepts), ("measurement", results)):
        of_example = tables[name].astype(object).where(tables[name].notna(), None).to_dict("records")
        numbered = [{f"{name}_id": 10_000_000 + place, **row} for place, row in enumerate(rows)]
        tables[name] = pd.DataFrame([*of_example, *numbered], columns=tables[name].columns, dtype=object)
    return replace(MODEL, tables=tables), truth


# --- a person at a keyboard


@dataclass
class Typed:
    """seconds: of each command, on the wall and of a processor."""

    folder: Path
    seconds: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def type(self, line: str, *, answers: str = "", may_fail: bool = False) -> str:
        began, spent = time.monotonic(), os.times()
        done = subprocess.run(
            shlex.split(line),
            check=False,
            cwd=self.folder,
            env=self.environment,
            input=answers,
            capture_output=True,
            text=True,
        )
        after = os.times()
        of_children = after.children_user + after.children_system - spent.children_user - spent.children_system
        self.seconds[line] = (time.monotonic() - began, of_children)
        assert may_fail or done.returncode == 0, (line, done.stdout, done.stderr)
        return done.stdout

    def file(self, name: str, change: dict[str, str]) -> None:
        """What an editor does."""
        text = (self.folder / name).read_text()
        for before, after in change.items():
            assert text.count(before) == 1, before
            text = text.replace(before, after)
        (self.folder / name).write_text(text)

    @contextmanager
    def serving(self, line: str) -> Iterator[subprocess.Popen[str]]:
        with (self.folder / "node.log").open("w") as log:
            process = subprocess.Popen(
                shlex.split(line), cwd=self.folder, env=self.environment, stdout=log, stderr=log, text=True
            )
        self.seconds[line] = (0.0, 0.0)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(timeout=120)


@contextmanager
def coordinator_on(root: Path) -> Iterator[Consortium]:
    folder = new_coordinator(root / "coordinator")
    (root / "logs").mkdir()
    processes = Processes(root / "logs")
    try:
        yield Consortium(folder, {"charite": NodeFolder(root / "node")}, processes)
    finally:
        processes.end()


def answered(coordinator: CoordinatorFolder, folder: Path) -> str:
    """The acceptance lies in the folder; what the coordinator reads out."""
    acceptance = approve(coordinator, (folder / "charite.request.json").read_bytes())
    (folder / "charite.acceptance.json").write_bytes(acceptance_bytes(acceptance))
    return own_fingerprint(coordinator)


def test_the_page_leads_from_a_database_to_a_node_that_the_coordinator_sees() -> None:
    draft, look, write, init, check, request, accept, start, doctor = COMMANDS
    model, truth = with_results()
    with (
        TemporaryDirectory(prefix="oncofed-") as name,
        running_postgresql() as server,
        coordinator_on(Path(name)) as own,
    ):
        typed = Typed(Path(name))
        to_postgresql(server.url, model)
        (typed.folder / "address").write_text(server.url + "\n")
        (typed.folder / "address").chmod(0o600)
        with (typed.folder / "schema.toml").open("w") as file:
            subprocess.run(["oncofed", "schema", "catalogue"], check=True, stdout=file, env=typed.environment)
        schema = read_schema(typed.folder / "schema.toml")
        assert len(schema.markers) == 350

        assert "mapping.toml, with" in typed.type(draft)
        assert not (typed.folder / "hospital" / "schema.toml").exists()
        mapping = typed.folder / "hospital" / "mapping.toml"
        assert mapping.read_text().count('source = "measurements"') >= len(truth) > 100
        typed.file(
            "hospital/mapping.toml",
            {
                "condition_concept_id = []": f'condition_concept_id = ["{LUNG}", "{COLON}"]',
                "# without_date": "without_date",
                '  "tumour_entity",\n': "",
                "not_measured = true\n": "not_measured = true\n" + ENTITY.format(lung=LUNG, colon=COLON),
            },
        )
        left = len(re.findall(r'^  "', mapping.read_text(), flags=re.MULTILINE))
        typed.type(look)
        assert not (typed.folder / "registry.parquet").exists()
        typed.type(write)
        table = pd.read_parquet(typed.folder / "registry.parquet").set_index("patient_id")
        assert len(table) == len(MODEL.truth)
        for marker, known in truth.items():
            assert set(table.index[table[marker].notna()]) == set(known), marker
            found = table[marker].dropna()
            np.testing.assert_allclose(found, [known[person] for person in found.index], rtol=1e-9, err_msg=marker)
        assert list(table["tumour_entity"]) == list(MODEL.truth.set_index("patient_id").loc[table.index, "entity"])

        typed.type(f"{init} --port {free_port()}")
        policy = typed.folder / "node" / "policy.toml"
        policy.write_text(POLICY.format(table=typed.folder / "registry.parquet"))
        assert f"registry: {len(table)} rows" in typed.type(check)
        typed.type(request)
        heard = answered(own.coordinator, typed.folder)
        typed.type(accept, answers=f"{heard}\n")
        own.start_superlink()
        began = time.monotonic()
        with typed.serving(start):
            until(lambda: own.online() == 1, seconds=600, what="the coordinator sees the node")
            typed.seconds[start] = (time.monotonic() - began, 0.0)
            listening = NodeFolder(typed.folder / "node").socket
            until(listening.exists, seconds=120, what="the guard listens, which loads torch first")
            told = typed.type(doctor, may_fail=True)
            assert "is not running" not in told, told
    for line, (wall, processor) in typed.seconds.items():
        print(f"{wall:8.1f} s  {processor:6.1f} s of a processor  {line}")
    whole = [sum(each) for each in zip(*typed.seconds.values(), strict=True)]
    print(
        f"{len(typed.seconds)} commands, {whole[0]:.0f} s, {whole[1]:.0f} s of a processor; {350 - left} markers mapped"
    )
