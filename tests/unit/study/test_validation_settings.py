"""Which plan does [validation] of a study file ask for, and what does it cost?"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from tests.summaries import VALIDATED_KEY, released_model
from tests.unit.study.test_budget import SCHEMA, settings

from oncofed.cohort.schema_file import parse_schema
from oncofed.errors import InvalidInput
from oncofed.privacy.accounting import epsilon_of
from oncofed.privacy.policy import releases_of
from oncofed.privacy.releases import release_of_summary
from oncofed.protocol.model_file import signed_model
from oncofed.protocol.plan import Member, PrivacyMode, StudyPlan
from oncofed.protocol.plan_file import plan_from_json
from oncofed.protocol.signing import public_key_of
from oncofed.protocol.study_document import document_bytes, signed_document
from oncofed.protocol.summary_spec import SummaryKind
from oncofed.server.deployment.study_commands import study
from oncofed.study.held_out_settings import HeldOutRequest
from oncofed.study.plan_settings import PlanSettings, model_of, plan_from, validation_plan_from
from oncofed.study.validation_settings import ValidationRequest

PARSED = parse_schema(SCHEMA, where="schema.toml")
ROSTER = ("Bonn", "Essen", "Jena", "Ulm")
FIGURES = HeldOutRequest(budget_share=0.1, calibration_share=0.4, horizon=12.0, attempts=2)
MODEL = model_of(settings(), PARSED)


def plan_of(asked: PlanSettings, request: ValidationRequest) -> StudyPlan:
    return validation_plan_from(
        replace(asked, held_out=FIGURES) if not asked.held_out.budget_share else asked,
        request,
        PARSED,
        study="lung",
        roster=ROSTER,
        quorum=None,
        model=MODEL,
        validates=released_model(np.zeros(MODEL.parameters)),
    )


@pytest.mark.parametrize("mode", ["local", "distributed"])
def test_all_figures_together_cost_the_epsilon_asked_for_and_share_it_as_held_out_says(mode: str) -> None:
    shares = {"dropouts": 1, "colluding": 1} if mode == "distributed" else {}
    plan = plan_of(settings(mode=PrivacyMode(mode), reserve_rounds=5, **shares), ValidationRequest(epsilon=0.8))
    counts, sums = plan.summaries
    assert (counts.kind, sums.kind) == (SummaryKind.EVALUATION, SummaryKind.CALIBRATION)
    events = [release_of_summary(plan, each).event for each in plan.summaries for _ in range(2)]
    assert sorted(map(str, releases_of(plan))) == sorted(map(str, events))
    assert 0.799 < epsilon_of(events, delta=1e-5) <= 0.8 == plan.privacy.epsilon
    assert (counts.noise_multiplier / sums.noise_multiplier) ** 2 == pytest.approx(4.0)  # 0.4 to 0.1
    assert plan.privacy.noise_multiplier == sums.noise_multiplier
    assert (plan.study, plan.training.rounds, plan.charged_rounds) == ("lung_validation", 0, 0)
    assert plan.model == MODEL
    assert plan_from_json(json.loads(plan.canonical)) == plan


def test_all_patients_are_measured_or_the_share_that_is_asked_for() -> None:
    assert plan_of(settings(), ValidationRequest()).measures_everybody
    plan = plan_of(settings(), ValidationRequest(share=0.5))
    assert (plan.measures_everybody, plan.held_out_fraction) == (False, 0.5)


def test_in_mode_none_figures_have_no_noise() -> None:
    plan = plan_of(settings(mode=PrivacyMode.NONE, epsilon=None), ValidationRequest())
    assert [each.noise_multiplier for each in plan.summaries] == [0.0, 0.0]


def test_without_a_figure_there_is_nothing_to_validate() -> None:
    with pytest.raises(InvalidInput, match=r"\[held_out\]: asks for no figure, and a validation has no others"):
        validation_plan_from(
            settings(),
            ValidationRequest(),
            PARSED,
            study="lung",
            roster=ROSTER,
            quorum=None,
            model=MODEL,
            validates=released_model(np.zeros(MODEL.parameters)),
        )


STUDY = """
[study]
name = "lung"
[data]
schema = "schema.toml"
[training]
rounds = 10
[privacy]
mode = "local"
epsilon = 3
delta = 1e-5
l2_norm_bound = 2
[held_out]
calibration_share = 0.2
horizon = 12
[validation]
epsilon = 0.6
model = "package"
"""


def shown(folder: Path, *options: str, text: str = STUDY, schema: str = SCHEMA) -> tuple[int, str]:
    (folder / "schema.toml").write_text(schema)
    (folder / "study.toml").write_text(text)
    result = CliRunner().invoke(study, ["show", str(folder / "study.toml"), *options])
    said = result.output if result.exit_code == 0 else str(result.exception)
    return result.exit_code, " ".join(said.split())


def with_package(folder: Path) -> StudyPlan:
    """The package of a model of the same study, without what nobody reads of it here."""
    plan = plan_from(settings(), PARSED, study="lung", roster=("Kiel",), quorum=None, initialisation_seed=1)
    key = public_key_of(VALIDATED_KEY).hex()
    plan = replace(plan, members=(Member("Kiel", "key", "aa" * 32),), coordinator_public_key=key)
    model = signed_model(np.zeros(plan.model.parameters), plan_hash=plan.hash, signing_key=VALIDATED_KEY)
    package = folder / "package"
    package.mkdir()
    document = signed_document(plan, schema_toml=SCHEMA, signing_key=VALIDATED_KEY)
    (package / "plan.json").write_bytes(document_bytes(document))
    (package / "model.safetensors").write_bytes(model.content)
    (package / "signature.json").write_text(json.dumps({"ed25519_signature": model.signature.hex()}))
    return plan


def test_the_file_shows_the_validation_as_a_plan_of_its_own_and_the_study_as_before(tmp_path: Path) -> None:
    trained = with_package(tmp_path)
    code, told = shown(tmp_path, "--validation")
    assert code == 0, told
    assert "STUDY lung_validation: to measure, in hospitals that did not train it, a model" in told
    assert f"as the coordinator says, by the plan {trained.hash}" in told
    assert "epsilon 0.60 at delta 1e-05 after the figures" in told
    assert "PUBLISHED: how well the model does on the patients of these hospitals" in told
    _, trains = shown(tmp_path)
    _, without = shown(tmp_path, text=STUDY.partition("[validation]")[0])
    assert without == trains


def test_what_is_not_there_or_does_not_fit_is_told_with_its_remedy(tmp_path: Path) -> None:
    code, told = shown(tmp_path, "--validation")
    assert code != 0
    assert "plan.json" in told
    _, told = shown(tmp_path, "--validation", text=STUDY.replace('model = "package"', ""))
    assert "study.toml: [validation], model: is missing. Write there the folder that `oncofed study package`" in told
    _, told = shown(tmp_path, "--validation", "--readiness")
    assert "--validation: stands beside --readiness" in told
    _, told = shown(tmp_path, text=STUDY.replace("epsilon = 0.6", "epsilon = 0.6\nshare = 0.95"))
    assert "[validation], share: lies between 0.9 and 1. Write 1 for all patients, or 0.9 at most." in told
    with_package(tmp_path)
    _, told = shown(tmp_path, "--validation", schema=SCHEMA.replace("scale = ", "scale = 1"))
    assert "has another scale than the model's schema" in told
