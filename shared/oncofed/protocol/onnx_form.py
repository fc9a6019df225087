"""How is a graph of operations written as an ONNX file, without a library for it?

The file is a protobuf message of few kinds; the numbers of their fields are those of the public format, and so is
whatever stands here in capitals. A library would bring ten megabytes for these lines to every hospital and coordinator.
Promises: the same graph gives the same bytes. What a graph computes is for `onnx_model` to say.

Source: ONNX, IR version 8 and operator set 17 (https://github.com/onnx/onnx, onnx/onnx.proto, docs/IR.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DOUBLE, INT64, BOOL = 11, 7, 9
_IR_VERSION, _OPERATORS = 8, 17
_AN_INT, _SEVERAL_INTS = 2, 7
_VARINT, _BYTES = 0, 2


@dataclass(frozen=True)
class Value:
    """What goes into or comes out of a graph. shape: a number or a name for each axis. about: in words."""

    name: str
    shape: tuple[int | str, ...]
    about: str


def node(operation: str, inputs: Sequence[str], output: str, **attributes: int | Sequence[int]) -> bytes:
    """One operation. attributes: its own, by ONNX's names; whole numbers from 0 on, or lists of them."""
    content = [_text(1, name) for name in inputs] + [_text(2, output), _text(3, output), _text(4, operation)]
    return b"".join([*content, *(_bytes(5, _attribute(*each)) for each in sorted(attributes.items()))])


def constant(name: str, values: NDArray[np.float64] | NDArray[np.int64]) -> bytes:
    """A tensor that belongs to the graph: float64 or int64, any shape."""
    whole = values.dtype == np.int64
    assert whole or values.dtype == np.float64, "no other numbers are written"
    dimensions = [_number(1, size) for size in values.shape]
    content = np.ascontiguousarray(values, dtype="<i8" if whole else "<f8").tobytes()
    return b"".join([*dimensions, _number(2, INT64 if whole else DOUBLE), _text(8, name), _bytes(9, content)])


def model_file(
    name: str,
    *,
    nodes: Sequence[bytes],
    constants: Sequence[bytes],
    inputs: Sequence[Value],
    outputs: Sequence[Value],
    about: str,
    metadata: Mapping[str, str],
) -> bytes:
    """The bytes of the file. inputs, outputs: float64 all. metadata: texts beside it."""
    graph = [_bytes(1, each) for each in nodes] + [_text(2, name)] + [_bytes(5, each) for each in constants]
    graph += [_bytes(11, _value(each)) for each in inputs] + [_bytes(12, _value(each)) for each in outputs]
    properties = [_bytes(14, _text(1, key) + _text(2, text)) for key, text in metadata.items()]
    operators = _bytes(8, _text(1, "") + _number(2, _OPERATORS))
    head = [_number(1, _IR_VERSION), _text(2, "oncofed"), _text(6, about), _bytes(7, b"".join(graph))]
    return b"".join([*head, operators, *properties])


def _value(value: Value) -> bytes:
    axes = [_bytes(1, _number(1, size) if isinstance(size, int) else _text(2, size)) for size in value.shape]
    tensor = _number(1, DOUBLE) + _bytes(2, b"".join(axes))
    return _text(1, value.name) + _bytes(2, _bytes(1, tensor)) + _text(3, value.about)


def _attribute(name: str, value: int | Sequence[int]) -> bytes:
    if isinstance(value, int):
        return _text(1, name) + _number(3, value) + _number(20, _AN_INT)
    return _text(1, name) + b"".join(_number(8, each) for each in value) + _number(20, _SEVERAL_INTS)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3 | _VARINT) + _varint(value)


def _text(field: int, text: str) -> bytes:
    return _bytes(field, text.encode())


def _bytes(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | _BYTES) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; the highest bit says that more follow."""
    assert value >= 0
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])
