"""How are the lock files made? From the environment that `make` has set up: `python -m tests.contracts.lock_files`.

requirements.lock        what a hospital or a coordinator installs, pages, PostgreSQL and Excel among it.
requirements-dev.lock    what this repository needs beside that: tests, checks, the build, Flower's Ray engine.
requirements-torch.lock  torch by itself, because it may come from another index. Written by hand.

Each line has the SHA-256 of every wheel of that release for Python 3.11 to 3.13, so that pip takes nothing else, from
wherever. Sources are left out where each of these Pythons has a wheel: a source runs its own program when installed.
To change a version: `pip install 'name==version'` into `.venv`, and make the files again.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

import httpx
from packaging.requirements import Requirement
from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from pip._internal.models.index import PyPI  # pip has no public name for its index

ROOT = Path(__file__).resolve().parents[2]
RUN, DEV, TORCH = (ROOT / f"requirements{part}.lock" for part in ("", "-dev", "-torch"))
INSTALLED = ("oncofed[excel,pages,sql]", "oncofed-coordinator")
_HEADS = {
    RUN: "# What a hospital or a coordinator installs.",
    DEV: "# What this repository needs beside requirements.lock and requirements-torch.lock.",
}
_OF_ITSELF = {"oncofed", "oncofed-coordinator", "oncofed-lab", "torch", "pip"}
_OF_CUDA = re.compile("nvidia-|cuda-|triton$")
_MINORS = (11, 12, 13)
_JSON = {"Accept": "application/vnd.pypi.simple.v1+json"}


def needed(requirements: Iterable[str]) -> set[str]:
    """The names of these packages and of all that they need here, as PyPI writes them.

    But for what only a build of torch for CUDA brings: elsewhere it may be installed, and the locks know none of it.
    """
    wanted: dict[str, set[str]] = {}
    todo = [Requirement(each) for each in requirements]
    while todo:
        requirement = todo.pop()
        name = normalised(requirement.name)
        extras = wanted.get(name, set()) | requirement.extras
        if wanted.get(name) == extras:
            continue
        wanted[name] = extras
        for text in metadata.requires(name) or ():
            more = Requirement(text)
            if name == "torch" and _OF_CUDA.match(normalised(more.name)):
                continue
            if more.marker is None or any(more.marker.evaluate({"extra": extra}) for extra in (*extras, "")):
                todo.append(more)
    return set(wanted)


def needed_to_run() -> set[str]:
    return needed(INSTALLED) - _OF_ITSELF


def needed_beside() -> set[str]:
    """For tests, checks, builds and Ray."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = [
        *project["dependency-groups"]["dev"],
        *project["build-system"]["requires"],
        "editables",
        "oncofed-lab[ray]",
    ]
    return needed(groups) - needed_to_run() - _OF_ITSELF


def locked(path: Path) -> dict[str, tuple[str, set[str]]]:
    """Version and hashes by name. Raises ValueError for a line that pins nothing or has no hash."""
    found = {}
    for line in path.read_text().replace("\\\n", " ").splitlines():
        if not line or line.startswith("#"):
            continue
        pin, *hashes = line.split()
        name, _, version = pin.partition("==")
        if not version or not hashes or not all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", each) for each in hashes):
            raise ValueError(f"{path.name}: {pin} is not pinned to a version and its hashes")
        found[normalised(name)] = (version, {each.rpartition(":")[2] for each in hashes})
    return found


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _hashes(name: str, version: str) -> Iterator[str]:
    """Of the release's wheels; of its source, too, where a Python of ours has no wheel."""
    answer = httpx.get(f"{PyPI.simple_url}/{name}/", headers=_JSON, timeout=60, follow_redirects=True)
    files = answer.raise_for_status().json()["files"]
    sources = [file for file in files if normalised(file["filename"]).startswith(normalised(f"{name}-{version}.tar"))]
    wheels = {minor: [file for file in files if _fits(file["filename"], version, minor)] for minor in _MINORS}
    for minor, fitting in wheels.items():
        assert fitting or sources, (name, version, minor)
        for file in fitting or sources:
            yield file["hashes"]["sha256"]


def _fits(wheel: str, version: str, minor: int) -> bool:
    """Whether the file is a wheel of this release for Python 3.`minor`, on any machine."""
    try:
        _, released, _, tags = parse_wheel_filename(wheel)
    except InvalidWheelFilename:  # a source, or of long ago
        return False
    return str(released) == version and any(
        tag.interpreter in (f"cp3{minor}", f"py3{minor}", "py3", "py2")
        or (tag.abi == "abi3" and int(tag.interpreter.removeprefix("cp3")) <= minor)
        for tag in tags
    )


def _write(path: Path, names: set[str]) -> None:
    lines = [f"{_HEADS[path]} Made by: python -m tests.contracts.lock_files"]
    for name in sorted(names):
        version = metadata.version(name)
        hashes = sorted(set(_hashes(name, version)))
        lines.append(" \\\n    ".join([f"{name}=={version}", *(f"--hash=sha256:{each}" for each in hashes)]))
    path.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    _write(RUN, needed_to_run())
    _write(DEV, needed_beside())
