"""Do a hospital's pages work as docs/pages.md has them run: the unit's command and rights, behind nginx with TLS?

The unit and the server block are read from the page itself. The command runs as the guard's uid with the unit's group,
mask and folder; only what systemd would do besides (namespaces, system-call filters) is not tried. nginx runs as its
own user, and Chromium comes in through it, under the hospital's name. Needs root, nginx and Chromium, and says so.
"""

from __future__ import annotations

import grp
import os
import re
import shutil
import socket
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.end_to_end.pages_browser import Visited
from tests.hardened_units import settings_of
from tests.installed_node import InstalledNode, installed_node, table
from tests.privacy.test_installed_users import GUARD, NOBODY, RELAY, UIDS, USERS
from tests.privacy.test_two_users import CONNECT, can

from oncofed.client.install.folder import NodeFolder, NodeUsers, SiteSettings
from oncofed.client.install.rights import hand_over
from oncofed.client.install.setup import create
from oncofed.client.pages.accounts import Accounts, Cost, Role
from oncofed.client.pages.of_node import accounts_file
from oncofed.client.records.audit_entries import verify_audit_log
from oncofed.protocol.messages import DeliveryState
from oncofed.protocol.model_file import signed_model
from oncofed.simulations.benchmarks.browser import CHROMIUM, chromium
from oncofed.survival.network import parameter_count

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        NGINX is None or CHROMIUM is None or os.geteuid() != 0,
        reason="NOT TESTED: a hospital's pages behind a reverse proxy. Run as root, with nginx-light and chromium.",
    ),
]

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = (REPOSITORY / "docs" / "pages.md").read_text()
(UNIT,) = re.findall(r"```ini\n(.*?)```", PAGE, flags=re.DOTALL)
SERVER, _ = re.findall(r"```nginx\n(.*?)```", PAGE, flags=re.DOTALL)
NAME = "prognosis.hospital.example"
SMALL = "proxy_buffer_size 4k; proxy_buffers 2 4k; proxy_busy_buffers_size 4k;\n"
"""As a page of many markers fills the usual buffers, so does one of this small study fill these."""
PASSWORD = "plum copper violin"
PATIENT = "MRN-0047-00007"
ROOTS = ("shared", "client", "server", "simulations")
SERVE = """
import os, shutil, sys
from pathlib import Path
from tempfile import TemporaryDirectory
from oncofed.client.install.folder import NodeFolder, NodeUsers
from oncofed.client.pages.application import application
from oncofed.local_pages.listening import server_of
from oncofed.client.pages import preparation
from oncofed.client.pages.of_node import hospital_of
from oncofed.client.install.commands import site
from tests.pages_hospital import Role, served
uids, group, mask, *words = eval(sys.argv[1]), *sys.argv[2:]
NodeUsers.ids = staticmethod(lambda name: (uids[name], uids[name]))
# Interpreter and tree may lie where only root can read: whatever is imported late is asked for now.
with TemporaryDirectory() as folder:  # what is published here would be root's, and told in the log
    hospital_of(NodeFolder(Path(shutil.copytree(words[2], Path(folder, "node")))), plan=None)
with TemporaryDirectory() as folder, served(Path(folder)) as here:
    server_of(application(here.desk)).config.load()
    browser = here.signed_in(Role.CLINICIAN)
    for page in ("/cohort", "/static/pages.css"):
        assert browser.get(page).status_code == 200
import asyncio, codecs, importlib, pkgutil, uvicorn.loops.asyncio, uvicorn.loops.auto, oncofed.client
for found in pkgutil.walk_packages(oncofed.client.__path__, "oncofed.client."):
    importlib.import_module(found.name)
for encoding in ("ascii", "latin-1", "idna"):
    codecs.lookup(encoding)
os.umask(int(mask, 8))
os.setgroups([uids["some-guard"]]); os.setgid(int(group)); os.setuid(uids["some-guard"])
site(words)
"""


