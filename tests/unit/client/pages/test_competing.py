"""Where endpoints exclude each other: do pages show what comes first, and never a world without the others?"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import quad
from tests.html_pages import Page
from tests.pages_hospital import CAUSES, GRID, hospital, served, with_causes

from oncofed.client.pages.accounts import Role
from oncofed.client.pages.cause_words import cause_words, of_hundred
from oncofed.client.pages.cohort_view import risk_groups
from oncofed.client.pages.competing import incidence_band, slopes
from oncofed.client.pages.hospital import OwnPrognosis
from oncofed.client.pages.patient_view import Status, patient_view
from oncofed.client.pages.published import renewal
from oncofed.client.pages.recalibration import Recalibration, band
from oncofed.cohort.cohort import Cohort
from oncofed.cohort.schema import Endpoint
from oncofed.survival.aalen_johansen import aalen_johansen
from oncofed.survival.curves import cumulative_incidence
from oncofed.survival.kaplan_meier import kaplan_meier
from oncofed.words.languages import languages

FloatArray = NDArray[np.float64]
HERE = with_causes()
ROW = 5
TIMES = np.linspace(0.0, 60.0, 241)


def a_month(cause: int) -> FloatArray:
    """(intervals,), the patient's hazard, adjusted to the hospital."""
    fit, own = HERE.endpoint(cause).recalibration, HERE.own(cause, ROW)
    assert fit is not None
    return np.asarray(
        np.exp(own.log_baseline_hazard + fit.corrections + fit.slope * own.log_hazard_ratio) / GRID.widths
    )


HAZARDS = np.array([a_month(0), a_month(1)])


def interval(month: float) -> int:
    return min(int(np.searchsorted(GRID.bounds, month, side="right")) - 1, GRID.intervals - 1)


def test_a_patients_shares_are_the_integral_of_each_hazard_over_those_who_are_free() -> None:
    def free(month: float) -> float:
        lived = np.clip(month - np.asarray(GRID.bounds[:-1]), 0.0, GRID.widths)
        return float(np.exp(-(lived * HAZARDS).sum()))

    for cause in (0, 1):
        found = patient_view(HERE, ROW, endpoint=cause).competing
        assert found is not None
        assert found.causes == (cause, 1 - cause)
        for month in (6.0, 24.0):
            inner = [bound for bound in GRID.bounds[1:-1] if bound < month] or None
            slowly = quad(lambda t, c=cause: HAZARDS[c, interval(t)] * free(t), 0, month, points=inner)[0]
            assert found.at(month)[0] == pytest.approx(slowly, abs=1e-5)


def test_both_pages_of_a_patient_tell_the_same_and_all_shares_are_one() -> None:
    one, other = (patient_view(HERE, ROW, endpoint=cause).competing for cause in (0, 1))
    assert one is not None
    assert other is not None
    np.testing.assert_allclose(one.shares, other.shares[::-1], atol=1e-12)
    np.testing.assert_allclose(one.shares.sum(axis=0) + one.free, 1.0)
    apart = 1 - np.exp(-(HAZARDS[0] * GRID.widths).sum())
    assert one.shares[0, -1] < apart - 0.05, "the check must be able to fail"
    assert patient_view(hospital(), ROW, endpoint=0).competing is None


def test_the_curve_that_the_rest_of_the_page_reads_is_of_those_who_have_not_had_it() -> None:
    shown = patient_view(HERE, ROW, endpoint=0)
    assert shown.competing is not None
    np.testing.assert_allclose(shown.curve.survival, 1 - shown.competing.shares[0])
    assert shown.curve.adjusted is not None
    assert (shown.curve.adjusted.low <= shown.curve.survival).all()
    assert (shown.curve.survival <= shown.curve.adjusted.high).all()
    own = [HERE.own(cause, ROW) for cause in (0, 1)]
    hazards = np.exp([each.log_baseline_hazard + each.log_hazard_ratio for each in own])
    as_released = cumulative_incidence(hazards, grid=GRID, times=TIMES)[0]
    np.testing.assert_allclose(shown.curve.released, 1 - as_released, atol=1e-12)


