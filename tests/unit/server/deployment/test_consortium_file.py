"""The study file of a real consortium: the one a simulation reads, with all its faults at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from oncofed.errors import InvalidInput
from oncofed.privacy.accounting import GaussianRelease, epsilon_of
from oncofed.protocol.plan import Member
from oncofed.protocol.plan_words import cost_of, noise_share, plan_in_words
from oncofed.server.deployment.consortium_file import plan_for, read_consortium
from oncofed.words.languages import language_called

STUDIES = Path(__file__).parents[4] / "simulations" / "studies"
TEMPLATES = Path(__file__).parents[4] / "server" / "oncofed" / "server" / "templates"
MEMBERS = (Member("bonn", "key b"), Member("aachen", "key a"), Member("celle", "key c"))


def test_the_study_that_was_simulated_is_the_study_that_is_offered() -> None:
    consortium = read_consortium(STUDIES / "own_table" / "study.toml")
    plan = plan_for(consortium, members=MEMBERS, coordinator_public_key=b"\1" * 32, bundle_sha256="ab")
    assert plan.roster == ("aachen", "bonn", "celle")
    assert plan.quorum == 3
    assert plan.training.rounds == 60
    assert plan.schema_hash == consortium.schema.hash
    assert plan.coordinator_public_key == "01" * 32
    assert plan.privacy.reserve_rounds == 2
    release = GaussianRelease(plan.privacy.noise_multiplier)
    assert plan.privacy.delta == 1e-6
    assert epsilon_of([release] * 62, delta=1e-6) == pytest.approx(3.0, abs=0.02)


def test_the_templates_have_no_faults() -> None:
    consortium = read_consortium(TEMPLATES / "study.toml")
    assert consortium.terms.patience_seconds == 7 * 24 * 3600
    assert len(consortium.terms.released) == 3


def test_all_faults_are_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "schema.toml").write_text((TEMPLATES / "schema.toml").read_text().replace("scale = 15", "scal = 15"))
    text = (TEMPLATES / "study.toml").read_text()
    text = text.replace("epsilon = 3", "epsilom = 3").replace("patience_seconds", "patience")
    (tmp_path / "study.toml").write_text(text)
    with pytest.raises(InvalidInput) as raised:
        read_consortium(tmp_path / "study.toml")
    told = str(raised.value)
    for expected in ("epsilom", "patience", "scal", '[[marker]] "age_years"', "[privacy], epsilon"):
        assert expected in told


def test_a_table_that_only_a_simulation_has_is_refused() -> None:
    with pytest.raises(InvalidInput, match="only a simulation has"):
        read_consortium(STUDIES / "demo" / "study.toml")


def test_a_quorum_above_the_roster_is_refused(tmp_path: Path) -> None:
    (tmp_path / "schema.toml").write_text((TEMPLATES / "schema.toml").read_text())
    (tmp_path / "study.toml").write_text((TEMPLATES / "study.toml").read_text().replace("# quorum = 3", "quorum = 4"))
    consortium = read_consortium(tmp_path / "study.toml")
    consortium = replace(consortium, terms=replace(consortium.terms, answer_seconds=1e6))
    with pytest.raises(InvalidInput, match="above the 3 hospitals") as refused:
        plan_for(consortium, members=MEMBERS, coordinator_public_key=b"", bundle_sha256="")
    assert [fault.where.removeprefix("[consortium], ") for fault in refused.value.faults] == [
        *("answer_seconds", "round_timeout_seconds", "quorum")
    ]


def written(folder: Path, *lines: str) -> Path:
    """The template with these lines in its [consortium]."""
    (folder / "schema.toml").write_text((TEMPLATES / "schema.toml").read_text())
    text = (TEMPLATES / "study.toml").read_text().replace("round_timeout_seconds = 120", "\n".join(lines))
    (folder / "study.toml").write_text(text)
    return folder / "study.toml"


def test_times_of_answers_stand_in_the_plan_and_in_its_words(tmp_path: Path) -> None:
    path = written(tmp_path, "answer_seconds = 0.7", "summary_answer_seconds = 4", "round_timeout_seconds = 4")
    consortium = read_consortium(path)
    plan = plan_for(consortium, members=MEMBERS, coordinator_public_key=b"", bundle_sha256="")
    assert (plan.answer_seconds, plan.summary_answer_seconds) == (0.7, 4.0)
    words = " ".join(plan_in_words(plan, consortium.schema, parameters=1234).split())
    assert "leaves your hospital 0.7 s after its question was charged (" in words
    assert "(before the first one after a start, patients are read for 2.8 s)" in words


def test_times_that_would_tell_or_cannot_be_kept_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"answer_seconds.*is below 0\.05"):
        read_consortium(written(tmp_path, "answer_seconds = 0.01"))
    short = read_consortium(written(tmp_path, "round_timeout_seconds = 2"))
    with pytest.raises(InvalidInput, match=r"\[consortium\], round_timeout_seconds.*is not above 2"):
        plan_for(short, members=MEMBERS, coordinator_public_key=b"", bundle_sha256="")


def test_words_for_a_data_protection_officer_hold_the_figures() -> None:
    consortium = read_consortium(TEMPLATES / "study.toml")
    plan = plan_for(consortium, members=MEMBERS, coordinator_public_key=b"", bundle_sha256="")
    cost = cost_of(plan)
    assert cost is not None
    assert cost.planned < cost.largest <= 3.0 < cost.two_hospitals
    assert cost.largest == pytest.approx(3.0, abs=0.02)
    assert cost.largest_cohort == 100_000
    words = plan_in_words(plan, consortium.schema, parameters=1234, patients=40)
    one_line = " ".join(words.split())
    for expected in (
        "aachen, bonn, celle",
        "1,234 numbers",
        f"epsilon {cost.planned:.2f} at delta 1e-06",
        f"{cost.largest:.2f} if all 4 reserve rounds",
        f"epsilon up to {cost.two_hospitals:.2f}",
        f"({noise_share(plan, patients=40):.0%} for 40 patients)",
        plan.hash,
    ):
        assert expected in one_line


@pytest.mark.parametrize(
    ("language", "reserve", "said"),
    [
        ("en", 1, "if the 1 reserve round is needed, never more"),
        ("en", 2, "if all 2 reserve rounds are needed, never more"),
        ("de", 1, "wenn die 1 Reserverunde gebraucht wird, nie mehr"),
        ("de", 2, "wenn alle 2 Reserverunden gebraucht werden, nie mehr"),
    ],
)
def test_one_reserve_round_is_told_as_one(language: str, reserve: int, said: str) -> None:
    consortium = read_consortium(TEMPLATES / "study.toml")
    plan = plan_for(consortium, members=MEMBERS, coordinator_public_key=b"", bundle_sha256="")
    plan = replace(plan, privacy=replace(plan.privacy, reserve_rounds=reserve))
    words = plan_in_words(plan, consortium.schema, parameters=1234, patients=40, say=language_called(language))
    assert said in " ".join(words.split())


def test_joining_costs_a_small_hospital_more() -> None:
    consortium = read_consortium(TEMPLATES / "study.toml")
    plan = plan_for(consortium, members=MEMBERS, coordinator_public_key=b"", bundle_sha256="")
    assert noise_share(plan, patients=40) == pytest.approx(noise_share(plan, patients=240) * 6)


def test_a_plan_without_privacy_promises_nothing(tmp_path: Path) -> None:
    (tmp_path / "schema.toml").write_text((TEMPLATES / "schema.toml").read_text())
    text = (TEMPLATES / "study.toml").read_text().replace('mode = "local"', 'mode = "none"')
    (tmp_path / "study.toml").write_text(text)
    consortium = read_consortium(tmp_path / "study.toml")
    plan = plan_for(consortium, members=MEMBERS, coordinator_public_key=b"", bundle_sha256="")
    assert cost_of(plan) is None
    words = plan_in_words(plan, consortium.schema, parameters=1)
    assert "PROMISE TO A PATIENT: none" in words
    assert "epsilon" not in words


def test_a_study_that_measures_its_model_sets_patients_aside_within_its_epsilon(tmp_path: Path) -> None:
    (tmp_path / "schema.toml").write_text((TEMPLATES / "schema.toml").read_text())
    text = (TEMPLATES / "study.toml").read_text()
    (tmp_path / "study.toml").write_text(f"{text}\n[held_out]\nbudget_share = 0.25\nhorizon = 24\nfraction = 0.3\n")
    plan = plan_for(
        read_consortium(tmp_path / "study.toml"), members=MEMBERS, coordinator_public_key=b"", bundle_sha256=""
    )
    (summary,) = plan.summaries
    assert plan.held_out_fraction == 0.3
    assert summary.horizon == 24
    assert summary.horizon in summary.time_bounds
    cost = cost_of(plan)
    assert cost is not None
    assert cost.largest == pytest.approx(3.0, abs=0.02)
    of_rounds = 64 / plan.privacy.noise_multiplier**2
    assert (1 / summary.noise_multiplier**2) / (of_rounds + 1 / summary.noise_multiplier**2) == pytest.approx(0.25)
    (tmp_path / "study.toml").write_text(text)
    without = plan_for(
        read_consortium(tmp_path / "study.toml"), members=MEMBERS, coordinator_public_key=b"", bundle_sha256=""
    )
    assert (without.summaries, without.held_out_fraction) == ((), 0.0)
