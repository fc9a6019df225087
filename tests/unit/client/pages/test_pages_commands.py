"""Do the commands give and take accounts, write down what they did, and find who looked?"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.command_line import oncofed
from tests.installed_node import InstalledNode, installed_node

from oncofed.client.pages import accounts as module
from oncofed.client.pages.accounts import Accounts, Cost, Role
from oncofed.client.pages.of_node import accounts_file, key_file
from oncofed.client.pages.viewing_record import PATIENT, ViewingRecord, viewing_key
from oncofed.client.records.audit_log import AuditLog
from oncofed.errors import RecordUnwritable

PASSWORD = "plum copper violin"


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Iterator[InstalledNode]:
    monkeypatch.setattr(module, "Cost", lambda: Cost(n=2**4))
    with installed_node() as found:
        yield found


def test_accounts_are_given_changed_and_taken(node: InstalledNode, monkeypatch: pytest.MonkeyPatch) -> None:
    typed = iter([PASSWORD, "another long password"])
    monkeypatch.setattr("oncofed.client.pages.commands._new_password", lambda: next(typed))
    said = oncofed("site", "pages", "add-user", node.folder.root, "dr.klein", "--role", "clinician")
    assert (said.code, said.text) == (0, "dr.klein may sign in as clinician.\n")
    accounts = Accounts(accounts_file(node.folder))
    assert accounts.checked("dr.klein", PASSWORD) is not None
    assert oncofed("site", "pages", "set-password", node.folder.root, "dr.klein").code == 0
    assert accounts.checked("dr.klein", "another long password") is not None
    assert oncofed("site", "pages", "disable", node.folder.root, "dr.klein").code == 0
    assert "disabled" in oncofed("site", "pages", "users", node.folder.root).text
    assert oncofed("site", "pages", "disable", node.folder.root, "dr.klein", "--again").code == 0
    assert accounts.find("dr.klein") is not None
    events = [(entry.event, entry.code, bool(entry.by), entry.facts["of_account"]) for entry in node.entries()]
    assert events == [("page_accounts", code, True, "dr.klein") for code in ("add", "password", "disable", "enable")]
    assert node.entries()[0].facts["role"] == "clinician"


@pytest.mark.parametrize("change", ["add-user", "set-password", "disable"])
def test_no_account_is_changed_that_nobody_can_tell_of(
    node: InstalledNode, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise RecordUnwritable("the disk is full")

    monkeypatch.setattr("oncofed.client.pages.commands._new_password", lambda: PASSWORD)
    if change != "add-user":
        oncofed("site", "pages", "add-user", node.folder.root, "dr.klein", "--role", "approver")
    before = Accounts(accounts_file(node.folder)).all()
    monkeypatch.setattr(AuditLog, "append", full)
    role = ("--role", "approver") if change == "add-user" else ()
    assert oncofed("site", "pages", change, node.folder.root, "dr.klein", *role).code != 0
    assert Accounts(accounts_file(node.folder)).all() == before


def test_a_short_password_or_an_unknown_name_is_refused(node: InstalledNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oncofed.client.pages.commands._new_password", lambda: "short")
    said = oncofed("site", "pages", "add-user", node.folder.root, "dr.klein", "--role", "clinician")
    assert said.code == 2
    assert "12 characters" in said.text
    assert oncofed("site", "pages", "disable", node.folder.root, "nobody").code == 2


def test_who_looked_at_a_patient_is_found(node: InstalledNode) -> None:
    record = ViewingRecord(node.audit_log, key=viewing_key(key_file(node.folder)), plan_hash="", clock=lambda: 0.0)
    record.patient("dr.klein", PATIENT, "MRN-0047-00001")
    record.patient("dr.gross", PATIENT, "MRN-0047-00002")
    said = oncofed("site", "pages", "views", node.folder.root, "--patient", "MRN-0047-00001")
    assert said.code == 0
    assert "dr.klein" in said.text
    assert "dr.gross" not in said.text
    assert "Nobody" in oncofed("site", "pages", "views", node.folder.root, "--patient", "4711").text
    assert key_file(node.folder).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "arguments", [("--socket", "/run/x.sock"), ("--socket", "/run/x.sock", "--name", "a.example", "--port", "1")]
)
def test_a_socket_needs_a_name_and_no_port(node: InstalledNode, arguments: tuple[str, ...]) -> None:
    said = oncofed("site", "pages", "serve", node.folder.root, *arguments)
    assert said.code == 2
    assert "--socket" in said.text


def test_roles_on_the_command_line_are_those_there_are() -> None:
    from oncofed.client.pages.commands import _ROLES  # noqa: PLC0415 - one test's

    assert set(_ROLES) == set(Role)
