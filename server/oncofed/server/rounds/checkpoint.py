"""Where does a federation go on after the power failed? At the last finished round, from one file.

``round.checkpoint`` is, in this order: the line ``oncofed-checkpoint 1 <SHA-256 of all that follows>``, one line of
JSON (plan hash, round, attempt, who answered each summary, each hospital's last answer, and an `extra` that is the
caller's), and the arrays as safetensors. No pickle.

Promises: the new file is complete on the disk before it takes the old one's name, so that a kill at any instant leaves
the previous checkpoint or the next, and never a mixture. Loading gives back bit-identical arrays.

Refuses, with `CheckpointDamaged` and a remedy: a missing file, one changed byte, another plan's file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from oncofed.durable import replace_durably
from oncofed.errors import CheckpointDamaged
from oncofed.plain_file import OtherKind, plain_bytes
from oncofed.protocol.plan_hash import digits_apart
from oncofed.protocol.wire_form import LARGEST_MESSAGE
from oncofed.server.rounds.state import FederationState, ReleasedSummary

Json = Mapping[str, "Json"] | Sequence["Json"] | str | int | float | bool | None

FILE_NAME = "round.checkpoint"
_MAGIC = b"oncofed-checkpoint 1 "
_WEIGHTS = "weights"
_OPTIMISER = "optimiser."
_SUMMARY = "summary."
_PART = "part."
_LARGEST_BYTES = 16 * LARGEST_MESSAGE
"""Weights, two or three arrays of the optimiser and the summaries, each of no more than a message."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """extra is what the caller gave, as JSON gives it back (tuples are lists)."""

    state: FederationState
    extra: Json


def save_checkpoint(folder: Path, *, state: FederationState, plan_hash: str, extra: Json = None) -> None:
    """Replace the folder's checkpoint. Raises RecordUnwritable; then the previous one is still there."""
    summaries = {
        name: {"answered": list(summary.answered), "attempt": summary.attempt, "parts": list(summary.parts)}
        for name, summary in state.summaries.items()
    }
    header = {
        "plan_hash": plan_hash,
        "round": state.round,
        "attempt": state.attempt,
        "summaries": summaries,
        "answered": None if state.answered is None else dict(state.answered),
        "extra": extra,
    }
    arrays = {_WEIGHTS: state.weights} | {_OPTIMISER + name: array for name, array in state.optimiser.items()}
    arrays |= {_SUMMARY + name: summary.vector for name, summary in state.summaries.items()}
    for name, summary in state.summaries.items():
        arrays |= {_part(name, place): vector for place, vector in enumerate(summary.parts.values())}
    body = json.dumps(header, allow_nan=False).encode() + b"\n" + safetensors.numpy.save(arrays)
    replace_durably(folder / FILE_NAME, _MAGIC + hashlib.sha256(body).hexdigest().encode() + b"\n" + body)


def _part(summary: str, place: int) -> str:
    """By number: a hospital's name may hold anything."""
    return f"{_PART}{summary}.{place}"


def has_checkpoint(folder: Path) -> bool:
    """Whether there is a file to load; loading decides whether it is sound."""
    return (folder / FILE_NAME).exists()


def load_checkpoint(folder: Path, *, plan_hash: str) -> Checkpoint:
    """The last finished round of the plan with this hash."""
    path = folder / FILE_NAME
    try:
        content = plain_bytes(path, most=_LARGEST_BYTES)
    except FileNotFoundError:
        raise CheckpointDamaged(f"{path} does not exist. Start the study without --resume.") from None
    except OtherKind as other:
        what = other.fault.what
        raise CheckpointDamaged(f"{path} {what}. Restore it from a backup, or start the study anew.") from None
    first_line, _, body = content.partition(b"\n")
    if first_line != _MAGIC + hashlib.sha256(body).hexdigest().encode():
        raise CheckpointDamaged(
            f"{path} is damaged: its checksum does not fit. Restore it from a backup, or start the study anew."
        )
    # From here on the bytes are those that were written.
    text, _, arrays = body.partition(b"\n")
    header = json.loads(text)
    if header["plan_hash"] != plan_hash:
        digits = digits_apart([header["plan_hash"], plan_hash])
        raise CheckpointDamaged(
            f"{path} belongs to another plan ({header['plan_hash'][:digits]}, this one is {plan_hash[:digits]}). "
            "Resume with the study file it was made from, or choose another folder."
        )
    vectors: dict[str, NDArray[np.float64]] = safetensors.numpy.load(arrays)
    state = FederationState(
        round=header["round"],
        attempt=header["attempt"],
        weights=vectors[_WEIGHTS],
        optimiser={
            name.removeprefix(_OPTIMISER): array for name, array in vectors.items() if name.startswith(_OPTIMISER)
        },
        summaries={
            name: ReleasedSummary(
                vectors[_SUMMARY + name],
                tuple(kept["answered"]),
                kept["attempt"],
                {site: vectors[_part(name, place)] for place, site in enumerate(kept.get("parts", ()))},
            )
            for name, kept in header.get("summaries", {}).items()  # files of before there were any
        },
        answered=header.get("answered"),
    )
    return Checkpoint(state, header["extra"])
