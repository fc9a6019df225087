"""Is nobody kept waiting by a server that is slow, and is everybody told how old what they see is?"""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.coordinator_pages import running_study, shown, with_watch

from oncofed.server.deployment.coordinator_status import ServerWords
from oncofed.server.pages.watch import Watch

AT = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


class SlowServer:
    """Answers when it is let."""

    def __init__(self) -> None:
        self.asked = 0
        self.may_answer = threading.Semaphore(0)
        self.answered = threading.Event()

    def __call__(self) -> ServerWords:
        self.asked += 1
        assert self.may_answer.acquire(timeout=60)
        return ServerWords({self.asked: "online"})


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def settled(watch: Watch) -> None:
    """The question that is under way has its answer."""
    with watch._changed:
        assert watch._changed.wait_for(lambda: not watch._asking, 60)
    for each in threading.enumerate():  # one that failed has told so by then, to the test that it belongs to
        if each.name.endswith("(_hear)"):
            each.join(60)


def test_a_slow_server_is_asked_once_and_its_last_word_is_shown_meanwhile() -> None:
    server, clock = SlowServer(), Clock()
    watch = Watch(server, now=lambda: AT, clock=clock, patience_seconds=0.0, fresh_seconds=3.0)
    first = watch.heard()
    assert (first.at, first.late, first.said.states) == (None, True, None)
    assert watch.heard().late
    assert server.asked == 1, "one at a time"
    server.may_answer.release()
    settled(watch)
    heard = watch.heard()
    assert (heard.at, heard.late, heard.said.states) == (AT, False, {1: "online"})
    assert server.asked == 1, "what is fresh is not asked for again"
    clock.seconds += 4
    again = watch.heard()
    assert (again.at, again.late, again.said.states) == (AT, True, {1: "online"})
    server.may_answer.release()
    settled(watch)
    assert watch.heard().said.states == {2: "online"}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_question_that_fails_is_asked_again() -> None:
    answers = [ServerWords({1: "online"})]

    def ask() -> ServerWords:
        if len(answers) == 1:
            answers.append(answers[0])
            raise RuntimeError
        return answers[0]

    watch = Watch(ask, now=lambda: AT, clock=Clock(), patience_seconds=60.0)
    assert watch.heard().at is None
    settled(watch)
    assert watch.heard().said.states == {1: "online"}


def test_rounds_and_plans_are_of_now_while_the_server_does_not_answer(tmp_path: Path) -> None:
    with shown(tmp_path) as here, running_study(here) as study:
        server = SlowServer()
        watch = Watch(server, now=here.clock.now, clock=here.clock, patience_seconds=0.0)
        here.desk = with_watch(here.desk, watch)
        client = here.signed_in()
        for path in ("/", f"/studies/{study.plan.hash}"):
            page = client.get(path).text
            assert "has not answered yet" in page
            assert "ound 2 of 4 is done" in page
        server.may_answer.release()
        settled(watch)
        here.clock.seconds += 60
        page = client.get("/").text
        assert "The server has not answered since 2026-03-02 10:37:00 UTC" in page
        study.round(3)
        assert "ound 3 of 4 is done" in client.get("/").text, "what stands in files waits for nobody"
        server.may_answer.release()
        settled(watch)
        assert "has not answered" not in client.get("/").text
