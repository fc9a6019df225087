"""Does Flower 1.42 still have the names that a deployment replaces or calls, and does it still use them?

Replacing a name that Flower no longer reads would take a defence away in silence: so each test looks at the code that
uses the name. When one fails after an upgrade, read the module named in it before changing anything here.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import sqlite3
from contextlib import closing
from pathlib import Path
from types import ModuleType

import pytest
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.app.message import remove_content_from_message as without_content
from flwr.common import constant
from flwr.proto.control_pb2 import ListNodesRequest, ListRunsRequest, RegisterNodeRequest, StartRunRequest
from flwr.proto.message_pb2 import PushObjectRequest
from flwr.proto.node_pb2 import Node
from flwr.proto.runtime_pb2 import AcquireTaskRequest
from flwr.server.superlink.linkstate.sql_linkstate import SqlLinkState
from flwr.supercore import sql_mixin
from flwr.supercore.constant import (
    FLEET_HTTP_PUBLIC_KEY_HEADER,
    FLWR_PRIVATE_MAX_CONCURRENT_OBJ_PULLS,
    NOOP_FEDERATION_ID,
    TaskType,
)
from flwr.supercore.control.control_http_client import ControlHttpClient
from flwr.supercore.corestate.sql_corestate import SqlCoreState
from flwr.supercore.inflatable import inflatable_object, inflatable_protobuf_utils, inflatable_utils
from flwr.supercore.protobuf.client import ProtobufClient
from flwr.supercore.retry import http_retry
from flwr.supercore.superexec import run_superexec
from flwr.supercore.superexec.executor import Executor
from flwr.supercore.task_identity import TaskIdentity
from flwr.superlink import main as superlink_main
from flwr.superlink.cli.flower_superlink import SuperLinkLifespan
from flwr.superlink.config_loader import (
    SuperLinkLifespanConfig,
    get_federation_manager,
    get_objectstore_linkstate_factories,
    load_control_authn_plugin,
)
from flwr.superlink.grid import HttpGrid, http_grid
from flwr.superlink.routers.fleet import node_auth
from flwr.supernode import fleet_http_connection, start_client_internal
from flwr.supernode.cli.flower_supernode import SuperNodeLifespanConfig, _start_supernode_http_api
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.runtime import run_clientapp
from tests.flower_databases import databases_closed

from oncofed.client.relay.flower_names import replace_in
from oncofed.client.relay.superexec import WarmExecutor
from oncofed.protocol import prompt_transfer
from oncofed.protocol.codec import encode_answer
from oncofed.protocol.wire_form import LARGEST_MESSAGE
from oncofed.server.flower import few_writes, gate, superlink
from oncofed.server.flower.held_questions import nodes_with_work


def names_called_in(function: object) -> set[str]:
    """Every plain name and attribute that a function's source mentions."""
    tree = ast.parse(inspect.cleandoc("\n" + inspect.getsource(function)))  # type: ignore[arg-type]
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return names | {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def test_a_name_that_flower_lost_is_noticed_at_the_start() -> None:
    with pytest.raises(RuntimeError, match="has no _verify_fab"):
        replace_in(ModuleType("empty"), "_verify_fab", None)


def test_the_supernode_asks_for_each_bundle_through_the_names_we_replace() -> None:
    """supernode.pin_bundles: the mark `valid_license`, then `_verify_fab` of the module, then store and run."""
    source = inspect.getsource(start_client_internal._pull_and_store_message)
    assert source.index("if trusted_entities:") < source.index('fab.verifications.get("valid_license", "")')
    assert source.index("_verify_fab(fab, trusted_entities)") < source.index("state.store_fab(fab)")
    assert source.count("get_fab(") == 1
    assert source.count("store_fab(") == 1
    assert "fab_from_proto" in names_called_in(fleet_http_connection.http_request_response)


def test_the_supernode_signs_through_the_name_we_replace_and_sees_refusals_there() -> None:
    """supernode.SaysWhyRefused: Flower raises for a status after the interceptors."""
    assert "NodeAuthHttpInterceptor" in names_called_in(fleet_http_connection.http_request_response)
    source = inspect.getsource(ProtobufClient._unary_unary)
    assert source.index("self._send(context)") < source.index("raise_for_status()")


def test_the_supernode_uses_of_its_clock_only_sleep() -> None:
    """supernode.wait_less."""
    tree = ast.parse(inspect.getsource(start_client_internal))
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "time"
    }
    assert used == {"sleep"}


