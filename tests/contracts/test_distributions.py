"""Does a hospital install the hospital's part alone, and does each distribution need what it imports and no more?"""

from __future__ import annotations

import ast
import configparser
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from tests.contracts.lock_files import ROOT, normalised

DISTRIBUTIONS = {
    "oncofed": (".", ("shared", "client")),
    "oncofed-coordinator": ("server", ("server",)),
    "oncofed-lab": ("simulations", ("simulations",)),
}
"""Where each has its pyproject.toml, and the roots that are in it."""


def project(name: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = tomllib.loads((ROOT / DISTRIBUTIONS[name][0] / "pyproject.toml").read_text())["project"]
    return found


def sources(name: str) -> Iterator[tuple[str, Path]]:
    """Path within the wheel, and the file."""
    for root in DISTRIBUTIONS[name][1]:
        for path in sorted((ROOT / root / "oncofed").rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield str(path.relative_to(ROOT / root)), path


def imported(path: Path) -> set[str]:
    """Top-level names, wherever in the file they are imported."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module is not None:
            found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"oncofed"}


def names_of(requirements: list[str]) -> set[str]:
    return {normalised(Requirement(each).name) for each in requirements}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, zipfile.ZipFile]:
    pytest.importorskip("hatchling", reason="the build backend is not installed here")
    folder, built = tmp_path_factory.mktemp("wheels"), {}
    for name, (where, _) in DISTRIBUTIONS.items():
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / name)]
        subprocess.run(command, cwd=ROOT / where, check=True, capture_output=True)
        (path,) = (folder / name).glob("*.whl")
        built[name] = zipfile.ZipFile(path)
    return built


def shipped(wheel: zipfile.ZipFile) -> set[str]:
    return {name for name in wheel.namelist() if ".dist-info/" not in name}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_a_wheel_holds_its_own_roots_whole_and_nothing_else(name: str, wheels: Mapping[str, zipfile.ZipFile]) -> None:
    assert shipped(wheels[name]) == {inside for inside, _ in sources(name)}


def test_a_hospital_gets_neither_the_coordinator_nor_simulations_nor_a_broken_guard(
    wheels: Mapping[str, zipfile.ZipFile],
) -> None:
    parts = {name.split("/")[1] for name in shipped(wheels["oncofed"])}
    assert "client" in parts
    assert not {"server", "simulations", "lab.py"} & parts
    broken = {name: [each for each in shipped(wheel) if "mutant" in each] for name, wheel in wheels.items()}
    assert [name for name, found in broken.items() if found] == ["oncofed-lab"]


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_each_command_is_in_the_wheel_that_names_it(name: str, wheels: Mapping[str, zipfile.ZipFile]) -> None:
    wheel = wheels[name]
    (path,) = (each for each in wheel.namelist() if each.endswith("entry_points.txt"))
    points = configparser.ConfigParser()
    points.read_string(wheel.read(path).decode())
    targets = [target for section in points.sections() for target in points[section].values()]
    assert targets
    files = {f"{target.partition(':')[0].replace('.', '/')}.py" for target in targets}
    assert files <= shipped(wheel)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_a_distribution_needs_what_it_imports_and_no_more(name: str) -> None:
    told = project(name)
    needed = names_of(told["dependencies"])
    optional = names_of([each for extra in told.get("optional-dependencies", {}).values() for each in extra])
    by_module = metadata.packages_distributions()
    modules = {module for _, path in sources(name) if path.suffix == ".py" for module in imported(path)}
    used = {normalised(by_module[module][0]) for module in modules if module in by_module}
    assert needed - {"oncofed", "oncofed-coordinator"} <= used, "what nobody imports is not needed"
    assert used - needed <= optional, "what is imported is needed, or an extra"


def test_all_three_are_of_one_version_and_need_each_others() -> None:
    versions = {project(name)["version"] for name in DISTRIBUTIONS}
    assert len(versions) == 1
    (version,) = versions
    between = {"oncofed-coordinator": {"oncofed"}, "oncofed-lab": {"oncofed", "oncofed-coordinator"}}
    for name, others in between.items():
        assert {f"{other}=={version}" for other in others} <= set(project(name)["dependencies"])
