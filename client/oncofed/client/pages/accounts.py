"""Who may look at the pages, and as what?

One file of the guard's user holds names, roles and scrypt hashes with a salt of their own. A clinician sees patients
and the cohort, an analyst the cohort only, an administrator accounts and the audit log and neither of the two. An
approver decides about plans, `it` looks at them and at the node. Nobody has two roles; who needs both has two accounts.

Promises: the file is written whole or not at all, under a lock, and never holds a password; who is to tell of a change
(`told`) has done so before it is made, and where that fails nothing is changed; a wrong password and an
unknown name take the same work, and both are compared in constant time. Refused: a short password, a name that the
audit log could not hold.

Source: Percival and Josefsson, RFC 7914 (scrypt); its cost is OWASP's smallest recommendation (2^17, 8, 1: 128 MiB, a
quarter of a second).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path

from oncofed.durable import replace_durably, unwritable
from oncofed.errors import Fault, InvalidInput, RecordDamaged
from oncofed.plain_file import plain_bytes
from oncofed.turns import in_turn, opened_lock


class Role(StrEnum):
    CLINICIAN = "clinician"
    ANALYST = "analyst"
    ADMINISTRATOR = "administrator"
    APPROVER = "approver"
    IT = "it"


@dataclass(frozen=True)
class Cost:
    """Of scrypt: n (power of two), r, p."""

    n: int = 2**17
    r: int = 8
    p: int = 1


SHORTEST_PASSWORD = 12
LONGEST_PASSWORD = 200
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")
_SALT_BYTES, _HASH_BYTES = 16, 32
_MARK_DIGITS = 32
_LARGEST_BYTES = 8_000_000
"""Of the file: as many accounts as no hospital has people."""


@dataclass(frozen=True)
class Account:
    """salt, password_hash  hexadecimal. version: one higher with each change that must end the account's sessions."""

    name: str
    role: Role
    salt: str
    password_hash: str
    n: int
    r: int
    p: int
    enabled: bool = True
    version: int = 1

    @property
    def mark(self) -> str:
        """Another one after each change that ends the account's sessions. Says nothing of the password."""
        return hashlib.sha256(f"{self.name} {self.role} {self.salt} {self.version}".encode()).hexdigest()[:_MARK_DIGITS]


Told = Callable[[], None]
"""Tells of a change, or raises."""


def untold() -> None:
    """The null twin."""


class Accounts:
    """The accounts in one file; the first one makes it."""

    def __init__(self, path: Path, *, cost: Cost | None = None) -> None:
        self._path = path
        self._cost = cost or Cost()
        self._nobody = _hashed(Account("nobody", Role.ANALYST, "", "", 0, 0, 0), secrets.token_urlsafe(), self._cost)

    def all(self) -> tuple[Account, ...]:
        """By name, read anew. Raises RecordDamaged, RecordUnwritable."""
        return accounts_in(self._path)

    def find(self, name: str) -> Account | None:
        """An enabled account."""
        return next((account for account in self.all() if account.name == name and account.enabled), None)

    def checked(self, name: str, password: str) -> Account | None:
        """The account if the password is its own. An unknown name costs what a wrong password costs."""
        account = self.find(name)
        asked = account or self._nobody
        right = hmac.compare_digest(_derived(password, asked), bytes.fromhex(asked.password_hash))
        return account if right and account is not None else None

    def add(self, name: str, role: Role, password: str, *, told: Told = untold) -> None:
        """Raises InvalidInput for a name that is taken or unusable, or a short password."""
        if not is_usable_name(name):
            remedy = "Use 1 to 64 letters, digits and _ . @ -, a letter or digit first."
            raise InvalidInput([Fault("name", "is not a usable name", remedy)])
        _refuse_weak(password, name)
        with self._changed(told) as accounts:
            if name.casefold() in [other.casefold() for other in accounts]:  # else one person could be two
                remedy = "Choose another, or set a new password for it."
                raise InvalidInput([Fault("name", "has an account already", remedy)])
            accounts[name] = _hashed(Account(name, role, "", "", 0, 0, 0), password, self._cost)

    def set_password(self, name: str, password: str, *, told: Told = untold) -> None:
        """Ends all sessions of the account. Raises InvalidInput."""
        _refuse_weak(password, name)
        with self._changed(told) as accounts:
            account = _known(accounts, name)
            hashed = _hashed(account, password, self._cost)
            accounts[name] = replace(hashed, version=account.version + 1)

    def set_enabled(self, name: str, enabled: bool, *, told: Told = untold) -> None:
        """Disabling ends all sessions of the account. A name is never given to somebody else: the log names it."""
        with self._changed(told) as accounts:
            account = _known(accounts, name)
            accounts[name] = replace(account, enabled=enabled, version=account.version + 1)

    @contextmanager
    def _changed(self, told: Told) -> Iterator[dict[str, Account]]:
        with accounts_at_rest(self._path):
            accounts = {account.name: account for account in self.all()}
            yield accounts
            told()
            _write(self._path, accounts.values())