def test_slopes_are_those_of_small_steps() -> None:
    log_hazards = np.log(np.array([[0.2, 0.1, 0.4, 0.3], [0.05, 0.3, 0.2, 0.6], [0.1, 0.1, 0.1, 0.1]]))
    times = np.array([0.0, 3.0, 6.0, 20.0, 60.0])
    found = slopes(np.exp(log_hazards), GRID, times)
    for cause in range(3):
        for interval in range(4):
            step = np.zeros_like(log_hazards)
            step[cause, interval] = 1e-6
            up, down = (
                cumulative_incidence(np.exp(log_hazards + sign * step), grid=GRID, times=times)[0] for sign in (1, -1)
            )
            np.testing.assert_allclose(found[cause, :, interval], (up - down) / 2e-6, atol=1e-8)


def _fit(seed: int) -> Recalibration:
    rng = np.random.default_rng(seed)
    root = 0.1 * rng.normal(size=(5, 5))
    return Recalibration(np.zeros(4), 1.0, root @ root.T, 100, 50, 50.0)


def _patient(*log_hazards: float, ratio: float = 0.4) -> OwnPrognosis:
    return OwnPrognosis(np.zeros(0), ratio, np.array(log_hazards) - ratio)


def test_where_nothing_competes_the_band_is_that_of_survival() -> None:
    own = _patient(-2.0, -1.0, -1.5, -0.5)
    nothing = _patient(-60.0, -60.0, -60.0, -60.0)
    fit = _fit(1)
    both = np.stack([each.log_baseline_hazard + each.log_hazard_ratio for each in (own, nothing)])
    low, high = incidence_band(both, [own, nothing], [fit, _fit(2)], GRID, TIMES)
    usual = band(fit, own.log_hazard_ratio, log_baseline_hazard=own.log_baseline_hazard, grid=GRID, times=TIMES)
    np.testing.assert_allclose(1 - low, usual.high, atol=1e-9)
    np.testing.assert_allclose(1 - high, usual.low, atol=1e-9)


def test_the_band_holds_what_comes_of_hazards_drawn_as_uncertain_as_they_are() -> None:
    """Nineteen times of twenty, also where most of the doubt is about the other cause."""
    rng = np.random.default_rng(3)
    own, other = _patient(-2.0, -1.5, -1.5, -1.0), _patient(-1.0, -0.5, 0.0, 0.5)
    fits = [_fit(4), _fit(5)]
    fits[0] = replace(fits[0], covariance=fits[0].covariance / 100)
    both = np.stack([each.log_baseline_hazard + each.log_hazard_ratio for each in (own, other)])
    low, high = incidence_band(both, [own, other], fits, GRID, TIMES)
    held = np.zeros(len(TIMES))
    for _ in range(1000):
        drawn = both.copy()
        for cause, (patient, fit) in enumerate(zip((own, other), fits, strict=True)):
            off = rng.multivariate_normal(np.zeros(5), fit.covariance)
            drawn[cause] += off[:4] + off[4] * patient.log_hazard_ratio
        found = cumulative_incidence(np.exp(drawn), grid=GRID, times=TIMES)[0]
        held += (low <= found) & (found <= high)
    assert (held[1:] / 1000 > 0.93).all()
    assert (held[1:] / 1000 < 0.97).all()
    alone, _ = incidence_band(
        both, [own, other], [fits[0], replace(fits[1], covariance=0 * fits[1].covariance)], GRID, TIMES
    )
    assert alone[-1] - low[-1] > 0.01, "the other cause matters"


