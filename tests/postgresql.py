"""What is a real PostgreSQL to read from? A server of its own on loopback, in a folder that goes with it.

The Debian package `postgresql` brings the programs (`.ci/run` installs it). PostgreSQL refuses to run as root, so its
own user runs it then. The server is stopped by its process id.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

PASSWORD = "kA7-geheim"  # of a server that lives for one test


@dataclass(frozen=True)
class Server:
    port: int

    @property
    def url(self) -> str:
        return f"postgresql://oncofed:{PASSWORD}@127.0.0.1:{self.port}/postgres"


@contextmanager
def running_postgresql() -> Iterator[Server]:
    """A server, or the test is skipped with the reason."""
    psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed: no test against a real PostgreSQL")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    initdb = shutil.which("initdb") or (str(found[-1]) if found else None)
    if initdb is None:
        pytest.skip("PostgreSQL is not installed: no test against a real one. Debian: apt-get install postgresql")
    user = _unprivileged_user()
    folder = Path(tempfile.mkdtemp(prefix="oncofed-postgresql-"))
    try:
        (folder / "password").write_text(PASSWORD)
        if user is not None:
            for path in (folder, folder / "password"):
                os.chown(path, user.pw_uid, user.pw_gid)
        options = ["--username=oncofed", "--auth=scram-sha-256", f"--pwfile={folder / 'password'}", "--encoding=UTF8"]
        made = _started([initdb, f"--pgdata={folder / 'data'}", "--no-sync", "--locale=C", *options], user, folder)
        output, _ = made.communicate(timeout=60)
        assert made.returncode == 0, output.decode(errors="replace")
        port = _free_port()
        server = [str(Path(initdb).resolve().parent / "postgres"), "-D", str(folder / "data"), "-F"]
        process = _started([*server, "-h", "127.0.0.1", "-p", str(port), "-k", ""], user, folder)
        try:
            _wait_until_it_answers(psycopg, Server(port).url, process)
            yield Server(port)
        finally:
            process.send_signal(signal.SIGINT)  # its fast shutdown
            process.communicate(timeout=30)
    finally:
        shutil.rmtree(folder)


def _unprivileged_user() -> pwd.struct_passwd | None:
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        pytest.skip("there is no user `postgres`, and root may not run PostgreSQL: no test against a real one")


def _started(command: list[str], user: pwd.struct_passwd | None, folder: Path) -> subprocess.Popen[bytes]:
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    who = {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    return subprocess.Popen(command, cwd=folder, env=environment, **pipes, **who)  # type: ignore[call-overload,no-any-return]  # mypy takes no dicts for it


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


def _wait_until_it_answers(psycopg: object, url: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 30
    while True:
        try:
            psycopg.connect(url, connect_timeout=5).close()  # type: ignore[attr-defined]  # the module, when installed
        except Exception:  # whatever the driver says while the server starts
            assert process.poll() is None, "PostgreSQL ended at once"
            assert time.monotonic() < end, "PostgreSQL did not answer within 30 s"
            time.sleep(0.05)
        else:
            return
