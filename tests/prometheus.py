"""What does a real Prometheus make of our figures? A server of its own on loopback that reads one page of text.

The Debian package `prometheus` brings the programs (`.ci/run` installs it). The server is ended by its process id.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from tests.end_to_end.flower_processes import free_port, until

MONITORING = Path(__file__).resolve().parents[1] / "docs" / "monitoring"
_SETTINGS = """
global: {{scrape_interval: 500ms, evaluation_interval: 500ms}}
rule_files: ["{rules}"]
scrape_configs:
  - job_name: oncofed
    honor_timestamps: true
    static_configs: [{{targets: ["127.0.0.1:{page}"]}}]
"""


@dataclass
class Page:
    """What node_exporter would serve: the text of the file. port: on loopback."""

    text: str = ""
    port: int = 0


@dataclass(frozen=True)
class Prometheus:
    page: Page
    port: int
    process: subprocess.Popen[bytes] = field(repr=False)

    def asked(self, path: str, **words: str) -> Any:
        """The data of an answer of its HTTP interface; an error of its own is the test's."""
        query = urllib.parse.urlencode(words)
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/{path}?{query}", timeout=20) as answer:
            told = json.load(answer)
        assert told["status"] == "success", told
        return told["data"]

    def samples(self, expression: str) -> dict[tuple[tuple[str, str], ...], float]:
        """Values now, by name and labels without those of the scrape."""
        found = {}
        for row in self.asked("query", query=expression)["result"]:
            labels = {name: text for name, text in row["metric"].items() if name not in ("job", "instance")}
            found[tuple(sorted(labels.items()))] = float(row["value"][1])
        return found

    def firing(self) -> dict[str, list[Mapping[str, str]]]:
        """Labels of the alerts that fire, by name."""
        found: dict[str, list[Mapping[str, str]]] = {}
        for alert in self.asked("alerts")["alerts"]:
            if alert["state"] == "firing":
                found.setdefault(alert["labels"]["alertname"], []).append(alert["labels"])
        return found

    def shows(self, text: str) -> None:
        """From now on the page is this, and has been read, and the rules looked at, at least twice."""
        self.page.text = text
        for _ in range(2):
            before = self._evaluated()

            def looked(before: str = before) -> bool:
                return self._scraped() > before and self._evaluated() > before

            until(looked, seconds=60, what="it has looked")

    def _scraped(self) -> str:
        found = [each for each in self.asked("targets")["activeTargets"] if each["health"] == "up"]
        return str(found[0]["lastScrape"])[:26] if found else ""

    def _evaluated(self) -> str:
        return min((str(group["lastEvaluation"])[:26] for group in self.asked("rules")["groups"]), default="")


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """What it says, or the test is skipped with the reason."""
    return subprocess.run([program("promtool"), *map(str, arguments)], capture_output=True, text=True, check=False)


def without_patience(rules: Path, folder: Path) -> Path:
    """The same rules, each of which fires at once."""
    path = folder / rules.name
    text, times = re.subn(r"(?m)^ +for: \w+\n", "", rules.read_text())
    assert times > 3
    path.write_text(text)
    return path


@contextmanager
def running_prometheus(rules: Path) -> Iterator[Prometheus]:
    """rules: as they stand in docs/monitoring; they fire at once here. Skips the test where it is not installed."""
    server_program = program("prometheus")
    page = Page()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = page.text.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name of the overridden one
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    page.port = server.server_address[1]
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    folder = Path(tempfile.mkdtemp(prefix="oncofed-prometheus-"))
    settings, port = folder / "prometheus.yml", free_port()
    settings.write_text(_SETTINGS.format(rules=without_patience(rules, folder), page=page.port))
    options = [f"--config.file={settings}", f"--storage.tsdb.path={folder / 'data'}"]
    process = subprocess.Popen(
        [server_program, *options, f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=folder,
    )
    try:
        started = Prometheus(page, port, process)
        _wait_until_it_answers(started)
        yield started
    finally:
        process.terminate()
        process.wait(timeout=30)
        server.shutdown()
        server.server_close()
        shutil.rmtree(folder)


def program(name: str) -> str:
    """Its path, or the test is skipped with the reason."""
    found = shutil.which(name)
    if found is None:
        pytest.skip("Prometheus is not installed: no test with a real one. Debian: apt-get install prometheus")
    return found


def _wait_until_it_answers(prometheus: Prometheus) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            prometheus.asked("query", query="vector(1)")
        except OSError:
            assert prometheus.process.poll() is None, "Prometheus ended at once"
            assert time.monotonic() < deadline, "Prometheus did not answer within 60 s"
            time.sleep(0.1)
        else:
            return
