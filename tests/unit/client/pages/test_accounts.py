"""Who gets in, and what lies on the disk?"""

from __future__ import annotations

import hashlib
import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from oncofed.client.pages import accounts as module
from oncofed.client.pages.accounts import Accounts, Cost, Role
from oncofed.errors import InvalidInput, RecordDamaged

CHEAP = Cost(n=2**4)
PASSWORD = "plum copper violin"


@pytest.fixture
def accounts(tmp_path: Path) -> Accounts:
    found = Accounts(tmp_path / "accounts.json", cost=CHEAP)
    found.add("dr.klein", Role.CLINICIAN, PASSWORD)
    return found


def test_the_right_password_opens_the_account_and_no_other(accounts: Accounts) -> None:
    account = accounts.checked("dr.klein", PASSWORD)
    assert account is not None
    assert account.role is Role.CLINICIAN
    for name, password in (("dr.klein", PASSWORD + "x"), ("dr.klein", ""), ("somebody", PASSWORD), ("", "")):
        assert accounts.checked(name, password) is None


def test_the_file_holds_no_password_and_only_its_owner_reads_it(accounts: Accounts, tmp_path: Path) -> None:
    path = tmp_path / "accounts.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (stored,) = json.loads(path.read_text())
    assert PASSWORD not in path.read_text()
    expected = hashlib.scrypt(PASSWORD.encode(), salt=bytes.fromhex(stored["salt"]), n=16, r=8, p=1, dklen=32)
    assert stored["password_hash"] == expected.hex()


def test_equal_passwords_have_different_hashes(accounts: Accounts) -> None:
    accounts.add("dr.gross", Role.ANALYST, PASSWORD)
    first, second = accounts.all()
    assert first.salt != second.salt
    assert first.password_hash != second.password_hash


def test_an_unknown_name_costs_what_a_wrong_password_costs(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int, int]] = []
    derived = module._derived

    def counted(password: str, account: module.Account) -> bytes:
        asked.append((account.n, account.r, account.p))
        return derived(password, account)

    monkeypatch.setattr(module, "_derived", counted)
    accounts.checked("dr.klein", "wrong")
    accounts.checked("somebody", "wrong")
    assert asked == [(16, 8, 1)] * 2


def test_production_takes_the_full_cost() -> None:
    assert Cost() == Cost(n=131_072, r=8, p=1)


@pytest.mark.parametrize("password", ["short", "dr.klein dr.klein", "aaaaaaaaaaaaaaaa", "x" * 201])
def test_weak_passwords_are_refused(accounts: Accounts, password: str) -> None:
    with pytest.raises(InvalidInput):
        accounts.set_password("dr.klein", password)
    assert accounts.checked("dr.klein", PASSWORD) is not None


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "-a", 'a"b', "dr/klein", "ä"])
def test_a_name_that_the_audit_log_could_not_hold_is_refused(accounts: Accounts, name: str) -> None:
    with pytest.raises(InvalidInput):
        accounts.add(name, Role.ANALYST, PASSWORD)


def test_a_name_is_taken_for_good(accounts: Accounts) -> None:
    accounts.set_enabled("dr.klein", False)
    assert accounts.checked("dr.klein", PASSWORD) is None
    with pytest.raises(InvalidInput):
        accounts.add("dr.klein", Role.ADMINISTRATOR, PASSWORD)
    accounts.set_enabled("dr.klein", True)
    assert accounts.checked("dr.klein", PASSWORD) is not None


def test_each_change_that_must_end_sessions_raises_the_version(accounts: Accounts) -> None:
    versions = [accounts.all()[0].version]
    accounts.set_password("dr.klein", "another long password")
    versions.append(accounts.all()[0].version)
    accounts.set_enabled("dr.klein", False)
    versions.append(accounts.all()[0].version)
    assert versions == [1, 2, 3]


def test_two_that_add_accounts_at_once_lose_none(accounts: Accounts, tmp_path: Path) -> None:
    def add(number: int) -> None:
        Accounts(tmp_path / "accounts.json", cost=CHEAP).add(f"user{number}", Role.ANALYST, PASSWORD)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(16)))
    assert len(accounts.all()) == 17


def test_a_damaged_file_lets_nobody_in(accounts: Accounts, tmp_path: Path) -> None:
    (tmp_path / "accounts.json").write_text('[{"name": "dr.klein"}]')
    with pytest.raises(RecordDamaged):
        accounts.checked("dr.klein", PASSWORD)
