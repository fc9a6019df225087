"""Which plan may a panel come after? One of the same file that left it its part of the study's epsilon."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.options_asked import ASKED, STUDY

from oncofed.cohort.schema_writing import schema_as_toml
from oncofed.errors import InvalidInput
from oncofed.privacy.accounting import epsilon_of
from oncofed.privacy.policy import releases_of
from oncofed.protocol.plan import Member, StudyPlan
from oncofed.server.deployment.consortium_file import plan_for, read_consortium
from oncofed.server.deployment.panel_plan import panel_consortium
from oncofed.server.report.study import DeployedStudy
from oncofed.simulations.synthetic.treated import treated_schema
from oncofed.survival.network import parameter_count

PANEL = "[panel]\nmarkers = 4\nshare = 0.2\nrounds = 2\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "schema.toml").write_text(schema_as_toml(treated_schema()))
    written(tmp_path / "study.toml", PANEL)
    return tmp_path / "study.toml"


def written(path: Path, *sections: str) -> Path:
    text = STUDY.replace("[data.synthetic]\npatients = 400\nhospitals = 3\n", '[data]\nschema = "schema.toml"\n')
    path.write_text("\n".join((text, *sections)))
    return path


def plan_of(file: Path, *, options: bool = False) -> StudyPlan:
    members = tuple(Member(f"hospital-{number}", "") for number in range(3))
    consortium = read_consortium(file)
    return plan_for(consortium, members=members, coordinator_public_key=b"", bundle_sha256="", options=options)


def ended(plan: StudyPlan) -> DeployedStudy:
    rng = np.random.default_rng(2)
    return DeployedStudy(plan, treated_schema(), (), rng.normal(scale=0.1, size=parameter_count(plan.model)))


def test_a_panel_comes_after_the_plan_that_left_it_its_part(file: Path) -> None:
    first = plan_of(file)
    members = tuple(Member(site, "") for site in first.roster)
    consortium = panel_consortium(read_consortium(file), ended(first))
    panel = plan_for(consortium, members=members, coordinator_public_key=b"", bundle_sha256="")
    both = [event for plan in (first, panel) for event in releases_of(plan)]
    assert 2.9 < epsilon_of(both, delta=1e-5) <= 3


@pytest.mark.parametrize("then", [PANEL, PANEL + ASKED.replace("rounds = 60\n", "") + "budget_share = 0.5\n"])
def test_no_panel_comes_after_a_plan_that_spent_its_part(file: Path, then: str) -> None:
    """The file got its section when the first plan was signed already: together they would pass the study's epsilon."""
    earlier = "" if "target_trial" not in then else PANEL
    first = ended(plan_of(written(file, earlier)))
    written(file, then)
    with pytest.raises(InvalidInput, match="more than this file leaves it beside its other plans"):
        panel_consortium(read_consortium(file), first)


def test_no_panel_comes_after_a_plan_that_trained_no_prognosis(file: Path) -> None:
    first = plan_of(file)
    measures = replace(ended(first), plan=replace(first, training=replace(first.training, rounds=0)))
    with pytest.raises(InvalidInput, match="trains no prognosis"):
        panel_consortium(read_consortium(file), measures)


def test_what_panel_and_options_lack_is_told_at_once(file: Path) -> None:
    written(file, PANEL.replace("4", "400"), ASKED.replace("second_option", "dose") + "budget_share = 0.5\n")
    with pytest.raises(InvalidInput) as refused:
        read_consortium(file)
    assert [fault.where for fault in refused.value.faults] == ["[panel], markers", "[target_trial], treatment"]
