"""How do the systemd units that come with a package become those of one machine?

Each end keeps its units as text with placeholders, ``${node}``; `fill` puts this installation's paths and users in, and
`write` lays the files down for `systemctl daemon-reload`.

Refused: a value that systemd would read as something else (a blank, a quote, a per cent sign), and a unit with a
placeholder that nobody filled.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from string import Template

from oncofed.errors import Fault, InvalidInput

_PLAIN = re.compile(r"[A-Za-z0-9/._:@ -]+")
_PATH = re.compile(r"/[A-Za-z0-9/._@-]*")
_RIGHTS = 0o644


def fill(package: str, names: tuple[str, ...], values: Mapping[str, str]) -> dict[str, str]:
    """The text of each unit in the package's folder ``systemd``, by file name. Raises InvalidInput.

    values  what takes each placeholder's place; lines of a unit may be one value, given with its line ends.
    """
    folder = files(package).joinpath("systemd")
    return {name: Template(folder.joinpath(name).read_text("utf-8")).substitute(values) for name in names}


def plain_path(path: Path, *, where: str) -> str:
    """A whole path that a unit can hold. Raises InvalidInput."""
    if not _PATH.fullmatch(str(path)):
        remedy = "Use a whole path of letters, digits and / . _ - @ alone."
        raise InvalidInput([Fault(where, "cannot stand in a systemd unit", remedy)])
    return str(path)


def plain_words(text: str) -> str:
    """For a description: whatever systemd could take for more than words becomes a blank."""
    return "".join(letter if _PLAIN.fullmatch(letter) else " " for letter in text)


def installed_command() -> str:
    """The whole path of `oncofed` beside this interpreter. Raises InvalidInput."""
    command = Path(sys.executable).parent / "oncofed"
    if not command.is_file():
        remedy = "Install the wheel: pip install oncofed-*.whl"
        raise InvalidInput([Fault(str(command), "does not exist", remedy)])
    return plain_path(command, where=str(command))


def write(folder: Path, units: Mapping[str, str]) -> tuple[Path, ...]:
    """Write them, in place of older ones."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in units.items():
        path = folder / name
        path.write_text(text)
        path.chmod(_RIGHTS)  # systemd asks that units be readable, whatever root's umask
        written.append(path)
    return tuple(written)
