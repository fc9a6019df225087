"""Is each hospital's part in each round shown for what it was?"""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.server.report.fake_studies import fake_plan, fake_schema, fake_study, row

from oncofed.errors import RefusalCode
from oncofed.server.report.attendance import Presence, explained, in_ranges, presence, troubles

A, S, R, N, U, F = (
    Presence.ANSWERED,
    Presence.SILENT,
    Presence.REFUSED,
    Presence.NOT_ADMITTED,
    Presence.UNRECORDED,
    Presence.AHEAD,
)
PLAN = fake_plan(fake_schema(), sites=("Aachen", "Bonn", "Coburg"), rounds=6)
ROWS = (
    row(1, ["Aachen", "Bonn", "Coburg"]),
    row(2, ["Aachen"], {"Bonn": "no answer within 30 s", "Coburg": "refused: budget_exceeded"}),
    # Round 3 was done, but its line was lost.
    row(4, ["Coburg"], {"Aachen": "sent numbers that are not finite", "Bonn": "the node is unavailable"}),
    row(5, ["Aachen", "Coburg"]),  # nobody says what became of Bonn
)


def test_the_matrix_of_a_small_study() -> None:
    assert presence(fake_study(done=5, rows=ROWS, plan=PLAN)) == {
        "Aachen": (A, A, U, N, A, F),
        "Bonn": (A, S, U, S, U, F),
        "Coburg": (A, R, U, A, A, F),
    }


def test_a_round_that_only_the_checkpoint_knows_is_not_still_to_come() -> None:
    study = fake_study(done=6, rows=ROWS, plan=PLAN, released=False)
    assert {row[-1] for row in presence(study).values()} == {U}


def test_two_rejections_of_one_hospital_show_the_one_that_says_more() -> None:
    twice = replace(
        row(1, []), rejected=(("Aachen", "no answer within 3 s"), ("Aachen", "answered no question of this round"))
    )
    assert presence(fake_study(done=1, rows=[twice], plan=PLAN))["Aachen"][0] is N


def test_troubles_are_gathered_by_hospital_and_reason() -> None:
    rows = [
        row(3, [], {"node 7": "answered no question of this round", "Bonn": "malformed answer: x"}),
        row(1, [], {"Coburg": "no answer within 3 s", "Bonn": "refused: not_ready"}),
        row(2, [], {"Bonn": "refused: not_ready"}),
    ]
    found = [(each.site, each.reason, each.rounds) for each in troubles(fake_study(done=3, rows=rows, plan=PLAN))]
    assert found == [
        ("Bonn", "refused: not_ready", (1, 2)),
        ("Bonn", "malformed answer: x", (3,)),
        ("Coburg", "no answer within 3 s", (1,)),
        ("node 7", "answered no question of this round", (3,)),
    ]


def test_every_code_of_a_hospital_has_words() -> None:
    assert all(explained(f"refused: {code}") for code in RefusalCode)
    assert explained("refused: something else") == ""
    assert explained("no answer within 3 s") == ""


@pytest.mark.parametrize(
    ("numbers", "words"),
    [((), ""), ((4,), "4"), ((1, 2), "1 to 2"), ((1, 3, 4, 5, 9), "1, 3 to 5, 9")],
)
def test_ranges(numbers: tuple[int, ...], words: str) -> None:
    assert in_ranges(numbers) == words
