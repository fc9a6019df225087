"""Which pages are there, and in which states? Each opened once in Chromium, one after the other, for whoever looks.

    python -m tests.end_to_end.page_tour --out FOLDER [--part PART] [--only WORD]

writes a picture of each at three widths, by day and by night: `make looking`. Patients are simulated.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal
from urllib.parse import urlsplit

import click
import httpx
import numpy as np
from playwright.sync_api import Browser, Page, Route
from tests.clean_hospital import LABORATORY
from tests.clean_hospital import schema as clean_schema
from tests.clean_hospital import table as clean_table
from tests.coordinator_pages import Shown, running_study, shown
from tests.end_to_end.pages_browser import Visited, listening, proxied, serving
from tests.installed_node import SOURCE, InstalledNode, installed_node, table
from tests.pages_hospital import SECOND, hospital
from tests.twin_hospital import hospital as twin_hospital
from tests.unit.server.report.fake_studies import fake_study
from tests.unit.simulations.report.fake_results import fake_result

from oncofed.client.launch.issuer import Issuer
from oncofed.client.launch.launches import Launches
from oncofed.client.launch.settings import KnownBy, LaunchSection
from oncofed.client.pages.accounts import Role
from oncofed.client.pages.hospital import HospitalPrognosis
from oncofed.client.quality.content import table_content
from oncofed.client.quality.page import quality_page
from oncofed.client.quality.report import quality_report
from oncofed.client.records.wishes import APPROVAL_WANTED
from oncofed.client.sign_on.proxy_names import ProxyNames
from oncofed.client.sign_on.settings import PROOF
from oncofed.server.report.page import render_report
from oncofed.simulations.benchmarks.browser import chromium
from oncofed.simulations.benchmarks.large_hospital import large_hospital
from oncofed.simulations.report.page import render_report as simulated_report
from oncofed.words.languages import language_called

Opened = Iterator[tuple[str, Page]]
"""What it is, and the page that shows it until the next is asked for."""
Scheme = Literal["light", "dark"]
WIDTHS = (1440, 768, 390)
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
_PATIENCE_MILLISECONDS = 180_000
"""A cohort is computed while the page waits, on a loaded machine."""
_RECORD = "https://record.example"
_PROXIED = "prognosis.hospital.example"


def whole_hospital() -> HospitalPrognosis:
    """All markers, a plan that tells how large its noise was, and one patient of whom 70 % are not known."""
    here = large_hospital(1500)
    values = here.cohort.values.copy()
    row = int(np.isnan(values).mean(axis=1).argmax())
    known = [
        place
        for place in np.flatnonzero(~np.isnan(values[row]))
        if here.schema.markers[place].name != here.schema.tumour_entity
    ]
    values[row, known[int(0.3 * values.shape[1]) - 1 :]] = np.nan
    return replace(here, cohort=replace(here.cohort, values=values), weight_noise=0.03)


def tour(
    browser: Browser,
    folder: Path,
    shown_hospital: Callable[[], HospitalPrognosis] = whole_hospital,
    *,
    part: str | None = None,
) -> Opened:
    """Every page of hospital, console, coordinator and reports. part: of these alone."""
    every = parts(shown_hospital)
    for name, opened in (every if part is None else {part: every[part]}).items():
        place = folder / name
        place.mkdir()
        for what, page in opened(browser, place):
            yield f"{name}: {what}", page


def parts(shown_hospital: Callable[[], HospitalPrognosis]) -> dict[str, Callable[[Browser, Path], Opened]]:
    return {
        "hospital": lambda browser, folder: of_hospital(browser, folder, shown_hospital()),
        "few": of_few,
        "twin": of_twin,
        "sign-on": of_sign_on,
        "console": of_console,
        "coordinator": of_coordinator,
        "report": of_report,
    }


@contextmanager
def _window(browser: Browser, address: str) -> Iterator[Visited]:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, locale="en-GB")
    context.set_default_timeout(_PATIENCE_MILLISECONDS)
    try:
        yield Visited(context.new_page(), address)
    finally:
        context.close()


def states(here: HospitalPrognosis) -> dict[str, int]:
    """Rows of patients whose pages differ."""
    missing = np.isnan(here.cohort.values).mean(axis=1)
    entity = here.cohort.values[
        :, [marker.name for marker in here.schema.markers].index(here.schema.tumour_entity or "")
    ]
    found, counts = np.unique(entity[~np.isnan(entity)], return_counts=True)
    dead = here.cohort.observed[:, 0]
    return {
        "little missing": int(missing.argmin()),
        "70 % missing": int(missing.argmax()),
        "rare tumour": int(np.flatnonzero(entity == found[counts.argmin()])[0]),
        "dead": int(np.flatnonzero(dead)[here.cohort.exit[dead, 0].argmin()]),
    }


def of_hospital(browser: Browser, folder: Path, here: HospitalPrognosis) -> Opened:
    section = LaunchSection(f"{_RECORD}/fhir", f"{_RECORD}/authorize", f"{_RECORD}/token", "oncofed-pages", KnownBy.ID)

    def launches(address: str) -> Launches:
        return Launches(section, pages=address, ask=Issuer(section, None).patient, clock=time.monotonic)

    with serving(folder, here, launches=launches) as (_, address), ExitStack() as windows:
        launched = f"iss={section.issuer}&launch=1"
        visit = windows.enter_context(_window(browser, address))
        page = visit.page
        for what, path in (
            ("sign in", "/sign-in"),
            ("no such page", "/nothing"),
            ("launch, to sign in", f"/launch/begin?{launched}"),
            ("launch refused", "/launch?iss=https://elsewhere.example&launch=1"),
        ):
            page.goto(address + path)
            yield what, page
        page.route("**/launch/begin*", lambda route: route.fulfill(status=204))  # stay where it leads on from
        page.goto(f"{address}/launch?{launched}")
        yield "launch", page
        page.goto(f"{address}/sign-in")
        page.fill("#name", "clinician")
        page.fill("#password", "a wrong one")
        page.click("main button")
        yield "sign in refused", page
        visit.sign_in(Role.CLINICIAN)
        yield "search", page
        page.fill("#patient_id", "nobody")
        page.click("main form[action='/patients/find'] button")
        yield "search without a find", page
        for state, row in states(here).items():
            page.goto(f"{address}/patients")
            visit.find(here.cohort.patient_ids[row])
            own = page.url.partition("?")[0]
            yield f"patient, {state}", page
            page.goto(f"{own}/twin")
            yield f"kinds of data, {state}", page
            page.goto(f"{own}/sheet")
            yield f"sheet for the board, {state}", page
        page.goto(f"{own}?endpoint=1&named=a")
        yield "patient, filtered, second endpoint", page
        yield from _what_if(page, own)
        page.goto(f"{address}/patients/made-up")
        yield "patient refused", page
        page.goto(f"{address}/patients")
        yield "search with opened", page
        yield from _board(page, address)
        for what, path in (
            ("cohort", "/cohort"),
            ("cohort, a category", f"/cohort?marker={here.schema.tumour_entity}"),
            ("password", "/password"),
        ):
            page.goto(address + path)
            yield what, page
        page.goto(f"{address}/patients")
        page.get_by_role("button", name="Deutsch").click()
        page.goto(own)
        yield "patient in German", page
        administrator = windows.enter_context(_window(browser, address))
        administrator.sign_in(Role.ADMINISTRATOR)
        for path in ("/accounts", "/audit"):
            administrator.page.goto(address + path)
            yield path.strip("/"), administrator.page


def _what_if(page: Page, own: str) -> Opened:
    page.goto(f"{own}/what-if")
    yield "what if", page
    page.fill("#another", "age")
    page.get_by_role("button", name="Choose this marker").click()
    page.locator("input[inputmode=decimal]").first.fill("1,5")
    page.get_by_role("button", name="Show what the model says").click()
    yield "what if refused", page
    page.locator("input[inputmode=decimal]").first.fill("71")
    page.get_by_role("button", name="Show what the model says").click()
    page.locator(".plot > svg").first.wait_for()
    yield "what if answered", page


def _board(page: Page, address: str) -> Opened:
    page.goto(f"{address}/board")
    yield "board, empty", page
    for _ in range(3):
        page.get_by_role("button", name="Put on the list:").first.click()
    yield "board", page


def of_few(browser: Browser, folder: Path) -> Opened:
    """Too few patients to publish anything."""
    with serving(folder, hospital(12)) as (here, address), _window(browser, address) as visit:
        visit.sign_in(Role.CLINICIAN)
        visit.find(here.desk.hospital.cohort.patient_ids[4])
        yield "patient", visit.page
        visit.page.goto(f"{visit.page.url.partition('?')[0]}/twin")
        yield "kinds of data", visit.page
        visit.page.goto(f"{address}/cohort")
        yield "cohort", visit.page


def of_twin(browser: Browser, folder: Path) -> Opened:
    """All kinds of data, and assays with prices."""
    with serving(folder, twin_hospital()) as (here, address), _window(browser, address) as visit:
        visit.sign_in(Role.CLINICIAN)
        visit.find(here.desk.hospital.cohort.patient_ids[7])
        visit.page.goto(f"{visit.page.url.partition('?')[0]}/twin")
        yield "kinds of data", visit.page


def of_sign_on(browser: Browser, folder: Path) -> Opened:
    """Behind a reverse proxy that says who asks: what it would write is written here, on the pages' own socket."""
    names = ProxyNames("X-Forwarded-User", "0123456789abcdef" * 2, f"http://{_PROXIED}/oauth2/sign_out")
    with (
        proxied(folder, hospital(60), names, host=_PROXIED) as pages,
        _window(browser, f"http://{_PROXIED}") as visit,
    ):
        for what, who, path in (
            ("signing on", Role.CLINICIAN, "/cohort"),
            ("sign in, named", Role.CLINICIAN, "/sign-in"),
            ("sign in, nobody named", "", "/sign-in"),
            ("refused, no account", "dr.strange", "/sign-on"),
        ):
            said = {names.header: who, PROOF: names.secret} if who else {}

            visit.page.route("**/*", _as_a_proxy(pages, said, path))
            visit.page.goto(visit.address + path)
            yield what, visit.page
            visit.page.unroute_all()


