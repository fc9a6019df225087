"""How do the pictures of a hospital's pages in docs/ come about? `make screenshots`: a simulated run's, in Chromium.

    python -m oncofed.simulations.page_pictures RUN --site hospital_06 --patient P01596 --out docs

One picture of the patient's page and one of the cohort's, as wide as the documents are read, of the pages as they are
served; nobody but this machine is asked for anything.
"""

from __future__ import annotations

import logging
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from oncofed.client.pages.accounts import Accounts, Role
from oncofed.client.pages.application import application
from oncofed.client.pages.hospital import HospitalPrognosis
from oncofed.client.pages.serving import Place, desk_for
from oncofed.client.pages.viewing_record import viewing_key
from oncofed.local_pages.listening import LOOPBACK, server_of
from oncofed.local_pages.sessions import Timeouts
from oncofed.simulations.benchmarks.browser import chromium
from oncofed.simulations.pages_of_run import hospital_of_run

_WIDTH, _PATIENT_HEIGHT, _COHORT_HEIGHT = 1100, 1980, 1750


@click.command()
@click.argument("run_folder", metavar="RUN", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--site", metavar="NAME", help="Whose pages; left out: the first hospital's.")
@click.option("--patient", metavar="ID", help="Left out: the first of the table.")
@click.option("--out", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True, help="A folder.")
def main(run_folder: Path, site: str | None, patient: str | None, out: Path) -> None:
    """Write pages-patient.png and pages-cohort.png."""
    hospital, password = hospital_of_run(run_folder, site), secrets.token_hex(16)
    with _served(hospital, password) as address, chromium() as browser:
        page = browser.new_page(viewport={"width": _WIDTH, "height": _PATIENT_HEIGHT})
        page.goto(address)
        page.fill("#name", Role.CLINICIAN.value)
        page.fill("#password", password)
        page.click("main button")
        page.fill("#patient_id", patient or hospital.cohort.patient_ids[0])
        page.click("main button")
        page.locator(".plot > svg").first.wait_for()
        page.screenshot(path=out / "pages-patient.png")
        page.set_viewport_size({"width": _WIDTH, "height": _COHORT_HEIGHT})
        page.goto(f"{address}/cohort")
        page.locator(".plot > svg").first.wait_for()
        page.screenshot(path=out / "pages-cohort.png")


@contextmanager
def _served(hospital: HospitalPrognosis, password: str) -> Iterator[str]:
    """The address of the pages, on loopback, with a clinician's account."""
    logging.disable(logging.INFO)
    with socket.socket() as listening, TemporaryDirectory(prefix="oncofed-pages-") as name:
        listening.bind((LOOPBACK, 0))
        listening.listen()
        port, folder = listening.getsockname()[1], Path(name)
        Accounts(folder / "accounts.json").add(Role.CLINICIAN.value, Role.CLINICIAN, password)
        desk = desk_for(
            hospital,
            accounts=folder / "accounts.json",
            key=viewing_key(folder / "pages.key"),
            audit_log=folder / "audit.jsonl",
            place=Place(port=port),
            timeouts=Timeouts(),
        )
        server = server_of(application(desk))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://{LOOPBACK}:{port}"
        finally:
            server.should_exit = True
            thread.join()


if __name__ == "__main__":
    main()