def test_hazards_of_all_causes_are_adjusted_or_none() -> None:
    few = with_causes(300, seed=2)
    alone = [few._computed(cause, CAUSES[cause]).recalibration for cause in (0, 1)]
    assert [each is None for each in alone] == [True, False], "one cause has enough events by itself"
    for cause in (0, 1):
        assert few.endpoint(cause).recalibration is None
        shown = patient_view(few, ROW, endpoint=cause)
        assert shown.competing is not None
        assert shown.competing.band is None
        np.testing.assert_array_equal(shown.competing.shares[0], shown.competing.released)


def test_observed_courses_of_groups_count_what_came_first() -> None:
    """As the estimator of Aalen and Johansen on the patients themselves has it, to what limits and rounding allow."""
    large = with_causes(4000, seed=4)
    cohort = large.units.cohort
    for cause in (0, 1):
        endpoint = large.endpoint(cause)
        for third, found in enumerate(risk_groups(large, endpoint, large.everybody)):
            rows = np.concatenate([part.rows for part in endpoint.parts if part.third == third])
            time, own, rival = cohort.exit[rows, 0], cohort.observed[rows, cause], cohort.observed[rows, 1 - cause]
            slow = aalen_johansen(time=time, observed=own & (time <= 60), competing=rival & (time <= 60)).at(
                found.times
            )
            np.testing.assert_allclose(found.survival, slow, atol=0.08)
            assert (found.low - 0.01 <= slow).all()
            assert (slow <= found.high + 0.01).all()
            if third == 2 and cause == 0:
                wrong = kaplan_meier(time=time, observed=own & (time <= 60)).at(found.times)
                assert wrong[-1] < found.survival[-1] - 0.07, "the check must be able to fail"


def test_counts_of_what_competes_are_told_as_coarsely_as_events() -> None:
    cohort, floor = HERE.units.cohort, HERE.smallest_group
    for part in HERE.endpoint(0).parts:
        exact = int((cohort.observed[part.rows, 1] & (cohort.exit[part.rows, 1] <= 60)).sum())
        assert part.competing[-1] == exact // floor * floor
    assert not any(part.competing.any() for part in hospital().endpoint(0).parts)


@pytest.mark.parametrize(
    ("name", "come", "came"),
    [
        ("death_of_disease", "die of disease", "died of disease"),
        ("death_other", "die (other)", "died (other)"),
        ("death", "die", "died"),
        ("Death_without_progression", "die without progression", "died without progression"),
        ("progression", "have progression", "had progression"),
        ("disease_specific_survival", "have the event of “disease specific survival”", None),
    ],
)
def test_a_cause_is_told_as_its_name_says(name: str, come: str, came: str | None) -> None:
    words = cause_words(Endpoint(name, "t", name))
    assert words.come == come
    assert words.came == (came or come.replace("have", "had"))
    assert words.is_death == name.lower().startswith("death")


@pytest.mark.parametrize(
    ("endpoint", "told"),
    [
        (Endpoint("disease_specific_survival", "t", "e"), "das Ereignis von „tumorspezifisches Überleben“"),
        (Endpoint("tfs", "t", "e", label_de="TFS"), "TFS"),
        (Endpoint("relapse_free_survival", "t", "e", label_de="RFS"), "das Ereignis von „RFS“"),
        (Endpoint("death_of_other_causes", "t", "e"), "Tod aus anderer Ursache"),
    ],
)
def test_in_german_nobody_has_what_is_named_by_who_is_spared_it(endpoint: Endpoint, told: str) -> None:
    words = cause_words(endpoint, say=languages()[-1])
    assert words.come == words.came == told


def test_counts_of_a_hundred_are_a_hundred() -> None:
    assert of_hundred([0.335, 0.335, 0.33]) in (["34", "33", "33"], ["33", "34", "33"])
    assert of_hundred([0.004, 0.0, 0.996]) == ["fewer than 1", "0", "more than 99"]
    rng = np.random.default_rng(0)
    for _ in range(50):
        shares = rng.dirichlet(np.ones(4))
        told = of_hundred(shares.tolist())
        counts = [0 if each.startswith("fewer") else 100 if each.startswith("more") else int(each) for each in told]
        assert sum(counts) == 100
        assert (np.abs(np.array(counts) - 100 * shares) < 1).all()