@dataclass(frozen=True)
class Proxied:
    node: InstalledNode
    socket: Path
    port: int
    temporary: Path

    def client(self, name: str = NAME) -> httpx.Client:
        """name: in the header Host."""
        return httpx.Client(base_url=f"https://127.0.0.1:{self.port}", headers={"host": name}, verify=trusting())

    def events(self) -> list[tuple[str, str, str]]:
        log = verify_audit_log(self.node.folder.audit_log)
        return [(entry.event, entry.code, entry.by) for entry in log.entries]


def trusting() -> ssl.SSLContext:
    """Of any certificate: this one is made for a name that leads nowhere."""
    found = ssl.create_default_context()
    found.check_hostname, found.verify_mode = False, ssl.CERT_NONE
    return found


@contextmanager
def delivered_node() -> Iterator[InstalledNode]:
    """Installed with the three users, as root does it; a model was delivered, and a clinician has an account."""
    with pytest.MonkeyPatch.context() as patch, installed_node() as made:
        patch.setattr(NodeUsers, "ids", staticmethod(lambda name: (UIDS[name], UIDS[name])))
        node = InstalledNode(NodeFolder(made.folder.root.parent / "installed"), made.signing_key)
        folder = node.folder
        os.chmod(folder.root.parent, 0o755)
        create(folder, SiteSettings("Bonn", "127.0.0.1:9094", None, USERS))
        node.enrol()
        table().to_csv(node.table_path, index=False)
        os.chown(node.table_path, GUARD, GUARD)
        os.chmod(node.table_path, 0o600)
        folder.policy.write_text(made.folder.policy.read_text().replace(str(made.table_path), str(node.table_path)))
        (folder.plans / f"{node.plan().hash}.json").write_bytes(node.offer())
        node.approve()
        weights = np.random.default_rng(3).normal(scale=0.5, size=parameter_count(node.plan().model))
        model = signed_model(weights, plan_hash=node.plan().hash, signing_key=node.signing_key)
        assert node.guard().deliver_model(model.content, model.signature, node.plan().hash) is DeliveryState.ACCEPTED
        for role in (Role.CLINICIAN, Role.ADMINISTRATOR):
            Accounts(accounts_file(folder), cost=Cost(n=2**4)).add(role.value, role, PASSWORD)
        hand_over(folder, USERS)
        yield node


