"""Do the benchmarks compare what they say, and tell a reached ratio from a missed one?"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from tests.doubles import SilentNoise, round_contribution
from tests.postgresql import running_postgresql

from oncofed.client.guard.guard import Guard
from oncofed.client.guard.one_thread import one_thread
from oncofed.client.patients.training import ascent_sum
from oncofed.privacy.bounded_sum import BoundedSum
from oncofed.protocol.messages import ContributeRequest, Contribution
from oncofed.protocol.plan import PrivacyMode, StudyPlan
from oncofed.simulations.benchmarks import __main__ as entry
from oncofed.simulations.benchmarks import browser, contribution, masking, rounds, scale
from oncofed.simulations.benchmarks.contribution import contribution_table
from oncofed.simulations.benchmarks.first_view import first_view_table
from oncofed.simulations.benchmarks.made_up import model, patients, plan
from oncofed.simulations.benchmarks.masking import masking_table
from oncofed.simulations.benchmarks.omop_import import omop_import_table
from oncofed.simulations.benchmarks.rounds import rounds_table
from oncofed.simulations.benchmarks.side_by_side import Spread, interleaved, ratio
from oncofed.simulations.benchmarks.summaries import summaries_table
from oncofed.simulations.benchmarks.tables import Table, verdict
from oncofed.survival.likelihood import PatientTensors, patient_losses
from oncofed.survival.network import PrognosisNetwork, parameter_vector


def busy(seconds: float) -> None:
    began = time.process_time()
    while time.process_time() - began < seconds:
        pass


def test_a_ratio_is_taken_within_each_repetition() -> None:
    # The machine slows down tenfold half way: the ratio of medians would be 2 or 20, each repetition says 2.
    slow = ratio([2.0, 2.0, 20.0, 20.0, 20.0], [1.0, 1.0, 10.0, 10.0, 10.0])
    assert slow == Spread(2.0, 2.0, 2.0)
    assert Spread.of([5.0, 1.0, 3.0, 2.0, 4.0]) == Spread(3.0, 2.0, 4.0)
    assert str(Spread.of([0.5])) == "0.50 (0.50 to 0.50)"


def test_interleaved_times_one_call_of_each() -> None:
    found = interleaved(
        {"one": lambda: busy(0.002), "three": lambda: busy(0.006)}, repetitions=3, at_least_seconds=0.01
    )
    assert len(found["one"]) == len(found["three"]) == 3
    assert ratio(found["three"], found["one"]).median == pytest.approx(3, rel=0.3)


def test_sleeping_costs_nothing_and_threads_are_given_back() -> None:
    before = torch.get_num_threads()
    with one_thread():
        assert torch.get_num_threads() == 1
        found = interleaved({"sleep": lambda: time.sleep(0.02)}, repetitions=1, at_least_seconds=0.0)
    assert torch.get_num_threads() == before
    assert found["sleep"][0] < 0.01


def test_verdicts() -> None:
    assert verdict("speed", 0.61, at_least=0.6) == "speed: 0.61, wanted at least 0.6: reached."
    assert verdict("speed", 0.59, at_least=0.6).endswith("MISSED.")
    assert verdict("time", 1.4, at_most=1.5).endswith("reached.")
    assert verdict("time", 1.6, at_most=1.5).endswith("MISSED.")


def test_loop_and_grid_train_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """The benchmark itself compares the weights after each round, so a loop that does less is noticed."""
    monkeypatch.setattr(rounds, "NETWORKS", {"tiny": model(columns=5, hidden_units=(3,))})
    table = rounds_table(rounds=3, sites=(2, 4), with_ray=False)
    assert [row[2:4] for row in table.rows] == [("no", "2"), ("no", "4"), ("yes", "2"), ("yes", "4")]

    def half_a_direction(study: StudyPlan, weights: np.ndarray, cohort: PatientTensors) -> BoundedSum:
        whole = ascent_sum(study, weights, cohort)
        return BoundedSum(whole.vector * np.linspace(0.5, -0.5, len(whole.vector)), whole.l2_norm_bound)

    monkeypatch.setattr(rounds, "ascent_sum", half_a_direction)
    with pytest.raises(AssertionError, match="Not equal"):
        rounds_table(rounds=1, sites=(2,), with_ray=False)


def test_rounds_of_thousands_are_compared_with_a_loop_that_does_their_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale, "DEMONSTRATION", model(columns=5, hidden_units=(3,)))
    monkeypatch.setattr(scale, "LOOP_SITES", 3)
    computed: list[int] = []

    def counted(study: StudyPlan, weights: np.ndarray, cohort: PatientTensors) -> BoundedSum:
        computed.append(len(cohort))
        return ascent_sum(study, weights, cohort)

    monkeypatch.setattr(scale, "ascent_sum", counted)
    table = scale.scale_table(rounds=2, sites=(4, 6))
    assert [row[:2] for row in table.rows] == [(mode.value, count) for mode in PrivacyMode for count in ("4", "6")]
    assert len(computed) == len(table.rows) * (scale.WARM_UP_ROUNDS + 2) * 3
    assert sum("wanted at most 1.3" in note for note in table.notes) == len(table.rows)


def test_a_masked_round_is_compared_with_a_plain_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is charged for what it says it is, and both move the weights; the masked one by masked sums."""
    asked: list[tuple[str, str]] = []
    answer = Guard.contribute

    def noting(guard: Guard, request: ContributeRequest) -> Contribution:
        contribution = answer(guard, request)
        asked.append((guard.plan.privacy.mode.value, str(contribution.vector.dtype)))
        return contribution

    monkeypatch.setattr(Guard, "contribute", noting)
    monkeypatch.setattr(masking, "NETWORKS", {"small": model(columns=5, hidden_units=(3,))})
    table = masking_table(rounds=2, sites=(4,))
    assert asked == ([("local", "float64")] * 4 + [("distributed", "uint64")] * 8) * (masking.WARM_UP_ROUNDS + 2)
    assert [row[table.columns.index("masks with")] for row in table.rows] == ["3", "2"]
    for row in table.rows:
        assert row[table.columns.index("bytes")] == "1.00"
        assert float(row[table.columns.index("masked, s")]) > 0


