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
from oncofed.secret_files import LARGEST_SECRET

LARGEST_CLOCK_SKEW = timedelta(seconds=60)
SHORTEST_VALIDITY = timedelta(days=30)
"""Of a certificate: an end that is nearer is told."""
_NETWORK_SECONDS = 10.0
TIME_SERVICE = "Start a time service: systemctl enable --now systemd-timesyncd"


def coordinator_findings(folder: NodeFolder, site: SiteSettings, now: Callable[[], datetime]) -> Iterator[Finding]:
    """Whether this node is enrolled, and reaches the coordinator it pinned."""
    if site.coordinator is None:
        remedy = f"oncofed site accept {folder.root} acceptance.json --fingerprint '...'"
        yield Finding("coordinator", Verdict.FAULT, "this node is not enrolled yet", remedy)
        return
    pinned = _authority(folder, now())
    if pinned is None:
        what = f"the pinned certificate {folder.ca_certificate} is lost or damaged"
        remedy = "Restore it from a backup; or take [coordinator] out of site.toml and accept again."
        yield Finding("TLS", Verdict.FAULT, what, remedy)
        return
    text, until = pinned
    left = until - now()
    if left < SHORTEST_VALIDITY:
        remedy = "Ask the coordinator for a new acceptance."
        verdict = Verdict.FAULT if left < timedelta(0) else Verdict.WARNING
        yield Finding("TLS", verdict, f"the pinned authority ends on {until:%Y-%m-%d}", remedy, until)
    yield from _reached(text, site.coordinator.address, now)


def authority_until(folder: NodeFolder, now: datetime) -> datetime | None:
    """When the pinned authority ends; None where it is lost or damaged. Raises PermissionError: that is neither."""
    found = _authority(folder, now)
    return None if found is None else found[1]


def _authority(folder: NodeFolder, now: datetime) -> tuple[str, datetime] | None:
    """In PEM, and when the next of them ends, or the last has. Read once: its user may lay another there."""
    try:
        content = plain_bytes(folder.ca_certificate, most=LARGEST_SECRET)
        text = content.decode("ascii")  # as Flower reads it
        ssl.create_default_context(cadata=text)  # of which one is cut short, too
        ends = sorted(each.not_valid_after_utc for each in x509.load_pem_x509_certificates(content))
        return text, next((each for each in ends if each > now), ends[-1])
    except (FileNotFoundError, OtherKind, ValueError, ssl.SSLError):
        return None


def _reached(authority: str, address: str, now: Callable[[], datetime]) -> Iterator[Finding]:
    way = _way_to(address)
    context = ssl.create_default_context(cadata=authority)
    try:
        with (
            httpx.Client(verify=context, timeout=_NETWORK_SECONDS) as client,
            client.stream("GET", f"https://{address}/health") as answer,
        ):
            until = _server_until(answer)
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
    if until is not None:
        yield _server_certificate(address, until, now())
    if answer.status_code != httpx.codes.OK:
        what = f"{address} answers {way}, with the pinned certificate, but is not well (status {answer.status_code})"
        yield Finding("coordinator", Verdict.FAULT, what, "Tell the coordinator; it is at their end.")
        return
    yield Finding("coordinator", Verdict.FINE, f"{address} answers {way}, with the pinned certificate")


def _server_until(answer: httpx.Response) -> datetime | None:
    """When the certificate ends that this server has shown, behind whatever proxy."""
    shown = answer.extensions["network_stream"].get_extra_info("ssl_object")
    ends = None if shown is None else shown.getpeercert().get("notAfter")
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(ends), UTC) if isinstance(ends, str) else None


def _server_certificate(address: str, until: datetime, now: datetime) -> Finding:
    what = f"the one that {address} shows ends on {until:%Y-%m-%d}"
    if until - now >= SHORTEST_VALIDITY:
        return Finding("certificate", Verdict.FINE, what, until=until)
    remedy = (
        "Tell the coordinator, who makes the next one (oncofed coordinator init COORD --renew-certificate) and starts "
        "the server again; here nothing is to be done."
    )
    return Finding("certificate", Verdict.WARNING, f"{what}: after that day no hospital connects", remedy, until)


def _mistrusted(address: str, reason: str, now: datetime) -> Finding:
    if "not yet valid" in reason or "has expired" in reason:
        what = f"the certificate of {address} is not valid now, by this machine's clock ({now:%Y-%m-%d %H:%M} UTC)"
        remedy = f"If the clock is wrong: {TIME_SERVICE}. If it is right, the coordinator must renew its certificate."
    elif "mismatch" in reason:
        what = f"{address} shows the coordinator's certificate, but for another name or address"
        remedy = "The coordinator adds it to coordinator.toml: oncofed coordinator init COORD --renew-certificate"
    else:
        what = f"{address} shows a certificate of somebody else"
        remedy = (
            "A proxy that opens TLS must let this address through. Else call the coordinator before anything else: if "
            "it has a new authority, it sends an acceptance (oncofed site accept NODE FILE --change)."
        )
    return Finding("TLS", Verdict.FAULT, what, remedy)


def clock_difference(told: str | None, now: datetime) -> timedelta | None:
    """How far this machine's clock is from what a server's answer told in its header `Date`; None where it did not."""
    try:
        at = None if told is None else parsedate_to_datetime(told)
    except ValueError:
        return None
    return None if at is None else abs((at if at.tzinfo else at.replace(tzinfo=UTC)) - now)


def _clock(told: str | None, now: datetime) -> Iterator[Finding]:
    skew = clock_difference(told, now)
    if skew is None:
        return
    what = f"differs from the coordinator's by {skew.total_seconds():.0f} s"
    if skew > LARGEST_CLOCK_SKEW:
        yield Finding("clock", Verdict.FAULT, what, TIME_SERVICE)
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
