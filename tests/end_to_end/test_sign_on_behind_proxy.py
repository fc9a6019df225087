"""Does a real nginx, by the lines that docs/pages.md has hospitals write down, sign on those and only those it knows?

Section, secret and server block are read from the page itself. In the place of the program that knows people is a
stand-in on loopback: a cookie says who somebody is there. What browsers send besides are bytes of our own, over TLS.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from playwright.sync_api import Page
from tests.end_to_end.page_tour import Scheme, shaped
from tests.end_to_end.pages_browser import Visited
from tests.end_to_end.test_accessibility import QUICK, faults
from tests.end_to_end.test_pages_behind_proxy import certificate, listens, trusting, until
from tests.end_to_end.test_zoomed_pages import faults as cut_off
from tests.end_to_end.test_zoomed_pages import zoomed
from tests.pages_hospital import PASSWORD, Served, hospital, served

from oncofed.client.install.folder import NodeFolder
from oncofed.client.pages.accounts import Role
from oncofed.client.pages.application import application
from oncofed.client.pages.of_node import names_of
from oncofed.client.pages.serving import Place
from oncofed.local_pages.listening import server_of
from oncofed.simulations.benchmarks.browser import CHROMIUM, chromium

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
pytestmark = pytest.mark.skipif(
    NGINX is None or shutil.which("openssl") is None,
    reason="NOT TESTED: people whom a reverse proxy signs on. Install nginx-light and openssl.",
)

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "pages.md").read_text()
WRITTEN = PAGE.partition("## Signed on by the hospital's reverse proxy")[2].partition("\n## ")[0]
(SECTION,) = re.findall(r"```toml\n(.*?)```", WRITTEN, flags=re.DOTALL)
(COMMANDS,) = re.findall(r"```sh\n(.*?)```", WRITTEN, flags=re.DOTALL)
(SERVER,) = re.findall(r"```nginx\n(.*?)```", WRITTEN, flags=re.DOTALL)
NAME = "prognosis.hospital.example"
HOSPITAL = hospital()
SESSION = "__Host-oncofed"


@dataclass(frozen=True)
class Signed:
    """nginx, and the pages behind it."""

    here: Served
    port: int

    def asks(self, lines: bytes, *, as_: str = "", address: str = "/", cookie: str = "") -> tuple[int, dict[str, str]]:
        """Status and headers of what is answered. lines: more headers. as_: whom the sign-on knows in this browser."""
        cookies = "; ".join(each for each in (f"who={as_}" if as_ else "", cookie) if each)
        head = f"GET {address} HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\nCookie: {cookies}\r\n".encode()
        with (
            socket.create_connection(("127.0.0.1", self.port), timeout=30) as plain,
            trusting().wrap_socket(plain) as line,
        ):
            line.sendall(head + lines + b"\r\n")
            said = b""
            while part := line.recv(65_536):
                said += part
        first, *others = said.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
        return int(first.split()[1]), {
            name.lower(): value for name, _, value in (each.partition(": ") for each in others)
        }

    def signed_on(self, lines: bytes = b"", *, as_: str) -> str:
        """Who is signed in at the pages then; empty for nobody."""
        status, headers = self.asks(lines, as_=as_, address="/sign-on")
        if status != 303 or "set-cookie" not in headers:
            return ""
        identifier = SimpleCookie(headers["set-cookie"])[SESSION].value
        session = self.here.desk.sessions.find(identifier, account=self.here.desk.accounts.find)
        return "" if session is None else session.account

    def told(self) -> tuple[str, str, str]:
        return self.here.events()[-1]


class KnowsPeople(BaseHTTPRequestHandler):
    """Of the hospital: as oauth2-proxy answers `auth_request`."""

    def do_GET(self) -> None:
        """202 and the name, or 401; anything else is a page of its own."""
        who = SimpleCookie(self.headers.get("Cookie", "")).get("who")
        self.send_response(200 if self.path != "/oauth2/auth" else 202 if who else 401)
        if who:
            self.send_header("X-Auth-Request-User", who.value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - its name there
        """Nothing."""


@contextmanager
def knows_people() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), KnowsPeople) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def pages(place: Path) -> Iterator[tuple[Served, Path]]:
    """On a unix socket, with the page's section and commands carried out in this folder."""
    folder = NodeFolder(place / "node")
    folder.guard.mkdir(parents=True)
    folder.settings.write_text(f'[site]\nname = "bonn"\n{SECTION}')
    commands = COMMANDS.replace("/etc/oncofed/guard", str(folder.guard)).replace("/etc/nginx", str(place))
    assert "-o oncofed-guard -g oncofed-guard " in commands
    subprocess.run(
        ["/bin/sh", "-euc", commands.replace("-o oncofed-guard -g oncofed-guard ", "")], check=True, timeout=60
    )
    path = place / "pages.sock"
    names = names_of(folder, Place(socket=path, name=NAME))
    assert names is not None
    with served(place, shown=HOSPITAL, secure=True) as here, socket.socket(socket.AF_UNIX) as listening:
        here.desk = replace(here.desk, hosts=frozenset({NAME}), names=names)
        listening.bind(str(path))
        listening.listen()
        server = server_of(application(here.desk))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield here, path
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def behind_nginx(here: Served, place: Path, sign_on: int, *, more: str = "", server: str = SERVER) -> Iterator[Signed]:
    """server: the block of the page, with this machine's places in it. more: of the whole nginx."""
    run = place / f"nginx-{len(list(place.glob('nginx-*')))}"
    run.mkdir()
    certificate(run / "prognosis")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for before, after in {
        "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
        "/etc/ssl/prognosis": str(run / "prognosis"),
        "/etc/nginx/": f"{place}/",
        "/run/oncofed-pages/pages.sock": str(place / "pages.sock"),
        "http://127.0.0.1:4180": f"http://127.0.0.1:{sign_on}",
    }.items():
        assert before in server
        server = server.replace(before, after)
    paths = "".join(
        f"{each}_temp_path {run}/{each};\n" for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;\n" if os.geteuid() == 0 else ""
    configuration = run / "nginx.conf"
    configuration.write_text(
        f"{user}daemon off;\nworker_processes 1;\npid {run}/pid;\nerror_log {run}/error.log warn;\nevents {{}}\n"
        f"http {{\n{paths}{more}access_log off;\n{server}}}\n"
    )
    assert NGINX is not None
    with subprocess.Popen([NGINX, "-c", configuration, "-e", run / "error.log"]) as proxy:
        try:
            until(lambda: listens(port))
            yield Signed(here, port)
        finally:
            proxy.terminate()


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with TemporaryDirectory(prefix="oncofed-") as name:
        yield Path(name)


@pytest.fixture(scope="module")
def sign_on() -> Iterator[int]:
    with knows_people() as port:
        yield port


@pytest.fixture(scope="module")
def here(place: Path) -> Iterator[Served]:
    with pages(place) as (found, _):
        yield found


@pytest.fixture
def signed(here: Served, place: Path, sign_on: int) -> Iterator[Signed]:
    here.clock.seconds += 60
    with behind_nginx(here, place, sign_on) as found:
        yield found


def test_whom_the_sign_on_knows_is_signed_in_with_the_role_of_the_account(signed: Signed) -> None:
    for role in Role:
        assert signed.signed_on(as_=role.value) == role.value
        assert signed.told() == ("page_sign_in", "by_proxy", role.value)
    assert signed.signed_on(as_="dr.strange") == ""
    assert signed.told() == ("page_refused", "sign_on_account", "")


SMUGGLED = {
    "the name": b"X-Forwarded-User: administrator\r\n",
    "the name twice": b"X-Forwarded-User: administrator\r\nX-Forwarded-User: it\r\n",
    "small letters": b"x-forwarded-user: administrator\r\n",
    "a secret": b"X-Forwarded-User: administrator\r\nX-Sign-On-Secret: 0123456789abcdef0123456789abcdef\r\n",
    "two secrets": b"X-Sign-On-Secret: a\r\nX-Sign-On-Secret: b\r\n",
    "underscores": b"X_Forwarded_User: administrator\r\nX_Sign_On_Secret: a\r\n",
    "what the sign-on writes": b"X-Auth-Request-User: administrator\r\n",
    "no letters": b"X-Forwarded-User: \xff\xfe\r\n",
    "other letters": b"X-Forwarded-User: \xd0\xb0dministrator\r\n",
    "dropped on the way": b"Connection: close, X-Sign-On-Secret, X-Forwarded-User\r\n",
}


@pytest.mark.parametrize("lines", SMUGGLED.values(), ids=SMUGGLED)
def test_what_a_browser_writes_there_makes_nobody_somebody_else(signed: Signed, lines: bytes) -> None:
    assert signed.signed_on(lines, as_="analyst") == "analyst"
    before = len(signed.here.events())
    status, headers = signed.asks(lines, address="/sign-on")
    assert (status, headers["location"]) == (303, "/sign-in"), "nobody is nobody"
    assert "set-cookie" not in headers
    assert len(signed.here.events()) == before


def test_spellings_that_such_an_nginx_lets_through_are_refused(here: Served, place: Path, sign_on: int) -> None:
    with behind_nginx(here, place, sign_on, more="underscores_in_headers on;\n") as signed:
        for lines in (b"X_Forwarded_User: administrator\r\n", b"X-Forwarded_User: it\r\n", b"X_Sign_On_Secret: a\r\n"):
            assert signed.asks(lines, as_="analyst", address="/sign-on")[0] == 421
            assert signed.told() == ("page_refused", "sign_on_spelling", "")
        assert signed.signed_on(as_="analyst") == "analyst"


def test_a_part_that_was_forgotten_passes_on_a_name_and_is_refused(here: Served, place: Path, sign_on: int) -> None:
    """The server block of before, which sets neither name nor secret."""
    before = re.findall(r"```nginx\n(.*?)```", PAGE, flags=re.DOTALL)[0]
    for each in ("/etc/nginx/", "http://127.0.0.1:4180"):  # it has none of these places
        before += f"# {each}\n"
    with behind_nginx(here, place, sign_on, server=before) as signed:
        assert signed.asks(b"X-Forwarded-User: administrator\r\n", address="/sign-on")[0] == 421
        assert signed.told() == ("page_refused", "sign_on_proof", "")
        assert signed.asks(b"", address="/sign-in")[0] == 200, "own accounts work as before"


def test_a_configuration_that_has_the_secret_and_not_the_name_is_what_is_not_stopped(
    here: Served, place: Path, sign_on: int
) -> None:
    """As the page says; so the test above shows the line that does it."""
    careless = SERVER.replace("proxy_set_header X-Forwarded-User", "proxy_set_header X-Other-User")
    with behind_nginx(here, place, sign_on, server=careless) as signed:
        assert signed.signed_on(b"X-Forwarded-User: administrator\r\n", as_="analyst") == "administrator"


def test_the_own_account_goes_on_beside_and_a_session_follows_the_proxy(signed: Signed) -> None:
    status, headers = signed.asks(b"", as_="clinician", address="/sign-on")
    assert status == 303
    cookie = headers["set-cookie"].partition(";")[0]
    for flag in ("Secure", "HttpOnly", "SameSite=strict", "Path=/"):
        assert flag.lower() in headers["set-cookie"].lower()
    assert signed.asks(b"", as_="clinician", address="/patients", cookie=cookie)[0] == 200
    assert signed.asks(b"", as_="analyst", address="/patients", cookie=cookie)[0] == 303
    assert signed.told() == ("page_refused", "sign_on_other", "clinician")
    form = f"name=analyst&password={PASSWORD.replace(' ', '+')}".encode()
    with (
        socket.create_connection(("127.0.0.1", signed.port), timeout=30) as plain,
        trusting().wrap_socket(plain) as line,
    ):
        line.sendall(
            f"POST /sign-in HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\nOrigin: https://{NAME}\r\n"
            f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(form)}\r\n\r\n".encode()
            + form
        )
        assert line.recv(65_536).startswith(b"HTTP/1.1 303")
    assert signed.told() == ("page_sign_in", "by_password", "analyst")


