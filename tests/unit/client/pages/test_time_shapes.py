"""Is a patient's curve that of the own tumour, and is the fit to this hospital made of every tumour's own course?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from tests.html_pages import Page
from tests.pages_hospital import GRID, SCHEMA, hospital, served, submit

from oncofed.client.pages.accounts import Role
from oncofed.client.pages.hospital import HospitalPrognosis
from oncofed.client.pages.patient_view import patient_view
from oncofed.cohort.encoding import columns
from oncofed.study.explanation_settings import entity_columns
from oncofed.survival.network import network_with, parameter_vector
from oncofed.survival.time_shapes import TimeShapes
from oncofed.words.time_shapes import when_words

SHAPES = TimeShapes(functions=1, centre=9.0, weight=1.0, entity_columns=entity_columns(SCHEMA))


def with_shapes(made: HospitalPrognosis, u: list[float]) -> HospitalPrognosis:
    """u: of each entity, for both endpoints."""
    spec = replace(made.network.spec, time_shapes=SHAPES)
    plain = parameter_vector(made.network)
    begin = spec.baseline_parameters
    weights = np.concatenate([plain[:begin], [*u, *u], plain[begin:]])
    return replace(made, network=network_with(spec, weights))


MADE = with_shapes(hospital(), [0.0, 0.8, -0.8])


def test_a_curve_is_the_models_for_the_own_tumour() -> None:
    seen = set()
    for row in range(12):
        view = patient_view(MADE, row, endpoint=0)
        hazard = MADE.network.log_hazard(torch.as_tensor(MADE.encoded(row)))[0, 0].exp().detach().numpy()
        survival = np.exp(-np.concatenate([[0.0], np.cumsum(hazard)]))
        np.testing.assert_allclose(np.interp(GRID.bounds, view.curve.times, view.curve.released), survival, atol=2e-3)
        seen.add(float(MADE.cohort.values[row, 3]))
    assert len(seen) == 3


def test_contributions_add_up_to_the_log_hazard_ratio_at_the_centre() -> None:
    middle = next(k for k in range(GRID.intervals) if GRID.bounds[k] < SHAPES.centre <= GRID.bounds[k + 1])
    assert np.isclose(SHAPES.on(GRID)[0, middle], 0.0, atol=1e-12)
    for row in range(6):
        own = MADE.own(0, row)
        log_hazard = MADE.network.log_hazard(torch.as_tensor(MADE.encoded(row)))[0, 0].detach().numpy()
        ratio = log_hazard[middle] - MADE.network.reference_log_hazard[0, middle]
        assert np.isclose(own.log_hazard_ratio, ratio, atol=1e-7)
        assert np.isclose(own.relevance.sum(), ratio, atol=1e-7)


def test_the_fit_to_the_hospital_expects_what_each_tumours_course_expects() -> None:
    """Parts are told by their middle risk, so the events expected are right to some per cent only."""
    made = with_shapes(hospital(), [0.0, 3.0, -3.0])
    found = made.endpoint(0).recalibration
    assert found is not None
    cohort = made.units.cohort
    at_risk = GRID.at_risk(cohort.entry[:, 0], cohort.exit[:, 0])
    ratio = made.endpoint(0).log_hazard_ratio[:, None]
    own = made.network.log_baseline_hazard(torch.as_tensor(made.published_encoded))[:, 0]
    expected, alike = (
        float((np.exp(baseline + ratio) * at_risk).sum()) for baseline in (own, made.network.reference_log_hazard[0])
    )
    assert not np.isclose(alike, expected, rtol=0.3)
    assert np.isclose(found.expected, expected, rtol=0.15)


def test_several_tumours_together_have_the_mean_hazard_of_all_that_the_schema_knows() -> None:
    of_each = []
    for column in (None, *SHAPES.entity_columns):
        x = np.zeros((1, len(columns(SCHEMA))))
        if column is not None:
            x[0, column] = 1.0
        of_each.append(MADE.network.log_baseline_hazard(torch.as_tensor(x))[0])
    np.testing.assert_allclose(MADE._log_baseline_hazard(-1), np.log(np.mean(np.exp(of_each), axis=0)), rtol=1e-12)
    np.testing.assert_allclose(MADE._log_baseline_hazard(1), of_each[1], rtol=1e-12)


def test_the_patients_page_and_what_if_say_of_which_time_hazard_ratios_are(tmp_path: Path) -> None:
    assert when_words(hospital().network.spec) == ""
    words = "Hazard ratios are of the time from 6 to 12 months."
    assert when_words(MADE.network.spec).startswith(words)
    with served(tmp_path, shown=MADE) as here:
        client = here.signed_in(Role.CLINICIAN)
        address = here.opened(client)
        other = submit(client, f"{address}/what-if", f"{address}/what-if", endpoint="0", value_0="85")
        for answer in (client.get(address), other):
            assert words in Page(answer.text).text
