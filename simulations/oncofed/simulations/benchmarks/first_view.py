"""How long does a clinician wait for the first view of a patient, at a large hospital, and what does it weigh?

In a real browser that is warm, in front of a warm server that is a process of its own, by the browser's own clock: from
the Enter key to the first paint of the answer (first contentful paint), which has all of it when the page was whole by
then; where it was not, by the stopwatch. The stopwatch stands beside: it is of whoever drives the browser, waits for
two frames more and for what is said between the two, and none of that is a clinician's wait. In turn with it, the
shortest way there is through the same server and browser, the search for an identifier that does not exist, so that a
slow moment of the machine meets both.

The start is what `oncofed site pages serve` loads and computes, without reading a table: here it is made up, and the
making, with the libraries that only it needs, is taken off.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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
from oncofed.simulations.benchmarks.side_by_side import Spread, ratio
from oncofed.simulations.benchmarks.tables import Table, verdict

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from playwright.sync_api import Browser

_TITLE = "The first view of a patient in a browser"
_PASSWORD = "plum copper violin"  # noqa: S105 - of an account that lives as long as the measurement
_WANTED_SECONDS, _WANTED_KILOBYTES, _WANTED_START_SECONDS = 0.25, 150, 15
_SHOWN = "count => document.querySelectorAll('.plot > svg').length === count"
_WEIGHT = """() => [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
  .map(each => each.decodedBodySize / 1000)"""
_KEY = """addEventListener('keydown', event => {
  if (event.key === 'Enter') { sessionStorage.setItem('key', performance.timeOrigin + event.timeStamp); }
}, true)"""
_TOLD = "() => performance.getEntriesByName('first-contentful-paint').length > 0"
_FIRST_PAINT = """() => {
  const paint = performance.getEntriesByName('first-contentful-paint')[0].startTime;
  const whole = performance.getEntriesByType('navigation')[0].domInteractive <= paint;
  return whole ? (performance.timeOrigin + paint - Number(sessionStorage.getItem('key'))) / 1000 : null;
}"""
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
    nobody, view = [each.nobody.seen for each in found], [each.view.seen for each in found]
    heaviest = max((each.weights for each in found), key=lambda weights: weights[0])
    return Table(
        title=_TITLE,
        columns=(
            "patients",
            "first view, s",
            "search without a find, s",
            "ratio",
            "by a stopwatch, s",
            "without a find, s",
            "started, s",
            "page, kB",
            "with its files, kB",
        ),
        rows=(
            (
                f"{patients:,}",
                *(str(each) for each in (Spread.of(view), Spread.of(nobody), ratio(view, nobody))),
                str(Spread.of([each.view.stopped for each in found])),
                str(Spread.of([each.nobody.stopped for each in found])),
                f"{started:.1f}",
                f"{heaviest[0]:.0f}",
                f"{sum(heaviest):.0f}",
            ),
        ),
        notes=(
            f"{views} patients, each the first of a session: from the key to the first paint of the answer, by the "
            "browser's clock. By a stopwatch: until who drives the browser knows of both pictures, two frames later. "
            "Started: from the process to an open door, without the making up of patients. The heaviest page of them. "
            f"Load of the machine: {os.getloadavg()[0]:.0f}.",
            verdict(f"{patients:,} patients, start, seconds", started, at_most=_WANTED_START_SECONDS),
            verdict("The heaviest page, kilobytes", heaviest[0], at_most=_WANTED_KILOBYTES),
            verdict(f"{patients:,} patients, first view, seconds", Spread.of(view).median, at_most=_WANTED_SECONDS),
        ),
    )


@dataclass(frozen=True)
class _Answer:
    """Seconds from the key. seen: to the first paint, by the browser. stopped: by the stopwatch."""

    seen: float
    stopped: float


@dataclass(frozen=True)
class _Session:
    """weights: kilobytes of the page, and of each of its files."""

    nobody: _Answer
    view: _Answer
    weights: list[float]


def _seconds(browser: Browser, address: str, patient_id: str) -> _Session:
    """Of a search that finds nobody, and then of the first view of a patient."""
    context = browser.new_context(viewport={"width": 1180, "height": 900})
    context.add_init_script(_KEY)
    page = context.new_page()

    def until(words: str, pictures: int) -> _Answer:
        page.wait_for_selector("#patient_id:focus")
        page.keyboard.type(words)
        began = time.perf_counter()
        with page.expect_navigation(wait_until="commit"):
            page.keyboard.press("Enter")
        page.wait_for_function(_SHOWN, arg=pictures)
        page.evaluate(_PAINTED)
        stopped = time.perf_counter() - began
        page.wait_for_function(_TOLD)  # the browser tells of a paint a little after it
        seen = page.evaluate(_FIRST_PAINT)
        return _Answer(stopped if seen is None else seen, stopped)

    page.goto(f"{address}/sign-in")
    page.wait_for_selector("#name:focus")
    page.keyboard.type(Role.CLINICIAN.value)
    page.keyboard.press("Tab")
    page.keyboard.type(_PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/patients")
    found = _Session(until("nobody", 0), until(patient_id, 2), page.evaluate(_WEIGHT))
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
    began = time.perf_counter()
    server.start()
    its.close()
    try:
        identifiers, made = ours.recv()  # EOFError when it could not start
        yield f"http://{LOOPBACK}:{port}", identifiers, time.perf_counter() - began - made
    finally:
        server.terminate()
        server.join()


def _serve(patients: int, port: int, ready: Connection) -> None:
    logging.disable(logging.INFO)  # a line for each page is for a hospital's journal
    import oncofed.client.pages.of_node  # noqa: F401, PLC0415 - what the command loads is of the start

    began = time.perf_counter()
    from oncofed.simulations.benchmarks.large_hospital import large_hospital  # noqa: PLC0415 - and this is not

    hospital, place = large_hospital(patients), Place(port=port)
    made = time.perf_counter() - began
    prepare(hospital, say=lambda _: None)
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
        told = hospital.cohort.patient_ids, made
        serve(desk, place, refused_users=frozenset(), ready=lambda: ready.send(told))
