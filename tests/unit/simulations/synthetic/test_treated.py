"""The treated consortium: is the table as promised, and is the truth beside it that of the table?

By the martingale property, deaths less the true cumulative hazard under the option that was given have a mean of 0, in
any group made by what was known before.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from oncofed.cohort.schema_file import read_schema
from oncofed.cohort.validation import read_cohort, validate
from oncofed.errors import InvalidInput
from oncofed.simulations.cohort_commands import generate as generate_command
from oncofed.simulations.synthetic.files import TableFormat
from oncofed.simulations.synthetic.treated import (
    HORIZON_MONTHS,
    TRIAL,
    TreatedPatients,
    Twist,
    draw_treated,
    generate_treated,
    treated_schema,
)
from oncofed.simulations.synthetic.treated_files import true_effects, write_treated

MANY = 20_000


def many(*twists: Twist) -> TreatedPatients:
    return draw_treated(patients=MANY, hospitals=6, rng=np.random.default_rng(7), twists=twists)


def test_the_table_is_a_valid_cohort_that_fits_its_question() -> None:
    made = generate_treated(patients=500, hospitals=3, seed=1)
    cohort = validate(made.table, made.schema, where="table")
    assert len(cohort) == 500
    assert made.schema.competing(0) == (1,)
    TRIAL.refuse_unless_it_fits(made.schema)
    for name, has in zip(TRIAL.modifiers, made.patients.modifiers.T, strict=True):
        np.testing.assert_array_equal(cohort.marker_values(name) == 1, has)
    standardised = [
        (cohort.marker_values(marker.name) - marker.centre) / marker.scale for marker in made.schema.markers[:-1]
    ]
    np.testing.assert_allclose(np.stack(standardised, axis=1), made.patients.z)
    assert 0.7 < made.patients.z.std(axis=0).min() < made.patients.z.std(axis=0).max() < 1.4  # what balance counts on


@pytest.mark.parametrize("twists", [(), (Twist.UNRECORDED_FRAILTY,), (Twist.NO_EFFECT, Twist.NO_OVERLAP)])
def test_deaths_less_the_true_hazard_of_the_option_that_was_given_are_0_in_each_group(
    twists: tuple[Twist, ...],
) -> None:
    drawn = many(*twists)
    hazards = -np.log(drawn.survival(drawn.months))
    given, not_given = (np.where(drawn.second, hazards[one], hazards[1 - one]) for one in (1, 0))
    died = drawn.died_of_cancer | drawn.died_otherwise
    groups = {
        f"{second} {modifier} {has}": (drawn.second == second) & (drawn.modifiers[:, modifier] == has)
        for second in (False, True)
        for modifier in (0, 1)
        for has in (False, True)
    }
    groups |= {"frail": drawn.frailty > 0.5, "fit": drawn.frailty < -0.5, "old": drawn.values[:, 0] > 70}
    errors = []
    for rows in (rows for rows in groups.values() if rows.sum() > 1_000):
        assert abs((died - given)[rows].mean()) < 4 * (died - given)[rows].std() / np.sqrt(rows.sum())
        errors.append(abs((died - not_given)[rows].mean()) / ((died - not_given)[rows].std() / np.sqrt(rows.sum())))
    assert bool(max(errors) > 8) is (Twist.NO_EFFECT not in twists)  # the other option's hazard is noticed


def test_the_mean_time_lived_is_the_area_under_survival() -> None:
    drawn = draw_treated(patients=50, hospitals=2, rng=np.random.default_rng(3))
    months = np.linspace(0, HORIZON_MONTHS, 4_001)
    area = np.trapezoid(np.stack([drawn.survival(month) for month in months]), months, axis=0)
    np.testing.assert_allclose(drawn.mean_time(HORIZON_MONTHS), area, atol=1e-4)


def test_the_chance_of_the_second_option_is_as_told_and_the_fitter_get_it() -> None:
    drawn = many()
    chance = 1 / (1 + np.exp(-drawn.log_odds))
    fifths = np.searchsorted(np.quantile(chance, (0.2, 0.4, 0.6, 0.8)), chance)
    for fifth in range(5):
        rows = fifths == fifth
        assert abs(drawn.second[rows].mean() - chance[rows].mean()) < 4 * 0.5 / np.sqrt(rows.sum())
    assert drawn.values[drawn.second, 2].mean() < drawn.values[~drawn.second, 2].mean() - 0.5
    always = many(Twist.NO_OVERLAP)
    assert always.second[always.modifiers[:, 0]].mean() > 0.98
    assert always.second[~always.modifiers[:, 0]].mean() < 0.7


def test_the_file_of_effects_says_what_a_naive_comparison_would_get_wrong() -> None:
    plain, null = (
        true_effects(generate_treated(patients=50, hospitals=2, seed=3, twists=twists), population=MANY)
        for twists in ((), (Twist.NO_EFFECT,))
    )
    drawn = draw_treated(patients=MANY, hospitals=2, rng=np.random.default_rng([3, 2]))
    for told, effect in ((plain, True), (null, False)):
        effects = told["effects"]
        assert isinstance(effects, dict)
        assert told["naive"] - effects["all"]["overlap"]["survival_difference"] >= 0.1
        by = [effects[f"{which} {name}"]["overlap"] for name in TRIAL.modifiers for which in ("without", "with")]
        if effect:
            assert by[1]["survival_difference"] > by[0]["survival_difference"] + 0.05
            assert by[3]["survival_difference"] < by[2]["survival_difference"] - 0.03
            everybody = effects["all"]["everybody"]["survival_difference"]
            survival = drawn.survival(HORIZON_MONTHS)
            assert everybody == pytest.approx(float((survival[1] - survival[0]).mean()), abs=1e-12)
        else:
            assert all(each == dict.fromkeys(each, 0.0) for each in by)


@pytest.mark.parametrize("table_format", TableFormat)
def test_same_seed_same_bytes(table_format: TableFormat, tmp_path: Path) -> None:
    def written(seed: int, name: str) -> tuple[Path, ...]:
        made = generate_treated(patients=200, hospitals=4, seed=seed)
        return write_treated(made, tmp_path / name, table_format=table_format, population=500)

    first, second, other = written(5, "first"), written(5, "second"), written(6, "other")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert [a.read_bytes() == b.read_bytes() for a, b in zip(first, other, strict=True)] == [False, True, False, False]
    read_cohort(first[0], read_schema(first[1]))
    assert read_schema(first[1]) == treated_schema()
    with pytest.raises(InvalidInput, match="already exists"):
        written(5, "first")


def test_the_command_makes_it_with_its_twists(tmp_path: Path) -> None:
    asked = ["--treatments", "--patients", "200", "--hospitals", "3", "--out", str(tmp_path / "made")]
    done = CliRunner().invoke(generate_command, [*asked, "--twist", "no_effect", "--twist", "unrecorded_frailty"])
    assert done.exit_code == 0
    assert "no_effect, unrecorded_frailty" in done.output
    told = json.loads((tmp_path / "made" / "true_effects.json").read_text())
    assert told["made_with"]["twists"] == ["no_effect", "unrecorded_frailty"]
    options = pd.read_parquet(tmp_path / "made" / "true_options.parquet")
    assert (options["survival_first"] == options["survival_second"]).all()
    assert options["frailty"].std() > 0.8
    for wrong in (["--layers"], []):
        arguments = [*(wrong or asked[1:]), *(asked if wrong else []), *([] if wrong else ["--twist", "no_effect"])]
        refused = CliRunner().invoke(generate_command, arguments)
        assert refused.exit_code == 2
        assert "--treatments" in refused.output


def test_every_twist_is_one_that_the_command_offers() -> None:
    (offered,) = (option for option in generate_command.params if option.name == "twists")
    assert list(offered.type.choices) == list(Twist)  # type: ignore[attr-defined]


def test_impossible_numbers_are_refused_together() -> None:
    with pytest.raises(InvalidInput) as refused:
        generate_treated(patients=2, hospitals=3, seed=-1)
    assert len(refused.value.faults) == 2
