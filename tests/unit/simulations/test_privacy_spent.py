"""Do all places that say what a patient spent take it from the ledgers, attempts that were repeated included?"""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from tests.unit.simulations.report.fake_results import NOISE_MULTIPLIER, ROUNDS, fake_result

from oncofed.privacy.accounting import GaussianRelease, epsilon_of
from oncofed.protocol.plan import PrivacyMode
from oncofed.simulations.figures_file import privacy_summary
from oncofed.simulations.privacy_spent import spent_at_one, spent_at_two
from oncofed.simulations.report.privacy import privacy_statement
from oncofed.simulations.results import RunResult

RELEASE = GaussianRelease(NOISE_MULTIPLIER)
CHARGED = {"Aachen": ROUNDS, "Bonn": 90, "Celle": 70}


@pytest.fixture(scope="module")
def repeated() -> RunResult:
    """Repeated rounds: two of the three hospitals were charged more often than was planned."""
    result = fake_result(sites=3, patients=200, site_names=tuple(CHARGED))
    return replace(result, releases={site: (RELEASE,) * count for site, count in CHARGED.items()})


def test_the_largest_over_hospitals_and_over_pairs_of_them_is_told(repeated: RunResult) -> None:
    one = max(epsilon_of([RELEASE] * count, delta=1e-5) for count in CHARGED.values())
    two = max(epsilon_of([RELEASE] * sum(pair), delta=1e-5) for pair in itertools.combinations(CHARGED.values(), 2))
    at_one, at_two = spent_at_one(repeated), spent_at_two(repeated)
    assert at_one is not None
    assert at_two is not None
    assert (at_one.epsilon, len(at_one.releases)) == (one, 90)
    assert (at_two.epsilon, len(at_two.releases)) == (two, 160)


def test_the_file_and_the_report_say_the_same_and_count_repeated_rounds(repeated: RunResult) -> None:
    summary, statement = privacy_summary(repeated), privacy_statement(repeated)
    assert summary["releases"] == 90
    assert summary["rounds"] == ROUNDS
    assert summary["epsilon"] == statement.epsilon == epsilon_of([RELEASE] * 90, delta=1e-5)
    both = epsilon_of([RELEASE] * 160, delta=1e-5)
    assert summary["epsilon_of_a_patient_in_two_hospitals"] == statement.epsilon_two_hospitals == both
    assert summary["epsilon_by_site"]["Celle"] == epsilon_of([RELEASE] * 70, delta=1e-5)


def test_one_hospital_has_no_patient_of_two(repeated: RunResult) -> None:
    alone = replace(repeated, releases={"Bonn": repeated.releases["Bonn"], "Celle": ()})
    assert spent_at_one(alone) is not None
    assert spent_at_two(alone) is None
    assert privacy_summary(alone)["epsilon_of_a_patient_in_two_hospitals"] is None
    assert privacy_statement(alone).epsilon_two_hospitals is None


def test_where_nothing_was_charged_nothing_is_said_to_be_spent(repeated: RunResult) -> None:
    untouched = replace(repeated, releases={})
    assert spent_at_one(untouched) is None
    assert (privacy_summary(untouched)["epsilon"], privacy_summary(untouched)["releases"]) == (None, 0)
    assert spent_at_one(fake_result(sites=2, patients=100, mode=PrivacyMode.NONE)) is None