def _as_a_proxy(pages: httpx.Client, said: dict[str, str], first: str) -> Callable[[Route], None]:
    """said: headers of its own. Nothing but that first page and what it looks like is answered: it stays there."""

    def answered(route: Route) -> None:
        path = urlsplit(route.request.url).path
        if path != first and not path.startswith("/static/"):
            route.fulfill(status=204)
            return
        found = pages.get(route.request.url, headers=said)
        route.fulfill(status=found.status_code, headers=dict(found.headers), body=found.content)

    return answered


def of_console(browser: Browser, folder: Path) -> Opened:
    """Without a plan; then one that waits for a second yes, and one that is approved."""
    with installed_node() as node, serving(folder, None, node=node.folder) as (_, address), ExitStack() as windows:
        visit = windows.enter_context(_window(browser, address))
        visit.sign_in(Role.APPROVER)
        for path in ("/plans", "/ledger", "/quality"):
            visit.page.goto(address + path)
            yield f"{path.strip('/')}, empty", visit.page
        node.enrol()
        plans = [node.plan(), replace(node.plan(), study="a second study whose name is as long as they are")]
        for plan in plans:
            node.guard().offer_plan(node.offer(plan))
        visit.page.goto(f"{address}/plans/{plans[0].hash}")
        yield "plan, not decided", visit.page
        node.approve(plans[1])
        node.guard().contribute(node.request(plans[1]))
        node.set_policy("smallest_cohort = 50", "smallest_cohort = 50\npersons_to_approve = 2")
        facts = {"data_source": SOURCE}
        node.audit_log.append(APPROVAL_WANTED, plan_hash=plans[0].hash, by=SECOND, facts=facts)
        for what, path in (
            ("plans", "/plans"),
            ("plan, one yes of two", f"/plans/{plans[0].hash}"),
            ("plan, approved", f"/plans/{plans[1].hash}"),
            ("plan, not there", f"/plans/{'0' * 64}"),
            ("ledger", "/ledger"),
            ("quality", "/quality"),
            ("node", "/node"),
            ("audit", "/audit"),
        ):
            visit.page.goto(address + path)
            yield what, visit.page
        visit.page.goto(f"{address}/plans/{plans[0].hash}")
        visit.page.get_by_role("button", name="Deutsch").click()
        yield "plan in German", visit.page
        _spoil(node)
        visit.page.goto(f"{address}/quality")
        yield "quality in German, at fault", visit.page
        other = windows.enter_context(_window(browser, address))
        other.sign_in(Role.IT)
        for what, path in (("plan, to IT", f"/plans/{plans[0].hash}"), ("node, to IT", "/node")):
            other.page.goto(address + path)
            yield what, other.page


