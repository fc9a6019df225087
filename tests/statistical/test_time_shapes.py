"""Are risks right in each tumour entity and at each time, where entities differ in when patients die?

The truth is in how patients are drawn: of three tumours one kills early, one evenly and one late (Weibull hazards,
which are no model's form here), and age and a marker raise the hazard of each alike. Trained and measured through the
same rounds as any study, with expected events counted by `survival.expected_events`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import oncofed.lab as of
from oncofed.cohort.schema import Endpoint, Kind, Marker, Modality, StudySchema
from oncofed.study.plan_settings import PrivacyRequest
from oncofed.survival.grid import TimeGrid

TUMOURS = {"even": 1.0, "early": 0.65, "late": 1.6}
"""Shapes of Weibull hazards; each with half of the reference patients dead after 30 months."""
SCHEMA = StudySchema(
    name="courses",
    patient_id="id",
    markers=(
        Marker("age", Modality.CLINICAL, Kind.CONTINUOUS, "years", (0.0, 120.0), 60.0, 15.0),
        Marker("tumour", Modality.CLINICAL, Kind.CATEGORICAL, categories=(*TUMOURS,), reference_category="even"),
        Marker("marker", Modality.LABORATORY, Kind.CONTINUOUS, "", (-9.0, 9.0), 0.0, 1.0),
    ),
    endpoints=(Endpoint("overall_survival", "months", "dead", "entered"),),
    grid=TimeGrid((0.0, 3.0, 6.0, 12.0, 18.0, 24.0, 36.0, 60.0, 120.0)),
    baseline_hazard=(0.02,),
    site_column="site",
    tumour_entity="tumour",
)
RIGHT = (0.75, 4 / 3)


def drawn(count: int, seed: int) -> pd.DataFrame:
    """Of whom a third come under observation late; who dies before that is never seen."""
    rng = np.random.default_rng(seed)
    tumour = rng.choice([*TUMOURS], count)
    age, marker = rng.normal(60, 12, count).clip(20, 100), rng.normal(size=count).clip(-5, 5)
    ratio = np.exp(0.5 * (age - 60) / 15 + 0.5 * marker)
    shape = np.array([TUMOURS[each] for each in tumour])
    death = 30.0 * (rng.exponential(size=count) / (np.log(2) * ratio)) ** (1 / shape)
    entered = np.where(rng.random(count) < 1 / 3, rng.exponential(4.0, count), 0.0)
    last = np.minimum(rng.uniform(24, 120, count), rng.exponential(200.0, count))
    end = np.maximum(np.minimum(death, last), 1e-3)
    table = pd.DataFrame(
        {
            "id": [f"p{seed}-{row}" for row in range(count)],
            "site": [f"hospital-{row % 4}" for row in range(count)],
            "age": age,
            "tumour": tumour,
            "marker": marker,
            "entered": entered,
            "months": end,
            "dead": (death <= last).astype(int),
        }
    )
    seen: pd.DataFrame = table.loc[entered < end]
    return seen


TEST = of.read_cohort(drawn(9000, seed=2), SCHEMA)


def off(shapes: int, privacy: PrivacyRequest) -> pd.DataFrame:
    """Tumours and windows of 30 expected events or more, and observed over expected events there."""
    hospitals, _ = of.split(of.read_cohort(drawn(6000, seed=1), SCHEMA), test=0.001)
    network = of.prognosis([], entity_time_shapes=shapes)
    run = of.train(hospitals, privacy=privacy, network=network, rounds=100, progress=False)
    found = of.calibration(run.model, TEST, at=36).query("by == 'entity' and expected >= 30")
    assert len(found) >= 8
    return found


WAYS = {
    "no privacy": of.no_privacy(),
    "clipped, noise of each": of.local(epsilon=3, clip=4),
    "stopped, noise shared": of.distributed(epsilon=3, dropouts=0, colluding=1, bounding="stopped", clip=1),
}


def far(found: pd.DataFrame) -> float:
    """How far observed over expected is from 1: the root mean square of its logarithm over tumours and windows."""
    return float(np.sqrt((np.log(found["ratio"]) ** 2).mean()))


def test_with_shapes_risks_are_right_in_each_tumour_and_window() -> None:
    found = off(2, WAYS["no privacy"])
    assert found["ratio"].between(*RIGHT).all(), found[["group", "begin", "expected", "ratio"]]


@pytest.mark.slow
@pytest.mark.parametrize("privacy", WAYS.values(), ids=WAYS)
def test_with_shapes_risks_are_nearly_right(privacy: PrivacyRequest) -> None:
    """Noise has no seed, so a cell says little. In 15 trainings: 0.07 to 0.12 with shapes, 0.39 to 0.43 without."""
    found = off(2, privacy)
    assert far(found) < 0.25, found[["group", "begin", "expected", "ratio"]]


@pytest.mark.slow
@pytest.mark.parametrize("privacy", WAYS.values(), ids=WAYS)
def test_without_shapes_they_are_not(privacy: PrivacyRequest) -> None:
    without = off(0, privacy)
    assert far(without) > 0.33
    assert (~without["ratio"].between(*RIGHT)).sum() >= 3
