"""Does a hospital's SuperExec run the installed relay, and nothing that a coordinator brings or names?"""

from __future__ import annotations

import inspect
import time
from pathlib import Path

import pytest
from flwr.cli.install import install_from_fab
from flwr.supercore.constant import TaskType
from flwr.supercore.superexec.executor import ExecutionSpec, LaunchResultStatus
from flwr.supernode.runtime import run_clientapp

from oncofed.client.relay import superexec
from oncofed.protocol.bundle import build_bundle

FAKE_RELAY = "tests.end_to_end.fake_relay_app:app"


def spec(task_type: TaskType) -> ExecutionSpec:
    return ExecutionSpec(
        task_type=task_type,
        runtime_api_address="127.0.0.1:1",
        token="secret-token",
        insecure=True,
        root_certificates_path=None,
        runtime_dependency_install=True,
        parent_pid=None,
        suppress_output=False,
        task_id=1,
    )


@pytest.fixture(scope="module")
def executor() -> superexec.WarmExecutor:
    return superexec.WarmExecutor(FAKE_RELAY)


def test_only_clientapps_are_asked_for_and_started(executor: superexec.WarmExecutor) -> None:
    assert executor.get_eligible_capacity(set(TaskType)) == ({TaskType.CLIENT_APP}, set())
    for task_type in set(TaskType) - {TaskType.CLIENT_APP}:
        assert executor.launch(spec(task_type)).status is LaunchResultStatus.FAILED
    assert executor._started == []


@pytest.fixture
def flower_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("get_load_client_app_fn", "install_from_fab", "get_project_dir"):
        monkeypatch.setattr(run_clientapp, name, getattr(run_clientapp, name))


@pytest.mark.usefixtures("flower_as_it_was")
def test_the_bundle_is_neither_unpacked_nor_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The names are those that `run_clientapp` looks up; a contract test says that it still does."""
    monkeypatch.setenv("FLWR_HOME", str(tmp_path))
    superexec.run_only(FAKE_RELAY)
    evil = build_bundle(client_app="antigravity:app")
    looked_up = vars(run_clientapp)
    looked_up["install_from_fab"](evil, skip_prompt=True)
    load = looked_up["get_load_client_app_fn"](default_app_ref="", app_path=None, multi_app=True)
    from tests.end_to_end.fake_relay_app import app  # noqa: PLC0415 - the one that must come back

    assert load("evil/evil", "../../..", "0" * 64) is app
    assert list(tmp_path.iterdir()) == []
    install_from_fab(evil, skip_prompt=True)
    assert list(tmp_path.iterdir()), "the check must see what Flower would have unpacked"


def test_what_is_no_clientapp_is_not_run() -> None:
    with pytest.raises(TypeError, match="not a ClientApp"):
        superexec.installed_app("oncofed.client.relay.relay:build_client_app")


def test_a_token_is_on_no_command_line(executor: superexec.WarmExecutor) -> None:
    """Every user of a machine can read the command lines of all."""
    assert executor.launch(spec(TaskType.CLIENT_APP)).status is LaunchResultStatus.ACCEPTED
    (process,) = executor._started
    try:
        for line in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                assert b"secret-token" not in line.read_bytes()
            except OSError:
                continue
    finally:
        process.kill()
        process.join(timeout=10)
    deadline = time.monotonic() + 5
    while executor._started and time.monotonic() < deadline:
        executor.reconcile()
    assert executor._started == []


def test_a_relay_is_never_told_to_install_anything() -> None:
    source = inspect.getsource(superexec.run_relay)
    assert "runtime_dependency_install" not in source
    assert inspect.signature(run_clientapp.run_clientapp).parameters["runtime_dependency_install"].default is False
