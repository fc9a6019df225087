"""When is somebody signed in, when no longer, and what does the address of a patient say?"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.pages_hospital import Clock

from oncofed.client.pages.accounts import Account, Role
from oncofed.client.pages.sessions import Session, Sessions
from oncofed.local_pages.sessions import Timeouts

ACCOUNT = Account("dr.klein", Role.CLINICIAN, "", "", 0, 0, 0)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sessions(clock: Clock) -> Sessions:
    return Sessions(clock=clock, timeouts=Timeouts(idle=900, longest=28_800))


def find(sessions: Sessions, identifier: str, account: Account | None = ACCOUNT) -> Session | None:
    return sessions.find(identifier, account=lambda name: account)


def test_only_the_identifier_that_was_given_opens_the_session(sessions: Sessions) -> None:
    identifier = sessions.begin(ACCOUNT)
    assert find(sessions, identifier) is not None
    for other in ("", identifier[:-1], identifier + "A", identifier.swapcase(), "\udcff"):
        assert find(sessions, other) is None


def test_a_form_is_of_the_session_whose_whole_secret_it_has(sessions: Sessions) -> None:
    session = find(sessions, sessions.begin(ACCOUNT))
    assert session is not None
    assert session.is_own_form(session.form_secret)
    for other in ("", session.form_secret[:1], session.form_secret[:-1], session.form_secret + "A"):
        assert not session.is_own_form(other)


def test_each_sign_in_has_an_identifier_and_a_form_secret_of_its_own(sessions: Sessions) -> None:
    identifiers = {sessions.begin(ACCOUNT) for _ in range(50)}
    assert len(identifiers) == 50
    assert min(len(each) for each in identifiers) >= 43  # 32 bytes
    secrets = {found.form_secret for each in identifiers if (found := find(sessions, each)) is not None}
    assert len(secrets) == 50


def test_a_session_that_lies_idle_ends(sessions: Sessions, clock: Clock) -> None:
    identifier = sessions.begin(ACCOUNT)
    for _ in range(5):
        clock.seconds += 899
        assert find(sessions, identifier) is not None
    clock.seconds += 901
    assert find(sessions, identifier) is None


def test_a_session_ends_after_a_working_day_however_busy(sessions: Sessions, clock: Clock) -> None:
    identifier = sessions.begin(ACCOUNT)
    for _ in range(40):
        clock.seconds += 720
        alive = find(sessions, identifier) is not None
    assert alive
    clock.seconds += 1
    assert find(sessions, identifier) is None


def test_a_change_of_the_account_ends_its_sessions(sessions: Sessions) -> None:
    for changed in (None, Account("dr.klein", Role.CLINICIAN, "", "", 0, 0, 0, version=2)):
        identifier = sessions.begin(ACCOUNT)
        assert find(sessions, identifier, changed) is None
        assert find(sessions, identifier) is None, "it does not come back"
    other_role = Account("dr.klein", Role.ADMINISTRATOR, "", "", 0, 0, 0)
    assert find(sessions, sessions.begin(ACCOUNT), other_role) is None


def test_a_patients_word_is_of_one_session_and_says_nothing(sessions: Sessions) -> None:
    first, second = (find(sessions, sessions.begin(ACCOUNT)) for _ in range(2))
    assert first is not None
    assert second is not None
    word = first.word_for(7)
    assert first.word_for(7) == word
    assert first.row_of(word) == 7
    assert second.row_of(word) is None
    assert second.word_for(7) != word
    assert first.word_for(8) != word


def test_many_tabs_open_patients_at_once(sessions: Sessions) -> None:
    """Of the same session, in threads that take turns after every step."""
    session, turns = find(sessions, sessions.begin(ACCOUNT)), sys.getswitchinterval()
    assert session is not None

    def opened(first: int) -> list[tuple[int, str, int]]:
        rows = range(first, first + 300)
        return [(row, session.word_for(row), len(session.last_opened())) for row in rows]

    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as tabs:
            found = [each for tab in tabs.map(opened, (0, 300, 600, 0)) for each in tab]
    finally:
        sys.setswitchinterval(turns)
    assert all(session.row_of(word) == row for row, word, _ in found)
    assert len({word for _, word, _ in found}) == 900, "one word each"
