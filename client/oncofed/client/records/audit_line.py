"""How does a line of the audit log look?

JSON of fixed keys in one form, chained to the line before by its hash. A line that a kill cut short is closed by a mark
of its own, so that no whole line is ever taken for one, and the line after it says how many bytes it had.

Some lines hold `facts`, most of which must not be forgotten with the files that they are about: names of data sources
as the policy has them, and hashes. They have no room for a patient's value either.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping

from oncofed.client.records.chain import Anchor, link

CUT_SHORT_MARK = b"#torn\n"
"""Ends a line that was cut short, so that a whole line which does not fit is never taken for one."""
LONGEST_LINE = 65_536
LONGEST_TORN = 4 * LONGEST_LINE
"""Bytes, of what kills and full disks left between two lines: nobody writes after more."""
_KEYS = {"number", "time", "event", "plan_hash", "round", "attempt", "code", "by", "left", "torn", "previous", "hash"}
_TEXTS = ("time", "event", "plan_hash", "code", "by", "previous")
_NUMBERS = ("round", "attempt")
_SOURCE, _DIGITS = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}"), re.compile(r"[0-9a-f]{32,64}")
_FACTS = {
    "data_source": _SOURCE,
    "shares_with": _SOURCE,
    "table": _DIGITS,
    "decision": _DIGITS,
    "split": _DIGITS,
    "masking_key": _DIGITS,
    "account": _DIGITS,
    "of_account": re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}"),
    "role": re.compile(r"[a-z]{1,40}"),
    "times": re.compile(r"[0-9]{1,12}"),
}
"""What a line may say besides, and in which form.

table: the hash of where a source's patients lie. account: a mark of an account as it was (`pages.accounts`).
of_account, role: whose account was changed, and which role it was given.
times: how often something was asked that is not noted by itself.
"""


def well_formed(facts: object) -> bool:
    """Whether these are facts that a line may hold."""
    return isinstance(facts, Mapping) and all(
        key in _FACTS and isinstance(text, str) and _FACTS[key].fullmatch(text) for key, text in facts.items()
    )


def line_of(fields: dict[str, object], *, after: Anchor) -> tuple[bytes, Anchor]:
    """The line that follows this head, and the head that it makes."""
    numbered = {"number": after.entries + 1, **fields, "previous": after.hash}
    hash_ = link(after.hash, _canonical(numbered))
    line = _canonical({**numbered, "hash": hash_}) + b"\n"
    assert len(line) <= LONGEST_LINE, "an entry is short"
    return line, Anchor(after.entries + 1, hash_)


def _canonical(fields: dict[str, object]) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


def fields_in(line: bytes) -> dict[str, object] | None:
    """A whole line's fields when its own hash fits, else None."""
    if not line.endswith(b"\n") or len(line) > LONGEST_LINE:
        return None
    try:
        return _sound_fields(line)
    except (ValueError, RecursionError):  # also NaN, half a character, and what is nested too deeply to be written
        return None


def _sound_fields(line: bytes) -> dict[str, object] | None:
    found = json.loads(line)
    if not isinstance(found, dict) or set(found) - {"facts"} != _KEYS or not well_formed(found.get("facts", {})):
        return None
    if not all(isinstance(found[key], str) for key in _TEXTS):
        return None
    if type(found["number"]) is not int or not all(isinstance(found[key], int | None) for key in _NUMBERS):
        return None
    unsigned = {key: value for key, value in found.items() if key != "hash"}
    sound = found["hash"] == link(found["previous"], _canonical(unsigned)) and _canonical(found) + b"\n" == line
    return found if sound else None


def cut_short(line: bytes) -> bool:
    """Whether it is what a kill left of a line."""
    return not line.endswith(b"\n") or line.endswith(CUT_SHORT_MARK)


def tells_of(told: object, torn: bytes) -> bool:
    """What was cut short is only ever followed by the entry that tells of it, and that entry follows nothing else."""
    if not torn or told is None:
        return not torn and told is None
    digests = {hashlib.sha256(part).hexdigest() for part in (torn, torn.removesuffix(CUT_SHORT_MARK))}
    return isinstance(told, dict) and told.get("sha256") in digests
