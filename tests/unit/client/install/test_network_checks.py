"""Does the doctor tell a closed firewall, a proxy, a stranger's certificate and a wrong clock apart?"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from unittest.mock import patch

import pytest
from cryptography import x509
from flwr.supernode.fleet_http_client import FleetHttpClient
from tests.end_to_end.flower_processes import enrol, free_port, new_coordinator, new_node
from tests.loopback_servers import connect_proxy, http_server
from tests.unit.client.test_other_kinds import soon

from oncofed.client.install import doctor, node_metrics
from oncofed.client.install.findings import Finding, Verdict
from oncofed.client.install.folder import Coordinator, NodeFolder, SiteSettings, read_site
from oncofed.client.install.network_checks import authority_until, coordinator_findings, port_findings
from oncofed.server.deployment.certificates import SERVER_DAYS, renew_server_certificate
from oncofed.server.deployment.folder import CoordinatorFolder, CoordinatorSettings, read_settings

NOW = datetime.now(UTC)
NOBODY = 65_534
FINE, WARNING, FAULT = Verdict.FINE, Verdict.WARNING, Verdict.FAULT


@dataclass(frozen=True)
class Enrolled:
    coordinator: CoordinatorFolder
    node: NodeFolder

    @property
    def settings(self) -> CoordinatorSettings:
        return read_settings(self.coordinator)

    @property
    def port(self) -> int:
        return self.settings.listen_port

    @property
    def certificate(self) -> Path:
        return self.coordinator.server_certificate

    def findings(self, *, now: datetime = NOW, address: str | None = None) -> dict[str, Finding]:
        site = read_site(self.node)
        if address is not None:
            assert site.coordinator is not None
            site = replace(site, coordinator=replace(site.coordinator, address=address))
        return {finding.topic: finding for finding in coordinator_findings(self.node, site, lambda: now)}


@pytest.fixture(autouse=True)
def no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "http_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="module")
def enrolled_once(tmp_path_factory: pytest.TempPathFactory) -> Enrolled:
    root = tmp_path_factory.mktemp("consortium")
    here = Enrolled(new_coordinator(root / "coordinator"), new_node(root / "Bonn", "Bonn"))
    enrol(here.coordinator, here.node)
    return here


@pytest.fixture
def enrolled(enrolled_once: Enrolled) -> Iterator[Enrolled]:
    kept = enrolled_once.node.ca_certificate.read_bytes()
    yield enrolled_once
    enrolled_once.node.ca_certificate.write_bytes(kept)
    renew_server_certificate(enrolled_once.coordinator, enrolled_once.settings, now=NOW)


def told(moment: datetime) -> str:
    return format_datetime(moment, usegmt=True)


def test_a_coordinator_that_answers_with_the_pinned_certificate_is_fine(enrolled: Enrolled) -> None:
    with http_server(port=enrolled.port, certificate=enrolled.certificate, date=told(NOW)):
        found = enrolled.findings()
    assert {topic: finding.verdict for topic, finding in found.items()} == {
        "coordinator": FINE,
        "clock": FINE,
        "certificate": FINE,
    }
    assert "directly" in found["coordinator"].what


def test_one_that_is_not_well_is_not(enrolled: Enrolled) -> None:
    with http_server(port=enrolled.port, certificate=enrolled.certificate, status=503):
        found = enrolled.findings()["coordinator"]
    assert (found.verdict, "503" in found.what) == (FAULT, True)


def test_nobody_there_is_told_with_the_reason_and_the_firewall(enrolled: Enrolled) -> None:
    found = enrolled.findings()["coordinator"]
    assert found.verdict is FAULT
    assert "refused" in found.what
    assert "firewall" in found.remedy


@pytest.mark.parametrize("seconds", [61, -61])
def test_a_clock_that_is_wrong_is_told(seconds: int, enrolled: Enrolled) -> None:
    clock = told(NOW + timedelta(seconds=seconds))
    with http_server(port=enrolled.port, certificate=enrolled.certificate, date=clock):
        found = enrolled.findings(now=NOW.replace(microsecond=0))
    assert found["clock"].verdict is FAULT
    assert "61 s" in found["clock"].what
    assert "time service" in found["clock"].remedy


@pytest.mark.parametrize("through_proxy", [False, True])
@pytest.mark.parametrize(("days", "verdict"), [(31, FINE), (29, WARNING)])
def test_the_end_of_the_servers_certificate_is_announced_thirty_days_before(
    days: int, verdict: Verdict, through_proxy: bool, enrolled: Enrolled, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = datetime.now(UTC).replace(microsecond=0) + timedelta(days=SERVER_DAYS)
    renew_server_certificate(enrolled.coordinator, enrolled.settings, now=ends - timedelta(days=SERVER_DAYS))
    with connect_proxy() as proxy, http_server(port=enrolled.port, certificate=enrolled.certificate):
        if through_proxy:
            monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        found = enrolled.findings(now=ends - timedelta(days=days))["certificate"]
        assert bool(proxy.asked) == through_proxy
    assert (found.verdict, found.until) == (verdict, ends)
    assert f"{ends:%Y-%m-%d}" in found.what
    assert ("--renew-certificate" in found.remedy) == (verdict is WARNING)


@pytest.mark.parametrize("date", [None, "yesterday", "Mon, 23 Nov 2026 12:00:00 -0000"])
def test_a_date_that_is_odd_or_missing_ends_nothing(date: str | None, enrolled: Enrolled) -> None:
    with http_server(port=enrolled.port, certificate=enrolled.certificate, date=date):
        assert enrolled.findings()["coordinator"].verdict is FINE


def test_a_certificate_of_another_authority_is_told_as_that(enrolled: Enrolled, tmp_path: Path) -> None:
    stranger = new_coordinator(tmp_path / "stranger")
    with http_server(port=enrolled.port, certificate=stranger.server_certificate):
        found = enrolled.findings()
    assert set(found) == {"TLS"}
    assert "somebody else" in found["TLS"].what
    assert "call the coordinator" in found["TLS"].remedy


def test_a_certificate_that_has_expired_points_to_the_clock_first(enrolled: Enrolled) -> None:
    renew_server_certificate(enrolled.coordinator, enrolled.settings, now=NOW - timedelta(days=900))
    with http_server(port=enrolled.port, certificate=enrolled.certificate):
        found = enrolled.findings()["TLS"]
    assert found.verdict is FAULT
    assert "by this machine's clock" in found.what
    assert "time service" in found.remedy


def test_a_certificate_for_another_name_is_told_as_that(enrolled: Enrolled) -> None:
    with http_server(host="127.0.0.2", port=enrolled.port, certificate=enrolled.certificate):
        found = enrolled.findings(address=f"127.0.0.2:{enrolled.port}")["TLS"]
    assert "another name" in found.what


def test_the_same_through_a_proxy_whose_password_is_not_shown(
    enrolled: Enrolled, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        http_server(port=enrolled.port, certificate=enrolled.certificate, date=told(NOW)),
        connect_proxy() as proxy,
    ):
        monkeypatch.setenv("HTTPS_PROXY", f"http://hospital:geheim@127.0.0.1:{proxy.port}")
        found = enrolled.findings()
    assert proxy.asked == [f"127.0.0.1:{enrolled.port}"]
    assert found["coordinator"].verdict is FINE
    assert f"through the proxy 127.0.0.1:{proxy.port}" in found["coordinator"].what
    assert "geheim" not in "".join(map(str, found.values()))


@pytest.mark.parametrize("written", ["hospital:geheim@127.0.0.1:{port}", "http://hospital:geheim@127.0.0.1:{port}/"])
def test_a_proxy_that_refuses_is_told_without_its_password(
    written: str, enrolled: Enrolled, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connect_proxy(refuses=True) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", written.format(port=proxy.port))
        found = enrolled.findings()
    assert found["coordinator"].verdict is FAULT
    assert "through the proxy 127.0.0.1:" in found["coordinator"].what
    assert "403" in found["coordinator"].what
    assert "geheim" not in "".join(map(str, found.values()))


def test_a_proxy_that_the_coordinator_is_exempt_from_is_not_blamed(
    enrolled: Enrolled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with http_server(port=enrolled.port, certificate=enrolled.certificate):
        found = enrolled.findings()["coordinator"]
    assert (found.verdict, "NO_PROXY" in found.what) == (FINE, True)


def test_an_address_of_a_proxy_that_cannot_be_one_is_a_finding(
    enrolled: Enrolled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "gopher://user:geheim@proxy:70")
    found = enrolled.findings()["coordinator"]
    assert found.verdict is FAULT
    assert "geheim" not in str(found)


def test_a_node_that_is_not_enrolled_is_told_the_next_step(tmp_path: Path) -> None:
    node = new_node(tmp_path / "Bonn", "Bonn")
    (found,) = coordinator_findings(node, read_site(node), lambda: NOW)
    assert (found.verdict, "site accept" in found.remedy) == (FAULT, True)


@pytest.mark.parametrize("content", [None, b"no certificate", 1 << 40], ids=["lost", "another", "a terabyte"])
def test_a_lost_or_damaged_authority_is_told(content: bytes | int | None, enrolled: Enrolled) -> None:
    """Root runs the doctor, and the folder is the node's user's."""
    if content is None:
        enrolled.node.ca_certificate.unlink()
    elif isinstance(content, int):
        os.truncate(enrolled.node.ca_certificate, content)
    else:
        enrolled.node.ca_certificate.write_bytes(content)
    found = enrolled.findings()["TLS"]
    assert (found.verdict, "lost or damaged" in found.what) == (FAULT, True)


def test_what_stands_around_a_certificate_means_nothing(enrolled: Enrolled) -> None:
    content = enrolled.node.ca_certificate.read_bytes()
    enrolled.node.ca_certificate.write_bytes(b"# of the registry\r\n" + content.replace(b"\n", b"\r\n"))
    with http_server(port=enrolled.port, certificate=enrolled.certificate, date=told(NOW)):
        found = enrolled.findings()
    assert "TLS" not in found
    assert found["coordinator"].verdict is FINE


@pytest.mark.parametrize(
    "before", ["# für die Prüfung\n".encode(), b"\xef\xbb\xbf", b"  "], ids=["remark", "mark", "blanks"]
)
def test_a_certificate_with_which_the_node_cannot_start_is_damaged(enrolled: Enrolled, before: bytes) -> None:
    """Flower reads ASCII alone. The truth here is Flower's own client."""
    content = before + enrolled.node.ca_certificate.read_bytes()
    with pytest.raises((ValueError, ssl.SSLError)):
        FleetHttpClient.from_server_address("127.0.0.1:1", False, content, [])
    enrolled.node.ca_certificate.write_bytes(content)
    assert "lost or damaged" in enrolled.findings()["TLS"].what


