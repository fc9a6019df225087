"""What does the coordinator's page say while a study runs, a hospital is killed, and it comes back?

A coordinator and four hospitals under the product's own supervisors, and `oncofed coordinator pages` as a process of
its own, asked over HTTP with the credential. ONCOFED_FOLLOWED names a file that gets a line whenever the page said
something else.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from tests.end_to_end.flower_processes import SITES, free_port, until
from tests.end_to_end.supervised_consortium import Study, Supervised, descendants, supervised
from tests.html_pages import Page

pytestmark = pytest.mark.slow
AWAY = SITES[0]
SOON = 240.0
"""Seconds within which the page must say it where much else runs. Flower gives up a node after a minute."""


@dataclass
class Reader:
    """Somebody who looks at the pages. said: what was seen, with the seconds since the first look."""

    client: httpx.Client
    began: float = field(default_factory=time.monotonic)
    said: list[tuple[float, str, str]] = field(default_factory=list)

    def page(self, path: str) -> str:
        answer = self.client.get(path)
        assert answer.status_code == 200, (path, answer.status_code)
        return answer.text

    def row(self, path: str, caption: str, name: str) -> str:
        """The words beside this hospital's or study's name, or of the table's row that begins with it."""
        (table,) = (each for each in self.page(path).split("<table") if caption in each)
        rows = [
            Page(each).text for each in re.findall(r"<tr>(.*?)</tr>", table.partition("</table>")[0], flags=re.DOTALL)
        ]
        found = [each for each in rows if each.startswith(name)]
        return found[0] if found else ""

    def sees(self, path: str, caption: str, name: str, words: str) -> None:
        """Wait for the words in that row; whatever it says meanwhile is noted."""

        def there() -> bool:
            row = self.row(path, caption, name)
            told = re.sub(r"\((?:just now|[^()]* ago)\)", "", row)
            if not self.said or (caption, told) not in {(known, each) for _, known, each in self.said}:
                self.said.append((round(time.monotonic() - self.began, 1), caption, told))
            return words in row

        until(there, seconds=SOON, what=f"the page says {words!r} of {name}")


@contextmanager
def looking(four: Supervised) -> Iterator[Reader]:
    port = free_port()
    four.processes.start(
        "pages", "oncofed.cli", "coordinator", "pages", str(four.coordinator.root), "--port", str(port)
    )
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:

        def answers() -> bool:
            try:
                return client.get("/sign-in").status_code == 200
            except httpx.TransportError:
                return False

        until(answers, seconds=SOON, what="the pages answer")
        assert client.get("/").headers["location"] == "/sign-in"
        token = four.coordinator.pages_token.read_text().strip()
        assert token not in four.processes.text("pages"), "where it lies is said, and not what it is"
        assert client.post("/sign-in", data={"credential": token}).status_code == 303
        yield Reader(client)


def kill_all_of(four: Supervised, site: str) -> None:
    """Power fails there: the supervisor, then its guard, node and relay, none of which says good-bye."""
    process = four.processes.running.pop(site)
    below = descendants(process.pid)
    for pid in (process.pid, *below):
        os.kill(pid, signal.SIGKILL)
    process.wait()


def test_the_page_says_when_a_hospital_is_killed_and_when_it_is_back() -> None:
    with supervised() as four, looking(four) as reader:
        study: Study = four.study("followed", rounds=3, decided=True)
        of_study = f"/studies/{study.plan_hash}"
        reader.sees("/", "Every study", "followed", "not started")
        for site in SITES:
            reader.sees("/", "Every hospital", site, "online 20")
        four.begin(study)
        reader.sees("/", "Every study", "followed", "1 of 3")
        reader.sees(of_study, "said of the plan", AWAY, "approved")
        kill_all_of(four, AWAY)
        reader.sees("/", "Every hospital", AWAY, "offline 20")
        reader.sees("/", "Every study", "followed", f"{AWAY}: ")
        assert "waiting at" in reader.row("/", "Every study", "followed")
        four.start_site(AWAY)
        reader.sees("/", "Every hospital", AWAY, "online 20")
        reader.sees("/", "Every study", "followed", "finished 3 of 3")
        four.finish(study)
        reader.sees(of_study, "its epsilon", AWAY, "3 of 3")
        reader.sees(of_study, "said of the model", AWAY, "accepted")
        assert reader.client.get(f"{of_study}/report").status_code == 200
        four.stop("coordinator")
        until(lambda: "superlink does not run" in Page(reader.page("/")).text, seconds=SOON, what="the page says so")
        reader.sees("/", "Every hospital", AWAY, "unknown")
        assert "finished 3 of 3" in reader.row("/", "Every study", "followed"), "what stands in files needs no server"
        told(reader)
        said = [words for _, caption, words in reader.said if caption == "Every hospital" and words.startswith(AWAY)]
        assert [words.split()[1] for words in said] == ["online", "offline", "online", "unknown"]
        assert len(set(said)) == 4, "each with its own time"
        four.start_coordinator()


def told(reader: Reader) -> None:
    path = os.environ.get("ONCOFED_FOLLOWED")
    if path:
        with Path(path).open("a") as file:
            file.writelines(f"{seconds:7.1f} s  {caption}: {words}\n" for seconds, caption, words in reader.said)
