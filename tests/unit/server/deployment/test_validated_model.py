"""Is a model's package believed only whole and signed, and is a schema that does not fit it refused in words?"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.doubles import study_plan

from oncofed.cohort.schema_file import parse_schema
from oncofed.errors import InvalidInput, SignatureInvalid
from oncofed.protocol.model_file import is_released, signed_model
from oncofed.protocol.plan import Member, PrivacyMode, TrainingSpec
from oncofed.protocol.signing import new_signing_key, public_key_of
from oncofed.protocol.study_document import document_bytes, signed_document
from oncofed.server.deployment.validated_model import (
    VALIDATED,
    ModelPackage,
    keep_validated,
    read_model_package,
    schema_faults,
    validated_weights,
    who_trained_it,
)
from oncofed.study.held_out_settings import HeldOutRequest
from oncofed.study.plan_settings import PlanSettings, PrivacyRequest, model_of

SCHEMA = """
[schema]
name = "lung"
patient_id = "record"
[time]
unit = "months"
interval_bounds = [0, 12, 24, 60]
[[endpoint]]
name = "overall_survival"
time = "months"
event = "died"
baseline_hazard = 0.02
[[marker]]
name = "age_years"
modality = "clinical"
kind = "continuous"
unit = "years"
plausible_range = [0, 120]
centre = 60
scale = 15
[[marker]]
name = "albumin"
modality = "laboratory"
kind = "continuous"
unit = "g/l"
plausible_range = [10, 70]
centre = 40
scale = 5
[[marker]]
name = "stage"
modality = "clinical"
kind = "categorical"
categories = ["I", "II"]
reference_category = "I"
"""
KEY = new_signing_key()
SETTINGS = PlanSettings((2,), True, 1.0, TrainingSpec(), PrivacyRequest(PrivacyMode.NONE), HeldOutRequest())


def package(folder: Path) -> Path:
    """As `oncofed study package` writes what is read of it."""
    schema = parse_schema(SCHEMA, where="schema.toml")
    plan = replace(
        study_plan(model=model_of(SETTINGS, schema)),
        roster=("Bonn", "Essen"),
        quorum=2,
        schema_hash=schema.hash,
        members=(Member("Bonn", "key of Bonn", "aa" * 32), Member("Essen", "key of Essen", "bb" * 32)),
        coordinator_public_key=public_key_of(KEY).hex(),
    )
    model = signed_model(weights(plan.model.parameters), plan_hash=plan.hash, signing_key=KEY)
    (folder / "plan.json").write_bytes(document_bytes(signed_document(plan, schema_toml=SCHEMA, signing_key=KEY)))
    (folder / "model.safetensors").write_bytes(model.content)
    (folder / "signature.json").write_text(json.dumps({"ed25519_signature": model.signature.hex()}))
    return folder


def weights(parameters: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.random.default_rng(1).normal(size=parameters)


@pytest.fixture
def read(tmp_path: Path) -> ModelPackage:
    return read_model_package(package(tmp_path))


def test_a_whole_package_gives_the_model_and_who_signed_it(read: ModelPackage) -> None:
    assert read.schema.name == "lung"
    assert read.released.plan_hash == read.plan.hash
    assert read.released.coordinator_public_key == public_key_of(KEY).hex()
    assert is_released(weights(read.plan.model.parameters), read.released)


def test_other_weights_are_not_the_model_nor_is_another_signature_its_own(read: ModelPackage) -> None:
    right = weights(read.plan.model.parameters)
    other = right.copy()
    other[3] = np.nextafter(other[3], 9.0)
    assert not is_released(other, read.released)
    stranger = signed_model(right, plan_hash=read.plan.hash, signing_key=new_signing_key()).signature.hex()
    assert not is_released(right, replace(read.released, signature=stranger))
    assert not is_released(right, replace(read.released, plan_hash="ab" * 32))


def test_a_model_that_was_changed_is_refused_and_so_is_one_of_another_plan(tmp_path: Path) -> None:
    folder = package(tmp_path)
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(SignatureInvalid):
        read_model_package(folder)
    plan = read_model_package(package(tmp_path)).plan
    strange = signed_model(weights(plan.model.parameters), plan_hash="ab" * 32, signing_key=KEY)
    (folder / "model.safetensors").write_bytes(strange.content)
    (folder / "signature.json").write_text(json.dumps({"ed25519_signature": strange.signature.hex()}))
    with pytest.raises(InvalidInput, match="is not a model of this plan"):
        read_model_package(folder)


@pytest.mark.parametrize("name", ["plan.json", "model.safetensors", "signature.json"])
def test_a_package_that_is_not_whole_says_which_file_is_missing(tmp_path: Path, name: str) -> None:
    (package(tmp_path) / name).unlink()
    with pytest.raises(InvalidInput, match=name):
        read_model_package(tmp_path)


def test_the_model_lies_beside_the_study_and_another_file_there_is_none(tmp_path: Path, read: ModelPackage) -> None:
    plan = replace(read.plan, training=TrainingSpec(rounds=0), validates=read.released)
    study = tmp_path / "studies" / plan.hash
    with pytest.raises(InvalidInput, match="does not exist, and the plan validates it"):
        validated_weights(study, plan)
    keep_validated(study, read)
    assert (validated_weights(study, plan) == weights(plan.model.parameters)).all()
    other = signed_model(weights(plan.model.parameters) + 1, plan_hash=read.plan.hash, signing_key=KEY)
    (study / VALIDATED).write_bytes(other.content)
    with pytest.raises(InvalidInput, match="is another model than the plan validates"):
        validated_weights(study, plan)


def test_hospitals_that_trained_it_are_named_whatever_they_are_called_now(read: ModelPackage) -> None:
    members = (Member("Bonn", "new key", "cc" * 32), Member("Nord", "k", "bb" * 32), Member("Ulm", "k", "dd" * 32))
    told = [str(each) for each in who_trained_it(read, members)]
    assert len(told) == 2
    assert told[0].startswith("--sites: Bonn was among the hospitals that trained the model")
    assert "Nord" in told[1]


UNFIT = {
    "a marker is missing": (
        ('[[marker]]\nname = "albumin"', '[[marker]]\nname = "Albumin_"'),
        ['marker "albumin": is missing, and the model needs it', 'the other has "Albumin_"', "is none of the model's"],
    ),
    "other units": (
        ('unit = "g/l"', 'unit = "g/dl"'),
        ['marker "albumin": has another unit', '"g/dl" in place of "g/l"'],
    ),
    "other categories": (
        ('categories = ["I", "II"]', 'categories = ["I", "II", "III"]'),
        ['marker "stage": has another categories of its own'],
    ),
    "another scale": (("scale = 5", "scale = 0.5"), ['marker "albumin": has another scale', "0.5 in place of 5"]),
    "another grid": (("[0, 12, 24, 60]", "[0, 12, 36, 60]"), ["has another interval bounds"]),
    "another endpoint": (
        ('name = "overall_survival"', 'name = "progression"'),
        ['endpoint "overall_survival": is missing'],
    ),
}


@pytest.mark.parametrize("which", UNFIT)
def test_a_schema_that_does_not_fit_is_refused_in_words(read: ModelPackage, which: str) -> None:
    (old, new), words = UNFIT[which]
    own = parse_schema(SCHEMA.replace(old, new), where="schema.toml")
    told = " | ".join(map(str, schema_faults(read, own, where="schema")))
    for each in words:
        assert each in told
    assert "convert the table" in told or "Add the" in told


def test_what_only_concerns_how_a_table_is_written_may_differ(read: ModelPackage) -> None:
    text = SCHEMA
    for old, new in (
        ('patient_id = "record"', 'patient_id = "pid"\nsite_column = "hospital"'),
        ('time = "months"', 'time = "os_months"'),
        ("plausible_range = [10, 70]", "plausible_range = [5, 80]"),
        ('name = "lung"', 'name = "ulm"'),
        ("baseline_hazard = 0.02", "baseline_hazard = 0.03"),
    ):
        text = text.replace(old, new)
    own = parse_schema(text, where="schema.toml")
    assert own.hash != read.schema.hash
    assert schema_faults(read, own, where="schema") == []