def test_of_many_sites_all_with_all_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masking, "NETWORKS", {"small": model(columns=5, hidden_units=(3,))})
    monkeypatch.setattr(masking, "MOST_SITES_WITH_ALL", 3)
    table = masking_table(rounds=1, sites=(4,))
    assert [row[table.columns.index("masks with")] for row in table.rows] == ["2"]


def test_every_way_is_compared_and_hooks_are_left_out_where_they_would_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contribution, "NETWORKS", {"small": model(columns=6, hidden_units=(3,))})
    monkeypatch.setattr(contribution, "LARGEST_HOOKED_BYTES", 8 * 40 * 60)
    table = contribution_table(repetitions=1, batches=(16, 2048))
    small, large = table.rows
    hooks = table.columns.index("of Opacus hooks")
    assert float(small[hooks]) > 0
    assert large[hooks] == "over 1 GB"
    assert any("2,048 patients" in note for note in table.notes)


def test_the_float32_twin_has_the_same_gradient() -> None:
    network = PrognosisNetwork(model(columns=6, hidden_units=(3,)), initialisation_seed=1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1)
    cohort = patients(30, columns=6, seed=1)
    narrow = contribution._plain_float32(network, cohort)()
    wide = torch.autograd.grad(patient_losses(network, cohort).sum(), list(network.parameters()))
    assert isinstance(narrow, tuple)
    for one, other in zip(narrow, wide, strict=True):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-4)


def test_the_private_contribution_measured_is_the_products() -> None:
    """Without noise the two must be the same vector, but for the direction: uphill there."""
    spec = model(columns=6, hidden_units=(3,))
    network = PrognosisNetwork(spec, initialisation_seed=1)
    cohort, study = patients(30, columns=6, seed=1), plan(spec, sites=1, rounds=1, private=True)
    measured = contribution._private(network, cohort, study, noise=SilentNoise())()
    product = round_contribution(study, parameter_vector(network), cohort, noise=SilentNoise())
    np.testing.assert_array_equal(-np.asarray(measured), product)
    assert np.linalg.norm(product) > 0.1


