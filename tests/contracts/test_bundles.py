"""Is a bundle whole, told of file by file, and the same bytes whoever makes it, and does its script refuse another?

That it installs with the network off: `tests/end_to_end/test_offline_bundle.py`.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder
from packages.bill_of_materials import bill_of, read_wheel
from packages.bundle import ENDS, contents, distributions, name_of, pack
from tests.contracts.lock_files import ROOT

MADE = 1_800_000_000


def wheel(folder: Path, name: str, version: str, *told: str) -> Path:
    """A wheel that says of itself what `told` says."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    lines = ["Metadata-Version: 2.4", f"Name: {name}", f"Version: {version}", *told]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}-{version}.dist-info/METADATA", "\n".join(lines) + "\n")
    return path


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    folder = tmp_path / "wheels"
    folder.mkdir()
    own = distributions("node")["oncofed"]
    needs = ("Requires-Dist: torch", "Requires-Dist: click", 'Requires-Dist: psycopg; extra == "sql"')
    wheel(folder, "oncofed", own, "License-Expression: Apache-2.0", "Provides-Extra: sql", *needs)
    wheel(folder, "torch", "2.13.0+cpu", "License: BSD-3-Clause", "Requires-Dist: absent")
    wheel(folder, "click", "8.5.1", "License: UNKNOWN", "Classifier: License :: OSI Approved :: BSD License")
    wheel(folder, "psycopg", "3.2", "License: " + "a whole text " * 20, 'Requires-Dist: click; sys_platform == "win32"')
    return folder


@pytest.mark.parametrize("end", ENDS)
def test_a_wheel_of_ours_has_the_same_bytes_from_another_folder_at_another_time(end: str, tmp_path: Path) -> None:
    place = ENDS[end][-1]
    ours = ("pyproject.toml", "README.md", "LICENSE", "shared/oncofed", "client/oncofed", "oncofed")
    built = []
    for number, name in enumerate(("here", "a-longer-name-elsewhere")):
        copy = tmp_path / name / "project"
        for part in ours:
            if (source := ROOT / place / part).is_dir():
                shutil.copytree(source, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
            elif source.exists():
                copy.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, copy / part)
        if number:
            for path in copy.rglob("*"):
                os.utime(path, (MADE, MADE))
                path.chmod(0o700 if path.is_dir() else 0o600)
        (made,) = WheelBuilder(str(copy)).build(directory=str(tmp_path / name), versions=["standard"])
        built.append(Path(made).read_bytes())
    assert built[0] == built[1]


def test_a_tar_follows_from_names_and_contents_alone(wheels: Path, tmp_path: Path) -> None:
    files = contents("node", wheels, made=MADE)
    pack("oncofed", files, tmp_path / "a.tar", made=MADE)
    for path in wheels.iterdir():
        os.utime(path, (1, 1))
        path.chmod(0o600)
    pack("oncofed", dict(reversed(files.items())), tmp_path / "b.tar", made=MADE)
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    (wheels / "click-8.5.1-py3-none-any.whl").write_bytes(b"another")
    pack("oncofed", files, tmp_path / "c.tar", made=MADE)
    assert (tmp_path / "c.tar").read_bytes() != (tmp_path / "a.tar").read_bytes()


def unpacked(wheels: Path, folder: Path, end: str = "node") -> Path:
    pack("oncofed", contents(end, wheels, made=MADE), folder / "bundle.tar", made=MADE)
    with tarfile.open(folder / "bundle.tar") as tar:
        tar.extractall(folder, filter="data")
    return folder / "oncofed"


def test_the_sums_are_of_every_file_but_themselves(wheels: Path, tmp_path: Path) -> None:
    folder = unpacked(wheels, tmp_path)
    told = {line[66:]: line[:64] for line in (folder / "SHA256SUMS").read_text().splitlines()}
    there = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    assert told == {
        name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in there.items() if name != "SHA256SUMS"
    }


