"""Does a coordinator hand on the very model that hospitals have, and write all of it anew when texts change?"""

from __future__ import annotations

import hashlib
import json
import tomllib
from pathlib import Path

import pytest
from tests.unit.server.report.test_reading import SCHEMA, folder, plan, release

from oncofed.cohort.schema_file import parse_schema
from oncofed.errors import InvalidInput
from oncofed.protocol.model_file import SignedModel, verified_weights
from oncofed.protocol.plan import StudyPlan
from oncofed.server.card.of_study import Said, write_package_of_study
from oncofed.study.reporting import Reporting

__all__ = ["folder", "plan"]  # fixtures


def test_the_package_is_the_signed_model_with_all_that_explains_it(
    folder: Path, plan: StudyPlan, tmp_path: Path
) -> None:
    release(folder, plan)
    out = tmp_path / "handed on"
    write_package_of_study(folder, out, None)
    signature = json.loads((out / "signature.json").read_text())
    model = SignedModel((out / "model.safetensors").read_bytes(), bytes.fromhex(signature["ed25519_signature"]))
    assert len(
        verified_weights(
            model,
            public_key=bytes.fromhex(signature["coordinator_public_key"]),
            plan_hash=plan.hash,
            parameters=plan.model.parameters,
        )
    )
    assert parse_schema((out / "schema.toml").read_text(), where="schema").hash == plan.schema_hash
    assert tomllib.loads((out / "schema.toml").read_text()) == tomllib.loads(SCHEMA)
    lines = (line.split("  ") for line in (out / "SHA256SUMS").read_text().splitlines())
    sums = {name: digest for digest, name in lines}
    assert sums == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in out.iterdir() if path.name != "SHA256SUMS"
    }
    assert set(sums) == {
        *("model.safetensors", "model.onnx", "signature.json", "schema.toml", "plan.json", "metrics.json"),
        *("tripod_ai.md", "tripod_ai.json", "model_card.md", "model_card.xml"),
    }
    assert sums["model.onnx"] in (out / "model_card.md").read_text()


def test_texts_may_be_mended_when_the_study_has_ended(folder: Path, plan: StudyPlan, tmp_path: Path) -> None:
    release(folder, plan)
    first, second = (tmp_path / name for name in ("first", "second"))
    write_package_of_study(folder, first, Said(plan.study, "", Reporting()))
    write_package_of_study(folder, second, Said(plan.study, "Lungs", Reporting(funding="A foundation.")))
    assert "# Model card: Lungs" in (second / "model_card.md").read_text()
    assert "> A foundation." in (second / "tripod_ai.md").read_text()
    assert "A foundation" not in (first / "tripod_ai.md").read_text()
    for name in ("model.safetensors", "model.onnx", "plan.json", "signature.json", "metrics.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_a_study_without_a_model_and_anothers_texts_are_refused_together(
    folder: Path, plan: StudyPlan, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match="has no released model yet") as refused:
        write_package_of_study(folder, tmp_path / "out", Said("another", "", Reporting()))
    assert len(refused.value.faults) == 2
    assert not (tmp_path / "out").exists()