def is_usable_name(name: str) -> bool:
    """Whether an account may be called so."""
    return _NAME.fullmatch(name) is not None


def accounts_in(path: Path) -> tuple[Account, ...]:
    """Those of a file, by name; none where there is no file. Raises RecordDamaged, RecordUnwritable."""
    with unwritable(path):
        content = plain_bytes(path, most=_LARGEST_BYTES) if path.exists() else b"[]"
    try:
        found = [Account(**{**each, "role": Role(each["role"])}) for each in json.loads(content)]
        return tuple(sorted(found, key=lambda account: account.name))
    except (ValueError, RecursionError, TypeError, KeyError):
        raise RecordDamaged(
            f"{path.name} is no file of accounts. Put it back from the newest backup, and disable again whoever was "
            "disabled since then: `oncofed site pages users` lists all."
        ) from None


@contextmanager
def accounts_at_rest(path: Path, *, seconds: float | None = None) -> Iterator[None]:
    """While inside no account of this file changes. seconds: as of `in_turn`."""
    lock_file = path.with_name(f".{path.name}.lock")
    # While it waits a restore may put another folder here.
    with in_turn(lock_file, opened=lambda: _opened(lock_file), seconds=seconds):
        yield


def _opened(lock_file: Path) -> int:
    with unwritable(lock_file):
        return opened_lock(lock_file)


def disable_all(path: Path) -> None:
    """Nobody of this file signs in any more, until a person enables them one by one."""
    _write(path, [replace(each, enabled=False, version=each.version + 1) for each in accounts_in(path)])


def _write(path: Path, accounts: Iterable[Account]) -> None:
    listed = [asdict(account) for account in sorted(accounts, key=lambda account: account.name)]
    replace_durably(path, (json.dumps(listed, indent=1) + "\n").encode(), mode=0o600)


def _known(accounts: Mapping[str, Account], name: str) -> Account:
    if name not in accounts:
        raise InvalidInput([Fault("name", "has no account here", "`oncofed site pages users NODE` lists them.")])
    return accounts[name]


def _refuse_weak(password: str, name: str) -> None:
    what = None
    if len(password) < SHORTEST_PASSWORD:
        what = f"has fewer than {SHORTEST_PASSWORD} characters"
    elif len(password) > LONGEST_PASSWORD:
        what = f"has more than {LONGEST_PASSWORD} characters"
    elif name.lower() in password.lower() or len(set(password)) < 5:
        what = "is too easy to guess"
    if what is not None:
        raise InvalidInput([Fault("password", what, "Take several words that do not belong together.")])


def _hashed(account: Account, password: str, cost: Cost) -> Account:
    salted = replace(account, salt=secrets.token_hex(_SALT_BYTES), n=cost.n, r=cost.r, p=cost.p)
    return replace(salted, password_hash=_derived(password, salted).hex())


def _derived(password: str, account: Account) -> bytes:
    room = 256 * account.n * account.r
    salt = bytes.fromhex(account.salt)
    secret = password[: LONGEST_PASSWORD + 1].encode("utf-8", "surrogatepass")
    return hashlib.scrypt(secret, salt=salt, n=account.n, r=account.r, p=account.p, maxmem=room, dklen=_HASH_BYTES)
