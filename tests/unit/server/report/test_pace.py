"""Is a round's time that of rounds, also where some were not written down, and how many of them count?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.unit.server.report.fake_studies import BEGAN, fake_plan, fake_schema, fake_study, row

from oncofed.server.report.pace import seconds_left, seconds_of_a_round
from oncofed.server.report.study import DeployedStudy


def paced(minutes: Mapping[int, float], *, planned: int = 20) -> DeployedStudy:
    """By round, when it ended; no line tells of the others."""
    rows = [replace(row(number, ()), finished_at=BEGAN + timedelta(minutes=at)) for number, at in minutes.items()]
    return fake_study(done=max(minutes), rows=rows, plan=fake_plan(fake_schema(), rounds=planned))


def test_of_rounds_without_a_line_each_took_its_part_and_none_is_still_to_come() -> None:
    study = paced({1: 1, 4: 7, 6: 11})
    assert seconds_of_a_round(study) == pytest.approx(120)
    assert seconds_left(study) == pytest.approx(14 * 120)


def test_the_last_ten_intervals_count_and_no_more() -> None:
    """Five quick ones and five slow ones: the middle lies halfway; an eleventh, older one would decide."""
    ends = [0.0]
    for took in (50.0, *[1.0] * 5, *[9.0] * 5):
        ends.append(ends[-1] + took)
    study = paced(dict(enumerate(ends, start=1)))
    assert seconds_of_a_round(study) == pytest.approx(5 * 60)
