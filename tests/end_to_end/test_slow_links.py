"""Does a study end, and count each answer once, where hospitals have slow links, or proxies that buffer or reset?

Four hospitals under the product's own supervisors, each behind a link of its own (`tests.slow_link`), none a good one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from tests.end_to_end.flower_processes import SITES, free_port
from tests.end_to_end.supervised_consortium import DISTRIBUTED, LOCAL, Supervised, supervised
from tests.slow_link import Link, SlowLink

from oncofed.client.install.folder import read_site

pytestmark = pytest.mark.slow

SLOW = Link(bytes_per_second=32_000, delay_seconds=0.4)  # 256 kbit/s, and 800 ms there and back
BUFFERS = Link(delay_seconds=0.05, holds_bytes=65_536, holds_seconds=2.0)
RESETS = Link(delay_seconds=0.05, resets_after=15.0)
GOES_SILENT = Link(goes_silent=8.0)
COMPANY = Link(connect=True)


@contextmanager
def behind(four: Supervised, links: dict[str, Link]) -> Iterator[dict[str, SlowLink]]:
    """These hospitals reach their coordinator through the link alone."""
    with ExitStack() as stack:
        found = {}
        for site, link in links.items():
            folder = four.nodes[site]
            pinned = read_site(folder).coordinator
            assert pinned is not None
            address = pinned.address
            host, _, port = address.rpartition(":")
            own = free_port()
            found[site] = stack.enter_context(SlowLink(listen=("127.0.0.1", own), forward=(host, int(port)), link=link))
            # Loopback never goes through a proxy; this name is in the coordinator's certificate, and nobody's DNS.
            seen_as = f"coordinator.test:{port}" if link.connect else f"{host}:{own}"
            settings = Path(folder.settings)
            settings.write_text(settings.read_text().replace(address, seen_as))
            four.stop(site)
            # As in proxy.env of the hospital's page.
            four.start_site(site, environment={"HTTPS_PROXY": f"http://{host}:{own}"} if link.connect else None)
        four.base.wait_online(len(SITES))
        yield found


@pytest.mark.parametrize("privacy", [LOCAL, DISTRIBUTED], ids=["local", "shared noise"])
def test_a_study_ends_behind_bad_links_and_nothing_counts_twice(privacy: str) -> None:
    with supervised() as four, behind(four, dict(zip(SITES, (SLOW, BUFFERS, RESETS, SLOW), strict=True))) as links:
        study = four.study("links", rounds=4, privacy=privacy, timeout=120, patience=600)
        four.begin(study)
        status = four.finish(study, seconds=900)
        assert status.outcome == "completed", (status, study.lines("events.jsonl"))
        four.sound(study, wasted=4)
        assert links[SITES[2]].connections > 2, "it was reset on the way"
        told = {site: each.connections for site, each in links.items()}
        print("seconds of each round", [line["seconds"] for line in study.rounds], "connections", told)


def test_links_that_go_silent_cost_time_and_a_companys_proxy_nothing() -> None:
    """A connection that passes nothing on any more, and is not closed: a VPN that fell, a firewall that forgot it."""
    with (
        supervised() as four,
        behind(four, dict(zip(SITES[:3], (GOES_SILENT, COMPANY, GOES_SILENT), strict=True))) as links,
    ):
        study = four.study("silent", rounds=4, privacy=LOCAL, timeout=120, patience=600)
        four.begin(study)
        status = four.finish(study, seconds=900)
        assert status.outcome == "completed", (status, study.lines("events.jsonl"))
        four.sound(study, wasted=4)
        told = {site: each.connections for site, each in links.items()}
        print("seconds of each round", [line["seconds"] for line in study.rounds], "connections", told)
        assert all(connections > 1 for connections in told.values()), told
        assert {name.partition(":")[0] for name in links[SITES[1]].asked} == {"coordinator.test"}