def test_the_supernode_connects_through_the_name_we_replace() -> None:
    """supernode.end_former_session: by position, as a context manager whose first value is the node's id."""
    assert "http_request_response" in names_called_in(start_client_internal._init_connection)
    assert list(inspect.signature(fleet_http_connection.http_request_response).parameters) == [
        "server_address",
        "insecure",
        "root_certificates",
        "authentication_keys",
        "max_retries",
        "max_wait_time",
    ]
    assert "node.node_id,\n                receive," in inspect.getsource(fleet_http_connection)
    assert hasattr(FleetHttpClient, "DeactivateNode")


def test_the_supernode_is_started_as_flower_starts_it() -> None:
    """supernode.serve."""
    assert {field.name for field in dataclasses.fields(SuperNodeLifespanConfig)} == {
        *("server_address", "root_certificates", "insecure", "authentication_keys", "max_retries", "max_wait_time"),
        *("node_config", "isolation", "runtime_certificates", "runtime_root_certificates_path"),
        *("health_server_address", "trusted_entities", "superexec_auth_secret", "runtime_dependency_install"),
        *("host", "port", "runtime_ssl_certfile", "runtime_ssl_keyfile"),
    }
    assert list(inspect.signature(_start_supernode_http_api).parameters) == ["config", "state_factory"]


def test_the_retry_delay_is_read_when_it_is_needed() -> None:
    """supernode, superexec: MAX_RETRY_DELAY."""
    assert "MAX_RETRY_DELAY" in names_called_in(http_retry.make_simple_http_retry_invoker)


def test_the_superexec_gets_its_executor_through_the_name_we_replace() -> None:
    """superexec.serve."""
    assert "get_executor" in names_called_in(run_superexec.run_superexec)
    needed = {name for name in vars(Executor) if not name.startswith("_")}
    assert needed == {"get_eligible_capacity", "wait_for_capacity", "launch", "reconcile", "close"}
    assert needed <= set(dir(WarmExecutor))
    for name in needed:
        assert list(inspect.signature(getattr(WarmExecutor, name)).parameters) == list(
            inspect.signature(getattr(Executor, name)).parameters
        )
    assert TaskType.CLIENT_APP in TaskType


def test_a_clientapp_process_loads_its_app_through_the_names_we_replace() -> None:
    """superexec.run_only."""
    names = names_called_in(run_clientapp.run_clientapp)
    assert {"get_load_client_app_fn", "install_from_fab", "get_project_dir"} <= names
    assert not {"load_app", "import_module"} & names


def test_a_superlink_is_configured_as_its_command_line_does() -> None:
    """superlink.superlink_config."""
    assert {field.name for field in dataclasses.fields(SuperLinkLifespanConfig)} == {
        *("control_address", "health_server_address", "host", "port", "insecure", "certificates"),
        *("superexec_auth_secret", "authn_plugin", "event_log_plugin", "fleet_event_log_plugin", "enable_event_log"),
        *("artifact_provider", "enable_supernode_auth", "fleet_api_type", "fleet_api_address", "simulation"),
        *("ssl_ca_certfile", "ssl_certfile", "ssl_keyfile", "database", "isolation", "runtime_dependency_install"),
    }
    assert list(inspect.signature(superlink_main.create_app).parameters) == ["config", "superlink_lifespan_class"]
    assert callable(load_control_authn_plugin)
    # None of the older servers, which our gate would not stand before, starts by itself.
    source = inspect.getsource(SuperLinkLifespan.startup)
    assert source.count('== "1"') == 2
    assert constant.FLWR_INTERNAL_GRPC_CONTROL_API in source or "FLWR_INTERNAL_GRPC_CONTROL_API" in source
    assert "FLWR_INTERNAL_GRPC_FLEET_API" in source


def test_every_route_of_a_superlink_is_one_the_gate_knows() -> None:
    """gate: a fourth API under another prefix would be refused, which is right, but should be looked at."""
    routes = superlink_main.create_app().openapi()["paths"]
    prefixes = (gate._FLEET, gate._RUNTIME, gate._CONTROL)
    assert {path for path in routes if not path.startswith(prefixes)} == {gate._HEALTH}
    assert sum(path.startswith(gate._CONTROL) for path in routes) > 20


def test_what_a_node_signs_is_the_time_alone_and_for_how_long() -> None:
    """gate: so we refuse a time that was used before."""
    source = inspect.getsource(node_auth.authenticate_node)
    assert (
        'verify_signature(\n            bytes_to_public_key(public_key), timestamp.encode("ascii"), signature' in source
    )
    assert (
        "not -SYSTEM_TIME_TOLERANCE\n            < age\n            < TIMESTAMP_TOLERANCE + SYSTEM_TIME_TOLERANCE"
        in source
    )
    tolerance = constant.TIMESTAMP_TOLERANCE + 2 * constant.SYSTEM_TIME_TOLERANCE
    assert tolerance < gate.REMEMBERED_SECONDS
    assert (constant.TIMESTAMP_HEADER, FLEET_HTTP_PUBLIC_KEY_HEADER) == ("flwr-timestamp", "flwr-public-key")


