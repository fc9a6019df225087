"""How does a plan name a model that another plan trained? By its file and by who signed it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ReleasedModel:
    """A model file (`protocol.model_file`). All hexadecimal.

    plan_hash               of the plan that trained it.
    sha256                  of the file.
    coordinator_public_key  Ed25519: of that plan's coordinator. signature: under the file.
    """

    plan_hash: str
    sha256: str
    coordinator_public_key: str
    signature: str
