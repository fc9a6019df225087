"""Can somebody have a plan approved in the console who may not, or unseen, or of another state than was read?

Each attempt is refused and written down; what decides is told by the files of the node, not by what a page says.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path

import pytest
from fastapi.routing import APIRoute
from tests.command_line import oncofed
from tests.console_site import FIRST, Site, ask_for_two, console_site, hidden
from tests.installed_node import SOURCE
from tests.pages_hospital import PASSWORD, SECOND, served

from oncofed.client.guard import taking, trial
from oncofed.client.install import deciding, plan_commands
from oncofed.client.install.inbox import looked_at
from oncofed.client.pages import console_pages
from oncofed.client.records import approvals, wishes
from oncofed.client.records.approvals import Approvals
from oncofed.client.records.audit_log import AuditLog
from oncofed.client.records.decisions import Decision
from oncofed.errors import InvalidInput
from oncofed.privacy.accounting import epsilon_of
from oncofed.privacy.releases import release_of_round

NOBODYS = ("clinician", "analyst", "administrator")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with console_site(tmp_path) as found:
        yield found


@pytest.fixture
def two(site: Site) -> Site:
    """Where two persons must agree."""
    ask_for_two(site)
    return site


# --- who may


def test_every_route_of_the_console_is_tried_here() -> None:
    routes = {route.path for route in console_pages.router.routes if isinstance(route, APIRoute)}
    assert routes == {"/plans", "/plans/{plan_hash}", "/plans/{plan_hash}/{decision}", "/ledger", "/node"}


@pytest.mark.parametrize("name", NOBODYS)
def test_other_roles_see_nothing_of_the_console_and_decide_nothing(site: Site, name: str) -> None:
    client = site.here.signed_in(name)
    for address in ("/plans", site.address, "/ledger", "/node"):
        assert client.get(address).status_code == 403
        assert site.told()[-1] == ("page_refused", "role", name)
    page = site.here.signed_in(FIRST).get(site.address)
    assert site.says(client, "approve", page).status_code == 403
    assert site.told()[-1] == ("page_refused", "role", name)
    assert site.guard_looks() == 0
    assert site.state() is None


def test_hospital_it_reads_and_does_not_decide(site: Site) -> None:
    client = site.here.signed_in("it")
    for address in ("/plans", site.address, "/ledger", "/node", "/audit"):
        assert client.get(address).status_code == 200
    page = client.get(site.address)
    assert "Approve this plan" not in page.text
    assert "plan_seal" not in page.text
    for decision in ("approve", "decline"):
        assert site.says(client, decision, site.here.signed_in(FIRST).get(site.address)).status_code == 403
        assert site.told()[-1] == ("page_refused", "role", "it")
    site.guard_looks()
    assert site.state() is None


def test_nobody_decides_without_signing_in(site: Site) -> None:
    client = site.here.client()
    for address in ("/plans", site.address, "/ledger", "/node"):
        assert client.get(address).headers["location"] == "/sign-in"
    page = site.here.signed_in(FIRST).get(site.address)
    assert site.says(client, "approve", page).headers["location"] == "/sign-in"
    assert site.state() is None


def test_a_tampered_session_decides_nothing_and_is_written_down(site: Site) -> None:
    client = site.here.signed_in(FIRST)
    page, cookie = client.get(site.address), client.cookies["oncofed_session"]
    other = site.here.client()
    other.cookies.set("oncofed_session", cookie[:-1] + ("A" if cookie[-1] != "A" else "B"))
    assert site.says(other, "approve", page).headers["location"] == "/sign-in"
    assert site.told()[-1] == ("page_refused", "no_session", "")
    site.guard_looks()
    assert site.state() is None
    other.cookies.set("oncofed_session", cookie)
    assert site.says(other, "approve", page).status_code == 303, "the check must be able to pass"


def test_an_administrator_makes_no_approver_and_gives_none_a_password(site: Site) -> None:
    client = site.here.signed_in("administrator")
    secret = hidden(client.get("/accounts"))
    other = "another long password"
    tried = client.post("/accounts/add", data={**secret, "name": "me", "role": "approver", "password": other})
    assert tried.status_code == 400
    assert client.post("/accounts/disable", data={**secret, "name": SECOND}).status_code == 303
    for change, typed in (("password", {"password": other}), ("enable", {})):
        answer = client.post(f"/accounts/{change}", data={**secret, "name": SECOND, **typed})
        assert answer.status_code == 403, change
        assert site.told()[-1] == ("page_refused", "role", "administrator")
    found = {account.name: account for account in site.here.desk.accounts.all()}
    assert "me" not in found
    assert not found[SECOND].enabled
    assert site.here.desk.accounts.checked(FIRST, other) is None


# --- one person


def test_a_plan_is_read_as_the_command_says_it_and_approved_by_the_guard_alone(site: Site) -> None:
    client = site.here.signed_in(FIRST)
    assert "waits for a decision" in client.get("/plans").text
    page = client.get(site.address)
    words = unescape(re.findall(r'<pre class="plan"[^>]*>(.*?)</pre>', page.text, flags=re.S)[0])
    assert words.split() == oncofed("site", "plans", site.node.folder.root, "--show", site.hash).text.split()
    assert site.says(client, "approve", page).headers["location"] == site.address
    assert site.state() is None, "the process of the pages puts nothing into force"
    assert not list(site.node.folder.patients.glob("*"))
    assert "puts it into force" in client.get(site.address).text
    assert site.guard_looks() == 0
    assert site.state() is Decision.APPROVED
    assert site.told() == [("approval_wanted", "", FIRST), ("approved", "", FIRST)]
    assert len(list(site.node.folder.patients.glob("*"))) == 1
    approved = client.get(site.address).text
    assert "approved" in approved
    assert "puts it into force" not in approved
    assert site.guard_looks() == 0
    assert len(site.told()) == 2, "once"


def test_an_approval_is_withdrawn_with_a_reason(site: Site) -> None:
    site.node.approve()
    client = site.here.signed_in(FIRST)
    assert site.says(client, "decline", reason="ethics").status_code == 303
    assert site.state() is Decision.APPROVED
    site.guard_looks()
    assert site.state() is Decision.DECLINED
    assert site.told()[-2:] == [("decline_wanted", "ethics", FIRST), ("declined", "ethics", FIRST)]
    assert not list(site.node.folder.patients.glob("*"))


def test_the_password_is_asked_for_again_and_guessing_is_slowed_down(site: Site) -> None:
    client = site.here.signed_in(FIRST)
    page = client.get(site.address)
    for decision in ("approve", "decline"):
        assert site.says(client, decision, page, password="plum copper violet").status_code == 401
        assert site.told()[-1] == ("page_refused", "wrong_password", FIRST)
    assert site.says(client, "approve", page, password="").status_code == 401
    assert site.says(client, "approve", page).status_code == 401, "now even the right one has to wait"
    assert site.told()[-1] == ("page_refused", "waits", FIRST)
    assert site.guard_looks() == 0
    assert site.state() is None


@pytest.mark.parametrize("taken", ["form_secret", "plan_seal", "looked_on", "source", "reason"])
def test_a_form_that_is_not_of_this_page_is_refused_and_written_down(site: Site, taken: str) -> None:
    client = site.here.signed_in(FIRST)
    fields = {**hidden(client.get(site.address)), "source": SOURCE, "reason": "budget", "password": PASSWORD}
    decision = "approve" if taken == "source" else "decline"
    for forged in ("", "x", "0" * 64):
        if fields[taken] == forged:
            continue
        answer = client.post(f"{site.address}/{decision}", data={**fields, taken: forged})
        assert answer.status_code in (403, 409), (taken, forged)
        assert site.told()[-1][0] == "page_refused"
    assert site.guard_looks() == 0
    assert site.state() is None
    assert client.post(f"{site.address}/{decision}", data=fields).status_code == 303, "the check must be able to pass"


def test_a_seal_is_of_one_session_and_one_plan(site: Site) -> None:
    first, again = site.here.signed_in(FIRST), site.here.signed_in(FIRST)
    own, others = hidden(first.get(site.address)), hidden(again.get(site.address))
    typed = {"source": SOURCE, "password": PASSWORD}
    mixed = {**own, "plan_seal": others["plan_seal"], **typed}
    assert first.post(f"{site.address}/approve", data=mixed).status_code == 403
    other = site.node.weaker()
    site.node.guard().offer_plan(site.node.offer(other))
    assert first.post(f"/plans/{other.hash}/approve", data={**own, **typed}).status_code == 403
    assert site.told()[-1] == ("page_refused", "form", FIRST)
    assert site.node.entries()[-2].plan_hash == other.hash, "the refusal says which plan"
    assert site.state() is None


def test_a_page_from_before_a_decision_decides_nothing(site: Site) -> None:
    client = site.here.signed_in(FIRST)
    old = client.get(site.address)
    assert oncofed("site", "decline", site.node.folder.root, site.hash).code == 0
    assert site.says(client, "approve", old).status_code == 409
    assert site.told()[-1] == ("page_refused", "stale_plan", FIRST)
    site.guard_looks()
    assert site.state() is Decision.DECLINED
    assert site.says(client, "approve").status_code == 303
    site.guard_looks()
    assert site.state() is Decision.APPROVED, "who reads it again may decide otherwise"


@pytest.mark.parametrize("asked", ["0" * 64, "x", "..%2f..%2fetc", "AB" * 32])
def test_a_made_up_plan_is_none(site: Site, asked: str) -> None:
    client = site.here.signed_in(FIRST)
    assert client.get(f"/plans/{asked}").status_code == 404
    assert site.told()[-1][0] == "page_refused"


def test_what_the_node_refuses_is_told_and_ends_what_was_said(site: Site) -> None:
    client = site.here.signed_in(FIRST)
    assert site.says(client, "approve").status_code == 303
    site.node.table_path.rename(site.node.table_path.with_suffix(".away"))
    assert site.guard_looks() == 0
    assert site.told()[-1] == ("decision_not_taken", "faults", FIRST)
    page = client.get(site.address)
    assert "was not put into force" in page.text
    assert "the file does not exist" in page.text
    site.node.table_path.with_suffix(".away").rename(site.node.table_path)
    site.guard_looks()
    assert site.state() is None, "somebody has to say so again"
    assert site.says(client, "approve").status_code == 303
    site.guard_looks()
    assert site.state() is Decision.APPROVED


# --- two persons


def test_two_persons_are_two_accounts(two: Site) -> None:
    first, tab = two.here.signed_in(FIRST), two.here.signed_in(FIRST)
    before = tab.get(two.address)
    assert two.says(first, "approve").status_code == 303
    two.guard_looks()
    assert two.state() is None
    for page in (before, None):
        assert two.says(tab, "approve", page or before).status_code == 409
        assert two.told()[-1] == ("page_refused", "same_person", FIRST)
    two.guard_looks()
    assert two.state() is None
    second = two.here.signed_in(SECOND)
    assert f"{FIRST} wants it approved" in second.get(two.address).text
    assert two.says(second, "approve").status_code == 303
    two.guard_looks()
    assert two.state() is Decision.APPROVED
    assert two.told()[-1] == ("approved", "", f"{FIRST} + {SECOND}")
    assert [by for event, _, by in two.told() if event == "approval_wanted"] == [FIRST, SECOND]


def test_one_person_is_enough_to_decline(two: Site) -> None:
    two.says(two.here.signed_in(FIRST), "approve")
    two.says(two.here.signed_in(SECOND), "decline")
    two.guard_looks()
    two.guard_looks()
    assert [event for event, _, _ in two.told()].count("declined") == 1, "once"
    assert two.state() is Decision.DECLINED
    two.says(two.here.signed_in(SECOND), "approve")
    two.guard_looks()
    assert two.state() is Decision.DECLINED, "what the first one said before is over"


def test_who_was_shut_out_meanwhile_does_not_count(two: Site) -> None:
    two.says(two.here.signed_in(FIRST), "approve")
    two.here.desk.accounts.set_enabled(FIRST, False)
    two.says(two.here.signed_in(SECOND), "approve")
    two.guard_looks()
    assert two.state() is None
    two.here.desk.accounts.set_enabled(FIRST, True)
    two.guard_looks()
    assert two.state() is None, "nor when the account is let in again"
    two.says(two.here.signed_in(FIRST), "approve")
    two.guard_looks()
    assert two.state() is Decision.APPROVED, "the check must be able to pass"


def test_other_roles_and_sources_do_not_add_up(two: Site) -> None:
    log = two.node.audit_log
    two.says(two.here.signed_in(FIRST), "approve")
    for by, source in (("administrator", SOURCE), ("it", SOURCE), ("nobody", SOURCE), (SECOND, "another")):
        log.append(wishes.APPROVAL_WANTED, plan_hash=two.hash, by=by, facts=two.yes_of(by, source))
    two.guard_looks()
    assert two.state() is None
    log.append(wishes.APPROVAL_WANTED, plan_hash=two.hash, by=SECOND, facts=two.yes_of(SECOND, SOURCE))
    two.guard_looks()
    assert two.state() is Decision.APPROVED, "the check must be able to pass"


@pytest.mark.parametrize(("days", "state"), [(6, Decision.APPROVED), (8, None)])
def test_a_yes_of_last_week_does_not_count(two: Site, days: int, state: Decision | None) -> None:
    old = AuditLog(two.node.folder.audit_log, clock=lambda: datetime.now(UTC) - timedelta(days=days))
    old.append(wishes.APPROVAL_WANTED, plan_hash=two.hash, by=FIRST, facts=two.yes_of(FIRST, SOURCE))
    two.says(two.here.signed_in(SECOND), "approve")
    two.guard_looks()
    assert two.state() is state


def test_two_persons_by_command_and_one_of_each(two: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    node, approve = two.node.folder.root, ("approve", two.node.folder.root, two.hash, "--source", SOURCE, "--yes")
    typed = PASSWORD
    monkeypatch.setattr(plan_commands, "_password_of", lambda account: typed)
    said = oncofed("site", *approve)
    assert said.code == 2
    assert "--as NAME" in said.text
    for name, password, told in ((FIRST, "wrong", "no account"), ("it", PASSWORD, "no approver")):
        typed = password
        said = oncofed("site", *approve, "--as", name)
        assert said.code == 2
        assert told in said.text
        assert two.told()[-1][0] == "page_refused"
    typed = PASSWORD
    assert "Noted" in oncofed("site", *approve, "--as", FIRST).text
    assert two.state() is None
    said = oncofed("site", *approve, "--as", FIRST)
    assert said.code != 0
    assert "said so already" in said.text
    said = oncofed("site", *approve, "--as", SECOND)
    assert (said.code, two.state()) == (0, Decision.APPROVED), said.text
    assert two.told()[-1] == ("approved", "", f"{FIRST} + {SECOND}")
    assert oncofed("site", "decline", node, two.hash, "--reason", "ended").code == 0
    assert two.told()[-1][:2] == ("declined", "ended")
    assert two.says(two.here.signed_in(SECOND), "approve").status_code == 303
    said = oncofed("site", *approve, "--as", FIRST)
    assert (said.code, two.state()) == (0, Decision.APPROVED), said.text
    assert two.told()[-1] == ("approved", "", f"{SECOND} + {FIRST}")


def test_reasons_on_the_command_line_are_those_there_are() -> None:
    assert set(plan_commands._REASONS) == set(wishes.Reason) == set(console_pages.REASONS)


# --- what is seen


def test_the_budget_before_and_after_is_told(site: Site) -> None:
    plan = site.node.plan()
    delta = site.node.ledger().budget.delta
    event = release_of_round(plan).event
    page = site.here.signed_in(FIRST).get(site.address).text
    told = re.findall(r'class="num" data-label="[^"]*">(?:<strong>)?([\d.]+)', page)
    after = epsilon_of([event] * (plan.training.rounds + plan.privacy.reserve_rounds), delta=delta)
    assert told == ["0.000", f"{after:.3f}", "1.500"]
    assert ">fits<" in page
    site.node.set_policy("largest_epsilon = 1.5", "largest_epsilon = 0.3")
    page = site.here.signed_in(FIRST).get(site.address).text
    assert ">does not fit<" in page
    assert "above 0.3" in page


def test_ledger_and_node_say_what_the_commands_say(site: Site) -> None:
    site.node.approve()
    site.node.guard().contribute(site.node.request())
    client = site.here.signed_in(FIRST)
    spent = re.findall(r"spent: epsilon ([\d.]+)", oncofed("site", "ledger", site.node.folder.root).text)[0]
    assert f"<dd>{spent}<" in client.get("/ledger").text
    page = client.get("/node").text
    assert "approved; the coordinator has asked for no round yet" in unescape(page)
    for topic in ("ledger", "audit log", "records"):
        assert f'<th scope="row" class="whole" lang="en">{topic}</th>' in page
    assert "coordinator, port" in page, "what cannot be seen from here is named"


def test_who_said_what_stands_on_the_plans_page_and_nothing_of_a_patient_anywhere(two: Site) -> None:
    first = two.here.signed_in(FIRST)
    two.says(first, "approve")
    two.says(two.here.signed_in(SECOND), "approve")
    two.guard_looks()
    pages = [first.get(address).text for address in ("/plans", two.address, "/ledger", "/node", "/audit")]
    history = re.findall(r'<td data-label="What">([^<]*)<', pages[1])
    said = ["wants it approved", "wants it approved", "the coordinator offered it"]
    assert history == ["approved", "the node began to check it", *said]
    for page in pages:
        assert "MRN-0047" not in page
        assert "1237" not in page


def test_without_a_node_there_is_no_console(tmp_path: Path) -> None:
    with served(tmp_path) as found:
        assert found.signed_in(FIRST).get("/plans").status_code == 404


def test_without_a_model_there_are_no_patients(site: Site) -> None:
    answer = site.here.signed_in("clinician").get("/patients")
    assert answer.status_code == 404
    assert "no study" in answer.text.lower()


def looked(taker: taking.DecisionTaker) -> subprocess.Popen[bytes] | None:
    """What is at work on approvals after one more look."""
    taker.look()
    return taker._working


def test_the_guard_starts_the_taking_where_something_is_due_and_not_before(
    two: Site,
) -> None:
    clock = [1000.0]
    taker = two.taker(clock=lambda: clock[0])
    assert looked(taker) is None
    two.says(two.here.signed_in(FIRST), "approve")
    assert looked(taker) is None, "one of two"
    two.says(two.here.signed_in(SECOND), "approve")
    working = looked(taker)
    assert working is not None
    assert looked(taker) is working, "one at a time"
    assert working.wait(120) == 0
    assert two.state() is Decision.APPROVED
    assert looked(taker) is None
    taker.end()


def test_what_fails_is_tried_again_and_not_at_once(site: Site) -> None:
    clock = [1000.0]
    taker = site.taker(command=("/bin/false",), clock=lambda: clock[0])
    site.says(site.here.signed_in(FIRST), "approve")
    working = looked(taker)
    assert working is not None
    assert working.wait(60) == 1
    assert looked(taker) is None
    assert looked(taker) is None
    clock[0] += taking.SECONDS_BEFORE_AGAIN + 1
    assert looked(taker) is not None
    taker.end()


def test_nobody_is_asked_twice_for_a_decision_that_two_processes_take_at_once(site: Site) -> None:
    site.says(site.here.signed_in(FIRST), "approve")
    assert deciding.take(site.node.folder, site.hash) is not None
    assert deciding.take(site.node.folder, site.hash) is None


# --- a withdrawal waits for nothing, and nothing overtakes it


def during_the_trial(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """While an approval has its table and is not in force yet. Of its other process, whose lock is not this one's."""
    real = Approvals.held

    def tried(*args: object, **named: object) -> None:
        monkeypatch.setattr(Approvals, "held", lambda self, *, seconds=None: nullcontext())
        act()
        monkeypatch.setattr(Approvals, "held", real)

    monkeypatch.setattr(trial, "measured", lambda *args, **named: None)
    monkeypatch.setattr(trial, "refuse_if_slow", tried)


