"""Which masking key has this hospital for a plan, and which ones did other hospitals sign?

``<plan hash>.key`` is this hospital's private key, made when a person approves the plan and gone when it is declined or
its model has come. ``<plan hash>.json`` holds the signed public keys of the others, as the coordinator brought them;
they are verified again whenever they are read (`guard.trust`), so the file need not be believed.

Promises: a private key is on the disk, for its owner alone, before anybody can learn its public half; it is never
written over another. That a plan gets no second one is for `approvals`, by what the audit log says. No torch.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from oncofed.durable import replace_durably, sync_folder, unwritable
from oncofed.errors import RecordDamaged
from oncofed.plain_file import plain_bytes
from oncofed.privacy.masking import public_masking_key_of
from oncofed.protocol.masking_keys import SignedMaskingKey
from oncofed.secret_files import read_secret, write_secret

_FOLDER_MODE = 0o700
_LARGEST_BYTES = 8_000_000
"""Of the keys of others: more than the largest question that brings them takes in hexadecimal digits."""


@dataclass(frozen=True)
class PlanKeys:
    """folder: ``masking/``."""

    folder: Path

    def keep_own(self, plan_hash: str, key: bytes) -> None:
        """This hospital's private key, where there is none yet. Raises RecordUnwritable."""
        with unwritable(self.folder):
            self.folder.mkdir(mode=_FOLDER_MODE, exist_ok=True)
            if not self._own(plan_hash).exists():
                write_secret(self._own(plan_hash), key)

    def held(self, plan_hash: str) -> str:
        """The public half of the key that is there, hexadecimal; empty where it is gone."""
        own = self.own(plan_hash)
        return "" if own is None else public_masking_key_of(own).hex()

    def own(self, plan_hash: str) -> bytes | None:
        """The private key, None where it is gone. Raises InvalidInput where others could read it."""
        return read_secret(self._own(plan_hash)) if self._own(plan_hash).exists() else None

    def others(self, plan_hash: str) -> tuple[SignedMaskingKey, ...]:
        """As they were kept; to be verified. Raises RecordDamaged."""
        path = self.folder / f"{plan_hash}.json"
        with unwritable(path):
            if not path.exists():
                return ()
            content = plain_bytes(path, most=_LARGEST_BYTES)
        try:
            return tuple(
                SignedMaskingKey(str(site), bytes.fromhex(key), bytes.fromhex(signature))
                for site, key, signature in json.loads(content)
            )
        except (ValueError, RecursionError, TypeError):
            raise RecordDamaged(
                f"{path} holds no keys, and nobody knows any more which it held. Ask the coordinator for a new plan."
            ) from None

    def keep(self, plan_hash: str, keys: Iterable[SignedMaskingKey]) -> None:
        """Raises RecordUnwritable."""
        listed = [[key.site, key.public_key.hex(), key.signature.hex()] for key in keys]
        replace_durably(self.folder / f"{plan_hash}.json", json.dumps(listed).encode() + b"\n")

    def forget(self, plan_hash: str) -> bool:
        """Remove this hospital's private key; whether there was one. Raises RecordUnwritable."""
        with unwritable(self.folder):
            if not self._own(plan_hash).exists():
                return False
            self._own(plan_hash).unlink()
            sync_folder(self.folder)
        return True

    def tidy(self, *, unless: Callable[[str], bool]) -> None:
        """Remove the private keys, and what a kill left half-written, but of some plans. Raises RecordUnwritable."""
        with unwritable(self.folder):
            for path in sorted(self.folder.iterdir()) if self.folder.exists() else ():
                if path.name.startswith(".") or (path.suffix == ".key" and not unless(path.stem)):
                    path.unlink()
                    sync_folder(self.folder)

    def _own(self, plan_hash: str) -> Path:
        return self.folder / f"{plan_hash}.key"
