"""What of [launch] is refused when the pages start, before anybody clicks?"""

from __future__ import annotations

from pathlib import Path

import pytest

from oncofed.client.install.folder import NodeFolder
from oncofed.client.pages.of_node import launches_of
from oncofed.client.pages.serving import Place
from oncofed.errors import InvalidInput

PLACE = Place(port=8443, name="pages.example")
SITE = """
[site]
name = "bonn"
[sockets]
runtime = "127.0.0.1:9094"
[launch]
issuer = "https://fhir.example/r4"
authorize = "https://fhir.example/authorize"
token = "https://fhir.example:8443/token"
client = "oncofed"
known_by = "id"
"""


def folder_with(root: Path, settings: str = SITE, secret: bytes | None = None) -> NodeFolder:
    folder = NodeFolder(root)
    folder.guard.mkdir()
    folder.settings.write_text(settings)
    if secret is not None:
        folder.launch_secret.touch(mode=0o600)
        folder.launch_secret.write_bytes(secret)
    return folder


def test_without_the_section_there_is_no_launch(tmp_path: Path) -> None:
    assert launches_of(folder_with(tmp_path, SITE.partition("[launch]")[0]), PLACE) is None


@pytest.mark.parametrize("secret", [None, b"s3cret", b" s3cret of%2B: \n"])
def test_a_section_that_is_whole_is_taken(tmp_path: Path, secret: bytes | None) -> None:
    assert launches_of(folder_with(tmp_path, secret=secret), PLACE) is not None


@pytest.mark.parametrize("host", ["fhir.example:99999", "999.1.1.1", "xn--a"])
@pytest.mark.parametrize("key", ["issuer", "authorize", "token"])
def test_an_address_that_nobody_could_ask_is_refused(tmp_path: Path, key: str, host: str) -> None:
    lines = [f'{key} = "https://{host}/x"' if line.startswith(f"{key} =") else line for line in SITE.splitlines()]
    with pytest.raises(InvalidInput, match=rf"\[launch\]: {key}"):
        launches_of(folder_with(tmp_path, "\n".join(lines)), PLACE)


@pytest.mark.parametrize("secret", [b"\xff\xfe", b"\n", "s\u00e4cret".encode(), b"two\nlines"])
def test_a_secret_that_is_none_is_refused_and_not_told(tmp_path: Path, secret: bytes) -> None:
    with pytest.raises(InvalidInput) as refused:
        launches_of(folder_with(tmp_path, secret=secret), PLACE)
    assert not any(word in str(refused.value) for word in ("s\u00e4", "two"))


def test_a_certificate_that_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="certificates"):
        launches_of(folder_with(tmp_path, f'{SITE}certificates = "{tmp_path}/none.pem"'), PLACE)