def _spoil(node: InstalledNode) -> None:
    """An age in months, and hardly anybody whose sex is known."""
    rows = table()
    rows.loc[rows.index >= 7, "sex_female"] = np.nan
    rows.loc[rows.index % 3 == 0, "age"] *= 12
    rows.to_csv(node.table_path, index=False)


def of_coordinator(browser: Browser, folder: Path) -> Opened:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    address, hosts = f"http://127.0.0.1:{port}", frozenset({f"127.0.0.1:{port}"})
    with shown(folder, hosts=hosts) as here, listening(here, port), _window(browser, address) as visit:
        page = visit.page
        page.goto(address)
        yield "sign in", page
        page.fill("#credential", here.token)
        page.click("main button")
        yield "overview, empty", page
        with running_study(here) as study:
            here.study("breast", rounds=60).said(Bonn="declined")
            _finished(here)
            for what, path in (
                ("overview", "/"),
                ("running study", f"/studies/{study.plan.hash}"),
                ("refused", "/nothing"),
            ):
                page.goto(address + path)
                yield what, page
            for link in ("breast", "colon"):
                page.goto(address)
                page.get_by_role("link", name=link).first.click()
                page.locator("#report").wait_for()
                yield f"study {link}", page


def _finished(here: Shown) -> None:
    study = here.study("colon", rounds=1)
    study.said(Aachen="approved", Bonn="approved", Coburg="approved")
    study.round(1)
    study.finish(here.folder)


