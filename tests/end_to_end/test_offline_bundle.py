"""Does a bundle install where there is no network at all, and does what it installed work there?

In a network namespace of the test's own, which has not even a loopback that is up. Needs root.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from packages.bundle import contents, gather, name_of, pack
from tests.clean_hospital import table

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0 or shutil.which("ip") is None, reason="makes a network namespace: root's"),
    pytest.mark.skipif(not Path("/usr/bin/python3.11").exists(), reason="no Python 3.11 of the system"),
]
NAMESPACE = f"oncofed-bundle-{os.getpid()}"
MADE = 1_800_000_000


@pytest.fixture
def without_network() -> Iterator[Sequence[str]]:
    """What stands before a command so that it reaches nothing."""
    subprocess.run(["ip", "netns", "add", NAMESPACE], check=True)
    try:
        yield ["ip", "netns", "exec", NAMESPACE, "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]
    finally:
        subprocess.run(["ip", "netns", "delete", NAMESPACE], check=True)


def test_a_nodes_bundle_installs_and_reads_its_table_with_the_network_off(without_network: Sequence[str]) -> None:
    with TemporaryDirectory(prefix="oncofed-bundle-", dir="/srv") as name:
        base = Path(name)
        base.chmod(0o755)
        wheels = base / "gathered"
        wheels.mkdir()
        gather("node", wheels, torch_index=None)
        pack(name_of("node"), contents("node", wheels, made=MADE), base / "bundle.tar", made=MADE)
        shutil.rmtree(wheels)
        with tarfile.open(base / "bundle.tar") as tar:
            tar.extractall(base, filter="data")
        (base / "bundle.tar").unlink()

        def typed(*words: str, **more: str) -> str:
            named = [f"{key}={value}" for key, value in more.items()]
            done = subprocess.run([*without_network, *named, *words], capture_output=True, text=True, check=False)
            assert done.returncode == 0, (words, done.stdout, done.stderr)
            return done.stdout

        reaching = [
            *without_network,
            "/usr/bin/python3.11",
            "-c",
            "import socket; socket.socket().connect(('127.0.0.1', 1))",
        ]
        refused = subprocess.run(reaching, capture_output=True, text=True, check=False)
        assert "Network is unreachable" in refused.stderr, "the namespace must truly be without network"

        told = typed("sh", str(base / name_of("node") / "install.sh"), INTO=str(base / "program"), EXTRAS="pages")
        assert re.search(r"\b\d+\.\d+\.\d+", told)
        oncofed = str(base / "program/bin/oncofed")
        helped = typed(oncofed, "--help")
        assert "site" in helped
        assert "coordinator" not in re.findall(r"(?m)^  (\w+)", helped), "a hospital's bundle holds no coordinator"

        node = base / "node"
        typed(oncofed, "site", "init", str(node), "--name", "charite")
        table(patients=300).to_parquet(base / "registry.parquet")
        page = (Path(__file__).resolve().parents[2] / "docs/install-hospital.md").read_text()
        (rules,) = re.findall(r"```toml\n(\[node\].*?)```", page, flags=re.DOTALL)
        (node / "policy.toml").write_text(
            rules.replace("/srv/oncofed/registry.parquet", str(base / "registry.parquet"))
        )
        assert "300 rows" in typed(oncofed, "site", "check", str(node))
