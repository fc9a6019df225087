"""How does the picture of the coordinator's pages in docs/ come about? From a coordinator's folder, in Chromium.

    python -m oncofed.simulations.coordinator_picture COORD --out docs

The newest study's page as it is served, as wide as the documents are read. The credential is one of this moment, and
nothing in the folder changes; nobody but this machine is asked for anything.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from oncofed.local_pages.listening import LOOPBACK, server_of
from oncofed.server.deployment.folder import CoordinatorFolder
from oncofed.server.pages.application import application
from oncofed.server.pages.credential import Credential
from oncofed.server.pages.serving import desk_for
from oncofed.simulations.benchmarks.browser import chromium

_WIDTH, _HEIGHT = 1100, 1250


@click.command()
@click.argument("folder", metavar="COORD", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--out", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True, help="A folder.")
def main(folder: Path, out: Path) -> None:
    """Write coordinator-page.png."""
    with chromium() as browser, _served(CoordinatorFolder(folder)) as (address, credential):
        page = browser.new_page(viewport={"width": _WIDTH, "height": _HEIGHT})
        page.goto(address)
        page.fill("#credential", credential)
        page.click("main button")
        page.locator("main table a").first.click()
        page.locator("#report").wait_for()
        page.screenshot(path=out / "coordinator-page.png")


@contextmanager
def _served(folder: CoordinatorFolder) -> Iterator[tuple[str, str]]:
    """The pages' address and credential, which is of this moment alone."""
    logging.disable(logging.INFO)
    with socket.socket() as listening, TemporaryDirectory(prefix="oncofed-pages-") as name:
        listening.bind((LOOPBACK, 0))
        listening.listen()
        port, credential = listening.getsockname()[1], Credential(Path(name) / "pages.token")
        credential.make()
        server = server_of(application(replace(desk_for(folder, port=port), credential=credential)))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://{LOOPBACK}:{port}", credential.path.read_text().strip()
        finally:
            server.should_exit = True
            thread.join()


if __name__ == "__main__":
    main()