def test_the_control_client_takes_our_header() -> None:
    """control."""
    assert issubclass(ControlHttpClient, ProtobufClient)
    assert list(inspect.signature(ProtobufClient.from_server_address).parameters) == [
        "server_address",
        "insecure",
        "root_certificates",
        "interceptors",
        "retry_invoker",
    ]
    for name in ("RegisterNode", "UnregisterNode", "ListNodes", "StartRun", "ListRuns", "StopRun"):
        assert hasattr(ControlHttpClient, name)
    assert {"fab", "override_config"} <= set(StartRunRequest.DESCRIPTOR.fields_by_name)
    assert "public_key" in RegisterNodeRequest.DESCRIPTOR.fields_by_name
    assert "run_id" in ListRunsRequest.DESCRIPTOR.fields_by_name
    assert ListNodesRequest()
    assert AcquireTaskRequest()


def test_missing_parts_are_asked_for_with_default_waits() -> None:
    """prompt_transfer: the callers give no waits of their own."""
    for function in (inflatable_utils.pull_objects, inflatable_utils.pull_and_inflate_object_from_tree):
        parameters = inspect.signature(function).parameters
        assert {"initial_backoff", "backoff_cap"} <= set(parameters)
    for module in (start_client_internal, run_clientapp, http_grid):
        assert "backoff" not in inspect.getsource(module)
    prompt_transfer.ask_again_soon()
    parameters = inspect.signature(inflatable_utils.pull_objects).parameters
    assert parameters["initial_backoff"].default == prompt_transfer.FIRST_WAIT_SECONDS


def test_a_superlink_waits_for_its_database_as_long_as_we_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """superlink.wait_longer_for_the_database."""
    monkeypatch.setattr(sql_mixin, "SQLITE_PRAGMAS", vars(sql_mixin)["SQLITE_PRAGMAS"])  # put back afterwards
    superlink.wait_longer_for_the_database()

    with closing(sqlite3.connect(":memory:")) as connection:
        sql_mixin._set_sqlite_pragmas(connection, None)
        (waits,) = connection.execute("PRAGMA busy_timeout").fetchone()
    assert waits == superlink.LONGEST_LOCK_MILLISECONDS
    codes = http_retry._RETRYABLE_STATUS_CODES
    assert 503 in codes
    assert 500 not in codes, "then the gate need not translate it"


# Flower's own use of alembic, at the making of a database.
@pytest.mark.filterwarnings("ignore:No path_separator found in configuration:DeprecationWarning")
def test_the_key_of_a_node_that_was_unregistered_can_be_registered_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """superlink.free_keys_of_unregistered_nodes: a hospital that was suspended comes back with its key."""
    monkeypatch.setattr(SqlLinkState, "delete_node", SqlLinkState.delete_node)  # put back afterwards
    with databases_closed():
        state = get_objectstore_linkstate_factories(str(tmp_path / "a.db"), get_federation_manager())[1].state()
        first = state.create_node("us", "us", b"key", 30.0)
        state.delete_node("us", first)
        with pytest.raises(ValueError, match="already in use"):  # else the replaced method is needed no longer
            state.create_node("us", "us", b"key", 30.0)

        superlink.free_keys_of_unregistered_nodes()
        state = get_objectstore_linkstate_factories(str(tmp_path / "b.db"), get_federation_manager())[1].state()
        first = state.create_node("us", "us", b"key", 30.0)
        other = state.create_node("us", "us", b"other", 30.0)
        state.delete_node("us", first)
        assert state.get_node_id_by_public_key(b"key") is None
        again = state.create_node("us", "us", b"key", 30.0)
        assert again != first
        assert (state.get_node_id_by_public_key(b"key"), state.get_node_id_by_public_key(b"other")) == (again, other)
        with pytest.raises(ValueError, match="already deleted"):
            state.delete_node("us", first)


