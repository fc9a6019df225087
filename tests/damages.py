"""What may become of a file on a disk, or in the hands of somebody who means well? For tests of what is then said."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path


def _emptied(path: Path) -> None:
    path.write_bytes(b"")


def _cut_short(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _one_byte_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _binary(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 4)


def _other_json(path: Path) -> None:
    path.write_bytes(b"[5]\n")


def _deep(path: Path) -> None:
    path.write_bytes(b"[" * 100_000 + b"\n")


def _a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _dangling_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/nonexistent/file")


def _lost(path: Path) -> None:
    path.unlink()


def _open_to_all(path: Path) -> None:
    path.chmod(0o666)


DAMAGES: dict[str, Callable[[Path], None]] = {
    "empty": _emptied,
    "cut short": _cut_short,
    "one byte short": _one_byte_short,
    "binary": _binary,
    "other JSON": _other_json,
    "deep": _deep,
    "a folder": _a_folder,
    "a dangling link": _dangling_link,
    "lost": _lost,
    "open to all": _open_to_all,
}


class Original:
    """A folder as it was, to be put back after each damage."""

    def __init__(self, root: Path, copy: Path) -> None:
        self.root, self._copy = root, copy
        shutil.copytree(root, copy, symlinks=True)

    def files(self) -> list[str]:
        return sorted(str(path.relative_to(self._copy)) for path in self._copy.rglob("*") if path.is_file())

    def put_back(self) -> None:
        shutil.rmtree(self.root)
        shutil.copytree(self._copy, self.root, symlinks=True)