def test_a_patients_page_tells_what_comes_first(tmp_path: Path) -> None:
    died_otherwise = int(np.flatnonzero(HERE.cohort.observed[:, 1])[0])
    with served(tmp_path, shown=HERE) as pages:
        browser = pages.signed_in(Role.CLINICIAN)
        path = pages.opened(browser, died_otherwise)
        text = browser.get(path).text
        later = browser.get(f"{path}?since=1")
        cohort = browser.get("/cohort").text
    found = patient_view(HERE, died_otherwise, endpoint=0)
    assert found.competing is not None
    own, other = found.competing.at(24.0)
    counts = of_hundred([own, other, 1 - own - other])
    said = f"Of 100 such patients, about {counts[0]} die of disease within 2 years, {counts[1]} die of other causes"
    assert f"{said}, and {counts[2]} live." in Page(text).text
    row = re.search(r"24\W+months</th>(.*?)</tr>", text, re.DOTALL)
    assert row is not None
    cells = re.findall(r'class="num">(.*?)</td>', row[1])
    assert [cells[0], *cells[2:4]] == [f"{count}\N{NO-BREAK SPACE}%" for count in counts], "as in the sentence"
    assert "died of other causes after" in text
    assert "None of these" in text
    assert "Median death" not in text
    assert "nobody dies first" not in text
    assert later.status_code == 404
    assert "whatever else came first" in cohort
    assert found.status == Status(False, float(HERE.cohort.exit[died_otherwise, 0]), 1)


def test_the_follow_up_of_endpoints_that_compete_is_published_of_all_or_of_none() -> None:
    """Ten deaths of the disease and ten who live on would be enough; three deaths of other causes make all wait."""
    table = HERE.cohort
    first = renewal(None, table, floor=10, today=date(2026, 1, 1)).published
    alive = np.flatnonzero(~table.observed.any(axis=1) & (table.values[:, 3] == 0))

    def followed(of_disease: int, otherwise: int, longer: int) -> Cohort:
        exits, observed = np.array(table.exit), np.array(table.observed)
        exits[alive[: of_disease + otherwise + longer]] += 0.25
        observed[alive[:of_disease], 0] = True
        observed[alive[of_disease : of_disease + otherwise], 1] = True
        return Cohort(table.schema, table.patient_ids, np.array(table.values), np.array(table.entry), exits, observed)

    for counts, taken in (((10, 0, 0), 10), ((10, 3, 10), 0), ((3, 10, 10), 0), ((10, 10, 5), 25), ((0, 10, 10), 20)):
        after = renewal(first, followed(*counts), floor=10, today=date(2026, 2, 1)).published.units.cohort
        differ = first.units.cohort.exit != after.exit
        assert differ.sum(axis=0).tolist() == [taken, taken], counts
        np.testing.assert_array_equal(after.exit[:, 0], after.exit[:, 1])


def test_a_correction_from_one_cause_to_the_other_never_leaves_a_patient_with_both() -> None:
    table = HERE.cohort
    first = renewal(None, table, floor=10).published
    dead = np.flatnonzero(table.observed[:, 0] & (table.values[:, 3] == 0))
    alive = np.flatnonzero(~table.observed.any(axis=1) & (table.values[:, 3] == 0))
    exits, observed = np.array(table.exit), np.array(table.observed)
    observed[dead[:3]] = (False, True)
    exits[alive[:20]] += 0.25
    observed[alive[:20], 1] = True
    changed = Cohort(table.schema, table.patient_ids, np.array(table.values), np.array(table.entry), exits, observed)
    after = renewal(first, changed, floor=10).published.units.cohort
    assert (first.units.cohort.observed != after.observed).sum() == 20
    assert not after.observed.all(axis=1).any()