def test_what_was_declined_while_its_table_was_read_is_not_approved(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.says(site.here.signed_in(FIRST), "approve")
    during_the_trial(monkeypatch, lambda: deciding.decline(site.node.folder, site.hash, by="root"))
    deciding.take(site.node.folder, site.hash)
    assert site.state() is Decision.DECLINED


def test_a_decline_that_is_wanted_while_the_table_is_read_comes_first(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.says(site.here.signed_in(FIRST), "approve")
    other = site.here.signed_in(SECOND)
    page = other.get(site.address)
    assert "Decline this plan" in page.text, "also while an approval is about to be taken"
    during_the_trial(monkeypatch, lambda: site.says(other, "decline", page))
    deciding.take(site.node.folder, site.hash)
    assert site.state() is Decision.DECLINED


def test_a_rule_for_two_that_comes_while_one_is_asked_keeps_one_from_approving(site: Site) -> None:
    document = looked_at(site.node.folder, site.hash).document
    ask_for_two(site)
    with pytest.raises(InvalidInput, match="persons_to_approve"):
        deciding.approve(site.node.folder, document, source=SOURCE, by="root", looked_on="")
    assert site.state() is None


def test_a_decline_while_one_is_asked_at_a_terminal_keeps_that_one_from_approving(site: Site) -> None:
    document = looked_at(site.node.folder, site.hash).document
    deciding.decline(site.node.folder, site.hash, by="root")
    with pytest.raises(deciding.WishRefused):
        deciding.approve(site.node.folder, document, source=SOURCE, by="root", looked_on="")
    assert site.state() is Decision.DECLINED


def test_a_table_that_ends_the_process_keeps_no_other_plan_from_being_declined(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.says(site.here.signed_in(FIRST), "approve")
    monkeypatch.setattr(approvals, "read_source_cohort", lambda *args: (_ for _ in ()).throw(MemoryError))
    assert taking.main(["taking", str(site.node.folder.root)]) == 0
    assert site.told()[-1] == ("decision_not_taken", "failed", FIRST)
    site.says(site.here.signed_in(SECOND), "decline")
    site.guard_looks()
    assert site.state() is Decision.DECLINED


def test_a_decline_asks_no_policy_and_is_not_lost_by_another_one(site: Site) -> None:
    for name in (FIRST, SECOND):
        assert site.says(site.here.signed_in(name), "decline").status_code == 303
    site.here.desk.accounts.set_enabled(SECOND, False)
    (site.node.folder.policy).write_text("broken = [")
    site.guard_looks()
    assert site.told()[-1] == ("declined", "budget", FIRST)


def test_a_decline_is_taken_while_an_approval_is_at_work(site: Site) -> None:
    taker = site.taker(command=("/bin/sh", "-c", "exec sleep 60"))
    site.says(site.here.signed_in(FIRST), "approve")
    assert looked(taker) is not None
    other = site.here.signed_in(SECOND)
    site.says(other, "decline", other.get(site.address))
    assert looked(taker) is not None
    assert site.state() is Decision.DECLINED
    taker.end()
