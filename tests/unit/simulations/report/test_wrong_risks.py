"""Does a report say at its top that risks are wrong, where they are, and nothing where chance would do?"""

from __future__ import annotations

from dataclasses import replace

from tests.unit.simulations.report.fake_results import fake_result

from oncofed.protocol.plan import PrivacyMode
from oncofed.simulations.report.page import render_report
from oncofed.simulations.report.wrong_risks import expected_rows, warnings
from oncofed.simulations.results import EndpointResult, ExpectedByWindow
from oncofed.survival.expected_events import Expected, ExpectedOfGroup

RESULT = fake_result(sites=3, patients=300, mode=PrivacyMode.NONE)
BOUNDS = (0.0, 12.0, 36.0, 120.0)


def group(name: str, *windows: tuple[int, float]) -> ExpectedOfGroup:
    return ExpectedOfGroup(name, 100, tuple(Expected(*each) for each in windows))


def endpoint(slope: float, half: float, *entities: ExpectedOfGroup) -> EndpointResult:
    assert RESULT.main.calibration is not None
    calibration = replace(RESULT.main.calibration, slope=slope, slope_low=slope - half, slope_high=slope + half)
    everybody = group("all", (50, 51.0), (80, 79.0), (40, 41.0))
    return replace(RESULT.main, calibration=calibration, expected=ExpectedByWindow(BOUNDS, everybody, entities, ()))


BREAST = group("BRCA", (17, 35.0), (38, 52.0), (72, 45.0))  # as measured on real patients
FINE = group("LUAD", (30, 28.0), (41, 44.0), (9, 8.0))


def test_nothing_is_said_of_right_risks_nor_of_what_chance_would_do() -> None:
    assert warnings(endpoint(0.98, 0.1, FINE), "months") == ()
    assert warnings(endpoint(0.7, 0.4, FINE), "months") == (), "an interval that holds 1"
    assert warnings(endpoint(0.9, 0.05, FINE), "months") == (), "small, though no chance"
    assert warnings(endpoint(1.0, 0.1, group("few", (0, 2.0), (3, 1.5), (1, 0.2))), "months") == ()


def test_risks_that_are_too_extreme_or_too_timid_lead() -> None:
    (extreme,) = warnings(endpoint(0.65, 0.1, FINE), "months")
    assert "too extreme" in extreme
    assert "0.65, 95 % interval 0.55 to 0.75" in extreme
    (timid,) = warnings(endpoint(1.5, 0.2, FINE), "months")
    assert "too timid" in timid


def test_errors_that_cancel_over_tumours_and_times_lead() -> None:
    """A ratio of 1.00 and a slope of 0.99 hid these."""
    (said,) = warnings(endpoint(0.99, 0.1, BREAST, FINE), "months")
    assert "BRCA, 0 to 12 months: 17 events where 35 were predicted" in said
    assert "BRCA, 36 to 120 months: 72 events where 45 were predicted" in said
    assert "LUAD" not in said
    cells = expected_rows((BREAST, FINE))[0].cells
    assert [wrong for _, wrong in cells] == [True, False, True, False]


def test_the_page_leads_with_it_and_has_the_table() -> None:
    wrong = replace(RESULT, endpoints={"overall_survival": endpoint(0.65, 0.1, BREAST)})
    page = render_report(wrong)
    assert page.index("The predicted risks are wrong") < page.index("C-index, federated")
    assert "17 of 35.0" in page
