"""How long does a clinician wait for the first view of a patient, at a large hospital?

By the clock on the wall, in a real browser in front of a server that is a process of its own: from the Enter key to the
frame that shows both pictures. In turn with it, the shortest way there is through the same server and browser, the
search for an identifier that does not exist, so that a slow moment of the machine meets both.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from oncofed.client.pages.accounts import Accounts, Role
from oncofed.client.pages.preparation import prepare
from oncofed.client.pages.serving import Place, desk_for, serve
from oncofed.client.pages.viewing_record import viewing_key
from oncofed.local_pages.listening import LOOPBACK
from oncofed.local_pages.sessions import Timeouts
from oncofed.simulations.benchmarks.large_hospital import large_hospital
from oncofed.simulations.benchmarks.side_by_side import Spread, ratio
from oncofed.simulations.benchmarks.tables import Table, verdict

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from playwright.sync_api import Browser

_TITLE = "The first view of a patient in a browser"
_PASSWORD = "plum copper violin"  # noqa: S105 - of an account that lives as long as the measurement
_WANTED_SECONDS = 1.0
_SHOWN = "count => document.querySelectorAll('.plot > svg').length === count"
_PAINTED = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


def first_view_table(*, patients: int, views: int) -> Table:
    """views: of so many patients, each the first of a session."""
    try:
        from oncofed.simulations.benchmarks.browser import CHROMIUM, chromium  # noqa: PLC0415 - only developers have it
    except ModuleNotFoundError:
        return Table(_TITLE, (), (), ("NOT MEASURED: playwright is not installed.",))
    if CHROMIUM is None:
        return Table(_TITLE, (), (), ("NOT MEASURED: there is no Chromium. apt-get install chromium.",))
    with _served(patients) as (address, identifiers, started), chromium() as browser:
        chosen = np.linspace(0, len(identifiers) - 1, views + 1).astype(int).tolist()
        _seconds(browser, address, identifiers[chosen.pop()])  # the browser's own first page is not ours to measure
        found = [_seconds(browser, address, identifiers[each]) for each in chosen]
    nobody, view = ([each[place] for each in found] for place in (0, 1))
    return Table(
        title=_TITLE,
        columns=("patients", "first view, s", "search without a find, s", "ratio", "made ready, s"),
        rows=(
            (f"{patients:,}", str(Spread.of(view)), str(Spread.of(nobody)), str(ratio(view, nobody)), f"{started:.1f}"),
        ),
        notes=(
            f"{views} patients, each the first of a session: from the key to the painted pictures, on the wall clock. "
            "Made ready: what the server computes before it lets anybody in. "
            f"Load of the machine: {os.getloadavg()[0]:.0f}.",
            verdict(f"{patients:,} patients, first view, seconds", Spread.of(view).median, at_most=_WANTED_SECONDS),
        ),
    )


def _seconds(browser: Browser, address: str, patient_id: str) -> tuple[float, float]:
    """Of a search that finds nobody, and of the first view of a patient, in a session of their own."""
    context = browser.new_context(viewport={"width": 1180, "height": 900})
    page = context.new_page()

    def until(words: str, pictures: int) -> float:
        page.wait_for_selector("#patient_id:focus")
        page.keyboard.type(words)
        began = time.perf_counter()
        with page.expect_navigation(wait_until="commit"):
            page.keyboard.press("Enter")
        page.wait_for_function(_SHOWN, arg=pictures)
        page.evaluate(_PAINTED)
        return time.perf_counter() - began

    page.goto(f"{address}/sign-in")
    page.wait_for_selector("#name:focus")
    page.keyboard.type(Role.CLINICIAN.value)
    page.keyboard.press("Tab")
    page.keyboard.type(_PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/patients")
    found = until("nobody", 0), until(patient_id, 2)
    context.close()
    return found


@contextmanager
def _served(patients: int) -> Iterator[tuple[str, tuple[str, ...], float]]:
    """The address, whom one may look for, and how long it took to be ready."""
    with socket.socket() as free:
        free.bind((LOOPBACK, 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    ours, its = context.Pipe()
    server = context.Process(target=_serve, args=(patients, port, its))
    server.start()
    its.close()
    try:
        identifiers, started = ours.recv()  # EOFError when it could not start
        yield f"http://{LOOPBACK}:{port}", identifiers, started
    finally:
        server.terminate()
        server.join()


def _serve(patients: int, port: int, ready: Connection) -> None:
    logging.disable(logging.INFO)  # a line for each page is for a hospital's journal
    hospital, place = large_hospital(patients), Place(port=port)
    began = time.perf_counter()
    prepare(hospital, say=lambda _: None)
    started = time.perf_counter() - began
    with TemporaryDirectory(prefix="oncofed-pages-") as name:
        folder = Path(name)
        Accounts(folder / "accounts.json").add(Role.CLINICIAN.value, Role.CLINICIAN, _PASSWORD)
        desk = desk_for(
            hospital,
            accounts=folder / "accounts.json",
            key=viewing_key(folder / "pages.key"),
            audit_log=folder / "audit.jsonl",
            place=place,
            timeouts=Timeouts(),
        )
        told = hospital.cohort.patient_ids, started
        serve(desk, place, refused_users=frozenset(), ready=lambda: ready.send(told))
