"""Where does a clinician, an approver, a coordinator find the answers to ten questions, and after how many clicks?

Tables in docs/pages.md and docs/install-coordinator.md say so; here a browser goes each way from the page on which its
role begins, and counts. A click is a link, a button, a form that is sent, or a `details` that is opened. What answers
is seen on the screen: as text, in the part of the page that the table names.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.coordinator_pages import Shown, running_study, shown
from tests.end_to_end.pages_browser import Visited, listening, serving
from tests.installed_node import installed_node
from tests.pages_hospital import PASSWORD, SECOND
from tests.twin_hospital import hospital as twin_hospital

from oncofed.client.guard import taking
from oncofed.client.pages.accounts import Role
from oncofed.simulations.benchmarks.browser import CHROMIUM, chromium

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="NOT TESTED: clicks to ten questions' answers. apt-get install chromium to test it."
)

DOCS = Path(__file__).resolve().parents[2] / "docs"
_PATIENCE_MILLISECONDS = 60_000


@dataclass
class Reader:
    """Somebody who begins on the first page of the role, and clicks."""

    page: Page
    begin: str
    clicks: int = 0

    def begins(self) -> Reader:
        self.page.goto(self.begin)
        self.clicks = 0
        return self

    def follows(self, name: str) -> Reader:
        """A link of exactly this name."""
        self.page.get_by_role("link", name=name, exact=True).first.click()
        self.clicks += 1
        return self

    def finds(self, patient: str) -> Reader:
        """Types, and sends the form."""
        self.page.fill("#patient_id", patient)
        self.page.get_by_role("button", name="Show", exact=True).click()
        self.page.wait_for_url(re.compile("/patients/[^/]+$"))
        self.clicks += 1
        return self

    def says(self, decision: str) -> Reader:
        """With the password."""
        form = self.page.locator(f"form[action$='/{decision}']")
        form.locator("input[type=password]").fill(PASSWORD)
        form.get_by_role("button").click()
        self.clicks += 1
        return self

    def sees(self, *texts: str, within: str = "main") -> Reader:
        """On the screen, without another click."""
        for text in texts:
            place = self.page.locator(within).filter(has_text=text).first
            expect(place).to_be_visible()
            expect(place.get_by_text(text).locator("visible=true").first).to_be_visible()
        return self


Way = Callable[[Reader], object]


def questions(page: str, heading: str) -> dict[str, int]:
    """Of the first table after these words: each question, and the clicks that it says."""
    _, _, rest = (DOCS / page).read_text().partition(heading)
    assert rest, heading
    found: dict[str, int] = {}
    for line in rest[rest.index("\n|") + 1 :].splitlines():
        if not line.startswith("|"):
            break
        question, *_, clicks = (cell.strip() for cell in line.strip("|").split("|"))
        if "?" in question and (number := re.match(r"\d+", clicks)) is not None:
            found[question] = int(number[0])
    return found


def walked(reader: Reader, ways: dict[str, Way], *, says: dict[str, int]) -> None:
    """Each way answers, and takes as many clicks as the page says."""
    assert list(ways) == list(says)
    assert len(ways) == 10
    taken = {}
    for question, way in ways.items():
        way(reader.begins())
        taken[question] = reader.clicks
    assert taken == says


@contextmanager
def window(browser: Browser, address: str) -> Iterator[Visited]:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, locale="en-GB")
    context.set_default_timeout(_PATIENCE_MILLISECONDS)
    yield Visited(context.new_page(), address)
    context.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


def test_ten_questions_of_a_clinician(browser: Browser, tmp_path: Path) -> None:
    with serving(tmp_path, twin_hospital()) as (here, address), window(browser, address) as visit:
        visit.sign_in(Role.CLINICIAN)
        patient = here.desk.hospital.cohort.patient_ids[7]

        def kinds(reader: Reader) -> Reader:
            return reader.finds(patient).follows("Kinds of data, what to measure, options")

        ways: dict[str, Way] = {
            "1. What does the model say of this patient, and how much of the patient does it know?": lambda reader: (
                reader.finds(patient).sees("Of 100 such patients, about").sees("markers are known")
            ),
            "2. Which kinds of data are there of this patient, and which are not?": lambda reader: kinds(reader).sees(
                "RNA expression", "0 of 2", within="#layers"
            ),
            "3. What does each kind add to this patient's prognosis?": lambda reader: kinds(reader).sees(
                "This patient: hazard ratio", "▲ 1.62", within="#layers"
            ),
            "4. Is that more than noise?": lambda reader: kinds(reader).sees("stands out", within="#layers"),
            "5. How much does it move the prognosis of such patients here?": lambda reader: kinds(reader).sees(
                "Here", "1.47", within="#layers"
            ),
            "6. What could be measured next, and how far would the answer move?": lambda reader: kinds(reader).sees(
                "Moves, at least by", "28 to 67", within="#measure"
            ),
            "7. Is its result foretold by what is known already?": lambda reader: kinds(reader).sees(
                "Partly foretold by", "albumin", within="#measure"
            ),
            "8. What does it cost, and how long does it take?": lambda reader: kinds(reader).sees(
                "Price", "700", "14", within="#measure"
            ),
            "9. Why is nothing said of the rest?": lambda reader: kinds(reader).sees(
                "Protein b", "Myc", within="#unsaid"
            ),
            "10. Which treatment would be better, and what does this page not know?": lambda reader: (
                kinds(reader)
                .sees("Nothing is said of options for this patient.", within="#options")
                .sees("When the event comes for this patient", within="#not-known")
            ),
        }
        reader = Reader(visit.page, f"{address}/patients")
        walked(reader, ways, says=questions("pages.md", "Ten questions of a clinician"))
        with pytest.raises(AssertionError):  # the check must be able to fail: what is not there yet is not seen
            reader.begins().finds(patient).sees("28 to 67")


def test_ten_questions_of_an_approver(browser: Browser, tmp_path: Path) -> None:
    with (
        installed_node() as node,
        serving(tmp_path, None, node=node.folder) as (_, address),
        window(browser, address) as visit,
        window(browser, address) as other,
    ):
        node.enrol()
        name = "an older study"
        plan, older = node.plan(), replace(node.plan(), study=name)
        for each in (older, plan):
            node.guard().offer_plan(node.offer(each))
        node.approve(older)
        node.guard().contribute(node.request(older))
        node.set_policy("smallest_cohort = 50", "smallest_cohort = 50\npersons_to_approve = 2")
        other.page.goto(address)
        other.page.fill("#name", SECOND)
        other.page.fill("#password", PASSWORD)
        other.page.keyboard.press("Enter")
        other.page.wait_for_url("**/plans")
        Reader(other.page, f"{address}/plans").begins().follows(plan.study).says("approve").sees("You have said yes.")
        visit.sign_in(Role.APPROVER)

        def in_force(reader: Reader) -> None:
            reader.follows(plan.study).says("approve").sees("this page looks again by itself")
            reader.clicks = 0  # since the yes
            assert taking.main(["taking", str(node.folder.root)]) == 0
            expect(reader.page.locator("p.status .state")).to_have_text("approved", timeout=_PATIENCE_MILLISECONDS)
            reader.sees("approved", "by", SECOND, "for")

        def no(reader: Reader) -> None:
            reader.follows(name).sees("Reason, for the audit log of this hospital alone").says("decline")
            reader.sees("declined")
            reader.clicks -= 1  # the form with the password stands beside the number

        def spent(reader: Reader) -> None:
            reader.follows("Privacy budget").sees("Spent", "Left")
            clicks = reader.clicks
            reader.begins().follows("Node").sees("Examination")
            assert reader.clicks == clicks, "one each"

        words = "pre.plan"
        ways: dict[str, Way] = {
            "Is there anything for me to decide?": lambda reader: reader.sees(
                plan.study, "waits for a decision", within="tbody tr:first-child"
            ),
            "What would leave the house, and to whom?": lambda reader: reader.follows(plan.study).sees(
                "WHO:", "WHAT LEAVES:", "PUBLISHED:", within=words
            ),
            "What does it cost our patients, and what is left afterwards?": lambda reader: reader.follows(
                plan.study
            ).sees("Privacy budget before and after", "With this plan", "At most", "fits"),
            "Is anything about it unusual, or not protected?": lambda reader: reader.follows(plan.study).sees(
                "UNUSUAL:", "NOT PROTECTED:", within=words
            ),
            "Are the other hospitals who they say they are?": lambda reader: reader.follows(plan.study).sees(
                "not verified", "Verified here: 0 of 1 other hospital.", within=words
            ),
            "Has my colleague said yes already, and when?": lambda reader: reader.sees(
                "wants it approved:", SECOND, within="tbody tr:first-child"
            ),
            "How do I say no, and who learns why?": no,
            "I said yes: is it in force?": in_force,
            "What was decided in former years, by whom?": lambda reader: reader.follows(name).sees(
                "Who said what", "approved", "declined", "Dr. Example"
            ),
            "What have all studies together spent so far, and is the node well?": spent,
        }
        walked(
            Reader(visit.page, f"{address}/plans"), ways, says=questions("pages.md", "### Ten questions of an approver")
        )
        reader = Reader(visit.page, f"{address}/plans").begins().follows(plan.study)
        assert "wants it approved for" not in reader.page.inner_text("main"), "it was put into force, and is over"


def test_ten_questions_of_a_coordinator(browser: Browser, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    address = f"http://127.0.0.1:{port}"
    with (
        shown(tmp_path, hosts=frozenset({f"127.0.0.1:{port}"})) as here,
        listening(here, port),
        window(browser, address) as visit,
        running_study(here),
    ):
        here.study("breast", rounds=60).said(Bonn="declined")
        finished(here)
        visit.page.goto(address)
        visit.page.fill("#credential", here.token)
        visit.page.keyboard.press("Enter")
        visit.page.wait_for_selector("text=Hospitals and studies")
        ways: dict[str, Way] = {
            "Is everything well here: server, certificates, hospitals' files?": lambda reader: reader.sees(
                "superlink does not run", within="[aria-label=Troubles]"
            ),
            "Who is online, who is not, and since when?": lambda reader: reader.sees(
                "offline", "13 minutes ago", within="tr:has(th:text-is('Coburg'))"
            ),
            "Which studies are there, and which one is at work?": lambda reader: reader.sees(
                "lung", "under way", within="table:has-text('Rounds') tbody tr:first-child"
            ).sees("breast", "colon"),
            "How far is it, and how long will it take?": lambda reader: reader.sees(
                "2 of 4", "about 10 minutes", within="tr:has(a:text-is('lung'))"
            ),
            "What does it wait for now?": lambda reader: reader.sees(
                "round 2 of 4 is done", within="tr:has(a:text-is('lung'))"
            ),
            "Who has the plan, who approved or declined it, and when did we hear of it?": lambda reader: reader.follows(
                "breast"
            ).sees("declined", "just now", within="section:has-text('The plan at each hospital')"),
            "Who refused or sent nothing, in which rounds, and why?": lambda reader: reader.follows("lung").sees(
                "no answer within 60 s",
                "not_approved",
                within="section:has(h2:text-is('Refusals, and answers that did not count'))",
            ),
            "What has each hospital spent of its patients' privacy, and what will it be?": lambda reader: (
                reader.follows("lung").sees("Epsilon spent, at least", "0.63", "with the reserve")
            ),
            "Who has taken the model?": lambda reader: reader.follows("colon").sees(
                "accepted: checked against the coordinator's key and kept"
            ),
            "Where is the report?": lambda reader: reader.follows("colon").sees(
                "Show the report as of now", "Everything of this study lies in"
            ),
        }
        said = questions("install-coordinator.md", "## 5. The pages")
        walked(Reader(visit.page, f"{address}/"), ways, says=said)


def finished(here: Shown) -> None:
    study = here.study("colon", rounds=1)
    study.said(Aachen="approved", Bonn="approved", Coburg="approved")
    study.round(1)
    study.finish(here.folder)
