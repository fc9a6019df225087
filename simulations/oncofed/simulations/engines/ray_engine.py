"""How do the very same ServerApp and ClientApp run on Flower's own simulation engine, which is Ray?

For clusters, and to check that the in-process grid changes nothing. On one machine the grid is several times faster.
With the environment variable RAY_ADDRESS, which is Ray's own, the cluster there does the work; all of its machines must
see the run's folder by the same path.

Promises: stdout stays clean, nothing is reported to Flower or Ray over the network, Ctrl-C ends the run between two
polls. Exceptions of the ServerApp come out as they are, as with `run_in_process`. What a lost worker process or machine
did not answer is asked again of another. A hospital that it had charged is charged again, if the plan has a reserve.

Needs: the ClientApp travels to Ray's processes, so whatever it was built with can be pickled: a `connect` that is a
frozen dataclass of folder paths, say, and builds its guard there (and keeps it per process, if it is costly).

Refuses, with a remedy, to start when the extra `ray` is not installed.
"""

from __future__ import annotations

import importlib.util
import os
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid, ServerApp

from oncofed.errors import Fault, InvalidInput
from oncofed.server.flower.app import flower_says_errors_only
from oncofed.server.flower.wrapped_grid import WrappedGrid

# Ray's worker processes inherit these; Flower reads its own when it is imported, so see `_no_reports` too.
_QUIET_ENVIRONMENT = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_LOG_LEVEL": "ERROR",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
_POLL_SECONDS = 0.02
_ASKED_AGAIN = 60
"""Times that a question may be lost with a worker. Ray may take a minute to see that a machine is gone, and goes on
giving work to its workers until then."""
_PAUSE_SECONDS = 2.0
"""After a loss."""


def run_on_ray(server_app: ServerApp, client_app: ClientApp, *, node_count: int, processes: int | None = None) -> None:
    """Run both apps to the end. processes  worker processes, one core each; None takes every core Ray finds."""
    if importlib.util.find_spec("ray") is None:
        raise InvalidInput(
            [Fault("--engine ray", "Ray is not installed", "Install 'oncofed-lab[ray]', or leave the option out")]
        )
    # Imported late: with Ray missing, Flower would end the process here.
    from flwr.simulation import run_simulation  # noqa: PLC0415

    stop = threading.Event()
    ray_settings: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if processes is not None:
        ray_settings["num_cpus"] = processes
    settings = {"client_resources": {"num_cpus": 1, "num_gpus": 0.0}, "init_args": ray_settings}
    with _no_reports(), flower_says_errors_only(), _dead_workers_retire():
        try:
            run_simulation(
                server_app=_stoppable(server_app, node_count=node_count, stop=stop),
                client_app=client_app,
                num_supernodes=node_count,
                backend_config=settings,
            )
        finally:
            stop.set()


@contextmanager
def _no_reports() -> Iterator[None]:
    from flwr.supercore import telemetry  # noqa: PLC0415 - beside the only place that changes it

    before = {name: os.environ.get(name) for name in _QUIET_ENVIRONMENT}
    switch = telemetry.FLWR_TELEMETRY_ENABLED
    os.environ.update(_QUIET_ENVIRONMENT)
    telemetry.FLWR_TELEMETRY_ENABLED = "0"
    try:
        yield
    finally:
        telemetry.FLWR_TELEMETRY_ENABLED = switch
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _dead_workers_retire() -> Iterator[None]:
    """Flower puts a worker back whose machine is gone, and would ask it first the next time, since it fails at once.

    It also has as many threads as there were workers at first; one without a worker waits for the next that is free.
    """
    from flwr.server.superlink.fleet.vce.backend.raybackend import RayBackend  # noqa: PLC0415 - needs Ray
    from ray.exceptions import ActorDiedError, RayActorError  # noqa: PLC0415

    as_it_was = RayBackend.process_message

    def process_message(backend: Any, message: Message, context: Context) -> Any:
        pool = backend.pool
        try:
            while pool.num_actors and not pool.pool:
                time.sleep(_POLL_SECONDS)
            return as_it_was(backend, message, context)
        except RayActorError as lost:
            for actor in [each for each in pool.pool if each._actor_id.hex() == lost.actor_id]:
                pool.pool.remove(actor)
                if isinstance(lost, ActorDiedError):
                    pool.num_actors -= 1
                else:  # not reached for now: the others come first
                    pool.pool.insert(0, actor)
            raise

    RayBackend.process_message = process_message  # type: ignore[assignment, method-assign]  # put back below
    try:
        yield
    finally:
        RayBackend.process_message = as_it_was  # type: ignore[method-assign]


def _stoppable(server_app: ServerApp, *, node_count: int, stop: threading.Event) -> ServerApp:
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        server_app(_StoppableGrid(grid, node_count=node_count, stop=stop), context)

    return app


class _Stopped(Exception):
    """The run was interrupted while the server waited."""


class _StoppableGrid(WrappedGrid):
    """Flower runs the ServerApp in a thread and does not end it on Ctrl-C: it would wait a whole round more."""

    def __init__(self, grid: Grid, *, node_count: int, stop: threading.Event) -> None:
        super().__init__(grid)
        self._node_count = node_count
        self._stop = stop

    def get_node_ids(self) -> list[int]:
        """All of them: Flower starts the ServerApp before it has registered the nodes."""
        while len(node_ids := list(self._grid.get_node_ids())) < self._node_count:
            self._pause(_POLL_SECONDS)
        return node_ids

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        asked = list(messages)
        waiting = {
            sent: (message, _ASKED_AGAIN) for sent, message in zip(self.push_messages(asked), asked, strict=True)
        }
        deadline = None if timeout is None else time.monotonic() + timeout
        replies: list[Message] = []
        while waiting and (deadline is None or time.monotonic() < deadline):
            lost = []
            for reply in self.pull_messages(list(waiting)):
                message, again = waiting.pop(reply.metadata.reply_to_message_id)
                if again and _is_lost(reply):
                    lost.append((message, again - 1))
                else:
                    replies.append(_to(message, reply))
            if lost:
                self._pause(_PAUSE_SECONDS)
                copies = self.push_messages([_copy(message) for message, _ in lost])
                waiting |= dict(zip(copies, lost, strict=True))
            elif waiting:
                self._pause(_POLL_SECONDS)
        return replies

    def _pause(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise _Stopped


def _is_lost(reply: Message) -> bool:
    """Flower's word for an engine that failed; a ClientApp that raised has another."""
    return reply.has_error() and reply.error.code == ErrorCode.UNKNOWN


def _copy(message: Message) -> Message:
    """The same question once more: what was sent may not be sent again."""
    told = message.metadata
    return Message(message.content, told.dst_node_id, told.message_type, ttl=told.ttl, group_id=told.group_id)


def _to(message: Message, reply: Message) -> Message:
    """The reply to a copy as one to the question itself, by which it is known."""
    if reply.metadata.reply_to_message_id == message.metadata.message_id:
        return reply
    return Message(reply.error if reply.has_error() else reply.content, reply_to=message)