def test_the_command_prints_and_writes_the_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Table("A title", ("what", "ratio"), (("this", "0.70"),), ("A note.",))
    monkeypatch.setattr(entry, "PARTS", {"contribution": lambda quick: made, "rounds": lambda quick: 1 / 0})
    page = tmp_path / "new" / "page.md"
    ran = CliRunner().invoke(entry.benchmarks, ["--only", "contribution", "--out", str(page)], catch_exceptions=False)
    assert ran.exit_code == 0
    assert "A note." in ran.stdout
    assert "measuring" not in ran.stdout
    assert "## A title\n\n| what | ratio |\n|---|---|\n| this | 0.70 |\n\nA note.\n" in page.read_text()


@pytest.mark.slow
def test_summaries_are_timed_of_all_patients_and_of_one_at_a_time() -> None:
    table = summaries_table(many=30, units=2, repetitions=1)
    assert [row[:2] for row in table.rows] == [
        ("evaluation", "120"),
        ("calibration", "25"),
        ("key_markers", "27,651"),
        ("interactions", "61,075"),
    ]
    for _, _, seconds, together, alone, times in table.rows:
        assert float(seconds) / 30 * 1000 == pytest.approx(float(together), abs=0.2)
        assert float(alone) / float(together) == pytest.approx(float(times), rel=0.2)
    assert len(table.notes) == 1 + 4


@pytest.mark.slow
def test_a_first_view_is_measured_in_a_browser_beside_the_shortest_way() -> None:
    if browser.CHROMIUM is None:
        pytest.skip("NOT TESTED: that a first view is measured. apt-get install chromium to test it.")
    table = first_view_table(patients=60, views=3)
    ((patients, view, nobody, ratio, stopped, stopped_nobody, started, page, whole),) = table.rows
    assert patients == "60"
    assert 0 < float(nobody.split()[0]) < float(view.split()[0]) * 3
    # Both pictures are there with the first paint, so whoever waits for them cannot know earlier.
    assert 0.02 < float(view.split()[0]) <= float(stopped.split()[0]) + 0.02
    assert 0.02 < float(nobody.split()[0]) <= float(stopped_nobody.split()[0]) + 0.02
    assert float(ratio.split()[0]) > 0
    assert float(started) > 0
    assert 40 < float(page) < float(whole)
    assert [each.rpartition("wanted at most ")[2].partition(":")[0] for each in table.notes[-3:]] == [
        "15",
        "150",
        "0.25",
    ]


def test_without_a_browser_it_says_that_nothing_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser, "CHROMIUM", None)
    table = first_view_table(patients=60, views=3)
    assert table.rows == ()
    assert table.notes[0].startswith("NOT MEASURED")


@pytest.mark.slow
def test_an_omop_import_is_measured_beside_pandas_from_files_and_from_a_database(tmp_path: Path) -> None:
    """All four tables are one, or the benchmark ends."""
    with running_postgresql() as server:
        (tmp_path / "address").write_text(f"{server.url}\n")
        table = omop_import_table(measurements=3_000, patients=60, url_file=tmp_path / "address")
        import psycopg  # noqa: PLC0415 - the server has skipped without it

        with psycopg.connect(server.url) as connection:
            found = connection.execute("SELECT schema_name FROM information_schema.schemata").fetchall()
    assert [row[:2] for row in table.rows] == [
        (place, side) for place in ("Parquet files", "PostgreSQL") for side in ("import", "pandas by hand")
    ]
    assert all(float(row[-1]) > 0 for row in table.rows)  # of memory; so few rows may take 0.0 seconds
    assert all(float(cell) >= 0 for row in table.rows for cell in row[2:])
    assert not [name for (name,) in found if "oncofed" in name]