@pytest.mark.filterwarnings("ignore:No path_separator found in configuration:DeprecationWarning")
def test_a_node_has_work_when_its_message_is_whole_and_who_waits_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """held_questions.nodes_with_work and few_writes.write_only_what_changes, on a database of Flower's."""
    for owner, name in (
        (SqlCoreState, "_cleanup_expired_task_tokens"),
        *((SqlLinkState, name) for name in ("get_message_ins", "store_traffic", "add_clientapp_runtime")),
    ):
        monkeypatch.setattr(owner, name, getattr(owner, name))  # put back afterwards
    few_writes.write_only_what_changes()
    path = tmp_path / "a.db"
    with databases_closed(), closing(sqlite3.connect(path)) as watching:
        state = get_objectstore_linkstate_factories(str(path), get_federation_manager())[1].state()

        first, other = (state.create_node("us", "us", key, 30.0) for key in (b"key", b"other"))
        for node in (first, other):
            state.activate_node(node, 1e6)
        run = state.create_run(None, None, "f" * 64, {}, NOOP_FEDERATION_ID, None, "us", TaskType.SERVER_APP)
        task = state.get_tasks(run_ids=[run])[0].task_id
        token = state.claim_task(task)
        assert token
        state.activate_task(task)

        assert nodes_with_work(path) == {}
        watching.execute("BEGIN IMMEDIATE")  # somebody else writes: whoever wants to, too, waits in vain
        assert state.get_message_ins(first, 1) == []
        assert state.get_run_status({run})[run].status == "running"
        state.store_traffic(run, bytes_sent=1, bytes_recv=1)
        state.add_clientapp_runtime(run, 1.0)
        watching.rollback()

        for name, value in (("_task_id", task), ("_run_id", run), ("_node_id", 1)):
            monkeypatch.setattr(TaskIdentity, name, value)
        content = RecordDict({"question": ConfigRecord({"content": b"a question"})})
        message = Message(content, dst_node_id=first, message_type="query")
        message.metadata.__dict__["_message_id"] = message.object_id
        session = state.start_session(run)
        tree = inflatable_object.get_object_tree(message)
        parts = inflatable_object.get_all_nested_objects(message)
        stored, missing = state.store_message_and_object_tree(without_content(message), tree, session)
        assert (stored, set(missing)) == (True, set(parts))
        assert nodes_with_work(path) == {first: False}
        for name, part in list(parts.items())[:-1]:
            assert state.store_object(run, session, name, part.deflate())
            assert nodes_with_work(path) == {first: False}
        assert list(parts)[-1] == message.object_id, "the head comes last"
        assert state.store_object(run, session, message.object_id, message.deflate())
        assert nodes_with_work(path) == {first: True}

        assert state.get_message_ins(other, 1) == []
        (found,) = state.get_message_ins(first, 1)
        assert found.metadata.message_id == message.object_id
        assert nodes_with_work(path) == {}
        assert state.get_message_ins(first, 1) == []

        # A task whose process is gone is still ended.
        watching.execute("UPDATE task SET active_until = '2020-01-01 00:00:00.000000'")
        watching.commit()
        assert state.get_run_status({run})[run].status == "finished"


def test_the_gate_takes_the_largest_message_as_flower_sends_it() -> None:
    """gate.LARGEST_BODY: the bytes of an answer or question are one object, in one request; all else is small."""
    content = encode_answer(bytes(LARGEST_MESSAGE))
    objects = inflatable_object.get_all_nested_objects(content)
    sizes = sorted(
        PushObjectRequest(
            node=Node(node_id=2**64 - 1), run_id=2**64 - 1, object_id=name, object_content=each.deflate()
        ).ByteSize()
        for name, each in objects.items()
    )
    assert LARGEST_MESSAGE < sizes[-1] <= gate.LARGEST_BODY
    assert sizes[-2] < gate.SMALL_BODY
    assert gate.GateLimits().pulls_of_a_key >= FLWR_PRIVATE_MAX_CONCURRENT_OBJ_PULLS


def test_a_push_that_a_restart_cuts_off_fails_with_messages_that_have_their_ids() -> None:
    """prompt_grid: it returns no replies then, and the round tells its questions apart by their ids."""
    source = inspect.getsource(HttpGrid.push_messages)
    assert source.index('["_message_id"] = msg.object_id') < source.index("_try_push_messages(run_id, messages)")
    assert "raise ObjectPushError" in inspect.getsource(inflatable_protobuf_utils)
    assert vars(inflatable_protobuf_utils)["ObjectPushError"] is inflatable_utils.ObjectPushError


def test_flowers_own_grid_still_sleeps_too_long() -> None:
    """prompt_grid: when this fails, it may no longer be needed."""
    assert "time.sleep(3)" in inspect.getsource(HttpGrid.send_and_receive)


def test_the_environment_variables_have_their_names() -> None:
    """flower_environment."""
    assert run_superexec._TASK_POLL_INTERVAL_ENV == "FLWR_SUPEREXEC_TASK_POLL_INTERVAL"
    assert constant.FLWR_HOME == "FLWR_HOME"
    assert constant.FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION == "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION"
