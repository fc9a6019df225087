"""Where may the pages listen, and who on this machine is told from whom?"""

from __future__ import annotations

import io
import logging
import os
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from tests.installed_node import installed_node
from tests.nasty_texts import controls_in
from tests.pages_hospital import hospital, served

from oncofed.client.pages.of_node import refuse_place
from oncofed.client.pages.peer_user import user_of_connection
from oncofed.client.pages.serving import Place, _unix_socket, desk_for, serve
from oncofed.errors import InvalidInput
from oncofed.local_pages import listening as shared
from oncofed.local_pages.listening import _Plain, loopback_socket
from oncofed.local_pages.sessions import Timeouts


def test_a_port_is_on_loopback_only() -> None:
    with loopback_socket(0) as listening:
        assert listening.getsockname()[0] == "127.0.0.1"
        with pytest.raises(InvalidInput, match="in use"):
            loopback_socket(listening.getsockname()[1])


def test_a_socket_lies_where_only_the_guard_and_one_group_may_enter(tmp_path: Path) -> None:
    os.chmod(tmp_path, 0o755)
    with pytest.raises(InvalidInput, match="everybody"):
        _unix_socket(tmp_path / "pages.sock")
    os.chmod(tmp_path, 0o750)
    with _unix_socket(tmp_path / "pages.sock"):
        assert stat.S_IMODE((tmp_path / "pages.sock").stat().st_mode) == 0o660
    with _unix_socket(tmp_path / "pages.sock"):
        pass  # what an earlier end has left is replaced
    (tmp_path / "file").write_text("kept")
    with pytest.raises(InvalidInput, match="is a file"):
        _unix_socket(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "kept"
    with pytest.raises(InvalidInput, match="no folder"):
        _unix_socket(tmp_path / "nowhere" / "pages.sock")


def test_the_folder_that_the_relay_may_enter_is_refused() -> None:
    with installed_node() as node:
        with pytest.raises(InvalidInput, match="relay"):
            refuse_place(node.folder, Place(socket=node.folder.run / "pages.sock", name="pages.example"))
        with pytest.raises(InvalidInput, match="relay"):
            refuse_place(node.folder, Place(socket=node.folder.root / "guard/../run/x.sock", name="pages.example"))
        refuse_place(node.folder, Place(socket=node.folder.guard / "pages.sock", name="pages.example"))
        refuse_place(node.folder, Place(port=8440))


def test_names_and_tls_go_together() -> None:
    assert Place(port=8440).hosts == {"127.0.0.1:8440", "localhost:8440"}
    assert not Place(port=8440).secure
    behind_proxy = Place(port=8440, name="pages.example")
    assert behind_proxy.hosts == {"pages.example"}
    assert behind_proxy.secure


CONNECT = """
import os, socket, sys
os.setgroups([]); os.setgid({uid}); os.setuid({uid})
mine = socket.socket()
mine.connect(("127.0.0.1", int(sys.argv[1])))
sys.stdin.read()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: connections of other users. Run as root to test it.")
@pytest.mark.parametrize("uid", [0, 61001, 65534])
def test_the_user_of_a_connection_is_the_one_that_made_it(uid: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(20)
        port = listening.getsockname()[1]
        command = [sys.executable, "-c", CONNECT.format(uid=uid), str(port)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, text=True) as other:
            accepted, client = listening.accept()
            with accepted:
                assert user_of_connection(client, accepted.getsockname()) == uid
                assert user_of_connection((client[0], client[1]), ("127.0.0.1", 1)) is None
            other.communicate("")


def test_a_peer_that_is_not_on_this_machine_is_not_known() -> None:
    assert user_of_connection(("192.0.2.7", 4000), ("127.0.0.1", 8440)) is None
    assert user_of_connection(("testclient", 50000), ("testserver", 80)) is None


def test_a_log_line_is_one_line_and_holds_no_text_of_an_exception() -> None:
    said = io.StringIO()
    handler = logging.StreamHandler(said)
    handler.setFormatter(_Plain())
    logger = logging.Logger("pages")
    logger.addHandler(handler)
    try:
        raise ValueError("MRN-0047-00005")
    except ValueError:
        logger.exception("failed for %s", "MRN-0047-00005")
    logger.warning("one\ntwo")
    assert "MRN" not in said.getvalue()
    assert len(said.getvalue().splitlines()) == 2


def test_the_pages_are_served_over_a_unix_socket_and_end_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.chmod(tmp_path, 0o750)
    with served(tmp_path, shown=hospital(50)) as here:
        place = Place(socket=tmp_path / "s", name="pages.example")
        desk = desk_for(
            here.desk.hospital,
            accounts=tmp_path / "accounts.json",
            key=b"k" * 32,
            audit_log=here.desk.audit_log,
            place=place,
            timeouts=Timeouts(),
        )
        servers: list[uvicorn.Server] = []
        real = shared.server_of

        def kept(app: Starlette) -> uvicorn.Server:
            servers.append(real(app))
            return servers[-1]

        monkeypatch.setattr(shared, "server_of", kept)
        ready = threading.Event()
        thread = threading.Thread(
            target=serve, args=(desk, place), kwargs={"refused_users": frozenset(), "ready": ready.set}
        )
        thread.start()
        assert ready.wait(20)
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(tmp_path / "s"))) as client:
            answer = client.get("http://pages.example/sign-in")
            assert answer.status_code == 200
            assert "server" not in answer.headers
            assert client.get("http://other.example/sign-in").status_code == 421
        servers[0].should_exit = True
        thread.join(20)
        assert not (tmp_path / "s").exists()


def test_a_line_of_the_log_is_one_and_has_no_control() -> None:
    record = logging.makeLogRecord({"msg": "GET %s", "args": ("/a\r\nb\x1b[2J\u202e",)})
    line = _Plain().format(record)
    assert controls_in(line) == []
    assert "\n" not in line
