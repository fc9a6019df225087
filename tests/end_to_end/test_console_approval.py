"""Is a plan that two persons approve in the browser, and at another hospital by command, answered by the real nodes?

Coordinator, guards, nodes and relays are the product's own processes; so is the server of the pages, and the browser is
a real one. Both hospitals' rules ask for two persons.
"""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page
from tests.end_to_end.flower_processes import SITES, free_port, until
from tests.end_to_end.installed_consortium import Installed, cli, installed
from tests.installed_node import SOURCE
from tests.pages_hospital import PASSWORD, SECOND

from oncofed.client.install.folder import NodeFolder
from oncofed.client.install.inbox import approvals_of
from oncofed.client.install.kept_settings import accounts_of
from oncofed.client.pages.accounts import Accounts, Role
from oncofed.client.records.audit_entries import verify_audit_log
from oncofed.client.records.decisions import Decision
from oncofed.simulations.benchmarks.browser import CHROMIUM, chromium

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="NOT TESTED: a console. apt-get install chromium to test it."),
]
FIRST = Role.APPROVER.value
BROWSER, COMMAND = SITES[:2]


@pytest.fixture(scope="module")
def two() -> Iterator[Installed]:
    with installed(sites=(BROWSER, COMMAND)) as found:
        for hospital in found.hospitals.values():
            policy = hospital.folder.policy
            policy.write_text(policy.read_text().replace("[node]\n", "[node]\npersons_to_approve = 2\n"))
            accounts = Accounts(accounts_of(hospital.folder))
            for name in (FIRST, SECOND):
                accounts.add(name, Role.APPROVER, PASSWORD)
        found.start()
        yield found


def decided(folder: NodeFolder, plan_hash: str) -> Decision | None:
    found = approvals_of(folder).find(plan_hash)
    return None if found is None else found.decision


def told(folder: NodeFolder, plan_hash: str) -> list[tuple[str, str]]:
    wanted = ("approval_wanted", "approved", "page_refused")
    entries = verify_audit_log(folder.audit_log).entries
    return [(one.event, one.by) for one in entries if one.event in wanted and one.plan_hash == plan_hash]


def sign_in(page: Page, address: str, name: str) -> None:
    page.goto(address)
    page.fill("#name", name)
    page.fill("#password", PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "sign-in" not in url)


def by_command(folder: NodeFolder, plan_hash: str, name: str) -> str:
    """As a person types it: on a terminal, with the password."""
    terminal, other = pty.openpty()
    words = ("site", "approve", str(folder.root), plan_hash[:12], "--source", SOURCE, "--yes", "--as", name)
    process = subprocess.Popen(
        [sys.executable, "-m", "oncofed.cli", *words],
        stdin=other,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    said = ""
    while "Password of" not in said:  # what is typed before is thrown away
        piece = process.stdout.read(1)
        assert piece, said
        said += piece
    os.write(terminal, f"{PASSWORD}\n".encode())
    said += process.communicate(timeout=120)[0]
    for each in (terminal, other):
        os.close(each)
    assert process.returncode == 0, said
    return said


def test_two_persons_in_the_browser_and_two_by_command(two: Installed) -> None:
    document = two.study("console", rounds=1)
    plan_hash = document.plan.hash
    here, there = (two.hospitals[site].folder for site in (BROWSER, COMMAND))
    for folder in (here, there):
        cli("site", "plans", str(folder.root), "--add", str(two.base.coordinator.study(plan_hash) / "plan.json"))

    port = free_port()
    two.processes.start("pages", "oncofed.cli", "site", "pages", "serve", str(here.root), "--port", str(port))
    address = f"http://127.0.0.1:{port}"
    with chromium() as browser:
        first, second = (browser.new_context().new_page() for _ in range(2))
        until(lambda: _answers(first, address), seconds=60, what="the pages are there")
        for page, name in ((first, FIRST), (second, SECOND)):
            sign_in(page, address, name)
            page.get_by_role("link", name="console").click()
            page.wait_for_selector("pre.plan")
        # A second tab of the same person is no second person.
        tab, old = (first.context.new_page() for _ in range(2))
        tab.goto(first.url)
        old.goto(first.url)
        for page in (first, tab):
            page.fill("#yes-password", PASSWORD)
            page.get_by_role("button", name="Approve this plan").click()
            page.wait_for_load_state()
        assert "You have said so already" in tab.inner_text("main")
        assert decided(here, plan_hash) is None
        second.fill("#yes-password", PASSWORD)
        second.get_by_role("button", name="Approve this plan").click()
        until(lambda: decided(here, plan_hash) is Decision.APPROVED, seconds=120, what="the guard takes it")
        second.wait_for_selector(".status .well", timeout=60_000)
        assert f"by {FIRST} + {SECOND}" in second.inner_text(".status")
        # A page from before the decision approves nothing any more.
        old.fill("#yes-password", PASSWORD)
        old.get_by_role("button", name="Approve this plan").click()
        old.wait_for_load_state()
        assert "was decided on since you opened its page" in old.inner_text("main")
        assert decided(here, plan_hash) is Decision.APPROVED
        assert told(here, plan_hash) == [
            ("approval_wanted", FIRST),
            ("page_refused", FIRST),
            ("approval_wanted", SECOND),
            ("approved", f"{FIRST} + {SECOND}"),
            ("page_refused", FIRST),
        ]

    assert "another person" in by_command(there, plan_hash, FIRST)
    assert decided(there, plan_hash) is None
    assert "Approved: console" in by_command(there, plan_hash, SECOND)
    assert told(there, plan_hash)[-1] == ("approved", f"{FIRST} + {SECOND}")

    two.begin(document)
    status = two.finish(document, seconds=240)
    assert status.outcome == "completed", status.details
    for folder in (here, there):
        assert [one.event for one in verify_audit_log(folder.audit_log).entries].count("contribute") >= 1


def _answers(page: Page, address: str) -> bool:
    try:
        page.goto(address)
    except Exception:
        return False
    return True
