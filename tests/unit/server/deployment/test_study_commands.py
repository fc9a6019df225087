"""Does `oncofed study` go from a template to a signed plan, and refuse what is not one?"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.command_line import oncofed
from tests.end_to_end.flower_processes import enrol, new_coordinator, new_node

from oncofed.protocol.study_document import read_document, verify_document
from oncofed.server.deployment.folder import CoordinatorFolder

SITES = ("Bonn", "Essen", "Kiel")


@pytest.fixture
def study(tmp_path: Path) -> Path:
    assert oncofed("study", "new", tmp_path / "lung").code == 0
    return tmp_path / "lung" / "study.toml"


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory: pytest.TempPathFactory) -> CoordinatorFolder:
    root = tmp_path_factory.mktemp("consortium")
    folder = new_coordinator(root / "coordinator")
    for site in SITES:
        enrol(folder, new_node(root / site, site))
    return folder


@pytest.fixture
def plan(study: Path, coordinator: CoordinatorFolder, tmp_path: Path) -> Path:
    out = tmp_path / "lung.plan.json"
    said = oncofed("study", "sign", study, "--coordinator", coordinator.root, "--out", out)
    assert said.code == 0, said.text
    return out


def test_the_templates_have_no_fault_as_they_come(study: Path) -> None:
    said = oncofed("study", "validate", study)
    assert said.code == 0, said.text
    assert "no faults" in said.text
    shown = oncofed("study", "show", study, "--patients", "400")
    assert shown.code == 0, shown.text
    assert "400" in shown.text


def test_what_a_study_asks_is_told_in_german_to_whom_asks_for_it(study: Path) -> None:
    english, german = (oncofed("study", "show", study, *more) for more in ((), ("--language", "de")))
    assert (english.code, german.code) == (0, 0)
    assert "PROMISE TO A PATIENT: epsilon " in english.text
    assert "ZUSAGE AN EINEN PATIENTEN: Epsilon " in german.text
    assert "PROMISE" not in german.text


def test_validate_says_which_texts_of_the_model_card_are_missing(study: Path) -> None:
    said = oncofed("study", "validate", study)
    assert "  ethics" in said.text
    assert "TRIPOD+AI 17" in said.text
    study.write_text(study.read_text() + '\n[reporting]\nethics = "The committee of Bonn, 12/34."\n')
    mended = oncofed("study", "validate", study)
    assert mended.code == 0
    assert "  ethics" not in mended.text
    assert len(mended.text.splitlines()) == len(said.text.splitlines()) - 1


def test_a_package_of_no_study_is_refused(coordinator: CoordinatorFolder, tmp_path: Path) -> None:
    said = oncofed("study", "package", coordinator.root, "--out", tmp_path / "out")
    assert said.code != 0
    assert "no study here has a hash that begins so" in said.text
    assert not (tmp_path / "out").exists()


def test_a_study_is_shown_in_lines_that_the_terminal_does_not_break(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for columns in (50, 70):
        monkeypatch.setenv("COLUMNS", str(columns))
        shown = oncofed("study", "show", study).text
        assert columns - 15 < max(map(len, shown.splitlines())) <= columns


def test_new_overwrites_nothing(study: Path) -> None:
    study.write_text("mine")
    said = oncofed("study", "new", study.parent)
    assert said.code == 2
    assert study.read_text() == "mine"


def test_every_fault_is_told_at_once(study: Path) -> None:
    text = study.read_text()
    study.write_text(re.sub(r"(?m)^rounds *=.*$", "rounds = -1\nrunds = 3", text))
    said = oncofed("study", "validate", study)
    assert said.code == 2
    assert said.text.count("\n  - ") >= 2


def test_a_signed_plan_is_for_the_hospitals_that_are_enrolled(plan: Path, coordinator: CoordinatorFolder) -> None:
    document = read_document(plan.read_bytes())
    verify_document(document, public_key=bytes.fromhex(coordinator.public_key.read_text().strip()))
    assert document.plan.roster == SITES
    said = oncofed("study", "hash", plan)
    assert (said.code, said.text.strip()) == (0, document.plan.hash)
    assert oncofed("study", "validate", plan).code == 0
    assert oncofed("study", "show", plan).code == 0
    other = oncofed("study", "show", plan, "--options", "--readiness")
    assert (other.code, other.text.count("is signed, and one plan")) == (2, 2)


def test_signing_for_some_of_them(study: Path, coordinator: CoordinatorFolder, tmp_path: Path) -> None:
    text = re.sub(r"(?m)^quorum *=.*$", "", study.read_text())
    study.write_text(text)
    out = tmp_path / "two.plan.json"
    chosen = ("--sites", "Kiel, Bonn")
    said = oncofed("study", "sign", study, "--coordinator", coordinator.root, "--out", out, *chosen)
    assert said.code == 0, said.text
    assert set(read_document(out.read_bytes()).plan.roster) == {"Bonn", "Kiel"}


def test_a_hospital_that_is_not_enrolled_is_named_with_those_that_are(
    study: Path, coordinator: CoordinatorFolder, tmp_path: Path
) -> None:
    out = tmp_path / "plan.json"
    said = oncofed("study", "sign", study, "--coordinator", coordinator.root, "--out", out, "--sites", "Bonn,Bona")
    assert said.code == 2
    assert '"Bona" is not enrolled' in said.text
    assert "Members: Bonn, Essen, Kiel." in said.text
    assert not out.exists()


def test_nobody_enrolled_and_no_coordinator_are_told_apart(study: Path, tmp_path: Path) -> None:
    empty = new_coordinator(tmp_path / "empty")
    said = oncofed("study", "sign", study, "--coordinator", empty.root, "--out", tmp_path / "p")
    assert (said.code, "no hospital is enrolled" in said.text) == (2, True)
    said = oncofed("study", "sign", study, "--coordinator", tmp_path / "elsewhere", "--out", tmp_path / "p")
    assert (said.code, "coordinator.toml" in said.text) == (2, True)


@pytest.mark.parametrize("command", ["validate", "show", "hash"])
def test_a_plan_that_was_changed_after_signing_is_refused(command: str, plan: Path) -> None:
    fields = json.loads(plan.read_bytes())
    fields["plan"]["study"] = "another"
    plan.write_bytes(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode())
    said = oncofed("study", command, plan)
    assert said.code == 1
    assert "sign" in said.text


def test_a_study_file_has_no_hash_yet(study: Path) -> None:
    said = oncofed("study", "hash", study)
    assert (said.code, "Sign it first" in said.text) == (2, True)


SHARED = 'mode = "distributed"\ndropouts = {dropouts}\ncolluding = {colluding}'


def sharing(study: Path, *, dropouts: int, colluding: int) -> None:
    text = re.sub(r'(?m)^mode = "local".*$', SHARED.format(dropouts=dropouts, colluding=colluding), study.read_text())
    study.write_text(text)


def test_the_templates_other_mode_has_no_fault_and_says_whom_one_trusts(study: Path) -> None:
    """As the comments of the template say it; and for a consortium larger than the unnamed hospitals of a check."""
    text = study.read_text()
    assert all(f"# {line}" in text for line in SHARED.format(dropouts=1, colluding=1).splitlines())
    for dropouts, colluding in ((1, 1), (2, 2)):
        sharing(study, dropouts=dropouts, colluding=colluding)
        said = oncofed("study", "validate", study)
        assert said.code == 0, said.text
        assert "WHOM YOU TRUST" in oncofed("study", "show", study).text
        study.write_text(text)


def test_a_shared_study_counts_with_all_but_its_dropouts(
    study: Path, coordinator: CoordinatorFolder, tmp_path: Path
) -> None:
    sharing(study, dropouts=1, colluding=1)
    out = tmp_path / "shared.plan.json"
    said = oncofed("study", "sign", study, "--coordinator", coordinator.root, "--out", out)
    assert said.code == 0, said.text
    assert read_document(out.read_bytes()).plan.quorum == 2
    study.write_text(study.read_text().replace("[consortium]", "[consortium]\nquorum = 3"))
    said = oncofed("study", "sign", study, "--coordinator", coordinator.root, "--out", out)
    assert (said.code, "it follows from privacy.dropouts" in said.text) == (2, True), said.text
