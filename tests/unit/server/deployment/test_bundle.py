"""Is the bundle the same everywhere, and does it hold nothing but the names of installed code?"""

from __future__ import annotations

import importlib
import io
import subprocess
import sys
import tomllib
import zipfile

import pytest
from flwr.cli.install import install_from_fab
from flwr.common.config import get_fab_config, get_metadata_from_config

from oncofed.client.relay import superexec
from oncofed.protocol.bundle import RELAY_APP, SERVER_APP, build_bundle, bundle_hash, bundle_sha256


def test_it_is_the_same_in_another_process_at_another_time() -> None:
    script = "from oncofed.protocol.bundle import bundle_sha256; print(bundle_sha256())"
    command = [sys.executable, "-c", script]
    other = subprocess.run(command, capture_output=True, text=True, check=True, env={"TZ": "Asia/Tokyo"}, cwd="/")
    assert other.stdout.strip() == bundle_sha256()


def test_its_bytes_are_known() -> None:
    """A change here is a change for every hospital that approved the former bundle of this version."""
    assert bundle_hash(build_bundle(version="0.0.0")) == (
        "ecff0c5f00204511e1d7f0d7b05480c4d82da6d95dde7c669222ac30f0a9f6d3"
    )


def test_it_holds_one_file_and_its_manifest() -> None:
    with zipfile.ZipFile(io.BytesIO(build_bundle())) as archive:
        assert archive.namelist() == ["pyproject.toml", ".info/CONTENT"]
        assert all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())
        project = tomllib.loads(archive.read("pyproject.toml").decode())
    assert "dependencies" not in project["project"]
    assert project["tool"]["flwr"]["app"]["components"] == {"serverapp": SERVER_APP, "clientapp": RELAY_APP}
    assert RELAY_APP == superexec.RELAY_APP


@pytest.mark.parametrize("reference", [SERVER_APP, RELAY_APP])
def test_what_it_names_is_installed(reference: str) -> None:
    module, _, _ = reference.partition(":")
    assert importlib.util.find_spec(module) is not None


def test_flower_takes_it(tmp_path_factory: pytest.TempPathFactory) -> None:
    bundle = build_bundle()
    assert get_metadata_from_config(get_fab_config(bundle))[0] == "oncofed/oncofed"
    installed = install_from_fab(bundle, install_dir=tmp_path_factory.mktemp("apps"), skip_prompt=True)
    assert [path.name for path in installed.iterdir()] == ["pyproject.toml"]


def test_another_version_is_another_bundle() -> None:
    assert bundle_hash(build_bundle(version="9.9.9")) != bundle_sha256()
