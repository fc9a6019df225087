"""In which form does the final model reach the hospitals? As safetensors, signed by the coordinator.

One array ``weights`` ((parameters,) float64, the network's canonical order) and the metadata ``format`` and
``plan_hash``; the network itself is described by the plan that each hospital approved, so nothing in the file says what
to build or run. The signature is over the file's bytes; its SHA-256 names the model.

Refused: another key, shape, dtype or metadata, numbers that are not finite, a header that asks for more than the file
holds, another plan's model. Imports no torch.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from oncofed.errors import Fault, InvalidInput, SignatureInvalid
from oncofed.protocol.released_model import ReleasedModel
from oncofed.protocol.signing import sign, verify

_FORMAT = "oncofed model 1"
_WEIGHTS = "weights"
_LARGEST_HEADER = 10_000
_BYTES_A_NUMBER = 8
_REMEDY = "Ask the coordinator to deliver the model again."


@dataclass(frozen=True, eq=False)
class SignedModel:
    """content: the file's bytes. signature: 64 bytes, of the coordinator."""

    content: bytes
    signature: bytes

    @property
    def hash(self) -> str:
        """SHA-256 of the file."""
        return hashlib.sha256(self.content).hexdigest()


def model_content(weights: NDArray[np.float64], *, plan_hash: str) -> bytes:
    """The file's bytes, the same whoever writes it. weights: (parameters,) float64, finite."""
    # Written by hand, because the library orders metadata as it likes, and the same model must have the same hash.
    header = {"__metadata__": _metadata(plan_hash), _WEIGHTS: _weights_entry(weights.size)}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _BYTES_A_NUMBER)
    return len(text).to_bytes(8, "little") + text + np.ascontiguousarray(weights, dtype="<f8").tobytes()


def signed_model(weights: NDArray[np.float64], *, plan_hash: str, signing_key: bytes) -> SignedModel:
    """weights  (parameters,) float64, finite."""
    content = model_content(weights, plan_hash=plan_hash)
    return SignedModel(content, sign(signing_key, context=_FORMAT, message=content))


def is_released(weights: NDArray[np.float64], model: ReleasedModel) -> bool:
    """Whether these are the model's weights, to the last bit, and its coordinator signed them."""
    content = model_content(weights, plan_hash=model.plan_hash)
    if hashlib.sha256(content).hexdigest() != model.sha256:
        return False
    try:
        key, signature = bytes.fromhex(model.coordinator_public_key), bytes.fromhex(model.signature)
        verify(key, context=_FORMAT, message=content, signature=signature)
    except (SignatureInvalid, ValueError):
        return False
    return True


def verified_weights(model: SignedModel, *, public_key: bytes, plan_hash: str, parameters: int) -> NDArray[np.float64]:
    """The (parameters,) weights. Raises SignatureInvalid before anything is parsed, then InvalidInput."""
    verify(public_key, context=_FORMAT, message=model.content, signature=model.signature)
    header = _header(model.content)
    metadata = header.get("__metadata__")
    what = None
    if metadata != _metadata(plan_hash):
        what = "is not a model of this plan"
    elif set(header) != {"__metadata__", _WEIGHTS}:
        what = "holds other arrays than the weights"
    elif header[_WEIGHTS] != _weights_entry(parameters):
        what = "has weights of another size or type than the plan's network"
    if what is not None:
        raise InvalidInput([Fault("model", what, _REMEDY)])
    try:
        weights: NDArray[np.float64] = safetensors.numpy.load(model.content)[_WEIGHTS]
    except safetensors.SafetensorError:
        weights = np.full(1, np.nan)
    if not np.isfinite(weights).all():
        raise InvalidInput([Fault("model", "is damaged or holds numbers that are not finite", _REMEDY)])
    return weights


def _metadata(plan_hash: str) -> dict[str, str]:
    return {"format": _FORMAT, "plan_hash": plan_hash}


def _weights_entry(parameters: int) -> dict[str, object]:
    return {"dtype": "F64", "shape": [parameters], "data_offsets": [0, _BYTES_A_NUMBER * parameters]}


def _header(content: bytes) -> dict[str, object]:
    """The JSON header, read by hand so that its length is checked before anything believes it."""
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or length > min(_LARGEST_HEADER, len(content) - 8):
        raise InvalidInput([Fault("model", "is no safetensors file", _REMEDY)])
    try:
        header = json.loads(content[8 : 8 + length])
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise InvalidInput([Fault("model", "is no safetensors file", _REMEDY)])
    return header