def tree_that_all_may_read(place: Path) -> Path:
    """The clone may lie where only root may enter, and the pages read their templates as the guard's user."""
    tree = place / "tree"
    for root in (*ROOTS, "tests"):
        shutil.copytree(REPOSITORY / root, tree / root, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    return tree


@contextmanager
def as_the_unit_says(node: InstalledNode, place: Path, *, name: str = NAME) -> Iterator[Path]:
    """The unit's command, by its user and group, with its mask, in the folder that systemd would make. The socket."""
    unit = {setting: lines.pop() for setting, lines in settings_of(UNIT).items() if len(lines) == 1}
    group = grp.getgrnam(unit["Group"]).gr_gid
    run = place / unit["RuntimeDirectory"]
    run.mkdir()
    os.chown(run, GUARD, group)
    os.chmod(run, int(unit["RuntimeDirectoryMode"], 8))
    command = unit["ExecStart"].replace("/etc/oncofed", str(node.folder.root)).replace("/run/", f"{place}/")
    program, site, *words = command.replace(NAME, name).split()
    assert (Path(program).name, site) == ("oncofed", "site")
    arguments = [repr(UIDS), str(group), unit["UMask"], *words]
    tree = tree_that_all_may_read(place)
    roots = os.pathsep.join(str(tree / root) for root in ROOTS)
    with subprocess.Popen(
        [sys.executable, "-c", SERVE, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tree,
        env={**os.environ, "PYTHONPATH": roots},
    ) as server:
        assert server.stdout is not None
        try:
            said = [server.stdout.readline() for _ in range(3)]
            assert said[0].startswith("Explaining at least 1,230 patients"), said
            assert said[-1] == f"The pages are at https://{name}\n", said
            yield run / "pages.sock"
        finally:
            server.terminate()


@contextmanager
def behind_nginx(node: InstalledNode, place: Path, upstream: Path, *, server: str = SERVER) -> Iterator[Proxied]:
    """server: the block of the page, with this machine's places in it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    certificate(place / "prognosis")
    temporary = place / "proxy"
    temporary.mkdir()
    shutil.chown(temporary, "www-data", "www-data")
    for before, after in {
        "listen 443 ssl": f"listen 127.0.0.1:{port} ssl sndbuf=4k",
        "/etc/ssl/prognosis.crt": str(place / "prognosis.crt"),
        "/etc/ssl/prognosis.key": str(place / "prognosis.key"),
        "/run/oncofed-pages/pages.sock": str(upstream),
    }.items():
        assert before in server
        server = server.replace(before, after)
    paths = "".join(
        f"{each}_temp_path {temporary}/{each};\n" for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    configuration = place / "nginx.conf"
    configuration.write_text(
        f"user www-data;\ndaemon off;\npid {place}/pid;\nerror_log {place}/error.log warn;\nevents {{}}\n"
        f"http {{\n{paths}gzip on;\n{SMALL}access_log {place}/access.log;\n{server}}}\n"
    )
    assert NGINX is not None
    with subprocess.Popen([NGINX, "-c", configuration, "-e", place / "error.log"]) as proxy:
        try:
            found = Proxied(node, upstream, port, temporary)
            until(lambda: listens(port))
            yield found
        finally:
            proxy.terminate()


def until(reached: Callable[[], bool]) -> None:
    for _ in range(200):
        if reached():
            return
        time.sleep(0.05)
    raise AssertionError("it never happened")


def listens(port: int) -> bool:
    with socket.socket() as line:
        return line.connect_ex(("127.0.0.1", port)) == 0


def certificate(stem: Path) -> None:
    """Of nobody but itself, for an hour."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    stem.with_suffix(".crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    stem.with_suffix(".key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    )


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with TemporaryDirectory(prefix="oncofed-") as name:
        os.chmod(name, 0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def here(place: Path) -> Iterator[Proxied]:
    with (
        delivered_node() as node,
        as_the_unit_says(node, place) as upstream,
        behind_nginx(node, place, upstream) as proxied,
    ):
        yield proxied


def test_a_clinician_signs_in_and_sees_a_patient_through_the_proxy(here: Proxied) -> None:
    with chromium(f"--host-resolver-rules=MAP {NAME}:443 127.0.0.1:{here.port}") as browser:
        context = browser.new_context(ignore_https_errors=True)
        visit = Visited(context.new_page(), f"https://{NAME}")
        visit.sign_in(Role.CLINICIAN)
        (cookie,) = context.cookies()
        assert (cookie["name"], cookie["secure"], cookie["httpOnly"]) == ("__Host-oncofed", True, True)
        assert (cookie["sameSite"], cookie["path"]) == ("Strict", "/")
        visit.find(PATIENT)
        assert visit.page.url.startswith(f"https://{NAME}/patients/")
        assert PATIENT in visit.page.inner_text("h1")
        assert PATIENT not in visit.page.url
        visit.page.get_by_role("link", name="Cohort").click()
        visit.drawn(4)
        visit.page.get_by_role("button", name="Sign out").click()
        visit.page.wait_for_url("**/sign-in")
        assert context.cookies() == []
        assert visit.troubles == []
        assert visit.left_the_host() == []
        context.close()
    events = [event for event, _, by in here.events() if by == "clinician"]
    assert events == ["page_sign_in", "page_search", "page_patient", "page_cohort", "page_sign_out"]


def test_another_name_is_refused_through_the_proxy_too(here: Proxied) -> None:
    with here.client("evil.example") as client:
        assert client.get("/sign-in").status_code == 421
    assert here.events()[-1] == ("page_refused", "host", "")
    with here.client() as client:
        answer = client.get("/sign-in")
        assert answer.status_code == 200
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
        assert answer.headers["x-frame-options"] == "DENY"
        assert "content-encoding" not in answer.headers
        assert client.get("/").headers["location"] == "/sign-in"


def test_a_form_from_another_site_is_refused_through_the_proxy_too(here: Proxied) -> None:
    form = {"name": "clinician", "password": PASSWORD}
    with here.client() as client:
        for origin, status in ((f"https://{NAME}", 303), ("https://evil.example", 403), (f"https://{NAME}:8443", 403)):
            assert client.post("/sign-in", data=form, headers={"origin": origin}).status_code == status, origin
        assert client.post("/sign-in", content=b"x" * 17_000).status_code == 413


def test_who_guesses_slows_down_one_name_and_not_everybody_behind_the_proxy(here: Proxied) -> None:
    with here.client() as client:
        for status in (401, 401, 401, 429):
            wrong = client.post("/sign-in", data={"name": "administrator", "password": "wrong"})
            assert wrong.status_code == status
        assert client.post("/sign-in", data={"name": "clinician", "password": PASSWORD}).status_code == 303


def test_only_the_proxy_reaches_the_socket(here: Proxied) -> None:
    assert stat.S_IMODE(here.socket.stat().st_mode) == 0o660
    assert here.socket.stat().st_uid == GUARD
    www = grp.getgrnam("www-data").gr_gid
    assert here.socket.stat().st_gid == www
    assert not can(RELAY, CONNECT, here.socket)
    assert not can(NOBODY, CONNECT, here.socket)
    assert can(33 if www == 33 else GUARD, CONNECT, here.socket)


def test_what_the_pages_write_belongs_to_the_guard_alone(here: Proxied) -> None:
    written = [here.node.folder.audit_log, accounts_file(here.node.folder), here.node.folder.guard / "pages.key"]
    for path in written:
        assert path.stat().st_uid == GUARD
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_another_port_than_443_stands_in_the_name(here: Proxied, place: Path) -> None:
    other = place / "other"
    other.mkdir()
    os.chmod(other, 0o755)
    name = f"{NAME}:8443"
    with (
        as_the_unit_says(here.node, other, name=name) as upstream,
        behind_nginx(here.node, other, upstream) as proxied,
        proxied.client(name) as client,
    ):
        form = {"name": "clinician", "password": PASSWORD}
        assert client.post("/sign-in", data=form, headers={"origin": f"https://{name}"}).status_code == 303
        assert client.get("/sign-in", headers={"host": NAME}).status_code == 421


def test_no_page_comes_to_lie_on_the_proxys_disk(here: Proxied, place: Path) -> None:
    """A reader who takes nothing off the line: what does not fit into memory would go to a file."""
    careless = place / "careless"
    careless.mkdir()
    os.chmod(careless, 0o755)
    assert "proxy_max_temp_file_size 0;" in SERVER
    without = re.sub(r"proxy_max_temp_file_size 0;.*", "", SERVER)
    with behind_nginx(here.node, careless, here.socket, server=without) as other:
        assert files_while_nobody_reads(other)
    assert not files_while_nobody_reads(here)


def files_while_nobody_reads(proxied: Proxied) -> bool:
    """Whether nginx holds an open file below its temporary folder; it unlinks some of them at once."""
    with proxied.client() as client:
        client.post("/sign-in", data={"name": "clinician", "password": PASSWORD})
        session = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    lines = []
    for _ in range(12):
        plain = socket.socket()
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        plain.connect(("127.0.0.1", proxied.port))
        line = trusting().wrap_socket(plain)
        lines.append(line)
        request = f"GET /cohort HTTP/1.1\r\nHost: {NAME}\r\nCookie: {session}\r\n\r\n"
        line.sendall(request.encode() * 20)  # one answer after the other, none of them taken
    try:
        for _ in range(60):
            if any(str(proxied.temporary) in held for held in open_files("nginx")):
                return True
            time.sleep(0.05)
        return False
    finally:
        for line in lines:
            line.close()


def open_files(program: str) -> list[str]:
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and (process / "comm").read_text().strip() == program:
                found += [os.readlink(each) for each in (process / "fd").iterdir()]
        except OSError:
            continue
    return found
