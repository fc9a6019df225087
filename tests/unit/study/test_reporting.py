"""Do people's texts change nothing of what patients' data are asked for, and are they kept as they were written?"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from oncofed.errors import InvalidInput
from oncofed.protocol.plan import Member
from oncofed.server.deployment.consortium_file import plan_for, read_consortium
from oncofed.simulations.study import read_study
from oncofed.study.reporting import NOTHING_SAID, Reporting

SCHEMA = """
[schema]
name = "tiny"
patient_id = "patient_id"
[time]
unit = "months"
interval_bounds = [0, 12, 24]
[[endpoint]]
name = "os"
time = "survival_months"
event = "death_observed"
baseline_hazard = 0.02
[[marker]]
name = "sex_female"
modality = "clinical"
kind = "binary"
"""
STUDY = """
[study]
name = "small"
[data]
schema = "schema.toml"
table = "schema.toml"
[sites]
partition = "column"
[evaluation]
horizon = 24
[privacy]
mode = "local"
epsilon = 1
l2_norm_bound = 1
"""
SAID = STUDY + '[reporting]\nfunding = "A foundation."\nlimitations = """\nOne.\n\n  Two.\n"""\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "schema.toml").write_text(SCHEMA)
    (tmp_path / "silent.toml").write_text(STUDY)
    (tmp_path / "said.toml").write_text(SAID)
    return tmp_path


def test_texts_are_in_no_plan_and_a_run_goes_on_when_they_are_mended(folder: Path) -> None:
    silent, said = (read_consortium(folder / f"{name}.toml") for name in ("silent", "said"))
    assert silent.reporting == NOTHING_SAID
    assert said.reporting != silent.reporting
    members = (Member("Bonn", ""), Member("Essen", ""))
    first, second = (
        plan_for(each, members=members, coordinator_public_key=b"", bundle_sha256="") for each in (silent, said)
    )
    assert first == second
    assert "foundation" not in first.canonical
    quiet, told = (read_study(folder / f"{name}.toml") for name in ("silent", "said"))
    assert quiet.hash == told.hash
    assert told.reporting == said.reporting


def test_every_other_setting_still_changes_the_hash_of_a_run(folder: Path) -> None:
    path = folder / "said.toml"
    one = read_study(path).hash
    assert one != read_study(path, seed=2).hash
    assert one != read_study(path, overrides=["study.title=Another"]).hash
    assert one != read_study(path, overrides=["privacy.epsilon=2"]).hash


def test_a_text_has_lines_and_is_kept_as_it_is(folder: Path) -> None:
    said = read_study(folder / "said.toml").reporting
    assert (said.funding, said.limitations) == ("A foundation.", "One.\n\n  Two.\n")
    assert set(said.missing) == {each.name for each in fields(Reporting)} - {"funding", "limitations"}


def test_what_a_terminal_obeys_and_what_nobody_knows_is_refused_by_name(folder: Path) -> None:
    (folder / "said.toml").write_text(STUDY + '[reporting]\nethics = "\\u001b[2J"\nfundng = "x"\nusers = 3\n')
    with pytest.raises(InvalidInput) as refused:
        read_study(folder / "said.toml")
    told = {fault.where.rpartition(", ")[2]: fault.what for fault in refused.value.faults}
    assert set(told) == {"ethics", "fundng", "users"}
    assert told["fundng"] == "is not a known field"