def test_of_two_certificates_one_may_not_be_cut_short_and_the_first_end_is_told(enrolled: Enrolled) -> None:
    content = enrolled.node.ca_certificate.read_bytes()
    sooner = enrolled.certificate.read_bytes()
    ends = x509.load_pem_x509_certificate(sooner).not_valid_after_utc
    of_authority = x509.load_pem_x509_certificate(content).not_valid_after_utc
    assert ends < of_authority
    enrolled.node.ca_certificate.write_bytes(content + sooner)
    assert authority_until(enrolled.node, NOW) == ends
    assert (
        authority_until(enrolled.node, ends + timedelta(days=1)) == of_authority
    )  # the old one of two no longer counts
    enrolled.node.ca_certificate.write_bytes(content + sooner[:200])
    assert "lost or damaged" in enrolled.findings()["TLS"].what


@contextmanager
def somebody_who_may_not_look(folder: Path) -> Iterator[None]:
    mode = folder.stat().st_mode
    folder.chmod(0)
    as_root = os.geteuid() == 0
    if as_root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if as_root:
            os.seteuid(0)
        folder.chmod(mode)


def test_an_authority_that_this_user_may_not_look_at_is_not_lost(enrolled: Enrolled) -> None:
    """Who is told that it is would enrol a whole node anew."""
    site = read_site(enrolled.node)
    with somebody_who_may_not_look(enrolled.node.node):
        with pytest.raises(PermissionError):
            [*coordinator_findings(enrolled.node, site, lambda: NOW)]
        (found,) = doctor._examined("coordinator", lambda: coordinator_findings(enrolled.node, site, lambda: NOW))
        assert [*node_metrics._certificates(enrolled.node, (found,), NOW)] == []
    assert (found.verdict, "may not look at" in found.what, "as root" in found.remedy) == (WARNING, True, True)


