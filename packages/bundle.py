"""What does one end install from, without any network? `make bundle END=node`, or coordinator, or lab.

One tar file: the wheels of ours and of all that they need, for the Python and the kind of machine that made it; a
script that installs them; a bill of materials; SHA256SUMS over all of it. Each file from outside is taken only if its
hash is in a lock file. Of one commit and the same wheels every tar has the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from packages.bill_of_materials import bill_of, read_wheel
from tests.contracts.lock_files import ROOT, RUN, TORCH

ENDS: Mapping[str, tuple[str, ...]] = {
    "node": (".",),
    "coordinator": (".", "server"),
    "lab": (".", "server", "simulations"),
}
"""Where the distributions of an end have their pyproject.toml; the last one is what is installed."""


def distributions(end: str) -> Mapping[str, str]:
    """Name and version of our wheels, the last one what is installed."""
    projects = [tomllib.loads((ROOT / place / "pyproject.toml").read_text())["project"] for place in ENDS[end]]
    return {project["name"]: project["version"] for project in projects}


def made_at() -> int:
    """Seconds since 1970 that stand for when anything was made: SOURCE_DATE_EPOCH, or the commit's."""
    told = os.environ.get("SOURCE_DATE_EPOCH")
    if told is None:
        command = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return int(told)


def gather(end: str, wheels: Path, *, torch_index: str | None) -> None:
    """Download what the lock files name, and build ours. Raises CalledProcessError after pip has said why."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    download = [*pip, "download", "--quiet", "--dest", str(wheels), "--only-binary", ":all:", "--no-deps"]
    index = [] if torch_index is None else ["--index-url", torch_index]
    subprocess.run([*download, "--require-hashes", *index, "-r", str(TORCH)], check=True)
    subprocess.run([*download, "--require-hashes", "-r", str(RUN)], check=True)
    build = [*pip, "wheel", "--quiet", "--wheel-dir", str(wheels), "--no-deps", "--no-build-isolation"]
    environment = os.environ | {"SOURCE_DATE_EPOCH": str(made_at())}
    subprocess.run([*build, *(str(ROOT / place) for place in ENDS[end])], check=True, env=environment)


def contents(end: str, wheels: Path, *, made: int) -> dict[str, bytes | Path]:
    """What is in the tar, by its path there; a large file is named by where it lies."""
    ours, files = distributions(end), sorted(wheels.glob("*.whl"))
    read = {path: read_wheel(path) for path in files}
    bill = bill_of(read.values(), of=list(ours)[-1], made=made)
    texts = {
        "LICENSE": (ROOT / "LICENSE").read_bytes(),
        "bill-of-materials.cdx.json": (json.dumps(bill, indent=1) + "\n").encode(),
        "install.sh": (ROOT / "packages" / "install.sh").read_bytes(),
        "requirements.txt": "".join(f"{name}=={version}\n" for name, version in ours.items()).encode(),
    }
    sums = {name: hashlib.sha256(text).hexdigest() for name, text in texts.items()}
    sums |= {f"wheels/{path.name}": wheel.sha256 for path, wheel in read.items()}
    listed = "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(sums.items()))
    return {**texts, "SHA256SUMS": listed.encode(), **{f"wheels/{path.name}": path for path in files}}


def pack(folder: str, files: Mapping[str, bytes | Path], out: Path, *, made: int) -> None:
    """A tar whose bytes follow from names and contents alone. folder: the one in it that holds all."""
    with tarfile.open(out, "w", format=tarfile.GNU_FORMAT) as tar:
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.mtime, entry.mode = made, 0o644
            if isinstance(content, Path):
                entry.size = content.stat().st_size
                with content.open("rb") as file:
                    tar.addfile(entry, file)
            else:
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))


def name_of(end: str) -> str:
    """With end, version, Python and kind of machine."""
    version = list(distributions(end).values())[-1]
    machine = sysconfig.get_platform().replace("-", "_")
    return f"oncofed-{end}-{version}-cp{sys.version_info.major}{sys.version_info.minor}-{machine}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m packages.bundle", description=__doc__.partition("\n")[0])
    parser.add_argument("end", choices=ENDS)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--torch-index", metavar="ADDRESS", help="where torch comes from, if not from pip's own index")
    asked = parser.parse_args()
    with TemporaryDirectory(prefix="oncofed-bundle-") as name:
        wheels = Path(name)
        gather(asked.end, wheels, torch_index=asked.torch_index or None)
        asked.out.mkdir(parents=True, exist_ok=True)
        out = asked.out / f"{name_of(asked.end)}.tar"
        pack(name_of(asked.end), contents(asked.end, wheels, made=made_at()), out, made=made_at())
    print(out)


if __name__ == "__main__":
    main()
