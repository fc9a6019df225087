"""How does one SuperLink answer a hundred hospitals? By writing to its database only when something changes.

SQLite lets one connection write at a time, and who waits for it sleeps. Flower 1.41 writes on every question of every
hospital: it ends tasks that have expired, claims a message, and adds up bytes, mostly to no effect. With fifty
hospitals that wait for work nearly all time went into waiting for one another. So here

- tasks are ended, and messages claimed, when a reading finds that there are any. Flower's own statement then decides,
  so that two who found the same message do not both get it;
- bytes and seconds of hospitals are not added up: nobody reads the sums.
"""

from __future__ import annotations

from flwr.app import Message
from flwr.server.superlink.linkstate.sql_linkstate import SqlLinkState
from flwr.supercore.corestate.sql_corestate import SqlCoreState
from flwr.supercore.date import now
from flwr.supercore.state.schema.corestate_models import Task
from flwr.supercore.state.schema.linkstate_models import MessageIns
from flwr.supercore.utils import uint64_to_int64
from sqlalchemy import select


def write_only_what_changes() -> None:
    """From now on, in this process. Once: a second call reads twice."""
    end_expired, claim = SqlCoreState._cleanup_expired_task_tokens, SqlLinkState.get_message_ins

    def cleanup_expired_task_tokens(self: SqlCoreState) -> None:
        expired = select(Task.task_id).where(Task.token.is_not(None), Task.active_until < now()).limit(1)
        with self.session() as session:
            found = session.scalar(expired) is not None
        if found:
            end_expired(self)

    def get_message_ins(
        self: SqlLinkState, node_id: int, limit: int | None, *, run_id: int | None = None
    ) -> list[Message]:
        waiting = (
            select(MessageIns.message_id)
            .where(MessageIns.dst_node_id == uint64_to_int64(node_id), MessageIns.delivered_at == "")
            .limit(1)
        )
        with self.session() as session:
            found = session.scalar(waiting) is not None
        return claim(self, node_id, limit, run_id=run_id) if found else []

    def store_traffic(self: SqlLinkState, run_id: int, *, bytes_sent: int, bytes_recv: int) -> None:
        pass

    def add_clientapp_runtime(self: SqlLinkState, run_id: int, runtime: float) -> None:
        pass

    setattr(SqlCoreState, "_cleanup_expired_task_tokens", cleanup_expired_task_tokens)  # noqa: B010 - see below
    setattr(SqlLinkState, "get_message_ins", get_message_ins)  # noqa: B010 - assigning to a method is what mypy refuses
    setattr(SqlLinkState, "store_traffic", store_traffic)  # noqa: B010 - as above
    setattr(SqlLinkState, "add_clientapp_runtime", add_clientapp_runtime)  # noqa: B010 - as above