def of_report(browser: Browser, folder: Path) -> Opened:
    with _window(browser, "") as visit:
        for what, page in reports().items():
            (folder / "report.html").write_text(page)
            visit.page.goto((folder / "report.html").as_uri())
            yield what, visit.page


def reports() -> dict[str, str]:
    """Files that are pages, each as text."""
    return {
        "of a deployed study": render_report(fake_study()),
        "of a simulation": simulated_report(fake_result()),
        "of a simulation, in German": simulated_report(fake_result(), say=language_called("de")),
        "of data quality": _quality(),
    }


def _quality() -> str:
    """Much is missing, of some tumours more than of others, and one column is in another unit."""
    spoilt, rng = clean_table(), np.random.default_rng(4)
    for place, column in enumerate(each for each in spoilt.columns if each in LABORATORY):
        spoilt.loc[rng.random(len(spoilt)) < 0.25 * (place % 4 + 1), column] = np.nan
    content = table_content(spoilt, clean_schema(), where="table.csv", zero_column=None)
    return quality_page(quality_report(content, cut=None, today=date(2026, 1, 1)), made_on=date(2026, 1, 1))


def shaped(page: Page, width: int, scheme: Scheme) -> None:
    """As on a screen of that width, by day or by night."""
    page.set_viewport_size({"width": width, "height": 844})
    page.emulate_media(color_scheme=scheme)


@click.command()
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="A folder.")
@click.option("--part", type=click.Choice(list(parts(whole_hospital))), help="All of them unless given.")
@click.option("--only", default="", help="A part of the name of what is shown.")
def main(out: Path, part: str | None, only: str) -> None:
    """Write a picture of every page and state at each width, by day and by night."""
    logging.disable(logging.INFO)
    out.mkdir(parents=True, exist_ok=True)
    with chromium() as browser, TemporaryDirectory(prefix="oncofed-tour-") as folder:
        for name, page in tour(browser, Path(folder), part=part):
            if only not in name:
                continue
            for width in WIDTHS:
                for scheme in SCHEMES:
                    shaped(page, width, scheme)
                    words = "-".join(name.replace(",", "").replace(":", "").split())
                    page.screenshot(path=out / f"{words}-{width}-{scheme}.png", full_page=True)
            click.echo(name)


if __name__ == "__main__":
    main()
