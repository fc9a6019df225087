"""Is each argument of the lab's functions what they take? Asked once, where a function begins, and all faults at once.

A fault names the argument, says what came and what is taken. Of what came it tells a number, or a word where one of
several is asked for; of all else what kind of thing it is, for it may be of patients. Ranges are those of study files
(`oncofed.ranges`).
"""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from oncofed.errors import Fault, InvalidInput
from oncofed.ranges import RANGES, told

Kind = Callable[[str, Any], list[Fault]]
"""Asks a value for its faults. The text is what they call the argument."""

_LONGEST_WORD = 40


def refuse_wrong(where: str = "", /, **arguments: tuple[Any, Kind]) -> None:
    """Raises InvalidInput with every fault of every argument, each given with its kind. where: what they belong to."""
    faults = [
        fault
        for name, (value, kind) in arguments.items()
        for fault in kind(f"{where}: {name}" if where else name, value)
    ]
    if faults:
        raise InvalidInput(faults)


def instance(*types: type, words: str, remedy: str) -> Kind:
    """One of these types. words: what is taken, as in "is a text, not a model"."""

    def faults(where: str, value: Any) -> list[Fault]:
        return [] if isinstance(value, types) else [Fault(where, f"is {came(value)}, not {words}", remedy)]

    return faults


def maybe(kind: Kind) -> Kind:
    """Also None."""
    return lambda where, value: [] if value is None else kind(where, value)


def number(row: str) -> Kind:
    """In the range of this row of `RANGES`, of Python's or numpy's own types."""
    within = RANGES[row]

    def faults(where: str, value: Any) -> list[Fault]:
        value = plain(value)
        if value in within:
            return []
        what = f"is {told(value)}, outside {within.words}" if _is_number(value) else f"is {came(value)}, not a number"
        if within.whole and isinstance(value, float):
            what = f"is {value}, and not a whole number"
        return [Fault(where, what, within.remedy)]

    return faults


def several(kind: Kind, *, words: str, remedy: str) -> Kind:
    """A list, tuple, array or column of what fits the kind; of faults that repeat, one."""

    def faults(where: str, value: Any) -> list[Fault]:
        is_list = isinstance(value, Sequence | np.ndarray | pd.Series | pd.Index) and not isinstance(value, str | bytes)
        if not is_list or (isinstance(value, np.ndarray) and value.ndim != 1):
            return [Fault(where, f"is {came(value)}, not {words}", remedy)]
        return list(dict.fromkeys(fault for each in value for fault in kind(where, each)))

    return faults


def word(*known: str) -> Kind:
    """One of these."""

    def faults(where: str, value: Any) -> list[Fault]:
        if isinstance(value, str) and value in known:
            return []
        given = f'"{value}"' if isinstance(value, str) and len(value) <= _LONGEST_WORD else came(value)
        return [Fault(where, f"is {given}, which is unknown", f"Possible: {', '.join(known)}.")]

    return faults


def a_text(where: str, value: Any) -> list[Fault]:
    """A name: not empty."""
    if isinstance(value, str) and value.strip():
        return []
    return [Fault(where, f"is {came(value)}, not a name", "Give a text.")]


def a_path(where: str, value: Any) -> list[Fault]:
    """A file's name, or a folder's."""
    named = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if isinstance(named, str) and named and "\0" not in named:
        return []
    return [Fault(where, f"is {came(value)}, not a path", "Give the name of a file as a text, or a pathlib.Path.")]


@contextmanager
def writing(path: Path | str) -> Iterator[None]:
    """Raises InvalidInput where the file system does not let a file be written there."""
    refuse_wrong(path=(path, a_path))
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else type(error).__name__
        remedy = "Check that its folder exists and that you may write there."
        raise InvalidInput([Fault("path", f"cannot be written ({reason})", remedy)]) from None


def yes_or_no(where: str, value: Any) -> list[Fault]:
    if isinstance(value, bool | np.bool_):
        return []
    return [Fault(where, f"is {came(value)}, neither True nor False", "Write True or False.")]


def came(value: Any) -> str:
    """What it is, in words."""
    value = plain(value)
    if value is None or isinstance(value, bool | np.bool_):
        return str(value)
    if isinstance(value, str):
        return "a text" if value else "an empty text"
    if _is_number(value):
        is_nan = isinstance(value, float) and math.isnan(value)
        return "NaN" if is_nan else f"the number {told(value)}"
    if inspect.isclass(value):
        return f"the class {value.__name__}"
    if inspect.isroutine(value):
        return f"the function {value.__name__}"
    kind = "array" if isinstance(value, np.ndarray) else type(value).__name__
    return f"{'an' if kind[0].lower() in 'aeiou' else 'a'} {kind}"


def plain(value: Any) -> Any:
    """A number of numpy's as Python's own, so that it is written as one; all else as it is."""
    if isinstance(value, np.integer):
        return int(value)
    return float(value) if isinstance(value, np.floating) else value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
