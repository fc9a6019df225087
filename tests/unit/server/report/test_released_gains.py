"""Does the coordinator's page say what a model adds to its comparators, what layers are worth, and who was compared?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.summaries import gains_of
from tests.unit.server.report.fake_studies import fake_plan, fake_schema, fake_study
from tests.unit.server.report.test_measured import words

from oncofed.privacy.releases import release_of_summary
from oncofed.protocol.gain_layout import LARGEST_RATIO, gain_layout
from oncofed.protocol.plan import StudyPlan
from oncofed.protocol.summary_spec import SummaryKind
from oncofed.server.card.of_study import metrics_of_study
from oncofed.server.evaluation.gains import measured_gains, measured_values
from oncofed.server.rounds.state import ReleasedSummary
from oncofed.survival.comparators import Comparator
from oncofed.survival.layers import Layer

COMPARATORS = (Comparator("uicc_stage", (0,), (), 0.5), Comparator("all_scores", (0, 1), (), 0.5))
LAYERS = (Layer("rna_expression", (1,), (1,), 0.5), Layer("protein_expression", (2,), (2,), 0.5))


def plan_of(*, noise: float = 1.0) -> StudyPlan:
    plan = fake_plan(fake_schema())
    plan = replace(plan, model=replace(plan.model, comparators=COMPARATORS, layers=LAYERS), held_out_fraction=0.2)
    kinds = (SummaryKind.COMPARISON, SummaryKind.VALUE)
    specs = (replace(gains_of(plan, kind, noise_multiplier=noise), smallest_shown=50.0) for kind in kinds)
    return replace(plan, summaries=tuple(specs))


def released(plan: StudyPlan, *, patients: float = 2000.0) -> dict[str, ReleasedSummary]:
    """Both, without noise: gains of 0.08 and 0.02 with a standard deviation of 0.4; layers worth 0.05 and 0.001."""
    over, value = plan.summaries
    means = {
        over.name: np.array([0.08, 0.02]),
        value.name: np.array([0.05, 0.001, 0.06, 0.002, 0.04, 0.0, 0.051]),
    }
    counts = {
        over.name: np.array([patients, patients / 2, 0.03 * patients, patients]),
        value.name: np.array(
            [0.1 * patients, *(patients * np.array([1, 0.3, -0.2 / LARGEST_RATIO])), *np.array([500, 250, 50])]
        ),
    }
    found = {}
    for spec in (over, value):
        compared = counts[spec.name][:2] if spec is over else np.full(7, patients)
        squares = compared * (means[spec.name] ** 2 + 0.4**2)
        numbers = np.concatenate([means[spec.name] * compared, squares, counts[spec.name]])
        vector = numbers * gain_layout(plan, spec).weights
        found[spec.name] = ReleasedSummary(np.tile(vector, len(plan.model.endpoints)), plan.roster[:3])
    return found


def test_figures_follow_from_the_sums_by_hand() -> None:
    plan = plan_of()
    summaries = released(plan)
    over, values = measured_gains(plan, summaries), measured_values(plan, summaries)
    assert over is not None
    assert values is not None
    first = next(iter(over.endpoints.values()))
    noise = over.noise_sd
    stage, scores = (each.gain for each in first.over)
    assert stage is not None
    assert scores is not None
    weights = np.array(gain_layout(plan, plan.summaries[0]).weights)
    unit = noise * weights[0]
    by_hand = (0.4**2 / 2000 + noise**2 / 2000**2 + (0.08 * unit / weights[4]) ** 2 / 2000**2) ** 0.5
    assert (stage.mean, stage.standard_error) == pytest.approx((0.08, by_hand))
    assert stage.high - stage.mean == pytest.approx(2.2414 * by_hand, rel=1e-4)  # normal quantile at 0.025 / 2
    assert scores.mean == pytest.approx(0.02)
    assert (first.patients, first.held) == pytest.approx((2000, 0.03))
    told = next(iter(values.endpoints.values()))
    assert told.values is not None
    rna, protein = told.values.layers
    assert (rna.name, rna.share.mean, rna.alone.mean, rna.last.mean) == pytest.approx(
        ("rna_expression", 0.05, 0.06, 0.04)
    )
    assert protein.last.mean == pytest.approx(0.0, abs=1e-12)
    assert told.values.together.mean == pytest.approx(0.051)
    # Of two layers each kind of value is a family of two: at once, so the quantile at 0.025 / 2.
    for one in (rna.share, rna.alone, protein.share, protein.last):
        assert one.high - one.mean == pytest.approx(2.2414 * one.standard_error, rel=1e-4)
    assert told.values.together.high - 0.051 == pytest.approx(1.95996 * told.values.together.standard_error, rel=1e-4)
    assert (told.compared.events, told.compared.log_hazard_ratio) == pytest.approx((0.3, -0.2))
    assert (told.others.patients, told.others.events, told.others.log_hazard_ratio) == pytest.approx((500, 0.5, 0.2))


def test_the_page_tells_gains_values_and_who_was_compared() -> None:
    plan = plan_of()
    page = words(replace(fake_study(plan=plan), summaries=released(plan)))
    assert "what does the model add?" in page
    assert "uicc stage 2,000 0.080 (0.0" in page
    assert "3 % of some 2,000 patients are held." in page
    assert "what is each layer of data worth?" in page
    assert "RNA expression 0.050 (0.0" in page
    assert "the event came in 30 % of them and 50 % of the others" in page
    assert "is -0.20, that of the others +0.20" in page.replace("−", "-")
    assert "Released by 3 hospitals after the last round, with noise of standard deviation" in page
    assert "All of it is privately released" in page


def test_figures_of_few_patients_are_not_shown() -> None:
    plan = plan_of()
    page = words(replace(fake_study(plan=plan), summaries=released(plan, patients=30.0)))
    assert "not shown: too few patients for the noise" in page
    assert "Not shown: too few patients with all layers for the noise." in page
    assert "the event came in" not in page


@pytest.mark.parametrize(("part_of_count", "shown"), [(0.2, True), (0.3, False)])
def test_of_a_count_that_noise_moves_by_more_than_a_quarter_nothing_is_shown(part_of_count: float, shown: bool) -> None:
    """Of 2,000 patients, forty times the floor; noise of so many counted patients, as the layout weighs them."""
    plan = plan_of(noise=1.0)
    over, value = plan.summaries
    noisy = []
    for spec, counted in ((over, 4), (value, 15)):  # behind gains and their squares; of layers, who is held is first
        sd = release_of_summary(plan, spec).noise_of_sum(hospitals=3)
        wanted = part_of_count * 2000 * gain_layout(plan, spec).weights[counted]
        noisy.append(replace(spec, noise_multiplier=spec.noise_multiplier * wanted / sd))
    plan = replace(plan, summaries=tuple(noisy))
    summaries = released(plan)
    gains, values = measured_gains(plan, summaries), measured_values(plan, summaries)
    assert gains is not None
    assert values is not None
    assert (next(iter(gains.endpoints.values())).over[0].gain is not None) is shown
    assert (next(iter(values.endpoints.values())).compared.events is not None) is shown


def test_the_figures_for_programs_are_those_of_the_page() -> None:
    plan = plan_of()
    told = metrics_of_study(replace(fake_study(plan=plan), summaries=released(plan)))["gains_privately_released"]
    first = next(iter(told["over_comparators"]["endpoints"].values()))
    assert first["gains"]["uicc_stage"]["gain"]["value"] == pytest.approx(0.08)
    first = next(iter(told["values_of_layers"]["endpoints"].values()))
    assert first["layers"]["rna_expression"]["share"]["value"] == pytest.approx(0.05)
    assert first["compared"]["patients"] == pytest.approx(2000)
    assert metrics_of_study(fake_study(plan=plan))["gains_privately_released"] is None
