"""How does a question that came through Flower reach the hospital's guard, and its answer the server?

A thin Flower ClientApp: message -> codec -> guard -> codec. It reads no data, imports no torch and decides nothing.

Promises: Flower sends the text of a ClientApp's exception to the server word for word, so none ever leaves this
module. A `RequestRefused` becomes its code; anything else becomes the code ``internal``. Of an unexpected exception
the local log gets its type and place at level ERROR, and its text, which may quote data, only at level DEBUG.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable

from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp

from oncofed.errors import RefusalCode, RequestRefused
from oncofed.protocol.codec import (
    DELIVERY_QUERY,
    OFFER_QUERY,
    SUMMARY_QUERY,
    decode_delivery,
    decode_offer,
    decode_request,
    decode_summary_request,
    encode_contribution,
    encode_delivery_state,
    encode_plan_state,
    encode_refusal,
)
from oncofed.protocol.messages import GuardPort, NodeGuardPort

Connect = Callable[[Context], GuardPort]
"""Finds the guard of the node a message arrived at. Called for each message: keep what is costly to build."""
ConnectNode = Callable[[Context], NodeGuardPort]

_log = logging.getLogger(__name__)


def build_client_app(connect: Connect) -> ClientApp:
    """A ClientApp that answers rounds (``train``) and summaries (``query``) through the guard that `connect` finds."""
    app = ClientApp()

    @app.train()
    def contribute(message: Message, context: Context) -> Message:
        def answer() -> RecordDict:
            request = decode_request(message.content)
            return encode_contribution(connect(context).contribute(request), to=request)

        return Message(_guarded(answer), reply_to=message)

    @app.query(SUMMARY_QUERY)
    def summarise(message: Message, context: Context) -> Message:
        def answer() -> RecordDict:
            request = decode_summary_request(message.content)
            return encode_contribution(connect(context).summarise(request), to=request)

        return Message(_guarded(answer), reply_to=message)

    return app


def build_node_app(connect: ConnectNode) -> ClientApp:
    """The same for an installed hospital, which is also offered plans and sent models, by ``query`` messages."""
    app = build_client_app(connect)

    @app.query(OFFER_QUERY)
    def offer(message: Message, context: Context) -> Message:
        def answer() -> RecordDict:
            document = decode_offer(message.content)
            return encode_plan_state(connect(context).offer_plan(document))

        return Message(_guarded(answer), reply_to=message)

    @app.query(DELIVERY_QUERY)
    def deliver(message: Message, context: Context) -> Message:
        def answer() -> RecordDict:
            sent = decode_delivery(message.content)
            return encode_delivery_state(connect(context).deliver_model(sent.model, sent.signature, sent.plan_hash))

        return Message(_guarded(answer), reply_to=message)

    return app


def _guarded(answer: Callable[[], RecordDict]) -> RecordDict:
    try:
        return answer()
    except RequestRefused as refusal:
        # A guard's code is looked up again: a subclass could carry a text in its place.
        code = refusal.code if isinstance(refusal.code, RefusalCode) else RefusalCode.INTERNAL
        _log.warning("a question is refused: %s", code.value)  # also what never reaches the guard and its audit log
        return encode_refusal(code)
    except Exception as error:  # whatever it is, its text must not reach Flower
        _log_locally(error)
        return encode_refusal(RefusalCode.INTERNAL)


def _log_locally(error: Exception) -> None:
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "an unknown place"
    _log.error("the guard failed with %s at %s; the server is told `internal`", type(error).__name__, place)
    _log.debug("the failure in full", exc_info=error)
