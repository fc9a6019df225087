"""What runs the relay at a hospital? Flower's SuperExec under the relay's user, forking each relay from a warm process.

``python -m oncofed.client.relay.superexec NODE``. For each message it starts a process of its own, as Flower does, but
forks it from one that has imported everything already (a fork server without threads), and hands it its token through
a pipe, not on a command line that every user of the machine can read.

Promises: only ClientApps are run, and of them only the installed relay: whatever the bundle names, no file of it is
unpacked and no module of it imported. A relay ends with its SuperExec.

Refuses every other kind of Flower task. Imports no torch.
"""

from __future__ import annotations

import importlib
import multiprocessing
import multiprocessing.forkserver
import os
import sys
from collections.abc import Callable
from pathlib import Path

from flwr.clientapp import ClientApp
from flwr.supercore.constant import TaskType
from flwr.supercore.retry import http_retry
from flwr.supercore.superexec import run_superexec as flower_superexec
from flwr.supercore.superexec.executor import ExecutionSpec, LaunchResult
from flwr.supernode.runtime import run_clientapp as flower_clientapp

from oncofed.client.install.folder import NodeFolder, read_site
from oncofed.client.relay.flower_names import replace_in
from oncofed.client.relay.guard_channel import SOCKET_VARIABLE, TOKEN_FILE_VARIABLE
from oncofed.errors import InvalidInput
from oncofed.flower_environment import flower_environment
from oncofed.protocol.prompt_transfer import ask_again_soon
from oncofed.running import hold_while_running
from oncofed.secret_files import read_secret
from oncofed.supervision import end_with_parent

RELAY_APP = "oncofed.client.relay.app:app"
TASK_POLL_SECONDS = 0.2
LONGEST_RETRY_SECONDS = 2
"""Between two attempts to reach the SuperNode beside it; Flower's is 20."""


class WarmExecutor:
    """Flower's `Executor`, over a fork server."""

    def __init__(self, relay_app: str) -> None:
        self._relay_app = relay_app
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([__name__, relay_app.partition(":")[0]])
        multiprocessing.forkserver.ensure_running()  # so that the first message finds it warm
        self._started: list[multiprocessing.process.BaseProcess] = []

    def get_eligible_capacity(
        self, supported_task_types: set[TaskType], *, insecure: bool = False, root_certificates_path: str | None = None
    ) -> tuple[set[TaskType], set[str]]:
        """Nothing but ClientApps is even asked for."""
        return supported_task_types & {TaskType.CLIENT_APP}, set()

    def wait_for_capacity(
        self,
        task_type: TaskType | None = None,
        *,
        fab_hash: str | None = None,
        insecure: bool = False,
        root_certificates_path: str | None = None,
    ) -> None:
        """There is always room: a SuperNode gives out one message at a time."""

    def launch(self, spec: ExecutionSpec) -> LaunchResult:
        """Start one relay."""
        if spec.task_type is not TaskType.CLIENT_APP:
            return LaunchResult.failed("only ClientApps run at a hospital")
        process = self._context.Process(
            target=run_relay, args=(self._relay_app, spec.runtime_api_address, spec.token, os.getpid()), daemon=True
        )
        process.start()
        self._started.append(process)
        return LaunchResult.accepted()

    def reconcile(self) -> None:
        """Let go of the processes that have ended."""
        self._started = [process for process in self._started if process.is_alive()]

    def close(self) -> None:
        """Relays end by themselves when this process does."""


def run_relay(relay_app: str, runtime_api_address: str, token: str, parent: int) -> None:
    """In a process of its own: answer one message with the installed relay."""
    run_only(relay_app)
    ask_again_soon()
    flower_clientapp.run_clientapp(
        runtime_api_address=runtime_api_address, token=token, insecure=True, parent_pid=parent
    )


def run_only(relay_app: str) -> None:
    """From now on this process loads this app, whatever a bundle names, and unpacks no bundle."""

    def load(default_app_ref: str, app_path: str | None, multi_app: bool) -> Callable[[str, str, str], ClientApp]:
        return lambda fab_id, fab_version, fab_hash: installed_app(relay_app)

    def unpack_nothing(fab_file: Path | bytes, install_dir: Path | None = None, skip_prompt: bool = False) -> Path:
        return Path()

    replace_in(flower_clientapp, "get_load_client_app_fn", load)
    replace_in(flower_clientapp, "install_from_fab", unpack_nothing)
    replace_in(flower_clientapp, "get_project_dir", lambda fab_id, fab_version, fab_hash: Path())


def installed_app(reference: str) -> ClientApp:
    """The app that ``module:attribute`` names in this installation."""
    module, _, attribute = reference.partition(":")
    app = getattr(importlib.import_module(module), attribute)
    if not isinstance(app, ClientApp):
        raise TypeError(f"{reference} is not a ClientApp")
    return app


def serve(folder: NodeFolder, *, relay_app: str) -> None:
    """Run until SIGTERM or SIGINT. relay_app  another one is for tests."""
    replace_in(flower_superexec, "get_executor", lambda *_, **__: WarmExecutor(relay_app))
    replace_in(http_retry, "MAX_RETRY_DELAY", LONGEST_RETRY_SECONDS)
    flower_superexec.run_superexec(
        runtime_api_address=read_site(folder).runtime,
        insecure=True,  # loopback
        superexec_auth_secret=read_secret(folder.relay_secret),
        runtime_dependency_install=False,
    )


def main(relay_app: str = RELAY_APP) -> None:
    """The process."""
    folder = NodeFolder(Path(sys.argv[1]).resolve())
    os.umask(0o077)
    os.environ.update(
        flower_environment(folder.relay_flower_home, inherited=os.environ, task_poll_seconds=TASK_POLL_SECONDS)
        | {SOCKET_VARIABLE: str(folder.socket), TOKEN_FILE_VARIABLE: str(folder.token)}
    )
    end_with_parent()
    try:
        hold_while_running(folder.locks["relay"], what=f"the relay of {folder.root}")
    except InvalidInput as fault:
        sys.exit(f"the relay does not start: {fault}")
    serve(folder, relay_app=relay_app)


if __name__ == "__main__":
    main()
