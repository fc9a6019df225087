"""How does a bundle become a package of Debian? `make deb`, of the node's bundle: `apt install ./oncofed-node_*.deb`.

The program lies in /opt/oncofed as install.sh lays it there, complete: nothing is downloaded or built where the package
is installed. The units are the product's own, for a node in /etc/oncofed. What a hospital writes, and what its patients
have spent, is no part of the package: neither an update nor a removal touches it.

Needs dpkg-deb, and the Python that the bundle is for.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from packages.bundle import distributions, made_at
from tests.contracts.lock_files import ROOT

from oncofed.client.install.folder import NodeFolder, NodeUsers
from oncofed.client.install.units import filled

PROGRAM = Path("/opt/oncofed")
NODE = NodeFolder(Path("/etc/oncofed"))
USERS = NodeUsers("oncofed-guard", "oncofed-node", "oncofed-relay")
_SCRIPTS = ("preinst", "postinst", "prerm", "postrm")


def texts(*, architecture: str, kilobytes: int, maintainer: str, python: str) -> dict[str, str]:
    """Every small file by its path in the package; those below DEBIAN tell dpkg what to do."""
    listed = (USERS.guard, USERS.node, USERS.relay)
    values = {
        "architecture": architecture,
        "kilobytes": str(kilobytes),
        "listed": ",".join(listed),
        "maintainer": maintainer,
        "node": str(NODE.root),
        "python": python,
        "users": " ".join(listed),
        "version": distributions("node")["oncofed"],
    }
    units = filled(NODE, name="this hospital", users=USERS, command=str(PROGRAM / "bin" / "oncofed"))
    return {
        **{f"DEBIAN/{name}": _filled(name, values) for name in ("control", *_SCRIPTS)},
        **{f"lib/systemd/system/{name}": text for name, text in units.items()},
        "usr/share/doc/oncofed-node/copyright": (ROOT / "LICENSE").read_text(),
    }


def _filled(name: str, values: Mapping[str, str]) -> str:
    text = (ROOT / "packages" / "debian" / name).read_text()
    return re.sub(r"@(\w+)@", lambda found: values[found[1]], text)


def lay_program(bundle: Path, stage: Path, *, extras: str) -> None:
    """The program below `stage`, as if it had been installed in its own place."""
    into = stage / PROGRAM.relative_to("/")
    with TemporaryDirectory(prefix="oncofed-deb-") as name:
        with tarfile.open(bundle) as tar:
            tar.extractall(name, filter="data")
        (folder,) = Path(name).iterdir()
        settings = {"INTO": str(into), "PYTHON": _python(), "EXTRAS": extras, "PIP_OPTIONS": "--no-compile"}
        subprocess.run(["sh", str(folder / "install.sh")], check=True, env=os.environ | settings)
        bill = stage / "usr/share/doc/oncofed-node"
        bill.mkdir(parents=True)
        shutil.copyfile(folder / "bill-of-materials.cdx.json", bill / "bill-of-materials.cdx.json")
    _say_where_it_will_be(into, stage)
    compiled = ["-m", "compileall", "-q", "-f", "-s", str(stage), "-p", "/", "--invalidation-mode", "checked-hash"]
    subprocess.run([_python(), *compiled, str(into / "lib")], check=False)  # some packages hold files of another Python
    command = stage / "usr/bin/oncofed"
    command.parent.mkdir(parents=True)
    command.symlink_to(PROGRAM / "bin" / "oncofed")


def _say_where_it_will_be(into: Path, stage: Path) -> None:
    """A venv names its own place in the first line of each command, and in its settings."""
    for path in (*(into / "bin").iterdir(), into / "pyvenv.cfg"):
        if path.is_symlink():
            continue
        content = path.read_bytes()
        path.write_bytes(content.replace(bytes(into), bytes(PROGRAM)))
    left = [path for path in (into / "bin").iterdir() if not path.is_symlink() and bytes(stage) in path.read_bytes()]
    assert left == [], left


def _python() -> str:
    """The system's, of the version that runs this: the one for which the bundle was gathered."""
    return f"/usr/bin/python3.{sys.version_info.minor}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m packages.deb", description=__doc__.partition("\n")[0])
    parser.add_argument("bundle", type=Path, metavar="BUNDLE.tar")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--extras", default="", help="of oncofed: sql, excel, pages, with commas between")
    parser.add_argument("--maintainer", default="whoever built it <root@localhost>")
    asked = parser.parse_args()
    with TemporaryDirectory(prefix="oncofed-deb-") as name:
        stage = Path(name) / "oncofed"
        stage.mkdir(mode=0o755)
        lay_program(asked.bundle, stage, extras=asked.extras)
        told = subprocess.run(["dpkg", "--print-architecture"], check=True, capture_output=True, text=True)
        small = texts(
            architecture=told.stdout.strip(),
            kilobytes=sum(path.lstat().st_size for path in stage.rglob("*")) // 1024,
            maintainer=asked.maintainer,
            python=Path(_python()).name,
        )
        for where, text in small.items():
            path = stage / where
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o755 if path.name in _SCRIPTS else 0o644)
        environment = os.environ | {"SOURCE_DATE_EPOCH": str(made_at())}
        built = ["dpkg-deb", "--root-owner-group", "-Zzstd", "-z9", "--build", str(stage), str(asked.out)]
        subprocess.run(built, check=True, env=environment)


if __name__ == "__main__":
    os.umask(0o022)
    main()