def shut_out(page: Page) -> list[str]:
    """What axe and the edges of the screen say of it on a desk, on a telephone by night, and at 200 %."""
    found: list[str] = []
    screens: list[tuple[int, Scheme]] = [*QUICK, (1440, "light")]
    for width, scheme in screens:
        shaped(page, width, scheme)
        found += faults(page)
    zoomed(page)
    return found + cut_off(page)


@pytest.mark.skipif(CHROMIUM is None, reason="NOT TESTED: the same in a browser. Install chromium.")
def test_a_browser_comes_in_goes_out_and_comes_back_by_a_click(signed: Signed) -> None:
    with chromium(f"--host-resolver-rules=MAP {NAME}:443 127.0.0.1:{signed.port}") as browser:
        context = browser.new_context(ignore_https_errors=True, locale="en-GB")
        context.add_cookies([{"name": "who", "value": "clinician", "url": f"https://{NAME}"}])
        visit = Visited(context.new_page(), f"https://{NAME}")
        visit.page.route("**/sign-on*", lambda route: route.fulfill(status=204))  # stay where it leads on from
        visit.page.goto(f"https://{NAME}/cohort")
        visit.page.wait_for_selector("text=Signing on")
        assert shut_out(visit.page) == []
        visit.page.unroute_all()
        visit.page.get_by_role("link", name="Go on").click()
        visit.page.wait_for_url("**/cohort")
        visit.drawn(4)
        visit.page.get_by_role("button", name="Sign out").click()
        visit.page.wait_for_url("**/sign-in")
        assert shut_out(visit.page) == []
        leave = visit.page.get_by_role("link", name="Sign out there")
        assert leave.get_attribute("href") == f"https://{NAME}/oauth2/sign_out"
        visit.page.get_by_role("link", name="Go on as clinician").click()
        visit.page.wait_for_url("**/patients")
        visit.find(HOSPITAL.cohort.patient_ids[5])
        assert visit.page.url.startswith(f"https://{NAME}/patients/")
        assert visit.troubles == []
        assert visit.left_the_host() == []
        context.close()
