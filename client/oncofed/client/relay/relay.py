"""How does a question that came through Flower reach the hospital's guard, and its answer the server?

A thin Flower ClientApp that passes bytes on, both ways, as they are. It reads no data, imports no torch, parses nothing
and decides nothing.

Promises: Flower sends the text of a ClientApp's exception to the server word for word, so none ever leaves this
module. Where there is no answer of the guard's, the server gets one of two codes instead (`protocol.codec`), which
cannot pass for one. Of an unexpected exception the local log gets its type and place at level ERROR, and its text,
which may quote data, only at level DEBUG.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable

from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp

from oncofed.errors import RefusalCode, RequestRefused
from oncofed.protocol.codec import GUARD_QUERY, decode_question, encode_answer, encode_unanswered
from oncofed.protocol.messages import BytesPort

Connect = Callable[[Context], BytesPort]
"""Finds the guard of the node a message arrived at. Called for each message: keep what is costly to build."""

_log = logging.getLogger(__name__)


def build_client_app(connect: Connect) -> ClientApp:
    """A ClientApp that has every question answered by the guard that `connect` finds."""
    app = ClientApp()

    @app.query(GUARD_QUERY)
    def ask(message: Message, context: Context) -> Message:
        return Message(_passed_on(message.content, lambda: connect(context)), reply_to=message)

    return app


def _passed_on(content: RecordDict, guard: Callable[[], BytesPort]) -> RecordDict:
    try:
        method, question = decode_question(content)
        return encode_answer(guard().ask(method, question))
    except RequestRefused as refusal:
        # A code is looked up again: a subclass could carry a text in its place.
        code = refusal.code if isinstance(refusal.code, RefusalCode) else RefusalCode.INTERNAL
        _log.warning("a question is not answered: %s", code.value)
        return encode_unanswered(code)
    except Exception as error:  # whatever it is, its text must not reach Flower
        frames = traceback.extract_tb(error.__traceback__)
        place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "an unknown place"
        _log.error("the guard failed with %s at %s; the server is told `internal`", type(error).__name__, place)
        _log.debug("the failure in full", exc_info=error)
        return encode_unanswered(RefusalCode.INTERNAL)
