"""Does Flower 1.42 still have the names and habits we build on that it does not document?

Each test names its user. When one fails after an upgrade, read that module before changing the number here.
"""

from __future__ import annotations

import importlib.metadata
import inspect

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MessageType, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.constant import PARTITION_ID_KEY, ErrorCode
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAdagrad, FedAdam, FedAvg, FedYogi, Krum
from flwr.simulation import run_simulation
from flwr.supercore import telemetry
from flwr.supercore.constant import FLWR_DISABLE_UPDATE_CHECK
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from oncofed.server.rounds import admission
from oncofed.simulations.engines import in_process_grid, node_directory


@pytest.fixture(autouse=True)
def task() -> None:
    """in_process_grid: a Message asks these who is sending."""
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 2, 3


def reply_with(vector: list[float]) -> Message:
    content = RecordDict({"arrays": ArrayRecord([np.array(vector)]), "metrics": MetricRecord({"public": 1.0})})
    return Message(content, dst_node_id=7, message_type=MessageType.TRAIN)


def test_the_version() -> None:
    assert importlib.metadata.version("flwr").startswith("1.42.")


def test_a_message_is_sent_by_the_task_identity() -> None:
    """in_process_grid."""
    metadata = reply_with([1.0]).metadata
    assert (metadata.run_id, metadata.src_node_id) == (2, 3)


def test_a_grid_sets_the_message_id_behind_the_property() -> None:
    """in_process_grid, rounds: the sender reads the id from the message it sent."""
    message = reply_with([1.0])
    assert message.metadata.message_id == ""
    message.metadata.__dict__["_message_id"] = "mine"
    assert message.metadata.message_id == "mine"
    assert Message(RecordDict(), reply_to=message).metadata.reply_to_message_id == "mine"


def test_the_parts_of_a_message_that_are_copied() -> None:
    """in_process_grid: `_metadata`, and shallow `copy` of the records."""
    message = reply_with([1.0])
    assert message.__dict__["_metadata"] is message.metadata
    record = ConfigRecord({"round": 1})
    other = record.copy()
    other["round"] = 2
    assert record["round"] == 1
    assert isinstance(other, ConfigRecord)


def test_what_a_grid_must_offer() -> None:
    """in_process_grid, ray_engine."""
    assert Grid.__abstractmethods__ == {
        "set_run",
        "run",
        "create_message",
        "get_node_ids",
        "push_messages",
        "pull_messages",
        "send_and_receive",
    }
    assert Run.create_empty(5).run_id == 5


@pytest.mark.parametrize("strategy", [FedAdam(weighted_by_key="public"), FedYogi(weighted_by_key="public")])
def test_adaptive_strategies_keep_their_state_in_three_public_attributes(strategy: FedAdam | FedYogi) -> None:
    """strategies: `combine` sets and reads them; a checkpoint holds the last two."""
    assert (strategy.current_arrays, strategy.m_t, strategy.v_t) == (None, None, None)
    strategy.current_arrays = {"0": np.array([1.0])}
    strategy.aggregate_train(1, [reply_with([3.0])])
    assert strategy.m_t is not None
    assert strategy.v_t is not None
    np.testing.assert_allclose(strategy.m_t["0"], 0.1 * 2.0)
    np.testing.assert_allclose(strategy.v_t["0"], 0.01 * 4.0)
    np.testing.assert_array_equal(strategy.current_arrays["0"], 1.0)


def test_flowers_defaults_that_we_must_not_take() -> None:
    """strategies: num-examples is a hospital's exact patient count, and tau swallows small updates."""
    assert FedAvg().weighted_by_key == "num-examples"
    assert {FedAdam().tau, FedYogi().tau, FedAdagrad().tau} == {1e-3}
    assert FedAvg(weighted_by_key="public").weighted_by_key == "public"


def test_strategies_read_arrays_through_the_public_method() -> None:
    """strategies: `_UnserialisedArray` has no bytes, so a strategy that looked at them would fail here."""

    class InMemory(Array):
        def numpy(self) -> np.ndarray:
            return np.array([4.0])

    arrays = ArrayRecord()
    arrays["0"] = InMemory("float64", (1,), "numpy.ndarray", b"")
    replies = [
        Message(RecordDict({"a": arrays, "m": MetricRecord({"public": 1.0})}), dst_node_id=7, message_type="train")
        for _ in range(3)
    ]
    for strategy in (FedAvg(weighted_by_key="public"), Krum(weighted_by_key="public")):
        combined, _ = strategy.aggregate_train(1, replies)
        assert combined is not None
        assert combined["0"].numpy().tolist() == [4.0]


def test_the_numbers_of_errors() -> None:
    """admission, in_process_grid: words for each, and the one a raising ClientApp gets."""
    known = {name: value for name, value in vars(ErrorCode).items() if name.isupper()}
    assert known == {
        "UNKNOWN": 0,
        "LOAD_CLIENT_APP_EXCEPTION": 1,
        "CLIENT_APP_RAISED_EXCEPTION": 2,
        "MESSAGE_UNAVAILABLE": 3,
        "REPLY_MESSAGE_UNAVAILABLE": 4,
        "NODE_UNAVAILABLE": 5,
        "MOD_FAILED_PRECONDITION": 6,
        "INVALID_FAB": 7,
        "CLIENT_APP_CRASHED": 8,
    }
    assert set(admission._ERROR_WORDS) <= set(known.values())
    assert known["CLIENT_APP_RAISED_EXCEPTION"] == in_process_grid._CLIENT_APP_RAISED


def test_a_client_app_lets_exceptions_through_and_takes_actions_by_name() -> None:
    """relay: so it must not raise. node_directory: `query.partition`."""
    app = ClientApp()

    @app.query("partition")
    def fail(message: Message, context: Context) -> Message:
        raise RuntimeError("as it is")

    context = Context(run_id=1, node_id=7, node_config={}, state=RecordDict(), run_config={})
    with pytest.raises(RuntimeError, match="as it is"):
        app(Message(RecordDict(), dst_node_id=7, message_type="query.partition"), context)
    with pytest.raises(ValueError, match="No train function"):
        app(reply_with([1.0]), context)


def test_the_simulation_engine() -> None:
    """ray_engine, node_directory."""
    assert node_directory.PARTITION == PARTITION_ID_KEY
    assert {"server_app", "client_app", "num_supernodes", "backend_config"} <= set(
        inspect.signature(run_simulation).parameters
    )
    assert isinstance(telemetry.FLWR_TELEMETRY_ENABLED, str)
    assert 'if FLWR_TELEMETRY_ENABLED == "1"' in inspect.getsource(telemetry.create_event)
    assert FLWR_DISABLE_UPDATE_CHECK == "FLWR_DISABLE_UPDATE_CHECK"


def test_the_pool_of_rays_workers_has_the_attributes_that_are_changed() -> None:
    """ray_engine: dead workers retire from it, and those that Ray has lost sight of come last."""
    pytest.importorskip("ray")
    from flwr.server.superlink.fleet.vce.backend.raybackend import RayBackend  # noqa: PLC0415 - needs Ray
    from flwr.simulation.ray_transport.ray_actor import BasicActorPool  # noqa: PLC0415

    assert list(inspect.signature(RayBackend.process_message).parameters) == ["self", "message", "context"]
    used = inspect.getsource(BasicActorPool)
    assert "actor = self.pool.pop()" in used
    assert "self.pool.append(actor)" in used
    assert "self.num_actors += num_actors" in used
