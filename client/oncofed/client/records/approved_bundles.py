"""Which code may the hospital's SuperNode run, by the decisions that are in force? Torch-free."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from oncofed.client.records.decisions import Approval, Decision
from oncofed.durable import replace_durably
from oncofed.errors import InvalidInput
from oncofed.plain_file import file_content

_MODE = 0o644
"""The SuperNode's user reads which bundles are approved; a hash of public code tells nothing."""


def write_bundles(file: Path, decisions: Iterable[Approval]) -> None:
    """The SHA-256 of each approved plan's bundle, one a line. A file that says so already stays as it is."""
    bundles = {one.bundle_sha256 for one in decisions if one.decision is Decision.APPROVED and one.bundle_sha256}
    content = "".join(f"{one}\n" for one in sorted(bundles)).encode()
    try:
        found = file_content(file, most=len(content))
    except InvalidInput:  # it is lost, or something else is in its place
        found = None
    if found != content:
        replace_durably(file, content, mode=_MODE)
