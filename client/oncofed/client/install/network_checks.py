"""Does the way from this node to its coordinator work: name, firewall, proxy, TLS, clock; and is the node's port free?

One request to /health, over whatever proxy the environment names, trusting the pinned authority alone, as the SuperNode
does it. A password in a proxy's address is never shown.
"""

from __future__ import annotations

import socket
import ssl
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import httpx
from cryptography import x509

from oncofed.client.install.findings import Finding, Verdict
from oncofed.client.install.folder import LOOPBACK, NodeFolder, SiteSettings
from oncofed.plain_file import OtherKind, plain_bytes

_LARGEST_CLOCK_SKEW = timedelta(seconds=60)
_SHORTEST_VALIDITY = timedelta(days=30)
_NETWORK_SECONDS = 10.0
_TIME_SERVICE = "Start a time service: systemctl enable --now systemd-timesyncd"


def coordinator_findings(folder: NodeFolder, site: SiteSettings, now: Callable[[], datetime]) -> Iterator[Finding]:
    """Whether this node is enrolled, and reaches the coordinator it pinned."""
    if site.coordinator is None:
        remedy = f"oncofed site accept {folder.root} acceptance.json --fingerprint '...'"
        yield Finding("coordinator", Verdict.FAULT, "this node is not enrolled yet", remedy)
        return
    try:
        authority = x509.load_pem_x509_certificate(plain_bytes(folder.ca_certificate))
    except (FileNotFoundError, OtherKind, ValueError):
        what = f"the pinned certificate {folder.ca_certificate} is lost or damaged"
        remedy = "Restore it from a backup; or take [coordinator] out of site.toml and accept again."
        yield Finding("TLS", Verdict.FAULT, what, remedy)
        return
    left = authority.not_valid_after_utc - now()
    if left < _SHORTEST_VALIDITY:
        remedy = "Ask the coordinator for a new acceptance."
        verdict = Verdict.FAULT if left < timedelta(0) else Verdict.WARNING
        yield Finding("TLS", verdict, f"the pinned authority ends on {authority.not_valid_after_utc:%Y-%m-%d}", remedy)
    yield from _reached(folder, site.coordinator.address, now)


def _reached(folder: NodeFolder, address: str, now: Callable[[], datetime]) -> Iterator[Finding]:
    way = _way_to(address)
    context = ssl.create_default_context(cafile=str(folder.ca_certificate))
    try:
        answer = httpx.get(f"https://{address}/health", verify=context, timeout=_NETWORK_SECONDS)
    except httpx.HTTPError as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            yield _mistrusted(address, str(error), now())
            return
        reason = str(error) or type(error).__name__
        remedy = (
            "Is the coordinator running? Allow TCP to it in the firewall, or set HTTPS_PROXY (and NO_PROXY=127.0.0.1) "
            "in the service's environment."
        )
        yield Finding("coordinator", Verdict.FAULT, f"{address} cannot be reached {way}: {reason}", remedy)
        return
    except (ValueError, httpx.InvalidURL):
        remedy = "Write it as http://proxy.example:3128."
        yield Finding("coordinator", Verdict.FAULT, "the address in HTTPS_PROXY cannot be used", remedy)
        return
    yield from _clock(answer.headers.get("date"), now())
    if answer.status_code != httpx.codes.OK:
        what = f"{address} answers {way}, with the pinned certificate, but is not well (status {answer.status_code})"
        yield Finding("coordinator", Verdict.FAULT, what, "Tell the coordinator; it is at their end.")
        return
    yield Finding("coordinator", Verdict.FINE, f"{address} answers {way}, with the pinned certificate")


def _mistrusted(address: str, reason: str, now: datetime) -> Finding:
    if "not yet valid" in reason or "has expired" in reason:
        what = f"the certificate of {address} is not valid now, by this machine's clock ({now:%Y-%m-%d %H:%M} UTC)"
        remedy = f"If the clock is wrong: {_TIME_SERVICE}. If it is right, the coordinator must renew its certificate."
    elif "mismatch" in reason:
        what = f"{address} shows the coordinator's certificate, but for another name or address"
        remedy = "The coordinator adds it to coordinator.toml: oncofed coordinator init COORD --renew-certificate"
    else:
        what = f"{address} shows a certificate of somebody else"
        remedy = "A proxy that opens TLS must let this address through. Else call the coordinator before anything else."
    return Finding("TLS", Verdict.FAULT, what, remedy)


def _clock(told: str | None, now: datetime) -> Iterator[Finding]:
    try:
        at = None if told is None else parsedate_to_datetime(told)
    except ValueError:
        at = None
    if at is None:
        return
    skew = abs((at if at.tzinfo else at.replace(tzinfo=UTC)) - now)
    what = f"differs from the coordinator's by {skew.total_seconds():.0f} s"
    if skew > _LARGEST_CLOCK_SKEW:
        yield Finding("clock", Verdict.FAULT, what, _TIME_SERVICE)
    else:
        yield Finding("clock", Verdict.FINE, what)


def _way_to(address: str) -> str:
    proxies = urllib.request.getproxies()
    proxy = proxies.get("https") or proxies.get("all")
    if not proxy:
        return "directly (no HTTPS_PROXY is set)"
    if urllib.request.proxy_bypass(address.rpartition(":")[0]):
        return "directly (NO_PROXY names it)"
    return f"through the proxy {_host_of(proxy)}"


def _host_of(proxy: str) -> str:
    """Without the user and password that may stand before it."""
    return proxy.rpartition("@")[2].rpartition("://")[2].partition("/")[0]


def port_findings(site: SiteSettings) -> Iterator[Finding]:
    """Whether the port where the SuperNode gives work to the relay is free, or the SuperNode's."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        listening = probe.connect_ex((LOOPBACK, site.runtime_port)) == 0
    if not listening:
        yield Finding("port", Verdict.FINE, f"{site.runtime} is free (the SuperNode is not running)")
        return
    try:
        answer = httpx.get(f"http://{site.runtime}/health", timeout=2.0, trust_env=False)
        ours = answer.status_code == httpx.codes.OK and not answer.content  # as Flower's does
    except httpx.HTTPError:
        ours = False
    if ours:
        yield Finding("port", Verdict.FINE, f"the SuperNode listens on {site.runtime}")
    else:
        remedy = "Choose another port in site.toml: [sockets] runtime."
        yield Finding("port", Verdict.FAULT, f"another program listens on {site.runtime}", remedy)
