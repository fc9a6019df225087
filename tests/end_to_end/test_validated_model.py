"""Between real processes: do two hospitals that did not train a signed model measure it, charged, with intervals?"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from tests.captured_answers import answers_in, hashes_of, noted_hashes
from tests.end_to_end.installed_consortium import NOISE, Installed, cli, installed
from tests.installed_node import SCHEMA, SOURCE
from tests.leaks import leaks_in

from oncofed.cli import oncofed
from oncofed.client.guard.policy_file import read_policy
from oncofed.client.patients.sources import read_source_cohort
from oncofed.client.patients.summaries import bounded_sum
from oncofed.privacy.accounting import epsilon_of
from oncofed.privacy.releases import release_of_summary
from oncofed.protocol.study_document import StudyDocument, schema_of
from oncofed.protocol.summary_spec import SummarySpec
from oncofed.server.deployment.runs import take_in
from oncofed.server.rounds.checkpoint import load_checkpoint
from oncofed.survival.likelihood import patient_tensors

pytestmark = pytest.mark.slow

TRAINED, OTHERS = ("Berlin", "Bonn"), ("Essen", "Hamburg")
FIGURES = """
[held_out]
budget_share = 0.3
calibration_share = 0.6
horizon = 24
smallest_shown = 50
[validation]
model = "{package}"
epsilon = 0.9
"""
SHARED = """mode = "distributed"
epsilon = 1.5
delta = 1e-5
l2_norm_bound = 2
dropouts = 0
colluding = 1"""


def study_file(four: Installed, name: str, package: Path, *, privacy: str, schema: str = SCHEMA) -> Path:
    folder = four.root / name
    folder.mkdir()
    (folder / "schema.toml").write_text(schema)
    text = (four.root / "trained" / "study.toml").read_text()
    begin, end = text.index("[privacy]"), text.index("[consortium]")
    text = text[:begin] + f"[privacy]\n{privacy}\n" + FIGURES.format(package=package) + text[end:]
    (folder / "study.toml").write_text(text.replace('name = "trained"', f'name = "{name}"'))
    return folder / "study.toml"


def signed(four: Installed, file: Path, *, sites: tuple[str, ...] = OTHERS) -> tuple[int, str, Path]:
    out = file.parent / "plan.json"
    arguments = ["study", "sign", str(file), "--validation", "--coordinator", str(four.base.coordinator.root)]
    result = CliRunner().invoke(oncofed, [*arguments, "--sites", ",".join(sites), "--out", str(out)])
    return result.exit_code, " ".join(f"{result.output} {result.exception or ''}".split()), out


def exact_sums(
    four: Installed, document: StudyDocument, spec: SummarySpec, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """Of all patients, from each hospital's own table."""
    found = {}
    for site in document.plan.roster:
        source = read_policy(four.hospitals[site].folder.policy).source(SOURCE).source
        patients = patient_tensors(read_source_cohort(source, schema_of(document)))
        found[site] = bounded_sum(document.plan, spec, weights, patients).vector
    return found


def page_of(four: Installed, document: StudyDocument, path: Path) -> str:
    cli("coordinator", "report", str(four.base.coordinator.root), document.plan.hash, "--out", str(path))
    return " ".join(re.sub("<[^>]+>", " ", path.read_text()).split())


def test_two_hospitals_that_never_trained_measure_a_signed_model(tmp_path: Path) -> None:
    with installed() as four:
        four.start()
        coordinator = four.base.coordinator
        trained = four.study("trained", rounds=2, reserve=1, only=TRAINED)
        assert four.run(trained, seconds=300).finished
        package = tmp_path / "package"
        cli("study", "package", str(coordinator.root), trained.plan.hash, "--out", str(package))
        model = load_checkpoint(coordinator.study(trained.plan.hash), plan_hash=trained.plan.hash).state.weights

        # What does not fit is refused before anybody is asked.
        unfit = SCHEMA.replace('unit = "years"', 'unit = "months"')
        code, told, _ = signed(four, study_file(four, "units", package, privacy=SHARED, schema=unfit))
        assert code != 0
        assert 'marker "age": has another unit than the model\'s schema: "months" in place of "years"' in told
        local = NOISE.format(reserve=0)
        code, told, _ = signed(four, study_file(four, "bonn", package, privacy=local), sites=("Bonn", "Essen"))
        assert code != 0
        assert "Bonn was among the hospitals that trained the model" in told
        assert all(not four.hospitals[site].charges() for site in OTHERS)

        for mode, privacy in {"local": local, "distributed": SHARED}.items():
            code, told, out = signed(four, study_file(four, f"check_{mode}", package, privacy=privacy))
            assert code == 0, told
            document = take_in(coordinator, out.read_bytes())
            plan = document.plan
            charged = {site: len(four.hospitals[site].charges()) for site in plan.roster}
            assert four.run(document, seconds=300).finished
            state = load_checkpoint(coordinator.study(plan.hash), plan_hash=plan.hash).state
            np.testing.assert_array_equal(state.weights, model)
            assert [each.name for each in plan.summaries] == ["evaluation", "calibration"]
            for spec in plan.summaries:
                released, exact = state.summaries[spec.name], exact_sums(four, document, spec, model)
                assert released.answered == OTHERS
                sd = release_of_summary(plan, spec).noise_of_sum(hospitals=2)
                off = np.abs(released.vector - sum(exact.values())).max()
                assert 0.01 * sd < off < 6 * sd
                assert list(released.parts) == ([] if mode == "distributed" else list(OTHERS))
                for site, part in released.parts.items():
                    assert np.abs(part - exact[site]).max() < 6 * sd
            for site in OTHERS:
                own = four.hospitals[site].charges()[charged[site] :]
                assert len(own) == 2
                assert 0.5 < epsilon_of([each.charge.event for each in own], delta=1e-5) <= 0.9
                left = [entry.left[0].name for entry in four.hospitals[site].audit() if entry.event == "summarise"]
                kind = {"local": "vector", "distributed": "masked"}[mode]
                assert left[-2:] == [f"evaluation.{kind}", f"calibration.{kind}"]
                assert "measured" in cli("site", "status", str(four.hospitals[site].folder.root))
            page = page_of(four, document, tmp_path / f"{mode}.html")
            assert "2 hospitals measure a model that they did not train" in page
            assert re.search(r"Observed over expected events \d\.\d\d 95&nbsp;%: \d\.\d\d to \d\.\d\d", page)
            assert "C-index of the groups of risk" in page
            if mode == "local":
                assert re.search(r"Case mix.*Essen [\d,]+ [+−][\d.]+ .*Hamburg [\d,]+ [+−][\d.]+ ", page)
                assert re.search(r"1 the model is too hopeful 2 \d\.\d\d \d\.\d\d to \d\.\d\d", page)
            else:
                assert "Nothing is known of a single hospital, or of the next" in page
            assert "finished; the model is measured" in cli("coordinator", "status", str(coordinator.root), plan.hash)
        for site in TRAINED:
            assert len(four.hospitals[site].charges()) == 2
        lengths = (trained.plan.model.parameters, *(each.cells for each in plan.summaries))
        for hospital in four.hospitals.values():
            for pieces in (hospital.left_guard(), hospital.left_relay()):
                assert leaks_in(pieces, hospital.planted) == []
                captured = {one for numbers in lengths for one in answers_in(pieces, numbers=numbers)}
                assert hashes_of(captured) == noted_hashes(hospital.audit())