def test_a_file_that_was_changed_or_lost_on_the_way_is_refused_before_anything_is_made(
    wheels: Path, tmp_path: Path
) -> None:
    folder = unpacked(wheels, tmp_path)
    into = tmp_path / "opt"
    settings = os.environ | {"INTO": str(into), "PYTHON": "/bin/echo"}  # what makes the environment, and makes none
    install = ["sh", str(folder / "install.sh")]
    whole = subprocess.run(install, env=settings, capture_output=True, text=True, check=False)
    assert whole.stdout == f"-m venv {into}\n", "without a fault it comes as far as this"
    torch = folder / "wheels" / "torch-2.13.0+cpu-py3-none-any.whl"
    content = torch.read_bytes()
    for spoil in (lambda: torch.write_bytes(content[:-1] + b"?"), torch.unlink):
        spoil()
        done = subprocess.run(install, env=settings, capture_output=True, text=True, check=False)
        assert (done.returncode != 0, done.stdout.count("venv")) == (True, 0)
        assert torch.name in done.stdout + done.stderr


def test_each_end_installs_its_own_wheels_and_those_that_they_need() -> None:
    assert list(distributions("node")) == ["oncofed"]
    assert list(distributions("coordinator")) == ["oncofed", "oncofed-coordinator"]
    assert list(distributions("lab")) == ["oncofed", "oncofed-coordinator", "oncofed-lab"]
    assert len({name_of(end) for end in ENDS}) == len(ENDS)


def test_the_bill_has_each_wheel_with_hash_and_licence_and_who_needs_whom(wheels: Path) -> None:
    files = contents("node", wheels, made=MADE)
    text = files["bill-of-materials.cdx.json"]
    assert isinstance(text, bytes)
    bill = json.loads(text)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert bill["metadata"]["timestamp"] == "2027-01-15T08:00:00Z"
    own = bill["metadata"]["component"]
    found = {each["name"]: each for each in (own, *bill["components"])}
    assert own["name"] == "oncofed"
    hashes = {path.name.partition("-")[0]: hashlib.sha256(path.read_bytes()).hexdigest() for path in wheels.iterdir()}
    assert {name: each["hashes"] for name, each in found.items()} == {
        name: [{"alg": "SHA-256", "content": sha256}] for name, sha256 in hashes.items()
    }
    assert found["torch"]["purl"] == "pkg:pypi/torch@2.13.0%2Bcpu"
    licences = {name: each.get("licenses") for name, each in found.items()}
    assert licences == {
        "oncofed": [{"expression": "Apache-2.0"}],
        "torch": [{"license": {"name": "BSD-3-Clause"}}],
        "click": [{"license": {"name": "BSD License"}}],
        "psycopg": None,
    }
    needs = {each["ref"]: each["dependsOn"] for each in bill["dependencies"]}
    assert needs[own["bom-ref"]] == ["pkg:pypi/click@8.5.1", "pkg:pypi/psycopg@3.2", "pkg:pypi/torch@2.13.0%2Bcpu"]
    assert needs["pkg:pypi/torch@2.13.0%2Bcpu"] == needs["pkg:pypi/psycopg@3.2"] == []


def test_another_wheel_makes_another_bill_and_a_file_that_is_no_wheel_none(wheels: Path) -> None:
    read = [read_wheel(path) for path in wheels.iterdir()]
    first, again = (bill_of(each, of="oncofed", made=MADE) for each in (read, reversed(read)))
    assert first == again
    without = bill_of([each for each in read if each.name != "click"], of="oncofed", made=MADE)
    assert without["serialNumber"] != first["serialNumber"]
    broken = wheels / "empty-1-py3-none-any.whl"
    with zipfile.ZipFile(broken, "w") as archive:
        archive.writestr("empty.py", "")
    with pytest.raises(ValueError, match=r"empty-1.* is no wheel"):
        read_wheel(broken)
