"""Are the demonstration's study and policies what a coordinator and hospitals would be allowed to write?"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.command_line import oncofed

from oncofed.client.guard.policy_file import read_policy
from oncofed.cohort.schema_writing import schema_as_toml
from oncofed.simulations.federation_demo import PRIVACY, policy_of, study_of
from oncofed.simulations.synthetic.schema import consortium_schema


@pytest.mark.parametrize("privacy", PRIVACY)
def test_the_study_of_each_mode_has_no_fault_and_its_policies_allow_it(privacy: str, tmp_path: Path) -> None:
    (tmp_path / "schema.toml").write_text(schema_as_toml(consortium_schema()))
    (tmp_path / "study.toml").write_text(study_of(privacy))
    shown = oncofed("study", "show", tmp_path / "study.toml")
    assert shown.code == 0, shown.text
    assert ("WHOM YOU TRUST" in shown.text) is (privacy == "distributed")
    (tmp_path / "policy.toml").write_text(policy_of(tmp_path / "registry.parquet", privacy=privacy))
    (source,) = read_policy(tmp_path / "policy.toml").sources
    assert source.site_policy.fewest_colluding_tolerated == (1 if privacy == "distributed" else None)
