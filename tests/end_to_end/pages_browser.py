"""How does a test look at pages as a person does? A real server on loopback, and the system's Chromium."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
from playwright.sync_api import ConsoleMessage, Page, Request
from tests.coordinator_pages import Shown
from tests.pages_hospital import PASSWORD, Served, served

from oncofed.client.install.folder import NodeFolder
from oncofed.client.launch.launches import Launches
from oncofed.client.pages.accounts import Role
from oncofed.client.pages.application import application
from oncofed.client.pages.hospital import HospitalPrognosis
from oncofed.client.sign_on.proxy_names import ProxyNames
from oncofed.local_pages.listening import server_of
from oncofed.server.pages.application import application as coordinators_application


@dataclass
class Visited:
    """A browser window that remembers what it asked for and what went wrong."""

    page: Page
    address: str
    requests: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        def request(found: Request) -> None:
            self.requests.append(found.url)

        def console(found: ConsoleMessage) -> None:
            if found.type in ("error", "warning"):
                self.troubles.append(found.text)

        self.page.context.on("request", request)
        self.page.on("console", console)
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))

    def sign_in(self, role: Role, password: str = PASSWORD) -> None:
        """By keyboard alone: the first field has the focus."""
        self.page.goto(self.address)
        self.page.wait_for_selector("#name:focus")
        self.page.keyboard.type(role.value)
        self.page.keyboard.press("Tab")
        self.page.keyboard.type(password)
        self.page.keyboard.press("Enter")
        self.page.wait_for_url(lambda url: "sign-in" not in url)

    def find(self, patient_id: str) -> None:
        """By keyboard alone, from the page of the search to the patient's."""
        self.page.wait_for_selector("#patient_id:focus")
        self.page.keyboard.type(patient_id)
        self.page.keyboard.press("Enter")
        self.drawn(2)

    def drawn(self, count: int) -> None:
        """Wait until so many pictures are there."""
        self.page.wait_for_function("count => document.querySelectorAll('.plot > svg').length === count", arg=count)

    def left_the_host(self) -> list[str]:
        return [url for url in self.requests if not url.startswith((self.address, "data:", "blob:"))]


@contextmanager
def serving(
    folder: Path,
    hospital: HospitalPrognosis | None,
    *,
    node: NodeFolder | None = None,
    launches: Callable[[str], Launches] | None = None,
) -> Iterator[tuple[Served, str]]:
    """The pages, and their address. node: its console alone. launches: of that address."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        host = f"127.0.0.1:{listening.getsockname()[1]}"
        with served(folder, shown=hospital, node=node) as here:
            found = None if launches is None else launches(f"http://{host}")
            here.desk = replace(here.desk, hosts=frozenset({host}), launches=found)
            server = server_of(application(here.desk))
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
            thread.start()
            try:
                yield here, f"http://{host}"
            finally:
                server.should_exit = True
                thread.join()


@contextmanager
def proxied(folder: Path, hospital: HospitalPrognosis, names: ProxyNames, *, host: str) -> Iterator[httpx.Client]:
    """The pages on a unix socket, and who asks there as a reverse proxy does."""
    path = folder / "pages.sock"
    with served(folder, shown=hospital) as here, socket.socket(socket.AF_UNIX) as found:
        here.desk = replace(here.desk, hosts=frozenset({host}), names=names)
        found.bind(str(path))
        found.listen()
        server = server_of(application(here.desk))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [found]})
        thread.start()
        try:
            with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), timeout=60) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def listening(here: Shown, port: int) -> Iterator[None]:
    """The coordinator's pages."""
    with socket.socket() as found:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(("127.0.0.1", port))
        found.listen()
        server = server_of(coordinators_application(here.desk))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [found]})
        thread.start()
        try:
            yield
        finally:
            server.should_exit = True
            server.force_exit = True
            thread.join()