@pytest.mark.parametrize("lay", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")], ids=["pipe", "device"])
def test_the_authority_is_read_once(lay: Callable[[Path], None], enrolled: Enrolled) -> None:
    """Its folder is the node's user's, who may lay another file there when it has been looked at."""
    looked = enrolled.node.ca_certificate

    def replaced(*arguments: object, **named: object) -> ssl.SSLContext:
        looked.unlink()
        lay(looked)
        return made(*arguments, **named)

    made: Callable[..., ssl.SSLContext] = ssl.create_default_context
    with (
        http_server(port=enrolled.port, certificate=enrolled.certificate),
        patch.object(ssl, "create_default_context", replaced),
        soon(),
    ):
        found = enrolled.findings()
    looked.unlink()
    assert found["coordinator"].verdict is FINE


@pytest.mark.parametrize(("days", "verdict"), [(3630, WARNING), (3660, FAULT)])
def test_an_authority_that_ends_is_told_in_time(days: int, verdict: Verdict, enrolled: Enrolled) -> None:
    found = enrolled.findings(now=NOW + timedelta(days=days))["TLS"]
    assert found.verdict is verdict


def site_at(port: int) -> SiteSettings:
    return SiteSettings("Bonn", f"127.0.0.1:{port}", Coordinator("h:1", ""))


def test_a_port_is_free_the_supernodes_or_another_programs() -> None:
    (free,) = port_findings(site_at(free_port()))
    assert (free.verdict, "is free" in free.what) == (FINE, True)
    with http_server() as port:  # as Flower's /health: 200 and nothing
        (ours,) = port_findings(site_at(port))
    assert (ours.verdict, "SuperNode listens" in ours.what) == (FINE, True)
    with http_server(content=b"<html>It works!") as port:
        (page,) = port_findings(site_at(port))
    with http_server(status=404) as port:
        (other,) = port_findings(site_at(port))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        (mute,) = port_findings(site_at(int(silent.getsockname()[1])))
    for found in (page, other, mute):
        assert (found.verdict, "another program" in found.what) == (FAULT, True)
        assert "[sockets] runtime" in found.remedy
